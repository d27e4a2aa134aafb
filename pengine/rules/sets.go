package rules

import (
	"strings"

	"linuxha/pengine/internal/value"
	"linuxha/pengine/internal/xmldoc"
)

type nvset struct {
	elem  *xmldoc.Elem
	score int
	first bool
}

// Unpack puts the name/value pairs of the sets named setName below parent into
// table: the set called first before all others, then by falling score, equal
// scores in reverse document order; without overwrite the first value of a name
// stays (state 3.1).
func (c *Context) Unpack(parent *xmldoc.Elem, setName string, table value.Attrs, first string, overwrite bool, s *Subject) {
	if parent == nil {
		return
	}
	var sets []nvset
	for k := range parent.Children(setName) {
		e := c.Expand(k)
		if e == nil {
			continue
		}
		n := nvset{elem: e, score: c.Health.Score(e.Attr("score"))}
		n.first = first != "" && strings.EqualFold(e.ID(), first)
		i := 0 // later sets go before earlier ones of equal rank
		for i < len(sets) && (sets[i].first && !n.first || sets[i].first == n.first && sets[i].score > n.score) {
			i++
		}
		sets = append(sets, nvset{})
		copy(sets[i+1:], sets[i:])
		sets[i] = n
	}
	for _, n := range sets {
		if c.Lifetime(n.elem, s) {
			c.pairs(n.elem, table, overwrite)
		}
	}
}

func (c *Context) pairs(set *xmldoc.Elem, table value.Attrs, overwrite bool) {
	if legacy := set.Child("attributes"); legacy != nil {
		set = legacy
	}
	for nv := range set.Children("nvpair") {
		name, hasName := nv.Get("name")
		val, hasVal := nv.Get("value")
		if ref, ok := nv.Get("id-ref"); ok && (!hasName || !hasVal) {
			if target := c.Find("nvpair", ref); target != nil {
				if !hasName {
					name, hasName = target.Get("name")
				}
				if !hasVal {
					val, hasVal = target.Get("value")
				}
			}
		}
		if !hasName || !hasVal {
			continue
		}
		_, old := table[name]
		switch {
		case strings.EqualFold(val, "#default"):
			delete(table, name)
		case !old || overwrite:
			table[name] = val
			if c.Paired != nil {
				c.Paired()
			}
		}
	}
}
