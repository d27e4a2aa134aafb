// Package link decides which nodes and links are alive and makes a reliable,
// ordered stream of each node's messages out of packets that may be lost,
// doubled, delayed or replayed (HB 4 to 7).
//
// Link is a state machine without I/O: the server feeds it every authentic
// packet and every message to be sent, with the present (monotonic) time, and
// carries out what comes back. It speaks Heartbeat 3.0.6's protocol: sequence
// numbers, NS_rexmit, NS_nak_rexmit and NS_ackmsg, status messages at
// keepalive, generations, reqnodes and repnodes, so that an old node may be a
// peer. It differs in what it promises locally:
//
//   - a node's numbered messages are delivered in order and exactly once. Where
//     that cannot be kept (a peer was dead for us meanwhile, came back with a
//     new generation, or no longer has what was lost) there is a Change of kind
//     Returned, Restarted or Broken before the next message is delivered. The
//     layer above (ccm) lets such a node leave and enter again.
//   - any new numbered message proves that its sender lives; duplicates, old
//     numbers and unnumbered messages prove nothing, as they may be replays.
//   - a node is dead exactly when its dead time (which it dictates itself, HB
//     5.2) has passed. If the local process was not run in time (Woken came much
//     later than WakeAt) peers are given as long again, at most a keepalive, to
//     be heard out of the receive queue (HB 22.17).
//
// How to drive it: New, Step(Started{}), then Step for every event and at
// WakeAt at the latest. Per Output: perform Changes, then Deliver, then Send.
// Packets in Send and Deliver, and the messages in them, are never written to
// again by Link, and the caller must not write to them either, but for fields
// that it puts into its encoded form.
package link

import (
	"math/rand/v2"
	"time"

	"linuxha/heartbeatd/hamsg"
)

// Status is a node's state as status messages carry it (HB 5.1).
type Status string

// The states of a node. Ping nodes are StatusPing or StatusDead.
const (
	StatusInit   Status = "init"
	StatusUp     Status = "up"
	StatusActive Status = "active"
	StatusDead   Status = "dead"
	StatusPing   Status = "ping"
)

// Autojoin says whose packets make a new node (HB 6.3).
type Autojoin uint8

// The values of ha.cf's autojoin.
const (
	AutojoinNone Autojoin = iota
	AutojoinOther
	AutojoinAny
)

// Node is an entry of the node table.
type Node struct {
	Name string
	ID   ID   // zero: not known yet
	Ping bool // a ping node or ping group (HB 11)
	// Generation is the last one that an earlier run of this daemon has seen;
	// packets of older ones are replays. 0: not known.
	Generation uint64
	Weight     int // for quorum, if WeightSet; else DefaultWeight (HB 6.4)
	WeightSet  bool
	Site       string
}

// QuorumWeight is the node's weight.
func (n Node) QuorumWeight() int {
	if n.WeightSet {
		return n.Weight
	}
	return DefaultWeight
}

// Options are all that a Link must know from ha.cf and the state directory.
// Zero durations take HB 12.2's defaults.
type Options struct {
	Node       string
	ID         ID
	Generation uint64 // of this start: larger than at any start before (HB 7.1)
	Nodes      []Node // the other nodes; an entry for Node itself is ignored
	Deleted    []string
	Autojoin   Autojoin

	Keepalive      time.Duration // between status messages; default 1 s
	Deadtime       time.Duration // what we ask others to wait for us; default 30 s
	Warntime       time.Duration // a longer gap is noted; default Deadtime/2
	Initdead       time.Duration // instead of dead times until we are active; default as HB 12.2
	Deadping       time.Duration // for ping nodes; default Deadtime
	MaxRexmitDelay time.Duration // between requests for a lost message; default 250 ms
	// FirstRexmitDelay bounds the wait before the first request, in which a
	// packet that was only overtaken can arrive; default 20 ms.
	FirstRexmitDelay time.Duration
	// Tolerance is how much later than WakeAt the caller may come without
	// being taken for a process that was paused; default 20 ms.
	Tolerance time.Duration
	Hopfudge  int // added to the number of nodes in ttl; default 1
	// ProbeEvery is the interval of echoes that measure round trips; 0: none.
	ProbeEvery time.Duration
	// Modern: our packets are signed with a method that 3.0.6 does not have, so
	// all who understand them are of this stack.
	Modern bool
	// Weight and Site are this node's own, if they were set.
	Self Node
	// Seed makes the random delays; any value, best a different one per node.
	Seed uint64
}

// Event is something that happened.
type Event interface{ event() }

// Started begins: the first status messages go out.
type Started struct{}

