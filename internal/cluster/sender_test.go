package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	heartbeatv1 "linuxha/proto/heartbeat/v1"
)

func message(i, size int) request {
	return request{send: &heartbeatv1.Send{ToClient: fmt.Sprint(i), Payload: bytes.Repeat([]byte("x"), size)}}
}

// stream is a gRPC stream whose Send waits until it is let.
type stream struct {
	frames chan *heartbeatv1.AttachRequest
	err    error
}

func (s *stream) Send(f *heartbeatv1.AttachRequest) error {
	s.frames <- f
	return s.err
}

// TestFrames: what is queued while a frame is on its way shares the next one,
// up to the frame's size and only with messages; the order stays.
func TestFrames(t *testing.T) {
	for _, batches := range []bool{true, false} {
		t.Run(fmt.Sprint("batches ", batches), func(t *testing.T) {
			st := &stream{frames: make(chan *heartbeatv1.AttachRequest)}
			s := newSender(st.Send, batches)
			var want []string
			put := func(r request, name string) {
				if err := s.put(r, true); err != nil {
					t.Fatal(err)
				}
				want = append(want, name)
			}
			for i := range 100 {
				put(message(i, 100), fmt.Sprint(i))
			}
			put(request{info: &heartbeatv1.SetInfo{Info: map[string]string{"a": "1"}}}, "info")
			for i := range 5 {
				put(message(100+i, frameBytes/2-frameOverhead), fmt.Sprint(100+i))
			}
			go s.run(t.Context())
			var got []string
			frames := 0
			for len(got) < len(want) {
				frames++
				switch k := (<-st.frames).Kind.(type) {
				case *heartbeatv1.AttachRequest_Send:
					got = append(got, k.Send.ToClient)
				case *heartbeatv1.AttachRequest_SetInfo:
					got = append(got, "info")
				case *heartbeatv1.AttachRequest_Sends:
					size := 0
					for _, m := range k.Sends.Send {
						got = append(got, m.ToClient)
						size += len(m.Payload)
					}
					if size > frameBytes {
						t.Errorf("frame of %d bytes", size)
					}
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("got %v, want %v", got, want)
			}
			if wantFrames := map[bool]int{true: 1 + 1 + 3, false: len(want)}[batches]; frames != wantFrames {
				t.Errorf("%d frames, want %d", frames, wantFrames)
			}
		})
	}
}

// TestFullQueue: who sends waits while too much is queued; an outbox never does.
func TestFullQueue(t *testing.T) {
	st := &stream{frames: make(chan *heartbeatv1.AttachRequest)}
	s := newSender(st.Send, true)
	for i := range 3 {
		if err := s.put(message(i, queueBytes/4), true); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.put(message(3, queueBytes), false); err != nil {
		t.Fatal(err)
	}
	waited := make(chan error, 1)
	go func() { waited <- s.put(message(4, 1), true) }()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go s.run(ctx)
	<-st.frames // what was queued is on its way: there is room
	if err := <-waited; err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		if err := s.put(message(5+i, queueBytes), false); err != nil {
			t.Fatal(err)
		}
	}
	go func() { waited <- s.put(message(9, queueBytes), true) }()
	cancel()
	if err := <-waited; !errors.Is(err, context.Canceled) {
		t.Errorf("waiting at the end: %v", err)
	}
}

// TestLostStream: its error is told to all who send from then on.
func TestLostStream(t *testing.T) {
	lost := errors.New("lost")
	st := &stream{frames: make(chan *heartbeatv1.AttachRequest, 1), err: lost}
	s := newSender(st.Send, true)
	ended := make(chan struct{})
	go func() { s.run(t.Context()); close(ended) }()
	if err := s.put(message(0, 1), true); err != nil {
		t.Fatal(err)
	}
	<-ended
	if err := s.put(message(1, 1), true); !errors.Is(err, lost) {
		t.Errorf("after the loss: %v", err)
	}
}
