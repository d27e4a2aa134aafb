// Package te is the transition engine: it runs the graphs that the scheduler
// computes and says when the next one is needed (crm 5).
//
// Core is a state machine without I/O. It is active on the DC only. The shell
// feeds it what happened (answers of the scheduler, results of operations,
// outcomes of fencing, nodes that left, changes of the CIB) and carries out the
// effects: ask the scheduler, start an action, count a failure. After the last
// event of a turn the shell steps TurnEnd, so that what arrives together causes
// one computation (crm 9.2).
//
// Unlike the reference an abort does not wait for what is in flight (crm 9.1).
// The aborted graph keeps only its completion actions (priority 1000000,
// notifications for instance) and ends by itself. The next graph is computed at
// once with the operations in flight as given facts: as pending records in the
// CIB or, where those are not yet written, in Compute.Unrecorded. An action of
// the new graph that is in flight already is adopted, not started twice; any
// other action for the same resource waits for it.
package te

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"linuxha/internal/graph"
)

// Version is a CIB's tuple: admin_epoch, epoch, num_updates. The zero value
// stands for "not a change of the CIB".
type Version [3]int64

// After says whether v is later than w.
func (v Version) After(w Version) bool { return slices.Compare(v[:], w[:]) > 0 }

// Status values of an operation that the engine looks at (crm 4.6).
const (
	StatusPending   = -1
	StatusDone      = 0
	StatusCancelled = 1
	StatusTimeout   = 2
	StatusNotNow    = 9
)

// Phase is what the engine is about.
type Phase int

// The phases.
const (
	PhaseStopped Phase = iota
	PhaseWaiting       // a computation is wanted and held back
	PhaseComputing
	PhaseExecuting
	PhaseIdle
)

// Core is the engine.
type Core struct {
	self string
	uuid string
	opts Options

	phase   Phase
	cur     *run
	old     []*run // aborted graphs with completion actions left
	lastID  int    // number of the last graph; numbers never repeat
	flights map[string]*flight
	ready   map[string]bool

	ref       uint64
	input     Version // of the computation under way or in force
	inputSeen bool    // Asked came for ref
	dirty     bool    // the computation under way is void already
	dirtyAt   Version // latest CIB change among the reasons; zero: another reason
	counting  int     // CountFailures not yet answered
	computeAt time.Time
	hopeless  bool // last input killed the scheduler: only news may ask again

	// A storm of changes of the configuration that call for no action.
	idle    int       // computations in a row that it asked for, without an action
	askedAt time.Time // last computation
	took    time.Duration
	urgent  bool // what is waited for, or void already, is not of the configuration alone

	failures map[string]int       // failed fencing per target, also while not active
	retryAt  map[string]time.Time // no new attempt before

	lookAgain time.Time       // compute anew then, if nothing else has made us; zero: no need
	counted   map[string]bool // failures counted already
	granted   bool

	startOffset, stopOffset string // of the last graph (crm 5.2)
	leaving                 bool   // the graph shuts this node down

	out Output
}

// New returns the engine of the node self.
func New(self string) *Core {
	return &Core{
		self: self, lastID: -1, flights: map[string]*flight{}, ready: map[string]bool{},
		failures: map[string]int{}, retryAt: map[string]time.Time{}, counted: map[string]bool{},
		startOffset: "INFINITY", stopOffset: "INFINITY",
	}
}

// Phase says what the engine is doing.
func (c *Core) Phase() Phase { return c.phase }

// InFlight returns what is under way, in the order of keys.
func (c *Core) InFlight() []Flight {
	var fs []Flight
	for _, k := range c.flightKeys() {
		fs = append(fs, c.flights[k].Flight)
	}
	return fs
}

// Explains says whether the graph in force takes the node down on purpose.
func (c *Core) Explains(node string) bool {
	if c.cur == nil {
		return false
	}
	for _, s := range c.cur.synapses {
		for _, a := range s.Actions {
			if a.Node == node && a.Kind != graph.RscOp && (a.Operation == "do_shutdown" || a.Operation == "stonith") && s.fired {
				return true
			}
		}
	}
	return false
}

// TakesDown says whether the graph in force takes the node with this id down.
func (c *Core) TakesDown(id string) bool {
	return c.cur != nil && slices.Contains(c.cur.graph.DownedBy(), id)
}

// Step takes one event in at time now.
func (c *Core) Step(now time.Time, ev Event) Output {
	c.out = Output{}
	switch ev := ev.(type) {
	case Started:
		c.start(ev)
	case Stopped:
		fresh := New(c.self)
		fresh.opts, fresh.lastID, fresh.ref, fresh.failures = c.opts, c.lastID, c.ref, c.failures
		*c = *fresh
	case Options:
		c.opts = ev
	case Fenced:
		c.forgive(ev.Target)
	case FenceFailed:
		c.failures[ev.Target]++
	case Forgotten:
		c.forgive(ev.Node)
	}
	if c.phase != PhaseStopped {
		c.step(now, ev)
	}
	out := c.out
	c.out = Output{}
	return out
}

