package schema

import (
	"maps"
	"slices"

	"linuxha/cib/cibdoc"
)

// index is what is known of a valid document: which ids it has and how often
// they are referred to. It belongs to one version of the schema, and like the
// document it never changes; an index of the next document shares its base.
type index struct {
	schema *Schema
	base   map[string]usage
	delta  map[string]usage // wins over base
}

// usage counts the elements that have an id, and the references to it.
type usage struct{ ids, refs int32 }

func newIndex(c *checker) *index {
	x := &index{schema: c.schema, base: make(map[string]usage, len(c.ids))}
	count(x.base, c, 1)
	return x
}

// count adds what a checker met to a map.
func count(m map[string]usage, c *checker, by int32) {
	for _, id := range c.ids {
		u := m[id.name]
		u.ids += by
		m[id.name] = u
	}
	for _, r := range c.refs {
		u := m[r.name]
		u.refs += by
		m[r.name] = u
	}
}

func (x *index) usage(name string) usage {
	if u, ok := x.delta[name]; ok {
		return u
	}
	return x.base[name]
}

// with is the index after a change; false if the change leaves an id twice, or
// a reference to nothing.
func (x *index) with(change map[string]usage) (*index, bool) {
	next := &index{schema: x.schema, base: x.base}
	for name, by := range change {
		if by == (usage{}) {
			continue
		}
		u := x.usage(name)
		u.ids += by.ids
		u.refs += by.refs
		if u.ids > 1 || u.ids == 0 && u.refs > 0 {
			return nil, false
		}
		if next.delta == nil {
			next.delta = make(map[string]usage, len(x.delta)+len(change))
			maps.Copy(next.delta, x.delta)
		}
		next.delta[name] = u
	}
	if next.delta == nil {
		return x, true
	}
	// Copying the delta costs each change, merging it one in many: they are even
	// where its size is about the root of the base's.
	if n := len(next.delta); n*n > len(x.base)+4096 {
		next.base = maps.Clone(x.base)
		for name, u := range next.delta {
			if u == (usage{}) {
				delete(next.base, name)
			} else {
				next.base[name] = u
			}
		}
		next.delta = nil
	}
	return next, true
}

// ValidateChange is Validate for a document that was made from old. Where old
// was found valid by the same schema, it costs what the change touches.
func ValidateChange(old, doc *cibdoc.Doc) []Problem {
	x, _ := old.Learnt().(*index)
	was, is := old.Root(), doc.Root()
	if x != nil && is.Tag == was.Tag && is.Attr("validate-with") == was.Attr("validate-with") && is.Attr("xmlns") == "" {
		c := &comparison{before: &checker{schema: x.schema}, after: &checker{schema: x.schema}}
		if c.element(was, is, x.schema.root) {
			change := map[string]usage{}
			count(change, c.after, 1)
			count(change, c.before, -1)
			if next, ok := x.with(change); ok {
				doc.Learn(next)
				return nil
			}
		}
	}
	return Validate(doc) // whole, to say what is wrong
}

// Inherit lets doc, made from old, keep what was found out about old: nothing
// outside of the status has changed. It tells nothing of root attributes.
func Inherit(old, doc *cibdoc.Doc) {
	if x, ok := old.Learnt().(*index); ok && old.Configuration() == doc.Configuration() &&
		old.Root().Attr("validate-with") == doc.Root().Attr("validate-with") {
		doc.Learn(x)
	}
}

// comparison judges what differs between two documents, of which the first is
// valid, and collects the identifiers on both sides.
type comparison struct{ before, after *checker }

// element compares two elements in the same place; false if the second is not
// valid.
func (c *comparison) element(was, is *cibdoc.Node, e *element) bool {
	if was == is || e.anything {
		return true
	}
	if was.Frozen() && is.Frozen() && was.Sum() == is.Sum() {
		return true
	}
	old, now := was.Children, is.Children
	for len(old) > 0 && len(now) > 0 && old[0] == now[0] {
		old, now = old[1:], now[1:]
	}
	for len(old) > 0 && len(now) > 0 && old[len(old)-1] == now[len(now)-1] {
		old, now = old[:len(old)-1], now[:len(now)-1]
	}
	inPlace := len(old) == len(now) && slices.EqualFunc(old, now, sameKind)
	if !inPlace || !slices.Equal(was.Attrs, is.Attrs) {
		c.before.content(was, e)
		if !c.after.content(is, e) {
			return false
		}
	}
	if inPlace {
		for i := range old {
			if old[i].IsElement() && !c.element(old[i], now[i], e.children[e.child[old[i].Tag]]) {
				return false
			}
		}
		return true
	}
	shared := map[*cibdoc.Node]bool{}
	for _, n := range old {
		shared[n] = true
	}
	for _, n := range now {
		if shared[n] {
			shared[n] = false // it stayed, somewhere else
			continue
		}
		if !c.whole(c.after, n, e) {
			return false
		}
	}
	for _, n := range old {
		if shared[n] && !c.whole(c.before, n, e) {
			return false
		}
	}
	return true
}

// sameKind reports whether one may stand for the other in a valid content.
func sameKind(a, b *cibdoc.Node) bool {
	return a.Kind == b.Kind && a.Tag == b.Tag && a.Attr("xmlns") == b.Attr("xmlns") && isText(a) == isText(b)
}

// whole judges a child of an e and all below it.
func (c *comparison) whole(k *checker, n *cibdoc.Node, e *element) bool {
	if !n.IsElement() {
		return true
	}
	return k.valid(n, e.children[e.child[n.Tag]])
}

// valid is element without explanations.
func (c *checker) valid(n *cibdoc.Node, e *element) bool {
	if e.anything {
		return true
	}
	if !c.content(n, e) {
		return false
	}
	for _, child := range n.Children {
		if child.IsElement() && !c.valid(child, e.children[e.child[child.Tag]]) {
			return false
		}
	}
	return true
}
