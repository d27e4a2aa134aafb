package replica

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"linuxha/cib/cibdoc"
	"linuxha/cib/ops"
)

// appoint is crmd's word who is primary (crm 3.2 steps 5 and 6).
func (c *Core) appoint(ev Appointed) {
	if ev.View < c.term.View {
		c.answer(ev.Token, Outcome{
			RC: cibdoc.RCTryAgain, Version: c.doc.Version(),
			Detail: "view " + strconv.FormatUint(ev.View, 10) + " is over: a message of view " + strconv.FormatUint(c.term.View, 10) + " was seen",
		})
		return
	}
	if ev.Primary != c.self {
		// That crmd does not know a primary yet is no news to who has heard of it.
		known := c.term.View == ev.View && (c.term.Primary == ev.Primary || ev.Primary == "" && c.role == follower)
		if !known {
			c.endAppointment(cibdoc.RCTryAgain, "another primary was named")
			c.follow(Term{View: ev.View, Primary: ev.Primary})
			c.present()
		}
		c.answer(ev.Token, Outcome{Version: c.doc.Version()})
		return
	}
	c.endAppointment(cibdoc.RCTryAgain, "the primary was named again")
	c.follow(Term{ev.View, c.self, c.opts.Incarnation})
	c.role, c.quorate, c.appointed = gathering, ev.Quorate, &ev
	c.patience = c.now.Add(patience * c.opts.Retry)
	c.members = slices.Clone(ev.Members)
	if !slices.Contains(c.members, c.self) {
		c.members = append(c.members, c.self)
	}
	slices.Sort(c.members)
	c.members = slices.Compact(c.members)
	c.need = needed(len(c.members), ev)
	for _, m := range c.members {
		if m != c.self {
			c.peers[m] = &peer{name: m}
			c.send(m, StateRequest{c.term})
		}
	}
	c.cands = []Candidate{c.candidate()}
	c.decide()
}

// present tells the primary that we know of it, in case it asked before we did.
func (c *Core) present() {
	if c.term.Primary != "" {
		c.send(c.term.Primary, SyncRequest{c.term})
	}
}

// presented: a member has heard from its crmd that we are primary; what we
// sent it before may have been refused.
func (c *Core) presented(from string) {
	switch {
	case c.peers[from] == nil:
	case c.role == gathering || c.role == fetching:
		c.send(from, StateRequest{c.term})
	default:
		c.send(from, Installed{c.term, c.doc.Version(), c.doc.Sum(), c.lineage, c.quorate})
	}
}

// endAppointment answers a SetPrimary that did not come to its end.
func (c *Core) endAppointment(rc cibdoc.RC, why string) {
	if c.appointed != nil {
		c.answer(c.appointed.Token, Outcome{RC: rc, Detail: why, Version: c.doc.Version()})
		c.appointed = nil
	}
}

// needed is how many of n members, the primary among them, must have stored a
// change before it is acknowledged, and must have answered before a copy is
// chosen: a majority of them, and with quorum a majority of the configured nodes,
// which any later quorate partition shares a node with. It may be more than there
// are members, as long as the replica of a node that counts for the quorum is
// away. Of two nodes each may go on alone, and where quorum comes from weights
// there is no such number.
func needed(n int, ev Appointed) int {
	need := n/2 + 1
	if all := ev.Configured/2 + 1; ev.Quorate && ev.Configured > 2 && max(n, ev.Nodes) >= all {
		need = max(need, all)
	}
	return need
}

// patience is how many retries a member may stay silent, frozen for instance,
// before the others go on without it.
const patience = 5

// loseSilent goes on without members that do not answer, if enough others do:
// then one of those holds what was acknowledged.
func (c *Core) loseSilent() {
	if c.role == follower || c.role == leading || c.patience.After(c.now) {
		return
	}
	c.patience = c.now.Add(patience * c.opts.Retry)
	var silent []string
	for _, p := range c.sortedPeers() {
		answered := p.known
		switch c.role {
		case gathering:
			answered = slices.ContainsFunc(c.cands, func(d Candidate) bool { return d.Node == p.name })
		case fetching:
			answered = p.name != c.source
		}
		if !answered {
			silent = append(silent, p.name)
		}
	}
	switch {
	case len(c.members) < c.need:
		c.note(Warn, "the CIB runs on too few nodes to know what was acknowledged: waiting; start it on the others, or stop those nodes",
			"running", strings.Join(c.members, " "), "view", c.term.View, "needed", c.need)
		return
	case len(silent) == 0:
		return
	case len(c.members)-len(silent) < c.need:
		c.note(Warn, "members do not answer, and without them there are too few to know what was acknowledged: waiting; restart the CIB there, or stop the node",
			"members", strings.Join(silent, " "), "view", c.term.View, "needed", c.need)
		return
	}
	c.note(Warn, "members do not answer: going on without them", "members", strings.Join(silent, " "), "view", c.term.View)
	for _, name := range silent {
		c.peers[name].silent = true
		c.cands = slices.DeleteFunc(c.cands, func(d Candidate) bool { return d.Node == name })
	}
	if c.role == installing {
		c.settle()
		return
	}
	c.role = gathering
	c.decide()
}

