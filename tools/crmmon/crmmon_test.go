package crmmon

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"google.golang.org/grpc"

	"linuxha/internal/ipc"
	"linuxha/internal/paths"
	cibv1 "linuxha/proto/cib/v1"
	stonithv1 "linuxha/proto/stonith/v1"
)

func harbour(t *testing.T) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "testdata", "harbour.xml"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func parse(t *testing.T, args ...string) *options {
	t.Helper()
	p, err := spec.Parse(args)
	if err != nil {
		t.Fatal(err)
	}
	o, err := readOptions(p)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// events has one event of each kind, and an older one of the first.
func events() []*stonithv1.FenceRecord {
	at := func(s int64) int64 { return (1700000000 + s) * int64(time.Second) }
	return []*stonithv1.FenceRecord{
		{Action: "off", Target: "gamma", Client: "stonith_admin.7", Origin: "alpha", State: stonithv1.FenceRecord_STATE_FAILED, Reason: "no answer", CompletedUnixNs: at(1)},
		{Action: "off", Target: "gamma", Client: "stonith_admin.8", Origin: "alpha", State: stonithv1.FenceRecord_STATE_FAILED, CompletedUnixNs: at(2)},
		{Action: "reboot", Target: "beta", Client: "crmd.9", Origin: "alpha", Executioner: "alpha", State: stonithv1.FenceRecord_STATE_SUCCESS, CompletedUnixNs: at(3)},
		{Action: "on", Target: "alpha", Client: "crmd.9", Origin: "beta", State: stonithv1.FenceRecord_STATE_PENDING},
	}
}

func TestFencing(t *testing.T) {
	zone := time.Local
	time.Local = time.UTC
	t.Cleanup(func() { time.Local = zone })
	const (
		older   = "  * turning off of gamma for stonith_admin.7@alpha failed at 2023-11-14 22:13:21Z (no answer)\n"
		failed  = "  * turning off of gamma for stonith_admin.8@alpha last failed at 2023-11-14 22:13:22Z\n"
		success = "  * reboot of beta by alpha for crmd.9@alpha successful at 2023-11-14 22:13:23Z\n"
		pending = "  * turning on of alpha pending: client=crmd.9, origin=beta\n"
	)
	for _, tc := range []struct{ args, want string }{
		{"-m 0", ""},
		{"-m 1", "Failed Fencing Actions:\n" + failed + "\nPending Fencing Actions:\n" + pending},
		{"-m", "Fencing History:\n" + pending + success + failed},
		{"-m 3", "Fencing History:\n" + pending + success + strings.ReplaceAll(failed, "last ", "") + older},
		{"-m 2 --node gamma", "Fencing History:\n" + failed},
	} {
		v, err := newView(harbour(t), time.Unix(1700000600, 0))
		if err != nil {
			t.Fatal(err)
		}
		v.fencing = events()
		o := parse(t, append([]string{"-1", "--exclude=all"}, strings.Fields(tc.args)...)...)
		v.choose(o)
		var b strings.Builder
		if err := v.writeText(&b, o); err != nil {
			t.Fatal(err)
		}
		if b.String() != tc.want {
			t.Errorf("%s:\n%s", tc.args, b.String())
		}
	}
	v, err := newView(harbour(t), time.Unix(1700000600, 0))
	if err != nil {
		t.Fatal(err)
	}
	v.fencing = events()
	var b strings.Builder
	if err := v.fencingXML().Write(&b, 0); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`<fence_event action="off" target="gamma" client="stonith_admin.7" origin="alpha" status="failed" exit-reason="no answer" completed="2023-11-14 22:13:21.000000Z"/>`,
		`delegate="alpha" status="success"`, `extended-status="pending"`,
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%s is not in\n%s", want, b.String())
		}
	}
}

func TestSimple(t *testing.T) {
	doc := string(harbour(t))
	for _, tc := range []struct {
		name, old, new string
		code           int
		want           string
	}{
		{"a node is away", "", "", 1, "CLUSTER WARN: offline node: gamma\n"},
		{"no DC", ` dc-uuid="1"`, "", 1, "CLUSTER WARN: No DC, offline node: gamma\n"},
		{"all there", `<node id="3" uname="gamma"/>`, "", 0, "CLUSTER OK: 2 nodes online, 1 standby node, 18 resource instances configured\n"},
	} {
		text := strings.ReplaceAll(doc, tc.old, tc.new)
		if tc.name == "all there" {
			i, j := strings.Index(text, `      <node_state id="3"`), strings.Index(text, `      <node_state id="quay"`)
			text = text[:i] + text[j:]
		}
		v, err := newView([]byte(text), time.Unix(1700000600, 0))
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if code := v.simple(&b); code != tc.code || b.String() != tc.want {
			t.Errorf("%s: %d %s", tc.name, code, b.String())
		}
	}
}

func TestMistakes(t *testing.T) {
	for _, args := range []string{"--output-as=bogus", "-I nope", "-U nope", "-m 4", "-i never", "-i -5"} {
		p, err := spec.Parse(strings.Fields(args))
		if err == nil {
			_, err = readOptions(p)
		}
		if err == nil {
			t.Errorf("%s is accepted", args)
		}
	}
}

// TestKeys: each key changes what is shown, twice brings it back.
func TestKeys(t *testing.T) {
	v, err := newView(harbour(t), time.Unix(1700000600, 0))
	if err != nil {
		t.Fatal(err)
	}
	s := screen{o: parse(t), view: v, height: 500}
	show := func() string { return s.View().Content }
	for _, key := range []string{"n", "r", "R", "f", "o", "t", "A", "L", "b", "D", "?"} {
		before := show()
		press(t, &s, key)
		after := show()
		press(t, &s, key)
		if after == before || show() != before {
			t.Errorf("key %s: shows %v, comes back %v", key, after != before, show() == before)
		}
	}
	if _, cmd := s.Update(tea.KeyPressMsg{Code: 'q', Text: "q"}); cmd == nil {
		t.Error("q does not end it")
	}
	if strings.Contains(show(), "\t") {
		t.Error("tabs have no width on the screen")
	}
}

