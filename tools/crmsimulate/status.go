package crmsimulate

import (
	"fmt"
	"slices"
	"strings"

	"linuxha/pengine/state"
	words "linuxha/pengine/status"
)

type statusOptions struct{ attrs, failures, pending bool }

// status prints the model (actions 19).
type status struct {
	c    *state.Cluster
	o    statusOptions
	l    *lister
	base int
}

func (r *run) banner(maintenance bool, disabled, blocked, instances int) {
	shown := false
	if maintenance {
		fmt.Fprintln(r.out, "\n              *** Resource management is DISABLED ***\n  The cluster will not attempt to start, stop or recover services")
		shown = true
	}
	if disabled > 0 || blocked > 0 {
		if shown {
			fmt.Fprintln(r.out)
		}
		fmt.Fprintf(r.out, "%d of %d resource instances DISABLED and %d BLOCKED from further action due to failure\n", disabled, instances, blocked)
		shown = true
	}
	if shown {
		fmt.Fprintln(r.out)
	}
}

func (r *run) status(c *state.Cluster, o statusOptions, depth int) {
	s := &status{c: c, o: o, l: r.list, base: depth}
	if nodes := words.Nodes(c); len(nodes) > 0 {
		s.l.title(depth, "Node List")
		s.l.items(depth+1, nodes)
		r.space()
	}
	s.l.title(depth, "Full List of Resources")
	resources := words.Resources(c, words.Options{Pending: o.pending, Inactive: true})
	if len(resources) == 0 {
		resources = []words.Item{{Text: "No resources"}}
	}
	s.l.items(depth+1, resources)
	if o.attrs {
		s.attributes(r.space)
	}
	if o.failures {
		r.space()
		s.failCounts()
		if s.anyFailed() {
			r.space()
			s.failedOps()
		}
	}
}

// items prints a list from package status.
func (l *lister) items(depth int, items []words.Item) {
	for _, it := range items {
		if len(it.Sub) > 0 {
			l.title(depth, it.Text)
			l.items(depth+1, it.Sub)
			continue
		}
		text := it.Text
		if l.plain && it.Bare != "" {
			text = it.Bare
		}
		l.item(depth, "", text)
	}
}

// attributes is -A (actions 19.8).
func (s *status) attributes(space func()) {
	d := s.base
	titled := false
	for _, n := range s.c.Nodes {
		if !n.Online {
			continue
		}
		names := shownAttrs(n)
		if len(names) == 0 {
			continue
		}
		if !titled {
			titled = true
			space()
			s.l.title(d, "Node Attributes")
		}
		s.l.title(d+1, "Node: "+n.Name)
		for _, k := range names {
			s.l.item(d+2, "", fmt.Sprintf("%-32s\t: %-10s", k, n.Attrs[k]))
		}
	}
}

// shownAttrs are the names of a node's attributes that are for people.
func shownAttrs(n *state.Node) []string {
	var names []string
	for k := range n.Attrs {
		if !hiddenAttr(k) {
			names = append(names, k)
		}
	}
	slices.Sort(names)
	return names
}

func hiddenAttr(name string) bool {
	for _, p := range []string{"fail-count", "last-failure", "shutdown", "terminate", "standby", "#"} {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

func (s *status) failCounts() {
	d := s.base
	s.l.title(d, "Migration Summary")
	for _, n := range s.c.Nodes {
		if !n.Online {
			continue
		}
		var lines []string
		state.EachLeaf(s.c.Resources, func(r *state.Resource) {
			if r.Kind != state.Primitive {
				return
			}
			if count, last := s.c.FailCount(r, n, false, nil); count > 0 {
				text := fmt.Sprintf("%s: migration-threshold=%d fail-count=%d", words.Name(r), r.Threshold, count)
				if last > 0 {
					text += fmt.Sprintf(" last-failure='%s'", timeText(last))
				}
				if !slices.Contains(lines, text) {
					lines = append(lines, text)
				}
			}
		})
		if len(lines) > 0 {
			s.l.title(d+1, "Node: "+n.Name)
			for _, l := range lines {
				s.l.item(d+2, "", l)
			}
		}
	}
}

func (s *status) anyFailed() bool {
	return slices.ContainsFunc(s.c.FailedOps, func(f state.FailedOp) bool { return !words.Masked(f) })
}

var statusTexts = map[string]string{
	"-2": "UNKNOWN!", "-1": "pending", "0": "complete", "1": "Cancelled", "2": "Timed Out", "3": "NOT SUPPORTED", "4": "Error", "5": "Hard error",
	"6": "Fatal error", "7": "Not installed", "8": "Internal communication failure", "9": "Cannot execute now", "10": "No fence device",
	"11": "CIB secrets unavailable",
}

func (s *status) failedOps() {
	d := s.base
	s.l.title(d, "Failed Resource Actions")
	for _, f := range s.c.FailedOps {
		if words.Masked(f) {
			continue
		}
		x := f.XML
		text := fmt.Sprintf("%s on %s '%s' (%s): call=%s, status='%s'", f.Key, f.Node.Name, words.ResultText(x.Attr("rc-code")), x.Attr("rc-code"),
			x.Attr("call-id"), statusTexts[x.Attr("op-status")])
		if v := x.Attr("exit-reason"); v != "" {
			text += ", exitreason='" + v + "'"
		}
		if v := x.Attr("last-rc-change"); v != "" {
			text += ", last-rc-change='" + epochText(v) + "'"
		}
		if v := x.Attr("queue-time"); v != "" {
			text += ", queued=" + v + "ms"
		}
		if v := x.Attr("exec-time"); v != "" {
			text += ", exec=" + v + "ms"
		}
		s.l.item(d+1, "", text)
	}
}
