package schema

import (
	"slices"
	"strings"

	"linuxha/cib/cibdoc"
)

// to3 rewrites what 3.0 removed (cib 9.4). What it says is in the reference's
// words, and so are the odd corners of what it does: two clusters that upgrade
// the same document must come to the same one.
func to3(t *transformation) {
	for _, section := range slices.Clone(t.config.Children) {
		switch section.Tag {
		case "crm_config":
			t.optionsTo3(section)
		case "nodes":
			for _, n := range ofTag(section, "node") {
				if n.Attr("type") == "normal" {
					t.say("DEBUG: Cluster node: %s (id=%s): keeping type as type, redefined as member, for matching normal", n.Attr("uname"), n.ID())
					n.SetAttr("type", "member")
				}
			}
		case "resources":
			each(section, func(_, rsc *cibdoc.Node) { t.resourceTo3(rsc) }, "primitive", "template")
		case "constraints":
			for _, c := range ofTag(section, "rsc_colocation") {
				t.colocationTo3(c)
			}
		}
	}
}

func (t *transformation) colocationTo3(c *cibdoc.Node) {
	for _, name := range []string{"score-attribute", "score-attribute-mangle"} {
		if _, ok := c.Get(name); ok {
			t.say("INFO: Constraints-colocation: %s: dropping %s", c.ID(), name)
			t.say("INFO: Constraints-colocation: ... was actually never in effect")
			c.RemoveAttr(name)
		}
	}
}

// renamed options besides those that only change underscores to hyphens.
var renamedOptions = map[string]string{
	"no_quorum_policy": "no-quorum-policy", "dc_deadtime": "dc-deadtime", "cluster_recheck_interval": "cluster-recheck-interval",
	"election_timeout": "election-timeout", "remove_after_stop": "remove-after-stop", "shutdown_escalation": "shutdown-escalation",
	"startup_fencing": "startup-fencing", "stonith_action": "stonith-action", "stonith_enabled": "stonith-enabled",
	"stop_orphan_actions": "stop-orphan-actions", "stop_orphan_resources": "stop-orphan-resources",
	"symmetric_cluster": "symmetric-cluster", "transition_idle_timeout": "cluster-delay",
}

// movedOptions are defaults of operations or resources now.
var movedOptions = map[string]struct{ section, name string }{
	"default-action-timeout": {"op_defaults", "timeout"}, "default_action_timeout": {"op_defaults", "timeout"},
	"default-resource-stickiness": {"rsc_defaults", "resource-stickiness"}, "default_resource_stickiness": {"rsc_defaults", "resource-stickiness"},
	"is-managed-default": {"rsc_defaults", "is-managed"}, "is_managed_default": {"rsc_defaults", "is-managed"},
}

const migrationInstead = "migration-threshold in rsc_defaults can be configured instead"

// droppedOptions, with the reason.
var droppedOptions = map[string]string{
	"default-migration-threshold":         migrationInstead,
	"default_migration_threshold":         migrationInstead,
	"default-resource-failure-stickiness": migrationInstead,
	"default_resource_failure_stickiness": migrationInstead,
	"expected-quorum-votes":               "corosync (2+) infrastructure tracks quorum on its own",
	"notification-agent":                  "standalone alerts can be configured instead",
	"notification-recipient":              "standalone alerts can be configured instead",
}

var removedInfrastructures = []string{"heartbeat", "openais", "classic openais", "classic openais (with plugin)", "cman"}

// optionsTo3 renames, moves and drops cluster options.
func (t *transformation) optionsTo3(options *cibdoc.Node) {
	var moved []movedOption
	for _, set := range ofTag(options, "cluster_property_set") {
		for _, nv := range ofTag(set, "nvpair") {
			moved = append(moved, t.optionTo3(set, nv)...)
		}
		dropIfEmpty(options, set)
	}
	for _, section := range []string{"op_defaults", "rsc_defaults"} {
		t.defaultsTo3(section, moved)
	}
}

