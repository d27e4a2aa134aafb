package media

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.bug.st/serial"
	"golang.org/x/sys/unix"

	"linuxha/heartbeatd/hacf"
)

// Of serial lines (HB 10).
const (
	lineQueue    = 64   // messages of a kind that wait for the line
	smallMessage = 1024 // bytes: goes before larger ones
	fragment     = 512  // bytes written at once
	fragmentTime = 500 * time.Millisecond
	lineLimit    = 512 << 10 // bytes of one message on the line; base64 makes them more
	complainLine = time.Hour
	lineBreak    = 250 * time.Millisecond
)

// sendLine queues data for a line. Small messages are heartbeats and what
// keeps streams whole: they overtake, and of too many the oldest is worth least.
func (p *path) sendLine(data []byte) {
	if t := p.set.opt.LineTime; t > 0 && lineTime(len(data)*4/3, p.spec.Baud) > t {
		p.refuse(len(data))
		return
	}
	if len(data) > smallMessage {
		select {
		case p.queue <- data:
		default:
			p.drop()
		}
		return
	}
	for {
		select {
		case p.urgent <- data:
			return
		default:
		}
		select {
		case <-p.urgent:
			p.drop()
		default:
		}
	}
}

// lineTime is how long n bytes of 8 bits, a start and a stop bit take.
func lineTime(n, baud int) time.Duration {
	if baud <= 0 {
		return 0
	}
	return time.Duration(n) * 10 * time.Second / time.Duration(baud)
}

// line is an open serial device.
type line struct {
	dev     string
	baud    int
	port    serial.Port
	out     *os.File // the same device: writes with a deadline
	lock    string   // file, "" if there is none
	log     *slog.Logger
	classic func([]byte) ([]byte, error)
	frames  frames
	once    sync.Once
	blamed  time.Time // when a write time-out was last complained of
}

func openLine(m hacf.Medium, lockDir string, log *slog.Logger) (*line, error) {
	l := &line{dev: m.Dev, baud: m.Baud, log: log}
	var err error
	if l.lock, err = lockDevice(lockDir, m.Dev); err != nil {
		return nil, err
	}
	// Before the port is opened, which then excludes others.
	l.out, err = os.OpenFile(m.Dev, os.O_WRONLY|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err == nil {
		l.port, err = serial.Open(m.Dev, &serial.Mode{BaudRate: m.Baud, DataBits: 8, Parity: serial.NoParity, StopBits: serial.OneStopBit})
	}
	if err != nil {
		l.close()
		return nil, fmt.Errorf("open serial port %s: %w", m.Dev, err)
	}
	if err := l.flowControl(); err != nil {
		log.Warn("serial line without RTS/CTS", "medium", "serial "+m.Dev, "err", err)
	}
	if err := errors.Join(l.port.Break(lineBreak), l.port.ResetInputBuffer(), l.port.ResetOutputBuffer()); err != nil {
		log.Info("serial line has no break", "medium", "serial "+m.Dev, "err", err)
	}
	log.Info(fmt.Sprintf("Starting serial heartbeat on tty %s (%d baud)", m.Dev, m.Baud))
	return l, nil
}

// flowControl switches RTS/CTS on, strips input to 7 bits and ignores CR.
func (l *line) flowControl() error {
	raw, err := l.out.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		var t *unix.Termios
		if t, failed = unix.IoctlGetTermios(int(fd), unix.TCGETS); failed != nil {
			return
		}
		t.Cflag |= unix.CRTSCTS
		t.Iflag |= unix.ISTRIP | unix.IGNCR
		t.Iflag &^= unix.IXON | unix.IXOFF | unix.ICRNL
		failed = unix.IoctlSetTermios(int(fd), unix.TCSETS, t)
	})
	return errors.Join(err, failed)
}

func (l *line) close() {
	l.once.Do(func() {
		if l.port != nil {
			l.port.Close()
		}
		if l.out != nil {
			l.out.Close()
		}
		if l.lock != "" {
			os.Remove(l.lock)
		}
	})
}

