// Package classic decides which of two nodes runs which resource groups of
// haresources, when no cluster resource manager does (HB 8). It speaks
// Heartbeat 3.0.6's resource protocol, so that an old node may be the other one.
//
// Core is a state machine without I/O: the server feeds it what link found out,
// the protocol's messages and the ends of jobs, with the present time, and
// carries out what comes back. One job at a time acquires or releases groups,
// or fences a node.
//
// Towards an old node every exchange is 3.0.6's. It differs where 3.0.6 leaves
// services down or runs them twice:
//
//   - nodes that start together take their groups as soon as each knows that the
//     other has none; 3.0.6 waits ten seconds.
//   - after a healed partition nobody restarts: each node tells what it took over
//     meanwhile (field lha_took) and gives back just that.
//   - groups that nobody holds although both nodes are at rest are taken by
//     their owner, or by the other node if the owner does not care; 3.0.6 logs an
//     error and leaves them.
package classic

import (
	"fmt"
	"time"
)

// Failback is ha.cf's auto_failback.
type Failback string

// The values of auto_failback.
const (
	FailbackOn     Failback = "on"
	FailbackOff    Failback = "off"
	FailbackLegacy Failback = "legacy" // the protocol of HB 8.10
)

// Options are what a Core must know of the configuration.
type Options struct {
	Node string
	Peer string // the other node; "": there is none
	// Failback is one of the three values.
	Failback Failback
	// Fencing: a device is configured that can reset the other node.
	Fencing bool
	// Keys are the keys of the node's own groups, for auto_failback legacy.
	Keys []string
}

// Event is something that happened.
type Event interface{ event() }

// Active: this node has become active; PeerAlive tells whether the other is
// known to live (else it was declared dead).
type Active struct{ PeerAlive bool }

// PeerUp: the other node can be heard.
type PeerUp struct {
	// Returned: it was dead for us, but had only not been heard.
	Returned bool
}

// PeerActive: the other node says that it is active, for the first time since
// PeerUp.
type PeerActive struct{}

// PeerDead: the other node was declared dead.
type PeerDead struct{}

// Received is a message of From; a message that a program of this node wrote
// into the FIFO comes From this node. Messages that Core itself sent must not
// be fed back.
type Received struct {
	From    string
	Message Message
}

// JobDone is the end of the job with that number.
type JobDone struct {
	ID int
	// Failed are the groups' sides on which something did not start; such
	// groups were stopped again.
	Failed Holding
	// Error says why a Fence failed; "": it worked.
	Error string
	// Held tells whether the group of a GiveKey was running here.
	Held bool
	// Running are the sides in a Survey's Keep of which something runs here.
	Running Holding
}

// Stop begins the orderly end: resources are given up.
type Stop struct{}

// Woken: WakeAt has come.
type Woken struct{}

func (Active) event()     {}
func (PeerUp) event()     {}
func (PeerActive) event() {}
func (PeerDead) event()   {}
func (Received) event()   {}
func (JobDone) event()    {}
func (Stop) event()       {}
func (Woken) event()      {}

// Kind of a Job.
type Kind uint8

// What jobs do.
const (
	Acquire Kind = iota + 1 // start the groups of What in file order
	Release                 // stop them
	Survey                  // look which of them run here; stop those that are not in Keep
	Fence                   // reset Node
	TakeKey                 // acquire the group with that key
	GiveKey                 // release it if its first resource is running
)

var kindNames = [...]string{Acquire: "acquire", Release: "release", Survey: "survey", Fence: "fence", TakeKey: "take", GiveKey: "give"}

func (k Kind) String() string { return kindNames[k] }

// Job is to be carried out; its end is reported by JobDone.
type Job struct {
	ID   int
	Kind Kind
	What Holding // Acquire, Release, Survey: groups that are local, foreign or all
	Keep Holding // Survey: those that may go on
	Node string  // Fence
	Key  string  // TakeKey, GiveKey

	over bool   // an Acquire that takes over from a dead or leaving node
	ask  string // who wants to know the outcome of a GiveKey
}

func (j Job) String() string {
	switch j.Kind {
	case Survey:
		return fmt.Sprintf("survey %v, keep %v", j.What, j.Keep)
	case Fence:
		return "fence " + j.Node
	case TakeKey, GiveKey:
		return j.Kind.String() + " " + j.Key
	}
	return j.Kind.String() + " " + j.What.String()
}

