// Package crmshadow is crm_shadow: copies of the configuration to try changes
// on (clients 2.14, cib 8.4). It opens no shell: it says how to use the copy.
package crmshadow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"linuxha/cib/cibdoc"
	"linuxha/cib/patch"
	"linuxha/cib/schema"
	"linuxha/internal/cibclient"
	"linuxha/internal/cliopt"
	"linuxha/internal/exitcode"
	"linuxha/internal/paths"
	cibv1 "linuxha/proto/cib/v1"
	"linuxha/tools/output"
)

const callTimeout = 60 * time.Second

var spec = &cliopt.Spec{
	Tool: "crm_shadow", Synopsis: "<query>|<command> [options]", Old: true,
	Summary: "perform Pacemaker configuration changes in a sandbox\n\nThis command sets up an environment in which configuration tools (cibadmin, crm_resource, etc.) work offline instead of against a live cluster, allowing changes to be previewed and tested for side effects.",
	Options: []cliopt.Option{
		{Short: '?', Long: "help", Help: "This text"},
		{Short: '$', Long: "version", Help: "Version information"},
		{Short: 'V', Long: "verbose", Help: "Increase debug output"},

		{Short: 'w', Long: "which", Help: "Indicate the active shadow copy", Group: "Queries"},
		{Short: 'p', Long: "display", Help: "Display the contents of the active shadow copy", Group: "Queries"},
		{Short: 'd', Long: "diff", Help: "Display the changes in the active shadow copy", Group: "Queries"},
		{Short: 'F', Long: "file", Help: "Display the location of the active shadow copy file", Group: "Queries"},

		{Short: 'c', Long: "create", Arg: cliopt.RequiredArg, Name: "name", Help: "Create the named shadow copy of the active cluster configuration", Group: "Commands"},
		{Short: 'e', Long: "create-empty", Arg: cliopt.RequiredArg, Name: "name", Help: "Create the named shadow copy with an empty cluster configuration (optional: --validate-with)", Group: "Commands"},
		{Short: 'C', Long: "commit", Arg: cliopt.RequiredArg, Name: "name", Help: "Upload the contents of the named shadow copy to the cluster", Group: "Commands"},
		{Short: 'D', Long: "delete", Arg: cliopt.RequiredArg, Name: "name", Help: "Delete the contents of the named shadow copy", Group: "Commands"},
		{Short: 'E', Long: "edit", Help: "Edit the contents of the active shadow copy with your favorite $EDITOR", Group: "Commands"},
		{Short: 'r', Long: "reset", Arg: cliopt.RequiredArg, Name: "name", Help: "Recreate named shadow copy from the active cluster configuration", Group: "Commands"},
		{Short: 's', Long: "switch", Arg: cliopt.RequiredArg, Name: "name", Help: "Say how to use the named shadow copy from now on", Group: "Commands"},

		{Short: 'f', Long: "force", Help: "Force the action to be performed", Group: "Additional options"},
		{Short: 'b', Long: "batch", Help: "Don't spawn a new shell", Group: "Additional options"},
		{Short: 'a', Long: "all", Help: "Upload entire CIB, including status, with --commit", Group: "Additional options"},
		{Short: 'v', Long: "validate-with", Arg: cliopt.RequiredArg, Name: "schema", Help: "Create an older configuration version", Group: "Additional options"},
	},
}

// Run is the tool's entry.
func Run(ctx context.Context, name string, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	p, err := spec.Parse(args)
	if err == nil {
		err = output.NoOperands(p.Operands)
	}
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n%s", name, err, spec.Help())
		return int(exitcode.Usage)
	}
	switch {
	case p.Has("help"):
		fmt.Fprint(stdout, spec.Help())
		return 0
	case p.Has("version"):
		fmt.Fprint(stdout, output.VersionText)
		return 0
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout) // of what asks the CIB: the shell may stay
	defer cancel()
	t := &tool{ctx: ctx, p: p, stdin: stdin, out: stdout, stderr: stderr, active: os.Getenv("CIB_shadow")}
	if err := t.run(); err != nil {
		code := exitcode.Error
		if f, ok := errors.AsType[*failure](err); ok {
			code = f.code
		} else if rc := cibclient.ExitCode(err); rc != exitcode.OK {
			code = rc
		}
		if err.Error() != "" {
			fmt.Fprintln(stderr, err)
		}
		return int(code)
	}
	return 0
}

// failure is an end with a status of its own.
type failure struct {
	code exitcode.Code
	text string
}

func (f *failure) Error() string { return f.text }

type tool struct {
	ctx         context.Context
	p           *cliopt.Parsed
	stdin       io.Reader
	out, stderr io.Writer
	active      string // the shadow that the environment names
}

