// Package haresources reads Heartbeat's haresources file (HB 14): which node
// owns which groups of resources when no cluster resource manager decides. It
// touches no file: callers hand in the text and get groups with the lines they
// stand on, so that every later message can say where.
package haresources

import (
	"fmt"
	"strings"
)

// Resource is one word of a group: a script and its arguments.
type Resource struct {
	Text   string   // as written; the first one of a group is the group's key
	Script string   // name in resource.d or init.d
	Args   []string // before the action
	Line   int
}

// Group is one logical line: resources that are started from left to right on
// one node and stopped from right to left.
type Group struct {
	Owner     string // lower case
	Resources []Resource
	Line      int
}

// Key names the group in messages and on command lines; "" for a group
// without resources.
func (g Group) Key() string {
	if len(g.Resources) == 0 {
		return ""
	}
	return g.Resources[0].Text
}

// String is the group as it is logged: owner and resources.
func (g Group) String() string { return g.Owner + " " + g.List() }

// List is the group's resources without their owner.
func (g Group) List() string {
	words := make([]string, len(g.Resources))
	for i, r := range g.Resources {
		words[i] = r.Text
	}
	return strings.Join(words, " ")
}

// Has reports whether a resource of the group is written so.
func (g Group) Has(text string) bool {
	for _, r := range g.Resources {
		if r.Text == text {
			return true
		}
	}
	return false
}

// Problem is a mistake in the file that 3.0.6 only notices when it acts, if at
// all: it keeps no cluster from starting, but is worth a warning.
type Problem struct {
	File string
	Line int
	Text string // what is wrong and what to do
}

func (p Problem) String() string { return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text) }

// Parse reads a whole file; name is only for problems. It never fails: what
// cannot be used is left out and reported.
func Parse(name string, text []byte) ([]Group, []Problem) {
	p := parser{file: name, keys: map[string]int{}}
	for i, line := range strings.Split(string(text), "\n") {
		p.line(i+1, line)
	}
	if p.first != 0 {
		p.problem(p.last, `the last line ends in "\", but nothing follows: remove the backslash`)
		p.end()
	}
	return p.groups, p.problems
}

type word struct {
	text string
	line int
}

type parser struct {
	file     string
	groups   []Group
	problems []Problem
	keys     map[string]int // line of the group with that key

	words       []word // of the logical line so far
	first, last int    // its physical lines; 0: none is open
}

func (p *parser) problem(line int, format string, args ...any) {
	p.problems = append(p.problems, Problem{p.file, line, fmt.Sprintf(format, args...)})
}

// line takes one physical line in.
func (p *parser) line(n int, text string) {
	text, _, _ = strings.Cut(text, "#")
	text = strings.TrimRight(text, " \t\r")
	text, more := strings.CutSuffix(text, `\`)
	if p.first == 0 {
		p.first = n
	}
	p.last = n
	for _, w := range strings.FieldsFunc(text, blank) {
		p.words = append(p.words, word{w, n})
	}
	if !more {
		p.end()
	}
}

func blank(r rune) bool { return r == ' ' || r == '\t' || r == '\r' }

// end makes a group of the logical line.
func (p *parser) end() {
	words := p.words
	p.words, p.first = nil, 0
	if len(words) == 0 {
		return
	}
	g := Group{Owner: strings.ToLower(words[0].text), Line: words[0].line}
	for _, w := range words[1:] {
		r, err := Split(w.text)
		if err != nil {
			p.problem(w.line, "%v", err)
			continue
		}
		r.Line = w.line
		g.Resources = append(g.Resources, r)
	}
	if len(g.Resources) == 0 {
		p.problem(g.Line, "node %s is followed by no resource: write `%s RESOURCE...`, or remove the line", g.Owner, g.Owner)
		return
	}
	if before, taken := p.keys[g.Key()]; taken {
		p.problem(g.Line, "the first resource of a group names it, and %s begins the group of line %d already: give each group a first resource of its own", g.Key(), before)
	} else {
		p.keys[g.Key()] = g.Line
	}
	p.groups = append(p.groups, g)
}

// Split takes one resource apart: `script`, `script::arg::arg`, or an IPv4
// address, which is short for IPaddr::address.
func Split(text string) (Resource, error) {
	r := Resource{Text: text}
	if isAddress(text) {
		r.Script, r.Args = "IPaddr", []string{text}
		return r, nil
	}
	parts := strings.Split(text, "::")
	r.Script, r.Args = parts[0], parts[1:]
	switch {
	case r.Script == "":
		return r, fmt.Errorf("resource %q has no script before the first `::`: write script::argument", text)
	case strings.Contains(r.Script, "/"):
		return r, fmt.Errorf("resource script %q is a path: put the script into resource.d and write its name alone", r.Script)
	}
	return r, nil
}

// isAddress: digits, dot, digits, dot, digits, dot, digits, and whatever
// follows behind a slash (HB 14).
func isAddress(text string) bool {
	address, _, _ := strings.Cut(text, "/")
	parts := strings.Split(address, ".")
	if len(parts) != 4 {
		return false
	}
	for _, part := range parts {
		if part == "" || strings.Trim(part, "0123456789") != "" {
			return false
		}
	}
	return true
}

// Of returns the groups that node owns (true) or does not own (false).
func Of(groups []Group, node string, owned bool) []Group {
	var out []Group
	for _, g := range groups {
		if (g.Owner == strings.ToLower(node)) == owned {
			out = append(out, g)
		}
	}
	return out
}

// Find returns the first group that has a resource written so.
func Find(groups []Group, resource string) (Group, bool) {
	for _, g := range groups {
		if g.Has(resource) {
			return g, true
		}
	}
	return Group{}, false
}
