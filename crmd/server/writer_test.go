package server

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"linuxha/crmd/election"
	"linuxha/crmd/te"
	cibv1 "linuxha/proto/cib/v1"
	heartbeatv1 "linuxha/proto/heartbeat/v1"
)

// cibWithoutPrimary answers an update when the test says that there is a
// primary, or when its caller goes.
type cibWithoutPrimary struct {
	cibv1.CibClient
	asked   chan *cibv1.ApplyRequest
	primary chan bool
}

func (c *cibWithoutPrimary) Apply(ctx context.Context, r *cibv1.ApplyRequest, _ ...grpc.CallOption) (*cibv1.ApplyResponse, error) {
	c.asked <- r
	select {
	case <-c.primary:
		return &cibv1.ApplyResponse{}, nil
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
}

// TestUpdatesEndWithTheirReign: what a DC decided in a view in which it was
// alone must not be made when it has given the role up.
func TestUpdatesEndWithTheirReign(t *testing.T) {
	cib := &cibWithoutPrimary{asked: make(chan *cibv1.ApplyRequest, 10), primary: make(chan bool)}
	w := &writer{client: cib, queue: newQueue[job](), post: func(f func()) { f() }, onErr: func(err error) { t.Error(err) }}
	reign, end := context.WithCancel(context.Background())
	stale := func(te.Version, error) { t.Error("an update of the ended reign was answered") }
	done := make(chan error, 1)
	w.add(job{reign: reign, changes: []*cibv1.Change{remove("//sent")}, done: stale})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan bool)
	go func() { w.run(ctx); close(ended) }()
	if r := <-cib.asked; !r.AsPrimary {
		t.Error("another node's CIB may make it")
	}
	w.add(job{reign: reign, changes: []*cibv1.Change{remove("//waiting")}, done: stale})
	w.add(job{changes: []*cibv1.Change{remove("//own")}, done: func(_ te.Version, err error) { done <- err }})
	end()
	r := <-cib.asked
	if len(r.Changes) != 1 || r.Changes[0].Section != "//own" || r.AsPrimary {
		t.Errorf("asked for %v", r)
	}
	cib.primary <- true
	if err := <-done; err != nil {
		t.Error(err)
	}
	cancel()
	<-ended
	if len(cib.asked) != 0 {
		t.Errorf("asked for %v as well", <-cib.asked)
	}
}

// namedSlowly is a CIB that answers who is primary when the test lets it.
type namedSlowly struct {
	cibv1.CibClient
	named  chan *cibv1.SetPrimaryRequest
	inStep chan bool
}

func (c *namedSlowly) SetPrimary(ctx context.Context, r *cibv1.SetPrimaryRequest, _ ...grpc.CallOption) (*cibv1.SetPrimaryResponse, error) {
	c.named <- r
	select {
	case <-c.inStep:
		return &cibv1.SetPrimaryResponse{}, nil
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
}

// TestPrimaryIsNamedOnce: updates that are out of time while the copies are
// brought in step must not have that begin anew: with a copy that does not
// answer it would never come to its end.
func TestPrimaryIsNamedOnce(t *testing.T) {
	cib := &namedSlowly{named: make(chan *cibv1.SetPrimaryRequest, 10), inStep: make(chan bool)}
	s, err := New(Options{Log: slog.New(slog.DiscardHandler), Dial: func(string) (grpc.ClientConnInterface, error) { return nil, nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.cancel()
	s.cib, s.node, s.el = cib, "n1", election.New("n1", time.Second)
	s.view = &heartbeatv1.Membership{Number: 7}
	s.tellPrimary()
	if r := <-cib.named; r.View != 7 {
		t.Errorf("named %v", r)
	}
	turn := func() { (<-s.calls)() }
	for range 3 {
		s.stalled("out of time")
		turn()
	}
	if s.primarySeq != 1 {
		t.Errorf("named %d times while the first time was not answered", s.primarySeq)
	}
	cib.inStep <- true
	turn()
	s.stalled("no primary")
	turn()
	if r := <-cib.named; r.View != 7 {
		t.Errorf("named %v", r)
	}
	s.view = &heartbeatv1.Membership{Number: 8}
	s.tellPrimary() // what is news is told at once
	if r := <-cib.named; r.View != 8 {
		t.Errorf("named %v", r)
	}
}
