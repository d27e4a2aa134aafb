package sim

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"linuxha/cib/cibdoc"
	"linuxha/cib/ops"
	"linuxha/cib/replica"
	"linuxha/heartbeatd/ccm"
	frame "linuxha/internal/sim"
)

// onDisk is what a node's CIB daemon stores.
type onDisk struct {
	doc     *cibdoc.Doc
	lineage replica.Lineage
}

// Facts about the CIB.
type (
	// published: a copy has a new version.
	published struct {
		term replica.Term
		p    replica.Published
	}
	// acknowledged: a change that a client asked for was said to be made, by the
	// primary of that reign.
	acknowledged struct {
		key string
		by  appointment
	}
	// leads: the replica on this node begins to order changes.
	leads struct{ status replica.Status }
)

// appointment is what a primary was named for.
type appointment struct {
	view    uint64
	members []string
	quorate bool
}

// cibd is the shell of the CIB daemon: the real replica core, a disk that
// takes its time, and calls from the same node's controller and from clients.
type cibd struct {
	n           *node
	core        *replica.Core
	disk        *frame.Disk[onDisk]
	incarnation uint64
	timer       timer
	tokens      uint64
	calls       map[uint64]func(replica.Outcome)
	saving      bool
	toSave      []replica.Persist
	view        *ccm.Membership
	watch       func(replica.Published) // the controller
	gone        bool
	led         replica.Term
	named       map[uint64]appointment // of this node, by view
}

// genesis is the configuration that all nodes begin with.
func genesis(c *Cluster) *cibdoc.Doc {
	nodes := cibdoc.E("nodes")
	for _, name := range c.names {
		nodes.Add(cibdoc.E("node", "id", nodeID(name).String(), "uname", name))
	}
	return cibdoc.New(cibdoc.E("cib", "crm_feature_set", cibdoc.FeatureSet, "validate-with", "none",
		"epoch", "1", "num_updates", "0", "admin_epoch", "0").
		Add(cibdoc.E("configuration").Add(cibdoc.E("crm_config"), nodes, cibdoc.E("resources"), cibdoc.E("constraints")), cibdoc.E("status")))
}

// startCIB starts the daemon with what the disk holds.
func startCIB(n *node, disk *frame.Disk[onDisk]) *cibd {
	n.lives++
	d := &cibd{
		n: n, disk: disk, incarnation: n.lives,
		calls: map[uint64]func(replica.Outcome){}, named: map[uint64]appointment{},
	}
	stored := disk.Read()
	d.core = replica.New(replica.Options{Node: n.name, Incarnation: d.incarnation, Doc: running(stored.doc), Lineage: stored.lineage})
	d.timer.n = n
	d.timer.reset(func() {
		if !d.gone {
			d.step(replica.Woken{})
			n.drain()
		}
	})
	return d
}

// stored and running are the store's two forms of a document (cib 7.1).
func stored(doc *cibdoc.Doc) *cibdoc.Doc {
	root := doc.Root().Shallow()
	if i := root.ChildIndex("status"); i >= 0 {
		root.RemoveAt(i)
	}
	root.SetAttr("num_updates", "0")
	root.RemoveAttr("dc-uuid")
	return cibdoc.New(root)
}

func running(doc *cibdoc.Doc) *cibdoc.Doc {
	root := doc.Root().Shallow()
	if root.ChildIndex("status") < 0 {
		root.Add(cibdoc.E("status"))
	}
	return cibdoc.New(root)
}

func (d *cibd) step(ev replica.Event) {
	if d.gone {
		return
	}
	c := d.n.c
	before := d.core.Status().Term
	out := d.core.Step(c.Now(), ev)
	for _, p := range out.Persist {
		d.save(p)
	}
	status := d.core.Status()
	term := status.Term
	if term != before {
		before = replica.Term{} // of which of the two a change is cannot be told
	}
	if c.Trace {
		for _, n := range out.Notes {
			c.Logf("%s cib: %s %v", d.n.name, n.Text, n.Attrs)
		}
		for _, s := range out.Send {
			switch m := s.Message.(type) {
			case replica.State:
				c.Logf("%s cib to %q: state %v %v fresh %v kept %v %v", d.n.name, s.To, m.Copy.Version, showLineage(m.Copy.Lineage), m.Copy.Fresh, m.Copy.Kept, m.Copy.KeptQuorate)
			case replica.Patch:
				c.Logf("%s cib to %q: patch %v config %v of %v", d.n.name, s.To, m.To, m.Config, m.Applied.ID)
			case replica.Ack:
				c.Logf("%s cib to %q: ack held %v synced %v", d.n.name, s.To, m.Held, m.Synced)
			case replica.Committed:
				c.Logf("%s cib to %q: committed %v", d.n.name, s.To, m.Version)
			default:
				c.Logf("%s cib to %q: %T", d.n.name, s.To, s.Message)
			}
		}
	}
	if status.Ready && status.Primary == d.n.name && d.led != term {
		d.led = term
		c.saw(d.n, leads{status})
	}
	for _, s := range out.Send {
		if r, ok := s.Message.(replica.Reply); ok && r.Outcome.RC == cibdoc.OK {
			d.n.c.shared.replies[r.ID] = d.named[r.Term.View]
		}
		d.n.send("cib", s.To, s.Message)
	}
	for _, p := range out.Publish {
		c.saw(d.n, published{before, p})
		if d.watch != nil {
			watch := d.watch
			d.n.work = append(d.n.work, job{do: func() { watch(p) }})
		}
	}
	for range out.Lost {
		c.counts["changes that another copy won over"]++
	}
	for _, a := range out.Answer {
		if status.Primary == d.n.name && a.Outcome.RC == cibdoc.OK {
			c.shared.replies[d.request(a.Token)] = d.named[term.View]
		}
		f := d.calls[a.Token]
		delete(d.calls, a.Token)
		if f != nil {
			d.n.work = append(d.n.work, job{do: func() { f(a.Outcome) }})
		}
	}
	d.timer.set(out.WakeAt)
}

