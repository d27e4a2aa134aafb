package schema

import (
	"fmt"
	"slices"
	"strings"

	"linuxha/cib/cibdoc"
)

// Message is what an upgrade has to say about a step, in the reference's words.
type Message struct {
	Level string // trace, debug, info, warning, error
	From  string // the reference's function; "" where it prints the text bare
	Text  string
	// Problem is set where the reference prints its XML library's lines instead.
	Problem *Problem
}

// UpgradeOptions say how far to go and who listens. The zero value goes to the
// newest schema, silently.
type UpgradeOptions struct {
	Max    string        // name of the newest schema wanted; "": the newest known
	Report func(Message) // called for each step, in order; may be nil
}

// Upgrade brings a document to the newest schema that it conforms to (cib
// 9.3), through the transforms between major versions (cib 9.4) and, for a
// document of Heartbeat 2.1, from its language (cib 9.6). It fails with
// RCSchemaLatest where there is nothing to do, and with RCSchema where the
// document is valid by no schema from its own on, or where the transform out of
// its own leads to nothing valid. A transform that fails after the document came
// some way ends the walk there. Versions are not counted.
func Upgrade(doc *cibdoc.Doc) (*cibdoc.Doc, error) { return UpgradeWith(doc, UpgradeOptions{}) }

// UpgradeWith is Upgrade with options.
func UpgradeWith(doc *cibdoc.Doc, o UpgradeOptions) (*cibdoc.Doc, error) {
	u := &upgrader{report: o.Report}
	name := doc.Root().Attr("validate-with")
	if name == next.String() {
		return nil, cibdoc.Fail(cibdoc.RCSchemaLatest, "the document names %s", name)
	}
	last := len(Versions) - 1
	if o.Max != "" {
		if last = Index(o.Max); last < 0 {
			return nil, cibdoc.Fail(cibdoc.RCInvalid, "%s is no schema", o.Max)
		}
	}
	start := doc
	if IsHeartbeat(doc) {
		converted, err := FromHeartbeat(doc, u.say)
		if err != nil {
			return nil, err
		}
		start = converted
	}
	first := Index(start.Root().Attr("validate-with"))
	if first == last && start == doc || first > last {
		return nil, cibdoc.Fail(cibdoc.RCSchemaLatest, "the document names %s", name)
	}
	if first < 0 && !slices.Contains([]string{"", "none"}, name) {
		u.log("debug", "Unknown validation schema")
	}
	best, at, err := u.walk(start, max(first, 0), last)
	switch {
	case best == nil:
		return nil, Error(Check(start, Versions[max(first, 0)]))
	case Versions[at] == name && err != nil:
		return nil, err
	case Versions[at] == name:
		return nil, cibdoc.Fail(cibdoc.RCSchemaLatest, "the document names %s and does not conform to the next one", name)
	}
	u.log("info", "Transformed the configuration from %s to %s", orNone(name), Versions[at])
	return withSchema(best, Versions[at]), nil
}

func orNone(name string) string {
	if name == "" {
		return "<none>"
	}
	return name
}

// upgrader is one walk through the schemas.
type upgrader struct{ report func(Message) }

func (u *upgrader) tell(m Message) {
	if u.report != nil {
		u.report(m)
	}
}

func (u *upgrader) log(level, format string, args ...any) {
	u.tell(Message{Level: level, From: "update_validation", Text: fmt.Sprintf(format, args...)})
}

// say passes on what a transform did: "INFO: ...".
func (u *upgrader) say(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	level, _, _ := strings.Cut(text, ":")
	level = strings.ToLower(level)
	if !slices.Contains([]string{"debug", "info", "warning"}, level) {
		level = "info"
	}
	u.tell(Message{Level: level, Text: text})
}

