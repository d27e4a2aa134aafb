// Package xmldoc is the scheduler's view of a CIB: a small element tree with
// attributes, parsed in one pass from bytes. The CIB carries no text and no
// namespaces, so the tree keeps neither. Strings are slices of the input.
package xmldoc

import "strings"

// Attr is one attribute.
type Attr struct{ Name, Value string }

// Elem is one element. Parent is nil at the root. The attributes of an element
// that was read stay the text that they were read from until they are changed:
// most elements are entries of history that are read through once, and a list
// would take several times the memory.
type Elem struct {
	Name   string
	Kids   []*Elem
	Parent *Elem

	text string // attributes as read: well-formed, without references; "" if attrs has them
	list []Attr
}

// New makes an element with the attributes given as name, value pairs.
func New(name string, nv ...string) *Elem {
	e := &Elem{Name: name}
	for i := 0; i+1 < len(nv); i += 2 {
		e.list = append(e.list, Attr{nv[i], nv[i+1]})
	}
	return e
}

// nextAttr takes the first attribute off a text of attributes.
func nextAttr(s string) (name, val, rest string) {
	i := 0
	for s[i] == ' ' || s[i] == '\n' || s[i] == '\t' || s[i] == '\r' {
		i++
	}
	begin := i
	for !endsName[s[i]] {
		i++
	}
	name = s[begin:i]
	for s[i] != '"' && s[i] != '\'' {
		i++
	}
	quote := s[i]
	s = s[i+1:]
	n := strings.IndexByte(s, quote)
	return name, s[:n], s[n+1:]
}

// Get returns an attribute and whether it is present (it may be empty).
func (e *Elem) Get(name string) (string, bool) {
	if e == nil {
		return "", false
	}
	for s := e.text; s != ""; {
		n, v, rest := nextAttr(s)
		if n == name {
			return v, true
		}
		s = rest
	}
	for i := range e.list {
		if e.list[i].Name == name {
			return e.list[i].Value, true
		}
	}
	return "", false
}

// Attrs yields names and values in document order.
func (e *Elem) Attrs() func(func(name, val string) bool) {
	return func(yield func(string, string) bool) {
		for s := e.text; s != ""; {
			n, v, rest := nextAttr(s)
			if !yield(n, v) {
				return
			}
			s = rest
		}
		for i := range e.list {
			if !yield(e.list[i].Name, e.list[i].Value) {
				return
			}
		}
	}
}

// List returns the attributes as a list, in which values may be changed.
func (e *Elem) List() []Attr {
	for e.text != "" {
		var a Attr
		a.Name, a.Value, e.text = nextAttr(e.text)
		e.list = append(e.list, a)
	}
	return e.list
}

// Attr returns an attribute's value, "" if it is absent.
func (e *Elem) Attr(name string) string {
	v, _ := e.Get(name)
	return v
}

// ID returns the id attribute.
func (e *Elem) ID() string { return e.Attr("id") }

// Set writes an attribute.
func (e *Elem) Set(name, value string) {
	list := e.List()
	for i := range list {
		if list[i].Name == name {
			list[i].Value = value
			return
		}
	}
	e.list = append(list, Attr{name, value})
}

// Unset removes an attribute.
func (e *Elem) Unset(name string) {
	list := e.List()
	for i := range list {
		if list[i].Name == name {
			e.list = append(list[:i:i], list[i+1:]...)
			return
		}
	}
}

// Child returns the first direct child of that name, or nil.
func (e *Elem) Child(name string) *Elem {
	if e == nil {
		return nil
	}
	for _, k := range e.Kids {
		if k.Name == name {
			return k
		}
	}
	return nil
}

// Children yields the direct children of that name.
func (e *Elem) Children(name string) func(func(*Elem) bool) {
	return func(yield func(*Elem) bool) {
		if e == nil {
			return
		}
		for _, k := range e.Kids {
			if k.Name == name && !yield(k) {
				return
			}
		}
	}
}

// Append adds a child at the end and returns it.
func (e *Elem) Append(k *Elem) *Elem {
	k.Parent = e
	e.Kids = append(e.Kids, k)
	return k
}

// Add appends a new child with attributes.
func (e *Elem) Add(name string, nv ...string) *Elem { return e.Append(New(name, nv...)) }

// Remove takes a direct child out.
func (e *Elem) Remove(k *Elem) {
	for i, x := range e.Kids {
		if x == k {
			e.Kids = append(e.Kids[:i:i], e.Kids[i+1:]...)
			k.Parent = nil
			return
		}
	}
}

