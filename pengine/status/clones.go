package status

import (
	"slices"
	"strings"

	"linuxha/pengine/state"
)

// clone lists a clone: unusual instances one by one, the others collected by
// role (scheduler-3 19.5).
func (p printer) clone(r *state.Resource) []Item {
	title := "Clone Set: " + r.ID + " [" + r.Clone.Child.ID() + "]"
	var flags []string
	if r.Promotable {
		flags = append(flags, "promotable")
	}
	if r.Unique {
		flags = append(flags, "unique")
	}
	if !r.Managed {
		flags = append(flags, "unmanaged")
	}
	if p.c.IsDisabled(r) {
		flags = append(flags, "disabled")
	}
	if len(flags) > 0 {
		title += " (" + strings.Join(flags, ", ") + ")"
	}
	var items []Item
	var promoted, started, inactive []string
	listed := 0
	for _, k := range r.Children {
		active, whole := k.IsActive(false), k.IsActive(true)
		if active && len(k.Active) == 0 || !p.o.Shows(k) {
			continue
		}
		switch {
		case p.individually(r, k, active, whole):
			if !active && !p.o.Inactive && k.Kind != state.Primitive {
				continue
			}
			items = append(items, p.resource(k)...)
		case whole:
			listed++
			node := nodeNames(k.ActiveNodes())
			if k.CurrentRole() == state.Promoted {
				promoted = append(promoted, node...)
			} else {
				started = append(started, node...)
			}
		case !k.Orphan:
			inactive = append(inactive, k.ID)
		}
	}
	collect := func(label string, names []string) {
		if names = p.o.here(names); len(names) > 0 {
			items = append(items, Item{Text: label + ": " + bracketed(byName(names))})
		}
	}
	collect("Promoted", promoted)
	label := "Started"
	if r.Promotable {
		label = "Unpromoted"
		if configuredRole(r) == state.Unpromoted {
			label = "Unpromoted (target-role)"
		}
	}
	collect(label, started)
	if p.o.Inactive {
		items = append(items, p.stopped(r, listed, inactive)...)
	}
	if len(items) == 0 {
		return []Item{{Text: title + ":"}}
	}
	return []Item{{Text: title, Sub: items}}
}

// individually: the instance gets a line of its own.
func (p printer) individually(r, k *state.Resource, active, whole bool) bool {
	if r.Unique {
		return active || !r.Orphan
	}
	if p.o.Pending && k.Kind == state.Primitive && k.PendingTask != "" {
		return true
	}
	if p.o.Detail {
		return true
	}
	if !active {
		return false
	}
	if !whole {
		return true
	}
	if k.Any(func(x *state.Resource) bool { return x.Orphan || x.Failed || !x.Managed }) {
		return true
	}
	nodes := k.ActiveNodes()
	if len(nodes) != 1 {
		return true
	}
	return !nodes[0].Online && nodes[0].Unclean
}

// stopped collects where the clone could run and does not.
func (p printer) stopped(r *state.Resource, listed int, inactive []string) []Item {
	if r.Unique || p.o.Detail {
		return nil
	}
	if r.Clone.Max <= listed {
		if len(inactive) > 0 {
			slices.Sort(inactive)
			return []Item{{Text: "Stopped: " + bracketed(inactive)}}
		}
		return nil
	}
	texts := map[string][]string{}
	anyAllowed := slices.ContainsFunc(p.c.Nodes, r.Allowed.Has)
	for _, n := range p.c.Nodes {
		could := r.Allowed.Has(n) || !anyAllowed && r.KnownOn.Has(n)
		if !could || slices.Contains(r.Active, n) || !p.o.HasNode(n.Name) {
			continue
		}
		text := "Stopped"
		if configuredRole(r) == state.Stopped {
			text = "Stopped (disabled)"
		}
		if len(r.Children) > 0 {
			if masked := p.maskedFailure(r.Children[0], n); masked != "" {
				text = "Stopped (" + masked + ")"
			}
		}
		texts[text] = append(texts[text], n.Name)
	}
	var keys []string
	for k := range texts {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	var items []Item
	for _, k := range keys {
		items = append(items, Item{Text: k + ": " + bracketed(byName(texts[k]))})
	}
	return items
}

// configuredRole is the target-role of the clone, else of its first instance.
func configuredRole(r *state.Resource) state.Role {
	if v, ok := r.Meta.Get("target-role"); ok {
		return state.ParseRole(v)
	}
	if len(r.Children) > 0 {
		if v, ok := r.Children[0].Meta.Get("target-role"); ok {
			return state.ParseRole(v)
		}
	}
	return state.Unknown
}
