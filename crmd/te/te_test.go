package te

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"linuxha/internal/graph"
)

var t0 = time.Unix(1_800_000_000, 0)

const uuid = "3c5206aa-6c15-48ad-8065-6b7dfc47c4ae"

// engine is a Core under test with what it did.
type engine struct {
	t     *testing.T
	c     *Core
	now   time.Time
	done  []string // effects in words
	ref   uint64
	input Version
}

func newEngine(t *testing.T, ready ...string) *engine {
	e := &engine{t: t, c: New("n1"), now: t0}
	e.c.Step(e.now, Started{UUID: uuid})
	e.step(Ready{Nodes: ready})
	return e
}

func (e *engine) step(ev Event) {
	for _, ev := range []Event{ev, TurnEnd{}} {
		for _, eff := range e.c.Step(e.now, ev).Effects {
			switch eff := eff.(type) {
			case Compute:
				e.ref = eff.Ref
				word := "compute"
				for _, f := range eff.Unrecorded {
					word += " +" + f.Action.Key
				}
				e.done = append(e.done, word)
			case Initiate:
				e.done = append(e.done, fmt.Sprintf("%s@%s", eff.Action.Key, eff.Action.Node))
			case CountFailure:
				e.done = append(e.done, fmt.Sprintf("count %s_%s_%d@%s inf=%t last=%t", eff.Resource, eff.Task, eff.IntervalMS, eff.Node, eff.Infinity, eff.OnlyLast))
			case RecordLost:
				e.done = append(e.done, "lost "+eff.Action.Key)
			case Idle:
				e.done = append(e.done, "idle")
			case ShutdownGranted:
				e.done = append(e.done, "granted")
			}
		}
	}
}

// graph answers the scheduler's call.
func (e *engine) graph(g *graph.Graph) {
	e.t.Helper()
	if e.c.phase != PhaseComputing {
		e.t.Fatalf("no computation is under way, phase %d", e.c.phase)
	}
	e.step(Asked{Ref: e.ref, Version: e.input})
	e.step(Scheduled{Ref: e.ref, Graph: g, File: "pe-input-0.bz2"})
}

func (e *engine) want(words ...string) {
	e.t.Helper()
	if got, want := strings.Join(e.done, "; "), strings.Join(words, "; "); got != want {
		e.t.Errorf("did    %s\nwanted %s", got, want)
	}
	e.done = nil
}

// ok and fails tell the result of an action of graph g.
func (e *engine) result(g, action int, opKey, node string, target, rc, status int) {
	i := strings.LastIndex(opKey, "_")
	j := strings.LastIndex(opKey[:i], "_")
	var ms int64
	fmt.Sscan(opKey[i+1:], &ms)
	e.step(Result{
		Node: node, Resource: opKey[:j], OpKey: opKey, Task: opKey[j+1 : i], IntervalMS: ms,
		Key: TransitionKey(action, g, target, uuid), RC: rc, Status: status, CallID: int64(10 + action),
	})
}

func op(id int, key, node string, inputs ...int) *graph.Synapse {
	i := strings.LastIndex(key, "_")
	j := strings.LastIndex(key[:i], "_")
	a := &graph.Action{
		ID: id, Kind: graph.RscOp, Operation: key[j+1 : i], Key: key, Node: node,
		Resource:   &graph.Resource{ID: key[:j], Class: "ocf", Provider: "heartbeat", Type: "Dummy"},
		Attributes: map[string]string{"CRM_meta_timeout": "20000", "CRM_meta_interval": key[i+1:]},
	}
	return &graph.Synapse{Actions: []*graph.Action{a}, Inputs: inputs}
}

func with(s *graph.Synapse, attrs ...string) *graph.Synapse {
	for i := 0; i < len(attrs); i += 2 {
		s.Actions[0].Attributes[attrs[i]] = attrs[i+1]
	}
	return s
}

func pseudo(id int, key string, inputs ...int) *graph.Synapse {
	return &graph.Synapse{Actions: []*graph.Action{{ID: id, Key: key, Operation: key}}, Inputs: inputs}
}

