package link

import (
	"time"

	"linuxha/heartbeatd/hamsg"
)

// Figures of links. Every numbered message goes out on every medium, so a
// number that a medium skipped was lost or is late there, whatever the others
// brought. Round trips are measured between nodes of this stack by echoes that
// name the medium which they came over.
const (
	typeEcho      = "NS_lha_echo"       // own field: id
	typeEchoReply = "NS_lha_echo_reply" // own fields: dest, id, via
	firstProbe    = 500 * time.Millisecond
	replyWait     = 100 * time.Millisecond // between replies to one node over one medium
	lossMemory    = 256                    // messages: the loss ratio is of about the last ones
	rttMemory     = 8                      // samples
)

// LinkFigures are those of one medium towards a node.
type LinkFigures struct {
	Received uint64  // numbered messages that came over it
	Lost     uint64  // numbers that did not, or not before they had to be asked for again
	Loss     float64 // ratio of lost ones, of late
	// RoundTrip is smoothed; 0 where it is not known (peers of 3.0.6).
	RoundTrip time.Duration
	// LastHeard is how long ago a message came, at the time of the question.
	LastHeard time.Duration
}

// count takes a numbered message into the figures of its link.
func (k *nodeLink) count(n *node, p *Packet) {
	switch {
	case k.generation != p.Generation || k.high == 0 || p.Seq > k.high+maxMissing:
		k.generation, k.high = p.Generation, p.Seq // a beginning, or a hole that says nothing of the link
	case p.Seq > k.high:
		for range p.Seq - k.high - 1 {
			k.figures.Lost++
			k.figures.Loss += (1 - k.figures.Loss) / lossMemory
		}
		k.high = p.Seq
	case p.Seq > n.asked && k.high-p.Seq < linkWindow && !k.has(p.Seq):
		// Overtaken by others, not sent again: it was not lost.
		if k.figures.Lost > 0 {
			k.figures.Lost--
			k.figures.Loss = max(0, k.figures.Loss-1.0/lossMemory)
		}
	default:
		return // doubled, or sent again
	}
	k.mark(p.Seq)
	k.figures.Received++
	k.figures.Loss -= k.figures.Loss / lossMemory
}

// has and mark keep which of the last numbers came over the link.
func (k *nodeLink) has(seq uint64) bool { return k.recent[seq%uint64(len(k.recent))] == seq }
func (k *nodeLink) mark(seq uint64)     { k.recent[seq%uint64(len(k.recent))] = seq }

// probe sends an echo when it is due; the time of the next one is returned.
func (l *Link) probe(now time.Time) time.Time {
	if l.opts.ProbeEvery == 0 {
		return time.Time{}
	}
	if now.Before(l.probeNext) {
		return l.probeNext
	}
	l.probeNext = now.Add(l.opts.ProbeEvery)
	for _, n := range l.nodes {
		if n.ours && n.alive() {
			l.probeID++
			l.probeAt = now
			m := hamsg.New(typeEcho)
			m.AddHex("id", l.probeID)
			l.submit(now, m)
			break
		}
	}
	return l.probeNext
}

// echo answers one, over all media, naming the one that it came over.
func (l *Link) echo(now time.Time, n *node, medium string, p *Packet) {
	id, ok := p.Message.Hex("id")
	k := n.link(medium)
	if !ok || k == nil || !k.repliedAt.IsZero() && now.Sub(k.repliedAt) < replyWait {
		return
	}
	k.repliedAt = now
	m := hamsg.New(typeEchoReply)
	m.Add("dest", n.Name)
	m.AddHex("id", id)
	m.Add("via", medium)
	l.submit(now, m)
}

// echoed takes a round trip in, if both ways were over the same medium, or
// over one that the peer calls by a name of its own (serial lines).
func (l *Link) echoed(now time.Time, n *node, medium string, p *Packet) {
	id, ok := p.Message.Hex("id")
	k := n.link(medium)
	if !ok || id != l.probeID || k == nil || k.probed == id {
		return
	}
	if via := p.Message.Get("via"); via != medium && n.link(via) != nil {
		return
	}
	k.probed = id
	rtt := now.Sub(l.probeAt)
	if k.figures.RoundTrip == 0 {
		k.figures.RoundTrip = rtt
	} else {
		k.figures.RoundTrip += (rtt - k.figures.RoundTrip) / rttMemory
	}
}

func (n *node) link(medium string) *nodeLink {
	for i := range n.links {
		if n.links[i].medium == medium {
			return &n.links[i]
		}
	}
	return nil
}
