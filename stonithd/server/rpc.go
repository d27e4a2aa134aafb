package server

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"linuxha/internal/ipc"
	stonithv1 "linuxha/proto/stonith/v1"
	"linuxha/stonithd/device"
	"linuxha/stonithd/history"
	"linuxha/stonithd/request"
	"linuxha/stonithd/topology"
)

var errStopping = status.Error(codes.Unavailable, "the fencer is being stopped: try again")

// privileged clients may define devices; members of the cluster's group may
// fence and read.
func privileged(ctx context.Context) bool {
	p, ok := ipc.PeerFrom(ctx)
	return ok && ipc.Trusted(p)
}

func mayFence(ctx context.Context) error {
	if p, ok := ipc.PeerFrom(ctx); ok && ipc.Member(p) {
		return nil
	}
	return status.Error(codes.PermissionDenied, "only root, hacluster and members of haclient may fence nodes and use devices")
}

// clientName makes the name unique on the node, as histories show it.
func clientName(ctx context.Context, name string) string {
	if name == "" {
		name = "client"
	}
	if p, ok := ipc.PeerFrom(ctx); ok && !strings.Contains(name, ".") {
		return fmt.Sprintf("%s.%d", name, p.PID)
	}
	return name
}

const defaultTimeout = 60 * time.Second

// ask gives the core a request and waits for its end. A client that leaves
// does not stop what was begun.
func (s *Server) ask(ctx context.Context, id string, ev request.Event) (request.Answer, error) {
	answer := make(chan request.Answer, 1)
	if !s.do(ctx, func() {
		s.answers[id] = answer
		s.step(ev)
	}) {
		return request.Answer{}, errStopping
	}
	select {
	case a := <-answer:
		return a, nil
	case <-ctx.Done():
		return request.Answer{}, status.FromContextError(ctx.Err()).Err()
	case <-s.done:
		return request.Answer{}, errStopping
	}
}

// Fence implements the service.
func (s *Server) Fence(ctx context.Context, in *stonithv1.FenceRequest) (*stonithv1.FenceResponse, error) {
	if err := mayFence(ctx); err != nil {
		return nil, err
	}
	action := in.Action
	if action == "poweroff" {
		action = "off"
	}
	if !slices.Contains([]string{"off", "reboot", "on"}, action) || in.Target == "" {
		return nil, status.Errorf(codes.InvalidArgument, "fence %q with action %q: a target and one of off, reboot, on are needed", in.Target, in.Action)
	}
	r := request.Request{
		ID: newID(), Target: in.Target, Action: action, Client: clientName(ctx, in.Client), Device: in.Device,
		Timeout: milliseconds(in.TimeoutMs, defaultTimeout), Tolerance: milliseconds(in.ToleranceMs, 0),
		Delay: time.Duration(in.DelayMs) * time.Millisecond, AllowSelf: in.AllowSelf,
		Generation: in.Generation,
	}
	if in.DelayMs < 0 {
		r.Delay = -1
	}
	s.log.Info("client wants to fence", "client", r.Client, "action", r.Action, "target", r.Target, "id", r.ID)
	a, err := s.ask(ctx, r.ID, request.Asked{Request: r})
	if err != nil {
		return nil, err
	}
	return fenceResponse(a), nil
}

func fenceResponse(a request.Answer) *stonithv1.FenceResponse {
	out := &stonithv1.FenceResponse{
		Rc: errno(a.Result), ExecStatus: int32(a.Result.Status), Error: a.Result.Reason, Record: publicRecord(a.Record),
	}
	if out.Rc != 0 && out.Error == "" {
		out.Error = a.Result.Status.Text()
		if a.Result.Status == device.StatusDone {
			out.Error = "Fence agent returned failure"
		}
	}
	return out
}

func milliseconds(ms int64, otherwise time.Duration) time.Duration {
	if ms <= 0 {
		return otherwise
	}
	return time.Duration(ms) * time.Millisecond
}

