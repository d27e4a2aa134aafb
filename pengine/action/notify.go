package action

import (
	"slices"
	"strings"

	"linuxha/pengine/state"
)

// notifySet makes the pseudo actions around an operation of a notifying clone
// (actions 14.2).
func notifySet(c *state.Cluster, k *state.Resource, op string, a, done *state.Action) *state.NotifySet {
	if !k.Notify {
		return nil
	}
	s := &state.NotifySet{Op: op}
	make := func(kind, about, typ string, like *state.Action) *state.Action {
		task := "notify"
		if strings.HasPrefix(kind, "confirmed") {
			task = "notified"
		}
		key := k.ID + "_" + kind + "_notify_" + about + "_0"
		n := c.Request(k, key, task, nil, like.IsOptional())
		n.Set(state.Pseudo)
		n.AddMeta("notify_key_type", kind)
		n.AddMeta("notify_key_operation", about)
		n.AddMeta("notify_type", typ)
		n.AddMeta("notify_operation", op)
		return n
	}
	s.Pre = make("pre", a.Task, "pre", a)
	s.Pre.Set(state.Runnable)
	s.PreDone = make("confirmed-pre", a.Task, "pre", a)
	s.PreDone.Set(state.Runnable)
	state.AddEdge(s.Pre, s.PreDone, plain)
	state.AddEdge(s.PreDone, a, plain)
	like := func(n *state.Action) {
		n.Flags = n.Flags&^state.Runnable | done.Flags&state.Runnable
		n.Priority = infinity
	}
	s.Post = make("post", done.Task, "post", done)
	like(s.Post)
	s.PostDone = make("confirmed-post", done.Task, "post", done)
	like(s.PostDone)
	state.AddEdge(done, s.Post, dragThen)
	state.AddEdge(s.Post, s.PostDone, dragThen)
	state.AddEdge(s.PreDone, s.Post, plain)
	return s
}

// notifyEntry is one resource in one of the lists that agents are told.
type notifyEntry struct {
	rsc  string
	node *state.Node
}

// notification is what one set of notifications says.
type notification struct {
	c     *state.Cluster
	set   *state.NotifySet
	keys  map[string]string
	lists map[string][]notifyEntry
	// fenced is set for the set made after fencing, which has its own keys.
	fenced bool
}

// Notify creates the notifications of a clone, when it is put into the graph
// (actions 14.3).
func Notify(c *state.Cluster, k *state.Resource) {
	for _, set := range k.Clone.Notify {
		if set == nil {
			continue
		}
		n := &notification{c: c, set: set, lists: map[string][]notifyEntry{}}
		state.EachLeaf([]*state.Resource{k}, n.collect)
		n.makeKeys(k)
		if len(n.lists[set.Op]) > 0 {
			for _, a := range []*state.Action{set.Pre, set.PreDone, set.Post, set.PostDone} {
				a.Clear(state.Optional)
			}
		}
		state.EachLeaf([]*state.Resource{k}, n.create)
	}
}

func (n *notification) collect(r *state.Resource) {
	if r.Kind != state.Primitive {
		return
	}
	e := notifyEntry{rsc: r.ID}
	if len(r.Active) > 0 {
		e.node = r.Active[0]
	}
	add := func(list string, e notifyEntry) { n.lists[list] = append(n.lists[list], e) }
	switch r.Role {
	case state.Stopped:
		add("inactive", e)
	case state.Started:
		add("active", e)
	case state.Unpromoted:
		add("unpromoted", e)
		add("active", e)
	case state.Promoted:
		add("promoted", e)
		add("active", e)
	}
	for i := len(r.Actions) - 1; i >= 0; i-- {
		a := r.Actions[i]
		if !a.Required() || a.Node == nil {
			continue
		}
		switch a.Task {
		case "start", "stop", "promote", "demote":
			if a.IsRunnable() || a.Task == "stop" && a.Node.Unclean {
				add(a.Task, notifyEntry{r.ID, a.Node})
			}
		}
	}
}

// makeKeys turns the lists into texts (actions 14.4).
func (n *notification) makeKeys(k *state.Resource) {
	n.keys = map[string]string{}
	for _, list := range []string{"stop", "start", "demote", "promote", "active", "unpromoted", "promoted", "inactive"} {
		entries := n.lists[list]
		slices.SortStableFunc(entries, func(a, b notifyEntry) int {
			if c := strings.Compare(a.rsc, b.rsc); c != 0 || a.node == nil || b.node == nil {
				return c
			}
			return strings.Compare(a.node.ID, b.node.ID)
		})
		var rscs, unames []string
		last := ""
		for _, e := range entries {
			if e.rsc == last {
				continue
			}
			last = e.rsc
			rscs = append(rscs, e.rsc)
			if e.node != nil {
				unames = append(unames, e.node.Name)
			}
		}
		n.setKey("notify_"+list+"_resource", rscs)
		if list != "inactive" {
			n.setKey("notify_"+list+"_uname", unames)
		}
	}
	for old, name := range map[string]string{"slave": "unpromoted", "master": "promoted"} {
		for _, suffix := range []string{"_resource", "_uname"} {
			n.keys["notify_"+old+suffix] = n.keys["notify_"+name+suffix]
		}
	}
	var available, all, hosts []string
	for _, x := range n.c.Nodes {
		if k.Allowed.Has(x) {
			available = append(available, x.Name)
		}
		all = append(all, x.Name)
		host := x
		if x.IsGuest() {
			if h := x.Conn.Container.CurrentNode(); h != nil {
				host = h
			}
		}
		hosts = append(hosts, host.Name)
	}
	n.setKey("notify_available_uname", available)
	n.setKey("notify_all_uname", all)
	if strings.EqualFold(k.Meta["container-attribute-target"], "host") {
		n.setKey("notify_all_hosts", hosts)
	}
}

