package supervise

import (
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Watchdog reboots the machine when heartbeatd no longer sends its own status
// (HB 21.3). A plain file instead of a device is written to just the same,
// which is what tests look at. A nil Watchdog does nothing.
type Watchdog struct {
	log *slog.Logger

	mu     sync.Mutex
	file   *os.File
	done   bool // closed, or starved: the file stays open, as closing might disarm it
	failed bool
}

// OpenWatchdog opens the device and sets its time-out to deadtime + 10 ms,
// rounded up to seconds.
func OpenWatchdog(path string, deadtime time.Duration, log *slog.Logger) (*Watchdog, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	seconds := int((deadtime + 10*time.Millisecond + time.Second - 1) / time.Second)
	err = unix.IoctlSetPointerInt(int(f.Fd()), unix.WDIOC_SETTIMEOUT, seconds)
	if err != nil && !errors.Is(err, unix.ENOTTY) && !errors.Is(err, unix.EOPNOTSUPP) {
		log.Warn("watchdog keeps its own time-out", "device", path, "err", err)
	}
	return &Watchdog{log: log, file: f}, nil
}

// Beat tells the watchdog that all is well.
func (w *Watchdog) Beat() {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done {
		return
	}
	if _, err := w.file.Write([]byte{0}); err != nil && !w.failed {
		w.failed = true
		w.log.Error("cannot write to the watchdog", "err", err)
	}
}

// Starve leaves the watchdog to itself: it will reboot the machine.
func (w *Watchdog) Starve() {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done = true
}

// Close disarms the watchdog.
func (w *Watchdog) Close() {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done {
		return
	}
	if _, err := w.file.Write([]byte("V")); err != nil {
		w.log.Error("cannot disarm the watchdog", "err", err)
	}
	if err := w.file.Close(); err != nil {
		w.log.Error("cannot close the watchdog", "err", err)
	}
	w.done = true
}
