package output

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"

	"linuxha/internal/exitcode"
)

// Entry is a tool's entry, as package main calls it.
type Entry = func(ctx context.Context, name string, args []string, stdin io.Reader, stdout, stderr io.Writer) int

// Formatted serves --output-to for a tool, and refuses forms that the tool does
// not have; what --output-as asks for is the tool's own business (clients 1.5).
func Formatted(run Entry, forms ...string) Entry {
	return func(ctx context.Context, name string, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
		if form, ok := lastValue(args, "--output-as"); ok && !slices.Contains(forms, form) {
			fmt.Fprintf(stderr, "%s: Error creating output format %s: Unknown output format (there are %s)\n", name, form, strings.Join(forms, ", "))
			return int(exitcode.Error)
		}
		to, ok := lastValue(args, "--output-to")
		if !ok || to == "-" {
			return run(ctx, name, args, stdin, stdout, stderr)
		}
		f, err := os.Create(to)
		if err != nil {
			var why syscall.Errno
			text := err.Error()
			if errors.As(err, &why) {
				text = why.Error()
			}
			fmt.Fprintf(stderr, "%s: Error creating output file %s: %s\n", name, to, text)
			return int(exitcode.Error)
		}
		code := run(ctx, name, args, stdin, f, stderr)
		if err := f.Close(); err != nil && code == 0 {
			fmt.Fprintf(stderr, "%s: %v\n", name, err)
			return int(exitcode.IOErr)
		}
		return code
	}
}

// lastValue is the value of a long option as it stands on a command line.
func lastValue(args []string, option string) (value string, found bool) {
	for i, a := range args {
		switch v, ok := strings.CutPrefix(a, option+"="); {
		case a == "--":
			return value, found
		case ok:
			value, found = v, true
		case a == option && i+1 < len(args):
			value, found = args[i+1], true
		}
	}
	return value, found
}
