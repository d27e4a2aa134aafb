package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"linuxha/deploy/lab"
	hbcluster "linuxha/internal/cluster"
	heartbeatv1 "linuxha/proto/heartbeat/v1"
)

// messaging is a lab whose nodes run heartbeatd alone.
type messaging struct {
	*lab.Lab
	t *testing.T
}

// newMessaging boots n nodes with that ha.cf (timing, media, keys come from
// the caller), gives them IPv6 addresses fd77:<link>::<number>, and starts
// heartbeatd.
func newMessaging(t *testing.T, n int, hacf, authkeys string) *messaging {
	t.Helper()
	return newMessagingWith(t, n, nil, hacf, authkeys, func(*lab.Lab) {})
}

// newMessagingWith also has machines without heartbeatd, which before starts.
func newMessagingWith(t *testing.T, n int, clients []string, hacf, authkeys string, before func(*lab.Lab)) *messaging {
	t.Helper()
	if err := lab.Probe(); err != nil {
		t.Skipf("skipped: %v", err)
	}
	l, err := lab.New(lab.Options{
		Nodes: names(n), Clients: clients, Bin: binDir(), AuthKeys: authkeys,
		WholeHACF: "logfile /var/log/ha-log\nlogfacility none\ncrm manual\nnode " + strings.Join(names(n), " ") + "\n" + hacf,
	})
	if err != nil {
		t.Fatal(err)
	}
	m := &messaging{l, t}
	t.Cleanup(func() {
		if t.Failed() {
			dir := filepath.Join(artifacts(), strings.ReplaceAll(t.Name(), "/", "_"))
			err := errors.Join(os.RemoveAll(dir), l.SaveArtifacts(dir))
			t.Logf("logs are kept in %s (%v)", dir, err)
		}
		if err := l.Close(); err != nil {
			t.Errorf("remove the lab: %v", err)
		}
	})
	before(l)
	for _, node := range l.Nodes() {
		m.must(node.Boot())
		for link := range 2 {
			dev := fmt.Sprintf("eth%d", link)
			if out, err := node.Run(t.Context(), "ip", "-6", "address", "add", fmt.Sprintf("fd77:%d::%d/64", link, node.Index), "dev", dev, "nodad"); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
	}
	for _, node := range l.Nodes() {
		m.must(node.StartStack())
	}
	return m
}

func (m *messaging) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// control is a node's Control service.
func (m *messaging) control(node *lab.Node) heartbeatv1.ControlClient {
	m.t.Helper()
	cc, err := node.Dial("heartbeatd")
	m.must(err)
	m.t.Cleanup(func() { cc.Close() })
	return heartbeatv1.NewControlClient(cc)
}

// await follows a node's status until it is as wanted.
func (m *messaging) await(node *lab.Node, what string, ok func(*heartbeatv1.GetStatusResponse) bool) *heartbeatv1.GetStatusResponse {
	m.t.Helper()
	c := m.control(node)
	var last *heartbeatv1.GetStatusResponse
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) { // figures are in no stream
		st, err := c.GetStatus(m.t.Context(), &heartbeatv1.GetStatusRequest{})
		if err != nil {
			continue
		}
		if last = st; ok(st) {
			return st
		}
	}
	m.t.Fatalf("%s: waiting in vain for %s; last: %v", node.Name, what, last)
	return nil
}

// formed waits until all nodes are active for each other, in one view.
func (m *messaging) formed() {
	m.t.Helper()
	for _, node := range m.Nodes() {
		m.await(node, "all nodes to be active and members", func(st *heartbeatv1.GetStatusResponse) bool {
			for _, n := range st.Nodes {
				if n.Type == "normal" && n.Status != "active" {
					return false
				}
			}
			return len(st.Membership.GetMembers()) == len(m.Nodes())
		})
	}
}

func (m *messaging) log(node *lab.Node) string {
	text, err := os.ReadFile(node.Path("/var/log/ha-log"))
	m.must(err)
	return string(text)
}