// Clone copies the element and all below it; the copy has no parent.
func (e *Elem) Clone() *Elem {
	c := &Elem{Name: e.Name, text: e.text, list: append([]Attr(nil), e.list...)}
	if len(e.Kids) > 0 {
		c.Kids = make([]*Elem, len(e.Kids))
		for i, k := range e.Kids {
			c.Kids[i] = k.Clone()
			c.Kids[i].Parent = c
		}
	}
	return c
}

// Root walks up to the top of the tree.
func (e *Elem) Root() *Elem {
	for e.Parent != nil {
		e = e.Parent
	}
	return e
}

// Walk visits the element and everything below it in document order until
// visit returns false.
func (e *Elem) Walk(visit func(*Elem) bool) bool {
	if !visit(e) {
		return false
	}
	for _, k := range e.Kids {
		if !k.Walk(visit) {
			return false
		}
	}
	return true
}

// EscapeExact writes an attribute value so that reading it gives the same value.
func EscapeExact(b *strings.Builder, s string) {
	begin := 0
	for i := 0; i < len(s); i++ {
		var e string
		switch s[i] {
		case '<':
			e = "&lt;"
		case '>':
			e = "&gt;"
		case '&':
			e = "&amp;"
		case '"':
			e = "&quot;"
		case '\'':
			e = "&apos;"
		case '\t':
			e = "&#9;"
		case '\n':
			e = "&#10;"
		case '\r':
			e = "&#13;"
		default:
			continue
		}
		b.WriteString(s[begin:i])
		b.WriteString(e)
		begin = i + 1
	}
	b.WriteString(s[begin:])
}

// Escape writes an attribute value as the CIB does for digests: the five entities, tab as
// four spaces, newline and carriage return as backslash sequences, other
// non-printing bytes in octal. Escaping stops at the first pair of bytes >= 128;
// the rest is copied unchanged (actions 16.7, state 11.1), so that it may be no XML.
func Escape(b *strings.Builder, s string) {
	plain := true
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c < ' ' || c > '~' || c == '<' || c == '>' || c == '&' || c == '"' || c == '\'' {
			plain = false
			break
		}
	}
	if plain {
		b.WriteString(s)
		return
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 0x80 && i+1 < len(s) && s[i+1] >= 0x80 {
			b.WriteString(s[i:])
			return
		}
		switch {
		case c == '<':
			b.WriteString("&lt;")
		case c == '>':
			b.WriteString("&gt;")
		case c == '&':
			b.WriteString("&amp;")
		case c == '"':
			b.WriteString("&quot;")
		case c == '\'':
			b.WriteString("&apos;")
		case c == '\t':
			b.WriteString("    ")
		case c == '\n':
			b.WriteString("\\n")
		case c == '\r':
			b.WriteString("\\r")
		case c < ' ' || c > '~':
			b.WriteByte('\\')
			b.WriteByte('0' + c>>6)
			b.WriteByte('0' + c>>3&7)
			b.WriteByte('0' + c&7)
		default:
			b.WriteByte(c)
		}
	}
}

// escapeFile writes a value so that Parse gives it back unchanged.
func escapeFile(b *strings.Builder, s string) {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '<':
			b.WriteString("&lt;")
		case '>':
			b.WriteString("&gt;")
		case '&':
			b.WriteString("&amp;")
		case '"':
			b.WriteString("&quot;")
		case '\t':
			b.WriteString("&#9;")
		case '\n':
			b.WriteString("&#10;")
		case '\r':
			b.WriteString("&#13;")
		default:
			b.WriteByte(c)
		}
	}
}

// String formats the tree with two spaces per level, for files.
func (e *Elem) String() string {
	var b strings.Builder
	e.write(&b, 0)
	return b.String()
}

func (e *Elem) write(b *strings.Builder, depth int) {
	for range depth {
		b.WriteString("  ")
	}
	b.WriteByte('<')
	b.WriteString(e.Name)
	for name, val := range e.Attrs() {
		b.WriteByte(' ')
		b.WriteString(name)
		b.WriteString(`="`)
		escapeFile(b, val)
		b.WriteByte('"')
	}
	if len(e.Kids) == 0 {
		b.WriteString("/>\n")
		return
	}
	b.WriteString(">\n")
	for _, k := range e.Kids {
		k.write(b, depth+1)
	}
	for range depth {
		b.WriteString("  ")
	}
	b.WriteString("</")
	b.WriteString(e.Name)
	b.WriteString(">\n")
}
