package state

import (
	"strings"
	"testing"
	"time"

	"linuxha/pengine/internal/xmldoc"
)

const changedCIB = `<cib have-quorum="1"><configuration><crm_config/><nodes><node id="1" uname="n1"/></nodes><resources>
<primitive id="a" class="ocf" provider="pacemaker" type="Dummy">
 <instance_attributes id="p"><nvpair id="p1" name="state" value="/run/a"/><nvpair id="p2" name="fake" value="x"/></instance_attributes>
 <operations><op id="m" name="monitor" interval="10s" timeout="30s"/></operations>
</primitive></resources><constraints/></configuration>
<status><node_state id="1" uname="n1" in_ccm="true" crmd="online" join="member" expected="member"/></status></cib>`

func TestWhatChanged(t *testing.T) {
	root, err := xmldoc.Parse([]byte(changedCIB))
	if err != nil {
		t.Fatal(err)
	}
	c, err := Load(Input{Root: root, Now: time.Unix(1_700_000_000, 0)})
	if err != nil {
		t.Fatal(err)
	}
	r, n := c.Resource("a"), c.NodeByName("n1")
	entry := func(task, interval, force string, params Attrs) *xmldoc.Elem {
		e := xmldoc.New("lrm_rsc_op", "operation", task, "interval", interval, "op-digest", digestOf(params))
		if force != "" {
			e.Set("op-force-restart", force)
		}
		return e
	}
	for _, c2 := range []struct {
		name  string
		entry *xmldoc.Elem
		want  string
	}{
		{"added", entry("start", "0", "", Attrs{"state": "/run/a"}), "parameter fake was added since its last start on n1"},
		{"changed", entry("start", "0", "", Attrs{"state": "/run/b", "fake": "x"}), "its parameters are not those of its last start on n1"},
		{"changed, of those that count", entry("start", "0", " state ", Attrs{"state": "/run/b", "fake": "x"}), "parameter state is not what it was at its last start on n1"},
		{"timeout", entry("monitor", "10000", "", Attrs{"state": "/run/a", "fake": "x", "CRM_meta_timeout": "20000"}), "its timeout is 30000 ms now; it was 20000 ms at its last 10s-interval monitor on n1"},
		{"no timeout before", entry("monitor", "10000", "", Attrs{"state": "/run/a", "fake": "x"}), "its timeout is 30000 ms now; it was not set at its last 10s-interval monitor on n1"},
	} {
		t.Run(strings.ReplaceAll(c2.name, " ", "-"), func(t *testing.T) {
			if got := c.WhatChanged(r, c2.entry, n); got != c2.want {
				t.Errorf("got %q, want %q", got, c2.want)
			}
		})
	}
}
