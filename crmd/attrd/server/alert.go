package server

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"google.golang.org/grpc"

	"linuxha/cib/cibdoc"
	"linuxha/crmd/alert"
	"linuxha/crmd/attrd/core"
	"linuxha/internal/daemon"
	cibv1 "linuxha/proto/cib/v1"
)

// readAlerts takes the alerts up as they are configured now. What is wrong with
// them is said by the controller, which reads them too.
func (s *Server) readAlerts(ctx context.Context) error {
	res, err := s.cib.Query(ctx, &cibv1.QueryRequest{Section: "alerts"}, grpc.WaitForReady(true))
	if err != nil {
		return fmt.Errorf("query the CIB's alerts: %w", err)
	}
	var c alert.Config
	switch {
	case syscall.Errno(res.Rc) == syscall.ENXIO: // no such section
	case res.Rc != 0:
		s.log.Warn("alerts cannot be read, the former ones stay", "err", res.Error, "rc", res.Rc)
		return nil
	default:
		section, err := cibdoc.ParseNode(res.Xml)
		if err != nil {
			s.log.Warn("alerts cannot be read, the former ones stay", "err", err)
			return nil
		}
		c, _ = alert.Parse(section)
	}
	s.do(ctx, func() { s.alerts = c })
	return nil
}

// alert tells of the values that a request has brought into the CIB: the
// writer's part alone (execution 16.2, crm 6.10).
func (s *Server) alert(w core.Write) {
	now := time.Now()
	for _, p := range w.Pairs {
		s.sender.Send(s.alerts.Calls(alert.Event{
			Kind: alert.Attribute, Node: p.Node, NodeID: p.NodeID, Name: p.Name, Value: p.Value,
		}, daemon.Version, now))
	}
}
