package crmsimulate

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"linuxha/pengine/state"
)

type statusOptions struct{ attrs, failures, pending bool }

// status prints the model (actions 19).
type status struct {
	c    *state.Cluster
	o    statusOptions
	l    *lister
	out  bool // anything printed in the resource list
	base int
}

func (r *run) banner(maintenance bool, disabled, blocked, instances int) {
	shown := false
	if maintenance {
		fmt.Fprintln(r.out, "\n              *** Resource management is DISABLED ***\n  The cluster will not attempt to start, stop or recover services")
		shown = true
	}
	if disabled > 0 || blocked > 0 {
		if shown {
			fmt.Fprintln(r.out)
		}
		fmt.Fprintf(r.out, "%d of %d resource instances DISABLED and %d BLOCKED from further action due to failure\n", disabled, instances, blocked)
		shown = true
	}
	if shown {
		fmt.Fprintln(r.out)
	}
}

func (r *run) status(c *state.Cluster, o statusOptions, depth int) {
	s := &status{c: c, o: o, l: r.list, base: depth}
	s.nodes()
	r.space()
	s.l.title(depth, "Full List of Resources")
	for _, x := range c.Resources {
		s.topLevel(x)
	}
	if !s.out {
		s.l.item(depth+1, "", "No resources")
	}
	if o.attrs {
		r.space()
		s.attributes()
	}
	if o.failures {
		r.space()
		s.failCounts()
		if s.anyFailed() {
			r.space()
			s.failedOps()
		}
	}
}

func (s *status) health(n *state.Node) string {
	if s.c.Opts.HealthStrategy == "none" || s.c.Opts.HealthStrategy == "" {
		return ""
	}
	worst := ""
	for name, v := range n.Attrs {
		if !strings.HasPrefix(name, "#health") {
			continue
		}
		h := &s.c.Health
		score := h.Score(v)
		switch {
		case strings.EqualFold(v, "red") || score <= h.Red && !strings.EqualFold(v, "green") && !strings.EqualFold(v, "yellow"):
			return "RED"
		case strings.EqualFold(v, "yellow") || h.Yellow != h.Green && score <= h.Yellow && !strings.EqualFold(v, "green"):
			worst = "YELLOW"
		}
	}
	return worst
}

func nodeWord(n *state.Node) string {
	switch {
	case n.IsGuest():
		return "GuestNode"
	case n.IsGuestOrRemote():
		return "RemoteNode"
	}
	return "Node"
}

func (s *status) nodeState(n *state.Node) (text string, special bool) {
	switch {
	case n.Unclean && n.Online:
		return "UNCLEAN (online)", true
	case n.Unclean && n.Pending:
		return "UNCLEAN (pending)", true
	case n.Unclean:
		return "UNCLEAN (offline)", true
	case n.Pending:
		return "pending", true
	case n.StandbyOnFail && n.Online:
		return "standby (on-fail)", true
	case n.Standby && !n.Online:
		return "OFFLINE (standby)", true
	case n.Standby && len(n.Running) > 0:
		return "standby (with active resources)", true
	case n.Standby:
		return "standby", true
	case n.Maintenance && n.Online:
		return "maintenance", true
	case n.Maintenance:
		return "OFFLINE (maintenance)", true
	case n.Online:
		return "online", false
	}
	return "OFFLINE", false
}

func (s *status) nodes() {
	d := s.base
	s.l.hold(d, "Node List")
	defer func() { s.l.held = "" }()
	groups := map[string][]string{}
	for _, n := range s.c.Nodes {
		text, special := s.nodeState(n)
		if h := s.health(n); h != "" {
			text += " (health is " + h + ")"
			special = true
		}
		if special {
			s.l.item(d+1, nodeWord(n)+" "+n.Name, text)
			continue
		}
		key := "OFFLINE"
		if n.Online {
			key = "Online"
		}
		switch {
		case n.IsGuest():
			if !n.Online {
				continue
			}
			key = "GuestOnline"
		case n.IsGuestOrRemote():
			key = "Remote" + key
		}
		groups[key] = append(groups[key], n.Name)
	}
	for _, key := range []string{"Online", "OFFLINE", "RemoteOnline", "RemoteOFFLINE", "GuestOnline"} {
		if len(groups[key]) > 0 {
			s.l.item(d+1, key, bracketed(groups[key]))
		}
	}
}

func bracketed(names []string) string { return "[ " + strings.Join(names, " ") + " ]" }

func (s *status) topLevel(r *state.Resource) {
	all, any := r.IsActive(true), r.IsActive(false)
	if r.Orphan && !all {
		return
	}
	if any && !all && len(r.Active) == 0 {
		return
	}
	if any && len(r.Active) == 0 && r.Kind != state.Primitive {
		return
	}
	s.resource(r, s.base+1)
}

