// Package server is heartbeatd's shell: one goroutine that owns the cores link
// and ccm, feeds them packets, clients and time, and carries out what comes
// back; and the gRPC services Messaging and Control for the programs of this
// node (proto/heartbeat/v1). RPC handlers never touch the cores: they hand in
// functions that the loop calls.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"linuxha/heartbeatd/ccm"
	"linuxha/heartbeatd/ccm/ccm306"
	"linuxha/heartbeatd/classic"
	"linuxha/heartbeatd/hacf"
	"linuxha/heartbeatd/halog"
	"linuxha/heartbeatd/hamsg"
	"linuxha/heartbeatd/link"
	"linuxha/heartbeatd/media"
	"linuxha/heartbeatd/quorum"
	"linuxha/heartbeatd/supervise"
	heartbeatv1 "linuxha/proto/heartbeat/v1"
)

// typeCCM is the type of messages between ccm cores; field pb holds them.
const typeCCM = "lha_ccm"

// ours begins the types that 3.0.6 does not know.
const ours = "lha_"

// leaveLinger is how long a node that left still answers requests for what it
// sent last.
const leaveLinger = 150 * time.Millisecond

// probeEvery is the least interval at which round trips are measured.
const probeEvery = 5 * time.Second

// Options are what a Server is made of. All but those said to be optional must
// be given.
type Options struct {
	Config   *hacf.Config
	Identity Identity
	Known    Known // what an earlier run knew (optional)
	Keys     *hamsg.Keys
	Media    media.Media
	Links    []string // names of the media
	// States tells about the media (optional: all are open).
	States   func() []media.State
	StateDir string // where peers are remembered; "": nowhere
	Log      *slog.Logger

	// Beat is called with every status message of ours (optional: watchdog).
	Beat func()
	// Active is called once, when clients can be of use (optional: children).
	Active func()
	// Children tells about supervised programs (optional).
	Children func() []supervise.Status
	// Reload reads the configuration again (optional).
	Reload func() (Reloaded, error)
	// Classic runs resources without the CRM (optional).
	Classic *Classic
	// FIFO is where scripts write messages (optional); Run closes it.
	FIFO *os.File
	// Stop begins the orderly end of this node (optional).
	Stop func(reason string)
	// Privileged says who may attach as a daemon and control the node; nil:
	// root, hacluster and whoever runs this process.
	Privileged func(uid uint32) bool
}

// Server is one node's messaging.
type Server struct {
	heartbeatv1.UnimplementedMessagingServer
	heartbeatv1.UnimplementedControlServer

	opt  Options
	log  *slog.Logger
	cfg  atomic.Pointer[hacf.Config]
	keys atomic.Pointer[hamsg.Keys]
	bad  atomic.Uint64 // packets that were not authentic
	// metricsAt is the address at which metrics are served, once they are.
	metricsAt atomic.Value

	packets chan received
	calls   chan func(now time.Time)
	sends   chan send
	done    chan struct{} // closed when the loop has ended

	// All below belongs to the loop.
	classic   *classicRoom // nil: this node manages no resources
	link      *link.Link
	ccm       *ccm.Core
	gate      *ccm.Gate[arrived]
	quorum    *quorum.Core
	linkWake  time.Time
	ccmWake   time.Time
	congested bool
	window    window
	flow      flow
	with306   room306
	submits   []*hamsg.Message // of ccm, to go out next
	outbox    []outgoing       // of clients, waiting for acknowledgements
	packer    *packer
	assembler *assembler
	clients   map[string]*client
	watchers  map[*watcher]struct{}
	listeners map[*listener]struct{}
	view      *heartbeatv1.Membership // in force; replaced, never written to
	members   map[string]uint64       // every node that a view had, with its generation in the last one
	loadRead  time.Time
	saved     chan Known  // newest state for the peers' files
	served    chan served // what the quorum server is to be asked about
	views     chan uint64 // number of the newest view, for its file
	active    bool
	leaving   bool
	resent    uint64
	clock     clock
}

// config is the configuration in force; it is replaced, never written to.
func (s *Server) config() *hacf.Config { return s.cfg.Load() }

// received is an authentic packet.
type received struct {
	medium string
	packet *link.Packet
}