type movedOption struct {
	section string
	nvpair  *cibdoc.Node
}

func (t *transformation) optionTo3(set, nv *cibdoc.Node) []movedOption {
	name, value := nv.Attr("name"), nv.Attr("value")
	if to := renamedOptions[name]; to != "" {
		t.say("DEBUG: Cluster properties: %s: renaming %s as %s", nv.ID(), name, to)
		nv.SetAttr("name", to)
		return nil
	}
	move := func(section, to, more string) []movedOption {
		t.say("DEBUG: Cluster properties: %s: moving %s under %s as %s unless already defined there%s", nv.ID(), name, section, to, more)
		drop(set, nv)
		nv.SetAttr("name", to)
		if conditional(set) {
			t.say("WARNING: Cluster properties: ... it depends on a rule, and is lost: set it in %s", section)
			return nil
		}
		return []movedOption{{section, nv}}
	}
	if to, ok := movedOptions[name]; ok {
		return move(to.section, to.name, "")
	}
	if strings.ReplaceAll(name, "_", "-") == "default-resource-failure-stickiness" && value == "-INFINITY" {
		nv.SetAttr("value", "1")
		return move("rsc_defaults", "migration-threshold", ", redefined as 1, for matching -INFINITY")
	}
	if why := droppedOptions[name]; why != "" {
		t.say("INFO: Cluster properties: %s: dropping %s", nv.ID(), name)
		t.say("INFO: Cluster properties: ... %s", why)
		drop(set, nv)
	}
	if name == "cluster-infrastructure" && slices.Contains(removedInfrastructures, value) {
		t.say("INFO: Cluster properties: %s: dropping %s for matching %s", nv.ID(), name, strings.Join(removedInfrastructures, "|"))
		t.say("INFO: Cluster properties: ... corosync (2+) infrastructure can be used instead, though the value is not of significance")
		drop(set, nv)
	}
	return nil
}

// defaultsTo3 puts the options moved there into a section, unless they are
// defined there: into its first block without a rule, or into a new one.
func (t *transformation) defaultsTo3(section string, all []movedOption) {
	var moved []*cibdoc.Node
	defaults := t.config.Child(section)
	for _, m := range all {
		if m.section == section && (defaults == nil || !defines(defaults, m.nvpair.Attr("name"))) {
			moved = append(moved, m.nvpair)
		}
	}
	if len(moved) == 0 {
		return
	}
	if defaults == nil {
		defaults = cibdoc.E(section)
		t.config.Add(defaults)
	}
	block := unconditional(defaults)
	if block == nil {
		block = cibdoc.E("meta_attributes", "id", "_2TO3_-"+strings.ReplaceAll(section, "_", "-"))
		defaults.Add(block)
	}
	block.Add(moved...)
}

// conditional reports whether a set depends on a rule.
func conditional(set *cibdoc.Node) bool { return set.ChildIndex("rule") >= 0 }

// unconditional is the first block of meta-attributes without a rule, nil if
// there is none.
func unconditional(owner *cibdoc.Node) *cibdoc.Node {
	for _, m := range ofTag(owner, "meta_attributes") {
		if _, ref := m.Get("id-ref"); !conditional(m) && !ref {
			return m
		}
	}
	return nil
}

// defines reports whether a meta-attribute is set in one of the owner's blocks
// that depend on no rule.
func defines(owner *cibdoc.Node, name string) bool {
	for _, m := range ofTag(owner, "meta_attributes") {
		if !conditional(m) && slices.ContainsFunc(ofTag(m, "nvpair"), func(nv *cibdoc.Node) bool { return nv.Attr("name") == name }) {
			return true
		}
	}
	return false
}

// dropIfEmpty drops a set in which nothing but a rule is left.
func dropIfEmpty(parent, set *cibdoc.Node) {
	for _, c := range set.Children {
		if c.Tag != "rule" {
			return
		}
	}
	drop(parent, set)
}

