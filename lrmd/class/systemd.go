package class

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"

	"linuxha/internal/paths"
	"linuxha/lrmd/oplist"
)

const (
	systemdName    = "org.freedesktop.systemd1"
	systemdPath    = "/org/freedesktop/systemd1"
	systemdManager = systemdName + ".Manager."
	systemdUnit    = systemdName + ".Unit."
	instance       = "pacemaker" // of templates without one (execution 13.2)
)

var unitSuffixes = []string{".service", ".socket", ".mount", ".timer", ".path"}

// systemd runs class systemd over D-Bus (execution 13).
type systemd struct {
	dropIns string // folder of the units' override files
	log     *slog.Logger
	connect func() (*dbus.Conn, error)
	booted  func() bool // did systemd boot this machine?

	mu   sync.Mutex
	conn *dbus.Conn
}

func newSystemd(layout paths.Layout, log *slog.Logger) *systemd {
	return &systemd{
		dropIns: filepath.Join(layout.Root, "run/systemd/system"), log: log,
		connect: func() (*dbus.Conn, error) { return dbus.ConnectSystemBus() },
		booted:  systemdBooted,
	}
}

// systemdBooted is the test that systemd documents (sd_booted): its folder of
// run-time units exists on every machine that it has booted.
func systemdBooted() bool {
	info, err := os.Lstat("/run/systemd/system")
	return err == nil && info.IsDir()
}

func (s *systemd) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil {
		s.conn.Close()
	}
}

// bus opens the connection on first use, and again when it was lost.
func (s *systemd) bus() (*dbus.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil && s.conn.Connected() {
		return s.conn, nil
	}
	conn, err := s.connect()
	if err != nil {
		return nil, err
	}
	s.conn = conn
	return conn, nil
}

func (s *systemd) manager(ctx context.Context, method string, args ...any) (*dbus.Call, error) {
	conn, err := s.bus()
	if err != nil {
		return nil, errNoBus
	}
	call := conn.Object(systemdName, systemdPath).CallWithContext(ctx, systemdManager+method, 0, args...)
	return call, call.Err
}

var errNoBus = errors.New("No DBus connection") //nolint:staticcheck // shown to users as it stands

// unitName completes a configured name (execution 13.2).
func unitName(name string, always bool) string {
	for _, suffix := range unitSuffixes {
		if base, ok := strings.CutSuffix(name, suffix); ok {
			if strings.HasSuffix(base, "@") {
				return base + instance + suffix
			}
			return name
		}
	}
	if strings.HasSuffix(name, "@") && always {
		name += instance
	}
	return name + ".service"
}

func (s *systemd) load(ctx context.Context, unit string) (dbus.ObjectPath, error) {
	call, err := s.manager(ctx, "LoadUnit", unit)
	if err != nil {
		return "", err
	}
	var path dbus.ObjectPath
	return path, call.Store(&path)
}

func (s *systemd) property(ctx context.Context, path dbus.ObjectPath, name string) (string, error) {
	conn, err := s.bus()
	if err != nil {
		return "", errNoBus
	}
	var v dbus.Variant
	err = conn.Object(systemdName, path).CallWithContext(ctx, "org.freedesktop.DBus.Properties.Get", 0, systemdName+".Unit", name).Store(&v)
	text, _ := v.Value().(string)
	return text, err
}

func unknownUnit(err error) bool {
	e, ok := errors.AsType[dbus.Error](err)
	return ok && (strings.Contains(e.Name, "InvalidName") || strings.Contains(e.Name, "LoadFailed") || strings.Contains(e.Name, "NoSuchUnit"))
}

// busFailure maps an error that is not about the unit.
func busFailure(err error) oplist.Outcome {
	if errors.Is(err, errNoBus) {
		return failed(Error, StatusError, errNoBus.Error())
	}
	return failed(Error, StatusError, "Unable to invoke systemd DBus method")
}

// exists: the unit is loaded or masked.
func (s *systemd) exists(name string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	path, err := s.load(ctx, unitName(name, true))
	if err != nil {
		return false
	}
	state, err := s.property(ctx, path, "LoadState")
	return err == nil && (state == "loaded" || state == "masked")
}

func (s *systemd) run(ctx context.Context, name string, op oplist.Op, launched Launched) oplist.Outcome {
	begun := time.Now()
	launched(0, begun)
	unit := unitName(name, false)
	path, err := s.load(ctx, unit)
	switch {
	case errors.Is(err, errNoBus) && !s.booted():
		// No unit can be active, so nobody needs to be fenced for it.
		if op.Action == "stop" {
			return failed(OK, oplist.StatusComplete, "")
		}
		return failed(NotInstalled, StatusNotInstalled, "systemd unit "+name+" not found: this node was not booted by systemd")
	case err != nil && unknownUnit(err) && op.Action == "stop":
		return failed(OK, oplist.StatusComplete, "")
	case err != nil && unknownUnit(err):
		return failed(NotInstalled, StatusNotInstalled, "systemd unit "+name+" not found")
	case err != nil:
		return busFailure(err)
	}
	var method string
	switch op.Action {
	case "status", "monitor":
		return s.state(ctx, path)
	case "start":
		method = "StartUnit"
		s.override(name, true)
	case "stop":
		method = "StopUnit"
		s.override(name, false)
	case "restart":
		method = "RestartUnit"
	default:
		return failed(Unimplemented, StatusError, "Action "+op.Action+" not implemented for systemd resources")
	}
	if _, err := s.manager(ctx, method, unit, "replace"); err != nil {
		if unknownUnit(err) {
			return failed(NotInstalled, StatusNotInstalled, "systemd unit "+name+" not found")
		}
		return busFailure(err)
	}
	return s.follow(ctx, path, op, begun)
}

