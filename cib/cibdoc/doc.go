package cibdoc

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
)

// FeatureSet is our own feature set, that of Pacemaker 2.1.5 (cib 1.1).
const FeatureSet = "3.16.1"

// LatestSchema is the newest schema that we know (cib 9.1).
const LatestSchema = "pacemaker-3.9"

// Version is the tuple that orders a document's states (cib 2).
type Version struct {
	AdminEpoch int64
	Epoch      int64
	NumUpdates int64
}

// Compare orders versions: the first field that differs decides (cib 2.1).
func (v Version) Compare(w Version) int {
	return cmp.Or(cmp.Compare(v.AdminEpoch, w.AdminEpoch), cmp.Compare(v.Epoch, w.Epoch), cmp.Compare(v.NumUpdates, w.NumUpdates))
}

// Less reports whether v comes before w.
func (v Version) Less(w Version) bool { return v.Compare(w) < 0 }

func (v Version) String() string {
	return fmt.Sprintf("%d.%d.%d", v.AdminEpoch, v.Epoch, v.NumUpdates)
}

func (s Sum) String() string { return hex.EncodeToString(s[:]) }

// MarshalText makes a Sum readable in files.
func (s Sum) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (s *Sum) UnmarshalText(b []byte) error {
	if len(b) != 2*len(s) {
		return fmt.Errorf("sum %q has not %d digits", b, 2*len(s))
	}
	_, err := hex.Decode(s[:], b)
	return err
}

// Doc is one version of a document. It never changes.
type Doc struct {
	root *Node

	once     sync.Once
	digest   string
	onceDisk sync.Once
	disk     string

	learnt atomic.Value
}

// New makes a document of root, which is frozen by it.
func New(root *Node) *Doc {
	root.Sum()
	return &Doc{root: root}
}

// Empty is the CIB that an instance starts with when nothing is on disk
// (epoch 0) or that cibadmin --empty prints (epoch 1) (cib 1.4).
func Empty(epoch int64) *Doc {
	return New(E("cib", "crm_feature_set", FeatureSet, "validate-with", LatestSchema,
		"epoch", strconv.FormatInt(epoch, 10), "num_updates", "0", "admin_epoch", "0").
		Add(E("configuration").Add(E("crm_config"), E("nodes"), E("resources"), E("constraints")), E("status")))
}

// Root is the root element, usually `cib`.
func (d *Doc) Root() *Node { return d.root }

// Sum identifies the whole content.
func (d *Doc) Sum() Sum { return d.root.sum }

// Learn keeps with the document what was found out about it, for Learnt. The
// first finding stays; all are of one type.
func (d *Doc) Learn(finding any) { d.learnt.CompareAndSwap(nil, finding) }

// Learnt is what Learn kept, nil if there is nothing.
func (d *Doc) Learnt() any { return d.learnt.Load() }

// Version is the tuple at the root; a missing or unreadable field is -1 (cib 2.1).
func (d *Doc) Version() Version { return NodeVersion(d.root, -1) }

// NodeVersion reads the tuple from n's attributes; missing stands for a field
// that is not there.
func NodeVersion(n *Node, missing int64) Version {
	field := func(name string) int64 {
		s, ok := n.Get(name)
		if !ok {
			return missing
		}
		v, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return missing
		}
		return v
	}
	return Version{field("admin_epoch"), field("epoch"), field("num_updates")}
}

// SetVersion writes the tuple to n's attributes.
func SetVersion(n *Node, v Version) {
	n.SetAttr("epoch", strconv.FormatInt(v.Epoch, 10))
	n.SetAttr("num_updates", strconv.FormatInt(v.NumUpdates, 10))
	n.SetAttr("admin_epoch", strconv.FormatInt(v.AdminEpoch, 10))
}

// Configuration is the `configuration` element, nil if there is none.
func (d *Doc) Configuration() *Node { return d.root.Child("configuration") }

// ConfigSum identifies the configuration; the zero Sum if there is none.
func (d *Doc) ConfigSum() Sum {
	if c := d.Configuration(); c != nil {
		return c.Sum()
	}
	return Sum{}
}

// Path names a node by the indexes of its ancestors and itself among their
// siblings, from the root down; the empty Path is the root.
type Path []int

// At returns the node at p below root, nil if there is none.
func (n *Node) At(p Path) *Node {
	for _, i := range p {
		if i >= len(n.Children) {
			return nil
		}
		n = n.Children[i]
	}
	return n
}

// HasPrefix reports whether q is p or an ancestor of p.
func (p Path) HasPrefix(q Path) bool {
	if len(q) > len(p) {
		return false
	}
	for i := range q {
		if p[i] != q[i] {
			return false
		}
	}
	return true
}

// Address is the path as texts show it: /cib/tag[@id='ID']/... (cib 4.1, 5.2).
func (n *Node) Address(p Path) string {
	s := "/" + addressStep(n)
	for _, i := range p {
		n = n.Children[i]
		s += "/" + addressStep(n)
	}
	return s
}

func addressStep(n *Node) string {
	switch n.Kind {
	case KindComment:
		return "comment"
	case KindCData:
		return "text()"
	case KindProcInst:
		return "processing-instruction()"
	}
	if id, ok := n.Get("id"); ok {
		return n.Tag + "[@id='" + id + "']"
	}
	return n.Tag
}

// Edit is a working copy of a document. It shares all that it has not touched.
type Edit struct{ root *Node }

// Edit begins a working copy.
func (d *Doc) Edit() *Edit { return &Edit{root: d.root} }

// Root is the root as it now is; change it only through Own.
func (e *Edit) Root() *Node { return e.root }

// SetRoot replaces the whole content.
func (e *Edit) SetRoot(n *Node) { e.root = n }

// Own returns the node at p for changing. p must exist.
func (e *Edit) Own(p Path) *Node {
	if e.root.frozen {
		e.root = e.root.Shallow()
	}
	n := e.root
	for _, i := range p {
		n = n.Own(i)
	}
	return n
}

// Doc publishes the working copy, which may be edited on afterwards.
func (e *Edit) Doc() *Doc { return New(e.root) }
