package server

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"linuxha/internal/ipc"
	heartbeatv1 "linuxha/proto/heartbeat/v1"
)

const watcherQueue = 1024

// watcher is a WatchStatus stream.
type watcher struct {
	queue  chan *heartbeatv1.StatusEvent
	cut    chan struct{}
	reason error // of the loop, set before cut is closed
}

func (w *watcher) push(ev *heartbeatv1.StatusEvent) {
	if w.reason != nil {
		return
	}
	select {
	case w.queue <- ev:
	default:
		w.end(errSlow)
	}
}

func (w *watcher) end(reason error) {
	if w.reason == nil {
		w.reason = reason
		close(w.cut)
	}
}

// GetStatus implements Control; everybody may ask.
func (s *Server) GetStatus(context.Context, *heartbeatv1.GetStatusRequest) (*heartbeatv1.GetStatusResponse, error) {
	var resp *heartbeatv1.GetStatusResponse
	if !s.do(func(time.Time) { resp = s.snapshot() }) {
		return nil, errStopping
	}
	return resp, nil
}

// WatchStatus implements Control.
func (s *Server) WatchStatus(_ *heartbeatv1.WatchStatusRequest, stream grpc.ServerStreamingServer[heartbeatv1.StatusEvent]) error {
	w := &watcher{queue: make(chan *heartbeatv1.StatusEvent, watcherQueue), cut: make(chan struct{})}
	if !s.do(func(time.Time) {
		all := s.snapshot()
		w.push(&heartbeatv1.StatusEvent{Nodes: all.Nodes, Membership: all.Membership})
		s.watchers[w] = struct{}{}
	}) {
		return errStopping
	}
	defer s.do(func(time.Time) { delete(s.watchers, w) })
	for {
		select {
		case ev := <-w.queue:
			if err := stream.Send(ev); err != nil {
				return err
			}
		case <-w.cut:
			return w.reason
		case <-stream.Context().Done():
			return nil
		case <-s.done:
			return errStopping
		}
	}
}

// control checks that the caller may command this node.
func (s *Server) control(ctx context.Context, what string) error {
	p, ok := ipc.PeerFrom(ctx)
	if ok && s.opt.Privileged(p.UID) {
		return nil
	}
	return status.Errorf(codes.PermissionDenied, "uid %d may not %s: run the command as root", p.UID, what)
}

// Reload implements Control.
func (s *Server) Reload(ctx context.Context, _ *heartbeatv1.ReloadRequest) (*heartbeatv1.ReloadResponse, error) {
	if err := s.control(ctx, "reload the configuration"); err != nil {
		return nil, err
	}
	text, err := s.ReloadFiles()
	if err != nil {
		return nil, status.Error(codes.FailedPrecondition, err.Error())
	}
	return &heartbeatv1.ReloadResponse{Message: text}, nil
}

// Stop implements Control.
func (s *Server) Stop(ctx context.Context, req *heartbeatv1.StopRequest) (*heartbeatv1.StopResponse, error) {
	if err := s.control(ctx, "stop this node"); err != nil {
		return nil, err
	}
	if s.opt.Stop == nil {
		return nil, status.Error(codes.Unimplemented, "this heartbeatd cannot be stopped by request")
	}
	s.opt.Stop(req.Reason)
	return &heartbeatv1.StopResponse{}, nil
}
