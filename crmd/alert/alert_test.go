package alert

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"linuxha/cib/cibdoc"
)

const twoRecipients = `<alerts>
<alert id="mail" path="/lib/mail">
  <meta_attributes id="m"><nvpair id="m1" name="timeout" value="5s"/><nvpair id="m2" name="timestamp-format" value="%F"/></meta_attributes>
  <instance_attributes id="i"><nvpair id="i1" name="from" value="cluster"/><nvpair id="i2" name="CRM_alert_node" value="mine"/></instance_attributes>
  <select><select_nodes/><select_attributes><attribute id="x" name="pingd"/></select_attributes></select>
  <recipient id="r1" value="admin"/>
  <recipient id="r2" value="boss">
    <meta_attributes id="n"><nvpair id="n1" name="timeout" value="0"/></meta_attributes>
    <instance_attributes id="j"><nvpair id="j1" name="from" value="me"/></instance_attributes>
    <select><select_fencing/></select>
  </recipient>
</alert>
<alert id="log" path="/lib/log"/>
</alerts>`

func parse(t *testing.T, section string) (Config, []string) {
	t.Helper()
	n, err := cibdoc.ParseNode([]byte(section))
	if err != nil {
		t.Fatal(err)
	}
	return Parse(n)
}

func TestWhoIsCalled(t *testing.T) {
	c, problems := parse(t, twoRecipients)
	if len(problems) != 1 || !strings.Contains(problems[0], `timeout "0"`) {
		t.Errorf("problems %q, want one about the timeout of r2", problems)
	}
	for _, tt := range []struct {
		name string
		ev   Event
		want []string // path recipient
	}{
		{"node", Event{Kind: Node}, []string{"/lib/mail admin", "/lib/log "}},
		{"a recipient's select replaces the alert's", Event{Kind: Fencing}, []string{"/lib/mail boss", "/lib/log "}},
		{"resources are on by default only", Event{Kind: Resource}, []string{"/lib/log "}},
		{"attributes are off by default", Event{Kind: Attribute, Name: "pingd"}, []string{"/lib/mail admin"}},
		{"an attribute not named", Event{Kind: Attribute, Name: "other"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, call := range c.Calls(tt.ev, "v", time.Unix(0, 0)) {
				got = append(got, call.Path+" "+call.Env["CRM_alert_recipient"])
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("calls %q, want %q", got, tt.want)
			}
		})
	}
}

func TestSettings(t *testing.T) {
	c, _ := parse(t, twoRecipients)
	at := time.Date(2026, 11, 20, 9, 8, 7, 60504030, time.UTC)
	admin := c.Calls(Event{Kind: Node, Node: "n1"}, "v", at)[0]
	boss := c.Calls(Event{Kind: Fencing, Node: "n1"}, "v", at)[0]
	log := c.Calls(Event{Kind: Fencing, Node: "n1"}, "v", at)[1]
	for _, tt := range []struct{ what, got, want string }{
		{"alert's timeout", admin.Timeout.String(), "5s"},
		{"a bad timeout is the default", boss.Timeout.String(), "30s"},
		{"alert's format", admin.Env["CRM_alert_timestamp"], "2026-11-20"},
		{"default format", log.Env["CRM_alert_timestamp"], "09:08:07.060504"},
		{"microseconds", log.Env["CRM_notify_timestamp_usec"], "060504"},
		{"alert's parameter", admin.Env["from"], "cluster"},
		{"recipient's parameter", boss.Env["from"], "me"},
		{"a parameter replaces a variable", admin.Env["CRM_alert_node"], "mine"},
		{"but not its old name", admin.Env["CRM_notify_node"], "n1"},
		{"no recipient is an empty one", log.Env["CRM_alert_recipient"], ""},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %q, want %q", tt.what, tt.got, tt.want)
		}
	}
}

