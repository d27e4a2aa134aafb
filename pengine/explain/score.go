package explain

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"linuxha/pengine/assign"
	"linuxha/pengine/internal/value"
	"linuxha/pengine/state"
	"linuxha/pengine/status"
)

// depth is how far back the scores of colocated resources are taken apart.
const depth = 3

// sum is the list of contributions that led to a record, without the last ones
// if there are too many.
func (x explainer) sum(r *state.Resource, n *state.Node, head int32, depth int) (list []Contribution, cut bool) {
	for _, rec := range x.c.Why.Chain(head) {
		if *x.left--; *x.left < 0 {
			return list, true
		}
		list = append(list, x.contribution(r, n, rec, depth))
	}
	return list, false
}

func (x explainer) contribution(r *state.Resource, n *state.Node, rec state.Record, depth int) Contribution {
	w := rec.Cause
	c := Contribution{
		Kind: string(w.Kind), Score: rec.Score, Set: rec.Set, ID: w.ID, Rule: w.Rule,
		Text: x.cause(r, n, w), Hint: x.hint(r, n, w),
	}
	if w.Rsc != nil {
		c.Other = w.Rsc.ID
	}
	if w.Coloc != nil {
		c.ID = colocationID(w.Coloc)
	}
	switch w.Kind {
	case state.WhyDependent, state.WhyInstance:
		c.Factor, c.Base = float64(w.Factor), w.Base
		on := n
		if w.Node != nil {
			c.On, on = w.Node.Name, w.Node
		}
		if depth > 0 {
			c.Parts, c.Cut = x.sum(w.Rsc, on, w.From, depth-1)
		}
	case state.WhyClone:
		c.ID = ""
	}
	return c
}

func colocationID(k *state.Colocation) string {
	if k.Constraint != "" {
		return k.Constraint
	}
	return k.ID
}

// cause says what a cause is. n is the node whose score it changed, nil if it
// isn't about one.
func (x explainer) cause(r *state.Resource, n *state.Node, w state.Cause) string {
	switch w.Kind {
	case state.WhyNode:
		return x.nodeScore(n)
	case state.WhyLocation:
		if w.Rule != "" {
			return fmt.Sprintf("location constraint %s (rule %s)", w.ID, w.Rule)
		}
		return "location constraint " + w.ID
	case state.WhyHealth:
		return x.health(n, w.ID)
	case state.WhyStickiness:
		return "resource-stickiness: it runs here"
	case state.WhyThreshold:
		return fmt.Sprintf("the fail-count of %s is %s here, and its migration-threshold %s", w.Rsc.ID, value.ScoreText(w.Base), value.ScoreText(w.Rsc.Threshold))
	case state.WhyFailure:
		return failure(w)
	case state.WhyUnmanaged:
		return "it is active here, and the cluster is not to touch it"
	case state.WhyMultiple:
		return "it is active on more than one node, and multiple-active is " + r.Meta["multiple-active"]
	case state.WhyOrphan:
		return "it is not in the configuration any more"
	case state.WhyLock:
		return "shutdown-lock: it waits for " + w.Node.Name + ", where it ran until that node was shut down"
	case state.WhyDiscovery:
		return "a location constraint with resource-discovery=exclusive admits other nodes only"
	case state.WhyTicket:
		return x.ticket(w)
	case state.WhyGuest:
		return "connections, fencing devices and what hosts guests never run on guest or remote nodes"
	case state.WhyContainer:
		return x.container(n, w)
	case state.WhyColocation:
		return x.colocation(r, w)
	case state.WhyDependent:
		return dependent(n, w)
	case state.WhyTargetRole:
		return stopped(r)
	case state.WhyClone:
		return cloneClosed(r, n, w)
	case state.WhyLimit:
		return fmt.Sprintf("%s has its %d instance(s) placed", w.Rsc.ID, w.Base)
	case state.WhyPromotion:
		return "promotion score that the agent of " + w.Rsc.ID + " set for this node"
	case state.WhyInstance:
		return "promotion priority of " + w.Rsc.ID
	case state.WhyKeepPlace:
		return "resources that are colocated with it would close this place; they cannot"
	case state.WhyUtilization:
		return "not enough free capacity: " + w.Rule
	case state.WhyNoScore:
		return "no promotion score is set for it here: promoting it needs one, or a constraint"
	case state.WhyRole:
		return "its next role is " + w.ID + ", which rules promotion out"
	}
	return string(w.Kind)
}

