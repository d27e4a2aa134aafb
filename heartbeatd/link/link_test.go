package link

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"linuxha/heartbeatd/hamsg"
)

// lab is a few Links on one medium that delivers after a millisecond.
type lab struct {
	t     *testing.T
	now   time.Time
	links map[string]*member
	names []string
	lose  func(from, to string, p *Packet) bool
	queue []inFlight
	// modern: packets are signed with a method that 3.0.6 does not have.
	modern bool
}

// asReceived is p as the server would hand it in.
func (b *lab) asReceived(p *Packet) *Packet {
	if !b.modern {
		return p
	}
	q := *p
	q.Modern = true
	return &q
}

type member struct {
	*Link
	wake    time.Time
	got     []string // "from:payload"
	changes []string
	notes   []string
	down    bool
	sent    int
}

type inFlight struct {
	at     time.Time
	to     string
	packet *Packet
}

func newLab(t *testing.T, names ...string) *lab {
	lab := &lab{t: t, now: time.Unix(1_000_000, 0), links: map[string]*member{}, names: names}
	for i, name := range names {
		lab.boot(name, uint64(100+i), Options{})
	}
	return lab
}

func id(name string) (id ID) {
	copy(id[:], name+"................")
	return id
}

func (b *lab) boot(name string, generation uint64, opts Options) {
	opts.Node, opts.ID, opts.Generation = name, id(name), generation
	for _, other := range b.names {
		opts.Nodes = append(opts.Nodes, Node{Name: other, ID: id(other)})
	}
	opts.Keepalive = time.Second
	if opts.Deadtime == 0 {
		opts.Deadtime = 5 * time.Second
	}
	b.links[name] = &member{Link: New(opts)}
	b.step(name, Started{})
}

func (b *lab) step(name string, ev Event) Output {
	m := b.links[name]
	out := m.Step(b.now, ev)
	for _, c := range out.Changes {
		line := c.Kind.String() + " " + c.Node
		if c.Kind == NewStatus {
			line += " " + string(c.Status)
		}
		m.changes = append(m.changes, line)
	}
	for _, p := range out.Deliver {
		m.got = append(m.got, p.Src+":"+p.Message.Get("x"))
	}
	for _, n := range out.Notes {
		m.notes = append(m.notes, n.Text)
	}
	for _, p := range out.Send {
		m.sent++
		for _, to := range b.names {
			if to != name && (b.lose == nil || !b.lose(name, to, p)) {
				b.queue = append(b.queue, inFlight{b.now.Add(time.Millisecond), to, p})
			}
		}
	}
	m.wake = out.WakeAt
	return out
}

func (b *lab) say(from, to, text string) {
	m := hamsg.New("x-test")
	if to != "" {
		m.Add("dest", to)
	}
	m.Add("x", text)
	b.step(from, Submitted{m})
}

func (b *lab) run(d time.Duration) {
	end := b.now.Add(d)
	for {
		next, who := end, ""
		if len(b.queue) > 0 && b.queue[0].at.Before(next) {
			next = b.queue[0].at
		}
		for _, name := range b.names {
			if m := b.links[name]; !m.down && m.wake.Before(next) {
				next, who = m.wake, name
			}
		}
		if !next.Before(end) {
			b.now = end
			return
		}
		if next.After(b.now) {
			b.now = next
		}
		if who != "" {
			b.step(who, Woken{})
			continue
		}
		f := b.queue[0]
		b.queue = b.queue[1:]
		if !b.links[f.to].down {
			b.step(f.to, Received{"eth0", b.asReceived(f.packet)})
		}
	}
}

func (b *lab) want(name string, want ...string) {
	b.t.Helper()
	if got := b.links[name].got; !slices.Equal(got, want) {
		b.t.Errorf("%s got %q, want %q", name, got, want)
	}
}

func (b *lab) wantChange(name, change string, times int) {
	b.t.Helper()
	n := 0
	for _, c := range b.links[name].changes {
		if c == change {
			n++
		}
	}
	if n != times {
		b.t.Errorf("%s saw %q %d times, want %d; changes: %q", name, change, n, times, b.links[name].changes)
	}
}

