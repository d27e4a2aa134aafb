package acl

import (
	"slices"
	"strings"

	"linuxha/cib/cibdoc"
)

// Names under which the decisions are traced; who debugs access knows them.
const (
	TraceCheck    = "pcmk__check_acl"
	TraceCreation = "pcmk__apply_creation_acl"
)

// Trace tells each decision on the way from old to new that concerns u, in the
// reference's words and order: what is refused, and what may be created
// (cib 11.5). replacing: the documents were compared as wholes; otherwise the
// change was made step by step and stopped at an element's first refusal.
func Trace(old, new *cibdoc.Doc, u User, replacing bool, tell func(where, text string)) {
	if u.Exempt() || !Enabled(old) || old.Sum() == new.Sum() {
		return
	}
	perms := Permissions(old, u)
	t := &tracer{
		user: u.Name, none: len(perms) == 0, replacing: replacing, tell: tell,
		before: mark(old.Root(), perms), after: mark(new.Root(), perms),
	}
	t.compare(old.Root(), new.Root(), cibdoc.Path{}, cibdoc.Path{}, "/"+old.Root().Tag)
	for _, c := range t.created {
		t.creation(c.n, c.at, c.xpath, c.inACLs)
	}
}

type tracer struct {
	user          string
	none          bool // the user has no permissions at all
	replacing     bool
	before, after marks
	tell          func(where, text string)
	created       []creation
}

type creation struct {
	n      *cibdoc.Node
	at     cibdoc.Path
	xpath  string
	inACLs bool
}

// verdict judges writing at p by m and tells a refusal.
func (t *tracer) verdict(m marks, p cibdoc.Path, xpath string) bool {
	why := "Default ACL denies user '" + t.user + "'"
	if t.none {
		why = "User '" + t.user + "' without ACLs denied"
	} else {
		for i := len(p); i >= 0; i-- {
			k := m[key(p[:i])]
			if k&Deny != 0 {
				why = "ACL denies user '" + t.user + "'"
				if i < len(p) {
					why = "Parent " + why
				}
				break
			}
			if k&Write != 0 {
				return true
			}
		}
	}
	t.tell(TraceCheck, why+" read/write access to "+xpath)
	return false
}

func step(parent string, n *cibdoc.Node) string { return parent + n.Address(nil) }

// compare goes through two versions of an element.
func (t *tracer) compare(old, new *cibdoc.Node, was, is cibdoc.Path, xpath string) {
	if old.Sum() == new.Sum() {
		return
	}
	t.attributes(old, new, was, xpath)
	partner := map[int]bool{}
	for i, o := range old.Children {
		if !o.IsElement() {
			continue
		}
		j := slices.IndexFunc(new.Children, func(n *cibdoc.Node) bool { return n.IsElement() && n.Tag == o.Tag && n.ID() == o.ID() })
		at := append(slices.Clone(was), i)
		if j < 0 || partner[j] {
			t.verdict(t.before, at, step(xpath, o))
			continue
		}
		partner[j] = true
		t.compare(o, new.Children[j], at, append(slices.Clone(is), j), step(xpath, o))
	}
	for j, n := range new.Children {
		if !n.IsElement() || partner[j] {
			continue
		}
		c := creation{n, append(slices.Clone(is), j), xpath, insideACLs(xpath)}
		ok := true
		switch {
		case t.replacing:
			ok = t.creation(c.n, c.at, c.xpath, c.inACLs)
		case t.none:
			t.begun(n, xpath+"/"+n.Tag)
		}
		if ok {
			t.created = append(t.created, c)
		}
	}
}

func insideACLs(xpath string) bool {
	const acls = "/cib/configuration/acls"
	return xpath == acls || strings.HasPrefix(xpath, acls+"/")
}

func (t *tracer) attributes(old, new *cibdoc.Node, at cibdoc.Path, xpath string) {
	for _, a := range new.Attrs {
		if v, ok := old.Get(a.Name); ok && v == a.Value {
			continue
		}
		if !t.verdict(t.before, at, xpath+"[@"+a.Name+"]") && !t.replacing {
			return
		}
	}
	for _, a := range old.Attrs {
		if _, ok := new.Get(a.Name); !ok {
			t.verdict(t.before, at, xpath)
		}
	}
}

// begun tells of an element that a user without permissions adds: its first
// attribute is refused already, so it has no id yet.
func (t *tracer) begun(n *cibdoc.Node, xpath string) {
	if len(n.Attrs) > 0 {
		t.verdict(t.before, nil, xpath+"[@"+n.Attrs[0].Name+"]")
	}
	for c := range n.Elements() {
		t.begun(c, xpath+"/"+c.Tag)
	}
}

// creation judges a new element and all below. Such that hold nothing but an
// id need no permission, outside of the ACLs.
func (t *tracer) creation(n *cibdoc.Node, at cibdoc.Path, parent string, inACLs bool) bool {
	name := "<" + n.Tag + ">"
	id := `id="` + n.ID() + `"`
	nameless := t.none && !t.replacing
	if _, ok := n.Get("id"); !ok || nameless {
		id = `id="<unset>"`
	}
	container := len(n.Attrs) == 0 || len(n.Attrs) == 1 && n.Attrs[0].Name == "id"
	xpath := step(parent, n)
	switch {
	case nameless || container && !inACLs:
		t.tell(TraceCreation, "Creation of "+name+" scaffolding with "+id+" is implicitly allowed")
	case t.verdict(t.after, at, xpath):
		t.tell(TraceCreation, "ACLs allow creation of "+name+" with "+id)
	default:
		t.tell(TraceCreation, "ACLs disallow creation of "+name+" with "+id)
		return false
	}
	for i, c := range n.Children {
		if c.IsElement() {
			t.creation(c, append(slices.Clone(at), i), xpath, inACLs || c.Tag == "acls")
		}
	}
	return true
}
