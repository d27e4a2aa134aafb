package state

import (
	"strings"

	"linuxha/pengine/internal/xmldoc"
)

// Upgrade brings a document of a schema older than pacemaker-3.0 to what the
// scheduler reads (state 2.4); newer ones stay as they are. It changes root.
func Upgrade(root *xmldoc.Elem) {
	if !oldSchema(root.Attr("validate-with")) {
		return
	}
	conf := root.Child("configuration")
	if conf == nil {
		return
	}
	for set := range conf.Child("crm_config").Children("cluster_property_set") {
		upgradeProperties(conf, set)
	}
	for n := range conf.Child("nodes").Children("node") {
		if n.Attr("type") == "normal" {
			n.Set("type", "member")
		}
	}
	if res := conf.Child("resources"); res != nil {
		res.Walk(func(e *xmldoc.Elem) bool {
			upgradeResource(e)
			return true
		})
	}
	for c := range conf.Child("constraints").Children("rsc_colocation") {
		c.Unset("score-attribute")
		c.Unset("score-attribute-mangle")
	}
	root.Set("validate-with", "pacemaker-3.9")
}

func oldSchema(name string) bool {
	return strings.HasPrefix(name, "pacemaker-1.") || strings.HasPrefix(name, "pacemaker-2.") || name == "pacemaker-0.6" || name == "transitional-0.6"
}

var hyphenated = map[string]bool{
	"cluster-recheck-interval": true, "dc-deadtime": true, "election-timeout": true, "no-quorum-policy": true, "remove-after-stop": true,
	"shutdown-escalation": true, "startup-fencing": true, "stonith-action": true, "stonith-enabled": true, "stop-orphan-actions": true,
	"stop-orphan-resources": true, "symmetric-cluster": true,
}

// upgradeProperties renames cluster options and moves defaults to their own
// sections, where what is already set stays.
func upgradeProperties(conf, set *xmldoc.Elem) {
	for _, nv := range append([]*xmldoc.Elem(nil), set.Kids...) {
		name, val := nv.Attr("name"), nv.Attr("value")
		plain := strings.ReplaceAll(name, "_", "-")
		move := func(section, as, v string) {
			set.Remove(nv)
			addDefault(conf, section, nv.ID(), as, v)
		}
		switch {
		case name == "transition_idle_timeout":
			nv.Set("name", "cluster-delay")
		case hyphenated[plain]:
			nv.Set("name", plain)
		case plain == "default-action-timeout":
			move("op_defaults", "timeout", val)
		case plain == "default-resource-stickiness":
			move("rsc_defaults", "resource-stickiness", val)
		case plain == "is-managed-default":
			move("rsc_defaults", "is-managed", val)
		case plain == "default-resource-failure-stickiness":
			if val == "-INFINITY" {
				move("rsc_defaults", "migration-threshold", "1")
			} else {
				set.Remove(nv)
			}
		case plain == "expected-quorum-votes", plain == "notification-agent", plain == "notification-recipient", plain == "default-migration-threshold":
			set.Remove(nv)
		}
	}
}

func addDefault(conf *xmldoc.Elem, section, id, name, val string) {
	s := conf.Child(section)
	if s == nil {
		s = conf.Add(section)
	}
	var last *xmldoc.Elem
	for m := range s.Children("meta_attributes") {
		for nv := range m.Children("nvpair") {
			if nv.Attr("name") == name {
				return
			}
		}
		last = m
	}
	if last == nil {
		last = s.Add("meta_attributes", "id", "_2TO3_"+section)
	}
	last.Add("nvpair", "id", id, "name", name, "value", val)
}

func upgradeResource(e *xmldoc.Elem) {
	switch e.Name {
	case "instance_attributes":
		if e.Parent.Name != "op" {
			upgradeParams(e)
		}
	case "meta_attributes":
		for _, nv := range append([]*xmldoc.Elem(nil), e.Kids...) {
			switch name := nv.Attr("name"); {
			case strings.HasPrefix(name, "isolation"):
				nv.Set("name", "target-role")
				nv.Set("value", "Stopped")
			case name == "resource-failure-stickiness" && nv.Attr("value") == "-INFINITY":
				nv.Set("name", "migration-threshold")
				nv.Set("value", "1")
			case name == "resource-failure-stickiness":
				e.Remove(nv)
			}
		}
	case "op":
		upgradeOp(e)
	}
}

func upgradeParams(set *xmldoc.Elem) {
	for _, nv := range append([]*xmldoc.Elem(nil), set.Kids...) {
		name := nv.Attr("name")
		switch name {
		case "pcmk_list_cmd", "pcmk_monitor_cmd", "pcmk_off_cmd", "pcmk_on_cmd", "pcmk_reboot_cmd", "pcmk_status_cmd":
			nv.Set("name", strings.TrimSuffix(name, "_cmd")+"_action")
		case "pcmk_arg_map":
			if v, ok := strings.CutPrefix(nv.Attr("value"), "port:"); ok {
				nv.Set("name", "pcmk_host_argument")
				nv.Set("value", v)
			} else {
				set.Remove(nv)
			}
		}
	}
}

// upgradeOp moves what an operation required to its resource, and settings
// given as parameters to its meta-attributes.
func upgradeOp(op *xmldoc.Elem) {
	requires, has := op.Get("requires")
	op.Unset("requires")
	for set := range op.Children("instance_attributes") {
		for _, nv := range append([]*xmldoc.Elem(nil), set.Kids...) {
			switch nv.Attr("name") {
			case "requires":
				set.Remove(nv)
				requires, has = nv.Attr("value"), true
			case "interval-origin", "start-delay", "enabled", "on-fail", "record-pending", "role", "timeout":
				set.Remove(nv)
				metaSet(op, "_2TO3_"+op.ID()+"-meta").Append(nv)
			}
		}
	}
	name := op.Attr("name")
	if !has || name != "start" && name != "promote" || op.Parent == nil || op.Parent.Parent == nil {
		return
	}
	rsc := op.Parent.Parent
	for m := range rsc.Children("meta_attributes") {
		for nv := range m.Children("nvpair") {
			if nv.Attr("name") == "requires" {
				return
			}
		}
	}
	metaSet(rsc, "_2TO3_"+rsc.ID()+"-meta").Add("nvpair", "id", "_2TO3_"+op.ID()+"-meta-requires", "name", "requires", "value", requires)
}

func metaSet(e *xmldoc.Elem, id string) *xmldoc.Elem {
	for m := range e.Children("meta_attributes") {
		if m.ID() == id {
			return m
		}
	}
	return e.Add("meta_attributes", "id", id)
}