// commands in the words of the options; the last one given counts.
var commands = map[string]func(*tool, string) error{
	"which": (*tool).which, "display": (*tool).display, "diff": (*tool).diff, "file": (*tool).file, "edit": (*tool).edit,
	"create": (*tool).create, "create-empty": (*tool).createEmpty, "reset": (*tool).reset, "switch": (*tool).use,
	"commit": (*tool).commit, "delete": (*tool).remove,
}

// dangerous are the commands that need --force.
var dangerous = []string{"commit", "delete"}

func (t *tool) run() error {
	var g *cliopt.Given
	for i := range t.p.Given {
		if commands[t.p.Given[i].Long] != nil {
			g = &t.p.Given[i]
		}
	}
	if g == nil {
		return &failure{exitcode.Usage, "Choose a query or a command (--help lists them)"}
	}
	name := g.Value
	if !g.HasValue {
		if name = t.active; name == "" {
			return &failure{exitcode.NoSuch, "No active shadow configuration defined"}
		}
	}
	force := t.p.Has("force")
	if slices.Contains(dangerous, g.Long) && !force {
		return &failure{exitcode.Usage, "The supplied command is considered dangerous.  To prevent accidental destruction of the cluster, the --force flag is required in order to proceed."}
	}
	if g.HasValue && g.Long != "switch" && g.Long != "create" && t.active != "" && t.active != name && !force {
		return &failure{exitcode.Usage, fmt.Sprintf("The supplied shadow instance (%s) is not the same as the active one (%s).\nTo prevent accidental destruction of the cluster, the --force flag is required in order to proceed.", name, t.active)}
	}
	return commands[g.Long](t, name)
}

func (t *tool) path(name string) string {
	return cibclient.ShadowPath(os.Getenv, paths.FromEnv(), name)
}

// live is the configuration behind the shadows: the cluster's, or that of a
// file that CIB_file names.
func (t *tool) live() (cibclient.Client, error) {
	c, err := cibclient.OpenWith(t.ctx, cibclient.Options{Getenv: func(n string) string {
		if n == "CIB_shadow" {
			return ""
		}
		return os.Getenv(n)
	}})
	if err != nil {
		return nil, &failure{cibclient.ExitCode(err), "Could not connect to CIB: " + cibdoc.RCOf(err).Error()}
	}
	return c, nil
}

func (t *tool) liveDocument() (*cibdoc.Doc, error) {
	c, err := t.live()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	resp, err := c.Query(t.ctx, &cibv1.QueryRequest{})
	if err == nil {
		err = cibclient.Err(resp)
	}
	if err != nil {
		return nil, fmt.Errorf("Could not query the CIB: %w", err)
	}
	return cibdoc.Parse(resp.Xml)
}

func (t *tool) shadow(name string) (*cibdoc.Doc, error) {
	b, err := os.ReadFile(t.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &failure{exitcode.NoSuch, fmt.Sprintf("Could not access shadow instance '%s': No such file or directory", name)}
	}
	if err != nil {
		return nil, err
	}
	return cibdoc.Parse(b)
}

func (t *tool) which(name string) error {
	fmt.Fprintln(t.out, name)
	return nil
}

func (t *tool) file(name string) error {
	fmt.Fprintln(t.out, t.path(name))
	return nil
}

func (t *tool) display(name string) error {
	doc, err := t.shadow(name)
	if err != nil {
		return err
	}
	_, err = t.out.Write(doc.Print())
	return err
}

// diff tells what differs from the live configuration, and ends with 1 if
// anything does.
func (t *tool) diff(name string) error {
	changed, err := t.shadow(name)
	if err != nil {
		return err
	}
	old, err := t.liveDocument()
	if err != nil {
		return err
	}
	d := patch.Create(old, changed, patch.Options{})
	if d == nil {
		return nil
	}
	writeLog(t.out, d)
	return &failure{exitcode.Error, ""}
}

func (t *tool) edit(name string) error {
	if _, err := t.shadow(name); err != nil {
		return err
	}
	editor := os.Getenv("EDITOR")
	if editor == "" {
		return &failure{exitcode.NotConfigured, "No editor chosen: set the environment variable EDITOR"}
	}
	cmd := exec.Command(editor, t.path(name))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = t.stdin, t.out, t.stderr
	return cmd.Run()
}

func (t *tool) create(name string) error { return t.copyLive(name, false) }
func (t *tool) reset(name string) error  { return t.copyLive(name, true) }

func (t *tool) copyLive(name string, must bool) error {
	switch _, err := os.Stat(t.path(name)); {
	case must && errors.Is(err, fs.ErrNotExist):
		return &failure{exitcode.NoSuch, fmt.Sprintf("Could not access shadow instance '%s': No such file or directory", name)}
	case !must:
		if err := t.mayCreate(name); err != nil {
			return err
		}
	}
	doc, err := t.liveDocument()
	if err != nil {
		return err
	}
	return t.setUp(name, doc)
}

