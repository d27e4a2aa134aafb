// Package crmverify is crm_verify: is a configuration valid, and would the
// scheduler make sense of it (clients 2.11, cib 10.2).
package crmverify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"linuxha/cib/cibdoc"
	"linuxha/cib/schema"
	"linuxha/internal/cibclient"
	"linuxha/internal/cliopt"
	"linuxha/internal/exitcode"
	"linuxha/pengine/schedule"
	"linuxha/pengine/state"
	cibv1 "linuxha/proto/cib/v1"
	"linuxha/tools/output"
)

var spec = &cliopt.Spec{
	Tool: "crm_verify", Synopsis: "[OPTION...]", Summary: "check a Pacemaker configuration for errors\n\nCheck the well-formedness of a complete Pacemaker XML configuration, its conformance to the configured schema, and for the presence of common misconfigurations.",
	Options: append([]cliopt.Option{
		{Short: 'h', Long: "help", Help: "show help options"},
		{Short: 'L', Long: "live-check", Help: "check the configuration used by the running cluster", Group: "Data sources"},
		{Short: 'x', Long: "xml-file", Arg: cliopt.RequiredArg, Name: "FILE", Help: "check the configuration in the named file", Group: "Data sources"},
		{Short: 'p', Long: "xml-pipe", Help: "check the configuration piped in via stdin", Group: "Data sources"},
		{Short: 'X', Long: "xml-text", Arg: cliopt.RequiredArg, Name: "XML", Help: "check the configuration in the supplied string", Group: "Data sources"},
		{Short: 'S', Long: "save-xml", Arg: cliopt.RequiredArg, Name: "FILE", Help: "save verified XML to named file (most useful with -L)", Group: "Additional options"},
	}, output.Common("text, xml")...),
}

// line is something to tell: with From it is an entry of the log.
type line struct {
	state.Note
	plain bool // told without -V, too
}

// result is what a check found.
type result struct {
	lines            []line // in the order in which it was found
	errors, warnings int    // faults of the configuration
	code             exitcode.Code
	summary          string
}

func (r *result) plain(text string) {
	r.lines = append(r.lines, line{Note: state.Note{Severity: state.Error, Text: text}, plain: true})
}

func (r *result) fault(from, text string) {
	r.errors++
	r.lines = append(r.lines, line{Note: state.Note{Severity: state.Error, From: from, Text: text}})
}

// Run is the tool's entry.
func Run(ctx context.Context, name string, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	p, exit, done := output.Begin(spec, name, args, stdout, stderr)
	if done {
		return exit
	}
	verbose := p.Count("verbose")
	var r result
	cib, from, err := source(ctx, p, stdin)
	if err != nil {
		r.code, r.summary = sourceError(err)
		if from.name != "" && errors.Is(err, fs.ErrNotExist) {
			why := fmt.Sprintf("failed to load external entity \"%s\"", from.name)
			r.fault("log_xmllib_err", "XML Error: I/O warning : "+why)
			r.fault("filename2xml", "Parsing failed (domain=8, level=1, code=1549): "+why)
			r.fault("filename2xml", "Couldn't parse "+from.name)
		}
	} else {
		r = check(cib, from)
	}
	if file := p.Value("save-xml"); file != "" && err == nil {
		if werr := os.WriteFile(file, cib, 0o600); werr != nil {
			r.code, r.summary = exitcode.CantCreate, werr.Error()
		}
	}
	r.print(stderr, verbose)
	if r.summary != "" {
		fmt.Fprintf(stderr, "%s: %s\n", name, r.summary)
		if verbose == 0 && err == nil && r.errors+r.warnings > 0 {
			fmt.Fprintln(stderr, "-V may provide more details")
		}
	}
	// What was found stands on stderr in either form: the result has the verdict.
	if p.Value("output-as") == "xml" {
		if err := output.Result(stdout, name, args, r.code, nil); err != nil {
			return int(exitcode.IOErr)
		}
	}
	return int(r.code)
}

// severities are what each -V adds: errors, warnings, notices and so on. Where
// the environment asks for the log, the first of them is told in any case.
var severities = []state.Severity{state.Error, state.Warning, state.Notice, state.Info, state.Debug, state.Trace}

var severityNames = map[state.Severity]string{
	state.Error: "error", state.Warning: "warning", state.Notice: "notice", state.Info: "info", state.Debug: "debug", state.Trace: "trace",
}

