// Package sim builds whole clusters out of the stack's pure cores and lets
// them live through histories full of faults (architecture 4 and 5): messaging
// and membership with their real cores and thin shells made for simulation,
// and on top of them what runs on a node. The promises are checked at every
// step, and when the faults are over the cluster has to come to rest.
package sim

import (
	"encoding/binary"
	"fmt"
	"time"

	"linuxha/heartbeatd/ccm"
	"linuxha/heartbeatd/hamsg"
	"linuxha/heartbeatd/link"
	"linuxha/heartbeatd/quorum"
	frame "linuxha/internal/sim"
)

// Plan is what a history consists of.
type Plan struct {
	Seed   uint64
	Nodes  int           // 0: 3 to 7 by the seed
	Length time.Duration // of the part with faults; 0: 5 minutes
	Faults int           // 0: 20 to 40 by the seed; negative: none
	// Stack is what runs on top of messaging and membership.
	Stack Stack
	// Weather is a network that is bad all the time, in place of faults.
	Weather bool
	// Modern: messages are signed with a method that 3.0.6 does not have.
	Modern bool
	// Bug is planted in the simulated shells, to see that it is found.
	Bug   Bug
	Trace bool
	// deadtime replaces the usual one, for tests.
	deadtime time.Duration
	// script adds to the history, for tests of one situation.
	script func(*Cluster)
}

// Stack is what the nodes run.
type Stack uint8

// The stacks.
const (
	Messaging Stack = iota // link, ccm, quorum and a client that talks
	Full                   // also the CIB, the controller and resources
)

// Bug is a fault in a simulated shell.
type Bug uint8

// The bugs.
const (
	NoBug              Bug = iota
	AcknowledgeUnsaved     // the CIB calls stored what is not synced
	StartUnfenced          // fencing is reported done when it was begun
	TwoDCs                 // a node takes itself for DC when it is not
)

// Timing of the simulated clusters.
const (
	keepalive = time.Second
	deadtime  = 4 * time.Second
	initdead  = 6 * time.Second
	calmDown  = 90 * time.Second // time to come to rest after the last fault
)

// Result is how a history went.
type Result struct {
	Err         error
	Fingerprint uint64
	Steps       uint64
	Nodes       int
	Views       int
	Fault       map[string]int
	Counts      map[string]int
	Log         []string
}

// Cluster is one history's cluster.
type Cluster struct {
	*frame.Sim
	plan     Plan
	nodes    []*node
	byName   map[string]*node
	net      *frame.Network[*link.Packet]
	weather  *weatherChecker              // nil: it is good, or as the faults have it
	second   *frame.Network[*link.Packet] // another link between all; nil: there is none
	payloads []any
	checks   []frame.Checker
	faults   map[string]int
	counts   map[string]int
	names    []string
	table    []quorum.Node
	shared   *world // resources and fencing; nil without the full stack
}

// Run lives through one history.
func Run(p Plan) Result {
	s := frame.New(p.Seed)
	s.Trace = p.Trace
	c := &Cluster{Sim: s, plan: p, byName: map[string]*node{}, faults: map[string]int{}, counts: map[string]int{}}
	size := p.Nodes
	if size == 0 {
		size = 3 + s.Rand.IntN(5)
	}
	for i := range size {
		c.names = append(c.names, string(rune('a'+i)))
	}
	c.net = frame.NewNetwork(s, size, c.arrive)
	for i, name := range c.names {
		n := newNode(c, i, name)
		c.nodes = append(c.nodes, n)
		c.byName[name] = n
		c.table = append(c.table, quorum.Node{Name: name})
	}
	c.checks = []frame.Checker{newViewChecker(c), newStreamChecker(c)}
	if p.Weather {
		c.storm()
	}
	if p.Stack == Full {
		c.shared = newWorld(c)
	}
	for _, n := range c.nodes {
		s.After(s.Between(0, 2*time.Second), n.boot)
	}
	if p.script != nil {
		p.script(c)
	}
	err := c.live()
	r := Result{Err: err, Fingerprint: s.Fingerprint(), Steps: s.Steps(), Nodes: size, Fault: c.faults, Counts: c.counts, Log: s.Log()}
	r.Views = c.counts["view"]
	return r
}