func (t *tool) createEmpty(name string) error {
	if err := t.mayCreate(name); err != nil {
		return err
	}
	doc := cibdoc.Empty(0)
	if want := t.p.Value("validate-with"); want != "" {
		if _, known := schema.Lookup(want); !known {
			return &failure{exitcode.Config, fmt.Sprintf("Schema '%s' is unknown", want)}
		}
		e := doc.Edit()
		e.Own(nil).SetAttr("validate-with", want)
		doc = e.Doc()
	}
	fmt.Fprintf(t.out, "Created new %s configuration\n", doc.Root().Attr("validate-with"))
	return t.setUp(name, doc)
}

// mayCreate refuses to overwrite a shadow unless forced.
func (t *tool) mayCreate(name string) error {
	if _, err := os.Stat(t.path(name)); err == nil && !t.p.Has("force") {
		return &failure{exitcode.CantCreate, fmt.Sprintf("A shadow instance '%s' already exists.\n  To prevent accidental destruction of the cluster, the --force flag is required in order to proceed.", name)}
	}
	return nil
}

func (t *tool) setUp(name string, doc *cibdoc.Doc) error {
	if err := os.WriteFile(t.path(name), doc.File(), 0o600); err != nil {
		code, why := exitcode.CantCreate, err.Error()
		if errors.Is(err, fs.ErrNotExist) { // there is no folder for shadows
			code, why = exitcode.NoSuch, syscall.ENOENT.Error()
			why = strings.ToUpper(why[:1]) + why[1:]
		}
		return &failure{code, fmt.Sprintf("Could not create the shadow instance '%s': %s", name, why)}
	}
	fmt.Fprintln(t.out, "Setting up shadow instance")
	return t.enter(name, "A new shadow instance was created.  To begin using it paste the following into your shell:")
}

// use switches to a shadow that is there.
func (t *tool) use(name string) error {
	if _, err := t.shadow(name); err != nil {
		return err
	}
	fmt.Fprintln(t.out, "Setting up shadow instance")
	return t.enter(name, "To switch to the named shadow instance, paste the following into your shell:")
}

// enter makes the shadow the one that tools work on: in a shell of its own, or
// in batch mode, or where no shell is known, by saying how.
func (t *tool) enter(name, how string) error {
	shell := os.Getenv("SHELL")
	if t.p.Has("batch") || shell == "" {
		fmt.Fprintf(t.out, "%s\n  CIB_shadow=%s ; export CIB_shadow\n", how, name)
		return nil
	}
	fmt.Fprintln(t.out, "Type Ctrl-D to exit the crm_shadow shell")
	var args []string
	if filepath.Base(shell) == "bash" {
		args = []string{"--norc", "--noprofile"} // they would set another prompt
	}
	cmd := exec.Command(shell, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = t.stdin, t.out, t.stderr
	cmd.Env = append(os.Environ(), "CIB_shadow="+name, "PS1=shadow["+name+"] # ")
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return &failure{exitcode.Code(exit.ExitCode()), ""}
	}
	if err != nil {
		fmt.Fprintf(t.out, "  CIB_shadow=%s ; export CIB_shadow\n", name)
		return &failure{exitcode.OSErr, fmt.Sprintf("Could not start the shell that SHELL names: %v", err)}
	}
	return nil
}

// commit makes the shadow's configuration the live one.
func (t *tool) commit(name string) error {
	doc, err := t.shadow(name)
	if err != nil {
		return err
	}
	c, err := t.live()
	if err != nil {
		return err
	}
	change := &cibv1.Change{Op: cibv1.Op_OP_REPLACE, Section: "configuration", Xml: doc.Configuration().Bytes()}
	if t.p.Has("all") {
		change = &cibv1.Change{Op: cibv1.Op_OP_REPLACE, Xml: doc.Bytes()}
	}
	resp, err := c.Apply(t.ctx, &cibv1.ApplyRequest{Changes: []*cibv1.Change{change}, Client: "crm_shadow"})
	if err == nil {
		err = cibclient.Err(resp)
	}
	if err := errors.Join(err, c.Close()); err != nil {
		return fmt.Errorf("Could not commit shadow instance '%s' to the CIB: %w", name, err)
	}
	t.leave()
	return nil
}

func (t *tool) remove(name string) error {
	if err := os.Remove(t.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	t.leave()
	return nil
}

// leave says how to go back to the live configuration.
func (t *tool) leave() {
	if prompt := os.Getenv("PS1"); strings.HasPrefix(prompt, "shadow[") {
		fmt.Fprintln(t.out, "Now type Ctrl-D to exit the crm_shadow shell")
		return
	}
	fmt.Fprintln(t.out, "Please remember to unset the CIB_shadow variable by pasting the following into your shell:\n  unset CIB_shadow")
}
