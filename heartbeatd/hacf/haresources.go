package hacf

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"linuxha/heartbeatd/haresources"
)

const charDevice = os.ModeDevice | os.ModeCharDevice

// Stonith is the fencing device of a cluster without the CRM (HB 8.5).
type Stonith struct {
	Type   string
	File   string   // of parameters; "": they are in Params
	Params []string // the rest of a stonith_host line
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
	groups, problems := haresources.Parse(file, text)
	for _, g := range groups {
		if !slices.Contains(c.Nodes, g.Owner) {
			return fail(fmt.Sprintf("Bad nodename in %s [%s]", file, g.Owner), fmt.Sprintf("%s line %d: name one of: %s", file, g.Line, strings.Join(c.Nodes, " ")))
		}
	}
	if len(c.Nodes) > 2 {
		return fail(fmt.Sprintf("haresources clusters have two nodes, but ha.cf lists %d: %s", len(c.Nodes), strings.Join(c.Nodes, " ")),
			"Keep two `node` entries; for larger clusters add `crm respawn` to ha.cf on all nodes and put the resources into the CIB; for messaging alone, start heartbeatd with -M.")
	}
	for _, p := range problems {
		c.Notes = append(c.Notes, Note{Warn, p.String()})
	}
	c.Groups = groups
	return nil
}
