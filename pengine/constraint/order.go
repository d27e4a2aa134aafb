package constraint

import (
	"strings"

	"linuxha/pengine/internal/value"
	"linuxha/pengine/internal/xmldoc"
	"linuxha/pengine/state"
)

type orderKind int8

const (
	mandatory orderKind = iota
	optional
	serialize
)

var inverse = map[string]string{
	"start": "stop", "stop": "start", "promote": "demote", "demote": "promote",
	"started": "stopped", "stopped": "started", "running": "stopped", "promoted": "demoted", "demoted": "promoted",
}

// kindOf reads kind and score (actions 4.1).
func (u unpacker) kindOf(x *xmldoc.Elem) orderKind {
	v, ok := x.Get("kind")
	if !ok {
		if s, ok := x.Get("score"); ok && u.c.Health.Score(s) == 0 {
			return optional
		}
		return mandatory
	}
	switch strings.ToLower(v) {
	case "mandatory":
	case "optional":
		return optional
	case "serialize":
		return serialize
	default:
		u.error("get_ordering_type", "Resetting 'kind' for constraint %s to 'Mandatory' because '%s' is not valid", x.ID(), v)
	}
	return mandatory
}

// symmetry of an ordering; parent is the constraint for a set, or nil.
func (u unpacker) symmetric(x, parent *xmldoc.Elem, kind orderKind) bool {
	v, ok := first("symmetrical", x, parent)
	if ok {
		if b, valid := value.Bool(v); valid {
			if b && kind == serialize {
				u.c.Note(state.Warning, "get_ordering_symmetry", "Ignoring symmetrical for '"+x.ID()+"' because not valid with kind of 'Serialize'")
				return false
			}
			return b
		}
	}
	return kind != serialize
}

type symmetry int8

const (
	asymmetric symmetry = iota
	symmetric
	inverted
)

func orderProps(kind orderKind, firstTask string, s symmetry) state.Prop {
	p := state.Plain
	switch kind {
	case serialize:
		p |= state.Serialize
	case mandatory:
		switch s {
		case asymmetric:
			p |= state.OneWay
		case symmetric:
			p |= state.DragThen
			if firstTask == "start" || firstTask == "promote" {
				p |= state.Gate
			}
		case inverted:
			p |= state.NeedFirst
		}
	}
	return p
}

func symmetryOf(symm bool) symmetry {
	if symm {
		return symmetric
	}
	return asymmetric
}

// order reads an rsc_order (actions 4).
func (u unpacker) order(x *xmldoc.Elem) {
	x = u.expandSets(x)
	if u.isTag(x, "first") || u.isTag(x, "then") {
		x = privateCopy(x)
		for _, side := range [][2]string{{"first", "first-action"}, {"then", "then-action"}} {
			if !u.tagToSet(x, side[0], true) {
				u.unknown(x, "unpack_order_tags", x.Attr(side[0]))
				return
			}
			moveRole(x, side[1], "action")
		}
	}
	if x.Child("resource_set") != nil {
		u.orderSets(x)
		return
	}
	c := u.c
	a, b := c.Lookup(x.Attr("first")), c.Lookup(x.Attr("then"))
	if a == nil || b == nil {
		id := x.Attr("first")
		if a != nil {
			id = x.Attr("then")
		}
		u.unknown(x, "unpack_order_tags", id)
		return
	}
	if a = u.instance(x, a, "first-instance"); a == nil {
		return
	}
	if b = u.instance(x, b, "then-instance"); b == nil {
		return
	}
	task1, ok := x.Get("first-action")
	if !ok {
		task1 = "start"
	}
	task2, ok := x.Get("then-action")
	if !ok {
		task2 = task1
	}
	kind := u.kindOf(x)
	symm := u.symmetric(x, nil, kind)
	props := orderProps(kind, task1, symmetryOf(symm))
	restart := kind == optional && b.RestartTypeRestart
	if restart {
		props |= state.DragThen
	}
	if n := minInstances(x, a); n > 0 {
		u.orderMinimum(x, a, task1, b, task2, props, n)
	} else {
		u.orderOps(a, task1, b, task2, props)
	}
	if !symm {
		return
	}
	inv1, ok1 := inverse[task1]
	inv2, ok2 := inverse[task2]
	if !ok1 || !ok2 {
		c.Note(state.Warning, "inverse_ordering", "Cannot invert constraint '"+x.ID()+"' (please specify inverse manually)")
		return
	}
	props = orderProps(kind, task1, inverted)
	if restart {
		props |= state.NeedFirst
	}
	u.orderOps(b, inv2, a, inv1, props)
}

// orderOps orders two operations as a constraint asks.
func (u unpacker) orderOps(a *state.Resource, task1 string, b *state.Resource, task2 string, p state.Prop) {
	u.orderSides(state.OpSide(a, task1), state.OpSide(b, task2), p)
}

func (u unpacker) orderSides(first, then state.Side, p state.Prop) {
	u.c.Spend(state.WorkOrderings, 1)
	u.c.Order(first, then, p)
}

