package sim

import (
	"maps"
	"slices"

	"linuxha/cib/cibdoc"
	"linuxha/cib/replica"
	"linuxha/heartbeatd/ccm"
)

// promises checks what the whole stack promises (architecture 5): one place at
// a time, one DC in a view, one history of the CIB, nothing acknowledged lost.
type promises struct {
	c *Cluster
	w *world

	active map[string]map[string]bool // resource, node

	dcs      []bool
	versions map[stamp]cibdoc.Sum

	acked map[string]appointment // changes that must not get lost, and who acknowledged them
}

// stamp is a version in the reign of one primary.
type stamp struct {
	term    replica.Term
	version cibdoc.Version
}

func newPromises(c *Cluster, w *world) *promises {
	return &promises{c: c, w: w, active: map[string]map[string]bool{}, dcs: make([]bool, len(c.nodes)), versions: map[stamp]cibdoc.Sum{}, acked: map[string]appointment{}}
}

func (k *promises) Saw(node int, fact any) {
	name := k.c.names[node]
	switch f := fact.(type) {
	case booted:
		k.dcs[node] = false
	case crashed:
		k.dcs[node] = false
		for _, on := range k.active {
			delete(on, name)
		}
	case touched:
		k.touched(name, f.resource)
	case released:
		delete(k.active[f.resource], name)
	case becameDC:
		k.dcs[node] = true
		k.oneDC()
	case ceasedDC:
		k.dcs[node] = false
	case installed:
		// The controller hears of the view right behind this.
		n := k.c.nodes[node]
		n.work = append(n.work, job{do: k.afterTurn})
	case published:
		k.published(node, f)
	case acknowledged:
		k.acknowledged(f)
	case leads:
		k.leads(node, f.status)
	}
}

func (k *promises) touched(node, resource string) {
	on := k.active[resource]
	if on == nil {
		on = map[string]bool{}
		k.active[resource] = on
	}
	for other := range on {
		if other != node {
			k.c.Failf("promise 1: %s starts on %s while it is active on %s", resource, node, other)
		}
	}
	on[node] = true
}

// afterTurn runs when the controllers know the view.
func (k *promises) afterTurn() {
	k.oneDC()
}

// oneDC: of the nodes that have the same view in force at most one is DC.
func (k *promises) oneDC() {
	dc := map[ccm.ViewID]string{}
	for i, is := range k.dcs {
		n := k.c.nodes[i]
		crm, ok := n.clients["crmd"].(*crmd)
		if !is || !ok || crm.view == nil || !n.host.Up() {
			continue
		}
		if other, taken := dc[crm.view.ViewID]; taken {
			k.c.Failf("promise 2: %s and %s are both DC in view %v", other, n.name, crm.view.ViewID)
		}
		dc[crm.view.ViewID] = n.name
	}
}

// published: in the reign of one primary a version means one content, and each
// copy's versions only grow.
func (k *promises) published(node int, f published) {
	if f.term.Primary == "" {
		return
	}
	at := stamp{f.term, f.p.To}
	sum := f.p.Doc.Sum()
	if known, ok := k.versions[at]; ok && known != sum {
		k.c.Failf("promise 3: version %v of primary %s in view %d has two contents", f.p.To, f.term.Primary, f.term.View)
	}
	k.versions[at] = sum
	k.c.Mix(uint64(f.p.To.Epoch)<<32 | uint64(f.p.To.NumUpdates))
	if f.p.FromSync {
		return
	}
	if f.p.To.Compare(f.p.From) <= 0 {
		k.c.Failf("promise 3: the CIB of %s went from %v to %v", k.c.names[node], f.p.From, f.p.To)
	}
}

// acknowledged: from here on the change must be found, unless there was no
// quorum, or only by the rule for two nodes, which both halves may have.
func (k *promises) acknowledged(f acknowledged) {
	if f.by.quorate && 2*len(f.by.members) > len(k.c.nodes) {
		k.acked[f.key] = f.by
	}
}

// leads: a primary with quorum begins its term. It must have all that was
// acknowledged with quorum, since any two majorities of the nodes share one.
func (k *promises) leads(node int, s replica.Status) {
	n := k.c.nodes[node]
	if n.last == nil || n.last.Number != s.View || !n.quorate {
		return
	}
	for _, key := range slices.Sorted(maps.Keys(k.acked)) {
		if has(s.Doc, key) || s.View < k.acked[key].view { // or a primary of former times, that was paused
			continue
		}
		var holders []string
		for i, other := range k.c.nodes {
			if has(k.w.disks[i].Durable().doc, key) {
				holders = append(holders, other.name)
			}
		}
		k.c.Failf("promise 4: change %s was acknowledged in view %d by %v and is on the disks of %v, and %s leads view %d without it",
			key, k.acked[key].view, k.acked[key].members, holders, n.name, s.View)
		return
	}
}

func has(doc *cibdoc.Doc, key string) bool {
	if set := doc.Configuration().Child("crm_config").Child("cluster_property_set"); set != nil {
		for p := range set.Elements() {
			if p.ID() == key {
				return true
			}
		}
	}
	return false
}

// End: what was acknowledged with quorum is there.
func (k *promises) End() {
	doc := k.c.nodes[0].clients["cib"].(*cibd).core.Status().Doc
	for _, key := range slices.Sorted(maps.Keys(k.acked)) {
		if !has(doc, key) {
			k.c.Failf("promise 4: change %s was acknowledged and is not in the CIB", key)
		}
	}
}
