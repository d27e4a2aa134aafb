package core

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// orderRequest numbers a request's changes, once.
func (c *Core) orderRequest(from string, r Request) {
	if r.Number > c.applied[r.Origin] {
		c.order(r.Origin, r.Number, c.resolve(from, r.Ops))
	} else if r.Origin == c.origin() {
		c.finish(r.Number)
	}
	if r.Sync {
		c.w.syncs = append(c.w.syncs, syncWait{node: from, number: r.Number, seq: c.seq})
	}
}

func (c *Core) orderBacklog() {
	backlog := c.backlog
	c.backlog = nil
	for _, h := range backlog {
		r := h.msg.(Request)
		if r.Term > c.view {
			c.backlog = append(c.backlog, h)
			continue
		}
		c.orderRequest(h.from, r)
	}
}

// order gives changes the next number, applies them and tells all. A client of
// this node is answered when the message comes back: then it is on its way to
// the others, whatever becomes of this process.
func (c *Core) order(origin string, number uint64, changes []Change) {
	c.seq++
	o := Ordered{Term: c.term, Seq: c.seq, Origin: origin, Number: number, Changes: changes}
	c.send("", o)
	c.apply(c.node, o)
}

// resolve turns a request into changes that mean the same to everybody:
// increments become values, patterns become names. Later parts of a request
// see the earlier ones.
func (c *Core) resolve(from string, ops []Op) []Change {
	var out []Change
	present := func(name, node string) string {
		for _, ch := range slices.Backward(out) {
			if ch.Name == name && strings.EqualFold(ch.Node, node) && !ch.KeepValue {
				return ch.Value
			}
		}
		if a := c.attrs[name]; a != nil {
			return a.Values[node].Text
		}
		return ""
	}
	for _, op := range ops {
		switch op := op.(type) {
		case Set:
			op.Value = expand(op.Value, present(op.Name, op.Node))
			out = append(out, Change{Set: op})
		case ClearFailures:
			for _, name := range slices.Sorted(maps.Keys(c.attrs)) {
				if !op.matches(name) {
					continue
				}
				for _, node := range slices.Sorted(maps.Keys(c.attrs[name].Values)) {
					if (op.Node == "" || strings.EqualFold(op.Node, node)) && c.attrs[name].Values[node].Text != "" {
						out = append(out, Change{Set: Set{Name: name, Node: node}})
					}
				}
			}
		case Purge:
			out = append(out, Change{Set: Set{Node: op.Node}, Drop: true})
		case Refresh:
			c.note("writing all attributes as asked by %s", from)
			c.rewriteAll()
		}
	}
	return out
}

// matches tells which attributes are failures of the resource (crm 6.8).
func (f ClearFailures) matches(name string) bool {
	for _, prefix := range []string{"fail-count-", "last-failure-"} {
		rest, ok := strings.CutPrefix(name, prefix)
		if !ok {
			continue
		}
		if f.Resource == "" {
			return true
		}
		rest, ok = strings.CutPrefix(rest, f.Resource)
		if !ok {
			continue
		}
		if f.Operation != "" {
			return rest == fmt.Sprintf("#%s_%d", f.Operation, f.Interval.Milliseconds())
		}
		return rest == "" || operationSuffix(rest)
	}
	return false
}

// operationSuffix reports whether s is #OPERATION_INTERVAL.
func operationSuffix(s string) bool {
	i := strings.LastIndexByte(s, '_')
	if i < 2 || s[0] != '#' {
		return false
	}
	_, err := strconv.ParseUint(s[i+1:], 10, 64)
	return err == nil
}

const infinity = 1000000

// expand resolves value++ and value+=N against the present value; sums are
// scores, limited to infinity on both sides (crm 6.4).
func expand(text, present string) string {
	var add int64
	switch {
	case text == "value++":
		add = 1
	case strings.HasPrefix(text, "value+="):
		add = score(text[len("value+="):])
	default:
		return text
	}
	sum := score(present)
	switch {
	case sum <= -infinity || add <= -infinity:
		sum = -infinity
	case sum >= infinity || add >= infinity:
		sum = infinity
	default:
		sum = max(-infinity, min(infinity, sum+add))
	}
	switch sum {
	case infinity:
		return "INFINITY"
	case -infinity:
		return "-INFINITY"
	}
	return strconv.FormatInt(sum, 10)
}

