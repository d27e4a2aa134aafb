package link

import (
	"fmt"
	"time"

	"linuxha/heartbeatd/hamsg"
)

// What follows is for peers whose packets are signed with a method that 3.0.6
// does not have (Packet.Modern). A recorded packet of such a peer proves
// nothing, even to a node that has just started and remembers nothing of the
// peer: before a stream begins, the peer has to answer a challenge that no
// earlier run of ours has made. And what two nodes tell each other without
// number names the incarnation that it is for.
const (
	typeChallenge = "NS_lha_challenge" // own fields: dest, nonce
	typeProof     = "NS_lha_proof"     // own fields: dest, nonce, high; dhg as all service messages
	challengeWait = 50 * time.Millisecond
	answerWait    = 10 * time.Millisecond // between proofs to one node: a replayed challenge costs nothing
)

// proof is what is known of a node's being there.
type proof struct {
	nonce      uint64    // of the last challenge
	asked      time.Time // of the same
	answered   time.Time // when we last proved ourselves to it
	generation uint64    // that was proved
	high       uint64    // of the node's numbers when it was: only higher ones are new
}

// proven tells whether the stream that p would begin is live; if that is not
// known, the node is challenged.
func (l *Link) proven(now time.Time, n *node, p *Packet) bool {
	if n.proof.generation == p.Generation {
		return p.Seq > n.proof.high
	}
	if !n.proof.asked.IsZero() && now.Sub(n.proof.asked) < challengeWait {
		return false
	}
	l.nonce++
	n.proof.nonce, n.proof.asked = l.nonce, now
	m := hamsg.New(typeChallenge)
	m.Add("dest", n.Name)
	m.AddHex("nonce", l.nonce)
	l.submit(now, m)
	return false
}

// challenged answers a challenge, and with it a status message, the first of
// our numbers that is new to the challenger.
func (l *Link) challenged(now time.Time, n *node, p *Packet) {
	nonce, ok := p.Message.Hex("nonce")
	if !ok || !n.proof.answered.IsZero() && now.Sub(n.proof.answered) < answerWait {
		return
	}
	n.proof.answered = now
	m := hamsg.New(typeProof)
	m.Add("dest", n.Name)
	m.AddHex("nonce", nonce)
	m.AddHex("high", l.history.high)
	m.AddHex(destGeneration, p.Generation)
	l.submit(now, m)
	l.beat(now)
}

// answered takes in a proof. Its signature covers the nonce and our generation.
func (l *Link) answered(n *node, p *Packet) {
	nonce, ok1 := p.Message.Hex("nonce")
	high, ok2 := p.Message.Hex("high")
	if !ok1 || !ok2 || nonce != n.proof.nonce || n.proof.asked.IsZero() || !l.forThisLife(p) {
		return
	}
	n.proof.generation, n.proof.high = p.Generation, high
	n.proof.asked = time.Time{}
}

// destGeneration is the field of service messages that names the incarnation
// that they are for.
const destGeneration = "dhg"

// aim adds the destination's incarnation to a service message, where all who
// could read it know that field.
func (l *Link) aim(m *hamsg.Message) {
	if !l.opts.Modern || m.Has(destGeneration) {
		return
	}
	if n := l.named[m.Get("dest")]; n != nil && n.Generation > 0 {
		m.AddHex(destGeneration, n.Generation)
	}
}

func (l *Link) forThisLife(p *Packet) bool {
	g, ok := p.Message.Hex(destGeneration)
	return ok && g == l.opts.Generation
}

// limited is a line that a flood of packets must not multiply.
type limited struct {
	at      time.Time
	skipped int
}

// noteSometimes notes text at most once a second per kind of line, and how
// often it was not noted. text is made only when it is.
func (l *Link) noteSometimes(now time.Time, level Level, kind *limited, text func() string) {
	if !kind.at.IsZero() && now.Sub(kind.at) < time.Second {
		kind.skipped++
		return
	}
	line := text()
	if kind.skipped > 0 {
		line += fmt.Sprintf(" (and %d more)", kind.skipped)
	}
	kind.at, kind.skipped = now, 0
	l.note(level, line)
}
