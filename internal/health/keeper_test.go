package health_test

import (
	"context"
	"log/slog"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"

	"linuxha/internal/health"
	"linuxha/internal/ipc"
)

// daemon serves a socket with a loop that can be stopped, in this process; the
// process that is looked at is another, which sleeps.
type daemon struct {
	t      *testing.T
	socket string
	calls  chan func()
	killed chan struct{}
	proc   health.Process
}

func newDaemon(t *testing.T) *daemon {
	t.Helper()
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d := &daemon{t: t, socket: filepath.Join(t.TempDir(), "s"), calls: make(chan func()), killed: make(chan struct{})}
	d.proc = health.Process{Name: "x", PID: cmd.Process.Pid, Socket: d.socket, Kill: func() error { close(d.killed); return nil }}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	ready := make(chan struct{})
	go func() {
		served <- ipc.Serve(ctx, d.socket, func(g *grpc.Server) { ipc.RegisterHealth(g, ipc.LoopOf(d.calls, ctx.Done())) }, func(ctx context.Context) error {
			close(ready)
			for {
				select {
				case <-ctx.Done():
					return nil
				case f := <-d.calls:
					f()
				}
			}
		})
	}()
	<-ready
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
	})
	return d
}

// hang stops the loop until the test ends or the returned function is called.
func (d *daemon) hang() func() {
	on := make(chan struct{})
	taken := make(chan struct{})
	d.calls <- func() { close(taken); <-on }
	<-taken
	return func() { close(on) }
}

var quick = health.Limits{Period: 80 * time.Millisecond, Tries: 5, Patience: 3}

func (d *daemon) keep(limits health.Limits) (ended chan struct{}) {
	ctx, stop := context.WithCancel(context.Background())
	ended = make(chan struct{})
	go func() { defer close(ended); health.Keep(ctx, d.proc, limits, slog.New(slog.DiscardHandler)) }()
	d.t.Cleanup(func() { stop(); <-ended })
	return ended
}

// TestKeep: a loop that hangs costs the daemon its life although its
// connections are served, one that comes back in time does not.
func TestKeep(t *testing.T) {
	d := newDaemon(t)
	ended := d.keep(quick)
	for range 3 { // it comes back each time
		back := d.hang()
		select {
		case <-d.killed:
			t.Fatal("killed too early")
		case <-time.After(2 * quick.Period):
		}
		back()
		select {
		case <-d.killed:
			t.Fatal("killed although it answers")
		case <-time.After(6 * quick.Period):
		}
	}
	began := time.Now()
	defer d.hang()()
	select {
	case <-d.killed:
	case <-time.After(10 * time.Second):
		t.Fatal("a daemon that hangs is not killed")
	}
	if took := time.Since(began); took < 3*quick.Period {
		t.Errorf("killed after %v", took)
	}
	<-ended
}

// TestKeepOff: without limits nobody is asked.
func TestKeepOff(t *testing.T) {
	d := newDaemon(t)
	defer d.hang()()
	select {
	case <-d.keep(health.Limits{}):
	case <-time.After(10 * time.Second):
		t.Fatal("it is watched")
	}
}

// TestKeepEndsWithTheProcess: the watch is one process's.
func TestKeepEndsWithTheProcess(t *testing.T) {
	d := newDaemon(t)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); health.Keep(ctx, d.proc, quick, slog.New(slog.DiscardHandler)) }()
	defer d.hang()()
	stop()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("it goes on")
	}
	select {
	case <-d.killed:
		t.Error("killed")
	default:
	}
}
