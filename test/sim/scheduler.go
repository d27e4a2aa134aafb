package sim

import (
	"slices"
	"strconv"
	"time"

	"linuxha/cib/cibdoc"
	"linuxha/crmd/te"
	"linuxha/internal/graph"
)

// situation is a node as the CIB describes it.
type situation struct {
	name, id string
	online   bool
	clean    bool              // nothing of it can run
	history  map[string]record // by resource
}

// readSituations reads nodes and status.
func readSituations(doc *cibdoc.Doc) []*situation {
	var all []*situation
	byID := map[string]*situation{}
	for n := range doc.Configuration().Child("nodes").Elements() {
		s := &situation{name: n.Attr("uname"), id: n.ID(), history: map[string]record{}}
		all = append(all, s)
		byID[s.id] = s
	}
	status := doc.Root().Child("status")
	for n := range status.Elements() {
		s := byID[n.ID()]
		if s == nil {
			continue
		}
		s.online = n.Attr("in_ccm") == "true" && n.Attr("crmd") == "online" && n.Attr("join") == "member"
		s.clean = n.Attr("in_ccm") != "true" && n.Attr("join") == "down" && n.Attr("expected") == "down"
		for _, r := range readHistory(n) {
			s.history[r.resource] = r
		}
	}
	return all
}

// readHistory reads the records below a node_state.
func readHistory(state *cibdoc.Node) []record {
	lrm := state.Child("lrm")
	if lrm == nil || lrm.Child("lrm_resources") == nil {
		return nil
	}
	var all []record
	for r := range lrm.Child("lrm_resources").Elements() {
		if op := r.Child("lrm_rsc_op"); op != nil {
			all = append(all, record{
				resource: r.ID(), operation: op.Attr("operation"), key: op.Attr("transition-key"),
				rc: number(op, "rc-code"), status: number(op, "op-status"), call: number(op, "call-id"), at: int64(number(op, "last-rc-change")),
			})
		}
	}
	return all
}

func number(n *cibdoc.Node, name string) int {
	v, err := strconv.Atoi(n.Attr(name))
	if err != nil {
		return 0
	}
	return v
}

// mayBeActive: the record does not say that the resource is stopped.
func (r record) mayBeActive() bool {
	return !(r.operation == "stop" && r.status == statusDone && r.rc == 0) && r.operation != ""
}

// schedule is a scheduler small enough for simulation: fence what is unclean,
// run each resource on the first node of its own order that is online, stop it
// before it starts elsewhere, wait with all starts for all fencing. Without
// quorum everything is stopped and nobody fenced.
func schedule(doc *cibdoc.Doc, quorate bool, unrecorded []te.Flight) *graph.Graph {
	nodes := readSituations(doc)
	for _, f := range unrecorded {
		for _, s := range nodes {
			if s.name == f.Action.Node {
				s.history[f.Action.RscID()] = record{resource: f.Action.RscID(), operation: f.Action.Operation, status: statusPending}
			}
		}
	}
	b := builder{g: &graph.Graph{ClusterDelay: 60 * time.Second, StonithTimeout: 60 * time.Second, FailedStartOffset: "INFINITY", FailedStopOffset: "INFINITY"}}
	var fences []int
	if quorate {
		for _, s := range nodes {
			if !s.online && !s.clean {
				fences = append(fences, b.add(&graph.Action{
					Kind: graph.CrmEvent, Operation: "stonith", Key: "stonith-" + s.name + "-reboot", Node: s.name, NodeID: s.id,
					Attributes: map[string]string{"CRM_meta_stonith_action": "reboot"}, Downed: []string{s.id},
				}, nil))
			}
		}
	}
	for i, name := range resources {
		var home *situation
		for k := range nodes {
			if s := nodes[(i+k)%len(nodes)]; s.online {
				if r := s.history[name]; r.operation == "start" && r.status == statusError {
					continue // it failed there
				}
				home = s
				break
			}
		}
		after := slices.Clone(fences)
		running := false
		for _, s := range nodes {
			r := s.history[name]
			if !s.online || !r.mayBeActive() {
				continue
			}
			if quorate && s == home && r.operation == "start" && r.status != statusError {
				running = r.status == statusDone
				if !running { // on its way
					b.start(name, s, after)
					running = true
				}
				continue
			}
			after = append(after, b.add(b.op("stop", name, s), nil))
		}
		if quorate && home != nil && !running {
			b.start(name, home, after)
		}
	}
	return b.g
}

type builder struct {
	g    *graph.Graph
	last int
}

func (b *builder) add(a *graph.Action, inputs []int) int {
	b.last++
	a.ID = b.last
	b.g.Synapses = append(b.g.Synapses, &graph.Synapse{ID: b.last, Actions: []*graph.Action{a}, Inputs: inputs})
	return a.ID
}

func (b *builder) start(resource string, s *situation, after []int) {
	b.add(b.op("start", resource, s), after)
}

func (b *builder) op(operation, resource string, s *situation) *graph.Action {
	return &graph.Action{
		Kind: graph.RscOp, Operation: operation, Key: resource + "_" + operation + "_0", Node: s.name, NodeID: s.id,
		Resource:   &graph.Resource{ID: resource, Class: "ocf", Provider: "sim", Type: "Dummy"},
		Attributes: map[string]string{"CRM_meta_op_target_rc": "0", "CRM_meta_timeout": "20000"},
	}
}
