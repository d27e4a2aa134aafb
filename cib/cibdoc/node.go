// Package cibdoc holds the CIB as a value: an ordered XML tree whose published
// nodes never change, with its version, digests, printed form and XPath.
//
// Trees share what they have in common: an Edit copies only the nodes on the
// way to what it touches, so a small change to a large document costs little,
// and two versions are compared by skipping everything they share. Nodes have
// no parent pointer for that reason; a place is named by a Path.
//
// The package opens no file and reads no clock. It knows the shape of a CIB
// (cib 1), not the rules for changing it: those are in cib/ops.
package cibdoc

import (
	"crypto/sha256"
	"encoding/binary"
	"iter"
	"slices"
)

// Kind says what a Node is.
type Kind uint8

// The kinds of nodes that a CIB keeps; text between elements is dropped when
// parsing (cib 6.3).
const (
	KindElement Kind = iota
	KindComment
	KindCData
	KindProcInst
)

// Attr is one attribute. Order among attributes is significant (cib 1.1).
type Attr struct {
	Name  string
	Value string
}

// Sum identifies the content of a subtree: equal sums, equal subtrees, to the
// last attribute. It is our own measure between replicas; the digests that
// cross to other programs are Digest and DiskDigest.
type Sum [16]byte

// Node is an element, comment, CDATA section or processing instruction.
//
// invariant: once a Node belongs to a Doc it is frozen and its fields never
// change again; the mutating methods panic on a frozen node.
type Node struct {
	Kind     Kind
	Tag      string // element name, target of a processing instruction
	Attrs    []Attr
	Children []*Node
	Text     string // content of a comment, CDATA section or processing instruction
	Line     int    // where it began in the parsed text; 0: made in memory

	frozen bool
	sum    Sum
	below  uint64 // bits of the tags below the node, once it is frozen
	wide   *wide  // kept of many children, once it is frozen
	from   *Node  // the wide node that it is a copy of, until it is frozen
}

// E makes an element; attrs are names and values in turn.
func E(tag string, attrs ...string) *Node {
	n := &Node{Tag: tag}
	for i := 0; i+1 < len(attrs); i += 2 {
		n.Attrs = append(n.Attrs, Attr{attrs[i], attrs[i+1]})
	}
	return n
}

// Comment makes a comment.
func Comment(text string) *Node { return &Node{Kind: KindComment, Text: text} }

// IsElement reports whether n is an element; false for nil.
func (n *Node) IsElement() bool { return n != nil && n.Kind == KindElement }

// Get returns the attribute's value and whether it is there.
func (n *Node) Get(name string) (string, bool) {
	for i := range n.Attrs {
		if n.Attrs[i].Name == name {
			return n.Attrs[i].Value, true
		}
	}
	return "", false
}

// Attr returns the attribute's value, "" where it is not there.
func (n *Node) Attr(name string) string {
	v, _ := n.Get(name)
	return v
}

// ID is the attribute id.
func (n *Node) ID() string { return n.Attr("id") }

// Child returns the first child element of that tag, nil if none.
func (n *Node) Child(tag string) *Node {
	if i := n.ChildIndex(tag); i >= 0 {
		return n.Children[i]
	}
	return nil
}

// ChildIndex is the index of the first child element of that tag, -1 if none.
func (n *Node) ChildIndex(tag string) int {
	return slices.IndexFunc(n.Children, func(c *Node) bool { return c.Kind == KindElement && c.Tag == tag })
}

// Elements yields the child elements in order.
func (n *Node) Elements() iter.Seq[*Node] {
	return func(yield func(*Node) bool) {
		for _, c := range n.Children {
			if c.Kind == KindElement && !yield(c) {
				return
			}
		}
	}
}

// Children are n's child elements of that tag; none where n is nil.
func Children(n *Node, tag string) []*Node {
	if n == nil {
		return nil
	}
	var out []*Node
	for c := range n.Elements() {
		if c.Tag == tag {
			out = append(out, c)
		}
	}
	return out
}

func (n *Node) mutable() {
	if n.frozen {
		panic("cibdoc: change to a published node <" + n.Tag + " id=" + n.ID() + ">; edit it through Edit.Own")
	}
}

