// Package apphbd is apphbd, the watchdog for applications with its recovery
// manager (HB 21.2), and apphbtest, a client that beats, or fails to.
package apphbd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"linuxha/heartbeatd/hacf"
	"linuxha/internal/apphb"
	"linuxha/internal/logd"
	"linuxha/internal/paths"
	"linuxha/tools/background"
)

const usage = `usage: apphbd [-s] [-k] [-r] [-f] [-d LEVEL] [-c CONFIG] [-h]

  -s         tell whether apphbd is running
  -k         end it
  -r         make it read its configuration again
  -f         stay in the foreground
  -d LEVEL   debug level
  -c CONFIG  configuration (default apphbd.cf beside ha.cf)

Lines of the configuration: debug_level N, debugfile FILE, logfile FILE,
realtime yes|no, watchdog_device DEVICE, watchdog_interval_ms N, and what to do
about programs that miss their beats, one line per step, the next one after
each further interval:

  recover NAME[/INSTANCE] ACTION      NAME * is every program without lines of its own
    log                the message alone, which is there anyway
    signal SIGNAL      send the program a signal
    kill               SIGKILL to the program
    run COMMAND...     run it; APPHB_NAME, APPHB_INSTANCE, APPHB_PID, APPHB_EVENT tell why
    reboot             reboot this machine at once
`

// settings are apphbd.cf.
type settings struct {
	debug            int
	logFile          string
	debugFile        string
	realtime         bool
	watchdog         string
	watchdogInterval time.Duration
	plans            []plan
}

func readSettings(file string) (settings, error) {
	s := settings{watchdogInterval: time.Second}
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	for i, raw := range strings.Split(string(text), "\n") {
		line, _, _ := strings.Cut(raw, "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if err := s.directive(words); err != nil {
			return s, fmt.Errorf("%s:%d: %w", file, i+1, err)
		}
	}
	return s, nil
}

func (s *settings) directive(words []string) error {
	if len(words) < 2 {
		return fmt.Errorf("%s: write a value after it", words[0])
	}
	v := words[1]
	number := func() (int, error) {
		n, err := strconv.Atoi(v)
		if err != nil || n < 0 {
			return 0, fmt.Errorf("%s %s: write a number", words[0], v)
		}
		return n, nil
	}
	var err error
	switch words[0] {
	case "debug_level":
		s.debug, err = number()
	case "logfile":
		s.logFile = v
	case "debugfile":
		s.debugFile = v
	case "realtime":
		on, ok := hacf.ParseBool(v)
		if !ok {
			return fmt.Errorf("realtime %s: write yes or no", v)
		}
		s.realtime = on
	case "watchdog_device":
		s.watchdog = v
	case "watchdog_interval_ms":
		var n int
		n, err = number()
		s.watchdogInterval = time.Duration(n) * time.Millisecond
		if err == nil && n == 0 {
			err = errors.New("watchdog_interval_ms 0: write a number above 0")
		}
	case "notify_plugin":
		// Plugins of the old apphbd are programs of their own here: recover ... run.
	case "recover":
		var p plan
		if p, err = parsePlan(words[1:]); err == nil {
			s.plans = append(s.plans, p)
		}
	default:
		err = fmt.Errorf("unknown directive %s: `apphbd -h` lists them", words[0])
	}
	return err
}

func parsePlan(words []string) (plan, error) {
	if len(words) < 2 {
		return plan{}, errors.New("write `recover NAME ACTION`")
	}
	p := plan{action: words[1], args: words[2:]}
	p.name, p.instance, _ = strings.Cut(words[0], "/")
	if p.instance == "" {
		p.instance = "*"
	}
	want := map[string]int{"log": 0, "kill": 0, "reboot": 0, "signal": 1, "run": -1}
	n, known := want[p.action]
	switch {
	case !known:
		return p, fmt.Errorf("recover: unknown action %s: log, signal, kill, run and reboot are known", p.action)
	case n >= 0 && len(p.args) != n, n < 0 && len(p.args) == 0:
		return p, fmt.Errorf("recover %s: wrong number of arguments for %s", words[0], p.action)
	case p.action == "signal" && unix.SignalNum("SIG"+strings.TrimPrefix(p.args[0], "SIG")) == 0:
		return p, fmt.Errorf("recover %s: %s is no signal", words[0], p.args[0])
	case p.action == "run" && !filepath.IsAbs(p.args[0]):
		return p, fmt.Errorf("recover %s: write the command's path from / on", words[0])
	}
	return p, nil
}

