// Package cibadmin is cibadmin: direct access to the CIB (clients 2.1).
package cibadmin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"linuxha/cib/cibdoc"
	"linuxha/cib/ops"
	"linuxha/cib/schema"
	"linuxha/internal/cibclient"
	"linuxha/internal/cliopt"
	"linuxha/internal/exitcode"
	cibv1 "linuxha/proto/cib/v1"
	"linuxha/tools/output"
)

var spec = &cliopt.Spec{
	Tool: "cibadmin", Synopsis: "<command> [options]", Old: true,
	Summary: "Query and edit the Pacemaker configuration",
	Options: []cliopt.Option{
		{Short: '?', Long: "help", Help: "Show this text and exit"},
		{Short: '$', Long: "version", Help: "Show version information and exit"},
		{Short: '!', Long: "features", Help: "Show the build and its features"},
		{Short: 'V', Long: "verbose", Help: "Increase debug output (may be given several times)"},

		{Short: 'u', Long: "upgrade", Help: "Upgrade the configuration to the latest syntax", Group: "Commands"},
		{Short: 'Q', Long: "query", Help: "Query the contents of the CIB", Group: "Commands"},
		{Short: 'E', Long: "erase", Help: "Erase the contents of the whole CIB", Group: "Commands"},
		{Short: 'B', Long: "bump", Help: "Increase the CIB's epoch value by 1", Group: "Commands"},
		{Short: 'C', Long: "create", Help: "Create an object in the CIB (will fail if object already exists)", Group: "Commands"},
		{Short: 'M', Long: "modify", Help: "Find object somewhere in CIB's XML tree and update it (fails if object does not exist unless -c is also specified)", Group: "Commands"},
		{Short: 'P', Long: "patch", Help: "Supply an update in the form of an XML diff (see crm_diff(8))", Group: "Commands"},
		{Short: 'R', Long: "replace", Help: "Recursively replace an object in the CIB", Group: "Commands"},
		{Short: 'D', Long: "delete", Help: "Delete first object matching supplied criteria", Group: "Commands"},
		{Short: 'd', Long: "delete-all", Help: "When used with --xpath, remove all matching objects in the configuration instead of just the first one", Group: "Commands"},
		{Short: 'a', Long: "empty", Arg: cliopt.OptionalArg, Name: "schema", Help: "Output an empty CIB, validated with the given schema", Group: "Commands"},
		{Short: '5', Long: "md5-sum", Help: "Calculate the on-disk CIB digest", Group: "Commands"},
		{Short: '6', Long: "md5-sum-versioned", Help: "Calculate an on-the-wire versioned CIB digest", Group: "Commands"},
		{Short: 'S', Long: "show-access", Arg: cliopt.OptionalArg, Name: "how", Help: "With --query and --user: show the CIB annotated with the user's access (text, color, namespace, auto)", Group: "Commands"},

		{Short: 'f', Long: "force", Help: "Force the action to be performed", Group: "Additional options"},
		{Short: 't', Long: "timeout", Arg: cliopt.RequiredArg, Name: "seconds", Help: "Time to wait before declaring the operation failed (30)", Group: "Additional options"},
		{Short: 'U', Long: "user", Arg: cliopt.RequiredArg, Name: "name", Help: "Run the command with permissions of the named user (for root and hacluster)", Group: "Additional options"},
		{Short: 's', Long: "sync-call", Help: "Wait for the call to complete before returning", Group: "Additional options"},
		{Short: 'l', Long: "local", Help: "Command takes effect locally: should only be used for queries", Group: "Additional options"},
		{Short: 'b', Long: "no-bcast", Help: "", Group: "Additional options"},
		{Short: 'A', Long: "xpath", Arg: cliopt.RequiredArg, Name: "xpath", Help: "A valid XPath to use instead of --scope/-o", Group: "Additional options"},
		{Short: 'o', Long: "scope", Arg: cliopt.RequiredArg, Name: "section", Help: "Limit scope of operation to a section of the CIB: configuration, nodes, resources, constraints, crm_config, rsc_defaults, op_defaults, status", Group: "Additional options"},
		{Short: 'N', Long: "node", Arg: cliopt.RequiredArg, Name: "node", Help: "Send the command to the specified host (its copy is the same as the local one)", Group: "Additional options"},
		{Short: 'h', Long: "host", Arg: cliopt.RequiredArg, Name: "node", Help: "The same as --node", Group: "Additional options"},
		{Short: 'e', Long: "node-path", Help: "When performing XPath queries, return paths of any matches found", Group: "Additional options"},
		{Short: 'n', Long: "no-children", Help: "When querying an object, do not return its children", Group: "Additional options"},
		{Long: "dry-run", Help: "Change nothing: show the patch that the change is, and what the cluster would then do", Group: "Additional options"},
		{Short: 'c', Long: "allow-create", Help: "(Advanced) Allow the target of --modify to be created if it does not exist", Group: "Additional options"},

		{Short: 'X', Long: "xml-text", Arg: cliopt.RequiredArg, Name: "value", Help: "Retrieve XML from the supplied string", Group: "Data"},
		{Short: 'x', Long: "xml-file", Arg: cliopt.RequiredArg, Name: "value", Help: "Retrieve XML from the named file", Group: "Data"},
		{Short: 'p', Long: "xml-pipe", Help: "Retrieve XML from stdin", Group: "Data"},
	},
}

