package crmresource

import (
	"maps"
	"slices"
	"strings"

	"github.com/beevik/etree"

	"linuxha/internal/exitcode"
	"linuxha/pengine/assign"
	"linuxha/pengine/state"
	"linuxha/pengine/status"
	"linuxha/tools/output"
)

// digests shows by what the cluster would tell a changed configuration
// (scheduler-1 11.2, crm 4.9).
func (s *session) digests() error {
	c, r, doc, err := s.resource()
	if err != nil {
		return err
	}
	if err := s.checkNode(c); err != nil {
		return err
	}
	if r.Kind != state.Primitive {
		return &failure{code: exitcode.Unimplemented}
	}
	n := c.NodeByName(s.node)
	interval := "0"
	all := state.Attrs{}
	maps.Copy(all, c.Params(r, n))
	recurring := state.Attrs{}
	for _, w := range s.p.Operands {
		k, v, _ := strings.Cut(w, "=")
		switch k {
		case "CRM_meta_interval":
			interval = v
		case "CRM_meta_timeout":
			recurring[k] = v
		default:
			all[k] = v
		}
	}
	isRecurring := interval != "0"
	op := lastOperation(doc, r, n)
	e := output.New("digests", "resource", s.rsc, "node", n.Name, "task", "start", "interval", interval+"ms")
	names := assign.KeyOrder(paramOrder(doc, r, all))
	add := func(kind string, keep func(string) bool, meta state.Attrs) {
		set := state.Attrs{}
		params := output.New("parameters")
		for _, name := range names {
			if keep(name) {
				set[name] = all[name]
				params.Set(name, all[name])
			}
		}
		for k, v := range meta {
			set[k] = v
			params.Set(k, v)
		}
		hash := state.DigestOfParams(set, len(meta) > 0)
		e.Add(output.New("digest", "type", kind, "hash", hash).Add(params))
		s.say("%s (%s parameters)", hash, strings.Replace(kind, "non", "non-", 1))
	}
	if !isRecurring {
		recurring = nil
	}
	add("all", func(string) bool { return true }, recurring)
	var private []string
	if op != nil {
		private = strings.Fields(op.SelectAttrValue("op-secure-params", ""))
	}
	add("nonprivate", func(name string) bool {
		ofFencer := r.Class == "stonith" && strings.HasPrefix(name, "pcmk_") // its own, not the agent's
		return !ofFencer && !slices.Contains(private, name)
	}, nil)
	if op != nil {
		if list, ok := attr(op, "op-force-restart"); ok {
			add("nonreloadable", func(name string) bool { return slices.Contains(strings.Fields(list), name) }, nil)
		}
	}
	s.body = append(s.body, e)
	return nil
}

// paramOrder are the names of parameters as configured, then the others.
func paramOrder(doc *etree.Element, r *state.Resource, params state.Attrs) []string {
	var names []string
	if e := configured(doc, r); e != nil {
		for _, nv := range e.FindElements("./instance_attributes/nvpair") {
			if name := nv.SelectAttrValue("name", ""); !slices.Contains(names, name) {
				if _, ok := params[name]; ok {
					names = append(names, name)
				}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(params)) {
		if !slices.Contains(names, name) && !strings.HasPrefix(name, "CRM_meta_") {
			names = append(names, name)
		}
	}
	return names
}

func attr(e *etree.Element, name string) (string, bool) {
	a := e.SelectAttr(name)
	if a == nil {
		return "", false
	}
	return a.Value, true
}

// lastOperation is the operation on the node that tells which parameters are
// private and which need a restart: the start, else the newest one.
func lastOperation(doc *etree.Element, r *state.Resource, n *state.Node) *etree.Element {
	var best *etree.Element
	for _, ns := range doc.FindElements("./status/node_state") {
		if ns.SelectAttrValue("id", "") != n.ID && ns.SelectAttrValue("uname", "") != n.Name {
			continue
		}
		for _, h := range ns.FindElements("./lrm/lrm_resources/lrm_resource") {
			if id := h.SelectAttrValue("id", ""); !status.GoesBy(r, id) {
				continue
			}
			for _, op := range h.SelectElements("lrm_rsc_op") {
				if op.SelectAttrValue("operation", "") == "start" {
					return op
				}
				if best == nil || callID(op) > callID(best) {
					best = op
				}
			}
		}
	}
	return best
}
