package server

import (
	"encoding/xml"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/beevik/etree"

	"linuxha/stonithd/device"
	"linuxha/stonithd/request"
	"linuxha/stonithd/topology"
)

// configuration takes from a CIB (or its configuration section) what concerns
// the fencer of a node: the devices that may be used here, the topology and
// the permanent node attributes (execution 33.1, 36.1). effective turns the text
// of stonith-watchdog-timeout into a time.
func configuration(doc []byte, node string, effective func(string) time.Duration) (request.Reconfigured, error) {
	d := etree.NewDocument()
	if err := d.ReadFromBytes(doc); err != nil {
		return request.Reconfigured{}, fmt.Errorf("read the CIB: %w", err)
	}
	root := d.Root()
	if root == nil {
		return request.Reconfigured{}, fmt.Errorf("read the CIB: it is empty")
	}
	if root.Tag != "configuration" {
		if root = root.SelectElement("configuration"); root == nil {
			return request.Reconfigured{}, fmt.Errorf("read the CIB: it has no configuration section")
		}
	}
	c := &cibReader{root: root, node: node}
	conf := request.Reconfigured{Devices: c.devices(), Levels: c.levels(), Attributes: c.nodeAttributes()}
	c.watchdog(&conf, effective)
	return conf, nil
}

type cibReader struct {
	root *etree.Element
	node string
}

// devices finds the fencing primitives that are enabled and allowed here.
func (c *cibReader) devices() []device.Device {
	resources := c.root.SelectElement("resources")
	if resources == nil {
		return nil
	}
	var out []device.Device
	var walk func(e *etree.Element, enclosing []*etree.Element)
	walk = func(e *etree.Element, enclosing []*etree.Element) {
		for _, child := range e.ChildElements() {
			switch child.Tag {
			case "group", "clone", "master", "bundle":
				walk(child, append(slices.Clone(enclosing), child))
			case "primitive":
				if d, ok := c.device(resources, child, enclosing); ok {
					out = append(out, d)
				}
			}
		}
	}
	walk(resources, nil)
	return out
}

func (c *cibReader) device(resources, prim *etree.Element, enclosing []*etree.Element) (device.Device, bool) {
	tmpl := template(resources, prim)
	inherited := func(name string) string {
		if v := prim.SelectAttrValue(name, ""); v != "" || tmpl == nil {
			return v
		}
		return tmpl.SelectAttrValue(name, "")
	}
	if inherited("class") != "stonith" {
		return device.Device{}, false
	}
	id := prim.SelectAttrValue("id", "")
	meta := map[string]string{}
	if defaults := c.root.SelectElement("rsc_defaults"); defaults != nil {
		c.attributes(defaults, "meta_attributes", meta)
	}
	for _, e := range append(slices.Clone(enclosing), tmpl, prim) {
		if e != nil {
			c.attributes(e, "meta_attributes", meta)
		}
	}
	if strings.EqualFold(meta["target-role"], "Stopped") || !c.allowed(id, enclosing) {
		return device.Device{}, false
	}
	params := map[string]string{}
	if tmpl != nil {
		c.attributes(tmpl, "instance_attributes", params)
	}
	c.attributes(prim, "instance_attributes", params)
	return device.Device{
		ID: id, Agent: inherited("type"), Namespace: inherited("provider"), Params: params,
		Unfencing: strings.EqualFold(meta["provides"], "unfencing"),
	}, true
}

// property is a cluster property's value, empty if it is not set.
func (c *cibReader) property(name string) string {
	props := map[string]string{}
	if cfg := c.root.SelectElement("crm_config"); cfg != nil {
		c.attributes(cfg, "cluster_property_set", props)
	}
	return props[name]
}

func template(resources, prim *etree.Element) *etree.Element {
	name := prim.SelectAttrValue("template", "")
	if name == "" {
		return nil
	}
	for _, t := range resources.SelectElements("template") {
		if t.SelectAttrValue("id", "") == name {
			return t
		}
	}
	return nil
}

// attributes adds the nvpairs of e's sets to into; of several sets the one
// with the higher score wins, and any of them over what was there before.
func (c *cibReader) attributes(e *etree.Element, set string, into map[string]string) {
	sets := e.SelectElements(set)
	for i, s := range sets {
		if ref := s.SelectAttrValue("id-ref", ""); ref != "" {
			if target := c.root.FindElement(fmt.Sprintf("//%s[@id='%s']", set, strings.ReplaceAll(ref, "'", ""))); target != nil {
				sets[i] = target
			}
		}
	}
	slices.SortStableFunc(sets, func(a, b *etree.Element) int { return scoreOf(b) - scoreOf(a) })
	found := map[string]string{}
	for _, s := range sets {
		if rule := s.SelectElement("rule"); rule != nil && !c.ruleHolds(rule) {
			continue
		}
		for _, nv := range s.SelectElements("nvpair") {
			name := nv.SelectAttrValue("name", "")
			if _, set := found[name]; !set && name != "" {
				found[name] = nv.SelectAttrValue("value", "")
			}
		}
	}
	for k, v := range found {
		into[k] = v
	}
}

const infinity = 1000000

func scoreOf(e *etree.Element) int { return score(e.SelectAttrValue("score", "0")) }

