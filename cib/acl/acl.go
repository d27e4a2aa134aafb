// Package acl decides what a user may see and change of a CIB (cib 11). It is
// pure: who belongs to which group is an argument.
package acl

import (
	"fmt"
	"slices"

	"linuxha/cib/cibdoc"
	"linuxha/cib/patch"
)

// User is who asks.
type User struct {
	Name   string
	Groups []string
}

// Exempt users may do everything (cib 11.1).
func (u User) Exempt() bool { return u.Name == "" || u.Name == "root" || u.Name == "hacluster" }

// Enabled reads the cluster option enable-acl: sets called
// cib-bootstrap-options come first.
func Enabled(doc *cibdoc.Doc) bool {
	config := doc.Section("crm_config")
	if config == nil {
		return false
	}
	sets := slices.Collect(config.Elements())
	slices.SortStableFunc(sets, func(a, b *cibdoc.Node) int { return first(b) - first(a) })
	for _, set := range sets {
		for nv := range set.Elements() {
			if nv.Tag == "nvpair" && nv.Attr("name") == "enable-acl" {
				switch nv.Attr("value") {
				case "true", "TRUE", "True", "yes", "on", "1", "y":
					return true
				}
				return false
			}
		}
	}
	return false
}

func first(set *cibdoc.Node) int {
	if set.ID() == "cib-bootstrap-options" {
		return 1
	}
	return 0
}

// Kind is what a permission says.
type Kind int

// The kinds, to be combined.
const (
	Read Kind = 1 << iota
	Write
	Deny
)

// Permission is one rule that applies to a user.
type Permission struct {
	Kind  Kind
	XPath string
}

var kinds = map[string]Kind{"read": Read, "write": Write, "deny": Deny}

// Permissions are the rules for u, in document order (cib 11.3).
func Permissions(doc *cibdoc.Doc, u User) []Permission {
	acls := doc.Section("acls")
	if acls == nil {
		return nil
	}
	var out []Permission
	add := func(n *cibdoc.Node) { // the permissions that are children of n
		for p := range n.Elements() {
			kind := kinds[p.Attr("kind")]
			if p.Tag != "acl_permission" {
				kind = kinds[p.Tag] // old syntax
			}
			if x := xpathOf(p); kind != 0 && x != "" {
				out = append(out, Permission{kind, x})
			}
		}
	}
	role := func(id string) {
		for r := range acls.Elements() {
			if r.Tag == "acl_role" && r.ID() == id {
				add(r)
			}
		}
	}
	for n := range acls.Elements() {
		name := n.Attr("name")
		if name == "" {
			name = n.ID()
		}
		switch n.Tag {
		case "acl_target", "acl_user":
			if name != u.Name {
				continue
			}
		case "acl_group":
			if !slices.Contains(u.Groups, name) {
				continue
			}
		default:
			continue
		}
		for c := range n.Elements() {
			if c.Tag == "role" || c.Tag == "role_ref" {
				role(c.ID())
			}
		}
		if n.Tag == "acl_user" {
			add(n)
		}
	}
	return out
}

// xpathOf turns a permission's other notations into an XPath.
func xpathOf(p *cibdoc.Node) string {
	attr := func(names ...string) string {
		for _, n := range names {
			if v := p.Attr(n); v != "" {
				return v
			}
		}
		return ""
	}
	xpath, ref, tag, attribute := attr("xpath"), attr("reference", "ref"), attr("object-type", "tag"), attr("attribute")
	if xpath != "" {
		if attribute != "" {
			return xpath + "[@" + attribute + "]"
		}
		return xpath
	}
	if ref == "" && tag == "" {
		return ""
	}
	if tag == "" {
		tag = "*"
	}
	out := "//" + tag
	if ref != "" {
		out += "[@id='" + ref + "']"
	}
	if attribute != "" {
		out += "[@" + attribute + "]"
	}
	return out
}

// marks says for each place what matched there.
type marks map[string]Kind

func key(p cibdoc.Path) string { return fmt.Sprint([]int(p)) }

func mark(root *cibdoc.Node, perms []Permission) marks {
	m := marks{}
	for _, p := range perms {
		found, err := cibdoc.SelectNodes(root, p.XPath)
		if err != nil {
			continue // a permission that cannot be read permits and denies nothing
		}
		for _, f := range found {
			m[key(f.Path)] |= p.Kind
		}
	}
	return m
}

// View is what u may see of doc: doc itself where ACLs do not apply
// (cib 11.4). Seeing nothing is an error.
func View(doc *cibdoc.Doc, u User) (*cibdoc.Doc, error) {
	if u.Exempt() || !Enabled(doc) {
		return doc, nil
	}
	root := mark(doc.Root(), Permissions(doc, u)).filter(doc.Root(), cibdoc.Path{}, false)
	if root == nil {
		return nil, cibdoc.Fail(cibdoc.RCAccess, "user %s may not read anything", u.Name)
	}
	return cibdoc.New(root), nil
}