// errno is the legacy code of a result (execution 43): 0 or a positive errno.
func errno(r device.Result) int32 {
	switch r.Status {
	case device.StatusDone:
		if r.RC == 0 {
			return 0
		}
		text := strings.ToLower(r.Stderr)
		switch {
		case strings.Contains(text, "unrecognised action"), strings.Contains(text, "unsupported action"):
			return int32(syscall.EOPNOTSUPP)
		}
		return int32(syscall.ENODATA)
	case device.StatusCancelled:
		return int32(syscall.ECANCELED)
	case device.StatusTimeout:
		return int32(syscall.ETIME)
	case device.StatusNotInstalled:
		return int32(syscall.ENOENT)
	case device.StatusNotSupported:
		return int32(syscall.EOPNOTSUPP)
	case device.StatusNotConnected:
		return int32(syscall.ENOTCONN)
	case device.StatusNoFenceDevice:
		return int32(syscall.ENODEV)
	case device.StatusNoSecrets:
		return int32(syscall.EACCES)
	case device.StatusInvalid:
		switch r.RC {
		case 4:
			return int32(syscall.EACCES)
		case 110:
			return int32(syscall.EHOSTUNREACH)
		case 76:
			return int32(syscall.EPROTO)
		}
		return int32(syscall.EINVAL)
	}
	return int32(syscall.ENODATA)
}

// Confirm implements the service.
func (s *Server) Confirm(ctx context.Context, in *stonithv1.ConfirmRequest) (*stonithv1.FenceResponse, error) {
	if err := mayFence(ctx); err != nil {
		return nil, err
	}
	if in.Target == "" {
		return nil, status.Error(codes.InvalidArgument, "name the node that is known to be down")
	}
	r := request.Request{ID: newID(), Target: in.Target, Action: "off", Client: clientName(ctx, in.Client)}
	s.log.Warn("a human confirms that a node is down", "client", r.Client, "target", r.Target)
	a, err := s.ask(ctx, r.ID, request.Confirmed{Request: r})
	if err != nil {
		return nil, err
	}
	return fenceResponse(a), nil
}

// perform runs one action of a local device, after the events before.
func (s *Server) perform(ctx context.Context, p device.Perform, before ...request.Event) (device.Result, error) {
	done := make(chan device.Result, 1)
	if !s.do(ctx, func() {
		for _, ev := range before {
			s.step(ev)
		}
		s.nextPerform++
		p.ID = s.nextPerform
		s.performs[p.ID] = done
		s.step(request.Devices{Event: p})
	}) {
		return device.Result{}, errStopping
	}
	select {
	case res := <-done:
		return res, nil
	case <-ctx.Done():
		return device.Result{}, status.FromContextError(ctx.Err()).Err()
	case <-s.done:
		return device.Result{}, errStopping
	}
}

// change has the core take an event and waits until it has.
func (s *Server) change(ctx context.Context, ev request.Event) error {
	done := make(chan struct{})
	if !s.do(ctx, func() { s.step(ev); close(done) }) {
		return errStopping
	}
	select {
	case <-done:
		return nil
	case <-s.done:
		return errStopping
	}
}

// ExecDevice implements the service: class stonith in lrmd (execution 14).
func (s *Server) ExecDevice(ctx context.Context, in *stonithv1.ExecDeviceRequest) (*stonithv1.ExecDeviceResponse, error) {
	if !privileged(ctx) {
		return nil, status.Error(codes.PermissionDenied, "Unprivileged users must register device via CIB")
	}
	monitor := device.Perform{
		Device: in.RscId, Action: "monitor", Timeout: milliseconds(in.TimeoutMs, defaultTimeout), API: true,
		Client: clientName(ctx, "lrmd"),
	}
	var res device.Result
	var err error
	switch in.Action {
	case "start":
		res, err = s.perform(ctx, monitor, request.Devices{Event: device.Registered{Device: device.Device{
			ID: in.RscId, Agent: in.Type, Params: in.Params,
		}}})
	case "monitor", "status":
		res, err = s.perform(ctx, monitor)
	case "stop":
		err = s.change(ctx, request.Devices{Event: device.Removed{ID: in.RscId}})
	default:
		res = device.Result{RC: 1, Status: device.StatusError, Reason: "Invalid fence device action (bug?)"}
	}
	if err != nil {
		return nil, err
	}
	return execResponse(in.Action, res), nil
}

// execResponse maps results as the executor shows them (execution 14.2).
func execResponse(action string, r device.Result) *stonithv1.ExecDeviceResponse {
	out := &stonithv1.ExecDeviceResponse{OpStatus: int32(r.Status), ExitReason: r.Reason, Output: r.Output}
	if r.Stderr != "" {
		out.Output = r.Stderr
	}
	if !r.OK() {
		out.Rc = 1
	}
	switch r.Status {
	case device.StatusNotConnected, device.StatusInvalid:
		out.OpStatus = int32(device.StatusError)
	case device.StatusNotSupported:
		out.Rc = 3
	case device.StatusNotInstalled:
		out.Rc = 5
	case device.StatusNoFenceDevice:
		out.OpStatus, out.Rc = int32(device.StatusError), 5
		if action == "stop" {
			out.Rc = 0
		}
	}
	return out
}

