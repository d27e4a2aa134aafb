package action

import (
	"slices"

	"linuxha/pengine/internal/value"
	"linuxha/pengine/state"
)

// probeAll asks nodes about resources of which nothing is known there
// (actions 7).
func probeAll(c *state.Cluster) {
	for _, n := range c.Nodes {
		if !n.Online {
			if n.IsRemote() && n.Conn != nil && connectionState(n) == connFailed {
				c.FenceNode(n, "the connection is unrecoverable", false)
			}
			continue
		}
		if n.Unclean || !n.DiscoveryEnabled {
			continue
		}
		if v, ok := n.Attrs["probe_complete"]; ok && !value.Truthy(v) {
			a := c.Request(nil, "probe_again-"+n.Name, "probe_again", n, false)
			a.AddMeta("op_no_wait", "true")
			continue
		}
		for _, r := range c.Resources {
			probe(c, r, n)
		}
	}
}

// probe schedules probes of a resource on a node; it says whether any was.
func probe(c *state.Cluster, r *state.Resource, n *state.Node) bool {
	if n.IsGuestOrRemote() {
		if r.FenceDevice || n.IsGuest() && r.ContainsGuest() || r.IsRemoteConn {
			return false
		}
	}
	switch r.Kind {
	case state.Group:
		any := false
		for _, m := range r.Children {
			any = probe(c, m, n) || any
		}
		return any
	case state.Clone:
		return probeClone(c, r, n)
	case state.Bundle:
		return probeBundle(c, r, n)
	}
	return probePrimitive(c, r, n)
}

func probePrimitive(c *state.Cluster, r *state.Resource, n *state.Node) bool {
	if !r.IsRemoteConn && r.Container != nil || r.Orphan || r.KnownOn.Has(n) {
		return false
	}
	e := r.Allowed.Get(n)
	if r.ExclusiveDiscovery || r.Top().ExclusiveDiscovery {
		if e == nil || e.Discover != state.DiscoverExclusive {
			return false
		}
	}
	if e != nil && e.Discover == state.DiscoverNever || e == nil && n.Discover == state.DiscoverNever {
		return false
	}
	top := r.Top()
	if n.IsGuest() {
		k := n.Conn.Container
		if k.Role == state.Stopped {
			if k.Assigned != nil && !k.KnownOn.Has(k.Assigned.Node) {
				c.OrderOps(k, "monitor", top, "start", plain)
			}
			return false
		}
		if containerStops(n, k) {
			c.OrderOps(k, "stop", top, "start", plain)
			return false
		}
	}
	a := c.Op(r, "monitor", n, false)
	a.Clear(state.Optional) // also of unmanaged resources
	active := slices.Contains(r.Active, n)
	switch {
	case !active:
		a.AddMeta("op_target_rc", "7")
	case r.Role == state.Promoted:
		a.AddMeta("op_target_rc", "8")
	}
	orderUnfencing(c, r, n, a, plain)
	target := top
	if r.FenceDevice && c.Unfencing || top.Kind != state.Clone {
		target = r
	}
	p := plain
	if !a.IsRunnable() && len(r.Active) == 0 {
		p |= gate
	}
	c.Order(state.ActSide(a), state.OpSide(target, "start"), p)
	c.Order(state.ActSide(a), state.Side{Rsc: target, Task: "reload-agent", Key: state.Key(r.ID, "reload-agent", 0)}, plain)
	return true
}

func containerStops(n *state.Node, k *state.Resource) bool {
	if n.RequiresReset || n.Unclean || k.Failed || k.NextRole == state.Stopped {
		return true
	}
	return len(k.Active) > 0 && k.Assigned != nil && !slices.Contains(k.Active, k.Assigned.Node)
}

// probeClone is actions 7.4.
func probeClone(c *state.Cluster, k *state.Resource, n *state.Node) bool {
	state.SortByInstance(k)
	if k.ExclusiveDiscovery {
		if e := k.Allowed.Get(n); e != nil && e.Discover != state.DiscoverExclusive {
			*e = state.Entry{}
			return false
		}
	}
	if k.Unique {
		any := false
		for _, i := range k.Children {
			any = probe(c, i, n) || any
		}
		return any
	}
	if len(k.Children) == 0 {
		return false
	}
	chosen := k.Children[0]
	found := false
	for _, i := range k.Children {
		known := false
		state.EachLeaf([]*state.Resource{i}, func(m *state.Resource) { known = known || m.KnownOn.Has(n) })
		if known {
			chosen, found = i, true
			break
		}
	}
	if !found {
		for _, i := range k.Children {
			if p := i.Location(); p != nil && p.Node == n {
				chosen = i
				break
			}
		}
	}
	return probe(c, chosen, n)
}

// probeBundle is actions 7.5.
func probeBundle(c *state.Cluster, b *state.Resource, n *state.Node) bool {
	any := false
	for _, rep := range b.Bundle.Replica {
		if rep.IP != nil {
			any = probe(c, rep.IP, n) || any
		}
		if rep.Instance != nil && rep.Node == n {
			any = probe(c, rep.Instance, n) || any
		}
		if probe(c, rep.Container, n) {
			any = true
			if b.Bundle.PerHost == 1 {
				for _, other := range b.Bundle.Replica {
					if other != rep {
						c.OrderOps(rep.Container, "monitor", other.Container, "start", plain|state.SameNode)
					}
				}
			}
		}
		if rep.Conn != nil && probe(c, rep.Conn, n) {
			any = true
			if a := rep.Conn.Act("monitor", n); a != nil {
				c.Order(state.OpSide(rep.Container, "start"), state.ActSide(a), state.ProbeGate)
			}
		}
	}
	return any
}
