package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"linuxha/cib/cibdoc"
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
