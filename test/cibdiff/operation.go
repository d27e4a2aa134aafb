package cibdiff

import (
	"fmt"
	"strings"

	"linuxha/cib/cibdoc"
	"linuxha/cib/patch"
)

// place is an element of the present document.
type place struct {
	n      *cibdoc.Node
	parent *cibdoc.Node
	path   cibdoc.Path
}

func places(doc *cibdoc.Doc) []place {
	var out []place
	doc.Root().Walk(func(p cibdoc.Path, n *cibdoc.Node) bool {
		if n.IsElement() && len(p) > 0 {
			out = append(out, place{n, doc.Root().At(p[:len(p)-1]), append(cibdoc.Path{}, p...)})
		}
		return true
	})
	return out
}

var scopes = []string{
	"resources", "constraints", "nodes", "crm_config", "configuration", "status", "rsc_defaults", "op_defaults", "tags", "acls", "alerts", "fencing-topology", "cib", "all", "nosuch",
}

// operation is the arguments for cibadmin, drawn for the present document.
func (g *gen) operation(doc *cibdoc.Doc) []string {
	var args []string
	switch k := g.IntN(100); {
	case k < 18:
		args = g.modify(doc)
	case k < 34:
		args = g.create(doc)
	case k < 46:
		args = g.replace(doc)
	case k < 60:
		args = g.remove(doc)
	case k < 74:
		args = g.query(doc)
	case k < 84:
		args = g.patch(doc)
	case k < 88:
		args = []string{"--bump"}
	case k < 90:
		args = []string{"--upgrade", "--force"}
	case k < 91:
		args = []string{"--erase", "--force"}
	case k < 93:
		args = []string{pick(g, "-5", "-6"), "-X", text(doc.Root())}
	case k < 95:
		args = []string{"--empty"}
	default:
		args = g.mistake(doc)
	}
	if g.chance(20) && args != nil && args[0] != "--empty" { // the reference takes what follows --empty for a schema
		args = append(args, "-U", pick(g, users...))
	}
	return args
}

func text(n *cibdoc.Node) string { return strings.TrimSuffix(string(n.Bytes()), "\n") }

func (g *gen) anyone(doc *cibdoc.Doc) place {
	all := places(doc)
	if len(all) == 0 {
		return place{n: doc.Root(), parent: doc.Root()}
	}
	return pick(g, all...)
}

// scope adds -o now and then, mostly the right one.
func (g *gen) scope(p place, args []string) []string {
	if g.chance(50) {
		return args
	}
	scope := pick(g, scopes...)
	if g.chance(70) {
		scope = p.parent.Tag
	}
	return append(args, "-o", scope)
}

// changed is a shallow copy of n with some other attributes.
func (g *gen) changed(n *cibdoc.Node) *cibdoc.Node {
	out := n.Bare()
	for _, a := range n.Attrs {
		switch {
		case a.Name == "id":
		case g.chance(40):
			out.SetAttr(a.Name, g.value())
		case g.chance(10):
			out.SetAttr(a.Name, pick(g, a.Name+"++", a.Name+"+=3", a.Name+"+=INFINITY", "other++"))
		case g.chance(30):
			out.RemoveAttr(a.Name)
		}
	}
	if g.chance(10) {
		out.SetAttr(pick(g, "description", "new", "score"), g.value())
	}
	return out
}

func (g *gen) modify(doc *cibdoc.Doc) []string {
	p := g.anyone(doc)
	n := g.changed(p.n)
	for _, c := range p.n.Children {
		if c.IsElement() && g.chance(30) {
			n.Add(g.changed(c))
		}
	}
	if g.chance(25) {
		n.Add(g.child(p.n))
	}
	args := []string{"-M", "-X", text(n)}
	if g.chance(25) {
		args = append(args, "-c")
		if g.chance(50) {
			args[2] = text(g.child(p.parent))
		}
	}
	if g.chance(15) {
		return append(args, "-A", g.xpath(doc, p))
	}
	return g.scope(p, args)
}

