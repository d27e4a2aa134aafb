package explain

import (
	"fmt"
	"slices"
	"strings"

	"linuxha/pengine/internal/value"
	"linuxha/pengine/state"
)

// Choice is one attempt to place a resource.
type Choice struct {
	Kind    string   // one of state's ChoiceKind
	Node    string   // "" for nowhere
	Text    string   // why
	Hint    string   // what would change it
	Next    string   // the next best node, if points could bring it there
	Points  int      // so many more on Next would
	Ranking []Ranked // the candidates, best first; empty if scores did not matter
}

// Ranked is a candidate with what decided on its rank (assignment 9.1).
type Ranked struct {
	Node     string
	Score    int    // after bans for want of capacity, which come last
	State    string // what keeps the node from running anything new, "" if nothing does
	Full     string // for want of which capacity it was banned, "" if it was not
	Assigned int    // resources that had been placed there before
}

func (x explainer) choice(r *state.Resource, ch state.Choice) Choice {
	c := Choice{Kind: string(ch.Kind)}
	if ch.Node != nil {
		c.Node = ch.Node.Name
	}
	for _, k := range ch.Ranking {
		ranked := Ranked{Node: k.Node.Name, Score: k.Score, State: k.State, Assigned: k.Assigned}
		if chain := x.c.Why.Chain(k.Head); len(chain) > 0 && chain[len(chain)-1].Cause.Kind == state.WhyUtilization {
			ranked.Full = x.cause(r, k.Node, chain[len(chain)-1].Cause)
		}
		c.Ranking = append(c.Ranking, ranked)
	}
	switch ch.Kind {
	case state.ChoseBest:
		c.Text = best(c, ch)
		c.runnerUp(r, ch)
	case state.ChosePreferred:
		c.Text = preferred(r, ch)
	case state.ChoseCurrent:
		c.Text = fmt.Sprintf("no node has a higher score than %s, and it runs here already", value.ScoreText(ch.Score))
		c.runnerUp(r, ch)
	case state.ChoseUnmanaged:
		c.Text = "the cluster does not manage it, so it stays as it is whatever the scores: " + unmanagedBecause(x.c, r)
		c.Hint = unmanagedHint(x.c, r)
	case state.ChoseStopAll:
		c.Text = "stop-all-resources is set: nothing runs"
		c.Hint = "crm_attribute --name stop-all-resources --delete"
	case state.ChoseNone:
		c.Text, c.Hint = none(ch, r)
	case state.ChoseRefused:
		c.Node = ""
		c.Text = fmt.Sprintf("it was to stay on %s, but %s is better now; placed again later", nodeName(ch.Prefer), nodeName(ch.Node))
	case state.ChoseNowhere:
		c.Text = nowhere(ch)
	case state.ChoseLimit:
		c.Text = fmt.Sprintf("the %d instance(s) that clone-max allows are placed without it", ch.Score)
		c.Hint = "raise clone-max"
	}
	return c
}

// preferred tells why a node was asked for.
func preferred(r *state.Resource, ch state.Choice) string {
	switch {
	case r.Replica != nil && r.Replica.Node == ch.Node:
		return "the inside of its own replica"
	case ch.Node == r.PartialTarget:
		return "a live migration to it has begun"
	case slices.Contains(r.Active, ch.Node):
		return "it runs here already, and no other node has a higher score: instances are not moved without need"
	case ch.Capable:
		return "no node has room for all that belongs together; this one has the most capacity"
	}
	return "what it belongs to goes there, and no other node has a higher score"
}

func nodeName(n *state.Node) string {
	if n == nil {
		return "no node"
	}
	return n.Name
}

var ties = map[string]string{
	"capacity": "more free capacity",
	"load":     "fewer resources have been placed there",
	"active":   "it runs there already",
	"name":     "its name comes first; nothing else tells the nodes apart",
}

func best(c Choice, ch state.Choice) string {
	switch {
	case len(c.Ranking) < 2:
		return "the only node in its table"
	case ch.Tie == "score" && c.Ranking[1].State != "" && c.Ranking[1].Score >= ch.Score:
		return fmt.Sprintf("the highest score (%s) of a node that can run it; %s is %s", value.ScoreText(ch.Score), c.Ranking[1].Node, c.Ranking[1].State)
	case ch.Tie == "score":
		return fmt.Sprintf("the highest score: %s, then %s with %s", value.ScoreText(ch.Score), c.Ranking[1].Node, value.ScoreText(c.Ranking[1].Score))
	}
	return fmt.Sprintf("it shares the score %s with %s; %s", value.ScoreText(ch.Score), c.Ranking[1].Node, ties[ch.Tie])
}

