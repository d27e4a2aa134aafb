package schedule

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"linuxha/pengine/internal/xmldoc"
)

// mutate breaks a document in ways that a schema would mostly let pass: values
// swapped, emptied or taken from elsewhere, elements removed, repeated, moved.
func mutate(r *rand.Rand, root *xmldoc.Elem) {
	var all []*xmldoc.Elem
	root.Walk(func(e *xmldoc.Elem) bool { all = append(all, e); return true })
	pick := func() *xmldoc.Elem { return all[r.IntN(len(all))] }
	words := []string{"", "0", "-1", "99999999999999999999", "INFINITY", "-INFINITY", "true", "false", "Stopped", "Promoted", "P1Y", "a:b", ":0", "%0", "(", "#uname", "stop", "monitor", "fence", "block"}
	for range 1 + r.IntN(6) {
		e := pick()
		switch r.IntN(7) {
		case 0:
			if len(e.Attrs) > 0 {
				e.Attrs[r.IntN(len(e.Attrs))].Value = words[r.IntN(len(words))]
			}
		case 1:
			if o := pick(); len(e.Attrs) > 0 && len(o.Attrs) > 0 {
				e.Attrs[r.IntN(len(e.Attrs))].Value = o.Attrs[r.IntN(len(o.Attrs))].Value
			}
		case 2:
			if len(e.Attrs) > 0 {
				e.Unset(e.Attrs[r.IntN(len(e.Attrs))].Name)
			}
		case 3:
			if e.Parent != nil {
				e.Parent.Remove(e)
			}
		case 4:
			if e.Parent != nil {
				e.Parent.Append(e.Clone())
			}
		case 5:
			e.Append(pick().Clone())
		case 6:
			e.Name = pick().Name
		}
	}
}

// TestMutatedInputsEnd schedules broken variants of every golden input: each
// must end in a plan or an error.
func TestMutatedInputsEnd(t *testing.T) {
	files, err := filepath.Glob("testdata/*.xml")
	if err != nil {
		t.Fatal(err)
	}
	if extra := os.Getenv("PENGINE_CORPUS"); extra != "" {
		more, err := filepath.Glob(filepath.Join(extra, "*.xml"))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, more...)
	}
	rounds := 40
	if testing.Short() {
		rounds = 5
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for seed := range rounds {
			root, err := xmldoc.Parse(data)
			if err != nil {
				t.Fatal(err)
			}
			mutate(rand.New(rand.NewPCG(uint64(seed), uint64(len(data)))), root)
			text := root.String()
			scheduleOrTell(t, f, seed, text)
		}
	}
}

func scheduleOrTell(t *testing.T, file string, seed int, text string) {
	t.Helper()
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("%s, mutation %d: %v", file, seed, p)
			if os.Getenv("PENGINE_CORPUS") != "" {
				panic(p)
			}
		}
	}()
	plan, err := Schedule(Input{CIB: []byte(text), Now: time.Unix(1700000000, 0), Scores: true, Utilization: true})
	if err == nil && !strings.HasPrefix(string(plan.Graph.XML), "<transition_graph") {
		t.Errorf("%s, mutation %d: no graph", file, seed)
	}
}

// FuzzSchedule feeds arbitrary bytes.
func FuzzSchedule(f *testing.F) {
	files, err := filepath.Glob("testdata/*.xml")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("<cib><configuration/></cib>"))
	f.Fuzz(func(t *testing.T, data []byte) {
		// A plan or an error; a panic fails the test by itself.
		if plan, err := Schedule(Input{CIB: data, Now: time.Unix(1700000000, 0)}); err == nil && plan.Graph == nil {
			t.Error("neither plan nor error")
		}
	})
}
