package crmresource

import (
	"fmt"
	"slices"
	"strings"

	"github.com/beevik/etree"

	"linuxha/internal/exitcode"
	"linuxha/pengine/state"
	cibv1 "linuxha/proto/cib/v1"
)

// setParameter sets one attribute of the resource (-p NAME -v VALUE).
func (s *session) setParameter() error {
	name, value := s.p.Value("set-parameter"), s.p.Value("parameter-value")
	_, r, doc, err := s.resource()
	if err != nil {
		return err
	}
	if !s.p.Has("parameter-value") {
		return failf(exitcode.Usage, "You need to supply a value with the -v option")
	}
	e := configured(doc, r)
	name = s.spelled(e, name)
	e = s.target(e, name, "update")
	if e == nil {
		return s.notFound()
	}
	elements := append(s.members(e, name), e)
	if s.p.Has("recursive") {
		elements = append(elements, dependents(doc, e, []*etree.Element{e})...)
	}
	for _, e := range elements {
		id, err := s.setAttribute(e, name, value)
		if err != nil {
			return err
		}
		s.tell("Set '%s' option: id=%s%s name=%s value=%s", e.SelectAttrValue("id", ""), id.nvpair, id.setText(), name, value)
	}
	return nil
}

// ids are those of an nvpair and, if it is new, of its set.
type ids struct{ set, nvpair string }

func (i ids) setText() string {
	if i.set == "" {
		return ""
	}
	return " set=" + i.set
}

// target is the element whose attribute is meant: a meta attribute set on the
// child of a clone goes to the clone, unless the child has a value of its own or
// --force is given; one set on a clone goes to the child that has a value.
func (s *session) target(e *etree.Element, name, doing string) *etree.Element {
	if e == nil || !s.meta() {
		return e
	}
	clone, child := e, e
	switch {
	case isClone(e):
		if child = cloned(e); child == nil {
			return e
		}
	case isClone(e.Parent()):
		clone = e.Parent()
	default:
		return e
	}
	if s.force {
		return e
	}
	_, inChild := s.findPair(child, name)
	_, inClone := s.findPair(clone, name)
	if inChild != nil && inClone != nil {
		s.say("Multiple attributes match name=%s", name)
		for _, nv := range []*etree.Element{inChild, inClone} {
			s.say("  Value: %s \t(id=%s)", nv.SelectAttrValue("value", ""), nv.SelectAttrValue("id", ""))
		}
		s.say("")
	}
	cloneID, childID := clone.SelectAttrValue("id", ""), child.SelectAttrValue("id", "")
	switch {
	case inChild != nil && e == clone:
		s.say("A value for '%s' already exists in child '%s', performing %s on that instead of '%s'", name, childID, doing, cloneID)
		return child
	case inChild == nil && e == child:
		s.say("Performing %s of '%s' on '%s', the parent of '%s'", doing, name, cloneID, childID)
		return clone
	}
	return e
}

// dependents are the resources that must be where e is, and those that must be
// where they are, each once: what --recursive sets the attribute on as well.
func dependents(doc, e *etree.Element, known []*etree.Element) []*etree.Element {
	var out []*etree.Element
	for _, c := range doc.FindElements("./configuration/constraints/rsc_colocation") {
		if c.SelectAttrValue("with-rsc", "") != e.SelectAttrValue("id", "") || strings.HasPrefix(scoreOf(c), "-") || scoreOf(c) == "0" {
			continue
		}
		other := byID(doc, c.SelectAttrValue("rsc", ""))
		if other == nil || slices.Contains(known, other) || slices.Contains(out, other) {
			continue
		}
		out = append(out, other)
		out = append(out, dependents(doc, other, append(slices.Clone(known), out...))...)
	}
	return out
}

func isClone(e *etree.Element) bool { return e != nil && (e.Tag == "clone" || e.Tag == "master") }

// cloned is what a clone clones.
func cloned(clone *etree.Element) *etree.Element {
	for _, k := range clone.ChildElements() {
		if k.Tag == "primitive" || k.Tag == "group" {
			return k
		}
	}
	return nil
}

// members are the members of a group that have a value of their own for the
// meta attribute, which would hide the group's.
func (s *session) members(e *etree.Element, name string) []*etree.Element {
	if e.Tag != "group" || !s.meta() || s.force {
		return nil
	}
	var out []*etree.Element
	for _, k := range e.SelectElements("primitive") {
		if _, nv := s.findPair(k, name); nv != nil {
			out = append(out, k)
		}
	}
	return out
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

func (s *session) setAttribute(e *etree.Element, name, value string) (ids, error) {
	rscID := e.SelectAttrValue("id", "")
	set, nv := s.findPair(e, name)
	var told ids
	var setID string
	if nv != nil {
		setID, told.nvpair = set.SelectAttrValue("id", ""), nv.SelectAttrValue("id", "")
		told.set = s.p.Value("set-name")
	} else {
		if setID = s.p.Value("set-name"); setID == "" {
			setID = rscID + "-" + s.attributeSet()
			if sets := e.SelectElements(s.attributeSet()); len(sets) > 0 {
				setID = sets[0].SelectAttrValue("id", setID)
			}
		}
		told.set = setID
		if told.nvpair = s.p.Value("nvpair"); told.nvpair == "" {
			told.nvpair = setID + "-" + name
		}
	}
	upd := etree.NewElement(e.Tag)
	upd.CreateAttr("id", rscID)
	us := upd.CreateElement(s.attributeSet())
	us.CreateAttr("id", setID)
	un := us.CreateElement("nvpair")
	un.CreateAttr("id", told.nvpair)
	un.CreateAttr("name", name)
	un.CreateAttr("value", value)
	return told, s.apply(&cibv1.Change{Op: cibv1.Op_OP_MODIFY, Section: "resources", Xml: xmlOf(upd)})
}

// deleteParameter removes one attribute of the resource; an absent one is no error.
func (s *session) deleteParameter() error {
	name := s.p.Value("delete-parameter")
	if name == "" {
		name = s.p.Value("set-parameter") // -p NAME -D, as it once was
	}
	_, r, doc, err := s.resource()
	if err != nil {
		return err
	}
	e := configured(doc, r)
	name = s.spelled(e, name)
	e = s.target(e, name, "delete")
	if e == nil {
		return s.notFound()
	}
	return s.deleteAttribute(e, name)
}

func (s *session) deleteAttribute(e *etree.Element, name string) error {
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
	s.tell("Deleted '%s' option: id=%s%s name=%s", e.SelectAttrValue("id", ""), id, ids{set: s.p.Value("set-name")}.setText(), name)
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

// instanceOf says whether the id names one instance of a clone rather than what
// is configured.
func instanceOf(r *state.Resource, id string) bool {
	return r.CloneNum >= 0 && r.ID == id && r.XMLID != id
}
