// Package crmverify is crm_verify: is a configuration valid, and would the
// scheduler make sense of it (clients 2.11, cib 10.2).
package crmverify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
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

// result is what a check found.
type result struct {
	errors, warnings []string
	logged           []string // what is no fault, but is told under -V
	code             exitcode.Code
	summary          string
}

// Run is the tool's entry.
func Run(ctx context.Context, name string, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	p, exit, done := output.Begin(spec, name, args, stdout, stderr)
	if done {
		return exit
	}
	verbose := p.Count("verbose")
	var r result
	cib, origin, err := source(ctx, p, stdin)
	if err != nil {
		r.code, r.summary = sourceError(err)
	} else {
		r = check(cib, origin, stderr)
	}
	if file := p.Value("save-xml"); file != "" && err == nil {
		if werr := os.WriteFile(file, cib, 0o600); werr != nil {
			r.code, r.summary = exitcode.CantCreate, werr.Error()
		}
	}
	all := append(append([]string{}, r.errors...), r.warnings...)
	if p.Value("output-as") == "xml" {
		var errs []string
		if verbose > 0 {
			errs = all
		}
		if err := output.Result(stdout, name, args, r.code, errs); err != nil {
			return int(exitcode.IOErr)
		}
		return int(r.code)
	}
	if verbose > 0 {
		for _, l := range r.logged {
			fmt.Fprintln(stderr, l)
		}
		for _, e := range r.errors {
			fmt.Fprintf(stderr, "%s\n", e)
		}
		for _, w := range r.warnings {
			fmt.Fprintf(stderr, "%s\n", w)
		}
	}
	if r.summary != "" {
		fmt.Fprintf(stderr, "%s: %s\n", name, r.summary)
		if verbose == 0 && err == nil && len(all) > 0 {
			fmt.Fprintln(stderr, "-V may provide more details")
		}
	}
	return int(r.code)
}

var (
	errNoSource = errors.New("No configuration source specified. Use --help for usage information.")
	errNoLive   = errors.New("CIB query failed: Input file not available")
)

func sourceError(err error) (exitcode.Code, string) {
	switch {
	case errors.Is(err, errNoSource):
		return exitcode.Error, err.Error()
	case errors.Is(err, errNoLive):
		return exitcode.NoInput, err.Error()
	}
	return exitcode.Error, err.Error()
}

// source is the configuration to check, and its name for messages.
func source(ctx context.Context, p *cliopt.Parsed, stdin io.Reader) (cib []byte, origin string, err error) {
	switch {
	case p.Has("live-check"):
		c, err := cibclient.Open(ctx)
		if err != nil {
			return nil, "", errNoLive
		}
		defer c.Close()
		resp, err := c.Query(ctx, &cibv1.QueryRequest{})
		if err == nil {
			err = cibclient.Err(resp)
		}
		if err != nil {
			return nil, "", fmt.Errorf("CIB query failed: %w", err)
		}
		return resp.Xml, "live", nil
	case p.Has("xml-file"):
		b, err := os.ReadFile(p.Value("xml-file"))
		if err != nil {
			return nil, "", fmt.Errorf("Couldn't parse input file: %w", err)
		}
		return b, p.Value("xml-file"), nil
	case p.Has("xml-text"):
		return []byte(p.Value("xml-text")), "(text)", nil
	case p.Has("xml-pipe"):
		b, err := io.ReadAll(stdin)
		return b, "(stdin)", err
	}
	return nil, "", errNoSource
}

// oldest is the schema that the scheduler's language begins with.
const oldest = "pacemaker-3.0"

// check judges a configuration: its form first, whether it can be brought to a
// language that the scheduler reads, then what the scheduler says. plain takes
// what the reference prints in any case (cib 10.2).
func check(cib []byte, origin string, plain io.Writer) result {
	root, err := cibdoc.ParseNode(cib)
	if err != nil {
		code := exitcode.Config
		if !bytes.Contains(cib, []byte("<")) {
			code = exitcode.Error // there is nothing to check
		}
		return result{code: code, errors: []string{fmt.Sprintf("%s: %v", origin, err)}, summary: fmt.Sprintf("Couldn't parse %s: %v", origin, err)}
	}
	if root.Tag != "cib" {
		return result{code: exitcode.Protocol, summary: "This tool can only check complete configurations (i.e. those starting with <cib>)."}
	}
	if root.Child("status") == nil {
		root.Add(cibdoc.E("status")) // the scheduler wants one (cib 10.2)
	}
	var r result
	doc := cibdoc.New(root)
	if r.form(doc, origin); len(r.errors) == 0 {
		if doc = r.current(doc, plain); doc != nil {
			r.schedule(doc)
		}
	}
	switch {
	case len(r.errors) > 0:
		r.code, r.summary = exitcode.Config, "Errors found during check: config not valid"
	case len(r.warnings) > 0:
		r.code, r.summary = exitcode.Config, "Warnings found during check: config may not be valid"
	}
	return r
}

