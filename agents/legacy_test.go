package agents_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// legacy runs a resource script of Heartbeat 1, or an init script.
func legacy(t *testing.T, env []string, args ...string) (rc int, stdout string) {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), env...)
	var out strings.Builder
	cmd.Stdout = &out
	err := cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String()
}

func abs(t *testing.T, path string) string {
	t.Helper()
	p, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestHeartbeatScripts(t *testing.T) {
	t.Parallel()
	here, _ := network(t)
	env := []string{"HA_DIR=" + abs(t, "ha.d"), "OCF_ROOT=" + abs(t, "ocf"), "HA_RSCTMP=" + t.TempDir(), "HA_BIN=" + sendARP(t)}
	for _, tc := range []struct{ arg, shown string }{
		{"10.99.0.20", "10.99.0.20/24 brd 10.99.0.255 "},
		{"10.99.0.21/25/w0", "10.99.0.21/25 brd 10.99.0.127 "},
		{"10.99.0.22/255.255.255.0/w0:ha/10.99.0.254", "10.99.0.22/24 brd 10.99.0.254 "},
		{"10.99.0.23/w0", "10.99.0.23/24 brd 10.99.0.255 "},
	} {
		do := func(action string, rc int, say string) {
			t.Helper()
			code, out := legacy(t, env, "ip", "netns", "exec", here, "ha.d/resource.d/IPaddr", tc.arg, action)
			if code != rc || !strings.Contains(out, say) {
				t.Errorf("IPaddr %s %s: %d %q, want %d %q", tc.arg, action, code, out, rc, say)
			}
		}
		do("status", 7, "stopped")
		do("start", 0, "")
		do("status", 0, "running")
		if got := run(t, "ip", "-n", here, "-o", "addr", "show", "dev", "w0"); !strings.Contains(got, tc.shown) {
			t.Errorf("%s, want %s:\n%s", tc.arg, tc.shown, got)
		}
		do("stop", 0, "")
		do("stop", 0, "")
		do("status", 7, "stopped")
	}
	dir := t.TempDir()
	for _, step := range []struct {
		action string
		rc     int
	}{{"status", 7}, {"start", 0}, {"status", 0}, {"stop", 0}, {"status", 7}} {
		// In a mount namespace of the script's own start and status would not
		// see each other, so on the machine's.
		if rc, out := legacy(t, env, "ha.d/resource.d/Filesystem", "tmpfs", dir, "tmpfs", "size=1m", step.action); rc != step.rc {
			t.Errorf("Filesystem %s: %d %q, want %d", step.action, rc, out, step.rc)
		}
	}
}

func TestInitScript(t *testing.T) { // LSB 22.2
	dir := t.TempDir()
	env := []string{"EXAMPLE_PIDFILE=" + dir + "/pid", "EXAMPLE_ARGUMENTS=300"}
	do := func(action string, want int) {
		t.Helper()
		if rc, out := legacy(t, env, "lsb/example", action); rc != want {
			t.Errorf("%s: exit code %d, want %d\n%s", action, rc, want, out)
		}
	}
	do("status", 3)
	do("stop", 0)
	do("start", 0)
	do("start", 0)
	do("status", 0)
	pid, err := os.ReadFile(dir + "/pid")
	if err != nil {
		t.Fatal(err)
	}
	run(t, "kill", "-9", strings.TrimSpace(string(pid)))
	for end := time.Now().Add(5 * time.Second); ; { // it dies soon, but not before kill returns
		if rc, _ := legacy(t, env, "lsb/example", "status"); rc == 1 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("a killed program is still said to run")
		}
	}
	do("stop", 0)
	do("status", 3)
	do("nonsense", 2)
}
