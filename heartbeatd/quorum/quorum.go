// Package quorum decides whether a membership may act for the whole cluster
// (HB 21.4). It is a function of the agreed view and the configured nodes, so
// all members of a view that know the same nodes decide the same. The server
// asks it for each view and when the node table changes.
package quorum

import (
	"fmt"
	"slices"
	"strings"
)

// Node is a configured node.
type Node struct {
	Name   string
	Weight int // of the plugin weight; 0 means 100, the default (HB 6.4)
}

// NoWeight is the Weight of a node that does not count in the plugin weight.
const NoWeight = -1

const defaultWeight = 100

// Plugin is a rule of HB 21.4.
type Plugin uint8

// The rules. Each is asked in turn until one says yes or no.
const (
	Majority Plugin = iota + 1
	Weight
	TwoNodes
	Server // asks a quorum server
)

// Default is majority:twonodes.
var Default = []Plugin{Majority, TwoNodes}

// Parse reads ha.cf's quorum=... list; empty means Default.
func Parse(list string) ([]Plugin, error) {
	if list == "" {
		return Default, nil
	}
	var plugins []Plugin
	for name := range strings.SplitSeq(list, ":") {
		switch name {
		case "majority":
			plugins = append(plugins, Majority)
		case "weight":
			plugins = append(plugins, Weight)
		case "twonodes":
			plugins = append(plugins, TwoNodes)
		case "quorumd":
			plugins = append(plugins, Server)
		default:
			return nil, fmt.Errorf("quorum plugin %q is not known: use majority, weight, twonodes or quorumd", name)
		}
	}
	return plugins, nil
}

type answer uint8

const (
	no answer = iota
	tie
	yes
)

// Quorate tells whether members have quorum among configured. Members that
// are not configured count as configured, since they were let in.
// granted is what the quorum server last said.
func Quorate(plugins []Plugin, members []string, configured []Node, granted bool) bool {
	yes, _ := judge(plugins, members, configured, granted)
	return yes
}

// judge also tells whether it depends on the quorum server.
func judge(plugins []Plugin, members []string, configured []Node, granted bool) (quorate, served bool) {
	total, sum, votes, weight := 0, 0, len(members), 0
	add := func(n Node) {
		if n.Weight == 0 {
			n.Weight = defaultWeight
		}
		n.Weight = max(n.Weight, 0)
		total++
		sum += n.Weight
		if slices.Contains(members, n.Name) {
			weight += n.Weight
		}
	}
	for _, n := range configured {
		add(n)
	}
	for _, m := range members {
		if !slices.ContainsFunc(configured, func(n Node) bool { return n.Name == m }) {
			add(Node{Name: m})
		}
	}
	for _, p := range plugins {
		var a answer
		switch p {
		case Majority:
			a = moreThanHalf(votes, total)
		case Weight:
			a = moreThanHalf(weight, sum)
		case TwoNodes:
			if total == 2 {
				a = yes
			}
		case Server:
			return granted, true
		}
		if a != tie {
			return a == yes, false
		}
	}
	return false, false
}

func moreThanHalf(part, whole int) answer {
	switch {
	case part >= whole/2+1:
		return yes
	case 2*part == whole:
		return tie
	}
	return no
}

// Options of a Core.
type Options struct {
	Plugins []Plugin // nil: Default
	// WaitForAll withholds quorum after a start until all configured nodes have
	// been members at the same time once: then a node of a two-node cluster that
	// starts alone does not act. Off by default.
	WaitForAll bool
}

// Core remembers what WaitForAll needs.
type Core struct {
	opts    Options
	seenAll bool
	granted bool // by the quorum server, for the present view
	served  bool
}

// New makes a Core.
func New(opts Options) *Core {
	if opts.Plugins == nil {
		opts.Plugins = Default
	}
	return &Core{opts: opts}
}

// View takes in a new view or node table and returns whether there is quorum.
func (c *Core) View(members []string, configured []Node) bool {
	if !c.seenAll {
		c.seenAll = !slices.ContainsFunc(configured, func(n Node) bool { return !slices.Contains(members, n.Name) })
	}
	if c.opts.WaitForAll && !c.seenAll {
		return false
	}
	var quorate bool
	quorate, c.served = judge(c.opts.Plugins, members, configured, c.granted)
	return quorate
}

// Grant takes in what the quorum server says of the present view; a new view
// begins with Grant(false). View is to be asked again after it.
func (c *Core) Grant(granted bool) { c.granted = granted }

// Served tells whether the last answer of View depends on the quorum server.
func (c *Core) Served() bool { return c.served }
