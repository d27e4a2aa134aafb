package oplist

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Step takes one event in at time now and returns what to do about it.
func (l *List) Step(now time.Time, ev Event) Output {
	var out Output
	switch ev := ev.(type) {
	case Registered:
		l.register(now, ev, &out)
	case Unregistered:
		l.unregister(now, ev.Resource, &out)
	case Submitted:
		l.submit(now, ev.Op, &out)
	case Cancelled:
		l.cancel(now, ev, &out)
	case Launched:
		l.launched(now, ev, &out)
	case Exited:
		l.exited(now, ev, &out)
	case ClassFailed:
		l.classFailed(now, ev, &out)
	case Woken:
	}
	l.expire(now, &out)
	l.dispatch(now, &out)
	out.WakeAt = l.nextWake(now)
	return out
}

func byName(r *resource, id string) int { return strings.Compare(r.id, id) }

func (l *List) add(id string) *resource {
	r := &resource{id: id}
	i, _ := slices.BinarySearchFunc(l.order, id, byName)
	l.order = slices.Insert(l.order, i, r)
	l.resources[id] = r
	return r
}

func (l *List) remove(id string) {
	if i, ok := slices.BinarySearchFunc(l.order, id, byName); ok {
		l.order = slices.Delete(l.order, i, i+1)
	}
	delete(l.resources, id)
}

// queued returns all operations that do not run, oldest first.
func (r *resource) queued() []*op {
	out := slices.Concat(r.due, r.pending, r.waiting)
	slices.SortStableFunc(out, func(a, b *op) int { return cmp.Compare(a.arrived, b.arrived) })
	return out
}

// enqueue makes o ready to run from readyAt on.
func (l *List) enqueue(now, readyAt time.Time, o *op) {
	l.lastSeq++
	o.arrived, o.queuedAt, o.readyAt = l.lastSeq, now, readyAt
}

// register: the same agent again is no news; another one replaces the entry
// (execution 8.2).
func (l *List) register(now time.Time, ev Registered, out *Output) {
	r := l.resources[ev.Resource]
	switch {
	case r == nil:
		r = l.add(ev.Resource)
	case r.registered && !r.agent.equal(ev.Agent):
		l.drop(now, r, out)
	case r.registered:
		out.Report = append(out.Report, Report{Kind: KindRegistered, Op: Op{Resource: r.id}})
		return
	}
	r.agent, r.registered, r.started = ev.Agent, true, nil
	out.Report = append(out.Report, Report{Kind: KindRegistered, Op: Op{Resource: r.id}})
}

func (l *List) unregister(now time.Time, id string, out *Output) {
	if r := l.resources[id]; r != nil && r.registered {
		out.Answer.Found = true
		l.drop(now, r, out)
		r.registered = false
		out.Answer.Running = r.running != nil
		if r.running == nil {
			l.remove(id)
		}
	}
	out.Report = append(out.Report, Report{Kind: KindUnregistered, Op: Op{Resource: id}, Removed: true})
}

// drop ends everything of an entry but a one-shot operation that runs: that
// one is left to finish (execution 10.3).
func (l *List) drop(now time.Time, r *resource, out *Output) {
	queued := r.queued()
	r.pending, r.due, r.waiting = nil, nil, nil
	for _, o := range queued {
		o.orphan = true
		finishCancelled(o, out)
	}
	if o := r.running; o != nil {
		o.orphan = true
		if o.Interval > 0 {
			l.kill(now, o, out)
		}
	}
}

// finishCancelled reports an operation that does not run as cancelled, with
// the code of its last result (execution 10.1).
func finishCancelled(o *op, out *Output) {
	rep := Report{Kind: KindDone, Op: o.Op, Removed: true}
	if o.last != nil {
		rep = *o.last
		rep.Op, rep.Removed, rep.MoreRuns, rep.Quiet = o.Op, true, false, false
	}
	rep.Status, rep.Reason = StatusCancelled, ""
	out.Report = append(out.Report, rep)
}

