package schema

import (
	"slices"
	"strings"

	"linuxha/cib/cibdoc"
)

// This file brings the language of Heartbeat 2.0 and 2.1 to pacemaker-1.0
// (cib 9.6); heartbeat_ids.go does the ids.

// heartbeatNames are the names of that language, where a document names any.
var heartbeatNames = []string{"pacemaker-0.6", "transitional-0.6"}

// IsHeartbeat reports whether doc is taken for one of Heartbeat 2.1: it names
// that language, or none and has something that only that language has.
func IsHeartbeat(doc *cibdoc.Doc) bool {
	root := doc.Root()
	if root.Tag != "cib" {
		return false
	}
	if name, named := root.Get("validate-with"); named {
		return slices.Contains(heartbeatNames, name)
	}
	for _, old := range []string{"have_quorum", "dc_uuid", "cib_feature_revision"} {
		if _, ok := root.Get(old); ok {
			return true
		}
	}
	config := doc.Configuration()
	if config == nil {
		return false
	}
	found := false
	config.Walk(func(_ cibdoc.Path, n *cibdoc.Node) bool {
		found = found || n.IsElement() && (n.Tag == "attributes" || n.Tag == "master_slave")
		return !found
	})
	return found
}

// FromHeartbeat is doc in the language of pacemaker-1.0; say, which may be nil,
// is told what changed its meaning. It fails with RCSchema where the result is
// not valid, naming the line of doc.
func FromHeartbeat(doc *cibdoc.Doc, say func(format string, args ...any)) (*cibdoc.Doc, error) {
	if say == nil {
		say = func(string, ...any) {}
	}
	h := &heartbeat{root: clone(doc.Root()), say: say}
	h.convert()
	out := cibdoc.New(h.root)
	if problems := Validate(out); len(problems) > 0 {
		return nil, Error(problems)
	}
	return out, nil
}

// heartbeat is a conversion at work on a copy of its own.
type heartbeat struct {
	root *cibdoc.Node
	say  func(format string, args ...any)
	ids  *idTable
}

func (h *heartbeat) convert() {
	h.ids = newIDTable(h.root)
	h.rootAttributes()
	unwrap(h.root)
	config := h.root.Child("configuration")
	if config == nil {
		return // not valid in any language
	}
	for _, section := range []string{"crm_config", "nodes", "resources", "constraints"} {
		if config.Child(section) == nil {
			config.Add(cibdoc.E(section))
		}
	}
	h.ids.repair(h.root)
	h.options(config.Child("crm_config"))
	for _, n := range ofTag(config.Child("nodes"), "node") {
		if _, ok := n.Get("type"); !ok {
			n.SetAttr("type", "member")
		}
	}
	each(config.Child("resources"), func(_, rsc *cibdoc.Node) { h.resource(rsc) }, "primitive", "group", "clone", "master_slave", "master")
	for _, c := range slices.Collect(config.Child("constraints").Elements()) {
		h.constraint(config.Child("constraints"), c)
	}
	each(config, func(_, set *cibdoc.Node) { h.set(set) }, "cluster_property_set", "instance_attributes", "meta_attributes")
	each(config, func(_, rule *cibdoc.Node) { h.rule(rule) }, "rule")
}

// rename gives an attribute another name, in its place. One that is there under
// the new name already wins.
func rename(n *cibdoc.Node, from, to string) {
	i := slices.IndexFunc(n.Attrs, func(a cibdoc.Attr) bool { return a.Name == from })
	if i < 0 {
		return
	}
	if _, taken := n.Get(to); taken {
		n.RemoveAttr(from)
		return
	}
	n.Attrs[i].Name = to
}

func (h *heartbeat) rootAttributes() {
	root := h.root
	rename(root, "have_quorum", "have-quorum")
	rename(root, "dc_uuid", "dc-uuid")
	rename(root, "remote_access_port", "remote-tls-port")
	known := of(Version{Major: 1}).root
	root.Attrs = slices.DeleteFunc(root.Attrs, func(a cibdoc.Attr) bool {
		k, ok := known.index[a.Name]
		return !ok || known.attrs[k].mask(a.Value) == 0 && a.Name != "validate-with"
	})
	for _, name := range []string{"admin_epoch", "epoch", "num_updates"} {
		if _, ok := root.Get(name); !ok {
			root.SetAttr(name, "0")
		}
	}
	root.SetAttr("validate-with", Versions[0])
}