func event(id int, operation, node string, inputs ...int) *graph.Synapse {
	return &graph.Synapse{Actions: []*graph.Action{{
		ID: id, Kind: graph.CrmEvent, Operation: operation, Key: operation,
		Node: node, NodeID: "id-" + node, Attributes: map[string]string{"CRM_meta_stonith_action": "reboot"}, Downed: []string{"id-" + node},
	}}, Inputs: inputs}
}

func g(id int, ss ...*graph.Synapse) *graph.Graph {
	for i, s := range ss {
		s.ID = i
	}
	return &graph.Graph{ID: id, ClusterDelay: time.Minute, StonithTimeout: time.Minute, FailedStartOffset: "INFINITY", FailedStopOffset: "INFINITY", Synapses: ss}
}

func TestActionsWaitForTheirInputs(t *testing.T) {
	e := newEngine(t, "n1", "n2")
	e.want("compute")
	e.graph(g(0, op(1, "a_start_0", "n1"), op(2, "b_start_0", "n2", 3), pseudo(3, "all_started", 1)))
	e.want("a_start_0@n1")
	e.result(0, 1, "a_start_0", "n1", 0, 0, 0)
	e.want("all_started@", "b_start_0@n2")
	e.result(0, 2, "b_start_0", "n2", 0, 0, 0)
	e.want("idle")
}

func TestEmptyGraphIsIdle(t *testing.T) {
	e := newEngine(t, "n1")
	e.graph(g(0))
	e.want("compute", "idle")
}

func TestFailureCountsAndRecomputesOnceCounted(t *testing.T) {
	e := newEngine(t, "n1")
	e.graph(g(0, op(1, "a_start_0", "n1"), op(2, "a_monitor_10000", "n1", 1)))
	e.done = nil
	e.result(0, 1, "a_start_0", "n1", 0, 1, 0)
	e.want("count a_start_0@n1 inf=true last=false")
	// The failure's second record, identical, changes nothing.
	e.result(0, 1, "a_start_0", "n1", 0, 1, 0)
	e.want()
	e.step(Counted{})
	e.want("compute")
}

func TestProbeThatFindsSomethingIsNotCounted(t *testing.T) {
	e := newEngine(t, "n1")
	e.graph(g(0, with(op(1, "a_monitor_0", "n1"), "CRM_meta_op_target_rc", "7")))
	e.done = nil
	e.result(0, 1, "a_monitor_0", "n1", 7, 0, 0)
	e.want("compute")
}

func TestRecurringFailureLater(t *testing.T) {
	e := newEngine(t, "n1")
	e.graph(g(0, op(1, "a_monitor_10000", "n1")))
	e.result(0, 1, "a_monitor_10000", "n1", 0, 0, 0)
	e.done = nil
	e.result(0, 1, "a_monitor_10000", "n1", 0, 7, 0)
	e.want("count a_monitor_10000@n1 inf=false last=false")
}

// What is in flight stands for the same action of each later graph, however
// many of them are computed before it ends: it is never ordered again.
func TestSeveralGraphsAdoptTheSameFlight(t *testing.T) {
	e := newEngine(t, "n1")
	e.graph(g(0, op(1, "a_start_0", "n1"), op(2, "b_monitor_10000", "n1")))
	e.done = nil
	for i := 1; i < 4; i++ {
		e.step(Aborted{Reason: "standby"})
		e.done = nil
		e.graph(g(i, op(1, "a_start_0", "n1"), op(2, "b_monitor_10000", "n1"), op(3, "a_monitor_10000", "n1", 1)))
		e.want()
	}
	e.result(0, 1, "a_start_0", "n1", 0, 0, 0)
	e.want("a_monitor_10000@n1")
	e.result(0, 2, "b_monitor_10000", "n1", 0, 0, 0)
	e.result(3, 3, "a_monitor_10000", "n1", 0, 0, 0)
	e.want("idle")
}

