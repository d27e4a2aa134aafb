package order

import (
	"strings"

	"linuxha/pengine/action"
	"linuxha/pengine/assign"
	"linuxha/pengine/state"
)

// changes says which side of an edge was changed.
type changes uint8

const (
	changedFirst changes = 1 << iota
	changedThen
)

// maxDepth and maxSteps end a propagation that does not converge, which only
// contradictory orderings can cause.
const (
	maxDepth = 20000
	maxSteps = 100_000_000 // edges followed
)

func isAncestor(a, b *state.Resource) bool {
	for p := b.Parent; p != nil; p = p.Parent {
		if p == a {
			return true
		}
	}
	return false
}

// sharedNode is the node of an action; of a group's start the one node that
// its assigned members share.
func sharedNode(a *state.Action) *state.Node {
	if a.Rsc != nil && a.Rsc.Kind == state.Group && a.Task == "start" {
		if p := a.Rsc.Location(); p != nil {
			return p.Node
		}
		return nil
	}
	return a.Node
}

// update brings an action in line with all that come before it (actions 15.4).
func (u *updater) update(then *state.Action) {
	u.steps += 1 + len(then.Before)
	if u.depth >= maxDepth || u.steps > maxSteps {
		if !u.told {
			u.told = true
			u.c.Notef(state.Error, "orderings around "+then.Key+" contradict each other; stopped following them")
		}
		return
	}
	u.depth++
	defer func() { u.depth-- }()

	before := then.Flags
	var changed changes
	if then.Has(state.AnyGate) {
		then.AnyCount = 0
		then.AnyNeeded = max(then.AnyNeeded, 1)
		then.Clear(state.Runnable)
	}
	for i := len(then.Before) - 1; i >= 0; i-- {
		e := then.Before[i]
		f := e.First
		nf, nt := sharedNode(f), sharedNode(then)
		if e.Props&state.SameNode != 0 && nf != nil && nt != nil && nf != nt {
			e.Props = 0
			continue
		}
		changed &^= changedFirst
		if f.Rsc != nil && e.Props&state.CancelsFirst != 0 && then.Required() {
			f.Set(state.Optional)
			if f.Task == "reload-agent" {
				f.Rsc.Reload = false
			}
		}
		g := f
		if f.Rsc != nil && then.Rsc != nil && f.Rsc != then.Rsc && !isAncestor(f.Rsc, then.Rsc) {
			g = completion(f)
		}
		if g == f {
			changed |= u.apply(f, then, orderFlags(f, nt), orderFlags(then, nf), e)
		} else if state.AddEdge(g, then, e.Props) {
			changed |= changedThen
			e.Props = 0
			u.c.Why.Redirect(f, then, g)
		}
		if changed&changedFirst != 0 {
			u.updateAfter(g)
			u.update(g)
		}
	}
	if then.Has(state.AnyGate) {
		changed &^= changedThen
		if then.Flags != before {
			changed |= changedThen
		}
	}
	if changed&changedThen != 0 {
		if before&state.Runnable != 0 && !then.IsRunnable() {
			u.block(then)
		}
		u.update(then)
		u.updateAfter(then)
	}
}

func (u *updater) updateAfter(a *state.Action) {
	for i := len(a.After) - 1; i >= 0; i-- {
		u.update(a.After[i].Then)
	}
}

var completed = map[string]string{
	"start": "running", "stop": "stopped", "promote": "promoted", "demote": "demoted",
	"running": "running", "stopped": "stopped", "promoted": "promoted", "demoted": "demoted",
}

// completion is the action that stands for "a is done" to others
// (actions 15.4).
func completion(a *state.Action) *state.Action {
	r := a.Rsc
	if r.Kind == state.Primitive || strings.Contains(a.Key, "notify") || a.Interval > 0 {
		return a
	}
	task, ok := completed[a.Task]
	if !ok {
		return a
	}
	key := state.Key(r.ID, task, 0)
	if r.Notify && (r.Parent == nil || r.Kind == state.Clone && r.Parent.Kind == state.Bundle) {
		key = r.ID + "_confirmed-post_notify_" + task + "_0"
	}
	if g := state.FindFirst(r.Actions, key, "", nil); g != nil {
		return g
	}
	return a
}

// orderFlags are the flags of an action as the other side of an edge sees
// them, on the other's node.
func orderFlags(a *state.Action, n *state.Node) state.Flag {
	if a.Rsc == nil {
		return a.Flags
	}
	flags := action.Flags(a, nil)
	if n != nil && a.Rsc.Kind == state.Clone {
		onNode := action.Flags(a, n)
		flags = onNode | flags&state.Runnable
	}
	return flags
}

