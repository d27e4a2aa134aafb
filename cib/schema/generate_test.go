package schema

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"linuxha/cib/cibdoc"
)

// generator makes random documents out of the grammar itself.
type generator struct {
	schema *Schema
	rand   *rand.Rand
	count  int            // of ids so far
	ids    []string       // all so far
	refs   []*cibdoc.Node // that hold reference somewhere
	depth  int
	plenty bool // large documents
}

// reference stands for an id until all are known.
const reference = "\x01"

// piece is an attribute or a child.
type piece struct {
	attr  cibdoc.Attr
	child *cibdoc.Node
}

// generate makes a valid document of a version.
func generate(v Version, r *rand.Rand, plenty bool) *cibdoc.Node {
	g := &generator{schema: of(v), rand: r, plenty: plenty}
	root := g.element(g.schema.grammar.definitions["start"].body, nil)
	root.SetAttr("validate-with", v.String())
	byTag := map[string][]string{}
	root.Walk(func(_ cibdoc.Path, n *cibdoc.Node) bool {
		if id, ok := n.Get("id"); ok && id != reference {
			byTag[n.Tag] = append(byTag[n.Tag], id)
		}
		return true
	})
	for _, n := range g.refs {
		for i, a := range n.Attrs {
			same := byTag[n.Tag]
			switch {
			case a.Value != reference:
			case a.Name == "id-ref" && len(same) > 0 && r.IntN(20) > 0:
				n.Attrs[i].Value = same[r.IntN(len(same))]
			case len(g.ids) == 0:
				n.Attrs[i].Value = "nobody"
			default:
				n.Attrs[i].Value = g.ids[r.IntN(len(g.ids))]
			}
		}
	}
	return root
}

func (g *generator) element(n *node, env []bound) *cibdoc.Node {
	out := cibdoc.E(n.name)
	g.depth++
	for _, p := range g.pieces(n.items[0], env) {
		if p.child != nil {
			out.Add(p.child)
			continue
		}
		out.SetAttr(p.attr.Name, p.attr.Value)
		if p.attr.Value == reference {
			g.refs = append(g.refs, out)
		}
	}
	g.depth--
	g.rand.Shuffle(len(out.Attrs), func(i, j int) { out.Attrs[i], out.Attrs[j] = out.Attrs[j], out.Attrs[i] })
	return out
}

func (g *generator) alive(n *node, env []bound) bool {
	if !g.schema.holds(n) {
		return false
	}
	switch n.kind {
	case nodeSequence, nodeInterleave, nodeChoice:
		return slices.ContainsFunc(n.items, func(i *node) bool { return g.alive(i, env) })
	case nodeOptional, nodeAny, nodeSome:
		return g.alive(n.items[0], env)
	case nodeRef:
		if b, ok := lookup(env, n.name); ok {
			return g.alive(b.node, b.env)
		}
		if d := g.schema.grammar.definitions[n.name]; len(d.params) == 0 {
			return g.alive(d.body, nil)
		}
	}
	return true
}

func (g *generator) pieces(n *node, env []bound) []piece {
	if !g.alive(n, env) {
		return nil
	}
	var out []piece
	switch n.kind {
	case nodeSequence:
		for _, i := range n.items {
			out = append(out, g.pieces(i, env)...)
		}
	case nodeInterleave:
		for _, i := range n.items {
			out = merge(g.rand, out, g.pieces(i, env))
		}
	case nodeChoice:
		var alive []*node
		for _, i := range n.items {
			if g.alive(i, env) {
				alive = append(alive, i)
			}
		}
		return g.pieces(alive[g.rand.IntN(len(alive))], env)
	case nodeOptional:
		if g.rand.IntN(3) == 0 || g.plenty && g.rand.IntN(2) == 0 {
			return g.pieces(n.items[0], env)
		}
	case nodeAny, nodeSome:
		times := g.rand.IntN(3)
		if g.plenty && g.depth < 4 {
			times = g.rand.IntN(6)
		}
		if g.depth > 8 {
			times = 0
		}
		if n.kind == nodeSome {
			times = max(times, 1)
		}
		for range times {
			out = append(out, g.pieces(n.items[0], env)...)
		}
	case nodeElement:
		if g.depth > 12 { // rules within rules
			return []piece{{child: cibdoc.E(n.name, "id", g.id())}}
		}
		return []piece{{child: g.element(n, env)}}
	case nodeAttribute:
		return []piece{{attr: cibdoc.Attr{Name: n.name, Value: g.value(n.name, g.schema.datatype(n.items[0]))}}}
	case nodeRef:
		if b, ok := lookup(env, n.name); ok {
			return g.pieces(b.node, b.env)
		}
		d := g.schema.grammar.definitions[n.name]
		var inner []bound
		for i, p := range d.params {
			inner = append(inner, bound{p, n.items[i], env})
		}
		return g.pieces(d.body, inner)
	}
	return out
}

func merge(r *rand.Rand, a, b []piece) []piece {
	out := make([]piece, 0, len(a)+len(b))
	for len(a)+len(b) > 0 {
		if len(b) == 0 || len(a) > 0 && r.IntN(len(a)+len(b)) < len(a) {
			out, a = append(out, a[0]), a[1:]
		} else {
			out, b = append(out, b[0]), b[1:]
		}
	}
	return out
}

