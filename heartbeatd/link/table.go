package link

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"linuxha/heartbeatd/hamsg"
)

// Run-time changes of the node table (HB 6.4): messages that any node may send,
// and that all, the sender included, carry out when they come to them.
const (
	typeAddNode   = "addnode"
	typeDelNode   = "delnode"
	typeSetWeight = "setweight"
	typeSetSite   = "setsite"
)

// DefaultWeight is a node's weight for quorum if none was set.
const DefaultWeight = 100

func nodeList(m *hamsg.Message) []string {
	words := strings.FieldsFunc(m.Get("nodelist"), func(r rune) bool { return r == ' ' || r == ',' })
	for i, w := range words {
		words[i] = strings.ToLower(w)
	}
	return words
}

// tableMessage carries one out; false: it is none.
func (l *Link) tableMessage(now time.Time, m *hamsg.Message) bool {
	switch m.Type() {
	case typeAddNode:
		for _, name := range nodeList(m) {
			l.addLate(now, Node{Name: name})
		}
	case typeDelNode:
		l.deleteNodes(nodeList(m))
	case typeSetWeight:
		weight, err := strconv.Atoi(m.Get("weight"))
		if err != nil || weight < 0 {
			l.note(Error, fmt.Sprintf("setweight: %q is no weight", m.Get("weight")))
			return true
		}
		l.describe(m.Get("node"), func(n *Node) { n.Weight, n.WeightSet = weight, true })
	case typeSetSite:
		l.describe(m.Get("node"), func(n *Node) { n.Site = m.Get("site") })
	default:
		return false
	}
	return true
}

// describe changes what is known of a node, ourselves included.
func (l *Link) describe(name string, change func(*Node)) {
	name = strings.ToLower(name)
	if name == l.opts.Node {
		change(&l.self)
		l.change(Described, nil)
		return
	}
	n := l.named[name]
	if n == nil || n.Ping {
		l.note(Error, "there is no node "+name+" to be given a weight or site")
		return
	}
	change(&n.Node)
	l.change(Described, n)
}

// deleteNodes deletes if all that shall go are dead and all that shall stay
// are there: a node that is away would come back with the old table.
func (l *Link) deleteNodes(names []string) {
	for _, name := range names {
		if n := l.named[name]; n != nil && n.alive() {
			l.note(Warn, "deletion failed: node "+name+" is not dead")
			return
		}
	}
	for _, n := range l.nodes {
		if !n.Ping && !slices.Contains(names, n.Name) && (!n.alive() || n.status == StatusInit) {
			l.note(Error, fmt.Sprintf("HBDoMsg_T_DELNODE: deletion failed. We don't have all required nodes alive (%s is dead)", n.Name))
			return
		}
	}
	for _, name := range names {
		if name == l.opts.Node {
			l.note(Crit, "this node was deleted from the cluster and stops")
			l.change(LocalDeleted, nil)
			continue
		}
		l.remove(name, true)
	}
}

// Self is this node's entry.
func (l *Link) Self() Node { return l.self }

// Configured: the configuration was read again. Nodes and Deleted of Options
// are not looked at here: NodesAdded and NodesDeleted change the table.
type Configured struct {
	Keepalive, Deadtime, Warntime, Deadping, MaxRexmitDelay time.Duration
	Hopfudge                                                int
	Autojoin                                                Autojoin
	Modern                                                  bool
}

func (Configured) event() {}

// configure takes new settings in; the others learn the new dead time at once.
func (l *Link) configure(now time.Time, c Configured) {
	o := &l.opts
	told := c.Deadtime != o.Deadtime
	sooner := c.Keepalive < o.Keepalive
	o.Keepalive, o.Deadtime, o.Warntime, o.Deadping, o.MaxRexmitDelay = c.Keepalive, c.Deadtime, c.Warntime, c.Deadping, c.MaxRexmitDelay
	o.FirstRexmitDelay = min(o.FirstRexmitDelay, c.MaxRexmitDelay)
	o.Hopfudge, o.Autojoin, o.Modern = c.Hopfudge, c.Autojoin, c.Modern
	for _, n := range l.nodes {
		if n.Ping {
			n.deadtime = o.Deadping
		}
	}
	l.nextCheck = now
	if l.startedAt.IsZero() {
		return
	}
	if told {
		l.beat(now)
	}
	if sooner {
		l.nextBeat = now.Add(o.Keepalive)
	}
}
