// Package output is what the new-family tools share: the XML frame of results
// (clients 1.5), the texts for mistakes on the command line (clients 1.4) and
// the version text.
package output

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"linuxha/cib/schema"
	"linuxha/internal/cibclient"
	"linuxha/internal/cliopt"
	"linuxha/internal/exitcode"
)

// APIVersion is the version of the result schema that the XML conforms to.
const APIVersion = "2.25"

// VersionText is what --version prints: clients match its first line.
const VersionText = "Pacemaker 2.1.5\nWritten by Andrew Beekhof and the Pacemaker project contributors\n"

// Common are the options that every new-family tool has.
func Common(formats string) []cliopt.Option {
	return []cliopt.Option{
		{Short: 'V', Long: "verbose", Help: "increase debug output (may be specified multiple times)"},
		{Short: '$', Long: "version", Help: "display software version and exit"},
		{Long: "output-as", Arg: cliopt.RequiredArg, Name: "FORMAT", Help: "specify output format as one of: " + formats},
		{Long: "output-to", Arg: cliopt.RequiredArg, Name: "DEST", Help: `specify file name for output (or "-" for stdout)`},
		{Long: "text-fancy", Help: "use more highly formatted output"},
		{Long: "help-all", Help: "show all help options"},
	}
}

// Element is a node of an XML result.
type Element struct {
	Name     string
	Attrs    []Attr
	Text     string // character data before the children
	CData    bool   // Text stands in a CDATA section, as it is
	Children []*Element
}

// Attr is one attribute; results keep their order.
type Attr struct{ Name, Value string }

// New returns an element with attributes given as name, value, name, value.
func New(name string, attrs ...string) *Element {
	e := &Element{Name: name}
	for i := 0; i+1 < len(attrs); i += 2 {
		e.Attrs = append(e.Attrs, Attr{attrs[i], attrs[i+1]})
	}
	return e
}

// Add appends children and returns e.
func (e *Element) Add(children ...*Element) *Element {
	e.Children = append(e.Children, children...)
	return e
}

// Set appends one attribute and returns e.
func (e *Element) Set(name, value string) *Element {
	e.Attrs = append(e.Attrs, Attr{name, value})
	return e
}

// Write prints e indented by two blanks per level, as the reference does.
func (e *Element) Write(w io.Writer, depth int) error {
	pad := strings.Repeat("  ", depth)
	var b strings.Builder
	b.WriteString(pad + "<" + e.Name)
	for _, a := range e.Attrs {
		fmt.Fprintf(&b, ` %s="%s"`, a.Name, attrEscapes.Replace(strings.ToValidUTF8(a.Value, "\uFFFD")))
	}
	switch {
	case e.Text == "" && len(e.Children) == 0:
		b.WriteString("/>\n")
		_, err := io.WriteString(w, b.String())
		return err
	case e.CData:
		fmt.Fprintf(&b, "><![CDATA[%s]]></%s>\n", strings.ReplaceAll(e.Text, "]]>", "]]]]><![CDATA[>"), e.Name)
		_, err := io.WriteString(w, b.String())
		return err
	case len(e.Children) == 0:
		fmt.Fprintf(&b, ">%s</%s>\n", escape(e.Text), e.Name)
		_, err := io.WriteString(w, b.String())
		return err
	}
	b.WriteString(">" + escape(e.Text) + "\n")
	if _, err := io.WriteString(w, b.String()); err != nil {
		return err
	}
	for _, c := range e.Children {
		if err := c.Write(w, depth+1); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "%s</%s>\n", pad, e.Name)
	return err
}

// Line ends stand in text as they are; in attributes a reader would take them
// for blanks.
var (
	textEscapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;")
	attrEscapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "\n", "&#10;", "\t", "&#9;", "\r", "&#13;")
)

func escape(s string) string { return textEscapes.Replace(strings.ToValidUTF8(s, "\uFFFD")) }

// Result writes the frame of clients 1.5 around body: request is the tool's
// name with its arguments, errs become the errors element.
func Result(w io.Writer, name string, args []string, code exitcode.Code, errs []string, body ...*Element) error {
	root := New("pacemaker-result", "api-version", APIVersion, "request", request(name, args))
	root.Add(body...)
	st := New("status", "code", fmt.Sprint(int(code)), "message", code.Text())
	if len(errs) > 0 {
		list := New("errors")
		for _, e := range errs {
			list.Add(&Element{Name: "error", Text: e})
		}
		st.Add(list)
	}
	root.Add(st)
	return root.Write(w, 0)
}

// request is a command line as results repeat it: words with blanks are quoted.
func request(name string, args []string) string {
	words := []string{name}
	for _, a := range args {
		if strings.Contains(a, " ") {
			a = "'" + strings.ReplaceAll(a, "'", `\'`) + "'"
		}
		words = append(words, a)
	}
	return strings.Join(words, " ")
}

