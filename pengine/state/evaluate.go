package state

import (
	"strconv"
	"strings"

	"linuxha/pengine/internal/xmldoc"
)

// Status and result codes of recorded operations (state 9.5).
const (
	statusPending      = -1
	statusDone         = 0
	statusCancelled    = 1
	statusUnsupported  = 3
	statusError        = 4
	statusHard         = 5
	statusFatal        = 6
	statusNotInstalled = 7
	statusNotConnected = 8
	statusNoDevice     = 10
	statusNoSecrets    = 11

	rcOK               = 0
	rcInvalid          = 2
	rcUnimplemented    = 3
	rcNoPrivilege      = 4
	rcNotInstalled     = 5
	rcNotConfigured    = 6
	rcNotRunning       = 7
	rcPromoted         = 8
	rcFailedPromoted   = 9
	rcDegraded         = 190
	rcDegradedPromoted = 191
)

// rscHistory collects what the entries of one resource on one node amount to.
type rscHistory struct {
	c      *Cluster
	r      *Resource
	n      *Node
	onFail OnFail
	last   *histOp // last failure
}

// activeRole is the role of a resource known to be active.
func activeRole(r *Resource) Role {
	if r.Top().Promotable {
		return Unpromoted
	}
	return Started
}

func (h *rscHistory) recordFailed(e *histOp) {
	if !h.n.Online {
		return
	}
	for _, f := range h.c.FailedOps {
		if f.Key == e.key && f.Node == h.n {
			return
		}
	}
	h.c.FailedOps = append(h.c.FailedOps, FailedOp{Key: e.key, Node: h.n, Resource: h.r, RscID: h.r.ID, XML: e.xml})
}

// ban keeps the resource, or all its clone, off the node.
func (h *rscHistory) ban(e *histOp) {
	h.c.AddScore(h.banned(), h.n, -Infinity, h.because(e))
}

// because is a failed entry as the cause of a ban.
func (h *rscHistory) because(e *histOp) Cause {
	return Cause{Kind: WhyFailure, ID: e.key, Rsc: h.r, Node: h.n, Base: e.rc}
}

func (h *rscHistory) banned() *Resource {
	if h.r.Unique {
		return h.r
	}
	return h.r.Top()
}

// evaluate applies one entry (state 9.5).
func (h *rscHistory) evaluate(e *histOp) {
	if e.task == "" || e.status < statusPending || e.status > statusNoSecrets || e.task == "notify" || e.task == "meta-data" {
		return
	}
	c, r, n := h.c, h.r, h.n
	probe := e.task == "monitor" && e.interval == 0
	maskable := probe && !r.Bundled() && (e.rc == rcInvalid || e.rc == rcNotInstalled || e.status == statusNotInstalled)
	rawRC := e.rc
	expired := e.status != statusNotInstalled && c.expired(r, n, e)

	rc, status := h.remap(e, probe, maskable)
	if expired {
		if maskable && rawRC != e.target {
			if r.Role <= Stopped {
				r.Role = Unknown
			}
			return
		}
		if rc != e.target {
			if e.interval == 0 {
				return
			}
			if n.Online && !n.Unclean {
				c.forceDigest(e)
				return
			}
		}
	}
	if maskable {
		h.success(e, e.target)
		h.recordFailed(e)
		h.ban(e)
		return
	}
	switch status {
	case statusCancelled:
	case statusPending:
		h.pending(e, probe)
	case statusDone:
		h.success(e, rc)
	case statusNotInstalled:
		if c.opOnFail(r, e).OnFail == FailIgnore {
			h.onFail = FailMigrate
		}
		h.ban(e)
		h.failure(e, rc)
	default:
		if status == statusNotConnected && n.IsGuestOrRemote() && n.Conn != nil && n.Conn.Managed {
			n.Conn.Failed, n.Conn.MustStop = true, true
		}
		h.failed(e, rc, status)
	}
}

// expiredFailure stands for the digest of an operation whose failure expired.
const expiredFailure = "calculated-failure-timeout"

// forceDigest makes an expired recurring failure look like a changed
// definition, so that the operation is scheduled anew.
func (c *Cluster) forceDigest(e *histOp) {
	if c.rescheduled == nil {
		c.rescheduled = map[*xmldoc.Elem]bool{}
	}
	c.rescheduled[e.xml] = true
}

// RestartDigest is the digest of the parameters whose change needs a restart,
// as recorded with an entry of history.
func (c *Cluster) RestartDigest(entry *xmldoc.Elem) (string, bool) {
	if c.rescheduled[entry] {
		return expiredFailure, true
	}
	return entry.Get("op-restart-digest")
}

// opOnFail learns the failure policy of an entry's operation.
func (c *Cluster) opOnFail(r *Resource, e *histOp) *Action {
	return c.Temporary(r, e.key, e.task, nil)
}

