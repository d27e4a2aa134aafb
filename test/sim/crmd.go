package sim

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"linuxha/cib/cibdoc"
	"linuxha/cib/ops"
	"linuxha/cib/replica"
	"linuxha/crmd/election"
	"linuxha/crmd/join"
	"linuxha/crmd/te"
	"linuxha/heartbeatd/ccm"
	"linuxha/internal/graph"
)

const featureSet = "3.16.1"

// Messages between controllers.
type (
	offer struct {
		term   string
		joinID uint64
		view   uint64
	}
	request struct {
		term    string
		joinID  uint64
		records []*record
		running []string
	}
	accept struct {
		term   string
		joinID uint64
	}
	order struct {
		term string
		key  string
		a    *graph.Action
	}
	refusal struct{ key string }
	// fenced: the fencers tell all members how a fencing ended.
	fenced struct {
		target, origin string
		generation     uint64 // of the target, as known when it was ordered
		ok             bool
	}
)

// Facts about controllers.
type (
	becameDC struct{}
	ceasedDC struct{}
	obeyed   struct {
		from string
		term string
	}
)

// crmd is the shell of the controller around the real cores of election, join
// and transition engine, made after crmd/server.
type crmd struct {
	n    *node
	cib  *cibd
	m    *machine
	el   *election.Core
	jn   *join.Core
	te   *te.Core
	gone bool

	view     *ccm.Membership
	quorate  bool
	timers   [3]timer
	accepted struct {
		dc, term string
		bornOn   uint64
		asked    bool
	}
	pending *offer // to be answered when our history is written
	reign   reign
	local   []any // messages to ourselves
	turning bool

	fenced  map[string]uint64 // targets, with the incarnation
	dirty   []*record
	writing bool

	jobs       []update
	updating   bool
	request    uint64 // of the update under way
	batch      uint64 // its reign
	batches    uint64 // so far
	primarySeq uint64
	doc        *cibdoc.Doc // the local copy as last seen
	seen       te.Version
	waiting    []waiter
}

type update struct {
	reign   uint64 // it ends with that; 0: it stands
	changes []ops.Change
	done    func(te.Version, error)
}

type waiter struct {
	version te.Version
	f       func()
}

func startCRM(n *node, cib *cibd, m *machine) *crmd {
	d := &crmd{
		n: n, cib: cib, m: m, fenced: map[string]uint64{}, doc: cib.core.Status().Doc,
		el: election.New(n.name, 10*time.Second), jn: join.New(n.name, join.Options{Grace: 5 * time.Second, Integration: 30 * time.Second}), te: te.New(n.name),
	}
	events := []func(){
		func() { d.stepElection(election.Woken{}) },
		func() { d.stepJoin(join.Woken{}) },
		func() { d.stepTE(te.Woken{}) },
	}
	for i := range d.timers {
		d.timers[i].n = n
		d.timers[i].reset(func() {
			if !d.gone {
				events[i]()
				d.turnEnd()
				n.drain()
			}
		})
	}
	cib.watch = d.published
	d.seen = version(d.doc.Version())
	d.stepTE(te.Options{Recheck: 15 * time.Minute})
	return d
}

func version(v cibdoc.Version) te.Version { return te.Version{v.AdminEpoch, v.Epoch, v.NumUpdates} }

// turn runs f as one turn of the daemon's loop.
func (d *crmd) turn(f func()) {
	if d.gone {
		return
	}
	f()
	d.turnEnd()
}

func (d *crmd) turnEnd() {
	if d.turning {
		return
	}
	d.turning = true
	d.drainLocal()
	d.stepTE(te.TurnEnd{})
	d.drainLocal()
	d.flush()
	d.turning = false
}

func (d *crmd) drainLocal() {
	for len(d.local) > 0 {
		m := d.local[0]
		d.local = d.local[1:]
		d.message(d.n.name, m)
	}
}

func (d *crmd) send(to string, m any) {
	if to == d.n.name {
		d.local = append(d.local, m)
		return
	}
	d.n.send("crmd", to, m)
}

func (d *crmd) installed(m *ccm.Membership, quorate bool) { d.turn(func() { d.newView(m, quorate) }) }

func (d *crmd) received(from string, payload any) {
	if from == d.n.name {
		return
	}
	d.turn(func() { d.message(from, payload) })
}

