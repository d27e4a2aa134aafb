package ops

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"linuxha/cib/cibdoc"
)

// narrowed is the payload's part that the section is about: a whole CIB given
// for one section means that section of it (cib 3.5).
func narrowed(ch Change) (*cibdoc.Node, error) {
	if ch.XML == nil {
		return nil, cibdoc.Fail(cibdoc.RCInvalid, "%v needs an XML element", ch.Op)
	}
	if ch.XPath || ch.XML.Tag != "cib" {
		return ch.XML, nil
	}
	p, ok := cibdoc.SectionPath(ch.XML, ch.Section)
	if !ok {
		return nil, cibdoc.Fail(cibdoc.RCInvalid, "the given <cib> has no section %q", ch.Section)
	}
	return ch.XML.At(p), nil
}

func wholeCIB(section string) bool {
	tags, _ := cibdoc.SectionTags(section)
	return len(tags) == 0
}

// create adds objects that must not be there yet (cib 4.2).
func create(e *cibdoc.Edit, ch Change) (*cibdoc.Node, error) {
	if ch.XML == nil {
		return nil, cibdoc.Fail(cibdoc.RCInvalid, "create needs an XML element")
	}
	if asModify(ch) {
		ch.CanCreate = false
		return nil, modify(e, ch)
	}
	parent, ok := cibdoc.SectionPath(e.Root(), ch.Section)
	if ch.XPath {
		found, err := cibdoc.SelectNodes(e.Root(), ch.Section)
		if err != nil || len(found) == 0 {
			return nil, cibdoc.Fail(cibdoc.RCNoSuch, "nothing matches %s", ch.Section)
		}
		parent, ok = found[0].Path, true
	}
	for _, o := range objects(ch) {
		if !ok {
			return nil, createFailed(o, cibdoc.RCInvalid)
		}
		if index(e.Root().At(parent), o) >= 0 {
			return nil, createFailed(o, cibdoc.RCExists)
		}
		e.Own(parent).Add(filled(o))
	}
	return nil, nil
}

// asModify: a create without a section is a modify (cib 4.2).
func asModify(ch Change) bool {
	return !ch.XPath && (wholeCIB(ch.Section) && isWholeName(ch.Section) || ch.XML.Tag == "cib")
}

// objects are what a create adds.
func objects(ch Change) []*cibdoc.Node {
	if !ch.XPath && ch.XML.Tag == ch.Section {
		return slices.Collect(ch.XML.Elements())
	}
	return []*cibdoc.Node{ch.XML}
}

// firstObject is what a create adds first; nil for other changes, and for a
// create that is carried out as a modify.
func firstObject(ch Change) *cibdoc.Node {
	if ch.Op != Create || ch.XML == nil || asModify(ch) {
		return nil
	}
	if all := objects(ch); len(all) > 0 {
		return all[0]
	}
	return nil
}

// isWholeName: an unknown section name behaves as none when looking for an
// element, but a create goes below the root with it all the same.
func isWholeName(section string) bool {
	_, known := cibdoc.SectionTags(section)
	return known
}

// createFailed is the answer that says which object could not be created.
func createFailed(o *cibdoc.Node, rc cibdoc.RC) error {
	update := cibdoc.E("failed_update")
	if id, ok := o.Get("id"); ok {
		update.SetAttr("id", id)
	}
	update.SetAttr("object_type", o.Tag).SetAttr("operation", Create.String()).SetAttr("reason", rc.Error())
	return &cibdoc.Failure{
		RC: rc, Detail: "create <" + o.Tag + "> " + strconv.Quote(o.ID()),
		Payload: cibdoc.E("failed").Add(update.Add(o)),
	}
}

// index finds the child that o would be taken for: same tag and id, or the
// first of the tag if o has no id (cib 4.2).
func index(parent, o *cibdoc.Node) int {
	id, hasID := o.Get("id")
	if id != "" {
		return parent.Index(o.Tag, id, true)
	}
	return slices.IndexFunc(parent.Children, func(c *cibdoc.Node) bool {
		return c.IsElement() && c.Tag == o.Tag && (!hasID || c.ID() == id)
	})
}

