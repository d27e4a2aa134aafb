package order

import (
	"slices"
	"strings"

	"linuxha/pengine/state"
)

// Emitted says whether an action belongs in the graph (actions 16.3).
func Emitted(a *state.Action) bool {
	r := a.Rsc
	switch {
	case !a.IsRunnable():
		return false
	case a.IsOptional() && !a.Has(state.AlwaysShow):
		return false
	case r != nil && !r.Managed && a.Task != "monitor":
		if iv, ok := a.Meta["interval"]; !ok || iv == "0" {
			return false
		}
	}
	switch {
	case a.IsPseudo() || a.Task == "stonith" || a.Task == "do_shutdown":
		return true
	case a.Node == nil:
		return false
	case a.Has(state.OnDC):
		return true
	case a.Node.IsGuest() && !a.Node.RequiresReset:
		return true
	}
	return a.Node.Online && !a.Node.Unclean
}

// Input says whether an edge makes its first action a trigger of its then
// action; it may disable the edge (actions 16.2).
func Input(a *state.Action, e *state.Edge) bool {
	f := e.First
	switch {
	case e.Props == 0:
		return false
	case !f.IsRunnable() && e.Props&^(state.Plain|state.ShowFirst|state.ShowThen) == 0:
		return false
	case !f.IsRunnable() && e.Props&state.AnyOf != 0:
		return false
	case e.Props&state.FirstMustMigrate != 0 && !f.IsRunnable():
		return false
	case e.Props&state.UnlessFirstMigrates != 0 && f.Has(state.Migratable):
		return false
	case e.Props == state.Plain && f.Has(state.Migratable) && strings.HasSuffix(f.Key, "_stop_0"):
		return false
	case e.Props == state.Utilization:
		if !loadMatters(a, f) {
			e.Props = 0
			return false
		}
		return true
	case e.Props == state.Anti:
		if f.Node != nil && a.Node != nil && f.Node != a.Node || f.IsOptional() {
			e.Props = 0
			return false
		}
		return true
	case f.Rsc != nil && f.Rsc != a.Rsc && f.Rsc.Failed && !f.Rsc.Managed && strings.HasSuffix(f.Key, "_stop_0") &&
		a.Rsc != nil && a.Rsc.Top().Kind == state.Clone:
		return false
	case f.IsOptional() && !f.Has(state.AlwaysShow) && !f.Has(state.InGraph) && !Emitted(f):
		return false
	}
	return true
}

func loadMatters(a, f *state.Action) bool {
	if f.IsOptional() {
		return false
	}
	if a.Rsc != nil && a.Task == "migrate_to" {
		return f.Node != nil && a.Rsc.Assigned != nil && f.Node == a.Rsc.Assigned.Node
	}
	return f.Node != nil && f.Node == a.Node
}

// disableInvalid removes edges that cannot hold (actions 15.8).
func (u *updater) disableInvalid() {
	for i := len(u.c.Actions) - 1; i >= 0; i-- {
		a := u.c.Actions[i]
		for j := len(a.Before) - 1; j >= 0; j-- {
			e := a.Before[j]
			f := e.First
			if e.Props&state.Internal == 0 && f.Rsc != nil && a.Rsc != nil && len(a.Rsc.Fillers) > 0 &&
				f.Node.IsGuest() && f.Node.Conn.Container == a.Rsc {
				e.Props = 0
			}
			if e.Props == state.Utilization && a.Task == "migrate_to" && u.loops(a, e) {
				e.Props = 0
			}
		}
	}
}

// loops says whether following inputs from an edge leads back to its action.
func (u *updater) loops(a *state.Action, e *state.Edge) bool {
	u.visit++
	return u.leadsTo(a, a, e)
}

func (u *updater) leadsTo(init, a *state.Action, e *state.Edge) bool {
	f := e.First
	if f.Has(state.Tracking) || !Input(a, e) {
		return false
	}
	if f == init {
		return true
	}
	if f.Visit == u.visit { // it was found not to lead there
		return false
	}
	f.Visit = u.visit
	u.c.Spend(state.WorkWalks, 1+len(f.Before))
	f.Set(state.Tracking)
	defer f.Clear(state.Tracking)
	for i := len(f.Before) - 1; i >= 0; i-- {
		if u.leadsTo(init, f, f.Before[i]) {
			return true
		}
	}
	return false
}

// Consider sorts an action's before-edges by the predecessor's id and merges
// those with the same predecessor, as happens before it is written or drawn
// (actions 16.2).
func Consider(a *state.Action) {
	if a.Considered && a.InputsOf == len(a.Before) {
		return
	}
	list := slices.Clone(a.Before)
	slices.Reverse(list)
	slices.SortStableFunc(list, func(x, y *state.Edge) int { return x.First.ID - y.First.ID })
	out := list[:0]
	for _, e := range list {
		if n := len(out); n > 0 && out[n-1].First == e.First {
			out[n-1].Props |= e.Props
			if e.Emitted {
				out[n-1].Emitted = true
			}
			continue
		}
		out = append(out, e)
	}
	a.Inputs = out
	a.Considered, a.InputsOf = true, len(a.Before)
}
