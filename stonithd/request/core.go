package request

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"linuxha/stonithd/device"
	"linuxha/stonithd/history"
	"linuxha/stonithd/topology"
)

// Core is one fencer's state. Not for concurrent use.
type Core struct {
	node    string
	rand    *rand.Rand
	devices *device.Core
	table   topology.Table
	attrs   map[string]map[string]string
	cib     []topology.Level // as last configured

	watchdog Watchdog

	peers   map[string]uint64 // active fencers, this one included; empty: not attached
	ids     map[string]string
	lives   map[string]uint64 // newest incarnation seen of each node, members or not
	history history.Store

	ops        map[string]*op        // own operations and relayed ones
	executions map[string]*execution // by operation id
	performing map[uint64]*execution // by Perform id
	answered   map[string]answered   // last result sent per pending operation of another owner
	orphaned   map[string]bool       // pending operations whose owner is gone
	waiting    []waiting             // asked before the first view
	before     map[string]uint64     // peers when messaging was lost
	view       uint64
	early      []Received // sent in views to come
	nextID     uint64
	now        time.Time
	out        Output
}

// New returns a fencer that knows nothing yet. node may be empty until the
// first view tells it.
func New(node string, rnd *rand.Rand) *Core {
	return &Core{
		node: node, rand: rnd, devices: device.New(node),
		peers: map[string]uint64{}, ids: map[string]string{}, lives: map[string]uint64{}, ops: map[string]*op{},
		executions: map[string]*execution{}, performing: map[uint64]*execution{}, answered: map[string]answered{}, orphaned: map[string]bool{},
	}
}

// ownID marks Perform events that the core made itself.
const ownID = 1 << 63

// Step takes one event in at time now and returns what to do about it.
func (c *Core) Step(now time.Time, ev Event) Output {
	c.out, c.now = Output{}, now
	switch ev := ev.(type) {
	case ViewInstalled:
		c.install(ev)
	case Detached:
		c.detach()
	case Received:
		c.hear(ev)
	case Asked:
		c.asked(ev.Request)
	case Confirmed:
		c.confirm(ev.Request)
	case Reconfigured:
		c.reconfigure(ev)
	case LevelAdded:
		if err := c.table.Add(ev.Level); err != nil {
			c.complain("%v", err)
		}
	case LevelRemoved:
		c.table.Remove(ev.Key, ev.Index)
	case CleanupAsked:
		c.broadcast(Cleanup(ev))
		c.history.Cleanup(ev.Target)
	case Devices:
		c.stepDevices(ev.Event)
	case Woken:
	}
	c.stepDevices(device.Woken{})
	c.expire()
	c.wake()
	return c.out
}

// History lists what is remembered of a target, or of all.
func (c *Core) History(target string) []history.Record { return c.history.List(target) }

// LocalDevices lists the devices registered on this node.
func (c *Core) LocalDevices() []device.Device { return c.devices.Devices() }

func (c *Core) note(format string, args ...any) {
	c.out.Notes = append(c.out.Notes, Note{Text: fmt.Sprintf(format, args...)})
}

func (c *Core) complain(format string, args ...any) {
	c.out.Notes = append(c.out.Notes, Note{Text: fmt.Sprintf(format, args...), Error: true})
}

func (c *Core) send(to string, m Message) { c.out.Send = append(c.out.Send, Send{To: to, Message: m}) }

func (c *Core) broadcast(m Message) {
	if len(c.peers) > 0 {
		c.send("", m)
	}
}

// stepDevices lets the node's devices work and takes up what they answer.
func (c *Core) stepDevices(ev device.Event) {
	queue := []device.Event{ev}
	for len(queue) > 0 {
		out := c.devices.Step(c.now, queue[0])
		queue = queue[1:]
		c.out.Run = append(c.out.Run, out.Run...)
		c.out.Learn = append(c.out.Learn, out.Learn...)
		for _, n := range out.Notes {
			c.note("%s", n)
		}
		for _, e := range out.Evaluated {
			c.evaluated(e)
		}
		for _, p := range out.Performed {
			if x, ok := c.performing[p.ID]; ok {
				delete(c.performing, p.ID)
				c.performed(x, p)
			} else {
				c.out.Performed = append(c.out.Performed, p)
			}
		}
		c.wakeAt(out.WakeAt)
	}
}

func (c *Core) wakeAt(t time.Time) {
	if !t.IsZero() && (c.out.WakeAt.IsZero() || t.Before(c.out.WakeAt)) {
		c.out.WakeAt = t
	}
}

func (c *Core) reconfigure(ev Reconfigured) {
	c.attrs, c.watchdog = ev.Attributes, ev.Watchdog
	if !slices.EqualFunc(ev.Levels, c.cib, equalLevel) {
		c.cib = slices.Clone(ev.Levels)
		c.table = topology.Table{}
		for _, l := range ev.Levels {
			if err := c.table.Add(l); err != nil {
				c.complain("ignoring a fencing level: %v", err)
			}
		}
		c.note("fencing topology has %d targets", c.table.Len())
	}
	c.stepDevices(device.Configured{Devices: ev.Devices})
}

func equalLevel(a, b topology.Level) bool {
	return a.Key() == b.Key() && a.Index == b.Index && slices.Equal(a.Devices, b.Devices)
}

// hear keeps messages and views in step: what was sent in a view that is not
// installed here yet waits for it, and of a fencer that is gone, or of an
// earlier one of its node, only facts count, no wishes.
func (c *Core) hear(ev Received) {
	if ev.From != c.node && ev.View > c.view {
		c.early = append(c.early, ev)
		return
	}
	if born, in := c.peers[ev.From]; !in || ev.View < born {
		switch ev.Message.(type) {
		case Finished, Sync, Cleanup:
		default:
			return
		}
	}
	c.receive(ev.From, ev.Message)
}

func (c *Core) receive(from string, m Message) {
	switch m := m.(type) {
	case Query:
		c.queried(from, m)
	case Offers:
		c.offered(from, m)
	case Execute:
		c.execute(m)
	case Executed:
		c.executed(from, m)
	case Finished:
		c.finished(m.Record)
	case Relay:
		c.relayed(from, m.Request)
	case Sync:
		c.synced(from, m)
	case Cleanup:
		c.history.Cleanup(m.Target)
	}
}

// activePeers lists the fencers that are members now.
func (c *Core) activePeers() []string { return slices.Sorted(maps.Keys(c.peers)) }

func (c *Core) active(node string) bool {
	_, ok := c.peers[node]
	return ok
}

// life is the newest incarnation of a node that was seen; 0: none was.
func (c *Core) life(node string) uint64 {
	var newest uint64
	for n, g := range c.lives {
		if same(n, node) {
			newest = max(newest, g)
		}
	}
	return newest
}

func same(a, b string) bool { return strings.EqualFold(a, b) }
