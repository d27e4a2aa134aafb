package explain

import (
	"fmt"
	"slices"
	"strings"

	"linuxha/pengine/action"
	"linuxha/pengine/assign"
	"linuxha/pengine/internal/value"
	"linuxha/pengine/state"
)

// Action is one action that the scheduler thought of for a resource.
type Action struct {
	Key      string // as in `vm_monitor_10000`
	Task     string // start, stop, promote, demote, monitor, migrate_to, ...
	Interval int64  // milliseconds, 0 for actions done once
	Node     string // "" if there is none
	State    string // planned, optional, blocked, unmanaged
	Pseudo   bool   // not executed: it stands for something else
	Why      []string
	After    []After // what it waits for, for planned ones
	Hint     string
}

// After is an action that comes before another one.
type After struct {
	Action     string // what, in words
	Constraint string // that orders them, "" if it follows from what they are
}

// Fencing is the fencing of a node, as far as it concerns a resource.
type Fencing struct {
	Node   string
	Action string // reboot, off, on
	Why    string
	State  string // planned, blocked
}

// States of actions.
const (
	Planned   = "planned"   // in the transition
	Optional  = "optional"  // nothing needs it
	Blocked   = "blocked"   // needed, but impossible
	Unmanaged = "unmanaged" // needed, but the cluster is not to touch the resource
)

func (x explainer) actions(e *Explanation, r *state.Resource) {
	fences := map[*state.Action]bool{}
	for _, a := range r.Actions {
		if a.Task == "notify" || a.Task == "notified" {
			continue
		}
		out := Action{Key: a.Key, Task: a.Task, Interval: a.Interval, State: x.stateOf(a), Pseudo: a.IsPseudo()}
		if a.CancelTask != "" {
			out.Task = "cancel"
		}
		if a.Node != nil {
			out.Node = a.Node.Name
		}
		switch out.State {
		case Planned:
			out.Why = x.needed(r, a)
			for _, in := range a.Inputs {
				after := After{Action: what(in.First), Constraint: x.c.Why.EdgeID(in.First, a)}
				if in.Emitted && !slices.Contains(out.After, after) {
					out.After = append(out.After, after)
				}
			}
		case Blocked:
			out.Why, out.Hint = x.blocked(r, a)
		case Unmanaged:
			out.Why, out.Hint = []string{unmanagedBecause(x.c, r)}, unmanagedHint(x.c, r)
		case Optional:
			out.Why = []string{x.optional(r, a)}
		}
		for _, in := range a.Before {
			if in.First.Task == "stonith" && in.First.Required() && out.State != Optional {
				fences[in.First] = true
			}
		}
		e.Actions = append(e.Actions, out)
	}
	x.fencing(e, r, fences)
}

// collective lists the ordering points of a group, clone or bundle that
// constraints are about: what is ordered with it, all its parts wait for.
func (x explainer) collective(e *Explanation, r *state.Resource) {
	for _, a := range r.Actions {
		if x.stateOf(a) != Planned {
			continue
		}
		out := Action{Key: a.Key, Task: a.Task, State: Planned, Pseudo: true, Why: []string{"it stands for the " + a.Task + " of all its parts"}}
		for _, in := range a.Inputs {
			after := After{Action: what(in.First), Constraint: x.c.Why.EdgeID(in.First, a)}
			if in.Emitted && after.Constraint != "" && !slices.Contains(out.After, after) {
				out.After = append(out.After, after)
			}
		}
		if len(out.After) > 0 {
			e.Actions = append(e.Actions, out)
		}
	}
}

// fencing lists the nodes to be fenced that run r, or that r waits for.
func (x explainer) fencing(e *Explanation, r *state.Resource, waits map[*state.Action]bool) {
	for _, a := range x.c.Actions {
		if a.Task != "stonith" || !a.Required() || a.Node == nil || !waits[a] && !slices.Contains(r.Active, a.Node) {
			continue
		}
		f := Fencing{Node: a.Node.Name, Action: a.Meta["stonith_action"], Why: a.Reason, State: x.stateOf(a)}
		if f.Why == "" {
			f.Why = "the node may still run what others are to take over"
		}
		e.Fencing = append(e.Fencing, f)
	}
}

// stateOf says what becomes of an action (actions 16.3).
func (x explainer) stateOf(a *state.Action) string {
	switch {
	case a.Has(state.InGraph):
		return Planned
	case a.IsOptional():
		return Optional
	case a.Rsc != nil && !a.Rsc.Managed && a.IsRunnable() && a.Node != nil:
		return Unmanaged
	}
	return Blocked
}

