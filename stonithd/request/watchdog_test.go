package request

import (
	"slices"
	"strings"
	"testing"
	"time"

	"linuxha/stonithd/device"
	"linuxha/stonithd/history"
	"linuxha/stonithd/topology"
)

// watched is a world of three nodes that reset themselves within 5 s; more
// devices are on all of them.
func watched(t *testing.T, hosts []string, levels []topology.Level, more ...device.Device) *world {
	w := newWorld(t, "a", "b", "c")
	w.infos[WatchdogAgent] = WatchdogInfo()
	attrs := map[string]map[string]string{"a": {}, "b": {}, "c": {}}
	for n := range w.nodes {
		conf := Reconfigured{
			Devices: slices.Clone(more), Levels: levels, Attributes: attrs,
			Watchdog: Watchdog{Timeout: 5 * time.Second, Hosts: hosts},
		}
		if conf.Watchdog.Covers(n) {
			conf.Devices = append(conf.Devices, device.Device{
				ID: WatchdogDevice, Agent: WatchdogAgent, Params: map[string]string{"pcmk_host_list": n},
			})
		}
		w.step(n, conf)
	}
	w.run(10 * time.Millisecond)
	return w
}

// ends runs until the operation has ended and says how long that took.
func (w *world) ends(node, id string) (Answer, time.Duration) {
	w.t.Helper()
	begin := w.now
	for w.nodes[node].answers[id].ID == "" && w.now.Sub(begin) < 200*time.Second {
		w.run(time.Millisecond)
	}
	return w.answer(node, id), w.now.Sub(begin)
}

func TestLostNodeIsTakenForReset(t *testing.T) { // execution 40.4
	w := watched(t, nil, nil)
	w.stop("c")
	w.ask("a", Request{ID: "1", Target: "c", Action: "reboot"})
	got, took := w.ends("a", "1")
	if !got.Result.OK() || got.Record.Executioner != "c" || got.Record.Device != WatchdogDevice {
		t.Errorf("answer %+v", got)
	}
	if took < 5*time.Second || took > 5*time.Second+20*time.Millisecond {
		t.Errorf("after %v, want exactly 5 s", took)
	}
	if len(w.runs) != 0 {
		t.Errorf("runs %v, want none", w.runs)
	}
	w.run(10 * time.Millisecond)
	if n := len(w.nodes["b"].published); n != 1 || w.nodes["b"].published[0].State != history.Completed {
		t.Errorf("b heard %+v", w.nodes["b"].published)
	}
}

func TestNodeThatIsThereResetsItself(t *testing.T) {
	w := watched(t, nil, nil)
	w.agent = func(node string, r device.Run) (device.Result, time.Duration) {
		if node != "c" || r.Device != WatchdogDevice {
			t.Errorf("%s runs %s", node, r.Device)
		}
		w.after(time.Second, func() { w.stop("c") }) // the watchdog fires, nobody answers
		return device.Result{}, time.Hour
	}
	w.ask("a", Request{ID: "1", Target: "c", Action: "reboot"})
	got, took := w.ends("a", "1")
	if !got.Result.OK() || got.Record.Executioner != "c" || took < 5*time.Second || took > 6*time.Second {
		t.Errorf("after %v %+v, want a success after 5 s", took, got)
	}
	if len(w.runs) != 1 || w.runs[0] != "c watchdog reboot c" {
		t.Errorf("runs %v", w.runs)
	}
}

func TestNodeThatCannotResetItselfIsNotTakenForDown(t *testing.T) {
	w := watched(t, nil, nil)
	w.agent = failing(WatchdogDevice)
	w.ask("a", Request{ID: "1", Target: "c", Action: "off"})
	if got, _ := w.ends("a", "1"); got.Result.OK() {
		t.Errorf("its word was not heard: %+v", got)
	}

	// Nor is one whose fencer is there and knows of no watchdog.
	w = watched(t, nil, nil)
	w.step("c", Reconfigured{})
	w.ask("a", Request{ID: "1", Target: "c", Action: "off"})
	if got, _ := w.ends("a", "1"); got.Result.OK() || got.Result.Status != device.StatusNoFenceDevice {
		t.Errorf("it was taken for down: %+v", got)
	}
}

func TestWhoIsCoveredByTheWatchdog(t *testing.T) {
	for _, tc := range []struct {
		name   string
		hosts  []string
		target string
		action string
		ok     bool
	}{
		{"all nodes", nil, "c", "off", true},
		{"listed, whatever the case", []string{"C"}, "c", "off", true},
		{"not listed", []string{"a", "b"}, "c", "off", false},
		{"no node at all", nil, "x", "off", false},
		{"unfencing needs a device", nil, "c", "on", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := watched(t, tc.hosts, nil)
			w.stop("c")
			w.ask("a", Request{ID: "1", Target: tc.target, Action: tc.action})
			if got, _ := w.ends("a", "1"); got.Result.OK() != tc.ok {
				t.Errorf("answer %+v, want success %t", got, tc.ok)
			}
		})
	}
}

func TestADeviceGoesBeforeTheWatchdog(t *testing.T) {
	w := watched(t, nil, nil, dev("power", "c"))
	w.stop("c")
	w.ask("a", Request{ID: "1", Target: "c", Action: "off"})
	got, took := w.ends("a", "1")
	if !got.Result.OK() || got.Record.Device != "power" || took > time.Second {
		t.Errorf("after %v %+v, want power's success at once", took, got)
	}
}

func TestWatchdogAsALevel(t *testing.T) {
	levels := []topology.Level{{Index: 1, Target: "c", Devices: []string{"power"}}, {Index: 2, Target: "c", Devices: []string{WatchdogDevice}}}
	w := watched(t, nil, levels, dev("power", "c"))
	w.agent = failing("power")
	w.stop("c")
	w.ask("a", Request{ID: "1", Target: "c", Action: "off", Timeout: 3 * time.Second}) // less than the watchdog's time
	got, took := w.ends("a", "1")
	if !got.Result.OK() || got.Record.Device != WatchdogDevice || took < 5*time.Second {
		t.Errorf("after %v %+v\n%s", took, got, strings.Join(w.log, "\n"))
	}

	// With levels, a watchdog that is in none of them does not count.
	w = watched(t, nil, levels[:1], dev("power", "c"))
	w.agent = failing("power")
	w.stop("c")
	w.ask("a", Request{ID: "1", Target: "c", Action: "off"})
	if got, _ := w.ends("a", "1"); got.Result.OK() {
		t.Errorf("answer %+v, want a failure", got)
	}
}
