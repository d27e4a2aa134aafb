// Package server is the scheduler daemon's shell: it asks the pure scheduler,
// numbers transitions and keeps the inputs for later study (crm 5.1, 5.12).
package server

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"linuxha/internal/ipc"
	"linuxha/pengine/graph"
	"linuxha/pengine/schedule"
	"linuxha/pengine/state"
	penginev1 "linuxha/proto/pengine/v1"
)

// Options are what a server needs.
type Options struct {
	// Inputs is the folder of the saved inputs.
	Inputs string
	Log    *slog.Logger
}

// Server answers the question what to do next.
type Server struct {
	penginev1.UnimplementedSchedulerServer
	opts  Options
	saver *saver

	mu   sync.Mutex
	next int64             // number of the next transition
	last [sha256.Size]byte // digest of the last input
	file string            // where it was saved
}

// New returns a server; Run must run for inputs to be saved.
func New(o Options) *Server { return &Server{opts: o, saver: newSaver(o.Inputs, o.Log)} }

// Run saves inputs until ctx ends, those waiting included: compressing takes
// longer than scheduling and must not stand in its way.
func (s *Server) Run(ctx context.Context) error { return s.saver.run(ctx) }

// Schedule plans the next transition of the given CIB.
func (s *Server) Schedule(ctx context.Context, req *penginev1.ScheduleRequest) (*penginev1.ScheduleResponse, error) {
	if p, ok := ipc.PeerFrom(ctx); ok && !ipc.Trusted(p) {
		return nil, status.Error(codes.PermissionDenied, "only root and hacluster may ask the scheduler: crm_simulate needs no daemon")
	}
	now := time.UnixMilli(req.NowUnixMs)
	start := time.Now()
	plan, err := schedule.Schedule(schedule.Input{CIB: req.Cib, Now: now})
	if err != nil {
		return &penginev1.ScheduleResponse{Ref: req.Ref, Error: err.Error(), Severity: int32(seriesError)}, nil
	}
	resp := &penginev1.ScheduleResponse{Ref: req.Ref}
	series := seriesInput
	for _, n := range plan.Notes {
		resp.Problems = append(resp.Problems, &penginev1.Problem{Severity: severity(n.Severity), Text: n.Text})
	}
	switch plan.Worst() {
	case state.Error:
		series = seriesError
	case state.Warning:
		series = seriesWarn
	}
	resp.Severity = int32(series)
	resp.Summary = strings.Join(graph.Format(plan.Summary), "\n")
	s.mu.Lock()
	defer s.mu.Unlock()
	resp.TransitionId = s.next
	s.next++
	resp.Graph = plan.Graph.Numbered(resp.TransitionId)
	// The same question again is not saved again (crm 5.12).
	if digest := sha256.Sum256(req.Cib); digest != s.last {
		s.last, s.file = digest, s.saver.save(series, limits(plan.Cluster), req.Cib, now)
	}
	resp.InputFile = s.file
	s.opts.Log.Info("calculated transition", "transition", resp.TransitionId, "actions", len(plan.Graph.Synapses),
		"elapsed", time.Since(start), "file", resp.InputFile)
	return resp, nil
}

func severity(s state.Severity) string {
	switch s {
	case state.Error:
		return "error"
	case state.Warning:
		return "warning"
	case state.Notice:
		return "notice"
	}
	return "info"
}

// limits are the maxima of the three series, as the CIB sets them.
func limits(c *state.Cluster) [3]int {
	var out [3]int
	for i, name := range []string{"pe-input-series-max", "pe-warn-series-max", "pe-error-series-max"} {
		if _, err := fmt.Sscanf(c.Opts.Raw[name], "%d", &out[i]); err != nil {
			out[i] = -1 // the option was checked already: only INFINITY is no number
		}
	}
	return out
}
