package explain_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"linuxha/pengine/explain"
	"linuxha/pengine/internal/mutate"
	"linuxha/pengine/internal/xmldoc"
	"linuxha/pengine/schedule"
	"linuxha/pengine/state"
)

// conformanceDir holds Pacemaker's regression cases, which are not part of the
// project.
func conformanceDir() string {
	if d := os.Getenv("PENGINE_CONFORMANCE"); d != "" {
		return d
	}
	return "../../../shared/conformance/scheduler"
}

func inputs(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// plan schedules a file; with reasons kept if explained.
func plan(t *testing.T, file string, explained bool) *schedule.Plan {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	p, err := schedule.Schedule(schedule.Input{
		CIB: data, Now: time.Unix(1_700_000_000, 0).UTC(), Scores: true, Utilization: true, Sanitized: true, Explain: explained,
	})
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return p
}

// TestAllCases explains every resource of every case. What the contributions add
// up to, and for which resource and node, is compared with the lines that
// `crm_simulate -s` prints: nothing may be missing, too much, or different. Every
// planned and every impossible action must have a reason. And keeping reasons
// must change nothing.
func TestAllCases(t *testing.T) {
	own := inputs(t, "../schedule/testdata/*.xml")
	if len(own) < 20 {
		t.Fatalf("only %d cases of our own", len(own))
	}
	public := inputs(t, filepath.Join(conformanceDir(), "xml", "*.xml"))
	if testing.Short() {
		public = public[:len(public)/10]
	}
	if len(public) == 0 {
		t.Log("no conformance cases here (set PENGINE_CONFORMANCE): only our own are checked")
	}
	for _, file := range append(own, public...) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".xml"), func(t *testing.T) {
			t.Parallel()
			check(t, file)
		})
	}
}

func check(t *testing.T, file string) {
	p := plan(t, file, true)
	if d := sums(t, p); d != "" {
		t.Errorf("explanations and scores differ:\n%s", d)
	}
	if plain := plan(t, file, false); !bytes.Equal(plain.Graph.XML, p.Graph.XML) || !slices.Equal(plain.Scores, p.Scores) {
		t.Error("keeping reasons changed the plan")
	}
	for _, r := range p.Cluster.Resources {
		e, err := p.Explain(r.ID)
		if err != nil {
			t.Fatal(err)
		}
		reasons(t, e)
	}
}

// sums says in what the score lines of a plan and those that its explanations
// account for differ.
func sums(t *testing.T, p *schedule.Plan) string {
	t.Helper()
	var got []string
	seen := map[string]bool{}
	for _, r := range p.Cluster.Resources {
		if seen[r.ID] {
			continue // its explanation covers all of that name
		}
		seen[r.ID] = true
		e, err := p.Explain(r.ID)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, lines(e)...)
	}
	want := slices.DeleteFunc(slices.Clone(p.Scores), func(l string) bool { return !strings.Contains(l, " score on ") })
	slices.Sort(got)
	slices.Sort(want)
	return difference(got, want)
}

// lines are the score lines that an explanation accounts for.
func lines(e *explain.Explanation) (list []string) {
	for _, table := range e.Tables {
		for _, s := range table.Scores {
			list = append(list, fmt.Sprintf("%s: %s allocation score on %s: %s", table.Label, e.ID, s.Node, text(total(s.Sum))))
		}
	}
	if s := e.Promotion; s != nil {
		node := s.Node
		if node == "" {
			node = "none"
		}
		list = append(list, fmt.Sprintf("%s promotion score on %s: %s", e.ID, node, text(total(s.Sum))))
	}
	for _, part := range e.Parts {
		list = append(list, lines(part)...)
	}
	return list
}

// total adds contributions up by the letter of assignment 1.1.2, apart from the
// code under test.
func total(sum []explain.Contribution) int {
	const inf = 1_000_000
	t := 0
	for _, c := range sum {
		switch {
		case c.Set:
			t = c.Score
		case t <= -inf || c.Score <= -inf:
			t = -inf
		case t >= inf || c.Score >= inf:
			t = inf
		default:
			t = max(-inf, min(inf, t+c.Score))
		}
	}
	return t
}

func text(score int) string {
	switch {
	case score >= state.Infinity:
		return "INFINITY"
	case score <= -state.Infinity:
		return "-INFINITY"
	}
	return strconv.Itoa(score)
}

// difference lists lines that are in only one of two sorted lists, the first
// ten of each.
func difference(got, want []string) string {
	var b strings.Builder
	only := func(title string, in, out []string) {
		left := slices.Clone(out)
		n := 0
		for _, l := range in {
			if i := slices.Index(left, l); i >= 0 {
				left = slices.Delete(left, i, i+1)
				continue
			}
			if n++; n <= 10 {
				fmt.Fprintf(&b, "%s: %s\n", title, l)
			}
		}
	}
	only("explained, not printed", got, want)
	only("printed, not explained", want, got)
	return b.String()
}

