package server

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"linuxha/cib/cibdoc"
	"linuxha/pengine/rules"
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
	// now is the clock; nil: time.Now.
	now func() time.Time
	// effective turns the text of stonith-watchdog-timeout into a time.
	effective func(string) time.Duration

	doc        *cibdoc.Doc  // as last read, nil: not yet
	root       *cibdoc.Node // its configuration
	primitives []placed
	locations  []*cibdoc.Node               // rsc_locations that concern them
	at         time.Time                    // of the present evaluation
	until      time.Time                    // when its rules may say something else, by the time alone; zero: never
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
	c.at, c.until = time.Now(), time.Time{}
	if c.now != nil {
		c.at = c.now()
	}
	c.attrs = c.nodeAttributes()
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

// names are those of the devices, of all around them, and of their tags.
func (c *cibReader) names() []string {
	var names []string
	for _, p := range c.primitives {
		names = append(names, c.namesOf(p)...)
	}
	return names
}

// namesOf are the names by which a constraint can mean a device.
func (c *cibReader) namesOf(p placed) []string {
	names := p.names()
	for _, tag := range cibdoc.Children(c.root.Child("tags"), "tag") {
		if slices.ContainsFunc(cibdoc.Children(tag, "obj_ref"), func(ref *cibdoc.Node) bool { return slices.Contains(p.names(), ref.ID()) }) {
			names = append(names, tag.ID())
		}
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
	at := c.place(p)
	meta := map[string]string{}
	if defaults := c.root.Child("rsc_defaults"); defaults != nil {
		c.attributes(defaults, "meta_attributes", meta, at)
	}
	for _, e := range append(slices.Clone(p.enclosing), tmpl, p.prim) {
		if e != nil {
			c.attributes(e, "meta_attributes", meta, at)
		}
	}
	if strings.EqualFold(meta["target-role"], "Stopped") {
		return device.Device{}, false
	}
	params := map[string]string{}
	if tmpl != nil {
		c.attributes(tmpl, "instance_attributes", params, at)
	}
	c.attributes(p.prim, "instance_attributes", params, at)
	at.Meta, at.Params = meta, func() map[string]string { return params }
	if !c.allowed(p, at) {
		return device.Device{}, false
	}
	return device.Device{
		ID: p.prim.ID(), Agent: c.inherited(p.prim, "type"), Namespace: c.inherited(p.prim, "provider"), Params: params,
		Unfencing: strings.EqualFold(meta["provides"], "unfencing"),
	}, true
}

// property is a cluster property's value, empty if it is not set.
func (c *cibReader) property(name string) string {
	props := map[string]string{}
	if cfg := c.root.Child("crm_config"); cfg != nil {
		c.attributes(cfg, "cluster_property_set", props, rules.Place{})
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