func (c *Core) gathered(from string, m State) {
	if p := c.peers[from]; p != nil && !p.known && (c.role == installing || c.role == leading) {
		c.presented(from) // it was silent when the copy was chosen
		return
	}
	if c.role != gathering || c.peers[from] == nil || slices.ContainsFunc(c.cands, func(d Candidate) bool { return d.Node == from }) {
		return
	}
	m.Copy.Node = from
	c.cands = append(c.cands, m.Copy)
	c.decide()
}

// keepStatus puts a status into the document that was taken over, as a version
// of its own.
func (c *Core) keepStatus(status *cibdoc.Node) {
	old := c.doc
	root := old.Root().Shallow()
	if i := root.ChildIndex("status"); i >= 0 {
		root.RemoveAt(i)
	}
	root.Add(status)
	c.doc = cibdoc.New(root)
	if c.doc.Sum() == old.Sum() {
		return
	}
	e := c.doc.Edit()
	cibdoc.SetVersion(e.Own(nil), raised(c.candidate(), c.cands))
	c.doc = e.Doc()
	c.publish(Published{From: old.Version(), To: c.doc.Version(), Doc: c.doc, Node: c.self, FromSync: true})
}

// missing are the members whose state is not known yet.
func (c *Core) missing() []string {
	var out []string
	for _, m := range c.members {
		silent := c.peers[m] != nil && c.peers[m].silent
		if !silent && !slices.ContainsFunc(c.cands, func(d Candidate) bool { return d.Node == m }) {
			out = append(out, m)
		}
	}
	return out
}

// decide chooses the best copy once all states are there.
func (c *Core) decide() {
	if len(c.missing()) > 0 || len(c.members) < c.need {
		return
	}
	best := choose(c.cands, c.self)
	c.source = best.Node
	if best.Node == c.self || best.Sum == c.doc.Sum() && len(best.Lineage) <= len(c.lineage) {
		c.install(best)
		return
	}
	c.role = fetching
	c.retryAsk = c.now.Add(c.opts.Retry)
	c.send(best.Node, SyncRequest{c.term})
}

func (c *Core) fetched(m Snapshot) {
	own, status := c.candidate(), c.doc.Root().Child("status")
	source := c.cands[slices.IndexFunc(c.cands, func(d Candidate) bool { return d.Node == c.source })]
	c.takeOver(m, c.source)
	if status != nil && own.knowsBetter(source) {
		c.keepStatus(status)
	}
	best := c.candidate()
	best.Node = c.source
	c.install(best)
}

// install begins the term with the chosen document, which is ours by now.
func (c *Core) install(best Candidate) {
	old := c.doc
	if v := raised(best, c.cands); v != old.Version() {
		e := c.doc.Edit()
		cibdoc.SetVersion(e.Own(nil), v)
		c.doc = e.Doc()
		c.publish(Published{From: old.Version(), To: v, Doc: c.doc, Patch: diffBytes(old, c.doc), Node: c.self, FromSync: true})
		if v.Epoch != old.Version().Epoch {
			c.lineage = c.lineage.With(c.term, c.quorate, v)
		}
	}
	switch n := len(c.lineage); {
	case c.quorate && n > 0 && !c.lineage[n-1].Quorate:
		// What a partition without quorum changed is now this one's word: it may
		// be acknowledged to clients that ask again. It counts as stored when
		// that is stored as well.
		c.lineage = c.lineage.With(c.term, true, c.doc.Version())
		c.synced = cibdoc.Version{}
		c.persist()
	case c.mustStore(old):
		c.persist()
	}
	c.fresh = false
	c.role = installing
	c.patience = c.now.Add(patience * c.opts.Retry)
	c.retryAsk = c.now.Add(c.opts.Retry)
	for _, p := range c.sortedPeers() {
		i := slices.IndexFunc(c.cands, func(d Candidate) bool { return d.Node == p.name })
		if i >= 0 && c.cands[i].Sum == c.doc.Sum() {
			c.send(p.name, Installed{c.term, c.doc.Version(), c.doc.Sum(), c.lineage, c.quorate})
		} else {
			c.sendSnapshot(p.name)
		}
	}
	c.settle()
}

