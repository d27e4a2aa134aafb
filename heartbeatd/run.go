package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"

	"linuxha/heartbeatd/hacf"
	"linuxha/heartbeatd/halog"
	"linuxha/heartbeatd/hamsg"
	"linuxha/heartbeatd/media"
	"linuxha/heartbeatd/server"
	"linuxha/heartbeatd/supervise"
	"linuxha/internal/apphb"
	"linuxha/internal/daemon"
	"linuxha/internal/ipc"
	"linuxha/internal/logd"
	"linuxha/internal/paths"
)

// node is a running heartbeatd's parts.
type node struct {
	layout   paths.Layout
	cmd      command
	cfg      *hacf.Config
	out      *halog.Log
	log      *slog.Logger
	acc      supervise.Accounts
	watchdog *supervise.Watchdog
	loaded   time.Time // when ha.cf was last written before it was read
	keysRead time.Time // the same of authkeys
	signals  chan os.Signal
}

// runDaemon is heartbeatd itself, from the configuration to the exit status.
func runDaemon(layout paths.Layout, cmd command, stderr io.Writer) int {
	daemon.Tune()
	name, err := nodeName()
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitError
	}
	n := &node{layout: layout, cmd: cmd}
	// Until ha.cf is read, lines go to stderr alone.
	early, err := halog.Open(halog.Options{Node: name, Stderr: stderr, Syslog: true})
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitError
	}
	defer early.Close()
	n.log = early.Logger("heartbeat")
	keys, err := n.configure(name)
	if err != nil {
		n.complain(err)
		return exitBadSetup
	}
	// From here on others know our pid, and a signal must not end us by default.
	n.signals = make(chan os.Signal, 8)
	signal.Notify(n.signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
	signal.Ignore(syscall.SIGPIPE, syscall.SIGTTOU, syscall.SIGTTIN)
	lock, err := lockPID(layout)
	switch {
	case errors.Is(err, errRunning):
		pid, _ := runningPID(layout)
		n.log.Info(fmt.Sprintf("heartbeat: already running [pid %d].", pid))
		return exitOK
	case err != nil:
		n.log.Error("cannot write the pid file: is this run as root?", "err", err)
		return exitError
	}
	defer os.Remove(pidPath(layout))
	defer lock.Close()
	n.acc = supervise.FindAccounts(hacf.Machine())
	if err := supervise.MakeDirs(layout, n.acc); err != nil {
		n.log.Error("cannot make the folders of the stack", "err", err)
		return exitError
	}
	if err := n.openLog(stderr); err != nil {
		n.log.Error("cannot open the log", "err", err)
		return exitError
	}
	defer n.out.Close()
	if err := early.Close(); err != nil {
		return exitError
	}
	if err := n.serve(keys); err != nil {
		n.log.Error("exiting", "err", err)
		return exitError
	}
	n.log.Info(fmt.Sprintf("%s Heartbeat shutdown complete.", n.cfg.Node))
	return exitOK
}

// configure reads ha.cf and authkeys.
func (n *node) configure(name string) (*hamsg.Keys, error) {
	opt := hacf.Options{Dir: n.layout.Config(), Node: name, NoResources: n.cmd.noResources}
	changed(filepath.Join(opt.Dir, "ha.cf"), &n.loaded)
	changed(filepath.Join(opt.Dir, "authkeys"), &n.keysRead)
	var err error
	if n.cfg, err = hacf.Load(opt); err != nil {
		return nil, err
	}
	keys, notes, err := hacf.LoadKeys(opt.Dir)
	if err != nil {
		return nil, err
	}
	n.cfg.Notes = append(n.cfg.Notes, notes...)
	return keys, nil
}

// complain logs why the configuration cannot be used.
func (n *node) complain(err error) {
	var bad *hacf.Invalid
	if !errors.As(err, &bad) {
		n.log.Error(err.Error())
		return
	}
	n.logNotes(bad.Notes)
}

