package request

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"linuxha/stonithd/device"
	"linuxha/stonithd/history"
	"linuxha/stonithd/topology"
)

// op is an operation that this fencer owns, or a request that it relayed.
type op struct {
	Request
	relayedTo string // the fencer that owns it instead
	relays    int
	mergedTo  string // the operation whose end is also this one's

	started  time.Time
	awaited  map[string]bool // fencers that have not answered the query
	offers   map[string][]device.Offer
	queryBy  time.Time // zero once it has passed
	total    time.Duration
	totalBy  time.Time
	levels   [][]string
	tried    []topology.Outcome
	usedBy   map[attemptKey]bool // who had its turn with what
	extra    bool                // past the levels: unfencing devices outside them
	attempt  *attempt
	attempts int
	last     device.Result
	lastPeer string

	resetFailed bool // the target said that it cannot reset itself
}

// Reasons that clients see (execution 37.4 to 38.3).
const (
	reasonNoPeers    = "No capable peers replied to device query within timeout"
	reasonAllFailed  = "All nodes failed, or are unable, to fence target"
	reasonTotal      = "Fencing did not complete within a total timeout based on the configured timeout and retries for any devices attempted"
	reasonPeerSilent = "Peer did not return fence result within timeout"
	reasonDetached   = "Connection to the cluster's messaging layer was lost"
	reasonNotMember  = "This node is not a member of the cluster: is heartbeatd running?"
)

// asked accepts a client's request (execution 37.2).
func (c *Core) asked(r Request) {
	if len(c.peers) == 0 {
		c.waiting = append(c.waiting, waiting{r, c.now.Add(r.Timeout)})
		return
	}
	r.Origin = c.node
	if done, ok := c.recent(r); ok {
		c.note("Target %s was fenced (%s) less than %ds ago by %s on behalf of %s",
			r.Target, r.Action, int(r.Tolerance.Seconds()), done.Executioner, done.Client)
		c.out.Answer = append(c.out.Answer, Answer{ID: r.ID, Record: done})
		return
	}
	if same(r.Target, c.node) && len(c.peers) > 1 && !r.List && r.Action != "on" && r.Device == "" {
		c.relay(&op{Request: r, started: c.now})
		return
	}
	if len(c.peers) == 1 {
		r.AllowSelf = true // nobody else can
	}
	c.own(r)
}

func (c *Core) recent(r Request) (history.Record, bool) {
	done, ok := c.history.LastSuccess(r.Target, r.Action)
	return done, ok && r.Tolerance > 0 && c.now.Sub(done.Completed) <= r.Tolerance && done.Generation >= max(r.Generation, c.life(r.Target))
}

// relay lets another fencer own the fencing of this very node.
func (c *Core) relay(o *op) {
	if o.relays > 0 { // the operation that the lost fencer owned has failed: this is another
		delete(c.ops, o.ID)
		if o.answer == "" {
			o.answer = o.ID
		}
		o.ID = fmt.Sprintf("%s.%d", o.answer, o.relays)
	}
	o.relays++
	others := slices.DeleteFunc(c.activePeers(), func(p string) bool { return p == c.node })
	if len(others) == 0 {
		c.note("Will handle own fencing because no peer can")
		o.AllowSelf = true
		c.own(o.Request)
		return
	}
	o.relayedTo = others[0]
	c.ops[o.ID] = o
	c.note("Relaying own fencing to %s | id=%s", o.relayedTo, short(o.ID))
	c.send(o.relayedTo, Relay{Request: o.Request})
}

func (c *Core) relayed(from string, r Request) {
	if _, known := c.ops[r.ID]; known {
		return
	}
	if done, ok := c.recent(r); ok {
		done.ID = r.ID
		c.send(from, Finished{Record: done})
		return
	}
	c.own(r)
}

func short(id string) string { return id[:min(8, len(id))] }

