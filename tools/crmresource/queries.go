package crmresource

import (
	"fmt"
	"syscall"

	"github.com/beevik/etree"

	"linuxha/internal/exitcode"
	"linuxha/pengine/state"
	"linuxha/pengine/status"
	"linuxha/tools/output"
)

func errno(rc int32) syscall.Errno { return syscall.Errno(rc) }

func (s *session) list() error {
	c, _, err := s.model()
	if err != nil {
		return err
	}
	items := status.Resources(c, status.Options{Pending: true, Inactive: true})
	s.say("Full List of Resources:")
	if len(items) == 0 {
		items = []status.Item{{Text: "No resources"}}
	}
	return status.Write(s.out, 1, items)
}

func (s *session) listRaw() error {
	c, _, err := s.model()
	if err != nil {
		return err
	}
	list := output.New("resources")
	state.EachLeaf(c.Resources, func(r *state.Resource) {
		s.say("%s", status.Name(r))
		list.Add(output.New("resource", "id", status.Name(r)))
	})
	s.body = append(s.body, list)
	return nil
}

// locate names the nodes where the resource runs, a promoted one so marked.
func (s *session) locate() error {
	_, r, _, err := s.resource()
	if err != nil {
		return err
	}
	list := output.New("nodes", "resource", s.rsc)
	found := false
	state.EachLeaf([]*state.Resource{r}, func(p *state.Resource) {
		for _, n := range p.Active {
			found = true
			mark := ""
			e := &output.Element{Name: "node", Text: n.Name}
			if p.Role == state.Promoted {
				mark = " Promoted"
				e.Set("state", "promoted")
			}
			list.Add(e)
			if s.quiet {
				s.say("%s", n.Name)
			} else {
				s.say("resource %s is running on: %s%s", s.rsc, n.Name, mark)
			}
		}
	})
	s.body = append(s.body, list)
	if !found && !s.quiet {
		s.say("resource %s is NOT running", s.rsc)
	}
	return nil
}

func (s *session) queryXML() error {
	_, r, doc, err := s.resource()
	if err != nil {
		return err
	}
	e := configured(doc, r)
	if e == nil {
		return s.notFound()
	}
	if err := status.Write(s.out, 0, status.Resources(onlyTop(r), status.Options{Pending: true, Inactive: true})); err != nil {
		return err
	}
	s.say("Resource XML:")
	d := etree.NewDocument()
	d.SetRoot(e.Copy())
	d.Indent(2)
	text, err := d.WriteToString()
	if err != nil {
		return err
	}
	fmt.Fprint(s.out, text)
	s.body = append(s.body, &output.Element{Name: "resource_config", Text: text})
	return nil
}

// onlyTop is a model with the one top-level resource that r belongs to.
func onlyTop(r *state.Resource) *state.Cluster {
	top := r
	for top.Parent != nil {
		top = top.Parent
	}
	return &state.Cluster{Resources: []*state.Resource{top}}
}

// configured is a resource's element in the configuration.
func configured(doc *etree.Element, r *state.Resource) *etree.Element {
	id := r.XMLID
	if id == "" {
		id = r.ID
	}
	return byID(doc, id)
}

// byID is the resource element with that id, nil if there is none.
func byID(doc *etree.Element, id string) *etree.Element {
	for _, tag := range []string{"primitive", "group", "clone", "master", "bundle", "template"} {
		for _, e := range doc.FindElements("./configuration/resources//" + tag) {
			if e.SelectAttrValue("id", "") == id {
				return e
			}
		}
	}
	return nil
}

// attributeSet is the element that the options -m and -z choose.
func (s *session) attributeSet() string {
	switch {
	case s.p.Has("meta"):
		return "meta_attributes"
	case s.p.Has("utilization"):
		return "utilization"
	}
	return "instance_attributes"
}

func (s *session) getParameter() error {
	_, r, doc, err := s.resource()
	if err != nil {
		return err
	}
	name := s.p.Value("get-parameter")
	for e := configured(doc, r); e != nil; e = e.Parent() {
		for _, set := range e.SelectElements(s.attributeSet()) {
			for _, nv := range set.SelectElements("nvpair") {
				if nv.SelectAttrValue("name", "") == name {
					s.say("%s", nv.SelectAttrValue("value", ""))
					return nil
				}
			}
		}
		if !s.p.Has("meta") {
			break // meta attributes are inherited from group and clone, parameters are not
		}
	}
	// The reference says so and exits 0 (clients 2.3).
	fmt.Fprintf(s.stderr, "Attribute '%s' not found for '%s'\n", name, s.rsc)
	return nil
}

// why says in a sentence or two what keeps resources from running.
func (s *session) why() error {
	c, _, err := s.model()
	if err != nil {
		return err
	}
	wanted := c.Resources
	if s.rsc != "" {
		r := find(c, s.rsc)
		if r == nil {
			return s.notFound()
		}
		wanted = []*state.Resource{r}
	}
	state.EachLeaf(wanted, func(r *state.Resource) {
		name := status.Name(r)
		if s.node != "" {
			on := false
			for _, n := range r.Active {
				on = on || n.Name == s.node
			}
			s.say("Resource %s is%s running on host %s", name, not(on), s.node)
		} else {
			s.say("Resource %s is%s running", name, not(r.IsActive(false)))
		}
		s.reasons(c, r, name)
	})
	return nil
}

func not(yes bool) string {
	if yes {
		return ""
	}
	return " not"
}

func (s *session) reasons(c *state.Cluster, r *state.Resource, name string) {
	if c.IsDisabled(r) {
		s.say("Configuration specifies '%s' should remain stopped", name)
	}
	if !r.Managed {
		s.say("Configuration prevents cluster from stopping or starting unmanaged '%s'", name)
	}
	for _, n := range c.Nodes {
		if fails, _ := c.FailCount(r, n, true, nil); fails >= r.Threshold && r.Threshold > 0 {
			s.say("'%s' has failed %s times on %s, its migration-threshold is %d: `crm_resource --cleanup -r %s` when the cause is mended", name, scoreText(fails), n.Name, r.Threshold, s.topID(r))
		}
	}
	if c.Opts.StopAll {
		s.say("Cluster option stop-all-resources is set")
	}
	if !c.Quorum {
		s.say("This partition has no quorum (no-quorum-policy decides what may run)")
	}
}

func (s *session) topID(r *state.Resource) string { return r.Top().ID }

func scoreText(n int) string {
	if n >= state.Infinity {
		return "INFINITY"
	}
	return fmt.Sprint(n)
}

// remove deletes a resource's configuration (-D -t TYPE).
func (s *session) remove() error {
	kind := s.p.Value("resource-type")
	if kind == "" {
		return failf(exitcode.Usage, "You need to specify a resource type with -t")
	}
	doc, _, err := s.document()
	if err != nil {
		return err
	}
	e := byID(doc, s.rsc)
	if e == nil || e.Tag != kind {
		return s.notFound()
	}
	return s.apply(deletion(e))
}
