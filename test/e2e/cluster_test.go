// Package e2e tests the whole stack on real processes: clusters in network
// namespaces (deploy/lab), real agents, real deaths. Every test ends with the
// same question, asked of what the test agents themselves wrote down: was a
// resource ever active on two nodes?
//
// Needs root and the programs in bin/ (`make build`; HA_BIN names another
// folder). -short runs the short pass only. HA_FOLLOW=1 prints the event log as
// it grows, HA_DEBUG=1 makes the daemons talkative. On failure logs, CIBs and the
// event log are kept in the folder that is printed.
package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"linuxha/deploy/lab"
	cibv1 "linuxha/proto/cib/v1"
)

const patience = 30 * time.Second // for any one condition

// cluster is a running lab with what tests need around it.
type cluster struct {
	*lab.Lab
	t   *testing.T
	obs *lab.Observer

	overlap bool // without fencing two nodes may run a resource for a moment
}

func TestMain(m *testing.M) {
	if err := lab.Probe(); err != nil {
		fmt.Fprintln(os.Stderr, "end-to-end tests are skipped:", err)
	}
	os.Exit(m.Run())
}

func binDir() string {
	if dir := os.Getenv("HA_BIN"); dir != "" {
		return dir
	}
	return filepath.Join("..", "..", "bin")
}

// full marks a test that the short pass leaves out.
func full(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("left out of the short pass; make e2e runs it")
	}
}

func names(n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("node%d", i+1))
	}
	return out
}

// newLab makes a lab of n nodes; nothing runs yet.
func newLab(t *testing.T, n int, change func(*lab.Options)) *cluster {
	t.Helper()
	if err := lab.Probe(); err != nil {
		t.Skipf("skipped: %v", err)
	}
	o := lab.Options{Nodes: names(n), Bin: binDir(), ExtraAgents: "agents", RebootStarts: true}
	if os.Getenv("HA_DEBUG") != "" {
		o.Environ = append(o.Environ, "HA_DEBUG=1")
	}
	if os.Getenv("HA_FOLLOW") != "" {
		o.Follow = os.Stderr
	}
	if change != nil {
		change(&o)
	}
	l, err := lab.New(o)
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{Lab: l, t: t}
	t.Cleanup(c.end)
	if err := os.Mkdir(filepath.Join(l.SharedDir(), "fail"), 0o755); err != nil {
		t.Fatal(err)
	}
	if c.obs, err = l.Observe(); err != nil {
		t.Fatal(err)
	}
	return c
}

// newCluster starts n nodes and waits until they are one cluster.
func newCluster(t *testing.T, n int, change func(*lab.Options)) *cluster {
	t.Helper()
	c := newLab(t, n, change)
	c.must(c.Start(c.ctx()))
	c.settled(names(n)...)
	return c
}

// newPrepared is newCluster with a script that each node has run after its boot,
// before the stack starts.
func newPrepared(t *testing.T, n int, script string) *cluster {
	t.Helper()
	c := newLab(t, n, nil)
	for _, node := range c.Nodes() {
		c.must(node.Boot())
	}
	c.everywhere(script)
	c.must(c.Start(c.ctx()))
	c.settled(names(n)...)
	return c
}

// in is the cluster in a part of its test, which then fails by itself.
func (c *cluster) in(t *testing.T) *cluster {
	return &cluster{Lab: c.Lab, t: t, obs: c.obs, overlap: c.overlap}
}

// end checks what must hold after every test, keeps the evidence of a failed
// one, and removes the lab.
func (c *cluster) end() {
	if !c.overlap {
		for _, v := range c.violations() {
			c.t.Errorf("active twice: %s", v)
		}
	}
	if c.obs != nil {
		for _, v := range disagreements(c.obs.Events()) {
			c.t.Errorf("two views: %s", v)
		}
	}
	for _, v := range c.forks() {
		c.t.Errorf("two histories: %s", v)
	}
	if c.t.Failed() {
		dir := filepath.Join(artifacts(), strings.ReplaceAll(c.t.Name(), "/", "_"))
		if err := errors.Join(os.RemoveAll(dir), c.SaveArtifacts(dir)); err != nil {
			c.t.Logf("keep artifacts: %v", err)
		}
		c.t.Logf("logs, CIBs and events are kept in %s", dir)
	}
	if c.obs != nil {
		c.obs.Close()
	}
	if err := c.Close(); err != nil {
		c.t.Errorf("remove the lab: %v", err)
	}
}

func artifacts() string {
	if dir := os.Getenv("HA_ARTIFACTS"); dir != "" {
		return dir
	}
	return filepath.Join(os.TempDir(), "linuxha-e2e")
}

func (c *cluster) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// ctx ends when the test has waited long enough for one thing.
func (c *cluster) ctx() context.Context { return c.within(patience) }

func (c *cluster) within(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeoutCause(context.Background(), d, fmt.Errorf("not within %v", d))
	c.t.Cleanup(cancel)
	return ctx
}

// await waits for a condition on the DC's view.
func (c *cluster) await(what string, ok func(*lab.View) bool) *lab.View {
	c.t.Helper()
	v, err := c.AwaitDC(c.ctx(), what, ok)
	c.must(err)
	return v
}

