package schema

import (
	"slices"
	"strings"

	"linuxha/cib/cibdoc"
)

// Upgrade brings a document to the newest schema that it conforms to, with the
// transforms between major versions (cib 9.3, 9.4). It fails with
// RCSchemaLatest where there is nothing to do. Versions are not counted.
func Upgrade(doc *cibdoc.Doc) (*cibdoc.Doc, error) {
	name := doc.Root().Attr("validate-with")
	if v, ok := Lookup(name); ok && !v.None && Index(name) < 0 || name == cibdoc.LatestSchema {
		return nil, cibdoc.Fail(cibdoc.RCSchemaLatest, "the document names %s", name)
	}
	best, bestName := (*cibdoc.Doc)(nil), ""
	cur := doc
	for i := max(Index(name), 0); i < len(Versions); i++ {
		if i > 0 {
			switch {
			case Versions[i] == "pacemaker-2.0" && conforms(cur, Versions[i-1]) && !conforms(cur, Versions[i]):
				cur = edited(cur, aclsTo2)
			case Versions[i] == "pacemaker-3.0" && conforms(cur, Versions[i-1]):
				cur = edited(cur, to3)
			}
		}
		if conforms(cur, Versions[i]) {
			best, bestName = cur, Versions[i]
		} else if best != nil {
			break
		}
	}
	switch {
	case best == nil:
		return nil, Error(Check(doc, cibdoc.LatestSchema))
	case bestName == name:
		return nil, cibdoc.Fail(cibdoc.RCSchemaLatest, "the document names %s and does not conform to the next one", name)
	}
	return withSchema(best, bestName), nil
}

func withSchema(doc *cibdoc.Doc, name string) *cibdoc.Doc {
	e := doc.Edit()
	e.Own(nil).SetAttr("validate-with", name)
	return e.Doc()
}

func conforms(doc *cibdoc.Doc, name string) bool { return Conforms(doc, name) }

// edited applies a transform to a copy of the configuration.
func edited(doc *cibdoc.Doc, transform func(config *cibdoc.Node)) *cibdoc.Doc {
	e := doc.Edit()
	root := e.Own(nil)
	i := root.ChildIndex("configuration")
	if i < 0 {
		return doc
	}
	config := clone(root.Children[i])
	transform(config)
	root.Children[i] = config
	return e.Doc()
}

// clone is a changeable copy of n and all below.
func clone(n *cibdoc.Node) *cibdoc.Node {
	out := n.Bare()
	for _, c := range n.Children {
		out.Add(clone(c))
	}
	return out
}

// each visits the elements below n of those tags, with their parents.
func each(n *cibdoc.Node, visit func(parent, e *cibdoc.Node), tags ...string) {
	for _, c := range slices.Clone(n.Children) {
		if c.IsElement() {
			if slices.Contains(tags, c.Tag) {
				visit(n, c)
			}
			each(c, visit, tags...)
		}
	}
}

func drop(parent, child *cibdoc.Node) {
	if i := slices.Index(parent.Children, child); i >= 0 {
		parent.RemoveAt(i)
	}
}

// aclsTo2 rewrites access lists of the 1.x schemas (cib 9.4).
func aclsTo2(config *cibdoc.Node) {
	acls := config.Child("acls")
	if acls == nil {
		return
	}
	var out []*cibdoc.Node
	for _, n := range acls.Children {
		switch n.Tag {
		case "acl_role":
			r := n.Bare()
			r.Add(permissionsTo2(n)...)
			out = append(out, r)
		case "acl_user":
			target := n.Bare()
			target.Tag = "acl_target"
			perms := permissionsTo2(n)
			for r := range n.Elements() {
				if r.Tag == "role_ref" {
					role := r.Bare()
					role.Tag = "role"
					target.Add(role)
				}
			}
			out = append(out, target)
			if len(perms) > 0 {
				target.Add(cibdoc.E("role", "id", "auto-"+n.ID()))
				out = append(out, cibdoc.E("acl_role", "id", "auto-"+n.ID()).Add(perms...))
			}
		default:
			out = append(out, n)
		}
	}
	acls.Children = out
}

