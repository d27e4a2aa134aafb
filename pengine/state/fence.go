package state

import (
	"fmt"
	"strconv"
	"strings"
)

// FenceNode notes that a node must be fenced (state 12.1, actions 12.2).
func (c *Cluster) FenceNode(n *Node, reason string, priorityDelay bool) {
	switch {
	case n.IsGuest():
		k := n.Conn.Container
		if !k.Failed && k.Managed {
			if c.Why.Asks() {
				c.Why.Log(Warning, "pe_fence_node", "Guest node "+n.Name+" will be fenced (by recovering its guest resource "+k.ID+"): "+reason)
			}
			n.RequiresReset = true
			k.Failed, k.MustStop = true, true
		}
	case n.Kind == RemoteNode && n.Conn != nil && n.Conn.OrphanFiller && n.Conn.Container == nil:
		n.Conn.Failed, n.Conn.MustStop = true, true
	case n.Kind == RemoteNode:
		if n.Conn == nil || n.Conn.Managed {
			n.RequiresReset = true
		}
		if c.Why.Asks() && !n.Unclean {
			c.Why.Log(Warning, "pe_fence_node", "Remote node "+n.Name+" will be fenced: "+reason)
		}
		n.Unclean = true
		c.FenceOp(n, "", true, reason, false)
	case !n.Unclean:
		n.Unclean = true
		what := " will be fenced: "
		if !c.CanFence(n) {
			what = " is unclean: "
		}
		c.Note(Warning, "pe_fence_node", "Cluster node "+n.Name+what+reason)
		c.FenceOp(n, "", true, reason, priorityDelay)
	}
}

// FenceOp returns the fence action of a node and operation, "" meaning the
// default operation (state 12.4).
func (c *Cluster) FenceOp(n *Node, op string, optional bool, reason string, priorityDelay bool) *Action {
	if op == "" {
		op = c.Opts.StonithAction
	}
	a := n.ops[op]
	if a == nil {
		a = c.Request(nil, "stonith-"+n.Name+"-"+op, "stonith", n, true)
		a.Set(Optional)
		if n.ops == nil {
			n.ops = map[string]*Action{}
		}
		n.ops[op] = a
		a.AddMeta("on_node", n.Name)
		a.AddMeta("on_node_uuid", n.ID)
		a.AddMeta("stonith_action", op)
		if c.Unfencing {
			c.unfencingDigests(a, n)
		}
	}
	_, has := a.Meta["priority-fencing-delay"]
	if c.Opts.PriorityDelay > 0 && (priorityDelay || has) {
		a.Meta["priority-fencing-delay"] = strconv.FormatInt(c.priorityDelay(n), 10)
	}
	if !optional && c.CanFence(n) {
		a.Clear(Optional)
		a.SetReason(reason)
	} else if reason != "" {
		a.SetReason(reason)
	}
	return a
}

// priorityDelay is how long fencing of n waits in favour of more important
// nodes (state 12.4).
func (c *Cluster) priorityDelay(n *Node) int64 {
	if n.Kind != Member || n.Online {
		return 0
	}
	members, online, top, low := 0, 0, 0, 0
	for _, m := range c.Nodes {
		if m.Kind != Member {
			continue
		}
		if members == 0 {
			top, low = m.Priority, m.Priority
		}
		members++
		if m.Online {
			online++
		}
		top, low = max(top, m.Priority), min(low, m.Priority)
	}
	if online > members/2 || top == low || n.Priority < top {
		return 0
	}
	return c.Opts.PriorityDelay
}

// unfencingDevice says whether a device can unfence nodes.
func unfencingDevice(r *Resource) bool {
	return r.Kind == Primitive && r.FenceDevice && (r.NeedsUnfencing || strings.EqualFold(r.Meta["provides"], "unfencing"))
}

func (c *Cluster) unfencingDigests(a *Action, n *Node) {
	var devices []*Resource
	EachLeaf(c.Resources, func(r *Resource) {
		if unfencingDevice(r) {
			devices = append(devices, r)
		}
	})
	var all, secure strings.Builder
	for i := len(devices) - 1; i >= 0; i-- {
		r := devices[i]
		agent := r.Meta["type"]
		d := c.unfencingDigest(r, agent, n)
		fmt.Fprintf(&all, "%s:%s:%s,", r.ID, agent, d.All)
		fmt.Fprintf(&secure, "%s:%s:%s,", r.ID, agent, d.Secure)
		if d.Result == DigestAll {
			a.Clear(Optional)
			c.Messages = append(c.Messages, fmt.Sprintf("notice: Unfencing Pacemaker Remote node %s because the definition of %s changed", n.Name, r.ID))
		}
	}
	a.AddMeta("digests-all", all.String())
	a.AddMeta("digests-secure", secure.String())
}

// unfencingDigest compares a device with what the node was unfenced with
// (state 12.4).
func (c *Cluster) unfencingDigest(r *Resource, agent string, n *Node) *Digest {
	d := c.digests(r, "stonith-on", 0, n, nil, true)
	seen, ok := n.Attrs.Get("#digests-all")
	switch {
	case !ok:
		d.Result = DigestUnknown
	case strings.Contains(seen, r.ID+":"+agent+":"+d.All):
		d.Result = DigestMatch
	case strings.Contains(n.Attrs["#digests-secure"], r.ID+":"+agent+":"+d.Secure):
		d.Result = DigestMatch
		c.Messages = append(c.Messages, fmt.Sprintf("Only 'private' parameters to %s for unfencing %s changed", r.ID, n.Name))
	default:
		d.Result = DigestAll
		c.Messages = append(c.Messages, fmt.Sprintf("Parameters to %s for unfencing %s changed, try '%s:%s:%s'", r.ID, n.Name, r.ID, agent, d.All))
	}
	return d
}

// TriggerUnfencing requests unfencing of a node, or of every node that may run
// the device (state 12.5). Resource and node may each be nil.
func (c *Cluster) TriggerUnfencing(r *Resource, n *Node, reason string) {
	if !c.Unfencing || r != nil && !r.FenceDevice {
		return
	}
	fit := func(n *Node) bool { return n.Online && !n.Unclean && !n.ShuttingDown }
	switch {
	case n != nil:
		if fit(n) {
			c.FenceOp(n, "on", false, reason, false)
		}
	case r != nil:
		for _, m := range c.Nodes {
			if r.Allowed.Has(m) && fit(m) {
				c.FenceOp(m, "on", false, reason, false)
			}
		}
	}
}
