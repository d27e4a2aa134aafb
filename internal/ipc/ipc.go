// Package ipc carries gRPC over Unix sockets between the programs of one node,
// with the peer's credentials (SO_PEERCRED) available to every handler.
package ipc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/peer"
)

// MaxMessage bounds one gRPC message: a large CIB with its status fits.
const MaxMessage = 256 << 20

// A stream and a connection may have so much on the way that its reader has not
// taken. That they are said keeps gRPC from measuring the path with a ping for
// each message: it is a socket of this machine.
const (
	streamWindow     = 1 << 20
	connectionWindow = 4 << 20
)

// Peer is the process at the other end of a local call.
type Peer struct {
	PID int
	UID uint32
	GID uint32
}

// AuthType makes Peer a credentials.AuthInfo.
func (Peer) AuthType() string { return "peercred" }

// PeerFrom returns the caller of the handler that ctx belongs to; false when
// the call did not come through Serve.
func PeerFrom(ctx context.Context) (Peer, bool) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return Peer{}, false
	}
	cred, ok := p.AuthInfo.(Peer)
	return cred, ok
}

type peerCredentials struct{}

func (peerCredentials) ClientHandshake(_ context.Context, _ string, c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return c, Peer{}, nil
}

func (peerCredentials) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	uc, ok := c.(*net.UnixConn)
	if !ok {
		return nil, nil, errors.New("peer credentials: not a Unix socket")
	}
	raw, err := uc.SyscallConn()
	if err != nil {
		return nil, nil, err
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return nil, nil, err
	}
	if credErr != nil {
		return nil, nil, credErr
	}
	return c, Peer{PID: int(cred.Pid), UID: cred.Uid, GID: cred.Gid}, nil
}

func (peerCredentials) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "peercred"}
}
func (p peerCredentials) Clone() credentials.TransportCredentials { return p }
func (peerCredentials) OverrideServerName(string) error           { return nil }

// Listen binds path, replacing a socket that a dead process left behind, and
// lets every local user connect: handlers check who calls.
func Listen(path string) (net.Listener, error) {
	if len(path) > 107 {
		return nil, fmt.Errorf("socket path %q has %d bytes, at most 107 are possible: choose a shorter HA_ROOT", path, len(path))
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		c.Close()
		return nil, fmt.Errorf("another process already serves %s: stop it first", path)
	} else if !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("check socket %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o666); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// NewServer returns a gRPC server with peer credentials and our limits.
func NewServer() *grpc.Server {
	return grpc.NewServer(grpc.Creds(peerCredentials{}), grpc.InitialWindowSize(streamWindow), grpc.InitialConnWindowSize(connectionWindow),
		grpc.MaxRecvMsgSize(MaxMessage), grpc.MaxSendMsgSize(MaxMessage))
}

// Serve serves what register registers on the socket at path, with a health
// service unless register brings its own, and runs run beside it, until ctx ends or either fails. It returns run's error.
func Serve(ctx context.Context, path string, register func(*grpc.Server), run func(context.Context) error) error {
	l, err := Listen(path)
	if err != nil {
		return err
	}
	srv := NewServer()
	register(srv)
	if !offersHealth(srv) {
		RegisterHealth(srv, nil)
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := srv.Serve(l); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			return err
		}
		return nil
	})
	g.Go(func() error {
		defer stop(srv)
		return run(gctx)
	})
	return g.Wait()
}

// stop lets answers under way get out, but waits for no stream.
func stop(srv *grpc.Server) {
	done := make(chan struct{})
	go func() {
		srv.GracefulStop()
		close(done)
	}()
	t := time.NewTimer(200 * time.Millisecond)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
		srv.Stop()
		<-done
	}
}

// Dial returns a connection to the daemon behind the socket at path. It does
// not wait: calls fail with Unavailable while nobody serves there, unless made
// with grpc.WaitForReady; lost connections are renewed within 100 ms.
func Dial(path string) (*grpc.ClientConn, error) {
	return grpc.NewClient("unix:"+path,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithInitialWindowSize(streamWindow), grpc.WithInitialConnWindowSize(connectionWindow),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(MaxMessage), grpc.MaxCallSendMsgSize(MaxMessage)),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 10 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 100 * time.Millisecond},
			MinConnectTimeout: time.Second,
		}))
}
