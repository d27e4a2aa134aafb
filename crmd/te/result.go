package te

import (
	"fmt"
	"time"
)

// result matches an operation's result with what was ordered (crm 5.6).
func (c *Core) result(now time.Time, ev Result) {
	if ev.Key == "" || ev.Status == StatusPending {
		return
	}
	action, graphID, target, uuid, ok := ParseKey(ev.Key)
	if !ok {
		c.abort(now, "Bad event", "magic="+ev.Key, ev.Version)
		return
	}
	failed := likeness(ev.RC) != likeness(target) || ev.Status > StatusCancelled
	what := fmt.Sprintf("op=%s node=%s rc=%d status=%d key=%s", ev.OpKey, ev.Node, ev.RC, ev.Status, ev.Key)
	if f := c.flights[ev.Key]; f != nil {
		c.flightEnded(now, f, ev, failed, target)
		return
	}
	switch {
	case ev.Replayed && !ev.Version.After(c.input) && c.inputSeen:
		return
	case c.seen(ev):
		return // the second record of one failure, or told twice
	case ev.Status == StatusCancelled:
		return
	case graphID == -1:
		c.count(ev, failed, false, true)
		c.abort(now, "Unexpected event", what, ev.Version)
	case uuid != c.uuid || action < 0:
		c.count(ev, failed, false, false)
		c.abort(now, "Foreign event", what, ev.Version)
	case ev.IntervalMS > 0:
		c.count(ev, failed, false, false)
		c.abort(now, "Change in recurring result", what, ev.Version)
	case c.cur != nil && graphID == c.cur.id && c.known(action):
		// Confirmed already: lost, or its node went, before the answer came.
		c.count(ev, failed, false, false)
		c.abort(now, "Inactive graph", what, ev.Version)
	case c.cur != nil && graphID == c.cur.id:
		c.abort(now, "Unknown event", what, ev.Version)
	default:
		c.count(ev, failed, false, false)
		c.abort(now, "Old event", what, ev.Version)
	}
}

// likeness maps degraded results to what they stand for.
func likeness(rc int) int {
	switch rc {
	case 190:
		return 0
	case 191:
		return 8
	}
	return rc
}

func (c *Core) known(action int) bool {
	for _, s := range c.cur.synapses {
		for _, a := range s.Actions {
			if a.ID == action {
				return true
			}
		}
	}
	return false
}

// flightEnded takes the answer to an action that waits for it.
func (c *Core) flightEnded(now time.Time, f *flight, ev Result, failed bool, target int) {
	c.seen(ev)
	ignore := f.Action.Meta("on_fail") == "ignore"
	current := f.run == c.cur || f.servesAlso(c.cur)
	if ev.Status == StatusCancelled && f.Action.Operation != "cancel" {
		// A monitor that was cancelled before its first result: it says
		// nothing of the resource, and is not there where it is still wanted.
		c.note(Info, "Transition %d action %d (%s on %s) was cancelled before its first result", f.Graph, f.Action.ID, f.Action.Key, f.Action.Node)
		c.land(f, false)
		c.abort(now, "Operation cancelled", "op="+ev.OpKey+" node="+ev.Node, Version{})
		return
	}
	if ev.Status == StatusCancelled && f.Action.Operation == "cancel" {
		failed = false
	}
	if !failed {
		c.note(Info, "Transition %d action %d (%s on %s) confirmed: ok | rc=%d call-id=%d",
			f.Graph, f.Action.ID, f.Action.Key, f.Action.Node, ev.RC, ev.CallID)
	} else {
		c.note(Notice, "Transition %d action %d (%s on %s): expected '%s' but got '%s' | target-rc=%d rc=%d call-id=%d",
			f.Graph, f.Action.ID, f.Action.Key, f.Action.Node, RCText(target), RCText(ev.RC), target, ev.RC, ev.CallID)
	}
	c.count(ev, failed, ignore, false)
	c.land(f, !failed || ignore)
	where := "op=" + ev.OpKey + " node=" + ev.Node
	switch {
	case failed && !ignore && current:
		c.abort(now, "Event failed", where, Version{})
	case failed && !ignore:
		c.abort(now, "Event failed", where, ev.Version)
	case !current:
		// The present graph may not know how this ended.
		c.abort(now, "Old event", where, ev.Version)
	}
}

// seen remembers a result and says whether it was known already: a failure is
// written to two elements, and may be told directly too.
func (c *Core) seen(ev Result) bool {
	id := fmt.Sprintf("%s|%s|%s|%d|%d|%d|%d", ev.Node, ev.OpKey, ev.Key, ev.CallID, ev.RC, ev.Status, ev.RCChange)
	if c.counted[id] {
		return true
	}
	if len(c.counted) > 10000 {
		clear(c.counted) // long ago; a repetition comes right behind its twin
	}
	c.counted[id] = true
	return false
}

// count raises the fail count where crm 5.7 says so.
func (c *Core) count(ev Result, failed, ignore, unordered bool) {
	if !failed || ev.Replayed || ev.Status == StatusNotNow || ev.Status == StatusCancelled {
		return
	}
	cf := CountFailure{Node: ev.Node, Resource: ev.Resource, Task: ev.Task, IntervalMS: ev.IntervalMS, OnlyLast: ignore}
	switch {
	case unordered, ev.IntervalMS > 0, ev.Task == "promote", ev.Task == "demote":
	case ev.Task == "start":
		cf.Infinity = c.startOffset == "INFINITY"
	case ev.Task == "stop":
		cf.Infinity = c.stopOffset == "INFINITY"
	default:
		return
	}
	c.counting++
	c.emit(cf)
}

// RCText is an OCF code's word (crm 4.6).
func RCText(rc int) string {
	switch rc {
	case 0:
		return "ok"
	case 1:
		return "error"
	case 2:
		return "invalid parameter"
	case 3:
		return "unimplemented feature"
	case 4:
		return "insufficient privileges"
	case 5:
		return "not installed"
	case 6:
		return "not configured"
	case 7:
		return "not running"
	case 8:
		return "promoted"
	case 9:
		return "promoted (failed)"
	case 190:
		return "OCF_DEGRADED"
	case 191:
		return "promoted (degraded)"
	}
	return "unknown"
}
