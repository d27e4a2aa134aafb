package replica

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"linuxha/cib/cibdoc"
	"linuxha/cib/ops"
)

func TestThreeNodes(t *testing.T) {
	n := newNet(t, "a", "b", "c")
	n.mustSucceed("a", n.appoint("a", true, "a", "b", "c"))
	x := n.submit("b", addNode("1"))
	n.settle()
	o := n.mustSucceed("b", x)
	if o.Version != (cibdoc.Version{Epoch: 1}) {
		t.Errorf("version %v", o.Version)
	}
	n.same("a", "b", "c")
	for _, m := range n.names {
		if d := n.nodes[m]; d.disk.Doc.Version().Epoch != 1 || len(d.seen) != 1 || !d.Status().Ready {
			t.Errorf("%s: disk %v, seen %d, ready %v", m, d.disk.Doc.Version(), len(d.seen), d.Status().Ready)
		}
	}
	x = n.submit("c", setStatus("1", "x"))
	n.settle()
	if o := n.mustSucceed("c", x); o.Version != (cibdoc.Version{Epoch: 1, NumUpdates: 1}) {
		t.Errorf("status: %v", o.Version)
	}
	n.same("a", "b", "c")
}

// TestAcknowledgement: which disks a change of the configuration waits for.
func TestAcknowledgement(t *testing.T) {
	for _, tc := range []struct {
		name    string
		members []string
		slow    []string
		want    bool
	}{
		{"alone", []string{"a"}, nil, true},
		{"alone, own disk slow", []string{"a"}, []string{"a"}, false},
		{"two, the other slow: both are needed", []string{"a", "b"}, []string{"b"}, false},
		{"three, one slow", []string{"a", "b", "c"}, []string{"c"}, true},
		{"three, two slow", []string{"a", "b", "c"}, []string{"b", "c"}, false},
		{"three, the primary slow", []string{"a", "b", "c"}, []string{"a"}, false},
		{"four, two slow", []string{"a", "b", "c", "d"}, []string{"c", "d"}, false},
		{"four, one slow", []string{"a", "b", "c", "d"}, []string{"d"}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := newNet(t, tc.members...)
			n.mustSucceed("a", n.appoint("a", true, tc.members...))
			for _, s := range tc.slow {
				n.nodes[s].slow = true
			}
			x, y := n.submit("a", addNode("1")), n.submit("a", setStatus("1", "v"))
			n.settle()
			if _, ok := n.outcome("a", x); ok != tc.want {
				t.Errorf("acknowledged: %v, want %v", ok, tc.want)
			}
			if _, ok := n.outcome("a", y); !ok && !slices.Contains(tc.slow, "a") {
				t.Error("the status change behind it waits for disks of others")
			}
			for _, s := range tc.slow {
				n.nodes[s].slow = false
			}
			n.settle()
			n.mustSucceed("a", x)
			n.mustSucceed("a", y)
			n.same(tc.members...)
		})
	}
}

func TestFullDisk(t *testing.T) {
	n := newNet(t, "a", "b")
	n.mustSucceed("a", n.appoint("a", true, "a", "b"))
	full := errors.New("no space left on device")
	n.nodes["a"].full = full
	x, y, z := n.submit("b", addNode("1")), n.submit("b", setStatus("1", "v")), n.submit("b", addNode("2"))
	n.settle()
	for _, token := range []uint64{x, z} {
		if o, ok := n.outcome("b", token); !ok || o.RC != cibdoc.RCCibSave || !strings.Contains(o.Detail, "no space left") {
			t.Errorf("primary's disk full: %v %+v", ok, o)
		}
	}
	n.mustSucceed("b", y)
	if n.nodes["a"].has("1") || n.nodes["b"].has("1") {
		t.Error("a change that could not be stored was made")
	}
	n.nodes["a"].full, n.nodes["b"].full = nil, full
	x = n.submit("a", addNode("3"))
	n.settle()
	if o, ok := n.outcome("a", x); !ok || o.RC != cibdoc.RCIO || !strings.Contains(o.Detail, "node b: no space left") {
		t.Errorf("other disk full: %v %+v", ok, o)
	}
	n.same("a", "b")
	n.nodes["b"].full = nil
	n.pass(3 * time.Second)
	x = n.submit("a", addNode("4"))
	n.settle()
	n.mustSucceed("a", x)
	n.same("a", "b")
	if !n.nodes["b"].has("3") {
		t.Error("b lost a change")
	}
}

