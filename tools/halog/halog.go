// Package halog is ha_logd, the cluster's logging daemon, and ha_logger, which
// writes a line through it (HB 15.2, 16): daemons hand their lines over without
// waiting for a disk, and all programs of a node write one log in one order.
package halog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/syslog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"linuxha/heartbeatd/hacf"
	"linuxha/internal/logd"
	"linuxha/internal/paths"
	"linuxha/tools/background"
)

const daemonUsage = `usage: ha_logd [-s] [-k] [-d] [-h] [-c CONFIG]

  -s         tell whether ha_logd is running
  -k         end it
  -d         go into the background
  -c CONFIG  configuration (default /etc/logd.cf)
  -h         show this help

The configuration has lines of NAME VALUE: logfile, debugfile, logfacility (a
syslog facility or none), entity (the name of ha_logd's own lines),
syslogmsgfmt (yes or no). Without a file lines go to syslog, facility daemon.
SIGHUP opens the files again.
`

// options of one call.
type options struct {
	status, kill, detach bool
	config               string
}

// Daemon is ha_logd. Exit status: 0 good, 1 not running (-s) or failed, 2
// wrong use.
func Daemon(ctx context.Context, name string, args []string, _ io.Reader, stdout, stderr io.Writer) int {
	layout := paths.FromEnv()
	o := options{config: filepath.Join(layout.Root, "etc/logd.cf")}
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case a == "-h" || a == "--help":
			fmt.Fprint(stdout, daemonUsage)
			return 0
		case a == "-s":
			o.status = true
		case a == "-k":
			o.kill = true
		case a == "-d":
			o.detach = true
		case a == "-c" && i+1 < len(args):
			i++
			o.config = args[i]
		default:
			fmt.Fprint(stderr, daemonUsage)
			return 2
		}
	}
	pidFile := filepath.Join(layout.Run(), "ha_logd.pid")
	fail := func(err error) int {
		fmt.Fprintf(stderr, "%s: %v\n", name, err)
		return 1
	}
	switch pid := background.Running(pidFile); {
	case o.status && pid == 0:
		fmt.Fprintln(stdout, "logging daemon is stopped")
		return 1
	case o.status:
		fmt.Fprintf(stdout, "logging daemon is running [pid %d]\n", pid)
		return 0
	case o.kill:
		if err := background.Stop(pidFile); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fail(err)
		}
		return 0
	case pid != 0:
		fmt.Fprintf(stdout, "logging daemon is running already [pid %d]\n", pid)
		return 0
	}
	cfg, err := readConfig(o.config, layout)
	if err != nil {
		return fail(err)
	}
	if o.detach && !background.Detached() {
		if err := background.Detach(ctx, name, args, pidFile); err != nil {
			return fail(err)
		}
		return 0
	}
	lock, err := background.Lock(pidFile)
	if err != nil {
		return fail(err)
	}
	defer os.Remove(pidFile)
	defer lock.Close()
	if err := serve(ctx, layout, cfg, stderr); err != nil {
		return fail(err)
	}
	return 0
}

// config is /etc/logd.cf.
type config struct {
	logFile, debugFile string
	facility           string
	entity             string
	syslogForm         bool
}

