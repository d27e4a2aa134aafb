package status

import (
	"fmt"
	"slices"
	"strings"

	"linuxha/pengine/internal/value"
	"linuxha/pengine/state"
)

// NodeState is a node's state in words (scheduler-3 19.1).
func NodeState(n *state.Node) string {
	switch {
	case n.Unclean && n.Online:
		return "UNCLEAN (online)"
	case n.Unclean && n.Pending:
		return "UNCLEAN (pending)"
	case n.Unclean:
		return "UNCLEAN (offline)"
	case n.Pending:
		return "pending"
	case n.StandbyOnFail && n.Online:
		return "standby (on-fail)"
	case n.Standby && n.Online && len(n.Running) > 0:
		return "standby (with active resources)"
	case n.Standby && n.Online:
		return "standby"
	case n.Standby:
		return "OFFLINE (standby)"
	case n.Maintenance && n.Online:
		return "maintenance"
	case n.Maintenance:
		return "OFFLINE (maintenance)"
	case n.Online:
		return "online"
	}
	return "OFFLINE"
}

// Health is a node's health: "green", "yellow" or "red"; always green where no
// strategy is set (scheduler-3 19.1).
func Health(c *state.Cluster, n *state.Node) string {
	if c.Opts.HealthStrategy == "" || c.Opts.HealthStrategy == "none" {
		return "green"
	}
	health := "green"
	for name, v := range n.Attrs {
		if !strings.HasPrefix(name, "#health") {
			continue
		}
		score := c.Health.Score(v)
		switch {
		case strings.EqualFold(v, "red"), !colour(v) && score <= c.Health.Red:
			return "red"
		case strings.EqualFold(v, "yellow"), !colour(v) && score <= c.Health.Yellow && c.Health.Yellow != c.Health.Green:
			health = "yellow"
		}
	}
	return health
}

func colour(v string) bool {
	return strings.EqualFold(v, "red") || strings.EqualFold(v, "yellow") || strings.EqualFold(v, "green")
}

// FeatureSet is what the node's controller reported; an online member that
// reported none is older than the attribute.
func FeatureSet(n *state.Node) string {
	if fs := n.Attrs["#feature-set"]; fs != "" {
		return fs
	}
	if n.Online && n.Kind == state.Member {
		return "<3.15.1"
	}
	return ""
}

// NodeKind is the word for a node in lists: Node, GuestNode or RemoteNode.
func NodeKind(n *state.Node) string {
	switch {
	case n.Kind != state.RemoteNode:
		return "Node"
	case n.Conn != nil && n.Conn.IsGuestConn():
		return "GuestNode"
	}
	return "RemoteNode"
}

// Nodes is the node list: those in a special state a line each, the others
// collected.
func Nodes(c *state.Cluster) []Item { return NodesOf(c, Selection{}) }

// NodesOf is Nodes for some of them.
func NodesOf(c *state.Cluster, s Selection) []Item {
	var items []Item
	collected := map[string][]string{}
	for _, n := range c.Nodes {
		if !s.HasNode(n.Name) {
			continue
		}
		kind, text := NodeKind(n), NodeState(n)
		health := Health(c, n)
		special := n.Unclean || n.Pending || n.StandbyOnFail && n.Online || n.Standby || n.Maintenance || health != "green"
		switch {
		case special:
			if health != "green" {
				text += fmt.Sprintf(" (health is %s)", strings.ToUpper(health))
			}
			items = append(items, Item{Text: kind + " " + n.Name + ": " + text})
		case n.Online:
			key := strings.TrimSuffix(kind, "Node") + "Online"
			collected[key] = append(collected[key], n.Name)
		case kind == "GuestNode": // offline guests are not shown
		default:
			key := strings.TrimSuffix(kind, "Node") + "OFFLINE"
			collected[key] = append(collected[key], n.Name)
		}
	}
	for _, key := range []string{"Online", "OFFLINE", "RemoteOnline", "RemoteOFFLINE", "GuestOnline"} {
		if names := collected[key]; len(names) > 0 {
			items = append(items, labelled(key, bracketed(names)))
		}
	}
	return items
}

// byName sorts node names as lists show them.
func byName(names []string) []string {
	slices.SortFunc(names, value.CompareNodeNames)
	return names
}
