package server

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"linuxha/cib/ops"
	"linuxha/cib/replica"
	"linuxha/cib/store"
	"linuxha/internal/ipc"
	cibv1 "linuxha/proto/cib/v1"
)

// start runs a server on a folder and returns a client; stop ends it in order.
func start(t *testing.T, folder, socket string) (cibv1.CibClient, func()) {
	t.Helper()
	return startLogging(t, folder, socket, slog.NewTextHandler(testLog{t}, nil))
}

func startLogging(t testing.TB, folder, socket string, log slog.Handler) (cibv1.CibClient, func()) {
	t.Helper()
	srv, err := New(Options{FS: store.Dir{Path: folder, UID: -1, GID: -1}, Node: "alpha", Log: slog.New(log)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- ipc.Serve(ctx, socket, srv.Register, srv.Run) }()
	cc, err := ipc.Dial(socket)
	if err != nil {
		t.Fatal(err)
	}
	return cibv1.NewCibClient(cc), func() {
		cc.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

type testLog struct{ t *testing.T }

func (l testLog) Write(b []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

func lead(t testing.TB, c cibv1.CibClient) {
	t.Helper()
	r, err := c.SetPrimary(t.Context(), &cibv1.SetPrimaryRequest{Primary: "alpha", View: 1, Members: []string{"alpha"}, Quorate: true}, waitReady)
	if err != nil || r.GetRc() != 0 {
		t.Fatalf("SetPrimary: %v %v", r, err)
	}
}

func apply(t testing.TB, c cibv1.CibClient, ch *cibv1.Change) *cibv1.ApplyResponse {
	t.Helper()
	r, err := c.Apply(t.Context(), &cibv1.ApplyRequest{Changes: []*cibv1.Change{ch}, Client: "test", Ref: "r1"}, waitReady)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var waitReady = grpc.WaitForReady(true)

const primitive = `<primitive id="d1" class="ocf" provider="pacemaker" type="Dummy"/>`

func TestSingleNode(t *testing.T) {
	folder, socket := t.TempDir(), filepath.Join(shortDir(t), "cib.sock")
	c, stop := start(t, folder, socket)

	r, err := c.Apply(t.Context(), &cibv1.ApplyRequest{TimeoutMs: 20, Changes: []*cibv1.Change{{Op: cibv1.Op_OP_BUMP}}}, waitReady)
	if err != nil || r.GetRc() != 110 || !strings.Contains(r.GetError(), "no primary") {
		t.Errorf("without a primary: %v %v", r, err)
	}
	watch, err := c.Watch(t.Context(), &cibv1.WatchRequest{})
	if err != nil {
		t.Fatal(err)
	}
	first, err := watch.Recv()
	if err != nil || !strings.Contains(string(first.GetDocument()), `<configuration><crm_config/><nodes/><resources/><constraints/></configuration><status/>`) {
		t.Fatalf("first notification: %v %v", first, err)
	}
	lead(t, c)
	if r := apply(t, c, &cibv1.Change{Op: cibv1.Op_OP_CREATE, Section: "resources", Xml: []byte(primitive)}); r.GetRc() != 0 || r.GetVersion().GetEpoch() != 1 {
		t.Errorf("create: %v", r)
	}
	if r := apply(t, c, &cibv1.Change{Op: cibv1.Op_OP_CREATE, Section: "resources", Xml: []byte(primitive)}); r.GetRc() != 17 || !strings.Contains(string(r.GetXml()), `reason="File exists"`) {
		t.Errorf("create again: %v", r)
	}
	if r := apply(t, c, &cibv1.Change{Op: cibv1.Op_OP_MODIFY, Section: "status", CanCreate: true, Xml: []byte(`<node_state id="1" uname="alpha"/>`)}); r.GetRc() != 0 || r.GetVersion().GetNumUpdates() != 1 {
		t.Errorf("status: %v", r)
	}
	for _, want := range []struct{ part, ref string }{{`operation="create" path="/cib/configuration/resources"`, "r1"}, {`<node_state id="1"`, "r1"}} {
		n, err := watch.Recv()
		if err != nil || !strings.Contains(string(n.GetPatch()), want.part) || n.GetRef() != want.ref || n.GetNode() != "alpha" {
			t.Errorf("notification %v %v, want %v", n, err, want)
		}
	}
	q, err := c.Query(t.Context(), &cibv1.QueryRequest{Section: "//primitive[@id='d1']", Xpath: true})
	if err != nil || string(q.GetXml()) != primitive {
		t.Errorf("query: %v %v", q, err)
	}
	if q, err := c.Query(t.Context(), &cibv1.QueryRequest{Section: "tags"}); err != nil || q.GetRc() != 6 {
		t.Errorf("absent section: %v %v", q, err)
	}
	if r := apply(t, c, &cibv1.Change{Op: cibv1.Op_OP_CREATE, Section: "constraints", Xml: []byte(`<rsc_location id="l" rsc="nowhere" node="a" score="1"/>`)}); r.GetRc() != 203 || !strings.Contains(r.GetError(), "nowhere") {
		t.Errorf("invalid: %v", r)
	}
	st, err := c.GetStatus(t.Context(), &cibv1.GetStatusRequest{})
	if err != nil || !st.GetReady() || st.GetPrimary() != "alpha" || len(st.GetDigest()) != 32 {
		t.Errorf("status: %v %v", st, err)
	}
	stop()
	if _, err := watch.Recv(); err == nil {
		t.Error("the stream outlived the server")
	}

	b, err := os.ReadFile(filepath.Join(folder, "cib.xml"))
	if err != nil || !strings.Contains(string(b), `<primitive id="d1"`) || strings.Contains(string(b), "status") {
		t.Errorf("cib.xml after the end: %v\n%s", err, b)
	}
	c, stop = start(t, folder, socket)
	q, err = c.Query(t.Context(), &cibv1.QueryRequest{}, waitReady)
	if err != nil || q.GetVersion().GetEpoch() != 1 || q.GetVersion().GetNumUpdates() != 0 || !strings.Contains(string(q.GetXml()), primitive+`</resources><constraints/></configuration><status/>`) {
		t.Errorf("after the restart: %v %v", q, err)
	}
	stop()
}

// TestKilled: what was acknowledged is there without an orderly end.
func TestKilled(t *testing.T) {
	folder := t.TempDir()
	c, stop := start(t, folder, filepath.Join(shortDir(t), "cib.sock"))
	defer stop()
	lead(t, c)
	for range 3 {
		if r := apply(t, c, &cibv1.Change{Op: cibv1.Op_OP_BUMP}); r.GetRc() != 0 {
			t.Fatal(r)
		}
	}
	r := apply(t, c, &cibv1.Change{Op: cibv1.Op_OP_CREATE, Section: "resources", Xml: []byte(primitive)})
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	_, loaded, err := store.Open(store.Dir{Path: copied, UID: -1, GID: -1}, slog.New(slog.DiscardHandler))
	if err != nil || loaded.Doc.Version().Epoch != r.GetVersion().GetEpoch() || loaded.Doc.Section("resources").Child("primitive") == nil {
		t.Errorf("read back: %v %v", loaded, err)
	}
}

// TestSlowWatcher: who does not read loses the stream, with the reason, and
// nobody waits for it.
func TestSlowWatcher(t *testing.T) {
	c, stop := start(t, t.TempDir(), filepath.Join(shortDir(t), "cib.sock"))
	defer stop()
	lead(t, c)
	watch, err := c.Watch(t.Context(), &cibv1.WatchRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Recv(); err != nil {
		t.Fatal(err)
	}
	// More than the queue and what gRPC's window holds.
	long := strings.Repeat("x", 4096)
	for i := range 2 * watchQueue {
		r := apply(t, c, &cibv1.Change{
			Op: cibv1.Op_OP_MODIFY, Section: "status", CanCreate: true,
			Xml: fmt.Appendf(nil, `<node_state id="1" n="%d" long="%s"/>`, i, long),
		})
		if r.GetRc() != 0 {
			t.Fatal(r)
		}
	}
	for {
		if _, err = watch.Recv(); err != nil {
			break
		}
	}
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("the stream ended by %v", err)
	}
}

func TestOpNumbers(t *testing.T) {
	for o, name := range map[ops.Op]cibv1.Op{
		ops.Create: cibv1.Op_OP_CREATE, ops.Modify: cibv1.Op_OP_MODIFY, ops.Replace: cibv1.Op_OP_REPLACE,
		ops.Delete: cibv1.Op_OP_DELETE, ops.Erase: cibv1.Op_OP_ERASE, ops.Bump: cibv1.Op_OP_BUMP, ops.Upgrade: cibv1.Op_OP_UPGRADE, ops.Patch: cibv1.Op_OP_PATCH,
	} {
		if toOp(o) != name {
			t.Errorf("%v is %v on the wire", o, toOp(o))
		}
	}
}

// shortDir is a folder whose sockets have short enough paths.
func shortDir(t testing.TB) string {
	dir, err := os.MkdirTemp("", "cib")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// TestEndOfTheDaemonIsUnavailable: who waits for an answer when the daemon ends
// must see that it may ask the next one.
func TestEndOfTheDaemonIsUnavailable(t *testing.T) {
	srv, err := New(Options{FS: store.Dir{Path: t.TempDir(), UID: -1, GID: -1}, Node: "alpha", Log: slog.New(slog.NewTextHandler(testLog{t}, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	us := peer.NewContext(t.Context(), &peer.Peer{AuthInfo: ipc.Peer{UID: uint32(os.Getuid())}})
	apply := func(ctx context.Context) error {
		_, err := srv.Apply(ctx, &cibv1.ApplyRequest{Changes: []*cibv1.Change{{Op: cibv1.Op_OP_CREATE, Section: "resources", Xml: []byte(primitive)}}})
		return err
	}
	short, cancel := context.WithTimeout(us, time.Millisecond)
	defer cancel()
	if err := apply(short); status.Code(err) != codes.DeadlineExceeded { // there is no primary: it waits
		t.Errorf("a request that is out of time: %v", err)
	}
	asked, waiting := make(chan bool), make(chan error, 1)
	go func() {
		_, err := srv.ask(us, func(token uint64) replica.Event {
			close(asked)
			return replica.Submitted{Token: token, Deadline: time.Now().Add(time.Hour)}
		})
		waiting <- err
	}()
	<-asked
	stop()
	if err := <-waiting; status.Code(err) != codes.Unavailable {
		t.Errorf("a request under way: %v", err)
	}
	if err := apply(us); status.Code(err) != codes.Unavailable {
		t.Errorf("a later request: %v", err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestHeldWatcher: who lets notifications wait gets all of them, in order.
func TestHeldWatcher(t *testing.T) {
	c, stop := start(t, t.TempDir(), filepath.Join(shortDir(t), "cib.sock"))
	defer stop()
	lead(t, c)
	watch, err := c.Watch(t.Context(), &cibv1.WatchRequest{HoldMs: 60_000}) // no more than longestHold
	if err != nil {
		t.Fatal(err)
	}
	first, err := watch.Recv()
	if err != nil {
		t.Fatal(err)
	}
	const changes = 300
	for i := range changes {
		r := apply(t, c, &cibv1.Change{Op: cibv1.Op_OP_MODIFY, Section: "status", CanCreate: true, Xml: fmt.Appendf(nil, `<node_state id="1" n="%d"/>`, i)})
		if r.GetRc() != 0 {
			t.Fatal(r)
		}
	}
	at := first.GetTo().GetNumUpdates()
	for i := range changes {
		n, err := watch.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if n.GetFrom().GetNumUpdates() != at || n.GetTo().GetNumUpdates() != at+1 {
			t.Fatalf("notification %d leads from %v to %v, the one before to %d", i, n.GetFrom(), n.GetTo(), at)
		}
		at++
	}
}
