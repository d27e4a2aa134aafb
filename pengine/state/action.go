package state

import (
	"slices"
	"strings"

	"linuxha/pengine/rules"
)

// Need is what an action requires of the cluster (actions 2.5).
type Need int8

// The requirements.
const (
	NeedNothing Need = iota
	NeedQuorum
	NeedFencing
)

// Action is something to be done, or an ordering point (actions 2.1).
type Action struct {
	ID       int
	Task     string
	Key      string
	Interval int64
	Rsc      *Resource
	Node     *Node
	Op       *OpConf
	Meta     Attrs
	Extra    Attrs
	Flags    Flag
	Need     Need
	OnFail   OnFail
	FailRole Role
	Priority int
	Reason   string
	Before   []*Edge          // oldest first
	After    []*Edge          // oldest first
	afterOf  map[*Action]Prop // properties of the edges in After, once there are many
	Inputs   []*Edge          // before-edges as the graph sees them, once considered

	CancelTask string // the operation a cancel is about
	AnyCount   int    // runnable predecessors found
	AnyNeeded  int    // runnable predecessors needed
	Considered bool
	InputsOf   int // number of before-edges when Inputs was made
	Synapse    bool
	extraDone  bool
	Visit      int
}

// Has says whether all of the flags are set.
func (a *Action) Has(f Flag) bool { return a.Flags&f == f }

// Set sets flags.
func (a *Action) Set(f Flag) { a.Flags |= f }

// Clear clears flags.
func (a *Action) Clear(f Flag) { a.Flags &^= f }

// Required is the opposite of optional.
func (a *Action) Required() bool { return a.Flags&Optional == 0 }

// IsRunnable says whether the action can be done.
func (a *Action) IsRunnable() bool { return a.Flags&Runnable != 0 }

// IsOptional says whether nothing needs the action.
func (a *Action) IsOptional() bool { return a.Flags&Optional != 0 }

// IsPseudo says whether the action is only an ordering point.
func (a *Action) IsPseudo() bool { return a.Flags&Pseudo != 0 }

// SetReason sets the reason if there is none yet.
func (a *Action) SetReason(s string) {
	if a.Reason == "" {
		a.Reason = s
	}
}

// AddMeta adds a meta-attribute if it is absent.
func (a *Action) AddMeta(name, val string) {
	if a.Meta == nil {
		a.Meta = Attrs{}
	}
	a.Meta.PutNew(name, val)
}

// FindActions returns the actions with a key (in any case) on a node, or
// without one, oldest first; those without a node are bound to it (actions 1.2).
func FindActions(list []*Action, key string, n *Node) []*Action {
	var found []*Action
	for _, a := range list {
		if len(a.Key) != len(key) || !strings.EqualFold(a.Key, key) {
			continue
		}
		if n == nil || a.Node == n {
			found = append(found, a)
		} else if a.Node == nil {
			a.Node = n
			found = append(found, a)
		}
	}
	return found
}

// FindExact returns the actions with a key that are on exactly this node,
// oldest first.
func FindExact(list []*Action, key string, n *Node) []*Action {
	if n == nil {
		return nil
	}
	var found []*Action
	for _, a := range list {
		if a.Node == n && len(a.Key) == len(key) && strings.EqualFold(a.Key, key) {
			found = append(found, a)
		}
	}
	return found
}

// FindFirst returns the newest action that matches key, task and node, each
// only if given (actions 1.2).
func FindFirst(list []*Action, key, task string, n *Node) *Action {
	for i := len(list) - 1; i >= 0; i-- {
		a := list[i]
		if key != "" && !strings.EqualFold(a.Key, key) || task != "" && !strings.EqualFold(a.Task, task) {
			continue
		}
		if n != nil && a.Node != n {
			continue
		}
		return a
	}
	return nil
}

// manyActions is how many are looked through before an index pays.
const manyActions = 64

// keyedActions are a resource's actions with one key, oldest first.
type keyedActions struct {
	all     []*Action
	on      map[*Node][]*Action
	unbound bool // some had no node when they were entered
}

