package crmresource

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/beevik/etree"

	"linuxha/internal/ocftext"
	"linuxha/pengine/state"
	"linuxha/pengine/status"
	"linuxha/tools/output"
)

// listOperations prints the recorded operations of resources: on online nodes
// since they were last stopped there, or all (-o).
func (s *session) listOperations() error {
	c, doc, err := s.model()
	if err != nil {
		return err
	}
	list := output.New("operations")
	for _, ns := range doc.FindElements("./status/node_state") {
		n := c.NodeByID(ns.SelectAttrValue("id", ""))
		if n == nil {
			n = c.NodeByName(ns.SelectAttrValue("uname", ""))
		}
		if n == nil || s.node != "" && n.Name != s.node || !n.Online && s.command == "list-operations" {
			continue
		}
		for _, h := range ns.FindElements("./lrm/lrm_resources/lrm_resource") {
			r := instance(c, h.SelectAttrValue("id", ""), n)
			if r == nil || s.rsc != "" && !slices.ContainsFunc(named(c, s.rsc), func(w *state.Resource) bool { return isPartOf(r, w) }) {
				continue
			}
			ops := h.SelectElements("lrm_rsc_op")
			slices.SortStableFunc(ops, func(a, b *etree.Element) int { return callID(a) - callID(b) })
			if s.command == "list-operations" {
				ops = current(ops)
			}
			for _, op := range ops {
				list.Add(s.operation(c, r, n, op))
			}
		}
	}
	if len(list.Children) > 0 {
		s.body = append(s.body, list)
	}
	return nil
}

// instance is the primitive that a history on a node is about: of a clone the
// instance there, or its first one.
func instance(c *state.Cluster, id string, n *state.Node) *state.Resource {
	all := named(c, id)
	for _, r := range all {
		if slices.Contains(r.Active, n) {
			return r
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all[0]
}

func isPartOf(r, whole *state.Resource) bool {
	for ; r != nil; r = r.Parent {
		if r == whole || r.XMLID != "" && r.XMLID == whole.XMLID {
			return true
		}
	}
	return false
}

// current are the operations since the resource was last started, or found
// running, there; none since it was stopped.
func current(ops []*etree.Element) []*etree.Element {
	for i, op := range slices.Backward(ops) {
		rc := op.SelectAttrValue("rc-code", "")
		switch op.SelectAttrValue("operation", "") {
		case "stop":
			if rc == "0" {
				return ops[i+1:]
			}
		case "start", "migrate_from":
			return ops[i:]
		case "monitor":
			if op.SelectAttrValue("interval", "0") == "0" && (rc == "0" || rc == "8") {
				return ops[i:]
			}
		}
	}
	return ops
}

// callID orders operations; what is under way (-1) comes last.
func callID(op *etree.Element) int {
	n, _ := strconv.Atoi(op.SelectAttrValue("call-id", "0")) // odd ones come first
	if n < 0 {
		return math.MaxInt32
	}
	return n
}

func (s *session) operation(c *state.Cluster, r *state.Resource, n *state.Node, op *etree.Element) *output.Element {
	get := func(name string) string { return op.SelectAttrValue(name, "") }
	key := get("operation_key")
	if key == "" {
		key = get("id")
	}
	word := ocftext.Status(get("op-status"))
	e := output.New("operation", "op", key, "node", n.Name, "call", get("call-id"), "rc", get("rc-code"), "status", word,
		"rsc", status.Name(r), "agent", r.Class+":"+r.Provider+":"+r.Type)
	text := fmt.Sprintf("%s: %s (node=%s, call=%s, rc=%s", status.SettledText(c, r), key, n.Name, get("call-id"), get("rc-code"))
	if at, err := strconv.ParseInt(get("last-rc-change"), 10, 64); err == nil {
		when := time.Unix(at, 0).Format("Mon Jan _2 15:04:05 2006")
		text += fmt.Sprintf(", last-rc-change='%s'", when)
		e.Set("last-rc-change", when)
	}
	if ms := get("exec-time"); ms != "" {
		text += ", exec=" + ms + "ms"
		e.Set("exec-time", ms)
	}
	s.say("%s): %s", text, word)
	return e
}