func (g *generator) id() string {
	g.count++
	id := fmt.Sprintf("i%d", g.count)
	g.ids = append(g.ids, id)
	return id
}

func pick(r *rand.Rand, words ...string) string { return words[r.IntN(len(words))] }

// names are what some attributes hold in real life, where upgrades look.
var names = map[string][]string{
	"name": {
		"monitor", "start", "stop", "promote", "target-role", "is-managed", "requires", "timeout", "isolation", "isolation-host", "role", "on-fail", "enabled",
		"start-delay", "interval-origin", "record-pending", "pcmk_reboot_cmd", "pcmk_arg_map", "pcmk_off_cmd", "pcmk_host_argument", "stonith-enabled",
		"stonith_enabled", "no_quorum_policy", "default-action-timeout", "default_action_timeout", "default-resource-stickiness",
		"is-managed-default", "is_managed_default", "default-resource-failure-stickiness", "default-migration-threshold", "expected-quorum-votes",
		"cluster-infrastructure", "notification-agent", "transition_idle_timeout", "resource-failure-stickiness", "resource_failure_stickiness",
		"resource-stickiness", "migration-threshold", "dc_deadtime", "pcmk_list_cmd", "isolation-wrapper", "isolation-instance",
	},
	"value": {"1", "true", "false", "-INFINITY", "INFINITY", "heartbeat", "cman", "corosync", "openais", "port:plug", "port:a,b:c", "x:y", "", "30s", "Started", "fencing", "nothing"},
}

func (g *generator) value(attr string, t *datatype) string {
	r := g.rand
	switch t.kind {
	case typeID:
		return g.id()
	case typeIDRef:
		return reference
	case typeBoolean:
		return pick(r, "true", "false", "1", "0")
	case typeInteger:
		return pick(r, "0", "1", "-5", "+7", "1000000")
	case typeNonNegative:
		return pick(r, "0", "1", "12")
	case typePositive:
		return pick(r, "1", "9")
	case typeWord, typeExactly:
		return t.word
	case typePattern:
		return pick(r, "1-2", "7")
	case typeChoice:
		return g.value(attr, t.of[r.IntN(len(t.of))])
	}
	for {
		v := pick(r, "a", "b c", "é", "x1", "<&\">", "")
		if known := names[attr]; known != nil {
			v = pick(r, known...)
		}
		if t.accepts(v) {
			return v
		}
	}
}

// mutate changes one thing in a document that nobody else holds.
func mutate(root *cibdoc.Node, r *rand.Rand) {
	var all, parents []*cibdoc.Node
	root.Walk(func(_ cibdoc.Path, n *cibdoc.Node) bool {
		all = append(all, n)
		if len(n.Children) > 0 {
			parents = append(parents, n)
		}
		return true
	})
	if len(parents) == 0 {
		return
	}
	n := all[r.IntN(len(all))]
	p := parents[r.IntN(len(parents))]
	i := r.IntN(len(p.Children))
	other := all[r.IntN(len(all))]
	switch r.IntN(12) {
	case 0:
		if len(n.Attrs) > 0 {
			n.RemoveAttr(n.Attrs[r.IntN(len(n.Attrs))].Name)
		}
	case 1:
		if len(n.Attrs) > 0 && len(other.Attrs) > 0 {
			n.Attrs[r.IntN(len(n.Attrs))].Value = other.Attrs[r.IntN(len(other.Attrs))].Value
		}
	case 2:
		if len(other.Attrs) > 0 {
			a := other.Attrs[r.IntN(len(other.Attrs))]
			n.SetAttr(a.Name, a.Value)
		}
	case 3:
		n.SetAttr(pick(r, "id", "id-ref", "score", "name", "value", "kind", "role", "rsc", "description", "type", "class", "provider", "template", "end", "start"),
			pick(r, "i1", "new", "1", "ocf", "INFINITY", "Started", ""))
	case 4, 5:
		p.RemoveAt(i)
	case 6:
		p.Insert(r.IntN(len(p.Children)+1), clone(p.Children[i]))
	case 7:
		n.Tag = other.Tag
	case 8:
		j := r.IntN(len(p.Children))
		p.Children[i], p.Children[j] = p.Children[j], p.Children[i]
	case 9:
		n.Insert(r.IntN(len(n.Children)+1), clone(other))
	case 10:
		c := clone(p.Children[i])
		k := 0
		c.Walk(func(_ cibdoc.Path, d *cibdoc.Node) bool {
			if _, has := d.Get("id"); has {
				k++
				d.SetAttr("id", fmt.Sprintf("copy%d-%d", r.IntN(1e6), k))
			}
			return true
		})
		p.Insert(r.IntN(len(p.Children)+1), c)
	case 11:
		if len(n.Attrs) > 0 {
			a := &n.Attrs[r.IntN(len(n.Attrs))]
			a.Value = pick(r, " ", "\t", "") + a.Value + pick(r, " ", "\n", "")
		}
	}
}
