package sim

import (
	"time"

	"linuxha/heartbeatd/ccm"
)

// client is what is attached to a node's heartbeatd.
type client interface {
	installed(m *ccm.Membership, quorate bool)
	received(from string, payload any)
}

type clientMessage struct {
	from, to string // node, client
	view     uint64
	payload  any
}

// timer wakes a core of a node. Cores move their time often and mostly
// outwards, so an event that comes too early looks again.
type timer struct {
	n       *node
	want    time.Time
	pending time.Time
	f       func()
	life    uint64
}

func (t *timer) reset(f func()) {
	t.f, t.want, t.pending, t.life = f, time.Time{}, time.Time{}, t.n.host.Life()
}

func (t *timer) set(at time.Time) {
	t.want = at
	if at.IsZero() || !t.pending.IsZero() && !at.Before(t.pending) {
		return
	}
	t.pending = at
	t.n.host.At(at, func() {
		if !t.pending.Equal(at) {
			return
		}
		t.pending = time.Time{}
		switch {
		case t.want.IsZero():
		case t.want.After(t.n.c.Now()):
			t.set(t.want)
		default:
			t.want = time.Time{}
			t.f()
		}
	})
}

// probe is a client that broadcasts numbered messages, to see what arrives.
type probe struct {
	n    *node
	sent uint64
	view *ccm.View
}

type probeMessage struct {
	from       int
	generation uint64
	number     uint64
}

func (p *probe) start() {
	n := p.n
	pause := 8 * time.Second
	if n.c.plan.Weather {
		pause = 500 * time.Millisecond
	}
	n.host.After(n.c.Between(0, pause), func() {
		if n.c.weather != nil && n.c.weather.over() {
			return
		}
		if n.last != nil {
			p.sent++
			n.send("probe", "", probeMessage{n.index, n.generation, p.sent})
			n.drain()
		}
		p.start()
	})
}

func (p *probe) installed(m *ccm.Membership, _ bool) { p.view = m.View }

func (p *probe) received(from string, payload any) {
	p.n.c.saw(p.n, heard{payload.(probeMessage), p.view})
}
