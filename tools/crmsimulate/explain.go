package crmsimulate

import (
	"fmt"
	"strconv"
	"strings"

	"linuxha/internal/cliopt"
	"linuxha/pengine/explain"
	"linuxha/pengine/schedule"
	"linuxha/pengine/state"
	"linuxha/tools/output"

	words "linuxha/pengine/status"
)

// scoreText is a score as -s prints it.
func scoreText(n int) string {
	switch {
	case n >= state.Infinity:
		return "INFINITY"
	case n <= -state.Infinity:
		return "-INFINITY"
	}
	return strconv.Itoa(n)
}

// explained is an explanation as nested lists. Of several score tables only
// the last one is shown, which decided, unless all of them are asked for.
func explained(e *explain.Explanation, all bool) words.Item {
	top := words.Item{Text: heading(e)}
	add := func(title string, sub []words.Item) {
		if len(sub) > 0 {
			top.Sub = append(top.Sub, words.Item{Text: title, Sub: sub})
		}
	}
	tables := e.Tables
	if !all && len(tables) > 1 {
		tables = tables[len(tables)-1:]
	}
	for _, t := range tables {
		title := "Scores"
		if all {
			title += " (" + t.Label + ")"
		}
		var sub []words.Item
		for _, s := range t.Scores {
			sub = append(sub, scoreItem(s))
		}
		add(title, sub)
	}
	if e.Promotion != nil {
		s := e.Promotion.Score
		if s.Node == "" {
			s.Node = "nowhere"
		}
		sub := []words.Item{scoreItem(s)}
		if e.Promotion.Text != "" {
			sub = append(sub, words.Item{Text: e.Promotion.Text})
		}
		add("Promotion score", sub)
	}
	add("Without effect", items(e.Ignored))
	add("Placement", placements(e, all))
	add("Fencing", fencings(e))
	add("Actions", actions(e, all))
	for _, p := range e.Parts {
		top.Sub = append(top.Sub, explained(p, all))
	}
	return top
}

func items(texts []string) []words.Item {
	var list []words.Item
	for _, t := range texts {
		list = append(list, words.Item{Text: t})
	}
	return list
}

// heading says what the resource is, does and will do.
func heading(e *explain.Explanation) string {
	if e.Kind == "instances" {
		return "All instances of " + e.ID
	}
	what := e.Kind
	if e.Agent != "" {
		what = e.Agent
	}
	var flags []string
	for _, f := range []struct {
		on   bool
		text string
	}{{e.Orphan, "no longer configured"}, {e.Blocked, "blocked"}, {!e.Managed, "unmanaged"}} {
		if f.on {
			flags = append(flags, f.text)
		}
	}
	text := fmt.Sprintf("%s (%s)", e.ID, strings.Join(append([]string{what}, flags...), ", "))
	if e.Kind != "primitive" {
		return text
	}
	now := "not running"
	if len(e.Active) > 0 {
		now = e.Role + " on " + strings.Join(e.Active, ", ")
	}
	next := "to run nowhere"
	if e.Target != "" {
		next = "to be " + e.Next + " on " + e.Target
		if len(e.Active) == 1 && e.Active[0] == e.Target && e.Role == e.Next {
			next = "stays there"
		}
		if stops, starts := stateOf(e, "stop"), stateOf(e, "start"); starts == explain.Blocked {
			next += ", but its start is blocked"
			if stops == explain.Planned {
				next = "to be stopped: it could not be started again"
			}
		} else if next == "stays there" && stops == explain.Planned {
			next = "restarts there"
		}
	}
	return text + " is " + now + ", " + next
}

// stateOf is what becomes of the actions with a task: planned or blocked if
// one of them is.
func stateOf(e *explain.Explanation, task string) string {
	st := ""
	for _, a := range e.Actions {
		if a.Task == task && (a.State == explain.Planned || a.State == explain.Blocked) {
			st = a.State
		}
	}
	return st
}

func scoreItem(s explain.Score) words.Item {
	it := words.Item{Text: s.Node + ": " + scoreText(s.Score), NoColon: true}
	if s.State != "" {
		it.Text += ", but the node is " + s.State
	}
	if s.Hint != "" {
		it.Text += " [" + s.Hint + "]"
	}
	it.Sub = contributions(s.Sum)
	if len(it.Sub) == 0 {
		it.Sub = []words.Item{{Text: "0: nothing speaks for or against it"}}
	}
	if s.Cut {
		it.Sub = append(it.Sub, words.Item{Text: tooMany})
	} else if explain.Total(s.Sum) != s.Score {
		it.Sub = append(it.Sub, words.Item{Text: fmt.Sprintf("these add up to %s: the rest is not explained, please report it", scoreText(explain.Total(s.Sum)))})
	}
	return it
}