// kill ends a recurring operation that runs, because it was cancelled.
func (l *List) kill(now time.Time, o *op, out *Output) {
	if o.fate != alive {
		return
	}
	o.fate, o.killedAt = cancelled, now
	out.Kill = append(out.Kill, Kill{Run: o.run, Group: true})
}

func (l *List) submit(now time.Time, req Op, out *Output) {
	r := l.resources[req.Resource]
	if r == nil || !r.registered {
		out.Answer.Err = ErrUnknownResource
		return
	}
	l.lastCall++
	if l.lastCall <= 0 || l.lastCall > 1<<31-1 { // call ids fit in the CIB's int
		l.lastCall = 1
	}
	req.CallID = l.lastCall
	out.Answer.CallID = req.CallID
	isStop := strings.EqualFold(req.Action, "stop")
	if isStop || strings.EqualFold(req.Action, "start") {
		req.Interval = 0
	}
	if isStop {
		l.cancelRecurring(now, r, out)
	}
	if req.Interval > 0 && l.merge(now, r, req, out) {
		return
	}
	o := &op{Op: req, rsc: r}
	l.enqueue(now, now.Add(max(req.StartDelay, 0)), o)
	r.pending = append(r.pending, o)
}

// cancelRecurring: a stop ends all recurring operations first (execution 10.4).
func (l *List) cancelRecurring(now time.Time, r *resource, out *Output) {
	recurring := func(o *op) bool { return o.Interval > 0 }
	for _, o := range r.queued() {
		if recurring(o) {
			finishCancelled(o, out)
		}
	}
	r.pending = slices.DeleteFunc(r.pending, recurring)
	r.due, r.waiting = nil, nil
	if o := r.running; o != nil && recurring(o) {
		l.kill(now, o, out)
	}
}

// merge lets a request take over an equal recurring operation (execution 10.2).
func (l *List) merge(now time.Time, r *resource, req Op, out *Output) bool {
	same := func(o *op) bool {
		return o.fate == alive && !o.orphan && o.Interval == req.Interval && strings.EqualFold(o.Action, req.Action)
	}
	all := r.queued()
	if r.running != nil {
		all = append(all, r.running)
	}
	i := slices.IndexFunc(all, same)
	if i < 0 {
		return false
	}
	o := all[i]
	out.Moved = append(out.Moved, Moved{From: o.CallID, To: req.CallID})
	out.Notes = append(out.Notes, Note{Text: "the same recurring operation exists already: it goes on under the new call", Key: o.Key(), CallID: req.CallID})
	o.CallID, o.UserData, o.sent = req.CallID, req.UserData, false
	if j := slices.Index(r.waiting, o); j >= 0 {
		r.waiting = slices.Delete(r.waiting, j, j+1)
		l.enqueue(now, now, o)
		r.due = append(r.due, o)
	}
	return true
}

func (l *List) cancel(now time.Time, ev Cancelled, out *Output) {
	r := l.resources[ev.Resource]
	if r == nil || !r.registered {
		out.Answer.Err = ErrUnknownResource
		return
	}
	for _, list := range []*[]*op{&r.pending, &r.due, &r.waiting} {
		for i, o := range *list {
			if o.Interval == ev.Interval && strings.EqualFold(o.Action, ev.Action) {
				*list = slices.Delete(*list, i, i+1)
				out.Answer.Found = true
				finishCancelled(o, out)
				return
			}
		}
	}
	if o := r.running; o != nil && o.fate == alive && !o.orphan && o.Interval > 0 &&
		o.Interval == ev.Interval && strings.EqualFold(o.Action, ev.Action) {
		out.Answer.Found, out.Answer.Running = true, true
		l.kill(now, o, out)
	}
}

