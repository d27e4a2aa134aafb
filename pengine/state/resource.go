package state

import (
	"fmt"
	"strconv"
	"strings"

	"linuxha/pengine/internal/value"
	"linuxha/pengine/internal/xmldoc"
	"linuxha/pengine/rules"
)

// Top is the outermost ancestor, below a bundle (assignment 1.4.2).
func (r *Resource) Top() *Resource {
	for r.Parent != nil && r.Parent.Kind != Bundle {
		r = r.Parent
	}
	return r
}

// Bundled says whether r is part of a bundle.
func (r *Resource) Bundled() bool { return r.Top().Parent != nil }

// BundleOf returns the bundle r is part of, or nil.
func (r *Resource) BundleOf() *Resource { return r.Top().Parent }

// IsAnonymousClone says whether r is a clone whose instances are alike.
func (r *Resource) IsAnonymousClone() bool { return r.Kind == Clone && !r.Unique }

// IsUniqueClone says whether r is a clone with distinct instances.
func (r *Resource) IsUniqueClone() bool { return r.Kind == Clone && r.Unique }

// Collective says whether r stands for children.
func (r *Resource) Collective() bool { return r.Kind != Primitive }

// IsGuestConn says whether r is the connection of a guest node.
func (r *Resource) IsGuestConn() bool {
	if !r.IsRemoteConn {
		return false
	}
	_, ok := r.Meta.Get("container")
	return ok || r.Container != nil
}

// Subject is what rules about r's agent are tested against.
func (r *Resource) Subject() *rules.Subject {
	return &rules.Subject{Resource: &rules.Resource{Class: r.Class, Provider: r.Provider, Type: r.Type, HasProvider: r.HasProv}}
}

// Resource finds a resource by exact id, instances and implicit ones included.
func (c *Cluster) Resource(id string) *Resource { return c.rscByID[id] }

// classCan says what agents of a class support (state 6.7).
func classCan(class string) (unique, promotable bool) {
	switch strings.ToLower(class) {
	case "ocf":
		return true, true
	case "stonith":
		return true, false
	}
	return false, false
}

// HasProviderClass says whether agents of the class have providers.
func HasProviderClass(class string) bool { return strings.EqualFold(class, "ocf") }

// readResources unpacks the resources section (state 6, 2.3 step 5 and 6).
func (c *Cluster) readResources() {
	section := c.sections["resources"]
	if section == nil {
		return
	}
	for t := range section.Children("template") {
		if id, ok := t.Get("id"); ok {
			if _, old := c.Templates[id]; !old {
				c.Templates[id] = nil
			}
		}
	}
	extra := c.expandRemotes(section)
	for _, list := range [][]*xmldoc.Elem{section.Kids, extra} {
		for _, x := range list {
			if x.Name == "template" {
				continue
			}
			id, ok := x.Get("id")
			if !ok || id == "" {
				c.Notef(Error, "ignoring <"+x.Name+"> without id among resources")
				continue
			}
			r, err := c.unpackResource(x, nil, -1)
			if err != nil {
				c.Notef(Error, err.Error())
				continue
			}
			c.Resources = append(c.Resources, r)
		}
	}
	c.rscByID = map[string]*Resource{} // without what was dropped
	Each(c.Resources, func(r *Resource) {
		if c.rscByID[r.ID] == nil {
			c.rscByID[r.ID] = r
		}
	})
	c.linkContainersAndRemotes()
	value.MergeSort(c.Resources, func(a, b *Resource) int { return b.Priority - a.Priority })
	if c.Opts.Stonith && !c.HaveFenceDevice {
		for _, line := range []string{ // in the reference's words, which clients show (cib 10.2)
			"Resource start-up disabled since no STONITH resources have been defined",
			"Either configure some or disable STONITH with the stonith-enabled option",
			"NOTE: Clusters with shared data need STONITH to ensure data integrity",
		} {
			c.Note(Error, "unpack_resources", line)
		}
	}
}

