package schema

import (
	"fmt"
	"strings"

	"linuxha/cib/cibdoc"
)

// Problem is one thing that is wrong, where, and what would be valid there.
type Problem struct {
	Line      int    // in the text that was parsed; 0: unknown
	Element   string // tag
	ID        string
	Attribute string // the attribute that is wrong, if it is one
	Text      string // what is wrong and what would be valid

	// Reference is how the reference's XML library puts it, a line or more, each
	// of them after "FILE:LINE: element TAG: Relax-NG validity error : ".
	Reference []string
	// Final: the reference finds it after all else and says "validity error : ".
	Final bool
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

// NoFile names a document that is no file in ReferenceLines.
const NoFile = "Entity: line"

// ReferenceLines is what the reference's tools print about p: lines of the form
// "FILE:LINE: element TAG: Relax-NG validity error : TEXT". Without a file they
// begin with "element".
func (p Problem) ReferenceLines(file string) []string {
	where := ""
	switch {
	case file == "" || p.Line == 0: // or what was not there, but added
	case file == NoFile:
		where = fmt.Sprintf("%s %d: ", file, p.Line)
	default:
		where = fmt.Sprintf("%s:%d: ", file, p.Line)
	}
	kind := "Relax-NG validity error"
	if p.Final {
		kind = "validity error"
	}
	out := make([]string, len(p.Reference))
	for i, text := range p.Reference {
		out[i] = fmt.Sprintf("%selement %s: %s : %s", where, p.Element, kind, text)
	}
	return out
}

func problemAt(n *cibdoc.Node, format string, args ...any) Problem {
	return Problem{Line: n.Line, Element: n.Tag, ID: n.ID(), Text: fmt.Sprintf(format, args...)}
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

func duplicate(id identifier, first *cibdoc.Node) Problem {
	where := ""
	if first.Line > 0 {
		where = fmt.Sprintf(" in line %d", first.Line)
	}
	p := problemAt(id.node, "id %q is used already by <%s>%s; ids must be unique", id.name, first.Tag, where)
	p.Attribute = id.attr
	p.Reference = []string{"ID " + id.node.Attr(id.attr) + " redefined"}
	return p
}

func dangling(r identifier) Problem {
	p := problemAt(r.node, "attribute %s refers to id %q, which no element has", r.attr, r.name)
	p.Attribute = r.attr
	p.Reference = []string{fmt.Sprintf("IDREF attribute %s references an unknown ID %q", r.attr, r.name)}
	p.Final = true
	return p
}
