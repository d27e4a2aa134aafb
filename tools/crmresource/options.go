package crmresource

import (
	"linuxha/internal/cliopt"
	"linuxha/tools/output"
)

var spec = &cliopt.Spec{
	Tool: "crm_resource", Synopsis: "[OPTION...] <query>|<command>", Summary: "Perform tasks related to Pacemaker cluster resources",
	Options: append([]cliopt.Option{
		{Short: 'h', Long: "help", Help: "show help options"},
		{Short: 'L', Long: "list", Help: "list all cluster resources with status", Group: "Queries"},
		{Short: 'l', Long: "list-raw", Help: "list IDs of all instantiated resources", Group: "Queries"},
		{Short: 'W', Long: "locate", Help: "show node(s) currently running resource", Group: "Queries"},
		{Short: 'q', Long: "query-xml", Help: "show XML configuration of resource (after any template expansion)", Group: "Queries"},
		{Short: 'w', Long: "query-xml-raw", Help: "show XML configuration of resource (before any template expansion)", Group: "Queries"},
		{Short: 'g', Long: "get-parameter", Arg: cliopt.RequiredArg, Name: "PARAM", Help: "display named parameter for resource", Group: "Queries"},
		{Long: "list-standards", Help: "list supported standards", Group: "Queries"},
		{Long: "list-ocf-providers", Help: "list all available OCF providers", Group: "Queries"},
		{Long: "list-agents", Arg: cliopt.RequiredArg, Name: "STD[:PROV]", Help: "list all agents available for the named standard and/or provider", Group: "Queries"},
		{Long: "list-ocf-alternatives", Arg: cliopt.RequiredArg, Name: "AGENT", Help: "list all available providers for the named OCF agent", Group: "Queries"},
		{Long: "show-metadata", Arg: cliopt.RequiredArg, Name: "SPEC", Help: "show the metadata for the named class:provider:agent", Group: "Queries"},
		{Short: 'O', Long: "list-operations", Help: "list active resource operations, optionally filtered by --resource and/or --node", Group: "Queries"},
		{Short: 'o', Long: "list-all-operations", Help: "list all resource operations, optionally filtered by --resource and/or --node", Group: "Queries"},
		{Short: 'G', Long: "get-property", Arg: cliopt.RequiredArg, Name: "PROPERTY", Help: "display named property of resource ('class', 'type', or 'provider') (requires --resource)", Group: "Queries"},
		{Short: 'a', Long: "constraints", Help: "display the location and colocation constraints that apply to a resource; with --force only those that name it", Group: "Queries"},
		{Short: 'A', Long: "stack", Help: "display the constraints that apply to a resource, and those of what it is colocated with", Group: "Queries"},
		{Short: 'c', Long: "list-cts", Help: "list primitives in a form for scripts", Group: "Queries"},
		{Short: 'Y', Long: "why", Help: "show why resources are not running", Group: "Queries"},
		{Long: "validate", Arg: cliopt.OptionalArg, Name: "LEVEL", Help: "validate resource configuration by calling agent's validate-all action; the configuration may be specified either by --resource or by --class, --provider, --agent and --option", Group: "Commands"},
		{Short: 'S', Long: "set-property", Arg: cliopt.RequiredArg, Name: "PROPERTY", Help: "(advanced) set class, type or provider of a resource (requires -t and -v)", Group: "Commands"},
		{Short: 'C', Long: "cleanup", Help: "delete failed operations from a resource's history so its current state is re-detected", Group: "Commands"},
		{Short: 'R', Long: "refresh", Help: "delete resource's history (including failures) so its current state is re-detected", Group: "Commands"},
		{Short: 'p', Long: "set-parameter", Arg: cliopt.RequiredArg, Name: "PARAM", Help: "set named parameter for resource (requires -v)", Group: "Commands"},
		{Short: 'd', Long: "delete-parameter", Arg: cliopt.RequiredArg, Name: "PARAM", Help: "delete named parameter for resource", Group: "Commands"},
		{Short: 'M', Long: "move", Help: "create a constraint to move resource", Group: "Resource location"},
		{Short: 'B', Long: "ban", Help: "create a constraint to keep resource off a node", Group: "Resource location"},
		{Short: 'U', Long: "clear", Help: "remove all constraints created by the --ban and/or --move commands", Group: "Resource location"},
		{Short: 'e', Long: "expired", Help: "modify the --clear argument to remove constraints with expired lifetimes", Group: "Resource location"},
		{Short: 'u', Long: "lifetime", Arg: cliopt.RequiredArg, Name: "TIMESPEC", Help: "lifespan (as ISO 8601 duration) of created constraints (with -B, -M)", Group: "Resource location"},
		{Long: "promoted", Help: "limit scope of command to the promoted role (with -B, -M, -U)", Group: "Resource location"},
		{Long: "master", Help: "deprecated: use --promoted", Group: "Resource location"},
		{Short: 'F', Long: "fail", Help: "(advanced) tell the cluster this resource has failed", Group: "Advanced Commands"},
		{Long: "restart", Help: "(advanced) restart resource by stopping and starting it", Group: "Advanced Commands"},
		{Long: "wait", Help: "(advanced) wait until the cluster settles into a stable state", Group: "Advanced Commands"},
		{Long: "digests", Help: "(advanced) show parameter hashes that the cluster uses to detect configuration changes (needs --resource and --node; accepts name=value overrides)", Group: "Advanced Commands"},
		{Long: "force-demote", Help: "(advanced) bypass the cluster and demote a resource on the local node", Group: "Advanced Commands"},
		{Long: "force-stop", Help: "(advanced) bypass the cluster and stop a resource on the local node", Group: "Advanced Commands"},
		{Long: "force-start", Help: "(advanced) bypass the cluster and attempt to start a resource on the local node", Group: "Advanced Commands"},
		{Long: "force-promote", Help: "(advanced) bypass the cluster and promote a resource on the local node", Group: "Advanced Commands"},
		{Long: "force-check", Arg: cliopt.OptionalArg, Name: "LEVEL", Help: "(advanced) bypass the cluster and check the state of a resource on the local node", Group: "Advanced Commands"},
		{Short: 'D', Long: "delete", Help: "(advanced) delete a resource from the CIB (requires -t)", Group: "Advanced Commands"},
		{Short: 'r', Long: "resource", Arg: cliopt.RequiredArg, Name: "ID", Help: "resource ID", Group: "Additional options"},
		{Short: 'N', Long: "node", Arg: cliopt.RequiredArg, Name: "NAME", Help: "node name", Group: "Additional options"},
		{Short: 'H', Long: "host-uname", Arg: cliopt.RequiredArg, Name: "NAME", Help: "deprecated: use --node", Group: "Additional options"},
		{Long: "recursive", Help: "follow colocation chains when using --set-parameter", Group: "Additional options"},
		{Short: 'n', Long: "operation", Arg: cliopt.RequiredArg, Name: "OPERATION", Help: "operation to clear instead of all (with -C -r)", Group: "Additional options"},
		{Short: 'I', Long: "interval", Arg: cliopt.RequiredArg, Name: "N", Help: "interval of operation to clear (default 0) (with -C -r -n)", Group: "Additional options"},
		{Long: "class", Arg: cliopt.RequiredArg, Name: "CLASS", Help: "the standard the resource agent conforms to (with --validate, --force-*)", Group: "Additional options"},
		{Long: "agent", Arg: cliopt.RequiredArg, Name: "AGENT", Help: "the agent to use (with --validate, --force-*)", Group: "Additional options"},
		{Long: "provider", Arg: cliopt.RequiredArg, Name: "PROVIDER", Help: "the vendor that supplies the resource agent (with --validate, --force-*)", Group: "Additional options"},
		{Long: "option", Arg: cliopt.RequiredArg, Name: "OPTION", Help: "specify a device configuration parameter as NAME=VALUE (may be specified multiple times) (with --validate, --force-*)", Group: "Additional options"},
		{Short: 'x', Long: "xml-file", Arg: cliopt.RequiredArg, Name: "FILE", Help: "work on the CIB in a file instead of the cluster's", Group: "Additional options"},
		{Short: 't', Long: "resource-type", Arg: cliopt.RequiredArg, Name: "TYPE", Help: "resource XML element (primitive, group, etc.) (with -D)", Group: "Additional options"},
		{Short: 'v', Long: "parameter-value", Arg: cliopt.RequiredArg, Name: "PARAM", Help: "value to use with -p", Group: "Additional options"},
		{Short: 'm', Long: "meta", Help: "use resource meta-attribute instead of instance attribute (with -p, -g, -d)", Group: "Additional options"},
		{Short: 'z', Long: "utilization", Help: "use resource utilization attribute instead of instance attribute (with -p, -g, -d)", Group: "Additional options"},
		{Short: 's', Long: "set-name", Arg: cliopt.RequiredArg, Name: "ID", Help: "(advanced) XML ID of attributes element to use (with -p, -d)", Group: "Additional options"},
		{Short: 'i', Long: "nvpair", Arg: cliopt.RequiredArg, Name: "ID", Help: "(advanced) XML ID of nvpair element to use (with -p, -d)", Group: "Additional options"},
		{Short: 'T', Long: "timeout", Arg: cliopt.RequiredArg, Name: "TIMESPEC", Help: "(advanced) abort if command does not finish in this time (with --restart, --wait)", Group: "Additional options"},
		{Short: 'f', Long: "force", Help: "force the action to be performed", Group: "Additional options"},
		{Short: 'Q', Long: "quiet", Help: "be less descriptive in results", Group: "Additional options"},
	}, output.Common("text, xml")...),
}

