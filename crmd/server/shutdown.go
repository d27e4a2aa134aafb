package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"linuxha/crmd/join"
	"linuxha/crmd/te"
	"linuxha/internal/daemon"
	attrdv1 "linuxha/proto/attrd/v1"
	cibv1 "linuxha/proto/cib/v1"
	crmv1 "linuxha/proto/crm/v1"
	lrmv1 "linuxha/proto/lrm/v1"
)

// shutdown is how far this controller's leaving is (crm 5.14).
type shutdown struct {
	asked     bool // wants to leave
	stopping  bool // may leave
	cancelled bool // recurring operations are cancelled
}

// beginShutdown asks the DC to let us go.
func (s *Server) beginShutdown() {
	if s.shutdown.asked {
		return
	}
	s.shutdown.asked = true
	limit := s.options.shutdownEscalation
	s.log.Info(fmt.Sprintf("Initiating controller shutdown sequence | limit=%dms", limit.Milliseconds()))
	if s.conn == nil || s.view == nil {
		s.ending = true // nobody knows us yet
		return
	}
	s.send("", &crmv1.PeerMessage{Kind: &crmv1.PeerMessage_WantsShutdown{WantsShutdown: &crmv1.WantsShutdown{Node: s.node}}})
	time.AfterFunc(limit, func() {
		s.post(func() {
			s.log.Error(fmt.Sprintf("Shutdown Escalation just popped in state %s!", s.state))
			s.leave()
		})
	})
	switch {
	case s.el.Local() || s.accepted.term != "":
		s.requestShutdown()
	case !s.el.Acting(s.now()):
		// No DC anywhere: nobody has ordered anything here, nobody will.
		s.leave()
	}
}

// requestShutdown asks the DC, which may be ourselves.
func (s *Server) requestShutdown() {
	if s.el.Local() {
		s.wantsShutdown(s.node)
		return
	}
	if s.accepted.term != "" && s.accepted.asked == "" {
		dc := s.accepted.dc
		// Behind our own updates: the join removes a former request.
		s.updateAttributes(nil, func() {
			s.send(dc, &crmv1.PeerMessage{Kind: &crmv1.PeerMessage_WantsShutdown{WantsShutdown: &crmv1.WantsShutdown{Node: s.node}}})
		})
	}
}

// wantsShutdown: a node asked to leave. Everybody remembers it, the DC begins.
func (s *Server) wantsShutdown(node string) {
	s.leaving[node] = s.bornOn(node)
	if !s.el.Local() || !s.reign.begun {
		return
	}
	s.log.Info(fmt.Sprintf("Creating shutdown request for %s (state=%s)", node, s.state))
	s.stepJoin(join.Leaving{Node: node})
	s.updateAttributes([]*attrdv1.Attribute{{Name: "shutdown", Value: fmt.Sprint(s.now().Unix()), Node: node}}, nil)
}

// orderedToLeave: the DC has emptied this node.
func (s *Server) orderedToLeave() {
	if !s.shutdown.asked {
		s.exit = &daemon.ExitCode{Code: 100, Err: errors.New("told by the DC to leave without having asked: staying down; start the stack again when the reason is known")}
		return
	}
	s.log.Info("Shutting down controller after confirmation from DC")
	s.leave()
}

// shutdownGranted: we are DC and have emptied ourselves.
func (s *Server) shutdownGranted() {
	if !s.shutdown.asked {
		s.exit = &daemon.ExitCode{Code: 100, Err: errors.New("the shutdown attribute of this node is set although nobody asked it to leave: staying down")}
		return
	}
	s.status.add(job{
		changes: []*cibv1.Change{modify("status", []byte(fmt.Sprintf(
			`<node_state id="%s" uname="%s" crm-debug-origin="do_dc_release" expected="down"/>`, esc(s.nodeID), esc(s.node))))},
		done: func(_ te.Version, err error) {
			if err != nil {
				s.updateFailed(err)
			}
			s.leave()
		},
	})
}

// leave ends what this controller still runs; checkLeave ends the process.
func (s *Server) leave() {
	if s.shutdown.stopping {
		return
	}
	s.shutdown.stopping = true
	active := s.memory.Active()
	if len(active) > 0 {
		s.log.Error(fmt.Sprintf("%d resources were active at shutdown", len(active)), "resources", active)
	}
	for _, rsc := range s.memory.Resources() {
		for _, key := range s.memory.Recurring(rsc) {
			_, action, ms, ok := splitKey(key)
			if !ok {
				continue
			}
			s.lrmCalls.add(func(ctx context.Context) {
				if _, err := s.lrm.Cancel(ctx, &lrmv1.CancelRequest{RscId: rsc, Action: action, IntervalMs: ms}); err != nil {
					s.log.Warn("recurring operation cannot be cancelled", "op", key, "err", err)
				}
			})
		}
	}
	s.lrmCalls.add(func(context.Context) { s.post(func() { s.shutdown.cancelled = true }) })
}

// checkLeave ends the loop once nothing is under way here.
func (s *Server) checkLeave() {
	if !s.shutdown.stopping || !s.shutdown.cancelled || s.flushing || s.lrmUp && len(s.runningKeys()) > 0 {
		return
	}
	if len(s.dirty) > 0 && s.accepted.term != "" && s.accepted.asked == "" {
		return
	}
	s.log.Info("Controller leaves the cluster")
	s.ending = true
}
