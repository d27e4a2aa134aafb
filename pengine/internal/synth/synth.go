// Package synth makes CIBs of clusters of any size, for benchmarks: groups of
// five, free-standing primitives, two clones and two promotable clones, with
// locations, colocations and orders between neighbours, everything probed
// everywhere and at rest, or with one node lost.
package synth

import (
	"bytes"
	"fmt"
)

// Digests as recorded for agents without parameters: of one-off operations and
// of monitors with the default timeout.
const (
	digestOnce    = "f2317cad3d54cec5d7d7aa7d0bf35cf8"
	digestMonitor = "4811cef7f7f94e3a35a70be7916cb2fd"
)

type cluster struct {
	nodes       int
	resources   bytes.Buffer
	constraints bytes.Buffer
	history     []bytes.Buffer // by node
	promotion   []bytes.Buffer // nvpairs by node
	call        int
}

// CIB makes a cluster of that many nodes and resources; lost is the number of
// the node that is lost, 0 for none.
func CIB(nodes, resources, lost int) []byte {
	c := &cluster{nodes: nodes, history: make([]bytes.Buffer, nodes+1), promotion: make([]bytes.Buffer, nodes+1)}
	c.fencing(lost)
	for i := range 2 {
		id := fmt.Sprintf("c%d", i)
		fmt.Fprintf(&c.resources, `<clone id="%s-clone">%s</clone>`, id, primitive(id, "Dummy"))
		for n := 1; n <= nodes; n++ {
			c.record(id, "Dummy", n, started)
		}
	}
	for i := range 2 {
		c.promotable(fmt.Sprintf("m%d", i), i%nodes+1, (i+1)%nodes+1)
	}
	c.units(resources - 4)
	return c.document(lost)
}

// state is that of an instance on a node.
type state int

const (
	absent state = iota
	started
	promoted
	unpromoted
)

func primitive(id, agent string) string {
	ops := fmt.Sprintf(`<op id="%s-m" name="monitor" interval="10s"/>`, id)
	if agent == "Stateful" {
		ops = fmt.Sprintf(`<op id="%s-m1" name="monitor" interval="10s" role="Promoted"/><op id="%s-m2" name="monitor" interval="11s" role="Unpromoted"/>`, id, id)
	}
	return fmt.Sprintf(`<primitive id="%s" class="ocf" provider="pacemaker" type="%s"><operations>%s</operations></primitive>`, id, agent, ops)
}

func (c *cluster) operation(n int, id, task string, interval, rc int) {
	c.call++
	name, digest := id+"_last_0", digestOnce
	if interval > 0 {
		name, digest = fmt.Sprintf("%s_monitor_%d", id, interval), digestMonitor
	}
	key := fmt.Sprintf("%d:1:%d:11111111-2222-4333-8444-555555555555", c.call, rc)
	fmt.Fprintf(&c.history[n], `<lrm_rsc_op id="%s" operation_key="%s_%s_%d" operation="%s" crm-debug-origin="do_update_resource" crm_feature_set="3.16.1" `+
		`transition-key="%s" transition-magic="0:%d;%s" exit-reason="" on_node="node%d" call-id="%d" rc-code="%d" op-status="0" interval="%d" `+
		`last-rc-change="1700000000" exec-time="20" queue-time="0" op-digest="%s"/>`,
		name, id, task, interval, task, key, rc, key, n, c.call, rc, interval, digest)
}

func (c *cluster) record(id, agent string, n int, s state) {
	fmt.Fprintf(&c.history[n], `<lrm_resource id="%s" type="%s" class="ocf" provider="pacemaker">`, id, agent)
	switch s {
	case absent:
		c.operation(n, id, "monitor", 0, 7)
	case started:
		c.operation(n, id, "start", 0, 0)
		c.operation(n, id, "monitor", 10000, 0)
	case promoted:
		c.operation(n, id, "promote", 0, 0)
		c.operation(n, id, "monitor", 10000, 8)
	case unpromoted:
		c.operation(n, id, "start", 0, 0)
		c.operation(n, id, "monitor", 11000, 0)
	}
	c.history[n].WriteString(`</lrm_resource>`)
}

// recordAt says that a resource is started on one node and was probed on the
// others.
func (c *cluster) recordAt(id string, home int) {
	for n := 1; n <= c.nodes; n++ {
		if n == home {
			c.record(id, "Dummy", n, started)
		} else {
			c.record(id, "Dummy", n, absent)
		}
	}
}

