package order

import (
	"linuxha/pengine/state"
)

// block keeps what must run with an action's resource from starting when the
// action cannot be done (actions 15.7).
func (u *updater) block(a *state.Action) {
	if a.Task != "start" && a.Task != "promote" || a.Rsc == nil {
		return
	}
	r := a.Rsc.Top()
	if b := a.Rsc.BundleOf(); b != nil {
		r = b
	}
	if len(r.WithThis) == 0 {
		return
	}
	for _, k := range r.Children {
		x := state.FindFirst(k.Actions, "", a.Task, nil)
		if x == nil || x.IsRunnable() {
			return
		}
	}
	for _, x := range r.WithThis {
		if x.Score < state.Infinity || a.Task == "promote" && x.PrimaryRole != state.Promoted {
			continue
		}
		u.blockDependent(x.Dependent, x.DependentRole, a.Rsc, x, a)
	}
}

func (u *updater) blockDependent(r *state.Resource, role state.Role, cause *state.Resource, x *state.Colocation, by *state.Action) {
	task := "start"
	if role == state.Promoted {
		task = "promote"
	}
	for i := len(r.Actions) - 1; i >= 0; i-- {
		a := r.Actions[i]
		if a.Task != task || !a.IsRunnable() {
			continue
		}
		a.Clear(state.Runnable)
		a.SetReason("colocation with " + cause.ID)
		u.c.Why.Act(a, state.ActCause{Flag: state.Runnable, By: by, Coloc: x})
		u.block(a)
		u.update(a)
	}
	for _, k := range r.Children {
		u.blockDependent(k, role, cause, x, by)
	}
}
