// Package graph writes the result of scheduling: the transition graph, its dot
// form, and the summary of what will happen to each resource. Writing is not
// quite innocent: notifications of clones are created while their clone is
// written, and computing the summary binds actions that have no node yet
// (actions 16, 17, 20); schedule calls the three in the order that counts.
package graph

import (
	"strconv"
	"strings"

	"linuxha/pengine/action"
	"linuxha/pengine/internal/value"
	"linuxha/pengine/internal/xmldoc"
	"linuxha/pengine/order"
	"linuxha/pengine/state"
)

// Synapse is an action in the graph and what it waits for.
type Synapse struct {
	ID       int
	Priority int
	Action   *state.Action
	Inputs   []*state.Action
}

// Graph is the transition graph.
type Graph struct {
	Attrs    []xmldoc.Attr
	Synapses []*Synapse
	XML      []byte
}

type writer struct {
	c *state.Cluster
	g *Graph
	b strings.Builder
}

// Empty is the graph that does nothing.
func Empty(c *state.Cluster) *Graph {
	w := &writer{c: c, g: &Graph{}}
	w.attributes()
	w.finish()
	return w.g
}

// Make produces the graph (actions 16.1).
func Make(c *state.Cluster) *Graph {
	w := &writer{c: c, g: &Graph{}}
	w.attributes()
	for _, r := range c.Resources {
		w.resource(r)
	}
	w.maintenanceNodes()
	for i := len(c.Actions) - 1; i >= 0; i-- {
		w.emit(c.Actions[i])
	}
	w.finish()
	return w.g
}

func (w *writer) attributes() {
	c := w.c
	add := func(k, v string) { w.g.Attrs = append(w.g.Attrs, xmldoc.Attr{Name: k, Value: v}) }
	add("cluster-delay", c.Opts.ClusterDelay)
	add("stonith-timeout", c.Opts.StonithTimeout)
	add("failed-stop-offset", "INFINITY")
	if c.Opts.StartFailureFatal {
		add("failed-start-offset", "INFINITY")
	} else {
		add("failed-start-offset", "1")
	}
	add("batch-limit", c.Opts.BatchLimit)
	add("transition_id", "0")
	if n, ok := value.LeadingInt(c.Opts.MigrationLimit); ok && n > 0 {
		add("migration-limit", c.Opts.MigrationLimit)
	}
	if c.Recheck > 0 {
		add("recheck-by", strconv.FormatInt(c.Recheck, 10))
	}
}

func (w *writer) resource(r *state.Resource) {
	switch r.Kind {
	case state.Primitive:
		w.own(r)
	case state.Group:
		w.own(r)
		for _, m := range r.Children {
			w.resource(m)
		}
	case state.Clone:
		for i := len(r.Actions) - 1; i >= 0; i-- {
			action.Flags(r.Actions[i], nil)
		}
		action.Notify(w.c, r)
		for _, i := range r.Children {
			w.resource(i)
		}
		w.own(r)
	case state.Bundle:
		if r.Bundle.Inner != nil {
			w.resource(r.Bundle.Inner)
		}
		for _, rep := range r.Bundle.Replica {
			for _, part := range []*state.Resource{rep.IP, rep.Container, rep.Conn} {
				if part != nil {
					w.resource(part)
				}
			}
		}
	}
}

func (w *writer) own(r *state.Resource) {
	for i := len(r.Actions) - 1; i >= 0; i-- {
		w.emit(r.Actions[i])
	}
}

// maintenanceNodes tells remote executors about a change of maintenance mode
// (actions 13.2).
func (w *writer) maintenanceNodes() {
	for _, n := range w.c.Nodes {
		if n.IsGuestOrRemote() && n.Maintenance != n.RecordedMaintenance {
			a := w.c.PseudoAction("maintenance_nodes")
			a.Set(state.AlwaysShow)
			return
		}
	}
}

