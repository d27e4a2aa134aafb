package device

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Event is something that happened; the closed set of what Step takes.
type Event interface{ event() }

// Configured replaces all devices that come from the CIB.
type Configured struct{ Devices []Device }

// Registered adds a device through the API (stonith_admin -R, lrmd's start).
type Registered struct{ Device Device }

// Removed takes back the API registration of a device.
type Removed struct{ ID string }

// Learned brings an agent's metadata; OK is false when it could not be read.
type Learned struct {
	Agent string
	Info  Info
	OK    bool
}

// Evaluate asks which devices here can fence Target. An empty target asks for
// all devices.
type Evaluate struct {
	ID        string
	Target    string
	Action    string
	Timeout   time.Duration // for list and status runs that this needs
	AllowSelf bool          // this node may be the target
}

// Perform asks for one action of one device.
type Perform struct {
	ID      uint64
	Device  string
	Action  string
	Target  string
	NodeID  string // the target's cluster id, if known
	Timeout time.Duration
	Delay   time.Duration // requested; negative: not even the configured one
	Random  uint64        // decides the random part of the delay
	Client  string
	API     bool // only for devices registered through the API (monitor)
}

// Exited brings the result of a Run.
type Exited struct {
	Run    uint64
	Result Result
}

// Woken says that the time asked for in WakeAt has come.
type Woken struct{}

func (Configured) event() {}
func (Registered) event() {}
func (Removed) event()    {}
func (Learned) event()    {}
func (Evaluate) event()   {}
func (Perform) event()    {}
func (Exited) event()     {}
func (Woken) event()      {}

// Run is an agent to be run now.
type Run struct {
	ID      uint64
	Device  string
	Agent   string
	Action  string // the word that the agent gets
	Name    string // for logs: <agent>_<action>_<n>of<max>
	Target  string
	Input   []Param
	Timeout time.Duration
}

// Evaluated answers Evaluate.
type Evaluated struct {
	ID     string
	Offers []Offer
}

// Performed answers Perform.
type Performed struct {
	ID     uint64
	Result Result
	Merged bool // another request's run did it
}

// Offer is what a node says about one device that can fence a target.
type Offer struct {
	Device         string
	Agent          string
	Namespace      string
	Verified       bool // a recent run proved that the device answers
	SupportsReboot bool
	SupportsOn     bool
	OnRequired     bool     // `on` belongs to the unfencing of every node
	RebootIsOff    bool     // pcmk_reboot_action=off: no `on` after a remapped off
	Own, Off, On   ForOffer // for the action asked; for reboot also its two halves
}

// ForOffer is a device's data for one action.
type ForOffer struct {
	Timeout    time.Duration // configured; 0: none
	DelayBase  time.Duration
	DelayMax   time.Duration
	Disallowed bool
}

// Output is what the server has to do.
type Output struct {
	Run       []Run
	Learn     []string // agents whose metadata is wanted
	Evaluated []Evaluated
	Performed []Performed
	Notes     []string
	WakeAt    time.Time // zero: no need
}

// listLife is how long an agent's list of targets is believed (34.2).
const listLife = 60 * time.Second

// Core is the set of a node's devices and their queues. Not for concurrent use.
type Core struct {
	node    string
	devices map[string]*entry
	agents  map[string]*agent
	evals   []*evaluation
	runs    map[uint64]*job
	nextRun uint64
	out     Output
}

// entry is a registered device with its queue.
type entry struct {
	Device
	static     []string
	listed     []string // last output of list
	listedAt   time.Time
	hasList    bool
	listFailed bool // list does not work and pcmk_host_check does not insist: use status
	verified   bool
	queue      []*job // FIFO; running jobs stay until done
}

type agent struct {
	info    Info
	known   bool // metadata were read
	asked   bool // an answer is awaited
	tried   bool // an answer, good or bad, came
	retryAt time.Time
	pause   time.Duration
}

type jobKind int

const (
	forPerform jobKind = iota
	forList
	forStatus
)

// job is one action of a device, with all its tries.
type job struct {
	kind     jobKind
	perform  Perform
	eval     string // forStatus
	started  time.Time
	readyAt  time.Time // delay or pause before a retry ends
	delaySet bool
	running  uint64 // id of the run; 0: none
	begun    bool   // the first try was made: it holds its place among the parallel ones
	try      int
	timeout  time.Duration
}

