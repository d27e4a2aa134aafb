package server

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"linuxha/cib/cibdoc"
	"linuxha/crmd/history"
	"linuxha/crmd/join"
	"linuxha/crmd/te"
	"linuxha/internal/ipc"
	attrdv1 "linuxha/proto/attrd/v1"
	cibv1 "linuxha/proto/cib/v1"
	crmv1 "linuxha/proto/crm/v1"
)

// do runs f in the loop and waits for it.
func (s *Server) do(ctx context.Context, f func()) error {
	done := make(chan struct{})
	select {
	case s.calls <- func() { f(); close(done) }:
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	case <-s.ctx.Done():
		return status.Error(codes.Unavailable, "the controller is ending")
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	case <-s.ctx.Done():
		return status.Error(codes.Unavailable, "the controller is ending")
	}
}

// allow refuses callers without the right to change anything: root and hacluster
// have it, where members is set also whoever is in the group haclient.
func (s *Server) allow(ctx context.Context, what string, members bool) error {
	p, ok := ipc.PeerFrom(ctx)
	if !ok || ipc.Trusted(p) || members && ipc.Member(p) {
		return nil // without credentials the call did not come through a socket
	}
	s.log.Warn("request refused", "call", what, "uid", p.UID, "pid", p.PID)
	who := "root and " + ipc.DaemonUser
	if members {
		who += " and members of " + ipc.ClientGroup
	}
	return status.Errorf(codes.PermissionDenied, "%s is for %s only (you are uid %d)", what, who, p.UID)
}

// GetState answers for this node, or asks another.
func (s *Server) GetState(ctx context.Context, req *crmv1.GetStateRequest) (*crmv1.GetStateResponse, error) {
	var resp *crmv1.GetStateResponse
	var remote bool
	err := s.do(ctx, func() {
		if remote = req.Node != "" && req.Node != s.node; !remote {
			s.log.Debug("Current ping state: " + string(s.state))
			resp = &crmv1.GetStateResponse{State: string(s.state), Node: s.node}
		}
	})
	if err != nil || !remote {
		return resp, err
	}
	a, err := s.callPeer(ctx, req.Node, &crmv1.PeerCall{Request: &crmv1.PeerCall_GetState{GetState: true}})
	if err != nil {
		return nil, err
	}
	return &crmv1.GetStateResponse{Rc: a.Rc, Error: a.Error, State: a.State, Node: req.Node}, nil
}

// GetDC answers who is DC as this node knows it.
func (s *Server) GetDC(ctx context.Context, _ *crmv1.GetDCRequest) (*crmv1.GetDCResponse, error) {
	resp := &crmv1.GetDCResponse{}
	err := s.do(ctx, func() { resp.Dc = s.dcName() })
	return resp, err
}

// WatchState streams state and DC.
func (s *Server) WatchState(_ *crmv1.WatchStateRequest, stream grpc.ServerStreamingServer[crmv1.StateEvent]) error {
	last, w := s.states.watch()
	defer s.states.leave(w)
	if last != nil {
		if err := stream.Send(last); err != nil {
			return err
		}
	}
	for {
		select {
		case e, ok := <-w:
			if !ok {
				return status.Error(codes.ResourceExhausted, "too slow for the controller's states")
			}
			if err := stream.Send(e); err != nil {
				return err
			}
		case <-stream.Context().Done():
			return nil
		case <-s.ctx.Done():
			return status.Error(codes.Unavailable, "the controller is ending")
		}
	}
}

// WatchTimeline streams what happened lately and from now on.
func (s *Server) WatchTimeline(_ *crmv1.WatchTimelineRequest, stream grpc.ServerStreamingServer[crmv1.TimelineEvent]) error {
	recent, w := s.timeline.watch()
	defer s.timeline.leave(w)
	for _, e := range recent {
		if err := stream.Send(e); err != nil {
			return err
		}
	}
	for {
		select {
		case e, ok := <-w:
			if !ok {
				return status.Error(codes.ResourceExhausted, "too slow for the time line")
			}
			if err := stream.Send(e); err != nil {
				return err
			}
		case <-stream.Context().Done():
			return nil
		case <-s.ctx.Done():
			return status.Error(codes.Unavailable, "the controller is ending")
		}
	}
}

