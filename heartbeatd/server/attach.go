package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
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
	// clientQueueBytes is how far a client may lag behind.
	clientQueueBytes = 64 << 20
	// eventOverhead stands for an event's memory beside its payload.
	eventOverhead = 256
	// A frame to a client with several messages has at most about so many
	// bytes: gRPC's next larger buffers have a megabyte, and are cleared.
	frameBytes    = 30 << 10
	frameOverhead = 48 // of a message in it
)

var (
	errStopping = status.Error(codes.Unavailable, "heartbeatd on this node is stopping")
	errSlow     = status.Error(codes.ResourceExhausted, "this client does not read what it is sent: it lost its stream; attach again")
)

// client is an attached program. Its backlog is filled by the loop and emptied
// by its own goroutine.
type client struct {
	name    string
	batches bool // it understands several messages in a frame
	backlog backlog
	cut     chan struct{} // closed: the stream ends with reason
	// Of the loop:
	reason error
	lag    lag
}

// news is what a client is told: a message of another client, or another event.
type news struct {
	message *heartbeatv1.Message
	event   *heartbeatv1.AttachEvent
}

// push queues news and returns how many bytes wait; -1: that were too many, and
// the client loses its stream.
func (c *client) push(n news) int {
	if c.reason != nil {
		return 0
	}
	bytes := c.backlog.put(n)
	if bytes < 0 {
		c.end(errSlow)
	}
	return bytes
}

func (c *client) end(reason error) {
	if c.reason == nil {
		c.reason = reason
		close(c.cut)
	}
}

// backlog is what a client was not sent yet. It may be used by two goroutines.
type backlog struct {
	mu    sync.Mutex
	queue []news
	bytes int // of what was put and is not yet sent
	gone  uint64
	ready chan struct{}
}

func newBacklog() backlog { return backlog{ready: make(chan struct{}, 1)} }

func cost(n news) int { return len(n.message.GetPayload()) + eventOverhead }

// put appends n and returns how many bytes wait now; -1: there are too many
// already, and n is lost. One message of any size can be put.
func (b *backlog) put(n news) int {
	size := cost(n)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bytes+size > clientQueueBytes && size < clientQueueBytes {
		return -1
	}
	b.queue = append(b.queue, n)
	b.bytes += size
	if len(b.queue) == 1 {
		select {
		case b.ready <- struct{}{}:
		default: // the reader looks at the queue anyway
		}
	}
	return b.bytes
}

// state is how many bytes wait, and a count that grows with what has gone.
func (b *backlog) state() (bytes int, gone uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bytes, b.gone
}

// take empties the queue; sent must be told when that has gone out.
func (b *backlog) take() []news {
	b.mu.Lock()
	defer b.mu.Unlock()
	queue := b.queue
	b.queue = nil
	return queue
}

func (b *backlog) sent(bytes int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bytes -= bytes
	b.gone++
}

// frame makes one event of the first n of queue; bytes is what they cost.
func (c *client) frame(queue []news) (ev *heartbeatv1.AttachEvent, n, bytes int) {
	first := queue[0]
	if first.message == nil {
		return first.event, 1, cost(first)
	}
	n, bytes = 1, cost(first)
	frame := len(first.message.Payload) + frameOverhead
	for c.batches && n < len(queue) && queue[n].message != nil {
		if frame += len(queue[n].message.Payload) + frameOverhead; frame > frameBytes {
			break
		}
		bytes += cost(queue[n])
		n++
	}
	if n == 1 {
		return &heartbeatv1.AttachEvent{Kind: &heartbeatv1.AttachEvent_Message{Message: first.message}}, n, bytes
	}
	all := make([]*heartbeatv1.Message, n)
	for i := range all {
		all[i] = queue[i].message
	}
	return &heartbeatv1.AttachEvent{Kind: &heartbeatv1.AttachEvent_Messages{Messages: &heartbeatv1.Messages{Message: all}}}, n, bytes
}

// deliver sends the client what waits for it.
func (c *client) deliver(stream grpc.BidiStreamingServer[heartbeatv1.AttachRequest, heartbeatv1.AttachEvent]) error {
	for queue := c.backlog.take(); len(queue) > 0; {
		select {
		case <-c.cut:
			return c.reason
		default:
		}
		ev, n, bytes := c.frame(queue)
		if err := stream.Send(ev); err != nil {
			return err
		}
		c.backlog.sent(bytes)
		queue = queue[n:]
	}
	return nil
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
	c := &client{name: hello.Client, batches: hello.Batches, backlog: newBacklog(), cut: make(chan struct{})}
	if !s.do(func(now time.Time) { s.attach(now, c, hello.Info, peer) }) {
		return errStopping
	}
	defer s.do(func(now time.Time) { s.detach(now, c) })

	requests := make(chan error, 1)
	go func() { requests <- s.requests(stream, c) }()
	for {
		select {
		case <-c.backlog.ready:
			if err := c.deliver(stream); err != nil {
				return err
			}
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
			if err := s.submit(ctx, send{c, []*heartbeatv1.Send{k.Send}}); err != nil {
				return err
			}
		case *heartbeatv1.AttachRequest_Sends:
			if err := s.submit(ctx, send{c, k.Sends.GetSend()}); err != nil {
				return err
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

// submit hands messages to the loop, which takes them when the others have
// caught up.
func (s *Server) submit(ctx context.Context, out send) error {
	for _, m := range out.messages {
		if len(m.Payload) > maxPayload {
			return status.Errorf(codes.InvalidArgument, "payload of %d bytes, at most %d", len(m.Payload), maxPayload)
		}
	}
	select {
	case s.sends <- out:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.done:
		return errStopping
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
	c.push(news{event: &heartbeatv1.AttachEvent{Kind: &heartbeatv1.AttachEvent_Welcome{Welcome: &heartbeatv1.Welcome{
		Node: s.config().Node, NodeId: s.opt.Identity.ID.String(), Generation: s.opt.Identity.Generation,
		Configured: s.configured(), Cluster: s.config().Cluster, Batches: true,
	}}}})
	if s.view != nil {
		// What is new to this client is not a change: nobody is lost or joined.
		view := proto.CloneOf(s.view)
		view.Lost, view.Joined, view.LostAtNs = nil, nil, nil
		c.push(news{event: &heartbeatv1.AttachEvent{Kind: &heartbeatv1.AttachEvent_Membership{Membership: view}}})
	}
	for _, n := range s.nodeStatuses(nil) {
		c.push(news{event: &heartbeatv1.AttachEvent{Kind: &heartbeatv1.AttachEvent_NodeStatus{NodeStatus: n}}})
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
