package crmresource

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

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
	items := status.Resources(c, status.Options{Pending: true, Inactive: true, Nowhere: true})
	s.say("Full List of Resources:")
	list := output.New("resources")
	if len(items) == 0 {
		s.say("  * No resources")
		s.body = append(s.body, list.Add(&output.Element{Name: "item", Text: "No resources"}))
		return &failure{code: exitcode.NoSuch}
	}
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
	list := output.New("list", "name", "resource names")
	state.EachLeaf(c.Resources, func(r *state.Resource) {
		s.say("%s", r.ID)
		list.Add(&output.Element{Name: "item", Attrs: []output.Attr{{Name: "name", Value: "resource"}}, Text: r.ID})
	})
	if len(list.Children) == 0 {
		return failf(exitcode.NoSuch, "NO resources configured")
	}
	list.Set("count", strconv.Itoa(len(list.Children)))
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
	var nodes []*state.Node // the place of the last instance comes first
	state.EachLeaf(named(c, s.rsc), func(p *state.Resource) {
		for _, n := range slices.Backward(p.Active) {
			if !slices.Contains(nodes, n) {
				nodes = append(nodes, n)
			}
			promoted[n] = promoted[n] || p.Role == state.Promoted
		}
	})
	for _, n := range slices.Backward(nodes) {
		isPromoted := promoted[n]
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
	if len(promoted) == 0 && !s.quiet && s.p.Value("output-as") != "xml" {
		fmt.Fprintf(s.stderr, "resource %s is NOT running\n", s.rsc)
	}
	return nil
}

func (s *session) queryXML() error {
	c, r, doc, err := s.resource()
	if err != nil {
		return err
	}
	text, err := s.configuration(doc, r)
	if err != nil {
		return err
	}
	for _, it := range status.Lines(c, r) {
		s.say("%s", it)
	}
	s.say("Resource XML:")
	fmt.Fprint(s.out, text)
	s.body = append(s.body, output.New("resource_config").Add(statusxml.Writer{Cluster: c}.Resource(r)...).
		Add(&output.Element{Name: "xml", Text: text, CData: true}))
	return nil
}

// configuration is a resource as configured; if not asked for as it stands
// there, with what its template gives it. An orphan has none: what its history
// says of it stands for it.
func (s *session) configuration(doc *etree.Element, r *state.Resource) (string, error) {
	e := configured(doc, r)
	if e == nil || e.SelectAttr("template") != nil && s.command != "query-xml-raw" {
		if r.XML == nil {
			return "", s.notFound()
		}
		return strings.TrimSuffix(r.XML.String(), "\n") + "\n", nil
	}
	d := etree.NewDocument()
	d.SetRoot(e.Copy())
	d.Indent(2)
	return d.WriteToString()
}

// item is one name with its value, as queries for one answer.
func item(list, name, value string) *output.Element {
	return output.New("list", "name", list, "count", "1").
		Add(&output.Element{Name: "item", Attrs: []output.Attr{{Name: "name", Value: name}}, Text: value})
}

// getProperty is one of the attributes of the resource's element; one that is
// not there is nothing to print.
func (s *session) getProperty() error {
	_, r, doc, err := s.resource()
	if err != nil {
		return err
	}
	name := s.p.Value("get-property")
	if e := configured(doc, r); e != nil {
		if a := e.SelectAttr(name); a != nil {
			s.say("%s", a.Value)
			s.body = append(s.body, item("properties", name, a.Value))
		}
	}
	return nil
}

// setProperty writes one of them.
func (s *session) setProperty() error {
	kind := s.p.Value("resource-type")
	if kind == "" {
		return failf(exitcode.NoSuch, "Must specify -t with resource type")
	}
	if !s.p.Has("parameter-value") {
		return failf(exitcode.Usage, "You need to supply a value with the -v option")
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

// getParameter is the value that is in force: from the resource, its template,
// its group or clone, or the defaults.
func (s *session) getParameter() error {
	c, r, _, err := s.resource()
	if err != nil {
		return err
	}
	name := s.p.Value("get-parameter")
	set := c.Params(r, c.NodeByName(s.node))
	switch {
	case s.meta():
		set = r.Meta
	case s.p.Has("utilization"):
		set = r.Utiliz
	}
	value, ok := set[name]
	if !ok { // the reference says so and exits 0 (clients 2.3)
		return failf(exitcode.OK, "Attribute '%s' not found for '%s'", name, r.ID)
	}
	s.say("%s", value)
	s.body = append(s.body, item("attributes", name, value))
	return nil
}

// remove deletes a resource's configuration (-D -t TYPE).
func (s *session) remove() error {
	kind := s.p.Value("resource-type")
	if kind == "" {
		return failf(exitcode.NoSuch, "You need to specify a resource type with -t")
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
