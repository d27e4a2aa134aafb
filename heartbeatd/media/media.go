// Package media carries datagrams between nodes over the paths that ha.cf
// names: ucast, bcast, mcast (HB 2) and ping (HB 11). It knows nothing of messages: what one
// node sends, the others may receive, several times or not at all.
//
// Every path has a reader of its own and a writer behind a bounded queue. A
// path that cannot be opened or that dies is reported and tried again, and
// stops neither the others nor the sender.
package media

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"linuxha/heartbeatd/hacf"
)

// Packet is a datagram that came in.
type Packet struct {
	Medium string // name of the link: the device (HB 2)
	Data   []byte // the receiver's own
}

// Media is what the server needs of them; Set is the real one.
type Media interface {
	// Run opens all paths and keeps them open until ctx ends.
	Run(ctx context.Context) error
	// Send puts p on every path without ever waiting; a path whose queue is
	// full drops it. p must not be changed afterwards.
	Send(p []byte)
	// Ping sends payload to a ping node without ever waiting; if the node is
	// alive, payload comes back as a Packet of the medium named as the node.
	Ping(node string, payload []byte)
	// Recv delivers what comes in on any path.
	Recv() <-chan Packet
}

const (
	queueLength = 4096 // datagrams waiting for one path's writer
	maxDatagram = 65507
	rcvBuffer   = 4 << 20
	retryFirst  = 100 * time.Millisecond
	retryLast   = 5 * time.Second
	// A path on which sending fails that long is opened anew.
	failingFor = time.Second
)

// Set is the media of one node.
type Set struct {
	paths  []*path
	pinger *pinger
	recv   chan Packet
	log    *slog.Logger
}

// path is one socket pair: the ucast lines of one device share one.
type path struct {
	set   *Set
	spec  hacf.Medium
	peers []string // ucast: their addresses
	queue chan []byte

	up      atomic.Bool // its sockets are open
	dropped atomic.Uint64
	tooBig  atomic.Uint64
}

// New prepares the media of ha.cf; Run opens them.
func New(list []hacf.Medium, pings []hacf.PingNode, log *slog.Logger) *Set {
	s := &Set{recv: make(chan Packet, 1024), log: log}
	s.pinger = newPinger(pings, s.recv, log)
	for _, m := range list {
		if p := s.shared(m); p != nil {
			p.peers = append(p.peers, m.Addr)
			continue
		}
		p := &path{set: s, spec: m, queue: make(chan []byte, queueLength)}
		if m.Addr != "" {
			p.peers = []string{m.Addr}
		}
		s.paths = append(s.paths, p)
	}
	return s
}

// shared finds the path that m joins: one reader serves all ucast peers behind
// a device, where 3.0.6 has a reader for each.
func (s *Set) shared(m hacf.Medium) *path {
	if m.Kind != "ucast" && m.Kind != "ucast6" {
		return nil
	}
	for _, p := range s.paths {
		if p.spec.Kind == m.Kind && p.spec.Dev == m.Dev && p.spec.Port == m.Port && p.spec.Local == m.Local {
			return p
		}
	}
	return nil
}

// Names are the links' names, each once.
func (s *Set) Names() []string {
	var names []string
	seen := map[string]bool{}
	for _, p := range s.paths {
		if !seen[p.spec.Dev] {
			seen[p.spec.Dev] = true
			names = append(names, p.spec.Dev)
		}
	}
	return names
}

// Up tells whether any path of that name is open.
func (s *Set) Up(name string) bool {
	for _, p := range s.paths {
		if p.spec.Dev == name && p.up.Load() {
			return true
		}
	}
	return false
}

// Recv implements Media.
func (s *Set) Recv() <-chan Packet { return s.recv }

// Send implements Media.
func (s *Set) Send(data []byte) {
	for _, p := range s.paths {
		if len(data) > maxDatagram {
			if p.tooBig.Add(1) == 1 {
				s.log.Error("a message does not fit into a datagram and is not sent", "medium", p.name(), "bytes", len(data))
			}
			continue
		}
		select {
		case p.queue <- data:
		default:
			if n := p.dropped.Add(1); n&(n-1) == 0 { // 1, 2, 4, 8, ...
				s.log.Warn("medium cannot keep up; datagrams dropped", "medium", p.name(), "dropped", n)
			}
		}
	}
}

