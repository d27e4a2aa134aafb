package server

import (
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"linuxha/cib/acl"
	"linuxha/cib/cibdoc"
	"linuxha/cib/replica"
	cibv1 "linuxha/proto/cib/v1"
)

// watchQueue bounds what waits for a subscriber; one that is slower loses its
// stream and has to begin anew with the whole document.
const watchQueue = 1024

var (
	errTooSlow  = status.Error(codes.ResourceExhausted, "too slow: more than 1024 notifications waited; watch again")
	errStopping = status.Error(codes.Unavailable, "the CIB daemon is stopping")
)

// watcher is one subscriber. Only the loop sends to queue and ends it.
type watcher struct {
	queue chan notice
	err   error // why queue was closed; set before
}

// notice is a notification and the document that it leads to.
type notice struct {
	n   *cibv1.Notification
	doc *cibdoc.Doc
}

func (w *watcher) end(err error) {
	w.err = err
	close(w.queue)
}

func (s *Server) notify(p replica.Published) {
	if len(s.watchers) == 0 {
		return
	}
	n := notice{toNotification(p), p.Doc}
	for w := range s.watchers {
		select {
		case w.queue <- n:
		default:
			delete(s.watchers, w)
			w.end(errTooSlow)
		}
	}
}

// Watch implements the service.
func (s *Server) Watch(req *cibv1.WatchRequest, stream cibv1.Cib_WatchServer) error {
	user, err := s.caller(stream.Context(), "")
	if err != nil {
		return status.Error(codes.PermissionDenied, err.Error())
	}
	u := aclUser(user)
	w := &watcher{queue: make(chan notice, watchQueue)}
	ok := s.do(func() {
		st := s.core.Status()
		first := &cibv1.Notification{From: toVersion(st.Doc.Version()), To: toVersion(st.Doc.Version()), Node: st.Node, Sum: sumOf(st.Doc)}
		if !req.GetPatchesOnly() {
			first.Document = st.Doc.Bytes()
		}
		w.queue <- notice{first, st.Doc}
		s.watchers[w] = true
	})
	if !ok {
		return errStopping
	}
	defer s.do(func() { delete(s.watchers, w) })
	hold := min(time.Duration(req.GetHoldMs())*time.Millisecond, longestHold)
	for {
		select {
		case <-stream.Context().Done():
			return stream.Context().Err()
		case n, open := <-w.queue:
			if !open {
				return w.err
			}
			visible, err := restricted(n, u)
			if err != nil {
				return status.Error(codes.PermissionDenied, err.Error())
			}
			if err := stream.Send(visible); err != nil {
				return err
			}
			if hold > 0 && len(w.queue) == 0 {
				sleep(stream.Context(), hold)
			}
		}
	}
}

// longestHold bounds what a subscriber may ask for, so that its queue does not
// run full meanwhile.
const longestHold = 100 * time.Millisecond

// restricted is what u may see of a notification: where ACLs apply, the whole
// document as u sees it, since a patch could tell what is hidden (cib 11.4).
func restricted(n notice, u acl.User) (*cibv1.Notification, error) {
	view, err := acl.View(n.doc, u)
	if err != nil || view == n.doc {
		return n.n, err
	}
	out := proto.CloneOf(n.n)
	out.Patch, out.Document, out.Sum = nil, view.Bytes(), sumOf(view)
	return out, nil
}
