package server

import (
	"context"
	"testing"

	cibv1 "linuxha/proto/cib/v1"
	stonithv1 "linuxha/proto/stonith/v1"
)

// configure puts a fragment into the configuration.
func (c *fakeCluster) configure(section, xml string) {
	c.t.Helper()
	resp, err := c.cib.Apply(context.Background(), &cibv1.ApplyRequest{Changes: []*cibv1.Change{modify(section, []byte(xml))}})
	if err != nil || resp.Rc != 0 {
		c.t.Fatalf("configure %s: %v %s", section, err, resp.GetError())
	}
}

const logAlert = `<configuration><alerts><alert id="log" path="/bin/log"/></alerts></configuration>`

func TestAlertsOfNodesAndResources(t *testing.T) { // execution 16
	c := newCluster(t, twoDummies, "n1", "n2", "n3")
	c.configure("configuration", logAlert)
	c.startAll()
	c.stable(map[string]string{"a": "n1", "b": "n1"})
	lrm := func(n string) *fakeLRM { return c.nodes[n].lrm }
	until(t, "every node tells that n1 is a member", func() bool {
		want := map[string]string{"kind": "node", "node": "n1", "nodeid": idOf("n1"), "desc": "member"}
		return lrm("n1").alerted(want) == 1 && lrm("n2").alerted(want) == 1 && lrm("n3").alerted(want) == 1
	})
	until(t, "n1 tells of start and monitor", func() bool {
		return lrm("n1").alerted(map[string]string{"kind": "resource", "rsc": "a", "task": "start", "rc": "0", "target_rc": "0", "desc": "ok", "node": "n1"}) == 1 &&
			lrm("n1").alerted(map[string]string{"kind": "resource", "rsc": "a", "task": "monitor", "interval": "10000"}) == 1
	})
	lrm("n1").report("a_monitor_10000", 7)
	until(t, "n1 tells of the failure", func() bool {
		return lrm("n1").alerted(map[string]string{"kind": "resource", "rsc": "a", "rc": "7", "target_rc": "0", "desc": "not running", "status": "0"}) >= 1
	})
	until(t, "n1 tells of the recovery", func() bool { // the cluster is stable only after it
		return lrm("n1").alerted(map[string]string{"kind": "resource", "rsc": "a", "task": "start", "rc": "0"}) == 2 &&
			lrm("n1").alerted(map[string]string{"kind": "resource", "rsc": "a", "task": "monitor", "interval": "10000", "rc": "0", "status": "0"}) == 2
	})
	c.stable(map[string]string{"a": "n1", "b": "n1"})
	for _, n := range []string{"n2", "n3"} {
		if k := lrm(n).alerted(map[string]string{"kind": "resource"}); k != 0 {
			t.Errorf("%s told of %d results; it had nothing but probes with the expected one", n, k)
		}
	}
	if k := lrm("n1").alerted(map[string]string{"task": "monitor", "interval": "0"}); k != 0 {
		t.Errorf("%d alerts of expected probes", k)
	}

	// The section is read again when it changes.
	c.configure("configuration", `<configuration><alerts><alert id="log" path="/bin/log"><select><select_nodes/></select></alert></alerts></configuration>`)
	c.stable(map[string]string{"a": "n1", "b": "n1"})
	before := lrm("n1").alerted(map[string]string{"kind": "resource"})
	dc := c.whoIsDC()
	victim := map[bool]string{true: "n2", false: "n3"}[dc != "n2"]
	c.die(victim)
	for _, n := range c.names {
		if n != victim {
			until(t, n+" tells of the death", func() bool {
				return lrm(n).alerted(map[string]string{"kind": "node", "node": victim, "desc": "lost"}) == 1
			})
		}
	}
	c.stable(map[string]string{"a": "n1", "b": "n1"})
	if after := lrm("n1").alerted(map[string]string{"kind": "resource"}); after != before {
		t.Errorf("%d alerts of results although they are not selected", after-before)
	}
}

func TestAlertsOfFencing(t *testing.T) {
	c := newCluster(t, twoDummies, "n1")
	c.configure("configuration", logAlert)
	n := c.start("n1")
	c.stable(map[string]string{"a": "n1", "b": "n1"})
	record := func(state stonithv1.FenceRecord_State) *stonithv1.FenceRecord {
		return &stonithv1.FenceRecord{
			Id: "x", Target: "n9", Action: "off", Executioner: "n1", Origin: "n1", Client: "stonith_admin.7", State: state,
		}
	}
	failed := record(stonithv1.FenceRecord_STATE_FAILED)
	failed.Reason, failed.ExecStatus = "no power", 4
	n.srv.post(func() {
		n.srv.fencingResult(&stonithv1.Event{Record: record(stonithv1.FenceRecord_STATE_PENDING)})
		n.srv.fencingResult(&stonithv1.Event{Record: record(stonithv1.FenceRecord_STATE_SUCCESS)})
		n.srv.fencingResult(&stonithv1.Event{Record: failed, Rc: 61})
	})
	until(t, "both results are told", func() bool {
		return n.lrm.alerted(map[string]string{
			"kind": "fencing", "node": "n9", "task": "st_notify_fence", "rc": "0",
			"desc": "Operation off of n9 by n1 for stonith_admin.7@n1: OK (ref=x)",
		}) == 1 && n.lrm.alerted(map[string]string{
			"kind": "fencing", "rc": "-61", "desc": "Operation off of n9 by n1 for stonith_admin.7@n1: Error (no power) (ref=x)",
		}) == 1
	})
	if k := n.lrm.alerted(map[string]string{"kind": "fencing"}); k != 2 {
		t.Errorf("%d alerts of fencing, want 2: none for one that is under way", k)
	}
}

// TestRefusedOrder: a node that does not know its DC says so, joins again and
// then does what it is told, long before the order would have timed out.
func TestRefusedOrder(t *testing.T) {
	c := newCluster(t, twoDummies, "n1", "n2")
	c.startAll()
	c.stable(map[string]string{"a": "n1", "b": "n1"})
	member := map[string]string{"n1": "n2", "n2": "n1"}[c.whoIsDC()]
	n := c.nodes[member]
	n.srv.post(func() { n.srv.unaccept("the test wants it") })
	c.configure("resources", `<resources><primitive id="c" class="ocf" provider="heartbeat" type="Dummy"/></resources>`)
	c.stable(map[string]string{"a": "n1", "b": "n1", "c": "n1"})
	until(t, member+" has probed", func() bool {
		return c.cib.attr("//node_state[@uname='"+member+"']//lrm_rsc_op[@id='c_last_0']", "rc-code") != ""
	})
	if k := c.cib.count("//nvpair[starts-with(@name,'fail-count')]"); k != 0 {
		t.Errorf("%d failures were counted for a refusal", k)
	}
}
