package server

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/grpc"

	"linuxha/cib/cibdoc"
	"linuxha/crmd/history"
	cibv1 "linuxha/proto/cib/v1"
	crmv1 "linuxha/proto/crm/v1"
	lrmv1 "linuxha/proto/lrm/v1"
)

// callLRM makes the calls to lrmd one after the other, so that operations are
// queued in the order in which they were ordered. The calls return at once.
func (s *Server) callLRM(ctx context.Context) {
	for {
		calls := s.lrmCalls.take(ctx, 1)
		if len(calls) == 0 {
			return
		}
		calls[0](ctx)
	}
}

// watchLRM follows lrmd's results for ever.
func (s *Server) watchLRM(ctx context.Context) {
	for ctx.Err() == nil {
		err := s.watchLRMOnce(ctx)
		if ctx.Err() != nil {
			return
		}
		s.log.Warn("connection to lrmd lost", "err", err)
		s.post(func() { s.lrmUp = false })
		sleep(ctx, 20*time.Millisecond)
	}
}

func (s *Server) watchLRMOnce(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := s.lrm.Watch(ctx, &lrmv1.WatchRequest{}, grpc.WaitForReady(true))
	if err != nil {
		return err
	}
	hello, err := stream.Recv()
	if err != nil {
		return err
	}
	list, err := s.lrm.List(ctx, &lrmv1.ListRequest{})
	if err != nil {
		return err
	}
	s.post(func() { s.lrmConnected(hello.Incarnation, list) })
	for {
		ev, err := stream.Recv()
		if err != nil {
			return err
		}
		s.post(func() { s.lrmEvent(ev) })
	}
}

func (s *Server) lrmConnected(incarnation string, list *lrmv1.ListResponse) {
	before := s.incarnation
	s.lrmUp, s.incarnation = true, incarnation
	s.lastCall = max(s.lastCall, list.LastCallId)
	switch {
	case before == "":
		s.ready()
	case before != incarnation:
		s.lrmRestarted()
	default: // only the stream broke: catch up on results
		for _, r := range list.Resources {
			for _, o := range r.Operations {
				if o.Last != nil && s.running[o.Last.UserData] != nil {
					s.lrmEvent(o.Last)
				}
			}
		}
	}
}

// lrmRestarted: a new lrmd knows nothing. Our history goes, and the DC probes
// what really runs (crm 7.4); the controller itself stays.
func (s *Server) lrmRestarted() {
	s.log.Warn("lrmd was restarted, all resources here will be probed again")
	for _, k := range slices.Sorted(maps.Keys(s.running)) {
		run := s.running[k]
		if run.op.IntervalMS == 0 || !run.told {
			s.refuse(run, "lrmd was restarted while the operation was under way")
		}
	}
	clear(s.running)
	clear(s.registered)
	s.memory.ForgetAll()
	s.removeFromCIB("//node_state[@uname=" + cibdoc.Quote(s.node) + "]/lrm/lrm_resources/lrm_resource")
}

// restore rebuilds our memory of the history when this process is new but
// lrmd is not: from the CIB, as far as lrmd bears it out. What is in doubt is
// left out, and gets probed.
func (s *Server) restore() {
	if s.restored || s.restoring {
		return
	}
	s.restoring = true
	go func() {
		for s.ctx.Err() == nil {
			list, err := s.lrm.List(s.ctx, &lrmv1.ListRequest{}, grpc.WaitForReady(true))
			var resp *cibv1.QueryResponse
			if err == nil {
				resp, err = s.cib.Query(s.ctx, &cibv1.QueryRequest{Section: "status"}, grpc.WaitForReady(true))
			}
			if err == nil {
				s.post(func() { s.restoreFrom(list, resp) })
				return
			}
			s.log.Warn("own history cannot be read, trying again", "err", err)
			sleep(s.ctx, 50*time.Millisecond)
		}
	}()
}

