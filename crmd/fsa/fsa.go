// Package fsa names the controller's state the way tools, monitoring and test
// suites know it (crm 2.8, 2.9). It decides nothing: the cores of election,
// join and transition engine do. Derive turns their condition into a state,
// and Path into the lines of the transitions that lead there.
package fsa

import "fmt"

// State is a controller's state.
type State string

// The states of crm 2.8.
const (
	Starting         State = "S_STARTING"
	Pending          State = "S_PENDING"
	Election         State = "S_ELECTION"
	NotDC            State = "S_NOT_DC"
	Integration      State = "S_INTEGRATION"
	FinalizeJoin     State = "S_FINALIZE_JOIN"
	PolicyEngine     State = "S_POLICY_ENGINE"
	TransitionEngine State = "S_TRANSITION_ENGINE"
	Idle             State = "S_IDLE"
	ReleaseDC        State = "S_RELEASE_DC"
	Stopping         State = "S_STOPPING"
	Terminate        State = "S_TERMINATE"
	Recovery         State = "S_RECOVERY"
)

// Condition is what a controller is about, as far as it shows.
type Condition struct {
	Connected   bool // to the messaging layer, CIB and executor
	DC          bool // this node is DC
	Accepted    bool // the DC has accepted this node
	Integrating bool // DC: nothing was computed yet in this reign
	Finalizing  bool // DC: the first node states are being written
	Computing   bool // DC: the scheduler is at work, or will be at once
	Executing   bool // DC: a graph is under way
	Stopping    bool
}

// Derive returns the state.
func Derive(c Condition) State {
	switch {
	case c.Stopping:
		return Stopping
	case !c.Connected:
		return Starting
	case c.DC && c.Finalizing:
		return FinalizeJoin
	case c.DC && c.Integrating:
		return Integration
	case c.DC && c.Computing:
		return PolicyEngine
	case c.DC && c.Executing:
		return TransitionEngine
	case c.DC:
		return Idle
	case c.Accepted:
		return NotDC
	}
	return Pending
}

// Transition is one step from state to state.
type Transition struct {
	From, To State
	Input    string
	Cause    string
	Origin   string
}

// String is the log line that tools match (crm 2.8).
func (t Transition) String() string {
	return fmt.Sprintf("State transition %s -> %s | input=%s cause=%s origin=%s", t.From, t.To, t.Input, t.Cause, t.Origin)
}

// Notice says whether the line is a notice rather than an info.
func (t Transition) Notice() bool {
	return t.From == Idle || t.To == Idle || t.From == NotDC || t.To == NotDC || t.From == Election || t.From == Starting
}

// table is crm 2.9, most natural way first.
var table = []Transition{
	{Starting, Pending, "I_PENDING", "C_FSA_INTERNAL", "do_started"},
	{Pending, Election, "I_ELECTION", "C_FSA_INTERNAL", "membership"},
	{Pending, NotDC, "I_NOT_DC", "C_HA_MESSAGE", "do_cl_join_finalize_respond"},
	{NotDC, Pending, "I_JOIN_OFFER", "C_HA_MESSAGE", "route_message"},
	{NotDC, Election, "I_ELECTION", "C_FSA_INTERNAL", "membership"},
	{Election, Integration, "I_ELECTION_DC", "C_FSA_INTERNAL", "election_win"},
	{Election, Pending, "I_PENDING", "C_FSA_INTERNAL", "do_election_count_vote"},
	{Integration, FinalizeJoin, "I_INTEGRATED", "C_FSA_INTERNAL", "check_join_state"},
	{FinalizeJoin, PolicyEngine, "I_FINALIZED", "C_FSA_INTERNAL", "check_join_state"},
	{PolicyEngine, TransitionEngine, "I_PE_SUCCESS", "C_IPC_MESSAGE", "handle_response"},
	{TransitionEngine, Idle, "I_TE_SUCCESS", "C_FSA_INTERNAL", "notify_crmd"},
	{TransitionEngine, PolicyEngine, "I_PE_CALC", "C_FSA_INTERNAL", "abort_transition_graph"},
	{Idle, PolicyEngine, "I_PE_CALC", "C_FSA_INTERNAL", "abort_transition_graph"},
	{Idle, Integration, "I_NODE_JOIN", "C_FSA_INTERNAL", "membership"},
	{PolicyEngine, Integration, "I_NODE_JOIN", "C_FSA_INTERNAL", "membership"},
	{TransitionEngine, Integration, "I_NODE_JOIN", "C_FSA_INTERNAL", "membership"},
	{FinalizeJoin, Integration, "I_NODE_JOIN", "C_FSA_INTERNAL", "membership"},
	{Idle, ReleaseDC, "I_RELEASE_DC", "C_FSA_INTERNAL", "membership"},
	{PolicyEngine, ReleaseDC, "I_RELEASE_DC", "C_FSA_INTERNAL", "membership"},
	{TransitionEngine, ReleaseDC, "I_RELEASE_DC", "C_FSA_INTERNAL", "membership"},
	{Integration, ReleaseDC, "I_RELEASE_DC", "C_FSA_INTERNAL", "membership"},
	{FinalizeJoin, ReleaseDC, "I_RELEASE_DC", "C_FSA_INTERNAL", "membership"},
	{ReleaseDC, Pending, "I_RELEASE_SUCCESS", "C_FSA_INTERNAL", "do_dc_release"},
}

// Path returns the steps from one state to another, the fewest possible.
func Path(from, to State) []Transition {
	if from == to {
		return nil
	}
	if to == Stopping {
		return []Transition{{from, to, "I_STOP", "C_FSA_INTERNAL", "do_shutdown"}}
	}
	came := map[State]Transition{}
	queue := []State{from}
	for len(queue) > 0 {
		s := queue[0]
		queue = queue[1:]
		for _, t := range table {
			if _, seen := came[t.To]; t.From != s || seen || t.To == from {
				continue
			}
			came[t.To] = t
			queue = append(queue, t.To)
		}
	}
	var path []Transition
	for s := to; s != from; {
		t, ok := came[s]
		if !ok {
			return []Transition{{from, to, "I_NULL", "C_FSA_INTERNAL", "derive"}}
		}
		path = append([]Transition{t}, path...)
		s = t.From
	}
	return path
}
