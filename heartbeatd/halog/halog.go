// Package halog writes Heartbeat's log: lines as ha-log has had them for
// twenty years (HB 16.1), to files, stderr and syslog, for heartbeatd itself
// and for what its children print on stderr. Programs and people search for
// these lines; new facts follow as key=value.
package halog

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"log/syslog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"linuxha/internal/logd"
)

// Options are where lines go.
type Options struct {
	Node     string
	File     string // all but debug lines; "": nowhere
	Debug    string // all lines; "": nowhere
	Facility string // of syslog; "" or none: not there
	Stderr   io.Writer
	Syslog   bool // syslogmsgfmt: the usual line format; else the old one
	// Logd is the socket of ha_logd, which gets the lines instead of files and
	// syslog while it is there; "": not asked for.
	Logd      string
	LogdRetry time.Duration // between attempts to reach it
}

// queueLength is how many lines may wait for the disk.
const queueLength = 4096

// closePatience is how long Close waits for them.
const closePatience = 2 * time.Second

// Log is the open log. Its methods may be called from any goroutine and never
// wait for a disk: a writer of its own does, and lines that find the queue
// full are dropped and counted. A heartbeat must not stop because /var hangs.
type Log struct {
	opt     Options
	level   *slog.LevelVar
	queue   chan line
	dropped atomic.Uint64
	reopen  atomic.Bool               // the writer shall open the files again
	names   atomic.Pointer[[2]string] // of the files, where Redirect has changed them
	written chan struct{}             // closed when the writer has ended

	mu     sync.RWMutex
	closed bool // no more into queue

	// Of the writer:
	file   *os.File
	debug  *os.File
	syslog *syslog.Writer
	logd   *logd.Client // nil while it cannot be reached
	tried  time.Time    // when that was last attempted
}

// line is one to be written; tail is what syslog gets.
type line struct {
	level slog.Level
	text  string
	tail  string
	entry logd.Entry
}

// Open opens the files, making their folders.
func Open(opt Options) (*Log, error) {
	l := &Log{opt: opt, level: new(slog.LevelVar), queue: make(chan line, queueLength), written: make(chan struct{})}
	var err error
	if l.file, err = appendTo(opt.File); err != nil {
		return nil, err
	}
	if l.debug, err = appendTo(opt.Debug); err != nil {
		return nil, err
	}
	if opt.Facility != "" && opt.Facility != "none" {
		priority, ok := priorities[opt.Facility]
		if !ok {
			return nil, fmt.Errorf("unknown syslog facility %q", opt.Facility)
		}
		l.syslog, err = syslog.New(priority, "heartbeat")
		if err != nil { // no log daemon yet: the files have it all
			fmt.Fprintf(opt.Stderr, "heartbeat: no syslog: %v\n", err)
		}
	}
	go l.write()
	return l, nil
}