// own takes a request on: merge it or ask all fencers.
func (c *Core) own(r Request) {
	r.Generation = max(r.Generation, c.life(r.Target))
	o := &op{Request: r, started: c.now, offers: map[string][]device.Offer{}, usedBy: map[attemptKey]bool{}}
	c.ops[r.ID] = o
	if !r.List {
		c.history.Put(o.record(c.node))
		if base, ok := c.mergeable(r); ok {
			c.mergeInto(o, base)
			return
		}
	}
	c.query(o)
}

func (c *Core) query(o *op) {
	o.mergedTo = ""
	if o.Device == "" && !o.List {
		o.levels = c.table.Lookup(o.Target, func(name string) string { return c.attrs[o.Target][name] })
	}
	o.awaited = map[string]bool{}
	to := ""
	for p := range c.peers {
		o.awaited[p] = true
	}
	if o.Device != "" { // a device of this node, whoever else has one of that name
		to, o.awaited = c.node, map[string]bool{c.node: true}
	}
	o.queryBy = c.now.Add(max(plus20(o.Timeout), time.Second))
	if !o.List {
		c.note("Requesting peer fencing (%s) targeting %s | id=%s state=querying base_timeout=%d",
			o.Action, o.Target, short(o.ID), int(o.Timeout.Seconds()))
	}
	c.send(to, Query{Request: o.Request, Owner: c.node, Started: o.started})
}

func (o *op) record(owner string) history.Record {
	return history.Record{
		ID: o.ID, Target: o.Target, Action: o.Action, Owner: owner, Origin: o.Origin, Client: o.Client,
		State: history.Querying, Started: o.started, Generation: o.Generation,
	}
}

func (c *Core) offered(from string, m Offers) {
	o := c.ops[m.ID]
	if o == nil || o.awaited == nil {
		return
	}
	delete(o.awaited, from)
	if c.active(from) {
		o.offers[from] = m.Offers
	}
	c.advance(o)
}

// allIn reports whether waiting for more answers is pointless. The target's
// own answer counts only if nobody else can do it.
func (c *Core) allIn(o *op) bool {
	if o.queryBy.IsZero() || len(o.awaited) == 0 {
		return true
	}
	if len(o.awaited) > 1 {
		return false
	}
	for p := range o.awaited {
		if !same(p, o.Target) {
			return false
		}
	}
	for peer, offers := range o.offers {
		if !same(peer, o.Target) && len(offers) > 0 {
			return o.attempts > 0 || o.levels == nil || c.covered(o)
		}
	}
	return false
}

// covered: every device of every level is offered by somebody suitable.
func (c *Core) covered(o *op) bool {
	for _, level := range o.levels {
		for _, dev := range level {
			if !slices.ContainsFunc(c.sortedPeers(o), func(p string) bool {
				return !(same(p, o.Target) && o.Action != "on") &&
					slices.ContainsFunc(o.offers[p], func(f device.Offer) bool { return f.Device == dev })
			}) {
				return false
			}
		}
	}
	return true
}

// ready: is enough known to begin (execution 37.4)?
func (c *Core) ready(o *op) bool {
	if c.allIn(o) {
		return true
	}
	if o.levels != nil {
		return c.covered(o)
	}
	for peer, offers := range o.offers {
		if same(peer, o.Target) {
			continue
		}
		for _, f := range offers {
			if f.Verified && suitable(f, o.Action, topology.PhaseWhole) {
				return true
			}
		}
	}
	return false
}

// advance does what can be done for the operation now.
func (c *Core) advance(o *op) {
	switch {
	case o.attempt != nil || o.mergedTo != "" || o.relayedTo != "":
		return
	case o.List:
		if c.queryEnded(o) {
			c.answerList(o)
		}
		return
	case o.attempts == 0 && len(o.tried) == 0 && !c.ready(o):
		return
	case o.levels != nil:
		c.advanceLevels(o)
	default:
		c.advancePlain(o)
	}
}

func (c *Core) queryEnded(o *op) bool { return o.queryBy.IsZero() || len(o.awaited) == 0 }

func (c *Core) answerList(o *op) {
	found := map[string]bool{}
	for _, offers := range o.offers {
		for _, f := range offers {
			found[f.Device] = true
		}
	}
	delete(c.ops, o.ID)
	c.out.Answer = append(c.out.Answer, Answer{ID: o.ID, Devices: slices.Sorted(maps.Keys(found))})
}

