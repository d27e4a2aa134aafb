package action

import (
	"fmt"

	"linuxha/pengine/state"
)

func assignedNode(r *state.Resource) *state.Node {
	if r.Assigned == nil {
		return nil
	}
	return r.Assigned.Node
}

// createPrimitive makes a primitive's actions (actions 8.1).
func createPrimitive(c *state.Cluster, r *state.Resource) {
	next := assignedNode(r)
	if r.NextRole == state.Unknown {
		r.NextRole = state.Stopped
		if next != nil {
			r.NextRole = state.Started
		}
	}
	current := r.CurrentNode()
	all, clean := r.ActiveCount()
	for _, n := range r.Dangling {
		a := c.Op(r, "stop", n, false)
		c.Why.Need(a, "a live migration left it behind on this node")
		a.Set(state.Dangling)
		if c.Opts.RemoveAfterStop {
			cleanup(c, r, n, false)
		}
	}
	needStop, needPromote, mayMigrate := false, false, false
	moving := current != nil && next != nil && current != next && r.NextRole >= state.Started
	if moving {
		needStop = true
		if c.Why.Asks() {
			c.Why.Restart(r, state.ItMoves(current, next))
		}
		mayMigrate = canMigrate(r, current, next)
	}
	source, target := r.PartialSource, r.PartialTarget
	multiply := false
	if source != nil && target != nil && mayMigrate && all == 2 && current == source && next == target {
		multiply = false
	} else if source != nil || target != nil {
		needStop, mayMigrate = true, false
		c.Why.Restart(r, "its live migration was interrupted")
		r.PartialSource, r.PartialTarget = nil, nil
	} else if r.NeedsFencing {
		multiply = all > 1
	} else {
		multiply = clean > 1
	}
	if multiply {
		logMultiple(c, r, all, clean)
		switch r.MultiActive {
		case state.StopStart:
			needStop = true
			c.Why.Restart(r, "it is active on more than one node")
		case state.StopUnexpected:
			needStop = true
			r.StopUnexpected = true
			c.Why.Restart(r, "it is active on more than one node")
		}
	} else {
		r.StopUnexpected = false
	}
	if r.StartPending {
		c.Op(r, "start", next, true).Set(state.AlwaysShow)
	}
	switch {
	case moving:
	case r.Failed && r.MustStop:
		needStop = true
		c.Why.Restart(r, state.ItFailed)
	case r.Failed:
		needPromote = r.NextRole == state.Promoted
		c.Why.Restart(r, "it failed, and is demoted and promoted again rather than restarted")
	case r.Blocked:
		needStop = true
	case r.Role > state.Started && current != nil && next != nil:
		if c.Op(r, "start", next, true).Required() {
			needStop = true
			c.Why.Restart(r, "its start is due again")
		}
	}
	restart(c, r, next, needStop, needPromote)
	transition(c, r, next)
	createRecurring(c, r)
	if mayMigrate {
		createMigration(c, r, current, next)
	}
}

var recoveries = map[state.MultiActive]string{
	state.StopStart: "attempting recovery", state.StopOnly: "shutting it down",
	state.Block: "waiting for an administrator", state.StopUnexpected: "stopping unexpected instances",
}

// logMultiple logs that a resource runs more than once. Without fencing only
// clean nodes count.
func logMultiple(c *state.Cluster, r *state.Resource, all, clean int) {
	if !c.Why.Asks() {
		return
	}
	if !r.NeedsFencing {
		all = clean
	}
	c.Why.Log(state.Error, "pcmk__primitive_create_actions",
		fmt.Sprintf("%s resource %s might be active on %d nodes (%s)", r.Class, r.ID, all, recoveries[r.MultiActive]))
	c.Why.Log(state.Notice, "pcmk__primitive_create_actions",
		"See https://wiki.clusterlabs.org/wiki/FAQ#Resource_is_Too_Active for more information")
}

// restart makes the steps down and up again, optional unless the resource must
// be restarted (actions 8.2).
func restart(c *state.Cluster, r *state.Resource, next *state.Node, needStop, needPromote bool) {
	r.Restarting = true
	if r.Role == state.Promoted {
		demote(c, r, !needStop)
	}
	if r.Role >= state.Started {
		stop(c, r, next, !needStop)
	}
	up := func() bool { return r.Role <= r.NextRole && !r.Blocked }
	if r.Role >= state.Started && up() {
		start(c, r, next, !needStop)
		if r.Role == state.Promoted && up() {
			promote(c, r, next, !needStop && !needPromote)
		}
	}
	r.Restarting = false
}

