package graph

import (
	"fmt"
	"strings"

	"linuxha/pengine/state"
)

// Line is one line of the transition summary.
type Line struct {
	Node bool // about a node: Text is all
	Text string

	Verb, ID, Details, Reason string
	Attrs                     [][2]string // the XML form: names and values of its attributes
}

// Summary says what the transition does to nodes and resources (actions 20).
// It also binds actions without a node and corrects roles (20.6), so it has to
// be called before the graph is made as well.
func Summary(c *state.Cluster) []Line {
	s := &summary{c: c}
	for i := len(c.Actions) - 1; i >= 0; i-- {
		a := c.Actions[i]
		if a.Rsc != nil || !a.Required() || a.Task != "stonith" || a.Node == nil {
			continue
		}
		name := a.Node.Name
		if a.Node.IsGuest() {
			name += " (resource: " + a.Node.Conn.Container.ID + ")"
		}
		text := fmt.Sprintf("Fence (%s) %s", a.Meta["stonith_action"], name)
		if a.Reason != "" {
			text += " '" + a.Reason + "'"
		}
		s.lines = append(s.lines, Line{Node: true, Text: text, Attrs: [][2]string{{"task", "Fence (" + a.Meta["stonith_action"] + ")"}, {"node", name}, {"reason", a.Reason}}})
	}
	for _, r := range c.Resources {
		s.resource(r)
	}
	return s.lines
}

// Format lays the lines out (actions 20.5).
func Format(lines []Line) []string {
	w := newWidths()
	for _, l := range lines {
		w.fit(l)
	}
	out := make([]string, 0, len(lines))
	for _, l := range lines {
		out = append(out, w.text(l))
	}
	return out
}

// widths are those of the columns, which only grow.
type widths struct{ id, details int }

func newWidths() widths { return widths{id: 5, details: 5} }

func (w *widths) fit(l Line) {
	if l.Node {
		return
	}
	w.details = max(w.details, len(l.Details))
	if len(l.ID) > w.id {
		w.id = len(l.ID) + 2
	}
}

func (w widths) text(l Line) string {
	if l.Node {
		return l.Text
	}
	t := fmt.Sprintf("%-8s   %-*s   ( %*s )", l.Verb, w.id, l.ID, w.details, l.Details)
	if l.Reason != "" {
		t += "  " + l.Reason
	}
	return t
}

// Log writes the lines to the ledger's log, which lays each out by those before
// it, not by all (actions 20.5).
func Log(c *state.Cluster, lines []Line) {
	if !c.Why.Asks() {
		return
	}
	w := newWidths()
	for _, l := range lines {
		w.fit(l)
		c.Why.Log(state.Notice, "log_list_item", "Actions: "+w.text(l))
	}
}

type summary struct {
	c     *state.Cluster
	lines []Line
}

// leave logs that nothing happens to r.
func (s *summary) leave(r *state.Resource) {
	if !s.c.Why.Asks() {
		return
	}
	text := r.Role.String()
	if !r.Managed {
		text += " unmanaged"
	} else if cur := r.CurrentNode(); cur != nil {
		text += " " + cur.Name
	}
	s.c.Why.Log(state.Info, "rsc_action_default", "Leave   "+r.ID+"\t("+text+")")
}

func (s *summary) resource(r *state.Resource) {
	switch {
	case r.Kind == state.Bundle:
		for _, rep := range r.Bundle.Replica {
			for _, part := range []*state.Resource{rep.IP, rep.Container, rep.Conn, rep.Instance} {
				if part != nil {
					s.resource(part)
				}
			}
		}
	case r.Kind != state.Primitive:
		for _, k := range r.Children {
			s.resource(k)
		}
	default:
		s.primitive(r)
	}
}

func (s *summary) primitive(r *state.Resource) {
	if r.Orphan && len(r.Active) == 0 {
		return
	}
	if len(r.Active) > 0 && r.Role == state.Stopped {
		r.Role = state.Started
	}
	cur := r.CurrentNode()
	var next *state.Node
	if r.Assigned != nil {
		next = r.Assigned.Node
	}
	if !r.Managed || cur == nil && next == nil {
		s.leave(r)
		return
	}
	start := r.Act("start", next)
	stopNode := cur
	if start == nil || !start.IsRunnable() {
		stopNode = nil
	}
	stop := r.Act("stop", stopNode)
	if stop == nil && r.StopUnexpected {
		stop = r.Act("stop", nil)
	}
	promote, demote := r.Act("promote", next), r.Act("demote", next)
	moving := cur != nil && next != nil && cur != next
	if r.Role == r.NextRole {
		s.sameRole(r, cur, next, moving, start, stop, promote, demote)
	} else {
		s.newRole(r, cur, next, moving, start, stop, promote, demote)
	}
}

