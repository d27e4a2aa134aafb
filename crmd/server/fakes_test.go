package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"linuxha/cib/cibdoc"
	"linuxha/cib/ops"
	"linuxha/cib/patch"
	"linuxha/internal/paths"
	attrdv1 "linuxha/proto/attrd/v1"
	cibv1 "linuxha/proto/cib/v1"
	crmv1 "linuxha/proto/crm/v1"
	heartbeatv1 "linuxha/proto/heartbeat/v1"
	lrmv1 "linuxha/proto/lrm/v1"
	penginev1 "linuxha/proto/pengine/v1"
	stonithv1 "linuxha/proto/stonith/v1"
)

// fakeCluster is a cluster around controllers under test: a messaging layer
// with agreed views, one CIB for all, and per node an lrmd, a fencer, an attrd
// and a toy scheduler. Each is a real gRPC server over memory.
type fakeCluster struct {
	t     testing.TB
	cib   *fakeCIB
	names []string
	nodes map[string]*fakeNode

	mu     sync.Mutex
	number uint64
	born   map[string]uint64
	procs  map[string]*attachment // crmd per node
	up     map[string]bool
	frozen map[string]chan struct{} // messaging that reads nothing until it is closed
}

type fakeNode struct {
	c     *fakeCluster
	name  string
	lrm   *fakeLRM
	pe    *toyScheduler
	srv   *Server
	crm   crmv1.CrmClient
	ended chan error
	stop  context.CancelFunc
	conns map[string]grpc.ClientConnInterface
}

func idOf(node string) string { return "00000000-0000-0000-0000-00000000000" + node[len(node)-1:] }

const emptyCIB = `<cib admin_epoch="0" epoch="1" num_updates="0" validate-with="pacemaker-3.9"><configuration><crm_config/><nodes/><resources>%s</resources><constraints/></configuration><status/></cib>`

func newCluster(t testing.TB, resources string, names ...string) *fakeCluster {
	doc, err := cibdoc.Parse([]byte(fmt.Sprintf(emptyCIB, resources)))
	if err != nil {
		t.Fatal(err)
	}
	c := &fakeCluster{
		t: t, names: names, nodes: map[string]*fakeNode{}, born: map[string]uint64{}, procs: map[string]*attachment{}, up: map[string]bool{}, frozen: map[string]chan struct{}{},
		cib: &fakeCIB{mu: &oneCIB, doc: doc, watchers: map[chan *cibv1.Notification]bool{}},
	}
	for _, n := range names {
		c.nodes[n] = &fakeNode{c: c, name: n, lrm: newFakeLRM(n), pe: &toyScheduler{}}
	}
	return c
}

// serve runs a gRPC server in memory and returns a connection to it.
func serve(t testing.TB, register func(*grpc.Server)) grpc.ClientConnInterface {
	l := bufconn.Listen(1 << 20)
	srv := grpc.NewServer()
	register(srv)
	go func() { _ = srv.Serve(l) }() // ends with Stop
	t.Cleanup(srv.Stop)
	cc, err := grpc.NewClient("passthrough:fake", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	return cc
}

// start boots a node: its messaging comes up, then its controller.
func (c *fakeCluster) start(name string) *fakeNode {
	n := c.nodes[name]
	c.mu.Lock()
	c.up[name] = true
	c.mu.Unlock()
	if n.conns == nil {
		n.conns = map[string]grpc.ClientConnInterface{
			"heartbeatd": serve(c.t, func(s *grpc.Server) { heartbeatv1.RegisterMessagingServer(s, &fakeHB{c: c, node: name}) }),
			"cib":        serve(c.t, func(s *grpc.Server) { cibv1.RegisterCibServer(s, c.cib) }),
			"lrmd":       serve(c.t, func(s *grpc.Server) { lrmv1.RegisterLrmServer(s, n.lrm) }),
			"stonithd":   serve(c.t, func(s *grpc.Server) { stonithv1.RegisterStonithServer(s, &fakeFencer{c: c}) }),
			"attrd":      serve(c.t, func(s *grpc.Server) { attrdv1.RegisterAttrdServer(s, &fakeAttrd{c: c, node: name}) }),
			"pengine":    serve(c.t, func(s *grpc.Server) { penginev1.RegisterSchedulerServer(s, n.pe) }),
		}
	}
	var log io.Writer = io.Discard
	if testing.Verbose() {
		log = c.t.Output()
	}
	srv, err := New(Options{
		Paths: paths.Layout{Root: c.t.TempDir()},
		Log:   slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})).With("on", name),
		Dial:  func(d string) (grpc.ClientConnInterface, error) { return n.conns[d], nil },
		Grace: 2 * time.Second,
	})
	if err != nil {
		c.t.Fatal(err)
	}
	n.srv = srv
	n.crm = crmv1.NewCrmClient(serve(c.t, srv.Register))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	n.stop, n.ended = cancel, ended
	go func() { ended <- srv.Run(ctx) }()
	c.t.Cleanup(srv.cancel)
	return n
}

