package ccm306

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"linuxha/heartbeatd/hamsg"
)

const keepalive = 100 * time.Millisecond

// net carries messages between cores: in order from each sender, after
// random times.
type net struct {
	t     *testing.T
	rng   *rand.Rand
	now   time.Time
	names []string
	nodes map[string]*node
	apart map[string]bool // "a b": do not hear each other
	log   []string
}

type node struct {
	core   *Core
	old    bool // as 3.0.6: what the others take it for
	up     bool
	life   int
	wakeAt time.Time
	sentAt map[string]time.Time // last arrival at each receiver
	queue  []arrival
	view   *Membership
}

type arrival struct {
	at   time.Time
	from string
	life int
	m    *hamsg.Message
}

func newNet(t *testing.T, seed uint64, old string, names ...string) *net {
	n := &net{t: t, rng: rand.New(rand.NewPCG(seed, 1)), now: time.Unix(1000, 0), names: names, nodes: map[string]*node{}, apart: map[string]bool{}}
	for _, name := range names {
		n.nodes[name] = &node{old: strings.Contains(old, name)}
	}
	return n
}

func (n *net) start(name string) {
	nd := n.nodes[name]
	nd.up, nd.life, nd.queue, nd.view, nd.wakeAt = true, nd.life+1, nil, nil, time.Time{}
	nd.sentAt = map[string]time.Time{}
	nd.core = New(Options{
		Node: name, Keepalive: keepalive,
		Quorate: func(members []string) bool { return len(members) > len(n.names)/2 },
		Cookie:  func() string { return fmt.Sprintf("%014d", n.rng.Uint64()%1e14) },
	})
	n.table(name)
	if nd.old { // the real one asks of itself
		nd.core.ask(n.now)
		n.take(name, nd.core.out)
		nd.wakeAt = nd.core.deadline
	}
}

func (n *net) kill(name string) {
	n.nodes[name].up = false
	n.table("")
}

// table tells all nodes about the nodes; anew began another life.
func (n *net) table(anew string) {
	for _, name := range n.names {
		if nd := n.nodes[name]; nd.up {
			ev := Nodes{Active: true, All: n.names, Alive: map[string]bool{}, Ours: map[string]bool{}, Anew: map[string]bool{anew: true}}
			for _, other := range n.names {
				ev.Alive[other] = other != name && n.nodes[other].up && !n.apart[name+" "+other]
				ev.Ours[other] = !nd.old && !n.nodes[other].old // 3.0.6 knows nobody of our kind
			}
			n.step(name, ev)
		}
	}
}

func (n *net) step(name string, ev Event) {
	out := n.nodes[name].core.Step(n.now, ev)
	n.take(name, out)
	n.nodes[name].wakeAt = out.WakeAt
}

func (n *net) take(name string, out Output) {
	nd := n.nodes[name]
	if out.Ended {
		nd.view = nil
	}
	if out.Membership != nil {
		nd.view = out.Membership
		n.log = append(n.log, fmt.Sprintf("%v %s installs %d %v", n.now.Sub(time.Unix(1000, 0)), name, nd.view.Number, nd.view.Names()))
	}
	for _, m := range out.Send {
		n.log = append(n.log, fmt.Sprintf("%v %s>%s %s %s minor=%s node=%s", n.now.Sub(time.Unix(1000, 0)), name, m.Get("dest"), m.Type()[len(typePrefix):], m.Get("ccmmajor"), m.Get("ccmminor"), m.Get("node")))
		for _, to := range n.names {
			if to == name || m.Has("dest") && m.Get("dest") != to || n.apart[name+" "+to] {
				continue
			}
			at := n.now.Add(time.Duration(1+n.rng.IntN(80)) * time.Millisecond)
			if at.Before(nd.sentAt[to]) {
				at = nd.sentAt[to]
			}
			nd.sentAt[to] = at
			other := n.nodes[to]
			other.queue = append(other.queue, arrival{at, name, nd.life, m})
		}
	}
}

// run lets time pass.
func (n *net) run(d time.Duration) {
	for end := n.now.Add(d); n.now.Before(end); n.now = n.now.Add(5 * time.Millisecond) {
		for _, name := range n.names {
			nd := n.nodes[name]
			if !nd.up {
				continue
			}
			for {
				i := slices.IndexFunc(nd.queue, func(a arrival) bool { return !a.at.After(n.now) })
				if i < 0 {
					break
				}
				a := nd.queue[i]
				nd.queue = slices.Delete(nd.queue, i, i+1)
				if n.nodes[a.from].life == a.life {
					n.step(name, Received{a.from, a.m})
				}
			}
			if !nd.wakeAt.IsZero() && !n.now.Before(nd.wakeAt) {
				n.step(name, Woken{})
			}
		}
	}
}

