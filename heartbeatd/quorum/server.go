package quorum

import (
	"slices"
	"strings"
	"time"
)

// Arbiter is what a quorum server decides with: of the partitions of each
// cluster at most one has quorum at any time. It is a state machine without
// I/O.
//
// A node holds quorum by a lease: the server grants it for as long as the node
// asked, and the node counts from when it asked, so that it gives quorum up
// before the server takes it for given up. A view is granted only if all leases
// that still run are those of its members: what was in an earlier view and is
// not in this one has either come over or run out. Where nobody holds a lease,
// views that ask within Grace compete: the bigger one, then the one with more of
// those who had it last, then the one with the first name, gets it.
type Arbiter struct {
	Grace    time.Duration
	clusters map[string]*arbitration
}

type arbitration struct {
	leases     map[string]time.Time // node: until
	last       []string             // members of the view that was granted last
	candidates map[string][]string  // by view: members, while nobody has quorum
	since      time.Time            // first of them
}

// NewArbiter makes one.
func NewArbiter(grace time.Duration) *Arbiter {
	return &Arbiter{Grace: grace, clusters: map[string]*arbitration{}}
}

// Ask decides on a question whose challenge was right.
func (a *Arbiter) Ask(now time.Time, q Ask) Verdict {
	if !slices.Contains(q.Members, q.Node) {
		return Refused
	}
	c := a.clusters[q.Cluster]
	if c == nil {
		c = &arbitration{leases: map[string]time.Time{}, candidates: map[string][]string{}}
		a.clusters[q.Cluster] = c
	}
	holders := 0
	for node, until := range c.leases {
		switch {
		case !now.Before(until):
			delete(c.leases, node)
		case !slices.Contains(q.Members, node):
			return Refused // another partition has it, or has had it until just now
		default:
			holders++
		}
	}
	if holders == 0 && !c.wins(now, a.Grace, q) {
		return Wait
	}
	c.leases[q.Node] = now.Add(q.Lease)
	c.last = slices.Clone(q.Members)
	clear(c.candidates)
	return Granted
}

// wins lets views compete for a lease that nobody has.
func (c *arbitration) wins(now time.Time, grace time.Duration, q Ask) bool {
	if len(c.candidates) == 0 || now.Sub(c.since) > 2*grace+time.Second { // old ones are stale
		clear(c.candidates)
		c.since = now
	}
	c.candidates[q.View] = q.Members
	if now.Sub(c.since) < grace {
		return false
	}
	best := ""
	for view, members := range c.candidates {
		if best == "" || c.better(members, c.candidates[best]) {
			best = view
		}
	}
	return slices.Equal(c.candidates[best], q.Members)
}

func (c *arbitration) better(a, b []string) bool {
	if len(a) != len(b) {
		return len(a) > len(b)
	}
	had := func(members []string) (n int) {
		for _, m := range members {
			if slices.Contains(c.last, m) {
				n++
			}
		}
		return n
	}
	if x, y := had(a), had(b); x != y {
		return x > y
	}
	return strings.Compare(slices.Min(a), slices.Min(b)) < 0
}

// Holders are the nodes whose leases run, by cluster, for people: a cluster
// of which none holds one is there with no nodes.
func (a *Arbiter) Holders(now time.Time) map[string][]string {
	out := map[string][]string{}
	for cluster, c := range a.clusters {
		out[cluster] = nil
		for node, until := range c.leases {
			if now.Before(until) {
				out[cluster] = append(out[cluster], node)
			}
		}
		slices.Sort(out[cluster])
	}
	return out
}
