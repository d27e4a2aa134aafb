package server

import (
	"maps"
	"slices"
	"time"

	"linuxha/cib/cibdoc"
	"linuxha/crmd/history"
	"linuxha/crmd/te"
)

// schedulerInput is the CIB with the root's attributes as known now and the
// operations under way that it does not show yet.
func schedulerInput(doc *cibdoc.Doc, root map[string]string, records []injected) []byte {
	e := doc.Edit()
	r := e.Own(nil)
	r.RemoveAttr("no-quorum-panic")
	for _, name := range slices.Sorted(maps.Keys(root)) {
		r.RemoveAttr(name)
		r.SetAttr(name, root[name])
	}
	if i := r.ChildIndex("status"); i >= 0 && len(records) > 0 {
		status := r.Own(i)
		for _, in := range records {
			inject(status, in)
		}
	}
	return r.Bytes()
}

// injected is a pending record for the scheduler's copy.
type injected struct {
	nodeID, node string
	resource     history.Resource
	records      []history.Record
}

// unrecorded makes the pending records of operations that the CIB does not
// show yet (crm 9.1).
func (s *Server) unrecorded(flights []te.Flight, now time.Time) []injected {
	var out []injected
	for _, f := range flights {
		a := f.Action
		if a.Resource == nil || !history.Recordable(a.Operation) {
			continue
		}
		op := opOf(a.Resource.ID, spec(a), f.Key, FeatureSet, a.Executor())
		out = append(out, injected{a.NodeID, a.Node, op.Resource, op.Pending(now.Unix()).Records("do_update_resource")})
	}
	return out
}

// inject puts pending records where the node will write them.
func inject(status *cibdoc.Node, in injected) {
	state := own(status, "node_state", in.nodeID)
	if _, have := state.Get("uname"); !have {
		state.SetAttr("uname", in.node)
	}
	rsc := own(own(own(state, "lrm", in.nodeID), "lrm_resources", ""), "lrm_resource", in.resource.ID)
	rsc.SetAttr("type", in.resource.Type)
	rsc.SetAttr("class", in.resource.Class)
	if in.resource.Provider != "" {
		rsc.SetAttr("provider", in.resource.Provider)
	}
	if told(rsc, in.records) {
		return // its record, or its result, came before we read the CIB
	}
	for _, rec := range in.records {
		op := own(rsc, "lrm_rsc_op", rec.ID)
		for _, a := range rec.Attrs {
			op.SetAttr(a.Name, a.Value)
		}
	}
}

// own returns the child of that tag and id, any id if it is empty, for
// changing; it is made if it is not there.
func own(parent *cibdoc.Node, tag, id string) *cibdoc.Node {
	for i, c := range parent.Children {
		if c.IsElement() && c.Tag == tag && (id == "" || c.ID() == id) {
			return parent.Own(i)
		}
	}
	n := cibdoc.E(tag)
	if id != "" {
		n.SetAttr("id", id)
	}
	parent.Add(n)
	return n
}

// told says whether the history of a resource knows the operation already.
func told(rsc *cibdoc.Node, records []history.Record) bool {
	for _, op := range cibdoc.Children(rsc, "lrm_rsc_op") {
		for _, rec := range records {
			if op.Attr("transition-key") == rec.Get("transition-key") {
				return true
			}
		}
	}
	return false
}
