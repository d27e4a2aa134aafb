// Package server is the controller's shell: it owns the cores (election, join,
// te) and the node's history in one goroutine, feeds them what the other
// daemons of this node and the controllers of the others say, and carries out
// their effects. The daemon's contract is proto/crm/v1.
//
//	server.go     the loop, connections, the state
//	view.go       membership views, and the election in them
//	options.go    cluster properties
//	cib.go        the local CIB: updates in batches, the stream of changes
//	patch.go      what a change of the CIB means
//	dc.go         the DC's work: reign, join, what the CIB says of nodes
//	transition.go the DC's work: actions of the graph
//	fence.go      the DC's work: fencing
//	attributes.go transient attributes, by attrd
//	input.go      what the scheduler gets
//	schedule.go   asking pengine, and keeping it alive
//	node.go       the executing side: orders, lrmd, history
//	lrmd.go       lrmd's stream and calls
//	fencer.go     stonithd's stream
//	peer.go       messages between controllers
//	shutdown.go   leaving in order
//	rpc.go        the gRPC service
//	alerts.go     what alert agents are told
//	timeline.go   what happened when
package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"google.golang.org/grpc"

	"linuxha/cib/cibdoc"
	"linuxha/crmd/alert"
	"linuxha/crmd/alert/send"
	"linuxha/crmd/election"
	"linuxha/crmd/fsa"
	"linuxha/crmd/history"
	"linuxha/crmd/join"
	"linuxha/crmd/te"
	"linuxha/internal/cibclient"
	"linuxha/internal/cluster"
	"linuxha/internal/daemon"
	"linuxha/internal/health"
	"linuxha/internal/ipc"
	"linuxha/internal/paths"
	attrdv1 "linuxha/proto/attrd/v1"
	cibv1 "linuxha/proto/cib/v1"
	crmv1 "linuxha/proto/crm/v1"
	heartbeatv1 "linuxha/proto/heartbeat/v1"
	lrmv1 "linuxha/proto/lrm/v1"
	penginev1 "linuxha/proto/pengine/v1"
	stonithv1 "linuxha/proto/stonith/v1"
)

// FeatureSet is the CRM feature set that we implement.
const FeatureSet = "3.16.1"

