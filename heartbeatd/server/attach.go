package server

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"linuxha/heartbeatd/ccm"
	"linuxha/heartbeatd/hacf"
	"linuxha/internal/ipc"
	heartbeatv1 "linuxha/proto/heartbeat/v1"
)

const (
	clientQueue      = 8192     // events that a client may lag behind ...
	clientQueueBytes = 64 << 20 // ... and their payloads
)

var (
	errStopping = status.Error(codes.Unavailable, "heartbeatd on this node is stopping")
	errSlow     = status.Error(codes.ResourceExhausted, "this client does not read what it is sent: it lost its stream; attach again")
)

// client is an attached program. Its queue is filled by the loop and emptied
// by its own goroutine.
type client struct {
	name  string
	queue chan *heartbeatv1.AttachEvent
	cut   chan struct{} // closed: the stream ends with reason
	// Of the loop:
	reason error
	queued uint64 // bytes put in
	// sent is written by the stream's goroutine.
	sent counter
}

// push queues an event; a client that is too slow loses its stream.
func (c *client) push(ev *heartbeatv1.AttachEvent) {
	if c.reason != nil {
		return
	}
	size := uint64(len(ev.GetMessage().GetPayload()))
	if c.queued-c.sent.load()+size > clientQueueBytes && size < clientQueueBytes {
		c.end(errSlow)
		return
	}
	select {
	case c.queue <- ev:
		c.queued += size
	default:
		c.end(errSlow)
	}
}

func (c *client) end(reason error) {
	if c.reason == nil {
		c.reason = reason
		close(c.cut)
	}
}

// privileged is the default rule: the daemons of the stack run as root or
// hacluster; a heartbeatd without privileges serves its own user.
func privileged(cfg *hacf.Config) func(uint32) bool {
	self := uint32(os.Geteuid())
	uids := append([]uint32{0, self}, cfg.APIAuth["cib"].UIDs...)
	uids = append(uids, cfg.APIAuth["ccm"].UIDs...)
	return func(uid uint32) bool { return slices.Contains(uids, uid) }
}

// mayAttach checks apiauth: a name's own rule, else `default`, else only the
// stack's users.
func (s *Server) mayAttach(name string, p ipc.Peer) bool {
	if s.opt.Privileged(p.UID) {
		return true
	}
	auth, ok := s.config().APIAuth[name]
	if !ok {
		auth, ok = s.config().APIAuth["default"]
	}
	return ok && auth.Allows(p.UID, p.GID)
}

// Attach implements Messaging.
func (s *Server) Attach(stream grpc.BidiStreamingServer[heartbeatv1.AttachRequest, heartbeatv1.AttachEvent]) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	hello := first.GetHello()
	if hello == nil || hello.Client == "" {
		return status.Error(codes.InvalidArgument, "the first request must be Hello with the client's name")
	}
	peer, ok := ipc.PeerFrom(stream.Context())
	if !ok || !s.mayAttach(hello.Client, peer) {
		return status.Errorf(codes.PermissionDenied, "uid %d may not attach as %q: run it as root or hacluster, or allow it with apiauth in ha.cf", peer.UID, hello.Client)
	}
	c := &client{name: hello.Client, queue: make(chan *heartbeatv1.AttachEvent, clientQueue), cut: make(chan struct{})}
	if !s.do(func(now time.Time) { s.attach(now, c, hello.Info, peer) }) {
		return errStopping
	}
	defer s.do(func(now time.Time) { s.detach(now, c) })

	requests := make(chan error, 1)
	go func() { requests <- s.requests(stream, c) }()
	for {
		select {
		case ev := <-c.queue:
			if err := stream.Send(ev); err != nil {
				return err
			}
			c.sent.add(uint64(len(ev.GetMessage().GetPayload())))
		case err := <-requests:
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		case <-c.cut:
			return c.reason
		case <-s.done:
			return errStopping
		}
	}
}

// requests carries out what the client asks for until it ends.
func (s *Server) requests(stream grpc.BidiStreamingServer[heartbeatv1.AttachRequest, heartbeatv1.AttachEvent], c *client) error {
	ctx := stream.Context()
	for {
		req, err := stream.Recv()
		if err != nil {
			return err
		}
		switch k := req.Kind.(type) {
		case *heartbeatv1.AttachRequest_Send:
			if len(k.Send.Payload) > maxPayload {
				return status.Errorf(codes.InvalidArgument, "payload of %d bytes, at most %d", len(k.Send.Payload), maxPayload)
			}
			select {
			case s.sends <- send{c, k.Send}:
			case <-ctx.Done():
				return ctx.Err()
			case <-s.done:
				return errStopping
			}
		case *heartbeatv1.AttachRequest_SetInfo:
			s.do(func(now time.Time) {
				if s.clients[c.name] == c {
					s.stepCCM(now, ccm.InfoSet{Process: c.name, Info: k.SetInfo.GetInfo()})
				}
			})
		default:
			return status.Error(codes.InvalidArgument, "request is neither Send nor SetInfo")
		}
	}
}

