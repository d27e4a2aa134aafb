// Package simulate plays a transition graph against a CIB: every action
// succeeds, unless told otherwise, and its result is written to the status
// section as the cluster would. It also injects events before a run. Schedule
// plus simulate answers "what would the cluster do if" (actions 21).
package simulate

import (
	"fmt"
	"strconv"
	"strings"

	"linuxha/pengine/graph"
	"linuxha/pengine/internal/value"
	"linuxha/pengine/internal/xmldoc"
	"linuxha/pengine/state"
)

// Options of an execution.
type Options struct {
	Fail []string // operation specifications RSC_TASK_INTERVAL@NODE=RC that fail
	Now  int64    // recorded as the time of all results
	// EnsureNodes adds nodes that something happens on to the configuration.
	EnsureNodes bool
}

// Line is one line of output.
type Line struct {
	Info bool // not part of the list
	Text string

	Element string      // its XML form, "" if it has none
	Attrs   [][2]string // names and values
}

// Result is what an execution amounted to.
type Result struct {
	Lines      []Line
	Terminated bool // the graph could not be completed
	Done, Left int  // actions, by whether they were carried out
}

type executor struct {
	c         *state.Cluster
	root      *xmldoc.Elem
	opts      Options
	res       *Result
	confirmed map[*state.Action]bool
	failed    map[*state.Action]bool
	aborted   bool
	written   histories
}

// Execute carries out a plan's graph and changes the document accordingly.
func Execute(root *xmldoc.Elem, g *graph.Graph, c *state.Cluster, opts Options) *Result {
	x := &executor{
		c: c, root: root, opts: opts, res: &Result{},
		confirmed: map[*state.Action]bool{}, failed: map[*state.Action]bool{}, written: histories{},
	}
	for x.pass(g) {
	}
	if len(x.confirmed)+len(x.failed) < len(g.Synapses) && !x.aborted {
		x.res.Terminated = true
	}
	x.res.Done = len(x.confirmed) + len(x.failed)
	x.res.Left = len(g.Synapses) - x.res.Done
	return x.res
}

// pass fires every synapse that is ready; it says whether there was one.
func (x *executor) pass(g *graph.Graph) bool {
	fired := false
	for _, s := range g.Synapses {
		a := s.Action
		if x.confirmed[a] || x.failed[a] || !x.ready(s) {
			continue
		}
		if x.aborted && s.Priority < state.Infinity && (!a.IsPseudo() || a.Task == "stonith") {
			continue
		}
		fired = true
		if x.perform(a) {
			x.confirmed[a] = true
		} else {
			x.failed[a] = true
			x.aborted = true
		}
	}
	return fired
}

func (x *executor) ready(s *graph.Synapse) bool {
	for _, in := range s.Inputs {
		if x.confirmed[in] || x.failed[in] && s.Priority >= state.Infinity {
			continue
		}
		return false
	}
	return true
}

func (x *executor) say(l Line) { x.res.Lines = append(x.res.Lines, l) }

// line is a line with its XML form: element, attribute, value, ...
func line(text, element string, attrs ...string) Line {
	l := Line{Text: text, Element: element}
	for i := 0; i+1 < len(attrs); i += 2 {
		l.Attrs = append(l.Attrs, [2]string{attrs[i], attrs[i+1]})
	}
	return l
}

// perform carries out one action; false means that it failed.
func (x *executor) perform(a *state.Action) bool {
	switch {
	case a.Task == "stonith" && !a.IsPseudo():
		op := a.Meta["stonith_action"]
		x.say(line(fmt.Sprintf("Fencing %s (%s)", a.Node.Name, op), "fencing_action", "target", a.Node.Name, "op", op))
		if op != "on" {
			setOffline(x.nodeState(a), "simulate_fencing_action")
		}
		return true
	case a.Task == "do_shutdown", a.Task == "clear_failcount", a.Task == "lrm_delete":
		if a.Rsc != nil {
			id, _ := graph.AgentID(a.Rsc)
			x.say(line(fmt.Sprintf("Cluster action:  %s for %s on %s", a.Task, id, a.Node.Name),
				"cluster_action", "task", a.Task, "node", a.Node.Name, "id", id))
		} else {
			x.say(line(fmt.Sprintf("Cluster action:  %s on %s", a.Task, a.Node.Name), "cluster_action", "task", a.Task, "node", a.Node.Name))
		}
		return true
	case a.IsPseudo():
		l := line("Pseudo action:   "+graph.OperationKey(a), "pseudo_action", "task", graph.OperationKey(a))
		if a.Task == "stonith" && a.Node != nil {
			l.Text += " on " + a.Node.Name
			l.Attrs = append(l.Attrs, [2]string{"node", a.Node.Name})
		}
		x.say(l)
		return true
	case a.Task == "probe_again" || a.Rsc == nil:
		return true
	}
	return x.operation(a)
}

