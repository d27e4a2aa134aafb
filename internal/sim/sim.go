// Package sim is the frame of the deterministic simulations: a virtual clock
// with a queue of events, a network that loses, delays, doubles, reorders and
// cuts, disks that forget what was not synced, hosts that crash, restart and
// pause, and checkers that look at everything that happens. It knows no
// daemon; the clusters built from the cores live in test/sim.
//
// One seed is one history: everything random comes from Sim.Rand, events at the
// same instant happen in the order in which they were scheduled, and there is
// one goroutine. A history that fails is run again with the same seed and
// Trace on, to see what happened.
package sim

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Epoch is when every history begins.
var Epoch = time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)

// Sim is one history.
type Sim struct {
	Seed  uint64
	Rand  *rand.Rand
	Trace bool // keep what Logf is told

	now    time.Time
	queue  queue
	serial uint64
	hash   uint64
	steps  uint64
	err    error
	log    []string
}

// New starts the history of seed.
func New(seed uint64) *Sim {
	return &Sim{Seed: seed, Rand: rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15)), now: Epoch, hash: 14695981039346656037}
}

// Now is the virtual time.
func (s *Sim) Now() time.Time { return s.now }

// Elapsed is the virtual time since the history began.
func (s *Sim) Elapsed() time.Duration { return s.now.Sub(Epoch) }

// Steps counts the events so far.
func (s *Sim) Steps() uint64 { return s.steps }

// At has f called at t, now if t has passed.
func (s *Sim) At(t time.Time, f func()) {
	if t.Before(s.now) {
		t = s.now
	}
	s.serial++
	s.queue.push(event{int64(t.Sub(Epoch)), s.serial, f})
}

// After has f called in d.
func (s *Sim) After(d time.Duration, f func()) { s.At(s.now.Add(d), f) }

// Run lets the history go on until t, or until something fails.
func (s *Sim) Run(until time.Time) error {
	end := int64(until.Sub(Epoch))
	for s.err == nil && len(s.queue) > 0 && s.queue[0].at <= end {
		e := s.queue.pop()
		s.now = Epoch.Add(time.Duration(e.at))
		s.steps++
		s.Mix(uint64(e.at))
		e.f()
	}
	if s.err == nil {
		s.now = until
	}
	return s.err
}

// RunUntil lets the history go on until done, at most for d; it reports
// whether done came true.
func (s *Sim) RunUntil(d time.Duration, done func() bool) (bool, error) {
	end := int64(s.now.Add(d).Sub(Epoch))
	for !done() {
		if s.err != nil {
			return false, s.err
		}
		if len(s.queue) == 0 || s.queue[0].at > end {
			s.now = Epoch.Add(time.Duration(end))
			return done(), nil
		}
		e := s.queue.pop()
		s.now = Epoch.Add(time.Duration(e.at))
		s.steps++
		s.Mix(uint64(e.at))
		e.f()
	}
	return true, s.err
}

// Failf ends the history: a promise is broken.
func (s *Sim) Failf(format string, args ...any) {
	if s.err == nil {
		s.err = &Failure{Seed: s.Seed, At: s.Elapsed(), Text: fmt.Sprintf(format, args...)}
		s.Logf("FAILED: %s", s.err.(*Failure).Text)
	}
}

// Failed is why the history ended, nil if it has not failed.
func (s *Sim) Failed() error { return s.err }

// Failure is a broken promise.
type Failure struct {
	Seed uint64
	At   time.Duration
	Text string
}

func (f *Failure) Error() string {
	return fmt.Sprintf("seed %d, at %v: %s", f.Seed, f.At, f.Text)
}

// Logf keeps a line for the trace, if one is wanted.
func (s *Sim) Logf(format string, args ...any) {
	if s.Trace {
		s.log = append(s.log, fmt.Sprintf("%12.6f ", s.Elapsed().Seconds())+fmt.Sprintf(format, args...))
	}
}

// Log is the trace.
func (s *Sim) Log() []string { return s.log }

// Mix makes v part of the history's fingerprint.
func (s *Sim) Mix(v uint64) {
	s.hash ^= v
	s.hash *= 1099511628211
	s.hash ^= s.hash >> 29
}

// MixString makes v part of the history's fingerprint.
func (s *Sim) MixString(v string) {
	for i := range len(v) {
		s.Mix(uint64(v[i]))
	}
}

// Fingerprint tells histories apart: the same seed must give the same one.
func (s *Sim) Fingerprint() uint64 { return s.hash }

// Chance is true once in a while: with probability p.
func (s *Sim) Chance(p float64) bool { return p > 0 && s.Rand.Float64() < p }

// Between is a random duration of at least low and less than high.
func (s *Sim) Between(low, high time.Duration) time.Duration {
	if high <= low {
		return low
	}
	return low + time.Duration(s.Rand.Int64N(int64(high-low)))
}

// Checker watches promises. The cluster tells every checker each fact, which
// is a value that the two of them understand; a broken promise is reported
// through Sim.Failf.
type Checker interface {
	// Saw is told that something happened on a node.
	Saw(node int, fact any)
	// End is called when the faults are over and the cluster had its time to
	// come to rest.
	End()
}

type event struct {
	at     int64
	serial uint64
	f      func()
}

// queue is a heap with four children per node.
type queue []event

func (e *event) before(o *event) bool {
	return e.at < o.at || e.at == o.at && e.serial < o.serial
}

func (q *queue) push(e event) {
	h := append(*q, e)
	i := len(h) - 1
	for i > 0 {
		parent := (i - 1) / 4
		if !e.before(&h[parent]) {
			break
		}
		h[i] = h[parent]
		i = parent
	}
	h[i] = e
	*q = h
}

func (q *queue) pop() event {
	h := *q
	top := h[0]
	last := h[len(h)-1]
	h[len(h)-1] = event{}
	h = h[:len(h)-1]
	*q = h
	if len(h) == 0 {
		return top
	}
	i := 0
	for {
		child := 4*i + 1
		if child >= len(h) {
			break
		}
		best := child
		for c := child + 1; c < min(child+4, len(h)); c++ {
			if h[c].before(&h[best]) {
				best = c
			}
		}
		if !h[best].before(&last) {
			break
		}
		h[i] = h[best]
		i = best
	}
	h[i] = last
	return top
}