func (n *node) logNotes(notes []hacf.Note) {
	for _, note := range notes {
		level := slog.LevelInfo
		switch note.Level {
		case hacf.Error:
			level = slog.LevelError
		case hacf.Warn:
			level = slog.LevelWarn
		case hacf.Notice:
			level = halog.LevelNotice
		}
		n.log.Log(context.Background(), level, note.Text)
	}
}

// openLog opens the log that ha.cf names, or the default one.
func (n *node) openLog(stderr io.Writer) error {
	cfg := n.cfg
	n.logFiles(cfg)
	opt := halog.Options{
		Node: cfg.Node, File: cfg.LogFile, Debug: cfg.DebugFile, Facility: cfg.LogFacility, Stderr: stderr, Syslog: cfg.SyslogFormat,
		LogdRetry: cfg.LogdRetry,
	}
	if cfg.UseLogd {
		opt.Logd = logd.Socket(n.layout)
	}
	out, err := halog.Open(opt)
	if err != nil {
		return err
	}
	n.out, n.log = out, out.Logger("heartbeat")
	n.setLevel(cfg)
	return nil
}

// logFiles puts the log's files below the root, and names one where ha.cf
// names no place at all.
func (n *node) logFiles(cfg *hacf.Config) {
	root := n.layout.Root
	cfg.LogFile, cfg.DebugFile = hacf.Below(root, cfg.LogFile), hacf.Below(root, cfg.DebugFile)
	if cfg.LogFile == "" && cfg.LogFacility == "" {
		cfg.LogFile = filepath.Join(n.layout.Log(), "ha-log")
	}
}

// setLevel takes the debug level of ha.cf, the command line or HA_DEBUG.
func (n *node) setLevel(cfg *hacf.Config) {
	cfg.Debug = max(cfg.Debug, n.cmd.debug)
	if d := os.Getenv("HA_DEBUG"); cfg.Debug == 0 && d != "" && d != "0" {
		cfg.Debug = 1
	}
	level := slog.LevelInfo
	if cfg.Debug > 0 {
		level = slog.LevelDebug
	}
	n.out.SetLevel(level)
}

// errStop is the orderly end's cause.
var errStop = errors.New("asked to stop")

