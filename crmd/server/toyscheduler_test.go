package server

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"

	"linuxha/cib/cibdoc"
	penginev1 "linuxha/proto/pengine/v1"
)

// toyScheduler places each primitive on the first node that can run it, with
// probes, fencing and shutdown, enough to drive a controller.
type toyScheduler struct {
	penginev1.UnimplementedSchedulerServer
	mu   sync.Mutex
	n    int           // runs that ended
	hold chan struct{} // runs wait for its end, if it is there
	runs int           // runs that began
}

func (s *toyScheduler) holdRuns() (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	hold := make(chan struct{})
	s.hold = hold
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.hold = nil
		close(hold)
	}
}

func (s *toyScheduler) begun() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.runs
}

type toyGraph struct {
	id  int
	xml strings.Builder
}

func (g *toyGraph) add(element, op, key, node, extra, attrs string, inputs ...int) int {
	g.id++
	fmt.Fprintf(&g.xml, `<synapse id="%d"><action_set><%s id="%d" operation="%s" operation_key="%s" on_node="%s" on_node_uuid="%s">%s<attributes CRM_meta_timeout="20000" %s/></%s></action_set><inputs>`,
		g.id, element, g.id, op, key, node, idOf(node), extra, attrs, element)
	for _, in := range inputs {
		if in > 0 {
			fmt.Fprintf(&g.xml, `<trigger><rsc_op id="%d"/></trigger>`, in)
		}
	}
	g.xml.WriteString(`</inputs></synapse>`)
	return g.id
}

func (s *toyScheduler) Schedule(_ context.Context, r *penginev1.ScheduleRequest) (*penginev1.ScheduleResponse, error) {
	s.mu.Lock()
	s.runs++
	hold := s.hold
	s.mu.Unlock()
	if hold != nil {
		<-hold
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	doc, err := cibdoc.ParseNode(r.Cib)
	if err != nil {
		return nil, err
	}
	type nodeState struct {
		online, leaving bool
		last            map[string]*cibdoc.Node // by resource: last_0
		failedCall      map[string]int          // call-id of the last failure
		monitored       map[string]bool
		count           map[string]string
	}
	nodes := map[string]*nodeState{}
	g := &toyGraph{}
	fences := 0
	var names []string
	for ns := range doc.Child("status").Elements() {
		st := &nodeState{last: map[string]*cibdoc.Node{}, failedCall: map[string]int{}, monitored: map[string]bool{}, count: map[string]string{}}
		name := ns.Attr("uname")
		if name == "" {
			continue
		}
		names = append(names, name)
		nodes[name] = st
		ns.Walk(func(_ cibdoc.Path, t *cibdoc.Node) bool {
			switch {
			case t.Tag == "nvpair" && t.Attr("name") == "shutdown" && t.Attr("value") != "0":
				st.leaving = true
			case t.Tag == "nvpair" && strings.HasPrefix(t.Attr("name"), "fail-count-"):
				rsc, _, _ := strings.Cut(strings.TrimPrefix(t.Attr("name"), "fail-count-"), "#")
				st.count[rsc] = t.Attr("value")
			case t.Tag == "lrm_rsc_op":
				key := t.Attr("operation_key")
				rsc, task, ms, _ := splitKey(key)
				if strings.HasSuffix(t.Attr("id"), "_last_0") {
					st.last[rsc] = t
				}
				if task == "monitor" && ms > 0 && t.Attr("rc-code") == "0" {
					st.monitored[rsc] = true
				}
				if strings.HasSuffix(t.Attr("id"), "_last_failure_0") && t.Attr("rc-code") != "0" {
					st.failedCall[rsc] = atoi(t.Attr("call-id"), 0)
				}
			}
			return true
		})
		in, crmd := ns.Attr("in_ccm") == "true", ns.Attr("crmd") == "online"
		st.online = in && crmd && ns.Attr("join") == "member"
		if !(in && crmd) && ns.Attr("expected") == "member" && !st.leaving {
			fences = g.add("crm_event", "stonith", "stonith-"+name+"-reboot", name, `<downed><node id="`+idOf(name)+`"/></downed>`, `CRM_meta_stonith_action="reboot"`, fences)
		}
	}
	sort.Strings(names)
	var can []string
	for _, n := range names {
		if nodes[n].online && !nodes[n].leaving {
			can = append(can, n)
		}
	}
	stops := map[string][]int{}
	for configured := range doc.Child("configuration").Child("resources").Elements() {
		rsc, stopped := configured.Attr("id"), false
		configured.Walk(func(_ cibdoc.Path, t *cibdoc.Node) bool {
			stopped = stopped || t.Attr("name") == "target-role" && t.Attr("value") == "Stopped"
			return true
		})
		prim := fmt.Sprintf(`<primitive id="%s" class="ocf" provider="heartbeat" type="Dummy"/>`, rsc)
		var probes []int
		var active []string
		for _, n := range names {
			if !nodes[n].online {
				continue
			}
			last := nodes[n].last[rsc]
			switch {
			case last == nil, last.Attr("operation") == "monitor" && last.Attr("rc-code") == "193":
				probes = append(probes, g.add("rsc_op", "monitor", rsc+"_monitor_0", n, prim, `CRM_meta_op_target_rc="7" CRM_meta_interval="0"`))
			case last.Attr("operation") == "stop" && last.Attr("rc-code") == "0", last.Attr("rc-code") == "7":
			default:
				active = append(active, n)
			}
		}
		target := ""
		for _, n := range can {
			if stopped || nodes[n].count[rsc] == "INFINITY" {
				continue
			}
			if target == "" || slices.Contains(active, n) && !slices.Contains(active, target) {
				target = n
			}
		}
		after := append([]int{fences}, probes...) // an unexpected result of a probe ends this graph
		for _, n := range active {
			if n != target || nodes[n].failedCall[rsc] > atoi(nodes[n].last[rsc].Attr("call-id"), 0) {
				stop := g.add("rsc_op", "stop", rsc+"_stop_0", n, prim, `CRM_meta_interval="0"`, fences)
				after = append(after, stop)
				stops[n] = append(stops[n], stop)
			}
		}
		if target == "" {
			continue
		}
		running := slices.Contains(active, target)
		pending := running && nodes[target].last[rsc].Attr("rc-code") == "193"
		restart := nodes[target].last[rsc] != nil && nodes[target].failedCall[rsc] > atoi(nodes[target].last[rsc].Attr("call-id"), 0)
		if !running || pending || restart {
			after = []int{g.add("rsc_op", "start", rsc+"_start_0", target, prim, `CRM_meta_interval="0"`, after...)}
		}
		if !nodes[target].monitored[rsc] || !running || restart {
			g.add("rsc_op", "monitor", rsc+"_monitor_10000", target, prim, `CRM_meta_interval="10000"`, after...)
		}
	}
	for _, n := range names {
		if nodes[n].online && nodes[n].leaving {
			g.add("crm_event", "do_shutdown", "do_shutdown-"+n, n, "", `CRM_meta_op_no_wait="true"`, stops[n]...)
		}
	}
	s.n++
	out := fmt.Sprintf(`<transition_graph cluster-delay="60s" stonith-timeout="60s" failed-stop-offset="INFINITY" failed-start-offset="INFINITY" transition_id="%d">%s</transition_graph>`, s.n-1, g.xml.String())
	return &penginev1.ScheduleResponse{Ref: r.Ref, Graph: []byte(out), TransitionId: int64(s.n - 1), InputFile: fmt.Sprintf("pe-input-%d.bz2", s.n-1)}, nil
}
