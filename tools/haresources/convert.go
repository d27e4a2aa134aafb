package haresources

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"linuxha/cib/cibdoc"
)

var (
	score   = regexp.MustCompile(`^[+-]?([0-9]+|INFINITY)$`)
	address = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+(/|$)`)
	noName  = regexp.MustCompile(`[^A-Za-z0-9_.-]+`)
)

// conversion is one run: what was asked for, what ha.cf says, and what is to
// be told.
type conversion struct {
	what           string // to be monitored: all, ip, none
	every, everyIP string
	score          string
	scripts        func(name string) string // class of an installed script, "" for one that is not

	nodes    []string // lower case; nil: not known
	failback string   // on, off, legacy
	fencing  []string // lines of ha.cf that configure fencing

	used     map[string]bool // ids
	notes    []string        // what was done and why
	warnings []string
	problems []string
}

func at(file string, line int) string {
	if line == 0 {
		return file
	}
	return fmt.Sprintf("%s:%d", file, line)
}

func (c *conversion) note(format string, args ...any) {
	c.notes = append(c.notes, fmt.Sprintf(format, args...))
}

func (c *conversion) warn(file string, line int, format string, args ...any) {
	c.warnings = append(c.warnings, at(file, line)+": "+fmt.Sprintf(format, args...))
}

func (c *conversion) problem(file string, line int, format string, args ...any) {
	c.problems = append(c.problems, at(file, line)+": "+fmt.Sprintf(format, args...))
}

// report tells what happened: the explanation, then warnings, then errors.
func (c *conversion) report(w io.Writer, name string, explain bool) {
	if explain && len(c.problems) == 0 {
		for _, n := range c.notes {
			fmt.Fprintln(w, n)
		}
	}
	for _, t := range c.warnings {
		fmt.Fprintf(w, "%s: warning: %s\n", name, t)
	}
	for _, t := range c.problems {
		fmt.Fprintf(w, "%s: error: %s\n", name, t)
	}
}

// logical is a line with its continuations.
type logical struct {
	number int // of its first line
	words  []string
}

// lines takes a file apart: # begins a comment; in haresources a line that
// ends in a backslash continues (HB 12, 14).
func lines(text []byte, continued bool) []logical {
	var out []logical
	var open *logical
	for i, line := range strings.Split(string(text), "\n") {
		line, _, _ = strings.Cut(line, "#")
		line = strings.TrimRight(line, " \t\r")
		head, more := line, false
		if continued {
			head, more = strings.CutSuffix(line, "\\")
		}
		if open == nil {
			open = &logical{number: i + 1}
		}
		open.words = append(open.words, strings.Fields(head)...)
		if more {
			continue
		}
		if len(open.words) > 0 {
			out = append(out, *open)
		}
		open = nil
	}
	if open != nil && len(open.words) > 0 {
		out = append(out, *open)
	}
	return out
}

// readHaCf takes the nodes and auto_failback from ha.cf (HB 12).
func (c *conversion) readHaCf(file string, text []byte) {
	for _, l := range lines(text, false) {
		args := l.words[1:]
		switch l.words[0] {
		case "node":
			for _, n := range args {
				c.nodes = append(c.nodes, strings.ToLower(n))
			}
		case "auto_failback", "nice_failback":
			if len(args) != 1 {
				c.problem(file, l.number, "%s takes one value: on, off or legacy", l.words[0])
				continue
			}
			value := strings.ToLower(args[0])
			on := slices.Contains([]string{"on", "yes", "true", "y", "1"}, value)
			off := slices.Contains([]string{"off", "no", "false", "n", "0"}, value)
			if l.words[0] == "nice_failback" { // the name of old, with the opposite sense
				on, off = off, on
			}
			switch {
			case on:
				c.failback = "on"
			case off:
				c.failback = "off"
			case value == "legacy":
				c.failback = "legacy"
			default:
				c.problem(file, l.number, "%s %s: possible are on, off and legacy", l.words[0], args[0])
			}
		case "stonith", "stonith_host":
			c.fencing = append(c.fencing, at(file, l.number)+": "+strings.Join(l.words, " "))
		case "crm", "pacemaker":
			if len(args) == 1 && !slices.Contains([]string{"off", "no", "false", "n", "0"}, strings.ToLower(args[0])) {
				c.warn(file, l.number, "`%s` is there already: this cluster does not use its haresources", strings.Join(l.words, " "))
			}
		}
	}
	if len(c.nodes) == 0 {
		c.warn(file, 0, "it names no node: the owners of resources are not checked")
	}
}

// convert makes the document. Mistakes are in c.problems; the document is of
// use only if there are none.
func (c *conversion) convert(file string, text []byte) *cibdoc.Doc {
	root := cibdoc.Empty(1).Root().Shallow()
	config := cibdoc.E("configuration")
	resources, constraints := cibdoc.E("resources"), cibdoc.E("constraints")
	keys := map[string]int{}
	number := 0
	for _, l := range lines(text, true) {
		owner := strings.ToLower(l.words[0])
		switch {
		case c.nodes != nil && !slices.Contains(c.nodes, owner):
			c.problem(file, l.number, "%q is no node of ha.cf, which has: %s", l.words[0], strings.Join(c.nodes, " "))
			continue
		case len(l.words) == 1:
			c.warn(file, l.number, "%s is listed without resources: nothing to convert", l.words[0])
			continue
		}
		if first, ok := keys[l.words[1]]; ok {
			c.problem(file, l.number, "%s is the first resource of the group in line %d already; a group is known by its first resource, which must be unique", l.words[1], first)
			continue
		}
		keys[l.words[1]] = l.number
		number++
		var members []*cibdoc.Node
		for _, word := range l.words[1:] {
			if m := c.resource(file, l.number, word); m != nil {
				members = append(members, m)
			}
		}
		if len(members) == 0 {
			continue
		}
		top := members[0]
		if len(members) > 1 {
			top = cibdoc.E("group", "id", c.id(fmt.Sprintf("group_%d", number))).Add(members...)
		}
		resources.Add(top)
		prefer := c.id("location_" + top.ID())
		constraints.Add(cibdoc.E("rsc_location", "id", prefer, "rsc", top.ID(), "node", owner, "score", c.score))
		c.explainGroup(file, l, top, members, owner)
	}
	if number == 0 && len(c.problems) == 0 {
		c.warn(file, 0, "it lists no resources: the CIB is empty but for the options")
	}
	config.Add(c.options(), cibdoc.E("nodes"), resources, constraints)
	config.Add(
		nvset("rsc_defaults", "meta_attributes", "rsc-options", "resource-stickiness", c.stickiness()),
		nvset("op_defaults", "meta_attributes", "op-options", "timeout", "60s"),
	)
	c.note("Actions get 60 seconds where nothing else is configured (op_defaults): Heartbeat's own scripts had no time limit.")
	root.Children = nil
	root.Add(config, cibdoc.E("status"))
	return cibdoc.New(root)
}

func (c *conversion) explainGroup(file string, l logical, top *cibdoc.Node, members []*cibdoc.Node, owner string) {
	var ids []string
	for _, m := range members {
		ids = append(ids, m.ID())
	}
	if len(members) > 1 {
		c.note("%s: group %s of %s: started in this order on one node, stopped in reverse.", at(file, l.number), top.ID(), strings.Join(ids, ", "))
	} else {
		c.note("%s: resource %s.", at(file, l.number), top.ID())
	}
	c.note("  It prefers %s with score %s, since the line begins with that name.", owner, c.score)
}

func (c *conversion) stickiness() string {
	switch c.failback {
	case "off":
		c.note("auto_failback off: resource-stickiness is INFINITY, so resources stay where they run until that node fails.")
		return "INFINITY"
	case "legacy":
		c.note("auto_failback legacy: resource-stickiness is 0, so resources return to their preferred node; `legacy` itself means the same here.")
	default:
		c.note("auto_failback on: resource-stickiness is 0, so resources return to their preferred node when it is back.")
	}
	return "0"
}

// options are the cluster options under which resources behave as they did.
func (c *conversion) options() *cibdoc.Node {
	quorum, why := "ignore", "with two nodes the survivor must go on alone, as it did with haresources"
	if len(c.nodes) > 2 {
		quorum, why = "stop", "with more than two nodes a partition without quorum stops its resources"
	}
	c.note("no-quorum-policy is %s: %s.", quorum, why)
	c.note("stonith-enabled is false, since no fencing device is configured; add one and set it to true, or both nodes may run the same resource when they cannot see each other.")
	for _, f := range c.fencing {
		c.warnings = append(c.warnings, f+": fencing devices are not converted: configure one as a resource of class stonith, then set stonith-enabled to true")
	}
	set := cibdoc.E("cluster_property_set", "id", "cib-bootstrap-options")
	for _, o := range [][2]string{{"symmetric-cluster", "true"}, {"no-quorum-policy", quorum}, {"stonith-enabled", "false"}} {
		set.Add(nvpair("cib-bootstrap-options", o[0], o[1]))
	}
	return cibdoc.E("crm_config").Add(set)
}

func nvpair(set, name, value string) *cibdoc.Node {
	return cibdoc.E("nvpair", "id", set+"-"+name, "name", name, "value", value)
}

func nvset(section, tag, id, name, value string) *cibdoc.Node {
	return cibdoc.E(section).Add(cibdoc.E(tag, "id", id).Add(nvpair(id, name, value)))
}

// id makes a unique XML name of s.
func (c *conversion) id(s string) string {
	s = strings.Trim(noName.ReplaceAllString(s, "_"), "_.-")
	if s == "" || s[0] >= '0' && s[0] <= '9' {
		s = "r_" + s
	}
	id := s
	for n := 2; c.used[id]; n++ {
		id = fmt.Sprintf("%s_%d", s, n)
	}
	c.used[id] = true
	return id
}
