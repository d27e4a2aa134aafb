package crmverify

import (
	"fmt"

	"linuxha/cib/cibdoc"
	"linuxha/pengine/state"
)

// warnings are log entries about what will not work for ever.
type warnings struct{ nodes, rest []state.Note }

// deprecated lists what is valid and works, and will not for ever, in the
// reference's words and from its places (cib 10.2).
func deprecated(doc *cibdoc.Doc) warnings {
	var out warnings
	config := doc.Configuration()
	if config == nil {
		return out
	}
	into := func(list *[]state.Note) warnFunc {
		return func(from, format string, args ...any) {
			*list = append(*list, state.Note{Severity: state.Warning, From: from, Text: fmt.Sprintf(format, args...)})
		}
	}
	if nodes := config.Child("nodes"); nodes != nil {
		oldNodes(nodes, into(&out.nodes))
	}
	if constraints := config.Child("constraints"); constraints != nil {
		oldConstraints(constraints, into(&out.rest))
	}
	return out
}

type warnFunc func(from, format string, args ...any)

// oldNodes: a node that only answers to ping, and what is taken for one.
func oldNodes(nodes *cibdoc.Node, warn warnFunc) {
	told := false
	for n := range nodes.Elements() {
		kind, given := n.Get("type")
		if n.Tag != "node" || !given || kind == "member" || kind == "Member" || kind == "remote" {
			continue
		}
		if kind != "ping" {
			warn("pe_create_node", "Node %s has unrecognized type '%s', assuming 'ping'", n.Attr("uname"), kind)
		}
		if !told {
			warn("pe_create_node", "Support for nodes of type 'ping' (such as %s) is deprecated and will be removed in a future release", n.Attr("uname"))
			told = true
		}
	}
}

func oldConstraints(constraints *cibdoc.Node, warn warnFunc) {
	scored := false
	for c := range constraints.Elements() {
		if c.ChildIndex("lifetime") >= 0 {
			warn("pcmk__unpack_constraints", "Support for 'lifetime' attribute (in %s) is deprecated (the rules it contains should instead be direct descendents of the constraint object)", c.ID())
		}
		if c.Tag == "rsc_order" && !scored && orderedByScore(c) {
			warn("get_ordering_type", "Support for 'score' in rsc_order is deprecated and will be removed in a future release (use 'kind' instead)")
			scored = true
		}
	}
}

// orderedByScore reports whether a score says how binding an order is, in the
// constraint or in one of its sets.
func orderedByScore(order *cibdoc.Node) bool {
	byScore := func(n *cibdoc.Node) bool {
		_, kind := n.Get("kind")
		_, score := n.Get("score")
		return score && !kind
	}
	if byScore(order) {
		return true
	}
	for set := range order.Elements() {
		if set.Tag == "resource_set" && byScore(set) {
			return true
		}
	}
	return false
}
