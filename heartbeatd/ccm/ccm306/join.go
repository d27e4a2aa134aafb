package ccm306

import (
	"fmt"
	"time"

	"linuxha/heartbeatd/hamsg"
)

func (c *Core) received(now time.Time, from string, m *hamsg.Message) {
	if from == c.opt.Node || !c.alive[from] {
		return
	}
	if n, ok := m.Decimal("numnodes"); ok && int(n) != len(c.all) {
		if !c.wrong[from] {
			c.wrong[from] = true
			c.out.Notes = append(c.out.Notes, fmt.Sprintf("Node count from node %s does not agree: local count=%d, count in message=%d. "+
				"Please make sure ha.cf files on all nodes have same nodes list or add \"autojoin any\" to ha.cf", from, len(c.all), n))
		}
		return
	}
	c.spoke[from] = true
	if c.phase == idle {
		c.beginAsking(now)
	}
	if c.phase == idle {
		return
	}
	typ := m.Type()[len(typePrefix):]
	switch typ {
	case "PROTOVERSION":
		c.asks306(now, from, m)
		return
	case "PROTOVERSION_RESP":
		c.invited(now, from, m)
		return
	case "RESTART":
		if c.established() { // the number stays: views of later times have higher ones
			c.ask(now)
		}
		return
	}
	if m.Get("ccmcookie") != c.cookie {
		c.stranger(now, from, typ, m)
		return
	}
	switch typ {
	case "ALIVE":
		c.cameAlive(now, from)
	case "NEW_NODE":
		c.reported(now, from, m.Get("node"))
	case "MEM_LIST":
		c.memList(now, m)
	case "NODE_LEAVE_NOTICE":
		c.notice(now, from, m.Get("node"))
	case "NODE_LEAVE":
		if c.leads() && c.leaver != "" {
			c.confirmed[from] = true
			c.checkConfirmed(now)
		}
	case "JOIN":
		c.joined(now, from, m)
	case "REQ_MEMLIST":
		c.requested(now, from, m)
	case "RES_MEMLIST":
		c.answered(now, from, m)
	case "FINAL_MEMLIST":
		c.final(now, m)
	case "ABORT":
		c.ask(now)
	}
}

// ask begins anew: this node is in no membership until somebody answers.
func (c *Core) ask(now time.Time) {
	if c.bornOn != nil {
		c.out.Membership, c.out.Ended = nil, true
	}
	c.phase, c.bornOn, c.cookie, c.asks = asking, nil, "", 0
	c.asked = map[string]uint64{}
	c.askAgain(now)
}

func (c *Core) askAgain(now time.Time) {
	c.asks++
	c.asked[c.opt.Node] = c.major
	c.send(c.minimum("PROTOVERSION"), "")
	c.after(now, askEvery)
}

// asks306 hears that another node wants to join.
func (c *Core) asks306(now time.Time, from string, m *hamsg.Message) {
	switch {
	case c.phase == asking:
		c.asked[from], _ = m.Decimal("ccmmajor")
		c.elect(now)
	case !c.established():
	case c.has(from) && !c.gone[from]:
		c.lost(now, from) // its ccm was started again
	case c.leads():
		c.invite(from)
	}
}

func (c *Core) has(name string) bool {
	_, ok := c.bornOn[name]
	return ok
}

func (c *Core) invite(to string) {
	m := c.full("PROTOVERSION_RESP")
	m.Add("ccmproto", "0")
	m.AddDecimal("ccmclsize", uint64(len(c.bornOn)))
	c.send(m, to)
}

// elect makes this node the first member once all ask and it is the highest.
func (c *Core) elect(now time.Time) {
	for name := range c.alive {
		if _, asks := c.asked[name]; c.alive[name] && !asks {
			return
		}
	}
	c.begin(now)
}

// begin makes a membership of this node alone, if of those who ask it has the
// highest number and name.
func (c *Core) begin(now time.Time) {
	top := c.major
	for name, major := range c.asked {
		if c.alive[name] && (major > c.major || major == c.major && name > c.opt.Node) {
			return
		}
		top = max(top, major)
	}
	asked := c.asked
	c.install(now, top+1, c.opt.Cookie(), map[string]uint64{c.opt.Node: 1}, c.opt.Quorate([]string{c.opt.Node}))
	for _, name := range c.all {
		if _, asks := asked[name]; asks && c.alive[name] {
			c.invite(name)
		}
	}
}

