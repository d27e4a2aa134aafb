package sim

import (
	"time"

	"linuxha/heartbeatd/ccm"
	"linuxha/heartbeatd/link"
)

// scheduleFaults spreads faults over the history.
func (c *Cluster) scheduleFaults(length time.Duration) {
	count := c.plan.Faults
	if count == 0 {
		count = 20 + c.Rand.IntN(20)
	}
	for range max(count, 0) {
		at := 8*time.Second + c.Between(0, length-10*time.Second)
		c.After(at, c.fault)
	}
}

// fault does one of them, at random, to nodes at random.
func (c *Cluster) fault() {
	kinds := []struct {
		name   string
		weight int
		do     func()
	}{
		{"crash", 4, c.faultCrash},
		{"restart", 3, c.faultRestart},
		{"partition", 4, c.faultPartition},
		{"cut one way", 2, c.faultOneWay},
		{"isolate", 2, c.faultIsolate},
		{"loss", 3, c.faultLoss},
		{"delay", 2, c.faultDelay},
		{"double", 1, c.faultDouble},
		{"reorder", 2, c.faultReorder},
		{"pause", 3, c.faultPause},
		{"clock jump", 1, c.faultClock},
		{"leave", 1, c.faultLeave},
		{"client", 2, c.faultClient},
	}
	total := 0
	for _, k := range kinds {
		total += k.weight
	}
	i := c.Rand.IntN(total)
	for _, k := range kinds {
		if i -= k.weight; i < 0 {
			c.faults[k.name]++
			c.Logf("-- fault: %s", k.name)
			k.do()
			return
		}
	}
}

func (c *Cluster) someNode() *node { return c.nodes[c.Rand.IntN(len(c.nodes))] }

// span is a duration that is short most of the time.
func (c *Cluster) span(longest time.Duration) time.Duration {
	d := c.Between(0, longest)
	if c.Chance(0.5) {
		d /= 8
	}
	return d + 10*time.Millisecond
}

func (c *Cluster) faultCrash() {
	n := c.someNode()
	n.crash()
	c.After(c.span(40*time.Second), n.boot)
	if c.Chance(0.15) { // the whole cluster loses power
		for _, other := range c.nodes {
			other.crash()
			c.After(c.span(20*time.Second), other.boot)
		}
	}
}

func (c *Cluster) faultRestart() {
	n := c.someNode()
	n.crash()
	c.After(c.Between(10*time.Millisecond, deadtime), n.boot)
}

func (c *Cluster) faultPartition() {
	side := make([]bool, len(c.nodes))
	for i := range side {
		side[i] = c.Chance(0.5)
	}
	c.cut(c.span(40*time.Second), func(from, to int) bool { return side[from] != side[to] })
}

func (c *Cluster) faultOneWay() {
	a, b := c.Rand.IntN(len(c.nodes)), c.Rand.IntN(len(c.nodes))
	all := c.Chance(0.3) // a is deaf
	both := c.Chance(0.3)
	c.cut(c.span(30*time.Second), func(from, to int) bool {
		return to == a && (all || from == b) || both && to == b && from == a
	})
}

func (c *Cluster) faultIsolate() {
	a := c.Rand.IntN(len(c.nodes))
	c.cut(c.span(30*time.Second), func(from, to int) bool { return (from == a) != (to == a) })
}

// cut cuts paths for a while. Cuts of several faults overlap; the first that
// ends mends them all, which is a fault of its own kind.
func (c *Cluster) cut(d time.Duration, which func(from, to int) bool) {
	var cut [][2]int
	for from := range c.nodes {
		for to := range c.nodes {
			if from != to && which(from, to) {
				c.net.Path(from, to).Cut = true
				cut = append(cut, [2]int{from, to})
				c.Logf("   cut %s>%s", c.names[from], c.names[to])
			}
		}
	}
	c.After(d, func() {
		c.Logf("   mended")
		for _, p := range cut {
			c.net.Path(p[0], p[1]).Cut = false
		}
	})
}

// some calls f for the paths that a fault is about: all, or those of one node.
func (c *Cluster) some(d time.Duration, do, undo func(from, to int)) {
	all, one := c.Chance(0.5), c.Rand.IntN(len(c.nodes))
	each := func(f func(int, int)) {
		for from := range c.nodes {
			for to := range c.nodes {
				if from != to && (all || from == one || to == one) {
					f(from, to)
				}
			}
		}
	}
	each(do)
	c.After(d, func() { each(undo) })
}

func (c *Cluster) faultLoss() {
	p := c.Rand.Float64() * 0.6
	c.some(c.span(20*time.Second),
		func(from, to int) { c.net.Path(from, to).Loss = p },
		func(from, to int) { c.net.Path(from, to).Loss = 0 })
}

func (c *Cluster) faultDelay() {
	by := c.Between(time.Millisecond, 2*time.Second)
	c.some(c.span(20*time.Second),
		func(from, to int) { c.net.Path(from, to).Jitter = by },
		func(from, to int) { c.net.Path(from, to).Jitter = 300 * time.Microsecond })
}

func (c *Cluster) faultDouble() {
	p := c.Rand.Float64()
	c.some(c.span(30*time.Second),
		func(from, to int) { c.net.Path(from, to).Double = p },
		func(from, to int) { c.net.Path(from, to).Double = 0 })
}

func (c *Cluster) faultReorder() {
	p, by := c.Rand.Float64(), c.Between(time.Millisecond, 500*time.Millisecond)
	c.some(c.span(30*time.Second),
		func(from, to int) { c.net.Path(from, to).Late, c.net.Path(from, to).LateBy = p, by },
		func(from, to int) { c.net.Path(from, to).Late = 0 })
}

func (c *Cluster) faultPause() {
	n := c.someNode()
	c.Logf("   %s is paused", n.name)
	n.host.Pause()
	c.After(c.span(25*time.Second), n.resume)
}

func (n *node) resume() {
	if n.host.Paused() {
		n.c.Logf("%s goes on after a pause", n.name)
		n.host.Resume()
	}
}

// faultClock: cores only know differences of monotonic time, so a jump shows
// in what a node writes as its wall clock.
func (c *Cluster) faultClock() {
	n := c.someNode()
	n.wall += c.Between(-time.Hour, time.Hour)
}

// faultLeave: an orderly stop, and a start later.
func (c *Cluster) faultLeave() {
	n := c.someNode()
	n.host.Do(func() {
		n.ccmStep(ccm.Left{})
		n.drain()
		n.host.After(100*time.Millisecond, func() {
			n.crash()
			c.After(c.span(20*time.Second), n.boot)
		})
	})
}

// faultClient: a client's process dies and comes back.
func (c *Cluster) faultClient() {
	n := c.someNode()
	n.host.Do(func() {
		if n.link.Status() != link.StatusActive {
			return
		}
		if c.shared != nil && c.Chance(0.7) {
			c.shared.killClient(n)
		} else if p := n.clients["probe"]; p != nil {
			n.detach("probe")
			n.host.After(c.span(4*time.Second), func() { n.attach("probe", p, nil); n.drain() })
		}
		n.drain()
	})
}

// calm ends all faults.
func (c *Cluster) calm() {
	c.Logf("-- calm")
	if !c.plan.Weather { // that stays as it is
		c.net.Heal()
	}
	for _, n := range c.nodes {
		n.resume()
		n.boot()
	}
}
