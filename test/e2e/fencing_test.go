package e2e

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"linuxha/deploy/lab"
)

// plugins gives the nodes an own folder of Linux-HA fence plugins, with the
// lab's external one and the binary ones of the host, and our fabric agent.
const plugins = `[ -d /usr/lib/stonith/plugins/own ] || {
	rm -f /usr/lib/stonith/plugins
	mkdir -p /usr/lib/stonith/plugins/external /usr/lib/stonith/plugins/own
	cp /usr/lib/ocf/stonith/lab /usr/lib/stonith/plugins/external/lab
	cp /usr/lib/ocf/stonith/fence_fabric /usr/sbin/fence_fabric
	chmod 755 /usr/lib/stonith/plugins/external/lab /usr/sbin/fence_fabric
	[ ! -d /.host/usr/lib/stonith/plugins/stonith2 ] || ln -s /.host/usr/lib/stonith/plugins/stonith2 /usr/lib/stonith/plugins/stonith2
}`

// device is a fencing resource without a monitor.
func device(id, agent string, p ...string) string {
	return simple(id, "stonith", "", agent, params(id, p...))
}

// tool runs a tool on a node and returns what it printed, with its exit status.
func (c *cluster) tool(n *lab.Node, argv ...string) (string, int) {
	c.t.Helper()
	out, err := n.Run(c.ctx(), argv...)
	var failed *lab.RunError
	if err == nil {
		return out, 0
	}
	if !errors.As(err, &failed) {
		c.t.Fatal(err)
	}
	return out + failed.Error(), failed.ExitCode()
}

// TestFencePlugins fences by cluster-glue's plugins: an external one that takes
// a node's power, and a binary one, which its program stonith runs.
func TestFencePlugins(t *testing.T) {
	full(t)
	c := newPrepared(t, 3, plugins)
	n := c.anyNode()
	c.configure(fencing, resources(device("ext", "external/lab", "hostlist=node1 node2 node3", "pcmk_host_check=dynamic-list"), recorder("r"), device("gone", "nosuch")))

	out := c.shows(`gone start on node. .*cluster-glue`, "crm_mon", "-1")
	if !strings.Contains(out, "install it") {
		t.Errorf("crm_mon does not say what to do:\n%s", out)
	}
	c.must(c.remove("gone"))
	on := c.runs("r").Where("r")

	out, rc := c.tool(n, "stonith_admin", "-I")
	if rc != 0 || !regexp.MustCompile(`(?m)^external/lab$`).MatchString(out) {
		t.Errorf("stonith_admin -I: %d\n%s", rc, out)
	}
	for _, argv := range [][]string{{"stonith_admin", "-M", "-a", "external/lab"}, {"crm_resource", "--show-metadata", "stonith:external/lab"}} {
		if out, rc := c.tool(n, argv...); rc != 0 || !strings.Contains(out, `<resource-agent name="external/lab"`) || !strings.Contains(out, `<parameter name="hostlist"`) {
			t.Errorf("%v: %d\n%s", argv, rc, out)
		}
	}
	if out, rc := c.tool(n, "stonith_admin", "-M", "-a", "nosuch"); rc == 0 || !strings.Contains(out, "cluster-glue") {
		t.Errorf("metadata of a plugin that is missing: %d\n%s", rc, out)
	}
	if out, rc := c.tool(n, "stonith_admin", "-s", "ext"); rc != 0 || !strings.Contains(out, "node3") {
		t.Errorf("targets of the external plugin: %d\n%s", rc, out)
	}

	t.Run("an external plugin takes the power", func(t *testing.T) {
		c := c.in(t)
		_, err := c.MustNode(on).Kill()
		c.must(err)
		c.runs("r", without(names(3), on)...)
		c.fencedBeforeStart(on, "r")
		c.shows(`reboot of `+on+` successful: delegate=node., client=crmd\.\d+, origin=node.`, "stonith_admin", "-H", on)
		c.settled(names(3)...)
	})
	t.Run("a binary plugin", func(t *testing.T) {
		c := c.in(t)
		if _, err := os.Stat("/usr/lib/stonith/plugins/stonith2/null.so"); err != nil {
			t.Skipf("skipped: apt-get install -y cluster-glue (%v)", err)
		}
		c.everywhere(plugins)
		c.binaryPlugin(without(names(3), on)[0])
	})
}