// template gives the effective element of a resource made from a template
// (state 6.2).
func (c *Cluster) template(x *xmldoc.Elem) (*xmldoc.Elem, error) {
	ref, ok := x.Get("template")
	if !ok {
		return x, nil
	}
	if ref == x.ID() {
		return nil, fmt.Errorf("resource %q refers to itself as template", ref)
	}
	var tmpl *xmldoc.Elem
	for t := range c.sections["resources"].Children("template") {
		if t.ID() == ref {
			tmpl = t
			break
		}
	}
	if tmpl == nil {
		return nil, fmt.Errorf("resource %q: there is no template %q", x.ID(), ref)
	}
	tmpl.Walk(func(*xmldoc.Elem) bool { c.Spend(WorkCopies, 1); return true })
	e := tmpl.Clone()
	e.Name = x.Name
	e.Set("id", x.ID())
	var tmplOps, ownOps *xmldoc.Elem
	for _, k := range e.Kids {
		if k.Name == "operations" {
			tmplOps = k
		}
	}
	for _, k := range x.Kids {
		cp := e.Append(k.Clone())
		if k.Name == "operations" {
			ownOps = cp
		}
	}
	if tmplOps != nil && ownOps != nil {
		have := map[string]bool{}
		for op := range ownOps.Children("op") {
			have[templateOpKey(op)] = true
		}
		for op := range tmplOps.Children("op") {
			if !have[templateOpKey(op)] {
				ownOps.Append(op.Clone())
			}
		}
		e.Remove(tmplOps)
	}
	c.addTag(c.Templates, ref, x.ID())
	return e, nil
}

func templateOpKey(op *xmldoc.Elem) string {
	role := op.Attr("role")
	switch role {
	case "", "Started", "Unpromoted", "Slave":
		role = "Unpromoted"
	}
	return op.Attr("name") + "-" + role
}

// unpackResource makes a resource and all below it. num is the instance number
// inside a clone, or -1.
func (c *Cluster) unpackResource(x *xmldoc.Elem, parent *Resource, num int) (*Resource, error) {
	orig := x
	x, err := c.template(x)
	if err != nil {
		return nil, err
	}
	r := &Resource{
		XML: x, OwnDoc: x != orig || num >= 0, Parent: parent, CloneNum: num, XMLID: x.ID(), ID: x.ID(),
		Meta: Attrs{}, Allowed: Table{}, Role: Stopped, Threshold: Infinity, Provisional: true, Idx: len(c.AllRes),
	}
	switch x.Name {
	case "primitive":
		r.Kind = Primitive
	case "group":
		r.Kind, r.Group = Group, &GroupConf{}
	case "clone", "master":
		r.Kind, r.Clone = Clone, &CloneConf{}
	case "bundle":
		r.Kind, r.Bundle = Bundle, &BundleConf{}
	default:
		return nil, fmt.Errorf("unknown resource type <%s id=%q>", x.Name, x.ID())
	}
	c.AllRes = append(c.AllRes, r)
	if num >= 0 {
		r.ID += ":" + strconv.Itoa(num)
		r.Meta["clone"] = strconv.Itoa(num)
	}
	r.Class, r.HasClass = x.Get("class")
	r.Provider, r.HasProv = x.Get("provider")
	r.Type, r.HasType = x.Get("type")
	c.readMeta(r)
	c.readOps(r)
	if err := c.commonSettings(r); err != nil {
		return nil, err
	}
	switch r.Kind {
	case Primitive:
		err = c.unpackPrimitive(r)
	case Group:
		err = c.unpackGroup(r)
	case Clone:
		err = c.unpackClone(r)
	case Bundle:
		err = c.unpackBundle(r)
	}
	if err != nil {
		return nil, err
	}
	if _, old := c.rscByID[r.ID]; !old {
		c.rscByID[r.ID] = r
	}
	if c.Opts.Symmetric {
		for _, n := range c.Nodes {
			c.defaultScore(r, n)
		}
	} else if _, contained := r.Meta.Get("container"); r.IsRemoteConn && contained {
		for _, n := range c.Nodes {
			c.addEntry(r, n, 0)
		}
	}
	r.Utiliz = Attrs{}
	c.Rules.Unpack(x, "utilization", r.Utiliz, "", false, noSubject)
	return r, nil
}

