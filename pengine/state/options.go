package state

import (
	"strings"

	"linuxha/internal/clusteropt"
	"linuxha/pengine/internal/value"
)

// QuorumPolicy is what to do without quorum (state 4.3).
type QuorumPolicy int8

// The policies.
const (
	QuorumStop QuorumPolicy = iota
	QuorumFreeze
	QuorumIgnore
	QuorumDemote
	QuorumSuicide
)

// Options are the cluster options that the scheduler knows, checked and with
// defaults (state 4.2).
type Options struct {
	ClusterName       string
	HasClusterName    bool
	NoQuorum          QuorumPolicy
	Symmetric         bool
	MaintenanceMode   bool
	StartFailureFatal bool
	StartupProbes     bool
	ShutdownLock      bool
	ShutdownLockLimit int64 // seconds
	Stonith           bool
	StonithAction     string
	StonithTimeout    string
	HaveWatchdog      bool
	ConcurrentFencing bool
	StartupFencing    bool
	PriorityDelay     int64 // seconds
	ClusterDelay      string
	BatchLimit        string
	MigrationLimit    string
	StopAll           bool
	StopOrphans       bool
	StopOrphanActions bool
	RemoveAfterStop   bool
	HealthStrategy    string
	HealthBase        int
	Placement         string
	Raw               Attrs // every option as configured or defaulted
}

type optionKind int8

const (
	optBool optionKind = iota
	optInterval
	optNumber
	optChoice
	optExact
)

// optionKinds says how the scheduler reads its options; their defaults and
// choices are what they are described with.
var optionKinds = map[string]optionKind{
	"no-quorum-policy":       optChoice,
	"symmetric-cluster":      optBool,
	"maintenance-mode":       optBool,
	"start-failure-is-fatal": optBool,
	"enable-startup-probes":  optBool,
	"shutdown-lock":          optBool,
	"shutdown-lock-limit":    optInterval,
	"stonith-enabled":        optBool,
	"stonith-action":         optExact,
	"stonith-timeout":        optInterval,
	"have-watchdog":          optBool,
	"concurrent-fencing":     optBool,
	"startup-fencing":        optBool,
	"priority-fencing-delay": optInterval,
	"cluster-delay":          optInterval,
	"batch-limit":            optNumber,
	"migration-limit":        optNumber,
	"stop-all-resources":     optBool,
	"stop-orphan-resources":  optBool,
	"stop-orphan-actions":    optBool,
	"remove-after-stop":      optBool,
	"pe-error-series-max":    optNumber,
	"pe-warn-series-max":     optNumber,
	"pe-input-series-max":    optNumber,
	"node-health-strategy":   optChoice,
	"node-health-base":       optNumber,
	"node-health-green":      optNumber,
	"node-health-yellow":     optNumber,
	"node-health-red":        optNumber,
	"placement-strategy":     optChoice,
}

func validOption(kind optionKind, choices []string, v string) bool {
	switch kind {
	case optBool:
		_, ok := value.Bool(v)
		return ok
	case optInterval:
		_, ok := value.Interval(v)
		return ok
	case optNumber:
		switch v {
		case "INFINITY", "+INFINITY", "-INFINITY":
			return true
		}
		_, ok := value.LeadingInt(v)
		return ok
	}
	for _, w := range choices {
		if v == w || kind == optChoice && strings.EqualFold(v, w) {
			return true
		}
	}
	return false
}

