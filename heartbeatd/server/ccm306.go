package server

import (
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"linuxha/heartbeatd/ccm/ccm306"
	"linuxha/heartbeatd/hacf"
	"linuxha/heartbeatd/link"
	"linuxha/heartbeatd/quorum"
	heartbeatv1 "linuxha/proto/heartbeat/v1"
)

// type306 begins the types of messages between the ccm of 3.0.6 (HB 9.3).
const type306 = "CCM_TYPE_"

// room306 is what belongs to the membership with nodes of 3.0.6.
type room306 struct {
	core   *ccm306.Core // nil: this node takes no part, and warns
	wake   time.Time
	view   *ccm306.Membership // in force; nil: none
	ours   map[string]bool    // nodes that have shown to be of our kind
	warned map[string]bool    // nodes that the log has named
}

// new306 makes the room. With the CRM the node takes no part: 3.0.6's
// membership would give its old CRM the quorum that ours has, and both would
// run the same resources.
func (s *Server) new306(cfg *hacf.Config) room306 {
	r := room306{ours: map[string]bool{}, warned: map[string]bool{}}
	if cfg.CRM == hacf.CRMOff || cfg.CRM == hacf.CCMOnly {
		r.core = ccm306.New(ccm306.Options{Node: cfg.Node, Keepalive: cfg.Keepalive, Quorate: s.quorate306, Cookie: cookie306})
	}
	return r
}

func (s *Server) quorate306(members []string) bool {
	plugins, err := quorumPlugins(s.config())
	return err == nil && quorum.Quorate(plugins, members, s.voters(), false)
}

// cookie306 draws 14 characters from ! to ~.
func cookie306() string {
	var b [14]byte
	_, _ = rand.Read(b[:]) // never fails: it would end the program
	for i := range b {
		b[i] = '!' + b[i]%('~'-'!'+1)
	}
	return string(b[:])
}

// changed306 tells the core about the nodes after link's changes.
func (s *Server) changed306(now time.Time, changes []link.Change) {
	anew := map[string]bool{}
	for _, c := range changes {
		switch c.Kind {
		case link.Dead, link.Returned, link.Restarted, link.Up:
			anew[c.Node] = true
			delete(s.with306.ours, c.Node)
			delete(s.with306.warned, c.Node)
		}
	}
	s.nodes306(now, anew)
}

func (s *Server) nodes306(now time.Time, anew map[string]bool) {
	if s.with306.core == nil {
		return
	}
	ev := ccm306.Nodes{All: []string{s.config().Node}, Alive: map[string]bool{}, Ours: s.with306.ours, Anew: anew, Active: s.active && !s.leaving}
	for _, n := range s.link.Nodes() {
		if !n.Ping {
			ev.All = append(ev.All, n.Name)
			ev.Alive[n.Name] = n.Status == link.StatusUp || n.Status == link.StatusActive
		}
	}
	s.step306(now, ev)
}

// ours306 notes that a node is of our kind: it speaks with our ccm.
func (s *Server) ours306(now time.Time, node string) {
	if !s.with306.ours[node] {
		s.with306.ours[node] = true
		s.nodes306(now, nil)
	}
}

// message306 is what another node's ccm says to those of 3.0.6.
func (s *Server) message306(now time.Time, p *link.Packet) {
	if s.with306.core == nil {
		s.warn306(p.Src, "this node runs the CRM, and two different CRMs must not act on one quorum. Stop the resources and the CRM there, and upgrade it")
		return
	}
	s.step306(now, ccm306.Received{From: p.Src, Message: p.Message})
}

// warn306 says once that a node of 3.0.6 is active and no member, and why.
func (s *Server) warn306(node, why string) {
	if s.with306.warned[node] || s.with306.ours[node] {
		return
	}
	s.with306.warned[node] = true
	s.log.Warn(fmt.Sprintf("node %s runs Heartbeat 3.0.6's ccm: it is active, but no member of the views that clients of this node get, and gives them no quorum: %s", node, why))
}

func (s *Server) step306(now time.Time, ev ccm306.Event) {
	out := s.with306.core.Step(now, ev)
	s.with306.wake = out.WakeAt
	for _, text := range out.Notes {
		s.log.Warn(text)
	}
	s.submits = append(s.submits, out.Send...)
	switch {
	case out.Membership != nil:
		m := out.Membership
		s.with306.view = m
		s.log.Info("new membership with Heartbeat 3.0.6", "number", m.Number, "leader", m.Leader, "members", strings.Join(m.Names(), " "), "quorate", m.Quorate)
		for _, name := range m.Names() {
			if name != s.config().Node {
				s.warn306(name, "those are agreed on in our own protocol. "+
					"It shares the membership of 3.0.6's ccm with this node, which its clients see. Upgrade it to have one view for all")
			}
		}
	case out.Ended && s.with306.view != nil:
		s.with306.view = nil
		s.log.Info("this node has no membership with Heartbeat 3.0.6 any more")
	}
}

// membership306 is the one in force, for GetStatus; nil: none.
func (s *Server) membership306() *heartbeatv1.Membership {
	m := s.with306.view
	if m == nil {
		return nil
	}
	out := &heartbeatv1.Membership{Number: m.Number, Coordinator: m.Leader, Quorate: m.Quorate}
	for _, member := range m.Members {
		out.Members = append(out.Members, &heartbeatv1.Member{Name: member.Name, BornOn: member.BornOn})
	}
	return out
}

// wake306 is when the core wants to be stepped; zero: never.
func (s *Server) wake306() time.Time { return s.with306.wake }