func (c *fakeCluster) startAll() {
	for _, n := range c.names {
		c.start(n)
	}
}

// crash kills the controller as kill -9 does: everything else goes on.
func (n *fakeNode) crash() {
	n.srv.cancel()
	n.c.detach(n.name, nil)
}

// die kills the whole node.
func (c *fakeCluster) die(name string) {
	c.mu.Lock()
	c.up[name] = false
	delete(c.born, name)
	c.mu.Unlock()
	c.nodes[name].srv.cancel()
	c.nodes[name].lrm.reset()
	c.detach(name, nil)
}

// --- messaging

type attachment struct {
	node   string
	info   map[string]string
	bornOn uint64
	out    chan *heartbeatv1.AttachEvent
}

type fakeHB struct {
	heartbeatv1.UnimplementedMessagingServer
	c    *fakeCluster
	node string
}

func (h *fakeHB) Attach(stream grpc.BidiStreamingServer[heartbeatv1.AttachRequest, heartbeatv1.AttachEvent]) error {
	first, err := stream.Recv()
	if err != nil || first.GetHello() == nil {
		return errors.Join(err, errors.New("no hello"))
	}
	a := &attachment{node: h.node, info: first.GetHello().Info, out: make(chan *heartbeatv1.AttachEvent, 10000)}
	a.out <- &heartbeatv1.AttachEvent{Kind: &heartbeatv1.AttachEvent_Welcome{Welcome: &heartbeatv1.Welcome{
		Node: h.node, NodeId: idOf(h.node), Generation: 1, Configured: h.c.configured(),
	}}}
	h.c.attach(a)
	go func() {
		defer h.c.detach(h.node, a)
		for {
			req, err := stream.Recv()
			if err != nil {
				return
			}
			h.c.mu.Lock()
			frozen := h.c.frozen[h.node]
			h.c.mu.Unlock()
			if frozen != nil {
				<-frozen
			}
			switch k := req.Kind.(type) {
			case *heartbeatv1.AttachRequest_Send:
				h.c.deliver(h.node, k.Send)
			case *heartbeatv1.AttachRequest_SetInfo:
				h.c.mu.Lock()
				a.info = k.SetInfo.Info
				h.c.mu.Unlock()
				h.c.newView()
			}
		}
	}()
	for {
		select {
		case ev, ok := <-a.out:
			if !ok {
				return nil
			}
			if err := stream.Send(ev); err != nil {
				return err
			}
		case <-stream.Context().Done():
			return nil
		}
	}
}

// freeze stops a node's messaging from reading, until goOn.
func (c *fakeCluster) freeze(node string) (goOn func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	frozen := make(chan struct{})
	c.frozen[node] = frozen
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.frozen, node)
		close(frozen)
	}
}

func (c *fakeCluster) configured() []*heartbeatv1.NodeInfo {
	var out []*heartbeatv1.NodeInfo
	for _, n := range c.names {
		out = append(out, &heartbeatv1.NodeInfo{Name: n, Id: idOf(n), Type: "normal"})
	}
	return out
}

func (c *fakeCluster) attach(a *attachment) {
	c.mu.Lock()
	c.procs[a.node] = a
	a.bornOn = c.number + 1
	c.mu.Unlock()
	c.newView()
}

func (c *fakeCluster) detach(node string, a *attachment) {
	c.mu.Lock()
	if a != nil && c.procs[node] != a || c.procs[node] == nil {
		c.mu.Unlock()
		return
	}
	delete(c.procs, node)
	c.mu.Unlock()
	c.newView()
}

