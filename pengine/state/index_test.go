package state

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestFindActionsIndexed: with or without the index, the same actions are found
// and the same are bound to a node.
func TestFindActionsIndexed(t *testing.T) {
	nodes := []*Node{{Name: "a"}, {Name: "b"}, {Name: "c"}, nil}
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 0))
		var plain, indexed Resource
		for i := range 4 * manyActions {
			key, n := fmt.Sprintf("R_monitor_%d", r.IntN(9)), nodes[r.IntN(4-int(seed%2))]
			plain.Actions = append(plain.Actions, &Action{ID: i, Key: key, Node: n})
			indexed.Actions = append(indexed.Actions, &Action{ID: i, Key: key, Node: n})
			key, n = fmt.Sprintf("r_MONITOR_%d", r.IntN(9)), nodes[r.IntN(4)]
			want, got := FindActions(plain.Actions, key, n), indexed.FindActions(key, n)
			if !slices.EqualFunc(want, got, func(x, y *Action) bool { return x.ID == y.ID && x.Node == y.Node }) {
				t.Fatalf("seed %d, %d actions: %s on %v: %d found, want %d", seed, i+1, key, n, len(got), len(want))
			}
		}
	}
}

// TestAddEdgeHashed: an edge that shares a property with an older one between
// the same actions is refused, however many edges there are.
func TestAddEdgeHashed(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 0))
	actions := make([]*Action, 3*manyEdges)
	for i := range actions {
		actions[i] = &Action{ID: i}
	}
	have := map[[2]int]Prop{}
	hubs := actions[:4] // which get far more edges than manyEdges
	for range 20000 {
		first, then := hubs[r.IntN(4)], actions[r.IntN(len(actions))]
		if r.IntN(2) == 0 {
			first, then = then, first
		}
		p := Prop(1 << r.IntN(4))
		k := [2]int{first.ID, then.ID}
		want := first != then && have[k]&p == 0
		if got := AddEdge(first, then, p); got != want {
			t.Fatalf("edge from %d to %d with %b: added %v, want %v", first.ID, then.ID, p, got, want)
		}
		if want {
			have[k] |= p
		}
	}
}
