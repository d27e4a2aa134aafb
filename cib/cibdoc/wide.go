package cibdoc

import "crypto/sha256"

// A section can have thousands of children of which a change touches one. A
// node with many therefore keeps what is asked of all of them side by side, and
// a changed copy takes it over from the version before for those that it shares:
// nothing has to visit each child in turn, wherever it may lie in memory.

// manyChildren is how many make a node wide.
const manyChildren = 64

// wide is what a frozen node with many children keeps of them.
type wide struct {
	keys []uint32 // hash of tag and id; of no element: 0
	sums []byte   // the Sums one after another
}

// shared counts the children that n has in common with the version it was
// copied from, at the beginning and at the end.
func (n *Node) shared() (head, tail int) {
	if n.from == nil {
		return 0, 0
	}
	o, c := n.from.Children, n.Children
	most := min(len(o), len(c))
	for head < most && o[head] == c[head] {
		head++
	}
	for tail < most-head && o[len(o)-1-tail] == c[len(c)-1-tail] {
		tail++
	}
	return head, tail
}

// freezeWide freezes the children and notes what is kept of them. The tags are
// those of the version before, too: what went may still be looked for in vain.
func (n *Node) freezeWide(buf *[]byte) {
	head, tail := n.shared()
	end := len(n.Children) - tail
	w := &wide{keys: make([]uint32, len(n.Children)), sums: make([]byte, len(n.Children)*len(n.sum))}
	if o := n.from; o != nil {
		copy(w.keys, o.wide.keys[:head])
		copy(w.keys[end:], o.wide.keys[len(o.Children)-tail:])
		copy(w.sums, o.wide.sums[:head*len(n.sum)])
		copy(w.sums[end*len(n.sum):], o.wide.sums[(len(o.Children)-tail)*len(n.sum):])
		if head+tail > 0 {
			n.tags |= o.tags
		}
	}
	for i := head; i < end; i++ {
		c := n.Children[i]
		c.freeze(buf)
		n.tags |= c.tags
		w.keys[i] = c.key()
		copy(w.sums[i*len(n.sum):], c.sum[:])
	}
	n.wide, n.from = w, nil
}

// wideSum is the sum of what stands in b and of the children.
func (n *Node) wideSum(b []byte) (sum Sum) {
	h := sha256.New()
	h.Write(b) // a hash takes everything
	h.Write(n.wide.sums)
	var full [sha256.Size]byte
	copy(sum[:], h.Sum(full[:0]))
	return sum
}

func (n *Node) key() uint32 {
	if n.Kind != KindElement {
		return 0
	}
	id, has := n.Get("id")
	return keyHash(n.Tag, id, has)
}

func keyHash(tag, id string, has bool) uint32 {
	h := uint32(2166136261) // FNV-1a
	for i := range len(tag) {
		h = (h ^ uint32(tag[i])) * 16777619
	}
	if has {
		h = (h ^ 0xff) * 16777619 // in no UTF-8 text
		for i := range len(id) {
			h = (h ^ uint32(id[i])) * 16777619
		}
	}
	return h
}

func (n *Node) named(tag, id string, has bool) bool {
	if n.Kind != KindElement || n.Tag != tag {
		return false
	}
	have, ok := n.Get("id")
	return ok == has && have == id
}

// Index is the place of the first child element of that tag and id, or without
// id where has is false; -1 if there is none.
func (n *Node) Index(tag, id string, has bool) int { return n.indexFrom(0, tag, id, has) }

func (n *Node) indexFrom(from int, tag, id string, has bool) int {
	if n.wide == nil {
		for i := from; i < len(n.Children); i++ {
			if n.Children[i].named(tag, id, has) {
				return i
			}
		}
		return -1
	}
	key := keyHash(tag, id, has)
	for i := from; i < len(n.wide.keys); i++ {
		if n.wide.keys[i] == key && n.Children[i].named(tag, id, has) {
			return i
		}
	}
	return -1
}

// Unique reports whether child i is an element that no other child has the tag
// and id of.
func (n *Node) Unique(i int) bool {
	c := n.Children[i]
	if c.Kind != KindElement {
		return false
	}
	id, has := c.Get("id")
	return n.Index(c.Tag, id, has) == i && n.indexFrom(i+1, c.Tag, id, has) < 0
}
