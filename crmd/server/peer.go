package server

import (
	"cmp"
	"fmt"

	"google.golang.org/protobuf/proto"

	"linuxha/crmd/join"
	"linuxha/crmd/te"
	"linuxha/internal/daemon"
	attrdv1 "linuxha/proto/attrd/v1"
	crmv1 "linuxha/proto/crm/v1"
	heartbeatv1 "linuxha/proto/heartbeat/v1"
)

// send delivers a message to a node's controller; an empty node is everybody.
func (s *Server) send(node string, m *crmv1.PeerMessage) {
	if node == s.node {
		s.local = append(s.local, m)
		return
	}
	payload, err := proto.Marshal(m)
	if err != nil {
		s.log.Error("message not sent", "peer", node, "err", err)
		return
	}
	s.out.Put(node, payload)
}

const stashed = 10000 // messages of a view not yet installed; more means that something is wrong

// message takes a message of another controller. One that was sent in a later
// view than ours waits until we are there.
func (s *Server) message(m *heartbeatv1.Message) {
	if m.FromClient != "crmd" {
		return
	}
	if s.view == nil || m.View > s.view.Number {
		if len(s.stash) >= stashed {
			s.log.Error("message dropped: too many wait for their view", "peer", m.FromNode, "view", m.View)
			return
		}
		s.stash = append(s.stash, m)
		return
	}
	if m.FromNode == s.node {
		// Our own broadcast: acted on when it was sent.
		return
	}
	var pm crmv1.PeerMessage
	if err := proto.Unmarshal(m.Payload, &pm); err != nil {
		s.log.Warn("message cannot be read", "peer", m.FromNode, "err", err)
		return
	}
	s.peerMessage(m.FromNode, &pm)
}

func (s *Server) peerMessage(from string, m *crmv1.PeerMessage) {
	switch k := m.Kind.(type) {
	case *crmv1.PeerMessage_JoinOffer:
		s.offered(from, k.JoinOffer)
	case *crmv1.PeerMessage_JoinRequest:
		s.requested(from, k.JoinRequest)
	case *crmv1.PeerMessage_JoinAck:
		s.acknowledged(from, k.JoinAck)
	case *crmv1.PeerMessage_Order:
		if !s.obeys(from, k.Order.Term) {
			s.refuseOrder(from, k.Order.Term, k.Order.Key)
			return
		}
		s.obey(k.Order)
	case *crmv1.PeerMessage_Leave:
		if !s.obeys(from, k.Leave.Term) {
			s.refuseOrder(from, k.Leave.Term, k.Leave.Key)
			return
		}
		s.orderedToLeave()
	case *crmv1.PeerMessage_Refusal:
		s.refused(from, k.Refusal)
	case *crmv1.PeerMessage_Result:
		s.toldResult(k.Result)
	case *crmv1.PeerMessage_Started:
		st := k.Started
		s.timeline.add(&crmv1.TimelineEvent{AtNs: st.AtNs, Kind: "started", Node: st.Node, Resource: st.Resource, Action: st.OpKey}, s.log)
	case *crmv1.PeerMessage_WantsShutdown:
		s.wantsShutdown(k.WantsShutdown.Node)
	case *crmv1.PeerMessage_ForgetNode:
		s.forgetNode(k.ForgetNode.Node)
	case *crmv1.PeerMessage_Call:
		s.called(from, k.Call)
	case *crmv1.PeerMessage_Answer:
		if c := s.answers[k.Answer.Id]; c != nil {
			delete(s.answers, k.Answer.Id)
			c <- k.Answer
		}
	}
}

// obeys says whether an order comes from the DC that has accepted us.
func (s *Server) obeys(from, term string) bool {
	return s.accepted.asked == "" && s.accepted.term != "" && s.accepted.term == term && s.accepted.dc == from
}

