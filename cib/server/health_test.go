package server

import (
	"log/slog"
	"testing"

	"linuxha/cib/store"
	"linuxha/internal/ipc/ipctest"
)

func TestHealthComesFromTheLoop(t *testing.T) {
	s, err := New(Options{FS: store.Dir{Path: t.TempDir(), UID: -1, GID: -1}, Node: "n", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ipctest.HealthComesFromTheLoop(t, s.Register, s.events)
}
