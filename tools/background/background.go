// Package background is what the small daemons among the tools share: going
// into the background, the pid file, and being asked for and ended by a later
// call of the same tool.
package background

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrRunning says that another process holds the pid file.
var ErrRunning = errors.New("already running")

// patience is how long a daemon may take to start or to end.
const patience = 10 * time.Second

// marker in the environment tells a process that it is the one in the background.
const marker = "LINUXHA_IN_BACKGROUND"

// Lock writes the pid file; it is locked as long as the returned file is open,
// so one that a killed process left misleads nobody.
func Lock(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, ErrRunning
		}
		return nil, err
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = fmt.Fprintf(f, "%10d\n", os.Getpid())
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Running is the process that holds the pid file, 0 if none does.
func Running(path string) int {
	f, err := os.Open(path)
	if err != nil {
		return 0
	}
	defer f.Close()
	if unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) == nil {
		return 0
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	return pid
}

// Stop ends the process that holds the pid file and waits for its end.
func Stop(path string) error { return signal(path, syscall.SIGTERM, true) }

// Signal sends it a signal.
func Signal(path string, sig syscall.Signal) error { return signal(path, sig, false) }

func signal(path string, sig syscall.Signal, wait bool) error {
	pid := Running(path)
	if pid == 0 {
		return os.ErrProcessDone
	}
	if err := syscall.Kill(pid, sig); err != nil {
		return err
	}
	for end := time.Now().Add(patience); wait && Running(path) == pid; {
		if time.Now().After(end) {
			return fmt.Errorf("process %d does not end", pid)
		}
		time.Sleep(10 * time.Millisecond) // the end of a lock cannot be waited for
	}
	return nil
}

// Detached reports whether this process is the one in the background.
func Detached() bool { return os.Getenv(marker) != "" }

// Detach starts this program again, in a session of its own, and returns once
// that has the pid file; the caller then ends.
func Detach(ctx context.Context, name string, args []string, pidFile string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	cmd := &exec.Cmd{
		Path: self, Args: append([]string{name}, args...), Env: append(os.Environ(), marker+"=1"), Dir: "/",
		Stdin: null, Stdout: null, Stderr: null, SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	late := time.After(patience)
	for {
		select {
		case err := <-ended:
			return fmt.Errorf("it ended at once (%w): start it in the foreground to see why", err)
		case <-look.C:
			if Running(pidFile) == cmd.Process.Pid {
				return nil
			}
		case <-late:
			return fmt.Errorf("process %d has not begun its work", cmd.Process.Pid)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
