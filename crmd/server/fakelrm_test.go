package server

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	lrmv1 "linuxha/proto/lrm/v1"
)

type fakeLRM struct {
	lrmv1.UnimplementedLrmServer
	node string

	mu          sync.Mutex
	incarnation int
	calls       int64
	active      map[string]bool // resource is running here
	known       map[string]*lrmv1.Agent
	recurring   map[string]*lrmv1.Operation
	user        map[string]string // what came with them
	ran         []string
	watchers    map[chan *lrmv1.Event]bool
	fail        map[string]int32 // rc per RSC_ACTION_INTERVAL
	hang        map[string]chan struct{}
	alerts      []map[string]string // environments of alert agents
	failLists   int                 // so many calls of List fail first
}

func newFakeLRM(node string) *fakeLRM {
	l := &fakeLRM{node: node, watchers: map[chan *lrmv1.Event]bool{}, user: map[string]string{}, fail: map[string]int32{}, hang: map[string]chan struct{}{}}
	l.reset()
	return l
}

// reset is a reboot.
func (l *fakeLRM) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.incarnation++
	l.calls, l.active, l.known, l.recurring = 0, map[string]bool{}, map[string]*lrmv1.Agent{}, map[string]*lrmv1.Operation{}
}

func (l *fakeLRM) name() string { return fmt.Sprintf("%s/%d", l.node, l.incarnation) }

func (l *fakeLRM) Register(_ context.Context, r *lrmv1.RegisterRequest) (*lrmv1.RegisterResponse, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known[r.RscId] = r.Agent
	return &lrmv1.RegisterResponse{}, nil
}

func (l *fakeLRM) Unregister(_ context.Context, r *lrmv1.UnregisterRequest) (*lrmv1.UnregisterResponse, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, existed := l.known[r.RscId]
	delete(l.known, r.RscId)
	return &lrmv1.UnregisterResponse{Existed: existed}, nil
}

func (l *fakeLRM) Exec(_ context.Context, r *lrmv1.ExecRequest) (*lrmv1.ExecResponse, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known[r.RscId] == nil {
		return nil, status.Error(codes.NotFound, "unknown resource")
	}
	l.calls++
	key := fmt.Sprintf("%s_%s_%d", r.RscId, r.Action, r.IntervalMs)
	l.ran = append(l.ran, key)
	ev := &lrmv1.Event{
		Kind: lrmv1.Event_KIND_STARTED, RscId: r.RscId, Action: r.Action, IntervalMs: r.IntervalMs, CallId: l.calls,
		UserData: r.UserData, Params: r.Params, StartedAtNs: time.Now().UnixNano(),
	}
	l.publish(ev)
	if r.Action == "stop" {
		for k, o := range l.recurring {
			if strings.HasPrefix(k, r.RscId+"_") {
				delete(l.recurring, k)
				if o.IntervalMs > 0 {
					l.publish(&lrmv1.Event{
						Kind: lrmv1.Event_KIND_DONE, RscId: r.RscId, Action: o.Action, IntervalMs: o.IntervalMs, CallId: o.CallId,
						UserData: l.user[k], OpStatus: 1, Removed: true,
					})
				}
			}
		}
	}
	l.user[key] = r.UserData
	op := &lrmv1.Operation{Action: r.Action, IntervalMs: r.IntervalMs, CallId: l.calls, Running: true}
	l.recurring[key] = op
	finish := func() {
		if r.IntervalMs > 0 && l.recurring[key] != op {
			return // cancelled while it ran
		}
		done := &lrmv1.Event{
			Kind: lrmv1.Event_KIND_DONE, RscId: r.RscId, Action: r.Action, IntervalMs: r.IntervalMs, CallId: ev.CallId,
			UserData: r.UserData, Params: r.Params, LastRunUnix: time.Now().Unix(), LastRcChangeUnix: time.Now().Unix(),
		}
		switch r.Action {
		case "monitor":
			if !l.active[r.RscId] {
				done.Rc = 7
			}
		case "start":
			l.active[r.RscId] = true
		case "stop":
			l.active[r.RscId] = false
		}
		if rc, ok := l.fail[key]; ok {
			done.Rc = rc
		}
		if r.IntervalMs == 0 {
			delete(l.recurring, key)
		} else {
			op.Running, op.Last = false, done
		}
		l.publish(done)
	}
	if gate := l.hang[key]; gate != nil {
		go func() { <-gate; l.mu.Lock(); defer l.mu.Unlock(); finish() }()
	} else {
		finish()
	}
	return &lrmv1.ExecResponse{CallId: ev.CallId}, nil
}

