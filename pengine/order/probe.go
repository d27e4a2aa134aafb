package order

import (
	"strings"

	"linuxha/pengine/assign"
	"linuxha/pengine/internal/value"
	"linuxha/pengine/state"
)

// probeOrders puts probes before what their result may change (actions 15.3).
func (u *updater) probeOrders() {
	state.EachLeaf(u.c.Resources, func(r *state.Resource) {
		if r.Kind != state.Primitive {
			return
		}
		for _, p := range r.Acts("monitor", nil) {
			for i := len(p.After) - 1; i >= 0; i-- {
				u.visit++
				u.beforeRestarts(p, p.After[i].Then)
			}
		}
	})
	for _, o := range u.c.Orderings {
		u.beforeStops(o)
	}
}

// beforeRestarts orders a probe before the stops and demotes that starts and
// promotes after it may entail.
func (u *updater) beforeRestarts(p, a *state.Action) {
	if a.Visit == u.visit {
		return
	}
	a.Visit = u.visit
	u.c.Spend(state.WorkWalks, 1+len(a.After))
	if r := a.Rsc; r != nil && r != p.Rsc && r.Kind == state.Primitive {
		switch a.Task {
		case "start":
			for _, s := range u.real(r, "stop") {
				state.AddEdge(p, s, state.Plain)
			}
		case "promote":
			for _, d := range u.real(r, "demote") {
				state.AddEdge(p, d, state.Plain)
			}
		}
	}
	for i := len(a.After) - 1; i >= 0; i-- {
		e := a.After[i]
		if e.Orig&state.DragThen == 0 && !u.leadsIntoChild(p, a, e.Then) {
			continue
		}
		u.beforeRestarts(p, e.Then)
	}
}

// real lists a resource's actions with a task that are more than ordering
// points. It remembers them: while probes are ordered, they do not change.
func (u *updater) real(r *state.Resource, task string) []*state.Action {
	if u.reals == nil {
		u.reals = map[taskOf][]*state.Action{}
	}
	k := taskOf{r, task}
	list, known := u.reals[k]
	if !known {
		for _, a := range r.Acts(task, nil) {
			if !a.IsPseudo() {
				list = append(list, a)
			}
		}
		u.reals[k] = list
	}
	return list
}

type taskOf struct {
	rsc  *state.Resource
	task string
}

// leadsIntoChild says whether an edge goes from a collective's action to that
// of a child to be followed.
func (u *updater) leadsIntoChild(p, a, then *state.Action) bool {
	r, k := a.Rsc, then.Rsc
	if r == nil || k == nil || r.Kind == state.Primitive || p.Rsc.Parent == r || k.Parent != r || k.Kind > state.Group {
		return false
	}
	if cloneLike(r) && value.Truthy(r.Meta["interleave"]) {
		return assign.MatchInstance(u.c, p.Rsc, r, state.Unknown, false) == k
	}
	return true
}

// beforeStops orders the probes of a resource before whatever comes after its
// stop.
func (u *updater) beforeStops(o *state.Ordering) {
	r := o.First.Rsc
	if r == nil || r == o.Then.Rsc {
		return
	}
	if a := o.First.Action; a != nil {
		if a.Task != "stop" {
			return
		}
	} else if !strings.HasSuffix(o.First.Key, "_stop_0") {
		return
	}
	then := o.Then
	if then.Rsc != nil && then.Rsc == r.Container {
		if then.Action != nil && then.Action.Task == "stop" || then.Action == nil && strings.HasSuffix(then.Key, "_stop_0") {
			return
		}
	}
	probes := r.Acts("monitor", nil)
	if len(probes) == 0 {
		return
	}
	var thens []*state.Action
	switch {
	case then.Action != nil:
		thens = []*state.Action{then.Action}
	case then.Rsc != nil:
		thens = then.Rsc.FindActions(then.Key, nil)
	}
	props := state.Plain
	if o.Props == state.Utilization || o.Props == state.Anti {
		props = o.Props
	} else {
		props |= o.Props & (state.UnlessFirstMigrates | state.SameNode)
	}
	u.c.Spend(state.WorkWalks, len(probes)*len(thens))
	for _, p := range probes {
		for _, t := range thens {
			if t.Task == "stonith" && t.Meta["stonith_action"] == "on" && t.Node != nil && t.Node == p.Node {
				continue
			}
			if t.Task == "do_shutdown" && p.Node != nil && t.Node != p.Node {
				continue
			}
			state.AddEdge(p, t, props)
		}
	}
}
