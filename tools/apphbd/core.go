package apphbd

import (
	"slices"
	"time"
)

// defaultInterval is what a client that does not say is expected to keep.
const defaultInterval = 10 * time.Second

// client is what is known of a registered program.
type client struct {
	name, instance string
	pid            int
	uid, gid       uint32
	interval       time.Duration // 0: suspended
	warn           time.Duration // 0: not asked for
	reboot         bool
	beaten         time.Time
	missed         int       // intervals without a beat, in a row
	missedAt       time.Time // when that was last counted up
}

// due is when the next beat is missed: an interval after the last, or after
// the last miss; if this process is late, that is no fault of the client's.
func (c *client) due() time.Time {
	from := c.beaten
	if c.missed > 0 && c.missedAt.After(from) {
		from = c.missedAt
	}
	return from.Add(c.interval)
}

// kind of an event.
type kind string

const (
	missed  kind = "missed"
	resumed kind = "resumed"
	late    kind = "late"
	hangup  kind = "hangup" // the connection ended without unregister
)

// event is something that a client did, or did not.
type event struct {
	kind   kind
	client client
	late   time.Duration // late: by how much the beat came after the warning time
}

// watch decides who missed what. It does nothing: the daemon feeds it.
type watch struct {
	clients map[int]*client // by connection
}

func (w *watch) add(id int, c client, now time.Time) {
	if c.interval == 0 {
		c.interval = defaultInterval
	}
	c.beaten = now
	w.clients[id] = &c
}

// beat takes a sign of life in.
func (w *watch) beat(id int, now time.Time) []event {
	c := w.clients[id]
	gap := now.Sub(c.beaten)
	c.beaten = now
	switch {
	case c.missed > 0:
		c.missed = 0
		return []event{{kind: resumed, client: *c}}
	case c.warn > 0 && gap > c.warn:
		return []event{{kind: late, client: *c, late: gap - c.warn}}
	}
	return nil
}

// gone removes a client; one that did not unregister has died.
func (w *watch) gone(id int, unregistered bool) []event {
	c := w.clients[id]
	delete(w.clients, id)
	if c == nil || unregistered {
		return nil
	}
	c.missed++
	return []event{{kind: hangup, client: *c}}
}

// look finds what was missed until now; next is when to look again, zero if
// there is nothing to look for.
func (w *watch) look(now time.Time) (events []event, next time.Time) {
	var ids []int
	for id := range w.clients {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		c := w.clients[id]
		if c.interval <= 0 {
			continue
		}
		if !now.Before(c.due()) {
			c.missed++
			c.missedAt = now
			events = append(events, event{kind: missed, client: *c})
		}
		due := c.due()
		if next.IsZero() || due.Before(next) {
			next = due
		}
	}
	return events, next
}

// plan is what is to be done about a client: the steps of its recovery, one
// per interval that it goes on missing.
type plan struct {
	name, instance string // * for any
	action         string // log, signal, kill, run, reboot
	args           []string
}

func (p plan) fits(c client) bool {
	return (p.name == "*" || p.name == c.name) && (p.instance == "*" || p.instance == c.instance)
}

// step is what the recovery of c has come to, nil when there is nothing left
// to try: lines that name the client come before those for all.
func step(plans []plan, c client) *plan {
	var named, general []plan
	for _, p := range plans {
		switch {
		case !p.fits(c):
		case p.name == "*":
			general = append(general, p)
		default:
			named = append(named, p)
		}
	}
	if len(named) == 0 {
		named = general
	}
	if c.missed < 1 || c.missed > len(named) {
		return nil
	}
	return &named[c.missed-1]
}