func permissionsTo2(n *cibdoc.Node) []*cibdoc.Node {
	var out []*cibdoc.Node
	for p := range n.Elements() {
		if p.Tag != "read" && p.Tag != "write" && p.Tag != "deny" {
			continue
		}
		q := cibdoc.E("acl_permission", "id", p.ID(), "kind", p.Tag)
		attribute := p.Attr("attribute")
		if ref, ok := p.Get("ref"); ok {
			q.SetAttr("reference", ref)
		}
		if tag, ok := p.Get("tag"); ok {
			q.SetAttr("object-type", tag)
			if attribute != "" {
				q.SetAttr("attribute", attribute)
			}
		}
		if x, ok := p.Get("xpath"); ok {
			if attribute != "" {
				x += "[@" + attribute + "]"
			}
			q.SetAttr("xpath", x)
		}
		out = append(out, q)
	}
	return out
}

// to3 rewrites what 3.0 removed (cib 9.4): references are expanded, since what
// they stand for may mean something else where they stand, the main step
// done, and what stayed the same is referred to again.
func to3(config *cibdoc.Node) {
	expanded := expandReferences(config)
	optionsTo3(config)
	each(config, func(_, n *cibdoc.Node) {
		if n.Attr("type") == "normal" {
			n.SetAttr("type", "member")
		}
	}, "node")
	each(config, func(_, rsc *cibdoc.Node) { resourceTo3(rsc) }, "primitive", "template", "group", "clone", "master", "bundle")
	each(config, func(_, n *cibdoc.Node) {
		n.RemoveAttr("score-attribute")
		n.RemoveAttr("score-attribute-mangle")
	}, "rsc_colocation")
	foldReferences(config, expanded)
}

// renamed options besides those that only change underscores to hyphens.
var renamedOptions = map[string]string{
	"no_quorum_policy": "no-quorum-policy", "dc_deadtime": "dc-deadtime", "cluster_recheck_interval": "cluster-recheck-interval",
	"election_timeout": "election-timeout", "remove_after_stop": "remove-after-stop", "shutdown_escalation": "shutdown-escalation",
	"startup_fencing": "startup-fencing", "stonith_action": "stonith-action", "stonith_enabled": "stonith-enabled",
	"stop_orphan_actions": "stop-orphan-actions", "stop_orphan_resources": "stop-orphan-resources",
	"symmetric_cluster": "symmetric-cluster", "transition_idle_timeout": "cluster-delay",
}

// optionsTo3 renames, moves and drops cluster options.
func optionsTo3(config *cibdoc.Node) {
	options := config.Child("crm_config")
	if options == nil {
		return
	}
	each(options, func(set, nv *cibdoc.Node) {
		name, value := nv.Attr("name"), nv.Attr("value")
		if to := renamedOptions[name]; to != "" {
			nv.SetAttr("name", to)
			return
		}
		switch strings.ReplaceAll(name, "_", "-") {
		case "default-action-timeout":
			moveDefault(config, set, nv, "op_defaults", "_2TO3_-op-defaults", "timeout")
		case "default-resource-stickiness":
			moveDefault(config, set, nv, "rsc_defaults", "_2TO3_-rsc-defaults", "resource-stickiness")
		case "is-managed-default":
			moveDefault(config, set, nv, "rsc_defaults", "_2TO3_-rsc-defaults", "is-managed")
		case "default-resource-failure-stickiness":
			if value == "-INFINITY" {
				nv.SetAttr("value", "1")
				moveDefault(config, set, nv, "rsc_defaults", "_2TO3_-rsc-defaults", "migration-threshold")
			} else {
				drop(set, nv)
			}
		case "default-migration-threshold", "expected-quorum-votes", "notification-agent", "notification-recipient":
			drop(set, nv)
		case "cluster-infrastructure":
			if slices.Contains([]string{"heartbeat", "openais", "classic openais", "classic openais (with plugin)", "cman"}, value) {
				drop(set, nv)
			}
		}
	}, "nvpair")
}

