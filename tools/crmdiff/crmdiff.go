// Package crmdiff is crm_diff: the difference between two CIBs as a patch, and
// patches applied (clients 2.13, cib 5.6).
package crmdiff

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"linuxha/cib/cibdoc"
	"linuxha/cib/patch"
	"linuxha/internal/cliopt"
	"linuxha/internal/exitcode"
	"linuxha/tools/output"
)

var spec = &cliopt.Spec{
	Tool: "crm_diff", Synopsis: "[OPTION...] original_xml operation", Summary: "Compare two Pacemaker configurations (in XML format) to produce a custom diff-like output, or apply such an output as a patch",
	Options: []cliopt.Option{
		{Short: 'h', Long: "help", Help: "show help options"},
		{Short: '$', Long: "version", Help: "display software version and exit"},
		{Short: 'V', Long: "verbose", Help: "increase debug output (may be specified multiple times)"},
		{Long: "help-all", Help: "show all help options"},
		{Short: 'o', Long: "original", Arg: cliopt.RequiredArg, Name: "XML", Help: "XML is contained in the named file", Group: "Original XML"},
		{Short: 'O', Long: "original-string", Arg: cliopt.RequiredArg, Name: "XML", Help: "XML is contained in the supplied string", Group: "Original XML"},
		{Short: 'n', Long: "new", Arg: cliopt.RequiredArg, Name: "XML", Help: "compare the original XML to the contents of the named file", Group: "Operation"},
		{Short: 'N', Long: "new-string", Arg: cliopt.RequiredArg, Name: "XML", Help: "compare the original XML with the contents of the supplied string", Group: "Operation"},
		{Short: 'p', Long: "patch", Arg: cliopt.RequiredArg, Name: "XML", Help: "patch the original XML with the contents of the named file", Group: "Operation"},
		{Short: 'c', Long: "cib", Help: "compare/patch the inputs as a CIB (includes versions details)", Group: "Additional options"},
		{Short: 'u', Long: "no-version", Help: "generate the difference without versions details", Group: "Additional options"},
		{Short: 's', Long: "stdin", Help: "read both documents from standard input, one after the other", Group: "Additional options"},
	},
}

// Run is the tool's entry. It ends with 0 where there is no difference and with
// 1 where there is one.
func Run(_ context.Context, name string, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	p, err := spec.Parse(args)
	if err != nil {
		return output.Usage(stderr, name, err)
	}
	switch {
	case p.Has("help"), p.Has("help-all"):
		fmt.Fprint(stdout, spec.Help())
		return 0
	case p.Has("version"):
		fmt.Fprint(stdout, output.VersionText)
		return 0
	case p.Has("cib") && p.Has("no-version"):
		fmt.Fprintln(stderr, "error: -u/--no-version incompatible with -c/--cib")
		return int(exitcode.Usage)
	}
	code, err := run(p, stdin, stdout)
	if _, isInput := errors.AsType[*inputError](err); isInput {
		fmt.Fprintln(stderr, err)
	} else if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", name, err)
	}
	return int(code)
}

// inputError is that one of the two documents cannot be read: what is said of
// it has the reference's words, and the reason below them.
type inputError struct {
	which string // first, second
	cause error  // nil: it is missing
}

func (e *inputError) Error() string {
	text := "Could not parse the " + e.which + " XML fragment"
	if e.cause != nil {
		text += ": " + e.cause.Error()
	}
	return text
}