func reasons(t *testing.T, e *explain.Explanation) {
	for _, a := range e.Actions {
		if len(a.Why) == 0 || slices.Contains(a.Why, "") {
			t.Errorf("%s on %s (%s): %q", a.Key, a.Node, a.State, a.Why)
		}
	}
	for _, part := range e.Parts {
		reasons(t, part)
	}
}

func TestUnknownResource(t *testing.T) {
	p := plan(t, "../schedule/testdata/migrate.xml", true)
	_, err := p.Explain("nobody")
	var unknown explain.Unknown
	if !errors.As(err, &unknown) || unknown.ID != "nobody" {
		t.Errorf("got %v, want Unknown", err)
	}
	if _, err := plan(t, "../schedule/testdata/migrate.xml", false).Explain("vm"); err == nil {
		t.Error("a plan without a ledger was explained")
	}
}

func TestTotal(t *testing.T) {
	add := func(n int) explain.Contribution { return explain.Contribution{Score: n} }
	set := func(n int) explain.Contribution { return explain.Contribution{Score: n, Set: true} }
	const inf = state.Infinity
	for _, c := range []struct {
		name string
		sum  []explain.Contribution
		want int
	}{
		{"nothing", nil, 0},
		{"plain", []explain.Contribution{add(100), add(-30)}, 70},
		{"infinity and more", []explain.Contribution{add(inf), add(-5)}, inf},
		{"minus infinity wins", []explain.Contribution{add(-inf), add(inf)}, -inf},
		{"set forgets", []explain.Contribution{add(-inf), set(500), add(1)}, 501},
	} {
		if got := explain.Total(c.sum); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

// TestBrokenInputsAreExplained: whatever a document says, sums and scores agree
// and explaining ends.
func TestBrokenInputsAreExplained(t *testing.T) {
	rounds := 40
	if testing.Short() {
		rounds = 5
	}
	for _, file := range inputs(t, "../schedule/testdata/*.xml") {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for seed := range rounds {
			root, err := xmldoc.Parse(data)
			if err != nil {
				t.Fatal(err)
			}
			mutate.Document(rand.New(rand.NewPCG(uint64(seed), uint64(len(data)))), root)
			p, err := schedule.Schedule(schedule.Input{CIB: []byte(root.String()), Now: time.Unix(1_700_000_000, 0).UTC(), Scores: true, Explain: true})
			if err != nil {
				continue // not a CIB any more
			}
			if d := sums(t, p); d != "" {
				t.Errorf("%s, mutation %d: explanations and scores differ:\n%s", file, seed, d)
			}
			explain.Trace(p.Cluster, true)
		}
	}
}

// TestPointsMove: the points that would bring a resource to the next best node
// do so, as a location constraint, and one less does not.
func TestPointsMove(t *testing.T) {
	for _, c := range []struct{ input, resource string }{
		{"migrate", "vm"}, {"threshold-reached", "db"}, {"parameter-changed", "a"}, {"stop-failed-fences", "db"},
	} {
		t.Run(c.input, func(t *testing.T) {
			data, err := os.ReadFile("../schedule/testdata/" + c.input + ".xml")
			if err != nil {
				t.Fatal(err)
			}
			placed := func(cib string) (*explain.Explanation, explain.Choice) {
				p, err := schedule.Schedule(schedule.Input{CIB: []byte(cib), Now: time.Unix(1_700_000_000, 0).UTC(), Explain: true})
				if err != nil {
					t.Fatal(err)
				}
				e, err := p.Explain(c.resource)
				if err != nil {
					t.Fatal(err)
				}
				return e, e.Choices[len(e.Choices)-1]
			}
			with := func(node string, score int) string {
				l := fmt.Sprintf(`<rsc_location id="points" rsc="%s" node="%s" score="%d"/>`, c.resource, node, score)
				if cib := strings.Replace(string(data), "</constraints>", l+"</constraints>", 1); cib != string(data) {
					return cib
				}
				return strings.Replace(string(data), "<constraints/>", "<constraints>"+l+"</constraints>", 1)
			}
			before, choice := placed(string(data))
			if choice.Next == "" || choice.Points < 1 {
				t.Fatalf("no next node: %+v", choice)
			}
			if e, _ := placed(with(choice.Next, choice.Points)); e.Target != choice.Next {
				t.Errorf("with %d more on %s it goes to %s", choice.Points, choice.Next, e.Target)
			}
			if e, _ := placed(with(choice.Next, choice.Points-1)); e.Target != before.Target && choice.Points > 1 {
				t.Errorf("with %d more on %s it goes to %s already", choice.Points-1, choice.Next, e.Target)
			}
		})
	}
}
