// Package graph is the transition graph as a value: what pengine writes and the
// transition engine, tools and the simulator read (scheduler-3 16.4, crm 5.2).
// It parses and answers questions about single actions; it executes nothing.
package graph

import (
	"encoding/xml"
	"fmt"
	"sort"
	"strconv"
	"time"

	"linuxha/internal/interval"
)

// Kind is what an action is carried out by.
type Kind int

const (
	// Pseudo actions are done as soon as they may be.
	Pseudo Kind = iota
	// RscOp is a resource operation, run by an lrmd.
	RscOp
	// CrmEvent is the cluster's own: fencing, shutdown, clean-ups.
	CrmEvent
)

// String is the element's name.
func (k Kind) String() string {
	return [...]string{"pseudo_event", "rsc_op", "crm_event"}[k]
}

// Infinity is a score's largest value, and the priority that nothing aborts.
const Infinity = 1000000

// Graph is one transition.
type Graph struct {
	ID                int
	ClusterDelay      time.Duration // network delay added to every action timer
	StonithTimeout    time.Duration
	FailedStopOffset  string // "INFINITY" or a number: what a failed stop adds
	FailedStartOffset string
	BatchLimit        int   // crm 5.10
	MigrationLimit    int   // 0: none
	RecheckBy         int64 // epoch seconds; 0: no need
	Synapses          []*Synapse
}

// Synapse is a set of actions that may start once its inputs are confirmed.
type Synapse struct {
	ID       int
	Priority int
	Actions  []*Action
	Inputs   []int // action ids; an id without a synapse of its own never gets confirmed
}

// Resource is what an executor must know to run an operation.
type Resource struct {
	ID       string // name in history: plain for anonymous clones
	LongID   string // instance name, where it differs
	Class    string
	Provider string
	Type     string
}

// Action is one action. invariant: never written to once parsed.
type Action struct {
	ID          int
	Kind        Kind
	Operation   string // start, monitor, stonith, do_shutdown, ...
	Key         string // operation_key as history has it
	InternalKey string // the scheduler's own key, where it differs
	Node        string // empty for most pseudo actions
	NodeID      string
	Router      string // node that runs it for a remote node; empty: Node itself
	Mode        string // "cib": lrm_delete done by the DC
	Resource    *Resource
	Attributes  map[string]string // parameters and CRM_meta_*
	Downed      []string          // ids of the nodes that this action takes down
	Maintenance map[string]string // node id to "0" or "1"
}

// Meta returns a CRM_meta_ attribute.
func (a *Action) Meta(name string) string { return a.Attributes["CRM_meta_"+name] }

