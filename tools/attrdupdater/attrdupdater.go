// Package attrdupdater is attrd_updater: transient node attributes, straight
// from and to the attribute daemon (clients 2.9).
package attrdupdater

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"linuxha/internal/cliopt"
	"linuxha/internal/exitcode"
	"linuxha/internal/interval"
	"linuxha/internal/ipc"
	"linuxha/internal/paths"
	attrdv1 "linuxha/proto/attrd/v1"
	"linuxha/tools/output"
)

const callTimeout = 30 * time.Second

const (
	commandGroup = "Commands"
	additional   = "Additional Options"
)

var spec = &cliopt.Spec{
	Tool: "attrd_updater", Synopsis: "-n <attribute> <command> [options]", Summary: "Query and update Pacemaker node attributes",
	Options: append([]cliopt.Option{
		{Short: 'h', Long: "help", Help: "show help options"},
		{Short: 'n', Long: "name", Arg: cliopt.RequiredArg, Name: "NAME", Help: "the attribute's name"},
		{Short: 'U', Long: "update", Arg: cliopt.RequiredArg, Name: "VALUE", Help: "update attribute's value (required: -n/--name)", Group: commandGroup},
		{Short: 'B', Long: "update-both", Arg: cliopt.RequiredArg, Name: "VALUE", Help: "update attribute's value and its delay (required: -n/--name, -d/--delay)", Group: commandGroup},
		{Short: 'Y', Long: "update-delay", Help: "update attribute's delay (required: -n/--name, -d/--delay)", Group: commandGroup},
		{Short: 'Q', Long: "query", Help: "query the attribute's value (required: -n/--name)", Group: commandGroup},
		{Short: 'D', Long: "delete", Help: "unset the attribute (required: -n/--name)", Group: commandGroup},
		{Short: 'R', Long: "refresh", Help: "(advanced) write all attributes to the CIB again", Group: commandGroup},
		{Short: 'd', Long: "delay", Arg: cliopt.RequiredArg, Name: "SECONDS", Help: "the time to wait (dampening) for further changes before sending to the CIB", Group: additional},
		{Short: 's', Long: "set", Arg: cliopt.RequiredArg, Name: "SET", Help: "(advanced) the attribute set in which to place the value", Group: additional},
		{Short: 'N', Long: "node", Arg: cliopt.RequiredArg, Name: "NODE", Help: "set the attribute for the named node (instead of the local one)", Group: additional},
		{Short: 'A', Long: "all", Help: "show values of the attribute for all nodes (query only)", Group: additional},
		{Short: 'p', Long: "private", Help: "if this creates a new attribute, never write the attribute to the CIB", Group: additional},
		{Short: 'l', Long: "lifetime", Arg: cliopt.RequiredArg, Name: "LIFETIME", Help: "accepted and ignored", Group: additional},
		{Short: 'v', Long: "update-old", Arg: cliopt.RequiredArg, Name: "VALUE", Group: "Deprecated Options"},
		{Short: 'S', Long: "section", Arg: cliopt.RequiredArg, Name: "SECTION", Group: "Deprecated Options"},
		{Short: 'q', Long: "quiet", Group: "Deprecated Options"},
	}, output.Common("text, xml")...),
}

// failure is an error with the exit status it leads to.
type failure struct {
	code exitcode.Code
	text string
}

func (f *failure) Error() string { return f.text }

