package server

import (
	"context"
	"errors"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"linuxha/internal/ipc"
	"linuxha/lrmd/class"
	"linuxha/lrmd/oplist"
	lrmv1 "linuxha/proto/lrm/v1"
)

// allow refuses callers that may not run agents as root.
func (s *Server) allow(ctx context.Context, what string) error {
	p, ok := ipc.PeerFrom(ctx)
	if ok && s.uids[p.UID] {
		return nil
	}
	s.log.Warn("request refused", "call", what, "uid", p.UID, "pid", p.PID)
	return status.Errorf(codes.PermissionDenied, "%s is for root and %s only (you are uid %d)", what, s.opts.User, p.UID)
}

// fail is the one place where errors become gRPC codes.
func fail(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, oplist.ErrUnknownResource):
		return status.Error(codes.NotFound, err.Error())
	case errors.Is(err, errStopping):
		return status.Error(codes.Unavailable, err.Error())
	case errors.Is(err, errTooSlow):
		return status.Error(codes.ResourceExhausted, err.Error())
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return status.FromContextError(err).Err()
	}
	return status.Error(codes.InvalidArgument, err.Error())
}

func agent(a *lrmv1.Agent) oplist.Agent {
	return oplist.Agent{Class: a.GetClass(), Provider: a.GetProvider(), Type: a.GetType()}
}

func (s *rpc) Register(ctx context.Context, req *lrmv1.RegisterRequest) (*lrmv1.RegisterResponse, error) {
	if err := s.allow(ctx, "Register"); err != nil {
		return nil, err
	}
	if req.RscId == "" {
		return nil, fail(errors.New("resource has no id"))
	}
	a := agent(req.Agent)
	if err := class.Check(a); err != nil {
		return nil, fail(err)
	}
	err := s.do(ctx, func() { s.step(oplist.Registered{Resource: req.RscId, Agent: a}) })
	return &lrmv1.RegisterResponse{}, fail(err)
}

func (s *rpc) Unregister(ctx context.Context, req *lrmv1.UnregisterRequest) (*lrmv1.UnregisterResponse, error) {
	if err := s.allow(ctx, "Unregister"); err != nil {
		return nil, err
	}
	var got oplist.Answer
	drained := make(chan struct{})
	err := s.do(ctx, func() {
		got = s.step(oplist.Unregistered{Resource: req.RscId})
		if got.Running {
			s.drained[req.RscId] = append(s.drained[req.RscId], drained)
		} else {
			close(drained)
		}
	})
	if err != nil {
		return nil, fail(err)
	}
	select {
	case <-drained:
	case <-ctx.Done():
		return nil, fail(ctx.Err())
	case <-s.stopped:
		return nil, fail(errStopping)
	}
	return &lrmv1.UnregisterResponse{Existed: got.Found}, nil
}

func (s *rpc) Exec(ctx context.Context, req *lrmv1.ExecRequest) (*lrmv1.ExecResponse, error) {
	if err := s.allow(ctx, "Exec"); err != nil {
		return nil, err
	}
	if req.RscId == "" || req.Action == "" {
		return nil, fail(errors.New("operation has no resource or no action"))
	}
	if req.IntervalMs < 0 || req.TimeoutMs < 0 {
		return nil, fail(errors.New("interval and timeout can't be negative"))
	}
	ev := oplist.Submitted{Op: oplist.Op{
		Resource: req.RscId, Action: req.Action, Interval: ms(req.IntervalMs), Timeout: ms(req.TimeoutMs),
		StartDelay: ms(req.StartDelayMs), Params: req.Params, UserData: req.UserData, OnChangeOnly: req.OnChangeOnly,
	}}
	var got oplist.Answer
	result := make(chan *lrmv1.Event, 1)
	err := s.do(ctx, func() {
		got = s.step(ev)
		if req.Wait && got.Err == nil {
			s.results[got.CallID] = append(s.results[got.CallID], result)
		}
	})
	if err = errors.Join(err, got.Err); err != nil {
		return nil, fail(err)
	}
	resp := &lrmv1.ExecResponse{CallId: got.CallID}
	if !req.Wait {
		return resp, nil
	}
	select {
	case resp.Result = <-result:
		return resp, nil
	case <-ctx.Done():
		return nil, fail(ctx.Err())
	case <-s.stopped:
		return nil, fail(errStopping)
	}
}

func (s *rpc) Cancel(ctx context.Context, req *lrmv1.CancelRequest) (*lrmv1.CancelResponse, error) {
	if err := s.allow(ctx, "Cancel"); err != nil {
		return nil, err
	}
	if req.RscId == "" || req.Action == "" {
		return nil, fail(errors.New("operation has no resource or no action"))
	}
	var got oplist.Answer
	err := s.do(ctx, func() {
		got = s.step(oplist.Cancelled{Resource: req.RscId, Action: req.Action, Interval: ms(req.IntervalMs)})
	})
	if err = errors.Join(err, got.Err); err != nil {
		return nil, fail(err)
	}
	return &lrmv1.CancelResponse{Found: got.Found, Running: got.Running}, nil
}

