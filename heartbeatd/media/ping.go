package media

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/sync/errgroup"

	"linuxha/heartbeatd/hacf"
)

const protocolICMP = 1 // IANA's number

// pinger sends echo requests to ping nodes and brings in their replies, whose
// payload is the message that we sent: the reply is the ping node's heartbeat
// (HB 11).
type pinger struct {
	nodes []hacf.PingNode
	queue chan echo
	recv  chan<- Packet
	log   *slog.Logger
	id    int
	seq   atomic.Uint32
}

type echo struct {
	node    hacf.PingNode
	payload []byte
}

func newPinger(nodes []hacf.PingNode, recv chan<- Packet, log *slog.Logger) *pinger {
	return &pinger{nodes: nodes, queue: make(chan echo, 64), recv: recv, log: log, id: os.Getpid() & 0xffff}
}

// Ping implements Media.
func (s *Set) Ping(node string, payload []byte) {
	for _, n := range s.pinger.nodes {
		if n.Name != node {
			continue
		}
		select {
		case s.pinger.queue <- echo{n, payload}:
		default: // an echo that comes too late proves nothing
		}
	}
}

// run opens the socket again and again until ctx ends.
func (p *pinger) run(ctx context.Context) error {
	failures := 0
	for ctx.Err() == nil {
		err := p.serve(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if failures++; failures&(failures-1) == 0 {
			p.log.Warn("ping medium failed; trying again", "err", err, "failures", failures)
		}
		select {
		case <-ctx.Done():
		case <-time.After(retryLast):
		}
	}
	return nil
}

func (p *pinger) serve(ctx context.Context) error {
	conn, err := icmp.ListenPacket("ip4:icmp", "0.0.0.0")
	if err != nil {
		return fmt.Errorf("open ICMP socket: %w", err)
	}
	p.log.Info("glib: ping heartbeat started.")
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.write(gctx, conn) })
	g.Go(func() error { return p.read(gctx, conn) })
	g.Go(func() error {
		<-gctx.Done()
		return conn.Close() // ends the reader
	})
	return g.Wait()
}

func (p *pinger) write(ctx context.Context, conn *icmp.PacketConn) error {
	complained := false
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e := <-p.queue:
			for _, addr := range e.node.Addrs {
				ip, err := net.ResolveIPAddr("ip4", addr)
				if err == nil {
					err = p.send(conn, ip, e.payload)
				}
				if err != nil && !complained {
					p.log.Warn("cannot ping", "node", e.node.Name, "address", addr, "err", err)
				}
				complained = err != nil
			}
		}
	}
}

func (p *pinger) send(conn *icmp.PacketConn, ip *net.IPAddr, payload []byte) error {
	m := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: p.id, Seq: int(p.seq.Add(1) & 0xffff), Data: payload}}
	b, err := m.Marshal(nil)
	if err != nil {
		return err
	}
	_, err = conn.WriteTo(b, ip)
	return err
}

func (p *pinger) read(ctx context.Context, conn *icmp.PacketConn) error {
	buf := make([]byte, 64<<10)
	for {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return err
			}
			if transient(err) {
				continue
			}
			return fmt.Errorf("read: %w", err)
		}
		m, err := icmp.ParseMessage(protocolICMP, buf[:n])
		if err != nil || m.Type != ipv4.ICMPTypeEchoReply {
			continue // the socket gets all ICMP of this host
		}
		body, ok := m.Body.(*icmp.Echo)
		if !ok || body.ID != p.id {
			continue
		}
		node := p.nodeAt(from)
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

// nodeAt names the ping node with the address, "" if none has it.
func (p *pinger) nodeAt(from net.Addr) string {
	for _, n := range p.nodes {
		for _, addr := range n.Addrs {
			if ip, err := net.ResolveIPAddr("ip4", addr); err == nil && ip.String() == from.String() {
				return n.Name
			}
		}
	}
	return ""
}
