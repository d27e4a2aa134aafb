package run

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// kick wakes the reaper when a child of ours has been waited for.
var kick = make(chan struct{}, 1)

func kickReaper() {
	select {
	case kick <- struct{}{}:
	default:
	}
}

// ReapOrphans makes this process the parent of whatever agents leave behind,
// and waits for these processes when they end, until ctx ends. Without it the
// zombie of a service waits for a pid 1 that may never look (containers), and
// an agent that stops the service by watching its pid waits for ever. The
// process must have no children but those of Run.
func ReapOrphans(ctx context.Context) error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become the reaper of orphans: %w", err)
	}
	died := make(chan os.Signal, 1)
	signal.Notify(died, syscall.SIGCHLD)
	defer signal.Stop(died)
	for {
		reapPass()
		select {
		case <-ctx.Done():
			return nil
		case <-died:
		case <-kick:
		}
	}
}

// reapPass waits for dead orphans until there are none, or until a dead child
// of ours comes first: its own wait takes it at once, and kicks us.
func reapPass() {
	starting.Lock()
	defer starting.Unlock()
	for {
		var info unix.Siginfo
		err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
		if err == unix.EINTR {
			continue
		}
		pid := childPID(&info)
		if err != nil || pid <= 0 {
			return
		}
		own.Lock()
		ours := own.pids[pid]
		own.Unlock()
		if ours {
			return
		}
		var status syscall.WaitStatus
		if _, err := syscall.Wait4(pid, &status, syscall.WNOHANG, nil); err != nil && err != syscall.EINTR {
			return
		}
	}
}
