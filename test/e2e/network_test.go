package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	"linuxha/deploy/lab"
	heartbeatv1 "linuxha/proto/heartbeat/v1"
)

// TestCutWithFencing cuts the active node off: the side with quorum fences it
// and only then starts the resource.
func TestCutWithFencing(t *testing.T) {
	full(t)
	c := newCluster(t, 3, nil)
	c.configure(fencing, resources(power, recorder("r")))
	active := c.runs("r").Where("r")
	rest := without(names(3), active)
	c.must(c.Cut([]string{active}, rest, lab.BothWays))
	c.runs("r", rest...)
	c.fencedBeforeStart(active, "r")

	// The loser is started again by its fencing device, still cut off: alone
	// it has no quorum and must start nothing.
	n := c.MustNode(active)
	_, err := n.AwaitView(c.ctx(), "the loser to be up, alone and without quorum", func(v *lab.View) bool {
		return v.DC == active && !v.Quorate && slices.Equal(v.Online, []string{active}) && v.State == "S_IDLE"
	})
	c.must(err)
	c.must(c.Heal())
	c.settled(names(3)...)
	c.runs("r", rest...)
	for _, other := range rest {
		if e, ok := c.fencedEvent(other); ok {
			t.Errorf("%s always had quorum, and was fenced: %v", other, e)
		}
	}
}

// TestHalfHealed mends only one of the cables of a node that was cut off: the
// two that always were together stay so, and nobody is fenced for it.
func TestHalfHealed(t *testing.T) {
	full(t)
	c := newCluster(t, 3, nil)
	c.configure(fencing, resources(power, recorder("r")))
	active := c.runs("r").Where("r")
	rest := without(names(3), active)
	c.must(c.Cut([]string{active}, rest, lab.BothWays))
	c.runs("r", rest...)
	_, err := c.MustNode(active).AwaitView(c.ctx(), "the loser to be up and alone", func(v *lab.View) bool {
		return v.DC == active && slices.Equal(v.Online, []string{active}) && v.State == "S_IDLE"
	})
	c.must(err)
	for _, first := range rest {
		at := time.Now()
		c.must(c.Mend([]string{active}, []string{first}, lab.BothWays))
		c.awaitLink(active, first, "eth0", "up")
		c.awaitLink(first, active, "eth0", "up")
		// Long enough for several rounds of agreement; nothing may come of it.
		e, err := c.obs.Await(c.within(2*time.Second), at, "a view that tears the two apart", func(e lab.Event) bool {
			return e.Kind == lab.SeenView && slices.Contains(rest, e.Node) && !strings.Contains(e.Attr["members"], rest[0]+" "+rest[1]) && e.Attr["members"] != "[node1 node2 node3]"
		})
		if err == nil {
			t.Errorf("%s and %s hear each other all the time, yet: %s", rest[0], rest[1], e.Text)
		}
		c.must(c.Cut([]string{active}, []string{first}, lab.BothWays))
		c.awaitLink(first, active, "eth0", "dead")
	}
	c.must(c.Heal())
	c.settled(names(3)...)
	for _, other := range rest {
		if e, ok := c.fencedEvent(other); ok {
			t.Errorf("%s always had quorum, and was fenced: %v", other, e)
		}
	}
}

// TestCutWithoutFencing lets quorum decide: the loser stops, the winner starts.
func TestCutWithoutFencing(t *testing.T) {
	full(t)
	c := newCluster(t, 3, nil)
	c.overlap = true // both sides notice at the same time: without fencing the moves overlap for a moment
	c.configure(noFencing, resources(recorder("r")))
	active := c.runs("r").Where("r")
	rest := without(names(3), active)
	c.must(c.Cut([]string{active}, rest, lab.BothWays))
	_, err := c.MustNode(active).AwaitView(c.ctx(), "the loser to stop the resource", func(v *lab.View) bool {
		return !v.Quorate && v.Settled() && len(v.Active["r"]) == 0
	})
	c.must(err)
	c.runs("r", rest...)
	at := time.Now()
	c.must(c.Heal())
	c.settled(names(3)...)
	c.runs("r", rest...)
	// Healed without a doubt about who owns the resource: from then on once only.
	notes, deaths, err := c.history()
	c.must(err)
	for _, v := range doubled(since(stays(notes, deaths), at)) {
		t.Errorf("active twice after the cut was healed: %s", v)
	}
}

