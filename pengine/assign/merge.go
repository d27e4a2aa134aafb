package assign

import (
	"strings"

	"linuxha/pengine/internal/value"
	"linuxha/pengine/state"
)

type mergeOpts uint8

const (
	mergeThisWith mergeOpts = 1 << iota
	mergeNonnegative
	mergeActive
)

// marker is a score of something temporarily unusable (assignment 10.6).
const marker = -100 * infinity

// merge brings r's wishes into table t, which may be absent (nil)
// (assignment 10.5), along colocation x, nil if it is asked for its own wishes.
func (a assigner) merge(r *state.Resource, t *state.Table, x *state.Colocation, f float32, opts mergeOpts) {
	if r.Merging {
		return
	}
	r.Merging = true
	defer func() { r.Merging = false }()
	var w state.Table
	switch {
	case r.Kind == state.Group && len(r.Children) == 0:
		return
	case r.Kind == state.Group:
		m := r.Children[0]
		if *t == nil {
			m = r.Children[len(r.Children)-1]
		} else {
			w = t.Copy()
		}
		a.merge(m, &w, x, f, opts)
	case *t == nil:
		w = r.Allowed.Copy()
	default:
		w = t.Copy()
		a.combine(w, r, x, f, opts&mergeNonnegative != 0)
	}
	switch {
	case a.usablePlus(w):
		sign := float32(1)
		if f < 0 {
			sign = -1
		}
		list := r.ThisWith
		if opts&mergeThisWith == 0 {
			list = r.WithThis
			if r.Kind == state.Group {
				list = r.Children[len(r.Children)-1].WithThis
			}
		}
		if !a.c.Afford(state.WorkMerging, len(list)+len(w)) {
			list = nil
		}
		for _, x := range list {
			other := x.Primary
			if opts&mergeThisWith == 0 {
				if !influences(x, x.Primary) {
					continue
				}
				other = x.Dependent
			}
			a.merge(other, &w, x, sign*float32(x.Score)/float32(infinity), opts|mergeActive)
		}
	case opts&mergeActive != 0:
		return
	}
	if opts&mergeNonnegative != 0 {
		for i := range w {
			if w[i].Set && w[i].Score == marker {
				w[i].Score = 1
				a.c.Why.Set(&w[i], state.Cause{Kind: state.WhyKeepPlace})
			}
		}
	}
	*t = w
}

// combine adds to each entry of w what r thinks of its node (assignment 10.6).
func (a assigner) combine(w state.Table, r *state.Resource, x *state.Colocation, f float32, nonnegative bool) {
	attr := ""
	if x != nil {
		attr = x.NodeAttr
	}
	best := a.bestByAttr(r, attr)
	for i := range w {
		e := &w[i]
		if !e.Set {
			continue
		}
		b := best(i)
		if f < 0 && b < 0 || e.Score == marker {
			continue
		}
		d := f * float32(b)
		var delta int
		if d < 0 {
			delta = int(float64(d) - 0.5)
		} else {
			delta = int(float64(d) + 0.5)
		}
		if delta == 0 && b != 0 {
			switch {
			case f > 0:
				delta = 1
			case f < 0:
				delta = -1
			}
		}
		sum := value.Add(e.Score, delta)
		if nonnegative && sum < 0 && e.Score >= 0 {
			if e.Score > 0 {
				e.Score = marker
			}
			continue
		}
		e.Score = sum
		if delta != 0 && a.c.Why.Asks() {
			a.c.Why.Add(e, delta, a.wish(r, a.c.ByIdx[i], x, attr, f, b))
		}
	}
}

// bestByAttr gives, for a node's index, the best score of r on usable nodes
// that agree with it in an attribute.
func (a assigner) bestByAttr(r *state.Resource, attr string) func(i int) int {
	if attr == "" || strings.EqualFold(attr, "#uname") {
		unnamed := -infinity
		for i := range r.Allowed {
			if n := a.c.ByIdx[i]; r.Allowed[i].Set && !n.Named && n.Usable() {
				unnamed = max(unnamed, r.Allowed[i].Score)
			}
		}
		return func(i int) int {
			n := a.c.ByIdx[i]
			if !n.Named {
				return unnamed
			}
			if i < len(r.Allowed) && r.Allowed[i].Set && n.Usable() {
				return max(r.Allowed[i].Score, -infinity)
			}
			return -infinity
		}
	}
	best := map[string]int{}
	for i := range r.Allowed {
		if n := a.c.ByIdx[i]; r.Allowed[i].Set && n.Usable() {
			k := attrKey(n, attr)
			if old, ok := best[k]; !ok || r.Allowed[i].Score > old {
				best[k] = r.Allowed[i].Score
			}
		}
	}
	return func(i int) int {
		if b, ok := best[attrKey(a.c.ByIdx[i], attr)]; ok {
			return max(b, -infinity)
		}
		return -infinity
	}
}

// attrKey makes node attribute values comparable: case does not matter, and
// missing values equal each other but no others (assignment 1.4.9).
func attrKey(n *state.Node, attr string) string {
	v, ok := n.Attrs.Get(attr)
	if !ok {
		return "\x00"
	}
	return strings.ToLower(v)
}
