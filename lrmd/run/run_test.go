package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if os.Getenv("RUN_TEST_REAPER") != "" {
		os.Exit(reaperHelper())
	}
	if err := SealDescriptors(); err != nil { // what the test's own caller left open
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func sh(script string, args ...string) Command {
	return Command{Path: "/bin/sh", Args: append([]string{"sh", "-c", script, "sh"}, args...), Env: os.Environ()}
}

func program(name string, args ...string) Command {
	path := "testdata/" + name
	return Command{Path: path, Args: append([]string{path}, args...), Env: os.Environ()}
}

func mustRun(t *testing.T, cmd Command) Result {
	t.Helper()
	res, err := Run(t.Context(), cmd, nil)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func gone(pid int) bool { // dead, or a zombie that its parent has yet to see
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	rest := string(b[strings.LastIndexByte(string(b), ')')+1:])
	return strings.HasPrefix(strings.TrimSpace(rest), "Z")
}

func awaitGone(t *testing.T, pid int) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !gone(pid); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("process %d still lives", pid)
		}
	}
}

func TestOutputAndExitCode(t *testing.T) {
	res := mustRun(t, sh("echo out; echo err >&2; exit 7"))
	if res.Exit != 7 || res.Signal != 0 || res.Stdout != "out\n" || res.Stderr != "err\n" {
		t.Errorf("got %+v", res)
	}
}

func TestChildState(t *testing.T) {
	res := mustRun(t, program("state.sh"))
	want := fmt.Sprintf("pid %d pgrp %d\nstdin /dev/null\nfds:\n0\n1\n2\n3\n", res.PID, res.PID)
	if !strings.HasPrefix(res.Stdout, want) {
		t.Errorf("got:\n%swant:\n%s", res.Stdout, want)
	}
	for line := range strings.Lines(res.Stdout) {
		if mask, ok := strings.CutPrefix(line, "SigIgn:\t"); ok {
			bits, err := strconv.ParseUint(strings.TrimSpace(mask), 16, 64)
			if err != nil || bits&(1<<(uint(syscall.SIGPIPE)-1)) != 0 {
				t.Errorf("SIGPIPE is ignored: %s (%v)", mask, err)
			}
		}
		if mask, ok := strings.CutPrefix(line, "SigBlk:\t"); ok && strings.Trim(mask, "0\n") != "" {
			t.Errorf("signals are blocked: %s", mask)
		}
	}
}

func TestDaemonThatKeepsThePipesDoesNotHoldUs(t *testing.T) {
	begun := time.Now()
	res := mustRun(t, program("leaves-daemon.sh"))
	if d := time.Since(begun); d > 5*time.Second {
		t.Errorf("took %v", d)
	}
	var pid int
	if _, err := fmt.Sscanf(res.Stdout, "daemon %d", &pid); err != nil || res.Stderr != "started it\n" {
		t.Fatalf("output %q %q: %v", res.Stdout, res.Stderr, err)
	}
	if gone(pid) {
		t.Error("the daemon died with its agent")
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Error(err)
	}
}

func TestDeadlineKillsTheWholeGroup(t *testing.T) {
	for _, tc := range []struct {
		name  string
		cause error
		child bool // survives
	}{{"group", errors.New("timed out"), false}, {"leader only", ErrKillLeader, true}} {
		t.Run(tc.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "pid")
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			done := make(chan Result, 1)
			go func() {
				res, err := Run(ctx, program("stubborn.sh", file), nil)
				if err != nil {
					t.Error(err)
				}
				done <- res
			}()
			child := 0
			for end := time.Now().Add(5 * time.Second); child == 0 && time.Now().Before(end); time.Sleep(time.Millisecond) {
				if b, err := os.ReadFile(file); err == nil && strings.HasSuffix(string(b), "\n") {
					child, _ = strconv.Atoi(strings.TrimSpace(string(b)))
				}
			}
			if child == 0 {
				t.Fatal("the agent did not start its child")
			}
			cancel(tc.cause)
			res := <-done
			if !res.Killed || res.Signal != syscall.SIGKILL {
				t.Errorf("got %+v", res)
			}
			if tc.child {
				if gone(child) {
					t.Error("the child was killed too")
				}
				if err := syscall.Kill(-res.PID, syscall.SIGKILL); err != nil {
					t.Error(err)
				}
			}
			awaitGone(t, child)
		})
	}
}

