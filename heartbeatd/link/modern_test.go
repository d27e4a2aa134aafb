package link

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"linuxha/heartbeatd/hamsg"
)

// modernLab is a lab whose nodes sign with a key that 3.0.6 does not know.
func modernLab(t *testing.T, names ...string) *lab {
	b := &lab{t: t, now: time.Unix(1_000_000, 0), links: map[string]*member{}, names: names, modern: true}
	for i, name := range names {
		b.boot(name, uint64(100+i), Options{Modern: true})
	}
	return b
}

// TestRecordedBeforeARestartProvesNothing: a node that has just started, and
// remembers of its peer no more than the generation, is played what the peer
// said while it lived.
func TestRecordedBeforeARestartProvesNothing(t *testing.T) {
	b := modernLab(t, "a", "b", "c")
	var kept []*Packet
	b.lose = func(from, to string, p *Packet) bool {
		if from == "b" && to == "c" {
			kept = append(kept, p)
		}
		return false
	}
	b.run(4 * time.Second)
	b.wantChange("a", "up b", 1)
	b.say("b", "", "once")
	b.run(3 * time.Second)
	b.want("a", "b:once")

	// b dies; a and c restart.
	b.links["b"].down = true
	b.boot("a", 200, Options{Modern: true})
	b.boot("c", 201, Options{Modern: true})
	for range 10 {
		b.run(time.Second)
		for _, p := range slices.Clone(kept) {
			b.step("a", Received{"eth0", b.asReceived(p)})
		}
	}
	b.want("a")
	b.wantChange("a", "up b", 0)
	b.wantChange("a", "up c", 1)

	// b comes back and is heard.
	b.boot("b", 202, Options{Modern: true})
	b.run(3 * time.Second)
	b.wantChange("a", "up b", 1)
	b.say("b", "", "again")
	b.run(time.Second)
	b.want("a", "b:again")
}

// TestWhatWasNeverHeardIsNoReturn: packets that were recorded while the node
// was cut off do not bring it back from the dead.
func TestWhatWasNeverHeardIsNoReturn(t *testing.T) {
	b := modernLab(t, "a", "b")
	b.run(4 * time.Second)
	var kept []*Packet
	b.lose = func(from, to string, p *Packet) bool {
		if from == "b" {
			kept = append(kept, p)
		}
		return true
	}
	b.run(3 * time.Second)
	b.links["b"].down = true
	b.run(10 * time.Second)
	b.wantChange("a", "dead b", 1)
	b.lose = nil
	for _, p := range kept {
		b.step("a", Received{"eth0", b.asReceived(p)})
		b.run(10 * time.Millisecond)
	}
	b.wantChange("a", "returned b", 0)
}

// TestAPartitionHealsWithProof: the same node, alive, comes back at once.
func TestAPartitionHealsWithProof(t *testing.T) {
	b := modernLab(t, "a", "b")
	b.run(4 * time.Second)
	b.lose = func(_, _ string, _ *Packet) bool { return true }
	b.run(10 * time.Second)
	b.lose = nil
	b.run(1200 * time.Millisecond)
	b.wantChange("a", "returned b", 1)
	b.wantChange("b", "returned a", 1)
	b.say("b", "a", "hello")
	b.run(time.Second)
	b.want("a", "b:hello")
}

// TestAnOldAcknowledgementFreesNothing: acknowledgements of an earlier run are
// not taken for those of this one.
func TestAnOldAcknowledgementFreesNothing(t *testing.T) {
	b := modernLab(t, "a", "b")
	var acks []*Packet
	b.lose = func(from, _ string, p *Packet) bool {
		if from == "b" && p.Type == typeAck {
			acks = append(acks, p)
		}
		return false
	}
	b.run(4 * time.Second)
	for i := range 100 {
		b.say("a", "", fmt.Sprint(i))
	}
	b.run(3 * time.Second)
	if len(acks) < 5 {
		t.Fatalf("%d acknowledgements", len(acks))
	}
	old := slices.Clone(acks)
	b.boot("a", 300, Options{Modern: true})
	b.run(3 * time.Second)
	b.lose = func(from, to string, p *Packet) bool { return from == "b" && p.Type == typeAck }
	for i := range 100 {
		b.say("a", "", fmt.Sprint(i))
	}
	before := b.links["a"].Unacknowledged()
	for _, p := range old {
		b.step("a", Received{"eth0", b.asReceived(p)})
	}
	if after := b.links["a"].Unacknowledged(); before == 0 || after != before {
		t.Errorf("%d messages waited for acknowledgement, after the old ones %d", before, after)
	}
}

