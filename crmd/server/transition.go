package server

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"

	"linuxha/cib/cibdoc"
	"linuxha/crmd/history"
	"linuxha/crmd/join"
	"linuxha/crmd/te"
	"linuxha/internal/graph"
	attrdv1 "linuxha/proto/attrd/v1"
	cibv1 "linuxha/proto/cib/v1"
	crmv1 "linuxha/proto/crm/v1"
)

// stepTE feeds the transition engine and does what it wants.
func (s *Server) stepTE(ev te.Event) {
	if s.te == nil {
		return
	}
	out := s.te.Step(s.now(), ev)
	s.wakes[2] = out.WakeAt
	acted := false
	for _, e := range out.Effects {
		switch e := e.(type) {
		case te.Compute:
			s.compute(e)
		case te.Initiate:
			acted = true
			s.initiate(e)
		case te.CountFailure:
			s.countFailure(e)
		case te.RecordLost:
			s.recordLost(e.Flight)
		case te.Idle:
			acted = true
			s.timeline.add(&crmv1.TimelineEvent{AtNs: s.now().UnixNano(), Kind: "idle", Node: s.node, Text: fmt.Sprintf("transition %d", e.Graph)}, s.log)
		case te.ShutdownGranted:
			s.shutdownGranted()
		case te.Note:
			s.note(e)
		}
	}
	if acted && s.reign.joined && !s.reign.acted {
		s.reign.acted = true
		s.publishClaim()
	}
}

func (s *Server) note(n te.Note) {
	switch n.Level {
	case te.Debug:
		s.log.Debug(n.Text)
	case te.Info, te.Notice:
		s.log.Info(n.Text)
	case te.Warning:
		s.log.Warn(n.Text)
	case te.Error:
		s.log.Error(n.Text)
	}
}

// initiate starts an action of the graph (crm 5.4).
func (s *Server) initiate(e te.Initiate) {
	a := e.Action
	wait := ""
	if e.NoWait {
		wait = " without waiting"
	}
	switch {
	case a.Kind == graph.Pseudo:
		s.log.Debug("Pseudo action", "action", a.ID, "key", a.Key)
	case a.IsFencing():
		s.fence(e)
	case a.Operation == "do_shutdown":
		s.log.Info(fmt.Sprintf("Handling controller request '%d' (%s on %s)%s%s", a.ID, a.Operation, a.Node, locally(a.Node == s.node), wait))
		s.leaving[a.Node] = s.bornOn(a.Node)
		s.stepJoin(join.Leaving{Node: a.Node})
		if a.Node != s.node {
			s.send(a.Node, &crmv1.PeerMessage{Kind: &crmv1.PeerMessage_Leave{Leave: &crmv1.Leave{Term: s.reign.term, Key: e.Key}}})
		}
	case a.Kind == graph.CrmEvent && !slices.Contains(s.reign.ready, a.Executor()):
		s.cleanUpAbsent(e)
	default:
		word := a.Operation
		if a.Kind == graph.CrmEvent {
			s.log.Info(fmt.Sprintf("Handling controller request '%d' (%s on %s)%s%s", a.ID, a.Operation, a.Node, locally(a.Executor() == s.node), wait))
		} else {
			if word == "monitor" && a.Interval() == 0 {
				word = "probe"
			}
			s.log.Info(fmt.Sprintf("Initiating %s operation %s %son %s%s | action %d", word, a.Key, strings.TrimPrefix(locally(a.Executor() == s.node)+" ", " "), a.Node, wait, a.ID))
		}
		s.timeline.add(&crmv1.TimelineEvent{AtNs: s.now().UnixNano(), Kind: "initiated", Node: a.Node, Resource: a.RscID(), Action: a.Key}, s.log)
		s.send(a.Executor(), &crmv1.PeerMessage{Kind: &crmv1.PeerMessage_Order{Order: &crmv1.Order{
			Term: s.reign.term, Key: e.Key, FeatureSet: FeatureSet, Graph: int32(e.Graph), Action: spec(a),
		}}})
	}
}