// refuseOrder tells a node that it is not the DC which has accepted us, so that
// it need not wait for an answer.
func (s *Server) refuseOrder(from, term, key string) {
	why := fmt.Sprintf("%s has not joined %s (its DC is %s)", s.node, from, cmp.Or(s.accepted.dc, "not known yet"))
	s.log.Warn("Refusing an order of a node that is not our DC", "peer", from, "key", key, "dc", s.accepted.dc)
	s.send(from, &crmv1.PeerMessage{Kind: &crmv1.PeerMessage_Refusal{Refusal: &crmv1.Refusal{Term: term, Key: key, Reason: why}}})
}

// refused: a node did not take our order. It has to join again, and what it did
// not do is computed anew.
func (s *Server) refused(from string, r *crmv1.Refusal) {
	if !s.el.Local() || r.Term != s.reign.term {
		return // of a reign that is over
	}
	s.log.Warn("Order refused", "peer", from, "key", r.Key, "reason", r.Reason)
	s.stepJoin(join.OrderRefused{Node: from})
	s.stepTE(te.Refused{Key: r.Key, Node: from})
}

// offered: the DC wants us to join. Only the DC of the view in force is heard.
func (s *Server) offered(from string, o *crmv1.JoinOffer) {
	if s.el.DC() != from || s.shutdown.stopping {
		s.log.Info("Ignoring a join offer", "peer", from, "dc", s.el.DC())
		return
	}
	if !join.Compatible(o.FeatureSet, FeatureSet) {
		s.exit = &daemon.ExitCode{Code: 100, Err: fmt.Errorf("Local feature set (%s) is incompatible with DC's (%s): install the same release on all nodes", FeatureSet, o.FeatureSet)}
		return
	}
	if s.accepted.dc != "" && s.accepted.dc != from {
		s.unaccept("another DC offers to join")
	}
	s.accepted = accepted{dc: from, term: o.Term, bornOn: s.bornOn(from), feature: o.FeatureSet, asked: o.Term}
	s.pending = o
	if from != s.node {
		s.tellPrimary()
	}
}

func (s *Server) requested(from string, r *crmv1.JoinRequest) {
	if !s.el.Local() || r.Term != s.reign.term {
		return
	}
	s.reign.lrm[from] = r.Lrm
	s.reign.runs[from] = r.Running
	s.stepJoin(join.Requested{Node: from, Term: r.Term, JoinID: r.JoinId, FeatureSet: r.FeatureSet, ShuttingDown: r.ShuttingDown})
	if r.ShuttingDown {
		s.leaving[from] = s.bornOn(from)
	}
}

func (s *Server) acknowledged(from string, a *crmv1.JoinAck) {
	if s.accepted.dc != from || s.accepted.term != a.Term {
		return
	}
	if a.Refused {
		s.exit = &daemon.ExitCode{Code: 100, Err: fmt.Errorf("Shutting down because cluster join with leader %s failed: %s", from, a.Reason)}
		return
	}
	s.accepted.asked = ""
	attrs := []*attrdv1.Attribute{{Name: "#feature-set", Value: FeatureSet}}
	if !s.shutdown.asked {
		attrs = append(attrs, &attrdv1.Attribute{Name: "shutdown", Value: ""}) // of a former process
	}
	s.updateAttributes(attrs, nil)
	if s.shutdown.asked {
		s.requestShutdown()
	}
}

// toldResult takes a direct answer of a node.
func (s *Server) toldResult(r *crmv1.ActionResult) {
	if !s.el.Local() {
		return
	}
	if r.Task == "lrm_delete" || r.Task == "clear_failcount" {
		s.stepTE(te.Done{Key: r.Key, OK: r.Rc == 0, Reason: r.ExitReason})
		return
	}
	ev := te.Result{
		Node: r.Node, Resource: r.Resource, OpKey: r.OpKey, Task: r.Task, IntervalMS: r.IntervalMs, Key: r.Key,
		CallID: r.CallId, RC: int(r.Rc), Status: int(r.OpStatus), Reason: r.ExitReason, Direct: true,
	}
	s.timelineResult(ev)
	s.stepTE(ev)
}
