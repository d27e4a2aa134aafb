package graph

import (
	"testing"
	"time"
)

const sample = `<transition_graph cluster-delay="60s" stonith-timeout="2min" failed-stop-offset="INFINITY" failed-start-offset="1" batch-limit="30" transition_id="7" recheck-by="1795166991">
  <synapse id="0">
    <action_set>
      <rsc_op id="4" operation="start" operation_key="vip_start_0" on_node="node2" on_node_uuid="uuid2">
        <primitive id="vip" long-id="vip:0" class="ocf" provider="heartbeat" type="IPaddr2"/>
        <attributes CRM_meta_on_node="node2" CRM_meta_timeout="20000" CRM_meta_start_delay="50" ip="10.0.0.1"><param name="1" value="x"/></attributes>
      </rsc_op>
    </action_set>
    <inputs><trigger><crm_event id="2" operation="stonith"/></trigger><trigger><pseudo_event id="9"/></trigger></inputs>
  </synapse>
  <synapse id="1" priority="1000000">
    <action_set>
      <crm_event id="2" operation="stonith" operation_key="stonith-node1-reboot" on_node="node1" on_node_uuid="uuid1">
        <attributes CRM_meta_stonith_action="reboot"/>
        <downed><node id="uuid1"/></downed>
      </crm_event>
    </action_set>
    <inputs/>
  </synapse>
</transition_graph>`

func TestParse(t *testing.T) {
	g, err := Parse([]byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	if g.ID != 7 || g.ClusterDelay != time.Minute || g.StonithTimeout != 2*time.Minute || g.BatchLimit != 30 ||
		g.FailedStartOffset != "1" || g.RecheckBy != 1795166991 {
		t.Errorf("graph attributes: %+v", g)
	}
	a := g.Synapses[0].Actions[0]
	if a.Kind != RscOp || a.RscID() != "vip" || a.Resource.LongID != "vip:0" || a.Timeout() != 20*time.Second ||
		a.StartDelay() != 50*time.Millisecond || a.Attributes["1"] != "x" || a.Executor() != "node2" {
		t.Errorf("action: %+v", a)
	}
	if in := g.Synapses[0].Inputs; len(in) != 2 || in[0] != 2 || in[1] != 9 {
		t.Errorf("inputs: %v", in)
	}
	if f := g.Synapses[1].Actions[0]; !f.IsFencing() || g.Synapses[1].Priority != Infinity {
		t.Errorf("fencing: %+v", f)
	}
	if d := g.DownedBy(); len(d) != 1 || d[0] != "uuid1" {
		t.Errorf("downed: %v", d)
	}
}

func TestParseRefusesNonsense(t *testing.T) {
	for name, in := range map[string]string{
		"no graph":          `<cib/>`,
		"no xml":            `<transition_graph`,
		"no delay":          `<transition_graph transition_id="1"/>`,
		"action without id": `<transition_graph cluster-delay="60s"><synapse id="0"><action_set><rsc_op/></action_set></synapse></transition_graph>`,
	} {
		if _, err := Parse([]byte(in)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(sample))
	f.Fuzz(func(t *testing.T, data []byte) {
		g, err := Parse(data)
		if err == nil && g == nil {
			t.Fatal("no graph and no error")
		}
	})
}
