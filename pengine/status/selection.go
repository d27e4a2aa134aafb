package status

import (
	"slices"
	"strings"

	"linuxha/pengine/state"
)

// Selection narrows lists to some nodes and some resources. The zero value
// shows everything.
type Selection struct {
	// Nodes are names; nil means all.
	Nodes []string
	// Resources are ids as an operator writes them: a resource of any kind, as
	// configured or one instance of a clone; nil means all.
	Resources []string
}

// HasNode says whether the node is among those wanted.
func (s Selection) HasNode(name string) bool { return s.Nodes == nil || slices.Contains(s.Nodes, name) }

// Has says whether the resource itself, or something that it is part of, is
// wanted.
func (s Selection) Has(r *state.Resource) bool {
	for ; r != nil; r = r.Parent {
		if s.names(r) {
			return true
		}
	}
	return s.Resources == nil
}

// HasFailed says whether a failed operation is of a wanted resource.
func (s Selection) HasFailed(f state.FailedOp) bool {
	if f.Resource != nil {
		return s.Has(f.Resource)
	}
	return s.Resources == nil || slices.Contains(s.Resources, f.RscID)
}

// names says whether the resource is asked for by its own name.
func (s Selection) names(r *state.Resource) bool {
	return s.Resources == nil || slices.ContainsFunc(ids(r), func(id string) bool { return slices.Contains(s.Resources, id) })
}

// ids are the names under which a resource may be asked for: an instance's
// own and that of the configured resource.
func ids(r *state.Resource) []string {
	out := []string{r.ID}
	if r.XMLID != "" {
		out = append(out, r.XMLID)
	}
	if i := strings.LastIndexByte(r.ID, ':'); i > 0 && r.CloneNum >= 0 {
		out = append(out, r.ID[:i])
	}
	return out
}

// GoesBy says whether a resource goes by the id.
func GoesBy(r *state.Resource, id string) bool { return slices.Contains(ids(r), id) }

// Known says whether some resource goes by that id.
func Known(c *state.Cluster, id string) bool {
	s := Selection{Resources: []string{id}}
	return slices.ContainsFunc(c.Resources, s.Touches)
}

// Touches says whether the resource or any part of it is wanted.
func (s Selection) Touches(r *state.Resource) bool {
	return s.Has(r) || r.Any(s.names) || slices.ContainsFunc(parts(r), s.Has)
}

// parts are the resources of a bundle's replicas.
func parts(r *state.Resource) []*state.Resource {
	if r.Kind != state.Bundle {
		return nil
	}
	var out []*state.Resource
	for _, rep := range r.Bundle.Replica {
		out = append(out, ReplicaParts(rep)...)
	}
	return out
}

// ReplicaParts are the resources that make up a replica, in the order of lists.
func ReplicaParts(rep *state.Replica) []*state.Resource {
	return slices.DeleteFunc([]*state.Resource{rep.IP, rep.Instance, rep.Container, rep.Conn}, func(r *state.Resource) bool { return r == nil })
}

// Shows says whether a resource has a place in a list of this selection: a
// wanted one that is active on a wanted node, or inactive.
func (s Selection) Shows(r *state.Resource) bool {
	return s.Touches(r) && (!r.IsActive(false) || s.activeHere(r))
}

// ShowsReplica is Shows for one replica of a bundle: where its container runs
// decides.
func (s Selection) ShowsReplica(rep *state.Replica) bool {
	return slices.ContainsFunc(ReplicaParts(rep), s.Has) && (!rep.Container.IsActive(false) || s.activeHere(rep.Container))
}

func (s Selection) activeHere(r *state.Resource) bool {
	if s.Nodes == nil {
		return true
	}
	nodes := r.ActiveNodes()
	if r.Kind == state.Bundle {
		nodes = nil
		for _, rep := range r.Bundle.Replica {
			nodes = append(nodes, rep.Container.Active...)
		}
	}
	return slices.ContainsFunc(nodes, func(n *state.Node) bool { return s.HasNode(n.Name) })
}

// here are the names of wanted nodes.
func (s Selection) here(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !s.HasNode(n) })
}
