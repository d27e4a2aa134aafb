package schedule

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"linuxha/pengine/graph"
	"linuxha/pengine/internal/value"
	"linuxha/pengine/internal/xmldoc"
)

var rewrite = flag.Bool("rewrite", false, "renew the golden files")

// load reads an input and the time it is to be decided at.
func load(t testing.TB, file string) Input {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	root, err := xmldoc.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	at, ok := value.LeadingInt(root.Attr("execution-date"))
	if !ok {
		t.Fatalf("%s: no execution-date", file)
	}
	return Input{CIB: data, Now: time.Unix(at, 0).UTC(), Scores: true, Utilization: true}
}

// TestGolden decides the inputs in testdata and compares graph, scores and
// summary with the files beside them, which equal what Pacemaker 2.1.5 prints
// for the same inputs.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.xml")
	if err != nil || len(files) == 0 {
		t.Fatal("no inputs", err)
	}
	for _, f := range files {
		base := strings.TrimSuffix(f, ".xml")
		t.Run(filepath.Base(base), func(t *testing.T) {
			plan, err := Schedule(load(t, f))
			if err != nil {
				t.Fatal(err)
			}
			for ext, got := range map[string]string{
				".graph":   string(plan.Graph.XML),
				".scores":  strings.Join(plan.Scores, "\n") + "\n",
				".summary": strings.Join(graph.Format(plan.Summary), "\n") + "\n",
			} {
				if *rewrite {
					if err := os.WriteFile(base+ext, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(base + ext)
				if err != nil {
					t.Fatal(err)
				}
				if string(want) != got {
					t.Errorf("%s%s differs (run with -rewrite and read the diff):\n%s", base, ext, got)
				}
			}
		})
	}
}

// TestSameInputSamePlan: nothing may depend on the order of Go's maps.
func TestSameInputSamePlan(t *testing.T) {
	for _, name := range []string{"bundle", "promotable", "utilization", "colocation-sets"} {
		in := load(t, "testdata/"+name+".xml")
		first, err := Schedule(in)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			again, err := Schedule(in)
			if err != nil {
				t.Fatal(err)
			}
			if string(again.Graph.XML) != string(first.Graph.XML) || strings.Join(again.Scores, "\n") != strings.Join(first.Scores, "\n") {
				t.Fatalf("%s: two runs on the same input differ", name)
			}
		}
	}
}

func TestRefusedInputs(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "no XML": "hello", "not closed": "<cib>", "another root": "<a/>",
		"no configuration": "<cib/>", "two roots": "<cib/><cib/>", "bad attribute": `<cib a=1/>`,
	} {
		if _, err := Schedule(Input{CIB: []byte(text), Now: time.Unix(0, 0)}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestNotesGradeThePlan(t *testing.T) {
	in := load(t, "testdata/standby.xml")
	plan, err := Schedule(in)
	if err != nil || plan.Worst() > Notice {
		t.Errorf("a clean input is graded %v (%v): %v", plan.Worst(), err, plan.Notes)
	}
	bad := strings.Replace(string(in.CIB), "<constraints>", `<constraints><rsc_location id="x" rsc="nobody" node="n1" score="1"/>`, 1)
	in.CIB = []byte(bad)
	if plan, err = Schedule(in); err != nil || plan.Worst() != Error {
		t.Errorf("a constraint on an unknown resource is graded %v (%v)", plan.Worst(), err)
	}
}

func BenchmarkGolden(b *testing.B) {
	in := load(b, "testdata/promoted-lost.xml")
	in.Scores, in.Utilization = false, false
	for b.Loop() {
		if _, err := Schedule(in); err != nil {
			b.Fatal(err)
		}
	}
}