// childFor finds the child that a modify merges o into (cib 4.3 step 3).
func childFor(parent, o *cibdoc.Node) int {
	if o.Kind == cibdoc.KindComment {
		return slices.IndexFunc(parent.Children, func(c *cibdoc.Node) bool { return c.Kind == cibdoc.KindComment && c.Text == o.Text })
	}
	name := "id"
	id, has := o.Get(name)
	if id != "" {
		return parent.Index(o.Tag, id, true)
	}
	if !has {
		name = "id-ref"
		id, has = o.Get(name)
	}
	return slices.IndexFunc(parent.Children, func(c *cibdoc.Node) bool {
		return c.IsElement() && c.Tag == o.Tag && (!has || c.Attr(name) == id)
	})
}

// filled is a new element with o's content: children of one tag without ids
// collapse into one, `replace` is not stored, arithmetic begins at 0.
func filled(o *cibdoc.Node) *cibdoc.Node {
	n := cibdoc.E(o.Tag)
	merge(n, o)
	return n
}

// merge sets on n, which may be changed, what o has (cib 4.3 step 3).
func merge(n, o *cibdoc.Node) {
	for _, tag := range strings.Split(o.Attr("replace"), ",") {
		if i := n.ChildIndex(tag); tag != "" && i >= 0 {
			n.RemoveAt(i)
		}
	}
	for _, a := range o.Attrs {
		if a.Name == "replace" {
			continue
		}
		old, has := n.Get(a.Name)
		if v := expand(a.Name, a.Value, old); !has || v != old {
			n.SetAttr(a.Name, v)
		}
	}
	for _, c := range o.Children {
		i := childFor(n, c)
		switch {
		case i < 0 && c.Kind == cibdoc.KindComment:
			n.Add(c)
		case i < 0:
			n.Add(filled(c))
		case c.Kind == cibdoc.KindElement:
			merge(n.Own(i), c)
		}
	}
}

const infinity = 1000000

// expand computes NAME++ and NAME+=N, NAME being the attribute's own, from the
// old value as a score, 0 if there is none (cib 4.3 step 4, 3.4 step 6).
func expand(name, value, old string) string {
	rest, ok := strings.CutPrefix(value, name)
	if !ok {
		return value
	}
	add := 1
	if rest != "++" {
		n, ok := strings.CutPrefix(rest, "+=")
		if !ok {
			return value
		}
		add = score(n)
	}
	return strconv.Itoa(max(min(score(old)+add, infinity), -infinity))
}

// mayExpand: some attribute in n refers to itself.
func mayExpand(n *cibdoc.Node) bool {
	found := false
	n.Walk(func(_ cibdoc.Path, c *cibdoc.Node) bool {
		for _, a := range c.Attrs {
			found = found || expand(a.Name, a.Value, "") != a.Value
		}
		return !found
	})
	return found
}

// expandNew computes what a replacement or a patch brought in of references to
// itself, as if the old value were 0 (cib 3.4 step 6).
func expandNew(doc *cibdoc.Doc) *cibdoc.Doc {
	type at struct {
		path cibdoc.Path
		attr int
	}
	var found []at
	doc.Root().Walk(func(p cibdoc.Path, n *cibdoc.Node) bool {
		for i, a := range n.Attrs {
			if expand(a.Name, a.Value, "") != a.Value {
				found = append(found, at{append(cibdoc.Path{}, p...), i})
			}
		}
		return true
	})
	if len(found) == 0 {
		return doc
	}
	e := doc.Edit()
	for _, f := range found {
		a := &e.Own(f.path).Attrs[f.attr]
		a.Value = expand(a.Name, a.Value, "")
	}
	return e.Doc()
}

func score(s string) int {
	switch strings.TrimPrefix(s, "+") {
	case "INFINITY":
		return infinity
	case "-INFINITY":
		return -infinity
	}
	s = strings.TrimLeft(s, " \t\n\v\f\r")
	end := 0
	for end < len(s) && (s[end] >= '0' && s[end] <= '9' || end == 0 && (s[end] == '-' || s[end] == '+')) {
		end++
	}
	n, err := strconv.Atoi(s[:end]) // what follows the number does not count
	if errors.Is(err, strconv.ErrRange) {
		n = infinity
		if s[0] == '-' {
			n = -infinity
		}
	}
	return max(min(n, infinity), -infinity)
}