// binaryPlugin configures cluster-glue's null, whose fencing does nothing, for
// a name that no node has.
func (c *cluster) binaryPlugin(node string) {
	n := c.MustNode(node)
	if out, rc := c.tool(n, "stonith_admin", "-I"); rc != 0 || !regexp.MustCompile(`(?m)^meatware$`).MatchString(out) {
		c.t.Errorf("stonith_admin -I: %d\n%s", rc, out)
	}
	for _, argv := range [][]string{{"stonith_admin", "-M", "-a", "null"}, {"crm_resource", "--show-metadata", "stonith:null"}} {
		if out, rc := c.tool(n, argv...); rc != 0 || !strings.Contains(out, `<resource-agent name="null"`) || !strings.Contains(out, `<parameter name="hostlist"`) {
			c.t.Errorf("%v: %d\n%s", argv, rc, out)
		}
	}
	c.configure(resources(simple("nul", "stonith", "", "null", params("nul", "hostlist=ghost spirit"), operations("nul", "monitor 1s 20s"))))
	c.await("the device to be started", func(v *lab.View) bool { return v.Settled() && v.Where("nul") != "" })
	if out, rc := c.tool(n, "stonith_admin", "-s", "nul"); rc != 0 || !strings.Contains(out, "spirit") {
		c.t.Errorf("targets of null: %d\n%s", rc, out)
	}
	if out, rc := c.tool(n, "stonith_admin", "--fence", "ghost"); rc != 0 {
		c.t.Errorf("stonith_admin --fence: %d\n%s", rc, out)
	}
	c.shows(`turning off of ghost successful: delegate=node.`, "stonith_admin", "-H", "ghost")
	if out, rc := c.tool(n, "stonith_admin", "--fence", "nobody"); rc == 0 || !strings.Contains(out, "No such device") {
		c.t.Errorf("a name that no device knows: %d\n%s", rc, out)
	}
}

// TestFencingLevels has a first level that fails, and a device that waits.
func TestFencingLevels(t *testing.T) {
	full(t)
	c := newPrepared(t, 3, plugins)
	var levels strings.Builder
	for i, n := range names(3) {
		fmt.Fprintf(&levels, `<fencing-level id="l%d1" target="%s" index="1" devices="broken"/><fencing-level id="l%d2" target="%s" index="2" devices="power"/>`, i, n, i, n)
	}
	c.configure(fencing, resources(
		device("broken", "external/lab", "hostlist=node1 node2 node3", "broken=yes", "pcmk_reboot_retries=1"),
		simple("power", "stonith", "", "fence_lab", params("power", "pcmk_delay_base=2s")), recorder("r"),
	), `<fencing-topology>`+levels.String()+`</fencing-topology>`)
	on := c.runs("r").Where("r")
	killed, err := c.MustNode(on).Kill()
	c.must(err)
	rest := without(names(3), on)
	c.runs("r", rest...)
	c.fencedBeforeStart(on, "r")
	e, _ := c.fencedEvent(on)
	if took := e.At().Sub(killed); took < 2*time.Second {
		t.Errorf("fenced after %v although the device waits 2 s (pcmk_delay_base)", took)
	}
	tried := ""
	for _, n := range rest {
		out, _ := c.tool(c.MustNode(n), "sh", "-c", "grep -h \"Operation 'reboot' targeting "+on+"\" /var/log/ha-log; true")
		tried += out
	}
	first, second := strings.Index(tried, "using broken returned 1"), strings.Index(tried, "using power returned 0")
	if first < 0 || second < 0 {
		t.Errorf("level 1 at %d, level 2 at %d in\n%s", first, second, tried)
	}
}

