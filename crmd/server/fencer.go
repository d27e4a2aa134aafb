package server

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"

	"linuxha/crmd/te"
	"linuxha/internal/daemon"
	crmv1 "linuxha/proto/crm/v1"
	stonithv1 "linuxha/proto/stonith/v1"
)

// watchFencer follows the cluster's fencing results for ever.
func (s *Server) watchFencer(ctx context.Context) {
	for ctx.Err() == nil {
		stream, err := s.stonith.Watch(ctx, &stonithv1.WatchRequest{}, grpc.WaitForReady(true))
		for err == nil {
			var ev *stonithv1.Event
			if ev, err = stream.Recv(); err == nil && ev.Record != nil {
				s.post(func() { s.fencingResult(ev) })
			}
		}
		if ctx.Err() != nil {
			return
		}
		s.log.Warn("connection to stonithd lost", "err", err)
		sleep(ctx, 50*time.Millisecond)
	}
}

// fencingResult is the notice that every node gets (crm 5.15, 1.7).
func (s *Server) fencingResult(ev *stonithv1.Event) {
	r := ev.Record
	ok := ev.Rc == 0 && r.State == stonithv1.FenceRecord_STATE_SUCCESS
	if r.State == stonithv1.FenceRecord_STATE_PENDING {
		return
	}
	s.alertFenced(ev)
	result, not := "OK", ""
	if !ok {
		result, not = fmt.Sprintf("Error (%s)", r.Reason), " not"
	}
	by := r.Executioner
	if by == "" {
		by = "<anyone>"
	}
	if r.Action == "on" {
		if ok {
			s.log.Info(fmt.Sprintf("%s was unfenced by %s at the request of %s@%s", r.Target, by, r.Client, r.Origin))
		}
		return
	}
	s.log.Info(fmt.Sprintf("Peer %s was%s terminated (%s) by %s on behalf of %s@%s: %s | event=%s", r.Target, not, r.Action, by, r.Client, r.Origin, result, r.Id))
	if !ok && s.te != nil && !(s.el.Local() && s.reign.begun) {
		s.te.Step(s.now(), te.FenceFailed{Target: r.Target}) // the DC counts by its own answers
	}
	if !ok || s.conn == nil {
		return
	}
	if r.Target == s.node {
		if own := s.lives[s.node]; r.Generation != 0 && r.Generation < own {
			s.log.Info("The news of our fencing is about an earlier start of this node", "fenced", r.Generation, "now", own)
			return
		}
		s.log.Error(fmt.Sprintf("We were allegedly just fenced by %s for %s!", by, r.Origin))
		s.exit = &daemon.ExitCode{Code: 100, Err: fmt.Errorf("fenced by %s for %s and still alive (fence-reaction=%s)", by, r.Origin, s.options.fenceReaction)}
		if s.options.fenceReaction == "panic" {
			s.exit = &daemon.ExitCode{Code: 101, Err: fmt.Errorf("fenced by %s for %s and still alive (fence-reaction=panic)", by, r.Origin)}
		}
		return
	}
	if s.outlived(r.Target, r.Generation) {
		return
	}
	if s.el.Local() && s.reign.begun {
		if r.Origin == s.node && s.fencing(r.Target) || s.answered[r.Id] {
			delete(s.answered, r.Id)
			return // the answer to our own request says the same
		}
		s.timeline.add(&crmv1.TimelineEvent{AtNs: s.now().UnixNano(), Kind: "fence-confirmed", Node: r.Target, Action: r.Action, Text: "by " + r.Client + "@" + r.Origin}, s.log)
		s.markFenced(r.Target)
		s.stepTE(te.Fenced{Target: r.Target})
		return
	}
	s.te.Step(s.now(), te.Fenced{Target: r.Target})
	s.fenced[r.Target] = r.Generation
}

// outlived says that a node was a member again after a fencing that covers its
// incarnation g: whether it is up or has died since, that is another matter.
func (s *Server) outlived(node string, g uint64) bool {
	if g >= s.lives[node] {
		return false
	}
	s.log.Info("The news of a node's fencing is about an earlier start of it", "node", node, "fenced", g, "since", s.lives[node])
	return true
}

func (s *Server) fencing(target string) bool {
	for _, f := range s.te.InFlight() {
		if f.Action.IsFencing() && f.Action.Node == target {
			return true
		}
	}
	return false
}
