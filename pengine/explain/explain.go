// Package explain says why a planned transition is as it is: for a resource,
// the exact sums behind its scores, why it goes where it goes, and why each of
// its actions is needed, superfluous or impossible. It decides nothing: it reads
// what the scheduler left in its ledger (state.Ledger) and in the model, and
// puts it into the words of operators. Its results are plain values: tools and
// consoles show them as they like.
package explain

import (
	"fmt"
	"slices"

	"linuxha/pengine/assign"
	"linuxha/pengine/internal/value"
	"linuxha/pengine/state"
	"linuxha/pengine/status"
)

// Explanation is all there is to say about one resource. Resources with parts
// (members, instances, replicas) have an explanation for each part; what the
// part itself is given comes first.
type Explanation struct {
	ID      string // with the instance number, if it has one
	Kind    string // primitive, group, clone, bundle
	Agent   string // as in `ocf:heartbeat:IPaddr2`, "" for collectives
	Role    string // now, as crm_mon names it
	Next    string // after the transition
	Managed bool
	Blocked bool     // a failure keeps the cluster from touching it
	Orphan  bool     // known from history only
	Active  []string // nodes where it runs now
	Target  string   // node where it is to run, "" for nowhere and for collectives

	Tables    []Table    // its allocation scores each time they were computed, oldest first
	Promotion *Promotion // of a promotable clone's instance: its promotion score, nil if it has none
	Choices   []Choice   // attempts to place it, oldest first; the last one counts
	Ignored   []string   // constraints without effect, and why
	Actions   []Action   // in the order in which they were thought of
	Fencing   []Fencing  // nodes whose fencing concerns it
	Parts     []*Explanation
}

// Table is the allocation scores of a resource at one moment.
type Table struct {
	Label  string // with which `crm_simulate -s` prints it
	Scores []Score
}

// Score is a score and what it is the sum of.
type Score struct {
	Node  string // "" if it belongs to none
	State string // what keeps the node from running anything new, "" if nothing does
	Hint  string // what would change State
	Score int    // state.Infinity and beyond mean INFINITY
	Sum   []Contribution
	Cut   bool // there were too many terms: the last ones are not in Sum
}

// Promotion is an instance's promotion score and what came of it
// (assignment 15.7).
type Promotion struct {
	Score
	Chosen bool
	Text   string // why
}

// Contribution is one term of a score. Terms are added in order with the
// cluster's arithmetic (assignment 1.1.2); one with Set replaces what was there.
type Contribution struct {
	Kind  string // one of state's CauseKind
	Score int
	Set   bool
	ID    string // constraint, ticket or operation, "" if there is none
	Rule  string // of the constraint
	Other string // resource that is behind it
	Text  string // what it is
	Hint  string // what would change it, "" if nothing simple would

	// A colocated resource contributes Factor times its own score, Base, on
	// node On; Parts are what Base is the sum of.
	Factor float64
	Base   int
	On     string
	Parts  []Contribution
	Cut    bool // there were too many terms: the last ones are not in Parts
}

// Total adds contributions up as the scheduler does.
func Total(sum []Contribution) int {
	total := 0
	for _, c := range sum {
		if c.Set {
			total = c.Score
		} else {
			total = value.Add(total, c.Score)
		}
	}
	return total
}

// Unknown is the error for a resource that the cluster doesn't have.
type Unknown struct{ ID string }

func (u Unknown) Error() string {
	return fmt.Sprintf("there is no resource %q in this configuration or its status; crm_mon -r lists all that there are", u.ID)
}

// maxTerms is how many terms of sums an explanation may have. Each colocated
// resource's score is a sum again, so that a ring of a few hundred of them has
// more than anyone could read, or hold.
const maxTerms = 500_000

// explainer makes explanations from one model.
type explainer struct {
	c    *state.Cluster
	left *int // terms that may be added yet
}

func newExplainer(c *state.Cluster) explainer {
	left := maxTerms
	return explainer{c, &left}
}

