// Package cibdiff compares our cibadmin with the reference's on random CIBs in
// files (CIB_file): the same random operations on both, and after each of them
// the same exit status, output, document and digests. What it compares against
// is an installed Pacemaker, run as a black box; without one there is nothing
// to do.
package cibdiff

import (
	"fmt"
	"math/rand/v2"

	"linuxha/cib/cibdoc"
)

// gen makes random documents and operations from one seed.
type gen struct {
	*rand.Rand
	fresh int // for ids that are not there yet
}

func pick[T any](g *gen, of ...T) T { return of[g.IntN(len(of))] }

func (g *gen) chance(percent int) bool { return g.IntN(100) < percent }

func (g *gen) id(prefix string) string {
	g.fresh++
	return fmt.Sprintf("%s%d", prefix, g.fresh)
}

var schemas = []string{
	"pacemaker-3.9", "pacemaker-3.9", "pacemaker-3.9", "pacemaker-3.9", "pacemaker-3.7", "pacemaker-3.0", "pacemaker-2.10", "pacemaker-1.2", "none",
}

// document is a random CIB that its schema accepts.
func (g *gen) document() *cibdoc.Node {
	schema := pick(g, schemas...)
	root := cibdoc.E("cib", "crm_feature_set", pick(g, "3.16.1", "3.16.1", "3.0.5", "3.0.4"), "validate-with", schema,
		"epoch", fmt.Sprint(g.IntN(50)), "num_updates", fmt.Sprint(g.IntN(50)), "admin_epoch", fmt.Sprint(g.IntN(3)))
	if g.chance(30) {
		root.SetAttr("have-quorum", "1")
		root.SetAttr("cib-last-written", "Fri Nov 20 14:00:00 2026")
	}
	config := cibdoc.E("configuration")
	crm := cibdoc.E("crm_config")
	if g.chance(80) {
		set := cibdoc.E("cluster_property_set", "id", "cib-bootstrap-options")
		for _, o := range [][2]string{{"stonith-enabled", "false"}, {"no-quorum-policy", "ignore"}, {"cluster-delay", "60s"}, {"enable-acl", "true"}} {
			if g.chance(50) {
				set.Add(nv("cib-bootstrap-options", o[0], o[1]))
			}
		}
		crm.Add(set)
	}
	nodes := cibdoc.E("nodes")
	for i := range g.IntN(4) {
		nodes.Add(cibdoc.E("node", "id", fmt.Sprint(i+1), "uname", fmt.Sprintf("node%d", i+1)))
	}
	resources := cibdoc.E("resources")
	var ids []string
	for range g.IntN(6) {
		r := g.resource(true)
		resources.Add(r)
		ids = append(ids, r.ID())
	}
	constraints := cibdoc.E("constraints")
	for range g.IntN(4) {
		if c := g.constraint(ids); c != nil {
			constraints.Add(c)
		}
	}
	config.Add(crm, nodes, resources, constraints)
	if g.chance(30) {
		id := g.id("defaults")
		config.Add(cibdoc.E("rsc_defaults").Add(cibdoc.E("meta_attributes", "id", id).Add(nv(id, "resource-stickiness", "1"))))
	}
	if g.chance(30) && schema != "pacemaker-1.2" {
		config.Add(g.acls())
	}
	if g.chance(20) {
		g.comments(config)
	}
	root.Add(config)
	if g.chance(80) {
		root.Add(g.status())
	}
	return root
}

func nv(set, name, value string) *cibdoc.Node {
	return cibdoc.E("nvpair", "id", set+"-"+name, "name", name, "value", value)
}

// value is an attribute's value, mostly harmless.
func (g *gen) value() string {
	return pick(g, "1", "2", "10", "-5", "INFINITY", "true", "false", "text", "two words", "", "a<b>&\"c\"'d'", "é", "tab\there", "0.5", "Started", "Stopped")
}

func (g *gen) attributes(tag, owner string) *cibdoc.Node {
	id := g.id(owner + "-set")
	set := cibdoc.E(tag, "id", id)
	for _, name := range []string{"target-role", "fake", "priority", "state", "is-managed"}[:g.IntN(5)] {
		if name == "target-role" {
			set.Add(nv(id, name, pick(g, "Started", "Stopped")))
			continue
		}
		set.Add(nv(id, name, g.value()))
	}
	return set
}

