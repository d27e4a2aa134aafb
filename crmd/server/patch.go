package server

import (
	"fmt"
	"strconv"
	"strings"

	"linuxha/crmd/history"
	"linuxha/crmd/te"
)

// change is what one CIB patch means to the controller (crm 5.8).
type change struct {
	config  bool // anything below configuration
	options bool // crm_config, alerts, or the document as a whole
	nodes   bool // nodes section
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
func readPatch(patch []byte, v te.Version, nodes nodeView) (*change, error) {
	doc, err := parseTree(patch)
	if err != nil {
		return nil, fmt.Errorf("read CIB patch: %w", err)
	}
	ch := &change{}
	for i := range doc.Children {
		if c := &doc.Children[i]; c.name() == "change" {
			ch.read(c, v, nodes)
		}
	}
	return ch, nil
}

func (ch *change) read(c *tree, v te.Version, nodes nodeView) {
	path := parsePath(c.attr("path"))
	op := c.attr("operation")
	abort := func(reason string) {
		ch.aborts = append(ch.aborts, te.Aborted{Reason: reason, Detail: op + " " + c.attr("path"), Version: v})
	}
	if len(path) < 2 {
		if op == "create" {
			ch.config, ch.options, ch.nodes = true, true, true
			ch.aborts = append(ch.aborts, te.Aborted{Reason: "Non-status-only change", Version: v, Config: true})
		}
		return // attributes of the root
	}
	switch path[1].tag {
	case "configuration":
		ch.config = true
		section := ""
		if len(path) > 2 {
			section = path[2].tag
		} else {
			for i := range c.Children {
				section = c.Children[i].name()
			}
		}
		ch.options = ch.options || section == "crm_config" || section == "alerts" || section == ""
		ch.nodes = ch.nodes || section == "nodes" || section == ""
		ch.aborts = append(ch.aborts, te.Aborted{Reason: "Configuration change", Detail: op + " " + c.attr("path"), Version: v, Config: true})
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
			if res := c.child("change-result"); res != nil && len(res.Children) > 0 {
				ch.result(&res.Children[0], nodes.nameOf(node), rsc, v)
			}
		}
		if deepest == "lrm_resource" {
			if res := c.child("change-result"); res != nil && len(res.Children) > 0 && res.Children[0].attr("shutdown-lock") == "0" {
				abort("Shutdown lock cleared")
			}
		}
	case "create":
		for i := range c.Children {
			ch.created(&c.Children[i], node, rsc, v, nodes, abort)
		}
	}
}

// created looks through a new subtree.
func (ch *change) created(t *tree, node, rsc string, v te.Version, nodes nodeView, abort func(string)) {
	switch t.name() {
	case "node_state":
		node = t.attr("id")
	case "lrm_resource":
		rsc = t.attr("id")
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
	for i := range t.Children {
		ch.created(&t.Children[i], node, rsc, v, nodes, abort)
	}
}

// result takes an lrm_rsc_op up.
func (ch *change) result(t *tree, node, rsc string, v te.Version) {
	key := t.attr("transition-key")
	status := atoi(t.attr("op-status"), 0)
	if key == "" {
		return
	}
	if status == history.StatusPending {
		ch.pending = append(ch.pending, key)
		return
	}
	ch.results = append(ch.results, te.Result{
		Node: node, Resource: rsc, OpKey: t.attr("operation_key"), Task: t.attr("operation"),
		IntervalMS: int64(atoi(t.attr("interval"), 0)), Key: key, CallID: int64(atoi(t.attr("call-id"), 0)),
		RC: atoi(t.attr("rc-code"), 0), Status: status, RCChange: int64(atoi(t.attr("last-rc-change"), 0)),
		Reason: t.attr("exit-reason"), Replayed: t.attr("crm-debug-origin") == "build_active_RAs", Version: v,
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
