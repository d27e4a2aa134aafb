package e2e

import (
	"os/exec"
	"strings"
	"testing"
)

// TestCrmsh has an unmodified crmsh work on a cluster of ours (clients 6, checks
// 1 to 27).
func TestCrmsh(t *testing.T) {
	full(t)
	if _, err := exec.LookPath("crm"); err != nil {
		t.Skip("skipped: crmsh is not installed (apt-get install --no-install-recommends crmsh)")
	}
	c := newCluster(t, 2, nil)
	c.everywhere("mkdir -p /var/log/crmsh /tmp/home")
	crm := func(args ...string) (string, int) {
		return c.tool(c.MustNode("node1"), append([]string{"env", "HOME=/tmp/home", "crm"}, args...)...)
	}
	// does runs one command; every line of want has to be in what it prints.
	does := func(command, want string) {
		t.Helper()
		out, rc := crm(strings.Fields(command)...)
		if rc != 0 {
			t.Fatalf("crm %s: exit status %d\n%s", command, rc, out)
		}
		for line := range strings.SplitSeq(want, "\n") {
			if !strings.Contains(out, line) {
				t.Errorf("crm %s does not print %q:\n%s", command, line, out)
			}
		}
	}
	refuses := func(command, want string) {
		t.Helper()
		if out, rc := crm(strings.Fields(command)...); rc == 0 || !strings.Contains(out, want) {
			t.Errorf("crm %s: exit status %d, want a refusal with %q\n%s", command, rc, want, out)
		}
	}
	does("status", "Online: [ node1 node2 ]")
	does("configure property stonith-enabled=false", "")
	does("configure primitive d1 ocf:heartbeat:Dummy op monitor interval=10s meta target-role=Started", "")
	c.runs("d1", "node1", "node2")
	does("configure primitive x1 ocf:heartbeat:Dummy op monitor interval=10s", "")
	does("configure location l1 x1 100: node1", "")
	does("configure group g1 x1", "modified location:l1 from x1 to g1")
	c.runs("x1", "node1")
	does("resource status x1", "resource x1 is running on: node1")
	does("resource constraints g1", "Node node1 (score=100, id=l1, rsc=g1)")
	does("resource stop g1", "")
	c.settled("node1", "node2")
	does("-w resource start g1", "")
	c.runs("x1", "node1")
	refuses("resource move x1 node1", "Requested item already exists")
	does("resource cleanup d1", "Cleaned up d1 on node1\nCleaned up d1 on node2")
	does("resource param d1 set fake abc", "Set 'd1' option: id=d1-instance_attributes-fake set=d1-instance_attributes name=fake value=abc")
	does("resource param d1 show fake", "abc")
	does("node standby node1", "standby node node1")
	c.runs("x1", "node2")
	// Not "node online": crmsh 4.4.1 looks for numbers as node ids there.
	does("node attribute node1 delete standby", "")
	c.runs("x1", "node1")
	does("node attribute node1 set foo bar", "")
	does("node attribute node1 show foo", "scope=nodes  name=foo value=bar")
	refuses("configure delete d1", "resource d1 is running, can't delete it")
	does("cib new sh1", "sh1 shadow CIB created")
	does("cib delete sh1", "sh1 shadow CIB deleted")
	does("ra info ocf:heartbeat:Dummy", "(ocf:heartbeat:Dummy)\nstate (string,")
	does("configure verify", "")
	does("configure show", "primitive d1 Dummy\nlocation l1 g1 100: node1\nstonith-enabled=false\ngroup g1 x1")
}
