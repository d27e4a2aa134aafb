// Package haresources is haresources2cib: it turns the haresources of a
// Heartbeat cluster without a resource manager into a CIB (HB 14), and says
// what it did and why.
package haresources

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"linuxha/cib/cibdoc"
	"linuxha/cib/schema"
	"linuxha/internal/cibclient"
	"linuxha/internal/cliopt"
	"linuxha/internal/exitcode"
	"linuxha/internal/interval"
	"linuxha/internal/paths"
	"linuxha/tools/output"
)

const monitors = "Monitors"

var spec = &cliopt.Spec{
	Tool: "haresources2cib", Synopsis: "[options] [HARESOURCES]",
	Summary: "Convert a haresources file, with what ha.cf says about nodes and auto_failback, to a CIB for `crm respawn`. Without --stdout the result becomes the stopped cluster's cib.xml.",
	Options: []cliopt.Option{
		{Short: 'h', Long: "help", Help: "show help options"},
		{Long: "stdout", Help: "print the CIB instead of storing it"},
		{Short: 'o', Long: "output", Arg: cliopt.RequiredArg, Name: "FILE", Help: "write the CIB to FILE instead"},
		{Short: 'c', Long: "ha-cf", Arg: cliopt.RequiredArg, Name: "FILE", Help: "the cluster's ha.cf (default: ha.cf beside haresources)"},
		{Short: 'f', Long: "force", Help: "replace a configuration that is there (the old one is kept as a backup)"},
		{Short: 'q', Long: "quiet", Help: "do not explain; errors and warnings are still told"},
		{Long: "monitor", Arg: cliopt.RequiredArg, Name: "WHAT", Help: "what to monitor: all (default), ip (addresses only) or none", Group: monitors},
		{Long: "monitor-ip", Help: "the same as --monitor=ip", Group: monitors},
		{Long: "no-monitor", Help: "the same as --monitor=none", Group: monitors},
		{Long: "interval", Arg: cliopt.RequiredArg, Name: "TIME", Help: "how often to monitor other than addresses (default 120s)", Group: monitors},
		{Long: "ip-interval", Arg: cliopt.RequiredArg, Name: "TIME", Help: "how often to monitor addresses (default 5s)", Group: monitors},
		{Long: "score", Arg: cliopt.RequiredArg, Name: "SCORE", Help: "how much a group prefers the node that it is listed under (default 100)"},
		{Short: '$', Long: "version", Help: "display software version and exit"},
		{Long: "help-all", Help: "show all help options"},
	},
}

// Run is the tool's entry. Exit status: 0 converted, 65 a mistake in the files
// (told with its line), 66 a file cannot be read, 73 the CIB cannot be written
// or is there already, 64 a wrong option.
func Run(_ context.Context, name string, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	p, code, done := output.Begin(spec, name, args, stdout, stderr)
	if done {
		return code
	}
	c, err := newConversion(p)
	if err != nil {
		return output.Usage(stderr, name, err)
	}
	layout := paths.FromEnv()
	if len(p.Operands) > 1 {
		return output.Usage(stderr, name, output.NoOperands(p.Operands[1:]))
	}
	file := filepath.Join(layout.Config(), "haresources")
	if len(p.Operands) == 1 {
		file = p.Operands[0]
	}
	hacf := p.Value("ha-cf")
	if hacf == "" {
		hacf = filepath.Join(filepath.Dir(file), "ha.cf")
		if file == "-" {
			hacf = filepath.Join(layout.Config(), "ha.cf")
		}
	}
	c.scripts = installed(layout)
	fail := func(code exitcode.Code, err error) int {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			fmt.Fprintf(stderr, "%s: %s\n", name, line)
		}
		return int(code)
	}
	text, err := read(file, stdin)
	if err != nil {
		return fail(exitcode.NoInput, err)
	}
	cf, err := os.ReadFile(hacf)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !p.Has("ha-cf"):
		c.warn(hacf, 0, "there is no such file: the owners of resources are not checked, and auto_failback is taken to be on; name it by --ha-cf")
	case err != nil:
		return fail(exitcode.NoInput, err)
	default:
		c.readHaCf(hacf, cf)
	}
	if file == "-" {
		file = "standard input"
	}
	doc := c.convert(file, text)
	if !p.Has("quiet") || len(c.problems) > 0 {
		c.report(stderr, name, !p.Has("quiet"))
	}
	if len(c.problems) > 0 {
		return int(exitcode.DataErr)
	}
	if err := schema.Error(schema.Validate(doc)); err != nil {
		return fail(exitcode.Software, fmt.Errorf("the result does not conform to its own schema, which is a mistake of this program: %w", err))
	}
	return c.deliver(p, layout, doc, stdout, fail, func(text string) {
		if !p.Has("quiet") {
			fmt.Fprintln(stderr, text)
		}
	})
}