// ExecuteDevice implements the service.
func (s *Server) ExecuteDevice(ctx context.Context, in *stonithv1.ExecuteDeviceRequest) (*stonithv1.ExecuteDeviceResponse, error) {
	if !slices.Contains([]string{"monitor", "list", "status"}, in.Action) {
		return nil, status.Errorf(codes.InvalidArgument, "action %q of a device: must be monitor, list or status", in.Action)
	}
	if err := mayFence(ctx); err != nil {
		return nil, err
	}
	res, err := s.perform(ctx, device.Perform{
		Device: in.Device, Action: in.Action, Target: in.Target, Timeout: milliseconds(in.TimeoutMs, defaultTimeout),
		Client: clientName(ctx, "stonith_admin"),
	})
	if err != nil {
		return nil, err
	}
	return &stonithv1.ExecuteDeviceResponse{
		Rc: errno(res), ExecStatus: int32(res.Status), Reason: res.Reason, Output: res.Output,
	}, nil
}

const unprivileged = "Unprivileged users must register device via CIB"

// RegisterDevice implements the service.
func (s *Server) RegisterDevice(ctx context.Context, in *stonithv1.RegisterDeviceRequest) (*stonithv1.RegisterDeviceResponse, error) {
	d := in.GetDevice()
	switch {
	case !privileged(ctx):
		return &stonithv1.RegisterDeviceResponse{Rc: int32(syscall.EACCES), Error: unprivileged}, nil
	case d.GetId() == "" || d.GetAgent() == "":
		return &stonithv1.RegisterDeviceResponse{Rc: int32(syscall.EINVAL), Error: "a device needs an id and an agent"}, nil
	}
	err := s.change(ctx, request.Devices{Event: device.Registered{Device: device.Device{
		ID: d.Id, Agent: d.Agent, Namespace: d.Namespace, Params: d.Params,
	}}})
	return &stonithv1.RegisterDeviceResponse{}, err
}

// RemoveDevice implements the service.
func (s *Server) RemoveDevice(ctx context.Context, in *stonithv1.RemoveDeviceRequest) (*stonithv1.RemoveDeviceResponse, error) {
	if !privileged(ctx) {
		return &stonithv1.RemoveDeviceResponse{Rc: int32(syscall.EACCES), Error: unprivileged}, nil
	}
	return &stonithv1.RemoveDeviceResponse{}, s.change(ctx, request.Devices{Event: device.Removed{ID: in.Id}})
}

func levelOf(l *stonithv1.Level) topology.Level {
	return topology.Level{
		Index: int(l.GetIndex()), Target: l.GetTarget(), Pattern: l.GetTargetPattern(),
		Attribute: l.GetTargetAttribute(), Value: l.GetTargetValue(), Devices: l.GetDevices(),
	}
}

// RegisterLevel implements the service.
func (s *Server) RegisterLevel(ctx context.Context, in *stonithv1.RegisterLevelRequest) (*stonithv1.RegisterLevelResponse, error) {
	l := levelOf(in.Level)
	if !privileged(ctx) {
		return &stonithv1.RegisterLevelResponse{Rc: int32(syscall.EACCES), Error: "Unprivileged users must add level via CIB"}, nil
	}
	if err := l.Check(); err != nil {
		return &stonithv1.RegisterLevelResponse{Rc: int32(syscall.EINVAL), Error: err.Error()}, nil
	}
	return &stonithv1.RegisterLevelResponse{}, s.change(ctx, request.LevelAdded{Level: l})
}

// RemoveLevel implements the service.
func (s *Server) RemoveLevel(ctx context.Context, in *stonithv1.RemoveLevelRequest) (*stonithv1.RemoveLevelResponse, error) {
	l := levelOf(in.Level)
	switch {
	case !privileged(ctx):
		return &stonithv1.RemoveLevelResponse{Rc: int32(syscall.EACCES), Error: "Unprivileged users must remove level via CIB"}, nil
	case l.Index < 0 || l.Index > 9 || l.Key() == "":
		return &stonithv1.RemoveLevelResponse{Rc: int32(syscall.EINVAL), Error: "a level has a target and an index from 1 to 9 (0: all)"}, nil
	}
	return &stonithv1.RemoveLevelResponse{}, s.change(ctx, request.LevelRemoved{Key: l.Key(), Index: l.Index})
}

