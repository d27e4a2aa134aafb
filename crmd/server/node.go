package server

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"

	"linuxha/cib/cibdoc"
	"linuxha/crmd/history"
	"linuxha/crmd/te"
	cibv1 "linuxha/proto/cib/v1"
	crmv1 "linuxha/proto/crm/v1"
	lrmv1 "linuxha/proto/lrm/v1"
)

// operation is one that this node was ordered to run.
type operation struct {
	op     history.Op
	action string // what lrmd knows it as
	opKey  string // as the graph names it
	direct bool   // leaves no record: the DC is told
	told   bool   // a result is recorded: nobody waits for the first one
}

// histItem is a change of our own history for the CIB: a record or a removal.
type histItem struct {
	resource history.Resource
	record   *history.Record
	remove   string // XPath
}

// opOf describes an order as history has it.
func opOf(rsc string, a *crmv1.ActionSpec, key, featureSet, onNode string) history.Op {
	ms, _ := strconv.ParseInt(a.Attributes["CRM_meta_interval"], 10, 64) // absent: 0
	return history.Op{
		Resource: history.Resource{ID: rsc, Class: a.RscClass, Provider: a.RscProvider, Type: a.RscType, Container: a.Attributes["CRM_meta_container"]},
		Task:     a.Operation, IntervalMS: ms, Key: key, Params: a.Attributes, FeatureSet: featureSet, OnNode: onNode,
	}
}

// obey carries out an order of the DC (crm 4.8).
func (s *Server) obey(o *crmv1.Order) {
	a := o.Action
	s.log.Debug("Order", "key", o.Key, "operation", a.Operation, "resource", a.RscId)
	switch {
	case a.Operation == "clear_failcount":
		s.forgetFailure(o)
		return
	case a.Operation == "lrm_delete" || a.Operation == "delete":
		s.forgetResource(a.RscId, func(err error) {
			s.tellResult(&crmv1.ActionResult{Key: o.Key, Node: s.node, Resource: a.RscId, OpKey: a.Key, Task: a.Operation, Rc: failed(err), ExitReason: errText(err)})
		})
		return
	case a.Operation == "cancel":
		s.cancelOrdered(o)
		return
	}
	op := opOf(a.RscId, a, o.Key, o.FeatureSet, s.node)
	run := &operation{op: op, action: a.Operation, opKey: a.Key, direct: !history.Recordable(a.Operation)}
	if a.Operation == "start" && s.shutdown.asked {
		s.refuse(run, "Not attempting start due to shutdown in progress")
		return
	}
	if !s.lrmUp {
		s.refuse(run, "Controller cannot attempt actions at this time")
		return
	}
	task := a.Operation
	if task == "monitor" && op.IntervalMS == 0 {
		task = "probe"
	}
	s.log.Info(fmt.Sprintf("Requesting local execution of %s operation for %s on %s | transition_key=%s op_key=%s", task, a.RscId, s.node, o.Key, a.Key))
	if a.Operation == "stop" {
		op.Params = s.memory.StopParams(a.RscId, a.Attributes)
		run.op.Params = op.Params
	}
	s.needMetadata(op)
	s.supersede(run)
	s.running[o.Key] = run
	if !run.direct && a.Attributes["CRM_meta_record_pending"] != "false" {
		s.record(op.Resource, s.memory.Add(op.Pending(s.now().Unix()), "do_update_resource"))
	}
	s.submit(run)
}

func failed(err error) int32 {
	if err != nil {
		return 1
	}
	return 0
}

// submit hands an operation to lrmd.
func (s *Server) submit(run *operation) {
	op := run.op
	ms := func(name string) int64 {
		n, _ := strconv.ParseInt(op.Params["CRM_meta_"+name], 10, 64) // absent: 0
		return n
	}
	req := &lrmv1.ExecRequest{
		RscId: op.Resource.ID, Action: run.action, IntervalMs: op.IntervalMS, TimeoutMs: ms("timeout"),
		StartDelayMs: ms("start_delay"), Params: op.Params, UserData: op.Key, OnChangeOnly: op.IntervalMS > 0,
	}
	if req.TimeoutMs == 0 {
		req.TimeoutMs = op.IntervalMS
	}
	register := s.registered[op.Resource.ID] != op.Resource
	s.registered[op.Resource.ID] = op.Resource
	var cancel []string
	if op.IntervalMS == 0 && run.action != "monitor" && run.action != "notify" && run.action != "stop" { // a stop cancels by itself (execution 10.4)
		cancel = s.memory.Recurring(op.Resource.ID)
	}
	s.lrmCalls.add(func(ctx context.Context) {
		var err error
		if register {
			_, err = s.lrm.Register(ctx, &lrmv1.RegisterRequest{RscId: op.Resource.ID, Agent: agentOf(op.Resource)})
		}
		for _, key := range cancel {
			if _, action, ms, ok := splitKey(key); ok && err == nil {
				_, err = s.lrm.Cancel(ctx, &lrmv1.CancelRequest{RscId: op.Resource.ID, Action: action, IntervalMs: ms})
			}
		}
		if err == nil {
			_, err = s.lrm.Exec(ctx, req)
		}
		if err != nil && ctx.Err() == nil && !unavailable(err) { // a dead lrmd answers for all at once, when it is back
			s.post(func() { s.cannotRun(op.Key, err) })
		}
	})
}

