package server

import (
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"linuxha/cib/cibdoc"
	"linuxha/stonithd/device"
	"linuxha/stonithd/request"
	"linuxha/stonithd/topology"
)

// cibReader takes from the CIB what concerns the fencer of a node: the devices
// that may be used here, the topology, the permanent node attributes and fencing
// by watchdog (execution 33.1, 36.1, 40.1). It remembers which resources and
// constraints these are, so that a change of others costs no reading.
type cibReader struct {
	node string
	// effective turns the text of stonith-watchdog-timeout into a time.
	effective func(string) time.Duration

	doc        *cibdoc.Doc  // as last read, nil: not yet
	root       *cibdoc.Node // its configuration
	primitives []placed
	locations  []*cibdoc.Node               // rsc_locations that concern them
	attrs      map[string]map[string]string // permanent attributes per node
	refs       bool                         // there are sets by reference, which may be anywhere

	scans int // of all resources
}

// placed is a primitive with the groups, clones and bundles around it, from the
// outside in.
type placed struct {
	prim      *cibdoc.Node
	enclosing []*cibdoc.Node
}

func (p placed) names() []string {
	names := []string{p.prim.ID()}
	for _, e := range p.enclosing {
		names = append(names, e.ID())
	}
	return names
}

// read reads a whole document.
func (c *cibReader) read(doc *cibdoc.Doc) (request.Reconfigured, error) {
	if doc.Configuration() == nil {
		return request.Reconfigured{}, errors.New("read the CIB: it has no configuration section")
	}
	c.doc, c.root = doc, doc.Configuration()
	c.findPrimitives()
	c.findLocations()
	return c.evaluate(), nil
}

// evaluate judges what was found.
func (c *cibReader) evaluate() request.Reconfigured {
	c.refs = false
	c.attrs = nodeAttributes(c.root)
	conf := request.Reconfigured{Devices: c.devices(), Levels: c.levels(), Attributes: c.attrs}
	c.watchdog(&conf)
	return conf
}

// findPrimitives finds the fencing devices, and whatever has the watchdog's name.
func (c *cibReader) findPrimitives() {
	c.primitives = nil
	c.scans++
	resources := c.root.Child("resources")
	var walk func(e *cibdoc.Node, enclosing []*cibdoc.Node)
	walk = func(e *cibdoc.Node, enclosing []*cibdoc.Node) {
		for child := range e.Elements() {
			switch child.Tag {
			case "group", "clone", "master", "bundle":
				walk(child, append(slices.Clone(enclosing), child))
			case "primitive":
				if c.inherited(child, "class") == "stonith" || child.ID() == request.WatchdogDevice {
					c.primitives = append(c.primitives, placed{child, enclosing})
				}
			}
		}
	}
	if resources != nil {
		walk(resources, nil)
	}
}

// findLocations finds the constraints that concern the devices.
func (c *cibReader) findLocations() {
	c.locations = nil
	names := c.names()
	for _, loc := range cibdoc.Children(c.root.Child("constraints"), "rsc_location") {
		if concernsAny(loc, names) {
			c.locations = append(c.locations, loc)
		}
	}
}

// names are those of the devices and of all around them.
func (c *cibReader) names() []string {
	var names []string
	for _, p := range c.primitives {
		names = append(names, p.names()...)
	}
	return names
}

// devices are the fencing primitives that are enabled and allowed here.
func (c *cibReader) devices() []device.Device {
	var out []device.Device
	for _, p := range c.primitives {
		if d, ok := c.device(p); ok {
			out = append(out, d)
		}
	}
	return out
}

// inherited is an attribute of a primitive or of its template.
func (c *cibReader) inherited(prim *cibdoc.Node, name string) string {
	if v := prim.Attr(name); v != "" {
		return v
	}
	if t := c.template(prim); t != nil {
		return t.Attr(name)
	}
	return ""
}

func (c *cibReader) device(p placed) (device.Device, bool) {
	if c.inherited(p.prim, "class") != "stonith" {
		return device.Device{}, false
	}
	tmpl := c.template(p.prim)
	meta := map[string]string{}
	if defaults := c.root.Child("rsc_defaults"); defaults != nil {
		c.attributes(defaults, "meta_attributes", meta)
	}
	for _, e := range append(slices.Clone(p.enclosing), tmpl, p.prim) {
		if e != nil {
			c.attributes(e, "meta_attributes", meta)
		}
	}
	if strings.EqualFold(meta["target-role"], "Stopped") || !c.allowed(p) {
		return device.Device{}, false
	}
	params := map[string]string{}
	if tmpl != nil {
		c.attributes(tmpl, "instance_attributes", params)
	}
	c.attributes(p.prim, "instance_attributes", params)
	return device.Device{
		ID: p.prim.ID(), Agent: c.inherited(p.prim, "type"), Namespace: c.inherited(p.prim, "provider"), Params: params,
		Unfencing: strings.EqualFold(meta["provides"], "unfencing"),
	}, true
}

