package crmresource

import (
	"fmt"
	"strconv"

	"linuxha/pengine/state"
	"linuxha/pengine/status"
	"linuxha/tools/output"
)

// why says in a sentence or two what keeps resources from running.
func (s *session) why() error {
	c, _, err := s.model()
	if err != nil {
		return err
	}
	if err := s.checkNode(c); err != nil {
		return err
	}
	wanted := c.Resources
	if s.rsc != "" {
		if wanted = named(c, s.rsc); len(wanted) == 0 {
			return s.notFound()
		}
	}
	reason := output.New("reason")
	list := output.New("resources")
	switch {
	case s.rsc == "":
		reason.Add(list)
	case s.node == "":
		reason.Set("running", strconv.FormatBool(wanted[0].IsActive(false)))
	case activeAt(wanted[0], s.node):
		reason.Set("running_on", s.node)
	}
	if s.node != "" { // on one node each part has its own story
		var leaves []*state.Resource
		state.EachLeaf(wanted, func(r *state.Resource) { leaves = append(leaves, r) })
		wanted = leaves
	} else if s.rsc != "" {
		wanted = wanted[:1] // the first instance stands for all
	}
	for _, r := range wanted {
		name := r.ID
		runs := r.IsActive(false)
		if s.node != "" {
			runs = activeAt(r, s.node)
			s.say("Resource %s is%s running on host %s", name, not(runs), s.node)
		} else {
			s.say("Resource %s is%s running", name, not(runs))
		}
		check := s.reasons(c, r, name)
		if s.rsc != "" {
			reason.Add(check)
			continue
		}
		e := output.New("resource", "id", name, "running", strconv.FormatBool(runs))
		if s.node != "" {
			e.Set("host", s.node)
		}
		list.Add(e.Add(check))
	}
	s.body = append(s.body, reason)
	return nil
}

func activeAt(r *state.Resource, node string) bool {
	for _, n := range r.ActiveNodes() {
		if n.Name == node {
			return true
		}
	}
	return false
}

func not(yes bool) string {
	if yes {
		return ""
	}
	return " not"
}

// reasons says what hinders r, and returns the same for programs.
func (s *session) reasons(c *state.Cluster, r *state.Resource, name string) *output.Element {
	check := output.New("check", "id", r.Top().ID)
	if c.IsDisabled(r) {
		check.Set("remain_stopped", "true")
		s.say("Configuration specifies '%s' should remain stopped", name)
	}
	if !r.Managed {
		check.Set("unmanaged", "true")
		s.say("Configuration prevents cluster from stopping or starting unmanaged '%s'", name)
	}
	if r.LockNode != nil {
		check.Set("locked-to", r.LockNode.Name)
		s.say("'%s' is locked to node %s due to shutdown", name, r.LockNode.Name)
	}
	if n := c.NodeByName(s.node); n != nil && status.Health(c, n) != "green" {
		check.Set("unhealthy", "true")
		s.say("'%s' cannot run on unhealthy nodes due to node-health-strategy='%s'", name, c.Opts.HealthStrategy)
	}
	for _, n := range c.Nodes {
		if s.node != "" && n.Name != s.node {
			continue
		}
		if fails, _ := c.FailCount(r, n, true, nil); fails >= r.Threshold && r.Threshold > 0 {
			s.say("'%s' has failed %s times on %s, its migration-threshold is %d: `crm_resource --cleanup -r %s` when the cause is mended", name, scoreText(fails), n.Name, r.Threshold, r.Top().ID)
		}
	}
	if c.Opts.StopAll {
		s.say("Cluster option stop-all-resources is set")
	}
	return check
}

func scoreText(n int) string {
	switch {
	case n >= state.Infinity:
		return "INFINITY"
	case n <= -state.Infinity:
		return "-INFINITY"
	}
	return fmt.Sprint(n)
}