func (s *status) resource(r *state.Resource, depth int) {
	switch r.Kind {
	case state.Primitive:
		if r.Meta["internal_rsc"] == "true" {
			return
		}
		s.out = true
		s.l.item(depth, "", s.primitive(r, s.name(r), currentShown(r), ""))
	case state.Group:
		s.group(r, depth)
	case state.Clone:
		s.clone(r, depth)
	case state.Bundle:
		s.bundle(r, depth)
	}
}

func (s *status) name(r *state.Resource) string {
	if r.Unique {
		return r.ID
	}
	return r.XMLID
}

func currentShown(r *state.Resource) *state.Node { return r.CurrentNode() }

var pendingWords = map[string]string{
	"start": "Starting", "stop": "Stopping", "migrate_to": "Migrating", "migrate_from": "Migrating", "promote": "Promoting", "demote": "Demoting",
}

// primitive is actions 19.3.
func (s *status) primitive(r *state.Resource, name string, node *state.Node, ip string) string {
	if len(r.Active) > 1 {
		node = nil
	} else if node == nil {
		if node = r.PendingNode; node == nil {
			node = r.LockNode
		}
	}
	var b strings.Builder
	agent := r.Class
	if state.HasProviderClass(r.Class) && r.Provider != "" {
		agent += ":" + r.Provider
	}
	if ip != "" {
		name += " (" + ip + ")"
	}
	typ := r.Type
	if agent == "" {
		agent = "unknown"
	}
	if typ == "" {
		typ = "unknown"
	}
	fmt.Fprintf(&b, "%s\t(%s:%s):\t", name, agent, typ)
	if r.Orphan {
		b.WriteString(" ORPHANED")
	}
	role := r.Role
	if role == state.Started && r.Top().Promotable {
		role = state.Unpromoted
	}
	pending := ""
	if s.o.pending {
		pending = pendingWords[r.PendingTask]
	}
	switch {
	case r.Failed:
		b.WriteString(" FAILED")
		if role == state.Promoted {
			b.WriteString(" Promoted")
		}
	case pending != "":
		b.WriteString(" " + pending)
	default:
		b.WriteString(" " + role.String())
	}
	if node != nil {
		b.WriteString(" " + node.Name)
	}
	if role == state.Stopped {
		if why := s.maskedProbe(r, node); why != "" {
			b.WriteString(" (" + why + ") ")
		}
	}
	if flags := s.flags(r, node); len(flags) > 0 {
		b.WriteString(" (" + strings.Join(flags, ", ") + ")")
	}
	if len(r.Active) > 1 {
		if d := r.XML.Attr("description"); d != "" {
			b.WriteString(" " + d)
		}
		var names []string
		for _, n := range r.Active {
			names = append(names, n.Name)
		}
		b.WriteString(" " + bracketed(names))
	}
	return b.String()
}

func (s *status) flags(r *state.Resource, node *state.Node) []string {
	var f []string
	if node != nil && !node.Online && node.Unclean {
		f = append(f, "UNCLEAN")
	}
	if node != nil && node == r.LockNode {
		f = append(f, "LOCKED")
	}
	if s.o.pending && r.PendingTask == "monitor" {
		f = append(f, "Monitoring")
	}
	if v, ok := r.Meta.Get("target-role"); ok {
		switch role := state.ParseRole(v); {
		case role == state.Stopped:
			f = append(f, "disabled")
		case role == state.Unpromoted && r.Top().Promotable:
			f = append(f, "target-role:"+v)
		}
	}
	switch {
	case r.Blocked:
		f = append(f, "blocked")
	case !r.Managed:
		f = append(f, "unmanaged")
	}
	if r.FailureIgnored {
		f = append(f, "failure ignored")
	}
	return f
}

var rcTexts = map[string]string{
	"0": "ok", "1": "error", "2": "invalid parameter", "3": "unimplemented feature", "4": "insufficient privileges", "5": "not installed",
	"6": "not configured", "7": "not running", "8": "promoted", "9": "promoted (failed)",
}

// maskedProbe is why a probe failed in a way that only means "not here"
// (actions 19.7).
func (s *status) maskedProbe(r *state.Resource, node *state.Node) string {
	want := r.ID
	if top := r.Top(); top.Kind == state.Clone {
		want = top.Clone.Child.ID()
	}
	for _, f := range s.c.FailedOps {
		x := f.XML
		if !isMaskedProbe(f) {
			continue
		}
		on, ok := x.Get("on_node")
		if !ok || node != nil && on != node.Name {
			continue
		}
		key := x.Attr("operation_key")
		if key == "" {
			key = x.ID()
		}
		if keyResource(key) == want {
			return rcTexts[x.Attr("rc-code")]
		}
	}
	return ""
}