func TestStartBecomesActive(t *testing.T) {
	b := newLab(t, "a", "b", "c")
	b.run(3 * time.Second)
	for _, name := range b.names {
		if s := b.links[name].Status(); s != StatusActive {
			t.Errorf("%s is %s after 3 s, want active", name, s)
		}
		b.wantChange(name, "local active "+name, 1)
	}
	b.wantChange("a", "status b active", 1)
}

func TestAloneWaitsForInitdead(t *testing.T) {
	b := newLab(t, "a", "b")
	b.links["b"].down, b.queue = true, nil
	b.run(12*time.Second - 1)
	if s := b.links["a"].Status(); s != StatusUp {
		t.Fatalf("a is %s before initdead, want up", s)
	}
	b.run(2)
	if s := b.links["a"].Status(); s != StatusActive {
		t.Fatalf("a is %s after initdead, want active", s)
	}
	b.wantChange("a", "dead b", 1)
}

func TestDeadExactlyAtDeadtime(t *testing.T) {
	b := newLab(t, "a", "b")
	b.run(10*time.Second + 500*time.Millisecond) // last beat of b at 10 s, heard 1 ms later
	b.links["b"].down = true
	b.run(4*time.Second + 501*time.Millisecond - 1)
	b.wantChange("a", "dead b", 0)
	b.run(1 + 1)
	b.wantChange("a", "dead b", 1)
	b.wantChange("a", "link dead b", 1)
}

func TestPausedProcessWaitsBeforeVerdict(t *testing.T) {
	b := newLab(t, "a", "b")
	b.run(10 * time.Second)
	b.links["a"].wake = b.now.Add(time.Hour) // a does not run for 8 s
	held := b.now
	for b.now.Sub(held) < 8*time.Second {
		b.step("b", Woken{})
		b.now = b.now.Add(time.Second)
	}
	queued := b.queue
	b.queue = nil
	b.step("a", Woken{})
	b.wantChange("a", "dead b", 0)
	for _, f := range queued {
		b.step(f.to, Received{"eth0", f.packet})
	}
	b.run(3 * time.Second)
	b.wantChange("a", "dead b", 0)

	b.links["b"].down = true // and a verdict is still possible after a pause
	b.links["a"].wake = b.now.Add(time.Hour)
	b.now = b.now.Add(20 * time.Second)
	b.step("a", Woken{})
	b.run(time.Second - 1)
	b.wantChange("a", "dead b", 0)
	b.run(2)
	b.wantChange("a", "dead b", 1)
}

func TestOrderAndOnce(t *testing.T) {
	b := newLab(t, "a", "b", "c")
	b.run(2 * time.Second)
	n := 0
	b.lose = func(from, to string, p *Packet) bool { n++; return n%3 == 0 }
	var want []string
	for i := range 100 {
		text := fmt.Sprint(i)
		b.say("a", "", text)
		want = append(want, "a:"+text)
		b.run(10 * time.Millisecond)
	}
	b.say("a", "b", "only b")
	b.run(20 * time.Second)
	b.want("c", want...)
	b.want("a", want...)
	b.want("b", append(want, "a:only b")...)
	if len(b.links["a"].history.sent) > keepAcked+20 {
		t.Errorf("history holds %d messages although acknowledged", len(b.links["a"].history.sent))
	}
}

