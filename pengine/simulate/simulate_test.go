package simulate

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"linuxha/pengine/schedule"
	"linuxha/pengine/state"
)

func open(t *testing.T, file string) *Session {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(schedule.Input{CIB: data, Now: time.Unix(1700000000, 0)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestExecutedPlansConverge carries out the plan for each input of the
// scheduler's golden tests, again and again: after a few rounds nothing may be
// left to do.
func TestExecutedPlansConverge(t *testing.T) {
	files, err := filepath.Glob("../schedule/testdata/*.xml")
	if err != nil || len(files) == 0 {
		t.Fatal("no inputs", err)
	}
	repeats := map[string]string{ // plans that a simulation cannot complete, and why
		"failure-expired": "a simulated clear_failcount leaves the fail count",
		"maintenance":     "a simulated cancel leaves the operation's history",
		"orphan-monitor":  "a simulated cancel leaves the operation's history",
		"orphans":         "a simulated delete leaves the history",
		"shutdown":        "a simulated shutdown leaves the node up",
		"shutdown-lock":   "a simulated shutdown leaves the node up",
	}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".xml")
		t.Run(name, func(t *testing.T) {
			s := open(t, f)
			left := 0
			for range 6 {
				c, err := s.Load()
				if err != nil {
					t.Fatal(err)
				}
				plan := schedule.Run(c)
				left = 0
				for _, a := range plan.Graph.Synapses {
					if !a.Action.IsPseudo() { // load_stopped_* always are in a graph
						left++
					}
				}
				if left == 0 {
					break
				}
				if res := s.Execute(plan, Options{Now: 1700000000}); res.Terminated {
					t.Fatalf("transition cannot be completed:\n%s", plan.Graph.XML)
				}
			}
			if _, known := repeats[name]; known != (left > 0) {
				t.Errorf("%d actions still planned after six rounds", left)
			}
		})
	}
}

func TestFencedNodeLosesItsHistory(t *testing.T) {
	s := open(t, "../schedule/testdata/node-lost.xml")
	c, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	res := s.Execute(schedule.Run(c), Options{Now: 1700000000})
	text := ""
	for _, l := range res.Lines {
		text += l.Text + "\n"
	}
	fence, start := strings.Index(text, "Fencing n2 (reboot)"), strings.Index(text, "Resource action: ip              start")
	if fence < 0 || start < fence {
		t.Errorf("the lost node must be fenced before its address starts elsewhere:\n%s", text)
	}
	after, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	if n := after.NodeByName("n2"); n.Online || n.Unclean || len(n.Running) != 0 {
		t.Errorf("after fencing: online %v, unclean %v, running %d", n.Online, n.Unclean, len(n.Running))
	}
	if r := after.Resource("httpd"); len(r.Active) != 1 || r.Active[0].Name == "n2" || r.Role != state.Started {
		t.Errorf("httpd runs on %v as %v", r.Active, r.Role)
	}
}

func TestForcedFailureStopsWhatDependsOnIt(t *testing.T) {
	s := open(t, "../schedule/testdata/first-start.xml")
	c, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	res := s.Execute(schedule.Run(c), Options{Now: 1700000000, Fail: []string{"ip_start_0@n2=1"}})
	for _, l := range res.Lines {
		if strings.Contains(l.Text, "fs ") && strings.Contains(l.Text, "start") {
			t.Errorf("fs started though the address before it failed: %s", l.Text)
		}
	}
	if !strings.Contains(string(s.CIB()), `name="fail-count-ip#start_0" value="1"`) {
		t.Error("the failure is not counted")
	}
}

func TestOpSpec(t *testing.T) {
	for _, c := range []struct {
		spec   string
		fields int
		want   OpSpec
	}{
		{"a_monitor_10000@n1=7", 3, OpSpec{"a", "monitor", "n1", 10000, 7}},
		{"my_rsc:0_start_0@n.x=1", 3, OpSpec{"my_rsc:0", "start", "n.x", 0, 1}},
		{"vm_migrate_to_0@n1=1", 3, OpSpec{"vm", "migrate_to", "n1", 0, 1}},
		{"bad", 1, OpSpec{}},
		{"a_start_0@n1", 2, OpSpec{}},
		{"@n1=1", 0, OpSpec{}},
	} {
		got, fields := ParseOpSpec(c.spec)
		if fields != c.fields || got != c.want {
			t.Errorf("%s: %+v with %d fields, want %+v with %d", c.spec, got, fields, c.want, c.fields)
		}
	}
}

func TestInject(t *testing.T) {
	s := open(t, "../schedule/testdata/migrate.xml")
	c, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	lines, err := s.Inject(c, &Injections{Down: []string{"n2"}, Grant: []string{"T"}, Ops: []string{"vm_monitor_10000@n1=7", "nobody_start_0@n1=1"}, Now: 1700000000})
	if err == nil || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("an unknown resource gives %v", err)
	}
	if len(lines) != 6 {
		t.Errorf("lines: %v", lines)
	}
	if c, err = s.Load(); err != nil {
		t.Fatal(err)
	}
	if n := c.NodeByName("n2"); n.Online {
		t.Error("n2 is still online")
	}
	if !c.Tickets["T"].Granted {
		t.Error("ticket T is not granted")
	}
	if r := c.Resource("vm"); !r.Failed {
		t.Error("vm has not failed")
	}
}

