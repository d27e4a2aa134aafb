// Package server is the shell of lrmd: it owns the list of operations, has the
// classes run what the list wants run, and serves the Lrm contract.
//
// One goroutine, Run, owns the list. Each running operation has a goroutine of
// its own that reports back to it. RPC handlers hand Run functions and wait.
package server

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"os"
	"os/user"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc"

	"linuxha/internal/ipc"
	"linuxha/lrmd/class"
	"linuxha/lrmd/metadata"
	"linuxha/lrmd/oplist"
	"linuxha/lrmd/run"
	lrmv1 "linuxha/proto/lrm/v1"
)

// Runner runs operations: class.Runner, or a test's own.
type Runner interface {
	metadata.Source
	Run(ctx context.Context, a oplist.Agent, op oplist.Op, launched class.Launched) oplist.Outcome
	Standards(ctx context.Context) []string
	Providers(agent string) []string
	Agents(ctx context.Context, class, provider string) []string
}

// Alerter runs alert agents: class.Runner, or a test's own. The error says
// what kept the agent from running or from succeeding.
type Alerter interface {
	RunAlert(ctx context.Context, path string, env map[string]string) error
}

// Options of a Server.
type Options struct {
	Runner Runner
	Log    *slog.Logger
	// MaxRunning bounds the operations that run at once. Zero: no bound.
	MaxRunning int
	// Alerts runs alert agents. Nil: there are none, Alert is refused.
	Alerts Alerter
	// User may use the whole contract, beside root and our own user.
	// Empty: hacluster.
	User string
}

// Server serves one node's resources.
type Server struct {
	opts        Options
	log         *slog.Logger
	incarnation string
	meta        *metadata.Cache
	uids        map[uint32]bool

	calls   chan func()
	events  chan oplist.Event
	stopped chan struct{} // closed when Run has returned

	alerts *alerts

	// The rest belongs to Run.
	list     *oplist.List
	wake     *time.Timer
	running  map[oplist.RunID]context.CancelCauseFunc
	watchers map[*watcher]bool
	results  map[int64][]chan *lrmv1.Event // by call, for Exec with wait
	drained  map[string][]chan struct{}    // by resource, for Unregister
}

// New returns a server without resources.
func New(opts Options) *Server {
	if opts.User == "" {
		opts.User = "hacluster"
	}
	s := &Server{
		opts: opts, log: opts.Log, incarnation: rand.Text(),
		meta:   metadata.New(opts.Runner),
		alerts: newAlerts(opts.Alerts, opts.Log),
		uids:   map[uint32]bool{0: true, uint32(os.Getuid()): true},
		calls:  make(chan func()), events: make(chan oplist.Event, 64), stopped: make(chan struct{}),
		list:     oplist.New(oplist.Options{MaxRunning: opts.MaxRunning}),
		running:  map[oplist.RunID]context.CancelCauseFunc{},
		watchers: map[*watcher]bool{}, results: map[int64][]chan *lrmv1.Event{}, drained: map[string][]chan struct{}{},
	}
	if u, err := user.Lookup(opts.User); err == nil {
		if uid, err := strconv.ParseUint(u.Uid, 10, 32); err == nil {
			s.uids[uint32(uid)] = true
		}
	} else {
		s.log.Warn("cluster user is unknown, only root may use this service", "user", opts.User, "err", err)
	}
	return s
}

// Register offers the service on srv.
func (s *Server) Register(srv *grpc.Server) {
	lrmv1.RegisterLrmServer(srv, &rpc{Server: s})
	loop := ipc.LoopOf(s.calls, s.stopped)
	ipc.RegisterHealth(srv, func(ctx context.Context) error {
		err := loop(ctx)
		select {
		case <-s.stopped:
			return nil // the loop has ended in order: alerts are waited for
		default:
			return err
		}
	})
}

// rpc is the contract's face of a Server: its Register is another one.
type rpc struct {
	lrmv1.UnimplementedLrmServer
	*Server
}

// Post hands the list an event from outside, as the loss of the fencer.
func (s *Server) Post(ev oplist.Event) {
	select {
	case s.events <- ev:
	case <-s.stopped:
	}
}

// Run owns the list until ctx ends. Agents that run then are left alone: the
// cluster finds out what became of them by probing (execution 12.2). Alerts are
// waited for.
func (s *Server) Run(ctx context.Context) error {
	defer s.alerts.drain()
	defer close(s.stopped)
	s.wake = time.NewTimer(time.Hour)
	defer s.wake.Stop()
	s.log.Info("ready", "incarnation", s.incarnation)
	for {
		select {
		case <-ctx.Done():
			for w := range s.watchers {
				w.end(errStopping)
			}
			return context.Cause(ctx)
		case f := <-s.calls:
			f()
		case ev := <-s.events:
			s.step(ev)
		case <-s.wake.C:
			s.step(oplist.Woken{})
		}
	}
}

var errStopping = errors.New("lrmd is stopping")