// newView installs the next view everywhere.
func (c *fakeCluster) newView() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.number++
	m := &heartbeatv1.Membership{Number: c.number, Coordinator: "x", Configured: c.configured()}
	for _, n := range c.names {
		if !c.up[n] {
			continue
		}
		if c.born[n] == 0 {
			c.born[n] = c.number
		}
		mb := &heartbeatv1.Member{Name: n, Id: idOf(n), BornOn: c.born[n], Generation: 100 + c.born[n], Processes: []*heartbeatv1.Process{{Name: "cib", BornOn: c.born[n]}}}
		if a := c.procs[n]; a != nil {
			mb.Processes = append(mb.Processes, &heartbeatv1.Process{Name: "crmd", BornOn: a.bornOn, Info: a.info})
		}
		m.Members = append(m.Members, mb)
	}
	m.Quorate = 2*len(m.Members) > len(c.names)
	for _, a := range c.procs {
		a.out <- &heartbeatv1.AttachEvent{Kind: &heartbeatv1.AttachEvent_Membership{Membership: m}}
	}
}

func (c *fakeCluster) deliver(from string, s *heartbeatv1.Send) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.names {
		if a := c.procs[n]; a != nil && (s.ToNode == "" || s.ToNode == n) {
			a.out <- &heartbeatv1.AttachEvent{Kind: &heartbeatv1.AttachEvent_Message{Message: &heartbeatv1.Message{
				FromNode: from, FromClient: "crmd", View: c.number, Payload: s.Payload,
			}}}
		}
	}
}

// --- CIB

// oneCIB serialises all fakes of the process: controllers of a test that is
// over may still talk, and compiled XPaths are shared.
var oneCIB sync.Mutex

type fakeCIB struct {
	cibv1.UnimplementedCibServer
	mu       *sync.Mutex // oneCIB
	doc      *cibdoc.Doc
	watchers map[chan *cibv1.Notification]bool
	applies  int
	wholes   int // queries of the whole document or configuration
}

func protoVersion(v cibdoc.Version) *cibv1.Version {
	return &cibv1.Version{AdminEpoch: v.AdminEpoch, Epoch: v.Epoch, NumUpdates: v.NumUpdates}
}

func (f *fakeCIB) Query(_ context.Context, req *cibv1.QueryRequest) (*cibv1.QueryResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if req.NoChildren {
		return &cibv1.QueryResponse{Xml: f.doc.Root().Bare().Bytes(), Version: protoVersion(f.doc.Version())}, nil
	}
	if req.Section == "" || req.Section == "configuration" {
		f.wholes++
	}
	if req.Section == "" {
		return &cibv1.QueryResponse{Xml: f.doc.Bytes(), Version: protoVersion(f.doc.Version())}, nil
	}
	n, err := ops.Select(f.doc, ops.Query{Section: req.Section, XPath: req.Xpath})
	if err != nil {
		return &cibv1.QueryResponse{Rc: int32(cibdoc.RCOf(err)), Error: err.Error()}, nil
	}
	return &cibv1.QueryResponse{Xml: n.Bytes(), Version: protoVersion(f.doc.Version())}, nil
}

func (f *fakeCIB) Apply(_ context.Context, req *cibv1.ApplyRequest) (*cibv1.ApplyResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.applies++
	doc := f.doc
	for _, ch := range req.Changes {
		oc := ops.Change{
			Op:      map[cibv1.Op]ops.Op{cibv1.Op_OP_MODIFY: ops.Modify, cibv1.Op_OP_DELETE: ops.Delete, cibv1.Op_OP_CREATE: ops.Create}[ch.Op],
			Section: ch.Section, XPath: ch.Xpath, CanCreate: ch.CanCreate, All: ch.DeleteAll,
		}
		if len(ch.Xml) > 0 {
			n, err := cibdoc.ParseNode(ch.Xml)
			if err != nil {
				return &cibv1.ApplyResponse{Rc: 22, Error: err.Error()}, nil
			}
			oc.XML = n
		}
		res, err := ops.Apply(doc, ops.Request{Changes: []ops.Change{oc}})
		if err != nil {
			if ch.MissingOk && cibdoc.RCOf(err) == 6 {
				continue
			}
			return &cibv1.ApplyResponse{Rc: int32(cibdoc.RCOf(err)), Error: fmt.Sprintf("%v %s: %v", ch.Op, ch.Section, err)}, nil
		}
		doc = res.Doc
	}
	n := &cibv1.Notification{From: protoVersion(f.doc.Version()), To: protoVersion(doc.Version())}
	if diff := patch.Create(f.doc, doc, patch.Options{}); diff != nil {
		n.Patch = diff.Bytes()
		f.doc = doc
		for w := range f.watchers {
			w <- n
		}
	}
	return &cibv1.ApplyResponse{Version: n.To}, nil
}

