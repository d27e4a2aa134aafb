package schema

import (
	"fmt"
	"slices"
	"strings"

	"linuxha/cib/cibdoc"
)

// RNG writes the grammar as RELAX NG files, by file name: pacemaker-M.N.rng for
// each version, pacemaker-next.rng, pacemaker.rng for the newest, and
// versions.rng, which the others include. Clients such as crmsh read them from
// /usr/share/pacemaker (cib 9.1, 9.2).
func RNG() map[string][]byte {
	out := map[string][]byte{}
	for _, name := range append(slices.Clone(Versions), next.String()) {
		v, _ := Lookup(name) // from our own list
		w := newRNGWriter(v)
		out[name+".rng"] = w.file(w.schema.grammar.definitions["start"].body)
	}
	out["pacemaker.rng"] = out[cibdoc.LatestSchema+".rng"]
	w := newRNGWriter(next)
	body := w.schema.grammar.definitions[versionsDefinition].body
	out[versionsDefinition+".rng"] = w.file(body)
	return out
}

// versionsDefinition is in a file of its own.
const versionsDefinition = "versions"

// rngWriter turns one version of the grammar into RELAX NG.
type rngWriter struct {
	schema  *Schema
	defined map[string]*rngDefine // by definition and arguments
	order   []*rngDefine
	taken   map[string]bool
}

type rngDefine struct {
	name string
	body *rngNode
	gone bool // not there in this version
}

func newRNGWriter(v Version) *rngWriter {
	return &rngWriter{schema: of(v), defined: map[string]*rngDefine{}, taken: map[string]bool{}}
}

func (w *rngWriter) file(start *node) []byte {
	grammar := rngE("grammar", "xmlns", "http://relaxng.org/ns/structure/1.0", "datatypeLibrary", "http://www.w3.org/2001/XMLSchema-datatypes")
	grammar.add(rngE("start").add(w.pattern(start, nil)))
	for _, d := range w.order {
		if !d.gone {
			grammar.add(rngE("define", "name", d.name).add(contents(d.body)...))
		}
	}
	return grammar.print([]byte("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"), 0)
}

// contents are n's parts if it only groups them.
func contents(n *rngNode) []*rngNode {
	if n.tag == "group" {
		return n.children
	}
	return []*rngNode{n}
}

// pattern is n in RELAX NG, nil if it is not there in this version.
func (w *rngWriter) pattern(n *node, env []bound) *rngNode {
	if !w.schema.holds(n) {
		return nil
	}
	switch n.kind {
	case nodeSequence, nodeInterleave, nodeChoice:
		tag := map[nodeKind]string{nodeSequence: "group", nodeInterleave: "interleave", nodeChoice: "choice"}[n.kind]
		out := rngE(tag)
		for _, i := range n.items {
			p := w.pattern(i, env)
			switch {
			case p == nil:
			case p.tag == tag:
				out.add(p.children...)
			default:
				out.add(p)
			}
		}
		switch len(out.children) {
		case 0:
			return nil
		case 1:
			return out.children[0]
		}
		return out
	case nodeOptional, nodeAny, nodeSome:
		p := w.pattern(n.items[0], env)
		if p == nil {
			return nil
		}
		tag := map[nodeKind]string{nodeOptional: "optional", nodeAny: "zeroOrMore", nodeSome: "oneOrMore"}[n.kind]
		return rngE(tag).add(contents(p)...)
	case nodeElement:
		out := rngE("element", "name", n.name)
		p := w.pattern(n.items[0], env)
		if p == nil {
			p = rngE("empty")
		}
		return out.add(contents(p)...)
	case nodeAttribute:
		return rngE("attribute", "name", n.name).add(rngType(w.schema.datatype(n.items[0])))
	case nodeEmpty:
		return rngE("empty")
	case nodeAnything:
		return w.anything()
	case nodeRef:
		if b, ok := lookup(env, n.name); ok {
			return w.pattern(b.node, b.env)
		}
		return w.reference(n, env)
	}
	panic(fmt.Sprintf("cib.grammar: line %d: a type where a pattern is wanted", n.line)) // compile found it before
}