// Options are the shell's settings.
type Options struct {
	Paths paths.Layout
	Log   *slog.Logger
	// Dial connects to a daemon of this node by its name.
	Dial func(name string) (grpc.ClientConnInterface, error)
	// PEngine is the scheduler's program; empty: somebody else runs it.
	PEngine string
	// Health says when the scheduler's program counts as hanging, and is
	// killed to be started again.
	Health health.Limits
	// Grace is how long a controller may be away while its node stays a
	// member, before the node counts as failed. Zero: 5 s.
	Grace time.Duration
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// Server is the controller of one node.
type Server struct {
	crmv1.UnimplementedCrmServer
	opts Options
	log  *slog.Logger
	now  func() time.Time
	uuid string // TE uuid of this process

	cib     cibv1.CibClient
	lrm     lrmv1.LrmClient
	stonith stonithv1.StonithClient
	attrd   attrdv1.AttrdClient
	pengine penginev1.SchedulerClient
	hb      grpc.ClientConnInterface

	ctx    context.Context // of the controller's life, which ends after its leaving
	cancel context.CancelFunc

	calls    chan func()
	timeline *timeline
	states   *states

	// All below belongs to the loop.
	exit   error // set: the loop ends with it
	ending bool
	conn   *cluster.Conn
	out    *cluster.Outbox // the loop must hear also while heartbeatd takes nothing
	node   string
	nodeID string
	view   *heartbeatv1.Membership
	names  map[string]string // node id to name, from the messaging layer
	ids    map[string]string
	state  fsa.State
	dcSeen string

	el    *election.Core
	jn    *join.Core
	te    *te.Core
	wakes [3]time.Time
	timer *time.Timer

	options     options
	optionsRead bool
	nodeNames   map[string]string // node id to name, from the configuration
	nodeType    string            // the attribute that the configuration's schema wants new entries of nodes to have
	cibUp       bool              // it was connected once
	follower    *cibclient.Follower
	doc         *cibdoc.Doc // the local CIB as last seen, nil: not yet
	cibSeen     te.Version  // its version
	waiting     []waiter
	status      *writer // node states, history
	config      *writer // configuration: may have to wait for disks
	attributes  queue[attributeJob]
	stopPrimary context.CancelFunc
	naming      bool // the CIB has not answered who is primary
	primarySeq  uint64

	reign         reign
	claim         election.Claim
	published     map[string]string
	alerts        alert.Config
	alertProblems []string
	sender        *send.Sender

	// fenced are the targets fenced while we were not DC (crm 1.7), with the
	// incarnation that was, and lives the incarnation in which each node was a
	// member last: a fencing says nothing about a later one.
	fenced map[string]uint64
	lives  map[string]uint64
	// answered are the ids of our own fencing requests that succeeded.
	answered map[string]bool
	// leaving are the nodes that asked to leave, with the process that did:
	// the view in which it entered.
	leaving map[string]uint64

	accepted accepted
	pending  *crmv1.JoinOffer // an offer to answer when our last update is through
	stash    []*heartbeatv1.Message
	local    []*crmv1.PeerMessage

	lrmUp       bool
	incarnation string
	lrmCalls    queue[func(context.Context)]
	registered  map[string]history.Resource
	memory      history.Memory
	restored    bool
	restoring   bool
	running     map[string]*operation
	lastCall    int64
	metadata    map[history.Resource]*metadata
	dirty       []histItem
	flushing    bool

	shutdown shutdown
	answers  map[uint64]chan *crmv1.PeerAnswer
	callSeq  uint64
	pe       scheduler
}

// accepted is the DC whose orders this node obeys.
type accepted struct {
	dc      string
	term    string
	bornOn  uint64 // of the DC's process
	feature string
	asked   string // term whose offer was answered
}

// New returns a controller that is not yet connected to anything.
func New(opts Options) (*Server, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Grace == 0 {
		opts.Grace = 5 * time.Second
	}
	s := &Server{
		opts: opts, log: opts.Log, now: opts.Now, uuid: newUUID(), calls: make(chan func(), 256),
		timeline: newTimeline(), states: newStates(), names: map[string]string{}, ids: map[string]string{},
		lrmCalls: newQueue[func(context.Context)](),
		state:    fsa.Starting, fenced: map[string]uint64{}, lives: map[string]uint64{}, answered: map[string]bool{}, leaving: map[string]uint64{}, nodeNames: map[string]string{},
		registered: map[string]history.Resource{},
		running:    map[string]*operation{}, metadata: map[history.Resource]*metadata{}, answers: map[uint64]chan *crmv1.PeerAnswer{},
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	defer func() { s.sender = send.New(s.lrm, s.log) }()
	for _, c := range []struct {
		name string
		use  func(grpc.ClientConnInterface)
	}{
		{"heartbeatd", func(c grpc.ClientConnInterface) { s.hb = c }},
		{"cib", func(c grpc.ClientConnInterface) {
			s.cib = cibv1.NewCibClient(c)
			s.follower = cibclient.NewFollower(s.cib)
		}},
		{"lrmd", func(c grpc.ClientConnInterface) { s.lrm = lrmv1.NewLrmClient(c) }},
		{"stonithd", func(c grpc.ClientConnInterface) { s.stonith = stonithv1.NewStonithClient(c) }},
		{"attrd", func(c grpc.ClientConnInterface) { s.attrd = attrdv1.NewAttrdClient(c) }},
		{"pengine", func(c grpc.ClientConnInterface) { s.pengine = penginev1.NewSchedulerClient(c) }},
	} {
		cc, err := opts.Dial(c.name)
		if err != nil {
			return nil, fmt.Errorf("connect to %s: %w", c.name, err)
		}
		c.use(cc)
	}
	return s, nil
}

func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// post hands f to the loop.
func (s *Server) post(f func()) {
	select {
	case s.calls <- f:
	case <-s.ctx.Done():
	}
}

// Register offers the service.
func (s *Server) Register(srv *grpc.Server) {
	crmv1.RegisterCrmServer(srv, s)
	ipc.RegisterHealth(srv, ipc.LoopOf(s.calls, s.ctx.Done()))
}

// Run is the controller. When ctx ends it leaves the cluster in order (crm
// 5.14); it returns nil then, or a daemon.ExitCode with a meaning (crm 7.3).
func (s *Server) Run(ctx context.Context) error {
	run := s.ctx
	defer s.cancel()
	s.status = &writer{client: s.cib, queue: newQueue[job](), post: s.post, onErr: s.updateFailed, onStall: s.stalled}
	s.config = &writer{client: s.cib, queue: newQueue[job](), post: s.post, onErr: s.updateFailed, onStall: s.stalled}
	s.attributes = newQueue[attributeJob]()
	go s.writeAttributes(run)
	go s.status.run(run)
	go s.config.run(run)
	go s.watchCIB(run)
	go s.watchLRM(run)
	go s.watchFencer(run)
	go s.callLRM(run)
	go s.sender.Run(run)
	peDone := make(chan struct{})
	if s.opts.PEngine != "" {
		go func() { defer close(peDone); s.keepPEngine(run) }()
	} else {
		close(peDone)
	}
	s.timer = time.NewTimer(time.Hour)
	defer s.timer.Stop()
	stop := ctx.Done()
	for s.exit == nil && !s.ending {
		var events <-chan *heartbeatv1.AttachEvent
		if s.conn != nil {
			events = s.conn.Events()
		}
		select {
		case f := <-s.calls:
			f()
		case ev, ok := <-events:
			if !ok {
				s.exit = &daemon.ExitCode{Code: 102, Err: fmt.Errorf("messaging layer lost: %w", s.conn.Err())}
				break
			}
			s.clusterEvent(ev)
		case <-s.timer.C:
			s.woken()
		case <-stop:
			stop = nil
			s.beginShutdown()
		}
		// Whatever else is there already belongs to this turn (crm 9.2).
		for more := true; more && s.exit == nil; {
			select {
			case f := <-s.calls:
				f()
			default:
				more = false
			}
		}
		s.turnEnd()
	}
	s.cancel()
	<-peDone
	return s.exit
}

// turnEnd does what one turn does once. Messages to ourselves belong to the
// turn in which they were sent.
func (s *Server) turnEnd() {
	for again := true; again; again = len(s.local) > 0 {
		for len(s.local) > 0 {
			m := s.local[0]
			s.local = s.local[1:]
			s.peerMessage(s.node, m)
		}
		s.stepTE(te.TurnEnd{})
		s.flush()
	}
	s.checkLeave()
	s.showState()
	var next time.Time
	for _, t := range s.wakes {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	if next.IsZero() {
		s.timer.Reset(time.Hour)
	} else {
		s.timer.Reset(max(0, next.Sub(s.now())))
	}
}

func (s *Server) woken() {
	if s.el == nil {
		return
	}
	s.stepElection(election.Woken{})
	s.stepJoin(join.Woken{})
	s.stepTE(te.Woken{})
}

// ready attaches to the cluster once everything that a member needs is here.
func (s *Server) ready() {
	if s.conn != nil || s.el != nil || !s.cibUp || !s.lrmUp || !s.optionsRead {
		return
	}
	s.el = election.New("", s.options.dcDeadtime) // replaced when our name is known
	go func() {
		conn, err := cluster.Attach(s.ctx, s.hb, "crmd", map[string]string{"feature_set": FeatureSet})
		s.post(func() {
			if err != nil {
				s.exit = &daemon.ExitCode{Code: 102, Err: err}
				return
			}
			s.attached(conn)
		})
	}()
}

func (s *Server) attached(conn *cluster.Conn) {
	s.conn, s.out = conn, cluster.NewOutbox(conn)
	s.node, s.nodeID = conn.Welcome.Node, conn.Welcome.NodeId
	s.learn(conn.Welcome.Configured)
	s.names[s.nodeID], s.ids[s.node] = s.node, s.nodeID
	s.el = election.New(s.node, s.options.dcDeadtime)
	s.jn = join.New(s.node, join.Options{Grace: s.opts.Grace, Integration: s.options.integration})
	s.te = te.New(s.node)
	s.stepTE(s.options.engine())
	s.log.Info("Pacemaker controller successfully started and accepting connections", "node", s.node, "id", s.nodeID)
}

// showState logs and publishes the state as tools know it.
func (s *Server) showState() {
	cond := fsa.Condition{
		Connected: s.conn != nil && s.view != nil, Accepted: s.accepted.term != "" && s.accepted.asked == "",
		Stopping: s.shutdown.stopping,
	}
	if s.el != nil && s.el.Local() {
		cond.DC = true
		cond.Integrating, cond.Finalizing = s.jn.Integrating()
		switch s.te.Phase() {
		case te.PhaseStopped:
			cond.Integrating = cond.Integrating || !cond.Finalizing
		case te.PhaseWaiting, te.PhaseComputing:
			cond.Computing = true
		case te.PhaseExecuting:
			cond.Executing = true
		}
	}
	next := fsa.Derive(cond)
	for _, t := range fsa.Path(s.state, next) {
		if t.Notice() {
			s.log.Info(t.String(), "level", "notice")
		} else {
			s.log.Info(t.String())
		}
	}
	s.state = next
	dc := s.dcName()
	if dc != s.dcSeen {
		if dc != "" {
			s.log.Info(fmt.Sprintf("Set DC to %s (%s)", dc, FeatureSet))
			s.timeline.add(&crmv1.TimelineEvent{AtNs: s.now().UnixNano(), Kind: "dc", Node: dc}, s.log)
		}
		s.dcSeen = dc
	}
	s.states.publish(&crmv1.StateEvent{State: string(s.state), Dc: dc, Quorate: s.view.GetQuorate(), View: s.view.GetNumber()})
}

// dcName is the DC as this node knows it.
func (s *Server) dcName() string {
	switch {
	case s.el != nil && s.el.Local():
		return s.node
	case s.accepted.term != "":
		return s.accepted.dc
	}
	return ""
}

func (s *Server) updateFailed(err error) {
	if !errors.Is(err, context.Canceled) {
		s.log.Error("CIB update failed", "err", err)
	}
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