// unwrap takes the pairs out of their `attributes` elements.
func unwrap(n *cibdoc.Node) {
	var out []*cibdoc.Node
	for _, c := range n.Children {
		unwrap(c)
		if c.IsElement() && c.Tag == "attributes" {
			out = append(out, c.Children...)
		} else {
			out = append(out, c)
		}
	}
	n.Children = out
}

func hyphens(name string) string { return strings.ReplaceAll(name, "_", "-") }

// options renames the cluster's options, and writes down what was the default
// then and is not now.
func (h *heartbeat) options(options *cibdoc.Node) {
	if loose := ofTag(options, "nvpair"); len(loose) > 0 { // the oldest releases had no sets
		for _, nv := range loose {
			drop(options, nv)
		}
		options.Add(cibdoc.E("cluster_property_set", "id", h.ids.fresh("cib-bootstrap-options")).Add(loose...))
	}
	fencing := false
	for _, set := range ofTag(options, "cluster_property_set") {
		for _, nv := range ofTag(set, "nvpair") {
			name := hyphens(nv.Attr("name"))
			if name == "transition-idle-timeout" {
				name = "cluster-delay"
			}
			fencing = fencing || name == "stonith-enabled"
			nv.SetAttr("name", name)
			if strings.HasSuffix(name, "stickiness") {
				nv.SetAttr("value", score(nv.Attr("value")))
			}
		}
	}
	if fencing {
		return
	}
	h.say("INFO: Cluster properties: adding stonith-enabled=false, which was the default; set it to true if there are fence devices")
	sets := ofTag(options, "cluster_property_set")
	i := slices.IndexFunc(sets, func(s *cibdoc.Node) bool { return !conditional(s) })
	if i < 0 {
		sets = append(sets, cibdoc.E("cluster_property_set", "id", h.ids.fresh("cib-bootstrap-options")))
		i = len(sets) - 1
		options.Add(sets[i])
	}
	sets[i].Add(cibdoc.E("nvpair", "id", h.ids.fresh(sets[i].ID()+"-stonith-enabled"), "name", "stonith-enabled", "value", "false"))
}

// score is a score as 1.0 has it: INFINITY in capitals, and a whole number.
func score(v string) string {
	v = strings.ToUpper(trim(v))
	whole, _, _ := strings.Cut(v, ".")
	if whole == "" || whole == "-" || whole == "+" {
		return "0"
	}
	return whole
}

// role is a role as 1.0 has it.
func role(v string) string {
	if v == "" {
		return v
	}
	return strings.ToUpper(v[:1]) + strings.ToLower(v[1:])
}

// metaOfResources are attributes of resources that are meta-attributes now.
var metaOfResources = []string{
	"is_managed", "restart_type", "multiple_active", "resource_stickiness",
	"ordered", "collocated", "notify", "globally_unique", "interleave",
}

// metaOfParameters are parameters that are meta-attributes now.
var metaOfParameters = []string{
	"is_managed", "resource_stickiness", "allow_migrate", "target_role", "globally_unique",
	"clone_max", "clone_node_max", "master_max", "master_node_max",
}

func (h *heartbeat) resource(rsc *cibdoc.Node) {
	if rsc.Tag == "master_slave" {
		rsc.Tag = "master"
	}
	if rsc.Tag == "primitive" {
		switch _, provided := rsc.Get("provider"); {
		case rsc.Attr("class") != "ocf":
			rsc.RemoveAttr("provider")
		case !provided:
			rsc.SetAttr("provider", "heartbeat")
		}
	}
	h.attributesToMeta(rsc)
	for _, set := range ofTag(rsc, "meta_attributes") {
		for _, nv := range ofTag(set, "nvpair") {
			metaPair(nv)
		}
	}
	for _, set := range ofTag(rsc, "instance_attributes") {
		h.parametersToMeta(rsc, set)
	}
	if operations := rsc.Child("operations"); operations != nil {
		for _, op := range ofTag(operations, "op") {
			h.operation(op)
		}
	}
}

