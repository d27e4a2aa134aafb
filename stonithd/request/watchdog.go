package request

import (
	"maps"
	"slices"
	"time"

	"linuxha/stonithd/device"
	"linuxha/stonithd/history"
	"linuxha/stonithd/topology"
)

// Watchdog is fencing without a device: a node that is lost resets itself, and
// after Timeout the others may rely on it (execution 40).
type Watchdog struct {
	Timeout time.Duration // 0: off
	Hosts   []string      // the nodes that do so; empty: all
}

// Covers says whether a node of that name resets itself.
func (w Watchdog) Covers(node string) bool {
	return w.Timeout > 0 && (len(w.Hosts) == 0 || slices.ContainsFunc(w.Hosts, func(h string) bool { return same(h, node) }))
}

// WatchdogDevice and WatchdogAgent are the names of the device that stands for
// it. It is run by the target itself only.
const (
	WatchdogDevice = "watchdog"
	WatchdogAgent  = "fence_watchdog"
)

// WatchdogInfo is what that agent can do.
func WatchdogInfo() device.Info {
	return device.Info{
		NoHostParam: true, Params: map[string]bool{},
		Actions: map[string]device.ActionInfo{"off": {OnTarget: true}, "reboot": {OnTarget: true}, "monitor": {}, "list": {}},
	}
}

// selfFencing says whether the target is expected to reset itself, so that a
// success may be assumed when the time is over.
func (c *Core) selfFencing(o *op) bool {
	return o.Action != "on" && !o.List && o.Device == "" && !o.resetFailed && c.isNode(o.Target) && c.watchdog.Covers(o.Target)
}

// NodeNames are the cluster's nodes as far as known, sorted.
func (c *Core) NodeNames() []string {
	names := slices.Collect(maps.Keys(c.ids))
	for n := range c.attrs {
		if !slices.ContainsFunc(names, func(o string) bool { return same(o, n) }) {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return names
}

// isNode: other names have no watchdog.
func (c *Core) isNode(name string) bool {
	return slices.ContainsFunc(c.NodeNames(), func(n string) bool { return same(n, name) })
}

// awaitReset waits for a target that is gone to have reset itself, where nobody
// can do anything about it; false if that is not to be relied on. A fencer that
// is there and offers nothing will not reset itself.
func (c *Core) awaitReset(o *op, at topology.Attempt) bool {
	if !c.selfFencing(o) || slices.ContainsFunc(c.activePeers(), func(p string) bool { return same(p, o.Target) }) {
		return false
	}
	if o.total == 0 {
		c.setTotal(o, "")
	}
	at.Device = WatchdogDevice
	o.attempts++
	o.attempt = &attempt{number: o.attempts, peer: o.Target, at: at}
	c.expectReset(o)
	if r, ok := c.history.Get(o.ID); ok {
		r.State, r.Executioner, r.Device = history.Executing, o.Target, WatchdogDevice
		c.history.Put(r)
	}
	c.note("Waiting %s for %s to self-fence (%s) for client %s | id=%s", c.watchdog.Timeout, o.Target, o.Action, o.Client, short(o.ID))
	return true
}

// expectReset gives the awaited attempt the watchdog's time.
func (c *Core) expectReset(o *op) {
	o.attempt.reset = true
	o.attempt.by = c.now.Add(c.watchdog.Timeout)
	if limit := o.attempt.by.Add(time.Second); o.totalBy.Before(limit) {
		o.totalBy = limit
	}
}

// resetDue ends an attempt whose target has had the time to reset itself.
func (c *Core) resetDue(o *op) {
	c.note("Self-fencing (%s) by %s for %s assumed complete | id=%s", o.Action, o.Target, o.Client, short(o.ID))
	c.settle(o, device.Result{})
}
