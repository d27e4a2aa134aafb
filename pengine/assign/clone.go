package assign

import (
	"cmp"
	"slices"

	"linuxha/pengine/constraint"
	"linuxha/pengine/internal/value"
	"linuxha/pengine/state"
)

// clone places the instances of a clone (assignment 14.2).
func (a assigner) clone(k *state.Resource, prefer *state.Node) {
	if !k.Provisional || k.Assigning {
		return
	}
	if k.Promotable {
		a.addPromotionScores(k)
	}
	k.Assigning = true
	for _, x := range slices.Clone(k.ThisWith) {
		a.assign(x.Primary, prefer)
	}
	for _, x := range slices.Clone(k.WithThis) {
		if influences(x, x.Primary) {
			a.merge(x.Dependent, &k.Allowed, x, factor(x.Score), mergeActive|mergeNonnegative)
		}
	}
	a.showScores("pcmk__clone_allocate", k)
	value.MergeSort(k.Children, a.compareInstances)
	a.distribute(k, k.Children, k.Clone.Max, k.Clone.NodeMax)
	if k.Promotable {
		a.chooseRoles(k)
	}
	k.Provisional, k.Assigning = false, false
}

// distribute places instances over the nodes of host's table (assignment 14.3).
func (a assigner) distribute(host *state.Resource, children []*state.Resource, limit, perNode int) {
	available := 0
	for i := range host.Allowed {
		if e := &host.Allowed[i]; e.Set {
			e.Count = 0
			if a.c.ByIdx[i].Usable() {
				available++
			}
		}
	}
	all := limit < available
	optimal := 1
	if available > 0 {
		optimal = max(1, limit/available)
	}
	placed := 0
	for _, k := range children {
		if placed >= limit {
			break
		}
		if len(k.Active) == 0 || !k.Provisional || k.Failed {
			continue
		}
		n := k.CurrentNode()
		if n == nil || !n.Usable() || n.Score < 0 {
			continue
		}
		if e := host.Allowed.Get(n); e != nil && e.Count >= optimal {
			continue
		}
		if a.place(host, k, n, all, perNode) != nil {
			placed++
		}
	}
	for _, k := range children {
		if !k.Provisional {
			continue
		}
		if placed >= limit {
			a.c.AddScoreAll(k, -infinity, state.Cause{Kind: state.WhyLimit, Rsc: host, Base: limit})
			a.c.Why.Choose(k, state.Choice{Kind: state.ChoseLimit, Score: limit})
			continue
		}
		if a.place(host, k, nil, all, perNode) != nil {
			placed++
		}
	}
}

// place places one instance (assignment 14.4).
func (a assigner) place(host, k *state.Resource, prefer *state.Node, all bool, perNode int) *state.Placement {
	if !k.Provisional {
		return k.Location()
	}
	if k.Assigning {
		return nil
	}
	for _, x := range host.ThisWith {
		if all || x.Score < 0 || x.Score >= infinity {
			k.ThisWith = constraint.InsertThisWith(k.ThisWith, x)
		}
	}
	for _, x := range host.WithThis {
		if influences(x, k) && (all || x.Score < 0) {
			k.WithThis = constraint.InsertWithThis(k.WithThis, x)
		}
	}
	if prefer != nil {
		if e := k.Allowed.Get(prefer); e == nil || e.Score < 0 {
			return nil
		}
	}
	for _, n := range a.tableNodes(k.Allowed) {
		e := host.Allowed.Get(n)
		if !n.Usable() || k.Orphan || e == nil || e.Score < 0 || e.Count >= perNode {
			a.banEntry(k, n, state.Cause{Kind: state.WhyClone, Rsc: host, Node: n, ID: closedBecause(k, n, e, perNode)})
		}
	}
	saved := k.Allowed.Copy()
	chosen := a.assign(k, prefer)
	if chosen != nil && prefer != nil && chosen.Node != prefer {
		k.Allowed = saved
		a.unassign(k)
		a.c.Why.Choose(k, state.Choice{Kind: state.ChoseRefused, Node: chosen.Node, Prefer: prefer})
		return nil
	}
	if chosen != nil {
		if e := host.Allowed.Get(chosen.Node); e != nil {
			e.Count++
		}
	}
	return chosen
}

func (a assigner) banEntry(r *state.Resource, n *state.Node, cause state.Cause) {
	if e := r.Allowed.Get(n); e != nil {
		e.Score = value.Add(e.Score, -infinity)
		a.c.Why.Add(e, -infinity, cause)
	}
	for _, k := range r.Children {
		a.banEntry(k, n, cause)
	}
}

// compareInstances orders instances for placement (assignment 9.4).
func (a assigner) compareInstances(x, y *state.Resource) int {
	if p, q := len(x.Active), len(y.Active); p > 0 && q > 0 && p != q {
		return order(p < q)
	}
	nx, ny := x.CurrentNode(), y.CurrentNode()
	misplaced := func(r *state.Resource, n *state.Node) bool {
		if n == nil {
			return false
		}
		e := r.Allowed.Get(n)
		return e == nil || e.Score < 0
	}
	mx, my := misplaced(x, nx), misplaced(y, ny)
	if mx != my {
		return order(my)
	}
	if mx {
		nx = nil
	}
	if my {
		ny = nil
	}
	if x.Priority != y.Priority {
		return order(x.Priority > y.Priority)
	}
	if nx == nil && ny == nil {
		return 0
	}
	if nx == nil || ny == nil {
		return order(nx != nil)
	}
	if p, q := nx.Usable(), ny.Usable(); p != q {
		return order(p)
	}
	ex, ey := x.Parent.Allowed.Get(nx), y.Parent.Allowed.Get(ny)
	if ex == nil && ey == nil {
		return 0
	}
	if ex == nil || ey == nil {
		return order(ex != nil)
	}
	if ex.Count != ey.Count {
		return order(ex.Count < ey.Count)
	}
	failed := func(r *state.Resource) bool { return r.Any(func(k *state.Resource) bool { return k.Failed }) }
	if p, q := failed(x), failed(y); p != q {
		return order(q)
	}
	if p, q := a.colocationScore(x), a.colocationScore(y); p != q {
		return order(p > q)
	}
	return cmp.Compare(state.InstanceNumber(x), state.InstanceNumber(y))
}

// colocationScore is what colocated resources think of an instance's node
// (assignment 9.5).
func (a assigner) colocationScore(r *state.Resource) int {
	n := r.CurrentNode()
	if len(r.Parent.ThisWith)+len(r.Parent.WithThis) == 0 {
		return n.Score
	}
	t := make(state.Table, 0, n.Idx+1)
	t.Put(n, state.ListEntry(n))
	for _, x := range r.Parent.ThisWith {
		a.merge(x.Primary, &t, x, factor(x.Score), 0)
	}
	for _, x := range r.Parent.WithThis {
		if influences(x, r) {
			a.merge(x.Dependent, &t, x, factor(x.Score), mergeNonnegative)
		}
	}
	if e := t.Get(n); e != nil {
		return e.Score
	}
	return 0
}
