package action

import (
	"slices"

	"linuxha/pengine/state"
)

// Fence makes the fencing of unclean nodes required and shuts down nodes that
// asked for it (actions 12.5).
func Fence(c *state.Cluster) {
	managed := false
	state.Each(c.Resources, func(r *state.Resource) { managed = managed || r.Managed })
	var dcFence, dcDown, last *state.Action
	var fences, downs []*state.Action
	unfenced := false
	if !managed && c.Why.Asks() {
		c.Why.Log(state.Notice, "schedule_fencing_and_shutdowns", "No fencing will be done until there are resources to manage")
	}
	for _, n := range c.Nodes {
		if n.IsGuest() {
			if n.RequiresReset && managed && c.CanFence(n) {
				fenceGuest(c, n)
			}
			continue
		}
		if managed && n.Unclean && c.CanFence(n) {
			f := c.FenceOp(n, "", false, "node is unclean", false)
			if c.Why.Asks() {
				c.Why.Log(state.Warning, "schedule_fencing", "Scheduling node "+n.Name+" for fencing")
			}
			orderFencing(c, f, n)
			if n.IsDC {
				dcFence = f
				continue
			}
			if !c.Opts.ConcurrentFencing && last != nil {
				state.AddEdge(last, f, plain)
			}
			last = f
			fences = append(fences, f)
			continue
		}
		if n.Unclean && c.Why.Asks() {
			unfenced = true
			c.Why.Log(state.Warning, "schedule_fencing_and_shutdowns", "Node "+n.Name+" is unclean but cannot be fenced")
		}
		if n.IsRemote() || !n.Online || !n.ShuttingDown {
			continue
		}
		d := shutDown(c, n)
		if n.IsDC {
			dcDown = d
		} else {
			downs = append(downs, d)
		}
	}
	if unfenced && !c.Quorum && c.Opts.NoQuorum == state.QuorumStop {
		c.Why.Log(state.Notice, "schedule_fencing_and_shutdowns", "Unclean nodes will not be fenced until quorum is attained or no-quorum-policy is set to ignore")
	}
	dc := dcFence
	if dcDown != nil {
		dc = dcDown
		for _, d := range downs {
			state.AddEdge(d, dcDown, plain)
		}
	}
	if dc == nil {
		return
	}
	if !c.Opts.ConcurrentFencing {
		fences = fences[max(0, len(fences)-1):]
	}
	for _, f := range fences {
		state.AddEdge(f, dc, plain)
	}
}

// orderFencing orders every resource's actions with the fencing of a node
// (actions 12.6).
func orderFencing(c *state.Cluster, f *state.Action, n *state.Node) {
	for _, r := range c.Resources {
		orderFencingRsc(c, r, f, n)
	}
}

func orderFencingRsc(c *state.Cluster, r *state.Resource, f *state.Action, n *state.Node) {
	if len(r.Children) > 0 {
		for _, k := range r.Children {
			orderFencingRsc(c, k, f, n)
		}
		return
	}
	if r.Kind != state.Primitive || !r.Managed {
		return
	}
	fenceStarts(r, f, n)
	fenceStops(c, r, f, n)
}

func fenceStarts(r *state.Resource, f *state.Action, n *state.Node) {
	known := r.KnownOn.Has(n)
	if p := r.Parent; !known && p != nil && p.IsAnonymousClone() {
		known = p.KnownOn.Has(n)
	}
	for i := len(r.Actions) - 1; i >= 0; i-- {
		a := r.Actions[i]
		switch a.Need {
		case state.NeedFencing:
			state.AddEdge(f, a, plain)
		case state.NeedQuorum:
			if a.Task == "start" && r.Allowed.Has(n) && !known {
				state.AddEdge(f, a, plain|gate)
			}
		}
	}
}

func fenceStops(c *state.Cluster, r *state.Resource, f *state.Action, n *state.Node) {
	top := r.Top()
	for _, s := range r.Acts("stop", n) {
		s.Set(state.Pseudo | state.Runnable)
		if r.NeedsFencing || n.IsGuest() {
			s.Set(state.ImpliedByFencing)
			logImplied(c, r, s, n)
			if !r.Bundled() {
				state.AddEdge(f, s, state.Internal)
			}
			state.AddEdge(f, newest(top, "stop", nil), state.Internal)
		}
		if r.Notify {
			notifyFenced(c, r, s, f)
		}
	}
	if n.Online && !n.Unclean && !r.Failed {
		return
	}
	for _, d := range r.Acts("demote", n) {
		d.Set(state.Pseudo | state.Runnable)
		if !r.Bundled() && (r.NeedsFencing || n.IsGuest()) {
			state.AddEdge(f, d, state.Internal|plain)
		}
	}
}

// logImplied logs that fencing a node is what stops a resource there.
func logImplied(c *state.Cluster, r *state.Resource, s *state.Action, n *state.Node) {
	switch {
	case !c.Why.Asks():
	case r.Failed:
		c.Why.Log(state.Notice, "order_stop_vs_fencing", "Stop of failed resource "+r.ID+" is implicit after "+n.Name+" is fenced")
	default:
		c.Why.Log(state.Info, "order_stop_vs_fencing", s.Key+" is implicit after "+n.Name+" is fenced")
	}
}

// fenceGuest stands for fencing a guest node by way of its container
// (actions 12.7).
func fenceGuest(c *state.Cluster, n *state.Node) {
	k := n.Conn.Container
	op := "off"
	stopOp := newest(k, "stop", nil)
	if newest(k, "start", nil) != nil {
		op = "reboot"
	}
	f := c.FenceOp(n, op, false, "guest is unclean", false)
	f.Set(state.Pseudo | state.Runnable)
	switch {
	case stopOp != nil && stopOp.IsPseudo():
		host := c.FenceOp(stopOp.Node, "", false, "", false)
		state.AddEdge(host, f, gate|dragThen)
	case stopOp != nil:
		state.AddEdge(stopOp, f, gate|dragThen)
	default:
		if s := newest(n.Conn, "stop", nil); s != nil {
			state.AddEdge(s, f, plain)
		}
	}
	orderFencing(c, f, n)
}

// shutDown is actions 12.8.
func shutDown(c *state.Cluster, n *state.Node) *state.Action {
	d := c.Request(nil, "do_shutdown-"+n.Name, "do_shutdown", n, false)
	d.AddMeta("op_no_wait", "true")
	for _, a := range slices.Backward(slices.Clone(c.Actions)) {
		r := a.Rsc
		if r == nil || a.Node != n || a.Task != "stop" {
			continue
		}
		if r.Maintenance || n.Maintenance || !r.Managed && !r.Blocked {
			continue
		}
		a.Clear(state.Optional)
		c.Why.Need(a, "the node is shutting down")
		c.Order(state.ActSide(a), state.ActSide(d), plain|gate)
	}
	return d
}
