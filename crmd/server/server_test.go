package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"linuxha/internal/daemon"
	crmv1 "linuxha/proto/crm/v1"
)

const twoDummies = `<primitive id="a" class="ocf" provider="heartbeat" type="Dummy"/><primitive id="b" class="ocf" provider="heartbeat" type="Dummy"/>`

// until waits for a condition that some change of the cluster brings about.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func (n *fakeNode) state() string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	r, err := n.crm.GetState(ctx, &crmv1.GetStateRequest{})
	if err != nil {
		return err.Error()
	}
	return r.State
}

func (n *fakeNode) dc() string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	r, err := n.crm.GetDC(ctx, &crmv1.GetDCRequest{})
	if err != nil {
		return ""
	}
	return r.Dc
}

// stable waits until all controllers agree on a DC that is idle, and the
// resources run where they should.
func (c *fakeCluster) stable(placed map[string]string) {
	c.t.Helper()
	until(c.t, fmt.Sprintf("stable with %v", placed), func() bool {
		dc := ""
		for _, n := range c.attached() {
			d := c.nodes[n].dc()
			if d == "" || dc != "" && dc != d {
				return false
			}
			dc = d
		}
		if dc == "" || !slices.Contains(c.attached(), dc) {
			return false
		}
		for _, n := range c.attached() {
			want := "S_NOT_DC"
			if n == dc {
				want = "S_IDLE"
			}
			if c.nodes[n].state() != want {
				return false
			}
		}
		for rsc, where := range placed {
			for _, n := range c.names {
				if c.nodes[n].lrm.runs(rsc) != (n == where) {
					return false
				}
			}
		}
		return true
	})
}

func TestSingleNode(t *testing.T) {
	c := newCluster(t, twoDummies, "n1")
	c.startAll()
	c.stable(map[string]string{"a": "n1", "b": "n1"})
	for xpath, want := range map[string][2]string{
		"//node_state[@uname='n1']":                          {"join", "member"},
		"//lrm_resource[@id='a']/lrm_rsc_op[@id='a_last_0']": {"operation", "start"},
		"//lrm_rsc_op[@id='a_monitor_10000']":                {"rc-code", "0"},
		"//nvpair[@name='cluster-infrastructure']":           {"value", "Heartbeat"},
		"//nvpair[@name='#feature-set']":                     {"value", "3.16.1"},
		"/cib":                                               {"have-quorum", "1"},
		"//nodes/node[@uname='n1']":                          {"id", idOf("n1")},
	} {
		until(t, xpath+" has "+want[0]+"="+want[1], func() bool { return c.cib.attr(xpath, want[0]) == want[1] })
	}
	if got := strings.Join(c.nodes["n1"].lrm.history(), " "); strings.Count(got, "a_start_0") != 1 || strings.Count(got, "a_monitor_0 ") != 1 {
		t.Errorf("executed: %s", got)
	}
}

func TestThreeNodesAndDeathOfAMember(t *testing.T) {
	c := newCluster(t, twoDummies, "n1", "n2", "n3")
	c.startAll()
	dc := c.whoIsDC()
	c.stable(map[string]string{"a": "n1", "b": "n1"})
	victim := "n1"
	if dc == "n1" {
		t.Log("n1 is DC: this is the death of a DC")
	}
	c.die(victim)
	until(t, "another DC or the same", func() bool { return c.whoIsDC() != "" && c.whoIsDC() != victim })
	c.stable(map[string]string{"a": "n2", "b": "n2"})
	at := "//node_state[@uname='n1']"
	until(t, "the fenced node's state is down and empty", func() bool {
		return c.cib.attr(at, "expected") == "down" && c.cib.attr(at, "join") == "down" && c.cib.count(at+"/*") == 0
	})
	// It comes back and joins.
	c.start(victim)
	c.stable(map[string]string{"a": "n2", "b": "n2"})
	until(t, "n1 is a member again", func() bool { return c.cib.attr(at, "join") == "member" && c.cib.attr(at, "expected") == "member" })
}

// attached lists the nodes whose controller takes part.
func (c *fakeCluster) attached() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for _, n := range c.names {
		if c.procs[n] != nil {
			out = append(out, n)
		}
	}
	return out
}

