package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"linuxha/lrmd/alertq"
	lrmv1 "linuxha/proto/lrm/v1"
)

// alertTimeout is that of an alert without one (execution 16.1).
const alertTimeout = 30 * time.Second

// Alert runs an alert agent beside everything else, or has it wait where many
// run (alertq), and answers at once. How it ends is only logged (execution 16.4).
func (s *rpc) Alert(ctx context.Context, req *lrmv1.AlertRequest) (*lrmv1.AlertResponse, error) {
	if err := s.allow(ctx, "Alert"); err != nil {
		return nil, err
	}
	switch {
	case s.opts.Alerts == nil:
		return nil, fail(errors.New("this lrmd runs no alert agents"))
	case !filepath.IsAbs(req.Path):
		return nil, fail(fmt.Errorf("alert agent %q: the path must be absolute", req.Path))
	}
	select {
	case <-s.stopped:
		return nil, fail(errStopping)
	default:
	}
	env := maps.Clone(req.Env)
	if env == nil {
		env = map[string]string{}
	}
	timeout := alertTimeout
	if req.TimeoutMs > 0 {
		timeout = ms(req.TimeoutMs)
	}
	n, err := s.alerts.add(alertJob{id: req.Id, path: req.Path, env: env, timeout: timeout})
	if err != nil {
		return nil, fail(err)
	}
	return &lrmv1.AlertResponse{Sequence: n}, nil
}

// alertJob is one call of an agent.
type alertJob struct {
	id, path string
	env      map[string]string
	timeout  time.Duration // of its run, from its begin
}

// recipient is whose order is kept: the same agent's for the same address.
func (j alertJob) recipient() string { return j.path + "\x00" + j.env["CRM_alert_recipient"] }

// alerts runs the agents, so many at once as alertq lets.
type alerts struct {
	run Alerter
	log *slog.Logger

	mu      sync.Mutex
	queue   *alertq.Queue
	jobs    map[int64]alertJob // that wait
	begun   int64              // sequence of the latest call
	wake    *time.Timer        // nil: nothing waits for a time
	dropped int
	closed  bool
	longest time.Duration // time-out so far
	idle    chan struct{} // closed when closed and nothing runs or waits
}

func newAlerts(run Alerter, log *slog.Logger) *alerts {
	return &alerts{run: run, log: log, queue: alertq.New(alertq.Default), jobs: map[int64]alertJob{}, idle: make(chan struct{})}
}

var errTooManyAlerts = errors.New("too many alerts wait for their agents: this one is dropped")

// add queues a call and returns its sequence number, which its environment
// carries too (execution 16.3).
func (a *alerts) add(j alertJob) (int64, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return 0, errStopping
	}
	n := a.begun + 1
	if !a.queue.Add(alertq.Call{Sequence: n, Recipient: j.recipient()}) {
		if a.dropped++; a.dropped == 1 {
			a.log.Warn("alerts are dropped: their agents are too slow", "alert", j.id, "path", j.path)
		}
		return 0, errTooManyAlerts
	}
	if a.dropped > 0 {
		a.log.Warn("alerts were dropped: their agents were too slow", "dropped", a.dropped)
		a.dropped = 0
	}
	a.begun = n
	for _, prefix := range []string{"CRM_alert_", "CRM_notify_"} {
		j.env[prefix+"node_sequence"] = strconv.FormatInt(n, 10)
	}
	a.jobs[n] = j
	a.longest = max(a.longest, j.timeout)
	a.next()
	return n, nil
}

// next begins what may begin; a.mu is held.
func (a *alerts) next() {
	now := time.Now()
	start, wakeAt := a.queue.Next(now)
	for _, c := range start {
		j := a.jobs[c.Sequence]
		delete(a.jobs, c.Sequence)
		go a.perform(c, j)
	}
	if a.wake != nil {
		a.wake.Stop()
		a.wake = nil
	}
	if !wakeAt.IsZero() {
		a.wake = time.AfterFunc(wakeAt.Sub(now), func() {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.next()
		})
	}
	if a.closed && a.queue.Idle() {
		select {
		case <-a.idle:
		default:
			close(a.idle)
		}
	}
}

// perform runs one agent to its end.
func (a *alerts) perform(c alertq.Call, j alertJob) {
	ctx, cancel := context.WithTimeout(context.Background(), j.timeout)
	defer cancel()
	begun := time.Now()
	err := a.run.RunAlert(ctx, j.path, j.env)
	elapsed := time.Since(begun)
	if err != nil {
		a.log.Warn("alert failed", "alert", j.id, "path", j.path, "kind", j.env["CRM_alert_kind"], "recipient", j.env["CRM_alert_recipient"],
			"sequence", c.Sequence, "elapsed", elapsed, "err", err)
	} else {
		a.log.Debug("alert sent", "alert", j.id, "path", j.path, "sequence", c.Sequence, "elapsed", elapsed)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.queue.Ended(c)
	a.next()
}

// drain takes no more calls and waits for those that run or wait, as long as
// the one with the longest time-out might take and 5 s more (execution 12.2).
func (a *alerts) drain() {
	a.mu.Lock()
	a.closed = true
	a.next()
	patience := a.longest + 5*time.Second
	running, waiting := a.queue.Load()
	a.mu.Unlock()
	if running == 0 {
		return
	}
	a.log.Info("waiting for alerts", "running", running, "waiting", waiting)
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-a.idle:
	case <-t.C:
		a.mu.Lock()
		running, waiting = a.queue.Load()
		a.mu.Unlock()
		a.log.Warn("alerts are left behind", "running", running, "waiting", waiting)
	}
}
