// Package ccm306 takes part in the membership that the ccm of Heartbeat 3.0.6
// makes (HB 9.3), so that an old node and ours are members of one.
//
// Core is a state machine without I/O: it is told which nodes are alive and
// what their ccm says, and returns what to say and the memberships that come
// of it. It stays silent until a node of 3.0.6 speaks, and ends when the last
// such node is gone: among ourselves package ccm agrees.
//
// # The protocol
//
// A newcomer asks (PROTOVERSION). The leader answers with the cookie of its
// membership, the newcomer says ALIVE, each member reports to the leader that
// it heard that (NEW_NODE), the leader declares the next membership (MEM_LIST).
// Where nobody leads, the highest of those who ask begins alone and answers
// the others. When a member goes, the leader says so (NODE_LEAVE_NOTICE) and
// waits for all to confirm, or when the leader goes everybody who notices, and
// all say JOIN; the oldest of them collects whom each can hear (REQ_MEMLIST,
// RES_MEMLIST) and declares the fully connected set (FINAL_MEMLIST).
//
// # What it promises
//
// What 3.0.6 promises, which is less than package ccm: a membership is what
// its leader declared, and when those of a torn network hear each other again
// (STATE_INFO) all begin anew (RESTART). So it is for the eyes of the old nodes and
// their clients; nothing of ours acts on it.
package ccm306

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"linuxha/heartbeatd/hamsg"
)

// Options of a Core. All must be given.
type Options struct {
	Node      string
	Keepalive time.Duration // time-outs are multiples of it
	// Quorate tells whether members have quorum; the leader declares it.
	Quorate func(members []string) bool
	// Cookie draws a new name for a membership: 14 characters from ! to ~.
	Cookie func() string
}

// Membership is what its leader declared.
type Membership struct {
	Number  uint64 // of the transition, as clients of 3.0.6's ccm see it
	Leader  string
	Members []Member // sorted by name
	Quorate bool
}

// Member is a node of a membership; BornOn the number of the one in which it
// entered.
type Member struct {
	Name   string
	BornOn uint64
}

// Names of the members.
func (m *Membership) Names() []string {
	names := make([]string, len(m.Members))
	for i, member := range m.Members {
		names[i] = member.Name
	}
	return names
}

// Event is something that happened.
type Event interface{ event() }

// Nodes tells about all normal nodes whenever something about them changes.
type Nodes struct {
	All   []string        // known nodes, this one included, in any order
	Alive map[string]bool // the others that are heard
	Ours  map[string]bool // those that are known to be of our kind
	// Anew are nodes that were dead, or had another life, since the last Nodes.
	Anew map[string]bool
	// Active: this node may take part by now. Before, it only listens.
	Active bool
}

// Received is a message of another node's ccm.
type Received struct {
	From    string
	Message *hamsg.Message
}

// Woken: WakeAt has come.
type Woken struct{}

func (Nodes) event()    {}
func (Received) event() {}
func (Woken) event()    {}

// Output is what the server has to do. It is valid until the next Step.
type Output struct {
	Send       []*hamsg.Message
	Membership *Membership // now in force; nil: nothing new
	Ended      bool        // no membership with 3.0.6 any more
	Notes      []string    // for the log
	WakeAt     time.Time   // step again then; zero: no need
}

// phase is where a node stands.
type phase uint8

const (
	idle       phase = iota // no 3.0.6 about
	asking                  // PROTOVERSION sent
	joining                 // ALIVE sent
	member                  // of a membership, perhaps its leader
	reforming               // JOIN sent
	collecting              // leader: REQ_MEMLIST sent
	waiting                 // RES_MEMLIST sent
)

// Time-outs in keepalive intervals, as 3.0.6 has them.
const (
	askEvery    = 9
	updateTime  = 5
	longUpdate  = 30
	fromMembers = 12
	fromLeader  = 18
)

const (
	asksAlone   = 3 // asked so often without an answer, the highest begins
	typePrefix  = "CCM_TYPE_"
	stateJoined = "CCM_STATE_JOINED"
)

