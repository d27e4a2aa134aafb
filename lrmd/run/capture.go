package run

import (
	"bytes"
	"fmt"
	"os"
	"syscall"
	"time"
)

// tailSize is kept of the end of an output that exceeds its limit: an agent's
// exit reason is its last word.
const tailSize = 64 << 10

// capture reads one pipe and keeps its start and its end.
type capture struct {
	r     *os.File
	limit int
	head  []byte
	tail  []byte // the newest bytes behind head, at most 2*tailSize
	lost  int    // bytes dropped between the two
}

func newCapture(limit int) (*capture, *os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	if limit <= 0 {
		limit = DefaultLimit
	}
	return &capture{r: r, limit: limit}, w, nil
}

func (c *capture) close() { c.r.Close() }

func (c *capture) add(b []byte) {
	if room := c.limit - len(c.head); room > 0 {
		n := min(room, len(b))
		c.head = append(c.head, b[:n]...)
		b = b[n:]
	}
	c.tail = append(c.tail, b...)
	if over := len(c.tail) - tailSize; over > tailSize {
		c.lost += over
		c.tail = append(c.tail[:0], c.tail[over:]...)
	}
}

// read takes what comes until the pipe's last writer is gone or finish is
// called. What is in the pipe when the process ends belongs to it; a process
// it left behind may write for ever and is not waited for (execution 6.3).
func (c *capture) read() {
	buf := make([]byte, 32<<10)
	for {
		n, err := c.r.Read(buf)
		c.add(buf[:n])
		if err != nil {
			break
		}
	}
	if c.r.SetReadDeadline(time.Time{}) != nil {
		return
	}
	raw, err := c.r.SyscallConn()
	if err != nil {
		return
	}
	left := 1 << 20 // the largest pipe
	_ = raw.Read(func(fd uintptr) bool {
		for left > 0 {
			n, err := syscall.Read(int(fd), buf)
			if err == syscall.EINTR {
				continue
			}
			if n <= 0 {
				break
			}
			c.add(buf[:n])
			left -= n
		}
		return true
	})
}

// finish ends read after a last look into the pipe.
func (c *capture) finish() {
	// Only a closed file refuses, and then read has ended too.
	_ = c.r.SetReadDeadline(time.Unix(1, 0))
}

// String is what was kept; call it after read has returned.
func (c *capture) String() string {
	if c.lost == 0 {
		return string(append(bytes.Clone(c.head), c.tail...))
	}
	return fmt.Sprintf("%s\n[%d bytes left out]\n%s", c.head, c.lost, c.tail)
}