type evaluation struct {
	Evaluate
	listTried map[string]bool
	status    map[string]bool // finished status runs: does the device know the target?
	running   map[string]bool // status runs under way
}

// New returns the devices of a node: none yet.
func New(node string) *Core {
	return &Core{node: node, devices: map[string]*entry{}, agents: map[string]*agent{}, runs: map[uint64]*job{}}
}

// SetNode tells the local node's name when it becomes known.
func (c *Core) SetNode(name string) { c.node = name }

// Step takes one event in at time now and returns what to do about it.
func (c *Core) Step(now time.Time, ev Event) Output {
	c.out = Output{}
	switch ev := ev.(type) {
	case Configured:
		c.configure(ev.Devices)
	case Registered:
		ev.Device.FromAPI = true
		c.register(ev.Device)
	case Removed:
		c.remove(ev.ID)
	case Learned:
		c.learned(now, ev)
	case Evaluate:
		c.evals = append(c.evals, &evaluation{
			Evaluate: ev, listTried: map[string]bool{}, status: map[string]bool{}, running: map[string]bool{},
		})
	case Perform:
		c.perform(ev)
	case Exited:
		c.exited(now, ev)
	case Woken:
	}
	c.relearn(now)
	c.startJobs(now)
	c.settle(now)
	c.startJobs(now) // evaluation may have queued list and status runs
	c.out.WakeAt = c.wakeAt(now)
	return c.out
}

// Devices lists what is registered, sorted by id.
func (c *Core) Devices() []Device {
	out := make([]Device, 0, len(c.devices))
	for _, id := range slices.Sorted(maps.Keys(c.devices)) {
		out = append(out, c.devices[id].Device)
	}
	return out
}

// SupportsOn and the other facts of a local device for the remapped reboot's
// second half (execution 36.4) come from Facts.
type Facts struct {
	Known       bool
	SupportsOn  bool
	Automatic   bool
	RebootIsOff bool
}

// Facts of the device id as registered here.
func (c *Core) Facts(id string) Facts {
	e, ok := c.devices[id]
	if !ok {
		return Facts{}
	}
	info := c.info(e)
	return Facts{
		Known: true, SupportsOn: info.Supports("on"), Automatic: info.Actions["on"].Automatic || e.Unfencing,
		RebootIsOff: e.Params["pcmk_reboot_action"] == "off",
	}
}

func (c *Core) configure(devices []Device) {
	wanted := map[string]bool{}
	for _, d := range devices {
		wanted[d.ID] = true
		d.FromCIB = true
		c.register(d)
	}
	for _, id := range slices.Sorted(maps.Keys(c.devices)) {
		e := c.devices[id]
		if !e.FromCIB || wanted[id] {
			continue
		}
		e.FromCIB = false
		c.dropUnlessUsed(e)
	}
}

func (c *Core) register(d Device) {
	d = d.normalize()
	if _, ok := c.agents[d.Agent]; !ok {
		c.agents[d.Agent] = &agent{}
	}
	if e, ok := c.devices[d.ID]; ok {
		d.FromCIB = d.FromCIB || e.FromCIB
		d.FromAPI = d.FromAPI || e.FromAPI
		if !e.Device.equal(d) {
			c.note("device '%s' changed its definition", d.ID)
			e.hasList, e.listFailed, e.verified = false, false, false
		}
		e.Device = d
		e.static = d.staticTargets()
		return
	}
	c.devices[d.ID] = &entry{Device: d, static: d.staticTargets()}
	c.note("Added '%s' to device list (%d active device%s)", d.ID, len(c.devices), plural(len(c.devices)))
}

func (c *Core) remove(id string) {
	e, ok := c.devices[id]
	if !ok {
		return
	}
	e.FromAPI, e.verified = false, false
	c.dropUnlessUsed(e)
}

func (c *Core) dropUnlessUsed(e *entry) {
	if e.FromCIB || e.FromAPI {
		return
	}
	delete(c.devices, e.ID)
	c.note("Removed '%s' from device list (%d active device%s)", e.ID, len(c.devices), plural(len(c.devices)))
	for _, j := range e.queue {
		if j.running == 0 {
			c.finish(nil, j, failed(StatusNoFenceDevice, "Device was removed before action could be executed"), false)
		}
	}
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}

func (c *Core) note(format string, args ...any) {
	c.out.Notes = append(c.out.Notes, fmt.Sprintf(format, args...))
}

