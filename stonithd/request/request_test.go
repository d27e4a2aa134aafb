package request

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"linuxha/stonithd/device"
	"linuxha/stonithd/history"
	"linuxha/stonithd/topology"
)

func TestFenceByPeer(t *testing.T) {
	w := newWorld(t, "a", "b", "c")
	w.configure(Reconfigured{Devices: []device.Device{dev("st", "a b c")}})
	w.ask("a", Request{ID: "1", Target: "c", Action: "reboot"})
	w.run(time.Second)
	got := w.answer("a", "1")
	if !got.Result.OK() || got.Record.Executioner == "" || got.Record.Executioner == "c" || got.Record.Device != "st" {
		t.Errorf("answer %+v", got)
	}
	for n, m := range w.nodes {
		if len(m.published) != 1 || m.published[0].State != history.Completed || m.published[0].ID != "1" {
			t.Errorf("%s published %+v, want one success", n, m.published)
		}
	}
	if len(w.runs) != 1 {
		t.Errorf("runs %v, want one", w.runs)
	}
}

func TestFenceLatencyIsMessagesAndAgent(t *testing.T) {
	w := newWorld(t, "a", "b", "c")
	w.configure(Reconfigured{Devices: []device.Device{dev("st", "c")}})
	w.stop("c")
	w.ask("a", Request{ID: "1", Target: "c", Action: "off"})
	begin := w.now
	for w.nodes["a"].answers["1"].ID == "" && w.now.Sub(begin) < time.Second {
		w.run(time.Millisecond)
	}
	if took := w.now.Sub(begin); took > 16*time.Millisecond {
		t.Errorf("fencing took %v with 1 ms messages and a 10 ms agent", took)
	}
}

