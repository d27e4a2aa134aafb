package main

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write what the tools print into the scripts")

// TestScripts runs testdata/script: tools on a CIB in a file, as an operator
// calls them. Each script begins in an empty folder with cib.xml, a copy of
// testdata/harbour.xml, and the files at its own end (`-- name --`). Its lines:
//
//	exec TOOL ARG...     must exit 0; `! exec` must not
//	stdout RE, stderr RE the last tool's output must match, `!` must not
//	cmp stdout NAME      must be the same as a file; also with two files
//	grep RE FILE         a file must match
//	stdin FILE           what the next tool reads
//	env NAME=VALUE       $WORK is the folder
//	exe FILE             make it executable
//
// `go test ./tools -update` writes the files of `cmp stdout` anew: read the
// difference before you commit it.
func TestScripts(t *testing.T) {
	zone := time.Local
	time.Local = time.UTC
	t.Cleanup(func() { time.Local = zone })
	scripts, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts found: %v", err)
	}
	for _, name := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) { runScript(t, name) })
	}
}

// script is one run of a script.
type script struct {
	t              *testing.T
	dir            string
	at             string // file:line
	stdin          []byte
	stdout, stderr string
	files          map[string]string // the files at the script's end
	order          []string
	changed        bool
}

func runScript(t *testing.T, file string) {
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := &script{t: t, dir: t.TempDir(), files: map[string]string{}}
	body := s.split(string(b))
	cib, err := os.ReadFile("testdata/harbour.xml")
	if err != nil {
		t.Fatal(err)
	}
	s.write("cib.xml", string(cib))
	for name, text := range s.files {
		s.write(name, text)
	}
	t.Setenv("HA_ROOT", s.dir)
	t.Setenv("CIB_file", filepath.Join(s.dir, "cib.xml"))
	for i, line := range strings.Split(body, "\n") {
		s.at = line
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		words := fields(strings.ReplaceAll(line, "$WORK", s.dir))
		not := words[0] == "!"
		if not {
			words = words[1:]
		}
		t.Logf("%d: %s", i+1, line)
		s.step(not, words[0], words[1:])
		if t.Failed() && !*update {
			t.FailNow()
		}
	}
	if s.changed {
		out := body
		for _, name := range s.order {
			out += "-- " + name + " --\n" + s.files[name]
		}
		if err := os.WriteFile(file, []byte(out), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

var fileMark = regexp.MustCompile(`(?m)^-- (\S+) --\n`)

// split takes the files off a script.
func (s *script) split(text string) (body string) {
	marks := fileMark.FindAllStringSubmatchIndex(text, -1)
	body = text
	for i, m := range marks {
		if i == 0 {
			body = text[:m[0]]
		}
		end := len(text)
		if i+1 < len(marks) {
			end = marks[i+1][0]
		}
		name := text[m[2]:m[3]]
		s.order = append(s.order, name)
		s.files[name] = text[m[1]:end]
	}
	return body
}

// fields splits a line at blanks, apart from those in single quotes.
func fields(line string) []string {
	var out []string
	for _, m := range regexp.MustCompile(`'([^']*)'|(\S+)`).FindAllStringSubmatch(line, -1) {
		out = append(out, m[1]+m[2])
	}
	return out
}

func (s *script) write(name, text string) {
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *script) read(name string) string {
	if name == "stdout" {
		return s.stdout
	}
	b, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(b)
}

func (s *script) step(not bool, verb string, args []string) {
	t := s.t
	t.Helper()
	switch verb {
	case "exec":
		t.Chdir(s.dir)
		var stdout, stderr bytes.Buffer
		code := dispatch(context.Background(), args[0], args[1:], bytes.NewReader(s.stdin), &stdout, &stderr)
		t.Chdir(origin)
		s.stdin, s.stdout, s.stderr = nil, stdout.String(), stderr.String()
		if code == 0 == not {
			t.Errorf("exit status %d\n%s%s", code, s.stdout, s.stderr)
		}
	case "stdout", "stderr":
		text := s.stdout
		if verb == "stderr" {
			text = s.stderr
		}
		s.match(not, strings.Join(args, " "), verb, text)
	case "grep":
		s.match(not, strings.Join(args[:len(args)-1], " "), args[len(args)-1], s.read(args[len(args)-1]))
	case "cmp":
		got, want := s.read(args[0]), s.read(args[1])
		if got == want {
			return
		}
		if *update && args[0] == "stdout" {
			s.files[args[1]], s.changed = got, true
			s.write(args[1], got)
			return
		}
		t.Errorf("%s is not as in %s:\n%s", args[0], args[1], got)
	case "stdin":
		s.stdin = []byte(s.read(args[0]))
	case "env":
		name, value, _ := strings.Cut(args[0], "=")
		t.Setenv(name, value)
	case "exe":
		if err := os.Chmod(filepath.Join(s.dir, args[0]), 0o755); err != nil {
			t.Fatal(err)
		}
	default:
		t.Fatalf("unknown verb %q", verb)
	}
}

func (s *script) match(not bool, pattern, what, text string) {
	s.t.Helper()
	re, err := regexp.Compile("(?m)" + pattern)
	if err != nil {
		s.t.Fatal(err)
	}
	if re.MatchString(text) == not {
		s.t.Errorf("%s: match of %q is %v:\n%s", what, pattern, !not, text)
	}
}

// origin is the folder that the tests run in.
var origin = func() string {
	dir, err := os.Getwd()
	if err != nil {
		panic(err)
	}
	return dir
}()