func score(text string) int64 {
	switch strings.ToUpper(strings.TrimSpace(text)) {
	case "INFINITY", "+INFINITY":
		return infinity
	case "-INFINITY":
		return -infinity
	}
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil {
		return 0
	}
	return max(-infinity, min(infinity, n))
}

// apply does numbered changes, on every member alike.
func (c *Core) apply(from string, o Ordered) {
	at := Stamp{Writer: from, Term: o.Term, Seq: o.Seq}
	c.seq = o.Seq
	for _, ch := range o.Changes {
		c.applyChange(from, ch, at)
	}
	if o.Origin != "" {
		c.applied[o.Origin] = o.Number
		if o.Origin == c.origin() && from != c.node {
			c.finish(o.Number)
		}
	}
}

func (c *Core) applyChange(from string, ch Change, at Stamp) {
	if ch.Drop {
		c.drop(ch.Node)
		return
	}
	a := c.attrs[ch.Name]
	if a == nil {
		if ch.KeepValue {
			return // the dampening of nothing
		}
		a = &Attribute{
			Name: ch.Name, SetID: ch.SetID, PairID: ch.PairID, Private: ch.Private, User: ch.User, Dampen: ch.Dampen,
			Values: map[string]Value{},
		}
		c.attrs[ch.Name] = a
	} else if ch.SetDampen && a.Dampen != ch.Dampen {
		a.Dampen = ch.Dampen
		c.w.due(ch.Name, c.now) // pending values are written at once
	}
	if ch.KeepValue {
		return
	}
	old, known := a.Values[ch.Node]
	if known && strings.EqualFold(old.Text, ch.Value) || !known && ch.Value == "" {
		if !known {
			a.Values[ch.Node] = Value{Remote: ch.Remote, At: at}
		}
		return
	}
	a.Values[ch.Node] = Value{Text: ch.Value, Remote: ch.Remote || old.Remote, At: at}
	c.note("Setting %s[%s]: %s -> %s | from %s with %s write delay",
		ch.Name, ch.Node, shown(old.Text), shown(ch.Value), from, delayText(a.Dampen))
	if c.writer == c.node {
		c.w.changed(ch.Name, ch.Node, c.seq, c.now.Add(a.Dampen))
	}
}

func shown(text string) string {
	if text == "" {
		return "(unset)"
	}
	return text
}

func delayText(d time.Duration) string {
	if d <= 0 {
		return "no"
	}
	return strconv.FormatFloat(math.Round(d.Seconds()*1000)/1000, 'g', -1, 64) + "s"
}

func (c *Core) drop(node string) {
	for _, name := range slices.Sorted(maps.Keys(c.attrs)) {
		a := c.attrs[name]
		if _, ok := a.Values[node]; ok {
			delete(a.Values, node)
			c.w.forget(name, node)
		}
	}
}

// Found is a value as a query shows it.
type Found struct {
	Name, Value, Node string
}

// Query looks an attribute up: of one node, or of all with an empty one. known
// is false if the attribute does not exist.
func (c *Core) Query(name, node string) (found []Found, known bool) {
	a := c.attrs[name]
	if a == nil {
		return nil, false
	}
	for _, n := range slices.Sorted(maps.Keys(a.Values)) {
		if node == "" || strings.EqualFold(node, n) {
			found = append(found, Found{Name: name, Value: a.Values[n].Text, Node: n})
		}
	}
	return found, node == "" || len(found) > 0
}

// Known reports whether the attribute exists.
func (c *Core) Known(name string) bool { return c.attrs[name] != nil }

// Node is the local node's name, empty before the first view.
func (c *Core) Node() string { return c.node }

// Ready reports whether the values of before are known, as far as anybody
// knows them.
func (c *Core) Ready() bool { return !c.fresh }

// Names lists all attributes.
func (c *Core) Names() []string { return slices.Sorted(maps.Keys(c.attrs)) }

// Attribute is one attribute with its properties; ok is false if unknown.
func (c *Core) Attribute(name string) (a Attribute, ok bool) {
	if p := c.attrs[name]; p != nil {
		return p.clone(), true
	}
	return Attribute{}, false
}
