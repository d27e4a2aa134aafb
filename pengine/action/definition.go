package action

import (
	"strconv"

	"linuxha/pengine/state"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// CheckDefinitions looks through the history of usable nodes for what the
// configuration no longer says: changed parameters, removed operations,
// another agent, orphans (actions 6).
func CheckDefinitions(c *state.Cluster) {
	byName := map[string][]*state.Resource{}
	state.Each(c.Resources, func(r *state.Resource) {
		if r.Kind == state.Primitive {
			byName[r.ID] = append(byName[r.ID], r)
			if r.HistName != "" && r.HistName != r.ID {
				byName[r.HistName] = append(byName[r.HistName], r)
			}
		}
	})
	for _, n := range c.Nodes {
		if !n.Maintenance && !n.Usable() {
			continue
		}
		for h := range c.RecordedOn(n) {
			list := byName[h.ID]
			for i := len(list) - 1; i >= 0; i-- {
				checkHistory(c, list[i], n, h)
			}
		}
	}
}

// checkHistory handles one history entry of one resource (actions 6.2).
func checkHistory(c *state.Cluster, r *state.Resource, n *state.Node, h *state.Recorded) {
	if r.Orphan {
		if !r.Top().IsAnonymousClone() {
			cleanup(c, r, n, false)
		}
		return
	}
	active := false
	for _, x := range r.Active {
		active = active || x == n
	}
	if agentChanged(c, r, n, h, active) {
		cleanup(c, r, n, false)
	}
	if !active {
		return
	}
	ops, ok := c.SinceStart(h)
	if !ok {
		return
	}
	for _, op := range ops {
		if op.Interval > 0 && (r.Maintenance || n.Maintenance) {
			cancelRecorded(c, r, n, op, "resource or node is in maintenance mode")
			continue
		}
		switch op.Task {
		case "monitor", "start", "promote", "migrate_from":
		default:
			if op.Interval == 0 {
				continue
			}
		}
		if c.HasPlaceholderAddr(r) {
			c.Deferred = append(c.Deferred, state.DeferredCheck{Rsc: r, Node: n, Entry: op.XML})
			continue
		}
		checkAndClear(c, r, n, op)
	}
}

func checkAndClear(c *state.Cluster, r *state.Resource, n *state.Node, op state.RecordedOp) {
	if !definitionChanged(c, r, n, op) {
		return
	}
	if count, _ := c.FailCount(r, n, true, nil); count > 0 {
		c.ClearFailcount(r, n)
	}
}

func cancelRecorded(c *state.Cluster, r *state.Resource, n *state.Node, op state.RecordedOp, why string) {
	a := cancel(c, r, op.Task, op.Interval, n)
	c.Why.Need(a, why)
	a.AddMeta("call-id", op.CallID)
	c.Order(state.OpSide(r, "stop"), state.ActSide(a), plain)
}

// agentChanged compares the agent with the one in history (state 13.7).
func agentChanged(c *state.Cluster, r *state.Resource, n *state.Node, h *state.Recorded, active bool) bool {
	changed := false
	for _, same := range [...]bool{
		r.Type == h.Type && r.HasType == h.HasType,
		r.Class == h.Class && r.HasClass == h.HasClass,
		r.Provider == h.Provider && r.HasProv == h.HasProvider,
	} {
		if same {
			continue
		}
		changed = true
		c.TriggerUnfencing(r, n, "Device definition changed")
		if active {
			r.StartPending = true
		}
	}
	if changed && active {
		c.Why.Need(c.Op(r, "stop", n, false), "its agent is another one than the one it was started with")
		r.StartPending = true
	}
	return changed
}

// definitionChanged compares an operation in history with its configuration
// and schedules what follows from a difference (actions 6.3).
func definitionChanged(c *state.Cluster, r *state.Resource, n *state.Node, op state.RecordedOp) bool {
	key := state.Key(r.ID, op.Task, op.Interval)
	if op.Interval > 0 && r.FindOp(key, false) == nil {
		if c.Opts.StopOrphanActions {
			cancelRecorded(c, r, n, op, "it is no longer configured")
		}
		return true
	}
	d := c.CompareDigests(r, op.XML, n)
	if c.OnlyPrivateChanged(r, op.XML, n, d) {
		return false
	}
	switch d.Result {
	case state.DigestMatch:
		return false
	case state.DigestRestart:
		forceRestart(c, r, n, op)
		return true
	}
	_, reloadable := c.RestartDigest(op.XML)
	switch {
	case op.Interval > 0:
		c.TriggerUnfencing(r, n, "Device parameters changed (reschedule)")
		a := c.Request(r, key, op.Task, n, true)
		a.Set(state.Reschedule)
		if c.Why.Asks() {
			c.Why.Need(a, c.WhatChanged(r, op.XML, n))
		}
	case reloadable:
		c.TriggerUnfencing(r, n, "Device parameters changed (reload)")
		reload(c, r, n)
		if a := r.Act("reload-agent", n); c.Why.Asks() && a != nil {
			c.Why.Need(a, "its parameters are not those of its last "+op.Task+" on "+n.Name+", but none of those that need a restart has changed")
		}
	default:
		forceRestart(c, r, n, op)
	}
	return true
}

func forceRestart(c *state.Cluster, r *state.Resource, n *state.Node, op state.RecordedOp) {
	task := op.Task
	if op.Interval == 0 {
		switch task {
		case "monitor", "migrate_from", "promote":
			task = "start"
		}
	}
	a := c.Request(r, state.Key(r.ID, task, op.Interval), task, nil, false)
	a.Reason = "resource definition change"
	if c.Why.Asks() {
		c.Why.Need(a, c.WhatChanged(r, op.XML, n))
	}
	c.TriggerUnfencing(r, n, "Device parameters changed")
}

// reload schedules a reload of changed parameters (actions 6.3).
func reload(c *state.Cluster, r *state.Resource, n *state.Node) {
	if len(r.Children) > 0 {
		for _, k := range r.Children {
			reload(c, k, n)
		}
		return
	}
	if r.Kind != state.Primitive || n == nil || !r.Managed || r.Failed {
		return
	}
	if r.StartPending {
		c.Why.Need(c.Op(r, "stop", n, false), "its parameters changed while it was being started")
		return
	}
	r.Reload = true
	a := c.Op(r, "reload-agent", n, false)
	a.SetReason("resource definition change")
	c.Order(state.ActSide(a), state.OpSide(r, "stop"), plain|state.CancelsFirst)
	c.Order(state.ActSide(a), state.OpSide(r, "demote"), plain|state.CancelsFirst)
}

// checkDeferred makes the comparisons that had to wait for placement: the most
// recently deferred of each phase first (actions 6.6).
func checkDeferred(c *state.Cluster) {
	for _, early := range []bool{false, true} {
		for i := len(c.Deferred) - 1; i >= 0; i-- {
			d := c.Deferred[i]
			if d.Early != early {
				continue
			}
			if d.LastFailure {
				if c.LastFailureChanged(d) {
					c.ClearFailcount(d.Rsc, d.Node)
				}
				continue
			}
			checkAndClear(c, d.Rsc, d.Node, state.ReadRecordedOp(d.Entry))
		}
	}
}
