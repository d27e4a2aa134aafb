// Package clustertest is a messaging layer in memory for the tests of daemons:
// several nodes in one process, each served on a Unix socket of its own as
// heartbeatd would, with agreed membership and messages in FIFO order.
package clustertest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"linuxha/internal/ipc"
	heartbeatv1 "linuxha/proto/heartbeat/v1"
)

// Cluster is the set of nodes.
type Cluster struct {
	t  testing.TB
	mu sync.Mutex

	view    uint64
	nodes   map[string]*node
	clients map[string]*client // by node and client name
}

type node struct {
	name, id string
	born     uint64
	up       bool
}

type client struct {
	node, name string
	born       uint64
	info       map[string]string
	events     chan *heartbeatv1.AttachEvent
	gone       chan struct{}
}

// New returns a cluster without nodes; it ends with the test.
func New(t testing.TB) *Cluster {
	return &Cluster{t: t, nodes: map[string]*node{}, clients: map[string]*client{}}
}

// ID is the UUID of a node.
func ID(name string) string { return fmt.Sprintf("%08x-0000-4000-8000-%012x", []byte(name), len(name)) }

// Add brings a node up and serves its messaging on socket.
func (c *Cluster) Add(name, socket string) {
	c.t.Helper()
	l, err := ipc.Listen(socket)
	if err != nil {
		c.t.Fatal(err)
	}
	srv := ipc.NewServer()
	heartbeatv1.RegisterMessagingServer(srv, &endpoint{c: c, node: name})
	c.mu.Lock()
	c.nodes[name] = &node{name: name, id: ID(name), up: true, born: c.view + 1}
	c.install()
	c.mu.Unlock()
	go srv.Serve(l) // ends with Stop, whose error it then returns
	c.t.Cleanup(srv.Stop)
}

// Down takes a node out of the view as if it had died; its clients lose their
// streams.
func (c *Cluster) Down(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes[name].up = false
	for key, cl := range c.clients {
		if cl.node == name {
			close(cl.gone)
			delete(c.clients, key)
		}
	}
	c.install()
}

// Up brings the node back.
func (c *Cluster) Up(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes[name].up, c.nodes[name].born = true, c.view+1
	c.install()
}

// install makes a new view and tells it; with c.mu held.
func (c *Cluster) install() {
	c.view++
	m := &heartbeatv1.Membership{Number: c.view, Quorate: true}
	for _, name := range slices.Sorted(maps.Keys(c.nodes)) {
		n := c.nodes[name]
		m.Configured = append(m.Configured, &heartbeatv1.NodeInfo{Name: name, Id: n.id, Type: "normal"})
		if !n.up {
			continue
		}
		if m.Coordinator == "" {
			m.Coordinator = name
		}
		member := &heartbeatv1.Member{Name: name, Id: n.id, BornOn: n.born, Generation: 1}
		for _, key := range slices.Sorted(maps.Keys(c.clients)) {
			if cl := c.clients[key]; cl.node == name {
				member.Processes = append(member.Processes, &heartbeatv1.Process{Name: cl.name, BornOn: cl.born, Info: cl.info})
			}
		}
		m.Members = append(m.Members, member)
	}
	for _, key := range slices.Sorted(maps.Keys(c.clients)) {
		c.clients[key].put(&heartbeatv1.AttachEvent{Kind: &heartbeatv1.AttachEvent_Membership{Membership: m}})
	}
}

func (cl *client) put(ev *heartbeatv1.AttachEvent) {
	select {
	case cl.events <- ev:
	default:
		panic("clustertest: a client does not read its events")
	}
}

type endpoint struct {
	heartbeatv1.UnimplementedMessagingServer
	c    *Cluster
	node string
}

// Attach implements the messaging service.
func (e *endpoint) Attach(stream heartbeatv1.Messaging_AttachServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	hello := first.GetHello()
	if hello == nil {
		return status.Error(codes.InvalidArgument, "first request is not hello")
	}
	cl, err := e.c.attach(e.node, hello)
	if err != nil {
		return err
	}
	defer e.c.detach(cl)
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	go func() {
		defer cancel()
		for {
			req, err := stream.Recv()
			if err != nil {
				return
			}
			switch k := req.Kind.(type) {
			case *heartbeatv1.AttachRequest_Send:
				e.c.send(cl, k.Send)
			case *heartbeatv1.AttachRequest_SetInfo:
				e.c.setInfo(cl, k.SetInfo.Info)
			}
		}
	}()
	for {
		select {
		case ev := <-cl.events:
			if err := stream.Send(ev); err != nil {
				return err
			}
		case <-cl.gone:
			return status.Error(codes.Unavailable, "node is down")
		case <-ctx.Done():
			return nil
		}
	}
}

func (c *Cluster) attach(node string, hello *heartbeatv1.Hello) (*client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := node + "/" + hello.Client
	if c.clients[key] != nil || !c.nodes[node].up {
		return nil, status.Error(codes.Unavailable, "name in use, or node is down")
	}
	cl := &client{
		node: node, name: hello.Client, born: c.view + 1, info: hello.Info,
		events: make(chan *heartbeatv1.AttachEvent, 1<<16), gone: make(chan struct{}),
	}
	c.clients[key] = cl
	cl.put(&heartbeatv1.AttachEvent{Kind: &heartbeatv1.AttachEvent_Welcome{Welcome: &heartbeatv1.Welcome{
		Node: node, NodeId: c.nodes[node].id, Generation: 1, Cluster: "test",
	}}})
	c.install()
	return cl, nil
}

func (c *Cluster) detach(cl *client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if key := cl.node + "/" + cl.name; c.clients[key] == cl {
		delete(c.clients, key)
		c.install()
	}
}

func (c *Cluster) setInfo(cl *client, info map[string]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cl.info = info
	c.install()
}

func (c *Cluster) send(from *client, s *heartbeatv1.Send) {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := s.ToClient
	if name == "" {
		name = from.name
	}
	ev := &heartbeatv1.AttachEvent{Kind: &heartbeatv1.AttachEvent_Message{Message: &heartbeatv1.Message{
		FromNode: from.node, FromClient: from.name, View: c.view, Payload: s.Payload,
	}}}
	for _, cl := range c.clients {
		if cl.name == name && (s.ToNode == "" || s.ToNode == cl.node) {
			cl.put(ev)
		}
	}
}
