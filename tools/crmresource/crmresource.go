// Package crmresource is crm_resource: questions and orders about resources
// (clients 2.3).
package crmresource

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"time"

	"github.com/beevik/etree"

	"linuxha/cib/cibdoc"
	"linuxha/internal/cibclient"
	"linuxha/internal/cliopt"
	"linuxha/internal/exitcode"
	"linuxha/internal/interval"
	"linuxha/pengine/state"
	"linuxha/pengine/status"
	cibv1 "linuxha/proto/cib/v1"
	"linuxha/tools/output"
)

// session is one run of the tool.
type session struct {
	ctx     context.Context
	name    string
	args    []string
	command string // the option that says what to do
	p       *cliopt.Parsed
	out     io.Writer
	stderr  io.Writer
	rsc     string
	node    string
	force   bool
	quiet   bool
	role    state.Role // Promoted with --promoted
	timeout time.Duration

	logged bool // the model's errors were printed

	client  cibclient.Client // opened on first use
	body    []*output.Element
	oldMeta bool // an old spelling names what is a meta attribute now
}

// failure is a result other than success: what is printed, and the exit status.
type failure struct {
	code exitcode.Code
	text string // "" if all was said already
}

func (f *failure) Error() string { return f.text }

func failf(code exitcode.Code, format string, a ...any) error {
	return &failure{code: code, text: fmt.Sprintf(format, a...)}
}

// Run is the tool's entry.
func Run(ctx context.Context, name string, args []string, _ io.Reader, stdout, stderr io.Writer) int {
	p, exit, done := output.Begin(spec, name, args, stdout, stderr)
	if done {
		return exit
	}
	s, err := newSession(ctx, name, args, p, stdout, stderr)
	if err != nil {
		return output.Refuse(p, name, args, err, stdout, stderr)
	}
	var cancel context.CancelFunc
	s.ctx, cancel = context.WithTimeout(ctx, s.limit())
	defer cancel()
	xml := p.Value("output-as") == "xml"
	if xml {
		s.out = &bytes.Buffer{} // text is for people; the frame carries the rest
	}
	code, text := exitcode.OK, ""
	if err := errors.Join(commands[s.command].do(s), s.close()); err != nil {
		code, text = explain(err)
		switch {
		case text == "":
			text = "Error performing operation: " + code.Text()
		case code != exitcode.Usage && code != exitcode.OK:
			text += "\nError performing operation: " + code.Text()
		}
	}
	if text != "" && code != exitcode.OK {
		text = name + ": " + text
	}
	if xml {
		var errs []string
		if text != "" {
			errs = []string{text}
		}
		if err := output.Result(stdout, name, args, code, errs, s.body...); err != nil {
			return int(exitcode.IOErr)
		}
		return int(code)
	}
	if text != "" {
		fmt.Fprintln(stderr, text)
	}
	return int(code)
}

func newSession(ctx context.Context, name string, args []string, p *cliopt.Parsed, stdout, stderr io.Writer) (*session, error) {
	s := &session{
		ctx: ctx, name: name, args: args, p: p, out: stdout, stderr: stderr,
		rsc: p.Value("resource"), node: p.Value("node"), force: p.Has("force"), quiet: p.Has("quiet"),
		command: "list",
	}
	if s.node == "" {
		s.node = p.Value("host-uname")
	}
	if p.Has("promoted") || p.Has("master") {
		s.role = state.Promoted
	}
	if v := p.Value("timeout"); v != "" {
		d, ok := interval.Parse(v)
		if !ok || d <= 0 {
			return nil, fmt.Errorf("bad value %q for --timeout: give a time such as 60s", v)
		}
		s.timeout = d
	}
	for _, g := range p.Given {
		if _, ok := commands[g.Long]; ok {
			s.command = g.Long
		}
	}
	if s.command == "delete" && p.Has("set-parameter") && !p.Has("parameter-value") {
		// Heartbeat 2.1 wrote so to delete a parameter: never the resource.
		s.command = "delete-parameter"
	}
	c := commands[s.command]
	if s.command != "digests" && !c.runs {
		if err := output.NoOperands(p.Operands); err != nil {
			return nil, err
		}
	}
	for _, w := range p.Operands {
		if !strings.Contains(w, "=") {
			return nil, fmt.Errorf("argument '%s': write overrides as name=value", w)
		}
	}
	described := p.Has("class") || p.Has("agent") || p.Has("provider")
	switch {
	case described && s.rsc != "":
		return nil, errors.New("--resource cannot be used with --class, --agent, and --provider")
	case described && !c.runs:
		return nil, errors.New("--class, --agent, and --provider can only be used with --validate and --force-*")
	case s.rsc == "" && !p.Has("resource") && (c.rsc || c.runs && !described || s.command == "clear" && !p.Has("expired")):
		return nil, errors.New("Must supply a resource id with -r")
	case p.Has("expired") && s.command != "clear":
		return nil, errors.New("--expired requires --clear or -U")
	case s.command == "digests" && s.node == "":
		return nil, errors.New("Must supply a node name with -N")
	case s.command == "cleanup" && p.Has("operation") && s.rsc == "", s.command == "cleanup" && p.Has("interval") && !p.Has("operation"):
		return nil, errors.New("--operation needs --resource, and --interval needs --operation")
	}
	return s, nil
}

// callTimeout bounds what only asks daemons.
const callTimeout = 60 * time.Second

