// Package server is the fencer's shell: it owns the core of stonithd/request,
// carries its messages through heartbeatd, runs the agents it asks for, reads
// devices and topology from the CIB and serves proto/stonith/v1 to local
// clients. It decides nothing about fencing.
package server

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"linuxha/cib/cibdoc"
	"linuxha/internal/cluster"
	"linuxha/internal/ipc"
	"linuxha/internal/paths"
	"linuxha/internal/sbd"
	stonithv1 "linuxha/proto/stonith/v1"
	"linuxha/stonithd/device"
	"linuxha/stonithd/plugin"
	"linuxha/stonithd/request"
)

// Client is the fencers' name at the messaging layer.
const Client = "stonithd"

// Options of a fencer.
type Options struct {
	Paths  paths.Layout
	Finder plugin.Finder
	Log    *slog.Logger
	// SBD is the node's sbd, which makes fencing by watchdog possible.
	SBD sbd.Node
	// StandAlone is a fencer without cluster and CIB: everything is executed
	// here, for tests of agents (execution 46).
	StandAlone bool
}

// Server is a fencer. Its core belongs to the goroutine of Run; everybody
// else hands functions to that goroutine.
type Server struct {
	stonithv1.UnimplementedStonithServer
	opts Options
	log  *slog.Logger
	core *request.Core
	todo chan func()
	done chan struct{} // closed when Run has ended
	wake *time.Timer

	// Owned by Run's goroutine.
	ctx         context.Context // ends with Run
	node        string
	doc         *cibdoc.Doc     // the CIB as last seen, nil: not yet
	reader      *cibReader      // of this node; nil: its name is not known
	out         *cluster.Outbox // nil: not attached
	answers     map[string]chan<- request.Answer
	performs    map[uint64]chan<- device.Result
	watchers    map[*watcher]bool
	nextPerform uint64
	watchdog    request.Watchdog
	checked     string                // the node for which watchdog was checked
	configured  *request.Reconfigured // as last given to the core
	reread      *time.Timer           // when rules may say something else
	exit        error                 // set: the loop ends with it
}

// New returns a fencer that Run will bring to life.
func New(opts Options) *Server {
	var seed [16]byte
	rand.Read(seed[:]) // never fails (crypto/rand)
	node := ""
	if opts.StandAlone {
		node = "localhost"
	}
	rnd := mathrand.New(mathrand.NewPCG(binary.LittleEndian.Uint64(seed[:8]), binary.LittleEndian.Uint64(seed[8:])))
	return &Server{
		opts: opts, log: opts.Log, node: node, core: request.New(node, rnd), todo: make(chan func()), done: make(chan struct{}),
		answers: map[string]chan<- request.Answer{}, performs: map[uint64]chan<- device.Result{}, watchers: map[*watcher]bool{},
	}
}

// Register puts the service on a gRPC server.
func (s *Server) Register(g *grpc.Server) {
	stonithv1.RegisterStonithServer(g, s)
	ipc.RegisterHealth(g, ipc.LoopOf(s.todo, s.done))
}

// Run owns the core until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	defer close(s.done)
	g, ctx := errgroup.WithContext(ctx)
	s.ctx = ctx
	s.wake = time.NewTimer(time.Hour)
	defer s.wake.Stop()
	if s.opts.StandAlone {
		s.step(request.ViewInstalled{Node: s.node, Number: 1, Peers: map[string]uint64{s.node: 1}})
	} else {
		g.Go(func() error { return s.followCluster(ctx) })
		g.Go(func() error { return s.followCIB(ctx) })
	}
	g.Go(func() error {
		for s.exit == nil {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case f := <-s.todo:
				f()
			case <-s.wake.C:
				s.step(request.Woken{})
			}
		}
		return s.exit
	})
	return g.Wait()
}

// do has the loop call f; false when the fencer is being stopped.
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

