// Package daemonnames answers to the reference's names of daemons, as far as
// clients run them for what they print: the version, and the cluster options
// with their meaning (clients 3.3, 2.20). The daemons themselves have other
// names here and are started by heartbeatd.
package daemonnames

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"linuxha/internal/exitcode"
	"linuxha/tools/output"
)

// Build is what --version and its kin call the build: clients read the version.
const (
	version = "2.1.5"
	build   = "a3f44794f94"
)

// option is a cluster option as clients see it.
type option struct {
	name, kind, initial string // kind: boolean, integer, time, select, string
	values              []string
	help                string
}

// description is what one daemon's `metadata` prints.
type description struct {
	short, long string
	options     []option
}

// Run is the entry for pacemaker-based, -controld and -schedulerd.
func Run(_ context.Context, name string, args []string, _ io.Reader, stdout, stderr io.Writer) int {
	text := ""
	switch {
	case slices.Equal(args, []string{"metadata"}):
		text = metadata(name, descriptions[name])
	case slices.Equal(args, []string{"version"}):
		text = fmt.Sprintf("CRM Version: %s (%s)\n", version, build)
	case slices.Equal(args, []string{"--version"}), slices.Equal(args, []string{"-$"}):
		text = output.VersionText
	default:
		fmt.Fprintf(stderr, "%s: this name only serves `%s metadata` and `%s version`; heartbeatd runs the daemon\n", name, name, name)
		return int(exitcode.Usage)
	}
	return write(stdout, text)
}

// Supervisor is the entry for pacemakerd, which agents ask for the version.
func Supervisor(_ context.Context, name string, args []string, _ io.Reader, stdout, stderr io.Writer) int {
	switch {
	case slices.Equal(args, []string{"--features"}), slices.Equal(args, []string{"-F"}):
		return write(stdout, fmt.Sprintf("Pacemaker %s (Build: %s)\n Supporting v3.16.1: heartbeat acls\n", version, build))
	case slices.Equal(args, []string{"--version"}), slices.Equal(args, []string{"-$"}):
		return write(stdout, output.VersionText)
	}
	fmt.Fprintf(stderr, "%s: heartbeatd starts and stops the stack here; only --version and --features are served under this name\n", name)
	return int(exitcode.Usage)
}

func write(w io.Writer, text string) int {
	if _, err := io.WriteString(w, text); err != nil {
		return int(exitcode.IOErr)
	}
	return 0
}

// metadata is the description in the form of agents' meta-data.
func metadata(name string, d description) string {
	params := output.New("parameters")
	for _, o := range d.options {
		long := o.help
		if len(o.values) > 0 {
			long += "  Allowed values: " + strings.Join(o.values, ", ")
		}
		content := output.New("content", "type", o.kind, "default", o.initial)
		for _, v := range o.values {
			content.Add(output.New("option", "value", v))
		}
		params.Add(output.New("parameter", "name", o.name).Add(text("longdesc", long), text("shortdesc", o.help), content))
	}
	root := output.New("resource-agent", "name", name, "version", version).Add(
		&output.Element{Name: "version", Text: "1.1"}, text("longdesc", d.long), text("shortdesc", d.short), params)
	var b strings.Builder
	b.WriteString("<?xml version=\"1.0\"?>\n")
	// A strings.Builder never fails.
	_ = root.Write(&b, 0)
	return b.String()
}

func text(name, s string) *output.Element {
	return &output.Element{Name: name, Attrs: []output.Attr{{Name: "lang", Value: "en"}}, Text: s}
}
