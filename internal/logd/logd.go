// Package logd is how programs hand log lines to the cluster's logging daemon,
// ha_logd, so that a slow disk makes none of them wait: datagrams over a Unix
// socket, which the kernel takes or refuses at once. Our own form; 3.0.6's
// ha_logd is not spoken to.
package logd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"linuxha/internal/paths"
)

// Socket is where ha_logd listens.
func Socket(l paths.Layout) string { return filepath.Join(l.Run(), "logd.sock") }

// Levels are the words that lines are marked with, least important first.
var Levels = []string{"debug", "info", "notice", "WARN", "ERROR", "CRIT", "EMERG"}

// Entry is one line.
type Entry struct {
	At      time.Time
	Level   string // one of Levels
	Program string
	PID     int
	// Bare: the line is written as Text alone after its time, as scripts' lines
	// are (HB 16.1); Program is their tag.
	Bare bool
	Text string
}

const (
	magic    = "ha1"
	maxEntry = 64 << 10
	receive  = 1 << 20 // bytes that may wait for ha_logd
)

// ErrMalformed is for datagrams that are no entries.
var ErrMalformed = errors.New("not a log entry")

// Marshal encodes e; a text that is too long is cut.
func (e Entry) Marshal() []byte {
	text := e.Text
	if len(text) > maxEntry-256 {
		text = text[:maxEntry-256]
	}
	bare := "-"
	if e.Bare {
		bare = "b"
	}
	return []byte(strings.Join([]string{magic, strconv.FormatInt(e.At.UnixNano(), 10), e.Level, bare, strconv.Itoa(e.PID), strings.ReplaceAll(e.Program, "\t", " "), text}, "\t"))
}

// Unmarshal decodes what Marshal made.
func Unmarshal(b []byte) (Entry, error) {
	words := strings.SplitN(string(b), "\t", 7)
	if len(words) != 7 || words[0] != magic {
		return Entry{}, ErrMalformed
	}
	at, err1 := strconv.ParseInt(words[1], 10, 64)
	pid, err2 := strconv.Atoi(words[4])
	known := false
	for _, l := range Levels {
		known = known || l == words[2]
	}
	if err1 != nil || err2 != nil || !known {
		return Entry{}, ErrMalformed
	}
	clean := func(s string) string {
		return strings.Map(func(r rune) rune {
			if r < ' ' && r != '\t' || r == 0x7f {
				return '?'
			}
			return r
		}, strings.ReplaceAll(s, "\n", "\\n"))
	}
	return Entry{At: time.Unix(0, at), Level: words[2], Bare: words[3] == "b", PID: pid, Program: clean(words[5]), Text: clean(words[6])}, nil
}

// Client sends entries. The zero value is not usable: Dial it.
type Client struct{ fd int }

// Dial connects to the socket at path; an error says that nobody listens.
func Dial(path string) (*Client, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("connect to ha_logd at %s: %w", path, err)
	}
	return &Client{fd}, nil
}

// Send hands e over without waiting. unix.EAGAIN: ha_logd does not keep up.
func (c *Client) Send(e Entry) error {
	return unix.Sendto(c.fd, e.Marshal(), unix.MSG_NOSIGNAL, nil)
}

// Close ends the connection.
func (c *Client) Close() error { return unix.Close(c.fd) }

// Serve receives entries at path until ctx ends; every local user may send.
func Serve(ctx context.Context, path string, take func(Entry)) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if c, err := Dial(path); err == nil {
		c.Close()
		return fmt.Errorf("another ha_logd serves %s already", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer os.Remove(path)
	defer conn.Close()
	if err := errors.Join(os.Chmod(path, 0o666), conn.SetReadBuffer(receive)); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	buf := make([]byte, maxEntry)
	for {
		n, err := conn.Read(buf)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return fmt.Errorf("receive log entries: %w", err)
		default:
			if e, err := Unmarshal(buf[:n]); err == nil {
				take(e)
			}
		}
	}
}

// Line is e in the form of log files (HB 16.1); node is uname -n.
func (e Entry) Line(node string, syslogForm bool) string {
	switch {
	case e.Bare:
		return fmt.Sprintf("%s  %s: %s\n", e.At.Format("2006/01/02_15:04:05"), e.Program, e.Text)
	case syslogForm:
		return fmt.Sprintf("%s %s %s: [%d]: %s: %s\n", e.At.Format("Jan 02 15:04:05"), node, e.Program, e.PID, e.Level, e.Text)
	}
	return fmt.Sprintf("%s[%d]: %s %s: %s\n", e.Program, e.PID, e.At.Format("2006/01/02_15:04:05"), e.Level, e.Text)
}
