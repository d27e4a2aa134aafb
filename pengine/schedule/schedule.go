// Package schedule decides what a cluster has to do next. Schedule is a pure
// function: a CIB and a time in, a Plan out. It reads like a table of contents;
// each phase is a room of its own (state, rules, constraint, assign, action,
// order, graph). The daemon, the transition engine's simulator and the tools
// crm_simulate and crm_verify call it.
package schedule

import (
	"fmt"
	"time"

	"linuxha/pengine/action"
	"linuxha/pengine/assign"
	"linuxha/pengine/constraint"
	"linuxha/pengine/explain"
	"linuxha/pengine/graph"
	"linuxha/pengine/internal/xmldoc"
	"linuxha/pengine/order"
	"linuxha/pengine/state"
)

// Input is all that a decision depends on.
type Input struct {
	CIB []byte    // the whole document, configuration and status
	Now time.Time // the only clock the scheduler has; its zone is the local one

	Scores      bool // collect allocation and promotion scores
	Utilization bool // collect utilization
	Explain     bool // remember why, for Plan.Explain; costs time and memory
	Sanitized   bool // compare secure digests, as for files with private parts removed
}

// Severity grades a note: the worst one selects the series an input is saved in.
type Severity = state.Severity

// The severities.
const (
	Info    = state.Info
	Notice  = state.Notice
	Warning = state.Warning
	Error   = state.Error
)

// Plan is a decision.
type Plan struct {
	Graph    *graph.Graph
	Summary  []graph.Line
	Scores   []string     // score and utilization lines, in order
	Notes    []state.Note // what is worth logging
	Messages []string     // lines for someone who watches a simulation
	Recheck  time.Time    // zero if nothing changes by itself
	Span     Span         // when the same document has the same plan
	Cluster  *state.Cluster
}

// Worst is the gravest severity among the notes.
func (p *Plan) Worst() Severity {
	worst := Info
	for _, n := range p.Notes {
		worst = max(worst, n.Severity)
	}
	return worst
}

// Explain says why a resource is to be where it is, and why it has the actions
// that it has. The plan must have been made with Input.Explain.
func (p *Plan) Explain(id string) (*explain.Explanation, error) {
	return explain.Resource(p.Cluster, id)
}

// Schedule plans the transition. It fails if the input is not a CIB; problems
// within one are notes of the plan.
func Schedule(in Input) (*Plan, error) {
	root, err := Read(in.CIB)
	if err != nil {
		return nil, err
	}
	return Document(root, in)
}

// Read parses a CIB and brings it to the schema that the scheduler reads. The
// result refers to cib, which must not change any more.
func Read(cib []byte) (*xmldoc.Elem, error) {
	root, err := xmldoc.Parse(cib)
	if err != nil {
		return nil, fmt.Errorf("read CIB: %w", err)
	}
	state.Upgrade(root)
	return root, nil
}

// Document is Schedule for a document that was read; in.CIB is not looked at.
// It leaves the document as it is.
func Document(root *xmldoc.Elem, in Input) (*Plan, error) {
	c, err := Load(root, in)
	if err != nil {
		return nil, err
	}
	return Run(c), nil
}

// Load builds the model of a parsed document without planning anything.
func Load(root *xmldoc.Elem, in Input) (*state.Cluster, error) {
	return state.Load(state.Input{
		Root: root, Now: in.Now, Sanitized: in.Sanitized, Scores: in.Scores, Utiliz: in.Utilization, Explain: in.Explain,
	})
}

// phases lead from a model to a decision; each is named by its room.
var phases = []struct {
	room string
	do   func(*state.Cluster)
}{
	{"constraint", constraint.Unpack},
	{"constraint", constraint.Criteria},
	{"constraint", constraint.Implicit},
	{"action", action.CheckDefinitions},
	{"assign", assign.All},
	{"action", action.Create},
	{"action", action.OrderRemotes},
	{"action", action.Fence},
	{"order", order.Apply},
}

// Run plans the transition of a model, which it uses up. If the CIB asks for
// more than can be planned, the plan is to do nothing, and a note says why.
func Run(c *state.Cluster) *Plan {
	p, err := plan(c)
	if err != nil {
		c.Notef(state.Error, err.Error())
		c.Output.Lines = nil
		p = &Plan{Graph: graph.Empty(c)}
	}
	return p.result(c)
}

func plan(c *state.Cluster) (p *Plan, err error) {
	defer state.Caught(&err)
	for _, p := range phases {
		p.do(c)
	}
	return written(c), nil
}

// written writes down what was decided.
func written(c *state.Cluster) *Plan {
	graph.Log(c, graph.Summary(c)) // its effect on actions without a node matters too
	p := &Plan{Graph: graph.Make(c)}
	p.Summary = graph.Summary(c)
	return p
}

// result adds what goes with a decision.
func (p *Plan) result(c *state.Cluster) *Plan {
	p.Cluster = c
	p.Notes, p.Messages = c.Notes, c.Messages
	p.Span = spanOf(time.Unix(c.NowUnix, 0), c.Until)
	for _, l := range c.Output.Lines {
		p.Scores = append(p.Scores, l.Text)
	}
	if c.Recheck > 0 {
		p.Recheck = time.Unix(c.Recheck, 0)
	}
	return p
}
