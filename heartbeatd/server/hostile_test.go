package server

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/ipv4"

	"linuxha/heartbeatd/hacf"
	"linuxha/heartbeatd/hamsg"
	"linuxha/heartbeatd/media"
	heartbeatv1 "linuxha/proto/heartbeat/v1"
)

// tap keeps what a node sends.
type tap struct {
	media.Media
	mu   sync.Mutex
	kept [][]byte
}

// beats are the times at which a node sent status messages.
type beats struct {
	mu sync.Mutex
	at []time.Time
}

func (b *beats) beat() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.at = append(b.at, time.Now())
}

func (m *tap) Send(p []byte) {
	m.mu.Lock()
	if len(m.kept) < 2000 {
		m.kept = append(m.kept, p)
	}
	m.mu.Unlock()
	m.Media.Send(p)
}

// longest is the longest time between two beats.
func (b *beats) longest() (gap time.Duration, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := 1; i < len(b.at); i++ {
		gap = max(gap, b.at[i].Sub(b.at[i-1]))
	}
	return gap, len(b.at)
}

func (m *tap) recorded() [][]byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([][]byte(nil), m.kept...)
}

// hostile makes the packets of somebody on the network who has no key, but has
// heard others speak.
func hostile(t testing.TB, recorded [][]byte) [][]byte {
	t.Helper()
	forge := func(method, secret string, number int, src string, seq int) []byte {
		m := hamsg.New("status")
		m.Add("st", "dead")
		m.Add("dt", "1")
		m.Add("protocol", "1")
		m.Add("src", src)
		m.AddBinary("srcuuid", make([]byte, 16))
		m.AddHex("seq", uint64(seq))
		m.Add("hg", "7fffffff")
		m.Add("ts", "1")
		p, err := hamsg.Encode(m, &hamsg.Keys{Send: number, All: map[int]hamsg.Key{number: {Method: method, Secret: secret}}}, hamsg.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	var out [][]byte
	rng := rand.New(rand.NewPCG(3, 4))
	for i := range 64 {
		p := recorded[rng.IntN(len(recorded))]
		flipped := append([]byte(nil), p...)
		flipped[rng.IntN(len(p))] ^= byte(1 << rng.IntN(8))
		out = append(out,
			p, // replayed as it was
			flipped,
			p[:rng.IntN(len(p))],
			forge("sha256", "guessed", 1, "bob", 100+i),
			forge("sha256", "guessed", 9, "carol", 100+i),
			forge("crc", "", 1, "alice", 1),
			[]byte(fmt.Sprintf("###\n%d:(0)t=status,%%%%%%\n3:1 x,", i)),
			[]byte(">>>\nt=status\nsrc=bob\nts=1\nseq=1\nauth=1 0\n<<<\n"),
			nil,
		)
	}
	huge := make([]byte, 60000)
	for i := range huge {
		huge[i] = byte(rng.Uint32())
	}
	return append(out, huge, append([]byte("###\n59990:(0)t="), huge[:59000]...))
}

// flood sends packets to addr at rate per second until ctx ends.
func flood(ctx context.Context, addr string, packets [][]byte, rate int) (sent int, err error) {
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer c.Close()
	to, err := net.ResolveUDPAddr("udp4", addr)
	if err != nil {
		return 0, err
	}
	pc := ipv4.NewPacketConn(c)
	const burst = 100
	tick := time.NewTicker(burst * time.Second / time.Duration(rate))
	defer tick.Stop()
	began, next := time.Now(), 0
	batch := make([]ipv4.Message, burst)
	for {
		select {
		case <-ctx.Done():
			return sent, nil
		case <-tick.C:
		}
		for due := int(time.Since(began).Seconds() * float64(rate)); sent < due; {
			for i := range batch {
				batch[i] = ipv4.Message{Buffers: [][]byte{packets[next]}, Addr: to}
				next = (next + 1) % len(packets)
			}
			n, err := pc.WriteBatch(batch, 0)
			if err != nil && n <= 0 {
				return sent, err
			}
			sent += n
		}
	}
}

// TestHostilePackets: forged, replayed, truncated, oversized and wrong-key
// packets at 50,000 a second change nothing and delay no heartbeat.
func TestHostilePackets(t *testing.T) {
	const rate, length = 50_000, 4 * time.Second
	for _, auth := range []string{"auth 1\n1 sha256 real\n", "auth 1\n1 aes256-gcm real\n"} {
		t.Run(strings.Fields(auth)[3], func(t *testing.T) {
			tc := newCluster(t)
			tc.dead = 5 * time.Second // half of it is what counts as late: this machine may be busy with other tests
			tc.keys = func() *hamsg.Keys { return keysOf(t, auth) }
			taps := map[string]*tap{}
			tc.wrap = func(name string, m media.Media) media.Media {
				taps[name] = &tap{Media: m}
				return taps[name]
			}
			conns, first := tc.formed(t)
			packets := hostile(t, append(taps["bob"].recorded(), taps["carol"].recorded()...))
			// What the machine is like without an attack.
			time.Sleep(length / 2)
			calm, _ := tc.nodes["alice"].beats.longest()
			ctx, cancel := context.WithTimeout(t.Context(), length)
			defer cancel()
			var wg sync.WaitGroup
			began := time.Now()
			sent := 0
			wg.Go(func() {
				var err error
				if sent, err = flood(ctx, fmt.Sprintf("127.0.0.10:%d", tc.port), packets, rate); err != nil {
					t.Errorf("flood: %v", err)
				}
			})
			// Work goes on meanwhile.
			const count = 200
			small := func(int) int { return 100 }
			for _, name := range names {
				wg.Go(func() {
					for i := range count {
						if err := conns[name].Send("", "", payload(name, i, small(i))); err != nil {
							t.Errorf("%s: %v", name, err)
						}
					}
				})
				wg.Go(func() { collect(t, conns[name], count, names, small) })
			}
			wg.Wait()
			perSecond := float64(sent) / time.Since(began).Seconds()
			if perSecond < rate/4 {
				t.Errorf("only %.0f packets a second were sent: this proves nothing", perSecond)
			}
			st, err := heartbeatv1.NewControlClient(tc.nodes["alice"].cc).GetStatus(t.Context(), &heartbeatv1.GetStatusRequest{})
			if err != nil {
				t.Fatal(err)
			}
			if st.Membership.Number != first.Number || len(st.Membership.Members) != len(names) {
				t.Errorf("the membership changed from %v to %v", first, st.Membership)
			}
			for _, name := range names {
				log := tc.nodes[name].logged.String()
				for _, bad := range []string{"is dead", "Late heartbeat", "returning after partition", "Heartbeat restart on node"} {
					if strings.Contains(log, bad) {
						t.Errorf("%s logged %q", name, bad)
					}
				}
				if n := strings.Count(log, "\n"); n > 500 {
					t.Errorf("%s wrote %d lines", name, n)
				}
			}
			gap, beats := tc.nodes["alice"].beats.longest()
			t.Logf("%d packets in %v (%.0f/s), %d of them found out; %d heartbeats of the attacked node, at most %v apart (keepalive %v; without the attack at most %v)",
				sent, length, perSecond, st.BadPackets, beats, gap.Round(time.Millisecond), keepalive, calm.Round(time.Millisecond))
			if beats < int(length/keepalive) || st.BadPackets == 0 {
				t.Error("too few heartbeats or bad packets were counted")
			}
			if limit := max(3*keepalive, 3*calm); gap > limit {
				t.Errorf("%v without a heartbeat, and at most %v without the attack", gap, calm)
			}
		})
	}
}

// TestRollOver changes keys twice without stopping anything: two keys are
// valid at once, and the method changes as well.
func TestRollOver(t *testing.T) {
	tc := newCluster(t)
	tc.dead = 3 * time.Second
	old := "auth 1\n1 sha1 old\n"
	tc.keys = func() *hamsg.Keys { return keysOf(t, old) }
	conns, first := tc.formed(t)
	const each, steps = 40, 4
	size := func(int) int { return 200 }
	var wg sync.WaitGroup
	for _, name := range names {
		wg.Go(func() { collect(t, conns[name], each*steps, names, size) })
	}
	for step, text := range []string{
		"auth 1\n1 sha1 old\n2 aes256-gcm new\n", // all learn the new key
		"auth 2\n1 sha1 old\n2 aes256-gcm new\n", // all use it
		"auth 2\n2 aes256-gcm new\n",             // all forget the old one
		"auth 2\n2 aes256-gcm new\n",
	} {
		for _, name := range names { // one node after the other, with messages in between
			n := tc.nodes[name]
			n.reload = Reloaded{Keys: keysOf(t, text)}
			if _, err := n.srv.ReloadFiles(); err != nil {
				t.Fatal(err)
			}
			for _, from := range names {
				for i := range each / len(names) {
					k := step*each + map[string]int{"alice": 0, "bob": 1, "carol": 2}[name]*(each/len(names)) + i
					if err := conns[from].Send("", "", payload(from, k, size(k))); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		for _, from := range names {
			k := step*each + each - 1
			if err := conns[from].Send("", "", payload(from, k, size(k))); err != nil {
				t.Fatal(err)
			}
		}
		if step == 1 { // let the messages signed with the old key come, and be sent again
			tc.quiet(t)
		}
	}
	wg.Wait()
	for _, name := range names {
		st, err := heartbeatv1.NewControlClient(tc.nodes[name].cc).GetStatus(t.Context(), &heartbeatv1.GetStatusRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if st.Membership.Number != first.Number {
			t.Errorf("%s: the membership changed: %v", name, st.Membership)
		}
	}
}

// quiet waits until no node waits for an acknowledgement of more than what
// one heartbeat in ten leaves open.
func (tc *testCluster) quiet(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(patience); ; {
		most := uint64(0)
		for _, name := range names {
			st, err := heartbeatv1.NewControlClient(tc.nodes[name].cc).GetStatus(t.Context(), &heartbeatv1.GetStatusRequest{})
			if err != nil {
				t.Fatal(err)
			}
			most = max(most, st.Unacknowledged)
		}
		if most <= 12 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d messages stay unacknowledged", most)
		}
		time.Sleep(10 * time.Millisecond) // nothing tells
	}
}

// TestReloadInPlace: what ha.cf may change while the node runs.
func TestReloadInPlace(t *testing.T) {
	tc := newCluster(t)
	conns, _ := tc.formed(t)
	n := tc.nodes["alice"]
	cfg := *n.srv.config()
	cfg.DeadTime, cfg.WarnTime, cfg.Keepalive = 800*time.Millisecond, 400*time.Millisecond, 50*time.Millisecond
	cfg.CRM = hacf.CRMRespawn // not while it runs
	cfg.Nodes = append(append([]string(nil), cfg.Nodes...), "dave")
	n.reload = Reloaded{Config: &cfg, Links: n.srv.opt.Links}
	text, err := n.srv.ReloadFiles()
	if err != nil || !strings.Contains(text, "deadtime: 800ms, was 400ms") || !strings.Contains(text, "Restart heartbeat for this change to take effect: crm: respawn, was no") {
		t.Errorf("%q %v", text, err)
	}
	if n.srv.config().CRM != hacf.CRMOff {
		t.Error("the CRM's mode changed at run time")
	}
	expect(t, conns["alice"], "a view with dave configured", func(ev *heartbeatv1.AttachEvent) bool {
		return len(ev.GetMembership().GetConfigured()) == 4
	})
	// bob waits for alice's new dead time now.
	began := time.Now()
	n.die()
	view(t, conns["bob"], "crmd", "bob", "carol")
	if took := time.Since(began); took < 600*time.Millisecond {
		t.Errorf("alice was dead after %v, with a dead time of 800ms", took)
	}
}
