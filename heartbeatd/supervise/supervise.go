// Package supervise starts the daemons above heartbeatd, restarts those that
// die, and stops them in order (HB 12.2 respawn, 12.3). It knows their names
// and users, not what they do.
package supervise

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"linuxha/heartbeatd/halog"
	"linuxha/internal/health"
)

// Spec describes one child.
type Spec struct {
	Name    string
	Command []string // path and arguments
	User    string   // for the log
	UID     uint32
	GID     uint32
	// SwitchUser: run as UID and GID; else as this process runs.
	SwitchUser bool
	// Core: a daemon of the stack. Exit status 100 of it ends the whole node;
	// of another child it only ends that child.
	Core bool
	// FailFast: the machine shall be rebooted when it dies.
	FailFast bool
	// Survives: it goes on when heartbeatd is killed (lrmd: agents must not
	// lose their parent in the middle of an operation).
	Survives bool
	// Socket is where it answers the question whether it works; "": it is not
	// asked.
	Socket string
}

// Options are what a Supervisor works with.
type Options struct {
	Children []Spec // in starting order; they are stopped in reverse
	Env      []string
	RunDir   string // pid files
	CoreRoot string // children run in a folder of it, named as their user; "": in /
	Output   *halog.Log
	Log      *slog.Logger
	// FailFast is called when a child with FailFast died; true: a reboot is
	// under way and nothing is restarted.
	FailFast func(name string) bool
	// Health says when a child that does not answer counts as hanging; it is
	// killed then, and what follows is as after any other death (crm 7.2).
	Health health.Limits
	// Changed is called, from any goroutine, when a child started or ended.
	Changed func()
}

// Times of restarting (respawn lines of 3.0.6 wait 1 s; we begin at once).
const (
	backoffFirst = 100 * time.Millisecond
	backoffLast  = 5 * time.Second
	livedLong    = 30 * time.Second // then a death is a first one again
	tooFast      = 10               // short lives of a respawn line before it is given up
	emergency    = time.Hour        // a child that does not stop for so long is killed (HB 8.9)
	noRespawn    = 100              // exit status: do not restart (crm 7.3)
)

// ErrNodeMustStop is Run's reason when a daemon exited with status 100.
var ErrNodeMustStop = errors.New("a daemon asked not to be restarted: stopping this node")

// Status is a child's state.
type Status struct {
	Name     string
	PID      int // 0: not running
	Restarts int
}

// Supervisor runs children until its context ends.
type Supervisor struct {
	opt   Options
	kids  []*child
	fatal chan error
}

type child struct {
	Spec
	stopOnce sync.Once
	stopping chan struct{} // closed: end it and do not restart
	done     chan struct{} // closed: it ended for good

	mu       sync.Mutex
	pid      int
	restarts int
}

// New prepares the children; Run starts them.
func New(opt Options) *Supervisor {
	s := &Supervisor{opt: opt, fatal: make(chan error, 1)}
	for _, spec := range opt.Children {
		s.kids = append(s.kids, &child{Spec: spec, stopping: make(chan struct{}), done: make(chan struct{})})
	}
	return s
}

// Status tells about all children in starting order.
func (s *Supervisor) Status() []Status {
	out := make([]Status, 0, len(s.kids))
	for _, c := range s.kids {
		c.mu.Lock()
		out = append(out, Status{c.Name, c.pid, c.restarts})
		c.mu.Unlock()
	}
	return out
}

// KillLeftovers ends what a killed predecessor of this process left running.
// It is to be called before anything else: until the cluster is up and Run
// begins, nobody else looks after them.
func (s *Supervisor) KillLeftovers() {
	for _, c := range s.kids {
		s.killLeftover(c.Name)
	}
}

