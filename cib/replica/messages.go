package replica

import (
	"time"

	"linuxha/cib/cibdoc"
	"linuxha/cib/ops"
)

// ID names a request in the whole cluster, so that a request that is sent
// again to another primary is performed once.
type ID struct {
	Node        string
	Incarnation uint64
	Seq         uint64
}

// Request is what a client asked for.
type Request struct {
	Changes []ops.Change
	Local   bool // apply here if there is no primary
	// AsPrimary: perform it here or not at all. What a DC decides must not be
	// made by the primary that comes after it.
	AsPrimary bool
	DryRun    bool
	User      string
	Client    string
	Ref       string
}

// Outcome is the answer to a request, also to SetPrimary.
type Outcome struct {
	RC      cibdoc.RC
	Detail  string
	Payload []byte
	Version cibdoc.Version
	Source  string // SetPrimary: whose copy was chosen
}

// Event is something that happened.
type Event interface{ event() }

// The events.
type (
	// Attached: the messaging layer is there and calls this node so. Views
	// may count anew from here.
	Attached struct{ Node string }
	// Submitted: a local client wants a change; it is answered under Token,
	// at Deadline at the latest.
	Submitted struct {
		Token    uint64
		Request  Request
		Deadline time.Time
	}
	// Appointed: crmd names the primary (SetPrimary).
	Appointed struct {
		Token   uint64
		Primary string
		View    uint64
		Members []string
		Quorate bool
		// Configured is how many nodes the cluster has, and Nodes how many are in
		// the view, with a replica or without; 0: as many as members.
		Configured, Nodes int
	}
	// Received: a message from another replica.
	Received struct {
		From    string
		Message Message
	}
	// Persisted: the Persist of that number, and all before it, are on disk,
	// or failed.
	Persisted struct {
		Seq uint64
		Err error
	}
	// Withdrawn: the client of Submitted does not wait any more. What has not
	// reached a primary is dropped; what has may be performed all the same.
	Withdrawn struct{ Token uint64 }
	// Woken: the time that WakeAt asked for.
	Woken struct{}
)

func (Withdrawn) event() {}
func (Attached) event()  {}
func (Submitted) event() {}
func (Appointed) event() {}
func (Received) event()  {}
func (Persisted) event() {}
func (Woken) event()     {}

// Message goes between replicas.
type Message interface{ term() Term }

// The messages. All carry the term in which they were sent.
type (
	// StateRequest: a new primary asks what each member has.
	StateRequest struct{ Term Term }
	// State answers it.
	State struct {
		Term Term
		Copy Candidate
	}
	// SyncRequest asks for the whole document. Without an incarnation it comes
	// from a member that has not heard of the primary but through its crmd.
	SyncRequest struct{ Term Term }
	// Snapshot is the whole document.
	Snapshot struct {
		Term    Term
		Doc     *cibdoc.Doc
		Lineage Lineage
		Recent  []Applied
		Quorate bool // the primary has quorum
	}
	// Installed: the primary begins its term with this document.
	Installed struct {
		Term    Term
		Version cibdoc.Version
		Sum     cibdoc.Sum
		Lineage Lineage
		Quorate bool // the primary has quorum
	}
	// Patch is one change, in the primary's order.
	Patch struct {
		Term     Term
		From, To cibdoc.Version
		Sum      cibdoc.Sum // of the document after it
		Diff     []byte     // format 2 (cib 5.2); empty: ask for the whole document
		Config   bool       // to be stored
		Quorate  bool
		Applied  Applied
		Client   string
		Ref      string
		Op       ops.Op
	}
	// Ack tells the primary how far a member is.
	Ack struct {
		Term   Term
		Held   cibdoc.Version
		Synced cibdoc.Version // stored
		Err    string         // why storing fails at present
	}
	// Committed: what the term made up to Version is acknowledged.
	Committed struct {
		Term    Term
		Version cibdoc.Version
	}
	// Forward brings a client's request to the primary.
	Forward struct {
		Term    Term
		ID      ID
		Request Request
	}
	// Reply is the primary's answer to it.
	Reply struct {
		Term    Term
		ID      ID
		Outcome Outcome
	}
	// Refused answers a message of an older term, with the newer one.
	Refused struct{ Term Term }
)

func (m StateRequest) term() Term { return m.Term }
func (m State) term() Term        { return m.Term }
func (m SyncRequest) term() Term  { return m.Term }
func (m Snapshot) term() Term     { return m.Term }
func (m Installed) term() Term    { return m.Term }
func (m Patch) term() Term        { return m.Term }
func (m Ack) term() Term          { return m.Term }
func (m Committed) term() Term    { return m.Term }
func (m Forward) term() Term      { return m.Term }
func (m Reply) term() Term        { return m.Term }
func (m Refused) term() Term      { return m.Term }

// Applied remembers that a request is part of the document.
type Applied struct {
	ID      ID
	Version cibdoc.Version
	Config  bool
}

// Output is what the server has to do, in this order.
type Output struct {
	Persist []Persist // store; answer with Persisted
	Send    []Send
	Publish []Published // new versions of this copy, in order
	Lost    []Lost      // keep as patch files
	Answer  []Answer
	Notes   []Note
	WakeAt  time.Time // zero: no need
}

// Persist asks to store the document's configuration with its lineage. A later
// one replaces an earlier one that was not begun.
type Persist struct {
	Seq     uint64
	Doc     *cibdoc.Doc
	Lineage Lineage
}

// Send is a message; To empty is all members.
type Send struct {
	To      string
	Message Message
}

// Published is a version that this copy now has.
type Published struct {
	From, To cibdoc.Version
	Doc      *cibdoc.Doc
	Patch    []byte // empty: replaced as a whole
	Client   string
	Ref      string
	Node     string
	Op       ops.Op
	FromSync bool
}

// Lost are changes of the configuration that another copy won over (cib 15.9).
type Lost struct {
	Patch  []byte // leads from the configuration that won to the one that was here; without versions
	Own    cibdoc.Version
	Winner cibdoc.Version
	Source string
}

// Answer ends a Submitted or Appointed.
type Answer struct {
	Token   uint64
	Outcome Outcome
}

// Level is how much a note matters.
type Level int

// The levels of style 4.
const (
	Debug Level = iota
	Info
	Warn
	Error
)

// Note is for the log.
type Note struct {
	Level Level
	Text  string
	Attrs []any // keys and values in turn, as slog has them
}
