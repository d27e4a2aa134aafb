package schema

import "slices"

// pattern is what an element may still hold, in the sense of RELAX NG
// derivatives: matching an attribute or a child gives the pattern of the rest.
// Equal patterns of one schema are the same pointer, so that what a document
// can lead to is a finite automaton, whose states are patterns.
type pattern struct {
	id       int
	op       patternOp
	of       []*pattern // parts; of opChoice sorted by id
	element  *element   // of opElement
	attr     int        // of opAttribute: which of the owner's attributes, and
	bit      uint       // ... which of its datatypes
	nullable bool       // nothing more has to come
	attrs    uint64     // which attributes it speaks of
}

type patternOp uint8

const (
	opNone      patternOp = iota // nothing fits
	opEmpty                      // nothing more may come
	opElement                    // one child
	opAttribute                  // one attribute
	opGroup                      // of[0], then of[1]; attributes in any order
	opInterleave
	opChoice
	opSome // of[0] once or more often
)

// patterns of a schema, each once.
type patternTable struct {
	known map[patternKey]*pattern
	wide  map[string]*pattern // choices, by their parts
	none  *pattern
	empty *pattern
}

type patternKey struct {
	op      patternOp
	a, b    *pattern
	element *element
	attr    int
	bit     uint
}

func newPatternTable() *patternTable {
	t := &patternTable{known: map[patternKey]*pattern{}, wide: map[string]*pattern{}}
	t.none = t.add(patternKey{op: opNone}, &pattern{op: opNone})
	t.empty = t.add(patternKey{op: opEmpty}, &pattern{op: opEmpty, nullable: true})
	return t
}

func (t *patternTable) add(k patternKey, p *pattern) *pattern {
	if old := t.known[k]; old != nil {
		return old
	}
	p.id = len(t.known) + len(t.wide)
	for _, o := range p.of {
		p.attrs |= o.attrs
	}
	t.known[k] = p
	return p
}

func (t *patternTable) elementOf(e *element) *pattern {
	return t.add(patternKey{op: opElement, element: e}, &pattern{op: opElement, element: e})
}

func (t *patternTable) attribute(attr int, bit uint) *pattern {
	return t.add(patternKey{op: opAttribute, attr: attr, bit: bit}, &pattern{op: opAttribute, attr: attr, bit: bit, attrs: 1 << attr})
}

func (t *patternTable) group(a, b *pattern) *pattern {
	switch {
	case a.op == opNone || b.op == opNone:
		return t.none
	case a.op == opEmpty:
		return b
	case b.op == opEmpty:
		return a
	}
	return t.add(patternKey{op: opGroup, a: a, b: b}, &pattern{op: opGroup, of: []*pattern{a, b}, nullable: a.nullable && b.nullable})
}

func (t *patternTable) interleave(a, b *pattern) *pattern {
	switch {
	case a.op == opNone || b.op == opNone:
		return t.none
	case a.op == opEmpty:
		return b
	case b.op == opEmpty:
		return a
	case a.id > b.id:
		a, b = b, a
	}
	return t.add(patternKey{op: opInterleave, a: a, b: b}, &pattern{op: opInterleave, of: []*pattern{a, b}, nullable: a.nullable && b.nullable})
}

func (t *patternTable) some(p *pattern) *pattern {
	if p.op == opNone || p.op == opEmpty || p.op == opSome {
		return p
	}
	return t.add(patternKey{op: opSome, a: p}, &pattern{op: opSome, of: []*pattern{p}, nullable: p.nullable})
}

func (t *patternTable) choice(all ...*pattern) *pattern {
	var of []*pattern
	nullable := false
	var flatten func(p *pattern)
	flatten = func(p *pattern) {
		nullable = nullable || p.nullable
		switch p.op {
		case opNone:
		case opChoice:
			for _, o := range p.of {
				flatten(o)
			}
		default:
			of = append(of, p)
		}
	}
	for _, p := range all {
		flatten(p)
	}
	slices.SortFunc(of, func(a, b *pattern) int { return a.id - b.id })
	of = slices.Compact(of)
	switch {
	case len(of) == 0:
		return t.none
	case len(of) == 1:
		return of[0]
	}
	key := make([]byte, 0, 4*len(of))
	for _, p := range of {
		key = append(key, byte(p.id>>24), byte(p.id>>16), byte(p.id>>8), byte(p.id))
	}
	if old := t.wide[string(key)]; old != nil {
		return old
	}
	p := &pattern{op: opChoice, of: of, nullable: nullable, id: len(t.known) + len(t.wide)}
	for _, o := range of {
		p.attrs |= o.attrs
	}
	t.wide[string(key)] = p
	return p
}

func (t *patternTable) optional(p *pattern) *pattern {
	if p.nullable {
		return p
	}
	return t.choice(t.empty, p)
}

// withAttribute is p after the attribute was there with a value in the
// datatypes of mask.
func (t *patternTable) withAttribute(p *pattern, attr int, mask uint64) *pattern {
	if p.attrs&(1<<attr) == 0 {
		return t.none
	}
	switch p.op {
	case opAttribute:
		if mask&(1<<p.bit) != 0 {
			return t.empty
		}
		return t.none
	case opGroup, opInterleave:
		join := t.group
		if p.op == opInterleave {
			join = t.interleave
		}
		a, b := p.of[0], p.of[1]
		return t.choice(
			join(t.withAttribute(a, attr, mask), t.withoutAttribute(b, attr)),
			join(t.withoutAttribute(a, attr), t.withAttribute(b, attr, mask)))
	case opSome:
		rest := t.withoutAttribute(p.of[0], attr)
		return t.group(t.withAttribute(p.of[0], attr, mask), t.optional(t.some(rest)))
	case opChoice:
		out := make([]*pattern, len(p.of))
		for i, o := range p.of {
			out[i] = t.withAttribute(o, attr, mask)
		}
		return t.choice(out...)
	}
	return t.none
}

// withoutAttribute is p, knowing that the attribute is not there.
func (t *patternTable) withoutAttribute(p *pattern, attr int) *pattern {
	if p.attrs&(1<<attr) == 0 {
		return p
	}
	switch p.op {
	case opAttribute:
		return t.none
	case opGroup:
		return t.group(t.withoutAttribute(p.of[0], attr), t.withoutAttribute(p.of[1], attr))
	case opInterleave:
		return t.interleave(t.withoutAttribute(p.of[0], attr), t.withoutAttribute(p.of[1], attr))
	case opSome:
		q := t.some(t.withoutAttribute(p.of[0], attr))
		if p.nullable {
			return t.optional(q)
		}
		return q
	case opChoice:
		out := make([]*pattern, len(p.of))
		for i, o := range p.of {
			out[i] = t.withoutAttribute(o, attr)
		}
		return t.choice(out...)
	}
	return p
}

// withChild is p after a child that is e.
func (t *patternTable) withChild(p *pattern, e *element) *pattern {
	switch p.op {
	case opElement:
		if p.element == e {
			return t.empty
		}
	case opGroup:
		a, b := p.of[0], p.of[1]
		out := t.group(t.withChild(a, e), b)
		if a.nullable {
			out = t.choice(out, t.withChild(b, e))
		}
		return out
	case opInterleave:
		a, b := p.of[0], p.of[1]
		return t.choice(t.interleave(t.withChild(a, e), b), t.interleave(a, t.withChild(b, e)))
	case opSome:
		return t.group(t.withChild(p.of[0], e), t.optional(p))
	case opChoice:
		out := make([]*pattern, len(p.of))
		for i, o := range p.of {
			out[i] = t.withChild(o, e)
		}
		return t.choice(out...)
	}
	return t.none
}
