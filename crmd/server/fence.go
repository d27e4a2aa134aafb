package server

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"

	"linuxha/cib/cibdoc"
	"linuxha/crmd/history"
	"linuxha/crmd/join"
	"linuxha/crmd/te"
	"linuxha/internal/graph"
	"linuxha/internal/interval"
	attrdv1 "linuxha/proto/attrd/v1"
	cibv1 "linuxha/proto/cib/v1"
	crmv1 "linuxha/proto/crm/v1"
	stonithv1 "linuxha/proto/stonith/v1"
)

// fence asks the fencer (crm 5.15).
func (s *Server) fence(e te.Initiate) {
	a := e.Action
	action := a.Meta("stonith_action")
	if action == "" {
		action = "reboot"
	}
	var delay time.Duration
	if d, ok := interval.Parse(a.Meta("priority_fencing_delay")); ok {
		delay = d
	}
	s.log.Info(fmt.Sprintf("Requesting fencing (%s) of node %s | action=%d timeout=%d", action, a.Node, a.ID, e.StonithTimeout.Milliseconds()))
	s.timeline.add(&crmv1.TimelineEvent{AtNs: s.now().UnixNano(), Kind: "fence-ordered", Node: a.Node, Action: action}, s.log)
	seq, life := s.reign.seq, s.lives[a.Node]
	go func() {
		resp, err := s.stonith.Fence(s.ctx, &stonithv1.FenceRequest{
			Target: a.Node, Action: action, Generation: life,
			TimeoutMs: e.StonithTimeout.Milliseconds(), DelayMs: delay.Milliseconds(), Client: "crmd",
		}, grpc.WaitForReady(true))
		s.post(func() {
			if seq != s.reign.seq {
				return
			}
			ok := err == nil && resp.Rc == 0
			reason := errText(err)
			if err == nil && !ok {
				reason = resp.Error
			}
			if g := resp.GetRecord().GetGeneration(); ok && action != "on" && g < life { // another request's end, begun before it was a member
				ok, reason = false, fmt.Sprintf("what was fenced is start %d of the node, not %d", g, life)
			}
			if ok {
				if id := resp.Record.GetId(); id != "" { // its notice may still come
					if len(s.answered) > 1000 {
						clear(s.answered)
					}
					s.answered[id] = true
				}
				s.timeline.add(&crmv1.TimelineEvent{AtNs: s.now().UnixNano(), Kind: "fence-confirmed", Node: a.Node, Action: action}, s.log)
				if action == "on" {
					s.unfenced(a)
				} else if !s.outlived(a.Node, resp.Record.GetGeneration()) {
					s.markFenced(a.Node)
				}
			} else {
				s.log.Warn("Fencing failed", "node", a.Node, "action", action, "reason", reason)
			}
			s.stepTE(te.Done{
				Key: e.Key, OK: ok, Reason: reason,
				NoDevice: err == nil && resp.ExecStatus == history.StatusNoFence,
			})
		})
	}()
}

// unfenced records that a node may use its devices again.
func (s *Server) unfenced(a *graph.Action) {
	attrs := []*attrdv1.Attribute{{Name: "#node-unfenced", Value: fmt.Sprint(s.now().Unix()), Node: a.Node}}
	for _, name := range []string{"digests_all", "digests_secure"} {
		if v := a.Meta(name); v != "" {
			attrs = append(attrs, &attrdv1.Attribute{Name: "#" + strings.ReplaceAll(name, "_", "-"), Value: v, Node: a.Node})
		}
	}
	s.updateAttributes(attrs, nil)
}

// markFenced writes that nothing of a node runs any more (crm 1.7).
func (s *Server) markFenced(target string) {
	id := s.ids[target]
	for i, n := range s.nodeNames {
		if n == target && id == "" {
			id = i
		}
	}
	if id == "" {
		s.log.Warn("A node of unknown id was fenced", "node", target)
		return
	}
	inCCM := ""
	if !slices.Contains(memberNames(s.view), target) {
		inCCM = ` in_ccm="false" crmd="offline"`
	}
	at := "//node_state[@uname=" + cibdoc.Quote(target) + "]"
	s.stepJoin(join.FencedDown{Node: target})
	s.status.add(job{reign: s.reign.ctx, changes: []*cibv1.Change{
		modify("status", []byte(fmt.Sprintf(`<node_state id="%s" uname="%s"%s crm-debug-origin="send_stonith_update" join="down" expected="down"/>`, esc(id), esc(target), inCCM))),
		remove(at + "/*"),
	}})
}
