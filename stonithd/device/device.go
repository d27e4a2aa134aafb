// Package device decides what the fencing devices of one node can do and runs
// their actions in order: which targets a device is able to fence, what an
// agent is told, delays, retries, limits on parallel runs.
//
// Core is a state machine without I/O: agents are run by the fencer's server
// (through stonithd/plugin), which feeds their results back. The choice among
// several nodes and devices is not made here but in stonithd/request.
package device

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"linuxha/internal/interval"
)

// Device is a fencing device as configured.
type Device struct {
	ID        string
	Agent     string // "fence_ipmilan", "external/ssh"
	Namespace string
	Params    map[string]string
	Unfencing bool // meta-attribute provides=unfencing
	FromCIB   bool
	FromAPI   bool
}

// Param is one line of an agent's input.
type Param struct{ Name, Value string }

// equal ignores what does not reach the agent (execution 33.2).
func (d Device) equal(o Device) bool {
	return strings.EqualFold(d.Agent, o.Agent) && d.Namespace == o.Namespace && d.Unfencing == o.Unfencing &&
		maps.Equal(meaningful(d.Params), meaningful(o.Params))
}

func meaningful(p map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range p {
		if !strings.Contains(k, "CRM_meta") && k != "crm_feature_set" {
			out[k] = v
		}
	}
	return out
}

// normalize applies execution 31.4: a configured `action` is never passed on.
func (d Device) normalize() Device {
	action, ok := d.Params["action"]
	if !ok {
		return d
	}
	p := maps.Clone(d.Params)
	delete(p, "action")
	set := func(name string) {
		if p[name] == "" {
			p[name] = action
		}
	}
	switch action {
	case "", "reboot":
	case "off":
		set("pcmk_reboot_action")
	default:
		set("pcmk_off_action")
		set("pcmk_reboot_action")
	}
	d.Params = p
	return d
}

// Command is what the agent is told for an action (execution 31.1).
func (d Device) Command(action string) string {
	if w := d.Params["pcmk_"+action+"_action"]; w != "" {
		return w
	}
	return action
}

// Timeout is the configured limit for an action: a plain leading number of
// seconds, whatever unit follows (execution 32). 0: none configured.
func (d Device) Timeout(action string) time.Duration {
	n, _ := leadingInt(d.Params["pcmk_"+action+"_timeout"])
	return time.Duration(max(n, 0)) * time.Second
}

// Tries is how often an action is attempted in all (execution 31.5).
func (d Device) Tries(action string) int {
	n, ok := leadingInt(d.Params["pcmk_"+action+"_retries"])
	if !ok {
		return 2
	}
	return max(n, 1)
}

// Limit is how many actions may run in parallel; negative: any number.
func (d Device) Limit() int {
	n, ok := leadingInt(d.Params["pcmk_action_limit"])
	if !ok || n == 0 {
		return 1
	}
	return n
}

func leadingInt(s string) (int, bool) {
	s = strings.TrimSpace(s)
	n := 0
	if n < len(s) && (s[n] == '-' || s[n] == '+') {
		n++
	}
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	v, err := strconv.Atoi(s[:n])
	return v, err == nil
}

// DelayBase is the fixed delay for a target; a map's entry must name the
// target exactly, ignoring case (execution 35.3).
func (d Device) DelayBase(target string) time.Duration {
	text := d.Params["pcmk_delay_base"]
	if !strings.Contains(text, ":") {
		return seconds(text)
	}
	for _, entry := range strings.FieldsFunc(text, func(r rune) bool { return r == ';' || r == ' ' || r == '\t' }) {
		if name, t, ok := strings.Cut(entry, ":"); ok && strings.EqualFold(name, target) {
			return seconds(t)
		}
	}
	return 0
}

// DelayMax is the upper bound of base and random delay together.
func (d Device) DelayMax(target string) time.Duration {
	if m := seconds(d.Params["pcmk_delay_max"]); m > 0 {
		return m
	}
	return d.DelayBase(target)
}