func (n *notification) setKey(key string, words []string) {
	if len(words) == 0 {
		n.keys[key] = " "
		return
	}
	n.keys[key] = strings.Join(words, " ")
}

func (n *notification) addKeys(a *state.Action) {
	for k, v := range n.keys {
		a.AddMeta(k, v)
	}
}

// create makes the notify actions of one primitive (actions 14.5).
func (n *notification) create(r *state.Resource) {
	if r.Kind != state.Primitive {
		return
	}
	for i := len(r.Actions) - 1; i >= 0; i-- {
		a := r.Actions[i]
		switch a.Task {
		case "start", "stop", "promote", "demote":
			if a.Required() && a.Node != nil {
				n.addKeys(a)
			}
		}
	}
	op := n.set.Op
	if !n.fenced {
		switch op {
		case "start", "promote", "demote":
			if len(n.lists[op]) == 0 {
				return
			}
		}
	}
	switch op {
	case "stop", "demote":
		if r.Role == state.Stopped {
			return
		}
		stopOp := newest(r, "stop", nil)
		for _, x := range r.Active {
			if stopOp != nil && stopOp.IsPseudo() && (x.Unclean || x.RequiresReset) {
				continue
			}
			n.notify(r, x, n.set.Pre, n.set.PreDone)
			if op == "demote" || stopOp == nil || stopOp.IsOptional() {
				n.post(r, x)
			}
		}
	case "start", "promote":
		if r.NextRole == state.Stopped {
			return
		}
		startOp := newest(r, "start", nil)
		if startOp != nil && startOp.Node != nil && startOp.Node.Conn != nil {
			if up := newest(startOp.Node.Conn, "start", nil); up != nil && !up.IsRunnable() {
				return
			}
		}
		if r.Assigned == nil {
			return
		}
		x := r.Assigned.Node
		if op == "promote" || startOp == nil || startOp.IsOptional() {
			n.notify(r, x, n.set.Pre, n.set.PreDone)
		}
		n.post(r, x)
	}
}

func (n *notification) post(r *state.Resource, x *state.Node) {
	if a := n.notify(r, x, n.set.Post, n.set.PostDone); a != nil {
		a.Priority = infinity
	}
	if n.set.PostDone == nil {
		return
	}
	for i := len(r.Actions) - 1; i >= 0; i-- {
		a := r.Actions[i]
		if iv, ok := a.Meta["interval"]; ok && iv != "0" && a.Task != "cancel" {
			state.AddEdge(n.set.PostDone, a, plain)
		}
	}
}

func (n *notification) notify(r *state.Resource, x *state.Node, before, done *state.Action) *state.Action {
	if before == nil || done == nil || x == nil || !x.Online || !before.IsRunnable() {
		return nil
	}
	key := r.ID + "_" + before.Meta["notify_type"] + "_notify_" + before.Meta["notify_operation"] + "_0"
	a := n.c.Request(r, key, "notify", x, before.IsOptional())
	for k, v := range before.Meta {
		a.AddMeta(k, v)
	}
	n.addKeys(a)
	state.AddEdge(before, a, plain)
	state.AddEdge(a, done, plain)
	return a
}

// notifyFenced tells the clone that fencing stopped one of its instances
// (actions 14.6).
func notifyFenced(c *state.Cluster, r *state.Resource, stopOp, fence *state.Action) {
	clone := r.Top()
	set := &state.NotifySet{Op: "stop"}
	make := func(kind string) *state.Action {
		key := r.ID + "_" + kind + "_notify_" + fence.Task + "_0"
		task := "notify"
		if kind != "post" {
			task = "notified"
		}
		a := c.Request(r, key, task, nil, fence.IsOptional())
		a.Set(state.Pseudo)
		a.Flags = a.Flags&^state.Runnable | fence.Flags&state.Runnable
		a.Priority = infinity
		a.AddMeta("notify_key_type", kind)
		a.AddMeta("notify_key_operation", fence.Task)
		a.AddMeta("notify_type", "post")
		a.AddMeta("notify_operation", "stop")
		return a
	}
	set.Post = make("post")
	set.PostDone = make("confirmed-post")
	state.AddEdge(fence, set.Post, dragThen)
	state.AddEdge(set.Post, set.PostDone, dragThen)
	n := &notification{c: c, set: set, fenced: true, keys: map[string]string{
		"notify_stop_resource": r.ID, "notify_stop_uname": stopOp.Node.Name,
	}}
	state.EachLeaf([]*state.Resource{clone}, n.create)
}
