package link

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"linuxha/heartbeatd/hamsg"
)

// node is what is known of another node, ping nodes included.
type node struct {
	Node
	status   Status
	seen     bool // heard, or declared dead, since our start
	shutdown bool // it sent shutdone

	deadtime   time.Duration // as it dictates
	heardAt    time.Time     // last proof of life
	statusAt   time.Time     // last status message, for warntime
	grace      time.Time     // not dead before; after a pause of our own
	links      []nodeLink
	lastStatus Status // before it was dead

	// The stream of its messages. invariant: next <= last+1, and held has
	// exactly those numbers in next..last that came already; next is missing
	// unless it is last+1.
	started bool
	next    uint64 // to be delivered next
	last    uint64 // highest number heard in this generation; kept over its death
	held    map[uint64]*Packet
	gapAt   time.Time // since when next is missing
	askAt   time.Time // when to request what is missing; zero: nothing is

	ackDigit uint64 // we acknowledge numbers with this last digit
	ackSent  uint64
	acked    uint64 // what it has acknowledged of ours
	acksSeen bool

	ours  bool   // it has sent what only this stack sends
	asked uint64 // highest number whose sending again was requested
	proof proof
}

type nodeLink struct {
	medium  string
	up      bool
	heardAt time.Time

	// For the figures:
	figures    LinkFigures
	generation uint64
	high       uint64
	recent     [linkWindow + 14]uint64 // a number n came if recent[n mod 64] is n
	repliedAt  time.Time
	probed     uint64
}

func (n *node) alive() bool { return n.seen && n.status != StatusDead }

// add enters a node into the table.
func (l *Link) add(in Node) *node {
	if in.Name == l.opts.Node || in.Name == "" {
		return nil
	}
	if n := l.named[in.Name]; n != nil {
		if n.ID.IsZero() && !in.ID.IsZero() {
			l.setID(n, in.ID)
		}
		return nil
	}
	n := &node{Node: in, status: StatusInit, deadtime: l.opts.Deadtime, ackDigit: l.rng.Uint64N(ackEvery)}
	if in.Ping {
		n.deadtime = l.opts.Deadping
	}
	i, _ := slices.BinarySearchFunc(l.nodes, in.Name, func(n *node, name string) int { return strings.Compare(n.Name, name) })
	l.nodes = slices.Insert(l.nodes, i, n)
	l.named[in.Name] = n
	if !in.ID.IsZero() {
		l.byID[in.ID] = n
	}
	delete(l.deleted, in.Name)
	return n
}

// addLate is add at run time: the new node has its dead time to be heard in
// (HB 6.4).
func (l *Link) addLate(now time.Time, in Node) *node {
	n := l.add(in)
	if n == nil {
		return nil
	}
	n.heardAt = now
	l.checkBy(now.Add(l.deadAfter(n)))
	l.change(Added, n)
	return n
}

// remove takes a dead node out of the table; a live one stays.
func (l *Link) remove(name string, remember bool) {
	n := l.named[name]
	if n == nil {
		return
	}
	if n.alive() && !n.Ping {
		l.note(Warn, "deletion failed: node "+name+" is not dead")
		return
	}
	l.nodes = slices.DeleteFunc(l.nodes, func(other *node) bool { return other == n })
	delete(l.named, name)
	delete(l.byID, n.ID)
	if remember {
		l.deleted[name] = true
	}
	l.change(Removed, n)
}

func (l *Link) setID(n *node, id ID) {
	if !n.ID.IsZero() {
		l.note(Info, "node "+n.Name+" changed its uuid to "+id.String())
		delete(l.byID, n.ID)
	}
	n.ID = id
	l.byID[id] = n
}

