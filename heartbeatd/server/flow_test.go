package server

import (
	"fmt"
	"testing"
	"time"

	"linuxha/heartbeatd/hamsg"
	"linuxha/heartbeatd/link"
)

// TestSlowClientSlowsTheSender: a client that reads slower than another one
// sends holds that one up, and loses neither messages nor its stream.
func TestSlowClientSlowsTheSender(t *testing.T) {
	tc := newCluster(t)
	tc.dead = 5 * time.Second // the machine is busy
	conns, _ := tc.formed(t)
	slow := tc.nodes["carol"].attach("slow", nil)
	const (
		size  = 10_000
		count = 6 * holdAt / size
	)
	sent, most := make(chan error, 1), 0
	go func() {
		for i := range count {
			if err := conns["alice"].Send("carol", "slow", payload("x", i, size)); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	for i := 0; i < count; {
		ev, ok := <-slow.Events()
		if !ok {
			t.Fatalf("after %d of %d messages: %v", i, count, slow.Err())
		}
		if m := ev.GetMessage(); m != nil {
			if want := payload("x", i, size); string(m.Payload) != string(want) {
				t.Fatalf("message %d is %.20q, want %.20q", i, m.Payload, want)
			}
			if i++; i%100 == 0 {
				time.Sleep(100 * time.Millisecond) // it works on what it got
				carol := tc.nodes["carol"].srv
				carol.do(func(time.Time) { most = max(most, waits(carol.clients["slow"])) })
			}
		}
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if most > 2*holdAt { // without holding, nearly all would
		t.Errorf("up to %d bytes waited for the client, want about %d", most, holdAt)
	}
}

// TestHold: a request to hold is in force until it is taken back, its time has
// passed, or its node is dead; no request is believed for ever.
func TestHold(t *testing.T) {
	s := &Server{flow: flow{held: map[string]time.Time{}}}
	now := time.Now()
	hold := func(node, ms string) {
		m := hamsg.New(typeFlow)
		m.Add("hold", ms)
		s.heldBy(now, &link.Packet{Src: node, Message: m})
	}
	for _, tc := range []struct {
		ms   string
		want time.Duration
	}{{"300", 300 * time.Millisecond}, {"0", 0}, {"99999999999999", longestHold}, {"-5", 0}, {"many", 0}} {
		t.Run(fmt.Sprint("hold ", tc.ms), func(t *testing.T) {
			hold("bob", tc.ms)
			if tc.want > 0 && !s.waiting(now.Add(tc.want-time.Millisecond)) {
				t.Error("does not wait")
			}
			if s.waiting(now.Add(tc.want)) {
				t.Errorf("waits longer than %v", tc.want)
			}
		})
	}
	hold("bob", "300")
	hold("carol", "300")
	hold("bob", "0")
	if !s.waiting(now) {
		t.Error("one node's release releases another")
	}
}

func waits(c *client) int {
	bytes, _ := c.backlog.state()
	return bytes
}