// Run is the tool's entry.
func Run(ctx context.Context, name string, args []string, _ io.Reader, stdout, stderr io.Writer) int {
	p, exit, done := output.Begin(spec, name, args, stdout, stderr)
	if done {
		return exit
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	found, err := run(ctx, p)
	code, errs := conclude(err)
	if p.Value("output-as") == "xml" {
		var body []*output.Element
		for _, a := range found {
			body = append(body, output.New("attribute", "name", a.Name, "value", a.Value, "host", a.Node))
		}
		if err := output.Result(stdout, name, args, code, errs, body...); err != nil {
			fmt.Fprintf(stderr, "%s: %v\n", name, err)
			return int(exitcode.IOErr)
		}
		return int(code)
	}
	for _, a := range found {
		fmt.Fprintf(stdout, "name=\"%s\" host=\"%s\" value=\"%s\"\n", a.Name, a.Node, a.Value)
	}
	for _, e := range errs {
		fmt.Fprintf(stderr, "%s: %s\n", name, e)
	}
	return int(code)
}

func conclude(err error) (exitcode.Code, []string) {
	var f *failure
	switch {
	case err == nil:
		return exitcode.OK, nil
	case errors.As(err, &f):
		return f.code, []string{f.text}
	}
	code, text := output.FromRPC(err)
	return code, []string{"Could not connect to attrd: " + text}
}

// run does the last command given: callers combine -R with others (clients 2.9).
func run(ctx context.Context, p *cliopt.Parsed) ([]*attrdv1.Attribute, error) {
	command, value := "", ""
	for _, g := range p.Given {
		switch g.Long {
		case "update", "update-old":
			command, value = "update", g.Value
		case "update-both":
			command, value = "update-both", g.Value
		case "update-delay", "query", "delete", "refresh":
			command = g.Long
		}
	}
	a := &attrdv1.Attribute{
		Name: p.Value("name"), Value: value, Node: node(p), SetId: p.Value("set"), Private: p.Has("private"), User: os.Getenv("CIB_user"),
	}
	switch {
	case command == "":
		return nil, &failure{exitcode.Usage, "Must specify a command: use one of -U, -B, -Y, -Q, -D or -R"}
	case command != "refresh" && a.Name == "":
		return nil, &failure{exitcode.Usage, "Command requires --name argument"}
	}
	if v := p.Value("delay"); v != "" {
		d, ok := interval.Parse(v)
		if !ok {
			return nil, &failure{exitcode.Usage, fmt.Sprintf("Invalid delay %q: give a number of seconds", v)}
		}
		a.DampenMs = d.Milliseconds()
	} else if command == "update-both" || command == "update-delay" {
		return nil, &failure{exitcode.Usage, "Command requires --delay argument"}
	}
	conn, err := ipc.Dial(paths.FromEnv().Socket("attrd"))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	client := attrdv1.NewAttrdClient(conn)
	switch command {
	case "query":
		return query(ctx, client, a.Name, p)
	case "refresh":
		_, err := client.Refresh(ctx, &attrdv1.RefreshRequest{})
		return nil, err
	case "delete":
		a.Value = ""
	case "update-both":
		a.SetDampen = true
	case "update-delay":
		a.SetDampen, a.KeepValue = true, true
	}
	res, err := client.Update(ctx, &attrdv1.UpdateRequest{Attributes: []*attrdv1.Attribute{a}})
	if err == nil && res.Rc != 0 {
		err = &failure{exitcode.FromErrno(syscall.Errno(res.Rc)), fmt.Sprintf("Could not update %s=%s: %s", a.Name, value, res.Error)}
	}
	return nil, err
}

// node is the node meant: agents on remote nodes and in bundles have it in
// their environment (clients 1.6).
func node(p *cliopt.Parsed) string {
	if n := p.Value("node"); n != "" {
		return n
	}
	if os.Getenv("OCF_RESKEY_CRM_meta_container_attribute_target") == "host" {
		if host := os.Getenv("OCF_RESKEY_CRM_meta_physical_host"); host != "" {
			return host
		}
	}
	return os.Getenv("OCF_RESKEY_CRM_meta_on_node")
}

func query(ctx context.Context, client attrdv1.AttrdClient, name string, p *cliopt.Parsed) ([]*attrdv1.Attribute, error) {
	res, err := client.Query(ctx, &attrdv1.QueryRequest{Name: name, Node: node(p), AllNodes: p.Has("all")})
	switch {
	case err != nil:
		return nil, err
	case res.Rc != 0:
		return nil, &failure{exitcode.Config, fmt.Sprintf("Could not query value of %s: %s", name, res.Error)}
	}
	return res.Attributes, nil
}