// apply lets one edge act, property by property (actions 15.5).
func (u *updater) apply(first, then *state.Action, ff, tf state.Flag, e *state.Edge) changes {
	var changed changes
	n := then.Node
	if e.Props&state.DragThenHere != 0 {
		e.Props = e.Props&^state.DragThenHere | state.DragThen
		n = first.Node
	}
	has := func(p state.Prop) bool { return e.Props&p != 0 }
	method := func(r *state.Resource, ff, filter state.Flag, p state.Prop) {
		if r != nil {
			changed |= u.method(r, first, then, n, ff, filter, p)
		}
	}
	tr := then.Rsc
	if has(state.DragThen) {
		if tr != nil {
			method(tr, ff&state.Optional, state.Optional, state.DragThen)
		} else if ff&state.Optional == 0 && then.IsOptional() {
			then.Clear(state.Optional)
			changed |= changedThen
		}
	}
	if has(state.Restart) {
		method(tr, ff, state.Optional|state.Runnable, state.Restart)
	}
	if has(state.NeedFirst) {
		if first.Rsc != nil {
			method(first.Rsc, ff, state.Optional, state.NeedFirst)
		} else if ff&state.Optional == 0 && first.IsRunnable() {
			first.Clear(state.Runnable)
			changed |= changedFirst
		}
	}
	if has(state.PromotedNeedFirst) {
		method(tr, ff&state.Optional, state.Optional, state.PromotedNeedFirst)
	}
	if has(state.AnyOf) {
		if tr != nil {
			method(tr, ff, state.Runnable, state.AnyOf)
		} else if ff&state.Runnable != 0 {
			then.AnyCount++
			if then.AnyCount >= then.AnyNeeded && !then.IsRunnable() {
				then.Set(state.Runnable)
				changed |= changedThen
			}
		}
	}
	if has(state.ProbeGate) && tr != nil {
		if ff&state.Runnable == 0 && first.Rsc != nil && len(first.Rsc.Active) > 0 {
			e.Props = 0
		} else {
			method(tr, ff, state.Runnable, state.Gate)
		}
	}
	if has(state.Gate) {
		if tr != nil {
			method(tr, ff, state.Runnable, state.Gate)
		} else if ff&state.Runnable == 0 && then.IsRunnable() {
			then.Clear(state.Runnable)
			changed |= changedThen
		}
	}
	if has(state.FirstMustMigrate) {
		method(tr, ff, state.Optional, state.FirstMustMigrate)
	}
	if has(state.PseudoGate) {
		method(tr, ff, state.Optional, state.PseudoGate)
	}
	if has(state.Plain) {
		method(tr, ff, state.Runnable, state.Plain)
	}
	if has(state.OneWay) {
		method(tr, ff, state.Runnable, state.OneWay)
	}
	if has(state.ShowThen) && first.IsRunnable() && ff&state.Optional == 0 {
		then.Set(state.AlwaysShow)
	}
	if has(state.ShowFirst) && tf&state.Optional == 0 {
		first.Set(state.AlwaysShow)
	}
	if e.Props&(state.DragThen|state.NeedFirst|state.Restart) != 0 && first.Rsc != nil && !first.Rsc.Managed && first.Rsc.Blocked &&
		!first.IsRunnable() && first.Task == "stop" && then.IsRunnable() {
		then.Clear(state.Runnable)
		u.c.Why.Act(then, state.ActCause{Flag: state.Runnable, By: first})
		changed |= changedThen
	}
	return changed
}

// method is the update method of a resource's variant.
func (u *updater) method(r *state.Resource, first, then *state.Action, n *state.Node, ff, filter state.Flag, p state.Prop) changes {
	switch r.Kind {
	case state.Group:
		changed := u.base(first, then, ff, filter, p)
		if then.Rsc != nil {
			for _, m := range then.Rsc.Children {
				if a := state.FindFirst(m.Actions, "", then.Task, n); a != nil {
					changed |= u.method(m, first, a, n, ff, filter, p)
				}
			}
		}
		return changed
	case state.Clone, state.Bundle:
		return u.instances(first, then, n, ff, filter, p)
	}
	return u.base(first, then, ff, filter, p)
}