// A stop does not wait for a monitor, and cancels one whose first run is under
// way: nothing waits for its result then, and no later graph takes it for its own.
func TestMonitorCancelledBeforeItsFirstResult(t *testing.T) {
	e := newEngine(t, "n1")
	e.graph(g(0, op(1, "a_monitor_10000", "n1")))
	e.step(Aborted{Reason: "standby"})
	e.done = nil
	e.graph(g(1, op(1, "a_stop_0", "n1")))
	e.want("a_stop_0@n1")
	e.result(0, 1, "a_monitor_10000", "n1", 0, 0, StatusCancelled)
	e.want("compute +a_stop_0")
	e.graph(g(2, op(1, "a_stop_0", "n1"), op(2, "a_start_0", "n1", 1), op(3, "a_monitor_10000", "n1", 2)))
	e.result(1, 1, "a_stop_0", "n1", 0, 0, 0)
	e.result(2, 2, "a_start_0", "n1", 0, 0, 0)
	e.want("a_start_0@n1", "a_monitor_10000@n1")
	e.result(2, 3, "a_monitor_10000", "n1", 0, 0, 0)
	e.want("idle")
}

func TestDegradedCountsAsOK(t *testing.T) {
	e := newEngine(t, "n1")
	e.graph(g(0, op(1, "a_monitor_10000", "n1")))
	e.done = nil
	e.result(0, 1, "a_monitor_10000", "n1", 0, 190, 0)
	e.want("idle")
}

func TestOnFailIgnore(t *testing.T) {
	e := newEngine(t, "n1")
	e.graph(g(0, with(op(1, "a_start_0", "n1"), "CRM_meta_on_fail", "ignore"), op(2, "b_start_0", "n1", 1)))
	e.done = nil
	e.result(0, 1, "a_start_0", "n1", 0, 1, 0)
	e.want("count a_start_0@n1 inf=true last=true", "b_start_0@n1")
}

func TestWhatCameWithTheInputDoesNotAbort(t *testing.T) {
	e := newEngine(t, "n1")
	e.input = Version{0, 5, 9}
	e.graph(g(0, op(1, "a_start_0", "n1")))
	e.done = nil
	e.step(Aborted{Reason: "Transient attribute change", Version: Version{0, 5, 9}})
	e.want()
	e.step(Aborted{Reason: "Transient attribute change", Version: Version{0, 5, 10}})
	e.want("compute +a_start_0")
}

func TestChangesWhileComputing(t *testing.T) {
	e := newEngine(t, "n1")
	e.step(Aborted{Reason: "x", Version: Version{0, 5, 3}})
	e.input = Version{0, 5, 3}
	e.graph(g(0, op(1, "a_start_0", "n1"))) // asked after that change: usable
	e.want("compute", "a_start_0@n1")

	e = newEngine(t, "n1")
	e.step(Aborted{Reason: "x", Version: Version{0, 5, 4}})
	e.input = Version{0, 5, 3}
	e.graph(g(0, op(1, "a_start_0", "n1"))) // not usable
	e.want("compute", "compute")
}

func TestAbortRecomputesAtOnceAndAdopts(t *testing.T) {
	e := newEngine(t, "n1", "n2")
	e.graph(g(0, op(1, "a_start_0", "n1"), op(2, "b_start_0", "n2")))
	e.done = nil
	e.step(Recorded{Key: TransitionKey(1, 0, 0, uuid)})
	e.step(Aborted{Reason: "Configuration change", Config: true})
	e.want("compute +b_start_0") // a is recorded, b is not yet
	e.graph(g(1, op(7, "a_start_0", "n1"), op(8, "a_monitor_10000", "n1", 7), op(9, "c_start_0", "n1")))
	e.want("c_start_0@n1") // a is under way already
	e.result(0, 1, "a_start_0", "n1", 0, 0, 0)
	e.want("a_monitor_10000@n1")
	e.result(0, 2, "b_start_0", "n2", 0, 0, 0) // the new graph does not have it
	e.want("compute +a_monitor_10000 +c_start_0")
}

