package state

import (
	"linuxha/pengine/internal/value"
	"linuxha/pengine/internal/xmldoc"
)

// Migration history (state 9.10). All look-ups are unique searches: what
// appears twice is not found.

func (c *Cluster) lrmResources(id string, node string) []*xmldoc.Elem {
	var found []*xmldoc.Elem
	for _, s := range c.nodeStates(node) {
		for _, lrm := range s.Kids {
			if lrm.Name != "lrm" {
				continue
			}
			for rs := range lrm.Children("lrm_resources") {
				for r := range rs.Children("lrm_resource") {
					if r.ID() == id {
						found = append(found, r)
					}
				}
			}
		}
	}
	return found
}

// historyOf is the single lrm_resource of r on a node.
func (c *Cluster) historyOf(r *Resource, n *Node) *xmldoc.Elem {
	l := c.lrmResources(r.ID, n.Name)
	if len(l) != 1 {
		return nil
	}
	return l[0]
}

// onlyOp is the only entry of r on a node that matches.
func (c *Cluster) onlyOp(r *Resource, node string, match func(*xmldoc.Elem) bool) *xmldoc.Elem {
	var found *xmldoc.Elem
	for _, l := range c.lrmResources(r.ID, node) {
		for op := range l.Children("lrm_rsc_op") {
			if match(op) {
				if found != nil {
					return nil
				}
				found = op
			}
		}
	}
	return found
}

func resultOf(e *xmldoc.Elem, rcDefault, statusDefault int) (rc, status int) {
	rc, status = rcDefault, statusDefault
	if v, ok := e.Get("rc-code"); ok {
		rc = value.Int(v)
	}
	if v, ok := e.Get("op-status"); ok {
		status = value.Int(v)
	}
	return rc, status
}

func good(e *xmldoc.Elem) *xmldoc.Elem {
	if e == nil {
		return nil
	}
	if rc, status := resultOf(e, rcError, statusError); rc != rcOK || status != statusDone {
		return nil
	}
	return e
}

const rcError = 1

func (c *Cluster) migrateFrom(r *Resource, target, source string) *xmldoc.Elem {
	return c.onlyOp(r, target, func(e *xmldoc.Elem) bool {
		return e.Attr("operation") == "migrate_from" && e.Attr("migrate_source") == source
	})
}

func (c *Cluster) migrateTo(r *Resource, source, target string) *xmldoc.Elem {
	return c.onlyOp(r, source, func(e *xmldoc.Elem) bool {
		return e.Attr("operation") == "migrate_to" && e.Attr("migrate_target") == target
	})
}

// unknownByHistory says whether nothing but results still awaited is recorded
// of r on n: then an earlier migration says nothing about n either.
func (c *Cluster) unknownByHistory(r *Resource, n *Node) bool {
	for _, l := range c.lrmResources(r.ID, n.Name) {
		for op := range l.Children("lrm_rsc_op") {
			if rc, ok := op.Get("rc-code"); ok && rc != "193" {
				return false
			}
		}
	}
	return true
}

// laterAction says whether something after e happened to r on n.
func (c *Cluster) laterAction(r *Resource, n *Node, e *xmldoc.Elem, sameNode bool) bool {
	l := c.historyOf(r, n)
	if l == nil {
		return false
	}
	ref := readHistOp(e)
	for op := range l.Children("lrm_rsc_op") {
		if op == e {
			continue
		}
		switch op.Attr("operation") {
		case "start", "stop", "migrate_to", "migrate_from":
			if compareOps(readHistOp(op), ref, sameNode) > 0 {
				return true
			}
		}
	}
	return false
}

// laterState says whether anything newer than the migration is known on n.
func (c *Cluster) laterState(r *Resource, n *Node, e *xmldoc.Elem, sameNode bool) bool {
	if c.laterAction(r, n, e, sameNode) {
		return true
	}
	mon := c.onlyOp(r, n.Name, func(op *xmldoc.Elem) bool { return op.Attr("operation") == "monitor" })
	if mon == nil {
		return false
	}
	if rc, status := resultOf(mon, rcError, statusError); rc != rcNotRunning || status != statusDone {
		return false
	}
	return compareOps(readHistOp(mon), readHistOp(e), sameNode) > 0
}

