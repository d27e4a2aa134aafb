package server

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"linuxha/heartbeatd/ccm"
	"linuxha/heartbeatd/hamsg"
	"linuxha/internal/cluster"
	heartbeatv1 "linuxha/proto/heartbeat/v1"
)

// TestMessagesTogether: what shares a message comes out as it went in.
func TestMessagesTogether(t *testing.T) {
	p, err := newPacker(fragmentSize)
	if err != nil {
		t.Fatal(err)
	}
	a, err := newAssembler()
	if err != nil {
		t.Fatal(err)
	}
	view := ccm.ViewID{Number: 7, Coordinator: "alice", Generation: 3}
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom([]string{"cib", "crmd", "attrd"})
		var in []small
		for range rapid.IntRange(1, 20).Draw(t, "messages") {
			in = append(in, small{name.Draw(t, "from"), name.Draw(t, "to"), rapid.SliceOfN(rapid.Byte(), 0, 50).Draw(t, "payload")})
		}
		m, err := p.together("bob", view.Proto(), in)
		if err != nil {
			t.Fatal(err)
		}
		if m.Get("dest") != "bob" {
			t.Errorf("dest %q", m.Get("dest"))
		}
		gotView, got, err := a.unpack("alice", m)
		if err != nil || gotView != view || len(got) != len(in) {
			t.Fatalf("view %v, %d messages, %v; want %v, %d", gotView, len(got), err, view, len(in))
		}
		for i, d := range got {
			if d.to != in[i].to || d.message.FromClient != in[i].from || d.message.FromNode != "alice" || d.message.View != 7 || !bytes.Equal(d.message.Payload, in[i].payload) {
				t.Errorf("message %d: to %s, %v; want %+v", i, d.to, d.message, in[i])
			}
		}
	})
}

// TestWindow: what is in flight is counted in bytes, over the ring's end too.
func TestWindow(t *testing.T) {
	var w window
	size := func(seq uint64) int { return int(seq*37%1000) + 1 }
	for seq := uint64(1); seq <= 3000; seq++ {
		w.sent(seq, size(seq))
		w.sent(seq-1, 1<<20) // sent again: known
		for _, n := range []uint64{0, 1, 10, 500, 1023, 2000} {
			want := 0
			for k := seq - min(n, 1023, seq) + 1; k <= seq; k++ {
				want += size(k)
			}
			if got := w.inFlight(int(n)); got != want {
				t.Fatalf("last %d messages up to %d: %d bytes, want %d", n, seq, got, want)
			}
		}
	}
}

// TestManySizesInOrder: small messages that travel together, large ones in
// pieces and messages to single nodes keep their order.
func TestManySizesInOrder(t *testing.T) {
	tc := newCluster(t)
	tc.dead = 5 * time.Second // the machine is busy
	conns, _ := tc.formed(t)
	const count = 3000
	size := func(i int) int {
		switch {
		case i%500 == 0:
			return 3 * fragmentSize
		case i%50 == 0:
			return smallSize + i%2
		}
		return 20 + i%300
	}
	go func() {
		for i := range count {
			to := ""
			if i%7 == 0 {
				to = "bob"
			}
			if conns["alice"].Send(to, "", payload("x", i, size(i))) != nil {
				return // the receivers will complain
			}
		}
	}()
	for name, conn := range conns {
		for i := range count {
			if i%7 == 0 && name != "bob" {
				continue
			}
			want := payload("x", i, size(i))
			for got := false; !got; {
				ev, ok := <-conn.Events()
				if !ok {
					t.Fatalf("%s: %v", name, conn.Err())
				}
				if m := ev.GetMessage(); m != nil {
					if got = true; !bytes.Equal(m.Payload, want) {
						t.Fatalf("%s: message %d has %d bytes %.20q, want %d %.20q", name, i, len(m.Payload), m.Payload, len(want), want)
					}
				}
			}
		}
	}
}

// TestClientWithoutBatches: who does not say that it understands several
// messages in a frame gets them one by one.
func TestClientWithoutBatches(t *testing.T) {
	tc := newCluster(t)
	conns, _ := tc.formed(t)
	stream, err := heartbeatv1.NewMessagingClient(tc.nodes["bob"].cc).Attach(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&heartbeatv1.AttachRequest{Kind: &heartbeatv1.AttachRequest_Hello{Hello: &heartbeatv1.Hello{Client: "plain"}}}); err != nil {
		t.Fatal(err)
	}
	if ev, err := stream.Recv(); err != nil || !ev.GetWelcome().GetBatches() {
		t.Fatalf("welcome %v, %v", ev, err)
	}
	const count = 500
	sendCount(t, conns["alice"], "bob", "plain", count)
	for i := 0; i < count; {
		ev, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if ev.GetMessages() != nil {
			t.Fatal("several messages in one event")
		}
		if m := ev.GetMessage(); m != nil {
			if string(m.Payload) != fmt.Sprint(i) {
				t.Fatalf("message %q, want %d", m.Payload, i)
			}
			i++
		}
	}
}

func sendCount(t *testing.T, from *cluster.Conn, node, client string, count int) {
	t.Helper()
	for i := range count {
		if err := from.Send(node, client, fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
}

func FuzzBatch(f *testing.F) {
	f.Add([]byte("\n\x04\x08\x07\x12\x00\x12\x0a\n\x03cib\x1a\x03one\x12\x05\x1a\x03two"))
	f.Fuzz(func(t *testing.T, pb []byte) {
		a, err := newAssembler()
		if err != nil {
			t.Fatal(err)
		}
		m := hamsg.New(typeData)
		m.AddBinary("pbs", pb)
		view, got, err := a.unpack("bob", m)
		if err != nil && len(got) > 0 {
			t.Errorf("messages and an error: %v", err)
		}
		for _, d := range got {
			if d.message.FromNode != "bob" || d.message.View != view.Number {
				t.Errorf("message of %q in view %d, want bob's in %d", d.message.FromNode, d.message.View, view.Number)
			}
		}
	})
}
