package crmmon

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/beevik/etree"

	"linuxha/internal/interval"
	"linuxha/internal/ocftext"
	"linuxha/pengine/state"
	"linuxha/pengine/status"
	stonithv1 "linuxha/proto/stonith/v1"
	"linuxha/tools/output"
	"linuxha/tools/statusxml"
)

func yes(b bool) string { return strconv.FormatBool(b) }

// elements is the view as XML (clients 2.2), in the reference's order.
func (v *view) elements(o *options) []*output.Element {
	var out []*output.Element
	if v.running != "" {
		out = append(out, output.New("pacemakerd", "sys_from", "pacemakerd", "state", "running", "last_updated", v.now.Format("2006-01-02 15:04:05Z07:00")))
	}
	if o.shows("stack") || o.shows("dc") || o.shows("times") || o.shows("counts") || o.shows("options") {
		out = append(out, v.summaryXML(o))
	}
	if o.shows("nodes") {
		out = append(out, v.xml().Nodes(o.groupByNode))
	}
	if o.shows("resources") {
		list := output.New("resources")
		for _, r := range v.cluster.Resources {
			if o.groupByNode && r.IsActive(true) || !v.Shows(r) || r.Orphan && !r.IsActive(true) {
				continue
			}
			list.Add(v.xml().Resource(r)...)
		}
		if len(v.cluster.Resources) > 0 {
			out = append(out, list)
		}
	}
	if o.shows("attributes") {
		if a := v.attributesXML(); len(a.Children) > 0 {
			out = append(out, a)
		}
	}
	anyNode := slices.ContainsFunc(v.cluster.Nodes, func(n *state.Node) bool { return v.HasNode(n.Name) })
	if (o.shows("operations") || o.shows("failcounts")) && anyNode {
		if slices.ContainsFunc(v.doc.FindElements("./status/node_state"), func(ns *etree.Element) bool {
			n := v.cluster.NodeByName(ns.SelectAttrValue("uname", ""))
			return n != nil && n.Online && v.HasNode(n.Name)
		}) {
			out = append(out, v.historyXML(o))
		}
	}
	if o.shows("failures") {
		if f := v.xml().Failures(); len(f.Children) > 0 {
			out = append(out, f)
		}
	}
	if o.shows("fencing-succeeded") && len(v.fencing) > 0 {
		out = append(out, v.fencingXML())
	}
	if o.shows("tickets") && len(v.cluster.Tickets) > 0 {
		out = append(out, v.ticketsXML())
	}
	if o.shows("bans") {
		if bans := v.bans(o.banPrefix); len(bans) > 0 {
			list := output.New("bans")
			for _, b := range bans {
				list.Add(output.New("ban", "id", b.id, "resource", b.rsc, "node", b.node, "weight", b.weight, "promoted-only", yes(b.role == "Promoted"), "master_only", yes(b.role == "Promoted")))
			}
			out = append(out, list)
		}
	}
	return out
}

func (v *view) xml() statusxml.Writer {
	return statusxml.Writer{Cluster: v.cluster, Selection: v.Selection}
}

func (v *view) summaryXML(o *options) *output.Element {
	c := v.cluster
	s := output.New("summary")
	if o.shows("stack") {
		s.Add(output.New("stack", "type", v.stack())) // 2.1.5's schema has no more, and pcs checks
	}
	if o.shows("dc") {
		if c.DC == nil {
			s.Add(output.New("current_dc", "present", "false"))
		} else {
			s.Add(output.New("current_dc", "present", "true", "version", v.property("dc-version", ""), "name", c.DC.Name, "id", c.DC.ID,
				"with_quorum", yes(c.Quorum), "mixed_version", yes(v.mixedVersion())))
		}
	}
	if o.shows("times") {
		s.Add(output.New("last_update", "time", v.now.Format(timeFormat)))
		s.Add(output.New("last_change", "time", v.doc.SelectAttrValue("cib-last-written", ""), "user", v.doc.SelectAttrValue("update-user", ""),
			"client", v.doc.SelectAttrValue("update-client", ""), "origin", v.doc.SelectAttrValue("update-origin", "")))
	}
	if o.shows("counts") {
		s.Add(output.New("nodes_configured", "number", strconv.Itoa(len(c.Nodes))))
		s.Add(output.New("resources_configured", "number", strconv.Itoa(c.Instances), "disabled", strconv.Itoa(c.Disabled), "blocked", strconv.Itoa(c.BlockedRsc)))
	}
	if o.shows("options") {
		policy := map[state.QuorumPolicy]string{
			state.QuorumStop: "stop", state.QuorumFreeze: "freeze", state.QuorumIgnore: "ignore",
			state.QuorumDemote: "demote", state.QuorumSuicide: "suicide",
		}[c.Opts.NoQuorum]
		s.Add(output.New("cluster_options", "stonith-enabled", yes(c.Opts.Stonith), "symmetric-cluster", yes(c.Opts.Symmetric),
			"no-quorum-policy", policy, "maintenance-mode", yes(c.Opts.MaintenanceMode), "stop-all-resources", yes(c.Opts.StopAll),
			"stonith-timeout-ms", msText(c.Opts.StonithTimeout), "priority-fencing-delay-ms", strconv.FormatInt(c.Opts.PriorityDelay*1000, 10)))
	}
	return s
}

