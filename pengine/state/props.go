package state

// Prop is a set of properties of an ordering (actions 3.2).
type Prop uint32

// The properties.
const (
	Plain Prop = 1 << iota
	DragThen
	NeedFirst
	Gate
	PromotedNeedFirst
	Restart
	FirstMustMigrate
	PseudoGate
	DragThenHere
	ProbeGate
	AnyOf
	OneWay
	ShowFirst
	ShowThen
	SameNode
	UnlessFirstMigrates
	CancelsFirst
	Serialize
	Internal
	Utilization
	Anti
)

// Flag is a set of action flags (actions 2.8).
type Flag uint16

// The flags.
const (
	Optional Flag = 1 << iota
	Runnable
	Pseudo
	AlwaysShow
	Migratable
	Dangling
	AnyGate
	Reschedule
	OnDC
	ImpliedByFencing
	InGraph
	Tracking
)

// Edge orders two actions. It stands for two records (actions 3.1): Orig is
// what first's after-list remembers for good, Props what then's before-list
// says now; 0 means disabled.
type Edge struct {
	First, Then *Action
	Orig, Props Prop
	Emitted     bool
	Tracking    bool
}

// AddEdge orders first before then, unless an edge between them already has
// one of the properties.
func AddEdge(first, then *Action, p Prop) bool {
	if p == 0 || first == nil || then == nil || first == then {
		return false
	}
	if min(len(first.After), len(then.Before)) > manyEdges {
		if first.related(then)&p != 0 {
			return false
		}
	} else if len(first.After) <= len(then.Before) {
		for _, e := range first.After {
			if e.Then == then && e.Orig&p != 0 {
				return false
			}
		}
	} else {
		for _, e := range then.Before {
			if e.First == first && e.Orig&p != 0 {
				return false
			}
		}
	}
	e := &Edge{First: first, Then: then, Orig: p, Props: p}
	first.After = append(first.After, e)
	then.Before = append(then.Before, e)
	if first.afterOf != nil {
		first.afterOf[then] |= p
	}
	return true
}

// manyEdges is how many are looked through before a table pays.
const manyEdges = 64

// related are the properties of all edges from a to then.
func (a *Action) related(then *Action) Prop {
	if a.afterOf == nil {
		a.afterOf = make(map[*Action]Prop, 2*len(a.After))
		for _, e := range a.After {
			a.afterOf[e.Then] |= e.Orig
		}
	}
	return a.afterOf[then]
}
