package ccm

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// proposal is a view that we ask the members for.
type proposal struct {
	id       ViewID
	members  []Peer // sorted by name
	base     ViewID // our view when we proposed
	answers  map[string]*Accept
	repeatAt time.Time
}

// maxAncestors views back, a member that missed their installation is still
// known to have been there all the time.
const maxAncestors = 8

// coordinate does the coordinator's part, if that is us.
func (c *Core) coordinate(now time.Time) {
	members, coordinator := c.group(now)
	if coordinator != c.opts.Node {
		c.proposal = nil
		if c.pending() && now.Sub(c.promisedAt) >= c.opts.Retry {
			// Whoever had our promise does not go on: say so to whom we take for
			// the coordinator.
			c.promisedAt = now
			c.out.Send = append(c.out.Send, Send{To: coordinator, Message: &Reject{ViewID: c.promised, Promised: c.seen}})
		}
		return
	}
	want := c.wanted(members)
	if p := c.proposal; p != nil {
		if slices.Equal(p.members, want) && now.Before(p.repeatAt) {
			return
		}
		c.propose(now, want)
		return
	}
	stuck := c.pending() && now.Sub(c.promisedAt) >= c.opts.Retry ||
		c.current != nil && now.Sub(c.installedAt) >= c.opts.Retry && c.lagging()
	if !stuck && !c.outdated(members, want) {
		return
	}
	if c.yields(now) || c.waitsForFirst(now) {
		return
	}
	c.propose(now, want)
}

// wanted are the members of the view that we should have now. A node that has
// restarted leaves first, and enters with the view after.
func (c *Core) wanted(members []*State) []Peer {
	want := make([]Peer, 0, len(members))
	for _, s := range members {
		if m := c.current.Member(s.Node); m != nil && m.Generation != s.Generation {
			continue
		}
		want = append(want, Peer{s.Node, s.Generation})
	}
	return want
}

// outdated: the view in force is not what it should be.
func (c *Core) outdated(members []*State, want []Peer) bool {
	if c.current == nil || len(c.current.Members) != len(want) {
		return true
	}
	for i, m := range c.current.Members {
		if (Peer{m.Name, m.Generation}) != want[i] {
			return true
		}
		j, ok := slices.BinarySearchFunc(members, m.Name, func(s *State, name string) int { return strings.Compare(s.Node, name) })
		if !ok || members[j].ProcSerial != m.procSerial {
			return true
		}
		// It went on without us and is back.
		if at := members[j].At; at.Number > c.current.Number || at.Number == c.current.Number && at != c.current.ViewID {
			return true
		}
	}
	return false
}

// lagging: a member has not told yet that it installed the view in force.
func (c *Core) lagging() bool {
	for i := range c.current.Members {
		m := &c.current.Members[i]
		if p := c.peers[m.Name]; p != nil && p.heard() && p.state != nil && p.state.Generation == m.Generation && p.state.At.Number < c.current.Number {
			return true
		}
	}
	return false
}

// yields: another node, that does not know yet that we are the coordinator,
// has our promise and may be about to install. Let it finish.
func (c *Core) yields(now time.Time) bool {
	if !c.pending() || c.promised.Coordinator == c.opts.Node || now.Sub(c.promisedAt) >= c.opts.Retry {
		return false
	}
	p := c.peers[c.promised.Coordinator]
	return p != nil && p.heard() && p.generation == c.promised.Generation
}

// waitsForFirst: before its first view a node gives the others a moment to
// tell their States.
func (c *Core) waitsForFirst(now time.Time) bool {
	if c.current != nil || now.Sub(c.startedAt) >= c.opts.StartWait {
		return false
	}
	for _, p := range c.peers {
		if p.heard() && (p.state == nil || !p.state.hears(c.opts.Node, c.opts.Generation)) {
			return true
		}
	}
	return false
}

