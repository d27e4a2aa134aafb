package schema

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"linuxha/cib/cibdoc"
)

// patience is what no document of a fuzz target's size may need.
const patience = 5 * time.Second

// fuzzed reads what a fuzz target is given; nil if it is no document, or so
// large that the target would only be slow.
func fuzzed(b []byte) *cibdoc.Doc {
	if len(b) > 1<<16 {
		return nil
	}
	doc, err := cibdoc.Parse(b)
	if err != nil {
		return nil
	}
	return doc
}

// seeds are documents of the given versions out of the grammar.
func seeds(f *testing.F, names ...string) {
	f.Helper()
	for i, name := range names {
		v, _ := Lookup(name)
		r := rand.New(rand.NewPCG(uint64(i), 42))
		f.Add(generate(v, r, false).Bytes())
		f.Add(generate(v, r, true).Bytes())
		root := generate(v, r, false)
		mutate(root, r)
		f.Add(root.Bytes())
	}
}

func hurry(t *testing.T, doc *cibdoc.Doc, start time.Time) {
	t.Helper()
	if took := time.Since(start); took > patience {
		t.Errorf("%v for %d bytes", took, len(doc.Bytes()))
	}
}

// FuzzValidate: any document gets a verdict, in time, and a reason for it.
func FuzzValidate(f *testing.F) {
	seeds(f, append([]string{"pacemaker-next"}, Versions...)...)
	f.Add([]byte(heartbeatCIB))
	f.Fuzz(func(t *testing.T, b []byte) {
		doc := fuzzed(b)
		if doc == nil {
			return
		}
		start := time.Now()
		problems := Validate(doc)
		for _, name := range []string{"pacemaker-1.0", "pacemaker-2.10", "pacemaker-3.0", "pacemaker-3.9"} {
			problems = append(problems, Check(doc, name)...)
		}
		for _, p := range problems {
			if p.Text == "" || len(p.ReferenceLines("f")) == 0 || p.String() == "" {
				t.Errorf("%+v says nothing", p)
			}
		}
		again := cibdoc.New(doc.Root())
		if a, b := Validate(doc), ValidateChange(doc, again); len(a) != len(b) {
			t.Errorf("%v, and as a change %v", a, b)
		}
		hurry(t, doc, start)
	})
}

// FuzzUpgrade: what is upgraded is valid, and newer than before.
func FuzzUpgrade(f *testing.F) {
	seeds(f, Versions...)
	f.Add([]byte(heartbeatCIB))
	f.Fuzz(func(t *testing.T, b []byte) {
		doc := fuzzed(b)
		if doc == nil {
			return
		}
		start := time.Now()
		before := doc.Sum()
		up, err := UpgradeWith(doc, UpgradeOptions{Report: func(m Message) {
			if m.Problem == nil && m.Text == "" {
				t.Error("an empty message")
			}
		}})
		hurry(t, doc, start)
		if doc.Root().Sum() != before {
			t.Error("the old document changed")
		}
		if err != nil {
			if rc := cibdoc.RCOf(err); rc != cibdoc.RCSchema && rc != cibdoc.RCTransform && rc != cibdoc.RCSchemaLatest {
				t.Errorf("code %v: %v", rc, err)
			}
			return
		}
		name := up.Root().Attr("validate-with")
		if Index(name) <= Index(doc.Root().Attr("validate-with")) || len(Validate(up)) > 0 {
			t.Errorf("from %q to %q: %v", doc.Root().Attr("validate-with"), name, Validate(up))
		}
		if again, err := Upgrade(up); err == nil {
			t.Errorf("a second upgrade goes on from %s to %s", name, again.Root().Attr("validate-with"))
		} else if name == cibdoc.LatestSchema && !errors.Is(err, cibdoc.RCSchemaLatest) {
			t.Errorf("a second upgrade: %v", err)
		}
	})
}

// step runs one transform on any configuration, valid or not.
func step(f *testing.F, name string, versions ...string) {
	f.Helper()
	seeds(f, versions...)
	f.Fuzz(func(t *testing.T, b []byte) {
		doc := fuzzed(b)
		if doc == nil || doc.Configuration() == nil {
			return
		}
		start := time.Now()
		to := &transformation{config: clone(doc.Configuration()), say: func(string, ...any) {}}
		for _, p := range transforms[name].phases {
			if p.do(to); to.err != nil {
				return
			}
		}
		hurry(t, doc, start)
		if size, was := len(to.config.Bytes()), len(b); size > 1<<20+was*was {
			t.Errorf("%d bytes became %d", was, size)
		}
	})
}

// FuzzTo2 is the transform of access lists.
func FuzzTo2(f *testing.F) {
	step(f, "pacemaker-1.3", "pacemaker-1.0", "pacemaker-1.2", "pacemaker-1.3")
}

// FuzzTo3 is the transform in three phases.
func FuzzTo3(f *testing.F) {
	step(f, "pacemaker-2.10", "pacemaker-2.0", "pacemaker-2.5", "pacemaker-2.10")
}

// FuzzFromHeartbeat: what is converted is valid.
func FuzzFromHeartbeat(f *testing.F) {
	f.Add([]byte(heartbeatCIB))
	seeds(f, "pacemaker-1.0")
	f.Fuzz(func(t *testing.T, b []byte) {
		doc := fuzzed(b)
		if doc == nil || doc.Root().Tag != "cib" {
			return
		}
		start := time.Now()
		out, err := FromHeartbeat(doc, nil)
		hurry(t, doc, start)
		if err == nil && (out.Root().Attr("validate-with") != "pacemaker-1.0" || len(Validate(out)) > 0) {
			t.Errorf("%s is not valid: %v", out.Bytes(), Validate(out))
		}
	})
}

// FuzzGrammar: any text is a grammar, or an error.
func FuzzGrammar(f *testing.F) {
	f.Add(grammarText)
	f.Add("start = <a> { b(c, @x \"1\") }\nb(p, q) = p & q*\nc = empty [since 1.0]\ntype t = /x/ | integer")
	f.Fuzz(func(t *testing.T, text string) {
		g, err := readGrammar(text)
		if err == nil && g == nil || err != nil && err.Error() == "" {
			t.Errorf("%v %v", g, err)
		}
	})
}