func (d *crmd) newView(m *ccm.Membership, quorate bool) {
	was, born := d.quorate, d.bornOn(d.n.name)
	d.view, d.quorate = m, quorate
	reentered := born != 0 && d.bornOn(d.n.name) != born
	v := election.View{Number: m.Number, Coordinator: m.Coordinator, Quorate: quorate, Configured: d.n.c.names}
	for _, mb := range m.Members {
		for _, p := range mb.Processes {
			if p.Name == "crmd" {
				claim, err := strconv.ParseUint(p.Info["dc"], 10, 64)
				if err != nil {
					claim = 0
				}
				v.Candidates = append(v.Candidates, election.Candidate{
					Node: mb.Name, FeatureSet: p.Info["feature_set"], BornOn: p.BornOn,
					NodeBornOn: mb.BornOn, Claim: claim, ClaimQuorate: p.Info["dc_quorate"] == "1",
				})
			}
		}
	}
	maps.DeleteFunc(d.fenced, func(n string, g uint64) bool { return g < d.n.members[n] })
	if d.accepted.term != "" && (reentered || d.bornOn(d.accepted.dc) != d.accepted.bornOn) {
		d.unaccept()
	}
	wasDC := d.el.Local()
	d.stepElection(election.Installed{View: v})
	if reentered && wasDC && d.el.Local() {
		d.endReign() // what the others did meanwhile is not known
		d.beginReign()
	}
	if d.accepted.term != "" && d.el.DC() != d.accepted.dc {
		d.unaccept()
	}
	d.tellPrimary()
	if d.el.Local() && d.reign.begun {
		if was != quorate {
			d.writeRoot()
			d.stepTE(te.Aborted{Reason: "Quorum changed"})
		}
		d.stepJoin(d.joinView())
	}
}

func (d *crmd) unaccept() {
	d.accepted.dc, d.accepted.term, d.accepted.asked = "", "", false
	d.pending = nil
}

// bornOn is the view in which a node's controller entered; 0: it has none.
func (d *crmd) bornOn(node string) uint64 {
	if d.view == nil {
		return 0
	}
	if m := d.view.Member(node); m != nil {
		for _, p := range m.Processes {
			if p.Name == "crmd" {
				return p.BornOn
			}
		}
	}
	return 0
}

// add has an update made behind the ones before it; what gathers meanwhile is
// one request.
func (d *crmd) add(u update) {
	d.jobs = append(d.jobs, u)
	d.nextUpdate()
}

func (d *crmd) nextUpdate() {
	if d.updating || len(d.jobs) == 0 || d.gone {
		return
	}
	k := 1
	for k < len(d.jobs) && d.jobs[k].reign == d.jobs[0].reign {
		k++
	}
	batch := d.jobs[:k:k]
	d.jobs = d.jobs[k:]
	d.batch = batch[0].reign
	var changes []ops.Change
	for _, u := range batch {
		changes = append(changes, u.changes...)
	}
	d.updating = true
	d.batches++
	number := d.batches
	finish := func(v te.Version, err error) {
		d.turn(func() {
			if number != d.batches || !d.updating {
				return // withdrawn
			}
			d.updating = false
			for _, u := range batch {
				if u.done != nil {
					u.done(v, err)
				}
			}
			d.nextUpdate()
		})
	}
	if len(changes) == 0 {
		d.n.work = append(d.n.work, job{do: func() { finish(te.Version{}, nil) }})
		return
	}
	var try func()
	try = func() {
		d.request = d.cib.apply("crmd", changes, d.batch != 0, 30*time.Second, func(o replica.Outcome) {
			switch {
			case o.RC == cibdoc.RCTryAgain:
				d.tellPrimary()
				d.n.host.After(50*time.Millisecond, func() {
					if !d.gone && number == d.batches && d.updating {
						try()
						d.n.drain()
					}
				})
			case o.RC != cibdoc.OK:
				d.n.c.Logf("%s crmd: update refused: %v %s", d.n.name, o.RC, o.Detail)
				finish(te.Version{}, o.RC)
			default:
				finish(version(o.Version), nil)
			}
		})
	}
	try()
}

// published follows the local copy of the CIB.
func (d *crmd) published(p replica.Published) {
	d.turn(func() {
		old := d.doc
		d.doc, d.seen = p.Doc, version(p.To)
		defer d.whenSeen(te.Version{}, nil)
		if len(p.Patch) == 0 {
			d.stepTE(te.Aborted{Reason: "History refresh", Version: d.seen})
			return
		}
		if !d.el.Local() {
			return
		}
		if old.ConfigSum() != p.Doc.ConfigSum() {
			d.stepTE(te.Aborted{Reason: "Configuration change", Version: d.seen, Config: true})
		}
		d.compareStatus(old.Root().Child("status"), p.Doc.Root().Child("status"))
	})
}