// command is what each of the options that name one does.
type command struct {
	op        ops.Op
	name      string // as it stands in "Call NAME failed"
	dangerous bool
	input     bool // needs XML
	orXPath   bool // ... or an XPath instead
}

var commands = map[string]command{
	"upgrade":    {op: ops.Upgrade, dangerous: true},
	"query":      {name: "cib_query"},
	"erase":      {op: ops.Erase, dangerous: true},
	"bump":       {op: ops.Bump},
	"create":     {op: ops.Create, input: true},
	"modify":     {op: ops.Modify, input: true},
	"patch":      {op: ops.Patch, input: true},
	"replace":    {op: ops.Replace, input: true},
	"delete":     {op: ops.Delete, input: true, orXPath: true},
	"delete-all": {op: ops.Delete, dangerous: true, input: true, orXPath: true},
	"empty":      {}, "md5-sum": {}, "md5-sum-versioned": {},
}

const dangerous = "The supplied command is considered dangerous.  To prevent accidental destruction of the cluster, the --force flag is required in order to proceed.\n"

// featuresText is what crmsh reads the build from (clients 1.4).
const featuresText = "Pacemaker 2.1.5 (Build: a3f44794f94): agent-manpages generated-manpages ncurses libheartbeat nagios systemd acls pcmk_remoted\n"

// call is one run of the tool.
type call struct {
	ctx            context.Context
	p              *cliopt.Parsed
	what           string // the command's long option
	cmd            command
	xml            *cibdoc.Node
	cib            cibclient.Client
	stdin          io.Reader
	stdout, stderr io.Writer
}

// Run is the tool's entry.
func Run(ctx context.Context, name string, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	p, err := spec.Parse(args)
	if err == nil && len(p.Operands) > 0 && !p.Has("empty") {
		err = fmt.Errorf("%q is no option, and cibadmin takes nothing else", p.Operands[0])
	}
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n\n%s", name, err, spec.Help())
		return int(exitcode.Usage)
	}
	switch {
	case p.Has("help"):
		fmt.Fprint(stdout, spec.Help())
		return 0
	case p.Has("version"):
		fmt.Fprint(stdout, output.VersionText)
		return 0
	case p.Has("features"):
		fmt.Fprint(stdout, featuresText)
		return 0
	}
	c := &call{ctx: ctx, p: p, stdin: stdin, stdout: stdout, stderr: stderr}
	for _, g := range p.Given {
		if _, ok := commands[g.Long]; ok {
			c.what = g.Long
		}
	}
	if c.what == "" && p.Has("show-access") {
		c.what = "query"
	}
	if c.what == "" {
		return c.usage("no command given: choose one of --query, --create, --modify, --replace, --delete, --patch, --bump, --erase, --upgrade or --empty")
	}
	c.cmd = commands[c.what]
	if c.cmd.op != 0 {
		c.cmd.name = c.cmd.op.String()
	}
	if (c.cmd.dangerous || p.Has("no-bcast")) && !p.Has("force") {
		fmt.Fprint(stderr, dangerous)
		return int(exitcode.Unsafe)
	}
	if status := c.input(); status != 0 {
		return int(status)
	}
	return int(c.run())
}

func (c *call) usage(text string) int {
	fmt.Fprintf(c.stderr, "cibadmin: %s; see cibadmin --help\n", text)
	return int(exitcode.Usage)
}

