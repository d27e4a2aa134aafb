package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"linuxha/heartbeatd/hamsg"
	"linuxha/heartbeatd/link"
)

// fifoLine is the longest line that is read.
const fifoLine = 64 << 10

// OpenFIFO makes the FIFO through which scripts send messages (HB 1.2) and
// opens it. It stays open for writing too, so that it has no end.
func OpenFIFO(path string) (*os.File, error) {
	st, err := os.Lstat(path)
	if err == nil && st.Mode().Type() != fs.ModeNamedPipe {
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	if err != nil || st.Mode().Type() != fs.ModeNamedPipe {
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			return nil, fmt.Errorf("make the FIFO %s: %w", path, err)
		}
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_RDWR, 0)
}

// readFIFO sends what is written into the FIFO, until ctx ends.
func (s *Server) readFIFO(ctx context.Context, f *os.File) {
	stop := context.AfterFunc(ctx, func() { f.Close() })
	defer stop()
	in := bufio.NewScanner(f)
	in.Buffer(nil, fifoLine)
	var p fifoParser
	for in.Scan() {
		m, err := p.line(in.Text())
		if err != nil {
			s.log.Warn("a message in the FIFO is not understood", "err", err)
		}
		if m != nil && !s.do(func(now time.Time) { s.stepLink(now, link.Submitted{Message: m}) }) {
			return
		}
	}
	if err := in.Err(); err != nil && !errors.Is(err, os.ErrClosed) {
		s.log.Error("the FIFO cannot be read any more: scripts cannot send messages until heartbeat is restarted", "err", err)
	}
}

// fifoParser makes messages of lines: >>>, name=value, <<<. Fields may have a
// type, as in the classic encoding; (5)NAME is a struct to be compressed.
type fifoParser struct{ message *hamsg.Message }

// line returns the message that is complete with it, if any. After a mistake
// the rest of the message is left out.
func (p *fifoParser) line(text string) (*hamsg.Message, error) {
	text = strings.TrimRight(text, "\r")
	m := p.message
	switch {
	case text == ">>>":
		p.message = &hamsg.Message{}
		if m != nil {
			return nil, errors.New("a message begins within another one: was it written with several writes?")
		}
		return nil, nil
	case m == nil:
		if strings.TrimSpace(text) == "" || text == "<<<" {
			return nil, nil
		}
		return nil, fmt.Errorf("%q stands outside of a message: begin it with >>>", text)
	case text == "<<<":
		p.message = nil
		if !injectable(m.Type()) {
			return nil, fmt.Errorf("a message of type %q cannot be sent from outside", m.Type())
		}
		if _, err := m.Clone().Expand(); err != nil { // the others could not read it
			return nil, fmt.Errorf("a message of type %q: %w", m.Type(), err)
		}
		return m, nil
	}
	f, err := hamsg.ParseClassicField([]byte(text))
	if err != nil {
		p.message = nil
		return nil, err
	}
	m.AddField(f)
	return nil, nil
}

// injectable: what the daemon says about itself nobody else says for it.
func injectable(t string) bool {
	return t != "" && !strings.HasPrefix(t, ours) && !strings.HasPrefix(t, "NS_") && t != "status"
}
