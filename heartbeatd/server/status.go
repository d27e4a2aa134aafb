package server

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"linuxha/heartbeatd/ccm"
	"linuxha/heartbeatd/link"
	"linuxha/heartbeatd/media"
	"linuxha/heartbeatd/quorum"
	heartbeatv1 "linuxha/proto/heartbeat/v1"
)

// configured lists all known nodes, the own one included, sorted by name.
func (s *Server) configured() []*heartbeatv1.NodeInfo {
	info := func(n link.Node) *heartbeatv1.NodeInfo {
		return &heartbeatv1.NodeInfo{Name: n.Name, Id: n.ID.String(), Type: nodeType(n.Ping), Weight: int64(n.QuorumWeight()), Site: n.Site, Generation: s.members[n.Name]}
	}
	out := []*heartbeatv1.NodeInfo{info(s.link.Self())}
	for _, n := range s.link.Nodes() {
		out = append(out, info(n.Node))
	}
	slices.SortFunc(out, func(a, b *heartbeatv1.NodeInfo) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func nodeType(ping bool) string {
	if ping {
		return "ping"
	}
	return "normal"
}

// nodeStatuses are those of the named nodes; nil: of all.
func (s *Server) nodeStatuses(only map[string]bool) []*heartbeatv1.NodeStatus {
	now := time.Now()
	media := s.media()
	var out []*heartbeatv1.NodeStatus
	if own := s.config().Node; only == nil || only[own] {
		n := &heartbeatv1.NodeStatus{Node: own, Status: string(s.link.Status()), Type: "normal"}
		for _, name := range s.opt.Links {
			n.Links = append(n.Links, ownLink(name, media))
		}
		out = append(out, n)
	}
	for _, state := range s.link.NodesAt(now) {
		if only != nil && !only[state.Name] {
			continue
		}
		out = append(out, s.nodeStatus(state))
	}
	// The order of ha.cf, as cl_status has always shown it (in reverse).
	slices.SortFunc(out, func(a, b *heartbeatv1.NodeStatus) int {
		return cmp.Or(cmp.Compare(s.rank(a), s.rank(b)), strings.Compare(a.Node, b.Node))
	})
	return out
}

// media tells about the media; nil: nothing is known of them.
func (s *Server) media() []media.State {
	if s.opt.States == nil {
		return nil
	}
	return s.opt.States()
}

// ownLink is up if any medium of that name is open.
func ownLink(name string, states []media.State) *heartbeatv1.LinkStatus {
	l := &heartbeatv1.LinkStatus{Name: name, Status: "up"}
	if states == nil {
		return l
	}
	l.Status = "dead"
	for _, st := range states {
		if st.Name != name {
			continue
		}
		if st.Up {
			l.Status = "up"
		}
		if st.Trouble != "" {
			l.Trouble = st.Kind + ": " + st.Trouble
		}
	}
	return l
}

// rank is a node's place in ha.cf; nodes that joined by themselves come after
// the listed ones, ping nodes last.
func (s *Server) rank(n *heartbeatv1.NodeStatus) int {
	i := slices.Index(s.config().Nodes, n.Node)
	switch {
	case n.Type == "ping":
		return len(s.config().Nodes) + 1
	case i < 0:
		return len(s.config().Nodes)
	}
	return i
}

func (s *Server) nodeStatus(state link.NodeState) *heartbeatv1.NodeStatus {
	n := &heartbeatv1.NodeStatus{Node: state.Name, Status: string(state.Status), Type: nodeType(state.Ping)}
	names := s.opt.Links
	if state.Ping {
		names = []string{state.Name} // one link of its own name (HB 11)
	}
	heard := map[string]link.LinkState{}
	for _, l := range state.Links {
		heard[l.Medium] = l
	}
	for _, name := range names {
		l, known := heard[name]
		status := &heartbeatv1.LinkStatus{
			Name: name, Status: "dead", Received: l.Received, Lost: l.Lost, Loss: l.Loss, RoundTripNs: l.RoundTrip.Nanoseconds(),
		}
		if l.Up {
			status.Status = "up"
		}
		if known {
			status.SilentNs = l.LastHeard.Nanoseconds()
		}
		n.Links = append(n.Links, status)
	}
	return n
}

// publishStatus tells clients and watchers about the touched nodes.
func (s *Server) publishStatus(touched map[string]bool) {
	if len(touched) == 0 || len(s.clients)+len(s.watchers) == 0 {
		return
	}
	changed := s.nodeStatuses(touched)
	for _, c := range s.clients {
		for _, n := range changed {
			c.push(news{event: &heartbeatv1.AttachEvent{Kind: &heartbeatv1.AttachEvent_NodeStatus{NodeStatus: n}}})
		}
	}
	for w := range s.watchers {
		w.push(&heartbeatv1.StatusEvent{Nodes: changed})
	}
}

// install makes a view known on this node.
func (s *Server) install(m *ccm.Membership) {
	for _, member := range m.Members {
		s.members[member.Name] = member.Generation
	}
	view := &heartbeatv1.Membership{
		Number: m.Number, Coordinator: m.Coordinator,
		Lost: m.Lost, Joined: m.Joined, Configured: s.configured(),
		LostAtNs: map[string]int64{},
	}
	names := make([]string, 0, len(m.Members))
	for _, member := range m.Members {
		names = append(names, member.Name)
		pm := &heartbeatv1.Member{Name: member.Name, Id: member.ID, BornOn: member.BornOn, Generation: member.Generation}
		for _, p := range member.Processes {
			pm.Processes = append(pm.Processes, &heartbeatv1.Process{Name: p.Name, BornOn: p.BornOn, Info: p.Info})
		}
		view.Members = append(view.Members, pm)
	}
	for name, at := range m.LostAt {
		view.LostAtNs[name] = at.UnixNano()
	}
	s.quorum.Grant(false)
	view.Quorate = s.quorate(view)
	s.askAbout(view, names)
	if len(m.Lost)+len(m.Joined) > 0 {
		s.log.Info("new membership", "view", m.Number, "coordinator", m.Coordinator, "members", strings.Join(names, " "),
			"quorate", view.Quorate, "lost", strings.Join(m.Lost, " "), "joined", strings.Join(m.Joined, " "))
	} else {
		s.log.Debug("new membership", "view", m.Number, "coordinator", m.Coordinator, "members", strings.Join(names, " "))
	}
	s.publishView(view)
	s.rememberView(m.Number)
	for _, a := range s.gate.Installed(m.View) {
		s.arrive(a)
	}
}

// askAbout has the quorum server asked about a view that depends on it.
func (s *Server) askAbout(view *heartbeatv1.Membership, members []string) {
	if s.config().QuorumServer == "" {
		return
	}
	want := served{}
	if s.quorum.Served() {
		want = served{view: viewKey(view.Number, view.Coordinator), members: members}
	}
	s.wantServer(want)
}

func (s *Server) publishView(view *heartbeatv1.Membership) {
	s.view = view
	for _, c := range s.clients {
		c.push(news{event: &heartbeatv1.AttachEvent{Kind: &heartbeatv1.AttachEvent_Membership{Membership: view}}})
	}
	for w := range s.watchers {
		w.push(&heartbeatv1.StatusEvent{Membership: view})
	}
}

func (s *Server) quorate(view *heartbeatv1.Membership) bool {
	var members []string
	for _, m := range view.Members {
		members = append(members, m.Name)
	}
	return s.quorum.View(members, s.voters())
}

// voters are the nodes whose number and weight decide on quorum.
func (s *Server) voters() []quorum.Node {
	var configured []quorum.Node
	for _, n := range s.configured() {
		if n.Type == "normal" {
			weight := int(n.Weight)
			if weight == 0 {
				weight = quorum.NoWeight
			}
			configured = append(configured, quorum.Node{Name: n.Name, Weight: weight})
		}
	}
	return configured
}

// requorum asks again after the node table changed: the view is the same, but
// may be more or less than half of the cluster now.
func (s *Server) requorum() {
	if s.view == nil {
		return
	}
	view := proto.CloneOf(s.view)
	view.Lost, view.Joined, view.LostAtNs, view.Configured = nil, nil, nil, s.configured()
	view.Quorate = s.quorate(view)
	if view.Quorate != s.view.Quorate {
		s.log.Warn("quorum changed with the node table", "view", view.Number, "quorate", view.Quorate)
	}
	s.publishView(view)
}

// snapshot is the whole state for GetStatus and the first WatchStatus event.
func (s *Server) snapshot() *heartbeatv1.GetStatusResponse {
	resp := &heartbeatv1.GetStatusResponse{
		Node: s.config().Node, NodeId: s.opt.Identity.ID.String(), Nodes: s.nodeStatuses(nil),
		Parameters: s.config().Params, Clients: s.clientNames(), ResourceState: s.resourceState(),
		Known: s.configured(), Deleted: s.link.Deleted(), Generation: s.opt.Identity.Generation,
		BadPackets: s.bad.Load(), Resent: s.resent, Unacknowledged: uint64(s.link.Unacknowledged()), Membership306: s.membership306(),
	}
	for _, m := range s.media() {
		resp.Media = append(resp.Media, &heartbeatv1.MediumStatus{
			Kind: m.Kind, Name: m.Name, Up: m.Up, Trouble: m.Trouble, Sent: m.Sent, Received: m.Received, Dropped: m.Dropped, TooBig: m.TooBig,
		})
	}
	if s.view != nil {
		resp.Membership = proto.CloneOf(s.view)
	}
	if s.opt.Children != nil {
		for _, c := range s.opt.Children() {
			resp.Children = append(resp.Children, &heartbeatv1.ChildStatus{Name: c.Name, Pid: int64(c.PID), Restarts: uint64(c.Restarts)})
		}
	}
	return resp
}