func appendTo(path string) (*os.File, error) {
	if path == "" {
		return nil, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
}

// SetLevel sets the least level that is written.
func (l *Log) SetLevel(level slog.Level) { l.level.Set(level) }

// Level is the present one.
func (l *Log) Level() slog.Level { return l.level.Level() }

// Logger returns a logger whose lines carry the program's name.
func (l *Log) Logger(program string) *slog.Logger {
	return slog.New(&handler{log: l, program: program, pid: os.Getpid()})
}

// LevelCrit is above error, as 3.0.6's CRIT.
const LevelCrit = slog.LevelError + 4

// LevelNotice lies between info and warn.
const LevelNotice = slog.LevelInfo + 2

func word(level slog.Level) string {
	switch {
	case level >= LevelCrit:
		return "CRIT"
	case level >= slog.LevelError:
		return "ERROR"
	case level >= slog.LevelWarn:
		return "WARN"
	case level >= LevelNotice:
		return "notice"
	case level >= slog.LevelInfo:
		return "info"
	}
	return "debug"
}

// Write queues one line.
func (l *Log) Write(at time.Time, program string, pid int, level slog.Level, text string) {
	text = strings.ReplaceAll(text, "\n", "\\n")
	n := line{level: level, tail: fmt.Sprintf("[%d]: %s: %s", pid, word(level), text)}
	if l.opt.Logd != "" {
		n.entry = logd.Entry{At: at, Level: word(level), Program: program, PID: pid, Text: text}
	}
	if l.opt.Syslog {
		n.text = fmt.Sprintf("%s %s %s: %s\n", at.Format("Jan 02 15:04:05"), l.opt.Node, program, n.tail)
	} else {
		n.text = fmt.Sprintf("%s[%d]: %s %s: %s\n", program, pid, at.Format("2006/01/02_15:04:05"), word(level), text)
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return
	}
	select {
	case l.queue <- n:
	default:
		l.dropped.Add(1)
	}
}

// Dropped counts lines that were not written.
func (l *Log) Dropped() uint64 { return l.dropped.Load() }

// write is the writer.
func (l *Log) write() {
	defer close(l.written)
	told := uint64(0)
	for n := range l.queue {
		if l.reopen.CompareAndSwap(true, false) {
			l.openAgain()
		}
		l.put(n)
		if dropped := l.dropped.Load(); dropped > told && len(l.queue) == 0 {
			text := fmt.Sprintf("%d log lines were dropped: the log's disk does not keep up", dropped-told)
			told = dropped
			l.put(line{level: slog.LevelWarn, text: fmt.Sprintf("%s %s heartbeat: [%d]: WARN: %s\n", time.Now().Format("Jan 02 15:04:05"), l.opt.Node, os.Getpid(), text), tail: text})
		}
	}
}

// Reopen makes the next line go to a new file of the same name: the present
// one was rotated away.
func (l *Log) Reopen() { l.reopen.Store(true) }

// Redirect makes lines go to other files from the next one on; "": to none.
func (l *Log) Redirect(file, debug string) {
	l.names.Store(&[2]string{file, debug})
	l.reopen.Store(true)
}

// openAgain keeps the old file where a new one cannot be opened.
func (l *Log) openAgain() {
	paths := [2]string{l.opt.File, l.opt.Debug}
	if names := l.names.Load(); names != nil {
		paths = *names
	}
	for i, open := range []**os.File{&l.file, &l.debug} {
		again, err := appendTo(paths[i])
		if err != nil {
			continue
		}
		if *open != nil {
			_ = (*open).Close()
		}
		*open = again
	}
}

func (l *Log) put(n line) {
	if l.opt.Stderr != nil {
		_, _ = io.WriteString(l.opt.Stderr, n.text)
	}
	if l.toLogd(n) {
		return
	}
	// Write errors have nowhere to go but to the other places.
	if l.file != nil && n.level >= slog.LevelInfo {
		_, _ = l.file.WriteString(n.text)
	}
	if l.debug != nil {
		_, _ = l.debug.WriteString(n.text)
	}
	if l.syslog != nil && n.level >= slog.LevelInfo {
		_ = l.toSyslog(n.level, n.tail)
	}
}

// toLogd hands a line to ha_logd; false: it is not there, and the line goes
// where it would go without it (HB 15.2).
func (l *Log) toLogd(n line) bool {
	if l.opt.Logd == "" || n.entry.Level == "" {
		return false
	}
	if l.logd == nil {
		if now := time.Now(); l.tried.IsZero() || now.Sub(l.tried) >= l.opt.LogdRetry {
			first := l.tried.IsZero()
			l.tried = now
			c, err := logd.Dial(l.opt.Logd)
			switch {
			case err == nil:
				l.logd = c
			case first:
				l.Write(now, "heartbeat", os.Getpid(), slog.LevelWarn, "Initializing connection to logging daemon failed. Logging daemon may not be running")
			}
		}
	}
	if l.logd == nil {
		return false
	}
	err := l.logd.Send(n.entry)
	if err == nil {
		return true
	}
	if !errors.Is(err, syscall.EAGAIN) {
		_ = l.logd.Close()
		l.logd = nil
	}
	return false
}

func (l *Log) toSyslog(level slog.Level, text string) error {
	switch {
	case level >= LevelCrit:
		return l.syslog.Crit(text)
	case level >= slog.LevelError:
		return l.syslog.Err(text)
	case level >= slog.LevelWarn:
		return l.syslog.Warning(text)
	}
	return l.syslog.Info(text)
}

// Close writes what is queued, as far as the disk allows, and closes the files.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	close(l.queue)
	l.mu.Unlock()
	select {
	case <-l.written:
	case <-time.After(closePatience):
		return errors.New("the log's disk hangs: lines are lost")
	}
	var errs []error
	for _, f := range []*os.File{l.file, l.debug} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// handler makes slog records into lines.
type handler struct {
	log     *Log
	program string
	pid     int
	attrs   string
	group   string
}

func (h *handler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.log.level.Level()
}

func (h *handler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString(r.Message)
	b.WriteString(h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		appendAttr(&b, h.group, a)
		return true
	})
	h.log.Write(r.Time, h.program, h.pid, r.Level, b.String())
	return nil
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var b strings.Builder
	for _, a := range attrs {
		appendAttr(&b, h.group, a)
	}
	n := *h
	n.attrs += b.String()
	return &n
}