func TestOutputBeforeTheKillIsKept(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	go func() {
		if _, err := r.Read(make([]byte, 1)); err != nil {
			t.Error(err)
		}
		cancel()
	}()
	cmd := sh(`echo said; echo x >"$1"; sleep 60`, fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), w.Fd()))
	res, err := Run(ctx, cmd, nil)
	if err != nil || res.Stdout != "said\n" || !res.Killed {
		t.Errorf("got %+v, %v", res, err)
	}
}

func TestSignal(t *testing.T) {
	res := mustRun(t, sh("kill -SEGV $$"))
	if res.Killed || SignalText(res.Signal) != "Segmentation fault" {
		t.Errorf("got %+v", res)
	}
}

func TestNoInterpreterRunsByShell(t *testing.T) {
	res := mustRun(t, program("no-interpreter", "start"))
	if res.Stdout != "argument start\n" || res.Exit != 5 {
		t.Errorf("got %+v", res)
	}
}

func TestStartErrors(t *testing.T) {
	for _, tc := range []struct {
		name  string
		errno syscall.Errno
		after bool
		text  string
	}{
		{"nope", syscall.ENOENT, false, "testdata/nope: No such file or directory"},
		{"state.sh/nope", syscall.ENOTDIR, false, "testdata/state.sh/nope: Not a directory"},
		{"not-executable", syscall.EACCES, true, "testdata/not-executable: Permission denied"},
	} {
		_, err := Run(t.Context(), program(tc.name), func(int, time.Time) { t.Errorf("%s: launched", tc.name) })
		se, ok := errors.AsType[*StartError](err)
		if !ok || se.Errno != tc.errno || se.AfterStat != tc.after || se.Error() != tc.text {
			t.Errorf("%s: got %#v", tc.name, err)
		}
	}
}

func TestLongOutputKeepsStartAndEnd(t *testing.T) {
	cmd := sh(`echo first; i=0; while [ $i -lt 40000 ]; do echo line-$i; i=$((i+1)); done; echo last`)
	cmd.Limit = 1000
	res := mustRun(t, cmd)
	if !strings.HasPrefix(res.Stdout, "first\n") || !strings.HasSuffix(res.Stdout, "line-39999\nlast\n") || !strings.Contains(res.Stdout, "bytes left out]") {
		t.Errorf("start or end is missing: %.40q ... %q", res.Stdout, res.Stdout[max(0, len(res.Stdout)-40):])
	}
	if n := len(res.Stdout); n > 1000+2*tailSize+100 {
		t.Errorf("kept %d bytes", n)
	}
}

func TestNoDescriptorLeaks(t *testing.T) {
	count := func() int {
		d, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(d)
	}
	mustRun(t, sh("true"))
	before := count()
	for range 20 {
		mustRun(t, sh("true"))
		if _, err := Run(t.Context(), program("nope"), nil); err == nil {
			t.Fatal("nope ran")
		}
	}
	if after := count(); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

// TestOrphansAreReaped runs reaperHelper in a process of its own, because a
// subreaper would take the children of other tests.
func TestOrphansAreReaped(t *testing.T) {
	cmd := Command{Path: "/proc/self/exe", Args: []string{"run.test"}, Env: append(os.Environ(), "RUN_TEST_REAPER=1")}
	if res := mustRun(t, cmd); res.Exit != 0 {
		t.Errorf("helper: exit %d\n%s%s", res.Exit, res.Stdout, res.Stderr)
	}
}

func reaperHelper() int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	ready := make(chan struct{})
	go func() { close(ready); ended <- ReapOrphans(ctx) }()
	<-ready
	var pids []int
	for range 50 { // own children and orphans end together
		res, err := Run(ctx, program("orphan.sh"), nil)
		if err != nil {
			fmt.Println(err)
			return 1
		}
		var pid int
		if _, err := fmt.Sscan(res.Stdout, &pid); err != nil {
			fmt.Println(err)
			return 1
		}
		pids = append(pids, pid)
	}
	for _, pid := range pids {
		for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
			if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); err != nil {
				break
			}
			if time.Now().After(end) {
				fmt.Printf("orphan %d was not reaped\n", pid)
				return 1
			}
		}
	}
	cancel()
	if err := <-ended; err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}