// SetAttr sets an attribute where it stands, or adds it as the last.
func (n *Node) SetAttr(name, value string) *Node {
	n.mutable()
	for i := range n.Attrs {
		if n.Attrs[i].Name == name {
			n.Attrs[i].Value = value
			return n
		}
	}
	n.Attrs = append(n.Attrs, Attr{name, value})
	return n
}

// RemoveAttr removes an attribute, if it is there.
func (n *Node) RemoveAttr(name string) {
	n.mutable()
	n.Attrs = slices.DeleteFunc(n.Attrs, func(a Attr) bool { return a.Name == name })
}

// Add appends children and returns n.
func (n *Node) Add(children ...*Node) *Node {
	n.mutable()
	n.Children = append(n.Children, children...)
	return n
}

// Insert puts child at index i, or at the end if there are fewer.
func (n *Node) Insert(i int, child *Node) {
	n.mutable()
	n.Children = slices.Insert(n.Children, min(i, len(n.Children)), child)
}

// RemoveAt removes child i.
func (n *Node) RemoveAt(i int) {
	n.mutable()
	n.Children = slices.Delete(n.Children, i, i+1)
}

// Own returns child i for changing: itself while it is not frozen, else a copy
// that takes its place.
func (n *Node) Own(i int) *Node {
	c := n.Children[i]
	if !c.frozen {
		return c
	}
	n.mutable()
	c = c.Shallow()
	n.Children[i] = c
	return c
}

// Shallow returns a changeable copy of n that shares its children.
func (n *Node) Shallow() *Node {
	c := &Node{
		Kind: n.Kind, Tag: n.Tag, Text: n.Text, Line: n.Line,
		Attrs: slices.Clone(n.Attrs), Children: slices.Clone(n.Children),
	}
	if n.wide != nil {
		c.from = n
	}
	return c
}

// Bare returns a changeable copy of n without children.
func (n *Node) Bare() *Node {
	return &Node{Kind: n.Kind, Tag: n.Tag, Text: n.Text, Line: n.Line, Attrs: slices.Clone(n.Attrs)}
}

// Sum identifies n's content. It freezes n.
func (n *Node) Sum() Sum {
	var buf []byte
	n.freeze(&buf)
	return n.sum
}

// Frozen reports whether n may not change any more.
func (n *Node) Frozen() bool { return n.frozen }

// freeze fixes n and all below, and computes the sums, children first.
func (n *Node) freeze(buf *[]byte) {
	if n.frozen {
		return
	}
	many := len(n.Children) >= manyChildren
	if many {
		n.freezeWide(buf)
	} else {
		n.from = nil
		for _, c := range n.Children {
			c.freeze(buf)
			n.below |= c.tags()
		}
	}
	b := (*buf)[:0]
	b = append(b, byte(n.Kind))
	b = appendString(b, n.Tag)
	b = appendString(b, n.Text)
	b = binary.AppendUvarint(b, uint64(len(n.Attrs)))
	for _, a := range n.Attrs {
		b = appendString(b, a.Name)
		b = appendString(b, a.Value)
	}
	if many {
		n.sum = n.wideSum(b)
	} else {
		for _, c := range n.Children {
			b = append(b, c.sum[:]...)
		}
		full := sha256.Sum256(b)
		copy(n.sum[:], full[:])
	}
	n.frozen = true
	*buf = b
}

// MayHold is false only where neither n nor anything below is an element of
// that tag: a search need not look there.
func (n *Node) MayHold(tag string) bool {
	return !n.frozen || n.Tag == tag || n.below&tagBit(tag) != 0
}

// tags are the bits of the tags at and below n.
func (n *Node) tags() uint64 { return n.below | tagBit(n.Tag) }

func tagBit(tag string) uint64 {
	h := uint32(2166136261) // FNV-1a
	for i := range len(tag) {
		h = (h ^ uint32(tag[i])) * 16777619
	}
	return 1 << (h >> 26)
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// Walk visits n and all below it in document order. visit returns false to
// leave out what is below a node. The path is valid only during the call.
func (n *Node) Walk(visit func(p Path, n *Node) bool) { walk(nil, n, visit) }

func walk(p Path, n *Node, visit func(Path, *Node) bool) {
	if !visit(p, n) {
		return
	}
	p = append(p, 0)
	for i, c := range n.Children {
		p[len(p)-1] = i
		walk(p, c, visit)
	}
}