func (t *transformation) resourceTo3(rsc *cibdoc.Node) {
	var operations []*cibdoc.Node
	for _, c := range slices.Clone(rsc.Children) {
		switch c.Tag {
		case "instance_attributes":
			t.parametersTo3(c)
			dropIfEmpty(rsc, c)
		case "meta_attributes":
			t.metaTo3(rsc, c)
			dropIfEmpty(rsc, c)
		case "operations":
			operations = append(operations, ofTag(c, "op")...)
			for _, op := range ofTag(c, "op") {
				t.operationTo3(rsc, op)
			}
		}
	}
	t.requiresTo3(rsc, operations)
}

// renamedParameters are parameters of fence devices.
var renamedParameters = map[string]string{
	"pcmk_list_cmd": "pcmk_list_action", "pcmk_monitor_cmd": "pcmk_monitor_action", "pcmk_status_cmd": "pcmk_status_action",
	"pcmk_off_cmd": "pcmk_off_action", "pcmk_on_cmd": "pcmk_on_action", "pcmk_reboot_cmd": "pcmk_reboot_action",
}

// labelled is the id of a pair with a colon, "" if it has none.
func labelled(nv *cibdoc.Node) string {
	if id, ok := nv.Get("id"); ok {
		return id + ": "
	}
	return ""
}

func (t *transformation) parametersTo3(params *cibdoc.Node) {
	for _, nv := range ofTag(params, "nvpair") {
		name := nv.Attr("name")
		if to := renamedParameters[name]; to != "" {
			t.say("DEBUG: Resource instance_attributes: %srenaming %s as %s", labelled(nv), name, to)
			nv.SetAttr("name", to)
		}
		if name != "pcmk_arg_map" {
			continue
		}
		if to, ok := strings.CutPrefix(nv.Attr("value"), "port:"); ok && !strings.Contains(to, ",") {
			t.say("DEBUG: Resource instance_attributes: %srenaming %s as pcmk_host_argument for matching port: prefix that will, meanwhile, get dropped", labelled(nv), name)
			nv.SetAttr("name", "pcmk_host_argument")
			nv.SetAttr("value", to)
		} else {
			t.say("DEBUG: Resource instance_attributes: %sdropping %s", labelled(nv), name)
			drop(params, nv)
		}
	}
}

// metaTo3 rewrites a resource's meta-attributes. The reference forgets a pair
// to be renamed that is not the first of its set, which would start a resource
// outside of the container it was to run in; cib 9.4 says what is meant.
func (t *transformation) metaTo3(rsc, meta *cibdoc.Node) {
	// The first pair of a name counts.
	before := func(this *cibdoc.Node, name string) *cibdoc.Node {
		for _, nv := range ofTag(meta, "nvpair") {
			if nv == this {
				break
			}
			if nv.Attr("name") == name {
				return nv
			}
		}
		return nil
	}
	for _, nv := range ofTag(meta, "nvpair") {
		switch name := nv.Attr("name"); name {
		case "isolation", "isolation-host", "isolation-instance", "isolation-wrapper":
			t.say("WARNING: Resource meta_attributes: %s (meta=%s): renaming %s as target-role, redefined as Stopped", rsc.ID(), meta.ID(), name)
			t.say("WARNING: Resource meta_attributes: ... i.e. resource at hand disabled; isolation wrappers obsoleted with bundle resources")
			if role := before(nv, "target-role"); role != nil {
				drop(meta, nv)
				nv = role
			}
			nv.SetAttr("name", "target-role")
			if _, ref := nv.Get("id-ref"); !ref {
				nv.SetAttr("value", "Stopped")
			}
		case "resource-failure-stickiness", "resource_failure_stickiness":
			if nv.Attr("value") != "-INFINITY" {
				t.say("INFO: Resource meta_attributes: %s (meta=%s): dropping %s", rsc.ID(), meta.ID(), name)
				t.say("INFO: Resource meta_attributes: ... migration-threshold can be configured instead")
				drop(meta, nv)
				continue
			}
			t.say("DEBUG: Resource meta_attributes: %s (meta=%s): renaming %s as migration-threshold, redefined as 1, for matching -INFINITY", rsc.ID(), meta.ID(), name)
			if before(nv, "migration-threshold") != nil {
				drop(meta, nv)
				continue
			}
			nv.SetAttr("name", "migration-threshold")
			nv.SetAttr("value", "1")
		}
	}
}

