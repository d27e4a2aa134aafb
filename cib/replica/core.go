// Package replica keeps all copies of the CIB in a partition the same: one
// primary, named by crmd, orders the changes, the others follow (architecture
// 5.3, 5.4; cib 13, 15.9).
//
// Core is a state machine without I/O: it opens no file or socket, starts no
// goroutine, reads no clock. The server feeds it events with the present time
// and carries out what comes back in Output.
//
// What holds:
//   - all copies in step with one primary pass through the same versions in the
//     same order, and equal versions have equal content;
//   - a change of the configuration is acknowledged when it is stored on the
//     primary and on a majority of the members, with quorum on as many as make
//     a majority of all configured nodes, so that every later quorate partition
//     has one that holds it; any other when the primary has applied it;
//   - a change that the primary cannot store is not made at all.
package replica

import (
	"cmp"
	"slices"
	"time"

	"linuxha/cib/cibdoc"
	"linuxha/cib/ops"
)

// Options configure a Core.
type Options struct {
	Node        string        // own name, until Attached says better
	Incarnation uint64        // differs in each life of this process
	Doc         *cibdoc.Doc   // as read from disk
	Lineage     Lineage       // stored with it
	Retry       time.Duration // between attempts of what got no answer; 0: 1 s
	// Check judges a change by its user (cib 11); nil: everything is allowed.
	Check func(user string, old, new *cibdoc.Doc) error
}

type role int

const (
	follower   role = iota
	gathering       // primary: asks for the states
	fetching        // primary: waits for the best copy
	installing      // primary: waits until all members hold it
	leading         // primary
)

// maxRecent bounds the requests that are remembered so that none is performed
// twice; one is sent again within seconds or never.
const maxRecent = 4096

// Core is one node's replica.
type Core struct {
	opts Options
	self string

	doc         *cibdoc.Doc
	fresh       bool // as read from disk, without the status the cluster knows
	kept        Term // the last one in which this copy was in step
	keptQuorate bool
	lineage     Lineage
	recent      []Applied      // newest last
	known       map[ID]Applied // the same by ID

	term    Term
	role    role
	quorate bool
	members []string // sorted; of the primary's term
	need    int      // members, this node among them, that must have stored a change
	inStep  bool     // follower: holds what the primary has

	appointed *Appointed // primary: the call that is to be answered
	cands     []Candidate
	source    string
	peers     map[string]*peer // primary: the other members
	patience  time.Time        // primary: until when silent members are waited for

	queue    []entry // primary: requests that wait to be performed
	flight   *flight // primary: changes being stored
	waiting  []waiter
	deferred []Event // until the flight has landed

	outstanding []*submission // requests of local clients

	persistSeq   uint64
	persisting   []stored // begun, in order
	synced       cibdoc.Version
	persistErr   string
	retryPersist time.Time
	retryAsk     time.Time // gathering, fetching, installing, follower out of step

	now time.Time
	out Output
}

// peer is what the primary knows of another member.
type peer struct {
	name   string
	known  bool // it holds the term's document
	silent bool // it did not answer in time: not waited for
	held   cibdoc.Version
	synced cibdoc.Version
	err    string
}

// entry is a request on its way through the primary.
type entry struct {
	id      ID
	request Request
	from    *cibdoc.Doc
	result  ops.Result
	outcome *Outcome // set: nothing to apply, answer this
}

type flight struct {
	seq     uint64
	entries []entry
}

// waiter is an applied change whose acknowledgement waits for the disks.
type waiter struct {
	id      ID
	version cibdoc.Version
}

// submission is a request of a local client.
type submission struct {
	token    uint64
	id       ID
	request  Request
	deadline time.Time
	sent     time.Time
	reply    *Outcome // arrived, but this copy is not so far yet
}

type stored struct {
	seq     uint64
	version cibdoc.Version
	config  cibdoc.Sum
}

// New starts a replica with what was on disk.
func New(opts Options) *Core {
	opts.Retry = cmp.Or(opts.Retry, time.Second)
	return &Core{
		opts: opts, self: opts.Node, doc: opts.Doc, fresh: true, lineage: opts.Lineage,
		synced: opts.Doc.Version(), peers: map[string]*peer{}, known: map[ID]Applied{},
	}
}

// Status describes a replica.
type Status struct {
	Node    string
	Primary string
	View    uint64
	Ready   bool
	Doc     *cibdoc.Doc
	Lineage Lineage
	Term    Term
}

