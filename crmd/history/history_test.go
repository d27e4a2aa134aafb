package history

import (
	"encoding/xml"
	"strings"
	"testing"
)

const key = "14:5:0:3c5206aa-6c15-48ad-8065-6b7dfc47c4ae"

// Vectors of crm 4.9.
func TestDigest(t *testing.T) {
	for _, tc := range []struct {
		params map[string]string
		want   string
	}{
		{nil, "f2317cad3d54cec5d7d7aa7d0bf35cf8"},
		{map[string]string{"CRM_meta_timeout": "20000", "CRM_meta_interval": "10000", "crm_feature_set": "3.16.1"}, "4811cef7f7f94e3a35a70be7916cb2fd"},
		{map[string]string{"cidr_netmask": "24", "ip": "10.77.1.1", "nic": "eth0", "CRM_meta_timeout": "20000"}, "41ea6fa4b1c6d55ec40005f26464d5b1"},
		{map[string]string{"cidr_netmask": "24", "ip": "10.77.1.1", "nic": "eth0", "CRM_meta_timeout": "20000", "CRM_meta_interval": "5000"}, "7fc26d93eb5d453a09f4b3f8972d5208"},
		{map[string]string{"Zed": "", "fake": "é\tt\nn", "passwd": "secret", "state": `/run/a<b>&"c'd`}, "6a70f3a01896df4154edf5dad452e7ab"},
		{map[string]string{"Zed": "", "fake": "é\tt\nn", "state": `/run/a<b>&"c'd`}, "d5fd54e0e2b42e10c7677d74cdbbc5e4"},
	} {
		if got := Digest(tc.params); got != tc.want {
			t.Errorf("Digest(%v) = %s, want %s", tc.params, got, tc.want)
		}
	}
}

func start(rc, status int) Op {
	return Op{
		Resource: Resource{ID: "d1", Class: "ocf", Provider: "pacemaker", Type: "Dummy"}, Task: "start", Key: key,
		CallID: 41, RC: rc, Status: status, OnNode: "node3", FeatureSet: "3.16.1", RCChange: 1795166991, ExecMS: 18, QueueMS: 4,
		Params: map[string]string{"CRM_meta_timeout": "20000"},
	}
}