// find is the sender of p, by UUID, else by name (HB 6.3); nil if it is
// unknown or only now made known.
func (l *Link) find(now time.Time, p *Packet) *node {
	if n := l.byID[p.SrcID]; n != nil && !p.SrcID.IsZero() {
		if n.Name == p.Src {
			return n
		}
		if l.named[p.Src] == nil && !n.alive() && p.Src != l.opts.Node {
			l.note(Warn, "nodename "+p.Src+" uuid changed to "+n.Name)
			delete(l.named, n.Name)
			n.Name = p.Src
			l.named[p.Src] = n
			slices.SortFunc(l.nodes, func(a, b *node) int { return strings.Compare(a.Name, b.Name) })
			return n
		}
	}
	if n := l.named[p.Src]; n != nil {
		if !p.SrcID.IsZero() && n.ID != p.SrcID && l.byID[p.SrcID] == nil {
			l.setID(n, p.SrcID)
		}
		return n
	}
	if l.opts.Autojoin == AutojoinNone || l.deleted[p.Src] || p.Type == typePing {
		l.noteSometimes(now, Error, &l.strangers, func() string { return "process_status_message: bad node [" + p.Src + "] in message" })
		return nil
	}
	// The packet itself is thrown away (HB 6.3).
	l.note(Info, "process_clustermsg: Adding new node ["+p.Src+"] to configuration.")
	l.addLate(now, Node{Name: p.Src, ID: p.SrcID})
	return nil
}

// received is the way of every packet (HB 4.2).
func (l *Link) received(now time.Time, medium string, p *Packet) {
	if p.Src == l.opts.Node || !p.SrcID.IsZero() && p.SrcID == l.opts.ID {
		return // our own, heard back: processed when it was sent
	}
	n := l.find(now, p)
	if n == nil {
		return
	}
	switch {
	case n.Ping:
		l.pingReply(now, n, medium, p)
	case p.Generation < n.Generation:
		l.noteSometimes(now, Error, &l.replays, func() string {
			return fmt.Sprintf("should_drop_message: attempted replay attack [%s]? [gen = %d, curgen = %d]", n.Name, p.Generation, n.Generation)
		})
	case p.Seq == 0:
		l.unnumbered(now, n, medium, p)
	case p.Modern && (!n.started || p.Generation > n.Generation || !n.alive()) && !l.proven(now, n, p):
		// Who it is will be known in a moment.
	default:
		l.numbered(now, n, medium, p)
	}
}

func (l *Link) pingReply(now time.Time, n *node, medium string, p *Packet) {
	if p.Type != typePing {
		return
	}
	n.heardAt = now
	l.linkHeard(now, n, medium)
	if n.status != StatusPing {
		n.status, n.seen = StatusPing, true
		l.change(Up, n)
		l.noteStatus(n)
	}
}

// unnumbered takes in what is not part of a stream.
func (l *Link) unnumbered(now time.Time, n *node, medium string, p *Packet) {
	switch {
	case !l.forUs(p):
	case p.Type == typeChallenge && p.Modern:
		l.challenged(now, n, p)
	case p.Type == typeProof && p.Modern:
		l.answered(n, p)
	case p.Generation != n.Generation || !n.alive():
	case p.Type == typeEcho:
		l.echo(now, n, medium, p)
	case p.Modern && !l.forThisLife(p):
		// Said to an earlier run of ours.
	case p.Type == typeEchoReply:
		l.echoed(now, n, medium, p)
	default:
		l.service(now, n, p)
	}
}

// service processes the unnumbered messages between two nodes.
func (l *Link) service(now time.Time, n *node, p *Packet) {
	switch p.Type {
	case typeAck:
		seq, ok := p.Message.Hex("ackseq")
		if !ok {
			return
		}
		if seq > l.history.high {
			l.note(Error, fmt.Sprintf("HBDoMsg_T_ACK: corrupted ackseq current hiseq = %d ackseq =%d in this message", l.history.high, seq))
			return
		}
		if !n.acksSeen || seq > n.acked {
			// The first one may be below where we had begun to hear it: it has
			// heard us for longer, and misses what is between.
			n.acked, n.acksSeen = seq, true
			if point := l.ackPoint(); point > keepAcked {
				l.history.free(point - keepAcked)
			}
		}
	case typeRexmit:
		l.rexmit(now, n, p.Message)
	case typeNak:
		if seq, ok := p.Message.Hex("firstseq"); ok {
			l.lostForGood(now, n, seq)
		}
	}
}

