package e2e

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"linuxha/deploy/lab"
)

// moves goes through everything that makes the group move.
func (c *classicLab) moves() {
	c.startBoth()
	if !strings.Contains(c.addresses("node1"), virtual) || strings.Contains(c.addresses("node2"), virtual) {
		c.t.Errorf("the virtual address is not on node1 alone")
	}
	for _, s := range []struct{ node, tool, what, holder, node1, node2 string }{
		{"node1", "hb_standby", "all", "node2", "none", "all"},
		{"node2", "hb_standby", "all", "node1", "all", "none"},
		{"node1", "hb_standby", "foreign", "node1", "local", "local"},
		{"node1", "hb_standby", "local", "node2", "none", "all"},
		{"node2", "hb_standby", "failback", "node1", "local", "local"},
		{"node2", "hb_takeover", "all", "node2", "none", "all"},
		{"node1", "hb_takeover", "local", "node1", "local", "local"},
		{"node2", "hb_takeover", "foreign", "node2", "none", "all"},
		{"node1", "hb_takeover", "all", "node1", "all", "none"},
		{"node2", "hb_takeover", "local", "node1", "local", "local"},
	} {
		at := time.Now()
		c.moved(s.node, s.tool, s.what, s.holder, "node1="+s.node1, "node2="+s.node2)
		c.t.Logf("%s %s on %s (%s): no holder for %v", s.tool, s.what, s.node, c.kinds[s.node], c.gap(at).Round(time.Millisecond))
	}

	c.quiet()
	at := c.kill("node1")
	c.settled("node2", "node2=all")
	c.t.Logf("node1 (%s) killed: no holder for %v", c.kinds["node1"], c.gap(at).Round(time.Millisecond))
	c.back("node1")
	c.settled("node1", "node1=local", "node2=local") // auto_failback on
	c.kill("node2")
	c.settled("node1", "node1=all")
	c.back("node2")
	c.settled("node1", "node1=local", "node2=local")

	at = time.Now()
	c.stop("node1")
	c.settled("node2", "node1=?", "node2=all")
	c.t.Logf("node1 (%s) stopped in order: no holder for %v", c.kinds["node1"], c.gap(at).Round(time.Millisecond))
	c.start("node1")
	c.settled("node1", "node1=local", "node2=local")
	c.stop("node2")
	c.settled("node1", "node1=all", "node2=?")
	c.start("node2")
	c.settled("node1", "node1=local", "node2=local")

	c.quiet()
	c.cutAndHeal()
}

// healPatience is until when after a partition both nodes may still have the
// group. A 3.0.6 keeps it for two seconds, until it restarts itself.
const healPatience = 4 * time.Second

// cutAndHeal cuts the nodes apart, heals the cut, and looks for the time
// without a holder.
func (c *classicLab) cutAndHeal() {
	c.t.Helper()
	w := window{from: time.Now(), to: time.Now().Add(time.Hour)}
	c.split = append(c.split, w)
	c.must(c.Cut([]string{"node1"}, []string{"node2"}, lab.BothWays))
	c.settled("node1 node2", "node1=all", "node2=all")
	healed := time.Now()
	c.must(c.Heal())
	c.split[len(c.split)-1].to = healed.Add(healPatience)
	c.settled("node1", "node1=local", "node2=local")
	gap := c.gap(healed)
	c.t.Logf("partition healed: no holder for %v, at rest after %v", gap.Round(time.Millisecond), time.Since(healed).Round(time.Millisecond))
	if gap > time.Second {
		c.t.Errorf("nobody had the group for %v after the partition", gap)
	}
}

// TestClassic is a haresources cluster of ours alone.
func TestClassic(t *testing.T) {
	c := newClassicLab(t, classicOptions{node1: ours, node2: ours})
	c.moves()
}

// TestClassicOff: with auto_failback off the group stays where it is.
func TestClassicOff(t *testing.T) {
	full(t)
	for _, other := range []kind{ours, old} {
		t.Run("beside "+string(other), func(t *testing.T) {
			c := newClassicLab(t, classicOptions{node1: ours, node2: other, failback: "off"})
			c.startBoth()
			c.quiet()
			c.kill("node1")
			c.settled("node2", "node2=all")
			c.back("node1")
			c.settled("node2", "node1=none", "node2=all")
			c.moved("node2", "hb_standby", "foreign", "node1", "node1=local", "node2=local")
			c.stop("node1")
			c.settled("node2", "node1=?", "node2=all")
			c.start("node1")
			c.settled("node2", "node1=none", "node2=all")
			c.kill("node2")
			c.settled("node1", "node1=all")
		})
	}
}

