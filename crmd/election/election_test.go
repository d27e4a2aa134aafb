package election

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

var t0 = time.Unix(1_800_000_000, 0)

func TestDC(t *testing.T) {
	for _, tc := range []struct {
		name string
		in   []Candidate
		want string
	}{
		{"nobody", nil, ""},
		{"older software leads", []Candidate{{Node: "a", FeatureSet: "3.16.1", BornOn: 1}, {Node: "b", FeatureSet: "3.9.4", BornOn: 7}}, "b"},
		{"longest member leads", []Candidate{{Node: "a", FeatureSet: "3.16.1", BornOn: 5}, {Node: "b", FeatureSet: "3.16.1", BornOn: 2}}, "b"},
		{"then the node's age", []Candidate{{Node: "a", FeatureSet: "3", BornOn: 5, NodeBornOn: 4}, {Node: "b", FeatureSet: "3.0", BornOn: 5, NodeBornOn: 3}}, "b"},
		{"then the name, whatever its case", []Candidate{{Node: "Zoe"}, {Node: "adam"}, {Node: "Bob"}}, "adam"},
		{"a DC that stays stays", []Candidate{{Node: "a", FeatureSet: "3.0", BornOn: 1}, {Node: "b", FeatureSet: "3.16.1", BornOn: 9, Claim: 4}}, "b"},
		{"after a merge the quorate one", []Candidate{{Node: "a", Claim: 9, BornOn: 1}, {Node: "b", Claim: 3, BornOn: 5, ClaimQuorate: true}}, "b"},
		{"of two quorate ones the better", []Candidate{{Node: "a", Claim: 9, BornOn: 6, ClaimQuorate: true}, {Node: "b", Claim: 3, BornOn: 5, ClaimQuorate: true}}, "b"},
	} {
		if got := DC(View{Candidates: tc.in}); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestDCDoesNotDependOnTheOrderOfCandidates(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 6).Draw(t, "n")
		var cs []Candidate
		for i := range n {
			cs = append(cs, Candidate{
				Node: string(rune('a' + i)), FeatureSet: rapid.SampledFrom([]string{"3.16.1", "3.9", "3.17"}).Draw(t, "fs"),
				BornOn: rapid.Uint64Range(1, 3).Draw(t, "born"), Claim: rapid.Uint64Range(0, 1).Draw(t, "claim"),
				ClaimQuorate: rapid.Bool().Draw(t, "quorate"),
			})
		}
		perm := rapid.Permutation(cs).Draw(t, "perm")
		if a, b := DC(View{Candidates: cs}), DC(View{Candidates: perm}); a != b {
			t.Fatalf("%q and %q", a, b)
		}
	})
}

func view(n uint64, configured []string, cs ...Candidate) Installed {
	return Installed{View{Number: n, Quorate: true, Candidates: cs, Configured: configured}}
}

func TestStartAloneWaitsForDeadtime(t *testing.T) {
	c := New("a", 20*time.Second)
	out := c.Step(t0, view(1, []string{"a", "b"}, Candidate{Node: "a"}))
	if out.Won || !out.WakeAt.Equal(t0.Add(20*time.Second)) {
		t.Fatalf("alone: %+v", out)
	}
	if out = c.Step(t0.Add(20*time.Second-1), Woken{}); out.Won {
		t.Fatal("won before dc-deadtime")
	}
	out = c.Step(t0.Add(20*time.Second), Woken{})
	if !out.Won || out.Claim == nil || out.Claim.Since != 1 || !out.Claim.Quorate {
		t.Fatalf("at dc-deadtime: %+v", out)
	}
}

func TestAllHereDecidesAtOnce(t *testing.T) {
	c := New("a", 20*time.Second)
	c.Step(t0, view(1, []string{"a", "b"}, Candidate{Node: "a"}))
	if out := c.Step(t0.Add(time.Second), view(2, []string{"a", "b"}, Candidate{Node: "a"}, Candidate{Node: "b"})); !out.Won {
		t.Fatalf("all here: %+v", out)
	}
}

func TestShorterDeadtimeIsTakenUp(t *testing.T) {
	c := New("a", 20*time.Second)
	c.Step(t0, view(1, []string{"a", "b"}, Candidate{Node: "a"}))
	if out := c.Step(t0.Add(2*time.Second), Configured{time.Second}); !out.Won {
		t.Fatalf("%+v", out)
	}
}

func TestLossOfTheDCIsAnsweredAtOnce(t *testing.T) {
	c := New("b", 20*time.Second)
	all := []string{"a", "b", "c"}
	c.Step(t0, view(5, all, Candidate{Node: "a", Claim: 3}, Candidate{Node: "b", BornOn: 5}))
	out := c.Step(t0, view(6, all, Candidate{Node: "b", BornOn: 5}))
	if !out.Won {
		t.Fatalf("%+v", out)
	}
}

func TestReleaseRetractsTheClaim(t *testing.T) {
	c := New("a", 0)
	c.Step(t0, view(1, []string{"a", "b"}, Candidate{Node: "a", BornOn: 1}))
	if !c.Local() {
		t.Fatal("not DC")
	}
	// The claim is not yet in this view, and an older feature set came.
	out := c.Step(t0, view(2, []string{"a", "b"}, Candidate{Node: "a", FeatureSet: "3.16", BornOn: 1}, Candidate{Node: "b", FeatureSet: "3.1", BornOn: 2}))
	if !out.Released || out.Claim == nil || out.Claim.Since != 0 || c.Local() {
		t.Fatalf("%+v", out)
	}
}

func TestQuorumChangeRenewsTheClaim(t *testing.T) {
	c := New("a", 0)
	c.Step(t0, view(1, nil, Candidate{Node: "a"}))
	v := view(2, nil, Candidate{Node: "a", Claim: 1, ClaimQuorate: true})
	v.View.Quorate = false
	if out := c.Step(t0, v); out.Claim == nil || out.Claim.Quorate || out.Claim.Since != 1 {
		t.Fatalf("%+v", out)
	}
}
