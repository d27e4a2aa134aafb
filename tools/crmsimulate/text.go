package crmsimulate

import (
	"strconv"
	"syscall"
	"time"
)

// cpuTime is the processor time that this process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0 // only an invalid argument could be the cause
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func timeText(unix int64) string { return time.Unix(unix, 0).Format(time.ANSIC) }

func epochText(s string) string {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return s
	}
	return timeText(n)
}
