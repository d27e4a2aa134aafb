package status

import (
	"fmt"
	"slices"

	"linuxha/pengine/state"
)

// Counts is the brief form of a list of primitives: how many of each agent are
// active where, agents in order, and of how many if inactive ones count too.
func Counts(rscs []*state.Resource, inactive bool) []Item {
	total := map[string]int{}
	active := map[string]map[string]int{} // agent, node
	var agents []string
	for _, r := range rscs {
		agent := Agent(r)
		if total[agent]++; active[agent] == nil {
			agents = append(agents, agent)
			active[agent] = map[string]int{}
		}
		if r.IsActive(true) {
			if n := r.CurrentNode(); n != nil {
				active[agent][n.Name]++
			}
		}
	}
	slices.Sort(agents)
	var items []Item
	for _, agent := range agents {
		var nodes []string
		for n := range active[agent] {
			nodes = append(nodes, n)
		}
		for _, n := range byName(nodes) {
			items = append(items, Item{Text: count(active[agent][n], total[agent], inactive) + "\t(" + agent + "):\tActive " + n})
		}
		if len(nodes) == 0 && inactive {
			items = append(items, Item{Text: count(0, total[agent], inactive) + "\t(" + agent + "):\tActive"})
		}
	}
	return items
}

func count(active, total int, withTotal bool) string {
	if withTotal {
		return fmt.Sprintf("%d/%d", active, total)
	}
	return fmt.Sprint(active)
}

// CountsHere is Counts for what runs on one node, which is not named again.
func CountsHere(rscs []*state.Resource) []Item {
	total := map[string]int{}
	var agents []string
	for _, r := range rscs {
		agent := Agent(r)
		if total[agent]++; total[agent] == 1 {
			agents = append(agents, agent)
		}
	}
	slices.Sort(agents)
	var items []Item
	for _, agent := range agents {
		items = append(items, Item{Text: fmt.Sprintf("%d\t(%s):\tActive ", total[agent], agent)})
	}
	return items
}
