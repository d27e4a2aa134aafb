package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"linuxha/deploy/lab"
)

// heartbeat21 is a configuration in the words of Heartbeat 2.1 (cib 9.6), as
// it lay on disk: options and pairs in their wrappers, underscores, what is
// managed said at the resource, an order from the later to the earlier. What
// %s stands for is is_managed_default.
const heartbeat21 = `<cib admin_epoch="0" epoch="40" num_updates="1" have_quorum="true" cib_feature_revision="2.0" num_peers="2" generated="true" ccm_transition="4">
 <configuration>
  <crm_config><cluster_property_set id="cib-bootstrap-options"><attributes>
   <nvpair id="o1" name="stonith_enabled" value="false"/>
   <nvpair id="o2" name="no_quorum_policy" value="ignore"/>
   <nvpair id="o3" name="dc_deadtime" value="2s"/>
   <nvpair id="o4" name="default_resource_stickiness" value="100"/>
   <nvpair id="o5" name="is_managed_default" value="%s"/>
  </attributes></cluster_property_set></crm_config>
  <nodes/>
  <resources>
   <primitive id="r" class="ocf" provider="lab" type="Recorder" is_managed="true">
    <operations><op id="r-mon" name="monitor" interval="1s" timeout="10s"/></operations>
   </primitive>
   <group id="g" is_managed="true" ordered="true" collocated="true">
    <primitive id="a" class="ocf" provider="lab" type="Recorder"/>
    <primitive id="b" class="ocf" provider="lab" type="Recorder">
     <instance_attributes id="b-attrs"><attributes><nvpair id="b-role" name="target_role" value="started"/></attributes></instance_attributes>
     <operations><op id="b-mon" name="monitor" interval="1s" timeout="10s" on_fail="restart" prereq="nothing"/></operations>
    </primitive>
   </group>
  </resources>
  <constraints>
   <rsc_order id="g-after-r" from="g" to="r" type="after"/>
   <rsc_location id="r-likes" rsc="r"><rule id="r-likes-1" score="50"><expression id="r-likes-1-1" attribute="#uname" operation="eq" value="node1"/></rule></rsc_location>
   <rsc_location id="g-likes" rsc="g"><rule id="g-likes-1" score="50"><expression id="g-likes-1-1" attribute="#uname" operation="eq" value="node2"/></rule></rsc_location>
  </constraints>
 </configuration>
 <status/>
</cib>
`

// TestUnmanagedUpgrade is the upgrade that Heartbeat's guide describes: stop
// managing, back up, stop the cluster, wipe, restore the configuration on one
// node, start, let it replicate, manage again, upgrade; in the guide's own
// words and option names. The services never stop.
func TestUnmanagedUpgrade(t *testing.T) {
	for name, backup := range map[string]func(c *cluster) string{
		"backed up with cibadmin": func(c *cluster) string { return c.succeed("node1", "cibadmin", "-Q") },
		"backed up by Heartbeat": func(*cluster) string { // while it still ran here: what cibadmin of those days printed
			return strings.ReplaceAll(fmt.Sprintf(heartbeat21, "false"), ` is_managed="true"`, "")
		},
	} {
		t.Run(name, func(t *testing.T) {
			full(t)
			unmanagedUpgrade(t, backup)
		})
	}
}