func (f *fakeCIB) Watch(_ *cibv1.WatchRequest, stream grpc.ServerStreamingServer[cibv1.Notification]) error {
	f.mu.Lock()
	w := make(chan *cibv1.Notification, 10000)
	f.watchers[w] = true
	w <- &cibv1.Notification{To: protoVersion(f.doc.Version()), Document: f.doc.Bytes()}
	f.mu.Unlock()
	defer func() { f.mu.Lock(); delete(f.watchers, w); f.mu.Unlock() }()
	for {
		select {
		case n, open := <-w:
			if !open {
				return status.Error(codes.Unavailable, "the CIB daemon ended")
			}
			if err := stream.Send(n); err != nil {
				return err
			}
		case <-stream.Context().Done():
			return nil
		}
	}
}

// restart ends all streams, as the daemon's death does.
func (f *fakeCIB) restart() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for w := range f.watchers {
		close(w)
	}
	clear(f.watchers)
}

func (f *fakeCIB) wholeQueries() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.wholes
}

func (f *fakeCIB) SetPrimary(_ context.Context, r *cibv1.SetPrimaryRequest) (*cibv1.SetPrimaryResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return &cibv1.SetPrimaryResponse{Version: protoVersion(f.doc.Version()), Source: r.Primary}, nil
}

// attr reads an attribute at an XPath.
func (f *fakeCIB) attr(xpath, name string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	ms, err := f.doc.Select(xpath)
	if err != nil || len(ms) == 0 {
		return ""
	}
	return ms[0].Node.Attr(name)
}

func (f *fakeCIB) count(xpath string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	ms, err := f.doc.Select(xpath)
	if err != nil {
		return -1
	}
	return len(ms)
}

// --- lrmd

type fakeLRM struct {
	lrmv1.UnimplementedLrmServer
	node string

	mu          sync.Mutex
	incarnation int
	calls       int64
	active      map[string]bool // resource is running here
	known       map[string]*lrmv1.Agent
	recurring   map[string]*lrmv1.Operation
	user        map[string]string // what came with them
	ran         []string
	watchers    map[chan *lrmv1.Event]bool
	fail        map[string]int32 // rc per RSC_ACTION_INTERVAL
	hang        map[string]chan struct{}
	alerts      []map[string]string // environments of alert agents
}

func newFakeLRM(node string) *fakeLRM {
	l := &fakeLRM{node: node, watchers: map[chan *lrmv1.Event]bool{}, user: map[string]string{}, fail: map[string]int32{}, hang: map[string]chan struct{}{}}
	l.reset()
	return l
}

// reset is a reboot.
func (l *fakeLRM) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.incarnation++
	l.calls, l.active, l.known, l.recurring = 0, map[string]bool{}, map[string]*lrmv1.Agent{}, map[string]*lrmv1.Operation{}
}

func (l *fakeLRM) name() string { return fmt.Sprintf("%s/%d", l.node, l.incarnation) }

func (l *fakeLRM) Register(_ context.Context, r *lrmv1.RegisterRequest) (*lrmv1.RegisterResponse, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known[r.RscId] = r.Agent
	return &lrmv1.RegisterResponse{}, nil
}

func (l *fakeLRM) Unregister(_ context.Context, r *lrmv1.UnregisterRequest) (*lrmv1.UnregisterResponse, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, existed := l.known[r.RscId]
	delete(l.known, r.RscId)
	return &lrmv1.UnregisterResponse{Existed: existed}, nil
}

