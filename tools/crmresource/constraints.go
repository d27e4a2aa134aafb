package crmresource

import (
	"fmt"
	"slices"
	"strings"

	"github.com/beevik/etree"

	"linuxha/pengine/constraint"
	"linuxha/pengine/state"
	"linuxha/tools/output"
)

// constraints lists what places the resource: its locations, what is colocated
// with it, and what it is colocated with; with --stack all along the chains.
func (s *session) constraints() error {
	c, r, _, err := s.resource()
	if err != nil {
		return err
	}
	constraint.Unpack(c) // what rules say depends on the time and on attributes
	// What names a member's group or clone applies to the member; --force asks
	// for the constraints of the resource alone.
	id := s.rsc
	if top := r.Top(); !s.force && top != r {
		id = top.ID
	}
	l := lister{s: s, cluster: c, all: s.command == "stack" || s.p.Has("recursive"), out: output.New("constraints")}
	l.locations(id, 0)
	l.dependents(id, 0, map[string]bool{})
	l.leaders(id, 0, map[string]bool{})
	s.body = append(s.body, l.out)
	return nil
}

// lister prints constraints as a tree, and collects them as a flat list.
type lister struct {
	s       *session
	cluster *state.Cluster
	all     bool
	out     *output.Element
}

func (l *lister) line(depth int, format string, a ...any) {
	bullet := ""
	if depth > 0 {
		bullet = strings.Repeat("  ", depth) + "* "
	}
	l.s.say("%s%s", bullet, fmt.Sprintf(format, a...))
}

// locations are those that hold now, the latest first, a line per node.
func (l *lister) locations(rsc string, depth int) {
	r := find(l.cluster, rsc)
	if r == nil {
		return
	}
	titled := false
	for _, loc := range slices.Backward(r.Locations) {
		for _, e := range loc.Entries {
			if loc.Health {
				continue
			}
			if !titled {
				l.line(depth, "Locations:")
				titled = true
			}
			score := scoreText(e.Score)
			l.line(depth+1, "Node %s (score=%s, id=%s, rsc=%s)", e.Node.Name, score, loc.ID, rsc)
			l.out.Add(output.New("rsc_location", "node", e.Node.Name, "rsc", rsc, "id", loc.ID, "score", score))
		}
	}
}

// dependents are the resources colocated with rsc.
func (l *lister) dependents(rsc string, depth int, seen map[string]bool) {
	r := find(l.cluster, rsc)
	if r == nil {
		return
	}
	other := func(x *state.Colocation) *state.Resource { return x.Dependent }
	l.colocations(r, depth, seen, r.WithThis, other, "Resources colocated with "+rsc+":", "needs", l.dependents)
}

// leaders are the resources that rsc is colocated with.
func (l *lister) leaders(rsc string, depth int, seen map[string]bool) {
	r := find(l.cluster, rsc)
	if r == nil {
		return
	}
	other := func(x *state.Colocation) *state.Resource { return x.Primary }
	l.colocations(r, depth, seen, r.ThisWith, other, "Resources "+rsc+" is colocated with:", "with", l.leaders)
}

// colocations lists one side of a resource's colocations, in the order in which
// the scheduler looks at them. seen are those whose colocations are listed
// already: to follow them again would go round in circles.
func (l *lister) colocations(r *state.Resource, depth int, seen map[string]bool, all []*state.Colocation,
	other func(*state.Colocation) *state.Resource, title, word string, follow func(string, int, map[string]bool),
) {
	seen[r.ID] = true
	titled := false
	for _, c := range all {
		if c.Constraint == "" {
			continue // what a group implies
		}
		if !titled {
			l.line(depth, "%s", title)
			titled = true
		}
		l.out.Add(colocation(c))
		o := other(c)
		if seen[o.ID] {
			l.line(depth+1, "%s (id=%s - loop)", o.ID, c.ID)
			continue
		}
		role := ""
		if c.PrimaryRole > state.Started {
			role = ", " + word + " role=" + c.PrimaryRole.String()
		}
		l.line(depth+1, "%s (score=%s%s, id=%s)", o.ID, scoreText(c.Score), role, c.ID)
		l.locations(o.ID, depth+2)
		if l.all {
			follow(o.ID, depth+2, seen)
		}
	}
}

func colocation(c *state.Colocation) *output.Element {
	x := output.New("rsc_colocation", "id", c.ID, "rsc", c.Dependent.ID, "with-rsc", c.Primary.ID, "score", scoreText(c.Score))
	if c.NodeAttr != "" && c.NodeAttr != "#uname" {
		x.Set("node-attribute", c.NodeAttr)
	}
	if c.DependentRole != state.Unknown {
		x.Set("rsc-role", c.DependentRole.String())
	}
	if c.PrimaryRole != state.Unknown {
		x.Set("with-rsc-role", c.PrimaryRole.String())
	}
	return x
}

func scoreOf(e *etree.Element) string {
	v := e.SelectAttrValue("score", "0")
	switch v {
	case "+INFINITY", fmt.Sprint(state.Infinity):
		return "INFINITY"
	}
	return v
}
