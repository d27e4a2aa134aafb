package server

import (
	"context"
	"runtime"
	"strconv"
	"time"

	"google.golang.org/grpc"

	"linuxha/crmd/election"
	"linuxha/crmd/te"
	"linuxha/internal/graph"
	cibv1 "linuxha/proto/cib/v1"
)

// options are the cluster properties that the controller itself obeys.
type options struct {
	dcDeadtime         time.Duration
	recheck            time.Duration
	shutdownEscalation time.Duration
	transitionDelay    time.Duration
	nodeLimit          int
	maxAttempts        int    // fencing failures of one target before it is given up
	fenceReaction      string // "stop" or "panic"
	values             map[string]property
}

// property is a cluster option as the configuration has it.
type property struct{ set, id, value string }

func readOptions(crmConfig *tree) options {
	o := options{values: map[string]property{}}
	if crmConfig != nil {
		for i := range crmConfig.Children {
			set := &crmConfig.Children[i]
			set.walk(func(t *tree) {
				if t.name() != "nvpair" {
					return
				}
				name := t.attr("name")
				// The set that installers write goes first; else the first one found.
				if _, have := o.values[name]; !have || set.attr("id") == "cib-bootstrap-options" {
					o.values[name] = property{set.attr("id"), t.attr("id"), t.attr("value")}
				}
			})
		}
	}
	o.dcDeadtime = o.interval(20*time.Second, "dc-deadtime")
	o.recheck = o.interval(15*time.Minute, "cluster-recheck-interval")
	o.shutdownEscalation = o.interval(20*time.Minute, "shutdown-escalation")
	o.transitionDelay = o.interval(0, "transition-delay", "crmd-transition-delay")
	o.nodeLimit = 2 * runtime.NumCPU()
	if n, err := strconv.Atoi(o.values["node-action-limit"].value); err == nil && n > 0 {
		o.nodeLimit = n
	}
	o.maxAttempts = 10
	if n, err := strconv.Atoi(o.values["stonith-max-attempts"].value); err == nil && n > 0 {
		o.maxAttempts = n
	}
	o.fenceReaction = "stop"
	if o.values["fence-reaction"].value == "panic" {
		o.fenceReaction = "panic"
	}
	return o
}

// engine are the options of the transition engine.
func (o *options) engine() te.Options {
	return te.Options{
		TransitionDelay: o.transitionDelay, Recheck: o.recheck, NodeLimit: o.nodeLimit, MaxAttempts: o.maxAttempts,
	}
}

func (o *options) interval(missing time.Duration, names ...string) time.Duration {
	for _, n := range names {
		if d, ok := graph.Interval(o.values[n].value); ok {
			return d
		}
	}
	return missing
}

// readDocument takes up what the controller needs of a whole CIB.
func (s *Server) readDocument(doc []byte) {
	t, err := parseTree(doc)
	if err != nil {
		s.log.Error("CIB cannot be read", "err", err)
		return
	}
	s.readAlerts(doc)
	s.takeOptions(t.child("configuration"))
}

func (s *Server) takeOptions(configuration *tree) {
	s.options = readOptions(configuration.child("crm_config"))
	if s.optionsRead = true; s.el != nil {
		s.stepElection(election.Configured{DCDeadtime: s.options.dcDeadtime})
	}
	s.stepTE(s.options.engine())
	s.nodeNames = map[string]string{}
	if nodes := configuration.child("nodes"); nodes != nil {
		for i := range nodes.Children {
			s.nodeNames[nodes.Children[i].attr("id")] = nodes.Children[i].attr("uname")
		}
	}
	if s.el != nil && s.el.Local() && s.reign.begun {
		// A tool may have replaced what the DC keeps there (crm 9.7).
		s.takeoverProperties()
		s.writeNodes()
	}
}

// loadOptions reads the configuration again after a change of it.
func (s *Server) loadOptions() {
	go func() {
		ctx, cancel := context.WithTimeout(s.ctx, 30*time.Second)
		defer cancel()
		resp, err := s.cib.Query(ctx, &cibv1.QueryRequest{Section: "configuration"}, grpc.WaitForReady(true))
		if err != nil || resp.Rc != 0 {
			s.log.Warn("cluster options cannot be read", "err", err, "reason", resp.GetError())
			return
		}
		t, err := parseTree(resp.Xml)
		if err != nil {
			s.log.Error("cluster options cannot be read", "err", err)
			return
		}
		s.post(func() { s.readAlerts(resp.Xml); s.takeOptions(t) })
	}()
}
