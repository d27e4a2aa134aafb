// Package statusxml is the XML form of what package pengine/status says in
// words: nodes and resources as crm_mon, crm_resource and crm_simulate print
// them (clients 2.2).
package statusxml

import (
	"strconv"
	"strings"
	"time"

	"linuxha/internal/ocftext"
	"linuxha/pengine/state"
	"linuxha/pengine/status"
	"linuxha/tools/output"
)

func yes(b bool) string { return strconv.FormatBool(b) }

// Writer makes elements from a model, as far as they are selected.
type Writer struct {
	Cluster *state.Cluster
	Settled bool // leave out what is under way
	status.Selection
}

// Nodes is the list of nodes, with what runs on each if inside.
func (v Writer) Nodes(inside bool) *output.Element {
	list := output.New("nodes")
	for _, n := range v.Cluster.Nodes {
		if !v.HasNode(n.Name) {
			continue
		}
		kind := map[state.NodeKind]string{state.Member: "member", state.RemoteNode: "remote", state.Ping: "unknown"}[n.Kind]
		e := output.New("node", "name", n.Name, "id", n.ID, "online", yes(n.Online), "standby", yes(n.Standby), "standby_onfail", yes(n.StandbyOnFail),
			"maintenance", yes(n.Maintenance), "pending", yes(n.Pending), "unclean", yes(n.Unclean), "health", status.Health(v.Cluster, n))
		if fs := status.FeatureSet(n); fs != "" && n.Kind == state.Member && n.Online {
			e.Set("feature_set", fs)
		}
		e.Set("shutdown", yes(n.ShuttingDown)).Set("expected_up", yes(n.ExpectedUp)).Set("is_dc", yes(n.IsDC)).
			Set("resources_running", strconv.Itoa(len(n.Running))).Set("type", kind)
		if n.Conn != nil && n.Conn.IsGuestConn() && n.Conn.Container != nil {
			e.Set("id_as_resource", n.Conn.Container.ID)
		}
		if inside {
			for _, r := range n.Running {
				if v.Has(r) {
					e.Add(v.Primitive(r))
				}
			}
		}
		list.Add(e)
	}
	return list
}

// Resource is a resource with all its parts; nothing for hidden ones.
func (v Writer) Resource(r *state.Resource) []*output.Element {
	switch r.Kind {
	case state.Group:
		e := output.New("group", "id", r.ID, "number_resources", strconv.Itoa(len(r.Children)), "managed", yes(r.Managed), "disabled", yes(v.Cluster.IsDisabled(r)))
		return []*output.Element{v.children(e, r)}
	case state.Clone:
		e := output.New("clone", "id", r.ID, "multi_state", yes(r.Promotable), "unique", yes(r.Unique), "managed", yes(r.Managed),
			"disabled", yes(v.Cluster.IsDisabled(r)), "failed", yes(r.Failed), "failure_ignored", yes(r.FailureIgnored))
		tr, ok := r.Meta.Get("target-role")
		if !ok && len(r.Children) > 0 {
			tr, ok = r.Children[0].Meta.Get("target-role")
		}
		if ok {
			e.Set("target_role", tr)
		}
		return []*output.Element{v.children(e, r)}
	case state.Bundle:
		e := output.New("bundle", "id", r.ID, "type", r.Bundle.Agent, "image", r.Bundle.Image, "unique", yes(r.Unique), "managed", yes(r.Managed), "failed", yes(r.Failed))
		for _, rep := range r.Bundle.Replica {
			if !v.ShowsReplica(rep) {
				continue
			}
			x := output.New("replica", "id", strconv.Itoa(rep.Offset))
			for _, part := range status.ReplicaParts(rep) {
				if v.Has(part) {
					x.Add(v.Primitive(part))
				}
			}
			e.Add(x)
		}
		return []*output.Element{e}
	}
	return []*output.Element{v.Primitive(r)}
}

func (v Writer) children(e *output.Element, r *state.Resource) *output.Element {
	for _, k := range r.Children {
		if v.Shows(k) {
			e.Add(v.Resource(k)...)
		}
	}
	return e
}

// Primitive is one primitive with the nodes where it is active.
func (v Writer) Primitive(r *state.Resource) *output.Element {
	role := status.DisplayRole(r)
	if word := status.PendingWord(r.PendingTask); word != "" && !v.Settled {
		role = word
	}
	e := output.New("resource", "id", status.Name(r), "resource_agent", status.Agent(r), "role", role)
	if tr, ok := r.Meta.Get("target-role"); ok {
		e.Set("target_role", tr)
	}
	e.Set("active", yes(r.IsActive(true))).Set("orphaned", yes(r.Orphan)).Set("blocked", yes(r.Blocked)).Set("managed", yes(r.Managed)).
		Set("failed", yes(r.Failed)).Set("failure_ignored", yes(r.FailureIgnored)).Set("nodes_running_on", strconv.Itoa(len(r.Active)))
	if r.LockNode != nil {
		e.Set("locked_to", r.LockNode.Name)
	}
	if r.PendingTask == "monitor" && !v.Settled {
		e.Set("pending", "Monitoring")
	}
	for _, n := range r.Active {
		e.Add(output.New("node", "name", n.Name, "id", n.ID, "cached", yes(n.Online)))
	}
	return e
}

// Failures lists the failed operations of selected nodes, those aside that
// only found an agent missing.
func (v Writer) Failures() *output.Element {
	list := output.New("failures")
	for _, f := range v.Cluster.FailedOps {
		if status.Masked(f) || f.Node != nil && !v.HasNode(f.Node.Name) || !v.HasFailed(f) {
			continue
		}
		list.Add(failure(f))
	}
	return list
}

func failure(f state.FailedOp) *output.Element {
	x := f.XML
	e := output.New("failure")
	if key, ok := x.Get("operation_key"); ok {
		e.Set("op_key", key)
	} else {
		e.Set("id", x.ID())
	}
	node := ""
	if f.Node != nil {
		node = f.Node.Name
	}
	reason, ok := x.Get("exit-reason")
	if !ok {
		reason = "none"
	}
	e.Set("node", node).Set("exitstatus", ocftext.Code(x.Attr("rc-code"))).Set("exitreason", reason).
		Set("exitcode", x.Attr("rc-code")).Set("call", x.Attr("call-id")).Set("status", ocftext.Status(x.Attr("op-status")))
	at, err := strconv.ParseInt(x.Attr("last-rc-change"), 10, 64)
	if err != nil {
		return e
	}
	e.Set("last-rc-change", strings.Replace(time.Unix(at, 0).Format("2006-01-02 15:04:05 Z07:00"), " Z", "Z", 1))
	for _, a := range [][2]string{{"queued", "queue-time"}, {"exec", "exec-time"}} {
		if t, ok := x.Get(a[1]); ok {
			e.Set(a[0], t)
		}
	}
	return e.Set("interval", x.Attr("interval")).Set("task", x.Attr("operation"))
}
