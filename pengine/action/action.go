// Package action decides which actions the planned placement needs: for each
// resource the steps from its present role to the next, probes, recurring
// operations, live migration, clean-ups; fencing and shutdown of nodes;
// notifications of clones. It orders actions only where an action's existence
// depends on it; package order makes edges of the ordering constraints.
package action

import (
	"linuxha/pengine/state"
)

const (
	infinity = state.Infinity

	plain     = state.Plain
	dragThen  = state.DragThen
	gate      = state.Gate
	needFirst = state.NeedFirst
)

// Create makes all actions after placement (actions 1.1 step 7).
func Create(c *state.Cluster) {
	checkDeferred(c)
	if c.Opts.StartupProbes {
		probeAll(c)
	}
	clearOrphanFailures(c)
	for _, r := range c.Resources {
		create(c, r)
	}
}

func create(c *state.Cluster, r *state.Resource) {
	switch r.Kind {
	case state.Primitive:
		createPrimitive(c, r)
	case state.Group:
		createGroup(c, r)
	case state.Clone:
		createClone(c, r)
	case state.Bundle:
		createBundle(c, r)
	}
}

// clearOrphanFailures forgets failures of what is no longer configured
// (actions 6.7).
func clearOrphanFailures(c *state.Cluster) {
	if !c.Opts.StopOrphans {
		return
	}
	for _, r := range c.Resources {
		if !r.Orphan || r.Kind != state.Primitive {
			continue
		}
		for _, n := range c.Nodes {
			if !n.Online {
				continue
			}
			if count, _ := c.FailCount(r, n, true, nil); count == 0 {
				continue
			}
			clear := c.ClearFailcount(r, n)
			c.Order(state.ActSide(clear), state.OpSide(r, "stop"), plain)
		}
	}
}

// cleanup schedules forgetting a resource's history on a node (actions 6.5).
func cleanup(c *state.Cluster, r *state.Resource, n *state.Node, optional bool) {
	if r.Failed || n == nil || n.Unclean || !n.Online {
		return
	}
	c.Op(r, "delete", n, optional)
	p := plain
	if optional {
		p = dragThen
	}
	c.OrderOps(r, "stop", r, "delete", p)
	c.OrderOps(r, "delete", r, "start", p)
}

// orderUnfencing puts an action after unfencing of its node (actions 12.4).
func orderUnfencing(c *state.Cluster, r *state.Resource, n *state.Node, a *state.Action, p state.Prop) {
	if n == nil || !(c.Unfencing && r.FenceDevice || r.NeedsUnfencing) {
		return
	}
	on := c.FenceOp(n, "on", true, "", false)
	state.AddEdge(on, a, p)
	if v := n.Attrs["#node-unfenced"]; v == "" || v == "0" {
		c.TriggerUnfencing(nil, n, "required by "+r.ID+" "+a.Task)
	}
}

// cancel turns a recurring operation into its cancellation (actions 6.5).
func cancel(c *state.Cluster, r *state.Resource, task string, interval int64, n *state.Node) *state.Action {
	a := c.Request(r, state.Key(r.ID, task, interval), "cancel", n, false)
	a.Task, a.CancelTask = "cancel", task
	a.AddMeta("operation", task)
	a.AddMeta("interval", itoa(interval))
	return a
}