// ListNodes lists all cluster nodes known.
func (s *Server) ListNodes(ctx context.Context, _ *crmv1.ListNodesRequest) (*crmv1.ListNodesResponse, error) {
	resp := &crmv1.ListNodesResponse{}
	err := s.do(ctx, func() {
		resp.Local, resp.View, resp.Quorate = s.node, s.view.GetNumber(), s.view.GetQuorate()
		seen := map[string]bool{}
		for _, m := range s.view.GetMembers() {
			seen[m.Name] = true
			resp.Nodes = append(resp.Nodes, &crmv1.Node{Name: m.Name, Id: m.Id, State: "member", BornOn: m.BornOn})
		}
		for _, c := range s.view.GetConfigured() {
			if !seen[c.Name] && c.Type != "ping" {
				seen[c.Name] = true
				resp.Nodes = append(resp.Nodes, &crmv1.Node{Name: c.Name, Id: c.Id, State: "lost"})
			}
		}
		for _, id := range slices.Sorted(maps.Keys(s.nodeNames)) {
			if name := s.nodeNames[id]; !seen[name] {
				seen[name] = true
				resp.Nodes = append(resp.Nodes, &crmv1.Node{Name: name, Id: id, State: "lost"})
			}
		}
		slices.SortFunc(resp.Nodes, func(a, b *crmv1.Node) int {
			if a.Name < b.Name {
				return -1
			}
			return 1
		})
	})
	return resp, err
}

// Shutdown begins an orderly leaving.
func (s *Server) Shutdown(ctx context.Context, _ *crmv1.ShutdownRequest) (*crmv1.ShutdownResponse, error) {
	if err := s.allow(ctx, "Shutdown", false); err != nil {
		return nil, err
	}
	return &crmv1.ShutdownResponse{}, s.do(ctx, s.beginShutdown)
}

// DeleteHistory forgets a resource's history on one node or on all.
func (s *Server) DeleteHistory(ctx context.Context, req *crmv1.DeleteHistoryRequest) (*crmv1.ActionResponse, error) {
	if err := s.allow(ctx, "DeleteHistory", true); err != nil {
		return nil, err
	}
	var nodes []string
	if err := s.do(ctx, func() {
		if nodes = []string{req.Node}; req.Node == "" {
			nodes = memberNames(s.view)
		}
	}); err != nil {
		return nil, err
	}
	resp := &crmv1.ActionResponse{}
	for _, n := range nodes {
		one := &crmv1.DeleteHistoryRequest{Resource: req.Resource, Node: n, User: req.User}
		r, err := s.onNode(ctx, n, &crmv1.PeerCall{Request: &crmv1.PeerCall_DeleteHistory{DeleteHistory: one}})
		if err != nil {
			return nil, err
		}
		if r.Rc != 0 {
			resp.Rc, resp.Error = r.Rc, n+": "+r.Error
		}
	}
	if resp.Rc == 0 { // makes the DC recompute even if nothing was deleted (crm 4.10)
		err := s.do(ctx, func() {
			s.config.add(job{changes: s.setProperty("last-lrm-refresh", strconv.FormatInt(s.now().Unix(), 10))})
		})
		return resp, err
	}
	return resp, nil
}

// FailResource makes up a failure of a resource.
func (s *Server) FailResource(ctx context.Context, req *crmv1.FailResourceRequest) (*crmv1.ActionResponse, error) {
	if err := s.allow(ctx, "FailResource", false); err != nil {
		return nil, err
	}
	a, err := s.onNode(ctx, req.Node, &crmv1.PeerCall{Request: &crmv1.PeerCall_FailResource{FailResource: req}})
	if err != nil {
		return nil, err
	}
	return &crmv1.ActionResponse{Rc: a.Rc, Error: a.Error}, nil
}

