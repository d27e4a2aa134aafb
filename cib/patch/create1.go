package patch

import (
	"slices"

	"linuxha/cib/cibdoc"
)

// legacySet is the last feature set whose documents are compared in format 1
// (cib 5.1).
const legacySet = "3.0.8"

// Legacy reports whether patches of a document are of format 1: if it names an
// old feature set, or none.
func Legacy(source *cibdoc.Doc) bool {
	return cibdoc.CompareFeatureSets(source.Root().Attr("crm_feature_set"), legacySet) <= 0
}

// tuple are a version's fields in the order of patches.
var tuple = []string{"admin_epoch", "epoch", "num_updates"}

// CreateLegacy is Create in format 1 (cib 5.5), for documents that Legacy tells
// of. Its reader must do without the order of siblings: the format has no
// moves. It always has the digest.
func CreateLegacy(old, new *cibdoc.Doc, opts Options) *cibdoc.Node {
	removed, added := removedFrom(old.Root(), new.Root()), addedTo(old.Root(), new.Root())
	if removed == nil && added == nil {
		return nil
	}
	diff := cibdoc.E("diff", "crm_feature_set", cibdoc.FeatureSet, "format", "1", "digest", new.Digest())
	before, after := cibdoc.E("diff-removed"), cibdoc.E("diff-added")
	if removed == nil {
		removed = cibdoc.E(old.Root().Tag)
	}
	if added == nil {
		added = new.Root().Bare()
	}
	if opts.NoVersion {
		for _, f := range tuple {
			removed.RemoveAttr(f)
			added.RemoveAttr(f)
		}
	} else {
		copyTuple(before, old.Root(), tuple)
		copyTuple(after, new.Root(), tuple)
		fields := tuple
		if old.ConfigSum() == new.ConfigSum() {
			fields = tuple[2:]
		}
		copyTuple(removed, old.Root(), fields)
	}
	return diff.Add(before.Add(removed), after.Add(added))
}

func copyTuple(to, from *cibdoc.Node, fields []string) {
	for _, f := range fields {
		_, has := to.Get(f)
		if v, ok := from.Get(f); ok && !has {
			to.SetAttr(f, v)
		}
	}
}

// partner is the child of n that is what c is in another version, nil if there
// is none: comments are the same by content.
func partner(n, c *cibdoc.Node) *cibdoc.Node {
	i := slices.IndexFunc(n.Children, func(o *cibdoc.Node) bool {
		if !c.IsElement() || !o.IsElement() {
			return c.Kind == o.Kind && same(c, o)
		}
		return o.Tag == c.Tag && o.ID() == c.ID()
	})
	if i < 0 {
		return nil
	}
	return n.Children[i]
}

// removedFrom is the skeleton of old with the attributes and children that new
// has otherwise or not at all; nil if there are none.
func removedFrom(old, new *cibdoc.Node) *cibdoc.Node {
	out := cibdoc.E(old.Tag)
	found := false
	for _, a := range old.Attrs {
		v, ok := new.Get(a.Name)
		changed := !ok || v != a.Value
		if changed || a.Name == "id" {
			out.SetAttr(a.Name, a.Value)
		}
		found = found || changed
	}
	for _, c := range old.Children {
		switch p := partner(new, c); {
		case p == nil:
			out.Add(marked(c, "removed:top"))
			found = true
		case c.IsElement():
			if below := removedFrom(c, p); below != nil {
				out.Add(below)
				found = true
			}
		}
	}
	if !found {
		return nil
	}
	return out
}

// addedTo is the skeleton of new with what old has otherwise or not at all; nil
// if there is nothing. Elements on the way to it have all their attributes.
func addedTo(old, new *cibdoc.Node) *cibdoc.Node {
	out := new.Bare()
	found := slices.ContainsFunc(new.Attrs, func(a cibdoc.Attr) bool {
		v, ok := old.Get(a.Name)
		return !ok || v != a.Value
	})
	for _, c := range new.Children {
		switch p := partner(old, c); {
		case p == nil:
			out.Add(marked(c, "added:top"))
			found = true
		case c.IsElement():
			if below := addedTo(p, c); below != nil {
				out.Add(below)
				found = true
			}
		}
	}
	if !found {
		return nil
	}
	return out
}

// marked is a whole subtree that is gone or new; comments have no mark.
func marked(n *cibdoc.Node, mark string) *cibdoc.Node {
	if !n.IsElement() {
		return n
	}
	out := n.Bare()
	out.Children = slices.Clone(n.Children)
	return out.SetAttr(marker, mark)
}
