// Package clidiff runs the same command lines with our tools and with an
// installed reference's, under CIB_file, and compares what a user or a script
// can see: exit status, standard output, standard error and the resulting CIB
// (make clidiff). The command lines are in cases/, the CIBs in docs/.
package clidiff

import (
	"bufio"
	"bytes"
	"fmt"
	"path"
	"strings"
)

// Case is one command line.
type Case struct {
	Where string // FILE:LINE
	CIB   string // document in docs/ without its suffix; empty: no CIB_file at all
	After []Case // commands that come before it on the same document
	Env   []string
	Stdin string // document that is piped in
	Argv  []string
	Meant string // why ours may differ; empty: it must not
}

// String is the command line as one would type it.
func (c Case) String() string {
	var b strings.Builder
	for _, e := range c.Env {
		b.WriteString(quote(e) + " ")
	}
	for i, a := range c.Argv {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(quote(a))
	}
	if c.Stdin != "" {
		b.WriteString(" < " + c.Stdin)
	}
	return b.String()
}

func quote(a string) string {
	if a != "" && !strings.ContainsAny(a, " \t\n'\"\\$&|;<>(){}[]*?#~`!") {
		return a
	}
	return "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
}

// Parse reads cases. A line is a command; braces expand as in a shell, so one
// line may be many commands, `< NAME` pipes in a document, and `VAR=value` in
// front sets the environment. A command that begins with + runs on what the
// command above left. Other lines begin with a word and a colon, and hold until
// the next of their kind: `cib: NAME` (or nothing), `meant: REASON` (until an
// empty line). # begins a comment.
func Parse(name string, text []byte) ([]Case, error) {
	var out []Case
	var cib, meant string
	sc := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; sc.Scan(); n++ {
		line := strings.TrimSpace(sc.Text())
		where := fmt.Sprintf("%s:%d", path.Base(name), n)
		switch word, rest, _ := strings.Cut(line, ":"); {
		case line == "":
			meant = ""
			continue
		case line[0] == '#':
			continue
		case word == "cib":
			cib = strings.TrimSpace(rest)
			continue
		case word == "meant":
			meant = strings.TrimSpace(rest)
			continue
		}
		var before []Case
		if after, ok := strings.CutPrefix(line, "+"); ok {
			if len(out) == 0 {
				return nil, fmt.Errorf("%s: there is no command above", where)
			}
			last := out[len(out)-1]
			before, line = append(append(before, last.After...), last), after
		}
		words, err := split(line)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", where, err)
		}
		for _, argv := range expand(words) {
			c := Case{Where: where, CIB: cib, After: before, Meant: meant}
			for len(argv) > 0 && isAssignment(argv[0]) {
				c.Env, argv = append(c.Env, argv[0]), argv[1:]
			}
			if len(argv) > 1 && argv[len(argv)-2] == "<" {
				c.Stdin, argv = argv[len(argv)-1], argv[:len(argv)-2]
			}
			if len(argv) == 0 {
				return nil, fmt.Errorf("%s: no command", where)
			}
			c.Argv = argv
			out = append(out, c)
		}
	}
	return out, sc.Err()
}

func isAssignment(w string) bool {
	name, _, ok := strings.Cut(w, "=")
	return ok && name != "" && !strings.ContainsAny(name, "-/ <")
}

// Marks of braces, commas and blanks in braces that were not quoted.
const (
	open  = '\uE000'
	comma = '\uE001'
	shut  = '\uE002'
	blank = '\uE003' // parts words
)

// split takes a line apart at blanks that are not quoted and not in braces.
func split(line string) ([]string, error) {
	var words []string
	var b strings.Builder
	var quoting rune
	word, depth := false, 0
	for _, r := range line {
		switch {
		case quoting != 0 && r == quoting:
			quoting = 0
		case quoting != 0:
			b.WriteRune(r)
		case r == '\'' || r == '"':
			quoting, word = r, true
		case r == '{':
			depth++
			word = true
			b.WriteRune(open)
		case r == '}' && depth > 0:
			depth--
			b.WriteRune(shut)
		case r == ',' && depth > 0:
			b.WriteRune(comma)
		case r == ' ' && depth > 0:
			b.WriteRune(blank)
		case r == ' ':
			if word {
				words = append(words, b.String())
				b.Reset()
				word = false
			}
		default:
			b.WriteRune(r)
			word = true
		}
	}
	if quoting != 0 || depth != 0 {
		return nil, fmt.Errorf("a quote or a brace is not closed in %q", line)
	}
	if word {
		words = append(words, b.String())
	}
	return words, nil
}

// expand makes every command line that the words stand for. A blank within
// braces parts words, so {-r a,-N node1} is two words twice; an alternative
// that is empty is no word.
func expand(words []string) [][]string {
	lines := [][]string{nil}
	for _, w := range words {
		var longer [][]string
		for _, alternative := range alternatives(w) {
			for _, l := range lines {
				longer = append(longer, append(l[:len(l):len(l)], alternative...))
			}
		}
		lines = longer
	}
	return lines
}

func alternatives(word string) [][]string {
	if !strings.ContainsRune(word, open) {
		return [][]string{{word}}
	}
	var out [][]string
	for _, text := range braces(word) {
		var ws []string
		for _, w := range strings.Split(text, string(blank)) {
			if w != "" {
				ws = append(ws, w)
			}
		}
		out = append(out, ws)
	}
	return out
}

// braces expands the first group of a text, then what follows.
func braces(text string) []string {
	begin := strings.IndexRune(text, open)
	if begin < 0 {
		return []string{text}
	}
	depth, last := 0, begin+len(string(open))
	var parts []string
	for i, r := range text[begin:] {
		at := begin + i
		switch {
		case r == open:
			depth++
		case r == comma && depth == 1:
			parts, last = append(parts, text[last:at]), at+len(string(comma))
		case r == shut:
			if depth--; depth > 0 {
				continue
			}
			parts = append(parts, text[last:at])
			var out []string
			for _, p := range parts {
				for _, inner := range braces(p) {
					for _, rest := range braces(text[at+len(string(shut)):]) {
						out = append(out, text[:begin]+inner+rest)
					}
				}
			}
			return out
		}
	}
	return []string{text} // split has seen to it that braces are closed
}