func (c *Core) sortedPeers() []*peer {
	out := make([]*peer, 0, len(c.peers))
	for _, p := range c.peers {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b *peer) int { return cmp.Compare(a.name, b.name) })
	return out
}

func (c *Core) acked(from string, m Ack) {
	p := c.peers[from]
	if p == nil || c.role != installing && c.role != leading {
		return
	}
	p.known, p.silent, p.held, p.synced, p.err = true, false, m.Held, m.Synced, m.Err
	c.settle()
}

// settle draws the conclusions from what the members hold and have stored.
func (c *Core) settle() {
	if c.role == installing && !slices.ContainsFunc(c.sortedPeers(), func(p *peer) bool { return !p.silent && (!p.known || p.held.Less(c.doc.Version())) }) {
		c.role = leading
		c.kept, c.keptQuorate = c.term, c.quorate
		c.retryAsk = c.now.Add(c.opts.Retry)
		if c.appointed != nil {
			c.answer(c.appointed.Token, Outcome{Version: c.doc.Version(), Source: c.source})
			c.appointed = nil
		}
		c.note(Info, "primary", "view", c.term.View, "version", c.doc.Version(), "source", c.source, "members", strings.Join(c.members, " "))
	}
	if c.role != leading {
		return
	}
	majority := c.majority()
	keep := c.waiting[:0]
	top := cibdoc.Version{AdminEpoch: -1}
	for _, w := range c.waiting {
		switch {
		case !majority.Less(w.version):
			c.reply(w.id, Outcome{Version: w.version})
			if top.Less(w.version) {
				top = w.version
			}
		case c.hopeless(w.version):
			c.reply(w.id, Outcome{
				RC: cibdoc.RCIO, Version: w.version,
				Detail: "the change was made but could not be stored on a majority, so a failure may lose it: " + c.laggards(w.version),
			})
		default:
			keep = append(keep, w)
		}
	}
	c.waiting = keep
	if top.AdminEpoch >= 0 && c.quorate {
		c.lineage = c.lineage.Acknowledged(top)
		if len(c.peers) > 0 {
			c.send("", Committed{c.term, top})
		}
	}
}

// majority is the version that enough of the members have stored, this node
// among them.
func (c *Core) majority() cibdoc.Version {
	vs := []cibdoc.Version{}
	for _, p := range c.sortedPeers() {
		if p.known {
			vs = append(vs, p.synced)
		} else {
			vs = append(vs, cibdoc.Version{AdminEpoch: -1})
		}
	}
	slices.SortFunc(vs, func(a, b cibdoc.Version) int { return b.Compare(a) })
	others := c.need - 1
	if others == 0 || c.synced.Less(vs[others-1]) {
		return c.synced
	}
	return vs[others-1]
}

// hopeless: so many disks fail that too few members can store v at present.
func (c *Core) hopeless(v cibdoc.Version) bool {
	failing := 0
	for _, p := range c.peers {
		if p.known && p.err != "" && p.synced.Less(v) {
			failing++
		}
	}
	return len(c.members)-failing < c.need
}

func (c *Core) laggards(v cibdoc.Version) string {
	var out []string
	for _, p := range c.sortedPeers() {
		if !p.known || p.synced.Less(v) || p.err != "" {
			out = append(out, strings.TrimSuffix("node "+p.name+": "+p.err, ": "))
		}
	}
	return strings.Join(out, ", ")
}

// lagging: some member has not confirmed what it should have stored.
func (c *Core) lagging() bool { return len(c.waiting) > 0 }

// lastConfig is the newest version that must be stored everywhere.
func (c *Core) lastConfig() cibdoc.Version {
	v := cibdoc.Version{}
	for _, w := range c.waiting {
		if v.Less(w.version) {
			v = w.version
		}
	}
	return v
}

// reply answers a request: of a local client, or back to the node it came from.
func (c *Core) reply(id ID, o Outcome) {
	if id.Node == c.self && id.Incarnation == c.opts.Incarnation {
		c.replied(id, o)
		return
	}
	c.send(id.Node, Reply{c.term, id, o})
}

// enqueue takes a request in, unless it is under way or done already.
func (c *Core) enqueue(id ID, r Request) {
	same := func(e entry) bool { return e.id == id }
	if slices.ContainsFunc(c.queue, same) || c.flight != nil && slices.ContainsFunc(c.flight.entries, same) ||
		slices.ContainsFunc(c.waiting, func(w waiter) bool { return w.id == id }) {
		return
	}
	c.queue = append(c.queue, entry{id: id, request: r})
}

