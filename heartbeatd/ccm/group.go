package ccm

import (
	"cmp"
	"math/bits"
	"slices"
	"strings"
	"time"
)

// group finds the nodes that we should share a view with, sorted by name, and
// the coordinator among them. It is a function of the States that we know and
// of our view, so nodes that know the same agree. Two nodes are neighbours if
// each hears the other.
//
// First the members of our view: their best fully connected set is one group,
// the best one among the rest the next, and so on; ours is the one that we are
// in. Better is: bigger; then with fewer accused members (somebody does not
// hear a member that hears him: most likely it is dead, and others will find
// out soon); then with the longer-standing members.
//
// Then the others, unless some of our view have to leave first: those that all of our group are neighbours of enter, but a
// node that has a view with others enters with all of them or not at all.
// While nodes find each other after a start or a healed partition, nobody is
// torn out of a view that works. Only if that does not get better for long is
// everything reshaped into the best sets.
func (c *Core) group(now time.Time) (members []*State, coordinator string) {
	if c.grouped != nil && c.heldSince.IsZero() {
		return c.grouped, c.coordinator
	}
	if members = c.completeGroup(); members == nil {
		members = c.bestGroup(now)
		c.lookForRelays(now)
	} else {
		c.reachable, c.heldSince = nil, time.Time{}
	}
	oldest := members[0]
	for _, s := range members[1:] {
		if c.compareStanding(s, oldest) < 0 {
			oldest = s
		}
	}
	c.grouped, c.coordinator = members, oldest.Node
	return members, oldest.Node
}

// compareStanding orders by time of membership, newcomers last. Members of our
// view count by what it says, as they do for each other; one that has gone on
// to a later view, with us or without, by what it says itself, as it does for
// those who are with it.
func (c *Core) compareStanding(a, b *State) int {
	// 0 means none: as unsigned number minus one it is the highest.
	if d := cmp.Compare(c.bornOn(a)-1, c.bornOn(b)-1); d != 0 {
		return d
	}
	return strings.Compare(a.Node, b.Node)
}

func (c *Core) bornOn(s *State) uint64 {
	if m := c.memberOf(s); m != nil && (s.At == c.current.ViewID || s.At.Number < c.current.Number) {
		return m.BornOn
	}
	return s.BornOn
}

// memberOf is the member of our view whose State s is, nil if it is none.
func (c *Core) memberOf(s *State) *Member {
	if m := c.current.Member(s.Node); m != nil && m.Generation == s.Generation {
		return m
	}
	return nil
}

// vertex is the State by which a peer counts, nil if there is none.
func (c *Core) vertex(p *peer) *State {
	if p.left {
		return nil
	}
	s := p.state
	if s != nil && (s.Leaving || p.up && (p.stale || s.Generation != p.generation)) {
		s = nil
	}
	if s == nil && p.heard() {
		// A member of our view that has not told anything since: what it
		// accepted is what we know of it.
		if m := c.current.Member(p.name); m != nil && m.Generation == p.generation {
			return &State{Node: p.name, ID: p.id, Generation: p.generation, ProcSerial: m.procSerial, BornOn: m.BornOn, At: c.current.ViewID}
		}
	}
	return s
}

// hearsOf tells whether a hears b, by all we know: by accepting our view its
// members have said that they hear each other, until they say otherwise.
func (c *Core) hearsOf(a, b *State) bool {
	if a != c.self {
		if m := c.memberOf(a); m != nil && a.Serial <= m.stateSerial && c.memberOf(b) != nil {
			return true
		}
	}
	return a.hears(b.Node, b.Generation)
}

// completeGroup is the usual case, in which everybody hears everybody and
// nobody else; nil if it is not so.
func (c *Core) completeGroup() []*State {
	members := make([]*State, 0, len(c.names)+1)
	own := false
	for _, name := range c.names {
		if !own && name > c.opts.Node {
			members, own = append(members, c.self), true
		}
		p := c.peers[name]
		s := c.vertex(p)
		if !p.heard() {
			continue
		}
		if s == nil {
			return nil
		}
		members = append(members, s)
	}
	if !own {
		members = append(members, c.self)
	}
	for _, s := range members {
		if len(s.Hears) != len(members)-1 {
			return nil
		}
		i := 0
		for _, other := range members {
			if other == s {
				continue
			}
			if s.Hears[i] != (Peer{other.Node, other.Generation}) {
				return nil
			}
			i++
		}
	}
	return members
}

