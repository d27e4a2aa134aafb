package schema

import (
	"fmt"
	"strings"
	"unicode"
)

// This file reads the grammar's own language (described at the top of
// cib.grammar) into a tree that still holds all versions.

// node is a piece of the grammar as written.
type node struct {
	kind  nodeKind
	name  string  // of an element, attribute, definition or word
	items []*node // content, alternatives, arguments
	line  int
	from  Version // guard; the zero Version if there is none
	to    Version
}

type nodeKind uint8

const (
	nodeSequence   nodeKind = iota // a, b
	nodeInterleave                 // a & b
	nodeChoice                     // a | b
	nodeOptional
	nodeAny  // *
	nodeSome // +
	nodeElement
	nodeAttribute // items[0] is its type
	nodeRef       // a definition or parameter, items are the arguments
	nodeEmpty
	nodeAnything
	nodeWord    // "x"
	nodeExactly // exactly "x"
	nodePattern // /x/
	nodeExcept  // string except (...)
)

// definition is a named piece.
type definition struct {
	name   string
	params []string
	isType bool
	body   *node
}

// grammar is the whole text.
type grammar struct {
	definitions map[string]*definition
	order       []*definition
}

type token struct {
	kind rune // 'n' name, 's' quoted, 'r' regular expression, 0 end, else the sign itself
	text string
	line int
}

func lex(text string) ([]token, error) {
	var out []token
	line := 1
	for i := 0; i < len(text); {
		c := rune(text[i])
		rest := text[i:]
		switch {
		case c == '\n':
			line++
			i++
		case unicode.IsSpace(c):
			i++
		case c == '#':
			end := strings.IndexByte(rest, '\n')
			if end < 0 {
				end = len(rest)
			}
			i += end
		case c == '"' || c == '/':
			end := strings.IndexByte(rest[1:], byte(c))
			if end < 0 || strings.Contains(rest[:end+1], "\n") {
				return nil, fmt.Errorf("line %d: %c without its end", line, c)
			}
			kind := 's'
			if c == '/' {
				kind = 'r'
			}
			out = append(out, token{kind, rest[1 : end+1], line})
			i += end + 2
		case isNameByte(byte(c)):
			n := 1
			for n < len(rest) && isNameByte(rest[n]) {
				n++
			}
			out = append(out, token{'n', rest[:n], line})
			i += n
		case strings.ContainsRune("<>{}()[]@=|,&?*+", c):
			out = append(out, token{c, string(c), line})
			i++
		default:
			return nil, fmt.Errorf("line %d: unexpected %q", line, c)
		}
	}
	return append(out, token{0, "the end", line}), nil
}

func isNameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.'
}

// reader walks over the tokens; the first mistake stops it by a panic that
// readGrammar turns into an error.
type reader struct {
	tokens []token
	at     int
}

type syntaxError string

func (r *reader) fail(format string, args ...any) {
	panic(syntaxError(fmt.Sprintf("line %d: ", r.tokens[r.at].line) + fmt.Sprintf(format, args...)))
}

func (r *reader) peek() token { return r.tokens[r.at] }

func (r *reader) next() token {
	t := r.tokens[r.at]
	if t.kind != 0 {
		r.at++
	}
	return t
}

func (r *reader) accept(kind rune) bool {
	if r.peek().kind != kind {
		return false
	}
	r.at++
	return true
}

func (r *reader) expect(kind rune, what string) token {
	if r.peek().kind != kind {
		r.fail("expected %s, not %s", what, r.peek().text)
	}
	return r.next()
}

// readGrammar reads a grammar; the error names the line.
func readGrammar(text string) (g *grammar, err error) {
	tokens, err := lex(text)
	if err != nil {
		return nil, err
	}
	defer func() {
		if p := recover(); p != nil {
			s, ok := p.(syntaxError)
			if !ok {
				panic(p)
			}
			g, err = nil, fmt.Errorf("%s", string(s))
		}
	}()
	r := &reader{tokens: tokens}
	g = &grammar{definitions: map[string]*definition{}}
	for r.peek().kind != 0 {
		d := r.definition()
		if g.definitions[d.name] != nil {
			r.fail("%s is defined twice", d.name)
		}
		g.definitions[d.name] = d
		g.order = append(g.order, d)
	}
	return g, nil
}

func (r *reader) definition() *definition {
	d := &definition{name: r.expect('n', "a definition").text}
	if d.name == "type" && r.peek().kind == 'n' {
		d.isType, d.name = true, r.next().text
	}
	if r.accept('(') {
		for {
			d.params = append(d.params, r.expect('n', "a parameter").text)
			if !r.accept(',') {
				break
			}
		}
		r.expect(')', ")")
	}
	r.expect('=', "=")
	d.body = r.choice(d.isType)
	return d
}

