package constraint

import (
	"fmt"

	"linuxha/pengine/internal/value"
	"linuxha/pengine/state"
)

// Criteria applies to the tables of allowed nodes what is known before
// placement: locks, locations, stickiness, failures, discovery (assignment 7).
func Criteria(c *state.Cluster) {
	if c.Opts.ShutdownLock {
		for _, r := range c.Resources {
			shutdownLock(c, r)
		}
	}
	for i := len(c.Locations) - 1; i >= 0; i-- {
		applyLocation(c, c.Locations[i], c.Locations[i].Rsc, 1)
	}
	state.EachLeaf(c.Resources, func(r *state.Resource) { stickiness(c, r) })
	for _, n := range c.Nodes {
		failures := n.HasFailures()
		for _, r := range c.Resources {
			if failures {
				threshold(c, r, n)
			}
			exclusiveDiscovery(c, r, n)
		}
	}
}

// shutdownLock keeps resources where a node went down cleanly (assignment 7.1).
func shutdownLock(c *state.Cluster, r *state.Resource) {
	switch r.Kind {
	case state.Group:
		for _, k := range r.Children {
			shutdownLock(c, k)
		}
		return
	case state.Primitive:
	default:
		return
	}
	if r.FenceDevice || !r.HasClass || r.IsRemoteConn && !r.IsGuestConn() {
		return
	}
	switch {
	case r.LockNode != nil:
		if len(r.Active) > 0 {
			c.Op(r, "lrm_delete", r.LockNode, false)
			r.LockNode, r.LockTime = nil, 0
		}
	case len(r.Active) == 1:
		if n := r.Active[0]; n.ShuttingDown && !n.Unclean {
			if t, ok := value.LeadingInt(n.Attrs["shutdown"]); ok && t != 0 {
				r.LockNode, r.LockTime = n, t
			} else {
				r.LockNode, r.LockTime = n, c.NowUnix
				c.Volatile()
			}
		}
	}
	if r.LockNode == nil {
		return
	}
	if limit := c.Opts.ShutdownLockLimit; limit > 0 {
		c.ProposeRecheck(r.LockTime + limit + 1)
	}
	for _, n := range c.Nodes {
		if n.Name != r.LockNode.Name {
			c.AddScore(r, n, -infinity, state.Cause{Kind: state.WhyLock, Node: r.LockNode})
		}
	}
}

// stickiness prefers where a resource runs (assignment 7.3).
func stickiness(c *state.Cluster, r *state.Resource) {
	if r.Kind != state.Primitive || !r.Managed || r.Stickiness < 1 || len(r.Active) != 1 {
		return
	}
	n := r.Active[0]
	if !c.Opts.Symmetric && !r.Allowed.Has(n) {
		return
	}
	c.AddScore(r, n, r.Stickiness, state.Cause{Kind: state.WhyStickiness})
}

// threshold bans a resource from a node where it failed too often
// (assignment 7.4).
func threshold(c *state.Cluster, r *state.Resource, n *state.Node) {
	if len(r.Children) > 0 {
		for _, k := range r.Children {
			threshold(c, k, n)
		}
		return
	}
	if state.FindFirst(r.Actions, state.Key(r.ID, "clear_failcount", 0), "", n) != nil {
		return
	}
	if banned, reached := c.ThresholdReached(r, n); reached {
		count := 0
		if c.Why.Asks() {
			count = c.FailCountWithFillers(r, n)
			c.Why.Log(state.Warning, "pcmk__threshold_reached", fmt.Sprintf(
				"%s cannot run on %s due to reaching migration threshold (clean up resource to allow again)| failures=%d migration-threshold=%d",
				banned.ID, n.Name, count, r.Threshold))
		}
		c.AddScore(banned, n, -infinity, state.Cause{Kind: state.WhyThreshold, Rsc: r, Node: n, Base: count})
	}
}

func exclusiveDiscovery(c *state.Cluster, r *state.Resource, n *state.Node) {
	if !r.ExclusiveDiscovery && !r.Top().ExclusiveDiscovery {
		return
	}
	for _, k := range r.Children {
		exclusiveDiscovery(c, k, n)
	}
	if e := r.Allowed.Get(n); e != nil && e.Discover != state.DiscoverExclusive {
		e.Score = -infinity
		c.Why.Set(e, state.Cause{Kind: state.WhyDiscovery})
	}
}
