package replica

import (
	"cmp"
	"slices"

	"linuxha/cib/cibdoc"
)

// Term is the reign of one primary: the membership view for which it was
// named, and which incarnation of its process it is.
type Term struct {
	View        uint64
	Primary     string
	Incarnation uint64
}

// Mark says how far a document's configuration got under one primary.
type Mark struct {
	Term    Term
	Quorate bool           // the primary had quorum
	Version cibdoc.Version // after the last change of the configuration in that term
	Acked   cibdoc.Version // after the last one that was acknowledged with quorum; zero: none
}

// Lineage is a document's descent: the terms in which its configuration was
// changed, oldest first. It tells a copy that is behind from one that has
// gone another way (cib 15.9).
type Lineage []Mark

const maxLineage = 64

// With returns l after a configuration change in term that led to v.
func (l Lineage) With(t Term, quorate bool, v cibdoc.Version) Lineage {
	out := slices.Clone(l)
	if n := len(out); n > 0 && out[n-1].Term == t {
		out[n-1].Version = v
		out[n-1].Quorate = quorate
		return out
	}
	out = append(out, Mark{Term: t, Quorate: quorate, Version: v})
	if len(out) > maxLineage {
		out = out[len(out)-maxLineage:]
	}
	return out
}

// Acknowledged returns l after all that led up to v was acknowledged with
// quorum, in whatever terms it was made.
func (l Lineage) Acknowledged(v cibdoc.Version) Lineage {
	out := slices.Clone(l)
	before := cibdoc.Version{}
	for i := range out {
		upTo := out[i].Version
		if v.Less(upTo) {
			upTo = v
		}
		if before.Less(v) && out[i].Acked.Less(upTo) {
			out[i].Acked = upTo
		}
		before = out[i].Version
	}
	return out
}

// contains reports whether a document of descent l has what term t made up to v.
func (l Lineage) contains(t Term, v cibdoc.Version) bool {
	if len(l) == maxLineage && v.Compare(l[0].Version) <= 0 {
		return true // older than what is remembered
	}
	return slices.ContainsFunc(l, func(m Mark) bool { return m.Term == t && m.Version.Compare(v) >= 0 })
}

// exceeds reports whether l has changes that other lacks, among those that
// of picks: it returns the version up to which a mark counts, zero for not at all.
func (l Lineage) exceeds(other Lineage, of func(Mark) cibdoc.Version) bool {
	return slices.ContainsFunc(l, func(m Mark) bool {
		v := of(m)
		return v != cibdoc.Version{} && !other.contains(m.Term, v)
	})
}

// latest is the view of the last change that l has and other lacks, among those
// that of picks; 0 if there is none.
func (l Lineage) latest(other Lineage, of func(Mark) cibdoc.Version) uint64 {
	view := uint64(0)
	for _, m := range l {
		if v := of(m); v != (cibdoc.Version{}) && !other.contains(m.Term, v) {
			view = max(view, m.Term.View)
		}
	}
	return view
}

func acked(m Mark) cibdoc.Version { return m.Acked }

// proposed counts what a quorate primary stored, whether or not it lived to
// see the acknowledgement.
func proposed(m Mark) cibdoc.Version {
	if !m.Quorate {
		return cibdoc.Version{}
	}
	return m.Version
}

func all(m Mark) cibdoc.Version { return m.Version }

// Candidate is one member's copy when the best is being chosen.
type Candidate struct {
	Node      string
	Version   cibdoc.Version
	Sum       cibdoc.Sum
	ConfigSum cibdoc.Sum
	Lineage   Lineage
	Fresh     bool // just read from disk, so without its status
	// Kept is the term in which this copy was last kept in step, and whether
	// its primary had quorum: whence the status comes.
	Kept        Term
	KeptQuorate bool
}

// knowsBetter tells whether c's status is to be kept although d's copy was
// chosen. Which configuration wins is the operators' matter (cib 15.9); but
// what runs where is known by the partition that could act: the one with quorum,
// the later one of two.
func (c Candidate) knowsBetter(d Candidate) bool {
	switch {
	case c.Fresh || c.Kept == d.Kept:
		return false
	case d.Fresh:
		return true
	case c.KeptQuorate != d.KeptQuorate:
		return c.KeptQuorate
	}
	return c.KeptQuorate && c.Kept.View > d.Kept.View
}

// Compare orders candidates, the better one is greater: the operator's word
// first, then what was acknowledged with quorum, then the tuple (cib 15.9).
func (c Candidate) Compare(d Candidate) int {
	if r := cmp.Compare(c.Version.AdminEpoch, d.Version.AdminEpoch); r != 0 {
		return r
	}
	mine, theirs := c.Lineage.exceeds(d.Lineage, acked), d.Lineage.exceeds(c.Lineage, acked)
	if mine != theirs {
		return truth(mine) - truth(theirs)
	}
	if !mine {
		// What was acknowledged is not known any more, perhaps because all have
		// crashed since. Of two quorate primaries the later one knew that the
		// other's change was not.
		if r := cmp.Compare(c.Lineage.latest(d.Lineage, proposed), d.Lineage.latest(c.Lineage, proposed)); r != 0 {
			return r
		}
	}
	return cmp.Or(c.Version.Compare(d.Version), truth(d.Fresh)-truth(c.Fresh))
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

// choose picks the best candidate; self wins among equals, then the first by
// name. The order is not total in theory (three copies may each hold what the
// next one lacks), so each is measured against all: the one that loses to the
// fewest wins.
func choose(cands []Candidate, self string) Candidate {
	slices.SortFunc(cands, func(a, b Candidate) int {
		return cmp.Or(truth(b.Node == self)-truth(a.Node == self), cmp.Compare(a.Node, b.Node))
	})
	best, fewest := 0, len(cands)+1
	for i := range cands {
		losses := 0
		for j := range cands {
			if cands[i].Compare(cands[j]) < 0 {
				losses++
			}
		}
		if losses < fewest {
			best, fewest = i, losses
		}
	}
	return cands[best]
}

// raised is the version that the chosen copy gets, so that versions only grow
// and none stands for two contents (cib 15.9).
func raised(chosen Candidate, cands []Candidate) cibdoc.Version {
	v := chosen.Version
	for _, c := range cands {
		if c.Sum == chosen.Sum || c.Version.Less(chosen.Version) {
			continue
		}
		up := cibdoc.Version{AdminEpoch: v.AdminEpoch, Epoch: c.Version.Epoch, NumUpdates: c.Version.NumUpdates + 1}
		if c.ConfigSum != chosen.ConfigSum || c.Version.Epoch > chosen.Version.Epoch {
			up.Epoch, up.NumUpdates = c.Version.Epoch+1, 0
		}
		if v.Less(up) {
			v = up
		}
	}
	return v
}