// reference is a ref to a definition, which is written when it is first met.
func (w *rngWriter) reference(n *node, env []bound) *rngNode {
	if n.name == versionsDefinition {
		return rngE("externalRef", "href", versionsDefinition+".rng")
	}
	d := w.schema.grammar.definitions[n.name]
	var inner []bound
	for i, p := range d.params {
		inner = append(inner, bound{p, n.items[i], env})
	}
	key := d.name + identity(inner)
	known := w.defined[key]
	if known == nil {
		known = &rngDefine{name: w.free(d.name)}
		w.defined[key] = known
		w.order = append(w.order, known)
		known.body = w.pattern(d.body, inner)
		known.gone = known.body == nil
	}
	if known.gone {
		return nil
	}
	return rngE("ref", "name", known.name)
}

// free is a name for a definition: definitions with parameters have several.
func (w *rngWriter) free(name string) string {
	for i := 1; ; i++ {
		try := name
		if i > 1 {
			try = fmt.Sprintf("%s-%d", name, i)
		}
		if !w.taken[try] {
			w.taken[try] = true
			return try
		}
	}
}

func (w *rngWriter) anything() *rngNode {
	if w.defined["anything"] == nil {
		w.defined["anything"] = &rngDefine{name: w.free("anything")}
		w.order = append(w.order, w.defined["anything"])
		w.defined["anything"].body = rngE("zeroOrMore").add(rngE("choice").add(
			rngE("attribute").add(rngE("anyName"), rngE("text")),
			rngE("element").add(rngE("anyName"), rngE("ref", "name", w.defined["anything"].name)),
			rngE("text")))
	}
	return rngE("ref", "name", w.defined["anything"].name)
}

func rngType(t *datatype) *rngNode {
	switch t.kind {
	case typeText:
		return rngE("text")
	case typeWord:
		return rngText(rngE("value"), t.word)
	case typeExactly:
		return rngText(rngE("value", "type", "string"), t.word)
	case typePattern:
		return rngE("data", "type", "string").add(rngText(rngE("param", "name", "pattern"), t.source))
	case typeExcept:
		return rngE("data", "type", "string").add(rngE("except").add(rngType(t.of[0])))
	case typeChoice:
		out := rngE("choice")
		for _, o := range t.of {
			out.add(rngType(o))
		}
		return out
	}
	for name, kind := range builtin {
		if kind == t.kind {
			return rngE("data", "type", name)
		}
	}
	panic("a datatype without a name: " + t.String())
}

// rngNode is an element of a RELAX NG file.
type rngNode struct {
	tag      string
	attrs    []string // names and values in turn
	text     string
	children []*rngNode
}

func rngE(tag string, attrs ...string) *rngNode { return &rngNode{tag: tag, attrs: attrs} }

func rngText(n *rngNode, text string) *rngNode {
	n.text = text
	return n
}

func (n *rngNode) add(children ...*rngNode) *rngNode {
	n.children = append(n.children, children...)
	return n
}

// inline reports whether n fits in one line.
func (n *rngNode) inline() bool {
	return len(n.children) == 0 || n.tag == "attribute" && len(n.children) == 1 && n.children[0].inline()
}

func (n *rngNode) print(b []byte, level int) []byte {
	b = append(b, strings.Repeat("  ", level)...)
	return append(n.append(b, level), '\n')
}

func (n *rngNode) append(b []byte, level int) []byte {
	b = append(append(b, '<'), n.tag...)
	for i := 0; i < len(n.attrs); i += 2 {
		b = fmt.Appendf(b, " %s=%q", n.attrs[i], rngEscape.Replace(n.attrs[i+1]))
	}
	if len(n.children) == 0 && n.text == "" {
		return append(b, "/>"...)
	}
	b = append(append(b, '>'), rngEscape.Replace(n.text)...)
	if n.inline() {
		for _, c := range n.children {
			b = c.append(b, level)
		}
	} else {
		b = append(b, '\n')
		for _, c := range n.children {
			b = c.print(b, level+1)
		}
		b = append(b, strings.Repeat("  ", level)...)
	}
	b = append(append(b, "</"...), n.tag...)
	return append(b, '>')
}

var rngEscape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;")
