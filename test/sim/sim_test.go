package sim

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// histories runs seeds until one fails; it returns how many it ran.
func histories(p Plan, first, seeds uint64) (int, error) {
	for i := range seeds {
		p.Seed = first + i
		if r := Run(p); r.Err != nil {
			return int(i) + 1, r.Err
		}
	}
	return int(seeds), nil
}

func TestMessaging(t *testing.T) {
	if _, err := histories(Plan{}, 0, 30); err != nil {
		t.Fatal(err)
	}
}

// TestWeather: nobody is taken for dead, and no message is missing, on two
// links that lose, double, overtake and delay all the time.
func TestWeather(t *testing.T) {
	for _, modern := range []bool{false, true} {
		if _, err := histories(Plan{Weather: true, Modern: modern, Length: time.Minute}, 0, 6); err != nil {
			t.Error(err)
		}
	}
}

// TestWeatherNotices: with a dead time of two keepalives there are deaths in
// such weather, and the checker tells.
func TestWeatherNotices(t *testing.T) {
	if _, err := histories(Plan{Weather: true, Length: time.Minute, deadtime: 2 * keepalive}, 0, 6); err == nil || !strings.Contains(err.Error(), "which only had bad weather") {
		t.Errorf("%v", err)
	}
}

// TestMessagingWithModernKeys has all the faults of TestMessaging.
func TestMessagingWithModernKeys(t *testing.T) {
	if _, err := histories(Plan{Modern: true}, 0, 15); err != nil {
		t.Fatal(err)
	}
}

func TestFullStack(t *testing.T) {
	if _, err := histories(Plan{Stack: Full}, 0, 15); err != nil {
		t.Fatal(err)
	}
}

// The seeds that once found something.
func TestSeedsThatFoundBugs(t *testing.T) {
	for _, s := range []struct {
		seed  uint64
		stack Stack
		found string
	}{
		{49, Messaging, "three coordinators took members from each other for ever"},
		{54, Messaging, "a node waited for a coordinator that had gone on without it"},
		{62, Messaging, "a State that was lost with a broken stream was never told again"},
		{711, Messaging, "a node accepted a view and proposed another at once"},
		{962, Messaging, "a node left the view that it had just accepted because of old news"},
		{1411, Messaging, "two groups waited for each other to propose"},
		{80, Full, "one node that had gone on alone took the base of the merge from all others"},
		{20357, Full, "a change made without quorum and then acknowledged by a quorate primary was not marked as such on disk"},
		{12513, Full, "the status of a partition without quorum replaced that of the one that acted"},
		{31090, Full, "a change that was only stored won over one that a later primary had acknowledged"},
		{121, Full, "messages of a restarted node waited behind one of its former life"},
		{210055, Full, "a primary went on without a silent member that alone held an acknowledged change"},
		{340306, Full, "a node with quorum led the CIB while the other member's was being restarted"},
		{345455, Full, "a node that had returned was not sent again what it missed"},
		{406024, Full, "a node that had missed a view, and a message of somebody in it, kept its place"},
		{701673, Full, "late news of a node's fencing made its next death look clean"},
		{633996, Full, "the same, where the new view had been accepted but not installed"},
		{500579, Full, "a node that had gone on was taken for what it was in the former view"},
	} {
		if _, err := histories(Plan{Stack: s.stack}, s.seed, 1); err != nil {
			t.Errorf("%v: again? %s", err, s.found)
		}
	}
	if _, err := histories(Plan{Modern: true}, 9666, 1); err != nil {
		t.Errorf("%v: again? a node that was paused took the coordinator of its old view for that of the new one, and each waited for the other", err)
	}
}

func TestSameSeedSameHistory(t *testing.T) {
	for seed := range uint64(5) {
		p := Plan{Seed: seed, Stack: Full, Length: time.Minute}
		a, b := Run(p), Run(p)
		p.Trace = true
		traced := Run(p)
		if a.Fingerprint != b.Fingerprint || a.Fingerprint != traced.Fingerprint || a.Steps != b.Steps {
			t.Errorf("seed %d gave %x after %d steps, then %x after %d, traced %x", seed, a.Fingerprint, a.Steps, b.Fingerprint, b.Steps, traced.Fingerprint)
		}
		p.Seed += 1000
		if other := Run(p); other.Fingerprint == a.Fingerprint {
			t.Errorf("seeds %d and %d gave the same history", seed, p.Seed)
		}
	}
}