func (c *Core) step(now time.Time, ev Event) {
	switch ev := ev.(type) {
	case Aborted:
		if ev.Config {
			clear(c.retryAt)
		}
		c.abortBy(now, ev)
	case Asked:
		c.asked(ev)
	case Scheduled:
		c.scheduled(now, ev)
	case ScheduleFailed:
		c.scheduleFailed(now, ev)
	case Recorded:
		if f := c.flights[ev.Key]; f != nil {
			f.recorded = true
		}
	case Result:
		c.result(now, ev)
	case OpRemoved:
		c.opRemoved(now, ev)
	case Done:
		c.done(now, ev)
	case NodeLost:
		c.nodeLost(now, ev.Node)
	case Ready:
		c.setReady(ev.Nodes)
	case Rejoined:
		for _, k := range c.flightKeys() {
			if f := c.flights[k]; f.Action.Kind != graph.CrmEvent && f.Action.Executor() == ev.Node && !slices.Contains(ev.Running, k) {
				c.note(Notice, "Action %d (%s) was lost with the controller of %s", f.Action.ID, f.Action.Key, ev.Node)
				c.land(f, false)
			}
		}
		c.abort(now, "Node join", "node="+ev.Node, Version{})
	case Refused:
		if f := c.flights[ev.Key]; f != nil {
			c.note(Notice, "Action %d (%s on %s) was refused by %s", f.Action.ID, f.Action.Key, f.Action.Node, ev.Node)
			c.land(f, false)
			c.abort(now, "Action refused", "action="+f.Key+" node="+ev.Node, Version{})
		}
	case Fenced:
		c.abort(now, "External Fencing Operation", "target="+ev.Target, Version{})
	case Counted:
		c.counting = max(0, c.counting-1)
	}
	c.expire(now)
	if c.phase == PhaseIdle && !c.computeAt.IsZero() && !now.Before(c.computeAt) {
		c.note(Info, "Cluster Recheck Timer just popped")
		c.phase, c.computeAt = PhaseWaiting, time.Time{}
	}
	c.advance(now)
	if _, end := ev.(TurnEnd); end {
		c.settle(now)
	}
	c.out.WakeAt = c.wakeAt(now)
}

func (c *Core) start(ev Started) {
	c.uuid = ev.UUID
	c.phase = PhaseWaiting
}

func (c *Core) abort(now time.Time, reason, detail string, v Version) {
	c.abortBy(now, Aborted{Reason: reason, Detail: detail, Version: v})
}

// abortBy makes a new computation necessary, unless the one in force has seen
// the change already (crm 9.11: a graph is valid for what it was computed from).
func (c *Core) abortBy(now time.Time, ev Aborted) {
	reason, detail, v := ev.Reason, ev.Detail, ev.Version
	if v != (Version{}) && c.inputSeen && !v.After(c.input) {
		c.note(Debug, "Change %v is part of the present graph's input: %s", v, reason)
		return
	}
	c.hopeless = false
	c.urgent = c.urgent || !ev.Config
	complete := c.phase != PhaseExecuting
	level := Info
	if !complete {
		level = Notice
	}
	if detail != "" {
		c.note(level, "Transition %d aborted: %s | %s complete=%t", c.lastID, reason, detail, complete)
	} else {
		c.note(level, "Transition %d aborted: %s | complete=%t", c.lastID, reason, complete)
	}
	if c.phase == PhaseComputing {
		if !c.dirty {
			c.dirtyAt = v
		} else if v == (Version{}) || c.dirtyAt == (Version{}) {
			c.dirtyAt = Version{}
		} else if v.After(c.dirtyAt) {
			c.dirtyAt = v
		}
		c.dirty = true
		return
	}
	if c.phase == PhaseExecuting {
		c.retire()
	}
	c.phase = PhaseWaiting
	c.inputSeen = false
	c.leaving = false
	c.computeAt = c.earliest(now)
}

// A storm is so many computations in a row that changes of the configuration
// asked for and that found nothing to do. While it lasts, a computation begins
// stormPause after the one before, at the earliest, and takes a fifth of the
// time at most: whoever writes a thousand changes a second does not wait for a
// thousand computations, and they do not take the processor from the CIB. News
// of anything else is never held back.
const (
	stormAfter   = 3
	stormPause   = 50 * time.Millisecond
	stormShare   = 5
	longestStorm = time.Second     // pause
	stormEnd     = 2 * time.Second // without a computation
)

