package cluster

import (
	"context"
	"fmt"
	"sync"

	heartbeatv1 "linuxha/proto/heartbeat/v1"
)

const (
	// frameBytes is what a frame with several messages has at most, about: gRPC's
	// next larger buffers have a megabyte, and are cleared.
	frameBytes    = 30 << 10
	frameOverhead = 48 // of a message in it
	// queueBytes may wait for the stream; then Send waits.
	queueBytes = 1 << 20
	// sendOverhead stands for a message's memory beside its payload.
	sendOverhead = 128
)

// request is one thing to ask of heartbeatd: a message, or facts.
type request struct {
	send *heartbeatv1.Send
	info *heartbeatv1.SetInfo
}

// sender owns the sending side of the stream. What is queued while a frame is
// on its way shares the next one: many small messages cost little, and a lone
// one waits for nothing.
type sender struct {
	send    func(*heartbeatv1.AttachRequest) error
	batches bool // heartbeatd understands several messages in a frame

	mu     sync.Mutex
	room   sync.Cond // the queue was taken, or failed is set
	queue  []request
	bytes  int
	failed error
	ready  chan struct{}
}

func newSender(send func(*heartbeatv1.AttachRequest) error, batches bool) *sender {
	s := &sender{send: send, batches: batches, ready: make(chan struct{}, 1)}
	s.room.L = &s.mu
	return s
}

// put queues r, whose payload nobody writes to any more. With wait it blocks
// while too much is queued. The error is why nothing can be sent any more.
func (s *sender) put(r request, wait bool) error {
	size := len(r.send.GetPayload()) + sendOverhead
	s.mu.Lock()
	defer s.mu.Unlock()
	for wait && s.failed == nil && s.bytes > 0 && s.bytes+size > queueBytes {
		s.room.Wait()
	}
	if s.failed != nil {
		return s.failed
	}
	s.queue = append(s.queue, r)
	s.bytes += size
	if len(s.queue) == 1 {
		select {
		case s.ready <- struct{}{}:
		default: // run looks at the queue anyway
		}
	}
	return nil
}

// fail ends the sending: who waits, and all who come, get err.
func (s *sender) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == nil {
		s.failed, s.queue = err, nil
	}
	s.room.Broadcast()
}

// run sends what is queued until ctx ends or the stream fails.
func (s *sender) run(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() {
		s.fail(fmt.Errorf("connection to heartbeatd closed: %w", context.Cause(ctx)))
	})
	defer stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.ready:
		}
		s.mu.Lock()
		queue := s.queue
		s.queue, s.bytes = nil, 0
		s.room.Broadcast()
		s.mu.Unlock()
		for len(queue) > 0 {
			n := s.together(queue)
			if err := s.send(frame(queue[:n])); err != nil {
				s.fail(fmt.Errorf("connection to heartbeatd lost: %w", err))
				return
			}
			queue = queue[n:]
		}
	}
}

// together is how many of the queue's first requests share a frame.
func (s *sender) together(queue []request) int {
	if !s.batches || queue[0].send == nil {
		return 1
	}
	n, bytes := 1, len(queue[0].send.Payload)+frameOverhead
	for n < len(queue) && queue[n].send != nil {
		if bytes += len(queue[n].send.Payload) + frameOverhead; bytes > frameBytes {
			break
		}
		n++
	}
	return n
}

func frame(requests []request) *heartbeatv1.AttachRequest {
	first := requests[0]
	switch {
	case first.send == nil:
		return &heartbeatv1.AttachRequest{Kind: &heartbeatv1.AttachRequest_SetInfo{SetInfo: first.info}}
	case len(requests) == 1:
		return &heartbeatv1.AttachRequest{Kind: &heartbeatv1.AttachRequest_Send{Send: first.send}}
	}
	all := make([]*heartbeatv1.Send, len(requests))
	for i, r := range requests {
		all[i] = r.send
	}
	return &heartbeatv1.AttachRequest{Kind: &heartbeatv1.AttachRequest_Sends{Sends: &heartbeatv1.Sends{Send: all}}}
}
