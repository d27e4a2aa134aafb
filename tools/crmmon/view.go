package crmmon

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/beevik/etree"

	"linuxha/pengine/state"
	"linuxha/pengine/status"
	stonithv1 "linuxha/proto/stonith/v1"
)

// timeFormat is C's ctime, which clients parse (clients 2.2).
const timeFormat = "Mon Jan _2 15:04:05 2006"

// view is one moment of the cluster, ready to be shown.
type view struct {
	cluster *state.Cluster
	doc     *etree.Element // the same CIB, for what the model leaves out
	fencing []*stonithv1.FenceRecord
	now     time.Time
	running string // "Status of pacemakerd" line; "" when a file is shown
	status.Selection
}

// choose narrows the view to what --node and --resource name: an object, or
// the tag of several.
func (v *view) choose(o *options) {
	v.Selection = status.Selection{}
	if o.node != "" {
		v.Nodes = []string{}
		if n := v.cluster.NodeByName(o.node); n != nil {
			v.Nodes = append(v.Nodes, n.Name)
		} else {
			v.Nodes = append(v.Nodes, v.tagged(o.node)...)
		}
	}
	if o.resource != "" {
		v.Resources = []string{o.resource}
		if !status.Known(v.cluster, o.resource) {
			v.Resources = append([]string{}, v.tagged(o.resource)...)
		}
	}
}

// tagged are the ids that a tag refers to.
func (v *view) tagged(tag string) []string {
	var ids []string
	for _, t := range v.doc.FindElements("./configuration/tags/tag") {
		if t.SelectAttrValue("id", "") != tag {
			continue
		}
		for _, ref := range t.SelectElements("obj_ref") {
			id := ref.SelectAttrValue("id", "")
			if n := v.cluster.NodeByID(id); n != nil {
				id = n.Name
			}
			ids = append(ids, id)
		}
	}
	return ids
}

// wantsHistory says whether the operations of a history belong to what was
// asked for: to a wanted resource, or to the clone or bundle of one.
func (v *view) wantsHistory(rsc string) bool {
	if v.Resources == nil {
		return true
	}
	r := v.cluster.Lookup(rsc)
	if r == nil {
		return slices.Contains(v.Resources, rsc)
	}
	top := r
	for top.Parent != nil {
		top = top.Parent
	}
	if top.Kind == state.Clone || top.Kind == state.Bundle {
		return v.Touches(top)
	}
	return v.Has(r)
}

