// Package cibclient is how tools and daemons reach a CIB: the local daemon, a
// file (CIB_file) or a shadow copy (CIB_shadow), behind one interface (cib 8).
// It imports the pure rooms of cib, which do for a file what the daemon does
// for the cluster.
package cibclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"linuxha/cib/cibdoc"
	"linuxha/internal/exitcode"
	"linuxha/internal/ipc"
	"linuxha/internal/paths"
	cibv1 "linuxha/proto/cib/v1"
)

// Client is a CIB to work on. Answers carry a result code (cib 14); the error
// is for what kept the question from being answered, such as no daemon
// (ENOTCONN inside).
type Client interface {
	Query(ctx context.Context, req *cibv1.QueryRequest) (*cibv1.QueryResponse, error)
	Apply(ctx context.Context, req *cibv1.ApplyRequest) (*cibv1.ApplyResponse, error)
	// Watch follows the document; a file cannot be followed (EPROTONOSUPPORT).
	Watch(ctx context.Context, req *cibv1.WatchRequest) (Stream, error)
	// Live reports whether this is the local daemon.
	Live() bool
	// Close ends the use; changes to a file are written now.
	Close() error
}

// Stream delivers notifications; the first one carries the whole document.
type Stream interface {
	Recv() (*cibv1.Notification, error)
}

// Options say which CIB is meant. The zero value is what Open uses.
type Options struct {
	Getenv  func(string) string // nil: os.Getenv
	Layout  *paths.Layout       // nil: from the environment
	Stdin   io.Reader           // for CIB_file=-; nil: os.Stdin
	Timeout time.Duration       // for reaching the daemon; 0: 5 s
	// Upgrade is for who will only upgrade: a file in a language that is no
	// longer served, Heartbeat 2.1's, can be opened too.
	Upgrade bool
}

// InFile are the options for a file that a command line names; without a name
// the environment decides.
func InFile(name string) Options {
	if name == "" {
		return Options{}
	}
	return Options{Getenv: func(n string) string {
		switch n {
		case "CIB_file":
			return name
		case "CIB_shadow":
			return ""
		}
		return os.Getenv(n)
	}}
}

// Open chooses by the environment: CIB_shadow, then CIB_file, then the local
// daemon (cib 8.1).
func Open(ctx context.Context) (Client, error) { return OpenWith(ctx, Options{}) }

// OpenWith is Open with the surroundings given.
func OpenWith(ctx context.Context, o Options) (Client, error) {
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	if o.Layout == nil {
		l := paths.FromEnv()
		o.Layout = &l
	}
	if name := o.Getenv("CIB_shadow"); name != "" {
		return openFile(ShadowPath(o.Getenv, *o.Layout, name), o)
	}
	if name := o.Getenv("CIB_file"); name != "" {
		return openFile(name, o)
	}
	if o.Getenv("CIB_port") != "" {
		return nil, fmt.Errorf("remote access to a CIB (CIB_port) is not supported: run the tool on a cluster node: %w", syscall.EPROTONOSUPPORT)
	}
	return Dial(ctx, o.Layout.Socket("cib"), o.Timeout)
}

// ShadowPath is the file of a shadow copy (cib 8.3).
func ShadowPath(getenv func(string) string, l paths.Layout, name string) string {
	file := "shadow." + name
	if dir := getenv("CIB_shadow_dir"); dir != "" {
		return filepath.Join(dir, file)
	}
	if u, err := user.Current(); err == nil && (u.Uid == "0" || u.Username == "hacluster") {
		return filepath.Join(l.CIB(), file)
	}
	if home := getenv("HOME"); home != "" {
		dir := filepath.Join(home, ".cib")
		if err := os.Mkdir(dir, 0o700); err == nil || errors.Is(err, os.ErrExist) {
			return filepath.Join(dir, file)
		}
	}
	return filepath.Join(os.TempDir(), file)
}

// live is the daemon behind its socket.
type live struct {
	cc  *grpc.ClientConn
	cib cibv1.CibClient
}

// Dial connects to the daemon behind socket. It fails with ENOTCONN inside
// where none answers within timeout (0: 5 s).
func Dial(ctx context.Context, socket string, timeout time.Duration) (Client, error) {
	if timeout <= 0 {
		timeout = 5 * time.Second
	}
	cc, err := ipc.Dial(socket)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	l := &live{cc, cibv1.NewCibClient(cc)}
	if _, err := l.cib.Query(ctx, &cibv1.QueryRequest{NoChildren: true}); err != nil {
		cc.Close()
		return nil, fmt.Errorf("connect to the CIB daemon: %w", translate(err))
	}
	return l, nil
}

// translate puts the errno that tools know into a gRPC error.
func translate(err error) error {
	errno := syscall.ENOTCONN
	switch status.Code(err) {
	case codes.OK:
		return nil
	case codes.PermissionDenied:
		errno = syscall.EACCES
	case codes.DeadlineExceeded:
		errno = syscall.ETIME
	case codes.Canceled:
		return context.Canceled
	}
	return fmt.Errorf("%w: %s", errno, status.Convert(err).Message())
}

func (l *live) Query(ctx context.Context, req *cibv1.QueryRequest) (*cibv1.QueryResponse, error) {
	r, err := l.cib.Query(ctx, req)
	if err != nil {
		return nil, translate(err)
	}
	return r, nil
}

func (l *live) Apply(ctx context.Context, req *cibv1.ApplyRequest) (*cibv1.ApplyResponse, error) {
	r, err := l.cib.Apply(ctx, req)
	if err != nil {
		return nil, translate(err)
	}
	return r, nil
}

func (l *live) Watch(ctx context.Context, req *cibv1.WatchRequest) (Stream, error) {
	s, err := l.cib.Watch(ctx, req)
	if err != nil {
		return nil, translate(err)
	}
	return stream{s}, nil
}

type stream struct {
	grpc.ServerStreamingClient[cibv1.Notification]
}

func (s stream) Recv() (*cibv1.Notification, error) {
	n, err := s.ServerStreamingClient.Recv()
	if err != nil {
		return nil, translate(err)
	}
	return n, nil
}

func (l *live) Live() bool   { return true }
func (l *live) Close() error { return l.cc.Close() }

// answer is what QueryResponse and ApplyResponse have in common.
type answer interface {
	GetRc() int32
	GetError() string
}

// Err is the failure in an answer, nil if there is none.
func Err(a answer) error {
	if a.GetRc() == 0 {
		return nil
	}
	return &cibdoc.Failure{RC: cibdoc.RC(a.GetRc()), Detail: a.GetError()}
}

// ExitCode is the status with which a tool ends after err (cib 14).
func ExitCode(err error) exitcode.Code {
	switch rc := cibdoc.RCOf(err); rc {
	case cibdoc.OK:
		return exitcode.OK
	case cibdoc.RCNoQuorum:
		return exitcode.Quorum
	case cibdoc.RCSchema, cibdoc.RCTransform:
		return exitcode.Config
	case cibdoc.RCOldData:
		return exitcode.Old
	case cibdoc.RCPermission:
		return exitcode.Error
	default:
		if rc > 200 {
			return exitcode.Error
		}
		return exitcode.FromErrno(syscall.Errno(rc))
	}
}
