package supervise

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"

	"linuxha/heartbeatd/hacf"
	"linuxha/internal/health"
	"linuxha/internal/ipc"
)

// TestDaemon is no test but the daemon of those below.
func TestDaemon(t *testing.T) {
	dir := os.Getenv("TEST_DAEMON")
	if dir == "" {
		t.Skip("it is a part of TestAHungChildIsReplaced")
	}
	err := ipc.Serve(t.Context(), filepath.Join(dir, "sock"), func(g *grpc.Server) {
		ipc.RegisterHealth(g, func(context.Context) error { fmt.Println("answers"); return nil })
	}, func(ctx context.Context) error {
		<-ctx.Done()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// daemon makes the bench's child 0 one that can be asked.
func daemon(t *testing.T) *bench {
	b := newBench(t)
	b.opt.Env = append(b.opt.Env, "TEST_DAEMON="+b.dir)
	b.opt.Health = health.LimitsOf(time.Second)
	b.opt.Children = []Spec{{
		Name: "asked", Command: []string{os.Args[0], "-test.run=^TestDaemon$", "-test.count=1"}, Core: true, Socket: filepath.Join(b.dir, "sock"),
	}}
	return b
}

func TestAHungChildIsReplaced(t *testing.T) {
	b := daemon(t)
	b.run()
	b.wait(2, "answers") // with the second question the first answer has arrived
	pid := b.pid(0)
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	b.wait(1, fmt.Sprintf("asked[%d] is unresponsive to ipc after 5 tries", pid))
	b.wait(1, "tries: killing it")
	b.wait(1, fmt.Sprintf("process %d killed by signal 9.", pid))
	now := b.pid(0)
	if now == pid {
		t.Errorf("process %d is still there", pid)
	}
	b.wait(1, fmt.Sprintf("asked: [%d]: info: answers", now))
	b.stop()
	if err := b.ended(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestAHungChildDoesNotKeepTheNodeFromStopping: nobody waits an hour for it.
func TestAHungChildDoesNotKeepTheNodeFromStopping(t *testing.T) {
	b := daemon(t)
	b.run()
	b.wait(1, "answers")
	if err := syscall.Kill(b.pid(0), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	b.stop()
	b.ended()
	b.wait(1, "child stopped name=asked")
}

func TestHealthLimits(t *testing.T) {
	for env, want := range map[string]health.Limits{
		"quorum=majority": health.LimitsOf(health.DefaultTimeout), "unresponsive=30s": health.LimitsOf(30 * time.Second), "unresponsive=off": {},
	} {
		if got, err := HealthLimits(&hacf.Config{Env: []string{env}}); err != nil || got != want {
			t.Errorf("%s: %+v, %v", env, got, err)
		}
	}
	if got, err := HealthLimits(&hacf.Config{Env: []string{"unresponsive=never"}}); err == nil || got != health.LimitsOf(health.DefaultTimeout) {
		t.Errorf("%+v, %v", got, err)
	}
}