func (h *handler) WithGroup(name string) slog.Handler {
	n := *h
	n.group += name + "."
	return &n
}

func appendAttr(b *strings.Builder, group string, a slog.Attr) {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		for _, g := range v.Group() {
			appendAttr(b, group+a.Key+".", g)
		}
		return
	}
	text := v.String()
	if text == "" || strings.ContainsAny(text, " \"=\n\t") {
		text = strconv.Quote(text)
	}
	fmt.Fprintf(b, " %s%s=%s", group, a.Key, text)
}

// Collect copies a child's stderr into the log until it ends, line by line.
// Lines of our own daemons (slog's text form) keep their level.
func (l *Log) Collect(r io.Reader, program string, pid int) error {
	br := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := br.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			err = nil // an overlong line comes in pieces
		}
		if line = bytes.TrimRight(line, "\r\n"); len(line) > 0 {
			level, text := understand(string(line), program)
			if level >= slog.LevelInfo || l.Level() <= slog.LevelDebug {
				l.Write(time.Now(), program, pid, level, text)
			}
		}
		if err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, os.ErrClosed) {
				return nil
			}
			return err
		}
	}
}

// understand splits `time=... level=INFO msg="text" daemon=cib k=v`.
func understand(line, program string) (slog.Level, string) {
	rest, ok := strings.CutPrefix(line, "time=")
	if !ok {
		return slog.LevelInfo, line
	}
	_, rest, ok = strings.Cut(rest, " level=")
	if !ok {
		return slog.LevelInfo, line
	}
	name, rest, ok := strings.Cut(rest, " msg=")
	var level slog.Level
	if !ok || level.UnmarshalText([]byte(name)) != nil {
		return slog.LevelInfo, line
	}
	msg := rest
	if quoted, err := strconv.QuotedPrefix(rest); err == nil {
		if text, err := strconv.Unquote(quoted); err == nil {
			msg = text + rest[len(quoted):]
		}
	}
	return level, strings.Replace(msg, " daemon="+program, "", 1)
}

var priorities = map[string]syslog.Priority{
	"kern": syslog.LOG_KERN, "user": syslog.LOG_USER, "mail": syslog.LOG_MAIL, "daemon": syslog.LOG_DAEMON, "auth": syslog.LOG_AUTH,
	"security": syslog.LOG_AUTH, "syslog": syslog.LOG_SYSLOG, "lpr": syslog.LOG_LPR, "news": syslog.LOG_NEWS, "uucp": syslog.LOG_UUCP,
	"cron": syslog.LOG_CRON, "authpriv": syslog.LOG_AUTHPRIV, "ftp": syslog.LOG_FTP, "local0": syslog.LOG_LOCAL0, "local1": syslog.LOG_LOCAL1,
	"local2": syslog.LOG_LOCAL2, "local3": syslog.LOG_LOCAL3, "local4": syslog.LOG_LOCAL4, "local5": syslog.LOG_LOCAL5,
	"local6": syslog.LOG_LOCAL6, "local7": syslog.LOG_LOCAL7,
}
