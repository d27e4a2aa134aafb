package server

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"linuxha/cib/cibdoc"
	"linuxha/internal/cibclient"
	"linuxha/stonithd/plugin"
)

// placeCIB is a cluster of the nodes a (rack 7, cost -5, in site "west") and b,
// with one fencing device "st" in a group "g", which the tag "fences" means.
const placeCIB = `<cib><configuration>
<crm_config><cluster_property_set id="p"><nvpair id="p-n" name="cluster-name" value="hq"/></cluster_property_set></crm_config>
<nodes><node id="1" uname="a"><instance_attributes id="na"><nvpair id="na-r" name="rack" value="7"/><nvpair id="na-c" name="cost" value="-5"/><nvpair id="na-v" name="release" value="2.10"/></instance_attributes></node>
<node id="2" uname="b"/></nodes>
<resources><group id="g"><primitive id="st" class="stonith" type="fence_test"><instance_attributes id="si"><nvpair id="si-r" name="room" value="7"/></instance_attributes>EXTRA</primitive></group></resources>
<constraints>LOCATION</constraints><tags><tag id="fences"><obj_ref id="st"/></tag></tags>
</configuration><status/></cib>`

func placeDoc(t *testing.T, location, extra string) *cibdoc.Doc {
	t.Helper()
	doc, err := cibdoc.Parse([]byte(strings.NewReplacer("LOCATION", location, "EXTRA", extra).Replace(placeCIB)))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// rule is a location that keeps st off where and when its expressions hold.
func rule(attrs, expressions string) string {
	return `<rsc_location id="l" rsc="st"><rule id="ru" score="-INFINITY" ` + attrs + `>` + expressions + `</rule></rsc_location>`
}

func date(text string) string { return `<date_expression id="d" ` + text + `</date_expression>` }

// TestPlace: where the device may be used at 2026-11-20 12:00:30 UTC, a Friday,
// and how long that holds by the date alone.
func TestPlace(t *testing.T) {
	at := time.Date(2026, 11, 20, 12, 0, 30, 0, time.UTC)
	const never = time.Duration(0)
	for _, tc := range []struct {
		name, location string
		on             string // nodes
		until          time.Duration
	}{
		{"no constraint", "", "ab", never},
		{"by name", `<rsc_location id="l" rsc="st" node="a" score="-1"/>`, "b", never},
		{"by the group", `<rsc_location id="l" rsc="g" node="a" score="-1"/>`, "b", never},
		{"by a tag", `<rsc_location id="l" rsc="fences" node="a" score="-1"/>`, "b", never},
		{"by a set", `<rsc_location id="l" node="a" score="1"><resource_set id="s" score="-1"><resource_ref id="st"/></resource_set></rsc_location>`, "b", never},
		{"by a pattern", `<rsc_location id="l" rsc-pattern="^s" node="a" score="-1"/>`, "b", never},
		{"by an inverted pattern", `<rsc_location id="l" rsc-pattern="!^s" node="a" score="-1"/>`, "b", never}, // g
		{"before the end", rule("", date(`operation="lt" end="2026-11-20T13:00:00Z">`)), "", time.Hour - 30*time.Second},
		{"after the end", rule("", date(`operation="lt" end="2026-11-20T12:00:00Z">`)), "ab", never},
		{"before the start", rule("", date(`operation="gt" start="2026-11-20T12:00:39Z">`)), "ab", 10 * time.Second},
		{"in range", rule("", date(`start="2026-11-20T12:00:00Z" end="2026-11-20T12:00:39Z">`)), "", 10 * time.Second},
		{"in range for a time", rule("", date(`start="2026-11-20T12:00:00Z"><duration id="du" minutes="2"/>`)), "", 91 * time.Second},
		{"on Fridays", rule("", date(`operation="date_spec"><date_spec id="ds" weekdays="5"/>`)), "", 30 * time.Second},
		{"on Mondays", rule("", date(`operation="date_spec"><date_spec id="ds" weekdays="1"/>`)), "ab", 30 * time.Second},
		{"in these seconds", rule("", date(`operation="date_spec"><date_spec id="ds" seconds="30-40"/>`)), "", time.Second},
		{"a date and a node", rule("", `<expression id="e" attribute="#uname" operation="eq" value="a"/>`+date(`operation="lt" end="2026-11-20T13:00:00Z">`)), "b", time.Hour - 30*time.Second},
		{"a date or a node", rule(`boolean-op="or"`, `<expression id="e" attribute="#uname" operation="eq" value="a"/>`+date(`operation="gt" start="2026-11-20T13:00:00Z">`)), "b", never}, // for a; see below
		{"a rule in a rule", rule("", `<rule id="r2" score="0"><rule id="r3" score="0">`+date(`operation="lt" end="2026-11-20T13:00:00Z">`)+`</rule></rule>`), "", time.Hour - 30*time.Second},
		{"a rule by reference", `<rsc_location id="l0" rsc="other"><rule id="ru" score="-INFINITY"><rule id-ref="r9"/></rule></rsc_location>
<rsc_location id="l1" rsc="other2"><rule id="r9" score="7">` + date(`operation="lt" end="2026-11-20T13:00:00Z">`) + `</rule></rsc_location>
<rsc_location id="l2" rsc="st"><rule id-ref="ru"/></rsc_location>`, "", time.Hour - 30*time.Second},
		{"an attribute", rule("", `<expression id="e" attribute="rack" operation="eq" value="7"/>`), "b", never},
		{"numbers", rule("", `<expression id="e" attribute="rack" operation="gt" value="10" type="number"/>`), "ab", never},
		{"versions", rule("", `<expression id="e" attribute="release" operation="gte" value="2.9" type="version"/>`), "b", never},
		{"the cluster's name", rule("", `<expression id="e" attribute="#site-name" operation="eq" value="hq"/>`), "", never},
		{"a node's id", rule("", `<expression id="e" attribute="#id" operation="eq" value="2"/>`), "a", never},
		{"the device's parameter", rule("", `<expression id="e" attribute="rack" operation="eq" value="room" value-source="param"/>`), "b", never},
		{"a submatch", `<rsc_location id="l" rsc-pattern="^s(t)$"><rule id="ru" score="-INFINITY"><expression id="e" attribute="#uname" operation="ne" value="a%1"/></rule></rsc_location>`, "", never},
		{"the score of an attribute", `<rsc_location id="l" rsc="st"><rule id="ru" score-attribute="cost"><expression id="e" attribute="#uname" operation="defined"/></rule></rsc_location>
<rsc_location id="m" rsc="st" node="a" score="5"/><rsc_location id="n" rsc="st" node="b" score="5"/>`, "a", never}, // -5+5; b lacks it
		{"for the promoted role", rule(`role="Promoted"`, `<expression id="e" attribute="#uname" operation="defined"/>`), "ab", never},
		{"for the started role", rule(`role="Started"`, `<expression id="e" attribute="#uname" operation="defined"/>`), "", never},
	} {
		t.Run(tc.name, func(t *testing.T) {
			on := ""
			for _, node := range []string{"a", "b"} {
				c := &cibReader{node: node, effective: seconds, now: func() time.Time { return at }}
				conf, err := c.read(placeDoc(t, tc.location, ""))
				if err != nil {
					t.Fatal(err)
				}
				if len(conf.Devices) > 0 {
					on += node
				}
				if node == "a" {
					if until := c.until; until.IsZero() != (tc.until == never) || tc.until != never && until.Sub(at) != tc.until {
						t.Errorf("holds until %v, want %v from %v", until, tc.until, at)
					}
				}
			}
			if on != tc.on {
				t.Errorf("allowed on %q, want %q", on, tc.on)
			}
		})
	}
}

// TestParametersByDate: the parameters of a device, too, may depend on the date.
func TestParametersByDate(t *testing.T) {
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	c := &cibReader{node: "a", effective: seconds, now: func() time.Time { return at }}
	extra := `<instance_attributes id="night" score="1"><rule id="ru" score="0">` + date(`operation="gt" start="2026-11-20T20:00:00Z">`) + `</rule><nvpair id="x" name="room" value="9"/></instance_attributes>`
	conf, err := c.read(placeDoc(t, "", extra))
	if err != nil {
		t.Fatal(err)
	}
	if room := conf.Devices[0].Params["room"]; room != "7" {
		t.Errorf("by day room=%s", room)
	}
	if at = c.until; at.Hour() != 20 {
		t.Errorf("until %v", at)
	}
	if room := c.evaluate().Devices[0].Params["room"]; room != "9" {
		t.Errorf("by night room=%s", room)
	}
}

// TestTheDateMovesADevice: nothing in the CIB changes, and the device goes when
// its time has come, and comes back.
func TestTheDateMovesADevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // it is 2000-01-01 00:00 UTC
		s := New(Options{Finder: plugin.Finder{}, Log: slog.New(slog.DiscardHandler), StandAlone: true})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		doc := placeDoc(t, rule("", date(`start="2000-01-01T01:00:00Z" end="2000-01-01T01:59:59Z">`)), "")
		if !s.do(ctx, func() { s.nodeKnown("localhost"); s.cibChanged(cibclient.Step{New: doc}) }) {
			t.Fatal("it does not run")
		}
		devices := func() (n int) {
			if err := s.read(ctx, func() { n = len(s.core.LocalDevices()) }); err != nil {
				t.Fatal(err)
			}
			return n
		}
		for _, step := range []struct {
			passes time.Duration
			want   int
		}{{0, 1}, {time.Hour - time.Second, 1}, {time.Second + time.Millisecond, 0}, {time.Hour - time.Second, 0}, {time.Second, 1}, {24 * time.Hour, 1}} {
			time.Sleep(step.passes)
			synctest.Wait()
			if got := devices(); got != step.want {
				t.Errorf("at %v: %d devices, want %d", time.Now().UTC().Format(time.TimeOnly), got, step.want)
			}
		}
		if s.reread != nil {
			t.Error("it still waits for a date")
		}
		stop()
		<-ended
	})
}