// TestFailover: the primary dies between its change and the answer; the
// request is not performed twice and what was acknowledged stays.
func TestFailover(t *testing.T) {
	n := newNet(t, "a", "b", "c")
	n.mustSucceed("a", n.appoint("a", true, "a", "b", "c"))
	n.nodes["b"].slow, n.nodes["c"].slow = true, true
	x := n.submit("b", ops.Change{Op: ops.Create, Section: "crm_config", XML: cibdoc.E("cluster_property_set", "id", "s").Add(cibdoc.E("nvpair", "id", "p", "name", "p", "value", "1"))})
	inc := ops.Change{Op: ops.Modify, Section: "crm_config", XML: cibdoc.E("nvpair", "id", "p", "value", "value++")}
	y := n.submit("b", inc)
	n.settle()
	if _, ok := n.outcome("b", y); ok {
		t.Fatal("acknowledged before a majority stored it")
	}
	n.crash("a")
	n.nodes["b"].slow, n.nodes["c"].slow = false, false
	n.mustSucceed("c", n.appoint("c", true, "b", "c"))
	n.mustSucceed("b", x)
	n.mustSucceed("b", y)
	n.same("b", "c")
	if v := n.nodes["b"].doc.Section("crm_config").Children[0].Children[0].Attr("value"); v != "2" {
		t.Errorf("value %q: the request was performed twice or not at all", v)
	}
	n.start("a")
	n.mustSucceed("c", n.appoint("c", true, "a", "b", "c"))
	n.same("a", "b", "c")
}

func TestNoPrimary(t *testing.T) {
	n := newNet(t, "a", "b")
	x := n.submit("a", addNode("1"))
	n.pass(29 * time.Second)
	if _, ok := n.outcome("a", x); ok {
		t.Fatal("answered too early")
	}
	n.pass(2 * time.Second)
	if o, _ := n.outcome("a", x); o.RC != cibdoc.RCTimedOut || !strings.Contains(o.Detail, "no primary") {
		t.Errorf("%+v", o)
	}
	x = n.submit("a", addNode("2"))
	n.mustSucceed("b", n.appoint("b", true, "a", "b"))
	n.mustSucceed("a", x)
	if n.nodes["a"].has("1") {
		t.Error("a request that had failed was performed")
	}
}

// TestMerge: which copy wins when partitions meet (cib 13.6, 15.9).
func TestMerge(t *testing.T) {
	for _, tc := range []struct {
		name           string
		aQuorum, bQuor bool
		aChanges       int
		bChanges       int
		bAdmin         bool
		want           string // whose changes survive
	}{
		{"both quorate: more changes win", true, true, 1, 3, false, "b"},
		{"both quorate, the DC's own has more", true, true, 4, 1, false, "a"},
		{"both without quorum: more changes win", false, false, 1, 3, false, "b"},
		{"quorum wins over more changes", true, false, 1, 3, false, "a"},
		{"quorum without changes wins nothing", true, false, 0, 2, false, "b"},
		{"admin_epoch wins over quorum", true, false, 3, 1, true, "b"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := newNet(t, "a", "b")
			n.mustSucceed("a", n.appoint("a", true, "a", "b"))
			x := n.submit("a", addNode("0"))
			n.settle()
			n.mustSucceed("a", x)
			n.partition([]string{"a"}, []string{"b"})
			n.mustSucceed("a", n.appoint("a", tc.aQuorum, "a"))
			n.mustSucceed("b", n.appoint("b", tc.bQuor, "b"))
			for i := range tc.aChanges {
				n.submit("a", addNode(fmt.Sprintf("a%d", i)))
				n.settle()
			}
			for i := range tc.bChanges {
				n.submit("b", addNode(fmt.Sprintf("b%d", i)))
				n.settle()
			}
			if tc.bAdmin {
				n.submit("b", ops.Change{Op: ops.Modify, XML: cibdoc.E("cib", "admin_epoch", "admin_epoch++")})
				n.settle()
			}
			highest := n.nodes["a"].doc.Version()
			if v := n.nodes["b"].doc.Version(); highest.Less(v) {
				highest = v
			}
			n.partition([]string{"a", "b"})
			n.mustSucceed("a", n.appoint("a", true, "a", "b"))
			n.same("a", "b")
			loser, changes := "b", tc.bChanges
			if tc.want == "b" {
				loser, changes = "a", tc.aChanges
			}
			if !n.nodes["a"].has(tc.want+"0") || changes > 0 && n.nodes["a"].has(loser+"0") {
				t.Errorf("the wrong copy won: %s", n.nodes["a"].doc.Bytes())
			}
			if v := n.nodes["a"].doc.Version(); v.Less(highest) {
				t.Errorf("version went from %v to %v", highest, v)
			}
			if got := len(n.nodes[loser].lost); (got == 1) != (changes > 0) {
				t.Errorf("%s kept %d patches of %d lost changes", loser, got, changes)
			}
			if changes > 0 {
				lost, err := cibdoc.ParseNode(n.nodes[loser].lost[0].Patch)
				if err != nil {
					t.Fatal(err)
				}
				r, err := ops.Apply(n.nodes["a"].doc, ops.Request{Changes: []ops.Change{{Op: ops.Patch, XML: lost}}})
				if err != nil || !strings.Contains(string(r.Doc.Bytes()), `id="`+loser+`0"`) {
					t.Errorf("the kept patch: %v", err)
				}
			}
			x = n.submit("b", addNode("z"))
			n.settle()
			n.mustSucceed("b", x)
			n.same("a", "b")
		})
	}
}

