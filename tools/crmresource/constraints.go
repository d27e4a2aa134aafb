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
	c, r, doc, err := s.resource()
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
	l := lister{s: s, cluster: c, doc: doc, all: s.command == "stack" || s.p.Has("recursive"), out: output.New("constraints")}
	l.locations(id, 0)
	l.dependents(id, 0, []string{id})
	l.leaders(id, 0, []string{id})
	s.body = append(s.body, l.out)
	return nil
}

// lister prints constraints as a tree, and collects them as a flat list.
type lister struct {
	s       *session
	cluster *state.Cluster
	doc     *etree.Element
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

func (l *lister) find(tag, attr, id string) []*etree.Element {
	var out []*etree.Element
	for _, e := range l.doc.FindElements("./configuration/constraints/" + tag) {
		if e.SelectAttrValue(attr, "") == id {
			out = append(out, e)
		}
	}
	return out
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
func (l *lister) dependents(rsc string, depth int, path []string) {
	l.colocations(rsc, depth, path, "with-rsc", "rsc", "Resources colocated with "+rsc+":", l.dependents)
}

// leaders are the resources that rsc is colocated with.
func (l *lister) leaders(rsc string, depth int, path []string) {
	l.colocations(rsc, depth, path, "rsc", "with-rsc", "Resources "+rsc+" is colocated with:", l.leaders)
}

func (l *lister) colocations(rsc string, depth int, path []string, mine, others, title string, follow func(string, int, []string)) {
	found := l.find("rsc_colocation", mine, rsc)
	if len(found) == 0 {
		return
	}
	l.line(depth, "%s", title)
	for _, e := range found {
		other, id, score := e.SelectAttrValue(others, ""), e.SelectAttrValue("id", ""), scoreOf(e)
		x := output.New("rsc_colocation", "id", id, "rsc", e.SelectAttrValue("rsc", ""), "with-rsc", e.SelectAttrValue("with-rsc", ""), "score", score)
		l.out.Add(x)
		if slices.Contains(path, other) {
			l.line(depth+1, "%s (id=%s - loop)", other, id)
			continue
		}
		roles := ""
		for _, name := range []string{"rsc-role", "with-rsc-role"} {
			if v := e.SelectAttrValue(name, ""); v != "" {
				x.Set(name, v)
			}
		}
		if v := e.SelectAttrValue("with-rsc-role", ""); v != "" {
			word := "with"
			if mine == "with-rsc" {
				word = "needs"
			}
			roles = ", " + word + " role=" + v
		}
		l.line(depth+1, "%s (score=%s%s, id=%s)", other, score, roles, id)
		l.locations(other, depth+2)
		if l.all {
			follow(other, depth+2, append(slices.Clone(path), other))
		}
	}
}

func scoreOf(e *etree.Element) string {
	v := e.SelectAttrValue("score", "0")
	switch v {
	case "+INFINITY":
		return "INFINITY"
	case fmt.Sprint(state.Infinity):
		return "INFINITY"
	}
	return v
}
