// Package constraint turns the constraints of a CIB, and those that the model
// implies, into data: locations applied to tables of allowed nodes,
// colocations in the lists of the resources they join, orderings in the list
// of the cluster. It decides neither placement nor whether an action is needed.
package constraint

import (
	"fmt"
	"strings"

	"linuxha/pengine/internal/value"
	"linuxha/pengine/internal/xmldoc"
	"linuxha/pengine/rules"
	"linuxha/pengine/state"
)

const infinity = state.Infinity

// Unpack reads health and the constraints section, in document order
// (assignment 2).
func Unpack(c *state.Cluster) {
	health(c)
	for x := range childrenOf(c.Section("constraints")) {
		if _, ok := x.Get("id"); !ok {
			c.Note(state.Error, "pcmk__unpack_constraints", "Ignoring <"+x.Name+"> constraint without id")
			continue
		}
		if l := x.Child("lifetime"); l != nil && !c.Rules.Lifetime(l, &rules.Subject{}) {
			continue
		}
		u := unpacker{c, x.ID()}
		c.Why.Reading(u.id)
		switch strings.ToLower(x.Name) {
		case "rsc_location":
			u.location(x)
		case "rsc_colocation":
			u.colocation(x)
		case "rsc_order":
			u.order(x)
		case "rsc_ticket":
			u.ticket(x)
		default:
			c.Note(state.Error, "pcmk__unpack_constraints", "Unsupported constraint type: "+x.Name)
		}
	}
	c.Why.Reading("")
}

func childrenOf(e *xmldoc.Elem) func(func(*xmldoc.Elem) bool) {
	return func(yield func(*xmldoc.Elem) bool) {
		if e == nil {
			return
		}
		for _, k := range e.Kids {
			if !yield(k) {
				return
			}
		}
	}
}

// unpacker reads the constraint with that id.
type unpacker struct {
	c  *state.Cluster
	id string
}

func (u unpacker) problem(x *xmldoc.Elem, format string, args ...any) {
	u.c.Notef(state.Error, fmt.Sprintf("constraint %s: ", x.ID())+fmt.Sprintf(format, args...))
}

// error is a problem in the reference's words, from its name for the place.
func (u unpacker) error(from, format string, args ...any) {
	u.c.Note(state.Error, from, fmt.Sprintf(format, args...))
}

// unknown is the problem of an id that is neither resource, template nor tag.
func (u unpacker) unknown(x *xmldoc.Elem, from, id string) {
	u.c.Why.Log(state.Warning, "find_constraint_tag", "No template or tag named '"+id+"'")
	u.error(from, "Ignoring constraint '%s' because '%s' is not a valid resource or tag", x.ID(), id)
}

// tagged returns what a template or tag of that id refers to (assignment 2.1.4).
func (u unpacker) tagged(id string) ([]string, bool) {
	if refs, ok := u.c.Templates[id]; ok {
		return refs, len(refs) > 0
	}
	refs, ok := u.c.Tags[id]
	return refs, ok
}

// expandSets replaces references to tags in resource sets, in a private copy;
// the original is returned if there are none or one cannot be resolved
// (assignment 2.1.5).
func (u unpacker) expandSets(x *xmldoc.Elem) *xmldoc.Elem {
	any := false
	for set := range x.Children("resource_set") {
		for ref := range set.Children("resource_ref") {
			id := ref.ID()
			if u.c.Lookup(id) != nil {
				continue
			}
			if _, ok := u.tagged(id); !ok {
				u.c.Why.Log(state.Warning, "find_constraint_tag", "No template or tag named '"+id+"'")
				u.error("pcmk__expand_tags_in_sets", "Ignoring resource sets for constraint '%s' because '%s' is not a valid resource or tag", x.ID(), id)
				return x
			}
			any = true
		}
	}
	if !any {
		return x
	}
	cp := privateCopy(x)
	for set := range cp.Children("resource_set") {
		var kids []*xmldoc.Elem
		for _, ref := range set.Kids {
			if ref.Name == "resource_ref" && u.c.Lookup(ref.ID()) == nil {
				refs, _ := u.tagged(ref.ID())
				u.c.Spend(state.WorkCopies, len(refs))
				for _, id := range refs {
					k := xmldoc.New("resource_ref", "id", id)
					k.Parent = set
					kids = append(kids, k)
				}
				continue
			}
			kids = append(kids, ref)
		}
		set.Kids = kids
	}
	return cp
}