func press(t *testing.T, s *screen, key string) {
	t.Helper()
	m, _ := s.Update(tea.KeyPressMsg{Code: rune(key[0]), Text: key})
	*s = m.(screen)
}

// TestLostConnection: the last state stays on the screen, with the reason.
func TestLostConnection(t *testing.T) {
	s := screen{o: parse(t), height: 10}
	m, _ := s.Update(arrived{err: context.DeadlineExceeded})
	if got := m.(screen).View().Content; !strings.HasPrefix(got, "Connection to cluster failed: ") || strings.Contains(got, "last known") {
		t.Errorf("%q", got)
	}
	v, err := newView(harbour(t), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	m, _ = m.Update(arrived{view: v})
	if got := m.(screen).View().Content; strings.Contains(got, "failed") || strings.Count(got, "\n") > 10 {
		t.Errorf("%q", got)
	}
	m, _ = m.Update(arrived{err: context.DeadlineExceeded})
	if got := m.(screen).View().Content; !strings.Contains(got, "the last known state follows.\n\nCluster Summary") {
		t.Errorf("%q", got)
	}
}

// daemon is a CIB that changes when told.
type daemon struct {
	cibv1.UnimplementedCibServer
	mu      sync.Mutex
	doc     []byte
	changed chan struct{}
}

func (d *daemon) Query(context.Context, *cibv1.QueryRequest) (*cibv1.QueryResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &cibv1.QueryResponse{Xml: d.doc}, nil
}

func (d *daemon) Watch(_ *cibv1.WatchRequest, stream grpc.ServerStreamingServer[cibv1.Notification]) error {
	for {
		d.mu.Lock()
		n := &cibv1.Notification{Document: d.doc}
		d.mu.Unlock()
		if err := stream.Send(n); err != nil {
			return err
		}
		select {
		case <-d.changed:
		case <-stream.Context().Done():
			return nil
		}
	}
}

// serve runs a daemon below a root of its own.
func serve(t *testing.T) (*daemon, *grpc.Server) {
	t.Helper()
	root := t.TempDir()
	t.Setenv("HA_ROOT", root)
	l, err := ipc.Listen(paths.Layout{Root: root}.Socket("cib"))
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{doc: harbour(t), changed: make(chan struct{}, 1)}
	srv := ipc.NewServer()
	cibv1.RegisterCibServer(srv, d)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	t.Cleanup(func() {
		srv.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return d, srv
}

// change replaces text in the CIB and tells everybody.
func (d *daemon) change(from, to string) {
	d.mu.Lock()
	d.doc = []byte(strings.ReplaceAll(string(d.doc), from, to))
	d.mu.Unlock()
	d.changed <- struct{}{}
}

// TestFollow: a daemon's file follows the cluster, and tells of its end.
func TestFollow(t *testing.T) {
	d, srv := serve(t)
	file := filepath.Join(t.TempDir(), "page.html")
	pid := filepath.Join(t.TempDir(), "pid")
	if err := os.WriteFile(pid, []byte("1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	o := parse(t, "-d", "--output-as=html", "--output-to="+file, "-p", pid, "-i", "1h", "-r")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int, 1)
	go func() { done <- follow(ctx, o, "crm_mon", nil, io.Discard) }()
	has := func(text string) {
		t.Helper()
		for limit := time.Now().Add(10 * time.Second); time.Now().Before(limit); time.Sleep(5 * time.Millisecond) {
			if b, err := os.ReadFile(file); err == nil && strings.Contains(string(b), text) {
				return
			}
		}
		t.Fatalf("%s never says %s", file, text)
	}
	has("<li>off (ocf:heartbeat:Dummy): Stopped (disabled)</li>")
	d.change(`"off"`, `"renamed"`)
	has("<li>renamed (ocf:heartbeat:Dummy): Stopped (disabled)</li>")
	srv.Stop()
	has("Connection to cluster failed")
	cancel()
	if code := <-done; code != 0 {
		t.Errorf("exit status %d", code)
	}
	if _, err := os.Stat(pid); !os.IsNotExist(err) {
		t.Errorf("the PID file stays: %v", err)
	}
	if code := follow(t.Context(), parse(t, "-d", "-h", filepath.Join(t.TempDir(), "no", "such", "folder")), "crm_mon", nil, io.Discard); code != 73 {
		t.Errorf("a file that cannot be written: exit status %d", code)
	}
}

// TestWatch: a change of the CIB arrives without waiting for the interval, and
// so does the end of the daemon.
func TestWatch(t *testing.T) {
	d, srv := serve(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	messages := make(chan arrived, 16)
	go watch(ctx, time.Hour, func(m tea.Msg) {
		select {
		case messages <- m.(arrived):
		case <-ctx.Done():
		}
	})
	next := func(want string, ok func(arrived) bool) {
		t.Helper()
		limit := time.After(10 * time.Second)
		for {
			select {
			case m := <-messages:
				if ok(m) {
					return
				}
			case <-limit:
				t.Fatalf("%s did not arrive", want)
			}
		}
	}
	has := func(id string) func(arrived) bool {
		return func(m arrived) bool { return m.view != nil && m.view.cluster.Resource(id) != nil }
	}
	next("the first state", has("off"))
	d.change(`"off"`, `"renamed"`)
	next("the change", has("renamed"))
	srv.Stop()
	next("the end of the daemon", func(m arrived) bool { return m.err != nil })
}
