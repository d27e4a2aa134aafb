package server

import (
	"context"
	"fmt"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"linuxha/cib/cibdoc"
	"linuxha/cib/ops"
	"linuxha/cib/patch"
	cibv1 "linuxha/proto/cib/v1"
)

// oneCIB serialises all fakes of the process: controllers of a test that is
// over may still talk, and compiled XPaths are shared.
var oneCIB sync.Mutex

type fakeCIB struct {
	cibv1.UnimplementedCibServer
	mu       *sync.Mutex // oneCIB
	doc      *cibdoc.Doc
	watchers map[chan *cibv1.Notification]bool
	applies  int
	wholes   int // queries of the whole document or configuration
}

func protoVersion(v cibdoc.Version) *cibv1.Version {
	return &cibv1.Version{AdminEpoch: v.AdminEpoch, Epoch: v.Epoch, NumUpdates: v.NumUpdates}
}

func (f *fakeCIB) Query(_ context.Context, req *cibv1.QueryRequest) (*cibv1.QueryResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if req.NoChildren {
		return &cibv1.QueryResponse{Xml: f.doc.Root().Bare().Bytes(), Version: protoVersion(f.doc.Version())}, nil
	}
	if req.Section == "" || req.Section == "configuration" {
		f.wholes++
	}
	if req.Section == "" {
		return &cibv1.QueryResponse{Xml: f.doc.Bytes(), Version: protoVersion(f.doc.Version())}, nil
	}
	n, err := ops.Select(f.doc, ops.Query{Section: req.Section, XPath: req.Xpath})
	if err != nil {
		return &cibv1.QueryResponse{Rc: int32(cibdoc.RCOf(err)), Error: err.Error()}, nil
	}
	return &cibv1.QueryResponse{Xml: n.Bytes(), Version: protoVersion(f.doc.Version())}, nil
}

func (f *fakeCIB) Apply(_ context.Context, req *cibv1.ApplyRequest) (*cibv1.ApplyResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.applies++
	doc := f.doc
	for _, ch := range req.Changes {
		oc := ops.Change{
			Op:      map[cibv1.Op]ops.Op{cibv1.Op_OP_MODIFY: ops.Modify, cibv1.Op_OP_DELETE: ops.Delete, cibv1.Op_OP_CREATE: ops.Create}[ch.Op],
			Section: ch.Section, XPath: ch.Xpath, CanCreate: ch.CanCreate, All: ch.DeleteAll,
		}
		if len(ch.Xml) > 0 {
			n, err := cibdoc.ParseNode(ch.Xml)
			if err != nil {
				return &cibv1.ApplyResponse{Rc: 22, Error: err.Error()}, nil
			}
			oc.XML = n
		}
		res, err := ops.Apply(doc, ops.Request{Changes: []ops.Change{oc}})
		if err != nil {
			if ch.MissingOk && cibdoc.RCOf(err) == 6 {
				continue
			}
			return &cibv1.ApplyResponse{Rc: int32(cibdoc.RCOf(err)), Error: fmt.Sprintf("%v %s: %v", ch.Op, ch.Section, err)}, nil
		}
		doc = res.Doc
	}
	n := &cibv1.Notification{From: protoVersion(f.doc.Version()), To: protoVersion(doc.Version())}
	if diff := patch.Create(f.doc, doc, patch.Options{}); diff != nil {
		n.Patch = diff.Bytes()
		f.doc = doc
		for w := range f.watchers {
			w <- n
		}
	}
	return &cibv1.ApplyResponse{Version: n.To}, nil
}

func (f *fakeCIB) Watch(_ *cibv1.WatchRequest, stream grpc.ServerStreamingServer[cibv1.Notification]) error {
	f.mu.Lock()
	w := make(chan *cibv1.Notification, 10000)
	f.watchers[w] = true
	w <- &cibv1.Notification{To: protoVersion(f.doc.Version()), Document: f.doc.Bytes()}
	f.mu.Unlock()
	defer func() { f.mu.Lock(); delete(f.watchers, w); f.mu.Unlock() }()
	for {
		select {
		case n, open := <-w:
			if !open {
				return status.Error(codes.Unavailable, "the CIB daemon ended")
			}
			if err := stream.Send(n); err != nil {
				return err
			}
		case <-stream.Context().Done():
			return nil
		}
	}
}

// restart ends all streams, as the daemon's death does.
func (f *fakeCIB) restart() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for w := range f.watchers {
		close(w)
	}
	clear(f.watchers)
}

func (f *fakeCIB) wholeQueries() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.wholes
}

func (f *fakeCIB) SetPrimary(_ context.Context, r *cibv1.SetPrimaryRequest) (*cibv1.SetPrimaryResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return &cibv1.SetPrimaryResponse{Version: protoVersion(f.doc.Version()), Source: r.Primary}, nil
}

// attr reads an attribute at an XPath.
func (f *fakeCIB) attr(xpath, name string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	ms, err := f.doc.Select(xpath)
	if err != nil || len(ms) == 0 {
		return ""
	}
	return ms[0].Node.Attr(name)
}

func (f *fakeCIB) count(xpath string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	ms, err := f.doc.Select(xpath)
	if err != nil {
		return -1
	}
	return len(ms)
}

func apply(changes ...*cibv1.Change) *cibv1.ApplyRequest {
	return &cibv1.ApplyRequest{Changes: changes}
}