// whoIsDC waits until all controllers agree.
func (c *fakeCluster) whoIsDC() string {
	c.t.Helper()
	var dc string
	until(c.t, "all know the same DC", func() bool {
		dc = ""
		for _, n := range c.attached() {
			d := c.nodes[n].dc()
			if d == "" || dc != "" && dc != d {
				return false
			}
			dc = d
		}
		return dc != ""
	})
	return dc
}

func (c *fakeCluster) notDC() string {
	dc := c.whoIsDC()
	for _, n := range c.names {
		if n != dc {
			return n
		}
	}
	return ""
}

func TestControllerCrashDisturbsNothing(t *testing.T) {
	for _, role := range []string{"member", "DC"} {
		t.Run(role, func(t *testing.T) {
			c := newCluster(t, twoDummies, "n1", "n2", "n3")
			c.startAll()
			dc := c.whoIsDC()
			c.stable(map[string]string{"a": "n1", "b": "n1"})
			victim := dc
			if role == "member" {
				victim = c.notDC()
			}
			for _, n := range c.names {
				c.nodes[n].lrm.history()
			}
			c.nodes[victim].crash()
			c.start(victim)
			c.stable(map[string]string{"a": "n1", "b": "n1"})
			until(t, "the victim takes part again", func() bool { return c.nodes[victim].dc() != "" })
			for _, n := range c.names {
				for _, op := range c.nodes[n].lrm.history() {
					if strings.Contains(op, "_start_") || strings.Contains(op, "_stop_") {
						t.Errorf("%s ran %s", n, op)
					}
				}
			}
			if c.cib.attr("//node_state[@uname='"+victim+"']", "expected") != "member" {
				t.Error("the victim counts as down")
			}
		})
	}
}

func TestControllerThatStaysAwayIsFenced(t *testing.T) {
	c := newCluster(t, twoDummies, "n1", "n2", "n3")
	c.startAll()
	c.stable(map[string]string{"a": "n1", "b": "n1"})
	victim := c.notDC()
	c.nodes[victim].crash()
	until(t, "it is fenced", func() bool { c.mu.Lock(); defer c.mu.Unlock(); return !c.up[victim] })
}