// modify updates the first element that the payload names (cib 4.3).
func modify(e *cibdoc.Edit, ch Change) error {
	o, err := narrowed(ch)
	if err != nil {
		return err
	}
	if !ch.XPath {
		at, ok := cibdoc.SectionPath(e.Root(), ch.Section)
		if !ok {
			at = makeSection(e, ch.Section)
		}
		return modifyBelow(e, at, o, ch.CanCreate)
	}
	found, err := cibdoc.SelectNodes(e.Root(), ch.Section)
	if err != nil || len(found) == 0 {
		return cibdoc.Fail(cibdoc.RCNoSuch, "nothing matches %s", ch.Section)
	}
	for _, m := range found {
		// An XPath says where to look, never where to create.
		if err := modifyBelow(e, m.Path, o, false); err != nil {
			return err // as the reference: also if a later match would do
		}
		if !ch.All {
			break
		}
	}
	return nil
}

// makeSection adds a known section that is missing, with its parent (cib 3.6).
func makeSection(e *cibdoc.Edit, section string) cibdoc.Path {
	tags, _ := cibdoc.SectionTags(section)
	p := cibdoc.Path{}
	for _, tag := range tags {
		parent := e.Own(p)
		i := parent.ChildIndex(tag)
		if i < 0 {
			parent.Add(cibdoc.E(tag))
			i = len(parent.Children) - 1
		}
		p = append(p, i)
	}
	return p
}

func modifyBelow(e *cibdoc.Edit, at cibdoc.Path, o *cibdoc.Node, canCreate bool) error {
	target := firstOf(e.Root().At(at), at, o)
	if target == nil {
		if !canCreate {
			return cibdoc.Fail(cibdoc.RCNoSuch, "there is no <%s> %q to modify; allow creation to add it", o.Tag, o.ID())
		}
		e.Own(at).Add(filled(o))
		return nil
	}
	merge(e.Own(target), o)
	return nil
}

// firstOf is the path of the first element with o's tag and id from n on, in
// document order; nil if there is none.
func firstOf(n *cibdoc.Node, at cibdoc.Path, o *cibdoc.Node) cibdoc.Path {
	if id := o.ID(); id != "" {
		if p, ok := n.Find(o.Tag, id); ok {
			return append(append(cibdoc.Path{}, at...), p...)
		}
		return nil
	}
	return search(n, at, o.Tag, func(_ cibdoc.Path, n *cibdoc.Node) bool {
		return n.IsElement() && n.Tag == o.Tag && n.ID() == ""
	})
}

// search is the path of the first element of that tag from n on, in document
// order, that fits; nil if none does.
func search(n *cibdoc.Node, at cibdoc.Path, tag string, fits func(cibdoc.Path, *cibdoc.Node) bool) cibdoc.Path {
	var found cibdoc.Path
	n.Walk(func(p cibdoc.Path, c *cibdoc.Node) bool {
		if found == nil && fits(p, c) {
			found = append(append(cibdoc.Path{}, at...), p...)
		}
		return found == nil && c.MayHold(tag)
	})
	return found
}

// replace puts the payload in the place of what it names (cib 4.4).
func replace(e *cibdoc.Edit, ch Change) error {
	o, err := narrowed(ch)
	if err != nil {
		return err
	}
	if ch.XPath {
		return replaceMatches(e, ch, o)
	}
	if o.Tag == "cib" {
		return replaceWhole(e, o)
	}
	at, ok := cibdoc.SectionPath(e.Root(), ch.Section)
	if ch.Section == o.Tag {
		at, ok = nil, true
	}
	if !ok {
		return cibdoc.Fail(cibdoc.RCNoSuch, "there is no section %q", ch.Section)
	}
	id, hasID := o.Get("id")
	target := search(e.Root().At(at), at, o.Tag, func(p cibdoc.Path, n *cibdoc.Node) bool {
		return len(p) > 0 && n.IsElement() && n.Tag == o.Tag && (!hasID || n.ID() == id)
	})
	if target == nil {
		return cibdoc.Fail(cibdoc.RCNoSuch, "there is no <%s> %q to replace", o.Tag, o.ID())
	}
	e.Own(target[:len(target)-1]).Children[target[len(target)-1]] = o
	return nil
}

