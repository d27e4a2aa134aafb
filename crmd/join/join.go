// Package join decides on the DC which nodes take part (crm 3), each node by
// itself: a late or restarted controller is joined without touching the others
// (crm 9.6).
//
// Core is a state machine without I/O. The shell feeds it views, the answers of
// nodes and of the CIB, and carries out what comes back: tell the CIB who is
// primary, send offers, write what changed about nodes in one update, accept.
// A node that does not answer an offer is left out and reported, nobody waits
// for it longer than until everybody else has answered; when it answers later
// it is joined later.
//
// The core also keeps what the DC believes about every node (crm 1.3): in_ccm,
// crmd, join, expected. A controller that goes while its node stays a member is
// given a grace to come back, since its death is an event, not an outage.
package join

import (
	"slices"
	"strings"
	"time"
)

// Member is a node of the present view.
type Member struct {
	Node string
	ID   string
	// Controller is set while the node's crmd takes part, to the view in which
	// it entered: a new number is a new process.
	Controller uint64
}

// Event is something that happened.
type Event interface{ event() }

// Won: this node is DC now. Term names this reign, Nodes what the CIB knows
// about nodes from before.
type Won struct {
	Term       string
	FeatureSet string
	Nodes      []Known
	// Leaving are nodes that asked to leave; nobody is to be fenced for it.
	Leaving []string
}

// Known is a node as the CIB describes it.
type Known struct {
	Node, ID string
	InCCM    bool
	Crmd     bool
	Join     string
	Expected string
}

// Released: this node is DC no more.
type Released struct{}

// Installed: a new view is in force.
type Installed struct {
	View    uint64
	Members []Member
}

// InStep: the CIBs of the members of this view hold the same document.
type InStep struct{ View uint64 }

// Requested: a node answered an offer.
type Requested struct {
	Node         string
	Term         string
	JoinID       uint64
	FeatureSet   string
	ShuttingDown bool
}

// Written: the update of that number is in the CIB.
type Written struct{ Update uint64 }

// Leaving: a node asked to leave, or was ordered to.
type Leaving struct{ Node string }

// FencedDown: a node was fenced; nothing of it runs.
type FencedDown struct{ Node string }

// Forgotten: a node was removed by an administrator.
type Forgotten struct{ Node string }

// OrderRefused: a node that was thought to take part does not obey this reign.
type OrderRefused struct{ Node string }

// Woken: the time named by WakeAt has come.
type Woken struct{}

func (Won) event()          {}
func (Released) event()     {}
func (Installed) event()    {}
func (InStep) event()       {}
func (Requested) event()    {}
func (Written) event()      {}
func (Leaving) event()      {}
func (FencedDown) event()   {}
func (Forgotten) event()    {}
func (OrderRefused) event() {}
func (Woken) event()        {}

// Effect is something for the shell to do.
type Effect interface{ effect() }

// Offer asks a node to join.
type Offer struct {
	Node   string
	JoinID uint64
}

// Write puts what changed about nodes into the CIB, as one update, and answers
// with Written.
type Write struct {
	Update uint64
	Nodes  []NodeState
}

// NodeState is one node_state to write.
type NodeState struct {
	Node, ID    string
	InCCM, Crmd bool
	OnlyCCM     bool   // write in_ccm alone: its controller is not known yet
	Join        string // "member", "down"; empty: leave it
	Expected    string // "member", "down"; empty: leave it
	// History: replace the node's lrm by what its request said.
	History bool
	// Attributes: forget the node's transient attributes (crm 1.8).
	Attributes bool
}

// Accept tells a node that it takes part.
type Accept struct {
	Node   string
	JoinID uint64
}

// Refuse tells a node that it cannot take part.
type Refuse struct {
	Node   string
	JoinID uint64
	Reason string
}

// Joined: these nodes take part now, and nothing else is under way.
// First is set once per reign: the DC may compute.
type Joined struct {
	Nodes []string
	First bool
}