func isMaskedProbe(f state.FailedOp) bool {
	x := f.XML
	rc := x.Attr("rc-code")
	return x.Attr("operation") == "monitor" && (x.Attr("interval") == "0" || x.Attr("interval") == "") &&
		(rc == "5" || rc == "2" || x.Attr("op-status") == "7")
}

func keyResource(key string) string {
	if i := strings.LastIndexByte(key, '_'); i > 0 {
		key = key[:i]
	}
	if i := strings.LastIndexByte(key, '_'); i > 0 {
		key = key[:i]
	}
	return key
}

func (s *status) group(g *state.Resource, depth int) {
	if len(g.Children) == 0 {
		return
	}
	s.out = true
	var notes []string
	if !g.Managed {
		notes = append(notes, "unmanaged")
	}
	if s.c.IsDisabled(g) {
		notes = append(notes, "disabled")
	}
	s.l.title(depth, "Resource Group: "+g.ID+noted(notes))
	for _, m := range g.Children {
		s.resource(m, depth+1)
	}
}

func noted(notes []string) string {
	if len(notes) == 0 {
		return ""
	}
	return " (" + strings.Join(notes, ", ") + ")"
}

func configuredRole(k *state.Resource) state.Role {
	v, ok := k.Meta.Get("target-role")
	if !ok && len(k.Children) > 0 {
		v = k.Children[0].Meta["target-role"]
	}
	return state.ParseRole(v)
}

// clone is actions 19.5.
func (s *status) clone(k *state.Resource, depth int) {
	s.out = true
	var notes []string
	for _, n := range []struct {
		on   bool
		text string
	}{{k.Promotable, "promotable"}, {k.Unique, "unique"}, {!k.Managed, "unmanaged"}, {s.c.IsDisabled(k), "disabled"}} {
		if n.on {
			notes = append(notes, n.text)
		}
	}
	s.l.title(depth, "Clone Set: "+k.ID+" ["+k.Clone.Child.ID()+"]"+noted(notes))
	var promoted, started, stopped []string
	listed, active := 0, 0
	for _, i := range k.Children {
		all, any := i.IsActive(true), i.IsActive(false)
		if any && len(i.Active) == 0 {
			continue
		}
		individually := false
		var node *state.Node
		switch {
		case k.Unique:
			individually = any || !k.Orphan
		case s.o.pending && i.Kind == state.Primitive && i.PendingTask != "":
			individually = true
		case !any:
			if !i.Orphan {
				stopped = append(stopped, i.ID)
			}
			continue
		case i.Any(func(r *state.Resource) bool { return r.Orphan || r.Failed || !r.Managed }) || !all:
			individually = true
		default:
			nodes := i.ActiveNodes()
			if len(nodes) != 1 || !nodes[0].Online && nodes[0].Unclean {
				individually = true
			} else {
				node = nodes[0]
			}
		}
		if individually {
			s.resource(i, depth+1)
			if any {
				active++
			}
			continue
		}
		if node == nil {
			continue
		}
		listed++
		active++
		if i.CurrentRole() == state.Promoted {
			promoted = append(promoted, node.Name)
		} else {
			started = append(started, node.Name)
		}
	}
	role := configuredRole(k)
	s.nodeGroup(depth+1, "Promoted", promoted)
	label := "Started"
	if k.Promotable {
		label = "Unpromoted"
		if role == state.Unpromoted {
			label = "Unpromoted (target-role)"
		}
	}
	s.nodeGroup(depth+1, label, started)
	s.stoppedInstances(k, depth+1, role, listed, stopped)
}

func (s *status) nodeGroup(depth int, label string, names []string) {
	if len(names) == 0 {
		return
	}
	sortNodeNames(s.c, names)
	s.l.item(depth, label, bracketed(names))
}

func sortNodeNames(c *state.Cluster, names []string) {
	pos := map[string]int{}
	for i, n := range c.Nodes {
		pos[n.Name] = i
	}
	sort.SliceStable(names, func(i, j int) bool { return pos[names[i]] < pos[names[j]] })
}