// newView reads a CIB.
func newView(cib []byte, now time.Time) (*view, error) {
	cluster, err := status.Load(cib, now)
	if err != nil {
		return nil, err
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(cib); err != nil {
		return nil, err
	}
	return &view{cluster: cluster, doc: doc.Root(), now: now}, nil
}

func (v *view) property(name, missing string) string {
	for _, nv := range v.doc.FindElements("./configuration/crm_config/cluster_property_set/nvpair[@name='" + name + "']") {
		return nv.SelectAttrValue("value", missing)
	}
	return missing
}

func (v *view) stack() string { return v.property("cluster-infrastructure", "unknown") }

// lastChange is `TIME by USER via CLIENT on NODE`, as far as it is known.
func (v *view) lastChange() string {
	text := v.doc.SelectAttrValue("cib-last-written", "")
	for _, part := range []struct{ word, attr string }{{"by", "update-user"}, {"via", "update-client"}, {"on", "update-origin"}} {
		if a := v.doc.SelectAttrValue(part.attr, ""); a != "" {
			text += " " + part.word + " " + a
		}
	}
	return text
}

// nodeLabel is the node's name; where detail is wanted with the host of a guest
// and with an id that is not the name.
func (v *view) nodeLabel(name string, detail bool) string {
	n := v.cluster.NodeByName(name)
	switch {
	case n == nil || !detail:
		return name
	case n.Conn != nil && n.Conn.IsGuestConn():
		return name + "@" + guestHost(n)
	case n.ID != name:
		return fmt.Sprintf("%s (%s)", name, n.ID)
	}
	return name
}

// guestHost is where the container or virtual machine of a guest node runs.
func guestHost(n *state.Node) string {
	if n.Conn.Container == nil {
		return ""
	}
	if host := n.Conn.Container.CurrentNode(); host != nil {
		return host.Name
	}
	return ""
}

// detailedNodes is the node list with ids, hosts and feature sets.
func (v *view) detailedNodes() []status.Item {
	var items []status.Item
	for _, n := range v.cluster.Nodes {
		if n.Kind == state.Ping || !v.HasNode(n.Name) {
			continue
		}
		items = append(items, status.Item{Text: status.NodeKind(n) + " " + v.nodeLabel(n.Name, true) + ": " + detailedState(n)})
	}
	return items
}

// detailedState is a node's state with the feature set of a member.
func detailedState(n *state.Node) string {
	text := status.NodeState(n)
	if fs := status.FeatureSet(n); fs != "" && n.Kind == state.Member && n.Online {
		text += ", feature set " + fs
	}
	return text
}

// operation is one line of history.
type operation struct {
	call, task, rc, status   string
	interval                 string // milliseconds
	changed, exec, queue, id string
}

// history is a resource's operations on a node, oldest first.
type history struct {
	node, rsc string
	ops       []operation
}

// histories collects what status holds, in its order (clients 2.2).
func (v *view) histories() []history {
	return slices.DeleteFunc(v.everyHistory(), func(h history) bool { return !v.HasNode(h.node) || !v.wantsHistory(h.rsc) })
}

// everyHistory is that of all nodes that are there, wanted or not.
func (v *view) everyHistory() []history {
	var out []history
	for _, ns := range v.doc.FindElements("./status/node_state") {
		node := ns.SelectAttrValue("uname", "")
		if node == "" {
			if n := v.cluster.NodeByID(ns.SelectAttrValue("id", "")); n != nil {
				node = n.Name
			}
		}
		if n := v.cluster.NodeByName(node); n == nil || !n.Online {
			continue
		}
		for _, r := range ns.FindElements("./lrm/lrm_resources/lrm_resource") {
			h := history{node: node, rsc: r.SelectAttrValue("id", "")}
			for _, op := range r.SelectElements("lrm_rsc_op") {
				h.ops = append(h.ops, readOperation(op))
			}
			h.ops = worthShowing(h.ops)
			if len(h.ops) > 0 {
				out = append(out, h)
			}
		}
	}
	return out
}

func readOperation(op *etree.Element) operation {
	return operation{
		call: op.SelectAttrValue("call-id", "0"), task: op.SelectAttrValue("operation", ""),
		rc: op.SelectAttrValue("rc-code", "0"), status: op.SelectAttrValue("op-status", "0"),
		interval: op.SelectAttrValue("interval", "0"), changed: op.SelectAttrValue("last-rc-change", ""),
		exec: op.SelectAttrValue("exec-time", ""), queue: op.SelectAttrValue("queue-time", ""),
		id: op.SelectAttrValue("id", ""),
	}
}

func (o operation) probe() bool { return o.task == "monitor" && o.interval == "0" }

// shownTask is the task in the words of displays.
func (o operation) shownTask() string {
	if o.probe() {
		return "probe"
	}
	return o.task
}

// worthShowing leaves out probes that found nothing, and orders by call.
func worthShowing(ops []operation) []operation {
	var out []operation
	for _, o := range ops {
		if strings.HasSuffix(o.id, "_last_failure_0") && slices.ContainsFunc(ops, func(x operation) bool {
			return x.id != o.id && x.call == o.call && x.task == o.task
		}) {
			continue // the same record stands under its own key too
		}
		if o.probe() && (o.rc == "7" || o.rc == "193") || o.task == "notify" {
			continue
		}
		out = append(out, o)
	}
	if len(out) == 1 && out[0].task == "stop" {
		return out
	}
	slices.SortStableFunc(out, func(a, b operation) int {
		x, _ := strconv.Atoi(a.call)
		y, _ := strconv.Atoi(b.call)
		if under, other := a.status == "-1", b.status == "-1"; under != other { // what is under way comes last
			x, y = 0, 1
			if under {
				x, y = 1, 0
			}
		}
		return x - y
	})
	return out
}

// epoch is seconds since 1970 in the form that lists show, "" where absent.
func epoch(s, layout string) string {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n <= 0 {
		return ""
	}
	return time.Unix(n, 0).Format(layout)
}

// wantsID is Has for the id of a configured resource.
func (v *view) wantsID(id string) bool {
	r := v.cluster.Resource(id)
	return r == nil && v.Resources == nil || r != nil && v.Has(r)
}

// ban is a location constraint that keeps a resource off a node.
type ban struct{ id, rsc, node, weight, role string }

// bans are the negative location constraints on one node whose id begins with
// prefix, read from the document: the model has constraints only after scheduling.
func (v *view) bans(prefix string) []ban {
	var out []ban
	for _, l := range v.doc.FindElements("./configuration/constraints/rsc_location") {
		score := l.SelectAttrValue("score", "")
		id := l.SelectAttrValue("id", "")
		if !strings.HasPrefix(score, "-") || !strings.HasPrefix(id, prefix) || l.SelectAttrValue("node", "") == "" || !v.wantsID(l.SelectAttrValue("rsc", "")) {
			continue
		}
		weight := score
		if score == "-INFINITY" {
			weight = strconv.Itoa(-state.Infinity)
		}
		role := ""
		if r := l.SelectAttrValue("role", ""); r == "Promoted" || r == "Master" {
			role = "Promoted"
		}
		// The constraint that was made last comes first.
		out = slices.Insert(out, 0, ban{id: id, rsc: l.SelectAttrValue("rsc", ""), node: l.SelectAttrValue("node", ""), weight: weight, role: role})
	}
	return out
}
