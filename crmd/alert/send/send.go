// Package send gives the calls of alert agents to lrmd, in order and without
// making anybody wait (execution 16.2: fire and forget).
package send

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc"

	"linuxha/crmd/alert"
	lrmv1 "linuxha/proto/lrm/v1"
)

const (
	// patience is how long an alert waits for a restarted lrmd.
	patience = 5 * time.Second
	// backlog is how many calls wait at most; later ones are dropped.
	backlog = 10_000
)

// Sender is a queue of calls. Send may be called from anywhere.
type Sender struct {
	lrm  lrmv1.LrmClient
	log  *slog.Logger
	more chan struct{}

	mu      sync.Mutex
	calls   []alert.Call
	dropped int
}

// New returns a Sender whose calls wait until Run.
func New(lrm lrmv1.LrmClient, log *slog.Logger) *Sender {
	return &Sender{lrm: lrm, log: log, more: make(chan struct{}, 1)}
}

// Send queues calls.
func (s *Sender) Send(calls []alert.Call) {
	if len(calls) == 0 {
		return
	}
	s.mu.Lock()
	if room := backlog - len(s.calls); len(calls) > room {
		s.dropped += len(calls) - room
		calls = calls[:room]
	}
	s.calls = append(s.calls, calls...)
	s.mu.Unlock()
	select {
	case s.more <- struct{}{}:
	default:
	}
}

// Run hands the calls over until ctx ends; what waits then is dropped, as
// lrmd's own end drops alerts.
func (s *Sender) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.more:
		}
		s.mu.Lock()
		calls, dropped := s.calls, s.dropped
		s.calls, s.dropped = nil, 0
		s.mu.Unlock()
		for _, c := range calls {
			s.hand(ctx, c)
		}
		if dropped > 0 && ctx.Err() == nil {
			s.log.Warn("alerts were dropped: lrmd does not take them fast enough", "dropped", dropped)
		}
	}
}

func (s *Sender) hand(ctx context.Context, c alert.Call) {
	call, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, err := s.lrm.Alert(call, &lrmv1.AlertRequest{
		Id: c.ID, Path: c.Path, TimeoutMs: c.Timeout.Milliseconds(), Env: c.Env,
	}, grpc.WaitForReady(true))
	if err != nil && ctx.Err() == nil {
		s.log.Warn("Could not send alert", "alert", c.ID, "path", c.Path, "err", err)
	}
}
