package server

import (
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"linuxha/heartbeatd/ccm"
	"linuxha/heartbeatd/hamsg"
	"linuxha/heartbeatd/link"
	heartbeatv1 "linuxha/proto/heartbeat/v1"
)

const (
	// takenAtOnce bounds the payloads that are taken from clients before the
	// loop looks at packets and time again.
	takenAtOnce = 128 << 10
	// windowBytes may be on their way unacknowledged: less than a receive
	// buffer holds, with what the kernel adds to it.
	windowBytes = 1 << 20
)

// send is what a client wants sent, in order.
type send struct {
	from     *client
	messages []*heartbeatv1.Send
}

// outgoing is a message of clients, or a piece of a large one; local is what
// that means for clients of this node, set on the last piece.
type outgoing struct {
	message *hamsg.Message
	local   func()
}

// collector gathers small messages to one destination.
type collector struct {
	dest  string
	view  ccm.ViewID
	small []small
	bytes int
}

// small is a message that shares a datagram with others.
type small struct {
	from, to string
	payload  []byte
}

// take takes clients' messages on their way, those of further clients with
// them: what waits together travels together.
func (s *Server) take(first send) {
	var c collector
	if v := s.ccm.Current(); v != nil {
		c.view = v.ViewID
	}
	for out, taken := first, 0; ; {
		if s.clients[out.from.name] == out.from { // else it has ended meanwhile
			for _, m := range out.messages {
				taken += len(m.Payload)
				s.collect(&c, out.from, m)
			}
		}
		if taken >= takenAtOnce {
			break
		}
		select {
		case out = <-s.sends:
			continue
		default:
		}
		break
	}
	s.ship(&c)
}

// collect takes one message of a client: in pieces to the others, as a whole
// to clients of this node.
func (s *Server) collect(c *collector, from *client, m *heartbeatv1.Send) {
	to := m.ToClient
	if to == "" {
		to = from.name
	}
	if len(m.Payload) <= s.packer.small && m.ToNode != s.config().Node {
		if len(c.small) > 0 && (c.dest != m.ToNode || c.bytes+len(m.Payload) > s.packer.batch) {
			s.ship(c)
		}
		c.dest = m.ToNode
		c.small = append(c.small, small{from.name, to, m.Payload})
		c.bytes += len(m.Payload) + pieceOverhead
		return
	}
	s.ship(c)
	local := func() { s.toClient(to, s.ownMessage(c.view, from.name, m.Payload)) }
	if m.ToNode == s.config().Node {
		s.outbox = append(s.outbox, outgoing{local: local})
		return
	}
	messages, err := s.packer.pack(m.ToNode, from.name, to, c.view.Proto(), m.Payload)
	if err != nil {
		from.end(status.Errorf(codes.InvalidArgument, "send: %v", err))
		return
	}
	for _, piece := range messages {
		s.outbox = append(s.outbox, outgoing{message: piece})
	}
	if m.ToNode == "" {
		s.outbox[len(s.outbox)-1].local = local
	}
}

// ship puts what was collected into the outbox.
func (s *Server) ship(c *collector) {
	if len(c.small) == 0 {
		return
	}
	pieces, view := c.small, c.view
	c.small, c.bytes = nil, 0
	m, err := s.packer.together(c.dest, view.Proto(), pieces)
	if err != nil {
		s.log.Error("cannot encode clients' messages", "err", err)
		return
	}
	o := outgoing{message: m}
	if c.dest == "" {
		o.local = func() {
			for _, p := range pieces {
				s.toClient(p.to, s.ownMessage(view, p.from, p.payload))
			}
		}
	}
	s.outbox = append(s.outbox, o)
}

func (s *Server) ownMessage(view ccm.ViewID, from string, payload []byte) *heartbeatv1.Message {
	return &heartbeatv1.Message{FromNode: s.config().Node, FromClient: from, View: view.Number, Payload: payload}
}

// arrived are complete messages of another node's clients, sent together.
type arrived []delivery

// delivery is a message and the client that it is for.
type delivery struct {
	to      string
	message *heartbeatv1.Message
}

// arrive hands messages to their clients, once the gate has let them pass.
func (s *Server) arrive(a arrived) {
	for _, d := range a {
		s.toClient(d.to, d.message)
	}
}

func (s *Server) toClient(name string, m *heartbeatv1.Message) {
	c := s.clients[name]
	if c == nil {
		return
	}
	switch bytes := c.push(news{message: m}); {
	case bytes > holdAt:
		s.flow.lagging = true
	case bytes < 0:
		s.log.Warn("a client does not read what it is sent and loses its stream", "client", name)
	}
}

// arrivedData takes in a message of type lha_data.
func (s *Server) arrivedData(p *link.Packet) {
	view, a, err := s.assembler.unpack(p.Src, p.Message)
	if err != nil {
		s.log.Warn("a client's message is lost", "peer", p.Src, "err", err)
		return
	}
	if len(a) > 0 && s.gate.Admit(p.Src, p.Generation, view, a) {
		s.arrive(a)
	}
}

// flush submits what ccm wants sent, then what clients do as far as the
// others have acknowledged.
func (s *Server) flush(now time.Time) {
	s.flushSubmits(now)
	for len(s.outbox) > 0 && !s.full(now) {
		o := s.outbox[0]
		s.outbox = s.outbox[1:]
		if o.message != nil {
			s.stepLink(now, link.Submitted{Message: o.message})
		}
		if o.local != nil {
			o.local()
		}
		s.flushSubmits(now) // a change of view comes before what is sent in it
	}
}

func (s *Server) flushSubmits(now time.Time) {
	for len(s.submits) > 0 {
		m := s.submits[0]
		s.submits = s.submits[1:]
		s.stepLink(now, link.Submitted{Message: m})
	}
}

// full tells that clients have to wait until the others have caught up.
func (s *Server) full(now time.Time) bool {
	return s.congested || s.window.inFlight(s.link.Unacknowledged()) > windowBytes || s.waiting(now)
}

// window knows how many bytes the last numbered messages had: link counts
// messages, but a receive buffer is full of bytes.
type window struct {
	high  uint64
	total uint64
	upTo  [1024]uint64 // total up to number n is upTo[n mod 1024]
}

// sent notes the size of a message; what is sent again is known already.
func (w *window) sent(seq uint64, bytes int) {
	if seq <= w.high {
		return
	}
	w.high = seq
	w.total += uint64(bytes)
	w.upTo[seq%uint64(len(w.upTo))] = w.total
}

// inFlight is the size of the last n messages, of the last 1023 at most.
func (w *window) inFlight(n int) int {
	back := min(uint64(max(n, 0)), uint64(len(w.upTo)-1), w.high)
	return int(w.total - w.upTo[(w.high-back)%uint64(len(w.upTo))])
}
