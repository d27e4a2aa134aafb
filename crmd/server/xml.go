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

// esc escapes a value for use inside double or single quotes.
func esc(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a strings.Builder takes everything
	return b.String()
}