// TestOldPrimary: a primary that a partition has passed over is refused and
// steps down when it hears so.
func TestOldPrimary(t *testing.T) {
	n := newNet(t, "a", "b", "c")
	n.mustSucceed("a", n.appoint("a", true, "a", "b", "c"))
	n.partition([]string{"a"}, []string{"b", "c"})
	n.mustSucceed("b", n.appoint("b", true, "b", "c"))
	x := n.submit("b", addNode("1"))
	n.settle()
	n.mustSucceed("b", x)
	n.partition([]string{"a", "b", "c"}) // a has not noticed anything
	y := n.submit("a", addNode("2"))
	n.settle()
	if _, ok := n.outcome("a", y); ok {
		t.Fatal("the old primary's change was acknowledged")
	}
	if n.nodes["b"].has("2") || n.nodes["c"].has("2") {
		t.Error("a change of the old primary was taken")
	}
	if n.nodes["a"].role != follower {
		t.Error("the old primary still thinks that it is primary")
	}
	n.mustSucceed("b", n.appoint("b", true, "a", "b", "c"))
	n.mustSucceed("a", y) // performed anew by the new primary
	n.same("a", "b", "c")
	if !n.nodes["a"].has("1") || !n.nodes["a"].has("2") {
		t.Errorf("%s", n.nodes["a"].doc.Bytes())
	}
}

// TestOrderOfAppointments: the crmds of a view speak in any order, know no
// primary at first, or change their mind within the view; all copies are in
// step without waiting for a timer.
func TestOrderOfAppointments(t *testing.T) {
	for _, tc := range []struct{ name, order string }{
		{"the primary last", "b=a c=a a=a"},
		{"the primary first", "a=a b=a c=a"},
		{"no primary known at first", "a= b= c= a=a b=a c=a"},
		{"no primary known, said late", "a=a b= c= b=a c=a"},
		{"no primary known, never said", "a=a b= c="},
		{"another one in the same view, others last", "a=a b=a c=a a=b b=b c=b"},
		{"another one in the same view, new one first", "a=a b=a c=a b=b a=b c=b"},
		{"another one in the same view, old one last", "a=a b=a c=a c=b b=b a=b"},
		{"and back", "a=a b=a c=a a=b b=b c=b b=a a=a c=a"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := newNet(t, "a", "b", "c")
			n.view = 7
			for _, s := range strings.Fields(tc.order) {
				who, primary, _ := strings.Cut(s, "=")
				d := n.nodes[who]
				d.token++
				n.step(who, Appointed{Token: d.token, Primary: primary, View: 7, Members: n.names, Quorate: true})
				n.settle()
			}
			x := n.submit("c", addNode("1"))
			n.settle()
			n.mustSucceed("c", x)
			n.same("a", "b", "c")
			for _, m := range n.names {
				if !n.nodes[m].Status().Ready {
					t.Errorf("%s is not in step", m)
				}
				for token, o := range n.nodes[m].answers {
					if o.RC != cibdoc.OK && o.RC != cibdoc.RCTryAgain {
						t.Errorf("%s: %d: %+v", m, token, o)
					}
				}
			}
		})
	}
}

