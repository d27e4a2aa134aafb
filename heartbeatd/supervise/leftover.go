package supervise

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// killLeftover ends the process that a killed heartbeatd's pid file names. The
// process alone: what lrmd has started are the resources, and they stay.
func (s *Supervisor) killLeftover(name string) {
	file := s.pidFile(name)
	text, err := os.ReadFile(file)
	if err != nil {
		return // the usual case: there is none
	}
	defer os.Remove(file)
	words := strings.Fields(string(text))
	if len(words) != 2 {
		return
	}
	pid, err := strconv.Atoi(words[0])
	if err != nil || pid <= 1 {
		return
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return // gone
	}
	defer unix.Close(fd)
	// The descriptor holds the process: it cannot become another one now.
	if start, err := startTime(pid); err != nil || start != words[1] {
		return
	}
	s.opt.Log.Warn("killing a child of the heartbeatd before this one", "name", name, "pid", pid)
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil {
		if !errors.Is(err, unix.ESRCH) {
			s.opt.Log.Error("cannot kill it", "name", name, "pid", pid, "err", err)
		}
		return
	}
	until := time.Now().Add(5 * time.Second)
	for {
		left := time.Until(until)
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(max(left, 0).Milliseconds()))
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil || n == 0:
			s.opt.Log.Error("it does not end", "name", name, "pid", pid)
		}
		return
	}
}
