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
	"google.golang.org/protobuf/proto"

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
	next int64   // number of the next transition
	last *answer // to the last question, nil before the first
}

// answer is what is remembered of a question: all that went into its answer.
type answer struct {
	digest [sha256.Size]byte // of the document
	span   schedule.Span
	file   string // where the document was saved

	graph   *graph.Graph
	actions int                         // in the graph
	resp    *penginev1.ScheduleResponse // without reference, number, graph
}

// holds says whether the answer is that to the document with this digest now.
func (a *answer) holds(digest [sha256.Size]byte, now time.Time) bool {
	return a != nil && a.digest == digest && a.span.Holds(now)
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
	digest := sha256.Sum256(req.Cib)
	s.mu.Lock() // one at a time: the same question, asked meanwhile, then finds its answer
	defer s.mu.Unlock()
	remembered := s.last.holds(digest, now)
	if !remembered {
		plan, err := schedule.Schedule(schedule.Input{CIB: req.Cib, Now: now})
		if err != nil {
			return &penginev1.ScheduleResponse{Ref: req.Ref, Error: err.Error(), Severity: int32(seriesError)}, nil
		}
		a := answerOf(plan, digest)
		if s.last != nil && s.last.digest == digest {
			a.file = s.last.file // the same document again is not saved again (crm 5.12)
		} else {
			a.file = s.saver.save(series(a.resp.Severity), limits(plan.Cluster), req.Cib, now)
		}
		s.last = a
	}
	resp := proto.CloneOf(s.last.resp)
	resp.Ref, resp.TransitionId = req.Ref, s.next
	s.next++
	resp.Graph = s.last.graph.Numbered(resp.TransitionId)
	resp.InputFile = s.last.file
	s.opts.Log.Info("calculated transition", "transition", resp.TransitionId, "actions", s.last.actions,
		"elapsed", time.Since(start), "remembered", remembered, "file", resp.InputFile)
	return resp, nil
}

func answerOf(plan *schedule.Plan, digest [sha256.Size]byte) *answer {
	a := &answer{
		digest: digest, span: plan.Span, actions: len(plan.Graph.Synapses),
		graph: &graph.Graph{XML: plan.Graph.XML}, // without what it was made from
		resp:  &penginev1.ScheduleResponse{Summary: strings.Join(graph.Format(plan.Summary), "\n")},
	}
	for _, n := range plan.Notes {
		a.resp.Problems = append(a.resp.Problems, &penginev1.Problem{Severity: severity(n.Severity), Text: n.Text})
	}
	kind := seriesInput
	switch plan.Worst() {
	case state.Error:
		kind = seriesError
	case state.Warning:
		kind = seriesWarn
	}
	a.resp.Severity = int32(kind)
	return a
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