func newConversion(p *cliopt.Parsed) (*conversion, error) {
	c := &conversion{what: "all", score: "100", every: "120s", everyIP: "5s", failback: "on", used: map[string]bool{}}
	for _, g := range p.Given {
		switch g.Long {
		case "monitor":
			c.what = g.Value
		case "monitor-ip":
			c.what = "ip"
		case "no-monitor":
			c.what = "none"
		case "interval":
			c.every = g.Value
		case "ip-interval":
			c.everyIP = g.Value
		case "score":
			c.score = g.Value
		}
	}
	if c.what != "all" && c.what != "ip" && c.what != "none" {
		return nil, &cliopt.UsageError{Text: fmt.Sprintf("--monitor=%s: possible are all, ip and none", c.what)}
	}
	for _, v := range []string{c.every, c.everyIP} {
		if ms, ok := interval.Msec(v); !ok || ms <= 0 {
			return nil, &cliopt.UsageError{Text: fmt.Sprintf("%q is no time such as 30s or 2min", v)}
		}
	}
	if !score.MatchString(c.score) {
		return nil, &cliopt.UsageError{Text: fmt.Sprintf("--score=%s: a score is a whole number or INFINITY", c.score)}
	}
	return c, nil
}

func read(file string, stdin io.Reader) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(stdin)
	}
	return os.ReadFile(file)
}

// installed finds a script as Heartbeat does: first among its own, then among
// the init scripts (HB 14).
func installed(l paths.Layout) func(string) string {
	executable := func(path string) bool {
		info, err := os.Stat(path)
		return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
	}
	return func(script string) string {
		switch {
		case strings.ContainsRune(script, '/'):
			return ""
		case executable(filepath.Join(l.HeartbeatAgents(), script)):
			return "heartbeat"
		case executable(filepath.Join(l.LSB(), script)):
			return "lsb"
		}
		return ""
	}
}

// deliver puts the result where it was asked for.
func (c *conversion) deliver(p *cliopt.Parsed, layout paths.Layout, doc *cibdoc.Doc, stdout io.Writer, fail func(exitcode.Code, error) int, say func(string)) int {
	switch {
	case p.Has("stdout"):
		if _, err := stdout.Write(doc.Root().Print()); err != nil {
			return fail(exitcode.IOErr, err)
		}
	case p.Has("output"):
		flags := os.O_WRONLY | os.O_CREATE | os.O_EXCL
		if p.Has("force") {
			flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
		}
		f, err := os.OpenFile(p.Value("output"), flags, 0o600)
		if err == nil {
			_, err = f.Write(doc.Root().Print())
			err = errors.Join(err, f.Close())
		}
		if errors.Is(err, fs.ErrExist) {
			err = fmt.Errorf("%s is there already; --force replaces it", p.Value("output"))
		}
		if err != nil {
			return fail(exitcode.CantCreate, err)
		}
		say("The CIB is in " + p.Value("output") + ".")
	default:
		file := filepath.Join(layout.CIB(), "cib.xml")
		if _, err := os.Stat(file); err == nil && !p.Has("force") {
			return fail(exitcode.CantCreate, fmt.Errorf("%s is there already; --force replaces it (the old one is kept as a backup), --stdout only prints", file))
		}
		if err := cibclient.Install(layout, doc); err != nil {
			return fail(exitcode.CantCreate, err)
		}
		say("The CIB is in " + file + ". Next: put `crm respawn` into ha.cf on all nodes, move haresources away, and start the cluster on this node first.")
	}
	return 0
}
