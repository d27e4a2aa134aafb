package assign

import (
	"slices"

	"linuxha/pengine/internal/value"
	"linuxha/pengine/state"
)

// primitive places a primitive (assignment 11).
func (a assigner) primitive(r *state.Resource, prefer *state.Node) *state.Placement {
	c := a.c
	if p := r.Parent; p != nil && !p.Assigning {
		a.assign(p, prefer)
	}
	if !r.Provisional {
		return r.Assigned
	}
	if r.Assigning {
		return nil
	}
	r.Assigning = true
	a.followPrimaries(r)
	for _, x := range slices.Clone(r.WithThis) {
		if influences(x, x.Primary) { // the one named, not this instance
			a.merge(x.Dependent, &r.Allowed, x, factor(x.Score), mergeActive)
		}
	}
	if r.NextRole == state.Stopped {
		c.AddScoreAll(r, -infinity, state.Cause{Kind: state.WhyTargetRole})
	} else if r.NextRole > r.Role && !c.Quorum && c.Opts.NoQuorum == state.QuorumFreeze {
		r.NextRole = r.Role
	}
	a.showScores("pcmk__primitive_assign", r)
	if c.Opts.Stonith && !c.HaveFenceDevice {
		r.Managed = false
	}
	switch {
	case !r.Managed:
		r.NextRole = r.Role
		var at *state.Placement
		if n := r.CurrentNode(); n != nil {
			at = &state.Placement{Node: n, Score: n.Score}
		}
		a.finalize(r, at, true)
		c.Why.Choose(r, state.Choice{Kind: state.ChoseUnmanaged, Node: r.CurrentNode()})
	case c.Opts.StopAll:
		a.finalize(r, nil, true)
		c.Why.Choose(r, state.Choice{Kind: state.ChoseStopAll})
	case r.Provisional:
		a.choose(r, prefer)
	}
	r.Assigning = false
	if r.IsRemoteConn {
		a.connectionPlaced(r)
	}
	return r.Assigned
}

// followPrimaries applies the colocations of r with others (assignment 11.3.1).
func (a assigner) followPrimaries(r *state.Resource) {
	for _, x := range slices.Clone(r.ThisWith) {
		var saved state.Table
		restore := x.DependentRole >= state.Promoted || x.Score < 0 && x.Score > -infinity
		if restore {
			saved = r.Allowed.Copy()
		}
		a.assign(x.Primary, nil)
		a.apply(r, x.Primary, x)
		if restore && !a.usablePlus(r.Allowed) {
			r.Allowed = saved
			a.c.Why.Ignore(r, state.Cause{Kind: state.WhyColocation, Rsc: x.Primary, Coloc: x}, "no node would be left")
		}
	}
}

// connectionPlaced tells what a connection's placement means for its node
// (assignment 11.8).
func (a assigner) connectionPlaced(r *state.Resource) {
	n := a.c.NodeByName(r.ID)
	if n == nil {
		return
	}
	if r.Assigned != nil && r.NextRole != state.Stopped {
		n.Online = true
		if n.Unseen {
			n.Unclean = false
		}
	} else {
		n.ShuttingDown = true
	}
}

// choose picks the best node of r's table (assignment 12).
func (a assigner) choose(r *state.Resource, prefer *state.Node) {
	asked := prefer
	if p2 := a.checkUtilization(r); prefer == nil {
		prefer = p2
	}
	if !r.Provisional {
		return
	}
	list := a.candidates(r.Allowed)
	if len(list) == 0 {
		a.finalize(r, nil, false)
		a.c.Why.Choose(r, state.Choice{Kind: state.ChoseNone})
		return
	}
	current := r.CurrentNode()
	if a.c.Opts.Placement == "balanced" {
		a.hashSort(list)
	}
	value.MergeSort(list, func(x, y candidate) int { return a.compareNodes(x, y, current) })
	choice := a.ranking(r, list, prefer, asked, current)
	best := list[0]
	if prefer != nil {
		if e := r.Allowed.Get(prefer); e != nil && e.Score >= best.score && e.Score >= 0 && prefer.Usable() {
			a.finalize(r, &state.Placement{Node: prefer, Score: e.Score}, false)
			a.chose(r, choice, state.ChosePreferred, candidate{prefer, e.Score})
			return
		}
	}
	how := state.ChoseBest
	if r.Parent == nil || !r.Parent.IsUniqueClone() {
		if best.score > 0 && best.node.Usable() && current != nil && current.Usable() && current.Score >= 0 {
			for _, x := range list[1:] {
				if x.score != best.score {
					break
				}
				if x.node == current {
					best, how = x, state.ChoseCurrent
					break
				}
			}
		}
	}
	a.finalize(r, &state.Placement{Node: best.node, Score: best.score}, false)
	a.chose(r, choice, how, best)
}

// finalize records a choice; nil means nowhere (assignment 12.4). For a
// collective it does so for all its children.
func (a assigner) finalize(r *state.Resource, at *state.Placement, force bool) (changed bool) {
	if len(r.Children) > 0 {
		for _, k := range r.Children {
			changed = a.finalize(k, at, force) || changed
		}
		return changed
	}
	had := r.Assigned
	if !force && at != nil && (at.Score < 0 || !at.Node.Usable() && !at.Node.IsGuest()) {
		at = nil
	}
	a.unassign(r)
	r.Provisional = false
	if at == nil {
		r.NextRole = state.Stopped
		for _, act := range r.Actions {
			switch {
			case act.Task == "stop":
				act.Clear(state.Optional)
			case act.Task == "start":
				act.Clear(state.Runnable)
			default:
				if iv, ok := act.Meta["interval"]; ok && iv != "0" && act.Meta["op_target_rc"] != "7" {
					act.Clear(state.Runnable)
				}
			}
		}
		return had != nil
	}
	r.Assigned = &state.Placement{Node: at.Node, Score: at.Score}
	at.Node.NumAssigned++
	at.Node.Assigned = append(at.Node.Assigned, r)
	consume(at.Node, r)
	if a.c.Output.Utilization {
		a.line("pcmk__finalize_assignment: " + r.ID + " utilization on " + at.Node.Name + ":" + attrsText(r.Utiliz))
	}
	return had == nil || had.Node != at.Node
}

// unassign undoes a placement (assignment 12.5).
func (a assigner) unassign(r *state.Resource) {
	if r.Assigned == nil {
		return
	}
	n := r.Assigned.Node
	r.Provisional = true
	r.Assigned = nil
	n.NumAssigned--
	if i := slices.Index(n.Assigned, r); i >= 0 {
		n.Assigned = slices.Delete(n.Assigned, i, i+1)
	}
	release(n, r)
}

// Nowhere takes a resource's placement away in a later phase, because it goes
// with an instance that first does not concern; it says whether that changed
// anything.
func Nowhere(c *state.Cluster, r *state.Resource, first *state.Action) bool {
	changed := assigner{c}.finalize(r, nil, true)
	if changed && c.Why.Asks() {
		state.EachLeaf([]*state.Resource{r}, func(m *state.Resource) {
			c.Why.Choose(m, state.Choice{Kind: state.ChoseNowhere, After: first})
		})
	}
	return changed
}
