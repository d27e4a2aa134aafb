package server

import (
	"slices"
	"strconv"
	"time"

	"linuxha/cib/cibdoc"
	"linuxha/crmd/alert"
	"linuxha/crmd/history"
	"linuxha/internal/daemon"
	"linuxha/internal/ocftext"
	heartbeatv1 "linuxha/proto/heartbeat/v1"
	stonithv1 "linuxha/proto/stonith/v1"
)

// readAlerts takes the alerts section up, nil for none.
func (s *Server) readAlerts(section *cibdoc.Node) {
	c, problems := alert.Parse(section)
	if !slices.Equal(problems, s.alertProblems) {
		for _, p := range problems {
			s.log.Warn("in the alerts section", "problem", p)
		}
		s.alertProblems = problems
	}
	s.alerts = c
}

func (s *Server) alert(ev alert.Event) {
	s.sender.Send(s.alerts.Calls(ev, daemon.Version, s.now()))
}

// alertMembers tells of nodes that came and went (execution 16.2).
func (s *Server) alertMembers(old, m *heartbeatv1.Membership) {
	was, is := memberNames(old), memberNames(m)
	for _, n := range is {
		if !slices.Contains(was, n) {
			s.alert(alert.Event{Kind: alert.Node, Node: n, NodeID: s.ids[n], Desc: "member"})
		}
	}
	for _, n := range was {
		if !slices.Contains(is, n) {
			s.alert(alert.Event{Kind: alert.Node, Node: n, NodeID: s.ids[n], Desc: "lost"})
		}
	}
}

// alertFenced tells of a fencing operation's end, whoever asked for it.
func (s *Server) alertFenced(ev *stonithv1.Event) {
	r, status := ev.Record, ""
	if ev.Rc != 0 || r.State != stonithv1.FenceRecord_STATE_SUCCESS {
		status = "Error occurred"
		if r.ExecStatus != 0 {
			status = ocftext.Status(strconv.Itoa(int(r.ExecStatus)))
		}
	}
	s.alert(alert.Event{
		Kind: alert.Fencing, Node: r.Target, Task: "st_notify_fence", RC: -int(ev.Rc),
		Desc: alert.FencingText(r.Action, r.Target, r.Executioner, r.Client, r.Origin, status, r.Reason, r.Id),
	})
}

// alertResult tells of a result that is recorded, but not of a probe that
// found what was expected.
func (s *Server) alertResult(o history.Op) {
	target := o.TargetRC()
	if o.Task == "monitor" && o.IntervalMS == 0 && o.RC == target && o.Status == history.StatusDone {
		return
	}
	timeout := time.Duration(atoi(o.Params["CRM_meta_timeout"], 0)) * time.Millisecond
	s.alert(alert.Event{
		Kind: alert.Resource, Node: s.node, Rsc: o.Resource.ID, Task: o.Task,
		Interval: time.Duration(o.IntervalMS) * time.Millisecond, RC: o.RC, TargetRC: target, Status: o.Status,
		ExecTime: time.Duration(o.ExecMS) * time.Millisecond, Timeout: timeout,
	})
}