// Dropped counts datagrams that found their path's queue full.
func (s *Set) Dropped() (n uint64) {
	for _, p := range s.paths {
		n += p.dropped.Load()
	}
	return n
}

// Run implements Media.
func (s *Set) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, p := range s.paths {
		g.Go(func() error { return p.run(ctx) })
	}
	if len(s.pinger.nodes) > 0 {
		g.Go(func() error { return s.pinger.run(ctx) })
	}
	return g.Wait()
}

func (p *path) name() string { return p.spec.Kind + " " + p.spec.Dev }

// run opens the path again and again until ctx ends.
func (p *path) run(ctx context.Context) error {
	wait, failures := retryFirst, 0
	for {
		began := time.Now()
		err := p.serve(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(began) > retryLast {
			wait, failures = retryFirst, 0
		}
		if errors.Is(err, errNoSupport) {
			p.set.log.Error(err.Error(), "medium", p.name())
			<-ctx.Done()
			return nil
		}
		if failures++; failures&(failures-1) == 0 {
			p.set.log.Warn("medium failed; trying again", "medium", p.name(), "err", err, "failures", failures)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		wait = min(2*wait, retryLast)
		p.drain()
	}
}

// drain empties the queue of what grew old while the path was down.
func (p *path) drain() {
	for {
		select {
		case <-p.queue:
		default:
			return
		}
	}
}

// serve opens the sockets and works until one fails.
func (p *path) serve(ctx context.Context) error {
	so, err := open(ctx, p.spec, p.peers, p.set.log)
	if err != nil {
		return err
	}
	defer so.close()
	p.up.Store(true)
	defer p.up.Store(false)
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.read(gctx, so.in) })
	g.Go(func() error { return p.write(gctx, so) })
	g.Go(func() error {
		<-gctx.Done()
		so.close() // ends the reader
		return nil
	})
	return g.Wait()
}

func (p *path) read(ctx context.Context, in *net.UDPConn) error {
	buf := make([]byte, maxDatagram+1)
	for {
		n, _, err := in.ReadFromUDPAddrPort(buf)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return err
			}
			if transient(err) {
				continue
			}
			return fmt.Errorf("read: %w", err)
		}
		select {
		case p.set.recv <- Packet{Medium: p.spec.Dev, Data: append([]byte(nil), buf[:n]...)}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (p *path) write(ctx context.Context, so *sockets) error {
	var failing time.Time // since when every write fails
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case data := <-p.queue:
			var failed error
			good := false
			for _, to := range so.to {
				if _, err := so.out.WriteToUDPAddrPort(data, to); err != nil {
					failed = err
				} else {
					good = true
				}
			}
			switch {
			case good || failed == nil:
				failing = time.Time{}
			case fatal(failed):
				return fmt.Errorf("write: %w", failed)
			case failing.IsZero():
				failing = time.Now()
				p.set.log.Warn("cannot send", "medium", p.name(), "err", failed)
			case time.Since(failing) > failingFor:
				return fmt.Errorf("write: %w", failed)
			}
		}
	}
}

// fatal errors mean that the device is gone, also if one of its name is back.
func fatal(err error) bool {
	for _, e := range []syscall.Errno{syscall.ENODEV, syscall.ENXIO, syscall.EBADF, syscall.EADDRNOTAVAIL} {
		if errors.Is(err, e) {
			return true
		}
	}
	return errors.Is(err, net.ErrClosed)
}

// transient errors tell of earlier datagrams, not of the socket.
func transient(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.EINTR) || errors.Is(err, syscall.ENETDOWN)
}

// sockets are an open path's.
type sockets struct {
	in, out *net.UDPConn
	to      []netip.AddrPort
	once    sync.Once
}

func (s *sockets) close() {
	s.once.Do(func() {
		s.in.Close()
		s.out.Close()
	})
}