// property is a cluster property's value, empty if it is not set.
func (c *cibReader) property(name string) string {
	props := map[string]string{}
	if cfg := c.root.Child("crm_config"); cfg != nil {
		c.attributes(cfg, "cluster_property_set", props)
	}
	return props[name]
}

func (c *cibReader) template(prim *cibdoc.Node) *cibdoc.Node {
	name := prim.Attr("template")
	if name == "" {
		return nil
	}
	for _, t := range cibdoc.Children(c.root.Child("resources"), "template") {
		if t.ID() == name {
			return t
		}
	}
	return nil
}

// attributes adds the nvpairs of e's sets to into; of several sets the one
// with the higher score wins, and any of them over what was there before.
func (c *cibReader) attributes(e *cibdoc.Node, set string, into map[string]string) {
	sets := cibdoc.Children(e, set)
	for i, s := range sets {
		if ref := s.Attr("id-ref"); ref != "" {
			c.refs = true
			if target := find(c.root, set, ref); target != nil {
				sets[i] = target
			}
		}
	}
	slices.SortStableFunc(sets, func(a, b *cibdoc.Node) int { return scoreOf(b) - scoreOf(a) })
	found := map[string]string{}
	for _, s := range sets {
		if rule := s.Child("rule"); rule != nil && !c.ruleHolds(rule) {
			continue
		}
		for _, nv := range cibdoc.Children(s, "nvpair") {
			name := nv.Attr("name")
			if _, set := found[name]; !set && name != "" {
				found[name] = nv.Attr("value")
			}
		}
	}
	for k, v := range found {
		into[k] = v
	}
}

const infinity = 1000000

func scoreOf(e *cibdoc.Node) int { return score(e.Attr("score")) }

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
func (c *cibReader) allowed(p placed) bool {
	names := p.names()
	symmetric := !strings.EqualFold(c.property("symmetric-cluster"), "false")
	sum, mentioned := 0, false
	for _, loc := range c.locations {
		if !concernsAny(loc, names) {
			continue
		}
		s, here := c.locationScore(loc)
		if here {
			sum, mentioned = addScores(sum, s), true
		}
	}
	if !mentioned {
		return symmetric
	}
	return sum >= 0
}

func concernsAny(loc *cibdoc.Node, names []string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return concerns(loc, n) })
}

func concerns(loc *cibdoc.Node, id string) bool {
	if loc.Attr("rsc") == id {
		return true
	}
	if p := loc.Attr("rsc-pattern"); p != "" {
		re, err := regexp.CompilePOSIX(p)
		return err == nil && re.MatchString(id)
	}
	for _, set := range cibdoc.Children(loc, "resource_set") {
		for _, ref := range cibdoc.Children(set, "resource_ref") {
			if ref.ID() == id {
				return true
			}
		}
	}
	return false
}

func (c *cibReader) locationScore(loc *cibdoc.Node) (s int, here bool) {
	if n := loc.Attr("node"); n != "" {
		return scoreOf(loc), strings.EqualFold(n, c.node)
	}
	for _, rule := range cibdoc.Children(loc, "rule") {
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
func (c *cibReader) ruleHolds(rule *cibdoc.Node) bool {
	or := strings.EqualFold(rule.Attr("boolean-op"), "or")
	any, all := false, true
	for e := range rule.Elements() {
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

func (c *cibReader) expressionHolds(e *cibdoc.Node) bool {
	have, defined := c.node, true
	if name := e.Attr("attribute"); name != "#uname" {
		have, defined = c.attrs[c.node][name]
	}
	want := e.Attr("value")
	switch e.Attr("operation") {
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
	var out []topology.Level
	for _, e := range cibdoc.Children(c.root.Child("fencing-topology"), "fencing-level") {
		index, err := strconv.Atoi(e.Attr("index"))
		if err != nil {
			index = 0 // refused by the table, with the level's name
		}
		l := topology.Level{
			Index: index, Target: e.Attr("target"), Pattern: e.Attr("target-pattern"),
			Attribute: e.Attr("target-attribute"), Value: e.Attr("target-value"),
		}
		for d := range strings.SplitSeq(e.Attr("devices"), ",") {
			if d != "" {
				l.Devices = append(l.Devices, d)
			}
		}
		out = append(out, l)
	}
	return out
}

func nodeAttributes(configuration *cibdoc.Node) map[string]map[string]string {
	out := map[string]map[string]string{}
	for _, n := range cibdoc.Children(configuration.Child("nodes"), "node") {
		attrs := map[string]string{}
		for _, set := range cibdoc.Children(n, "instance_attributes") {
			for _, nv := range cibdoc.Children(set, "nvpair") {
				attrs[nv.Attr("name")] = nv.Attr("value")
			}
		}
		out[n.Attr("uname")] = attrs
	}
	return out
}

// find returns the first element of that tag and id below n, nil if none.
func find(n *cibdoc.Node, tag, id string) (found *cibdoc.Node) {
	n.Walk(func(_ cibdoc.Path, e *cibdoc.Node) bool {
		if found == nil && e.IsElement() && e.Tag == tag && e.ID() == id {
			found = e
		}
		return found == nil && e.MayHold(tag)
	})
	return found
}
