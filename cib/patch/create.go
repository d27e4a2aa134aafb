// Package patch makes and applies the differences between two versions of a
// CIB: format 2 (cib 5.2 to 5.4), and format 1 for reading only (cib 5.5).
package patch

import (
	"slices"
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
// Those before from, and those from oldEnd or newEnd on, are equal.
type pairing struct {
	from, oldEnd, newEnd int
	toNew, toOld         []int  // index of the partner, -1: none; beginning with from
	moved                []bool // by new index, likewise
}

func (p *pairing) size(from, oldEnd, newEnd int) {
	p.from, p.oldEnd, p.newEnd = from, oldEnd, newEnd
	p.toNew, p.toOld, p.moved = make([]int, oldEnd-from), make([]int, newEnd-from), make([]bool, newEnd-from)
}

type key struct{ tag, id string }

func keyOf(n *cibdoc.Node) key { return key{n.Tag, n.ID()} }

// pair matches the children of old and new: elements by tag and id, comments
// by content as long as they keep their place. What cannot be told apart has no
// partner.
func pair(old, new *cibdoc.Node) pairing {
	var p pairing
	if p.simple(old, new) {
		return p
	}
	p.size(0, len(old.Children), len(new.Children))
	at := map[key]int{} // in new; -1: not unique
	for i, n := range new.Children {
		if n.Kind != cibdoc.KindElement {
			continue
		}
		if _, dup := at[keyOf(n)]; dup {
			at[keyOf(n)] = -1
		} else {
			at[keyOf(n)] = i
		}
	}
	seen := map[key]int{}
	for _, o := range old.Children {
		if o.Kind == cibdoc.KindElement {
			seen[keyOf(o)]++
		}
	}
	partner := func(o *cibdoc.Node) int {
		if j, ok := at[keyOf(o)]; ok && seen[keyOf(o)] == 1 {
			return j
		}
		return -1
	}
	loose := map[int]bool{} // comments of old that would have to move, which a patch cannot say
	for {
		p.match(old, new, partner, loose)
		p.place()
		again := false
		for j, i := range p.toOld {
			if p.moved[j] && old.Children[i].Kind != cibdoc.KindElement {
				loose[i], again = true, true
			}
		}
		if !again {
			return p
		}
	}
}

// match pairs the children. A comment stays if new has it at the place that it
// has once everything before it that goes is gone (cib 5.2).
func (p *pairing) match(old, new *cibdoc.Node, partner func(*cibdoc.Node) int, loose map[int]bool) {
	for j := range p.toOld {
		p.toOld[j], p.moved[j] = -1, false
	}
	staying := 0
	for i, o := range old.Children {
		j := -1
		switch o.Kind {
		case cibdoc.KindElement:
			j = partner(o)
		case cibdoc.KindComment:
			if staying < len(new.Children) && !loose[i] {
				if n := new.Children[staying]; n.Kind == cibdoc.KindComment && n.Text == o.Text && p.toOld[staying] < 0 {
					j = staying
				}
			}
		}
		p.toNew[i] = j
		if j >= 0 {
			p.toOld[j] = i
			staying++
		}
	}
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
		for _, c := range o[head:] {
			if c.Kind == cibdoc.KindComment {
				return false // it does not keep its place
			}
		}
	case gone == 1 && added == 1 && o[head].IsElement() && n[head].IsElement() && keyOf(o[head]) == keyOf(n[head]):
		if !old.Unique(head) {
			return false
		}
	default:
		return false
	}
	p.size(head, head+gone, head+added)
	if gone == 1 {
		p.toNew[0], p.toOld[0] = head, head
		return true
	}
	for j := range p.toOld {
		p.toOld[j] = -1
	}
	return true
}

func same(a, b *cibdoc.Node) bool { return a == b || a.Sum() == b.Sum() }

// place finds out who has moved, as the reference does: of two that stand at
// the same place among those that were not found moved before, both have, and
// both are left out from there on (cib 5.3.2). Those that stay are in the same
// order before and after.
func (p *pairing) place() {
	j := 0
	for _, to := range p.toNew {
		if to < 0 || p.moved[to] {
			continue
		}
		for p.toOld[j] < 0 || p.moved[j] {
			j++
		}
		if to != j {
			p.moved[to], p.moved[j] = true, true
			continue
		}
		j++
	}
}

// deletes lists what old has and new has not, depth first. Comments are named
// by the position that they have once what goes before them is gone.
func (c *creator) deletes(parent string, old, new *cibdoc.Node) {
	if old.Sum() == new.Sum() {
		return
	}
	addr := address(parent, old)
	p := pair(old, new)
	staying := p.from
	for k, o := range old.Children[p.from:p.oldEnd] {
		switch {
		case p.toNew[k] >= 0:
			staying++
			if o.Kind == cibdoc.KindElement {
				c.deletes(addr, o, new.Children[p.toNew[k]])
			}
		case o.Kind == cibdoc.KindComment:
			c.changes = append(c.changes, cibdoc.E("change", "operation", "delete",
				"path", address(addr, o), "position", strconv.Itoa(staying)))
		default:
			c.changes = append(c.changes, cibdoc.E("change", "operation", "delete", "path", address(addr, o)))
		}
	}
}

// walk lists, in document order of new, what was modified, created and moved.
func (c *creator) walk(parent string, old, new *cibdoc.Node, move *int) {
	differs := old.Sum() != new.Sum()
	if !differs && move == nil {
		return
	}
	addr := address(parent, new)
	if differs {
		if m := modified(addr, old, new); m != nil {
			c.changes = append(c.changes, m)
		}
		p := pair(old, new)
		for k, n := range new.Children[p.from:p.newEnd] {
			j := p.from + k
			switch i := p.toOld[k]; {
			case i < 0:
				c.changes = append(c.changes, cibdoc.E("change", "operation", "create",
					"path", addr, "position", strconv.Itoa(j)).Add(n))
			case n.Kind != cibdoc.KindElement:
			case p.moved[k]:
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
	moved := movedAttrs(old, new)
	for _, a := range new.Attrs {
		if v, ok := old.Get(a.Name); !ok || v != a.Value || moved[a.Name] {
			list.Add(cibdoc.E("change-attr", "name", a.Name, "operation", "set", "value", a.Value))
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

// movedAttrs names the attributes that stand elsewhere than before, in the
// reference's way of counting: where the index of one differs, counted among
// those that were not found moved before, it has moved, and so has the one in
// whose place it stands; both are left out from there on. Attributes that went
// or came hold their places meanwhile.
func movedAttrs(old, new *cibdoc.Node) map[string]bool {
	var was, is []string
	for _, a := range old.Attrs {
		was = append(was, a.Name)
	}
	for _, a := range new.Attrs {
		is = append(is, a.Name)
	}
	moved := map[string]bool{}
	if slices.Equal(was, is) {
		return moved
	}
	for _, a := range old.Attrs {
		i, j := slices.Index(was, a.Name), slices.Index(is, a.Name)
		if i < 0 || j < 0 || i == j { // gone, or as it was
			continue
		}
		moved[a.Name] = true
		if i < j {
			moved[is[i]] = true
		} else {
			moved[was[j]] = true
		}
		gone := func(name string) bool { return moved[name] }
		was, is = slices.DeleteFunc(was, gone), slices.DeleteFunc(is, gone)
	}
	return moved
}
