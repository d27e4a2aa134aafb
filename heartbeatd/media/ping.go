package media

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sync/errgroup"

	"linuxha/heartbeatd/hacf"
)

// IANA's numbers.
const (
	protocolICMP   = 1
	protocolICMPv6 = 58
)

const (
	remembered   = 1024 // echo requests whose replies are waited for
	resolveEvery = time.Minute
)

// pinger sends echo requests to ping nodes and brings in their replies, whose
// payload is the message that we sent: the reply is the ping node's heartbeat
// (HB 11). A reply counts once, and only to a request that is remembered: a
// recorded one is no sign of life.
type pinger struct {
	recv    chan<- Packet
	log     *slog.Logger
	id      int
	changed chan struct{} // nodes were set

	mu    sync.Mutex
	nodes []hacf.PingNode
	addrs map[string][]netip.Addr // of nodes, as last resolved
	seq   uint16
	asked [remembered]asked
	queue [2]chan echo // per family
}

// asked is an echo request without its reply.
type asked struct {
	seq  uint16
	node string
	addr netip.Addr
}

type echo struct {
	node    string
	to      netip.Addr
	payload []byte
}

// families of addresses.
const (
	v4 = iota
	v6
)

func family(a netip.Addr) int {
	if a.Is4() {
		return v4
	}
	return v6
}

func newPinger(recv chan<- Packet, log *slog.Logger) *pinger {
	p := &pinger{recv: recv, log: log, id: os.Getpid() & 0xffff, changed: make(chan struct{}, 1)}
	p.queue = [2]chan echo{make(chan echo, 256), make(chan echo, 256)}
	return p
}

// set replaces the ping nodes. Addresses are known at once, names a moment later.
func (p *pinger) set(nodes []hacf.PingNode) {
	p.mu.Lock()
	old := p.addrs
	p.nodes, p.addrs = nodes, map[string][]netip.Addr{}
	for _, n := range nodes {
		p.addrs[n.Name] = old[n.Name]
		if literal := literals(n); len(literal) == len(n.Addrs) {
			p.addrs[n.Name] = literal
		}
	}
	p.mu.Unlock()
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

func literals(n hacf.PingNode) (out []netip.Addr) {
	for _, text := range n.Addrs {
		if a, err := netip.ParseAddr(text); err == nil {
			out = append(out, a.Unmap())
		}
	}
	return out
}

// Ping implements Media.
func (s *Set) Ping(node string, payload []byte) {
	p := s.pinger
	p.mu.Lock()
	addrs := p.addrs[node]
	p.mu.Unlock()
	for _, a := range addrs {
		select {
		case p.queue[family(a)] <- echo{node, a, payload}:
		default: // an echo that comes too late proves nothing
		}
	}
}

// run serves the families that are needed until ctx ends.
func (p *pinger) run(ctx context.Context) {
	var work sync.WaitGroup
	defer work.Wait()
	running := [2]bool{}
	again := time.NewTicker(resolveEvery)
	defer again.Stop()
	for {
		p.resolve(ctx)
		for f := range running {
			if !running[f] && p.needs(f) {
				running[f] = true
				work.Go(func() { p.keep(ctx, f) })
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-p.changed:
		case <-again.C:
		}
	}
}

func (p *pinger) needs(f int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, addrs := range p.addrs {
		if slices.ContainsFunc(addrs, func(a netip.Addr) bool { return family(a) == f }) {
			return true
		}
	}
	return false
}

// resolve looks names up; one that cannot be keeps the addresses it had.
func (p *pinger) resolve(ctx context.Context) {
	p.mu.Lock()
	nodes := p.nodes
	p.mu.Unlock()
	for _, n := range nodes {
		var addrs []netip.Addr
		for _, text := range n.Addrs {
			if a, err := netip.ParseAddr(text); err == nil {
				addrs = append(addrs, a.Unmap())
				continue
			}
			network := "ip4"
			if n.V6 {
				network = "ip6"
			}
			lctx, cancel := context.WithTimeout(ctx, 5*time.Second)
			found, err := net.DefaultResolver.LookupNetIP(lctx, network, text)
			cancel()
			if err != nil || len(found) == 0 {
				if ctx.Err() == nil {
					p.log.Warn("cannot resolve a ping node's name", "node", n.Name, "address", text, "err", err)
				}
				continue
			}
			addrs = append(addrs, found[0].Unmap())
		}
		p.mu.Lock()
		if len(addrs) > 0 && slices.ContainsFunc(p.nodes, func(m hacf.PingNode) bool { return m.Name == n.Name }) {
			p.addrs[n.Name] = addrs
		}
		p.mu.Unlock()
	}
}

// keep opens a family's socket again and again until ctx ends.
func (p *pinger) keep(ctx context.Context, f int) {
	for failures := 1; ; failures++ {
		err := p.serve(ctx, f)
		if ctx.Err() != nil {
			return
		}
		if failures&(failures-1) == 0 {
			p.log.Warn("ping medium failed; trying again", "err", err, "failures", failures)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(retryLast):
		}
	}
}

func (p *pinger) serve(ctx context.Context, f int) error {
	network, any := "ip4:icmp", "0.0.0.0"
	if f == v6 {
		network, any = "ip6:ipv6-icmp", "::"
	}
	conn, err := icmp.ListenPacket(network, any)
	if err != nil {
		return fmt.Errorf("open ICMP socket: %w", err)
	}
	if f == v6 {
		var only ipv6.ICMPFilter
		only.SetAll(true)
		only.Accept(ipv6.ICMPTypeEchoReply)
		err = conn.IPv6PacketConn().SetICMPFilter(&only)
	} else {
		var only ipv4.ICMPFilter
		only.SetAll(true)
		only.Accept(ipv4.ICMPTypeEchoReply)
		err = conn.IPv4PacketConn().SetICMPFilter(&only)
	}
	if err != nil {
		p.log.Debug("the ping socket gets all ICMP of this machine", "err", err)
	}
	p.log.Info("glib: ping heartbeat started.")
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.write(gctx, conn, f) })
	g.Go(func() error { return p.read(gctx, conn, f) })
	g.Go(func() error {
		<-gctx.Done()
		return conn.Close() // ends the reader
	})
	return g.Wait()
}

