package lab

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc"

	crmv1 "linuxha/proto/crm/v1"
	heartbeatv1 "linuxha/proto/heartbeat/v1"
	lrmv1 "linuxha/proto/lrm/v1"
	stonithv1 "linuxha/proto/stonith/v1"
)

// Kinds of what an Observer sees. Node is where it was seen, Attr the rest:
// "peer", "resource", "action", "rc", "view", "members", "quorate", "coordinator".
const (
	SeenDead   = "seen-dead"   // heartbeatd's verdict about peer, with the time at which it fell
	SeenView   = "seen-view"   // an agreed membership
	SeenExec   = "seen-exec"   // lrmd started an agent, at the time of the exec
	SeenResult = "seen-result" // an agent's result
	SeenFenced = "seen-fenced" // stonithd's outcome about peer
	SeenCRM    = "seen-crm"    // crmd's time line; Text is its kind
)

// An Observer watches the daemons of all nodes through their streams, across
// restarts, and keeps what it saw. Everything also goes to the event log.
type Observer struct {
	lab    *Lab
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	events  []Event
	changed chan struct{} // closed and replaced with each event
}

// Observe starts watching. Close it before the lab.
func (l *Lab) Observe() (*Observer, error) {
	ctx, cancel := context.WithCancel(context.Background())
	o := &Observer{lab: l, cancel: cancel, changed: make(chan struct{})}
	for _, n := range l.Nodes() {
		for _, w := range []struct {
			daemon string
			watch  func(context.Context, *Node, grpc.ClientConnInterface) error
		}{
			{"heartbeatd", o.watchHeartbeat}, {"lrmd", o.watchLRM}, {"stonithd", o.watchStonith}, {"crmd", o.watchCRM},
		} {
			cc, err := n.Dial(w.daemon)
			if err != nil {
				o.Close()
				return nil, err
			}
			o.wg.Go(func() {
				defer cc.Close()
				for ctx.Err() == nil {
					if err := w.watch(ctx, n, cc); err == nil {
						panic("lab: a watch ends with an error only")
					}
					// The daemon ended or its node died: wait for the next.
					select {
					case <-ctx.Done():
					case <-time.After(20 * time.Millisecond):
					}
				}
			})
		}
	}
	return o, nil
}

// Close ends the watching.
func (o *Observer) Close() {
	o.cancel()
	o.wg.Wait()
}

func (o *Observer) saw(at int64, kind string, n *Node, text string, attr map[string]string) {
	if at == 0 {
		at = time.Now().UnixNano()
	}
	e := Event{AtNS: at, Kind: kind, Node: n.Name, Text: text, Attr: attr}
	o.lab.Record(e)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.events = append(o.events, e)
	close(o.changed)
	o.changed = make(chan struct{})
}

// Events are those seen so far, in the order in which they arrived.
func (o *Observer) Events() []Event {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.events[:len(o.events):len(o.events)]
}

// Find returns the earliest event at or after a time for which ok holds.
func (o *Observer) Find(after time.Time, ok func(Event) bool) (Event, bool) {
	var best Event
	found := false
	for _, e := range o.Events() {
		if e.AtNS >= after.UnixNano() && (!found || e.AtNS < best.AtNS) && ok(e) {
			best, found = e, true
		}
	}
	return best, found
}

// Await waits for an event at or after a time for which ok holds.
func (o *Observer) Await(ctx context.Context, after time.Time, what string, ok func(Event) bool) (Event, error) {
	for {
		o.mu.Lock()
		changed := o.changed
		o.mu.Unlock()
		if e, found := o.Find(after, ok); found {
			return e, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Event{}, fmt.Errorf("waited for %s: %w", what, context.Cause(ctx))
		}
	}
}

// stream opens a server stream and hands on what comes.
func stream[T any](open func() (grpc.ServerStreamingClient[T], error), each func(*T)) error {
	s, err := open()
	if err != nil {
		return err
	}
	for {
		msg, err := s.Recv()
		if err != nil {
			return err
		}
		each(msg)
	}
}

