package te

import (
	"time"

	"linuxha/internal/graph"
)

// Event is something that happened.
type Event interface{ event() }

// Started: this node is DC and its first join is done.
type Started struct{ UUID string }

// Stopped: this node is DC no more. Nothing is ordered from here on.
type Stopped struct{}

// Options are set again whenever one changes.
type Options struct {
	TransitionDelay time.Duration
	Recheck         time.Duration // 0: never
	NodeLimit       int           // resource actions in flight per node; 0: no limit
	// MaxAttempts is how often in a row fencing of a target may fail before it is
	// given up until something else happens (stonith-max-attempts); 0: no bound.
	MaxAttempts int
}

// Aborted: something changed that no graph in force knows of (crm 5.8).
type Aborted struct {
	Reason  string
	Detail  string  // rest of the log line
	Version Version // CIB version that brought it; zero: not from the CIB
	Config  bool    // configuration changed: fencing that failed is worth a try at once
}

// Asked: the scheduler was asked with the CIB of this version.
type Asked struct {
	Ref     uint64
	Version Version
}

// Scheduled: the scheduler's answer.
type Scheduled struct {
	Ref   uint64
	Graph *graph.Graph
	File  string // saved input
}

// ScheduleFailed: no answer; the shell asks again when told to.
type ScheduleFailed struct {
	Ref   uint64
	Error string
	// Hopeless: this very input cannot be scheduled; wait for a change (crm 9.18).
	Hopeless bool
}

// Recorded: a pending record of an operation is in the CIB.
type Recorded struct{ Key string }

// Result: an operation ended, by the CIB or told directly.
type Result struct {
	Node       string
	Resource   string
	OpKey      string // RSC_TASK_INTERVAL
	Task       string
	IntervalMS int64
	Key        string // transition key
	CallID     int64
	RC         int
	Status     int
	RCChange   int64 // last-rc-change, tells repeated failures apart
	Reason     string
	Replayed   bool // crm-debug-origin="build_active_RAs": not news
	Direct     bool // told by the node, not seen in the CIB
	Version    Version
}

// OpRemoved: an lrm_rsc_op went from the history.
type OpRemoved struct {
	Node, OpKey string
	Version     Version
}

// Done: an action that leaves no record ended: fencing, clean-up.
type Done struct {
	Key    string
	OK     bool
	Reason string
	// NoDevice: fencing failed because no device can reach the target. The graph
	// is over then; the next one comes with a change, or after a pause (crm 5.15).
	NoDevice bool
}

// Refused: a node did not take an order, because it has not joined this reign.
// Nothing was done there.
type Refused struct{ Key, Node string }

// NodeLost: a node's controller left for good.
type NodeLost struct{ Node string }

// Rejoined: a node's controller was restarted and joined. What it does not run
// any more, and has not reported, never gets an answer.
type Rejoined struct {
	Node    string
	Running []string // transition keys of operations under way there
}

// Ready: these nodes, and no others, take orders now.
type Ready struct{ Nodes []string }

// Fenced: somebody else had a node fenced.
type Fenced struct{ Target string }

// FenceFailed: fencing failed that was not this engine's, while another node is
// DC. Every controller counts, so that a new DC goes on where the old one was.
type FenceFailed struct{ Target string }

// Forgotten: an administrator removed a node.
type Forgotten struct{ Node string }

// Counted: one CountFailure has reached the CIB, or could not.
type Counted struct{}

// TurnEnd: nothing else happened at this moment.
type TurnEnd struct{}

// Woken: the time named by WakeAt has come.
type Woken struct{}

func (Started) event()        {}
func (Stopped) event()        {}
func (Options) event()        {}
func (Aborted) event()        {}
func (Asked) event()          {}
func (Scheduled) event()      {}
func (ScheduleFailed) event() {}
func (Recorded) event()       {}
func (Result) event()         {}
func (OpRemoved) event()      {}
func (Done) event()           {}
func (NodeLost) event()       {}
func (Ready) event()          {}
func (Rejoined) event()       {}
func (Refused) event()        {}
func (Fenced) event()         {}
func (FenceFailed) event()    {}
func (Forgotten) event()      {}
func (Counted) event()        {}
func (TurnEnd) event()        {}
func (Woken) event()          {}

// Effect is something for the shell to do.
type Effect interface{ effect() }

// Compute asks the scheduler with the CIB as it is now. Operations in
// Unrecorded are under way but not in it.
type Compute struct {
	Ref        uint64
	Unrecorded []Flight
}

// Initiate starts an action. Pseudo actions come too, for their side effects.
type Initiate struct {
	Flight
	NoWait         bool
	StonithTimeout time.Duration
}

// CountFailure raises the fail count and sets the last failure (crm 5.7). The
// shell answers with Counted.
type CountFailure struct {
	Node, Resource, Task string
	IntervalMS           int64
	Infinity             bool
	OnlyLast             bool // on-fail=ignore: the count stays
}

// RecordLost writes the record of crm 4.11 for an action nobody answered.
type RecordLost struct{ Flight }

// Idle: all is done.
type Idle struct{ Graph int }

// ShutdownGranted: the DC's own shutdown is through; it may leave.
type ShutdownGranted struct{}

// Note is a line for the log.
type Note struct {
	Level Level
	Text  string
}

// Level of a Note.
type Level int

// Levels of notes.
const (
	Debug Level = iota
	Info
	Notice
	Warning
	Error
)

func (Compute) effect()         {}
func (Initiate) effect()        {}
func (CountFailure) effect()    {}
func (RecordLost) effect()      {}
func (Idle) effect()            {}
func (ShutdownGranted) effect() {}
func (Note) effect()            {}

// Output is what the shell has to do, in this order.
type Output struct {
	Effects []Effect
	WakeAt  time.Time // zero: no need
}

// Flight is an action under way.
type Flight struct {
	Action *graph.Action
	Key    string // transition key
	Graph  int
}
