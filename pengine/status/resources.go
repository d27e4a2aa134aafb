package status

import (
	"fmt"
	"strings"

	"linuxha/pengine/state"
)

// Options choose what the resource list shows.
type Options struct {
	// Pending shows operations under way instead of the role.
	Pending bool
	// Inactive lists resources that run nowhere as well.
	Inactive bool
	// Detail lists each instance of a clone and each part of a bundle on a line
	// of its own.
	Detail bool
	// Brief counts primitives by agent instead of naming them.
	Brief bool
	// Incomplete leaves out what is fully active: the rest of a list that shows
	// active resources elsewhere.
	Incomplete bool
	// Nowhere leaves out on which node a primitive is.
	Nowhere bool
	Selection
}

// Resources is the resource list (scheduler-3 19.2): one item per top-level
// resource that is to be shown.
func Resources(c *state.Cluster, o Options) []Item {
	p := printer{c: c, o: o}
	var items []Item
	var counted []*state.Resource
	for _, r := range c.Resources {
		active, whole := r.IsActive(false), r.IsActive(true)
		switch {
		case r.Orphan && !whole,
			active && (!whole || r.Collective()) && len(r.Active) == 0,
			!active && !o.Inactive,
			whole && o.Incomplete,
			!o.Shows(r),
			active && !o.Inactive && !o.activeHere(r):
			continue
		}
		if o.Brief && r.Kind == state.Primitive {
			counted = append(counted, r)
			continue
		}
		items = append(items, p.resource(r)...)
	}
	return append(Counts(counted, o.Inactive), items...)
}

type printer struct {
	c *state.Cluster
	o Options
}

func (p printer) resource(r *state.Resource) []Item {
	switch r.Kind {
	case state.Group:
		return p.group(r)
	case state.Clone:
		return p.clone(r)
	case state.Bundle:
		return p.bundle(r)
	}
	if v, ok := r.Meta.Get("internal_rsc"); ok && v == "true" {
		return nil
	}
	node := r.CurrentNode()
	if node == nil {
		node = r.PendingNode
	}
	return []Item{{Text: p.primitive(r, Name(r), node)}}
}

// PrimitiveText is the line of a primitive where the list says elsewhere on
// which node it is.
func PrimitiveText(c *state.Cluster, r *state.Resource) string {
	return printer{c: c, o: Options{Pending: true}}.line(r, Name(r), r.CurrentNode(), false)
}

// SettledText is PrimitiveText without what is under way.
func SettledText(c *state.Cluster, r *state.Resource) string {
	return printer{c: c}.line(r, Name(r), r.CurrentNode(), false)
}

// Lines are the lines that tell of one resource, without a heading: a
// collection's are those of its parts.
func Lines(c *state.Cluster, r *state.Resource) []string {
	p := printer{c: c, o: Options{Pending: true}}
	items := p.resource(r)
	if r.Kind == state.Primitive && r.Parent != nil {
		items = []Item{{Text: p.primitive(r, Name(r), r.CurrentNode())}}
	} else if r.Collective() && len(items) == 1 {
		items = items[0].Sub
	}
	var out []string
	for _, it := range items {
		out = append(out, it.Text)
	}
	return out
}

// Name is what lists call a primitive: the configured id, or the instance's id
// in unique clones.
func Name(r *state.Resource) string {
	if r.CloneNum >= 0 && r.Unique || r.Top().IsUniqueClone() {
		return r.ID
	}
	if r.XMLID != "" {
		return r.XMLID
	}
	return r.ID
}

// Agent is class[:provider]:type.
func Agent(r *state.Resource) string {
	class, typ := r.Class, r.Type
	if class == "" {
		class = "unknown"
	}
	if typ == "" {
		typ = "unknown"
	}
	if r.Provider != "" && state.HasProviderClass(r.Class) {
		return class + ":" + r.Provider + ":" + typ
	}
	return class + ":" + typ
}