// operation simulates a resource operation (actions 21.3).
func (x *executor) operation(a *state.Action) bool {
	id, long := graph.AgentID(a.Rsc)
	name := id
	if !x.known(id) && long != "" && x.known(long) {
		name = long
	}
	interval := int64(0)
	if v, ok := a.Meta["interval"]; ok {
		interval, _ = value.LeadingInt(v)
	}
	l := line("", "rsc_action", "resource", name, "op", a.Task, "node", a.Node.Name)
	if interval > 0 {
		l.Text = fmt.Sprintf("Resource action: %-15s %s=%d on %s", name, a.Task, interval, a.Node.Name)
		l.Attrs = append(l.Attrs, [2]string{"interval", strconv.FormatInt(interval, 10)})
	} else {
		l.Text = fmt.Sprintf("Resource action: %-15s %s on %s", name, a.Task, a.Node.Name)
	}
	x.say(l)
	target := 0
	if v, ok := a.Meta["op_target_rc"]; ok {
		n, _ := value.LeadingInt(v)
		target = int(n)
	}
	rc, fails := target, false
	for _, spec := range x.opts.Fail {
		for _, who := range []string{name, id} {
			prefix := fmt.Sprintf("%s_%s_%d@%s=", who, a.Task, interval, a.Node.Name)
			if len(spec) > len(prefix) && strings.EqualFold(spec[:len(prefix)], prefix) && !fails {
				n, _ := value.LeadingInt(spec[len(prefix):])
				rc, fails = int(n), true
				x.res.Lines = append(x.res.Lines, Line{Info: true, Text: fmt.Sprintf("Pretending action %d failed with rc=%d", a.ID, rc)})
			}
		}
	}
	if a.Task == "delete" || a.Task == "meta-data" {
		return true
	}
	ns := x.nodeState(a)
	if fails {
		for _, l := range injectFailCount(ns, name, a.Task, interval, rc, x.opts.Now) {
			x.say(l)
		}
	}
	r := &record{
		task: a.Task, interval: interval, rc: rc, target: target, failed: fails, now: x.opts.Now, reason: "User-injected result",
		conf: id, digest: x.digest(a), notifyType: a.Meta["notify_type"], notifyOp: a.Meta["notify_operation"],
		source: a.Meta["migrate_source"], dest: a.Meta["migrate_target"],
	}
	for _, k := range []string{"class", "provider", "type"} {
		if v, ok := a.Rsc.XML.Get(k); ok {
			r.agent = append(r.agent, k, v)
		}
	}
	r.write(ns, name, x.written)
	updated(ns)
	return !fails
}

func (x *executor) known(id string) bool {
	if x.c.Resource(id) != nil {
		return true
	}
	found := false
	state.Each(x.c.Resources, func(r *state.Resource) { found = found || r.HistName == id })
	return found
}

func (x *executor) digest(a *state.Action) string {
	return state.DigestOfParams(graph.Params(x.c, a), a.Meta["interval"] != "")
}

// nodeState finds or makes the node_state of an action's node.
func (x *executor) nodeState(a *state.Action) *xmldoc.Elem {
	if x.opts.EnsureNodes {
		ensureNode(x.root, a.Node.Name)
	}
	return ensureNodeState(x.root, a.Node.ID, a.Node.Name)
}

func status(root *xmldoc.Elem) *xmldoc.Elem {
	if s := root.Child("status"); s != nil {
		return s
	}
	return root.Add("status")
}

func ensureNodeState(root *xmldoc.Elem, id, name string) *xmldoc.Elem {
	st := status(root)
	for ns := range st.Children("node_state") {
		if ns.Attr("uname") == name {
			return ns
		}
	}
	ns := st.Add("node_state", "id", id, "uname", name)
	updated(ns)
	return ns
}

// setOffline records that a node is down and what ran there is gone.
func setOffline(ns *xmldoc.Elem, origin string) {
	set(ns, "in_ccm", "false", "crmd", "offline", "join", "down", "expected", "down", "crm-debug-origin", origin)
	for _, gone := range []string{"lrm", "transient_attributes"} {
		for k := ns.Child(gone); k != nil; k = ns.Child(gone) {
			ns.Remove(k)
			updated(ns)
		}
	}
}

