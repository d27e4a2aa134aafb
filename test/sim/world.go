package sim

import (
	"fmt"
	"strconv"
	"time"

	"linuxha/cib/cibdoc"
	"linuxha/cib/ops"
	"linuxha/cib/replica"
	"linuxha/crmd/te"
	frame "linuxha/internal/sim"
)

// world is what nodes with the full stack share beside the network, or keep
// over their crashes: disks, agents, the fencing devices and clients that
// change the configuration.
type world struct {
	c        *Cluster
	disks    []*frame.Disk[onDisk]
	machines []*machine
	writes   int
	replies  map[replica.ID]appointment // of primaries to other nodes
	promises *promises
}

func newWorld(c *Cluster) *world {
	w := &world{c: c, replies: map[replica.ID]appointment{}, machines: make([]*machine, len(c.nodes))}
	doc := genesis(c)
	for range c.nodes {
		w.disks = append(w.disks, frame.NewDisk(c.Sim, onDisk{doc: doc}))
	}
	w.promises = newPromises(c, w)
	c.checks = append(c.checks, w.promises)
	w.scheduleWrites()
	return w
}

// booted starts the daemons on a node.
func (w *world) booted(n *node) {
	m := newMachine(n)
	w.machines[n.index] = m
	w.start(n, m)
}

func (w *world) start(n *node, m *machine) {
	cib := startCIB(n, w.disks[n.index])
	n.attach("cib", cib, nil)
	n.attach("crmd", startCRM(n, cib, m), map[string]string{"feature_set": featureSet})
}

// crashed: the node lost power.
func (w *world) crashed(n *node) { w.disks[n.index].Crash() }

// killClient: a daemon of the node dies and is started again. The controller
// lives through the death of the CIB daemon, in our simulation by being
// started anew too.
func (w *world) killClient(n *node) {
	crm, ok := n.clients["crmd"].(*crmd)
	if !ok {
		return
	}
	cib := n.clients["cib"].(*cibd)
	both := w.c.Chance(0.5)
	w.c.Logf("   %s loses its crmd, and its cib: %v", n.name, both)
	crm.stop()
	n.detach("crmd")
	if both {
		cib.gone = true
		n.detach("cib")
		w.disks[n.index].Sync() // only the process died, not the machine
	} else {
		cib.watch = nil
	}
	n.host.After(w.c.span(3*time.Second), func() {
		m := w.machines[n.index]
		if both {
			w.start(n, m)
		} else {
			n.attach("crmd", startCRM(n, cib, m), map[string]string{"feature_set": featureSet})
		}
		n.drain()
	})
}

// fence has the target's power cut and switched on again, at the request of a
// node. It answers some time after it is done, or has failed.
func (w *world) fence(by *node, target string, generation uint64, answer func(ok bool)) {
	c := w.c
	took := c.Between(300*time.Millisecond, 3*time.Second)
	victim := c.byName[target]
	life := by.host.Life()
	reply := func(ok bool, delay time.Duration) {
		if by.host.Life() != life {
			return // who asked is gone
		}
		by.host.After(delay, func() {
			by.send("crmd", "", fenced{target, by.name, generation, ok})
			answer(ok)
			by.drain()
		})
	}
	if c.plan.Bug == StartUnfenced {
		reply(true, time.Millisecond)
	}
	fails := c.Chance(0.1)
	// The device works also when the one who asked is gone by then.
	c.After(took, func() {
		if fails {
			c.counts["fencing failed"]++
			if c.plan.Bug != StartUnfenced {
				reply(false, time.Millisecond)
			}
			return
		}
		c.counts["fencing"]++
		c.Logf("%s is fenced at the request of %s", target, by.name)
		victim.crash()
		c.After(c.Between(2*time.Second, 12*time.Second), victim.boot)
		if c.plan.Bug != StartUnfenced {
			reply(true, c.Between(time.Millisecond, 200*time.Millisecond))
		}
	})
}

// scheduleWrites has clients change the configuration now and then.
func (w *world) scheduleWrites() {
	c := w.c
	c.After(c.Between(time.Second, 8*time.Second), func() {
		if c.Elapsed() < c.plan.Length {
			w.write()
			w.scheduleWrites()
		}
	})
}

func (w *world) write() {
	c := w.c
	n := c.someNode()
	w.writes++
	key := "w" + strconv.Itoa(w.writes)
	n.host.Do(func() {
		cib, ok := n.clients["cib"].(*cibd)
		if !ok || cib.gone {
			return
		}
		change := modify("crm_config", cibdoc.E("crm_config").Add(cibdoc.E("cluster_property_set", "id", "s").Add(
			cibdoc.E("nvpair", "id", key, "name", key, "value", "1"))))
		var token uint64
		token = cib.apply("client", []ops.Change{change}, false, 20*time.Second, func(o replica.Outcome) {
			if o.RC == cibdoc.OK {
				c.counts["change acknowledged"]++
				c.saw(n, acknowledged{key, cib.by(token)})
			}
		})
		n.drain()
	})
}

// unrest says why the cluster is not at rest.
func (w *world) unrest() string {
	c := w.c
	var first replica.Status
	dc := ""
	for i, n := range c.nodes {
		cib, ok1 := n.clients["cib"].(*cibd)
		crm, ok2 := n.clients["crmd"].(*crmd)
		if !ok1 || !ok2 {
			return n.name + " lacks a daemon"
		}
		s := cib.core.Status()
		if i == 0 {
			first = s
		}
		switch {
		case !s.Ready:
			return "the CIB on " + n.name + " is not in step"
		case s.Doc.Version() != first.Doc.Version():
			return fmt.Sprintf("the CIB is at %v on %s and at %v on %s", first.Doc.Version(), c.names[0], s.Doc.Version(), n.name)
		case s.Doc.Sum() != first.Doc.Sum():
			c.Failf("the CIB %v differs between %s and %s", s.Doc.Version(), c.names[0], n.name)
			return "CIBs differ"
		}
		if crm.el.Local() {
			if dc != "" {
				return dc + " and " + n.name + " are both DC"
			}
			dc = n.name
			if crm.te.Phase() != te.PhaseIdle {
				return fmt.Sprintf("%s's transition engine is in phase %d", dc, crm.te.Phase())
			}
			if len(crm.reign.ready) != len(c.nodes) {
				return fmt.Sprintf("only %v take orders of %s", crm.reign.ready, dc)
			}
		}
	}
	if dc == "" {
		return "there is no DC"
	}
	for _, r := range resources {
		if len(w.promises.active[r]) != 1 {
			return fmt.Sprintf("%s runs on %d nodes", r, len(w.promises.active[r]))
		}
	}
	return ""
}