// readOptions reads crm_config (state 4).
func (c *Cluster) readOptions() {
	raw := Attrs{}
	c.Rules.Unpack(c.sections["crm_config"], "cluster_property_set", raw, "cib-bootstrap-options", false, noSubject)
	for _, o := range clusteropt.Scheduler.Options {
		v, ok := raw[o.Name]
		if ok && !validOption(optionKinds[o.Name], o.Values, v) {
			c.Notef(Warning, "using default value '"+o.Default+"' for cluster option '"+o.Name+"' because '"+v+"' is invalid")
			ok = false
		}
		if !ok {
			raw[o.Name] = o.Default
		}
	}
	on := func(name string) bool { return value.Truthy(raw[name]) }
	seconds := func(name string) int64 { ms, _ := value.Interval(raw[name]); return ms / 1000 }
	o := &c.Opts
	o.Raw = raw
	o.ClusterName, o.HasClusterName = raw.Get("cluster-name")
	o.Symmetric = on("symmetric-cluster")
	o.MaintenanceMode = on("maintenance-mode")
	o.StartFailureFatal = on("start-failure-is-fatal")
	o.StartupProbes = on("enable-startup-probes")
	if o.ShutdownLock = on("shutdown-lock"); o.ShutdownLock {
		o.ShutdownLockLimit = seconds("shutdown-lock-limit")
	}
	o.Stonith = on("stonith-enabled")
	if o.StonithAction = raw["stonith-action"]; o.StonithAction == "poweroff" {
		o.StonithAction = "off"
	}
	o.StonithTimeout = raw["stonith-timeout"]
	o.HaveWatchdog = on("have-watchdog")
	o.ConcurrentFencing = on("concurrent-fencing")
	o.StartupFencing = o.Stonith && on("startup-fencing")
	o.PriorityDelay = seconds("priority-fencing-delay")
	o.ClusterDelay = raw["cluster-delay"]
	o.BatchLimit = raw["batch-limit"]
	o.MigrationLimit = raw["migration-limit"]
	o.StopAll = on("stop-all-resources")
	o.StopOrphans = on("stop-orphan-resources")
	o.StopOrphanActions = on("stop-orphan-actions")
	o.RemoveAfterStop = on("remove-after-stop")
	o.HealthStrategy = strings.ToLower(raw["node-health-strategy"])
	o.Placement = strings.ToLower(raw["placement-strategy"])
	switch strings.ToLower(raw["no-quorum-policy"]) {
	case "ignore":
		o.NoQuorum = QuorumIgnore
	case "freeze":
		o.NoQuorum = QuorumFreeze
	case "demote":
		o.NoQuorum = QuorumDemote
	case "suicide":
		panicked := 0
		if v, ok := c.Root.Get("no-quorum-panic"); ok {
			panicked = value.Int(v)
		}
		switch {
		case !o.Stonith:
			c.Note(Error, "unpack_config", "Resetting no-quorum-policy to 'stop' because fencing is disabled")
		case panicked != 0 || c.Quorum:
			o.NoQuorum = QuorumSuicide
			c.Why.Log(Notice, "unpack_config", "On loss of quorum: Fence all remaining nodes")
		default:
			c.Why.Log(Notice, "unpack_config", "Resetting no-quorum-policy to 'stop': cluster has never had quorum")
		}
	}
	c.HaveFenceDevice = o.HaveWatchdog
	c.readHealth(raw)
	if o.NoQuorum == QuorumIgnore {
		c.Why.Log(Notice, "unpack_config", "On loss of quorum: Ignore")
	}
	if !c.Quorum && o.NoQuorum != QuorumIgnore {
		defer c.Why.Log(Warning, "cluster_status", "Fencing and resource management disabled due to lack of quorum")
	}
	if !o.StartupFencing {
		c.Why.LogOnce(Warning, "unpack_config", "Blind faith: not fencing unseen nodes")
	}
}

// readHealth sets what the colour words mean (state 4.5).
func (c *Cluster) readHealth(raw Attrs) {
	switch c.Opts.HealthStrategy {
	case "migrate-on-red":
		c.Health.Red = -Infinity
	case "only-green":
		c.Health.Red, c.Health.Yellow = -Infinity, -Infinity
	case "progressive", "custom":
		none := &value.Health{}
		red, yellow, green := none.Score(raw["node-health-red"]), none.Score(raw["node-health-yellow"]), none.Score(raw["node-health-green"])
		c.Health.Red, c.Health.Yellow, c.Health.Green = red, yellow, green
	}
	if c.Opts.HealthStrategy == "progressive" {
		c.Opts.HealthBase = c.Health.Score(raw["node-health-base"])
	}
}

// EffectiveQuorumPolicy is the policy for an action of r (state 4.3); under
// demote it may lower r's next role.
func (c *Cluster) EffectiveQuorumPolicy(r *Resource) QuorumPolicy {
	if c.Quorum {
		return QuorumIgnore
	}
	if c.Opts.NoQuorum != QuorumDemote {
		return c.Opts.NoQuorum
	}
	switch r.Role {
	case Promoted, Unpromoted:
		if r.NextRole > Unpromoted {
			r.NextRole = Unpromoted
		}
		return QuorumIgnore
	}
	return QuorumStop
}
