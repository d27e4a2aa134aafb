package ccm306

import (
	"slices"
	"time"

	"linuxha/heartbeatd/hamsg"
)

// lost: a node died, or its ccm began anew.
func (c *Core) lost(now time.Time, name string) {
	delete(c.reports, name)
	delete(c.asked, name)
	if c.newcomer == name {
		c.newcomer = ""
		c.watch(now)
	}
	switch c.phase {
	case asking:
		c.elect(now)
		return
	case joining:
		if name == c.leader {
			c.ask(now)
		}
		return
	}
	if !c.has(name) || c.gone[name] {
		return
	}
	c.gone[name] = true
	switch c.phase {
	case member:
		switch {
		case c.leader == name:
			c.reform(now, c.minor)
		case c.leader != c.opt.Node:
			c.after(now, longUpdate) // for the leader to say so
		case c.leaver != "":
			c.checkConfirmed(now)
		default:
			c.leaver, c.newcomer, c.confirmed = name, "", map[string]bool{}
			m := c.full("NODE_LEAVE_NOTICE")
			m.Add("node", name)
			c.send(m, "")
			c.after(now, updateTime)
			c.checkConfirmed(now)
		}
	case reforming:
		c.checkJoins(now)
	case collecting:
		c.checkAnswers(now)
	case waiting:
		if c.leader == name {
			c.reform(now, c.minor+1)
		}
	}
}

// notice is the leader's word that a member has gone.
func (c *Core) notice(now time.Time, from, name string) {
	if c.phase != member || from != c.leader {
		return
	}
	if name == c.opt.Node {
		c.ask(now)
		return
	}
	c.gone[name] = true
	m := c.full("NODE_LEAVE")
	m.Add("node", c.leader) // sic (HB 9.3)
	c.send(m, c.leader)
	c.after(now, longUpdate)
}

func (c *Core) checkConfirmed(now time.Time) {
	if allIn(c, c.confirmed) {
		c.reform(now, c.minor+1)
	}
}

// reform says JOIN and waits for that of the other members.
func (c *Core) reform(now time.Time, minor uint64) {
	c.phase, c.minor, c.newcomer, c.leaver = reforming, minor, "", ""
	c.joins = map[string]uint64{c.opt.Node: c.bornOn[c.opt.Node]}
	c.send(c.full("JOIN"), "")
	c.after(now, updateTime)
	c.checkJoins(now)
}

func (c *Core) joined(now time.Time, from string, m *hamsg.Message) {
	minor, _ := m.Decimal("ccmminor")
	if !c.established() || !c.has(from) || minor < c.minor {
		return
	}
	if c.phase == member || minor > c.minor {
		c.reform(now, minor)
	}
	if c.phase != reforming { // alone, and done already; or later than the list
		return
	}
	c.joins[from], _ = m.Decimal("ccmuptime")
	c.checkJoins(now)
}

// checkJoins goes on once all have said JOIN: the oldest collects.
func (c *Core) checkJoins(now time.Time) {
	if !allIn(c, c.joins) {
		return
	}
	if c.oldestJoined() != c.opt.Node {
		c.after(now, fromLeader)
		return
	}
	c.phase, c.leader = collecting, c.opt.Node
	c.answers = map[string]answer{}
	c.send(c.full("REQ_MEMLIST"), "")
	c.after(now, fromMembers)
	c.checkAnswers(now)
}

// oldestJoined leads what comes next.
func (c *Core) oldestJoined() string {
	counted := map[string]uint64{}
	for name, at := range c.joins {
		if !c.gone[name] {
			counted[name] = at
		}
	}
	return oldest(counted)
}

// lateJoins goes on without who has not said JOIN, or without the leader if it
// says nothing.
func (c *Core) lateJoins(now time.Time) {
	if allIn(c, c.joins) {
		c.gone[c.oldestJoined()] = true
		c.reform(now, c.minor+1)
		return
	}
	for _, name := range c.others() {
		if _, ok := c.joins[name]; !ok {
			c.gone[name] = true
		}
	}
	c.checkJoins(now)
}

