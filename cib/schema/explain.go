package schema

import (
	"fmt"
	"slices"
	"strings"

	"linuxha/cib/cibdoc"
)

// What is told about an element that is not valid is found by trying: which one
// change would make it so? That says at once what is wrong and what is valid.

// attempt is an element's content with changes to its attributes.
type attempt struct {
	schema *Schema
	e      *element
	n      *cibdoc.Node
	masks  []uint64 // by attribute: the datatypes of the value,
	there  []bool   // ... if it is there
}

func (s *Schema) attempt(n *cibdoc.Node, e *element) *attempt {
	t := &attempt{schema: s, e: e, n: n, masks: make([]uint64, len(e.attrs)), there: make([]bool, len(e.attrs))}
	for _, a := range n.Attrs {
		if k, ok := e.index[a.Name]; ok {
			t.there[k], t.masks[k] = true, e.attrs[k].mask(a.Value)
		}
	}
	return t
}

// attributes is the state after them; lone is the first attribute without
// which, or with which, no content is valid any more.
func (t *attempt) attributes() (st *state, lone int) {
	st = t.e.start
	for k := range t.there {
		if t.there[k] {
			st = t.schema.with(t.e, st, t.masks[k])
		} else {
			st = t.schema.without(t.e, st)
		}
		if st.dead() {
			return st, k
		}
	}
	return st, -1
}

// children goes on from the state after the attributes. It returns the state
// before the child that does not fit, and that child's index among n.Children;
// at the end of a content that is not complete the index is their number, and
// -1 if all is well.
func (t *attempt) children(st *state) (*state, int) {
	for i, child := range t.n.Children {
		if child.Kind != cibdoc.KindElement {
			if isText(child) {
				return st, i
			}
			continue
		}
		k, known := t.e.child[child.Tag]
		if !known || child.Attr("xmlns") != "" {
			return st, i
		}
		to := t.schema.after(t.e, st, k)
		if to.dead() {
			return st, i
		}
		st = to
	}
	if !st.pattern.nullable {
		return st, len(t.n.Children)
	}
	return st, -1
}

// outcome of an attempt, better ones are greater.
type outcome int

const (
	outcomeNone       outcome = iota // the attributes do not go together
	outcomeAttributes                // they do, but the children do not fit
	outcomeValid
)

func (t *attempt) outcome() outcome {
	st, lone := t.attributes()
	if lone >= 0 {
		return outcomeNone
	}
	if _, at := t.children(st); at >= 0 {
		return outcomeAttributes
	}
	return outcomeValid
}

// repairs lists the changes of one attribute after which the outcome is at
// least want.
type repairs struct {
	add, remove []string
	change      []string // NAME to VALUE
}

func (t *attempt) repairs(want outcome) repairs {
	var r repairs
	for k, a := range t.e.attrs {
		there, mask := t.there[k], t.masks[k]
		try := func(thereNow bool, maskNow uint64) bool {
			t.there[k], t.masks[k] = thereNow, maskNow
			defer func() { t.there[k], t.masks[k] = there, mask }()
			return t.outcome() >= want
		}
		if there && try(false, 0) {
			r.remove = append(r.remove, a.name)
		}
		for bit, d := range a.types {
			if there && mask&(1<<bit) != 0 || !try(true, 1<<bit) {
				continue
			}
			if there {
				r.change = append(r.change, a.name+" changed to "+d.String())
			} else if !slices.Contains(r.add, a.name) {
				r.add = append(r.add, a.name)
			}
		}
	}
	return r
}

func (r repairs) empty() bool { return len(r.add)+len(r.remove)+len(r.change) == 0 }

// String is the list as the end of "it is valid ...".
func (r repairs) String() string {
	var parts []string
	if len(r.add) > 0 {
		parts = append(parts, "with attribute "+enumerate(r.add))
	}
	if len(r.remove) > 0 {
		parts = append(parts, "without attribute "+enumerate(r.remove))
	}
	if len(r.change) > 0 {
		parts = append(parts, "with "+enumerate(r.change))
	}
	return strings.Join(parts, ", or ")
}

