package e2e

import (
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"linuxha/deploy/lab"
)

// hung is how long a daemon may hang before its parent replaces it: the limit
// and a look before it, and as much again for the machine that tests run on.
const hung = 25 * time.Second

// impatient has a daemon hang for 4 s only.
func impatient(o *lab.Options) { o.HACF = append(o.HACF, "env unresponsive=4s") }

// replaced waits until a node's daemon is another process than before.
func (c *cluster) replaced(node, daemon string, before int, also func(*lab.View) bool) *lab.View {
	c.t.Helper()
	v, err := c.AwaitDC(c.within(hung+patience), fmt.Sprintf("%s[%d] on %s to be replaced and everything to run", daemon, before, node), func(v *lab.View) bool {
		pid := c.pidOf(node, daemon)
		return pid != 0 && pid != before && also(v)
	})
	c.must(err)
	return v
}

// TestHungDaemons stops daemons one after the other without killing them: each
// is replaced, and the cluster works again.
func TestHungDaemons(t *testing.T) {
	full(t)
	c := newCluster(t, 3, impatient)
	c.configure(fencing, resources(power, recorder("r"), `<clone id="clones">`+recorder("clone")+`</clone>`))
	c.apart("r")
	whole := func(v *lab.View) bool {
		return lab.OnlineAre(names(3)...)(v) && v.Where("r") != "" && v.Where("power") != "" && len(v.Active["clone"]) == 3
	}
	c.await("everything to run", whole)
	for _, h := range []struct {
		daemon string
		onDC   bool
	}{{"pengine", true}, {"cib", true}, {"crmd", true}, {"stonithd", true}, {"attrd", false}, {"lrmd", false}, {"cib", false}, {"crmd", false}} {
		role := "active node"
		if h.onDC {
			role = "DC"
		}
		t.Run(h.daemon+" on the "+role, func(t *testing.T) {
			c := c.in(t)
			v := c.await("everything to run", whole)
			node := v.DC
			if !h.onDC {
				node = v.Where("r")
			}
			before := c.pidOf(node, h.daemon)
			if before == 0 {
				t.Fatalf("%s does not run on %s", h.daemon, node)
			}
			at := time.Now()
			_, err := c.MustNode(node).Signal(h.daemon, syscall.SIGSTOP)
			c.must(err)
			v = c.replaced(node, h.daemon, before, whole)
			t.Logf("recovered in %v", time.Since(at).Round(time.Millisecond))
			at = time.Now()
			c.breaks("r", v.Where("r"))
			c.await("a failure to be noticed and mended", func(v *lab.View) bool {
				return c.count("r", "start-end", at) == 1 && whole(v)
			})
			for _, e := range names(3) {
				if f, ok := c.fencedEvent(e); ok && f.At().After(at.Add(-hung)) {
					t.Errorf("%s was fenced: a daemon that hangs is replaced on its node", e)
				}
			}
		})
	}
}

// TestTheDCsFencerHangs stops the DC's fencer while it fences: the node is
// fenced all the same, in bounded time, and nothing starts before.
func TestTheDCsFencerHangs(t *testing.T) {
	full(t)
	c := newCluster(t, 3, nil)
	c.configure(fencing, resources(power, recorder("r")))
	active := c.apart("r")
	dc := c.settled(names(3)...).DC
	before := c.pidOf(dc, "stonithd")
	var once sync.Once
	stopped := make(chan error, 1)
	c.RefuseFencing(func(req lab.FenceRequest) (err error) {
		if req.Action != "reboot" && req.Action != "off" {
			return nil
		}
		once.Do(func() {
			_, serr := c.MustNode(dc).Signal("stonithd", syscall.SIGSTOP)
			stopped <- serr
			err = errors.New("the power switch hangs up")
		})
		return err
	})
	at := c.killed(active)
	select {
	case err := <-stopped:
		c.must(err)
	case <-c.ctx().Done():
		t.Fatal("nobody fences")
	}
	c.replaced(dc, "stonithd", before, func(v *lab.View) bool {
		_, ok := c.fencedEvent(active)
		return ok && v.Settled() && v.Where("r") != "" && v.Where("r") != active
	})
	c.fencedBeforeStart(active, "r")
	e, _ := c.fencedEvent(active)
	t.Logf("fenced %v after its death", e.At().Sub(at).Round(time.Millisecond))
	if took := e.At().Sub(at); took > hung+10*time.Second {
		t.Errorf("fenced %v after its death", took)
	}
	c.settled(names(3)...)
}

// TestAPausedNodeKeepsItsDaemons: a machine that was paused for longer than any
// daemon may hang has none killed when it comes to.
func TestAPausedNodeKeepsItsDaemons(t *testing.T) {
	full(t)
	c := newCluster(t, 1, impatient)
	c.configure(noFencing, resources(recorder("r")))
	c.runs("r", "node1")
	pids := map[string]int{}
	daemons := []string{"cib", "stonithd", "lrmd", "attrd", "pengine", "crmd"}
	for _, d := range daemons {
		if pids[d] = c.pidOf("node1", d); pids[d] == 0 {
			t.Fatalf("%s does not run", d)
		}
	}
	at := time.Now()
	c.must(c.MustNode("node1").Freeze())
	time.Sleep(6 * time.Second) // the pause itself: nothing to be awaited
	c.must(c.MustNode("node1").Thaw())
	c.breaks("r", "node1")
	c.await("a failure to be noticed and mended", func(v *lab.View) bool {
		return c.count("r", "start-end", at) == 1 && v.Settled() && v.Where("r") == "node1"
	})
	time.Sleep(2 * time.Second) // two looks at each
	for _, d := range daemons {
		if pid := c.pidOf("node1", d); pid != pids[d] {
			t.Errorf("%s was process %d, is %d", d, pids[d], pid)
		}
	}
}
