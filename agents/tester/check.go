package main

import (
	"encoding/xml"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	ok            = 0
	unimplemented = 3
	notInstalled  = 5
	notRunning    = 7
	promoted      = 8
)

// check runs all tests, and stops early where going on makes no sense.
func check(a *agent, r *report) {
	c := &checker{agent: a, report: r}
	if !c.metadata() {
		return
	}
	c.expect("an unknown action", "no-such-action", variant{}, unimplemented)
	c.mandatoryParams()
	if !c.validate() || !c.clean() || !c.life() {
		return
	}
	c.optional()
	c.roles()
	c.end()
}

type checker struct {
	*agent
	*report
	actions map[string]bool // advertised
}

// expect runs an action and complains unless its code is one of want.
func (c *checker) expect(what, action string, v variant, want ...int) bool {
	res := c.run(action, v)
	c.trace("%s: %s -> %d", what, action, res.rc)
	if res.stdout != "" && action != "meta-data" && action != "validate-all" {
		c.note("%s writes to its standard output: %.60q", action, res.stdout)
	}
	if slices.Contains(want, res.rc) {
		return true
	}
	c.fail("%s: %s returned %d, not %v %s", what, action, res.rc, want, strings.TrimSpace(res.stderr))
	if res.rc > 0 && res.reason() == "" {
		c.note("%s gave no exit reason for its failure", action)
	}
	return false
}

type description struct {
	Name    string `xml:"name,attr"`
	API     string `xml:"version"`
	Long    string `xml:"longdesc"`
	Short   string `xml:"shortdesc"`
	Actions []struct {
		Name    string `xml:"name,attr"`
		Timeout string `xml:"timeout,attr"`
	} `xml:"actions>action"`
	Parameters []struct {
		Name     string `xml:"name,attr"`
		Required string `xml:"required,attr"`
		Content  struct {
			Type string `xml:"type,attr"`
		} `xml:"content"`
	} `xml:"parameters>parameter"`
}

func (c *checker) metadata() bool {
	if os.Getuid() == 0 {
		c.expect("as an unprivileged user", "meta-data", variant{nobody: true, noParams: true}, ok)
	}
	c.expect("without the programs it needs", "meta-data", variant{noBinaries: true, noParams: true}, ok)
	res := c.run("meta-data", variant{noParams: true})
	var d description
	if err := xml.Unmarshal([]byte(res.stdout), &d); res.rc != ok || err != nil {
		c.fail("meta-data is no good: exit code %d, %v", res.rc, err)
		return false
	}
	if d.Name != filepath.Base(c.path) {
		c.note("meta-data is of %q, the agent is %q", d.Name, filepath.Base(c.path))
	}
	if d.API != "1.0" && d.API != "1.1" {
		c.note("meta-data declares API version %q, not 1.0 or 1.1", d.API)
	}
	if d.Long == "" || d.Short == "" {
		c.fail("meta-data lacks a description")
	}
	c.actions = map[string]bool{}
	for _, act := range d.Actions {
		c.actions[act.Name] = true
		if act.Timeout == "" {
			c.fail("meta-data: action %s has no timeout", act.Name)
		}
	}
	for _, need := range []string{"start", "stop", "monitor", "meta-data"} {
		if !c.actions[need] {
			c.fail("meta-data: action %s is missing", need)
		}
	}
	for _, p := range d.Parameters {
		if !slices.Contains([]string{"string", "integer", "boolean", "select", "second", "time", "timeout", "percentage"}, p.Content.Type) {
			c.fail("meta-data: parameter %s has no type of OCF: %q", p.Name, p.Content.Type)
		}
		if p.Required == "1" && c.params[p.Name] == "" {
			c.note("parameter %s is required: give it with -o %s=...", p.Name, p.Name)
		}
	}
	return true
}

// mandatoryParams: without required parameters nothing may start, and the
// agent must say why.
func (c *checker) mandatoryParams() {
	res := c.run("validate-all", variant{noParams: true})
	if res.rc == ok || res.rc == unimplemented {
		return
	}
	if res.reason() == "" {
		c.note("validate-all without parameters gives no exit reason")
	}
	c.expect("without parameters", "stop", variant{noParams: true}, ok, 2, notInstalled, 6)
}

func (c *checker) validate() bool {
	res := c.run("validate-all", variant{})
	switch res.rc {
	case ok:
		return true
	case unimplemented:
		c.note("validate-all is not supported (optional)")
		return true
	}
	c.fail("validate-all: the parameters are refused with %d: %s", res.rc, strings.TrimSpace(res.stderr))
	return false
}

// clean leaves the resource stopped, whatever it was before.
func (c *checker) clean() bool {
	res := c.run("monitor", variant{})
	if res.rc == promoted {
		c.expect("was promoted before", "demote", variant{}, ok)
	}
	if res.rc != notRunning {
		c.expect("was active before", "stop", variant{}, ok)
	}
	return c.expect("stopped", "monitor", variant{}, notRunning) &&
		c.expect("stopped, probe", "monitor", variant{probe: true}, notRunning) &&
		c.expect("stopped, programs missing", "monitor", variant{probe: true, noBinaries: true}, notRunning, notInstalled)
}

func (c *checker) life() bool {
	good := c.expect("stopped", "stop", variant{}, ok)
	if !c.expect("stopped", "start", variant{}, ok) {
		c.expect("after the failed start", "stop", variant{}, ok)
		c.expect("after the failed start", "monitor", variant{}, notRunning)
		return false
	}
	for _, step := range []struct {
		what, action string
		v            variant
	}{{"started", "monitor", variant{}}, {"started, probe", "monitor", variant{probe: true}}, {"started already", "start", variant{}}, {"started twice", "monitor", variant{}}} {
		good = c.expect(step.what, step.action, step.v, ok) && good
	}
	return good
}

func (c *checker) optional() {
	for _, action := range []string{"reload-agent", "reload"} {
		if c.actions[action] {
			c.expect("started", action, variant{}, ok)
			c.expect("after "+action, "monitor", variant{}, ok)
		}
	}
	c.expect("started", "notify", variant{}, ok, unimplemented)
}

func (c *checker) roles() {
	if !c.actions["promote"] && !c.actions["demote"] {
		c.expect("not advertised", "promote", variant{}, unimplemented)
		return
	}
	for _, step := range []struct {
		action string
		state  int
	}{{"demote", ok}, {"promote", promoted}, {"promote", promoted}, {"demote", ok}, {"demote", ok}, {"promote", promoted}, {"demote", ok}} {
		c.expect("roles", step.action, variant{}, ok)
		c.expect("after "+step.action, "monitor", variant{}, step.state)
	}
}

func (c *checker) end() {
	for _, step := range []struct {
		action string
		want   int
	}{{"stop", ok}, {"monitor", notRunning}, {"start", ok}, {"monitor", ok}, {"stop", ok}, {"monitor", notRunning}, {"stop", ok}, {"monitor", notRunning}} {
		c.expect("once more", step.action, variant{}, step.want)
	}
}
