package state

import (
	"strconv"
	"strings"

	"linuxha/pengine/internal/value"
	"linuxha/pengine/internal/xmldoc"
	"linuxha/pengine/rules"
)

// OpConf is a configured operation.
type OpConf struct {
	XML      *xmldoc.Elem
	ID, Name string
	Interval int64
	Enabled  bool
	suffix   string // NAME_INTERVAL, what an action key ends in
}

// readOps lists the configured operations (state 7.1).
func (c *Cluster) readOps(r *Resource) {
	ops := r.XML.Child("operations")
	if ops == nil {
		return
	}
	if ops = c.Rules.Expand(ops); ops == nil {
		return
	}
	for x := range ops.Children("op") {
		o := &OpConf{XML: x, ID: x.ID(), Name: x.Attr("name"), Enabled: true}
		o.Interval, _ = value.Interval(x.Attr("interval"))
		if v, ok := x.Get("enabled"); ok && value.Falsy(v) {
			o.Enabled = false
		}
		o.suffix = o.Name + "_" + strconv.FormatInt(o.Interval, 10)
		r.Ops = append(r.Ops, o)
	}
}

// Key builds an operation key (state 1.10).
func Key(id, task string, interval int64) string {
	return id + "_" + task + "_" + strconv.FormatInt(interval, 10)
}

// keySuffix returns what follows "ID_" in an action key.
func keySuffix(key, id string) (string, bool) {
	if id == "" || len(key) <= len(id) || key[len(id)] != '_' || !strings.EqualFold(key[:len(id)], id) {
		return "", false
	}
	return key[len(id)+1:], true
}

// FindOp finds the configured operation for an action key (state 7.1).
func (r *Resource) FindOp(key string, includeDisabled bool) *OpConf {
	for range 2 {
		suffix, ok1 := keySuffix(key, r.ID)
		histSuffix, ok2 := keySuffix(key, r.HistName)
		if !ok1 && !ok2 {
			return nil
		}
		for _, o := range r.Ops {
			if !o.Enabled && !includeDisabled {
				continue
			}
			if ok1 && strings.EqualFold(o.suffix, suffix) || ok2 && strings.EqualFold(o.suffix, histSuffix) {
				return o
			}
		}
		switch {
		case strings.Contains(key, "migrate_to") || strings.Contains(key, "migrate_from"):
			key = r.ID + "_migrate_0"
		case strings.Contains(key, "_notify_"):
			key = r.ID + "_notify_0"
		default:
			return nil
		}
	}
	return nil
}

