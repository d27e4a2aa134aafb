package server

import (
	"context"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"linuxha/crmd/te"
	cibv1 "linuxha/proto/cib/v1"
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