func readConfig(file string, layout paths.Layout) (config, error) {
	cfg := config{facility: "daemon", entity: "logd", syslogForm: true}
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return cfg, nil
	}
	if err != nil {
		return cfg, err
	}
	for i, raw := range strings.Split(string(text), "\n") {
		line, _, _ := strings.Cut(raw, "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		bad := func(hint string) error { return fmt.Errorf("%s:%d: %q: %s", file, i+1, strings.TrimSpace(raw), hint) }
		if len(words) != 2 {
			return cfg, bad("write NAME VALUE")
		}
		switch v := words[1]; words[0] {
		case "logfile":
			cfg.logFile = hacf.Below(layout.Root, v)
		case "debugfile":
			cfg.debugFile = hacf.Below(layout.Root, v)
		case "logfacility":
			if _, ok := facilities[v]; !ok && v != "none" {
				return cfg, bad("write a syslog facility such as local0, or none")
			}
			cfg.facility = v
		case "entity":
			cfg.entity = v
		case "syslogmsgfmt":
			on, ok := hacf.ParseBool(v)
			if !ok {
				return cfg, bad("write yes or no")
			}
			cfg.syslogForm = on
		case "useapphbd", "sendqlen", "recvqlen", "syslogprefix", "logpriority":
			// Of the old ha_logd: there is one queue here, the kernel's.
		default:
			return cfg, bad("logfile, debugfile, logfacility, entity and syslogmsgfmt are known")
		}
	}
	return cfg, nil
}

// sink writes entries where the configuration wants them.
type sink struct {
	cfg        config
	node       string
	log, debug *os.File
	syslog     *syslog.Writer
	stderr     io.Writer
	reopen     atomic.Bool
	failed     bool // a write failed, and that was told
}

func open(file string) (*os.File, error) {
	if file == "" {
		return nil, nil
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return nil, err
	}
	return os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
}

func (s *sink) open() error {
	log, err := open(s.cfg.logFile)
	if err != nil {
		return err
	}
	debug, err := open(s.cfg.debugFile)
	if err != nil {
		if log != nil {
			log.Close()
		}
		return err
	}
	s.close()
	s.log, s.debug = log, debug
	return nil
}

func (s *sink) close() {
	for _, f := range []*os.File{s.log, s.debug} {
		if f != nil {
			f.Close()
		}
	}
}

func (s *sink) take(e logd.Entry) {
	if s.reopen.CompareAndSwap(true, false) {
		if err := s.open(); err != nil {
			fmt.Fprintf(s.stderr, "ha_logd: cannot open the files again: %v\n", err)
		}
	}
	line := e.Line(s.node, s.cfg.syslogForm)
	var errs []error
	write := func(f *os.File) {
		if f != nil {
			_, err := f.WriteString(line)
			errs = append(errs, err)
		}
	}
	if e.Level != "debug" {
		write(s.log)
	}
	write(s.debug)
	if s.syslog != nil && e.Level != "debug" {
		errs = append(errs, s.toSyslog(e))
	}
	err := errors.Join(errs...)
	if err != nil && !s.failed {
		fmt.Fprintf(s.stderr, "ha_logd: %v\n", err)
	}
	s.failed = err != nil
}

func (s *sink) toSyslog(e logd.Entry) error {
	text := fmt.Sprintf("%s: [%d]: %s: %s", e.Program, e.PID, e.Level, e.Text)
	switch e.Level {
	case "EMERG":
		return s.syslog.Emerg(text)
	case "CRIT":
		return s.syslog.Crit(text)
	case "ERROR":
		return s.syslog.Err(text)
	case "WARN":
		return s.syslog.Warning(text)
	case "notice":
		return s.syslog.Notice(text)
	}
	return s.syslog.Info(text)
}

