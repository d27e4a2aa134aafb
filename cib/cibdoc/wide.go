package cibdoc

import (
	"crypto/sha256"
	"slices"
)

// A section can have thousands of children of which a change touches one. A
// node with many therefore keeps what is asked of all of them side by side, in
// blocks that it has in common with the version before as far as the children
// are the same: nothing has to visit each child in turn, wherever it may lie in
// memory, and little is copied.

const (
	// manyChildren is how many make a node wide.
	manyChildren = 64
	// blockSize is how many children a block has at most.
	blockSize = 64
)

// wide is what a frozen node with many children keeps of them, in order.
type wide struct{ blocks []*block }

// block is about consecutive children. It never changes.
type block struct {
	keys  []uint32 // hash of tag and id; of no element: 0
	sums  []byte   // the Sums one after another
	below uint64   // bits of the tags below the children
}

func (b *block) sum(i int) []byte { return b.sums[i*len(Sum{}) : (i+1)*len(Sum{})] }

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
	var before []*block
	if n.from != nil {
		before = n.from.wide.blocks
		if head+tail > 0 {
			n.below |= n.from.below
		}
	}
	for _, c := range n.Children[head:end] {
		c.freeze(buf)
		n.below |= c.tags()
	}
	// Blocks stay that lie wholly among the shared children.
	first, at := 0, 0 // how many at the beginning, and their children
	for first < len(before) && at+len(before[first].keys) <= head {
		at += len(before[first].keys)
		first++
	}
	last, to := len(before), len(n.Children) // those at the end, and where they begin
	for last > first && to-len(before[last-1].keys) >= end {
		last--
		to -= len(before[last].keys)
	}
	if first > 0 && to-at < blockSize/2 { // no crumbs
		first--
		at -= len(before[first].keys)
	}
	earlier := func(i int) (*block, int) { // where the version before has its child at+i
		for _, b := range before[first:last] {
			if i < len(b.keys) {
				return b, i
			}
			i -= len(b.keys)
		}
		panic("cibdoc: the blocks of a node are not those of its children")
	}
	w := &wide{blocks: append(make([]*block, 0, len(before)+2), before[:first]...)}
	each := evenly(to - at)
	for i := at; i < to; i++ {
		if (i-at)%each == 0 {
			size := min(each, to-i)
			w.blocks = append(w.blocks, &block{keys: make([]uint32, 0, size), sums: make([]byte, 0, size*len(n.sum))})
		}
		b := w.blocks[len(w.blocks)-1]
		c := n.Children[i]
		b.below |= c.below
		switch {
		case i < head:
			o, k := earlier(i - at)
			b.keys, b.sums = append(b.keys, o.keys[k]), append(b.sums, o.sum(k)...)
		case i >= end:
			o, k := earlier(i - at + len(n.from.Children) - len(n.Children))
			b.keys, b.sums = append(b.keys, o.keys[k]), append(b.sums, o.sum(k)...)
		default:
			b.keys, b.sums = append(b.keys, c.key()), append(b.sums, c.sum[:]...)
		}
	}
	w.blocks = append(w.blocks, before[last:]...)
	n.wide, n.from = w, nil
}

// evenly is the size of blocks for so many children.
func evenly(children int) int {
	blocks := max(1, (children+blockSize-1)/blockSize)
	return max(1, (children+blocks-1)/blocks)
}

// wideSum is the sum of what stands in b and of the children.
func (n *Node) wideSum(b []byte) (sum Sum) {
	h := sha256.New()
	h.Write(b) // a hash takes everything
	for _, b := range n.wide.blocks {
		h.Write(b.sums)
	}
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
	if o := n.from; o != nil { // in what the copy has not touched
		if i := o.indexFrom(from, tag, id, has); i >= 0 && i < len(n.Children) && slices.Equal(o.Children[from:i+1], n.Children[from:i+1]) {
			return i
		}
	}
	if n.wide == nil {
		for i := from; i < len(n.Children); i++ {
			if n.Children[i].named(tag, id, has) {
				return i
			}
		}
		return -1
	}
	key, begin := keyHash(tag, id, has), 0
	for _, b := range n.wide.blocks {
		for k := max(0, from-begin); k < len(b.keys); k++ {
			if b.keys[k] == key && n.Children[begin+k].named(tag, id, has) {
				return begin + k
			}
		}
		begin += len(b.keys)
	}
	return -1
}

// Find returns the place of the first element of that tag and id, which must not
// be empty, at or below n in document order; ok is false if there is none.
func (n *Node) Find(tag, id string) (p Path, ok bool) { return n.find(Path{}, tag, id, tagBit(tag)) }

func (n *Node) find(p Path, tag, id string, bit uint64) (Path, bool) {
	if n.named(tag, id, true) {
		return p, true
	}
	switch {
	case n.frozen && n.below&bit == 0:
		return nil, false
	case n.wide == nil:
		for i, c := range n.Children {
			if found, ok := c.find(append(p, i), tag, id, bit); ok {
				return found, true
			}
		}
		return nil, false
	}
	key, begin := keyHash(tag, id, true), 0
	for _, b := range n.wide.blocks {
		for k := range b.keys {
			if b.below&bit == 0 && b.keys[k] != key {
				continue
			}
			if found, ok := n.Children[begin+k].find(append(p, begin+k), tag, id, bit); ok {
				return found, true
			}
		}
		begin += len(b.keys)
	}
	return nil, false
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
