package server

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"

	"linuxha/cib/cibdoc"
	"linuxha/cib/replica"
	"linuxha/cib/store"
	"linuxha/internal/ipc"
	cibv1 "linuxha/proto/cib/v1"
	heartbeatv1 "linuxha/proto/heartbeat/v1"
)

// hub stands for the heartbeatds of all nodes: each attached stream is a node
// of the name that its socket belongs to.
type hub struct {
	mu      sync.Mutex
	streams map[string]heartbeatv1.Messaging_AttachServer
}

type hubNode struct {
	heartbeatv1.UnimplementedMessagingServer
	hub  *hub
	name string
}

func (n hubNode) Attach(stream heartbeatv1.Messaging_AttachServer) error {
	if _, err := stream.Recv(); err != nil { // Hello
		return err
	}
	n.hub.mu.Lock()
	n.hub.streams[n.name] = stream
	err := stream.Send(&heartbeatv1.AttachEvent{Kind: &heartbeatv1.AttachEvent_Welcome{Welcome: &heartbeatv1.Welcome{Node: n.name}}})
	n.hub.mu.Unlock()
	for err == nil {
		var req *heartbeatv1.AttachRequest
		if req, err = stream.Recv(); err == nil {
			err = n.hub.pass(n.name, req.GetSend())
		}
	}
	n.hub.mu.Lock()
	delete(n.hub.streams, n.name)
	n.hub.mu.Unlock()
	if err == io.EOF {
		return nil
	}
	return err
}

func (h *hub) pass(from string, s *heartbeatv1.Send) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, stream := range h.streams {
		if s.GetToNode() == "" || s.GetToNode() == name {
			ev := &heartbeatv1.AttachEvent{Kind: &heartbeatv1.AttachEvent_Message{Message: &heartbeatv1.Message{FromNode: from, FromClient: "cib", Payload: s.GetPayload()}}}
			if err := stream.Send(ev); err != nil {
				return fmt.Errorf("to %s: %w", name, err)
			}
		}
	}
	return nil
}

// member is one node of a test cluster.
type member struct {
	cibv1.CibClient
	name   string
	folder string
	stop   func()
}