// primitive is one line of the list (scheduler-3 19.3).
func (p printer) primitive(r *state.Resource, name string, node *state.Node) string {
	return p.line(r, name, node, !p.o.Nowhere)
}

// line is primitive; where says whether it names the node.
func (p printer) line(r *state.Resource, name string, node *state.Node, where bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\t(%s):\t", name, Agent(r))
	multiple := len(r.Active) > 1 && where
	if multiple {
		node = nil
	} else if node == nil {
		node = r.LockNode
	}
	if r.Orphan {
		b.WriteString(" ORPHANED")
	}
	role := DisplayRole(r)
	switch {
	case r.Failed && role == "Promoted":
		b.WriteString(" FAILED Promoted")
	case r.Failed:
		b.WriteString(" FAILED")
	default:
		word := role
		if pending := PendingWord(r.PendingTask); p.o.Pending && pending != "" {
			word = pending
		}
		b.WriteString(" " + word)
	}
	if node != nil && where {
		b.WriteString(" " + node.Name)
	}
	if role == "Stopped" {
		if text := p.maskedFailure(r, node); text != "" {
			b.WriteString(" (" + text + ") ")
		}
	}
	if flags := p.flags(r, node); len(flags) > 0 {
		b.WriteString(" (" + strings.Join(flags, ", ") + ")")
	}
	if multiple {
		if d, ok := r.XML.Get("description"); ok {
			b.WriteString(" " + d)
		}
		b.WriteString(" " + bracketed(nodeNames(r.Active)))
	}
	return b.String()
}

// DisplayRole is the role in words; Started is Unpromoted below a promotable clone.
func DisplayRole(r *state.Resource) string {
	if r.Role == state.Started && r.Top().Promotable {
		return state.Unpromoted.String()
	}
	return r.Role.String()
}

// PendingWord is the word for an operation under way, "" for none.
func PendingWord(task string) string {
	switch task {
	case "start":
		return "Starting"
	case "stop":
		return "Stopping"
	case "migrate_to", "migrate_from":
		return "Migrating"
	case "promote":
		return "Promoting"
	case "demote":
		return "Demoting"
	}
	return ""
}

func (p printer) flags(r *state.Resource, node *state.Node) []string {
	var flags []string
	if node != nil && !node.Online && node.Unclean {
		flags = append(flags, "UNCLEAN")
	}
	if node != nil && node == r.LockNode {
		flags = append(flags, "LOCKED")
	}
	if p.o.Pending && r.PendingTask == "monitor" {
		flags = append(flags, "Monitoring")
	}
	if v, ok := r.Meta.Get("target-role"); ok {
		switch role := state.ParseRole(v); {
		case role == state.Stopped:
			flags = append(flags, "disabled")
		case role == state.Unpromoted && r.Top().Promotable:
			flags = append(flags, "target-role:"+v)
		}
	}
	switch {
	case r.Blocked:
		flags = append(flags, "blocked")
	case !r.Managed:
		flags = append(flags, "unmanaged")
	}
	if r.FailureIgnored {
		flags = append(flags, "failure ignored")
	}
	return flags
}

// rcTexts are the words for return codes (scheduler-3 19.7).
var rcTexts = map[string]string{
	"0": "ok", "1": "error", "2": "invalid parameter", "3": "unimplemented feature", "4": "insufficient privileges",
	"5": "not installed", "6": "not configured", "7": "not running", "8": "promoted", "9": "promoted (failed)",
}

// ResultText is the word for a return code, "" for one without.
func ResultText(rc string) string { return rcTexts[rc] }

// maskedFailure is the text of a probe that found the agent unusable on the
// node (any node if nil), "" if there is none (scheduler-3 19.7).
func (p printer) maskedFailure(r *state.Resource, node *state.Node) string {
	want := r.ID
	if top := r.Top(); top.Kind == state.Clone {
		want = top.Clone.Child.ID() // so nothing is found for members of cloned groups
	}
	for _, f := range p.c.FailedOps {
		if !Masked(f) {
			continue
		}
		key, ok := f.XML.Get("operation_key")
		if !ok {
			key = f.XML.ID()
		}
		if resourceOf(key) != want {
			continue
		}
		if on, ok := f.XML.Get("on_node"); !ok || node != nil && on != node.Name {
			continue
		}
		return rcTexts[f.XML.Attr("rc-code")]
	}
	return ""
}

