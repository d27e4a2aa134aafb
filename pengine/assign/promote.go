package assign

import (
	"strconv"

	"linuxha/pengine/internal/value"
	"linuxha/pengine/state"
)

// addPromotionScores lets nodes where an instance could be promoted attract it
// (assignment 15.1).
func (a assigner) addPromotionScores(k *state.Resource) {
	for _, i := range k.Children {
		for idx := range i.Allowed {
			e := &i.Allowed[idx]
			n := a.c.ByIdx[idx]
			if !e.Set || !n.Usable() {
				continue
			}
			s, _ := a.promotionScore(i, n)
			if s > 0 {
				e.Score = value.Add(e.Score, s)
				a.c.Why.Add(e, s, state.Cause{Kind: state.WhyPromotion, Rsc: i, Node: n})
			}
			if s > i.Priority {
				i.Priority = s
				a.c.Why.SetPriority(i, s, state.Cause{Kind: state.WhyPromotion, Rsc: i, Node: n})
			}
		}
	}
}

// promotionScore is an instance's promotion score on a node; set is false if
// there is none (assignment 15.5).
func (a assigner) promotionScore(r *state.Resource, n *state.Node) (score int, set bool) {
	if n == nil {
		return 0, false
	}
	if len(r.Children) > 0 {
		for _, m := range r.Children {
			s, ok := a.promotionScore(m, n)
			score += s
			set = set || ok
		}
		return score, set
	}
	if !a.scoreApplies(r, n) {
		return 0, false
	}
	name := r.HistName
	if name == "" {
		name = r.ID
	}
	v, ok := a.c.AttrFor(n, "master-"+name, r)
	if !ok && !r.Unique {
		v, ok = a.c.AttrFor(n, "master-"+value.BaseName(r.ID), r)
	}
	if !ok {
		return 0, false
	}
	return a.c.Health.Score(v), true
}

// scoreApplies says whether a node's promotion score concerns this instance.
func (a assigner) scoreApplies(r *state.Resource, n *state.Node) bool {
	allowed := func() bool {
		e := r.Allowed.Get(n)
		return e != nil && e.Score >= 0
	}
	if !r.Unique {
		base := value.BaseName(r.ID)
		a.c.Spend(state.WorkSearches, 2*len(r.Top().Children))
		active, known := instanceOn(r.Top(), base, n)
		if active == r || active == nil && known {
			return allowed()
		}
	}
	if len(r.Active) == 0 && r.KnownOn.Empty() {
		return allowed()
	}
	if r.KnownOn.Has(n) {
		return allowed()
	}
	for _, x := range r.Active {
		if x == n {
			return allowed()
		}
	}
	return false
}

// instanceOn finds the instance member of that base name that is active on a
// node, and whether any has been probed there.
func instanceOn(top *state.Resource, base string, n *state.Node) (active *state.Resource, known bool) {
	for _, inst := range top.Children {
		state.EachLeaf([]*state.Resource{inst}, func(m *state.Resource) {
			if value.BaseName(m.ID) != base {
				return
			}
			known = known || m.KnownOn.Has(n)
			if active != nil {
				return
			}
			for _, x := range m.Active {
				if x == n {
					active = m
				}
			}
		})
	}
	return active, known
}

// chooseRoles decides which instances are promoted (assignment 15.2).
func (a assigner) chooseRoles(k *state.Resource) {
	for i := range k.Allowed {
		k.Allowed[i].Count = 0
	}
	for _, i := range k.Children {
		a.setPriority(k, i)
	}
	a.sortPromotable(k)
	promoted := 0
	for _, i := range k.Children {
		if a.c.Why.Asks() {
			var n *state.Node
			if p := i.Location(); p != nil {
				n = p.Node
			}
			a.c.Why.PromotionSnapshot(i, n)
		}
		if a.c.Output.Scores {
			name := "none"
			if p := i.Location(); p != nil {
				name = p.Node.Name
			}
			a.line(i.ID + " promotion score on " + name + ": " + value.ScoreText(i.SortIndex))
		}
		if a.decideRole(k, i, promoted) {
			promoted++
		}
	}
	if a.c.Why.Asks() {
		a.c.Why.Log(state.Info, "pcmk__set_instance_roles",
			k.ID+": Promoted "+strconv.Itoa(promoted)+" instances of a possible "+strconv.Itoa(k.Clone.PromotedMax))
	}
}