// readMeta builds the table of meta-attributes (state 6.3).
func (c *Cluster) readMeta(r *Resource) {
	for name, v := range r.XML.Attrs() {
		r.Meta.PutNew(name, v)
	}
	s := r.Subject()
	for a := r; a != nil; a = a.Parent {
		c.Rules.Unpack(a.XML, "meta_attributes", r.Meta, "", false, s)
	}
	c.Rules.Unpack(c.sections["rsc_defaults"], "meta_attributes", r.Meta, "", false, s)
	if r.Parent != nil {
		c.Spend(WorkPairs, len(r.Parent.Meta))
		for k, v := range r.Parent.Meta {
			r.Meta.PutNew(k, v)
		}
	}
}

// Params are the instance parameters for a node, or those without one; they
// are computed once (state 6.3). The table must not be changed.
func (c *Cluster) Params(r *Resource, n *Node) Attrs {
	if !r.paramsKnown {
		r.paramsKnown = true
		r.staticParams = !hasRules(c.sections["rsc_defaults"])
		for a := r; a != nil; a = a.Parent {
			r.staticParams = r.staticParams && !hasRules(a.XML)
		}
		r.params = map[*Node]Attrs{}
	}
	if r.staticParams {
		n = nil
	}
	if p, ok := r.params[n]; ok {
		return p
	}
	p := Attrs{}
	s := &rules.Subject{}
	if n != nil {
		s.Node = n.Attrs
	}
	for a := r; a != nil; a = a.Parent {
		c.Rules.Unpack(a.XML, "instance_attributes", p, "", false, s)
	}
	c.Rules.Unpack(c.sections["rsc_defaults"], "instance_attributes", p, "", false, s)
	r.params[n] = p
	return p
}

// hasRules says whether instance attributes of e may depend on the node: a set
// with a rule, or one that is defined elsewhere.
func hasRules(e *xmldoc.Elem) bool {
	for set := range e.Children("instance_attributes") {
		if _, ref := set.Get("id-ref"); ref || set.Child("rule") != nil {
			return true
		}
	}
	return false
}

// commonSettings reads what all variants share (state 6.5).
func (c *Cluster) commonSettings(r *Resource) error {
	m := r.Meta
	r.Managed = !c.Opts.MaintenanceMode
	r.Priority = c.Health.Score(m["priority"])
	v, ok := m.Get("critical")
	r.Critical = !ok || value.Truthy(v)
	r.Notify = value.Truthy(m["notify"])
	r.IsRemoteConn = r.Kind == Primitive && isRemoteAgent(r.Class, r.Provider, r.Type)
	_, inContainer := m.Get("container")
	allow, ok := m.Get("allow-migrate")
	r.AllowMigrate = value.Truthy(allow) || !ok && r.IsRemoteConn && !inContainer
	if v, ok := m.Get("is-managed"); ok && !strings.EqualFold(v, "default") {
		r.Managed = value.Truthy(v)
	}
	if value.Truthy(m["maintenance"]) {
		r.Managed, r.Maintenance = false, true
	}
	if c.Opts.MaintenanceMode {
		r.Managed, r.Maintenance = false, true
	}
	top := r.Top()
	if top.Kind == Clone {
		r.Unique = value.Truthy(m["globally-unique"])
		if r.XML.Name == "master" {
			m["promotable"] = "true"
		}
		r.Promotable = value.Truthy(m["promotable"])
	} else {
		r.Unique = true
	}
	r.RestartTypeRestart = strings.EqualFold(m["restart-type"], "restart")
	switch strings.ToLower(m["multiple-active"]) {
	case "stop_only":
		r.MultiActive = StopOnly
	case "block":
		r.MultiActive = Block
	case "stop_unexpected":
		r.MultiActive = StopUnexpected
	}
	if v, ok := m.Get("resource-stickiness"); ok && !strings.EqualFold(v, "default") {
		r.Stickiness = c.Health.Score(v)
	}
	if v, ok := m.Get("migration-threshold"); ok && !strings.EqualFold(v, "default") {
		if r.Threshold = c.Health.Score(v); r.Threshold < 0 {
			r.Threshold = 1
		}
	}
	if strings.EqualFold(r.Class, "stonith") {
		r.FenceDevice = true
		c.HaveFenceDevice = true
	}
	c.readRequires(r)
	if v, ok := m.Get("failure-timeout"); ok {
		ms, _ := value.Interval(v)
		r.FailureTimeout = ms / 1000
	}
	if r.IsRemoteConn && !inContainer {
		if v, ok := c.Params(r, nil).Get("reconnect_interval"); ok {
			r.ReconnectMS, _ = value.Interval(v)
			r.FailureTimeout = r.ReconnectMS / 1000
		}
	}
	r.NextRole = c.requestedRole(r)
	return nil
}

