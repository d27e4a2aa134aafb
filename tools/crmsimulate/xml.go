package crmsimulate

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"linuxha/pengine/graph"
	"linuxha/pengine/schedule"
	"linuxha/pengine/simulate"
	"linuxha/pengine/state"
	words "linuxha/pengine/status"
	"linuxha/tools/output"
	"linuxha/tools/statusxml"
)

// add puts elements into the XML result.
func (r *run) add(e ...*output.Element) { r.body = append(r.body, e...) }

// element is one of the simulator's elements.
func element(name string, attrs [][2]string) *output.Element {
	e := output.New(name)
	for _, a := range attrs {
		e.Set(a[0], a[1])
	}
	return e
}

// statusXML is the state of the cluster: nodes, resources, and what the
// options ask for.
func statusXML(name string, c *state.Cluster, o statusOptions) *output.Element {
	w := statusxml.Writer{Cluster: c, Settled: !o.pending}
	list := output.New("resources")
	for _, r := range c.Resources {
		if r.Orphan && len(r.Active) == 0 {
			continue
		}
		list.Add(w.Resource(r)...)
	}
	e := output.New(name).Add(w.Nodes(false), list)
	if o.attrs {
		e.Add(unlessEmpty(attributesXML(c))...)
	}
	if o.failures {
		if slices.ContainsFunc(c.Nodes, func(n *state.Node) bool { return n.Online }) {
			e.Add(historyXML(c))
		}
		e.Add(unlessEmpty(w.Failures())...)
	}
	return e
}

// unlessEmpty leaves a list without entries out.
func unlessEmpty(e *output.Element) []*output.Element {
	if len(e.Children) == 0 {
		return nil
	}
	return []*output.Element{e}
}

func attributesXML(c *state.Cluster) *output.Element {
	list := output.New("node_attributes")
	for _, n := range c.Nodes {
		if !n.Online {
			continue
		}
		e := output.New("node", "name", n.Name)
		for _, k := range shownAttrs(n) {
			e.Add(output.New("attribute", "name", k, "value", n.Attrs[k]))
		}
		list.Add(unlessEmpty(e)...)
	}
	return list
}

func historyXML(c *state.Cluster) *output.Element {
	list := output.New("node_history")
	for _, n := range c.Nodes {
		if !n.Online {
			continue
		}
		e := output.New("node", "name", n.Name)
		seen := map[string]bool{}
		state.EachLeaf(c.Resources, func(r *state.Resource) {
			name := words.Name(r)
			if r.Kind != state.Primitive || seen[name] {
				return
			}
			count, last := c.FailCount(r, n, false, nil)
			if count == 0 {
				return
			}
			seen[name] = true
			h := output.New("resource_history", "id", name, "orphan", strconv.FormatBool(r.Orphan),
				"migration-threshold", strconv.Itoa(r.Threshold), "fail-count", strconv.Itoa(count))
			if last > 0 {
				h.Set("last-failure", timeText(last))
			}
			e.Add(h)
		})
		list.Add(unlessEmpty(e)...)
	}
	return list
}

// modificationsXML lists injected events.
func modificationsXML(in *simulate.Injections, lines []simulate.Line) *output.Element {
	e := output.New("modifications")
	set(e, "quorum", in.Quorum)
	set(e, "watchdog", in.Watchdog)
	for _, l := range lines {
		if l.Element != "" {
			e.Add(element(l.Element, l.Attrs))
		}
	}
	return e
}

// The forms of score and utilization lines (assignment 19).
var (
	allocationLine  = regexp.MustCompile(`^(\S+): (\S+) allocation score on (\S+): (\S+)$`)
	promotionLine   = regexp.MustCompile(`^(\S+) promotion score on (\S+): (\S+)$`)
	utilizationLine = regexp.MustCompile(`^(\S+): (\S+) utilization on (\S+):(.*)$`)
	capacityLine    = regexp.MustCompile(`^(\S+): (\S+) capacity:(.*)$`)
)

// scoresXML lists scores and utilization.
func scoresXML(lines []string, scores, utilization bool) *output.Element {
	name := "allocations"
	switch {
	case scores && utilization:
		name = "allocations_utilizations"
	case utilization:
		name = "utilizations"
	}
	e := output.New(name)
	for _, l := range lines {
		if m := allocationLine.FindStringSubmatch(l); m != nil {
			e.Add(output.New("node_weight", "function", m[1], "node", m[3], "score", m[4], "id", m[2]))
		} else if m := promotionLine.FindStringSubmatch(l); m != nil {
			p := output.New("promotion_score", "id", m[1], "score", m[3])
			if m[2] != "none" {
				p.Set("node", m[2])
			}
			e.Add(p)
		} else if m := utilizationLine.FindStringSubmatch(l); m != nil {
			e.Add(amounts(output.New("utilization", "resource", m[2], "node", m[3], "function", m[1]), m[4]))
		} else if m := capacityLine.FindStringSubmatch(l); m != nil {
			e.Add(amounts(output.New("capacity", "node", m[2], "comment", m[1]), m[3]))
		}
	}
	return e
}

func amounts(e *output.Element, text string) *output.Element {
	for _, w := range strings.Fields(text) {
		k, v, _ := strings.Cut(w, "=")
		e.Add(&output.Element{Name: k, Text: v})
	}
	return e
}

// actionsXML is the transition summary.
func actionsXML(lines []graph.Line) *output.Element {
	e := output.New("actions")
	for _, l := range lines {
		name := "rsc_action"
		if l.Node {
			name = "node_action"
		}
		x := output.New(name)
		for _, a := range l.Attrs {
			set(x, a[0], a[1])
		}
		e.Add(x)
	}
	return e
}

// transitionXML is what was executed.
func transitionXML(res *simulate.Result) *output.Element {
	e := output.New("transition")
	for _, l := range res.Lines {
		if l.Element != "" {
			e.Add(element(l.Element, l.Attrs))
		}
	}
	return e
}

// explainXML adds what --explain asks for.
func (r *run) explainXML(p *schedule.Plan) error {
	for _, id := range r.p.Values("explain") {
		e, err := p.Explain(id)
		if err != nil {
			return err
		}
		r.add(explanationXML(e))
	}
	return nil
}
