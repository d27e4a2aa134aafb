package server

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"google.golang.org/grpc"

	"linuxha/internal/ipc"
	cibv1 "linuxha/proto/cib/v1"
	heartbeatv1 "linuxha/proto/heartbeat/v1"
	"linuxha/stonithd/device"
	"linuxha/stonithd/request"
)

func dial(socket string) (*grpc.ClientConn, error) { return ipc.Dial(socket) }

// clusterEvent translates what the messaging layer tells; nil: nothing to us.
func clusterEvent(node string, ev *heartbeatv1.AttachEvent, log *slog.Logger) request.Event {
	switch k := ev.Kind.(type) {
	case *heartbeatv1.AttachEvent_Membership:
		view := request.ViewInstalled{Node: node, Number: k.Membership.Number, Peers: map[string]uint64{}, IDs: map[string]string{}}
		for _, n := range k.Membership.Configured {
			if n.Id != "" {
				view.IDs[n.Name] = n.Id
			}
		}
		for _, m := range k.Membership.Members {
			if m.Id != "" {
				view.IDs[m.Name] = m.Id
			}
			for _, p := range m.Processes {
				if p.Name == Client {
					view.Peers[m.Name] = p.BornOn
				}
			}
		}
		return view
	case *heartbeatv1.AttachEvent_Message:
		m, err := decode(k.Message.Payload)
		if err != nil {
			log.Warn("ignoring a message", "peer", k.Message.FromNode, "err", err)
			return nil
		}
		return request.Received{From: k.Message.FromNode, View: k.Message.View, Message: m}
	}
	return nil
}

// followCIB keeps devices and topology as the local CIB has them.
func (s *Server) followCIB(ctx context.Context) error {
	cc, err := dial(s.opts.Paths.Socket("cib"))
	if err != nil {
		return err
	}
	defer cc.Close()
	client := cibv1.NewCibClient(cc)
	for {
		err := s.watchCIB(ctx, client)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		s.log.Warn("not connected to the CIB: trying again", "err", err)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(retryPause):
		}
	}
}

func (s *Server) watchCIB(ctx context.Context, client cibv1.CibClient) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := client.Watch(ctx, &cibv1.WatchRequest{}, grpc.WaitForReady(true))
	if err != nil {
		return err
	}
	for {
		n, err := stream.Recv()
		if err != nil {
			return err
		}
		doc := n.Document
		if len(doc) == 0 {
			if !touchesConfiguration(n.Patch) {
				continue
			}
			if doc, err = queryConfiguration(ctx, client); err != nil {
				return err
			}
		}
		s.do(ctx, func() { s.configure(doc) })
	}
}

func queryConfiguration(ctx context.Context, client cibv1.CibClient) ([]byte, error) {
	res, err := client.Query(ctx, &cibv1.QueryRequest{Section: "configuration"})
	if err != nil {
		return nil, err
	}
	if res.Rc != 0 {
		return nil, fmt.Errorf("query the CIB's configuration: %s (%d)", res.Error, res.Rc)
	}
	return res.Xml, nil
}

// configure takes the CIB's configuration over. Before the node's own name is
// known, constraints cannot be judged: the document is kept until then.
func (s *Server) configure(doc []byte) {
	s.doc = doc
	if s.node == "" {
		return
	}
	conf, err := configuration(doc, s.node, s.opts.SBD.Effective)
	if err != nil {
		s.log.Error("the CIB's fencing configuration is not used", "err", err)
		return
	}
	s.checkWatchdog(conf.Watchdog)
	s.step(conf)
}

func logLines(log *slog.Logger, op string, res device.Result) {
	for line := range strings.SplitSeq(strings.TrimSpace(res.Stderr), "\n") {
		if line != "" {
			log.Warn(op + " stderr: [ " + line + " ]")
		}
	}
}