// advanceLevels follows the topology, then the unfencing devices outside it.
func (c *Core) advanceLevels(o *op) {
	for {
		at, verdict := topology.Next(o.levels, o.Action, o.tried, func(dev string) bool { return c.skipOn(dev) })
		if verdict != topology.Open {
			c.beyondLevels(o, verdict)
			return
		}
		peer, wait := c.choose(o, at.Device, at.Phase)
		if peer == "" && wait {
			return
		}
		if peer != "" {
			c.request(o, peer, at)
			return
		}
		if at.Device == WatchdogDevice && at.Phase != topology.PhaseOn && c.awaitReset(o, at) {
			return
		}
		if at.Phase != topology.PhaseOn {
			o.last, o.lastPeer = device.Result{
				RC: 1, Status: device.StatusNoFenceDevice,
				Reason: fmt.Sprintf("No node can use device '%s' for target '%s'", at.Device, o.Target),
			}, ""
		}
		o.tried = append(o.tried, topology.Outcome{Level: at.Level, Device: at.Device, Phase: at.Phase, OK: at.Phase == topology.PhaseOn})
	}
}

// skipOn says, by this node's own registration, which devices have no part in
// the second half of a remapped reboot (execution 36.4).
func (c *Core) skipOn(dev string) bool {
	f := c.devices.Facts(dev)
	return f.Known && (f.Automatic || f.RebootIsOff || !f.SupportsOn)
}

// beyondLevels: an unfencing needs every device that requires it, wherever it
// is (execution 41); everything else ends with the levels.
func (c *Core) beyondLevels(o *op, verdict topology.Verdict) {
	if o.Action == "on" {
		for _, dev := range c.requiredDevices(o) {
			if slices.ContainsFunc(o.tried, func(t topology.Outcome) bool { return t.Device == dev }) {
				continue
			}
			at := topology.Attempt{Level: len(o.levels), Device: dev}
			if peer, _ := c.choose(o, dev, topology.PhaseWhole); peer != "" {
				o.extra = true
				c.request(o, peer, at)
				return
			}
		}
		if o.extra {
			verdict = topology.Succeeded
			for _, t := range o.tried {
				if t.Level == len(o.levels) && !t.OK {
					verdict = topology.Exhausted
				}
			}
		}
	}
	if verdict == topology.Succeeded {
		c.end(o, device.Result{Output: o.last.Output})
		return
	}
	if o.last.OK() || o.last.Status == 0 && o.last.RC == 0 {
		o.last = device.Result{RC: 1, Status: device.StatusNoFenceDevice}
	}
	c.end(o, o.last)
}

