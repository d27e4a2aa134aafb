// Package media carries messages between nodes over the paths that ha.cf
// names: ucast, bcast, mcast over IPv4 and IPv6 (HB 2), serial lines (HB 10)
// and ping (HB 11). What one node sends, the others may receive, several times
// or not at all. It knows nothing of what is in a message; only a serial line's
// framing asks for another encoding of it (Options.Classic).
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
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"linuxha/heartbeatd/hacf"
)

// Packet is a message that came in.
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

// Options are what a Set is made of.
type Options struct {
	Media []hacf.Medium
	Pings []hacf.PingNode
	Log   *slog.Logger
	// Classic makes the classic encoding of a message as it is sent elsewhere,
	// signed anew: what serial lines carry (HB 10). Needed for those only.
	Classic func([]byte) ([]byte, error)
	// LineTime is how long one message may occupy a serial line: what would
	// take longer is not sent there. 0: any time.
	LineTime time.Duration
	// LockDir is where serial devices are locked; "": /var/lock.
	LockDir string
}

// Set is the media of one node.
type Set struct {
	opt    Options
	log    *slog.Logger
	recv   chan Packet
	pinger *pinger

	mu      sync.Mutex // of the below: Change replaces them
	paths   atomic.Pointer[[]*path]
	started context.Context // of Run; nil before
	work    sync.WaitGroup
}

// path is one socket pair or line: the ucast lines of one device share one.
type path struct {
	set   *Set
	spec  hacf.Medium
	peers []string // ucast: their addresses
	queue chan []byte
	// urgent are small messages, which go before large ones on slow paths.
	urgent chan []byte
	stop   context.CancelFunc // of the running path; nil before

	up      atomic.Bool // its sockets are open
	trouble atomic.Pointer[string]
	dropped atomic.Uint64
	tooBig  atomic.Uint64
	sent    atomic.Uint64
	got     atomic.Uint64
}

// wire is an open path.
type wire interface {
	// receive hands each message to emit, which takes it over, until the wire
	// fails or is closed.
	receive(emit func([]byte)) error
	// send sends one message; an error may be of this message alone.
	send(data []byte) error
	close()
}

// New prepares the media of ha.cf; Run opens them.
func New(opt Options) *Set {
	if opt.LockDir == "" {
		opt.LockDir = "/var/lock"
	}
	s := &Set{opt: opt, recv: make(chan Packet, 1024), log: opt.Log}
	s.pinger = newPinger(s.recv, opt.Log)
	s.pinger.set(opt.Pings)
	paths := s.plan(opt.Media)
	s.paths.Store(&paths)
	return s
}

// plan makes the paths of a list of media.
func (s *Set) plan(list []hacf.Medium) []*path {
	var paths []*path
	for _, m := range list {
		if p := shared(paths, m); p != nil {
			if !slices.Contains(p.peers, m.Addr) {
				p.peers = append(p.peers, m.Addr)
			}
			continue
		}
		p := &path{set: s, spec: m, queue: make(chan []byte, queueLength)}
		if m.Kind == "serial" {
			p.queue, p.urgent = make(chan []byte, lineQueue), make(chan []byte, lineQueue)
		}
		if m.Addr != "" {
			p.peers = []string{m.Addr}
		}
		paths = append(paths, p)
	}
	return paths
}

// shared finds the path that m joins: one reader serves all ucast peers behind
// a device, where 3.0.6 has a reader for each.
func shared(paths []*path, m hacf.Medium) *path {
	if m.Kind != "ucast" && m.Kind != "ucast6" {
		return nil
	}
	for _, p := range paths {
		if p.spec.Kind == m.Kind && p.spec.Dev == m.Dev && p.spec.Port == m.Port && p.spec.Local == m.Local {
			return p
		}
	}
	return nil
}

// same tells whether a running path does what another is to do.
func (p *path) same(q *path) bool {
	a, b := p.spec, q.spec
	a.Line, b.Line = 0, 0
	a.Addr, b.Addr = "", ""
	return a == b && slices.Equal(slices.Sorted(slices.Values(p.peers)), slices.Sorted(slices.Values(q.peers)))
}

// Change makes the paths those of another list: the ones that are in both go
// on undisturbed (HB 20.4).
func (s *Set) Change(list []hacf.Medium, pings []hacf.PingNode) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := *s.paths.Load()
	var next []*path
	for _, p := range s.plan(list) {
		if i := slices.IndexFunc(old, func(q *path) bool { return q.same(p) }); i >= 0 {
			next = append(next, old[i])
			old = slices.Delete(slices.Clone(old), i, i+1)
			continue
		}
		next = append(next, p)
	}
	s.paths.Store(&next)
	for _, p := range old {
		if p.stop != nil {
			s.log.Info("medium is no longer used", "medium", p.name())
			p.stop()
		}
	}
	s.pinger.set(pings)
	if s.started != nil {
		s.start()
	}
}

// start begins the work of paths that do not run yet. s.mu is held.
func (s *Set) start() {
	for _, p := range *s.paths.Load() {
		if p.stop != nil || s.started.Err() != nil {
			continue
		}
		ctx, stop := context.WithCancel(s.started)
		p.stop = stop
		s.work.Go(func() { p.run(ctx) })
	}
}

// Names are the links' names, each once.
func (s *Set) Names() []string {
	var names []string
	for _, p := range *s.paths.Load() {
		if !slices.Contains(names, p.spec.Dev) {
			names = append(names, p.spec.Dev)
		}
	}
	return names
}

