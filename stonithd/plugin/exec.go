package plugin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"linuxha/stonithd/device"
)

// process is one program run to its end.
type process struct {
	path    string
	args    []string
	env     []string
	stdin   []byte
	timeout time.Duration // 0: none
}

// run executes the program in a process group of its own. At the timeout, or
// when ctx ends, the whole group is killed. Output is complete when the
// process itself has ended; children that stay behind are not waited for.
func (p process) run(ctx context.Context) device.Result {
	stdout, stderr, err := newCapture(), newCapture(), error(nil)
	for _, c := range []*capture{stdout, stderr} {
		if err = c.open(); err != nil {
			stdout.abandon()
			stderr.abandon()
			return cannotRun(p.path, err)
		}
	}
	cmd, err := p.start(stdout.w, stderr.w)
	stdout.w.Close()
	stderr.w.Close()
	if err != nil {
		stdout.abandon()
		stderr.abandon()
		return cannotRun(p.path, err)
	}
	go stdout.read()
	go stderr.read()

	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	var expired <-chan time.Time
	if p.timeout > 0 {
		t := time.NewTimer(p.timeout)
		defer t.Stop()
		expired = t.C
	}
	var res device.Result
	select {
	case err := <-exited:
		res = ended(err)
	case <-expired:
		killGroup(cmd)
		<-exited
		res = device.Result{
			RC: 1, Status: device.StatusTimeout,
			Reason: "Fence agent did not complete within " + span(p.timeout),
		}
	case <-ctx.Done():
		killGroup(cmd)
		<-exited
		res = device.Result{RC: 1, Status: device.StatusCancelled, Reason: "The fencer is being stopped"}
	}
	res.Output, res.Stderr = stdout.finish(), stderr.finish()
	return res
}

func (p process) start(stdout, stderr *os.File) (*exec.Cmd, error) {
	start := func(path string, args ...string) (*exec.Cmd, error) {
		cmd := exec.Command(path, args...)
		cmd.Env = p.env
		cmd.Stdin = bytes.NewReader(p.stdin)
		cmd.Stdout, cmd.Stderr = stdout, stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		cmd.WaitDelay = 100 * time.Millisecond // an agent need not read all of its input
		return cmd, cmd.Start()
	}
	cmd, err := start(p.path, p.args...)
	if errors.Is(err, syscall.ENOEXEC) { // a script without #! (execution 2.1)
		return start("/bin/sh", append([]string{p.path}, p.args...)...)
	}
	return cmd, err
}

func killGroup(cmd *exec.Cmd) {
	// The group outlives its leader, so the error can only be that nobody is left.
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
}

func ended(err error) device.Result {
	var exit *exec.ExitError
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay), errors.Is(err, syscall.EPIPE):
		return device.Result{}
	case errors.As(err, &exit):
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			return device.Result{
				RC: 1, Status: device.StatusError,
				Reason: fmt.Sprintf("Fence agent interrupted by %s signal", unix.SignalName(ws.Signal())),
			}
		}
		return device.Result{RC: int32(exit.ExitCode())}
	}
	return device.Result{RC: 1, Status: device.StatusError, Reason: err.Error()}
}

// cannotRun maps failures to start (execution 2.4).
func cannotRun(path string, err error) device.Result {
	status := device.StatusError
	for _, e := range []error{fs.ErrNotExist, syscall.EISDIR, syscall.ENOTDIR, syscall.EINVAL, syscall.ENOEXEC} {
		if errors.Is(err, e) {
			status = device.StatusNotInstalled
		}
	}
	reason := err.Error()
	var errno syscall.Errno
	if errors.As(err, &errno) {
		reason = path + ": " + errno.Error()
	}
	return device.Result{RC: 1, Status: status, Reason: reason}
}

// span shows a limit as d/h/m/s (execution 6.1).
func span(d time.Duration) string {
	if d%time.Second != 0 {
		return fmt.Sprintf("%gs", d.Seconds())
	}
	var b strings.Builder
	rest := int64(d / time.Second)
	for _, u := range []struct {
		secs int64
		name string
	}{{86400, "d"}, {3600, "h"}, {60, "m"}, {1, "s"}} {
		if n := rest / u.secs; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, u.name)
			rest -= n * u.secs
		}
	}
	return b.String()
}

// capture reads a pipe until told that the writer is done, even if somebody
// else still holds the other end.
type capture struct {
	r, w *os.File
	buf  bytes.Buffer
	done chan struct{}
}

func newCapture() *capture { return &capture{done: make(chan struct{})} }

func (c *capture) open() (err error) {
	c.r, c.w, err = os.Pipe()
	return err
}

func (c *capture) abandon() {
	if c.r != nil {
		c.r.Close()
		c.w.Close() // again, after start: the error says only that
	}
}

func (c *capture) read() {
	defer close(c.done)
	_, err := io.Copy(&c.buf, c.r)
	_ = err // end of file, or the deadline that finish sets
}

// finish stops the reader and takes what is left in the pipe.
func (c *capture) finish() string {
	defer c.r.Close()
	if err := c.r.SetReadDeadline(time.Now()); err == nil {
		<-c.done
		c.drain()
	} else {
		<-c.done
	}
	return c.buf.String()
}

func (c *capture) drain() {
	raw, err := c.r.SyscallConn()
	if err != nil {
		return
	}
	chunk := make([]byte, 64<<10)
	_ = raw.Control(func(fd uintptr) {
		for {
			n, err := unix.Read(int(fd), chunk)
			if n <= 0 || err != nil {
				return
			}
			c.buf.Write(chunk[:n])
		}
	})
}