func (c *Core) requiredDevices(o *op) []string {
	found := map[string]bool{}
	for _, offers := range o.offers {
		for _, f := range offers {
			if f.OnRequired {
				found[f.Device] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// advancePlain gives one peer after the other its turn, with all its devices.
func (c *Core) advancePlain(o *op) {
	peer, wait := c.choose(o, o.Device, topology.PhaseWhole)
	switch {
	case peer != "":
		c.request(o, peer, topology.Attempt{Device: o.Device})
	case wait:
	case c.awaitReset(o, topology.Attempt{}):
	case o.attempts == 0 && len(o.awaited) > 0 && len(o.offers) == 0:
		c.end(o, device.Result{RC: 1, Status: device.StatusTimeout, Reason: reasonNoPeers})
	case o.attempts == 0:
		c.end(o, device.Result{
			RC: 1, Status: device.StatusNoFenceDevice,
			Reason: fmt.Sprintf("No device configured for target '%s'", o.Target),
		})
	case o.queryBy.IsZero():
		c.end(o, device.Result{RC: 1, Status: device.StatusTimeout, Reason: reasonAllFailed})
	default:
		c.end(o, o.last)
	}
}

// sortedPeers: those with most devices first (execution 37.4).
func (c *Core) sortedPeers(o *op) []string {
	peers := slices.Collect(maps.Keys(o.offers))
	slices.SortFunc(peers, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(o.offers[b]), len(o.offers[a])), cmp.Compare(a, b))
	})
	return peers
}

// waiting is a request that came before this fencer was a member.
type waiting struct {
	Request
	by time.Time
}

// expire acts on every limit that has passed.
func (c *Core) expire() {
	for _, id := range slices.Sorted(maps.Keys(c.ops)) {
		if o := c.ops[id]; o != nil && o.mergedTo == "" && o.relayedTo == "" {
			c.expireOp(o)
		}
	}
	c.waiting = slices.DeleteFunc(c.waiting, func(w waiting) bool {
		if c.now.Before(w.by) {
			return false
		}
		r := (&op{Request: w.Request, started: c.now}).record(c.node)
		c.close(&r, device.Result{RC: 1, Status: device.StatusNotConnected, Reason: reasonNotMember})
		c.out.Answer = append(c.out.Answer, Answer{ID: w.ID, Result: ResultOf(r), Record: r})
		return true
	})
}

// wake asks to be woken at the next limit.
func (c *Core) wake() {
	for _, w := range c.waiting {
		c.wakeAt(w.by)
	}
	for _, o := range c.ops {
		if o.mergedTo != "" || o.relayedTo != "" {
			continue
		}
		c.wakeAt(o.queryBy)
		c.wakeAt(o.totalBy)
		if o.attempt != nil {
			c.wakeAt(o.attempt.by)
		}
	}
}

func (c *Core) expireOp(o *op) {
	if o.attempt != nil && o.attempt.reset && !c.now.Before(o.attempt.by) {
		c.resetDue(o)
		return
	}
	if !o.totalBy.IsZero() && !c.now.Before(o.totalBy) {
		if o.attempt != nil && o.attempt.at.Phase == topology.PhaseOn {
			c.end(o, device.Result{})
			return
		}
		c.end(o, device.Result{RC: 1, Status: device.StatusTimeout, Reason: reasonTotal})
		return
	}
	if !o.queryBy.IsZero() && !c.now.Before(o.queryBy) {
		o.queryBy = time.Time{}
		c.advance(o)
	}
	if o.attempt != nil && !c.now.Before(o.attempt.by) {
		c.note("%s: %s gave no result for %s", reasonPeerSilent, o.attempt.peer, o.Target)
		c.lostAttempt(o, device.Result{RC: 1, Status: device.StatusTimeout, Reason: reasonPeerSilent})
	}
}

// end finishes an operation with a result, decided by the last peer.
func (c *Core) end(o *op, res device.Result) {
	dev := ""
	if n := len(o.tried); n > 0 && res.OK() {
		dev = o.tried[n-1].Device
	}
	c.endBy(o, res, o.lastPeer, dev)
}

func (c *Core) endBy(o *op, res device.Result, peer, dev string) {
	r := o.record(c.node)
	if res.Status != device.StatusNoFenceDevice && res.Reason != reasonTotal {
		r.Executioner, r.Device = peer, dev
	}
	c.close(&r, res)
	c.conclude(o, r)
	c.broadcast(Finished{Record: r})
}

// close fills in the end of a record.
func (c *Core) close(r *history.Record, res device.Result) {
	r.State, r.Completed = history.Failed, c.now
	if res.OK() {
		r.State = history.Completed
	}
	r.RC, r.Status, r.Reason, r.Output = res.RC, int32(res.Status), res.Reason, res.Output
}

// conclude records the end of an own operation and answers its client.
func (c *Core) conclude(o *op, r history.Record) {
	delete(c.ops, o.ID)
	id := o.ID
	if o.answer != "" {
		id = o.answer
	}
	c.out.Answer = append(c.out.Answer, Answer{ID: id, Result: ResultOf(r), Record: r})
	c.record(r)
}

// ResultOf is the result that a finished record carries.
func ResultOf(r history.Record) device.Result {
	return device.Result{RC: r.RC, Status: device.Status(r.Status), Reason: r.Reason, Output: r.Output}
}