func (c *Core) info(e *entry) Info {
	if a := c.agents[e.Agent]; a != nil && a.known {
		return a.info
	}
	return Info{}
}

// relearn asks for missing metadata, again and again in growing intervals
// (execution 33.3).
func (c *Core) relearn(now time.Time) {
	for _, name := range slices.Sorted(maps.Keys(c.agents)) {
		a := c.agents[name]
		if a.known || a.asked || now.Before(a.retryAt) || !c.used(name) {
			continue
		}
		a.asked = true
		c.out.Learn = append(c.out.Learn, name)
	}
}

func (c *Core) used(agent string) bool {
	for _, e := range c.devices {
		if e.Agent == agent {
			return true
		}
	}
	return false
}

func (c *Core) learned(now time.Time, ev Learned) {
	a, ok := c.agents[ev.Agent]
	if !ok {
		return
	}
	a.asked, a.tried = false, true
	if ev.OK {
		a.known, a.info = true, ev.Info
		return
	}
	if a.pause == 0 {
		a.pause = 10 * time.Second
	} else if a.pause < 160*time.Second {
		a.pause *= 2
	}
	a.retryAt = now.Add(a.pause)
	c.note("Could not get metadata of fence agent %s: trying again in %v", ev.Agent, a.pause)
}

func (c *Core) perform(ev Perform) {
	e, ok := c.devices[ev.Device]
	switch {
	case !ok:
		c.out.Performed = append(c.out.Performed, Performed{
			ID:     ev.ID,
			Result: failed(StatusNoFenceDevice, fmt.Sprintf("'%s' not found", ev.Device)),
		})
		return
	case ev.API && !e.FromAPI:
		c.out.Performed = append(c.out.Performed, Performed{
			ID:     ev.ID,
			Result: failed(StatusNoFenceDevice, fmt.Sprintf("'%s' not active", ev.Device)),
		})
		return
	}
	e.queue = append(e.queue, &job{perform: ev, timeout: ev.Timeout})
}

// action is what is really run: off in place of a reboot that the agent does
// not offer (execution 31.3).
func (c *Core) action(e *entry, wanted string) string {
	if wanted == "reboot" && !c.info(e).Supports("reboot") {
		return "off"
	}
	return wanted
}

// startJobs runs what may run: per device in order, jobs in delay are
// overtaken, at most Limit at a time (execution 35.2).
func (c *Core) startJobs(now time.Time) {
	for _, id := range slices.Sorted(maps.Keys(c.devices)) {
		e := c.devices[id]
		if a := c.agents[e.Agent]; !a.tried {
			continue // an agent is called with knowledge of its parameters
		}
		active := 0
		for _, j := range e.queue {
			if j.begun {
				active++
			}
		}
		for _, j := range slices.Clone(e.queue) {
			if j.running != 0 {
				continue
			}
			if !j.delaySet {
				c.setDelay(now, e, j)
			}
			if now.Before(j.readyAt) {
				continue
			}
			if limit := e.Limit(); !j.begun && limit > 0 && active >= limit {
				continue
			}
			if !j.begun {
				active++
			}
			c.start(now, e, j)
		}
	}
}

func (c *Core) setDelay(now time.Time, e *entry, j *job) {
	j.delaySet, j.readyAt = true, now
	p := j.perform
	if p.Action != "off" && p.Action != "reboot" {
		return
	}
	d := e.Delay(p.Target, p.Delay, p.Random)
	if d <= 0 {
		return
	}
	j.readyAt = now.Add(d)
	c.note("Delaying '%s' action targeting %s using %s for %ds | timeout=%ds requested_delay=%ds base=%ds max=%ds",
		p.Action, p.Target, e.ID, int(d.Seconds()), int(p.Timeout.Seconds()), int(p.Delay.Seconds()),
		int(e.DelayBase(p.Target).Seconds()), int(e.DelayMax(p.Target).Seconds()))
}

