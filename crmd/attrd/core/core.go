// Package core holds the transient attributes of all nodes and decides in
// which order they change (crm 6).
//
// One attrd of the agreed view, the oldest, is the writer: every change goes
// to it, it resolves increments, numbers the changes and broadcasts them, and
// it alone writes to the CIB. Since its messages reach everybody in the order
// sent, all members go through the same values. A new writer begins by sending
// all it knows; who asked for a change that was not numbered asks again, and a
// number per request keeps it from being done twice.
//
// Core is a state machine without I/O; crmd/attrd/server owns it.
package core

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Attribute is one attribute of all nodes. Everything but the dampening is
// fixed by the first update that names it.
type Attribute struct {
	Name    string
	SetID   string
	PairID  string
	Private bool
	User    string
	Dampen  time.Duration
	Values  map[string]Value // by node name
}

// Value is one node's value; an empty text is a deleted one.
type Value struct {
	Text   string
	Remote bool // the node has no attrd of its own
	At     Stamp
}

// Stamp is the place of a change in the order.
type Stamp struct {
	Writer string
	Term   uint64
	Seq    uint64
}

// Member is a node of the view.
type Member struct {
	Name  string
	ID    string // UUID, the id of its node_state
	Born  uint64
	Attrd uint64 // when its attrd entered; 0: it has none
	Crmd  uint64
}

// Op is a part of a client's request.
type Op interface{ op() }

// Set sets an attribute of a node; an empty value deletes it.
type Set struct {
	Name, Value, Node string
	Dampen            time.Duration
	SetDampen         bool // Dampen also applies to an existing attribute
	KeepValue         bool // only the dampening changes
	SetID, PairID     string
	Private, Remote   bool
	User              string
}

// ClearFailures deletes fail counts (crm 6.8).
type ClearFailures struct {
	Resource, Operation string
	Interval            time.Duration
	Node                string // empty: all
	AnyOperation        bool
}

// Purge forgets a node.
type Purge struct{ Node string }

// Refresh writes everything to the CIB again.
type Refresh struct{}

func (Set) op()           {}
func (ClearFailures) op() {}
func (Purge) op()         {}
func (Refresh) op()       {}

// Change is a resolved part of an Ordered message.
type Change struct {
	Set       // with Value resolved
	Drop bool // all values of Node
}

// Message is what attrds tell each other; the closed set below.
type Message interface{ message() }

// Request asks the writer for changes.
type Request struct {
	Origin string // node/boot of the asking process
	Number uint64 // grows with each request of the origin
	Term   uint64 // the view in which the receiver was seen as writer
	Ops    []Op
	Sync   bool // tell when the CIB holds it
}

// Ordered is a numbered set of changes.
type Ordered struct {
	Term, Seq uint64
	Origin    string
	Number    uint64
	Changes   []Change
}

// Snapshot is all that the writer knows.
type Snapshot struct {
	Term, Seq  uint64
	Attributes []Attribute
	Applied    map[string]uint64
}

// Written tells an origin that the CIB holds its request.
type Written struct{ Number uint64 }

func (Request) message()  {}
func (Ordered) message()  {}
func (Snapshot) message() {}
func (Written) message()  {}

// Event is something that happened; the closed set of what Step takes.
type Event interface{ event() }

// ViewInstalled brings the agreed membership.
type ViewInstalled struct {
	Node       string
	Number     uint64
	Members    []Member
	Configured map[string]string // all known nodes: name to UUID
}

// Detached says that the messaging layer is gone.
type Detached struct{}

// Received is a message of another attrd, our own broadcasts included.
type Received struct {
	From    string
	Message Message
}

// Asked is a client's request; ID comes back in the answer.
type Asked struct {
	ID   uint64
	Ops  []Op
	Sync bool
}

// Loaded answers Output.Load with what the CIB holds of the members.
type Loaded struct{ Sets []Set }

// Wrote ends Output.Write; Err is empty on success.
type Wrote struct {
	ID     uint64
	Err    string
	Denied bool // the user may not: trying again is pointless
}

// CIBReplaced says that the CIB was replaced as a whole.
type CIBReplaced struct{}

// Woken says that the time asked for in WakeAt has come.
type Woken struct{}

func (ViewInstalled) event() {}
func (Detached) event()      {}
func (Received) event()      {}
func (Asked) event()         {}
func (Loaded) event()        {}
func (Wrote) event()         {}
func (CIBReplaced) event()   {}
func (Woken) event()         {}

// Send is a message to the attrd of a node; an empty To is all.
type Send struct {
	To      string
	Message Message
}