// onNode has a call served by a node's controller. For a node that is away the
// history is deleted in the CIB directly (crm 4.10).
func (s *Server) onNode(ctx context.Context, node string, call *crmv1.PeerCall) (*crmv1.PeerAnswer, error) {
	var local, here bool
	done := make(chan *crmv1.PeerAnswer, 1)
	err := s.do(ctx, func() {
		local = node == "" || node == s.node
		here = s.bornOn(node) != 0
		if local {
			s.serve(call, func(a *crmv1.PeerAnswer) { done <- a })
			return
		}
		if d := call.GetDeleteHistory(); !here && d != nil {
			at := "//node_state[@uname=" + cibdoc.Quote(node) + "]/lrm/lrm_resources/lrm_resource"
			if d.Resource != "" {
				at += "[@id=" + cibdoc.Quote(d.Resource) + "]"
			}
			s.status.add(job{changes: []*cibv1.Change{remove(at)}, done: func(_ te.Version, err error) {
				done <- &crmv1.PeerAnswer{Rc: failed(err), Error: errText(err)}
			}})
			local = true
		}
	})
	if err != nil {
		return nil, err
	}
	if !local {
		return s.callPeer(ctx, node, call)
	}
	select {
	case a := <-done:
		return a, nil
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	case <-s.ctx.Done():
		return nil, status.Error(codes.Unavailable, "the controller is ending")
	}
}

// callPeer asks another node's controller.
func (s *Server) callPeer(ctx context.Context, node string, call *crmv1.PeerCall) (*crmv1.PeerAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	answer := make(chan *crmv1.PeerAnswer, 1)
	var id uint64
	var absent bool
	if err := s.do(ctx, func() {
		if absent = s.bornOn(node) == 0; absent {
			return
		}
		s.callSeq++
		id = s.callSeq
		call.Id = id
		s.answers[id] = answer
		s.send(node, &crmv1.PeerMessage{Kind: &crmv1.PeerMessage_Call{Call: call}})
	}); err != nil {
		return nil, err
	}
	if absent {
		return &crmv1.PeerAnswer{Rc: int32(syscall.ENXIO), Error: fmt.Sprintf("node %q has no running controller", node)}, nil
	}
	select {
	case a := <-answer:
		return a, nil
	case <-ctx.Done():
		forget := context.WithoutCancel(ctx)
		_ = s.do(forget, func() { delete(s.answers, id) }) // fails only when we end
		return nil, status.Errorf(codes.DeadlineExceeded, "the controller of %q does not answer", node)
	case <-s.ctx.Done():
		return nil, status.Error(codes.Unavailable, "the controller is ending")
	}
}

// called serves another node's call.
func (s *Server) called(from string, call *crmv1.PeerCall) {
	s.serve(call, func(a *crmv1.PeerAnswer) {
		a.Id = call.Id
		s.send(from, &crmv1.PeerMessage{Kind: &crmv1.PeerMessage_Answer{Answer: a}})
	})
}

func (s *Server) serve(call *crmv1.PeerCall, answer func(*crmv1.PeerAnswer)) {
	switch r := call.Request.(type) {
	case *crmv1.PeerCall_GetState:
		s.log.Debug("Current ping state: " + string(s.state))
		answer(&crmv1.PeerAnswer{State: string(s.state)})
	case *crmv1.PeerCall_DeleteHistory:
		s.deleteHistory(r.DeleteHistory, answer)
	case *crmv1.PeerCall_FailResource:
		s.failResource(r.FailResource, answer)
	default:
		answer(&crmv1.PeerAnswer{Rc: int32(syscall.EOPNOTSUPP), Error: "unknown request: the releases of the nodes differ"})
	}
}

