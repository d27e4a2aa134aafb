// Package crmnode is crm_node: what the cluster's controllers know of nodes
// (clients 2.5).
package crmnode

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"linuxha/internal/cliopt"
	"linuxha/internal/exitcode"
	"linuxha/internal/ipc"
	"linuxha/internal/paths"
	crmv1 "linuxha/proto/crm/v1"
	"linuxha/tools/output"
)

const callTimeout = 30 * time.Second

var spec = &cliopt.Spec{
	Tool: "crm_node", Synopsis: "[OPTION...]", Summary: "Tool for displaying low-level node information",
	Options: append([]cliopt.Option{
		{Short: 'h', Long: "help", Help: "show help options"},
		{Short: 'n', Long: "name", Help: "display the name used by the cluster for this node", Group: "Commands"},
		{Short: 'i', Long: "cluster-id", Help: "display this node's cluster id", Group: "Commands"},
		{Short: 'l', Long: "list", Help: "display all known members (past and present) of this cluster", Group: "Commands"},
		{Short: 'p', Long: "partition", Help: "display the members of this partition", Group: "Commands"},
		{Short: 'q', Long: "quorum", Help: "display a 1 if our partition has quorum, 0 if not", Group: "Commands"},
		{Short: 'N', Long: "name-for-id", Arg: cliopt.RequiredArg, Name: "ID", Help: "display the name used by the cluster for the node with the specified ID", Group: "Commands"},
		{Short: 'R', Long: "remove", Arg: cliopt.RequiredArg, Name: "NAME", Help: "(advanced) remove the stopped node with the specified name from configuration and caches", Group: "Commands"},
		{Short: 'f', Long: "force", Help: "", Group: "Additional options"},
		{Short: 'Q', Long: "quiet", Help: "essential output only", Group: "Additional options"},
		{Short: 'C', Long: "corosync", Help: "accepted for compatibility", Group: "Additional options"},
	}, output.Common("text, xml")...),
}

// commands in the words of the options; the last one given wins (clients 2.5).
var commands = map[string]bool{
	"name": true, "cluster-id": true, "list": true, "partition": true, "quorum": true, "name-for-id": true, "remove": true,
}

// Run is the tool's entry.
func Run(ctx context.Context, name string, args []string, _ io.Reader, stdout, stderr io.Writer) int {
	p, exit, done := output.Begin(spec, name, args, stdout, stderr)
	if done {
		return exit
	}
	if err := output.NoOperands(p.Operands); err != nil {
		return output.Usage(stderr, name, err)
	}
	command := ""
	for _, g := range p.Given {
		if commands[g.Long] {
			command = g.Long
		}
	}
	if command == "" {
		return output.Usage(stderr, name, fmt.Errorf("no command given: choose one of --name, --cluster-id, --list, --partition, --quorum, --name-for-id or --remove"))
	}
	// On remote nodes and in bundles the agent's environment names the node.
	if on := os.Getenv("OCF_RESKEY_CRM_meta_on_node"); command == "name" && on != "" {
		fmt.Fprintln(stdout, on)
		return 0
	}
	if command == "remove" && !p.Has("force") {
		fmt.Fprintf(stderr, "%s: The supplied command is considered dangerous. To prevent accidental destruction of the cluster, the --force flag is required in order to proceed.\n", name)
		return int(exitcode.Usage)
	}
	conn, err := ipc.Dial(paths.FromEnv().Socket("crmd"))
	if err != nil {
		fmt.Fprintf(stderr, "error: Could not connect to controller: %v\n", err)
		return int(exitcode.Disconnect)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	client := crmv1.NewCrmClient(conn)
	if command == "remove" {
		return remove(ctx, client, p.Value("remove"), name, stderr)
	}
	nodes, err := client.ListNodes(ctx, &crmv1.ListNodesRequest{})
	if err != nil {
		code, text := output.FromRPC(err)
		fmt.Fprintf(stderr, "error: Could not connect to controller: %s\n", text)
		return int(code)
	}
	return show(command, p.Value("name-for-id"), nodes, name, stdout, stderr)
}

func show(command, id string, nodes *crmv1.ListNodesResponse, name string, stdout, stderr io.Writer) int {
	switch command {
	case "name":
		fmt.Fprintln(stdout, nodes.Local)
	case "cluster-id":
		for _, n := range nodes.Nodes {
			if n.Name == nodes.Local {
				fmt.Fprintln(stdout, n.Id)
			}
		}
	case "list":
		for _, n := range nodes.Nodes {
			fmt.Fprintf(stdout, "%s %s %s\n", n.Id, n.Name, n.State)
		}
	case "partition":
		var b strings.Builder
		for _, n := range nodes.Nodes {
			if n.State == "member" && !n.Remote {
				b.WriteString(n.Name + " ")
			}
		}
		fmt.Fprintln(stdout, b.String())
	case "quorum":
		if nodes.Quorate {
			fmt.Fprintln(stdout, 1)
		} else {
			fmt.Fprintln(stdout, 0)
		}
	case "name-for-id":
		for _, n := range nodes.Nodes {
			if n.Id == id {
				fmt.Fprintln(stdout, n.Name)
				return 0
			}
		}
		fmt.Fprintf(stderr, "%s: Node is not known to cluster\n", name)
		return int(exitcode.NoHost)
	}
	return 0
}

func remove(ctx context.Context, client crmv1.CrmClient, node, name string, stderr io.Writer) int {
	resp, err := client.RemoveNode(ctx, &crmv1.RemoveNodeRequest{Node: node, Force: true})
	if err != nil {
		code, text := output.FromRPC(err)
		fmt.Fprintf(stderr, "error: Could not connect to controller: %s\n", text)
		return int(code)
	}
	if resp.Rc != 0 {
		fmt.Fprintf(stderr, "%s: %s\n", name, resp.Error)
		return int(exitcode.Unsafe)
	}
	return 0
}
