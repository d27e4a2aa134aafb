// Package server is the shell around the CIB's replica: it serves the local
// gRPC contract (proto/cib/v1), carries messages to the other nodes through
// heartbeatd and owns the disk.
//
// One goroutine owns the core. Handlers read the published document, or hand
// events to that goroutine and wait for the answer under a token.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"linuxha/cib/cibdoc"
	"linuxha/cib/replica"
	"linuxha/cib/schema"
	"linuxha/cib/store"
	"linuxha/internal/ipc"
	cibv1 "linuxha/proto/cib/v1"
)

var errSlow = errors.New("heartbeatd takes no messages: giving up the connection")

// Options configure a Server.
type Options struct {
	FS        store.FS     // the CIB's folder
	Node      string       // own name as long as heartbeatd has not told it
	Heartbeat string       // heartbeatd's socket; "": run alone
	Log       *slog.Logger // required
	Peers     PeerCheck    // who may do what; zero: see access.go
}

// Server is the CIB daemon.
type Server struct {
	cibv1.UnimplementedCibServer
	opts Options
	log  *slog.Logger

	core    *replica.Core // only Run's goroutine touches it
	events  chan func()   // what Run is to do next
	disk    *disk
	link    *link
	ended   chan struct{} // closed when the loop ends
	current atomic.Pointer[replica.Status]
	invalid error       // why the CIB that was on disk cannot be used (cib 7.4 step 6)
	loaded  *cibdoc.Doc // what invalid is about

	mu      sync.Mutex
	token   uint64
	answers map[uint64]chan replica.Outcome

	watchers map[*watcher]bool // only Run's goroutine touches it
	wakeAt   time.Time         // likewise
}

// New reads the disk and returns a server that Run starts.
func New(opts Options) (*Server, error) {
	st, loaded, err := store.Open(opts.FS, opts.Log)
	if err != nil {
		return nil, err
	}
	loaded.Doc = named(current(loaded.Doc, opts.Log), opts.Log)
	opts.Log.Info("configuration read", "source", loaded.Source, "version", loaded.Doc.Version())
	s := &Server{
		opts: opts, log: opts.Log, events: make(chan func(), 256), ended: make(chan struct{}),
		answers: map[uint64]chan replica.Outcome{}, watchers: map[*watcher]bool{},
	}
	s.core = replica.New(replica.Options{
		Node: opts.Node, Incarnation: uint64(time.Now().UnixNano()),
		Doc: loaded.Doc, Lineage: loaded.Lineage, Check: checkAccess,
	})
	if err := schema.Error(schema.Validate(loaded.Doc)); err != nil {
		s.loaded, s.invalid = loaded.Doc, err
		s.log.Error("Operation ignored, cluster configuration is invalid. Please repair and restart", "err", err)
	}
	s.disk = newDisk(st, opts.Log, func(p replica.Persisted) { s.event(p) })
	if opts.Heartbeat != "" {
		w, err := newWire()
		if err != nil {
			return nil, err
		}
		s.link = &link{socket: opts.Heartbeat, log: opts.Log, wire: w, event: s.event, up: make(chan struct{})}
	}
	s.publishStatus()
	return s, nil
}

// Register puts the service on a gRPC server.
func (s *Server) Register(g *grpc.Server) {
	cibv1.RegisterCibServer(g, s)
	ipc.RegisterHealth(g, ipc.LoopOf(s.events, s.ended))
}

// Run works until ctx ends; then all that was taken in is on disk.
func (s *Server) Run(ctx context.Context) error {
	diskCtx, stopDisk := context.WithCancel(context.WithoutCancel(ctx))
	defer stopDisk()
	g, gctx := errgroup.WithContext(ctx)
	diskDone := make(chan error, 1)
	go func() { diskDone <- s.disk.run(diskCtx) }()
	if s.link != nil {
		g.Go(func() error { return s.link.run(gctx) })
	}
	g.Go(func() error { return s.loop(gctx) })
	err := g.Wait()
	stopDisk()
	return errors.Join(err, <-diskDone)
}

// loop owns the core.
func (s *Server) loop(ctx context.Context) error {
	defer func() {
		close(s.ended)
		for w := range s.watchers {
			w.end(errStopping)
		}
	}()
	wake := time.NewTimer(time.Hour)
	defer wake.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case do := <-s.events:
			do()
		case <-wake.C:
			s.step(replica.Woken{})
		}
		wake.Stop()
		if at := s.wakeAt; !at.IsZero() {
			wake.Reset(time.Until(at))
		}
	}
}

