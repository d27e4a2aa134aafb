package graph

import (
	"encoding/xml"
	"slices"
	"strconv"
	"strings"

	"linuxha/pengine/action"
	"linuxha/pengine/state"
)

// Params is what an action's agent and executor are told (actions 16.5).
func Params(c *state.Cluster, a *state.Action) state.Attrs {
	p := state.Attrs{"crm_feature_set": state.FeatureSet}
	for k, v := range a.Extra {
		p.PutNew(k, v)
	}
	r := a.Rsc
	if r != nil && (a.Node != nil || r.Kind == state.Primitive) {
		instanceParams(c, p, r, a.Node)
	}
	if hasNodeInfo(a) {
		p["CRM_meta_on_node"] = a.Node.Name
		p["CRM_meta_on_node_uuid"] = a.Node.ID
	}
	putMeta(p, a.Meta)
	if r != nil {
		for x := r; x != nil; x = x.Parent {
			ancestor(p, x)
		}
		bundleExtras(p, a)
	} else if a.Task == "stonith" && a.Node != nil {
		putMeta(p, a.Node.Attrs)
	}
	return p
}

func instanceParams(c *state.Cluster, p state.Attrs, r *state.Resource, n *state.Node) {
	params := c.Params(r, n)
	if addr, ok := c.ConnectionAddr(r, params); ok && addr != "" {
		p.PutNew("addr", addr)
	}
	for k, v := range params {
		p.PutNew(k, v)
	}
}

// putMeta adds names the way meta-attributes are passed on.
func putMeta(p, meta state.Attrs) {
	for k, v := range meta {
		if strings.ContainsAny(k, "#:") {
			continue
		}
		name := "CRM_meta_" + strings.ReplaceAll(k, "-", "_")
		if _, ok := p[name]; !ok {
			p[name] = v
		}
	}
}

// ancestor adds what a resource and each of its ancestors contribute.
func ancestor(p state.Attrs, r *state.Resource) {
	switch r.Kind {
	case state.Primitive:
		if v, ok := r.Meta["clone"]; ok {
			p["CRM_meta_clone"] = v
		}
		if v, ok := r.Meta["remote-node"]; ok {
			p["CRM_meta_remote_node"] = v
		}
		for x := r; x != nil; x = x.Parent {
			if x.Container != nil {
				p["CRM_meta_container"] = x.Container.ID
			}
		}
		if v, ok := r.Meta["external-ip"]; ok {
			p["pcmk_external_ip"] = v
		}
	case state.Clone:
		p["CRM_meta_globally_unique"] = strconv.FormatBool(r.Unique)
		p["CRM_meta_notify"] = strconv.FormatBool(r.Notify)
		p["CRM_meta_clone_max"] = strconv.Itoa(r.Clone.Max)
		p["CRM_meta_clone_node_max"] = strconv.Itoa(r.Clone.NodeMax)
		if r.Promotable {
			p["CRM_meta_promoted_max"] = strconv.Itoa(r.Clone.PromotedMax)
			p["CRM_meta_promoted_node_max"] = strconv.Itoa(r.Clone.PromotedNodeMax)
			p["CRM_meta_master_max"] = strconv.Itoa(r.Clone.PromotedMax)
			p["CRM_meta_master_node_max"] = strconv.Itoa(r.Clone.PromotedNodeMax)
		}
	}
}

// bundleExtras tells agents on guest nodes where they really run
// (actions 11.5).
func bundleExtras(p state.Attrs, a *state.Action) {
	if !a.Node.IsGuest() {
		return
	}
	k := a.Node.Conn.Container
	task := a.Task
	if task == "notify" || task == "notified" {
		task = action.NotifiedOperation(a.Key)
	}
	var host *state.Node
	switch task {
	case "stop", "stopped", "demote", "demoted":
		host = k.CurrentNode()
	case "start", "running", "monitor", "promote", "promoted":
		if k.Assigned != nil {
			host = k.Assigned.Node
		}
	}
	if host == nil {
		return
	}
	if v, ok := a.Rsc.Meta["container-attribute-target"]; ok {
		p["CRM_meta_container_attribute_target"] = v
	}
	p["CRM_meta_physical_host"] = host.Name
}

func (w *writer) attributesElement(p state.Attrs) {
	b := &w.b
	names := make([]string, 0, len(p))
	for k := range p {
		names = append(names, k)
	}
	slices.Sort(names)
	b.WriteString("        <attributes")
	var others []string
	for _, k := range names {
		if !isAttributeName(k) {
			others = append(others, k)
			continue
		}
		attr(b, k, p[k])
	}
	if len(others) == 0 {
		b.WriteString("/>\n")
		return
	}
	b.WriteString(">\n")
	for _, k := range others {
		b.WriteString("          <param")
		attr(b, "name", k)
		attr(b, "value", p[k])
		b.WriteString("/>\n")
	}
	b.WriteString("        </attributes>\n")
}

// isAttributeName says whether a parameter's name can be an attribute's. The
// schema admits any text as a name. The reference writes names that begin with
// a digit as elements (actions 16.5) and all others as attributes, so that one
// with a space makes its graph unreadable and stalls the cluster.
func isAttributeName(s string) bool {
	parts := strings.SplitN(s, ":", 2)
	for _, part := range parts {
		if part == "" {
			return false
		}
		for i := range len(part) {
			c := part[i]
			switch {
			case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_':
			case i > 0 && (c >= '0' && c <= '9' || c == '-' || c == '.'):
			case c >= 0x80:
				return isUnicodeName(s)
			default:
				return false
			}
		}
	}
	return true
}

func isUnicodeName(s string) bool {
	if strings.ContainsAny(s, " \t\r\n/<>=\"'&!?") {
		return false
	}
	t, err := xml.NewDecoder(strings.NewReader("<a " + s + "=''/>")).RawToken()
	start, ok := t.(xml.StartElement)
	return err == nil && ok && len(start.Attr) == 1
}
