package schema

import (
	"slices"
	"strings"

	"linuxha/cib/cibdoc"
)

// maxProblems bounds what is reported about one document.
const maxProblems = 100

// Validate judges doc by the schema that it names; nil if it is valid. A
// document that names none is judged by none, as the reference does (what the
// schemas say about it: Unnamed), unless it is one of Heartbeat 2.1.
func Validate(doc *cibdoc.Doc) []Problem {
	x, problems := judge(doc)
	if x != nil {
		doc.Learn(x)
	}
	return problems
}

// judge is Validate that also returns what was learnt about a valid document.
func judge(doc *cibdoc.Doc) (*index, []Problem) {
	if x, ok := doc.Learnt().(*index); ok {
		return x, nil
	}
	root := doc.Root()
	if root.Tag != "cib" {
		return nil, []Problem{wrongRoot(root)}
	}
	name, named := root.Get("validate-with")
	v, known := Lookup(name)
	switch {
	case IsHeartbeat(doc):
		return nil, []Problem{unknownSchema(root, name)}
	case !named:
		return nil, nil
	case !known:
		return nil, []Problem{unknownSchema(root, name)}
	case v.None:
		return nil, nil
	}
	return of(v).check(root)
}

func wrongRoot(root *cibdoc.Node) Problem {
	p := problemAt(root, "the root element must be <cib>")
	p.Reference = []string{"Expecting element cib, got " + root.Tag}
	return p
}

func unknownSchema(root *cibdoc.Node, name string) Problem {
	p := problemAt(root, "validate-with=%q is no schema; known are %s to %s, and none", name, Versions[0], Versions[len(Versions)-1])
	if IsHeartbeat(cibdoc.New(root)) {
		p.Text = "the document is in the language of Heartbeat 2.1, which is not served as it stands; `cibadmin --upgrade --force` converts it"
	}
	p.Attribute = "validate-with"
	p.Reference = []string{"Invalid attribute validate-with for element cib"}
	return p
}

// Check judges doc by a schema that it need not name. The names of 9.1 that
// stand for no schema are a problem, `none` never is.
func Check(doc *cibdoc.Doc, name string) []Problem {
	v, known := Lookup(name)
	switch {
	case !known:
		return []Problem{unknownSchema(doc.Root(), name)}
	case v.None:
		return nil
	}
	_, problems := of(v).check(doc.Root())
	return problems
}

// Conforms reports whether doc is valid by a schema that it need not name.
func Conforms(doc *cibdoc.Doc, name string) bool { return len(Check(doc, name)) == 0 }

// Unnamed is what all schemas say, oldest first, about a document that names
// none of them: the reference tries each, tells what is wrong, and goes on
// without validation.
func Unnamed(doc *cibdoc.Doc) []Problem {
	var out []Problem
	for _, name := range append(slices.Clone(Versions), next.String()) {
		out = append(out, Check(doc, name)...)
	}
	return out
}

// Best is the newest schema that doc conforms to, "" if there is none.
func Best(doc *cibdoc.Doc) string {
	for _, name := range slices.Backward(Versions) {
		if Conforms(doc, name) {
			return name
		}
	}
	return ""
}

// check judges a whole document; the index is of a valid one.
func (s *Schema) check(root *cibdoc.Node) (*index, []Problem) {
	if root.Tag != s.root.tag || root.Attr("xmlns") != "" {
		return nil, []Problem{wrongRoot(root)}
	}
	c := &checker{schema: s}
	c.element(root, nil, s.root)
	c.identities()
	if len(c.problems) > 0 {
		slices.SortStableFunc(c.problems, func(a, b Problem) int { return a.Line - b.Line })
		return nil, c.problems
	}
	return newIndex(c), nil
}

// checker is one judgement.
type checker struct {
	schema   *Schema
	problems []Problem
	ids      []identifier
	refs     []identifier
	values   []int // of attribute: where the element has it, plus 1; a stack
}

// identifier is an attribute that names an element.
type identifier struct {
	name string
	node *cibdoc.Node
	attr string
}

func (c *checker) add(p Problem) {
	if len(c.problems) < maxProblems {
		c.problems = append(c.problems, p)
	}
}

// element judges n as an e, and all below it.
func (c *checker) element(n, parent *cibdoc.Node, e *element) {
	if e.anything {
		return
	}
	if !c.content(n, e) && len(c.problems) < maxProblems {
		c.explain(n, parent, e)
	}
	for _, child := range n.Children {
		if child.Kind != cibdoc.KindElement {
			continue
		}
		if i, ok := e.child[child.Tag]; ok {
			c.element(child, n, e.children[i])
		}
	}
}

// content reports whether the attributes and the children of n, but not what
// is below them, are those of an e. It notes the identifiers.
func (c *checker) content(n *cibdoc.Node, e *element) bool {
	base := len(c.values)
	for range e.attrs {
		c.values = append(c.values, 0)
	}
	defer func() { c.values = c.values[:base] }()
	ok := true
	for i := range n.Attrs {
		a := &n.Attrs[i]
		k, known := e.index[a.Name]
		if !known {
			if isDeclaration(a.Name) && (a.Name != "xmlns" || a.Value == "") {
				continue // of a prefix that nobody can use
			}
			ok = false
			continue
		}
		c.values[base+k] = i + 1
	}
	st := e.start
	for k, at := range c.values[base:] {
		if at == 0 {
			st = c.schema.without(e, st)
			continue
		}
		a := &n.Attrs[at-1]
		spec := e.attrs[k]
		st = c.schema.with(e, st, spec.mask(a.Value))
		if spec.id && isName(trim(a.Value)) {
			c.ids = append(c.ids, identifier{trim(a.Value), n, a.Name})
		}
		if spec.ref && isName(trim(a.Value)) {
			c.refs = append(c.refs, identifier{trim(a.Value), n, a.Name})
		}
	}
	for _, child := range n.Children {
		if st.dead() {
			return false
		}
		if child.Kind != cibdoc.KindElement {
			ok = ok && !isText(child)
			continue
		}
		i, known := e.child[child.Tag]
		if !known || child.Attr("xmlns") != "" {
			return false
		}
		st = c.schema.after(e, st, i)
	}
	return ok && st.pattern.nullable
}

// isDeclaration reports whether an attribute declares a name space.
func isDeclaration(name string) bool {
	return strings.HasPrefix(name, "xmlns") && (len(name) == 5 || name[5] == ':')
}

// isText reports whether n counts as text.
func isText(n *cibdoc.Node) bool {
	return n.Kind == cibdoc.KindCData && trim(n.Text) != ""
}

// mask has a bit for each of the attribute's datatypes that a value is in.
func (a *attribute) mask(value string) uint64 {
	mask := uint64(0)
	for bit, t := range a.types {
		if t.accepts(value) {
			mask |= 1 << bit
		}
	}
	return mask
}

// identities checks that ids are unique and that references lead somewhere.
func (c *checker) identities() {
	seen := make(map[string]*cibdoc.Node, len(c.ids))
	for _, id := range c.ids {
		if first := seen[id.name]; first != nil {
			c.add(duplicate(id, first))
			continue
		}
		seen[id.name] = id.node
	}
	for _, r := range c.refs {
		if seen[r.name] == nil {
			c.add(dangling(r))
		}
	}
}
