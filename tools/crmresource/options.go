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
		{Short: 'Y', Long: "why", Help: "show why resources are not running", Group: "Queries"},
		{Short: 'C', Long: "cleanup", Help: "delete failed operations from a resource's history so its current state is re-detected", Group: "Commands"},
		{Short: 'R', Long: "refresh", Help: "delete resource's history (including failures) so its current state is re-detected", Group: "Commands"},
		{Short: 'p', Long: "set-parameter", Arg: cliopt.RequiredArg, Name: "PARAM", Help: "set named parameter for resource (requires -v)", Group: "Commands"},
		{Short: 'd', Long: "delete-parameter", Arg: cliopt.RequiredArg, Name: "PARAM", Help: "delete named parameter for resource", Group: "Commands"},
		{Short: 'M', Long: "move", Help: "create a constraint to move resource", Group: "Resource location"},
		{Short: 'B', Long: "ban", Help: "create a constraint to keep resource off a node", Group: "Resource location"},
		{Short: 'U', Long: "clear", Help: "remove all constraints created by the --ban and/or --move commands", Group: "Resource location"},
		{Short: 'u', Long: "lifetime", Arg: cliopt.RequiredArg, Name: "TIMESPEC", Help: "lifespan (as ISO 8601 duration) of created constraints (with -B, -M)", Group: "Resource location"},
		{Long: "promoted", Help: "limit scope of command to the promoted role (with -B, -M, -U)", Group: "Resource location"},
		{Long: "master", Help: "deprecated: use --promoted", Group: "Resource location"},
		{Short: 'F', Long: "fail", Help: "(advanced) tell the cluster this resource has failed", Group: "Advanced Commands"},
		{Long: "restart", Help: "(advanced) restart resource by stopping and starting it", Group: "Advanced Commands"},
		{Long: "wait", Help: "(advanced) wait until the cluster settles into a stable state", Group: "Advanced Commands"},
		{Short: 'D', Long: "delete", Help: "(advanced) delete a resource from the CIB (requires -t)", Group: "Advanced Commands"},
		{Short: 'r', Long: "resource", Arg: cliopt.RequiredArg, Name: "ID", Help: "resource ID", Group: "Additional options"},
		{Short: 'N', Long: "node", Arg: cliopt.RequiredArg, Name: "NAME", Help: "node name", Group: "Additional options"},
		{Short: 'H', Long: "host-uname", Arg: cliopt.RequiredArg, Name: "NAME", Help: "deprecated: use --node", Group: "Additional options"},
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

// commands are the options that say what to do; the last one given counts.
var commands = map[string]func(*session) error{
	"list": (*session).list, "list-raw": (*session).listRaw, "locate": (*session).locate,
	"query-xml": (*session).queryXML, "query-xml-raw": (*session).queryXML, "get-parameter": (*session).getParameter,
	"list-standards": (*session).listStandards, "list-ocf-providers": (*session).listProviders, "list-agents": (*session).listAgents,
	"list-ocf-alternatives": (*session).listAlternatives, "show-metadata": (*session).showMetadata, "why": (*session).why,
	"cleanup": (*session).cleanup, "refresh": (*session).refresh, "set-parameter": (*session).setParameter,
	"delete-parameter": (*session).deleteParameter, "move": (*session).move, "ban": (*session).ban, "clear": (*session).clear,
	"fail": (*session).fail, "restart": (*session).restart, "wait": (*session).wait, "delete": (*session).remove,
}

// needsResource are the commands that make no sense without --resource.
var needsResource = map[string]bool{
	"locate": true, "query-xml": true, "query-xml-raw": true, "get-parameter": true, "set-parameter": true, "delete-parameter": true,
	"move": true, "ban": true, "clear": true, "fail": true, "restart": true, "delete": true,
}
