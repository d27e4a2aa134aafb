package state

import (
	"slices"
	"strings"

	"linuxha/pengine/internal/value"
	"linuxha/pengine/internal/xmldoc"
)

// histOp is one recorded operation, read once.
type histOp struct {
	xml        *xmldoc.Elem
	id, task   string
	key        string
	call       int
	lastChange int64 // -1 if not recorded
	status     int   // -2 if not recorded
	rc, target int
	interval   int64
	statusText string
	rcText     string
	onNode     string
	hasOnNode  bool
}

func readHistOp(x *xmldoc.Elem) *histOp {
	h := &histOp{}
	h.read(x)
	return h
}

func (h *histOp) read(x *xmldoc.Elem) {
	*h = histOp{xml: x, call: -1, lastChange: -1, status: -2, target: -1}
	for name, v := range x.Attrs() {
		switch name {
		case "id":
			h.id = v
		case "operation":
			h.task = v
		case "operation_key":
			h.key = v
		case "call-id":
			h.call = value.Int(v)
		case "last-rc-change":
			if t, ok := value.Epoch(v); ok {
				h.lastChange = t
			}
		case "op-status":
			h.status, h.statusText = value.Int(v), v
		case "rc-code":
			h.rc, h.rcText = value.Int(v), v
		case "interval":
			h.interval = value.HistoryInterval(v)
		case "on_node":
			h.onNode, h.hasOnNode = v, true
		case "transition-key":
			if k, ok := parseTransitionKey(v); ok {
				h.target = k.rc
			}
		}
	}
	if h.key == "" {
		h.key = h.id
	}
}

type transitionKey struct {
	transition, rc int
	uuid           string
}

// parseTransitionKey reads ACTION:TRANSITION:TARGETRC:UUID (state 1.10).
func parseTransitionKey(s string) (transitionKey, bool) {
	var number [3]int64
	for i := range number {
		part, rest, ok := strings.Cut(s, ":")
		if !ok {
			return transitionKey{}, false
		}
		if number[i], ok = value.LeadingInt(part); !ok {
			return transitionKey{}, false
		}
		s = rest
	}
	if s == "" {
		return transitionKey{}, false
	}
	if len(s) > 36 {
		s = s[:36]
	}
	return transitionKey{int(number[1]), int(number[2]), s}, true
}

// parseMagic reads STATUS:RC;KEY.
func parseMagic(s string) (transitionKey, bool) {
	_, key, ok := strings.Cut(s, ";")
	if !ok {
		return transitionKey{}, false
	}
	return parseTransitionKey(key)
}

// targetRC is the result an operation was expected to have, -1 if unknown.
func targetRC(x *xmldoc.Elem) int {
	if k, ok := parseTransitionKey(x.Attr("transition-key")); ok {
		return k.rc
	}
	return -1
}

// compareOps orders two entries: negative if a is older, positive if it is
// newer, 0 if they are the same or it cannot be told (state 9.4).
func compareOps(a, b *histOp, sameNode bool) int {
	if a.hasOnNode && b.hasOnNode {
		sameNode = strings.EqualFold(a.onNode, b.onNode)
	}
	if sameNode && a.id == b.id {
		return 0
	}
	switch {
	case a.call == -1 && b.call == -1:
		return 0
	case sameNode && a.call >= 0 && a.call < b.call:
		return -1
	case sameNode && b.call >= 0 && a.call > b.call:
		return 1
	case a.call >= 0 && b.call >= 0 && (!sameNode || a.call == b.call):
		if a.lastChange >= 0 && a.lastChange < b.lastChange {
			return -1
		}
		if b.lastChange >= 0 && a.lastChange > b.lastChange {
			return 1
		}
		return 0
	}
	ka, ok1 := parseMagic(a.xml.Attr("transition-magic"))
	kb, ok2 := parseMagic(b.xml.Attr("transition-magic"))
	if !ok1 || !ok2 {
		return 0
	}
	ta, tb := ka.transition, kb.transition
	switch {
	case !strings.EqualFold(ka.uuid, kb.uuid) || ta == tb:
		if b.call == -1 {
			return -1
		}
		if a.call == -1 {
			return 1
		}
		return 0
	case ta >= 0 && ta < tb || tb == -1:
		return -1
	case tb >= 0 && ta > tb || ta == -1:
		return 1
	}
	return 0
}

