package sim

import "time"

// Path is how packets go from one host to another.
type Path struct {
	Cut     bool
	Loss    float64 // probability that a packet is lost
	Double  float64 // that it comes twice
	Late    float64 // that it is overtaken by others
	LateBy  time.Duration
	Latency time.Duration // at least
	Jitter  time.Duration // at most on top
}

// Network carries packets between hosts numbered from 0. A packet is a value
// that nobody writes to any more.
type Network[P any] struct {
	sim     *Sim
	hosts   int
	paths   []Path // [from*hosts+to]
	deliver func(to, from int, packet P)
	Sent    uint64
}

// NewNetwork makes a network of good paths; deliver is called for each packet
// that arrives.
func NewNetwork[P any](s *Sim, hosts int, deliver func(to, from int, packet P)) *Network[P] {
	n := &Network[P]{sim: s, hosts: hosts, paths: make([]Path, hosts*hosts), deliver: deliver}
	n.Heal()
	return n
}

// Heal makes all paths good.
func (n *Network[P]) Heal() {
	for i := range n.paths {
		n.paths[i] = Path{Latency: 200 * time.Microsecond, Jitter: 300 * time.Microsecond}
	}
}

// Path is the way from one host to another, to be changed at will.
func (n *Network[P]) Path(from, to int) *Path { return &n.paths[from*n.hosts+to] }

// Broadcast sends packet to all other hosts.
func (n *Network[P]) Broadcast(from int, packet P) {
	for to := range n.hosts {
		if to != from {
			n.Send(from, to, packet)
		}
	}
}

// Send sends packet to one host.
func (n *Network[P]) Send(from, to int, packet P) {
	n.Sent++
	p := n.Path(from, to)
	if p.Cut || n.sim.Chance(p.Loss) {
		return
	}
	copies := 1
	if n.sim.Chance(p.Double) {
		copies = 2
	}
	for range copies {
		delay := n.sim.Between(p.Latency, p.Latency+p.Jitter)
		if n.sim.Chance(p.Late) {
			delay += n.sim.Between(0, p.LateBy)
		}
		n.sim.After(delay, func() { n.deliver(to, from, packet) })
	}
}
