package device

import (
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseHostMap(t *testing.T) {
	for _, tc := range []struct{ text, want, ports string }{
		{"node1:plug1", "map[node1:plug1]", "[plug1]"},
		{"node1:1;node2:2,3", "map[node1:1 node2:2,3]", "[1 2,3]"},
		{"Node1=a node2=b\tnode3:c", "map[node1:a node2:b node3:c]", "[a b c]"},
		{`node1:my\ plug;node2:a\;b`, "map[node1:my plug node2:a;b]", "[my plug a;b]"},
		{"node1:1;node1:2", "map[node1:2]", "[1 2]"},
		{"nonsense", "map[]", "[]"},
		{"node1:;:x;node2:2", "map[node2:2]", "[2]"},
		{"", "map[]", "[]"},
	} {
		m, ports := ParseHostMap(tc.text)
		if got := fmt.Sprint(m); got != tc.want || fmt.Sprint(ports) != tc.ports {
			t.Errorf("%q: %s %v, want %s %s", tc.text, got, ports, tc.want, tc.ports)
		}
	}
}

func FuzzParseHostMap(f *testing.F) {
	f.Add(`node1:1;node2\:x:2,3`)
	f.Fuzz(func(t *testing.T, text string) {
		m, ports := ParseHostMap(text)
		if len(m) > len(ports) {
			t.Errorf("%q: %d keys but %d ports", text, len(m), len(ports))
		}
		for k, v := range m {
			if k == "" || v == "" {
				t.Errorf("%q: empty name or port in %v", text, m)
			}
		}
	})
}

func TestParseTargets(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"node1 node2", "node1 node2"},
		{"node1,node2;node3", "node1 node2 node3"},
		{"node1,alias1\nnode2,alias2", "node1 alias1 node2 alias2"},
		{`node1\nnode2`, "node1 node2"},
		{"plug (on)\nx invalid\nvariable y", "plug"},
		{"node1 ON node2 off", "node1 node2"},
		{"node1=3 n.o-d_e", "node1 n.o-d_e"},
	} {
		if got := strings.Join(ParseTargets(tc.text), " "); got != tc.want {
			t.Errorf("%q: %q, want %q", tc.text, got, tc.want)
		}
	}
}

func device(params ...string) Device {
	d := Device{ID: "d", Agent: "fence_x", Params: map[string]string{}}
	for i := 0; i+1 < len(params); i += 2 {
		d.Params[params[i]] = params[i+1]
	}
	return d
}

func TestInput(t *testing.T) {
	port := Info{Params: map[string]bool{"port": true, "plug": true, "nodeid": true}}
	plug := Info{Params: map[string]bool{"plug": true}}
	for _, tc := range []struct {
		name   string
		d      Device
		info   Info
		action string
		target string
		want   string
	}{
		{"off of a mapped node", device("pcmk_host_map", "node1:plug1", "mode", "pass"), plug, "off", "node1", "action=off nodename=node1 plug=plug1 mode=pass"},
		{"monitor has no target", device("pcmk_host_map", "node1:plug1", "mode", "pass"), plug, "monitor", "", "action=monitor mode=pass"},
		{"port before plug, and the node's id", device(), port, "off", "n", "action=off nodename=n nodeid=42 port=n"},
		{"a configured nodeid wins", device("nodeid", "7"), port, "off", "n", "action=off nodename=n port=n nodeid=7"},
		{"no metadata", device(), Info{}, "off", "n", "action=off nodename=n port=n"},
		{"chosen parameter", device("pcmk_host_argument", "uuid"), port, "off", "n", "action=off nodename=n nodeid=42 uuid=n"},
		{"no parameter", device("pcmk_host_argument", "NONE"), plug, "off", "n", "action=off nodename=n"},
		{"a fixed port", device("port", "3"), Info{}, "off", "n", "action=off nodename=n port=3"},
		{"a dynamic port", device("port", "Dynamic"), Info{}, "off", "n", "action=off nodename=n port=n"},
		{"another word", device("pcmk_off_action", "disable"), plug, "off", "n", "action=disable nodename=n plug=n"},
		{
			"the fencer's own parameters stay here", device("pcmk_off_timeout", "9", "pcmk_monitor_retries", "1", "pcmk_delay_max", "3",
				"pcmk_action_limit", "2", "CRM_meta_timeout", "20", "crm_feature_set", "3", "provides", "x", "stonith-timeout", "1", "ip", "1=2"),
			plug, "off", "n", "action=off nodename=n plug=n ip=1=2",
		},
		{"plugins get no host parameter", device("hostlist", "n"), Info{NoHostParam: true}, "off", "n", "action=off nodename=n hostlist=n"},
	} {
		var got []string
		for _, p := range tc.d.Input(tc.info, tc.action, tc.target, "42") {
			got = append(got, p.Name+"="+p.Value)
		}
		if s := strings.Join(got, " "); s != tc.want {
			t.Errorf("%s: %s\nwant %s", tc.name, s, tc.want)
		}
	}
}

