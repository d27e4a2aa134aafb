// Package ccm agrees with the other nodes who is a member of the cluster: it
// installs numbered views, each a list of nodes with their local processes.
//
// Core is a state machine without I/O. The server tells it which nodes link
// can hear, which local processes are attached, and what the cores of the
// other nodes sent; it publishes the memberships and sends the messages that
// come back, over link's reliable, ordered streams.
//
// # How agreement comes about
//
// Every node broadcasts its State when that changes: whom it hears and which
// processes it has. From all States each node computes the same graph of nodes
// that hear each other, the same groups of nodes that are fully connected
// (group.go), and each group's coordinator: its longest-standing member. The
// coordinator, and only for speed is there just one, proposes a view; every
// proposed member accepts it if it promised nothing to a higher number and
// hears all the others; when all have accepted the coordinator installs the
// view and tells the members to do so. So a view is installed one round trip
// after the verdict that made it necessary, and nothing waits for a timer.
// Timers only repeat what was lost together with a broken stream.
//
// # What holds
//
//   - Two nodes that install the same view (number, coordinator, coordinator's
//     generation) have the same members with the same processes: a coordinator
//     uses a number once.
//   - On each node, while it runs, numbers only grow.
//   - Each member of an installed view accepted it, so views with the same
//     number have no member in common.
//   - A node whose stream of messages was interrupted for some member (declared
//     dead, restarted, messages lost for good) does not stay in that member's
//     view: it leaves by one view and enters by another, with a new BornOn. As
//     long as a member's BornOn and one's own stay, not a message between the
//     two is missing. Gate makes use of that.
//   - When groups merge, those of the biggest one keep their BornOn.
package ccm

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// ViewID tells views apart. Coordinators number from what they know, so two
// partitions may use the same numbers; and a coordinator that lost its memory
// has a new generation.
type ViewID struct {
	Number      uint64
	Coordinator string
	Generation  uint64 // of the coordinator
}

// View is an agreed membership. It is never written to once installed.
type View struct {
	ViewID
	Members []Member // sorted by name
	// Ancestors are the views that this one follows, newest first, at most
	// maxAncestors: a member may have missed the installation of some.
	Ancestors []ViewID
}

// Member is a node in a view.
type Member struct {
	Name       string
	ID         string // UUID in text form
	Generation uint64
	BornOn     uint64    // number of the view in which it entered
	Processes  []Process // sorted by name

	procSerial  uint64 // version of its list of processes
	stateSerial uint64 // of the State with which it accepted this view
}

// Process is a local client of a member.
type Process struct {
	Name     string
	BornOn   uint64 // number of the view in which it entered
	Instance uint64 // tells a process from the one of the same name before it
	Info     map[string]string
}

// Member returns the member of that name, nil if there is none.
func (v *View) Member(name string) *Member {
	if v == nil {
		return nil
	}
	low, high := 0, len(v.Members)
	for low < high { // slices.BinarySearchFunc would copy members about
		if mid := (low + high) / 2; v.Members[mid].Name < name {
			low = mid + 1
		} else {
			high = mid
		}
	}
	if low == len(v.Members) || v.Members[low].Name != name {
		return nil
	}
	return &v.Members[low]
}

// Membership is an installed view as this node came to it.
type Membership struct {
	*View
	// Lost were members of this node's last view and are not now. Joined are
	// members now and were not, or have left and entered again meanwhile, or
	// this node itself has.
	Lost, Joined []string
	// LostAt tells when a lost node's death was found or its leave heard.
	LostAt map[string]time.Time
}

// Options of a Core.
type Options struct {
	Node       string
	ID         string
	Generation uint64 // larger at each start
	// Seen is the highest number of a view that earlier runs are known to have
	// had, 0 if nothing is known. Numbers go on from it; nothing breaks if they do
	// not, but what compares views over a restart of the whole cluster needs it.
	Seen uint64
	// Retry is after how long what should have been answered is said again;
	// default 1 s. Nothing waits for it unless a stream was broken.
	Retry time.Duration
	// StartWait is how long the first view may wait for the States of nodes
	// that are heard; default 500 ms, negative: not at all.
	StartWait time.Duration
	// Settle is how long partitions whose nodes do not all hear each other stay
	// apart before they are reshaped into the best fully connected sets, which
	// takes nodes out of views that work; default 10 s.
	Settle time.Duration
}

// Event is something that happened.
type Event interface{ event() }

// Started: this node takes part from now on (link's LocalActive). Before, the
// core only listens.
type Started struct{}