func (l *List) launched(now time.Time, ev Launched, out *Output) {
	o := l.runs[ev.Run]
	if o == nil {
		return
	}
	at := ev.At
	if at.IsZero() {
		at = now
	}
	o.launchedAt, o.pid = at, ev.PID
	if o.Timeout > 0 {
		o.deadline = at.Add(o.Timeout) // from the fork, not from queueing (execution 6.1)
	}
	out.Report = append(out.Report, Report{Kind: KindStarted, Op: o.Op, PID: ev.PID, StartedAt: at, LastRun: at, QueueTime: o.begunAt.Sub(o.queuedAt)})
}

func (l *List) exited(now time.Time, ev Exited, out *Output) {
	o := l.runs[ev.Run]
	if o == nil {
		return
	}
	delete(l.runs, ev.Run)
	r := o.rsc
	r.running = nil
	l.finish(now, o, ev.Outcome, out)
	if !r.registered {
		l.remove(r.id)
	}
	if o.orphan {
		out.Drained = append(out.Drained, r.id)
	}
}

// finish reports a result, and keeps a recurring operation for its next run.
func (l *List) finish(now time.Time, o *op, got Outcome, out *Output) {
	rep := o.result(now, got)
	again := o.Interval > 0 && !o.orphan && o.fate != cancelled
	rep.Removed = o.orphan || o.fate == cancelled
	rep.MoreRuns = again
	rep.Quiet = again && o.repeats(&rep)
	o.sent = o.sent || !rep.Quiet
	o.last = &rep
	out.Report = append(out.Report, rep)
	if again {
		o.fate, o.run = alive, 0
		o.launchedAt, o.deadline, o.killedAt, o.complained = time.Time{}, time.Time{}, time.Time{}, false
		o.readyAt = now.Add(o.Interval) // from the end of this run (execution 9.4)
		o.rsc.waiting = append(o.rsc.waiting, o)
	}
}

func (l *List) classFailed(now time.Time, ev ClassFailed, out *Output) {
	for _, r := range l.order {
		if !strings.EqualFold(r.agent.Class, ev.Class) {
			continue
		}
		failed := slices.Concat(r.due, r.pending, r.waiting)
		r.due, r.pending, r.waiting = nil, nil, nil
		for _, o := range failed {
			o.begunAt, o.launchedAt = now, time.Time{}
			l.finish(now, o, ev.Outcome, out)
		}
	}
}

// laterSecond is now, or the second after before if both are in one second:
// records keep whole seconds, and it is by them that the scheduler knows which
// of two results of one call came later.
func laterSecond(now, before time.Time) time.Time {
	if now.Unix() > before.Unix() {
		return now
	}
	return time.Unix(before.Unix()+1, 0)
}

// result turns the outcome of a run into its report (execution 9.5).
func (o *op) result(now time.Time, got Outcome) Report {
	begun := o.launchedAt
	if begun.IsZero() {
		begun = o.begunAt
	}
	switch o.fate {
	case timedOut:
		got.RC, got.Status = rcError, StatusTimedOut
		got.Reason = "Resource agent did not complete within " + Span(o.Timeout)
	case cancelled:
		got.RC, got.Status, got.Reason = 0, StatusCancelled, ""
	}
	switch {
	case !o.ran:
		o.rcChange = begun
	case got.Raw != o.lastRaw:
		o.rcChange = laterSecond(now, o.rcChange)
	}
	o.ran, o.lastRaw = true, got.Raw
	return Report{
		Kind: KindDone, Op: o.Op, Outcome: got, PID: o.pid,
		ExecTime: now.Sub(begun), QueueTime: o.begunAt.Sub(o.queuedAt),
		LastRun: begun, LastRCChange: o.rcChange, StartedAt: o.launchedAt,
	}
}