// Status is the replica as it now is.
func (c *Core) Status() Status {
	return Status{c.self, c.term.Primary, c.term.View, c.role == leading || c.role == follower && c.inStep, c.doc, c.lineage, c.term}
}

// Step takes one event in at time now and returns what to do about it.
func (c *Core) Step(now time.Time, ev Event) Output {
	c.now, c.out = now, Output{}
	c.event(ev)
	if c.flight == nil && len(c.deferred) > 0 {
		late := c.deferred
		c.deferred = nil
		for _, ev := range late {
			c.event(ev) // a new flight defers the rest again
		}
	}
	c.route()
	c.pump()
	c.deliver()
	c.timers()
	c.out.WakeAt = c.nextWake()
	return c.out
}

func (c *Core) event(ev Event) {
	if c.flight != nil && c.endsTerm(ev) {
		c.deferred = append(c.deferred, ev)
		return
	}
	switch ev := ev.(type) {
	case Attached:
		c.attached(ev)
	case Submitted:
		c.submitted(ev)
	case Withdrawn:
		c.withdraw(ev.Token)
	case Appointed:
		c.appoint(ev)
	case Received:
		c.received(ev)
	case Persisted:
		c.persisted(ev)
	case Woken:
	}
}

// endsTerm: what would end or renew the term waits until it is known whether
// the changes under way are stored, so that a copy is only ever judged whole.
func (c *Core) endsTerm(ev Event) bool {
	switch ev := ev.(type) {
	case Appointed, Attached:
		return true
	case Received:
		return ev.Message.term() != c.term
	}
	return false
}

func (c *Core) attached(ev Attached) {
	c.self = ev.Node
	c.endAppointment(cibdoc.RCTryAgain, "the messaging layer was restarted")
	c.follow(Term{})
}

// follow makes this replica a follower in term t, not yet in step.
func (c *Core) follow(t Term) {
	c.term, c.role, c.inStep = t, follower, false
	c.retryAsk = time.Time{}
	c.queue, c.waiting, c.cands = nil, nil, nil
	clear(c.peers)
	for _, s := range c.outstanding {
		s.sent = time.Time{}
		s.reply = nil
	}
}

func (c *Core) submitted(ev Submitted) {
	if ev.Request.Local && c.term.Primary == "" {
		c.applyLocal(ev)
		return
	}
	c.outstanding = append(c.outstanding, &submission{
		token: ev.Token, deadline: ev.Deadline, request: ev.Request,
		id: ID{c.self, c.opts.Incarnation, ev.Token},
	})
}

// withdraw drops a request that has not been performed yet.
func (c *Core) withdraw(token uint64) {
	c.outstanding = slices.DeleteFunc(c.outstanding, func(s *submission) bool {
		if s.token != token {
			return false
		}
		c.queue = slices.DeleteFunc(c.queue, func(e entry) bool { return e.id == s.id })
		return true
	})
}

// applyLocal changes this copy only, while there is no primary.
func (c *Core) applyLocal(ev Submitted) {
	e := c.perform(c.doc, entry{request: ev.Request, id: ID{Node: c.self}})
	if e.outcome != nil {
		c.answer(ev.Token, *e.outcome)
		return
	}
	old := c.doc
	c.doc = e.result.Doc
	c.publish(Published{
		From: old.Version(), To: c.doc.Version(), Doc: c.doc, Patch: diffBytes(old, c.doc),
		Client: ev.Request.Client, Ref: ev.Request.Ref, Node: c.self, Op: ev.Request.Changes[0].Op,
	})
	if e.result.Config {
		c.lineage = c.lineage.With(Term{View: c.term.View, Primary: c.self, Incarnation: c.opts.Incarnation}, false, c.doc.Version())
		c.persist()
	}
	c.answer(ev.Token, Outcome{Version: c.doc.Version()})
}

// received dispatches a message after settling whose term counts.
func (c *Core) received(ev Received) {
	if ev.From == c.self {
		return // our own broadcast
	}
	if m, ok := ev.Message.(SyncRequest); ok && c.role != follower && m.Term == (Term{View: c.term.View, Primary: c.self}) {
		c.presented(ev.From)
		return
	}
	if !c.accept(ev.From, ev.Message) {
		return
	}
	switch m := ev.Message.(type) {
	case StateRequest:
		c.send(ev.From, State{c.term, c.candidate()})
	case State:
		c.gathered(ev.From, m)
	case SyncRequest:
		if c.role == follower || c.role == installing || c.role == leading {
			c.sendSnapshot(ev.From)
		}
	case Snapshot:
		c.snapshot(ev.From, m)
	case Installed:
		c.installed(m)
	case Patch:
		c.patch(m)
	case Ack:
		c.acked(ev.From, m)
	case Committed:
		c.lineage = c.lineage.Acknowledged(m.Version)
	case Forward:
		if c.role != follower {
			c.enqueue(m.ID, m.Request)
		}
	case Reply:
		c.replied(m.ID, m.Outcome)
	case Refused:
		// accept has drawn the consequence
	}
}