// NodeUp: link hears the node, with that generation (kinds Up, Returned,
// Restarted).
type NodeUp struct {
	Name, ID   string
	Generation uint64
}

// NodeLost: link declared the node dead, at time At for time lines.
type NodeLost struct {
	Name string
	At   time.Time
}

// StreamBroken: the node lives but messages of it are lost for good (link's
// Broken).
type StreamBroken struct{ Name string }

// Received: another node's core sent a message; Generation is the packet's.
type Received struct {
	From       string
	Generation uint64
	Message    Message
}

// Attached: a local client signed on, Detached: it is gone, InfoSet: its facts
// changed.
type Attached struct {
	Process string
	Info    map[string]string
}

// Detached: a local client is gone.
type Detached struct{ Process string }

// InfoSet: a local client replaced its facts.
type InfoSet struct {
	Process string
	Info    map[string]string
}

// Left: this node leaves for good; the others are told. Nothing is done after it.
type Left struct{}

// Several are taken in together: one view change for all of them. For events
// that are there already; it is no reason to wait.
type Several []Event

// Woken: WakeAt has come.
type Woken struct{}

func (Started) event()      {}
func (NodeUp) event()       {}
func (NodeLost) event()     {}
func (StreamBroken) event() {}
func (Received) event()     {}
func (Attached) event()     {}
func (Detached) event()     {}
func (InfoSet) event()      {}
func (Left) event()         {}
func (Several) event()      {}
func (Woken) event()        {}

// Send is a message to the core of another node; an empty To means all others.
type Send struct {
	To      string
	Message Message
}

// Output is what the server has to do, in this order: publish, then send. It
// is valid until the next Step.
type Output struct {
	Memberships []*Membership // views now in force, one after the other
	Send        []Send
	WakeAt      time.Time // step again at this time at the latest; zero: no need
}

// peer is what link and the node itself told about another node.
type peer struct {
	name, id   string
	generation uint64
	up         bool // link hears it
	left       bool // it said that it leaves
	// blocked: our stream from it was interrupted while it was, or was about to
	// become, a member with us. It counts as not heard until we have installed a
	// view without it.
	blocked bool
	lostAt  time.Time

	state *State // its latest, also when only relayed; nil: none of any generation
	// stale: it may have told a newer State that we could not hear. It does not
	// count until it has told again.
	stale bool

	tellAt    time.Time // when to tell it our State again; zero: no need
	tellAfter time.Duration
	relayed   map[string]version // states of others that we passed on to it
}

func (p *peer) heard() bool { return p.up && !p.left && !p.blocked }

// Core is the state of one node's part in the agreement.
type Core struct {
	opts      Options
	started   bool
	startedAt time.Time
	left      bool

	peers     map[string]*peer
	names     []string // of peers, sorted
	processes []Process
	instances uint64 // attached so far

	self       *State // as last sent; replaced, never written to
	hears      []Peer // room to compute the next one in
	with       []string
	procSerial uint64 // of processes

	current     *View
	installedAt time.Time
	torn        map[string]uint64 // see Accept.Torn; the generation
	// promised is the highest view we accepted; installed if it is current's.
	promised   ViewID
	promisedAt time.Time
	promise    []Peer // members of the promised view
	seen       uint64 // highest number heard of

	proposal *proposal // our own, still incomplete

	// group's last answer; nil when something that it depends on has changed.
	grouped     []*State
	coordinator string

	relayAt   time.Time
	reachable map[string]bool // nodes that a path of neighbours leads to; nil if all hear all
	heldSince time.Time       // since when nodes that we hear are kept out because not all of us hear them
	out       Output
}

// New makes a core that listens until Started.
func New(opts Options) *Core {
	if opts.Retry == 0 {
		opts.Retry = time.Second
	}
	if opts.StartWait == 0 {
		opts.StartWait = 500 * time.Millisecond
	}
	if opts.Settle == 0 {
		opts.Settle = 10 * time.Second
	}
	return &Core{opts: opts, peers: map[string]*peer{}, torn: map[string]uint64{}, seen: opts.Seen}
}

// Current is the view in force, nil before the first.
func (c *Core) Current() *View { return c.current }

// Step takes one event in at time now and returns what to do about it.
func (c *Core) Step(now time.Time, ev Event) Output {
	c.out = Output{Memberships: c.out.Memberships[:0], Send: c.out.Send[:0]}
	if c.left {
		return c.out
	}
	c.take(now, ev)
	if !c.started || c.left {
		return c.out
	}
	for {
		before := c.current
		c.refresh()
		c.coordinate(now)
		if c.current == before {
			break
		}
		// A view that we could install on our own may let in whom it kept out.
	}
	c.repeat(now)
	c.out.WakeAt = c.nextWake(now)
	return c.out
}

