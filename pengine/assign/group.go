package assign

import (
	"linuxha/pengine/constraint"
	"linuxha/pengine/state"
)

// group places a group member by member (assignment 13).
func (a assigner) group(g *state.Resource, prefer *state.Node) *state.Placement {
	if !g.Provisional {
		return nil
	}
	if g.Assigning {
		return nil
	}
	if len(g.Children) == 0 {
		g.Provisional = false
		return nil
	}
	g.Assigning = true
	g.Role = g.Children[0].Role
	handColocations(g)
	a.showScores("pcmk__group_assign", g)
	var first *state.Placement
	for _, m := range g.Children {
		if p := a.assign(m, prefer); first == nil {
			first = p
		}
	}
	g.NextRole = g.Children[0].NextRole
	g.Assigning, g.Provisional = false, false
	if !g.Group.Colocated {
		return nil
	}
	return first
}

// handColocations gives a group's colocations to its members (assignment 13.2).
func handColocations(g *state.Resource) {
	for _, x := range g.ThisWith {
		g.Children[0].ThisWith = constraint.InsertThisWith(g.Children[0].ThisWith, x)
		if x.Score < infinity {
			continue
		}
		unmanaged := false
		for i, m := range g.Children {
			if unmanaged && i > 0 {
				m.ThisWith = constraint.InsertThisWith(m.ThisWith, x)
			}
			unmanaged = unmanaged || !m.Managed
		}
	}
	g.ThisWith = nil
	last := g.Children[len(g.Children)-1]
	for _, x := range g.WithThis {
		last.WithThis = constraint.InsertWithThis(last.WithThis, x)
	}
	g.WithThis = nil
}