// Received: an authentic packet came in over a medium.
type Received struct {
	Medium string
	Packet *Packet
}

// Submitted: a message is to be sent, to the node in its field dest or to all,
// ourselves included. Link numbers it, signs it with src, generation and the
// other standard fields (HB 3.8) and takes it over.
type Submitted struct{ Message *hamsg.Message }

// Woken: WakeAt has come.
type Woken struct{}

// LoadRead gives the line of /proc/loadavg for the field ld; once per
// keepalive is often enough.
type LoadRead struct{ Line string }

// DeadtimeRaised: others shall wait for us so much longer than Deadtime, until
// told otherwise (HB 5.2: before a fork, before restarting ourselves).
type DeadtimeRaised struct{ By time.Duration }

// NodesAdded and NodesDeleted change the node table (HB 6.4). Only dead nodes
// can be deleted; a live one stays.
type NodesAdded struct{ Nodes []Node }

// NodesDeleted takes nodes out of the table and remembers them as deleted.
type NodesDeleted struct{ Names []string }

func (Started) event()        {}
func (Received) event()       {}
func (Submitted) event()      {}
func (Woken) event()          {}
func (LoadRead) event()       {}
func (DeadtimeRaised) event() {}
func (NodesAdded) event()     {}
func (NodesDeleted) event()   {}

// Kind says what changed.
type Kind uint8

// Kinds of Change. For ccm: Up, Returned and Restarted mean that the node can
// be heard with that generation, Dead that it cannot, Broken that messages of
// it were lost for good although it lives.
const (
	Up           Kind = iota + 1 // heard for the first time
	Returned                     // was dead, same generation: a partition healed (HB 7.3)
	Restarted                    // a higher generation (HB 7.2); the old one is gone
	Dead                         // silent for its dead time, or never heard in initdead
	Broken                       // irretrievably lost messages; the stream goes on behind them
	NewStatus                    // its status message says another st
	LinkUp                       // first packet over Medium
	LinkDead                     // none over Medium for the dead time
	Added                        // the node came into the table (autojoin, repnodes)
	Removed                      // the node left the table
	LocalUp                      // our own status is now "up": first status messages are out
	AllHeard                     // every node was heard or is dead; we ask for the node list (HB 6.1)
	LocalActive                  // our own status is now "active": clients may be served
	LocalDeleted                 // somebody deleted this node from the cluster: stop
	Described                    // a node's weight or site was set
)

var kindNames = [...]string{
	Up: "up", Returned: "returned", Restarted: "restarted", Dead: "dead", Broken: "broken", NewStatus: "status",
	LinkUp: "link up", LinkDead: "link dead", Added: "added", Removed: "removed",
	LocalUp: "local up", AllHeard: "all heard", LocalActive: "local active",
	LocalDeleted: "local deleted", Described: "described",
}

func (k Kind) String() string { return kindNames[k] }

// Change is news about a node or link.
type Change struct {
	Kind       Kind
	Node       string
	ID         ID
	Generation uint64
	Status     Status // the node's, after the change
	Ping       bool
	Medium     string // LinkUp, LinkDead
	// Shutdown tells with Dead that the node had announced its end (shutdone).
	Shutdown bool
}

// Level of a Note, as Heartbeat names them.
type Level uint8

// Levels.
const (
	Info Level = iota
	Warn
	Error
	Crit
)

// Note is a line for the log, in the words users search for (HB 5.3, 23).
type Note struct {
	Level Level
	Text  string
}

// Output is what the caller has to do, in this order.
type Output struct {
	Changes []Change
	Deliver []*Packet // for this node, in order per sender; Src names it
	Send    []*Packet // to every medium, in this order
	Notes   []Note
	Resent  int // messages in Send that were sent before
	// Congested: too much is not acknowledged (HB 4.4). Take nothing more from
	// clients until it is false again.
	Congested bool
	WakeAt    time.Time // step again at this time at the latest
}

// Limits of HB 4.
const (
	historySize   = 500 // messages kept for retransmission
	maxMissing    = 250 // more lost in a row: start over
	maxUnacked    = 250 // then clients wait
	maxPerRequest = 50  // messages per retransmission request
	ackEvery      = 10
	linkWindow    = 50 // a duplicate this far behind still proves its link
)

