package server

import (
	"strconv"
	"strings"

	"linuxha/cib/cibdoc"
	"linuxha/crmd/history"
	"linuxha/crmd/te"
)

// change is what one CIB patch means to the controller (crm 5.8).
type change struct {
	aborts  []te.Aborted
	results []te.Result
	pending []string // transition keys of pending records
	removed []te.OpRemoved
	gone    []string // nodes whose node_state was deleted
	wiped   bool     // the status section was
}

// node resolves ids of node_states to names, and says whether the graph in
// force takes a node down.
type nodeView interface {
	nameOf(id string) string
	TakesDown(id string) bool
}

// readPatch interprets a format 2 patchset (cib 5.2).
func readPatch(diff *cibdoc.Node, v te.Version, nodes nodeView) *change {
	ch := &change{}
	for c := range diff.Elements() {
		if c.Tag == "change" {
			ch.read(c, v, nodes)
		}
	}
	return ch
}

func (ch *change) read(c *cibdoc.Node, v te.Version, nodes nodeView) {
	path := parsePath(c.Attr("path"))
	op := c.Attr("operation")
	abort := func(reason string) {
		ch.aborts = append(ch.aborts, te.Aborted{Reason: reason, Detail: op + " " + c.Attr("path"), Version: v})
	}
	if len(path) < 2 {
		if op == "create" {
			ch.aborts = append(ch.aborts, te.Aborted{Reason: "Non-status-only change", Version: v, Config: true})
		}
		return // attributes of the root
	}
	switch path[1].tag {
	case "configuration":
		ch.aborts = append(ch.aborts, te.Aborted{Reason: "Configuration change", Detail: op + " " + c.Attr("path"), Version: v, Config: true})
		return
	case "status":
	default:
		return
	}
	node, rsc, deepest := "", "", path[len(path)-1].tag
	for _, s := range path {
		switch s.tag {
		case "node_state":
			node = s.id
		case "lrm_resource":
			rsc = s.id
		case "transient_attributes":
			if !(op == "delete" && nodes.TakesDown(node)) {
				abort("Transient attribute change")
			}
			return
		case "tickets":
			abort("Ticket attribute change")
			return
		}
	}
	switch op {
	case "delete":
		switch deepest {
		case "lrm_rsc_op":
			id := path[len(path)-1].id
			if strings.HasSuffix(id, "_last_failure_0") || strings.HasSuffix(id, "_last_0") {
				abort("Resource operation removal")
				return
			}
			ch.removed = append(ch.removed, te.OpRemoved{Node: nodes.nameOf(node), OpKey: id, Version: v})
		case "lrm", "lrm_resources", "lrm_resource":
			if !nodes.TakesDown(node) {
				abort("Resource state removal")
			}
		case "status":
			ch.wiped = true
			abort("Node state removal")
		case "node_state":
			ch.gone = append(ch.gone, nodes.nameOf(node))
			if !nodes.TakesDown(node) {
				abort("Node state removal")
			}
		}
	case "modify":
		if deepest == "lrm_rsc_op" {
			if op := changed(c); op != nil {
				ch.result(op, nodes.nameOf(node), rsc, v)
			}
		}
		if deepest == "lrm_resource" {
			if r := changed(c); r != nil && r.Attr("shutdown-lock") == "0" {
				abort("Shutdown lock cleared")
			}
		}
	case "create":
		for n := range c.Elements() {
			ch.created(n, node, rsc, v, nodes, abort)
		}
	}
}

// changed is the element, without children, as a modification leaves it.
func changed(c *cibdoc.Node) *cibdoc.Node {
	if result := c.Child("change-result"); result != nil {
		for n := range result.Elements() {
			return n
		}
	}
	return nil
}

// created looks through a new subtree.
func (ch *change) created(t *cibdoc.Node, node, rsc string, v te.Version, nodes nodeView, abort func(string)) {
	switch t.Tag {
	case "node_state":
		node = t.Attr("id")
	case "lrm_resource":
		rsc = t.Attr("id")
	case "transient_attributes":
		if len(t.Children) > 0 {
			abort("Transient attribute change")
		}
		return
	case "tickets":
		if len(t.Children) > 0 {
			abort("Ticket attribute change")
		}
		return
	case "lrm_rsc_op":
		ch.result(t, nodes.nameOf(node), rsc, v)
		return
	}
	for c := range t.Elements() {
		ch.created(c, node, rsc, v, nodes, abort)
	}
}

// result takes an lrm_rsc_op up.
func (ch *change) result(t *cibdoc.Node, node, rsc string, v te.Version) {
	key := t.Attr("transition-key")
	status := atoi(t.Attr("op-status"), 0)
	if key == "" {
		return
	}
	if status == history.StatusPending {
		ch.pending = append(ch.pending, key)
		return
	}
	ch.results = append(ch.results, te.Result{
		Node: node, Resource: rsc, OpKey: t.Attr("operation_key"), Task: t.Attr("operation"),
		IntervalMS: int64(atoi(t.Attr("interval"), 0)), Key: key, CallID: int64(atoi(t.Attr("call-id"), 0)),
		RC: atoi(t.Attr("rc-code"), 0), Status: status, RCChange: int64(atoi(t.Attr("last-rc-change"), 0)),
		Reason: t.Attr("exit-reason"), Replayed: t.Attr("crm-debug-origin") == "build_active_RAs", Version: v,
	})
}

func atoi(s string, missing int) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return missing
	}
	return n
}

type step struct{ tag, id string }

// parsePath takes /cib/tag[@id='x']/... apart.
func parsePath(path string) []step {
	var steps []step
	for path != "" {
		path = strings.TrimPrefix(path, "/")
		end := strings.IndexAny(path, "/[")
		if end < 0 {
			return append(steps, step{tag: path})
		}
		s := step{tag: path[:end]}
		if path[end] == '/' {
			path = path[end:]
			steps = append(steps, s)
			continue
		}
		rest := path[end:]
		const open = "[@id='"
		if !strings.HasPrefix(rest, open) {
			return append(steps, s)
		}
		close := strings.Index(rest, "']")
		if close < 0 {
			return append(steps, s)
		}
		s.id = rest[len(open):close]
		steps = append(steps, s)
		path = rest[close+2:]
	}
	return steps
}
