package schedule

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"linuxha/pengine/internal/mutate"
	"linuxha/pengine/internal/xmldoc"
)

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
			mutate.Document(rand.New(rand.NewPCG(uint64(seed), uint64(len(data)))), root)
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
