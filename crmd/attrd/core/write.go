package core

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Write is one change of the CIB's status section.
type Write struct {
	ID    uint64   // comes back in Wrote
	User  string   // on whose behalf; empty: our own
	Clear []string // ids of node_states whose transient_attributes go first
	Pairs []Pair
}

// Pair is one nvpair to set, or with an empty value to delete.
type Pair struct {
	NodeID, Node, SetID, PairID, Name, Value string
	Remote                                   bool
}

// writeBook is what the writer knows the CIB to lack.
type writeBook struct {
	dirty    map[pairKey]*dirt
	readyAt  map[string]time.Time // per attribute, with dampening
	clear    map[string]bool      // nodes
	inflight map[pairKey]uint64   // generation of what is being written
	cleared  []string             // nodes in the request under way
	busy     bool
	id       uint64 // of the request under way
	gen      uint64
	retryAt  time.Time
	syncs    []syncWait
}

type pairKey struct{ name, node string }

// dirt is an unwritten value.
type dirt struct {
	since uint64 // number of the first change that the CIB lacks
	gen   uint64 // grows with each reason to write it
}

type syncWait struct {
	node        string
	number, seq uint64
}

func newWriteBook() writeBook {
	return writeBook{
		dirty: map[pairKey]*dirt{}, readyAt: map[string]time.Time{}, clear: map[string]bool{}, inflight: map[pairKey]uint64{},
	}
}

func (w *writeBook) changed(name, node string, seq uint64, ready time.Time) {
	w.readyAt[name] = ready
	k := pairKey{name, node}
	w.gen++
	if d := w.dirty[k]; d != nil {
		d.gen = w.gen
		return
	}
	w.dirty[k] = &dirt{since: seq, gen: w.gen}
}

func (w *writeBook) due(name string, now time.Time) { w.readyAt[name] = now }

func (w *writeBook) forget(name, node string) { delete(w.dirty, pairKey{name, node}) }

// abandon gives the request under way up: what it was to do is still to do.
func (w *writeBook) abandon() {
	w.busy = false
	for _, node := range w.cleared {
		w.clear[node] = true
	}
	clear(w.inflight)
	w.cleared = nil
}

// retryPause is the time after a failed write of an attribute without dampening.
const retryPause = 2 * time.Second

// rewriteAll has everything written again, without delay.
func (c *Core) rewriteAll() {
	for name, a := range c.attrs {
		for node := range a.Values {
			c.w.changed(name, node, c.seq, c.now)
		}
	}
}

func (c *Core) rewrite(node string) {
	for name, a := range c.attrs {
		if _, ok := a.Values[node]; ok {
			c.w.changed(name, node, c.seq, c.now)
		}
	}
}

// write begins the next request to the CIB if one is due, acknowledges what
// is written, and asks to be woken for what is not due yet.
func (c *Core) write() {
	if !c.leads() {
		return
	}
	for k := range c.w.dirty { // private attributes never reach the CIB
		if a := c.attrs[k.name]; a == nil || a.Private {
			delete(c.w.dirty, k)
		}
	}
	if !c.w.busy && !c.now.Before(c.w.retryAt) {
		c.out.Write = c.compose()
	}
	c.acknowledge()
	if c.w.busy {
		return
	}
	for k := range c.w.dirty {
		if c.nodeID(k) == "" {
			continue
		}
		at := c.w.readyAt[k.name]
		if at.Before(c.w.retryAt) {
			at = c.w.retryAt
		}
		c.wakeAt(at)
	}
	if len(c.w.clear) > 0 {
		c.wakeAt(c.w.retryAt)
	}
}

func (c *Core) wakeAt(t time.Time) {
	if t.After(c.now) && (c.out.WakeAt.IsZero() || t.Before(c.out.WakeAt)) {
		c.out.WakeAt = t
	}
}

// nodeID is the id of the node's node_state; empty as long as it is unknown.
func (c *Core) nodeID(k pairKey) string {
	if id := c.ids[k.node]; id != "" {
		return id
	}
	if a := c.attrs[k.name]; a != nil && a.Values[k.node].Remote {
		return k.node
	}
	return ""
}

