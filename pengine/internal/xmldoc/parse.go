package xmldoc

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
	"unsafe"
)

// maxDepth bounds nesting, so that no input can exhaust the stack of the code
// that walks the tree.
const maxDepth = 256

// Sizes of the chunks that elements and lists of children are taken from: a
// document has hundreds of thousands of them, of one life time.
const (
	elemChunk = 256
	kidChunk  = 1024
)

// parser reads a document in one pass. What a byte of a value needs beyond
// being copied by reference is rare, so the parser looks ahead for the next
// such byte (see seeker) instead of looking at every byte.
type parser struct {
	s     string
	pos   int
	less  seeker    // the next '<'
	rare  [4]seeker // the next '&', '\n', '\t', '\r': values with these are not taken as they stand
	names []string  // of the attributes of the element that is being read
	elems []Elem    // chunk from which elements are taken
	kids  []*Elem   // chunk from which lists of children are taken
	open  []open    // elements that are not closed yet
	stack []*Elem   // their children so far
}

// open is an element that is not closed yet; its children begin at first in
// the parser's stack.
type open struct {
	e     *Elem
	first int
}

// seeker knows where a byte comes next.
type seeker struct {
	c  byte
	at int
}

// from is the position of the byte at or after pos, len(s) if there is none.
func (k *seeker) from(s string, pos int) int {
	if k.at < pos {
		if i := strings.IndexByte(s[pos:], k.c); i >= 0 {
			k.at = pos + i
		} else {
			k.at = len(s)
		}
	}
	return k.at
}

