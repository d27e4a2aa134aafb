package ipfail

import (
	"fmt"
	"strings"
	"testing"
	"time"

	heartbeatv1 "linuxha/proto/heartbeat/v1"
)

// pair is two ipfails that see some ping nodes; what one sends the other gets.
type pair struct {
	t     *testing.T
	now   time.Time
	cores map[string]*core
	wakes map[string]time.Time
	log   []string // "a: text" and "a > typ what"
}

func newPair(t *testing.T, failback bool, holds map[string]string) *pair {
	p := &pair{t: t, now: time.Unix(1000, 0), cores: map[string]*core{}, wakes: map[string]time.Time{}}
	for name, other := range map[string]string{"a": "b", "b": "a"} {
		c := newCore(name, other, failback, time.Second)
		c.holds(holds[name])
		p.cores[name] = c
		p.status(name, other, "active", false, linkState{"eth0", true}, linkState{"eth1", true})
		p.status(name, "r1", "ping", true)
		p.status(name, "r2", "ping", true)
	}
	return p
}

func (p *pair) status(at, node, status string, ping bool, links ...linkState) {
	p.perform(at, p.cores[at].status(node, status, ping, links))
}

func (p *pair) perform(at string, out output) {
	for _, n := range out.notes {
		p.log = append(p.log, at+": "+n)
	}
	p.wakes[at] = out.wake
	for _, m := range out.send {
		fields := map[string]string{}
		text := at + " > " + m.typ
		for _, f := range m.fields {
			fields[f[0]] = f[1]
			text += " " + f[1]
		}
		p.log = append(p.log, text)
		if m.to != "" {
			p.perform(m.to, p.cores[m.to].received(p.now, m.typ, fields))
		}
	}
}

func (p *pair) pass(d time.Duration) {
	p.now = p.now.Add(d)
	for _, name := range []string{"a", "b"} {
		if w := p.wakes[name]; !w.IsZero() && !w.After(p.now) {
			p.perform(name, p.cores[name].woken(p.now))
		}
	}
}

// want checks that the log, or the part of it that matters, is as given, and
// clears it.
func (p *pair) want(lines ...string) {
	p.t.Helper()
	if got := strings.Join(p.log, "\n"); got != strings.Join(lines, "\n") {
		p.t.Errorf("got\n%s\nwant\n%s", got, strings.Join(lines, "\n"))
	}
	p.log = nil
}

func TestTheNodeThatSeesLessGivesUp(t *testing.T) {
	p := newPair(t, false, map[string]string{"a": "all", "b": "none"})
	p.want()
	p.status("a", "r1", "dead", true)
	p.want(
		"a: Link Status update: Link r1/r1 now has status dead",
		"a: Checking remote count of ping nodes.",
		"a: Asking other side for ping node count.",
		"a > num_ping_nodes 1",
		"b: Telling other node that we have more visible ping nodes.",
		"b > you_are_dead",
		"a: Giving up because we were told that we have less ping nodes.",
		"a: Delayed giveup in 2 seconds.",
	)
	p.pass(time.Second)
	p.want()
	p.pass(time.Second)
	p.want("a: giveup() called (timeout worked)", "a > ask_resources all me")
	p.pass(time.Hour)
	p.want()
}

func TestBothLoseTheSame(t *testing.T) {
	p := newPair(t, false, map[string]string{"a": "all", "b": "none"})
	p.status("a", "r1", "dead", true)
	p.log = nil
	p.status("b", "r1", "dead", true)
	p.want(
		"b: Link Status update: Link r1/r1 now has status dead",
		"b: Checking remote count of ping nodes.",
		"b: Asking other side for ping node count.",
		"b > num_ping_nodes 1",
		"a: Ping node count is balanced.",
		"a > abort_giveup",
		"b: No giveup timer to abort.",
	)
	p.pass(time.Hour)
	p.want()
}

