package replica

import (
	"slices"
	"strings"
	"time"

	"linuxha/cib/cibdoc"
	"linuxha/cib/ops"
)

// net is a cluster of cores with reliable, ordered channels between nodes that
// are not cut off, and disks that store when they are told to.
// failer is what testing.TB and rapid.T have in common.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
	Fatal(args ...any)
}

type net struct {
	t     failer
	now   time.Time
	nodes map[string]*node
	names []string
	links map[[2]string][]Message // from, to
	cut   map[[2]string]bool
	view  uint64
}

type node struct {
	*Core
	name    string
	up      bool
	disk    Persist   // what a restart finds
	pending []Persist // told to store, not stored yet
	full    error     // the disk's answer, if not nil
	slow    bool      // stores only when flushed
	answers map[uint64]Outcome
	token   uint64
	inc     uint64
	seen    []Published
	lost    []Lost
	wake    time.Time
}

func newNet(t failer, names ...string) *net {
	n := &net{t: t, now: time.Unix(1000, 0), nodes: map[string]*node{}, names: names, links: map[[2]string][]Message{}, cut: map[[2]string]bool{}}
	for _, name := range names {
		n.nodes[name] = &node{name: name, disk: Persist{Doc: cibdoc.Empty(0)}}
		n.start(name)
	}
	return n
}

// start gives a node a new life with what its disk holds.
func (n *net) start(name string) {
	d := n.nodes[name]
	d.inc++
	root := d.disk.Doc.Root().Shallow()
	root.Children[root.ChildIndex("status")] = cibdoc.E("status")
	root.SetAttr("num_updates", "0")
	d.Core = New(Options{Node: name, Incarnation: d.inc, Doc: cibdoc.New(root), Lineage: d.disk.Lineage})
	d.up, d.pending, d.answers, d.seen, d.full, d.slow = true, nil, map[uint64]Outcome{}, nil, nil, false
	d.wake = time.Time{}
}

func (n *net) crash(name string) {
	n.nodes[name].up = false
	for k := range n.links {
		if k[0] == name || k[1] == name {
			delete(n.links, k)
		}
	}
}

func (n *net) step(name string, ev Event) {
	d := n.nodes[name]
	out := d.Step(n.now, ev)
	d.wake = out.WakeAt
	d.pending = append(d.pending, out.Persist...)
	d.seen = append(d.seen, out.Publish...)
	d.lost = append(d.lost, out.Lost...)
	for _, s := range out.Send {
		for _, to := range n.names {
			if s.To == "" || s.To == to {
				if n.nodes[to].up && !n.cut[[2]string{name, to}] {
					n.links[[2]string{name, to}] = append(n.links[[2]string{name, to}], s.Message)
				}
			}
		}
	}
	for _, a := range out.Answer {
		if _, twice := d.answers[a.Token]; twice {
			n.t.Fatalf("%s: token %d answered twice", name, a.Token)
		}
		d.answers[a.Token] = a.Outcome
	}
}

func (n *net) flush(name string) {
	d := n.nodes[name]
	if len(d.pending) == 0 {
		return
	}
	last := d.pending[len(d.pending)-1]
	d.pending = nil
	if d.full == nil {
		d.disk = last
	}
	n.step(name, Persisted{last.Seq, d.full})
}

// deliverOne moves one message; false if there is none.
func (n *net) deliverOne(pick int) bool {
	var busy [][2]string
	for k, q := range n.links {
		if len(q) > 0 {
			busy = append(busy, k)
		}
	}
	if len(busy) == 0 {
		return false
	}
	slices.SortFunc(busy, func(a, b [2]string) int { return strings.Compare(a[0]+a[1], b[0]+b[1]) })
	k := busy[pick%len(busy)]
	m := n.links[k][0]
	n.links[k] = n.links[k][1:]
	if n.nodes[k[1]].up {
		n.step(k[1], Received{k[0], m})
	}
	return true
}

// settle runs until nothing moves any more; slow disks stay behind.
func (n *net) settle() {
	for range 10000 {
		moved := n.deliverOne(0)
		for _, name := range n.names {
			if d := n.nodes[name]; d.up && !d.slow && len(d.pending) > 0 {
				n.flush(name)
				moved = true
			}
		}
		if !moved {
			return
		}
	}
	n.t.Fatal("the cluster does not come to rest")
}

