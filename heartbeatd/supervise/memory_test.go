package supervise

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// asChild runs this test alone in a process of its own: what it changes is the
// process's.
func asChild(t *testing.T) bool {
	t.Helper()
	if os.Getenv("TEST_IN_CHILD") == t.Name() {
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "TEST_IN_CHILD="+t.Name())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	} else if i := strings.Index(string(out), "--- SKIP"); i >= 0 {
		t.Skip(string(out[i:]))
	}
	return false
}

func TestLockMemory(t *testing.T) {
	if !asChild(t) {
		return
	}
	err := LockMemory(6500)
	status, rerr := os.ReadFile("/proc/self/status")
	if rerr != nil {
		t.Fatal(rerr)
	}
	locked := ""
	for line := range strings.Lines(string(status)) {
		if v, ok := strings.CutPrefix(line, "VmLck:"); ok {
			locked = strings.TrimSpace(v)
		}
	}
	if err != nil {
		if !strings.Contains(err.Error(), "System limits on locked-in memory are too small.") {
			t.Error(err)
		}
		t.Skipf("this process may not lock memory: %v", err)
	}
	if locked == "0 kB" || locked == "" {
		t.Errorf("VmLck is %q", locked)
	}
}

func TestCoreDumps(t *testing.T) {
	if !asChild(t) {
		return
	}
	root := t.TempDir()
	if _, err := CoreDumps(true, root); err != nil {
		t.Fatal(err)
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &limit); err != nil || limit.Cur != limit.Max {
		t.Errorf("limit %+v, %v", limit, err)
	}
	if dir, err := os.Getwd(); err != nil || dir != filepath.Join(root, "root") {
		t.Errorf("in %q, %v", dir, err)
	}
	if _, err := CoreDumps(false, root); err != nil {
		t.Fatal(err)
	}
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &limit); err != nil || limit.Cur != 0 {
		t.Errorf("limit %+v, %v", limit, err)
	}
}

func TestCoreNotes(t *testing.T) {
	for _, tc := range []struct {
		pattern, pid string
		want         int
	}{{"core", "0", 3}, {"core", "1", 0}, {"|/usr/lib/systemd/systemd-coredump", "0", 0}, {"", "", 0}} {
		if got := coreNotes(tc.pattern, tc.pid); len(got) != tc.want {
			t.Errorf("%q %q: %v", tc.pattern, tc.pid, got)
		}
	}
}