// what names an action for people.
func what(a *state.Action) string {
	var b strings.Builder
	switch {
	case a.Task == "stonith":
		return fmt.Sprintf("fencing (%s) of %s", a.Meta["stonith_action"], nodeName(a.Node))
	case a.Task == "do_shutdown":
		return "shutdown of " + nodeName(a.Node)
	case strings.HasPrefix(a.Task, "load_stopped_"):
		return "stops that free capacity on " + nodeName(a.Node)
	case a.Rsc == nil:
		return a.Key
	case a.Task == "notify" || a.Task == "notified":
		when := "pre"
		if strings.Contains(a.Key, "post_notify_") {
			when = "post"
		}
		return fmt.Sprintf("%s-notification of %s about %s", when, a.Rsc.ID, action.NotifiedOperation(a.Key))
	}
	b.WriteString(taskText(a))
	b.WriteString(" of " + a.Rsc.ID)
	if a.Node != nil {
		b.WriteString(" on " + a.Node.Name)
	}
	return b.String()
}

// completed are the ordering points at which something is done for all parts.
var completed = map[string]string{
	"running": "complete start", "stopped": "complete stop", "promoted": "complete promotion", "demoted": "complete demotion",
}

func taskText(a *state.Action) string {
	switch {
	case a.CancelTask != "":
		return "cancelling " + a.CancelTask
	case a.Task == "monitor" && a.Interval == 0:
		return "probe"
	case a.Interval > 0:
		return state.IntervalText(a.Interval) + "-interval " + a.Task
	case completed[a.Task] != "":
		return completed[a.Task]
	}
	return a.Task
}

// list collects reasons without repeats.
type list []string

func (l *list) add(text string) {
	if text != "" && !slices.Contains(*l, text) {
		*l = append(*l, text)
	}
}

// needed says why a planned action is in the graph.
func (x explainer) needed(r *state.Resource, a *state.Action) []string {
	var why list
	for _, c := range x.c.Why.Acts[a] {
		if c.Flag != state.Optional {
			continue
		}
		if c.By == nil {
			why.add(c.Text)
		} else if c.By.Rsc != r {
			why.add("required by the " + what(c.By) + through(c.Edge))
		}
	}
	for _, text := range x.own(r, a, len(why) > 0) {
		why.add(text)
	}
	if len(why) == 0 && a.Reason != "" {
		why.add(a.Reason)
	}
	if len(why) == 0 {
		x.companions(r, a, &why)
	}
	if len(why) == 0 && a.IsOptional() {
		why.add("shown although nothing needs it, since others are ordered with it")
	}
	return why
}

// companions adds the reasons of r's other actions that a goes with: a stop is
// the first half of a restart, or the end of what may not be started.
func (x explainer) companions(r *state.Resource, a *state.Action, why *list) {
	for _, c := range x.c.Why.Acts[a] {
		switch {
		case c.By == nil || c.Flag != state.Optional:
		case x.stateOf(c.By) == Blocked:
			reasons, _ := x.blocked(r, c.By)
			for _, text := range reasons {
				why.add("the " + what(c.By) + " would not be possible: " + text)
			}
		default:
			why.add("it goes with the " + what(c.By))
			for _, other := range x.c.Why.Acts[c.By] {
				switch {
				case other.Flag != state.Optional:
				case other.By == nil:
					why.add(other.Text)
				case other.By.Rsc != r:
					why.add("that is required by the " + what(other.By) + through(other.Edge))
				}
			}
		}
	}
}

func through(constraint string) string {
	if constraint == "" {
		return ""
	}
	return " (constraint " + constraint + ")"
}

// own says why an action follows from where r is and is to be (actions 8);
// known: other reasons have been found.
func (x explainer) own(r *state.Resource, a *state.Action, known bool) (why list) {
	cur := r.CurrentNode()
	var next *state.Node
	if r.Assigned != nil {
		next = r.Assigned.Node
	}
	restarts := x.restarts(r)
	switch {
	case a.CancelTask != "":
	case a.Task == "monitor" && a.Interval == 0:
		why.add("nothing is known yet about " + r.ID + " on " + nodeName(a.Node) + ": find out whether it runs there")
	case a.Interval > 0 && a.Meta["op_target_rc"] == "7":
		why.add("see every " + state.IntervalText(a.Interval) + " that it stays stopped there")
	case a.Interval > 0:
		why.add("watch it every " + state.IntervalText(a.Interval) + " while it runs there")
	case a.Task == "start" && cur == nil:
		why.add("it runs nowhere and is to run on " + nodeName(next))
	case a.Task == "start":
		if len(restarts) == 0 && !known {
			why.add("it has to be started again after its stop")
		}
		for _, t := range restarts {
			why.add(t)
		}
	case a.Task == "stop":
		if known {
			restarts = slices.DeleteFunc(restarts, func(t string) bool { return strings.HasPrefix(t, state.ItFailed) })
		}
		x.ownStop(r, a, next, restarts, &why)
	case a.Task == "promote" && r.NextRole == state.Promoted && r.Role != state.Promoted:
		why.add("this instance has been chosen for the promoted role")
	case a.Task == "demote" && r.NextRole != state.Promoted:
		why.add("it is not to be promoted any more")
	case a.Task == "promote", a.Task == "demote":
		for _, t := range restarts {
			why.add(t)
		}
	case a.Task == "migrate_to", a.Task == "migrate_from":
		why.add("allow-migrate: a live migration moves it without interruption")
	case a.Task == "delete", a.Task == "lrm_delete":
		why.add("its history on the node is of no more use")
	case a.Task == "clear_failcount":
		why.add("its failures there no longer count: they have expired, or what failed has been changed")
	}
	return why
}