// numbered processes a message that has a place in its sender's stream.
func (l *Link) numbered(now time.Time, n *node, medium string, p *Packet) {
	kind := Kind(0)
	switch {
	case p.Generation > n.Generation && n.started:
		l.note(Info, "Heartbeat restart on node "+n.Name)
		kind = Restarted
	case p.Generation > n.Generation:
		kind = Up // first heard, or newer than what an earlier run of ours knew
	case n.status == StatusDead && n.last > 0 && p.Seq <= n.last:
		return // delayed, or a replay: proves nothing
	case n.status == StatusDead && n.started:
		kind = Returned
		l.noteReturn(n)
	case !n.alive():
		kind = Up
	}
	if kind != 0 {
		l.begin(now, n, p, kind)
	}

	n.ours = n.ours || strings.HasPrefix(p.Type, ownTypes)
	fresh := p.Seq > n.last || p.Seq >= n.next && n.held[p.Seq] == nil
	if !fresh {
		if p.Seq+linkWindow > n.last {
			l.linkHeard(now, n, medium).count(n, p)
		}
		return
	}
	n.heardAt = now
	l.linkHeard(now, n, medium).count(n, p)
	if p.Type == typeStatus && p.Seq > n.last {
		l.statusMessage(now, n, p)
	}
	l.enqueue(now, n, p)
}

// begin starts a node's stream at p: whatever was before is gone.
func (l *Link) begin(now time.Time, n *node, p *Packet, kind Kind) {
	n.Generation = p.Generation
	n.seen, n.started, n.shutdown = true, true, false
	n.next, n.last = p.Seq, p.Seq-1
	n.held, n.askAt, n.gapAt = nil, time.Time{}, time.Time{}
	n.ackSent, n.asked = 0, 0
	n.acked, n.acksSeen = l.history.high, false
	n.statusAt = time.Time{}
	n.heardAt = now
	n.status = StatusUp
	if kind == Returned && n.lastStatus != "" {
		n.status = n.lastStatus
	}
	if p.Type == typeStatus && p.Status != StatusDead {
		n.status = p.Status
	}
	l.change(kind, n)
	l.noteStatus(n)
	l.checkBy(now.Add(l.deadAfter(n)))
	if l.status != StatusActive {
		l.nextCheck = now // all may have been heard now
	}
}

// statusMessage takes in a node's own word about itself (HB 5).
func (l *Link) statusMessage(now time.Time, n *node, p *Packet) {
	if p.Deadtime > 0 {
		n.deadtime = p.Deadtime
		l.checkBy(now.Add(l.deadAfter(n)))
	}
	if !n.statusAt.IsZero() {
		if gap := now.Sub(n.statusAt); gap > l.opts.Warntime {
			l.note(Warn, "Late heartbeat: Node "+n.Name+": interval "+ms(gap)+" ms")
		}
	}
	n.statusAt = now
	if p.Status != n.status && p.Status != StatusDead && p.Status != "" {
		n.status = p.Status
		l.change(NewStatus, n)
		l.noteStatus(n)
	}
}

// enqueue puts a fresh p into its place and delivers what is in order.
func (l *Link) enqueue(now time.Time, n *node, p *Packet) {
	if p.Seq > n.last+1 {
		lost := p.Seq - n.last - 1
		l.note(Warn, fmt.Sprintf("%d lost packet(s) for [%s] [%d:%d]", lost, n.Name, n.last, p.Seq))
		if p.Seq-n.next > maxMissing {
			l.note(Error, "lost a lot of packets!")
			l.skipTo(n, p.Seq)
		}
	}
	if p.Seq > n.last {
		n.last = p.Seq
	}
	if p.Seq != n.next {
		if n.held == nil {
			n.held = map[uint64]*Packet{}
		}
		n.held[p.Seq] = p
		if n.askAt.IsZero() {
			n.gapAt = now
			n.askAt = now.Add(l.between(l.opts.FirstRexmitDelay/4, l.opts.FirstRexmitDelay))
			l.checkBy(n.askAt)
		}
		return
	}
	l.deliver(now, n, p)
	l.drain(now, n)
}