// Core is this node's part.
type Core struct {
	opt   Options
	all   []string // sorted
	alive map[string]bool
	ours  map[string]bool
	spoke map[string]bool // nodes alive whose ccm has been heard
	wrong map[string]bool // nodes whose number of nodes is another

	active   bool
	phase    phase
	deadline time.Time
	remindAt time.Time // when nodes outside of the membership are told of it again
	remind   int       // keepalives until then
	out      Output

	asked map[string]uint64 // ccmmajor of those who ask
	asks  int

	// The membership in force.
	major, minor uint64
	cookie       string
	bornOn       map[string]uint64
	leader       string
	gone         map[string]bool // members that are not any more

	newcomer  string                     // leader: who said ALIVE
	reports   map[string]map[string]bool // leader: newcomer, who reported it
	leaver    string                     // leader: of the notice that is not confirmed by all
	confirmed map[string]bool

	joins   map[string]uint64 // JOIN heard; bornOn
	answers map[string]answer // RES_MEMLIST heard
}

type answer struct {
	hears map[string]bool
	maxt  uint64
}

// New makes a Core that is silent.
func New(opt Options) *Core {
	return &Core{opt: opt, alive: map[string]bool{}, ours: map[string]bool{}, spoke: map[string]bool{}, wrong: map[string]bool{}}
}

// Step takes one event in at time now.
func (c *Core) Step(now time.Time, ev Event) Output {
	c.out = Output{}
	switch ev := ev.(type) {
	case Nodes:
		c.nodes(now, ev)
	case Received:
		if strings.HasPrefix(ev.Message.Type(), typePrefix) {
			c.received(now, ev.From, ev.Message)
		}
	case Woken:
	}
	if c.phase != idle && !c.deadline.IsZero() && !now.Before(c.deadline) {
		c.late(now)
	}
	if c.phase == member {
		c.remindOthers(now)
	}
	if c.phase != idle {
		c.out.WakeAt = c.deadline
		if c.phase == member && !c.remindAt.IsZero() && (c.deadline.IsZero() || c.remindAt.Before(c.deadline)) {
			c.out.WakeAt = c.remindAt
		}
	}
	return c.out
}

// remindOthers tells nodes that are heard, and still not in the membership,
// of it: after a partition two of 3.0.6 may each have begun one alone, and
// neither says anything any more. Those without a ccm do not care, so they are
// told ever less often.
func (c *Core) remindOthers(now time.Time) {
	var outside []string
	for _, name := range c.all {
		if c.alive[name] && !c.has(name) {
			outside = append(outside, name)
		}
	}
	switch {
	case len(outside) == 0:
		c.remindAt, c.remind = time.Time{}, longUpdate
	case c.remindAt.IsZero():
		c.remind = longUpdate
		c.remindAt = now.Add(longUpdate * c.opt.Keepalive)
	case !now.Before(c.remindAt):
		for _, name := range outside {
			c.tellState(name)
		}
		c.remind = min(2*c.remind, 32*longUpdate)
		c.remindAt = now.Add(time.Duration(c.remind) * c.opt.Keepalive)
	}
}

func (c *Core) tellState(to string) {
	m := c.full("STATE_INFO")
	m.Add("state", stateJoined)
	c.send(m, to)
}

func (c *Core) nodes(now time.Time, ev Nodes) {
	c.all = slices.Clone(ev.All)
	slices.Sort(c.all)
	before := c.alive
	c.alive, c.ours = maps.Clone(ev.Alive), maps.Clone(ev.Ours)
	delete(c.alive, c.opt.Node)
	for name := range before {
		if !c.alive[name] || ev.Anew[name] {
			delete(c.spoke, name)
			delete(c.wrong, name)
		}
	}
	c.active = ev.Active
	if !c.foreign() {
		if c.phase != idle {
			c.end()
		}
		return
	}
	if c.phase == idle {
		c.beginAsking(now)
		return
	}
	for _, name := range c.all {
		if before[name] && (!c.alive[name] || ev.Anew[name]) {
			c.lost(now, name)
		}
	}
	for _, name := range c.all {
		if c.alive[name] && (!before[name] || ev.Anew[name]) && c.phase == member {
			c.tellState(name)
		}
	}
	if c.phase == asking {
		c.elect(now)
	}
}