func agentOf(r history.Resource) *lrmv1.Agent {
	return &lrmv1.Agent{Class: r.Class, Provider: r.Provider, Type: r.Type}
}

// splitKey takes RSC_TASK_INTERVAL apart, from the right (crm 4.2).
func splitKey(key string) (rsc, task string, ms int64, ok bool) {
	i := strings.LastIndexByte(key, '_')
	if i < 0 {
		return "", "", 0, false
	}
	ms, err := strconv.ParseInt(key[i+1:], 10, 64)
	if err != nil {
		return "", "", 0, false
	}
	for _, whole := range []string{"_migrate_to", "_migrate_from"} {
		if r, found := strings.CutSuffix(key[:i], whole); found {
			return r, whole[1:], ms, true
		}
	}
	j := strings.LastIndexByte(key[:i], '_')
	if j < 0 {
		return "", "", 0, false
	}
	return key[:j], key[j+1 : i], ms, true
}

// cannotRun makes up the result of an operation that lrmd did not take.
func (s *Server) cannotRun(key string, err error) {
	run := s.running[key]
	if run == nil {
		return
	}
	delete(s.registered, run.op.Resource.ID)
	run.op.RC, run.op.Status, run.op.Reason = 6, history.StatusError, "Invalid resource definition"
	if !strings.Contains(err.Error(), "InvalidArgument") {
		run.op.RC, run.op.Status, run.op.Reason = 1, history.StatusNotConnected, err.Error()
	}
	s.lastCall++
	run.op.CallID, run.op.RCChange = s.lastCall, s.now().Unix()
	s.finished(run)
}

// refuse tells the DC that an operation is not even tried; nothing is recorded
// and no failure counted (crm 4.8).
func (s *Server) refuse(run *operation, why string) {
	s.log.Info(why, "op", run.opKey)
	s.tellResult(&crmv1.ActionResult{
		Key: run.op.Key, Node: s.node, Resource: run.op.Resource.ID, OpKey: run.opKey, Task: run.op.Task,
		IntervalMs: run.op.IntervalMS, Rc: 1, OpStatus: history.StatusNotNow, ExitReason: why,
	})
}

func (s *Server) tellResult(r *crmv1.ActionResult) {
	if s.accepted.term == "" {
		return // the next DC learns it from our join
	}
	s.send(s.accepted.dc, &crmv1.PeerMessage{Kind: &crmv1.PeerMessage_Result{Result: r}})
}

// cancelOrdered ends a recurring operation (crm 4.8.5).
func (s *Server) cancelOrdered(o *crmv1.Order) {
	a := o.Action
	action := a.Attributes["CRM_meta_operation"]
	ms, _ := strconv.ParseInt(a.Attributes["CRM_meta_interval"], 10, 64) // absent: 0
	key := history.Key(a.RscId, action, ms)
	s.lrmCalls.add(func(ctx context.Context) {
		_, err := s.lrm.Cancel(ctx, &lrmv1.CancelRequest{RscId: a.RscId, Action: action, IntervalMs: ms})
		s.post(func() {
			if err != nil {
				s.log.Warn("recurring operation cannot be cancelled", "op", key, "err", err)
			}
			s.forgetRecurring(a.RscId, key)
			s.tellResult(&crmv1.ActionResult{
				Key: o.Key, Node: s.node, Resource: a.RscId, OpKey: a.Key, Task: "cancel",
				IntervalMs: ms, OpStatus: history.StatusCancelled,
			})
		})
	})
}

func (s *Server) forgetRecurring(rsc, key string) {
	res, ok := s.memory.Resource(rsc)
	if !ok {
		return
	}
	for k, run := range s.running {
		if run.opKey == key && run.op.IntervalMS > 0 {
			delete(s.running, k)
			s.tellCancelled(run)
		}
	}
	_, task, ms, _ := splitKey(key)
	s.memory.Add(history.Op{Resource: res, Task: task, IntervalMS: ms, Status: history.StatusCancelled}, "")
	s.removeFromCIB(s.ownResource(rsc) + "/lrm_rsc_op[@id=" + cibdoc.Quote(key) + "]")
}

