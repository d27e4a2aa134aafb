package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"

	"linuxha/deploy/lab"
	cibv1 "linuxha/proto/cib/v1"
)

// property sets a cluster property through a node; nil: it was acknowledged.
func (c *cluster) property(node, name, value string) error {
	return c.change(node, cibv1.Op_OP_MODIFY, "crm_config",
		fmt.Sprintf(`<crm_config><cluster_property_set id="opts"><nvpair id="opts-%s" name="%s" value="%s"/></cluster_property_set></crm_config>`, name, name, value))
}

// propertyIn reads it from a view.
func propertyIn(doc *etree.Document, name string) string {
	e := doc.FindElement(fmt.Sprintf("/cib/configuration/crm_config/cluster_property_set/nvpair[@name='%s']", name))
	if e == nil {
		return ""
	}
	return e.SelectAttrValue("value", "")
}

// sameCIB waits until all copies are the same version with the same digest.
func (c *cluster) sameCIB() {
	c.t.Helper()
	ctx := c.ctx()
	var seen []string
	for {
		seen = seen[:0]
		for _, n := range c.Nodes() {
			if !n.Running() {
				continue
			}
			s, err := cibStatus(ctx, n)
			if err != nil {
				seen = append(seen, n.Name+": "+err.Error())
				continue
			}
			v := s.GetVersion()
			seen = append(seen, fmt.Sprintf("%d.%d.%d %s", v.GetAdminEpoch(), v.GetEpoch(), v.GetNumUpdates(), s.GetDigest()))
		}
		same := len(seen) > 0
		for _, s := range seen {
			same = same && s == seen[0]
		}
		if same {
			return
		}
		select {
		case <-ctx.Done():
			c.t.Fatalf("the copies of the CIB differ: %s", strings.Join(seen, "; "))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func cibStatus(ctx context.Context, n *lab.Node) (*cibv1.GetStatusResponse, error) {
	cc, err := n.Dial("cib")
	if err != nil {
		return nil, err
	}
	defer cc.Close()
	return cibv1.NewCibClient(cc).GetStatus(ctx, &cibv1.GetStatusRequest{})
}

// TestTornCIB damages the CIB on disk of a node that is down, in each of the
// ways in which a crash or an admin can.
func TestTornCIB(t *testing.T) {
	full(t)
	c := newCluster(t, 3, nil)
	c.configure(noFencing, resources(recorder("r")))
	c.runs("r")
	c.must(c.property("", "e2e-mark", "before"))
	for _, damage := range []struct {
		name string
		do   func(path string) error
	}{
		{"cut in half", func(p string) error {
			info, err := os.Stat(p)
			if err != nil {
				return err
			}
			return os.Truncate(p, info.Size()/2)
		}},
		{"empty", func(p string) error { return os.Truncate(p, 0) }},
		{"missing", os.Remove},
		{"changed behind its back", func(p string) error {
			data, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			return os.WriteFile(p, []byte(strings.Replace(string(data), "before", "behind", 1)), 0o600)
		}},
	} {
		t.Run(damage.name+", others are there", func(t *testing.T) {
			c := c.in(t)
			n := c.MustNode("node2")
			c.must(n.StopStack(c.ctx()))
			c.must(damage.do(n.Path("/var/lib/heartbeat/crm/cib.xml")))
			c.must(n.Start(c.ctx()))
			v := c.settled(names(3)...)
			if got := propertyIn(v.Doc, "e2e-mark"); got != "before" {
				t.Errorf("the property is %q after the join", got)
			}
			c.sameCIB()
		})
	}
	t.Run("cut in half on every node", func(t *testing.T) {
		c := c.in(t)
		c.must(c.property("", "e2e-mark", "after")) // so that a backup with "before" exists
		c.sameCIB()
		c.stopAll()
		for _, n := range c.Nodes() {
			p := n.Path("/var/lib/heartbeat/crm/cib.xml")
			info, err := os.Stat(p)
			c.must(err)
			c.must(os.Truncate(p, info.Size()/2))
		}
		c.must(c.Start(c.ctx()))
		v := c.settled(names(3)...)
		if got := propertyIn(v.Doc, "e2e-mark"); got != "before" && got != "after" {
			t.Errorf("nothing was recovered from the backups: the property is %q", got)
		}
		c.runs("r")
		kept, err := filepath.Glob(filepath.Join(c.MustNode("node1").Path("/var/lib/heartbeat/crm"), "*"))
		c.must(err)
		t.Logf("node1 keeps %d files", len(kept))
	})
}

// TestFullDisk fills the disk of one node, then of the DC: what was
// acknowledged is kept, nothing unreadable is left, and with space again the
// copies are the same.
func TestFullDisk(t *testing.T) {
	full(t)
	c := newCluster(t, 3, func(o *lab.Options) { o.DiskSize = 24 << 20 })
	c.configure(noFencing, resources(recorder("r")))
	c.runs("r")
	for _, role := range []string{"another node", "the DC"} {
		t.Run(role, func(t *testing.T) {
			c := c.in(t)
			v := c.settled(names(3)...)
			victim := v.DC
			if role == "another node" {
				victim = without(names(3), v.DC)[0]
			}
			n := c.MustNode(victim)
			c.must(n.FillDisk())
			acked := ""
			for i := range 3 {
				value := fmt.Sprintf("%s-%d", strings.Fields(role)[1], i)
				err := c.property(without(names(3), victim)[0], "e2e-mark", value)
				t.Logf("change with a full disk: %v", err)
				if err == nil {
					acked = value
				}
			}
			if role == "another node" && acked == "" {
				t.Error("two of three disks have space, yet no change was acknowledged")
			}
			c.must(n.FreeDisk())
			c.must(c.property("", "e2e-mark-2", "x")) // a change after it reaches all
			v = c.settled(names(3)...)
			if got := propertyIn(v.Doc, "e2e-mark"); acked != "" && got != acked {
				t.Errorf("acknowledged %q, found %q", acked, got)
			}
			c.sameCIB()
			c.runs("r")

			// What is on its disk must be readable after a power cut.
			c.killed(victim)
			c.settled(without(names(3), victim)...)
			c.must(n.Start(c.ctx()))
			v = c.settled(names(3)...)
			if got := propertyIn(v.Doc, "e2e-mark"); acked != "" && got != acked {
				t.Errorf("after the power cut: acknowledged %q, found %q", acked, got)
			}
			c.sameCIB()
		})
	}
}

// TestAcknowledgedSurvives kills the DC in the instant in which it
// acknowledged a change, again and again: the change is there afterwards.
func TestAcknowledgedSurvives(t *testing.T) {
	rounds := 100
	if testing.Short() {
		rounds = 3
	}
	nodes := names(5)
	c := newCluster(t, len(nodes), nil)
	c.configure(noFencing)
	for round := range rounds {
		v, err := c.AwaitDC(c.ctx(), "a majority with a DC", func(v *lab.View) bool { return v.Quorate && len(v.Online) >= 4 && v.Settled() })
		c.must(err)
		value := fmt.Sprintf("round-%d", round)
		// Alternately through the DC itself and through another node.
		via := v.DC
		if round%2 == 1 {
			via = without(v.Online, v.DC)[0]
		}
		c.must(c.property(via, "e2e-mark", value))
		c.killed(v.DC)
		dead := v.DC
		v = c.await("a new DC", func(v *lab.View) bool { return v.DC != dead && v.State == "S_IDLE" && v.Quorate })
		if got := propertyIn(v.Doc, "e2e-mark"); got != value {
			t.Fatalf("round %d: %q was acknowledged by %s, which was killed then; %s has %q", round, value, dead, v.DC, got)
		}
		c.must(c.MustNode(dead).Start(c.ctx()))
	}
	c.settled(nodes...)
	c.sameCIB()
}