// since keeps the stays that ended after a time or have not ended.
func since(all []stay, at time.Time) []stay {
	return slices.DeleteFunc(all, func(s stay) bool { return s.to != 0 && s.to < at.UnixNano() })
}

// TestOneLinkLost takes one of two networks away: nobody notices but the log.
func TestOneLinkLost(t *testing.T) {
	full(t)
	c := newCluster(t, 3, nil)
	c.configure(fencing, resources(power, recorder("r")))
	v := c.runs("r")
	view := viewOf(c)
	for _, link := range []string{"eth0", "eth1"} {
		no := int(link[3] - '0')
		c.must(c.Cut(names(3)[:1], names(3)[1:], lab.BothWays, no))
		c.awaitLink("node1", "node2", link, "dead")
		c.awaitLink("node3", "node1", link, "dead")
		c.must(c.Heal())
		c.awaitLink("node1", "node2", link, "up")
		c.awaitLink("node3", "node1", link, "up")
	}
	if now := viewOf(c); now != view {
		t.Errorf("the membership changed from %q to %q", view, now)
	}
	c.runs("r", v.Where("r"))
}

// awaitLink waits until heartbeatd on a node says so of its link to a peer.
func (c *cluster) awaitLink(node, peer, link, status string) {
	c.t.Helper()
	ctx := c.ctx()
	cc, err := c.MustNode(node).Dial("heartbeatd")
	c.must(err)
	defer cc.Close()
	watch, err := heartbeatv1.NewControlClient(cc).WatchStatus(ctx, &heartbeatv1.WatchStatusRequest{})
	c.must(err)
	last := "unknown"
	for {
		ev, err := watch.Recv()
		if err != nil {
			c.t.Fatalf("%s: %s to %s is %s, want %s: %v", node, link, peer, last, status, err)
		}
		for _, n := range ev.GetNodes() {
			for _, l := range n.GetLinks() {
				if n.GetNode() == peer && l.GetName() == link {
					last = l.GetStatus()
				}
			}
		}
		if last == status {
			return
		}
	}
}

func viewOf(c *cluster) string {
	events := c.obs.Events()
	for _, e := range slices.Backward(events) {
		if e.Kind == lab.SeenView {
			return e.Attr["view"] + " " + e.Attr["members"]
		}
	}
	return ""
}

// TestBadNetwork loses, delays, duplicates and reorders between all nodes: the
// cluster stays one and does its work.
func TestBadNetwork(t *testing.T) {
	full(t)
	c := newCluster(t, 3, nil)
	c.configure(fencing, resources(power, recorder("r")))
	c.runs("r")
	view := viewOf(c)
	bad := lab.Impairment{Delay: 5 * time.Millisecond, Jitter: 10 * time.Millisecond, Duplicate: 20, Reorder: 20, Loss: 20}
	for i, n := range names(3) {
		c.must(c.Impair([]string{n}, names(3)[i+1:], lab.BothWays, bad))
		if i == 1 {
			break
		}
	}
	for range 5 { // work goes on
		at := time.Now()
		v := c.settled(names(3)...)
		from := v.Where("r")
		c.configure(`<constraints><rsc_location id="away" rsc="r" node="` + from + `" score="-1000"/></constraints>`)
		c.await("the resource to move", func(v *lab.View) bool { return v.Settled() && v.Where("r") != "" && v.Where("r") != from })
		t.Logf("moved in %v", time.Since(at).Round(time.Millisecond))
	}
	c.must(c.Heal())
	if now := viewOf(c); now != view {
		t.Errorf("the membership changed from %q to %q", view, now)
	}
}