// remap turns a recorded result into what it means (state 9.5 step B).
func (h *rscHistory) remap(e *histOp, probe, maskable bool) (rc, status int) {
	r, n := h.r, h.n
	rc, status = e.rc, e.status
	if e.task == "monitor" && (rc == rcDegraded || rc == rcDegradedPromoted) {
		rc = map[int]int{rcDegraded: rcOK, rcDegradedPromoted: rcPromoted}[rc]
		if n.Online || !n.ShuttingDown {
			h.recordFailed(e)
		}
	}
	if maskable {
		return rcNotRunning, statusDone
	}
	if status != statusDone && status != statusError {
		return rc, status
	}
	status = statusDone
	if e.target < 0 || e.target != rc {
		status = statusError
	}
	switch rc {
	case rcOK:
		if probe && e.target == rcNotRunning {
			status = statusDone
		}
	case rcNotRunning:
		if probe || e.target == rc || !r.Managed {
			status = statusDone
			r.Role = Stopped
			h.onFail = FailIgnore
			r.NextRole = Unknown
		}
	case rcPromoted:
		if probe && e.target != rc {
			status = statusDone
		}
		r.Role = Promoted
	case rcFailedPromoted, rcDegradedPromoted:
		r.Role = Promoted
		status = statusError
	case rcNotConfigured:
		status = statusFatal
	case rcUnimplemented:
		if e.interval == 0 {
			h.checkRecoverable(e, probe)
			status = statusHard
		} else {
			status = statusUnsupported
		}
	case rcInvalid, rcNoPrivilege, rcNotInstalled:
		h.checkRecoverable(e, probe)
		status = statusHard
	default:
		if status == statusDone {
			status = statusError
		}
	}
	return rc, status
}

func (h *rscHistory) checkRecoverable(e *histOp, probe bool) {
	if !probe && e.task == "stop" && !h.c.CanFence(h.n) {
		h.r.Managed, h.r.Blocked = false, true
	}
}

func (h *rscHistory) pending(e *histOp, probe bool) {
	c, r, n := h.c, h.r, h.n
	switch e.task {
	case "start":
		r.StartPending = true
		r.Role = activeRole(r)
	case "promote":
		r.Role = Promoted
	case "migrate_to":
		if n.Unclean {
			if target := c.NodeByName(e.xml.Attr("migrate_target")); target != nil {
				c.Op(r, "stop", target, false)
			}
		}
	}
	if r.PendingTask == "" && !probe {
		r.PendingTask, r.PendingNode = e.task, n
	}
}

// failed handles an error (state 9.5 step D).
func (h *rscHistory) failed(e *histOp, rc, status int) {
	a := h.c.opOnFail(h.r, e)
	if a.OnFail == FailIgnore || a.OnFail == FailRestartContainer && e.task == "stop" {
		h.success(e, e.target)
		h.r.FailureIgnored = true
		h.recordFailed(e)
		if a.OnFail == FailRestartContainer && h.onFail <= FailRecover {
			h.onFail = FailRestartContainer
		}
		return
	}
	h.failure(e, rc)
	switch status {
	case statusHard, statusNoDevice, statusNoSecrets:
		h.ban(e)
	case statusFatal:
		h.c.AddScoreAll(h.banned(), -Infinity, h.because(e))
	}
}

// success applies an entry that went as planned (state 9.6).
func (h *rscHistory) success(e *histOp, rc int) {
	r := h.r
	probe := e.task == "monitor" && e.interval == 0
	maskable := probe && !r.Bundled() && (e.rc == rcInvalid || e.rc == rcNotInstalled || e.status == statusNotInstalled)
	clears := false
	activate := func() {
		if r.Role < Started {
			r.Role = activeRole(r)
		}
	}
	switch {
	case rc == rcNotInstalled || maskable:
		r.Role = Stopped
	case rc == rcNotRunning:
		clears = true
	case e.task == "monitor":
		clears = h.last != nil && strings.EqualFold(h.last.key, e.key)
		activate()
	case e.task == "start":
		r.Role = Started
		clears = true
	case e.task == "stop":
		r.Role = Stopped
		clears = true
	case e.task == "promote":
		r.Role = Promoted
		clears = true
	case e.task == "demote":
		r.Role = Unpromoted
		clears = h.onFail == FailDemote
	case e.task == "migrate_from":
		r.Role = Started
		clears = true
	case e.task == "migrate_to":
		h.migratedTo(e)
	default:
		activate()
	}
	if !clears {
		return
	}
	switch h.onFail {
	case FailBlock, FailIgnore, FailDemote, FailRecover, FailRestartContainer:
		h.onFail = FailIgnore
		r.NextRole = Unknown
	case FailResetRemote:
		if r.ReconnectMS == 0 {
			h.onFail = FailIgnore
			r.NextRole = Unknown
		}
	}
}