// supersede ends an earlier order of the same recurring operation: lrmd goes on
// with it under the new key, and never again speaks of the old one.
func (s *Server) supersede(by *operation) {
	for k, run := range s.running {
		if by.op.IntervalMS > 0 && run.opKey == by.opKey && k != by.op.Key {
			delete(s.running, k)
			s.tellCancelled(run)
		}
	}
}

// tellCancelled tells the DC of a recurring operation that was cancelled before
// its first result, for which the DC would wait until it takes it for lost.
func (s *Server) tellCancelled(run *operation) {
	if run.told || run.op.IntervalMS == 0 {
		return
	}
	s.tellResult(&crmv1.ActionResult{
		Key: run.op.Key, Node: s.node, Resource: run.op.Resource.ID, OpKey: run.opKey, Task: run.op.Task,
		IntervalMs: run.op.IntervalMS, CallId: run.op.CallID, Rc: int32(run.op.TargetRC()), OpStatus: history.StatusCancelled,
	})
}

// cancelled takes a recurring operation out that a stop, or an order, ended.
// What is left of one without a result is the record that it is pending.
func (s *Server) cancelled(run *operation) {
	delete(s.running, run.op.Key)
	if run.told {
		return // who cancelled it cleans up
	}
	s.tellCancelled(run)
	if r, ok := s.memory.Record(run.op.Resource.ID, run.opKey); ok && r.Get("transition-key") == run.op.Key {
		op := run.op
		op.Status = history.StatusCancelled
		s.memory.Add(op, "")
	}
	s.removeFromCIB(s.ownResource(run.op.Resource.ID) + "/lrm_rsc_op[@id=" + cibdoc.Quote(run.opKey) + " and @transition-key=" + cibdoc.Quote(run.op.Key) + "]")
}

func (s *Server) ownResource(rsc string) string {
	return "//node_state[@uname=" + cibdoc.Quote(s.node) + "]/lrm/lrm_resources/lrm_resource[@id=" + cibdoc.Quote(rsc) + "]"
}

// forgetFailure is the node's part of clear_failcount (crm 4.10).
func (s *Server) forgetFailure(o *crmv1.Order) {
	a := o.Action
	s.clearFailures(a.RscId, a.Node)
	if s.memory.ForgetFailure(a.RscId, "") {
		s.removeFromCIB(s.ownResource(a.RscId) + "/lrm_rsc_op[@id=" + cibdoc.Quote(a.RscId+"_last_failure_0") + "]")
	}
	s.tellResult(&crmv1.ActionResult{Key: o.Key, Node: s.node, Resource: a.RscId, OpKey: a.Key, Task: a.Operation})
}

// forgetResource makes lrmd, this node and the CIB forget a resource's history
// (crm 4.10). done is called in the loop.
func (s *Server) forgetResource(rsc string, done func(error)) {
	s.lrmCalls.add(func(ctx context.Context) {
		go func() { // it waits for a running operation, others need not
			_, err := s.lrm.Unregister(ctx, &lrmv1.UnregisterRequest{RscId: rsc})
			s.post(func() {
				if err == nil {
					delete(s.registered, rsc)
					for k, run := range s.running {
						if run.op.Resource.ID == rsc {
							delete(s.running, k)
							s.tellCancelled(run)
						}
					}
					s.memory.Forget(rsc)
					s.removeFromCIB(s.ownResource(rsc))
				}
				done(err)
			})
		}()
	})
}

// lrmEvent takes a result or a start from lrmd.
func (s *Server) lrmEvent(ev *lrmv1.Event) {
	s.lastCall = max(s.lastCall, ev.CallId)
	run := s.running[ev.UserData]
	if run == nil {
		run = s.adopt(ev)
	}
	if run == nil {
		return // not ordered by a controller, or forgotten meanwhile
	}
	switch ev.Kind {
	case lrmv1.Event_KIND_STARTED:
		if run.op.IntervalMS == 0 || run.op.CallID == 0 {
			s.startedHere(run, ev.StartedAtNs)
		}
		run.op.CallID = ev.CallId
	case lrmv1.Event_KIND_DONE:
		s.done(run, ev)
	}
}

