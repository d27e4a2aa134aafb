package cibdoc

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/antchfx/xpath"
)

// ErrNoNodes means that an XPath does not yield nodes: count(...), say.
var ErrNoNodes = errors.New("the XPath yields a value, not nodes")

// XPath is a compiled expression.
type XPath struct {
	text string

	mu   sync.Mutex // evaluating writes to the expression; the iterator is a copy
	expr *xpath.Expr
}

func (x *XPath) evaluate(root *Node) any {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.expr.Evaluate(newNavigator(root))
}

// compiled keeps expressions that were used before; clients use few.
var compiled = struct {
	sync.Mutex
	m map[string]*XPath
}{m: map[string]*XPath{}}

const maxCompiled = 512

// CompileXPath reads an XPath 1.0 expression. Positions ([2], last(),
// position()) are refused except as the only predicate of a step, because the
// evaluator gets them wrong in combinations.
func CompileXPath(text string) (x *XPath, err error) {
	compiled.Lock()
	defer compiled.Unlock()
	if x := compiled.m[text]; x != nil {
		return x, nil
	}
	if len(text) > 64<<10 {
		return nil, errors.New("XPath: longer than 64 KiB")
	}
	if err := checkPositions(text); err != nil {
		return nil, err
	}
	defer func() {
		if p := recover(); p != nil {
			x, err = nil, fmt.Errorf("XPath %q: %v", text, p)
		}
	}()
	expr, err := xpath.Compile(text)
	if err != nil {
		return nil, fmt.Errorf("XPath %q: %w", text, err)
	}
	x = &XPath{text: text, expr: expr}
	if len(compiled.m) >= maxCompiled {
		clear(compiled.m)
	}
	compiled.m[text] = x
	return x, nil
}

// Match is one node that an XPath selected; Attr names the attribute where it
// selected one of the node's.
type Match struct {
	Path Path
	Node *Node
	Attr string
}

// Select returns the matches below and with root, in document order, each once.
func (x *XPath) Select(root *Node) (found []Match, err error) {
	defer func() {
		if p := recover(); p != nil {
			found, err = nil, fmt.Errorf("XPath %q: %v", x.text, p)
		}
	}()
	it, ok := x.evaluate(root).(*xpath.NodeIterator)
	if !ok {
		return nil, ErrNoNodes
	}
	for it.MoveNext() {
		nav := it.Current().(*navigator)
		if len(nav.stack) == 0 {
			continue // the document itself: not an element
		}
		m := Match{Node: nav.node(), Path: nav.path()}
		if nav.attr >= 0 {
			m.Attr = m.Node.Attrs[nav.attr].Name
		}
		found = append(found, m)
	}
	slices.SortStableFunc(found, func(a, b Match) int {
		if c := slices.Compare(a.Path, b.Path); c != 0 {
			return c
		}
		return attrIndex(a) - attrIndex(b)
	})
	return slices.CompactFunc(found, func(a, b Match) bool {
		return a.Attr == b.Attr && slices.Equal(a.Path, b.Path)
	}), nil
}

func attrIndex(m Match) int {
	if m.Attr == "" {
		return -1
	}
	return slices.IndexFunc(m.Node.Attrs, func(a Attr) bool { return a.Name == m.Attr })
}

// Select returns the nodes of the document that text selects; a matching
// attribute yields its owner (cib 4.1), each node once.
func (d *Doc) Select(text string) ([]Match, error) { return SelectNodes(d.root, text) }

// SelectNodes is Select below any root.
func SelectNodes(root *Node, text string) ([]Match, error) {
	x, err := CompileXPath(text)
	if err != nil {
		return nil, err
	}
	found, err := x.Select(root)
	if err != nil {
		return nil, err
	}
	for i := range found {
		found[i].Attr = ""
	}
	return slices.CompactFunc(found, func(a, b Match) bool { return slices.Equal(a.Path, b.Path) }), nil
}

// checkPositions refuses positional predicates in combinations.
func checkPositions(text string) error {
	toks := tokens(text)
	positional, predicates := false, 0 // of the present step
	depth := 0
	refuse := func() error {
		return fmt.Errorf("XPath %q: a position ([N], last(), position()) is supported only as the one predicate of a step", text)
	}
	for i, t := range toks {
		switch t {
		case "[":
			if depth == 0 {
				predicates++
			}
			depth++
			if i+2 < len(toks) && isNumber(toks[i+1]) && toks[i+2] == "]" {
				if depth > 1 {
					return refuse()
				}
				positional = true
			}
		case "]":
			depth--
		case "last", "position":
			if i+1 < len(toks) && toks[i+1] == "(" {
				// only [last()] or [position() OP N]
				if depth != 1 || i == 0 || toks[i-1] != "[" {
					return refuse()
				}
				end := slices.Index(toks[i:], "]")
				if end < 0 || slices.ContainsFunc(toks[i:i+end], func(s string) bool { return s == "and" || s == "or" || s == "[" }) {
					return refuse()
				}
				positional = true
			}
		case "/", "|":
			if depth == 0 {
				positional, predicates = false, 0
			}
		}
		if positional && predicates > 1 {
			return refuse()
		}
	}
	return nil
}

func isNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789.") == ""
}