// compose takes all that is due for one user into one request.
func (c *Core) compose() *Write {
	w := &Write{}
	for _, node := range slices.Sorted(maps.Keys(c.w.clear)) {
		if id := c.ids[node]; id != "" {
			w.Clear = append(w.Clear, id)
			c.w.cleared = append(c.w.cleared, node)
		}
	}
	clear(c.w.clear)
	keys := slices.SortedFunc(maps.Keys(c.w.dirty), func(a, b pairKey) int {
		if n := strings.Compare(a.name, b.name); n != 0 {
			return n
		}
		return strings.Compare(a.node, b.node)
	})
	chosen := len(w.Clear) > 0 // that is nobody else's business
	for _, k := range keys {
		a := c.attrs[k.name]
		id := c.nodeID(k)
		if id == "" || c.now.Before(c.w.readyAt[k.name]) || chosen && a.User != w.User {
			continue
		}
		w.User, chosen = a.User, true
		set, pair := ids(a, id)
		w.Pairs = append(w.Pairs, Pair{
			NodeID: id, Node: k.node, SetID: set, PairID: pair, Name: k.name, Value: a.Values[k.node].Text,
			Remote: a.Values[k.node].Remote,
		})
		c.w.inflight[k] = c.w.dirty[k].gen
	}
	if len(w.Pairs) == 0 && len(w.Clear) == 0 {
		return nil
	}
	c.writes++
	c.w.busy, c.w.id, w.ID = true, c.writes, c.writes
	return w
}

var idText = strings.NewReplacer(":", ".", "#", ".")

// ids are the ids of the set and the nvpair in the CIB (crm 6.9).
func ids(a *Attribute, nodeID string) (set, pair string) {
	set = a.SetID
	if set == "" {
		set = "status-" + nodeID
	}
	pair = a.PairID
	if pair == "" {
		pair = PairID(set, a.Name)
	}
	return idText.Replace(set), idText.Replace(pair)
}

// PairID is the id that an nvpair gets where none was asked for.
func PairID(set, name string) string { return idText.Replace(set + "-" + name) }

// wrote takes the CIB's answer.
func (c *Core) wrote(ev Wrote) {
	if !c.w.busy || ev.ID != c.w.id {
		return // of an earlier time as writer
	}
	c.w.busy = false
	if ev.Denied {
		c.note("CIB update refused: %s", ev.Err)
	} else if ev.Err != "" {
		c.note("CIB update failed: %s (will retry)", ev.Err)
		pause := retryPause
		for k := range c.w.inflight {
			if a := c.attrs[k.name]; a != nil && a.Dampen > 0 {
				pause = min(pause, a.Dampen)
			}
		}
		c.w.retryAt = c.now.Add(pause)
		for _, node := range c.w.cleared {
			c.w.clear[node] = true
		}
	}
	if ev.Err == "" || ev.Denied {
		for k, gen := range c.w.inflight {
			if d := c.w.dirty[k]; d != nil && d.gen == gen {
				delete(c.w.dirty, k)
			}
		}
	}
	clear(c.w.inflight)
	c.w.cleared = nil
}

// acknowledge tells those who wait for it that their changes are in the CIB.
func (c *Core) acknowledge() {
	if len(c.w.syncs) == 0 {
		return
	}
	var oldest uint64
	for k, d := range c.w.dirty {
		if c.nodeID(k) == "" {
			continue // cannot be written before the node is known
		}
		if oldest == 0 || d.since < oldest {
			oldest = max(d.since, 1)
		}
	}
	c.w.syncs = slices.DeleteFunc(c.w.syncs, func(s syncWait) bool {
		if oldest != 0 && s.seq >= oldest {
			return false
		}
		if s.node == c.node {
			c.written(s.number)
		} else {
			c.send(s.node, Written{Number: s.number})
		}
		return true
	})
}
