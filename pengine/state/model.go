// Package state turns a CIB into the scheduler's typed model: cluster options,
// nodes, resources with their instances, what history says about where they run
// and how they fared, and the actions that reading all this already calls for.
// It does not place resources. The rooms constraint, assign, action, order and
// graph go on from the model, in that order; each keeps its results in the
// fields that this package reserves for it. Nodes and resources carry numbers
// that index slices; names are for the edges.
package state

import (
	"linuxha/internal/isotime"
	"linuxha/pengine/internal/value"
	"linuxha/pengine/internal/xmldoc"
	"linuxha/pengine/rules"
)

// Attrs is a table of names and values.
type Attrs = value.Attrs

// Infinity is the largest score.
const Infinity = value.Infinity

// FeatureSet is the feature set whose decisions are reproduced.
const FeatureSet = "3.16.1"

// Role is a resource's role; the order matters (state 6.4).
type Role int8

// The roles.
const (
	Unknown Role = iota
	Stopped
	Started
	Unpromoted
	Promoted
)

func (r Role) String() string {
	return [...]string{"Unknown", "Stopped", "Started", "Unpromoted", "Promoted"}[r]
}

// Discovery says whether probes are made on a node (assignment 3.5).
type Discovery int8

// The discovery modes, in rising order.
const (
	DiscoverAlways Discovery = iota
	DiscoverNever
	DiscoverExclusive
)

// Kind is a resource variant, in ascending rank (assignment 1.4.1).
type Kind int8

// The variants.
const (
	Primitive Kind = iota
	Group
	Clone
	Bundle
)

// NodeKind is a node's type.
type NodeKind int8

// The node types.
const (
	Member NodeKind = iota
	RemoteNode
	Ping
)

// Node is the one shared record of a node (assignment 1.3.1). Score and
// Discover belong to the cluster's own list entry.
type Node struct {
	Idx      int
	ID, Name string
	Kind     NodeKind
	Score    int
	Discover Discovery

	Online, Standby, StandbyOnFail, Pending, Unclean, Unseen bool
	ShuttingDown, ExpectedUp, IsDC, Maintenance              bool
	DiscoveryEnabled                                         bool
	Named                                                    bool // has the attributes #uname and #id
	RequiresReset, WasFenced, RecordedMaintenance, unpacked  bool

	Conn        *Resource // connection of a guest or remote node
	Running     []*Resource
	Assigned    []*Resource // newest first is the reverse
	NumAssigned int
	Priority    int
	Attrs       Attrs
	Utilization Attrs

	digests map[string]*Digest
	ops     map[string]*Action
	failed  []failAttr // fail counts among Attrs, prepared on first use
	failOK  bool
}

// Entry is a node's place in a resource's table of allowed nodes.
type Entry struct {
	Set      bool
	Discover Discovery
	Why      int32 // newest record of Score in the ledger, if there is one
	Score    int
	Count    int
}

// Table is a resource's allowed nodes, indexed by Node.Idx; it may be shorter
// than the list of nodes.
type Table []Entry

// Get returns the entry for a node, nil if there is none.
func (t Table) Get(n *Node) *Entry {
	if n == nil || n.Idx >= len(t) || !t[n.Idx].Set {
		return nil
	}
	return &t[n.Idx]
}

// Has says whether the table has an entry for the node.
func (t Table) Has(n *Node) bool { return t.Get(n) != nil }

// Put writes an entry.
func (t *Table) Put(n *Node, e Entry) *Entry {
	for len(*t) <= n.Idx {
		*t = append(*t, Entry{})
	}
	e.Set = true
	(*t)[n.Idx] = e
	return &(*t)[n.Idx]
}

// Copy copies the table; instance counters restart at 0 (assignment 1.3.3).
func (t Table) Copy() Table {
	c := make(Table, len(t)) // never nil: an empty table is not an absent one
	copy(c, t)
	for i := range c {
		c[i].Count = 0
	}
	return c
}

// ListEntry is a copy of a node's entry in the cluster's own list.
func ListEntry(n *Node) Entry { return Entry{Set: true, Score: n.Score, Discover: n.Discover} }

// Placement is the table entry that a primitive was assigned to.
type Placement struct {
	Node  *Node
	Score int
}

// MultiActive says what to do with a resource found active more than once.
type MultiActive int8

// The recovery choices.
const (
	StopStart MultiActive = iota
	StopOnly
	Block
	StopUnexpected
)

// OnFail is what to do about a failure, in order of severity (state 7.5).
type OnFail int8

// The failure policies, mildest first.
const (
	FailIgnore OnFail = iota
	FailDemote
	FailRecover
	FailResetRemote
	FailRestartContainer
	FailMigrate
	FailBlock
	FailStop
	FailStandby
	FailFence
)