// Resource explains the resource that goes by an id: of a resource, of an
// instance, or the id without instance number, which means every instance. The
// plan must have been made with a ledger that had room for its reasons. The
// error is Unknown for a resource that isn't there.
func Resource(c *state.Cluster, id string) (*Explanation, error) {
	if c.Why == nil {
		return nil, fmt.Errorf("explain %s: the plan was made without keeping reasons", id)
	}
	if err := c.Why.Full(); err != nil {
		return nil, fmt.Errorf("explain %s: %w", id, err)
	}
	found := find(c, id)
	x := newExplainer(c)
	switch len(found) {
	case 0:
		return nil, Unknown{id}
	case 1:
		return x.resource(found[0]), nil
	}
	e := &Explanation{ID: id, Kind: "instances", Managed: true}
	for _, r := range found {
		e.Parts = append(e.Parts, x.resource(r))
	}
	return e, nil
}

// find looks an id up: exact ids win over names of instances.
func find(c *state.Cluster, id string) []*state.Resource {
	var exact, named []*state.Resource
	state.Each(c.Resources, func(r *state.Resource) {
		switch {
		case r.ID == id:
			exact = append(exact, r)
		case status.GoesBy(r, id) || value.BaseName(r.ID) == id && r.Top().Kind == state.Clone:
			named = append(named, r)
		}
	})
	if len(exact) > 0 {
		return exact // several where a resource's history outlived another kind of resource of that name
	}
	return named
}

var kinds = map[state.Kind]string{
	state.Primitive: "primitive", state.Group: "group", state.Clone: "clone", state.Bundle: "bundle",
}

func (x explainer) resource(r *state.Resource) *Explanation {
	e := &Explanation{
		ID: r.ID, Kind: kinds[r.Kind], Managed: r.Managed, Blocked: r.Blocked, Orphan: r.Orphan,
		Role: r.CurrentRole().String(), Next: r.PlannedRole().String(),
	}
	for _, n := range r.Active {
		if !slices.Contains(e.Active, n.Name) {
			e.Active = append(e.Active, n.Name)
		}
	}
	x.scores(e, r)
	for _, ig := range x.c.Why.Ignored[r] {
		text := x.cause(r, nil, ig.Cause) + ": without effect, " + ig.Text
		if !slices.Contains(e.Ignored, text) {
			e.Ignored = append(e.Ignored, text)
		}
	}
	if r.Kind == state.Primitive {
		e.Agent = status.Agent(r)
		if r.Assigned != nil {
			e.Target = r.Assigned.Node.Name
		}
		for _, ch := range x.c.Why.Choices[r] {
			e.Choices = append(e.Choices, x.choice(r, ch))
		}
		x.actions(e, r)
	} else {
		x.collective(e, r)
	}
	for _, k := range r.Children {
		e.Parts = append(e.Parts, x.resource(k))
	}
	return e
}

// scores groups the snapshots of r's scores into tables: each node appears
// once in a table.
func (x explainer) scores(e *Explanation, r *state.Resource) {
	for _, s := range x.c.Why.Scores[r] {
		score := Score{Score: s.Score}
		score.Sum, score.Cut = x.sum(r, s.Node, s.Head, depth)
		if s.Node != nil {
			score.Node, score.State = s.Node.Name, assign.NodeProblem(s.Node)
			if score.State != "" {
				score.Hint = nodeHint(s.Node)
			}
		}
		if s.Label == "" {
			role := x.c.Why.Roles[r]
			e.Promotion = &Promotion{Score: score, Chosen: role.Promoted, Text: role.Text}
			continue
		}
		n := len(e.Tables)
		if n == 0 || e.Tables[n-1].Label != s.Label || slices.ContainsFunc(e.Tables[n-1].Scores, func(o Score) bool { return o.Node == score.Node }) {
			e.Tables = append(e.Tables, Table{Label: s.Label})
			n++
		}
		e.Tables[n-1].Scores = append(e.Tables[n-1].Scores, score)
	}
}
