package ccm

import "testing"

// TestStays: who comes from the base view or from one before keeps its BornOn,
// unless a message of somebody who was in the base view may be missing.
func TestStays(t *testing.T) {
	before, at := ViewID{11, "d", 1}, ViewID{12, "b", 1}
	base := &View{ViewID: at, Ancestors: []ViewID{before}, Members: []Member{
		{Name: "b", Generation: 1, BornOn: 12}, {Name: "d", Generation: 2, BornOn: 9},
	}}
	d := &State{Node: "d", Generation: 2}
	for _, tc := range []struct {
		name   string
		accept Accept
		stays  bool
	}{
		{"from the base", Accept{State: d, At: at}, true},
		{"missed the base", Accept{State: d, At: before}, true},
		{"missed the base, and something of b", Accept{State: d, At: before, Torn: []Peer{{"b", 1}}}, false},
		{"missed something of an earlier b", Accept{State: d, At: before, Torn: []Peer{{"b", 0}}}, true},
		{"missed something of who was not there", Accept{State: d, At: before, Torn: []Peer{{"c", 1}}}, true},
		{"from elsewhere", Accept{State: d, At: ViewID{11, "c", 1}}, false},
		{"entered after the view it comes from", Accept{State: &State{Node: "b", Generation: 1}, At: before}, false},
		{"another life", Accept{State: &State{Node: "d", Generation: 3}, At: at}, false},
	} {
		if got := base.stays(&tc.accept) != nil; got != tc.stays {
			t.Errorf("%s: stays: %v", tc.name, got)
		}
	}
}