// TestClassicLegacy: with auto_failback legacy the owner asks for its groups.
func TestClassicLegacy(t *testing.T) {
	full(t)
	for _, other := range []kind{ours, old} {
		t.Run("beside "+string(other), func(t *testing.T) {
			c := newClassicLab(t, classicOptions{node1: ours, node2: other, failback: "legacy"})
			holds := func(node string) {
				t.Helper()
				c.await("the group to be on "+node, func() bool { return c.holders() == node })
			}
			c.start("node1")
			c.start("node2")
			holds("node1")
			c.await("node1 to see both active", func() bool { return c.both("node1") })
			c.quiet()
			c.kill("node1")
			holds("node2")
			c.back("node1")
			holds("node1")
			c.stop("node1")
			holds("node2")
			c.start("node1")
			holds("node1")
		})
	}
}

// TestClassicFailedStart: a group that does not start goes to the other node
// after half a minute.
func TestClassicFailedStart(t *testing.T) {
	full(t)
	c := newClassicLab(t, classicOptions{node1: ours, node2: ours})
	c.must(os.WriteFile(filepath.Join(c.SharedDir(), "fail", "last.start@node1"), nil, 0o644))
	c.start("node1")
	c.start("node2")
	// Half a minute, and what it takes to move.
	c.awaitAtMost(45*time.Second, "the group to be on node2", func() bool { return c.holders() == "node2" })
	c.settled("node2", "node1=none", "node2=all")
	log, err := os.ReadFile(c.MustNode("node1").Path("/var/log/ha-log"))
	c.must(err)
	for _, want := range []string{"ERROR: Return code 1 from /etc/ha.d/resource.d/rec", "CRIT: Giving up resources due to failure of rec::last"} {
		if !strings.Contains(string(log), want) {
			t.Errorf("no %q in node1's log", want)
		}
	}
}

// TestClassicKilledDaemon: what a killed daemon leaves running is stopped when
// it is started anew, if the other node has taken it over.
func TestClassicKilledDaemon(t *testing.T) {
	full(t)
	c := newClassicLab(t, classicOptions{node1: ours, node2: ours, failback: "off"})
	c.startBoth()
	c.split = append(c.split, window{from: time.Now(), to: time.Now().Add(time.Hour)})
	_, err := c.MustNode("node1").Signal("heartbeatd", syscall.SIGKILL)
	c.must(err)
	c.await("node2 to take over", func() bool { return c.status("node2", "rscstatus") == "all" })
	c.start("node1")
	c.settled("node2", "node1=none", "node2=all")
	c.split[0].to = time.Now()
	if strings.Contains(c.addresses("node1"), virtual) {
		t.Error("node1 still has the virtual address")
	}
	// Started anew before anybody noticed, it goes on with what runs.
	at := time.Now()
	_, err = c.MustNode("node2").Signal("heartbeatd", syscall.SIGKILL)
	c.must(err)
	_, err = c.MustNode("node2").StackEnd(c.ctx()) // until then it counts as running
	c.must(err)
	c.start("node2")
	c.settled("node2", "node1=none", "node2=all")
	if c.gap(at) > 0 {
		t.Errorf("the group was away for %v", c.gap(at))
	}
}

