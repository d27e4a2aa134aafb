package action

import (
	"linuxha/pengine/assign"
	"linuxha/pengine/internal/value"
	"linuxha/pengine/state"
)

// pseudo requests an ordering point of a collective.
func pseudo(c *state.Cluster, r *state.Resource, task string, optional, runnable bool) *state.Action {
	a := c.Op(r, task, nil, optional)
	a.Set(state.Pseudo)
	if runnable {
		a.Set(state.Runnable)
	}
	return a
}

// createGroup is actions 8.5.
func createGroup(c *state.Cluster, g *state.Resource) {
	for _, m := range g.Children {
		create(c, m)
	}
	for _, task := range []string{"start", "running", "stop", "stopped"} {
		pseudo(c, g, task, true, true)
	}
	if value.Truthy(g.Meta["promotable"]) {
		for _, task := range []string{"demote", "demoted", "promote", "promoted"} {
			pseudo(c, g, task, true, true)
		}
	}
}

// instanceStates says what the instances of a collective do.
type instanceStates struct{ active, starting, stopping, restarting bool }

func (s *instanceStates) look(r *state.Resource) {
	if len(r.Children) > 0 {
		for _, k := range r.Children {
			s.look(k)
		}
		return
	}
	if len(r.Active) > 0 {
		s.active = true
	}
	starting, stopping := false, false
	for _, a := range r.Actions {
		if !a.Required() {
			continue
		}
		switch a.Task {
		case "start":
			starting = starting || a.IsRunnable()
		case "stop":
			stopping = stopping || a.IsPseudo() || a.IsRunnable()
		}
	}
	s.starting = s.starting || starting
	s.stopping = s.stopping || stopping
	s.restarting = s.restarting || starting && stopping
}

// instancePseudo makes the pseudo actions around starting and stopping the
// instances (actions 8.6 steps 1 and 2).
func instancePseudo(c *state.Cluster, k *state.Resource, instances []*state.Resource) {
	var s instanceStates
	for _, i := range instances {
		create(c, i)
		s.look(i)
	}
	startOp := pseudo(c, k, "start", !s.starting, true)
	running := pseudo(c, k, "running", !s.starting, s.active || s.starting)
	if !(s.active || s.starting) {
		running.Clear(state.Runnable)
	}
	running.Priority = infinity
	var startSet, stopSet *state.NotifySet
	if k.Kind == state.Clone {
		startSet = notifySet(c, k, "start", startOp, running)
	}
	stopOp := pseudo(c, k, "stop", !s.stopping, true)
	if !s.restarting {
		stopOp.Set(state.Migratable)
	}
	stopped := pseudo(c, k, "stopped", !s.stopping, true)
	stopped.Priority = infinity
	if k.Kind == state.Clone {
		stopSet = notifySet(c, k, "stop", stopOp, stopped)
		k.Clone.Notify[0], k.Clone.Notify[1] = startSet, stopSet
		if startSet != nil && stopSet != nil {
			state.AddEdge(stopSet.PostDone, startSet.Pre, plain)
		}
	}
}

// createClone is actions 8.6.
func createClone(c *state.Cluster, k *state.Resource) {
	instancePseudo(c, k, k.Children)
	if k.Clone.Ordered {
		state.SortByInstance(k)
		chain(k)
	}
	if k.Promotable {
		createPromotable(c, k)
	}
}

// chain orders stops backwards and starts forwards over the instances.
func chain(k *state.Resource) {
	var lastStart, lastStop *state.Action
	for _, i := range k.Children {
		if a := soleRequired(i, "stop"); a != nil {
			if lastStop != nil {
				state.AddEdge(a, lastStop, plain)
			}
			lastStop = a
		}
		if a := soleRequired(i, "start"); a != nil {
			if lastStart != nil {
				state.AddEdge(lastStart, a, plain)
			}
			lastStart = a
		}
	}
}

func soleRequired(i *state.Resource, task string) *state.Action {
	list := i.Acts(task, nil)
	if len(list) == 1 && list[0].Required() {
		return list[0]
	}
	return nil
}

func createPromotable(c *state.Cluster, k *state.Resource) {
	promoting, demoting := false, false
	for _, i := range k.Children {
		create(c, i)
		state.Each([]*state.Resource{i}, func(r *state.Resource) {
			for _, a := range r.Actions {
				if a.Required() {
					promoting = promoting || a.Task == "promote"
					demoting = demoting || a.Task == "demote"
				}
			}
		})
	}
	promoteOp := pseudo(c, k, "promote", !promoting, true)
	promoted := pseudo(c, k, "promoted", !promoting, true)
	promoted.Priority = infinity
	n := &k.Clone.Notify
	n[2] = notifySet(c, k, "promote", promoteOp, promoted)
	demoteOp := pseudo(c, k, "demote", !demoting, true)
	demoted := pseudo(c, k, "demoted", !demoting, true)
	demoted.Priority = infinity
	n[3] = notifySet(c, k, "demote", demoteOp, demoted)
	if n[0] != nil {
		state.AddEdge(n[1].PostDone, n[2].Pre, plain)
		state.AddEdge(n[0].PostDone, n[2].Pre, plain)
		state.AddEdge(n[3].PostDone, n[2].Pre, plain)
		state.AddEdge(n[3].PostDone, n[0].Pre, plain)
		state.AddEdge(n[3].PostDone, n[1].Pre, plain)
	}
	for _, i := range k.Children {
		i.Priority = k.Priority
	}
}

// createBundle is actions 8.7.
func createBundle(c *state.Cluster, b *state.Resource) {
	for _, rep := range b.Bundle.Replica {
		if rep.IP != nil {
			create(c, rep.IP)
		}
		create(c, rep.Container)
		if rep.Conn != nil {
			create(c, rep.Conn)
		}
	}
	instancePseudo(c, b, assign.Instances(b))
	inner := b.Bundle.Inner
	if inner == nil {
		return
	}
	create(c, inner)
	if inner.Promotable {
		for _, task := range []string{"promote", "promoted", "demote", "demoted"} {
			a := pseudo(c, b, task, true, true)
			if task == "promoted" || task == "demoted" {
				a.Priority = infinity
			}
		}
	}
}