// requested: the leader wants to know whom this node hears.
func (c *Core) requested(now time.Time, from string, m *hamsg.Message) {
	if !c.established() || !c.has(from) {
		return
	}
	minor, _ := m.Decimal("ccmminor")
	if minor < c.minor {
		return
	}
	c.minor = minor
	res := c.full("RES_MEMLIST")
	res.AddDecimal("ccmmaxt", c.major)
	res.Add("ccmmemlist", c.bitmap(c.heard()))
	c.send(res, from)
	c.phase, c.leader = waiting, from
	c.after(now, fromLeader)
}

// heard are the members that this node hears, itself included.
func (c *Core) heard() map[string]bool {
	set := map[string]bool{c.opt.Node: true}
	for _, name := range c.others() {
		set[name] = true
	}
	return set
}

func (c *Core) answered(now time.Time, from string, m *hamsg.Message) {
	if c.phase != collecting || !c.has(from) {
		return
	}
	hears, ok := c.names(m.Get("ccmmemlist"))
	if !ok {
		return
	}
	maxt, _ := m.Decimal("ccmmaxt")
	c.answers[from] = answer{hears, maxt}
	c.checkAnswers(now)
}

// checkAnswers declares the result once all have answered.
func (c *Core) checkAnswers(now time.Time) {
	if !allIn(c, c.answers) {
		return
	}
	number := c.major
	hears := map[string]map[string]bool{c.opt.Node: c.heard()}
	for _, name := range c.others() {
		a := c.answers[name]
		hears[name], number = a.hears, max(number, a.maxt)
	}
	number++
	bornOn := map[string]uint64{}
	members := connected(hears, c.joins)
	for _, name := range members {
		bornOn[name] = c.joins[name]
	}
	quorate, cookie := c.opt.Quorate(members), c.opt.Cookie()
	m := c.full("FINAL_MEMLIST")
	m.AddDecimal("ccmmaxt", number)
	c.addMembers(m, bornOn, quorate)
	m.Add("ccmnewcookie", cookie)
	c.send(m, "")
	if _, in := bornOn[c.opt.Node]; !in {
		c.major = number
		c.ask(now)
		return
	}
	c.install(now, number, cookie, bornOn, quorate)
}

// connected takes nodes out until all hear each other: who misses most goes
// first, of several the youngest. What is left is the largest such set unless
// the network is torn in more than one place.
func connected(hears map[string]map[string]bool, bornOn map[string]uint64) []string {
	var left []string
	for name := range hears {
		left = append(left, name)
	}
	slices.Sort(left)
	for {
		worst, most := -1, 0
		for i, a := range left {
			misses := 0
			for _, b := range left {
				if !hears[a][b] || !hears[b][a] {
					misses++
				}
			}
			if misses > most || misses == most && misses > 0 && bornOn[a] > bornOn[left[worst]] {
				worst, most = i, misses
			}
		}
		if worst < 0 {
			return left
		}
		left = slices.Delete(left, worst, worst+1)
	}
}

// final is the leader's result.
func (c *Core) final(now time.Time, m *hamsg.Message) {
	if !c.established() {
		return
	}
	in, ok := c.names(m.Get("ccmmemlist"))
	number, okNumber := m.Decimal("ccmmaxt")
	if !ok || !okNumber {
		return
	}
	if !in[c.opt.Node] {
		c.major = number
		c.ask(now)
		return
	}
	bornOn := map[string]uint64{}
	for name := range in {
		if at, known := c.bornOn[name]; known {
			bornOn[name] = at
		} else {
			bornOn[name] = number
		}
	}
	c.install(now, number, m.Get("ccmnewcookie"), bornOn, m.Get("ccmquorum") == "1")
}
