package crmmon

import (
	"fmt"
	"io"
	"slices"
	"sort"
	"strings"
	"time"

	"linuxha/internal/ocftext"
	"linuxha/pengine/state"
	"linuxha/pengine/status"
	stonithv1 "linuxha/proto/stonith/v1"
)

// section is one titled block of the text form.
type section struct {
	title string
	items []status.Item
	plain []string // lines after the items that stand at the margin
	bare  bool     // the title stands even if nothing comes below
}

// writeText prints the view as `crm_mon -1` does (clients 2.2).
func (v *view) writeText(w io.Writer, o *options) error {
	var b strings.Builder
	if v.running != "" {
		b.WriteString(v.running + "\n")
	}
	printed := false
	for _, s := range v.sections(o) {
		if len(s.items) == 0 && len(s.plain) == 0 && !s.bare {
			continue
		}
		if printed {
			b.WriteString("\n")
		}
		printed = true
		b.WriteString(s.title + ":\n")
		if err := status.Write(&b, 1, s.items); err != nil {
			return err
		}
		for _, l := range s.plain {
			b.WriteString(l + "\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (v *view) sections(o *options) []section {
	var out []section
	if s := v.summary(o); len(s.items) > 0 {
		out = append(out, s)
	}
	if o.shows("nodes") {
		out = append(out, section{title: "Node List", items: v.nodeItems(o)})
	}
	if o.shows("resources") && (!o.groupByNode || o.inactive) {
		out = append(out, v.resources(o))
	}
	if o.shows("attributes") {
		out = append(out, section{title: "Node Attributes", items: v.attributeItems(o)})
	}
	if o.shows("operations") {
		out = append(out, section{title: "Operations", items: v.operationItems(o), bare: len(v.everyHistory()) > 0})
	} else if o.shows("failcounts") {
		out = append(out, section{title: "Migration Summary", items: v.failCountItems(o), bare: len(v.everyHistory()) > 0})
	}
	if o.shows("failures") {
		out = append(out, section{title: "Failed Resource Actions", items: v.failureItems(o)})
	}
	out = append(out, v.fencingSections(o)...)
	if o.shows("tickets") {
		out = append(out, section{title: "Tickets", items: v.ticketItems()})
	}
	if o.shows("bans") {
		var items []status.Item
		for _, b := range v.bans(o.banPrefix) {
			role := ""
			if b.role != "" {
				role = "being promoted "
			}
			items = append(items, status.Item{Text: fmt.Sprintf("%s\tprevents %s from running %son %s", b.id, b.rsc, role, v.nodeLabel(b.node, o.detail))})
		}
		out = append(out, section{title: "Negative Location Constraints", items: items})
	}
	return out
}

func (v *view) summary(o *options) section {
	c := v.cluster
	s := section{title: "Cluster Summary"}
	add := func(format string, a ...any) { s.items = append(s.items, status.Item{Text: fmt.Sprintf(format, a...)}) }
	if o.shows("stack") {
		add("Stack: %s", v.stack())
	}
	if o.shows("dc") {
		if c.DC == nil {
			add("Current DC: NONE")
		} else {
			quorum := "with"
			if !c.Quorum {
				quorum = "WITHOUT"
			}
			mixed := ""
			if v.mixedVersion() {
				mixed = "MIXED-VERSION "
			}
			add("Current DC: %s (version %s) - %spartition %s quorum", v.nodeLabel(c.DC.Name, o.detail), v.property("dc-version", "unknown"), mixed, quorum)
		}
	}
	if o.shows("times") {
		add("Last updated: %s", v.now.Format(timeFormat))
		add("Last change:  %s", v.lastChange())
	}
	if o.shows("counts") {
		add("%d node%s configured", len(c.Nodes), plural(len(c.Nodes)))
		text := fmt.Sprintf("%d resource instance%s configured", c.Instances, plural(c.Instances))
		switch {
		case c.Disabled > 0 && c.BlockedRsc > 0:
			text += fmt.Sprintf(" (%d DISABLED, %d BLOCKED from further action due to failure)", c.Disabled, c.BlockedRsc)
		case c.Disabled > 0:
			text += fmt.Sprintf(" (%d DISABLED)", c.Disabled)
		case c.BlockedRsc > 0:
			text += fmt.Sprintf(" (%d BLOCKED from further action due to failure)", c.BlockedRsc)
		}
		add("%s", text)
	}
	if o.shows("options") {
		fencing, symmetric := "enabled", "symmetric"
		if !c.Opts.Stonith {
			fencing = "disabled"
		}
		if !c.Opts.Symmetric {
			symmetric = "asymmetric"
		}
		add("STONITH of failed nodes %s", fencing)
		add("Cluster is %s", symmetric)
		add("No quorum policy: %s", map[state.QuorumPolicy]string{
			state.QuorumStop: "Stop ALL resources", state.QuorumFreeze: "Freeze resources", state.QuorumIgnore: "Ignore",
			state.QuorumDemote: "Demote promotable resources and stop all other resources", state.QuorumSuicide: "Suicide",
		}[c.Opts.NoQuorum])
	}
	switch {
	case !o.shows("maint-mode"):
	case c.Opts.MaintenanceMode:
		s.plain = append(s.plain, "", "              *** Resource management is DISABLED ***",
			"  The cluster will not attempt to start, stop or recover services")
	case c.Opts.StopAll:
		s.plain = append(s.plain, "", "    *** Resource management is DISABLED ***", "  The cluster will keep all resources stopped")
	}
	return s
}

// mixedVersion: online members report different feature sets. A member whose
// controller is down reports none and does not count (crm 9.13).
func (v *view) mixedVersion() bool {
	first := ""
	for _, n := range v.cluster.Nodes {
		fs := n.Attrs["#feature-set"]
		if n.Kind != state.Member || !n.Online || fs == "" {
			continue
		}
		if first == "" {
			first = fs
		} else if fs != first {
			return true
		}
	}
	return false
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}

func (v *view) nodeItems(o *options) []status.Item {
	switch {
	case o.groupByNode:
		return v.byNode(o)
	case o.detail:
		return v.detailedNodes()
	}
	return status.NodesOf(v.cluster, v.Selection)
}

func (v *view) byNode(o *options) []status.Item {
	var items []status.Item
	for _, n := range v.cluster.Nodes {
		if n.Kind == state.Ping || !v.HasNode(n.Name) {
			continue
		}
		var running []status.Item
		if o.brief {
			if running = status.CountsHere(n.Running); len(running) == 0 {
				continue
			}
		}
		for _, r := range n.Running {
			if o.brief || !v.Has(r) {
				continue
			}
			if m, ok := r.Meta.Get("internal_rsc"); ok && m == "true" {
				continue
			}
			running = append(running, status.Item{Text: status.PrimitiveText(v.cluster, r)})
		}
		inWords := status.NodeState(n)
		if o.detail {
			inWords = detailedState(n)
		}
		label := fmt.Sprintf("%s %s: %s", status.NodeKind(n), v.nodeLabel(n.Name, o.detail), inWords)
		items = append(items, status.Item{Text: label, Sub: []status.Item{{Text: "Resources", Sub: running}}})
		if len(running) == 0 {
			items[len(items)-1].Sub[0].Text = "Resources:"
		}
	}
	return items
}

func (v *view) resources(o *options) section {
	s := section{title: "Active Resources"}
	if o.inactive {
		s.title = "Full List of Resources"
	}
	if o.groupByNode {
		s.title = "Inactive Resources"
	}
	s.items = status.Resources(v.cluster, status.Options{
		Pending: true, Inactive: o.inactive, Detail: o.detail, Brief: o.brief && !o.groupByNode, Incomplete: o.groupByNode, Selection: v.Selection,
	})
	if len(s.items) == 0 {
		text := "No active resources"
		if o.inactive {
			text = "No resources"
		}
		if o.inactive && o.groupByNode {
			text = "No inactive resources"
		}
		s.items = []status.Item{{Text: text}}
	}
	return s
}

func (v *view) attributeItems(o *options) []status.Item {
	var items []status.Item
	for _, n := range v.cluster.Nodes {
		names := status.Attributes(n)
		if !n.Online || len(names) == 0 || !v.HasNode(n.Name) {
			continue
		}
		it := status.Item{Text: "Node: " + v.nodeLabel(n.Name, o.detail)}
		for _, name := range names {
			it.Sub = append(it.Sub, status.Item{Text: status.AttributeText(v.cluster, n, name)})
		}
		items = append(items, it)
	}
	return items
}

func (v *view) operationItems(o *options) []status.Item {
	var items []status.Item
	byNode := map[string]int{}
	for _, h := range v.histories() {
		i, ok := byNode[h.node]
		if !ok {
			i = len(items)
			byNode[h.node] = i
			items = append(items, status.Item{Text: "Node: " + v.nodeLabel(h.node, o.detail)})
		}
		r := status.Item{Text: v.resourceSummary(h.rsc, h.node)}
		for _, op := range h.ops {
			r.Sub = append(r.Sub, status.Item{Text: operationText(op, o.timing)})
		}
		items[i].Sub = append(items[i].Sub, r)
	}
	return items
}

func operationText(op operation, timing bool) string {
	text := fmt.Sprintf("(%s) %s", op.call, op.shownTask())
	sep := ": "
	if op.interval != "0" {
		text += fmt.Sprintf(`%sinterval="%sms"`, sep, op.interval)
		sep = " "
	}
	if timing {
		if at := epoch(op.changed, time.ANSIC); at != "" {
			text += fmt.Sprintf(`%slast-rc-change="%s"`, sep, at)
			sep = " "
		}
		if op.exec != "" {
			text += fmt.Sprintf(`%sexec-time="%sms"`, sep, op.exec)
			sep = " "
		}
		if op.queue != "" {
			text += fmt.Sprintf(`%squeue-time="%sms"`, sep, op.queue)
			sep = " "
		}
		text += fmt.Sprintf(`%src=%s (%s)`, sep, op.rc, ocftext.Code(op.rc))
	}
	return text
}

// resourceSummary is `rsc: migration-threshold=N [fail-count=M last-failure='...']`.
func (v *view) resourceSummary(rsc, node string) string {
	threshold, fails, last := 1000000, 0, int64(0)
	r, n := v.cluster.Lookup(rsc), v.cluster.NodeByName(node)
	if r != nil {
		threshold = r.Threshold
		if n != nil {
			fails, last = v.cluster.FailCount(r, n, false, nil)
		}
	}
	text := fmt.Sprintf("%s: migration-threshold=%d", rsc, threshold)
	if fails > 0 {
		text += fmt.Sprintf(" fail-count=%d", fails)
	}
	if last > 0 {
		text += fmt.Sprintf(" last-failure='%s'", time.Unix(last, 0).Format(timeFormat))
	}
	return text
}

func (v *view) failCountItems(o *options) []status.Item {
	var items []status.Item
	for _, n := range v.cluster.Nodes {
		if !n.Online || !v.HasNode(n.Name) {
			continue
		}
		var sub []status.Item
		state.EachLeaf(v.cluster.Resources, func(r *state.Resource) {
			if fails, _ := v.cluster.FailCount(r, n, false, nil); fails > 0 && v.Has(r) && !slices.ContainsFunc(sub, func(i status.Item) bool {
				return strings.HasPrefix(i.Text, status.Name(r)+":")
			}) {
				text := v.resourceSummary(r.ID, n.Name)
				_, rest, _ := strings.Cut(text, ":")
				sub = append(sub, status.Item{Text: status.Name(r) + ":" + rest})
			}
		})
		if len(sub) > 0 {
			items = append(items, status.Item{Text: "Node: " + v.nodeLabel(n.Name, o.detail), Sub: sub})
		}
	}
	return items
}

func (v *view) failureItems(o *options) []status.Item {
	var items []status.Item
	for _, f := range v.cluster.FailedOps {
		switch {
		case status.Masked(f), f.Node != nil && !v.HasNode(f.Node.Name), !v.HasFailed(f):
			continue
		case o.detail:
			items = append(items, status.Item{Text: technicalText(f)})
		default:
			items = append(items, status.Item{Text: failureText(f)})
		}
	}
	return items
}

// failureText is a failed operation in words: task, place, result, time.
func failureText(f state.FailedOp) string {
	node := ""
	if f.Node != nil {
		node = f.Node.Name
	}
	task := f.XML.Attr("operation")
	interval := f.XML.Attr("interval")
	text := f.RscID
	if r := f.Resource; r != nil {
		text = status.Name(r)
	}
	switch {
	case task == "monitor" && interval == "0":
		task = "probe"
	case interval != "" && interval != "0":
		task = fmt.Sprintf("%s-interval %s", state.IntervalText(number(interval)), task)
	}
	text += fmt.Sprintf(" %s on %s", task, node)
	reason := f.XML.Attr("exit-reason")
	switch s := f.XML.Attr("op-status"); s {
	case "0", "":
		text += fmt.Sprintf(" returned '%s'", ocftext.Code(f.XML.Attr("rc-code")))
		if reason != "" {
			text += fmt.Sprintf(" (%s)", reason)
		}
	case "-1":
		text += " is pending"
		if reason != "" {
			text += fmt.Sprintf(" (%s)", reason)
		}
	default:
		text += " could not be executed (" + ocftext.Status(s)
		if reason != "" {
			text += ": " + reason
		}
		text += ")"
	}
	if when := epoch(f.XML.Attr("last-rc-change"), timeFormat); when != "" {
		text += " at " + when
	}
	if took := number(f.XML.Attr("exec-time")); took > 0 {
		text += " after " + state.IntervalText(took)
	}
	return text
}

// technicalText is a failed operation as the status section has it.
func technicalText(f state.FailedOp) string {
	key, ok := f.XML.Get("operation_key")
	if !ok {
		key = f.XML.ID()
	}
	if f.Node != nil {
		key += " on " + f.Node.Name
	}
	rc := f.XML.Attr("rc-code")
	text := fmt.Sprintf("%s '%s' (%s): call=%s, status='%s'", key, ocftext.Code(rc), rc, f.XML.Attr("call-id"), ocftext.Status(f.XML.Attr("op-status")))
	if reason := f.XML.Attr("exit-reason"); reason != "" {
		text += fmt.Sprintf(", exitreason='%s'", reason)
	}
	if when := epoch(f.XML.Attr("last-rc-change"), timeFormat); when != "" {
		text += fmt.Sprintf(", last-rc-change='%s'", when)
	}
	for _, t := range [][2]string{{"queued", "queue-time"}, {"exec", "exec-time"}} {
		if ms, ok := f.XML.Get(t[1]); ok {
			text += fmt.Sprintf(", %s=%sms", t[0], ms)
		}
	}
	return text
}

func number(s string) int64 {
	var n int64
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return n
		}
		n = n*10 + int64(c-'0')
	}
	return n
}

func (v *view) fencingSections(o *options) []section {
	byState := map[stonithv1.FenceRecord_State][]status.Item{}
	recs := slices.Clone(v.fencing)
	sort.SliceStable(recs, func(i, j int) bool { return recs[i].CompletedUnixNs > recs[j].CompletedUnixNs })
	full := o.fenceHistory == 3
	type kind struct {
		target, action string
		state          stonithv1.FenceRecord_State
	}
	seen := map[kind]bool{}
	for _, r := range recs {
		k := kind{r.Target, r.Action, r.State}
		if seen[k] && !full || !v.HasNode(r.Target) {
			continue // of each kind the last one, unless all are wanted
		}
		seen[k] = true
		byState[r.State] = append(byState[r.State], status.Item{Text: fencingText(r, full)})
	}
	failed := byState[stonithv1.FenceRecord_STATE_FAILED]
	pending := byState[stonithv1.FenceRecord_STATE_PENDING]
	if o.shows("fencing-succeeded") {
		all := append(append(slices.Clone(pending), byState[stonithv1.FenceRecord_STATE_SUCCESS]...), failed...)
		return []section{{title: "Fencing History", items: all}}
	}
	var out []section
	if o.shows("fencing-failed") {
		out = append(out, section{title: "Failed Fencing Actions", items: failed})
	}
	if o.shows("fencing-pending") {
		out = append(out, section{title: "Pending Fencing Actions", items: pending})
	}
	return out
}

// fencingText is one fencing action in words (clients 2.2, 2.18).
func fencingText(r *stonithv1.FenceRecord, full bool) string {
	action := map[string]string{"off": "turning off", "on": "turning on"}[r.Action]
	if action == "" {
		action = r.Action
	}
	by := ""
	if r.Executioner != "" {
		by = " by " + r.Executioner
	}
	when := time.Unix(0, r.CompletedUnixNs).Format("2006-01-02 15:04:05Z07:00")
	switch r.State {
	case stonithv1.FenceRecord_STATE_PENDING:
		return fmt.Sprintf("%s of %s pending: client=%s, origin=%s", action, r.Target, r.Client, r.Origin)
	case stonithv1.FenceRecord_STATE_FAILED:
		last := "last "
		if full {
			last = ""
		}
		text := fmt.Sprintf("%s of %s%s for %s@%s %sfailed at %s", action, r.Target, by, r.Client, r.Origin, last, when)
		if r.Reason != "" {
			text += " (" + r.Reason + ")"
		}
		return text
	}
	return fmt.Sprintf("%s of %s%s for %s@%s successful at %s", action, r.Target, by, r.Client, r.Origin, when)
}

func (v *view) ticketItems() []status.Item {
	var names []string
	for name := range v.cluster.Tickets {
		names = append(names, name)
	}
	sort.Strings(names)
	var items []status.Item
	for _, name := range names {
		t := v.cluster.Tickets[name]
		text := name + ": revoked"
		if t.Granted {
			text = name + ": granted"
		}
		if t.Standby {
			text += " [standby]"
		}
		if t.LastGranted > 0 {
			text += fmt.Sprintf(` last-granted="%s"`, time.Unix(t.LastGranted, 0).Format(timeFormat))
		}
		items = append(items, status.Item{Text: text})
	}
	return items
}