// pump performs what waits. Changes of the status alone are made at once; from
// the first change of the configuration on, all that is there goes to the disk
// together, and is made when it has been stored.
func (c *Core) pump() {
	if c.role != leading || c.flight != nil || len(c.queue) == 0 {
		return
	}
	queue := c.queue
	c.queue = nil
	doc, l := c.doc, c.lineage
	var batch []entry
	for _, e := range queue {
		if a, done := c.known[e.id]; done {
			c.again(a)
			continue
		}
		e = c.perform(doc, e)
		if e.outcome == nil && e.result.Config {
			l = l.With(c.term, c.quorate, e.result.Doc.Version())
		}
		if len(batch) == 0 && (e.outcome != nil || !e.result.Config) {
			c.commit(e)
			doc = c.doc
			continue
		}
		batch = append(batch, e)
		if e.outcome == nil {
			doc = e.result.Doc
		}
	}
	if len(batch) > 0 {
		c.flight = &flight{seq: c.persistDoc(doc, l), entries: batch}
	}
	c.settle()
}

// again answers a request that is part of the document already.
func (c *Core) again(a Applied) {
	if a.Config {
		c.waiting = append(c.waiting, waiter{a.ID, a.Version})
		return
	}
	c.reply(a.ID, Outcome{Version: a.Version})
}

// perform computes a request on doc without making it so.
func (c *Core) perform(doc *cibdoc.Doc, e entry) entry {
	req := ops.Request{Changes: e.request.Changes, Now: c.now, Origin: e.id.Node, Client: e.request.Client, User: e.request.User}
	if c.opts.Check != nil {
		req.Check = func(old, new *cibdoc.Doc) error { return c.opts.Check(e.request.User, old, new) }
	}
	e.from = doc
	res, err := ops.Apply(doc, req)
	e.result = res
	switch {
	case err != nil:
		e.outcome = failure(err, doc)
	case !res.Changed:
		e.outcome = &Outcome{Version: doc.Version(), Payload: bytesOf(res.Payload)}
	case e.request.DryRun:
		e.outcome = &Outcome{Version: res.Doc.Version(), Payload: bytesOf(res.Payload)}
		e.outcome.Version = doc.Version()
	}
	return e
}

func failure(err error, doc *cibdoc.Doc) *Outcome {
	o := &Outcome{RC: cibdoc.RCOf(err), Detail: err.Error(), Version: doc.Version()}
	if f, ok := err.(*cibdoc.Failure); ok {
		o.Detail, o.Payload = f.Detail, bytesOf(f.Payload)
	}
	return o
}

func bytesOf(n *cibdoc.Node) []byte {
	if n == nil {
		return nil
	}
	return n.Bytes()
}

// commit makes a performed request so: here, and by its patch at the others.
func (c *Core) commit(e entry) {
	if e.outcome != nil {
		c.reply(e.id, *e.outcome)
		return
	}
	c.doc = e.result.Doc
	from, to := e.from.Version(), c.doc.Version()
	done := Applied{e.id, to, e.result.Config}
	diff := diffBytes(e.from, c.doc)
	c.remember(done)
	op := e.request.Changes[0].Op
	c.publish(Published{
		From: from, To: to, Doc: c.doc, Patch: diff,
		Client: e.request.Client, Ref: e.request.Ref, Node: e.id.Node, Op: op,
	})
	if len(c.peers) > 0 {
		c.send("", Patch{
			Term: c.term, From: from, To: to, Sum: c.doc.Sum(), Diff: diff, Config: e.result.Config,
			Quorate: c.quorate, Applied: done, Client: e.request.Client, Ref: e.request.Ref, Op: op,
		})
	}
	if e.result.Config {
		c.lineage = c.lineage.With(c.term, c.quorate, to)
		c.waiting = append(c.waiting, waiter{e.id, to})
		return
	}
	c.reply(e.id, Outcome{Version: to, Payload: bytesOf(e.result.Payload)})
}

// landed: the batch is stored and becomes so, or it could not be stored: then
// changes of the configuration fail and the rest is performed without them.
func (c *Core) landed(err error) {
	f := c.flight
	c.flight = nil
	if err == nil {
		for _, e := range f.entries {
			c.commit(e)
		}
		return
	}
	var rest []entry
	for _, e := range f.entries {
		if e.outcome == nil && e.result.Config {
			rc := cibdoc.RCOf(err)
			if rc == cibdoc.RCError {
				rc = cibdoc.RCCibSave
			}
			c.reply(e.id, Outcome{
				RC: rc, Version: c.doc.Version(),
				Detail: "the configuration could not be stored on " + c.self + ", nothing was changed: " + err.Error(),
			})
			continue
		}
		rest = append(rest, entry{id: e.id, request: e.request})
	}
	c.queue = append(rest, c.queue...)
}