// attach enters c; another client of that name has lost its stream, or does
// now: it is the one that was killed before this one was started.
func (s *Server) attach(now time.Time, c *client, info map[string]string, peer ipc.Peer) {
	if old := s.clients[c.name]; old != nil {
		old.end(status.Errorf(codes.Aborted, "process %d attached as %q instead", peer.PID, c.name))
		delete(s.clients, c.name)
		s.stepCCM(now, ccm.Detached{Process: c.name})
	}
	s.clients[c.name] = c
	s.log.Info("client attached", "client", c.name, "pid", peer.PID, "uid", peer.UID)
	c.push(&heartbeatv1.AttachEvent{Kind: &heartbeatv1.AttachEvent_Welcome{Welcome: &heartbeatv1.Welcome{
		Node: s.config().Node, NodeId: s.opt.Identity.ID.String(), Generation: s.opt.Identity.Generation,
		Configured: s.configured(), Cluster: s.config().Cluster,
	}}})
	if s.view != nil {
		// What is new to this client is not a change: nobody is lost or joined.
		view := proto.CloneOf(s.view)
		view.Lost, view.Joined, view.LostAtNs = nil, nil, nil
		c.push(&heartbeatv1.AttachEvent{Kind: &heartbeatv1.AttachEvent_Membership{Membership: view}})
	}
	for _, n := range s.nodeStatuses(nil) {
		c.push(&heartbeatv1.AttachEvent{Kind: &heartbeatv1.AttachEvent_NodeStatus{NodeStatus: n}})
	}
	s.stepCCM(now, ccm.Attached{Process: c.name, Info: info})
}

func (s *Server) detach(now time.Time, c *client) {
	if s.clients[c.name] != c {
		return // replaced meanwhile
	}
	delete(s.clients, c.name)
	s.log.Info("client detached", "client", c.name)
	s.stepCCM(now, ccm.Detached{Process: c.name})
}

// send takes a client's message on its way: in pieces to the others, as a
// whole to clients of this node.
func (s *Server) send(now time.Time, out send) {
	if s.clients[out.from.name] != out.from {
		return // it has ended meanwhile
	}
	to := out.msg.ToClient
	if to == "" {
		to = out.from.name
	}
	own := s.config().Node
	var stamp ccm.ViewID
	if v := s.ccm.Current(); v != nil {
		stamp = v.ViewID
	}
	local := func() {
		s.toClient(to, &heartbeatv1.Message{FromNode: own, FromClient: out.from.name, View: stamp.Number, Payload: out.msg.Payload})
	}
	if out.msg.ToNode == own {
		s.outbox = append(s.outbox, outgoing{local: local})
		return
	}
	messages, err := s.packer.pack(out.msg.ToNode, out.from.name, to, stamp.Proto(), out.msg.Payload)
	if err != nil {
		out.from.end(status.Errorf(codes.InvalidArgument, "send: %v", err))
		return
	}
	for _, m := range messages {
		s.outbox = append(s.outbox, outgoing{message: m})
	}
	if out.msg.ToNode == "" {
		s.outbox[len(s.outbox)-1].local = local
	}
}

func (s *Server) toClient(name string, m *heartbeatv1.Message) {
	if c := s.clients[name]; c != nil {
		c.push(&heartbeatv1.AttachEvent{Kind: &heartbeatv1.AttachEvent_Message{Message: m}})
	}
}

// arrived is a complete message of another node.
type arrived struct {
	from string
	*heartbeatv1.Fragment
}

// arrive hands a message to its client, once the gate has let it pass.
func (s *Server) arrive(a arrived) {
	s.toClient(a.ToClient, &heartbeatv1.Message{FromNode: a.from, FromClient: a.FromClient, View: a.View.GetNumber(), Payload: a.Data})
}

// endStreams ends all clients' and watchers' streams.
func (s *Server) endStreams(reason error) {
	for _, c := range s.clients {
		c.end(reason)
	}
	for w := range s.watchers {
		w.end(reason)
	}
	for l := range s.listeners {
		l.end(reason)
	}
}

func (s *Server) clientNames() []string {
	names := make([]string, 0, len(s.clients))
	for name := range s.clients {
		names = append(names, name)
	}
	for l := range s.listeners {
		names = append(names, l.client)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (c *client) String() string { return fmt.Sprintf("client %s", c.name) }