// emit puts an action into the graph if it belongs there.
func (w *writer) emit(a *state.Action) {
	if a.Synapse {
		return
	}
	order.Consider(a)
	if a.Has(state.InGraph) || !order.Emitted(a) {
		return
	}
	a.Set(state.InGraph)
	a.Synapse = true
	s := &Synapse{ID: len(w.g.Synapses), Action: a, Priority: a.Priority}
	if a.Rsc != nil {
		s.Priority = max(s.Priority, a.Rsc.Priority)
	}
	for _, e := range a.Inputs {
		if order.Input(a, e) {
			e.Emitted = true
			s.Inputs = append(s.Inputs, e.First)
		}
	}
	w.g.Synapses = append(w.g.Synapses, s)
	w.synapse(s)
}

func (w *writer) finish() {
	var head strings.Builder
	head.WriteString("<transition_graph")
	for _, a := range w.g.Attrs {
		attr(&head, a.Name, a.Value)
	}
	start, end := ">\n", "</transition_graph>\n"
	if len(w.g.Synapses) == 0 {
		start, end = "/>\n", ""
	}
	xml := make([]byte, 0, head.Len()+len(start)+w.b.Len()+len(end))
	xml = append(append(xml, head.String()...), start...)
	w.g.XML = append(append(xml, w.b.String()...), end...)
}

// attr writes values as they are: agents get what the CIB says. What people
// and tests are shown is Printed.
func attr(b *strings.Builder, name, val string) {
	b.WriteByte(' ')
	b.WriteString(name)
	b.WriteString(`="`)
	xmldoc.EscapeExact(b, val)
	b.WriteByte('"')
}

var printed = strings.NewReplacer("&#9;", "    ", "&#10;", `\n`, "&#13;", `\r`, "\x7f", `\177`)

// Printed is a graph's XML as the reference prints it: tabs and ends of lines
// in values look like other text (actions 16.7), which the reference's agents
// get as well.
func Printed(xml []byte) []byte { return []byte(printed.Replace(string(xml))) }

func (w *writer) synapse(s *Synapse) {
	b := &w.b
	before := b.Len()
	b.WriteString("  <synapse")
	attr(b, "id", strconv.Itoa(s.ID))
	if s.Priority > 0 {
		attr(b, "priority", strconv.Itoa(s.Priority))
	}
	b.WriteString(">\n    <action_set>\n")
	w.full(s.Action)
	b.WriteString("    </action_set>\n")
	if len(s.Inputs) == 0 {
		b.WriteString("    <inputs/>\n")
	} else {
		b.WriteString("    <inputs>\n")
		for _, in := range s.Inputs {
			b.WriteString("      <trigger>\n        ")
			w.head(in)
			b.WriteString("/>\n      </trigger>\n")
		}
		b.WriteString("    </inputs>\n")
	}
	b.WriteString("  </synapse>\n")
	w.c.Spend(state.WorkGraph, b.Len()-before)
}

// elementName is the name of an action's element (actions 16.4).
func elementName(a *state.Action) string {
	switch {
	case a.Task == "stonith":
		if a.IsPseudo() {
			return "pseudo_event"
		}
		return "crm_event"
	case a.Task == "do_shutdown", a.Task == "clear_failcount", a.Task == "lrm_delete":
		return "crm_event"
	case a.IsPseudo():
		return "pseudo_event"
	}
	return "rsc_op"
}

// OperationKey is the key that an action is executed under: with the name that
// history has for its resource (actions 16.4).
func OperationKey(a *state.Action) string {
	if a.Rsc == nil || a.Rsc.HistName == "" {
		return a.Key
	}
	h := a.Rsc.HistName
	switch {
	case a.Task == "notify":
		return h + "_" + a.Meta["notify_type"] + "_notify_" + a.Meta["notify_operation"] + "_0"
	case a.CancelTask != "":
		return state.Key(h, a.CancelTask, a.Interval)
	}
	return state.Key(h, a.Task, a.Interval)
}

// AgentID is how the graph names an action's resource (actions 16.5): id, and
// long where a longer name goes with it.
func AgentID(r *state.Resource) (id, long string) {
	switch {
	case r.Orphan && r.HistName != "":
		return r.HistName, r.ID
	case !r.Unique && r.HistName != "" && r.HistName != r.XMLID:
		return r.XMLID, r.HistName
	case !r.Unique:
		return r.XMLID, r.ID
	}
	return r.ID, ""
}

