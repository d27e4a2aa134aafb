package assign

import (
	"slices"
	"strconv"
	"strings"

	"linuxha/pengine/state"
)

// What the ledger is told about placements. Everything here runs only for
// someone who asked for explanations; nothing here decides.

// wish is the cause of what r's score adds for a node n: r's best score among
// the usable nodes that agree with n in the attribute (assignment 10.6).
func (a assigner) wish(r *state.Resource, n *state.Node, x *state.Colocation, attr string, f float32, best int) state.Cause {
	if attr == "" {
		attr = "#uname"
	}
	c := state.Cause{Kind: state.WhyDependent, Rsc: r, Coloc: x, Factor: f, Base: best}
	want := attrKey(n, attr)
	for i := range r.Allowed {
		e, m := &r.Allowed[i], a.c.ByIdx[i]
		if e.Set && e.Score == best && m.Usable() && attrKey(m, attr) == want && (c.Node == nil || m == n) {
			c.Node, c.From = m, e.Why
		}
	}
	return c
}

// closedBecause says why a host has no place for an instance on a node
// (assignment 14.4.4).
func closedBecause(k *state.Resource, n *state.Node, e *state.Entry, perNode int) string {
	switch {
	case !n.Usable():
		return "node"
	case k.Orphan:
		return "orphan"
	case e == nil:
		return "not-allowed"
	case e.Score < 0:
		return "banned"
	case e.Count >= perNode:
		return "full"
	}
	return ""
}

// priorityOf is an instance's sort index as the cause of its clone's score.
func (a assigner) priorityOf(i *state.Resource) state.Cause {
	c := state.Cause{Kind: state.WhyInstance, Rsc: i, Base: i.SortIndex}
	if w := a.c.Why; w.Asks() {
		c.From = w.SortHeads[i]
	}
	return c
}

// nowhere places d on nothing because x leaves it no partner.
func (a assigner) nowhere(d *state.Resource, x *state.Colocation) {
	a.finalize(d, nil, true)
	state.EachLeaf([]*state.Resource{d}, func(r *state.Resource) {
		a.c.Why.Choose(r, state.Choice{Kind: state.ChoseNowhere, Coloc: x})
	})
}

// ranking keeps a sorted list of candidates before one of them is taken, nil
// if nobody asks.
func (a assigner) ranking(r *state.Resource, list []candidate, prefer, asked, current *state.Node) *state.Choice {
	if !a.c.Why.Asks() {
		return nil
	}
	ch := &state.Choice{Prefer: prefer, Capable: asked == nil && prefer != nil}
	for _, x := range list {
		head := int32(0)
		if e := r.Allowed.Get(x.node); e != nil {
			head = e.Why
		}
		ch.Ranking = append(ch.Ranking, state.Ranked{
			Head: head, WinsTie: a.winsTie(x, list[0], current),
			Node: x.node, Score: x.score, Assigned: x.node.NumAssigned, Usable: x.node.Usable(), State: NodeProblem(x.node),
		})
	}
	if len(list) > 1 {
		ch.Tie = a.tie(list[0], list[1], current)
	}
	return ch
}

// winsTie says whether x would be taken instead of best with best's score
// (assignment 9.1, 12.3).
func (a assigner) winsTie(x, best candidate, current *state.Node) bool {
	x.score = best.score
	if current != nil && best.score > 0 && (x.node == current || best.node == current) {
		return x.node == current
	}
	return a.compareNodes(x, best, current) < 0
}

// shortage says which needs a node has no room for.
func shortage(need map[string]int, n *state.Node) string {
	var list []string
	for k, v := range need {
		if free := amount(n.Utilization[k]); v > free {
			list = append(list, k+": "+strconv.Itoa(v)+" needed, "+strconv.Itoa(free)+" free")
		}
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// chose completes what ranking began.
func (a assigner) chose(r *state.Resource, ch *state.Choice, kind state.ChoiceKind, at candidate) {
	if ch == nil {
		return
	}
	ch.Kind, ch.Score = kind, at.score
	if r.Assigned != nil {
		ch.Node = r.Assigned.Node
	} else {
		ch.Kind, ch.Tie = state.ChoseNone, ""
		a.c.Why.Log(state.Info, "pcmk__primitive_assign", "Resource "+r.ID+" cannot run anywhere")
	}
	a.c.Why.Choose(r, *ch)
}

// tie names the first rule of assignment 9.1 in which two candidates differ.
func (a assigner) tie(x, y candidate, current *state.Node) string {
	if x.score != y.score || x.node.Usable() != y.node.Usable() {
		return "score"
	}
	if a.c.Opts.Placement != "minimal" {
		switch {
		case a.c.Opts.Placement == "balanced" && compareCapacity(x.node, y.node) != 0:
			return "capacity"
		case x.node.NumAssigned != y.node.NumAssigned:
			return "load"
		case current == x.node:
			return "active"
		}
	}
	return "name"
}

// NodeProblem says why a node can run nothing new, "" if it can (assignment 1.3.6).
func NodeProblem(n *state.Node) string {
	switch {
	case !n.Online && n.Unclean:
		return "lost and not yet fenced"
	case !n.Online && n.Pending:
		return "still joining"
	case !n.Online:
		return "offline"
	case n.Unclean:
		return "to be fenced"
	case n.ShuttingDown:
		return "shutting down"
	case n.StandbyOnFail:
		return "in standby because of a failure"
	case n.Standby:
		return "in standby"
	case n.Maintenance:
		return "in maintenance mode"
	}
	return ""
}

// explainRole says why an instance is promoted or not (assignment 15.7); so
// many instances have been promoted before it.
func (a assigner) explainRole(k, i *state.Resource, before int, chosen bool) {
	if !a.c.Why.Asks() {
		return
	}
	limit := strconv.Itoa(k.Clone.PromotedMax)
	choice := state.RoleChoice{Promoted: chosen}
	if chosen {
		a.c.Why.Log(state.Info, "set_instance_role", "Choosing "+i.ID+" ("+i.CurrentRole().String()+") on "+i.Location().Node.Name+" for promotion")
	}
	at := i.Location()
	switch {
	case chosen && !i.Managed:
		choice.Text = "stays promoted: the cluster is not to touch it"
	case chosen:
		choice.Text = "promoted: number " + strconv.Itoa(before+1) + " by promotion score, of " + limit + " that promoted-max allows"
	case i.SortIndex < 0:
		choice.Text = "not promoted: its promotion score is negative"
	case before >= k.Clone.PromotedMax && k.Managed:
		choice.Text = "not promoted: the " + limit + " that promoted-max allows rank before it"
	case at == nil:
		choice.Text = "not promoted: it runs nowhere"
	case !i.Managed:
		choice.Text = "not promoted: the cluster is not to touch it"
	case i.Priority < 0:
		choice.Text = "not promoted: constraints forbid it on this node"
	case !at.Node.Usable():
		choice.Text = "not promoted: its node is " + NodeProblem(at.Node)
	case k.Allowed.Get(at.Node) != nil && k.Allowed.Get(at.Node).Count >= k.Clone.PromotedNodeMax:
		choice.Text = "not promoted: its node has the " + strconv.Itoa(k.Clone.PromotedNodeMax) + " that promoted-node-max allows"
	case !a.c.Quorum && a.c.Opts.NoQuorum == state.QuorumFreeze:
		choice.Text = "not promoted: there is no quorum, and no-quorum-policy is freeze"
	default:
		choice.Text = "not promoted: one of its members cannot be, or its guest node's container does not run"
	}
	a.c.Why.Role(i, choice)
}
