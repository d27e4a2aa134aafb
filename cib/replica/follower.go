package replica

import (
	"slices"

	"linuxha/cib/cibdoc"
	"linuxha/cib/patch"
)

func diffBytes(old, new *cibdoc.Doc) []byte {
	if d := patch.Create(old, new, patch.Options{}); d != nil {
		return d.Bytes()
	}
	return nil
}

// installed: the primary begins its term, or asks how far we are.
func (c *Core) installed(m Installed) {
	if c.role != follower {
		return
	}
	if c.doc.Sum() != m.Sum {
		c.outOfStep()
		return
	}
	c.inStep, c.fresh = true, false
	c.kept, c.keptQuorate = c.term, m.Quorate
	if !slices.Equal(c.lineage, m.Lineage) {
		c.lineage = m.Lineage
		c.synced = cibdoc.Version{} // with this descent
		c.persist()
	}
	if c.synced.Less(c.doc.Version()) && c.persistErr == "" && len(c.persisting) == 0 {
		c.persist() // it was ours alone, or came before a failure was mended
	}
	c.ack()
}

// outOfStep asks for the whole document.
func (c *Core) outOfStep() {
	c.inStep = false
	c.retryAsk = c.now.Add(c.opts.Retry)
	c.send(c.term.Primary, SyncRequest{c.term})
}

// patch applies one change of the primary.
func (c *Core) patch(m Patch) {
	if c.role != follower || !c.inStep {
		return // the snapshot that is on its way holds it
	}
	have := c.doc.Version()
	if m.To.Compare(have) <= 0 {
		return // part of the snapshot that we began with
	}
	next, err := c.applied(m)
	if err != nil {
		c.note(Warn, "a change could not be followed: asking for the whole CIB", "err", err, "version", have, "from", m.From, "to", m.To)
		c.outOfStep()
		return
	}
	c.doc = next
	c.remember(m.Applied)
	c.publish(Published{
		From: m.From, To: m.To, Doc: c.doc, Patch: m.Diff,
		Client: m.Client, Ref: m.Ref, Node: m.Applied.ID.Node, Op: m.Op,
	})
	if m.Config {
		c.lineage = c.lineage.With(m.Term, m.Quorate, m.To)
		c.persist()
	}
}

func (c *Core) applied(m Patch) (*cibdoc.Doc, error) {
	if have := c.doc.Version(); have != m.From {
		return nil, cibdoc.Fail(cibdoc.RCDiffResync, "this copy is at %v, the change begins at %v", have, m.From)
	}
	if len(m.Diff) == 0 {
		return nil, cibdoc.Fail(cibdoc.RCDiffResync, "the change comes without a patch")
	}
	diff, err := cibdoc.ParseNode(m.Diff)
	if err != nil {
		return nil, err
	}
	next, err := patch.Apply(c.doc, diff)
	if err != nil {
		return nil, err
	}
	if next.Sum() != m.Sum {
		return nil, cibdoc.Fail(cibdoc.RCDiffFailed, "the result is not the primary's document")
	}
	return next, nil
}

// snapshot takes over a whole document: from the primary, or, as a new
// primary, the one that was chosen.
func (c *Core) snapshot(from string, m Snapshot) {
	if c.role == fetching {
		if from == c.source {
			c.fetched(m)
		}
		return
	}
	if c.role != follower || from != c.term.Primary {
		return
	}
	c.takeOver(m, from)
	c.inStep = true
	c.kept, c.keptQuorate = c.term, m.Quorate
	c.ack()
}

// takeOver replaces this copy, keeping what would be lost as a patch.
func (c *Core) takeOver(m Snapshot, from string) {
	old, descent := c.doc, c.lineage
	if lost := c.lostTo(m, from); lost != nil {
		c.out.Lost = append(c.out.Lost, *lost)
		c.note(Warn, "changes of the configuration are lost: the copy of another node was chosen (cib 15.9); they are kept as a patch file",
			"node", from, "own", lost.Own, "winner", lost.Winner)
	}
	c.doc, c.lineage, c.fresh = m.Doc, m.Lineage, false
	c.rememberAll(m.Recent)
	if old.Sum() != c.doc.Sum() {
		c.publish(Published{From: old.Version(), To: c.doc.Version(), Doc: c.doc, Node: from, FromSync: true})
	}
	if c.mustStore(old) || !slices.Equal(descent, c.lineage) {
		c.persist()
	}
}

// mustStore: what is on disk, or on its way there, is not this configuration
// in this epoch. old is what this copy was until now.
func (c *Core) mustStore(old *cibdoc.Doc) bool {
	v, w := c.doc.Version(), c.synced
	if n := len(c.persisting); n > 0 {
		w = c.persisting[n-1].version
	}
	return v.AdminEpoch != w.AdminEpoch || v.Epoch != w.Epoch || c.persistErr != "" || old.ConfigSum() != c.doc.ConfigSum()
}

// lostTo tells what of this copy's configuration the winner does not have; nil
// where it is merely behind, or the same.
func (c *Core) lostTo(m Snapshot, from string) *Lost {
	if c.doc.ConfigSum() == m.Doc.ConfigSum() || !c.lineage.exceeds(m.Lineage, all) {
		return nil
	}
	// The winner with this copy's configuration: the patch has no versions and
	// no status, so that it can be applied whenever the operator wants it.
	wanted := m.Doc.Root().Shallow()
	own, at := c.doc.Configuration(), wanted.ChildIndex("configuration")
	if own == nil || at < 0 {
		return nil
	}
	wanted.Children[at] = own
	diff := patch.Create(m.Doc, cibdoc.New(wanted), patch.Options{NoVersion: true})
	return &Lost{Patch: diff.Bytes(), Own: c.doc.Version(), Winner: m.Doc.Version(), Source: from}
}
