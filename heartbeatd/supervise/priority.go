package supervise

import (
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// raised is heartbeatd's own niceness: on a machine that is short of CPU its
// heartbeats still go out in time (HB 21.5 uses a real-time class; in Go,
// whose threads come and go, that could starve the machine).
const raised = -15

// RaisePriority raises the priority of this process. Threads made later
// inherit it; children don't, as the thread that forks them gives it up.
func RaisePriority() error {
	for range 2 { // a thread may be born during the first pass, of one not yet raised
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		for _, t := range tasks {
			tid, err := strconv.Atoi(t.Name())
			if err != nil {
				continue
			}
			if err := unix.Setpriority(unix.PRIO_PROCESS, tid, raised); err != nil && !errors.Is(err, unix.ESRCH) {
				return err
			}
		}
	}
	return nil
}

// normalPriority makes the calling thread an ordinary one.
func normalPriority() error { return unix.Setpriority(unix.PRIO_PROCESS, 0, 0) }