func TestConfiguredAction(t *testing.T) {
	for _, tc := range []struct{ action, off, reboot string }{
		{"", "", ""}, {"reboot", "", ""}, {"off", "", "off"}, {"fabric", "fabric", "fabric"},
	} {
		d := device("action", tc.action).normalize()
		if _, ok := d.Params["action"]; ok || d.Params["pcmk_off_action"] != tc.off || d.Params["pcmk_reboot_action"] != tc.reboot {
			t.Errorf("action=%s became %v", tc.action, d.Params)
		}
	}
}

func TestNumbers(t *testing.T) {
	for _, tc := range []struct {
		value string
		want  time.Duration
	}{{"60s", time.Minute}, {"2m", 2 * time.Second}, {"10", 10 * time.Second}, {"x", 0}, {"-5", 0}} {
		if got := device("pcmk_off_timeout", tc.value).Timeout("off"); got != tc.want {
			t.Errorf("timeout %q is %v, want %v", tc.value, got, tc.want)
		}
	}
	for value, want := range map[string]int{"": 2, "1": 1, "0": 1, "-3": 1, "5": 5} {
		if got := device("pcmk_off_retries", value).Tries("off"); got != want {
			t.Errorf("retries %q are %d tries, want %d", value, got, want)
		}
	}
	for value, want := range map[string]int{"": 1, "0": 1, "x": 1, "3": 3, "-1": -1} {
		if got := device("pcmk_action_limit", value).Limit(); got != want {
			t.Errorf("limit %q is %d, want %d", value, got, want)
		}
	}
}

