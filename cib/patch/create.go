// Package patch makes and applies the differences between two versions of a
// CIB: format 2 (cib 5.2 to 5.4), and format 1 for reading only (cib 5.5).
package patch

import (
	"strconv"

	"linuxha/cib/cibdoc"
)

// Options choose what a patch carries besides the changes.
type Options struct {
	NoVersion bool // leave out the versions: it then applies to any document
	Digest    bool // add the versioned digest of the result
}

// Create returns the patch that leads from old to new, nil if they are equal.
// Where siblings cannot be told apart by tag and id, it deletes and creates
// them all, so that applying it to old always gives new. The roots must have
// the same tag and id.
func Create(old, new *cibdoc.Doc, opts Options) *cibdoc.Node {
	if old.Sum() == new.Sum() {
		return nil
	}
	c := &creator{}
	c.deletes("", old.Root(), new.Root())
	c.walk("", old.Root(), new.Root(), nil)
	diff := cibdoc.E("diff", "format", "2")
	if opts.Digest {
		diff.SetAttr("digest", new.Digest())
	}
	if !opts.NoVersion {
		diff.Add(cibdoc.E("version").Add(
			versionElement("source", old.Root()), versionElement("target", new.Root())))
	}
	return diff.Add(c.changes...)
}

func versionElement(tag string, root *cibdoc.Node) *cibdoc.Node {
	n := cibdoc.E(tag)
	for _, f := range []string{"admin_epoch", "epoch", "num_updates"} {
		v, ok := root.Get(f)
		if !ok {
			v = "1" // as the reference writes it (cib 5.2)
		}
		n.SetAttr(f, v)
	}
	return n
}

type creator struct{ changes []*cibdoc.Node }

func address(parent string, n *cibdoc.Node) string {
	return parent + n.Address(nil)
}

// pairing says which children of two versions of an element are the same one.
type pairing struct {
	toNew, toOld []int  // index of the partner, -1: none
	moved        []bool // by new index
}

type key struct{ tag, id string }

func keyOf(n *cibdoc.Node) key { return key{n.Tag, n.ID()} }

// pair matches the children of old and new: elements by tag and id, comments
// by content as long as they keep their place among what remains. What cannot
// be told apart has no partner.
func pair(old, new *cibdoc.Node) pairing {
	p := pairing{toNew: make([]int, len(old.Children)), toOld: make([]int, len(new.Children)), moved: make([]bool, len(new.Children))}
	if p.simple(old, new) {
		return p
	}
	at := map[key]int{} // in new; -1: not unique
	comments := map[string][]int{}
	for i, n := range new.Children {
		p.toOld[i] = -1
		switch n.Kind {
		case cibdoc.KindElement:
			if _, dup := at[keyOf(n)]; dup {
				at[keyOf(n)] = -1
			} else {
				at[keyOf(n)] = i
			}
		case cibdoc.KindComment:
			comments[n.Text] = append(comments[n.Text], i)
		}
	}
	seen := map[key]int{}
	for _, o := range old.Children {
		if o.Kind == cibdoc.KindElement {
			seen[keyOf(o)]++
		}
	}
	for i, o := range old.Children {
		p.toNew[i] = -1
		j := -1
		switch o.Kind {
		case cibdoc.KindElement:
			if k, ok := at[keyOf(o)]; ok && seen[keyOf(o)] == 1 {
				j = k
			}
		case cibdoc.KindComment:
			if c := comments[o.Text]; len(c) > 0 {
				j = c[0]
				comments[o.Text] = c[1:]
			}
		}
		if j >= 0 {
			p.toNew[i], p.toOld[j] = j, i
		}
	}
	p.place(old)
	return p
}

// simple does the common cases without comparing all with all: between equal
// children at the beginning and the end, one was changed, or some were added.
// Those that are equal need no name of their own.
func (p *pairing) simple(old, new *cibdoc.Node) bool {
	o, n := old.Children, new.Children
	head := 0
	for head < min(len(o), len(n)) && same(o[head], n[head]) {
		head++
	}
	tail := 0
	for tail < min(len(o), len(n))-head && same(o[len(o)-1-tail], n[len(n)-1-tail]) {
		tail++
	}
	gone, added := len(o)-head-tail, len(n)-head-tail
	switch {
	case gone == 0:
	case gone == 1 && added == 1 && o[head].IsElement() && n[head].IsElement() && keyOf(o[head]) == keyOf(n[head]):
		for i, c := range o {
			if i != head && c.IsElement() && keyOf(c) == keyOf(o[head]) {
				return false
			}
		}
	default:
		return false
	}
	for i := range o {
		j := i
		if i >= head+gone {
			j += added - gone
		}
		p.toNew[i], p.toOld[j] = j, i
	}
	if gone == 0 {
		for j := head; j < head+added; j++ {
			p.toOld[j] = -1
		}
	}
	return true
}