// one checks that all nodes that are up are in one membership.
func (n *net) one(when string) {
	n.t.Helper()
	want := ""
	for _, name := range n.names {
		if n.nodes[name].up {
			want += name
		}
	}
	var first *Membership
	for _, name := range n.names {
		nd := n.nodes[name]
		if !nd.up {
			continue
		}
		if nd.view == nil || strings.Join(nd.view.Names(), "") != want {
			n.fail("%s: %s has %+v, want the members %s", when, name, nd.view, want)
		}
		if first == nil {
			first = nd.view
		}
		if nd.view.Number != first.Number || nd.view.Leader != first.Leader || !slices.Equal(nd.view.Members, first.Members) || nd.view.Quorate != first.Quorate {
			n.fail("%s: %s has %+v, another %+v", when, name, nd.view, first)
		}
	}
}

func (n *net) fail(format string, args ...any) {
	n.t.Helper()
	n.t.Fatalf("%s\n%s", fmt.Sprintf(format, args...), strings.Join(n.log[max(0, len(n.log)-60):], "\n"))
}

func TestStartDeathReturn(t *testing.T) {
	for _, tc := range []struct{ name, old string }{{"one old", "a"}, {"two old", "bc"}, {"the last is old", "c"}} {
		for seed := range uint64(20) {
			t.Run(fmt.Sprint(tc.name, seed), func(t *testing.T) {
				n := newNet(t, seed, tc.old, "a", "b", "c")
				for _, name := range n.names {
					n.start(name)
				}
				n.run(5 * time.Second)
				n.one("after the start")
				leader := n.nodes["a"].view.Leader
				for _, victim := range []string{leader, "a", "b", "c"} {
					n.kill(victim)
					n.run(6 * time.Second)
					if survivors := n.old(); survivors == 0 {
						for _, nd := range n.nodes {
							if nd.up && nd.view != nil {
								n.fail("without 3.0.6 there is still a membership: %+v", nd.view)
							}
						}
					} else {
						n.one("after the death of " + victim)
					}
					n.start(victim)
					n.run(8 * time.Second)
					n.one("after the return of " + victim)
				}
			})
		}
	}
}

// old counts nodes of 3.0.6 that are up.
func (n *net) old() int {
	count := 0
	for _, nd := range n.nodes {
		if nd.up && nd.old {
			count++
		}
	}
	return count
}

// TestStorm kills, restarts and tears at random; when all is quiet, there is
// one membership of all.
func TestStorm(t *testing.T) {
	for seed := range uint64(150) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			n := newNet(t, seed, "bd", "a", "b", "c", "d", "e")
			for _, name := range n.names {
				n.start(name)
				n.run(time.Duration(n.rng.IntN(800)) * time.Millisecond)
			}
			for range 12 {
				name := n.names[n.rng.IntN(len(n.names))]
				switch {
				case !n.nodes[name].up:
					n.start(name)
				case n.rng.IntN(3) == 0: // quicker than the others notice
					n.kill(name)
					n.start(name)
				default:
					n.kill(name)
				}
				n.run(time.Duration(n.rng.IntN(1500)) * time.Millisecond)
			}
			for _, name := range n.names {
				if !n.nodes[name].up {
					n.start(name)
				}
			}
			n.run(40 * time.Second)
			n.one("when all is quiet")
		})
	}
}

// TestHealed: halves that each had a membership with an old node come together.
func TestHealed(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			n := newNet(t, seed, "bd", "a", "b", "c", "d")
			for _, name := range n.names {
				n.start(name)
			}
			n.run(6 * time.Second)
			n.one("at first")
			for _, x := range []string{"a", "b"} {
				for _, y := range []string{"c", "d"} {
					n.apart[x+" "+y], n.apart[y+" "+x] = true, true
				}
			}
			n.table("")
			n.run(8 * time.Second)
			for half, want := range map[string]string{"a": "a b", "b": "a b", "c": "c d", "d": "c d"} {
				if v := n.nodes[half].view; v == nil || strings.Join(v.Names(), " ") != want {
					n.fail("torn: %s has %+v", half, v)
				}
			}
			clear(n.apart)
			before := n.nodes["a"].view.Number
			n.table("")
			n.run(15 * time.Second)
			n.one("healed")
			if after := n.nodes["a"].view.Number; after <= before {
				n.fail("number %d after %d", after, before)
			}
		})
	}
}

// TestTwoBeginAlone: where two have begun alone and neither says anything, they
// find each other all the same.
func TestTwoBeginAlone(t *testing.T) {
	for _, split := range [][]string{{"a", "b c"}, {"b", "a c"}, {"c", "a b"}} {
		n := newNet(t, 7, "ac", "a", "b", "c")
		for _, name := range n.names {
			n.start(name)
		}
		n.run(5 * time.Second)
		n.one("at first")
		for i, side := range split {
			bornOn := map[string]uint64{}
			for j, name := range strings.Fields(side) {
				bornOn[name] = uint64(j + 1)
			}
			for name := range bornOn {
				core := n.nodes[name].core
				core.install(n.now, uint64(11+i), fmt.Sprintf("%014d", i), maps.Clone(bornOn), true)
				n.step(name, Woken{})
			}
		}
		n.run(20 * time.Second)
		n.one("after " + strings.Join(split, " | "))
	}
}