// Level of a line, as Heartbeat names them.
type Level string

// The levels that occur.
const (
	Info  Level = "info"
	Warn  Level = "WARN"
	Error Level = "ERROR"
	Crit  Level = "CRIT"
)

// Line is for the log, in the words that users and programs search for (HB
// 16.2).
type Line struct {
	Level Level
	Text  string
}

// Output is what the caller has to do, in this order.
type Output struct {
	Log  []Line
	Send []Message // to the cluster, in this order
	Job  *Job      // to be started; the one before has ended
	// Taken: the takeover from the dead node is complete; now is the time for
	// the script rc.d/status.
	Taken bool
	// Stopped: resources are given up; the node may leave.
	Stopped bool
	WakeAt  time.Time // step again at this time at the latest; zero: never
}

// Times of the protocol.
const (
	joinPatience    = 10 * time.Second // for a report of the other node (HB 8.4)
	standbyReply    = 10 * time.Second // HB 8.7
	standbyBegin    = 12 * time.Second // from our agreement until the other stops its groups
	standbyWork     = time.Hour
	fenceAgain      = 5 * time.Second
	failbackAgain   = time.Second
	failedMoves     = 30 * time.Second // a group that did not start goes to the other node (HB 19.3)
	returnPatience  = 5 * time.Second  // for a node that returned to tell, or to restart as 3.0.6 does
	inquireAgain    = time.Second
	startingAgain   = 2 * time.Second // nobody answered
	orphanedLocal   = time.Second     // groups nobody holds
	orphanedForeign = 5 * time.Second
)

type phase uint8

const (
	waiting  phase = iota // not active yet
	joining               // active; who has what is not settled
	running               // settled
	stopping              // giving everything up
	stopped
)

// peer is what is known of the other node, in our words.
type peer struct {
	alive    bool
	starting bool    // it asked who has what, and has not settled since
	known    bool    // it has told what it holds
	stable   bool    // and does not want to take more
	held     Holding // the last that was known
	took     Holding // of that, taken over because it thought us dead
	left     bool    // it gave everything up and goes
	dirty    bool    // it may hold something, must be fenced first
	suspect  time.Time
}

// Core is the state of one node's resources.
type Core struct {
	opt   Options
	phase phase
	held  Holding
	took  Holding // of held: taken over from a node that was dead for us
	peer  peer

	job     *Job
	jobs    int
	keys    []Job    // TakeKey and GiveKey that wait
	asking  []string // legacy: own groups that the other was asked for
	standby standby

	stopWanted bool
	released   bool    // after stopWanted
	surveyed   bool    // what a killed predecessor left running is known
	left       Holding // of that, what the other node does not have
	failback   bool    // the other node came back: give it what is its own
	announced  bool    // "Initial resource acquisition complete"
	takenOver  bool    // Taken is due

	conflict   Holding // what both had at the last report
	joinBy     time.Time
	fenceAt    time.Time
	failbackAt time.Time
	failed     Holding // to be moved at failedAt
	failedAt   time.Time
	inquireAt  time.Time
	startingAt time.Time
	askAt      time.Time
	orphans    Holding // nobody's, since orphansAt
	orphansAt  time.Time

	out Output
}

// New makes a Core that does nothing before Active.
func New(opt Options) *Core { return &Core{opt: opt} }

// State is what cl_status rscstatus says: none, local, foreign, all, or
// transition while that changes.
func (c *Core) State() string {
	if c.opt.Failback == FailbackLegacy && c.job == nil || c.stable() {
		return c.held.String()
	}
	return "transition"
}

// Step takes one event in at time now and returns what to do about it. The
// Output is valid until the next Step.
func (c *Core) Step(now time.Time, ev Event) Output {
	c.out = Output{Log: c.out.Log[:0], Send: c.out.Send[:0]}
	switch ev := ev.(type) {
	case Active:
		c.active(now, ev.PeerAlive)
	case PeerUp:
		c.peerUp(now, ev.Returned)
	case PeerActive:
		c.peerActive(now)
	case PeerDead:
		c.peerDead()
	case Received:
		c.received(now, ev.From, ev.Message)
	case JobDone:
		if c.job != nil && c.job.ID == ev.ID {
			done := *c.job
			c.job = nil
			c.jobDone(now, done, ev)
		}
	case Stop:
		c.stop()
	case Woken:
	}
	c.standbyTimeout(now)
	c.decide(now)
	c.out.WakeAt = c.wakeAt(now)
	return c.out
}

