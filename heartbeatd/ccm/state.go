package ccm

import (
	"slices"
	"time"
)

// Message is what cores send to each other: *State, *Propose, *Accept,
// *Reject or *Install. They are never written to once sent.
type Message interface{ message() }

// Peer is a node that is heard, with its generation.
type Peer struct {
	Name       string
	Generation uint64
}

// State is what a node tells of itself whenever it changes. It may be passed
// on by another node to those that cannot hear the first.
type State struct {
	Node, ID   string
	Generation uint64
	Serial     uint64 // grows with every change
	Hears      []Peer // sorted by name
	Processes  []Process
	ProcSerial uint64   // grows with every change of Processes
	At         ViewID   // its view in force
	With       []string // the members of that view that it hears and that did not go on without it, sorted
	BornOn     uint64   // own, in the view in force; 0: none yet
	Seen       uint64   // highest number of a view it heard of
	Leaving    bool
	Ask        bool // tell me yours, although you may have done so
}

// Propose asks the members for their agreement. Base is the proposer's view.
type Propose struct {
	ViewID
	Members []Peer
	Base    ViewID
}

// Accept promises to install no view with a lower number any more. View is
// the accepter's view if it is another than the proposal's base.
type Accept struct {
	ViewID
	State *State
	At    ViewID // accepter's view in force
	View  *View
	// Torn are nodes that are not in that view, of which messages may be missing
	// since it came into force: the accepter has not been with them in a view
	// that it missed. Sorted by name.
	Torn []Peer
}

// Reject tells that ViewID cannot be accepted or installed because of a
// promise to the number Promised.
type Reject struct {
	ViewID
	Promised uint64
}

// Install puts a view in force that all its members have accepted.
type Install struct{ View *View }

func (*State) message()   {}
func (*Propose) message() {}
func (*Accept) message()  {}
func (*Reject) message()  {}
func (*Install) message() {}

// version tells how new a State is.
type version struct{ generation, serial uint64 }

func (s *State) version() version { return version{s.Generation, s.Serial} }

func (s *State) hears(name string, generation uint64) bool {
	i, ok := slices.BinarySearchFunc(s.Hears, name, comparePeer)
	return ok && s.Hears[i].Generation == generation
}

func comparePeer(p Peer, name string) int {
	switch {
	case p.Name < name:
		return -1
	case p.Name > name:
		return 1
	}
	return 0
}

// ownState is our State as of now; the same value as long as nothing changed.
func (c *Core) ownState() *State {
	s := State{
		Node: c.opts.Node, ID: c.opts.ID, Generation: c.opts.Generation, Serial: 1,
		Hears: c.hears[:0], Processes: c.processes, ProcSerial: c.procSerial, With: c.with[:0], Seen: c.seen,
	}
	if c.current != nil {
		s.At, s.BornOn = c.current.ViewID, c.current.Member(c.opts.Node).BornOn
	}
	for _, name := range c.names {
		p := c.peers[name]
		if !p.heard() {
			continue
		}
		s.Hears = append(s.Hears, Peer{name, p.generation})
		if m := c.current.Member(name); m != nil && m.Generation == p.generation && !c.wentOn(p.state) {
			s.With = append(s.With, name)
		}
	}
	c.hears, c.with = s.Hears, s.With
	if old := c.self; old != nil {
		if old.ProcSerial == s.ProcSerial && old.At == s.At && slices.Equal(old.Hears, s.Hears) && slices.Equal(old.With, s.With) {
			return old
		}
		s.Serial = old.Serial + 1
	}
	s.Hears, s.With = slices.Clone(s.Hears), slices.Clone(s.With)
	c.self, c.grouped = &s, nil
	return c.self
}

// wentOn: the node of s has a later view than we, without us.
func (c *Core) wentOn(s *State) bool {
	if s == nil || c.current == nil || s.At.Number <= c.current.Number {
		return false
	}
	_, with := slices.BinarySearch(s.With, c.opts.Node)
	return !with
}

// told is our State, which everybody has been told.
func (c *Core) told() *State {
	before := c.self
	s := c.ownState()
	if s != before {
		c.out.Send = append(c.out.Send, Send{Message: s})
	}
	return s
}

// refresh unblocks whom we can, and broadcasts our State if it changed.
func (c *Core) refresh() {
	for _, name := range c.names {
		if p := c.peers[name]; p.blocked && !c.memberNow(p) {
			p.blocked, c.grouped = false, nil
		}
	}
	c.told()
}

func (c *Core) received(now time.Time, ev Received) {
	p := c.peers[ev.From]
	if p == nil || !p.up || p.generation != ev.Generation {
		return
	}
	switch m := ev.Message.(type) {
	case *State:
		c.learn(now, p, m)
	case *Propose:
		c.proposed(now, p, m)
	case *Accept:
		c.accepted(now, p, m)
	case *Reject:
		c.rejected(now, p, m)
	case *Install:
		c.installed(now, p, m)
	}
}

