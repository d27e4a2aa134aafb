package assign

import (
	"linuxha/pengine/internal/value"
	"linuxha/pengine/state"
)

type effect int8

const (
	nothing effect = iota
	onLocation
	onRole
)

// affects says what a colocation acts on now (assignment 10.2).
func affects(d, p *state.Resource, x *state.Colocation, preview bool) effect {
	switch {
	case !preview && p.Provisional:
		return nothing
	case x.DependentRole >= state.Unpromoted && d.Parent != nil && d.Parent.Promotable && !d.Provisional:
		return onRole
	case !preview && !d.Provisional:
		return nothing
	case x.Score > 0 && x.DependentRole != state.Unknown && x.DependentRole != d.NextRole:
		return nothing
	case x.Score > 0 && x.PrimaryRole != state.Unknown && x.PrimaryRole != p.NextRole:
		return nothing
	case x.Score < 0 && x.DependentRole != state.Unknown && x.DependentRole == d.NextRole:
		return nothing
	case x.Score < 0 && x.PrimaryRole != state.Unknown && x.PrimaryRole == p.NextRole:
		return nothing
	}
	return onLocation
}

// apply lets a colocation act on dependent d, by the kind of its primary.
func (a assigner) apply(d, p *state.Resource, x *state.Colocation) {
	if d.Kind == state.Group { // assignment 13.5
		switch {
		case len(d.Children) == 0:
		case d.Group.Colocated:
			a.apply(d.Children[0], p, x)
		case x.Score < infinity:
			for _, m := range d.Children {
				a.apply(m, p, x)
			}
		default:
			a.c.Notef(state.Error, "cannot mandatorily colocate "+d.ID+": it is a group that is not colocated")
		}
		return
	}
	switch p.Kind {
	case state.Primitive:
		a.applyPrimitive(d, p, x)
	case state.Group:
		a.applyGroup(d, p, x)
	case state.Clone:
		a.applyClone(d, p, x)
	case state.Bundle:
		a.applyBundle(d, p, x)
	}
}

func (a assigner) applyPrimitive(d, p *state.Resource, x *state.Colocation) {
	switch affects(d, p, x, false) {
	case onLocation:
		a.applyLocation(d, p, x)
	case onRole:
		a.applyRole(d, p, x)
	}
}

func colocationAttr(x *state.Colocation) string {
	if x.NodeAttr == "" {
		return "#id"
	}
	return x.NodeAttr
}

// applyLocation is assignment 10.3.
func (a assigner) applyLocation(d, p *state.Resource, x *state.Colocation) {
	attr := colocationAttr(x)
	want := ""
	if p.Assigned == nil {
		if x.Score < 0 {
			return
		}
	} else {
		want = attrKey(p.Assigned.Node, attr)
	}
	w := d.Allowed.Copy()
	cause := state.Cause{Kind: state.WhyColocation, Rsc: p, Coloc: x}
	if p.Assigned != nil {
		cause.Node = p.Assigned.Node
	}
	for i := range w {
		e := &w[i]
		switch {
		case !e.Set:
		case p.Assigned == nil:
			e.Score = value.Add(e.Score, -x.Score)
			a.c.Why.Add(e, -x.Score, cause)
		case attrKey(a.c.ByIdx[i], attr) == want:
			if x.Score < infinity {
				e.Score = value.Add(e.Score, x.Score)
				a.c.Why.Add(e, x.Score, cause)
			}
		case x.Score >= infinity:
			e.Score = value.Add(e.Score, -x.Score)
			a.c.Why.Add(e, -x.Score, cause)
		}
	}
	if x.Score <= -infinity || x.Score >= infinity || a.usablePlus(w) {
		d.Allowed = w
	} else {
		a.c.Why.Ignore(d, cause, "no node would be left")
	}
}

// applyRole is assignment 10.4.
func (a assigner) applyRole(d, p *state.Resource, x *state.Colocation) {
	if p.Assigned == nil || d.Assigned == nil {
		return
	}
	attr := colocationAttr(x)
	cause := state.Cause{Kind: state.WhyColocation, Rsc: p, Coloc: x, Node: p.Assigned.Node}
	if attrKey(p.Assigned.Node, attr) != attrKey(d.Assigned.Node, attr) {
		if x.Score >= infinity && x.DependentRole == state.Promoted {
			d.Priority = -infinity
			a.c.Why.SetPriority(d, -infinity, cause)
		}
		return
	}
	if x.PrimaryRole != state.Unknown && x.PrimaryRole != p.NextRole {
		return
	}
	score := x.Score
	if x.DependentRole == state.Unpromoted {
		score = -score
	}
	d.Priority = value.Add(score, d.Priority)
	a.c.Why.AddPriority(d, score, cause)
}

