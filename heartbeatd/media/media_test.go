package media

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"linuxha/heartbeatd/hacf"
)

var quiet = slog.New(slog.DiscardHandler)

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
		s := New(Options{Media: list, Log: quiet})
		if n := len(*s.paths.Load()); n != 1 {
			t.Fatalf("%d paths for the peers of one device, want 1", n)
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
	a := New(Options{Log: quiet, Media: []hacf.Medium{
		{Kind: "ucast", Dev: "nosuchdev", Addr: "10.0.0.1", Port: port},
		{Kind: "mcast", Dev: "nosuchdev", Addr: "239.0.0.1", Port: port},
		{Kind: "bcast", Dev: "nosuchdev", Port: port},
		{Kind: "serial", Dev: "/dev/null", Baud: 19200},
		{Kind: "ucast", Dev: "lo", Addr: "127.0.0.2", Local: "127.0.0.2", Port: port},
	}})
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
	a := New(Options{Log: quiet, Media: []hacf.Medium{{Kind: "ucast", Dev: "lo", Addr: "127.0.0.2", Local: "127.0.0.2", Port: freePort(t)}}})
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
	a := New(Options{Log: quiet, Pings: []hacf.PingNode{{Name: "group", Addrs: []string{"127.0.0.77", "127.0.0.78"}, Group: true}}})
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

// logged collects log lines.
type logged struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func (l *logged) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.b.String(), text)
}

// TestIPv6 carries datagrams over ::1, and over a multicast group on a device
// that can.
func TestIPv6(t *testing.T) {
	if c, err := net.ListenPacket("udp6", "[::1]:0"); err != nil {
		t.Skipf("no IPv6 here: %v", err)
	} else {
		c.Close()
	}
	a := New(Options{Log: quiet, Media: []hacf.Medium{{Kind: "ucast6", Dev: "lo", Addr: "::1", Local: "::1", Port: freePort(t)}}})
	run(t, a)
	exchange(t, a, a, "over ucast6", "lo")

	ifcs, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, ifc := range ifcs {
		if ifc.Flags&(net.FlagMulticast|net.FlagUp|net.FlagLoopback) != net.FlagMulticast|net.FlagUp || !hasLinkLocal(t, ifc) {
			continue
		}
		m := hacf.Medium{Kind: "mcast6", Dev: ifc.Name, Addr: "ff02::4242", Port: freePort(t), TTL: 1, Loop: true}
		b, c := New(Options{Log: quiet, Media: []hacf.Medium{m}}), New(Options{Log: quiet, Media: []hacf.Medium{m}})
		run(t, b)
		run(t, c)
		exchange(t, b, c, "over mcast6", ifc.Name)
		exchange(t, c, b, "and back", ifc.Name)
		return
	}
	t.Log("no device for multicast over IPv6: only ucast6 was tested")
}

func hasLinkLocal(t *testing.T, ifc net.Interface) bool {
	addrs, err := ifc.Addrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() {
			return true
		}
	}
	return false
}

// TestChange: media come and go while others stay as they are.
func TestChange(t *testing.T) {
	port := freePort(t)
	at := func(n int) hacf.Medium {
		addr := fmt.Sprintf("127.0.0.%d", n)
		return hacf.Medium{Kind: "ucast", Dev: "lo", Addr: addr, Local: addr, Port: port, Line: n}
	}
	s := New(Options{Log: quiet, Media: []hacf.Medium{at(2), at(3)}})
	run(t, s)
	exchange(t, s, s, "before", "lo")
	kept, gone := (*s.paths.Load())[1], (*s.paths.Load())[0]
	moved := at(3)
	moved.Line = 1
	s.Change([]hacf.Medium{moved, at(4)}, nil)
	paths := *s.paths.Load()
	if len(paths) != 2 || paths[0] != kept {
		t.Fatalf("the path that is in both lists was not kept")
	}
	await(t, "the old path to close and the new one to open", func() bool { return !gone.up.Load() && paths[1].up.Load() })
	exchange(t, s, s, "after", "lo")
}

