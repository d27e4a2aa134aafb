package lab

import (
	"fmt"
	"slices"
	"strings"
)

// A port is one end of a node's link in the switch.
type port struct {
	node, link int // numbers from 1 and from 0
}

// Names in the switch's namespace; at most 15 bytes each.
func (p port) veth() string { return fmt.Sprintf("p%dl%d", p.node, p.link) }
func (p port) tap() string  { return fmt.Sprintf("t%dl%d", p.node, p.link) }

// mac is the node's own address on the link: it tells the forwarder who sent
// a frame, whatever its IP addresses say.
func (p port) mac() [6]byte { return [6]byte{0x02, 0, 0, 0, byte(p.link), byte(p.node)} }

// A flow is the traffic from one node to another on one link.
type flow struct{ from, to, link int }

func (f flow) source() port { return port{f.from, f.link} }
func (f flow) target() port { return port{f.to, f.link} }

// ruleset renders the switch's firewall: the flows in cuts are dropped, those
// in loss lose that many of a hundred frames. It replaces what was there.
func ruleset(cuts map[flow]bool, loss map[flow]int) string {
	var b strings.Builder
	b.WriteString("table bridge halab\ndelete table bridge halab\ntable bridge halab {\n\tchain forward {\n")
	b.WriteString("\t\ttype filter hook forward priority 0; policy accept;\n")
	match := func(f flow) string {
		return fmt.Sprintf("\t\tiifname { %q, %q } oifname { %q, %q }",
			f.source().veth(), f.source().tap(), f.target().veth(), f.target().tap())
	}
	for _, f := range sorted(cuts) {
		if cuts[f] {
			fmt.Fprintf(&b, "%s drop\n", match(f))
		}
	}
	for _, f := range sorted(loss) {
		switch {
		case loss[f] >= 100:
			fmt.Fprintf(&b, "%s drop\n", match(f))
		case loss[f] > 0:
			fmt.Fprintf(&b, "%s numgen random mod 100 < %d drop\n", match(f), loss[f])
		}
	}
	b.WriteString("\t}\n}\n")
	return b.String()
}

func sorted[V any](m map[flow]V) []flow {
	out := make([]flow, 0, len(m))
	for f := range m {
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b flow) int {
		return slices.Compare([]int{a.link, a.from, a.to}, []int{b.link, b.from, b.to})
	})
	return out
}