// metaPair renames a meta-attribute.
func metaPair(nv *cibdoc.Node) {
	name := nv.Attr("name")
	if slices.Contains(metaOfResources, name) || slices.Contains(metaOfParameters, name) {
		name = hyphens(name)
		nv.SetAttr("name", name)
	}
	if name == "resource-stickiness" {
		nv.SetAttr("value", score(nv.Attr("value")))
	}
}

// attributesToMeta makes meta-attributes of a resource's attributes.
func (h *heartbeat) attributesToMeta(rsc *cibdoc.Node) {
	var pairs []*cibdoc.Node
	block := unconditional(rsc)
	id := rsc.ID() + "-meta"
	if block != nil {
		id = block.ID()
	}
	for _, old := range metaOfResources {
		value, ok := rsc.Get(old)
		if !ok {
			continue
		}
		rsc.RemoveAttr(old)
		if value == "default" || defines(rsc, old) || defines(rsc, hyphens(old)) {
			continue
		}
		pairs = append(pairs, cibdoc.E("nvpair", "id", h.ids.fresh(id+"-"+hyphens(old)), "name", hyphens(old), "value", value))
	}
	if len(pairs) == 0 {
		return
	}
	if block == nil {
		block = cibdoc.E("meta_attributes", "id", h.ids.fresh(id))
		rsc.Insert(0, block)
	}
	block.Add(pairs...)
	for _, nv := range pairs {
		metaPair(nv)
	}
}

// parametersToMeta moves what is a meta-attribute out of a set of parameters,
// into a block beside it that depends on the same rules. A clone has no
// parameters: all of them move.
func (h *heartbeat) parametersToMeta(rsc, set *cibdoc.Node) {
	whole := rsc.Tag == "clone" || rsc.Tag == "master"
	if whole {
		set.Tag = "meta_attributes"
		for _, nv := range ofTag(set, "nvpair") {
			metaPair(nv)
		}
		return
	}
	var moved []*cibdoc.Node
	for _, nv := range ofTag(set, "nvpair") {
		if slices.Contains(metaOfParameters, nv.Attr("name")) {
			drop(set, nv)
			metaPair(nv)
			moved = append(moved, nv)
		}
	}
	if len(moved) == 0 {
		return
	}
	block := set.Bare()
	block.Tag = "meta_attributes"
	block.SetAttr("id", h.ids.fresh(set.ID()+"-meta"))
	for _, rule := range ofTag(set, "rule") {
		copied := clone(rule)
		h.ids.renew(copied)
		block.Add(copied)
	}
	block.Add(moved...)
	rsc.Insert(slices.Index(rsc.Children, set), block)
	dropIfEmpty(rsc, set)
}

func (h *heartbeat) operation(op *cibdoc.Node) {
	rename(op, "prereq", "requires")
	rename(op, "on_fail", "on-fail")
	rename(op, "start_delay", "start-delay")
	rename(op, "interval_origin", "interval-origin")
	rename(op, "record_pending", "record-pending")
	if disabled, ok := op.Get("disabled"); ok {
		rename(op, "disabled", "enabled")
		enabled := "true"
		if isTrue(disabled) {
			enabled = "false"
		}
		if op.Attr("enabled") == disabled { // it was not there before
			op.SetAttr("enabled", enabled)
		}
	}
	if _, both := op.Get("start-delay"); both {
		op.RemoveAttr("interval-origin")
	}
	if r, ok := op.Get("role"); ok {
		op.SetAttr("role", role(r))
	}
	if _, ok := op.Get("interval"); !ok {
		op.SetAttr("interval", "0")
	}
}

func isTrue(v string) bool {
	return slices.Contains([]string{"true", "yes", "on", "1", "y"}, strings.ToLower(trim(v)))
}

