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

// TestWrapper: agents by the place of their parameters, and any agent by OCF.
func TestWrapper(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	env := []string{"HA_DIR=" + abs(t, "ha.d"), "OCF_ROOT=" + dir, "OCF_FUNCTIONS_DIR=" + abs(t, "ocf/lib/heartbeat"), "HA_RSCTMP=" + t.TempDir()}
	agents := filepath.Join(dir, "resource.d", "heartbeat")
	if err := os.MkdirAll(agents, 0o755); err != nil {
		t.Fatal(err)
	}
	// An agent that says what it got.
	fake := "#!/bin/sh\nenv | grep ^OCF_RESKEY_ | grep -v OCF_RESKEY_CRM | sort >&2\n[ \"$1\" = monitor ] && exit 7\necho \"$1\"\n"
	for _, name := range []string{"apache", "MailTo", "AudibleAlarm", "SendArp", "Other"} {
		if err := os.WriteFile(filepath.Join(agents, name), []byte(fake), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		argv string
		rc   int
		want string
	}{
		{"apache /etc/a.conf start", 0, "OCF_RESKEY_configfile=/etc/a.conf|start|"},
		{"apache stop", 0, "stop|"},
		{"apache status", 7, "apache stopped|"},
		{"MailTo root@x moved start", 0, "OCF_RESKEY_email=root@x|OCF_RESKEY_subject=moved|start|"},
		{"MailTo a b c start", 1, "usage: "},
		{"AudibleAlarm n1 n2 start", 0, "OCF_RESKEY_nodelist=n1 n2|start|"},
		{"SendArp 10.0.0.1/eth0 start", 0, "OCF_RESKEY_ip=10.0.0.1|OCF_RESKEY_nic=eth0|start|"},
		{"OCF Other a=1 b=2=3 start", 0, "OCF_RESKEY_a=1|OCF_RESKEY_b=2=3|start|"},
		{"OCF Other a-b=1 start", 2, "cannot be a parameter's name"},
		{"OCF ../Other start", 1, "usage: "},
		{"OCF Missing start", 5, "no agent "},
		{"apache restart", 1, "usage: "},
	} {
		words := strings.Fields(tc.argv)
		cmd := exec.Command("ha.d/resource.d/"+words[0], words[1:]...)
		cmd.Env = append(os.Environ(), env...)
		out, _ := cmd.CombinedOutput()
		got := strings.ReplaceAll(string(out), "\n", "|")
		if rc := cmd.ProcessState.ExitCode(); rc != tc.rc || !strings.Contains(got, tc.want) {
			t.Errorf("%s: %d %q, want %d %q", tc.argv, rc, got, tc.rc, tc.want)
		}
	}
}

// TestHarc: the script of a message's type runs with its fields.
func TestHarc(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "rc.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "shellfuncs"), []byte("ha_log() { echo \"$*\"; }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "rc.d", "status"), []byte("#!/bin/sh\necho $1 $HA_src $HA_st\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	env := []string{"HA_DIR=" + dir + "/", "HA_src=n1", "HA_st=dead"}
	if rc, out := legacy(t, env, abs(t, "ha.d/harc"), "status"); rc != 0 || !strings.HasSuffix(out, "rc.d/status status\nstatus n1 dead\n") {
		t.Errorf("%d %q", rc, out)
	}
	if rc, out := legacy(t, env, abs(t, "ha.d/harc"), "other"); rc != 1 || !strings.Contains(out, "rc.d/other is not executable") {
		t.Errorf("%d %q", rc, out)
	}
}