// because clears a flag and says why (actions 2.7).
func (u *updater) because(a *state.Action, f state.Flag, cause *state.Action) {
	if !a.Has(f) {
		return
	}
	a.Clear(f)
	u.c.Why.Act(a, state.ActCause{Flag: f, By: cause})
	if a.Rsc == cause.Rsc {
		return
	}
	text := "unrunnable "
	if f == state.Optional {
		text = "required "
	}
	if cause.Rsc != nil {
		text += cause.Rsc.ID + " "
	}
	text += cause.Task
	if f == state.Migratable {
		a.Reason = text
	} else {
		a.SetReason(text)
	}
}

// base is the update of primitives, and the first step for collectives.
func (u *updater) base(first, then *state.Action, ff, filter state.Flag, p state.Prop) changes {
	firstBefore, thenBefore := first.Flags, then.Flags
	onOptional := filter&state.Optional != 0
	switch p {
	case state.OneWay:
		u.oneWay(first, then)
	case state.NeedFirst:
		if onOptional && thenBefore&state.Optional == 0 {
			if ff&state.Optional == 0 && first.IsOptional() {
				u.because(first, state.Optional, then)
			}
			if ff&state.Migratable != 0 && !then.Has(state.Migratable) {
				u.because(first, state.Migratable, then)
			}
		}
	case state.PromotedNeedFirst:
		if onOptional && then.Rsc != nil && then.Rsc.Role == state.Promoted && then.Required() {
			u.because(first, state.Optional, then)
			if first.Has(state.Migratable) && !then.Has(state.Migratable) {
				u.because(first, state.Migratable, then)
			}
		}
	case state.FirstMustMigrate:
		if onOptional {
			if !then.Has(state.Migratable | state.Runnable) {
				u.because(first, state.Runnable, then)
			}
			if then.Required() {
				u.because(first, state.Optional, then)
			}
		}
	case state.PseudoGate:
		if onOptional && !first.IsRunnable() {
			u.because(then, state.Migratable, first)
			then.Clear(state.Pseudo)
		}
	case state.Gate:
		if then.IsRunnable() && ff&state.Runnable == 0 {
			u.because(then, state.Runnable, first)
			u.because(then, state.Migratable, first)
		}
	case state.DragThen:
		if then.IsOptional() && ff&state.Optional == 0 && !first.Has(state.Migratable) {
			u.because(then, state.Optional, first)
		}
	case state.Restart:
		u.restartPair(first, then, filter)
	}
	var changed changes
	if then.Flags != thenBefore {
		changed |= changedThen
		if then.Rsc != nil && then.Rsc.Parent != nil {
			u.update(then)
		}
	}
	if first.Flags != firstBefore {
		changed |= changedFirst
	}
	return changed
}

func (u *updater) oneWay(first, then *state.Action) {
	if r := then.Rsc; r != nil {
		role := r.CurrentRole()
		if then.Task == "stop" && role == state.Stopped {
			return
		}
		if then.Task == "start" && then.IsOptional() && role >= state.Started && then.Node != nil &&
			len(r.Active) == 1 && r.Active[0] == then.Node {
			return
		}
	}
	if !first.IsRunnable() {
		u.because(then, state.Optional, first)
		u.because(then, state.Runnable, first)
	}
}

// restartPair is actions 15.6.
func (u *updater) restartPair(first, then *state.Action, filter state.Flag) {
	if first.Rsc == nil || then.Rsc == nil || first.Rsc.Kind != state.Primitive || then.Rsc.Kind != state.Primitive {
		return
	}
	act := filter&state.Optional != 0 && then.Required() ||
		filter&state.Runnable != 0 && !then.IsRunnable() && then.Rsc.Managed && first.Rsc == then.Rsc
	if !act {
		return
	}
	if first.IsRunnable() {
		u.because(first, state.Optional, then)
	}
	if then.Required() {
		u.because(first, state.Optional, then)
	}
	if !then.Has(state.Migratable) {
		u.because(first, state.Migratable, then)
	}
	if first.Required() && !first.IsRunnable() {
		u.because(then, state.Runnable, first)
	}
}

// instances is the update method of clones and bundles.
func (u *updater) instances(first, then *state.Action, n *state.Node, ff, filter state.Flag, p state.Prop) changes {
	if interleaved(first, then) {
		return u.interleave(first, then, n, filter, p)
	}
	changed := u.base(first, then, ff, filter, p)
	if then.Rsc == nil {
		return changed
	}
	for _, i := range assign.Instances(then.Rsc) {
		a := state.FindFirst(i.Actions, "", then.Task, n)
		if a == nil || action.Flags(a, n)&state.Runnable == 0 {
			continue
		}
		sub := u.method(i, first, a, n, ff, filter, p)
		changed |= sub
		if sub&changedThen != 0 {
			u.updateAfter(a)
		}
	}
	return changed
}