// Answer ends a client's request.
type Answer struct {
	ID  uint64
	Err error
}

// Output is what the server has to do.
type Output struct {
	Send   []Send
	Answer []Answer
	Write  *Write // at most one at a time, until Wrote or Withdraw
	// Withdraw: the write under way must not be made any more, since another
	// attrd is the writer now, or none. There is no Wrote for it.
	Withdraw bool
	Load     bool
	Notes    []string
	WakeAt   time.Time // zero: no need
}

// Core is one attrd's state. Not for concurrent use.
type Core struct {
	boot    string
	node    string
	view    uint64
	members map[string]Member
	ids     map[string]string
	writer  string

	attrs   map[string]*Attribute
	applied map[string]uint64 // origin to its last request done
	term    uint64            // of the snapshot last taken or sent
	seq     uint64            // of the last change done
	synced  bool              // we follow the present writer's order
	fresh   bool              // nothing was heard of earlier values yet
	loading bool

	number  uint64
	pending []*asked  // own requests, in order, until done (and written, for sync)
	held    []heard   // from those that are not our writer yet
	backlog []heard   // requests to us as the writer to be
	w       writeBook // what the CIB lacks
	writes  uint64

	now time.Time
	out Output
}

type asked struct {
	id     uint64
	number uint64
	ops    []Op
	sync   bool
	done   bool // applied here; with sync the write is still awaited
	silent bool // made by ourselves

	written bool
}

type heard struct {
	from string
	msg  Message
}

// New returns an attrd without values. boot tells this process from earlier
// ones of the same node.
func New(boot string) *Core {
	return &Core{
		boot: boot, attrs: map[string]*Attribute{}, applied: map[string]uint64{}, members: map[string]Member{},
		ids: map[string]string{}, fresh: true, w: newWriteBook(),
	}
}

// Step takes one event in at time now and returns what to do about it.
func (c *Core) Step(now time.Time, ev Event) Output {
	c.out, c.now = Output{}, now
	switch ev := ev.(type) {
	case ViewInstalled:
		c.install(ev)
	case Detached:
		c.writer, c.synced = "", false
		c.members = map[string]Member{}
		c.held, c.backlog = nil, nil
	case Received:
		c.receive(ev.From, ev.Message)
	case Asked:
		c.ask(&asked{id: ev.ID, ops: ev.Ops, sync: ev.Sync})
	case Loaded:
		c.loaded(ev)
	case Wrote:
		c.wrote(ev)
	case CIBReplaced:
		if c.leads() {
			c.note("CIB was replaced: writing all attributes again")
			c.rewriteAll()
		}
	case Woken:
	}
	if c.w.busy && !c.leads() {
		c.out.Withdraw = true
		c.w.abandon()
	}
	c.write()
	return c.out
}

func (c *Core) note(format string, args ...any) {
	c.out.Notes = append(c.out.Notes, fmt.Sprintf(format, args...))
}

func (c *Core) send(to string, m Message) { c.out.Send = append(c.out.Send, Send{To: to, Message: m}) }

func (c *Core) origin() string { return c.node + "/" + c.boot }

// leads: this attrd orders changes now.
func (c *Core) leads() bool { return c.node != "" && c.writer == c.node && c.synced }

// oldest is the rule that makes the writer (a function of the agreed view).
func oldest(members []Member) string {
	var with []Member
	for _, m := range members {
		if m.Attrd != 0 {
			with = append(with, m)
		}
	}
	if len(with) == 0 {
		return ""
	}
	return slices.MinFunc(with, func(a, b Member) int {
		return cmp.Or(cmp.Compare(a.Attrd, b.Attrd), cmp.Compare(a.Name, b.Name))
	}).Name
}

func (c *Core) install(ev ViewInstalled) {
	old := c.members
	was := c.writer
	c.node, c.view = ev.Node, ev.Number
	c.ids = maps.Clone(ev.Configured)
	c.members = map[string]Member{}
	for _, m := range ev.Members {
		c.members[m.Name] = m
		c.ids[m.Name] = m.ID
	}
	if c.members[c.node].Attrd == 0 {
		c.writer, c.synced = "", false // the view is older than our entry
		return
	}
	c.writer = oldest(ev.Members)
	if c.writer != was {
		c.note("%s is the attribute writer (was %s)", c.writer, cmp.Or(was, "unset"))
		c.synced = false
	}
	if c.writer != c.node {
		c.backlog = slices.DeleteFunc(c.backlog, func(h heard) bool { return h.msg.(Request).Term <= c.view })
		c.replayHeld()
		return
	}
	c.lead(old, was != c.node)
}