func (l *fakeLRM) Exec(_ context.Context, r *lrmv1.ExecRequest) (*lrmv1.ExecResponse, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known[r.RscId] == nil {
		return nil, status.Error(codes.NotFound, "unknown resource")
	}
	l.calls++
	key := fmt.Sprintf("%s_%s_%d", r.RscId, r.Action, r.IntervalMs)
	l.ran = append(l.ran, key)
	ev := &lrmv1.Event{
		Kind: lrmv1.Event_KIND_STARTED, RscId: r.RscId, Action: r.Action, IntervalMs: r.IntervalMs, CallId: l.calls,
		UserData: r.UserData, Params: r.Params, StartedAtNs: time.Now().UnixNano(),
	}
	l.publish(ev)
	if r.Action == "stop" {
		for k, o := range l.recurring {
			if strings.HasPrefix(k, r.RscId+"_") {
				delete(l.recurring, k)
				if o.IntervalMs > 0 {
					l.publish(&lrmv1.Event{
						Kind: lrmv1.Event_KIND_DONE, RscId: r.RscId, Action: o.Action, IntervalMs: o.IntervalMs, CallId: o.CallId,
						UserData: l.user[k], OpStatus: 1, Removed: true,
					})
				}
			}
		}
	}
	l.user[key] = r.UserData
	op := &lrmv1.Operation{Action: r.Action, IntervalMs: r.IntervalMs, CallId: l.calls, Running: true}
	l.recurring[key] = op
	finish := func() {
		if r.IntervalMs > 0 && l.recurring[key] != op {
			return // cancelled while it ran
		}
		done := &lrmv1.Event{
			Kind: lrmv1.Event_KIND_DONE, RscId: r.RscId, Action: r.Action, IntervalMs: r.IntervalMs, CallId: ev.CallId,
			UserData: r.UserData, Params: r.Params, LastRunUnix: time.Now().Unix(), LastRcChangeUnix: time.Now().Unix(),
		}
		switch r.Action {
		case "monitor":
			if !l.active[r.RscId] {
				done.Rc = 7
			}
		case "start":
			l.active[r.RscId] = true
		case "stop":
			l.active[r.RscId] = false
		}
		if rc, ok := l.fail[key]; ok {
			done.Rc = rc
		}
		if r.IntervalMs == 0 {
			delete(l.recurring, key)
		} else {
			op.Running, op.Last = false, done
		}
		l.publish(done)
	}
	if gate := l.hang[key]; gate != nil {
		go func() { <-gate; l.mu.Lock(); defer l.mu.Unlock(); finish() }()
	} else {
		finish()
	}
	return &lrmv1.ExecResponse{CallId: ev.CallId}, nil
}

func (l *fakeLRM) Cancel(_ context.Context, r *lrmv1.CancelRequest) (*lrmv1.CancelResponse, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := fmt.Sprintf("%s_%s_%d", r.RscId, r.Action, r.IntervalMs)
	_, found := l.recurring[key]
	delete(l.recurring, key)
	return &lrmv1.CancelResponse{Found: found}, nil
}

func (l *fakeLRM) publish(e *lrmv1.Event) {
	for w := range l.watchers {
		w <- e
	}
}

func (l *fakeLRM) Watch(_ *lrmv1.WatchRequest, stream grpc.ServerStreamingServer[lrmv1.Event]) error {
	l.mu.Lock()
	w := make(chan *lrmv1.Event, 10000)
	w <- &lrmv1.Event{Kind: lrmv1.Event_KIND_HELLO, Incarnation: l.name()}
	l.watchers[w] = true
	l.mu.Unlock()
	defer func() { l.mu.Lock(); delete(l.watchers, w); l.mu.Unlock() }()
	for {
		select {
		case e := <-w:
			if e == nil {
				return status.Error(codes.Unavailable, "killed")
			}
			if err := stream.Send(e); err != nil {
				return err
			}
		case <-stream.Context().Done():
			return nil
		}
	}
}

// restart is kill -9 of lrmd: resources go on, its knowledge is gone.
func (l *fakeLRM) restart() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.incarnation++
	l.calls, l.known, l.recurring = 0, map[string]*lrmv1.Agent{}, map[string]*lrmv1.Operation{}
	for w := range l.watchers {
		w <- nil
	}
}

func (l *fakeLRM) List(context.Context, *lrmv1.ListRequest) (*lrmv1.ListResponse, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	resp := &lrmv1.ListResponse{Incarnation: l.name(), LastCallId: l.calls}
	var ids []string
	for id := range l.known {
		ids = append(ids, id)
	}
	sort.Strings(ids)
	for _, id := range ids {
		r := &lrmv1.Resource{RscId: id, Agent: l.known[id]}
		for k, o := range l.recurring {
			if strings.HasPrefix(k, id+"_") {
				r.Operations = append(r.Operations, o)
			}
		}
		resp.Resources = append(resp.Resources, r)
	}
	return resp, nil
}

