package assign

import (
	"slices"
	"strconv"

	"linuxha/pengine/internal/value"
	"linuxha/pengine/state"
)

// amount reads a utilization value; what is no number is 0 (assignment 18).
func amount(s string) int {
	n, ok := value.LeadingInt(s)
	if !ok || n > 1<<31-1 || n < -1<<31 {
		return 0
	}
	return int(n)
}

// consume takes a resource's needs off a node's capacity (assignment 18.1).
func consume(n *state.Node, r *state.Resource) {
	for k, v := range r.Utiliz {
		have, ok := n.Utilization[k]
		if !ok {
			n.Utilization[k] = "0"
			continue
		}
		n.Utilization[k] = strconv.Itoa(amount(have) - amount(v))
	}
}

func release(n *state.Node, r *state.Resource) {
	for k, v := range r.Utiliz {
		n.Utilization[k] = strconv.Itoa(amount(n.Utilization[k]) + amount(v))
	}
}

// compareCapacity is negative if n1 has more free capacity (assignment 18.2).
func compareCapacity(n1, n2 *state.Node) int {
	result := 0
	count := func(a, b int) {
		switch {
		case a > b:
			result--
		case a < b:
			result++
		}
	}
	for k, v := range n1.Utilization {
		count(amount(v), amount(n2.Utilization[k]))
	}
	for k, v := range n2.Utilization {
		if _, ok := n1.Utilization[k]; !ok {
			count(0, amount(v))
		}
	}
	return result
}

func fits(need map[string]int, n *state.Node) bool {
	for k, v := range need {
		if v > amount(n.Utilization[k]) {
			return false
		}
	}
	return true
}

// checkUtilization bans nodes without room for r and what is colocated with
// it; if none has room for all, it returns the most capable (assignment 18.3).
func (a assigner) checkUtilization(r *state.Resource) *state.Node {
	if a.c.Opts.Placement == "default" {
		return nil
	}
	var set []*state.Resource
	a.colocatedSet(r, r, &set)
	if !slices.Contains(set, r) {
		set = append(set, r)
	}
	need := map[string]int{}
	for _, x := range set {
		addNeed(need, x, set)
	}
	var usable []*state.Node
	var best *state.Node
	anyFits := false
	for _, n := range a.hashNodes(r.Allowed) {
		if e := r.Allowed.Get(n); e.Score < 0 || !n.Usable() {
			continue
		}
		usable = append(usable, n)
		anyFits = anyFits || fits(need, n)
		if best == nil || compareCapacity(n, best) < 0 {
			best = n
		}
	}
	if !anyFits {
		need = map[string]int{}
		for k, v := range r.Utiliz {
			need[k] = amount(v)
		}
	} else {
		best = nil
	}
	for _, n := range usable {
		if !fits(need, n) {
			e := r.Allowed.Get(n)
			e.Score = value.Add(e.Score, -infinity)
			if a.c.Why.Asks() {
				a.c.Why.Add(e, -infinity, state.Cause{Kind: state.WhyUtilization, Node: n, Rule: shortage(need, n)})
			}
		}
	}
	return best
}

func colocatedGroup(g *state.Resource) bool {
	return g.Group.Colocated || g.Parent != nil && g.Parent.Kind == state.Clone
}

// colocatedSet collects what must run with the origin (assignment 18.4).
func (a assigner) colocatedSet(r, origin *state.Resource, set *[]*state.Resource) {
	if slices.Contains(*set, r) {
		return
	}
	if r.Kind == state.Group && len(r.Children) > 0 {
		members := r.Children
		if !colocatedGroup(r) {
			members = members[:1]
		}
		for _, m := range members {
			a.colocatedSet(m, origin, set)
		}
	}
	*set = append(*set, r)
	for _, x := range r.ThisWith {
		if x.Primary != origin && x.Score >= infinity && affects(r, x.Primary, x, true) == onLocation {
			a.colocatedSet(x.Primary, origin, set)
		}
	}
	for _, x := range r.WithThis {
		if x.Dependent == origin || r.Kind == state.Clone && x.Dependent.Kind != state.Clone {
			continue
		}
		if x.Score >= infinity && affects(x.Dependent, r, x, true) == onLocation {
			a.colocatedSet(x.Dependent, origin, set)
		}
	}
}

// addNeed adds the needs of one element of a colocated set (assignment 18.5).
func addNeed(need map[string]int, x *state.Resource, set []*state.Resource) {
	if !x.Provisional {
		return
	}
	switch x.Kind {
	case state.Primitive:
		for k, v := range x.Utiliz {
			need[k] += amount(v)
		}
	case state.Group:
		members := x.Children
		if !colocatedGroup(x) && len(members) > 0 {
			members = members[:1]
		}
		for _, m := range members {
			if m.Provisional && !slices.Contains(set, m) {
				addNeed(need, m, set)
			}
		}
	case state.Clone:
		found := false
		for _, k := range x.Children {
			if slices.Contains(set, k) {
				found = true
				continue
			}
			for _, m := range k.Children {
				if slices.Contains(set, m) {
					found = true
					addNeed(need, k, set)
					break
				}
			}
		}
		if !found && len(x.Children) > 0 {
			addNeed(need, x.Children[0], set)
		}
	case state.Bundle:
		if len(x.Bundle.Replica) > 0 {
			addNeed(need, x.Bundle.Replica[0].Container, set)
		}
	}
}
