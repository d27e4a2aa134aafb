package server

import (
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"linuxha/heartbeatd/hamsg"
	"linuxha/heartbeatd/link"
	"linuxha/internal/ipc"
	heartbeatv1 "linuxha/proto/heartbeat/v1"
)

// listener is a WatchMessages stream: a client of Heartbeat's old kind.
type listener struct {
	client string
	types  []string
	queue  chan *heartbeatv1.ClusterMessage
	cut    chan struct{}
	reason error // of the loop, set before cut is closed
}

func (l *listener) push(m *heartbeatv1.ClusterMessage) {
	if l.reason != nil {
		return
	}
	select {
	case l.queue <- m:
	default:
		l.end(errSlow)
	}
}

func (l *listener) end(reason error) {
	if l.reason == nil {
		l.reason = reason
		close(l.cut)
	}
}

// WatchMessages implements Control.
func (s *Server) WatchMessages(req *heartbeatv1.WatchMessagesRequest, stream grpc.ServerStreamingServer[heartbeatv1.ClusterMessage]) error {
	peer, ok := ipc.PeerFrom(stream.Context())
	if req.Client == "" || strings.ContainsAny(req.Client, " \t\n") {
		return status.Error(codes.InvalidArgument, "a client needs a name of one word")
	}
	if !ok || !s.mayAttach(req.Client, peer) {
		return status.Errorf(codes.PermissionDenied, "uid %d may not be client %q: allow it with apiauth in ha.cf", peer.UID, req.Client)
	}
	l := &listener{client: req.Client, types: req.Types, queue: make(chan *heartbeatv1.ClusterMessage, watcherQueue), cut: make(chan struct{})}
	l.queue <- &heartbeatv1.ClusterMessage{}
	if !s.do(func(time.Time) { s.listeners[l] = struct{}{} }) {
		return errStopping
	}
	defer s.do(func(time.Time) { delete(s.listeners, l) })
	for {
		select {
		case m := <-l.queue:
			if err := stream.Send(m); err != nil {
				return err
			}
		case <-l.cut:
			return l.reason
		case <-stream.Context().Done():
			return nil
		case <-s.done:
			return errStopping
		}
	}
}

// listened gives a message to those who want its type, and answers questions
// about this node's clients.
func (s *Server) listened(now time.Time, p *link.Packet) {
	if p.Type == "query-cstatus" && p.Src != s.config().Node {
		s.answerClientStatus(p.Message)
	}
	var m *heartbeatv1.ClusterMessage
	for l := range s.listeners {
		if !slices.Contains(l.types, p.Type) {
			continue
		}
		if m == nil {
			m = &heartbeatv1.ClusterMessage{FromNode: p.Src}
			for _, f := range p.Message.Fields {
				if f.Type == hamsg.String {
					m.Fields = append(m.Fields, &heartbeatv1.Field{Name: f.Name, Value: strings.ToValidUTF8(string(f.Value), "?")})
				}
			}
		}
		l.push(m)
	}
}

// answerClientStatus is HB 9.2.
func (s *Server) answerClientStatus(q *hamsg.Message) {
	name := q.Get("cn")
	_, online := s.clients[name]
	online = online || name == "ccm" && s.with306.core != nil
	for l := range s.listeners {
		online = online || l.client == name
	}
	m := &hamsg.Message{}
	m.Add("t", "respond-cstatus")
	m.Add("dest", q.Get("src"))
	m.Add("result", "OK")
	m.Add("cn", name)
	m.Add("to_id", q.Get("from_id"))
	m.Add("cs", map[bool]string{true: "online", false: "offline"}[online])
	s.submits = append(s.submits, m)
}