func TestDuplicatesAndReplaysChangeNothing(t *testing.T) {
	b := newLab(t, "a", "b")
	b.run(2 * time.Second)
	var kept []*Packet
	b.lose = func(from, to string, p *Packet) bool {
		if from == "b" {
			kept = append(kept, p)
		}
		return false
	}
	b.say("b", "", "one")
	b.run(3 * time.Second)
	b.links["b"].down = true
	for range 20 {
		b.run(time.Second)
		for _, p := range kept {
			b.step("a", Received{"eth0", p})
			b.step("a", Received{"eth1", p})
		}
	}
	b.want("a", "b:one")
	b.wantChange("a", "dead b", 1)
	b.wantChange("a", "returned b", 0)

	b.boot("b", 200, Options{})
	b.run(time.Second)
	b.wantChange("a", "restarted b", 1)
	for _, p := range kept {
		b.step("a", Received{"eth0", p})
	}
	b.run(time.Second)
	b.want("a", "b:one")
	if got := b.links["a"].Nodes()[0].Generation; got != 200 {
		t.Errorf("generation %d after replay of the old one, want 200", got)
	}
	if !slices.ContainsFunc(b.links["a"].notes, func(s string) bool { return strings.Contains(s, "attempted replay attack [b]?") }) {
		t.Error("the replay was not noted")
	}
}

func TestQuickRestartIsNoDeath(t *testing.T) {
	b := newLab(t, "a", "b")
	b.run(3 * time.Second)
	b.boot("b", 101+1, Options{})
	b.say("b", "", "hello")
	b.run(time.Second)
	b.wantChange("a", "dead b", 0)
	b.wantChange("a", "restarted b", 1)
	b.want("a", "b:hello")
}

func TestPartitionAndReturn(t *testing.T) {
	b := newLab(t, "a", "b")
	b.run(3 * time.Second)
	b.lose = func(from, to string, p *Packet) bool { return true }
	b.say("b", "", "lost")
	b.run(10 * time.Second)
	b.lose = nil
	b.run(2 * time.Second)
	b.say("b", "", "kept")
	b.run(time.Second)
	for _, name := range b.names {
		b.wantChange(name, "dead a", map[string]int{"a": 0, "b": 1}[name])
	}
	b.wantChange("a", "returned b", 1)
	b.wantChange("b", "returned a", 1)
	b.want("a", "b:kept")
}

// A peer that declared us dead forgets what we miss: the stream is broken and
// goes on.
func TestOneWayCutBreaksTheStream(t *testing.T) {
	b := newLab(t, "a", "b")
	b.run(3 * time.Second)
	// b's packets do not reach a; a's reach b, but the first one is lost.
	lost := false
	b.lose = func(from, to string, p *Packet) bool {
		if from == "b" {
			return true
		}
		if p.Type == "x-test" && !lost {
			lost = true
			return true
		}
		return false
	}
	b.say("a", "", "1")
	b.say("a", "", "2")
	b.run(4 * time.Second)
	b.want("b")
	b.run(3 * time.Second)
	b.wantChange("a", "dead b", 1)
	b.wantChange("b", "broken a", 1)
	b.want("b", "a:2")
}

// TestAcknowledgedBeforeTheReturn: b has heard a for longer than a has heard b.
// That a begins b's stream anew does not mean that b has all that a has sent.
func TestAcknowledgedBeforeTheReturn(t *testing.T) {
	b := newLab(t, "a", "b")
	b.run(3 * time.Second)
	lost := false
	b.lose = func(from, to string, p *Packet) bool {
		first := p.Type == "x-test" && !lost
		lost = lost || first
		return from == "b" || first
	}
	b.run(4500 * time.Millisecond)
	b.say("a", "", "1") // lost
	b.say("a", "", "2")
	b.run(1500 * time.Millisecond)
	b.wantChange("a", "dead b", 1)
	b.lose = func(from, to string, p *Packet) bool { return p.Type == typeRexmit }
	b.run(1500 * time.Millisecond)
	b.wantChange("a", "returned b", 1)
	ack := hamsg.New(typeAck)
	ack.Add("dest", "a")
	ack.Add("ackseq", "1")
	b.step("b", Submitted{ack})
	b.run(10 * time.Millisecond)
	b.lose = nil
	b.run(1500 * time.Millisecond)
	b.wantChange("b", "broken a", 0)
	b.want("b", "a:1", "a:2")
}

func TestLongLossStartsOver(t *testing.T) {
	b := newLab(t, "a", "b")
	b.run(3 * time.Second)
	b.lose = func(from, to string, p *Packet) bool { return from == "a" }
	for i := range 600 {
		b.say("a", "", fmt.Sprint(i))
	}
	b.lose = nil
	b.say("a", "", "after")
	b.run(3 * time.Second)
	b.wantChange("b", "broken a", 1)
	b.want("b", "a:after")
}

