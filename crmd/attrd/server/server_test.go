package server

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"linuxha/crmd/attrd/core"
	"linuxha/internal/cluster/clustertest"
	"linuxha/internal/ipc"
	"linuxha/internal/paths"
	attrdv1 "linuxha/proto/attrd/v1"
	cibv1 "linuxha/proto/cib/v1"
)

// cib records what is written; it is one for all nodes.
type cib struct {
	cibv1.UnimplementedCibServer
	mu      sync.Mutex
	written []string
	status  string
	queries []string                 // sections
	changes chan *cibv1.Notification // nil: none ever
}

func (c *cib) Apply(_ context.Context, in *cibv1.ApplyRequest) (*cibv1.ApplyResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, ch := range in.Changes {
		c.written = append(c.written, ch.Op.String()+" "+ch.Section+" "+string(ch.Xml))
	}
	return &cibv1.ApplyResponse{}, nil
}

func (c *cib) Query(_ context.Context, in *cibv1.QueryRequest) (*cibv1.QueryResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queries = append(c.queries, in.Section)
	return &cibv1.QueryResponse{Xml: []byte(c.status)}, nil
}

func (c *cib) Watch(_ *cibv1.WatchRequest, s cibv1.Cib_WatchServer) error {
	if err := s.Send(&cibv1.Notification{}); err != nil {
		return err
	}
	for {
		select {
		case n := <-c.changes:
			if err := s.Send(n); err != nil {
				return err
			}
		case <-s.Context().Done():
			return nil
		}
	}
}

// asked counts the queries of a section.
func (c *cib) asked(section string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, q := range c.queries {
		if q == section {
			n++
		}
	}
	return n
}

func (c *cib) has(text string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Contains(strings.Join(c.written, "\n"), text)
}

type attrd struct {
	client attrdv1.AttrdClient
	stop   func()
}

func start(t *testing.T, l paths.Layout) *attrd {
	t.Helper()
	var log io.Writer = io.Discard
	if testing.Verbose() {
		log = os.Stderr
	}
	srv := New(Options{Paths: l, Log: slog.New(slog.NewTextHandler(log, nil)).With("root", filepath.Base(l.Root))})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := ipc.Serve(ctx, l.Socket("attrd"), srv.Register, srv.Run); err != nil && ctx.Err() == nil {
			t.Errorf("attrd ended: %v", err)
		}
	}()
	cc, err := ipc.Dial(l.Socket("attrd"))
	if err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	stop := func() {
		once.Do(func() {
			cc.Close()
			cancel()
			<-ended
		})
	}
	t.Cleanup(stop)
	return &attrd{client: attrdv1.NewAttrdClient(cc), stop: stop}
}

func layout(t *testing.T, node string) paths.Layout {
	t.Helper()
	root, err := os.MkdirTemp("/tmp", "at") // short: socket paths are limited
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	return paths.Layout{Root: filepath.Join(root, node)}
}

func serveCIB(t *testing.T, l paths.Layout, c *cib) {
	t.Helper()
	lis, err := ipc.Listen(l.Socket("cib"))
	if err != nil {
		t.Fatal(err)
	}
	g := ipc.NewServer()
	cibv1.RegisterCibServer(g, c)
	go func() { _ = g.Serve(lis) }() // ends with Stop
	t.Cleanup(g.Stop)
}

func TestThreeNodes(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	hb := clustertest.New(t)
	store := &cib{status: `<status><node_state id="` + clustertest.ID("a") + `" uname="a"><transient_attributes id="t"><instance_attributes id="status-` +
		clustertest.ID("a") + `"><nvpair id="p" name="kept" value="5"/></instance_attributes></transient_attributes></node_state></status>`}
	layouts, nodes := map[string]paths.Layout{}, map[string]*attrd{}
	for _, n := range []string{"a", "b", "c"} {
		layouts[n] = layout(t, n)
		nodes[n] = start(t, layouts[n]) // before messaging and CIB are there
	}
	for _, n := range []string{"a", "b", "c"} {
		hb.Add(n, layouts[n].Socket("heartbeatd"))
		serveCIB(t, layouts[n], store)
	}
	wait := grpc.WaitForReady(true)
	up, err := nodes["c"].client.Update(ctx, &attrdv1.UpdateRequest{Sync: true, Attributes: []*attrdv1.Attribute{
		{Name: "x", Value: "value++"}, {Name: "fail-count-d1#monitor_10000", Value: "1", Node: "b"},
	}}, wait)
	if err != nil || up.Rc != 0 {
		t.Fatalf("%v, %v", up, err)
	}
	id := clustertest.ID("c")
	if want := `<node_state id="` + id + `" uname="c"><transient_attributes id="` + id + `"><instance_attributes id="status-` + id +
		`"><nvpair id="status-` + id + `-x" name="x" value="1"/></instance_attributes></transient_attributes></node_state>`; !store.has(want) {
		t.Errorf("after sync the CIB was not told %s, but\n%s", want, strings.Join(store.written, "\n"))
	}
	if !store.has(`-fail-count-d1.monitor_10000" name="fail-count-d1#monitor_10000"`) {
		t.Errorf("the CIB was told\n%s", strings.Join(store.written, "\n"))
	}
	// A node sees its own change at once, and the others soon.
	q, err := nodes["c"].client.Query(ctx, &attrdv1.QueryRequest{Name: "x"})
	if err != nil || len(q.Attributes) != 1 || q.Attributes[0].Value != "1" || q.Attributes[0].Node != "c" {
		t.Errorf("%v, %v", q, err)
	}
	q, err = nodes["b"].client.Query(ctx, &attrdv1.QueryRequest{Name: "nosuch"})
	if err != nil || q.Rc == 0 || q.Error != "attribute does not exist" {
		t.Errorf("%v, %v", q, err)
	}
	// A restarted daemon has the values of before.
	nodes["c"].stop()
	again := start(t, layouts["c"])
	q, err = again.client.Query(ctx, &attrdv1.QueryRequest{Name: "x", AllNodes: true}, wait)
	if err != nil || len(q.Attributes) != 1 || q.Attributes[0].Value != "1" {
		t.Errorf("after a restart: %v, %v", q, err)
	}
	if _, err := again.client.ClearFailures(ctx, &attrdv1.ClearFailuresRequest{Resource: "d1"}); err != nil {
		t.Error(err)
	}
	q, err = again.client.Query(ctx, &attrdv1.QueryRequest{Name: "fail-count-d1#monitor_10000", Node: "b"})
	if err != nil || len(q.Attributes) != 1 || q.Attributes[0].Value != "" {
		t.Errorf("after clearing: %v, %v", q, err)
	}
}