// TestFrozenMember: a member that is there but does not answer delays the
// cluster for some seconds, if there is a majority without it; when it wakes
// up it gets in step.
func TestFrozenMember(t *testing.T) {
	n := newNet(t, "a", "b", "c")
	n.mustSucceed("a", n.appoint("a", true, "a", "b", "c"))
	n.partition([]string{"a", "b"}, []string{"c"}) // frozen: hears nothing, is a member all the same
	n.view++
	for _, m := range []string{"b", "a"} {
		n.nodes[m].token++
		n.step(m, Appointed{Token: n.nodes[m].token, Primary: "a", View: n.view, Members: n.names, Quorate: true})
	}
	token := n.nodes["a"].token
	x := n.submit("b", addNode("1"))
	n.pass(4 * time.Second)
	if _, ok := n.outcome("a", token); ok {
		t.Fatal("went on at once")
	}
	n.pass(12 * time.Second)
	n.mustSucceed("a", token)
	n.mustSucceed("b", x)
	n.partition(n.names)
	n.nodes["c"].token++
	n.step("c", Appointed{Token: n.nodes["c"].token, Primary: "a", View: n.view, Members: n.names, Quorate: true})
	n.settle()
	n.same("a", "b", "c")

	two := newNet(t, "a", "b")
	two.mustSucceed("a", two.appoint("a", true, "a", "b"))
	two.partition([]string{"a"}, []string{"b"})
	two.step("a", Appointed{Token: 99, Primary: "a", View: 50, Members: two.names, Quorate: true})
	two.pass(time.Minute)
	if _, ok := two.outcome("a", 99); ok {
		t.Error("one of two went on without the other")
	}
}

// TestBareQuorum: three of five are quorate, and any two of them are not enough
// to hold a change or to know what was acknowledged: the next partition with
// quorum might have none of the two.
func TestBareQuorum(t *testing.T) {
	n := newNet(t, "a", "b", "c", "d", "e")
	n.mustSucceed("a", n.appoint("a", true, n.names...))
	n.partition([]string{"a", "d", "e"}, []string{"b", "c"})
	n.mustSucceed("a", n.appoint("a", true, "a", "d", "e"))
	n.partition([]string{"a", "e"}, []string{"b", "c"}, []string{"d"}) // d is frozen
	x := n.submit("a", addNode("1"))
	n.pass(10 * time.Second)
	if o, ok := n.outcome("a", x); ok {
		t.Fatalf("acknowledged by two of five: %+v", o)
	}
	n.partition([]string{"a", "d", "e"}, []string{"b", "c"})
	n.pass(3 * time.Second)
	n.mustSucceed("a", x)

	n.partition([]string{"b", "c"}, []string{"e"}, []string{"a"}, []string{"d"}) // e is frozen
	y := n.appoint("b", true, "b", "c", "e")
	n.pass(time.Minute)
	if _, ok := n.outcome("b", y); ok {
		t.Fatal("b and c went on without the only one that holds the change")
	}
	n.partition([]string{"b", "c", "e"}, []string{"a"}, []string{"d"})
	n.step("e", Appointed{Token: 99, Primary: "b", View: n.view, Members: []string{"b", "c", "e"}, Quorate: true, Configured: 5})
	n.pass(10 * time.Second)
	n.mustSucceed("b", y)
	if !n.nodes["b"].has("1") {
		t.Error("the change is lost")
	}
}

// TestReplicaAway: b and c have quorum, but the CIB of c is being restarted: b
// alone may not know what a and c have stored.
func TestReplicaAway(t *testing.T) {
	n := newNet(t, "a", "b", "c")
	n.mustSucceed("a", n.appoint("a", true, n.names...))
	n.partition([]string{"a", "c"}, []string{"b"})
	n.mustSucceed("a", n.appoint("a", true, "a", "c"))
	x := n.submit("a", addNode("1"))
	n.settle()
	n.mustSucceed("a", x)
	n.partition([]string{"a"}, []string{"b"}, []string{"c"})
	n.step("b", Appointed{Token: 99, Primary: "b", View: 50, Members: []string{"b"}, Quorate: true, Configured: 3, Nodes: 2})
	n.pass(time.Minute)
	if _, ok := n.outcome("b", 99); ok {
		t.Fatal("b leads with quorum and without the change")
	}
	n.partition([]string{"a"}, []string{"b", "c"})
	n.view = 50
	n.mustSucceed("b", n.appoint("b", true, "b", "c"))
	if !n.nodes["b"].has("1") {
		t.Error("the change is lost")
	}
	// Of two nodes each is quorate alone: there is nothing to wait for.
	two := newNet(t, "a", "b")
	two.step("a", Appointed{Token: 99, Primary: "a", View: 50, Members: []string{"a"}, Quorate: true, Configured: 2, Nodes: 2})
	two.mustSucceed("a", 99)
}

