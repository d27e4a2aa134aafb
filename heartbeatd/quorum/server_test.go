package quorum

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestArbiter(t *testing.T) {
	const grace, lease = 300 * time.Millisecond, 3 * time.Second
	ask := func(a *Arbiter, ms int, node, view, members string) Verdict {
		return a.Ask(time.Unix(0, 0).Add(time.Duration(ms)*time.Millisecond), Ask{Cluster: "c", Node: node, View: view, Members: strings.Fields(members), Lease: lease})
	}
	type step struct {
		ms         int
		node, view string
		members    string
		want       Verdict
	}
	for name, steps := range map[string][]step{
		"whole, then halves: who had it does not lose it to the other half": {
			{ms: 0, node: "a", view: "1", members: "a b c d", want: Wait},
			{ms: 300, node: "a", view: "1", members: "a b c d", want: Granted},
			{ms: 310, node: "c", view: "1", members: "a b c d", want: Granted},
			{ms: 1000, node: "c", view: "2c", members: "c d", want: Refused}, // a's lease runs
			{ms: 1100, node: "a", view: "2a", members: "a b", want: Refused}, // c's as well
			{ms: 3300, node: "c", view: "2c", members: "c d", want: Granted}, // a's has run out, c's own has not
			{ms: 3320, node: "a", view: "2a", members: "a b", want: Refused},
			{ms: 6400, node: "a", view: "2a", members: "a b", want: Wait}, // c and d are gone
			{ms: 6700, node: "a", view: "2a", members: "a b", want: Granted},
			{ms: 6800, node: "b", view: "2a", members: "a b", want: Granted},
			{ms: 6900, node: "d", view: "3", members: "a b c d", want: Granted}, // merged
		},
		"the bigger of two that start apart": {
			{ms: 0, node: "a", view: "1a", members: "a", want: Wait},
			{ms: 100, node: "b", view: "1b", members: "b c", want: Wait},
			{ms: 310, node: "a", view: "1a", members: "a", want: Wait},
			{ms: 320, node: "c", view: "1b", members: "b c", want: Granted},
			{ms: 330, node: "a", view: "1a", members: "a", want: Refused},
		},
		"who had it last wins a draw": {
			{ms: 0, node: "b", view: "1", members: "b d", want: Wait},
			{ms: 400, node: "b", view: "1", members: "b d", want: Granted},
			{ms: 9000, node: "a", view: "2a", members: "a c", want: Wait},
			{ms: 9100, node: "d", view: "2b", members: "b d", want: Wait},
			{ms: 9310, node: "a", view: "2a", members: "a c", want: Wait},
			{ms: 9320, node: "d", view: "2b", members: "b d", want: Granted},
		},
		"not a member": {{ms: 0, node: "x", view: "1", members: "a b", want: Refused}},
	} {
		a := NewArbiter(grace)
		for _, s := range steps {
			if got := ask(a, s.ms, s.node, s.view, s.members); got != s.want {
				t.Errorf("%s: at %d %s for {%s}: %s, want %s", name, s.ms, s.node, s.members, got, s.want)
			}
		}
	}
}

// TestNeverTwo: whatever partitions ask in whatever order, and however late
// their questions arrive, no two nodes of disjoint views believe in quorum at
// the same time.
func TestNeverTwo(t *testing.T) {
	nodes := []string{"a", "b", "c", "d"}
	rapid.Check(t, func(t *rapid.T) {
		a := NewArbiter(300 * time.Millisecond)
		now := time.Unix(0, 0)
		until := map[string]time.Time{} // as the node counts: from when it asked
		view := map[string][]string{}
		for i := range 200 {
			now = now.Add(time.Duration(rapid.IntRange(0, 400).Draw(t, "ms")) * time.Millisecond)
			side := rapid.IntRange(1, 15).Draw(t, "side")
			var in, out []string
			for j, n := range nodes {
				if side&(1<<j) != 0 {
					in = append(in, n)
				} else {
					out = append(out, n)
				}
			}
			who := rapid.SampledFrom(in).Draw(t, "who")
			asked := now
			now = now.Add(time.Duration(rapid.IntRange(0, 100).Draw(t, "late")) * time.Millisecond)
			if !slices.Equal(view[who], in) {
				view[who], until[who] = in, time.Time{} // another view: quorum starts from nothing
			}
			if a.Ask(now, Ask{Cluster: "c", Node: who, View: fmt.Sprint(in), Members: in, Lease: time.Second}) != Granted {
				continue
			}
			until[who] = asked.Add(time.Second)
			for _, other := range out {
				if now.Before(until[other]) && now.Before(until[who]) && !slices.Contains(view[other], who) {
					t.Fatalf("step %d: %s of %v and %s of %v have quorum", i, who, in, other, view[other])
				}
			}
		}
	})
}

func TestWire(t *testing.T) {
	q := Ask{Cluster: "c", Node: "a", View: "7/b/12", Members: []string{"a", "b"}, Number: 9, Challenge: "xyz", Lease: 2500 * time.Millisecond}
	if got, err := ParseAsk(q.Message()); err != nil || fmt.Sprint(got) != fmt.Sprint(q) {
		t.Errorf("%v %v", got, err)
	}
	r := Answer{Node: "a", Number: 9, Verdict: Wait, Challenge: "abc"}
	if got, err := ParseAnswer(r.Message()); err != nil || got != r {
		t.Errorf("%v %v", got, err)
	}
	if _, err := ParseAsk(r.Message()); err == nil {
		t.Error("an answer was taken for a question")
	}
	if _, err := ParseAnswer(q.Message()); err == nil {
		t.Error("a question was taken for an answer")
	}
}
