package ipc_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"linuxha/internal/ipc"
)

// TestAlive: the answer comes from the loop where there is one, else from the
// server; nobody behind the socket is no answer.
func TestAlive(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	calls := make(chan func())
	for _, tc := range []struct {
		name     string
		register func(*grpc.Server)
		hangs    bool
	}{
		{"no loop", func(*grpc.Server) {}, false},
		{"loop", func(g *grpc.Server) { ipc.RegisterHealth(g, ipc.LoopOf(calls, ctx.Done())) }, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			sock := filepath.Join(t.TempDir(), "x.sock")
			cc, err := ipc.Dial(sock)
			if err != nil {
				t.Fatal(err)
			}
			defer cc.Close()
			if err := ipc.Alive(ctx, cc); status.Code(err) != codes.Unavailable {
				t.Errorf("nobody serves: %v", err)
			}
			serving, stop := context.WithCancel(ctx)
			served := make(chan error, 1)
			loop := make(chan struct{})
			go func() {
				served <- ipc.Serve(serving, sock, tc.register, func(ctx context.Context) error {
					select {
					case <-loop:
					case <-ctx.Done():
						return nil
					}
					for {
						select {
						case f := <-calls:
							f()
						case <-ctx.Done():
							return nil
						}
					}
				})
			}()
			for ipc.Alive(short(t, ctx), cc) != nil && !tc.hangs { // until it serves
				if ctx.Err() != nil {
					t.Fatal("it does not serve")
				}
			}
			if tc.hangs {
				var err error
				for err = ipc.Alive(short(t, ctx), cc); status.Code(err) == codes.Unavailable && ctx.Err() == nil; err = ipc.Alive(short(t, ctx), cc) {
				}
				if status.Code(err) != codes.DeadlineExceeded {
					t.Errorf("the loop does not turn: %v", err)
				}
			}
			close(loop)
			if err := ipc.Alive(ctx, cc); err != nil {
				t.Errorf("it works: %v", err)
			}
			stop()
			if err := <-served; err != nil {
				t.Error(err)
			}
		})
	}
}

func short(t *testing.T, ctx context.Context) context.Context {
	ctx, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}
