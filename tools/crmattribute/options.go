// Package crmattribute is crm_attribute and the tools made of it: crm_standby,
// crm_failcount and crm_master (clients 2.4, 2.6 to 2.8). Permanent attributes
// and options live in the CIB, transient ones in the attribute daemon.
package crmattribute

import (
	"linuxha/internal/cliopt"
	"linuxha/tools/output"
)

// old is an earlier spelling: accepted, not shown with a text.
func old(short rune, long string, arg cliopt.Arg) cliopt.Option {
	return cliopt.Option{Short: short, Long: long, Arg: arg, Group: "Deprecated Options"}
}

const (
	commands   = "Commands"
	additional = "Additional Options"
)

var spec = &cliopt.Spec{
	Tool: "crm_attribute", Synopsis: "<command> [<options>]", Summary: "Query and update Pacemaker cluster options and node attributes",
	Options: append([]cliopt.Option{
		{Short: 'h', Long: "help", Help: "show help options"},
		{Short: 'n', Long: "name", Arg: cliopt.RequiredArg, Name: "NAME", Help: "operate on attribute or option with this name"},
		{Short: 'P', Long: "pattern", Arg: cliopt.RequiredArg, Name: "PATTERN", Help: "operate on all attributes matching this pattern (with -v, -D, or -G)"},
		{Short: 'p', Long: "promotion", Arg: cliopt.OptionalArg, Name: "RESOURCE", Help: "operate on node attribute used as promotion score for specified resource, or resource given in OCF_RESOURCE_INSTANCE environment variable if none is specified"},
		{Short: 's', Long: "set-name", Arg: cliopt.RequiredArg, Name: "NAME", Help: "(advanced) use the attribute set with this ID"},
		{Short: 'D', Long: "delete", Help: "delete the attribute/option", Group: commands},
		{Short: 'G', Long: "query", Help: "query the current value of the attribute/option", Group: commands},
		{Short: 'v', Long: "update", Arg: cliopt.RequiredArg, Name: "VALUE", Help: "update the value of the attribute/option", Group: commands},
		{Short: 'd', Long: "default", Arg: cliopt.RequiredArg, Name: "VALUE", Help: "(advanced) default value to display if none is found in configuration", Group: additional},
		{Short: 'l', Long: "lifetime", Arg: cliopt.RequiredArg, Name: "LIFETIME", Help: "lifetime of the node attribute: reboot or forever", Group: additional},
		{Short: 'N', Long: "node", Arg: cliopt.RequiredArg, Name: "NODE", Help: "set a node attribute for named node (instead of a cluster option)", Group: additional},
		{Short: 't', Long: "type", Arg: cliopt.RequiredArg, Name: "SECTION", Help: "which part of the configuration to update/delete/query the option in: crm_config, rsc_defaults, op_defaults, nodes, status", Group: additional},
		{Short: 'z', Long: "utilization", Help: "set an utilization attribute for the node", Group: additional},
		{Short: 'i', Long: "id", Arg: cliopt.RequiredArg, Name: "ID", Help: "(advanced) operate on instance of specified attribute with this XML ID", Group: additional},
		{Short: 'q', Long: "quiet", Help: "print only the value on stdout", Group: additional},
		{Short: '!', Long: "inhibit-policy-engine", Help: "accepted for compatibility", Group: additional},
		old(0, "attr-name", cliopt.RequiredArg), old(0, "attr-value", cliopt.RequiredArg), old(0, "get-value", cliopt.NoArg),
		old(0, "delete-attr", cliopt.NoArg), old(0, "attr-id", cliopt.RequiredArg), old('U', "node-uname", cliopt.RequiredArg),
		old('u', "uname", cliopt.RequiredArg), old('Q', "quiet-old", cliopt.NoArg),
	}, output.Common("text, xml")...),
}

var standbySpec = &cliopt.Spec{
	Tool: "crm_standby", Synopsis: "<command> [options]", Summary: "Check, enable, or disable standby mode for a cluster node",
	Options: append(scriptOptions(), output.Common("text, xml")...),
}

var masterSpec = &cliopt.Spec{
	Tool: "crm_master", Synopsis: "<command> [options]", Summary: "Query, update, or delete a resource's promotion score",
	Options: append(append(scriptOptions(),
		cliopt.Option{Short: 'r', Long: "resource", Arg: cliopt.RequiredArg, Name: "ID", Help: "resource whose promotion score is meant (default: OCF_RESOURCE_INSTANCE)", Group: additional},
	), output.Common("text, xml")...),
}

var failcountSpec = &cliopt.Spec{
	Tool: "crm_failcount", Synopsis: "<command> [options]", Summary: "Query or delete resource fail counts",
	Options: append(append(scriptOptions(),
		cliopt.Option{Short: 'r', Long: "resource", Arg: cliopt.RequiredArg, Name: "ID", Help: "name of the resource to use (required)", Group: additional},
		cliopt.Option{Short: 'n', Long: "operation", Arg: cliopt.RequiredArg, Name: "OP", Help: "name of operation to use (instead of all operations)", Group: additional},
		cliopt.Option{Short: 'I', Long: "interval", Arg: cliopt.RequiredArg, Name: "TIME", Help: "if operation is specified, its interval", Group: additional},
	), output.Common("text, xml")...),
}

// scriptOptions are what the three small tools share.
func scriptOptions() []cliopt.Option {
	return []cliopt.Option{
		{Short: 'h', Long: "help", Help: "show help options"},
		{Short: 'G', Long: "query", Help: "query the current value", Group: commands},
		{Short: 'v', Long: "update", Arg: cliopt.RequiredArg, Name: "VALUE", Help: "update the value", Group: commands},
		{Short: 'D', Long: "delete", Help: "delete the value", Group: commands},
		{Short: 'N', Long: "node", Arg: cliopt.RequiredArg, Name: "NODE", Help: "use the named node instead of the local one", Group: additional},
		{Short: 'l', Long: "lifetime", Arg: cliopt.RequiredArg, Name: "LIFETIME", Help: "until when the value should last: reboot or forever", Group: additional},
		{Short: 'i', Long: "id", Arg: cliopt.RequiredArg, Name: "ID", Help: "(advanced) XML ID of the attribute", Group: additional},
		{Short: 'q', Long: "quiet", Help: "print only the value", Group: additional},
		old('Q', "quiet-old", cliopt.NoArg), old(0, "get-value", cliopt.NoArg), old(0, "attr-value", cliopt.RequiredArg),
		old(0, "delete-attr", cliopt.NoArg), old('U', "uname", cliopt.RequiredArg), old(0, "attr-id", cliopt.RequiredArg),
		old(0, "resource-id", cliopt.RequiredArg),
	}
}

// value is the last value given under any of the names.
func value(p *cliopt.Parsed, names ...string) string {
	v, _ := lookup(p, names...)
	return v
}

func lookup(p *cliopt.Parsed, names ...string) (v string, given bool) {
	for _, g := range p.Given {
		for _, n := range names {
			if g.Long == n {
				v, given = g.Value, true
			}
		}
	}
	return v, given
}

func has(p *cliopt.Parsed, names ...string) bool {
	_, given := lookup(p, names...)
	return given
}
