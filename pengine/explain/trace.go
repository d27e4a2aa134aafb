package explain

import (
	"fmt"
	"slices"
	"strings"

	"linuxha/pengine/assign"
	"linuxha/pengine/internal/value"
	"linuxha/pengine/state"
)

// Trace tells, stage by stage, what was decided and why: what the log of a
// scheduling run holds at the level debug, and with all also the terms of every
// score. The entries' From is the stage, as in DESIGN.md; their order is that of
// the stages, and within one that of the decisions. Decisions that the log
// already has at a higher level (state.Ledger.Log) are not repeated.
func Trace(c *state.Cluster, all bool) []state.Note {
	t := &tracer{x: newExplainer(c), all: all}
	t.stage("state", t.state)
	t.stage("constraint", t.constraints)
	t.stage("assign", t.assign)
	t.stage("action", t.action)
	t.stage("order", t.order)
	t.stage("graph", t.graph)
	return t.notes
}

type tracer struct {
	x     explainer
	all   bool
	from  string
	notes []state.Note
}

func (t *tracer) stage(name string, trace func(*state.Cluster)) {
	t.from = name
	trace(t.x.c)
}

func (t *tracer) debug(format string, args ...any) {
	t.notes = append(t.notes, state.Note{Severity: state.Debug, From: t.from, Text: fmt.Sprintf(format, args...)})
}

func (t *tracer) trace(format string, args ...any) {
	if t.all {
		t.notes = append(t.notes, state.Note{Severity: state.Trace, From: t.from, Text: fmt.Sprintf(format, args...)})
	}
}

func (t *tracer) state(c *state.Cluster) {
	for _, k := range []string{
		"no-quorum-policy", "symmetric-cluster", "stonith-enabled", "stonith-action", "concurrent-fencing", "maintenance-mode",
		"placement-strategy", "stop-all-resources", "node-health-strategy", "shutdown-lock",
	} {
		t.debug("option %s is %s", k, c.Opts.Raw[k])
	}
	t.debug("quorum: %t", c.Quorum)
	for _, n := range c.Nodes {
		what := "can run resources"
		if p := assign.NodeProblem(n); p != "" {
			what = "is " + p
		}
		t.debug("node %s %s; active there: %d", n.Name, what, len(n.Running))
	}
	state.EachLeaf(c.Resources, func(r *state.Resource) {
		var at []string
		for _, n := range r.Active {
			at = append(at, n.Name)
		}
		where := "nowhere"
		if len(at) > 0 {
			where = strings.Join(at, ", ")
		}
		t.debug("resource %s is %s: %s", r.ID, r.Role, where)
	})
}

func (t *tracer) constraints(c *state.Cluster) {
	for _, l := range c.Locations {
		for _, e := range l.Entries {
			t.debug("%s: %s on %s by %s", t.x.cause(l.Rsc, e.Node, l.Cause()), roleText(l.Rsc.ID, l.Role), e.Node.Name, value.ScoreText(e.Score))
		}
	}
	seen := map[*state.Colocation]bool{}
	state.Each(c.Resources, func(r *state.Resource) {
		for _, k := range r.ThisWith {
			if seen[k] {
				continue
			}
			seen[k] = true
			t.debug("%s: %s with %s by %s", constraint(k), roleText(k.Dependent.ID, k.DependentRole), roleText(k.Primary.ID, k.PrimaryRole), value.ScoreText(k.Score))
		}
	})
	t.debug("orderings, with those that resources imply: %d", len(c.Orderings))
}

func (t *tracer) assign(c *state.Cluster) {
	counted := map[*state.Resource]int{}
	for _, r := range c.Why.Order {
		ch := t.x.choice(r, c.Why.Choices[r][counted[r]])
		counted[r]++
		if counted[r] == 1 {
			for _, s := range c.Why.Scores[r] {
				t.scores(r, s)
			}
		}
		node := ch.Node
		if node == "" {
			node = "nowhere"
		}
		t.debug("%s goes to %s: %s", r.ID, node, ch.Text)
		for i, k := range ch.Ranking {
			text := fmt.Sprintf("%s candidate %d is %s with %s; placed there before: %d", r.ID, i+1, k.Node, value.ScoreText(k.Score), k.Assigned)
			if k.State != "" {
				text += "; the node is " + k.State
			}
			t.trace("%s", text)
		}
	}
	state.Each(c.Resources, func(r *state.Resource) {
		for _, ig := range c.Why.Ignored[r] {
			t.debug("%s: %s: without effect, %s", r.ID, t.x.cause(r, nil, ig.Cause), ig.Text)
		}
	})
}

func (t *tracer) scores(r *state.Resource, s state.ScoreSnapshot) {
	if !t.all {
		return
	}
	node, label := "none", s.Label
	if s.Node != nil {
		node = s.Node.Name
	}
	if label == "" {
		label = "promotion"
	}
	t.trace("%s on %s (%s): %s", r.ID, node, label, value.ScoreText(s.Score))
	*t.x.left = maxTerms // for each score, since nothing is kept
	sum, cut := t.x.sum(r, s.Node, s.Head, 0)
	for _, k := range sum {
		op := "add"
		if k.Set {
			op = "set"
		}
		t.trace("%s on %s: %s %s, %s", r.ID, node, op, value.ScoreText(k.Score), k.Text)
	}
	if cut {
		t.trace("%s on %s: too many terms to list", r.ID, node)
	}
}

func (t *tracer) action(c *state.Cluster) {
	for _, a := range c.Actions {
		switch {
		case a.Rsc == nil || a.Task == "notify" || a.Task == "notified":
		case t.x.stateOf(a) == Planned && a.Rsc.Kind == state.Primitive:
			t.debug("%s is needed: %s", what(a), strings.Join(t.x.needed(a.Rsc, a), "; "))
		case t.x.stateOf(a) == Blocked:
			why, _ := t.x.blocked(a.Rsc, a)
			t.debug("%s cannot be done: %s", what(a), strings.Join(why, "; "))
		case a.Rsc.Kind == state.Primitive:
			t.trace("%s is not needed", what(a))
		}
	}
}

var flagTexts = map[state.Flag]string{
	state.Optional: "is required by the", state.Runnable: "cannot be done because of the", state.Migratable: "cannot be part of a live migration because of the",
}

func (t *tracer) order(c *state.Cluster) {
	for _, a := range c.Actions {
		for _, w := range c.Why.Acts[a] {
			if w.By != nil {
				t.debug("%s %s %s%s", what(a), flagTexts[w.Flag], what(w.By), through(w.Edge))
			}
		}
	}
}

func (t *tracer) graph(c *state.Cluster) {
	for _, a := range c.Actions {
		if !a.Has(state.InGraph) {
			continue
		}
		var after []string
		for _, in := range a.Inputs {
			if in.Emitted {
				after = append(after, fmt.Sprint(in.First.ID))
			}
		}
		slices.Sort(after)
		waits := "waits for nothing"
		if len(after) > 0 {
			waits = "waits for " + strings.Join(after, " ")
		}
		t.debug("action %d: %s, %s", a.ID, what(a), waits)
	}
}