// KeyInterval is the number after the last underscore of a key.
func KeyInterval(key string) int64 {
	i := strings.LastIndexByte(key, '_')
	n, err := strconv.ParseInt(key[i+1:], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// minRecurringMonitor is the enabled monitor with the smallest interval.
func (r *Resource) minRecurringMonitor() *OpConf {
	var best *OpConf
	for _, o := range r.Ops {
		if o.Enabled && o.Interval > 0 && o.Name == "monitor" && (best == nil || o.Interval < best.Interval) {
			best = o
		}
	}
	return best
}

// opMeta builds the meta-attributes of an operation (state 7.3) and decides
// what a failure means (state 7.5).
func (c *Cluster) opMeta(a *Action) {
	r, m := a.Rsc, Attrs{}
	a.Meta = m
	a.Interval = KeyInterval(a.Key)
	s := r.Subject()
	s.Op = &rules.Op{Name: a.Task, Interval: a.Interval}
	probe := a.Task == "monitor" && a.Interval == 0
	c.Rules.Unpack(c.sections["op_defaults"], "meta_attributes", m, "", false, s)
	if probe {
		if o := r.minRecurringMonitor(); o != nil {
			if t, ok := o.XML.Get("timeout"); ok {
				m["timeout"] = t
			}
		}
	}
	if a.Op != nil {
		c.Rules.Unpack(a.Op.XML, "meta_attributes", m, "", true, s)
		for name, v := range a.Op.XML.Attrs() {
			m[name] = v
		}
	}
	delete(m, "id")
	delete(m, "interval")
	if a.Interval > 0 {
		m["interval"] = strconv.FormatInt(a.Interval, 10)
	}
	if r.FenceDevice && (a.Task == "start" || probe) {
		if t, ok := c.Params(r, a.Node).Get("pcmk_monitor_timeout"); ok {
			m["timeout"] = t
		}
	}
	m["timeout"] = timeoutText(m.Get("timeout"))
	c.onFail(a)
	c.startDelay(a)
}

// timeoutText is a configured timeout in ms, or the default (state 7.3).
func timeoutText(v string, configured bool) string {
	if configured {
		if ms, ok := value.Msec(v); ok && ms >= 0 {
			return strconv.FormatInt(ms, 10)
		}
	}
	return "20000"
}

func (c *Cluster) startDelay(a *Action) {
	if v, ok := a.Meta.Get("start-delay"); ok {
		ms, ok := value.Msec(v)
		if !ok || ms < 0 {
			ms = 0
		}
		a.Meta["start-delay"] = strconv.FormatInt(ms, 10)
		return
	}
	v, ok := a.Meta.Get("interval-origin")
	if !ok || a.Interval <= 0 {
		return
	}
	origin, ok := c.Rules.Real(v)
	if !ok {
		return
	}
	sec := a.Interval / 1000
	if sec == 0 {
		return
	}
	c.Volatile()
	r := (c.NowUnix - origin.Unix()) % sec
	delay := -r
	if r > 0 {
		delay = sec - r
	}
	a.Meta["start-delay"] = strconv.FormatInt(delay*1000, 10)
}

func isPromotedRole(s string) bool { return ParseRole(s) == Promoted }

// onFail decides a.OnFail and a.FailRole (state 7.5).
func (c *Cluster) onFail(a *Action) {
	r := a.Rsc
	val, set := a.Meta.Get("on-fail")
	val = strings.ToLower(val)
	switch a.Task {
	case "stop":
		if val == "standby" || val == "demote" || val == "stop" {
			set = false
		}
	case "demote":
		if !set {
			for _, o := range r.Ops {
				if o.Name != "monitor" || !o.Enabled || o.Interval <= 0 || !isPromotedRole(o.XML.Attr("role")) {
					continue
				}
				if v, ok := o.XML.Get("on-fail"); ok && !strings.EqualFold(v, "demote") {
					val, set = strings.ToLower(v), true
					break
				}
			}
		}
	case "lrm_delete":
		val, set = "ignore", true
	}
	if set && val == "demote" {
		op := ""
		role := ""
		if a.Op != nil {
			op, role = a.Op.Name, a.Op.XML.Attr("role")
		}
		if op != "promote" && !(op == "monitor" && isPromotedRole(role) && a.Interval != 0) {
			set = false
		}
	}
	role := Unknown
	if set {
		switch val {
		case "block":
			a.OnFail = FailBlock
			a.Meta["on-fail"] = "block"
		case "fence":
			a.OnFail = FailFence
			if !c.Opts.Stonith {
				a.OnFail, role = FailStop, Stopped
			}
		case "standby":
			a.OnFail = FailStandby
		case "ignore", "nothing":
			a.OnFail = FailIgnore
		case "migrate":
			a.OnFail = FailMigrate
		case "stop":
			a.OnFail, role = FailStop, Stopped
		case "restart":
			a.OnFail = FailRecover
		case "restart-container":
			if r.Container != nil {
				a.OnFail = FailRestartContainer
			} else {
				set = false
			}
		case "demote":
			a.OnFail = FailDemote
		default:
			set = false
		}
	}
	probe := a.Task == "monitor" && a.Interval == 0
	switch {
	case !set && r.Container != nil:
		a.OnFail = FailRestartContainer
	case r.IsRemoteConn && !r.IsGuestConn() && (!set || !r.Managed) && !probe && a.Task != "start":
		if !r.Managed {
			a.OnFail, role = FailStop, Stopped
		} else {
			a.OnFail = FailResetRemote
			if r.ReconnectMS > 0 {
				role = Stopped
			}
		}
	case !set && a.Task == "stop":
		if c.Opts.Stonith {
			a.OnFail = FailFence
		} else {
			a.OnFail = FailBlock
		}
	case !set:
		a.OnFail = FailRecover
	}
	if role == Unknown && a.Op != nil {
		v, ok := a.Meta.Get("role_after_failure")
		if ok {
			role = ParseRole(v)
		}
	}
	if role == Unknown {
		role = Started
		if a.Task == "promote" {
			role = Unpromoted
		}
	}
	a.FailRole = role
}
