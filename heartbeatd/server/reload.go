package server

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"linuxha/heartbeatd/hacf"
	"linuxha/heartbeatd/halog"
	"linuxha/heartbeatd/hamsg"
	"linuxha/heartbeatd/link"
	heartbeatv1 "linuxha/proto/heartbeat/v1"
)

// Reloaded is what was read again; nil where the file has not changed.
type Reloaded struct {
	Keys   *hamsg.Keys
	Config *hacf.Config
	Links  []string // names of Config's media
}

// ReloadFiles reads ha.cf and authkeys again where they have changed (HB 20.4);
// a file that cannot be used leaves what is in force. It returns what was done.
func (s *Server) ReloadFiles() (string, error) {
	var r Reloaded
	if s.opt.Reload != nil {
		var err error
		if r, err = s.opt.Reload(); err != nil {
			return "", fmt.Errorf("not reloaded, the present configuration stays in force: %w", err)
		}
	}
	var done []string
	if r.Keys != nil {
		done = append(done, "Rereading authentication file.")
		s.log.Info(done[0])
	}
	if r.Config != nil {
		live, later := r.Config.Changes(s.config())
		for _, c := range live {
			done = append(done, "Configuration changed: "+c)
			s.log.Info(done[len(done)-1])
		}
		for _, c := range later {
			done = append(done, "Restart heartbeat for this change to take effect: "+c)
			s.log.Warn(done[len(done)-1])
		}
	}
	if len(done) == 0 {
		s.log.Info("Configuration unchanged.")
		return "Configuration unchanged.", nil
	}
	if !s.do(func(now time.Time) { s.reconfigure(now, r) }) {
		return "", errStopping
	}
	return strings.Join(done, "\n"), nil
}

// reconfigure makes what was read the configuration in force. Packets are
// signed with the new keys from now on, and verified with the new ones only.
func (s *Server) reconfigure(now time.Time, r Reloaded) {
	if r.Keys != nil {
		s.keys.Store(r.Keys)
	}
	old, cfg := s.config(), s.config()
	if r.Config != nil {
		cfg = r.Config.Keeping(old)
		s.cfg.Store(cfg)
		s.opt.Links = r.Links
		s.packer.fragment = fragmentFor(cfg)
	}
	s.stepLink(now, link.Configured{
		Keepalive: cfg.Keepalive, Deadtime: cfg.DeadTime, Warntime: cfg.WarnTime, Deadping: cfg.DeadPing, MaxRexmitDelay: rexmitDelay(cfg),
		Hopfudge: cfg.HopFudge, Autojoin: autojoin(cfg), Modern: modern(s.keys.Load()),
	})
	if r.Config == nil {
		return
	}
	var added []link.Node
	var gone []string
	for _, name := range cfg.Nodes {
		if !slices.Contains(old.Nodes, name) && name != cfg.Node {
			added = append(added, link.Node{Name: name})
		}
	}
	for _, name := range old.Nodes {
		if !slices.Contains(cfg.Nodes, name) {
			gone = append(gone, name)
		}
	}
	named := func(list []hacf.PingNode, name string) bool {
		return slices.ContainsFunc(list, func(p hacf.PingNode) bool { return p.Name == name })
	}
	for _, p := range cfg.PingNodes {
		if !named(old.PingNodes, p.Name) {
			added = append(added, link.Node{Name: p.Name, Ping: true})
		}
	}
	for _, p := range old.PingNodes {
		if !named(cfg.PingNodes, p.Name) {
			gone = append(gone, p.Name)
		}
	}
	if len(added) > 0 {
		s.stepLink(now, link.NodesAdded{Nodes: added})
	}
	if len(gone) > 0 {
		s.stepLink(now, link.NodesDeleted{Names: gone})
	}
}

// Classic makes a serial line's form of a message that this node sends.
func (s *Server) Classic(p []byte) ([]byte, error) { return hamsg.Reframe(p, s.keys.Load()) }

// SendMessage implements Control.
func (s *Server) SendMessage(ctx context.Context, req *heartbeatv1.SendMessageRequest) (*heartbeatv1.SendMessageResponse, error) {
	if err := s.control(ctx, "send messages in this node's name"); err != nil {
		return nil, err
	}
	m := &hamsg.Message{}
	for _, f := range req.Fields {
		if f.Name == "" || strings.ContainsAny(f.Name, "=\n()") {
			return nil, status.Errorf(codes.InvalidArgument, "%q cannot be a field's name", f.Name)
		}
		m.Add(f.Name, f.Value)
	}
	if t := m.Type(); t == "" || strings.HasPrefix(t, ours) || strings.HasPrefix(t, "NS_") || t == "status" {
		return nil, status.Errorf(codes.InvalidArgument, "a message of type %q cannot be sent from outside", t)
	}
	if !s.do(func(now time.Time) { s.stepLink(now, link.Submitted{Message: m}) }) {
		return nil, errStopping
	}
	return &heartbeatv1.SendMessageResponse{}, nil
}

// clock watches the wall clock, which decides nothing here: all times are
// differences of the monotonic clock (HB 5.3).
type clock struct{ last time.Time }

// jumped is how far the wall clock may drift from the monotonic one between
// two looks.
const jumped = time.Second

func (c *clock) look(now time.Time, log *slog.Logger) {
	last := c.last
	c.last = now
	if last.IsZero() {
		return
	}
	off := now.Round(0).Sub(last.Round(0)) - now.Sub(last)
	switch {
	case off < -jumped:
		log.Info("Clock jumped backwards. Compensating.", "by", -off)
	case off > jumped:
		log.Log(context.Background(), halog.LevelNotice, "Clock jumped forwards.", "by", off)
	}
}