// FindActions is the function of that name for the resource's own actions.
func (r *Resource) FindActions(key string, n *Node) []*Action {
	if len(r.Actions) < manyActions {
		return FindActions(r.Actions, key, n)
	}
	if r.byKey == nil {
		r.byKey = map[string]*keyedActions{}
	}
	for ; r.keyed < len(r.Actions); r.keyed++ {
		a := r.Actions[r.keyed]
		k := strings.ToLower(a.Key)
		e := r.byKey[k]
		if e == nil {
			e = &keyedActions{on: map[*Node][]*Action{}}
			r.byKey[k] = e
		}
		e.all = append(e.all, a)
		e.on[a.Node] = append(e.on[a.Node], a)
		e.unbound = e.unbound || a.Node == nil
	}
	e := r.byKey[strings.ToLower(key)]
	switch {
	case e == nil:
		return nil
	case n == nil || e.unbound:
		return FindActions(e.all, key, n)
	}
	return slices.Clone(e.on[n]) // an action that has a node keeps it
}

// Acts returns the resource's actions with a task and interval 0 (find-all).
func (r *Resource) Acts(task string, n *Node) []*Action {
	return r.FindActions(Key(r.ID, task, 0), n)
}

// Act returns the oldest of Acts, nil if there is none.
func (r *Resource) Act(task string, n *Node) *Action {
	if l := r.Acts(task, n); len(l) > 0 {
		return l[0]
	}
	return nil
}

// Request returns the recorded action with this key, making it if necessary
// (actions 2.2).
func (c *Cluster) Request(r *Resource, key, task string, n *Node, optional bool) *Action {
	var a *Action
	var found []*Action
	if r != nil {
		found = r.FindActions(key, n)
	} else {
		found = FindActions(c.global[strings.ToLower(key)], key, n)
	}
	if len(found) > 0 {
		a = found[0]
	} else {
		c.Spend(WorkActions, 1)
		a = c.newAction(r, key, task, n, optional)
		c.nextID++
		a.ID = c.nextID
		c.Actions = append(c.Actions, a)
		if r != nil {
			r.Actions = append(r.Actions, a)
		} else {
			k := strings.ToLower(key)
			c.global[k] = append(c.global[k], a)
		}
	}
	c.refresh(a, optional, true)
	return a
}

// Temporary makes an action that is not recorded, to learn what it would be.
func (c *Cluster) Temporary(r *Resource, key, task string, n *Node) *Action {
	a := c.newAction(r, key, task, n, true)
	c.refresh(a, true, false)
	return a
}

// Op requests a resource operation with interval 0.
func (c *Cluster) Op(r *Resource, task string, n *Node, optional bool) *Action {
	return c.Request(r, Key(r.ID, task, 0), task, n, optional)
}

// GlobalAction returns the action without a resource that has this key.
func (c *Cluster) GlobalAction(key string) *Action {
	if l := c.global[strings.ToLower(key)]; len(l) > 0 {
		return l[0]
	}
	return nil
}

// PseudoAction returns the non-resource pseudo action of that name, making it
// if necessary; it starts optional.
func (c *Cluster) PseudoAction(name string) *Action {
	if a := c.GlobalAction(name); a != nil {
		return a
	}
	a := c.Request(nil, name, name, nil, true)
	a.Set(Pseudo | Runnable)
	return a
}

func (c *Cluster) newAction(r *Resource, key, task string, n *Node, optional bool) *Action {
	a := &Action{Task: task, Key: key, Rsc: r, Node: n, Flags: Runnable, Meta: Attrs{}}
	if optional {
		a.Flags |= Optional
	}
	if task == "lrm_delete" {
		a.Flags |= OnDC
	}
	if r != nil {
		a.Op = r.FindOp(key, true)
		c.opMeta(a)
		if task == "start" || task == "promote" {
			switch {
			case r.NeedsFencing:
				a.Need = NeedFencing
			case r.NeedsQuorum:
				a.Need = NeedQuorum
			}
		}
	}
	return a
}

// refresh applies what every request does to an action, new or not: optional
// flag, extra parameters and whether it can be done (state 7.2, actions 2.6).
func (c *Cluster) refresh(a *Action, optional, saved bool) {
	r := a.Rsc
	_, recurring := a.Meta["interval"]
	if r != nil && !r.Managed && a.Node != nil && !a.IsPseudo() && !recurring {
		a.Set(Optional)
	} else if !optional {
		a.Clear(Optional)
	}
	if r == nil {
		return
	}
	if a.Node != nil && a.Op != nil && !a.extraDone {
		a.extraDone = true
		a.Extra = Attrs{}
		c.Rules.Unpack(a.Op.XML, "instance_attributes", a.Extra, "", false, &rules.Subject{Node: a.Node.Attrs})
	}
	if a.IsPseudo() {
		return
	}
	n := a.Node
	switch {
	case n == nil:
		a.Clear(Runnable)
	case !a.Has(OnDC) && !n.Online && (!n.IsGuest() || n.RequiresReset):
		a.Clear(Runnable)
		if saved && c.Why.Asks() {
			c.Why.Log(Warning, "update_resource_action_runnable", a.Key+" on "+n.Name+" is unrunnable (node is offline)")
		}
		if saved && a.Task == "stop" && r.Managed && !n.Unclean {
			c.FenceNode(n, "stop is unrunnable", false)
		}
	case !a.Has(OnDC) && n.Pending:
		a.Clear(Runnable)
		if saved && c.Why.Asks() {
			c.Why.Log(Warning, "update_resource_action_runnable", "Action "+a.Key+" on "+n.Name+" is unrunnable (node is pending)")
		}
	case a.Need == NeedNothing:
		a.Reason = ""
		if n.IsGuest() && !c.CanFence(n) {
			a.Clear(Runnable)
		} else {
			a.Set(Runnable)
		}
	default:
		c.quorumGate(a)
	}
}