// TestFencingIsGivenUpAndConfirmed: fencing that fails again and again is given
// up, nothing is started meanwhile, and a human's word ends it.
func TestFencingIsGivenUpAndConfirmed(t *testing.T) {
	full(t)
	c := newCluster(t, 3, nil)
	c.configure(options("stonith-enabled=true", "no-quorum-policy=stop", "stonith-max-attempts=2"),
		resources(simple("power", "stonith", "", "fence_lab", params("power", "pcmk_reboot_retries=1")), recorder("r")))
	on := c.runs("r").Where("r")
	asked := make(chan string, 1000)
	c.RefuseFencing(func(r lab.FenceRequest) error {
		if r.Action == "off" || r.Action == "reboot" {
			asked <- r.From
			return errors.New("the power switch is broken")
		}
		return nil
	})
	_, err := c.MustNode(on).Kill()
	c.must(err)
	rest := without(names(3), on)
	v := c.await("the DC to give up", func(v *lab.View) bool {
		out, err := c.MustNode(v.DC).Run(c.ctx(), "grep", "-c", "Too many failures (2) to fence "+on+", giving up", "/var/log/ha-log")
		return err == nil && strings.TrimSpace(out) == "1" && v.Settled()
	})
	if w := v.Where("r"); w != "" {
		t.Errorf("the resource runs on %s although %s was not fenced", w, on)
	}
	before := len(asked)
	if before < 2 {
		t.Errorf("the devices were tried %d times, want both attempts", before)
	}
	c.shows(on+`: UNCLEAN \(offline\)`, "crm_mon", "-1")
	if w := c.await("nothing to happen", func(v *lab.View) bool { return v.Settled() }).Where("r"); w != "" {
		t.Errorf("the resource runs on %s", w)
	}
	if n := len(asked); n != before {
		t.Errorf("%d further attempts after giving up", n-before)
	}

	// The lab knows that the node is dead: that is what the human says.
	_, err = c.MustNode(rest[0]).Run(c.ctx(), "stonith_admin", "--confirm", on)
	c.must(err)
	c.runs("r", rest...)
	for _, n := range rest {
		out, _ := c.tool(c.MustNode(n), "stonith_admin", "-H", on)
		if !regexp.MustCompile(`turning off of ` + on + ` successful: delegate=a human, client=stonith_admin\.\d+, origin=` + rest[0]).MatchString(out) {
			t.Errorf("%s does not remember the human:\n%s", n, out)
		}
	}
}

// TestUnfencing lets nodes in by a fabric agent before a resource may start.
func TestUnfencing(t *testing.T) {
	full(t)
	c := newPrepared(t, 3, plugins)
	c.configure(fencing, resources(
		simple("fabric", "stonith", "", "fence_fabric", params("fabric", "pcmk_host_list=node1 node2 node3"), meta("fabric", "provides=unfencing")),
		`<clone id="clones">`+recorder("clone", "requires=unfencing")+`</clone>`))
	c.await("the clone to run everywhere", func(v *lab.View) bool { return v.Settled() && len(v.Active["clone"]) == 3 })
	notes, _, err := c.history()
	c.must(err)
	for _, n := range names(3) {
		let := int64(0)
		for line := range strings.Lines(c.shared("fabric")) {
			if f := strings.Fields(line); f[1] == "on" && f[2] == n && let == 0 {
				let, err = strconv.ParseInt(f[0], 10, 64)
				c.must(err)
			}
		}
		for _, note := range notes {
			if note.node == n && note.what == "start-begin" && (let == 0 || note.at < let) {
				t.Errorf("%s started at %d on %s, which was let in at %d", note.resource, note.at, n, let)
			}
		}
	}
	c.shows(`unfencing of node1 successful`, "stonith_admin", "-H", "node1")
	v := c.await("the attributes of unfencing", func(v *lab.View) bool {
		return len(v.Doc.FindElements("//nvpair[@name='#node-unfenced']")) == 3
	})
	if n := len(v.Doc.FindElements("//nvpair[@name='#digests-all']")); n != 3 {
		t.Errorf("%d nodes have #digests-all, want 3", n)
	}
}

// TestPriorityFencingDelay cuts two nodes apart that may both act: the one that
// runs what matters has the advantage and survives.
func TestPriorityFencingDelay(t *testing.T) {
	full(t)
	c := newCluster(t, 2, func(o *lab.Options) { o.RebootStarts = false })
	c.configure(options("stonith-enabled=true", "no-quorum-policy=ignore", "priority-fencing-delay=3s", "dc-deadtime=2s"),
		resources(power, recorder("r", "priority=10")))
	on := c.runs("r").Where("r")
	other := without(names(2), on)[0]
	cut := time.Now()
	c.must(c.Cut([]string{on}, []string{other}, lab.BothWays))
	c.eventually(other+" to be fenced", func() bool { _, ok := c.fencedEvent(other); return ok })
	e, _ := c.fencedEvent(other)
	if took := e.At().Sub(cut); took > 2500*time.Millisecond {
		t.Errorf("the less important node was fenced after %v: it is the other that has to wait", took)
	}
	_, err := c.MustNode(on).AwaitView(c.ctx(), "the survivor to be idle", func(v *lab.View) bool {
		return v.Settled() && v.Where("r") == on && len(v.Online) == 1
	})
	c.must(err)
	time.Sleep(time.Until(e.At().Add(3500 * time.Millisecond))) // when the other's delay would be over: nothing may come
	if e, ok := c.fencedEvent(on); ok {
		t.Errorf("the important node was fenced too: %v", e)
	}
}

