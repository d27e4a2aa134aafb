package ccm

import (
	"slices"
	"testing"
)

func TestGate(t *testing.T) {
	view := func(number uint64, members ...Member) *View {
		return &View{ViewID: ViewID{number, "a", 1}, Members: members}
	}
	a1, b1, b7 := Member{Name: "a", Generation: 1, BornOn: 1}, Member{Name: "b", Generation: 1, BornOn: 1}, Member{Name: "b", Generation: 1, BornOn: 7}
	at := func(number uint64) ViewID { return ViewID{number, "a", 1} }
	elsewhere := ViewID{5, "c", 1}

	for _, test := range []struct {
		name       string
		view       *View
		generation uint64
		stamp      ViewID
		want       verdict
	}{
		{"before the first view", nil, 1, at(1), hold},
		{"sent in this view", view(5, a1, b1), 1, at(5), pass},
		{"sent in the view before, together since", view(5, a1, b1), 1, at(4), pass},
		{"sent in a view to come", view(5, a1, b1), 1, at(6), hold},
		{"sent in another partition's view", view(5, a1, b1), 1, elsewhere, drop},
		{"sent before it came back", view(7, a1, b7), 1, at(6), drop},
		{"sent before we came back", view(7, Member{Name: "a", BornOn: 7}, b1), 1, at(6), drop},
		{"sent by an earlier incarnation", view(5, a1, b1), 0, at(5), drop},
		{"sent by a node that is no member", view(5, a1), 1, at(5), drop},
	} {
		g := NewGate[string]("a")
		if test.view != nil {
			g.Installed(test.view)
		}
		if got := g.judge("b", test.generation, test.stamp); got != test.want {
			t.Errorf("%s: %d, want %d", test.name, got, test.want)
		}
	}

	g := NewGate[string]("a")
	g.Installed(view(5, a1, b1))
	for _, m := range []struct {
		stamp uint64
		text  string
		now   bool
	}{{5, "one", true}, {6, "two", false}, {6, "three", false}, {7, "four", false}} {
		if g.Admit("b", 1, at(m.stamp), m.text) != m.now {
			t.Errorf("%q delivered at once: %v", m.text, !m.now)
		}
	}
	if got := g.Installed(view(6, a1, b1)); !slices.Equal(got, []string{"two", "three"}) {
		t.Errorf("view 6 releases %q", got)
	}
	g.Interrupted("b")
	if g.Admit("b", 1, at(6), "behind the hole") {
		t.Error("a message behind a hole in the stream passed")
	}
	if got := g.Installed(view(7, a1)); len(got) != 0 {
		t.Errorf("view 7 without b releases %q", got)
	}

	g.Admit("b", 1, at(100), "of a former life")
	g.Installed(view(8, a1, Member{Name: "b", Generation: 2, BornOn: 8}))
	if !g.Admit("b", 2, at(8), "five") {
		t.Error("a message waits for one of the sender's former life")
	}
}