// live runs the faults, heals everything and waits for rest.
func (c *Cluster) live() error {
	length := c.plan.Length
	if length == 0 {
		length = 5 * time.Minute
	}
	c.plan.Length = length
	if c.plan.Weather {
		c.scheduleWeather(length)
	} else {
		c.scheduleFaults(length)
	}
	if err := c.Sim.Run(frame.Epoch.Add(length)); err != nil {
		return err
	}
	c.calm()
	if calm, err := c.RunUntil(calmDown, c.atRest); err != nil {
		return err
	} else if !calm {
		c.Failf("not at rest %v after the last fault: %s", calmDown, c.unrest())
		return c.Failed()
	}
	for _, check := range c.checks {
		check.End()
	}
	return c.Failed()
}

func (c *Cluster) saw(n *node, fact any) {
	for _, check := range c.checks {
		check.Saw(n.index, fact)
	}
}

func (c *Cluster) arrive(to, from int, p *link.Packet) { c.arriveOver("eth0", to, p) }

func (c *Cluster) arriveOver(medium string, to int, p *link.Packet) {
	if c.plan.Modern {
		q := *p
		q.Modern = true
		p = &q
	}
	n := c.nodes[to]
	n.host.Do(func() {
		n.linkStep(link.Received{Medium: medium, Packet: p})
		n.drain()
	})
}

// atRest: all nodes are up and in one view with everybody.
func (c *Cluster) atRest() bool { return c.unrest() == "" }

func (c *Cluster) unrest() string {
	var view *ccm.View
	for _, n := range c.nodes {
		switch v := n.view(); {
		case !n.host.Up():
			return n.name + " is down"
		case v == nil:
			return n.name + " has no view"
		case view == nil:
			view = v
		case v.ViewID != view.ViewID:
			return fmt.Sprintf("%s is in view %v, %s in %v", c.nodes[0].name, view.ViewID, n.name, v.ViewID)
		}
	}
	if len(view.Members) != len(c.nodes) {
		return fmt.Sprintf("view %v has %d members of %d", view.ViewID, len(view.Members), len(c.nodes))
	}
	if c.weather != nil {
		return c.weather.missing()
	}
	if c.shared != nil {
		return c.shared.unrest()
	}
	return ""
}

// node is a simulated machine with its heartbeatd.
type node struct {
	c          *Cluster
	index      int
	name       string
	host       *frame.Host
	generation uint64        // survives crashes, as in its file
	wall       time.Duration // how far its clock is off

	link    *link.Link
	ccm     *ccm.Core
	gate    *ccm.Gate[clientMessage]
	quorum  *quorum.Core
	last    *ccm.Membership
	quorate bool

	linkTimer, ccmTimer timer
	work                []job
	clients             map[string]client
	draining            bool
	attached            uint64            // clients so far
	lastView            uint64            // as in its file
	lives               uint64            // of daemons on this node, over crashes
	members             map[string]uint64 // the generation in which each node was a member last
}

// job is something to be done when the present step's output is complete.
type job struct {
	ccm     ccm.Event
	client  string
	from    string
	payload any
	do      func()
}

func newNode(c *Cluster, index int, name string) *node {
	n := &node{c: c, index: index, name: name, host: frame.NewHost(c.Sim), generation: 1000}
	n.host.Queue = 512
	n.linkTimer.n, n.ccmTimer.n = n, n
	return n
}

func (n *node) view() *ccm.View {
	if n.last == nil || !n.host.Up() {
		return nil
	}
	return n.last.View
}

func (n *node) boot() {
	if n.host.Up() {
		return
	}
	c := n.c
	n.host.Boot()
	n.generation++
	c.Logf("%s boots, generation %d", n.name, n.generation)
	peers := make([]link.Node, 0, len(c.names))
	for _, name := range c.names {
		if name != n.name {
			peers = append(peers, link.Node{Name: name, ID: nodeID(name)})
		}
	}
	n.link = link.New(link.Options{
		Node: n.name, ID: nodeID(n.name), Generation: n.generation, Nodes: peers,
		Keepalive: keepalive, Deadtime: c.deadtime(), Initdead: max(initdead, c.deadtime()), Seed: c.Rand.Uint64(), Modern: c.plan.Modern,
	})
	n.ccm = ccm.New(ccm.Options{Node: n.name, ID: nodeID(n.name).String(), Generation: n.generation, Seen: n.lastView})
	n.gate = ccm.NewGate[clientMessage](n.name)
	n.quorum = quorum.New(quorum.Options{})
	n.last, n.quorate, n.work, n.draining = nil, false, nil, false
	n.members = map[string]uint64{}
	n.linkTimer.reset(func() { n.linkStep(link.Woken{}); n.drain() })
	n.ccmTimer.reset(func() { n.ccmStep(ccm.Woken{}); n.drain() })
	n.clients = map[string]client{}
	c.saw(n, booted{})
	n.linkStep(link.Started{})
	n.drain()
}