// TestFiguresOfLinks: every tenth message is lost on eth1, some come late.
func TestFiguresOfLinks(t *testing.T) {
	b := newLab(t, "a", "b")
	b.run(2 * time.Second)
	n := 0
	var late []*Packet
	b.lose = func(from, to string, p *Packet) bool {
		if to != "a" || p.Seq == 0 {
			return false
		}
		n++
		switch {
		case n%10 == 3: // lost on eth1
		case n%10 == 7: // overtaken there
			late = append(late, p)
		default:
			b.step("a", Received{"eth1", p})
		}
		if n%10 == 9 {
			for _, p := range late {
				b.step("a", Received{"eth1", p})
			}
			late = nil
		}
		return false
	}
	for i := range 1000 {
		b.say("b", "", fmt.Sprint(i))
		b.run(5 * time.Millisecond)
	}
	for _, l := range b.links["a"].NodesAt(b.now)[0].Links {
		total := l.Received + l.Lost
		switch l.Medium {
		case "eth0":
			if l.Lost != 0 || l.Loss != 0 || l.Received < 1000 {
				t.Errorf("eth0: %+v", l)
			}
		case "eth1":
			if ratio := float64(l.Lost) / float64(total); math.Abs(ratio-0.1) > 0.01 || math.Abs(l.Loss-0.1) > 0.04 {
				t.Errorf("eth1: %+v", l)
			}
		}
		if l.LastHeard > time.Second {
			t.Errorf("%s: silent for %v", l.Medium, l.LastHeard)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	b := &lab{t: t, now: time.Unix(1_000_000, 0), links: map[string]*member{}, names: []string{"a", "b"}}
	for i, name := range b.names {
		b.boot(name, uint64(100+i), Options{ProbeEvery: time.Second})
	}
	b.run(3 * time.Second)
	if rtt := b.links["a"].Nodes()[0].Links[0].RoundTrip; rtt != 0 {
		t.Errorf("%v towards a node that may be one of 3.0.6", rtt)
	}
	m := hamsg.New("lha_data")
	b.step("b", Submitted{m})
	b.run(3 * time.Second)
	if rtt := b.links["a"].Nodes()[0].Links[0].RoundTrip; rtt != 2*time.Millisecond {
		t.Errorf("round trip %v, want 2ms: a millisecond each way", rtt)
	}
}

func TestNodeTableMessages(t *testing.T) {
	b := newLab(t, "a", "b", "c")
	b.run(2 * time.Second)
	send := func(from string, fields ...string) {
		m := &hamsg.Message{}
		for i := 0; i < len(fields); i += 2 {
			m.Add(fields[i], fields[i+1])
		}
		b.step(from, Submitted{m})
		b.run(time.Second)
	}
	send("a", "t", "addnode", "nodelist", "Dora,emil fritz")
	for _, name := range b.names {
		for _, added := range []string{"dora", "emil", "fritz"} {
			b.wantChange(name, "added "+added, 1)
		}
	}
	send("b", "t", "setweight", "node", "c", "weight", "0")
	send("b", "t", "setsite", "node", "A", "site", "north")
	if c := b.links["a"].named["c"]; c.QuorumWeight() != 0 {
		t.Errorf("weight of c: %d", c.QuorumWeight())
	}
	if a := b.links["a"].Self(); a.Site != "north" || a.QuorumWeight() != DefaultWeight {
		t.Errorf("a of itself: %+v", a)
	}
	send("a", "t", "delnode", "nodelist", "b")
	b.wantChange("a", "removed b", 0) // it lives
	send("a", "t", "delnode", "nodelist", "dora")
	b.wantChange("a", "removed dora", 0) // nobody is sure of emil yet
	b.run(10 * time.Second)
	send("a", "t", "delnode", "nodelist", "dora emil fritz")
	for _, name := range b.names {
		b.wantChange(name, "removed dora", 1)
		if d := b.links[name].Deleted(); !slices.Equal(d, []string{"dora", "emil", "fritz"}) {
			t.Errorf("%s has deleted %v", name, d)
		}
	}
	if !slices.ContainsFunc(b.links["a"].notes, func(s string) bool { return strings.Contains(s, "deletion failed: node b is not dead") }) {
		t.Errorf("notes: %q", b.links["a"].notes)
	}
}

func TestConfiguredAtRunTime(t *testing.T) {
	b := newLab(t, "a", "b")
	b.run(2 * time.Second)
	b.step("b", Configured{Keepalive: 200 * time.Millisecond, Deadtime: 900 * time.Millisecond, Warntime: 500 * time.Millisecond, Deadping: time.Second, MaxRexmitDelay: 250 * time.Millisecond, Hopfudge: 1})
	b.run(time.Second)
	sent := b.links["b"].sent
	b.run(2 * time.Second)
	if n := b.links["b"].sent - sent; n < 9 || n > 14 {
		t.Errorf("%d packets in two seconds, want about 10", n)
	}
	b.links["b"].down = true
	b.run(1100 * time.Millisecond)
	b.wantChange("a", "dead b", 1)
}

// TestAFloodOfReplaysIsNotedOncePerSecond, and so are strangers.
func TestAFloodOfReplaysIsNotedOncePerSecond(t *testing.T) {
	b := newLab(t, "a", "b")
	b.run(2 * time.Second)
	before := len(b.links["a"].notes)
	for range 10_000 {
		b.step("a", Received{"eth0", &Packet{Type: "status", Src: "b", SrcID: id("b"), Seq: 1, Generation: 1, Message: hamsg.New("status")}})
		b.step("a", Received{"eth0", &Packet{Type: "status", Src: "x", SrcID: id("x"), Seq: 1, Generation: 1, Message: hamsg.New("status")}})
	}
	if n := len(b.links["a"].notes) - before; n != 2 {
		t.Errorf("%d notes of 20000 packets", n)
	}
}
