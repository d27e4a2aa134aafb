// Package order turns the collected ordering constraints into edges between
// actions, and lets what is required, possible or migratable spread along them
// until nothing changes (actions 15). It creates no actions but those that an
// ordering names and nobody has requested. Package graph calls Input and
// Emitted to decide what is written.
package order

import (
	"linuxha/pengine/state"
)

type updater struct {
	c     *state.Cluster
	depth int
	steps int
	told  bool // that a limit was reached
	visit int  // number of the present walk
	reals map[taskOf][]*state.Action
}

// Apply realises all orderings (actions 15.2).
func Apply(c *state.Cluster) {
	u := &updater{c: c}
	for i, o := range c.Orderings {
		u.realise(i, o)
	}
	for i := len(c.Actions) - 1; i >= 0; i-- {
		if a := c.Actions[i]; !a.IsRunnable() && (a.Task == "start" || a.Task == "promote") {
			u.block(a)
		}
	}
	u.probeOrders()
	for i := len(c.Actions) - 1; i >= 0; i-- {
		u.update(c.Actions[i])
	}
	u.disableInvalid()
}

// actionsFor finds the actions that a side of an ordering stands for.
func actionsFor(s state.Side, r *state.Resource) []*state.Action {
	if s.Action != nil {
		return []*state.Action{s.Action}
	}
	list := r.FindActions(s.Key, nil)
	if len(list) == 0 {
		if key := state.Key(r.ID, s.Task, 0); key != s.Key {
			list = r.FindActions(key, nil)
		}
	}
	return list
}

// realise makes the edges of the i-th ordering (actions 15.1).
func (u *updater) realise(i int, o *state.Ordering) {
	first, then := o.First, o.Then
	if first.Rsc == nil && then.Rsc == nil {
		state.AddEdge(first.Action, then.Action, o.Props)
		return
	}
	var thens []*state.Action
	if then.Rsc != nil {
		thens = actionsFor(then, then.Rsc)
	} else {
		thens = []*state.Action{then.Action}
	}
	if first.Rsc == nil {
		for _, t := range thens {
			if first.Action != nil {
				state.AddEdge(first.Action, t, o.Props)
				u.c.Why.Edge(i, first.Action, t)
			} else if o.Props&state.DragThen != 0 {
				t.Clear(state.Runnable)
			}
		}
		return
	}
	firsts := actionsFor(first, first.Rsc)
	if len(firsts) == 0 {
		if first.Rsc == then.Rsc {
			return
		}
		role := first.Rsc.CurrentRole()
		if role == state.Stopped && first.Task == "stop" || role == state.Unpromoted && first.Task == "demote" {
			return
		}
		firsts = []*state.Action{u.c.Request(first.Rsc, first.Key, first.Task, nil, true)}
		if then.Rsc != nil {
			thens = actionsFor(then, then.Rsc)
		}
	}
	u.c.Spend(state.WorkEdges, len(firsts)*len(thens))
	for _, f := range firsts {
		p := o.Props
		if f.Has(state.Dangling) && f.Rsc == then.Rsc {
			p &^= state.DragThen
		}
		for _, t := range thens {
			state.AddEdge(f, t, p)
			u.c.Why.Edge(i, f, t)
		}
	}
}
