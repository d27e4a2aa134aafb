package class

import (
	"bufio"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"linuxha/internal/paths"
	"linuxha/lrmd/oplist"
)

// fakeSystemd is org.freedesktop.systemd1 on a bus of its own, with one unit,
// web.service.
type fakeSystemd struct {
	mu    sync.Mutex
	state string
	next  []string // states after the next call of Start or Stop, one per look
	calls []string
}

const webPath = dbus.ObjectPath("/org/freedesktop/systemd1/unit/web_2eservice")

func (f *fakeSystemd) note(call string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, call)
}

func (f *fakeSystemd) LoadUnit(name string) (dbus.ObjectPath, *dbus.Error) {
	if name != "web.service" {
		return "", dbus.NewError(systemdName+".NoSuchUnit", []any{name})
	}
	return webPath, nil
}

func (f *fakeSystemd) StartUnit(name, mode string) (dbus.ObjectPath, *dbus.Error) {
	f.note("start " + name + " " + mode)
	return "/job/1", nil
}

func (f *fakeSystemd) StopUnit(name, mode string) (dbus.ObjectPath, *dbus.Error) {
	f.note("stop " + name + " " + mode)
	return "/job/2", nil
}

func (f *fakeSystemd) Reload() *dbus.Error { f.note("reload"); return nil }

func (f *fakeSystemd) ListUnitFiles() ([]struct{ Path, State string }, *dbus.Error) {
	return []struct{ Path, State string }{{"/lib/systemd/system/web.service", "enabled"}, {"/x/B.socket", "static"}, {"/x/a.target", "static"}, {"/x/a.timer", ""}}, nil
}

// Get is org.freedesktop.DBus.Properties.
func (f *fakeSystemd) Get(_, property string) (dbus.Variant, *dbus.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch property {
	case "LoadState":
		return dbus.MakeVariant("loaded"), nil
	case "Description":
		return dbus.MakeVariant("A <web> server"), nil
	}
	if len(f.next) > 0 {
		f.state, f.next = f.next[0], f.next[1:]
	}
	return dbus.MakeVariant(f.state), nil
}

func privateBus(t *testing.T) string {
	t.Helper()
	daemon, err := exec.LookPath("dbus-daemon")
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	conf := dir + "/bus.conf"
	text := `<busconfig><type>custom</type><listen>unix:path=` + dir + `/bus</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*"/><allow eavesdrop="true"/><allow own="*"/><allow user="*"/></policy></busconfig>`
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(daemon, "--config-file="+conf, "--print-address", "--nofork")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(addr)
}