func (c *Core) legacy() bool { return c.opt.Failback == FailbackLegacy }

func (c *Core) log(level Level, format string, args ...any) {
	c.out.Log = append(c.out.Log, Line{level, fmt.Sprintf(format, args...)})
}

func (c *Core) send(m Message) { c.out.Send = append(c.out.Send, m) }

// stable: this node does not intend to take or give anything now.
func (c *Core) stable() bool {
	return c.phase == running && c.job == nil && len(c.keys) == 0 && c.standby.phase == idle && !c.stopWanted
}

// report tells what we hold, what we are just taking included.
func (c *Core) report(info string) {
	if c.legacy() {
		return
	}
	hold := c.held
	if c.job != nil && c.job.Kind == Acquire {
		hold |= c.job.What
	}
	if c.job != nil && c.job.Kind == Release {
		hold |= c.job.What & c.held // until it is done
	}
	if c.phase == stopping {
		hold = None
	}
	c.send(Message{Type: TypeResource, Hold: hold, Full: true, Stable: c.stable(), Took: c.took & hold, Info: info})
}

func (c *Core) active(now time.Time, peerAlive bool) {
	if c.phase != waiting {
		return
	}
	c.phase = joining
	c.peer.alive = peerAlive
	if c.legacy() {
		c.legacyActive(now)
		return
	}
	if peerAlive {
		c.peer.known = false
		c.joinBy = now.Add(joinPatience)
		c.startingAt = now
		return
	}
	c.mourn()
}

func (c *Core) peerUp(now time.Time, returned bool) {
	c.cancelStandby() // messages of it may be lost
	c.peer.alive, c.peer.dirty, c.peer.left = true, false, false
	c.peer.known, c.peer.stable, c.peer.starting = false, false, false
	if !returned {
		c.peer.held, c.peer.took, c.peer.suspect = None, None, time.Time{}
		return
	}
	// A node of ours answers, one of 3.0.6 restarts in two seconds.
	c.peer.suspect = now.Add(returnPatience)
	c.inquire(now)
}

// peerActive: a node that has just started will send its starting message soon.
// One that does not was started while we could not hear it.
func (c *Core) peerActive(now time.Time) {
	if p := &c.peer; p.alive && !p.known && !p.starting && p.suspect.IsZero() {
		p.suspect = now.Add(returnPatience)
		c.inquireAt = now.Add(inquireAgain)
	}
}

// inquire asks a node that returned what it holds, and tells what we do.
func (c *Core) inquire(now time.Time) {
	if c.legacy() || c.phase != running && c.phase != joining {
		return
	}
	c.report("")
	c.out.Send[len(c.out.Send)-1].Ask = true
	c.inquireAt = now.Add(inquireAgain)
}

func (c *Core) peerDead() {
	if !c.peer.alive && c.phase != waiting {
		return
	}
	c.peer.alive, c.peer.starting, c.peer.suspect = false, false, time.Time{}
	if c.standby.phase == given {
		c.peer.held |= c.standby.what // it was about to start them, or has
	}
	c.cancelStandby()
	c.failback = false
	if c.phase == waiting || c.phase >= stopping || c.stopWanted {
		return
	}
	c.takeAsked()
	c.mourn()
}

// mourn prepares the takeover from a node that was declared dead (HB 8.5).
func (c *Core) mourn() {
	p := &c.peer
	if c.opt.Peer == "" {
		return
	}
	gaveUp := p.left || p.known && p.held == None
	p.stable, p.known = false, false
	switch {
	case gaveUp:
		c.log(Info, "Dead node %s gave up resources.", c.opt.Peer)
		c.send(Message{Type: TypeStonith, Node: c.opt.Peer, Result: "unneeded"})
	case !c.opt.Fencing:
		c.log(Warn, "No STONITH device configured.")
		c.log(Warn, "Shared disks are not protected.")
		c.send(Message{Type: TypeStonith, Node: c.opt.Peer, Result: "n_stnth"})
		c.log(Info, "Resources being acquired from %s.", c.opt.Peer)
	default:
		p.dirty = true
		c.fenceAt = time.Time{}
	}
	c.takenOver = true
}

