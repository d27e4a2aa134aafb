package request

import (
	"slices"
	"time"

	"linuxha/stonithd/device"
	"linuxha/stonithd/history"
	"linuxha/stonithd/topology"
)

type attemptKey struct {
	peer, device string
	phase        topology.Phase
}

// attempt is the execution that is awaited now.
type attempt struct {
	number int
	peer   string
	at     topology.Attempt
	by     time.Time
	reset  bool // by then the target has reset itself
}

func plus20(d time.Duration) time.Duration {
	return (d * 6 / 5).Truncate(time.Second)
}

// choose picks the executioner for a device (empty: for any). wait: nobody
// yet, but answers are still awaited.
func (c *Core) choose(o *op, dev string, phase topology.Phase) (peer string, wait bool) {
	pick := func(self, verified bool) string {
		for _, p := range c.sortedPeers(o) {
			if same(p, o.Target) != self || o.usedBy[attemptKey{p, dev, phase}] {
				continue
			}
			for _, f := range o.offers[p] {
				if (dev == "" || f.Device == dev) && (f.Verified || !verified) && suitable(f, o.Action, phase) {
					return p
				}
			}
		}
		return ""
	}
	if p := pick(false, true); p != "" {
		return p, false
	}
	if !c.allIn(o) {
		return "", true
	}
	if p := pick(false, false); p != "" {
		return p, false
	}
	if !c.queryEnded(o) {
		return "", true
	}
	if phase != topology.PhaseOn {
		return pick(true, false), false
	}
	return "", false
}

func suitable(f device.Offer, action string, phase topology.Phase) bool {
	if phase.Action(action) == "on" && !f.SupportsOn {
		return false
	}
	return !forPhase(f, phase).Disallowed
}

func forPhase(f device.Offer, phase topology.Phase) device.ForOffer {
	switch phase {
	case topology.PhaseOff:
		return f.Off
	case topology.PhaseOn:
		return f.On
	}
	return f.Own
}

// request sends the execution to the peer chosen.
func (c *Core) request(o *op, peer string, at topology.Attempt) {
	if o.total == 0 {
		c.setTotal(o, peer)
	}
	var limit time.Duration
	for _, f := range o.offers[peer] {
		if at.Device == "" || f.Device == at.Device {
			limit += o.deviceTime(f, at.Phase)
		}
	}
	delay := o.Delay
	if delay > 0 && (len(o.tried) > 0 || o.attempts > 0) {
		delay = 0 // the requested delay is for the first device only
	}
	action := at.Phase.Action(o.Action)
	o.attempts++
	o.usedBy[attemptKey{peer, at.Device, at.Phase}] = true
	o.attempt = &attempt{number: o.attempts, peer: peer, at: at, by: c.now.Add(limit*6/5 + max(delay, 0))}
	if same(peer, o.Target) && action != "on" && c.selfFencing(o) {
		c.expectReset(o)
	}
	if r, ok := c.history.Get(o.ID); ok {
		r.State, r.Executioner, r.Device = history.Executing, peer, at.Device
		c.history.Put(r)
	}
	using := ""
	if at.Device != "" {
		using = " using " + at.Device
	}
	c.note("Requesting that %s perform '%s' action targeting %s%s | for client %s (%ds)",
		peer, action, o.Target, using, o.Client, int((limit * 6 / 5).Seconds()))
	c.send("", Execute{
		ID: o.ID, Owner: c.node, Peer: peer, Attempt: o.attempts, Device: at.Device, Action: action, Target: o.Target,
		Client: o.Client, Timeout: o.Timeout, Delay: delay, AllowSelf: o.AllowSelf, Decides: c.decides(o, at),
	})
}

// decides: would this device's success be the operation's?
func (c *Core) decides(o *op, at topology.Attempt) bool {
	if o.levels == nil {
		return true
	}
	if o.Action == "on" {
		return false // devices outside the levels may follow
	}
	tried := append(slices.Clone(o.tried), topology.Outcome{Level: at.Level, Device: at.Device, Phase: at.Phase, OK: true})
	next, verdict := topology.Next(o.levels, o.Action, tried, c.skipOn)
	return verdict == topology.Succeeded || verdict == topology.Open && next.Phase == topology.PhaseOn
}

