package e2e

import (
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	"linuxha/deploy/lab"
)

// killed pulls a node's plug.
func (c *cluster) killed(node string) time.Time {
	c.t.Helper()
	at, err := c.MustNode(node).Kill()
	c.must(err)
	return at
}

// fencedEvent is the lab's record of having taken a node's power on the
// cluster's request.
func (c *cluster) fencedEvent(node string) (lab.Event, bool) {
	c.t.Helper()
	f, err := os.Open(c.EventFile())
	c.must(err)
	defer f.Close()
	events, err := lab.ReadEvents(f)
	c.must(err)
	var last lab.Event
	found := false
	for _, e := range events {
		if e.Kind == "fenced" && e.Node == node {
			last, found = e, true
		}
	}
	return last, found
}

// fencedBeforeStart checks promise 1 by the lab's and the agent's own records:
// the first start of the resource elsewhere came after the power was taken.
func (c *cluster) fencedBeforeStart(node, resource string) {
	c.t.Helper()
	e, ok := c.fencedEvent(node)
	if !ok {
		c.t.Errorf("%s was not fenced", node)
		return
	}
	notes, _, err := c.history()
	c.must(err)
	var last note // the last begin of a start is the takeover's
	for _, n := range notes {
		if n.resource == resource && n.what == "start-begin" {
			last = n
		}
	}
	if last.node == node {
		c.t.Errorf("%s was started on %s last, which was to be fenced", resource, node)
	}
	if last.at < e.AtNS {
		c.t.Errorf("%s started on %s %v before %s was fenced", resource, last.node, time.Duration(e.AtNS-last.at), node)
	}
}

// TestKill pulls plugs: of the active node, of the DC, of both at once.
func TestKill(t *testing.T) {
	full(t)
	t.Run("active node", func(t *testing.T) {
		c := newCluster(t, 3, nil)
		c.configure(fencing, resources(power, recorder("r")))
		active := c.apart("r")
		c.killed(active)
		c.runs("r", without(names(3), active)...)
		c.fencedBeforeStart(active, "r")
		c.settled(names(3)...)
	})
	t.Run("DC", func(t *testing.T) {
		c := newCluster(t, 3, nil)
		c.configure(fencing, resources(power, recorder("r")))
		active := c.apart("r")
		dc := c.settled(names(3)...).DC
		c.killed(dc)
		v := c.settled(without(names(3), dc)...)
		if v.DC == dc {
			t.Errorf("%s is dead and still DC", dc)
		}
		c.runs("r", active) // where it was
		if n := c.count("r", "start-begin", time.Time{}); n > 2 {
			t.Errorf("the resource was started %d times; the DC's death must not move it", n)
		}
		c.settled(names(3)...)
	})
	t.Run("active node and DC at once, of five", func(t *testing.T) {
		c := newCluster(t, 5, nil)
		c.configure(fencing, resources(power, recorder("r")))
		active := c.apart("r")
		dc := c.settled(names(5)...).DC
		gone := make(chan error, 1)
		go func() {
			_, err := c.MustNode(dc).Kill()
			gone <- err
		}()
		c.killed(active)
		c.must(<-gone)
		c.runs("r", without(names(5), active, dc)...)
		c.fencedBeforeStart(active, "r")
		if _, ok := c.fencedEvent(dc); !ok {
			t.Errorf("the DC that died, %s, was not fenced", dc)
		}
		c.settled(names(5)...)
	})
}

// apart moves a resource away from the DC and returns where it runs then.
func (c *cluster) apart(resource string) string {
	c.t.Helper()
	v := c.runs(resource)
	if v.Where(resource) != v.DC {
		return v.Where(resource)
	}
	c.configure(`<constraints><rsc_location id="apart" rsc="` + resource + `" node="` + v.DC + `" score="-1000"/></constraints>`)
	dc := v.DC
	v = c.await(resource+" to leave the DC", func(v *lab.View) bool {
		return v.Settled() && v.Where(resource) != "" && v.Where(resource) != dc
	})
	return v.Where(resource)
}