func (o *Observer) watchHeartbeat(ctx context.Context, n *Node, cc grpc.ClientConnInterface) error {
	reported := map[string]int64{}
	return stream(func() (grpc.ServerStreamingClient[heartbeatv1.StatusEvent], error) {
		return heartbeatv1.NewControlClient(cc).WatchStatus(ctx, &heartbeatv1.WatchStatusRequest{}, grpc.WaitForReady(true))
	}, func(ev *heartbeatv1.StatusEvent) {
		for _, s := range ev.GetNodes() {
			if s.GetStatus() == "dead" && s.GetNode() != n.Name {
				o.saw(0, SeenDead, n, s.GetNode(), map[string]string{"peer": s.GetNode()})
			}
		}
		m := ev.GetMembership()
		if m == nil {
			return
		}
		for peer, at := range m.GetLostAtNs() {
			if reported[peer] != at {
				reported[peer] = at
				o.saw(at, SeenDead, n, peer+" (time of the verdict)", map[string]string{"peer": peer, "exact": "yes"})
			}
		}
		var members []string
		for _, member := range m.GetMembers() {
			members = append(members, member.GetName())
		}
		o.saw(0, SeenView, n, fmt.Sprintf("view %d %v quorate=%v", m.GetNumber(), members, m.GetQuorate()), map[string]string{
			"view": strconv.FormatUint(m.GetNumber(), 10), "members": fmt.Sprint(members), "quorate": strconv.FormatBool(m.GetQuorate()),
			"coordinator": m.GetCoordinator(),
		})
	})
}

func (o *Observer) watchLRM(ctx context.Context, n *Node, cc grpc.ClientConnInterface) error {
	return stream(func() (grpc.ServerStreamingClient[lrmv1.Event], error) {
		return lrmv1.NewLrmClient(cc).Watch(ctx, &lrmv1.WatchRequest{}, grpc.WaitForReady(true))
	}, func(ev *lrmv1.Event) {
		attr := map[string]string{"resource": ev.GetRscId(), "action": ev.GetAction(), "interval": strconv.FormatInt(ev.GetIntervalMs(), 10)}
		switch ev.GetKind() {
		case lrmv1.Event_KIND_STARTED:
			o.saw(ev.GetStartedAtNs(), SeenExec, n, ev.GetRscId()+" "+ev.GetAction(), attr)
		case lrmv1.Event_KIND_DONE:
			attr["rc"] = strconv.Itoa(int(ev.GetRc()))
			attr["status"] = strconv.Itoa(int(ev.GetOpStatus()))
			attr["exec_ms"] = strconv.FormatInt(ev.GetExecTimeMs(), 10)
			o.saw(0, SeenResult, n, fmt.Sprintf("%s %s rc=%d in %d ms", ev.GetRscId(), ev.GetAction(), ev.GetRc(), ev.GetExecTimeMs()), attr)
		}
	})
}

func (o *Observer) watchStonith(ctx context.Context, n *Node, cc grpc.ClientConnInterface) error {
	return stream(func() (grpc.ServerStreamingClient[stonithv1.Event], error) {
		return stonithv1.NewStonithClient(cc).Watch(ctx, &stonithv1.WatchRequest{}, grpc.WaitForReady(true))
	}, func(ev *stonithv1.Event) {
		r := ev.GetRecord()
		if r == nil {
			return
		}
		o.saw(0, SeenFenced, n, fmt.Sprintf("%s of %s by %s: rc=%d %s", r.GetAction(), r.GetTarget(), r.GetExecutioner(), ev.GetRc(), r.GetReason()), map[string]string{
			"peer": r.GetTarget(), "action": r.GetAction(), "rc": strconv.Itoa(int(ev.GetRc())), "state": r.GetState().String(),
		})
	})
}

func (o *Observer) watchCRM(ctx context.Context, n *Node, cc grpc.ClientConnInterface) error {
	return stream(func() (grpc.ServerStreamingClient[crmv1.TimelineEvent], error) {
		return crmv1.NewCrmClient(cc).WatchTimeline(ctx, &crmv1.WatchTimelineRequest{}, grpc.WaitForReady(true))
	}, func(ev *crmv1.TimelineEvent) {
		o.saw(ev.GetAtNs(), SeenCRM, n, fmt.Sprintf("%s %s %s %s %s", ev.GetKind(), ev.GetNode(), ev.GetResource(), ev.GetAction(), ev.GetText()), map[string]string{
			"kind": ev.GetKind(), "peer": ev.GetNode(), "resource": ev.GetResource(), "action": ev.GetAction(), "rc": strconv.Itoa(int(ev.GetRc())),
		})
	})
}

// Is returns a condition on events: of this kind, and with these attributes
// ("name=value").
func Is(kind string, attrs ...string) func(Event) bool {
	return func(e Event) bool {
		if e.Kind != kind {
			return false
		}
		return !slices.ContainsFunc(attrs, func(a string) bool {
			for i := range a {
				if a[i] == '=' {
					return e.Attr[a[:i]] != a[i+1:]
				}
			}
			return true
		})
	}
}