func (g *gen) resource(nested bool) *cibdoc.Node {
	switch k := g.IntN(10); {
	case nested && k == 0:
		n := cibdoc.E("group", "id", g.id("g"))
		for range 1 + g.IntN(3) {
			n.Add(g.resource(false))
		}
		return n
	case nested && k == 1:
		return cibdoc.E("clone", "id", g.id("c")).Add(g.resource(false))
	}
	id := g.id("r")
	n := cibdoc.E("primitive", "id", id, "class", "ocf", "provider", pick(g, "pacemaker", "heartbeat"), "type", pick(g, "Dummy", "Stateful"))
	if g.chance(30) {
		n.SetAttr("description", pick(g, "plain", "with 'quotes' and é", "a<b"))
	}
	if g.chance(50) {
		n.Add(g.attributes("instance_attributes", id))
	}
	if g.chance(50) {
		n.Add(g.attributes("meta_attributes", id))
	}
	if g.chance(50) {
		ops := cibdoc.E("operations")
		for i := range g.IntN(3) {
			ops.Add(cibdoc.E("op", "id", fmt.Sprintf("%s-op%d", id, i), "name", pick(g, "monitor", "start", "stop"), "interval", fmt.Sprintf("%ds", 10*i), "timeout", "20s"))
		}
		n.Add(ops)
	}
	return n
}

func (g *gen) constraint(ids []string) *cibdoc.Node {
	if len(ids) == 0 {
		return nil
	}
	a, b := pick(g, ids...), pick(g, ids...)
	switch g.IntN(3) {
	case 0:
		return cibdoc.E("rsc_location", "id", g.id("l"), "rsc", a, "node", "node1", "score", pick(g, "100", "INFINITY", "-5"))
	case 1:
		return cibdoc.E("rsc_order", "id", g.id("o"), "first", a, "then", b)
	}
	return cibdoc.E("rsc_colocation", "id", g.id("k"), "rsc", a, "with-rsc", b, "score", pick(g, "INFINITY", "-INFINITY", "5"))
}

// users are those that the ACLs speak of, and one of whom they do not.
var users = []string{"reader", "writer", "halfway", "nobody1"}

func (g *gen) acls() *cibdoc.Node {
	permission := func(kind, attr, value string) *cibdoc.Node {
		return cibdoc.E("acl_permission", "id", g.id("perm"), "kind", kind, attr, value)
	}
	target := func(name, role string) *cibdoc.Node {
		return cibdoc.E("acl_target", "id", name).Add(cibdoc.E("role", "id", role))
	}
	return cibdoc.E("acls").Add(
		target("reader", "role-r"), cibdoc.E("acl_role", "id", "role-r").Add(permission("read", "xpath", "/cib")),
		target("writer", "role-w"), cibdoc.E("acl_role", "id", "role-w").Add(permission("write", "xpath", "/cib")),
		target("halfway", "role-h"), cibdoc.E("acl_role", "id", "role-h").Add(
			permission("read", "xpath", "/cib"), permission("write", "xpath", "//resources"), permission("deny", "xpath", "//nvpair[@name='fake']")),
	)
}

func (g *gen) comments(n *cibdoc.Node) {
	for _, c := range n.Children {
		if c.IsElement() && len(c.Children) > 0 && g.chance(40) {
			g.comments(c)
		}
	}
	if g.chance(60) {
		n.Insert(g.IntN(len(n.Children)+1), cibdoc.Comment(pick(g, " one ", " two ", " three ")))
	}
}

func (g *gen) status() *cibdoc.Node {
	s := cibdoc.E("status")
	for i := range g.IntN(3) {
		id := fmt.Sprint(i + 1)
		s.Add(cibdoc.E("node_state", "id", id, "uname", "node"+id, "in_ccm", "true", "crmd", "online", "join", "member", "expected", "member").Add(
			cibdoc.E("transient_attributes", "id", id).Add(cibdoc.E("instance_attributes", "id", "status-"+id).Add(nv("status-"+id, "pingd", g.value())))))
	}
	return s
}
