package te

import (
	"slices"
	"time"

	"linuxha/internal/graph"
)

// run is one graph in execution.
type run struct {
	id       int
	file     string
	graph    *graph.Graph
	synapses []*synapse
	aborted  bool // only completion actions may still start
	fired    int
}

type synapse struct {
	*graph.Synapse
	open   map[int]bool // inputs not yet confirmed
	waits  int          // actions fired and not confirmed
	fired  bool
	failed bool
}

func (s *synapse) confirmed() bool { return s.fired && s.waits == 0 }

// flight is an action under way.
type flight struct {
	Flight
	run      *run
	synapse  *synapse
	adopted  []adoption
	recorded bool      // a record of it is in the CIB
	deadline time.Time // zero: the answerer has its own limit
}

// adoption is a later graph's action that an older flight stands for.
type adoption struct {
	run     *run
	synapse *synapse
	action  *graph.Action
}

func newRun(id int, g *graph.Graph, file string) *run {
	r := &run{id: id, graph: g, file: file}
	for _, s := range g.Synapses {
		open := map[int]bool{}
		for _, in := range s.Inputs {
			open[in] = true
		}
		r.synapses = append(r.synapses, &synapse{Synapse: s, open: open})
	}
	return r
}

// confirm tells all synapses that an action succeeded.
func (r *run) confirm(action int) {
	for _, s := range r.synapses {
		delete(s.open, action)
	}
}

// counts are the numbers of the end line (crm 5.3).
func (r *run) counts() (complete, pending, skipped, incomplete int) {
	for _, s := range r.synapses {
		switch {
		case s.confirmed():
			complete++
		case s.fired:
			pending++
		case len(s.open) == 0 && !s.failed:
			skipped++
		default:
			incomplete++
		}
	}
	return
}

// advance starts what may start, in the present graph and in the aborted
// ones, until nothing more can; then ends what is through.
func (c *Core) advance(now time.Time) {
	for fired := true; fired; {
		fired = false
		for _, r := range c.old {
			fired = c.pass(now, r) || fired
		}
		if c.cur != nil && c.phase == PhaseExecuting {
			fired = c.pass(now, c.cur) || fired
		}
	}
	kept := c.old[:0]
	for _, r := range c.old {
		if c.busy(r) {
			kept = append(kept, r)
		}
	}
	c.old = kept
	if c.phase == PhaseExecuting && !c.unfinished() {
		c.finish(now)
	}
}

// busy says whether the run still waits for something in flight.
func (c *Core) busy(r *run) bool {
	for _, f := range c.flights {
		if f.run == r {
			return true
		}
	}
	return false
}

// unfinished says whether the present graph has something in flight, or held
// back by something that will pass.
func (c *Core) unfinished() bool {
	if len(c.flights) > 0 {
		return true
	}
	for _, s := range c.cur.synapses {
		if !s.fired && !s.failed && len(s.open) == 0 {
			return true
		}
	}
	return false
}

// pass goes over the synapses once, in document order.
func (c *Core) pass(now time.Time, r *run) bool {
	any := false
	for _, s := range r.synapses {
		if s.fired || s.failed || len(s.open) > 0 || !c.mayFire(now, r, s) {
			continue
		}
		c.fire(now, r, s)
		any = true
	}
	return any
}

func (c *Core) mayFire(now time.Time, r *run, s *synapse) bool {
	for _, a := range s.Actions {
		if a.Kind == graph.Pseudo {
			continue
		}
		if r.aborted && s.Priority < graph.Infinity {
			return false
		}
		if a.IsFencing() {
			if other := c.twin(r, a); other == nil && (now.Before(c.retryAt[a.Node]) || c.fencing(a.Node)) {
				return false
			}
			continue
		}
		if a.Operation == "lrm_delete" && a.Mode == "cib" || a.Operation == "clear_failcount" {
			continue // the DC's own work
		}
		if !c.ready[a.Executor()] {
			return false
		}
		if a.Kind != graph.RscOp {
			continue
		}
		if c.twin(r, a) != nil {
			continue
		}
		if c.conflicts(r, a) || !c.room(r, a) {
			return false
		}
	}
	return true
}

