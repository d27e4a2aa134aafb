// Package rules evaluates the rules of a CIB: whether a set of attributes, a
// location or a lifetime applies now, to this node, resource or operation. It
// decides nothing else; name/value sets are unpacked here because their rules
// select them (state 3). It is pure: the time is an argument, and times at
// which an answer will change are reported through Context.Propose.
package rules

import (
	"strings"

	"linuxha/internal/isotime"
	"linuxha/pengine/internal/value"
	"linuxha/pengine/internal/xmldoc"
)

// Context is what all evaluations of one run share.
type Context struct {
	Now      isotime.Date
	Real     func(string) (isotime.Date, bool)  // reads a date text
	Health   *value.Health                      // colour words in scores
	Find     func(name, id string) *xmldoc.Elem // resolves id-ref
	Propose  func(unix int64)                   // a time at which a result changes
	Volatile func()                             // a result that may change at any second was used
	Tested   func()                             // an expression was tested; may be nil
	Paired   func()                             // a pair was put into a table; may be nil

	referred map[*xmldoc.Elem]bool // results of rules referred to, in the present test
}

// Subject is what is tested: any part may be absent.
type Subject struct {
	Node     value.Attrs // attributes of the node, nil without one
	Resource *Resource
	Op       *Op
	Match    *Match
}

// Resource is the agent that rsc_expression tests.
type Resource struct {
	Class, Provider, Type string
	HasProvider           bool
}

// Op is the operation that op_expression tests.
type Op struct {
	Name     string
	Interval int64 // ms
}

// Match is what location rules add: pattern submatches and the resource's own
// values for value-source.
type Match struct {
	Sub    []string // nil without a pattern
	Params func() value.Attrs
	Meta   value.Attrs
}

// Expand returns the element that e stands for: e itself, or what its id-ref
// names, or nil if that is not found (state 1.11).
func (c *Context) Expand(e *xmldoc.Elem) *xmldoc.Elem {
	ref, ok := e.Get("id-ref")
	if !ok {
		return e
	}
	return c.Find(e.Name, ref)
}

// Lifetime says whether the direct rules of e let it apply: no rule, or any
// that passes (state 3.4).
func (c *Context) Lifetime(e *xmldoc.Elem, s *Subject) bool {
	none := true
	for r := range e.Children("rule") {
		none = false
		if c.Rule(r, s) {
			return true
		}
	}
	return none
}

// Rule tests one rule (state 3.5).
func (c *Context) Rule(r *xmldoc.Elem, s *Subject) bool {
	c.referred = nil
	return c.rule(r, s, 0)
}

// maxNesting stops rules that refer to themselves through id-ref.
const maxNesting = 64

func (c *Context) rule(r *xmldoc.Elem, s *Subject, depth int) bool {
	if _, ref := r.Get("id-ref"); !ref {
		return c.tested(r, s, depth)
	}
	if r = c.Expand(r); r == nil || depth > maxNesting {
		return false
	}
	// Rules that share others, which share others, have more ways through them
	// than one can walk: each is tested once.
	if c.referred == nil {
		c.referred = map[*xmldoc.Elem]bool{}
	}
	pass, known := c.referred[r]
	if !known {
		c.referred[r] = false // to itself, a rule does not pass
		pass = c.tested(r, s, depth)
		c.referred[r] = pass
	}
	return pass
}

func (c *Context) tested(r *xmldoc.Elem, s *Subject, depth int) bool {
	if depth > maxNesting {
		return false
	}
	or := strings.EqualFold(r.Attr("boolean-op"), "or")
	for _, k := range r.Kids {
		if pass := c.test(k, s, depth); pass == or {
			return or
		}
	}
	return !or
}

func (c *Context) test(k *xmldoc.Elem, s *Subject, depth int) bool {
	if c.Tested != nil {
		c.Tested()
	}
	switch k.Name {
	case "rule":
		return c.rule(k, s, depth+1)
	case "date_expression":
		return c.date(k)
	case "rsc_expression":
		return rscExpression(k, s.Resource)
	case "op_expression":
		return opExpression(k, s.Op)
	case "expression":
		return expression(k, s)
	}
	return false
}

func rscExpression(e *xmldoc.Elem, r *Resource) bool {
	if r == nil {
		return false
	}
	if v, ok := e.Get("class"); ok && v != r.Class {
		return false
	}
	if v, ok := e.Get("provider"); ok != r.HasProvider || v != r.Provider {
		return false
	}
	v, ok := e.Get("type")
	return !ok || v == r.Type
}

func opExpression(e *xmldoc.Elem, op *Op) bool {
	if op == nil {
		return false
	}
	if v, ok := e.Get("name"); !ok || v != op.Name {
		return false
	}
	if v, ok := e.Get("interval"); ok {
		ms, valid := value.Interval(v)
		return valid && ms == op.Interval
	}
	return true
}