// lead does what a view means for the writer: newcomers and, if it is new
// itself, everybody learn all values; values of lost nodes go.
func (c *Core) lead(old map[string]Member, newly bool) {
	if newly && c.fresh && !c.loading {
		c.loading = true
		c.out.Load = true
	}
	if c.loading {
		return // loaded goes on
	}
	entered := newly
	for name, m := range c.members {
		if m.Attrd != 0 && old[name].Attrd != m.Attrd {
			entered = true
		}
	}
	if entered {
		c.sendSnapshot()
	}
	c.followNodes(old, newly)
	if newly {
		c.rewriteAll()
	}
	c.orderBacklog()
}

func (c *Core) sendSnapshot() {
	c.term, c.synced, c.fresh = c.view, true, false
	c.prune()
	s := Snapshot{Term: c.term, Seq: c.seq, Applied: maps.Clone(c.applied)}
	for _, name := range slices.Sorted(maps.Keys(c.attrs)) {
		s.Attributes = append(s.Attributes, c.attrs[name].clone())
	}
	c.send("", s)
	c.resendAll()
}

// prune forgets the numbering of processes that are gone.
func (c *Core) prune() {
	for origin := range c.applied {
		if _, ok := c.members[nodeOf(origin)]; !ok {
			delete(c.applied, origin)
		}
	}
}

func nodeOf(origin string) string {
	for i := len(origin) - 1; i >= 0; i-- {
		if origin[i] == '/' {
			return origin[:i]
		}
	}
	return origin
}

func (a *Attribute) clone() Attribute {
	out := *a
	out.Values = maps.Clone(a.Values)
	return out
}

// followNodes drops the values of nodes that left or came again, and gives a
// controller that came again its node's values back (crm 6.7, 1.8).
func (c *Core) followNodes(old map[string]Member, newly bool) {
	gone := map[string]bool{}
	for name, m := range old {
		if now, in := c.members[name]; !in || now.Born != m.Born {
			gone[name] = true
		}
	}
	if newly { // what an earlier writer did not finish
		for _, a := range c.attrs {
			for node, v := range a.Values {
				if _, in := c.members[node]; !in && !v.Remote && c.ids[node] != "" {
					gone[node] = true
				}
			}
		}
	}
	for _, node := range slices.Sorted(maps.Keys(gone)) {
		if node == c.node {
			continue
		}
		c.note("Removing all attributes of %s for peer loss", node)
		c.order("", 0, []Change{{Set: Set{Node: node}, Drop: true}})
		c.w.clear[node] = true
	}
	for _, name := range slices.Sorted(maps.Keys(c.members)) {
		m, before := c.members[name], old[name]
		if m.Crmd == 0 || before.Crmd == m.Crmd || before.Born != m.Born || newly {
			continue
		}
		if a := c.attrs["shutdown"]; a != nil && a.Values[name].Text != "" {
			c.order("", 0, []Change{{Set: Set{Name: "shutdown", Node: name}}})
		}
		c.rewrite(name)
	}
}

func (c *Core) receive(from string, m Message) {
	switch m := m.(type) {
	case Request:
		if c.leads() {
			c.orderRequest(from, m)
		} else {
			c.backlog = append(c.backlog, heard{from, m})
		}
	case Ordered:
		switch {
		case from == c.node:
			if m.Origin == c.origin() {
				c.finish(m.Number) // the messaging layer has it: it will reach the others
			}
		case from != c.writer:
			c.hold(from, m, m.Term)
		case c.synced && m.Term == c.term:
			c.apply(from, m)
		}
	case Snapshot:
		switch {
		case from == c.node:
		case from != c.writer:
			c.hold(from, m, m.Term)
		default:
			c.takeSnapshot(from, m)
		}
	case Written:
		c.written(m.Number)
	}
}

// hold keeps a message of one who is writer in a view that comes later here.
func (c *Core) hold(from string, m Message, term uint64) {
	if term > c.view {
		c.held = append(c.held, heard{from, m})
	}
}

func (c *Core) replayHeld() {
	held := c.held
	c.held = nil
	for _, h := range held {
		c.receive(h.from, h.msg)
	}
}

