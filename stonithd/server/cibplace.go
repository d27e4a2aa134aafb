package server

import (
	"regexp"
	"slices"
	"strings"

	"linuxha/cib/cibdoc"
	"linuxha/pengine/rules"
)

// allowed: no location constraint keeps the device, or what encloses it, off
// this node (execution 33.1).
func (c *cibReader) allowed(p placed, at rules.Place) bool {
	names := c.namesOf(p)
	symmetric := !strings.EqualFold(c.property("symmetric-cluster"), "false")
	sum, mentioned := 0, false
	for _, loc := range c.locations {
		for _, name := range names {
			set, sub, concerned := concerns(loc, name)
			if !concerned {
				continue
			}
			at.Sub = sub
			if s, here := c.locationScore(loc, set, at); here {
				sum, mentioned = addScores(sum, s), true
			}
		}
	}
	if !mentioned {
		return symmetric
	}
	return sum >= 0
}

func concernsAny(loc *cibdoc.Node, names []string) bool {
	return slices.ContainsFunc(names, func(n string) bool { _, _, is := concerns(loc, n); return is })
}

// concerns reports whether a constraint means a name: by itself, by its
// pattern, whose submatches are sub then, or in one of its sets.
func concerns(loc *cibdoc.Node, id string) (set *cibdoc.Node, sub []string, is bool) {
	if loc.Attr("rsc") == id {
		return nil, nil, true
	}
	if p := loc.Attr("rsc-pattern"); p != "" {
		p, inverted := strings.CutPrefix(p, "!")
		re, err := regexp.CompilePOSIX(p)
		if err != nil {
			return nil, nil, false
		}
		sub = re.FindStringSubmatch(id)
		return nil, sub, (sub != nil) != inverted
	}
	for _, set := range cibdoc.Children(loc, "resource_set") {
		for _, ref := range cibdoc.Children(set, "resource_ref") {
			if ref.ID() == id {
				return set, nil, true
			}
		}
	}
	return nil, nil, false
}

// locationScore is what a constraint gives this node; not here: it says nothing
// of it. Rules for the promoted role are not for fencing devices.
func (c *cibReader) locationScore(loc, set *cibdoc.Node, at rules.Place) (s int, here bool) {
	if n := loc.Attr("node"); n != "" {
		score := loc
		if set != nil && set.Attr("score") != "" {
			score = set
		}
		return scoreOf(score), strings.EqualFold(n, c.node)
	}
	for _, rule := range cibdoc.Children(loc, "rule") {
		if rule = c.meant(rule); rule == nil || promoted(rule.Attr("role")) || !c.applies([]*cibdoc.Node{rule}, at) {
			continue
		}
		here = true
		if by := rule.Attr("score-attribute"); by != "" && rule.Attr("score") == "" {
			value, defined := at.Node[rules.Submatches(by, at.Sub)]
			if !defined {
				value = "-INFINITY"
			}
			s = addScores(s, score(value))
			continue
		}
		s = addScores(s, scoreOf(rule))
	}
	return s, here
}

func promoted(role string) bool {
	return strings.EqualFold(role, "Promoted") || strings.EqualFold(role, "Master")
}

func addScores(a, b int) int {
	if a == -infinity || b == -infinity {
		return -infinity
	}
	return max(-infinity, min(infinity, a+b))
}

// place is where rules about a device are judged: this node, with its permanent
// attributes. Attributes that come with the status are not known.
func (c *cibReader) place(p placed) rules.Place {
	node := map[string]string{"#kind": "cluster", "#uname": c.node}
	for name, value := range c.attrs[c.node] {
		node[name] = value
	}
	for _, n := range cibdoc.Children(c.root.Child("nodes"), "node") {
		if n.Attr("uname") == c.node {
			node["#id"] = n.ID()
		}
	}
	cluster := c.property("cluster-name")
	if cluster != "" {
		node["#cluster-name"] = cluster
	}
	if site, ok := node["site-name"]; ok {
		node["#site-name"] = site
	} else if cluster != "" {
		node["#site-name"] = cluster
	}
	provider := c.inherited(p.prim, "provider")
	return rules.Place{Node: node, Resource: &rules.Resource{
		Class: c.inherited(p.prim, "class"), Type: c.inherited(p.prim, "type"), Provider: provider, HasProvider: provider != "",
	}}
}

// attributes adds the nvpairs of e's sets that apply to into; of several sets
// the one with the higher score wins, and any of them over what was there before.
func (c *cibReader) attributes(e *cibdoc.Node, set string, into map[string]string, at rules.Place) {
	sets := cibdoc.Children(e, set)
	for i, s := range sets {
		if ref := s.Attr("id-ref"); ref != "" {
			c.refs = true
			if target := find(c.root, set, ref); target != nil {
				sets[i] = target
			}
		}
	}
	slices.SortStableFunc(sets, func(a, b *cibdoc.Node) int { return scoreOf(b) - scoreOf(a) })
	found := map[string]string{}
	for _, s := range sets {
		if !c.applies(cibdoc.Children(s, "rule"), at) {
			continue
		}
		for _, nv := range cibdoc.Children(s, "nvpair") {
			name := nv.Attr("name")
			if _, set := found[name]; !set && name != "" {
				found[name] = nv.Attr("value")
			}
		}
	}
	for k, v := range found {
		into[k] = v
	}
}

// nodeAttributes are the permanent attributes of all nodes, by their names.
func (c *cibReader) nodeAttributes() map[string]map[string]string {
	out := map[string]map[string]string{}
	for _, n := range cibdoc.Children(c.root.Child("nodes"), "node") {
		attrs := map[string]string{}
		c.attributes(n, "instance_attributes", attrs, rules.Place{})
		out[n.Attr("uname")] = attrs
	}
	return out
}

// applies evaluates rules as the scheduler does: any of them is enough, and
// none at all. The time at which that may change by itself is noted.
func (c *cibReader) applies(of []*cibdoc.Node, at rules.Place) bool {
	if len(of) == 0 {
		return true
	}
	alone := cibdoc.E("rules").Add(of...)
	// What they refer to lies somewhere in the configuration.
	others, known := cibdoc.E("others"), map[string]bool{}
	for next := alone; next != nil; {
		var refs []string
		next.Walk(func(_ cibdoc.Path, n *cibdoc.Node) bool {
			if ref := n.Attr("id-ref"); n.IsElement() && n.Tag == "rule" && ref != "" && !known[ref] {
				known[ref] = true
				refs = append(refs, ref)
			}
			return true
		})
		next = nil
		for _, ref := range refs {
			c.refs = true
			if target := find(c.root, "rule", ref); target != nil {
				if next == nil {
					next = cibdoc.E("found")
				}
				next.Add(target)
			}
		}
		if next != nil {
			others.Add(next)
		}
	}
	lone, err := rules.Parse(alone.Add(others).Bytes())
	if err != nil {
		return false // it came out of a document that could be read
	}
	applies, until := lone.Applies(at, c.at)
	if !until.IsZero() && (c.until.IsZero() || until.Before(c.until)) {
		c.until = until
	}
	return applies
}

// meant is the rule itself, or the one it refers to; nil if there is none.
func (c *cibReader) meant(rule *cibdoc.Node) *cibdoc.Node {
	ref := rule.Attr("id-ref")
	if ref == "" {
		return rule
	}
	c.refs = true
	return find(c.root, "rule", ref)
}
