package classic

import "time"

// decide starts the next job, if none runs and there is something to do.
func (c *Core) decide(now time.Time) {
	switch {
	case c.phase == stopped || c.job != nil:
		return
	case c.stopWanted:
		c.giveUp()
		return
	case c.phase == waiting:
		return
	}
	if len(c.keys) > 0 {
		job := c.keys[0]
		c.keys = c.keys[1:]
		c.start(job)
		return
	}
	switch c.standby.phase {
	case giving:
		c.log(Info, "give up %s HA resources (standby).", c.standby.word)
		c.start(Job{Kind: Release, What: c.standby.what})
		return
	case taking:
		c.log(Info, "acquire %s HA resources (standby).", c.standby.word)
		c.start(Job{Kind: Acquire, What: c.standby.what})
		return
	}
	if !c.peer.alive || c.peer.left {
		c.alone(now)
		return
	}
	if c.legacy() {
		c.phase = running
		if len(c.asking) > 0 && !now.Before(c.askAt) {
			c.askKeys(now)
		}
		return
	}
	if c.phase == joining && !c.join(now) {
		return
	}
	if !c.repair(now) {
		c.moveBack(now)
	}
}

func (c *Core) start(job Job) {
	c.jobs++
	job.ID = c.jobs
	c.job = &job
	handed := job
	c.out.Job = &handed
}

// giveUp is the orderly end (HB 8.9).
func (c *Core) giveUp() {
	if c.phase != stopping {
		c.cancelStandby()
		c.phase = stopping
		c.report("shutdown")
		c.log(Info, "Giving up all HA resources.")
		c.start(Job{Kind: Release, What: All})
		return
	}
	if c.released {
		c.phase = stopped
		c.out.Stopped = true
	}
}

// alone: the other node is dead or gives everything up, so all is ours, as
// soon as it cannot run anything any more.
func (c *Core) alone(now time.Time) {
	if c.peer.dirty {
		if now.Before(c.fenceAt) {
			return
		}
		c.start(Job{Kind: Fence, Node: c.opt.Peer})
		return
	}
	if c.legacy() && c.phase == joining {
		c.phase = running // own groups are asked for one by one
	}
	if missing := All &^ c.held; missing != 0 && (!c.legacy() || c.peer.left || c.takenOver) {
		if c.legacy() {
			missing &= Foreign
		}
		if missing != 0 {
			c.start(Job{Kind: Acquire, What: missing, over: true})
			return
		}
	}
	c.settle("mach_down")
	if again := c.failed & c.held; again != None && !now.Before(c.failedAt) {
		c.failed = None
		c.log(Info, "There is no other node to run %s resources: trying again.", again)
		c.start(Job{Kind: Acquire, What: again})
		return
	}
	if c.takenOver && !c.peer.alive {
		c.takenOver = false
		c.out.Taken = true
	}
}

// settle ends the start-up.
func (c *Core) settle(reason string) {
	if c.phase == joining {
		c.phase = running
		c.report("")
	}
	if !c.announced {
		c.announced = true
		c.log(Info, "Initial resource acquisition complete (%s)", reason)
	}
}

// join is the start-up beside a live node (HB 8.4); true when it is over.
func (c *Core) join(now time.Time) bool {
	p := &c.peer
	settled := p.known && (p.stable || p.starting)
	if !settled && now.Before(c.joinBy) {
		if !p.known && !now.Before(c.startingAt) {
			c.send(Message{Type: TypeStarting})
			c.startingAt = now.Add(startingAgain)
		}
		return false
	}
	if !c.surveyed {
		// If this daemon was killed and is started anew, resources of it may
		// still run here. What the other node has, or is about to take, must
		// stop; the rest goes on.
		c.surveyed = true
		keep := All &^ c.held &^ p.held
		if p.starting {
			keep &= Local
		}
		c.start(Job{Kind: Survey, What: All &^ c.held, Keep: keep})
		return false
	}
	if take := (c.left | Local) &^ c.held &^ p.held; take != None {
		c.start(Job{Kind: Acquire, What: take})
		c.report("") // others must know that we are about to
		return false
	}
	reason := "T_RESOURCES(us)"
	if c.held&Local == 0 {
		reason = "auto_failback"
		c.log(Info, "Local Resource acquisition completed. (none)")
	}
	c.settle(reason)
	return true
}

// repair looks for groups that both nodes or none of them hold; true when it
// has found something to do or to wait for.
func (c *Core) repair(now time.Time) bool {
	p := &c.peer
	if !p.suspect.IsZero() && now.Before(p.suspect) && !now.Before(c.inquireAt) {
		c.inquire(now)
	}
	if !p.suspect.IsZero() && !now.Before(p.suspect) {
		// It came back, said nothing and did not restart: it knows nothing of
		// having been dead and still has what it had.
		p.known, p.stable, p.suspect = true, true, time.Time{}
	}
	if !p.known || !p.stable || c.standby.phase != idle {
		c.orphans = None
		return false
	}
	both := c.held & p.held
	if both == None {
		c.took &= p.held // what it gave up meanwhile is ours for good
	}
	// Who took it over in a partition gives it back; where that does not tell,
	// the owner keeps it.
	give := both&c.took&^p.took | both&Foreign&^(c.took^p.took)
	if give != 0 {
		c.log(Warn, "Both nodes have %s resources: giving them up here.", give)
		c.start(Job{Kind: Release, What: give})
		return true
	}
	missing := All &^ c.held &^ p.held
	if missing != c.orphans {
		c.orphans, c.orphansAt = missing, now
	}
	since := now.Sub(c.orphansAt)
	take := None
	if since >= orphanedLocal {
		take |= missing & Local
	}
	if since >= orphanedForeign {
		take |= missing & Foreign
	}
	if take != 0 {
		c.log(Warn, "Nobody has our %s resources: acquiring them.", take)
		c.start(Job{Kind: Acquire, What: take})
		c.report("")
		return true
	}
	return false
}

