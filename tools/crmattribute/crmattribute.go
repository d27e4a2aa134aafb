package crmattribute

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"linuxha/cib/cibdoc"
	"linuxha/internal/cibclient"
	"linuxha/internal/cliopt"
	"linuxha/internal/exitcode"
	"linuxha/tools/output"
)

// call is one use of a tool of the family.
type call struct {
	name   string
	args   []string
	p      *cliopt.Parsed
	xml    bool
	out    io.Writer
	stderr io.Writer

	text strings.Builder
	body []*output.Element
	errs []string
}

// Run is the entry of crm_attribute, crm_standby, crm_failcount and crm_master.
func Run(ctx context.Context, name string, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	tools := map[string]struct {
		spec *cliopt.Spec
		do   func(context.Context, *call) error
	}{
		"crm_attribute": {spec, attribute}, "crm_standby": {standbySpec, standby},
		"crm_failcount": {failcountSpec, failcount(stdin, stdout, stderr)}, "crm_master": {masterSpec, master},
	}
	tool, ok := tools[name]
	if !ok {
		tool = tools["crm_attribute"]
	}
	p, err := tool.spec.Parse(args)
	if err != nil {
		if code := output.Usage(stderr, name, err); name == "crm_attribute" || name == "crm_failcount" {
			return code
		}
		return int(exitcode.Error) // as these two always said it
	}
	switch {
	case p.Has("help"), p.Has("help-all"):
		fmt.Fprint(stdout, tool.spec.Help())
		return 0
	case p.Has("version"):
		fmt.Fprint(stdout, output.VersionText)
		return 0
	}
	c := &call{name: name, args: args, p: p, out: stdout, stderr: stderr}
	switch as := p.Value("output-as"); as {
	case "", "text":
	case "xml":
		c.xml = true
	default:
		return output.Usage(stderr, name, fmt.Errorf("unknown output format %q: use text or xml", as))
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	code := c.conclude(tool.do(ctx, c))
	if err := c.print(code); err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", name, err)
		return int(exitcode.IOErr)
	}
	return int(code)
}

// conclude maps an error to the exit status and the words for it.
func (c *call) conclude(err error) exitcode.Code {
	var f *failure
	switch {
	case err == nil:
		return exitcode.OK
	case errors.As(err, &f):
		if f.text != "" {
			c.errs = append(c.errs, f.text)
		}
		return f.code
	}
	if several, ok := errors.AsType[*ambiguous](err); ok {
		c.errs = append(c.errs, several.Error())
		c.text.WriteString(several.list())
		return exitcode.Multiple
	}
	if n, ok := errors.AsType[*notSet](err); ok {
		fmt.Fprintln(c.stderr, n)
	}
	code, text := output.FromRPC(err)
	if code == exitcode.Error { // no answer of gRPC: an error of the CIB
		code, text = cibclient.ExitCode(err), cibText(err)
	}
	c.errs = append(c.errs, "Error performing operation: "+text)
	return code
}

// cibText is the CIB's error in the words that clients know, with the detail
// where the words alone do not help.
func cibText(err error) string {
	rc := cibdoc.RCOf(err)
	f, ok := errors.AsType[*cibdoc.Failure](err)
	switch {
	case rc == cibdoc.RCError:
		return err.Error()
	case !ok || f.Detail == "" || rc == cibdoc.RCAccess || rc == cibdoc.RCNoSuch:
		return rc.Error()
	}
	return f.Error()
}

func (c *call) print(code exitcode.Code) error {
	errs := make([]string, len(c.errs))
	name := c.name
	if code != exitcode.Usage && (name == "crm_standby" || name == "crm_master" || name == "crm_failcount") {
		name = "crm_attribute" // which they stand for
	}
	for i, e := range c.errs {
		errs[i] = name + ": " + e
	}
	if c.xml {
		return output.Result(c.out, c.name, c.args, code, errs, c.body...)
	}
	for _, e := range errs {
		fmt.Fprintln(c.stderr, e)
	}
	_, err := io.WriteString(c.out, c.text.String())
	return err
}

// subject takes the options apart that say what is meant (clients 2.4).
func (c *call) subject() (subject, error) {
	sub := subject{
		section: value(c.p, "type"), node: value(c.p, "node", "node-uname", "uname"), name: value(c.p, "name", "attr-name"),
		set: value(c.p, "set-name"), id: value(c.p, "id", "attr-id"), utilization: has(c.p, "utilization"),
	}
	if sub.section == "" && has(c.p, "promotion") {
		sub.section = "status"
	}
	if has(c.p, "promotion") {
		rsc := value(c.p, "promotion")
		if rsc == "" {
			rsc = os.Getenv("OCF_RESOURCE_INSTANCE")
		}
		if rsc == "" {
			return sub, &failure{exitcode.Usage, "-p/--promotion must be called from an OCF resource agent or with a resource ID specified"}
		}
		sub.name = "master-" + rsc
	}
	if text, given := lookup(c.p, "pattern"); given {
		re, err := regexp.CompilePOSIX(text)
		if err != nil {
			return sub, &failure{exitcode.Usage, fmt.Sprintf("Invalid pattern %q: %v", text, err)}
		}
		sub.pattern, sub.name = re, ""
	}
	section, err := section(sub, value(c.p, "lifetime"))
	sub.section = section
	return sub, err
}

