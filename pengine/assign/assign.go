// Package assign gives resources to nodes: it brings the wishes of colocated
// resources together in each resource's table of allowed nodes, picks a node,
// and records the choice. It reads what packages state and constraint left in
// the model and creates no actions (assignment 9 to 18).
package assign

import (
	"fmt"
	"strings"

	"linuxha/pengine/internal/value"
	"linuxha/pengine/state"
)

const infinity = state.Infinity

// assigner carries the model through the phase.
type assigner struct{ c *state.Cluster }

// All places every resource (assignment 2 step 6).
func All(c *state.Cluster) {
	a := assigner{c}
	if c.Opts.Placement != "default" {
		a.sortResources()
	}
	a.showCapacity("Original")
	if c.HaveRemotes {
		for _, r := range c.Resources {
			if r.IsRemoteConn {
				a.assign(r, r.PartialTarget)
			}
		}
	}
	for _, r := range c.Resources {
		if !r.IsRemoteConn {
			a.assign(r, nil)
		}
	}
	a.showCapacity("Remaining")
}

// assign places a resource, preferably on a node, and returns where it went.
func (a assigner) assign(r *state.Resource, prefer *state.Node) *state.Placement {
	switch r.Kind {
	case state.Group:
		return a.group(r, prefer)
	case state.Clone:
		a.clone(r, prefer)
		return nil
	case state.Bundle:
		a.bundle(r, prefer)
		return nil
	}
	return a.primitive(r, prefer)
}

// usablePlus says whether any entry of the table is usable and not negative.
func (a assigner) usablePlus(t state.Table) bool {
	for i := range t {
		if t[i].Set && t[i].Score >= 0 && a.c.ByIdx[i].Usable() {
			return true
		}
	}
	return false
}

// influences says whether the dependent's wishes count for a primary
// (assignment 10.1).
func influences(x *state.Colocation, primary *state.Resource) bool {
	d := x.Dependent
	if d.IsRemoteConn && d.Container != nil && d.Bundled() && !primary.Failed && len(primary.Active) == 1 {
		return false
	}
	return x.Influence || len(primary.Active) == 0
}

func factor(score int) float32 { return float32(score) / float32(infinity) }

// candidate is a node with its score in some table.
type candidate struct {
	node  *state.Node
	score int
}

func (a assigner) candidates(t state.Table) []candidate {
	list := make([]candidate, 0, len(t))
	for _, n := range a.tableNodes(t) {
		list = append(list, candidate{n, t[n.Idx].Score})
	}
	return list
}

// tableNodes lists the nodes of a table.
func (a assigner) tableNodes(t state.Table) []*state.Node {
	list := make([]*state.Node, 0, len(t))
	for i := range t {
		if t[i].Set {
			list = append(list, a.c.ByIdx[i])
		}
	}
	return list
}

// compareNodes ranks candidates; active may be nil (assignment 9.1).
func (a assigner) compareNodes(x, y candidate, active *state.Node) int {
	sx, sy := x.score, y.score
	if !x.node.Usable() {
		sx = -infinity
	}
	if !y.node.Usable() {
		sy = -infinity
	}
	if sx != sy {
		return order(sx > sy)
	}
	if a.c.Opts.Placement != "minimal" {
		if a.c.Opts.Placement == "balanced" {
			if cmp := compareCapacity(x.node, y.node); cmp != 0 {
				return cmp
			}
		}
		if p, q := x.node.NumAssigned, y.node.NumAssigned; p != q {
			return order(p < q)
		}
		if active != nil && x.node != y.node {
			if x.node == active {
				return -1
			}
			if y.node == active {
				return 1
			}
		}
	}
	return strings.Compare(x.node.Name, y.node.Name)
}

// SortedNodes ranks the nodes of a table as placement would, without regard to
// where anything runs.
func SortedNodes(c *state.Cluster, t state.Table) []*state.Node {
	a := assigner{c}
	list := a.candidates(t)
	value.MergeSort(list, func(x, y candidate) int { return a.compareNodes(x, y, nil) })
	nodes := make([]*state.Node, len(list))
	for i, x := range list {
		nodes[i] = x.node
	}
	return nodes
}

func order(firstWins bool) int {
	if firstWins {
		return -1
	}
	return 1
}

// showScores prints a resource's table and those below it (assignment 19.2).
func (a assigner) showScores(label string, r *state.Resource) {
	if !a.c.Output.Scores && !a.c.Why.Asks() || r.Orphan {
		return
	}
	for _, n := range a.c.Nodes {
		if e := r.Allowed.Get(n); e != nil {
			a.c.Why.Snapshot(r, label, n, e.Score, e.Why)
			if a.c.Output.Scores {
				a.line(label + ": " + r.ID + " allocation score on " + n.Name + ": " + value.ScoreText(e.Score))
			}
		}
	}
	for _, k := range r.Children {
		a.showScores(label, k)
	}
}

func (a assigner) line(text string) {
	a.c.Output.Lines = append(a.c.Output.Lines, state.ScoreLine{Text: text})
}

func (a assigner) showCapacity(when string) {
	if !a.c.Output.Utilization {
		return
	}
	for _, n := range a.c.Nodes {
		a.line(when + ": " + n.Name + " capacity:" + attrsText(n.Utilization))
	}
}

func attrsText(t state.Attrs) string {
	var b strings.Builder
	for _, k := range hashOrder(t) {
		fmt.Fprintf(&b, " %s=%s", k, t[k])
	}
	return b.String()
}

// sortResources re-sorts the top-level resources (assignment 9.2).
func (a assigner) sortResources() {
	c := a.c
	nodes := make([]candidate, 0, len(c.Nodes))
	for _, n := range c.Nodes {
		nodes = append(nodes, candidate{n, n.Score})
	}
	value.MergeSort(nodes, func(x, y candidate) int { return a.compareNodes(x, y, nil) })
	score := func(t state.Table, n *state.Node) int {
		if e := t.Get(n); e != nil {
			return e.Score
		}
		return -infinity
	}
	value.MergeSort(c.Resources, func(r1, r2 *state.Resource) int {
		if r1.Priority != r2.Priority {
			return order(r1.Priority > r2.Priority)
		}
		var t1, t2 state.Table
		a.merge(r1, &t1, nil, 1, mergeThisWith)
		a.merge(r2, &t2, nil, 1, mergeThisWith)
		s1, s2 := -infinity, -infinity
		if n := r1.CurrentNode(); n != nil {
			s1 = score(t1, n)
		}
		if n := r2.CurrentNode(); n != nil {
			s2 = score(t2, n)
		}
		if s1 != s2 {
			return order(s1 > s2)
		}
		for _, x := range nodes {
			if s1, s2 := score(t1, x.node), score(t2, x.node); s1 != s2 {
				return order(s1 > s2)
			}
		}
		return 0
	})
}