// New makes a server that does nothing before Run.
func New(opt Options) (*Server, error) {
	cfg := opt.Config
	if opt.Privileged == nil {
		opt.Privileged = privileged(cfg)
	}
	s := &Server{
		opt:      opt,
		log:      opt.Log,
		packets:  make(chan received, 1024),
		calls:    make(chan func(time.Time)),
		sends:    make(chan send),
		done:     make(chan struct{}),
		clients:  map[string]*client{},
		members:  map[string]uint64{},
		watchers: map[*watcher]struct{}{}, listeners: map[*listener]struct{}{},
		saved:  make(chan Known, 1),
		views:  make(chan uint64, 1),
		served: make(chan served, 1),
		flow:   flow{held: map[string]time.Time{}},
	}
	s.cfg.Store(cfg)
	s.keys.Store(opt.Keys)
	var err error
	if s.packer, err = newPacker(fragmentFor(cfg)); err != nil {
		return nil, err
	}
	if s.assembler, err = newAssembler(); err != nil {
		return nil, err
	}
	s.link = link.New(linkOptions(opt))
	s.ccm = ccm.New(ccm.Options{Node: cfg.Node, ID: opt.Identity.ID.String(), Generation: opt.Identity.Generation, Seen: opt.Identity.LastView, Retry: max(cfg.Keepalive, 100*time.Millisecond)})
	s.gate = ccm.NewGate[arrived](cfg.Node)
	plugins, err := quorumPlugins(cfg)
	if err != nil {
		return nil, err
	}
	if slices.Contains(plugins, quorum.Server) && cfg.QuorumServer == "" {
		return nil, errors.New("env quorum names quorumd, but ha.cf has no quorum_server: add `quorum_server HOST`")
	}
	s.quorum = quorum.New(quorum.Options{Plugins: plugins})
	s.with306 = s.new306(cfg)
	if opt.Classic != nil {
		s.classic = newClassicRoom(*opt.Classic)
	}
	return s, nil
}

// quorumPlugins reads `env quorum=...` (HB 21.4).
func quorumPlugins(cfg *hacf.Config) ([]quorum.Plugin, error) {
	list := ""
	for _, kv := range cfg.Env {
		if v, ok := strings.CutPrefix(kv, "quorum="); ok {
			list = v
		}
	}
	return quorum.Parse(list)
}

func linkOptions(opt Options) link.Options {
	cfg := opt.Config
	o := link.Options{
		Node: cfg.Node, ID: opt.Identity.ID, Generation: opt.Identity.Generation,
		Keepalive: cfg.Keepalive, Deadtime: cfg.DeadTime, Warntime: cfg.WarnTime, Initdead: cfg.InitDead, Deadping: cfg.DeadPing,
		// With short dead times a lost request must be repeated often before
		// its message counts as lost for good.
		MaxRexmitDelay: rexmitDelay(cfg), Hopfudge: cfg.HopFudge, Seed: opt.Identity.Generation,
		ProbeEvery: max(probeEvery, 10*cfg.Keepalive), Modern: modern(opt.Keys), Self: opt.Known.Self, Deleted: opt.Known.Deleted,
		Autojoin: autojoin(cfg),
	}
	for _, b := range opt.Identity.ID {
		o.Seed = o.Seed*31 + uint64(b)
	}
	known := map[string]link.Node{}
	for _, n := range opt.Known.Nodes {
		if n.Name != cfg.Node {
			known[n.Name] = n
		}
	}
	for _, name := range cfg.Nodes {
		n := known[name]
		n.Name = name
		o.Nodes = append(o.Nodes, n)
		delete(known, name)
	}
	if o.Autojoin != link.AutojoinNone {
		for _, n := range opt.Known.Nodes {
			if _, left := known[n.Name]; left {
				o.Nodes = append(o.Nodes, n)
			}
		}
	}
	for _, p := range cfg.PingNodes {
		o.Nodes = append(o.Nodes, link.Node{Name: p.Name, Ping: true})
	}
	return o
}

// rexmitDelay: with short dead times a lost request must be repeated often
// before its message counts as lost for good.
func rexmitDelay(cfg *hacf.Config) time.Duration {
	return min(cfg.MaxRexmitDelay, max(10*time.Millisecond, cfg.DeadTime/16))
}

func autojoin(cfg *hacf.Config) link.Autojoin {
	switch cfg.AutoJoin {
	case hacf.AutoJoinOther:
		return link.AutojoinOther
	case hacf.AutoJoinAny:
		return link.AutojoinAny
	}
	return link.AutojoinNone
}