func (c *cluster) fencing(lost int) {
	c.resources.WriteString(`<primitive id="fencing" class="stonith" type="fence_lab"/>`)
	home := 1
	if lost == 1 && c.nodes > 1 {
		home = 2
	}
	for n := 1; n <= c.nodes; n++ {
		c.history[n].WriteString(`<lrm_resource id="fencing" type="fence_lab" class="stonith">`)
		if n == home {
			c.operation(n, "fencing", "start", 0, 0)
		} else {
			c.operation(n, "fencing", "monitor", 0, 7)
		}
		c.history[n].WriteString(`</lrm_resource>`)
	}
}

func (c *cluster) promotable(id string, first, second int) {
	fmt.Fprintf(&c.resources, `<clone id="%s-clone"><meta_attributes id="%s-ma"><nvpair id="%s-p" name="promotable" value="true"/>`+
		`<nvpair id="%s-cm" name="clone-max" value="2"/></meta_attributes>%s</clone>`, id, id, id, id, primitive(id, "Stateful"))
	for n := 1; n <= c.nodes; n++ {
		switch n {
		case first:
			c.record(id, "Stateful", n, promoted)
			fmt.Fprintf(&c.promotion[n], `<nvpair id="s-%d-%s" name="master-%s" value="10"/>`, n, id, id)
		case second:
			c.record(id, "Stateful", n, unpromoted)
			fmt.Fprintf(&c.promotion[n], `<nvpair id="s-%d-%s" name="master-%s" value="5"/>`, n, id, id)
		default:
			c.record(id, "Stateful", n, absent)
		}
	}
}

// units are groups and free-standing primitives in turn, two neighbours on
// each node; every second prefers its node, every fourth goes with and after
// its neighbour.
func (c *cluster) units(left int) {
	groups := left * 2 / 5 / 5
	previous := ""
	for u := 0; left > 0; u++ {
		home := u/2%c.nodes + 1
		var id string
		if u%2 == 0 && groups > 0 {
			groups--
			id = fmt.Sprintf("g%d", u)
			fmt.Fprintf(&c.resources, `<group id="%s">`, id)
			for k := range min(5, left) {
				member := fmt.Sprintf("%sr%d", id, k)
				c.resources.WriteString(primitive(member, "Dummy"))
				c.recordAt(member, home)
				left--
			}
			c.resources.WriteString(`</group>`)
		} else {
			id = fmt.Sprintf("p%d", u)
			c.resources.WriteString(primitive(id, "Dummy"))
			c.recordAt(id, home)
			left--
		}
		if u%2 == 0 {
			fmt.Fprintf(&c.constraints, `<rsc_location id="loc-%s" rsc="%s" node="node%d" score="100"/>`, id, id, home)
		}
		if u%4 == 1 {
			fmt.Fprintf(&c.constraints, `<rsc_colocation id="col-%s" score="500" rsc="%s" with-rsc="%s"/>`, id, id, previous)
			fmt.Fprintf(&c.constraints, `<rsc_order id="ord-%s" first="%s" then="%s" kind="Mandatory"/>`, id, previous, id)
		}
		previous = id
	}
}

func (c *cluster) document(lost int) []byte {
	var b bytes.Buffer
	b.WriteString(`<cib crm_feature_set="3.16.1" validate-with="pacemaker-3.9" epoch="10" num_updates="1" admin_epoch="0" have-quorum="1" dc-uuid="1">` +
		`<configuration><crm_config><cluster_property_set id="opts"><nvpair id="o-1" name="stonith-enabled" value="true"/></cluster_property_set></crm_config><nodes>`)
	for n := 1; n <= c.nodes; n++ {
		fmt.Fprintf(&b, `<node id="%d" uname="node%d"/>`, n, n)
	}
	fmt.Fprintf(&b, `</nodes><resources>%s</resources><constraints>%s</constraints><rsc_defaults><meta_attributes id="rd">`+
		`<nvpair id="rd-s" name="resource-stickiness" value="200"/></meta_attributes></rsc_defaults></configuration><status>`, &c.resources, &c.constraints)
	for n := 1; n <= c.nodes; n++ {
		in, peer, join := "true", "online", "member"
		if n == lost {
			in, peer, join = "false", "offline", "down"
		}
		fmt.Fprintf(&b, `<node_state id="%d" uname="node%d" in_ccm="%s" crmd="%s" join="%s" expected="member"><lrm id="%d"><lrm_resources>%s</lrm_resources></lrm>`+
			`<transient_attributes id="%d"><instance_attributes id="status-%d">%s</instance_attributes></transient_attributes></node_state>`,
			n, n, in, peer, join, n, &c.history[n], n, n, &c.promotion[n])
	}
	b.WriteString("</status></cib>\n")
	return b.Bytes()
}
