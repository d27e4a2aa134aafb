package server

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

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
	queue chan *cibv1.Notification
	err   error // why queue was closed; set before
}

func (w *watcher) end(err error) {
	w.err = err
	close(w.queue)
}

func (s *Server) notify(p replica.Published) {
	if len(s.watchers) == 0 {
		return
	}
	n := toNotification(p)
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
	if _, err := s.caller(stream.Context(), ""); err != nil {
		return status.Error(codes.PermissionDenied, err.Error())
	}
	w := &watcher{queue: make(chan *cibv1.Notification, watchQueue)}
	ok := s.do(func() {
		st := s.core.Status()
		first := &cibv1.Notification{From: toVersion(st.Doc.Version()), To: toVersion(st.Doc.Version()), Node: st.Node}
		if !req.GetPatchesOnly() {
			first.Document = st.Doc.Bytes()
		}
		w.queue <- first
		s.watchers[w] = true
	})
	if !ok {
		return errStopping
	}
	defer s.do(func() { delete(s.watchers, w) })
	for {
		select {
		case <-stream.Context().Done():
			return stream.Context().Err()
		case n, open := <-w.queue:
			if !open {
				return w.err
			}
			if err := stream.Send(n); err != nil {
				return err
			}
		}
	}
}
