package constraint

import (
	"linuxha/pengine/state"
)

const (
	plain     = state.Plain
	dragThen  = state.DragThen
	gate      = state.Gate
	showFirst = state.ShowFirst
	showThen  = state.ShowThen
)

// Implicit adds the orderings and colocations that resources imply by what
// they are (actions 5, assignment 8).
func Implicit(c *state.Cluster) {
	for _, r := range c.Resources {
		implicit(c, r)
	}
}

func implicit(c *state.Cluster, r *state.Resource) {
	switch r.Kind {
	case state.Primitive:
		implicitPrimitive(c, r)
	case state.Group:
		implicitGroup(c, r)
	case state.Clone:
		implicitClone(c, r)
	case state.Bundle:
		implicitBundle(c, r)
	}
}

// implicitPrimitive is actions 5.1.
func implicitPrimitive(c *state.Cluster, r *state.Resource) {
	if !r.Managed {
		return
	}
	c.OrderOps(r, "stop", r, "start", plain|dragThen|state.Restart)
	if r.Top().Promotable || r.Role == state.Promoted {
		c.OrderOps(r, "demote", r, "stop", state.PromotedNeedFirst)
		c.OrderOps(r, "start", r, "promote", gate)
	}
	c.OrderOps(r, "delete", r, "monitor", state.SameNode|state.CancelsFirst)
	if !r.FenceDevice && c.Unfencing && r.NeedsUnfencing {
		for _, n := range allowedNodes(c, r) {
			on := c.FenceOp(n, "on", true, "", false)
			c.Order(state.OpSide(r, "stop"), state.ActSide(on), plain|state.SameNode)
			c.Order(state.ActSide(on), state.OpSide(r, "start"), state.DragThenHere|state.SameNode)
		}
	}
	if len(r.Utiliz) > 0 && c.Opts.Placement != "default" {
		implicitUtilization(c, r)
	}
	if k := r.Container; k != nil {
		implicitContained(c, r, k)
	}
	if r.IsRemoteConn || r.FenceDevice {
		banRemote(c, r)
	}
}

func allowedNodes(c *state.Cluster, r *state.Resource) []*state.Node {
	var list []*state.Node
	for _, n := range c.Nodes {
		if r.Allowed.Has(n) {
			list = append(list, n)
		}
	}
	return list
}

// banRemote keeps r off nodes that have a connection.
func banRemote(c *state.Cluster, r *state.Resource) {
	for _, n := range c.Nodes {
		if e := r.Allowed.Get(n); e != nil && n.Conn != nil {
			e.Score = -infinity
			c.Why.Set(e, state.Cause{Kind: state.WhyGuest, Rsc: n.Conn})
		}
	}
}

// implicitUtilization orders stops before the starts that need their capacity
// (actions 5.2).
func implicitUtilization(c *state.Cluster, r *state.Resource) {
	gateFor := func(n *state.Node) *state.Action {
		name := "load_stopped_" + n.Name
		a := c.GlobalAction(name)
		if a == nil {
			a = c.PseudoAction(name)
			a.Node = n
			a.Clear(state.Optional)
		}
		return a
	}
	for _, n := range r.Active {
		c.Order(state.OpSide(r, "stop"), state.ActSide(gateFor(n)), state.Utilization)
	}
	for _, n := range allowedNodes(c, r) {
		g := gateFor(n)
		c.Order(state.ActSide(g), state.OpSide(r, "start"), state.Utilization)
		c.Order(state.ActSide(g), state.OpSide(r, "migrate_to"), state.Utilization)
	}
}

// implicitContained ties a resource to its container (actions 5.1 step 6).
func implicitContained(c *state.Cluster, r, k *state.Resource) {
	if r.IsRemoteConn {
		if !r.AllowRemoteRemotes {
			banRemote(c, k)
		}
		c.OrderOps(k, "monitor", r, "stop", plain)
	} else {
		conn := k.GuestConnOf()
		if k.IsRemoteConn {
			conn = k
		}
		if conn != nil {
			for _, n := range c.Nodes {
				if e := r.Allowed.Get(n); e != nil && n.Conn != conn {
					e.Score = -infinity
					c.Why.Set(e, state.Cause{Kind: state.WhyContainer, Rsc: k})
				}
			}
			return
		}
	}
	c.OrderOps(k, "start", r, "start", dragThen|gate)
	c.OrderOps(r, "stop", k, "stop", state.NeedFirst)
	score := infinity
	if r.Bundled() {
		score = 10000
	}
	Colocate(c, &state.Colocation{ID: "resource-with-container", Dependent: r, Primary: k, Score: score, Influence: true})
}