// minInstances is the number of instances of a clone that must be active
// before the other side (actions 4.5).
func minInstances(x *xmldoc.Elem, a *state.Resource) int {
	if a.Kind != state.Clone {
		return 0
	}
	if v, ok := a.Meta.Get("clone-min"); ok {
		return value.Bounded(v, 0)
	}
	if v, ok := x.Get("require-all"); ok && !value.Truthy(v) {
		return 1
	}
	return 0
}

func (u unpacker) orderMinimum(x *xmldoc.Elem, a *state.Resource, task1 string, b *state.Resource, task2 string, p state.Prop, n int) {
	gate := u.c.PseudoAction("clone-one-or-more:" + x.ID())
	gate.Set(state.AnyGate)
	gate.AnyNeeded = n
	for _, k := range a.Children {
		u.orderSides(state.OpSide(k, task1), state.ActSide(gate), state.AnyOf|state.ShowThen)
	}
	u.orderSides(state.ActSide(gate), state.OpSide(b, task2), p|state.Gate)
}

// orderSets handles resource sets (actions 4.6, 4.7).
func (u unpacker) orderSets(x *xmldoc.Elem) {
	kind := u.kindOf(x)
	symm := u.symmetric(x, nil, kind)
	var prev *xmldoc.Elem
	for _, set := range u.sets(x) {
		if !u.orderInside(x, set, symm) {
			return
		}
		if prev != nil {
			if !u.orderBetween(x, prev, set, kind, symmetryOf(symm)) {
				return
			}
			if symm && !u.orderBetween(x, set, prev, kind, inverted) {
				return
			}
		}
		prev = set
	}
}

func setAction(set *xmldoc.Elem) string {
	if v, ok := set.Get("action"); ok {
		return v
	}
	return "start"
}

func (u unpacker) orderInside(x, set *xmldoc.Elem, parentSymm bool) bool {
	list, ok := u.members(set, "unpack_order_set")
	if !ok {
		return false
	}
	action := setAction(set)
	kindElem := set
	if _, ok := set.Get("kind"); !ok {
		kindElem = x
	}
	kind := u.kindOf(kindElem)
	symm := u.setSymmetric(x, set, kind, parentSymm)
	seqText, hasSeq := set.Get("sequential")
	seq := !hasSeq || value.Truthy(seqText)
	props := orderProps(kind, action, symmetryOf(symm))
	for i, r := range list {
		switch {
		case kind == serialize:
			for _, later := range list[i+1:] {
				u.orderOps(r, action, later, action, props)
			}
		case seq && i > 0:
			u.orderOps(list[i-1], action, r, action, props)
		}
	}
	inv, ok := inverse[action]
	if !symm || !seq || kind == serialize {
		return true
	}
	if !ok {
		u.c.Notef(state.Warning, "cannot invert resource set "+set.ID())
		return true
	}
	props = orderProps(kind, action, inverted)
	for i := 1; i < len(list); i++ {
		u.orderOps(list[i], inv, list[i-1], inv, props)
	}
	return true
}

func (u unpacker) setSymmetric(x, set *xmldoc.Elem, kind orderKind, parentSymm bool) bool {
	if v, ok := first("symmetrical", set, x); ok {
		if b, valid := value.Bool(v); valid {
			return b && kind != serialize
		}
	}
	return kind != serialize
}

// orderBetween relates two sets; for the inverse relation they come swapped.
func (u unpacker) orderBetween(x, s1, s2 *xmldoc.Elem, kind orderKind, s symmetry) bool {
	c := u.c
	list1, ok1 := u.members(s1, "unpack_order_set")
	list2, ok2 := u.members(s2, "unpack_order_set")
	if !ok1 || !ok2 {
		return false
	}
	action1, action2 := setAction(s1), setAction(s2)
	props := orderProps(kind, action2, s)
	if s == inverted {
		inv1, ok1 := inverse[action1]
		inv2, ok2 := inverse[action2]
		if !ok1 || !ok2 {
			c.Note(state.Warning, "inverse_ordering", "Cannot invert constraint '"+x.ID()+"' (please specify inverse manually)")
			return true
		}
		action1, action2 = inv1, inv2
	}
	requireAll := true
	if v, ok := s1.Get("require-all"); ok {
		requireAll = value.Truthy(v)
	}
	if action1 == "stop" || action1 == "demote" {
		requireAll = true
	}
	if !requireAll {
		gate := c.PseudoAction("one-or-more:" + s1.ID())
		gate.Set(state.AnyGate)
		for _, r := range list1 {
			u.orderSides(state.OpSide(r, action1), state.ActSide(gate), state.AnyOf|state.ShowThen)
		}
		for _, r := range list2 {
			u.orderSides(state.ActSide(gate), state.OpSide(r, action2), props|state.Gate)
		}
		return true
	}
	if value.Truthy(s1.Attr("sequential")) && len(list1) > 0 {
		if s == inverted {
			list1 = list1[:1]
		} else {
			list1 = list1[len(list1)-1:]
		}
	}
	if value.Truthy(s2.Attr("sequential")) && len(list2) > 0 {
		if s == inverted {
			list2 = list2[len(list2)-1:]
		} else {
			list2 = list2[:1]
		}
	}
	for _, a := range list1 {
		for _, b := range list2 {
			u.orderOps(a, action1, b, action2, props)
		}
	}
	return true
}
