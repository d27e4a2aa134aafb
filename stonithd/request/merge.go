package request

import (
	"maps"
	"slices"

	"linuxha/stonithd/history"
)

// mergeable finds an operation under way that also serves a new request
// (execution 39): same target and action, another client, an owner that lives
// and is not the target.
func (c *Core) mergeable(r Request) (history.Record, bool) {
	for _, h := range c.history.List(r.Target) {
		if h.ID == r.ID || h.State != history.Querying && h.State != history.Executing || h.Action != r.Action ||
			h.Client == r.Client && h.Origin == r.Origin || same(h.Target, h.Owner) || !c.active(h.Owner) {
			continue
		}
		if o := c.ops[h.ID]; o != nil && (o.mergedTo != "" || o.Device != "") {
			continue
		}
		return h, true
	}
	return history.Record{}, false
}

func (c *Core) mergeInto(o *op, base history.Record) {
	o.mergedTo = base.ID
	r := o.record(c.node)
	r.State = history.Duplicate
	c.history.Put(r)
	c.note("Merging fencing action '%s' targeting %s originating from client %s with identical request from %s@%s | original=%s duplicate=%s",
		o.Action, o.Target, o.Client, base.Client, base.Owner, short(base.ID), short(o.ID))
}

// yield: two fencers began the same at once; the one whose name (then id)
// comes first goes on, the other merges, as long as it has not begun.
func (c *Core) yield(m Query) {
	for _, id := range slices.Sorted(maps.Keys(c.ops)) {
		o := c.ops[id]
		if o.List || o.attempts > 0 || o.mergedTo != "" || o.relayedTo != "" || o.ID == m.ID || o.Device != "" ||
			!same(o.Target, m.Target) || o.Action != m.Action || same(m.Owner, m.Target) {
			continue
		}
		if m.Owner < c.node {
			c.mergeOwn(o, m.ID)
		}
	}
}

// yieldToExecution: another fencer already executes what we only plan.
func (c *Core) yieldToExecution(m Execute) {
	base, ok := c.history.Get(m.ID)
	if !ok {
		return
	}
	for _, id := range slices.Sorted(maps.Keys(c.ops)) {
		o := c.ops[id]
		if o.List || o.attempts > 0 || o.mergedTo != "" || o.relayedTo != "" || o.ID == m.ID || o.Device != "" ||
			!same(o.Target, base.Target) || o.Action != base.Action || same(base.Owner, base.Target) {
			continue
		}
		c.mergeOwn(o, m.ID)
	}
}

func (c *Core) mergeOwn(o *op, base string) {
	r, ok := c.history.Get(base)
	if ok && r.State.Pending() {
		o.awaited = nil
		c.mergeInto(o, r)
	}
}

// finishDuplicates gives the end of an operation to those merged into it.
func (c *Core) finishDuplicates(base history.Record) {
	for _, id := range slices.Sorted(maps.Keys(c.ops)) {
		o := c.ops[id]
		if o == nil || o.mergedTo != base.ID {
			continue
		}
		if base.Reason == presumedFailed.Reason {
			c.note("The operation that %s was merged into has lost its fencer: beginning anew", short(o.ID))
			c.query(o)
			continue
		}
		r := o.record(c.node)
		r.Executioner, r.Device, r.State, r.Completed = base.Executioner, base.Device, base.State, base.Completed
		r.RC, r.Status, r.Reason, r.Output, r.Merged = base.RC, base.Status, base.Reason, base.Output, true
		r.Generation = base.Generation
		c.conclude(o, r)
		c.broadcast(Finished{Record: r})
	}
}
