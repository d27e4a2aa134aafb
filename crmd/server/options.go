package server

import (
	"runtime"
	"strconv"
	"time"

	"linuxha/cib/cibdoc"
	"linuxha/crmd/election"
	"linuxha/crmd/te"
	"linuxha/internal/cibclient"
	"linuxha/internal/clusteropt"
	"linuxha/internal/interval"
)

// options are the cluster properties that the controller itself obeys.
type options struct {
	dcDeadtime         time.Duration
	recheck            time.Duration
	shutdownEscalation time.Duration
	transitionDelay    time.Duration
	integration        time.Duration // of a join
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
	o.dcDeadtime = o.time("dc-deadtime")
	o.recheck = o.time("cluster-recheck-interval")
	o.shutdownEscalation = o.time("shutdown-escalation")
	o.transitionDelay = o.time("transition-delay", "crmd-transition-delay")
	o.integration = o.time("join-integration-timeout", "crmd-integration-timeout")
	if o.nodeLimit = o.count("node-action-limit"); o.nodeLimit == 0 {
		o.nodeLimit = 2 * runtime.NumCPU()
	}
	o.maxAttempts = o.count("stonith-max-attempts")
	o.fenceReaction = missing("fence-reaction")
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

// missing is an option's default.
func missing(name string) string { return clusteropt.Controller.Find(name).Default }

// time is an option of this name or one that it had before; its default where
// none is set to a time.
func (o *options) time(name string, before ...string) time.Duration {
	for _, n := range append([]string{name}, before...) {
		if d, ok := interval.Parse(o.values[n].value); ok {
			return d
		}
	}
	d, _ := interval.Parse(missing(name)) // a test reads all
	return d
}

// count is an option that is a number above 0; its default where it is not.
func (o *options) count(name string) int {
	if n, err := strconv.Atoi(o.values[name].value); err == nil && n > 0 {
		return n
	}
	n, _ := strconv.Atoi(missing(name)) // a test reads all
	return n
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
	for _, n := range cibdoc.Children(doc.Section("nodes"), "node") {
		s.nodeNames[n.ID()] = n.Attr("uname")
	}
	if s.el != nil && s.el.Local() && s.reign.begun {
		// A tool may have replaced what the DC keeps there (crm 9.7).
		s.takeoverProperties()
		s.writeNodes()
	}
}
