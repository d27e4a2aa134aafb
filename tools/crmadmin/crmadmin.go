// Package crmadmin is crmadmin: questions to controllers (clients 2.10).
package crmadmin

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"linuxha/cib/cibdoc"
	"linuxha/internal/cibclient"
	"linuxha/internal/cliopt"
	"linuxha/internal/exitcode"
	"linuxha/internal/interval"
	"linuxha/internal/ipc"
	"linuxha/internal/paths"
	"linuxha/pengine/state"
	"linuxha/pengine/status"
	cibv1 "linuxha/proto/cib/v1"
	crmv1 "linuxha/proto/crm/v1"
	"linuxha/tools/output"
)

var spec = &cliopt.Spec{
	Tool: "crmadmin", Synopsis: "[OPTION...]", Summary: "query and manage the controller",
	Options: append([]cliopt.Option{
		{Short: 'h', Long: "help", Help: "show help options"},
		{Short: 'D', Long: "dc_lookup", Help: "display the uname of the node co-ordinating the cluster", Group: "Commands"},
		{Short: 'S', Long: "status", Arg: cliopt.RequiredArg, Name: "NODE", Help: "display the status of the specified node", Group: "Commands"},
		{Short: 'N', Long: "nodes", Arg: cliopt.OptionalArg, Name: "TYPES", Help: "display the uname of all member nodes [optionally filtered by type (comma-separated): cluster, guest, remote]", Group: "Commands"},
		{Short: 'P', Long: "pacemakerd", Help: "display the status of local pacemakerd", Group: "Commands"},
		{Short: 'H', Long: "health", Help: "no longer supported", Group: "Commands"},
		{Short: 'i', Long: "ipc-name", Arg: cliopt.RequiredArg, Name: "NAME", Help: "accepted for compatibility (with --pacemakerd)", Group: "Additional options"},
		{Short: 't', Long: "timeout", Arg: cliopt.RequiredArg, Name: "TIMEOUT", Help: "time to wait before declaring the operation failed (with units, default s)", Group: "Additional options"},
		{Short: 'B', Long: "bash-export", Help: "display nodes as shell commands of the form 'export uname=uuid'", Group: "Additional options"},
		{Short: 'q', Long: "quiet", Help: "display only the essential query information", Group: "Additional options"},
	}, output.Common("text, xml")...),
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
	timeout := 30 * time.Second
	if v := p.Value("timeout"); v != "" {
		d, ok := interval.Parse(v)
		if !ok || d <= 0 {
			return output.Usage(stderr, name, fmt.Errorf("Error parsing option -t: %q is no time such as 30s or 500ms", v))
		}
		timeout = d
	}
	conn, err := ipc.Dial(paths.FromEnv().Socket("crmd"))
	if err != nil {
		fmt.Fprintf(stderr, "error: Could not connect to controller: %v\n", err)
		return int(exitcode.Disconnect)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	q := query{client: crmv1.NewCrmClient(conn), quiet: p.Has("quiet"), export: p.Has("bash-export")}
	var code exitcode.Code
	var body *output.Element
	var text string
	var problems []string
	peer := "controller"
	// The last command given wins.
	command := ""
	for _, g := range p.Given {
		if slices.Contains([]string{"dc_lookup", "status", "nodes", "pacemakerd"}, g.Long) {
			command = g.Long
		}
	}
	switch command {
	case "dc_lookup":
		body, text, code, err = q.dc(ctx)
	case "status":
		body, text, code, err = q.state(ctx, p.Value("status"))
	case "nodes":
		peer = ""
		if body, text, code, err = q.nodes(ctx, p.Value("nodes")); err != nil {
			reason := cibdoc.RCOf(err).Error()
			if code = cibclient.ExitCode(err); code != exitcode.InsufficientPriv {
				code, reason = exitcode.NoInput, exitcode.NoInput.Text() // as other tools say it that only read
			}
			problems = append(problems, "error: Command failed: "+reason)
		} else {
			for _, kind := range strings.Split(p.Value("nodes"), ",") {
				if kind != "" && kind != "all" && !slices.Contains(nodeKinds, kind) {
					return output.Usage(stderr, name, fmt.Errorf("bad value %q for --nodes: kinds are cluster, guest and remote", kind))
				}
			}
		}
	case "pacemakerd":
		peer = "launcher"
		body, text, code, err = q.pacemakerd(ctx)
	default:
		code = exitcode.Usage
		if p.Has("health") {
			problems = append(problems, "Cluster-wide health option not supported")
		}
		problems = append(problems, "error: Must specify a command option", spec.Help())
	}
	if err != nil && code != exitcode.OK && len(problems) == 0 {
		problems = append(problems, "error: "+err.Error())
	}
	if err != nil && code == exitcode.OK {
		var reason string
		code, reason = output.FromRPC(err)
		text, body = "", nil
		problems = append(problems, "error: Could not connect to "+peer+": "+reason, "error: Command failed: "+reason)
	}
	if p.Value("output-as") == "xml" {
		var elements []*output.Element
		if body != nil {
			elements = append(elements, body)
		}
		if werr := output.Result(stdout, name, args, code, problems, elements...); werr != nil {
			return int(exitcode.IOErr)
		}
		return int(code)
	}
	for _, problem := range problems {
		fmt.Fprintln(stderr, problem)
	}
	fmt.Fprint(stdout, text)
	return int(code)
}

type query struct {
	client        crmv1.CrmClient
	quiet, export bool
}

func (q query) dc(ctx context.Context) (*output.Element, string, exitcode.Code, error) {
	r, err := q.client.GetDC(ctx, &crmv1.GetDCRequest{})
	if err != nil {
		return nil, "", 0, err
	}
	shown := r.Dc
	if shown == "" {
		shown = "not yet elected"
	}
	text := fmt.Sprintf("Designated Controller is: %s\n", shown)
	if q.quiet {
		text = r.Dc + "\n"
	}
	return output.New("dc", "node_name", r.Dc), text, exitcode.OK, nil
}

func (q query) state(ctx context.Context, node string) (*output.Element, string, exitcode.Code, error) {
	r, err := q.client.GetState(ctx, &crmv1.GetStateRequest{Node: node})
	if err != nil {
		return nil, "", 0, err
	}
	if r.Rc != 0 {
		return nil, "", exitcode.Timeout, fmt.Errorf("No reply received from the controller on %s: %s", node, r.Error)
	}
	text := fmt.Sprintf("Controller on %s in state %s: ok\n", r.Node, r.State)
	if q.quiet {
		text = r.State + "\n"
	}
	return output.New("crmd", "node_name", r.Node, "state", r.State, "result", "ok"), text, exitcode.OK, nil
}

// nodes lists the configured nodes of the kinds asked for, from the CIB.
func (q query) nodes(ctx context.Context, kinds string) (*output.Element, string, exitcode.Code, error) {
	client, err := cibclient.Open(ctx)
	if err != nil {
		return nil, "", 0, err
	}
	defer client.Close()
	resp, err := client.Query(ctx, &cibv1.QueryRequest{})
	if err == nil {
		err = cibclient.Err(resp)
	}
	if err != nil {
		return nil, "", 0, err
	}
	c, err := status.Load(resp.Xml, time.Now())
	if err != nil {
		return nil, "", 0, err
	}
	list := output.New("nodes")
	text := ""
	for _, kind := range nodeKinds {
		if kinds != "" && kinds != "all" && !slices.Contains(strings.Split(kinds, ","), kind) {
			continue
		}
		for _, n := range c.Nodes {
			if kindOf(n) != kind {
				continue
			}
			list.Add(output.New("node", "type", kind, "name", n.Name, "id", n.ID))
			switch {
			case q.quiet:
				text += n.Name + "\n"
			case q.export:
				text += fmt.Sprintf("export %s=%s\n", n.Name, n.ID)
			default:
				text += fmt.Sprintf("%s node: %s (%s)\n", kind, n.Name, n.ID)
			}
		}
	}
	return list, text, exitcode.OK, nil
}

// nodeKinds are the kinds of nodes in the order of lists.
var nodeKinds = []string{"cluster", "guest", "remote"}

func kindOf(n *state.Node) string {
	switch status.NodeKind(n) {
	case "GuestNode":
		if n.Conn.Replica != nil {
			return "" // a bundle's inside is not configured as a node
		}
		return "guest"
	case "RemoteNode":
		return "remote"
	}
	if n.Kind == state.Ping {
		return ""
	}
	return "cluster"
}

// pacemakerd says whether the stack runs, as crm_mon's first line does.
func (q query) pacemakerd(ctx context.Context) (*output.Element, string, exitcode.Code, error) {
	if _, err := q.client.GetDC(ctx, &crmv1.GetDCRequest{}); err != nil {
		return nil, "", 0, err
	}
	at := time.Now().Format("2006-01-02 15:04:05Z07:00")
	text := fmt.Sprintf("Status of pacemakerd: 'Pacemaker is running' (last updated %s)\n", at)
	if q.quiet {
		text = "running\n"
	}
	return output.New("pacemakerd", "sys_from", "pacemakerd", "state", "running", "last_updated", at), text, exitcode.OK, nil
}
