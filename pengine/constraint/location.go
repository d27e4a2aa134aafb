package constraint

import (
	"regexp"
	"slices"
	"strings"

	"linuxha/pengine/internal/value"
	"linuxha/pengine/internal/xmldoc"
	"linuxha/pengine/rules"
	"linuxha/pengine/state"
)

// location reads an rsc_location (assignment 3).
func (u unpacker) location(x *xmldoc.Elem) {
	x = u.expandSets(x)
	if u.isTag(x, "rsc") {
		x = privateCopy(x)
		u.tagToSet(x, "rsc", false)
		moveRole(x, "role", "role")
	}
	if x.Child("resource_set") != nil {
		for _, set := range u.sets(x) {
			if _, ok := set.Get("id"); !ok {
				return
			}
			for ref := range set.Children("resource_ref") {
				u.c.Spend(state.WorkMembers, 1)
				r := u.c.Lookup(ref.ID())
				if r == nil {
					u.error("unpack_location_set", "%s: No resource found for %s", set.ID(), ref.ID())
					return
				}
				u.locate(x, set, r, nil)
			}
		}
		return
	}
	if id, ok := x.Get("rsc"); ok {
		r := u.c.Lookup(id)
		if r == nil {
			u.unknown(x, "unpack_location_tags", id)
			return
		}
		u.locate(x, nil, r, nil)
	}
	if pattern, ok := x.Get("rsc-pattern"); ok {
		u.locatePattern(x, pattern)
	}
}

func (u unpacker) locatePattern(x *xmldoc.Elem, pattern string) {
	pattern, invert := strings.CutPrefix(pattern, "!")
	re, err := regexp.CompilePOSIX(pattern)
	if err != nil {
		u.error("unpack_simple_location", "Ignoring constraint '%s' because rsc-pattern has invalid value '%s'", x.ID(), pattern)
		return
	}
	for _, r := range u.c.Resources {
		u.c.Spend(state.WorkLocations, 1)
		m := re.FindStringSubmatch(r.ID)
		switch {
		case m != nil && !invert:
			u.locate(x, nil, r, m)
		case m == nil && invert:
			u.locate(x, nil, r, nil)
		}
	}
}

func first(name string, es ...*xmldoc.Elem) (string, bool) {
	for _, e := range es {
		if v, ok := e.Get(name); ok {
			return v, true
		}
	}
	return "", false
}

// locate makes the locations of one resource (assignment 3.2).
func (u unpacker) locate(x, set *xmldoc.Elem, r *state.Resource, sub []string) {
	c := u.c
	name, hasNode := x.Get("node")
	score, hasScore := first("score", set, x)
	if hasNode && hasScore {
		n := c.NodeByName(name)
		if n == nil {
			return
		}
		role := state.Unknown
		if text, ok := first("role", set, x); ok {
			switch role = state.ParseRole(text); role {
			case state.Unknown:
				u.error("unpack_rsc_location", "Invalid constraint %s: Bad role %s", x.ID(), text)
			case state.Started, state.Unpromoted:
				role = state.Unknown
			}
		}
		e := state.LocEntry{Node: n, Score: c.Health.Score(score), Discover: n.Discover}
		newLocation(c, &state.Location{ID: x.ID(), Rsc: r, Role: role, Discover: u.discovery(x), Entries: []state.LocEntry{e}})
		return
	}
	none := true
	for rule := range x.Children("rule") {
		none = false
		if rule = c.Rules.Expand(rule); rule != nil {
			u.locateRule(x, rule, r, sub)
		}
	}
	if none {
		u.error("unpack_rsc_location", "Ignoring constraint '%s' because it contains no rules", x.ID())
	}
}

func (u unpacker) discovery(x *xmldoc.Elem) state.Discovery {
	v, ok := x.Get("resource-discovery")
	switch strings.ToLower(v) {
	case "never":
		return state.DiscoverNever
	case "exclusive":
		return state.DiscoverExclusive
	case "always":
	default:
		if ok {
			u.error("pcmk__new_location", "Invalid resource-discovery value %s in location constraint", v)
		}
	}
	return state.DiscoverAlways
}

