package state

import (
	"strings"

	"linuxha/pengine/internal/value"
	"linuxha/pengine/internal/xmldoc"
)

// readStatus reads the status section: first what concerns nodes, then history
// in repeated passes, because what runs on guest and remote nodes depends on
// the history of others (state 8, 9.1).
func (c *Cluster) readStatus() {
	status := c.sections["status"]
	if status != nil {
		for _, k := range status.Kids {
			switch k.Name {
			case "tickets":
				for t := range k.Children("ticket_state") {
					c.readTicket(t)
				}
			case "node_state":
				c.readNodeState(k)
			}
		}
		for c.historyPass(status, false) {
		}
		c.historyPass(status, c.Opts.Stonith)
	}
	for i := len(c.containerStops) - 1; i >= 0; i-- {
		k := c.containerStops[i]
		if n := k.CurrentNode(); n != nil {
			c.Op(k, "stop", n, false)
		}
	}
	for _, n := range c.Nodes {
		if !n.IsGuestOrRemote() {
			continue
		}
		if !n.unpacked {
			c.remoteStatus(n)
		}
		if n.ShuttingDown && n.Conn != nil {
			n.Conn.NextRole = Stopped
		}
	}
}

func (c *Cluster) readTicket(x *xmldoc.Elem) {
	id, ok := x.Get("id")
	if !ok || id == "" {
		return
	}
	t := c.EnsureTicket(id)
	for name, v := range x.Attrs() {
		if name != "id" {
			t.Attrs[name] = v
		}
	}
	t.Granted = value.Truthy(t.Attrs["granted"])
	t.Standby = value.Truthy(t.Attrs["standby"])
	t.LastGranted, _ = value.Epoch(t.Attrs["last-granted"])
}

// EnsureTicket returns a ticket, made as not granted if it is unknown.
func (c *Cluster) EnsureTicket(id string) *Ticket {
	t := c.Tickets[id]
	if t == nil {
		t = &Ticket{ID: id, LastGranted: -1, Attrs: Attrs{}}
		c.Tickets[id] = t
	}
	return t
}

func (c *Cluster) stateNode(x *xmldoc.Elem) *Node {
	id, ok1 := x.Get("id")
	name, ok2 := x.Get("uname")
	if !ok1 || !ok2 {
		return nil
	}
	return c.nodeByIDOrName(id, name)
}

// readNodeState decides whether a node is online and clean (state 8).
func (c *Cluster) readNodeState(x *xmldoc.Elem) {
	n := c.stateNode(x)
	if n == nil {
		if x.Attr("uname") == "" {
			c.Note(Warning, "unpack_node_state", "Ignoring malformed node_state entry without uname")
			return
		}
		c.Note(Warning, "unpack_node_state", "Ignoring recorded node state for '"+x.Attr("uname")+"' because it is no longer in the configuration")
		return
	}
	if n.IsGuestOrRemote() {
		n.WasFenced = value.Bounded(x.Attr("node_fenced"), 0) > 0
		return
	}
	n.Unclean, n.Unseen = false, false
	c.readNodeAttrs(n, x.Child("transient_attributes"), "instance_attributes", true)
	if value.Truthy(n.Attrs["standby"]) {
		n.Standby = true
	}
	if value.Truthy(n.Attrs["maintenance"]) {
		n.Maintenance = true
	}
	c.determineOnline(x, n)
	if !c.Quorum && n.Online && c.Opts.NoQuorum == QuorumSuicide {
		c.FenceNode(n, "cluster does not have quorum", false)
	}
}

// determineOnline applies the membership attributes (state 8.3).
func (c *Cluster) determineOnline(x *xmldoc.Elem, n *Node) {
	join := x.Attr("join")
	exp, hasExp := x.Get("expected")
	if !hasExp {
		exp = "down"
	}
	inCCM, hasCCM := x.Get("in_ccm")
	in := value.Truthy(inCCM)
	peer := strings.EqualFold(x.Attr("crmd"), "online")
	n.ShuttingDown = n.ShutdownRequested()
	n.ExpectedUp = strings.EqualFold(exp, "member") && !n.ShuttingDown
	if n.Kind == Ping {
		n.Online, n.Unclean = false, false
		return
	}
	if c.Opts.Stonith {
		c.onlineWithFencing(n, join, exp, in, hasCCM, peer)
	} else {
		switch {
		case !in:
			n.Online = false
		case peer:
			n.Online = strings.EqualFold(join, "member")
		case !n.ExpectedUp:
			n.Online = false
		default:
			c.FenceNode(n, "peer is unexpectedly down", false)
			n.Online = false
		}
	}
	if !n.Online || n.ShuttingDown {
		n.Score = -Infinity
	}
	c.logOnline(n)
}