func TestGapIsMended(t *testing.T) {
	n := newNet(t, "a", "b")
	n.mustSucceed("a", n.appoint("a", true, "a", "b"))
	n.submit("a", setStatus("1", "x"))
	delete(n.links, [2]string{"a", "b"}) // lost on the way
	n.settle()
	n.submit("a", setStatus("1", "y"))
	n.settle()
	n.same("a", "b")
	if last := n.nodes["b"].seen[len(n.nodes["b"].seen)-1]; !last.FromSync || last.Patch != nil {
		t.Errorf("b was not given the whole document: %+v", last)
	}
	// A lost acknowledgement is asked for again.
	x := n.submit("a", addNode("1"))
	n.flush("a")
	n.deliverOne(0)
	n.deliverOne(0)
	n.flush("b")
	delete(n.links, [2]string{"b", "a"})
	n.settle()
	if _, ok := n.outcome("a", x); ok {
		t.Fatal("acknowledged without the acknowledgement")
	}
	n.pass(3 * time.Second)
	n.mustSucceed("a", x)
}

// TestHistories drives a cluster through random crashes, partitions, slow and
// full disks, and checks after each step that equal versions of copies in step
// with one primary are equal, that versions seen on a node never go back, and
// in the end that all acknowledged changes of quorate partitions are there.
func TestHistories(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := newNet(rt, "a", "b", "c")
		acked := map[string]bool{}
		type sub struct {
			node  string
			inc   uint64
			token uint64
			id    string
		}
		var subs []sub
		part := [][]string{n.names}
		quorate := func(name string) bool {
			for _, g := range part {
				if slices.Contains(g, name) {
					return len(g) >= 2
				}
			}
			return false
		}
		collect := func() { // each answer counts by the quorum when it came
			subs = slices.DeleteFunc(subs, func(s sub) bool {
				o, ok := n.nodes[s.node].answers[s.token]
				if !ok || n.nodes[s.node].inc != s.inc {
					return n.nodes[s.node].inc != s.inc
				}
				acked[s.id] = acked[s.id] || o.RC == cibdoc.OK && quorate(s.node)
				return true
			})
		}
		elect := func() {
			for _, g := range part {
				var alive []string
				for _, m := range g {
					if n.nodes[m].up {
						alive = append(alive, m)
					}
				}
				if len(alive) > 0 {
					n.appoint(rapid.SampledFrom(alive).Draw(rt, "primary"), len(alive) >= 2, alive...)
				}
			}
		}
		elect()
		for i := range rapid.IntRange(5, 40).Draw(rt, "steps") {
			name := rapid.SampledFrom(n.names).Draw(rt, "node")
			d := n.nodes[name]
			switch rapid.IntRange(0, 12).Draw(rt, "what") {
			case 0, 1, 2, 3:
				if d.up {
					id := fmt.Sprintf("%s%d", name, i)
					subs = append(subs, sub{name, d.inc, n.submit(name, addNode(id)), id})
				}
			case 4:
				if d.up {
					n.submit(name, setStatus(name, fmt.Sprint(i)))
				}
			case 5:
				for range rapid.IntRange(1, 20).Draw(rt, "messages") {
					n.deliverOne(rapid.IntRange(0, 5).Draw(rt, "link"))
				}
			case 6:
				if d.up {
					n.flush(name)
				}
			case 7:
				// one node may be down at a time: a minority
				if d.up && !slices.ContainsFunc(n.names, func(m string) bool { return !n.nodes[m].up }) && len(part) == 1 {
					n.crash(name)
					elect()
				}
			case 8:
				if !d.up {
					n.start(name)
					elect()
				}
			case 9:
				if len(part) == 1 && !slices.ContainsFunc(n.names, func(m string) bool { return !n.nodes[m].up }) {
					collect()
					rest := slices.DeleteFunc(slices.Clone(n.names), func(m string) bool { return m == name })
					part = [][]string{{name}, rest}
				} else {
					collect()
					part = [][]string{n.names}
				}
				n.partition(part...)
				elect()
			case 10:
				d.slow = !d.slow
			case 12:
				n.pass(1500 * time.Millisecond)
			case 11:
				if d.full = nil; rapid.Bool().Draw(rt, "full") {
					d.full = errors.New("full")
				}
			}
			collect()
			n.check()
		}
		collect()
		for _, m := range n.names {
			if d := n.nodes[m]; !d.up {
				n.start(m)
			}
			n.nodes[m].slow, n.nodes[m].full = false, nil
		}
		part = [][]string{n.names}
		n.partition(part...)
		token := n.appoint("a", true, n.names...)
		n.pass(5 * time.Second)
		n.mustSucceed("a", token)
		collect()
		n.same(n.names...)
		for id, yes := range acked {
			if yes && !n.nodes["a"].has(id) {
				rt.Fatalf("acknowledged change %s is gone", id)
			}
		}
		x := n.submit("b", addNode("last"))
		n.settle()
		n.mustSucceed("b", x)
		n.same(n.names...)
	})
}

