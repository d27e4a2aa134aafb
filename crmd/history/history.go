// Package history is the operation history of one node (crm 4): which record a
// result becomes, with every attribute and digest that the scheduler and the
// tools read, and the node's own memory of it, which a join replays.
//
// It is pure: the controller's shell calls it with results of lrmd and writes
// what comes back into the CIB.
package history

import (
	"encoding/xml"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// Statuses of an operation (crm 4.6).
const (
	StatusPending      = -1
	StatusDone         = 0
	StatusCancelled    = 1
	StatusTimeout      = 2
	StatusNotSupported = 3
	StatusError        = 4
	StatusHardError    = 5
	StatusFatalError   = 6
	StatusNotInstalled = 7
	StatusNotConnected = 8
	StatusNotNow       = 9
	StatusNoFence      = 10
	StatusNoSecrets    = 11
)

// RCPending is the rc-code of an operation under way.
const RCPending = 193

// Resource is what lrm_resource says.
type Resource struct {
	ID, Class, Provider, Type, Container string
}

// Op is an operation under way or its result.
type Op struct {
	Resource   Resource
	Task       string
	IntervalMS int64
	Key        string // transition key
	CallID     int64
	RC         int
	Status     int
	Reason     string // kept in failed records only
	Params     map[string]string
	FeatureSet string // of the DC that ordered it
	OnNode     string // node whose controller ran it
	RCChange   int64  // epoch seconds (crm 4.4)
	ExecMS     int64
	QueueMS    int64
	Meta       *Metadata // nil: not known
}

// TargetRC is the expected result, from the key.
func (o *Op) TargetRC() int {
	parts := strings.SplitN(o.Key, ":", 4)
	if len(parts) < 4 {
		return 0
	}
	n, err := strconv.Atoi(parts[2])
	if err != nil {
		return 0
	}
	return n
}

// Recordable says whether results of a task are kept at all (crm 4.3).
func Recordable(task string) bool {
	switch task {
	case "cancel", "delete", "notify", "meta-data":
		return false
	}
	return true
}

// Failed is the rule of crm 4.7.
func (o *Op) Failed() bool {
	switch o.Status {
	case StatusPending, StatusCancelled:
		return false
	case StatusTimeout, StatusNotSupported, StatusError, StatusNotConnected, StatusNotNow, StatusNoFence, StatusNoSecrets:
		return true
	}
	return likeness(o.RC) != likeness(o.TargetRC())
}

func likeness(rc int) int {
	switch rc {
	case 190:
		return 0
	case 191:
		return 8
	}
	return rc
}

// Key is the operation's name, RSC_TASK_INTERVAL.
func Key(resource, task string, intervalMS int64) string {
	return resource + "_" + task + "_" + strconv.FormatInt(intervalMS, 10)
}

// Attr is one attribute of a record.
type Attr struct{ Name, Value string }

// Record is one lrm_rsc_op.
type Record struct {
	ID    string
	Attrs []Attr // in the order of crm 4.4
}

// Get returns an attribute's value.
func (r *Record) Get(name string) string {
	for _, a := range r.Attrs {
		if a.Name == name {
			return a.Value
		}
	}
	return ""
}

func (r *Record) set(name, value string) {
	for i := range r.Attrs {
		if r.Attrs[i].Name == name {
			r.Attrs[i].Value = value
			return
		}
	}
	r.Attrs = append(r.Attrs, Attr{name, value})
}

// Records returns what the operation is written as: one element, or two for a
// failure that is not recurring (crm 4.3).
func (o Op) Records(origin string) []Record {
	if o.Status == StatusError && (o.RC == 7 || o.RC == 8 || o.RC == 190 || o.RC == 191) {
		o.Status = StatusDone // the scheduler decides
	}
	failed := o.Failed()
	task := o.Task
	if task == "reload" || task == "reload-agent" {
		if task = "start"; failed {
			task = "monitor"
		}
	}
	key := Key(o.Resource.ID, task, o.IntervalMS)
	last := o.Resource.ID + "_last_0"
	var ids []string
	switch {
	case task == "migrate_to" || task == "migrate_from":
		ids = []string{key}
	case failed:
		ids = []string{o.Resource.ID + "_last_failure_0"}
		if o.IntervalMS == 0 {
			ids = append(ids, last)
		}
	case o.IntervalMS > 0:
		ids = []string{key}
	default:
		ids = []string{last}
	}
	var out []Record
	for _, id := range ids {
		r := Record{ID: id}
		r.set("operation_key", key)
		r.set("operation", task)
		r.set("crm-debug-origin", origin)
		r.set("crm_feature_set", o.FeatureSet)
		r.set("transition-key", o.Key)
		r.set("transition-magic", strconv.Itoa(o.Status)+":"+strconv.Itoa(o.RC)+";"+o.Key)
		reason := ""
		if failed {
			reason = o.Reason
		}
		r.set("exit-reason", reason)
		r.set("on_node", o.OnNode)
		r.set("call-id", strconv.FormatInt(o.CallID, 10))
		r.set("rc-code", strconv.Itoa(o.RC))
		r.set("op-status", strconv.Itoa(o.Status))
		r.set("interval", strconv.FormatInt(o.IntervalMS, 10))
		r.set("last-rc-change", strconv.FormatInt(o.RCChange, 10))
		r.set("exec-time", strconv.FormatInt(o.ExecMS, 10))
		r.set("queue-time", strconv.FormatInt(o.QueueMS, 10))
		if task == "migrate_to" || task == "migrate_from" {
			r.set("migrate_source", o.Params["CRM_meta_migrate_source"])
			r.set("migrate_target", o.Params["CRM_meta_migrate_target"])
		}
		r.set("op-digest", Digest(o.Params))
		if o.Meta != nil && NeedsMetadata(o.Resource.Class, o.Task) {
			o.Meta.lists(&r, o.Params, o.IntervalMS > 0)
		}
		out = append(out, r)
	}
	return out
}

// NeedsMetadata says whether a record of that class and task carries the
// restart and secure lists (crm 4.9).
func NeedsMetadata(class, task string) bool {
	switch class {
	case "ocf", "stonith", "nagios":
	default:
		return false
	}
	switch task {
	case "start", "monitor", "promote", "demote", "reload", "reload-agent", "migrate_to", "migrate_from":
		return true
	}
	return false
}

// Pending is the operation as it is recorded when handed to the executor.
func (o Op) Pending(now int64) Op {
	o.CallID, o.RC, o.Status = -1, RCPending, StatusPending
	o.RCChange, o.ExecMS, o.QueueMS, o.Reason = now, 0, 0, ""
	return o
}

// Memory is what a node knows of its own history. The zero value is empty.
type Memory struct {
	resources map[string]*entry
}

type entry struct {
	resource Resource
	records  map[string]Record
	params   map[string]string // of the last successful start, reload or probe: a stop uses them
}

func (m *Memory) entry(r Resource) *entry {
	if m.resources == nil {
		m.resources = map[string]*entry{}
	}
	e := m.resources[r.ID]
	if e == nil {
		e = &entry{records: map[string]Record{}}
		m.resources[r.ID] = e
	}
	e.resource = r
	return e
}

// Add takes an operation up and returns its records.
func (m *Memory) Add(o Op, origin string) []Record {
	recs := o.Records(origin)
	e := m.entry(o.Resource)
	if o.Status == StatusCancelled {
		delete(e.records, Key(o.Resource.ID, o.Task, o.IntervalMS))
		return nil
	}
	probe := o.Task == "monitor" && o.IntervalMS == 0
	if o.IntervalMS == 0 && !probe && o.Status != StatusPending {
		for id, r := range e.records {
			if r.Get("interval") != "0" && id != o.Resource.ID+"_last_failure_0" {
				delete(e.records, id)
			}
		}
	}
	for _, r := range recs {
		e.records[r.ID] = r
	}
	switch o.Task {
	case "start", "reload", "reload-agent":
		if o.Status == StatusDone && o.RC == 0 {
			e.params = o.Params
		}
	case "monitor":
		if probe && o.Status == StatusDone && (o.RC == 0 || o.RC == 8) {
			e.params = o.Params
		}
	}
	return recs
}

// StopParams returns the parameters with which a stop has to run: those of the
// last successful start, with the meta attributes of the request (crm 4.8).
func (m *Memory) StopParams(resource string, request map[string]string) map[string]string {
	e := m.resources[resource]
	if e == nil || e.params == nil {
		return request
	}
	out := map[string]string{}
	for n, v := range e.params {
		if !strings.HasPrefix(n, "CRM_meta_") {
			out[n] = v
		}
	}
	for n, v := range request {
		if strings.HasPrefix(n, "CRM_meta_") || n == "crm_feature_set" {
			out[n] = v
		}
	}
	return out
}

// Forget drops a resource.
func (m *Memory) Forget(resource string) { delete(m.resources, resource) }

// ForgetAll drops everything.
func (m *Memory) ForgetAll() { m.resources = nil }

// ForgetFailure drops the last failure if it is of that operation; it says
// whether there was one (crm 4.10).
func (m *Memory) ForgetFailure(resource, opKey string) bool {
	e := m.resources[resource]
	if e == nil {
		return false
	}
	id := resource + "_last_failure_0"
	r, ok := e.records[id]
	if !ok || opKey != "" && r.Get("operation_key") != opKey {
		return false
	}
	delete(e.records, id)
	return true
}

// Recurring lists the recurring operations recorded for a resource as keys.
func (m *Memory) Recurring(resource string) []string {
	var keys []string
	if e := m.resources[resource]; e != nil {
		for id, r := range e.records {
			if r.Get("interval") != "0" && id == r.Get("operation_key") {
				keys = append(keys, id)
			}
		}
	}
	sort.Strings(keys)
	return keys
}

// Resource returns what is known of a resource.
func (m *Memory) Resource(id string) (Resource, bool) {
	e := m.resources[id]
	if e == nil {
		return Resource{}, false
	}
	return e.resource, true
}

// Resources lists the ids of all resources known, sorted.
func (m *Memory) Resources() []string {
	var ids []string
	for id := range m.resources {
		ids = append(ids, id)
	}
	sort.Strings(ids)
	return ids
}

// LRM returns the complete history as the <lrm> element, for a join.
func (m *Memory) LRM(nodeID string) []byte {
	var rs []Update
	for _, id := range m.Resources() {
		e := m.resources[id]
		u := Update{Resource: e.resource}
		ids := make([]string, 0, len(e.records))
		for id := range e.records {
			ids = append(ids, id)
		}
		// Replay order: failure, last, recurring (crm 4.8).
		slices.SortFunc(ids, func(a, b string) int {
			if c := replayRank(a) - replayRank(b); c != 0 {
				return c
			}
			return strings.Compare(a, b)
		})
		for _, id := range ids {
			r := e.records[id]
			r.Attrs = slices.Clone(r.Attrs)
			r.set("crm-debug-origin", "build_active_RAs")
			u.Records = append(u.Records, r)
		}
		rs = append(rs, u)
	}
	var b strings.Builder
	writeLRM(&b, nodeID, rs)
	return []byte(b.String())
}

func replayRank(id string) int {
	switch {
	case strings.HasSuffix(id, "_last_failure_0"):
		return 0
	case strings.HasSuffix(id, "_last_0"):
		return 1
	}
	return 2
}

// Update is what changed of one resource.
type Update struct {
	Resource Resource
	Records  []Record
}

// NodeState wraps updates into the node_state that carries them into the CIB.
func NodeState(nodeID, uname, origin string, updates []Update) []byte {
	var b strings.Builder
	b.WriteString(`<node_state`)
	attr(&b, "id", nodeID)
	attr(&b, "uname", uname)
	attr(&b, "crm-debug-origin", origin)
	b.WriteString(`>`)
	writeLRM(&b, nodeID, updates)
	b.WriteString(`</node_state>`)
	return []byte(b.String())
}

func writeLRM(b *strings.Builder, nodeID string, updates []Update) {
	b.WriteString(`<lrm`)
	attr(b, "id", nodeID)
	b.WriteString(`><lrm_resources>`)
	for _, u := range updates {
		b.WriteString(`<lrm_resource`)
		attr(b, "id", u.Resource.ID)
		attr(b, "type", u.Resource.Type)
		attr(b, "class", u.Resource.Class)
		if u.Resource.Provider != "" {
			attr(b, "provider", u.Resource.Provider)
		}
		if u.Resource.Container != "" {
			attr(b, "container", u.Resource.Container)
		}
		b.WriteString(`>`)
		for _, r := range u.Records {
			b.WriteString(`<lrm_rsc_op`)
			attr(b, "id", r.ID)
			for _, a := range r.Attrs {
				attr(b, a.Name, a.Value)
			}
			b.WriteString(`/>`)
		}
		b.WriteString(`</lrm_resource>`)
	}
	b.WriteString(`</lrm_resources></lrm>`)
}

func attr(b *strings.Builder, name, value string) {
	b.WriteString(" " + name + `="`)
	_ = xml.EscapeText(b, []byte(value)) // a strings.Builder takes everything
	b.WriteString(`"`)
}

// Restore takes records up that a former process wrote.
func (m *Memory) Restore(updates []Update) {
	for _, u := range updates {
		e := m.entry(u.Resource)
		for _, r := range u.Records {
			e.records[r.ID] = r
		}
	}
}

// Record returns one record of a resource.
func (m *Memory) Record(resource, id string) (Record, bool) {
	e := m.resources[resource]
	if e == nil {
		return Record{}, false
	}
	r, ok := e.records[id]
	return r, ok
}

// Active lists the resources whose last operation left them running, sorted.
func (m *Memory) Active() []string {
	var ids []string
	for _, id := range m.Resources() {
		r, ok := m.resources[id].records[id+"_last_0"]
		if ok && r.Get("operation") != "stop" && (r.Get("rc-code") == "0" || r.Get("rc-code") == "8") && r.Get("op-status") == "0" &&
			m.resources[id].resource.Class != "stonith" {
			ids = append(ids, id)
		}
	}
	return ids
}