func TestVariables(t *testing.T) {
	c, _ := parse(t, `<alerts><alert id="a" path="/a"><select><select_nodes/><select_fencing/><select_resources/><select_attributes/></select></alert></alerts>`)
	for _, tt := range []struct {
		name string
		ev   Event
		want map[string]string
	}{
		{
			"node",
			Event{Kind: Node, Node: "n1", NodeID: "7", Desc: "lost"},
			map[string]string{"kind": "node", "node": "n1", "nodeid": "7", "desc": "lost"},
		},
		{
			"fencing",
			Event{
				Kind: Fencing, Node: "n1", Task: "st_notify_fence", RC: -62,
				Desc: FencingText("reboot", "n1", "", "crmd.7", "n2", "Timed Out", "slow", "x"),
			},
			map[string]string{
				"kind": "fencing", "node": "n1", "task": "st_notify_fence", "rc": "-62",
				"desc": "Operation reboot of n1 by <no-one> for crmd.7@n2: Timed Out (slow) (ref=x)",
			},
		},
		{
			"resource",
			Event{Kind: Resource, Node: "n1", Rsc: "r", Task: "monitor", Interval: 10 * time.Second, RC: 7, ExecTime: 12 * time.Millisecond},
			map[string]string{
				"kind": "resource", "node": "n1", "rsc": "r", "task": "monitor", "interval": "10000", "rc": "7",
				"target_rc": "0", "status": "0", "desc": "not running", "exec_time": "12",
			},
		},
		{
			"a timeout took as long as it may",
			Event{Kind: Resource, Node: "n1", Rsc: "r", Task: "start", RC: 1, Status: 2, Timeout: 20 * time.Second},
			map[string]string{
				"kind": "resource", "node": "n1", "rsc": "r", "task": "start", "interval": "0", "rc": "1",
				"target_rc": "0", "status": "2", "desc": "Timed Out", "exec_time": "20000",
			},
		},
		{
			"attribute",
			Event{Kind: Attribute, Node: "n1", NodeID: "7", Name: "pingd", Value: "100"},
			map[string]string{"kind": "attribute", "node": "n1", "nodeid": "7", "attribute_name": "pingd", "attribute_value": "100"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			calls := c.Calls(tt.ev, "1.2", time.Unix(5, 0))
			if len(calls) != 1 {
				t.Fatalf("%d calls, want 1", len(calls))
			}
			want := maps.Clone(tt.want)
			want["version"], want["recipient"], want["timestamp_epoch"], want["timestamp_usec"] = "1.2", "", "5", "000000"
			got := map[string]string{}
			for name, value := range calls[0].Env {
				x, _ := strings.CutPrefix(name, "CRM_alert_")
				if y, old := strings.CutPrefix(name, "CRM_notify_"); old {
					x = y
				}
				if before, both := got[x]; both && before != value {
					t.Errorf("%s is %q under one name and %q under the other", x, before, value)
				}
				got[x] = value
			}
			delete(got, "timestamp") // in local time
			if !maps.Equal(got, want) {
				t.Errorf("variables\n%v, want\n%v", got, want)
			}
			if len(calls[0].Env) != 2*(len(want)+1) {
				t.Errorf("%d variables, want each of %d twice", len(calls[0].Env), len(want)+1)
			}
		})
	}
}

func TestProblems(t *testing.T) {
	for _, tt := range []struct{ doc, want string }{
		{`<alerts><alert id="a" path="bin/a"/></alerts>`, "alert a: path \"bin/a\" is not absolute"},
		{`<alerts><alert id="a" path="/a"><recipient id="r" value="v"><meta_attributes id="s"><nvpair id="n" name="timeout" value="soon"/></meta_attributes></recipient></alert></alerts>`, `alert r: timeout "soon"`},
		{`<alerts><alert id="a" path="/a"><instance_attributes id-ref="elsewhere"/></alert></alerts>`, "no instance_attributes elsewhere among the alerts"},
		{`<alerts><alert id="a" path="/a"/></alerts>`, ""},
		{`<alerts/>`, ""},
	} {
		_, problems := parse(t, tt.doc)
		if got := strings.Join(problems, "; "); !strings.Contains(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("%s: problems %q, want %q", tt.doc, got, tt.want)
		}
	}
	if c, problems := Parse(nil); len(problems) > 0 || c.Calls(Event{Kind: Node}, "", time.Now()) != nil {
		t.Errorf("without a section: %v, %v", c, problems)
	}
}