// setPriority computes how much an instance should be promoted
// (assignment 15.3).
func (a assigner) setPriority(k, i *state.Resource) {
	if i.CurrentRole() == state.Started {
		state.Each([]*state.Resource{i}, func(r *state.Resource) {
			if r.Role == state.Started {
				r.Role = state.Unpromoted
			}
		})
	}
	at := i.Location()
	if at == nil {
		return
	}
	next := i.PlannedRole()
	switch next {
	case state.Unknown, state.Started:
		if s, set := a.promotionScore(i, at.Node); set {
			i.Priority = s
			a.c.Why.SetPriority(i, s, state.Cause{Kind: state.WhyPromotion, Rsc: i, Node: at.Node})
		} else {
			i.Priority = -1
			a.c.Why.SetPriority(i, -1, state.Cause{Kind: state.WhyNoScore, Rsc: i, Node: at.Node})
		}
	case state.Unpromoted, state.Stopped:
		i.Priority = -infinity
		a.c.Why.SetPriority(i, -infinity, state.Cause{Kind: state.WhyRole, ID: next.String()})
	}
	for _, list := range [][]*state.Location{i.Locations, k.Locations} {
		for j := len(list) - 1; j >= 0; j-- {
			if list[j].Role != state.Promoted {
				continue
			}
			for _, e := range list[j].Entries {
				if e.Node == at.Node {
					i.Priority = value.Add(i.Priority, e.Score)
					a.c.Why.AddPriority(i, e.Score, list[j].Cause())
					break
				}
			}
		}
	}
	for _, x := range i.ThisWith {
		a.apply(i, x.Primary, x)
	}
	i.SortIndex = i.Priority
	if a.c.Why.Asks() {
		a.c.Why.SortIndex(i, a.c.Why.Priorities[i])
	}
	if next == state.Promoted {
		i.SortIndex = infinity
		a.c.Why.PromotedAnyway(i)
	}
}

// sortPromotable ranks the instances, once for each clone (assignment 15.4).
func (a assigner) sortPromotable(k *state.Resource) {
	if k.PromotedSorted {
		return
	}
	k.PromotedSorted = true
	k.Merging = true
	for _, i := range k.Children {
		p := i.Location()
		if i.SortIndex < 0 || p == nil {
			continue
		}
		if e := k.Allowed.Get(p.Node); e != nil {
			e.Score = value.Add(e.Score, i.SortIndex)
			a.c.Why.Add(e, i.SortIndex, a.priorityOf(i))
		}
	}
	for _, x := range k.ThisWith {
		if x.DependentRole != state.Promoted {
			continue
		}
		opts := mergeOpts(0)
		if x.Score < infinity {
			opts = mergeActive
		}
		a.merge(x.Primary, &k.Allowed, x, factor(x.Score), opts)
	}
	for _, x := range k.WithThis {
		if x.PrimaryRole == state.Promoted && influences(x, x.Primary) {
			a.merge(x.Dependent, &k.Allowed, x, factor(x.Score), mergeActive|mergeNonnegative)
		}
	}
	for _, t := range k.Tickets {
		if t.Role == state.Promoted && (!t.Ticket.Granted || t.Ticket.Standby) {
			a.c.AddScoreAll(k, -infinity, state.Cause{Kind: state.WhyTicket, ID: t.Ticket.ID})
		}
	}
	for _, i := range k.Children {
		p := i.Location()
		switch {
		case !i.Managed && i.NextRole == state.Promoted:
			i.SortIndex = infinity
			a.c.Why.PromotedAnyway(i)
		case p == nil || i.SortIndex < 0:
		default:
			i.SortIndex = 0
			a.c.Why.SortIndex(i, 0)
			if e := k.Allowed.Get(p.Node); e != nil {
				i.SortIndex = e.Score
				a.c.Why.SortIndex(i, e.Why)
			}
		}
	}
	value.MergeSort(k.Children, func(x, y *state.Resource) int {
		if x.SortIndex != y.SortIndex {
			return order(x.SortIndex > y.SortIndex)
		}
		if p, q := x.CurrentRole(), y.CurrentRole(); p != q {
			return order(p > q)
		}
		return a.compareInstances(x, y)
	})
	k.Merging = false
}

// decideRole promotes an instance or not (assignment 15.7).
func (a assigner) decideRole(k, i *state.Resource, promoted int) bool {
	if i.SortIndex >= 0 && (promoted < k.Clone.PromotedMax || !k.Managed) && a.canPromote(k, i) {
		if i.Role == state.Promoted || a.c.Quorum || a.c.Opts.NoQuorum != state.QuorumFreeze {
			k.Allowed.Get(i.Location().Node).Count++
			state.Each([]*state.Resource{i}, func(r *state.Resource) {
				if r.NextRole == state.Unknown {
					r.NextRole = state.Promoted
				}
			})
			a.explainRole(k, i, promoted, true)
			return true
		}
	}
	a.explainRole(k, i, promoted, false)
	state.Each([]*state.Resource{i}, unpromote)
	return false
}

func unpromote(r *state.Resource) {
	assigned := r.Any(func(x *state.Resource) bool { return x.Assigned != nil })
	if assigned {
		r.NextRole = state.Unpromoted
	} else {
		r.NextRole = state.Stopped
	}
}

func (a assigner) canPromote(k, i *state.Resource) bool {
	for _, m := range i.Children {
		if !a.canPromote(k, m) {
			return false
		}
	}
	at := i.Location()
	if at == nil {
		return false
	}
	if !i.Managed {
		if i.CurrentRole() != state.Promoted {
			return false
		}
	} else {
		if i.Priority < 0 || !at.Node.Usable() {
			return false
		}
		if at.Node.IsGuest() && at.Node.Conn.Container.Assigned == nil {
			return false
		}
	}
	e := k.Allowed.Get(at.Node)
	if e == nil {
		return false
	}
	return !i.Managed || e.Count < k.Clone.PromotedNodeMax
}