func TestDelay(t *testing.T) {
	for _, tc := range []struct {
		name      string
		d         Device
		target    string
		requested time.Duration
		random    uint64
		want      time.Duration
	}{
		{"none", device(), "n", 0, 5, 0},
		{"base", device("pcmk_delay_base", "3s"), "n", 0, 5, 3 * time.Second},
		{"base and requested", device("pcmk_delay_base", "3"), "n", 2 * time.Second, 5, 5 * time.Second},
		{"none wanted", device("pcmk_delay_base", "3"), "n", -1, 5, 0},
		{"random", device("pcmk_delay_max", "10"), "n", 0, 13, 3 * time.Second},
		{"base and random stay below max", device("pcmk_delay_base", "4", "pcmk_delay_max", "10"), "n", 0, 11, 9 * time.Second},
		{"base above max", device("pcmk_delay_base", "20", "pcmk_delay_max", "10"), "n", 0, 11, 10 * time.Second},
		{"map", device("pcmk_delay_base", "a:1s;NODE:7 b:2"), "node", 0, 0, 7 * time.Second},
		{"a name that only begins alike", device("pcmk_delay_base", "node:7"), "node1", 0, 0, 0},
		{"minutes", device("pcmk_delay_base", "2min"), "n", 0, 0, 2 * time.Minute},
	} {
		if got := tc.d.Delay(tc.target, tc.requested, tc.random); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}

func TestParseMetadata(t *testing.T) {
	info, err := ParseMetadata([]byte(`<resource-agent><parameters><parameter name="plug"/></parameters><actions>
<action name="on" on_target="1" required="1"/><action name="off"/><action name="status"/></actions></resource-agent>`))
	if err != nil {
		t.Fatal(err)
	}
	if !info.Params["plug"] || !info.Actions["on"].OnTarget || !info.Actions["on"].Automatic || info.Supports("reboot") || info.Actions["off"].Automatic {
		t.Errorf("%+v", info)
	}
	if _, err := ParseMetadata([]byte("not XML <")); err == nil {
		t.Error("nonsense was accepted")
	}
}

// bench drives a Core whose agents the test answers.
type bench struct {
	t    *testing.T
	core *Core
	now  time.Time
	out  Output
}

func newBench(t *testing.T, info Info, devices ...Device) *bench {
	b := &bench{t: t, core: New("here"), now: time.Unix(0, 0)}
	out := b.step(Configured{Devices: devices})
	for _, a := range out.Learn {
		b.step(Learned{Agent: a, Info: info, OK: true})
	}
	return b
}

func (b *bench) step(ev Event) Output {
	b.out = b.core.Step(b.now, ev)
	return b.out
}

func names(offers []Offer) string {
	var out []string
	for _, o := range offers {
		out = append(out, o.Device)
	}
	return strings.Join(out, " ")
}

func full(more ...string) Info {
	i := Info{Actions: map[string]ActionInfo{}, Params: map[string]bool{}}
	for _, a := range append([]string{"off", "reboot", "monitor"}, more...) {
		i.Actions[a] = ActionInfo{}
	}
	return i
}

func TestEligibility(t *testing.T) {
	onTarget := full()
	onTarget.Actions["on"] = ActionInfo{OnTarget: true, Automatic: true}
	for _, tc := range []struct {
		name   string
		d      Device
		info   Info
		target string
		action string
		self   bool
		want   string
	}{
		{"listed", device("pcmk_host_list", "a b"), full(), "A", "off", false, "d"},
		{"not listed", device("pcmk_host_list", "a b"), full(), "c", "off", false, ""},
		{"mapped", device("pcmk_host_map", "a:1"), full(), "a", "off", false, "d"},
		{"by its port", device("pcmk_host_map", "a:1"), full(), "1", "off", false, "d"},
		{"nothing known", device(), full(), "x", "off", false, "d"},
		{"no such check", device("pcmk_host_check", "magic"), full(), "x", "off", false, ""},
		{"on without on", device("pcmk_host_list", "a"), full(), "a", "on", false, ""},
		{"on with on", device("pcmk_host_list", "a"), full("on"), "a", "on", false, "d"},
		{"this node", device("pcmk_host_list", "here"), full(), "here", "off", false, ""},
		{"this node if it must be", device("pcmk_host_list", "here"), full(), "here", "off", true, "d"},
		{"on by the target only", device("pcmk_host_list", "a here"), onTarget, "a", "on", true, ""},
		{"on by this target", device("pcmk_host_list", "a here"), onTarget, "here", "on", true, "d"},
		{"all devices", device("pcmk_host_list", "a"), full(), "", "off", false, "d"},
	} {
		b := newBench(t, tc.info, tc.d)
		out := b.step(Evaluate{ID: "e", Target: tc.target, Action: tc.action, AllowSelf: tc.self})
		if len(out.Evaluated) != 1 || names(out.Evaluated[0].Offers) != tc.want {
			t.Errorf("%s: %+v, want %q", tc.name, out.Evaluated, tc.want)
		}
	}
}

func TestEvaluationWaitsForMetadata(t *testing.T) {
	b := &bench{t: t, core: New("here"), now: time.Unix(0, 0)}
	b.step(Configured{Devices: []Device{device("pcmk_host_list", "a")}})
	if out := b.step(Evaluate{ID: "e", Target: "a", Action: "on"}); len(out.Evaluated) != 0 {
		t.Errorf("answered without knowing the agent: %+v", out.Evaluated)
	}
	if out := b.step(Learned{Agent: "fence_x", Info: full("on"), OK: true}); len(out.Evaluated) != 1 || names(out.Evaluated[0].Offers) != "d" {
		t.Errorf("%+v", out)
	}
}

func TestDynamicList(t *testing.T) {
	b := newBench(t, full("list", "status"), device())
	ask := func(target string) Output { return b.step(Evaluate{ID: target, Target: target, Action: "off"}) }
	out := ask("a")
	if len(out.Run) != 1 || out.Run[0].Action != "list" {
		t.Fatalf("%+v", out)
	}
	if out := ask("x"); len(out.Run) != 0 {
		t.Errorf("a second list beside the first: %+v", out.Run)
	}
	out = b.step(Exited{Run: out.Run[0].ID, Result: Result{Output: "a,alias\nb"}})
	if len(out.Evaluated) != 2 || names(out.Evaluated[0].Offers) != "d" || names(out.Evaluated[1].Offers) != "" {
		t.Errorf("%+v", out.Evaluated)
	}
	if !out.Evaluated[0].Offers[0].Verified {
		t.Error("a device that answered is not verified")
	}
	b.now = b.now.Add(59 * time.Second)
	if out := ask("alias"); len(out.Evaluated) != 1 || len(out.Run) != 0 || names(out.Evaluated[0].Offers) != "d" {
		t.Errorf("the list was not believed: %+v", out)
	}
	b.now = b.now.Add(2 * time.Second)
	out = ask("b")
	if len(out.Run) != 1 {
		t.Fatalf("an old list was believed: %+v", out)
	}
	for range 2 { // both tries fail: the old list serves
		out = b.step(Exited{Run: out.Run[0].ID, Result: Result{RC: 1}})
		if len(out.Run) == 0 && !out.WakeAt.IsZero() {
			b.now = out.WakeAt
			if out = b.step(Woken{}); len(out.Run) == 0 {
				break
			}
		}
	}
	if len(out.Evaluated) != 1 || names(out.Evaluated[0].Offers) != "d" {
		t.Errorf("after a failed list: %+v", out)
	}
}

func TestListThatFailsFallsBackToStatus(t *testing.T) {
	b := newBench(t, full("list", "status"), device("pcmk_list_retries", "1", "pcmk_status_retries", "1"))
	out := b.step(Evaluate{ID: "e", Target: "a", Action: "off"})
	out = b.step(Exited{Run: out.Run[0].ID, Result: Result{RC: 1}})
	if len(out.Run) != 1 || out.Run[0].Action != "status" || out.Run[0].Target != "a" {
		t.Fatalf("%+v", out)
	}
	out = b.step(Exited{Run: out.Run[0].ID, Result: Result{RC: 2}}) // off, but known
	if len(out.Evaluated) != 1 || names(out.Evaluated[0].Offers) != "d" {
		t.Errorf("%+v", out)
	}
}

func TestQueue(t *testing.T) {
	b := newBench(t, full(), device("pcmk_off_retries", "1"))
	perform := func(id uint64, target, client string) Output {
		return b.step(Perform{ID: id, Device: "d", Action: "off", Target: target, Client: client, Timeout: time.Minute})
	}
	first := perform(1, "a", "x")
	for id, args := range map[uint64][2]string{2: {"a", "y"}, 3: {"b", "x"}} {
		if out := perform(id, args[0], args[1]); len(out.Run) != 0 {
			t.Errorf("two runs at once: %+v", out.Run)
		}
	}
	out := b.step(Exited{Run: first.Run[0].ID})
	var done []uint64
	for _, p := range out.Performed {
		done = append(done, p.ID)
		if p.Merged != (p.ID == 2) {
			t.Errorf("merged: %+v", p)
		}
	}
	slices.Sort(done)
	if fmt.Sprint(done) != "[1 2]" || len(out.Run) != 1 || out.Run[0].Target != "b" {
		t.Errorf("after the first success: %+v", out)
	}
	// A failure merges nobody.
	perform(4, "b", "y")
	out = b.step(Exited{Run: out.Run[0].ID, Result: Result{RC: 1}})
	if len(out.Performed) != 1 || out.Performed[0].ID != 3 || len(out.Run) != 1 {
		t.Errorf("after a failure: %+v", out)
	}
	// A device that goes takes its queue with it, not what runs.
	perform(5, "c", "x")
	running := out.Run[0].ID
	out = b.step(Configured{})
	if len(out.Performed) != 1 || out.Performed[0].ID != 5 || out.Performed[0].Result.Status != StatusNoFenceDevice {
		t.Errorf("after the removal: %+v", out)
	}
	if out = b.step(Exited{Run: running}); len(out.Performed) != 1 || !out.Performed[0].Result.OK() {
		t.Errorf("the run's end: %+v", out)
	}
}

func TestRetries(t *testing.T) {
	b := newBench(t, full(), device())
	out := b.step(Perform{ID: 1, Device: "d", Action: "off", Target: "a", Timeout: 10 * time.Second})
	b.now = b.now.Add(2 * time.Second)
	out = b.step(Exited{Run: out.Run[0].ID, Result: Result{RC: 1}})
	if len(out.Performed) != 0 || !out.WakeAt.Equal(b.now.Add(time.Second)) {
		t.Fatalf("no pause before the second try: %+v", out)
	}
	b.now = out.WakeAt
	out = b.step(Woken{})
	if len(out.Run) != 1 || out.Run[0].Timeout != 7*time.Second || out.Run[0].Name != "fence_x_off_2of2" {
		t.Fatalf("second try: %+v", out.Run)
	}
	if out = b.step(Exited{Run: out.Run[0].ID, Result: Result{RC: 1}}); len(out.Performed) != 1 {
		t.Errorf("a third try: %+v", out)
	}
	// After 70 % of the time, or a timeout, there is no second try.
	for _, res := range []Result{{RC: 1}, {RC: 1, Status: StatusTimeout}} {
		out = b.step(Perform{ID: 2, Device: "d", Action: "off", Target: "a", Timeout: 10 * time.Second})
		if res.Status == StatusDone {
			b.now = b.now.Add(7 * time.Second)
		}
		if out = b.step(Exited{Run: out.Run[0].ID, Result: res}); len(out.Performed) != 1 {
			t.Errorf("%+v was tried again", res)
		}
	}
}

func TestRebootWithoutReboot(t *testing.T) {
	info := full()
	delete(info.Actions, "reboot")
	b := newBench(t, info, device("pcmk_off_timeout", "7", "pcmk_reboot_timeout", "9"))
	out := b.step(Perform{ID: 1, Device: "d", Action: "reboot", Target: "a", Timeout: time.Minute})
	if len(out.Run) != 1 || out.Run[0].Action != "off" || out.Run[0].Timeout != 7*time.Second {
		t.Errorf("%+v", out.Run)
	}
	if len(out.Notes) != 1 || !strings.HasPrefix(out.Notes[0], "Remapping 'reboot' action targeting a using d to 'off' because agent 'fence_x' does not support reboot") {
		t.Errorf("%q", out.Notes)
	}
}

func TestRegistrations(t *testing.T) {
	b := newBench(t, full(), device())
	api := Device{ID: "d", Agent: "fence_x", Params: map[string]string{"CRM_meta_interval": "1"}}
	if out := b.step(Perform{ID: 1, Device: "d", Action: "monitor", API: true}); out.Performed[0].Result.Reason != "'d' not active" {
		t.Errorf("%+v", out)
	}
	b.step(Registered{Device: api})
	b.step(Configured{})
	if n := len(b.core.Devices()); n != 1 {
		t.Errorf("%d devices: the API registration holds it", n)
	}
	b.step(Removed{ID: "d"})
	if n := len(b.core.Devices()); n != 0 {
		t.Errorf("%d devices after both are gone", n)
	}
	b.step(Removed{ID: "d"}) // unknown: nothing to do
}

func TestMetadataIsAskedForAgain(t *testing.T) {
	b := &bench{t: t, core: New("here"), now: time.Unix(0, 0)}
	if out := b.step(Configured{Devices: []Device{device()}}); len(out.Learn) != 1 {
		t.Fatalf("%+v", out)
	}
	for _, pause := range []int{10, 20, 40, 80, 160, 160} {
		out := b.step(Learned{Agent: "fence_x"})
		if want := b.now.Add(time.Duration(pause) * time.Second); !out.WakeAt.Equal(want) || len(out.Learn) != 0 {
			t.Fatalf("wakes at %v, want %v", out.WakeAt, want)
		}
		b.now = out.WakeAt
		if out = b.step(Woken{}); len(out.Learn) != 1 {
			t.Fatalf("not asked again: %+v", out)
		}
	}
}

func TestOptionsMetadata(t *testing.T) {
	info, err := ParseMetadata([]byte(OptionsMetadata()))
	if err != nil || len(info.Params) != 7+18 || !info.Params["pcmk_status_retries"] {
		t.Errorf("%v, %v", info.Params, err)
	}
	var doc struct {
		Name string `xml:"name,attr"`
	}
	if err := xml.Unmarshal([]byte(OptionsMetadata()), &doc); err != nil || doc.Name != "pacemaker-fenced" {
		t.Errorf("%+v, %v", doc, err)
	}
}