func (c *Core) fencing(target string) bool {
	for _, f := range c.flights {
		if f.Action.IsFencing() && f.Action.Node == target {
			return true
		}
	}
	return false
}

// servesAlso says whether the flight stands for an action of that graph.
func (f *flight) servesAlso(r *run) bool {
	return r != nil && slices.ContainsFunc(f.adopted, func(a adoption) bool { return a.run == r })
}

// twin finds the same action in flight for an older graph.
func (c *Core) twin(r *run, a *graph.Action) *flight {
	for _, k := range c.flightKeys() {
		f := c.flights[k]
		if f.run == r || f.servesAlso(r) || f.Action.Kind != a.Kind || f.Action.Operation != a.Operation ||
			f.Action.Node != a.Node || f.Action.Key != a.Key {
			continue
		}
		if a.IsFencing() {
			if f.Action.Meta("stonith_action") == a.Meta("stonith_action") {
				return f
			}
			continue
		}
		if a.Kind == graph.RscOp && a.Operation != "notify" && a.RscID() == f.Action.RscID() && a.Executor() == f.Action.Executor() &&
			f.Action.TargetRC() == a.TargetRC() && sameParameters(a, f.Action) {
			return f
		}
	}
	return nil
}

func sameParameters(a, b *graph.Action) bool {
	return subset(a.Attributes, b.Attributes) && subset(b.Attributes, a.Attributes)
}

func subset(a, b map[string]string) bool {
	for k, v := range a {
		if w, ok := b[k]; (len(k) < 9 || k[:9] != "CRM_meta_") && (!ok || v != w) {
			return false
		}
	}
	return true
}

// conflicts says whether an operation of the same resource is in flight for an
// older graph (crm 9.1). Instances of anonymous clones share a name but not a node.
func (c *Core) conflicts(r *run, a *graph.Action) bool {
	instances := a.Meta("clone") != "" && a.Meta("globally_unique") != "true"
	for _, f := range c.flights {
		if f.run == r || f.Action.Kind != graph.RscOp || f.Action.RscID() != a.RscID() || f.Action.Interval() > 0 {
			continue
		}
		if f.Action.Node == a.Node || !instances {
			return true
		}
	}
	return false
}

// room applies the limits of crm 5.10.
func (c *Core) room(r *run, a *graph.Action) bool {
	onNode, migrations := 0, 0
	pending := 0
	for _, f := range c.flights {
		if f.Action.Kind == graph.RscOp && f.Action.Executor() == a.Executor() {
			onNode++
			if isMigration(f.Action) {
				migrations++
			}
		}
		if f.run == r {
			pending++
		}
	}
	switch {
	case r.graph.BatchLimit > 0 && pending >= r.graph.BatchLimit:
		return false
	case c.opts.NodeLimit > 0 && onNode >= c.opts.NodeLimit:
		return false
	case r.graph.MigrationLimit > 0 && isMigration(a) && migrations >= r.graph.MigrationLimit:
		return false
	}
	return true
}

func isMigration(a *graph.Action) bool {
	return a.Operation == "migrate_to" || a.Operation == "migrate_from"
}

// fire starts all actions of a synapse.
func (c *Core) fire(now time.Time, r *run, s *synapse) {
	s.fired = true
	r.fired++
	for _, a := range s.Actions {
		fl := Flight{Action: a, Key: TransitionKey(a.ID, r.id, a.TargetRC(), c.uuid), Graph: r.id}
		ini := Initiate{Flight: fl, StonithTimeout: r.graph.StonithTimeout}
		if t := c.twin(r, a); t != nil && a.Kind != graph.Pseudo {
			t.adopted = append(t.adopted, adoption{run: r, synapse: s, action: a})
			s.waits++
			c.note(Info, "Action %d (%s on %s) is under way already | key=%s", a.ID, a.Key, a.Node, t.Key)
			continue
		}
		switch {
		case a.Kind == graph.Pseudo, a.Operation == "do_shutdown", a.Meta("op_no_wait") == "true":
			ini.NoWait = true
			if a.Operation == "do_shutdown" && a.Node == c.self {
				c.leaving = true
			}
			c.emit(ini)
			r.confirm(a.ID)
			continue
		}
		f := &flight{Flight: fl, run: r, synapse: s}
		if !a.IsFencing() {
			t := a.Timeout()
			if t == 0 {
				t = r.graph.ClusterDelay
			}
			f.deadline = now.Add(t + a.StartDelay() + r.graph.ClusterDelay)
		}
		c.flights[fl.Key] = f
		s.waits++
		c.emit(ini)
	}
}

