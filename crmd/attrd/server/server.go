// Package server is the attribute daemon's shell: it owns the core of
// crmd/attrd/core, carries its messages through heartbeatd, writes to the CIB
// what it composes and serves proto/attrd/v1 to local clients.
package server

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"linuxha/crmd/alert"
	"linuxha/crmd/alert/send"
	"linuxha/crmd/attrd/core"
	"linuxha/internal/cluster"
	"linuxha/internal/ipc"
	"linuxha/internal/paths"
	attrdv1 "linuxha/proto/attrd/v1"
	cibv1 "linuxha/proto/cib/v1"
	heartbeatv1 "linuxha/proto/heartbeat/v1"
	lrmv1 "linuxha/proto/lrm/v1"
)

// Client is the attribute daemons' name at the messaging layer.
const Client = "attrd"

// Options of an attribute daemon.
type Options struct {
	Paths paths.Layout
	Log   *slog.Logger
}

// Server is an attribute daemon. Its core belongs to the goroutine of Run;
// everybody else hands functions to that goroutine.
type Server struct {
	attrdv1.UnimplementedAttrdServer
	opts  Options
	log   *slog.Logger
	core  *core.Core
	cib   cibv1.CibClient
	todo  chan func()
	done  chan struct{} // closed when Run has ended
	ready chan struct{} // closed when earlier values are known
	wake  *time.Timer

	cibLost bool // owned by followCIB
	sender  *send.Sender

	// Owned by Run's goroutine.
	ctx     context.Context // ends with Run
	out     *cluster.Outbox // nil: not attached
	answers map[uint64]chan<- error
	nextID  uint64
	isReady bool
	// endWrite ends the write under way.
	endWrite context.CancelFunc
	alerts   alert.Config
}

// New returns an attribute daemon that Run will bring to life.
func New(opts Options) *Server {
	var boot [8]byte
	rand.Read(boot[:]) // never fails (crypto/rand)
	return &Server{
		opts: opts, log: opts.Log, core: core.New(hex.EncodeToString(boot[:])), todo: make(chan func()),
		done: make(chan struct{}), ready: make(chan struct{}), answers: map[uint64]chan<- error{},
	}
}

// Register puts the service on a gRPC server.
func (s *Server) Register(g *grpc.Server) {
	attrdv1.RegisterAttrdServer(g, s)
	ipc.RegisterHealth(g, ipc.LoopOf(s.todo, s.done))
}

// Run owns the core until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	defer close(s.done)
	cc, err := dialCIB(s.opts.Paths.Socket("cib"))
	if err != nil {
		return err
	}
	defer cc.Close()
	s.cib = cibv1.NewCibClient(cc)
	lrm, err := ipc.Dial(s.opts.Paths.Socket("lrmd"))
	if err != nil {
		return err
	}
	defer lrm.Close()
	s.sender = send.New(lrmv1.NewLrmClient(lrm), s.log)
	g, ctx := errgroup.WithContext(ctx)
	s.ctx = ctx
	s.wake = time.NewTimer(time.Hour)
	defer s.wake.Stop()
	g.Go(func() error { return s.followCluster(ctx) })
	g.Go(func() error { return s.followCIB(ctx) })
	g.Go(func() error { s.sender.Run(ctx); return context.Cause(ctx) })
	g.Go(func() error {
		for {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case f := <-s.todo:
				f()
			case <-s.wake.C:
				s.step(core.Woken{})
			}
		}
	})
	return g.Wait()
}

// do has the loop call f; false when the daemon is being stopped.
func (s *Server) do(ctx context.Context, f func()) bool {
	select {
	case s.todo <- f:
		return true
	case <-ctx.Done():
		return false
	case <-s.done:
		return false
	}
}

// step feeds the core and carries out what it wants.
func (s *Server) step(ev core.Event) {
	out := s.core.Step(time.Now(), ev)
	for _, n := range out.Notes {
		s.log.Info(n)
	}
	for _, m := range out.Send {
		s.send(m)
	}
	for _, a := range out.Answer {
		if c, ok := s.answers[a.ID]; ok {
			delete(s.answers, a.ID)
			c <- a.Err
		}
	}
	if out.Withdraw {
		s.endWrite()
	}
	if out.Write != nil {
		ctx, end := context.WithCancel(s.ctx)
		s.endWrite = end
		go func() {
			defer end()
			s.write(ctx, *out.Write)
		}()
	}
	if out.Load {
		go s.load(s.ctx)
	}
	if !s.isReady && s.core.Ready() {
		s.isReady = true
		close(s.ready)
		s.log.Info("node attribute manager is ready and accepts requests")
	}
	if out.WakeAt.IsZero() {
		s.wake.Reset(time.Hour)
	} else {
		s.wake.Reset(max(time.Until(out.WakeAt), 0))
	}
}

func (s *Server) send(m core.Send) {
	if s.out == nil {
		return // detached since; the core hears of it next
	}
	payload, err := encode(m.Message)
	if err != nil {
		s.log.Error("message to other attribute daemons was not sent", "err", err)
		return
	}
	s.out.Put(m.To, payload)
}

// retryPause is the time between attempts to reach another daemon.
const retryPause = 100 * time.Millisecond

// followCluster keeps this daemon attached to the messaging layer.
func (s *Server) followCluster(ctx context.Context) error {
	for {
		err := s.attached(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		s.log.Warn("not connected to the messaging layer: trying again", "err", err)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(retryPause):
		}
	}
}

func (s *Server) attached(ctx context.Context) error {
	cc, err := ipc.Dial(s.opts.Paths.Socket("heartbeatd"))
	if err != nil {
		return err
	}
	defer cc.Close()
	conn, err := cluster.Attach(ctx, cc, Client, nil)
	if err != nil {
		return err
	}
	defer conn.Close()
	out := cluster.NewOutbox(conn)
	defer out.Close()
	node := conn.Welcome.Node
	s.log.Info("attached to the messaging layer", "node", node)
	s.do(ctx, func() { s.out = out })
	for ev := range conn.Events() {
		in, err := clusterEvent(node, ev)
		if err != nil {
			s.log.Warn("ignoring a message", "err", err)
			continue
		}
		if in != nil {
			s.do(ctx, func() { s.step(in) })
		}
	}
	s.do(ctx, func() {
		s.out = nil
		s.step(core.Detached{})
	})
	return conn.Err()
}

// clusterEvent translates what the messaging layer tells; nil: nothing to us.
func clusterEvent(node string, ev *heartbeatv1.AttachEvent) (core.Event, error) {
	switch k := ev.Kind.(type) {
	case *heartbeatv1.AttachEvent_Membership:
		m := k.Membership
		view := core.ViewInstalled{Node: node, Number: m.Number, Configured: map[string]string{}}
		for _, n := range m.Configured {
			if n.Id != "" {
				view.Configured[n.Name] = n.Id
			}
		}
		for _, mem := range m.Members {
			out := core.Member{Name: mem.Name, ID: mem.Id, Born: mem.BornOn}
			for _, p := range mem.Processes {
				switch p.Name {
				case Client:
					out.Attrd = max(p.BornOn, 1)
				case "crmd":
					out.Crmd = max(p.BornOn, 1)
				}
			}
			view.Members = append(view.Members, out)
		}
		return view, nil
	case *heartbeatv1.AttachEvent_Message:
		m, err := decode(k.Message.Payload)
		if err != nil {
			return nil, fmt.Errorf("from %s: %w", k.Message.FromNode, err)
		}
		return core.Received{From: k.Message.FromNode, Message: m}, nil
	}
	return nil, nil
}
