// Package sbd knows whether sbd runs on this node. It is sbd, not this stack,
// that feeds the watchdog device, so only where it runs may others rely on a
// lost node resetting itself (execution 40, 51; crm 7.6).
package sbd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"linuxha/internal/interval"
	"linuxha/internal/paths"
)

// Node is sbd on the node below a root.
type Node struct {
	Paths paths.Layout
	// Proc is where processes are seen; empty: /proc.
	Proc string
}

func (n Node) proc() string {
	if n.Proc == "" {
		return "/proc"
	}
	return n.Proc
}

// PID is the process id of the running sbd, by its pid file or else by its
// name; 0 when none runs.
func (n Node) PID() int {
	if b, err := os.ReadFile(filepath.Join(n.Paths.Root, "run/sbd.pid")); err == nil {
		if pid, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil && n.isSBD(pid) {
			return pid
		}
	}
	if n.Paths.Root != "/" && n.Proc == "" {
		return 0 // other nodes' processes are seen here too
	}
	entries, err := os.ReadDir(n.proc())
	if err != nil {
		return 0 // without /proc nothing can be told
	}
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && n.isSBD(pid) {
			return pid
		}
	}
	return 0
}

func (n Node) isSBD(pid int) bool {
	name, err := os.ReadFile(filepath.Join(n.proc(), strconv.Itoa(pid), "comm"))
	return err == nil && pid > 0 && strings.HasPrefix(strings.TrimSpace(string(name)), "sbd")
}

// ErrNotRunning: there is no sbd to stop.
var ErrNotRunning = errors.New("no sbd process runs on this node")

// Panic kills sbd, so that the watchdog resets the node. It needs root.
func (n Node) Panic() error {
	pid := n.PID()
	if pid == 0 {
		return ErrNotRunning
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill sbd (pid %d): %w", pid, err)
	}
	return nil
}

// WatchdogTimeout is sbd's own SBD_WATCHDOG_TIMEOUT: from our environment, else
// from its configuration; 0 if it is set nowhere.
func (n Node) WatchdogTimeout() time.Duration {
	const name = "SBD_WATCHDOG_TIMEOUT"
	text := os.Getenv(name)
	for _, file := range []string{"etc/default/sbd", "etc/sysconfig/sbd"} {
		if text != "" {
			break
		}
		b, err := os.ReadFile(filepath.Join(n.Paths.Root, file))
		if err != nil {
			continue // not that kind of distribution, or no sbd
		}
		for line := range strings.Lines(string(b)) {
			if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+"="); ok {
				text = strings.Trim(value, `"'`)
			}
		}
	}
	return seconds(text)
}

// Effective is the time after which a lost node counts as reset, by the value
// of stonith-watchdog-timeout: 0 is off, a negative value means twice sbd's
// own time-out.
func (n Node) Effective(property string) time.Duration {
	if strings.HasPrefix(strings.TrimSpace(property), "-") {
		return 2 * n.WatchdogTimeout()
	}
	return seconds(property)
}

func seconds(text string) time.Duration {
	d, ok := interval.Parse(text)
	if !ok || d < 0 {
		return 0
	}
	return d
}

// Check says why a time-out is of no use on this node, nil if it is.
func (n Node) Check(timeout time.Duration) error {
	switch own := n.WatchdogTimeout(); {
	case timeout <= 0:
		return nil
	case n.PID() == 0:
		return fmt.Errorf("stonith-watchdog-timeout is %s, but %w: start sbd before the cluster, or set the property to 0", timeout, ErrNotRunning)
	case timeout < own:
		return fmt.Errorf("stonith-watchdog-timeout is %s, less than sbd's own SBD_WATCHDOG_TIMEOUT of %s: use twice as much", timeout, own)
	}
	return nil
}
