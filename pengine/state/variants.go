package state

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"linuxha/pengine/internal/value"
	"linuxha/pengine/internal/xmldoc"
)

// unpackPrimitive makes a clone anonymous whose agents cannot be told apart
// (state 6.7).
func (c *Cluster) unpackPrimitive(r *Resource) error {
	top := r.Top()
	if top.Kind != Clone {
		return nil
	}
	unique, promotable := classCan(r.Class)
	if r.Unique && !unique {
		conf := top.Clone
		conf.NodeMax = 1
		conf.Max = min(conf.Max, len(c.Nodes))
		c.Notef(Warning, fmt.Sprintf("%s: agents of class %q cannot be used as globally unique clones", r.ID, r.Class))
		Each([]*Resource{top}, func(x *Resource) { x.Unique = false })
		for a := r; a != nil && a != top; a = a.Parent {
			a.Unique = false
		}
	}
	if top.Promotable && !promotable {
		return fmt.Errorf("%s: agents of class %q cannot be promoted", r.ID, r.Class)
	}
	return nil
}

func (c *Cluster) unpackGroup(r *Resource) error {
	v, ok := r.Meta.Get("ordered")
	r.Group.Ordered = !ok || !value.Falsy(v)
	v, ok = r.Meta.Get("collocated")
	r.Group.Colocated = !ok || !value.Falsy(v)
	for x := range r.XML.Children("primitive") {
		m, err := c.unpackResource(x, r, r.CloneNum)
		if err != nil {
			c.Notef(Error, err.Error())
			continue
		}
		r.Children = append(r.Children, m)
	}
	return nil
}

func (c *Cluster) unpackClone(r *Resource) error {
	conf := r.Clone
	for _, k := range r.XML.Kids {
		if k.Name == "primitive" || k.Name == "group" {
			conf.Child = k
			break
		}
	}
	if conf.Child == nil {
		return fmt.Errorf("clone %q has nothing to clone", r.ID)
	}
	bounded := func(def int, names ...string) int {
		for _, n := range names {
			if v, ok := r.Meta.Get(n); ok {
				return value.Bounded(v, 0)
			}
		}
		return def
	}
	conf.PromotedMax, conf.PromotedNodeMax = 1, 1
	if r.Promotable {
		conf.PromotedMax = bounded(1, "promoted-max", "master-max")
		conf.PromotedNodeMax = bounded(1, "promoted-node-max", "master-node-max")
	}
	conf.NodeMax = bounded(1, "clone-node-max")
	conf.Max = bounded(max(1, len(c.Nodes)), "clone-max")
	conf.Ordered = value.Truthy(r.Meta["ordered"])
	conf.Interleave = value.Truthy(r.Meta["interleave"])
	if !r.Unique && conf.NodeMax > 1 {
		c.Notef(Error, fmt.Sprintf("ignoring clone-node-max of %d for anonymous clone %s", conf.NodeMax, r.ID))
		conf.NodeMax = 1
	}
	r.Meta.PutNew("resource-stickiness", "1")
	r.Meta.PutNew("globally-unique", strconv.FormatBool(r.Unique))
	if most := c.affordable(r); conf.Max > most {
		c.Notef(Error, fmt.Sprintf("%s: clone-max of %d lowered to %d, the most that is supported", r.ID, conf.Max, most))
		conf.Max = most
	}
	for i := 0; i < max(conf.Max, 1); i++ {
		if _, err := c.newInstance(r); err != nil {
			return err
		}
	}
	r.Meta.PutNew("clone-max", strconv.Itoa(conf.Max))
	return nil
}

// newInstance makes the next instance of a clone; one beyond clone-max is an
// orphan (state 6.7).
func (c *Cluster) newInstance(clone *Resource) (*Resource, error) {
	conf := clone.Clone
	orphan := conf.total >= conf.Max
	num := conf.total
	x := conf.Child
	r, err := c.unpackResource(x, clone, num)
	if err != nil {
		return nil, err
	}
	conf.total++
	c.cells += c.instanceCells(clone)
	clone.Children = append(clone.Children, r)
	if orphan {
		Each([]*Resource{r}, func(x *Resource) { x.Orphan = true })
	}
	return r, nil
}

// Universal says whether a clone has an instance for each node.
func (c *Cluster) Universal(r *Resource) bool { return r.Kind == Clone && r.Clone.Max == len(c.Nodes) }

