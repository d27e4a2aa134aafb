package order

import (
	"strings"

	"linuxha/pengine/action"
	"linuxha/pengine/assign"
	"linuxha/pengine/internal/value"
	"linuxha/pengine/state"
)

func cloneLike(r *state.Resource) bool {
	return r != nil && (r.Kind == state.Clone || r.Kind == state.Bundle)
}

// interleaved says whether two collectives are ordered instance by instance
// (actions 15.5).
func interleaved(first, then *state.Action) bool {
	a, b := first.Rsc, then.Rsc
	if !cloneLike(a) || !cloneLike(b) || a == b {
		return false
	}
	r := b
	if strings.HasSuffix(then.Key, "_stop_0") || strings.HasSuffix(then.Key, "_demote_0") {
		r = a
	}
	return value.Truthy(r.Meta["interleave"])
}

// contained looks in the contained instance instead of a bundle's container
// on whose guest node the question is asked.
func contained(r *state.Resource, n *state.Node) *state.Resource {
	if rep := r.Replica; rep != nil && rep.Container == r && rep.Instance != nil && n != nil && rep.Node == n {
		return rep.Instance
	}
	return r
}

// interleave orders each instance of then's collective after the one of
// first's that goes with it (actions 15.9).
func (u *updater) interleave(first, then *state.Action, n *state.Node, filter state.Flag, p state.Prop) changes {
	var changed changes
	current := strings.HasSuffix(first.Key, "_stopped_0") || strings.HasSuffix(first.Key, "_demoted_0")
	firsts := assign.Instances(first.Rsc)
	if len(firsts) == 0 {
		return 0
	}
	task := action.MemberTask(first, firsts[0])
	for _, t := range assign.Instances(then.Rsc) {
		match := assign.MatchInstance(u.c, t, first.Rsc, state.Unknown, current)
		if match == nil {
			if !current && p&(state.Gate|state.DragThen) != 0 && assign.Nowhere(u.c, t, first) {
				changed |= changedThen
			}
			continue
		}
		from, to := match, t
		if strings.Contains(first.Task, "stop") {
			from = contained(match, n)
		}
		if strings.Contains(then.Task, "mote") {
			to = contained(t, n)
		}
		var f *state.Action
		if task != "" {
			f = state.FindFirst(from.Actions, "", task, n)
		}
		a := state.FindFirst(to.Actions, "", then.Task, n)
		if f == nil || a == nil {
			continue
		}
		u.c.Why.Inherit(first, then, f, a)
		if state.AddEdge(f, a, p) {
			changed |= changedFirst | changedThen
		}
		changed |= u.method(t, f, a, n, action.Flags(f, n), filter, p)
	}
	return changed
}
