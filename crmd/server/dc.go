package server

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"

	"linuxha/cib/cibdoc"
	"linuxha/crmd/join"
	"linuxha/crmd/te"
	"linuxha/internal/daemon"
	"linuxha/internal/sbd"
	cibv1 "linuxha/proto/cib/v1"
	crmv1 "linuxha/proto/crm/v1"
)

// reign is the time in which this node is DC.
type reign struct {
	ctx       context.Context // ends with it
	end       context.CancelFunc
	seq       uint64 // grows with each reign: late answers of an older one are void
	term      string
	joined    bool   // the first join is through
	acted     bool   // the first actions are under way, or none was needed
	begun     bool   // the CIBs are in step and the join is under way
	inStep    uint64 // latest view whose CIBs are in step
	reading   bool
	watchdog  bool // sbd ran here when the reign began (crm 1.2)
	hadQuorum bool // in this process's life (crm 5.1)
	lrm       map[string][]byte
	runs      map[string][]string // per joiner: transition keys under way
	ready     []string
}

func (s *Server) beginReign() {
	s.reign = reign{
		seq: s.reign.seq + 1, hadQuorum: s.reign.hadQuorum || s.view.Quorate,
		lrm: map[string][]byte{}, runs: map[string][]string{},
	}
	s.reign.ctx, s.reign.end = context.WithCancel(s.ctx)
	s.reign.term = fmt.Sprintf("%s/%d/%d", s.uuid, s.view.Number, s.reign.seq)
}

func (s *Server) endReign(why string) {
	s.log.Info("Giving up the DC role", "reason", why)
	if s.reign.end != nil {
		s.reign.end()
	}
	s.reign.seq++
	s.reign.begun, s.reign.joined, s.reign.acted = false, false, false
	s.stepJoin(join.Released{})
	s.stepTE(te.Stopped{})
}

// restartReign joins everybody anew, as after winning an election.
func (s *Server) restartReign(why string) {
	s.endReign(why)
	s.beginReign()
	s.tellPrimary()
}

// inStep: all CIBs of the view hold the chosen document.
func (s *Server) inStep(view uint64, resp *cibv1.SetPrimaryResponse) {
	if !s.el.Local() {
		return
	}
	s.reign.inStep = max(s.reign.inStep, view)
	if s.reign.begun && resp.Source != "" && resp.Source != s.node {
		// Its status is not the one that this reign has written: everybody tells
		// anew what runs.
		s.restartReign("the CIB of " + resp.Source + " was chosen")
		return
	}
	if s.reign.begun {
		s.stepJoin(join.InStep{View: view})
		return
	}
	if s.reign.reading {
		return
	}
	s.reign.reading = true
	s.log.Info("The CIBs are in step", "view", view, "source", resp.Source, "version", version(resp.Version))
	seq, ctx := s.reign.seq, s.reign.ctx
	go func() {
		// By its name it is looked for among all processes: not in the loop.
		watchdog := sbd.Node{Paths: s.opts.Paths}.PID() != 0
		for ctx.Err() == nil {
			doc, err := s.readCIB(ctx)
			if err == nil {
				s.post(func() {
					if seq == s.reign.seq && !s.reign.begun {
						s.reign.watchdog = watchdog
						s.takeOver(doc)
					}
				})
				return
			}
			if ctx.Err() == nil {
				s.log.Error("CIB cannot be read, trying again", "err", err)
			}
			sleep(ctx, 100*time.Millisecond)
		}
	}()
}

func (s *Server) readCIB(ctx context.Context) (*cibdoc.Doc, error) {
	resp, err := s.cib.Query(ctx, &cibv1.QueryRequest{}, grpc.WaitForReady(true))
	if err != nil {
		return nil, err
	}
	if resp.Rc != 0 {
		return nil, fmt.Errorf("%s (%d)", resp.Error, resp.Rc)
	}
	return cibdoc.Parse(resp.Xml)
}

// takeOver begins the reign with what the chosen CIB says (crm 1.2, 1.11).
func (s *Server) takeOver(doc *cibdoc.Doc) {
	s.reign.begun = true
	won := join.Won{Term: s.reign.term, FeatureSet: FeatureSet, Leaving: slices.Sorted(maps.Keys(s.leaving))}
	for _, n := range cibdoc.Children(doc.Section("status"), "node_state") {
		if n.Attr("remote_node") == "true" {
			continue
		}
		won.Nodes = append(won.Nodes, join.Known{
			Node: n.Attr("uname"), ID: n.ID(), InCCM: n.Attr("in_ccm") == "true" || atoi(n.Attr("in_ccm"), 0) > 0,
			Crmd: n.Attr("crmd") == "online" || atoi(n.Attr("crmd"), 0) > 0, Join: n.Attr("join"), Expected: n.Attr("expected"),
		})
	}
	known := won.Nodes[:0]
	for _, n := range won.Nodes {
		if n.Node != "" { // attrd may have made it with an id alone
			known = append(known, n)
		}
	}
	won.Nodes = known
	s.takeOptions(doc) // with the status properties and nodes
	s.writeRoot(true)
	s.stepJoin(won)
	for _, target := range slices.Sorted(maps.Keys(s.fenced)) {
		s.log.Info("Marking " + target + ", target of a previous stonith action, as clean")
		s.markFenced(target)
	}
	clear(s.fenced)
	s.stepJoin(s.joinView())
	s.stepJoin(join.InStep{View: s.reign.inStep})
}