// input reads the XML that the command works with, as far as it is XML at all
// (cib 10.3).
func (c *call) input() exitcode.Code {
	var b []byte
	var err error
	source := ""
	switch {
	case c.p.Has("xml-text"):
		b, source = []byte(c.p.Value("xml-text")), "input string"
	case c.p.Has("xml-file"):
		source = c.p.Value("xml-file")
		b, err = os.ReadFile(source)
	case c.p.Has("xml-pipe"):
		source = "STDIN"
		b, err = io.ReadAll(c.stdin)
	case c.what == "md5-sum" || c.what == "md5-sum-versioned":
		fmt.Fprintln(c.stderr, "Please supply XML to process with -X, -x or -p")
		return exitcode.Usage
	default:
		return 0
	}
	if err == nil {
		c.xml, err = cibdoc.ParseRecover(b)
	}
	if err != nil {
		fmt.Fprintf(c.stderr, "Couldn't parse input from %s.\n", source)
		return exitcode.Config
	}
	return 0
}

// run performs the commands that need no CIB, or opens it for the others.
func (c *call) run() exitcode.Code {
	switch c.what {
	case "empty":
		root := cibdoc.Empty(1).Root().Shallow()
		if s := c.p.Value("empty"); s != "" {
			root.SetAttr("validate-with", s)
		}
		c.print(root)
		return 0
	case "md5-sum":
		fmt.Fprint(c.stderr, "Digest: ")
		fmt.Fprintln(c.stdout, cibdoc.DiskDigest(c.xml))
		return 0
	case "md5-sum-versioned":
		fmt.Fprintf(c.stderr, "Versioned (%s) digest: ", cmp.Or(c.xml.Attr("crm_feature_set"), "(null)"))
		fmt.Fprintln(c.stdout, cibdoc.Digest(c.xml))
		return 0
	}
	var err error
	if c.cib, err = cibclient.OpenWith(c.ctx, cibclient.Options{Stdin: c.stdin, Upgrade: c.what == "upgrade"}); err != nil {
		return c.noConnection(err)
	}
	var status exitcode.Code
	if c.what == "query" {
		status = c.query()
	} else {
		status = c.apply()
	}
	if err := c.cib.Close(); err != nil {
		fmt.Fprintf(c.stderr, "Call failed: %s\n", err)
		return cibclient.ExitCode(err)
	}
	return status
}

func (c *call) print(n *cibdoc.Node) {
	if _, err := c.stdout.Write(n.Print()); err != nil {
		fmt.Fprintf(c.stderr, "cibadmin: %v\n", err)
	}
}

func (c *call) noConnection(err error) exitcode.Code {
	fmt.Fprintf(c.stderr, "Could not connect to the CIB: %s\nInit failed, could not perform requested operations\n", cibdoc.RCOf(err).Error())
	if detail := err.Error(); c.p.Has("verbose") {
		fmt.Fprintf(c.stderr, "%s\n", detail)
	}
	return cibclient.ExitCode(err)
}

func (c *call) timeout() time.Duration {
	n, err := strconv.Atoi(c.p.Value("timeout"))
	if err != nil || n <= 0 {
		n = 30
	}
	return time.Duration(n) * time.Second
}

// section is the scope; an XPath takes its place (clients 2.1).
func (c *call) section() (text string, isXPath bool) {
	if c.p.Has("xpath") {
		return c.p.Value("xpath"), true
	}
	return c.p.Value("scope"), false
}

func (c *call) query() exitcode.Code {
	if c.p.Has("show-access") {
		return c.showAccess()
	}
	ctx, cancel := context.WithTimeout(c.ctx, c.timeout())
	defer cancel()
	section, isXPath := c.section()
	resp, err := c.cib.Query(ctx, &cibv1.QueryRequest{
		Section: section, Xpath: isXPath, User: c.p.Value("user"),
		NoChildren: c.p.Has("no-children"), XpathPath: c.p.Has("node-path"),
	})
	if err == nil {
		err = cibclient.Err(resp)
	}
	if err != nil {
		return c.failed(err, nil)
	}
	n, err := cibdoc.ParseNode(resp.GetXml())
	if err != nil {
		return c.failed(err, nil)
	}
	if isXPath && c.p.Has("node-path") {
		for m := range n.Elements() {
			fmt.Fprintln(c.stdout, m.ID())
		}
		return 0
	}
	c.print(n)
	return 0
}