// applyGroup is assignment 13.4.
func (a assigner) applyGroup(d, g *state.Resource, x *state.Colocation) {
	if g.Provisional || len(g.Children) == 0 {
		return
	}
	if g.Group.Colocated {
		m := g.Children[0]
		if x.Score >= infinity {
			m = g.Children[len(g.Children)-1]
		}
		a.apply(d, m, x)
		return
	}
	if x.Score >= infinity {
		a.c.Notef(state.Error, "cannot mandatorily colocate with "+g.ID+": it is a group that is not colocated")
		return
	}
	for _, m := range g.Children {
		a.apply(d, m, x)
	}
}

// copiesPerNode is what interleaving compares (assignment 14.6).
func copiesPerNode(r *state.Resource) int {
	switch r.Kind {
	case state.Clone:
		if v, ok := r.Meta.Get("clone-node-max"); ok {
			return value.Bounded(v, 0)
		}
	case state.Bundle:
		return r.Bundle.PerHost
	}
	return 1
}

func interleaves(r *state.Resource) bool { return value.Truthy(r.Meta["interleave"]) }

// applyClone is assignment 14.6.
func (a assigner) applyClone(d, k *state.Resource, x *state.Colocation) {
	if k.Promotable {
		if k.Provisional {
			return
		}
		if x.PrimaryRole != state.Unknown {
			if d.Provisional {
				a.applyPromotable(d, k, x)
				return
			}
			if x.DependentRole == state.Promoted {
				a.applyPromotion(d, k, x)
				return
			}
		}
	}
	interleave := false
	if dep := x.Dependent; dep.Kind == state.Clone || dep.Kind == state.Bundle {
		if interleaves(dep) {
			if interleave = copiesPerNode(dep) == copiesPerNode(k); !interleave {
				a.c.Notef(state.Error, "cannot interleave "+dep.ID+" and "+k.ID+": they do not support the same number of instances per node")
			}
		}
	}
	if k.Provisional {
		return
	}
	if interleave {
		if inst := a.match(d, k, state.Unknown, false); inst != nil {
			a.apply(d, inst, x)
		} else if x.Score >= infinity {
			a.nowhere(d, x)
		}
		return
	}
	if x.Score >= infinity {
		var allowed state.NodeSet
		for _, inst := range k.Children {
			if p := inst.Location(); p != nil && !inst.BlockedAnywhere() {
				allowed.Add(p.Node)
			}
		}
		a.restrict(d, allowed, k, x)
		return
	}
	for _, inst := range k.Children {
		a.apply(d, inst, x)
	}
}

// restrict sets d's entries off the allowed nodes to -infinity.
func (a assigner) restrict(d *state.Resource, allowed state.NodeSet, p *state.Resource, x *state.Colocation) {
	cause := state.Cause{Kind: state.WhyColocation, Rsc: p, Coloc: x}
	for _, n := range a.c.ByIdx {
		e := d.Allowed.Get(n)
		switch {
		case e == nil && allowed.Has(n):
			ne := state.ListEntry(n)
			ne.Score = -infinity
			a.c.Why.Set(d.Allowed.Put(n, ne), cause)
		case e != nil && !allowed.Has(n):
			e.Score = -infinity
			a.c.Why.Set(e, cause)
		}
	}
}

// match finds the instance of k (or container of a bundle) that goes with d
// (assignment 14.7).
func (a assigner) match(d, k *state.Resource, role state.Role, current bool) *state.Resource {
	size := 1
	if len(k.Children) > 0 {
		size = len(k.Children) * (1 + len(k.Children[0].Children))
	}
	a.c.Spend(state.WorkSearches, size)
	if n, ok := soleNode(d, current); ok {
		return matchOn(k, n, role, current)
	}
	for _, n := range SortedNodes(a.c, d.Allowed) {
		a.c.Spend(state.WorkSearches, size)
		if inst := matchOn(k, n, role, current); inst != nil {
			return inst
		}
	}
	return nil
}

// MatchInstance is match for later phases.
func MatchInstance(c *state.Cluster, d, k *state.Resource, role state.Role, current bool) *state.Resource {
	return assigner{c}.match(d, k, role, current)
}

// soleNode is the one node where r is or will be, if there is just one.
func soleNode(r *state.Resource, current bool) (*state.Node, bool) {
	if !current {
		if p := r.Location(); p != nil {
			return p.Node, true
		}
		return nil, false
	}
	nodes := r.ActiveNodes()
	if len(nodes) == 1 {
		return nodes[0], true
	}
	return nil, false
}

