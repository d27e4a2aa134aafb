package server

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"linuxha/cib/acl"
	"linuxha/cib/cibdoc"
	"linuxha/cib/ops"
	"linuxha/cib/replica"
	cibv1 "linuxha/proto/cib/v1"
)

const (
	defaultTimeout  = 30 * time.Second
	clusterPatience = time.Second
)

// Query implements the service.
func (s *Server) Query(ctx context.Context, req *cibv1.QueryRequest) (*cibv1.QueryResponse, error) {
	doc := s.current.Load().Doc
	resp := &cibv1.QueryResponse{Version: toVersion(doc.Version())}
	fail := func(err error) (*cibv1.QueryResponse, error) {
		resp.Rc, resp.Error = int32(cibdoc.RCOf(err)), err.Error()
		return resp, nil
	}
	user, err := s.caller(ctx, req.GetUser())
	if err != nil {
		return fail(err)
	}
	if err := s.usable(doc); err != nil {
		return fail(err)
	}
	view, err := acl.View(doc, aclUser(user))
	if err != nil {
		return fail(err)
	}
	n, err := ops.Select(view, ops.Query{Section: req.GetSection(), XPath: req.GetXpath(), NoChildren: req.GetNoChildren(), Paths: req.GetXpathPath()})
	if err != nil {
		return fail(err)
	}
	resp.Xml = n.Bytes()
	return resp, nil
}

// Apply implements the service.
func (s *Server) Apply(ctx context.Context, req *cibv1.ApplyRequest) (*cibv1.ApplyResponse, error) {
	doc := s.current.Load().Doc
	resp := &cibv1.ApplyResponse{Version: toVersion(doc.Version())}
	fail := func(err error) (*cibv1.ApplyResponse, error) {
		resp.Rc, resp.Error = int32(cibdoc.RCOf(err)), err.Error()
		return resp, nil
	}
	user, err := s.caller(ctx, req.GetUser())
	if err != nil {
		return fail(err)
	}
	if err := s.usable(doc); err != nil {
		return fail(err)
	}
	changes, err := fromChanges(req.GetChanges())
	if err != nil {
		return fail(err)
	}
	timeout := time.Duration(req.GetTimeoutMs()) * time.Millisecond
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	o, err := s.ask(ctx, func(token uint64) replica.Event {
		return replica.Submitted{Token: token, Deadline: time.Now().Add(timeout), Request: replica.Request{
			Changes: changes, Local: req.GetLocal(), AsPrimary: req.GetAsPrimary(), DryRun: req.GetDryRun(), User: user, Client: req.GetClient(), Ref: req.GetRef(),
		}}
	})
	if err != nil {
		return nil, err
	}
	resp.Rc, resp.Error, resp.Xml, resp.Version = int32(o.RC), o.Detail, o.Payload, toVersion(o.Version)
	if o.RC != cibdoc.OK && resp.Error == "" {
		resp.Error = o.RC.Error()
	}
	return resp, nil
}

// SetPrimary implements the service.
func (s *Server) SetPrimary(ctx context.Context, req *cibv1.SetPrimaryRequest) (*cibv1.SetPrimaryResponse, error) {
	if err := s.privileged(ctx); err != nil {
		return nil, status.Error(codes.PermissionDenied, err.Error())
	}
	s.awaitCluster(ctx)
	o, err := s.ask(ctx, func(token uint64) replica.Event {
		return replica.Appointed{
			Token: token, Primary: req.GetPrimary(), View: req.GetView(), Members: req.GetMembers(), Quorate: req.GetQuorate(),
			Configured: int(req.GetConfigured()), Nodes: int(req.GetNodes()),
		}
	})
	if err != nil {
		return nil, err
	}
	return &cibv1.SetPrimaryResponse{Rc: int32(o.RC), Error: o.Detail, Version: toVersion(o.Version), Source: o.Source}, nil
}

// awaitCluster lets the connection to heartbeatd be there first: crmd may hear
// of it a moment before we do. Without heartbeatd the wait is short and the
// appointment counts all the same, for this node alone.
func (s *Server) awaitCluster(ctx context.Context) {
	if s.link == nil {
		return
	}
	t := time.NewTimer(clusterPatience)
	defer t.Stop()
	select {
	case <-s.link.connected():
	case <-ctx.Done():
	case <-t.C:
	}
}

// GetStatus implements the service.
func (s *Server) GetStatus(ctx context.Context, _ *cibv1.GetStatusRequest) (*cibv1.GetStatusResponse, error) {
	if _, err := s.caller(ctx, ""); err != nil {
		return nil, status.Error(codes.PermissionDenied, err.Error())
	}
	st := s.current.Load()
	return &cibv1.GetStatusResponse{
		Version: toVersion(st.Doc.Version()), Digest: st.Doc.Digest(),
		Primary: st.Primary, Node: st.Node, Ready: st.Ready,
	}, nil
}