// transition makes the required steps from the present role to the next
// (actions 8.3).
func transition(c *state.Cluster, r *state.Resource, next *state.Node) {
	role := r.Role
	for role != r.NextRole {
		switch {
		case role == state.Promoted:
			demote(c, r, false)
			role = state.Unpromoted
		case role == state.Stopped || role == state.Unknown:
			if r.NextRole == state.Stopped || r.NextRole == state.Unknown {
				return
			}
			start(c, r, next, false)
			if role = r.NextRole; role == state.Promoted {
				role = state.Unpromoted
			}
		case r.NextRole == state.Promoted:
			promote(c, r, next, false)
			role = state.Promoted
		case role == state.Started && r.NextRole == state.Unpromoted:
			return
		default:
			stop(c, r, next, false)
			role = state.Stopped
		}
	}
}

// expectedNode is where a multiply active resource may stay (actions 8.4).
func expectedNode(r *state.Resource) *state.Node {
	if r.Restarting && r.StopUnexpected && r.NextRole > state.Stopped {
		return assignedNode(r)
	}
	return nil
}

func stop(c *state.Cluster, r *state.Resource, next *state.Node, optional bool) {
	expected := expectedNode(r)
	for _, n := range r.Active {
		if n == expected {
			continue
		}
		if r.PartialTarget != nil {
			if n == r.PartialTarget && n == next {
				continue
			}
			optional = false
		}
		a := c.Op(r, "stop", n, optional)
		if r.Assigned == nil {
			a.Reason = "node availability"
		} else if r.Restarting && r.StopUnexpected {
			a.Reason = "being multiply active"
		}
		if !r.Managed {
			a.Clear(state.Runnable)
		}
		if c.Opts.RemoveAfterStop {
			cleanup(c, r, n, optional)
		}
		if r.NeedsUnfencing {
			on := c.FenceOp(n, "on", true, "", false)
			state.AddEdge(a, on, needFirst)
		}
	}
}

func start(c *state.Cluster, r *state.Resource, n *state.Node, optional bool) {
	a := c.Op(r, "start", n, true)
	orderUnfencing(c, r, n, a, dragThen)
	if a.IsRunnable() && !optional {
		a.Clear(state.Optional)
	}
	if n != nil && n == expectedNode(r) {
		a.Set(state.Pseudo)
	}
}

func promote(c *state.Cluster, r *state.Resource, n *state.Node, optional bool) {
	runnable := true
	for _, a := range state.FindExact(r.Actions, state.Key(r.ID, "start", 0), n) {
		runnable = runnable && a.IsRunnable()
	}
	if !runnable {
		for _, a := range state.FindExact(r.Actions, state.Key(r.ID, "promote", 0), n) {
			a.Clear(state.Runnable)
		}
		return
	}
	a := c.Op(r, "promote", n, optional)
	if n != nil && n == expectedNode(r) {
		a.Set(state.Pseudo)
	}
}

func demote(c *state.Cluster, r *state.Resource, optional bool) {
	expected := expectedNode(r)
	for _, n := range r.Active {
		if n != expected {
			c.Op(r, "demote", n, optional)
		}
	}
}

// canMigrate is actions 10.1.
func canMigrate(r *state.Resource, current, next *state.Node) bool {
	return r.AllowMigrate && r.Managed && !r.Failed && !r.StartPending &&
		current != nil && !current.Unclean && next != nil && !next.Unclean
}

// createMigration replaces stop and start by a live migration (actions 10.2).
func createMigration(c *state.Cluster, r *state.Resource, current, next *state.Node) {
	startOp := c.Op(r, "start", next, true)
	stopOp := c.Op(r, "stop", current, true)
	stopOp.Set(state.Migratable)
	startOp.Set(state.Migratable | state.Pseudo)
	var to *state.Action
	if r.PartialTarget == nil {
		to = c.Op(r, "migrate_to", current, true)
	}
	from := c.Op(r, "migrate_from", next, true)
	from.Set(state.Migratable)
	if to != nil {
		to.Set(state.Migratable)
		to.Need = startOp.Need
		c.OrderOps(r, "monitor", r, "migrate_to", plain)
		c.OrderOps(r, "migrate_to", r, "migrate_from", plain|state.FirstMustMigrate)
	} else {
		from.Need = startOp.Need
		c.OrderOps(r, "monitor", r, "migrate_from", plain)
	}
	c.OrderOps(r, "migrate_from", r, "stop", plain|state.FirstMustMigrate)
	c.OrderOps(r, "migrate_from", r, "start", plain|state.FirstMustMigrate|state.PseudoGate)
	if to != nil {
		to.AddMeta("migrate_source", current.Name)
		to.AddMeta("migrate_target", next.Name)
		if !r.IsRemoteConn {
			to.AddMeta("record-pending", "true")
		}
	}
	from.AddMeta("migrate_source", current.Name)
	from.AddMeta("migrate_target", next.Name)
}
