package state

import (
	"strings"

	"linuxha/pengine/internal/value"
	"linuxha/pengine/internal/xmldoc"
	"linuxha/pengine/rules"
)

// readNodes reads the nodes section (state 5).
func (c *Cluster) readNodes() {
	for x := range c.sections["nodes"].Children("node") {
		id, ok := x.Get("id")
		if !ok {
			c.Notef(Error, "ignoring <node> without id")
			continue
		}
		kind := Ping
		switch t, has := x.Get("type"); {
		case !has || strings.EqualFold(t, "member"):
			kind = Member
		case strings.EqualFold(t, "remote"):
			kind = RemoteNode
		}
		name := x.Attr("uname")
		n := c.newNode(id, name, kind, c.Health.Score(x.Attr("score")))
		if kind != RemoteNode {
			c.startupFencing(n)
		}
		c.readNodeAttrs(n, x, "instance_attributes", false)
		n.Utilization = Attrs{}
		c.Rules.Unpack(x, "utilization", n.Utilization, "", false, noSubject)
	}
}

func (c *Cluster) newNode(id, name string, kind NodeKind, score int) *Node {
	n := &Node{
		Idx: len(c.ByIdx), ID: id, Name: name, Kind: kind, Score: score, DiscoveryEnabled: true,
		Attrs: Attrs{"#kind": "cluster"}, Utilization: Attrs{},
	}
	if kind == RemoteNode {
		n.Attrs["#kind"] = "remote"
		c.HaveRemotes = true
	}
	c.ByIdx = append(c.ByIdx, n)
	c.Nodes = value.InsertSorted(c.Nodes, n, func(a, b *Node) int { return value.CompareNodeNames(a.Name, b.Name) })
	return n
}

// startupFencing marks a node that no status has been seen of (state 5.2).
func (c *Cluster) startupFencing(n *Node) {
	n.Unseen = true
	n.Unclean = c.Opts.StartupFencing
}

// readNodeAttrs fills the attribute table from sets below x (state 5.3).
func (c *Cluster) readNodeAttrs(n *Node, x *xmldoc.Elem, set string, overwrite bool) {
	a := n.Attrs
	a["#uname"], a["#id"] = n.Name, n.ID
	n.Named = true
	a["#is_dc"] = "false"
	if dc, ok := c.Root.Get("dc-uuid"); ok && strings.EqualFold(dc, n.ID) {
		a["#is_dc"] = "true"
		n.IsDC = true
		c.DC = n
	}
	if c.Opts.HasClusterName {
		a["#cluster-name"] = c.Opts.ClusterName
	}
	c.Rules.Unpack(x, set, a, "", overwrite, &rules.Subject{})
	if _, ok := a["#site-name"]; !ok {
		if v, ok := a["site-name"]; ok {
			a["#site-name"] = v
		} else if c.Opts.HasClusterName {
			a["#site-name"] = c.Opts.ClusterName
		}
	}
	n.failOK = false
}

// NodeByName finds a node by name, ignoring case.
func (c *Cluster) NodeByName(name string) *Node {
	for _, n := range c.Nodes {
		if strings.EqualFold(n.Name, name) {
			return n
		}
	}
	return nil
}

// NodeByID finds a node by id, ignoring case.
func (c *Cluster) NodeByID(id string) *Node {
	for _, n := range c.Nodes {
		if strings.EqualFold(n.ID, id) {
			return n
		}
	}
	return nil
}

func (c *Cluster) nodeByIDOrName(id, name string) *Node {
	if n := c.NodeByID(id); n != nil {
		return n
	}
	return c.NodeByName(name)
}

// IsGuestOrRemote says whether the node is reached through a connection.
func (n *Node) IsGuestOrRemote() bool { return n != nil && n.Kind == RemoteNode }

// IsGuest says whether the node lives in a container.
func (n *Node) IsGuest() bool {
	return n != nil && n.Kind == RemoteNode && n.Conn != nil && n.Conn.Container != nil
}

// IsRemote says whether the node is a remote node, also an unlinked one.
func (n *Node) IsRemote() bool { return n.IsGuestOrRemote() && !n.IsGuest() }

// Usable says whether the node may run resources now (assignment 1.3.6).
func (n *Node) Usable() bool {
	return n != nil && n.Online && !n.ShuttingDown && !n.Unclean && !n.Standby && !n.Maintenance
}

// ShutdownRequested says whether the node asked to be shut down (state 8.2).
func (n *Node) ShutdownRequested() bool {
	v, ok := n.Attrs.Get("shutdown")
	return ok && v != "0"
}

// CanFence says whether the node could be fenced (state 12.2).
func (c *Cluster) CanFence(n *Node) bool {
	if n.IsGuest() {
		for _, host := range n.Conn.Container.Active {
			if !host.Online && !c.CanFence(host) {
				return false
			}
		}
		return true
	}
	if !c.Opts.Stonith || !c.HaveFenceDevice {
		return false
	}
	return c.Quorum || c.Opts.NoQuorum == QuorumIgnore || n.Online
}

// AttrFor reads a node attribute on behalf of a resource: from the host of a
// guest node where the resource asks for that (state 5.3).
func (c *Cluster) AttrFor(n *Node, name string, r *Resource) (string, bool) {
	if r != nil && n.IsGuest() && strings.EqualFold(r.Meta["container-attribute-target"], "host") {
		if active := n.Conn.Container.Active; len(active) > 0 {
			return active[0].Attrs.Get(name)
		}
		return "", false
	}
	return n.Attrs.Get(name)
}