func (c *call) apply() exitcode.Code {
	if c.cmd.input && c.xml == nil && !(c.cmd.orXPath && c.p.Has("xpath")) {
		status := c.failed(cibdoc.Fail(cibdoc.RCInvalid, "--%s needs XML", c.what), nil)
		fmt.Fprintf(c.stderr, "--%s needs XML: give it by --xml-text, --xml-file or --xml-pipe\n", c.what)
		return status
	}
	if node := c.p.Value("node") + c.p.Value("host"); node != "" && c.cib.Live() {
		fmt.Fprintf(c.stderr, "Call failed: changes go to all nodes: --node %s is possible with --query only\n", node)
		return exitcode.Protocol
	}
	section, isXPath := c.section()
	if c.cmd.op == ops.Create {
		isXPath = false // to a create an XPath is a section that nobody knows (cib 4.2)
	}
	ch := &cibv1.Change{Op: cibv1.Op(c.cmd.op), Section: section, Xpath: isXPath, CanCreate: c.p.Has("allow-create"), DeleteAll: c.what == "delete-all"}
	if c.xml != nil {
		ch.Xml = c.xml.Bytes()
	}
	ctx, cancel := context.WithTimeout(c.ctx, c.timeout()+5*time.Second)
	defer cancel()
	req := &cibv1.ApplyRequest{
		Changes: []*cibv1.Change{ch}, Client: "cibadmin",
		User: c.p.Value("user"), TimeoutMs: c.timeout().Milliseconds(),
	}
	if c.p.Has("dry-run") {
		return c.dryRun(ctx, req)
	}
	return c.send(ctx, req)
}

// send has the change made and shows the answer.
func (c *call) send(ctx context.Context, req *cibv1.ApplyRequest) exitcode.Code {
	resp, err := c.cib.Apply(ctx, req)
	var payload *cibdoc.Node
	if err == nil {
		err = cibclient.Err(resp)
		if len(resp.GetXml()) > 0 {
			n, perr := cibdoc.ParseNode(resp.GetXml())
			if perr != nil {
				return c.failed(perr, nil)
			}
			payload = n
		}
	}
	if err != nil {
		return c.failed(err, payload)
	}
	if payload != nil {
		c.print(payload)
	}
	return 0
}

// failed says what went wrong, in the words of cib 14.
func (c *call) failed(err error, payload *cibdoc.Node) exitcode.Code {
	rc := cibdoc.RCOf(err)
	if rc == cibdoc.RCSchemaLatest {
		if c.cib.Live() { // on a file the reference says nothing
			fmt.Fprintf(c.stdout, "Upgrade unnecessary: %s\n", rc.Error())
		}
		return 0
	}
	direct := !c.cib.Live() || c.p.Has("sync-call")
	refused := payload
	if payload != nil && rc == cibdoc.RCSchema && direct {
		c.dump(payload)
		payload = nil
	}
	if direct {
		fmt.Fprintf(c.stderr, "Call failed: %s\n", rc.Error())
	} else {
		fmt.Fprintf(c.stderr, "Call %s failed: %s\n", c.cmd.name, rc.Error())
	}
	c.explain(err, rc, refused)
	if payload != nil {
		c.print(payload)
	}
	return cibclient.ExitCode(err)
}

// explain says what the code does not: where a refused document is wrong and
// what would be valid there, by the lines of the document as it is shown.
func (c *call) explain(err error, rc cibdoc.RC, refused *cibdoc.Node) {
	if rc == cibdoc.RCSchema && refused != nil && c.explains() {
		if doc, err := cibdoc.Parse(refused.Print()); err == nil {
			problems := schema.Validate(doc)
			for _, p := range problems {
				fmt.Fprintf(c.stderr, "  %s\n", p)
			}
			if len(problems) > 0 {
				return
			}
		}
	}
	if f, ok := errors.AsType[*cibdoc.Failure](err); ok && f.Detail != "" && f.Detail != rc.Error() && (c.cib.Live() || c.p.Has("verbose")) {
		fmt.Fprintf(c.stderr, "  %s\n", f.Detail)
	}
}

// dump shows a refused document with line numbers (cib 8.2).
func (c *call) dump(n *cibdoc.Node) {
	line := 1
	start := 0
	text := n.Print()
	for i, ch := range text {
		if ch == '\n' {
			fmt.Fprintf(c.stderr, "%4d %s\n", line, text[start:i])
			line, start = line+1, i+1
		}
	}
	fmt.Fprintf(c.stderr, "%4d \n", line)
}