func TestPing6(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("raw sockets need root")
	}
	if c, err := net.ListenPacket("udp6", "[::1]:0"); err != nil {
		t.Skipf("no IPv6 here: %v", err)
	} else {
		c.Close()
	}
	a := New(Options{Log: quiet, Pings: []hacf.PingNode{{Name: "six", Addrs: []string{"::1"}, V6: true}, {Name: "both", Addrs: []string{"::1", "127.0.0.1"}, Group: true}}})
	run(t, a)
	got := map[string]int{}
	deadline := time.After(5 * time.Second)
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for got["six"] < 2 || got["both"] < 2 {
		select {
		case p := <-a.Recv():
			got[p.Medium]++
		case <-again.C:
			a.Ping("six", []byte("x"))
			a.Ping("both", []byte("y"))
		case <-deadline:
			t.Fatalf("replies: %v", got)
		}
	}
}

// TestAReplyCountsOnce: what was not asked for, or was answered already, is no
// sign of life.
func TestAReplyCountsOnce(t *testing.T) {
	p := newPinger(nil, quiet)
	from := &net.IPAddr{IP: net.IPv4(192, 0, 2, 1)}
	p.asked[7] = asked{seq: 7, node: "router", addr: netip.MustParseAddr("192.0.2.1")}
	if n := p.answered(7, &net.IPAddr{IP: net.IPv4(192, 0, 2, 2)}); n != "" {
		t.Errorf("another address answered for %q", n)
	}
	if n := p.answered(7+remembered, from); n != "" {
		t.Errorf("a number never sent answered for %q", n)
	}
	if n := p.answered(7, from); n != "router" {
		t.Errorf("the answer was taken for one of %q", n)
	}
	if n := p.answered(7, from); n != "" {
		t.Error("the same answer counted twice")
	}
}

// TestBroadcastsAreNotHeardByTheirSender: others on the network hear them.
func TestBroadcastsAreNotHeardByTheirSender(t *testing.T) {
	port := freePort(t)
	node := func() *Set {
		s := New(Options{Log: quiet, Media: []hacf.Medium{{Kind: "bcast", Dev: "lo", Port: port}}})
		run(t, s)
		return s
	}
	a, b := node(), node()
	exchange(t, a, b, "from a", "lo")
	deadline := time.After(5 * time.Second)
	for {
		b.Send([]byte("from b"))
		select {
		case p := <-a.Recv():
			if string(p.Data) == "from b" {
				return
			}
			t.Fatalf("heard %q", p.Data)
		case <-deadline:
			t.Fatal("heard nothing of the other")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// TestUcastLeavesItselfOut: each node's ha.cf has a line for each node.
func TestUcastLeavesItselfOut(t *testing.T) {
	for _, tc := range []struct {
		ip, local string
		want      bool
	}{
		{"127.0.0.1", "", true},
		{"127.0.0.2", "", false}, // works on this device, but may be another node's
		{"127.0.0.2", "127.0.0.2", true},
		{"127.0.0.1", "127.0.0.2", false},
		{"192.0.2.1", "", false},
		{"::1", "", true},
	} {
		if tc.ip == "::1" && !strings.Contains(loopbackAddresses(t), "::1") {
			continue // a machine without IPv6
		}
		if got := isOwn(netip.MustParseAddr(tc.ip), "lo", tc.local); got != tc.want {
			t.Errorf("%s on lo bound to %q: own %v, want %v", tc.ip, tc.local, got, tc.want)
		}
	}
	port := freePort(t)
	a := New(Options{Log: quiet, Media: []hacf.Medium{
		{Kind: "ucast", Dev: "lo", Addr: "127.0.0.2", Local: "127.0.0.2", Port: port},
		{Kind: "ucast", Dev: "lo", Addr: "127.0.0.3", Local: "127.0.0.2", Port: port},
	}})
	b := New(Options{Log: quiet, Media: []hacf.Medium{{Kind: "ucast", Dev: "lo", Addr: "127.0.0.2", Local: "127.0.0.3", Port: port}}})
	run(t, a)
	run(t, b)
	exchange(t, a, b, "from a", "lo")
	select {
	case p := <-a.Recv():
		t.Errorf("heard %q of itself", p.Data)
	default:
	}
}

func loopbackAddresses(t *testing.T) string {
	t.Helper()
	ifc, err := net.InterfaceByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	addrs, err := ifc.Addrs()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(addrs)
}