func unmanagedUpgrade(t *testing.T, backup func(*cluster) string) {
	c := newLab(t, 2, nil)
	for _, n := range c.Nodes() {
		c.must(n.Boot())
	}
	c.restore("node1", fmt.Sprintf(heartbeat21, "true"))
	c.must(c.Start(c.ctx()))
	c.settled(names(2)...)
	placed := map[string]string{"r": "node1", "a": "node2", "b": "node2"}
	running := func(when string) *lab.View {
		t.Helper()
		return c.await(fmt.Sprintf("%v %s", placed, when), func(v *lab.View) bool {
			for rsc, node := range placed {
				if v.Where(rsc) != node {
					return false
				}
			}
			return v.Settled()
		})
	}
	running("in the configuration of Heartbeat 2.1")

	// Nothing is managed.
	c.succeed("node1", "crm_attribute", "-t", "crm_config", "-n", "is_managed_default", "-v", "false")
	c.succeed("node1", "crm_resource", "-t", "primitive", "-r", "r", "-p", "is_managed", "-D")
	c.succeed("node2", "crm_resource", "-t", "group", "-r", "g", "-p", "is_managed", "-D")
	c.await("nothing to be managed", func(v *lab.View) bool {
		return v.Settled() && v.Doc.FindElement("//resources//nvpair[@name='is-managed']") == nil
	})
	if out := c.succeed("node1", "crm_mon", "-1"); strings.Count(out, "(unmanaged)") != len(placed)+1 { // and the group
		t.Errorf("crm_mon shows not all as unmanaged:\n%s", out)
	}
	unmanaged := time.Now()

	// Back up, stop, wipe, restore on one node.
	saved := backup(c)
	for _, n := range c.Nodes() {
		c.must(n.StopStack(c.ctx()))
	}
	for _, n := range c.Nodes() {
		old, err := filepath.Glob(filepath.Join(n.Path("/var/lib/heartbeat/crm"), "*"))
		c.must(err)
		if len(old) == 0 {
			t.Fatalf("%s keeps no CIB where it is looked for", n.Name)
		}
		for _, f := range old {
			c.must(os.RemoveAll(f))
		}
	}
	c.restore("node2", saved)
	c.must(c.MustNode("node2").Start(c.ctx()))
	c.settled("node2")
	c.must(c.MustNode("node1").Start(c.ctx()))
	c.settled(names(2)...)
	c.sameCIB()
	running("found by probes")
	verify, err := c.MustNode("node1").Run(c.ctx(), "crm_verify", "-L", "-V")
	if err != nil {
		t.Errorf("crm_verify of the restored configuration: %v\n%s", err, verify)
	}

	// Managed again, and in the newest language.
	c.succeed("node1", "crm_attribute", "-t", "crm_config", "-n", "is_managed_default", "-v", "true")
	running("managed")
	c.succeed("node1", "cibadmin", "--upgrade", "--force")
	c.await("the newest schema", func(v *lab.View) bool {
		return v.Settled() && v.Doc.Root().SelectAttrValue("validate-with", "") == "pacemaker-3.9"
	})
	v := running("after the upgrade")
	c.sameCIB()
	c.succeed("node2", "crm_verify", "-L", "-V")
	if out := c.succeed("node2", "crm_mon", "-1"); strings.Contains(out, "unmanaged") {
		t.Errorf("crm_mon still shows resources as unmanaged:\n%s", out)
	}
	if n := v.Doc.FindElement("//crm_config//nvpair[@name='is-managed-default']"); n != nil {
		t.Error("the upgrade left is-managed-default among the cluster's options")
	}
	for rsc := range placed {
		for _, what := range []string{"start-begin", "stop-begin"} {
			if n := c.count(rsc, what, unmanaged); n != 0 {
				t.Errorf("%d times %s of %s in the course of the upgrade", n, what, rsc)
			}
		}
	}

	// Managed they go where the other node is, when theirs dies.
	_, err = c.MustNode("node2").Kill()
	c.must(err)
	for rsc := range placed {
		placed[rsc] = "node1"
	}
	running("after the death of node2")
}

// succeed runs a command on a node and returns what it printed.
func (c *cluster) succeed(node string, argv ...string) string {
	c.t.Helper()
	out, err := c.MustNode(node).Run(c.ctx(), argv...)
	if err != nil {
		c.t.Fatalf("%s on %s: %v\n%s", strings.Join(argv, " "), node, err, out)
	}
	return out
}

// restore puts a configuration where a node that is down keeps its own, and
// nothing beside it.
func (c *cluster) restore(node, xml string) {
	c.t.Helper()
	path := c.MustNode(node).Path("/var/lib/heartbeat/crm/cib.xml")
	c.must(os.WriteFile(path, []byte(xml), 0o600))
	info, err := os.Stat(filepath.Dir(path))
	c.must(err)
	owner := info.Sys().(*syscall.Stat_t)
	c.must(os.Chown(path, int(owner.Uid), int(owner.Gid)))
}
