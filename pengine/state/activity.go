package state

import (
	"slices"

	"linuxha/pengine/internal/value"
)

// CurrentNode is where r is taken to run now (state 9.13).
func (r *Resource) CurrentNode() *Node {
	if len(r.Active) == 0 {
		return nil
	}
	if r.PartialSource != nil {
		if slices.Contains(r.Active, r.PartialSource) {
			return r.PartialSource
		}
		return r.Active[0]
	}
	if !r.NeedsFencing {
		for _, n := range r.Active {
			if n.Online && !n.Unclean {
				return n
			}
		}
	}
	return r.Active[0]
}

// ActiveCount counts active nodes: all, and those online and clean.
func (r *Resource) ActiveCount() (all, clean int) {
	for _, n := range r.Active {
		if n.Online && !n.Unclean {
			clean++
		}
	}
	return len(r.Active), clean
}

// multiplyActive counts as state 9.13 does.
func (r *Resource) multiplyActive() bool {
	all, clean := r.ActiveCount()
	if r.NeedsFencing {
		return all > 1
	}
	return clean > 1
}

// IsActive says whether r is active: all of it, or (with all false) any of it.
func (r *Resource) IsActive(all bool) bool {
	switch r.Kind {
	case Primitive:
		for _, n := range r.Active {
			if n.Unclean || n.Online || !r.Managed {
				return true
			}
		}
		return false
	case Bundle:
		return r.bundleActive(all)
	}
	for _, k := range r.Children {
		if k.IsActive(all) != all {
			return !all
		}
	}
	return all
}

func (r *Resource) bundleActive(all bool) bool {
	for _, rep := range r.Bundle.Replica {
		for _, part := range []*Resource{rep.Instance, rep.Container, rep.IP, rep.Conn} {
			if part != nil && part.IsActive(all) != all {
				return !all
			}
		}
	}
	return all
}

// FullyActive says whether all of r is active.
func (r *Resource) FullyActive() bool { return r.IsActive(true) }

// CurrentRole is the role now: of a collective the highest of its children, of
// a bundle Unknown (state 9.13).
func (r *Resource) CurrentRole() Role {
	switch r.Kind {
	case Primitive:
		return r.Role
	case Bundle:
		return Unknown
	}
	role := Unknown
	for _, k := range r.Children {
		role = max(role, k.CurrentRole())
	}
	return role
}

// PlannedRole is like CurrentRole for the next role.
func (r *Resource) PlannedRole() Role {
	switch r.Kind {
	case Primitive:
		return r.NextRole
	case Bundle:
		return Unknown
	}
	role := Unknown
	for _, k := range r.Children {
		role = max(role, k.PlannedRole())
	}
	return role
}

// Location is where r will be: a primitive's placement; for a collective the
// one place of all its children, if there is just one (assignment 1.4.7).
func (r *Resource) Location() *Placement {
	if r.Kind == Primitive {
		return r.Assigned
	}
	var found *Placement
	for _, k := range r.Children {
		p := r.locations(k)
		for _, x := range p {
			if found == nil {
				found = x
			} else if found.Node != x.Node {
				return nil
			}
		}
	}
	return found
}

func (r *Resource) locations(k *Resource) []*Placement {
	if k.Kind == Primitive {
		if k.Assigned == nil {
			return nil
		}
		return []*Placement{k.Assigned}
	}
	var all []*Placement
	for _, x := range k.Children {
		all = append(all, r.locations(x)...)
	}
	return all
}

// ActiveNodes are the nodes where r or any part of it is active, each once.
func (r *Resource) ActiveNodes() []*Node {
	if r.Kind == Primitive {
		return r.Active
	}
	var all []*Node
	for _, k := range r.Children {
		for _, n := range k.ActiveNodes() {
			if !slices.Contains(all, n) {
				all = append(all, n)
			}
		}
	}
	return all
}

// BlockedAnywhere says whether r or anything in it is blocked.
func (r *Resource) BlockedAnywhere() bool { return r.Any(func(x *Resource) bool { return x.Blocked }) }

// Any says whether the condition holds for r or anything below it.
func (r *Resource) Any(cond func(*Resource) bool) bool {
	if cond(r) {
		return true
	}
	for _, k := range r.Children {
		if k.Any(cond) {
			return true
		}
	}
	return false
}

// addActive notes that r runs on n (state 9.12).
func (c *Cluster) addActive(r *Resource, n *Node, failed bool) {
	if slices.Contains(r.Active, n) {
		return
	}
	r.Active = append(r.Active, n)
	if r.Kind == Primitive {
		n.Running = append(n.Running, r)
		if !failed && r.Priority != 0 {
			p := r.Priority
			if r.Role == Promoted {
				p++
			}
			n.Priority += p
			if n.IsGuest() {
				for _, host := range n.Conn.Container.Active {
					host.Priority += p
				}
			}
		}
		if n.Maintenance {
			r.Managed = false
		}
	}
	if !r.Managed {
		c.AddScore(r, n, Infinity, Cause{Kind: WhyUnmanaged})
		for p := r.Parent; n.Online && p != nil; p = p.Parent {
			p.Active = append(p.Active, n)
		}
		return
	}
	if r.Kind == Primitive && r.multiplyActive() {
		switch r.MultiActive {
		case StopOnly:
			c.BanEverywhere(r, Cause{Kind: WhyMultiple})
		case Block:
			r.Managed, r.Blocked = false, true
			if p := r.Parent; p != nil && (p.Kind == Group || p.Kind == Bundle) && p.MultiActive == Block {
				for _, k := range p.Children {
					k.Managed, k.Blocked = false, true
				}
			}
		}
	}
	if r.Parent != nil {
		c.addActive(r.Parent, n, false)
	}
}

// LessByInstance orders instances by number (assignment 9.6).
func LessByInstance(a, b *Resource) int { return InstanceNumber(a) - InstanceNumber(b) }

// InstanceNumber is the number after the last ":" of an id, else after the
// last "-" (assignment 9.6).
func InstanceNumber(r *Resource) int {
	for _, sep := range []byte{':', '-'} {
		for i := len(r.ID) - 1; i >= 0; i-- {
			if r.ID[i] == sep {
				n, _ := value.LeadingInt(r.ID[i+1:])
				return int(n)
			}
		}
	}
	return 0
}

// SortByInstance sorts clone instances by number, for good.
func SortByInstance(r *Resource) { value.MergeSort(r.Children, LessByInstance) }