func (s *rpc) Watch(_ *lrmv1.WatchRequest, stream grpc.ServerStreamingServer[lrmv1.Event]) error {
	ctx := stream.Context()
	if err := s.allow(ctx, "Watch"); err != nil {
		return err
	}
	p, _ := ipc.PeerFrom(ctx)
	w := newWatcher(p.PID)
	w.add(&lrmv1.Event{Kind: lrmv1.Event_KIND_HELLO, Incarnation: s.incarnation})
	if err := s.do(ctx, func() { s.watchers[w] = true }); err != nil {
		return fail(err)
	}
	defer func() {
		// Run is gone when this fails, and the watcher with it.
		_ = s.do(context.Background(), func() { delete(s.watchers, w) })
	}()
	for {
		batch, err := w.take()
		if err != nil {
			return fail(err)
		}
		for _, ev := range batch {
			if err := stream.Send(ev); err != nil {
				return err
			}
		}
		if len(batch) > 0 {
			continue
		}
		select {
		case <-w.more:
		case <-ctx.Done():
			return fail(ctx.Err())
		}
	}
}

func (s *rpc) List(ctx context.Context, req *lrmv1.ListRequest) (*lrmv1.ListResponse, error) {
	if err := s.allow(ctx, "List"); err != nil {
		return nil, err
	}
	resp := &lrmv1.ListResponse{Incarnation: s.incarnation}
	err := s.do(ctx, func() {
		resp.LastCallId = s.list.LastCall()
		for _, e := range s.list.Entries() {
			if req.RscId == "" || req.RscId == e.ID {
				resp.Resources = append(resp.Resources, resource(e))
			}
		}
	})
	return resp, fail(err)
}

func (s *rpc) GetMetadata(ctx context.Context, req *lrmv1.GetMetadataRequest) (*lrmv1.GetMetadataResponse, error) {
	if strings.Contains(req.Agent.GetType(), "/") { // a path: reads what the caller may not
		if err := s.allow(ctx, "GetMetadata of a path"); err != nil {
			return nil, err
		}
	}
	xml, err := s.meta.Get(ctx, agent(req.Agent), req.Refresh)
	if err != nil {
		return &lrmv1.GetMetadataResponse{Rc: class.NotInstalled, Error: err.Error()}, nil
	}
	return &lrmv1.GetMetadataResponse{Xml: xml}, nil
}

func (s *rpc) ListStandards(ctx context.Context, _ *lrmv1.ListStandardsRequest) (*lrmv1.ListStandardsResponse, error) {
	return &lrmv1.ListStandardsResponse{Standards: s.opts.Runner.Standards(ctx)}, nil
}

func (s *rpc) ListProviders(_ context.Context, req *lrmv1.ListProvidersRequest) (*lrmv1.ListProvidersResponse, error) {
	return &lrmv1.ListProvidersResponse{Providers: s.opts.Runner.Providers(req.Agent)}, nil
}

func (s *rpc) ListAgents(ctx context.Context, req *lrmv1.ListAgentsRequest) (*lrmv1.ListAgentsResponse, error) {
	return &lrmv1.ListAgentsResponse{Agents: s.opts.Runner.Agents(ctx, req.Class, req.Provider)}, nil
}

func ms(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

// valid makes agents' bytes fit for a protobuf string.
func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

var kinds = map[oplist.Kind]lrmv1.Event_Kind{
	oplist.KindStarted: lrmv1.Event_KIND_STARTED, oplist.KindDone: lrmv1.Event_KIND_DONE,
	oplist.KindRegistered: lrmv1.Event_KIND_REGISTERED, oplist.KindUnregistered: lrmv1.Event_KIND_UNREGISTERED,
}

// event converts a report. The map of parameters is shared: nobody writes it.
func event(r *oplist.Report) *lrmv1.Event {
	ev := &lrmv1.Event{
		Kind: kinds[r.Kind], RscId: r.Op.Resource, Action: r.Op.Action, IntervalMs: r.Op.Interval.Milliseconds(), CallId: r.Op.CallID,
		Rc: int32(r.RC), OpStatus: int32(r.Status), ExitReason: valid(r.Reason), Output: valid(r.Output),
		ExecTimeMs: r.ExecTime.Milliseconds(), QueueTimeMs: r.QueueTime.Milliseconds(),
		UserData: r.Op.UserData, Params: r.Op.Params, TimeoutMs: r.Op.Timeout.Milliseconds(), Removed: r.Removed,
	}
	if !r.LastRun.IsZero() {
		ev.LastRunUnix = r.LastRun.Unix()
	}
	if !r.LastRCChange.IsZero() {
		ev.LastRcChangeUnix = r.LastRCChange.Unix()
	}
	if !r.StartedAt.IsZero() {
		ev.StartedAtNs = r.StartedAt.UnixNano()
	}
	return ev
}

func resource(e oplist.Entry) *lrmv1.Resource {
	out := &lrmv1.Resource{RscId: e.ID, Agent: &lrmv1.Agent{Class: e.Agent.Class, Provider: e.Agent.Provider, Type: e.Agent.Type}}
	for _, o := range e.Operations {
		op := &lrmv1.Operation{
			Action: o.Op.Action, IntervalMs: o.Op.Interval.Milliseconds(), CallId: o.Op.CallID,
			TimeoutMs: o.Op.Timeout.Milliseconds(), Running: o.Running,
		}
		if o.Last != nil {
			op.Last = event(o.Last)
		}
		out.Operations = append(out.Operations, op)
	}
	return out
}