func (s *status) stoppedInstances(k *state.Resource, depth int, role state.Role, listed int, stopped []string) {
	if k.Unique {
		return
	}
	if k.Clone.Max <= listed {
		if len(stopped) > 0 {
			slices.Sort(stopped)
			s.l.item(depth, "Stopped", bracketed(stopped))
		}
		return
	}
	groups := map[string][]string{}
	anyAllowed := slices.ContainsFunc(s.c.Nodes, k.Allowed.Has)
	for _, n := range s.c.Nodes {
		if anyAllowed && !k.Allowed.Has(n) || !anyAllowed && !k.KnownOn.Has(n) || slices.Contains(k.Active, n) {
			continue
		}
		text := "Stopped"
		if role == state.Stopped {
			text = "Stopped (disabled)"
		}
		if len(k.Children) > 0 {
			if why := s.maskedProbe(k.Children[0], n); why != "" {
				text = "Stopped (" + why + ")"
			}
		}
		groups[text] = append(groups[text], n.Name)
	}
	texts := make([]string, 0, len(groups))
	for t := range groups {
		texts = append(texts, t)
	}
	slices.Sort(texts)
	for _, t := range texts {
		s.l.item(depth, t, bracketed(groups[t]))
	}
}

// bundle is actions 19.6.
func (s *status) bundle(b *state.Resource, depth int) {
	s.out = true
	title := "Container bundle"
	if len(b.Bundle.Replica) > 1 {
		title += " set"
	}
	title += ": " + b.ID + " [" + b.Bundle.Image + "]"
	if b.Unique {
		title += " (unique)"
	}
	if !b.Managed {
		title += " (unmanaged)"
	}
	s.l.title(depth, title)
	for _, rep := range b.Bundle.Replica {
		r := rep.Instance
		if r == nil {
			r = rep.Container
		}
		name := rep.Container.ID
		if rep.Conn != nil {
			name = rep.Conn.ID
		}
		s.l.item(depth+1, "", s.primitive(r, name, rep.Container.CurrentNode(), rep.IPAddr))
	}
}

// attributes is -A (actions 19.8).
func (s *status) attributes() {
	d := s.base
	s.l.title(d, "Node Attributes")
	for _, n := range s.c.Nodes {
		if !n.Online {
			continue
		}
		var names []string
		for k := range n.Attrs {
			if !hiddenAttr(k) {
				names = append(names, k)
			}
		}
		if len(names) == 0 {
			continue
		}
		slices.Sort(names)
		s.l.title(d+1, "Node: "+n.Name)
		for _, k := range names {
			s.l.item(d+2, "", fmt.Sprintf("%-32s\t: %-10s", k, n.Attrs[k]))
		}
	}
}

func hiddenAttr(name string) bool {
	for _, p := range []string{"fail-count", "last-failure", "shutdown", "terminate", "standby", "#"} {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

func (s *status) failCounts() {
	d := s.base
	s.l.title(d, "Migration Summary")
	for _, n := range s.c.Nodes {
		if !n.Online {
			continue
		}
		var lines []string
		state.EachLeaf(s.c.Resources, func(r *state.Resource) {
			if r.Kind != state.Primitive {
				return
			}
			if count, last := s.c.FailCount(r, n, true, nil); count > 0 {
				text := fmt.Sprintf("%s: migration-threshold=%s fail-count=%s", s.name(r), scoreText(r.Threshold), scoreText(count))
				if last > 0 {
					text += fmt.Sprintf(" last-failure='%s'", timeText(last))
				}
				if !slices.Contains(lines, text) {
					lines = append(lines, text)
				}
			}
		})
		if len(lines) > 0 {
			s.l.title(d+1, "Node: "+n.Name)
			for _, l := range lines {
				s.l.item(d+2, "", l)
			}
		}
	}
}

func (s *status) anyFailed() bool {
	return slices.ContainsFunc(s.c.FailedOps, func(f state.FailedOp) bool { return !isMaskedProbe(f) })
}

var statusTexts = map[string]string{
	"-1": "pending", "0": "complete", "1": "cancelled", "2": "Timed Out", "3": "not supported", "4": "error", "5": "hard error", "6": "fatal error",
	"7": "Not installed", "8": "Not connected", "9": "invalid", "10": "No fence device", "11": "CIB secrets unavailable",
}

func (s *status) failedOps() {
	d := s.base
	s.l.title(d, "Failed Resource Actions")
	for _, f := range s.c.FailedOps {
		if isMaskedProbe(f) {
			continue
		}
		x := f.XML
		text := fmt.Sprintf("%s on %s '%s' (%s): call=%s, status='%s'", f.Key, f.Node.Name, rcTexts[x.Attr("rc-code")], x.Attr("rc-code"),
			x.Attr("call-id"), statusTexts[x.Attr("op-status")])
		if v := x.Attr("exit-reason"); v != "" {
			text += ", exitreason='" + v + "'"
		}
		if v := x.Attr("last-rc-change"); v != "" {
			text += ", last-rc-change='" + epochText(v) + "'"
		}
		if v := x.Attr("queue-time"); v != "" {
			text += ", queued=" + v + "ms"
		}
		if v := x.Attr("exec-time"); v != "" {
			text += ", exec=" + v + "ms"
		}
		s.l.item(d+1, "", text)
	}
}
