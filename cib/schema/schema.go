// Package schema judges whether a CIB is valid (cib 9, 10.1).
//
// Validate checks the structure: known schema name, known sections and
// elements in their places, required attributes, identifiers (unique, and
// references that lead somewhere), scores and the main enumerations. It is
// written to let every valid configuration pass; it is not yet the whole
// RELAX NG grammar, which takes its place behind the same function.
package schema

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"linuxha/cib/cibdoc"
)

// Problem is one thing that is wrong, where, and what would be right.
type Problem struct {
	Line    int    // in the text that was parsed; 0: unknown
	Element string // tag
	ID      string
	Text    string
}

func (p Problem) String() string {
	var b strings.Builder
	if p.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", p.Line)
	}
	fmt.Fprintf(&b, "element %s", p.Element)
	if p.ID != "" {
		fmt.Fprintf(&b, " %q", p.ID)
	}
	return b.String() + ": " + p.Text
}

// Version is a schema's version, comparable as a number; None validates all.
type Version struct {
	Major, Minor int
	None         bool
}

// AtLeast reports whether v is major.minor or later.
func (v Version) AtLeast(major, minor int) bool {
	return v.Major > major || v.Major == major && v.Minor >= minor
}

// Versions are the schemas that we know, oldest first, without `none`.
var Versions = []string{
	"pacemaker-1.0", "pacemaker-1.2", "pacemaker-1.3",
	"pacemaker-2.0", "pacemaker-2.1", "pacemaker-2.2", "pacemaker-2.3", "pacemaker-2.4", "pacemaker-2.5",
	"pacemaker-2.6", "pacemaker-2.7", "pacemaker-2.8", "pacemaker-2.9", "pacemaker-2.10",
	"pacemaker-3.0", "pacemaker-3.1", "pacemaker-3.2", "pacemaker-3.3", "pacemaker-3.4",
	"pacemaker-3.5", "pacemaker-3.6", "pacemaker-3.7", "pacemaker-3.8", "pacemaker-3.9",
}

// Lookup finds a schema by its validate-with name (cib 9.1).
func Lookup(name string) (Version, bool) {
	switch name {
	case "none":
		return Version{None: true}, true
	case "pacemaker-next":
		return Version{Major: 3, Minor: 9}, true
	}
	for _, n := range Versions {
		if n != name {
			continue
		}
		major, minor, _ := strings.Cut(strings.TrimPrefix(n, "pacemaker-"), ".")
		v := Version{}
		v.Major, _ = strconv.Atoi(major) // from our own list
		v.Minor, _ = strconv.Atoi(minor)
		return v, true
	}
	return Version{}, false
}

// Index is the place of a schema in Versions, -1 for one that is not there.
func Index(name string) int {
	for i, n := range Versions {
		if n == name {
			return i
		}
	}
	return -1
}

// Validate judges doc by the schema that it names; if it names none, one that
// it conforms to is enough (cib 7.4).
func Validate(doc *cibdoc.Doc) []Problem {
	if _, named := doc.Root().Get("validate-with"); !named && doc.Root().Tag == "cib" {
		if Best(doc) != "" {
			return nil
		}
	}
	return validate(doc)
}

// Best is the newest schema that doc conforms to, "" if there is none.
func Best(doc *cibdoc.Doc) string {
	for _, name := range slices.Backward(Versions) {
		try := doc.Root().Shallow()
		try.SetAttr("validate-with", name)
		if len(validate(cibdoc.New(try))) == 0 {
			return name
		}
	}
	return ""
}

func validate(doc *cibdoc.Doc) []Problem {
	c := &checker{ids: map[string]*cibdoc.Node{}}
	c.document(doc.Root())
	return c.problems
}