// operationMeta are meta-attributes of an operation that older documents give
// as instance attributes.
var operationMeta = []string{"interval-origin", "start-delay", "enabled", "on-fail", "record-pending", "role", "timeout"}

// counts reports whether the requirement of an operation counts for the
// resource.
func counts(op *cibdoc.Node) bool { return op.Attr("name") == "start" || op.Attr("name") == "promote" }

// taken is what was taken out of a set, to go into a block of meta-attributes.
type taken struct {
	set   *cibdoc.Node
	pairs []*cibdoc.Node
}

// overridden drops the pairs that a later set defines under no condition, and
// what is empty then.
func overridden(all []taken) []taken {
	var out []taken
	for i, t := range all {
		t.pairs = slices.DeleteFunc(slices.Clone(t.pairs), func(nv *cibdoc.Node) bool {
			return slices.ContainsFunc(all[i+1:], func(later taken) bool {
				return !conditional(later.set) && slices.ContainsFunc(later.pairs, func(o *cibdoc.Node) bool { return o.Attr("name") == nv.Attr("name") })
			})
		})
		if len(t.pairs) > 0 {
			out = append(out, t)
		}
	}
	return out
}

// block is a block of meta-attributes that depends on what the set depends on.
func (t taken) block() *cibdoc.Node {
	block := t.set.Bare()
	block.Tag = "meta_attributes"
	block.RemoveAttr("id")
	block.SetAttr("id", "_2TO3_"+t.set.ID())
	for _, rule := range ofTag(t.set, "rule") {
		copied := clone(rule)
		if t.set.ChildIndex("nvpair") >= 0 { // the set keeps its rule, and ids are unique
			copied.Walk(func(_ cibdoc.Path, n *cibdoc.Node) bool {
				if id, ok := n.Get("id"); ok {
					n.SetAttr("id", "_2TO3_"+id)
				}
				return true
			})
		}
		block.Add(copied)
	}
	return block.Add(t.pairs...)
}

// operationTo3 moves what is a meta-attribute of the operation to where these
// belong.
func (t *transformation) operationTo3(rsc, op *cibdoc.Node) {
	sets := ofTag(op, "instance_attributes")
	moved := make([]taken, len(sets))
	told := slices.Clone(sets) // those under no condition first
	slices.SortStableFunc(told, func(a, b *cibdoc.Node) int { return order01(conditional(a)) - order01(conditional(b)) })
	for _, set := range told {
		var mine []*cibdoc.Node
		for _, nv := range ofTag(set, "nvpair") {
			name := nv.Attr("name")
			switch {
			case name == "requires" && counts(op):
				t.say("DEBUG: Resources-operation instance_attributes: %s (rsc=%s, meta=%s): moving requires under per-resource-meta_attributes as requires unless already defined there for matching start|promote", op.ID(), rsc.ID(), set.ID())
			case name == "requires":
				t.say("INFO: Resources-operation instance_attributes: %s (rsc=%s, meta=%s): dropping requires", op.ID(), rsc.ID(), set.ID())
				t.say("INFO: Resources-operation instance_attributes: ... only start/promote operation taken into account")
				drop(set, nv)
			case slices.Contains(operationMeta, name):
				t.say("DEBUG: Resources-operation instance_attributes: %s (rsc=%s, meta=%s): moving %s under meta_attributes as %s unless already defined there", op.ID(), rsc.ID(), set.ID(), name, name)
				drop(set, nv)
				mine = append(mine, nv)
			}
		}
		moved[slices.Index(sets, set)] = taken{set, mine}
	}
	var always []*cibdoc.Node
	var blocks []*cibdoc.Node
	for _, m := range overridden(moved) {
		if conditional(m.set) {
			blocks = append(blocks, m.block())
		} else {
			always = append(always, m.pairs...)
		}
	}
	if always != nil {
		block := unconditional(op)
		if block == nil {
			block = cibdoc.E("meta_attributes", "id", "_2TO3_"+op.ID()+"-meta")
			op.Add(block)
		}
		block.Add(always...)
	}
	op.Add(blocks...)
}