// histReader is the memory in which the entries of one lrm_resource after the
// other are read: most are looked at once and forgotten.
type histReader struct {
	ops  []histOp
	list []*histOp
}

// sortedOps reads and sorts the entries of an lrm_resource (state 9.2). They
// are valid until the next call.
func (r *histReader) sortedOps(l *xmldoc.Elem) []*histOp {
	r.ops, r.list = r.ops[:0], r.list[:0]
	for _, x := range l.Kids {
		if x.Name == "lrm_rsc_op" {
			r.ops = append(r.ops, histOp{xml: x})
		}
	}
	for i := len(r.ops) - 1; i >= 0; i-- {
		r.ops[i].read(r.ops[i].xml)
		r.list = append(r.list, &r.ops[i])
	}
	value.MergeSort(r.list, func(a, b *histOp) int { return compareOps(a, b, true) })
	return r.list
}

// activeRange finds the stop and start index of sorted entries (state 9.7).
func activeRange(ops []*histOp) (start, stop int) {
	start, stop = -1, -1
	implied, monitor := -1, -1
	for i, h := range ops {
		switch strings.ToLower(h.task) {
		case "stop":
			if h.statusText == "0" {
				stop = i
			}
		case "start", "migrate_from":
			start = i
		case "monitor":
			if monitor <= stop && (h.rcText == "0" || h.rcText == "8") {
				monitor = i
			}
		case "promote", "demote":
			implied = i
		}
	}
	if start == -1 {
		if implied != -1 {
			start = implied
		} else {
			start = monitor
		}
	}
	return start, stop
}

// lookupHistory finds the resource that an id in history names.
func (c *Cluster) lookupHistory(id string) *Resource {
	if r := c.rscByID[id]; r != nil {
		return r
	}
	if r := c.histByName[id]; r == nil || r.HistName == id {
		return r
	}
	var found *Resource // the one noted has lost the name since
	Each(c.Resources, func(r *Resource) {
		if found == nil && r.HistName == id {
			found = r
		}
	})
	c.histByName[id] = found
	return found
}

// Lookup finds the resource that an id in a constraint names: by its own id,
// or by the name history has for it, which then means its top (assignment 2.1.3).
func (c *Cluster) Lookup(id string) *Resource {
	r := c.lookupHistory(id)
	if r != nil && !strings.EqualFold(r.ID, id) {
		return r.Top()
	}
	return r
}

// findHistory finds the resource that an lrm_resource is about (state 9.3).
func (c *Cluster) findHistory(n *Node, id string) *Resource {
	r := c.lookupHistory(id)
	if r == nil {
		if zero := c.rscByID[value.BaseName(id)+":0"]; zero != nil && !zero.Unique {
			r = zero
		}
	} else if r.Kind != Primitive {
		return nil
	}
	if r == nil {
		return nil
	}
	if top := r.Top(); top.IsAnonymousClone() {
		if r.Bundled() {
			r = nil
			for _, rep := range top.Parent.Bundle.Replica {
				if rep.Node == n {
					r = rep.Instance
				}
			}
		} else {
			r = c.instanceFor(top, n, value.BaseName(id))
		}
	}
	if r != nil && !strings.EqualFold(id, r.ID) && !strings.EqualFold(id, r.HistName) {
		r.HistName = id
		if old := c.histByName[id]; old == nil || old.HistName != id {
			c.histByName[id] = r
		}
	}
	return r
}

// memberNamed is the primitive in an instance that goes by id.
func memberNamed(inst *Resource, id string) *Resource {
	if inst.ID == id || inst.XMLID == id {
		return inst
	}
	for _, k := range inst.Children {
		if m := memberNamed(k, id); m != nil {
			return m
		}
	}
	return nil
}

func activeOrPending(r *Resource) []*Node {
	var all []*Node
	EachLeaf([]*Resource{r}, func(p *Resource) {
		all = append(all, p.Active...)
		if p.PendingNode != nil {
			all = append(all, p.PendingNode)
		}
	})
	return all
}