func same(a, b *cibdoc.Node) bool { return a == b || a.Sum() == b.Sum() }

// place finds out who has moved. Comments that have are unpaired, since a
// comment cannot be named in a move.
func (p *pairing) place(old *cibdoc.Node) {
	for {
		oldPos, newPos := ranks(p.toNew), ranks(p.toOld)
		loose := false
		for i, j := range p.toNew {
			if j >= 0 && oldPos[i] != newPos[j] && old.Children[i].Kind != cibdoc.KindElement {
				p.toNew[i], p.toOld[j] = -1, -1
				loose = true
				break
			}
		}
		if loose {
			continue
		}
		for j, i := range p.toOld {
			p.moved[j] = i >= 0 && oldPos[i] != newPos[j]
		}
		p.relax(newPos)
		return
	}
}

// relax leaves those in place whose old index happens to be their rank among
// the survivors, as the reference does (cib 5.3.2), unless the ones that stay
// would then be in the wrong order.
func (p *pairing) relax(newPos []int) {
	stays := func(j, i int) bool { return i >= 0 && (!p.moved[j] || i == newPos[j]) }
	last := -1
	for j, i := range p.toOld {
		if stays(j, i) {
			if i < last {
				return
			}
			last = i
		}
	}
	for j, i := range p.toOld {
		if stays(j, i) {
			p.moved[j] = false
		}
	}
}

// ranks gives each paired index its place among the paired ones.
func ranks(partner []int) []int {
	r := make([]int, len(partner))
	n := 0
	for i, j := range partner {
		if j >= 0 {
			r[i] = n
			n++
		}
	}
	return r
}

// deletes lists what old has and new has not, depth first. Comments of one
// parent come first and from the last to the first, so that their positions
// hold while they are being applied.
func (c *creator) deletes(parent string, old, new *cibdoc.Node) {
	if old.Sum() == new.Sum() {
		return
	}
	addr := address(parent, old)
	p := pair(old, new)
	for i := len(old.Children) - 1; i >= 0; i-- {
		if o := old.Children[i]; p.toNew[i] < 0 && o.Kind == cibdoc.KindComment {
			c.changes = append(c.changes, cibdoc.E("change", "operation", "delete",
				"path", address(addr, o), "position", strconv.Itoa(i)))
		}
	}
	for i, o := range old.Children {
		switch {
		case o.Kind == cibdoc.KindComment:
		case p.toNew[i] < 0:
			c.changes = append(c.changes, cibdoc.E("change", "operation", "delete", "path", address(addr, o)))
		default:
			c.deletes(addr, o, new.Children[p.toNew[i]])
		}
	}
}

// walk lists, in document order of new, what was modified, created and moved.
func (c *creator) walk(parent string, old, new *cibdoc.Node, move *int) {
	addr := address(parent, new)
	if old.Sum() != new.Sum() {
		if m := modified(addr, old, new); m != nil {
			c.changes = append(c.changes, m)
		}
		p := pair(old, new)
		for j, n := range new.Children {
			switch i := p.toOld[j]; {
			case i < 0:
				c.changes = append(c.changes, cibdoc.E("change", "operation", "create",
					"path", addr, "position", strconv.Itoa(j)).Add(n))
			case n.Kind != cibdoc.KindElement:
			case p.moved[j]:
				c.walk(addr, old.Children[i], n, &j)
			default:
				c.walk(addr, old.Children[i], n, nil)
			}
		}
	}
	if move != nil {
		c.changes = append(c.changes, cibdoc.E("change", "operation", "move", "path", addr, "position", strconv.Itoa(*move)))
	}
}

// modified is the change of an element's own attributes, nil if they are the
// same in the same order.
func modified(addr string, old, new *cibdoc.Node) *cibdoc.Node {
	list := cibdoc.E("change-list")
	// An attribute has moved if its place among those that both have differs.
	place := map[string]int{}
	for _, a := range old.Attrs {
		if _, ok := new.Get(a.Name); ok {
			place[a.Name] = len(place)
		}
	}
	common := 0
	for _, a := range new.Attrs {
		v, ok := old.Get(a.Name)
		if !ok || v != a.Value || place[a.Name] != common {
			list.Add(cibdoc.E("change-attr", "name", a.Name, "operation", "set", "value", a.Value))
		}
		if ok {
			common++
		}
	}
	for _, a := range old.Attrs {
		if _, ok := new.Get(a.Name); !ok {
			list.Add(cibdoc.E("change-attr", "name", a.Name, "operation", "unset"))
		}
	}
	if len(list.Children) == 0 {
		return nil
	}
	return cibdoc.E("change", "operation", "modify", "path", addr).Add(
		list, cibdoc.E("change-result").Add(new.Bare()))
}
