package device

import (
	"encoding/xml"
	"fmt"
	"strings"
)

// option is a device parameter that the fencer itself interprets.
type option struct{ name, kind, otherwise, short, long string }

func options() []option {
	out := []option{
		{
			"pcmk_host_argument", "string", "port", "Agent parameter that names the target",
			"The agent's parameter that is to carry the target's name, where it is neither 'port' nor 'plug'. With 'none' the target is not passed.",
		},
		{
			"pcmk_host_map", "string", "", "Targets and their names at the device",
			"Pairs of a node's name and its name or number at the device, such as node1:1;node2:2,3 (ports 2 and 3 for node2).",
		},
		{
			"pcmk_host_list", "string", "", "Targets that the device controls",
			"Names of the nodes that this device can fence, separated by commas, semicolons or blanks.",
		},
		{
			"pcmk_host_check", "string", "dynamic-list", "How the device's targets are found out",
			"One of dynamic-list (ask the device by its 'list' action), static-list (believe pcmk_host_list and pcmk_host_map), status (ask the device for each target by its 'status' action) and none (take it that the device can fence every node).",
		},
		{
			"pcmk_delay_max", "time", "0s", "Upper limit of the delay before a node is fenced",
			"Before an off or reboot the fencer waits pcmk_delay_base plus a random time; both together stay below this limit.",
		},
		{
			"pcmk_delay_base", "string", "0s", "Delay before a node is fenced",
			"A fixed wait before an off or reboot, so that of two nodes that want to fence each other one is ahead. Either one time for all targets or pairs such as node1:1s;node2:5.",
		},
		{
			"pcmk_action_limit", "integer", "1", "How many actions the device can do at once",
			"The largest number of actions that run in parallel on this device; -1 is no limit. It needs concurrent-fencing=true to have an effect.",
		},
	}
	for _, action := range []string{"reboot", "off", "on", "list", "monitor", "status"} {
		out = append(out,
			option{
				"pcmk_" + action + "_action", "string", action, "Word for the agent in place of '" + action + "'",
				"For agents that know the action '" + action + "' under another name.",
			},
			option{
				"pcmk_" + action + "_timeout", "time", "60s", "Time limit for '" + action + "' on this device",
				"The limit for the action '" + action + "' on this device, where it needs more or less time than stonith-timeout gives.",
			},
			option{
				"pcmk_" + action + "_retries", "integer", "2", "How often '" + action + "' is tried",
				"The number of tries of the action '" + action + "' within its time limit, for devices that are busy at times.",
			})
	}
	return out
}

// OptionsMetadata describes those parameters as an agent's metadata: shells
// for the cluster offer and check them by it (execution 32).
func OptionsMetadata() string {
	var b strings.Builder
	b.WriteString(`<?xml version="1.0"?>
<resource-agent name="pacemaker-fenced" version="2.1.5">
  <version>1.1</version>
  <longdesc lang="en">Parameters of all resources of class stonith that the fencer itself interprets</longdesc>
  <shortdesc lang="en">Parameters of all fencing devices</shortdesc>
  <parameters>
`)
	for _, o := range options() {
		fmt.Fprintf(&b, `    <parameter name="%s">
      <longdesc lang="en">%s</longdesc>
      <shortdesc lang="en">%s</shortdesc>
      <content type="%s" default="%s"/>
    </parameter>
`, o.name, escaped(o.long), escaped(o.short), o.kind, o.otherwise)
	}
	b.WriteString("  </parameters>\n</resource-agent>\n")
	return b.String()
}

func escaped(s string) string {
	var b strings.Builder
	// A strings.Builder takes everything.
	_ = xml.EscapeText(&b, []byte(s))
	return b.String()
}