// Resource is a primitive, group, clone or bundle, or an instance or part of one.
type Resource struct {
	Idx      int
	ID       string
	XMLID    string // without instance number
	HistName string // the name history uses, "" if none (state 9.3)
	XML      *xmldoc.Elem
	OwnDoc   bool // XML is a copy apart from the CIB (clone instance, template user)
	CloneNum int  // instance number, -1 outside clones
	Kind     Kind
	Parent   *Resource
	Children []*Resource
	Class    string
	Provider string
	Type     string
	HasProv  bool
	HasClass bool
	HasType  bool
	Meta     Attrs
	Ops      []*OpConf
	Utiliz   Attrs

	Priority, SortIndex, Stickiness, Threshold int
	FailureTimeout                             int64 // seconds
	ReconnectMS                                int64
	MultiActive                                MultiActive
	RestartTypeRestart                         bool

	Managed, Blocked, Failed, MustStop, Orphan, OrphanFiller, Unique       bool
	Promotable, Notify, FenceDevice, Critical, AllowMigrate, Maintenance   bool
	StartPending, FailureIgnored, IsContainer, NeedsQuorum, NeedsFencing   bool
	NeedsUnfencing, AllowRemoteRemotes, Provisional, ExclusiveDiscovery    bool
	Assigning, Merging, Reload, Restarting, StopUnexpected, PromotedSorted bool
	IsRemoteConn                                                           bool // ocf:pacemaker:remote, guest or remote

	Role, NextRole Role
	Allowed        Table
	Assigned       *Placement
	Active         []*Node
	KnownOn        NodeSet
	Container      *Resource
	Fillers        []*Resource
	Dangling       []*Node
	PartialSource  *Node
	PartialTarget  *Node
	PendingTask    string
	PendingNode    *Node
	LockNode       *Node
	LockTime       int64

	Actions   []*Action                // in order of creation
	byKey     map[string]*keyedActions // the first keyed of Actions by lower-case key, once there are many
	keyed     int
	ThisWith  []*Colocation
	WithThis  []*Colocation
	Locations []*Location // newest last
	Tickets   []*TicketConstraint

	Clone  *CloneConf
	Group  *GroupConf
	Bundle *BundleConf
	// Replica is set on the parts of a bundle's replica and on its instance.
	Replica *Replica

	params       map[*Node]Attrs
	staticParams bool
	paramsKnown  bool
}

// GroupConf is what only groups have.
type GroupConf struct{ Ordered, Colocated bool }

// CloneConf is what only clones have.
type CloneConf struct {
	Max, NodeMax, PromotedMax, PromotedNodeMax int
	Ordered, Interleave                        bool
	Child                                      *xmldoc.Elem
	total                                      int
	Notify                                     [4]*NotifySet // start, stop, promote, demote
}

// NotifySet are the pseudo actions around one operation of a notifying clone.
type NotifySet struct {
	Op                           string
	Pre, PreDone, Post, PostDone *Action
}

// BundleConf is what only bundles have.
type BundleConf struct {
	Agent, Image, RunCommand, Options, Network string
	HasNetwork, HasOptions                     bool
	PromotedMax, Replicas, PerHost             int
	IPStart, Netmask, Interface, ControlPort   string
	AddHost                                    bool
	Inner                                      *Resource // the implicit clone
	Replica                                    []*Replica
	mounts                                     []mount
	ports                                      []port
	addresses                                  string
	attributeTarget                            string
}

// Replica is one replica of a bundle.
type Replica struct {
	Offset                        int
	Bundle                        *Resource
	IPAddr                        string
	Container, IP, Conn, Instance *Resource
	Node                          *Node
}

// NodeSet is a set of nodes: a bit for each Node.Idx, those of the first 64
// nodes in place.
type NodeSet struct {
	low  uint64
	more []uint64
}

// Has says whether the node is in the set.
func (s NodeSet) Has(n *Node) bool {
	switch {
	case n == nil:
		return false
	case n.Idx < 64:
		return s.low>>n.Idx&1 != 0
	}
	i := n.Idx/64 - 1
	return i < len(s.more) && s.more[i]>>(n.Idx%64)&1 != 0
}

// Add puts a node into the set.
func (s *NodeSet) Add(n *Node) {
	if n.Idx < 64 {
		s.low |= 1 << n.Idx
		return
	}
	i := n.Idx/64 - 1
	if i >= len(s.more) {
		s.more = append(s.more, make([]uint64, i+1-len(s.more))...)
	}
	s.more[i] |= 1 << (n.Idx % 64)
}

