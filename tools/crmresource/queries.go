package crmresource

import (
	"fmt"

	"github.com/beevik/etree"

	"linuxha/internal/exitcode"
	"linuxha/pengine/state"
	"linuxha/pengine/status"
	cibv1 "linuxha/proto/cib/v1"
	"linuxha/tools/output"
	"linuxha/tools/statusxml"
)

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
	list := output.New("resources")
	for _, r := range c.Resources {
		list.Add(statusxml.Writer{Cluster: c}.Resource(r)...)
	}
	s.body = append(s.body, list)
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

// listPlain is one line of words per resource, for scripts.
func (s *session) listPlain() error {
	c, _, err := s.model()
	if err != nil {
		return err
	}
	state.Each(c.Resources, func(r *state.Resource) {
		parent := "NA"
		if r.Parent != nil {
			parent = r.Parent.ID
		}
		s.say("Resource: %s %s %s %s %s %s %s", r.XML.Name, r.ID, r.XML.ID(), parent, words(r.Class, "NA"), words(r.Provider, "NA"), words(r.Type, "NA"))
	})
	return nil
}

func words(s, missing string) string {
	if s == "" {
		return missing
	}
	return s
}

// locate names the nodes where the resource runs, a promoted one so marked.
func (s *session) locate() error {
	c, _, _, err := s.resource()
	if err != nil {
		return err
	}
	list := output.New("nodes", "resource", s.rsc)
	promoted := map[*state.Node]bool{}
	state.EachLeaf(named(c, s.rsc), func(p *state.Resource) {
		for _, n := range p.Active {
			promoted[n] = promoted[n] || p.Role == state.Promoted
		}
	})
	for _, n := range c.Nodes {
		isPromoted, runs := promoted[n]
		if !runs {
			continue
		}
		mark := ""
		e := &output.Element{Name: "node", Text: n.Name}
		if isPromoted {
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
	s.body = append(s.body, list)
	if len(promoted) == 0 && !s.quiet {
		s.say("resource %s is NOT running", s.rsc)
	}
	return nil
}

func (s *session) queryXML() error {
	c, r, doc, err := s.resource()
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
	s.body = append(s.body, output.New("resource_config").Add(statusxml.Writer{Cluster: c}.Resource(r)...).
		Add(&output.Element{Name: "xml", Text: text, CData: true}))
	return nil
}

// getProperty is one of the attributes of the resource's element.
func (s *session) getProperty() error {
	_, r, doc, err := s.resource()
	if err != nil {
		return err
	}
	if e := configured(doc, r); e != nil {
		if a := e.SelectAttr(s.p.Value("get-property")); a != nil {
			s.say("%s", a.Value)
			s.body = append(s.body, output.New("property", "name", s.p.Value("get-property"), "value", a.Value))
			return nil
		}
	}
	return &failure{code: exitcode.NoSuch}
}

// setProperty writes one of them.
func (s *session) setProperty() error {
	kind := s.p.Value("resource-type")
	if kind == "" || !s.p.Has("parameter-value") {
		return failf(exitcode.Usage, "You need to specify a resource type with -t and a value with -v")
	}
	doc, _, err := s.document()
	if err != nil {
		return err
	}
	e := byID(doc, s.rsc)
	if e == nil || e.Tag != kind {
		return s.notFound()
	}
	upd := etree.NewElement(kind)
	upd.CreateAttr("id", s.rsc)
	upd.CreateAttr(s.p.Value("set-property"), s.p.Value("parameter-value"))
	return s.apply(&cibv1.Change{Op: cibv1.Op_OP_MODIFY, Section: "resources", Xml: xmlOf(upd)})
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
	case s.meta():
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
		if !s.meta() {
			break // meta attributes are inherited from group and clone, parameters are not
		}
	}
	// The reference says so and exits 0 (clients 2.3).
	fmt.Fprintf(s.stderr, "Attribute '%s' not found for '%s'\n", name, s.rsc)
	return nil
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