// step feeds the core and carries out what it wants. A lone fencer's messages
// to itself are delivered at once.
func (s *Server) step(ev request.Event) {
	queue := []request.Event{ev}
	for len(queue) > 0 {
		out := s.core.Step(time.Now(), queue[0])
		queue = queue[1:]
		for _, n := range out.Notes {
			if n.Error {
				s.log.Error(n.Text)
			} else {
				s.log.Info(n.Text)
			}
		}
		for _, m := range out.Send {
			if s.opts.StandAlone {
				queue = append(queue, request.Received{From: s.node, View: 1, Message: m.Message})
				continue
			}
			s.send(m)
		}
		for _, r := range out.Run {
			go s.run(s.ctx, r)
		}
		for _, agent := range out.Learn {
			go s.learn(s.ctx, agent)
		}
		for _, p := range out.Performed {
			if c, ok := s.performs[p.ID]; ok {
				delete(s.performs, p.ID)
				c <- p.Result
			}
		}
		for _, a := range out.Answer {
			if c, ok := s.answers[a.ID]; ok {
				delete(s.answers, a.ID)
				c <- a
			}
		}
		for _, r := range out.Publish {
			s.publish(&stonithv1.Event{Record: publicRecord(r), Rc: errno(request.ResultOf(r))})
		}
		if out.WakeAt.IsZero() {
			s.wake.Reset(time.Hour)
		} else {
			s.wake.Reset(max(time.Until(out.WakeAt), 0))
		}
	}
}

func (s *Server) send(m request.Send) {
	if s.out == nil {
		return // detached since; the core hears of it next
	}
	payload, err := encode(m.Message)
	if err != nil {
		s.log.Error("message to other fencers was not sent", "err", err)
		return
	}
	s.out.Put(m.To, payload)
}

// run runs an agent and tells the core how it ended.
func (s *Server) run(ctx context.Context, r device.Run) {
	began := time.Now()
	s.log.Debug("running agent", "op", r.Name, "device", r.Device, "target", r.Target)
	var res device.Result
	if input, err := plugin.Secrets(s.opts.Paths.Root, r.Device, r.Input); err != nil {
		s.log.Error("secret parameters of a fence device are not available", "device", r.Device, "err", err)
		res = device.Result{RC: 1, Status: device.StatusNoSecrets, Reason: "Failed to get CIB secrets"}
	} else if r.Agent == request.WatchdogAgent {
		res = s.runWatchdog(ctx, r)
	} else {
		res = s.opts.Finder.Run(ctx, plugin.Job{
			Agent: r.Agent, Action: r.Action, Target: r.Target, Input: input, Timeout: r.Timeout,
		})
	}
	logLines(s.log, r.Name, res)
	s.log.Info("agent ended", "op", r.Name, "device", r.Device, "target", r.Target, "rc", res.RC,
		"status", res.Status.Text(), "reason", res.Reason, "elapsed", time.Since(began))
	s.do(ctx, func() { s.step(request.Devices{Event: device.Exited{Run: r.ID, Result: res}}) })
}

// metadataTimeout bounds the reading of metadata at registration (33.3).
const metadataTimeout = 10 * time.Second

func (s *Server) learn(ctx context.Context, agent string) {
	info, err := request.WatchdogInfo(), error(nil)
	if agent != request.WatchdogAgent {
		info, err = s.opts.Finder.Info(ctx, agent, metadataTimeout)
	}
	if err != nil {
		s.log.Warn("fence agent's metadata are not available", "agent", agent, "err", err)
	}
	s.do(ctx, func() { s.step(request.Devices{Event: device.Learned{Agent: agent, Info: info, OK: err == nil}}) })
}

// followCluster keeps this fencer attached to the messaging layer.
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

// retryPause is the time between attempts to reach another daemon.
const retryPause = 100 * time.Millisecond

func (s *Server) attached(ctx context.Context) error {
	cc, err := dial(s.opts.Paths.Socket("heartbeatd"))
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
	s.do(ctx, func() {
		s.out = out
		s.nodeKnown(node)
	})
	for ev := range conn.Events() {
		if in := clusterEvent(node, ev, s.log); in != nil {
			s.do(ctx, func() { s.step(in) })
		}
	}
	s.do(ctx, func() {
		s.out = nil
		s.step(request.Detached{})
	})
	return conn.Err()
}

func newID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
