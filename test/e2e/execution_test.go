package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"linuxha/deploy/lab"
	cibv1 "linuxha/proto/cib/v1"
)

// simple is a primitive with meta-attributes, without or with a provider.
func simple(id, class, provider, typ string, inner ...string) string {
	if provider != "" {
		provider = fmt.Sprintf(` provider="%s"`, provider)
	}
	return fmt.Sprintf(`<primitive id="%s" class="%s"%s type="%s">%s</primitive>`, id, class, provider, typ, strings.Join(inner, ""))
}

func set(kind, owner string, pairs ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<%s id="%s-%s">`, kind, owner, kind)
	for _, p := range pairs {
		name, value, _ := strings.Cut(p, "=")
		fmt.Fprintf(&b, `<nvpair id="%s-%s-%s" name="%s" value="%s"/>`, owner, kind, name, name, value)
	}
	fmt.Fprintf(&b, `</%s>`, kind)
	return b.String()
}

func meta(owner string, pairs ...string) string   { return set("meta_attributes", owner, pairs...) }
func params(owner string, pairs ...string) string { return set("instance_attributes", owner, pairs...) }

// operations writes operations as "name interval timeout [attr=value]...".
func operations(owner string, ops ...string) string {
	var b strings.Builder
	b.WriteString(`<operations>`)
	for i, op := range ops {
		f := strings.Fields(op)
		fmt.Fprintf(&b, `<op id="%s-op%d" name="%s" interval="%s" timeout="%s"`, owner, i, f[0], f[1], f[2])
		for _, attr := range f[3:] {
			name, value, _ := strings.Cut(attr, "=")
			fmt.Fprintf(&b, ` %s="%s"`, name, value)
		}
		b.WriteString(`/>`)
	}
	b.WriteString(`</operations>`)
	return b.String()
}

// everywhere runs a shell command on every node that is on.
func (c *cluster) everywhere(script string) {
	c.t.Helper()
	for _, n := range c.Nodes() {
		if n.On() {
			_, err := n.Run(c.ctx(), "sh", "-ec", script)
			c.must(err)
		}
	}
}

// shared reads a file that the test agents write; empty while there is none.
func (c *cluster) shared(name string) string {
	c.t.Helper()
	b, err := os.ReadFile(filepath.Join(c.SharedDir(), name))
	if err != nil && !os.IsNotExist(err) {
		c.t.Fatal(err)
	}
	return string(b)
}

// eventually waits for something that no event tells of: what an agent or a
// tool on a node shows.
func (c *cluster) eventually(what string, ok func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// shows waits until a tool's output on a node that runs matches a pattern.
func (c *cluster) shows(pattern string, argv ...string) string {
	c.t.Helper()
	re := regexp.MustCompile(pattern)
	var out string
	c.eventually(fmt.Sprintf("%v to print %q", argv, pattern), func() bool {
		var err error
		if out, err = c.anyNode().Run(c.ctx(), argv...); err != nil {
			out += err.Error()
		}
		if c.t.Failed() {
			c.t.Logf("%s", out)
		}
		return re.MatchString(out)
	})
	return out
}

// TestAgentClasses runs agents of every class on one cluster of three.
func TestAgentClasses(t *testing.T) {
	full(t)
	whole := newCluster(t, 3, nil)
	whole.everywhere(`ln -s /usr/lib/ocf/lsb/service /etc/init.d/e2e-service
		mkdir -p /etc/ha.d/resource.d && cp /usr/lib/ocf/ha.d/classic /etc/ha.d/resource.d/classic`)
	whole.configure(fencing, resources(power))
	sub := func(name string, f func(c *cluster)) {
		t.Run(name, func(t *testing.T) { f(&cluster{Lab: whole.Lab, t: t, obs: whole.obs}) })
	}
	sub("systemd where there is none says so", systemdAbsent)
	sub("a time-out kills grandchildren too", stubbornStart)
	sub("live migration", liveMigration)
	sub("init script and heartbeat script", scripts)
	sub("promotable clone", promotable) // costs a node
}

func systemdAbsent(c *cluster) {
	c.configure(resources(simple("unit", "systemd", "", "nothing")))
	v := c.await("the cluster to give it up on all nodes", func(v *lab.View) bool {
		return v.Settled() && len(v.Doc.FindElements("//lrm_rsc_op[@id='unit_last_0'][@rc-code='5']")) == 3
	})
	for _, op := range v.Doc.FindElements("//lrm_rsc_op[@id='unit_last_0']") {
		if why := op.SelectAttrValue("exit-reason", ""); !strings.Contains(why, "not booted by systemd") {
			c.t.Errorf("the reason is %q, want that systemd is missing", why)
		}
	}
	c.shows(`unit\s+\(systemd:nothing\):\s+Stopped \(not installed\)`, "crm_mon", "-1r")
	for _, n := range names(3) {
		if e, ok := c.fencedEvent(n); ok {
			c.t.Errorf("a unit that cannot be there had a node fenced: %v", e)
		}
	}
	c.drop("unit")
}

// drop takes a resource out of the configuration and its history away.
func (c *cluster) drop(id string) {
	c.t.Helper()
	c.must(c.remove(id))
	c.await(id+" to be gone", func(v *lab.View) bool { return v.Settled() && len(v.Active[id]) == 0 })
	_, err := c.anyNode().Run(c.ctx(), "crm_resource", "--cleanup")
	c.must(err)
}

func (c *cluster) remove(id string) error {
	_, err := c.anyNode().Run(c.ctx(), "cibadmin", "--delete", "--xpath", fmt.Sprintf("//resources/*[@id='%s']", id))
	return err
}

// stubbornStart: at the time-out nothing is left of the operation's process
// group, and the cluster goes on (execution 6.1).
func stubbornStart(c *cluster) {
	c.configure(resources(simple("stubborn", "ocf", "lab", "Stubborn", operations("stubborn", "start 0s 1s", "stop 0s 20s"))))
	c.shows(`stubborn start on node. could not be executed \(Timed Out: Resource agent did not complete within 1000ms\)`, "crm_mon", "-1")
	c.await("the cluster to give it up", func(v *lab.View) bool { return v.Settled() })
	began := 0
	for _, n := range c.Nodes() {
		out, err := n.Run(c.ctx(), "sh", "-c", `cat /run/stubborn 2>/dev/null; true`)
		c.must(err)
		pids := strings.Fields(out)
		if len(pids) == 0 {
			continue
		}
		began++
		if len(pids)%3 != 0 {
			c.t.Errorf("%s: processes %v, want three per start", n.Name, pids)
		}
		out, err = n.Run(c.ctx(), "sh", "-c", `for p in `+strings.Join(pids, " ")+`; do grep -s '^State' /proc/$p/status | grep -v Z || true; done`)
		c.must(err)
		if strings.TrimSpace(out) != "" {
			c.t.Errorf("%s: some of %v outlived the time-out: %s", n.Name, pids, out)
		}
	}
	if began == 0 {
		c.t.Error("the agent was never started")
	}
	c.drop("stubborn")
}

func liveMigration(c *cluster) {
	c.configure(resources(simple("vm", "ocf", "lab", "Movable", meta("vm", "allow-migrate=true"),
		operations("vm", "monitor 10s 20s", "start 0s 20s", "stop 0s 20s", "migrate_to 0s 20s", "migrate_from 0s 20s"))))
	from := c.runs("vm").Where("vm")
	to, third := without(names(3), from)[0], without(names(3), from)[1]

	_, err := c.anyNode().Run(c.ctx(), "crm_resource", "--move", "--resource", "vm", "--node", to)
	c.must(err)
	c.runs("vm", to)
	moves := c.shared("moves-vm")
	for _, want := range []string{
		from + " migrate_to " + from + ">" + to + "\n" + to + " migrate_from " + from + ">" + to + "\n" + from + " stop >\n",
	} {
		if !strings.HasSuffix(moves, want) {
			c.t.Errorf("the resource was asked\n%swant at the end\n%s", moves, want)
		}
	}
	if strings.Count(moves, " start ") != 1 {
		c.t.Errorf("started %d times, want once: it was to migrate\n%s", strings.Count(moves, " start "), moves)
	}

	// A migration that fails on the target is recovered by stopping and starting.
	c.must(os.WriteFile(filepath.Join(c.SharedDir(), "fail", "vm.migrate_from"), []byte("1\n"), 0o644))
	_, err = c.anyNode().Run(c.ctx(), "crm_resource", "--move", "--resource", "vm", "--node", third)
	c.must(err)
	c.await("the resource to be recovered", func(v *lab.View) bool {
		return v.Settled() && v.Where("vm") != "" && strings.Count(c.shared("moves-vm"), " start ") == 2
	})
	c.must(os.Remove(filepath.Join(c.SharedDir(), "fail", "vm.migrate_from")))
	moves = strings.TrimPrefix(c.shared("moves-vm"), moves)
	var order []string
	for line := range strings.Lines(moves) {
		order = append(order, strings.Join(strings.Fields(line)[:2], " "))
	}
	start := slices.IndexFunc(order, func(s string) bool { return strings.HasSuffix(s, " start") })
	for _, want := range []string{to + " migrate_to", third + " migrate_from", to + " stop", third + " stop"} {
		if i := slices.Index(order, want); i < 0 || start < i {
			c.t.Errorf("no %q before the start in %q: both ends must be stopped first", want, order)
		}
	}
	_, err = c.anyNode().Run(c.ctx(), "crm_resource", "--clear", "--resource", "vm")
	c.must(err)
	c.drop("vm")
}

// scripts: class lsb and class heartbeat start, are monitored, are found to
// have failed and move when their node dies.
func scripts(c *cluster) {
	c.configure(resources(
		simple("lsb", "lsb", "", "e2e-service", operations("lsb", "monitor 1s 10s")),
		simple("classic", "heartbeat", "", "classic", params("classic", "1=one", "2=two words"), operations("classic", "monitor 1s 10s")),
	), `<constraints><rsc_colocation id="together" rsc="classic" with-rsc="lsb" score="INFINITY"/></constraints>`)
	both := func(what string, ok func(node string) bool) string {
		return c.await(what, func(v *lab.View) bool {
			w := v.Where("lsb")
			return v.Settled() && w != "" && v.Where("classic") == w && ok(w)
		}).Where("lsb")
	}
	on := both("both to run", func(string) bool { return true })
	n := c.MustNode(on)
	_, err := n.Run(c.ctx(), "rm", "/run/e2e-service", "/run/e2e-classic")
	c.must(err)
	both("both to be started again", func(string) bool {
		return c.count("lsb", "start-end", time.Time{}) >= 2 && c.count("classic", "start-end", time.Time{}) >= 2
	})
	args := strings.Split(strings.TrimSpace(c.shared("classic-args")), "\n")
	if !slices.Contains(args, "one two words start") || !slices.Contains(args, "one two words status") {
		c.t.Errorf("the heartbeat script got %q, want parameters first and the action last", args)
	}
	_, err = n.Kill()
	c.must(err)
	both("both to run elsewhere", func(node string) bool { return node != on })
	c.settled(names(3)...) // it was fenced and is back: without the init script in /etc, which a boot makes anew
	_, err = n.Run(c.ctx(), "ln", "-s", "/usr/lib/ocf/lsb/service", "/etc/init.d/e2e-service")
	c.must(err)
	c.must(c.change("", cibv1.Op_OP_DELETE, "constraints", `<rsc_colocation id="together"/>`))
	c.drop("classic")
	c.drop("lsb")
}

// promotable is about roles: who is promoted, what notifications say and when
// they come (execution 21), and what a node's death does.
func promotable(c *cluster) {
	c.configure(resources(`<clone id="db-clone">` + meta("db-clone", "promotable=true", "notify=true") +
		simple("db", "ocf", "lab", "Promoted", operations("db", "monitor 1s 10s role=Promoted", "monitor 2s 10s role=Unpromoted")) + `</clone>`))
	promoted := func(not string) string {
		var node string
		c.await("three instances, one promoted", func(v *lab.View) bool {
			out, err := c.anyNode().Run(c.ctx(), "crm_resource", "--resource", "db-clone", "--locate")
			if err != nil || !v.Settled() {
				return false
			}
			m := regexp.MustCompile(`running on: (\S+) (?:Promoted|Master)`).FindAllStringSubmatch(out, -1)
			if len(m) != 1 || m[0][1] == not || strings.Count(out, "running on:") < 2 {
				return false
			}
			node = m[0][1]
			return true
		})
		return node
	}
	first := promoted("")
	c.await("all instances to run", func(v *lab.View) bool { return v.Settled() && len(v.Active["db"]) == 3 })

	lines := strings.Split(strings.TrimSpace(c.shared("promoted")), "\n")
	at := func(pattern string) int {
		re := regexp.MustCompile(pattern)
		return slices.IndexFunc(lines, re.MatchString)
	}
	promote := at(first + ` promote rc=0`)
	if promote < 0 {
		c.t.Fatalf("%s was not promoted:\n%s", first, strings.Join(lines, "\n"))
	}
	for _, n := range names(3) {
		pre, post := at(n+` notify pre-promote .*promote=\[`+first+`\]`), at(n+` notify post-promote .*promote=\[`+first+`\]`)
		if pre < 0 || post < 0 || pre > promote || post < promote {
			c.t.Errorf("%s was told of the promotion in lines %d and %d, want one before and one after line %d", n, pre, post, promote)
		}
		if i := at(n + ` notify post-promote`); i >= 0 && !regexp.MustCompile(`unpromoted=\[.*`+first).MatchString(lines[i]) {
			c.t.Errorf("before the promotion %s counts as unpromoted: %s", first, lines[i])
		}
	}
	if post := at(`notify post-start .*start=\[.*node1.*\]`); post < 0 {
		c.t.Errorf("no notification of the start of node1:\n%s", strings.Join(lines, "\n"))
	}

	_, err := c.MustNode(first).Kill()
	c.must(err)
	second := promoted(first)
	lines = strings.Split(strings.TrimSpace(c.shared("promoted")), "\n")
	if at(second+` promote rc=0`) < 0 {
		c.t.Errorf("%s is promoted and was not asked to be", second)
	}
	c.settled(names(3)...)
	c.await("three instances again", func(v *lab.View) bool { return v.Settled() && len(v.Active["db"]) == 3 })
	if now := promoted(""); now != second {
		c.t.Errorf("the return of %s moved the promoted role from %s to %s", first, second, now)
	}

	// Demotion on request: the standby of its node moves the role, with a
	// demote before the stop.
	mark := len(c.shared("promoted"))
	_, err = c.anyNode().Run(c.ctx(), "crm_standby", "-N", second, "-v", "on")
	c.must(err)
	third := promoted(second)
	lines = strings.Split(strings.TrimSpace(c.shared("promoted")[mark:]), "\n")
	demote, stop, again := at(second+` demote rc=0`), at(second+` stop rc=0`), at(third+` promote rc=0`)
	if demote < 0 || stop < demote || again < demote {
		c.t.Errorf("demote in line %d, stop in %d, promotion of %s in %d:\n%s", demote, stop, third, again, strings.Join(lines, "\n"))
	}
	if i := at(`notify pre-demote .*demote=\[` + second + `\].* promoted=\[` + second + `\]`); i < 0 || i > demote {
		c.t.Errorf("no notification before the demotion:\n%s", strings.Join(lines, "\n"))
	}
}

// TestDebianAgents runs agents of Debian's package resource-agents unmodified,
// with its own shell library.
func TestDebianAgents(t *testing.T) {
	full(t)
	const agents = "/usr/lib/ocf/resource.d/heartbeat/"
	for _, a := range []string{"Dummy", "Delay", "anything", "IPaddr2"} {
		if _, err := os.Stat(agents + a); err != nil {
			t.Skipf("skipped: apt-get install -y resource-agents (%v)", err)
		}
	}
	c := newCluster(t, 2, func(o *lab.Options) { o.Agents, o.ExtraAgents = t.TempDir(), "" })
	out, err := c.anyNode().Run(c.ctx(), "sh", "-c", "cmp "+agents+"Dummy /.host"+agents+"Dummy && cmp /usr/lib/ocf/lib/heartbeat/ocf-shellfuncs /.host/usr/lib/ocf/lib/heartbeat/ocf-shellfuncs && echo same")
	c.must(err)
	if strings.TrimSpace(out) != "same" {
		t.Fatalf("these are not Debian's agents: %s", out)
	}
	debian := func(id, typ, monitor string, p ...string) string {
		return simple(id, "ocf", "heartbeat", typ, params(id, p...), operations(id, "monitor "+monitor+" 20s", "start 0s 20s", "stop 0s 20s"))
	}
	const address = "10.99.99.99"
	c.configure(options("stonith-enabled=false", "no-quorum-policy=ignore", "dc-deadtime=2s"), resources(`<group id="g">`+
		debian("ip", "IPaddr2", "1s", "ip="+address, "cidr_netmask=32", "nic=eth0")+
		debian("dummy", "Dummy", "1s")+
		debian("delay", "Delay", "10s", "startdelay=1", "stopdelay=0", "mondelay=0")+
		debian("proc", "anything", "1s", "binfile=/bin/sleep", "cmdline_options=100000", "pidfile=/run/e2e-anything.pid")+`</group>`))
	whole := func(v *lab.View) string {
		on := v.Where("ip")
		for _, r := range []string{"dummy", "delay", "proc"} {
			if v.Where(r) != on {
				return ""
			}
		}
		return on
	}
	on := whole(c.await("the group to run", func(v *lab.View) bool { return v.Settled() && whole(v) != "" }))
	has := func(node string) bool {
		out, err := c.MustNode(node).Run(c.ctx(), "sh", "-c", "ip -o addr show | grep -c "+address+"; kill -0 $(cat /run/e2e-anything.pid 2>/dev/null) 2>/dev/null && echo alive; true")
		c.must(err)
		return strings.Contains(out, "1\n") && strings.Contains(out, "alive")
	}
	if !has(on) {
		t.Errorf("%s has no address or no process", on)
	}
	// Their monitors see a failure.
	_, err = c.MustNode(on).Run(c.ctx(), "sh", "-c", "kill -9 $(cat /run/e2e-anything.pid)")
	c.must(err)
	c.shows(`proc 1000ms-interval monitor`, "crm_mon", "-1")
	c.await("the process to be back", func(v *lab.View) bool { return v.Settled() && whole(v) == on && has(on) })
	_, err = c.anyNode().Run(c.ctx(), "crm_standby", "-N", on, "-v", "on")
	c.must(err)
	other := without(names(2), on)[0]
	c.await("the group to move", func(v *lab.View) bool { return v.Settled() && whole(v) == other })
	if !has(other) || has(on) {
		t.Errorf("after the move: %s has it: %t, %s has it: %t", on, has(on), other, has(other))
	}
}
