package schema

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Schema is the grammar of one version.
type Schema struct {
	version Version
	grammar *grammar
	root    *element

	mu       sync.Mutex // held while states are added
	table    *patternTable
	elements map[string]*element // by where they are written and with which arguments
	pending  []func()
}

// element is what an element of a certain place in the language may hold.
type element struct {
	tag      string
	anything bool
	attrs    []*attribute
	index    map[string]int // of attrs by name
	children []*element     // at most one per tag
	child    map[string]int // index of children by tag
	content  *pattern
	start    *state
	states   map[stateKey]*state
}

// attribute is one of an element's, with the datatypes that it has here or
// there in the element's content.
type attribute struct {
	name  string
	types []*datatype
	id    bool // one of the types is ID
	ref   bool // one of the types is IDREF
}

// state is a pattern met while the content of an element is read: first its
// attributes in the order of element.attrs, then its children.
type state struct {
	pattern *pattern
	layer   int // the attribute that comes next, len(attrs) for children

	absent   atomic.Pointer[state]
	present  atomic.Pointer[[]presentState]
	children []atomicState
}

type presentState struct {
	mask uint64
	to   *state
}

type stateKey struct {
	layer   int
	pattern *pattern
}

// compile makes the schema of a version. A grammar that cannot be compiled is
// an error that names the line; our own is compiled in all versions by a test.
func (g *grammar) compile(v Version) (s *Schema, err error) {
	defer func() {
		if p := recover(); p != nil {
			e, ok := p.(syntaxError)
			if !ok {
				panic(p)
			}
			s, err = nil, fmt.Errorf("%s", string(e))
		}
	}()
	s = &Schema{version: v, grammar: g, table: newPatternTable(), elements: map[string]*element{}}
	start := g.definitions["start"]
	if start == nil || start.body.kind != nodeElement {
		return nil, fmt.Errorf("there is no start = <element>")
	}
	s.root = s.element(start.body, nil)
	for len(s.pending) > 0 {
		fill := s.pending[0]
		s.pending = s.pending[1:]
		fill()
	}
	return s, nil
}

// bound is what a parameter stands for: a piece of the grammar in the
// surroundings of the call.
type bound struct {
	name string
	node *node
	env  []bound
}

func lookup(env []bound, name string) (bound, bool) {
	for _, b := range env {
		if b.name == name {
			return b, true
		}
	}
	return bound{}, false
}

// identity tells environments apart.
func identity(env []bound) string {
	if len(env) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteByte('(')
	for _, x := range env {
		n, e := x.node, x.env
		for n.kind == nodeRef && len(n.items) == 0 { // a parameter handed on is what it was
			y, ok := lookup(e, n.name)
			if !ok {
				break
			}
			n, e = y.node, y.env
		}
		fmt.Fprintf(&b, "%p%s,", n, identity(e))
	}
	b.WriteByte(')')
	return b.String()
}

func failAt(n *node, format string, args ...any) {
	panic(syntaxError(fmt.Sprintf("line %d: ", n.line) + fmt.Sprintf(format, args...)))
}

// holds reports whether the version is inside the guard.
func (s *Schema) holds(n *node) bool {
	return n.to == Version{} || s.version.compare(n.from) >= 0 && s.version.compare(n.to) <= 0
}

// element is the element written at n, with the parameters of env.
func (s *Schema) element(n *node, env []bound) *element {
	key := fmt.Sprintf("%p%s", n, identity(env))
	if e := s.elements[key]; e != nil {
		return e
	}
	e := &element{tag: n.name, index: map[string]int{}, child: map[string]int{}, states: map[stateKey]*state{}}
	s.elements[key] = e
	s.pending = append(s.pending, func() {
		p := s.instantiate(n.items[0], env, e)
		if p == nil {
			p = s.table.empty
		}
		e.content = p
		if len(e.attrs) > 64 {
			failAt(n, "<%s> has more than 64 attributes", n.name)
		}
		e.start = s.stateOf(e, 0, p)
	})
	return e
}

