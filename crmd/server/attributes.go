package server

import (
	"context"
	"time"

	"google.golang.org/grpc"

	attrdv1 "linuxha/proto/attrd/v1"
)

// attributeJob is one update of transient attributes; without attributes it is
// a barrier.
type attributeJob struct {
	attrs []*attrdv1.Attribute
	done  func() // called in the loop once the CIB holds them, or cannot
}

// updateAttributes sets transient attributes and calls done once the CIB holds
// them, or cannot. Updates reach attrd in the order of the calls: the join's
// removal of a former process's shutdown request must not overtake a new one.
func (s *Server) updateAttributes(attrs []*attrdv1.Attribute, done func()) {
	s.attributes.add(attributeJob{attrs, done})
}

func (s *Server) writeAttributes(ctx context.Context) {
	for {
		batch := s.attributes.take(ctx, 1)
		if len(batch) == 0 {
			return
		}
		s.writeAttribute(ctx, batch[0])
	}
}

func (s *Server) writeAttribute(ctx context.Context, j attributeJob) {
	if len(j.attrs) > 0 {
		call, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		resp, err := s.attrd.Update(call, &attrdv1.UpdateRequest{Attributes: j.attrs, Sync: j.done != nil}, grpc.WaitForReady(true))
		if ctx.Err() == nil && (err != nil || resp.Rc != 0) {
			s.log.Warn("node attributes cannot be set", "first", j.attrs[0].Name, "err", err, "reason", resp.GetError())
		}
	}
	if j.done != nil {
		s.post(j.done)
	}
}