// Instances are the children that stand for copies: a clone's instances, a
// bundle's containers.
func Instances(k *state.Resource) []*state.Resource {
	if k.Kind != state.Bundle {
		return k.Children
	}
	list := make([]*state.Resource, 0, len(k.Bundle.Replica))
	for _, rep := range k.Bundle.Replica {
		list = append(list, rep.Container)
	}
	return list
}

func matchOn(k *state.Resource, n *state.Node, role state.Role, current bool) *state.Resource {
	for _, inst := range Instances(k) {
		if inst.BlockedAnywhere() {
			continue
		}
		at, ok := soleNode(inst, current)
		if !ok || at != n {
			continue
		}
		has := inst.PlannedRole()
		if current {
			has = inst.CurrentRole()
		}
		if role == state.Unknown || has == role {
			return inst
		}
	}
	return nil
}

// applyPromotable is assignment 15.8.
func (a assigner) applyPromotable(d, k *state.Resource, x *state.Colocation) {
	attr := x.NodeAttr
	if attr == "" {
		attr = "#uname"
	}
	var at state.NodeSet
	frozen := map[*state.Node]int{}
	cause := state.Cause{Kind: state.WhyColocation, Rsc: k, Coloc: x}
	for _, inst := range k.Children {
		p := inst.Location()
		if p == nil || inst.PlannedRole() != x.PrimaryRole {
			continue
		}
		at.Add(p.Node)
		frozen[p.Node] = p.Score
		if x.Score < infinity {
			want := attrKey(p.Node, attr)
			for i := range d.Allowed {
				if e := &d.Allowed[i]; e.Set && attrKey(a.c.ByIdx[i], attr) == want {
					e.Score = value.Add(e.Score, x.Score)
					a.c.Why.Add(e, x.Score, cause)
				}
			}
		}
	}
	if x.Score < infinity || x.DependentRole == state.Promoted && x.PrimaryRole == state.Promoted {
		return
	}
	a.keepWithPromoted(d, at, frozen, cause)
}

// keepWithPromoted bans d from nodes without an instance in the right role,
// and lets the instances' own scores attract it.
func (a assigner) keepWithPromoted(d *state.Resource, at state.NodeSet, frozen map[*state.Node]int, cause state.Cause) {
	for i := range d.Allowed {
		e := &d.Allowed[i]
		if !e.Set {
			continue
		}
		if n := a.c.ByIdx[i]; at.Has(n) {
			e.Score = value.Add(e.Score, frozen[n])
			a.c.Why.Add(e, frozen[n], cause)
		} else {
			e.Score = -infinity
			a.c.Why.Set(e, cause)
		}
	}
	for _, n := range a.c.ByIdx {
		if at.Has(n) && !d.Allowed.Has(n) {
			ne := state.ListEntry(n)
			ne.Score = -infinity
			a.c.Why.Set(d.Allowed.Put(n, ne), cause)
		}
	}
}

// applyPromotion is assignment 15.9.
func (a assigner) applyPromotion(d, k *state.Resource, x *state.Colocation) {
	cause := state.Cause{Kind: state.WhyColocation, Rsc: k, Coloc: x}
	if inst := a.match(d, k, x.PrimaryRole, false); inst != nil {
		d.Priority = value.Add(x.Score, d.Priority)
		a.c.Why.AddPriority(d, x.Score, cause)
	} else if x.Score >= infinity {
		d.Priority = -infinity
		a.c.Why.SetPriority(d, -infinity, cause)
	}
}

// applyBundle is assignment 16.7.
func (a assigner) applyBundle(d, b *state.Resource, x *state.Colocation) {
	if b.Provisional {
		return
	}
	if dep := x.Dependent; dep.Kind == state.Clone || dep.Kind == state.Bundle {
		if inst := a.match(d, b, state.Unknown, false); inst != nil {
			a.apply(d, inst, x)
		} else if x.Score >= infinity {
			a.nowhere(d, x)
		}
		return
	}
	if x.Score < infinity {
		for _, rep := range b.Bundle.Replica {
			a.apply(d, rep.Container, x)
		}
		return
	}
	var allowed state.NodeSet
	for _, rep := range b.Bundle.Replica {
		p := rep.Container.Location()
		if p == nil || rep.Container.BlockedAnywhere() {
			continue
		}
		if x.PrimaryRole == state.Promoted && (rep.Instance == nil || rep.Instance.NextRole < state.Promoted) {
			continue
		}
		allowed.Add(p.Node)
	}
	a.restrict(d, allowed, b, x)
}