func (c *Cluster) quorumGate(a *Action) {
	r := a.Rsc
	switch c.EffectiveQuorumPolicy(r) {
	case QuorumStop:
		a.Clear(Runnable)
		a.Reason = "no quorum"
	case QuorumFreeze:
		if !r.FullyActive() || r.NextRole > r.Role {
			a.Clear(Runnable)
			a.Reason = "quorum freeze"
		}
	default:
		a.Set(Runnable)
	}
}

// Delete and other clean-ups.

// ClearFailcount requests that the failures of r on n be forgotten
// (actions 6.7).
func (c *Cluster) ClearFailcount(r *Resource, n *Node) *Action {
	a := c.Op(r, "clear_failcount", n, false)
	a.AddMeta("op_no_wait", "true")
	return a
}

// Order adds an ordering constraint, and what live migration adds to it
// (actions 3.3).
func (c *Cluster) Order(first, then Side, p Prop) {
	if first.Action != nil && first.Rsc == nil {
		first.Rsc = first.Action.Rsc
	}
	if then.Action != nil && then.Rsc == nil {
		then.Rsc = then.Action.Rsc
	}
	c.Orderings = append(c.Orderings, &Ordering{first, then, p})
	c.Why.Ordered(len(c.Orderings) - 1)
	a, b := first.Rsc, then.Rsc
	if a == nil || b == nil || a == b || !a.AllowMigrate && !b.AllowMigrate || isAncestor(a, b) || isAncestor(b, a) {
		return
	}
	ft, tt := first.task(), then.task()
	more := func(task1, task2 string, p Prop) {
		c.Orderings = append(c.Orderings, &Ordering{OpSide(a, task1), OpSide(b, task2), p})
		c.Why.Ordered(len(c.Orderings) - 1)
	}
	both := a.AllowMigrate && b.AllowMigrate
	switch {
	case ft == "start" && tt == "start":
		if both {
			more("migrate_from", "migrate_to", Plain)
			more("start", "migrate_to", Plain|UnlessFirstMigrates)
		} else if b.AllowMigrate {
			more("start", "migrate_to", Plain)
		}
	case b.AllowMigrate && ft == "stop" && tt == "stop":
		p := Plain
		if both {
			p |= UnlessFirstMigrates
		}
		more("stop", "migrate_to", p)
		if b.PartialTarget != nil {
			more("stop", "migrate_from", p)
		}
	case b.AllowMigrate && ft == "promote" && tt == "start":
		more("promote", "migrate_to", Plain)
	case b.AllowMigrate && ft == "demote" && tt == "stop":
		more("demote", "migrate_to", Plain)
		if b.PartialTarget != nil {
			more("demote", "migrate_from", Plain)
		}
	}
}

func isAncestor(a, b *Resource) bool {
	for p := b.Parent; p != nil; p = p.Parent {
		if p == a {
			return true
		}
	}
	return false
}

// OpSide is a side of an ordering given by resource and task.
func OpSide(r *Resource, task string) Side {
	return Side{Rsc: r, Task: task, Key: Key(r.ID, task, 0)}
}

// ActSide is a side of an ordering given by an action.
func ActSide(a *Action) Side { return Side{Rsc: a.Rsc, Action: a} }

func (s Side) task() string {
	if s.Action != nil {
		return s.Action.Task
	}
	return s.Task
}

// OrderOps orders two operations, given by resource and task.
func (c *Cluster) OrderOps(a *Resource, task1 string, b *Resource, task2 string, p Prop) {
	c.Order(OpSide(a, task1), OpSide(b, task2), p)
}
