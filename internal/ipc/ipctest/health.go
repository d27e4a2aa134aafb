// Package ipctest checks how daemons serve.
package ipctest

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"linuxha/internal/ipc"
)

// HealthComesFromTheLoop checks that a daemon whose main loop, which would call
// what comes out of calls, does not turn gives no answer to the question for its
// health, although it serves; and that it answers once the loop turns.
func HealthComesFromTheLoop(t *testing.T, register func(*grpc.Server), calls <-chan func()) {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "hl") // short: socket paths are limited
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	socket, ready, served := filepath.Join(dir, "s"), make(chan struct{}), make(chan error, 1)
	go func() {
		served <- ipc.Serve(ctx, socket, register, func(ctx context.Context) error {
			close(ready)
			<-ctx.Done()
			return nil
		})
	}()
	<-ready
	cc, err := ipc.Dial(socket)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		cc.Close()
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		os.RemoveAll(dir)
	}()
	for { // until it serves, which begins beside the loop
		short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		err = ipc.Alive(short, cc)
		cancel()
		if status.Code(err) != codes.Unavailable {
			break
		}
	}
	if status.Code(err) != codes.DeadlineExceeded {
		t.Fatalf("the loop does not turn, and the answer is %v", err)
	}
	answer := make(chan error, 1)
	go func() { answer <- ipc.Alive(ctx, cc) }()
	patience := time.After(10 * time.Second)
	for {
		select {
		case f := <-calls:
			f()
		case err := <-answer:
			if err != nil {
				t.Errorf("the loop turns, and the answer is %v", err)
			}
			return
		case <-patience:
			t.Fatal("the loop turns, and there is no answer")
		}
	}
}
