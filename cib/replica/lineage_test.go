package replica

import (
	"testing"

	"linuxha/cib/cibdoc"
)

func epoch(n int64) cibdoc.Version { return cibdoc.Version{Epoch: n} }

func mark(view uint64, quorate bool, version, acked int64) Mark {
	m := Mark{Term: Term{View: view, Primary: "p"}, Quorate: quorate, Version: epoch(version)}
	if acked > 0 {
		m.Acked = epoch(acked)
	}
	return m
}

// Which of two copies wins, beyond what TestMerge sees on whole replicas.
func TestCompareByDescent(t *testing.T) {
	common := mark(1, true, 5, 5)
	for _, test := range []struct {
		name string
		a, b Candidate
		want int
	}{
		{
			"acknowledged wins over more changes",
			Candidate{Version: epoch(6), Lineage: Lineage{common, mark(2, true, 6, 6)}},
			Candidate{Version: epoch(9), Lineage: Lineage{common, mark(3, false, 9, 0)}},
			1,
		},
		{
			"stored with quorum wins over more changes",
			Candidate{Version: epoch(6), Lineage: Lineage{common, mark(2, true, 6, 0)}},
			Candidate{Version: epoch(9), Lineage: Lineage{common, mark(3, false, 9, 0)}},
			1,
		},
		{
			"of two that were only stored the later primary's", // test/sim, seed 31090
			Candidate{Version: epoch(6), Lineage: Lineage{common, mark(8, true, 6, 0)}},
			Candidate{Version: epoch(6), Lineage: Lineage{common, mark(6, true, 6, 0)}},
			1,
		},
		{
			"of two that were both acknowledged the version's",
			Candidate{Version: epoch(6), Lineage: Lineage{common, mark(8, true, 6, 6)}},
			Candidate{Version: epoch(7), Lineage: Lineage{common, mark(6, true, 7, 7)}},
			-1,
		},
		{
			"admin_epoch wins over all",
			Candidate{Version: epoch(6), Lineage: Lineage{common, mark(2, true, 6, 6)}},
			Candidate{Version: cibdoc.Version{AdminEpoch: 1}, Lineage: Lineage{common}},
			-1,
		},
	} {
		if got := test.a.Compare(test.b); got != test.want {
			t.Errorf("%s: %d, want %d", test.name, got, test.want)
		}
		if got := test.b.Compare(test.a); got != -test.want {
			t.Errorf("%s, the other way round: %d, want %d", test.name, got, -test.want)
		}
	}
}

// Whose status is kept when another copy's configuration wins.
func TestKnowsBetter(t *testing.T) {
	at := func(view uint64, quorate bool) Candidate {
		return Candidate{Kept: Term{View: view, Primary: "p"}, KeptQuorate: quorate}
	}
	fresh := Candidate{Fresh: true}
	for _, test := range []struct {
		name     string
		own, won Candidate
		want     bool
	}{
		{"in step with the same primary: the winner is ahead", at(5, true), at(5, true), false},
		{"the winner comes from a partition without quorum", at(5, true), at(9, false), true},
		{"we come from a partition without quorum", at(9, false), at(5, true), false},
		{"both quorate, ours is later", at(9, true), at(5, true), true},
		{"both quorate, ours is earlier", at(5, true), at(9, true), false},
		{"none had quorum", at(9, false), at(5, false), false},
		{"the winner has just read its disk", at(5, false), fresh, true},
		{"we have just read our disk", fresh, at(5, false), false},
	} {
		if got := test.own.knowsBetter(test.won); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}