func TestSilentAmongOurselves(t *testing.T) {
	n := newNet(t, 1, "", "a", "b")
	n.start("a")
	n.start("b")
	n.run(20 * time.Second)
	if len(n.log) > 0 {
		t.Errorf("said: %v", n.log)
	}
}

// TestHeardBeforeActive: what a node was told before it was active makes it
// ask when it is.
func TestHeardBeforeActive(t *testing.T) {
	c := New(Options{Node: "a", Keepalive: keepalive})
	nodes := Nodes{All: []string{"a", "b"}, Alive: map[string]bool{"b": true}}
	c.Step(time.Unix(1, 0), nodes)
	m := hamsg.New("CCM_TYPE_STATE_INFO")
	m.Add("numnodes", "2")
	m.Add("ccmcookie", "x")
	if out := c.Step(time.Unix(1, 0), Received{"b", m}); len(out.Send) > 0 {
		t.Errorf("said before it was active: %+v", out.Send)
	}
	nodes.Active = true
	if out := c.Step(time.Unix(2, 0), nodes); len(out.Send) != 1 || out.Send[0].Type() != "CCM_TYPE_PROTOVERSION" || out.WakeAt.IsZero() {
		t.Errorf("%+v", out)
	}
}

func TestNodeCount(t *testing.T) {
	c := New(Options{Node: "a", Keepalive: keepalive})
	c.Step(time.Unix(1, 0), Nodes{Active: true, All: []string{"a", "b"}, Alive: map[string]bool{"b": true}})
	m := hamsg.New("CCM_TYPE_PROTOVERSION")
	m.Add("ccmmajor", "0")
	m.Add("numnodes", "3")
	out := c.Step(time.Unix(1, 0), Received{"b", m})
	if len(out.Send) > 0 || len(out.Notes) != 1 || !strings.Contains(out.Notes[0], "local count=2, count in message=3") {
		t.Errorf("%+v", out)
	}
}

// TestRealFields has what 3.0.6 sent said by this core, byte for byte.
func TestRealFields(t *testing.T) {
	c := New(Options{Node: "node3", Keepalive: keepalive, Quorate: func([]string) bool { return true }, Cookie: func() string { return "!v^v-K[UuA{@@<" }})
	c.Step(time.Unix(1, 0), Nodes{Active: true, All: []string{"node3", "node1", "node2"}, Alive: map[string]bool{"node1": true, "node2": true}})
	c.install(time.Unix(1, 0), 1, "{MCcSY5JL?o)Mh", map[string]uint64{"node3": 1}, false)
	m := hamsg.New("CCM_TYPE_ALIVE")
	m.Add("ccmcookie", c.cookie)
	out := c.Step(time.Unix(1, 0), Received{"node1", m})
	if len(out.Send) != 1 {
		t.Fatalf("%+v", out)
	}
	got, err := hamsg.Encode(out.Send[0], nil, hamsg.Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := "###\n22:(0)t=CCM_TYPE_MEM_LIST,13:(0)ccmmajor=1,13:(0)numnodes=3,27:(0)ccmcookie={MCcSY5JL?o)Mh,13:(0)ccmmajor=1,14:(0)ccmuptime=1,13:(0)ccmminor=0," +
		"34:(0)ccmmemlist=BQAAAAAAAAAAAAAAAA==,14:(0)ccmquorum=1,39:(3)ccmuptimelist=8:33554432,8:16777216,,30:(0)ccmnewcookie=!v^v-K[UuA{@@<," +
		"14:(0)from_id=ccm,12:(0)to_id=ccm,15:(0)client_gen=0,%%%\n"
	if string(got) != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	joiner := New(Options{Node: "node1", Keepalive: keepalive})
	joiner.Step(time.Unix(1, 0), Nodes{Active: true, All: []string{"node1", "node2", "node3"}, Alive: map[string]bool{"node3": true}})
	joiner.phase, joiner.cookie, joiner.major, joiner.leader = joining, "{MCcSY5JL?o)Mh", 1, "node3"
	joined := joiner.Step(time.Unix(1, 0), Received{"node3", out.Send[0]}).Membership
	if joined == nil || joined.Number != 2 || joined.Leader != "node3" || !joined.Quorate || !slices.Equal(joined.Members, []Member{{"node1", 2}, {"node3", 1}}) {
		t.Errorf("%+v", joined)
	}
}