func (a *Action) metaMS(name string) time.Duration {
	n, err := strconv.ParseInt(a.Meta(name), 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return time.Duration(n) * time.Millisecond
}

// Interval is zero for an operation that runs once.
func (a *Action) Interval() time.Duration { return a.metaMS("interval") }

// Timeout is the agent's own; zero if none was given.
func (a *Action) Timeout() time.Duration { return a.metaMS("timeout") }

// StartDelay is how long the executor waits before it runs the agent.
func (a *Action) StartDelay() time.Duration { return a.metaMS("start_delay") }

// TargetRC is the expected result (crm 4.5).
func (a *Action) TargetRC() int {
	n, err := strconv.Atoi(a.Meta("op_target_rc"))
	if err != nil {
		return 0
	}
	return n
}

// Executor is the node whose controller carries the action out.
func (a *Action) Executor() string {
	if a.Router != "" {
		return a.Router
	}
	return a.Node
}

// RscID is the name of the resource in history, empty for cluster actions.
func (a *Action) RscID() string {
	if a.Resource == nil {
		return ""
	}
	return a.Resource.ID
}

// IsFencing says whether the action asks the fencer for something.
func (a *Action) IsFencing() bool { return a.Kind == CrmEvent && a.Operation == "stonith" }

// element is the generic form in which a graph is read.
type element struct {
	XMLName  xml.Name
	Attrs    []xml.Attr `xml:",any,attr"`
	Children []element  `xml:",any"`
}

func (e *element) attr(name string) string {
	for _, a := range e.Attrs {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

func (e *element) number(name string, missing int) int {
	n, err := strconv.Atoi(e.attr(name))
	if err != nil {
		return missing
	}
	return n
}

// Parse reads a <transition_graph>.
func Parse(data []byte) (*Graph, error) {
	var root element
	if err := xml.Unmarshal(data, &root); err != nil {
		return nil, fmt.Errorf("read transition graph: %w", err)
	}
	if root.XMLName.Local != "transition_graph" {
		return nil, fmt.Errorf("read transition graph: the element is <%s>", root.XMLName.Local)
	}
	delay, ok := interval.Parse(root.attr("cluster-delay"))
	if !ok {
		return nil, fmt.Errorf("read transition graph: cluster-delay %q is no interval", root.attr("cluster-delay"))
	}
	g := &Graph{
		ID:                root.number("transition_id", 0),
		ClusterDelay:      delay,
		StonithTimeout:    delay,
		FailedStopOffset:  "INFINITY",
		FailedStartOffset: "INFINITY",
		BatchLimit:        max(root.number("batch-limit", 0), -1),
		MigrationLimit:    max(root.number("migration-limit", 0), 0),
	}
	if d, ok := interval.Parse(root.attr("stonith-timeout")); ok {
		g.StonithTimeout = d
	}
	if v := root.attr("failed-stop-offset"); v != "" {
		g.FailedStopOffset = v
	}
	if v := root.attr("failed-start-offset"); v != "" {
		g.FailedStartOffset = v
	}
	if n, err := strconv.ParseInt(root.attr("recheck-by"), 10, 64); err == nil {
		g.RecheckBy = n
	}
	for i := range root.Children {
		if root.Children[i].XMLName.Local != "synapse" {
			continue
		}
		s, err := synapse(&root.Children[i])
		if err != nil {
			return nil, fmt.Errorf("read transition graph: %w", err)
		}
		g.Synapses = append(g.Synapses, s)
	}
	return g, nil
}

func synapse(e *element) (*Synapse, error) {
	s := &Synapse{ID: e.number("id", -1), Priority: e.number("priority", 0)}
	for i := range e.Children {
		part := &e.Children[i]
		switch part.XMLName.Local {
		case "action_set":
			for j := range part.Children {
				a, err := action(&part.Children[j])
				if err != nil {
					return nil, fmt.Errorf("synapse %d: %w", s.ID, err)
				}
				s.Actions = append(s.Actions, a)
			}
		case "inputs":
			for _, trigger := range part.Children {
				for k := range trigger.Children {
					id := trigger.Children[k].number("id", -1)
					if id < 0 {
						return nil, fmt.Errorf("synapse %d: an input has no id", s.ID)
					}
					s.Inputs = append(s.Inputs, id)
				}
			}
		}
	}
	return s, nil
}

func action(e *element) (*Action, error) {
	a := &Action{
		ID:          e.number("id", -1),
		Operation:   e.attr("operation"),
		Key:         e.attr("operation_key"),
		InternalKey: e.attr("internal_operation_key"),
		Node:        e.attr("on_node"),
		NodeID:      e.attr("on_node_uuid"),
		Router:      e.attr("router_node"),
		Mode:        e.attr("mode"),
		Attributes:  map[string]string{},
	}
	switch e.XMLName.Local {
	case "rsc_op":
		a.Kind = RscOp
	case "crm_event":
		a.Kind = CrmEvent
	case "pseudo_event":
		a.Kind = Pseudo
	default:
		return nil, fmt.Errorf("unknown kind of action <%s>", e.XMLName.Local)
	}
	if a.ID < 0 {
		return nil, fmt.Errorf("<%s> %q has no id", e.XMLName.Local, a.Key)
	}
	for i := range e.Children {
		c := &e.Children[i]
		switch c.XMLName.Local {
		case "attributes":
			for _, at := range c.Attrs {
				name := at.Name.Local
				if at.Name.Space != "" { // a name with a colon is a name like others here
					name = at.Name.Space + ":" + name
				}
				a.Attributes[name] = at.Value
			}
			for _, p := range c.Children { // names that are no XML names (scheduler-3 16.5)
				if p.XMLName.Local == "param" {
					a.Attributes[p.attr("name")] = p.attr("value")
				}
			}
		case "downed":
			for _, n := range c.Children {
				a.Downed = append(a.Downed, n.attr("id"))
			}
		case "maintenance":
			a.Maintenance = map[string]string{}
			for _, n := range c.Children {
				a.Maintenance[n.attr("id")] = n.attr("node_in_maintenance")
			}
		default:
			if c.attr("id") != "" {
				a.Resource = &Resource{
					ID: c.attr("id"), LongID: c.attr("long-id"),
					Class: c.attr("class"), Provider: c.attr("provider"), Type: c.attr("type"),
				}
			}
		}
	}
	if a.Node == "" {
		a.Node = a.Meta("on_node")
	}
	if a.NodeID == "" {
		a.NodeID = a.Meta("on_node_uuid")
	}
	return a, nil
}

// DownedBy lists the ids of all nodes that the graph takes down, sorted.
func (g *Graph) DownedBy() []string {
	seen := map[string]bool{}
	var ids []string
	for _, s := range g.Synapses {
		for _, a := range s.Actions {
			for _, id := range a.Downed {
				if !seen[id] {
					seen[id] = true
					ids = append(ids, id)
				}
			}
		}
	}
	sort.Strings(ids)
	return ids
}