// tokens splits an expression roughly: names, numbers, single characters;
// string literals are left out.
func tokens(text string) []string {
	var out []string
	word := func(c byte) bool {
		return c == '_' || c == '-' || c == '.' || c == ':' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
	}
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == '"' || c == '\'':
			end := strings.IndexByte(text[i+1:], c)
			if end < 0 {
				return out
			}
			out = append(out, `""`)
			i += end + 2
		case word(c):
			j := i
			for j < len(text) && word(text[j]) {
				j++
			}
			out = append(out, text[i:j])
			i = j
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
		default:
			out = append(out, string(c))
			i++
		}
	}
	return out
}

// navigator walks a tree for the evaluator. Nodes have no parents, so it
// carries the way from the root.
type navigator struct {
	root  *Node
	stack []step // empty: at the document, above the root
	attr  int    // index of the attribute it is at, -1: at the node
}

type step struct {
	node *Node
	idx  int
}

func newNavigator(root *Node) *navigator { return &navigator{root: root, attr: -1} }

func (v *navigator) node() *Node { return v.stack[len(v.stack)-1].node }

func (v *navigator) path() Path {
	p := make(Path, 0, len(v.stack)-1)
	for _, s := range v.stack[1:] {
		p = append(p, s.idx)
	}
	return p
}

func (v *navigator) NodeType() xpath.NodeType {
	switch {
	case len(v.stack) == 0:
		return xpath.RootNode
	case v.attr >= 0:
		return xpath.AttributeNode
	}
	switch v.node().Kind {
	case KindComment:
		return xpath.CommentNode
	case KindCData:
		return xpath.TextNode
	}
	return xpath.ElementNode
}

func (v *navigator) LocalName() string {
	switch {
	case len(v.stack) == 0:
		return ""
	case v.attr >= 0:
		return v.node().Attrs[v.attr].Name
	}
	return v.node().Tag
}

func (v *navigator) Prefix() string { return "" }

func (v *navigator) Value() string {
	switch {
	case len(v.stack) == 0:
		return text(v.root)
	case v.attr >= 0:
		return v.node().Attrs[v.attr].Value
	}
	return text(v.node())
}

func text(n *Node) string {
	if n.Kind == KindComment || n.Kind == KindCData {
		return n.Text
	}
	var b strings.Builder
	n.Walk(func(_ Path, c *Node) bool {
		if c.Kind == KindCData {
			b.WriteString(c.Text)
		}
		return true
	})
	return b.String()
}

func (v *navigator) Copy() xpath.NodeNavigator {
	return &navigator{root: v.root, stack: slices.Clone(v.stack), attr: v.attr}
}

func (v *navigator) MoveToRoot() { v.stack, v.attr = v.stack[:0], -1 }

func (v *navigator) MoveToParent() bool {
	switch {
	case v.attr >= 0:
		v.attr = -1
		return true
	case len(v.stack) == 0:
		return false
	}
	v.stack = v.stack[:len(v.stack)-1]
	return true
}

func (v *navigator) MoveToNextAttribute() bool {
	if len(v.stack) == 0 || v.node().Kind != KindElement || v.attr+1 >= len(v.node().Attrs) {
		return false
	}
	v.attr++
	return true
}

func (v *navigator) MoveToChild() bool {
	if v.attr >= 0 {
		return false
	}
	if len(v.stack) == 0 {
		v.stack = append(v.stack, step{v.root, 0})
		return true
	}
	n := v.node()
	if i := visible(n, 0, 1); i >= 0 {
		v.stack = append(v.stack, step{n.Children[i], i})
		return true
	}
	return false
}

// visible is the first child from i on that is no processing instruction.
func visible(n *Node, i, dir int) int {
	for ; i >= 0 && i < len(n.Children); i += dir {
		if n.Children[i].Kind != KindProcInst {
			return i
		}
	}
	return -1
}

func (v *navigator) sibling(from, dir int) bool {
	if v.attr >= 0 || len(v.stack) < 2 {
		return false
	}
	parent := v.stack[len(v.stack)-2].node
	i := visible(parent, from, dir)
	if i < 0 {
		return false
	}
	v.stack[len(v.stack)-1] = step{parent.Children[i], i}
	return true
}

func (v *navigator) MoveToFirst() bool { return v.sibling(0, 1) }

func (v *navigator) MoveToNext() bool {
	return len(v.stack) >= 2 && v.sibling(v.stack[len(v.stack)-1].idx+1, 1)
}

func (v *navigator) MoveToPrevious() bool {
	return len(v.stack) >= 2 && v.sibling(v.stack[len(v.stack)-1].idx-1, -1)
}

func (v *navigator) MoveTo(o xpath.NodeNavigator) bool {
	w, ok := o.(*navigator)
	if !ok || w.root != v.root {
		return false
	}
	v.stack = append(v.stack[:0], w.stack...)
	v.attr = w.attr
	return true
}

// Quote writes a text as an XPath literal. XPath has no escapes: one with both
// kinds of quotes must be put together.
func Quote(s string) string {
	switch {
	case !strings.Contains(s, "'"):
		return "'" + s + "'"
	case !strings.Contains(s, `"`):
		return `"` + s + `"`
	}
	return "concat('" + strings.ReplaceAll(s, "'", `',"'",'`) + "')"
}
