package status

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"linuxha/pengine/state"
)

// hiddenAttributes are the beginnings of names that the stack itself uses.
var hiddenAttributes = []string{"fail-count", "last-failure", "shutdown", "terminate", "standby", "probe_complete", "site-name", "#"}

// Attributes are the names of a node's attributes that lists show, sorted
// (scheduler-3 19.8).
func Attributes(n *state.Node) []string {
	var names []string
	for name := range n.Attrs {
		if !slices.ContainsFunc(hiddenAttributes, func(p string) bool { return strings.HasPrefix(name, p) }) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Expected is the value that a ping resource active on the node gives the
// attribute while all its hosts answer; false if none sets that attribute.
func Expected(c *state.Cluster, n *state.Node, name string) (int, bool) {
	for _, r := range n.Running {
		if r.Type != "ping" && r.Type != "pingd" {
			continue
		}
		params := c.Params(r, nil)
		attr, ok := params.Get("name")
		if !ok {
			attr = "pingd"
		}
		if attr != name {
			continue
		}
		hosts, multiplier := len(strings.Fields(params["host_list"])), 1
		if m, err := strconv.Atoi(params["multiplier"]); err == nil {
			multiplier = m
		}
		return hosts * multiplier, true
	}
	return 0, false
}

// AttributeText is one attribute of a node as lists show it, with what a value
// below the expected one means.
func AttributeText(c *state.Cluster, n *state.Node, name string) string {
	v := n.Attrs[name]
	text := fmt.Sprintf("%-32s\t: %-10s", name, v)
	want, ok := Expected(c, n, name)
	if !ok {
		return text
	}
	switch got, _ := strconv.Atoi(v); { // no number counts as 0, as in rules
	case got <= 0:
		text += "\t: Connectivity is lost"
	case got < want:
		text += fmt.Sprintf("\t: Connectivity is degraded (Expected=%d)", want)
	}
	return text
}