const quickTiming = "keepalive 100ms\nwarntime 300ms\ndeadtime 600ms\ninitdead 3\n"

// TestEveryIPMedium: two nodes see each other over each medium, with each
// method of authkeys, compressed or not.
func TestEveryIPMedium(t *testing.T) {
	full(t)
	for _, tc := range []struct{ medium, auth string }{
		{"ucast eth0 10.77.0.1\nucast eth0 10.77.0.2\n", "crc"},
		{"bcast eth0\n", "md5 k"},
		{"mcast eth0 239.0.0.43 694 1 0\n", "sha1 k"},
		{"ucast6 eth0 fd77:0::1\nucast6 eth0 fd77:0::2\n", "sha256 k"},
		{"mcast6 eth0 ff05::42 694 1 0\n", "aes256-gcm k"},
		{"bcast eth0\nmcast6 eth1 ff05::42 694 1 0\ntraditional_compression on\ncompression bz2\ncompression_threshold 1\n", "sha1 k"},
	} {
		t.Run(strings.Fields(tc.medium)[0]+" "+strings.Fields(tc.auth)[0], func(t *testing.T) {
			m := newMessaging(t, 2, quickTiming+"udpport 694\n"+tc.medium, "auth 1\n1 "+tc.auth+"\n")
			m.formed()
			for _, node := range m.Nodes() {
				m.await(node, "every link to be up", func(st *heartbeatv1.GetStatusResponse) bool {
					for _, n := range st.Nodes {
						for _, l := range n.Links {
							if l.Status != "up" || n.Node != node.Name && l.Received == 0 {
								return false
							}
						}
					}
					return true
				})
			}
			if log := m.log(m.Nodes()[0]); strings.Contains(log, "packet dropped") {
				t.Errorf("packets were not understood:\n%s", log)
			}
		})
	}
}