func (c *Core) bestGroup(now time.Time) []*State {
	g := c.component()
	c.reachable = make(map[string]bool, len(g.nodes))
	members, others := newBitset(len(g.nodes)), newBitset(len(g.nodes))
	for i, s := range g.nodes {
		c.reachable[s.Node] = true
		if m := c.current.Member(s.Node); i == 0 || m != nil && m.Generation == s.Generation && !c.wentOn(s) {
			members.set(i)
		} else {
			others.set(i)
		}
	}
	core := g.groupOf(0, members)
	if c.current != nil && len(core) < len(c.current.Members) {
		others = newBitset(len(g.nodes)) // first let go, then let in
	}
	set, held := g.admit(core, others)
	switch {
	case !held:
		c.heldSince = time.Time{}
	case c.heldSince.IsZero():
		c.heldSince = now
	case now.Sub(c.heldSince) >= c.opts.Settle:
		if best := g.groupOf(0, members.or(others)); g.worth(best, set) {
			set = best
		}
	}
	group := make([]*State, len(set))
	for i, v := range set {
		group[i] = g.nodes[v]
	}
	slices.SortFunc(group, func(a, b *State) int { return strings.Compare(a.Node, b.Node) })
	return group
}

// groupOf divides candidates into best sets and returns the one with v.
func (g *graph) groupOf(v int, candidates bitset) []int {
	candidates = slices.Clone(candidates)
	for {
		set := g.bestClique(candidates)
		if slices.Contains(set, v) {
			return set
		}
		for _, u := range set {
			candidates.clear(u)
		}
	}
}

// admit adds to group those of others that fit, with all that each has a view
// with. held: some that we hear do not fit.
func (g *graph) admit(group []int, others bitset) (set []int, held bool) {
	set = slices.Clone(group)
	fits := func(v int) bool {
		return !slices.ContainsFunc(set, func(u int) bool { return u != v && !g.next[v].has(u) })
	}
	for _, v := range g.order {
		if !others.has(v) || slices.Contains(set, v) {
			continue
		}
		before := len(set)
		company, strangers := g.company(v)
		ok := strangers == 0
		for _, u := range company {
			if slices.Contains(set, u) {
				continue
			}
			if ok = ok && others.has(u) && fits(u); !ok {
				break
			}
			set = append(set, u)
		}
		if !ok {
			set = set[:before]
			held = held || g.next[0].has(v)
		}
	}
	return set, held
}

// worth tells whether best is bigger than every set that it is torn out of:
// between equals one would go back and forth.
func (g *graph) worth(best, set []int) bool {
	return len(best) > len(set) && !slices.ContainsFunc(best, func(v int) bool {
		company, strangers := g.company(v)
		return !slices.Contains(set, v) && len(company)+strangers >= len(best)
	})
}

// company is v with all that share its view, by what they say themselves.
// strangers counts those among them of whom we do not know that they can be
// neighbours.
func (g *graph) company(v int) (all []int, strangers int) {
	all = []int{v}
	for i := 0; i < len(all); i++ {
		for _, name := range g.nodes[all[i]].With {
			u := slices.IndexFunc(g.nodes, func(s *State) bool { return s.Node == name })
			switch {
			case u < 0 || !g.next[all[i]].has(u):
				strangers++
			case !slices.Contains(all, u):
				all = append(all, u)
			}
		}
	}
	return all, strangers
}

// graph has the nodes that a path of neighbours leads to; nodes[0] are we.
type graph struct {
	nodes   []*State
	next    []bitset // next[i]: neighbours of i
	accuser []bitset // accuser[i]: nodes that i hears but that do not hear i
	order   []int    // by standing
	rank    []int    // place in order
}

func (c *Core) component() *graph {
	g := &graph{nodes: []*State{c.self}}
	rest := make([]*State, 0, len(c.names))
	for _, name := range c.names {
		if s := c.vertex(c.peers[name]); s != nil {
			rest = append(rest, s)
		}
	}
	for i := 0; i < len(g.nodes); i++ {
		kept := rest[:0]
		for _, s := range rest {
			if c.hearsOf(g.nodes[i], s) && c.hearsOf(s, g.nodes[i]) {
				g.nodes = append(g.nodes, s)
			} else {
				kept = append(kept, s)
			}
		}
		rest = kept
	}
	n := len(g.nodes)
	g.next, g.accuser = make([]bitset, n), make([]bitset, n)
	for i, a := range g.nodes {
		g.next[i], g.accuser[i] = newBitset(n), newBitset(n)
		for j, b := range g.nodes {
			if i == j {
				continue
			}
			ab, ba := c.hearsOf(a, b), c.hearsOf(b, a)
			if ab && ba {
				g.next[i].set(j)
			}
			if ab && !ba {
				g.accuser[i].set(j)
			}
		}
		g.order = append(g.order, i)
	}
	slices.SortFunc(g.order, func(a, b int) int { return c.compareStanding(g.nodes[a], g.nodes[b]) })
	g.rank = make([]int, n)
	for i, v := range g.order {
		g.rank[v] = i
	}
	return g
}

