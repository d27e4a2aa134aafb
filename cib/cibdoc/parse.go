package cibdoc

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxDepth bounds nesting, so that walks over a document cannot exhaust the
// stack; real ones have less than 20 levels.
const maxDepth = 256

// maxAttrs bounds the attributes of an element, which are searched one by one;
// real ones have less than 40. Without it an element of 100,000 keeps the
// primary busy for a minute, and with it every writer of the cluster waiting.
const maxAttrs = 1024

// maxReference bounds what is looked at after an ampersand.
const maxReference = 16

// SyntaxError says where a text stops being XML.
type SyntaxError struct {
	Line int
	Text string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Text) }

// Parse reads a document. Text between elements is dropped, comments, CDATA
// sections and processing instructions inside the root are kept (cib 6.3).
func Parse(b []byte) (*Doc, error) {
	n, err := ParseNode(b)
	if err != nil {
		return nil, err
	}
	return New(n), nil
}

// ParseNode reads an element with all below it, free to be changed.
func ParseNode(b []byte) (*Node, error) { return parse(b, false) }

// ParseRecover reads as much as can be made out of a broken text: elements
// that are not closed end with the text, stray characters in a tag are passed
// over (cib 10.3). It fails where there is no element at all.
func ParseRecover(b []byte) (*Node, error) { return parse(b, true) }

type scanner struct {
	in      string
	pos     int
	lastPos int // where line was counted up to
	line    int
	recover bool
	root    *Node
	open    []*Node
}

func parse(b []byte, recover bool) (*Node, error) {
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(b) {
		return nil, errors.New("not UTF-8 text")
	}
	s := &scanner{in: string(b), line: 1, recover: recover}
	for s.pos < len(s.in) {
		if err := s.next(); err != nil {
			return nil, err
		}
	}
	switch {
	case s.root == nil:
		return nil, s.errorf("there is no element")
	case len(s.open) > 0 && !recover:
		return nil, s.errorf("the text ends inside <%s> of line %d", s.open[len(s.open)-1].Tag, s.open[len(s.open)-1].Line)
	}
	return s.root, nil
}

// here is the line of pos.
func (s *scanner) here() int {
	if s.pos > s.lastPos {
		s.line += strings.Count(s.in[s.lastPos:s.pos], "\n")
		s.lastPos = s.pos
	}
	return s.line
}

func (s *scanner) errorf(format string, args ...any) error {
	return &SyntaxError{Line: s.here(), Text: fmt.Sprintf(format, args...)}
}

// next takes one piece of markup, or the text before it.
func (s *scanner) next() error {
	rest := s.in[s.pos:]
	if rest[0] != '<' {
		end := strings.IndexByte(rest, '<')
		if end < 0 {
			end = len(rest)
		}
		if len(s.open) == 0 && !s.recover && strings.TrimSpace(rest[:end]) != "" {
			return s.errorf("text outside of the root element")
		}
		s.pos += end
		return nil
	}
	switch {
	case strings.HasPrefix(rest, "<!--"):
		return s.section("<!--", "-->", "comment", func(body string) *Node { return Comment(body) })
	case strings.HasPrefix(rest, "<![CDATA["):
		return s.section("<![CDATA[", "]]>", "CDATA section", func(body string) *Node { return &Node{Kind: KindCData, Text: body} })
	case strings.HasPrefix(rest, "<?"):
		return s.section("<?", "?>", "processing instruction", func(body string) *Node {
			target, text, _ := strings.Cut(body, " ")
			return &Node{Kind: KindProcInst, Tag: target, Text: strings.TrimLeft(text, " \t\r\n")}
		})
	case strings.HasPrefix(rest, "<!"):
		return s.doctype()
	case strings.HasPrefix(rest, "</"):
		return s.endTag()
	}
	return s.startTag()
}