func (r *result) print(w io.Writer, verbose int) {
	if output.LogsToStderr() {
		verbose++
	}
	told := map[string]bool{}
	for _, l := range r.lines {
		text := l.Text
		if !l.plain {
			if verbose == 0 || l.Severity < severities[min(verbose, len(severities))-1] {
				continue
			}
			if l.From != "" {
				text = output.Logged(l.From, severityNames[l.Severity], text)
			}
		}
		if l.Once && told[text] {
			continue
		}
		told[text] = true
		fmt.Fprintln(w, text)
	}
}

var (
	errNoSource = errors.New("No configuration source specified.  Use --help for usage information.")
	errNoLive   = errors.New("CIB query failed: Input file not available")
)

// unread is that a configuration cannot be read, in the reference's words.
type unread struct {
	text  string
	cause error
}

func (e unread) Error() string { return e.text }
func (e unread) Unwrap() error { return e.cause }

func sourceError(err error) (exitcode.Code, string) {
	switch {
	case errors.Is(err, errNoSource):
		return exitcode.Error, err.Error()
	case errors.Is(err, errNoLive):
		return exitcode.NoInput, err.Error()
	}
	return exitcode.Error, err.Error()
}

// origin says where a configuration comes from.
type origin struct {
	name   string // in messages about its lines
	unread string // what is said if it cannot be read
	stdin  bool
}

// source is the configuration to check, and where it comes from.
func source(ctx context.Context, p *cliopt.Parsed, stdin io.Reader) ([]byte, origin, error) {
	switch {
	case p.Has("live-check"):
		c, err := cibclient.Open(ctx)
		if err != nil {
			return nil, origin{}, errNoLive
		}
		defer c.Close()
		resp, err := c.Query(ctx, &cibv1.QueryRequest{})
		if err == nil {
			err = cibclient.Err(resp)
		}
		if err != nil {
			return nil, origin{}, fmt.Errorf("CIB query failed: %w", err)
		}
		return resp.Xml, origin{"live", "Couldn't parse the cluster's configuration", false}, nil
	case p.Has("xml-file"):
		from := origin{p.Value("xml-file"), "Couldn't parse input file: " + p.Value("xml-file"), false}
		b, err := os.ReadFile(from.name)
		if err != nil {
			return nil, from, unread{from.unread, err}
		}
		return b, from, nil
	case p.Has("xml-text"):
		return []byte(p.Value("xml-text")), origin{schema.NoFile, "Couldn't parse input string: " + p.Value("xml-text"), false}, nil
	case p.Has("xml-pipe"):
		from := origin{schema.NoFile, "Couldn't parse input from STDIN.", true}
		b, err := io.ReadAll(stdin)
		return b, from, err
	}
	return nil, origin{}, errNoSource
}

// oldest is the schema that the scheduler's language begins with.
const oldest = "pacemaker-3.0"

// check judges a configuration: its form first, whether it can be brought to a
// language that the scheduler reads, then what the scheduler says.
func check(cib []byte, from origin) result {
	root, err := cibdoc.ParseNode(cib)
	if err != nil {
		var r result
		if !bytes.Contains(cib, []byte("<")) {
			return nothing(cib, from)
		}
		r.fault("", fmt.Sprintf("%s: %v", from.name, err))
		r.code, r.summary = exitcode.Config, fmt.Sprintf("%s: %v", from.unread, err)
		return r
	}
	if root.Tag != "cib" {
		return result{code: exitcode.Protocol, summary: "This tool can only check complete configurations (i.e. those starting with <cib>)."}
	}
	if root.Child("status") == nil {
		root.Add(cibdoc.E("status")) // the scheduler wants one (cib 10.2)
	}
	var r result
	doc := cibdoc.New(root)
	if r.form(doc, from.name); r.errors == 0 {
		if doc = r.current(doc); doc != nil {
			r.schedule(doc)
		}
	}
	switch {
	case r.errors > 0:
		r.code, r.summary = exitcode.Config, "Errors found during check: config not valid"
	case r.warnings > 0:
		r.code, r.summary = exitcode.Config, "Warnings found during check: config may not be valid"
	}
	return r
}