// record is the result of an operation, as history keeps it.
type record struct {
	task, conf, digest   string
	interval             int64
	rc, target           int
	failed               bool
	now                  int64
	notifyType, notifyOp string
	source, dest         string
	reason               string   // of a failure
	agent                []string // attribute names and values
}

func childWithID(e *xmldoc.Elem, name string, nv ...string) *xmldoc.Elem {
	if k := e.Child(name); k != nil {
		return k
	}
	return e.Add(name, nv...)
}

// histories finds the entries of lists of histories by id: for each list, all
// that have the id. It holds as long as only write adds to a list.
type histories map[*xmldoc.Elem]map[string][]*xmldoc.Elem

func (h histories) of(list *xmldoc.Elem) map[string][]*xmldoc.Elem {
	ids, known := h[list]
	if !known {
		ids = map[string][]*xmldoc.Elem{}
		for l := range list.Children("lrm_resource") {
			ids[l.ID()] = append(ids[l.ID()], l)
		}
		h[list] = ids
	}
	return ids
}

// write puts the result into a node's history, under the name printed if that
// is there once, else under the configured one.
func (r *record) write(ns *xmldoc.Elem, printed string, h histories) {
	list := childWithID(childWithID(ns, "lrm", "id", ns.ID()), "lrm_resources")
	ids := h.of(list)
	call := 1
	found := ids[printed]
	if len(found) != 1 {
		found = ids[r.conf]
	}
	n := len(found)
	var rsc *xmldoc.Elem
	if n > 0 {
		rsc = found[0]
	}
	switch {
	case n == 1:
		for op := range rsc.Children("lrm_rsc_op") {
			if c, ok := value.LeadingInt(op.Attr("call-id")); ok {
				call = max(call, int(c)+1)
			}
		}
	case n == 0:
		rsc = list.Add("lrm_resource", append([]string{"id", r.conf}, r.agent...)...)
		ids[r.conf] = append(ids[r.conf], rsc)
	}
	r.entries(rsc, call)
}

func (r *record) entries(rsc *xmldoc.Elem, call int) {
	task := r.task
	if task == "reload-agent" || task == "reload" {
		task = "start"
	}
	key := state.Key(r.conf, task, r.interval)
	switch {
	case r.task == "notify":
		r.entry(rsc, r.conf+"_"+r.notifyType+"_notify_"+r.notifyOp+"_0", r.conf+"_notify_0", task, call)
	case r.task == "migrate_to" || r.task == "migrate_from":
		r.entry(rsc, key, key, task, call)
	case r.failed:
		r.entry(rsc, r.conf+"_last_failure_0", key, task, call)
		if r.interval == 0 {
			r.entry(rsc, r.conf+"_last_0", key, task, call)
		}
	case r.interval > 0:
		r.entry(rsc, key, key, task, call)
	default:
		r.entry(rsc, r.conf+"_last_0", key, task, call)
	}
}

func (r *record) entry(rsc *xmldoc.Elem, id, key, task string, call int) {
	var op *xmldoc.Elem
	for k := range rsc.Children("lrm_rsc_op") {
		if k.ID() == id {
			op = k
			break
		}
	}
	if op == nil {
		op = rsc.Add("lrm_rsc_op", "id", id)
	}
	tkey := fmt.Sprintf("%d:-1:%d:xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", call, r.target)
	reason := ""
	if r.failed {
		reason = r.reason
	}
	for _, nv := range [][2]string{
		{"operation_key", key},
		{"operation", task},
		{"crm-debug-origin", "crm_simulate"},
		{"crm_feature_set", state.FeatureSet},
		{"transition-key", tkey},
		{"transition-magic", fmt.Sprintf("0:%d;%s", r.rc, tkey)},
		{"exit-reason", reason},
		{"call-id", strconv.Itoa(call)},
		{"rc-code", strconv.Itoa(r.rc)},
		{"op-status", "0"},
		{"interval", strconv.FormatInt(r.interval, 10)},
		{"last-rc-change", strconv.FormatInt(r.now, 10)},
		{"exec-time", "0"},
		{"queue-time", "0"},
	} {
		op.Set(nv[0], nv[1])
	}
	if r.digest != "" {
		op.Set("op-digest", r.digest)
	}
	if r.source != "" {
		op.Set("migrate_source", r.source)
	}
	if r.dest != "" {
		op.Set("migrate_target", r.dest)
	}
}
