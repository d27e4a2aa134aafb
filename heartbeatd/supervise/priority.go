package supervise

import (
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// raised is the niceness where the real-time class is not allowed.
const raised = -15

// RaisePriority puts this process into the real-time class, so that heartbeats
// go out in time on a machine that is short of CPU (HB 21.5), or makes it nicer
// to itself where that is not allowed. Threads made later inherit it; children
// don't, as the thread that forks them gives it up. The lowest real-time
// priority is enough: it comes before everything that is not real-time.
func RaisePriority(priority uint32) error {
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
			if err := raise(tid, priority); err != nil && !errors.Is(err, unix.ESRCH) {
				return err
			}
		}
	}
	return nil
}

func raise(tid int, priority uint32) error {
	attr := &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: priority}
	err := unix.SchedSetAttr(tid, attr, 0)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSYS) {
		return unix.Setpriority(unix.PRIO_PROCESS, tid, raised)
	}
	return err
}

// normalPriority makes the calling thread an ordinary one.
func normalPriority() error {
	err := unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_NORMAL}, 0)
	if errors.Is(err, unix.ENOSYS) {
		return unix.Setpriority(unix.PRIO_PROCESS, 0, 0)
	}
	return err
}