// Masked says whether a failed operation is a probe that only found the agent
// missing or unusable: lists show it with the resource, not as a failure.
func Masked(f state.FailedOp) bool {
	interval, ok := f.XML.Get("interval")
	if f.XML.Attr("operation") != "monitor" || ok && interval != "0" {
		return false
	}
	rc := f.XML.Attr("rc-code")
	return rc == "5" || rc == "2" || f.XML.Attr("op-status") == "7"
}

// resourceOf is the resource's part of an operation key RSC_TASK_INTERVAL.
func resourceOf(key string) string {
	for range 2 {
		i := strings.LastIndexByte(key, '_')
		if i < 0 {
			return key
		}
		key = key[:i]
	}
	return key
}

func (p printer) group(r *state.Resource) []Item {
	title := "Resource Group: " + r.ID
	var flags []string
	var shown []*state.Resource
	hidden := 0
	for _, k := range r.Children {
		left := !p.o.Inactive && !k.IsActive(false)
		if left {
			hidden++
		}
		// Who asks for a member by its name sees it, and counts are of all.
		if p.o.Shows(k) && (!left || p.o.Brief || p.o.Resources != nil && p.o.names(k)) {
			shown = append(shown, k)
		}
	}
	switch hidden {
	case 0:
	case 1:
		flags = append(flags, "1 member inactive")
	default:
		flags = append(flags, fmt.Sprintf("%d members inactive", hidden))
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
	var members []Item
	if p.o.Brief {
		members = Counts(shown, true)
	} else {
		for _, k := range shown {
			members = append(members, p.resource(k)...)
		}
	}
	if len(members) == 0 {
		return nil
	}
	return []Item{{Text: title, Sub: members}}
}

func (p printer) bundle(r *state.Resource) []Item {
	title := "Container bundle"
	if len(r.Bundle.Replica) > 1 {
		title += " set"
	}
	title += fmt.Sprintf(": %s [%s]", r.ID, r.Bundle.Image)
	if r.Unique {
		title += " (unique)"
	}
	if !r.Managed {
		title += " (unmanaged)"
	}
	var items []Item
	for _, rep := range r.Bundle.Replica {
		if !p.o.ShowsReplica(rep) {
			continue
		}
		if p.o.Detail || !p.o.Has(r) {
			items = append(items, p.replica(r, rep))
			continue
		}
		shown, name := rep.Container, rep.Container.ID
		if rep.Instance != nil {
			shown = rep.Instance
		}
		if rep.Conn != nil {
			name = rep.Conn.ID
		}
		if rep.IPAddr != "" {
			name += " (" + rep.IPAddr + ")"
		}
		items = append(items, Item{Text: p.primitive(shown, name, rep.Container.CurrentNode())})
	}
	if len(items) == 0 {
		return []Item{{Text: title}}
	}
	return []Item{{Text: title, Sub: items}}
}

// replica lists the parts of a replica; the title says which one where there
// are several.
func (p printer) replica(r *state.Resource, rep *state.Replica) Item {
	it := Item{NoColon: true}
	if len(r.Bundle.Replica) > 1 {
		it.Text = fmt.Sprintf("Replica[%d]", rep.Offset)
	}
	for _, part := range ReplicaParts(rep) {
		if p.o.Has(part) {
			it.Sub = append(it.Sub, Item{Text: p.primitive(part, Name(part), part.CurrentNode())})
		}
	}
	return it
}

func nodeNames(nodes []*state.Node) []string {
	names := make([]string, len(nodes))
	for i, n := range nodes {
		names[i] = n.Name
	}
	return names
}
