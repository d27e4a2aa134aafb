package server

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"linuxha/crmd/election"
	crmv1 "linuxha/proto/crm/v1"
	heartbeatv1 "linuxha/proto/heartbeat/v1"
)

func (s *Server) learn(infos []*heartbeatv1.NodeInfo) {
	for _, i := range infos {
		if i.Id != "" {
			s.names[i.Id], s.ids[i.Name] = i.Name, i.Id
		}
		s.lives[i.Name] = max(s.lives[i.Name], i.Generation)
	}
}

// nameOf turns a node_state's id into a name.
func (s *Server) nameOf(id string) string {
	if n := s.names[id]; n != "" {
		return n
	}
	if n := s.nodeNames[id]; n != "" {
		return n
	}
	return id
}

// TakesDown says whether the graph in force takes the node with this id down.
func (s *Server) TakesDown(id string) bool { return s.te != nil && s.te.TakesDown(id) }

func (s *Server) clusterEvent(ev *heartbeatv1.AttachEvent) {
	switch k := ev.Kind.(type) {
	case *heartbeatv1.AttachEvent_Membership:
		s.installed(k.Membership)
	case *heartbeatv1.AttachEvent_Message:
		s.message(k.Message)
	}
}

// installed takes a new view.
func (s *Server) installed(m *heartbeatv1.Membership) {
	old := s.view
	born := uint64(0)
	if old != nil {
		born = s.bornOn(s.node)
	}
	s.view = m
	// We were outside and entered anew, perhaps without having noticed: what we
	// knew about the others' controllers is void.
	reentered := born != 0 && s.bornOn(s.node) != born
	s.learn(m.Configured)
	v := election.View{Number: m.Number, Coordinator: m.Coordinator, Quorate: m.Quorate}
	for _, c := range m.Configured {
		if c.Type != "ping" {
			v.Configured = append(v.Configured, c.Name)
		}
	}
	here := map[string]bool{}
	for _, mb := range m.Members {
		here[mb.Name] = true
		s.names[mb.Id], s.ids[mb.Name] = mb.Name, mb.Id
		s.lives[mb.Name] = max(s.lives[mb.Name], mb.Generation)
		for _, p := range mb.Processes {
			if p.Name == "crmd" && p.Info["feature_set"] != "" {
				v.Candidates = append(v.Candidates, election.Candidate{
					Node: mb.Name, FeatureSet: p.Info["feature_set"], BornOn: p.BornOn, NodeBornOn: mb.BornOn,
					Claim: uint64(atoi(p.Info["dc"], 0)), ClaimQuorate: p.Info["dc_quorate"] == "1",
				})
			}
		}
	}
	s.noteMembers(old, m)
	for n, asked := range s.leaving {
		if now := s.bornOn(n); !here[n] && s.knownDown(old, n) || now != 0 && now != asked {
			delete(s.leaving, n) // gone for a while, or it came back
		}
	}
	maps.DeleteFunc(s.fenced, func(n string, g uint64) bool { return g < s.lives[n] })
	if s.accepted.term != "" && (reentered || s.bornOn(s.accepted.dc) != s.accepted.bornOn) {
		s.unaccept("the DC left")
	}
	ruled := s.el.Local()
	s.stepElection(election.Installed{View: v})
	if reentered && ruled && s.el.Local() {
		s.endReign("this node has left the membership and entered again")
		s.beginReign()
	}
	if s.accepted.term != "" && s.el.DC() != s.accepted.dc {
		s.unaccept("another DC leads this view")
	}
	s.tellPrimary()
	if s.el.Local() && s.reign.begun {
		s.quorumChanged(old.GetQuorate(), m.Quorate)
		s.stepJoin(s.joinView())
		s.writeNodes()
	}
	s.reign.hadQuorum = s.reign.hadQuorum || m.Quorate
	stash := s.stash
	s.stash = nil
	for _, msg := range stash {
		s.message(msg)
	}
}

func (s *Server) noteMembers(old, m *heartbeatv1.Membership) {
	was, is := memberNames(old), memberNames(m)
	for _, n := range is {
		if !slices.Contains(was, n) {
			s.log.Info("Node " + n + " state is now member")
		}
	}
	for _, n := range was {
		if !slices.Contains(is, n) {
			s.log.Info("Node " + n + " state is now lost")
		}
	}
	s.alertMembers(old, m)
	s.timeline.add(&crmv1.TimelineEvent{
		AtNs: s.now().UnixNano(), Kind: "view", Node: s.node,
		Text: fmt.Sprintf("view %d of %s: members %v quorate=%t lost_at=%v", m.Number, m.Coordinator, is, m.Quorate, sortedMap(m.LostAtNs)),
	}, s.log)
	if old.GetQuorate() != m.Quorate || old == nil {
		text := "Quorum lost"
		if m.Quorate {
			text = "Quorum acquired"
		}
		s.log.Info(fmt.Sprintf("%s | membership=%d members=%d", text, m.Number, len(m.Members)))
	}
}

func sortedMap(m map[string]int64) []string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, fmt.Sprintf("%s:%d", k, m[k]))
	}
	return out
}

func memberNames(m *heartbeatv1.Membership) []string {
	var out []string
	for _, x := range m.GetMembers() {
		out = append(out, x.Name)
	}
	return out
}

// bornOn is the view in which a node's controller entered; 0: it has none.
func (s *Server) bornOn(node string) uint64 {
	for _, m := range s.view.GetMembers() {
		if m.Name != node {
			continue
		}
		for _, p := range m.Processes {
			if p.Name == "crmd" && p.Info["feature_set"] != "" {
				return max(p.BornOn, 1)
			}
		}
	}
	return 0
}

// knownDown says whether a node was away in the view before this one already:
// the DC, also one elected because of its leaving, has dealt with it.
func (s *Server) knownDown(old *heartbeatv1.Membership, node string) bool {
	return !slices.Contains(memberNames(old), node)
}

func (s *Server) unaccept(why string) {
	s.log.Info(fmt.Sprintf("Unset DC (was %s)", s.accepted.dc), "reason", why)
	s.accepted = accepted{}
}

// stepElection feeds the election and does what it wants.
func (s *Server) stepElection(ev election.Event) {
	out := s.el.Step(s.now(), ev)
	s.wakes[0] = out.WakeAt
	if out.Released {
		s.endReign("another node leads this view")
	}
	if out.Won {
		s.log.Info("election-DC won by local node", "reason", out.Why)
		s.beginReign()
	}
	if out.Claim != nil {
		s.claim = *out.Claim
		if s.claim.Since == 0 || s.reign.acted {
			s.publishClaim()
		}
	}
	if out.Won && ev != nil {
		if _, isView := ev.(election.Installed); !isView {
			s.tellPrimary() // installed does it otherwise
		}
	}
}

// publishClaim lets the membership carry our role. A new DC does so once the
// first actions of its reign are under way, or none is needed: each new view
// makes the CIBs agree anew, which must not come between a death and its
// recovery.
func (s *Server) publishClaim() {
	info := map[string]string{"feature_set": FeatureSet}
	if s.claim.Since != 0 {
		info["dc"], info["dc_quorate"] = strconv.FormatUint(s.claim.Since, 10), digit(s.claim.Quorate)
	}
	if maps.Equal(info, s.published) {
		return
	}
	s.published = info
	if err := s.conn.SetInfo(info); err != nil {
		s.log.Warn("the membership cannot be told about our role", "err", err)
	}
}
