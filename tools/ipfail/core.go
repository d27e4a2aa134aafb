package ipfail

import (
	"fmt"
	"slices"
	"strconv"
	"time"
)

// Message types between two ipfails (HB 3.9, 21.1).
const (
	typeCount   = "num_ping_nodes" // num_ping=<live ping nodes of the sender>
	typeDead    = "you_are_dead"
	typeAbort   = "abort_giveup"
	typeStandby = "ask_resources" // rsc_hold=<what> info=me
	typeClient  = "hbapi-clstat"
)

// recheck is how soon a give-up that fell into a transition is looked at again.
const recheck = 10 * time.Second

// message is what the core wants sent.
type message struct {
	to     string // node; "": all
	typ    string
	fields [][2]string
}

// output is what one step leads to.
type output struct {
	notes []string
	send  []message
	wake  time.Time // step again then at the latest; zero: not needed
}

// core decides as ipfail of 3.0.6 does (HB 21.1): when the nodes of a pair see
// different numbers of ping nodes, the one that sees fewer gives its resources
// up. It does nothing itself.
type core struct {
	node, peer string
	failback   bool          // auto_failback on
	delay      time.Duration // before resources are given up: 2 keepalives, a second at least

	pings    map[string]bool            // ping nodes: do they answer
	links    map[string]map[string]bool // of normal nodes: are they up
	peerUp   bool
	holding  string // rscstatus of this node
	giveUp   string // what is to be given up, "" for nothing
	giveUpAt time.Time
	timers   int // given out so far, for messages

	out output
}

// minDelay: with a keepalive of milliseconds both nodes may see a ping node come
// and go at moments further apart than two of them, at the start above all.
const minDelay = time.Second

func newCore(node, peer string, failback bool, keepalive time.Duration) *core {
	return &core{node: node, peer: peer, failback: failback, delay: max(2*keepalive, minDelay), pings: map[string]bool{}, links: map[string]map[string]bool{}}
}

func (c *core) note(format string, args ...any) {
	c.out.notes = append(c.out.notes, fmt.Sprintf(format, args...))
}

func (c *core) tell(typ string, fields ...[2]string) {
	c.out.send = append(c.out.send, message{c.peer, typ, fields})
}

func (c *core) done() output {
	out := c.out
	if c.giveUp != "" {
		out.wake = c.giveUpAt
	}
	c.out = output{}
	return out
}

// count is the number of ping nodes that answer.
func (c *core) count() int {
	n := 0
	for _, alive := range c.pings {
		if alive {
			n++
		}
	}
	return n
}

// link is one of a node as heartbeatd tells of it.
type linkState struct {
	name string
	up   bool
}

// status takes in the state of a node; first ones are no news.
func (c *core) status(node, status string, ping bool, links []linkState) output {
	if ping {
		alive := status == "ping"
		was, known := c.pings[node]
		c.pings[node] = alive
		if known && was != alive {
			if alive {
				c.note("A ping node just came up.")
			} else {
				c.note("Link Status update: Link %s/%s now has status dead", node, node)
			}
			c.ask()
		}
		return c.done()
	}
	if node == c.peer {
		up := status == "active" || status == "up"
		if c.peerUp && !up {
			c.note("Status update: Node %s now has status %s", node, status)
			if c.count() > 0 {
				c.note("NS: We are still alive!")
			} else {
				c.note("NS: We are dead. :<")
			}
			c.cancel() // there is nobody to give anything to
		}
		c.peerUp = up
	}
	lost := false
	known := c.links[node]
	if known == nil {
		known = map[string]bool{}
		c.links[node] = known
	}
	for _, l := range links {
		if was, seen := known[l.name]; seen && was && !l.up && c.peerUp {
			c.note("Link Status update: Link %s/%s now has status dead", node, l.name)
			lost = true
		}
		known[l.name] = l.up
	}
	if lost && node == c.peer {
		c.ask()
	}
	return c.done()
}

// ask compares ping nodes with the peer: it gets our number and judges.
func (c *core) ask() {
	c.note("Checking remote count of ping nodes.")
	if !c.peerUp {
		if c.count() == 0 {
			c.note("We are dead. :<")
		}
		return
	}
	c.note("Asking other side for ping node count.")
	c.tell(typeCount, [2]string{"num_ping", strconv.Itoa(c.count())})
}

// joined: the peer's ipfail has come.
func (c *core) joined() output {
	c.peerUp = true
	c.ask()
	return c.done()
}

// received takes a message of the peer's ipfail in.
func (c *core) received(now time.Time, typ string, fields map[string]string) output {
	switch typ {
	case typeCount:
		theirs, err := strconv.Atoi(fields["num_ping"])
		if err != nil || theirs < 0 {
			c.note("%s of %s makes no sense: %q", typeCount, c.peer, fields["num_ping"])
			break
		}
		switch own := c.count(); {
		case own > theirs:
			c.note("Telling other node that we have more visible ping nodes.")
			c.tell(typeDead)
		case own < theirs:
			c.note("Giving up because we have less visible ping nodes.")
			c.later(now, "all")
		default:
			c.note("Ping node count is balanced.")
			c.tell(typeAbort)
			c.cancel()
			if c.failback && slices.Contains([]string{"all", "foreign"}, c.holding) {
				c.note("Giving up foreign resources (auto_failback).")
				c.later(now, "foreign")
			}
		}
	case typeDead:
		c.note("Giving up because we were told that we have less ping nodes.")
		c.later(now, "all")
	case typeAbort:
		if c.giveUp == "" {
			c.note("No giveup timer to abort.")
		} else {
			c.note("Aborted delayed giveup (%d)", c.timers)
			c.cancel()
		}
	}
	return c.done()
}

func (c *core) cancel() { c.giveUp = "" }

func (c *core) later(now time.Time, what string) {
	if c.giveUp == what {
		return // it is under way
	}
	c.timers++
	c.giveUp, c.giveUpAt = what, now.Add(c.delay)
	c.note("Delayed giveup in %d seconds.", int(c.delay/time.Second))
}

// holds says what this node holds; "transition": something is changing.
func (c *core) holds(what string) { c.holding = what }

// woken gives up what is due.
func (c *core) woken(now time.Time) output {
	if c.giveUp == "" || now.Before(c.giveUpAt) {
		return c.done()
	}
	what := c.giveUp
	switch {
	case c.holding == "transition":
		c.note("Resources are in transition: looking again in %d seconds.", int(recheck/time.Second))
		c.giveUpAt = now.Add(recheck)
		return c.done()
	case c.holding == "none", what == "foreign" && c.holding == "local":
		c.note("giveup(): this node holds no %s resources.", what)
	default:
		c.note("giveup() called (timeout worked)")
		c.out.send = append(c.out.send, message{"", typeStandby, [][2]string{{"rsc_hold", what}, {"info", "me"}}})
	}
	c.giveUp = ""
	return c.done()
}