// TestAsPrimary: what a DC decided is made by the primary beside it, or not
// at all.
func TestAsPrimary(t *testing.T) {
	n := newNet(t, "a", "b", "c")
	n.mustSucceed("a", n.appoint("a", true, "a", "b", "c"))
	submit := func(change ops.Change) uint64 {
		d := n.nodes["a"]
		d.token++
		n.step("a", Submitted{Token: d.token, Deadline: n.now.Add(30 * time.Second), Request: Request{Changes: []ops.Change{change}, AsPrimary: true}})
		return d.token
	}
	x := submit(addNode("1"))
	n.settle()
	n.mustSucceed("a", x)
	n.view++
	d := n.nodes["a"]
	d.token++
	n.step("a", Appointed{Token: d.token, Primary: "", View: n.view, Members: n.names, Quorate: true})
	y := submit(addNode("2")) // nobody is the primary: it waits
	n.settle()
	if o, ok := n.outcome("a", y); ok {
		t.Fatalf("answered without a primary: %+v", o)
	}
	n.mustSucceed("b", n.appoint("b", true, "a", "b", "c"))
	z := submit(addNode("3"))
	for _, token := range []uint64{y, z} {
		if o, ok := n.outcome("a", token); !ok || o.RC != cibdoc.RCTryAgain || !strings.Contains(o.Detail, "that of b") {
			t.Errorf("%v %+v", ok, o)
		}
	}
	n.pass(30 * time.Second)
	n.same("a", "b", "c")
	if d := n.nodes["b"]; !d.has("1") || d.has("2") || d.has("3") {
		t.Errorf("%s", d.doc.Bytes())
	}
}

// TestWithdrawn: a request whose client has gone is not made when a primary
// comes, neither by another node's nor by this one.
func TestWithdrawn(t *testing.T) {
	for _, primary := range []string{"a", "b"} {
		n := newNet(t, "a", "b")
		x := n.submit("a", addNode("1"))
		n.step("a", Withdrawn{Token: x})
		y := n.submit("a", addNode("2"))
		n.mustSucceed(primary, n.appoint(primary, true, "a", "b"))
		n.mustSucceed("a", y)
		if _, ok := n.outcome("a", x); ok || n.nodes["b"].has("1") || !n.nodes["b"].has("2") {
			t.Errorf("primary %s, answered %v: %s", primary, ok, n.nodes["b"].doc.Bytes())
		}
	}
	// While the copies are gathered it stands in the primary's queue already.
	n := newNet(t, "a", "b")
	d := n.nodes["a"]
	d.token++
	n.step("a", Appointed{Token: d.token, Primary: "a", View: 1, Members: n.names, Quorate: true})
	x, y := n.submit("a", addNode("1")), n.submit("a", addNode("2"))
	n.step("a", Withdrawn{Token: x})
	n.settle()
	n.mustSucceed("a", n.appoint("a", true, "a", "b"))
	n.mustSucceed("a", y)
	if _, ok := n.outcome("a", x); ok || n.nodes["b"].has("1") || !n.nodes["b"].has("2") {
		t.Errorf("answered %v: %s", ok, n.nodes["b"].doc.Bytes())
	}
}