// instanceFor chooses the instance of an anonymous clone that history on a
// node belongs to (state 9.3).
func (c *Cluster) instanceFor(clone *Resource, n *Node, base string) *Resource {
	var chosen, free *Resource
	skip := false
	c.Spend(WorkSearches, len(clone.Children))
	for _, inst := range clone.Children {
		locations := activeOrPending(inst)
		m := memberNamed(inst, base)
		if len(locations) > 0 {
			if locations[0] != n {
				continue
			}
			if m != nil && len(m.Active) > 0 {
				skip = true
				continue
			}
			chosen = m
			break
		}
		if !skip && free == nil && !inst.Blocked && m != nil && (m.PendingNode == nil || m.PendingNode == n) {
			free = m
		}
	}
	if chosen == nil && !skip {
		chosen = free
	}
	if chosen != nil && !chosen.NeedsFencing && (!n.Online || n.Unclean) && !n.IsGuest() && !c.Universal(clone) {
		chosen = nil
	}
	if chosen == nil {
		inst, err := c.newInstance(clone)
		if err != nil {
			c.Notef(Error, err.Error())
			return nil
		}
		chosen = memberNamed(inst, base)
	}
	return chosen
}

// makeOrphan makes a resource that only history knows (state 9.3).
func (c *Cluster) makeOrphan(l *xmldoc.Elem) *Resource {
	x := xmldoc.New("primitive")
	for name, v := range l.Attrs() {
		x.Set(name, v)
	}
	x.Unset("template")
	r, err := c.unpackResource(x, nil, -1)
	if err != nil {
		c.Notef(Error, err.Error())
		return nil
	}
	r.Orphan = true
	c.Resources = append(c.Resources, r)
	if r.IsRemoteConn {
		n := c.NodeByName(r.ID)
		if n == nil {
			n = c.newNode(r.ID, r.ID, RemoteNode, 0)
		}
		c.linkRemote(r)
		n.ShuttingDown = true
	}
	if _, ok := l.Get("container"); ok {
		r.OrphanFiller = true
	}
	if !c.Opts.StopOrphans {
		r.Managed = false
	} else {
		c.AddScoreAll(r, -Infinity, Cause{Kind: WhyOrphan})
	}
	return r
}

// resourceHistory reads what happened to one resource on one node (state 9.2).
func (c *Cluster) resourceHistory(n *Node, l *xmldoc.Elem) *Resource {
	id, ok := l.Get("id")
	if !ok {
		return nil
	}
	ops := c.hist.sortedOps(l)
	if len(ops) == 0 && !c.Opts.ShutdownLock {
		return nil
	}
	r := c.findHistory(n, id)
	if r == nil {
		if len(ops) == 0 {
			return nil
		}
		if r = c.makeOrphan(l); r == nil {
			return nil
		}
	}
	if c.Opts.ShutdownLock {
		c.historyLock(r, n, l)
	}
	old := r.Role
	r.Role = Unknown
	h := &rscHistory{c: c, r: r, n: n}
	for _, op := range ops {
		h.evaluate(op)
	}
	c.activeRecurring(r, n, ops)
	h.conclude()
	if r.Orphan && slices.Contains(r.Active, n) {
		c.Why.Log(Warning, "process_rsc_state", "Detected active orphan "+r.ID+" running on "+n.Name)
	}
	if req := c.requestedRole(r); req != Unknown {
		if r.NextRole == Unknown || req < r.NextRole {
			r.NextRole = req
		}
	}
	if old > r.Role {
		r.Role = old
	}
	return r
}

func (c *Cluster) historyLock(r *Resource, n *Node, l *xmldoc.Elem) {
	v, ok := l.Get("shutdown-lock")
	if !ok {
		return
	}
	t, ok := value.Epoch(v)
	if !ok || t == 0 {
		return
	}
	if limit := c.Opts.ShutdownLockLimit; limit > 0 && c.Later(t+limit) {
		c.Op(r, "lrm_delete", n, false)
		return
	}
	r.LockNode, r.LockTime = n, t
}

// activeRecurring notes the recurring operations that still run (state 9.7).
func (c *Cluster) activeRecurring(r *Resource, n *Node, ops []*histOp) {
	if !n.Online {
		return
	}
	start, stop := activeRange(ops)
	for i, h := range ops {
		if start < stop && i <= stop || i < start || h.interval == 0 || h.statusText == "-1" {
			continue
		}
		c.Request(r, Key(r.ID, h.task, h.interval), h.task, n, true)
	}
}