// Error turns problems into the failure that clients get (cib 14); nil if
// there are none.
func Error(problems []Problem) error {
	if len(problems) == 0 {
		return nil
	}
	const shown = 5
	var lines []string
	for i, p := range problems {
		if i == shown {
			lines = append(lines, fmt.Sprintf("and %d more", len(problems)-shown))
			break
		}
		lines = append(lines, p.String())
	}
	return cibdoc.Fail(cibdoc.RCSchema, "%s", strings.Join(lines, "; "))
}

type checker struct {
	version  Version
	problems []Problem
	ids      map[string]*cibdoc.Node
	refs     []reference
}

type reference struct {
	node  *cibdoc.Node
	attr  string
	value string
}

func (c *checker) add(n *cibdoc.Node, format string, args ...any) {
	c.problems = append(c.problems, Problem{n.Line, n.Tag, n.ID(), fmt.Sprintf(format, args...)})
}

func (c *checker) document(root *cibdoc.Node) {
	if root.Tag != "cib" {
		c.add(root, "the root element must be <cib>")
		return
	}
	name, ok := root.Get("validate-with")
	if !ok {
		c.add(root, "attribute validate-with is missing; the newest schema is %q", cibdoc.LatestSchema)
		return
	}
	if c.version, ok = Lookup(name); !ok {
		c.add(root, "unknown schema validate-with=%q; known are %q to %q and %q", name, Versions[0], Versions[len(Versions)-1], "none")
		return
	}
	if c.version.None {
		return
	}
	for _, a := range []string{"admin_epoch", "epoch", "num_updates"} {
		v, ok := root.Get(a)
		if n, err := strconv.ParseInt(v, 10, 64); !ok || err != nil || n < 0 {
			c.add(root, "attribute %s must be a number from 0 on, not %q", a, v)
		}
	}
	var config *cibdoc.Node
	for ch := range root.Elements() {
		switch ch.Tag {
		case "configuration":
			if config != nil {
				c.add(ch, "there is a second <configuration>")
			}
			config = ch
		case "status":
		default:
			c.add(ch, "not allowed in <cib>; valid are <configuration> and <status>")
		}
	}
	if config == nil {
		c.add(root, "<configuration> is missing")
		return
	}
	c.configuration(config)
	for _, r := range c.refs {
		if c.ids[r.value] == nil {
			c.add(r.node, "attribute %s refers to id %q, which does not exist", r.attr, r.value)
		}
	}
}

// sections are the children of configuration, with the version that brought
// them; the first four are required (cib 1.3, 9.2).
var sections = []struct {
	tag          string
	major, minor int
	required     bool
}{
	{"crm_config", 1, 0, true},
	{"nodes", 1, 0, true},
	{"resources", 1, 0, true},
	{"constraints", 1, 0, true},
	{"rsc_defaults", 1, 0, false},
	{"op_defaults", 1, 0, false},
	{"acls", 1, 2, false},
	{"fencing-topology", 1, 2, false},
	{"tags", 1, 3, false},
	{"alerts", 2, 5, false},
}

func (c *checker) configuration(config *cibdoc.Node) {
	var known []string
	count := map[string]int{}
	for _, s := range sections {
		if c.version.AtLeast(s.major, s.minor) {
			known = append(known, s.tag)
			count[s.tag] = 0
		}
	}
	for s := range config.Elements() {
		if _, ok := count[s.Tag]; !ok {
			c.add(s, "no section of pacemaker-%d.%d; valid are %s", c.version.Major, c.version.Minor, strings.Join(known, ", "))
			continue
		}
		if count[s.Tag]++; count[s.Tag] > 1 {
			c.add(s, "the section is there twice")
		}
		c.element(s, elements[s.Tag])
	}
	for _, s := range sections {
		if s.required && count[s.tag] == 0 {
			c.add(config, "section <%s> is missing; it may be empty", s.tag)
		}
	}
}