// section takes what stands between two fixed marks.
func (s *scanner) section(begin, end, what string, node func(string) *Node) error {
	body := s.in[s.pos+len(begin):]
	i := strings.Index(body, end)
	if i < 0 {
		if !s.recover {
			return s.errorf("%s without its end %q", what, end)
		}
		s.pos = len(s.in)
		return nil
	}
	n := node(strings.Clone(body[:i]))
	n.Line = s.here()
	s.pos += len(begin) + i + len(end)
	switch {
	case n.Kind == KindComment && strings.Contains(n.Text, "--") && !s.recover:
		return s.errorf("a comment must not contain \"--\"")
	case n.Kind == KindCData && len(s.open) == 0 && !s.recover:
		return s.errorf("%s outside of the root element", what)
	case n.Kind == KindProcInst && n.Tag == "" && !s.recover:
		return s.errorf("processing instruction without a name")
	case n.Kind == KindProcInst && n.Tag == "xml":
		return nil // the declaration; the encoding was checked on the bytes
	}
	if len(s.open) > 0 {
		top := s.open[len(s.open)-1]
		top.Children = append(top.Children, n)
	}
	return nil
}

// doctype passes over a document type without internal subset; entities of
// its own are not for a CIB.
func (s *scanner) doctype() error {
	i := strings.IndexByte(s.in[s.pos:], '>')
	if i < 0 || strings.IndexByte(s.in[s.pos:s.pos+i], '[') >= 0 || len(s.open) > 0 {
		if !s.recover {
			return s.errorf("document type declarations are not supported")
		}
		if i < 0 {
			i = len(s.in) - s.pos - 1
		}
	}
	s.pos += i + 1
	return nil
}

func (s *scanner) endTag() error {
	s.pos += 2
	name := s.name()
	s.space()
	if s.pos >= len(s.in) || s.in[s.pos] != '>' {
		if !s.recover {
			return s.errorf("</%s is not closed by \">\"", name)
		}
		if i := strings.IndexByte(s.in[s.pos:], '>'); i >= 0 {
			s.pos += i
		} else {
			s.pos = len(s.in) - 1
		}
	}
	if !s.recover {
		if len(s.open) == 0 {
			return s.errorf("</%s> closes nothing", name)
		}
		if top := s.open[len(s.open)-1]; top.Tag != name {
			return s.errorf("</%s> where </%s> is expected (<%s> began in line %d)", name, top.Tag, top.Tag, top.Line)
		}
		s.pos++
		s.open = s.open[:len(s.open)-1]
		return nil
	}
	s.pos++
	for i := len(s.open) - 1; i >= 0; i-- {
		if s.open[i].Tag == name {
			s.open = s.open[:i]
			break
		}
	}
	return nil
}

func (s *scanner) startTag() error {
	line := s.here()
	s.pos++
	tag := s.name()
	if tag == "" {
		if s.recover {
			return nil
		}
		return s.errorf("\"<\" is not followed by a name")
	}
	if len(s.open) == 0 && s.root != nil {
		if s.recover {
			s.pos = len(s.in)
			return nil
		}
		return s.errorf("a second root element <%s>", tag)
	}
	if len(s.open) >= maxDepth {
		return s.errorf("more than %d levels", maxDepth)
	}
	n := &Node{Tag: strings.Clone(tag), Line: line}
	closed := false
	for {
		spaced := s.space()
		if s.pos >= len(s.in) {
			if !s.recover {
				return s.errorf("<%s is not closed by \">\"", tag)
			}
			break
		}
		c := s.in[s.pos]
		if c == '>' {
			s.pos++
			break
		}
		if c == '/' && strings.HasPrefix(s.in[s.pos:], "/>") {
			s.pos += 2
			closed = true
			break
		}
		if c == '<' && s.recover {
			break
		}
		if err := s.attribute(n, spaced); err != nil {
			if !s.recover {
				return err
			}
			s.pos++ // pass over what is no attribute
		}
	}
	if len(s.open) > 0 {
		top := s.open[len(s.open)-1]
		top.Children = append(top.Children, n)
	} else {
		s.root = n
	}
	if !closed {
		s.open = append(s.open, n)
	}
	return nil
}