// moveBack gives the other node its own groups after it came back, and groups
// that do not start here.
func (c *Core) moveBack(now time.Time) {
	p := &c.peer
	if !p.known || !p.stable || c.standby.phase != idle {
		return
	}
	if c.failed != 0 && !now.Before(c.failedAt) {
		if c.failed &= c.held; c.failed != None {
			c.goStandby(now, c.failed)
			c.failedAt = now.Add(failbackAgain)
			return
		}
	}
	if c.failback && (c.held&Foreign == 0 || p.held&Foreign != 0) {
		c.failback = false
	}
	if c.failback && !now.Before(c.failbackAt) {
		c.failbackAt = now.Add(failbackAgain)
		c.goStandby(now, Foreign)
	}
}

// jobDone takes the result of a job in.
func (c *Core) jobDone(now time.Time, job Job, done JobDone) {
	switch job.Kind {
	case Fence:
		c.fenced(now, done.Error)
	case Acquire:
		c.acquired(now, job, done.Failed)
	case Survey:
		c.left = done.Running
	case Release:
		c.gaveUp(job.What)
	case TakeKey:
		c.log(Info, "Local Resource acquisition completed.")
		if c.legacy() {
			c.held |= Local
		}
		c.noteFailure(now, done.Failed)
	case GiveKey:
		c.send(Message{Type: TypeIPResponse, To: job.ask, Key: job.Key, WeOwn: done.Held, OK: true})
		if c.legacy() && done.Held {
			c.held &^= Foreign
		}
	}
}

func (c *Core) fenced(now time.Time, trouble string) {
	if trouble != "" {
		c.log(Error, "STONITH of %s failed.  Retrying...", c.opt.Peer)
		c.log(Info, "%s", trouble)
		c.send(Message{Type: TypeStonith, Node: c.opt.Peer, Result: "bad"})
		c.fenceAt = now.Add(fenceAgain)
		return
	}
	c.peer.dirty = false
	c.send(Message{Type: TypeStonith, Node: c.opt.Peer, Result: "OK"})
	c.log(Info, "Resources being acquired from %s.", c.opt.Peer)
}

func (c *Core) acquired(now time.Time, job Job, failed Holding) {
	if job.over && !c.peer.left && c.opt.Peer != "" {
		c.took |= job.What &^ c.held
	}
	c.held |= job.What
	c.noteFailure(now, failed)
	if c.standby.phase == taking {
		c.log(Info, "%s HA resource acquisition completed (standby).", c.standby.word)
		c.standbyTaken()
		return
	}
	if job.What&Local != 0 {
		c.log(Info, "local resource transition completed.")
		c.log(Info, "Local Resource acquisition completed.")
	}
	if job.over && c.opt.Peer != "" {
		c.log(Info, "mach_down takeover complete for node %s.", c.opt.Peer)
		c.log(Info, "mach_down takeover complete.")
	}
	if c.phase == joining {
		c.phase = running
		reason := "T_RESOURCES(us)"
		if job.over {
			reason = "mach_down"
		} else if c.peer.stable {
			reason = "T_RESOURCES(them)"
		}
		c.settle(reason)
	}
	c.report("req_our_resources()")
}

// noteFailure plans to move what did not start.
func (c *Core) noteFailure(now time.Time, failed Holding) {
	if failed == None {
		return
	}
	c.failed |= failed
	c.failedAt = now.Add(failedMoves)
}

func (c *Core) gaveUp(what Holding) {
	c.held &^= what
	c.took &^= what
	c.failed &^= what
	switch {
	case c.phase == stopping:
		c.log(Info, "All HA resources relinquished.")
		c.send(Message{Type: TypeShutdone})
		c.released = true
	case c.standby.phase == giving:
		c.log(Info, "%s HA resource release completed (standby).", c.standby.word)
		c.standbyGiven()
	default:
		c.report("")
	}
}

// wakeAt is the next time at which something is to be decided.
func (c *Core) wakeAt(now time.Time) time.Time {
	var at time.Time
	sooner := func(t time.Time) {
		if t.After(now) && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	if c.phase == stopped {
		return at
	}
	if c.phase == joining {
		sooner(c.joinBy)
		sooner(c.startingAt)
	}
	if c.peer.dirty {
		sooner(c.fenceAt)
	}
	sooner(c.peer.suspect)
	if !c.peer.suspect.IsZero() {
		sooner(c.inquireAt)
	}
	sooner(c.standby.until)
	if c.failback {
		sooner(c.failbackAt)
	}
	if c.failed != None {
		sooner(c.failedAt)
	}
	if len(c.asking) > 0 {
		sooner(c.askAt)
	}
	if c.orphans != None {
		sooner(c.orphansAt.Add(orphanedLocal))
		sooner(c.orphansAt.Add(orphanedForeign))
	}
	return at
}