// TestVersionsAreCounted: events and results count as the updates that a
// cluster would make of them, as seen with the reference on the same document.
func TestVersionsAreCounted(t *testing.T) {
	const doc = `<cib crm_feature_set="3.16.1" validate-with="pacemaker-3.9" epoch="5" num_updates="7" admin_epoch="1" have-quorum="1"><configuration><crm_config><cluster_property_set id="p"><nvpair id="o1" name="stonith-enabled" value="false"/></cluster_property_set></crm_config><nodes><node id="1" uname="node1"/><node id="2" uname="node2"/></nodes><resources><primitive id="d1" class="ocf" provider="pacemaker" type="Dummy"/><primitive id="d2" class="ocf" provider="pacemaker" type="Dummy"/></resources><constraints/></configuration><status><node_state id="1" uname="node1" in_ccm="true" crmd="online" join="member" expected="member"/></status></cib>`
	for _, tc := range []struct {
		name           string
		in             Injections
		fail           []string
		epoch, updates string
	}{
		{"two probes, two starts", Injections{}, nil, "5", "11"},
		{"the first start fails", Injections{}, []string{"d1_start_0@node1=1"}, "5", "10"},
		{"a node goes", Injections{Down: []string{"node1"}}, nil, "5", "8"},
		{"a new node", Injections{Up: []string{"node3"}}, nil, "6", "8"},
		{"an option", Injections{Watchdog: "1"}, nil, "6", "4"},
		{"an operation", Injections{Ops: []string{"d1_monitor_0@node1=0"}}, nil, "5", "12"},
	} {
		s, err := Open(schedule.Input{CIB: []byte(doc), Now: time.Unix(1700000000, 0)})
		if err != nil {
			t.Fatal(err)
		}
		c, err := s.Load()
		if err != nil {
			t.Fatal(err)
		}
		tc.in.Now = 1700000000
		if _, err := s.Inject(c, &tc.in); err != nil {
			t.Fatal(err)
		}
		if c, err = s.Load(); err != nil {
			t.Fatal(err)
		}
		s.Execute(schedule.Run(c), Options{Fail: tc.fail, Now: 1700000000, EnsureNodes: len(tc.in.Up) > 0})
		if e, n := s.root.Attr("epoch"), s.root.Attr("num_updates"); e != tc.epoch || n != tc.updates {
			t.Errorf("%s: epoch %s num_updates %s, want %s and %s", tc.name, e, n, tc.epoch, tc.updates)
		}
	}
}