// section chooses the part of the CIB from type, node and lifetime.
func section(sub subject, lifetime string) (string, error) {
	switch lifetime {
	case "":
	case "reboot":
		return "status", nil
	case "forever":
		return "nodes", nil
	default:
		return "", &failure{exitcode.Usage, fmt.Sprintf("Invalid lifetime %q: use reboot or forever", lifetime)}
	}
	switch sub.section {
	case "crm_config", "rsc_defaults", "op_defaults", "nodes", "status", "tickets":
		return sub.section, nil
	case "":
		if sub.node != "" || sub.utilization {
			return "nodes", nil
		}
		return "crm_config", nil
	}
	return "", &failure{exitcode.Usage, fmt.Sprintf("Unknown type %q: use crm_config, rsc_defaults, op_defaults, tickets, nodes or status", sub.section)}
}

func attribute(ctx context.Context, c *call) (err error) {
	sub, err := c.subject()
	if err != nil {
		return err
	}
	// The last command given wins; none is a query.
	command := "query"
	for _, g := range c.p.Given {
		switch g.Long {
		case "query", "get-value":
			command = "query"
		case "update", "attr-value":
			command = "update"
		case "delete", "delete-attr":
			command = "delete"
		}
	}
	switch {
	case command != "query" && sub.pattern != nil && sub.section != "status":
		return &failure{exitcode.Usage, "Error: pattern can only be used with query, or with till-reboot update or delete"}
	case command != "query" && sub.name == "" && sub.pattern == nil && (command != "update" || sub.id == ""):
		return &failure{exitcode.Usage, "Error: must specify attribute name or pattern to " + command}
	}
	s, err := open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if sub.ofNode() {
		if err := s.locate(ctx, &sub); err != nil {
			return err
		}
	}
	if sub, err = s.current(ctx, sub); err != nil {
		return err
	}
	switch command {
	case "update":
		return s.update(ctx, sub, value(c.p, "update", "attr-value"))
	case "delete":
		return c.remove(ctx, s, sub)
	}
	return c.query(ctx, s, sub)
}

func (c *call) remove(ctx context.Context, s *store, sub subject) error {
	gone, err := s.remove(ctx, sub)
	kind := "option"
	if sub.section == "nodes" || sub.section == "status" {
		kind = "attribute"
	}
	for _, m := range gone {
		if sub.id != "" {
			m.id = "(null)" // as ever when the id was given
		}
		if has(c.p, "quiet", "quiet-old") {
			continue
		}
		set := ""
		if sub.set != "" {
			set = " set=" + sub.set
		}
		fmt.Fprintf(&c.text, "Deleted %s %s: id=%s%s name=%s\n", sub.section, kind, m.id, set, m.name)
	}
	return err
}

func (c *call) query(ctx context.Context, s *store, sub subject) error {
	found, err := s.find(ctx, sub)
	if err != nil {
		return err
	}
	byDefault, hasDefault := lookup(c.p, "default")
	switch {
	case len(found) == 0 && hasDefault:
		c.show(sub.section, sub.id, sub.name, byDefault)
		if sub.section == "status" {
			c.body[len(c.body)-1].Set("host", sub.node)
		}
		return nil
	case len(found) == 0:
		return &failure{exitcode.NoSuch, "Error performing operation: No such device or address"}
	case len(found) > 1 && sub.name != "":
		return &ambiguous{sub.name, found}
	}
	for _, m := range found {
		c.show(sub.section, sub.id, m.name, m.value)
	}
	return nil
}

// show tells a value; id is that of the nvpair if it was asked for.
func (c *call) show(scope, id, name, text string) {
	e := output.New("attribute", "name", name, "value", text, "scope", scope)
	shown := ""
	if id != "" {
		shown = "id=" + id
		e.Set("id", id)
	}
	if has(c.p, "quiet", "quiet-old") {
		fmt.Fprintln(&c.text, text)
	} else {
		fmt.Fprintf(&c.text, "scope=%s %s name=%s value=%s\n", scope, shown, name, text)
	}
	c.body = append(c.body, e)
}
