package metadata

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"linuxha/lrmd/oplist"
)

type source struct {
	path string
	mu   sync.Mutex
	runs int
	err  error
}

func (s *source) Path(oplist.Agent) string { return s.path }
func (s *source) Metadata(context.Context, oplist.Agent) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs++
	return fmt.Sprintf("<run%d/>", s.runs), s.err
}

func TestCacheHoldsForOneStateOfTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write("one")
	src := &source{path: path}
	c := New(src)
	agent := oplist.Agent{Class: "ocf", Provider: "p", Type: "t"}
	for _, step := range []struct {
		name    string
		change  func()
		refresh bool
		want    string
	}{
		{"first", func() {}, false, "<run1/>"},
		{"again", func() {}, false, "<run1/>"},
		{"larger", func() { write("longer") }, false, "<run2/>"},
		{"touched", func() {
			if err := os.Chtimes(path, time.Time{}, time.Unix(1, 0)); err != nil {
				t.Fatal(err)
			}
		}, false, "<run3/>"},
		{"another file of the same name and size", func() {
			if err := os.Rename(path, path+".old"); err != nil {
				t.Fatal(err)
			}
			write("longer")
			if err := os.Chtimes(path, time.Time{}, time.Unix(1, 0)); err != nil {
				t.Fatal(err)
			}
		}, false, "<run4/>"},
		{"refresh", func() {}, true, "<run5/>"},
		{"kept", func() {}, false, "<run5/>"},
	} {
		step.change()
		if got, err := c.Get(t.Context(), agent, step.refresh); err != nil || got != step.want {
			t.Errorf("%s: %q, %v, want %q", step.name, got, err, step.want)
		}
	}
}

func TestFailuresAndPathlessAgentsAreNotKept(t *testing.T) {
	src := &source{err: errors.New("broken")}
	c := New(src)
	for range 2 {
		if _, err := c.Get(t.Context(), oplist.Agent{Class: "systemd", Type: "x"}, false); err == nil {
			t.Error("no error")
		}
	}
	src.err = nil
	if got, err := c.Get(t.Context(), oplist.Agent{Class: "systemd", Type: "x"}, false); err != nil || got != "<run3/>" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestManyAskersRunTheAgentOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent")
	if err := os.WriteFile(path, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	src := &source{path: path}
	c := New(src)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if _, err := c.Get(context.Background(), oplist.Agent{Class: "ocf"}, false); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if src.runs != 1 {
		t.Errorf("ran %d times", src.runs)
	}
}
