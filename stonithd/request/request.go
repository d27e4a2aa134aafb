// Package request decides how the fencers of a cluster fence a node together:
// who is asked, who executes, what comes after a failure, when it is over and
// who learns of it (execution 37 to 39, 42).
//
// The fencer that a client asks owns the operation: it queries all fencers,
// picks an executioner per device, follows the target's topology and
// broadcasts the end. Core holds one fencer's part in all operations, as owner,
// as executioner and as bystander, together with the node's devices. It has no
// I/O: the server carries messages and runs agents, the simulator pretends to.
//
// What never happens: an operation reported as successful without a device's
// success, a human's confirmation or, where the configuration says so, the time
// in which a watchdog resets a lost node behind it.
package request

import (
	"time"

	"linuxha/stonithd/device"
	"linuxha/stonithd/history"
	"linuxha/stonithd/topology"
)

// Request is what a client wants.
type Request struct {
	ID        string // unique in the cluster
	Target    string
	Action    string // off, reboot, on
	Client    string
	Origin    string // node of the client; filled in by the fencer asked
	Device    string // only this device of this node
	Timeout   time.Duration
	Tolerance time.Duration // a success this recent is enough
	Delay     time.Duration // negative: no delays at all
	AllowSelf bool          // the target's own fencer may execute
	List      bool          // only tell which devices could do it
	// Generation is the newest incarnation of the target known to the client,
	// then also to the fencer asked; 0: none.
	Generation uint64

	answer string // the client's ID, where ID is that of a further try
}

// Message is what fencers tell each other; the closed set below.
type Message interface{ message() }

// Query announces an operation to all and asks which devices can help.
type Query struct {
	Request
	Owner   string
	Started time.Time
}

// Offers answers a Query.
type Offers struct {
	ID     string
	Offers []device.Offer
}

// Execute asks Peer to run a device; all hear it, to know where things stand
// should the owner die.
type Execute struct {
	ID        string
	Owner     string
	Peer      string
	Attempt   int
	Device    string // empty: whichever of the peer's devices can
	Action    string // of the phase
	Target    string
	Client    string
	Timeout   time.Duration
	Delay     time.Duration
	AllowSelf bool
	Decides   bool // success of this device is success of the operation
}

// Executed is the executioner's answer to the owner.
type Executed struct {
	ID      string
	Attempt int
	Device  string
	Result  device.Result
}

// Finished tells all how an operation ended.
type Finished struct{ Record history.Record }

// Relay hands a request to another fencer, because the target cannot see its
// own fencing through.
type Relay struct{ Request }

// Sync tells what the sender remembers; Whole is false for an addition that
// wants no answer.
type Sync struct {
	Records []history.Record
	Whole   bool
}

// Cleanup makes all forget the finished operations of a target, or of all.
type Cleanup struct{ Target string }

func (Query) message()    {}
func (Offers) message()   {}
func (Execute) message()  {}
func (Executed) message() {}
func (Finished) message() {}
func (Relay) message()    {}
func (Sync) message()     {}
func (Cleanup) message()  {}

// Event is something that happened; the closed set of what Step takes.
type Event interface{ event() }

// ViewInstalled brings the fencers that are members now: node name to the
// number of the view in which the process entered.
type ViewInstalled struct {
	Node   string // own name
	Number uint64
	Peers  map[string]uint64
	IDs    map[string]string // node name to cluster id, as far as known
	// Generations are the incarnations in which nodes were members last.
	Generations map[string]uint64
}

// Detached says that the messaging layer is gone.
type Detached struct{}

// Received is a message from the fencer of a node, our own included.
type Received struct {
	From    string
	View    uint64 // number of the view in which it was sent
	Message Message
}

// Asked is a client's request at this fencer.
type Asked struct{ Request }

// Confirmed is an administrator's word that the target is down.
type Confirmed struct{ Request }

// Reconfigured brings what the CIB says about fencing.
type Reconfigured struct {
	Devices []device.Device
	Levels  []topology.Level
	// Attributes are the permanent node attributes, for levels by attribute.
	Attributes map[string]map[string]string
	Watchdog   Watchdog
}

// LevelAdded and LevelRemoved change the topology through the API; they last
// until the next Reconfigured that touches levels.
type LevelAdded struct{ Level topology.Level }

// LevelRemoved removes one level of a key, or all with index 0.
type LevelRemoved struct {
	Key   string
	Index int
}

// CleanupAsked is a client's wish to forget.
type CleanupAsked struct{ Target string }

// Devices passes an event on to the node's devices.
type Devices struct{ Event device.Event }

// Woken says that the time asked for in WakeAt has come.
type Woken struct{}

func (ViewInstalled) event() {}
func (Detached) event()      {}
func (Received) event()      {}
func (Asked) event()         {}
func (Confirmed) event()     {}
func (Reconfigured) event()  {}
func (LevelAdded) event()    {}
func (LevelRemoved) event()  {}
func (CleanupAsked) event()  {}
func (Devices) event()       {}
func (Woken) event()         {}

// Send is a message to the fencer of a node; an empty To is all, the sender
// included.
type Send struct {
	To      string
	Message Message
}

// Answer ends a client's request.
type Answer struct {
	ID      string
	Result  device.Result
	Record  history.Record
	Devices []string // for Request.List
}

// Note is a line for the log.
type Note struct {
	Text  string
	Error bool
}

// Output is what the server has to do, in this order.
type Output struct {
	Send      []Send
	Run       []device.Run
	Learn     []string
	Performed []device.Performed // of Perform events that came in by Devices
	Answer    []Answer
	Publish   []history.Record // ends of operations, for those who watch
	Notes     []Note
	WakeAt    time.Time // zero: no need
}