// explain tells why n is no e.
func (c *checker) explain(n, parent *cibdoc.Node, e *element) {
	before := len(c.problems)
	for _, a := range n.Attrs {
		k, known := e.index[a.Name]
		switch {
		case known && e.attrs[k].mask(a.Value) != 0:
		case known:
			c.attribute(n, parent, a.Name, "attribute %s=%q is not valid; it must be %s", a.Name, a.Value, e.attrs[k].describe())
		case a.Name == "xmlns" && a.Value != "":
			c.attribute(n, parent, a.Name, "the name space %q is not known; leave the declaration out", a.Value)
		case !isDeclaration(a.Name):
			c.attribute(n, parent, a.Name, "attribute %s is not known here; %s", a.Name, free(n, e))
		}
	}
	wrongAttributes := len(c.problems) > before
	t := c.schema.attempt(n, e)
	for k := range t.masks {
		if t.there[k] && t.masks[k] == 0 {
			t.masks[k] = 1<<len(e.attrs[k].types) - 1 // it was told; look at the rest as if it were right
		}
	}
	st, lone := t.attributes()
	if lone >= 0 {
		if !wrongAttributes {
			c.together(n, parent, t, lone)
		}
		c.strangers(n, e)
		return
	}
	st, at := t.children(st)
	if at < 0 {
		return
	}
	var other string
	if r := t.repairs(outcomeValid); !r.empty() && !wrongAttributes {
		other = "; or the element is valid " + r.String()
	}
	valid := c.schema.possible(e, st)
	if at == len(n.Children) {
		p := problemAt(n, "is not complete: it needs %s%s", c.schema.completion(e, st), other)
		p.Reference = append([]string{"Expecting an element " + first(valid) + ", got nothing"}, extraContent(n, parent)...)
		c.add(p)
		return
	}
	child := n.Children[at]
	if child.Kind != cibdoc.KindElement {
		p := problemAt(n, "text is not allowed in it")
		p.Reference = append([]string{fmt.Sprintf("Element %s has extra content: ", n.Tag)}, extraContent(n, parent)...)
		c.add(p)
		return
	}
	p := problemAt(child, "not allowed in <%s>%s; %s%s", n.Tag, here(e, child), wants(valid), other)
	p.Reference = []string{fmt.Sprintf("Element %s has extra content: %s", n.Tag, child.Tag)}
	c.add(p)
}

// attribute reports a wrong attribute.
func (c *checker) attribute(n, parent *cibdoc.Node, name, format string, args ...any) {
	p := problemAt(n, format, args...)
	p.Attribute = name
	p.Reference = append([]string{fmt.Sprintf("Invalid attribute %s for element %s", name, n.Tag)}, extraContent(n, parent)...)
	c.add(p)
}

// extraContent is what the reference says of the parent of an element that is
// not valid, except for the sections and the root.
func extraContent(n, parent *cibdoc.Node) []string {
	if parent == nil || parent.Tag == "cib" || parent.Tag == "configuration" {
		return nil
	}
	return []string{fmt.Sprintf("Element %s has extra content: %s", parent.Tag, n.Tag)}
}

// together reports attributes that are each right, but not with each other, or
// that are missing.
func (c *checker) together(n, parent *cibdoc.Node, t *attempt, lone int) {
	r := t.repairs(outcomeValid)
	if r.empty() {
		r = t.repairs(outcomeAttributes)
	}
	var p Problem
	switch {
	case len(r.add) > 0 && len(r.remove)+len(r.change) == 0:
		p = problemAt(n, "attribute %s is missing", enumerate(r.add))
		p.Attribute = r.add[0]
	case !r.empty():
		p = problemAt(n, "its attributes do not go together; it is valid %s", r)
	default:
		p = problemAt(n, "its attributes do not go together; %s", c.minimal(t))
	}
	p.Reference = append([]string{fmt.Sprintf("Element %s failed to validate attributes", n.Tag)}, extraContent(n, parent)...)
	c.add(p)
}

