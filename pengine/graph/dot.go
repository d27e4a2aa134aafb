package graph

import (
	"fmt"
	"strconv"
	"strings"

	"linuxha/pengine/order"
	"linuxha/pengine/state"
)

// dotName is how an action is called in the dot form (actions 17).
func dotName(a *state.Action, withID bool) string {
	prefix, task := "", a.Task
	if a.Task == "cancel" {
		prefix, task = "Cancel ", a.CancelTask
	}
	var name string
	switch {
	case a.Task == "stonith":
		name = prefix + fmt.Sprintf("stonith '%s' %s", a.Meta["stonith_action"], nodeName(a))
	case a.Rsc != nil:
		key := a.Key
		if h := a.Rsc.HistName; h != "" {
			key = state.Key(h, task, a.Interval)
			if a.Task == "notify" || a.Task == "notified" {
				key = h + "_" + a.Meta["notify_key_type"] + "_notify_" + a.Meta["notify_key_operation"] + "_0"
			}
		}
		name = prefix + key
		if a.Node != nil {
			name += " " + a.Node.Name
		} else if !a.IsPseudo() {
			name += " <none>"
		}
	case a.Node != nil:
		name = prefix + task + " " + a.Node.Name
	default:
		name = a.Key
	}
	if withID {
		name += " (" + strconv.Itoa(a.ID) + ")"
	}
	return name
}

func nodeName(a *state.Action) string {
	if a.Node != nil {
		return a.Node.Name
	}
	return a.Meta["on_node"]
}

// Dot draws the graph.
func Dot(c *state.Cluster, allActions, withIDs bool) string {
	var b strings.Builder
	b.WriteString(" digraph \"g\" {\n")
	shown := map[*state.Action]bool{}
	for i := len(c.Actions) - 1; i >= 0; i-- {
		a := c.Actions[i]
		style, color, font := "dashed", "red", "black"
		if a.IsPseudo() {
			font = "orange"
		}
		switch {
		case a.Has(state.InGraph):
			style, color = "bold", "green"
		case a.Rsc != nil && !a.Rsc.Managed:
			if !allActions {
				continue
			}
			color, font = "red", "purple"
		case a.IsOptional():
			if !allActions {
				continue
			}
			color = "blue"
		}
		shown[a] = true
		fmt.Fprintf(&b, "\"%s\" [ style=%s color=\"%s\" fontcolor=\"%s\"]\n", dotName(a, withIDs), style, color, font)
	}
	for i := len(c.Actions) - 1; i >= 0; i-- {
		a := c.Actions[i]
		order.Consider(a)
		for _, e := range a.Inputs {
			style := "dashed"
			switch {
			case e.Emitted:
				style = "bold"
			case e.Props == 0:
				continue
			case shown[a] && shown[e.First] && e.Props != state.Utilization:
			case allActions:
			default:
				continue
			}
			fmt.Fprintf(&b, "\"%s\" -> \"%s\" [ style = %s]\n", dotName(e.First, withIDs), dotName(a, withIDs), style)
		}
	}
	b.WriteString("}\n")
	return b.String()
}
