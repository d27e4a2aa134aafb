// Package run executes agents as processes.
//
// A child gets the state that execution 2.2 describes: its own process group,
// no input, two pipes for its output, no other descriptor. It is never tied to
// our life: what it starts goes on when we die. A run ends when the process
// itself ends, whoever still holds its pipes.
package run

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrKillLeader as the cause of a context's end kills the process alone and
// leaves its group to be looked at; any other cause kills the whole group.
var ErrKillLeader = errors.New("kill the process but not its group")

// Command is a program to run.
type Command struct {
	Path string   // stat'ed first; without "#!" and no binary: run by /bin/sh
	Args []string // argv, the name included
	Env  []string
	Dir  string // empty: ours
	// As is the user and group to run as, without supplementary groups. Nil: ours.
	As *syscall.Credential
	// Limit bounds what is kept of each output stream: the start of it and
	// some of its end. Zero: DefaultLimit.
	Limit int
}

// DefaultLimit suffices for every known agent's meta-data many times over.
const DefaultLimit = 1 << 20

// Result is how a process ended.
type Result struct {
	PID            int
	Exit           int            // exit code; -1 after a signal
	Signal         syscall.Signal // 0: exited by itself
	Killed         bool           // by us, because the context ended
	Stdout, Stderr string
	Launched       time.Time
}

// StartError is a failure to launch.
type StartError struct {
	Path string
	Errno
	// AfterStat: the file is there, but could not be executed. The reference
	// notices this only in the child (execution 2.4).
	AfterStat bool
}

// Errno is the system's reason.
type Errno = syscall.Errno

func (e *StartError) Error() string { return e.Path + ": " + Strerror(e.Errno) }

// Strerror is the error's text as the C library writes it.
func Strerror(e syscall.Errno) string { return capital(e.Error()) }

// SignalText is the signal's text as the C library writes it.
func SignalText(s syscall.Signal) string { return capital(s.String()) }

func capital(s string) string {
	if s != "" && s[0] >= 'a' && s[0] <= 'z' {
		return string(s[0]-'a'+'A') + s[1:]
	}
	return s
}

// Run runs cmd until its process ends. launched is called once the program is
// being executed. When ctx ends, the process group is killed (ErrKillLeader:
// only the process) and Run still waits for the process to end.
func Run(ctx context.Context, cmd Command, launched func(pid int, at time.Time)) (Result, error) {
	if _, err := os.Stat(cmd.Path); err != nil {
		return Result{}, startError(cmd.Path, err, false)
	}
	stdout, outW, err := newCapture(cmd.Limit)
	if err != nil {
		return Result{}, startError(cmd.Path, err, false)
	}
	defer stdout.close()
	defer outW.Close()
	stderr, errW, err := newCapture(cmd.Limit)
	if err != nil {
		return Result{}, startError(cmd.Path, err, false)
	}
	defer stderr.close()
	defer errW.Close()

	p, err := start(cmd, outW, errW)
	if err != nil {
		return Result{}, startError(cmd.Path, err, true)
	}
	at := time.Now()
	if launched != nil {
		launched(p.pid, at)
	}
	outW.Close()
	errW.Close()
	var readers sync.WaitGroup
	readers.Go(stdout.read)
	readers.Go(stderr.read)

	stopWatching := context.AfterFunc(ctx, func() {
		p.kill(!errors.Is(context.Cause(ctx), ErrKillLeader))
	})
	status, err := p.wait()
	stopWatching()
	stdout.finish()
	stderr.finish()
	readers.Wait()
	if err != nil {
		return Result{}, fmt.Errorf("wait for %s (pid %d): %w", cmd.Path, p.pid, err)
	}
	res := Result{PID: p.pid, Exit: status.ExitStatus(), Stdout: stdout.String(), Stderr: stderr.String(), Launched: at}
	if status.Signaled() {
		res.Signal = status.Signal()
		res.Killed = p.wasKilled() && res.Signal == syscall.SIGKILL
	}
	return res, nil
}

func startError(path string, err error, afterStat bool) error {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return &StartError{Path: path, Errno: errno, AfterStat: afterStat}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return &StartError{Path: path, Errno: syscall.ENOENT, AfterStat: afterStat}
	}
	return fmt.Errorf("start %s: %w", path, err)
}

// process is a child that has not been waited for, or just has.
type process struct {
	pid    int
	mu     sync.Mutex
	ended  bool // waited for: its pid and group may be someone else's by now
	killed bool
}

// starting is held for reading around a launch, so that the reaper of orphans
// never takes a child of ours for one: see ReapOrphans.
var starting sync.RWMutex

// own are the children whose end is awaited by process.wait.
var own = struct {
	sync.Mutex
	pids map[int]bool
}{pids: map[int]bool{}}

func start(cmd Command, stdout, stderr *os.File) (*process, error) {
	devNull, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer devNull.Close()
	attr := &syscall.ProcAttr{
		Dir: cmd.Dir, Env: cmd.Env,
		Files: []uintptr{devNull.Fd(), stdout.Fd(), stderr.Fd()},
		Sys:   &syscall.SysProcAttr{Setpgid: true, Credential: cmd.As},
	}
	starting.RLock()
	defer starting.RUnlock()
	pid, err := syscall.ForkExec(cmd.Path, cmd.Args, attr)
	if errors.Is(err, syscall.ENOEXEC) { // as execvp (execution 2.1)
		sh := append([]string{"/bin/sh", cmd.Path}, cmd.Args[min(1, len(cmd.Args)):]...)
		pid, err = syscall.ForkExec("/bin/sh", sh, attr)
	}
	if err != nil {
		return nil, err
	}
	own.Lock()
	own.pids[pid] = true
	own.Unlock()
	resetScheduling(pid)
	return &process{pid: pid}, nil
}

// wait blocks until the process ends. It looks without reaping first, so that
// kill can never hit a process or group of the same number.
func (p *process) wait() (syscall.WaitStatus, error) {
	for {
		err := unix.Waitid(unix.P_PID, p.pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EINTR) {
			return 0, err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var status syscall.WaitStatus
	for {
		_, err := syscall.Wait4(p.pid, &status, 0, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		p.ended = true
		own.Lock()
		delete(own.pids, p.pid)
		own.Unlock()
		kickReaper()
		return status, err
	}
}

func (p *process) kill(group bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return
	}
	p.killed = true
	target := p.pid
	if group {
		target = -p.pid
	}
	// The process is unreaped, so the only error left is a process that
	// cannot be killed, which shows as an operation that does not end.
	_ = syscall.Kill(target, syscall.SIGKILL)
}

func (p *process) wasKilled() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.killed
}

// ownPriority is read once: agents run at normal priority even where the
// daemon does not (execution 2.2).
var ownPriority = sync.OnceValue(func() (raised bool) {
	policy, _, errno := syscall.RawSyscall(syscall.SYS_SCHED_GETSCHEDULER, 0, 0, 0)
	nice, err := syscall.Getpriority(syscall.PRIO_PROCESS, 0) // the system call's 20-nice
	return errno == 0 && policy&^unix.SCHED_RESET_ON_FORK != unix.SCHED_NORMAL || err == nil && nice != 20
})

func resetScheduling(pid int) {
	if !ownPriority() {
		return
	}
	// Best effort: an agent at the wrong priority is better than none.
	_ = unix.SchedSetAttr(pid, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_NORMAL}, 0)
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, pid, 0)
}