// adopt makes an operation of an event that a former process of ours ordered.
func (s *Server) adopt(ev *lrmv1.Event) *operation {
	res, ok := s.registered[ev.RscId]
	if _, _, _, _, parses := te.ParseKey(ev.UserData); !ok || !parses {
		return nil
	}
	fs := ev.Params["crm_feature_set"]
	if fs == "" {
		fs = FeatureSet
	}
	run := &operation{
		action: ev.Action, opKey: history.Key(ev.RscId, ev.Action, ev.IntervalMs), direct: !history.Recordable(ev.Action),
		op: history.Op{Resource: res, Task: ev.Action, IntervalMS: ev.IntervalMs, Key: ev.UserData, Params: ev.Params, FeatureSet: fs, OnNode: s.node},
	}
	if ev.Kind == lrmv1.Event_KIND_STARTED {
		s.running[ev.UserData] = run
	}
	return run
}

// done takes a result of lrmd.
func (s *Server) done(run *operation, ev *lrmv1.Event) {
	if ev.Removed && ev.OpStatus == history.StatusCancelled {
		ended := run.op
		ended.RC, ended.Status, ended.ExecMS = int(ev.Rc), history.StatusCancelled, ev.ExecTimeMs
		s.alertResult(ended)
		s.cancelled(run)
		return
	}
	o := &run.op
	o.CallID, o.RC, o.Status, o.Reason = ev.CallId, int(ev.Rc), int(ev.OpStatus), ev.ExitReason
	o.ExecMS, o.QueueMS, o.RCChange = ev.ExecTimeMs, ev.QueueTimeMs, ev.LastRunUnix
	if o.IntervalMS > 0 {
		o.RCChange = ev.LastRcChangeUnix
	}
	if o.RCChange == 0 {
		o.RCChange = s.now().Unix()
	}
	if m := s.needMetadata(*o); m != nil && !m.here {
		m.waiting = append(m.waiting, func() { s.finished(run) })
		return
	}
	s.finished(run)
}

// finished records a result, or tells the DC where it leaves no record.
func (s *Server) finished(run *operation) {
	o := run.op
	run.told = true
	if o.IntervalMS == 0 {
		delete(s.running, o.Key)
	}
	s.logResult(run)
	s.alertResult(o)
	if run.direct {
		r := &crmv1.ActionResult{
			Key: o.Key, Node: s.node, Resource: o.Resource.ID, OpKey: run.opKey, Task: o.Task, IntervalMs: o.IntervalMS,
			CallId: o.CallID, Rc: int32(o.RC), OpStatus: int32(o.Status), ExitReason: o.Reason,
		}
		if o.Task == "notify" { // a failed notification counts as success (crm 4.8)
			r.Rc, r.OpStatus = int32(o.TargetRC()), history.StatusDone
		}
		s.tellResult(r)
		return
	}
	if m := s.metadata[agentKey(o.Resource)]; m != nil {
		o.Meta = m.meta
	}
	s.record(o.Resource, s.memory.Add(o, "do_update_resource"))
	if o.Status == history.StatusCancelled {
		s.removeFromCIB(s.ownResource(o.Resource.ID) + "/lrm_rsc_op[@id=" + cibdoc.Quote(run.opKey) + "]")
	}
}

func (s *Server) logResult(run *operation) {
	o := run.op
	task := o.Task
	if task == "monitor" && o.IntervalMS == 0 {
		task = "probe"
	}
	head := fmt.Sprintf("Result of %s operation for %s on %s: ", task, o.Resource.ID, s.node)
	reason := ""
	if o.Reason != "" {
		reason = " (" + o.Reason + ")"
	}
	tail := fmt.Sprintf(" | graph action call=%d key=%s", o.CallID, run.opKey)
	switch o.Status {
	case history.StatusDone:
		s.log.Info(head + te.RCText(o.RC) + reason + tail + " rc=" + strconv.Itoa(o.RC))
	case history.StatusCancelled:
		s.log.Info(head + "Cancelled" + tail)
	case history.StatusTimeout:
		ms, _ := strconv.ParseInt(o.Params["CRM_meta_timeout"], 10, 64) // absent: 0
		s.log.Error(head + "Timed Out after " + (time.Duration(ms) * time.Millisecond).String() + reason + tail)
	default:
		s.log.Error(head + statusText(o.Status) + reason + tail)
	}
}

func statusText(status int) string {
	texts := map[int]string{
		-1: "pending", 3: "NOT SUPPORTED", 4: "Error", 5: "Hard error", 6: "Fatal error", 7: "Not installed",
		8: "Internal communication failure", 9: "Cannot execute now", 10: "No fence device", 11: "CIB secrets unavailable",
	}
	if t, ok := texts[status]; ok {
		return t
	}
	return "status " + strconv.Itoa(status)
}

