package sbd

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"linuxha/internal/paths"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestWhichProcessIsSBD(t *testing.T) {
	root, proc := t.TempDir(), t.TempDir()
	n := Node{Paths: paths.Layout{Root: root}, Proc: proc}
	if pid := n.PID(); pid != 0 {
		t.Errorf("nothing runs, but pid %d", pid)
	}
	write(t, filepath.Join(proc, "17/comm"), "bash\n")
	write(t, filepath.Join(proc, "self/comm"), "sbd\n")
	write(t, filepath.Join(root, "run/sbd.pid"), "17\n")
	if pid := n.PID(); pid != 0 {
		t.Errorf("a stale pid file gave pid %d", pid)
	}
	write(t, filepath.Join(proc, "23/comm"), "sbd\n")
	if pid := n.PID(); pid != 23 {
		t.Errorf("by name: pid %d, want 23", pid)
	}
	write(t, filepath.Join(proc, "42/comm"), "sbd\n")
	write(t, filepath.Join(root, "run/sbd.pid"), "      42\n")
	if pid := n.PID(); pid != 42 {
		t.Errorf("by pid file: pid %d, want 42", pid)
	}
}

func TestTimeouts(t *testing.T) {
	t.Setenv("SBD_WATCHDOG_TIMEOUT", "")
	n := Node{Paths: paths.Layout{Root: t.TempDir()}, Proc: t.TempDir()}
	for property, want := range map[string]time.Duration{"": 0, "0": 0, "10": 10 * time.Second, "500ms": 500 * time.Millisecond, "-1": 0, "x": 0} {
		if got := n.Effective(property); got != want {
			t.Errorf("%q: %s, want %s", property, got, want)
		}
	}
	write(t, filepath.Join(n.Paths.Root, "etc/default/sbd"), "# SBD_WATCHDOG_TIMEOUT=1\nSBD_WATCHDOG_TIMEOUT=\"5\"\n")
	if got := n.Effective("-1"); got != 10*time.Second {
		t.Errorf("twice the configured 5 s is %s", got)
	}
	if err := n.Check(10 * time.Second); !errors.Is(err, ErrNotRunning) {
		t.Errorf("without sbd: %v", err)
	}
	write(t, filepath.Join(n.Proc, "9/comm"), "sbd\n")
	if err := n.Check(10 * time.Second); err != nil {
		t.Error(err)
	}
	if err := n.Check(4 * time.Second); err == nil {
		t.Error("less than sbd's own time-out was taken")
	}
	if err := n.Check(0); err != nil {
		t.Error(err)
	}
	t.Setenv("SBD_WATCHDOG_TIMEOUT", "2")
	if err := n.Check(4 * time.Second); err != nil {
		t.Errorf("the environment comes first: %v", err)
	}
}

func TestPanicKillsSBD(t *testing.T) {
	n := Node{Paths: paths.Layout{Root: t.TempDir()}, Proc: t.TempDir()}
	if err := n.Panic(); !errors.Is(err, ErrNotRunning) {
		t.Errorf("without sbd: %v", err)
	}
	cmd := exec.Command("sleep", "100")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(n.Proc, fmt.Sprint(cmd.Process.Pid), "comm"), "sbd\n")
	if err := n.Panic(); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.String() != "signal: killed" {
		t.Errorf("it ended with %v", err)
	}
}
