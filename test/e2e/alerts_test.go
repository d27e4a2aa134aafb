package e2e

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"linuxha/deploy/lab"
)

// told reads what the alert agents of a node wrote down, a map per call.
func (c *cluster) told(node string) []map[string]string {
	var out []map[string]string
	variable := regexp.MustCompile(`([a-z_]+)="([^"]*)"`)
	for line := range strings.Lines(c.shared(filepath.Join("alerts", node))) {
		call := map[string]string{}
		for _, m := range variable.FindAllStringSubmatch(line, -1) {
			call[m[1]] = m[2]
		}
		out = append(out, call)
	}
	return out
}

// tells counts a node's alerts that have these values.
func (c *cluster) tells(node string, want map[string]string) int {
	n := 0
	for _, call := range c.told(node) {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(want)), func(k string) bool { return call[k] != want[k] }) {
			n++
		}
	}
	return n
}

// TestAlerts configures an alert agent and looks at what it is told of a
// resource, an attribute, a node and its fencing (execution 16).
func TestAlerts(t *testing.T) {
	full(t)
	c := newCluster(t, 3, nil)
	dir := filepath.Join(c.SharedDir(), "alerts")
	c.must(os.Mkdir(dir, 0o777))
	c.must(os.Chmod(dir, 0o777)) // alert agents are hacluster
	c.configure(fencing, `<alerts><alert id="log" path="/usr/lib/ocf/alerts/write">`+
		`<instance_attributes id="log-i"><nvpair id="log-own" name="own" value="its own"/></instance_attributes>`+
		`<select><select_nodes/><select_fencing/><select_resources/><select_attributes><attribute id="log-a" name="weather"/></select_attributes></select>`+
		`<recipient id="log-r" value="admin"/></alert></alerts>`)
	c.settled(names(3)...)
	c.configure(resources(power, recorder("r")))
	on := c.runs("r").Where("r")

	start := map[string]string{
		"kind": "resource", "rsc": "r", "task": "start", "node": on, "rc": "0", "target_rc": "0", "status": "0", "desc": "ok",
		"interval": "0", "recipient": "admin", "own": "its own", "user": "hacluster",
	}
	c.eventually("the start to be told", func() bool { return c.tells(on, start) == 1 })
	first := c.told(on)[0]
	for name, form := range map[string]string{
		"timestamp": `^\d\d:\d\d:\d\d\.\d{6}$`, "timestamp_epoch": `^\d{10}$`, "timestamp_usec": `^\d{6}$`,
		"node_sequence": `^[1-9]\d*$`, "version": `.`, "exec_time": `^\d+$`,
	} {
		if !regexp.MustCompile(form).MatchString(first[name]) {
			t.Errorf("%s is %q, want %s", name, first[name], form)
		}
	}
	c.breaks("r", on)
	c.eventually("the failure to be told", func() bool {
		return c.tells(on, map[string]string{"kind": "resource", "task": "monitor", "interval": "1000", "rc": "7", "desc": "not running"}) == 1
	})
	c.runs("r", on)

	_, err := c.anyNode().Run(c.ctx(), "attrd_updater", "-n", "weather", "-U", "fine")
	c.must(err)
	_, err = c.anyNode().Run(c.ctx(), "attrd_updater", "-n", "other", "-U", "1")
	c.must(err)
	attribute := map[string]string{
		"kind": "attribute", "attribute_name": "weather", "attribute_value": "fine", "node": c.anyNode().Name, "user": "hacluster",
	}
	all := func(want map[string]string) (n int) {
		for _, node := range names(3) {
			n += c.tells(node, want)
		}
		return n
	}
	c.eventually("the attribute to be told by the writer", func() bool { return all(attribute) >= 1 })

	if n := all(attribute); n != 1 {
		t.Errorf("the attribute was told %d times, want once by its writer", n)
	}

	_, err = c.MustNode(on).Kill()
	c.must(err)
	rest := without(names(3), on)
	c.runs("r", rest...)
	for _, n := range rest {
		c.eventually(n+" to tell of the death and the fencing", func() bool {
			return c.tells(n, map[string]string{"kind": "node", "node": on, "desc": "lost"}) == 1 &&
				c.tells(n, map[string]string{"kind": "fencing", "node": on, "task": "st_notify_fence", "rc": "0"}) == 1
		})
		for _, call := range c.told(n) {
			if call["kind"] == "fencing" && !regexp.MustCompile(`^Operation reboot of `+on+` by \S+ for crmd\.\d+@\S+: OK \(ref=\S+\)$`).MatchString(call["desc"]) {
				t.Errorf("fencing is described as %q", call["desc"])
			}
		}
	}
	c.await("the node to be back", lab.OnlineAre(names(3)...))
	c.eventually("its return to be told", func() bool {
		return c.tells(rest[0], map[string]string{"kind": "node", "node": on, "desc": "member"}) >= 1
	})
	if n := all(map[string]string{"attribute_name": "other"}); n != 0 {
		t.Errorf("%d alerts of an attribute that is not selected", n)
	}
	if n := all(map[string]string{"kind": "resource", "task": "monitor", "interval": "0"}); n != 0 {
		t.Errorf("%d alerts of probes that found what was expected", n)
	}
}