// restarts are the reasons for which r is stopped even if it is to run.
func (x explainer) restarts(r *state.Resource) (why list) {
	for _, text := range x.c.Why.Restarts[r] {
		if text == state.ItFailed {
			for _, f := range x.c.FailedOps {
				if f.Resource == r {
					text += ": " + failure(state.Cause{ID: f.Key, Base: value.Int(f.XML.Attr("rc-code")), Node: f.Node})
				}
			}
		}
		if cur := r.CurrentNode(); cur != nil && r.Assigned != nil && text == state.ItMoves(cur, r.Assigned.Node) {
			text += x.notKept(r, cur, r.Assigned.Node)
		}
		why.add(text)
	}
	return why
}

// notKept says why r leaves its present node.
func (x explainer) notKept(r *state.Resource, cur, next *state.Node) string {
	if problem := assign.NodeProblem(cur); problem != "" {
		return ": " + cur.Name + " is " + problem
	}
	has := func(n *state.Node) (score int, ok bool) {
		for _, s := range slices.Backward(x.c.Why.Scores[r]) {
			if s.Node == n && s.Label != "" {
				return s.Score, true
			}
		}
		return 0, false
	}
	old, ok1 := has(cur)
	now, ok2 := has(next)
	if !ok1 || !ok2 || old >= now {
		return ""
	}
	return fmt.Sprintf(": its score is %s on %s and %s on %s", value.ScoreText(old), cur.Name, value.ScoreText(now), next.Name)
}

func (x explainer) ownStop(r *state.Resource, a *state.Action, next *state.Node, restarts []string, why *list) {
	if a.Has(state.ImpliedByFencing) && a.Node != nil {
		why.add("fencing " + a.Node.Name + " stops it; nothing is executed")
	}
	if next == nil || r.NextRole == state.Stopped {
		if list := x.c.Why.Choices[r]; len(list) > 0 {
			why.add("it is to run nowhere: " + x.choice(r, list[len(list)-1]).Text)
		} else {
			why.add("it is to run nowhere")
		}
	}
	for _, t := range restarts {
		why.add(t)
	}
}

// blocked says why a required action cannot be done.
func (x explainer) blocked(r *state.Resource, a *state.Action) (why list, hint string) {
	for _, c := range x.c.Why.Acts[a] {
		switch {
		case c.Flag != state.Runnable || c.By == nil:
		case c.Coloc != nil:
			why.add(fmt.Sprintf("%s: %s cannot be done", constraint(c.Coloc), what(c.By)))
		case c.By.Rsc == r:
			why.add("the " + what(c.By) + " cannot be done")
		default:
			why.add("it has to wait for the " + what(c.By) + ", which cannot be done" + through(c.Edge))
		}
	}
	switch n := a.Node; {
	case a.Reason == "no quorum", a.Reason == "quorum freeze":
		why.add("this part of the cluster has no quorum (no-quorum-policy=" + x.c.Opts.Raw["no-quorum-policy"] + ")")
		hint = "bring nodes back until there is quorum"
	case n == nil:
		why.add("there is no node for it")
	case !n.Online:
		why.add(n.Name + " is offline")
	case n.Pending:
		why.add(n.Name + " is still joining")
	case n.Unclean:
		why.add(n.Name + " has to be fenced first")
		if !x.c.CanFence(n) {
			hint = "fencing is not possible: stonith-enabled, a device and quorum are needed; if the node is down for certain, stonith_admin --confirm " + n.Name
		}
	}
	if len(why) == 0 && a.Reason != "" {
		why.add(a.Reason)
	}
	if start := r.Act("start", a.Node); len(why) == 0 && a.Interval > 0 && start != nil && !start.IsRunnable() {
		why.add("the " + what(start) + " cannot be done")
	}
	if len(why) == 0 && !r.Managed {
		why.add(unmanagedBecause(x.c, r))
		hint = unmanagedHint(x.c, r)
	}
	if len(why) == 0 {
		why.add("it cannot be done now")
	}
	return why, hint
}

// optional says why nothing comes of an action.
func (x explainer) optional(r *state.Resource, a *state.Action) string {
	switch {
	case a.Task == "start" && slices.Contains(r.Active, a.Node):
		return "it runs there and nothing asks for a restart"
	case a.Task == "stop" || a.Task == "start" || a.Task == "promote" || a.Task == "demote":
		return "nothing asks for it"
	case a.Interval > 0:
		return "it is being done already"
	}
	return "nothing needs it"
}