// The example of crm 4.4, attribute by attribute.
func TestRecordExample(t *testing.T) {
	o := start(0, 0)
	meta, err := ParseMetadata([]byte(`<resource-agent name="Dummy"><version>1.1</version><parameters>
		<parameter name="state"/><parameter name="passwd" private="1" reloadable="1"/><parameter name="fake" reloadable="1"/></parameters>
		<actions><action name="start"/><action name="reload-agent"/></actions></resource-agent>`))
	if err != nil {
		t.Fatal(err)
	}
	o.Meta = meta
	var b strings.Builder
	writeLRM(&b, "3", []Update{{Resource: o.Resource, Records: o.Records("do_update_resource")}})
	want := `<lrm id="3"><lrm_resources><lrm_resource id="d1" type="Dummy" class="ocf" provider="pacemaker">` +
		`<lrm_rsc_op id="d1_last_0" operation_key="d1_start_0" operation="start" crm-debug-origin="do_update_resource" crm_feature_set="3.16.1" transition-key="` + key + `" transition-magic="0:0;` + key + `" exit-reason="" on_node="node3" call-id="41" rc-code="0" op-status="0" interval="0" last-rc-change="1795166991" exec-time="18" queue-time="4" op-digest="f2317cad3d54cec5d7d7aa7d0bf35cf8" op-force-restart="  state  " op-restart-digest="f2317cad3d54cec5d7d7aa7d0bf35cf8" op-secure-params="  passwd  " op-secure-digest="f2317cad3d54cec5d7d7aa7d0bf35cf8"/>` +
		`</lrm_resource></lrm_resources></lrm>`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

func TestIDs(t *testing.T) {
	mon := func(interval int64, rc, status, target int) Op {
		o := start(rc, status)
		o.Task, o.IntervalMS = "monitor", interval
		o.Key = strings.Replace(key, ":0:", ":"+string(rune('0'+target))+":", 1)
		return o
	}
	migrate := start(1, 0)
	migrate.Task = "migrate_to"
	reload, reloadBad := start(0, 0), start(1, 0)
	reload.Task, reloadBad.Task = "reload-agent", "reload-agent"
	for _, tc := range []struct {
		name string
		op   Op
		ids  string
		task string
	}{
		{"start", start(0, 0), "d1_last_0", "start"},
		{"failed start", start(1, 0), "d1_last_failure_0 d1_last_0", "start"},
		{"timed out start", start(1, StatusTimeout), "d1_last_failure_0 d1_last_0", "start"},
		{"pending start", start(0, 0).Pending(1), "d1_last_0", "start"},
		{"monitor", mon(10000, 0, 0, 0), "d1_monitor_10000", "monitor"},
		{"failed monitor", mon(10000, 7, 0, 0), "d1_last_failure_0", "monitor"},
		{"pending monitor", mon(10000, 0, 0, 0).Pending(1), "d1_monitor_10000", "monitor"},
		{"probe that finds nothing", mon(0, 7, 0, 7), "d1_last_0", "monitor"},
		{"probe that finds it running", mon(0, 0, 0, 7), "d1_last_failure_0 d1_last_0", "monitor"},
		{"degraded monitor", mon(10000, 190, 0, 0), "d1_monitor_10000", "monitor"},
		{"failed migration", migrate, "d1_migrate_to_0", "migrate_to"},
		{"reload", reload, "d1_last_0", "start"},
		{"failed reload", reloadBad, "d1_last_failure_0 d1_last_0", "monitor"},
	} {
		var ids []string
		recs := tc.op.Records("x")
		for _, r := range recs {
			ids = append(ids, r.ID)
		}
		if got := strings.Join(ids, " "); got != tc.ids || recs[0].Get("operation") != tc.task {
			t.Errorf("%s: %s (%s), want %s (%s)", tc.name, got, recs[0].Get("operation"), tc.ids, tc.task)
		}
	}
}

func TestErrorStatusOfAKnownStateIsComplete(t *testing.T) {
	if got := start(7, StatusError).Records("x")[0].Get("op-status"); got != "0" {
		t.Errorf("op-status %s", got)
	}
}

func TestMemoryReplays(t *testing.T) {
	var m Memory
	m.Add(start(0, 0), "do_update_resource")
	mon := start(0, 0)
	mon.Task, mon.IntervalMS, mon.CallID = "monitor", 10000, 42
	m.Add(mon, "do_update_resource")
	bad := mon
	bad.RC, bad.Reason = 7, `it "died" & fell`
	m.Add(bad, "do_update_resource")
	lrm := string(m.LRM("3"))
	f, l, r := strings.Index(lrm, `id="d1_last_failure_0"`), strings.Index(lrm, `id="d1_last_0"`), strings.Index(lrm, `id="d1_monitor_10000"`)
	if f < 0 || l < f || r < l || strings.Contains(lrm, "do_update_resource") {
		t.Fatalf("replay: %s", lrm)
	}
	if err := xml.Unmarshal([]byte(lrm), new(struct{})); err != nil {
		t.Errorf("not well-formed: %v", err)
	}
	stop := start(0, 0)
	stop.Task = "stop"
	m.Add(stop, "do_update_resource")
	if lrm = string(m.LRM("3")); strings.Contains(lrm, "d1_monitor_10000\"") && strings.Contains(lrm, `id="d1_monitor_10000"`) {
		t.Errorf("the recurring operation outlived the stop: %s", lrm)
	}
	if !m.ForgetFailure("d1", "d1_monitor_10000") || strings.Contains(string(m.LRM("3")), "last_failure") {
		t.Error("the failure stayed")
	}
	m.Forget("d1")
	if got := string(m.LRM("3")); got != `<lrm id="3"><lrm_resources></lrm_resources></lrm>` {
		t.Errorf("empty: %s", got)
	}
}

func TestStopRunsWithTheParametersOfTheStart(t *testing.T) {
	var m Memory
	o := start(0, 0)
	o.Params = map[string]string{"ip": "10.0.0.1", "CRM_meta_timeout": "20000"}
	m.Add(o, "x")
	got := m.StopParams("d1", map[string]string{"ip": "10.0.0.2", "CRM_meta_timeout": "5000"})
	if got["ip"] != "10.0.0.1" || got["CRM_meta_timeout"] != "5000" {
		t.Errorf("%v", got)
	}
	if got := m.StopParams("other", map[string]string{"ip": "x"}); got["ip"] != "x" {
		t.Errorf("unknown resource: %v", got)
	}
}

func TestOldReload(t *testing.T) {
	meta, err := ParseMetadata([]byte(`<resource-agent><version>1.0</version><parameters><parameter name="a" unique="1"/><parameter name="user"/><parameter name="b" unique="1"/></parameters><actions><action name="reload"/></actions></resource-agent>`))
	if err != nil {
		t.Fatal(err)
	}
	o := start(0, 0)
	o.Meta = meta
	r := o.Records("x")[0]
	if r.Get("op-force-restart") != "  b a  " || r.Get("op-secure-params") != "  user  " {
		t.Errorf("%+v", r)
	}
}