// Run starts the children in order and keeps them running until ctx ends or
// one of them ends the node; then it stops them in reverse order, waiting for
// each as long as it takes.
func (s *Supervisor) Run(ctx context.Context) error {
	forks := NewForker(s.opt.Log)
	defer forks.Close()
	for _, c := range s.kids {
		first := make(chan struct{})
		go s.keep(c, forks, first)
		select {
		case <-first:
		case <-ctx.Done():
		}
	}
	var err error
	select {
	case <-ctx.Done():
		err = context.Cause(ctx)
	case err = <-s.fatal:
	}
	for i := len(s.kids) - 1; i >= 0; i-- {
		s.stop(s.kids[i])
	}
	return err
}

func (s *Supervisor) stop(c *child) {
	select {
	case <-c.done: // ended already: nothing to say
		return
	default:
	}
	began := time.Now()
	s.opt.Log.Info("stopping child", "name", c.Name)
	c.stopOnce.Do(func() { close(c.stopping) })
	patience := time.NewTicker(30 * time.Second)
	defer patience.Stop()
	for {
		select {
		case <-c.done:
			s.opt.Log.Info("child stopped", "name", c.Name, "elapsed", time.Since(began).Round(time.Millisecond))
			return
		case <-patience.C:
			if time.Since(began) > emergency {
				s.opt.Log.Error("Emergency Shutdown: Attempting to kill everything ourselves", "name", c.Name)
				s.kill(c)
			}
			s.opt.Log.Info("still waiting for child to stop", "name", c.Name, "elapsed", time.Since(began).Round(time.Second))
		}
	}
}

func (s *Supervisor) kill(c *child) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pid == 0 {
		return
	}
	if err := syscall.Kill(c.pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		s.opt.Log.Error("cannot kill child", "name", c.Name, "pid", c.pid, "err", err)
	}
}

// keep runs one child again and again.
func (s *Supervisor) keep(c *child, forks *Forker, first chan<- struct{}) {
	defer close(c.done)
	defer os.Remove(s.pidFile(c.Name))
	wait, shortLives := time.Duration(0), 0
	for {
		began := time.Now()
		status, err := s.runOnce(c, forks, first)
		first = nil
		select {
		case <-c.stopping:
			return
		default:
		}
		command := strings.Join(c.Command, " ")
		switch {
		case err != nil:
			s.opt.Log.Error("cannot start child", "name", c.Name, "err", err)
		default:
			s.opt.Log.Warn(fmt.Sprintf("Managed %s process %d exited with return code %d.", command, status.pid, status.code))
			if status.signal != 0 {
				s.opt.Log.Warn(fmt.Sprintf("Managed %s process %d killed by signal %d.", command, status.pid, status.signal))
			}
		}
		if err == nil && status.code == noRespawn {
			if c.Core {
				s.opt.Log.Error("daemon must not be restarted; stopping this node", "name", c.Name, "status", noRespawn)
				s.end(fmt.Errorf("%w (%s)", ErrNodeMustStop, c.Name))
			}
			return
		}
		if c.FailFast && s.opt.FailFast != nil && s.opt.FailFast(c.Name) {
			return
		}
		if time.Since(began) >= livedLong {
			wait, shortLives = 0, 0
		} else if shortLives++; shortLives > tooFast && !c.Core {
			s.opt.Log.Error(fmt.Sprintf("Client %s \"respawning too fast\"", command))
			return
		}
		s.opt.Log.Error(fmt.Sprintf("Respawning client %q:", command), "after", wait)
		select {
		case <-c.stopping:
			return
		case <-time.After(wait):
		}
		wait = min(max(2*wait, backoffFirst), backoffLast)
		c.mu.Lock()
		c.restarts++
		c.mu.Unlock()
	}
}

// end hands Run the reason to stop, the first one only.
func (s *Supervisor) end(err error) {
	select {
	case s.fatal <- err:
	default:
	}
}

type exit struct {
	pid    int
	code   int
	signal syscall.Signal
}

