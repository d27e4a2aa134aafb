package cibclient_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"linuxha/cib/cibdoc"
	"linuxha/cib/server"
	"linuxha/cib/store"
	"linuxha/internal/cibclient"
	"linuxha/internal/ipc"
	cibv1 "linuxha/proto/cib/v1"
)

// daemon is a real CIB daemon, alone on its node, that can be restarted.
type daemon struct {
	t              testing.TB
	folder, socket string
	client         cibv1.CibClient
	stop           func()
}

func newDaemon(t testing.TB, document string) *daemon {
	dir, err := os.MkdirTemp("", "cib") // short: socket paths are limited
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{t: t, folder: filepath.Join(dir, "store"), socket: filepath.Join(dir, "s"), stop: func() {}}
	cc, err := ipc.Dial(d.socket)
	if err != nil {
		t.Fatal(err)
	}
	d.client = cibv1.NewCibClient(cc)
	t.Cleanup(func() { cc.Close(); d.stop(); os.RemoveAll(dir) })
	if err := os.Mkdir(d.folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if document != "" {
		if err := os.WriteFile(filepath.Join(d.folder, "cib.xml"), []byte(document), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d.start()
	return d
}

func (d *daemon) start() {
	d.t.Helper()
	srv, err := server.New(server.Options{FS: store.Dir{Path: d.folder, UID: -1, GID: -1}, Node: "alpha", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		d.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- ipc.Serve(ctx, d.socket, srv.Register, srv.Run) }()
	d.stop = func() {
		cancel()
		if err := <-done; err != nil {
			d.t.Error(err)
		}
		d.stop = func() {}
	}
	r, err := d.client.SetPrimary(context.Background(), &cibv1.SetPrimaryRequest{Primary: "alpha", View: 1, Members: []string{"alpha"}, Quorate: true}, grpc.WaitForReady(true))
	if err != nil || r.GetRc() != 0 {
		d.t.Fatalf("SetPrimary: %v %v", r, err)
	}
}

func (d *daemon) modify(section, xml string) *cibv1.Version {
	d.t.Helper()
	r, err := d.client.Apply(context.Background(), &cibv1.ApplyRequest{Client: "test", Changes: []*cibv1.Change{
		{Op: cibv1.Op_OP_MODIFY, Section: section, Xml: []byte(xml), CanCreate: true},
	}}, grpc.WaitForReady(true))
	if err != nil || r.GetRc() != 0 {
		d.t.Fatalf("modify %s: %v %v", section, r, err)
	}
	return r.GetVersion()
}

func (d *daemon) document() *cibdoc.Doc {
	d.t.Helper()
	r, err := d.client.Query(context.Background(), &cibv1.QueryRequest{})
	if err != nil || r.GetRc() != 0 {
		d.t.Fatal(r, err)
	}
	doc, err := cibdoc.Parse(r.GetXml())
	if err != nil {
		d.t.Fatal(err)
	}
	return doc
}

func attribute(n int) string {
	return fmt.Sprintf(`<crm_config><cluster_property_set id="o"><nvpair id="o-x" name="x" value="%d"/></cluster_property_set></crm_config>`, n)
}

// follow runs f until the test ends or its connection is lost.
func follow(t testing.TB, f *cibclient.Follower) (steps <-chan cibclient.Step, lost <-chan error) {
	ctx, cancel := context.WithCancel(context.Background())
	ch, end := make(chan cibclient.Step, 4096), make(chan error, 1)
	go func() { end <- f.Follow(ctx, func(s cibclient.Step) { ch <- s }) }()
	t.Cleanup(cancel)
	return ch, end
}

func next(t testing.TB, steps <-chan cibclient.Step) cibclient.Step {
	t.Helper()
	select {
	case s := <-steps:
		return s
	case <-time.After(10 * time.Second):
		t.Fatal("no step within 10 s")
		return cibclient.Step{}
	}
}

// chained: each step begins where the one before ended.
func chained(t testing.TB, before, s cibclient.Step) {
	t.Helper()
	if s.Old != before.New {
		t.Fatalf("a step begins at %v, the one before ended at %v", s.Old.Version(), before.New.Version())
	}
}

func TestFollowerReadsTheDocumentOnce(t *testing.T) {
	d := newDaemon(t, "")
	f := cibclient.NewFollower(d.client)
	steps, _ := follow(t, f)
	first := next(t, steps)
	if first.Old != nil || !first.Connected || first.Patch != nil || !first.Changed("status") {
		t.Errorf("the first step is %+v", first)
	}
	last := first
	for i := range 100 {
		d.modify("crm_config", attribute(i))
		s := next(t, steps)
		chained(t, last, s)
		if s.Patch == nil || s.Connected || s.Misfit != nil || s.Client != "test" {
			t.Fatalf("update %d is %+v", i, s)
		}
		if !s.Changed("crm_config") || s.Changed("resources", "status", "nodes", "alerts") {
			t.Fatalf("update %d changed the wrong sections", i)
		}
		if i > 0 && s.Old.Section("status") != s.New.Section("status") {
			t.Fatal("versions do not share the sections that are equal")
		}
		last = s
	}
	if documents, patches := f.Counts(); documents != 1 || patches != 100 {
		t.Errorf("read %d documents and %d patches for 100 updates", documents, patches)
	}
	if last.New.Sum() != d.document().Sum() {
		t.Error("the copy is not the daemon's document")
	}
}

// TestFollowerMissesNothing: whatever is written while the follower begins is
// in its first document or comes as a patch.
func TestFollowerMissesNothing(t *testing.T) {
	d := newDaemon(t, "")
	const writes = 300
	done := make(chan *cibv1.Version)
	go func() {
		var v *cibv1.Version
		for i := range writes {
			v = d.modify("crm_config", attribute(i))
		}
		done <- v
	}()
	type following struct {
		steps <-chan cibclient.Step
		last  cibclient.Step
	}
	var all []*following
	for len(all) < 8 {
		steps, _ := follow(t, cibclient.NewFollower(d.client))
		all = append(all, &following{steps: steps, last: next(t, steps)})
	}
	end := <-done
	want := d.document().Sum()
	for _, f := range all {
		begin := f.last.New.Version().Epoch
		for f.last.Version().GetEpoch() < end.GetEpoch() {
			s := next(t, f.steps)
			chained(t, f.last, s)
			if s.New.Version().Epoch != s.Old.Version().Epoch+1 {
				t.Fatalf("from %v to %v in one step", s.Old.Version(), s.New.Version())
			}
			f.last = s
		}
		t.Logf("one began at epoch %d of %d", begin, end.GetEpoch())
		if f.last.New.Sum() != want {
			t.Errorf("the follower that began at %d does not have the daemon's document", begin)
		}
	}
}

// TestFollowerAfterRestart: the status section is gone with the daemon, the
// configuration is equal; both shows in the first step of the new connection.
func TestFollowerAfterRestart(t *testing.T) {
	d := newDaemon(t, "")
	f := cibclient.NewFollower(d.client)
	steps, lost := follow(t, f)
	d.modify("resources", `<resources><primitive id="a" class="ocf" provider="heartbeat" type="Dummy"/></resources>`)
	d.modify("status", `<node_state id="1" uname="alpha"/>`)
	var last cibclient.Step
	for last.New == nil || last.New.Section("status").Child("node_state") == nil {
		last = next(t, steps)
	}
	d.stop()
	select {
	case err := <-lost:
		if err == nil {
			t.Error("the end of the connection is no error")
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the follower does not notice that the daemon is gone")
	}
	d.start()
	again, _ := follow(t, f)
	s := next(t, again)
	chained(t, last, s)
	if !s.Connected || s.Patch != nil || !s.Changed("status") || s.Changed("resources", "crm_config") {
		t.Errorf("the first step after the restart is %+v: status %s", s, s.New.Section("status").Bytes())
	}
	d.modify("status", `<node_state id="1" uname="alpha"/>`)
	if s2 := next(t, again); s2.Old != s.New || s2.Patch == nil || s2.Connected {
		t.Errorf("the next step is %+v", s2)
	}
}

var errTooSlow = status.Error(codes.ResourceExhausted, "too slow")

// proxy serves the daemon's watch and spoils what it is told to.
type proxy struct {
	cibv1.UnimplementedCibServer
	behind func() cibv1.CibClient
	spoil  func(*cibv1.Notification) error
}

func (p *proxy) Watch(req *cibv1.WatchRequest, out cibv1.Cib_WatchServer) error {
	in, err := p.behind().Watch(out.Context(), req, grpc.WaitForReady(true))
	if err != nil {
		return err
	}
	for {
		n, err := in.Recv()
		if err != nil {
			return err
		}
		if err := p.spoil(n); err == io.EOF {
			continue
		} else if err != nil {
			return err
		}
		if err := out.Send(n); err != nil {
			return err
		}
	}
}

func throughProxy(t *testing.T, p *proxy) cibv1.CibClient {
	socket := filepath.Join(t.TempDir(), "p")
	if len(socket) > 100 {
		socket = filepath.Join(os.TempDir(), fmt.Sprintf("p%d", os.Getpid()))
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- ipc.Serve(ctx, socket, func(g *grpc.Server) { cibv1.RegisterCibServer(g, p) }, func(ctx context.Context) error { <-ctx.Done(); return nil })
	}()
	cc, err := ipc.Dial(socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cc.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return cibv1.NewCibClient(cc)
}

// TestFollowerResyncs: whatever is wrong with a notification, the follower has
// the daemon's document afterwards, and the step says what was skipped.
func TestFollowerResyncs(t *testing.T) {
	for name, spoil := range map[string]func(*cibv1.Notification) error{
		"lost":      func(*cibv1.Notification) error { return io.EOF },
		"other sum": func(n *cibv1.Notification) error { n.Sum[0] ^= 1; return nil },
		"other value": func(n *cibv1.Notification) error {
			n.Patch = []byte(strings.ReplaceAll(string(n.Patch), `value="3"`, `value="4"`))
			return nil
		},
		"unknown path": func(n *cibv1.Notification) error {
			n.Patch = []byte(strings.ReplaceAll(string(n.Patch), "o-x", "o-y"))
			return nil
		},
		"no XML":   func(n *cibv1.Notification) error { n.Patch = n.Patch[1:]; return nil },
		"too slow": func(*cibv1.Notification) error { return errTooSlow },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDaemon(t, "")
			k := 0 // patches so far
			f := cibclient.NewFollower(throughProxy(t, &proxy{
				behind: func() cibv1.CibClient { return d.client },
				spoil: func(n *cibv1.Notification) error {
					if len(n.Patch) == 0 {
						return nil
					}
					if k++; k == 4 {
						return spoil(n)
					}
					return nil
				},
			}))
			steps, lost := follow(t, f)
			last := next(t, steps)
			misfits := 0
			for i := range 6 {
				d.modify("crm_config", attribute(i))
				if name == "lost" && i == 3 {
					continue // shows with the next one
				}
				s := next(t, steps)
				chained(t, last, s)
				if s.Connected || s.Patch == nil || !s.Changed("crm_config") {
					t.Errorf("update %d is %+v", i, s)
				}
				if s.Misfit != nil {
					misfits++
					if !strings.Contains(string(s.Patch.Bytes()), fmt.Sprintf(`value="%d"`, i)) {
						t.Errorf("the step over %v has the patch %s", s.Misfit, s.Patch.Bytes())
					}
				}
				last = s
			}
			if misfits != 1 || last.New.Sum() != d.document().Sum() {
				t.Errorf("%d misfits; at %v, the daemon at %v", misfits, last.New.Version(), d.document().Version())
			}
			if documents, _ := f.Counts(); documents != 2 {
				t.Errorf("%d documents were read", documents)
			}
			select {
			case err := <-lost:
				t.Errorf("the connection counts as lost: %v", err)
			default:
			}
		})
	}
}