func (s *summary) sameRole(r *state.Resource, cur, next *state.Node, moving bool, start, stop, promote, demote *state.Action) {
	migrate := r.Act("migrate_from", next)
	switch {
	case migrate != nil && migrate.IsRunnable() && cur != nil && next != nil:
		s.add("Migrate", r, cur, next, start, nil)
	case r.Reload:
		s.add("Reload", r, cur, next, start, nil)
	case start == nil || start.IsOptional():
		if demote != nil && promote != nil && demote.Required() && promote.Required() {
			s.add("Re-promote", r, cur, next, promote, demote)
		} else {
			s.leave(r)
		}
	case !start.IsRunnable():
		source := start
		if stop != nil && stop.Reason != "" {
			source = stop
		}
		s.add("Stop", r, cur, nil, stop, source)
	case moving && r.Failed:
		s.add("Recover", r, cur, next, stop, nil)
	case moving:
		s.add("Move", r, cur, next, stop, nil)
	case r.Failed:
		s.add("Recover", r, cur, nil, stop, nil)
	default:
		s.add("Restart", r, cur, next, start, nil)
	}
}

func (s *summary) newRole(r *state.Resource, cur, next *state.Node, moving bool, start, stop, promote, demote *state.Action) {
	switch {
	case stop != nil && (r.NextRole == state.Stopped || start != nil && !start.IsRunnable()):
		for _, n := range r.Active {
			a := r.Act("stop", n)
			if a == nil {
				continue
			}
			source := start
			if a.Reason != "" {
				source = a
			}
			s.add("Stop", r, n, nil, a, source)
		}
	case stop != nil && r.Failed && r.MustStop:
		s.add("Recover", r, cur, next, stop, start)
	case moving:
		s.add("Move", r, cur, next, stop, nil)
	case r.Reload:
		s.add("Reload", r, cur, next, start, nil)
	case stop != nil && stop.Required():
		s.add("Restart", r, cur, next, start, nil)
	case r.Role == state.Promoted:
		s.add("Demote", r, cur, next, demote, nil)
	case r.NextRole == state.Promoted:
		s.add("Promote", r, cur, next, promote, nil)
	case r.Role == state.Stopped && r.NextRole > state.Stopped:
		s.add("Start", r, cur, next, start, nil)
	}
}

func (s *summary) add(verb string, r *state.Resource, from, to *state.Node, a, source *state.Action) {
	if a == nil {
		a = source
	}
	if a == nil {
		return
	}
	if source == nil {
		source = a
	}
	text, places := details(r, from, to)
	l := Line{Verb: verb, ID: r.ID, Details: text, Attrs: append([][2]string{{"action", strings.ToLower(verb)}, {"resource", r.ID}}, places...)}
	if source.Reason != "" {
		l.Attrs = append(l.Attrs, [2]string{"reason", source.Reason})
	}
	if !a.IsRunnable() {
		l.Attrs = append(l.Attrs, [2]string{"blocked", "true"})
	}
	switch {
	case source.Reason != "":
		l.Reason = "due to " + source.Reason
		if !a.IsRunnable() {
			l.Reason += " (blocked)"
		}
	case !a.IsRunnable():
		l.Reason = "blocked"
	}
	s.lines = append(s.lines, l)
}

// details is the middle column, as text and as attributes (actions 20.3).
func details(r *state.Resource, from, to *state.Node) (string, [][2]string) {
	roles := r.Role > state.Started || r.NextRole > state.Unpromoted
	now, next := r.Role.String(), r.NextRole.String()
	role, nextRole := [2]string{"role", now}, [2]string{"next-role", next}
	at := func(name string, n *state.Node) [2]string { return [2]string{name, n.Name} }
	switch {
	case from == nil && roles:
		return now + " -> " + next + " " + to.Name, [][2]string{role, nextRole, at("dest", to)}
	case from == nil:
		return to.Name, [][2]string{at("node", to)}
	case to == nil && roles:
		return now + " " + from.Name, [][2]string{role, at("node", from)}
	case to == nil:
		return from.Name, [][2]string{at("node", from)}
	case r.Role == r.NextRole && from == to && roles:
		return now + " " + from.Name, [][2]string{role, at("source", from)}
	case r.Role == r.NextRole && from == to:
		return from.Name, [][2]string{at("source", from)}
	case r.Role == r.NextRole && roles:
		return from.Name + " -> " + to.Name + " " + now, [][2]string{at("source", from), at("dest", to), role}
	case r.Role == r.NextRole:
		return from.Name + " -> " + to.Name, [][2]string{at("source", from), at("dest", to)}
	case from == to:
		return now + " -> " + next + " " + from.Name, [][2]string{role, nextRole, at("source", from)}
	}
	return now + " " + from.Name + " -> " + next + " " + to.Name, [][2]string{role, nextRole, at("source", from), at("dest", to)}
}