func (m marks) filter(n *cibdoc.Node, p cibdoc.Path, readable bool) *cibdoc.Node {
	switch k := m[key(p)]; {
	case k&Deny != 0:
		readable = false
	case k != 0:
		readable = true
	}
	out := n.Bare()
	if !readable {
		out.Attrs = slices.DeleteFunc(out.Attrs, func(a cibdoc.Attr) bool { return a.Name != "id" })
	}
	for i, c := range n.Children {
		if c.Kind != cibdoc.KindElement {
			if readable {
				out.Add(c)
			}
			continue
		}
		if v := m.filter(c, append(p, i), readable); v != nil {
			out.Add(v)
		}
	}
	if !readable && len(out.Children) == 0 {
		return nil
	}
	return out
}

// Check fails with EACCES where u may not make the changes that lead from old
// to new; what old says about access counts (cib 11.5).
func Check(old, new *cibdoc.Doc, u User) error {
	if u.Exempt() || !Enabled(old) {
		return nil
	}
	diff := patch.Create(old, new, patch.Options{NoVersion: true})
	if diff == nil {
		return nil
	}
	perms := Permissions(old, u)
	if len(perms) == 0 {
		return &cibdoc.Failure{RC: cibdoc.RCAccess, AtOnce: true, Detail: fmt.Sprintf("user %s has no permission at all", u.Name)}
	}
	before, after := mark(old.Root(), perms), mark(new.Root(), perms)
	for ch := range diff.Elements() {
		path := ch.Attr("path")
		ok := false
		switch ch.Attr("operation") {
		case "delete":
			ok = before.mayWrite(find(old, path))
		case "modify", "move":
			ok = before.mayWrite(find(old, path)) && !after.denied(find(new, path))
		case "create":
			ok = after.mayCreate(new, path, ch)
		}
		if !ok {
			return cibdoc.Fail(cibdoc.RCAccess, "user %s may not %s %s", u.Name, ch.Attr("operation"), path)
		}
	}
	return nil
}

func find(doc *cibdoc.Doc, path string) cibdoc.Path {
	p, ok := patch.Find(doc.Root(), path)
	if !ok {
		return nil
	}
	return p
}

// decide walks from p up to the root: the first mark that speaks of writing
// decides; none refuses.
func (m marks) decide(p cibdoc.Path) (write, denied bool) {
	for i := len(p); i >= 0; i-- {
		switch k := m[key(p[:i])]; {
		case k&Deny != 0:
			return false, true
		case k&Write != 0:
			return true, false
		}
	}
	return false, false
}

func (m marks) mayWrite(p cibdoc.Path) bool {
	w, _ := m.decide(p)
	return w
}

func (m marks) denied(p cibdoc.Path) bool {
	_, d := m.decide(p)
	return d
}

// mayCreate judges all elements of a new subtree. Such that hold nothing but
// an id are containers and need no permission, outside of the ACLs.
func (m marks) mayCreate(new *cibdoc.Doc, parent string, ch *cibdoc.Node) bool {
	at := find(new, parent)
	var pos int
	if _, err := fmt.Sscan(ch.Attr("position"), &pos); err != nil {
		return false
	}
	at = append(slices.Clone(at), pos)
	top := new.Root().At(at)
	if top == nil {
		return false
	}
	inACLs := false
	for i := range at {
		inACLs = inACLs || new.Root().At(at[:i+1]).Tag == "acls"
	}
	ok := true
	top.Walk(func(p cibdoc.Path, n *cibdoc.Node) bool {
		write, denied := m.decide(append(slices.Clone(at), p...))
		container := n.Kind != cibdoc.KindElement || len(n.Attrs) == 0 || len(n.Attrs) == 1 && n.Attrs[0].Name == "id"
		if denied || !write && (!container || inACLs) {
			ok = false
		}
		return ok
	})
	return ok
}

// Effective tells for each place of doc what u may do there: Read, Write or
// Deny, the last also where no permission applies.
func Effective(doc *cibdoc.Doc, u User) func(cibdoc.Path) Kind {
	m := mark(doc.Root(), Permissions(doc, u))
	return func(p cibdoc.Path) Kind {
		for i := len(p); i >= 0; i-- {
			switch k := m[key(p[:i])]; {
			case k&Deny != 0:
				return Deny
			case k&Write != 0:
				return Write
			case k&Read != 0:
				return Read
			}
		}
		return Deny
	}
}
