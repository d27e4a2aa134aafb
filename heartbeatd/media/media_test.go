package media

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"linuxha/heartbeatd/hacf"
)

// freePort finds a UDP port that nobody uses on the addresses of the tests.
func freePort(t *testing.T) int {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return int(netip.MustParseAddrPort(c.LocalAddr().String()).Port())
}

func run(t *testing.T, s *Set) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(5 * time.Second):
			t.Error("Run does not end")
		}
	})
}

// exchange sends on from until to has it: the sockets may still be opening.
func exchange(t *testing.T, from, to *Set, text, medium string) {
	t.Helper()
	deadline := time.After(5 * time.Second)
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		from.Send([]byte(text))
		select {
		case p := <-to.Recv():
			if string(p.Data) == text && p.Medium == medium {
				return
			}
		case <-again.C:
		case <-deadline:
			t.Fatalf("%q did not arrive over %s", text, medium)
		}
	}
}

func TestUcastOverLoopbackAddresses(t *testing.T) {
	port := freePort(t)
	node := func(own string, peers ...string) *Set {
		var list []hacf.Medium
		for _, p := range peers {
			list = append(list, hacf.Medium{Kind: "ucast", Dev: "lo", Addr: p, Local: own, Port: port})
		}
		s := New(list, nil, slog.New(slog.DiscardHandler))
		if len(s.paths) != 1 {
			t.Fatalf("%d paths for the peers of one device, want 1", len(s.paths))
		}
		run(t, s)
		return s
	}
	a := node("127.0.0.2", "127.0.0.3", "127.0.0.4")
	b := node("127.0.0.3", "127.0.0.2", "127.0.0.4")
	c := node("127.0.0.4", "127.0.0.2", "127.0.0.3")
	exchange(t, a, b, "from a", "lo")
	exchange(t, a, c, "from a", "lo")
	exchange(t, b, c, "from b", "lo")
	exchange(t, c, a, "from c", "lo")
}

func TestABadMediumStopsNoOther(t *testing.T) {
	port := freePort(t)
	a := New([]hacf.Medium{
		{Kind: "ucast", Dev: "nosuchdev", Addr: "10.0.0.1", Port: port},
		{Kind: "mcast", Dev: "nosuchdev", Addr: "239.0.0.1", Port: port},
		{Kind: "bcast", Dev: "nosuchdev", Port: port},
		{Kind: "serial", Dev: "/dev/null"},
		{Kind: "ucast", Dev: "lo", Addr: "127.0.0.2", Local: "127.0.0.2", Port: port},
	}, nil, slog.New(slog.DiscardHandler))
	run(t, a)
	exchange(t, a, a, "to myself", "lo")
	if !a.Up("lo") || a.Up("nosuchdev") {
		t.Errorf("lo up: %v, nosuchdev up: %v", a.Up("lo"), a.Up("nosuchdev"))
	}
	for range 3 * queueLength { // the writer of a dead path takes nothing: Send must not wait
		a.Send([]byte("x"))
	}
	if a.Dropped() == 0 {
		t.Error("nothing dropped although three paths are down")
	}
}

func TestTooBigADatagramIsNotSent(t *testing.T) {
	a := New([]hacf.Medium{{Kind: "ucast", Dev: "lo", Addr: "127.0.0.2", Local: "127.0.0.2", Port: freePort(t)}}, nil, slog.New(slog.DiscardHandler))
	run(t, a)
	a.Send(make([]byte, maxDatagram+1))
	exchange(t, a, a, "small", "lo")
}

func TestBroadcastAddress(t *testing.T) {
	got, err := broadcast("lo")
	if err != nil {
		t.Skip(err)
	}
	if want := netip.MustParseAddr("127.255.255.255"); got != want {
		t.Errorf("broadcast of lo = %v, want %v", got, want)
	}
}

func TestPing(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("raw sockets need root")
	}
	a := New(nil, []hacf.PingNode{{Name: "group", Addrs: []string{"127.0.0.77", "127.0.0.78"}, Group: true}}, slog.New(slog.DiscardHandler))
	run(t, a)
	deadline := time.After(5 * time.Second)
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for n := 0; n < 2; {
		a.Ping("nobody", []byte("to nobody"))
		a.Ping("group", []byte("are you there"))
		select {
		case p := <-a.Recv():
			if p.Medium != "group" || string(p.Data) != "are you there" {
				t.Fatalf("got %q over %s", p.Data, p.Medium)
			}
			n++
		case <-again.C:
		case <-deadline:
			t.Fatal("no reply")
		}
	}
}