// expire handles what time alone brings: intervals, deadlines, and killed
// agents that do not die.
func (l *List) expire(now time.Time, out *Output) {
	for _, r := range l.order {
		var ready []*op
		r.waiting = slices.DeleteFunc(r.waiting, func(o *op) bool {
			if o.readyAt.After(now) {
				return false
			}
			ready = append(ready, o)
			return true
		})
		slices.SortStableFunc(ready, func(a, b *op) int { return a.readyAt.Compare(b.readyAt) })
		for _, o := range ready {
			l.enqueue(o.readyAt, o.readyAt, o)
			r.due = append(r.due, o)
		}
		o := r.running
		if o == nil {
			continue
		}
		if o.fate == alive && !o.deadline.IsZero() && !o.deadline.After(now) {
			o.fate, o.killedAt = timedOut, now
			// A blocked failure is to be inspected: its children stay (execution 6.1).
			group := o.Params["CRM_meta_on_fail"] != "block"
			out.Kill = append(out.Kill, Kill{Run: o.run, Group: group})
			out.Notes = append(out.Notes, Note{Text: "operation timed out", Key: o.Key(), CallID: o.CallID, PID: o.pid})
		}
		if !o.killedAt.IsZero() && !o.complained && !o.killedAt.Add(reluctant).After(now) {
			o.complained = true
			out.Notes = append(out.Notes, Note{Text: "process will not die", Key: o.Key(), CallID: o.CallID, PID: o.pid})
		}
	}
}

// next is the operation that r would run now, or nil. The head of pending
// blocks the rest of pending while it is delayed (execution 9.1), but not the
// recurring operations that are due.
func (r *resource) next(now time.Time) *op {
	if r.running != nil {
		return nil
	}
	var best *op
	if len(r.due) > 0 {
		best = r.due[0]
	}
	if len(r.pending) > 0 {
		if o := r.pending[0]; !o.readyAt.After(now) && (best == nil || o.arrived < best.arrived) {
			best = o
		}
	}
	return best
}

// dispatch starts what may run, oldest request first.
func (l *List) dispatch(now time.Time, out *Output) {
	var ready []*op
	for _, r := range l.order {
		if o := r.next(now); o != nil {
			ready = append(ready, o)
		}
	}
	slices.SortFunc(ready, func(a, b *op) int { return cmp.Compare(a.arrived, b.arrived) })
	for _, o := range ready {
		if l.opts.MaxRunning > 0 && len(l.runs) >= l.opts.MaxRunning {
			return
		}
		l.start(now, o, out)
	}
}

func (l *List) start(now time.Time, o *op, out *Output) {
	r := o.rsc
	if len(r.due) > 0 && r.due[0] == o {
		r.due = slices.Delete(r.due, 0, 1)
	} else {
		r.pending = slices.Delete(r.pending, 0, 1)
		o.queuedAt = o.readyAt // the delay was asked for: it is no queueing
	}
	switch {
	case strings.EqualFold(o.Action, "start"), strings.EqualFold(o.Action, "reload"), strings.EqualFold(o.Action, "reload-agent"):
		r.started = o.Params
	case strings.EqualFold(o.Action, "stop") && r.started != nil:
		o.Params = withStarted(r.started, o.Params)
	}
	l.lastRun++
	o.run, o.begunAt, o.agent, o.pid = l.lastRun, now, r.agent, 0
	r.running = o
	l.runs[o.run] = o
	out.Start = append(out.Start, Start{Run: o.run, Op: o.Op, Agent: o.agent})
}

// nextWake is when time alone changes something, zero if it never does. What
// is ready but finds no free place needs no waking: the next Exited starts it.
func (l *List) nextWake(now time.Time) time.Time {
	var at time.Time
	consider := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	for _, r := range l.order {
		for _, o := range r.waiting {
			consider(o.readyAt)
		}
		switch o := r.running; {
		case o == nil:
			if len(r.pending) > 0 && r.pending[0].readyAt.After(now) {
				consider(r.pending[0].readyAt)
			}
		case o.fate == alive:
			consider(o.deadline)
		case !o.complained:
			consider(o.killedAt.Add(reluctant))
		}
	}
	return at
}
