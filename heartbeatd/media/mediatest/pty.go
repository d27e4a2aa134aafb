// Package mediatest has serial lines without hardware, for tests: pairs of
// pseudo terminals.
package mediatest

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// PTY makes a pseudo terminal: what is written to one side is read at the
// other. The slave stands for the serial device.
func PTY(t testing.TB) (master *os.File, slave string) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Skipf("no pseudo terminals here: %v", err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	master = os.NewFile(uintptr(fd), "ptmx")
	t.Cleanup(func() { master.Close() })
	return master, fmt.Sprintf("/dev/pts/%d", n)
}

// Cable connects two serial devices; each byte goes through spoil, which may
// drop, change or add.
func Cable(t testing.TB, spoil func(byte) []byte) (devA, devB string) {
	t.Helper()
	a, devA := PTY(t)
	b, devB := PTY(t)
	for _, ends := range [][2]*os.File{{a, b}, {b, a}} {
		go func() {
			buf := make([]byte, 4096)
			for {
				n, err := ends[0].Read(buf)
				if err != nil {
					return // closed, or the slave is not open: its driver opens it again
				}
				var out []byte
				for _, c := range buf[:n] {
					out = append(out, spoil(c)...)
				}
				if _, err := ends[1].Write(out); err != nil {
					return
				}
			}
		}()
	}
	// A slave that is open keeps the masters from being hung up between tests'
	// opens and closes.
	for _, dev := range []string{devA, devB} {
		f, err := os.OpenFile(dev, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
	}
	return devA, devB
}