// accept decides whether a message counts, and follows its term if that is
// newer. The primary of an older term is told so.
func (c *Core) accept(from string, m Message) bool {
	t := m.term()
	if t == c.term {
		return true
	}
	if _, refused := m.(Refused); refused {
		if t.View > c.term.View && c.role != follower {
			c.note(Warn, "a newer term exists: no longer primary", "view", c.term.View, "newer", t.View, "peer", from)
			c.endAppointment(cibdoc.RCTryAgain, "a newer membership view exists")
			c.follow(Term{View: c.term.View})
		}
		return false
	}
	fromPrimary := from == t.Primary
	newer := t.View > c.term.View ||
		t.View == c.term.View && (c.term.Primary == "" || c.term.Primary == t.Primary && c.term.Primary != c.self && t.Incarnation > c.term.Incarnation)
	switch {
	case newer && fromPrimary:
		if c.role != follower {
			c.endAppointment(cibdoc.RCTryAgain, "another primary was named in a newer view")
		}
		c.follow(t)
		return true
	case t.View < c.term.View && fromPrimary:
		c.note(Debug, "message of an older term refused", "peer", from, "view", t.View, "newer", c.term.View)
		c.send(from, Refused{c.term})
	}
	return false
}

func (c *Core) candidate() Candidate {
	return Candidate{
		Node: c.self, Version: c.doc.Version(), Sum: c.doc.Sum(), ConfigSum: c.doc.ConfigSum(), Lineage: c.lineage, Fresh: c.fresh,
		Kept: c.kept, KeptQuorate: c.keptQuorate,
	}
}

func (c *Core) sendSnapshot(to string) {
	c.send(to, Snapshot{c.term, c.doc, c.lineage, slices.Clone(c.recent[max(0, len(c.recent)-maxRecent):]), c.quorate})
}

// persist stores the document as it now is.
func (c *Core) persist() uint64 { return c.persistDoc(c.doc, c.lineage) }

func (c *Core) persistDoc(doc *cibdoc.Doc, l Lineage) uint64 {
	c.persistSeq++
	c.persisting = append(c.persisting, stored{c.persistSeq, doc.Version(), doc.ConfigSum()})
	c.out.Persist = append(c.out.Persist, Persist{c.persistSeq, doc, l})
	c.retryPersist = time.Time{}
	return c.persistSeq
}

func (c *Core) persisted(ev Persisted) {
	n := 0
	var last stored
	for _, p := range c.persisting {
		if p.seq <= ev.Seq {
			n++
			last = p
		}
	}
	if n == 0 {
		return
	}
	c.persisting = c.persisting[n:]
	landed := c.flight != nil && c.flight.seq <= ev.Seq
	switch {
	case ev.Err == nil:
		c.synced, c.persistErr = last.version, ""
	case landed:
		// The changes are dropped: nothing is left to be stored, unless
		// something was before.
		c.note(Error, "changes of the configuration are refused: they could not be stored", "err", ev.Err)
	default:
		c.persistErr = ev.Err.Error()
		c.note(Error, "the configuration could not be stored; trying again", "err", ev.Err, "version", last.version)
	}
	if c.persistErr != "" {
		c.retryPersist = c.now.Add(c.opts.Retry)
	}
	if landed {
		c.landed(ev.Err)
	}
	if c.role == follower && c.term.Primary != "" && c.inStep {
		c.ack()
	}
	c.settle()
}

func (c *Core) ack() {
	c.send(c.term.Primary, Ack{c.term, c.doc.Version(), c.synced, c.persistErr})
}

// replied takes the primary's answer to a request of ours.
func (c *Core) replied(id ID, o Outcome) {
	for _, s := range c.outstanding {
		if s.id == id {
			s.reply = &o
		}
	}
}

// deliver answers the requests that are done: the reply is there and this copy
// has what it speaks of (cib 13.1), or time is up.
func (c *Core) deliver() {
	keep := c.outstanding[:0]
	for _, s := range c.outstanding {
		switch {
		case s.reply != nil && (s.reply.RC != cibdoc.OK || c.doc.Version().Compare(s.reply.Version) >= 0):
			c.answer(s.token, *s.reply)
		case !s.deadline.After(c.now):
			c.answer(s.token, c.timedOut(s))
		default:
			keep = append(keep, s)
		}
	}
	clear(c.outstanding[len(keep):])
	c.outstanding = keep
}

