package e2e

import (
	"os"
	"strings"
	"testing"

	"linuxha/deploy/lab"
)

// TestIpfail: the group goes to the node that reaches the router, and back to
// its owner once both reach it.
func TestIpfail(t *testing.T) {
	full(t)
	for _, other := range []kind{ours, old} {
		t.Run("beside "+string(other), func(t *testing.T) {
			program := map[kind]string{ours: "/usr/lib/heartbeat/ipfail", old: "/usr/libexec/heartbeat/ipfail"}
			router := lab.Address(0, 3).IP.String()
			o := classicOptions{node1: ours, node2: other, failback: "on", clients: []string{"router"}, extra: []string{"ping " + router, "deadping 600ms", "respawn hacluster " + program[ours]}}
			c := newClassicLab(t, o)
			c.must(os.WriteFile(c.MustNode("node2").Path("/etc/ha.d/ha.cf"), []byte(strings.ReplaceAll(o.haCF(), program[ours], program[other])), 0o644))
			c.startBoth()
			for _, n := range []string{"node1", "node2"} {
				c.await(n+" to reach the router, and both ipfails", func() bool {
					return c.status(n, "nodestatus", router) == "ping" && c.status(n, "clientstatus", n, "ipfail") == "online"
				})
			}
			c.quiet()
			for _, loser := range []string{"node1", "node2"} {
				winner := c.other(loser)
				if c.holders() != loser {
					// The owner has its group back; give it to the other for the second round.
					c.tool(loser, "hb_takeover", "all")
					c.await("the group to be on "+loser, func() bool { return c.holders() == loser })
				}
				c.must(c.Cut([]string{loser}, []string{"router"}, lab.BothWays))
				c.await("the group to leave "+loser, func() bool { return c.holders() == winner })
				c.must(c.Heal())
				c.await(loser+" to reach the router again", func() bool { return c.status(loser, "nodestatus", router) == "ping" })
				c.settled("node1", "node1=local", "node2=local") // auto_failback on
			}
		})
	}
}