// TestClassicFailedStop: a resource that cannot be stopped resets its machine;
// until then nobody else starts the group. The watchdog is left armed, for a
// machine that does not go down.
func TestClassicFailedStop(t *testing.T) {
	full(t)
	const watchdog = "/var/log/watchdog" // a file stands for the device
	c := newClassicLab(t, classicOptions{node1: ours, node2: ours, extra: []string{"watchdog " + watchdog}})
	c.startBoth()
	fail := filepath.Join(c.SharedDir(), "fail", "last.stop@node1")
	c.must(os.WriteFile(fail, nil, 0o644))
	n := c.MustNode("node1")
	asked := time.Now()
	c.tool("node1", "hb_standby", "all")
	c.await("node1 to reset itself", func() bool {
		procs, err := n.Processes() // but the first, which the kernel ends with them
		return err != nil || len(procs) == 0
	})
	reset := time.Now()
	c.Record(lab.Event{AtNS: reset.UnixNano(), Kind: "kill", Node: "node1", Text: "reset itself"})
	if took := reset.Sub(asked); took < 10*time.Second {
		t.Errorf("reset after %v: the stop was to be tried eleven times, a second apart", took)
	}
	tried := (&cluster{Lab: c.Lab, t: t}).count("last", "stop-failed", asked)
	if tried != 11 {
		t.Errorf("stop was tried %d times, not 11", tried)
	}
	log, err := os.ReadFile(n.Path("/var/log/ha-log"))
	c.must(err)
	for _, want := range []string{"Retrying failed stop operation [rec::last]", "CRIT: Resource STOP failure. Reboot required!", "CRIT: Killing heartbeat ungracefully!", "CRIT: this machine is reset"} {
		if !strings.Contains(string(log), want) {
			t.Errorf("no %q in node1's log", want)
		}
	}
	if n.On() {
		c.kill("node1") // what is left of the machine: its network
	}
	beats, err := os.ReadFile(n.Path(watchdog))
	c.must(err)
	if len(beats) == 0 || bytes.Contains(beats, []byte("V")) {
		t.Errorf("the watchdog was disarmed, or never fed: %d bytes", len(beats))
	}
	c.settled("node2", "node2=all")
	c.must(os.Remove(fail))
	c.back("node1")
	c.settled("node1", "node1=local", "node2=local")
	for _, s := range c.stays() {
		if s.node == "node2" && s.from < reset.Add(-time.Second).UnixNano() {
			t.Errorf("node2 had the group before node1 was reset: %v", s)
		}
	}
}

// TestClassicFencing: a node that is silent is reset before its group is taken.
func TestClassicFencing(t *testing.T) {
	c := newClassicLab(t, classicOptions{node1: ours, node2: ours, extra: []string{"stonith_host * fence_lab"}})
	c.startBoth()
	began := time.Now()
	c.must(c.MustNode("node1").Freeze())
	c.await("the group to be on node2 alone", func() bool { return c.holders() == "node2" })
	f, err := os.Open(c.EventFile())
	c.must(err)
	defer f.Close()
	events, err := lab.ReadEvents(f)
	c.must(err)
	fenced := false
	for _, e := range events {
		fenced = fenced || e.Kind == "fenced" && e.Node == "node1" && e.At().After(began)
	}
	if !fenced {
		t.Error("node1 was not fenced")
	}
	c.settled("node1", "node1=local", "node2=local") // it was rebooted, and owns the group
}

// TestClassicMixed has Debian's heartbeat on one node, on either side.
func TestClassicMixed(t *testing.T) {
	full(t)
	for _, o := range []classicOptions{
		{node1: old, node2: ours},
		{node1: ours, node2: old},
	} {
		t.Run(fmt.Sprintf("%s beside %s", o.node1, o.node2), func(t *testing.T) {
			newClassicLab(t, o).moves()
		})
	}
}

// TestMixedMedia lets both see each other active, and a group move, over every
// IPv4 medium with every signature and every way of compressing.
func TestMixedMedia(t *testing.T) {
	full(t)
	media := []string{"ucast", "bcast", "mcast"}
	auths := []string{"crc", "md5 another-key", "sha1 lab-secret"}
	compressions := [][]string{nil, {"compression zlib"}, {"compression bz2", "traditional_compression yes", "compression_threshold 1"}}
	for i, medium := range media {
		for j, auth := range auths {
			extra := compressions[(i+j)%len(compressions)] // every pair of the three occurs
			t.Run(strings.Join(append([]string{medium, strings.Fields(auth)[0]}, extra...), ", "), func(t *testing.T) {
				o := classicOptions{node1: old, node2: ours, medium: medium, auth: auth, extra: extra}
				if (i+j)%2 == 0 {
					o.node1, o.node2 = ours, old
				}
				c := newClassicLab(t, o)
				c.startBoth()
				for _, n := range names(2) {
					c.await(n+" to see both active", func() bool { return c.both(n) })
				}
				c.moved("node1", "hb_standby", "all", "node2", "node1=none", "node2=all")
				if len(extra) > 1 {
					// Long enough to be compressed, and known to both.
					c.compressed(c.longMessage)
				} else {
					c.compressed(c.markedMessage)
				}
			})
		}
	}
}

