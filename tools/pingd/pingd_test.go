package pingd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	"linuxha/internal/ipc"
	"linuxha/internal/paths"
	attrdv1 "linuxha/proto/attrd/v1"
	heartbeatv1 "linuxha/proto/heartbeat/v1"
)

type fakeHeartbeat struct {
	heartbeatv1.UnimplementedControlServer
	news chan []*heartbeatv1.NodeStatus
}

func (f fakeHeartbeat) WatchStatus(_ *heartbeatv1.WatchStatusRequest, stream grpc.ServerStreamingServer[heartbeatv1.StatusEvent]) error {
	for {
		select {
		case nodes := <-f.news:
			if nodes == nil {
				return nil
			}
			if err := stream.Send(&heartbeatv1.StatusEvent{Nodes: nodes}); err != nil {
				return err
			}
		case <-stream.Context().Done():
			return nil
		}
	}
}

type fakeAttrd struct {
	attrdv1.UnimplementedAttrdServer
	got    chan string
	refuse chan struct{} // an update per element is refused
}

func (f fakeAttrd) Update(_ context.Context, req *attrdv1.UpdateRequest) (*attrdv1.UpdateResponse, error) {
	select {
	case <-f.refuse:
		return nil, errors.New("not now")
	default:
	}
	a := req.Attributes[0]
	f.got <- fmt.Sprintf("%s=%s dampen %d %v set %q node %q", a.Name, a.Value, a.DampenMs, a.SetDampen, a.SetId, a.Node)
	return &attrdv1.UpdateResponse{}, nil
}

func ping(name, status string) *heartbeatv1.NodeStatus {
	return &heartbeatv1.NodeStatus{Node: name, Status: status, Type: "ping"}
}

func TestTheAttributeFollows(t *testing.T) {
	root, err := os.MkdirTemp("", "pd") // short: socket paths
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	t.Setenv("HA_ROOT", root)
	layout := paths.Layout{Root: root}
	ctx, cancel := context.WithCancel(t.Context())
	hb := fakeHeartbeat{news: make(chan []*heartbeatv1.NodeStatus, 10)}
	at := fakeAttrd{got: make(chan string, 10), refuse: make(chan struct{}, 10)}
	served := make(chan error, 2)
	serve := func(name string, register func(*grpc.Server)) {
		go func() {
			served <- ipc.Serve(ctx, layout.Socket(name), register, func(ctx context.Context) error { <-ctx.Done(); return nil })
		}()
	}
	serve("heartbeatd", func(g *grpc.Server) { heartbeatv1.RegisterControlServer(g, hb) })
	serve("attrd", func(g *grpc.Server) { attrdv1.RegisterAttrdServer(g, at) })

	ended := make(chan int, 1)
	start := func(args string) {
		go func() {
			var log bytes.Buffer
			ended <- Run(ctx, "pingd", strings.Fields(args), nil, &log, &log)
		}()
	}
	want := func(text string) {
		t.Helper()
		select {
		case got := <-at.got:
			if got != text {
				t.Fatalf("attrd got %q, want %q", got, text)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("attrd got nothing, want %q", text)
		}
	}
	start("-m 100 -d 5s -a connected -s mine -h r1 -h r2")
	at.refuse <- struct{}{}
	hb.news <- []*heartbeatv1.NodeStatus{ping("r1", "ping"), ping("r2", "ping"), ping("other", "ping"), {Node: "alice", Status: "active", Type: "normal"}}
	want(`connected=200 dampen 5000 true set "mine" node ""`)
	hb.news <- []*heartbeatv1.NodeStatus{ping("other", "dead"), ping("r1", "ping")}
	hb.news <- []*heartbeatv1.NodeStatus{ping("r1", "dead")}
	want(`connected=100 dampen 5000 true set "mine" node ""`)
	hb.news <- []*heartbeatv1.NodeStatus{ping("r2", "dead")}
	want(`connected=0 dampen 5000 true set "mine" node ""`)
	hb.news <- []*heartbeatv1.NodeStatus{ping("r1", "ping")}
	want(`connected=100 dampen 5000 true set "mine" node ""`)
	hb.news <- nil // heartbeatd ends
	if code := <-ended; code != 1 {
		t.Errorf("exit %d when heartbeatd went, want 1: it is to be started again", code)
	}
	start("-h nobody")
	hb.news <- []*heartbeatv1.NodeStatus{ping("r1", "ping")}
	if code := <-ended; code != 100 {
		t.Errorf("exit %d without ping nodes, want 100", code)
	}
	cancel()
	for range 2 {
		if err := <-served; err != nil {
			t.Error(err)
		}
	}
}

func TestOptions(t *testing.T) {
	l := paths.Layout{Root: "/r"}
	o, err := parse(strings.Fields("-D -V -m100 -d 500ms -a x -p /p -h a -hb -i 3 -n5 -t 2 -U -r -S s"), l)
	if err != nil || !o.detach || o.factor != 100 || o.dampen != 500*time.Millisecond || o.name != "x" || o.pidFile != "/p" || strings.Join(o.hosts, " ") != "a b" {
		t.Errorf("%+v %v", o, err)
	}
	for _, bad := range []string{"-x", "word", "-m", "-m many", "-d soon", "-Dx"} {
		if _, err := parse(strings.Fields(bad), l); !errors.Is(err, errUsage) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