func serve(ctx context.Context, layout paths.Layout, cfg config, stderr io.Writer) error {
	node, err := os.Hostname()
	if err != nil {
		return err
	}
	s := &sink{cfg: cfg, node: node, stderr: stderr}
	if err := s.open(); err != nil {
		return err
	}
	defer s.close()
	if cfg.facility != "none" {
		s.syslog, err = syslog.New(facilities[cfg.facility], "ha_logd")
		if err != nil && cfg.logFile == "" {
			return fmt.Errorf("no syslog and no logfile: lines would be lost: %w", err)
		}
		if err != nil {
			s.syslog = nil
			fmt.Fprintf(stderr, "ha_logd: no syslog: %v\n", err)
		}
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	go func() {
		for {
			select {
			case <-hup:
				s.reopen.Store(true)
			case <-ctx.Done():
				return
			}
		}
	}()
	own := func(text string) {
		s.take(logd.Entry{At: time.Now(), Level: "info", Program: cfg.entity, PID: os.Getpid(), Text: text})
	}
	own("logd started with " + cfg.describe())
	err = logd.Serve(ctx, logd.Socket(layout), s.take)
	own("Exiting write process")
	return err
}

func (c config) describe() string {
	return fmt.Sprintf("logfile %q debugfile %q logfacility %s", c.logFile, c.debugFile, c.facility)
}

const loggerUsage = `usage: ha_logger [-D ha-log|ha-debug] [-t TAG] [MESSAGE...]

Writes MESSAGE, or each line of the standard input, through ha_logd.

  -D  to which log: ha-log (default) or ha-debug
  -t  what the line is marked with (default: the user's name)
`

// Logger is ha_logger. Exit status: 0 written, 1 ha_logd does not run or did
// not take it, 2 wrong use.
func Logger(_ context.Context, name string, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	e := logd.Entry{Level: "info", Bare: true, PID: os.Getpid(), Program: os.Getenv("USER")}
	if e.Program == "" {
		e.Program = "logger"
	}
	for len(args) > 0 && strings.HasPrefix(args[0], "-") && args[0] != "-" {
		switch {
		case args[0] == "-h" || args[0] == "--help":
			fmt.Fprint(stdout, loggerUsage)
			return 0
		case args[0] == "-D" && len(args) > 1 && slices.Contains([]string{"ha-log", "ha-debug"}, args[1]):
			if args[1] == "ha-debug" {
				e.Level = "debug"
			}
			args = args[2:]
		case args[0] == "-t" && len(args) > 1:
			e.Program = args[1]
			args = args[2:]
		case args[0] == "--":
			args = args[1:]
			goto message
		default:
			fmt.Fprint(stderr, loggerUsage)
			return 2
		}
	}
message:
	c, err := logd.Dial(logd.Socket(paths.FromEnv()))
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v: start ha_logd -d\n", name, err)
		return 1
	}
	defer c.Close()
	text := strings.Join(args, " ")
	if len(args) == 0 {
		all, err := io.ReadAll(stdin)
		if err != nil {
			fmt.Fprintf(stderr, "%s: %v\n", name, err)
			return 1
		}
		text = strings.TrimRight(string(all), "\n")
	}
	for line := range strings.SplitSeq(text, "\n") {
		e.At, e.Text = time.Now(), line
		if err := send(c, e); err != nil {
			fmt.Fprintf(stderr, "%s: %v\n", name, err)
			return 1
		}
	}
	return 0
}

// send waits a little for a daemon that does not keep up.
func send(c *logd.Client, e logd.Entry) error {
	var err error
	for range 100 {
		if err = c.Send(e); !errors.Is(err, syscall.EAGAIN) {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
	return err
}

var facilities = map[string]syslog.Priority{
	"kern": syslog.LOG_KERN, "user": syslog.LOG_USER, "mail": syslog.LOG_MAIL, "daemon": syslog.LOG_DAEMON, "auth": syslog.LOG_AUTH,
	"security": syslog.LOG_AUTH, "syslog": syslog.LOG_SYSLOG, "lpr": syslog.LOG_LPR, "news": syslog.LOG_NEWS, "uucp": syslog.LOG_UUCP,
	"cron": syslog.LOG_CRON, "authpriv": syslog.LOG_AUTHPRIV, "ftp": syslog.LOG_FTP, "local0": syslog.LOG_LOCAL0, "local1": syslog.LOG_LOCAL1,
	"local2": syslog.LOG_LOCAL2, "local3": syslog.LOG_LOCAL3, "local4": syslog.LOG_LOCAL4, "local5": syslog.LOG_LOCAL5,
	"local6": syslog.LOG_LOCAL6, "local7": syslog.LOG_LOCAL7,
}