// foreign: some node alive is not of our kind.
func (c *Core) foreign() bool {
	for name := range c.alive {
		if c.alive[name] && !c.ours[name] {
			return true
		}
	}
	return false
}

// beginAsking ends the silence if somebody's ccm has spoken. A node that is
// about to start is told the others' state before it is active itself.
func (c *Core) beginAsking(now time.Time) {
	if c.active && len(c.spoke) > 0 && c.foreign() {
		c.ask(now)
	}
}

func (c *Core) end() {
	had := c.bornOn != nil
	c.phase, c.deadline, c.minor, c.cookie, c.bornOn = idle, time.Time{}, 0, "", nil // the number stays, as higher ones follow
	c.out.Membership, c.out.Ended = nil, had
}

// established: a membership with a cookie is in force.
func (c *Core) established() bool { return c.phase >= member }

func (c *Core) leads() bool { return c.phase == member && c.leader == c.opt.Node }

// others are the members that still count, without ourselves.
func (c *Core) others() []string {
	var names []string
	for name := range c.bornOn {
		if name != c.opt.Node && c.alive[name] && !c.gone[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// allIn tells whether every member that still counts is in set.
func allIn[V any](c *Core, set map[string]V) bool {
	for _, name := range c.others() {
		if _, ok := set[name]; !ok {
			return false
		}
	}
	return true
}

// oldest leads: the lowest number, of the same the name that sorts last.
func oldest(bornOn map[string]uint64) string {
	best := ""
	for name, at := range bornOn {
		if at == 0 {
			continue
		}
		if best == "" || cmp.Or(cmp.Compare(at, bornOn[best]), strings.Compare(best, name)) < 0 {
			best = name
		}
	}
	return best
}

func (c *Core) after(now time.Time, keepalives int) {
	c.deadline = now.Add(time.Duration(keepalives) * c.opt.Keepalive)
}

// install puts a membership in force that this node belongs to.
func (c *Core) install(now time.Time, number uint64, cookie string, bornOn map[string]uint64, quorate bool) {
	c.phase, c.major, c.minor, c.cookie, c.bornOn = member, number, 0, cookie, bornOn
	c.leader = oldest(bornOn)
	c.gone, c.newcomer, c.leaver, c.asked = map[string]bool{}, "", "", nil
	c.remindAt = time.Time{}
	c.reports, c.confirmed, c.joins, c.answers = map[string]map[string]bool{}, nil, nil, nil
	m := &Membership{Number: number, Leader: c.leader, Quorate: quorate}
	for name, at := range bornOn {
		m.Members = append(m.Members, Member{name, at})
	}
	slices.SortFunc(m.Members, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
	c.out.Membership = m
	c.watch(now)
	for _, name := range m.Names() { // who died while we were at it
		if name != c.opt.Node && !c.alive[name] {
			c.lost(now, name)
		}
	}
}

// watch sets the time at which a member that has gone must be out, or a
// membership without any node of 3.0.6 is given up, if some such node takes
// part in another.
func (c *Core) watch(now time.Time) {
	c.deadline = time.Time{}
	if c.alone() || len(c.gone) > 0 {
		c.after(now, longUpdate)
	}
}

// alone: all members are ours, and a node of 3.0.6 whose ccm speaks is none.
func (c *Core) alone() bool {
	for name := range c.bornOn {
		if name != c.opt.Node && !c.ours[name] {
			return false
		}
	}
	for name := range c.spoke {
		if _, in := c.bornOn[name]; !in && c.alive[name] && !c.ours[name] {
			return true
		}
	}
	return false
}
