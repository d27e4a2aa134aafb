package quorumd

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"linuxha/heartbeatd/quorum"
	"linuxha/internal/ipc"
	"linuxha/internal/paths"
)

// TestWhoHasQuorum: what -s shows, from the decisions to the socket.
func TestWhoHasQuorum(t *testing.T) {
	root, err := os.MkdirTemp("/tmp", "qd") // short: socket paths are limited
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(root)
	l := paths.Layout{Root: root}
	began := time.Now().Add(-time.Minute)
	var log bytes.Buffer
	s := &server{arbiter: quorum.NewArbiter(0), log: &log, settle: time.Second, began: began}
	for _, q := range []quorum.Ask{
		{Cluster: "west", Node: "b", View: "1/b", Members: []string{"a", "b"}, Lease: 30 * time.Second},
		{Cluster: "west", Node: "a", View: "1/b", Members: []string{"a", "b"}, Lease: 30 * time.Second},
		{Cluster: "west", Node: "c", View: "1/c", Members: []string{"c"}, Lease: 30 * time.Second},
	} {
		s.arbiter.Ask(time.Now(), q)
	}
	s.arbiter.Ask(began, quorum.Ask{Cluster: "east", Node: "x", View: "1/x", Members: []string{"x"}, Lease: time.Second}) // it ran out
	listener, err := ipc.Listen(statusSocket(l))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); s.serveStatus(listener) }()
	var out bytes.Buffer
	if err := printHolders(t.Context(), l, &out); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "east: no node has quorum\nwest: a b\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	listener.Close()
	<-ended
	if err := printHolders(t.Context(), l, &out); err == nil {
		t.Error("nobody answers, and that is no error")
	}
	s.began = time.Now()
	if got, want := s.status(s.began), "nothing is granted for another 1s: leases of a former run may last\neast: no node has quorum\nwest: a b\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if log.Len() > 0 {
		t.Errorf("log: %s", &log)
	}
	if _, err := os.Stat(filepath.Join(l.Run(), "ha_quorumd.sock")); err == nil {
		t.Error("the socket is left behind")
	}
}