func run(p *cliopt.Parsed, stdin io.Reader, stdout io.Writer) (exitcode.Code, error) {
	in := inputs{p: p, stdin: stdin}
	old, err := in.document("original", "original-string")
	if err != nil {
		return exitcode.DataErr, err
	}
	if p.Has("patch") {
		if err := output.NoOperands(p.Operands); err != nil {
			return exitcode.Usage, err
		}
		return applied(p, in, old, stdout)
	}
	changed, err := in.document("new", "new-string")
	if err != nil {
		return exitcode.DataErr, err
	}
	if err := output.NoOperands(p.Operands); err != nil {
		return exitcode.Usage, err
	}
	if a, b := old.Root().Tag, changed.Root().Tag; a != b {
		return exitcode.DataErr, fmt.Errorf("<%s> and <%s> have nothing to compare: both documents have to begin with the same element", a, b)
	}
	opts := patch.Options{NoVersion: p.Has("no-version"), Digest: p.Has("cib")}
	if opts.NoVersion {
		e := changed.Edit()
		for _, field := range []string{"admin_epoch", "epoch", "num_updates"} {
			if v, ok := old.Root().Get(field); ok {
				e.Own(nil).SetAttr(field, v)
			}
		}
		changed = e.Doc()
	}
	if p.Has("cib") {
		e := changed.Edit()
		e.SetRoot(orderedAs(old.Root(), changed.Root()))
		changed = e.Doc()
	}
	create := patch.Create
	if patch.Legacy(old) {
		create = patch.CreateLegacy
	}
	diff := create(old, changed, opts)
	if diff == nil {
		return exitcode.OK, nil
	}
	if _, err := stdout.Write(diff.Print()); err != nil {
		return exitcode.IOErr, err
	}
	return exitcode.Error, nil
}

func applied(p *cliopt.Parsed, in inputs, old *cibdoc.Doc, stdout io.Writer) (exitcode.Code, error) {
	text, err := in.read(p.Value("patch"))
	if err != nil {
		return exitcode.DataErr, &inputError{"second", err}
	}
	diff, err := cibdoc.ParseNode(text)
	if err != nil {
		return exitcode.DataErr, &inputError{"second", err}
	}
	if p.Has("cib") {
		if err := patch.Check(old, diff); err != nil {
			return exitcode.Error, err
		}
	}
	result, err := patch.Apply(old, diff)
	if err != nil {
		return exitcode.Error, err
	}
	if _, err := stdout.Write(result.Root().Print()); err != nil {
		return exitcode.IOErr, err
	}
	return exitcode.OK, nil
}

// inputs are where the documents come from.
type inputs struct {
	p     *cliopt.Parsed
	stdin io.Reader
}

var which = map[string]string{"original": "first", "new": "second"}

func (in inputs) document(file, text string) (*cibdoc.Doc, error) {
	var b []byte
	var err error
	switch {
	case in.p.Has(text):
		b = []byte(in.p.Value(text))
	case in.p.Has(file):
		b, err = in.read(in.p.Value(file))
	case in.p.Has("stdin"):
		b, err = io.ReadAll(in.stdin)
	default:
		return nil, &inputError{which: which[file]}
	}
	if err != nil {
		return nil, &inputError{which[file], err}
	}
	n, err := cibdoc.ParseNode(b)
	if err != nil {
		return nil, &inputError{which[file], err}
	}
	return cibdoc.New(n), nil
}

func (in inputs) read(name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(in.stdin)
	}
	return os.ReadFile(name)
}

// orderedAs is n with the attributes of elements that differ from their
// counterpart in old only by order put in that order.
func orderedAs(old, n *cibdoc.Node) *cibdoc.Node {
	out := n.Bare()
	if sameSet(old.Attrs, n.Attrs) {
		out.Attrs = slices.Clone(old.Attrs)
	}
	for _, k := range n.Children {
		i := slices.IndexFunc(old.Children, func(o *cibdoc.Node) bool {
			return o.IsElement() && k.IsElement() && o.Tag == k.Tag && o.ID() == k.ID()
		})
		if i < 0 {
			out.Add(k)
		} else {
			out.Add(orderedAs(old.Children[i], k))
		}
	}
	return out
}

func sameSet(a, b []cibdoc.Attr) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(x cibdoc.Attr) bool { return !slices.Contains(b, x) })
}