// instantiate is the pattern of n inside the element owner; nil if n is not
// there in this version.
func (s *Schema) instantiate(n *node, env []bound, owner *element) *pattern {
	if !s.holds(n) {
		return nil
	}
	t := s.table
	switch n.kind {
	case nodeSequence, nodeInterleave:
		var parts []*pattern
		for _, i := range n.items {
			if p := s.instantiate(i, env, owner); p != nil {
				parts = append(parts, p)
			}
		}
		if parts == nil {
			return nil
		}
		join := t.group
		if n.kind == nodeInterleave {
			join = t.interleave
		}
		out := parts[len(parts)-1]
		for _, p := range slices.Backward(parts[:len(parts)-1]) { // they nest to the right
			out = join(p, out)
		}
		return out
	case nodeChoice:
		var of []*pattern
		for _, i := range n.items {
			if p := s.instantiate(i, env, owner); p != nil {
				of = append(of, p)
			}
		}
		if of == nil {
			return nil
		}
		return t.choice(of...)
	case nodeOptional, nodeAny, nodeSome:
		p := s.instantiate(n.items[0], env, owner)
		switch {
		case p == nil:
			return nil
		case n.kind == nodeOptional:
			return t.optional(p)
		case n.kind == nodeAny:
			return t.optional(t.some(p))
		}
		return t.some(p)
	case nodeElement:
		return t.elementOf(owner.adopt(n, s.element(n, env)))
	case nodeAttribute:
		return owner.attribute(t, n.name, s.datatype(n.items[0]))
	case nodeEmpty:
		return t.empty
	case nodeAnything:
		owner.anything = true
		return t.empty
	case nodeRef:
		if b, ok := lookup(env, n.name); ok {
			return s.instantiate(b.node, b.env, owner)
		}
		d := s.grammar.definitions[n.name]
		if d == nil || d.isType {
			failAt(n, "%s is not defined", n.name)
		}
		if len(n.items) != len(d.params) {
			failAt(n, "%s wants %d arguments, not %d", n.name, len(d.params), len(n.items))
		}
		var inner []bound
		for i, p := range d.params {
			inner = append(inner, bound{p, n.items[i], env})
		}
		return s.instantiate(d.body, inner, owner)
	}
	failAt(n, "a type where a pattern is wanted")
	return nil
}

// adopt makes e one of the children of owner.
func (owner *element) adopt(n *node, e *element) *element {
	if i, ok := owner.child[e.tag]; ok {
		if owner.children[i] != e {
			failAt(n, "<%s> would be two different elements in <%s>", e.tag, owner.tag)
		}
		return e
	}
	owner.child[e.tag] = len(owner.children)
	owner.children = append(owner.children, e)
	return e
}

func (owner *element) attribute(t *patternTable, name string, d *datatype) *pattern {
	i, ok := owner.index[name]
	if !ok {
		i = len(owner.attrs)
		owner.index[name] = i
		owner.attrs = append(owner.attrs, &attribute{name: name})
	}
	a := owner.attrs[i]
	bit := slices.IndexFunc(a.types, func(o *datatype) bool { return o.key() == d.key() })
	if bit < 0 {
		bit = len(a.types)
		a.types = append(a.types, d)
		a.id = a.id || d.kind == typeID
		a.ref = a.ref || d.kind == typeIDRef
	}
	return t.attribute(i, uint(bit))
}

// datatype is the set of values written at n.
func (s *Schema) datatype(n *node) *datatype {
	if d := s.maybeType(n); d != nil {
		return d
	}
	failAt(n, "the type is empty in %s", s.version)
	return nil
}

func (s *Schema) maybeType(n *node) *datatype {
	if !s.holds(n) {
		return nil
	}
	switch n.kind {
	case nodeSequence: // a guard
		return s.maybeType(n.items[0])
	case nodeWord:
		return &datatype{kind: typeWord, word: n.name}
	case nodeExactly:
		return &datatype{kind: typeExactly, word: n.name}
	case nodePattern:
		re, err := compilePattern(n.name)
		if err != nil {
			failAt(n, "%v", err)
		}
		return &datatype{kind: typePattern, pattern: re, source: n.name}
	case nodeExcept:
		return &datatype{kind: typeExcept, of: []*datatype{s.datatype(n.items[0])}}
	case nodeRef:
		if kind, ok := builtin[n.name]; ok {
			return &datatype{kind: kind}
		}
		d := s.grammar.definitions[n.name]
		if d == nil || !d.isType {
			failAt(n, "%s is no type", n.name)
		}
		return s.maybeType(d.body)
	case nodeChoice:
		out := &datatype{kind: typeChoice}
		for _, i := range n.items {
			switch d := s.maybeType(i); {
			case d == nil:
			case d.kind == typeChoice:
				out.of = append(out.of, d.of...)
			default:
				out.of = append(out.of, d)
			}
		}
		switch len(out.of) {
		case 0:
			return nil
		case 1:
			return out.of[0]
		}
		return out
	}
	failAt(n, "no type")
	return nil
}
