package plugin

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"linuxha/stonithd/device"
)

// fakeStonith stands for cluster-glue's program: it writes down what it was
// told and ends as EXIT says.
const fakeStonith = `#!/bin/sh
echo "$* hostlist=$hostlist" >>"$FENCE_TEST_LOG"
case "$*" in
*-m) printf '<resource-agent name="null">\n<longdesc lang="en">\nDoes\nnothing\n</longdesc>\n<shortdesc lang="en">Nothing</shortdesc>\n<parameters><parameter name="hostlist">\n<shortdesc lang="en">Hosts</shortdesc></parameter>\n</parameters>\n</resource-agent>\n' ;;
*-l) echo n1; echo n2 ;;
esac
[ "${EXIT:-0}" = 0 ] || echo "Invalid config info for null device" >&2
exit ${EXIT:-0}
`

func binaryFinder(t *testing.T) (f Finder, log string) {
	t.Helper()
	f, log = finder(t)
	dir := t.TempDir()
	f.Binary, f.Stonith = filepath.Join(dir, "stonith2"), []string{filepath.Join(dir, "nowhere"), filepath.Join(dir, "stonith")}
	for path, mode := range map[string]os.FileMode{"stonith": 0o755, "stonith2/null.so": 0o644, "stonith2/external.so": 0o644, "stonith2/rhcs.so": 0o644, "stonith2/ribcl.py": 0o644} {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(fakeStonith), mode); err != nil {
			t.Fatal(err)
		}
	}
	return f, log
}

func TestBinaryPluginRunsByStonith(t *testing.T) {
	f, log := binaryFinder(t)
	for _, tt := range []struct {
		action, target string
		want, output   string
	}{
		{"monitor", "", "-t null -E -S hostlist=n1 n2", ""},
		{"status", "n1", "-t null -E -S hostlist=n1 n2", ""},
		{"list", "", "-t null -E -l hostlist=n1 n2", "n1\nn2\n"},
		{"reboot", "n1", "-t null -E -T reset n1 hostlist=n1 n2", ""},
		{"off", "n1", "-t null -E -T off n1 hostlist=n1 n2", ""},
		{"on", "n1", "-t null -E -T on n1 hostlist=n1 n2", ""},
	} {
		if err := os.WriteFile(log, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		res := f.Run(t.Context(), Job{
			Agent: "null", Action: tt.action, Target: tt.target, Timeout: 5 * time.Second,
			Input: []device.Param{{Name: "action", Value: tt.action}, {Name: "nodename", Value: tt.target}, {Name: "hostlist", Value: "n1 n2"}},
		})
		if !res.OK() || res.Output != tt.output {
			t.Errorf("%s: %+v", tt.action, res)
		}
		if got := read(t, log); got != tt.want {
			t.Errorf("%s: stonith got %q, want %q", tt.action, got, tt.want)
		}
	}
}

func TestBinaryPluginFails(t *testing.T) {
	f, _ := binaryFinder(t)
	t.Setenv("EXIT", "2")
	res := f.Run(t.Context(), Job{Agent: "null", Action: "status"})
	if want := "Plugin null: cannot access device: Invalid config info for null device"; res.RC != 1 || res.Status != device.StatusDone || res.Reason != want {
		t.Errorf("%+v, want reason %q", res, want)
	}
	res = f.Run(t.Context(), Job{Agent: "null", Action: "off"})
	if res.Status != device.StatusInvalid {
		t.Errorf("without a target: %+v", res)
	}
	for _, agent := range []string{"null", "external/ok"} {
		if res = f.Run(t.Context(), Job{Agent: agent, Action: "validate-all", Target: "n1"}); agent == "null" && res.Status != device.StatusNotSupported {
			t.Errorf("validate-all of %s: %+v", agent, res)
		}
	}
}

func TestBinaryPluginsAreListedAndDescribed(t *testing.T) {
	f, _ := binaryFinder(t)
	list := f.List()
	null, rhcs := slices.Index(list, "null"), slices.Index(list, "fence_test")
	if null < 0 || rhcs < null || slices.Contains(list, "external") || slices.Contains(list, "rhcs") || slices.Contains(list, "ribcl") {
		t.Errorf("list %q: null, but no adapter, before fence_test", list)
	}
	doc, err := f.Metadata(t.Context(), "null", 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`<resource-agent name="null">`, "\n  <longdesc lang=\"en\">\nDoes\nnothing\n  </longdesc>\n",
		"\n  <shortdesc lang=\"en\">Nothing</shortdesc>\n<parameters><parameter name=\"hostlist\">", `<action name="monitor" timeout="20" interval="3600"/>`,
	} {
		if !strings.Contains(string(doc), want) {
			t.Errorf("no %q in the metadata\n%s", want, doc)
		}
	}
	info, err := f.Info(t.Context(), "null", 0)
	if err != nil || !info.Supports("reboot") || info.Supports("status") || !info.NoHostParam {
		t.Errorf("info %+v, %v", info, err)
	}
}

func TestWatchdogAgentNeedsNoProgram(t *testing.T) {
	f, _ := finder(t)
	info, err := f.Info(t.Context(), "fence_watchdog", 0)
	if err != nil || !info.Supports("reboot") || info.Supports("on") {
		t.Errorf("info %+v, %v", info, err)
	}
	if res := f.Run(t.Context(), Job{Agent: "fence_watchdog", Action: "off", Target: "n1"}); res.OK() {
		t.Error("a tool fenced by it")
	}
}

func TestWithoutClusterGlue(t *testing.T) {
	f, _ := binaryFinder(t)
	for _, tt := range []struct {
		name, agent string
		remove      []string
	}{
		{"no such plugin", "nope", nil},
		{"the program is missing", "null", []string{f.Stonith[1]}},
		{"all is missing", "null", []string{f.Stonith[1], f.Binary}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, p := range tt.remove {
				if err := os.RemoveAll(p); err != nil {
					t.Fatal(err)
				}
			}
			res := f.Run(context.Background(), Job{Agent: tt.agent, Action: "monitor"})
			if res.Status != device.StatusNotInstalled || !strings.Contains(res.Reason, "install") || !strings.Contains(res.Reason, "cluster-glue") {
				t.Errorf("%+v", res)
			}
			if _, err := f.Metadata(context.Background(), tt.agent, 0); err == nil {
				t.Error("metadata came from nowhere")
			}
			if tt.remove != nil && slices.Contains(f.List(), "null") {
				t.Error("null is listed and cannot be used")
			}
		})
	}
}

// TestFenceLegacyGetsNoHostParameter: cluster-glue's bridge wants nodename
// alone (execution 31.2).
func TestFenceLegacyGetsNoHostParameter(t *testing.T) {
	f, _ := finder(t)
	dir := t.TempDir()
	for _, name := range []string{"fence_legacy", "fence_other"} {
		if err := os.Symlink(filepath.Join(f.Agents[0], "fence_test"), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	f.Agents = []string{dir}
	for name, want := range map[string]bool{"fence_legacy": true, "fence_other": false} {
		info, err := f.Info(t.Context(), name, 0)
		if err != nil || info.NoHostParam != want {
			t.Errorf("%s: no host parameter %t, %v; want %t", name, info.NoHostParam, err, want)
		}
	}
}
