package e2e

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"linuxha/deploy/lab"
)

// TestShort is the pass that `make test` runs: a cluster starts, loses its
// active node, gets it back and stops.
func TestShort(t *testing.T) {
	c := newCluster(t, 3, nil)
	c.configure(fencing, resources(power, recorder("r"), `<clone id="clones">`+recorder("clone")+`</clone>`))
	v := c.await("the resource to run on one node, its clone on three", func(v *lab.View) bool {
		return v.Settled() && v.Where("r") != "" && v.Where("power") != "" && len(v.Active["clone"]) == 3
	})
	c.toolsAgree(v)

	active := v.Where("r")
	rest := without(names(3), active)
	c.killed(active)
	c.runs("r", rest...)
	c.fencedBeforeStart(active, "r")

	c.settled(names(3)...) // the fencing device has started it again
	c.await("the clone to be complete", func(v *lab.View) bool { return len(v.Active["clone"]) == 3 && v.Settled() })
	c.stopAll()
}

// toolsAgree asks the operators' tools what the test knows from the API.
func (c *cluster) toolsAgree(v *lab.View) {
	c.t.Helper()
	n := c.anyNode()
	out, err := n.Run(c.ctx(), "crm_mon", "-1")
	c.must(err)
	for _, want := range []string{
		"Current DC: " + v.DC,
		"Online: [ " + strings.Join(v.Online, " ") + " ]",
		"Started " + v.Where("r"),
		"Started: [ " + strings.Join(v.Active["clone"], " ") + " ]",
	} {
		if !strings.Contains(out, want) {
			c.t.Errorf("crm_mon -1 lacks %q:\n%s", want, out)
		}
	}
	out, err = n.Run(c.ctx(), "crm_resource", "--locate", "--resource", "r")
	c.must(err)
	if !strings.Contains(out, v.Where("r")) {
		c.t.Errorf("crm_resource --locate: %q, the resource runs on %s", out, v.Where("r"))
	}
	out, err = n.Run(c.ctx(), "cibadmin", "-Q", "-o", "resources")
	c.must(err)
	if !strings.Contains(out, `<primitive id="r" `) {
		c.t.Errorf("cibadmin -Q lacks the resource:\n%s", out)
	}
	out, err = n.Run(c.ctx(), "cl_status", "nodestatus", v.DC)
	c.must(err)
	if strings.TrimSpace(out) != "active" {
		c.t.Errorf("cl_status nodestatus: %q", out)
	}
}

// stopAll stops every node in an orderly way, all at once, and checks that
// each ended well and stopped its resources.
func (c *cluster) stopAll() {
	c.t.Helper()
	var g errgroup.Group
	for _, n := range c.Nodes() {
		if !n.Running() {
			continue
		}
		g.Go(func() error {
			if err := n.StopStack(c.within(patience)); err != nil {
				return err
			}
			if end, err := n.StackEnd(c.within(patience)); err != nil || end != "exit status 0" {
				return fmt.Errorf("heartbeatd on %s: %s, %v", n.Name, end, err)
			}
			procs, err := n.Processes()
			if err != nil {
				return err
			}
			if len(procs) > 0 {
				return fmt.Errorf("%s: %d processes are left after the stop, the first is %v", n.Name, len(procs), procs[0].Args)
			}
			return nil
		})
	}
	c.must(g.Wait())
	notes, deaths, err := c.history()
	c.must(err)
	for _, s := range stays(notes, deaths) {
		if s.to == 0 {
			c.t.Errorf("still active after all nodes stopped: %s", s)
		}
	}
}

// TestStart starts clusters of several sizes over each medium.
func TestStart(t *testing.T) {
	full(t)
	for _, s := range []struct {
		nodes  int
		medium string
		links  int
	}{{1, "bcast", 1}, {2, "ucast", 2}, {3, "mcast", 2}, {5, "bcast", 2}} {
		t.Run(fmt.Sprintf("%d nodes, %s, %d links", s.nodes, s.medium, s.links), func(t *testing.T) {
			c := newCluster(t, s.nodes, func(o *lab.Options) { o.Medium, o.Links = s.medium, s.links })
			c.configure(noFencing, resources(recorder("r")))
			v := c.runs("r")
			if !v.Quorate {
				t.Error("all nodes are here, yet there is no quorum")
			}
			c.stopAll()
		})
	}
}

// TestShutdownAndRejoin stops the active node in an orderly way: nobody is
// fenced, the resource moves, the node comes back.
func TestShutdownAndRejoin(t *testing.T) {
	full(t)
	c := newCluster(t, 3, nil)
	c.configure(fencing, resources(power, recorder("r")))
	for range 2 { // the second round stops another node: r has moved
		active := c.runs("r").Where("r")
		rest := without(names(3), active)
		n := c.MustNode(active)
		c.must(n.StopStack(c.ctx()))
		c.settled(rest...)
		c.runs("r", rest...)
		if e, ok := c.fencedEvent(active); ok {
			t.Errorf("a node that left in order was fenced: %v", e)
		}
		c.must(n.Start(c.ctx()))
		c.settled(names(3)...)
	}
}

// TestUsersConfigurations starts clusters with ha.cf and authkeys as Heartbeat
// users have them; only interfaces and the pinged address are the lab's.
func TestUsersConfigurations(t *testing.T) {
	full(t)
	for _, u := range []struct {
		name       string
		nodes      []string
		hacf, keys string
		ping       string
	}{
		{"two media, pacemaker respawn", []string{"alice", "bob"}, `autojoin none
mcast eth0 239.0.0.43 694 1 0
bcast eth1
warntime 5
deadtime 15
initdead 60
keepalive 2
node alice
node bob
pacemaker respawn
`, "auth 1\n1 sha1 secret\n", ""},
		{"three keys, ping node, compression, logd", []string{"hatest3", "hatest4"}, `keepalive 2
deadtime 30
initdead 30
udpport 694
bcast eth0 eth1
auto_failback off
node hatest3
node hatest4
ping 10.77.0.3
use_logd yes
crm respawn
compression bz2
compression_threshold 2
`, "auth 2\n1 crc\n2 sha1 HI!\n3 md5 Hello!\n", "10.77.0.3"},
	} {
		t.Run(u.name, func(t *testing.T) {
			c := newLab(t, 0, func(o *lab.Options) {
				o.Nodes, o.WholeHACF, o.AuthKeys = u.nodes, u.hacf, u.keys
				o.Clients = []string{"router"}
			})
			c.must(c.Start(c.ctx()))
			c.settled(u.nodes...)
			c.configure(noFencing, resources(recorder("r")))
			c.runs("r")
			if u.ping != "" {
				out, err := c.anyNode().Run(c.ctx(), "cl_status", "nodestatus", u.ping)
				c.must(err)
				if strings.TrimSpace(out) != "ping" {
					t.Errorf("the ping node is %q", out)
				}
			}
			c.stopAll()
		})
	}
}
