package sim

import (
	"fmt"
	"time"

	"linuxha/heartbeatd/link"
	frame "linuxha/internal/sim"
)

// Weather is what a network without a single dead node can be like: both links
// lose 30% of all packets, double and overtake them, and deliver them up to
// 200 ms (and some up to 400 ms) late, all the time. Beside it clocks jump by up
// to an hour and processes are paused for less than the dead time. With a dead
// time of ten keepalives nobody may be declared dead, and clients miss nothing.
var weather = frame.Path{
	Loss: 0.3, Double: 0.2, Late: 0.2, LateBy: 200 * time.Millisecond, Latency: time.Millisecond, Jitter: 200 * time.Millisecond,
}

// badDeadtime is the dead time that holds in such weather.
const badDeadtime = 10 * keepalive

// longestPause leaves half of the dead time for the heartbeats after it to get
// through.
const longestPause = badDeadtime / 2

func (c *Cluster) deadtime() time.Duration {
	switch {
	case c.plan.deadtime != 0:
		return c.plan.deadtime
	case c.plan.Weather:
		return badDeadtime
	}
	return deadtime
}

// storm makes the second link, and both bad.
func (c *Cluster) storm() {
	c.second = frame.NewNetwork(c.Sim, len(c.nodes), func(to, _ int, p *link.Packet) { c.arriveOver("eth1", to, p) })
	for from := range c.nodes {
		for to := range c.nodes {
			*c.net.Path(from, to), *c.second.Path(from, to) = weather, weather
		}
	}
	c.weather = newWeatherChecker(c)
	c.checks = append(c.checks, c.weather)
}

// scheduleWeather spreads pauses and clock jumps over the history.
func (c *Cluster) scheduleWeather(length time.Duration) {
	for range 12 {
		at := 20*time.Second + c.Between(0, length-40*time.Second)
		c.After(at, func() {
			n := c.someNode()
			if c.Chance(0.3) {
				c.faults["clock jump"]++
				n.wall += c.Between(-time.Hour, time.Hour)
				return
			}
			c.faults["pause"]++
			n.host.Pause()
			c.After(c.Between(10*time.Millisecond, longestPause), n.resume)
		})
	}
}

// weatherChecker allows no death, and wants every message to have come.
type weatherChecker struct {
	c    *Cluster
	last map[[2]int]uint64 // receiver, sender: number
}

func newWeatherChecker(c *Cluster) *weatherChecker {
	return &weatherChecker{c, map[[2]int]uint64{}}
}

func (k *weatherChecker) Saw(node int, fact any) {
	switch f := fact.(type) {
	case verdict:
		k.c.Failf("%s declares %s dead, which only had bad weather", k.c.names[node], f.dead)
	case heard:
		k.last[[2]int{node, f.from}] = f.number
		k.c.counts["messages"]++
	}
}

// over tells that nothing more is to be sent.
func (k *weatherChecker) over() bool { return !k.c.Now().Before(frame.Epoch.Add(k.c.plan.Length)) }

// missing says what has not come yet of all that was sent: streamChecker sees
// to the order, and that none is missing in between.
func (k *weatherChecker) missing() string {
	for receiver, n := range k.c.nodes {
		for sender, from := range k.c.nodes {
			p, ok := from.clients["probe"].(*probe)
			if !ok || p.sent == 0 {
				return from.name + " has not sent anything"
			}
			if got := k.last[[2]int{receiver, sender}]; got != p.sent {
				return fmt.Sprintf("%s has %d messages of %s, which sent %d", n.name, got, from.name, p.sent)
			}
		}
	}
	return ""
}

func (k *weatherChecker) End() {}