func (x explainer) nodeScore(n *state.Node) string {
	switch problem := assign.NodeProblem(n); {
	case n.Conn != nil && n.Conn.Bundled():
		return "only what is inside of bundle " + n.Conn.BundleOf().ID + " runs on this node"
	case problem != "" && n.Score <= -state.Infinity:
		return "the node is " + problem
	}
	return "the node's own score in the nodes section"
}

func (x explainer) health(n *state.Node, strategy string) string {
	var attrs []string
	for k, v := range n.Attrs {
		if strings.HasPrefix(k, "#health") {
			attrs = append(attrs, k+"="+v)
		}
	}
	slices.Sort(attrs)
	text := "node-health-strategy=" + strategy
	if len(attrs) > 0 {
		text += ": the node has " + strings.Join(attrs, ", ")
	}
	return text
}

func failure(w state.Cause) string {
	text := "a failure"
	if w.ID != "" {
		text = fmt.Sprintf("%s ended with rc %d", w.ID, w.Base)
		if word := status.ResultText(strconv.Itoa(w.Base)); word != "" {
			text += " (" + word + ")"
		}
	}
	if w.Node != nil {
		text += " on " + w.Node.Name
	}
	return text
}

func (x explainer) ticket(w state.Cause) string {
	text := "ticket " + w.ID + " is not granted here"
	if t := x.c.Tickets[w.ID]; t != nil && t.Granted && t.Standby {
		text = "ticket " + w.ID + " is in standby"
	}
	if w.Rule != "" {
		text += " (constraint " + w.Rule + ")"
	}
	return text
}

func (x explainer) container(n *state.Node, w state.Cause) string {
	switch {
	case w.Rsc.Kind == state.Bundle && n != nil && n.Conn != nil && n.Conn.BundleOf() == w.Rsc:
		return "this node is a replica of " + w.Rsc.ID
	case w.Rsc.Kind == state.Bundle:
		return "what is inside of " + w.Rsc.ID + " runs in its own replica only"
	}
	return "it runs inside of " + w.Rsc.ID + ", not on this node"
}

// constraint names a colocation for people.
func constraint(k *state.Colocation) string {
	switch {
	case k.Constraint != "":
		return "colocation " + k.Constraint
	case k.ID == "group:internal_colocation":
		return "members of a group stay together"
	case k.ID == "resource-with-container", k.ID == "ip-with-docker", k.ID == "child-remote-with-docker-remote":
		return "it belongs to its container"
	}
	return "colocation " + k.ID
}

func roleText(id string, role state.Role) string {
	if role == state.Unknown {
		return id
	}
	return id + " (" + role.String() + ")"
}

// colocation tells of a resource that r is placed relative to.
func (x explainer) colocation(r *state.Resource, w state.Cause) string {
	k := w.Coloc
	prep := " with "
	if k.Score < 0 {
		prep = " apart from "
	}
	where := "is not placed on any node"
	var nodes []string
	if w.Node != nil {
		nodes = []string{w.Node.Name}
	} else {
		state.Each([]*state.Resource{w.Rsc}, func(m *state.Resource) {
			if m.Assigned != nil && !slices.Contains(nodes, m.Assigned.Node.Name) {
				nodes = append(nodes, m.Assigned.Node.Name)
			}
		})
	}
	if len(nodes) > 0 {
		where = "goes to " + strings.Join(nodes, ", ")
	}
	text := fmt.Sprintf("%s: %s%s%s, which %s", constraint(k), roleText(k.Dependent.ID, k.DependentRole), prep, roleText(k.Primary.ID, k.PrimaryRole), where)
	if k.NodeAttr != "" {
		text += ", by node attribute " + k.NodeAttr
	}
	return text
}

