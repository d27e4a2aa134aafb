package sim

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"linuxha/cib/cibdoc"
)

// record is the last operation of a resource on a node, as history has it.
type record struct {
	resource, operation string
	key                 string // transition key
	rc, status, call    int
	at                  int64
}

const (
	statusPending = -1
	statusDone    = 0
	statusError   = 4
)

func (r *record) xml() *cibdoc.Node {
	return cibdoc.E("lrm_resource", "id", r.resource, "type", "Dummy", "class", "ocf", "provider", "sim").Add(
		cibdoc.E("lrm_rsc_op", "id", r.resource+"_last_0", "operation", r.operation, "operation_key", r.resource+"_"+r.operation+"_0",
			"transition-key", r.key, "rc-code", strconv.Itoa(r.rc), "op-status", strconv.Itoa(r.status),
			"call-id", strconv.Itoa(r.call), "last-rc-change", strconv.FormatInt(r.at, 10), "interval", "0"))
}

func lrmXML(records []*record) *cibdoc.Node {
	all := cibdoc.E("lrm_resources")
	for _, r := range records {
		all.Add(r.xml())
	}
	return all
}

// Facts about resources.
type (
	// touched: an agent begins to start a resource: from here on it may be active.
	touched struct{ resource string }
	// released: an agent has stopped it.
	released struct{ resource string }
)

// machine is what runs on a node whatever becomes of the daemons: agents, and
// the executor's memory of what they did. A crash clears it.
type machine struct {
	n       *node
	life    uint64
	records map[string]*record
	busy    map[string]bool
	waiting map[string][]func()
	calls   int
	running map[string]operation // by transition key
}

type operation struct{ resource, name string }

func newMachine(n *node) *machine {
	return &machine{n: n, life: n.host.Life(), records: map[string]*record{}, busy: map[string]bool{}, waiting: map[string][]func(){}, running: map[string]operation{}}
}

// exec runs an operation; operations of one resource run one after the other.
// done may be called in a later life of the controller.
func (m *machine) exec(resource, name, key string, done func(*record)) {
	m.running[key] = operation{resource, name}
	if m.busy[resource] {
		m.waiting[resource] = append(m.waiting[resource], func() { m.begin(resource, name, key, done) })
		return
	}
	m.begin(resource, name, key, done)
}

func (m *machine) begin(resource, name, key string, done func(*record)) {
	c := m.n.c
	m.busy[resource] = true
	m.calls++
	call := m.calls
	c.Logf("%s agent: %s %s begins", m.n.name, name, resource)
	if name == "start" {
		c.saw(m.n, touched{resource})
	}
	m.n.host.After(c.Between(20*time.Millisecond, 400*time.Millisecond), func() {
		r := &record{resource: resource, operation: name, key: key, status: statusDone, call: call, at: c.Now().Unix()}
		if name == "start" && c.Chance(0.02) {
			r.rc, r.status = 1, statusError
		}
		if name == "stop" {
			c.saw(m.n, released{resource})
		}
		c.Logf("%s agent: %s %s ends, rc %d", m.n.name, name, resource, r.rc)
		c.counts["operation"]++
		m.records[resource] = r
		m.busy[resource] = false
		delete(m.running, key)
		done(r)
		if q := m.waiting[resource]; len(q) > 0 {
			m.waiting[resource] = q[1:]
			q[0]()
		}
		m.n.drain()
	})
}

// history is all that the executor remembers, in order of names; what is under
// way is pending.
func (m *machine) history() []*record {
	var all []*record
	for _, name := range resources {
		r := m.records[name]
		for _, key := range slices.Sorted(maps.Keys(m.running)) {
			if op := m.running[key]; op.resource == name {
				r = &record{resource: name, operation: op.name, key: key, status: statusPending}
			}
		}
		if r != nil {
			all = append(all, r)
		}
	}
	return all
}

// resources that the cluster is to run, one instance of each.
var resources = []string{"r1", "r2"}