func (l *line) receive(emit func([]byte)) error {
	buf := make([]byte, 4096)
	for {
		n, err := l.port.Read(buf)
		if err != nil {
			return err
		}
		l.frames.feed(buf[:n], emit)
	}
}

// send writes one message in fragments. A line that takes nothing is not
// opened anew: there may be nobody at its other end yet.
func (l *line) send(data []byte) error {
	text, err := l.classic(data)
	if err != nil {
		return fmt.Errorf("encode for a serial line: %w", err)
	}
	for len(text) > 0 {
		n := min(len(text), fragment)
		if err := l.out.SetWriteDeadline(time.Now().Add(fragmentTime + lineTime(n, l.baud))); err != nil {
			return err
		}
		n, err := l.out.Write(text[:n])
		text = text[n:]
		if errors.Is(err, os.ErrDeadlineExceeded) {
			l.timedOut()
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *line) timedOut() {
	if err := l.port.ResetOutputBuffer(); err != nil {
		l.log.Debug("cannot empty a serial line's buffer", "medium", "serial "+l.dev, "err", err)
	}
	if now := time.Now(); l.blamed.IsZero() || now.Sub(l.blamed) >= complainLine {
		l.blamed = now
		l.log.Error(fmt.Sprintf("TTY write timeout on [%s] (no connection or bad cable? [see documentation])", l.dev))
		l.log.Info("See http://linux-ha.org/wiki/FAQ#TTY_timeout for details")
	}
}

// frames finds classic messages in a stream of bytes, some of which are noise
// (HB 10). It looks at line ends alone: whether a message is genuine is told by
// its signature.
type frames struct {
	buf  []byte
	in   bool // buf begins with ">>>\n"
	from int  // start of the present line in buf
}

const (
	frameStart = ">>>"
	frameEnd   = "<<<"
)

func (f *frames) feed(b []byte, emit func([]byte)) {
	for _, c := range b {
		if c &= 0x7f; c == '\r' || c == 0 {
			continue
		}
		f.buf = append(f.buf, c)
		if c == '\n' {
			f.line(emit)
		} else if !f.in && len(f.buf) > 2*len(frameStart) {
			f.buf = append(f.buf[:0], f.buf[len(f.buf)-len(frameStart):]...) // noise
		}
		if len(f.buf) > lineLimit {
			f.reset()
		}
	}
}

func (f *frames) reset() { f.buf, f.in, f.from = f.buf[:0], false, 0 }

// line looks at the line that has just ended.
func (f *frames) line(emit func([]byte)) {
	text := f.buf[f.from : len(f.buf)-1]
	switch {
	case string(text) == frameStart, !f.in && bytes.HasSuffix(text, []byte(frameStart)):
		// The second: noise stood right before it. A start within a message
		// means that the end of the one before was lost.
		f.buf = append(f.buf[:0], frameStart+"\n"...)
		f.in, f.from = true, len(f.buf)
	case !f.in:
		f.reset()
	case string(text) == frameEnd:
		emit(bytes.Clone(f.buf))
		f.reset()
	default:
		f.from = len(f.buf)
	}
}

// lockDevice makes the UUCP lock file of a device: LCK..name with the process
// number in ten columns. One whose process is gone is taken over.
func lockDevice(dir, dev string) (string, error) {
	if _, err := os.Stat(dir); err != nil {
		return "", nil // no locks on this system
	}
	name := strings.ReplaceAll(strings.TrimPrefix(dev, "/dev/"), "/", "_")
	file := filepath.Join(dir, "LCK.."+name)
	for range 2 {
		f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err == nil {
			_, err = fmt.Fprintf(f, "%10d\n", os.Getpid())
			return file, errors.Join(err, f.Close())
		}
		if !errors.Is(err, os.ErrExist) {
			return "", fmt.Errorf("lock %s: %w", dev, err)
		}
		text, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("lock %s: %w", dev, err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err == nil && pid != os.Getpid() && unix.Kill(pid, 0) != unix.ESRCH {
			return "", fmt.Errorf("process %d has locked %s (%s)", pid, dev, file)
		}
		if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", fmt.Errorf("lock %s: %w", dev, err)
		}
	}
	return "", fmt.Errorf("lock %s: %s comes back again and again", dev, file)
}
