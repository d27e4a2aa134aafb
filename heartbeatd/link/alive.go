package link

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"linuxha/heartbeatd/hamsg"
)

// keepAcked messages stay in the history though acknowledged, for a node that
// was just heard for the first time and misses some.
const keepAcked = 64

// askNodesEvery is the interval of reqnodes (HB 6.1).
const askNodesEvery = time.Second

// start sends the first status messages (HB 5.1).
func (l *Link) start(now time.Time) {
	l.startedAt = now
	l.nextBeat = now.Add(l.opts.Keepalive)
	for _, n := range l.nodes {
		if n.heardAt.IsZero() {
			n.heardAt = now
		}
	}
	l.nextCheck = now
	l.probeNext = now.Add(firstProbe)
	l.beat(now)
	l.status = StatusUp
	l.beat(now)
	l.change(LocalUp, nil)
}

// beat sends our status.
func (l *Link) beat(now time.Time) {
	if l.startedAt.IsZero() {
		return
	}
	m := &hamsg.Message{Fields: make([]hamsg.Field, 0, 11)}
	m.Add("t", typeStatus)
	m.Add("st", string(l.status))
	m.AddHex("dt", uint64((l.opts.Deadtime + l.extra).Milliseconds()))
	m.Add("protocol", "1")
	l.submit(now, m)
	p := l.out.Send[len(l.out.Send)-1]
	p.Status, p.Deadtime = l.status, l.opts.Deadtime+l.extra
}

// deadAfter is how long n may be silent (HB 5.2, 5.3).
func (l *Link) deadAfter(n *node) time.Duration {
	if l.status != StatusActive && !n.Ping {
		return max(l.opts.Initdead, n.deadtime)
	}
	return n.deadtime
}

func (l *Link) deadline(n *node) time.Time {
	at := n.heardAt.Add(l.deadAfter(n))
	if at.Before(n.grace) {
		at = n.grace
	}
	return at
}

// checkBy makes sure that check runs at t at the latest.
func (l *Link) checkBy(t time.Time) {
	if t.Before(l.nextCheck) {
		l.nextCheck = t
	}
}

// check does everything that is due and finds the next deadline.
func (l *Link) check(now time.Time) {
	for _, n := range l.nodes {
		if n.status != StatusDead && !now.Before(l.deadline(n)) {
			l.dead(n)
		}
		l.checkLinks(now, n)
		if n.askAt.IsZero() {
			continue
		}
		if now.Sub(n.gapAt) >= n.deadtime {
			// It lives but does not answer: it cannot hear us, or does not want to.
			// What else is missing would not come either.
			l.note(Error, fmt.Sprintf("Irretrievably lost packet: node %s seq %d", n.Name, n.next))
			l.change(Broken, n)
			for n.next <= n.last {
				if p := n.held[n.next]; p != nil {
					delete(n.held, n.next)
					l.deliver(now, n, p)
				} else {
					n.next++
				}
			}
			l.drain(now, n)
		}
		if !n.askAt.IsZero() && !now.Before(n.askAt) {
			l.request(now, n)
		}
	}
	l.startUp(now)

	next := now.Add(time.Hour)
	sooner := func(t time.Time) {
		if t.Before(next) {
			next = t
		}
	}
	for _, n := range l.nodes {
		if n.status != StatusDead {
			sooner(l.deadline(n))
		}
		for i := range n.links {
			if n.links[i].up {
				sooner(l.linkDeadline(n, &n.links[i]))
			}
		}
		if !n.askAt.IsZero() {
			sooner(n.askAt)
			sooner(n.gapAt.Add(n.deadtime))
		}
	}
	if l.status != StatusActive && !l.askAgain.IsZero() {
		sooner(l.askAgain)
	}
	l.nextCheck = next
}

// dead declares n dead (HB 5.4). Its highest number is kept: only newer ones
// of this generation bring it back.
func (l *Link) dead(n *node) {
	n.lastStatus, n.status, n.seen = n.status, StatusDead, true
	n.held, n.askAt, n.gapAt = nil, time.Time{}, time.Time{}
	n.proof.generation, n.proof.asked = 0, time.Time{}
	for i := range n.links {
		l.linkDead(n, &n.links[i])
	}
	l.note(Warn, "node "+n.Name+": is dead")
	l.change(Dead, n)
	if n.shutdown {
		l.note(Info, "Dead node "+n.Name+" gave up resources.")
	}
}

func (l *Link) linkHeard(now time.Time, n *node, medium string) *nodeLink {
	k := n.link(medium)
	if k == nil {
		n.links = append(n.links, nodeLink{medium: medium})
		k = &n.links[len(n.links)-1]
	}
	k.heardAt = now
	if k.up {
		return k
	}
	k.up = true
	l.checkBy(l.linkDeadline(n, k))
	l.note(Info, "Link "+n.Name+":"+medium+" up.")
	l.change(LinkUp, n).Medium = medium
	return k
}

func (l *Link) linkDeadline(n *node, k *nodeLink) time.Time {
	at := k.heardAt.Add(l.deadAfter(n))
	if at.Before(n.grace) {
		at = n.grace
	}
	return at
}

func (l *Link) checkLinks(now time.Time, n *node) {
	for i := range n.links {
		if k := &n.links[i]; k.up && !now.Before(l.linkDeadline(n, k)) {
			l.linkDead(n, k)
		}
	}
}

func (l *Link) linkDead(n *node, k *nodeLink) {
	if !k.up {
		return
	}
	k.up = false
	l.note(Warn, "Link "+n.Name+":"+k.medium+" dead.")
	l.change(LinkDead, n).Medium = k.medium
}

