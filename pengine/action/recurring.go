package action

import (
	"linuxha/pengine/state"
)

// createRecurring schedules recurring operations (actions 9).
func createRecurring(c *state.Cluster, r *state.Resource) {
	if r.Blocked || r.Maintenance {
		return
	}
	n := assignedNode(r)
	var startOp *state.Action
	if n != nil && !n.Maintenance && (r.NextRole != state.Stopped || !r.Managed) {
		startOp = c.Op(r, "start", n, true)
	}
	for _, op := range r.Ops {
		c.Spend(state.WorkSearches, len(r.Ops))
		if !schedulable(c, r, op) {
			continue
		}
		role := state.ParseRole(op.XML.Attr("role"))
		if startOp != nil && role != state.Stopped {
			recurringActive(c, r, op, role, startOp, n)
		}
		if role == state.Stopped {
			recurringStopped(c, r, op, n)
		}
	}
}

func schedulable(c *state.Cluster, r *state.Resource, op *state.OpConf) bool {
	if op.Interval == 0 || op.ID == "" || !op.Enabled {
		return false
	}
	switch op.Name {
	case "stop", "start", "demote", "promote", "reload-agent", "migrate_to", "migrate_from":
		return false
	}
	later := false
	for _, other := range r.Ops {
		later = later || other == op
		if other != op && other.Name == op.Name && other.Interval == op.Interval {
			if later {
				op, other = other, op
			}
			c.Why.Log(state.Error, "is_op_dup", "Operation "+op.ID+" is duplicate of "+other.ID+
				" (do not use same name and interval combination more than once per resource)")
			return false
		}
	}
	return true
}

// recurringActive is actions 9.2.
func recurringActive(c *state.Cluster, r *state.Resource, op *state.OpConf, role state.Role, startOp *state.Action, n *state.Node) {
	key := state.Key(r.ID, op.Name, op.Interval)
	startFlags := Flags(startOp, nil)
	existing := state.FindExact(r.Actions, key, n)
	running := startFlags&state.Optional != 0 && len(existing) > 0
	for _, a := range existing {
		running = running && !a.Has(state.Reschedule)
	}
	if role != state.Unknown && role != r.NextRole || role == state.Unknown && r.NextRole == state.Promoted {
		if running {
			cancelForRole(c, r, op, n)
		}
		return
	}
	a := c.Request(r, key, op.Name, n, running)
	if startFlags&state.Runnable == 0 || n == nil || !n.Online || n.Unclean {
		a.Clear(state.Runnable)
	}
	if c.Why.Asks() && a.Required() && a.IsRunnable() {
		c.Why.Log(state.Info, "recurring_op_for_active", "Start "+op.XML.Attr("interval")+"-interval "+op.Name+" for "+r.ID+" on "+n.Name)
	}
	if r.NextRole == state.Promoted {
		a.AddMeta("op_target_rc", "8")
	}
	if !r.Managed {
		return
	}
	after := state.ActSide(a)
	c.Order(state.OpSide(r, "start"), after, dragThen|gate)
	c.Order(state.OpSide(r, "reload-agent"), after, dragThen|gate)
	if r.NextRole == state.Promoted {
		c.Order(state.OpSide(r, "promote"), after, plain|gate)
	} else if r.Role == state.Promoted {
		c.Order(state.OpSide(r, "demote"), after, plain|gate)
	}
}

func cancelForRole(c *state.Cluster, r *state.Resource, op *state.OpConf, n *state.Node) {
	a := cancel(c, r, op.Name, op.Interval, n)
	c.Why.Need(a, "it is meant for another role")
	before := ""
	switch r.Role {
	case state.Started, state.Unpromoted:
		switch r.NextRole {
		case state.Promoted:
			before = "promote"
		case state.Stopped:
			before = "stop"
		}
	case state.Promoted:
		before = "demote"
	}
	if before != "" {
		c.Order(state.ActSide(a), state.OpSide(r, before), gate)
	}
}

// recurringStopped is actions 9.3.
func recurringStopped(c *state.Cluster, r *state.Resource, op *state.OpConf, assigned *state.Node) {
	if !r.Unique {
		return
	}
	key := state.Key(r.ID, op.Name, op.Interval)
	for _, n := range c.Nodes {
		existing := state.FindExact(r.Actions, key, n)
		if n == assigned {
			if len(existing) > 0 {
				a := cancel(c, r, op.Name, op.Interval, n)
				c.Why.Need(a, "it is meant for nodes where the resource is stopped")
				if r.NextRole == state.Started || r.NextRole == state.Unpromoted {
					c.Order(state.ActSide(a), state.OpSide(r, "start"), gate)
				}
			}
			continue
		}
		a := c.Request(r, key, op.Name, n, len(existing) > 0)
		a.AddMeta("op_target_rc", "7")
		if r.Managed {
			for _, probe := range r.Acts("monitor", n) {
				state.AddEdge(probe, a, gate)
			}
		}
		for _, s := range state.FindExact(r.Actions, state.Key(r.ID, "stop", 0), n) {
			if !s.IsOptional() && !a.IsOptional() && !r.Managed {
				a.Set(state.Optional)
			}
			if !s.IsRunnable() {
				a.Clear(state.Runnable)
			}
			if r.Managed {
				c.Order(state.ActSide(s), state.ActSide(a), dragThen|gate)
			}
		}
		if !n.Online || n.Unclean {
			a.Clear(state.Runnable)
		}
	}
}
