package request

import (
	"fmt"
	"maps"
	"slices"

	"linuxha/stonithd/device"
	"linuxha/stonithd/history"
)

// answered is the last answer this node gave to another owner.
type answered struct {
	Execute
	Executed
}

// presumedFailed is the end of an operation whose fencer died (execution 42.3).
var presumedFailed = device.Result{
	RC: 110, Status: device.StatusInvalid, Reason: "Initiated by earlier fencer process and presumed failed",
}

// install takes a new view in.
func (c *Core) install(ev ViewInstalled) {
	if c.node != ev.Node {
		c.node = ev.Node
		c.devices.SetNode(ev.Node)
	}
	c.view = ev.Number
	old := c.peers
	if len(old) == 0 {
		old, c.before = c.before, nil
	}
	c.peers, c.ids = maps.Clone(ev.Peers), maps.Clone(ev.IDs)
	for n, g := range ev.Generations {
		c.lives[n] = max(c.lives[n], g)
	}
	if _, in := c.peers[c.node]; !in {
		c.peers, c.before = map[string]uint64{}, old // a view from before our entry: not attached yet
		return
	}
	var left, entered []string
	for _, p := range slices.Sorted(maps.Keys(old)) {
		if born, in := c.peers[p]; !in || born != old[p] {
			left = append(left, p)
		}
	}
	for _, p := range slices.Sorted(maps.Keys(c.peers)) {
		if born, in := old[p]; !in || born != c.peers[p] {
			entered = append(entered, p)
		}
	}
	for _, p := range left {
		c.lose(p)
	}
	c.orphans(left)
	for _, id := range slices.Sorted(maps.Keys(c.ops)) {
		if o := c.ops[id]; o != nil && slices.Contains(left, o.relayedTo) {
			if _, begun := c.history.Get(id); !begun {
				c.relay(o) // else record does, once the first attempt has surely ended
			}
		}
	}
	c.introduce(old, entered)
	waiting := c.waiting
	c.waiting = nil
	for _, w := range waiting {
		c.asked(w.Request)
	}
	early := c.early
	c.early = nil
	for _, m := range early {
		c.hear(m)
	}
}

// lose: a fencer is gone; own operations stop waiting for it.
func (c *Core) lose(peer string) {
	for _, id := range slices.Sorted(maps.Keys(c.ops)) {
		o := c.ops[id]
		if o == nil || o.awaited == nil {
			continue
		}
		delete(o.awaited, peer)
		delete(o.offers, peer)
		if o.attempt != nil && o.attempt.reset && o.attempt.peer == peer {
			continue // as expected; but only time tells that it was reset
		}
		if o.attempt != nil && o.attempt.peer == peer {
			c.lostAttempt(o, device.Result{
				RC: 1, Status: device.StatusTimeout,
				Reason: fmt.Sprintf("Node %s was lost while it fenced %s", peer, o.Target),
			})
			continue
		}
		c.advance(o)
	}
}

// orphans ends the operations of lost owners: as failed, unless their
// executioner lives and will tell.
func (c *Core) orphans(left []string) {
	for _, r := range c.history.List("") {
		if o := c.ops[r.ID]; o != nil && o.relayedTo == "" {
			continue
		}
		if !r.State.Pending() || !slices.Contains(left, r.Owner) && !c.orphaned[r.ID] {
			continue
		}
		c.orphaned[r.ID] = true
		if x, mine := c.executions[r.ID]; mine && x.Owner == r.Owner {
			continue // reply will end it
		}
		if a, mine := c.answered[r.ID]; mine {
			c.finishOrphan(a.Execute, a.Executed.Device, a.Result)
			continue
		}
		if r.State == history.Executing && r.Executioner != c.node && c.active(r.Executioner) && !slices.Contains(left, r.Executioner) {
			continue
		}
		c.presumeFailed(r)
	}
}

func (c *Core) presumeFailed(r history.Record) {
	r.Executioner = ""
	c.close(&r, presumedFailed)
	c.record(r)
}