func isRemoteAgent(class, provider, typ string) bool {
	return strings.EqualFold(class, "ocf") && strings.EqualFold(provider, "pacemaker") && strings.EqualFold(typ, "remote")
}

// requestedRole is the effective request of target-role, Unknown if none
// (state 6.4).
func (c *Cluster) requestedRole(r *Resource) Role {
	v, ok := r.Meta.Get("target-role")
	if !ok || strings.EqualFold(v, "started") || strings.EqualFold(v, "default") {
		return Unknown
	}
	switch role := ParseRole(v); role {
	case Stopped:
		return Stopped
	case Unpromoted:
		if r.Top().Promotable {
			return Unpromoted
		}
		c.Why.Log(Error, "get_target_role", "Ignoring 'target-role' for "+r.ID+" because '"+v+"' only makes sense for promotable clones")
	case Unknown:
		c.Notef(Error, fmt.Sprintf("ignoring target-role %q of %s: not a role", v, r.ID))
	}
	return Unknown
}

// readRequires decides what starting r needs (state 6.6).
func (c *Cluster) readRequires(r *Resource) {
	v := strings.ToLower(r.Meta["requires"])
	switch v {
	case "nothing", "quorum", "fencing", "unfencing":
	default:
		switch {
		case r.FenceDevice || r.IsRemoteConn:
			v = "quorum"
		case c.Unfencing:
			v = "unfencing"
		case c.Opts.Stonith:
			v = "fencing"
		case c.Opts.NoQuorum == QuorumIgnore:
			v = "nothing"
		default:
			v = "quorum"
		}
	}
	if v == "unfencing" && (r.FenceDevice || !c.Opts.Stonith) {
		if !c.Opts.Stonith && c.Why.Asks() {
			c.Why.Log(Warning, "unpack_requires", "Resetting \"requires\" for "+r.ID+" to \"quorum\" because fencing is disabled")
		}
		v = "quorum"
	}
	switch v {
	case "quorum":
		r.NeedsQuorum = true
	case "fencing":
		r.NeedsFencing = true
		if !c.Opts.Stonith && c.Why.Asks() {
			c.Why.Log(Warning, "unpack_requires", r.ID+" requires fencing but fencing is disabled")
		}
	case "unfencing":
		r.NeedsFencing, r.NeedsUnfencing = true, true
	}
}

// defaultScore gives the symmetric default for one node (assignment 6.1.1).
func (c *Cluster) defaultScore(r *Resource, n *Node) {
	if r.ExclusiveDiscovery || n.Discover == DiscoverNever {
		return
	}
	for _, k := range r.Children {
		c.defaultScore(k, n)
	}
	c.addEntry(r, n, 0)
}

func (c *Cluster) addEntry(r *Resource, n *Node, score int) *Entry {
	e := r.Allowed.Get(n)
	if e == nil {
		e = r.Allowed.Put(n, ListEntry(n))
		c.Why.Base(e, n)
	}
	e.Score = value.Add(e.Score, score)
	return e
}

// AddScore adds a score for a node to r and all below it (assignment 6.2).
func (c *Cluster) AddScore(r *Resource, n *Node, score int, cause Cause) {
	for _, k := range r.Children {
		c.AddScore(k, n, score, cause)
	}
	c.Why.Add(c.addEntry(r, n, score), score, cause)
}

// AddScoreAll adds a score for every node; -infinity drops an assignment of r
// itself.
func (c *Cluster) AddScoreAll(r *Resource, score int, cause Cause) {
	for _, n := range c.Nodes {
		c.AddScore(r, n, score, cause)
	}
	if score <= -Infinity {
		r.Assigned = nil
	}
}

// BanEverywhere replaces the table by all nodes with -infinity.
func (c *Cluster) BanEverywhere(r *Resource, cause Cause) {
	r.Allowed = Table{}
	for _, n := range c.Nodes {
		e := ListEntry(n)
		e.Score = -Infinity
		c.Why.Set(r.Allowed.Put(n, e), cause)
	}
}
