package server

import (
	"context"
	"os/user"
	"strconv"
	"syscall"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"linuxha/crmd/attrd/core"
	"linuxha/internal/ipc"
	attrdv1 "linuxha/proto/attrd/v1"
)

var errStopping = status.Error(codes.Unavailable, "the attribute daemon is being stopped: try again")

// onBehalfOf is the user whose rights count when the value is written: the
// stack itself may name another, everybody else is himself.
func onBehalfOf(ctx context.Context, named string) (string, error) {
	p, ok := ipc.PeerFrom(ctx)
	switch {
	case !ok:
		return "", status.Error(codes.Unauthenticated, "who asks is not known")
	case ipc.Trusted(p):
		return named, nil
	case !ipc.Member(p):
		return "", status.Error(codes.PermissionDenied, "only root, hacluster and members of haclient may set node attributes")
	}
	u, err := user.LookupId(strconv.FormatUint(uint64(p.UID), 10))
	if err != nil {
		return "", status.Errorf(codes.PermissionDenied, "uid %d is no user of this machine", p.UID)
	}
	return u.Username, nil
}

// ask gives the core a request and waits for its end.
func (s *Server) ask(ctx context.Context, ops []core.Op, sync bool) (*attrdv1.UpdateResponse, error) {
	answer := make(chan error, 1)
	if !s.do(ctx, func() {
		s.nextID++
		s.answers[s.nextID] = answer
		s.step(core.Asked{ID: s.nextID, Ops: ops, Sync: sync})
	}) {
		return nil, errStopping
	}
	select {
	case err := <-answer:
		if err != nil {
			return &attrdv1.UpdateResponse{Rc: int32(syscall.EIO), Error: err.Error()}, nil
		}
		return &attrdv1.UpdateResponse{}, nil
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	case <-s.done:
		return nil, errStopping
	}
}

// read has the loop call f and waits for it.
func (s *Server) read(ctx context.Context, f func()) error {
	done := make(chan struct{})
	if !s.do(ctx, func() { f(); close(done) }) {
		return errStopping
	}
	select {
	case <-done:
		return nil
	case <-s.done:
		return errStopping
	}
}

// Update implements the service.
func (s *Server) Update(ctx context.Context, in *attrdv1.UpdateRequest) (*attrdv1.UpdateResponse, error) {
	var ops []core.Op
	for _, a := range in.Attributes {
		if a.Name == "" {
			return &attrdv1.UpdateResponse{Rc: int32(syscall.EINVAL), Error: "an attribute needs a name"}, nil
		}
		u, err := onBehalfOf(ctx, a.User)
		if err != nil {
			return nil, err
		}
		if a.KeepValue {
			known := false
			if err := s.read(ctx, func() { known = s.core.Known(a.Name) }); err != nil {
				return nil, err
			}
			if !known {
				return &attrdv1.UpdateResponse{Rc: int32(syscall.ENXIO), Error: "attribute does not exist"}, nil
			}
		}
		ops = append(ops, core.Set{
			Name: a.Name, Value: a.Value, Node: a.Node, Dampen: time.Duration(a.DampenMs) * time.Millisecond,
			SetDampen: a.SetDampen, KeepValue: a.KeepValue, SetID: a.SetId, PairID: a.NvpairId, Private: a.Private,
			Remote: a.RemoteNode, User: u,
		})
	}
	if len(ops) == 0 {
		return &attrdv1.UpdateResponse{}, nil
	}
	return s.ask(ctx, ops, in.Sync)
}

// Query implements the service.
func (s *Server) Query(ctx context.Context, in *attrdv1.QueryRequest) (*attrdv1.QueryResponse, error) {
	select {
	case <-s.ready:
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	case <-s.done:
		return nil, errStopping
	}
	out := &attrdv1.QueryResponse{}
	err := s.read(ctx, func() {
		node := in.Node
		if node == "" && !in.AllNodes {
			node = s.core.Node()
		}
		if in.AllNodes {
			node = ""
		}
		names := []string{in.Name}
		if in.Name == "" {
			names = s.core.Names()
		}
		for _, name := range names {
			found, known := s.core.Query(name, node)
			if !known && in.Name != "" {
				out.Rc, out.Error = int32(syscall.ENXIO), "attribute does not exist"
			}
			attr, _ := s.core.Attribute(name)
			for _, f := range found {
				out.Attributes = append(out.Attributes, &attrdv1.Attribute{
					Name: f.Name, Value: f.Value, Node: f.Node, DampenMs: attr.Dampen.Milliseconds(), SetId: attr.SetID,
					NvpairId: attr.PairID, Private: attr.Private, RemoteNode: attr.Values[f.Node].Remote, User: attr.User,
				})
			}
		}
	})
	return out, err
}

// ClearFailures implements the service.
func (s *Server) ClearFailures(ctx context.Context, in *attrdv1.ClearFailuresRequest) (*attrdv1.UpdateResponse, error) {
	if _, err := onBehalfOf(ctx, ""); err != nil {
		return nil, err
	}
	return s.ask(ctx, []core.Op{core.ClearFailures{
		Resource: in.Resource, Operation: in.Operation, Interval: time.Duration(in.IntervalMs) * time.Millisecond,
		Node: in.Node, AnyOperation: in.AnyOperation,
	}}, false)
}

// Refresh implements the service.
func (s *Server) Refresh(ctx context.Context, _ *attrdv1.RefreshRequest) (*attrdv1.RefreshResponse, error) {
	if _, err := s.ask(ctx, []core.Op{core.Refresh{}}, false); err != nil {
		return nil, err
	}
	return &attrdv1.RefreshResponse{}, nil
}

// Purge implements the service.
func (s *Server) Purge(ctx context.Context, in *attrdv1.PurgeRequest) (*attrdv1.PurgeResponse, error) {
	switch user, err := onBehalfOf(ctx, ""); {
	case err != nil:
		return nil, err
	case user != "":
		return nil, status.Error(codes.PermissionDenied, "only root and hacluster may make the cluster forget a node")
	case in.Node == "":
		return nil, status.Error(codes.InvalidArgument, "name the node to forget")
	}
	if _, err := s.ask(ctx, []core.Op{core.Purge{Node: in.Node}}, false); err != nil {
		return nil, err
	}
	return &attrdv1.PurgeResponse{}, nil
}