// propose asks the members. We are the first to accept.
func (c *Core) propose(now time.Time, members []Peer) {
	c.seen++
	id := ViewID{Number: c.seen, Coordinator: c.opts.Node, Generation: c.opts.Generation}
	p := &proposal{id: id, members: members, answers: make(map[string]*Accept, len(members)), repeatAt: now.Add(c.opts.Retry)}
	if c.current != nil {
		p.base = c.current.ViewID
	}
	c.proposal = p
	c.promiseTo(now, id, members)
	p.answers[c.opts.Node] = &Accept{ViewID: id, State: c.self, At: p.base, View: c.current, Torn: c.tornPeers()}
	if len(members) > 1 {
		c.out.Send = append(c.out.Send, Send{Message: &Propose{ViewID: id, Members: members, Base: p.base}})
		return
	}
	c.complete(now)
}

func (c *Core) promiseTo(now time.Time, id ViewID, members []Peer) {
	c.promised, c.promisedAt, c.promise = id, now, members
	c.seen = max(c.seen, id.Number)
}

// proposed answers a proposal. A member that we do not hear is no reason to
// reject: our State that says so is on its way, and the proposer will think again.
func (c *Core) proposed(now time.Time, from *peer, m *Propose) {
	if !c.started || m.Coordinator != from.name || m.Generation != from.generation ||
		!slices.Contains(m.Members, Peer{c.opts.Node, c.opts.Generation}) {
		c.seen = max(c.seen, m.Number)
		return
	}
	if m.Number <= c.promised.Number || c.current != nil && m.Number <= c.current.Number {
		c.out.Send = append(c.out.Send, Send{To: from.name, Message: &Reject{ViewID: m.ViewID, Promised: c.seen}})
		return
	}
	for _, other := range m.Members {
		if other.Name == c.opts.Node {
			continue
		}
		if p := c.peers[other.Name]; p == nil || !p.heard() || p.generation != other.Generation {
			c.seen = max(c.seen, m.Number)
			return
		}
	}
	c.proposal = nil // overtaken, if we had one
	c.promiseTo(now, m.ViewID, m.Members)
	a := &Accept{ViewID: m.ViewID, State: c.told(), Torn: c.tornPeers()}
	if c.current != nil {
		a.At = c.current.ViewID
		if a.At != m.Base {
			a.View = c.current
		}
	}
	c.out.Send = append(c.out.Send, Send{To: from.name, Message: a})
}

func (c *Core) rejected(now time.Time, from *peer, m *Reject) {
	c.seen = max(c.seen, m.Promised)
	if c.proposal != nil && c.proposal.id == m.ViewID {
		c.propose(now, c.proposal.members)
		return
	}
	if c.proposal == nil && c.current != nil && c.self != nil && m.Promised >= c.current.Number && m.Number <= m.Promised {
		// It could not install what we did, or is held by a promise that nobody
		// fulfils: a new view frees it, if we are the coordinator.
		if members, coordinator := c.group(now); coordinator == c.opts.Node {
			if want := c.wanted(members); !c.yields(now) && slices.Contains(want, Peer{from.name, from.generation}) {
				c.propose(now, want)
			}
		}
	}
}

func (c *Core) accepted(now time.Time, from *peer, m *Accept) {
	c.learn(now, from, m.State)
	p := c.proposal
	if p == nil || p.id != m.ViewID || !slices.Contains(p.members, Peer{from.name, from.generation}) {
		return
	}
	p.answers[from.name] = m
	c.complete(now)
}

// complete installs our proposal once all have accepted it.
func (c *Core) complete(now time.Time) {
	p := c.proposal
	if len(p.answers) < len(p.members) || c.promised != p.id {
		return
	}
	c.proposal = nil
	v := p.view(c.current)
	if len(v.Members) > 1 {
		c.out.Send = append(c.out.Send, Send{Message: &Install{v}})
	}
	c.install(now, v)
}

func (c *Core) installed(now time.Time, from *peer, m *Install) {
	v := m.View
	if v.Coordinator != from.name || v.Generation != from.generation {
		return
	}
	c.seen = max(c.seen, v.Number)
	if own := v.Member(c.opts.Node); own == nil || own.Generation != c.opts.Generation || !c.started {
		return
	}
	if c.current != nil && v.ViewID == c.current.ViewID {
		return
	}
	if v.ViewID != c.promised {
		c.out.Send = append(c.out.Send, Send{To: from.name, Message: &Reject{ViewID: v.ViewID, Promised: c.seen}})
		return
	}
	c.install(now, v)
}