// Parse reads one document and returns its root element. The tree refers to
// data, which must not change afterwards.
func Parse(data []byte) (*Elem, error) {
	p := &parser{s: unsafe.String(unsafe.SliceData(data), len(data)), less: seeker{'<', -1}}
	for i, c := range []byte("&\n\t\r") {
		p.rare[i] = seeker{c, -1}
	}
	var root *Elem
	for {
		if p.pos = p.less.from(p.s, p.pos); p.pos == len(p.s) {
			break
		}
		switch rest := p.s[p.pos+1:]; {
		case rest != "" && rest[0] == '/':
			p.pos += 2
			if err := p.end(); err != nil {
				return nil, err
			}
		case rest != "" && (rest[0] == '!' || rest[0] == '?'):
			if err := p.skip(); err != nil {
				return nil, err
			}
		default:
			p.pos++
			e, closed, err := p.start()
			if err != nil {
				return nil, err
			}
			switch n := len(p.open); {
			case n > 0:
				e.Parent = p.open[n-1].e
				p.stack = append(p.stack, e)
			case root != nil:
				return nil, p.errorf("more than one root element")
			default:
				root = e
			}
			if !closed {
				if p.open = append(p.open, open{e, len(p.stack)}); len(p.open) > maxDepth {
					return nil, p.errorf("elements nested more than %d deep", maxDepth)
				}
			}
		}
	}
	if n := len(p.open); n > 0 {
		return nil, p.errorf("element <%s> is not closed", p.open[n-1].e.Name)
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

// skip goes past what is no element: p.pos is at "<!" or "<?".
func (p *parser) skip() error {
	rest := p.s[p.pos:]
	for _, kind := range [...]struct{ begin, end, name string }{
		{"<!--", "-->", "comment"}, {"<![CDATA[", "]]>", "CDATA section"}, {"<?", "?>", "processing instruction"}, {"<!", ">", "declaration"},
	} {
		if !strings.HasPrefix(rest, kind.begin) {
			continue
		}
		i := strings.Index(rest, kind.end)
		if i < 0 {
			return p.errorf("%s without end", kind.name)
		}
		p.pos += i + len(kind.end)
		return nil
	}
	return p.errorf("'<' without a name") // not reached: the caller has seen one of the kinds
}

// end reads an end tag after its "</" and closes the element.
func (p *parser) end() error {
	name := p.name()
	p.space()
	n := len(p.open) - 1
	if n < 0 || p.open[n].e.Name != name || !p.eat('>') {
		return p.errorf("unexpected end tag </%s>", name)
	}
	o := p.open[n]
	p.open = p.open[:n]
	if list := p.stack[o.first:]; len(list) > 0 {
		if len(p.kids) < len(list) {
			p.kids = make([]*Elem, max(kidChunk, len(list)))
		}
		o.e.Kids, p.kids = p.kids[:len(list):len(list)], p.kids[len(list):]
		copy(o.e.Kids, list)
		p.stack = p.stack[:o.first]
	}
	return nil
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

// endsName are the bytes that no name contains: ASCII's but letters, digits and
// four signs. Others are taken as they come.
var endsName = func() (ends [256]bool) {
	for c := range 0x80 {
		ends[c] = !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.' || c == ':')
	}
	return ends
}()

func (p *parser) name() string {
	s, i := p.s, p.pos
	for i < len(s) && !endsName[s[i]] {
		i++
	}
	name := s[p.pos:i]
	p.pos = i
	return name
}

// start reads a start tag after its '<'.
func (p *parser) start() (e *Elem, closed bool, err error) {
	if len(p.elems) == 0 {
		p.elems = make([]Elem, elemChunk)
	}
	e, p.elems = &p.elems[0], p.elems[1:]
	if e.Name = p.name(); e.Name == "" {
		return nil, false, p.errorf("element without a name")
	}
	p.names = p.names[:0]
	p.space()
	begin, end := p.pos, p.pos
	odd := false
	var seen uint64 // hashes of the names so far
	for {
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
		name, val, err := p.attribute(e)
		if err != nil {
			return nil, false, err
		}
		end = p.pos
		odd = odd || p.odd(end-len(val)-1, end)
		bit := uint64(1) << ((uint(len(name))*11 + uint(name[0])*5 + uint(name[len(name)-1])) & 63)
		if seen&bit != 0 && slices.Contains(p.names, name) {
			return nil, false, p.errorf("attribute %s of <%s> appears twice", name, e.Name)
		}
		seen |= bit
		p.names = append(p.names, name)
		p.space()
	}
	e.text = p.s[begin:end]
	if odd {
		err = p.unescapeAll(e)
	}
	return e, closed, err
}

// attribute reads one attribute of e, its value as it stands, and goes past it.
func (p *parser) attribute(e *Elem) (name, val string, err error) {
	name = p.name()
	p.space()
	if name == "" || !p.eat('=') {
		return "", "", p.errorf("malformed attribute in <%s>", e.Name)
	}
	p.space()
	if p.pos >= len(p.s) || (p.s[p.pos] != '"' && p.s[p.pos] != '\'') {
		return "", "", p.errorf("attribute %s of <%s> is not quoted", name, e.Name)
	}
	begin := p.pos + 1
	n := strings.IndexByte(p.s[begin:], p.s[p.pos])
	if n < 0 {
		return "", "", p.errorf("attribute %s of <%s> has no closing quote", name, e.Name)
	}
	p.pos = begin
	if p.less.from(p.s, begin) < begin+n {
		return "", "", p.errorf("'<' in an attribute value")
	}
	p.pos = begin + n + 1
	return name, p.s[begin : begin+n], nil
}

// odd says whether any byte of a stretch keeps a value from being taken as it
// stands.
func (p *parser) odd(begin, end int) bool {
	for i := range p.rare {
		if p.rare[i].from(p.s, begin) < end {
			return true
		}
	}
	return false
}

// unescapeAll makes a list of the attributes of e, whose values have to be
// changed.
func (p *parser) unescapeAll(e *Elem) error {
	list := e.List()
	for i := range list {
		v, err := p.unescape(list[i].Value)
		if err != nil {
			return err
		}
		list[i].Value = v
	}
	return nil
}

// unescape gives a value with entities replaced and white space as blanks.
func (p *parser) unescape(s string) (string, error) {
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