// earliest is when the next computation may begin; zero: at once.
func (c *Core) earliest(now time.Time) time.Time {
	switch {
	case c.opts.TransitionDelay > 0:
		return now.Add(c.opts.TransitionDelay)
	case c.idle >= stormAfter && !c.urgent:
		return c.askedAt.Add(min(max(stormPause, stormShare*c.took), longestStorm))
	}
	return time.Time{} // a recheck that was set has nothing to add
}

// retire leaves the current graph to its completion actions.
func (c *Core) retire() {
	if c.cur == nil {
		return
	}
	c.cur.aborted = true
	c.end(c.cur)
	c.old = append(c.old, c.cur)
	c.cur = nil
}

// settle asks for a computation if one is wanted and nothing holds it back.
func (c *Core) settle(now time.Time) {
	if c.phase != PhaseWaiting || c.counting > 0 || now.Before(c.computeAt) || c.hopeless && c.computeAt.IsZero() {
		return
	}
	c.hopeless, c.lookAgain = false, time.Time{}
	c.ref++
	c.phase = PhaseComputing
	c.dirty, c.inputSeen, c.input = false, false, Version{}
	c.computeAt = time.Time{}
	if c.urgent || now.Sub(c.askedAt) > stormEnd {
		c.idle = 0
	}
	c.urgent, c.askedAt = false, now
	var unrecorded []Flight
	for _, k := range c.flightKeys() {
		if f := c.flights[k]; f.Action.Kind == graph.RscOp && f.Action.Operation != "cancel" && !f.recorded {
			unrecorded = append(unrecorded, f.Flight)
		}
	}
	c.emit(Compute{Ref: c.ref, Unrecorded: unrecorded})
}

func (c *Core) asked(ev Asked) {
	if ev.Ref != c.ref || c.phase != PhaseComputing {
		return
	}
	c.input, c.inputSeen = ev.Version, true
	if c.dirty && c.dirtyAt != (Version{}) && !c.dirtyAt.After(ev.Version) {
		c.dirty, c.urgent = false, false // all that came since asking is part of the input
	}
}

func (c *Core) scheduled(now time.Time, ev Scheduled) {
	if ev.Ref != c.ref || c.phase != PhaseComputing {
		c.note(Info, "pe_calc calculation %d is obsolete", ev.Ref)
		return
	}
	c.took = now.Sub(c.askedAt)
	if c.idle++; len(ev.Graph.Synapses) > 0 {
		c.idle = 0
	}
	if c.dirty {
		c.note(Info, "pe_calc calculation %d is obsolete", ev.Ref)
		c.phase, c.computeAt = PhaseWaiting, c.earliest(now)
		return
	}
	c.lastID = max(c.lastID+1, ev.Graph.ID)
	c.cur = newRun(c.lastID, ev.Graph, ev.File)
	c.startOffset, c.stopOffset = ev.Graph.FailedStartOffset, ev.Graph.FailedStopOffset
	c.phase = PhaseExecuting
	c.note(Info, "Processing graph %d (ref=%d) derived from %s", c.lastID, ev.Ref, ev.File)
}

func (c *Core) scheduleFailed(now time.Time, ev ScheduleFailed) {
	if ev.Ref != c.ref || c.phase != PhaseComputing {
		return
	}
	c.phase = PhaseWaiting
	c.hopeless = ev.Hopeless && !c.dirty
	c.inputSeen = false
	switch {
	case c.dirty: // there is news to compute with
	case !c.hopeless:
		c.computeAt = now.Add(schedulerPause)
	case c.opts.Recheck > 0:
		c.computeAt = now.Add(c.opts.Recheck) // time alone may change what it computes
	}
	c.note(Error, "Scheduler did not answer, keeping the present state: %s", ev.Error)
}

// schedulerPause keeps a scheduler that refuses from being asked in a circle.
const schedulerPause = time.Second

func (c *Core) setReady(nodes []string) {
	clear(c.ready)
	for _, n := range nodes {
		c.ready[n] = true
	}
}

func (c *Core) nodeLost(now time.Time, node string) {
	explained := c.Explains(node)
	delete(c.ready, node)
	for _, k := range c.flightKeys() {
		f := c.flights[k]
		if f.Action.Kind == graph.CrmEvent && f.Action.Operation == "stonith" {
			continue
		}
		if f.Action.Executor() == node || f.Action.Node == node {
			c.note(Notice, "Action %d (%s) was pending on %s (offline)", f.Action.ID, f.Action.Key, node)
			c.land(f, false)
		}
	}
	if c.cur != nil {
		for _, s := range c.cur.synapses {
			for _, a := range s.Actions {
				if !s.fired && a.Kind == graph.RscOp && (a.Node == node || a.Executor() == node) {
					s.failed = true
				}
			}
		}
	}
	if !explained {
		c.abort(now, "Node failure", "node="+node, Version{})
	}
}