// pass lets time go by, waking the cores when they asked for it.
func (n *net) pass(d time.Duration) {
	end := n.now.Add(d)
	for {
		var next *node
		for _, name := range n.names {
			c := n.nodes[name]
			if c.up && !c.wake.IsZero() && !c.wake.After(end) && (next == nil || c.wake.Before(next.wake)) {
				next = c
			}
		}
		if next == nil {
			break
		}
		if next.wake.After(n.now) {
			n.now = next.wake
		}
		before := next.wake
		n.step(next.name, Woken{})
		n.settle()
		if next.wake.Equal(before) {
			n.t.Fatalf("%s wakes at %v again and again", next.name, before)
		}
	}
	n.now = end
}

// appoint tells members, as their crmds do, who is primary; the token of the
// primary's own call is returned.
func (n *net) appoint(primary string, quorate bool, members ...string) uint64 {
	n.view++
	var token uint64
	for _, m := range append(slices.DeleteFunc(slices.Clone(members), func(s string) bool { return s == primary }), primary) {
		d := n.nodes[m]
		d.token++
		token = d.token
		n.step(m, Appointed{Token: token, Primary: primary, View: n.view, Members: members, Quorate: quorate, Configured: len(n.names)})
	}
	n.settle()
	return token
}

// partition cuts all links between the groups, dropping what is on the way.
func (n *net) partition(groups ...[]string) {
	clear(n.cut)
	group := map[string]int{}
	for i, g := range groups {
		for _, m := range g {
			group[m] = i + 1
		}
	}
	for _, a := range n.names {
		for _, b := range n.names {
			if group[a] != group[b] {
				n.cut[[2]string{a, b}] = true
				delete(n.links, [2]string{a, b})
			}
		}
	}
}

func (n *net) submit(name string, changes ...ops.Change) uint64 {
	d := n.nodes[name]
	d.token++
	n.step(name, Submitted{Token: d.token, Deadline: n.now.Add(30 * time.Second), Request: Request{Changes: changes, Client: "test"}})
	return d.token
}

func (n *net) outcome(name string, token uint64) (Outcome, bool) {
	o, ok := n.nodes[name].answers[token]
	return o, ok
}

func (n *net) mustSucceed(name string, token uint64) Outcome {
	n.t.Helper()
	o, ok := n.outcome(name, token)
	if !ok || o.RC != cibdoc.OK {
		n.t.Fatalf("%s: token %d: answered %v: %+v", name, token, ok, o)
	}
	return o
}

func addNode(id string) ops.Change {
	return ops.Change{Op: ops.Create, Section: "nodes", XML: cibdoc.E("node", "id", id, "uname", "n"+id)}
}

func setStatus(id, value string) ops.Change {
	return ops.Change{Op: ops.Modify, Section: "status", CanCreate: true, XML: cibdoc.E("node_state", "id", id, "v", value)}
}

func (d *node) has(id string) bool {
	return slices.ContainsFunc(slices.Collect(d.doc.Section("nodes").Elements()), func(c *cibdoc.Node) bool { return c.ID() == id })
}

// same fails unless all named copies are equal.
func (n *net) same(names ...string) {
	n.t.Helper()
	for _, m := range names[1:] {
		a, b := n.nodes[names[0]], n.nodes[m]
		if a.doc.Sum() != b.doc.Sum() {
			n.t.Fatalf("copies differ:\n%s %s\n%s %s", a.name, a.doc.Bytes(), b.name, b.doc.Bytes())
		}
	}
}

// check holds after every step.
func (n *net) check() {
	type key struct {
		t Term
		v cibdoc.Version
	}
	sums := map[key]cibdoc.Sum{}
	for _, name := range n.names {
		d := n.nodes[name]
		if !d.up {
			continue
		}
		for i := 1; i < len(d.seen); i++ {
			if d.seen[i].To.Less(d.seen[i-1].To) && !d.seen[i].FromSync {
				n.t.Fatalf("%s went back from %v to %v", name, d.seen[i-1].To, d.seen[i].To)
			}
		}
		if !d.Status().Ready {
			continue
		}
		k := key{d.term, d.doc.Version()}
		if s, ok := sums[k]; ok && s != d.doc.Sum() {
			n.t.Fatalf("two contents of version %v in term %+v", k.v, k.t)
		}
		sums[k] = d.doc.Sum()
	}
}
