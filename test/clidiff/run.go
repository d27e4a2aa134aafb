package clidiff

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"linuxha/cib/cibdoc"
)

//go:embed cases docs
var files embed.FS

// Cases are those of the case files with these names (without suffix); none:
// of all.
func Cases(names ...string) ([]Case, error) {
	list, err := fs.Glob(files, "cases/*.txt")
	if err != nil {
		return nil, err
	}
	var out []Case
	for _, f := range list {
		if name := strings.TrimSuffix(filepath.Base(f), ".txt"); len(names) > 0 && !slices.Contains(names, name) {
			continue
		}
		text, err := files.ReadFile(f)
		if err != nil {
			return nil, err
		}
		cases, err := Parse(f, text)
		if err != nil {
			return nil, err
		}
		out = append(out, cases...)
	}
	return out, nil
}

// Outcome is what a command did.
type Outcome struct {
	Code           int // -1: it was killed, or did not end
	Stdout, Stderr string
	CIB            string // in the printed form
	Files          map[string]string
}

// ErrCrash says that the reference crashed: there is nothing to compare with.
var ErrCrash = errors.New("the reference crashes")

// Difference is where ours does not do what the reference does.
type Difference struct {
	Case
	What         string // exit status, stdout, stderr, CIB, files
	Ours, Theirs string
}

// patience is how long a command may take.
const patience = 20 * time.Second

// Run runs a case with the tools of both folders, each in a folder of its own
// below dir, and tells the differences. Without wording it is only compared
// whether there are messages, not what they say.
func Run(ctx context.Context, c Case, ours, theirs, dir string, wording bool) ([]Difference, error) {
	var got [2]Outcome
	for i, bin := range []string{ours, theirs} {
		home := filepath.Join(dir, []string{"ours", "reference"}[i])
		if err := prepare(home); err != nil {
			return nil, err
		}
		// What goes before is made by the reference for both, so that one
		// difference does not become two.
		for _, before := range c.After {
			if _, err := run(ctx, before, theirs, home); err != nil {
				return nil, err
			}
		}
		var err error
		if got[i], err = run(ctx, c, bin, home); err != nil {
			return nil, err
		}
	}
	if got[1].Code < 0 && got[0].Code >= 0 {
		return nil, ErrCrash
	}
	var out []Difference
	differ := func(what, a, b string) {
		if a != b {
			out = append(out, Difference{c, what, a, b})
		}
	}
	if !wording {
		for i := range got {
			got[i].forgetWording()
		}
	}
	differ("exit status", fmt.Sprint(got[0].Code), fmt.Sprint(got[1].Code))
	differ("stdout", got[0].Stdout, got[1].Stdout)
	differ("stderr", got[0].Stderr, got[1].Stderr)
	differ("CIB", got[0].CIB, got[1].CIB)
	for _, name := range slices.Compact(slices.Sorted(func(yield func(string) bool) {
		for _, g := range got {
			for name := range g.Files {
				if !yield(name) {
					return
				}
			}
		}
	})) {
		a, inOurs := got[0].Files[name]
		b, inTheirs := got[1].Files[name]
		if inOurs != inTheirs {
			differ("file "+name, fmt.Sprint("there: ", inOurs), fmt.Sprint("there: ", inTheirs))
			continue
		}
		differ("file "+name, a, b)
	}
	return out, nil
}

var errorsInXML = regexp.MustCompile(`(?s)<errors>.*</errors>`)

// usage is help that follows a message, to the end.
var usage = regexp.MustCompile(`(?s)\n?Usage:.*`)

// forgetWording leaves of messages that there are any.
func (o *Outcome) forgetWording() {
	if o.Code != 0 {
		o.Stdout = usage.ReplaceAllString(o.Stdout, "")
	}
	if o.Stderr != "" {
		o.Stderr = "(messages)\n"
	}
	o.Stdout = errorsInXML.ReplaceAllString(o.Stdout, "<errors>(messages)</errors>")
}

