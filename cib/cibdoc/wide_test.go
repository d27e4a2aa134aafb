package cibdoc

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestWideNodes: what a node with many children takes over from the version
// before is what it would find by looking at all of them.
func TestWideNodes(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	child := func() *Node {
		switch k := rnd.IntN(200); {
		case k < 5:
			return Comment("x")
		case k < 15:
			return E("primitive")
		case k < 15:
			return E("group", "id", fmt.Sprint(k))
		case k < 20:
			return E("group", "id", fmt.Sprint(k)).Add(E("primitive", "id", fmt.Sprint(rnd.IntN(300))))
		}
		return E("primitive", "id", fmt.Sprint(rnd.IntN(300))).Add(E("op", "id", fmt.Sprint(rnd.IntN(300))))
	}
	root := E("resources")
	for range 5 * manyChildren {
		root.Add(child())
	}
	doc := New(root)
	for round := range 300 {
		e := doc.Edit()
		for range 1 + rnd.IntN(3) {
			r := e.Own(nil)
			i := rnd.IntN(len(r.Children))
			switch k := rnd.IntN(20); {
			case k < 7+round/75%2 && len(r.Children) > manyChildren-5:
				r.RemoveAt(i)
			case k < 13:
				r.Insert(i, child())
			case k < 14 && rnd.IntN(20) == 0:
				slices.Reverse(r.Children[i:])
			case k < 15:
				r.Children[i] = E("primitive", "id", fmt.Sprint(rnd.IntN(300)))
			default:
				if r.Children[i].IsElement() {
					r.Own(i).SetAttr("n", fmt.Sprint(round))
				}
			}
		}
		doc = e.Doc()
		fresh, err := Parse(doc.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if fresh.Sum() != doc.Sum() {
			t.Fatalf("round %d: the sum of %d children differs from that of the same document read anew", round, len(root.Children))
		}
		n := doc.Root()
		if n.from != nil || (n.wide != nil) != (len(n.Children) >= manyChildren) {
			t.Fatalf("round %d: %d children, wide=%t, from=%v", round, len(n.Children), n.wide != nil, n.from)
		}
		children := 0
		if n.wide != nil {
			for _, b := range n.wide.blocks {
				children += len(b.keys)
				if len(b.keys) == 0 || len(b.keys) > blockSize {
					t.Fatalf("round %d: a block of %d", round, len(b.keys))
				}
			}
			if children != len(n.Children) || len(n.wide.blocks) > 2+4*children/blockSize {
				t.Fatalf("round %d: %d blocks of %d children for %d", round, len(n.wide.blocks), children, len(n.Children))
			}
		}
		for range 8 {
			tag, id, has := "primitive", fmt.Sprint(rnd.IntN(300)), rnd.IntN(10) > 0
			if !has {
				id = ""
			}
			match := func(c *Node) bool {
				have, ok := c.Get("id")
				return c.IsElement() && c.Tag == tag && ok == has && have == id
			}
			want := slices.IndexFunc(n.Children, match)
			if got := n.Index(tag, id, has); got != want {
				t.Fatalf("round %d: %s %q is at %d, found at %d", round, tag, id, want, got)
			}
			e := doc.Edit()
			for k := rnd.IntN(3); k > 0; k-- { // in a copy that was changed, too
				r, at := e.Own(nil), rnd.IntN(len(n.Children))
				if r.Children[at].IsElement() {
					r.Own(at).SetAttr("id", fmt.Sprint(rnd.IntN(300)))
				}
			}
			if want := slices.IndexFunc(e.Root().Children, match); e.Root().Index(tag, id, has) != want {
				t.Fatalf("round %d: %s %q is at %d of a copy, found at %d", round, tag, id, want, e.Root().Index(tag, id, has))
			}
			for _, root := range []*Node{n, e.Root()} {
				tag, id := []string{"primitive", "group", "op"}[rnd.IntN(3)], fmt.Sprint(1+rnd.IntN(300))
				var want Path
				root.Walk(func(p Path, c *Node) bool {
					if want == nil && c.IsElement() && c.Tag == tag && c.ID() == id {
						want = slices.Clone(p)
					}
					return want == nil
				})
				if got, ok := root.Find(tag, id); ok != (want != nil) || !slices.Equal(got, want) {
					t.Fatalf("round %d: %s %q is at %v, found at %v", round, tag, id, want, got)
				}
			}
			if want >= 0 {
				only := !slices.ContainsFunc(n.Children[want+1:], match)
				if n.Unique(want) != only {
					t.Fatalf("round %d: %s %q unique=%t", round, tag, id, !only)
				}
			}
		}
		if !n.MayHold("op") || !n.MayHold("group") && n.Child("group") != nil {
			t.Fatalf("round %d: the tags are incomplete", round)
		}
	}
	// With 64 tag bits a tag that was never there may be told from those that were.
	if doc.Root().MayHold("ticket_state") && !slices.Contains([]uint64{tagBit("op"), tagBit("primitive"), tagBit("group"), tagBit("resources")}, tagBit("ticket_state")) {
		t.Error("a tag that was never there may be there")
	}
}