func (l *fakeLRM) GetMetadata(context.Context, *lrmv1.GetMetadataRequest) (*lrmv1.GetMetadataResponse, error) {
	return &lrmv1.GetMetadataResponse{Xml: `<resource-agent name="Dummy"><version>1.0</version><parameters/><actions/></resource-agent>`}, nil
}

// history returns what was executed since the last call.
func (l *fakeLRM) history() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := l.ran
	l.ran = nil
	return out
}

func (l *fakeLRM) runs(rsc string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.active[rsc]
}

func (l *fakeLRM) Alert(_ context.Context, r *lrmv1.AlertRequest) (*lrmv1.AlertResponse, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.alerts = append(l.alerts, r.Env)
	return &lrmv1.AlertResponse{Sequence: int64(len(l.alerts))}, nil
}

// alerted counts the alerts whose variables CRM_alert_* have these values.
func (l *fakeLRM) alerted(want map[string]string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, env := range l.alerts {
		all := true
		for k, v := range want {
			all = all && env["CRM_alert_"+k] == v
		}
		if all {
			n++
		}
	}
	return n
}

func (l *fakeLRM) setFail(key string, rc int32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fail[key] = rc
}

func (l *fakeLRM) gate(key string) chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := make(chan struct{})
	l.hang[key] = g
	return g
}

// report is a recurring operation whose result changed.
func (l *fakeLRM) report(key string, rc int32) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := l.recurring[key]
	if o == nil || o.Last == nil {
		return false
	}
	ev := &lrmv1.Event{
		Kind: lrmv1.Event_KIND_DONE, RscId: o.Last.RscId, Action: o.Action, IntervalMs: o.IntervalMs, CallId: o.CallId,
		UserData: o.Last.UserData, Params: o.Last.Params, Rc: rc, LastRunUnix: time.Now().Unix(), LastRcChangeUnix: time.Now().Unix() + 1,
	}
	o.Last = ev
	l.publish(ev)
	return true
}

// --- fencer

type fakeFencer struct {
	stonithv1.UnimplementedStonithServer
	c *fakeCluster
}

// fenceScript is what a fencing device does before it begins to work.
type fenceScript struct {
	failures atomic.Int32 // attempts that fail first
	before   func()       // called when one is about to succeed
}

var fenceScripts sync.Map // *fakeCluster -> *fenceScript

func (f *fakeFencer) Fence(_ context.Context, r *stonithv1.FenceRequest) (*stonithv1.FenceResponse, error) {
	if v, ok := fenceScripts.Load(f.c); ok {
		script := v.(*fenceScript)
		if script.failures.Add(-1) >= 0 {
			return &stonithv1.FenceResponse{Rc: 61, Error: "no device"}, nil
		}
		script.before()
	}
	f.c.mu.Lock()
	up := f.c.up[r.Target]
	f.c.mu.Unlock()
	if up {
		f.c.die(r.Target)
	}
	return &stonithv1.FenceResponse{Record: &stonithv1.FenceRecord{Target: r.Target, Action: r.Action, Generation: r.Generation}}, nil
}

func (f *fakeFencer) Watch(_ *stonithv1.WatchRequest, stream grpc.ServerStreamingServer[stonithv1.Event]) error {
	if err := stream.Send(&stonithv1.Event{Hello: true}); err != nil {
		return err
	}
	<-stream.Context().Done()
	return nil
}

// --- attrd

type fakeAttrd struct {
	attrdv1.UnimplementedAttrdServer
	c    *fakeCluster
	node string
}

func (f *fakeAttrd) Update(ctx context.Context, r *attrdv1.UpdateRequest) (*attrdv1.UpdateResponse, error) {
	req := &cibv1.ApplyRequest{}
	for _, a := range r.Attributes {
		node := a.Node
		if node == "" {
			node = f.node
		}
		id := "status-" + idOf(node) + "-" + strings.NewReplacer(":", ".", "#", ".").Replace(a.Name)
		if a.Value == "" {
			req.Changes = append(req.Changes, remove("//nvpair[@id='"+id+"']"))
			continue
		}
		value := a.Value
		if value == "value++" {
			old := f.c.cib.attr("//nvpair[@id='"+id+"']", "value")
			value = fmt.Sprint(atoi(old, 0) + 1)
		}
		req.Changes = append(req.Changes, modify("status", []byte(fmt.Sprintf(
			`<node_state id="%[1]s"><transient_attributes id="%[1]s"><instance_attributes id="status-%[1]s"><nvpair id="%[2]s" name="%[3]s" value="%[4]s"/></instance_attributes></transient_attributes></node_state>`,
			idOf(node), esc(id), esc(a.Name), esc(value)))))
	}
	resp, err := f.c.cib.Apply(ctx, req)
	return &attrdv1.UpdateResponse{Rc: resp.GetRc(), Error: resp.GetError()}, err
}