// longMessage has several KiB, but no line that 3.0.6 does not read from its
// FIFO: it reads at most a kilobyte.
func (c *classicLab) longMessage(string) string {
	var padding strings.Builder
	for i := range 8 {
		fmt.Fprintf(&padding, "padding%d=%s\n", i, strings.Repeat("linux-ha ", 40))
	}
	return padding.String()
}

// markedMessage has a struct to be compressed, as a CRM's messages have. Ours
// does that itself; into 3.0.6 only its own programs can put such a struct, so
// it gets what comes of it.
func (c *classicLab) markedMessage(node string) string {
	table := ">>>\n"
	for i := range 20 {
		table += fmt.Sprintf("k%02d=value number %d of a long table\n", i, i)
	}
	table += "<<<\n"
	if c.kinds[node] == ours {
		return "(5)crm_xml=" + strings.ReplaceAll(table, "\n", "\x14") + "\n"
	}
	var packed bytes.Buffer
	w := zlib.NewWriter(&packed)
	_, err := w.Write([]byte(table + "\x00"))
	c.must(errors.Join(err, w.Close()))
	return "(4)crm_xml=" + base64.StdEncoding.EncodeToString(packed.Bytes()) + "\n_compression_algorithm=zlib\n"
}

// compressed sends a message with more through each node's FIFO; both nodes
// understand it, and it was compressed on its way.
func (c *classicLab) compressed(more func(node string) string) {
	c.t.Helper()
	seen := c.overhear()
	for _, n := range c.Nodes() {
		site := "site-of-" + n.Name
		c.must(os.WriteFile(n.Path("/var/log/message"), fmt.Appendf(nil, ">>>\nt=setsite\nnode=%s\nsite=%s\n%s<<<\n", n.Name, site, more(n.Name)), 0o600))
		sent := time.Time{}
		for _, reader := range names(2) {
			c.await(fmt.Sprintf("%s to know the site of %s", reader, n.Name), func() bool {
				if sent.IsZero() || c.kinds[n.Name] == old && time.Since(sent) > 10*time.Second { // 3.0.6 may lose it, see moved
					sent = time.Now()
					_, err := n.Run(c.ctx(), "sh", "-c", "dd if=/var/log/message of=/var/lib/heartbeat/fifo bs=64k oflag=append conv=notrunc 2>/dev/null") // one write
					c.must(err)
				}
				return c.status(reader, "nodesite", n.Name) == site
			})
		}
	}
	for _, n := range c.Nodes() {
		c.await("a compressed message of "+n.Name+" on the wire", func() bool { return seen(n.Name) })
	}
	for _, n := range c.Nodes() {
		log, err := os.ReadFile(n.Path("/var/log/ha-log"))
		c.must(err)
		for _, bad := range []string{"compress method", "packet dropped", "authtoken does not match"} {
			if strings.Contains(string(log), bad) {
				c.t.Errorf("%s complains: %s", n.Name, bad)
			}
		}
	}
}

// TestRollingUpgrade replaces 3.0.6 on one node after the other, while a client
// asks through the virtual address; beside it the same steps with 3.0.6 again.
func TestRollingUpgrade(t *testing.T) {
	full(t)
	longest := map[kind]string{}
	for _, to := range []kind{old, ours} {
		t.Run("to "+string(to), func(t *testing.T) {
			c := newClassicLab(t, classicOptions{node1: old, node2: old, clients: []string{"client"}})
			c.startBoth()
			asking := c.ask("client", virtual)
			for _, node := range []string{"node2", "node1"} {
				c.stop(node)
				c.await("the other node to hold all", func() bool { return c.holders() == c.other(node) })
				c.kinds[node] = to
				c.start(node)
				c.settled("node1", "node1=local", "node2=local")
			}
			longest[to] = asking()
			t.Logf("3.0.6 to %s: %s", to, longest[to])
		})
	}
	t.Logf("longest time without an answer: to 3.0.6 again %s; to ours %s", longest[old], longest[ours])
}