func TestConflictingActionWaits(t *testing.T) {
	e := newEngine(t, "n1", "n2")
	e.graph(g(0, op(1, "a_start_0", "n1")))
	e.done = nil
	e.step(Aborted{Reason: "Configuration change"})
	e.graph(g(1, op(1, "a_stop_0", "n1"), op(2, "a_start_0", "n2", 1), op(3, "b_start_0", "n2")))
	e.want("compute +a_start_0", "b_start_0@n2")
	e.result(0, 1, "a_start_0", "n1", 0, 0, 0)
	e.want("compute +b_start_0") // now it is known how the start ended
}

func TestInstancesOfACloneDoNotConflictAcrossNodes(t *testing.T) {
	e := newEngine(t, "n1", "n2")
	e.graph(g(0, with(op(1, "a_start_0", "n1"), "CRM_meta_clone", "0")))
	e.step(Aborted{Reason: "x"})
	e.done = nil
	e.graph(g(1, with(op(1, "a_start_0", "n2"), "CRM_meta_clone", "1"), with(op(2, "a_promote_0", "n1"), "CRM_meta_clone", "0")))
	e.want("a_start_0@n2")
}

func TestCompletionActionsSurviveAnAbort(t *testing.T) {
	e := newEngine(t, "n1")
	post := op(3, "a_notify_0", "n1", 1)
	post.Priority = graph.Infinity
	e.graph(g(0, op(1, "a_start_0", "n1"), op(2, "b_start_0", "n1", 1), post))
	e.step(Aborted{Reason: "x"})
	e.graph(g(1))
	e.done = nil
	e.result(0, 1, "a_start_0", "n1", 0, 0, 0)
	e.want("a_notify_0@n1", "compute +a_notify_0") // b must not start any more
}

func TestFencingComesFirstAndIsAdopted(t *testing.T) {
	e := newEngine(t, "n1")
	e.graph(g(0, event(1, "stonith", "n2"), op(2, "a_start_0", "n1", 1)))
	e.want("compute", "stonith@n2")
	e.step(Aborted{Reason: "x"})
	e.graph(g(1, event(5, "stonith", "n2"), op(6, "a_start_0", "n1", 5)))
	e.want("compute")
	e.step(Done{Key: TransitionKey(1, 0, 0, uuid), OK: true})
	e.want("a_start_0@n1")
}

func TestFencingFailureBacksOff(t *testing.T) {
	e := newEngine(t, "n1")
	e.c.Step(e.now, Options{Recheck: 15 * time.Minute})
	e.done = nil
	e.graph(g(0, event(1, "stonith", "n2")))
	for i, wait := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second} {
		e.want("stonith@n2")
		e.step(Done{Key: TransitionKey(1, i, 0, uuid), Reason: "no device"})
		e.want("compute")
		e.graph(g(i+1, event(1, "stonith", "n2")))
		e.want()
		e.now = e.now.Add(wait - 1)
		e.step(Woken{})
		e.want()
		e.now = e.now.Add(1)
		if at := e.c.Step(e.now, Woken{}); len(at.Effects) != 1 {
			t.Fatalf("at the end of the pause: %+v", at)
		}
		e.done = []string{"stonith@n2"}
	}
	e.step(Done{Key: TransitionKey(1, 3, 0, uuid)})
	e.step(Aborted{Reason: "Configuration change", Config: true}) // a device was added
	e.done = nil
	e.graph(g(4, event(1, "stonith", "n2")))
	e.want("compute") // the abort came while computing: asked again
	e.graph(g(5, event(1, "stonith", "n2")))
	e.want("stonith@n2")
}

