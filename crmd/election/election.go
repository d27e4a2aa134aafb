// Package election tells who is the DC: a pure function of the agreed
// membership view (crm 2.10, 9.5), so no vote is ever sent.
//
// A view names the nodes whose controller takes part, and what decides: feature
// set, when the process entered, name, and which of them claims to be DC
// already. All members that install a view compute the same DC from it, so
// there is at most one per view. A DC that stays stays, because its claim is a
// fact carried in the view; without a claim the best candidate takes over, at
// once if a DC was lost or every configured node is here, else after
// dc-deadtime.
//
// Core adds to that function what one node does about it and when. The shell
// feeds it views and time, publishes the claim it asks for with
// cluster.Conn.SetInfo, and starts or ends the DC's work.
package election

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// Candidate is a node whose controller takes part in this view.
type Candidate struct {
	Node       string
	FeatureSet string
	BornOn     uint64 // view in which the controller entered
	NodeBornOn uint64 // view in which the node entered
	// Claim is the view since which it is DC by its own word; 0: it is not.
	Claim uint64
	// ClaimQuorate says that the claimant's partition had quorum when it claimed.
	ClaimQuorate bool
}

// View is the part of an agreed membership that decides.
type View struct {
	Number      uint64
	Coordinator string
	Quorate     bool
	Candidates  []Candidate
	// Configured are the names of all cluster nodes known to the messaging layer.
	Configured []string
}

// DC returns the node that is DC in v once one has to be; empty if nobody can.
func DC(v View) string {
	best := -1
	for i := range v.Candidates {
		if best < 0 || before(&v.Candidates[i], &v.Candidates[best]) {
			best = i
		}
	}
	if best < 0 {
		return ""
	}
	return v.Candidates[best].Node
}

// Claimed says whether some candidate of v is DC already.
func Claimed(v View) bool {
	return slices.ContainsFunc(v.Candidates, func(c Candidate) bool { return c.Claim != 0 })
}

// before is the order of candidates. Claims come first, and of two (after a
// merge) the one of a quorate partition; then crm 2.3.
func before(a, b *Candidate) bool {
	if (a.Claim != 0) != (b.Claim != 0) {
		return a.Claim != 0
	}
	if a.Claim != 0 && a.ClaimQuorate != b.ClaimQuorate {
		return a.ClaimQuorate
	}
	if c := CompareFeatureSets(a.FeatureSet, b.FeatureSet); c != 0 {
		return c < 0
	}
	if a.BornOn != b.BornOn {
		return a.BornOn < b.BornOn
	}
	if a.NodeBornOn != b.NodeBornOn {
		return a.NodeBornOn < b.NodeBornOn
	}
	if c := strings.Compare(strings.ToLower(a.Node), strings.ToLower(b.Node)); c != 0 {
		return c < 0
	}
	return a.Node < b.Node
}

// CompareFeatureSets compares numerically, dotted part by dotted part; a
// missing part counts as 0.
func CompareFeatureSets(a, b string) int {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(as), len(bs)) {
		if x, y := part(as, i), part(bs, i); x != y {
			if x < y {
				return -1
			}
			return 1
		}
	}
	return 0
}

func part(parts []string, i int) int {
	if i >= len(parts) {
		return 0
	}
	n, err := strconv.Atoi(parts[i])
	if err != nil {
		return 0
	}
	return n
}

// Event is something that happened.
type Event interface{ event() }

// Installed: a new view is in force.
type Installed struct{ View View }

// Configured: the option dc-deadtime is known, or has changed.
type Configured struct{ DCDeadtime time.Duration }

// Woken: the time named by WakeAt has come.
type Woken struct{}

func (Installed) event()  {}
func (Configured) event() {}
func (Woken) event()      {}

// Claim is what this node's entry in the membership has to say about its role.
type Claim struct {
	Since   uint64 // 0: not DC
	Quorate bool
}

// Output is what the shell has to do, in this order.
type Output struct {
	// Released: this node was DC and is no longer; it must order nothing more.
	Released bool
	// Won: this node is DC from now on.
	Won bool
	// Why it was won: "no DC seen within dc-deadtime", ...
	Why string
	// Claim, if set, replaces what the membership carries about this node.
	Claim  *Claim
	WakeAt time.Time // zero: no need
}

// Core is one node's part.
type Core struct {
	self     string
	deadtime time.Duration
	view     View
	started  time.Time // first view with ourselves in it
	knewDC   bool      // a view of this process's life had a DC
	since    uint64    // view in which we became DC; 0: we are not
	claimed  Claim     // what was last published
}

// New returns a core for the node self that waits dc-deadtime when it starts alone.
func New(self string, deadtime time.Duration) *Core {
	return &Core{self: self, deadtime: deadtime}
}

// DC is the node that is or has to become DC in the view in force.
func (c *Core) DC() string { return DC(c.view) }

// Local says whether this node is DC.
func (c *Core) Local() bool { return c.since != 0 }

// Acting says whether DC acts in the view in force without waiting any longer:
// the same on every member that has seen the same views.
func (c *Core) Acting(now time.Time) bool {
	if c.started.IsZero() {
		return false
	}
	due, _ := c.due(now)
	return due && (c.since != 0 || Claimed(c.view) || c.knewDC || c.allHere())
}

// Step takes one event in at time now.
func (c *Core) Step(now time.Time, ev Event) Output {
	var out Output
	switch ev := ev.(type) {
	case Installed:
		c.view = ev.View
		c.knewDC = c.knewDC || Claimed(ev.View)
	case Configured:
		c.deadtime = ev.DCDeadtime
	case Woken:
	}
	present := slices.ContainsFunc(c.view.Candidates, func(x Candidate) bool { return x.Node == c.self })
	if present && c.started.IsZero() {
		c.started = now
	}
	switch leads := present && DC(c.view) == c.self; {
	case !leads && c.since != 0:
		c.since = 0
		out.Released = true
	case leads && c.since == 0:
		due, why := c.due(now)
		if !due {
			out.WakeAt = c.started.Add(c.deadtime)
			break
		}
		c.since, c.knewDC = c.view.Number, true
		out.Won, out.Why = true, why
	}
	if want := (Claim{Since: c.since, Quorate: c.since != 0 && c.view.Quorate}); want != c.claimed {
		c.claimed = want
		out.Claim = &want
	}
	return out
}

// due says whether the best candidate of the view in force acts now (crm 9.4).
func (c *Core) due(now time.Time) (bool, string) {
	switch {
	case Claimed(c.view):
		return true, "it claims to be DC in the present view"
	case c.knewDC:
		return true, "the DC was lost"
	case c.allHere():
		return true, "every configured node is a member"
	case !now.Before(c.started.Add(c.deadtime)):
		return true, "no DC seen within dc-deadtime"
	}
	return false, ""
}

func (c *Core) allHere() bool {
	for _, name := range c.view.Configured {
		if !slices.ContainsFunc(c.view.Candidates, func(x Candidate) bool { return x.Node == name }) {
			return false
		}
	}
	return true
}