// startedHere notes that an agent runs, and lets the DC know.
func (s *Server) startedHere(run *operation, at int64) {
	e := &crmv1.TimelineEvent{AtNs: at, Kind: "started", Node: s.node, Resource: run.op.Resource.ID, Action: run.opKey}
	s.timeline.add(e, s.log)
	if s.accepted.term != "" && s.accepted.dc != s.node {
		s.send(s.accepted.dc, &crmv1.PeerMessage{Kind: &crmv1.PeerMessage_Started{Started: &crmv1.ActionStarted{
			Key: run.op.Key, Node: s.node, Resource: e.Resource, OpKey: e.Action, AtNs: at,
		}}})
	}
}

// record queues records for the CIB; one that was not sent yet is replaced.
func (s *Server) record(res history.Resource, recs []history.Record) {
	for _, r := range recs {
		replaced := false
		for i := len(s.dirty) - 1; i >= 0 && s.dirty[i].record != nil; i-- {
			if d := &s.dirty[i]; d.resource.ID == res.ID && d.record.ID == r.ID {
				d.resource, d.record = res, &r
				replaced = true
				break
			}
		}
		if !replaced {
			s.dirty = append(s.dirty, histItem{resource: res, record: &r})
		}
	}
}

func (s *Server) removeFromCIB(xpath string) { s.dirty = append(s.dirty, histItem{remove: xpath}) }

// flush writes our history to the CIB, all that gathered as one update. While
// no DC has accepted us nothing is written: the join will carry everything.
func (s *Server) flush() {
	s.answerOffer()
	if s.flushing || len(s.dirty) == 0 || s.accepted.term == "" || s.accepted.asked != "" {
		return
	}
	var changes []*cibv1.Change
	var updates []history.Update
	close := func() {
		if len(updates) > 0 {
			changes = append(changes, modify("status", history.NodeState(s.nodeID, s.node, "do_update_resource", updates)))
			updates = nil
		}
	}
	for _, d := range s.dirty {
		if d.record == nil {
			close()
			changes = append(changes, remove(d.remove))
			continue
		}
		i := slices.IndexFunc(updates, func(u history.Update) bool { return u.Resource == d.resource })
		if i < 0 {
			i = len(updates)
			updates = append(updates, history.Update{Resource: d.resource})
		}
		updates[i].Records = append(updates[i].Records, *d.record)
	}
	close()
	s.dirty = nil
	s.flushing = true
	s.status.add(job{changes: changes, done: func(_ te.Version, err error) {
		s.flushing = false
		if err != nil {
			s.updateFailed(err) // our memory has it: the next join brings it
		}
	}})
}

// metadata is one agent's, or the wait for it.
type metadata struct {
	here    bool
	meta    *history.Metadata
	waiting []func()
}

func agentKey(r history.Resource) history.Resource {
	return history.Resource{Class: r.Class, Provider: r.Provider, Type: r.Type}
}

// needMetadata sees to it that the agent's meta-data get known, for records
// that carry lists of parameters; nil if this one does not.
func (s *Server) needMetadata(o history.Op) *metadata {
	if !history.NeedsMetadata(o.Resource.Class, o.Task) || o.Resource.Class == "stonith" {
		return nil
	}
	key := agentKey(o.Resource)
	if m := s.metadata[key]; m != nil {
		return m
	}
	m := &metadata{}
	s.metadata[key] = m
	go func() {
		ctx, cancel := context.WithTimeout(s.ctx, 5*time.Second)
		defer cancel()
		resp, err := s.lrm.GetMetadata(ctx, &lrmv1.GetMetadataRequest{Agent: agentOf(key)}, grpc.WaitForReady(true))
		var meta *history.Metadata
		if err == nil && resp.Rc == 0 {
			meta, err = history.ParseMetadata([]byte(resp.Xml))
		}
		s.post(func() {
			if err != nil || resp.GetRc() != 0 {
				s.log.Warn("agent's meta-data cannot be read, changes of its parameters will restart it", "agent", key.Type, "err", err, "reason", resp.GetError())
			}
			m.here, m.meta = true, meta
			for _, f := range m.waiting {
				f()
			}
			m.waiting = nil
			if meta == nil {
				delete(s.metadata, key) // asked again the next time
			}
		})
	}()
	return m
}

// runningKeys lists what is under way here, for a join.
func (s *Server) runningKeys() []string {
	var keys []string
	for _, k := range slices.Sorted(maps.Keys(s.running)) {
		if run := s.running[k]; run.op.IntervalMS == 0 || run.op.CallID == 0 {
			keys = append(keys, k)
		}
	}
	return keys
}
