package server

import (
	"log/slog"
	"testing"

	"google.golang.org/grpc"

	"linuxha/internal/ipc"
	"linuxha/internal/ipc/ipctest"
)

func TestHealthComesFromTheLoop(t *testing.T) {
	s, err := New(Options{
		Log:  slog.New(slog.DiscardHandler),
		Dial: func(string) (grpc.ClientConnInterface, error) { return ipc.Dial("/nowhere") },
	})
	if err != nil {
		t.Fatal(err)
	}
	ipctest.HealthComesFromTheLoop(t, s.Register, s.calls)
}
