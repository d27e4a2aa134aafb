package xmldoc

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxDepth bounds nesting, so that no input can exhaust the stack of the code
// that walks the tree.
const maxDepth = 256

type parser struct {
	s     string
	pos   int
	elems []Elem // chunk from which elements are taken
	attrs []Attr // chunk from which attribute lists are taken
	list  []Attr // attributes of the element being read
}

// Parse reads one document and returns its root element.
func Parse(data []byte) (*Elem, error) {
	p := &parser{s: string(data)}
	var root, cur *Elem
	depth := 0
	for {
		i := strings.IndexByte(p.s[p.pos:], '<')
		if i < 0 {
			break
		}
		p.pos += i
		rest := p.s[p.pos:]
		switch {
		case strings.HasPrefix(rest, "<!--"):
			if !p.skipPast("-->") {
				return nil, p.errorf("comment without end")
			}
		case strings.HasPrefix(rest, "<![CDATA["):
			if !p.skipPast("]]>") {
				return nil, p.errorf("CDATA section without end")
			}
		case strings.HasPrefix(rest, "<?"):
			if !p.skipPast("?>") {
				return nil, p.errorf("processing instruction without end")
			}
		case strings.HasPrefix(rest, "<!"):
			if !p.skipPast(">") {
				return nil, p.errorf("declaration without end")
			}
		case strings.HasPrefix(rest, "</"):
			p.pos += 2
			name := p.name()
			p.space()
			if cur == nil || cur.Name != name || !p.eat('>') {
				return nil, p.errorf("unexpected end tag </%s>", name)
			}
			cur = cur.Parent
			depth--
		default:
			p.pos++
			e, closed, err := p.start()
			if err != nil {
				return nil, err
			}
			if cur == nil {
				if root != nil {
					return nil, p.errorf("more than one root element")
				}
				root = e
			} else {
				e.Parent = cur
				cur.Kids = append(cur.Kids, e)
			}
			if !closed {
				cur = e
				if depth++; depth > maxDepth {
					return nil, p.errorf("elements nested more than %d deep", maxDepth)
				}
			}
		}
	}
	if cur != nil {
		return nil, p.errorf("element <%s> is not closed", cur.Name)
	}
	if root == nil {
		return nil, p.errorf("no element found")
	}
	return root, nil
}

func (p *parser) errorf(format string, args ...any) error {
	pos := min(p.pos, len(p.s))
	return fmt.Errorf("XML line %d: %s", 1+strings.Count(p.s[:pos], "\n"), fmt.Sprintf(format, args...))
}

func (p *parser) skipPast(end string) bool {
	i := strings.Index(p.s[p.pos:], end)
	if i < 0 {
		return false
	}
	p.pos += i + len(end)
	return true
}

func (p *parser) space() {
	for p.pos < len(p.s) && (p.s[p.pos] == ' ' || p.s[p.pos] == '\n' || p.s[p.pos] == '\t' || p.s[p.pos] == '\r') {
		p.pos++
	}
}

func (p *parser) eat(c byte) bool {
	if p.pos < len(p.s) && p.s[p.pos] == c {
		p.pos++
		return true
	}
	return false
}

func (p *parser) name() string {
	start := p.pos
	for p.pos < len(p.s) {
		switch p.s[p.pos] {
		case ' ', '\n', '\t', '\r', '=', '/', '>', '<', '"', '\'':
			return p.s[start:p.pos]
		}
		p.pos++
	}
	return p.s[start:p.pos]
}

// start reads a start tag after its '<'.
func (p *parser) start() (e *Elem, closed bool, err error) {
	if len(p.elems) == 0 {
		p.elems = make([]Elem, 128)
	}
	e, p.elems = &p.elems[0], p.elems[1:]
	if e.Name = p.name(); e.Name == "" {
		return nil, false, p.errorf("element without a name")
	}
	p.list = p.list[:0]
	for {
		p.space()
		if p.eat('>') {
			break
		}
		if p.eat('/') {
			if !p.eat('>') {
				return nil, false, p.errorf("'/' not followed by '>' in <%s>", e.Name)
			}
			closed = true
			break
		}
		a := Attr{Name: p.name()}
		p.space()
		if a.Name == "" || !p.eat('=') {
			return nil, false, p.errorf("malformed attribute in <%s>", e.Name)
		}
		p.space()
		if p.pos >= len(p.s) || (p.s[p.pos] != '"' && p.s[p.pos] != '\'') {
			return nil, false, p.errorf("attribute %s of <%s> is not quoted", a.Name, e.Name)
		}
		quote := p.s[p.pos]
		p.pos++
		n := strings.IndexByte(p.s[p.pos:], quote)
		if n < 0 {
			return nil, false, p.errorf("attribute %s of <%s> has no closing quote", a.Name, e.Name)
		}
		if a.Value, err = p.unescape(p.s[p.pos : p.pos+n]); err != nil {
			return nil, false, err
		}
		p.pos += n + 1
		for _, x := range p.list {
			if x.Name == a.Name {
				return nil, false, p.errorf("attribute %s of <%s> appears twice", a.Name, e.Name)
			}
		}
		p.list = append(p.list, a)
	}
	if n := len(p.list); n > 0 {
		if len(p.attrs) < n {
			p.attrs = make([]Attr, max(512, n))
		}
		e.Attrs, p.attrs = p.attrs[:n:n], p.attrs[n:]
		copy(e.Attrs, p.list)
	}
	return e, closed, nil
}

func (p *parser) unescape(s string) (string, error) {
	if strings.IndexByte(s, '<') >= 0 {
		return "", p.errorf("'<' in an attribute value")
	}
	if !strings.ContainsAny(s, "&\n\t\r") {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '\n', '\t', '\r':
			b.WriteByte(' ')
		case '&':
			end := strings.IndexByte(s[i:], ';')
			if end < 0 {
				return "", p.errorf("'&' without ';' in an attribute value")
			}
			ent := s[i+1 : i+end]
			i += end
			switch ent {
			case "lt":
				b.WriteByte('<')
			case "gt":
				b.WriteByte('>')
			case "amp":
				b.WriteByte('&')
			case "quot":
				b.WriteByte('"')
			case "apos":
				b.WriteByte('\'')
			default:
				r, ok := charRef(ent)
				if !ok {
					return "", p.errorf("unknown entity &%s;", ent)
				}
				b.WriteRune(r)
			}
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), nil
}

func charRef(ent string) (rune, bool) {
	if len(ent) < 2 || ent[0] != '#' {
		return 0, false
	}
	text, base := ent[1:], 10
	if text[0] == 'x' {
		text, base = text[1:], 16
	}
	n, err := strconv.ParseUint(text, base, 32)
	if err != nil || n == 0 || n > utf8.MaxRune {
		return 0, false
	}
	return rune(n), true
}