// implicitGroup is actions 5.5.
func implicitGroup(c *state.Cluster, g *state.Resource) {
	ordered, promotable := g.Group.Ordered, g.Top().Promotable
	c.OrderOps(g, "stop", g, "stopped", gate)
	c.OrderOps(g, "stopped", g, "start", plain)
	c.OrderOps(g, "start", g, "running", gate)
	var prev, lastActive *state.Resource
	for _, m := range g.Children {
		implicit(c, m)
		if prev != nil && g.Group.Colocated {
			Colocate(c, &state.Colocation{
				ID: "group:internal_colocation", Dependent: m, Primary: prev, Score: infinity, Influence: m.Critical,
			})
		}
		down, afterDown := showFirst, showThen
		if prev == nil && ordered {
			down |= plain
			afterDown = dragThen
		}
		if promotable {
			c.OrderOps(g, "demote", m, "demote", down)
			c.OrderOps(m, "demote", g, "demoted", afterDown)
			c.OrderOps(m, "promote", g, "promoted", gate|dragThen|showThen)
			c.OrderOps(g, "promote", m, "promote", showFirst)
		}
		c.OrderOps(g, "stop", m, "stop", down)
		c.OrderOps(m, "stop", g, "stopped", afterDown)
		c.OrderOps(g, "start", m, "start", showFirst)
		c.OrderOps(m, "start", g, "running", gate|dragThen|showThen)
		if !ordered { // matters only where the member's action did not exist before
			c.OrderOps(g, "start", m, "start", dragThen|gate|showFirst)
			if promotable {
				c.OrderOps(g, "promote", m, "promote", dragThen|gate|showFirst)
			}
		}
		if ordered && prev != nil {
			c.OrderOps(prev, "start", m, "start", dragThen|gate)
			c.OrderOps(m, "stop", prev, "stop", plain|state.Restart)
			if promotable {
				c.OrderOps(prev, "promote", m, "promote", dragThen|gate)
				c.OrderOps(m, "demote", prev, "demote", plain)
			}
		}
		if len(m.Active) > 0 {
			if ordered && prev != nil && len(prev.Active) == 0 && lastActive != nil {
				c.OrderOps(m, "stop", lastActive, "stop", plain)
			}
			lastActive = m
		}
		prev = m
	}
}

// implicitClone is actions 5.6.
func implicitClone(c *state.Cluster, k *state.Resource) {
	ordered := k.Clone.Ordered
	if ordered {
		state.SortByInstance(k)
	}
	c.OrderOps(k, "stopped", k, "start", plain)
	c.OrderOps(k, "start", k, "running", gate)
	c.OrderOps(k, "stop", k, "stopped", gate)
	if k.Promotable {
		c.OrderOps(k, "demoted", k, "stop", plain)
		c.OrderOps(k, "running", k, "promote", gate)
	}
	var prev *state.Resource
	for _, i := range k.Children {
		implicit(c, i)
		c.OrderOps(k, "start", i, "start", gate|showFirst)
		c.OrderOps(i, "start", k, "running", showThen)
		if ordered && prev != nil {
			c.OrderOps(prev, "start", i, "start", plain)
		}
		c.OrderOps(k, "stop", i, "stop", showFirst)
		c.OrderOps(i, "stop", k, "stopped", showThen)
		if ordered && prev != nil {
			c.OrderOps(i, "stop", prev, "stop", plain)
		}
		prev = i
	}
	if !k.Promotable {
		return
	}
	promotableOrder(c, k)
	prev = nil
	for _, i := range k.Children {
		c.OrderOps(i, "demote", i, "promote", plain)
		c.OrderOps(k, "promote", i, "promote", plain)
		c.OrderOps(i, "promote", k, "promoted", plain)
		if ordered && prev != nil {
			c.OrderOps(prev, "promote", i, "promote", plain)
		}
		c.OrderOps(k, "demote", i, "demote", showFirst)
		c.OrderOps(i, "demote", k, "demoted", showThen)
		if ordered && prev != nil {
			c.OrderOps(i, "demote", prev, "demote", plain)
		}
		prev = i
	}
}

// promotableOrder are the plain orderings between a promotable collective's
// own actions.
func promotableOrder(c *state.Cluster, k *state.Resource) {
	for _, o := range [][2]string{
		{"stopped", "start"},
		{"stopped", "promote"},
		{"demoted", "stop"},
		{"demoted", "start"},
		{"demoted", "promote"},
		{"running", "promote"},
		{"demote", "demoted"},
	} {
		c.OrderOps(k, o[0], k, o[1], plain)
	}
}

// implicitBundle is actions 5.7.
func implicitBundle(c *state.Cluster, b *state.Resource) {
	inner := b.Bundle.Inner
	if inner != nil {
		running, stopped := "running", "stopped"
		if len(inner.Children) == 0 {
			running, stopped = "start", "stop"
		}
		c.OrderOps(b, "start", inner, "start", showFirst)
		c.OrderOps(b, "stop", inner, "stop", showFirst)
		c.OrderOps(inner, running, b, "running", showThen)
		c.OrderOps(inner, stopped, b, "stopped", showThen)
	}
	for _, rep := range b.Bundle.Replica {
		k := rep.Container
		implicit(c, k)
		c.OrderOps(b, "start", k, "start", gate|showFirst)
		if rep.Instance != nil {
			c.OrderOps(b, "stop", rep.Instance, "stop", showFirst)
		}
		c.OrderOps(b, "stop", k, "stop", showFirst)
		c.OrderOps(k, "start", b, "running", showThen)
		c.OrderOps(k, "stop", b, "stopped", showThen)
		if rep.IP != nil {
			implicit(c, rep.IP)
			c.OrderOps(rep.IP, "start", k, "start", gate|state.Internal)
			c.OrderOps(k, "stop", rep.IP, "stop", state.NeedFirst|state.Internal)
			Colocate(c, &state.Colocation{ID: "ip-with-docker", Dependent: rep.IP, Primary: k, Score: infinity, Influence: true})
		}
		if rep.Conn != nil {
			implicit(c, rep.Conn)
		}
	}
	if inner != nil {
		implicit(c, inner)
		if inner.Promotable {
			promotableOrder(c, b)
			c.OrderOps(inner, "demoted", b, "demoted", showThen)
			c.OrderOps(b, "demote", inner, "demote", showFirst)
			c.OrderOps(inner, "promoted", b, "promoted", showThen)
			c.OrderOps(b, "promote", inner, "promote", showFirst)
		}
	}
}