// TestDaemonDeaths kills each daemon in turn, on the active node and on the DC:
// the cluster recovers to the same state, with nothing lost and nothing doubled.
func TestDaemonDeaths(t *testing.T) {
	full(t)
	c := newCluster(t, 3, nil)
	c.configure(fencing, resources(power, recorder("r"), `<clone id="clones">`+recorder("clone")+`</clone>`))
	whole := func(v *lab.View) bool {
		return lab.OnlineAre(names(3)...)(v) && v.Where("r") != "" && v.Where("power") != "" && len(v.Active["clone"]) == 3
	}
	c.await("everything to run", whole)
	for _, daemon := range []string{"pengine", "attrd", "stonithd", "cib", "lrmd", "crmd", "heartbeatd"} {
		for _, role := range []string{"active node", "DC"} {
			t.Run(daemon+" on the "+role, func(t *testing.T) {
				c := c.in(t)
				v := c.await("everything to run", whole)
				node := v.DC
				if role == "active node" {
					node = v.Where("r")
				}
				before := c.pidOf(node, daemon)
				if before == 0 && daemon == "pengine" && node != v.DC {
					t.Skip("runs on the DC only")
				}
				if before == 0 {
					t.Fatalf("%s does not run on %s", daemon, node)
				}
				count, err := c.MustNode(node).Signal(daemon, syscall.SIGKILL)
				c.must(err)
				if count != 1 {
					t.Errorf("killed %d processes called %s", count, daemon)
				}
				at := time.Now()
				c.await(daemon+" to be back and everything to run", func(v *lab.View) bool {
					pid := c.pidOf(node, daemon)
					return pid != 0 && pid != before && whole(v)
				})
				t.Logf("recovered in %v", time.Since(at).Round(time.Millisecond))
				// Recovered means at work again: a failure is noticed and mended.
				v = c.await("everything to run", whole)
				at = time.Now()
				c.breaks("r", v.Where("r"))
				c.await("a failure to be noticed and mended", func(v *lab.View) bool {
					return c.count("r", "start-end", at) == 1 && whole(v)
				})
				for _, v := range c.violations() {
					t.Errorf("active twice: %s", v)
				}
			})
		}
	}
}

// pidOf is the host's number of a node's daemon; 0: it does not run.
func (c *cluster) pidOf(node, daemon string) int {
	procs, err := c.MustNode(node).Processes()
	if err != nil {
		return 0 // the node is off
	}
	for _, p := range procs {
		if p.Name == daemon {
			return p.PID
		}
	}
	return 0
}

// TestFencingFails lets the device refuse for a while: nothing starts until
// the node's death is certain.
func TestFencingFails(t *testing.T) {
	full(t)
	c := newCluster(t, 3, nil)
	c.configure(fencing, resources(power, recorder("r")))
	active := c.runs("r").Where("r")
	refused := make(chan time.Time, 100)
	c.RefuseFencing(func(req lab.FenceRequest) error {
		if req.Action != "reboot" && req.Action != "off" {
			return nil
		}
		refused <- time.Now()
		return errors.New("the test wants it so")
	})
	killed := c.killed(active)
	var last time.Time
	for range 3 {
		select {
		case last = <-refused:
		case <-c.ctx().Done():
			t.Fatal("the cluster does not try again")
		}
	}
	if n := c.count("r", "start-begin", killed); n != 0 {
		t.Errorf("started %d times before %s was fenced", n, active)
	}
	c.RefuseFencing(nil)
	c.runs("r", without(names(3), active)...)
	c.fencedBeforeStart(active, "r")
	if e, ok := c.fencedEvent(active); !ok || e.At().Before(last) {
		t.Errorf("fenced at %v, refused until %v", e.At(), last)
	}
	c.settled(names(3)...)
}

// TestFrozen stops processes without killing them, as a hung machine does.
func TestFrozen(t *testing.T) {
	full(t)
	t.Run("heartbeatd hangs, fencing", func(t *testing.T) {
		c := newCluster(t, 3, nil)
		c.configure(fencing, resources(power, recorder("r")))
		active := c.runs("r").Where("r")
		_, err := c.MustNode(active).Signal("heartbeatd", syscall.SIGSTOP)
		c.must(err)
		c.runs("r", without(names(3), active)...)
		c.fencedBeforeStart(active, "r")
		c.settled(names(3)...)
	})
	t.Run("a node hangs and comes to, no fencing", func(t *testing.T) {
		c := newCluster(t, 3, nil)
		c.overlap = true // without fencing nobody can stop it from coming to
		c.configure(noFencing, resources(recorder("r")))
		active := c.runs("r").Where("r")
		rest := without(names(3), active)
		c.must(c.MustNode(active).Freeze())
		c.settled(rest...)
		c.runs("r", rest...)
		c.must(c.MustNode(active).Thaw())
		v := c.settled(names(3)...)
		if v.Where("r") == "" {
			t.Errorf("after all was well again: %v", v)
		}
		c.sameCIB()
	})
}
