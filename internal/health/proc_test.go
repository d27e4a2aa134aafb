package health

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestWorkOf(t *testing.T) {
	proc := t.TempDir()
	put := func(file, text string) {
		t.Helper()
		path := filepath.Join(proc, "77/task", file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if w := workOf(proc, 77); w != (work{}) {
		t.Errorf("no process: %+v", w)
	}
	put("77/schedstat", "1000000000 500000000 12\n")
	put("77/stat", "77 (a ) D (b) S 1 77 77 0")
	put("78/schedstat", "250000000 250000000 3\n")
	put("78/stat", "78 (cib) R 1 77 77 0")
	before := workOf(proc, 77)
	if before != (work{busy: 2 * time.Second}) {
		t.Errorf("%+v, want 2 s of all threads", before)
	}
	put("78/schedstat", "250000000 1250000000 3\n")
	if got := workOf(proc, 77).since(before, 5*time.Second); got != time.Second {
		t.Errorf("since then %v, want 1s", got)
	}
	if err := os.RemoveAll(filepath.Join(proc, "77/task/77")); err != nil {
		t.Fatal(err)
	}
	if got := workOf(proc, 77).since(before, 5*time.Second); got != 0 {
		t.Errorf("a thread ended: %v, want 0", got)
	}
	put("78/stat", "78 (cib) D 1 77 77 0")
	if got := workOf(proc, 77).since(before, 5*time.Second); got != 5*time.Second {
		t.Errorf("a thread waits for a disk: %v, want all the time", got)
	}
}

// TestWorkOfARealProcess: a process that computes is seen to.
func TestWorkOfARealProcess(t *testing.T) {
	before := workOf("/proc", os.Getpid())
	for end := time.Now().Add(100 * time.Millisecond); time.Now().Before(end); {
	}
	after := workOf("/proc", os.Getpid())
	if after == (work{}) {
		t.Skip("this kernel does not tell (no schedstat)")
	}
	if got := after.since(before, time.Second); got < 50*time.Millisecond {
		t.Errorf("100 ms of computing are %v", got)
	}
}
