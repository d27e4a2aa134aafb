package server

import (
	"strconv"
	"time"

	"linuxha/heartbeatd/hamsg"
	"linuxha/heartbeatd/link"
)

// A client may be slower than those who send to it. Its node then asks all
// nodes to hold their clients' messages, until it has caught up; heartbeats
// and membership go on. One that takes nothing at all holds up nobody for
// longer than stuckAfter: its backlog grows until it loses its stream.
const (
	// typeFlow is the type of these requests; field hold is for how many
	// milliseconds, decimal, 0 to go on. 3.0.6 counts and ignores them.
	typeFlow = "lha_flow"

	holdAt      = 4 << 20 // bytes of a client's backlog
	releaseAt   = 1 << 20
	holdFor     = 300 * time.Millisecond // unless asked again; a dead node holds up nobody
	holdAgain   = 100 * time.Millisecond
	flowCheck   = 5 * time.Millisecond // while something is held
	stuckAfter  = time.Second
	longestHold = time.Second // that is believed
)

// flow is what the loop knows of who cannot keep up.
type flow struct {
	lagging bool                 // a client's backlog has passed holdAt
	asked   time.Time            // when we last asked the others to hold; zero: they need not
	next    time.Time            // when to look again; zero: when a client lags
	held    map[string]time.Time // nodes that want nothing until then
}

// lag is a client's progress while its backlog is large.
type lag struct {
	sent uint64    // by its backlog's count
	at   time.Time // since when that has not moved; zero: the backlog is small
}

// waiting tells whether a client here or anywhere has to catch up first.
func (s *Server) waiting(now time.Time) bool {
	if !s.flow.asked.IsZero() {
		return true
	}
	for node, until := range s.flow.held {
		if now.Before(until) {
			return true
		}
		delete(s.flow.held, node)
	}
	return false
}

// checkFlow asks the others to hold or to go on.
func (s *Server) checkFlow(now time.Time) {
	f := &s.flow
	if !f.lagging && f.asked.IsZero() && len(f.held) == 0 {
		f.next = time.Time{}
		return
	}
	if now.Before(f.next) {
		return
	}
	worst := 0
	for _, c := range s.clients {
		worst = max(worst, c.behind(now))
	}
	switch {
	case worst > holdAt && f.asked.IsZero(), worst > releaseAt && !f.asked.IsZero() && now.Sub(f.asked) >= holdAgain:
		f.asked = now
		s.askToHold(holdFor)
	case worst <= releaseAt && !f.asked.IsZero():
		f.asked = time.Time{}
		s.askToHold(0)
	}
	f.lagging = worst > releaseAt
	f.next = time.Time{}
	if f.lagging || !f.asked.IsZero() || s.waiting(now) {
		f.next = now.Add(flowCheck)
	}
}

// behind is a client's backlog, 0 where it is small or the client is stuck.
func (c *client) behind(now time.Time) int {
	bytes, sent := c.backlog.state()
	if bytes <= releaseAt {
		c.lag.at = time.Time{}
		return 0
	}
	if c.lag.at.IsZero() || c.lag.sent != sent {
		c.lag = lag{sent, now}
	}
	if now.Sub(c.lag.at) > stuckAfter {
		return 0
	}
	return bytes
}

func (s *Server) askToHold(long time.Duration) {
	m := hamsg.New(typeFlow)
	m.Add("hold", strconv.FormatInt(long.Milliseconds(), 10))
	s.submits = append(s.submits, m)
}

// heldBy takes in another node's request.
func (s *Server) heldBy(now time.Time, p *link.Packet) {
	ms, ok := p.Message.Decimal("hold")
	if !ok {
		return
	}
	if ms == 0 {
		delete(s.flow.held, p.Src)
		return
	}
	s.flow.held[p.Src] = now.Add(min(time.Duration(min(ms, 1<<20))*time.Millisecond, longestHold))
	if s.flow.next.IsZero() {
		s.flow.next = now.Add(flowCheck)
	}
}