// failure applies an entry that failed (state 9.6).
func (h *rscHistory) failure(e *histOp, rc int) {
	c, r, n := h.c, h.r, h.n
	h.last = e
	h.logFailure(e)
	if rc != rcNotInstalled || c.Opts.Symmetric {
		h.recordFailed(e)
	}
	a := c.opOnFail(r, e)
	h.onFail = max(h.onFail, a.OnFail)
	switch e.task {
	case "stop":
		c.AddScore(r, n, -Infinity, h.because(e))
	case "migrate_to":
		h.failedMigrateTo(e)
	case "migrate_from":
		h.failedMigrateFrom(e)
	case "promote":
		r.Role = Promoted
	case "demote":
		switch {
		case a.OnFail == FailBlock:
			r.Role, r.NextRole = Promoted, Stopped
		case rc == rcNotRunning:
			r.Role = Stopped
		default:
			r.Role = Unpromoted
		}
	}
	if e.task == "monitor" && e.interval == 0 && rc == rcNotInstalled {
		r.Role = Stopped
	} else if r.Role < Started {
		r.Role = activeRole(r)
	}
	if a.FailRole != Started && r.NextRole < a.FailRole {
		r.NextRole = a.FailRole
	}
	if a.FailRole == Stopped {
		target := r
		if top := r.Top(); top.IsAnonymousClone() {
			target = top
		}
		c.BanEverywhere(target, h.because(e))
	}
}

// conclude draws the conclusions for the resource on the node (state 9.8).
func (h *rscHistory) conclude() {
	c, r, n := h.c, h.r, h.n
	if r.Role != Unknown {
		for p := r; p != nil; p = p.Parent {
			p.KnownOn.Add(n)
			if p.Unique {
				break
			}
		}
	}
	if r.Role > Stopped && !n.Online && !n.Maintenance && r.Managed {
		h.activeOnOffline()
	}
	failed := h.onFail != FailIgnore
	if n.Unclean {
		h.onFail = FailIgnore
	}
	h.recover()
	if r.IsRemoteConn && r.Failed {
		if remote := c.NodeByName(r.ID); remote != nil && remote.Unclean {
			remote.Unseen = false
		}
	}
	if r.Role != Stopped && r.Role != Unknown {
		c.addActive(r, n, failed)
		switch h.onFail {
		case FailIgnore:
		case FailDemote, FailBlock:
			r.Failed = true
		default:
			r.Failed, r.MustStop = true, true
		}
	} else if strings.Contains(r.HistName, ":") {
		r.HistName = ""
	} else {
		for _, a := range FindActions(r.Actions, Key(r.ID, "stop", 0), n) {
			a.Set(Optional)
		}
	}
	if r.Role == Stopped && r.PartialSource == n && r.PartialTarget != nil && len(r.Active) > 0 {
		r.Role = Started
	}
}

func (h *rscHistory) activeOnOffline() {
	c, r, n := h.c, h.r, h.n
	switch {
	case n.IsGuest():
		r.Failed, r.MustStop = true, true
		c.FenceNode(n, r.ID+" is thought to be active there", false)
	case c.Opts.Stonith:
		if n.Kind == RemoteNode && n.Conn != nil && !n.Conn.Failed {
			n.Unseen = true
			c.FenceNode(n, r.ID+" is active there (fencing will be revoked if remote connection can be re-established elsewhere)", false)
			return
		}
		c.FenceNode(n, r.ID+" is thought to be active there", false)
	}
}

// recover carries out the failure policy (state 9.8 step 4).
func (h *rscHistory) recover() {
	c, r, n := h.c, h.r, h.n
	active := r.Role != Stopped && r.Role != Unknown
	switch h.onFail {
	case FailDemote:
		r.Failed = true
		h.need(c.Op(r, "demote", n, false))
	case FailFence:
		c.FenceNode(n, r.ID+" failed there", false)
	case FailStandby:
		n.Standby, n.StandbyOnFail = true, true
	case FailBlock:
		r.Managed, r.Blocked = false, true
	case FailMigrate:
		cause := Cause{Kind: WhyFailure, Rsc: r, Node: n}
		if h.last != nil {
			cause = h.because(h.last)
		}
		c.AddScore(r, n, -Infinity, cause)
	case FailStop:
		r.NextRole = Stopped
	case FailRecover:
		if active {
			r.Failed, r.MustStop = true, true
			h.need(c.Op(r, "stop", n, false))
		}
	case FailRestartContainer:
		r.Failed, r.MustStop = true, true
		switch {
		case r.Container != nil && r.Bundled():
			c.containerStops = append(c.containerStops, r.Container)
		case r.Container != nil:
			h.need(c.Op(r.Container, "stop", n, false))
		case active:
			h.need(c.Op(r, "stop", n, false))
		}
	case FailResetRemote:
		r.Failed, r.MustStop = true, true
		if c.Opts.Stonith {
			if remote := c.NodeByName(r.ID); remote != nil && remote.IsRemote() && !remote.WasFenced {
				c.FenceNode(remote, "remote connection is unrecoverable", false)
			}
		}
		if r.Role > Stopped {
			h.need(c.Op(r, "stop", n, false))
		}
		if r.ReconnectMS > 0 {
			r.NextRole = Stopped
		}
	}
}

// need keeps the last failure as the reason of an action.
func (h *rscHistory) need(a *Action) {
	if !h.c.Why.Asks() {
		return
	}
	text := h.r.ID + " failed on " + h.n.Name
	if h.last != nil {
		text += ": " + h.last.key + " ended with rc " + strconv.Itoa(h.last.rc)
	}
	h.c.Why.Need(a, text)
}
