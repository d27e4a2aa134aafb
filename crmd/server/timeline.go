package server

import (
	"log/slog"
	"sync"

	"google.golang.org/protobuf/proto"

	"linuxha/crmd/te"
	crmv1 "linuxha/proto/crm/v1"
)

// timeline keeps the latest events and hands new ones to watchers. A watcher
// that does not keep up loses its stream.
type timeline struct {
	mu       sync.Mutex
	recent   []*crmv1.TimelineEvent
	watchers map[chan *crmv1.TimelineEvent]bool
}

const timelineKept = 1000

func newTimeline() *timeline { return &timeline{watchers: map[chan *crmv1.TimelineEvent]bool{}} }

func (t *timeline) add(e *crmv1.TimelineEvent, log *slog.Logger) {
	log.Info("timeline", "kind", e.Kind, "at_ns", e.AtNs, "node", e.Node, "resource", e.Resource, "action", e.Action, "rc", e.Rc, "text", e.Text)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.recent = append(t.recent, e); len(t.recent) > timelineKept {
		t.recent = append([]*crmv1.TimelineEvent(nil), t.recent[len(t.recent)-timelineKept/2:]...)
	}
	for w := range t.watchers {
		select {
		case w <- e:
		default:
			delete(t.watchers, w)
			close(w)
		}
	}
}

// watch returns what happened lately and a channel for the rest.
func (t *timeline) watch() ([]*crmv1.TimelineEvent, chan *crmv1.TimelineEvent) {
	t.mu.Lock()
	defer t.mu.Unlock()
	w := make(chan *crmv1.TimelineEvent, 1024)
	t.watchers[w] = true
	return append([]*crmv1.TimelineEvent(nil), t.recent...), w
}

func (t *timeline) leave(w chan *crmv1.TimelineEvent) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.watchers, w)
}

func (s *Server) timelineResult(r te.Result) {
	if r.Replayed {
		return
	}
	s.timeline.add(&crmv1.TimelineEvent{AtNs: s.now().UnixNano(), Kind: "result", Node: r.Node, Resource: r.Resource, Action: r.OpKey, Rc: int32(r.RC)}, s.log)
}

// states hands the controller's state to watchers.
type states struct {
	mu       sync.Mutex
	last     *crmv1.StateEvent
	watchers map[chan *crmv1.StateEvent]bool
}

func newStates() *states { return &states{watchers: map[chan *crmv1.StateEvent]bool{}} }

func (s *states) publish(e *crmv1.StateEvent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last != nil && proto.Equal(e, s.last) {
		return
	}
	s.last = e
	for w := range s.watchers {
		select {
		case w <- e:
		default:
			delete(s.watchers, w)
			close(w)
		}
	}
}

func (s *states) watch() (*crmv1.StateEvent, chan *crmv1.StateEvent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := make(chan *crmv1.StateEvent, 256)
	s.watchers[w] = true
	return s.last, w
}

func (s *states) leave(w chan *crmv1.StateEvent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.watchers, w)
}
