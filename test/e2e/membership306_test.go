package e2e

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"linuxha/deploy/lab"
	heartbeatv1 "linuxha/proto/heartbeat/v1"
)

// ccmClient is the package's program that prints the membership of its node's
// ccm; it goes on until it is ended.
const ccmClient = "/usr/libexec/heartbeat/ccm_testclient"

var (
	oldInstance = regexp.MustCompile(`info: instance=(\d+)\n`)
	oldMember   = regexp.MustCompile(`nodeid=\d+, uname=(\S+), born=\d+`)
)

// membership is what a node says about the one with 3.0.6: its number and
// members; "none". Ours must know by which of them there is quorum.
func (c *classicLab) membership(node string) string {
	c.t.Helper()
	n := c.MustNode(node)
	if c.kinds[node] == ours {
		if !n.Running() {
			return "none"
		}
		cc, err := n.Dial("heartbeatd")
		c.must(err)
		defer cc.Close()
		st, err := heartbeatv1.NewControlClient(cc).GetStatus(c.ctx(), &heartbeatv1.GetStatusRequest{})
		if err != nil || st.Membership306 == nil {
			return "none"
		}
		m := st.Membership306
		var members []string
		for _, member := range m.Members {
			members = append(members, member.Name)
		}
		if total := len(c.kinds); m.Quorate != (total == 2 || 2*len(members) > total) {
			c.t.Errorf("%s: %d of %d: quorate=%v", node, len(members), total, m.Quorate)
		}
		return fmt.Sprintf("%d: %s", m.Number, strings.Join(members, " "))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	// It prints what is in force and then waits for changes.
	out, err := n.Run(ctx, "sh", "-c", "timeout 1 "+ccmClient+" 2>&1 || [ $? = 124 ]")
	if err != nil {
		return "none"
	}
	number := oldInstance.FindAllStringSubmatch(out, -1)
	if len(number) == 0 {
		return "none"
	}
	var members []string
	all, _, _ := strings.Cut(out[strings.LastIndex(out, "info: instance="):], "NEW MEMBERS")
	for _, m := range oldMember.FindAllStringSubmatch(all, -1) {
		members = append(members, m[1])
	}
	slices.Sort(members)
	return number[len(number)-1][1] + ": " + strings.Join(members, " ")
}

// agree waits until the nodes have one membership, of just them.
func (c *classicLab) agree(nodes ...string) {
	c.t.Helper()
	said := map[string]string{}
	ok := func() bool {
		for _, n := range nodes {
			said[n] = c.membership(n)
		}
		for _, n := range nodes {
			if said[n] != said[nodes[0]] || !strings.HasSuffix(said[n], ": "+strings.Join(nodes, " ")) {
				return false
			}
		}
		return true
	}
	for end := time.Now().Add(patience); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			c.t.Fatalf("not within %v: one membership of %v; they say %v", patience, nodes, said)
		}
	}
	c.Event("agreed", nodes[0], said[nodes[0]])
	c.t.Logf("membership %s", said[nodes[0]])
}

// TestMembership306: the ccm of 3.0.6 and ours form one membership, whoever
// leads it, comes first, dies or leaves.
func TestMembership306(t *testing.T) {
	full(t)
	for _, o := range []classicOptions{
		{node1: old, node2: ours, extra: []string{"respawn hacluster /usr/libexec/heartbeat/ccm"}}, // beside haresources
		{node1: ours, node2: old, more: []kind{ours}, extra: []string{"crm ccm-only"}},
		{node1: old, node2: ours, more: []kind{old}, extra: []string{"crm ccm-only"}},
	} {
		all := names(2 + len(o.more))
		t.Run(strings.Join(append([]string{string(o.node1), string(o.node2)}, kindNames(o.more)...), ", "), func(t *testing.T) {
			c := newClassicLab(t, o)
			for _, n := range all {
				c.start(n)
			}
			c.agree(all...)
			for _, n := range all {
				rest := without(all, n)
				hasOld := slices.ContainsFunc(rest, func(r string) bool { return c.kinds[r] == old })
				c.kill(n)
				if hasOld {
					c.agree(rest...)
				} else {
					c.await("no membership with 3.0.6", func() bool {
						return !slices.ContainsFunc(rest, func(r string) bool { return c.membership(r) != "none" })
					})
				}
				c.back(n)
				c.agree(all...)
			}
			if len(all) > 2 {
				for _, n := range all { // 3.0.6 with its ccm does not restart after a partition
					rest := without(all, n)
					c.must(c.Cut([]string{n}, rest, lab.BothWays))
					if slices.ContainsFunc(rest, func(r string) bool { return c.kinds[r] == old }) {
						c.agree(rest...)
					} else {
						c.agree(n)
					}
					c.must(c.Heal())
					c.agree(all...)
				}
			}
			leaver := all[1]
			c.stop(leaver)
			if rest := without(all, leaver); slices.ContainsFunc(rest, func(r string) bool { return c.kinds[r] == old }) {
				c.agree(rest...)
			}
			c.start(leaver)
			c.agree(all...)
		})
	}
}

func kindNames(kinds []kind) []string {
	var out []string
	for _, k := range kinds {
		out = append(out, string(k))
	}
	return out
}