// workDir is where a child runs, and leaves its core dumps.
func (s *Supervisor) workDir(c *child) string {
	if s.opt.CoreRoot == "" || c.User == "" {
		return "/"
	}
	dir, err := CoreDir(s.opt.CoreRoot, c.User, c.UID, c.GID)
	if err != nil {
		s.opt.Log.Warn("a child runs in /, not in its folder for core dumps", "name", c.Name, "err", err)
		return "/"
	}
	return dir
}

// runOnce starts the child and waits for its end.
func (s *Supervisor) runOnce(c *child, forks *Forker, first chan<- struct{}) (exit, error) {
	if first != nil {
		defer func() {
			if first != nil {
				close(first)
			}
		}()
	}
	cmd := exec.Command(c.Command[0], c.Command[1:]...)
	cmd.Env = s.opt.Env
	cmd.Dir = s.workDir(c)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if !c.Survives {
		cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	}
	if c.SwitchUser {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: c.UID, Gid: c.GID}
	}
	r, w, err := os.Pipe()
	if err != nil {
		return exit{}, err
	}
	cmd.Stderr, cmd.Stdout = w, w
	err = forks.Start(cmd)
	w.Close()
	if err != nil {
		r.Close()
		return exit{}, err
	}
	pid := cmd.Process.Pid
	s.opt.Log.Info(fmt.Sprintf("Starting child client %q (%d,%d)", strings.Join(c.Command, " "), c.UID, c.GID), "pid", pid)
	if err := s.writePID(c.Name, pid); err != nil {
		s.opt.Log.Warn("cannot write pid file; a leftover of this child would not be found after a crash", "name", c.Name, "err", err)
	}
	c.set(pid)
	s.changed()
	if first != nil {
		close(first)
		first = nil
	}
	go func() { // ends when the last process that holds the pipe does
		defer r.Close()
		if err := s.opt.Output.Collect(r, c.Name, pid); err != nil {
			s.opt.Log.Warn("lost a child's messages", "name", c.Name, "err", err)
		}
	}()
	life, ended := context.WithCancel(context.Background())
	go health.Keep(life, health.Process{Name: c.Name, PID: pid, Socket: c.Socket, Stopping: c.stopping, Kill: cmd.Process.Kill}, s.opt.Health, s.opt.Log)
	go func() {
		select {
		case <-c.stopping:
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
				s.opt.Log.Error("cannot signal child", "name", c.Name, "pid", pid, "err", err)
			}
		case <-life.Done():
		}
	}()
	err = cmd.Wait()
	ended()
	c.set(0)
	s.changed()
	ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	switch {
	case !ok:
		return exit{pid: pid}, err
	case ws.Signaled():
		return exit{pid: pid, code: 128 + int(ws.Signal()), signal: ws.Signal()}, nil
	}
	return exit{pid: pid, code: ws.ExitStatus()}, nil
}

func (c *child) set(pid int) {
	c.mu.Lock()
	c.pid = pid
	c.mu.Unlock()
}

func (s *Supervisor) changed() {
	if s.opt.Changed != nil {
		s.opt.Changed()
	}
}

func (s *Supervisor) pidFile(name string) string { return PIDFile(s.opt.RunDir, name) }

// PIDFile is where a program's process is noted.
func PIDFile(dir, name string) string { return filepath.Join(dir, filepath.Base(name)+".pid") }

// writePID notes the process so that it can be told from a later one with the
// same number: the second word is its start time.
func (s *Supervisor) writePID(name string, pid int) error {
	start, err := startTime(pid)
	if err != nil {
		return err
	}
	return os.WriteFile(s.pidFile(name), []byte(fmt.Sprintf("%10d %s\n", pid, start)), 0o644)
}

// startTime is the process's start in clock ticks since boot.
func startTime(pid int) (string, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "", err
	}
	_, rest, ok := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 20 {
		return "", fmt.Errorf("/proc/%d/stat is not understood", pid)
	}
	if fields[0] == "Z" || fields[0] == "X" {
		return "", os.ErrProcessDone
	}
	return fields[19], nil
}