func TestSystemd(t *testing.T) { // execution 13
	addr := privateBus(t)
	bus, err := dbus.Connect(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	fake := &fakeSystemd{state: "inactive"}
	for path, iface := range map[dbus.ObjectPath]string{systemdPath: systemdName + ".Manager", webPath: "org.freedesktop.DBus.Properties"} {
		if err := bus.Export(fake, path, iface); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := bus.RequestName(systemdName, 0); err != nil {
		t.Fatal(err)
	}

	root := t.TempDir()
	s := newSystemd(paths.Layout{Root: root}, slog.New(slog.NewTextHandler(t.Output(), nil)))
	s.connect = func() (*dbus.Conn, error) { return dbus.Connect(addr) }
	defer s.close()
	override := root + "/run/systemd/system/web.service.d/50-pacemaker.conf"

	for _, tc := range []struct {
		name, unit, action string
		state              string
		next               []string
		rc                 int
		status             oplist.Status
		reason             string
	}{
		{"stopped", "web", "monitor", "inactive", nil, 7, 0, "inactive"},
		{"starts slowly", "web", "start", "inactive", []string{"activating", "active"}, 0, 0, ""},
		{"runs", "web.service", "monitor", "active", nil, 0, 0, ""},
		{"changes", "web", "status", "deactivating", nil, 0, StatusPending, "deactivating"},
		{"start fails", "web", "start", "inactive", []string{"activating", "failed"}, 1, 0, "failed"},
		{"never gets there", "web", "start", "activating", nil, 1, 2, "Investigate reason for timeout, and adjust configured operation timeout if necessary"},
		{"stops slowly", "web", "stop", "active", []string{"active", "deactivating", "inactive"}, 0, 0, ""},
		{"unknown", "nope", "start", "", nil, 5, 7, "systemd unit nope not found"},
		{"stop of an unknown one", "nope", "stop", "", nil, 0, 0, ""},
		{"promote", "web", "promote", "", nil, 3, 4, "Action promote not implemented for systemd resources"},
	} {
		fake.mu.Lock()
		fake.state, fake.next = tc.state, tc.next
		fake.mu.Unlock()
		got := s.run(t.Context(), tc.unit, oplist.Op{Resource: "w", Action: tc.action, Timeout: 200 * time.Millisecond}, ignore)
		if got.RC != tc.rc || got.Status != tc.status || got.Reason != tc.reason {
			t.Errorf("%s: %+v, want rc %d status %d reason %q", tc.name, got, tc.rc, tc.status, tc.reason)
		}
		_, err := os.Stat(override)
		if tc.name == "starts slowly" && err != nil || tc.name == "stops slowly" && err == nil {
			t.Errorf("%s: override file: %v", tc.name, err)
		}
	}
	if !slices.Contains(fake.calls, "start web.service replace") || !slices.Contains(fake.calls, "stop web.service replace") {
		t.Errorf("calls %v", fake.calls)
	}
	if got, want := s.list(), []string{"a.timer", "B.socket", "web"}; !slices.Equal(got, want) {
		t.Errorf("list %v, want %v", got, want)
	}
	if !s.exists("web") || s.exists("nope") {
		t.Error("exists")
	}
	if xml, err := s.metadata(t.Context(), "web"); err != nil || !strings.Contains(xml, "A &lt;web&gt; server") {
		t.Errorf("meta-data %q, %v", xml, err)
	}
}

func TestUnitNames(t *testing.T) {
	for _, tc := range []struct {
		name   string
		always bool
		want   string
	}{
		{"web", false, "web.service"},
		{"web.socket", false, "web.socket"},
		{"x@", false, "x@.service"},
		{"x@", true, "x@pacemaker.service"},
		{"x@.service", false, "x@pacemaker.service"},
		{"x@1", false, "x@1.service"},
		{"a.target", false, "a.target.service"},
	} {
		if got := unitName(tc.name, tc.always); got != tc.want {
			t.Errorf("unitName(%q, %v) = %q, want %q", tc.name, tc.always, got, tc.want)
		}
	}
}

func TestNoBus(t *testing.T) {
	s := newSystemd(paths.Layout{Root: t.TempDir()}, slog.New(slog.DiscardHandler))
	s.connect = func() (*dbus.Conn, error) { return nil, os.ErrNotExist }
	s.booted = func() bool { return true }
	out := s.run(t.Context(), "web", oplist.Op{Resource: "w", Action: "start"}, ignore)
	if out.RC != Error || out.Status != StatusError || out.Reason != "No DBus connection" {
		t.Errorf("%+v", out)
	}
}

// TestWithoutSystemd: on a machine that systemd did not boot no unit is active,
// so a probe and a stop must not end with fencing.
func TestWithoutSystemd(t *testing.T) {
	s := newSystemd(paths.Layout{Root: t.TempDir()}, slog.New(slog.DiscardHandler))
	s.connect = func() (*dbus.Conn, error) { return nil, os.ErrNotExist }
	s.booted = func() bool { return false }
	for action, want := range map[string]int{"monitor": NotInstalled, "start": NotInstalled, "stop": OK} {
		out := s.run(t.Context(), "web", oplist.Op{Resource: "w", Action: action}, ignore)
		if out.RC != want || want != OK && (out.Status != StatusNotInstalled || !strings.Contains(out.Reason, "not booted by systemd")) {
			t.Errorf("%s: %+v, want rc %d", action, out, want)
		}
	}
}