func modern(keys *hamsg.Keys) bool { return hamsg.Modern(keys.All[keys.Send].Method) }

// Register adds both services to g.
func (s *Server) Register(g *grpc.Server) {
	heartbeatv1.RegisterMessagingServer(g, s)
	heartbeatv1.RegisterControlServer(g, s)
}

// Run does everything until ctx ends; then it tells the others that this node
// leaves.
func (s *Server) Run(ctx context.Context) error {
	// The media outlive ctx: the leave goes out over them.
	mctx, stopMedia := context.WithCancel(context.WithoutCancel(ctx))
	defer stopMedia()
	g, gctx := errgroup.WithContext(mctx)
	g.Go(func() error { return s.opt.Media.Run(gctx) })
	g.Go(func() error { s.decode(gctx); return nil })
	g.Go(func() error { s.savePeers(gctx); return nil })
	if s.config().QuorumServer != "" {
		g.Go(func() error { s.askServer(gctx); return nil })
	}
	if addr := s.config().Metrics; addr != "" {
		g.Go(func() error { s.serveMetrics(gctx, addr); return nil })
	}
	if s.classic != nil {
		g.Go(func() error { s.classic.runWork(gctx); return nil })
	}
	if s.opt.FIFO != nil {
		g.Go(func() error { s.readFIFO(gctx, s.opt.FIFO); return nil })
	}
	g.Go(func() error {
		defer stopMedia()
		defer close(s.done)
		return s.loop(ctx, gctx)
	})
	return g.Wait()
}

// loop owns the cores. It ends when ctx has ended and the leave is out, or
// when broken, which the media's failure ends.
func (s *Server) loop(ctx, broken context.Context) error {
	alarm, err := newAlarm()
	if err != nil {
		return err
	}
	defer alarm.close()
	s.log.Info("Local status now set to: 'up'")
	s.stepLink(time.Now(), link.Started{})
	stop, gone := ctx.Done(), (<-chan time.Time)(nil)
	for {
		sends := s.sends
		if len(s.outbox) > 0 || s.leaving || s.full(time.Now()) {
			sends = nil // clients wait until the others have caught up
		}
		wake := s.linkWake
		if !s.ccmWake.IsZero() && s.ccmWake.Before(wake) {
			wake = s.ccmWake
		}
		if at := s.classicWake(); !at.IsZero() && at.Before(wake) {
			wake = at
		}
		if at := s.wake306(); !at.IsZero() && at.Before(wake) {
			wake = at
		}
		if at := s.flow.next; !at.IsZero() && at.Before(wake) {
			wake = at
		}
		if err := alarm.set(wake); err != nil {
			s.endStreams(errStopping)
			return err
		}
		select {
		case <-stop:
			stop = nil
			s.leave(time.Now())
			gone = time.After(leaveLinger)
		case <-gone:
			s.endStreams(errStopping)
			return nil
		case <-broken.Done():
			s.endStreams(errStopping)
			return nil
		case r := <-s.packets:
			s.stepLink(time.Now(), link.Received{Medium: r.medium, Packet: r.packet})
		case call := <-s.calls:
			call(time.Now())
		case out := <-sends:
			s.take(out)
		case <-alarm.c:
			alarm.rang()
			now := time.Now()
			s.clock.look(now, s.log)
			if !now.Before(s.linkWake) {
				s.readLoad(now)
				s.stepLink(now, link.Woken{})
			}
			if !s.ccmWake.IsZero() && !now.Before(s.ccmWake) {
				s.stepCCM(now, ccm.Woken{})
			}
			if at := s.classicWake(); !at.IsZero() && !now.Before(at) {
				s.stepClassic(now, classic.Woken{})
			}
			if at := s.wake306(); !at.IsZero() && !now.Before(at) {
				s.step306(now, ccm306.Woken{})
			}
		}
		now := time.Now()
		s.checkFlow(now)
		s.flush(now)
	}
}

// stepLink steps link and carries out its output. Messages that follow from it
// wait in submits, since they would step link again.
func (s *Server) stepLink(now time.Time, ev link.Event) {
	out := s.link.Step(now, ev)
	s.linkWake, s.congested = out.WakeAt, out.Congested
	for _, n := range out.Notes {
		s.note(n)
	}
	if len(out.Changes) > 0 {
		s.changed(now, out.Changes)
	}
	for _, p := range out.Deliver {
		s.deliver(now, p)
	}
	s.resent += uint64(out.Resent)
	for _, p := range out.Send {
		s.transmit(p)
	}
}