// showLineage is for traces.
func showLineage(l replica.Lineage) string {
	var b strings.Builder
	for _, m := range l {
		fmt.Fprintf(&b, " %d/%s:%v", m.Term.View, m.Term.Primary, m.Version)
		if m.Quorate {
			fmt.Fprintf(&b, "q%v", m.Acked)
		}
	}
	return b.String()
}

// save stores one document after the other; the newest of those that wait.
func (d *cibd) save(p replica.Persist) {
	d.toSave = append(d.toSave, p)
	if d.saving {
		return
	}
	d.saving = true
	d.begin()
}

func (d *cibd) begin() {
	c := d.n.c
	p := d.toSave[len(d.toSave)-1]
	d.toSave = nil
	if c.Chance(0.002) { // the disk is full, or worse
		d.n.host.After(c.Between(0, 5*time.Millisecond), func() { d.saved(p, errors.New("no space left on device")) })
		return
	}
	d.disk.Write(onDisk{stored(p.Doc), p.Lineage})
	took := c.Between(500*time.Microsecond, 15*time.Millisecond)
	if c.Chance(0.02) {
		took = c.Between(0, time.Second) // a disk that is busy
	}
	if c.plan.Bug == AcknowledgeUnsaved {
		d.n.host.After(0, func() { d.saved(p, nil) })
		d.n.host.After(took+c.Between(0, 3*time.Second), d.disk.Sync)
		return
	}
	d.n.host.After(took, func() {
		d.disk.Sync()
		d.saved(p, nil)
	})
}

func (d *cibd) saved(p replica.Persist, err error) {
	d.saving = false
	if d.gone {
		return
	}
	d.step(replica.Persisted{Seq: p.Seq, Err: err})
	if len(d.toSave) > 0 && !d.saving {
		d.saving = true
		d.begin()
	}
	d.n.drain()
}

func (d *cibd) installed(m *ccm.Membership, _ bool) {
	first := d.view == nil
	d.view = m
	if first {
		d.step(replica.Attached{Node: d.n.name})
	}
}

func (d *cibd) received(from string, payload any) {
	d.step(replica.Received{From: from, Message: payload.(replica.Message)})
}

func (d *cibd) call(f func(replica.Outcome)) uint64 {
	d.tokens++
	d.calls[d.tokens] = f
	return d.tokens
}

func (d *cibd) request(token uint64) replica.ID {
	return replica.ID{Node: d.n.name, Incarnation: d.incarnation, Seq: token}
}

// by is who acknowledged a request of this node.
func (d *cibd) by(token uint64) appointment { return d.n.c.shared.replies[d.request(token)] }

// apply has changes made and answers when they are acknowledged.
func (d *cibd) apply(client string, changes []ops.Change, asPrimary bool, limit time.Duration, f func(replica.Outcome)) (token uint64) {
	if d.gone {
		return 0
	}
	token = d.call(f)
	d.step(replica.Submitted{Token: token, Request: replica.Request{Changes: changes, Client: client, User: "hacluster", AsPrimary: asPrimary}, Deadline: d.n.c.Now().Add(limit)})
	return token
}

// withdraw: the client of a request has gone.
func (d *cibd) withdraw(token uint64) {
	if _, open := d.calls[token]; open && !d.gone {
		delete(d.calls, token)
		d.step(replica.Withdrawn{Token: token})
	}
}

func (d *cibd) setPrimary(primary string, view uint64, members []string, quorate bool, nodes int, f func(replica.Outcome)) {
	if primary == d.n.name {
		d.named[view] = appointment{view, members, quorate}
	}
	d.step(replica.Appointed{Token: d.call(f), Primary: primary, View: view, Members: members, Quorate: quorate, Configured: len(d.n.c.names), Nodes: nodes})
}

// modify and remove are the changes that the controller makes.
func modify(section string, xml *cibdoc.Node) ops.Change {
	return ops.Change{Op: ops.Modify, Section: section, XML: xml, CanCreate: true}
}

func remove(xpath string) ops.Change {
	return ops.Change{Op: ops.Delete, Section: xpath, XPath: true, All: true}
}