// Delay is how long an off or reboot waits before it runs: requested plus
// base plus a random part; a negative request means none at all.
func (d Device) Delay(target string, requested time.Duration, random uint64) time.Duration {
	if requested < 0 {
		return 0
	}
	limit := d.DelayMax(target)
	base := min(d.DelayBase(target), limit)
	if span := uint64((limit - base) / time.Second); span > 0 {
		base += time.Duration(random%span) * time.Second
	}
	return requested + base
}

func seconds(text string) time.Duration {
	v, ok := interval.Parse(text)
	if !ok || v < 0 {
		return 0
	}
	return v.Truncate(time.Second)
}

// Input is what the agent gets (execution 31): the action, the target under
// all its names, then the configuration, which wins.
func (d Device) Input(info Info, action, target, nodeID string) []Param {
	in := []Param{{"action", d.Command(action)}}
	host := d.hostParam(info)
	if target != "" {
		in = append(in, Param{"nodename", target})
		if _, set := d.Params["nodeid"]; nodeID != "" && info.Params["nodeid"] && !set {
			in = append(in, Param{"nodeid", nodeID})
		}
		if v, set := d.Params[host]; host != "" && (!set || strings.EqualFold(v, "dynamic")) {
			in = append(in, Param{host, d.Port(target)})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.Params)) {
		v := d.Params[name]
		if !passed(name) || name == host && strings.EqualFold(v, "dynamic") {
			continue // "dynamic" stands for the target's name, sent above
		}
		in = append(in, Param{name, v})
	}
	return in
}

// Port is the target's name at the device (pcmk_host_map).
func (d Device) Port(target string) string {
	m, _ := ParseHostMap(d.Params["pcmk_host_map"])
	if p, ok := m[strings.ToLower(target)]; ok {
		return p
	}
	return target
}

func (d Device) hostParam(info Info) string {
	switch name := d.Params["pcmk_host_argument"]; {
	case info.NoHostParam || strings.EqualFold(name, "none"):
		return ""
	case name != "":
		return name
	case !info.Params["port"] && info.Params["plug"]:
		return "plug"
	}
	return "port"
}

// passed: the fencer's own parameters do not reach the agent (execution 31.1).
func passed(name string) bool {
	switch name {
	case "action", "provides", "stonith-timeout", "crm_feature_set", "pcmk_host_argument", "pcmk_host_map",
		"pcmk_host_list", "pcmk_host_check", "pcmk_delay_base", "pcmk_delay_max", "pcmk_action_limit":
		return false
	}
	if strings.Contains(name, "CRM_meta") {
		return false
	}
	if strings.HasPrefix(name, "pcmk_") {
		for _, suffix := range []string{"_action", "_timeout", "_retries"} {
			if strings.HasSuffix(name, suffix) {
				return false
			}
		}
	}
	return true
}

// checkType is how the device's targets are found out (execution 34.1).
func (d Device) checkType(info Info, listFailed bool) string {
	switch check := d.Params["pcmk_host_check"]; {
	case check != "":
		return check
	case d.Params["pcmk_host_list"] != "" || d.Params["pcmk_host_map"] != "":
		return checkStatic
	case info.Supports("list") && !listFailed:
		return checkDynamic
	case info.Supports("status"):
		return checkStatus
	}
	return checkNone
}

const (
	checkStatic  = "static-list"
	checkDynamic = "dynamic-list"
	checkStatus  = "status"
	checkNone    = "none"
)

// staticTargets are the names that a static-list device can fence.
func (d Device) staticTargets() []string {
	targets := ParseTargets(d.Params["pcmk_host_list"])
	m, ports := ParseHostMap(d.Params["pcmk_host_map"])
	return slices.Concat(targets, slices.Sorted(maps.Keys(m)), ports)
}