func (c *checker) element(n *cibdoc.Node, r *rule) {
	ref := n.Attr("id-ref") != "" && r.idRef
	for _, name := range r.need {
		if _, ok := n.Get(name); !ok && !ref {
			if name == "id" && r.idRef {
				c.add(n, "attribute id (or id-ref) is missing")
			} else {
				c.add(n, "attribute %s is missing", name)
			}
		}
	}
	if len(r.oneOf) > 0 && !ref {
		given := 0
		for _, name := range r.oneOf {
			if _, ok := n.Get(name); ok {
				given++
			}
		}
		if given == 0 && !(r.orChild && n.ChildIndex(r.oneOfChild) >= 0) {
			c.add(n, "one of the attributes %s is needed", strings.Join(r.oneOf, ", "))
		}
	}
	for _, a := range n.Attrs {
		c.attribute(n, a, r)
	}
	if r.only != nil {
		c.children(n, r)
	}
}

func (c *checker) children(n *cibdoc.Node, r *rule) {
	found := 0
	for ch := range n.Elements() {
		if !r.only[ch.Tag] {
			c.add(ch, "not allowed in <%s>%s", n.Tag, suggestion(ch.Tag, r))
			continue
		}
		if old, ok := aclSyntax[n.Tag+"/"+ch.Tag]; ok && old == c.version.AtLeast(2, 0) {
			c.add(ch, "access lists have another syntax in pacemaker-%d.%d; cibadmin --upgrade --force rewrites the old one", c.version.Major, c.version.Minor)
			continue
		}
		if r.content[ch.Tag] {
			found++
		}
		if sub := elements[ch.Tag]; sub != nil {
			c.element(ch, sub)
		}
	}
	if n.Attr("id-ref") != "" {
		return
	}
	if found < r.min || r.max > 0 && found > r.max {
		want := "one"
		if r.max != r.min {
			want = "at least one"
		}
		c.add(n, "needs %s of %s, has %d", want, keys(r.content), found)
	}
}

func suggestion(tag string, r *rule) string {
	if len(r.only) == 0 {
		return "; it must be empty"
	}
	return "; valid are " + keys(r.only)
}

func (c *checker) attribute(n *cibdoc.Node, a cibdoc.Attr, r *rule) {
	switch a.Name {
	case "id":
		if r.plainID {
			return
		}
		if r.idIsRef {
			c.refs = append(c.refs, reference{n, "id", a.Value})
			return
		}
		if !isName(a.Value) && n.Tag != "node" {
			c.add(n, "id %q is no valid name: it must begin with a letter or \"_\" and hold no blank, colon or slash", a.Value)
		}
		if n.Tag == "node" {
			return // ids of nodes are plain text
		}
		if other := c.ids[a.Value]; other != nil {
			c.add(n, "id %q is used already by <%s>%s; ids must be unique", a.Value, other.Tag, atLine(other))
			return
		}
		c.ids[a.Value] = n
	case "id-ref":
		c.refs = append(c.refs, reference{n, a.Name, a.Value})
	default:
		if r.refs[a.Name] {
			c.refs = append(c.refs, reference{n, a.Name, a.Value})
		}
		if values := r.enums[a.Name]; values != nil && !values[a.Value] {
			c.add(n, "attribute %s=%q is not one of %s", a.Name, a.Value, keys(values))
		}
		if r.scores[a.Name] && !isScore(a.Value) {
			c.add(n, "attribute %s=%q is no score: a whole number, INFINITY or -INFINITY", a.Name, a.Value)
		}
	}
}

func atLine(n *cibdoc.Node) string {
	if n.Line == 0 {
		return ""
	}
	return fmt.Sprintf(" in line %d", n.Line)
}

func isName(s string) bool {
	for i, r := range s {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_' || r >= 0x80
		if !letter && (i == 0 || !(r >= '0' && r <= '9' || r == '-' || r == '.')) {
			return false
		}
	}
	return s != ""
}

func isScore(s string) bool {
	s = strings.TrimLeft(s, "+-")
	if s == "INFINITY" {
		return true
	}
	return s != "" && strings.Trim(s, "0123456789") == ""
}
