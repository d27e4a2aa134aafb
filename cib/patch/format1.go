package patch

import (
	"slices"

	"linuxha/cib/cibdoc"
)

const marker = "__crm_diff_marker__"

// apply1 applies a patch of format 1, as files of feature sets up to 3.0.8
// hold it (cib 5.5).
func apply1(e *cibdoc.Edit, diff *cibdoc.Node) error {
	removed, added := diff.Child("diff-removed"), diff.Child("diff-added")
	for _, side := range []*cibdoc.Node{removed, added} {
		if side == nil {
			continue
		}
		if n := len(slices.Collect(side.Elements())); n > 1 {
			return cibdoc.Fail(cibdoc.RCNotUnique, "<%s> has %d top elements, one is possible", side.Tag, n)
		}
	}
	if removed != nil {
		if top := firstElement(removed); top != nil {
			if !fitsSkeleton(e.Root(), top) {
				return cibdoc.Fail(cibdoc.RCDiffFailed, "the patch is for <%s>, not <%s>", top.Tag, e.Root().Tag)
			}
			subtract(e.Own(nil), top)
		}
	}
	if added != nil {
		if top := firstElement(added); top != nil {
			if !fitsSkeleton(e.Root(), top) {
				return cibdoc.Fail(cibdoc.RCDiffFailed, "the patch is for <%s>, not <%s>", top.Tag, e.Root().Tag)
			}
			merge(e.Own(nil), top)
		}
	}
	return nil
}

func fitsSkeleton(n, skeleton *cibdoc.Node) bool {
	return n.IsElement() && n.Tag == skeleton.Tag && (n.ID() == skeleton.ID())
}

func childFor(n, skeleton *cibdoc.Node) int {
	return slices.IndexFunc(n.Children, func(c *cibdoc.Node) bool { return fitsSkeleton(c, skeleton) })
}

// subtract removes from n what the skeleton marks or names, but never an id.
func subtract(n, skeleton *cibdoc.Node) {
	for _, a := range skeleton.Attrs {
		if a.Name != "id" && a.Name != marker {
			n.RemoveAttr(a.Name)
		}
	}
	for s := range skeleton.Elements() {
		i := childFor(n, s)
		switch {
		case i < 0:
		case s.Attr(marker) == "removed:top":
			n.RemoveAt(i)
		default:
			subtract(n.Own(i), s)
		}
	}
}

// merge sets on n what the skeleton has, and adds what is new. The skeleton has
// all attributes of an element, so that their order is right, too.
func merge(n, skeleton *cibdoc.Node) {
	rest := n.Attrs
	n.Attrs = nil
	for _, a := range skeleton.Attrs {
		if a.Name != marker {
			n.SetAttr(a.Name, a.Value)
		}
	}
	for _, a := range rest {
		if _, set := n.Get(a.Name); !set {
			n.SetAttr(a.Name, a.Value)
		}
	}
	for s := range skeleton.Elements() {
		i := childFor(n, s)
		if i < 0 {
			n.Add(cibdoc.E(s.Tag))
			i = len(n.Children) - 1
		}
		merge(n.Own(i), s)
	}
}
