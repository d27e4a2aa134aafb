package schema

import (
	"slices"
	"strings"

	"linuxha/cib/cibdoc"
)

// The 3.0 transform works on sets where they are used: a reference to a set is
// replaced by a copy first, since what it stands for may mean something else
// there, and afterwards what stayed the same is referred to again (cib 9.4).

const (
	expandedPrefix = "_cibtr-2_"
	insidePrefix   = "__cibtr-2_"
)

// maxExpanded bounds the elements that references may become: a few KB of
// references to one large set would fill the memory.
const maxExpanded = 200_000

// expansion is a reference that was replaced by what it stands for.
type expansion struct {
	node   *cibdoc.Node
	target string // the id it referred to
	attrs  []cibdoc.Attr
}

// expandReferences puts in the place of each id-ref a copy of what it names,
// with ids of its own.
func expandReferences(t *transformation) {
	byID := map[string]*cibdoc.Node{}
	sets := []string{"cluster_property_set", "instance_attributes", "meta_attributes", "utilization"}
	each(t.config, func(_, n *cibdoc.Node) {
		if id, ok := n.Get("id"); ok && byID[n.Tag+" "+trim(id)] == nil {
			byID[n.Tag+" "+trim(id)] = n
		}
	}, sets...)
	size := map[*cibdoc.Node]int{}
	total := 0
	each(t.config, func(_, n *cibdoc.Node) {
		id := trim(n.Attr("id-ref"))
		target := byID[n.Tag+" "+id]
		if id == "" || target == nil || t.err != nil {
			return // to a set of another kind, which makes no sense here or there
		}
		if size[target] == 0 {
			target.Walk(func(cibdoc.Path, *cibdoc.Node) bool { size[target]++; return true })
		}
		if total += size[target]; total > maxExpanded {
			t.err = cibdoc.Fail(cibdoc.RCSchema, "line %d: element %s: the references up to here stand for more than %d elements", n.Line, n.Tag, maxExpanded)
			return
		}
		t.expanded = append(t.expanded, expansion{n, id, slices.Clone(n.Attrs)})
		copied := clone(target)
		copied.Walk(func(p cibdoc.Path, c *cibdoc.Node) bool {
			if cid, ok := c.Get("id"); ok && len(p) > 0 {
				c.SetAttr("id", insidePrefix+id+"__"+cid)
			}
			return true
		})
		n.Attrs, n.Children = copied.Attrs, copied.Children
		n.SetAttr("id", expandedPrefix+id)
	}, sets...)
}

// foldReferences restores the references whose copy is still the same as what
// they named. Other copies keep their content, and get ids of their own where
// there are several of one set.
func foldReferences(t *transformation) {
	byID := map[string]*cibdoc.Node{}
	here := map[*cibdoc.Node]bool{}
	t.config.Walk(func(_ cibdoc.Path, n *cibdoc.Node) bool {
		here[n] = true
		if id, ok := n.Get("id"); ok && n.IsElement() && byID[n.Tag+" "+trim(id)] == nil {
			byID[n.Tag+" "+trim(id)] = n
		}
		return true
	})
	copies := map[string]int{}
	for _, x := range t.expanded {
		if !here[x.node] {
			continue // it was dropped
		}
		target := byID[x.node.Tag+" "+x.target]
		if target == nil {
			t.say("DEBUG: %s: original element pointed to with @id-ref (%s) disappeared during upgrade", x.node.Tag, x.target)
			tellApart(x, copies)
			continue
		}
		back := clone(x.node)
		back.Walk(func(p cibdoc.Path, c *cibdoc.Node) bool {
			if cid, ok := strings.CutPrefix(c.ID(), insidePrefix+x.target+"__"); ok && len(p) > 0 {
				c.SetAttr("id", cid)
			}
			return true
		})
		back.SetAttr("id", target.ID())
		if back.Sum() == clone(target).Sum() {
			x.node.Attrs, x.node.Children = x.attrs, nil
			continue
		}
		tellApart(x, copies)
	}
}

// tellApart gives the second and later copies of a set ids of their own.
func tellApart(x expansion, copies map[string]int) {
	copies[x.target]++
	more := strings.Repeat("_", copies[x.target]-1)
	if more == "" {
		return
	}
	x.node.Walk(func(_ cibdoc.Path, c *cibdoc.Node) bool {
		for _, prefix := range []string{expandedPrefix, insidePrefix} {
			if rest, ok := strings.CutPrefix(c.ID(), prefix+x.target); ok {
				c.SetAttr("id", prefix+x.target+more+rest)
			}
		}
		return true
	})
}
