package constraint

import (
	"cmp"
	"strings"

	"linuxha/pengine/internal/value"
	"linuxha/pengine/internal/xmldoc"
	"linuxha/pengine/state"
)

// CompareColocated orders the resources of a colocation list
// (assignment 4.3.2).
func CompareColocated(a, b *state.Resource) int {
	if c := cmp.Compare(b.Priority, a.Priority); c != 0 {
		return c
	}
	if c := cmp.Compare(b.Kind, a.Kind); c != 0 {
		return c
	}
	if a.Kind == state.Clone && a.Promotable != b.Promotable {
		if a.Promotable {
			return -1
		}
		return 1
	}
	return strings.Compare(a.ID, b.ID)
}

// InsertThisWith puts a colocation into a list ordered by primary.
func InsertThisWith(list []*state.Colocation, x *state.Colocation) []*state.Colocation {
	return value.InsertSorted(list, x, func(a, b *state.Colocation) int { return CompareColocated(a.Primary, b.Primary) })
}

// InsertWithThis puts a colocation into a list ordered by dependent.
func InsertWithThis(list []*state.Colocation, x *state.Colocation) []*state.Colocation {
	return value.InsertSorted(list, x, func(a, b *state.Colocation) int { return CompareColocated(a.Dependent, b.Dependent) })
}

// Colocate enters a colocation into both lists and adds the orderings of a
// mandatory anti-colocation (assignment 4.3, actions 5.4).
func Colocate(c *state.Cluster, x *state.Colocation) {
	x.Dependent.ThisWith = InsertThisWith(x.Dependent.ThisWith, x)
	x.Primary.WithThis = InsertWithThis(x.Primary.WithThis, x)
	if x.Score <= -infinity {
		antiOrder(c, x.Dependent, x.DependentRole, x.Primary, x.PrimaryRole)
		antiOrder(c, x.Primary, x.PrimaryRole, x.Dependent, x.DependentRole)
	}
}

func antiOrder(c *state.Cluster, a *state.Resource, roleA state.Role, b *state.Resource, roleB state.Role) {
	lose := []string{"stop"}
	switch roleA {
	case state.Promoted:
		lose = []string{"demote"}
	case state.Unpromoted:
		lose = []string{"stop", "promote"}
	}
	gain := []string{"start"}
	switch roleB {
	case state.Promoted:
		gain = []string{"promote"}
	case state.Unpromoted:
		gain = []string{"start", "demote"}
	}
	for _, l := range lose {
		for _, g := range gain {
			c.OrderOps(a, l, b, g, state.Anti)
		}
	}
}

func colocationRole(text string) state.Role {
	if r := state.ParseRole(text); r != state.Started {
		return r
	}
	return state.Unknown
}

// colocation reads an rsc_colocation (assignment 4).
func (u unpacker) colocation(x *xmldoc.Elem) {
	x = u.expandSets(x)
	tag1, tag2 := u.isTag(x, "rsc"), u.isTag(x, "with-rsc")
	if tag1 && tag2 {
		u.problem(x, "rsc and with-rsc cannot both be tags or templates")
		return
	}
	if tag1 || tag2 {
		x = privateCopy(x)
		for _, side := range [][2]string{{"rsc", "rsc-role"}, {"with-rsc", "with-rsc-role"}} {
			if !u.tagToSet(x, side[0], true) {
				u.unknown(x, "unpack_colocation_tags", x.Attr(side[0]))
				return
			}
			moveRole(x, side[1], "role")
		}
	}
	if x.Child("resource_set") != nil {
		u.colocationSets(x)
		return
	}
	dep := u.colocationSide(x, "rsc", "rsc-instance")
	pri := u.colocationSide(x, "with-rsc", "with-rsc-instance")
	score := u.c.Health.Score(x.Attr("score"))
	if dep == nil || pri == nil || score == 0 {
		return
	}
	u.colocate(x, x.ID(), dep, colocationRole(x.Attr("rsc-role")), pri, colocationRole(x.Attr("with-rsc-role")), score, x.Attr("node-attribute"))
}

func (u unpacker) colocationSide(x *xmldoc.Elem, attr, instAttr string) *state.Resource {
	r := u.c.Lookup(x.Attr(attr))
	if r == nil {
		u.unknown(x, "unpack_colocation_tags", x.Attr(attr))
		return nil
	}
	return u.instance(x, r, instAttr)
}

