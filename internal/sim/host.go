package sim

import "time"

// Host is a machine that can crash, restart and be paused. What is scheduled
// on it happens only in the life in which it was scheduled, and while it is
// not paused.
type Host struct {
	sim     *Sim
	life    uint64
	up      bool
	paused  bool
	backlog []func()
	// Queue bounds what can wait during a pause, like a receive buffer; more
	// is lost. 0: no bound.
	Queue int
}

// NewHost makes a host that is down.
func NewHost(s *Sim) *Host { return &Host{sim: s} }

// Up tells whether the host runs, paused or not.
func (h *Host) Up() bool { return h.up }

// Paused tells whether nothing is run at present.
func (h *Host) Paused() bool { return h.paused }

// Life counts the boots.
func (h *Host) Life() uint64 { return h.life }

// Boot starts a new life.
func (h *Host) Boot() {
	h.life++
	h.up, h.paused, h.backlog = true, false, nil
}

// Crash ends the life: whatever was scheduled does not happen any more.
func (h *Host) Crash() { h.up, h.paused, h.backlog = false, false, nil }

// Pause holds everything back until Resume.
func (h *Host) Pause() { h.paused = h.up }

// Resume runs what was held back, in order, and goes on.
func (h *Host) Resume() {
	if !h.paused {
		return
	}
	h.paused = false
	life, backlog := h.life, h.backlog
	h.backlog = nil
	for i, f := range backlog {
		if !h.up || h.life != life {
			return
		}
		if h.paused {
			h.backlog = append(backlog[i:len(backlog):len(backlog)], h.backlog...)
			return
		}
		f()
	}
}

// Do runs f now, or when the pause is over; never if the host is down.
func (h *Host) Do(f func()) {
	switch {
	case !h.up:
	case !h.paused:
		f()
	case h.Queue == 0 || len(h.backlog) < h.Queue:
		h.backlog = append(h.backlog, f)
	}
}

// After runs f in d, in this life only.
func (h *Host) After(d time.Duration, f func()) { h.At(h.sim.Now().Add(d), f) }

// At runs f at t, in this life only; later if paused.
func (h *Host) At(t time.Time, f func()) {
	life := h.life
	h.sim.At(t, func() {
		if !h.up || h.life != life {
			return
		}
		if h.paused {
			h.backlog = append(h.backlog, f) // a timer is never lost
			return
		}
		f()
	})
}