// Run is apphbd. Exit status: 0 good, 1 not running (-s) or failed, 2 wrong use.
func Run(ctx context.Context, name string, args []string, _ io.Reader, stdout, stderr io.Writer) int {
	layout := paths.FromEnv()
	config := filepath.Join(layout.Config(), "apphbd.cf")
	pidFile := filepath.Join(layout.Run(), "apphbd.pid")
	verb, foreground, debug := "", false, 0
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case a == "-h" || a == "--help":
			fmt.Fprint(stdout, usage)
			return 0
		case a == "-s" || a == "-k" || a == "-r":
			verb = a
		case a == "-f":
			foreground = true
		case a == "-c" && i+1 < len(args):
			i++
			config = args[i]
		case a == "-d" && i+1 < len(args):
			i++
			var err error
			if debug, err = strconv.Atoi(args[i]); err != nil {
				fmt.Fprint(stderr, usage)
				return 2
			}
		default:
			fmt.Fprint(stderr, usage)
			return 2
		}
	}
	fail := func(err error) int {
		fmt.Fprintf(stderr, "%s: %v\n", name, err)
		return 1
	}
	pid := background.Running(pidFile)
	switch verb {
	case "-s":
		if pid == 0 {
			fmt.Fprintln(stdout, "apphbd is stopped. No process")
			return 1
		}
		fmt.Fprintf(stdout, "apphbd OK [pid %d] is running\n", pid)
		return 0
	case "-k":
		if err := background.Stop(pidFile); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fail(err)
		}
		return 0
	case "-r":
		if _, err := readSettings(config); err != nil {
			return fail(err)
		}
		if err := background.Signal(pidFile, syscall.SIGHUP); err != nil {
			return fail(err)
		}
		return 0
	}
	if pid != 0 {
		fmt.Fprintf(stdout, "apphbd: already running [pid %d].\n", pid)
		return 0
	}
	set, err := readSettings(config)
	if err != nil {
		return fail(err)
	}
	set.debug = max(set.debug, debug)
	if !foreground && !background.Detached() {
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
	d := &daemon{layout: layout, config: config, set: set, stderr: stderr, watch: watch{clients: map[int]*client{}}, work: make(chan func(time.Time), 64)}
	if err := d.serve(ctx); err != nil {
		return fail(err)
	}
	return 0
}

// daemon is a running apphbd.
type daemon struct {
	layout paths.Layout
	config string
	stderr io.Writer
	work   chan func(now time.Time) // for the loop
	conns  sync.WaitGroup
	runs   sync.WaitGroup

	// Of the loop:
	set   settings
	watch watch
	logd  *logd.Client
	files [2]*os.File // log, debug
	// reboot is what ends the machine; tests put their own in.
	reboot func() error
}

func (d *daemon) serve(ctx context.Context) error {
	if d.reboot == nil {
		d.reboot = func() error { return unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART) }
	}
	d.openLog()
	defer d.closeLog()
	path := apphb.Socket(d.layout)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	defer os.Remove(path)
	if err := os.Chmod(path, 0o666); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	closing := context.AfterFunc(ctx, func() { l.Close() })
	defer closing()
	accepting := make(chan error, 1)
	go func() { accepting <- d.accept(ctx, l) }()
	var dog *os.File
	if d.set.watchdog != "" {
		if dog, err = os.OpenFile(hacf.Below(d.layout.Root, d.set.watchdog), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600); err != nil {
			d.log("ERROR", fmt.Sprintf("Cannot open watchdog device: %s: %v", d.set.watchdog, err))
		}
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	d.log("info", "apphbd started")
	beat := time.NewTicker(d.set.watchdogInterval)
	defer beat.Stop()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		events, next := d.watch.look(time.Now())
		d.act(events)
		if next.IsZero() {
			next = time.Now().Add(time.Hour)
		}
		timer.Reset(time.Until(next))
		select {
		case <-ctx.Done():
			if dog != nil {
				_, werr := dog.WriteString("V") // an orderly end disarms it
				err = errors.Join(werr, dog.Close())
			}
			d.drain()
			d.log("info", "apphbd ends")
			return errors.Join(err, <-accepting)
		case err := <-accepting:
			accepting <- nil
			if ctx.Err() == nil {
				return err
			}
		case f := <-d.work:
			f(time.Now())
		case <-hup:
			d.reread()
		case <-beat.C:
			if dog != nil {
				if _, err := dog.Write([]byte{0}); err != nil {
					d.log("ERROR", fmt.Sprintf("cannot write to the watchdog: %v", err))
				}
			}
		case <-timer.C:
		}
	}
}

