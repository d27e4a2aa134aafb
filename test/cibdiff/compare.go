package cibdiff

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"linuxha/cib/cibdoc"
)

// opsPerDocument is how long a document lives before the next one is made.
const opsPerDocument = 20

// outcome is what one program made of an operation.
type outcome struct {
	code        int
	stdout, err string
	doc         []byte
}

// crashed is the status of a program that was killed by a signal.
const crashed = -1

// program is a cibadmin with its own file.
type program struct{ bin, file string }

func (p program) run(ctx context.Context, args []string) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute) // on a busy machine
	defer cancel()
	cmd := exec.CommandContext(ctx, p.bin, args...)
	cmd.Dir = filepath.Dir(p.file)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "TZ=UTC", "CIB_file=" + p.file, "HOME=" + filepath.Dir(p.file)}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		err = nil
		if exit.ExitCode() < 0 && ctx.Err() == nil {
			return outcome{code: crashed, err: exit.Error()}, nil
		}
	}
	if ctx.Err() != nil {
		err = errors.Join(err, ctx.Err())
	}
	if err != nil {
		return outcome{}, fmt.Errorf("%s %s: %w", p.bin, strings.Join(args, " "), err)
	}
	doc, err := os.ReadFile(p.file)
	return outcome{cmd.ProcessState.ExitCode(), out.String(), errs.String(), doc}, err
}

// Difference is an operation after which the two were not alike.
type Difference struct {
	Seed    uint64
	Step    int
	Args    []string
	What    string // exit status, output, document, digest, message
	Ours    string
	Theirs  string
	Before  []byte
	Because string // the reason, where the difference is meant
}

func (d Difference) String() string {
	return fmt.Sprintf("seed %d step %d: %s\n  cibadmin %s\n  reference: %s\n  ours:      %s", d.Seed, d.Step, d.What, quoted(d.Args), d.Theirs, d.Ours)
}

func quoted(args []string) string {
	var out []string
	for _, a := range args {
		if strings.ContainsAny(a, " <>'\"&|*[]()$\t\n\\") || a == "" {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		out = append(out, a)
	}
	return strings.Join(out, " ")
}

// Tally sums up runs.
type Tally struct {
	Documents, Operations, Changed, Refused int
	Differences                             []Difference // unexplained
	Meant                                   map[string]int
	Messages                                int // operations whose messages on stderr differ, nothing else
}

// Run compares one document's life. ours and reference are the two cibadmins,
// dir is an empty folder.
func Run(ctx context.Context, seed uint64, ours, reference, dir string, t *Tally) error {
	g := &gen{Rand: rand.New(rand.NewPCG(seed, 0))}
	us, them := program{ours, filepath.Join(dir, "ours.xml")}, program{reference, filepath.Join(dir, "reference.xml")}
	first := cibdoc.New(g.document())
	now := first.File()
	t.Documents++
	for step := range opsPerDocument {
		for _, p := range []program{us, them} {
			if err := os.WriteFile(p.file, now, 0o600); err != nil {
				return err
			}
		}
		doc, err := cibdoc.Parse(now)
		if err != nil {
			return fmt.Errorf("seed %d step %d: %w", seed, step, err)
		}
		args := g.operation(doc)
		theirs, err := them.run(ctx, args)
		if err != nil {
			return err
		}
		mine, err := us.run(ctx, args)
		if err != nil {
			return err
		}
		t.Operations++
		if theirs.code == crashed && mine.code != crashed {
			t.Meant["the reference crashes: "+theirs.err]++
			continue
		}
		switch {
		case theirs.code != 0:
			t.Refused++
		case !bytes.Equal(now, theirs.doc):
			t.Changed++
		}
		if d := compare(mine, theirs); d != nil {
			d.Seed, d.Step, d.Args, d.Before = seed, step, args, now
			if d.Because = meant(args, now, mine, theirs); d.Because != "" {
				t.Meant[d.Because]++
			} else {
				t.Differences = append(t.Differences, *d)
			}
		} else if mine.err != theirs.err && theirs.code != 64 {
			t.Messages++
		}
		now = theirs.doc
	}
	return digests(ctx, seed, us, them, t)
}

// digests compares what both say of the last document.
func digests(ctx context.Context, seed uint64, us, them program, t *Tally) error {
	for _, kind := range []string{"-5", "-6"} {
		args := []string{kind, "-x", them.file}
		theirs, err := them.run(ctx, args)
		if err != nil {
			return err
		}
		mine, err := us.run(ctx, args)
		if err != nil {
			return err
		}
		if mine.stdout != theirs.stdout {
			t.Differences = append(t.Differences, Difference{
				Seed: seed, Step: opsPerDocument, Args: args, What: "digest", Ours: mine.stdout, Theirs: theirs.stdout, Before: theirs.doc,
			})
		}
	}
	return nil
}

func compare(ours, theirs outcome) *Difference {
	switch {
	case ours.code != theirs.code:
		return &Difference{
			What: "exit status", Ours: fmt.Sprintf("%d %s", ours.code, firstLine(ours.err)), Theirs: fmt.Sprintf("%d %s", theirs.code, firstLine(theirs.err)),
		}
	case !bytes.Equal(printed(ours.doc), printed(theirs.doc)):
		a, b := firstUnequal(string(ours.doc), string(theirs.doc))
		return &Difference{What: "document", Ours: a, Theirs: b}
	case ours.stdout != theirs.stdout && theirs.code != 64:
		a, b := firstUnequal(ours.stdout, theirs.stdout)
		return &Difference{What: "output", Ours: a, Theirs: b}
	}
	return nil
}

// printed is a document as tools print it: what the reference stores. Our files
// keep tabs and line ends in values, which that form loses.
func printed(b []byte) []byte {
	doc, err := cibdoc.Parse(b)
	if err != nil {
		return b
	}
	return doc.Print()
}

// firstLine is the first line that is no copy of the document.
func firstLine(s string) string {
	for l := range strings.SplitSeq(s, "\n") {
		if strings.HasPrefix(l, "Call") || strings.HasPrefix(l, "Could") || strings.HasPrefix(l, "The ") || strings.Contains(l, "error :") {
			return l
		}
	}
	l, _, _ := strings.Cut(s, "\n")
	return l
}

func firstUnequal(a, b string) (string, string) {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return fmt.Sprintf("line %d: %s", i+1, x[i]), fmt.Sprintf("line %d: %s", i+1, y[i])
		}
	}
	return fmt.Sprintf("%d lines", len(x)), fmt.Sprintf("%d lines", len(y))
}