// dependent tells of a resource that would like to be with r.
func dependent(n *state.Node, w state.Cause) string {
	via := ""
	if w.Coloc != nil {
		via = " (" + constraint(w.Coloc) + ")"
	}
	if w.Node == nil { // no usable node of its own table is meant (assignment 10.6)
		problem := "it is not allowed here"
		if p := assign.NodeProblem(n); p != "" {
			problem = "the node is " + p
		}
		return fmt.Sprintf("%s%s could not run here: %s", w.Rsc.ID, via, problem)
	}
	where := "here"
	if w.Node != n {
		where = "on " + w.Node.Name
	}
	return fmt.Sprintf("%s has %s %s and counts %s times%s", w.Rsc.ID, value.ScoreText(w.Base), where, factorText(w.Factor), via)
}

func factorText(f float32) string { return strconv.FormatFloat(float64(f), 'g', -1, 32) }

// stopped says why a resource is to be stopped whatever the scores.
func stopped(r *state.Resource) string {
	for p := r; p != nil; p = p.Parent {
		if v, ok := p.Meta.Get("target-role"); ok && state.ParseRole(v) == state.Stopped {
			return "target-role is " + v
		}
	}
	if r.IsRemoteConn {
		return "the node behind this connection is shutting down, or its connection failed"
	}
	return "a failure whose on-fail says stop"
}

func cloneClosed(r *state.Resource, n *state.Node, w state.Cause) string {
	switch w.ID {
	case "node":
		if problem := assign.NodeProblem(n); problem != "" {
			return "the node is " + problem
		}
		return "the node could run nothing when this was decided"
	case "orphan":
		return "it is a surplus instance"
	case "not-allowed":
		return w.Rsc.ID + " is not allowed here"
	case "banned":
		return w.Rsc.ID + " itself may not run here (its own score is negative)"
	}
	return "this node has as many instances of " + w.Rsc.ID + " as it may have"
}

// hint says what an operator could do about a cause.
func (x explainer) hint(r *state.Resource, n *state.Node, w state.Cause) string {
	switch w.Kind {
	case state.WhyLocation:
		if strings.HasPrefix(w.ID, "cli-") {
			return "crm_resource --clear --resource " + r.Top().ID
		}
	case state.WhyThreshold, state.WhyFailure:
		text := "crm_resource --cleanup --resource " + w.Rsc.ID
		if w.Node != nil {
			text += " --node " + w.Node.Name
		}
		if t := w.Rsc.FailureTimeout; t > 0 {
			text += "; forgotten by itself " + strconv.FormatInt(t, 10) + " s after the last failure"
		}
		return text
	case state.WhyColocation:
		if w.Coloc.Constraint != "" {
			return "why that: --explain " + w.Rsc.ID
		}
	case state.WhyTicket:
		return "crm_ticket --ticket " + w.ID + " --grant (or --activate)"
	case state.WhyTargetRole:
		for p := r; p != nil; p = p.Parent {
			if v, ok := p.Meta.Get("target-role"); ok && state.ParseRole(v) == state.Stopped {
				return "crm_resource --resource " + p.ID + " --meta --delete-parameter target-role"
			}
		}
	case state.WhyClone:
		if w.ID == "node" {
			return nodeHint(n)
		}
	case state.WhyLock:
		return "it ends when " + w.Node.Name + " is back, or after shutdown-lock-limit"
	}
	return ""
}

// nodeHint says how a node gets usable again.
func nodeHint(n *state.Node) string {
	switch {
	case n == nil || !n.Online || n.Unclean || n.ShuttingDown:
		return ""
	case n.StandbyOnFail:
		return "clean up the failure that put the node into standby"
	case n.Standby:
		return "crm_standby --node " + n.Name + " --update off"
	case n.Maintenance:
		return "crm_attribute --node " + n.Name + " --name maintenance --delete"
	}
	return ""
}
