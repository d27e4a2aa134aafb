// Package alert says which alert agents an event concerns and what they are
// told (execution 16). It decides, and calls nothing: crmd (nodes, fencing,
// resources) and attrd (attributes) give the calls to lrmd, which runs them.
package alert

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"linuxha/internal/ocftext"
)

// Kind of an event.
type Kind string

// The kinds of events (execution 16.2).
const (
	Node      Kind = "node"
	Fencing   Kind = "fencing"
	Resource  Kind = "resource"
	Attribute Kind = "attribute"
)

// Event is something that alert agents may hear of. Node is the node that it
// concerns, for fencing the target. Which other fields count depends on Kind.
type Event struct {
	Kind   Kind
	Node   string
	NodeID string // node, attribute

	Desc string // node: "member", "lost"; fencing: FencingText; resource: made from RC and Status if empty
	Task string // fencing: "st_notify_fence"; resource: the action
	RC   int    // fencing: 0 or a negative error; resource: OCF code

	Rsc      string
	Interval time.Duration
	TargetRC int
	Status   int           // execution status (execution 6.5)
	ExecTime time.Duration // how long the agent took
	Timeout  time.Duration // stands for ExecTime where that is unknown and the status is a timeout

	Name, Value string // attribute
}

// statusTimeout is the execution status of an operation that timed out.
const statusTimeout = 2

// Call is one call of an alert agent.
type Call struct {
	ID, Path string
	Timeout  time.Duration
	Env      map[string]string
}

// Calls lists the calls for an event, in the order of the configuration.
// version is the cluster software's, now the instant that all of them tell.
func (c Config) Calls(ev Event, version string, now time.Time) []Call {
	var calls []Call
	var vars map[string]string
	for _, t := range c.targets {
		if !t.wants(ev) {
			continue
		}
		if vars == nil {
			vars = variables(ev)
		}
		calls = append(calls, t.call(vars, version, now))
	}
	return calls
}

func (t target) wants(ev Event) bool {
	if !t.kinds[ev.Kind] {
		return false
	}
	return ev.Kind != Attribute || len(t.attributes) == 0 || slices.Contains(t.attributes, ev.Name)
}

func (t target) call(vars map[string]string, version string, now time.Time) Call {
	s := t.settings(now)
	env := make(map[string]string, 2*len(vars)+16)
	set := func(name, value string) {
		env["CRM_alert_"+name], env["CRM_notify_"+name] = value, value
	}
	for name, value := range vars {
		set(name, value)
	}
	set("version", version)
	set("recipient", t.recipient)
	set("timestamp", FormatTime(s.format, now))
	set("timestamp_epoch", strconv.FormatInt(now.Unix(), 10))
	set("timestamp_usec", fmt.Sprintf("%06d", now.Nanosecond()/1000))
	for name, value := range s.params { // last: they may replace what was made here
		env[name] = value
	}
	return Call{ID: t.id, Path: t.path, Timeout: s.timeout, Env: env}
}

// variables are those of execution 16.3 that depend on the event alone.
func variables(ev Event) map[string]string {
	v := map[string]string{"kind": string(ev.Kind), "node": ev.Node}
	switch ev.Kind {
	case Node:
		v["nodeid"], v["desc"] = ev.NodeID, ev.Desc
	case Fencing:
		v["desc"], v["task"], v["rc"] = ev.Desc, ev.Task, strconv.Itoa(ev.RC)
	case Resource:
		if v["desc"] = ev.Desc; ev.Desc == "" {
			v["desc"] = resultText(ev)
		}
		took := ev.ExecTime
		if took == 0 && ev.Status == statusTimeout {
			took = ev.Timeout
		}
		v["rsc"], v["task"] = ev.Rsc, ev.Task
		v["interval"] = strconv.FormatInt(ev.Interval.Milliseconds(), 10)
		v["rc"], v["target_rc"], v["status"] = strconv.Itoa(ev.RC), strconv.Itoa(ev.TargetRC), strconv.Itoa(ev.Status)
		v["exec_time"] = strconv.FormatInt(took.Milliseconds(), 10)
	case Attribute:
		v["nodeid"], v["attribute_name"], v["attribute_value"] = ev.NodeID, ev.Name, ev.Value
	}
	return v
}

// resultText is the OCF code's word, or the status's where no code counts.
func resultText(ev Event) string {
	if ev.Status == 0 {
		return ocftext.Code(strconv.Itoa(ev.RC))
	}
	return ocftext.Status(strconv.Itoa(ev.Status))
}

// FencingText describes a fencing operation's end; status is empty for
// success, else the text of its execution status.
func FencingText(action, target, executioner, client, origin, status, reason, id string) string {
	if executioner == "" {
		executioner = "<no-one>"
	}
	if status == "" {
		status = "OK"
	}
	if reason != "" {
		reason = " (" + reason + ")"
	}
	return fmt.Sprintf("Operation %s of %s by %s for %s@%s: %s%s (ref=%s)", action, target, executioner, client, origin, status, reason, id)
}
