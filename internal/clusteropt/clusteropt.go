// Package clusteropt holds the cluster options and the parameters of fencing
// devices, once: name, type, default, allowed values and meaning. The daemons'
// `metadata`, which cluster shells offer and check options by (clients 3.3),
// and the defaults of those who heed an option come from the same table.
package clusteropt

import (
	"fmt"
	"strings"
)

// Option is one option as clients see it.
type Option struct {
	Name    string
	Kind    string // boolean, integer, percentage, select, string, time
	Default string
	Unset   bool     // there is no default, not even an empty one
	Values  []string // of a select
	Allowed string   // in words, where it is no list
	Short   string   // what it is, in a line
	Long    string   // more about it; "": Short says all
}

// Component is a daemon with the options that it heeds.
type Component struct {
	Name        string // as clients call it
	Short, Long string
	Options     []Option
}

// version is the one that clients expect of the daemons (clients 3.3).
const version = "2.1.5"

// Find returns the option of that name, nil if the component has none.
func (c *Component) Find(name string) *Option {
	for i := range c.Options {
		if c.Options[i].Name == name {
			return &c.Options[i]
		}
	}
	return nil
}

// Description is the long text with the values that are allowed.
func (o *Option) Description() string {
	text := o.Long
	if text == "" {
		text = o.Short
	}
	text = escape(text)
	switch {
	case len(o.Values) > 0:
		text += "  Allowed values: " + strings.Join(o.Values, ", ")
	case o.Allowed != "":
		text += "  Allowed values: " + o.Allowed
	}
	return text
}

// escape is the one of documents in printed form (cib 6.3), for text.
func escape(s string) string { return escapes.Replace(s) }

var escapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&apos;", "\n", `\n`)

// Metadata describes the component's options as an agent's meta-data.
func (c *Component) Metadata() string {
	var b strings.Builder
	fmt.Fprintf(&b, `<?xml version="1.0"?>
<resource-agent name="%s" version="%s">
  <version>1.1</version>
  <longdesc lang="en">%s</longdesc>
  <shortdesc lang="en">%s</shortdesc>
  <parameters>
`, c.Name, version, escape(c.Long), escape(c.Short))
	for i := range c.Options {
		c.Options[i].describe(&b)
	}
	b.WriteString("  </parameters>\n</resource-agent>\n")
	return b.String()
}

func (o *Option) describe(b *strings.Builder) {
	fmt.Fprintf(b, `    <parameter name="%s">
      <longdesc lang="en">%s</longdesc>
      <shortdesc lang="en">%s</shortdesc>
      <content type="%s"`, o.Name, o.Description(), escape(o.Short), o.Kind)
	if !o.Unset {
		fmt.Fprintf(b, ` default="%s"`, escape(o.Default))
	}
	if len(o.Values) == 0 {
		b.WriteString("/>\n    </parameter>\n")
		return
	}
	b.WriteString(">\n")
	for _, v := range o.Values {
		fmt.Fprintf(b, "        <option value=\"%s\" />\n", escape(v))
	}
	b.WriteString("      </content>\n    </parameter>\n")
}