func (s *scanner) attribute(n *Node, spaced bool) error {
	name := s.name()
	if name == "" {
		return s.errorf("unexpected character %q in <%s>", s.in[s.pos], n.Tag)
	}
	if !spaced {
		return s.errorf("attribute %s of <%s> is not separated by a blank", name, n.Tag)
	}
	s.space()
	if s.pos >= len(s.in) || s.in[s.pos] != '=' {
		return s.errorf("attribute %s of <%s> has no value", name, n.Tag)
	}
	s.pos++
	s.space()
	if s.pos >= len(s.in) || s.in[s.pos] != '"' && s.in[s.pos] != '\'' {
		return s.errorf("the value of attribute %s of <%s> is not in quotes", name, n.Tag)
	}
	quote := s.in[s.pos]
	raw := s.in[s.pos+1:]
	end := strings.IndexByte(raw, quote)
	if end < 0 {
		return s.errorf("the value of attribute %s of <%s> has no closing quote", name, n.Tag)
	}
	value, err := s.value(raw[:end])
	if err != nil {
		return fmt.Errorf("attribute %s of <%s>: %w", name, n.Tag, err)
	}
	s.pos += end + 2
	if _, dup := n.Get(name); dup {
		return s.errorf("attribute %s of <%s> is given twice", name, n.Tag)
	}
	if len(n.Attrs) >= maxAttrs {
		return s.errorf("<%s> has more than %d attributes", n.Tag, maxAttrs)
	}
	n.Attrs = append(n.Attrs, Attr{strings.Clone(name), value})
	return nil
}

// value resolves references, and turns white space that is not written as a
// reference to blanks, as XML 1.0 section 3.3.3 wants.
func (s *scanner) value(raw string) (string, error) {
	if !strings.ContainsAny(raw, "<&\t\n\r") && !hasControl(raw) {
		return strings.Clone(raw), nil
	}
	var b strings.Builder
	for i := 0; i < len(raw); {
		switch c := raw[i]; {
		case c == '<' && !s.recover:
			return "", s.errorf("\"<\" in a value; write &lt;")
		case c == '\r' && i+1 < len(raw) && raw[i+1] == '\n':
			i++
		case c == '\t' || c == '\n' || c == '\r':
			b.WriteByte(' ')
			i++
		case c < 0x20:
			return "", s.errorf("control character %#x in a value", c)
		case c == '&':
			end := strings.IndexByte(raw[i:min(len(raw), i+maxReference)], ';')
			text, ok := "", false
			if end > 0 {
				text, ok = reference(raw[i+1 : i+end])
			}
			if !ok {
				if s.recover {
					b.WriteByte('&')
					i++
					continue
				}
				return "", s.errorf("unknown reference at %q; write &amp; for an ampersand", raw[i:min(len(raw), i+12)])
			}
			b.WriteString(text)
			i += end + 1
		default:
			b.WriteByte(c)
			i++
		}
	}
	return b.String(), nil
}

func hasControl(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 {
			return true
		}
	}
	return false
}

func reference(name string) (string, bool) {
	switch name {
	case "lt":
		return "<", true
	case "gt":
		return ">", true
	case "amp":
		return "&", true
	case "quot":
		return `"`, true
	case "apos":
		return "'", true
	}
	digits, ok := strings.CutPrefix(name, "#")
	if !ok {
		return "", false
	}
	base := 10
	if hex, ok := strings.CutPrefix(digits, "x"); ok {
		digits, base = hex, 16
	}
	v, err := strconv.ParseUint(digits, base, 32)
	if err != nil || v > utf8.MaxRune || !utf8.ValidRune(rune(v)) ||
		v < 0x20 && v != '\t' && v != '\n' && v != '\r' || v == 0xfffe || v == 0xffff {
		return "", false
	}
	return string(rune(v)), true
}

func (s *scanner) space() bool {
	start := s.pos
	for s.pos < len(s.in) && (s.in[s.pos] == ' ' || s.in[s.pos] == '\t' || s.in[s.pos] == '\n' || s.in[s.pos] == '\r') {
		s.pos++
	}
	return s.pos > start
}

func (s *scanner) name() string {
	start := s.pos
	for s.pos < len(s.in) {
		c := s.in[s.pos]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == ':' || c >= 0x80
		if !letter && (s.pos == start || !(c >= '0' && c <= '9' || c == '-' || c == '.')) {
			break
		}
		s.pos++
	}
	return s.in[start:s.pos]
}