// serve runs messaging and children until the end; nil is an orderly one.
func (n *node) serve(keys *hamsg.Keys) error {
	cfg := n.cfg
	n.logNotes(cfg.Notes)
	var children []supervise.Spec
	if !n.cmd.noResources {
		specs, notes, err := supervise.Children(cfg, n.acc, n.layout)
		n.logNotes(notes)
		if err != nil {
			return err
		}
		children = specs
	}
	id, err := server.LoadIdentity(n.layout.State(), cfg.Node, cfg.UUIDFromName, cfg.GenerationTime, time.Now())
	if err != nil {
		return err
	}
	known, err := server.LoadKnown(n.layout.State(), cfg.Node)
	if err != nil {
		return err
	}
	n.log.Info("**************************")
	n.log.Info("Configuration validated. Starting heartbeat 3.0.6", "linux_ha", versionText())
	n.log.Info("heartbeat: version 3.0.6")
	for _, text := range id.New {
		n.log.Info(text)
	}
	n.log.Info(fmt.Sprintf("Heartbeat generation: %d", id.Generation))
	n.openWatchdog()
	defer n.watchdog.Close()
	if cfg.CRM == hacf.CRMYes && n.watchdog == nil {
		n.log.Warn("`crm yes` asks for a reboot when cib or crmd dies, but no watchdog is configured: they will be restarted, as with `crm respawn`")
	}
	n.settle(cfg)

	stopCtx, stop := context.WithCancelCause(context.Background())
	defer stop(nil)
	serveCtx, stopServing := context.WithCancelCause(context.Background())
	defer stopServing(nil)

	limits, err := supervise.HealthLimits(cfg)
	if err != nil {
		n.log.Warn(err.Error())
	}
	sup := supervise.New(supervise.Options{
		Children: children, Env: supervise.Environment(cfg, n.layout), RunDir: n.layout.Run(),
		Output: n.out, Log: n.log, FailFast: n.failFast, CoreRoot: n.coreRoot(), Health: limits,
	})
	sup.KillLeftovers()
	forks := supervise.NewForker(n.log)
	defer forks.Close()
	resources, err := n.classicMode(forks)
	if err != nil {
		return err
	}
	fifo, err := server.OpenFIFO(n.fifoPath())
	if err != nil {
		return err
	}
	var applications *supervise.AppHB
	if cfg.UseAppHBD {
		applications = supervise.NewAppHB(apphb.Socket(n.layout), cfg.DeadTime, cfg.WarnTime, n.log)
	}
	registered := make(chan struct{})
	go func() { defer close(registered); applications.Run(serveCtx) }()
	defer func() { stopServing(nil); <-registered }()
	active := make(chan struct{})
	var srv *server.Server
	paths := media.New(media.Options{
		Media: cfg.Media, Pings: cfg.PingNodes, Log: n.log, LockDir: hacf.Below(n.layout.Root, "/var/lock"), LineTime: cfg.DeadTime / 2,
		Classic: func(p []byte) ([]byte, error) { return srv.Classic(p) },
	})
	srv, err = server.New(server.Options{
		Config: cfg, Identity: id, Known: known, Keys: keys, Media: paths, Links: paths.Names(), States: paths.States, StateDir: n.layout.State(), Log: n.log,
		Classic: resources, FIFO: fifo,
		Beat:     func() { n.watchdog.Beat(); applications.Beat() },
		Active:   func() { close(active) },
		Children: sup.Status,
		Reload:   func() (server.Reloaded, error) { return n.reload(paths) },
		Stop:     func(reason string) { stop(fmt.Errorf("%w by request: %s", errStop, reason)) },
	})
	if err != nil {
		return err
	}
	signals := n.handleSignals(stopCtx, stop, srv)
	defer signals.Wait()

	childCtx, stopChildren := context.WithCancelCause(context.Background())
	defer stopChildren(nil)
	go func() { // resources first: children may be of use to them
		<-stopCtx.Done()
		srv.GiveUp()
		stopChildren(context.Cause(stopCtx))
	}()
	supervised := make(chan error, 1)
	go func() {
		select {
		case <-active:
			supervised <- sup.Run(childCtx)
		case <-childCtx.Done():
			supervised <- context.Cause(childCtx)
		}
		stopServing(nil) // the children are gone: leave the cluster
	}()
	n.notify(sd.SdNotifyReady)
	defer n.notify(sd.SdNotifyStopping)
	err = ipc.Serve(serveCtx, n.layout.Socket("heartbeatd"), srv.Register, srv.Run)
	if err != nil {
		stop(err) // messaging failed: the children must not go on without it
	} else {
		stop(errStop)
	}
	reason := <-supervised
	if err == nil && !errors.Is(reason, errStop) && !errors.Is(reason, context.Canceled) {
		err = reason
	}
	if errors.Is(err, supervise.ErrNodeMustStop) {
		n.log.Error(err.Error())
		return nil // an orderly stop, although not our idea
	}
	return err
}

// coreRoot is where children run: nowhere special without core dumps.
func (n *node) coreRoot() string {
	if !n.cfg.CoreDumps {
		return ""
	}
	return hacf.Below(n.layout.Root, n.cfg.CoreRoot)
}

// settle gives this process the priority, memory and core dumps that ha.cf
// asks for; what the system refuses is told, and done without.
func (n *node) settle(cfg *hacf.Config) {
	notes, err := supervise.CoreDumps(cfg.CoreDumps, hacf.Below(n.layout.Root, cfg.CoreRoot))
	n.logNotes(notes)
	if err != nil {
		n.log.Warn("core dumps are not set up", "err", err)
	}
	if !cfg.Realtime || n.cmd.noRealtime {
		return
	}
	if err := supervise.RaisePriority(uint32(cfg.RTPriority)); err != nil {
		n.log.Info("running with ordinary priority", "err", err)
	}
	if err := supervise.LockMemory(cfg.MemReserve); err != nil {
		n.log.Error(err.Error())
	}
}