// learn takes in the State of its sender, or of a third node passed on by it.
func (c *Core) learn(now time.Time, from *peer, s *State) {
	if s.Node == c.opts.Node {
		return
	}
	c.seen = max(c.seen, s.Seen)
	p := c.peer(s.Node)
	if p.up && s.Generation != p.generation {
		return
	}
	if s.Ask && p == from && c.started {
		c.out.Send = append(c.out.Send, Send{To: p.name, Message: c.told()})
	}
	if p == from {
		if p.stale {
			p.stale, c.grouped = false, nil
		}
		if s.hears(c.opts.Node, c.opts.Generation) {
			p.tellAt = time.Time{}
		}
	}
	first := p.state == nil || p.state.Generation != s.Generation
	if !first && s.Serial <= p.state.Serial || p.state != nil && s.Generation < p.state.Generation {
		return
	}
	p.state, c.grouped = s, nil
	if s.Leaving && !p.left {
		p.left, p.lostAt = true, now
	}
	if p == from {
		if first && c.started && !s.Ask {
			c.out.Send = append(c.out.Send, Send{To: p.name, Message: c.told()})
		}
		if !s.hears(c.opts.Node, c.opts.Generation) {
			p.tellAt, p.tellAfter = now.Add(c.opts.Retry), c.opts.Retry
		}
	}
}

// relayDelay keeps the different moments at which nodes notice the same death
// from looking like a network in which not all hear each other.
const relayDelay = 200 * time.Millisecond

// lookForRelays arranges for States to be passed on if some node we hear does
// not hear another one that we know.
func (c *Core) lookForRelays(now time.Time) {
	if !c.relayAt.IsZero() {
		return
	}
	c.eachUntold(func(*peer, *State) { c.relayAt = now.Add(relayDelay) })
}

// eachUntold calls f for every node that we hear and every State of a third
// node that it can have from us alone.
func (c *Core) eachUntold(f func(*peer, *State)) {
	for _, to := range c.names {
		p := c.peers[to]
		if !p.heard() || p.state == nil {
			continue
		}
		for _, about := range c.names {
			q := c.peers[about]
			if q == p || !q.heard() && !c.reachable[about] || c.vertex(q) == nil || q.state == nil || q.stale || p.state.hears(about, q.state.Generation) {
				continue
			}
			if p.relayed[about] != q.state.version() {
				f(p, q.state)
			}
		}
	}
}

// repeat says again what may have been lost with a broken stream, and passes
// on States.
func (c *Core) repeat(now time.Time) {
	for _, name := range c.names {
		p := c.peers[name]
		if p.tellAt.IsZero() || now.Before(p.tellAt) {
			continue
		}
		if !p.up || p.left {
			p.tellAt = time.Time{}
			continue
		}
		// A node of another implementation never answers: ask ever less often.
		p.tellAfter = min(2*p.tellAfter, 32*c.opts.Retry)
		p.tellAt = now.Add(p.tellAfter)
		ask := *c.self
		ask.Ask = true
		c.out.Send = append(c.out.Send, Send{To: name, Message: &ask})
	}
	if !c.relayAt.IsZero() && !now.Before(c.relayAt) {
		c.relayAt = time.Time{}
		c.eachUntold(func(p *peer, s *State) {
			if p.relayed == nil {
				p.relayed = map[string]version{}
			}
			p.relayed[s.Node] = s.version()
			c.out.Send = append(c.out.Send, Send{To: p.name, Message: s})
		})
	}
}

func (c *Core) nextWake(now time.Time) time.Time {
	next := c.relayAt
	for _, name := range c.names {
		next = sooner(next, c.peers[name].tellAt)
	}
	if c.current == nil && c.opts.StartWait > 0 {
		if at := c.startedAt.Add(c.opts.StartWait); at.After(now) {
			next = sooner(next, at)
		}
	}
	if c.proposal != nil {
		next = sooner(next, c.proposal.repeatAt)
	}
	if c.pending() {
		next = sooner(next, c.promisedAt.Add(c.opts.Retry))
	}
	if !c.heldSince.IsZero() {
		if at := c.heldSince.Add(c.opts.Settle); at.After(now) {
			next = sooner(next, at)
		}
	}
	if c.current != nil && c.lagging() {
		if at := c.installedAt.Add(c.opts.Retry); at.After(now) {
			next = sooner(next, at)
		}
	}
	if !next.IsZero() && !next.After(now) {
		next = now.Add(c.opts.Retry)
	}
	return next
}