// route hands requests to the primary, again after a while.
func (c *Core) route() {
	for _, s := range c.outstanding {
		if s.reply != nil || !s.sent.IsZero() && c.now.Sub(s.sent) < 2*c.opts.Retry {
			continue
		}
		switch {
		case c.role != follower:
			s.sent = c.now
			c.enqueue(s.id, s.request)
		case s.request.AsPrimary && c.term.Primary != "":
			s.reply = &Outcome{RC: cibdoc.RCTryAgain, Detail: "the primary CIB is that of " + c.term.Primary + ", not this one", Version: c.doc.Version()}
		case c.inStep && c.term.Primary != "":
			s.sent = c.now
			c.send(c.term.Primary, Forward{c.term, s.id, s.request})
		}
	}
}

func (c *Core) timedOut(s *submission) Outcome {
	why := "the primary on " + c.term.Primary + " did not answer in time"
	switch {
	case c.term.Primary == "":
		why = "there is no primary CIB: no coordinator (DC) is known on this node"
	case c.role == leading && slices.ContainsFunc(c.waiting, func(w waiter) bool { return w.id == s.id }):
		why = "applied, but not yet stored on a majority of the members: " + c.laggards(c.synced)
	case c.role != leading && !c.inStep:
		why = "the copies of the CIB are not in step yet"
	}
	return Outcome{RC: cibdoc.RCTimedOut, Detail: why, Version: c.doc.Version()}
}

// timers repeats what got no answer.
func (c *Core) timers() {
	if !c.retryPersist.IsZero() && !c.retryPersist.After(c.now) {
		if c.flight == nil {
			c.persist()
		} else {
			c.retryPersist = c.now.Add(c.opts.Retry) // the flight's newer document must not be passed over
		}
	}
	c.loseSilent()
	switch {
	case c.role == leading && !c.lagging(), c.role == follower && (c.inStep || c.term.Primary == ""):
		c.retryAsk = time.Time{}
		return
	case c.retryAsk.IsZero():
		c.retryAsk = c.now.Add(c.opts.Retry)
		return
	case c.retryAsk.After(c.now):
		return
	}
	c.retryAsk = c.now.Add(c.opts.Retry)
	c.askAgain()
}

func (c *Core) askAgain() {
	switch c.role {
	case follower:
		c.send(c.term.Primary, SyncRequest{c.term})
	case gathering:
		for _, m := range c.missing() {
			c.send(m, StateRequest{c.term})
		}
	case fetching:
		c.send(c.source, SyncRequest{c.term})
	case installing, leading:
		for _, p := range c.sortedPeers() {
			if !p.known || p.synced.Less(c.lastConfig()) || p.held.Less(c.doc.Version()) {
				c.send(p.name, Installed{c.term, c.doc.Version(), c.doc.Sum(), c.lineage, c.quorate})
			}
		}
	}
}

func (c *Core) nextWake() time.Time {
	var at time.Time
	sooner := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	sooner(c.retryPersist)
	sooner(c.retryAsk)
	if c.role != follower && c.role != leading {
		sooner(c.patience)
	}
	for _, s := range c.outstanding {
		sooner(s.deadline)
		if !s.sent.IsZero() && s.reply == nil {
			sooner(s.sent.Add(2 * c.opts.Retry))
		}
	}
	return at
}

func (c *Core) send(to string, m Message) { c.out.Send = append(c.out.Send, Send{to, m}) }

func (c *Core) publish(p Published) { c.out.Publish = append(c.out.Publish, p) }

func (c *Core) answer(token uint64, o Outcome) { c.out.Answer = append(c.out.Answer, Answer{token, o}) }

func (c *Core) note(l Level, text string, attrs ...any) {
	c.out.Notes = append(c.out.Notes, Note{l, text, attrs})
}

func (c *Core) remember(a Applied) {
	c.recent = append(c.recent, a)
	c.known[a.ID] = a
	if len(c.recent) >= 2*maxRecent {
		for _, old := range c.recent[:maxRecent] {
			delete(c.known, old.ID)
		}
		c.recent = slices.Clone(c.recent[maxRecent:])
	}
}

// rememberAll takes over what another copy remembers.
func (c *Core) rememberAll(recent []Applied) {
	c.recent = nil
	clear(c.known)
	for _, a := range recent {
		c.remember(a)
	}
}
