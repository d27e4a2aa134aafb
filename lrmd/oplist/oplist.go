// Package oplist decides which operation of which resource runs when.
//
// List is a state machine without I/O: it starts no process, reads no clock and
// logs nothing. The server feeds it events together with the present time and
// carries out what comes back in Output. It knows the rules of execution 9 and
// 10: one operation at a time per resource, first come first served, a bound
// over all resources, recurring operations counted from the end of their last
// run, start delays, cancelling, merging and forgetting. What an operation is
// made of (processes, D-Bus, the fencer) is the business of class and run.
package oplist

import (
	"errors"
	"maps"
	"strconv"
	"strings"
	"time"
)

// ErrUnknownResource answers requests for resources that are not registered.
var ErrUnknownResource = errors.New("resource is not registered: register it first")

// Status is how far an operation got (execution 6.5).
type Status int

// The statuses that the list itself gives; agents' classes give others.
const (
	StatusComplete  Status = 0
	StatusCancelled Status = 1
	StatusTimedOut  Status = 2
)

// rcError is the OCF code of an operation that did not finish.
const rcError = 1

// reluctant is how long a killed operation may take to end before we complain
// (execution 6.1).
const reluctant = 5 * time.Second

// Agent names a resource agent.
type Agent struct{ Class, Provider, Type string }

// equal compares as execution 8.2: without regard to case.
func (a Agent) equal(b Agent) bool {
	return strings.EqualFold(a.Class, b.Class) && strings.EqualFold(a.Provider, b.Provider) && strings.EqualFold(a.Type, b.Type)
}

// RunID names one run of one operation.
type RunID uint64

// Op is a request to run an agent once, or again and again.
type Op struct {
	CallID       int64 // given by the list
	Resource     string
	Action       string
	Interval     time.Duration // > 0: recurring; ignored for start and stop
	Timeout      time.Duration // from the launch; 0: none
	StartDelay   time.Duration // before the first run
	Params       map[string]string
	UserData     string
	OnChangeOnly bool // recurring: after the first result report changes only
}

// Key is the operation's name in logs and in the CIB.
func (o *Op) Key() string {
	return o.Resource + "_" + o.Action + "_" + strconv.FormatInt(o.Interval.Milliseconds(), 10)
}

// Outcome is what one run came to.
type Outcome struct {
	RC     int // OCF code, mapped (execution 5)
	Raw    int // the agent's own exit code
	Status Status
	Reason string
	Output string
}

// Event is what can happen to a List.
type Event interface{ event() }

type (
	// Registered makes a resource known, or gives it another agent.
	Registered struct {
		Resource string
		Agent    Agent
	}
	// Unregistered forgets a resource.
	Unregistered struct{ Resource string }
	// Submitted queues an operation.
	Submitted struct{ Op Op }
	// Cancelled ends a recurring operation, or one that has not started yet.
	Cancelled struct {
		Resource, Action string
		Interval         time.Duration
	}
	// Launched says that a run's agent is being executed from now on.
	Launched struct {
		Run RunID
		PID int       // 0: no process
		At  time.Time // zero: now
	}
	// Exited ends a run.
	Exited struct {
		Run     RunID
		Outcome Outcome
	}
	// ClassFailed says that nothing of a class can work any more: what waits
	// fails with Outcome, recurring operations go on (execution 14.4). What
	// runs reports its own failure.
	ClassFailed struct {
		Class   string
		Outcome Outcome
	}
	// Woken says that time has passed.
	Woken struct{}
)

func (Registered) event()   {}
func (Unregistered) event() {}
func (Submitted) event()    {}
func (Cancelled) event()    {}
func (Launched) event()     {}
func (Exited) event()       {}
func (ClassFailed) event()  {}
func (Woken) event()        {}

// Start asks for an agent to be run; Launched and Exited follow, or Exited
// alone when it could not be launched.
type Start struct {
	Run   RunID
	Op    Op
	Agent Agent
}

// Kill asks for a run to be ended; its Exited still follows.
type Kill struct {
	Run   RunID
	Group bool // with all processes of its group
}

// Kind says what a Report tells.
type Kind int

// The kinds of reports.
const (
	KindStarted Kind = iota + 1
	KindDone
	KindRegistered
	KindUnregistered
)

// Report is news for every watcher.
type Report struct {
	Kind Kind
	Op   Op // Resource alone for KindRegistered and KindUnregistered
	Outcome
	PID                   int
	ExecTime, QueueTime   time.Duration
	LastRun, LastRCChange time.Time // zero: never ran
	StartedAt             time.Time
	Removed               bool // operation or resource is gone with this
	Quiet                 bool // not a change: watchers need not hear it
	MoreRuns              bool // recurring, and goes on
}