// prepare makes a folder that holds the documents, and nothing else.
func prepare(home string) error {
	if err := os.RemoveAll(home); err != nil {
		return err
	}
	if err := os.MkdirAll(home, 0o755); err != nil {
		return err
	}
	docs, err := fs.Sub(files, "docs")
	if err != nil {
		return err
	}
	return os.CopyFS(home, docs)
}

func run(ctx context.Context, c Case, bin, home string) (Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(bin, c.Argv[0]), c.Argv[1:]...)
	cmd.Args[0] = c.Argv[0]
	cmd.Dir = home
	cmd.WaitDelay = time.Second
	cmd.Env = []string{"PATH=" + bin + ":/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "TZ=UTC", "HOME=" + home, "CIB_shadow_dir=" + home, "EDITOR=true", "SHELL=/bin/true"}
	if c.CIB != "" {
		cmd.Env = append(cmd.Env, "CIB_file="+filepath.Join(home, c.CIB+".xml"))
	}
	cmd.Env = append(cmd.Env, c.Env...)
	if c.Stdin != "" {
		f, err := os.Open(filepath.Join(home, c.Stdin))
		if err != nil {
			return Outcome{}, fmt.Errorf("%s: %w", c.Where, err)
		}
		defer f.Close()
		cmd.Stdin = f
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited && ctx.Err() == nil && !errors.Is(err, exec.ErrWaitDelay) {
		return Outcome{}, fmt.Errorf("%s: %s: %w", c.Where, c, err)
	}
	now := time.Now()
	o := Outcome{Code: cmd.ProcessState.ExitCode(), Stdout: normalise(stdout.String(), home, now), Stderr: normalise(stderr.String(), home, now), Files: map[string]string{}}
	if ctx.Err() != nil {
		o.Stderr += "(did not end)\n"
	}
	return o, o.readFiles(c, home, now)
}

// readFiles reads the CIB, and what else is new in the folder or changed.
func (o *Outcome) readFiles(c Case, home string, now time.Time) error {
	list, err := os.ReadDir(home)
	if err != nil {
		return err
	}
	for _, f := range list {
		if f.IsDir() {
			continue
		}
		text, err := os.ReadFile(filepath.Join(home, f.Name()))
		if err != nil {
			return err
		}
		if f.Name() == c.CIB+".xml" {
			o.CIB = normalise(printed(text), home, now)
			continue
		}
		if first, err := files.ReadFile("docs/" + f.Name()); err == nil && bytes.Equal(first, text) {
			continue
		}
		o.Files[f.Name()] = normalise(printed(text), home, now)
	}
	return nil
}

// printed is a document as tools print it; what is none stays as it is.
func printed(text []byte) string {
	doc, err := cibdoc.Parse(text)
	if err != nil {
		return string(text)
	}
	return string(doc.Print())
}

var (
	times = []struct {
		re     *regexp.Regexp
		layout string
	}{
		{regexp.MustCompile(`[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}`), "Mon Jan _2 15:04:05 2006"},
		{regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ`), "2006-01-02 15:04:05Z"},
		{regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+00:00`), "2006-01-02 15:04:05 +00:00"},
	}
	epoch = regexp.MustCompile(`\b1[789]\d{8}\b`)
)

// normalise writes the present moment as @NOW@, days after it as @NOW+…@, and the folder as @DIR@.
func normalise(text, home string, now time.Time) string {
	near := func(t time.Time) bool { return t.Sub(now).Abs() < time.Minute }
	for _, f := range times {
		text = f.re.ReplaceAllStringFunc(text, func(s string) string {
			t, err := time.Parse(f.layout, s)
			if err != nil || !near(t.Add(-t.Sub(now).Round(24*time.Hour))) {
				return s
			}
			if days := t.Sub(now).Round(24 * time.Hour); days > 0 { // so much later, as a lifetime in days ends
				return fmt.Sprintf("@NOW+%v@", days)
			}
			if near(t) {
				return "@NOW@"
			}
			return s
		})
	}
	text = epoch.ReplaceAllStringFunc(text, func(s string) string {
		var sec int64
		if _, err := fmt.Sscan(s, &sec); err == nil && near(time.Unix(sec, 0)) {
			return "@NOW@"
		}
		return s
	})
	return strings.ReplaceAll(text, home, "@DIR@")
}