// tagToSet converts a plain attribute of x (a private copy) into a resource
// set: of the ids a tag stands for, or, with single allowed, of one resource
// (assignment 2.1.6). It says whether it did.
func (u unpacker) tagToSet(x *xmldoc.Elem, attr string, single bool) bool {
	id, ok := x.Get(attr)
	if !ok {
		return false
	}
	if u.c.Lookup(id) != nil {
		if single {
			x.Add("resource_set", "id", id).Add("resource_ref", "id", id)
			x.Unset(attr)
		}
		return single
	}
	refs, ok := u.tagged(id)
	if !ok {
		return false
	}
	set := x.Add("resource_set", "id", id, "sequential", "false")
	u.c.Spend(state.WorkCopies, len(refs))
	for _, ref := range refs {
		set.Add("resource_ref", "id", ref)
	}
	x.Unset(attr)
	return true
}

func (u unpacker) isTag(x *xmldoc.Elem, attr string) bool {
	id, ok := x.Get(attr)
	if !ok || u.c.Lookup(id) != nil {
		return false
	}
	_, ok = u.tagged(id)
	return ok
}

func privateCopy(x *xmldoc.Elem) *xmldoc.Elem {
	cp := x.Clone()
	cp.Parent = x.Parent
	return cp
}

// moveRole makes a side's role attribute an attribute of the set last added.
func moveRole(x *xmldoc.Elem, attr, to string) {
	if v, ok := x.Get(attr); ok {
		x.Kids[len(x.Kids)-1].Set(to, v)
		x.Unset(attr)
	}
}

// sets lists the resource sets of a constraint; a referenced set goes on with
// its own following siblings, a dangling reference ends the list
// (assignment 2.1.7).
func (u unpacker) sets(x *xmldoc.Elem) []*xmldoc.Elem {
	var list []*xmldoc.Elem
	seen := map[*xmldoc.Elem]bool{}
	for set := x.Child("resource_set"); set != nil; {
		if ref, ok := set.Get("id-ref"); ok {
			if set = u.c.FindID("resource_set", ref); set == nil {
				u.problem(x, "there is no resource_set %q", ref)
				return list
			}
		}
		if seen[set] {
			u.problem(x, "resource_set %q refers to itself", set.ID())
			return list
		}
		seen[set] = true
		list = append(list, set)
		set = nextSet(set)
	}
	return list
}

func nextSet(set *xmldoc.Elem) *xmldoc.Elem {
	if set.Parent == nil {
		return nil
	}
	found := false
	for _, k := range set.Parent.Kids {
		if found && k.Name == "resource_set" {
			return k
		}
		found = found || k == set
	}
	return nil
}

// members resolves the references of a set; ok is false at the first unknown.
func (u unpacker) members(set *xmldoc.Elem, from string) (list []*state.Resource, ok bool) {
	for ref := range set.Children("resource_ref") {
		u.c.Spend(state.WorkMembers, 1)
		r := u.c.Lookup(ref.ID())
		if r == nil {
			u.error(from, "%s: No resource found for %s", set.ID(), ref.ID())
			return list, false
		}
		list = append(list, r)
	}
	return list, true
}

// health makes locations from health attributes (assignment 1.6).
func health(c *state.Cluster) {
	if c.Opts.HealthStrategy == "none" || c.Opts.HealthStrategy == "" {
		return
	}
	for _, n := range c.Nodes {
		score := NodeHealth(c, n)
		if score == 0 {
			continue
		}
		for _, r := range c.Resources {
			if score < 0 && value.Truthy(r.Meta["allow-unhealthy-nodes"]) {
				continue
			}
			e := state.LocEntry{Node: n, Score: score, Discover: n.Discover}
			newLocation(c, &state.Location{ID: c.Opts.Raw["node-health-strategy"], Rsc: r, Health: true, Entries: []state.LocEntry{e}})
		}
	}
}

// NodeHealth is the sum of a node's health attributes.
func NodeHealth(c *state.Cluster, n *state.Node) int {
	score := c.Opts.HealthBase
	for name, v := range n.Attrs {
		if strings.HasPrefix(name, "#health") {
			score = value.Add(score, c.Health.Score(v))
		}
	}
	return score
}