// settled waits until exactly these nodes are members and nothing is left to do.
func (c *cluster) settled(nodes ...string) *lab.View {
	c.t.Helper()
	return c.await(fmt.Sprintf("%v online and idle", nodes), lab.OnlineAre(nodes...))
}

// runs waits until a resource runs on one node, with nothing left to do.
func (c *cluster) runs(resource string, on ...string) *lab.View {
	c.t.Helper()
	return c.await(fmt.Sprintf("%s to run on %v", resource, on), func(v *lab.View) bool {
		where := v.Where(resource)
		for _, n := range on {
			if where == n {
				return v.Settled()
			}
		}
		return len(on) == 0 && where != "" && v.Settled()
	})
}

// configure merges a fragment of the configuration section into the CIB.
func (c *cluster) configure(fragments ...string) {
	c.t.Helper()
	c.must(c.change("", cibv1.Op_OP_MODIFY, "configuration", "<configuration>"+strings.Join(fragments, "")+"</configuration>"))
}

// change applies one operation through a node's cib; no node: any that runs.
func (c *cluster) change(node string, op cibv1.Op, section, xml string) error {
	n := c.anyNode()
	if node != "" {
		n = c.MustNode(node)
	}
	cc, err := n.Dial("cib")
	if err != nil {
		return err
	}
	defer cc.Close()
	resp, err := cibv1.NewCibClient(cc).Apply(c.ctx(), &cibv1.ApplyRequest{
		Client:  "e2e",
		Changes: []*cibv1.Change{{Op: op, Section: section, Xml: []byte(xml), CanCreate: true}},
	})
	if err != nil {
		return fmt.Errorf("change %s on %s: %w", section, n.Name, err)
	}
	if resp.GetRc() != 0 {
		return fmt.Errorf("change %s on %s: rc %d: %s", section, n.Name, resp.GetRc(), resp.GetError())
	}
	return nil
}

func (c *cluster) anyNode() *lab.Node {
	for _, n := range c.Nodes() {
		if n.Running() {
			return n
		}
	}
	c.t.Fatal("no node runs")
	return nil
}

// fail makes the test agent fail an action (everywhere, or on one node) with
// an exit status; it returns the function that ends it.
func (c *cluster) fail(resource, action, node string, rc int) (heal func()) {
	c.t.Helper()
	path := filepath.Join(c.SharedDir(), "fail", resource+"."+action)
	if node != "" {
		path += "@" + node
	}
	c.must(os.WriteFile(path, fmt.Appendf(nil, "%d\n", rc), 0o644))
	return func() {
		c.t.Helper()
		c.must(os.Remove(path))
	}
}

// Fragments of a configuration.

func options(pairs ...string) string {
	var b strings.Builder
	b.WriteString(`<crm_config><cluster_property_set id="opts">`)
	for _, p := range pairs {
		name, value, _ := strings.Cut(p, "=")
		fmt.Fprintf(&b, `<nvpair id="opts-%s" name="%s" value="%s"/>`, name, name, value)
	}
	b.WriteString(`</cluster_property_set></crm_config>`)
	return b.String()
}

func resources(xml ...string) string {
	return `<resources>` + strings.Join(xml, "") + `</resources>` +
		`<rsc_defaults><meta_attributes id="defaults"><nvpair id="defaults-stickiness" name="resource-stickiness" value="100"/></meta_attributes></rsc_defaults>`
}

// recorder is a resource that writes down where it runs; meta are its
// meta-attributes.
func recorder(id string, meta ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<primitive id="%s" class="ocf" provider="lab" type="Recorder">`, id)
	if len(meta) > 0 {
		fmt.Fprintf(&b, `<meta_attributes id="%s-meta">`, id)
		for _, m := range meta {
			name, value, _ := strings.Cut(m, "=")
			fmt.Fprintf(&b, `<nvpair id="%s-%s" name="%s" value="%s"/>`, id, name, name, value)
		}
		b.WriteString(`</meta_attributes>`)
	}
	fmt.Fprintf(&b, `<operations><op id="%[1]s-start" name="start" interval="0s" timeout="20s"/>`+
		`<op id="%[1]s-stop" name="stop" interval="0s" timeout="20s"/>`+
		`<op id="%[1]s-mon" name="monitor" interval="1s" timeout="10s"/></operations></primitive>`, id)
	return b.String()
}

// power is the fencing device that really takes the power from nodes.
const power = `<primitive id="power" class="stonith" type="fence_lab"><operations><op id="power-mon" name="monitor" interval="120s" timeout="20s"/></operations></primitive>`

var (
	// A node that starts alone takes the lead after dc-deadtime.
	fencing   = options("stonith-enabled=true", "no-quorum-policy=stop", "dc-deadtime=2s")
	noFencing = options("stonith-enabled=false", "no-quorum-policy=stop", "dc-deadtime=2s")
)

// without is a list of nodes but some.
func without(all []string, some ...string) []string {
	var out []string
next:
	for _, n := range all {
		for _, s := range some {
			if n == s {
				continue next
			}
		}
		out = append(out, n)
	}
	return out
}