// form checks a document against its schema. What the reference says is
// followed by what would be valid.
func (r *result) form(doc *cibdoc.Doc, origin string) {
	for _, p := range schema.Validate(doc) {
		r.errors = append(r.errors, p.ReferenceLines(origin)...)
		r.errors = append(r.errors, fmt.Sprintf("%s:%d: element %s: validity error : %s", origin, p.Line, named(p), p.Text))
	}
	if len(r.errors) > 0 {
		r.errors = append(r.errors, output.Logged("main", "error", "CIB did not pass schema validation"))
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
func (r *result) current(doc *cibdoc.Doc, plain io.Writer) *cibdoc.Doc {
	claimed, named := doc.Root().Get("validate-with")
	if !named || claimed == "none" {
		fmt.Fprintln(plain, "Schema validation of configuration is disabled (enabling is encouraged and prevents common misconfigurations)")
		return doc
	}
	if v, known := schema.Lookup(claimed); known && v.AtLeast(3, 0) {
		return doc
	}
	out, err := schema.UpgradeWith(doc, schema.UpgradeOptions{Report: func(m schema.Message) {
		switch {
		case m.Problem != nil:
			r.errors = append(r.errors, output.Logged("xml_log", "error", m.Problem.String()))
		case m.From == "":
			fmt.Fprintln(plain, m.Text)
		case m.Level == "error":
			r.errors = append(r.errors, output.Logged(m.From, m.Level, m.Text))
		}
	}})
	if err == nil && schema.Index(out.Root().Attr("validate-with")) >= schema.Index(oldest) {
		r.errors = nil // what was tried on the way
		return out
	}
	reached := claimed
	if err == nil {
		reached = out.Root().Attr("validate-with")
	}
	fmt.Fprintf(plain, "Cannot upgrade configuration (claiming schema %s) to at least %s because it would not upgrade past %s\n", claimed, oldest, reached)
	r.errors = append(r.errors, fmt.Sprintf("The cluster will NOT be able to use this configuration.\nPlease manually update the configuration to conform to the %s syntax.", cibdoc.LatestSchema))
	return nil
}

// schedule adds what the scheduler has against the configuration.
func (r *result) schedule(doc *cibdoc.Doc) {
	plan, err := schedule.Schedule(schedule.Input{CIB: doc.Bytes(), Now: time.Now(), Explain: true})
	if err != nil {
		r.errors = append(r.errors, err.Error())
		return
	}
	for _, n := range plan.Notes {
		switch n.Severity {
		case schedule.Error:
			r.errors = append(r.errors, output.Logged(n.From, "error", n.Text))
		case schedule.Warning:
			r.warn(output.Logged(n.From, "warning", n.Text))
		}
	}
	for _, w := range deprecated(doc) {
		r.warn(w)
	}
	// What runs without being configured, and who has to be fenced, are faults of
	// the whole to the reference (cib 10.2).
	state.EachLeaf(plan.Cluster.Resources, func(rsc *state.Resource) {
		if rsc.Orphan {
			for _, n := range rsc.Active {
				r.warn(output.Logged("process_rsc_state", "warning", fmt.Sprintf("Detected active orphan %s running on %s", rsc.ID, n.Name)))
			}
		}
	})
	for _, l := range plan.Cluster.Why.Logs {
		line := output.Logged(l.From, "warning", l.Text)
		if l.Severity == schedule.Warning && l.From == "schedule_fencing" {
			r.warn(line)
			continue
		}
		if l.Severity == schedule.Warning && !slices.Contains(r.warnings, line) && !slices.Contains(r.logged, line) {
			r.logged = append(r.logged, line)
		}
	}
}

func (r *result) warn(w string) {
	if !slices.Contains(r.warnings, w) {
		r.warnings = append(r.warnings, w)
	}
}