// instance applies the deprecated choice of a clone instance.
func (u unpacker) instance(x *xmldoc.Elem, r *state.Resource, attr string) *state.Resource {
	v, ok := x.Get(attr)
	if !ok {
		return r
	}
	if r.Kind != state.Clone {
		u.error("unpack_simple_colocation", "Ignoring constraint '%s' because resource '%s' is not a clone but instance '%s' was requested", x.ID(), r.ID, v)
		return nil
	}
	id := r.Clone.Child.ID() + ":" + v
	for _, k := range r.Children {
		if k.ID == id {
			return k
		}
	}
	u.problem(x, "%s has no instance %q", r.ID, v)
	return nil
}

func (u unpacker) colocate(x *xmldoc.Elem, id string, dep *state.Resource, depRole state.Role, pri *state.Resource, priRole state.Role, score int, attr string) {
	if score == 0 {
		return
	}
	influence := dep.Critical
	if text, has := x.Get("influence"); has {
		if v, ok := value.Bool(text); ok {
			influence = v
		} else {
			u.c.Note(state.Error, "unpack_influence", "Constraint '"+x.ID()+"' has invalid value for influence (using default)")
		}
	}
	u.c.Spend(state.WorkColocations, 1)
	Colocate(u.c, &state.Colocation{
		ID: id, Dependent: dep, Primary: pri, DependentRole: depRole, PrimaryRole: priRole,
		Score: score, NodeAttr: attr, Influence: influence, Constraint: x.ID(),
	})
}

// colocationSets handles resource sets (assignment 4.2).
func (u unpacker) colocationSets(x *xmldoc.Elem) {
	score := u.c.Health.Score(x.Attr("score"))
	var prev *xmldoc.Elem
	for _, set := range u.sets(x) {
		u.colocateInside(x, set, score)
		if prev != nil {
			u.colocateSets(x, prev, set, score)
		}
		prev = set
	}
}

func (u unpacker) colocateInside(x, set *xmldoc.Elem, score int) {
	if v, ok := set.Get("score"); ok {
		score = u.c.Health.Score(v)
	}
	seq, hasSeq := set.Get("sequential")
	if score == 0 || hasSeq && value.Falsy(seq) {
		return
	}
	role := colocationRole(set.Attr("role"))
	ordering, hasOrdering := set.Get("ordering")
	group := !hasOrdering || strings.EqualFold(ordering, "group")
	var before []*state.Resource
	var last *state.Resource
	for ref := range set.Children("resource_ref") {
		u.c.Spend(state.WorkMembers, 1)
		r := u.c.Lookup(ref.ID())
		if r == nil {
			u.error("unpack_colocation_set", "%s: No resource found for %s", set.ID(), ref.ID())
			return
		}
		switch {
		case score < 0:
			for other := range set.Children("resource_ref") {
				if strings.EqualFold(r.ID, other.ID()) {
					break
				}
				o := u.c.Lookup(other.ID())
				if o == nil {
					u.error("unpack_colocation_set", "%s: No resource found for %s", set.ID(), other.ID())
					return
				}
				u.colocate(x, set.ID(), r, role, o, role, score, "")
			}
		case last == nil:
		case group:
			u.colocate(x, set.ID(), r, role, last, role, score, "")
		default:
			u.colocate(x, set.ID(), last, role, r, role, score, "")
		}
		before = append(before, r)
		last = r
	}
}

func sequentialColocation(set *xmldoc.Elem) bool {
	v, ok := set.Get("sequential")
	return !ok || !value.Falsy(v)
}

func (u unpacker) colocateSets(x, s1, s2 *xmldoc.Elem, score int) {
	if score == 0 {
		return
	}
	list1, ok1 := u.members(s1, "unpack_colocation_set")
	list2, ok2 := u.members(s2, "unpack_colocation_set")
	if len(list1) == 0 || len(list2) == 0 {
		return
	}
	seq1, seq2 := sequentialColocation(s1), sequentialColocation(s2)
	if seq1 {
		list1, ok1 = list1[:1], true
	}
	if seq2 {
		if !ok2 {
			return
		}
		list2 = list2[len(list2)-1:]
	}
	role1, role2 := colocationRole(s1.Attr("role")), colocationRole(s2.Attr("role"))
	for _, a := range list1 {
		for _, b := range list2 {
			u.colocate(x, x.ID(), a, role1, b, role2, score, "")
		}
		if !ok2 {
			return
		}
	}
	_ = ok1
}