// locateRule makes the location of one rule (assignment 3.3).
func (u unpacker) locateRule(x, rule *xmldoc.Elem, r *state.Resource, sub []string) {
	c := u.c
	role := state.Unknown
	if text, ok := rule.Get("role"); ok {
		if role = state.ParseRole(text); role == state.Unknown {
			u.error("generate_location_rule", "Bad role specified for %s: %s", rule.ID(), text)
			return
		}
		if role == state.Unpromoted {
			role = state.Unknown
		}
	}
	text, literal := rule.Get("score")
	attr, byAttr := "", false
	if !literal {
		if attr, byAttr = rule.Get("score-attribute"); byAttr {
			attr = rules.Submatches(attr, sub)
		} else {
			u.error("get_node_score", "Rule %s: no score specified.  Assuming 0.", rule.ID())
		}
	}
	or := strings.EqualFold(rule.Attr("boolean-op"), "or")
	var entries []state.LocEntry
	c.Spend(state.WorkLocations, len(c.Nodes))
	for _, n := range c.Nodes {
		s := &rules.Subject{Node: n.Attrs, Match: &rules.Match{
			Sub: sub, Meta: r.Meta, Params: func() value.Attrs { return c.Params(r, n) },
		}}
		if !c.Rules.Rule(rule, s) {
			continue
		}
		score := c.Health.Score(text)
		if byAttr {
			score = -infinity
			if v, ok := c.AttrFor(n, attr, r); ok {
				score = c.Health.Score(v)
			}
		}
		if or {
			score = value.Add(n.Score, score)
		}
		entries = append(entries, state.LocEntry{Node: n, Score: score, Discover: n.Discover})
	}
	if !or {
		slices.Reverse(entries)
	}
	newLocation(c, &state.Location{
		ID: rule.ID(), Parent: x.ID(), Rsc: r, Role: role, Discover: u.discovery(x), Entries: entries,
	})
}

// newLocation puts a location into the lists (assignment 3.5).
func newLocation(c *state.Cluster, l *state.Location) {
	if l.Discover == state.DiscoverExclusive {
		l.Rsc.ExclusiveDiscovery = true
	}
	c.Spend(state.WorkLocations, 8) // what a location takes beside its nodes
	c.Locations = append(c.Locations, l)
	l.Rsc.Locations = append(l.Rsc.Locations, l)
}

// applyLocation adds a location to the tables it concerns (assignment 7.2).
func applyLocation(c *state.Cluster, l *state.Location, r *state.Resource, scale int) {
	switch r.Kind {
	case state.Primitive:
		applyTo(c, l, r, scale)
	case state.Group:
		applyTo(c, l, r, scale)
		for i, k := range r.Children {
			if i > 0 && r.Group.Colocated {
				scale = 0
			}
			applyLocation(c, l, k, scale)
		}
	case state.Clone:
		applyTo(c, l, r, scale)
		for _, k := range r.Children {
			applyLocation(c, l, k, scale)
		}
	case state.Bundle:
		applyTo(c, l, r, scale)
		for _, rep := range r.Bundle.Replica {
			applyLocation(c, l, rep.Container, scale)
			if rep.IP != nil {
				applyLocation(c, l, rep.IP, scale)
			}
		}
		if inner := r.Bundle.Inner; inner != nil && l.Role == state.Promoted {
			applyLocation(c, l, inner, scale)
			inner.Locations = append(inner.Locations, l)
		}
	}
}

// applyTo adds a location to one table; scale 0 adds entries without scores.
func applyTo(c *state.Cluster, l *state.Location, r *state.Resource, scale int) {
	if l.Role != state.Unknown && l.Role != r.NextRole {
		return
	}
	c.Spend(state.WorkLocations, len(l.Entries))
	for _, e := range l.Entries {
		score := e.Score * scale
		t := r.Allowed.Get(e.Node)
		if t == nil {
			t = r.Allowed.Put(e.Node, state.Entry{Score: score, Discover: e.Discover})
			c.Why.Set(t, l.Cause())
		} else {
			t.Score = value.Add(t.Score, score)
			if score != 0 {
				c.Why.Add(t, score, l.Cause())
			}
		}
		if t.Discover < l.Discover {
			t.Discover = l.Discover
			if l.Discover == state.DiscoverExclusive {
				r.ExclusiveDiscovery = true
			}
		}
	}
}
