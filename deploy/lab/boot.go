package lab

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// BootMain is a node's process 1 (halab boot): it builds the node's file
// system, starts programs when told, reaps what dies, and ends with its
// owner, taking the whole node along.
func BootMain() int {
	// What is aimed at the owner's terminal is the owner's business. Caught and
	// dropped: ignoring would be inherited by all that runs on the node.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	// The pipes must not leak into what runs on the node: the owner's end
	// would otherwise stay open.
	unix.CloseOnExec(orderFD)
	unix.CloseOnExec(noticeFD)
	b := &booted{say: newSayer(), started: map[int]bool{}}
	go b.reap()
	err := serveOrders(b.say, b.handle)
	if err != nil {
		fmt.Fprintf(os.Stderr, "lab boot: %v\n", err)
		return 1
	}
	return 0
}

type booted struct {
	say func(notice)

	mu      sync.Mutex
	started map[int]bool // programs whose end is reported
}

func (b *booted) handle(o order) (notice, error) {
	switch o.Op {
	case "boot":
		return notice{}, b.boot(*o.Boot)
	case "start":
		pid, err := b.start(*o.Start)
		return notice{PID: pid}, err
	case "signal":
		return notice{}, syscall.Kill(o.PID, syscall.Signal(o.Sig))
	case "signal-all": // every process but this one, at one instant
		err := syscall.Kill(-1, syscall.Signal(o.Sig))
		if errors.Is(err, syscall.ESRCH) {
			err = nil // none there
		}
		return notice{}, err
	}
	return notice{}, fmt.Errorf("unknown order %q", o.Op)
}

func (b *booted) boot(spec bootSpec) error {
	if err := syscall.Sethostname([]byte(spec.Name)); err != nil {
		return fmt.Errorf("set host name: %w", err)
	}
	for i := range spec.Links {
		if err := disableOffload(fmt.Sprintf("eth%d", i)); err != nil {
			return err
		}
	}
	return buildRoot(spec)
}

// start runs a program as this process's child in a session of its own.
func (b *booted) start(s startSpec) (int, error) {
	if err := os.MkdirAll(filepath.Dir(s.Log), 0o755); err != nil {
		return 0, err
	}
	out, err := os.OpenFile(s.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return 0, err
	}
	defer out.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	// Registered under the lock that reap takes: an early death is not missed.
	b.mu.Lock()
	defer b.mu.Unlock()
	proc, err := os.StartProcess(s.Argv[0], s.Argv, &os.ProcAttr{
		Dir: "/", Env: s.Env, Files: []*os.File{null, out, out}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return 0, err
	}
	b.started[proc.Pid] = true
	return proc.Pid, nil
}

// reap waits for every child, also adopted ones, for ever.
func (b *booted) reap() {
	sigs := make(chan os.Signal, 16)
	signal.Notify(sigs, syscall.SIGCHLD)
	for range sigs {
		for {
			var status syscall.WaitStatus
			pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
			if errors.Is(err, syscall.EINTR) {
				continue
			}
			if err != nil || pid <= 0 {
				break
			}
			b.mu.Lock()
			ours := b.started[pid]
			delete(b.started, pid)
			b.mu.Unlock()
			if ours {
				b.say(notice{Exited: true, PID: pid, Status: describe(status)})
			}
		}
	}
}

func describe(s syscall.WaitStatus) string {
	if s.Signaled() {
		return "killed by signal " + s.Signal().String()
	}
	return fmt.Sprintf("exit status %d", s.ExitStatus())
}
