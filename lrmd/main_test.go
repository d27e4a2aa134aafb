package main_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"

	"linuxha/internal/ipc"
	"linuxha/internal/paths"
	lrmv1 "linuxha/proto/lrm/v1"
)

// TestResourcesSurviveTheDaemon kills lrmd -9 while it runs a service, and
// finds the service again with the next one.
func TestResourcesSurviveTheDaemon(t *testing.T) {
	root, err := os.MkdirTemp("/tmp", "lrm")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	agents, err := filepath.Abs("../agents/ocf")
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(root, "lrmd")
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	start := func() (*exec.Cmd, lrmv1.LrmClient, *lrmv1.Event) {
		t.Helper()
		cmd := exec.Command(bin)
		cmd.Env = append(os.Environ(), "HA_ROOT="+root, "OCF_ROOT="+agents)
		cmd.Stderr = t.Output()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill() })
		conn, err := ipc.Dial(paths.Layout{Root: root}.Socket("lrmd"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		client := lrmv1.NewLrmClient(conn)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		t.Cleanup(cancel)
		events, err := client.Watch(ctx, &lrmv1.WatchRequest{}, grpc.WaitForReady(true))
		if err != nil {
			t.Fatal(err)
		}
		hello, err := events.Recv()
		if err != nil {
			t.Fatal(err)
		}
		agent := &lrmv1.Agent{Class: "ocf", Provider: "heartbeat", Type: "anything"}
		if _, err := client.Register(ctx, &lrmv1.RegisterRequest{RscId: "sleeper", Agent: agent}); err != nil {
			t.Fatal(err)
		}
		return cmd, client, hello
	}
	exec := func(client lrmv1.LrmClient, action string, want int32) {
		t.Helper()
		resp, err := client.Exec(t.Context(), &lrmv1.ExecRequest{
			RscId: "sleeper", Action: action, TimeoutMs: 10_000, Wait: true,
			Params: map[string]string{"binfile": "/bin/sleep", "cmdline_options": "300"},
		})
		if err != nil {
			t.Fatal(err)
		}
		if resp.Result.Rc != want {
			t.Fatalf("%s: %v", action, resp.Result)
		}
	}

	first, client, hello := start()
	exec(client, "start", 0)
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := first.Wait(); err == nil {
		t.Error("killed, and yet it ended well")
	}

	second, client, again := start()
	if again.Incarnation == hello.Incarnation {
		t.Error("the incarnation did not change")
	}
	exec(client, "monitor", 0)
	exec(client, "stop", 0)
	exec(client, "start", 0) // now a descendant of this daemon: it reaps it
	b, err := os.ReadFile(root + "/run/resource-agents/anything_sleeper.pid")
	if err != nil {
		t.Fatal(err)
	}
	proc := "/proc/" + strings.TrimSpace(string(b))
	if st, err := os.ReadFile(proc + "/status"); err != nil || !strings.Contains(string(st), fmt.Sprintf("PPid:\t%d\n", second.Process.Pid)) {
		t.Errorf("lrmd does not look after what agents leave behind: %v", err)
	}
	exec(client, "stop", 0)
	if _, err := os.Stat(proc); err == nil {
		t.Error("the stopped service is still a zombie")
	}
	if err := second.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := second.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}
