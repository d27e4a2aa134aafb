package device

import (
	"maps"
	"slices"
	"strings"
	"time"
)

type verdict int

const (
	no verdict = iota
	yes
	later // list, status or metadata must come first
)

// settle answers every evaluation for which enough is known.
func (c *Core) settle(now time.Time) {
	var open []*evaluation
	for _, ev := range c.evals {
		offers, wait := c.evaluate(now, ev)
		if wait {
			open = append(open, ev)
			continue
		}
		c.out.Evaluated = append(c.out.Evaluated, Evaluated{ID: ev.ID, Offers: offers})
	}
	c.evals = open
}

func (c *Core) evaluate(now time.Time, ev *evaluation) (offers []Offer, wait bool) {
	for _, id := range slices.Sorted(maps.Keys(c.devices)) {
		e := c.devices[id]
		switch c.eligible(now, e, ev) {
		case yes:
			offers = append(offers, c.offer(e, ev))
		case later:
			wait = true
		}
	}
	return offers, wait
}

// eligible goes through execution 34.2 in its order.
func (c *Core) eligible(now time.Time, e *entry, ev *evaluation) verdict {
	if ev.Target == "" {
		return yes
	}
	if a := c.agents[e.Agent]; !a.tried {
		return later
	}
	info := c.info(e)
	if ev.Action == "on" && !info.Supports("on") {
		return no
	}
	if !c.mayRun(e, ev) {
		return no
	}
	alias := e.Port(ev.Target)
	switch e.checkType(info, e.listFailed) {
	case checkNone:
		return yes
	case checkStatic:
		if contains(e.static, ev.Target) {
			return yes
		}
	case checkDynamic:
		fresh := e.hasList && now.Sub(e.listedAt) < listLife
		if !fresh && !ev.listTried[e.ID] && info.Supports("list") {
			c.list(e, ev)
			return later
		}
		if e.hasList && contains(e.listed, alias) {
			return yes
		}
	case checkStatus:
		known, done := ev.status[e.ID]
		if !done {
			c.checkStatus(e, ev)
			return later
		}
		if known {
			return yes
		}
	default:
		c.note("device %s: pcmk_host_check=%q is unknown: use static-list, dynamic-list, status or none",
			e.ID, e.Params["pcmk_host_check"])
	}
	return no
}

// mayRun is the rule about the local node: a reboot passes if it or one of its
// halves does.
func (c *Core) mayRun(e *entry, ev *evaluation) bool {
	if ev.Action != "reboot" {
		return c.allowed(e, ev.Action, ev.Target, ev.AllowSelf)
	}
	return c.allowed(e, "reboot", ev.Target, ev.AllowSelf) || c.allowed(e, "off", ev.Target, ev.AllowSelf) ||
		c.allowed(e, "on", ev.Target, false)
}

func (c *Core) allowed(e *entry, action, target string, allowSelf bool) bool {
	local := strings.EqualFold(target, c.node)
	if c.info(e).Actions[action].OnTarget {
		return local
	}
	return !local || allowSelf
}

// list makes sure that a list run is under way; one serves all who wait.
func (c *Core) list(e *entry, ev *evaluation) {
	for _, j := range e.queue {
		if j.kind == forList {
			return
		}
	}
	e.queue = append(e.queue, &job{
		kind: forList, timeout: ev.Timeout,
		perform: Perform{Device: e.ID, Action: "list", Timeout: ev.Timeout},
	})
}

func (c *Core) checkStatus(e *entry, ev *evaluation) {
	if ev.running[e.ID] {
		return
	}
	ev.running[e.ID] = true
	e.queue = append(e.queue, &job{
		kind: forStatus, eval: ev.ID, timeout: ev.Timeout,
		perform: Perform{Device: e.ID, Action: "status", Target: ev.Target, Timeout: ev.Timeout},
	})
}

func (c *Core) offer(e *entry, ev *evaluation) Offer {
	info := c.info(e)
	o := Offer{
		Device: e.ID, Agent: e.Agent, Namespace: e.Namespace, Verified: e.verified,
		SupportsReboot: info.Supports("reboot"), SupportsOn: info.Supports("on"),
		OnRequired:  info.Actions["on"].Automatic || e.Unfencing,
		RebootIsOff: e.Params["pcmk_reboot_action"] == "off",
		Own:         c.forOffer(e, ev, ev.Action),
	}
	if ev.Action == "reboot" {
		o.Off, o.On = c.forOffer(e, ev, "off"), c.forOffer(e, ev, "on")
	}
	return o
}

func (c *Core) forOffer(e *entry, ev *evaluation, action string) ForOffer {
	real := c.action(e, action)
	f := ForOffer{
		Timeout:    e.Timeout(real),
		Disallowed: !c.allowed(e, real, ev.Target, ev.AllowSelf && action != "on"),
	}
	if action == "off" || action == "reboot" {
		f.DelayBase, f.DelayMax = e.DelayBase(ev.Target), e.DelayMax(ev.Target)
	}
	return f
}