// child is a new element that parent could take.
func (g *gen) child(parent *cibdoc.Node) *cibdoc.Node {
	switch parent.Tag {
	case "resources", "group", "clone":
		return g.resource(parent.Tag == "resources")
	case "constraints":
		return cibdoc.E("rsc_location", "id", g.id("n"), "rsc", "r1", "node", "node2", "score", "5")
	case "nodes":
		id := g.id("9")
		return cibdoc.E("node", "id", id, "uname", "node"+id)
	case "primitive":
		return g.attributes(pick(g, "meta_attributes", "instance_attributes", "utilization"), g.id("x"))
	case "operations":
		return cibdoc.E("op", "id", g.id("op"), "name", "monitor", "interval", fmt.Sprintf("%ds", g.IntN(90)))
	case "configuration":
		return cibdoc.E(pick(g, "tags", "op_defaults", "rsc_defaults", "acls", "alerts", "nodes"))
	case "status":
		return cibdoc.E("node_state", "id", g.id("8"), "uname", "nodeX", "in_ccm", pick(g, "true", "false"))
	}
	id := g.id("nv")
	return cibdoc.E("nvpair", "id", id, "name", pick(g, "fake", "other", "target-role"), "value", g.value())
}

func (g *gen) create(doc *cibdoc.Doc) []string {
	p := g.anyone(doc)
	if g.chance(70) {
		for _, s := range places(doc) {
			if s.n.Tag == pick(g, "resources", "nodes", "constraints", "status") {
				p = s
				break
			}
		}
	}
	n := g.child(p.n)
	switch {
	case g.chance(15) && len(p.n.Children) > 0:
		n = p.n.Children[0]
	case g.chance(15):
		n = cibdoc.E(p.n.Tag).Add(n, g.child(p.n))
	}
	if !n.IsElement() {
		n = g.child(p.n)
	}
	args := []string{"-C", "-X", text(n)}
	if g.chance(85) {
		scope := p.n.Tag
		if g.chance(10) {
			scope = pick(g, scopes...)
		}
		args = append(args, "-o", scope)
	}
	return args
}

func (g *gen) replace(doc *cibdoc.Doc) []string {
	p := g.anyone(doc)
	if g.chance(35) {
		e := doc.Edit()
		root := e.Own(nil)
		v := doc.Version()
		v.Epoch += int64(g.IntN(4) - 1)
		v.NumUpdates = int64(g.IntN(3))
		if v.Epoch < 0 {
			v.Epoch = 0
		}
		cibdoc.SetVersion(root, v)
		for range g.IntN(4) {
			g.mutate(e)
		}
		return []string{"-R", "-X", text(e.Root())}
	}
	n := g.changed(p.n)
	for _, c := range p.n.Children {
		if g.chance(80) {
			n.Add(c)
		}
	}
	if g.chance(30) {
		n.Add(g.child(p.n))
	}
	args := []string{"-R", "-X", text(n)}
	if g.chance(15) {
		return append(args, "-A", g.xpath(doc, p))
	}
	return g.scope(p, args)
}

// mutate makes one small change somewhere.
func (g *gen) mutate(e *cibdoc.Edit) {
	all := places(cibdoc.New(e.Root().Shallow()))
	if len(all) == 0 {
		return
	}
	p := pick(g, all...)
	switch k := g.IntN(10); {
	case k < 4:
		n := e.Own(p.path)
		c := g.changed(n)
		n.Attrs = c.Attrs
	case k < 6 && len(p.path) > 2:
		e.Own(p.path[:len(p.path)-1]).RemoveAt(p.path[len(p.path)-1])
	case k < 8:
		e.Own(p.path).Add(g.child(p.n))
	default: // move it among its siblings
		parent := e.Own(p.path[:len(p.path)-1])
		i := p.path[len(p.path)-1]
		n := parent.Children[i]
		parent.RemoveAt(i)
		parent.Insert(g.IntN(len(parent.Children)+1), n)
	}
}

func (g *gen) remove(doc *cibdoc.Doc) []string {
	p := g.anyone(doc)
	if g.chance(40) {
		op := pick(g, []string{"-D"}, []string{"-d", "--force"})
		return append(op, "-A", g.xpath(doc, p))
	}
	n := cibdoc.E(p.n.Tag)
	if id, ok := p.n.Get("id"); ok && g.chance(90) {
		n.SetAttr("id", id)
	}
	for _, a := range p.n.Attrs {
		if a.Name != "id" && g.chance(25) {
			v := a.Value
			if g.chance(20) {
				v = strings.ToUpper(v)
			}
			n.SetAttr(a.Name, v)
		}
	}
	return g.scope(p, []string{"-D", "-X", text(n)})
}