func (c *Core) take(now time.Time, ev Event) {
	switch ev := ev.(type) {
	case Started:
		c.started, c.startedAt = true, now
	case NodeUp:
		c.nodeUp(now, ev)
	case NodeLost:
		if p := c.peers[ev.Name]; p != nil && p.up {
			p.up = false
			c.grouped = nil
			c.interrupted(p, ev.At)
		}
	case StreamBroken:
		if p := c.peers[ev.Name]; p != nil {
			c.interrupted(p, now)
			c.ask(now, p)
		}
	case Received:
		c.received(now, ev)
	case Attached:
		c.instances++
		c.processes = slices.DeleteFunc(slices.Clone(c.processes), func(p Process) bool { return p.Name == ev.Process })
		c.processes = append(c.processes, Process{Name: ev.Process, Instance: c.instances, Info: maps.Clone(ev.Info)})
		slices.SortFunc(c.processes, func(a, b Process) int { return strings.Compare(a.Name, b.Name) })
		c.procSerial++
	case Detached:
		c.processes = slices.DeleteFunc(slices.Clone(c.processes), func(p Process) bool { return p.Name == ev.Process })
		c.procSerial++
	case InfoSet:
		c.processes = slices.Clone(c.processes)
		for i := range c.processes {
			if c.processes[i].Name == ev.Process && !maps.Equal(c.processes[i].Info, ev.Info) {
				c.processes[i].Info = maps.Clone(ev.Info)
				c.procSerial++
			}
		}
	case Left:
		c.leave()
	case Several:
		for _, e := range ev {
			c.take(now, e)
		}
	case Woken:
	}
}

func (c *Core) peer(name string) *peer {
	p := c.peers[name]
	if p == nil {
		p = &peer{name: name}
		c.peers[name] = p
		i, _ := slices.BinarySearch(c.names, name)
		c.names = slices.Insert(c.names, i, name)
	}
	return p
}

func (c *Core) nodeUp(now time.Time, ev NodeUp) {
	if ev.Name == c.opts.Node {
		return
	}
	p := c.peer(ev.Name)
	c.grouped = nil
	switch {
	case ev.Generation != p.generation:
		if p.up {
			p.lostAt = now
		}
		p.generation, p.blocked, p.left, p.relayed = ev.Generation, false, false, nil
		if p.state != nil && p.state.Generation < ev.Generation {
			p.state = nil
		}
	case p.up: // Returned without our having been told of the death
		c.interrupted(p, now)
	case c.memberNow(p):
		p.blocked = true
	}
	p.id, p.up = ev.ID, true
	c.ask(now, p)
}

// ask has p tell its State.
func (c *Core) ask(now time.Time, p *peer) {
	c.grouped = nil
	p.stale = true
	p.tellAt, p.tellAfter = now, c.opts.Retry/2
}

// interrupted notes that p's stream has a hole as far as our view goes.
func (c *Core) interrupted(p *peer, at time.Time) {
	c.grouped = nil
	if !p.left {
		p.lostAt = at
	}
	if c.memberNow(p) {
		p.blocked = true
	}
	if c.current.Member(p.name) == nil {
		c.torn[p.name] = p.generation
	}
}

// tornPeers is Accept.Torn.
func (c *Core) tornPeers() []Peer {
	var out []Peer
	for name, generation := range c.torn {
		out = append(out, Peer{name, generation})
	}
	slices.SortFunc(out, func(a, b Peer) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// memberNow: p is in the view in force, or in the one that we promised to.
func (c *Core) memberNow(p *peer) bool {
	if m := c.current.Member(p.name); m != nil && m.Generation == p.generation {
		return true
	}
	return c.pending() && slices.Contains(c.promise, Peer{p.name, p.generation})
}

// pending: we accepted a view that is not installed yet.
func (c *Core) pending() bool {
	return c.promised != ViewID{} && (c.current == nil || c.promised != c.current.ViewID)
}

func (c *Core) leave() {
	c.left = true
	if !c.started {
		return
	}
	s := *c.ownState()
	s.Leaving, s.Hears, s.Serial = true, nil, s.Serial+1
	c.out.Send = append(c.out.Send, Send{Message: &s})
}

// sooner returns the earlier of two times, zero meaning never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