func TestFencingIsGivenUpAfterTheLastAttempt(t *testing.T) {
	e := newEngine(t, "n1", "n2")
	e.step(Options{Recheck: 15 * time.Minute, MaxAttempts: 3})
	e.done = nil
	e.graph(g(0, event(1, "stonith", "n3"), op(2, "a_start_0", "n1", 1), op(3, "b_start_0", "n1")))
	e.want("stonith@n3", "b_start_0@n1")
	e.result(0, 3, "b_start_0", "n1", 0, 0, 0)
	for attempt := range 2 {
		e.step(Done{Key: TransitionKey(1, attempt, 0, uuid), Reason: "it broke"})
		e.want("compute")
		e.now = e.now.Add(time.Hour)
		e.graph(g(attempt+1, event(1, "stonith", "n3")))
		e.want("stonith@n3")
	}
	e.step(Done{Key: TransitionKey(1, 2, 0, uuid), Reason: "it broke"})
	e.want("idle") // no new computation, no new attempt
	e.step(Woken{})
	e.want()

	// Whatever else causes a computation brings one more attempt, without a pause.
	e.step(Aborted{Reason: "Transient attribute change"})
	e.want("compute")
	e.graph(g(3, event(1, "stonith", "n3")))
	e.want("stonith@n3")
	e.step(Done{Key: TransitionKey(1, 3, 0, uuid), Reason: "it broke"})
	e.want("idle")

	e.now = e.now.Add(15 * time.Minute)
	e.step(Woken{})
	e.want("compute") // the recheck
	e.graph(g(4, event(1, "stonith", "n3")))
	e.want("stonith@n3")
	e.step(Done{Key: TransitionKey(1, 4, 0, uuid), OK: true})
	e.want("idle")

	e.step(Aborted{Reason: "Node failure"})
	e.graph(g(5, event(1, "stonith", "n3")))
	e.step(Done{Key: TransitionKey(1, 5, 0, uuid), Reason: "it broke"})
	e.want("compute", "stonith@n3", "compute") // the success has made the count anew
}

func TestWhatDoesNotNeedTheFencingGoesOn(t *testing.T) {
	e := newEngine(t, "n1")
	e.step(Options{MaxAttempts: 1})
	e.done = nil
	e.graph(g(0, event(1, "stonith", "n3"), op(2, "a_start_0", "n1", 1), op(3, "b_start_0", "n1"), op(4, "c_start_0", "n1", 3)))
	e.step(Done{Key: TransitionKey(1, 0, 0, uuid), Reason: "it broke"})
	e.want("stonith@n3", "b_start_0@n1")
	e.result(0, 3, "b_start_0", "n1", 0, 0, 0)
	e.want("c_start_0@n1")
	e.result(0, 4, "c_start_0", "n1", 0, 0, 0)
	e.want("idle")
	e.now = e.now.Add(longestPause) // no recheck is configured
	e.step(Woken{})
	e.want("compute")
}

func TestWithoutADeviceFencingWaitsForAChange(t *testing.T) {
	e := newEngine(t, "n1")
	e.step(Options{Recheck: 15 * time.Minute, MaxAttempts: 10})
	e.done = nil
	e.graph(g(0, event(1, "stonith", "n3")))
	e.step(Done{Key: TransitionKey(1, 0, 0, uuid), Reason: "No device", NoDevice: true})
	e.want("stonith@n3", "idle")
	for attempt, pause := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second} {
		e.now = e.now.Add(pause - 1)
		e.step(Woken{})
		e.want()
		e.now = e.now.Add(1)
		e.step(Woken{})
		e.want("compute")
		e.graph(g(attempt+1, event(1, "stonith", "n3")))
		e.step(Done{Key: TransitionKey(1, attempt+1, 0, uuid), Reason: "No device", NoDevice: true})
		e.want("stonith@n3", "idle")
	}
}