// joinView is the present view as the join sees it.
func (s *Server) joinView() join.Installed {
	ev := join.Installed{View: s.view.Number}
	for _, m := range s.view.Members {
		ev.Members = append(ev.Members, join.Member{Node: m.Name, ID: m.Id, Controller: s.bornOn(m.Name)})
	}
	return ev
}

// writeRoot sets the root's attributes (crm 1.1).
func (s *Server) writeRoot(takeover bool) {
	attrs := fmt.Sprintf(` have-quorum="%s" dc-uuid="%s"`, digit(s.view.Quorate), esc(s.nodeID))
	if takeover {
		attrs += ` crm_feature_set="` + FeatureSet + `"`
	}
	s.status.add(job{reign: s.reign.ctx, changes: []*cibv1.Change{{Op: cibv1.Op_OP_MODIFY, Xml: []byte("<cib" + attrs + "/>")}}})
}

func digit(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// takeoverProperties writes the status properties of crm 1.2 that differ.
func (s *Server) takeoverProperties() {
	want := [][2]string{
		{"have-watchdog", strconv.FormatBool(s.reign.watchdog)},
		{"dc-version", daemon.Version},
		{"cluster-infrastructure", "Heartbeat"},
	}
	if name := s.conn.Welcome.Cluster; name != "" && s.options.values["cluster-name"].value == "" {
		want = append(want, [2]string{"cluster-name", name})
	}
	for _, w := range want {
		if change := s.setProperty(w[0], w[1]); change != nil {
			s.config.add(job{reign: s.reign.ctx, changes: change})
		}
	}
	s.writeNodes()
}

// setProperty is the change of a cluster property where it is, or its creation;
// none where it has the value.
func (s *Server) setProperty(name, value string) []*cibv1.Change {
	p, have := s.options.values[name]
	if have && p.value == value {
		return nil
	}
	if !have {
		p = property{set: "cib-bootstrap-options", id: "cib-bootstrap-options-" + name}
	}
	xml := fmt.Sprintf(`<crm_config><cluster_property_set id="%s"><nvpair id="%s" name="%s" value="%s"/></cluster_property_set></crm_config>`,
		esc(p.set), esc(p.id), esc(name), esc(value))
	return []*cibv1.Change{modify("crm_config", []byte(xml))}
}

// writeNodes adds the entries of known nodes to the nodes section. An entry of
// a node's name with another id is that of another stack (a cib.xml of Corosync
// has numbers), or of a node set up anew: the id goes, what else it says of the
// node stays (the reference drops it: crm 1.12).
func (s *Server) writeNodes() {
	have := maps.Clone(s.nodeNames)
	known := map[string]string{}
	for _, c := range s.view.Configured {
		if c.Id != "" && c.Type != "ping" {
			known[c.Id] = c.Name
		}
	}
	for _, m := range s.view.Members {
		known[m.Id] = m.Name
	}
	var changes []*cibv1.Change
	for _, id := range slices.Sorted(maps.Keys(known)) {
		name := known[id]
		if have[id] == name {
			continue
		}
		entry := []byte(fmt.Sprintf(`<node id="%s" uname="%s"%s/>`, esc(id), esc(name), s.nodeType))
		for otherID, other := range have {
			if other == name && otherID != id { // crm 1.12
				s.log.Warn(fmt.Sprintf("Deleting unknown node %s/%s which has conflicting uname with %s", otherID, other, id))
				if old := s.nodeEntry(otherID); old != nil {
					entry = old.Shallow().SetAttr("id", id).Bytes()
				}
				changes = append(changes, remove("//nodes/node[@id="+cibdoc.Quote(otherID)+"]"), remove("//node_state[@id="+cibdoc.Quote(otherID)+"]"))
			}
		}
		s.nodeNames[id] = name
		changes = append(changes, modify("nodes", entry))
	}
	if len(changes) > 0 {
		s.config.add(job{reign: s.reign.ctx, changes: changes})
	}
}

// nodeEntry is a node's entry in the configuration; nil: none is known.
func (s *Server) nodeEntry(id string) *cibdoc.Node {
	if s.doc == nil {
		return nil
	}
	for _, n := range cibdoc.Children(s.doc.Section("nodes"), "node") {
		if n.ID() == id {
			return n
		}
	}
	return nil
}

func (s *Server) quorumChanged(was, is bool) {
	if was == is {
		return
	}
	s.writeRoot(false)
	reason := "Quorum lost"
	if is {
		reason = "Quorum gained"
	}
	s.stepTE(te.Aborted{Reason: reason})
}

// stepJoin feeds the join and does what it wants.
func (s *Server) stepJoin(ev join.Event) {
	out := s.jn.Step(s.now(), ev)
	s.wakes[1] = out.WakeAt
	if out.Changed {
		s.reign.ready = out.Ready
		s.stepTE(te.Ready{Nodes: out.Ready})
	}
	for _, e := range out.Effects {
		switch e := e.(type) {
		case join.Offer:
			s.send(e.Node, &crmv1.PeerMessage{Kind: &crmv1.PeerMessage_JoinOffer{JoinOffer: &crmv1.JoinOffer{
				Term: s.reign.term, JoinId: e.JoinID, FeatureSet: FeatureSet, View: s.view.Number, ShuttingDown: s.shutdown.asked,
			}}})
		case join.Write:
			s.writeNodeStates(e)
		case join.Accept:
			delete(s.reign.lrm, e.Node)
			s.send(e.Node, &crmv1.PeerMessage{Kind: &crmv1.PeerMessage_JoinAck{JoinAck: &crmv1.JoinAck{Term: s.reign.term, JoinId: e.JoinID}}})
		case join.Refuse:
			s.log.Error("Node cannot join", "node", e.Node, "reason", e.Reason)
			s.send(e.Node, &crmv1.PeerMessage{Kind: &crmv1.PeerMessage_JoinAck{JoinAck: &crmv1.JoinAck{
				Term: s.reign.term, JoinId: e.JoinID, Refused: true, Reason: e.Reason,
			}}})
		case join.Joined:
			s.joined(e)
		case join.Lost:
			s.nodeLost(e)
		case join.Note:
			if e.Warning {
				s.log.Warn(e.Text)
			} else {
				s.log.Info(e.Text)
			}
		}
	}
}

func (s *Server) joined(e join.Joined) {
	s.log.Info("Nodes joined", "nodes", e.Nodes, "first", e.First)
	if e.First {
		s.reign.joined = true
		s.stepTE(te.Started{UUID: s.uuid})
		s.stepTE(s.options.engine())
		s.stepTE(te.Ready{Nodes: s.reign.ready})
		if s.shutdown.asked {
			s.requestShutdown()
		}
		return
	}
	for _, n := range e.Nodes {
		s.stepTE(te.Rejoined{Node: n, Running: s.reign.runs[n]})
		delete(s.reign.runs, n)
	}
}

func (s *Server) nodeLost(e join.Lost) {
	if !e.Expected && !s.te.Explains(e.Node) {
		s.log.Warn("Stonith/shutdown of node " + e.Node + " was not expected")
	}
	if e.Expected {
		// What was asked for aborts nothing, but its actions end.
		if s.te.Phase() == te.PhaseExecuting && !s.te.Explains(e.Node) {
			s.stepTE(te.NodeLost{Node: e.Node})
		}
		return
	}
	s.stepTE(te.NodeLost{Node: e.Node})
}

// writeNodeStates puts one update of nodes into the CIB.
func (s *Server) writeNodeStates(w join.Write) {
	var changes []*cibv1.Change
	for _, n := range w.Nodes {
		if n.ID == "" {
			n.ID = s.ids[n.Node]
		}
		if n.ID == "" {
			s.log.Warn("Node has no id yet, its state is not written", "node", n.Node)
			continue
		}
		at := "//node_state[@uname=" + cibdoc.Quote(n.Node) + "]"
		if n.Attributes {
			changes = append(changes, remove(at+"/transient_attributes"))
		}
		var b strings.Builder
		fmt.Fprintf(&b, `<node_state id="%s" uname="%s" in_ccm="%t"`, esc(n.ID), esc(n.Node), n.InCCM)
		if !n.OnlyCCM {
			crmd := "offline"
			if n.Crmd {
				crmd = "online"
			}
			fmt.Fprintf(&b, ` crmd="%s"`, crmd)
		}
		origin := "post_cache_update"
		if n.History {
			origin = "do_state_transition"
		}
		fmt.Fprintf(&b, ` crm-debug-origin="%s"`, origin)
		if n.Join != "" {
			fmt.Fprintf(&b, ` join="%s"`, n.Join)
		}
		if n.Expected != "" {
			fmt.Fprintf(&b, ` expected="%s"`, n.Expected)
		}
		if lrm := s.reign.lrm[n.Node]; n.History && len(lrm) > 0 {
			changes = append(changes, remove(at+"/lrm"))
			b.WriteString(">" + string(lrm) + "</node_state>")
		} else {
			b.WriteString("/>")
		}
		changes = append(changes, modify("status", []byte(b.String())))
	}
	seq := s.reign.seq
	s.status.add(job{reign: s.reign.ctx, changes: changes, done: func(v te.Version, err error) {
		if seq != s.reign.seq {
			return
		}
		if err != nil {
			s.log.Error("Node states cannot be written, joining anew", "err", err)
			s.restartReign("the CIB refused the node states")
			return
		}
		s.whenSeen(v, func() {
			if seq == s.reign.seq {
				s.stepJoin(join.Written{Update: w.Update})
			}
		})
	}})
}