// TestWatchdogFencing has no fencing device at all: nodes that are lost reset
// themselves, and the others wait until that is certain (execution 40). A
// process named sbd stands for sbd; the test is the watchdog.
func TestWatchdogFencing(t *testing.T) {
	full(t)
	const sbd = `cp /bin/sleep /run/sbd && { setsid /run/sbd 100000 </dev/null >/dev/null 2>&1 & }`
	const timeout = 3 * time.Second
	c := newPrepared(t, 3, sbd)
	c.configure(options("stonith-enabled=true", "no-quorum-policy=stop", "stonith-watchdog-timeout="+timeout.String(), "dc-deadtime=2s"), resources(recorder("r")))
	v := c.runs("r")
	if e := v.Doc.FindElement("//nvpair[@name='have-watchdog']"); e == nil || e.SelectAttrValue("value", "") != "true" {
		t.Errorf("have-watchdog is not true although sbd runs")
	}
	on := v.Where("r")
	out, rc := c.tool(c.MustNode(on), "stonith_admin", "-L")
	if rc != 0 || !strings.Contains(out, "watchdog") {
		t.Errorf("registered devices: %d\n%s", rc, out)
	}

	t.Run("the device as a resource", func(t *testing.T) {
		c := c.in(t)
		c.configure(resources(simple("watchdog", "stonith", "", "fence_watchdog",
			params("watchdog", "pcmk_host_list=node1 node2 node3"), operations("watchdog", "monitor 1s 20s"))))
		c.runs("watchdog")
		n := c.anyNode()
		if out, rc := c.tool(n, "stonith_admin", "-M", "-a", "fence_watchdog"); rc != 0 || !strings.Contains(out, `<resource-agent name="fence_watchdog"`) {
			t.Errorf("metadata: %d\n%s", rc, out)
		}
		if out, rc := c.tool(n, "stonith_admin", "-s", "watchdog"); rc != 0 || !strings.Contains(out, "node1") || !strings.Contains(out, "node3") {
			t.Errorf("targets: %d\n%s", rc, out)
		}
	})
	t.Run("a lost node", func(t *testing.T) {
		c := c.in(t)
		killed, err := c.MustNode(on).Kill()
		c.must(err)
		rest := without(names(3), on)
		c.runs("r", rest...)
		c.startedAfter("r", killed.Add(timeout))
		c.shows(`reboot of `+on+` successful: delegate=`+on, "stonith_admin", "-H", on)
	})
	t.Run("a node without sbd leaves", func(t *testing.T) {
		c := c.in(t)
		n := c.MustNode(on)
		c.must(n.Boot())
		c.must(n.StartStack())
		end, err := n.StackEnd(c.ctx())
		c.must(err)
		out, _ := c.tool(n, "grep", "-h", "stonith-watchdog-timeout is", "/var/log/ha-log")
		if !strings.Contains(out, "start sbd") {
			t.Errorf("heartbeatd ended with %q, and the log does not say why:\n%s", end, out)
		}
		_, err = n.Run(c.ctx(), "sh", "-c", sbd)
		c.must(err)
		c.must(n.StartStack())
		c.settled(names(3)...)
	})
	t.Run("a node that cannot stop its resource", func(t *testing.T) {
		c := c.in(t)
		on := c.runs("r").Where("r")
		heal := c.fail("r", "stop", on, 1)
		n := c.MustNode(on)
		begin := time.Now()
		c.breaks("r", on)
		c.eventually("sbd to be killed", func() bool {
			out, err := n.Run(c.ctx(), "sh", "-c", "pidof sbd || grep -l '^sbd$' /proc/[0-9]*/comm; true")
			c.must(err)
			return strings.TrimSpace(out) == ""
		})
		_, err := n.Kill() // that is what the watchdog does
		c.must(err)
		c.runs("r", without(names(3), on)...)
		c.startedAfter("r", begin.Add(timeout))
		heal()
	})
}

// startedAfter checks the time of a resource's last start.
func (c *cluster) startedAfter(resource string, at time.Time) {
	c.t.Helper()
	notes, _, err := c.history()
	c.must(err)
	last := int64(0)
	for _, n := range notes {
		if n.resource == resource && n.what == "start-begin" {
			last = n.at
		}
	}
	if early := at.Sub(time.Unix(0, last)); early > 0 {
		c.t.Errorf("%s was started %v too early", resource, early)
	}
}