// TestWhichSetCounts: as everywhere in the configuration (state 3.1).
func TestWhichSetCounts(t *testing.T) {
	c, _ := parse(t, `<alerts><alert id="a" path="/a">
<instance_attributes id="s1"><nvpair id="1" name="v" value="first"/><nvpair id="2" name="w" value="first"/></instance_attributes>
<instance_attributes id="s2" score="INFINITY"><nvpair id="3" name="v" value="high"/></instance_attributes>
<instance_attributes id="s3"><nvpair id="4" name="v" value="last"/><nvpair id="5" name="w" value="last"/></instance_attributes></alert>
<alert id="b" path="/b"><instance_attributes id-ref="s2"/></alert></alerts>`)
	calls := c.Calls(Event{Kind: Node}, "", time.Now())
	for i, want := range []map[string]string{{"v": "high", "w": "last"}, {"v": "high", "w": ""}} {
		for name, value := range want {
			if got := calls[i].Env[name]; got != value {
				t.Errorf("%s: %s is %q, want %q", calls[i].ID, name, got, value)
			}
		}
	}
}

// TestRules: a set counts when one of its rules passes at the time of the event.
func TestRules(t *testing.T) {
	c, problems := parse(t, `<alerts><alert id="a" path="/a">
<meta_attributes id="m1" score="1"><rule id="m-r"><date_expression id="m-e" operation="gt" start="2026-11-20T12:00:00Z"/></rule><nvpair id="m1-t" name="timeout" value="7s"/></meta_attributes>
<meta_attributes id="m2"><nvpair id="m2-t" name="timeout" value="3s"/></meta_attributes>
<instance_attributes id="i"><nvpair id="i-to" name="to" value="office"/></instance_attributes>
<recipient id="r" value="x">
<instance_attributes id="night">
<rule id="n-r1" boolean-op="or"><date_expression id="n-e1" operation="date_spec"><date_spec id="n-s1" hours="0-5"/></date_expression><date_expression id="n-e2" operation="date_spec"><date_spec id="n-s2" hours="22-23"/></date_expression></rule>
<nvpair id="n-to" name="to" value="pager"/></instance_attributes>
</recipient></alert></alerts>`)
	if len(problems) > 0 {
		t.Errorf("problems %q", problems)
	}
	for _, tt := range []struct {
		hour    int
		timeout time.Duration
		to      string
	}{{4, 3 * time.Second, "pager"}, {9, 3 * time.Second, "office"}, {13, 7 * time.Second, "office"}, {22, 7 * time.Second, "pager"}} {
		call := c.Calls(Event{Kind: Node}, "", time.Date(2026, 11, 20, tt.hour, 30, 0, 0, time.UTC))[0]
		if call.Timeout != tt.timeout || call.Env["to"] != tt.to {
			t.Errorf("at %d:30: timeout %s, to %q, want %s, %q", tt.hour, call.Timeout, call.Env["to"], tt.timeout, tt.to)
		}
	}
}

// TestFormatTime has its expectations from date(1).
func TestFormatTime(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 89012345, time.UTC)
	for format, want := range map[string]string{
		"":                             "",
		"%H:%M:%S.%06N":                "05:06:07.089012",
		"%N %3N %09N":                  "089012345 089 089012345",
		"%s.%02N":                      "1772600767.08",
		"%a %A %b %B %d %e":            "Wed Wednesday Mar March 04  4",
		"%F %T %D %R %r":               "2026-03-04 05:06:07 03/04/26 05:06 05:06:07 AM",
		"%j %U %V %W %u %w %G %g %C":   "063 09 10 09 3 3 2026 26 20",
		"%I %l %k %p %P %y %Y %z %Z":   "05  5  5 AM am 26 2026 +0000 UTC",
		"%-d %_d %05d 100%% %n%t %Q %": "4  4 00004 100% \n\t %Q %",
	} {
		if got := FormatTime(format, at); got != want {
			t.Errorf("%q: %q, want %q", format, got, want)
		}
	}
}