// compareStatus finds the results of operations among what changed.
func (d *crmd) compareStatus(old, status *cibdoc.Node) {
	before := map[string]*cibdoc.Node{}
	for n := range old.Elements() {
		before[n.ID()] = n
	}
	for n := range status.Elements() {
		was := before[n.ID()]
		if was == n || was != nil && was.Sum() == n.Sum() {
			continue
		}
		known := map[record]bool{}
		if was != nil {
			for _, r := range readHistory(was) {
				known[r] = true
			}
			if was.Child("lrm") != nil && n.Child("lrm") == nil && !d.te.TakesDown(n.ID()) {
				d.stepTE(te.Aborted{Reason: "Resource state removal", Version: d.seen})
			}
		}
		for _, r := range readHistory(n) {
			switch {
			case known[r] || r.key == "":
			case r.status == statusPending:
				d.stepTE(te.Recorded{Key: r.key})
			default:
				d.stepTE(te.Result{
					Node: n.Attr("uname"), Resource: r.resource, OpKey: r.resource + "_" + r.operation + "_0", Task: r.operation,
					Key: r.key, CallID: int64(r.call), RC: r.rc, Status: r.status, RCChange: r.at, Version: d.seen,
				})
			}
		}
	}
}

func (d *crmd) whenSeen(v te.Version, f func()) {
	if f != nil {
		d.waiting = append(d.waiting, waiter{v, f})
	}
	var due []func()
	kept := d.waiting[:0]
	for _, w := range d.waiting {
		if w.version.After(d.seen) {
			kept = append(kept, w)
		} else {
			due = append(due, w.f)
		}
	}
	d.waiting = kept
	for _, f := range due {
		f()
	}
}

func (d *crmd) message(from string, payload any) {
	switch m := payload.(type) {
	case offer:
		d.offered(from, m)
	case request:
		if d.el.Local() && m.term == d.reign.term {
			d.reign.lrm[from], d.reign.runs[from] = m.records, m.running
			d.stepJoin(join.Requested{Node: from, Term: m.term, JoinID: m.joinID, FeatureSet: featureSet})
		}
	case accept:
		if d.accepted.dc == from && d.accepted.term == m.term {
			d.accepted.asked = false
		}
	case order:
		if !d.accepted.asked && d.accepted.term == m.term && d.accepted.dc == from {
			d.obey(from, m)
		}
	case refusal:
		if d.el.Local() {
			_, _, _, _, ok := te.ParseKey(m.key)
			if ok {
				d.stepTE(te.Result{Node: from, Key: m.key, RC: 1, Status: te.StatusNotNow, Direct: true})
			}
		}
	case fenced:
		d.fencingEnded(m)
	}
}

func (d *crmd) offered(from string, o offer) {
	if d.el.DC() != from {
		return
	}
	if d.accepted.dc != "" && d.accepted.dc != from {
		d.unaccept()
	}
	d.accepted.dc, d.accepted.term, d.accepted.bornOn, d.accepted.asked = from, o.term, d.bornOn(from), true
	d.pending = &o
	if from != d.n.name {
		d.tellPrimary()
	}
}

// obey runs an operation that our DC has ordered.
func (d *crmd) obey(from string, o order) {
	d.n.c.saw(d.n, obeyed{from, o.term})
	a := o.a
	d.record(&record{resource: a.RscID(), operation: a.Operation, key: o.key, status: statusPending})
	n := d.n
	d.m.exec(a.RscID(), a.Operation, o.key, func(r *record) {
		if now, ok := n.clients["crmd"].(*crmd); ok { // this controller, or the one after it
			now.turn(func() { now.record(r) })
		}
	})
}

func (d *crmd) record(r *record) {
	d.dirty = append(slices.DeleteFunc(d.dirty, func(old *record) bool { return old.resource == r.resource }), r)
}

// flush writes our history, or answers an offer with all of it.
func (d *crmd) flush() {
	if d.writing {
		return
	}
	if o := d.pending; o != nil {
		d.pending, d.dirty = nil, nil
		d.send(d.accepted.dc, request{o.term, o.joinID, d.m.history(), slices.Sorted(maps.Keys(d.m.running))})
		d.drainLocal()
		return
	}
	if len(d.dirty) == 0 || d.accepted.term == "" || d.accepted.asked {
		return
	}
	id := nodeID(d.n.name).String()
	state := cibdoc.E("node_state", "id", id, "uname", d.n.name).Add(cibdoc.E("lrm", "id", id).Add(lrmXML(d.dirty)))
	d.dirty = nil
	d.writing = true
	d.add(update{changes: []ops.Change{modify("status", state)}, done: func(_ te.Version, err error) {
		d.writing = false
	}})
}

// stop ends the process; the machine's agents go on.
func (d *crmd) stop() {
	d.gone = true
	if d.updating {
		d.cib.withdraw(d.request)
	}
	if d.el.Local() {
		d.n.c.saw(d.n, ceasedDC{})
	}
}
