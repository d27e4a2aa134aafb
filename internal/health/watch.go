// Package health tells a daemon that hangs from one that works: its parent asks
// it again and again, and one that gives no answer for too long is killed, to
// be restarted as after a crash (crm 7.2).
//
//	watch.go  the decision: how long is too long (pure)
//	proc.go   what a process without an answer is doing meanwhile
//	keeper.go asks, and acts on the decision
package health

import (
	"fmt"
	"strings"
	"time"

	"linuxha/internal/interval"
)

// Limits are a watch's settings.
type Limits struct {
	// Period is the time between two looks at a daemon. Zero: nobody is watched.
	Period time.Duration
	// Tries is how many looks in a row find no answer of a hanging daemon.
	Tries int
	// Patience is how many times more a daemon gets that may not have come to
	// answering: one that starts, is to stop, is at work, or waits for a CPU
	// or a disk.
	Patience int
}

// Default limits: a stopped daemon is replaced after 10 s, a third of the
// reference's time, a busy one after 30 s, which is the reference's.
const (
	DefaultTimeout = 10 * time.Second
	minTimeout     = time.Second
	tries          = 5 // as the reference
	patience       = 3
)

// Variable is the setting's name in ha.cf's env directive; with HA_ before it,
// in the environment of the daemons.
const Variable = "unresponsive"

// ParseLimits reads the setting: the time without an answer after which a
// daemon is killed, in seconds or with a unit; "0", "off", "no" or "false": never;
// empty: DefaultTimeout.
func ParseLimits(text string) (Limits, error) {
	timeout := DefaultTimeout
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "":
	case "0", "off", "no", "false":
		return Limits{}, nil
	default:
		d, ok := interval.Parse(strings.TrimSpace(text))
		if !ok || d < minTimeout {
			return LimitsOf(DefaultTimeout), fmt.Errorf("env %s=%s in ha.cf: give a time of at least %v, or off; using %v", Variable, text, minTimeout, DefaultTimeout)
		}
		timeout = d
	}
	return LimitsOf(timeout), nil
}

// LimitsOf are the limits by which a daemon is killed after a time without an answer.
func LimitsOf(timeout time.Duration) Limits {
	return Limits{Period: timeout / tries, Tries: tries, Patience: patience}
}

// Watch follows one process's answers. It is a value of the life of a process:
// the next one gets a watch of its own.
type Watch struct {
	Limits
	last    time.Time // of the last look
	lived   bool      // it answered once
	tries   int       // looks in a row without an answer
	silence time.Duration
	worked  time.Duration // in the silence
}

// Look is what is seen of a process, once in a Period.
type Look struct {
	// Answered: it answered a question since the look before.
	Answered bool
	// Worked is the time since the look before that it spent on a CPU, waiting
	// for one, or for a disk; of all its threads together.
	Worked time.Duration
	// Stopping: it was asked to end.
	Stopping bool
}

// Verdict is what a look comes to.
type Verdict struct {
	Tries int  // looks in a row without an answer
	Kill  bool // it hangs
	Busy  bool // it is at work, or starved
	Late  bool // the look came late and says nothing
}

// Look judges. A look that comes late counts for nothing: what kept us from
// looking (a machine paused, suspended, out of breath) kept the other from
// answering too. The first look only begins the watch.
func (w *Watch) Look(now time.Time, l Look) Verdict {
	since := now.Sub(w.last)
	first := w.last.IsZero()
	w.last = now
	switch {
	case l.Answered:
		w.lived, w.tries, w.silence, w.worked = true, 0, 0, 0
		return Verdict{}
	case first:
		return Verdict{}
	case since > w.Period+w.Period/2:
		return Verdict{Tries: w.tries, Late: true}
	}
	w.tries++
	w.silence += since
	w.worked += l.Worked
	v := Verdict{Tries: w.tries, Busy: w.worked >= w.silence/4}
	limit := w.Tries
	if v.Busy || !w.lived || l.Stopping {
		limit *= w.Patience
	}
	v.Kill = w.tries >= limit
	return v
}