func TestFencingFailuresAreCountedAcrossReigns(t *testing.T) {
	e := newEngine(t, "n1")
	e.step(Stopped{})
	e.step(Options{Recheck: 15 * time.Minute, MaxAttempts: 3})
	for range 2 {
		e.step(FenceFailed{Target: "n3"}) // of another DC
		e.step(FenceFailed{Target: "n4"})
		e.step(FenceFailed{Target: "n5"})
	}
	e.step(Fenced{Target: "n4"})
	e.step(Forgotten{Node: "n5"})
	e.step(Started{UUID: uuid})
	e.done = nil
	e.graph(g(0, event(1, "stonith", "n3"), event(2, "stonith", "n4"), event(3, "stonith", "n5")))
	e.step(Done{Key: TransitionKey(1, 0, 0, uuid), Reason: "it broke"})
	e.want("stonith@n3", "stonith@n4", "stonith@n5") // the third failure: given up
	e.step(Done{Key: TransitionKey(2, 0, 0, uuid), Reason: "it broke"})
	e.want("compute") // the first one
	e.graph(g(1, event(3, "stonith", "n5")))
	e.step(Done{Key: TransitionKey(3, 0, 0, uuid), Reason: "it broke"})
	e.want("compute") // the first one
}

func TestRefusedOrderIsNotWaitedFor(t *testing.T) {
	e := newEngine(t, "n1", "n2")
	e.graph(g(0, op(1, "a_start_0", "n2"), op(2, "b_start_0", "n2", 1)))
	e.want("compute", "a_start_0@n2")
	e.step(Refused{Key: TransitionKey(7, 0, 0, uuid), Node: "n2"}) // nothing that waits
	e.want()
	e.step(Refused{Key: TransitionKey(1, 0, 0, uuid), Node: "n2"})
	e.want("compute") // and no failure is counted
	e.graph(g(1, op(1, "a_start_0", "n2")))
	e.want("a_start_0@n2")
}

func TestNodeLossFailsItsActions(t *testing.T) {
	e := newEngine(t, "n1", "n2")
	e.graph(g(0, op(1, "a_start_0", "n2"), op(2, "b_start_0", "n1")))
	e.done = nil
	e.step(NodeLost{Node: "n2"})
	e.want("compute +b_start_0")
}

func TestRestartedControllerKeepsWhatRuns(t *testing.T) {
	e := newEngine(t, "n1", "n2")
	e.graph(g(0, op(1, "a_start_0", "n2"), op(2, "b_start_0", "n2")))
	e.done = nil
	e.step(Rejoined{Node: "n2", Running: []string{TransitionKey(2, 0, 0, uuid)}})
	e.want("compute +b_start_0")
}

func TestOrderedShutdownExplainsTheLoss(t *testing.T) {
	e := newEngine(t, "n1", "n2")
	e.graph(g(0, op(1, "a_stop_0", "n2"), event(2, "do_shutdown", "n2", 1)))
	e.result(0, 1, "a_stop_0", "n2", 0, 0, 0)
	e.want("compute", "a_stop_0@n2", "do_shutdown@n2", "idle")
}

func TestOwnShutdownIsGrantedAtTheEnd(t *testing.T) {
	e := newEngine(t, "n1", "n2")
	e.graph(g(0, op(1, "a_stop_0", "n1"), event(2, "do_shutdown", "n1", 1)))
	e.result(0, 1, "a_stop_0", "n1", 0, 0, 0)
	e.want("compute", "a_stop_0@n1", "do_shutdown@n1", "granted", "idle")
}

func TestLostActionIsRecorded(t *testing.T) {
	e := newEngine(t, "n1", "n2")
	e.graph(g(0, op(1, "a_start_0", "n2")))
	e.done = nil
	e.now = e.now.Add(80*time.Second - 1)
	e.step(Woken{})
	e.want()
	e.now = e.now.Add(1)
	e.step(Woken{})
	e.want("lost a_start_0", "compute")
}

func TestActionsWaitForANodeThatIsNotReady(t *testing.T) {
	e := newEngine(t, "n1")
	e.graph(g(0, op(1, "a_start_0", "n2")))
	e.want("compute")
	e.step(Ready{Nodes: []string{"n1", "n2"}})
	e.want("a_start_0@n2")
}