func TestTheOtherSideAsks(t *testing.T) {
	p := newPair(t, false, map[string]string{"a": "local", "b": "local"})
	p.cores["b"].pings["r1"] = false // seen by b, but a has not heard of it
	p.status("a", "b", "active", false, linkState{"eth0", false}, linkState{"eth1", true})
	p.want(
		"a: Link Status update: Link b/eth0 now has status dead",
		"a: Checking remote count of ping nodes.",
		"a: Asking other side for ping node count.",
		"a > num_ping_nodes 2",
		"b: Giving up because we have less visible ping nodes.",
		"b: Delayed giveup in 2 seconds.",
	)
	p.status("b", "r1", "ping", true)
	p.want(
		"b: A ping node just came up.",
		"b: Checking remote count of ping nodes.",
		"b: Asking other side for ping node count.",
		"b > num_ping_nodes 2",
		"a: Ping node count is balanced.",
		"a > abort_giveup",
		"b: Aborted delayed giveup (1)",
	)
	p.pass(time.Hour)
	p.want()
}

func TestAutoFailback(t *testing.T) {
	p := newPair(t, true, map[string]string{"a": "none", "b": "all"})
	p.perform("a", p.cores["a"].joined())
	p.want(
		"a: Checking remote count of ping nodes.",
		"a: Asking other side for ping node count.",
		"a > num_ping_nodes 2",
		"b: Ping node count is balanced.",
		"b: Giving up foreign resources (auto_failback).",
		"b: Delayed giveup in 2 seconds.",
		"b > abort_giveup",
		"a: No giveup timer to abort.",
	)
	p.cores["b"].holds("transition")
	p.pass(2 * time.Second)
	p.want("b: Resources are in transition: looking again in 10 seconds.")
	p.cores["b"].holds("all")
	p.pass(recheck)
	p.want("b: giveup() called (timeout worked)", "b > ask_resources foreign me")
}

func TestNothingIsGivenToTheDead(t *testing.T) {
	p := newPair(t, false, map[string]string{"a": "all", "b": "none"})
	p.status("a", "r1", "dead", true)
	p.log = nil
	p.status("a", "b", "dead", false, linkState{"eth0", false}, linkState{"eth1", false})
	p.want("a: Status update: Node b now has status dead", "a: NS: We are still alive!")
	p.status("a", "r2", "dead", true)
	p.want("a: Link Status update: Link r2/r2 now has status dead", "a: Checking remote count of ping nodes.", "a: We are dead. :<")
	p.pass(time.Hour)
	p.want()
	// Who holds nothing has nothing to give.
	q := newPair(t, false, map[string]string{"a": "none", "b": "all"})
	q.status("a", "r1", "dead", true)
	q.log = nil
	q.pass(2 * time.Second)
	q.want("a: giveup(): this node holds no all resources.")
}

func TestSetUp(t *testing.T) {
	state := func(change func(*heartbeatv1.GetStatusResponse)) error {
		st := &heartbeatv1.GetStatusResponse{
			Node: "a", ResourceState: "all", Parameters: map[string]string{"auto_failback": "off", "keepalive": "500ms"},
			Nodes: []*heartbeatv1.NodeStatus{{Node: "a", Type: "normal"}, {Node: "b", Type: "normal"}, {Node: "r", Type: "ping"}},
		}
		change(st)
		c, err := setUp(st)
		if err == nil && (c.peer != "b" || c.delay != time.Second || c.failback || c.holding != "all") {
			return fmt.Errorf("%+v", c)
		}
		return err
	}
	if err := state(func(*heartbeatv1.GetStatusResponse) {}); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*heartbeatv1.GetStatusResponse){
		"No managed resources":                             func(st *heartbeatv1.GetStatusResponse) { st.ResourceState = "N/A" },
		"auto_failback set to incompatible legacy option.": func(st *heartbeatv1.GetStatusResponse) { st.Parameters["auto_failback"] = "legacy" },
		"ipfail is for clusters of two nodes":              func(st *heartbeatv1.GetStatusResponse) { st.Nodes[2].Type = "normal" },
		"no ping nodes are configured":                     func(st *heartbeatv1.GetStatusResponse) { st.Nodes = st.Nodes[:2] },
	} {
		if err := state(change); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