// Empty says whether no node is in the set.
func (s NodeSet) Empty() bool {
	for _, b := range s.more {
		if b != 0 {
			return false
		}
	}
	return s.low == 0
}

// Colocation places Dependent relative to Primary (assignment 4).
type Colocation struct {
	ID                 string
	Dependent, Primary *Resource
	DependentRole      Role
	PrimaryRole        Role
	Score              int
	NodeAttr           string
	Influence          bool
	Constraint         string // that it comes from, "" if it is implied by what the resources are
}

// Location is a preference for nodes (assignment 3.5).
type Location struct {
	ID       string // of the rule, or the constraint
	Parent   string // the constraint that the rule is in
	Health   bool   // it stands for the node's health
	Rsc      *Resource
	Role     Role
	Discover Discovery
	Entries  []LocEntry
}

// LocEntry is one node of a location.
type LocEntry struct {
	Node     *Node
	Score    int
	Discover Discovery
}

// Ticket is the state of a ticket.
type Ticket struct {
	ID               string
	Granted, Standby bool
	LastGranted      int64
	Attrs            Attrs
}

// TicketConstraint ties a resource to a ticket (assignment 5).
type TicketConstraint struct {
	Ticket *Ticket
	Role   Role
}

// Side is one side of an ordering: a concrete action, or a resource and key.
type Side struct {
	Rsc    *Resource
	Key    string
	Task   string // the task named by Key
	Action *Action
}

// Ordering is an ordering constraint before it became edges (actions 3.1).
type Ordering struct {
	First, Then Side
	Props       Prop
}

// Severity grades a note.
type Severity int8

// The severities; those below Info appear only in the log of a ledger.
const (
	Trace Severity = iota - 2
	Debug
	Info
	Notice
	Warning
	Error
)

// Note is something worth a log line.
type Note struct {
	Severity Severity
	Text     string
	Once     bool   // the reference says it once in a process
	From     string // the reference's name for the place, which it prints in front; "" if the note is ours
}

// FailedOp is a failed operation for status displays (state 9.9).
type FailedOp struct {
	Key      string
	Node     *Node
	Resource *Resource
	RscID    string
	XML      *xmldoc.Elem
}

// Cluster is the whole model of one scheduling run.
type Cluster struct {
	Root    *xmldoc.Elem
	Opts    Options
	Health  value.Health
	Quorum  bool
	DC      *Node
	Now     isotime.Date
	NowUnix int64
	Recheck int64 // 0 if nothing changes by itself
	Until   int64 // first second at which this model may no longer hold, 0 for never
	Rules   *rules.Context

	Nodes     []*Node // natural name order
	ByIdx     []*Node
	Resources []*Resource // top level
	AllRes    []*Resource // by Resource.Idx
	Tickets   map[string]*Ticket
	Tags      map[string][]string
	Templates map[string][]string
	tagHas    map[[2]string]bool // tag and member

	Actions     []*Action // in order of creation
	global      map[string][]*Action
	nextID      int
	Orderings   []*Ordering
	Locations   []*Location // newest last
	Deferred    []DeferredCheck
	FailedOps   []FailedOp
	Notes       []Note
	Sanitized   bool // secure digests are compared (crm_simulate on a file)
	HaveRemotes bool
	Instances   int
	Disabled    int
	BlockedRsc  int
	Output      Output
	Why         *Ledger  // nil: nobody asks for explanations
	Messages    []string // informational lines of a simulation (actions 18.4)

	HaveFenceDevice bool
	Unfencing       bool
	legacyFailCount bool
	sections        map[string]*xmldoc.Elem
	ids             map[string]map[string]found // by name and id, names as they are asked for
	rescheduled     map[*xmldoc.Elem]bool       // history entries to be scheduled anew
	containerStops  []*Resource
	rscByID         map[string]*Resource
	histByName      map[string]*Resource
	hist            histReader
	sinceStart      []RecordedOp
	spent           [workKinds]int
	cells           int                       // that instances took
	blocking        map[string][]*xmldoc.Elem // operations with on-fail="block" by primitive, once needed
}

// Output selects and receives the lines that are printed while scheduling.
type Output struct {
	Scores, Utilization bool
	Lines               []ScoreLine
}

// ScoreLine is one line of score or utilization output.
type ScoreLine struct{ Text string }

// Notef records a note.
func (c *Cluster) Notef(s Severity, text string) { c.Note(s, "", text) }

// Note records a note with the reference's name for the place.
func (c *Cluster) Note(s Severity, from, text string) {
	c.Notes = append(c.Notes, Note{Severity: s, Text: text, From: from})
	c.Why.Log(s, from, text)
}