func TestValuesComeBackFromCIB(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	hb := clustertest.New(t)
	l := layout(t, "a")
	id := clustertest.ID("a")
	serveCIB(t, l, &cib{status: `<status><node_state id="` + id + `" uname="a"><transient_attributes id="` + id + `"><instance_attributes id="status-` + id +
		`"><nvpair id="status-` + id + `-x" name="x" value="7"/></instance_attributes></transient_attributes></node_state></status>`})
	hb.Add("a", l.Socket("heartbeatd"))
	q, err := start(t, l).client.Query(ctx, &attrdv1.QueryRequest{Name: "x"}, grpc.WaitForReady(true))
	if err != nil || len(q.Attributes) != 1 || q.Attributes[0].Value != "7" || q.Attributes[0].NvpairId != "" {
		t.Errorf("%v, %v", q, err)
	}
}

// TestAlertsAreReadWhenTheyChange, and not with every change of the CIB.
func TestAlertsAreReadWhenTheyChange(t *testing.T) {
	hb := clustertest.New(t)
	l := layout(t, "a")
	store := &cib{changes: make(chan *cibv1.Notification)}
	serveCIB(t, l, store)
	hb.Add("a", l.Socket("heartbeatd"))
	start(t, l)
	until := func(n int) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); store.asked("alerts") < n; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("the alerts were read %d times in 10 s, want %d", store.asked("alerts"), n)
			}
		}
	}
	until(1)
	tell := func(changes string) {
		store.changes <- &cibv1.Notification{Patch: []byte(`<diff format="2"><change operation="modify" path="/cib"/>` + changes + `</diff>`)}
	}
	for range 100 {
		tell(`<change operation="modify" path="/cib/configuration/resources/primitive[@id='alerts']"/>`)
	}
	tell(`<change operation="delete" path="/cib/configuration/alerts/alert[@id='x']"/>`)
	until(2)
	if n := store.asked("alerts"); n != 2 {
		t.Errorf("the alerts were read %d times for changes elsewhere", n-2)
	}
}

func TestWire(t *testing.T) {
	for _, m := range []core.Message{
		core.Request{Origin: "a/1", Number: 2, Term: 3, Sync: true, Ops: []core.Op{
			core.Set{Name: "n", Value: "v", Node: "a", Dampen: 5, SetDampen: true, KeepValue: true, SetID: "s", PairID: "p", Private: true, Remote: true, User: "u"},
			core.ClearFailures{Resource: "r", Operation: "o", Interval: 7, Node: "n", AnyOperation: true},
			core.Purge{Node: "x"},
			core.Refresh{},
		}},
		core.Ordered{Term: 1, Seq: 2, Origin: "a/1", Number: 3, Changes: []core.Change{{Set: core.Set{Name: "n"}}, {Set: core.Set{Node: "x"}, Drop: true}}},
		core.Snapshot{Term: 1, Seq: 2, Applied: map[string]uint64{"a/1": 4}, Attributes: []core.Attribute{{
			Name: "n", SetID: "s", PairID: "p", Private: true, User: "u", Dampen: 9,
			Values: map[string]core.Value{"a": {Text: "t", Remote: true, At: core.Stamp{Writer: "w", Term: 1, Seq: 2}}},
		}}},
		core.Written{Number: 5},
	} {
		b, err := encode(m)
		if err != nil {
			t.Fatal(err)
		}
		back, err := decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := encode(back); err != nil || string(again) != string(b) {
			t.Errorf("%+v came back as %+v, %v", m, back, err)
		}
	}
}