func (h *heartbeat) constraint(section, c *cibdoc.Node) {
	if v, ok := c.Get("score"); ok {
		c.SetAttr("score", score(v))
	}
	switch c.Tag {
	case "rsc_order":
		order(c)
	case "rsc_colocation":
		rename(c, "from", "rsc")
		rename(c, "to", "with-rsc")
		rename(c, "from_role", "rsc-role")
		rename(c, "to_role", "with-rsc-role")
		rename(c, "node_attribute", "node-attribute")
		c.RemoveAttr("symmetrical")
		for _, a := range []string{"rsc-role", "with-rsc-role"} {
			if v, ok := c.Get(a); ok {
				c.SetAttr(a, role(v))
			}
		}
	case "rsc_location":
		_, node := c.Get("node")
		if len(ofTag(c, "rule")) == 0 && !node {
			h.say("INFO: Constraints-location: %s: dropping it: without a rule it was never in effect", c.ID())
			drop(section, c)
		}
	}
}

// order turns "from after to" into "first, then".
func order(c *cibdoc.Node) {
	if _, ok := c.Get("from"); !ok {
		return
	}
	kind := c.Attr("type")
	c.RemoveAttr("type")
	action, hasAction := c.Get("action")
	toAction, hasToAction := c.Get("to_action")
	c.RemoveAttr("action")
	c.RemoveAttr("to_action")
	if kind == "before" {
		rename(c, "from", "first")
		rename(c, "to", "then")
		if !hasAction && hasToAction {
			action, hasAction = "start", true // the default of then-action is first-action now
		}
		setIf(c, "first-action", action, hasAction)
		setIf(c, "then-action", toAction, hasToAction)
		return
	}
	rename(c, "to", "first")
	rename(c, "from", "then")
	switch {
	case hasToAction && !hasAction:
		action, hasAction = "start", true
	case hasAction && !hasToAction:
		toAction, hasToAction = action, true
	}
	setIf(c, "first-action", toAction, hasToAction)
	setIf(c, "then-action", action, hasAction)
}

func setIf(n *cibdoc.Node, name, value string, there bool) {
	if there {
		n.SetAttr(name, value)
	}
}

// set makes one rule of several: one of them is enough.
func (h *heartbeat) set(set *cibdoc.Node) {
	if v, ok := set.Get("score"); ok {
		set.SetAttr("score", score(v))
	}
	rules := ofTag(set, "rule")
	if len(rules) < 2 {
		return
	}
	all := cibdoc.E("rule", "id", h.ids.fresh(set.ID()+"-rules"), "boolean-op", "or", "score", "0")
	i := slices.Index(set.Children, rules[0])
	for _, r := range rules {
		drop(set, r)
	}
	all.Add(rules...)
	set.Insert(i, all)
}

func (h *heartbeat) rule(rule *cibdoc.Node) {
	rename(rule, "boolean_op", "boolean-op")
	rename(rule, "score_attribute", "score-attribute")
	if v, ok := rule.Get("role"); ok {
		rule.SetAttr("role", role(v))
	}
	_, byAttribute := rule.Get("score-attribute")
	switch v, ok := rule.Get("score"); {
	case byAttribute:
		rule.RemoveAttr("score")
	case ok:
		rule.SetAttr("score", score(v))
	default:
		rule.SetAttr("score", "0")
	}
	for _, d := range ofTag(rule, "date_expression") {
		h.date(d)
	}
	if len(slices.Collect(rule.Elements())) == 0 {
		rule.Add(cibdoc.E("expression", "id", h.ids.fresh(rule.ID()+"-expr"), "attribute", "#uname", "operation", "defined"))
	}
}

// date gives a date expression the shape of one of the operations of 1.0.
func (h *heartbeat) date(d *cibdoc.Node) {
	if _, ok := d.Get("operation"); !ok {
		d.SetAttr("operation", "in_range")
	}
	_, start := d.Get("start")
	_, end := d.Get("end")
	duration := d.Child("duration")
	if d.Attr("operation") == "in_range" && start && !end && duration == nil {
		d.SetAttr("operation", "gt")
	}
	if duration != nil && end {
		drop(d, duration)
	}
	for part := range d.Elements() {
		rename(part, "yeardays", "yearsdays")
	}
}