// Lost: a node, or only its controller, is gone for good.
type Lost struct {
	Node string
	// Member: the node itself is still in the view.
	Member bool
	// Expected: it asked to leave.
	Expected bool
}

// Note is a line for the log.
type Note struct {
	Warning bool
	Text    string
}

func (Offer) effect()  {}
func (Write) effect()  {}
func (Accept) effect() {}
func (Refuse) effect() {}
func (Joined) effect() {}
func (Lost) effect()   {}
func (Note) effect()   {}

// Output is what the shell has to do, in this order.
type Output struct {
	Effects []Effect
	// Ready are the nodes that take orders, sorted; set when they changed.
	Ready   []string
	Changed bool
	WakeAt  time.Time
}

type phase int

const (
	phaseOut        phase = iota // no controller
	phaseWelcomed                // offer sent
	phaseIntegrated              // answered; waits for the CIBs
	phaseFinalized               // its state is being written
	phaseConfirmed               // takes part
	phaseRefused
)

type node struct {
	id         string
	member     bool
	controller uint64 // of the process that the phase speaks of
	phase      phase
	joinID     uint64
	expected   string
	leaving    bool
	offered    time.Time
	goneAt     time.Time // when the controller went while the node stayed; zero: it did not
	down       bool      // written as gone already
	reported   bool      // silence was reported
	fenced     bool      // since it was seen last
}

// Options are the core's settings.
type Options struct {
	// Grace is how long a controller may be away while its node is a member.
	Grace time.Duration
	// Integration is how long the first computation waits for silent nodes
	// (join-integration-timeout); they are reported after it.
	Integration time.Duration
}

// Core is the DC's side.
type Core struct {
	self string
	opts Options

	active     bool
	term       string
	featureSet string
	view       uint64
	inStep     uint64 // latest view whose CIBs are in step
	joinID     uint64
	nodes      map[string]*node
	updates    uint64
	writing    map[uint64][]string // joiners per update under way
	first      bool                // the first Joined of this reign is out
	won        time.Time
	ready      []string
	out        Output
}

// New returns the core of the node self.
func New(self string, opts Options) *Core {
	return &Core{self: self, opts: opts, nodes: map[string]*node{}, writing: map[uint64][]string{}}
}

// Active says whether this node is DC.
func (c *Core) Active() bool { return c.active }

// Integrating says whether nodes are being joined and nothing was computed yet.
func (c *Core) Integrating() (integrating, finalizing bool) {
	if !c.active || c.first {
		return false, false
	}
	for _, n := range c.nodes {
		if n.phase == phaseFinalized {
			return true, true
		}
	}
	return true, false
}

// Step takes one event in at time now.
func (c *Core) Step(now time.Time, ev Event) Output {
	c.out = Output{}
	switch ev := ev.(type) {
	case Won:
		c.winning(now, ev)
	case Released:
		c.active, c.term, c.first = false, "", false
		clear(c.nodes)
		clear(c.writing)
	case Installed:
		c.view = ev.View
		c.installed(now, ev.Members)
	case InStep:
		c.inStep = max(c.inStep, ev.View)
	case Requested:
		c.requested(ev)
	case Written:
		c.written(ev.Update)
	case Leaving:
		if n := c.nodes[ev.Node]; n != nil {
			n.leaving = true
		}
	case FencedDown:
		if n := c.nodes[ev.Node]; n != nil {
			n.expected, n.fenced = "down", true
		}
	case Forgotten:
		if n := c.nodes[ev.Node]; n != nil && !n.member {
			delete(c.nodes, ev.Node)
		}
	case OrderRefused:
		if n := c.nodes[ev.Node]; n != nil && n.phase == phaseConfirmed {
			n.phase = phaseOut // and is offered to join again
			c.note(true, "Node "+ev.Node+" does not obey us, it has to join again")
		}
	case Woken:
	}
	if c.active {
		c.advance(now)
	}
	var ready []string
	for _, name := range c.names() {
		if c.nodes[name].phase == phaseConfirmed {
			ready = append(ready, name)
		}
	}
	if !slices.Equal(ready, c.ready) {
		c.ready = ready
		c.out.Ready, c.out.Changed = ready, true
	}
	out := c.out
	c.out = Output{}
	return out
}

