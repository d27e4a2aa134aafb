package server

import (
	"log/slog"
	"testing"

	"linuxha/internal/ipc/ipctest"
)

func TestHealthComesFromTheLoop(t *testing.T) {
	s := New(Options{Log: slog.New(slog.DiscardHandler)})
	ipctest.HealthComesFromTheLoop(t, s.Register, s.calls)
}
