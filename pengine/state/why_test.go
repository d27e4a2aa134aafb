package state

import (
	"testing"
	"time"
)

// TestFullLedger: what there is too much of is forgotten as a whole, and
// nothing that is noted after that is kept or does harm.
func TestFullLedger(t *testing.T) {
	l := NewLedger(time.UTC)
	r, e := &Resource{ID: "r"}, Entry{}
	l.Log(Info, "here", "before")
	for range maxReasons {
		if l.Add(&e, 1, Cause{Kind: WhyNode}); !l.Asks() {
			break
		}
	}
	if l.Full() == nil || len(l.records) != 0 {
		t.Fatal("not full, or not forgotten", l.Full(), len(l.records))
	}
	if chain := l.Chain(e.Why); chain != nil {
		t.Error("a chain without records", chain)
	}
	l.Set(&e, Cause{})
	l.AddPriority(r, 1, Cause{})
	l.SetPriority(r, 1, Cause{})
	l.SortIndex(r, 1)
	l.PromotedAnyway(r)
	l.PromotionSnapshot(r, nil)
	l.Snapshot(r, "x", nil, 1, 1)
	l.Choose(r, Choice{})
	l.Role(r, RoleChoice{})
	l.Ignore(r, Cause{}, "")
	l.Act(&Action{}, ActCause{})
	l.Log(Info, "here", "after")
	l.Restart(r, ItFailed)
	l.Reading("o")
	l.Ordered(0)
	l.Edge(0, &Action{}, &Action{})
	l.Redirect(&Action{}, &Action{}, &Action{})
	l.Inherit(&Action{}, &Action{}, &Action{}, &Action{})
	if len(l.Logs) != 2 || l.Logs[0].Text != "before" || l.Logs[1].Severity != Error {
		t.Errorf("logs %+v", l.Logs)
	}
}

// TestChain follows records over the borders of chunks.
func TestChain(t *testing.T) {
	l, e := NewLedger(time.UTC), Entry{}
	for i := range 3 * recordChunk {
		l.Add(&e, i, Cause{Kind: WhyNode, Base: i})
	}
	chain := l.Chain(e.Why)
	if len(chain) != 3*recordChunk {
		t.Fatal(len(chain))
	}
	for i, r := range chain {
		if r.Score != i || r.Cause.Base != i {
			t.Fatalf("record %d: %+v", i, r)
		}
	}
}