func (l *fakeLRM) Cancel(_ context.Context, r *lrmv1.CancelRequest) (*lrmv1.CancelResponse, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := fmt.Sprintf("%s_%s_%d", r.RscId, r.Action, r.IntervalMs)
	_, found := l.recurring[key]
	delete(l.recurring, key)
	return &lrmv1.CancelResponse{Found: found}, nil
}

func (l *fakeLRM) publish(e *lrmv1.Event) {
	for w := range l.watchers {
		w <- e
	}
}

func (l *fakeLRM) Watch(_ *lrmv1.WatchRequest, stream grpc.ServerStreamingServer[lrmv1.Event]) error {
	l.mu.Lock()
	w := make(chan *lrmv1.Event, 10000)
	w <- &lrmv1.Event{Kind: lrmv1.Event_KIND_HELLO, Incarnation: l.name()}
	l.watchers[w] = true
	l.mu.Unlock()
	defer func() { l.mu.Lock(); delete(l.watchers, w); l.mu.Unlock() }()
	for {
		select {
		case e := <-w:
			if e == nil {
				return status.Error(codes.Unavailable, "killed")
			}
			if err := stream.Send(e); err != nil {
				return err
			}
		case <-stream.Context().Done():
			return nil
		}
	}
}

// restart is kill -9 of lrmd: resources go on, its knowledge is gone.
func (l *fakeLRM) restart() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.incarnation++
	l.calls, l.known, l.recurring = 0, map[string]*lrmv1.Agent{}, map[string]*lrmv1.Operation{}
	for w := range l.watchers {
		w <- nil
	}
}

func (l *fakeLRM) List(context.Context, *lrmv1.ListRequest) (*lrmv1.ListResponse, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failLists--; l.failLists >= 0 {
		return nil, status.Error(codes.Internal, "not now")
	}
	resp := &lrmv1.ListResponse{Incarnation: l.name(), LastCallId: l.calls}
	var ids []string
	for id := range l.known {
		ids = append(ids, id)
	}
	sort.Strings(ids)
	for _, id := range ids {
		r := &lrmv1.Resource{RscId: id, Agent: l.known[id]}
		for k, o := range l.recurring {
			if strings.HasPrefix(k, id+"_") {
				r.Operations = append(r.Operations, o)
			}
		}
		resp.Resources = append(resp.Resources, r)
	}
	return resp, nil
}

func (l *fakeLRM) GetMetadata(context.Context, *lrmv1.GetMetadataRequest) (*lrmv1.GetMetadataResponse, error) {
	return &lrmv1.GetMetadataResponse{Xml: `<resource-agent name="Dummy"><version>1.0</version><parameters/><actions/></resource-agent>`}, nil
}

// history returns what was executed since the last call.
func (l *fakeLRM) history() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := l.ran
	l.ran = nil
	return out
}

func (l *fakeLRM) runs(rsc string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.active[rsc]
}

func (l *fakeLRM) Alert(_ context.Context, r *lrmv1.AlertRequest) (*lrmv1.AlertResponse, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.alerts = append(l.alerts, r.Env)
	return &lrmv1.AlertResponse{Sequence: int64(len(l.alerts))}, nil
}

// alerted counts the alerts whose variables CRM_alert_* have these values.
func (l *fakeLRM) alerted(want map[string]string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, env := range l.alerts {
		all := true
		for k, v := range want {
			all = all && env["CRM_alert_"+k] == v
		}
		if all {
			n++
		}
	}
	return n
}

func (l *fakeLRM) setFail(key string, rc int32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fail[key] = rc
}

func (l *fakeLRM) gate(key string) chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := make(chan struct{})
	l.hang[key] = g
	return g
}

// report is a recurring operation whose result changed.
func (l *fakeLRM) report(key string, rc int32) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := l.recurring[key]
	if o == nil || o.Last == nil {
		return false
	}
	ev := &lrmv1.Event{
		Kind: lrmv1.Event_KIND_DONE, RscId: o.Last.RscId, Action: o.Action, IntervalMs: o.IntervalMs, CallId: o.CallId,
		UserData: o.Last.UserData, Params: o.Last.Params, Rc: rc, LastRunUnix: time.Now().Unix(), LastRcChangeUnix: time.Now().Unix() + 1,
	}
	o.Last = ev
	l.publish(ev)
	return true
}
