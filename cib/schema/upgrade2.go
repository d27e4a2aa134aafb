package schema

import "linuxha/cib/cibdoc"

// aclsTo2 rewrites the access lists of the 1.x schemas (cib 9.4).
func aclsTo2(t *transformation) {
	acls := t.config.Child("acls")
	if acls == nil {
		return
	}
	var out []*cibdoc.Node
	for _, n := range acls.Children {
		switch n.Tag {
		case "acl_role":
			r := n.Bare()
			for _, c := range n.Children {
				if c.IsElement() {
					c = t.permissionTo2(c)
				}
				r.Add(c)
			}
			out = append(out, r)
		case "acl_user":
			out = append(out, t.userTo2(n)...)
		default:
			out = append(out, n)
		}
	}
	acls.Children = out
}

// userTo2 is a user as a target of roles; permissions of its own become a role.
func (t *transformation) userTo2(n *cibdoc.Node) []*cibdoc.Node {
	target := n.Bare()
	target.Tag = "acl_target"
	auto := cibdoc.E("acl_role", "id", "auto-"+n.ID())
	for c := range n.Elements() {
		if c.Tag == "role_ref" {
			role := c.Bare()
			role.Tag = "role"
			target.Add(role)
		} else {
			auto.Add(t.permissionTo2(c))
		}
	}
	if len(auto.Children) == 0 {
		return []*cibdoc.Node{target}
	}
	target.Add(cibdoc.E("role", "id", auto.ID()))
	return []*cibdoc.Node{target, auto}
}

func (t *transformation) permissionTo2(p *cibdoc.Node) *cibdoc.Node {
	q := cibdoc.E("acl_permission", "id", p.ID(), "kind", p.Tag)
	attribute, narrowed := p.Get("attribute")
	ref, byRef := p.Get("ref")
	tag, byTag := p.Get("tag")
	switch {
	case byRef:
		if narrowed {
			t.say("ACLs: @attribute cannot accompany @ref for upgrade-1.3.xsl purposes, ignoring")
		}
		q.SetAttr("reference", ref)
	case byTag:
		q.SetAttr("object-type", tag)
		if narrowed {
			t.say("ACLs: @attribute (with @tag) handling generalized a bit for upgrade-1.3.xsl purposes")
			q.SetAttr("attribute", attribute)
		}
	default:
		xpath := p.Attr("xpath")
		if narrowed {
			t.say("ACLs: @attribute (with @xpath) handling generalized a bit for upgrade-1.3.xsl purposes")
			xpath += "[@" + attribute + "]"
		}
		q.SetAttr("xpath", xpath)
	}
	return q
}