func TestCongestion(t *testing.T) {
	b := newLab(t, "a", "b")
	b.run(3 * time.Second)
	b.lose = func(from, to string, p *Packet) bool { return true }
	var out Output
	for i := range 300 {
		b.say("a", "", fmt.Sprint(i))
	}
	if out = b.step("a", Woken{}); !out.Congested {
		t.Error("300 messages without acknowledgement and no congestion")
	}
	b.run(10 * time.Second) // b is dead: nobody is waited for
	if out = b.step("a", Woken{}); out.Congested {
		t.Error("congested with no live peer")
	}
}

// TestAloneIsNoCongestion: with nobody left to acknowledge nothing is amiss.
func TestAloneIsNoCongestion(t *testing.T) {
	lab := newLab(t, "a", "b")
	lab.run(10 * time.Second)
	lab.lose = func(string, string, *Packet) bool { return true }
	lab.run(20 * time.Minute)
	for _, text := range lab.links["a"].notes {
		if strings.Contains(text, "filling up") {
			t.Fatal(text)
		}
	}
}

func TestMessageFieldsAndTheirOrder(t *testing.T) {
	b := newLab(t, "a", "b")
	m := hamsg.New("x-test")
	m.Add("dest", "b")
	m.Add("x", "1")
	var got []string
	for _, f := range b.step("a", Submitted{m}).Send[0].Message.Fields {
		got = append(got, f.Name)
	}
	want := strings.Fields("t dest x destuuid src srcuuid seq hg ts ld ttl")
	if !slices.Equal(got, want) {
		t.Errorf("fields %q, want %q (HB 3.8)", got, want)
	}
	p, err := Parse(m)
	if err != nil || p.Seq != 3 || p.Dest != "b" || p.DestID != id("b") || p.SrcID != id("a") || p.Generation != 100 {
		t.Errorf("parsed %+v, %v", p, err)
	}
}

func TestAutojoin(t *testing.T) {
	b := newLab(t, "a")
	b.boot("a", 100, Options{Autojoin: AutojoinOther})
	b.names = append(b.names, "b")
	b.boot("b", 101, Options{})
	b.run(4 * time.Second)
	b.wantChange("a", "added b", 1)
	b.wantChange("a", "up b", 1)
}

func TestPingNode(t *testing.T) {
	b := newLab(t, "a")
	b.boot("a", 100, Options{Nodes: []Node{{Name: "gw", Ping: true}}})
	reply := &Packet{Type: typePing, Src: "gw", Status: StatusPing}
	b.run(2 * time.Second)
	b.step("a", Received{"gw", reply})
	b.wantChange("a", "up gw", 1)
	b.run(5*time.Second - 1)
	b.wantChange("a", "dead gw", 0)
	b.run(2)
	b.wantChange("a", "dead gw", 1)
	b.step("a", Received{"gw", reply})
	b.wantChange("a", "up gw", 2)
}

func TestParseRefuses(t *testing.T) {
	for _, test := range []struct{ fields, want string }{
		{"t=status src=a", "missing from/ts/type"},
		{"t=status ts=1", "missing from/ts/type"},
		{"src=a ts=1", "missing from/ts/type"},
		{"t=status src=a ts=1", "missing seqno"},
		{"t=status src=a ts=1 seq=0", "missing seqno"},
		{"t=NS_rexmit src=a ts=1", ""},
	} {
		m := &hamsg.Message{}
		for _, f := range strings.Fields(test.fields) {
			name, value, _ := strings.Cut(f, "=")
			m.Add(name, value)
		}
		_, err := Parse(m)
		if got := fmt.Sprint(err); test.want == "" && err != nil || test.want != "" && !strings.Contains(got, test.want) {
			t.Errorf("%s: error %v, want %q", test.fields, err, test.want)
		}
	}
}