// expandRemotes makes the nodes of remote connections, and the connections
// that meta-attributes of containers ask for (state 6.10).
func (c *Cluster) expandRemotes(section *xmldoc.Elem) []*xmldoc.Elem {
	var extra []*xmldoc.Elem
	ensure := func(id string) {
		if c.NodeByName(id) == nil {
			c.newNode(id, id, RemoteNode, 0)
		}
	}
	scan := func(x *xmldoc.Elem) {
		conn := guestConnection(x)
		if conn != nil && conn.ID() != x.ID() {
			extra = append(extra, conn)
			ensure(conn.ID())
		}
	}
	for _, x := range section.Kids {
		switch x.Name {
		case "primitive":
			if x.ID() != "" && isRemoteAgent(x.Attr("class"), x.Attr("provider"), x.Attr("type")) {
				ensure(x.ID())
			} else {
				scan(x)
			}
		case "group":
			for _, m := range x.Kids {
				scan(m)
			}
		}
	}
	return extra
}

func guestConnection(x *xmldoc.Elem) *xmldoc.Elem {
	vals := map[string]string{}
	for set := range x.Children("meta_attributes") {
		for nv := range set.Children("nvpair") {
			if v, ok := nv.Get("value"); ok {
				vals[strings.ToLower(nv.Attr("name"))] = v
			}
		}
	}
	name := vals["remote-node"]
	if name == "" {
		return nil
	}
	timeout := vals["remote-connect-timeout"]
	if timeout == "" {
		timeout = "60s"
	}
	return newConnection(name, x.ID(), vals["remote-allow-migrate"], vals["is-managed"], timeout, vals["remote-addr"], vals["remote-port"])
}

// newConnection makes the element of an implicit connection resource.
func newConnection(name, container, migrate, managed, startTimeout, addr, port string) *xmldoc.Elem {
	p := xmldoc.New("primitive", "id", name, "class", "ocf", "provider", "pacemaker", "type", "remote")
	meta := p.Add("meta_attributes", "id", name+"-meta_attributes")
	nv := func(set *xmldoc.Elem, n, v string) {
		if v != "" {
			set.Add("nvpair", "id", set.ID()+"-"+n, "name", n, "value", v)
		}
	}
	nv(meta, "internal_rsc", "true")
	nv(meta, "container", container)
	nv(meta, "allow-migrate", migrate)
	nv(meta, "is-managed", managed)
	ops := p.Add("operations")
	ops.Add("op", "id", name+"-monitor-30s", "name", "monitor", "interval", "30s", "timeout", "30s")
	if startTimeout != "" {
		ops.Add("op", "id", name+"-start-0", "name", "start", "interval", "0", "timeout", startTimeout)
	}
	if addr != "" || port != "" {
		set := p.Add("instance_attributes", "id", name+"-instance_attributes")
		nv(set, "addr", addr)
		nv(set, "port", port)
	}
	return p
}

// linkContainersAndRemotes resolves containers and ties connections to their
// nodes (state 6.10, 6.11).
func (c *Cluster) linkContainersAndRemotes() {
	for _, top := range c.Resources {
		EachLeaf([]*Resource{top}, c.linkContainer)
		if top.IsRemoteConn {
			c.linkRemote(top)
		}
	}
}

func (c *Cluster) linkContainer(r *Resource) {
	id, ok := r.Meta.Get("container")
	if !ok || strings.EqualFold(id, r.ID) {
		return
	}
	k := c.rscByID[id]
	if k == nil {
		c.Notef(Error, fmt.Sprintf("resource %s: unknown container %q", r.ID, id))
		return
	}
	c.setContainer(r, k)
}

func (c *Cluster) setContainer(r, container *Resource) {
	r.Container = container
	container.IsContainer = true
	if !slices.Contains(container.Fillers, r) {
		container.Fillers = append(container.Fillers, r)
	}
}

func (c *Cluster) linkRemote(conn *Resource) {
	n := c.NodeByName(conn.ID)
	if n == nil {
		return
	}
	n.Conn = conn
	if conn.Container == nil {
		c.startupFencing(n)
	} else {
		n.Attrs["#kind"] = "container"
	}
}

// ContainsGuest says whether r hosts a guest node.
func (r *Resource) ContainsGuest() bool {
	for _, f := range r.Fillers {
		if f.IsRemoteConn {
			return true
		}
	}
	return false
}

// GuestConnOf returns the connection among the fillers of a container.
func (r *Resource) GuestConnOf() *Resource {
	for _, f := range r.Fillers {
		if f.IsRemoteConn {
			return f
		}
	}
	return nil
}