func startMember(t *testing.T, dir, heartbeat, name string) *member {
	t.Helper()
	m := &member{name: name, folder: t.TempDir()}
	srv, err := New(Options{
		FS: store.Dir{Path: m.folder, UID: -1, GID: -1}, Node: "unknown", Heartbeat: heartbeat,
		Log: slog.New(slog.NewTextHandler(testLog{t}, nil)).With("node", name),
	})
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, name+".cib")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- ipc.Serve(ctx, socket, srv.Register, srv.Run) }()
	cc, err := ipc.Dial(socket)
	if err != nil {
		t.Fatal(err)
	}
	m.CibClient = cibv1.NewCibClient(cc)
	m.stop = sync.OnceFunc(func() {
		cc.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(m.stop)
	return m
}

func (m *member) status(t *testing.T) *cibv1.GetStatusResponse {
	t.Helper()
	st, err := m.GetStatus(t.Context(), &cibv1.GetStatusRequest{}, waitReady)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// TestCluster runs three daemons over real sockets: appointment, changes from
// each node, the death of the primary, a newcomer.
func TestCluster(t *testing.T) {
	dir := shortDir(t)
	h := &hub{streams: map[string]heartbeatv1.Messaging_AttachServer{}}
	names := []string{"a", "b", "c"}
	nodes := map[string]*member{}
	heartbeats := map[string]func(){} // stops it
	heartbeat := func(name string) {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() {
			done <- ipc.Serve(ctx, filepath.Join(dir, name+".hb"), func(g *grpc.Server) { heartbeatv1.RegisterMessagingServer(g, hubNode{hub: h, name: name}) },
				func(ctx context.Context) error { <-ctx.Done(); return nil })
		}()
		heartbeats[name] = sync.OnceFunc(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
		t.Cleanup(func() { heartbeats[name]() })
	}
	for _, name := range names {
		heartbeat(name)
		nodes[name] = startMember(t, dir, filepath.Join(dir, name+".hb"), name)
	}
	for _, name := range names {
		for nodes[name].status(t).GetNode() != name {
			if t.Context().Err() != nil {
				t.Fatal("not attached")
			}
		}
	}
	appoint := func(view uint64, primary string, members ...string) {
		t.Helper()
		for _, m := range members {
			if m == primary {
				continue
			}
			if _, err := nodes[m].SetPrimary(t.Context(), &cibv1.SetPrimaryRequest{Primary: primary, View: view, Members: members, Quorate: true}); err != nil {
				t.Fatal(err)
			}
		}
		r, err := nodes[primary].SetPrimary(t.Context(), &cibv1.SetPrimaryRequest{Primary: primary, View: view, Members: members, Quorate: true})
		if err != nil || r.GetRc() != 0 {
			t.Fatalf("SetPrimary: %v %v", r, err)
		}
	}
	appoint(1, "a", names...)
	watch, err := nodes["c"].Watch(t.Context(), &cibv1.WatchRequest{PatchesOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Recv(); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for k := range 10 {
				xml := fmt.Sprintf(`<node id="%d" uname="%s%d"/>`, 100*(i+1)+k, name, k)
				r, err := nodes[name].Apply(t.Context(), &cibv1.ApplyRequest{Client: "test", Changes: []*cibv1.Change{{Op: cibv1.Op_OP_CREATE, Section: "nodes", Xml: []byte(xml)}}})
				if err != nil || r.GetRc() != 0 {
					t.Errorf("%s: %v %v", name, r, err)
				}
				q, err := nodes[name].Query(t.Context(), &cibv1.QueryRequest{Section: fmt.Sprintf("//node[@uname='%s%d']", name, k), Xpath: true})
				if err != nil || q.GetRc() != 0 {
					t.Errorf("%s does not see its own change: %v %v", name, q, err)
				}
			}
		}()
	}
	wg.Wait()
	last := int64(0)
	for last < 30 {
		n, err := watch.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if n.GetTo().GetEpoch() != last+1 || len(n.GetPatch()) == 0 {
			t.Fatalf("notification %v after epoch %d", n, last)
		}
		last = n.GetTo().GetEpoch()
	}
	want := nodes["c"].status(t)
	for _, name := range names[:2] {
		if st := nodes[name].status(t); st.GetDigest() != want.GetDigest() {
			t.Errorf("%s: %v, c: %v", name, st, want)
		}
	}
	nodes["a"].stop()
	appoint(2, "b", "b", "c")
	if r := apply(t, nodes["c"], &cibv1.Change{Op: cibv1.Op_OP_BUMP}); r.GetRc() != 0 {
		t.Errorf("after the failover: %v", r)
	}
	nodes["a"] = startMember(t, dir, filepath.Join(dir, "a.hb"), "a")
	for nodes["a"].status(t).GetNode() != "a" {
		if t.Context().Err() != nil {
			t.Fatal("not attached")
		}
	}
	appoint(3, "b", names...)
	if a, b := nodes["a"].status(t), nodes["b"].status(t); a.GetDigest() != b.GetDigest() || !a.GetReady() {
		t.Errorf("the newcomer has %v, the primary %v", a, b)
	}
	heartbeats["c"]() // restarted: its cib attaches again and forgets the primary until told
	heartbeat("c")
	for nodes["c"].status(t).GetPrimary() != "" {
		if t.Context().Err() != nil {
			t.Fatal("not attached again")
		}
	}
	appoint(4, "b", names...)
	if r := apply(t, nodes["c"], &cibv1.Change{Op: cibv1.Op_OP_BUMP}); r.GetRc() != 0 {
		t.Errorf("after the restart of heartbeatd: %v", r)
	}
	if q, err := nodes["a"].Query(t.Context(), &cibv1.QueryRequest{Section: "nodes"}); err != nil || strings.Count(string(q.GetXml()), "<node ") != 30 {
		t.Errorf("the newcomer's nodes: %v %v", q, err)
	}
}

// TestBatches: what follows one another on the same way is sent in one piece,
// in order, and no piece is much larger than a limit.
func TestBatches(t *testing.T) {
	w, err := newWire()
	if err != nil {
		t.Fatal(err)
	}
	term := replica.Term{View: 7, Primary: "a"}
	version := func(n int) cibdoc.Version { return cibdoc.Version{Epoch: int64(n)} }
	var sends []replica.Send
	for i := range 5 {
		sends = append(sends, replica.Send{Message: replica.Committed{Term: term, Version: version(i)}})
	}
	sends = append(sends, replica.Send{To: "b", Message: replica.Ack{Term: term, Held: version(5)}})
	for i := range 3 {
		sends = append(sends, replica.Send{Message: replica.Patch{Term: term, To: version(6 + i), Diff: make([]byte, maxBatch/2)}})
	}
	out, err := w.encode(sends)
	if err != nil {
		t.Fatal(err)
	}
	var got []replica.Send
	pieces := ""
	for _, o := range out {
		messages, err := w.decode(o.payload)
		if err != nil {
			t.Fatal(err)
		}
		pieces += fmt.Sprint(len(messages))
		for _, m := range messages {
			got = append(got, replica.Send{To: o.to, Message: m})
		}
	}
	if pieces != "51111" {
		t.Errorf("messages in the pieces: %s", pieces)
	}
	if !reflect.DeepEqual(got, sends) {
		t.Errorf("sent\n%v\narrived\n%v", sends, got)
	}
}

// FuzzDecode: no message, however broken, brings the daemon down.
func FuzzDecode(f *testing.F) {
	w, err := newWire()
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := w.decode(b)
		if err == nil && m == nil {
			t.Error("neither a message nor an error")
		}
	})
}