func replaceMatches(e *cibdoc.Edit, ch Change, o *cibdoc.Node) error {
	found, err := cibdoc.SelectNodes(e.Root(), ch.Section)
	if err != nil || len(found) == 0 {
		return cibdoc.Fail(cibdoc.RCNoSuch, "nothing matches %s", ch.Section)
	}
	found = outermost(found)
	if !ch.All {
		found = found[:1]
	}
	for _, m := range slices.Backward(found) {
		if len(m.Path) == 0 {
			if o.Tag != "cib" {
				return cibdoc.Fail(cibdoc.RCInvalid, "the root can be replaced by a <cib> only")
			}
			return replaceWhole(e, o)
		}
		parent := e.Own(m.Path[:len(m.Path)-1])
		parent.RemoveAt(m.Path[len(m.Path)-1])
		parent.Add(o)
	}
	return nil
}

// outermost leaves out matches that lie inside another one.
func outermost(found []cibdoc.Match) []cibdoc.Match {
	var out []cibdoc.Match
	for _, m := range found {
		if len(out) == 0 || !m.Path.HasPrefix(out[len(out)-1].Path) {
			out = append(out, m)
		}
	}
	return out
}

func replaceWhole(e *cibdoc.Edit, o *cibdoc.Node) error {
	was, is := cibdoc.NodeVersion(e.Root(), -1), cibdoc.NodeVersion(o, -1)
	if is.Less(was) {
		return cibdoc.Fail(cibdoc.RCOldData, "the given document is version %v, the present one %v", is, was)
	}
	if o.ChildIndex("status") < 0 {
		o = o.Shallow().Add(cibdoc.E("status")) // a running CIB always has one (cib 1.2)
	}
	e.SetRoot(o)
	return nil
}

// remove deletes what the XPath or the payload names (cib 4.5). Nothing to
// delete is success.
func remove(e *cibdoc.Edit, ch Change) error {
	if ch.XPath {
		return removeMatches(e, ch)
	}
	o, err := narrowed(ch)
	if err != nil {
		return err
	}
	at, ok := cibdoc.SectionPath(e.Root(), ch.Section)
	victims := []*cibdoc.Node{o}
	if o.Tag == ch.Section {
		victims = slices.Collect(o.Elements())
	}
	for _, v := range victims {
		var target cibdoc.Path
		if ok {
			target = search(e.Root().At(at), at, v.Tag, func(p cibdoc.Path, n *cibdoc.Node) bool { return len(p) > 0 && isVictim(n, v) })
		}
		if target == nil {
			continue
		}
		e.Own(target[:len(target)-1]).RemoveAt(target[len(target)-1])
	}
	return nil
}

func isVictim(n, v *cibdoc.Node) bool {
	if !n.IsElement() || n.Tag != v.Tag {
		return false
	}
	for _, a := range v.Attrs {
		have, ok := n.Get(a.Name)
		if !ok || a.Name == "id" && have != a.Value || !strings.EqualFold(have, a.Value) {
			return false
		}
	}
	return true
}

func removeMatches(e *cibdoc.Edit, ch Change) error {
	found, err := cibdoc.SelectNodes(e.Root(), ch.Section)
	found = outermost(found)
	if err != nil || len(found) == 0 {
		return nil // what is no XPath matches nothing either, as the reference has it
	}
	if !ch.All {
		found = found[:1]
	}
	for _, m := range slices.Backward(found) {
		if len(m.Path) == 0 {
			return cibdoc.Fail(cibdoc.RCInvalid, "the root element cannot be deleted")
		}
		e.Own(m.Path[:len(m.Path)-1]).RemoveAt(m.Path[len(m.Path)-1])
	}
	return nil
}