// moveDefault makes a cluster option a default of operations or resources,
// unless that is defined already.
func moveDefault(config, set, nv *cibdoc.Node, section, block, name string) {
	drop(set, nv)
	defaults := config.Child(section)
	if defaults == nil {
		defaults = cibdoc.E(section)
		config.Add(defaults)
	}
	defined := false
	each(defaults, func(_, have *cibdoc.Node) { defined = defined || have.Attr("name") == name }, "nvpair")
	if defined {
		return
	}
	nv.SetAttr("name", name)
	i := slices.IndexFunc(defaults.Children, func(c *cibdoc.Node) bool { return c.ID() == block })
	if i < 0 {
		defaults.Add(cibdoc.E("meta_attributes", "id", block))
		i = len(defaults.Children) - 1
	}
	defaults.Children[i].Add(nv)
}

// operationMeta are operation attributes that were wrongly given as instance
// attributes.
var operationMeta = map[string]bool{"interval-origin": true, "start-delay": true, "enabled": true, "on-fail": true, "record-pending": true, "role": true, "timeout": true}

func resourceTo3(rsc *cibdoc.Node) {
	for c := range rsc.Elements() {
		switch c.Tag {
		case "instance_attributes":
			if rsc.Attr("class") == "stonith" {
				fencingTo3(c)
			}
		case "meta_attributes":
			metaTo3(c)
		}
	}
	operations := rsc.Child("operations")
	if operations == nil {
		return
	}
	for op := range operations.Elements() {
		if op.Tag == "op" {
			operationTo3(rsc, op)
		}
	}
}

func fencingTo3(params *cibdoc.Node) {
	each(params, func(parent, nv *cibdoc.Node) {
		name := nv.Attr("name")
		if action, ok := strings.CutSuffix(name, "_cmd"); ok && slices.Contains([]string{"pcmk_list", "pcmk_monitor", "pcmk_status", "pcmk_off", "pcmk_on", "pcmk_reboot"}, action) {
			nv.SetAttr("name", action+"_action")
		}
		if name == "pcmk_arg_map" {
			if to, ok := strings.CutPrefix(nv.Attr("value"), "port:"); ok && !strings.Contains(to, ",") {
				nv.SetAttr("name", "pcmk_host_argument")
				nv.SetAttr("value", to)
			} else {
				drop(parent, nv)
			}
		}
	}, "nvpair")
}

func metaTo3(meta *cibdoc.Node) {
	isolated := false
	each(meta, func(parent, nv *cibdoc.Node) {
		switch name := nv.Attr("name"); {
		case name == "isolation" || strings.HasPrefix(name, "isolation-"):
			if isolated {
				drop(parent, nv)
				return
			}
			isolated = true
			nv.SetAttr("name", "target-role")
			nv.SetAttr("value", "Stopped")
		case name == "resource-failure-stickiness" || name == "resource_failure_stickiness":
			if nv.Attr("value") == "-INFINITY" {
				nv.SetAttr("name", "migration-threshold")
				nv.SetAttr("value", "1")
			} else {
				drop(parent, nv)
			}
		}
	}, "nvpair")
}