const tooMany = "and more: too many terms to show"

func contributions(sum []explain.Contribution) []words.Item {
	var list []words.Item
	for _, c := range sum {
		score := scoreText(c.Score)
		switch {
		case c.Set:
			score = "= " + score
		case c.Score >= 0:
			score = "+" + score
		}
		text := score + "  " + c.Text
		if c.Hint != "" {
			text += " [" + c.Hint + "]"
		}
		it := words.Item{Text: text, Sub: contributions(c.Parts), NoColon: true}
		if c.Cut {
			it.Sub = append(it.Sub, words.Item{Text: tooMany})
		}
		list = append(list, it)
	}
	return list
}

func placements(e *explain.Explanation, all bool) []words.Item {
	choices := e.Choices
	if !all && len(choices) > 1 {
		choices = choices[len(choices)-1:]
	}
	var list []words.Item
	for _, c := range choices {
		text := c.Text
		if c.Node != "" {
			text = c.Node + ": " + text
		}
		if c.Hint != "" {
			text += " [" + c.Hint + "]"
		}
		it := words.Item{Text: text, NoColon: true}
		for i, r := range c.Ranking {
			if all {
				line := fmt.Sprintf("%d. %s: score %s, %d resource(s) placed there before", i+1, r.Node, scoreText(r.Score), r.Assigned)
				if r.State != "" {
					line += ", " + r.State
				}
				it.Sub = append(it.Sub, words.Item{Text: line})
			}
			if r.Full != "" {
				it.Sub = append(it.Sub, words.Item{Text: r.Node + ": " + r.Full})
			}
		}
		list = append(list, it)
	}
	return list
}

func fencings(e *explain.Explanation) []words.Item {
	var list []words.Item
	for _, f := range e.Fencing {
		list = append(list, words.Item{Text: fmt.Sprintf("%s of %s (%s): %s", f.Action, f.Node, f.State, f.Why)})
	}
	return list
}

// actions lists what is planned or impossible; what nothing needs only if all
// is asked for.
func actions(e *explain.Explanation, all bool) []words.Item {
	var list []words.Item
	for _, a := range e.Actions {
		if a.State == explain.Optional && !all {
			continue
		}
		name := a.Task
		switch {
		case a.Task == "monitor" && a.Interval == 0:
			name = "probe"
		case a.Interval > 0:
			name += " every " + state.IntervalText(a.Interval)
		}
		if a.Node != "" {
			name += " on " + a.Node
		}
		st := a.State
		if a.Pseudo && st == explain.Planned {
			st = "nothing to execute"
		}
		it := words.Item{Text: name + " (" + st + ")", Sub: items(a.Why)}
		for _, after := range a.After {
			text := "after the " + after.Action
			if after.Constraint != "" {
				text += " (constraint " + after.Constraint + ")"
			}
			it.Sub = append(it.Sub, words.Item{Text: text})
		}
		if a.Hint != "" {
			it.Sub = append(it.Sub, words.Item{Text: "[" + a.Hint + "]"})
		}
		list = append(list, it)
	}
	if len(list) == 0 && e.Kind == "primitive" {
		list = []words.Item{{Text: "none is needed"}}
	}
	return list
}