func (c *Core) start(now time.Time, e *entry, j *job) {
	p := j.perform
	action := c.action(e, p.Action)
	if !j.begun {
		j.begun, j.started = true, now
		if t := e.Timeout(action); t > 0 {
			j.timeout = t
		}
		if action != p.Action {
			c.note("Remapping 'reboot' action targeting %s using %s to 'off' because agent '%s' does not support reboot",
				p.Target, e.ID, e.Agent)
		}
	}
	j.try++
	c.nextRun++
	j.running = c.nextRun
	c.runs[j.running] = j
	left := j.timeout
	if left > 0 {
		left -= now.Sub(j.started)
	}
	info := c.info(e)
	c.out.Run = append(c.out.Run, Run{
		ID: j.running, Device: e.ID, Agent: e.Agent, Action: e.Command(action), Target: p.Target,
		Name:    fmt.Sprintf("%s_%s_%dof%d", e.Agent, action, j.try, e.Tries(action)),
		Input:   e.Input(info, action, p.Target, p.NodeID),
		Timeout: left,
	})
}

func (c *Core) exited(now time.Time, ev Exited) {
	j, ok := c.runs[ev.Run]
	if !ok {
		return
	}
	delete(c.runs, ev.Run)
	j.running = 0
	e := c.devices[j.perform.Device]
	if e == nil || !slices.Contains(e.queue, j) {
		c.finish(nil, j, ev.Result, false) // the device is gone; the run's word still counts
		return
	}
	action := c.action(e, j.perform.Action)
	if !ev.Result.OK() && ev.Result.Status != StatusTimeout && j.try < e.Tries(action) &&
		!(j.kind == forStatus && ev.Result.Status == StatusDone && ev.Result.RC == 2) &&
		(j.timeout <= 0 || now.Sub(j.started).Truncate(time.Second) < j.timeout*7/10) {
		j.readyAt = now.Add(time.Second)
		c.note("Attempt %d to execute '%s' using %s returned %d: trying again", j.try, action, e.ID, ev.Result.RC)
		return
	}
	c.finish(e, j, ev.Result, false)
	if ev.Result.OK() && j.kind == forPerform && j.perform.Target != "" {
		c.merge(e, j, ev.Result)
	}
}

// merge answers waiting requests of others for what was just achieved
// (execution 35.5).
func (c *Core) merge(e *entry, done *job, res Result) {
	for _, j := range slices.Clone(e.queue) {
		p, d := j.perform, done.perform
		if j.kind == forPerform && j.running == 0 && !j.begun && p.Client != d.Client && p.Action == d.Action &&
			strings.EqualFold(p.Target, d.Target) {
			c.finish(e, j, res, true)
		}
	}
}

// finish takes the job from the queue of e (nil: already gone) and passes its
// result on.
func (c *Core) finish(e *entry, j *job, res Result, merged bool) {
	if e != nil {
		e.queue = slices.DeleteFunc(e.queue, func(o *job) bool { return o == j })
		if res.OK() || j.kind == forStatus && res.Status == StatusDone && res.RC == 2 {
			switch j.perform.Action {
			case "monitor", "list", "status":
				e.verified = true
			}
		}
	}
	switch j.kind {
	case forPerform:
		c.out.Performed = append(c.out.Performed, Performed{ID: j.perform.ID, Result: res, Merged: merged})
	case forList:
		if e != nil {
			c.listed(e, j, res)
		}
	case forStatus:
		for _, ev := range c.evals {
			if ev.ID == j.eval {
				delete(ev.running, j.perform.Device)
				ev.status[j.perform.Device] = res.Status == StatusDone && (res.RC == 0 || res.RC == 2)
			}
		}
	}
}

func (c *Core) listed(e *entry, j *job, res Result) {
	for _, ev := range c.evals {
		ev.listTried[e.ID] = true
	}
	if res.OK() {
		e.listed, e.listedAt, e.hasList = ParseTargets(res.Output), j.started, true
		return
	}
	c.note("Could not list the targets of %s: %s", e.ID, describe(res))
	if !e.hasList && e.Params["pcmk_host_check"] == "" {
		e.listFailed = true // from now on: status
	}
}

func describe(r Result) string {
	if r.Reason != "" {
		return r.Reason
	}
	if r.Status != StatusDone {
		return r.Status.Text()
	}
	return fmt.Sprintf("agent returned %d", r.RC)
}

func (c *Core) wakeAt(now time.Time) time.Time {
	var at time.Time
	earliest := func(t time.Time) {
		if t.After(now) && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	for _, e := range c.devices {
		for _, j := range e.queue {
			if j.running == 0 {
				earliest(j.readyAt)
			}
		}
	}
	for name, a := range c.agents {
		if !a.known && !a.asked && c.used(name) {
			earliest(a.retryAt)
		}
	}
	return at
}