// state is what monitor says.
func (s *systemd) state(ctx context.Context, path dbus.ObjectPath) oplist.Outcome {
	state, err := s.property(ctx, path, "ActiveState")
	switch {
	case err != nil:
		return busFailure(err)
	case state == "active" || state == "reloading":
		return failed(OK, oplist.StatusComplete, "")
	case state == "activating" || state == "deactivating":
		return failed(OK, StatusPending, state)
	}
	return failed(NotRunning, oplist.StatusComplete, state)
}

// follow waits until a started or stopped unit has got there: the manager
// answers as soon as the job is queued (execution 13.5).
func (s *systemd) follow(ctx context.Context, path dbus.ObjectPath, op oplist.Op, begun time.Time) oplist.Outcome {
	for {
		wait := min(2*time.Second, op.Timeout/10)
		if op.Timeout == 0 {
			wait = 2 * time.Second
		}
		if left := op.Timeout - time.Since(begun); op.Timeout > 0 && wait >= left {
			if left <= 20*time.Millisecond {
				return failed(Error, oplist.StatusTimedOut, "Investigate reason for timeout, and adjust configured operation timeout if necessary")
			}
			wait = left / 2
		}
		select {
		case <-ctx.Done():
			return failed(Error, oplist.StatusTimedOut, op.Action+" action for systemd unit did not complete in time")
		case <-time.After(wait):
		}
		got := s.state(ctx, path)
		switch {
		case got.Status == StatusPending:
		case got.Status != oplist.StatusComplete:
			return got
		case op.Action == "stop" && got.RC == OK:
		case op.Action == "stop" && got.RC == NotRunning:
			return failed(OK, oplist.StatusComplete, "")
		case got.RC == NotRunning:
			return failed(Error, oplist.StatusComplete, got.Reason)
		default:
			return got
		}
	}
}

// override makes systemd leave restarts to us and stop us before the service
// at shutdown (execution 13.4). Failing is no reason not to start.
func (s *systemd) override(name string, write bool) {
	dir := filepath.Join(s.dropIns, name+".service.d")
	path := filepath.Join(dir, "50-pacemaker.conf")
	if err := changeOverride(dir, path, name, write); err != nil {
		s.log.Warn("systemd override not changed", "path", path, "err", err)
		return
	}
	if conn, err := s.bus(); err == nil {
		conn.Object(systemdName, systemdPath).Go(systemdManager+"Reload", dbus.FlagNoReplyExpected, nil)
	}
}

func changeOverride(dir, path, name string, write bool) error {
	if !write {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	text := "[Unit]\nDescription=Cluster Controlled " + name +
		"\nBefore=heartbeat.service pacemaker.service pacemaker_remote.service\n\n[Service]\nRestart=no\n\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return err
	}
	return os.Chmod(path, 0o644) // whatever our umask is
}

// list are the installed units, ".service" left out.
func (s *systemd) list() []string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	call, err := s.manager(ctx, "ListUnitFiles")
	if err != nil {
		return nil
	}
	var files []struct{ Path, State string }
	if err := call.Store(&files); err != nil {
		s.log.Warn("list of systemd units not understood", "err", err)
		return nil
	}
	var out []string
	for _, f := range files {
		base := filepath.Base(f.Path)
		if slices.Contains(unitSuffixes, filepath.Ext(base)) {
			out = append(out, strings.TrimSuffix(base, ".service"))
		}
	}
	slices.SortFunc(out, func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) })
	return out
}

// metadata is made up from the unit's description (execution 7.2).
func (s *systemd) metadata(ctx context.Context, name string) (string, error) {
	path, err := s.load(ctx, unitName(name, true))
	if err != nil {
		return "", err
	}
	desc, err := s.property(ctx, path, "Description")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf(`<?xml version="1.0"?>
<!DOCTYPE resource-agent SYSTEM "ra-api-1.dtd">
<resource-agent name="%[1]s" version="0.1">
  <version>1.1</version>
  <longdesc lang="en">
    %[2]s
  </longdesc>
  <shortdesc lang="en">systemd unit file for %[1]s</shortdesc>
  <parameters/>
  <actions>
    <action name="start"     timeout="100" />
    <action name="stop"      timeout="100" />
    <action name="status"    timeout="100" />
    <action name="monitor"   timeout="100" interval="60"/>
    <action name="meta-data" timeout="5"   />
  </actions>
  <special tag="systemd"/>
</resource-agent>
`, escape(name), escape(desc)), nil
}

func escape(s string) string {
	var b strings.Builder
	// A strings.Builder never fails.
	_ = xml.EscapeText(&b, []byte(s))
	return b.String()
}