// ListDevices implements the service.
func (s *Server) ListDevices(ctx context.Context, in *stonithv1.ListDevicesRequest) (*stonithv1.ListDevicesResponse, error) {
	if in.Target == "" {
		out := &stonithv1.ListDevicesResponse{}
		secrets := privileged(ctx) // passwords are among the parameters
		err := s.read(ctx, func() {
			for _, d := range s.core.LocalDevices() {
				local := &stonithv1.Device{Id: d.ID, Agent: d.Agent, Namespace: d.Namespace, FromCib: d.FromCIB}
				if secrets {
					local.Params = d.Params
				}
				out.Devices, out.Local = append(out.Devices, d.ID), append(out.Local, local)
			}
		})
		return out, err
	}
	r := request.Request{
		ID: newID(), Target: in.Target, Action: "off", List: true, AllowSelf: true, Timeout: milliseconds(in.TimeoutMs, defaultTimeout),
	}
	a, err := s.ask(ctx, r.ID, request.Asked{Request: r})
	if err != nil {
		return nil, err
	}
	return &stonithv1.ListDevicesResponse{Rc: errno(a.Result), Error: a.Result.Reason, Devices: a.Devices}, nil
}

// read has the loop call f and waits for it.
func (s *Server) read(ctx context.Context, f func()) error {
	done := make(chan struct{})
	if !s.do(ctx, func() { f(); close(done) }) {
		return errStopping
	}
	select {
	case <-done:
		return nil
	case <-s.done:
		return errStopping
	}
}

// GetHistory implements the service.
func (s *Server) GetHistory(ctx context.Context, in *stonithv1.GetHistoryRequest) (*stonithv1.GetHistoryResponse, error) {
	var records []history.Record
	if err := s.read(ctx, func() { records = s.core.History(in.Target) }); err != nil {
		return nil, err
	}
	out := &stonithv1.GetHistoryResponse{}
	for _, r := range records {
		out.Records = append(out.Records, publicRecord(r))
	}
	return out, nil
}

// CleanupHistory implements the service.
func (s *Server) CleanupHistory(ctx context.Context, in *stonithv1.CleanupHistoryRequest) (*stonithv1.CleanupHistoryResponse, error) {
	if err := mayFence(ctx); err != nil {
		return nil, err
	}
	return &stonithv1.CleanupHistoryResponse{}, s.change(ctx, request.CleanupAsked{Target: in.Target})
}

// GetMetadata implements the service.
func (s *Server) GetMetadata(ctx context.Context, in *stonithv1.GetMetadataRequest) (*stonithv1.GetMetadataResponse, error) {
	doc, err := s.opts.Finder.Metadata(ctx, in.Agent, milliseconds(in.TimeoutMs, 0))
	if err != nil {
		return &stonithv1.GetMetadataResponse{Rc: int32(syscall.ENOENT), Error: err.Error()}, nil
	}
	return &stonithv1.GetMetadataResponse{Xml: string(doc)}, nil
}

// ListAgents implements the service.
func (s *Server) ListAgents(context.Context, *stonithv1.ListAgentsRequest) (*stonithv1.ListAgentsResponse, error) {
	return &stonithv1.ListAgentsResponse{Agents: s.opts.Finder.List()}, nil
}

// watcher is one subscriber; one that does not keep up loses its stream.
type watcher struct {
	events chan *stonithv1.Event
}

const watchBacklog = 1024

// Watch implements the service.
func (s *Server) Watch(_ *stonithv1.WatchRequest, stream stonithv1.Stonith_WatchServer) error {
	ctx := stream.Context()
	w := &watcher{events: make(chan *stonithv1.Event, watchBacklog)}
	if err := s.read(ctx, func() { s.watchers[w] = true }); err != nil {
		return err
	}
	defer s.do(context.Background(), func() { delete(s.watchers, w) })
	if err := stream.Send(&stonithv1.Event{Hello: true}); err != nil {
		return err
	}
	for {
		select {
		case ev, ok := <-w.events:
			if !ok {
				return status.Error(codes.ResourceExhausted, "this client did not read its fencing events in time: watch again and read the history")
			}
			if err := stream.Send(ev); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		case <-s.done:
			return errStopping
		}
	}
}

func (s *Server) publish(ev *stonithv1.Event) {
	for w := range s.watchers {
		select {
		case w.events <- ev:
		default:
			s.log.Warn("dropping a client that does not read its events")
			delete(s.watchers, w)
			close(w.events)
		}
	}
}
