package action

import (
	"linuxha/pengine/state"
)

type connState int8

const (
	connUnknown connState = iota
	connAlive
	connResting
	connFailed
	connStopped
)

// connectionState is what is known about a remote node's connection
// (actions 11.2).
func connectionState(n *state.Node) connState {
	conn := n.Conn
	current := conn.CurrentNode()
	if conn.NextRole == state.Stopped || conn.Assigned == nil {
		switch {
		case current != nil && current.Unclean:
			return connFailed
		case !conn.Failed:
			return connStopped
		case conn.NextRole == state.Stopped && conn.ReconnectMS > 0 && n.WasFenced && !n.ShutdownRequested():
			return connUnknown
		}
		return connFailed
	}
	switch {
	case current == nil:
		return connUnknown
	case current.Unclean || !current.Online:
		return connResting
	case len(conn.Active) > 1 && conn.PartialSource != nil && conn.PartialTarget != nil:
		return connResting
	}
	return connAlive
}

// OrderRemotes orders actions on guest and remote nodes with their connections
// (actions 11).
func OrderRemotes(c *state.Cluster) {
	if !c.HaveRemotes {
		return
	}
	for i := len(c.Actions) - 1; i >= 0; i-- {
		a := c.Actions[i]
		r := a.Rsc
		if r != nil && r.IsRemoteConn && a.Task == "clear_failcount" {
			c.Order(state.ActSide(a), state.OpSide(r, "start"), plain)
			continue
		}
		if r == nil || a.Node == nil || !a.Node.IsGuestOrRemote() || a.IsPseudo() || a.Node.Conn == nil {
			continue
		}
		conn := a.Node.Conn
		if a.Task == "start" {
			for j := len(r.Actions) - 1; j >= 0; j-- {
				s := r.Actions[j]
				if s.Task == "stop" && (s.Node == nil || s.Node != a.Node) {
					c.Order(state.OpSide(conn, "start"), state.ActSide(s), plain)
				}
			}
		}
		o := remoteOrder{c: c, a: a, conn: conn}
		if conn.Container != nil {
			o.guest(conn.Container)
		} else {
			o.remote()
		}
	}
}

type remoteOrder struct {
	c    *state.Cluster
	a    *state.Action
	conn *state.Resource
}

func (o remoteOrder) afterUp(extra state.Prop) {
	o.c.Order(state.OpSide(o.conn, "start"), state.ActSide(o.a), state.Internal|gate|extra)
}

func (o remoteOrder) beforeDown(extra state.Prop) {
	o.c.Order(state.ActSide(o.a), state.OpSide(o.conn, "stop"), state.Internal|extra)
}

func (o remoteOrder) task() string {
	if o.a.Task == "migrate_to" || o.a.Task == "migrate_from" {
		return "stop"
	}
	return o.a.Task
}

func (o remoteOrder) recurring() bool {
	iv, ok := o.a.Meta["interval"]
	return ok && iv != "0"
}

// remote is actions 11.2.
func (o remoteOrder) remote() {
	st := connectionState(o.a.Node)
	switch task := o.task(); task {
	case "start", "promote":
		extra := state.Prop(0)
		if st == connFailed {
			extra = dragThen
		}
		o.afterUp(extra)
	case "stop":
		switch {
		case st == connAlive:
			o.beforeDown(needFirst)
		case st == connFailed:
			o.c.FenceNode(o.a.Node, "resources are active but connection is unrecoverable", false)
		case o.conn.NextRole == state.Stopped:
			o.beforeDown(needFirst)
		default:
			o.afterUp(0)
		}
	case "demote":
		if st == connResting || st == connUnknown {
			o.afterUp(0)
		}
	default:
		if o.recurring() {
			o.afterUp(dragThen)
			return
		}
		if task == "monitor" && st == connFailed {
			o.c.FenceNode(o.a.Node, "resources are in unknown state and connection is unrecoverable", false)
		}
		if len(o.conn.Active) > 0 && st == connStopped {
			o.beforeDown(gate)
		} else {
			o.afterUp(0)
		}
	}
}

// guest is actions 11.3.
func (o remoteOrder) guest(k *state.Resource) {
	if k.Failed {
		o.c.FenceNode(o.a.Node, "container failed", false)
	}
	switch task := o.task(); task {
	case "start", "promote":
		o.c.Order(state.OpSide(k, "start"), state.ActSide(o.a), state.Internal|gate|dragThen)
		o.afterUp(0)
	case "stop", "demote":
		if !k.Failed {
			o.beforeDown(0)
		}
	default:
		if o.recurring() {
			if KnownTask(task) {
				o.afterUp(dragThen)
			}
			return
		}
		o.afterUp(0)
	}
}

// Router is the node that executes an action on a guest or remote node
// (actions 11.4).
func Router(a *state.Action) *state.Node {
	if a.Task == "stonith" || a.Node == nil || !a.Node.IsGuestOrRemote() || a.Node.Conn == nil {
		return nil
	}
	conn := a.Node.Conn
	began, ended := conn.CurrentNode(), assignedNode(conn)
	switch {
	case began == nil:
		return ended
	case ended == nil || began == ended:
		return began
	}
	task := a.Task
	if task == "notify" {
		task = a.Meta["notify_operation"]
	}
	switch task {
	case "cancel", "stop", "demote", "migrate_from", "migrate_to":
		if conn.Container == nil && conn.PartialTarget != nil {
			return ended
		}
		return began
	}
	return ended
}