func hasNodeInfo(a *state.Action) bool {
	return a.Node != nil && (!a.IsPseudo() || a.Task == "stonith")
}

// head writes the element's name and attributes, without closing it.
func (w *writer) head(a *state.Action) {
	b := &w.b
	b.WriteByte('<')
	b.WriteString(elementName(a))
	if a.Task == "lrm_delete" {
		attr(b, "mode", "cib")
	}
	attr(b, "id", strconv.Itoa(a.ID))
	attr(b, "operation", a.Task)
	attr(b, "operation_key", OperationKey(a))
	if a.Rsc != nil && a.Rsc.HistName != "" {
		attr(b, "internal_operation_key", a.Key)
	}
	if !hasNodeInfo(a) {
		return
	}
	attr(b, "on_node", a.Node.Name)
	attr(b, "on_node_uuid", a.Node.ID)
	if router := action.Router(a); router != nil {
		attr(b, "router_node", router.Name)
	}
}

// full writes an action with all it carries (actions 16.5).
func (w *writer) full(a *state.Action) {
	b := &w.b
	b.WriteString("      ")
	w.head(a)
	if r := a.Rsc; r != nil && a.Node != nil && r.LockNode == a.Node && (!a.Node.ShuttingDown || a.Task == "stop") {
		attr(b, "shutdown-lock", strconv.FormatInt(r.LockTime, 10))
	}
	b.WriteString(">\n")
	if a.Rsc != nil && !a.IsPseudo() {
		w.agent(a.Rsc)
	}
	w.attributesElement(Params(w.c, a))
	w.downed(a)
	if a.Task == "maintenance_nodes" {
		w.maintenance()
	}
	b.WriteString("      </")
	b.WriteString(elementName(a))
	b.WriteString(">\n")
}

func (w *writer) agent(r *state.Resource) {
	b := &w.b
	b.WriteString("        <")
	b.WriteString(r.XML.Name)
	id, long := AgentID(r)
	attr(b, "id", id)
	if long != "" {
		attr(b, "long-id", long)
	}
	for _, name := range []string{"class", "provider", "type"} {
		if v, ok := r.XML.Get(name); ok {
			attr(b, name, v)
		}
	}
	b.WriteString("/>\n")
}

// downed lists the nodes that an action takes down.
func (w *writer) downed(a *state.Action) {
	var ids []string
	switch {
	case !hasNodeInfo(a):
	case a.Task == "do_shutdown":
		ids = []string{a.Node.ID}
	case a.Task == "stonith":
		switch a.Meta["stonith_action"] {
		case "off", "reboot", "poweroff":
			ids = append(ids, a.Node.ID)
			for _, r := range a.Node.Running {
				if r.IsRemoteConn && r.Container != nil {
					if n := w.c.NodeByName(r.ID); n != nil {
						ids = append(ids, n.ID)
					}
				}
			}
		}
	case a.Rsc != nil && a.Rsc.IsRemoteConn && a.Task == "stop":
		for _, e := range a.Before {
			if e.First.Rsc == a.Rsc && e.First.Task == "migrate_from" {
				return
			}
		}
		if n := w.c.NodeByName(a.Rsc.ID); n != nil {
			ids = []string{n.ID}
		}
	}
	if len(ids) == 0 {
		return
	}
	b := &w.b
	b.WriteString("        <downed>\n")
	for _, id := range ids {
		b.WriteString("          <node")
		attr(b, "id", id)
		b.WriteString("/>\n")
	}
	b.WriteString("        </downed>\n")
}

func (w *writer) maintenance() {
	b := &w.b
	b.WriteString("        <maintenance>\n")
	for _, n := range w.c.Nodes {
		if !n.IsGuestOrRemote() || n.Maintenance == n.RecordedMaintenance {
			continue
		}
		b.WriteString("          <node")
		attr(b, "id", n.ID)
		in := "0"
		if n.Maintenance {
			in = "1"
		}
		attr(b, "node_in_maintenance", in)
		b.WriteString("/>\n")
	}
	b.WriteString("        </maintenance>\n")
}
