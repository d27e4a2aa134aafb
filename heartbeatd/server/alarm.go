package server

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// alarm wakes the loop at a time, by a timer of the kernel's. Timers of the Go
// runtime wake two of its threads, and the second one twice, since epoll counts
// in milliseconds: for a daemon that mostly waits, half of what it costs.
type alarm struct {
	c  chan struct{} // gets one when the time has come
	f  *os.File      // of fd; not to be asked for its Fd, which would make it block
	fd int
	at time.Time // what it is set to; zero: it has rung, or was never set
}

func newAlarm() (*alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make a timer: %w", err)
	}
	a := &alarm{c: make(chan struct{}, 1), f: os.NewFile(uintptr(fd), "timer"), fd: fd}
	go a.wait()
	return a, nil
}

// wait ends when the alarm is closed.
func (a *alarm) wait() {
	var count [8]byte
	for {
		if _, err := a.f.Read(count[:]); err != nil {
			return
		}
		select {
		case a.c <- struct{}{}:
		default:
		}
	}
}

// set makes it ring at a time, at once if that has passed. Whoever hears it
// calls rang.
func (a *alarm) set(at time.Time) error {
	if at.Equal(a.at) {
		return nil
	}
	left := max(time.Until(at), 1) // 0 would disarm it
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(left))}
	if err := unix.TimerfdSettime(a.fd, 0, &spec, nil); err != nil {
		return fmt.Errorf("set the timer: %w", err)
	}
	a.at = at
	return nil
}

func (a *alarm) rang() { a.at = time.Time{} }

func (a *alarm) close() error { return a.f.Close() }