// span is how long the tests of endurance last: HA_ENDURE=5m makes it longer.
func span(t *testing.T) time.Duration {
	if text := os.Getenv("HA_ENDURE"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	return 40 * time.Second
}

// chat sends numbered messages from a node's client to all, and checks that
// each node's come in order, whole and once; it returns how many came.
func chat(ctx context.Context, m *messaging, node *lab.Node, every time.Duration) (received int, err error) {
	cc, err := node.Dial("heartbeatd")
	if err != nil {
		return 0, err
	}
	defer cc.Close()
	conn, err := hbcluster.Attach(context.WithoutCancel(ctx), cc, "chat", nil)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	all := len(m.Nodes())
	together := false // all chats are attached
	next := map[string]int{}
	sent, last := 0, -1
	tick := time.NewTicker(every)
	defer tick.Stop()
	done := ctx.Done()
	late := make(<-chan time.Time)
	for {
		select {
		case <-done: // say how many there were, and hear the others out
			done = nil
			last = sent
			if err := conn.Send("", "", []byte("last "+strconv.Itoa(sent))); err != nil {
				return received, err
			}
			late = time.After(patience)
		case <-late:
			return received, fmt.Errorf("%s: not all messages have come: %v", node.Name, next)
		case <-tick.C:
			if !together || last >= 0 {
				continue
			}
			if err := conn.Send("", "", []byte(strconv.Itoa(sent))); err != nil {
				return received, err
			}
			sent++
		case ev, ok := <-conn.Events():
			if !ok {
				return received, fmt.Errorf("%s: stream ended: %w", node.Name, conn.Err())
			}
			if v := ev.GetMembership(); v != nil {
				if len(v.Members) != all {
					return received, fmt.Errorf("%s: view %d has %d members: %v", node.Name, v.Number, len(v.Members), v.Lost)
				}
				chats := 0
				for _, member := range v.Members {
					for _, p := range member.Processes {
						if p.Name == "chat" {
							chats++
						}
					}
				}
				together = together || chats == all
			}
			msg := ev.GetMessage()
			if msg == nil {
				continue
			}
			text, ended := strings.CutPrefix(string(msg.Payload), "last ")
			n, err := strconv.Atoi(text)
			if err != nil || n != next[msg.FromNode] {
				return received, fmt.Errorf("%s: got %q of %s after %d messages", node.Name, msg.Payload, msg.FromNode, next[msg.FromNode])
			}
			if !ended {
				next[msg.FromNode]++
				received++
				continue
			}
			if next[msg.FromNode] = -1; allEnded(next, all) {
				return received, nil
			}
		}
	}
}

func allEnded(next map[string]int, nodes int) bool {
	for _, n := range next {
		if n >= 0 {
			return false
		}
	}
	return len(next) == nodes
}

// TestBadWeather: 30% loss, duplication, reordering and 200 ms jitter on both
// links of three nodes, with a dead time of ten keepalives.
func TestBadWeather(t *testing.T) {
	full(t)
	m := newMessaging(t, 3, "keepalive 200ms\nwarntime 1\ndeadtime 2\ninitdead 4\nudpport 694\nbcast eth0 eth1\n", "")
	m.formed()
	bad := lab.Impairment{Jitter: 200 * time.Millisecond, Duplicate: 20, Reorder: 20, Loss: 30}
	m.must(m.Impair(names(3)[:1], names(3)[1:], lab.BothWays, bad))
	m.must(m.Impair(names(3)[1:2], names(3)[2:], lab.BothWays, bad))
	ctx, cancel := context.WithTimeout(t.Context(), span(t))
	defer cancel()
	var wg sync.WaitGroup
	for _, node := range m.Nodes() {
		wg.Go(func() {
			n, err := chat(ctx, m, node, 20*time.Millisecond)
			if err != nil {
				t.Error(err)
			}
			t.Logf("%s: %d messages", node.Name, n)
		})
	}
	wg.Wait()
	for _, node := range m.Nodes() {
		if log := m.log(node); strings.Contains(log, ": is dead") {
			t.Errorf("%s saw a death:\n%s", node.Name, log)
		}
		st := m.await(node, "figures", func(*heartbeatv1.GetStatusResponse) bool { return true })
		for _, n := range st.Nodes {
			for _, l := range n.Links {
				if n.Node == node.Name {
					continue
				}
				t.Logf("%s: %s over %s: loss %.1f%%, round trip %v", node.Name, n.Node, l.Name, 100*l.Loss, time.Duration(l.RoundTripNs).Round(time.Millisecond))
				// What comes after it was asked for again counts as lost.
				if l.Loss < 0.2 || l.Loss > 0.65 {
					t.Errorf("%s: loss of %s over %s is given as %.3f, and was 0.3, with as many late ones", node.Name, n.Node, l.Name, l.Loss)
				}
			}
		}
	}
}

// TestPaused: a process that is paused for less than the dead time is not
// taken for dead, and takes nobody for dead; one that is paused for longer is
// dead and comes back.
func TestPaused(t *testing.T) {
	full(t)
	m := newMessaging(t, 3, "keepalive 100ms\nwarntime 300ms\ndeadtime 1\ninitdead 3\nudpport 694\nbcast eth0 eth1\n", "")
	m.formed()
	first := m.await(m.Nodes()[0], "a view", func(*heartbeatv1.GetStatusResponse) bool { return true }).Membership.Number
	for i := range 6 {
		node := m.Nodes()[i%3]
		m.must(node.Freeze())
		time.Sleep(800 * time.Millisecond) // the pause itself
		m.must(node.Thaw())
		m.formed()
	}
	for _, node := range m.Nodes() {
		if log := m.log(node); strings.Contains(log, ": is dead") {
			t.Errorf("%s saw a death:\n%s", node.Name, log)
		}
		if now := m.await(node, "a view", func(*heartbeatv1.GetStatusResponse) bool { return true }).Membership.Number; now != first {
			t.Errorf("%s: view %d, was %d", node.Name, now, first)
		}
	}
	victim := m.Nodes()[2]
	m.must(victim.Freeze())
	m.await(m.Nodes()[0], "the frozen node to be out", func(st *heartbeatv1.GetStatusResponse) bool {
		return len(st.Membership.GetMembers()) == 2
	})
	m.must(victim.Thaw())
	m.formed()
	if st := m.await(victim, "a view", func(*heartbeatv1.GetStatusResponse) bool { return true }); st.Membership.Number <= first {
		t.Errorf("the node came back with view %d, was %d", st.Membership.Number, first)
	}
}

// TestQuorumServer: of two halves of a cluster just one has quorum, the one
// that the server chose; when it is gone, the other one gets it.
func TestQuorumServer(t *testing.T) {
	full(t)
	arbiter := lab.Address(0, 5).IP.String()
	m := newMessagingWith(t, 4, []string{"arbiter"}, quickTiming+"udpport 694\nbcast eth0\nenv quorum=majority:quorumd\nquorum_server "+arbiter+"\n", "auth 1\n1 sha256 q\n", func(l *lab.Lab) {
		n := l.MustNode("arbiter")
		if err := errors.Join(n.Boot(), os.MkdirAll(n.Path("/etc/ha.d"), 0o755), os.WriteFile(n.Path("/etc/ha.d/authkeys"), []byte("auth 1\n1 sha256 q\n"), 0o600)); err != nil {
			t.Fatal(err)
		}
		if out, err := n.Run(t.Context(), "/usr/lib/heartbeat/ha_quorumd", "-w", "0"); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	})
	m.formed()
	quorate := func(want bool, nodes ...string) {
		t.Helper()
		for _, name := range nodes {
			m.await(m.MustNode(name), fmt.Sprintf("quorum %v", want), func(st *heartbeatv1.GetStatusResponse) bool {
				return st.Membership.GetQuorate() == want && len(st.Membership.Members) == len(nodes)
			})
		}
	}
	quorate(true, names(4)...)
	left, right := names(4)[:2], names(4)[2:]
	began := time.Now()
	m.must(m.Cut(left, right, lab.BothWays))
	winners := left
	m.await(m.MustNode("node1"), "a view of two", func(st *heartbeatv1.GetStatusResponse) bool { return len(st.Membership.GetMembers()) == 2 })
	deadline := time.Now().Add(patience)
	for {
		l := m.await(m.MustNode("node1"), "status", func(*heartbeatv1.GetStatusResponse) bool { return true }).Membership.Quorate
		r := m.await(m.MustNode("node3"), "status", func(*heartbeatv1.GetStatusResponse) bool { return true }).Membership
		if l && r.Quorate && len(r.Members) == 2 {
			t.Fatal("both halves have quorum")
		}
		if len(r.Members) == 2 && (l || r.Quorate) {
			if r.Quorate {
				winners = right
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no half gets quorum")
		}
	}
	t.Logf("%v had quorum %v after the cut", winners, time.Since(began).Round(time.Millisecond))
	losers := left
	if winners[0] == left[0] {
		losers = right
	}
	quorate(true, winners...)
	quorate(false, losers...)
	out, err := m.MustNode("arbiter").Run(t.Context(), "/usr/lib/heartbeat/ha_quorumd", "-s")
	m.must(err)
	if !strings.Contains(string(out), ": "+strings.Join(winners, " ")+"\n") {
		t.Errorf("the server tells %q, but %v have quorum", out, winners)
	}
	for _, name := range winners {
		_, err := m.MustNode(name).Kill()
		m.must(err)
	}
	began = time.Now()
	quorate(true, losers...)
	t.Logf("%v got it %v after the others were killed", losers, time.Since(began).Round(time.Millisecond))
}
