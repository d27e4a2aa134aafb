package rules

import (
	"time"

	"linuxha/internal/isotime"
	"linuxha/pengine/internal/value"
	"linuxha/pengine/internal/xmldoc"
)

// Lone is an element that is judged outside of a whole CIB: a rule, by tools, or
// one with sets of attributes, those of alerts. Its rules have no node,
// resource or operation to speak of, and refer to nothing outside of it.
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