func TestOutcomes(t *testing.T) {
	levels := func(lists ...string) (out []topology.Level) {
		for i, l := range lists {
			out = append(out, topology.Level{Index: i + 1, Target: "c", Devices: strings.Split(l, ",")})
		}
		return out
	}
	for _, tc := range []struct {
		name    string
		devices []device.Device
		fail    []string
		levels  []topology.Level
		action  string
		timeout time.Duration
		ok      bool
		status  device.Status
		total   string // in the log
		runs    string // devices and actions in order
	}{
		{name: "no device", action: "off", status: device.StatusNoFenceDevice},
		{name: "one device fails", devices: []device.Device{dev("f", "c")}, fail: []string{"f"}, action: "off", runs: "f off,f off,f off,f off"},
		{
			name: "second device helps", devices: []device.Device{dev("1f", "c"), dev("2p", "c"), dev("3f", "c")}, fail: []string{"1f", "3f"},
			action: "off", timeout: 5 * time.Second, ok: true, total: "18", runs: "1f off,1f off,2p off",
		},
		{
			name: "timeouts of devices add up", devices: []device.Device{dev("1f", "c"), dev("2p", "c", "pcmk_off_timeout", "1"), dev("3f", "c", "pcmk_off_timeout", "4")},
			fail: []string{"1f", "3f"}, action: "off", timeout: 5 * time.Second, ok: true, total: "12", runs: "1f off,1f off,2p off",
		},
		{
			name: "three levels", devices: []device.Device{dev("f1", "c"), dev("p1", "c"), dev("p2", "c"), dev("f2", "c"), dev("p3", "c"), dev("p4", "c")},
			fail: []string{"f1", "f2"}, levels: levels("f1,p1", "p2,f2", "p3,p4"), action: "off", timeout: 3 * time.Second, ok: true, total: "21",
			runs: "f1 off,f1 off,p2 off,f2 off,f2 off,p3 off,p4 off",
		},
		{name: "level of unknown devices", devices: []device.Device{dev("p", "c")}, levels: levels("x,y", "p"), action: "off", ok: true, runs: "p off"},
		{name: "topology keeps other devices out", devices: []device.Device{dev("f", "c"), dev("p", "c")}, fail: []string{"f"}, levels: levels("f"), action: "off", runs: "f off,f off"},
		{
			name: "large override", devices: []device.Device{dev("1", "c"), dev("2", "c", "pcmk_off_timeout", "1"), dev("3", "c", "pcmk_off_timeout", "4000")},
			fail: []string{"1", "3"}, levels: levels("1", "2", "3"), action: "off", timeout: 5 * time.Second, ok: true, total: "4807", runs: "1 off,1 off,2 off",
		},
		{
			name: "remapped reboot", devices: []device.Device{dev("1", "c", "pcmk_off_timeout", "1", "pcmk_reboot_timeout", "10"), dev("2", "c", "pcmk_off_timeout", "2", "pcmk_reboot_timeout", "20")},
			levels: levels("1,2"), action: "reboot", timeout: 5 * time.Second, ok: true, total: "3", runs: "1 off,2 off,1 on,2 on",
		},
		{
			name: "remapped reboot without on for some", devices: []device.Device{dev("1", "c", "pcmk_reboot_action", "off"), dev("2", "c")},
			levels: levels("1,2"), action: "reboot", ok: true, runs: "1 off,2 off,2 on",
		},
		{
			name: "failed on after off", devices: []device.Device{dev("1", "c", "pcmk_on_action", "nope"), dev("2", "c")},
			levels: levels("1,2"), action: "reboot", ok: true, runs: "1 off,2 off,1 nope,1 nope,2 on",
		},
		{
			name: "single devices really reboot", devices: []device.Device{dev("f", "c"), dev("p1", "c"), dev("p2", "c")}, fail: []string{"f"},
			levels: levels("f", "p1,p2"), action: "reboot", ok: true, runs: "f reboot,f reboot,p1 off,p2 off,p1 on,p2 on",
		},
		{name: "retries", devices: []device.Device{dev("f", "c", "pcmk_off_retries", "4")}, fail: []string{"f"}, levels: levels("f"), action: "off", runs: "f off,f off,f off,f off"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, "a", "b", "c")
			w.configure(Reconfigured{Devices: tc.devices, Levels: tc.levels})
			w.agent = func(node string, r device.Run) (device.Result, time.Duration) {
				if r.Action == "nope" {
					return device.Result{RC: 1}, time.Millisecond
				}
				return failing(tc.fail...)(node, r)
			}
			w.ask("a", Request{ID: "1", Target: "c", Action: tc.action, Timeout: tc.timeout})
			w.run(3 * time.Minute)
			got := w.answer("a", "1")
			if got.Result.OK() != tc.ok || tc.status != 0 && got.Result.Status != tc.status {
				t.Errorf("result %+v\n%s", got.Result, strings.Join(w.log, "\n"))
			}
			var runs []string
			for _, r := range w.runs {
				f := strings.Fields(r)
				runs = append(runs, f[1]+" "+f[2])
			}
			if got := strings.Join(runs, ","); got != tc.runs {
				t.Errorf("ran %s\nwant %s\n%s", got, tc.runs, strings.Join(w.log, "\n"))
			}
			if tc.total != "" && !slices.ContainsFunc(w.log, func(l string) bool { return strings.Contains(l, "Total timeout set to "+tc.total+" ") }) {
				t.Errorf("no total timeout of %s in\n%s", tc.total, strings.Join(w.log, "\n"))
			}
			if n := len(w.nodes["b"].published); n != 1 {
				t.Errorf("b published %d ends, want 1", n)
			}
		})
	}
}

func TestUnfencing(t *testing.T) {
	auto := device.Info{Actions: map[string]device.ActionInfo{"on": {Automatic: true}, "off": {}}, Params: map[string]bool{}}
	mk := func(id, agent string) device.Device {
		return device.Device{ID: id, Agent: agent, Params: map[string]string{"pcmk_host_list": "a"}}
	}
	for _, tc := range []struct {
		name    string
		devices string // letter p: automatic, f: failing ordinary, q: failing automatic
		levels  []string
		ok      bool
		ran     string
	}{
		{"two without levels", "p1 p2", nil, true, "p1 p2"},
		{"one of two fails", "p1 q2", nil, false, "p1 q2"},
		{"levels", "p1 p2", []string{"p1", "p2"}, true, "p1 p2"},
		{"failing levels, all required run", "p1 f1 f2 p2 f3 p3 f4 p4", []string{"p1,f1", "f2,p2,f3,p3", "f4", "p4"}, true, "f1 f2 f4 p1 p2 p3 p4"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, "a", "b")
			w.infos["fence_auto"] = auto
			var conf Reconfigured
			for _, id := range strings.Fields(tc.devices) {
				agent := "fence_auto"
				if id[0] == 'f' {
					agent = "fence_test"
				}
				conf.Devices = append(conf.Devices, mk(id, agent))
			}
			for i, l := range tc.levels {
				conf.Levels = append(conf.Levels, topology.Level{Index: i + 1, Target: "a", Devices: strings.Split(l, ",")})
			}
			w.configure(conf)
			w.agent = func(_ string, r device.Run) (device.Result, time.Duration) {
				if r.Device[0] != 'p' {
					return device.Result{RC: 1}, time.Millisecond
				}
				return device.Result{}, time.Millisecond
			}
			w.ask("a", Request{ID: "1", Target: "a", Action: "on", AllowSelf: true})
			w.run(2 * time.Minute)
			if got := w.answer("a", "1").Result.OK(); got != tc.ok {
				t.Errorf("success %v, want %v\n%s", got, tc.ok, strings.Join(w.log, "\n"))
			}
			ran := map[string]bool{}
			var names []string
			for _, r := range w.runs {
				if d := strings.Fields(r)[1]; !ran[d] {
					ran[d] = true
					names = append(names, d)
				}
			}
			slices.Sort(names)
			if got := strings.Join(names, " "); got != tc.ran {
				t.Errorf("ran %s, want %s\n%s", got, tc.ran, strings.Join(w.log, "\n"))
			}
		})
	}
}