// walk returns the document at the newest schema up to last that it reaches,
// and which that is; nil if there is none. The error is of the transform that
// ended it.
func (u *upgrader) walk(doc *cibdoc.Doc, first, last int) (*cibdoc.Doc, int, error) {
	var best *cibdoc.Doc
	at := -1
	transformed := false
	for i := first; i <= last; i++ {
		u.log("debug", "Testing '%s' validation (%d of %d)", Versions[i], i, len(Versions))
		problems := Check(doc, Versions[i])
		if len(problems) > 0 {
			for p := range problems {
				u.tell(Message{Level: "error", Problem: &problems[p]})
			}
			u.log("trace", "%s validation failed", Versions[i])
			if best != nil {
				break
			}
			continue
		}
		if best != nil && !transformed {
			u.log("debug", "Configuration valid for schema: %s", Versions[i])
		}
		transformed = false
		best, at = doc, i
		if i == last {
			break
		}
		step := transforms[Versions[i]]
		if step == nil || Conforms(doc, Versions[i+1]) {
			u.log("debug", "%s-style configuration is also valid for %s", Versions[i], Versions[i+1])
			continue
		}
		to, err := u.transform(doc, step, Versions[i], Versions[i+1])
		if err != nil {
			return best, at, err
		}
		doc, transformed = to, true
	}
	if at == last {
		u.log("trace", "Stopping at %s", Versions[last])
	}
	return best, at, nil
}

// transform is what brings the documents of one major version to the next.
type transform struct {
	file   string // how the reference calls it
	phases []phase
}

type phase struct {
	name string // "" for a transform in one piece
	file string
	do   func(t *transformation)
}

// transformation is a transform at work on a configuration of its own.
type transformation struct {
	config   *cibdoc.Node
	say      func(format string, args ...any)
	expanded []expansion
	err      error // it cannot go on
}

var transforms = map[string]*transform{
	"pacemaker-1.3": {"upgrade-1.3.xsl", []phase{{"", "", aclsTo2}}},
	"pacemaker-2.10": {"upgrade-2.10.xsl", []phase{
		{"pre-upgrade", "upgrade-2.10-enter.xsl", expandReferences},
		{"main", "upgrade-2.10.xsl", to3},
		{"post-upgrade", "upgrade-2.10-leave.xsl", foldReferences},
	}},
}

func (u *upgrader) transform(doc *cibdoc.Doc, step *transform, from, to string) (*cibdoc.Doc, error) {
	u.log("debug", "Upgrading %s-style configuration to %s with %s", from, to, step.file)
	e := doc.Edit()
	root := e.Own(nil)
	i := root.ChildIndex("configuration") // there is one in a valid document
	t := &transformation{config: clone(root.Children[i]), say: u.say}
	for _, p := range step.phases {
		if p.name != "" {
			u.tell(Message{"debug", "apply_upgrade", fmt.Sprintf("Upgrading %s-style configuration, %s phase with %s", from, p.name, p.file), nil})
		}
		if p.do(t); t.err != nil {
			u.log("error", "Transformation %s failed: %v", step.file, t.err)
			return nil, t.err
		}
	}
	root.Children[i] = t.config
	out := e.Doc()
	if problems := Check(out, to); len(problems) > 0 {
		u.log("error", "Transformation %s did not produce a valid configuration", step.file)
		for p := range problems { // they are in places that the transform made: the line is that of before
			u.tell(Message{Level: "error", Problem: &problems[p]})
		}
		return nil, cibdoc.Fail(cibdoc.RCSchema, "the transform from %s to %s gives nothing valid: %v", from, to, problems[0])
	}
	u.log("info", "Transformation %s successful", step.file)
	return out, nil
}

func withSchema(doc *cibdoc.Doc, name string) *cibdoc.Doc {
	e := doc.Edit()
	e.Own(nil).SetAttr("validate-with", name)
	return e.Doc()
}

// clone is a changeable copy of n and all below.
func clone(n *cibdoc.Node) *cibdoc.Node {
	out := n.Bare()
	for _, c := range n.Children {
		out.Add(clone(c))
	}
	return out
}

// each visits the elements below n of those tags, with their parents, in
// document order.
func each(n *cibdoc.Node, visit func(parent, e *cibdoc.Node), tags ...string) {
	for _, c := range slices.Clone(n.Children) {
		if c.IsElement() {
			if slices.Contains(tags, c.Tag) {
				visit(n, c)
			}
			each(c, visit, tags...)
		}
	}
}

func drop(parent, child *cibdoc.Node) {
	if i := slices.Index(parent.Children, child); i >= 0 {
		parent.RemoveAt(i)
	}
}

// of tag are the child elements of n with that tag.
func ofTag(n *cibdoc.Node, tag string) []*cibdoc.Node {
	var out []*cibdoc.Node
	for c := range n.Elements() {
		if c.Tag == tag {
			out = append(out, c)
		}
	}
	return out
}
