package fsa

import "testing"

func TestDerive(t *testing.T) {
	for _, tc := range []struct {
		c    Condition
		want State
	}{
		{Condition{}, Starting},
		{Condition{Connected: true}, Pending},
		{Condition{Connected: true, Accepted: true}, NotDC},
		{Condition{Connected: true, DC: true, Integrating: true}, Integration},
		{Condition{Connected: true, DC: true, Integrating: true, Finalizing: true}, FinalizeJoin},
		{Condition{Connected: true, DC: true, Accepted: true, Computing: true}, PolicyEngine},
		{Condition{Connected: true, DC: true, Executing: true}, TransitionEngine},
		{Condition{Connected: true, DC: true}, Idle},
		{Condition{Connected: true, DC: true, Stopping: true}, Stopping},
	} {
		if got := Derive(tc.c); got != tc.want {
			t.Errorf("%+v: %s, want %s", tc.c, got, tc.want)
		}
	}
}

func TestPathsAreConnected(t *testing.T) {
	all := []State{Starting, Pending, NotDC, Integration, FinalizeJoin, PolicyEngine, TransitionEngine, Idle, Stopping}
	for _, from := range all[:len(all)-1] {
		for _, to := range all {
			if from == to || to == Starting {
				continue
			}
			at := from
			for _, tr := range Path(from, to) {
				if tr.From != at || tr.Input == "I_NULL" {
					t.Errorf("%s to %s: step %v", from, to, tr)
				}
				at = tr.To
			}
			if at != to {
				t.Errorf("%s to %s ends at %s", from, to, at)
			}
		}
	}
}

func TestLine(t *testing.T) {
	p := Path(TransitionEngine, Idle)
	if len(p) != 1 || p[0].String() != "State transition S_TRANSITION_ENGINE -> S_IDLE | input=I_TE_SUCCESS cause=C_FSA_INTERNAL origin=notify_crmd" || !p[0].Notice() {
		t.Errorf("%v", p)
	}
	if p := Path(Pending, Integration); len(p) != 2 || p[0].To != Election {
		t.Errorf("%v", p)
	}
}