// explanationXML is an explanation as an element.
func explanationXML(e *explain.Explanation) *output.Element {
	x := output.New("explanation", "id", e.ID, "kind", e.Kind)
	set(x, "agent", e.Agent)
	if e.Kind == "primitive" {
		x.Set("role", e.Role).Set("next_role", e.Next)
		set(x, "target", e.Target)
	}
	x.Set("managed", strconv.FormatBool(e.Managed)).Set("blocked", strconv.FormatBool(e.Blocked)).Set("orphaned", strconv.FormatBool(e.Orphan))
	for _, n := range e.Active {
		x.Add(output.New("active_on", "node", n))
	}
	for _, t := range e.Tables {
		list := output.New("scores", "function", t.Label)
		for _, s := range t.Scores {
			list.Add(scoreXML("node_score", s))
		}
		x.Add(list)
	}
	if e.Promotion != nil {
		x.Add(scoreXML("promotion_score", e.Promotion.Score).Set("promoted", strconv.FormatBool(e.Promotion.Chosen)).Set("text", e.Promotion.Text))
	}
	for _, text := range e.Ignored {
		x.Add(output.New("ignored", "text", text))
	}
	for _, c := range e.Choices {
		p := output.New("placement", "kind", c.Kind)
		set(p, "node", c.Node)
		p.Set("text", c.Text)
		set(p, "hint", c.Hint)
		if c.Next != "" {
			p.Set("next", c.Next).Set("points", strconv.Itoa(c.Points))
		}
		for i, r := range c.Ranking {
			k := output.New("candidate", "rank", strconv.Itoa(i+1), "node", r.Node, "score", scoreText(r.Score), "resources", strconv.Itoa(r.Assigned))
			set(k, "state", r.State)
			set(k, "capacity", r.Full)
			p.Add(k)
		}
		x.Add(p)
	}
	for _, f := range e.Fencing {
		x.Add(output.New("fencing", "node", f.Node, "action", f.Action, "state", f.State, "text", f.Why))
	}
	for _, a := range e.Actions {
		x.Add(actionXML(a))
	}
	for _, p := range e.Parts {
		x.Add(explanationXML(p))
	}
	return x
}

// set adds an attribute unless it is empty.
func set(e *output.Element, name, value string) {
	if value != "" {
		e.Set(name, value)
	}
}

func scoreXML(name string, s explain.Score) *output.Element {
	x := output.New(name)
	set(x, "node", s.Node)
	x.Set("score", scoreText(s.Score))
	set(x, "node_state", s.State)
	set(x, "hint", s.Hint)
	if s.Cut {
		x.Set("cut", "true")
	}
	return x.Add(contributionsXML(s.Sum)...)
}

func contributionsXML(sum []explain.Contribution) []*output.Element {
	var list []*output.Element
	for _, c := range sum {
		op := "add"
		if c.Set {
			op = "set"
		}
		x := output.New("contribution", "kind", c.Kind, "operation", op, "score", scoreText(c.Score))
		set(x, "id", c.ID)
		set(x, "rule", c.Rule)
		set(x, "resource", c.Other)
		if c.Factor != 0 {
			x.Set("factor", strconv.FormatFloat(c.Factor, 'g', 7, 64)).Set("of_score", scoreText(c.Base))
			set(x, "on_node", c.On)
		}
		x.Set("text", c.Text)
		set(x, "hint", c.Hint)
		if c.Cut {
			x.Set("cut", "true")
		}
		list = append(list, x.Add(contributionsXML(c.Parts)...))
	}
	return list
}

func actionXML(a explain.Action) *output.Element {
	x := output.New("action", "operation_key", a.Key, "operation", a.Task)
	if a.Interval > 0 {
		x.Set("interval", strconv.FormatInt(a.Interval, 10))
	}
	set(x, "node", a.Node)
	x.Set("state", a.State).Set("pseudo", strconv.FormatBool(a.Pseudo))
	set(x, "hint", a.Hint)
	for _, text := range a.Why {
		x.Add(output.New("reason", "text", text))
	}
	for _, after := range a.After {
		k := output.New("after", "text", after.Action)
		set(k, "constraint", after.Constraint)
		x.Add(k)
	}
	return x
}

// onlyExplains says whether explanations are all that was asked for: then
// nothing else is printed.
func onlyExplains(p *cliopt.Parsed) bool {
	if !p.Has("explain") {
		return false
	}
	for _, o := range []string{"run", "simulate", "in-place", "op-fail", "show-attrs", "show-failcounts", "show-scores", "show-utilization"} {
		if p.Has(o) {
			return false
		}
	}
	return true
}

// explain prints what --explain asks for.
func (r *run) explain(p *schedule.Plan) error {
	if r.xml {
		return r.explainXML(p)
	}
	for i, id := range r.p.Values("explain") {
		e, err := p.Explain(id)
		if err != nil {
			return err
		}
		if i > 0 || !r.quiet || r.list.plain {
			fmt.Fprintln(r.out)
		}
		if err := words.Write(r.out, 0, []words.Item{explained(e, r.p.Has("verbose"))}); err != nil {
			return err
		}
	}
	return nil
}