// drain delivers what was held back and is in order now.
func (l *Link) drain(now time.Time, n *node) {
	for {
		p := n.held[n.next]
		if p == nil {
			break
		}
		delete(n.held, n.next)
		l.deliver(now, n, p)
	}
	if n.next <= n.last {
		n.gapAt = now // another number is missing now
	} else if !n.askAt.IsZero() {
		n.askAt, n.gapAt = time.Time{}, time.Time{}
		l.note(Info, "No pkts missing from "+n.Name+"!")
	}
	l.acknowledge(now, n)
}

// deliver processes the next message of n's stream.
func (l *Link) deliver(now time.Time, n *node, p *Packet) {
	n.next = p.Seq + 1
	if !l.forUs(p) {
		return
	}
	switch p.Type {
	case typeStatus:
	case typeReqNodes:
		l.replyNodes(now, n)
	case typeRepNodes:
		l.adoptNodes(now, p.Message)
	case typeShutdone:
		n.shutdown = true
		fallthrough
	default:
		l.tableMessage(now, p.Message)
		l.out.Deliver = append(l.out.Deliver, p)
	}
}

// skipTo gives up the numbers before seq: the stream is broken.
func (l *Link) skipTo(n *node, seq uint64) {
	l.change(Broken, n)
	n.next, n.last = seq, seq-1
	n.held, n.askAt, n.gapAt = nil, time.Time{}, time.Time{}
}

// lostForGood gives up one number and goes on with what is behind it.
func (l *Link) lostForGood(now time.Time, n *node, seq uint64) {
	if seq < n.next || seq > n.last || n.held[seq] != nil {
		return
	}
	l.note(Error, fmt.Sprintf("Irretrievably lost packet: node %s seq %d", n.Name, seq))
	l.change(Broken, n)
	// Everything before the next number we hold is lost as well, or will be
	// reported as such: messages are forgotten from the oldest on.
	for n.next <= seq {
		if p := n.held[n.next]; p != nil {
			delete(n.held, n.next)
			l.deliver(now, n, p)
		} else {
			n.next++
		}
	}
	l.drain(now, n)
}

// acknowledge tells n what we have without gaps, every tenth number (HB 4.4).
func (l *Link) acknowledge(now time.Time, n *node) {
	have := n.next - 1
	due := have - (have+ackEvery-n.ackDigit)%ackEvery
	if due > have || due == 0 || due <= n.ackSent {
		return
	}
	n.ackSent = due
	m := hamsg.New(typeAck)
	m.Add("dest", n.Name)
	m.Add("ackseq", strconv.FormatUint(due, 16))
	l.submit(now, m)
}

// request asks for everything missing from n (HB 4.3).
func (l *Link) request(now time.Time, n *node) {
	for seq := n.next; seq <= n.last; {
		if n.held[seq] != nil {
			seq++
			continue
		}
		first := seq
		for seq <= n.last && n.held[seq] == nil && seq-first < maxPerRequest {
			seq++
		}
		m := hamsg.New(typeRexmit)
		m.Add("dest", n.Name)
		m.AddDecimal("firstseq", first)
		m.AddDecimal("lastseq", seq-1)
		n.asked = max(n.asked, seq-1)
		l.submit(now, m)
	}
	n.askAt = now.Add(l.opts.MaxRexmitDelay)
	l.checkBy(n.askAt)
}

func (l *Link) between(low, high time.Duration) time.Duration {
	if high <= low {
		return low
	}
	return low + time.Duration(l.rng.Int64N(int64(high-low)))
}

func ms(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