// step feeds the list and performs what comes out.
func (s *Server) step(ev oplist.Event) oplist.Answer {
	if ended, ok := ev.(oplist.Exited); ok {
		s.running[ended.Run](nil)
		delete(s.running, ended.Run)
	}
	out := s.list.Step(time.Now(), ev)
	for _, m := range out.Moved {
		if waiting, ok := s.results[m.From]; ok {
			delete(s.results, m.From)
			s.results[m.To] = append(s.results[m.To], waiting...)
		}
	}
	for _, st := range out.Start { // first: it is what the cluster waits for
		s.start(st)
	}
	for _, k := range out.Kill {
		cause := errKilled
		if !k.Group {
			cause = run.ErrKillLeader
		}
		if cancel, ok := s.running[k.Run]; ok {
			cancel(cause)
		}
	}
	for i := range out.Report {
		s.report(&out.Report[i])
	}
	for _, id := range out.Drained {
		for _, ch := range s.drained[id] {
			close(ch)
		}
		delete(s.drained, id)
	}
	for _, n := range out.Notes {
		s.log.Warn(n.Text, "op", n.Key, "call_id", n.CallID, "pid", n.PID)
	}
	if out.WakeAt.IsZero() {
		s.wake.Stop()
	} else {
		s.wake.Reset(time.Until(out.WakeAt))
	}
	return out.Answer
}

var errKilled = errors.New("operation was cancelled or timed out")

// start runs an operation beside the loop. Its context is its own: the end of
// lrmd must not kill agents.
func (s *Server) start(st oplist.Start) {
	ctx, cancel := context.WithCancelCause(context.Background())
	s.running[st.Run] = cancel
	s.log.Debug("executing", "resource", st.Op.Resource, "action", st.Op.Action, "call_id", st.Op.CallID)
	go func() {
		launched := func(pid int, at time.Time) { s.Post(oplist.Launched{Run: st.Run, PID: pid, At: at}) }
		outcome := s.opts.Runner.Run(ctx, st.Agent, st.Op, launched)
		s.Post(oplist.Exited{Run: st.Run, Outcome: outcome}) // behind Launched: one channel
	}()
}

// report tells the watchers, whoever waits for the call, and the log.
func (s *Server) report(r *oplist.Report) {
	ev := event(r)
	if r.Kind == oplist.KindDone {
		s.logResult(r)
		for _, ch := range s.results[r.Op.CallID] {
			ch <- ev // has room for the one event it gets
		}
		delete(s.results, r.Op.CallID)
	}
	if r.Quiet {
		return
	}
	for w := range s.watchers {
		if !w.add(ev) {
			delete(s.watchers, w)
			s.log.Warn("watcher dropped: it does not read its events", "peer", w.peer)
		}
	}
}

// logResult is the line of execution 11.3.
func (s *Server) logResult(r *oplist.Report) {
	level := slog.LevelInfo
	if r.Op.Action == "monitor" && r.Op.Interval > 0 && r.Quiet {
		level = slog.LevelDebug
	}
	attrs := []any{"resource", r.Op.Resource, "action", r.Op.Action, "call_id", r.Op.CallID}
	if r.Op.Interval > 0 {
		attrs = append(attrs, "interval", r.Op.Interval)
	}
	if r.PID > 0 {
		attrs = append(attrs, "pid", r.PID)
	}
	attrs = append(attrs, "rc", r.RC, "op_status", int(r.Status))
	if r.Reason != "" {
		attrs = append(attrs, "reason", r.Reason)
	}
	attrs = append(attrs, "elapsed", r.ExecTime)
	if r.QueueTime >= time.Millisecond {
		attrs = append(attrs, "queued", r.QueueTime)
	}
	s.log.Log(context.Background(), level, "operation ended", attrs...)
}

// do has Run execute f and waits for it.
func (s *Server) do(ctx context.Context, f func()) error {
	done := make(chan struct{})
	select {
	case s.calls <- func() { f(); close(done) }:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.stopped:
		return errStopping
	}
	<-done
	return nil
}

// watcher is one stream of events. Run adds, the stream's handler takes.
type watcher struct {
	peer int // pid

	mu    sync.Mutex
	queue []*lrmv1.Event
	err   error
	more  chan struct{}
}

// maxBehind is how many events a watcher may be behind before it loses its
// stream: the controller of thousands of resources while it is busy.
const maxBehind = 100_000

func newWatcher(peer int) *watcher { return &watcher{peer: peer, more: make(chan struct{}, 1)} }

func (w *watcher) wake() {
	select {
	case w.more <- struct{}{}:
	default:
	}
}

// add queues an event, false if there are too many.
func (w *watcher) add(ev *lrmv1.Event) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.wake()
	if len(w.queue) >= maxBehind {
		w.err = errTooSlow
		return false
	}
	w.queue = append(w.queue, ev)
	return true
}

var errTooSlow = errors.New("too many events behind: connect again and use List")

func (w *watcher) end(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
	w.wake()
}

// take returns what is queued, and the end of the stream behind it.
func (w *watcher) take() ([]*lrmv1.Event, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	q := w.queue
	w.queue = nil
	if len(q) > 0 {
		return q, nil
	}
	return nil, w.err
}