// meant is the reason for a difference that we want (cib 2.6, 15.2 and the
// decisions in cib/DESIGN.md).
func meant(args []string, before []byte, ours, theirs outcome) string {
	if args[0] == "--upgrade" && bytes.Contains(before, []byte(`validate-with="none"`)) {
		return "an upgrade of an unvalidated document does it, or says why not; the reference does nothing"
	}
	if ours.code == 4 && theirs.code == 0 && strings.Contains(strings.Join(args, " "), "<acls") {
		return "an empty section for ACLs needs permission like everything in it"
	}
	if slices.Contains(args, "//comment()") && args[0] != "-Q" {
		return "an XPath can name a comment; the reference takes its parent"
	}
	a, errA := cibdoc.Parse(printed(ours.doc))
	b, errB := cibdoc.Parse(printed(theirs.doc))
	if errA != nil || errB != nil || ours.code != theirs.code {
		return ""
	}
	if args[0] == "-P" && !slices.Contains(args, "-X") || args[0] == "-R" && !slices.Contains(args, "-X") && !slices.Contains(args, "-x") {
		return "a command without XML is refused"
	}
	if now, err := cibdoc.Parse(printed(before)); err == nil && args[0] == "-R" && a.Sum() == now.Sum() && sameButVersion(a, b) {
		return "replacing an element by its equal is no change (cib 2.2)"
	}
	if strings.Contains(strings.Join(args, " "), ` num_updates="`) && sameButVersion(a, b) {
		return "num_updates never goes back within an epoch"
	}
	if slices.Contains(args, "-c") && sameButVersion(a, b) {
		return "modify with allow-create counts a new object as a change of the configuration (cib 2.6)"
	}
	return ""
}

func sameButVersion(a, b *cibdoc.Doc) bool {
	zero := func(d *cibdoc.Doc) cibdoc.Sum {
		e := d.Edit()
		cibdoc.SetVersion(e.Own(nil), cibdoc.Version{})
		return e.Doc().Sum()
	}
	return zero(a) == zero(b)
}