// limit is how long the whole run may take, so that none hangs.
func (s *session) limit() time.Duration {
	switch {
	case s.command != "wait" && s.command != "restart":
		return max(callTimeout, s.timeout+callTimeout)
	case s.timeout > 0:
		return s.timeout + callTimeout // to put things back after the wait
	}
	return defaultWait + callTimeout
}

// explain maps an error to the exit status and the text for people.
func explain(err error) (exitcode.Code, string) {
	if f, ok := errors.AsType[*failure](err); ok {
		return f.code, f.text
	}
	code, text := output.FromRPC(err)
	if code == exitcode.Disconnect {
		text = "Error connecting to the controller: " + text + "\nError performing operation: Not connected"
	}
	return code, text
}

// close ends the use of the CIB; a file is written now, which can fail.
func (s *session) close() error {
	if s.client == nil {
		return nil
	}
	return s.client.Close()
}

func (s *session) cib() (cibclient.Client, error) {
	if s.client != nil {
		return s.client, nil
	}
	c, err := cibclient.OpenWith(s.ctx, cibclient.InFile(s.p.Value("xml-file")))
	if err != nil {
		if errors.Is(err, syscall.ENOTCONN) {
			return nil, failf(exitcode.Disconnect, "Could not connect to the CIB: Transport endpoint is not connected")
		}
		return nil, &failure{code: cibclient.ExitCode(err), text: err.Error()}
	}
	s.client = c
	return c, nil
}

// document is the whole CIB as of now.
func (s *session) document() (*etree.Element, []byte, error) {
	c, err := s.cib()
	if err != nil {
		return nil, nil, err
	}
	resp, err := c.Query(s.ctx, &cibv1.QueryRequest{})
	if err != nil {
		return nil, nil, err
	}
	if resp.Rc != 0 {
		return nil, nil, s.refused(resp)
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(resp.Xml); err != nil {
		return nil, nil, err
	}
	return doc.Root(), resp.Xml, nil
}

// model is the CIB with what its history means.
func (s *session) model() (*state.Cluster, *etree.Element, error) {
	doc, raw, err := s.document()
	if err != nil {
		return nil, nil, err
	}
	c, err := status.Load(raw, time.Now())
	if err != nil {
		return nil, nil, failf(exitcode.Config, "%v", err)
	}
	if output.LogsToStderr() && !s.logged {
		s.logged = true
		for _, n := range c.Notes {
			if n.Severity == state.Error && n.From != "" {
				fmt.Fprintln(s.stderr, output.LogLine(n.From, "error", n.Text))
			}
		}
	}
	if s.command == "move" || s.command == "ban" {
		return c, doc, nil // they have to say other things first
	}
	return c, doc, s.checkNode(c)
}

// resource is the resource asked for, in a fresh model.
func (s *session) resource() (*state.Cluster, *state.Resource, *etree.Element, error) {
	c, doc, err := s.model()
	if err != nil {
		return nil, nil, nil, err
	}
	r := find(c, s.rsc)
	if r == nil {
		return nil, nil, nil, s.notFound()
	}
	return c, r, doc, nil
}

func (s *session) notFound() error { return failf(exitcode.NoSuch, "Resource '%s' not found", s.rsc) }

// find is the resource with that id: as configured, or an instance's. The
// child of a clone stands for its first instance.
func find(c *state.Cluster, id string) *state.Resource {
	if r := c.Resource(id); r != nil {
		return r
	}
	if all := named(c, id); len(all) > 0 {
		return all[0]
	}
	return nil
}

// named are the resources that go by the id; instances of the child of a clone
// share one.
func named(c *state.Cluster, id string) []*state.Resource {
	if r := c.Resource(id); r != nil {
		return []*state.Resource{r}
	}
	var out []*state.Resource
	state.Each(c.Resources, func(r *state.Resource) {
		if status.GoesBy(r, id) {
			out = append(out, r)
		}
	})
	return out
}

// apply changes the CIB on behalf of this tool.
func (s *session) apply(changes ...*cibv1.Change) error {
	c, err := s.cib()
	if err != nil {
		return err
	}
	resp, err := c.Apply(s.ctx, &cibv1.ApplyRequest{Changes: changes, Client: s.name})
	if err != nil {
		return err
	}
	if resp.Rc != 0 {
		return s.refused(resp)
	}
	return nil
}

// refused is the failure of a request to the CIB.
func (s *session) refused(a interface {
	GetRc() int32
	GetError() string
},
) error {
	err := cibclient.Err(a)
	if rc := cibdoc.RCOf(err); rc == cibdoc.RCPermission || rc == cibdoc.RCAccess {
		return &failure{code: exitcode.InsufficientPriv}
	}
	return &failure{code: cibclient.ExitCode(err), text: a.GetError()}
}

func xmlOf(e *etree.Element) []byte {
	doc := etree.NewDocument()
	doc.SetRoot(e.Copy())
	// Writing to memory does not fail.
	b, _ := doc.WriteToBytes()
	return b
}

func (s *session) say(format string, a ...any) { fmt.Fprintf(s.out, format+"\n", a...) }

// tell is say unless --quiet is given.
func (s *session) tell(format string, a ...any) {
	if !s.quiet {
		s.say(format, a...)
	}
}

// role is "Started" or, with --promoted, "Promoted".
func (s *session) roleText() string {
	if s.role == state.Promoted {
		return "Promoted"
	}
	return "Started"
}

func (s *session) checkNode(c *state.Cluster) error {
	if s.node != "" && c.NodeByName(s.node) == nil {
		return failf(exitcode.NoSuch, "Node '%s' not found", s.node)
	}
	return nil
}