// drain serves what connections still ask for until all have ended.
func (d *daemon) drain() {
	ended := make(chan struct{})
	go func() { d.conns.Wait(); d.runs.Wait(); close(ended) }()
	for {
		select {
		case f := <-d.work:
			f(time.Now())
		case <-ended:
			return
		}
	}
}

func (d *daemon) reread() {
	set, err := readSettings(d.config)
	if err != nil {
		d.log("ERROR", err.Error())
		return
	}
	d.closeLog()
	d.set = set
	d.openLog()
	d.log("info", "configuration read again")
}

func (d *daemon) accept(ctx context.Context, l net.Listener) error {
	for id := 1; ; id++ {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		d.conns.Go(func() { d.converse(ctx, id, conn.(*net.UnixConn)) })
	}
}

// do runs f in the loop and waits for it.
func (d *daemon) do(f func(now time.Time)) {
	done := make(chan struct{})
	d.work <- func(now time.Time) { f(now); close(done) }
	<-done
}

// converse serves one client's connection.
func (d *daemon) converse(ctx context.Context, id int, conn *net.UnixConn) {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	unregistered := false
	in := bufio.NewScanner(conn)
	in.Buffer(make([]byte, 0, 512), 4096)
	for !unregistered && in.Scan() {
		var err error
		d.do(func(now time.Time) { unregistered, err = d.request(id, conn, strings.Fields(in.Text()), now) })
		answer := "ok\n"
		if err != nil {
			answer = "error " + err.Error() + "\n"
		}
		if _, err := io.WriteString(conn, answer); err != nil {
			break
		}
	}
	d.do(func(time.Time) {
		events := d.watch.gone(id, unregistered || ctx.Err() != nil)
		d.act(events)
	})
}

// request carries one out; the first of a connection must be register.
func (d *daemon) request(id int, conn *net.UnixConn, words []string, now time.Time) (unregistered bool, err error) {
	if len(words) == 0 {
		return false, errors.New("empty request")
	}
	c := d.watch.clients[id]
	if c == nil && words[0] != "register" {
		return false, errors.New("not registered")
	}
	millis := func() (time.Duration, error) {
		if len(words) != 2 {
			return 0, errors.New("one number of milliseconds is needed")
		}
		n, err := strconv.ParseInt(words[1], 10, 32)
		if err != nil || n < 0 {
			return 0, fmt.Errorf("%q is no number of milliseconds", words[1])
		}
		return time.Duration(n) * time.Millisecond, nil
	}
	switch words[0] {
	case "register":
		if c != nil || len(words) != 3 {
			return false, errors.New("registered already, or not with a name and an instance")
		}
		cred, err := credentials(conn)
		if err != nil {
			return false, err
		}
		d.watch.add(id, client{name: words[1], instance: words[2], pid: int(cred.Pid), uid: cred.Uid, gid: cred.Gid}, now)
		d.log("debug", fmt.Sprintf("apphb client '%s' / '%s' (pid %d) registered", words[1], words[2], cred.Pid))
	case "interval":
		t, err := millis()
		if err != nil {
			return false, err
		}
		c.interval, c.beaten, c.missed = t, now, 0
	case "warn":
		if c.warn, err = millis(); err != nil {
			return false, err
		}
	case "reboot":
		if c.uid != 0 {
			return false, errors.New("only root may ask for a reboot")
		}
		c.reboot = len(words) == 2 && words[1] == "on"
	case "hb":
		d.act(d.watch.beat(id, now))
	case "unregister":
		return true, nil
	default:
		return false, fmt.Errorf("unknown request %s", words[0])
	}
	return false, nil
}

func credentials(conn *net.UnixConn) (*unix.Ucred, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	var cred *unix.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) { cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	return cred, errors.Join(err, failed)
}

