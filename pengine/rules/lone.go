package rules

import (
	"time"

	"linuxha/internal/isotime"
	"linuxha/pengine/internal/value"
	"linuxha/pengine/internal/xmldoc"
)

// Lone is an element that is judged outside of a whole CIB: a rule, by tools, one
// with sets of attributes, those of alerts, or one with rules, those of the
// fencer. Its rules refer to nothing outside of it, and have no node, resource or
// operation to speak of unless they are given a Place.
type Lone struct{ elem *xmldoc.Elem }

// Parse reads an element. The text must not change any more.
func Parse(element []byte) (Lone, error) {
	root, err := xmldoc.Parse(element)
	return Lone{root}, err
}

// Passes says whether the rule that l is applies at a time; dates in it that
// are not whole are filled in as of the instant real.
func (l Lone) Passes(at isotime.Date, real time.Time) bool {
	return l.context(at, real).Rule(l.elem, &Subject{})
}

// Values are those of the sets of that name directly below l that apply at a
// time, in their order (state 3.1).
func (l Lone) Values(setName string, at time.Time) map[string]string {
	out := value.Attrs{}
	l.context(isotime.FromTime(at), at).Unpack(l.elem, setName, out, "", false, &Subject{})
	return out
}

// Place is what rules are judged for besides the time; any part may be absent.
type Place struct {
	Node     map[string]string // attributes of the node, #uname and the like among them; nil: no node
	Resource *Resource
	// What a location adds; Params nil: it is none.
	Sub    []string // submatches of its pattern, nil without one
	Meta   map[string]string
	Params func() map[string]string
}

// Applies says whether the direct rules of l let it apply at a place and time:
// there is none, or one of them passes (state 3.4). until is when that may
// change by the time alone, zero if it will not.
func (l Lone) Applies(p Place, at time.Time) (applies bool, until time.Time) {
	sooner := func(t time.Time) {
		if t.After(at) && (until.IsZero() || t.Before(until)) {
			until = t
		}
	}
	c := l.context(isotime.FromTime(at), at)
	c.Propose = func(unix int64) { sooner(time.Unix(unix, 0)) }
	c.Volatile = func() { sooner(at.Truncate(l.grain()).Add(l.grain())) }
	s := &Subject{Node: p.Node, Resource: p.Resource}
	if p.Params != nil {
		s.Match = &Match{Sub: p.Sub, Meta: p.Meta, Params: func() value.Attrs { return p.Params() }}
	}
	return c.Lifetime(l.elem, s), until
}

// grain is how often a date_spec below l can change its mind.
func (l Lone) grain() time.Duration {
	grain := time.Minute
	l.elem.Walk(func(e *xmldoc.Elem) bool {
		if _, ok := e.Get("seconds"); ok && e.Name == "date_spec" {
			grain = time.Second
		}
		return true
	})
	return grain
}

func (l Lone) context(at isotime.Date, real time.Time) *Context {
	return &Context{
		Now: at, Find: l.find,
		Real:    func(s string) (isotime.Date, bool) { return isotime.Parse(s, real) },
		Propose: func(int64) {}, Volatile: func() {},
	}
}

func (l Lone) find(name, id string) (found *xmldoc.Elem) {
	l.elem.Walk(func(e *xmldoc.Elem) bool {
		if found == nil && e.Name == name && e.ID() == id {
			found = e
		}
		return found == nil
	})
	return found
}
