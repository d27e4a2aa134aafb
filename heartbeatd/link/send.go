package link

import (
	"fmt"
	"strconv"
	"time"

	"linuxha/heartbeatd/hamsg"
)

// history holds what may be asked for again: numbers low+1 .. high.
type history struct {
	low, high uint64
	sent      []remembered // sent[i] is number low+1+i
}

type remembered struct {
	packet *Packet
	again  time.Time // last time it was sent again; zero: never
}

func (h *history) push(p *Packet) {
	h.high++
	h.sent = append(h.sent, remembered{packet: p})
	if len(h.sent) > historySize {
		h.free(h.high - historySize)
	}
}

func (h *history) get(seq uint64) *remembered {
	if seq <= h.low || seq > h.high {
		return nil
	}
	return &h.sent[seq-h.low-1]
}

// free forgets the numbers up to seq.
func (h *history) free(seq uint64) {
	if seq <= h.low {
		return
	}
	n := int(min(seq, h.high) - h.low)
	clear(h.sent[:n])
	h.sent = h.sent[n:]
	h.low += uint64(n)
}

func (h *history) unacked(point uint64) uint64 {
	if point >= h.high {
		return 0
	}
	return h.high - point
}

// ackPoint is the lowest number acknowledged by all who can acknowledge.
func (l *Link) ackPoint() uint64 {
	point := l.history.high
	for _, n := range l.nodes {
		if n.alive() && !n.Ping && n.acked < point {
			point = n.acked
		}
	}
	return point
}

// submit numbers m, remembers it, sends it, and delivers it here if it is for
// us (HB 4.1: a node processes its own messages at once).
func (l *Link) submit(now time.Time, m *hamsg.Message) {
	if unnumbered(m.Type()) {
		l.aim(m)
	}
	p := l.stamp(now, m)
	if !unnumbered(p.Type) {
		l.history.push(p)
		// What nobody is left to acknowledge is no sign of trouble.
		if queued := l.history.unacked(l.ackPoint()); queued > 375 {
			level := Warn
			if queued > 450 {
				level = Error
			}
			l.note(level, fmt.Sprintf("Message hist queue is filling up (%d messages in queue)", queued))
		}
	}
	l.out.Send = append(l.out.Send, p)
	if l.forUs(p) && !internalType(p.Type) {
		l.tableMessage(now, m)
		l.out.Deliver = append(l.out.Deliver, p)
	}
}

// stamp adds the standard fields in their order (HB 3.8).
func (l *Link) stamp(now time.Time, m *hamsg.Message) *Packet {
	p := &Packet{Type: m.Type(), Src: l.opts.Node, SrcID: l.opts.ID, Generation: l.opts.Generation, Message: m}
	if cap(m.Fields)-len(m.Fields) < 8 {
		fields := make([]hamsg.Field, len(m.Fields), len(m.Fields)+8)
		copy(fields, m.Fields)
		m.Fields = fields
	}
	if p.Dest = m.Get("dest"); p.Dest != "" {
		if n := l.named[p.Dest]; n != nil {
			p.DestID = n.ID
		} else if p.Dest == l.opts.Node {
			p.DestID = l.opts.ID
		}
		put(m, "destuuid", hamsg.Binary, p.DestID[:])
	}
	numbered := !unnumbered(p.Type)
	// One piece of memory for all the numbers: this is done for every message.
	text := make([]byte, 0, 48)
	number := func(n uint64, base int) []byte {
		start := len(text)
		text = strconv.AppendUint(text, n, base)
		return text[start:len(text):len(text)]
	}
	put(m, "src", hamsg.String, l.src)
	put(m, "srcuuid", hamsg.Binary, l.opts.ID[:])
	if numbered {
		p.Seq = l.history.high + 1
		put(m, "seq", hamsg.String, number(p.Seq, 16))
	}
	put(m, "hg", hamsg.String, number(p.Generation, 16))
	put(m, "ts", hamsg.String, number(uint64(now.Unix()), 16))
	if numbered {
		put(m, "ld", hamsg.String, l.load)
	}
	put(m, "ttl", hamsg.String, number(uint64(l.opts.Hopfudge+len(l.nodes)+1), 10))
	return p
}

// put sets a field where it is, or appends it.
func put(m *hamsg.Message, name string, typ hamsg.Type, value []byte) {
	if f := m.Field(name); f != nil {
		*f = hamsg.Field{Name: name, Type: typ, Value: value}
		return
	}
	m.Fields = append(m.Fields, hamsg.Field{Name: name, Type: typ, Value: value})
}

func (l *Link) forUs(p *Packet) bool {
	switch {
	case p.Dest == "":
		return true
	case !p.DestID.IsZero():
		return p.DestID == l.opts.ID
	}
	return p.Dest == l.opts.Node
}

// internalType: nobody above wants to see these.
func internalType(typ string) bool {
	return typ == typeStatus || typ == typeReqNodes || typ == typeRepNodes || unnumbered(typ)
}

// Unacknowledged is how many of our messages wait for acknowledgement.
func (l *Link) Unacknowledged() int { return int(l.history.unacked(l.ackPoint())) }

// rexmit answers a request (HB 4.3).
func (l *Link) rexmit(now time.Time, n *node, m *hamsg.Message) {
	first, ok1 := m.Decimal("firstseq")
	last, ok2 := m.Decimal("lastseq")
	if !ok1 || !ok2 || first == 0 || last < first {
		return
	}
	if last > l.history.high {
		l.note(Warn, fmt.Sprintf("Rexmit of seq %d requested. %d is max.", last, l.history.high))
		if last = l.history.high; last < first {
			return
		}
	}
	if last-first >= maxPerRequest {
		last = first + maxPerRequest - 1
	}
	for seq := first; seq <= last; seq++ {
		if seq <= n.acked && n.acksSeen {
			continue
		}
		r := l.history.get(seq)
		if r == nil {
			l.note(Error, fmt.Sprintf("Cannot rexmit pkt %d for %s: seqno too low", seq, n.Name))
			nak := hamsg.New(typeNak)
			nak.AddHex("firstseq", seq)
			nak.Add("dest", n.Name)
			nak.Add("info", "seqno too low")
			l.submit(now, nak)
			continue
		}
		if !r.again.IsZero() && now.Sub(r.again) < l.opts.MaxRexmitDelay-10*time.Millisecond {
			continue
		}
		r.again = now
		l.out.Send = append(l.out.Send, r.packet)
		l.out.Resent++
	}
}