// Link is the state of one node's messaging.
type Link struct {
	opts  Options
	rng   *rand.Rand
	nodes []*node // sorted by name, without ourselves
	byID  map[ID]*node
	named map[string]*node

	deleted map[string]bool
	self    Node
	src     []byte // our name
	load    []byte
	extra   time.Duration // DeadtimeRaised

	status    Status
	startedAt time.Time
	heardAll  bool
	asking    int // index of the node asked for its list
	askAgain  time.Time

	nonce     uint64 // of challenges
	probeID   uint64
	probeAt   time.Time
	probeNext time.Time
	strangers limited // lines
	replays   limited

	history  history
	nextBeat time.Time
	// nextCheck is not later than the earliest deadline of any node; deadlines
	// only move away, so it may be too early, and then it is computed anew.
	nextCheck time.Time
	wake      time.Time // WakeAt of the last Output

	out Output
}

// New makes a Link that does nothing before Started.
func New(opts Options) *Link {
	opts = opts.withDefaults()
	l := &Link{
		opts:    opts,
		rng:     rand.New(rand.NewPCG(opts.Seed, 0x6c696e6b)),
		byID:    map[ID]*node{},
		named:   map[string]*node{},
		deleted: map[string]bool{},
		src:     []byte(opts.Node),
		load:    []byte("n/a"),
		status:  StatusInit,
		self:    opts.Self,
	}
	l.self.Name, l.self.ID, l.self.Generation = opts.Node, opts.ID, opts.Generation
	for _, name := range opts.Deleted {
		l.deleted[name] = true
	}
	for _, n := range opts.Nodes {
		l.add(n)
	}
	return l
}

func (o Options) withDefaults() Options {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&o.Keepalive, time.Second)
	def(&o.Deadtime, 30*time.Second)
	def(&o.Warntime, o.Deadtime/2)
	switch {
	case o.Initdead != 0:
	case o.Deadtime > 10*time.Second:
		o.Initdead = o.Deadtime
	case o.Deadtime >= 6*time.Second:
		o.Initdead = 2 * o.Deadtime
	default:
		o.Initdead = 12 * time.Second
	}
	def(&o.Deadping, o.Deadtime)
	def(&o.MaxRexmitDelay, 250*time.Millisecond)
	def(&o.FirstRexmitDelay, min(20*time.Millisecond, o.MaxRexmitDelay))
	def(&o.Tolerance, 20*time.Millisecond)
	if o.Hopfudge == 0 {
		o.Hopfudge = 1
	}
	return o
}

// Step takes one event in at time now and returns what to do about it. The
// Output is valid until the next Step. Of now only differences count.
func (l *Link) Step(now time.Time, ev Event) Output {
	l.out = Output{Changes: l.out.Changes[:0], Deliver: l.out.Deliver[:0], Send: l.out.Send[:0]}
	l.forgiveLateness(now)
	switch ev := ev.(type) {
	case Started:
		l.start(now)
	case Received:
		l.received(now, ev.Medium, ev.Packet)
	case Submitted:
		l.submit(now, ev.Message)
	case Woken:
	case LoadRead:
		l.load = []byte(ev.Line)
	case DeadtimeRaised:
		l.extra = ev.By
		l.beat(now)
	case Configured:
		l.configure(now, ev)
	case NodesAdded:
		for _, n := range ev.Nodes {
			l.addLate(now, n)
		}
	case NodesDeleted:
		for _, name := range ev.Names {
			l.remove(name, true)
		}
	}
	if l.startedAt.IsZero() {
		return l.out
	}
	if !now.Before(l.nextCheck) {
		l.check(now)
	}
	if !now.Before(l.nextBeat) {
		l.beat(now)
		if l.nextBeat = l.nextBeat.Add(l.opts.Keepalive); !l.nextBeat.After(now) {
			l.nextBeat = now.Add(l.opts.Keepalive)
		}
	}
	l.wake = l.nextBeat
	if at := l.probe(now); !at.IsZero() && at.Before(l.wake) {
		l.wake = at
	}
	if l.nextCheck.Before(l.wake) {
		l.wake = l.nextCheck
	}
	l.out.WakeAt = l.wake
	l.out.Congested = len(l.history.sent) > maxUnacked && l.history.unacked(l.ackPoint()) > maxUnacked
	return l.out
}

// forgiveLateness gives every node more time if this process was not run when
// it wanted to be: what the others sent meanwhile is still in the queue.
func (l *Link) forgiveLateness(now time.Time) {
	if l.wake.IsZero() {
		return
	}
	late := now.Sub(l.wake)
	if late <= l.opts.Tolerance {
		return
	}
	until := now.Add(min(late, l.opts.Keepalive))
	for _, n := range l.nodes {
		n.grace = until
	}
	l.nextCheck = until
	l.wake = now
	if late > l.opts.Warntime {
		l.note(Warn, "this process was not run for "+ms(late)+" ms longer than it asked for; waiting before nodes are declared dead")
	}
}