// deviceTime is what one run of a device may take (execution 38.1).
func (o *op) deviceTime(f device.Offer, phase topology.Phase) time.Duration {
	d := forPhase(f, phase)
	t := d.Timeout
	if t == 0 {
		t = o.Timeout
	}
	if o.Delay >= 0 {
		t += d.DelayMax
	}
	return t
}

// setTotal computes the limit for the whole (execution 38.3).
func (c *Core) setTotal(o *op, peer string) {
	var sum time.Duration
	if o.levels == nil {
		for _, f := range o.offers[peer] {
			sum += o.deviceTime(f, topology.PhaseWhole)
		}
	}
	for _, level := range o.levels {
		phase := topology.PhaseWhole
		if o.Action == "reboot" && len(level) > 1 {
			phase = topology.PhaseOff
		}
		for _, dev := range level {
			sum += c.firstOffer(o, dev, phase)
		}
	}
	if o.levels != nil && o.Action == "on" {
		for _, dev := range c.requiredDevices(o) {
			if !slices.ContainsFunc(o.levels, func(l []string) bool { return slices.Contains(l, dev) }) {
				sum += c.firstOffer(o, dev, topology.PhaseWhole)
			}
		}
	}
	if sum == 0 {
		sum = o.Timeout
	}
	o.total = plus20(sum) + max(o.Delay, 0)
	o.totalBy = c.now.Add(o.total)
	c.note("Total timeout set to %d for peer's fencing targeting %s for %s | id=%s",
		int(o.total.Seconds()), o.Target, o.Client, short(o.ID))
}

func (c *Core) firstOffer(o *op, dev string, phase topology.Phase) time.Duration {
	for _, p := range c.sortedPeers(o) {
		for _, f := range o.offers[p] {
			if f.Device == dev {
				return o.deviceTime(f, phase)
			}
		}
	}
	return 0
}

// executed takes an executioner's answer (execution 37.6).
func (c *Core) executed(from string, m Executed) {
	o := c.ops[m.ID]
	if o == nil {
		if r, ok := c.history.Get(m.ID); ok && !r.State.Pending() {
			c.note("Result of %s for %s arrived too late | id=%s", from, r.Target, short(m.ID))
		}
		return
	}
	a := o.attempt
	if a == nil || a.number != m.Attempt || a.peer != from {
		c.note("Discarding outdated result of %s for %s | id=%s", from, o.Target, short(m.ID))
		return
	}
	if o.levels == nil && m.Device != "" {
		a.at.Device = m.Device
	}
	c.settle(o, m.Result)
}

// settle ends the awaited attempt with a result.
func (c *Core) settle(o *op, res device.Result) {
	a := o.attempt
	o.attempt = nil
	o.resetFailed = o.resetFailed || a.reset && !res.OK()
	ignored := a.at.Phase == topology.PhaseOn
	if !ignored {
		o.last, o.lastPeer = res, a.peer
	} else if !res.OK() {
		c.note("Ignoring that %s could not turn on %s using %s: it is off for certain", a.peer, o.Target, a.at.Device)
	}
	if o.levels != nil {
		o.tried = append(o.tried, topology.Outcome{
			Level: a.at.Level, Device: a.at.Device, Phase: a.at.Phase, OK: res.OK() || ignored,
		})
		c.advance(o)
		return
	}
	if res.OK() || res.Status == device.StatusTimeout {
		c.endBy(o, res, a.peer, a.at.Device)
		return
	}
	c.advance(o)
}

// lostAttempt: the executioner is gone or silent; another node may try the
// same device before the next level (execution 45).
func (c *Core) lostAttempt(o *op, res device.Result) {
	a := o.attempt
	o.attempt = nil
	o.last, o.lastPeer = res, a.peer
	if o.levels != nil && a.at.Level < len(o.levels) {
		if peer, _ := c.choose(o, a.at.Device, a.at.Phase); peer == "" {
			o.attempt = a
			c.settle(o, res)
			return
		}
	}
	c.advance(o)
}