func (p *pinger) write(ctx context.Context, conn *icmp.PacketConn, f int) error {
	blamed := map[netip.Addr]bool{}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e := <-p.queue[f]:
			err := p.send(conn, f, e)
			if err != nil && !blamed[e.to] {
				p.log.Warn("cannot ping", "node", e.node, "address", e.to, "err", err)
			}
			blamed[e.to] = err != nil
		}
	}
}

func (p *pinger) send(conn *icmp.PacketConn, f int, e echo) error {
	p.mu.Lock()
	p.seq++
	seq := p.seq
	p.asked[seq%remembered] = asked{seq, e.node, e.to.WithZone("")}
	p.mu.Unlock()
	m := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: p.id, Seq: int(seq), Data: e.payload}}
	if f == v6 {
		m.Type = ipv6.ICMPTypeEchoRequest
	}
	b, err := m.Marshal(nil) // the kernel computes the checksum of ICMPv6
	if err != nil {
		return err
	}
	_, err = conn.WriteTo(b, &net.IPAddr{IP: e.to.AsSlice(), Zone: e.to.Zone()})
	return err
}

func (p *pinger) read(ctx context.Context, conn *icmp.PacketConn, f int) error {
	buf := make([]byte, 64<<10)
	protocol := protocolICMP
	if f == v6 {
		protocol = protocolICMPv6
	}
	for {
		n, from, err := conn.ReadFrom(buf)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			if transient(err) {
				continue
			}
			return fmt.Errorf("read: %w", err)
		}
		m, err := icmp.ParseMessage(protocol, buf[:n])
		if err != nil || m.Type != ipv4.ICMPTypeEchoReply && m.Type != ipv6.ICMPTypeEchoReply {
			continue
		}
		body, ok := m.Body.(*icmp.Echo)
		if !ok || body.ID != p.id {
			continue
		}
		node := p.answered(uint16(body.Seq), from)
		if node == "" {
			continue
		}
		select {
		case p.recv <- Packet{Medium: node, Data: append([]byte(nil), body.Data...)}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// answered names the ping node that was asked with seq, once; "" if the
// address was not asked.
func (p *pinger) answered(seq uint16, from net.Addr) string {
	ip, ok := from.(*net.IPAddr)
	if !ok {
		return ""
	}
	addr, ok := netip.AddrFromSlice(ip.IP)
	if !ok {
		return ""
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	a := &p.asked[seq%remembered]
	if a.node == "" || a.seq != seq || a.addr != addr.Unmap() {
		return ""
	}
	node := a.node
	a.node = ""
	return node
}