func (n *node) crash() {
	if !n.host.Up() {
		return
	}
	n.c.Logf("%s crashes", n.name)
	n.host.Crash()
	n.c.saw(n, crashed{})
	if n.c.shared != nil {
		n.c.shared.crashed(n)
	}
}

func nodeID(name string) (id link.ID) {
	copy(id[:], name+"-node-uuid-0000")
	return id
}

// linkStep steps link and carries out what needs no other core; the rest is
// queued for drain.
func (n *node) linkStep(ev link.Event) {
	c := n.c
	out := n.link.Step(c.Now(), ev)
	for i := range out.Changes {
		ch := &out.Changes[i]
		c.Logf("%s link: %v %s %s", n.name, ch.Kind, ch.Node, ch.Status)
		switch ch.Kind {
		case link.Dead, link.Returned, link.Restarted, link.Broken:
			name := ch.Node
			n.work = append(n.work, job{do: func() { n.gate.Interrupted(name) }})
		}
		switch ch.Kind {
		case link.Up, link.Returned, link.Restarted:
			n.work = append(n.work, job{ccm: ccm.NodeUp{Name: ch.Node, ID: ch.ID.String(), Generation: ch.Generation}})
		case link.Dead:
			c.saw(n, verdict{ch.Node})
			n.work = append(n.work, job{ccm: ccm.NodeLost{Name: ch.Node, At: c.Now()}})
		case link.Broken:
			n.work = append(n.work, job{ccm: ccm.StreamBroken{Name: ch.Node}})
		case link.LocalActive:
			n.work = append(n.work, job{ccm: ccm.Started{}}, job{do: n.attachClients})
		}
	}
	for _, p := range out.Deliver {
		n.deliver(p)
	}
	for _, p := range out.Send {
		for _, net := range []*frame.Network[*link.Packet]{c.net, c.second} {
			switch {
			case net == nil:
			case p.Seq == 0 && p.Dest != "": // all hear it, but only one listens
				net.Send(n.index, c.byName[p.Dest].index, p)
			default:
				net.Broadcast(n.index, p)
			}
		}
	}
	n.linkTimer.set(out.WakeAt)
}

// ccmStep steps the membership core.
func (n *node) ccmStep(ev ccm.Event) {
	out := n.ccm.Step(n.c.Now(), ev)
	memberships := append([]*ccm.Membership(nil), out.Memberships...)
	for _, m := range memberships {
		n.install(m)
	}
	for _, s := range out.Send {
		if n.c.Trace {
			n.c.Logf("%s ccm to %q: %s", n.name, s.To, describeMessage(s.Message))
		}
		n.submit(s.To, ccmPayload{s.Message})
	}
	n.ccmTimer.set(out.WakeAt)
}

func (n *node) install(m *ccm.Membership) {
	n.last, n.lastView = m, m.Number
	names := make([]string, len(m.Members))
	for i := range m.Members {
		names[i] = m.Members[i].Name
		n.members[names[i]] = m.Members[i].Generation
	}
	n.quorate = n.quorum.View(names, n.c.table)
	n.c.counts["view"]++
	if n.c.Trace {
		n.c.Logf("%s view %d/%s %s quorate=%v joined %v lost %v", n.name, m.Number, m.Coordinator, showMembers(m.View), n.quorate, m.Joined, m.Lost)
	}
	n.c.Mix(m.Number)
	n.c.saw(n, installed{m, n.quorate})
	quorate := n.quorate
	n.eachClient(func(name string, cl client) {
		n.work = append(n.work, job{do: func() { cl.installed(m, quorate) }})
	})
	for _, msg := range n.gate.Installed(m.View) {
		n.toClient(msg)
	}
}