// searchBudget bounds the exact search; a graph that needs more than this is
// so torn that the greedy answer is as good.
const searchBudget = 20000

// bestClique is the best fully connected set among candidates, as indices in
// order of standing.
func (g *graph) bestClique(candidates bitset) []int {
	s := search{graph: g, among: candidates, best: g.greedy(candidates), budget: searchBudget}
	s.run(nil, slices.Clone(candidates), newBitset(len(g.nodes)))
	return s.best
}

// greedy takes nodes in order as long as they fit, accused ones last.
func (g *graph) greedy(candidates bitset) []int {
	var set []int
	for _, accused := range []bool{false, true} {
		for _, v := range g.order {
			if candidates.has(v) && (g.accuser[v].countAnd(candidates) > 0) == accused && !slices.ContainsFunc(set, func(u int) bool { return !g.next[v].has(u) }) {
				set = append(set, v)
			}
		}
	}
	return g.sorted(set)
}

func (g *graph) sorted(set []int) []int {
	sorted := make([]int, 0, len(set))
	for _, v := range g.order {
		if slices.Contains(set, v) {
			sorted = append(sorted, v)
		}
	}
	return sorted
}

// search is Bron and Kerbosch's enumeration of maximal cliques, with pivots.
type search struct {
	*graph
	among  bitset
	best   []int
	budget int
}

func (s *search) run(taken []int, candidates, excluded bitset) {
	if s.budget--; s.budget < 0 || len(taken)+candidates.count() < len(s.best) {
		return
	}
	if candidates.empty() {
		if excluded.empty() {
			s.offer(s.sorted(taken))
		}
		return
	}
	pivot, most := -1, -1
	for _, v := range s.order {
		if candidates.has(v) || excluded.has(v) {
			if n := candidates.countAnd(s.next[v]); n > most {
				pivot, most = v, n
			}
		}
	}
	for _, v := range s.order {
		if !candidates.has(v) || s.next[pivot].has(v) {
			continue
		}
		s.run(append(taken[:len(taken):len(taken)], v), candidates.and(s.next[v]), excluded.and(s.next[v]))
		candidates.clear(v)
		excluded.set(v)
	}
}

// offer keeps set if it is better than the best so far.
func (s *search) offer(set []int) {
	if d := cmp.Compare(len(set), len(s.best)); d != 0 {
		if d > 0 {
			s.best = set
		}
		return
	}
	if d := cmp.Compare(s.accusedIn(set), s.accusedIn(s.best)); d != 0 {
		if d < 0 {
			s.best = set
		}
		return
	}
	for i := range set {
		if d := cmp.Compare(s.rank[set[i]], s.rank[s.best[i]]); d != 0 {
			if d < 0 {
				s.best = set
			}
			return
		}
	}
}

func (s *search) accusedIn(set []int) (n int) {
	for _, v := range set {
		if s.accuser[v].countAnd(s.among) > 0 {
			n++
		}
	}
	return n
}

type bitset []uint64

func newBitset(n int) bitset    { return make(bitset, (n+63)/64) }
func (b bitset) set(i int)      { b[i/64] |= 1 << (i % 64) }
func (b bitset) clear(i int)    { b[i/64] &^= 1 << (i % 64) }
func (b bitset) has(i int) bool { return b[i/64]&(1<<(i%64)) != 0 }
func (b bitset) and(o bitset) bitset {
	r := make(bitset, len(b))
	for i := range b {
		r[i] = b[i] & o[i]
	}
	return r
}

func (b bitset) or(o bitset) bitset {
	r := make(bitset, len(b))
	for i := range b {
		r[i] = b[i] | o[i]
	}
	return r
}

func (b bitset) count() (n int) {
	for _, w := range b {
		n += bits.OnesCount64(w)
	}
	return n
}

func (b bitset) countAnd(o bitset) (n int) {
	for i, w := range b {
		n += bits.OnesCount64(w & o[i])
	}
	return n
}

func (b bitset) empty() bool { return b.count() == 0 }
