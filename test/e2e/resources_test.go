package e2e

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"linuxha/deploy/lab"
)

// TestResourceFailures shares one cluster between the ways in which a
// resource fails; the last one costs a node.
func TestResourceFailures(t *testing.T) {
	full(t)
	whole := newCluster(t, 3, nil)
	whole.configure(fencing, resources(power, recorder("r", "migration-threshold=2"), recorder("s"), recorder("u")))
	whole.await("everything to run", func(v *lab.View) bool {
		return v.Settled() && v.Where("r") != "" && v.Where("s") != "" && v.Where("u") != "" && v.Where("power") != ""
	})
	sub := func(name string, f func(c *cluster)) {
		t.Run(name, func(t *testing.T) { f(&cluster{Lab: whole.Lab, t: t, obs: whole.obs}) })
	}
	sub("one that fails is started again, after its threshold elsewhere", func(c *cluster) {
		first := c.runs("r").Where("r")
		c.breaks("r", first)
		c.await("the resource to be started again", func(v *lab.View) bool {
			return v.Settled() && v.Where("r") == first && c.count("r", "start-end", time.Time{}) == 2
		})
		c.breaks("r", first)
		c.await("the resource to leave after two failures", func(v *lab.View) bool {
			return v.Settled() && v.Where("r") != "" && v.Where("r") != first
		})
		if n := c.count("r", "start-end", time.Time{}); n != 3 {
			c.t.Errorf("started %d times, want 3", n)
		}
	})
	sub("one that does not start goes elsewhere", func(c *cluster) {
		from := c.runs("s").Where("s")
		rest := without(names(3), from)
		heal := c.fail("s", "start", rest[0], 1)
		heal2 := c.fail("s", "start", from, 1)
		c.breaks("s", from)
		c.runs("s", rest[1])
		heal()
		heal2()
	})
	sub("one that does not stop gets its node fenced", func(c *cluster) {
		on := c.runs("u").Where("u")
		heal := c.fail("u", "stop", on, 1)
		c.breaks("u", on)
		c.runs("u", without(names(3), on)...)
		c.fencedBeforeStart(on, "u")
		heal()
		c.settled(names(3)...)
	})
}

// breaks makes a running resource fail: what it runs on is gone.
func (c *cluster) breaks(resource, node string) {
	c.t.Helper()
	c.must(os.Remove(filepath.Join(c.MustNode(node).Path("/run"), "recorder-"+resource)))
}

// TestStandby sends a node to standby and back, with the operator's tool.
func TestStandby(t *testing.T) {
	full(t)
	c := newCluster(t, 3, nil)
	c.configure(fencing, resources(power, recorder("r"), `<clone id="clones">`+recorder("clone")+`</clone>`))
	v := c.await("everything to run", func(v *lab.View) bool {
		return v.Settled() && v.Where("r") != "" && len(v.Active["clone"]) == 3
	})
	node := v.Where("r")
	_, err := c.anyNode().Run(c.ctx(), "crm_standby", "-N", node, "-v", "on")
	c.must(err)
	c.await("the node to be empty", func(v *lab.View) bool {
		return v.Settled() && v.Where("r") != "" && v.Where("r") != node && len(v.Active["clone"]) == 2
	})
	_, err = c.anyNode().Run(c.ctx(), "crm_standby", "-N", node, "-v", "off")
	c.must(err)
	c.await("the clone to be complete again", func(v *lab.View) bool {
		return v.Settled() && len(v.Active["clone"]) == 3
	})
	if e, ok := c.fencedEvent(node); ok {
		t.Errorf("standby fenced: %v", e)
	}
}