// operationTo3 moves `requires` to the resource, and what is a meta-attribute
// of the operation to where these belong.
func operationTo3(rsc, op *cibdoc.Node) {
	starts := op.Attr("name") == "start" || op.Attr("name") == "promote"
	requires := func(value string) {
		if !starts {
			return
		}
		meta := child(rsc, "meta_attributes", "_2TO3_"+rsc.ID()+"-meta")
		meta.Add(cibdoc.E("nvpair", "id", "_2TO3_"+op.ID()+"-meta-requires", "name", "requires", "value", value))
	}
	if v, ok := op.Get("requires"); ok {
		op.RemoveAttr("requires")
		requires(v)
	}
	for _, block := range slices.Collect(op.Elements()) {
		if block.Tag != "instance_attributes" || block.ChildIndex("nvpair") < 0 {
			continue
		}
		for _, nv := range slices.Collect(block.Elements()) {
			switch name := nv.Attr("name"); {
			case nv.Tag != "nvpair":
			case name == "requires":
				drop(block, nv)
				requires(nv.Attr("value"))
			case operationMeta[name]:
				drop(block, nv)
				child(op, "meta_attributes", "_2TO3_"+op.ID()+"-meta").Add(nv)
			}
		}
		if block.ChildIndex("nvpair") < 0 {
			drop(op, block)
		}
	}
}

// child is n's child of that tag and id, made if it is not there.
func child(n *cibdoc.Node, tag, id string) *cibdoc.Node {
	i := slices.IndexFunc(n.Children, func(c *cibdoc.Node) bool { return c.Tag == tag && c.ID() == id })
	if i < 0 {
		n.Add(cibdoc.E(tag, "id", id))
		i = len(n.Children) - 1
	}
	return n.Children[i]
}

const (
	expandedPrefix = "_cibtr-2_"
	insidePrefix   = "__cibtr-2_"
)

// expansion is a reference that was replaced by what it stands for.
type expansion struct {
	node   *cibdoc.Node
	target string // the id it referred to
	attrs  []cibdoc.Attr
}

// expandReferences puts in the place of each id-ref a copy of what it names,
// with ids of its own.
func expandReferences(config *cibdoc.Node) []expansion {
	byID := map[string]*cibdoc.Node{}
	config.Walk(func(_ cibdoc.Path, n *cibdoc.Node) bool {
		if id := n.ID(); id != "" && n.IsElement() && byID[id] == nil {
			byID[id] = n
		}
		return true
	})
	var out []expansion
	used := map[string]int{}
	each(config, func(_, n *cibdoc.Node) {
		id := n.Attr("id-ref")
		target := byID[id]
		if id == "" || target == nil || target.Tag != n.Tag || target.Attr("id-ref") != "" {
			return
		}
		name := id
		if used[id]++; used[id] > 1 {
			name += strings.Repeat("_", used[id]-1) // ids are unique
		}
		out = append(out, expansion{n, id, slices.Clone(n.Attrs)})
		copied := clone(target)
		copied.Walk(func(p cibdoc.Path, c *cibdoc.Node) bool {
			if cid, ok := c.Get("id"); ok && len(p) > 0 {
				c.SetAttr("id", insidePrefix+name+"__"+cid)
			}
			return true
		})
		n.Attrs, n.Children = copied.Attrs, copied.Children
		n.SetAttr("id", expandedPrefix+name)
	}, "instance_attributes", "meta_attributes", "operations", "utilization")
	return out
}

// foldReferences restores the references whose copy is still the same as what
// they named.
func foldReferences(config *cibdoc.Node, expanded []expansion) {
	byID := map[string]*cibdoc.Node{}
	config.Walk(func(_ cibdoc.Path, n *cibdoc.Node) bool {
		if id := n.ID(); id != "" && n.IsElement() {
			byID[id] = n
		}
		return true
	})
	for _, x := range expanded {
		target := byID[x.target]
		if target == nil || target.Tag != x.node.Tag {
			continue
		}
		back := clone(x.node)
		name := strings.TrimPrefix(x.node.ID(), expandedPrefix)
		back.Walk(func(p cibdoc.Path, c *cibdoc.Node) bool {
			if cid, ok := strings.CutPrefix(c.ID(), insidePrefix+name+"__"); ok && len(p) > 0 {
				c.SetAttr("id", cid)
			}
			return true
		})
		back.SetAttr("id", x.target)
		if back.Sum() == clone(target).Sum() {
			x.node.Attrs, x.node.Children = x.attrs, nil
		}
	}
}