func (g *gen) xpath(doc *cibdoc.Doc, p place) string {
	id := p.n.ID()
	switch g.IntN(9) {
	case 0:
		return "//" + p.n.Tag
	case 1:
		return fmt.Sprintf("//%s[@id='%s']", p.n.Tag, id)
	case 2:
		return "//*[@id=\"" + id + "\"]"
	case 3:
		return "//nvpair[@name='" + pick(g, "fake", "target-role", "priority", "nosuch") + "']"
	case 4:
		return "/cib/configuration/" + pick(g, "resources", "nodes", "constraints/*", "resources//primitive", "tags")
	case 5:
		return "//primitive[" + pick(g, "1", "last()", "@type='Dummy' and @provider='pacemaker'", "contains(@id,'1')", "starts-with(@id,'r')", "count(*)>1", "not(@description)") + "]"
	case 6:
		return "//op/ancestor::" + pick(g, "primitive", "group", "*")
	case 7:
		return "//nvpair/@value | //node"
	}
	return pick(g, "//nosuch", "///bad[", "count(//*)", "/cib", "//comment()", ".", "//primitive/..", "//*[@id]")
}

func (g *gen) query(doc *cibdoc.Doc) []string {
	args := []string{"-Q"}
	p := g.anyone(doc)
	switch g.IntN(3) {
	case 0:
		args = append(args, "-A", g.xpath(doc, p))
		if g.chance(30) {
			args = append(args, "-e")
		}
	case 1:
		args = append(args, "-o", pick(g, scopes...))
	}
	if g.chance(20) {
		args = append(args, "-n")
	}
	return args
}

// patch is a difference that our own crm_diff would make, now and then with
// other versions than the document has.
func (g *gen) patch(doc *cibdoc.Doc) []string {
	e := doc.Edit()
	for range 1 + g.IntN(3) {
		g.mutate(e)
	}
	root := e.Own(nil)
	v := doc.Version()
	v.Epoch++
	v.NumUpdates = 0
	if g.chance(10) {
		v.Epoch -= 2
	}
	cibdoc.SetVersion(root, v)
	target := e.Doc()
	source := doc
	if g.chance(10) {
		s := doc.Edit()
		w := doc.Version()
		w.NumUpdates += int64(g.IntN(3)) - 1
		cibdoc.SetVersion(s.Own(nil), w)
		source = s.Doc()
	}
	diff := patch.Create(source, target, patch.Options{NoVersion: g.chance(40), Digest: g.chance(40)})
	if diff == nil {
		return []string{"--bump"}
	}
	return []string{"-P", "-X", text(diff)}
}

// mistake is what people get wrong.
func (g *gen) mistake(doc *cibdoc.Doc) []string {
	return pick(g,
		[]string{"-E"}, []string{"-u"}, []string{"-d", "-A", "//node"}, []string{"-C"}, []string{"-M", "-X", "<"}, []string{"-M", "-X", ""},
		[]string{"-R", "-x", "no-such-file"}, []string{"-Q", "-o"}, []string{"--nonsense"}, []string{"-C", "-o", "tags", "-X", "<tag id=\"t\"/>"},
		[]string{"-M", "-X", `<cib validate-with="` + pick(g, "pacemaker-3.8", "none", "pacemaker-9.9", "pacemaker-1.0") + `"/>`},
		[]string{"-M", "-X", `<cib ` + pick(g, "admin_epoch", "epoch", "num_updates") + `="` + pick(g, "1", "100", "epoch++", "admin_epoch++", "num_updates+=5") + `"/>`},
		[]string{"-M", "-X", `<cib crm_feature_set="` + pick(g, "3.99.0", "3.16.0") + `"/>`},
		[]string{"-D", "-X", "<nodes/>"}, []string{"-D", "-A", "/cib"}, []string{"-R", "-X", "<cib/>"}, []string{"-P", "-X", "<diff/>"},
		[]string{"-Q", "-A", "//*[@id='"}, []string{"-C", "-o", "resources", "-X", `<primitive id="1bad" class="ocf" provider="heartbeat" type="Dummy"/>`},
		nil,
	)
}