// received is every message of the protocol.
func (c *Core) received(now time.Time, from string, m Message) {
	own := from == c.opt.Node
	if !own && (from != c.opt.Peer || !c.peer.alive) {
		return
	}
	switch m.Type {
	case TypeStarting:
		if !own {
			c.peerStarting()
		}
	case TypeResource:
		switch {
		case own:
			c.scriptTook(m)
		case m.Full:
			c.peerReport(now, m)
		default:
			c.peer.held |= m.Hold.Mirror()
		}
	case TypeAsk:
		c.ask(now, from, m)
	case TypeTakeover:
		if !own {
			c.goStandby(now, m.Hold.Mirror())
		}
	case TypeIPRequest:
		if !own {
			c.keys = append(c.keys, Job{Kind: GiveKey, Key: m.Key, ask: from})
		}
	case TypeIPResponse:
		if m.To == c.opt.Node {
			c.log(Info, "received ip-request-resp %s %s %s", m.Key, map[bool]string{true: "OK", false: "fail"}[m.OK], yes(m.WeOwn))
			c.answered(m.Key)
			if m.OK {
				c.keys = append(c.keys, Job{Kind: TakeKey, Key: m.Key})
			}
		}
	case TypeShutdone:
		if !own {
			c.peerLeft()
		}
	}
}

// peerStarting: the other daemon is new and asks what we hold (HB 8.3).
func (c *Core) peerStarting() {
	c.cancelStandby()
	p := &c.peer
	p.starting, p.stable, p.left, p.took, p.suspect = true, false, false, None, time.Time{}
	c.took = None
	c.failback = c.opt.Failback == FailbackOn
	c.report("")
}

// peerReport is a resource message of the other daemon.
func (c *Core) peerReport(now time.Time, m Message) {
	p := &c.peer
	if m.Ask {
		c.cancelStandby() // we were dead for it: it has forgotten
	}
	turned := m.Stable && !(p.known && p.stable)
	p.known, p.stable, p.held, p.took, p.suspect = true, m.Stable, m.Hold.Mirror(), m.Took.Mirror(), time.Time{}
	if p.stable {
		p.starting = false
	} else if c.standby.phase == offered {
		c.standby.until = now.Add(standbyWork) // it has begun to stop its groups
	}
	if m.Info != "shutdown" {
		p.left = false
	}
	both := c.held & p.held
	conflict := both != None && both != c.conflict
	c.conflict = both
	if s := c.standby.phase; both != None && (s == asked || s == offered) {
		c.cancelStandby() // there is something to repair first
	}
	if turned && c.phase != waiting {
		c.log(Info, "remote resource transition completed.")
	}
	if (turned || conflict || m.Ask) && c.phase != waiting && c.phase != stopping {
		c.report("")
	}
	c.audit()
}

// peerLeft is the other node's shutdone.
func (c *Core) peerLeft() {
	c.log(Info, "Received shutdown notice from '%s'.", c.opt.Peer)
	p := &c.peer
	p.left, p.known, p.stable, p.starting, p.held = true, true, false, false, None
	p.suspect = time.Time{}
	if c.phase == stopping || c.stopWanted {
		c.log(Info, "Resource takeover cancelled - shutdown in progress.")
		return
	}
	c.cancelStandby()
	c.takeAsked()
	if c.phase == running || c.phase == joining {
		c.log(Info, "Resources being acquired from %s.", c.opt.Peer)
	}
}

// scriptTook: mach_down, run by hand or by a script of 3.0.6, has acquired the
// other node's groups.
func (c *Core) scriptTook(m Message) {
	if m.Info == "mach_down" && !m.Full && c.phase == running && (!c.peer.alive || c.peer.left) {
		c.held |= m.Hold
	}
}

// audit logs what must not be (HB 8.11); decide repairs it.
func (c *Core) audit() {
	p := &c.peer
	if c.held&p.held&Local != 0 {
		c.log(Error, "Both machines own our resources!")
	}
	if c.held&p.held&Foreign != 0 {
		c.log(Error, "Both machines own foreign resources!")
	}
	if missing := All &^ c.held &^ p.held; p.stable && c.stable() {
		if missing&Local != 0 {
			c.log(Error, "No one owns our local resources!")
		}
		if missing&Foreign != 0 {
			c.log(Error, "No one owns foreign resources!")
		}
	}
}

func (c *Core) stop() {
	if c.stopWanted || c.phase == stopped {
		return
	}
	c.stopWanted = true
	if c.job != nil {
		c.log(Warn, "Shutdown delayed until current resource activity finishes.")
	}
}