func TestMerging(t *testing.T) {
	slow := func(string, device.Run) (device.Result, time.Duration) { return device.Result{}, 2 * time.Second }
	t.Run("five clients of three fencers", func(t *testing.T) {
		w := newWorld(t, "a", "b", "c", "d")
		w.configure(Reconfigured{Devices: []device.Device{dev("st", "d")}})
		w.agent = slow
		for i, n := range []string{"a", "b", "c", "a", "b"} {
			w.ask(n, Request{ID: fmt.Sprint(i), Target: "d", Action: "off", Client: fmt.Sprint("client", i)})
		}
		w.run(time.Minute)
		for i, n := range []string{"a", "b", "c", "a", "b"} {
			if !w.answer(n, fmt.Sprint(i)).Result.OK() {
				t.Errorf("request %d failed", i)
			}
		}
		if len(w.runs) != 1 {
			t.Errorf("runs %v, want one\n%s", w.runs, strings.Join(w.log, "\n"))
		}
	})
	t.Run("another action is not merged", func(t *testing.T) {
		w := newWorld(t, "a", "b", "d")
		w.configure(Reconfigured{Devices: []device.Device{dev("st", "d")}})
		w.agent = slow
		w.ask("a", Request{ID: "1", Target: "d", Action: "off"})
		w.run(100 * time.Millisecond)
		w.ask("b", Request{ID: "2", Target: "d", Action: "reboot"})
		w.run(time.Minute)
		if len(w.runs) != 2 {
			t.Errorf("runs %v, want two", w.runs)
		}
	})
	t.Run("the first one's owner dies", func(t *testing.T) {
		w := newWorld(t, "a", "b", "c", "d")
		w.configure(Reconfigured{Devices: []device.Device{dev("st", "d")}})
		w.agent = slow
		w.ask("c", Request{ID: "1", Target: "d", Action: "off"})
		w.run(100 * time.Millisecond)
		w.ask("b", Request{ID: "2", Target: "d", Action: "off"})
		w.run(100 * time.Millisecond)
		w.stop("c")
		w.run(time.Minute)
		if !w.answer("b", "2").Result.OK() {
			t.Errorf("failed\n%s", strings.Join(w.log, "\n"))
		}
	})
}

func TestExecutionerDies(t *testing.T) {
	w := newWorld(t, "a", "b", "c", "d")
	w.configure(Reconfigured{Devices: []device.Device{dev("st", "d", "pcmk_reboot_retries", "1")}})
	w.agent = func(node string, r device.Run) (device.Result, time.Duration) { return device.Result{}, time.Second }
	w.ask("c", Request{ID: "1", Target: "d", Action: "reboot"})
	w.run(100 * time.Millisecond)
	if len(w.runs) != 1 || !strings.HasPrefix(w.runs[0], "a ") {
		t.Fatalf("runs %v", w.runs)
	}
	w.stop("a")
	w.run(1100 * time.Millisecond)
	got := w.answer("c", "1")
	if !got.Result.OK() || got.Record.Executioner == "a" {
		t.Errorf("answer %+v", got)
	}
}

