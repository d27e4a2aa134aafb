package class

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"linuxha/internal/paths"
	"linuxha/lrmd/oplist"
)

// newRunner returns a Runner on an empty root.
func newRunner(t *testing.T) (*Runner, paths.Layout) {
	t.Helper()
	root, err := os.MkdirTemp("/tmp", "cls") // short: it may hold a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	layout := paths.Layout{Root: root}
	if err := os.MkdirAll(layout.OCFRoot(), 0o755); err != nil {
		t.Fatal(err)
	}
	r := New(Options{Layout: layout, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	t.Cleanup(r.Close)
	return r, layout
}

func write(t *testing.T, mode os.FileMode, text string, elem ...string) {
	t.Helper()
	path := filepath.Join(elem...)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func ignore(int, time.Time) {}

func TestEnvironmentOfOCF(t *testing.T) { // execution 3.1
	t.Setenv("NOTIFY_SOCKET", "/run/x")
	t.Setenv("OCF_RESOURCE_INSTANCE", "from outside")
	r, l := newRunner(t)
	write(t, 0o755, "#!/bin/sh\nenv\n", l.OCFRoot(), "resource.d/p/env")
	long := strings.Repeat("x", 600)
	out := r.Run(t.Context(), oplist.Agent{Class: "OCF", Provider: "p", Type: "env"}, oplist.Op{
		Resource: "r:1", Action: "start",
		Params: map[string]string{"ip": "10.0.0.1", "empty": "", "two": "a b\nc", "CRM_meta_timeout": "20000", "OCF_CHECK_LEVEL": "10", long: "cut"},
	}, ignore)
	got := "\n" + out.Output
	for _, want := range []string{
		"OCF_ROOT=" + l.OCFRoot(), "OCF_RA_VERSION_MAJOR=1", "OCF_RA_VERSION_MINOR=1", "OCF_RESOURCE_INSTANCE=r:1", "OCF_RESOURCE_TYPE=env",
		"OCF_RESOURCE_PROVIDER=p", "OCF_EXIT_REASON_PREFIX=ocf-exit-reason:", "OCF_RESKEY_ip=10.0.0.1", "OCF_RESKEY_empty=", "OCF_RESKEY_two=a b\nc",
		"OCF_RESKEY_CRM_meta_timeout=20000", "OCF_CHECK_LEVEL=10", ("OCF_RESKEY_" + long)[:499] + "=cut", "PCMK_service=pacemaker-execd",
		"HA_RSCTMP=" + l.Root + "/run/resource-agents",
	} {
		if !strings.Contains(got, "\n"+want+"\n") {
			t.Errorf("no %.80s in the environment", want)
		}
	}
	for _, not := range []string{"NOTIFY_SOCKET=", "OCF_RESKEY_OCF_CHECK_LEVEL="} {
		if strings.Contains(got, "\n"+not) {
			t.Errorf("%s is in the environment", not)
		}
	}
	if out.RC != 0 {
		t.Errorf("rc %d", out.RC)
	}
}

func TestLSB(t *testing.T) { // execution 5.3
	r, l := newRunner(t)
	write(t, 0o755, "#!/bin/sh\n[ -z \"$OCF_RESOURCE_INSTANCE\" ] || exit 99\necho \"$1\"\nexit $(cat "+l.Root+"/rc)\n", l.LSB(), "svc")
	for _, tc := range []struct {
		action string
		exit   int
		want   int
	}{
		{"start", 0, 0},
		{"start", 5, 5},
		{"stop", 7, 7},
		{"start", 8, 1},
		{"start", 150, 1},
		{"monitor", 0, 0},
		{"monitor", 1, 7},
		{"monitor", 2, 7},
		{"monitor", 3, 7},
		{"monitor", 4, 1},
		{"status", 3, 7},
		{"monitor", 150, 5},
		{"monitor", 99, 1},
	} {
		write(t, 0o644, fmt.Sprint(tc.exit), l.Root, "rc")
		out := r.Run(t.Context(), oplist.Agent{Class: "lsb", Type: "svc"}, oplist.Op{Resource: "s", Action: tc.action, Params: map[string]string{"a": "b"}}, ignore)
		said := tc.action
		if said == "monitor" {
			said = "status"
		}
		if out.RC != tc.want || out.Output != said+"\n" {
			t.Errorf("%s exiting %d: rc %d output %q, want rc %d", tc.action, tc.exit, out.RC, out.Output, tc.want)
		}
	}
	out := r.Run(t.Context(), oplist.Agent{Class: "lsb", Type: "nope"}, oplist.Op{Resource: "s", Action: "monitor"}, ignore)
	if out.RC != NotInstalled || out.Status != StatusNotInstalled || out.Raw != 150 || out.Reason != "nope: No such file or directory" {
		t.Errorf("missing script: %+v", out)
	}
}

func TestHeartbeat(t *testing.T) { // execution 5.5
	r, l := newRunner(t)
	write(t, 0o755, "#!/bin/sh\ncase $3 in status) cat "+l.Root+"/say;; *) echo \"$*\";; esac\nexit $(cat "+l.Root+"/rc)\n", l.HeartbeatAgents(), "IPaddr")
	params := map[string]string{"2": "eth0", "1": "10.0.0.1", "CRM_meta_timeout": "1"}
	for _, tc := range []struct {
		action, say string
		exit, want  int
	}{
		{"start", "", 0, 0},
		{"start", "", 3, 3},
		{"monitor", "running", 1, 0},
		{"monitor", "It is OK now", 3, 0},
		{"monitor", "ok", 0, 7},
		{"monitor", "Not Running", 0, 7},
		{"monitor", "is stopped, was running", 0, 7},
		{"monitor", "", 0, 7},
		{"monitor", "what\nrunning", 0, 7},
		{"monitor", "running", 5, 5},
	} {
		write(t, 0o644, fmt.Sprint(tc.exit), l.Root, "rc")
		write(t, 0o644, tc.say, l.Root, "say")
		out := r.Run(t.Context(), oplist.Agent{Class: "heartbeat", Provider: "heartbeat", Type: "IPaddr"}, oplist.Op{Resource: "i", Action: tc.action, Params: params}, ignore)
		if out.RC != tc.want {
			t.Errorf("%s saying %q: rc %d, want %d", tc.action, tc.say, out.RC, tc.want)
		}
		if out.Raw != out.RC {
			t.Errorf("%s saying %q: raw code %d beside rc %d hides changes", tc.action, tc.say, out.Raw, out.RC)
		}
		if tc.action == "start" && out.Output != "10.0.0.1 eth0 start\n" {
			t.Errorf("arguments %q", out.Output)
		}
	}
}

func TestServiceIsResolvedAtEachRun(t *testing.T) {
	r, l := newRunner(t)
	op, agent := oplist.Op{Resource: "s", Action: "start"}, oplist.Agent{Class: "service", Type: "svc"}
	if out := r.Run(t.Context(), agent, op, ignore); out.RC != NotInstalled {
		t.Errorf("without a script: %+v", out)
	}
	write(t, 0o755, "#!/bin/sh\nexit 0\n", l.LSB(), "svc")
	if out := r.Run(t.Context(), agent, op, ignore); out.RC != OK {
		t.Errorf("with a script: %+v", out)
	}
}

func TestStartFailures(t *testing.T) { // execution 2.4
	r, l := newRunner(t)
	write(t, 0o644, "#!/bin/sh\n", l.OCFRoot(), "resource.d/p/plain")
	write(t, 0o755, "#!/bin/sh\nkill -TERM $$\n", l.OCFRoot(), "resource.d/p/dies")
	for _, tc := range []struct {
		agent  oplist.Agent
		rc     int
		status oplist.Status
		reason string
	}{
		{oplist.Agent{Class: "ocf", Provider: "p", Type: "nope"}, 5, 7, "nope: No such file or directory"},
		{oplist.Agent{Class: "ocf", Provider: "p", Type: "plain"}, 4, 0, l.OCFRoot() + "/resource.d/p/plain: Permission denied"},
		{oplist.Agent{Class: "ocf", Provider: "p", Type: "dies"}, 1, 4, "Resource agent interrupted by Terminated signal"},
		{oplist.Agent{Class: "nope", Type: "x"}, 5, 7, "x: No such file or directory"},
		{oplist.Agent{Class: "ocf", Type: "x"}, 1, 6, "Required agent or action information missing"},
	} {
		out := r.Run(t.Context(), tc.agent, oplist.Op{Resource: "r", Action: "start"}, ignore)
		if out.RC != tc.rc || out.Status != tc.status || out.Reason != tc.reason {
			t.Errorf("%v: %+v", tc.agent, out)
		}
	}
}

func TestExitReason(t *testing.T) { // execution 6.4
	for in, want := range map[string]string{
		"":                                     "",
		"ocf-exit-reason:a\nocf-exit-reason:b": "b",
		"x ocf-exit-reason: spaced \nrest":     " spaced ",
		"ocf-exit-reason:\n":                   "",
		"ocf-exit-reason:" + strings.Repeat("y", 200): strings.Repeat("y", 128),
	} {
		if got := exitReason(in); got != want {
			t.Errorf("exitReason(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestSecrets(t *testing.T) { // execution 15
	r, l := newRunner(t)
	write(t, 0o755, "#!/bin/sh\necho \"$OCF_RESKEY_passwd\"\n", l.OCFRoot(), "resource.d/p/show")
	dir := filepath.Join(l.Root, "var/lib/pacemaker/lrm/secrets/db")
	agent := oplist.Agent{Class: "ocf", Provider: "p", Type: "show"}
	run := func(action string) oplist.Outcome {
		op := oplist.Op{Resource: "db", Action: action, Params: map[string]string{"passwd": "lrm://"}}
		out := r.Run(t.Context(), agent, op, ignore)
		if op.Params["passwd"] != "lrm://" {
			t.Error("the secret went into the operation, so into events")
		}
		return out
	}
	failed := func(name string) {
		t.Helper()
		if out := run("start"); out.RC != InvalidParam || out.Reason != "Unable to load CIB secrets" {
			t.Errorf("%s: %+v", name, out)
		}
		if out := run("stop"); out.RC != OK || out.Output != "lrm://\n" {
			t.Errorf("%s, stop: %+v", name, out)
		}
	}
	failed("no files")
	write(t, 0o600, "geheim \nsecond line\n", dir, "passwd")
	failed("no signature")
	write(t, 0o600, "0123\n", dir, "passwd.sign")
	failed("wrong signature")
	sum := md5.Sum([]byte("geheim"))
	write(t, 0o600, strings.ToUpper(hex.EncodeToString(sum[:]))+"\n", dir, "passwd.sign")
	if out := run("start"); out.RC != OK || out.Output != "geheim\n" {
		t.Errorf("good: %+v", out)
	}
}

func TestLists(t *testing.T) {
	r, l := newRunner(t)
	for _, name := range []string{"resource.d/b/Two", "resource.d/b/One", "resource.d/a/One", "resource.d/a/.hidden", "resource.d/.x/One"} {
		write(t, 0o755, "", l.OCFRoot(), name)
	}
	write(t, 0o644, "", l.OCFRoot(), "resource.d/a/README")
	write(t, 0o755, "", l.LSB(), "svc")
	if err := os.MkdirAll(l.OCFRoot()+"/resource.d/a/folder", 0o755); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	for _, tc := range []struct {
		name      string
		got, want []string
	}{
		{"providers", r.Providers(""), []string{"a", "b"}},
		{"providers of Two", r.Providers("Two"), []string{"b"}},
		{"agents of a", r.Agents(ctx, "ocf", "a"), []string{"One"}},
		{"ocf", r.Agents(ctx, "OCF", ""), []string{"One", "One", "Two"}},
		{"lsb", r.Agents(ctx, "lsb", ""), []string{"svc"}},
		{"heartbeat", r.Agents(ctx, "heartbeat", ""), nil},
	} {
		if !slices.Equal(tc.got, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, tc.got, tc.want)
		}
	}
}

func TestCheck(t *testing.T) {
	for _, tc := range []struct {
		agent oplist.Agent
		ok    bool
	}{
		{oplist.Agent{Class: "ocf", Provider: "heartbeat", Type: "Dummy"}, true},
		{oplist.Agent{Class: "ocf", Type: "Dummy"}, false},
		{oplist.Agent{Class: "ocf", Provider: "..", Type: "Dummy"}, false},
		{oplist.Agent{Class: "ocf", Provider: "a/b", Type: "Dummy"}, false},
		{oplist.Agent{Class: "ocf", Provider: "a", Type: "../x"}, false},
		{oplist.Agent{Class: "lsb", Type: "sshd"}, true},
		{oplist.Agent{Class: "lsb", Type: "/opt/x/init"}, true},
		{oplist.Agent{Class: "lsb", Type: "../x"}, false},
		{oplist.Agent{Class: "stonith", Type: "external/ssh"}, true},
		{oplist.Agent{Class: "systemd"}, false},
		{oplist.Agent{Type: "x"}, false},
	} {
		if err := Check(tc.agent); (err == nil) != tc.ok {
			t.Errorf("%v: %v", tc.agent, err)
		}
	}
}

func TestLSBMetadata(t *testing.T) { // execution 7.2
	r, l := newRunner(t)
	write(t, 0o755, `#!/bin/sh
### BEGIN INIT INFO
# Provides:          svc <x>
# Required-Start:    $network
# Short-Description: A service
# Description:       Does this
#                    and that
### END INIT INFO
# Provides: not this
`, l.LSB(), "svc")
	got, err := r.Metadata(t.Context(), oplist.Agent{Class: "lsb", Type: "svc"})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<Provides>svc &lt;x&gt;</Provides>", "<Required-Start>$network</Required-Start>", "<shortdesc lang='en'>A service</shortdesc>", "Does this&#xA;and that"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in:\n%s", want, got)
		}
	}
	for _, missing := range []oplist.Agent{{Class: "lsb", Type: "nope"}, {Class: "heartbeat", Type: "nope"}, {Class: "ocf", Provider: "p", Type: "nope"}, {Type: "x"}, {Class: "nope", Type: "x"}} {
		if got, err := r.Metadata(t.Context(), missing); err == nil {
			t.Errorf("%v has meta-data %q", missing, got)
		}
	}
}

func TestKilledAgentEndsItsRun(t *testing.T) {
	r, l := newRunner(t)
	write(t, 0o755, "#!/bin/sh\nexec sleep 60\n", l.OCFRoot(), "resource.d/p/slow")
	ctx, cancel := context.WithCancel(t.Context())
	out := r.Run(ctx, oplist.Agent{Class: "ocf", Provider: "p", Type: "slow"}, oplist.Op{Resource: "r", Action: "start"}, func(int, time.Time) { cancel() })
	if out.RC != Error {
		t.Errorf("%+v", out)
	}
}