// takeSnapshot follows a writer. What it says of other nodes counts; our own
// node's values stand, unless the writer knows a later one of the same order.
func (c *Core) takeSnapshot(from string, s Snapshot) {
	mine := map[string]Value{}
	props := map[string]Attribute{}
	if !c.fresh {
		for name, a := range c.attrs {
			if v, ok := a.Values[c.node]; ok {
				mine[name] = v
				props[name] = *a
			}
		}
	}
	c.attrs = map[string]*Attribute{}
	for _, a := range s.Attributes {
		kept := a.clone()
		if kept.Values == nil {
			kept.Values = map[string]Value{}
		}
		c.attrs[a.Name] = &kept
	}
	c.applied = maps.Clone(s.Applied)
	if c.applied == nil {
		c.applied = map[string]uint64{}
	}
	c.term, c.seq, c.synced, c.fresh = s.Term, max(c.seq, s.Seq), true, false
	c.w = newWriteBook()
	for _, name := range slices.Sorted(maps.Keys(mine)) {
		c.defend(from, name, mine[name], props[name])
	}
	c.finish(c.applied[c.origin()])
	c.resendAll()
}

// defend has the writer learn a value of our own node that it does not have.
func (c *Core) defend(from, name string, mine Value, props Attribute) {
	var theirs Value
	known := false
	if a := c.attrs[name]; a != nil {
		theirs, known = a.Values[c.node]
	}
	if known && theirs.Text == mine.Text || !known && mine.Text == "" {
		return
	}
	if known && theirs.At.Writer == mine.At.Writer && theirs.At.Term == mine.At.Term && theirs.At.Seq > mine.At.Seq {
		return // we missed a change
	}
	c.note("%s[%s]: local value '%s' takes priority over '%s' from %s", name, c.node, mine.Text, theirs.Text, from)
	c.ask(&asked{silent: true, ops: []Op{Set{
		Name: name, Value: mine.Text, Node: c.node, Dampen: props.Dampen, SetID: props.SetID, PairID: props.PairID,
		Private: props.Private, User: props.User,
	}}})
}

// ask takes a request of this node on.
func (c *Core) ask(a *asked) {
	for i, op := range a.ops {
		if s, ok := op.(Set); ok && s.Node == "" {
			s.Node = c.node
			a.ops[i] = s
		}
	}
	c.number++
	a.number = c.number
	c.pending = append(c.pending, a)
	c.resend(a)
}

// resendAll gives the writer what it may not know: first what is to be done,
// then, under new and thus higher numbers, what is only to be confirmed.
func (c *Core) resendAll() {
	var open, done []*asked
	for _, a := range c.pending {
		if a.done {
			done = append(done, a)
		} else {
			open = append(open, a)
		}
	}
	for _, a := range append(open, done...) {
		c.resend(a)
	}
}

// resend gives a request to the writer, if there is one whom we follow.
func (c *Core) resend(a *asked) {
	if !c.synced {
		return
	}
	r := Request{Origin: c.origin(), Number: a.number, Term: c.view, Sync: a.sync}
	if a.done { // only the write is awaited: a request without changes
		c.number++
		a.number, r.Number = c.number, c.number
		a.done = false
		a.ops = nil
	}
	r.Ops = c.named(a.ops)
	if c.leads() {
		c.orderRequest(c.node, r)
		return
	}
	c.send(c.writer, r)
}

// named fills in the local node where it was not known when the client asked.
func (c *Core) named(ops []Op) []Op {
	out := slices.Clone(ops)
	for i, op := range out {
		if s, ok := op.(Set); ok && s.Node == "" {
			s.Node = c.node
			out[i] = s
		}
	}
	return out
}

// finish marks own requests up to a number as done.
func (c *Core) finish(number uint64) {
	for _, a := range c.pending {
		a.done = a.done || a.number <= number
	}
	c.answerDone()
}

// written marks own sync requests up to a number as written to the CIB.
func (c *Core) written(number uint64) {
	for _, a := range c.pending {
		a.written = a.written || a.number <= number
	}
	c.answerDone()
}

func (c *Core) answerDone() {
	c.pending = slices.DeleteFunc(c.pending, func(a *asked) bool {
		if !a.done || a.sync && !a.written {
			return false
		}
		c.answer(a)
		return true
	})
}

func (c *Core) answer(a *asked) {
	if !a.silent {
		c.out.Answer = append(c.out.Answer, Answer{ID: a.id})
	}
}

// loaded: the first writer of the cluster goes on from what the CIB holds.
func (c *Core) loaded(ev Loaded) {
	if !c.loading {
		return
	}
	c.loading = false
	if c.writer != c.node {
		return
	}
	if c.fresh {
		for _, s := range ev.Sets {
			c.applyChange(c.node, Change{Set: s}, Stamp{})
		}
		if len(ev.Sets) > 0 {
			c.note("took %d attribute values over from the CIB", len(ev.Sets))
		}
	}
	c.fresh = false
	c.lead(c.members, true)
}
