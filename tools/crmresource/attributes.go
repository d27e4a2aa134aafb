package crmresource

import (
	"fmt"

	"github.com/beevik/etree"

	"linuxha/internal/exitcode"
	"linuxha/pengine/state"
	cibv1 "linuxha/proto/cib/v1"
)

// setParameter sets one attribute of the resource (-p NAME -v VALUE).
func (s *session) setParameter() error {
	name := s.p.Value("set-parameter")
	if !s.p.Has("parameter-value") {
		return failf(exitcode.Usage, "You need to supply a value with the -v option")
	}
	_, r, doc, err := s.resource()
	if err != nil {
		return err
	}
	id, err := s.setAttribute(doc, s.target(doc, r, name), name, s.p.Value("parameter-value"))
	if err != nil {
		return err
	}
	s.say("Set '%s' option: id=%s%s name=%s value=%s", s.rsc, id.nvpair, id.setText(), name, s.p.Value("parameter-value"))
	return nil
}

// ids are those of an nvpair and its set.
type ids struct{ set, nvpair string }

func (i ids) setText() string {
	if i.set == "" {
		return ""
	}
	return " set=" + i.set
}

// target is the element that takes the attribute: a meta attribute set on the
// child of a clone goes to the clone unless forced (clients 2.3).
func (s *session) target(doc *etree.Element, r *state.Resource, name string) *etree.Element {
	e := configured(doc, r)
	if !s.p.Has("meta") || s.force || e == nil {
		return e
	}
	if p := e.Parent(); p != nil && (p.Tag == "clone" || p.Tag == "master") {
		fmt.Fprintf(s.out, "Performing update of '%s' on '%s', the parent of '%s'\n", name, p.SelectAttrValue("id", ""), s.rsc)
		return p
	}
	return e
}

// findPair is the nvpair of that name in the resource's own sets.
func (s *session) findPair(e *etree.Element, name string) (set, nv *etree.Element) {
	for _, set := range e.SelectElements(s.attributeSet()) {
		if want := s.p.Value("set-name"); want != "" && set.SelectAttrValue("id", "") != want {
			continue
		}
		for _, nv := range set.SelectElements("nvpair") {
			if want := s.p.Value("nvpair"); want != "" && nv.SelectAttrValue("id", "") != want {
				continue
			}
			if nv.SelectAttrValue("name", "") == name {
				return set, nv
			}
		}
	}
	return nil, nil
}

func (s *session) setAttribute(_, e *etree.Element, name, value string) (ids, error) {
	if e == nil {
		return ids{}, s.notFound()
	}
	rscID := e.SelectAttrValue("id", "")
	var found ids
	set, nv := s.findPair(e, name)
	if nv != nil {
		found = ids{set.SelectAttrValue("id", ""), nv.SelectAttrValue("id", "")}
	} else {
		found.set = s.p.Value("set-name")
		if found.set == "" {
			found.set = rscID + "-" + s.attributeSet()
			if sets := e.SelectElements(s.attributeSet()); len(sets) > 0 {
				found.set = sets[0].SelectAttrValue("id", found.set)
			}
		}
		if found.nvpair = s.p.Value("nvpair"); found.nvpair == "" {
			found.nvpair = found.set + "-" + name
		}
	}
	upd := etree.NewElement(e.Tag)
	upd.CreateAttr("id", rscID)
	us := upd.CreateElement(s.attributeSet())
	us.CreateAttr("id", found.set)
	un := us.CreateElement("nvpair")
	un.CreateAttr("id", found.nvpair)
	un.CreateAttr("name", name)
	un.CreateAttr("value", value)
	return found, s.apply(&cibv1.Change{Op: cibv1.Op_OP_MODIFY, Section: "resources", Xml: xmlOf(upd)})
}

// deleteParameter removes one attribute of the resource; an absent one is no error.
func (s *session) deleteParameter() error {
	name := s.p.Value("delete-parameter")
	_, r, doc, err := s.resource()
	if err != nil {
		return err
	}
	return s.deleteAttribute(configured(doc, r), name)
}

func (s *session) deleteAttribute(e *etree.Element, name string) error {
	if e == nil {
		return s.notFound()
	}
	_, nv := s.findPair(e, name)
	if nv == nil {
		return nil
	}
	id := nv.SelectAttrValue("id", "")
	if err := s.apply(&cibv1.Change{
		Op: cibv1.Op_OP_DELETE, Section: "resources",
		Xml: fmt.Appendf(nil, `<nvpair id="%s"/>`, id),
	}); err != nil {
		return err
	}
	s.say("Deleted '%s' option: id=%s name=%s", s.rsc, id, name)
	return nil
}

// metaValue is a meta attribute of the element's own sets.
func metaValue(e *etree.Element, name string) (string, bool) {
	for _, set := range e.SelectElements("meta_attributes") {
		for _, nv := range set.SelectElements("nvpair") {
			if nv.SelectAttrValue("name", "") == name {
				return nv.SelectAttrValue("value", ""), true
			}
		}
	}
	return "", false
}
