package crmsimulate

import (
	"fmt"
	"strings"
)

// lister prints nested lists (actions 18.3). In plain form there are neither
// titles nor indentation.
type lister struct {
	w            *streams
	plain, quiet bool
}

func (l *lister) title(depth int, text string) {
	if l.plain || l.quiet {
		return
	}
	fmt.Fprintf(l.w, "%s%s:\n", l.indent(depth), text)
}

func (l *lister) item(depth int, label, text string) {
	if l.quiet {
		return
	}
	switch {
	case l.plain:
		fmt.Fprintln(l.w, text)
	case label != "":
		fmt.Fprintf(l.w, "%s%s: %s\n", l.indent(depth), label, text)
	default:
		fmt.Fprintf(l.w, "%s%s\n", l.indent(depth), text)
	}
	l.w.item()
}

func (l *lister) indent(depth int) string {
	if depth == 0 {
		return ""
	}
	return strings.Repeat("  ", depth) + "* "
}
