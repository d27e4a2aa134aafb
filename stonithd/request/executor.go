package request

import (
	"fmt"
	"strings"

	"linuxha/stonithd/device"
	"linuxha/stonithd/history"
)

// execution is this node's work for one Execute: one device, or all local ones
// that can, one after the other until one succeeds (execution 35).
type execution struct {
	Execute
	found   bool
	devices []device.Offer // still to run
	current device.Offer
	last    device.Result
}

// The ids of evaluations: for a query's answer, and for an execution's search.
const (
	forQuery  = "q:"
	forSearch = "x:"
)

// queried records another's (or our own) operation and looks for devices.
func (c *Core) queried(from string, m Query) {
	if !m.List {
		if _, known := c.history.Get(m.ID); !known {
			c.history.Put(history.Record{
				ID: m.ID, Target: m.Target, Action: m.Action, Owner: m.Owner, Origin: m.Origin, Client: m.Client,
				State: history.Querying, Started: m.Started, Generation: m.Generation,
			})
		}
		if from != c.node {
			c.yield(m)
		}
	}
	c.stepDevices(device.Evaluate{
		ID: forQuery + from + "/" + m.ID, Target: m.Target, Action: m.Action, Timeout: m.Timeout, AllowSelf: m.AllowSelf,
	})
}

func (c *Core) evaluated(e device.Evaluated) {
	if rest, ok := strings.CutPrefix(e.ID, forQuery); ok {
		to, id, _ := strings.Cut(rest, "/")
		if c.active(to) {
			c.send(to, Offers{ID: id, Offers: e.Offers})
		}
		return
	}
	if x := c.executions[strings.TrimPrefix(e.ID, forSearch)]; x != nil && !x.found {
		x.found, x.devices = true, e.Offers
		x.last = device.Result{
			RC: 1, Status: device.StatusNoFenceDevice,
			Reason: fmt.Sprintf("No device configured for target '%s'", x.Target),
		}
		c.runNext(x)
	}
}

// execute notes who is at work; on the chosen node it begins the work.
func (c *Core) execute(m Execute) {
	if r, ok := c.history.Get(m.ID); ok && r.State.Pending() {
		r.State, r.Executioner, r.Device = history.Executing, m.Peer, m.Device
		c.history.Put(r)
	}
	if m.Owner != c.node {
		c.yieldToExecution(m)
	}
	if m.Peer != c.node {
		return
	}
	x := &execution{Execute: m}
	c.executions[m.ID] = x
	delete(c.answered, m.ID)
	if m.Device == "" {
		c.stepDevices(device.Evaluate{
			ID: forSearch + m.ID, Target: m.Target, Action: m.Action, Timeout: m.Timeout, AllowSelf: true,
		})
		return
	}
	x.found = true
	for _, d := range c.devices.Devices() {
		if d.ID == m.Device {
			x.devices = []device.Offer{{Device: d.ID}}
		}
	}
	x.last = device.Result{
		RC: 1, Status: device.StatusNoFenceDevice,
		Reason: fmt.Sprintf("Requested device '%s' not found", m.Device),
	}
	c.runNext(x)
}

// runNext runs the next device or, with none left, answers the last result.
func (c *Core) runNext(x *execution) {
	if len(x.devices) == 0 {
		c.reply(x, x.current.Device, x.last)
		return
	}
	x.current, x.devices = x.devices[0], x.devices[1:]
	c.nextID++
	id := ownID | c.nextID
	c.performing[id] = x
	c.stepDevices(device.Perform{
		ID: id, Device: x.current.Device, Action: x.Action, Target: x.Target, NodeID: c.ids[x.Target],
		Timeout: x.Timeout, Delay: x.Delay, Random: c.rand.Uint64(), Client: x.Client + "@" + x.Owner,
	})
	x.Delay = min(x.Delay, 0) // the requested delay is for the first device only
}

// performed goes on after a device's end (execution 35.4).
func (c *Core) performed(x *execution, p device.Performed) {
	if c.executions[x.ID] != x {
		return // a later attempt took its place
	}
	x.last = p.Result
	c.noteRun(x, p)
	if p.Result.OK() {
		required := x.devices[:0:0]
		if x.Action == "on" {
			for _, d := range x.devices {
				if d.OnRequired {
					required = append(required, d)
				}
			}
		}
		x.devices = required
	} else if x.Action == "on" && x.current.OnRequired {
		x.devices = nil
	}
	c.runNext(x)
}

func (c *Core) noteRun(x *execution, p device.Performed) {
	outcome := fmt.Sprintf("returned %d", p.Result.RC)
	if p.Result.Status != device.StatusDone {
		outcome = "could not be executed: " + p.Result.Status.Text()
	}
	if p.Result.Reason != "" {
		outcome += " (" + p.Result.Reason + ")"
	}
	if !p.Result.OK() && len(x.devices) > 0 {
		outcome += fmt.Sprintf(", retrying with %s (%d device(s) remaining)", x.devices[0].Device, len(x.devices))
	}
	merged := ""
	if p.Merged {
		merged = "merged "
	}
	text := fmt.Sprintf("Operation '%s' targeting %s using %s %s | %scall %s from %s",
		x.Action, x.Target, x.current.Device, outcome, merged, x.ID, x.Client)
	if p.Result.OK() {
		c.note("%s", text)
	} else {
		c.complain("%s", text)
	}
}

// maxOutput bounds what of an agent's output travels and is remembered.
const maxOutput = 4 << 10

func tail(s string) string { return s[max(0, len(s)-maxOutput):] }

// reply tells the owner; if it is gone, everybody (execution 35.4).
func (c *Core) reply(x *execution, dev string, res device.Result) {
	delete(c.executions, x.ID)
	if !c.active(x.Owner) || c.orphaned[x.ID] {
		c.finishOrphan(x.Execute, dev, res)
		return
	}
	res.Output, res.Stderr = tail(res.Output), tail(res.Stderr)
	m := Executed{ID: x.ID, Attempt: x.Attempt, Device: dev, Result: res}
	if x.Owner != c.node {
		c.answered[x.ID] = answered{x.Execute, m}
	}
	c.send(x.Owner, m)
}

// finishOrphan ends an operation in the place of its lost owner: with success
// only if this device's success was all that was missing.
func (c *Core) finishOrphan(m Execute, dev string, res device.Result) {
	r, ok := c.history.Get(m.ID)
	if !ok || !r.State.Pending() {
		return
	}
	if res.OK() && !m.Decides {
		res = presumedFailed
	}
	r.Executioner, r.Device = c.node, dev
	c.close(&r, res)
	c.record(r)
	c.broadcast(Finished{Record: r})
}