func (s *Server) deleteHistory(r *crmv1.DeleteHistoryRequest, answer func(*crmv1.PeerAnswer)) {
	ids := []string{r.Resource}
	if r.Resource == "" {
		ids = s.memory.Resources()
	}
	left := len(ids)
	if left == 0 {
		answer(&crmv1.PeerAnswer{})
		return
	}
	result := &crmv1.PeerAnswer{}
	for _, id := range ids {
		s.forgetResource(id, func(err error) {
			if err != nil {
				result.Rc, result.Error = int32(syscall.EIO), err.Error()
			}
			if left--; left == 0 {
				// Answered when the CIB shows it.
				s.flush()
				s.status.add(job{done: func(te.Version, error) { answer(result) }})
			}
		})
	}
}

func (s *Server) failResource(r *crmv1.FailResourceRequest, answer func(*crmv1.PeerAnswer)) {
	res, ok := s.memory.Resource(r.Resource)
	if !ok {
		answer(&crmv1.PeerAnswer{Rc: int32(syscall.ENXIO), Error: fmt.Sprintf("resource %q has no history on %s", r.Resource, s.node)})
		return
	}
	s.lastCall++
	op := history.Op{
		Resource: res, Task: "asyncmon", CallID: s.lastCall, RC: 1, Reason: "Simulated failure", FeatureSet: FeatureSet,
		OnNode: s.node, RCChange: s.now().Unix(), Key: fmt.Sprintf("%d:-1:0:xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", s.lastCall),
	}
	s.record(res, s.memory.Add(op, "do_update_resource"))
	answer(&crmv1.PeerAnswer{})
}

// RemoveNode forgets a node everywhere. A node that is active is refused, also
// with force: its resources would be started twice (crm 9.12).
func (s *Server) RemoveNode(ctx context.Context, req *crmv1.RemoveNodeRequest) (*crmv1.ActionResponse, error) {
	if err := s.allow(ctx, "RemoveNode", false); err != nil {
		return nil, err
	}
	done := make(chan *crmv1.ActionResponse, 1)
	err := s.do(ctx, func() {
		if slices.Contains(memberNames(s.view), req.Node) {
			done <- &crmv1.ActionResponse{Rc: int32(syscall.EBUSY), Error: fmt.Sprintf("node %q is active: stop its cluster stack first", req.Node)}
			return
		}
		s.send("", &crmv1.PeerMessage{Kind: &crmv1.PeerMessage_ForgetNode{ForgetNode: &crmv1.ForgetNode{Node: req.Node}}})
		s.forgetNode(req.Node)
		s.config.add(job{changes: []*cibv1.Change{
			remove("//nodes/node[@uname=" + cibdoc.Quote(req.Node) + "]"), remove("//status/node_state[@uname=" + cibdoc.Quote(req.Node) + "]"),
		}, done: func(_ te.Version, err error) {
			done <- &crmv1.ActionResponse{Rc: failed(err), Error: errText(err)}
		}})
	})
	if err != nil {
		return nil, err
	}
	select {
	case r := <-done:
		if r.Rc == 0 {
			if _, err := s.attrd.Purge(ctx, &attrdv1.PurgeRequest{Node: req.Node}); err != nil {
				s.log.Warn("attributes of a removed node cannot be purged", "node", req.Node, "err", err)
			}
		}
		return r, nil
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	case <-s.ctx.Done():
		return nil, status.Error(codes.Unavailable, "the controller is ending")
	}
}

func (s *Server) forgetNode(node string) {
	if slices.Contains(memberNames(s.view), node) {
		return
	}
	delete(s.fenced, node)
	delete(s.leaving, node)
	for id, n := range s.nodeNames {
		if n == node {
			delete(s.nodeNames, id)
		}
	}
	if s.jn != nil {
		s.stepJoin(join.Forgotten{Node: node})
		s.stepTE(te.Forgotten{Node: node})
	}
}
