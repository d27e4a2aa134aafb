package server

import (
	"encoding/xml"
	"strings"

	"linuxha/cib/cibdoc"
)

// child is n's first child element of that tag; nil if there is none, or no n.
func child(n *cibdoc.Node, tag string) *cibdoc.Node {
	if n == nil {
		return nil
	}
	return n.Child(tag)
}

// children are n's child elements of that tag; none where there is no n.
func children(n *cibdoc.Node, tag string) []*cibdoc.Node {
	var out []*cibdoc.Node
	if n != nil {
		for c := range n.Elements() {
			if c.Tag == tag {
				out = append(out, c)
			}
		}
	}
	return out
}

// esc escapes a value for use inside double or single quotes.
func esc(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a strings.Builder takes everything
	return b.String()
}

// quote makes an XPath literal of a name.
func quote(s string) string {
	if strings.Contains(s, "'") {
		return `"` + s + `"`
	}
	return "'" + s + "'"
}
