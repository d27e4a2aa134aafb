package classic

import "time"

// standbyPhase is where in the handshake of HB 8.7 a node is.
type standbyPhase uint8

const (
	idle    standbyPhase = iota
	asked                // we want to give; the other has not answered
	giving               // stopping our groups
	given                // stopped; the other starts them
	offered              // the other wants to give, we agreed
	taking               // the other has stopped them; we start them
)

var standbyNames = [...]string{idle: "idle", asked: "asked", giving: "giving", given: "given", offered: "offered", taking: "taking"}

func (p standbyPhase) String() string { return standbyNames[p] }

// The phases' names on the wire.
const (
	infoMe    = "me"
	infoOther = "other"
	infoDone  = "done"
	// infoCancel is ours: the agreement is not needed.
	infoCancel = "cancel"
)

type standby struct {
	phase standbyPhase
	what  Holding   // which groups, in our words
	word  Holding   // in the words of the node that gives
	until time.Time // when it is given up
}

// goStandby begins the handshake on our own account.
func (c *Core) goStandby(now time.Time, what Holding) {
	if what == None || c.legacy() {
		return
	}
	m := Message{Type: TypeAsk, Hold: what, Info: infoMe}
	c.send(m)
	c.ask(now, c.opt.Node, m)
}

// ask takes one message of the handshake in.
func (c *Core) ask(now time.Time, from string, m Message) {
	if c.legacy() {
		c.log(Info, "Standby mode only implemented when nice_failback on")
		return
	}
	own := from == c.opt.Node
	switch s := &c.standby; {
	case m.Info == infoMe:
		c.askMe(now, from, m.Hold)
	case own:
		// The rest of the handshake is between the daemons.
	case m.Info == infoOther && s.phase == asked && m.Hold == s.word:
		c.log(Info, "standby: %s can take our %s resources", from, s.word)
		s.phase, s.until = giving, now.Add(standbyWork)
		c.send(Message{Type: TypeResource, Hold: c.held &^ s.what, Full: true, Took: c.took &^ s.what, Info: "standby"})
	case m.Info == infoDone && s.phase == given && m.Hold == s.word:
		c.log(Info, "Other node completed standby takeover of %s resources.", s.word)
		c.peer.held |= s.what
		c.standby = standby{}
		c.report("")
	case m.Info == infoDone && s.phase == offered && m.Hold == s.word:
		c.log(Info, "standby: acquire [%s] resources from %s", s.word, from)
		c.peer.held &^= s.what
		s.phase, s.until = taking, now.Add(standbyWork)
	case m.Info == infoCancel && s.phase == offered && m.Hold == s.word:
		c.cancelStandby()
	case m.Info == infoOther:
		// A request of a tool here that we did not follow has reached it too.
		c.send(Message{Type: TypeAsk, Hold: m.Hold, Info: infoCancel})
		fallthrough
	default:
		c.log(Error, "Ignored standby message '%s' from %s in state %d", m.Info, from, s.phase)
	}
}

// askMe: from wants to give up what it calls hold.
func (c *Core) askMe(now time.Time, from string, hold Holding) {
	c.log(Info, "%s wants to go standby [%s]", from, hold)
	own := from == c.opt.Node
	s := &c.standby
	if !own && s.phase == asked && from < c.opt.Node {
		// Both want at the same time: the name decides.
		c.cancelStandby()
	}
	switch {
	case s.phase != idle:
		c.log(Warn, "Standby in progress- new request from %s ignored [%d seconds left]", from, int(s.until.Sub(now)/time.Second))
		return
	case !c.peer.alive || c.peer.left || !c.peer.known || own && !c.peer.stable:
		c.log(Warn, "standby message [me] from %s ignored.  Other side is in flux.", from)
		return
	case !c.stable():
		c.log(Warn, "standby message [me] from %s ignored.  local resources in flux.", from)
		return
	}
	if own {
		*s = standby{phase: asked, what: hold, word: hold, until: now.Add(standbyReply)}
		return
	}
	*s = standby{phase: offered, what: hold.Mirror(), word: hold, until: now.Add(standbyBegin)}
	c.send(Message{Type: TypeAsk, Hold: hold, Info: infoOther})
}

// standbyGiven: our groups are stopped.
func (c *Core) standbyGiven() {
	c.log(Info, "Local standby process completed [%s].", c.standby.word)
	c.standby.phase = given
	c.send(Message{Type: TypeAsk, Hold: c.standby.word, Info: infoDone})
}

// standbyTaken: the other node's groups run here.
func (c *Core) standbyTaken() {
	word := c.standby.word
	c.log(Info, "Standby resource acquisition done [%s].", word)
	c.standby = standby{}
	c.report("")
	c.send(Message{Type: TypeAsk, Hold: word, Info: infoDone})
}

func (c *Core) cancelStandby() {
	if c.standby.phase != idle {
		c.log(Info, "Cancelling pending standby operation")
		c.standby = standby{}
	}
}

func (c *Core) standbyTimeout(now time.Time) {
	if s := &c.standby; s.phase != idle && !now.Before(s.until) && c.job == nil {
		c.log(Warn, "No reply to standby request.  Standby request cancelled.")
		c.standby = standby{}
		c.report("")
	}
}