func (v *view) attributesXML() *output.Element {
	list := output.New("node_attributes")
	for _, n := range v.cluster.Nodes {
		names := status.Attributes(n)
		if !n.Online || len(names) == 0 || !v.HasNode(n.Name) {
			continue
		}
		e := output.New("node", "name", n.Name)
		for _, name := range names {
			a := output.New("attribute", "name", name, "value", n.Attrs[name])
			if want, ok := status.Expected(v.cluster, n, name); ok {
				a.Set("expected", strconv.Itoa(want))
			}
			e.Add(a)
		}
		list.Add(e)
	}
	return list
}

func (v *view) historyXML(o *options) *output.Element {
	list := output.New("node_history")
	byNode := map[string]*output.Element{}
	for _, h := range v.histories() {
		node := byNode[h.node]
		if node == nil {
			node = output.New("node", "name", h.node)
			byNode[h.node] = node
		}
		threshold, fails, last, known := 1000000, 0, int64(0), false
		if r := v.cluster.Lookup(h.rsc); r != nil {
			threshold, known = r.Threshold, true
			if n := v.cluster.NodeByName(h.node); n != nil {
				fails, last = v.cluster.FailCount(r, n, false, nil)
			}
		}
		e := output.New("resource_history", "id", h.rsc, "orphan", yes(!known), "migration-threshold", strconv.Itoa(threshold))
		if fails > 0 {
			e.Set("fail-count", strconv.Itoa(fails))
		}
		if last > 0 {
			e.Set("last-failure", time.Unix(last, 0).Format(timeFormat))
		}
		if !o.shows("operations") && fails == 0 && last == 0 {
			continue
		}
		for _, op := range h.ops {
			if !o.shows("operations") {
				break
			}
			x := output.New("operation_history", "call", op.call, "task", op.shownTask(), "rc", op.rc, "rc_text", ocftext.Code(op.rc))
			if op.interval != "0" {
				x.Set("interval", op.interval+"ms")
			}
			if at := epoch(op.changed, timeFormat); at != "" {
				x.Set("last-rc-change", at)
			}
			if op.exec != "" {
				x.Set("exec-time", op.exec+"ms")
			}
			if op.queue != "" {
				x.Set("queue-time", op.queue+"ms")
			}
			e.Add(x)
		}
		if len(node.Children) == 0 {
			list.Add(node)
		}
		node.Add(e)
	}
	return list
}

func (v *view) fencingXML() *output.Element {
	list := output.New("fence_history")
	for _, r := range v.fencing {
		if !v.HasNode(r.Target) {
			continue
		}
		e := output.New("fence_event", "action", r.Action, "target", r.Target, "client", r.Client, "origin", r.Origin)
		if r.Executioner != "" {
			e.Set("delegate", r.Executioner)
		}
		list.Add(e)
		switch r.State {
		case stonithv1.FenceRecord_STATE_SUCCESS:
			e.Set("status", "success")
		case stonithv1.FenceRecord_STATE_FAILED:
			e.Set("status", "failed")
			if r.Reason != "" {
				e.Set("exit-reason", r.Reason)
			}
		default:
			extended := "pending"
			if r.State == stonithv1.FenceRecord_STATE_DUPLICATE {
				extended = "duplicate"
			} else if r.Executing {
				extended = "executing"
			}
			e.Set("status", "pending").Set("extended-status", extended)
			continue
		}
		e.Set("completed", time.Unix(0, r.CompletedUnixNs).Format("2006-01-02 15:04:05.000000Z07:00"))
	}
	return list
}

func (v *view) ticketsXML() *output.Element {
	list := output.New("tickets")
	var names []string
	for name := range v.cluster.Tickets {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		t := v.cluster.Tickets[name]
		st := "revoked"
		if t.Granted {
			st = "granted"
		}
		e := output.New("ticket", "id", name, "status", st, "standby", yes(t.Standby))
		if t.LastGranted > 0 {
			e.Set("last-granted", time.Unix(t.LastGranted, 0).Format(timeFormat))
		}
		list.Add(e)
	}
	return list
}

// msText is an interval option in milliseconds; options are already checked.
func msText(s string) string {
	if n, err := strconv.ParseInt(strings.TrimSuffix(s, "ms"), 10, 64); err == nil && strings.HasSuffix(s, "ms") {
		return strconv.FormatInt(n, 10)
	}
	d, ok := interval.Parse(s)
	if !ok {
		return "0"
	}
	return fmt.Sprint(d.Milliseconds())
}