func (f *fakeAttrd) ClearFailures(context.Context, *attrdv1.ClearFailuresRequest) (*attrdv1.UpdateResponse, error) {
	return &attrdv1.UpdateResponse{}, nil
}

func (f *fakeAttrd) Purge(context.Context, *attrdv1.PurgeRequest) (*attrdv1.PurgeResponse, error) {
	return &attrdv1.PurgeResponse{}, nil
}

// --- scheduler

// toyScheduler places each primitive on the first node that can run it, with
// probes, fencing and shutdown, enough to drive a controller.
type toyScheduler struct {
	penginev1.UnimplementedSchedulerServer
	mu   sync.Mutex
	n    int           // runs that ended
	hold chan struct{} // runs wait for its end, if it is there
	runs int           // runs that began
}

func (s *toyScheduler) holdRuns() (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	hold := make(chan struct{})
	s.hold = hold
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.hold = nil
		close(hold)
	}
}

func (s *toyScheduler) begun() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.runs
}

type toyGraph struct {
	id  int
	xml strings.Builder
}

func (g *toyGraph) add(element, op, key, node, extra, attrs string, inputs ...int) int {
	g.id++
	fmt.Fprintf(&g.xml, `<synapse id="%d"><action_set><%s id="%d" operation="%s" operation_key="%s" on_node="%s" on_node_uuid="%s">%s<attributes CRM_meta_timeout="20000" %s/></%s></action_set><inputs>`,
		g.id, element, g.id, op, key, node, idOf(node), extra, attrs, element)
	for _, in := range inputs {
		if in > 0 {
			fmt.Fprintf(&g.xml, `<trigger><rsc_op id="%d"/></trigger>`, in)
		}
	}
	g.xml.WriteString(`</inputs></synapse>`)
	return g.id
}