// command is something to do; the last one given counts.
type command struct {
	do func(*session) error
	// rsc: it makes no sense without --resource.
	rsc bool
	// runs: it runs an agent, which --class and its kin may name instead.
	runs bool
}

var commands = map[string]command{
	"list": {do: (*session).list}, "list-raw": {do: (*session).listRaw}, "locate": {do: (*session).locate, rsc: true},
	"list-operations": {do: (*session).listOperations}, "list-all-operations": {do: (*session).listOperations},
	"list-cts":  {do: (*session).listPlain},
	"query-xml": {do: (*session).queryXML, rsc: true}, "query-xml-raw": {do: (*session).queryXML, rsc: true},
	"get-parameter": {do: (*session).getParameter, rsc: true}, "get-property": {do: (*session).getProperty, rsc: true},
	"constraints": {do: (*session).constraints, rsc: true}, "stack": {do: (*session).constraints, rsc: true},
	"list-standards": {do: (*session).listStandards}, "list-ocf-providers": {do: (*session).listProviders},
	"list-agents": {do: (*session).listAgents}, "list-ocf-alternatives": {do: (*session).listAlternatives},
	"show-metadata": {do: (*session).showMetadata}, "why": {do: (*session).why},
	"cleanup": {do: (*session).cleanup}, "refresh": {do: (*session).refresh},
	"set-parameter": {do: (*session).setParameter, rsc: true}, "delete-parameter": {do: (*session).deleteParameter, rsc: true},
	"set-property": {do: (*session).setProperty, rsc: true},
	"move":         {do: (*session).move, rsc: true}, "ban": {do: (*session).ban, rsc: true}, "clear": {do: (*session).clear},
	"fail": {do: (*session).fail, rsc: true}, "restart": {do: (*session).restart, rsc: true}, "wait": {do: (*session).wait},
	"delete": {do: (*session).remove, rsc: true}, "digests": {do: (*session).digests, rsc: true},
	"validate": {do: (*session).execute, runs: true}, "force-start": {do: (*session).execute, runs: true},
	"force-stop": {do: (*session).execute, runs: true}, "force-check": {do: (*session).execute, runs: true},
	"force-promote": {do: (*session).execute, runs: true}, "force-demote": {do: (*session).execute, runs: true},
}
