package plugin

import (
	"fmt"
	"slices"
	"strings"

	"github.com/beevik/etree"
)

// present is an RHCS-style agent's metadata in the form in which clients of the
// cluster get it (execution 30.5): what the fencer provides itself is not
// required of the user, and a resource can be started and stopped.
func present(doc []byte) ([]byte, error) {
	d := etree.NewDocument()
	if err := d.ReadFromBytes(doc); err != nil {
		return nil, err
	}
	root := d.Root()
	if root == nil {
		return nil, fmt.Errorf("no XML element in it")
	}
	for _, p := range root.FindElements("parameters/parameter") {
		if slices.Contains([]string{"action", "plug", "port"}, p.SelectAttrValue("name", "")) {
			p.CreateAttr("required", "0")
		}
	}
	if actions := root.SelectElement("actions"); actions != nil && actions.FindElement("action[@name='stop']") == nil {
		for _, name := range []string{"stop", "start"} {
			a := actions.CreateElement("action")
			a.CreateAttr("name", name)
			a.CreateAttr("timeout", "20s")
		}
	}
	var b strings.Builder
	write(&b, root, "")
	return []byte(b.String()), nil
}

var (
	textEscapes  = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
	valueEscapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;")
)

// write puts an element and what is below it out, two spaces per level; an
// element that has text has it as it is.
func write(b *strings.Builder, e *etree.Element, indent string) {
	fmt.Fprintf(b, "%s<%s", indent, e.FullTag())
	for _, a := range e.Attr {
		fmt.Fprintf(b, ` %s="%s"`, a.FullKey(), valueEscapes.Replace(a.Value))
	}
	text, children := e.Text(), e.ChildElements()
	switch {
	case strings.TrimSpace(text) == "" && len(children) == 0:
		b.WriteString("/>\n")
		return
	case len(children) == 0:
		fmt.Fprintf(b, ">%s</%s>\n", textEscapes.Replace(text), e.FullTag())
		return
	case strings.TrimSpace(text) != "":
		fmt.Fprintf(b, ">%s\n", textEscapes.Replace(text))
	default:
		b.WriteString(">\n")
	}
	for _, c := range children {
		write(b, c, indent+"  ")
	}
	fmt.Fprintf(b, "%s</%s>\n", indent, e.FullTag())
}