func order01(b bool) int {
	if b {
		return 1
	}
	return 0
}

// requiresTo3 makes of what operations require meta-attributes of the resource,
// unless it has one: of start and promote operations, where the last counts, an
// attribute wins over meta-attributes and these over parameters.
func (t *transformation) requiresTo3(rsc *cibdoc.Node, operations []*cibdoc.Node) {
	var parameters, metas, attribute []taken
	for _, op := range operations {
		for _, set := range ofTag(op, "instance_attributes") {
			parameters = append(parameters, t.requiredBy(rsc, op, set)...)
		}
	}
	for _, op := range operations {
		for _, set := range ofTag(op, "meta_attributes") {
			metas = append(metas, t.requiredBy(rsc, op, set)...)
		}
	}
	for _, op := range operations {
		value, ok := op.Get("requires")
		if !ok {
			continue
		}
		op.RemoveAttr("requires")
		if !counts(op) {
			t.say("INFO: Resources-operation: %s (rsc=%s): dropping requires", op.ID(), rsc.ID())
			t.say("INFO: Resources-operation: ... only start/promote operation taken into account")
			continue
		}
		t.say("DEBUG: Resources-operation: %s (rsc=%s): moving requires under meta_attributes as requires unless already defined there for matching start|promote", op.ID(), rsc.ID())
		attribute = []taken{{
			cibdoc.E("meta_attributes", "id", rsc.ID()+"-meta"),
			[]*cibdoc.Node{cibdoc.E("nvpair", "id", "_2TO3_"+op.ID()+"-meta-requires", "name", "requires", "value", value)},
		}}
	}
	all := overridden(slices.Concat(parameters, metas, attribute))
	var blocks []*cibdoc.Node
	for _, tag := range []string{"meta_attributes", "instance_attributes"} {
		for _, r := range all {
			if r.set.Tag == tag {
				blocks = append(blocks, r.block())
			}
		}
	}
	for _, op := range operations {
		for _, set := range slices.Concat(ofTag(op, "instance_attributes"), ofTag(op, "meta_attributes")) {
			dropIfEmpty(op, set)
		}
	}
	if !defines(rsc, "requires") {
		rsc.Add(blocks...)
	}
}

// requiredBy takes what a set of an operation requires out of it; nothing is
// left of it where the operation does not count.
func (t *transformation) requiredBy(rsc, op, set *cibdoc.Node) []taken {
	var pairs []*cibdoc.Node
	for _, nv := range ofTag(set, "nvpair") {
		if nv.Attr("name") != "requires" {
			continue
		}
		drop(set, nv)
		pairs = append(pairs, nv)
		switch {
		case set.Tag == "instance_attributes": // it was told with the others
		case counts(op):
			t.say("DEBUG: Resources-operation: %s (rsc=%s, meta=%s): moving requires under meta_attributes as requires unless already defined there for matching start|promote", op.ID(), rsc.ID(), set.ID())
		default:
			t.say("INFO: Resources-operation: %s (rsc=%s, meta=%s): dropping requires", op.ID(), rsc.ID(), set.ID())
			t.say("INFO: Resources-operation: ... only start/promote operation taken into account")
		}
	}
	if pairs == nil || !counts(op) {
		return nil
	}
	return []taken{{set, pairs}}
}