// forgive forgets that fencing of a node failed.
func (c *Core) forgive(target string) {
	delete(c.failures, target)
	delete(c.retryAt, target)
}

// fencingFailed counts a failure and says whether the target is given up until
// something else causes a computation (crm 5.15).
func (c *Core) fencingFailed(now time.Time, f *flight, ev Done) (gaveUp bool) {
	target := f.Action.Node
	c.failures[target]++
	n := c.failures[target]
	switch {
	case ev.NoDevice:
		c.note(Warning, "Fence operation %d for %s failed: %s (aborting transition and giving up for now)", f.Action.ID, target, ev.Reason)
		if c.opts.MaxAttempts == 0 || n < c.opts.MaxAttempts {
			c.lookAgain = now.Add(c.backoff(n)) // its fencer may just have been starting (crm 9.16)
		}
	case c.opts.MaxAttempts > 0 && n >= c.opts.MaxAttempts:
		c.note(Warning, "Too many failures (%d) to fence %s, giving up", n, target)
	default:
		wait := c.backoff(n)
		c.retryAt[target] = now.Add(wait)
		c.note(Warning, "Fencing of %s failed %d times (%s); next attempt in %s", target, n, ev.Reason, wait)
		return false
	}
	delete(c.retryAt, target) // the next graph gets its one try
	return true
}

// done ends an action that leaves no record.
func (c *Core) done(now time.Time, ev Done) {
	f := c.flights[ev.Key]
	if f == nil {
		return
	}
	target := f.Action.Node
	adopted := c.cur != nil && (f.run == c.cur || f.servesAlso(c.cur))
	gaveUp := false
	switch {
	case !f.Action.IsFencing():
	case ev.OK:
		c.forgive(target)
	default:
		gaveUp = c.fencingFailed(now, f, ev)
	}
	c.land(f, ev.OK)
	switch {
	case gaveUp: // what does not depend on it goes on; then the graph ends
	case !ev.OK && f.Action.IsFencing():
		c.abort(now, "Stonith failed", "target="+target, Version{})
	case !ev.OK:
		c.abort(now, "Action failed", fmt.Sprintf("action=%d reason=%q", f.Action.ID, ev.Reason), Version{})
	case !adopted:
		c.abort(now, "Old event", "action="+f.Key, Version{})
	}
}

// longestPause is the time between two attempts to fence where no recheck
// interval bounds it.
const longestPause = 15 * time.Minute

// backoff is the pause before fencing attempt n+1 (crm 9.16).
func (c *Core) backoff(n int) time.Duration {
	most := c.opts.Recheck
	if most <= 0 {
		most = longestPause
	}
	d := time.Second
	for i := 1; i < n && d < most; i++ {
		d *= 2
	}
	return min(d, most)
}

func (c *Core) opRemoved(now time.Time, ev OpRemoved) {
	for _, r := range append([]*run{c.cur}, c.old...) {
		if r == nil {
			continue
		}
		for _, s := range r.synapses {
			for _, a := range s.Actions {
				if a.Operation == "cancel" && a.Key == ev.OpKey && a.Node == ev.Node {
					return
				}
			}
		}
	}
	c.abort(now, "Resource operation removal", "op="+ev.OpKey+" node="+ev.Node, ev.Version)
}

func (c *Core) flightKeys() []string {
	keys := make([]string, 0, len(c.flights))
	for k := range c.flights {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

func (c *Core) emit(e Effect) { c.out.Effects = append(c.out.Effects, e) }

func (c *Core) note(l Level, format string, args ...any) {
	c.emit(Note{Level: l, Text: fmt.Sprintf(format, args...)})
}

// TransitionKey names an action of a graph (crm 4.5).
func TransitionKey(action, graphID, targetRC int, uuid string) string {
	return fmt.Sprintf("%d:%d:%d:%-36s", action, graphID, targetRC, uuid)
}

// ParseKey takes a transition key apart.
func ParseKey(key string) (action, graphID, targetRC int, uuid string, ok bool) {
	parts := strings.SplitN(key, ":", 4)
	if len(parts) != 4 || parts[3] == "" {
		return 0, 0, 0, "", false
	}
	var n [3]int
	for i := range n {
		v, err := strconv.Atoi(parts[i])
		if err != nil {
			return 0, 0, 0, "", false
		}
		n[i] = v
	}
	return n[0], n[1], n[2], strings.TrimRight(parts[3], " "), true
}