func TestShutdown(t *testing.T) {
	for _, role := range []string{"member", "DC"} {
		t.Run(role, func(t *testing.T) {
			c := newCluster(t, twoDummies, "n1", "n2", "n3")
			c.startAll()
			dc := c.whoIsDC()
			c.stable(map[string]string{"a": "n1", "b": "n1"})
			victim := dc
			if role == "member" {
				victim = c.notDC()
			}
			v := c.nodes[victim]
			v.stop()
			select {
			case err := <-v.ended:
				if err != nil {
					t.Fatalf("ended with %v", err)
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("did not leave, state %s", v.state())
			}
			if v.lrm.runs("a") || v.lrm.runs("b") {
				t.Error("left with running resources")
			}
			until(t, "its leaving is known", func() bool { return c.whoIsDC() != victim })
			where := "n1"
			if victim == "n1" {
				where = "n2"
			}
			c.stable(map[string]string{"a": where, "b": where})
			until(t, "marked as down", func() bool {
				at := "//node_state[@uname='" + victim + "']"
				return c.cib.attr(at, "expected") == "down" && c.cib.attr(at, "join") == "down" && c.cib.attr(at, "crmd") == "offline"
			})
			c.mu.Lock()
			defer c.mu.Unlock()
			if !c.up[victim] {
				t.Error("it was fenced")
			}
		})
	}
}

func TestShutdownOfTheLastNode(t *testing.T) {
	c := newCluster(t, twoDummies, "n1")
	c.startAll()
	c.stable(map[string]string{"a": "n1", "b": "n1"})
	n := c.nodes["n1"]
	n.stop()
	if err := <-n.ended; err != nil {
		t.Fatal(err)
	}
	if n.lrm.runs("a") || n.lrm.runs("b") {
		t.Error("left with running resources")
	}
}

func TestShutdownBeforeAnyDC(t *testing.T) {
	c := newCluster(t, twoDummies, "n1", "n2")
	n := c.start("n1") // waits dc-deadtime for n2
	until(t, "pending", func() bool { return n.state() == "S_PENDING" })
	n.stop()
	if err := <-n.ended; err != nil {
		t.Fatal(err)
	}
}

func TestFailedMonitorRecovers(t *testing.T) {
	c := newCluster(t, twoDummies, "n1", "n2")
	c.startAll()
	c.stable(map[string]string{"a": "n1", "b": "n1"})
	lrm := c.nodes["n1"].lrm
	lrm.history()
	if !lrm.report("a_monitor_10000", 7) {
		t.Fatal("no such monitor")
	}
	until(t, "counted once", func() bool { return c.cib.attr("//nvpair[@name='fail-count-a#monitor_10000']", "value") == "1" })
	until(t, "restarted", func() bool { return strings.Contains(strings.Join(lrm.history(), " "), "a_start_0") })
	c.stable(map[string]string{"a": "n1", "b": "n1"})
	if got := c.cib.attr("//nvpair[@name='fail-count-a#monitor_10000']", "value"); got != "1" {
		t.Errorf("fail count %s", got)
	}
}

func TestFailedStartMovesOn(t *testing.T) {
	c := newCluster(t, twoDummies, "n1", "n2")
	c.nodes["n1"].lrm.setFail("a_start_0", 1)
	c.startAll()
	c.whoIsDC()
	until(t, "a runs on n2", func() bool { return c.nodes["n2"].lrm.runs("a") })
	if got := c.cib.attr("//nvpair[@name='fail-count-a#start_0']", "value"); got != "INFINITY" {
		t.Errorf("fail count %q", got)
	}
}

func TestLrmdRestartIsProbed(t *testing.T) {
	c := newCluster(t, twoDummies, "n1", "n2")
	c.startAll()
	c.stable(map[string]string{"a": "n1", "b": "n1"})
	lrm := c.nodes["n1"].lrm
	lrm.history()
	lrm.restart()
	var ran []string
	until(t, "probed", func() bool {
		ran = append(ran, lrm.history()...)
		s := strings.Join(ran, " ")
		return strings.Contains(s, "a_monitor_0") && strings.Contains(s, "a_monitor_10000")
	})
	c.stable(map[string]string{"a": "n1", "b": "n1"})
	for _, op := range append(ran, lrm.history()...) {
		if strings.Contains(op, "_start_") || strings.Contains(op, "_stop_") {
			t.Errorf("ran %s", op)
		}
	}
}

func TestHungOperationHoldsUpNothingElse(t *testing.T) {
	c := newCluster(t, `<primitive id="a" class="ocf" provider="heartbeat" type="Dummy"/>`, "n1", "n2")
	gate := c.nodes["n1"].lrm.gate("a_start_0")
	c.startAll()
	until(t, "a is being started", func() bool { return strings.Contains(strings.Join(c.nodes["n1"].lrm.history(), " "), "a_start_0") })
	resp, err := c.cib.Apply(context.Background(), apply(modify("resources", []byte(`<primitive id="c" class="ocf" provider="heartbeat" type="Dummy"/>`))))
	if err != nil || resp.Rc != 0 {
		t.Fatal(err, resp.GetError())
	}
	until(t, "c runs meanwhile", func() bool { return c.nodes["n1"].lrm.runs("c") })
	close(gate)
	c.stable(map[string]string{"a": "n1", "c": "n1"})
	if got := strings.Join(c.nodes["n2"].lrm.history(), " "); strings.Contains(got, "a_start") {
		t.Error("a was started twice")
	}
}

// Somebody deletes the status, or replaces the CIB by one without: everybody
// tells anew what runs, nobody is fenced, nothing starts or stops.
func TestStatusRemovedByATool(t *testing.T) {
	c := newCluster(t, twoDummies, "n1", "n2", "n3")
	c.startAll()
	c.whoIsDC()
	c.stable(map[string]string{"a": "n1", "b": "n1"})
	for _, xpath := range []string{"//node_state", "//node_state[@uname='n1']"} {
		for _, n := range c.names {
			c.nodes[n].lrm.history()
		}
		resp, err := c.cib.Apply(context.Background(), apply(remove(xpath)))
		if err != nil || resp.Rc != 0 {
			t.Fatal(err, resp.GetError())
		}
		until(t, "all are members again", func() bool {
			return c.cib.count("//node_state[@join='member']/lrm/lrm_resources/lrm_resource[@id='a']") == 3
		})
		c.stable(map[string]string{"a": "n1", "b": "n1"})
		for _, n := range c.names {
			for _, op := range c.nodes[n].lrm.history() {
				if strings.Contains(op, "_start_") || strings.Contains(op, "_stop_") {
					t.Errorf("%s ran %s", n, op)
				}
			}
		}
		if up := c.attached(); len(up) != len(c.names) {
			t.Errorf("somebody was fenced: %v are left", up)
		}
	}
}

// The stop cancels a monitor whose first run hangs: the cluster comes to rest
// at once, with no failure counted and no record of a monitor under way.
func TestStopCancelsAFirstMonitorThatHangs(t *testing.T) {
	c := newCluster(t, twoDummies, "n1", "n2")
	gate := c.nodes["n1"].lrm.gate("a_monitor_10000")
	defer close(gate)
	c.startAll()
	until(t, "a is being monitored", func() bool {
		return strings.Contains(strings.Join(c.nodes["n1"].lrm.history(), " "), "a_monitor_10000")
	})
	until(t, "the record of it", func() bool { return c.cib.attr("//lrm_rsc_op[@id='a_monitor_10000']", "op-status") == "-1" })
	resp, err := c.cib.Apply(context.Background(), apply(modify("resources", []byte(`<primitive id="a"><meta_attributes id="a-meta">`+
		`<nvpair id="a-role" name="target-role" value="Stopped"/></meta_attributes></primitive>`))))
	if err != nil || resp.Rc != 0 {
		t.Fatal(err, resp.GetError())
	}
	c.stable(map[string]string{"a": "", "b": "n1"})
	until(t, "no record of it", func() bool { return c.cib.count("//lrm_rsc_op[@op-status='-1']") == 0 })
	if n := c.cib.count("//nvpair[starts-with(@name, 'fail-count-')]"); n != 0 {
		t.Errorf("%d failures counted", n)
	}
}

func TestFencingIsRetried(t *testing.T) {
	c := newCluster(t, twoDummies, "n1", "n2", "n3")
	c.startAll()
	c.stable(map[string]string{"a": "n1", "b": "n1"})
	var early atomic.Bool
	script := &fenceScript{before: func() { early.Store(c.nodes["n2"].lrm.runs("a") || c.nodes["n3"].lrm.runs("a")) }}
	script.failures.Store(1)
	fenceScripts.Store(c, script)
	c.die("n1")
	until(t, "recovered after the second attempt", func() bool { return c.nodes["n2"].lrm.runs("a") })
	if script.failures.Load() >= 0 || early.Load() {
		t.Errorf("started before an attempt succeeded: %d failures left, early %v", script.failures.Load(), early.Load())
	}
}

func TestCleanupAndFail(t *testing.T) {
	c := newCluster(t, twoDummies, "n1", "n2")
	c.startAll()
	c.stable(map[string]string{"a": "n1", "b": "n1"})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	other := c.nodes["n2"].crm
	r, err := other.FailResource(ctx, &crmv1.FailResourceRequest{Resource: "a", Node: "n1"})
	if err != nil || r.Rc != 0 {
		t.Fatal(err, r)
	}
	until(t, "counted", func() bool { return c.cib.count("//nvpair[@name='fail-count-a#asyncmon_0']") == 1 })
	if got := c.cib.attr("//nvpair[@name='fail-count-a#asyncmon_0']", "value"); got != "1" {
		t.Errorf("fail count %s", got)
	}
	d, err := other.DeleteHistory(ctx, &crmv1.DeleteHistoryRequest{Resource: "b", Node: "n1"})
	if err != nil || d.Rc != 0 {
		t.Fatal(err, d)
	}
	until(t, "last-lrm-refresh", func() bool { return c.cib.count("//nvpair[@name='last-lrm-refresh']") == 1 })
	if d, err := other.RemoveNode(ctx, &crmv1.RemoveNodeRequest{Node: "n1", Force: true}); err != nil || d.Rc == 0 {
		t.Error("an active node was removed")
	}
	s, err := other.GetState(ctx, &crmv1.GetStateRequest{Node: "n1"})
	if err != nil || !strings.HasPrefix(s.State, "S_") {
		t.Error(err, s)
	}
	l, err := other.ListNodes(ctx, &crmv1.ListNodesRequest{})
	if err != nil || len(l.Nodes) != 2 || l.Local != "n2" {
		t.Error(err, l)
	}
}

func TestMessagingLossEndsWith102(t *testing.T) {
	c := newCluster(t, "", "n1")
	n := c.start("n1")
	c.stable(nil)
	c.mu.Lock()
	close(c.procs["n1"].out)
	delete(c.procs, "n1")
	c.mu.Unlock()
	var code *daemon.ExitCode
	if err := <-n.ended; !errors.As(err, &code) || code.Code != 102 {
		t.Errorf("ended with %v", err)
	}
}

func TestTimeline(t *testing.T) {
	c := newCluster(t, twoDummies, "n1", "n2")
	c.startAll()
	dc := c.whoIsDC()
	c.stable(map[string]string{"a": "n1", "b": "n1"})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	stream, err := c.nodes[dc].crm.WatchTimeline(ctx, &crmv1.WatchTimelineRequest{})
	if err != nil {
		t.Fatal(err)
	}
	missing := map[string]bool{"view": true, "dc": true, "scheduled": true, "initiated": true, "started": true, "result": true, "idle": true}
	for len(missing) > 0 {
		e, err := stream.Recv()
		if err != nil {
			t.Fatalf("%v; never seen: %v", err, missing)
		}
		delete(missing, e.Kind)
	}
}

// TestOneStreamOfLRM: each attempt to follow lrmd ends with its stream.
func TestOneStreamOfLRM(t *testing.T) {
	c := newCluster(t, twoDummies, "n1")
	lrm := c.nodes["n1"].lrm
	lrm.failLists = 3
	c.start("n1")
	c.stable(map[string]string{"a": "n1", "b": "n1"})
	until(t, "one stream is left", func() bool {
		lrm.mu.Lock()
		defer lrm.mu.Unlock()
		return len(lrm.watchers) == 1
	})
}

// TestHeartbeatdTakesNothing: the controller hears and answers while more waits
// to be sent than the connection takes.
func TestHeartbeatdTakesNothing(t *testing.T) {
	c := newCluster(t, twoDummies, "n1", "n2")
	c.startAll()
	c.stable(map[string]string{"a": "n1", "b": "n1"})
	goOn := c.freeze("n1")
	n := c.nodes["n1"]
	large := &crmv1.PeerMessage{Kind: &crmv1.PeerMessage_Answer{Answer: &crmv1.PeerAnswer{Id: 1 << 40, Error: strings.Repeat("x", 1<<20)}}}
	n.srv.post(func() {
		for range 5 {
			n.srv.send("n2", large)
		}
		n.srv.publishClaim()
	})
	if got := n.state(); !strings.HasPrefix(got, "S_") {
		t.Errorf("state: %s", got)
	}
	goOn()
	c.stable(map[string]string{"a": "n1", "b": "n1"})
}

// TestNodesOfAnotherStack: a cib.xml of Corosync and Pacemaker has numbers as
// node ids; what it says of the nodes is kept.
func TestNodesOfAnotherStack(t *testing.T) {
	c := newCluster(t, twoDummies, "n1", "n2")
	c.configure("nodes", `<nodes><node id="1" uname="n1"/><node id="2" uname="n2"><instance_attributes id="nodes-2">`+
		`<nvpair id="nodes-2-rack" name="rack" value="north"/></instance_attributes><utilization id="nodes-2-u"><nvpair id="nodes-2-cpu" name="cpu" value="4"/></utilization></node></nodes>`)
	c.startAll()
	c.stable(map[string]string{"a": "n1", "b": "n1"})
	at := "//nodes/node[@id='" + idOf("n2") + "'][@uname='n2']"
	until(t, "the node has its id", func() bool { return c.cib.attr(at, "uname") == "n2" })
	if rack, cpu := c.cib.attr(at+"//nvpair[@name='rack']", "value"), c.cib.attr(at+"/utilization/nvpair", "value"); rack != "north" || cpu != "4" {
		t.Errorf("rack %q, cpu %q", rack, cpu)
	}
	if c.cib.attr("//node[@id='1']", "id")+c.cib.attr("//node[@id='2']", "id") != "" {
		t.Error("the former entries are there still")
	}
}
