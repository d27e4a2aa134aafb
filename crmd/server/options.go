package server

import (
	"runtime"
	"strconv"
	"time"

	"linuxha/cib/cibdoc"
	"linuxha/crmd/election"
	"linuxha/crmd/te"
	"linuxha/internal/cibclient"
	"linuxha/internal/graph"
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

func readOptions(crmConfig *cibdoc.Node) options {
	o := options{values: map[string]property{}}
	if crmConfig != nil {
		for set := range crmConfig.Elements() {
			set.Walk(func(_ cibdoc.Path, n *cibdoc.Node) bool {
				if n.IsElement() && n.Tag == "nvpair" {
					name := n.Attr("name")
					// The set that installers write goes first; else the first one found.
					if _, have := o.values[name]; !have || set.ID() == "cib-bootstrap-options" {
						o.values[name] = property{set.ID(), n.ID(), n.Attr("value")}
					}
				}
				return true
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

// takeConfiguration takes up what a step of the CIB changed of what the
// controller needs.
func (s *Server) takeConfiguration(step cibclient.Step) {
	if step.Changed("alerts") {
		s.readAlerts(step.New.Section("alerts"))
	}
	if step.Changed("crm_config", "nodes") {
		s.takeOptions(step.New)
	}
}

func (s *Server) takeOptions(doc *cibdoc.Doc) {
	s.options = readOptions(doc.Section("crm_config"))
	if s.optionsRead = true; s.el != nil {
		s.stepElection(election.Configured{DCDeadtime: s.options.dcDeadtime})
	}
	s.stepTE(s.options.engine())
	s.nodeType = ""
	if doc.Root().Attr("validate-with") == "pacemaker-1.0" {
		s.nodeType = ` type="member"` // without it that schema has no nodes (cib 9.2)
	}
	s.nodeNames = map[string]string{}
	for _, n := range children(doc.Section("nodes"), "node") {
		s.nodeNames[n.ID()] = n.Attr("uname")
	}
	if s.el != nil && s.el.Local() && s.reign.begun {
		// A tool may have replaced what the DC keeps there (crm 9.7).
		s.takeoverProperties()
		s.writeNodes()
	}
}