// startUp leads from "up" to "active" (HB 6.1): when every node was heard or
// is dead, somebody is asked for the node list; the answer makes us active.
func (l *Link) startUp(now time.Time) {
	if l.status != StatusUp {
		return
	}
	if !l.heardAll {
		if l.opts.Autojoin != AutojoinNone && now.Sub(l.startedAt) < l.opts.Initdead {
			l.askAgain = l.startedAt.Add(l.opts.Initdead)
			return
		}
		for _, n := range l.nodes {
			if !n.seen && !n.Ping {
				return
			}
		}
		l.heardAll = true
		l.askAgain = now
		l.change(AllHeard, nil)
	}
	if now.Before(l.askAgain) {
		return
	}
	for range l.nodes {
		l.asking %= len(l.nodes)
		n := l.nodes[l.asking]
		l.asking++
		if n.Ping || !n.alive() {
			continue
		}
		m := hamsg.New(typeReqNodes)
		m.Add("dest", n.Name)
		l.submit(now, m)
		l.askAgain = now.Add(askNodesEvery)
		return
	}
	l.activate(now) // nobody else is alive
}

func (l *Link) activate(now time.Time) {
	l.note(Info, "Comm_now_up(): updating status to active")
	l.status = StatusActive
	l.note(Info, "Local status now set to: 'active'")
	l.beat(now)
	l.nextCheck = now // dead times instead of initdead from now on
	l.change(LocalActive, nil)
}

// replyNodes answers reqnodes (HB 6.2): names each followed by a space, the
// list of deleted ones a single space when empty.
func (l *Link) replyNodes(now time.Time, n *node) {
	names := []string{l.opts.Node}
	for _, other := range l.nodes {
		if !other.Ping {
			names = append(names, other.Name)
		}
	}
	slices.Sort(names)
	deleted := " "
	if len(l.deleted) > 0 {
		deleted = strings.Join(slices.Sorted(maps.Keys(l.deleted)), " ") + " "
	}
	m := &hamsg.Message{}
	m.Add("dest", n.Name)
	m.Add("t", typeRepNodes)
	m.Add("nodelist", strings.Join(names, " ")+" ")
	m.Add("delnodelist", deleted)
	l.submit(now, m)
}

// adoptNodes takes over the lists of a repnodes.
func (l *Link) adoptNodes(now time.Time, m *hamsg.Message) {
	if l.status == StatusActive || !l.heardAll {
		return // nobody asked
	}
	names := strings.Fields(m.Get("nodelist"))
	for _, name := range names {
		l.addLate(now, Node{Name: name})
	}
	for i := len(l.nodes) - 1; i >= 0; i-- {
		if n := l.nodes[i]; !n.Ping && !slices.Contains(names, n.Name) {
			l.remove(n.Name, false)
		}
	}
	clear(l.deleted)
	for _, name := range strings.Fields(m.Get("delnodelist")) {
		if name != l.opts.Node && l.named[name] == nil {
			l.deleted[name] = true
		}
	}
	l.activate(now)
}

// change reports news about n, about ourselves if nil. The result may be
// completed before the next change.
func (l *Link) change(kind Kind, n *node) *Change {
	c := Change{Kind: kind, Node: l.opts.Node, ID: l.opts.ID, Generation: l.opts.Generation, Status: l.status}
	if n != nil {
		c = Change{Kind: kind, Node: n.Name, ID: n.ID, Generation: n.Generation, Status: n.status, Ping: n.Ping, Shutdown: kind == Dead && n.shutdown}
	}
	l.out.Changes = append(l.out.Changes, c)
	return &l.out.Changes[len(l.out.Changes)-1]
}

func (l *Link) note(level Level, text string) {
	l.out.Notes = append(l.out.Notes, Note{level, text})
}

func (l *Link) noteStatus(n *node) {
	l.note(Info, "Status update for node "+n.Name+": status "+string(n.status))
}

// noteReturn writes what users of 3.0.6 look for after a partition (HB 7.3).
func (l *Link) noteReturn(n *node) {
	l.note(Crit, "Cluster node "+n.Name+" returning after partition.")
	l.note(Info, "For information on cluster partitions, See URL: http://linux-ha.org/wiki/Split_Brain")
	l.note(Warn, "Deadtime value may be too small.")
	l.note(Info, "See FAQ for information on tuning deadtime.")
	l.note(Info, "URL: http://linux-ha.org/wiki/FAQ#Heavy_Load")
}

// NodeState is a line of the node table, for status queries.
type NodeState struct {
	Node
	Status Status
	Links  []LinkState
}

// LinkState is one medium towards a node.
type LinkState struct {
	Medium string
	Up     bool
	LinkFigures
}

// Nodes is the node table, ourselves not included, sorted by name.
func (l *Link) Nodes() []NodeState { return l.NodesAt(time.Time{}) }

// NodesAt is Nodes with LastHeard of the links as of now.
func (l *Link) NodesAt(now time.Time) []NodeState {
	all := make([]NodeState, 0, len(l.nodes))
	for _, n := range l.nodes {
		s := NodeState{Node: n.Node, Status: n.status}
		for _, k := range n.links {
			f := k.figures
			if !now.IsZero() {
				f.LastHeard = now.Sub(k.heardAt)
			}
			s.Links = append(s.Links, LinkState{k.medium, k.up, f})
		}
		all = append(all, s)
	}
	return all
}

// Status is our own status.
func (l *Link) Status() Status { return l.status }

// Deleted are the names of deleted nodes, sorted.
func (l *Link) Deleted() []string { return slices.Sorted(maps.Keys(l.deleted)) }