func TestOwnerDiesWhileAnotherExecutes(t *testing.T) {
	for _, succeeds := range []bool{true, false} {
		w := newWorld(t, "a", "b", "c", "d")
		w.configure(Reconfigured{Devices: []device.Device{dev("st", "d", "pcmk_off_retries", "1")}})
		w.agent = func(string, device.Run) (device.Result, time.Duration) {
			if succeeds {
				return device.Result{}, time.Second
			}
			return device.Result{RC: 1}, time.Second
		}
		w.ask("c", Request{ID: "1", Target: "d", Action: "off"})
		w.run(100 * time.Millisecond)
		w.stop("c")
		w.run(2 * time.Second)
		want := history.Failed
		if succeeds {
			want = history.Completed
		}
		for _, n := range []string{"a", "b"} {
			p := w.nodes[n].published
			if len(p) != 1 || p[0].State != want {
				t.Errorf("success %v: %s published %+v", succeeds, n, p)
			}
		}
	}
}

func TestOwnerDiesBeforeExecution(t *testing.T) {
	w := newWorld(t, "a", "b", "c", "d")
	// The list keeps everybody waiting while the owner dies.
	w.configure(Reconfigured{Devices: []device.Device{{ID: "st", Agent: "fence_test", Params: map[string]string{"pcmk_host_check": "dynamic-list"}}}})
	w.agent = func(string, device.Run) (device.Result, time.Duration) {
		return device.Result{Output: "d\n"}, time.Second
	}
	w.ask("c", Request{ID: "1", Target: "d", Action: "off"})
	w.run(100 * time.Millisecond)
	w.stop("c")
	w.run(10 * time.Second)
	for _, n := range []string{"a", "b"} {
		p := w.nodes[n].published
		if len(p) != 1 || p[0].State != history.Failed || p[0].RC != 110 {
			t.Errorf("%s published %+v", n, p)
		}
	}
	for _, r := range w.runs {
		if strings.Contains(r, " off ") {
			t.Errorf("nobody should have executed: %v", w.runs)
		}
	}
}

func TestOwnFencingIsRelayed(t *testing.T) {
	w := newWorld(t, "a", "b")
	w.configure(Reconfigured{Devices: []device.Device{dev("st", "a b")}})
	w.ask("a", Request{ID: "1", Target: "a", Action: "reboot", AllowSelf: true})
	w.run(time.Second)
	if got := w.answer("a", "1"); !got.Result.OK() || got.Record.Executioner != "b" || got.Record.Owner != "b" {
		t.Errorf("answer %+v", got)
	}
	w.stop("b")
	w.ask("a", Request{ID: "2", Target: "a", Action: "reboot"})
	w.run(time.Second)
	if got := w.answer("a", "2"); !got.Result.OK() || got.Record.Executioner != "a" {
		t.Errorf("alone: answer %+v\n%s", got, strings.Join(w.log, "\n"))
	}
}

func TestSilentTargetDoesNotDelay(t *testing.T) {
	w := newWorld(t, "a", "b", "c")
	w.configure(Reconfigured{Devices: []device.Device{dev("st", "c")}})
	w.nodes["c"].up = false // frozen, still in the view
	w.ask("a", Request{ID: "1", Target: "c", Action: "off"})
	w.run(time.Second)
	if !w.answer("a", "1").Result.OK() {
		t.Errorf("failed")
	}
}

func TestRestartedFencerLearnsHistory(t *testing.T) {
	w := newWorld(t, "a", "b", "c")
	w.configure(Reconfigured{Devices: []device.Device{dev("st", "c")}})
	w.ask("a", Request{ID: "1", Target: "c", Action: "off"})
	w.run(time.Second)
	w.stop("b")
	w.start("b")
	w.run(time.Second)
	h := w.nodes["b"].core.History("")
	if len(h) != 1 || h[0].ID != "1" || h[0].State != history.Completed {
		t.Errorf("history %+v", h)
	}
	if len(w.nodes["b"].published) != 0 {
		t.Errorf("old ends were published again: %+v", w.nodes["b"].published)
	}
	w.ask("b", Request{ID: "2", Target: "c", Action: "off", Tolerance: time.Minute})
	w.run(time.Second)
	if !w.answer("b", "2").Result.OK() || len(w.runs) != 1 {
		t.Errorf("tolerance: runs %v", w.runs)
	}
	w.step("a", CleanupAsked{})
	w.run(time.Second)
	for n, m := range w.nodes {
		if h := m.core.History(""); len(h) != 0 {
			t.Errorf("%s remembers after the cleanup: %+v", n, h)
		}
	}
}

func TestConfirm(t *testing.T) {
	w := newWorld(t, "a", "b")
	w.step("a", Confirmed{Request{ID: "1", Target: "gone", Client: "x"}})
	w.run(time.Second)
	for n, m := range w.nodes {
		if len(m.published) != 1 || m.published[0].Executioner != "a human" || m.published[0].State != history.Completed {
			t.Errorf("%s published %+v", n, m.published)
		}
	}
}

