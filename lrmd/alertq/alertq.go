// Package alertq says which calls of alert agents run and which wait: a storm
// of events must not become a storm of processes (execution 16.2 has them all run
// at once, and promises no order). It is pure: who uses it runs the agents.
//
// A recipient hears of events one after the other, in their order, as long as
// its agent is quick. One that takes long is joined by the next call, so that a
// recipient that cannot be reached does not hear of everything hours late; calls
// are begun in their order even then.
package alertq

import (
	"slices"
	"time"
)

// Limits of a queue.
type Limits struct {
	Running      int           // agents at once
	PerRecipient int           // of one recipient
	Waiting      int           // calls that wait
	Patience     time.Duration // a recipient's next call waits so long for the one before
}

// Default limits. A recipient gets half of the agents at most: others are heard
// of in time although it cannot be reached.
var Default = Limits{Running: 16, PerRecipient: 8, Waiting: 10_000, Patience: 2 * time.Second}

// Call is one call of an agent.
type Call struct {
	Sequence  int64  // of this node's calls, growing
	Recipient string // calls with the same one are kept in order
}

// Queue is the state. Its methods belong to one goroutine at a time.
type Queue struct {
	limits  Limits
	lines   map[string]*line
	running int
	waiting int
}

// line is one recipient's.
type line struct {
	waiting []Call
	running int
	last    time.Time // begin of the latest call
}

// New returns an empty queue.
func New(l Limits) *Queue { return &Queue{limits: l, lines: map[string]*line{}} }

// Add queues a call; false when too many wait.
func (q *Queue) Add(c Call) bool {
	if q.waiting >= q.limits.Waiting {
		return false
	}
	l := q.lines[c.Recipient]
	if l == nil {
		l = &line{}
		q.lines[c.Recipient] = l
	}
	l.waiting = append(l.waiting, c)
	q.waiting++
	return true
}

// Ended tells that an agent that Next began has ended.
func (q *Queue) Ended(c Call) {
	l := q.lines[c.Recipient]
	l.running--
	q.running--
	if l.running == 0 && len(l.waiting) == 0 {
		delete(q.lines, c.Recipient)
	}
}

// Next returns the calls to begin now, and when to ask again although nothing
// was added and nothing has ended; zero: never.
func (q *Queue) Next(now time.Time) (start []Call, wakeAt time.Time) {
	var ready []*line
	for _, l := range q.lines {
		switch free := l.last.Add(q.limits.Patience); {
		case len(l.waiting) == 0 || l.running >= q.limits.PerRecipient:
		case l.running > 0 && now.Before(free):
			if wakeAt.IsZero() || free.Before(wakeAt) {
				wakeAt = free
			}
		default:
			ready = append(ready, l)
		}
	}
	// Who has waited longest comes first.
	slices.SortFunc(ready, func(a, b *line) int { return int(a.waiting[0].Sequence - b.waiting[0].Sequence) })
	for _, l := range ready {
		if q.running >= q.limits.Running {
			break // the end of one is the next occasion
		}
		c := l.waiting[0]
		if l.waiting = l.waiting[1:]; len(l.waiting) == 0 {
			l.waiting = nil
		}
		l.running++
		l.last = now
		q.running++
		q.waiting--
		start = append(start, c)
		if free := now.Add(q.limits.Patience); len(l.waiting) > 0 && l.running < q.limits.PerRecipient && (wakeAt.IsZero() || free.Before(wakeAt)) {
			wakeAt = free
		}
	}
	return start, wakeAt
}

// Idle: nothing runs and nothing waits.
func (q *Queue) Idle() bool { return q.running == 0 && q.waiting == 0 }

// Load is how many agents run and how many calls wait.
func (q *Queue) Load() (running, waiting int) { return q.running, q.waiting }
