package hacf

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

const charDevice = os.ModeDevice | os.ModeCharDevice

// Group is one logical line of haresources (HB 14).
type Group struct {
	Owner     string // lower case
	Resources []string
}

// ParseResources reads haresources.
func ParseResources(text []byte) []Group {
	var groups []Group
	logical := ""
	for _, line := range strings.Split(string(text), "\n") {
		line, _, _ = strings.Cut(line, "#")
		line = strings.TrimRight(line, " \t\r")
		if head, more := strings.CutSuffix(line, "\\"); more {
			logical += head + " "
			continue
		}
		if words := strings.Fields(logical + line); len(words) > 0 {
			groups = append(groups, Group{Owner: strings.ToLower(words[0]), Resources: words[1:]})
		}
		logical = ""
	}
	return groups
}

// checkResources looks at haresources where ha.cf leaves resources to it, and
// warns of it where the CRM has them.
func (c *Config) checkResources(file string) error {
	text, err := os.ReadFile(file)
	if c.CRM.Enabled() {
		if err == nil {
			c.Notes = append(c.Notes, Note{Warn, fmt.Sprintf("File %s exists.", file)},
				Note{Warn, "This file is not used because pacemaker is enabled"})
		}
		return nil
	}
	fail := func(text string, hints ...string) error {
		notes := append(slices.Clone(c.Notes), Note{Error, text})
		for _, h := range hints {
			notes = append(notes, Note{Info, h})
		}
		return &Invalid{Notes: append(notes, Note{Error, "Configuration error, heartbeat not started."})}
	}
	if err != nil {
		return fail(fmt.Sprintf("Cannot open resources file [%s]", file),
			fmt.Sprintf("An annotated sample %s file is provided in the documentation.", file),
			fmt.Sprintf("Please copy it to %s, read it, customize it, and try again.", file),
			"To run the cluster resource manager instead, add `crm respawn` to ha.cf; for messaging alone, start heartbeatd with -M.")
	}
	groups := ParseResources(text)
	for _, g := range groups {
		if !slices.Contains(c.Nodes, g.Owner) {
			return fail(fmt.Sprintf("Bad nodename in %s [%s]", file, g.Owner), "name one of: "+strings.Join(c.Nodes, " "))
		}
	}
	if len(groups) > 0 {
		return fail(fmt.Sprintf("%s lists resources, but this version of heartbeatd does not run them itself.", file),
			"Convert the cluster: put the resources into the CIB and add `crm respawn` to ha.cf on all nodes; or stay with Heartbeat 3.0.6 for this cluster.",
			"For messaging alone, start heartbeatd with -M.")
	}
	c.Notes = append(c.Notes, Note{Warn, fmt.Sprintf("No resources are managed: %s is empty and ha.cf has no `crm respawn`.", file)})
	return nil
}