func (c *Cluster) onlineWithFencing(n *Node, join, exp string, in, hasCCM, peer bool) {
	is := strings.EqualFold
	t := n.Attrs["terminate"]
	terminate := value.Truthy(t) || t != "" && t[0] >= '1' && t[0] <= '9'
	n.Online = in
	switch {
	case n.ShuttingDown:
		n.Online = peer
	case !hasCCM:
		c.FenceNode(n, "peer has not been seen by the cluster", false)
	case is(join, "banned"):
		c.FenceNode(n, "peer failed Pacemaker membership criteria", false)
	case !terminate && is(exp, "down"):
		if in || peer {
			n.Standby, n.Pending = true, true
		}
	case terminate && is(join, "down") && !in && !peer:
		n.Online = false
	case !in:
		c.FenceNode(n, "peer is no longer part of the cluster", true)
	case !peer:
		c.FenceNode(n, "peer process is no longer available", false)
	case terminate:
		c.FenceNode(n, "termination was requested", false)
	case is(join, "member"):
	case is(join, "pending") || is(join, "down"):
		n.Standby, n.Pending = true, true
	default:
		c.FenceNode(n, "peer was in an unknown state", false)
	}
}

// remoteStatus decides whether a guest or remote node is online (state 8.4).
func (c *Cluster) remoteStatus(n *Node) {
	conn := n.Conn
	if conn == nil {
		n.Online = false
		return
	}
	k := conn.Container
	var host *Node
	if k != nil && len(conn.Active) == 1 {
		host = conn.Active[0]
	}
	if conn.Role == Started {
		n.Online = true
		if conn.NextRole == Stopped {
			n.ShuttingDown = true
		}
	}
	switch {
	case k != nil && k.Failed:
		n.Online, n.RequiresReset = false, true
	case conn.Failed:
		n.Online = false
	case conn.Role == Stopped || k != nil && k.Role == Stopped:
		n.Online, n.RequiresReset = false, false
	case host != nil && !host.Online && host.Unclean:
		n.Online, n.RequiresReset = false, true
	}
}

// remoteState adds what a node_state says about a guest or remote node.
func (c *Cluster) remoteState(n *Node, x *xmldoc.Elem) {
	c.remoteStatus(n)
	n.RecordedMaintenance = value.Bounded(x.Attr("node_in_maintenance"), 0) > 0
	if !n.RequiresReset {
		n.Unclean, n.Unseen = false, false
	}
	c.readNodeAttrs(n, x.Child("transient_attributes"), "instance_attributes", true)
	if n.ShutdownRequested() {
		n.ShuttingDown = true
	}
	if value.Truthy(n.Attrs["standby"]) {
		n.Standby = true
	}
	if value.Truthy(n.Attrs["maintenance"]) || n.Conn != nil && !n.Conn.Managed {
		n.Maintenance = true
	}
	if v, ok := n.Attrs["resource-discovery-enabled"]; ok && !value.Truthy(v) {
		if !n.IsRemote() || c.Opts.Stonith {
			n.DiscoveryEnabled = false
		}
	}
}

// historyPass unpacks the history of every node that qualifies now; it says
// whether there was any.
func (c *Cluster) historyPass(status *xmldoc.Elem, fence bool) bool {
	any := false
	for x := range status.Children("node_state") {
		n := c.stateNode(x)
		if n == nil || n.unpacked {
			continue
		}
		if !fence && !c.historyQualifies(n) {
			continue
		}
		any = true
		n.unpacked = true
		if n.IsGuestOrRemote() {
			c.remoteState(n, x)
		}
		c.nodeHistory(n, x)
	}
	return any
}

func (c *Cluster) historyQualifies(n *Node) bool {
	switch {
	case n.IsGuest():
		return n.Conn.Role == Started && n.Conn.Container.Role == Started
	case n.IsGuestOrRemote():
		return n.Conn != nil && (c.Opts.ShutdownLock || n.Conn.Role == Started)
	}
	return c.Opts.Stonith || c.Opts.ShutdownLock || n.Online
}

// nodeHistory unpacks the recorded operations of a node (state 9.1).
func (c *Cluster) nodeHistory(n *Node, x *xmldoc.Elem) {
	var fillers []*xmldoc.Elem
	for l := range x.Child("lrm").Child("lrm_resources").Children("lrm_resource") {
		r := c.resourceHistory(n, l)
		if r != nil && r.Orphan {
			if _, ok := l.Get("container"); ok {
				fillers = append(fillers, l)
			}
		}
	}
	for _, l := range fillers {
		id := l.Attr("container")
		k := c.rscByID[id]
		f := c.lookupHistory(l.ID())
		if k != nil && f != nil && f.OrphanFiller && f.Container == nil {
			c.setContainer(f, k)
		}
	}
}