// invited is a leader's answer.
func (c *Core) invited(now time.Time, from string, m *hamsg.Message) {
	if c.phase != asking {
		return
	}
	c.major, _ = m.Decimal("ccmmajor")
	c.cookie, c.minor, c.leader = m.Get("ccmcookie"), 0, from
	c.phase = joining
	c.send(c.full("ALIVE"), "")
	c.after(now, askEvery)
}

// cameAlive hears that a newcomer joins this node's membership.
func (c *Core) cameAlive(now time.Time, from string) {
	switch {
	case c.phase != member:
	case c.has(from):
		c.lost(now, from)
	case c.leader != c.opt.Node:
		m := c.full("NEW_NODE")
		m.Add("node", from)
		c.send(m, c.leader)
	case c.newcomer == "" && c.leaver == "":
		c.newcomer = from
		c.after(now, updateTime)
		c.checkReports(now)
	}
}

// reported: a member has heard a newcomer, perhaps before this node did.
func (c *Core) reported(now time.Time, from, newcomer string) {
	if !c.leads() {
		return
	}
	if c.reports[newcomer] == nil {
		c.reports[newcomer] = map[string]bool{}
	}
	c.reports[newcomer][from] = true
	c.checkReports(now)
}

// checkReports declares the membership with the newcomer once all have heard it.
func (c *Core) checkReports(now time.Time) {
	if c.newcomer == "" || !allIn(c, c.reports[c.newcomer]) {
		return
	}
	bornOn := map[string]uint64{c.newcomer: c.major + 1}
	names := []string{c.newcomer}
	for name, at := range c.bornOn {
		bornOn[name] = at
		names = append(names, name)
	}
	quorate, cookie := c.opt.Quorate(names), c.opt.Cookie()
	m := c.full("MEM_LIST")
	c.addMembers(m, bornOn, quorate)
	m.AddList("ccmuptimelist", c.uptimes(bornOn))
	m.Add("ccmnewcookie", cookie)
	c.send(m, "")
	c.install(now, c.major+1, cookie, bornOn, quorate)
}

// memList is a leader's membership with one more node, this one or another.
func (c *Core) memList(now time.Time, m *hamsg.Message) {
	if c.phase != joining && c.phase != member {
		return
	}
	bornOn, ok := c.membersOf(m)
	number, _ := m.Decimal("ccmmajor")
	if !ok || number != c.major {
		return
	}
	if _, in := bornOn[c.opt.Node]; !in { // another newcomer was first
		c.major++
		c.ask(now)
		return
	}
	c.install(now, number+1, m.Get("ccmnewcookie"), bornOn, m.Get("ccmquorum") == "1")
}

// stranger: a message of another membership than this node's. A node that
// came back and is a member elsewhere ends both: all begin anew.
func (c *Core) stranger(now time.Time, from, typ string, m *hamsg.Message) {
	if typ != "STATE_INFO" || m.Get("state") != stateJoined || !c.established() || c.has(from) {
		return
	}
	theirs, _ := m.Decimal("ccmmajor")
	c.out.Notes = append(c.out.Notes, fmt.Sprintf("node %s is in another membership of Heartbeat 3.0.6's ccm (number %d, ours %d): all begin anew", from, theirs, c.major))
	c.send(c.minimum("RESTART"), "")
	c.ask(now)
}

// late does what a time-out asks for.
func (c *Core) late(now time.Time) {
	switch c.phase {
	case asking:
		c.askAgain(now)
		if c.asks > asksAlone {
			c.begin(now)
		}
	case joining:
		c.ask(now)
	case member:
		switch {
		case c.leaver != "":
			c.reform(now, c.minor+1)
		case c.newcomer != "":
			delete(c.reports, c.newcomer)
			c.newcomer = "" // it asks again
			c.watch(now)
		case len(c.gone) > 0: // the leader has not noticed, or its notice is lost
			c.reform(now, c.minor+1)
		case c.alone():
			c.ask(now)
		default:
			c.deadline = time.Time{}
		}
	case reforming:
		c.lateJoins(now)
	case collecting:
		for _, name := range c.others() {
			if _, ok := c.answers[name]; !ok {
				c.gone[name] = true
			}
		}
		c.checkAnswers(now)
	case waiting:
		if c.leader != c.opt.Node {
			c.gone[c.leader] = true
		}
		c.reform(now, c.minor+1)
	}
}
