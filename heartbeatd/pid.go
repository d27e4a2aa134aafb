package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"linuxha/heartbeatd/hacf"
	"linuxha/internal/ipc"
	"linuxha/internal/paths"
	heartbeatv1 "linuxha/proto/heartbeat/v1"
)

// pidPath is /var/run/heartbeat.pid (HB 1.2). The daemon holds a lock on it as
// long as it runs, so a file left by a killed one misleads nobody.
func pidPath(l paths.Layout) string { return filepath.Join(filepath.Dir(l.Run()), "heartbeat.pid") }

// errRunning says that another heartbeatd has the lock.
var errRunning = errors.New("already running")

// lockPID writes our pid and returns the locked file, to be kept open.
func lockPID(l paths.Layout) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(pidPath(l)), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(pidPath(l), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errRunning
		}
		return nil, err
	}
	if err := f.Truncate(0); err != nil {
		f.Close()
		return nil, err
	}
	if _, err := fmt.Fprintf(f, "%10d\n", os.Getpid()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// runningPID is the daemon's pid, 0 if none runs; exists tells whether there
// is a pid file at all.
func runningPID(l paths.Layout) (pid int, exists bool) {
	f, err := os.Open(pidPath(l))
	if err != nil {
		return 0, false
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); err == nil {
		return 0, true // nobody holds it
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return 0, true
	}
	pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, true
	}
	return pid, true
}

// showStatus is -s.
func showStatus(l paths.Layout, stdout io.Writer) int {
	pid, exists := runningPID(l)
	if pid == 0 {
		fmt.Fprintln(stdout, "heartbeat is stopped. No process")
		if exists {
			return exitError
		}
		return exitNoFile
	}
	host, node := "", ""
	if name, err := os.Hostname(); err == nil {
		host, node = name, strings.ToLower(name)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if cc, err := ipc.Dial(l.Socket("heartbeatd")); err == nil {
		defer cc.Close()
		if st, err := heartbeatv1.NewControlClient(cc).GetStatus(ctx, &heartbeatv1.GetStatusRequest{}); err == nil {
			node = st.Node
		}
	}
	fmt.Fprintf(stdout, "heartbeat OK [pid %d et al] is running on %s [%s]...\n", pid, host, node)
	return exitOK
}

// kill is -k: ask it to stop and wait until it has.
func kill(l paths.Layout, stderr io.Writer) int {
	pid, _ := runningPID(l)
	if pid == 0 {
		fmt.Fprintln(stderr, "INFO: Heartbeat already stopped.")
		return exitOK
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		fmt.Fprintf(stderr, "ERROR: cannot stop heartbeat [pid %d]: %v: run this as root\n", pid, err)
		return exitError
	}
	for now, _ := runningPID(l); now == pid; now, _ = runningPID(l) {
		time.Sleep(50 * time.Millisecond) // the lock's end cannot be waited for with a signal pending to us
	}
	return exitOK
}

// reload is -r while the daemon runs: check first, then SIGHUP.
func reload(l paths.Layout, pid int, stderr io.Writer) int {
	node, err := nodeName()
	if err == nil {
		_, err = hacf.Load(hacf.Options{Dir: l.Config(), Node: node})
	}
	if err == nil {
		_, _, err = hacf.LoadKeys(l.Config())
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
		fmt.Fprintf(stderr, "info: Config errors: Heartbeat pid %d NOT restarted\n", pid)
		return exitError
	}
	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
		fmt.Fprintf(stderr, "ERROR: cannot signal heartbeat [pid %d]: %v: run this as root\n", pid, err)
		return exitError
	}
	fmt.Fprintf(stderr, "info: Signalling heartbeat pid %d to reread config files\n", pid)
	return exitOK
}

// showConfig is -v.
func showConfig(l paths.Layout, stdout, stderr io.Writer) int {
	node, err := nodeName()
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitError
	}
	cfg, err := hacf.Load(hacf.Options{Dir: l.Config(), Node: node, NoResources: true})
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitBadSetup
	}
	for _, name := range sortedKeys(cfg.Params) {
		fmt.Fprintf(stdout, "%s %s\n", name, cfg.Params[name])
	}
	fmt.Fprintf(stdout, "node %s\n", strings.Join(cfg.Nodes, " "))
	for _, m := range cfg.Media {
		fmt.Fprintf(stdout, "%s %s %s\n", m.Kind, m.Dev, m.Addr)
	}
	return exitOK
}