func (r *reader) choice(isType bool) *node {
	line := r.peek().line
	items := []*node{r.sequence(isType)}
	for r.accept('|') {
		items = append(items, r.sequence(isType))
	}
	if len(items) == 1 {
		return items[0]
	}
	return &node{kind: nodeChoice, items: items, line: line}
}

func (r *reader) sequence(isType bool) *node {
	line := r.peek().line
	items := []*node{r.item(isType)}
	kind := nodeSequence
	sign := r.peek().kind
	if isType || sign != ',' && sign != '&' {
		return items[0]
	}
	if sign == '&' {
		kind = nodeInterleave
	}
	for r.accept(sign) {
		items = append(items, r.item(false))
	}
	if k := r.peek().kind; k == ',' || k == '&' {
		r.fail(`"," and "&" beside each other: use parentheses`)
	}
	return &node{kind: kind, items: items, line: line}
}

// item is a primary with what follows it: ?, *, + and a guard.
func (r *reader) item(isType bool) *node {
	var n *node
	if isType {
		n = r.typePrimary()
	} else {
		n = r.primary()
	}
	line := r.peek().line
	switch r.peek().kind {
	case '?':
		r.at++
		n = &node{kind: nodeOptional, items: []*node{n}, line: line}
	case '*':
		r.at++
		n = &node{kind: nodeAny, items: []*node{n}, line: line}
	case '+':
		r.at++
		n = &node{kind: nodeSome, items: []*node{n}, line: line}
	}
	if r.peek().kind == '[' {
		// A guard on a node of its own: the one below may be shared.
		n = &node{kind: nodeSequence, items: []*node{n}, line: line}
		n.from, n.to = r.guard()
	}
	return n
}

func (r *reader) guard() (from, to Version) {
	r.expect('[', "[")
	version := func() Version {
		t := r.expect('n', "a version")
		v, ok := parseVersion(t.text)
		if !ok {
			r.fail("%s is no version", t.text)
		}
		return v
	}
	switch word := r.peek().text; word {
	case "since":
		r.at++
		from, to = version(), next
	case "until":
		r.at++
		from, to = Version{Major: 1}, version()
	case "only":
		r.at++
		from = version()
		to = from
	default:
		from = version()
		if t := r.expect('n', "to"); t.text != "to" {
			r.fail("expected to, not %s", t.text)
		}
		to = version()
	}
	r.expect(']', "]")
	return from, to
}

func (r *reader) primary() *node {
	t := r.next()
	n := &node{line: t.line, name: t.text}
	switch t.kind {
	case '(':
		inner := r.choice(false)
		r.expect(')', ")")
		return inner
	case '<':
		n.kind, n.name = nodeElement, r.expect('n', "a tag").text
		r.expect('>', ">")
		r.expect('{', "{")
		n.items = []*node{r.choice(false)}
		r.expect('}', "}")
		return n
	case '@':
		n.kind, n.name = nodeAttribute, r.expect('n', "an attribute").text
		n.items = []*node{r.typePrimary()}
		return n
	case 'n':
		switch t.text {
		case "empty":
			n.kind = nodeEmpty
			return n
		case "anything":
			n.kind = nodeAnything
			return n
		}
		n.kind = nodeRef
		if r.accept('(') {
			for {
				n.items = append(n.items, r.argument())
				if !r.accept(',') {
					break
				}
			}
			r.expect(')', ")")
		}
		return n
	}
	r.at--
	r.fail("unexpected %s", t.text)
	return nil
}

// argument is one item: what is longer than that stands in parentheses.
func (r *reader) argument() *node { return r.item(false) }

func (r *reader) typePrimary() *node {
	t := r.next()
	n := &node{line: t.line, name: t.text}
	switch t.kind {
	case '(':
		inner := r.choice(true)
		r.expect(')', ")")
		return inner
	case 's':
		n.kind = nodeWord
		return n
	case 'r':
		n.kind = nodePattern
		return n
	case 'n':
		switch t.text {
		case "exactly":
			n.kind, n.name = nodeExactly, r.expect('s', "a word in quotes").text
		case "string":
			if e := r.expect('n', "except"); e.text != "except" {
				r.fail("expected except, not %s", e.text)
			}
			n.kind = nodeExcept
			r.expect('(', "(")
			n.items = []*node{r.choice(true)}
			r.expect(')', ")")
		default:
			n.kind = nodeRef
		}
		return n
	}
	r.at--
	r.fail("unexpected %s in a type", t.text)
	return nil
}
