package server

import (
	"log/slog"
	"strings"

	"google.golang.org/grpc"

	"linuxha/internal/ipc"
	heartbeatv1 "linuxha/proto/heartbeat/v1"
	"linuxha/stonithd/device"
	"linuxha/stonithd/request"
)

func dial(socket string) (*grpc.ClientConn, error) { return ipc.Dial(socket) }

// clusterEvent translates what the messaging layer tells; nil: nothing to us.
func clusterEvent(node string, ev *heartbeatv1.AttachEvent, log *slog.Logger) request.Event {
	switch k := ev.Kind.(type) {
	case *heartbeatv1.AttachEvent_Membership:
		view := request.ViewInstalled{Node: node, Number: k.Membership.Number, Peers: map[string]uint64{}, IDs: map[string]string{}, Generations: map[string]uint64{}}
		for _, n := range k.Membership.Configured {
			if n.Id != "" {
				view.IDs[n.Name] = n.Id
			}
			view.Generations[n.Name] = n.Generation
		}
		for _, m := range k.Membership.Members {
			if m.Id != "" {
				view.IDs[m.Name] = m.Id
			}
			view.Generations[m.Name] = m.Generation
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

func logLines(log *slog.Logger, op string, res device.Result) {
	for line := range strings.SplitSeq(strings.TrimSpace(res.Stderr), "\n") {
		if line != "" {
			log.Warn(op + " stderr: [ " + line + " ]")
		}
	}
}