// introduce gives newcomers the history: one of those who were here before
// tells what has ended, each newcomer tells its own, and every owner tells its
// operations under way, whose ends it will tell as well (execution 42.3).
func (c *Core) introduce(old map[string]uint64, entered []string) {
	if len(entered) == 0 {
		return
	}
	var ended, mine []history.Record
	for _, r := range c.history.List("") {
		if !r.State.Pending() {
			ended = append(ended, r)
		} else if o := c.ops[r.ID]; o != nil && o.relayedTo == "" {
			mine = append(mine, r)
		}
	}
	stayed := slices.DeleteFunc(slices.Sorted(maps.Keys(old)), func(p string) bool {
		return !c.active(p) || slices.Contains(entered, p)
	})
	if len(ended) > 0 && (len(stayed) == 0 || stayed[0] == c.node) {
		c.broadcast(Sync{Records: ended, Whole: true})
	}
	if len(mine) > 0 {
		c.broadcast(Sync{Records: mine})
	}
}

func (c *Core) synced(from string, m Sync) {
	if from == c.node {
		return
	}
	told := slices.DeleteFunc(slices.Clone(m.Records), func(r history.Record) bool {
		return r.State.Pending() && r.Owner != from
	})
	for _, r := range told {
		if mine, known := c.history.Get(r.ID); known && mine.State.Pending() && !r.State.Pending() {
			c.finished(r) // what was open here has ended: that is news
		}
	}
	missing := slices.DeleteFunc(c.history.Merge(told, m.Whole), func(r history.Record) bool { return r.State.Pending() })
	if m.Whole && len(missing) > 0 {
		c.broadcast(Sync{Records: missing})
	}
}

// detach: without messaging nothing can be known any more.
func (c *Core) detach() {
	if len(c.peers) > 0 {
		c.before = c.peers
	}
	c.peers, c.early = map[string]uint64{}, nil
	for _, id := range slices.Sorted(maps.Keys(c.ops)) {
		if o := c.ops[id]; o != nil {
			r := o.record(c.node)
			c.close(&r, device.Result{RC: 1, Status: device.StatusNotConnected, Reason: reasonDetached})
			c.conclude(o, r)
		}
	}
}

// confirm records an administrator's word (execution 44.1).
func (c *Core) confirm(r Request) {
	rec := history.Record{
		ID: r.ID, Target: r.Target, Action: "off", Owner: c.node, Origin: c.node, Client: r.Client,
		Executioner: "a human", State: history.Completed, Started: c.now, Completed: c.now,
		Generation: max(r.Generation, c.life(r.Target)),
	}
	c.out.Answer = append(c.out.Answer, Answer{ID: r.ID, Record: rec})
	c.record(rec)
	c.broadcast(Finished{Record: rec})
}

// finished hears the end of an operation from another fencer, or our own word.
func (c *Core) finished(r history.Record) {
	if o := c.ops[r.ID]; o != nil && !(o.relayedTo != "" && r.Reason == presumedFailed.Reason) {
		if r.Owner != c.node || r.State == history.Completed {
			c.conclude(o, r)
		}
		return
	}
	c.record(r)
}

// record stores an end and tells those who watch, once per operation; a
// success after a presumed failure is news.
func (c *Core) record(r history.Record) {
	if old, known := c.history.Get(r.ID); known && !old.State.Pending() &&
		!(old.State == history.Failed && r.State == history.Completed) {
		return
	}
	c.history.Put(r)
	delete(c.answered, r.ID)
	delete(c.orphaned, r.ID)
	c.out.Publish = append(c.out.Publish, r)
	text := fmt.Sprintf("Operation '%s' targeting %s by %s for %s@%s%s: %s | id=%s",
		r.Action, r.Target, orNobody(r.Executioner), r.Client, r.Origin, mergedMark(r), outcome(r), r.ID)
	if r.State == history.Failed && r.Owner == c.node {
		c.complain("%s", text)
	} else {
		c.note("%s", text)
	}
	if r.State == history.Completed && r.Action != "on" && same(r.Target, c.node) && r.Executioner != "a human" {
		c.complain("We were allegedly just fenced by %s for %s!", r.Executioner, r.Origin)
	}
	c.finishDuplicates(r)
	if o := c.ops[r.ID]; o != nil && o.relayedTo != "" && r.Reason == presumedFailed.Reason {
		c.relay(o)
	}
}

func orNobody(s string) string {
	if s == "" {
		return "<no-one>"
	}
	return s
}

func mergedMark(r history.Record) string {
	if r.Merged {
		return " (merged)"
	}
	return ""
}

func outcome(r history.Record) string {
	if r.State == history.Completed {
		return "OK (complete)"
	}
	text := fmt.Sprintf("Error occurred (%s", device.Status(r.Status).Text())
	if r.Reason != "" {
		text += ": " + r.Reason
	}
	return text + ")"
}