func locally(yes bool) string {
	if yes {
		return " locally"
	}
	return ""
}

func spec(a *graph.Action) *crmv1.ActionSpec {
	sp := &crmv1.ActionSpec{
		Id: int32(a.ID), Kind: a.Kind.String(), Operation: a.Operation, Key: a.Key, Node: a.Node,
		NodeId: a.NodeID, Router: a.Router, Attributes: a.Attributes,
	}
	if r := a.Resource; r != nil {
		sp.RscId, sp.RscLongId, sp.RscClass, sp.RscProvider, sp.RscType = r.ID, r.LongID, r.Class, r.Provider, r.Type
	}
	return sp
}

// cleanUpAbsent does a clean-up for a node that takes no orders: the DC's own
// deletion in the CIB is all there is to do.
func (s *Server) cleanUpAbsent(e te.Initiate) {
	a := e.Action
	rsc := a.RscID()
	at := "//node_state[@uname=" + cibdoc.Quote(a.Node) + "]/lrm/lrm_resources/lrm_resource[@id=" + cibdoc.Quote(rsc) + "]"
	if a.Operation == "clear_failcount" {
		s.clearFailures(rsc, a.Node)
		at += "/lrm_rsc_op[@id=" + cibdoc.Quote(rsc+"_last_failure_0") + "]"
	}
	s.status.add(job{reign: s.reign.ctx, changes: []*cibv1.Change{remove(at)}, done: func(_ te.Version, err error) {
		s.stepTE(te.Done{Key: e.Key, OK: err == nil, Reason: errText(err)})
	}})
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func (s *Server) clearFailures(rsc, node string) {
	go func() {
		ctx, cancel := context.WithTimeout(s.ctx, 10*time.Second)
		defer cancel()
		resp, err := s.attrd.ClearFailures(ctx, &attrdv1.ClearFailuresRequest{Resource: rsc, Node: node, AnyOperation: true}, grpc.WaitForReady(true))
		if err != nil || resp.Rc != 0 {
			s.log.Warn("fail counts cannot be cleared", "resource", rsc, "node", node, "err", err, "reason", resp.GetError())
		}
	}()
}

// countFailure raises a fail count; the transition engine waits for it, so
// that one computation sees result and count (crm 9.2).
func (s *Server) countFailure(e te.CountFailure) {
	suffix := fmt.Sprintf("%s#%s_%d", e.Resource, e.Task, e.IntervalMS)
	attrs := []*attrdv1.Attribute{{Name: "last-failure-" + suffix, Value: fmt.Sprint(s.now().Unix()), Node: e.Node}}
	if !e.OnlyLast {
		value := "value++"
		if e.Infinity {
			value = "INFINITY"
		}
		attrs = append(attrs, &attrdv1.Attribute{Name: "fail-count-" + suffix, Value: value, Node: e.Node})
	}
	s.log.Info(fmt.Sprintf("Updating failcount for %s on %s after failed %s", e.Resource, e.Node, e.Task))
	s.updateAttributes(attrs, func() { s.stepTE(te.Counted{}) })
}

// recordLost writes the record of an action that nobody answered (crm 4.11).
func (s *Server) recordLost(f te.Flight) {
	a := f.Action
	if a.Resource == nil || !history.Recordable(a.Operation) || a.NodeID == "" {
		return
	}
	op := opOf(a.Resource.ID, spec(a), f.Key, FeatureSet, a.Executor())
	op.CallID, op.RC, op.Status, op.RCChange = -1, 1, history.StatusTimeout, s.now().Unix()
	op.Reason = "Controller on " + a.Executor() + " did not return result in time"
	if a.Executor() == s.node {
		op.Reason = "Local executor did not return result in time"
	}
	xml := history.NodeState(a.NodeID, a.Node, "do_update_resource", []history.Update{{Resource: op.Resource, Records: op.Records("do_update_resource")}})
	s.status.add(job{reign: s.reign.ctx, changes: []*cibv1.Change{modify("status", xml)}})
}
