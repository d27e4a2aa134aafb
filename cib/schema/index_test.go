package schema

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"linuxha/cib/cibdoc"
)

// TestValidateChange: judging a change is judging the document, over long
// histories of random changes.
func TestValidateChange(t *testing.T) {
	valid, invalid := 0, 0
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 7))
		v, _ := Lookup(Versions[r.IntN(len(Versions))])
		doc := cibdoc.New(generate(v, r, true))
		if len(Validate(doc)) > 0 {
			continue // a reference found no id
		}
		for range 60 {
			next := doc
			for range 1 + r.IntN(2) {
				next = changed(next, r)
			}
			got := len(ValidateChange(doc, next)) == 0
			want := len(Validate(cibdoc.New(next.Root()))) == 0
			if got != want {
				t.Fatalf("seed %d: the change is valid: %v, the document: %v\nbefore %s\nafter  %s", seed, got, want, doc.Bytes(), next.Bytes())
			}
			if got {
				doc = next
				valid++
			} else {
				invalid++
			}
		}
		if x, ok := doc.Learnt().(*index); ok {
			sameIndex(t, x, doc)
		}
	}
	if valid < 500 || invalid < 500 {
		t.Errorf("%d valid and %d invalid changes: too few of one kind", valid, invalid)
	}
}

// changed is a document with one random change that shares all else.
func changed(doc *cibdoc.Doc, r *rand.Rand) *cibdoc.Doc {
	var paths []cibdoc.Path
	doc.Root().Walk(func(p cibdoc.Path, _ *cibdoc.Node) bool {
		paths = append(paths, append(cibdoc.Path{}, p...))
		return true
	})
	e := doc.Edit()
	n := e.Own(paths[r.IntN(len(paths))])
	other := doc.Root().At(paths[r.IntN(len(paths))])
	switch r.IntN(6) {
	case 0, 1:
		if len(n.Attrs) > 0 {
			a := n.Attrs[r.IntN(len(n.Attrs))]
			n.SetAttr(a.Name, pick(r, "x1", "1", "i1", "i2", "new", a.Value+"x"))
		}
	case 2:
		if len(n.Attrs) > 0 {
			n.RemoveAttr(n.Attrs[r.IntN(len(n.Attrs))].Name)
		}
	case 3:
		if len(n.Children) > 0 {
			n.RemoveAt(r.IntN(len(n.Children)))
		}
	case 4:
		c := clone(other)
		c.Walk(func(_ cibdoc.Path, d *cibdoc.Node) bool {
			if _, ok := d.Get("id"); ok && r.IntN(20) > 0 {
				d.SetAttr("id", fmt.Sprintf("n%d", r.IntN(1e9)))
			}
			return true
		})
		n.Insert(r.IntN(len(n.Children)+1), c)
	case 5:
		if len(n.Children) > 1 {
			i, j := r.IntN(len(n.Children)), r.IntN(len(n.Children))
			n.Children[i], n.Children[j] = n.Children[j], n.Children[i]
		}
	}
	return e.Doc()
}

// sameIndex checks what a history of changes learnt against the document.
func sameIndex(t *testing.T, x *index, doc *cibdoc.Doc) {
	t.Helper()
	fresh, problems := x.schema.check(doc.Root())
	if problems != nil {
		t.Fatal(problems)
	}
	for name := range fresh.base {
		if fresh.usage(name) != x.usage(name) {
			t.Errorf("%s: %+v, want %+v", name, x.usage(name), fresh.usage(name))
		}
	}
	for name := range x.base {
		if x.usage(name) != fresh.usage(name) {
			t.Errorf("%s: %+v, want %+v", name, x.usage(name), fresh.usage(name))
		}
	}
}

// TestIndexMerges: many changes do not make the index grow.
func TestIndexMerges(t *testing.T) {
	doc := large(t, 40)
	if problems := Validate(doc); problems != nil {
		t.Fatal(problems)
	}
	for i := range 300 {
		e := doc.Edit()
		resources := e.Own(cibdoc.Path{0, 2})
		if i%2 == 0 {
			resources.Add(cibdoc.E("primitive", "id", fmt.Sprintf("extra%d", i), "class", "lsb", "type", "x"))
		} else {
			resources.RemoveAt(len(resources.Children) - 1)
		}
		next := e.Doc()
		if problems := ValidateChange(doc, next); problems != nil {
			t.Fatal(problems)
		}
		doc = next
	}
	x := doc.Learnt().(*index)
	sameIndex(t, x, doc)
	if len(x.delta) > 200 {
		t.Errorf("%d entries in the delta", len(x.delta))
	}
}

// large is a document of about size times 10 KB.
func large(tb testing.TB, size int) *cibdoc.Doc {
	tb.Helper()
	root := cibdoc.Empty(1).Root().Shallow()
	config := root.Own(0)
	resources := config.Own(2)
	constraints := config.Own(3)
	for i := range size * 12 {
		id := fmt.Sprintf("rsc%05d", i)
		resources.Add(cibdoc.E("primitive", "id", id, "class", "ocf", "provider", "heartbeat", "type", "Dummy").Add(
			cibdoc.E("meta_attributes", "id", id+"-meta").Add(cibdoc.E("nvpair", "id", id+"-meta-role", "name", "target-role", "value", "Started")),
			cibdoc.E("instance_attributes", "id", id+"-params").Add(
				cibdoc.E("nvpair", "id", id+"-params-a", "name", "state", "value", "/run/"+id),
				cibdoc.E("nvpair", "id", id+"-params-b", "name", "fake", "value", "something longer to read")),
			cibdoc.E("operations").Add(
				cibdoc.E("op", "id", id+"-start", "name", "start", "interval", "0", "timeout", "20s"),
				cibdoc.E("op", "id", id+"-monitor", "name", "monitor", "interval", "10s", "timeout", "20s"))))
		constraints.Add(cibdoc.E("rsc_location", "id", id+"-loc", "rsc", id, "node", "node1", "score", "100"))
	}
	return cibdoc.New(root)
}

func BenchmarkValidate(b *testing.B) {
	for _, size := range []int{1, 100, 500} {
		doc := large(b, size)
		b.Run(fmt.Sprintf("whole-%dKB", len(doc.Bytes())>>10), func(b *testing.B) {
			for b.Loop() {
				if problems := Check(doc, cibdoc.LatestSchema); problems != nil {
					b.Fatal(problems)
				}
			}
		})
		if problems := Validate(doc); problems != nil {
			b.Fatal(problems)
		}
		b.Run(fmt.Sprintf("change-%dKB", len(doc.Bytes())>>10), func(b *testing.B) {
			i := 0
			for b.Loop() {
				e := doc.Edit()
				i++
				e.Own(cibdoc.Path{0, 2, i % (size * 12), 0, 0}).SetAttr("value", fmt.Sprint(i))
				next := e.Doc()
				if problems := ValidateChange(doc, next); problems != nil {
					b.Fatal(problems)
				}
				doc = next
			}
		})
	}
}
