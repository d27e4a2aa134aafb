// Package cluster is a daemon's connection to the messaging layer: named
// clients on all members, ordered messages, agreed membership. It is the
// client side of proto/heartbeat/v1 Messaging and knows no daemon.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"google.golang.org/grpc"

	heartbeatv1 "linuxha/proto/heartbeat/v1"
)

// Conn is one attached client. Send may be called from any goroutine.
type Conn struct {
	Welcome *heartbeatv1.Welcome

	stream grpc.BidiStreamingClient[heartbeatv1.AttachRequest, heartbeatv1.AttachEvent]
	cancel context.CancelFunc
	events chan *heartbeatv1.AttachEvent

	mu  sync.Mutex // one sender at a time, as gRPC asks
	err error      // why events was closed; set before
}

// Attach signs on as client with facts for the membership and waits for the
// Welcome. It waits until heartbeatd serves, as long as ctx allows.
func Attach(ctx context.Context, cc grpc.ClientConnInterface, client string, info map[string]string) (*Conn, error) {
	sctx, cancel := context.WithCancel(ctx)
	stream, err := heartbeatv1.NewMessagingClient(cc).Attach(sctx, grpc.WaitForReady(true))
	if err != nil {
		cancel()
		return nil, fmt.Errorf("attach to heartbeatd as %q: %w", client, err)
	}
	hello := &heartbeatv1.AttachRequest{Kind: &heartbeatv1.AttachRequest_Hello{
		Hello: &heartbeatv1.Hello{Client: client, Info: info},
	}}
	if err := stream.Send(hello); err != nil {
		cancel()
		return nil, fmt.Errorf("attach to heartbeatd as %q: %w", client, err)
	}
	first, err := stream.Recv()
	if err != nil {
		cancel()
		return nil, fmt.Errorf("attach to heartbeatd as %q: %w", client, err)
	}
	welcome := first.GetWelcome()
	if welcome == nil {
		cancel()
		return nil, errors.New("attach to heartbeatd: first event is not a welcome: versions of heartbeatd and this daemon differ")
	}
	c := &Conn{Welcome: welcome, stream: stream, cancel: cancel, events: make(chan *heartbeatv1.AttachEvent, 256)}
	go c.receive(sctx)
	return c, nil
}

func (c *Conn) receive(ctx context.Context) {
	defer close(c.events)
	for {
		ev, err := c.stream.Recv()
		if err != nil {
			c.err = fmt.Errorf("connection to heartbeatd lost: %w", err)
			return
		}
		select {
		case c.events <- ev:
		case <-ctx.Done():
			c.err = context.Cause(ctx)
			return
		}
	}
}

// Events delivers memberships, messages and node statuses in order. It is
// closed when the connection ends; Err says why.
func (c *Conn) Events() <-chan *heartbeatv1.AttachEvent { return c.events }

// Err is the reason for the end of Events; valid after it was closed.
func (c *Conn) Err() error { return c.err }

// Send sends payload to client on node; an empty node is every member, the
// sender included, an empty client the same name as our own.
func (c *Conn) Send(node, client string, payload []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stream.Send(&heartbeatv1.AttachRequest{Kind: &heartbeatv1.AttachRequest_Send{
		Send: &heartbeatv1.Send{ToNode: node, ToClient: client, Payload: payload},
	}})
}

// SetInfo replaces the facts that the membership carries for this process.
func (c *Conn) SetInfo(info map[string]string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stream.Send(&heartbeatv1.AttachRequest{Kind: &heartbeatv1.AttachRequest_SetInfo{
		SetInfo: &heartbeatv1.SetInfo{Info: info},
	}})
}

// Close signs off.
func (c *Conn) Close() { c.cancel() }