// minimal names, attribute by attribute, what has to be there: for an element
// in which more than one thing is missing.
func (c *checker) minimal(t *attempt) string {
	var missing []string
	st := t.e.start
	for k, a := range t.e.attrs {
		to := c.schema.without(t.e, st)
		if t.there[k] {
			to = c.schema.with(t.e, st, t.masks[k])
		}
		if to.dead() {
			to = c.schema.with(t.e, st, 1<<len(a.types)-1)
			missing = append(missing, a.name)
		}
		if to.dead() {
			return "attribute " + a.name + " cannot stand beside the others"
		}
		st = to
	}
	return "one way is with attributes " + strings.Join(missing, ", ")
}

// strangers reports the children that fit nowhere in n.
func (c *checker) strangers(n *cibdoc.Node, e *element) {
	for child := range n.Elements() {
		if _, known := e.child[child.Tag]; !known {
			p := problemAt(child, "not allowed in <%s>; %s", n.Tag, wants(tags(e.children)))
			p.Reference = []string{fmt.Sprintf("Element %s has extra content: %s", n.Tag, child.Tag)}
			c.add(p)
		}
	}
}

// possible lists the tags that may come next.
func (s *Schema) possible(e *element, st *state) []string {
	var out []string
	for i, child := range e.children {
		if !s.after(e, st, i).dead() {
			out = append(out, "<"+child.tag+">")
		}
	}
	return out
}

// maxCompletion bounds how many missing children are looked for.
const maxCompletion = 5

// completion names the fewest children that make st complete.
func (s *Schema) completion(e *element, st *state) string {
	type path struct {
		st   *state
		tags []string
	}
	level := []path{{st: st}}
	seen := map[*state]bool{st: true}
	for range maxCompletion {
		var further []path
		var complete []string
		for _, p := range level {
			for i, child := range e.children {
				to := s.after(e, p.st, i)
				tags := append(slices.Clip(p.tags), "<"+child.tag+">")
				switch {
				case to.dead() || seen[to] && !to.pattern.nullable:
				case to.pattern.nullable && len(tags) == 1:
					complete = append(complete, tags[0])
				case to.pattern.nullable:
					return strings.Join(tags, " and ")
				default:
					seen[to] = true
					further = append(further, path{to, tags})
				}
			}
		}
		if complete != nil {
			return enumerate(complete)
		}
		level = further
	}
	return "more of " + enumerate(s.possible(e, st))
}

func tags(es []*element) []string {
	out := make([]string, len(es))
	for i, e := range es {
		out[i] = "<" + e.tag + ">"
	}
	return out
}

func first(tags []string) string {
	if len(tags) == 0 {
		return "nothing"
	}
	return strings.Trim(tags[0], "<>")
}

func wants(valid []string) string {
	if len(valid) == 0 {
		return "nothing may stand there"
	}
	return "valid there: " + enumerate(valid)
}

// here says that it is the place, not the element, that is wrong.
func here(e *element, child *cibdoc.Node) string {
	if _, known := e.child[child.Tag]; known {
		return " at this place or once more"
	}
	return ""
}

// free lists the attributes that n does not have yet.
func free(n *cibdoc.Node, e *element) string {
	var out []string
	for _, a := range e.attrs {
		if _, has := n.Get(a.name); !has {
			out = append(out, a.name)
		}
	}
	if len(out) == 0 {
		return "it has all that are"
	}
	return "others that may be: " + strings.Join(out, ", ")
}

// describe lists all that the attribute may hold somewhere in the element.
func (a *attribute) describe() string {
	parts := make([]string, 0, len(a.types))
	for _, t := range a.types {
		if s := t.String(); !slices.Contains(parts, s) {
			parts = append(parts, s)
		}
	}
	return enumerate(parts)
}