// Moved says that a request took over a recurring operation: whoever waits for
// call From now waits for To (execution 10.2).
type Moved struct{ From, To int64 }

// Answer is the reply to the event's sender.
type Answer struct {
	CallID  int64 // Submitted
	Found   bool  // Cancelled, Unregistered
	Running bool  // Cancelled, Unregistered: something has yet to end
	Err     error
}

// Note is a warning that the list wants logged.
type Note struct {
	Text   string
	Key    string // of the operation
	CallID int64
	PID    int
}

// Output is what the server has to do: start and kill first, as the cluster
// waits for it, then report, in order. The answer is for whoever sent the event.
type Output struct {
	Answer  Answer
	Moved   []Moved
	Report  []Report
	Kill    []Kill
	Start   []Start
	Drained []string // unregistered resources of which nothing runs any more
	Notes   []Note
	WakeAt  time.Time // step again at this time at the latest; zero: no need
}

// Options of a List.
type Options struct {
	// MaxRunning bounds the operations that run at once over all resources.
	// Zero: no bound, as the controller limits them (execution 9.2).
	MaxRunning int
}

// List is the table of resources and their operations.
type List struct {
	opts      Options
	resources map[string]*resource
	order     []*resource // the same, by name
	runs      map[RunID]*op
	lastCall  int64
	lastRun   RunID
	lastSeq   uint64
}

// New returns an empty list.
func New(opts Options) *List {
	return &List{opts: opts, resources: map[string]*resource{}, runs: map[RunID]*op{}}
}

// resource is one entry. It outlives its registration while an operation runs,
// so that a new registration of the same name still runs one at a time.
type resource struct {
	id         string
	agent      Agent
	registered bool
	pending    []*op // not yet run for the first time; the head blocks the rest
	due        []*op // recurring, its interval has passed
	waiting    []*op // recurring, between two runs
	running    *op
	started    map[string]string // parameters of the last start (execution 3.3)
}

type fate int

const (
	alive fate = iota
	cancelled
	timedOut
)

// op is an operation with its history.
type op struct {
	Op
	rsc      *resource
	agent    Agent
	arrived  uint64 // order among all waiting operations
	queuedAt time.Time
	readyAt  time.Time // end of the start delay, or when it is due again

	run        RunID
	pid        int
	begunAt    time.Time // handed out for running
	launchedAt time.Time // zero: not yet
	deadline   time.Time // zero: none
	killedAt   time.Time
	complained bool
	fate       fate
	orphan     bool // its registration is gone

	ran      bool // has completed once
	lastRaw  int
	rcChange time.Time
	last     *Report // newest result
	sent     bool
}

// reported says whether the newest result repeats what was sent last.
func (o *op) repeats(r *Report) bool {
	return o.OnChangeOnly && o.sent && o.last != nil && o.last.RC == r.RC && o.last.Status == r.Status
}

// Registered reports whether the resource is known.
func (l *List) Registered(id string) bool {
	r := l.resources[id]
	return r != nil && r.registered
}

// LastCall is the newest call id given out.
func (l *List) LastCall() int64 { return l.lastCall }

// Entry is one resource as List shows it.
type Entry struct {
	ID         string
	Agent      Agent
	Operations []Operation
}

// Operation is a pending, running or recurring operation of an Entry.
type Operation struct {
	Op      Op
	Running bool
	Last    *Report // nil: no result yet
}

// Entries returns the registered resources in order of their names.
func (l *List) Entries() []Entry {
	var out []Entry
	for _, r := range l.order {
		if !r.registered {
			continue
		}
		e := Entry{ID: r.id, Agent: r.agent}
		if o := r.running; o != nil && !o.orphan {
			e.Operations = append(e.Operations, Operation{Op: o.Op, Running: true, Last: o.last})
		}
		for _, o := range r.queued() {
			e.Operations = append(e.Operations, Operation{Op: o.Op, Last: o.last})
		}
		out = append(out, e)
	}
	return out
}

// withStarted returns the parameters of a stop: those of the start before it,
// and the cluster's own ones of the request (execution 3.3).
func withStarted(started, requested map[string]string) map[string]string {
	out := maps.Clone(started)
	for k := range out {
		if isMeta(k) {
			delete(out, k)
		}
	}
	for k, v := range requested {
		if isMeta(k) {
			out[k] = v
		}
	}
	return out
}

func isMeta(name string) bool {
	return strings.HasPrefix(name, "CRM_meta_") || name == "crm_feature_set"
}