// notify tells systemd, where it waits for that.
func (n *node) notify(state string) {
	if _, err := sd.SdNotify(false, state); err != nil {
		n.log.Warn("cannot notify systemd", "err", err)
	}
}

// handleSignals acts on signals until ctx ends (HB 20.3).
func (n *node) handleSignals(ctx context.Context, stop context.CancelCauseFunc, srv *server.Server) *sync.WaitGroup {
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return // a second signal must not cut an orderly stop short
			case sig := <-n.signals:
				switch sig {
				case syscall.SIGHUP:
					n.out.Reopen()
					if _, err := srv.ReloadFiles(); err != nil {
						n.log.Error("reload failed", "err", err)
					}
				case syscall.SIGUSR1:
					n.out.SetLevel(slog.LevelDebug)
					n.log.Debug(fmt.Sprintf("debug now set to 1 [pid %d]", os.Getpid()))
				case syscall.SIGUSR2:
					n.out.SetLevel(slog.LevelInfo)
				default:
					n.log.Info(fmt.Sprintf("Heartbeat shutdown in progress. (%d)", os.Getpid()))
					stop(fmt.Errorf("%w by %v", errStop, sig))
				}
			}
		}
	})
	return &wg
}

// reload reads what has changed of ha.cf and authkeys (HB 20.4).
func (n *node) reload(paths *media.Set) (server.Reloaded, error) {
	var r server.Reloaded
	dir := n.layout.Config()
	if changed(filepath.Join(dir, "authkeys"), &n.keysRead) {
		keys, notes, err := hacf.LoadKeys(dir)
		n.logNotes(notes)
		if err != nil {
			return r, err
		}
		r.Keys = keys
	}
	if !changed(filepath.Join(dir, "ha.cf"), &n.loaded) {
		return r, nil
	}
	cfg, err := hacf.Load(hacf.Options{Dir: dir, Node: n.cfg.Node, NoResources: n.cmd.noResources})
	if err != nil {
		return r, err
	}
	n.logFiles(cfg)
	n.out.Redirect(cfg.LogFile, cfg.DebugFile)
	n.setLevel(cfg)
	paths.Change(cfg.Media, cfg.PingNodes)
	r.Config, r.Links = cfg, paths.Names()
	return r, nil
}

// changed tells whether a file was written after it was read, and takes it for
// read now.
func changed(file string, read *time.Time) bool {
	st, err := os.Stat(file)
	if err != nil || !st.ModTime().After(*read) {
		return false
	}
	*read = st.ModTime()
	return true
}

func (n *node) openWatchdog() {
	if n.cfg.Watchdog == "" {
		return
	}
	file := n.cfg.Watchdog
	if !strings.HasPrefix(file, "/dev/") {
		file = hacf.Below(n.layout.Root, file)
	}
	w, err := supervise.OpenWatchdog(file, n.cfg.DeadTime, n.log)
	if err != nil {
		n.log.Error(fmt.Sprintf("Cannot open watchdog device: %s", file), "err", err)
		return
	}
	n.log.Log(context.Background(), halog.LevelNotice, "Using watchdog device: "+file)
	n.watchdog = w
}

// failFast is for a daemon that `crm yes` does not allow to die.
func (n *node) failFast(name string) bool {
	if n.watchdog == nil {
		n.log.Log(context.Background(), halog.LevelCrit,
			"daemon died and `crm yes` asks for a reboot; no watchdog is configured: it is restarted as with `crm respawn`", "name", name)
		return false
	}
	n.log.Log(context.Background(), halog.LevelCrit, "daemon died and `crm yes` asks for a reboot: the watchdog is left alone from now on", "name", name)
	n.watchdog.Starve()
	return true
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
