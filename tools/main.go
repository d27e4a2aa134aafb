// Command hatools is all operators' tools in one program: it acts as the tool
// under whose name it was called. `hatools --list` names them; `hatools NAME
// ARGS...` calls one without a link.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
)

// Tool is one tool's entry: name is what it was called by (some tools answer
// to several), the result the exit status (clients 1.1).
type Tool func(ctx context.Context, name string, args []string, stdin io.Reader, stdout, stderr io.Writer) int

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := dispatch(ctx, filepath.Base(os.Args[0]), os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func dispatch(ctx context.Context, name string, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if tool, ok := registry[name]; ok {
		return tool(ctx, name, args, stdin, stdout, stderr)
	}
	if len(args) > 0 && args[0] == "--list" {
		for _, n := range names() {
			fmt.Fprintln(stdout, n)
		}
		return 0
	}
	if len(args) > 0 {
		if tool, ok := registry[args[0]]; ok {
			return tool(ctx, args[0], args[1:], stdin, stdout, stderr)
		}
		fmt.Fprintf(stderr, "%s: no tool is called %q; `%s --list` names them all\n", name, args[0], name)
		return 64
	}
	fmt.Fprintf(stderr, "Usage: %s TOOL [ARGUMENT...]\n       %s --list\n", name, name)
	return 64
}

func names() []string {
	out := make([]string, 0, len(registry))
	for n := range registry {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}
