package ipc_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	"linuxha/internal/ipc"
	cibv1 "linuxha/proto/cib/v1"
)

type whoami struct {
	cibv1.UnimplementedCibServer
	seen chan ipc.Peer
}

func (w *whoami) GetStatus(ctx context.Context, _ *cibv1.GetStatusRequest) (*cibv1.GetStatusResponse, error) {
	p, ok := ipc.PeerFrom(ctx)
	if !ok {
		return nil, errors.New("no peer")
	}
	w.seen <- p
	return &cibv1.GetStatusResponse{}, nil
}

func TestHandlersSeeThePeer(t *testing.T) {
	sock := filepath.Join(t.TempDir(), "x.sock")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	w := &whoami{seen: make(chan ipc.Peer, 1)}
	served := make(chan error, 1)
	stop, stopNow := context.WithCancel(ctx)
	go func() {
		served <- ipc.Serve(stop, sock, func(s *grpc.Server) { cibv1.RegisterCibServer(s, w) },
			func(ctx context.Context) error { <-ctx.Done(); return nil })
	}()
	conn, err := ipc.Dial(sock)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := cibv1.NewCibClient(conn).GetStatus(ctx, &cibv1.GetStatusRequest{}, grpc.WaitForReady(true)); err != nil {
		t.Fatal(err)
	}
	if p := <-w.seen; p.PID != os.Getpid() || p.UID != uint32(os.Getuid()) {
		t.Errorf("peer = %+v, want pid %d uid %d", p, os.Getpid(), os.Getuid())
	}
	if _, err := ipc.Listen(sock); err == nil || !strings.Contains(err.Error(), "already serves") {
		t.Errorf("second Listen: %v, want a refusal", err)
	}
	stopNow()
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestListenReplacesADeadSocket(t *testing.T) {
	sock := filepath.Join(t.TempDir(), "x.sock")
	l, err := ipc.Listen(sock)
	if err != nil {
		t.Fatal(err)
	}
	if f, ok := l.(interface{ SetUnlinkOnClose(bool) }); ok {
		f.SetUnlinkOnClose(false) // as a killed process leaves it
	}
	l.Close()
	l, err = ipc.Listen(sock)
	if err != nil {
		t.Fatalf("Listen on a dead socket: %v", err)
	}
	l.Close()
}

func TestListenRefusesALongPath(t *testing.T) {
	if _, err := ipc.Listen("/tmp/" + strings.Repeat("x", 120)); err == nil || !strings.Contains(err.Error(), "HA_ROOT") {
		t.Errorf("got %v, want a hint at HA_ROOT", err)
	}
}
