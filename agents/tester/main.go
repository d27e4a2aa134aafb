// Ocf-agent-tester checks whether a resource agent behaves as a cluster
// expects (execution 18, 23). It starts and stops the resource for real.
//
//	ocf-agent-tester [-v] [-n NAME] [-o name=value]... AGENT
//
// AGENT is a path or ocf:PROVIDER:TYPE. Exit code 0: nothing to complain about.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	a, verbose, err := parse(os.Args[1:], os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "ocf-agent-tester:", err)
		os.Exit(64)
	}
	r := &report{out: os.Stdout, verbose: verbose}
	check(a, r)
	if r.failed > 0 {
		fmt.Printf("Tests failed: %s failed %d tests\n", a.path, r.failed)
		os.Exit(1)
	}
	fmt.Printf("%s passed all tests\n", a.path)
}

// params collects -o options.
type params map[string]string

func (p params) String() string { return "" }
func (p params) Set(s string) error {
	k, v, ok := strings.Cut(s, "=")
	if !ok || k == "" {
		return fmt.Errorf("%q is not name=value", s)
	}
	p[k] = v
	return nil
}

func parse(args []string, messages io.Writer) (*agent, bool, error) {
	a := &agent{params: params{}, timeout: 30 * time.Second}
	fs := flag.NewFlagSet("ocf-agent-tester", flag.ContinueOnError)
	fs.SetOutput(messages)
	verbose := fs.Bool("v", false, "show every action")
	fs.StringVar(&a.name, "n", "agent-test", "name of the resource")
	fs.DurationVar(&a.timeout, "timeout", a.timeout, "time for one action")
	fs.Var(params(a.params), "o", "`name=value` of a parameter")
	if err := fs.Parse(args); err != nil {
		return nil, false, err
	}
	if fs.NArg() != 1 {
		return nil, false, fmt.Errorf("give one agent: a path or ocf:PROVIDER:TYPE")
	}
	a.root = os.Getenv("OCF_ROOT")
	if a.root == "" {
		a.root = "/usr/lib/ocf"
	}
	a.path = fs.Arg(0)
	if f := strings.Split(a.path, ":"); len(f) == 3 && f[0] == "ocf" {
		a.path = filepath.Join(a.root, "resource.d", f[1], f[2])
	}
	if st, err := os.Stat(a.path); err != nil {
		return nil, false, err
	} else if st.Mode()&0o111 == 0 || st.IsDir() {
		return nil, false, fmt.Errorf("%s is not executable", a.path)
	}
	return a, *verbose, nil
}

// report counts complaints.
type report struct {
	out     io.Writer
	verbose bool
	failed  int
}

func (r *report) fail(f string, args ...any) {
	r.failed++
	fmt.Fprintf(r.out, "* "+f+"\n", args...)
}

func (r *report) note(f string, args ...any) { fmt.Fprintf(r.out, "* "+f+"\n", args...) }

func (r *report) trace(f string, args ...any) {
	if r.verbose {
		fmt.Fprintf(r.out, "  "+f+"\n", args...)
	}
}