func (s *toyScheduler) Schedule(_ context.Context, r *penginev1.ScheduleRequest) (*penginev1.ScheduleResponse, error) {
	s.mu.Lock()
	s.runs++
	hold := s.hold
	s.mu.Unlock()
	if hold != nil {
		<-hold
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	doc, err := cibdoc.ParseNode(r.Cib)
	if err != nil {
		return nil, err
	}
	type nodeState struct {
		online, leaving bool
		last            map[string]*cibdoc.Node // by resource: last_0
		failedCall      map[string]int          // call-id of the last failure
		monitored       map[string]bool
		count           map[string]string
	}
	nodes := map[string]*nodeState{}
	g := &toyGraph{}
	fences := 0
	var names []string
	for ns := range doc.Child("status").Elements() {
		st := &nodeState{last: map[string]*cibdoc.Node{}, failedCall: map[string]int{}, monitored: map[string]bool{}, count: map[string]string{}}
		name := ns.Attr("uname")
		if name == "" {
			continue
		}
		names = append(names, name)
		nodes[name] = st
		ns.Walk(func(_ cibdoc.Path, t *cibdoc.Node) bool {
			switch {
			case t.Tag == "nvpair" && t.Attr("name") == "shutdown" && t.Attr("value") != "0":
				st.leaving = true
			case t.Tag == "nvpair" && strings.HasPrefix(t.Attr("name"), "fail-count-"):
				rsc, _, _ := strings.Cut(strings.TrimPrefix(t.Attr("name"), "fail-count-"), "#")
				st.count[rsc] = t.Attr("value")
			case t.Tag == "lrm_rsc_op":
				key := t.Attr("operation_key")
				rsc, task, ms, _ := splitKey(key)
				if strings.HasSuffix(t.Attr("id"), "_last_0") {
					st.last[rsc] = t
				}
				if task == "monitor" && ms > 0 && t.Attr("rc-code") == "0" {
					st.monitored[rsc] = true
				}
				if strings.HasSuffix(t.Attr("id"), "_last_failure_0") && t.Attr("rc-code") != "0" {
					st.failedCall[rsc] = atoi(t.Attr("call-id"), 0)
				}
			}
			return true
		})
		in, crmd := ns.Attr("in_ccm") == "true", ns.Attr("crmd") == "online"
		st.online = in && crmd && ns.Attr("join") == "member"
		if !(in && crmd) && ns.Attr("expected") == "member" && !st.leaving {
			fences = g.add("crm_event", "stonith", "stonith-"+name+"-reboot", name, `<downed><node id="`+idOf(name)+`"/></downed>`, `CRM_meta_stonith_action="reboot"`, fences)
		}
	}
	sort.Strings(names)
	var can []string
	for _, n := range names {
		if nodes[n].online && !nodes[n].leaving {
			can = append(can, n)
		}
	}
	stops := map[string][]int{}
	for configured := range doc.Child("configuration").Child("resources").Elements() {
		rsc, stopped := configured.Attr("id"), false
		configured.Walk(func(_ cibdoc.Path, t *cibdoc.Node) bool {
			stopped = stopped || t.Attr("name") == "target-role" && t.Attr("value") == "Stopped"
			return true
		})
		prim := fmt.Sprintf(`<primitive id="%s" class="ocf" provider="heartbeat" type="Dummy"/>`, rsc)
		var probes []int
		var active []string
		for _, n := range names {
			if !nodes[n].online {
				continue
			}
			last := nodes[n].last[rsc]
			switch {
			case last == nil, last.Attr("operation") == "monitor" && last.Attr("rc-code") == "193":
				probes = append(probes, g.add("rsc_op", "monitor", rsc+"_monitor_0", n, prim, `CRM_meta_op_target_rc="7" CRM_meta_interval="0"`))
			case last.Attr("operation") == "stop" && last.Attr("rc-code") == "0", last.Attr("rc-code") == "7":
			default:
				active = append(active, n)
			}
		}
		target := ""
		for _, n := range can {
			if stopped || nodes[n].count[rsc] == "INFINITY" {
				continue
			}
			if target == "" || slices.Contains(active, n) && !slices.Contains(active, target) {
				target = n
			}
		}
		after := append([]int{fences}, probes...) // an unexpected result of a probe ends this graph
		for _, n := range active {
			if n != target || nodes[n].failedCall[rsc] > atoi(nodes[n].last[rsc].Attr("call-id"), 0) {
				stop := g.add("rsc_op", "stop", rsc+"_stop_0", n, prim, `CRM_meta_interval="0"`, fences)
				after = append(after, stop)
				stops[n] = append(stops[n], stop)
			}
		}
		if target == "" {
			continue
		}
		running := slices.Contains(active, target)
		pending := running && nodes[target].last[rsc].Attr("rc-code") == "193"
		restart := nodes[target].last[rsc] != nil && nodes[target].failedCall[rsc] > atoi(nodes[target].last[rsc].Attr("call-id"), 0)
		if !running || pending || restart {
			after = []int{g.add("rsc_op", "start", rsc+"_start_0", target, prim, `CRM_meta_interval="0"`, after...)}
		}
		if !nodes[target].monitored[rsc] || !running || restart {
			g.add("rsc_op", "monitor", rsc+"_monitor_10000", target, prim, `CRM_meta_interval="10000"`, after...)
		}
	}
	for _, n := range names {
		if nodes[n].online && nodes[n].leaving {
			g.add("crm_event", "do_shutdown", "do_shutdown-"+n, n, "", `CRM_meta_op_no_wait="true"`, stops[n]...)
		}
	}
	s.n++
	out := fmt.Sprintf(`<transition_graph cluster-delay="60s" stonith-timeout="60s" failed-stop-offset="INFINITY" failed-start-offset="INFINITY" transition_id="%d">%s</transition_graph>`, s.n-1, g.xml.String())
	return &penginev1.ScheduleResponse{Ref: r.Ref, Graph: []byte(out), TransitionId: int64(s.n - 1), InputFile: fmt.Sprintf("pe-input-%d.bz2", s.n-1)}, nil
}

func apply(changes ...*cibv1.Change) *cibv1.ApplyRequest {
	return &cibv1.ApplyRequest{Changes: changes}
}