func showMembers(v *ccm.View) string {
	text := "["
	for i, m := range v.Members {
		if i > 0 {
			text += " "
		}
		text += fmt.Sprintf("%s@%d", m.Name, m.BornOn)
		for _, p := range m.Processes {
			text += fmt.Sprintf("+%s@%d", p.Name, p.BornOn)
		}
	}
	return text + "]"
}

// eachClient calls f in the order of names.
func (n *node) eachClient(f func(string, client)) {
	for _, name := range clientNames {
		if cl := n.clients[name]; cl != nil {
			f(name, cl)
		}
	}
}

var clientNames = []string{"cib", "crmd", "probe"}

type ccmPayload struct{ message ccm.Message }

type clientPayload struct {
	client  string
	stamp   ccm.ViewID
	payload any
}

// submit hands link a message with a value as payload: what would be bytes
// between real nodes is the value's number here.
func (n *node) submit(to string, payload any) {
	c := n.c
	c.payloads = append(c.payloads, payload)
	m := &hamsg.Message{Fields: make([]hamsg.Field, 0, 11)}
	m.Fields = append(m.Fields, hamsg.Field{Name: "t", Value: dataType})
	if to != "" {
		m.Add("dest", to)
	}
	m.AddBinary("pb", binary.LittleEndian.AppendUint64(nil, uint64(len(c.payloads)-1)))
	n.linkStep(link.Submitted{Message: m})
}

var dataType = []byte("lha_data")

// send is a client's message to the client of that name on a node, or on all
// members, its own included.
func (n *node) send(client, to string, payload any) {
	var stamp ccm.ViewID
	if n.last != nil {
		stamp = n.last.ViewID
	}
	n.submit(to, clientPayload{client, stamp, payload})
}

func (n *node) deliver(p *link.Packet) {
	switch m := n.c.payloads[binary.LittleEndian.Uint64(p.Message.Bytes("pb"))].(type) {
	case ccmPayload:
		if p.Src != n.name {
			if n.c.Trace {
				n.c.Logf("%s ccm from %s: %s", n.name, p.Src, describeMessage(m.message))
			}
			n.work = append(n.work, job{ccm: ccm.Received{From: p.Src, Generation: p.Generation, Message: m.message}})
		}
	case clientPayload:
		msg := clientMessage{from: p.Src, to: m.client, view: m.stamp.Number, payload: m.payload}
		// The gate must judge by the view in force when earlier work is done.
		n.work = append(n.work, job{do: func() {
			if n.gate.Admit(p.Src, p.Generation, m.stamp, msg) {
				n.toClient(msg)
			}
		}})
	}
}

func (n *node) toClient(msg clientMessage) {
	if n.clients[msg.to] != nil {
		n.work = append(n.work, job{client: msg.to, from: msg.from, payload: msg.payload})
	}
}

// drain does what the steps have left to do.
func (n *node) drain() {
	if n.draining {
		return
	}
	n.draining = true
	for i := 0; i < len(n.work) && n.host.Up() && n.c.Failed() == nil; i++ {
		j := n.work[i]
		n.work[i] = job{}
		switch {
		case j.ccm != nil:
			n.ccmStep(j.ccm)
		case j.do != nil:
			j.do()
		default:
			if cl := n.clients[j.client]; cl != nil {
				cl.received(j.from, j.payload)
			}
		}
	}
	n.work = n.work[:0]
	n.draining = false
}

// attach signs a client on.
func (n *node) attach(name string, cl client, info map[string]string) {
	n.clients[name] = cl
	n.attached++
	if n.last != nil {
		m, quorate := n.last, n.quorate
		n.work = append(n.work, job{do: func() { cl.installed(m, quorate) }})
	}
	n.work = append(n.work, job{ccm: ccm.Attached{Process: name, Info: info}})
}

// detach signs it off.
func (n *node) detach(name string) {
	delete(n.clients, name)
	n.work = append(n.work, job{ccm: ccm.Detached{Process: name}})
}

func (n *node) setInfo(name string, info map[string]string) {
	n.work = append(n.work, job{ccm: ccm.InfoSet{Process: name, Info: info}})
}

func (n *node) attachClients() {
	p := &probe{n: n}
	n.attach("probe", p, nil)
	p.start()
	if n.c.shared != nil {
		n.c.shared.booted(n)
	}
}