// nothing is the verdict on a text without an element, with what the
// reference's XML library says of it.
func nothing(text []byte, from origin) result {
	r := result{code: exitcode.Error, summary: from.unread}
	if from.stdin && len(text) == 0 {
		return r
	}
	why, code, lines := output.NoElement(string(text), from.name)
	for _, l := range lines {
		r.fault("log_xmllib_err", "XML Error: "+l)
	}
	if from.name != schema.NoFile {
		r.fault("filename2xml", fmt.Sprintf("Parsing failed (domain=1, level=3, code=%d): %s", code, why))
		r.fault("filename2xml", "Couldn't parse "+from.name)
	} else {
		r.log(state.Note{Severity: state.Warning, From: "string2xml", Text: fmt.Sprintf("Parsing failed (domain=1, level=3, code=%d): %s", code, why)})
	}
	r.errors = 0 // of a configuration; there is none
	return r
}

// form checks a document against its schema. What the reference says, -V or
// not, is followed by what would be valid.
func (r *result) form(doc *cibdoc.Doc, origin string) {
	for _, p := range schema.Validate(doc) {
		for _, l := range p.ReferenceLines(origin) {
			r.plain(l)
		}
		r.fault("", fmt.Sprintf("%s:%d: element %s: validity error : %s", origin, p.Line, named(p), p.Text))
	}
	if r.errors > 0 {
		r.fault("main", "CIB did not pass schema validation")
	}
}

func named(p schema.Problem) string {
	if p.ID == "" {
		return p.Element
	}
	return fmt.Sprintf("%s %q", p.Element, p.ID)
}

// current is the document in a language that the scheduler reads, nil if there
// is no way there.
func (r *result) current(doc *cibdoc.Doc) *cibdoc.Doc {
	claimed, named := doc.Root().Get("validate-with")
	if !named || claimed == "none" {
		r.plain("Schema validation of configuration is disabled (enabling is encouraged and prevents common misconfigurations)")
		return doc
	}
	if v, known := schema.Lookup(claimed); known && v.AtLeast(3, 0) {
		return doc
	}
	var tried result // on the way: no faults if it leads there
	out, err := schema.UpgradeWith(doc, schema.UpgradeOptions{Report: func(m schema.Message) {
		switch {
		case m.Problem != nil:
			tried.fault("xml_log", m.Problem.String())
		case m.From == "":
			r.plain(m.Text)
		case m.Level == "error":
			tried.fault(m.From, m.Text)
		}
	}})
	if err == nil && schema.Index(out.Root().Attr("validate-with")) >= schema.Index(oldest) {
		return out
	}
	reached := claimed
	if err == nil {
		reached = out.Root().Attr("validate-with")
	}
	r.lines = append(r.lines, tried.lines...)
	r.plain(fmt.Sprintf("Cannot upgrade configuration (claiming schema %s) to at least %s because it would not upgrade past %s", claimed, oldest, reached))
	r.fault("", fmt.Sprintf("The cluster will NOT be able to use this configuration.\nPlease manually update the configuration to conform to the %s syntax.", cibdoc.LatestSchema))
	return nil
}

// schedule adds what the scheduler has against the configuration, and the rest
// of its log.
func (r *result) schedule(doc *cibdoc.Doc) {
	plan, err := schedule.Schedule(schedule.Input{CIB: doc.Bytes(), Now: time.Now(), Explain: true})
	if err != nil {
		r.fault("", err.Error())
		return
	}
	for _, n := range plan.Notes {
		switch n.Severity {
		case schedule.Error:
			r.errors++
		case schedule.Warning:
			r.warnings++
		}
	}
	old := deprecated(doc)
	r.warnings += len(old.nodes) + len(old.rest)
	// What runs without being configured, and who has to be fenced, are faults of
	// the whole to the reference (cib 10.2).
	for _, l := range plan.Cluster.Why.Logs {
		if l.Severity == schedule.Warning && (l.From == "process_rsc_state" || l.From == "schedule_fencing") {
			r.warnings++
		}
		// Nodes are read once the options are.
		if l.From != "unpack_config" && l.From != "cluster_status" {
			r.log(old.nodes...)
			old.nodes = nil
		}
		r.log(l)
	}
	r.log(old.nodes...)
	r.log(old.rest...)
}

func (r *result) log(notes ...state.Note) {
	for _, n := range notes {
		r.lines = append(r.lines, line{Note: n})
	}
}