func (s *Server) note(n link.Note) {
	level := slog.LevelInfo
	switch n.Level {
	case link.Warn:
		level = slog.LevelWarn
	case link.Error:
		level = slog.LevelError
	case link.Crit:
		level = halog.LevelCrit
	}
	s.log.Log(context.Background(), level, n.Text)
}

// transmit signs a packet and puts it on all media.
func (s *Server) transmit(p *link.Packet) {
	opt := hamsg.Options{InnerAuth: s.config().InnerAuth && !strings.HasPrefix(p.Type, ours)}
	if !strings.HasPrefix(p.Type, ours) {
		opt.Fields = s.config().Compression
		if s.config().CompressWhole {
			opt.Compress, opt.Threshold = s.config().Compression, s.config().Threshold
		}
	}
	data, err := hamsg.Encode(p.Message, s.keys.Load(), opt)
	if err != nil {
		s.log.Error("cannot encode a message", "type", p.Type, "err", err)
		return
	}
	if p.Seq > 0 {
		s.window.sent(p.Seq, len(data))
	}
	s.opt.Media.Send(data)
	if p.Type != "status" {
		return
	}
	if s.opt.Beat != nil {
		s.opt.Beat()
	}
	s.ping(p.Message.Get("ts"))
}

// ping sends every ping node the message that it shall say in its reply
// (HB 11), with each status message of ours.
func (s *Server) ping(ts string) {
	for _, n := range s.config().PingNodes {
		info := "ping"
		if n.Group {
			info = "ping_group"
		}
		m := hamsg.New("NS_st")
		m.Add("st", "ping")
		m.Add("info", info)
		m.Add("src", n.Name)
		m.Add("ts", ts)
		data, err := hamsg.Encode(m, s.keys.Load(), hamsg.Options{InnerAuth: s.config().InnerAuth})
		if err != nil {
			s.log.Error("cannot encode a message", "type", "NS_st", "err", err)
			return
		}
		s.opt.Media.Ping(n.Name, data)
	}
}

// changed passes what link found to ccm, in one step, and to whoever watches.
func (s *Server) changed(now time.Time, changes []link.Change) {
	var events ccm.Several
	touched := map[string]bool{}
	for _, c := range changes {
		touched[c.Node] = true
		if c.Ping {
			continue
		}
		switch c.Kind {
		case link.Dead, link.Returned, link.Restarted, link.Broken:
			s.gate.Interrupted(c.Node)
		}
		switch c.Kind {
		case link.Up, link.Returned, link.Restarted:
			s.assembler.forget(c.Node)
			events = append(events, ccm.NodeUp{Name: c.Node, ID: c.ID.String(), Generation: c.Generation})
			s.rememberPeers()
		case link.Dead:
			delete(s.flow.held, c.Node)
			s.assembler.forget(c.Node)
			events = append(events, ccm.NodeLost{Name: c.Node, At: now})
		case link.Broken:
			s.assembler.forget(c.Node)
			events = append(events, ccm.StreamBroken{Name: c.Node})
		case link.LocalActive:
			events = append(events, ccm.Started{})
			s.active = true
		case link.Added, link.Removed, link.Described:
			s.rememberPeers()
			s.requorum()
		case link.LocalDeleted:
			if s.opt.Stop != nil {
				s.opt.Stop("this node was deleted from the cluster")
			}
		}
	}
	if len(events) > 0 {
		s.stepCCM(now, events)
	}
	s.changed306(now, changes)
	s.publishStatus(touched)
	s.classicChanges(now, changes)
	if s.active && s.opt.Active != nil {
		s.opt.Active()
		s.opt.Active = nil
	}
}

// deliver gives a message of link's streams to whom it is for.
func (s *Server) deliver(now time.Time, p *link.Packet) {
	s.classicMessage(now, p)
	s.listened(now, p)
	if p.Src == s.config().Node {
		return // own messages were taken care of when they were sent
	}
	if strings.HasPrefix(p.Type, type306) {
		s.message306(now, p)
		return
	}
	switch p.Type {
	case typeCCM:
		m, err := ccm.Unmarshal(p.Message.Bytes("pb"))
		if err != nil {
			s.log.Warn("a membership message is not understood", "peer", p.Src, "err", err)
			return
		}
		s.ours306(now, p.Src)
		s.stepCCM(now, ccm.Received{From: p.Src, Generation: p.Generation, Message: m})
	case typeData:
		s.arrivedData(p)
	case typeFlow:
		s.heldBy(now, p)
	case "shutdone":
		if s.classic != nil {
			return // said by the core
		}
		s.log.Info(fmt.Sprintf("Received shutdown notice from '%s'.", p.Src))
	}
}

