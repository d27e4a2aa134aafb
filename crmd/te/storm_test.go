package te

import (
	"testing"
	"time"
)

// TestStorm: changes of the configuration that call for nothing are computed
// at most once in stormPause while they come in a row; other news, and changes
// after a rest or with something to do, are computed at once.
func TestStorm(t *testing.T) {
	e := newEngine(t, "n1", "n2")
	version := int64(0)
	change := func() {
		version++
		e.input = Version{0, version, 0}
		e.step(Aborted{Reason: "Configuration change", Version: e.input, Config: true})
	}
	nothing := func() { e.graph(g(int(version))) }
	nothing()
	e.want("compute", "idle")
	for range stormAfter - 1 {
		change()
		e.want("compute")
		nothing()
		e.want("idle")
	}

	change()
	e.want() // the storm has begun
	if at := e.c.Step(e.now, Woken{}).WakeAt; !at.Equal(t0.Add(stormPause)) {
		t.Errorf("wakes at %v", at.Sub(t0))
	}
	e.now = t0.Add(stormPause - time.Millisecond)
	change()
	e.want()
	e.now = t0.Add(stormPause) // later changes have not put it off
	e.step(Woken{})
	e.want("compute")

	// Changes while it computes wait as well, once.
	change()
	e.step(Scheduled{Ref: e.ref, Graph: g(90)})
	e.want()
	e.now = e.now.Add(stormPause)
	e.step(Woken{})
	e.want("compute")

	// A node's death is computed at once, whether it comes while one computes or waits.
	change()
	e.step(NodeLost{Node: "n2"})
	e.step(Aborted{Reason: "Peer Halt"})
	e.step(Scheduled{Ref: e.ref, Graph: g(91)})
	e.want("compute")
	nothing()
	e.want("idle")
	for range stormAfter + 1 {
		change()
		if e.c.Phase() == PhaseComputing {
			nothing()
		}
	}
	e.done = nil
	change()
	e.want()
	e.step(Aborted{Reason: "Peer Halt"})
	e.want("compute")
	nothing()
	e.done = nil

	// After a rest, and once there is something to do, it is no storm.
	for range stormAfter + 1 {
		change()
		if e.c.Phase() == PhaseComputing {
			nothing()
		}
	}
	e.done = nil
	e.now = e.now.Add(stormPause)
	e.step(Woken{})
	nothing()
	e.want("compute", "idle")
	e.now = e.now.Add(2 * stormEnd)
	change()
	e.want("compute")
	e.step(Asked{Ref: e.ref, Version: e.input})
	e.step(Scheduled{Ref: e.ref, Graph: g(92, op(1, "a_start_0", "n1"))})
	e.want("a_start_0@n1")
	change()
	e.want("compute +a_start_0")
}

// TestLongStorm: computations that take long have a fifth of the time.
func TestLongStorm(t *testing.T) {
	e := newEngine(t, "n1")
	e.graph(g(0))
	for i := range stormAfter + 1 {
		e.input = Version{0, int64(i) + 1, 0}
		e.step(Aborted{Reason: "Configuration change", Version: e.input, Config: true})
		if e.c.Phase() == PhaseComputing {
			e.now = e.now.Add(100 * time.Millisecond)
			e.graph(g(i + 1))
		}
	}
	begun := e.now.Add(-100 * time.Millisecond)
	if at := e.c.Step(e.now, Woken{}).WakeAt; !at.Equal(begun.Add(500 * time.Millisecond)) {
		t.Errorf("computes %v after the last computation began", at.Sub(begun))
	}
}