// install puts v in force here.
func (c *Core) install(now time.Time, v *View) {
	m := &Membership{View: v, LostAt: map[string]time.Time{}}
	old := c.current
	own := old.Member(c.opts.Node)
	entered := own == nil || own.BornOn != v.Member(c.opts.Node).BornOn
	for i := range v.Members {
		is := &v.Members[i]
		was := old.Member(is.Name)
		if entered || was == nil || was.BornOn != is.BornOn || was.Generation != is.Generation {
			m.Joined = append(m.Joined, is.Name)
		}
	}
	if old != nil {
		for i := range old.Members {
			name := old.Members[i].Name
			if v.Member(name) != nil {
				continue
			}
			m.Lost = append(m.Lost, name)
			if p := c.peers[name]; p != nil && !p.lostAt.IsZero() {
				m.LostAt[name] = p.lostAt
			}
		}
	}
	c.current, c.installedAt, c.grouped = v, now, nil
	clear(c.torn)
	c.out.Memberships = append(c.out.Memberships, m)
}

// view is what everybody accepted: members with the processes that they told
// with their acceptance, and with the BornOn that they keep if they come from
// the base view.
func (p *proposal) view(own *View) *View {
	v := &View{ViewID: p.id}
	base := p.winner(own)
	if base != nil {
		v.Ancestors = append(v.Ancestors, base.ViewID)
		v.Ancestors = append(v.Ancestors, base.Ancestors[:min(len(base.Ancestors), maxAncestors-1)]...)
	}
	for _, peer := range p.members {
		a := p.answers[peer.Name]
		m := Member{Name: peer.Name, ID: a.State.ID, Generation: peer.Generation, BornOn: v.Number, procSerial: a.State.ProcSerial, stateSerial: a.State.Serial}
		was := base.stays(a)
		if was != nil {
			m.BornOn = was.BornOn
		}
		for _, proc := range a.State.Processes {
			proc.BornOn = v.Number
			if was != nil {
				for i := range was.Processes {
					if q := &was.Processes[i]; q.Name == proc.Name && q.Instance == proc.Instance {
						proc.BornOn = q.BornOn
					}
				}
			}
			m.Processes = append(m.Processes, proc)
		}
		v.Members = append(v.Members, m)
	}
	return v
}

// winner is the base: of the views that the accepters come from the one with
// which most of them keep their BornOn.
func (p *proposal) winner(own *View) *View {
	views := map[ViewID]*View{}
	if own != nil {
		views[own.ViewID] = own
	}
	for _, a := range p.answers {
		if a.View != nil {
			views[a.View.ViewID] = a.View
		}
	}
	var best *View
	most := 0
	for _, id := range slices.SortedFunc(maps.Keys(views), compareID) {
		v := views[id]
		n := 0
		for _, a := range p.answers {
			if v.stays(a) != nil {
				n++
			}
		}
		// Of equals the highest number, but not one that some have gone on to
		// alone while the others stayed where they were.
		if n > most || n == most && !slices.Contains(v.Ancestors, best.ViewID) {
			best, most = v, n
		}
	}
	return best
}

// stays returns what the accepter was in v, if it has been there ever since it
// entered: it comes from v itself, or from a view before and missed v, but none
// of the messages of those who were in v.
func (v *View) stays(a *Accept) *Member {
	m := v.Member(a.State.Node)
	if m == nil || m.Generation != a.State.Generation || m.BornOn > a.At.Number ||
		a.At != v.ViewID && !slices.Contains(v.Ancestors, a.At) {
		return nil
	}
	for _, t := range a.Torn {
		if with := v.Member(t.Name); with != nil && with.Generation == t.Generation {
			return nil
		}
	}
	return m
}

func compareID(a, b ViewID) int {
	switch {
	case a.Number != b.Number:
		if a.Number < b.Number {
			return -1
		}
		return 1
	case a.Coordinator != b.Coordinator:
		return -strings.Compare(a.Coordinator, b.Coordinator)
	case a.Generation < b.Generation:
		return -1
	case a.Generation > b.Generation:
		return 1
	}
	return 0
}
