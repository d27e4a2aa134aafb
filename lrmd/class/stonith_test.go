package class

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"linuxha/internal/ipc"
	"linuxha/internal/paths"
	"linuxha/lrmd/oplist"
	stonithv1 "linuxha/proto/stonith/v1"
)

// fakeFencer answers as it is told.
type fakeFencer struct {
	stonithv1.UnimplementedStonithServer
	mu     sync.Mutex
	answer *stonithv1.ExecDeviceResponse
	asked  *stonithv1.ExecDeviceRequest
}

func (f *fakeFencer) ExecDevice(_ context.Context, req *stonithv1.ExecDeviceRequest) (*stonithv1.ExecDeviceResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = req
	return f.answer, nil
}

func (f *fakeFencer) Watch(_ *stonithv1.WatchRequest, stream grpc.ServerStreamingServer[stonithv1.Event]) error {
	if err := stream.Send(&stonithv1.Event{Hello: true}); err != nil {
		return err
	}
	<-stream.Context().Done()
	return nil
}

func (f *fakeFencer) serve(t *testing.T, socket string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- ipc.Serve(ctx, socket, func(s *grpc.Server) { stonithv1.RegisterStonithServer(s, f) },
			func(ctx context.Context) error { <-ctx.Done(); return nil })
	}()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestStonith(t *testing.T) { // execution 14
	_, layout := newRunner(t)
	lost := make(chan oplist.Outcome, 1)
	r := New(Options{Layout: layout, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), FencerLost: func(o oplist.Outcome) { lost <- o }})
	defer r.Close()
	fencer := &fakeFencer{answer: &stonithv1.ExecDeviceResponse{}}
	stop := fencer.serve(t, layout.Socket("stonithd"))

	agent := oplist.Agent{Class: "stonith", Type: "fence_dummy"}
	run := func(action string, interval time.Duration) oplist.Outcome {
		return r.Run(t.Context(), agent, oplist.Op{Resource: "f", Action: action, Interval: interval, Timeout: 20 * time.Second, Params: map[string]string{"a": "b"}}, ignore)
	}
	want := func(name string, got oplist.Outcome, rc int, status oplist.Status, reason string) {
		t.Helper()
		if got.RC != rc || got.Status != status || got.Reason != reason {
			t.Errorf("%s: %+v, want rc %d status %d reason %q", name, got, rc, status, reason)
		}
	}
	want("probe before the start", run("monitor", 0), 7, 0, "")
	want("start", run("start", 0), 0, 0, "")
	if q := fencer.asked; q.RscId != "f" || q.Type != "fence_dummy" || q.Action != "start" || q.Params["a"] != "b" || q.TimeoutMs != 20_000 {
		t.Errorf("asked %v", q)
	}
	want("probe", run("monitor", 0), 0, 0, "")
	for _, tc := range []struct {
		name   string
		action string
		answer *stonithv1.ExecDeviceResponse
		rc     int
		status oplist.Status
	}{
		{"agent failed", "monitor", &stonithv1.ExecDeviceResponse{Rc: 5}, 1, 0},
		{"timed out", "monitor", &stonithv1.ExecDeviceResponse{Rc: 1, OpStatus: 2}, 1, 2},
		{"no device", "monitor", &stonithv1.ExecDeviceResponse{Rc: 1, OpStatus: 10}, 5, 4},
		{"no device to stop", "stop", &stonithv1.ExecDeviceResponse{Rc: 1, OpStatus: 10}, 0, 4},
		{"not supported", "monitor", &stonithv1.ExecDeviceResponse{Rc: 1, OpStatus: 3}, 3, 3},
		{"not connected", "monitor", &stonithv1.ExecDeviceResponse{Rc: 1, OpStatus: 8}, 1, 4},
	} {
		fencer.mu.Lock()
		fencer.answer = tc.answer
		fencer.mu.Unlock()
		want(tc.name, run(tc.action, time.Minute), tc.rc, tc.status, "")
	}
	want("promote", run("promote", 0), 1, StatusError, "Invalid fence device action (bug?)")

	stop()
	select {
	case o := <-lost:
		want("loss", o, 1, StatusError, "Lost connection to fencer")
	case <-time.After(5 * time.Second):
		t.Fatal("the loss of the fencer was not noticed")
	}
	want("probe after the loss", run("monitor", 0), 1, StatusError, "Lost connection to fencer")

	fencer.answer = &stonithv1.ExecDeviceResponse{}
	stop = fencer.serve(t, layout.Socket("stonithd"))
	defer stop()
	want("start again", run("start", 0), 0, 0, "")
	want("probe again", run("monitor", 0), 0, 0, "")
	want("stop", run("stop", 0), 0, 0, "")
	want("probe after the stop", run("monitor", 0), 7, 0, "")
}

func TestNoFencer(t *testing.T) {
	f := newFencer(paths.Layout{Root: t.TempDir()}.Socket("stonithd"), slog.New(slog.DiscardHandler), nil)
	defer f.close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	out := f.run(ctx, "fence_dummy", oplist.Op{Resource: "f", Action: "start"}, ignore)
	if out.RC != Error || out.Status != StatusError || out.Reason != "No connection to fencer" {
		t.Errorf("%+v", out)
	}
}