func (c *Core) winning(now time.Time, ev Won) {
	c.active, c.term, c.featureSet, c.won, c.first = true, ev.Term, ev.FeatureSet, now, false
	// What is known from before; members follow with the next Installed.
	for _, k := range ev.Nodes {
		n := c.node(k.Node, k.ID)
		n.expected = k.Expected
		n.down = !k.InCCM && !k.Crmd && k.Join != "member"
	}
	for _, name := range ev.Leaving {
		if n := c.nodes[name]; n != nil {
			n.leaving = true
		}
	}
}

func (c *Core) node(name, id string) *node {
	n := c.nodes[name]
	if n == nil {
		n = &node{}
		c.nodes[name] = n
	}
	if id != "" {
		n.id = id
	}
	return n
}

func (c *Core) names() []string {
	names := make([]string, 0, len(c.nodes))
	for name := range c.nodes {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// installed compares the view with what is believed.
func (c *Core) installed(now time.Time, members []Member) {
	if !c.active {
		return
	}
	present := map[string]bool{}
	var changed []NodeState
	for _, m := range members {
		present[m.Node] = true
		n := c.node(m.Node, m.ID)
		came := !n.member
		n.member = true
		n.fenced = n.fenced && !came
		switch {
		case m.Controller != 0:
			n.goneAt = time.Time{}
			if n.controller != m.Controller { // a new process, whatever the old one had agreed to
				n.controller, n.phase, n.reported, n.down = m.Controller, phaseOut, false, false
				n.leaving = false
			}
		case n.controller != 0:
			n.controller = 0
			n.phase = phaseOut
			n.goneAt = now
		case came:
			// A member whose controller has not been seen yet: it may come.
			n.goneAt = now
		}
		if came && m.Controller == 0 {
			changed = append(changed, NodeState{Node: m.Node, ID: n.id, InCCM: true, OnlyCCM: true})
		}
	}
	for _, name := range c.names() {
		n := c.nodes[name]
		if present[name] || !n.member && n.down {
			continue
		}
		was := n.member
		n.member, n.controller, n.phase, n.goneAt = false, 0, phaseOut, time.Time{}
		st := NodeState{Node: name, ID: n.id, Join: "down", Attributes: true}
		if n.leaving {
			n.expected, st.Expected = "down", "down"
		}
		if !n.down || was {
			changed = append(changed, st)
		}
		n.down = true
		if was || !n.leaving {
			c.emit(Lost{Node: name, Expected: n.leaving})
		}
	}
	c.write(changed, nil)
}

// requested takes a node's answer.
func (c *Core) requested(ev Requested) {
	n := c.nodes[ev.Node]
	if n == nil || n.controller == 0 || ev.Term != c.term || ev.JoinID != n.joinID || n.phase != phaseWelcomed {
		c.note(false, "Ignoring join request of "+ev.Node+": it answers no offer in force")
		return
	}
	if !Compatible(c.featureSet, ev.FeatureSet) {
		n.phase = phaseRefused
		c.emit(Refuse{Node: ev.Node, JoinID: n.joinID, Reason: "feature set " + ev.FeatureSet + " is incompatible with the DC's (" + c.featureSet + ")"})
		return
	}
	n.leaving = n.leaving || ev.ShuttingDown
	n.phase = phaseIntegrated
}

// Compatible is the rule for feature sets of DC and joiner (crm 3.2 step 2):
// majors equal, the DC's minor not above the joiner's.
func Compatible(dc, joiner string) bool {
	if dc == "" {
		dc = "3.0.14"
	}
	d, j := strings.Split(dc, "."), strings.Split(joiner, ".")
	if len(d) < 2 || len(j) < 2 || d[0] != j[0] {
		return false
	}
	return number(d[1]) <= number(j[1])
}

func number(s string) int {
	n := 0
	for _, r := range s {
		if r < '0' || r > '9' {
			return 0
		}
		n = n*10 + int(r-'0')
	}
	return n
}

func (c *Core) written(update uint64) {
	for _, name := range c.writing[update] {
		n := c.nodes[name]
		if n != nil && n.phase == phaseFinalized {
			n.phase = phaseConfirmed
			n.down = false
			c.emit(Accept{Node: name, JoinID: n.joinID})
		}
	}
	delete(c.writing, update)
}

// advance offers, writes, ends graces and reports.
func (c *Core) advance(now time.Time) {
	var finalize []NodeState
	var joiners []string
	for _, name := range c.names() {
		n := c.nodes[name]
		if n.controller != 0 && n.phase == phaseOut {
			c.joinID++
			n.phase, n.joinID, n.offered = phaseWelcomed, c.joinID, now
			c.emit(Offer{Node: name, JoinID: n.joinID})
		}
		if !n.goneAt.IsZero() && (n.leaving || !now.Before(n.goneAt.Add(c.opts.Grace))) {
			c.controllerLost(name, n)
		}
	}
	if c.inStep >= c.view {
		for _, name := range c.names() {
			n := c.nodes[name]
			if n.phase != phaseIntegrated {
				continue
			}
			n.phase, n.expected = phaseFinalized, "member"
			finalize = append(finalize, NodeState{Node: name, ID: n.id, InCCM: true, Crmd: true, Join: "member", Expected: "member", History: true})
			joiners = append(joiners, name)
		}
	}
	c.write(finalize, joiners)
	c.report(now)
}

func (c *Core) controllerLost(name string, n *node) {
	n.goneAt = time.Time{}
	st := NodeState{Node: name, ID: n.id, InCCM: true, Join: "down", Attributes: true}
	if n.leaving {
		n.expected, st.Expected = "down", "down"
	}
	n.down = true
	c.write([]NodeState{st}, nil)
	c.emit(Lost{Node: name, Member: true, Expected: n.leaving})
}

func (c *Core) write(states []NodeState, joiners []string) {
	if len(states) == 0 {
		return
	}
	c.updates++
	if len(joiners) > 0 {
		c.writing[c.updates] = joiners
	}
	c.emit(Write{Update: c.updates, Nodes: states})
}

// report says when the first computation may be, and who is silent.
func (c *Core) report(now time.Time) {
	waiting, confirmed := 0, []string(nil)
	underway := 0
	for _, name := range c.names() {
		n := c.nodes[name]
		switch n.phase {
		case phaseWelcomed:
			if !now.Before(n.offered.Add(c.opts.Integration)) {
				if !n.reported {
					n.reported = true
					c.note(true, "Node "+name+" does not answer the join offer, going on without it")
				}
				continue
			}
			waiting++
			c.wake(n.offered.Add(c.opts.Integration))
		case phaseIntegrated, phaseFinalized:
			underway++
		case phaseConfirmed:
			confirmed = append(confirmed, name)
		}
		if !n.goneAt.IsZero() {
			c.wake(n.goneAt.Add(c.opts.Grace))
		}
	}
	if !c.first {
		if waiting > 0 || underway > 0 || !slices.Contains(confirmed, c.self) {
			return
		}
		c.first = true
		c.emit(Joined{Nodes: confirmed, First: true})
		return
	}
	var news []string
	for _, e := range c.out.Effects {
		if a, ok := e.(Accept); ok {
			news = append(news, a.Node)
		}
	}
	if len(news) > 0 {
		c.emit(Joined{Nodes: news})
	}
}

func (c *Core) wake(t time.Time) {
	if c.out.WakeAt.IsZero() || t.Before(c.out.WakeAt) {
		c.out.WakeAt = t
	}
}

func (c *Core) emit(e Effect) { c.out.Effects = append(c.out.Effects, e) }

func (c *Core) note(warning bool, text string) { c.emit(Note{Warning: warning, Text: text}) }
