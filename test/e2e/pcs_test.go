package e2e

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// TestPcs has an unmodified pcs work on a cluster of ours (clients 6). For what
// is about nodes it wants a corosync.conf that names them.
func TestPcs(t *testing.T) {
	full(t)
	if _, err := exec.LookPath("pcs"); err != nil {
		t.Skip("skipped: pcs is not installed (apt-get install --no-install-recommends pcs)")
	}
	c := newCluster(t, 2, nil)
	conf := "totem {\n version: 2\n cluster_name: linux-ha\n transport: knet\n}\nnodelist {\n"
	for i := 1; i <= 2; i++ {
		conf += fmt.Sprintf(" node {\n ring0_addr: node%d\n name: node%d\n nodeid: %d\n }\n", i, i, i)
	}
	c.everywhere("mkdir -p /etc/corosync && cat > /etc/corosync/corosync.conf <<'END'\n" + conf + "}\nquorum {\n provider: corosync_votequorum\n}\nEND")
	node1 := c.MustNode("node1")
	// does runs one command; every line of want has to be in what it prints.
	does := func(command, want string) {
		t.Helper()
		out, rc := c.tool(node1, "sh", "-c", "pcs "+command+" 2>&1")
		if rc != 0 {
			t.Fatalf("pcs %s: exit status %d\n%s", command, rc, out)
		}
		for line := range strings.SplitSeq(want, "\n") {
			if !strings.Contains(out, line) {
				t.Errorf("pcs %s does not print %q:\n%s", command, line, out)
			}
		}
	}
	does("status", "Online: [ node1 node2 ]")
	does("property set stonith-enabled=false", "")
	does("resource create d1 ocf:heartbeat:Dummy op monitor interval=10s --wait=30", "resource 'd1' is running on node 'node")
	does("constraint location d1 prefers node1=100", "")
	c.runs("d1", "node1")
	does("constraint", "Node: node1 (score:100)")
	does("resource defaults update resource-stickiness=200", "")
	does("resource move d1 node2", "Location constraint to move resource 'd1' has been created\nhas been removed")
	c.runs("d1", "node2") // it stays there
	does("resource move d1 node1", "")
	c.runs("d1", "node1")
	does("resource disable d1 --wait=30", "resource 'd1' is not running on any node")
	does("resource enable d1 --wait=30", "resource 'd1' is running on node 'node1'")
	does("node standby node1", "")
	c.runs("d1", "node2")
	does("status nodes", " Standby: node1")
	does("node unstandby node1", "")
	does("resource move d1 node1", "resource 'd1' is running on node 'node1'")
	does("resource create d2 ocf:heartbeat:Dummy --group g1", "")
	does("constraint colocation add g1 with d1 500", "")
	does("constraint order d1 then g1", "Adding d1 g1 (kind: Mandatory) (Options: first-action=start then-action=start)")
	c.runs("d2", "node1")
	does("resource ban g1 node1", "Creating location constraint 'cli-ban-g1-on-node1'")
	c.runs("d2", "node2")
	does("resource clear g1", "Removing constraint: cli-ban-g1-on-node1")
	does("node attribute node1 foo=bar", "")
	does("node attribute", "node1: foo=bar")
	does("resource cleanup d1", "Cleaned up d1 on node1\nCleaned up d1 on node2")
	does("resource config", "Resource: d1 (class=ocf provider=heartbeat type=Dummy)\nGroup: g1")
	does("resource delete g1", "Deleting Resource (and group) - d2")
	does("property", "stonith-enabled: false")
}
