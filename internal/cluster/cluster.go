// Package cluster is a daemon's connection to the messaging layer: named
// clients on all members, ordered messages, agreed membership. It is the
// client side of proto/heartbeat/v1 Messaging and knows no daemon.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"google.golang.org/grpc"

	heartbeatv1 "linuxha/proto/heartbeat/v1"
)

// Conn is one attached client. Send may be called from any goroutine.
type Conn struct {
	Welcome *heartbeatv1.Welcome

	stream grpc.BidiStreamingClient[heartbeatv1.AttachRequest, heartbeatv1.AttachEvent]
	cancel context.CancelFunc
	events chan *heartbeatv1.AttachEvent
	sender *sender

	err error // why events was closed; set before
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
		Hello: &heartbeatv1.Hello{Client: client, Info: info, Batches: true},
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
	c := &Conn{
		Welcome: welcome, stream: stream, cancel: cancel, events: make(chan *heartbeatv1.AttachEvent, 256),
		sender: newSender(stream.Send, welcome.Batches),
	}
	go c.receive(sctx)
	go c.sender.run(sctx)
	return c, nil
}

func (c *Conn) receive(ctx context.Context) {
	defer close(c.events)
	defer c.cancel() // the sender's end too, also if nobody closes us
	for {
		ev, err := c.stream.Recv()
		if err != nil {
			c.err = fmt.Errorf("connection to heartbeatd lost: %w", err)
			c.sender.fail(c.err)
			return
		}
		several := ev.GetMessages().GetMessage()
		if several == nil {
			if !c.hand(ctx, ev) {
				return
			}
			continue
		}
		for _, m := range several {
			if !c.hand(ctx, &heartbeatv1.AttachEvent{Kind: &heartbeatv1.AttachEvent_Message{Message: m}}) {
				return
			}
		}
	}
}

// hand puts an event into the queue; false: ctx has ended.
func (c *Conn) hand(ctx context.Context, ev *heartbeatv1.AttachEvent) bool {
	select {
	case c.events <- ev:
		return true
	case <-ctx.Done():
		c.err = context.Cause(ctx)
		return false
	}
}

// Events delivers memberships, messages and node statuses in order. It is
// closed when the connection ends; Err says why.
func (c *Conn) Events() <-chan *heartbeatv1.AttachEvent { return c.events }

// Err is the reason for the end of Events; valid after it was closed.
func (c *Conn) Err() error { return c.err }

// Send sends payload to client on node; an empty node is every member, the
// sender included, an empty client the same name as our own. It returns once
// the message is queued, and waits while too much is; payload must not be
// written to afterwards. An error tells that the connection is lost.
func (c *Conn) Send(node, client string, payload []byte) error {
	return c.put(node, client, payload, true)
}

func (c *Conn) put(node, client string, payload []byte, wait bool) error {
	return c.sender.put(request{send: &heartbeatv1.Send{ToNode: node, ToClient: client, Payload: payload}}, wait)
}

// SetInfo replaces the facts that the membership carries for this process. It
// does not wait. An error tells that the connection is lost.
func (c *Conn) SetInfo(info map[string]string) error {
	return c.sender.put(request{info: &heartbeatv1.SetInfo{Info: maps.Clone(info)}}, false)
}

// Close signs off.
func (c *Conn) Close() { c.cancel() }
