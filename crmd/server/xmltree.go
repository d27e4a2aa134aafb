package server

import (
	"encoding/xml"
	"strings"
)

// tree is an XML element as the controller reads patches and sections.
type tree struct {
	XMLName  xml.Name
	Attrs    []xml.Attr `xml:",any,attr"`
	Children []tree     `xml:",any"`
}

func parseTree(data []byte) (*tree, error) {
	var t tree
	if err := xml.Unmarshal(data, &t); err != nil {
		return nil, err
	}
	return &t, nil
}

func (t *tree) name() string { return t.XMLName.Local }

func (t *tree) attr(name string) string {
	for _, a := range t.Attrs {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// child returns the first child of that name, nil if there is none.
func (t *tree) child(name string) *tree {
	if t == nil {
		return nil
	}
	for i := range t.Children {
		if t.Children[i].name() == name {
			return &t.Children[i]
		}
	}
	return nil
}

// walk visits the element and all below it, in document order.
func (t *tree) walk(visit func(*tree)) {
	visit(t)
	for i := range t.Children {
		t.Children[i].walk(visit)
	}
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