// ends finds the nodes of a migration entry; ok is false if it is not one.
func (h *rscHistory) ends(e *histOp) (source, target *Node, sourceName, targetName string, ok bool) {
	sourceName, ok1 := e.xml.Get("migrate_source")
	targetName, ok2 := e.xml.Get("migrate_target")
	if !ok1 || !ok2 {
		return nil, nil, "", "", false
	}
	own := sourceName
	if e.task == "migrate_from" {
		own = targetName
	}
	if own != h.n.Name {
		return nil, nil, "", "", false
	}
	return h.c.NodeByName(sourceName), h.c.NodeByName(targetName), sourceName, targetName, true
}

func (h *rscHistory) dangling(n *Node) { h.r.Dangling = append([]*Node{n}, h.r.Dangling...) }

func (h *rscHistory) unmigratable() {
	h.r.Failed, h.r.MustStop, h.r.AllowMigrate = true, true, false
}

// migratedTo interprets a migrate_to that succeeded.
func (h *rscHistory) migratedTo(e *histOp) {
	c, r := h.c, h.r
	source, target, sn, tn, ok := h.ends(e)
	if !ok || source == nil {
		return
	}
	laterOnSource := c.laterAction(r, source, e.xml, true)
	from := c.migrateFrom(r, tn, sn)
	if laterOnSource && from != nil {
		return
	}
	laterOnTarget := false
	if target != nil {
		if from != nil {
			laterOnTarget = c.laterState(r, target, from, true)
		} else {
			laterOnTarget = c.laterState(r, target, e.xml, false)
		}
	}
	if laterOnSource && laterOnTarget {
		return
	}
	r.Role = Started
	if target != nil && target.Online && c.unknownByHistory(r, target) {
		return
	}
	status := statusPending
	if from != nil {
		var rc int
		rc, status = resultOf(from, 0, 0)
		if rc == rcOK && status == statusDone {
			r.Role = Stopped
			h.dangling(source)
			return
		}
	}
	online := target != nil && target.Online
	if from != nil && status != statusPending {
		if !laterOnTarget && online {
			c.addActive(r, target, true)
		} else {
			h.unmigratable()
		}
		return
	}
	if !laterOnTarget && online {
		c.addActive(r, target, false)
		if source.Online {
			r.PartialTarget, r.PartialSource = target, source
		}
	} else if !laterOnSource {
		h.unmigratable()
	}
}

// failedMigrateTo interprets a migrate_to that failed.
func (h *rscHistory) failedMigrateTo(e *histOp) {
	c, r := h.c, h.r
	source, target, sn, tn, ok := h.ends(e)
	if !ok || source == nil {
		return
	}
	r.Role = Started
	from := good(c.migrateFrom(r, tn, sn))
	if target != nil && !c.unknownByHistory(r, target) {
		later := false
		if from != nil {
			later = c.laterState(r, target, from, true)
		} else {
			later = c.laterState(r, target, e.xml, false)
		}
		if !later {
			if target.Online {
				c.addActive(r, target, false)
			}
			return
		}
	}
	if !c.laterAction(r, source, e.xml, true) {
		h.dangling(source)
	}
}

// failedMigrateFrom interprets a migrate_from that failed.
func (h *rscHistory) failedMigrateFrom(e *histOp) {
	c, r := h.c, h.r
	source, _, sn, tn, ok := h.ends(e)
	if !ok {
		return
	}
	r.Role = Started
	to := good(c.migrateTo(r, sn, tn))
	if source == nil || c.unknownByHistory(r, source) {
		return
	}
	later := false
	if to != nil {
		later = c.laterState(r, source, to, true)
	} else {
		later = c.laterState(r, source, e.xml, false)
	}
	if !later && source.Online {
		c.addActive(r, source, true)
	}
}