// Bugs planted in the simulated shells must be found, or the checks check
// nothing.
func TestPlantedBugsAreFound(t *testing.T) {
	for _, test := range []struct {
		name string
		bug  Bug
		want string
	}{
		{"acknowledge before sync", AcknowledgeUnsaved, "promise 4"},
		{"start before fencing is confirmed", StartUnfenced, "promise 1"},
		{"two DCs", TwoDCs, "promise 2"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ran, err := histories(Plan{Stack: Full, Nodes: 3, Bug: test.bug}, 0, 1000)
			if err == nil {
				t.Fatal("1000 histories did not show it")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("history %d failed with %v, want a broken %s", ran, err, test.want)
			}
			t.Logf("found by history %d: %v", ran, err)
		})
	}
}

// Without faults a cluster forms one view after the other only for its
// clients, and every resource is started once.
func TestQuietCluster(t *testing.T) {
	for _, nodes := range []int{3, 5, 7} {
		r := Run(Plan{Seed: 1, Stack: Full, Nodes: nodes, Faults: -1})
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		if r.Counts["operation"] < len(resources) || r.Counts["operation"] > 5*len(resources) || r.Counts["fencing"] > 0 {
			t.Errorf("%d nodes: %v", nodes, r.Counts)
		}
	}
}

// stopwatch takes the time from the first verdict "dead" to the last view
// without the dead node.
type stopwatch struct {
	c     *Cluster
	first time.Duration
	views int
	took  time.Duration
}

func (w *stopwatch) Saw(_ int, fact any) {
	switch f := fact.(type) {
	case verdict:
		if w.first == 0 {
			w.first = w.c.Elapsed()
		}
	case installed:
		if w.first > 0 && len(f.Lost) == 1 {
			if w.views++; w.views == len(w.c.nodes)-1 {
				w.took = w.c.Elapsed() - w.first
			}
		}
	}
}

func (w *stopwatch) End() {}

// A view follows a verdict by one round trip and a half, whoever dies; packets
// take up to half a millisecond here.
func TestViewFollowsVerdict(t *testing.T) {
	for _, nodes := range []int{3, 5, 7, 16} {
		for dead := range nodes {
			w := &stopwatch{}
			r := Run(Plan{Seed: uint64(dead), Nodes: nodes, Faults: -1, Length: time.Minute, script: func(c *Cluster) {
				w.c = c
				c.checks = append(c.checks, w)
				c.After(30*time.Second, c.nodes[dead].crash)
			}})
			if r.Err != nil {
				t.Fatal(r.Err)
			}
			if w.took == 0 || w.took > 2*time.Millisecond {
				t.Errorf("%d nodes, %d dies: the last view came %v after the first verdict", nodes, dead, w.took)
			}
		}
	}
}

func TestFailureTellsHowToSeeItAgain(t *testing.T) {
	_, err := histories(Plan{Stack: Full, Bug: StartUnfenced}, 0, 1000)
	if want := "seed "; err == nil || !strings.HasPrefix(err.Error(), want) || !strings.Contains(fmt.Sprint(err), ", at ") {
		t.Errorf("error %v names no seed and time", err)
	}
}

func BenchmarkMessaging(b *testing.B) { bench(b, Plan{}) }

func BenchmarkFull(b *testing.B) { bench(b, Plan{Stack: Full}) }

func bench(b *testing.B, p Plan) {
	steps := uint64(0)
	for i := range b.N {
		p.Seed = uint64(i)
		r := Run(p)
		if r.Err != nil {
			b.Fatal(r.Err)
		}
		steps += r.Steps
	}
	b.ReportMetric(float64(steps)/float64(b.N), "steps/op")
}
