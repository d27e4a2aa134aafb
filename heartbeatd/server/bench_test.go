package server

import (
	"math/rand/v2"
	"sync"
	"testing"

	"linuxha/internal/cluster"
	heartbeatv1 "linuxha/proto/heartbeat/v1"
)

// benchCluster is formed without the checks of the tests.
func benchCluster(b *testing.B) (*testCluster, map[string]*cluster.Conn) {
	b.Helper()
	tc := newCluster(b)
	conns := map[string]*cluster.Conn{}
	for _, name := range names {
		tc.start(name, "")
	}
	for _, name := range names {
		conns[name] = tc.nodes[name].attach("crmd", nil)
	}
	for _, name := range names {
		view(b, conns[name], "crmd", names...)
	}
	return tc, conns
}

// BenchmarkRoundTrip: a message from client to client on another node and back.
func BenchmarkRoundTrip(b *testing.B) {
	_, conns := benchCluster(b)
	go func() {
		for ev := range conns["bob"].Events() {
			if m := ev.GetMessage(); m != nil {
				if conns["bob"].Send("alice", "", m.Payload) != nil {
					return
				}
			}
		}
	}()
	for b.Loop() {
		if err := conns["alice"].Send("bob", "", []byte("ping")); err != nil {
			b.Fatal(err)
		}
		for ev := range conns["alice"].Events() {
			if ev.GetMessage() != nil {
				break
			}
		}
	}
}

// BenchmarkBroadcast: 100 kB to all members, the sender included.
func BenchmarkBroadcast(b *testing.B) {
	_, conns := benchCluster(b)
	p := payload("x", 0, 100_000)
	b.SetBytes(int64(len(p)))
	got := make(chan struct{}, 1<<20)
	for _, name := range names {
		go func() {
			for ev := range conns[name].Events() {
				if ev.GetMessage() != nil {
					got <- struct{}{}
				}
			}
		}()
	}
	sent := 0
	for b.Loop() {
		if err := conns["alice"].Send("", "", p); err != nil {
			b.Fatal(err)
		}
		sent++
	}
	for range 3 * sent {
		<-got
	}
}

// BenchmarkSmall: 100 B to all members, the sender included, as fast as the
// sender is allowed to.
func BenchmarkSmall(b *testing.B) { benchFlood(b, 100) }

// BenchmarkLarge: the same with 10 KB that cannot be compressed.
func BenchmarkLarge(b *testing.B) { benchFlood(b, 10<<10) }

func benchFlood(b *testing.B, size int) {
	tc, conns := benchCluster(b)
	p := make([]byte, size)
	rng := rand.NewPCG(1, 2)
	for i := range p {
		p[i] = byte(rng.Uint64())
	}
	b.SetBytes(int64(len(p)))
	var got sync.WaitGroup
	for _, name := range names {
		got.Go(func() {
			n := 0
			for ev := range conns[name].Events() {
				if ev.GetMessage() == nil {
					continue
				}
				if n++; n == b.N {
					return
				}
			}
			b.Errorf("%s lost its stream after %d messages: %v", name, n, conns[name].Err())
		})
	}
	b.ResetTimer()
	for range b.N {
		if err := conns["alice"].Send("", "", p); err != nil {
			b.Fatal(err)
		}
	}
	got.Wait()
	b.StopTimer()
	st, err := heartbeatv1.NewControlClient(tc.nodes["alice"].cc).GetStatus(b.Context(), &heartbeatv1.GetStatusRequest{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(st.Resent)/float64(b.N), "resent/op")
}