// runnerUp says what would bring r to the next best node: one point more than
// the difference, where points can do it. Instances of clones have no choice of
// their own.
func (c *Choice) runnerUp(r *state.Resource, ch state.Choice) {
	top := r.Top()
	if top.Kind == state.Clone || r.Bundled() || r.IsRemoteConn || ch.Score >= state.Infinity {
		return
	}
	for _, k := range ch.Ranking {
		if k.Node != ch.Node && k.State == "" && k.Score > -state.Infinity {
			c.Next, c.Points = k.Node.Name, ch.Score-k.Score+1
			if ch.Kind == state.ChoseBest && k.WinsTie {
				c.Points--
			}
			c.Hint = fmt.Sprintf("%s would win with %d more: a location constraint, or crm_resource --move --resource %s --node %s",
				c.Next, c.Points, top.ID, c.Next)
			return
		}
	}
}

func none(ch state.Choice, r *state.Resource) (text, hint string) {
	if len(ch.Ranking) == 0 {
		return "no node is allowed to run it", "in an asymmetric cluster (symmetric-cluster=false) a location constraint has to admit a node"
	}
	var list, banned []string
	for _, k := range ch.Ranking {
		switch {
		case k.State == "" && k.Score <= -state.Infinity:
			banned = append(banned, k.Node.Name)
		case k.Score < 0 && k.State != "":
			list = append(list, fmt.Sprintf("%s is %s and has %s", k.Node.Name, k.State, value.ScoreText(k.Score)))
		case k.Score < 0:
			list = append(list, k.Node.Name+" has "+value.ScoreText(k.Score))
		case k.State != "":
			list = append(list, k.Node.Name+" is "+k.State)
		}
		if h := nodeHint(k.Node); hint == "" && k.Score >= 0 {
			hint = h
		}
	}
	switch len(banned) {
	case 0:
	case 1:
		list = append(list, banned[0]+" has -INFINITY")
	default:
		list = append(list, strings.Join(banned, ", ")+" have -INFINITY")
	}
	return "no node may run it: " + strings.Join(list, "; "), hint
}

func nowhere(ch state.Choice) string {
	if ch.Coloc != nil {
		return fmt.Sprintf("%s: no instance of %s is left for it to be with", constraint(ch.Coloc), ch.Coloc.Primary.ID)
	}
	if ch.After != nil && ch.After.Rsc != nil {
		return fmt.Sprintf("it has to come after its own instance of %s, and there is none on its node", ch.After.Rsc.ID)
	}
	return "there is no instance for it to be with"
}

// unmanagedBecause says why r is not managed.
func unmanagedBecause(c *state.Cluster, r *state.Resource) string {
	switch {
	case c.Opts.MaintenanceMode:
		return "the whole cluster is in maintenance mode"
	case r.Blocked:
		return "it is blocked by a failure that cannot be recovered from (a failed stop without fencing, on-fail=block, or a frozen ticket)"
	case r.Maintenance:
		return "its meta-attribute maintenance is true"
	case c.Opts.Stonith && !c.HaveFenceDevice:
		return "fencing is enabled, but no fencing device is configured"
	}
	for _, n := range r.Active {
		if n.Maintenance {
			return n.Name + " is in maintenance mode"
		}
	}
	if r.Orphan {
		return "it is not configured any more, and stop-orphan-resources is false"
	}
	return "is-managed is false"
}

func unmanagedHint(c *state.Cluster, r *state.Resource) string {
	switch {
	case c.Opts.MaintenanceMode:
		return "crm_attribute --name maintenance-mode --delete"
	case r.Blocked:
		return "see that it is really stopped, then crm_resource --cleanup --resource " + r.Top().ID
	case r.Maintenance:
		return "crm_resource --resource " + r.Top().ID + " --meta --delete-parameter maintenance"
	case c.Opts.Stonith && !c.HaveFenceDevice:
		return "configure a fencing device, or set stonith-enabled=false where losing data does not matter"
	}
	for _, n := range r.Active {
		if n.Maintenance {
			return nodeHint(n)
		}
	}
	return ""
}