// do runs f in the loop's goroutine; false when the server has ended.
func (s *Server) do(f func()) bool {
	select {
	case s.events <- f:
		return true
	case <-s.ended:
		return false
	}
}

func (s *Server) event(evs ...replica.Event) {
	s.do(func() {
		for _, ev := range evs {
			s.step(ev)
		}
	})
}

// step feeds the core and carries out what it wants, in its order.
func (s *Server) step(ev replica.Event) {
	out := s.core.Step(time.Now(), ev)
	s.wakeAt = out.WakeAt
	for _, n := range out.Notes {
		s.log.Log(context.Background(), slogLevel(n.Level), n.Text, n.Attrs...)
	}
	for _, p := range out.Persist {
		s.disk.persist(p)
	}
	if s.link != nil {
		s.link.send(out.Send)
	}
	s.publishStatus()
	for _, p := range out.Publish {
		s.notify(p)
	}
	for _, l := range out.Lost {
		s.disk.keep(l)
	}
	for _, a := range out.Answer {
		s.answer(a)
	}
}

func slogLevel(l replica.Level) slog.Level {
	switch l {
	case replica.Debug:
		return slog.LevelDebug
	case replica.Warn:
		return slog.LevelWarn
	case replica.Error:
		return slog.LevelError
	}
	return slog.LevelInfo
}

func (s *Server) publishStatus() {
	st := s.core.Status()
	s.current.Store(&st)
}

// ask hands an event that is answered under a token to the core, and waits. Its
// errors are for gRPC: of an end of ours (Unavailable), or of ctx.
func (s *Server) ask(ctx context.Context, event func(token uint64) replica.Event) (replica.Outcome, error) {
	answer := make(chan replica.Outcome, 1)
	s.mu.Lock()
	s.token++
	token := s.token
	s.answers[token] = answer
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.answers, token)
		s.mu.Unlock()
	}()
	if !s.do(func() { s.step(event(token)) }) {
		return replica.Outcome{}, errStopping
	}
	select {
	case o := <-answer:
		return o, nil
	case <-ctx.Done():
		s.event(replica.Withdrawn{Token: token}) // nobody waits for it: it is not handed on any more
		return replica.Outcome{}, status.FromContextError(ctx.Err()).Err()
	case <-s.ended:
		return replica.Outcome{}, errStopping
	}
}

func (s *Server) answer(a replica.Answer) {
	s.mu.Lock()
	ch := s.answers[a.Token]
	delete(s.answers, a.Token)
	s.mu.Unlock()
	if ch != nil {
		ch <- a.Outcome
	}
}

// usable fails while the configuration is the invalid one from disk.
func (s *Server) usable(doc *cibdoc.Doc) error {
	if s.invalid != nil && doc == s.loaded {
		return fmt.Errorf("the configuration on disk is invalid; repair it and restart: %w", s.invalid)
	}
	return nil
}

// current is doc in a language that is served: one of Heartbeat 2.1 is
// converted. The file stays as it is until the first write, which keeps it as a
// numbered backup (cib 9.6).
func current(doc *cibdoc.Doc, log *slog.Logger) *cibdoc.Doc {
	if !schema.IsHeartbeat(doc) {
		return doc
	}
	converted, err := schema.FromHeartbeat(doc, func(format string, args ...any) {
		log.Info("configuration of Heartbeat 2.1 converted", "note", fmt.Sprintf(format, args...))
	})
	if err != nil {
		log.Error("the configuration of Heartbeat 2.1 cannot be converted", "err", err)
		return doc
	}
	log.Warn("the configuration is in the language of Heartbeat 2.1: working on a converted copy",
		"schema", converted.Root().Attr("validate-with"), "next", "cibadmin --upgrade --force")
	return converted
}

// named is doc with the name of a schema that it conforms to, if it has none
// (cib 7.4 step 6).
func named(doc *cibdoc.Doc, log *slog.Logger) *cibdoc.Doc {
	if _, ok := doc.Root().Get("validate-with"); ok {
		return doc
	}
	best := schema.Best(doc)
	if best == "" {
		return doc
	}
	log.Warn("the CIB names no schema", "chosen", best)
	e := doc.Edit()
	e.Own(nil).SetAttr("validate-with", best)
	return e.Doc()
}