func score(text string) int {
	switch strings.ToUpper(strings.TrimPrefix(text, "+")) {
	case "INFINITY":
		return infinity
	case "-INFINITY":
		return -infinity
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return max(-infinity, min(infinity, n))
}

// allowed: no location constraint keeps the device, or what encloses it, off
// this node (execution 33.1).
func (c *cibReader) allowed(id string, enclosing []*etree.Element) bool {
	names := []string{id}
	for _, e := range enclosing {
		names = append(names, e.SelectAttrValue("id", ""))
	}
	symmetric := !strings.EqualFold(c.property("symmetric-cluster"), "false")
	sum, mentioned := 0, false
	if constraints := c.root.SelectElement("constraints"); constraints != nil {
		for _, loc := range constraints.SelectElements("rsc_location") {
			if !slices.ContainsFunc(names, func(n string) bool { return concerns(loc, n) }) {
				continue
			}
			s, here := c.locationScore(loc)
			if here {
				sum, mentioned = addScores(sum, s), true
			}
		}
	}
	if !mentioned {
		return symmetric
	}
	return sum >= 0
}

func concerns(loc *etree.Element, id string) bool {
	if loc.SelectAttrValue("rsc", "") == id {
		return true
	}
	if p := loc.SelectAttrValue("rsc-pattern", ""); p != "" {
		re, err := regexp.CompilePOSIX(p)
		return err == nil && re.MatchString(id)
	}
	for _, set := range loc.SelectElements("resource_set") {
		for _, ref := range set.SelectElements("resource_ref") {
			if ref.SelectAttrValue("id", "") == id {
				return true
			}
		}
	}
	return false
}

func (c *cibReader) locationScore(loc *etree.Element) (s int, here bool) {
	if n := loc.SelectAttrValue("node", ""); n != "" {
		return scoreOf(loc), strings.EqualFold(n, c.node)
	}
	for _, rule := range loc.SelectElements("rule") {
		if c.ruleHolds(rule) {
			s, here = addScores(s, scoreOf(rule)), true
		}
	}
	return s, here
}

func addScores(a, b int) int {
	if a == -infinity || b == -infinity {
		return -infinity
	}
	return max(-infinity, min(infinity, a+b))
}

// ruleHolds evaluates the rules that make sense for a device's place: by node
// name and by permanent node attribute. What needs time or status does not hold.
func (c *cibReader) ruleHolds(rule *etree.Element) bool {
	or := strings.EqualFold(rule.SelectAttrValue("boolean-op", "and"), "or")
	any, all := false, true
	for _, e := range rule.ChildElements() {
		holds := false
		switch e.Tag {
		case "rule":
			holds = c.ruleHolds(e)
		case "expression":
			holds = c.expressionHolds(e)
		}
		any, all = any || holds, all && holds
	}
	if or {
		return any
	}
	return all
}

func (c *cibReader) expressionHolds(e *etree.Element) bool {
	have, defined := c.node, true
	if name := e.SelectAttrValue("attribute", ""); name != "#uname" {
		have, defined = c.nodeAttributes()[c.node][name]
	}
	want := e.SelectAttrValue("value", "")
	switch e.SelectAttrValue("operation", "") {
	case "eq":
		return defined && strings.EqualFold(have, want)
	case "ne":
		return !defined || !strings.EqualFold(have, want)
	case "defined":
		return defined
	case "not_defined":
		return !defined
	}
	return false
}

func (c *cibReader) levels() []topology.Level {
	topo := c.root.SelectElement("fencing-topology")
	if topo == nil {
		return nil
	}
	var out []topology.Level
	for _, e := range topo.SelectElements("fencing-level") {
		index, err := strconv.Atoi(e.SelectAttrValue("index", ""))
		if err != nil {
			index = 0 // refused by the table, with the level's name
		}
		l := topology.Level{
			Index: index, Target: e.SelectAttrValue("target", ""), Pattern: e.SelectAttrValue("target-pattern", ""),
			Attribute: e.SelectAttrValue("target-attribute", ""), Value: e.SelectAttrValue("target-value", ""),
		}
		for d := range strings.SplitSeq(e.SelectAttrValue("devices", ""), ",") {
			if d != "" {
				l.Devices = append(l.Devices, d)
			}
		}
		out = append(out, l)
	}
	return out
}

func (c *cibReader) nodeAttributes() map[string]map[string]string {
	out := map[string]map[string]string{}
	nodes := c.root.SelectElement("nodes")
	if nodes == nil {
		return out
	}
	for _, n := range nodes.SelectElements("node") {
		attrs := map[string]string{}
		for _, set := range n.SelectElements("instance_attributes") {
			for _, nv := range set.SelectElements("nvpair") {
				attrs[nv.SelectAttrValue("name", "")] = nv.SelectAttrValue("value", "")
			}
		}
		out[n.SelectAttrValue("uname", "")] = attrs
	}
	return out
}

// touchesConfiguration reports whether a patch (cib 5.2) changes anything but
// versions and the status section.
func touchesConfiguration(patch []byte) bool {
	var diff struct {
		Changes []struct {
			Operation string `xml:"operation,attr"`
			Path      string `xml:"path,attr"`
		} `xml:"change"`
	}
	if err := xml.Unmarshal(patch, &diff); err != nil {
		return true // better one reading too many
	}
	for _, ch := range diff.Changes {
		status := ch.Path == "/cib/status" || strings.HasPrefix(ch.Path, "/cib/status/")
		versions := ch.Path == "/cib" && ch.Operation == "modify"
		if !status && !versions {
			return true
		}
	}
	return false
}