func (s *Server) restoreFrom(list *lrmv1.ListResponse, resp *cibv1.QueryResponse) {
	s.restored, s.restoring = true, false
	agents := map[string]history.Resource{}
	ops := map[string]*lrmv1.Operation{}
	highest := int64(0)
	for _, r := range list.Resources {
		agents[r.RscId] = history.Resource{ID: r.RscId, Class: r.Agent.GetClass(), Provider: r.Agent.GetProvider(), Type: r.Agent.GetType()}
		s.registered[r.RscId] = agents[r.RscId]
		for _, o := range r.Operations {
			ops[history.Key(r.RscId, o.Action, o.IntervalMs)] = o
			highest = max(highest, o.CallId)
		}
	}
	if len(agents) == 0 || resp.Rc != 0 {
		return
	}
	status, err := cibdoc.ParseNode(resp.Xml)
	if err != nil {
		s.log.Error("own history cannot be read, everything will be probed", "err", err)
		return
	}
	var updates []history.Update
	var under []*operation
	for _, state := range cibdoc.Children(status, "node_state") {
		if state.Attr("uname") != s.node {
			continue
		}
		rs := child(child(state, "lrm"), "lrm_resources")
		if rs == nil {
			continue
		}
		for r := range rs.Elements() {
			u, runs, high, sure := s.recall(r, agents, ops)
			highest = max(highest, high)
			if sure {
				updates = append(updates, u)
				under = append(under, runs...)
			}
		}
	}
	if highest < list.LastCallId {
		s.log.Warn("lrmd ran operations that the history does not show, everything will be probed", "last_call", list.LastCallId, "known", highest)
		return
	}
	s.memory.Restore(updates)
	for _, run := range under {
		s.running[run.op.Key] = run
	}
	s.log.Info("History restored", "resources", len(updates), "under_way", len(under))
	for _, o := range ops {
		if o.Last != nil && o.IntervalMs > 0 {
			s.recurringSince(o.Last)
		}
	}
}

// recall takes one resource of our own history up; sure is false if lrmd does
// not know it, or if it is not known how an operation ended.
func (s *Server) recall(t *cibdoc.Node, agents map[string]history.Resource, ops map[string]*lrmv1.Operation) (u history.Update, runs []*operation, highest int64, sure bool) {
	id := t.ID()
	res, ok := agents[id]
	u.Resource, sure = res, ok
	for _, e := range cibdoc.Children(t, "lrm_rsc_op") {
		rec := history.Record{ID: e.ID()}
		for _, a := range e.Attrs {
			if a.Name != "id" {
				rec.Attrs = append(rec.Attrs, history.Attr(a))
			}
		}
		highest = max(highest, int64(atoi(e.Attr("call-id"), 0)))
		key := e.Attr("operation_key")
		o := ops[key]
		switch {
		case e.Attr("op-status") == "-1" && o == nil:
			sure = false
		case e.Attr("op-status") == "-1":
			runs = append(runs, &operation{action: o.Action, opKey: key, op: history.Op{
				Resource: res, Task: e.Attr("operation"),
				IntervalMS: o.IntervalMs, Key: e.Attr("transition-key"), FeatureSet: e.Attr("crm_feature_set"), OnNode: s.node,
			}})
		case e.Attr("interval") != "0" && rec.ID == key && o == nil:
			continue // not recurring any more
		}
		u.Records = append(u.Records, rec)
	}
	return u, runs, highest, sure
}

// recurringSince takes a recurring operation's latest result up, if it fell
// while we were away.
func (s *Server) recurringSince(last *lrmv1.Event) {
	rec, ok := s.memory.Record(last.RscId, history.Key(last.RscId, last.Action, last.IntervalMs))
	if ok && (rec.Get("rc-code") != fmt.Sprint(last.Rc) || rec.Get("op-status") != fmt.Sprint(last.OpStatus)) {
		s.lrmEvent(last)
	}
}

// answerOffer answers the DC's offer once our last update is through, so that
// no older one can come behind the history that we send (crm 3.5).
func (s *Server) answerOffer() {
	o := s.pending
	if o == nil || s.flushing || !s.lrmUp {
		return
	}
	if !s.restored {
		s.restore()
		return
	}
	s.pending = nil
	s.dirty = nil
	s.send(s.accepted.dc, &crmv1.PeerMessage{Kind: &crmv1.PeerMessage_JoinRequest{JoinRequest: &crmv1.JoinRequest{
		Term: o.Term, JoinId: o.JoinId, FeatureSet: FeatureSet, Lrm: s.memory.LRM(s.nodeID),
		ShuttingDown: s.shutdown.asked, Running: s.runningKeys(),
	}}})
}