// Up tells whether any path of that name is open.
func (s *Set) Up(name string) bool {
	for _, p := range *s.paths.Load() {
		if p.spec.Dev == name && p.up.Load() {
			return true
		}
	}
	return false
}

// State is what is known of one path, for status queries.
type State struct {
	Kind, Name string
	Up         bool
	Trouble    string // why it last failed; "" while it works
	Sent       uint64 // messages handed to the kernel
	Received   uint64
	Dropped    uint64 // that found the queue full
	TooBig     uint64 // that the path cannot carry
}

// States are the paths' in the order of ha.cf.
func (s *Set) States() []State {
	var out []State
	for _, p := range *s.paths.Load() {
		st := State{
			Kind: p.spec.Kind, Name: p.spec.Dev, Up: p.up.Load(), Sent: p.sent.Load(), Received: p.got.Load(),
			Dropped: p.dropped.Load(), TooBig: p.tooBig.Load(),
		}
		if text := p.trouble.Load(); text != nil {
			st.Trouble = *text
		}
		out = append(out, st)
	}
	return out
}

// Recv implements Media.
func (s *Set) Recv() <-chan Packet { return s.recv }

// Send implements Media.
func (s *Set) Send(data []byte) {
	for _, p := range *s.paths.Load() {
		switch {
		case p.spec.Kind == "serial":
			p.sendLine(data)
		case len(data) > maxDatagram:
			p.refuse(len(data))
		default:
			select {
			case p.queue <- data:
			default:
				p.drop()
			}
		}
	}
}

func (p *path) refuse(size int) {
	if n := p.tooBig.Add(1); n&(n-1) == 0 {
		p.set.log.Error("a message is too large for this medium and is not sent over it", "medium", p.name(), "bytes", size, "so_far", n)
	}
}

func (p *path) drop() {
	if n := p.dropped.Add(1); n&(n-1) == 0 { // 1, 2, 4, 8, ...
		p.set.log.Warn("medium cannot keep up; messages dropped", "medium", p.name(), "dropped", n)
	}
}

// Dropped counts messages that found their path's queue full.
func (s *Set) Dropped() (n uint64) {
	for _, p := range *s.paths.Load() {
		n += p.dropped.Load()
	}
	return n
}

// Run implements Media.
func (s *Set) Run(ctx context.Context) error {
	s.mu.Lock()
	s.started = ctx
	s.start()
	s.mu.Unlock()
	s.pinger.run(ctx)
	s.mu.Lock() // no path begins any more
	defer s.mu.Unlock()
	s.work.Wait()
	return nil
}

func (p *path) name() string { return p.spec.Kind + " " + p.spec.Dev }

// run opens the path again and again until ctx ends.
func (p *path) run(ctx context.Context) {
	wait, failures := retryFirst, 0
	for {
		began := time.Now()
		err := p.serve(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > retryLast {
			wait, failures = retryFirst, 0
		}
		text := err.Error()
		p.trouble.Store(&text)
		if failures++; failures&(failures-1) == 0 {
			p.set.log.Warn("medium failed; trying again", "medium", p.name(), "err", err, "failures", failures)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = min(2*wait, retryLast)
		p.drain()
	}
}

// drain empties the queues of what grew old while the path was down.
func (p *path) drain() {
	for {
		select {
		case <-p.queue:
		case <-p.urgent:
		default:
			return
		}
	}
}

// serve opens the wire and works until it fails.
func (p *path) serve(ctx context.Context) error {
	w, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer w.close()
	p.up.Store(true)
	p.trouble.Store(nil)
	defer p.up.Store(false)
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.read(gctx, w) })
	g.Go(func() error { return p.write(gctx, w) })
	g.Go(func() error {
		<-gctx.Done()
		w.close() // ends the reader
		return nil
	})
	return g.Wait()
}

func (p *path) read(ctx context.Context, w wire) error {
	err := w.receive(func(data []byte) {
		p.got.Add(1)
		select {
		case p.set.recv <- Packet{Medium: p.spec.Dev, Data: data}:
		case <-ctx.Done(): // the wire is being closed
		}
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("read: %w", err)
}

func (p *path) write(ctx context.Context, w wire) error {
	var failing time.Time // since when every write fails
	for {
		data, ok := p.next(ctx)
		if !ok {
			return ctx.Err()
		}
		err := w.send(data)
		switch {
		case err == nil:
			p.sent.Add(1)
			failing = time.Time{}
		case fatal(err):
			return fmt.Errorf("write: %w", err)
		case failing.IsZero():
			failing = time.Now()
			text := err.Error()
			p.trouble.Store(&text)
			p.set.log.Warn("cannot send", "medium", p.name(), "err", err)
		case time.Since(failing) > failingFor:
			return fmt.Errorf("write: %w", err)
		}
	}
}

// next waits for what is to be sent, small messages first.
func (p *path) next(ctx context.Context) ([]byte, bool) {
	select {
	case data := <-p.urgent:
		return data, true
	default:
	}
	select {
	case <-ctx.Done():
		return nil, false
	case data := <-p.urgent:
		return data, true
	case data := <-p.queue:
		return data, true
	}
}

// fatal errors mean that the device is gone, also if one of its name is back.
func fatal(err error) bool {
	for _, e := range []syscall.Errno{syscall.ENODEV, syscall.ENXIO, syscall.EBADF, syscall.EADDRNOTAVAIL, syscall.EIO} {
		if errors.Is(err, e) {
			return true
		}
	}
	return errors.Is(err, errClosed)
}
