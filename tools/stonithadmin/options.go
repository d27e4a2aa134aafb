// Package stonithadmin is stonith_admin: fencing by hand, the fencing devices
// and the history of fencing (execution 47, clients 2.18).
package stonithadmin

import (
	"linuxha/internal/cliopt"
	"linuxha/tools/output"
)

const (
	queries  = "Queries"
	fencing  = "Fencing Commands"
	defining = "Device Definition Commands"
	further  = "Additional Options"
)

var spec = &cliopt.Spec{
	Tool: "stonith_admin", Synopsis: "<command> [<options>]",
	Summary: "Access the Pacemaker fencing API",
	Options: append([]cliopt.Option{
		{Short: '?', Long: "help", Help: "show help options"},
		{Short: 'I', Long: "list-installed", Help: "list all installed devices", Group: queries},
		{Short: 'L', Long: "list-registered", Help: "list all registered devices", Group: queries},
		{Short: 'l', Long: "list", Arg: cliopt.RequiredArg, Name: "HOST", Help: "list devices that can terminate the specified host", Group: queries},
		{Short: 's', Long: "list-targets", Arg: cliopt.RequiredArg, Name: "DEVICE", Help: "list machines that can be terminated by DEVICE", Group: queries},
		{Short: 'M', Long: "metadata", Help: "show agent metadata (requires --agent)", Group: queries},
		{Short: 'Q', Long: "query", Arg: cliopt.RequiredArg, Name: "DEVICE", Help: "check the named device's status", Group: queries},
		{Short: 'H', Long: "history", Arg: cliopt.RequiredArg, Name: "NODE", Help: "show last successful fencing operation for named node (or '*' for all nodes); --timeout, --cleanup, --quiet and --verbose apply", Group: queries},
		{Short: 'h', Long: "last", Arg: cliopt.RequiredArg, Name: "NODE", Help: "indicate when the named node was last fenced", Group: queries},
		{Short: 'K', Long: "validate", Help: "validate a fence device configuration (requires --agent)", Group: queries},
		{Short: 'F', Long: "fence", Arg: cliopt.RequiredArg, Name: "HOST", Help: "fence named host", Group: fencing},
		{Short: 'U', Long: "unfence", Arg: cliopt.RequiredArg, Name: "HOST", Help: "unfence named host", Group: fencing},
		{Short: 'B', Long: "reboot", Arg: cliopt.RequiredArg, Name: "HOST", Help: "reboot named host", Group: fencing},
		{Short: 'C', Long: "confirm", Arg: cliopt.RequiredArg, Name: "HOST", Help: "tell cluster that named host is now safely down", Group: fencing},
		{Short: 'R', Long: "register", Arg: cliopt.RequiredArg, Name: "DEVICE", Help: "register the named fence device (requires --agent)", Group: defining},
		{Short: 'D', Long: "deregister", Arg: cliopt.RequiredArg, Name: "DEVICE", Help: "de-register the named fence device", Group: defining},
		{Short: 'r', Long: "register-level", Arg: cliopt.RequiredArg, Name: "TARGET", Help: "register a fencing level for the named target (a node, @regex or attribute=value)", Group: defining},
		{Short: 'd', Long: "deregister-level", Arg: cliopt.RequiredArg, Name: "TARGET", Help: "unregister a fencing level for the named target", Group: defining},
		{Short: 'a', Long: "agent", Arg: cliopt.RequiredArg, Name: "AGENT", Help: "the agent to use (for example, fence_xvm)", Group: further},
		{Short: 'o', Long: "option", Arg: cliopt.RequiredArg, Name: "NAME=VALUE", Help: "name and value of a device parameter (may be given several times)", Group: further},
		{Short: 'e', Long: "env-option", Arg: cliopt.RequiredArg, Name: "NAME", Help: "name of a device parameter taken from environment variable OCF_RESKEY_NAME", Group: further},
		{Short: 'T', Long: "tag", Arg: cliopt.RequiredArg, Name: "TAG", Help: "identify fencing operations in logs with the specified tag", Group: further},
		{Short: 'v', Long: "device", Arg: cliopt.RequiredArg, Name: "DEVICE", Help: "device to be used in the fencing level (may be given several times)", Group: further},
		{Short: 'i', Long: "index", Arg: cliopt.RequiredArg, Name: "LEVEL", Help: "the fencing level (1 to 9)", Group: further},
		{Short: 't', Long: "timeout", Arg: cliopt.RequiredArg, Name: "SECONDS", Help: "operation timeout in seconds (default 120)", Group: further},
		{Short: 'y', Long: "delay", Arg: cliopt.RequiredArg, Name: "SECONDS", Help: "fencing delay in seconds (0; -1 disables all delays)", Group: further},
		{Short: 'n', Long: "as-node-id", Help: "the supplied node is the corosync node ID (used with --last)", Group: further},
		{Long: "tolerance", Arg: cliopt.RequiredArg, Name: "SECONDS", Help: "do nothing if an equivalent request succeeded less than this many seconds earlier", Group: further},
		{Short: 'c', Long: "cleanup", Help: "clean up the fencing history", Group: further},
		{Short: 'b', Long: "broadcast", Help: "broadcast wherever appropriate", Group: further},
		{Short: 'q', Long: "quiet", Help: "be less descriptive in output", Group: further},
	}, output.Common("text, xml")...),
}

// commands are the options that say what to do; the last one given wins.
var commands = map[string]bool{
	"list-installed": true, "list-registered": true, "list": true, "list-targets": true, "metadata": true, "query": true,
	"history": true, "last": true, "validate": true, "fence": true, "unfence": true, "reboot": true, "confirm": true,
	"register": true, "deregister": true, "register-level": true, "deregister-level": true,
}