// land ends a flight, with success or not.
func (c *Core) land(f *flight, ok bool) {
	delete(c.flights, f.Key)
	finish := func(r *run, s *synapse, action int) {
		s.waits--
		if ok {
			r.confirm(action)
		} else {
			s.failed = true
		}
	}
	finish(f.run, f.synapse, f.Action.ID)
	for _, ad := range f.adopted {
		finish(ad.run, ad.synapse, ad.action.ID)
	}
}

// expire fails actions that nobody answered (crm 5.5).
func (c *Core) expire(now time.Time) {
	for _, k := range c.flightKeys() {
		f := c.flights[k]
		if f.deadline.IsZero() || now.Before(f.deadline) {
			continue
		}
		c.note(Error, "Node %s did not send %s result (via %s) within %d ms (action timeout plus cluster-delay)",
			f.Action.Node, f.Action.Operation, f.Action.Executor(),
			(f.Action.Timeout() + f.Action.StartDelay() + f.run.graph.ClusterDelay).Milliseconds())
		if f.Action.Kind == graph.RscOp {
			c.emit(RecordLost{f.Flight})
		}
		c.land(f, false)
		c.abort(now, "Action lost", "action="+f.Key, Version{})
	}
}

// finish ends the present graph, which has nothing left to do.
func (c *Core) finish(now time.Time) {
	r := c.cur
	c.end(r)
	c.cur = nil
	if c.leaving && !c.granted {
		c.granted = true
		c.emit(ShutdownGranted{})
	}
	c.phase = PhaseIdle
	c.emit(Idle{Graph: r.id})
	if next := c.recheck(now, r.graph.RecheckBy); !next.IsZero() {
		c.computeAt = next
	} else {
		c.computeAt = time.Time{}
	}
}

func (c *Core) recheck(now time.Time, by int64) time.Time {
	var at time.Time
	switch {
	case c.opts.Recheck > 0:
		at = now.Add(c.opts.Recheck)
	case len(c.failures) > 0:
		at = now.Add(longestPause) // a node that could not be fenced is never left at that (crm 9.16)
	}
	if !c.lookAgain.IsZero() && (at.IsZero() || c.lookAgain.Before(at)) {
		at = c.lookAgain
	}
	if by > 0 {
		t := time.Unix(by, 0)
		if least := now.Add(500 * time.Millisecond); t.Before(least) {
			t = least
		}
		if at.IsZero() || t.Before(at) {
			at = t
		}
	}
	return at
}

// end writes a graph's last line.
func (c *Core) end(r *run) {
	complete, pending, skipped, incomplete := r.counts()
	status, level := "Complete", Notice
	switch {
	case r.aborted && (skipped > 0 || incomplete > 0 || pending > 0):
		status = "Stopped"
	case incomplete > 0:
		status, level = "Terminated", Warning
		c.note(Warning, "Transition failed: terminated")
	}
	c.note(level, "Transition %d (Complete=%d, Pending=%d, Fired=%d, Skipped=%d, Incomplete=%d, Source=%s): %s",
		r.id, complete, pending, 0, skipped, incomplete, r.file, status)
}

// wakeAt is the next moment at which time alone changes something.
func (c *Core) wakeAt(now time.Time) time.Time {
	var at time.Time
	consider := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	for _, f := range c.flights {
		consider(f.deadline)
	}
	if c.phase == PhaseExecuting {
		for _, t := range c.retryAt {
			if t.After(now) {
				consider(t)
			}
		}
	}
	if c.phase == PhaseIdle || c.phase == PhaseWaiting {
		consider(c.computeAt)
	}
	return at
}