// TestGeneration: a success is about the target's incarnations that were known
// when it was asked for, whatever comes back meanwhile.
func TestGeneration(t *testing.T) {
	w := newWorld(t, "a", "b", "c")
	w.configure(Reconfigured{Devices: []device.Device{dev("st", "a b c")}})
	w.stop("c")
	w.ask("a", Request{ID: "1", Target: "c", Action: "off"})
	w.start("c") // its next life
	w.run(time.Second)
	if got := w.answer("a", "1"); !got.Result.OK() || got.Record.Generation != 1 {
		t.Errorf("%+v", got)
	}
	for n, m := range w.nodes {
		for _, r := range m.published {
			if r.Generation != 1 {
				t.Errorf("%s was told of start %d", n, r.Generation)
			}
		}
	}
	// That success is recent, but not enough: now c has its second life.
	runs := len(w.runs)
	w.ask("b", Request{ID: "2", Target: "c", Action: "off", Tolerance: time.Minute})
	w.run(time.Second)
	if got := w.answer("b", "2"); !got.Result.OK() || got.Record.Generation != 2 || len(w.runs) != runs+1 {
		t.Errorf("%+v after %v", got, w.runs)
	}
	// This one is enough for those who know of no third.
	w.ask("a", Request{ID: "3", Target: "c", Action: "off", Tolerance: time.Minute})
	w.run(time.Second)
	if got := w.answer("a", "3"); !got.Result.OK() || len(w.runs) != runs+1 {
		t.Errorf("%+v after %v", got, w.runs)
	}
	// A fencer that was restarted has it from its client.
	w.stop("c")
	w.stop("a")
	w.start("a")
	w.configure(Reconfigured{Devices: []device.Device{dev("st", "a b c")}})
	w.ask("a", Request{ID: "4", Target: "c", Action: "off", Generation: 2})
	w.run(time.Second)
	if got := w.answer("a", "4"); !got.Result.OK() || got.Record.Generation != 2 {
		t.Errorf("%+v", got)
	}
	w.step("a", Confirmed{Request{ID: "5", Target: "b", Client: "x"}})
	if got := w.answer("a", "5"); got.Record.Generation != 1 {
		t.Errorf("%+v", got)
	}
}

func TestDelay(t *testing.T) {
	w := newWorld(t, "a", "c")
	w.configure(Reconfigured{
		Devices: []device.Device{dev("p", "c", "pcmk_delay_base", "1"), dev("f", "c", "pcmk_delay_base", "1", "pcmk_off_retries", "1"), dev("q", "c")},
		Levels:  []topology.Level{{Index: 1, Target: "c", Devices: []string{"p", "f"}}, {Index: 2, Target: "c", Devices: []string{"q"}}},
	})
	w.agent = failing("f")
	begin := w.now
	w.ask("a", Request{ID: "1", Target: "c", Action: "off", Delay: time.Second})
	w.run(2900 * time.Millisecond)
	if len(w.runs) != 1 {
		t.Errorf("after %v: %v", w.now.Sub(begin), w.runs)
	}
	w.run(300 * time.Millisecond)
	if !w.answer("a", "1").Result.OK() || len(w.runs) != 3 {
		t.Errorf("after %v: %v", w.now.Sub(begin), w.runs)
	}
}

func TestBeforeMembership(t *testing.T) {
	c := New("", nil)
	now := time.Unix(0, 0)
	out := c.Step(now, Asked{Request{ID: "1", Target: "x", Action: "off", Timeout: time.Second}})
	if len(out.Answer) != 0 || !out.WakeAt.Equal(now.Add(time.Second)) {
		t.Fatalf("output %+v", out)
	}
	out = c.Step(out.WakeAt, Woken{})
	if len(out.Answer) != 1 || out.Answer[0].Result.Status != device.StatusNotConnected {
		t.Errorf("output %+v", out)
	}
}

func TestDetach(t *testing.T) {
	w := newWorld(t, "a", "b", "c")
	w.configure(Reconfigured{Devices: []device.Device{dev("st", "c")}})
	w.agent = func(string, device.Run) (device.Result, time.Duration) { return device.Result{}, time.Minute }
	w.ask("a", Request{ID: "1", Target: "c", Action: "off"})
	w.run(time.Second)
	w.step("a", Detached{})
	if got := w.answer("a", "1"); got.Result.Status != device.StatusNotConnected {
		t.Errorf("answer %+v", got)
	}
}
