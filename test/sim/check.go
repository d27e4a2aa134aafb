package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"linuxha/heartbeatd/ccm"
)

// Facts for the checkers.
type (
	booted    struct{}
	crashed   struct{}
	verdict   struct{ dead string } // link declares a node dead
	installed struct {
		*ccm.Membership
		quorate bool
	}
	heard struct {
		probeMessage
		view *ccm.View // in force for the client
	}
)

// viewChecker holds the cluster to promise 2: members that install a view agree
// on who is in it, and a node's numbers grow. Views of one number have no
// member in common.
type viewChecker struct {
	c     *Cluster
	views map[ccm.ViewID]string
	taken map[uint64]map[string]ccm.ViewID // number, member with generation
	last  []uint64
	times [][]time.Time // of each node's latest views
}

// maxViewsPerSecond is far above what any series of faults needs: more means
// that nodes take turns in undoing each other's views.
const maxViewsPerSecond = 100

func newViewChecker(c *Cluster) *viewChecker {
	return &viewChecker{c: c, views: map[ccm.ViewID]string{}, taken: map[uint64]map[string]ccm.ViewID{}, last: make([]uint64, len(c.nodes)), times: make([][]time.Time, len(c.nodes))}
}

func (k *viewChecker) Saw(node int, fact any) {
	c := k.c
	switch f := fact.(type) {
	case booted:
		k.last[node] = 0
	case installed:
		if f.Number <= k.last[node] {
			c.Failf("%s installed view %d after view %d", c.names[node], f.Number, k.last[node])
		}
		k.last[node] = f.Number
		if own := f.Member(c.names[node]); own == nil || own.Generation != c.nodes[node].generation {
			c.Failf("%s installed view %v without itself in it", c.names[node], f.ViewID)
		}
		k.sameEverywhere(node, f.View)
		k.times[node] = append(k.times[node], c.Now())
		if n := len(k.times[node]) - maxViewsPerSecond; n >= 0 && c.Now().Sub(k.times[node][n]) < time.Second {
			c.Failf("%s installed %d views within a second", c.names[node], maxViewsPerSecond)
		}
	}
}

func (k *viewChecker) sameEverywhere(node int, v *ccm.View) {
	text := describe(v)
	if old, ok := k.views[v.ViewID]; ok {
		if old != text {
			k.c.Failf("view %v is %s for %s and was %s elsewhere", v.ViewID, text, k.c.names[node], old)
		}
		return
	}
	k.views[v.ViewID] = text
	taken := k.taken[v.Number]
	if taken == nil {
		taken = map[string]ccm.ViewID{}
		k.taken[v.Number] = taken
	}
	for _, m := range v.Members {
		who := fmt.Sprint(m.Name, "/", m.Generation)
		if other, ok := taken[who]; ok {
			k.c.Failf("%s is a member of both %v and %v", who, other, v.ViewID)
		}
		taken[who] = v.ViewID
	}
}

func (k *viewChecker) End() {}

func describe(v *ccm.View) string {
	var b strings.Builder
	for _, m := range v.Members {
		fmt.Fprintf(&b, "%s/%d@%d", m.Name, m.Generation, m.BornOn)
		for _, p := range m.Processes {
			fmt.Fprintf(&b, "+%s/%d@%d%v", p.Name, p.Instance, p.BornOn, p.Info)
		}
		b.WriteByte(' ')
	}
	return b.String()
}

// streamChecker holds messaging to its contract: FIFO per sender, each exactly
// once, only from members, and nothing is missing while sender and receiver
// stay members.
type streamChecker struct {
	c    *Cluster
	seen map[[2]int]stream // receiver, sender
}

type stream struct {
	life                uint64 // of the receiver and its client
	generation          uint64
	senderBorn, ownBorn uint64
	number              uint64
}

func newStreamChecker(c *Cluster) *streamChecker {
	return &streamChecker{c: c, seen: map[[2]int]stream{}}
}

func (k *streamChecker) Saw(node int, fact any) {
	f, ok := fact.(heard)
	if !ok {
		return
	}
	c := k.c
	n := c.nodes[node]
	sender := f.view.Member(c.names[f.from])
	if sender == nil || sender.Generation != f.generation {
		c.Failf("%s got a message of %s, generation %d, which is no member of its view %v", n.name, c.names[f.from], f.generation, f.view.ViewID)
		return
	}
	now := stream{n.host.Life()<<32 | n.attached, f.generation, sender.BornOn, f.view.Member(n.name).BornOn, f.number}
	key := [2]int{node, f.from}
	was := k.seen[key]
	k.seen[key] = now
	if was.life != now.life || was.generation != now.generation {
		return
	}
	switch {
	case now.number <= was.number:
		c.Failf("%s got message %d of %s after %d", n.name, now.number, c.names[f.from], was.number)
	case was.senderBorn == now.senderBorn && was.ownBorn == now.ownBorn && now.number != was.number+1:
		c.Failf("%s got message %d of %s after %d although both have been members all the time", n.name, now.number, c.names[f.from], was.number)
	}
}

func (k *streamChecker) End() {}

// describeMessage is for traces.
func describeMessage(m ccm.Message) string {
	switch m := m.(type) {
	case *ccm.State:
		text := fmt.Sprintf("state of %s/%d #%d at %d/%s born %d seen %d hears", m.Node, m.Generation, m.Serial, m.At.Number, m.At.Coordinator, m.BornOn, m.Seen)
		for _, p := range m.Hears {
			text += " " + p.Name
			if slices.Contains(m.With, p.Name) {
				text += "*"
			}
		}
		return text
	case *ccm.Propose:
		return fmt.Sprintf("propose %v %v", m.ViewID, m.Members)
	case *ccm.Accept:
		return fmt.Sprintf("accept %v", m.ViewID)
	case *ccm.Reject:
		return fmt.Sprintf("reject %v, promised %d", m.ViewID, m.Promised)
	case *ccm.Install:
		return fmt.Sprintf("install %v", m.View.ViewID)
	}
	return ""
}