// act logs events and takes the steps that the configuration has for them.
func (d *daemon) act(events []event) {
	for _, e := range events {
		who := fmt.Sprintf("apphb client '%s' / '%s' (pid %d)", e.client.name, e.client.instance, e.client.pid)
		switch e.kind {
		case missed:
			d.log("WARN", who+" failed to heartbeat")
		case resumed:
			d.log("info", who+" resumed heartbeats")
			continue
		case late:
			d.log("WARN", fmt.Sprintf("%s late heartbeat: %d ms", who, e.late.Milliseconds()))
			continue
		case hangup:
			d.log("WARN", who+" hangup: it ended without a word")
		}
		if e.client.reboot {
			d.log("CRIT", "Critical "+who+" failed: rebooting")
			d.rebootNow()
			continue
		}
		if p := step(d.set.plans, e.client); p != nil {
			d.recover(*p, e)
		}
	}
}

func (d *daemon) rebootNow() {
	unix.Sync()
	if err := d.reboot(); err != nil {
		d.log("CRIT", fmt.Sprintf("cannot reboot: %v", err))
	}
}

func (d *daemon) recover(p plan, e event) {
	what := strings.TrimSpace(p.action + " " + strings.Join(p.args, " "))
	if p.action != "log" {
		d.log("notice", fmt.Sprintf("recovering '%s' / '%s': step %d: %s", e.client.name, e.client.instance, e.client.missed, what))
	}
	sig := syscall.SIGKILL
	switch p.action {
	case "reboot":
		d.rebootNow()
	case "signal":
		sig = unix.SignalNum("SIG" + strings.TrimPrefix(p.args[0], "SIG"))
		fallthrough
	case "kill":
		if e.kind == hangup {
			return // it is gone, and the number may be another's
		}
		if err := syscall.Kill(e.client.pid, sig); err != nil {
			d.log("ERROR", fmt.Sprintf("cannot signal process %d: %v", e.client.pid, err))
		}
	case "run":
		d.run(p, e)
	}
}

// run starts a command and logs how it ended.
func (d *daemon) run(p plan, e event) {
	cmd := exec.Command(p.args[0], p.args[1:]...)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "APPHB_NAME="+e.client.name, "APPHB_INSTANCE="+e.client.instance,
		fmt.Sprintf("APPHB_PID=%d", e.client.pid), "APPHB_EVENT="+string(e.kind))
	if err := cmd.Start(); err != nil {
		d.log("ERROR", fmt.Sprintf("cannot run %s: %v", p.args[0], err))
		return
	}
	d.runs.Go(func() {
		err := cmd.Wait()
		d.do(func(time.Time) {
			if err != nil {
				d.log("ERROR", fmt.Sprintf("%s: %v", p.args[0], err))
			} else {
				d.log("info", p.args[0]+" done")
			}
		})
	})
}

// openLog opens the files of the configuration; lines go to ha_logd where
// there are none.
func (d *daemon) openLog() {
	for i, name := range []string{d.set.logFile, d.set.debugFile} {
		if name == "" {
			continue
		}
		f, err := os.OpenFile(hacf.Below(d.layout.Root, name), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
		if err != nil {
			fmt.Fprintf(d.stderr, "apphbd: %v\n", err)
			continue
		}
		d.files[i] = f
	}
	if d.set.logFile == "" {
		d.logd, _ = logd.Dial(logd.Socket(d.layout)) // nil: it is not there, lines go to stderr
	}
}

func (d *daemon) closeLog() {
	for i, f := range d.files {
		if f != nil {
			f.Close()
			d.files[i] = nil
		}
	}
	if d.logd != nil {
		d.logd.Close()
		d.logd = nil
	}
}

func (d *daemon) log(level, text string) {
	if level == "debug" && d.set.debug == 0 {
		return
	}
	e := logd.Entry{At: time.Now(), Level: level, Program: "apphbd", PID: os.Getpid(), Text: text}
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	line := e.Line(host, true)
	said := false
	for i, f := range d.files {
		if f != nil && (i == 1 || level != "debug") {
			if _, err := f.WriteString(line); err == nil {
				said = true
			}
		}
	}
	if d.logd != nil && d.logd.Send(e) == nil {
		said = true
	}
	if !said {
		fmt.Fprint(d.stderr, line)
	}
}