// Begin takes a command line apart and serves what all tools share: mistakes,
// --help and --version. done: that was all, and code is the exit status.
func Begin(spec *cliopt.Spec, name string, args []string, stdout, stderr io.Writer) (p *cliopt.Parsed, code int, done bool) {
	p, err := spec.Parse(args)
	switch {
	case err != nil:
		return nil, Usage(stderr, name, err), true
	case p.Has("help"), p.Has("help-all"):
		fmt.Fprint(stdout, spec.Help())
		return p, 0, true
	case p.Has("version"):
		fmt.Fprint(stdout, VersionText)
		return p, 0, true
	}
	return p, 0, false
}

// Usage prints a mistake on the command line and returns the status for it.
func Usage(stderr io.Writer, tool string, err error) int {
	fmt.Fprintf(stderr, "%s: %v\n", tool, err)
	return int(exitcode.Usage)
}

// Refuse tells of a command line that makes no sense, in the form that it asks
// for, and returns the status for it.
func Refuse(p *cliopt.Parsed, name string, args []string, err error, stdout, stderr io.Writer) int {
	if p.Value("output-as") != "xml" {
		return Usage(stderr, name, err)
	}
	if err := Result(stdout, name, args, exitcode.Usage, []string{name + ": " + err.Error()}); err != nil {
		return int(exitcode.IOErr)
	}
	return int(exitcode.Usage)
}

// Logged is a log line as the reference's tools print it to stderr.
func Logged(from, level, text string) string {
	if from == "" {
		return level + ": " + text
	}
	return fmt.Sprintf("(%s) \t%s: %s", from, level, text)
}

// LogLine is Logged as it stands in a log.
func LogLine(from, level, text string) string {
	return fmt.Sprintf("%s \t%s: %s", from, level, text)
}

// LogsToStderr says whether the environment asks tools to log there
// (clients 3.4).
func LogsToStderr() bool { return cibclient.LogsToStderr(os.Getenv) }

// LogNoElement logs why text holds no element at all, if the environment asks
// for a log.
func LogNoElement(w io.Writer, text string) {
	if !LogsToStderr() {
		return
	}
	_, _, lines := NoElement(text, schema.NoFile)
	for _, l := range lines {
		fmt.Fprintln(w, LogLine("log_xmllib_err", "error", "XML Error: "+l))
	}
}

// NoElement says why a file's text, or one that is schema.NoFile, holds no
// element at all, in the words and with the number of the XML library that the
// reference uses. lines are its message: the place, its line, and a mark below.
func NoElement(text, file string) (why string, code int, lines []string) {
	why, code = "Start tag expected, '<' not found", 4
	at := len(text) - len(strings.TrimLeft(text, " \t\r\n"))
	switch {
	case text == "":
		why = "Document is empty"
	case strings.HasPrefix(text[at:], "<"):
		why, code, at = "StartTag: invalid element name", 68, at+1
	}
	begin := strings.LastIndexByte(text[:at], '\n') + 1
	line, _, _ := strings.Cut(text[begin:], "\n")
	number := strings.Count(text[:at], "\n") + 1
	where := fmt.Sprintf("%s:%d", file, number)
	if file == schema.NoFile {
		where = fmt.Sprintf("%s %d", file, number)
	}
	return why, code, []string{where + ": parser error : " + why, line, strings.Repeat(" ", at-begin) + "^"}
}

// NoOperands refuses words that no option takes.
func NoOperands(words []string) error {
	if len(words) == 0 {
		return nil
	}
	var b strings.Builder
	b.WriteString("non-option ARGV-elements:\n")
	for i, w := range words {
		fmt.Fprintf(&b, "[%d of %d] %s\n", i+1, len(words), w)
	}
	return errors.New(b.String())
}

// FromRPC maps a failed call to a daemon to the exit status and the text for
// people: an absent daemon is Disconnect.
func FromRPC(err error) (exitcode.Code, string) {
	switch status.Code(err) {
	case codes.OK:
		return exitcode.OK, ""
	case codes.Unavailable:
		return exitcode.Disconnect, "Connection refused"
	case codes.DeadlineExceeded:
		return exitcode.Timeout, "Connection timed out"
	case codes.PermissionDenied:
		return exitcode.InsufficientPriv, "Permission denied"
	}
	if errors.Is(err, syscall.ENOTCONN) {
		return exitcode.Disconnect, "Connection refused"
	}
	if errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EPERM) {
		return exitcode.InsufficientPriv, "Permission denied"
	}
	if st, ok := status.FromError(err); ok && !errors.Is(err, io.EOF) {
		return exitcode.Error, st.Message()
	}
	return exitcode.FromError(err), err.Error()
}
