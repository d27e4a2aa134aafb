package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"linuxha/heartbeatd/hacf"
	"linuxha/heartbeatd/hamsg"
	"linuxha/heartbeatd/link"
	"linuxha/heartbeatd/media"
	"linuxha/internal/cluster"
	"linuxha/internal/ipc"
	heartbeatv1 "linuxha/proto/heartbeat/v1"
)

const (
	keepalive = 100 * time.Millisecond
	deadtime  = 400 * time.Millisecond
	patience  = 10 * time.Second
)

// lossy loses a part of what a node sends, or all of it.
type lossy struct {
	media.Media
	mu   sync.Mutex
	rng  *rand.Rand
	loss float64
	lost int
}

func (l *lossy) Send(p []byte) {
	l.mu.Lock()
	drop := l.rng.Float64() < l.loss
	if drop {
		l.lost++
	}
	l.mu.Unlock()
	if !drop {
		l.Media.Send(p)
	}
}

func (l *lossy) set(loss float64) {
	l.mu.Lock()
	l.loss = loss
	l.mu.Unlock()
}

// testNode is a heartbeatd in this process, over loopback UDP.
type testNode struct {
	t      testing.TB
	name   string
	dir    string
	media  *lossy
	srv    *Server
	cc     *grpc.ClientConn
	stop   context.CancelCauseFunc // orderly
	ended  chan struct{}
	reload Reloaded // what ReloadFiles finds
	beats  beats
	logged *logBuffer
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

var names = []string{"alice", "bob", "carol"}

type testCluster struct {
	t     testing.TB
	port  int
	dead  time.Duration
	nodes map[string]*testNode
	// change alters a node's configuration before it is used; keys are its
	// authkeys. Both may be nil.
	change func(name string, cfg *hacf.Config)
	keys   func() *hamsg.Keys
	wrap   func(name string, m media.Media) media.Media
}

// keysOf reads authkeys.
func keysOf(t testing.TB, text string) *hamsg.Keys {
	t.Helper()
	keys, _, err := hacf.ParseKeys("authkeys", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func newCluster(t testing.TB) *testCluster {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	port := int(netip.MustParseAddrPort(c.LocalAddr().String()).Port())
	c.Close()
	tc := &testCluster{t: t, port: port, dead: deadtime, nodes: map[string]*testNode{}}
	return tc
}

// start starts a node; a folder given is that of an earlier life.
func (tc *testCluster) start(name, dir string) *testNode {
	t := tc.t
	t.Helper()
	if dir == "" {
		dir = t.TempDir()
	}
	own := slices.Index(names, name)
	cfg, err := hacf.Parse("ha.cf", []byte(fmt.Sprintf("node %s\nkeepalive 100ms\ndeadtime %dms\nbcast lo\n", strings.Join(names, " "), tc.dead.Milliseconds())),
		hacf.Options{Node: name})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Media = nil
	for i := range names {
		if i != own {
			cfg.Media = append(cfg.Media, hacf.Medium{Kind: "ucast", Dev: "lo", Addr: fmt.Sprintf("127.0.0.%d", 10+i), Local: fmt.Sprintf("127.0.0.%d", 10+own), Port: tc.port})
		}
	}
	if tc.change != nil {
		tc.change(name, cfg)
	}
	keys := &hamsg.Keys{Send: 1, All: map[int]hamsg.Key{1: {Method: "sha256", Secret: "test"}}}
	if tc.keys != nil {
		keys = tc.keys()
	}
	id, err := LoadIdentity(dir, name, false, false, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	known, err := LoadKnown(dir, name)
	if err != nil {
		t.Fatal(err)
	}
	n := &testNode{t: t, name: name, dir: dir, ended: make(chan struct{}), logged: &logBuffer{}}
	log := slog.New(slog.NewTextHandler(n.logged, nil))
	set := media.New(media.Options{
		Media: cfg.Media, Pings: cfg.PingNodes, Log: log, LockDir: dir,
		Classic: func(p []byte) ([]byte, error) { return n.srv.Classic(p) },
	})
	var under media.Media = set
	if tc.wrap != nil {
		under = tc.wrap(name, set)
	}
	n.media = &lossy{Media: under, rng: rand.New(rand.NewPCG(uint64(own), 7))}
	n.srv, err = New(Options{
		Config: cfg, Identity: id, Known: known, Media: n.media, Links: set.Names(), States: set.States, StateDir: dir, Log: log,
		Keys: keys, Beat: n.beats.beat, Reload: func() (Reloaded, error) { return n.reload, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancelCause(context.Background())
	n.stop = stop
	sock := filepath.Join(dir, "hb.sock")
	go func() {
		defer close(n.ended)
		if err := ipc.Serve(ctx, sock, n.srv.Register, n.srv.Run); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}()
	if n.cc, err = ipc.Dial(sock); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		n.cc.Close()
		n.end()
		if t.Failed() {
			t.Logf("log of %s:\n%s", name, n.logged)
		}
	})
	tc.nodes[name] = n
	return n
}

// end stops the node in order and waits for it.
func (n *testNode) end() {
	n.stop(errors.New("test ends"))
	select {
	case <-n.ended:
	case <-time.After(patience):
		n.t.Errorf("%s does not end", n.name)
	}
}

// die silences the node for good, as if it were killed.
func (n *testNode) die() { n.media.set(1) }

func (n *testNode) attach(client string, info map[string]string) *cluster.Conn {
	n.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	n.t.Cleanup(cancel)
	c, err := cluster.Attach(ctx, n.cc, client, info)
	if err != nil {
		n.t.Fatalf("%s: %v", n.name, err)
	}
	return c
}

// expect reads events until f says that it has seen enough.
func expect(t testing.TB, c *cluster.Conn, what string, f func(*heartbeatv1.AttachEvent) bool) {
	t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case ev, ok := <-c.Events():
			if !ok {
				t.Fatalf("%s: stream of %s ended: %v", what, c.Welcome.Node, c.Err())
			}
			if f(ev) {
				return
			}
		case <-deadline:
			t.Fatalf("%s: %s waits in vain", what, c.Welcome.Node)
		}
	}
}

// view waits for a membership of just these nodes, each with the process.
func view(t testing.TB, c *cluster.Conn, process string, members ...string) *heartbeatv1.Membership {
	t.Helper()
	var got *heartbeatv1.Membership
	expect(t, c, fmt.Sprintf("view of %v with %s", members, process), func(ev *heartbeatv1.AttachEvent) bool {
		m := ev.GetMembership()
		if m == nil || len(m.Members) != len(members) {
			return false
		}
		for i, member := range m.Members {
			if member.Name != members[i] || process != "" && !slices.ContainsFunc(member.Processes, func(p *heartbeatv1.Process) bool { return p.Name == process }) {
				return false
			}
		}
		got = m
		return true
	})
	return got
}

func (tc *testCluster) formed(t testing.TB) (conns map[string]*cluster.Conn, first *heartbeatv1.Membership) {
	t.Helper()
	conns = map[string]*cluster.Conn{}
	for _, name := range names {
		tc.start(name, "")
	}
	for _, name := range names {
		conns[name] = tc.nodes[name].attach("crmd", map[string]string{"feature_set": "3.16.1", "node": name})
	}
	for _, name := range names {
		m := view(t, conns[name], "crmd", names...)
		if first != nil && (m.Number != first.Number || m.Coordinator != first.Coordinator) {
			// A later view with the same members may have come first here.
			t.Logf("%s: view %d of %s, first %d of %s", name, m.Number, m.Coordinator, first.Number, first.Coordinator)
		}
		if !m.Quorate {
			t.Errorf("%s: three of three are not quorate", name)
		}
		for _, member := range m.Members {
			if member.Processes[0].Info["node"] != member.Name || member.Id == "" || member.BornOn == 0 || member.Generation == 0 {
				t.Errorf("%s: incomplete member %v", name, member)
			}
		}
		first = m
	}
	return conns, first
}

func TestThreeNodesFormOneView(t *testing.T) {
	began := time.Now()
	tc := newCluster(t)
	_, m := tc.formed(t)
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("took %v", took)
	}
	if len(m.Configured) != 3 {
		t.Errorf("configured: %v", m.Configured)
	}
	for _, name := range names {
		st, err := heartbeatv1.NewControlClient(tc.nodes[name].cc).GetStatus(t.Context(), &heartbeatv1.GetStatusRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range st.Nodes {
			if n.Status != "active" || len(n.Links) != 1 || n.Links[0].Name != "lo" || n.Links[0].Status != "up" {
				t.Errorf("%s: node status %v", name, n)
			}
		}
		if st.Parameters["deadtime"] != "400ms" || !slices.Equal(st.Clients, []string{"crmd"}) {
			t.Errorf("%s: parameters %v clients %v", name, st.Parameters, st.Clients)
		}
	}
}

// collect reads messages until it has n from each sender, and checks that each
// sender's come in order, whole, and once.
func collect(t testing.TB, c *cluster.Conn, n int, senders []string, size func(i int) int) {
	t.Helper()
	next := map[string]int{}
	left := n * len(senders)
	expect(t, c, "messages", func(ev *heartbeatv1.AttachEvent) bool {
		m := ev.GetMessage()
		if m == nil {
			return false
		}
		if m.FromClient != "crmd" || m.View == 0 {
			t.Errorf("message of %q in view %d", m.FromClient, m.View)
		}
		i := next[m.FromNode]
		if want := payload(m.FromNode, i, size(i)); !bytes.Equal(m.Payload, want) {
			t.Fatalf("%s: message %d of %s is %.40q (%d bytes), want %.40q (%d bytes)", c.Welcome.Node, i, m.FromNode, m.Payload, len(m.Payload), want, len(want))
		}
		next[m.FromNode]++
		left--
		return left == 0
	})
}

// payload is not compressible where it is long.
func payload(node string, i, size int) []byte {
	p := make([]byte, size)
	rng := rand.NewChaCha8([32]byte([]byte(fmt.Sprintf("%-32s", fmt.Sprint(node, i)))))
	rng.Read(p)
	return append([]byte(fmt.Sprintf("%s %d ", node, i)), p...)
}

func TestMessagesInOrderDespiteLoss(t *testing.T) {
	tc := newCluster(t)
	tc.dead = 3 * time.Second // nobody may be taken for dead on a busy machine: that loses messages, rightly
	conns, _ := tc.formed(t)
	for _, name := range names {
		tc.nodes[name].media.set(0.1)
	}
	const count = 300
	size := func(i int) int {
		if i%50 == 49 {
			return 200_000 // in fragments
		}
		return i
	}
	var wg sync.WaitGroup
	for _, name := range names {
		wg.Go(func() {
			for i := range count {
				if err := conns[name].Send("", "", payload(name, i, size(i))); err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
			}
		})
	}
	for _, name := range names {
		wg.Go(func() { collect(t, conns[name], count, names, size) })
	}
	wg.Wait()
	for _, name := range names {
		m := tc.nodes[name].media
		m.mu.Lock()
		if m.lost == 0 {
			t.Errorf("%s lost nothing: this test tested nothing", name)
		}
		m.mu.Unlock()
	}
}

func TestMessagesToOneNode(t *testing.T) {
	tc := newCluster(t)
	conns, _ := tc.formed(t)
	other := tc.nodes["bob"].attach("cib", nil)
	for _, to := range []struct{ node, client string }{{"bob", ""}, {"alice", ""}, {"bob", "cib"}} {
		if err := conns["alice"].Send(to.node, to.client, []byte("to "+to.node+" "+to.client)); err != nil {
			t.Fatal(err)
		}
	}
	if err := conns["alice"].Send("", "", []byte("to all")); err != nil {
		t.Fatal(err)
	}
	got := func(c *cluster.Conn, want ...string) {
		t.Helper()
		expect(t, c, "messages", func(ev *heartbeatv1.AttachEvent) bool {
			if m := ev.GetMessage(); m != nil {
				if string(m.Payload) != want[0] {
					t.Errorf("%s got %q, want %q", c.Welcome.Node, m.Payload, want[0])
				}
				want = want[1:]
			}
			return len(want) == 0
		})
	}
	got(conns["alice"], "to alice ", "to all")
	got(conns["bob"], "to bob ", "to all")
	got(conns["carol"], "to all")
	got(other, "to bob cib")
}

func TestASilentNodeIsFoundDeadInTime(t *testing.T) {
	tc := newCluster(t)
	conns, first := tc.formed(t)
	at := time.Now()
	tc.nodes["carol"].die()
	verdicts := 0
	for _, name := range names[:2] {
		m := view(t, conns[name], "", "alice", "bob")
		took := time.Since(at)
		if m.Number <= first.Number || !m.Quorate || !slices.Contains(m.Lost, "carol") {
			t.Errorf("%s: %v after view %d", name, m, first.Number)
		}
		if m.LostAtNs["carol"] == 0 { // the other's verdict came first, and the view with it
			if took > deadtime+150*time.Millisecond {
				t.Errorf("%s: no verdict, view after %v", name, took)
			}
			continue
		}
		verdicts++
		verdict := time.Unix(0, m.LostAtNs["carol"]).Sub(at)
		// Its last status may be a keepalive old when it dies.
		if verdict < deadtime-keepalive-20*time.Millisecond || verdict > deadtime+50*time.Millisecond {
			t.Errorf("%s: verdict after %v", name, verdict)
		}
		if took-verdict > 100*time.Millisecond {
			t.Errorf("%s: view only %v after the verdict", name, took-verdict)
		}
		t.Logf("%s: verdict after %v, view after %v", name, verdict, took)
	}
	if verdicts == 0 {
		t.Error("a view without anybody's verdict")
	}
}

func TestALeavingNodeIsGoneAtOnce(t *testing.T) {
	tc := newCluster(t)
	conns, _ := tc.formed(t)
	at := time.Now()
	tc.nodes["carol"].end()
	for _, name := range names[:2] {
		m := view(t, conns[name], "", "alice", "bob")
		lost := time.Unix(0, m.LostAtNs["carol"]).Sub(at)
		if lost > 100*time.Millisecond {
			t.Errorf("%s: leave heard after %v", name, lost)
		}
	}
}

func TestARestartedNodeEntersAnew(t *testing.T) {
	tc := newCluster(t)
	conns, first := tc.formed(t)
	carol := tc.nodes["carol"]
	carol.die()
	carol.end()
	view(t, conns["alice"], "", "alice", "bob")
	tc.start("carol", carol.dir)
	tc.nodes["carol"].attach("crmd", nil)
	m := view(t, conns["alice"], "crmd", names...)
	for i, was := range first.Members {
		is := m.Members[i]
		if is.Name == "carol" && (is.Generation <= was.Generation || is.BornOn <= was.BornOn || is.Id != was.Id) {
			t.Errorf("carol was %v, is %v", was, is)
		}
		if is.Name != "carol" && (is.Generation != was.Generation || is.BornOn != was.BornOn) {
			t.Errorf("%s was %v, is %v", is.Name, was, is)
		}
	}
}

func TestProcessesComeAndGo(t *testing.T) {
	tc := newCluster(t)
	conns, _ := tc.formed(t)
	cib := tc.nodes["carol"].attach("cib", map[string]string{"a": "1"})
	has := func(info string) func(*heartbeatv1.AttachEvent) bool {
		return func(ev *heartbeatv1.AttachEvent) bool {
			for _, m := range ev.GetMembership().GetMembers() {
				for _, p := range m.Processes {
					if m.Name == "carol" && p.Name == "cib" {
						return p.Info["a"] == info
					}
				}
			}
			return info == "none" && ev.GetMembership() != nil
		}
	}
	expect(t, conns["alice"], "cib on carol", has("1"))
	if err := cib.SetInfo(map[string]string{"a": "2"}); err != nil {
		t.Fatal(err)
	}
	expect(t, conns["alice"], "new facts", has("2"))
	// Another process of that name replaces it; the first loses its stream.
	again := tc.nodes["carol"].attach("cib", map[string]string{"a": "3"})
	expect(t, conns["alice"], "new process", has("3"))
	for range cib.Events() {
	}
	if err := cib.Err(); err == nil || !strings.Contains(err.Error(), "attached as \"cib\" instead") {
		t.Errorf("first process: %v", err)
	}
	again.Close()
	expect(t, conns["alice"], "no cib", has("none"))
}

func TestASlowClientLosesItsStream(t *testing.T) {
	tc := newCluster(t)
	conns, _ := tc.formed(t)
	stream, err := heartbeatv1.NewMessagingClient(tc.nodes["bob"].cc).Attach(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&heartbeatv1.AttachRequest{Kind: &heartbeatv1.AttachRequest_Hello{Hello: &heartbeatv1.Hello{Client: "sleeper"}}}); err != nil {
		t.Fatal(err)
	}
	// It reads nothing. The others go on meanwhile.
	const count = clientQueueBytes/(1000+eventOverhead) + 3000
	go func() {
		for range count {
			if conns["alice"].Send("bob", "sleeper", make([]byte, 1000)) != nil {
				return
			}
		}
		_ = conns["alice"].Send("bob", "crmd", []byte("behind it"))
	}()
	expect(t, conns["bob"], "message behind the flood", func(ev *heartbeatv1.AttachEvent) bool {
		return string(ev.GetMessage().GetPayload()) == "behind it"
	})
	for {
		_, err := stream.Recv()
		if errors.Is(err, io.EOF) || err != nil {
			if !strings.Contains(fmt.Sprint(err), "does not read what it is sent") {
				t.Errorf("end of the stream: %v", err)
			}
			return
		}
	}
}

func TestWatchStatus(t *testing.T) {
	tc := newCluster(t)
	tc.formed(t)
	w, err := heartbeatv1.NewControlClient(tc.nodes["alice"].cc).WatchStatus(t.Context(), &heartbeatv1.WatchStatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	ev, err := w.Recv()
	if err != nil || len(ev.Nodes) != 3 || len(ev.Membership.GetMembers()) != 3 {
		t.Fatalf("first event %v, %v", ev, err)
	}
	tc.nodes["bob"].die()
	for dead, gone := false, false; !dead || !gone; {
		if ev, err = w.Recv(); err != nil {
			t.Fatal(err)
		}
		for _, n := range ev.Nodes {
			dead = dead || n.Node == "bob" && n.Status == "dead" && n.Links[0].Status == "dead"
		}
		gone = gone || len(ev.Membership.GetMembers()) == 2
	}
}

func TestIdentity(t *testing.T) {
	dir := t.TempDir()
	now := time.Unix(1795164924, 0)
	first, err := LoadIdentity(dir, "alice", false, false, now)
	if err != nil || first.Generation != 1795164925 || first.ID.IsZero() || len(first.New) != 2 {
		t.Fatalf("first start: %+v, %v", first, err)
	}
	second, err := LoadIdentity(dir, "alice", false, false, now)
	if err != nil || second.Generation != first.Generation+1 || second.ID != first.ID || second.New != nil {
		t.Errorf("second start: %+v, %v", second, err)
	}
	third, err := LoadIdentity(dir, "alice", true, true, now.Add(time.Hour))
	if err != nil || third.Generation != 1795164924+3600 || third.ID == first.ID {
		t.Errorf("uuidfrom nodename, hbgenmethod time: %+v, %v", third, err)
	}
	for range 100 {
		if id, err := LoadIdentity(t.TempDir(), "alice", false, false, now); err != nil || id.ID.String()[0] < 'a' {
			t.Fatalf("%v, %v: a client that makes an XML id of it makes an invalid one", id.ID, err)
		}
	}
	if err := saveLastView(dir, 7); err != nil {
		t.Fatal(err)
	}
	if id, err := LoadIdentity(dir, "alice", false, false, now); err != nil || id.LastView <= 7 {
		t.Errorf("after view 7 views are counted from %d: %v", id.LastView, err)
	}
	known := Known{
		Self:    link.Node{Name: "alice", ID: first.ID, Site: "north"},
		Nodes:   []link.Node{{Name: "bob", ID: second.ID, Generation: 7}, {Name: "carol", ID: third.ID, Weight: 0, WeightSet: true, Site: "a b"}},
		Deleted: []string{"dave"},
	}
	if err := saveKnown(dir, known, true); err != nil {
		t.Fatal(err)
	}
	if got, err := LoadKnown(dir, "alice"); err != nil || !reflect.DeepEqual(got, known) {
		t.Errorf("known: %+v, %v", got, err)
	}
	if cache, err := os.ReadFile(filepath.Join(dir, "hostcache")); err != nil || !strings.Contains(string(cache), "carol\t"+third.ID.String()+"\t0\ta b\n") {
		t.Errorf("hostcache: %q, %v", cache, err)
	}
}