func TestLimits(t *testing.T) {
	e := newEngine(t, "n1", "n2")
	e.c.Step(e.now, Options{NodeLimit: 1})
	gr := g(0, op(1, "a_start_0", "n1"), op(2, "b_start_0", "n1"), op(3, "c_start_0", "n2"), op(4, "d_start_0", "n2"))
	gr.BatchLimit = 2
	e.graph(gr)
	e.want("compute", "a_start_0@n1", "c_start_0@n2")
	e.result(0, 3, "c_start_0", "n2", 0, 0, 0)
	e.want("d_start_0@n2")
}

func TestRecheck(t *testing.T) {
	e := newEngine(t, "n1")
	e.c.Step(e.now, Options{Recheck: time.Minute})
	gr := g(0)
	gr.RecheckBy = t0.Unix() + 30
	e.graph(gr)
	e.done = nil
	e.now = t0.Add(30*time.Second - 1)
	e.step(Woken{})
	e.want()
	e.now = t0.Add(30 * time.Second)
	e.step(Woken{})
	e.want("compute")
}

func TestNewsDoNotWaitForTheRecheck(t *testing.T) {
	e := newEngine(t, "n1")
	e.c.Step(e.now, Options{Recheck: time.Minute})
	e.graph(g(0))
	e.done = nil
	e.step(Aborted{Reason: "Configuration change"})
	e.want("compute")
}

func TestUnorderedAndForeignResults(t *testing.T) {
	e := newEngine(t, "n1")
	e.graph(g(0))
	e.done = nil
	e.step(Result{Node: "n1", Resource: "a", Task: "asyncmon", OpKey: "a_asyncmon_0", Key: "35:-1:0:xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", RC: 1})
	e.want("count a_asyncmon_0@n1 inf=false last=false")
	e.step(Counted{})
	e.want("compute")
	e.graph(g(1))
	e.done = nil
	e.step(Result{Node: "n1", Resource: "a", Task: "start", OpKey: "a_start_0", Key: TransitionKey(1, 1, 0, "00000000-0000-0000-0000-000000000000")})
	e.want("compute")
}

func TestGraphNumbersNeverRepeat(t *testing.T) {
	e := newEngine(t, "n1")
	e.graph(g(5, op(1, "a_start_0", "n1")))
	e.step(Aborted{Reason: "x"})
	e.graph(g(0)) // the scheduler was restarted
	if e.c.lastID != 6 {
		t.Errorf("number %d", e.c.lastID)
	}
}

func TestSchedulerFailure(t *testing.T) {
	e := newEngine(t, "n1")
	e.step(ScheduleFailed{Ref: e.ref, Error: "it died", Hopeless: true})
	e.want("compute")
	e.step(Woken{})
	e.want()
	e.step(Aborted{Reason: "Configuration change"})
	e.want("compute")
	e.step(ScheduleFailed{Ref: e.ref, Error: "not there"})
	e.want() // not in a circle
	e.now = e.now.Add(time.Second)
	e.step(Woken{})
	e.want("compute")
	e.c.Step(e.now, Options{Recheck: time.Minute})
	e.step(ScheduleFailed{Ref: e.ref, Error: "it died", Hopeless: true})
	e.want()
	e.now = e.now.Add(time.Minute)
	e.step(Woken{})
	e.want("compute")
}

func TestStoppedOrdersNothing(t *testing.T) {
	e := newEngine(t, "n1")
	e.graph(g(0, op(1, "a_start_0", "n1"), op(2, "b_start_0", "n1", 1)))
	e.done = nil
	e.step(Stopped{})
	e.result(0, 1, "a_start_0", "n1", 0, 0, 0)
	e.want()
}

func TestParseKey(t *testing.T) {
	for _, key := range []string{"", "1:2:3", "a:0:0:u", "1:2:3:"} {
		if _, _, _, _, ok := ParseKey(key); ok {
			t.Errorf("%q parsed", key)
		}
	}
	if a, gr, rc, u, ok := ParseKey(TransitionKey(14, 5, 7, uuid)); !ok || a != 14 || gr != 5 || rc != 7 || u != uuid {
		t.Errorf("%d %d %d %s %t", a, gr, rc, u, ok)
	}
}
