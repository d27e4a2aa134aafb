package logd

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestEntriesArrive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	if _, err := Dial(path); err == nil {
		t.Fatal("connected to nobody")
	}
	ctx, cancel := context.WithCancel(t.Context())
	got, ended := make(chan Entry, 10), make(chan error, 1)
	go func() { ended <- Serve(ctx, path, func(e Entry) { got <- e }) }()
	var c *Client
	for end := time.Now().Add(5 * time.Second); c == nil; {
		var err error
		if c, err = Dial(path); err != nil && time.Now().After(end) {
			t.Fatal(err)
		}
	}
	at := time.Date(2026, 11, 20, 9, 5, 48, 7, time.Local)
	want := Entry{At: at, Level: "WARN", Program: "crmd", PID: 74, Text: "a\ttab"}
	for _, e := range []Entry{want, {At: at, Level: "info", Program: "harc(default)[85]", Bare: true, Text: "two\nlines\x1b[0m"}} {
		if err := c.Send(e); err != nil {
			t.Fatal(err)
		}
	}
	e := <-got
	if !e.At.Equal(want.At) || e.Level != want.Level || e.Program != want.Program || e.PID != want.PID || e.Text != want.Text {
		t.Errorf("%+v, want %+v", e, want)
	}
	if line := e.Line("node1", true); line != "Nov 20 09:05:48 node1 crmd: [74]: WARN: a\ttab\n" {
		t.Errorf("%q", line)
	}
	if line := e.Line("node1", false); line != "crmd[74]: 2026/11/20_09:05:48 WARN: a\ttab\n" {
		t.Errorf("%q", line)
	}
	if line := (<-got).Line("node1", true); line != "2026/11/20_09:05:48  harc(default)[85]: two\\nlines?[0m\n" {
		t.Errorf("%q", line)
	}
	if err := Serve(ctx, path, nil); err == nil || !strings.Contains(err.Error(), "another ha_logd") {
		t.Errorf("a second one: %v", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := c.Send(want); err == nil {
		t.Error("sent to nobody")
	}
}

// TestASlowDaemonStopsNobody: what it does not take is refused at once.
func TestASlowDaemonStopsNobody(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	block := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, path, func(Entry) { <-block }) }()
	var c *Client
	for end := time.Now().Add(5 * time.Second); c == nil && time.Now().Before(end); {
		c, _ = Dial(path)
	}
	var err error
	for range 100_000 {
		if err = c.Send(Entry{Level: "info", Text: strings.Repeat("x", 100)}); err != nil {
			break
		}
	}
	if !errors.Is(err, unix.EAGAIN) {
		t.Errorf("%v, want that the queue is full", err)
	}
	close(block)
	cancel()
	<-ended
}

func FuzzUnmarshal(f *testing.F) {
	f.Add(Entry{At: time.Unix(1, 2), Level: "info", Program: "p", PID: 3, Text: "t"}.Marshal())
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := Unmarshal(b)
		if err != nil {
			return
		}
		for _, line := range []string{e.Line("n", true), e.Line("n", false)} {
			if strings.Count(line, "\n") != 1 {
				t.Fatalf("%q makes %q", b, line)
			}
		}
	})
}