// stepCCM steps ccm, publishes new views and queues its messages.
func (s *Server) stepCCM(now time.Time, ev ccm.Event) {
	out := s.ccm.Step(now, ev)
	s.ccmWake = out.WakeAt
	for _, m := range out.Memberships {
		s.install(m)
	}
	for _, send := range out.Send {
		pb, err := ccm.Marshal(send.Message)
		if err != nil {
			s.log.Error("cannot encode a membership message", "err", err)
			continue
		}
		m := hamsg.New(typeCCM)
		if send.To != "" {
			m.Add("dest", send.To)
		}
		m.AddBinary("pb", pb)
		s.submits = append(s.submits, m)
	}
}

// leave tells the others that this node goes, in our words and in 3.0.6's.
func (s *Server) leave(now time.Time) {
	s.leaving = true
	s.stepCCM(now, ccm.Left{})
	if s.classic != nil {
		return // sent when the resources were given up
	}
	bye := hamsg.New("shutdone")
	bye.Add("st", "dead")
	s.submits = append(s.submits, bye)
}

// readLoad renews the load average that status messages carry.
func (s *Server) readLoad(now time.Time) {
	if now.Sub(s.loadRead) < time.Second {
		return
	}
	s.loadRead = now
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		s.stepLink(now, link.LoadRead{Line: strings.TrimRight(string(text), "\n")})
	}
}

// decode verifies and parses packets beside the loop.
func (s *Server) decode(ctx context.Context) {
	var bad badPackets
	for {
		select {
		case <-ctx.Done():
			return
		case p := <-s.opt.Media.Recv():
			m, method, err := hamsg.Decode(p.Data, s.keys.Load())
			var packet *link.Packet
			if err == nil {
				packet, err = link.Parse(m)
			}
			if err != nil {
				s.bad.Add(1)
				if s.config().LogBadPackets && !errors.Is(err, hamsg.ErrNotMessage) {
					bad.report(s.log, p.Medium, err)
				}
				continue
			}
			packet.Modern = hamsg.Modern(method)
			select {
			case s.packets <- received{p.Medium, packet}:
			case <-ctx.Done():
				return
			}
		}
	}
}

// badPackets keeps a flood of bad packets from becoming a flood of lines.
type badPackets struct {
	at      time.Time
	skipped int
}

func (b *badPackets) report(log *slog.Logger, medium string, err error) {
	if now := time.Now(); now.Sub(b.at) >= time.Second {
		log.Error("packet dropped", "medium", medium, "err", err, "more_since_last", b.skipped)
		b.at, b.skipped = now, 0
		return
	}
	b.skipped++
}

// rememberPeers hands the node table to the writer of the peers' file; only
// the newest counts.
func (s *Server) rememberPeers() {
	if s.opt.StateDir == "" {
		return
	}
	known := Known{Self: s.link.Self(), Deleted: s.link.Deleted()}
	for _, n := range s.link.Nodes() {
		if !n.Ping {
			known.Nodes = append(known.Nodes, n.Node)
		}
	}
	for {
		select {
		case s.saved <- known:
			return
		case <-s.saved:
		}
	}
}

func (s *Server) rememberView(number uint64) {
	if s.opt.StateDir == "" {
		return
	}
	for {
		select {
		case s.views <- number:
			return
		case <-s.views:
		}
	}
}

func (s *Server) savePeers(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case known := <-s.saved:
			if err := saveKnown(s.opt.StateDir, known, s.config().CRM.Enabled()); err != nil {
				s.log.Warn("cannot remember the nodes heard", "err", err)
			}
		case number := <-s.views:
			if err := saveLastView(s.opt.StateDir, number); err != nil {
				s.log.Warn("cannot remember the number of the view", "view", number, "err", err)
			}
		}
	}
}

// do runs f in the loop and waits for it; false when the loop has ended.
func (s *Server) do(f func(now time.Time)) bool {
	ran := make(chan struct{})
	select {
	case s.calls <- func(now time.Time) { f(now); close(ran) }:
		<-ran
		return true
	case <-s.done:
		return false
	}
}
