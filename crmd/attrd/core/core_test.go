package core

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// world is a cluster of cores: FIFO links whose messages the test delivers, in
// any order between links, a CIB, views as the test wants them.
type world struct {
	t      *testing.T
	now    time.Time
	view   uint64
	nodes  map[string]*member
	links  map[string][]heard // "from>to"
	cib    map[string]string  // "nodeID/name" to value
	writes int
	cibErr string
	denied string // user who may not write
	log    []string
}

type member struct {
	core    *Core
	life    int
	born    uint64 // node
	attrd   uint64
	crmd    uint64
	up      bool
	group   int // partition
	answers map[uint64]bool
	write   *Write
	load    bool
	wake    time.Time
}

func newWorld(t *testing.T, names ...string) *world {
	w := &world{t: t, now: time.Unix(1000, 0), nodes: map[string]*member{}, links: map[string][]heard{}, cib: map[string]string{}}
	for _, n := range names {
		w.start(n)
	}
	w.settle()
	return w
}

func (w *world) start(name string) {
	m := w.nodes[name]
	if m == nil {
		m = &member{born: w.view + 1, crmd: w.view + 1, up: true}
		w.nodes[name] = m
	}
	m.life++
	m.core, m.attrd, m.answers = New(fmt.Sprint(m.life)), w.view+1, map[uint64]bool{}
	m.write, m.load, m.wake = nil, false, time.Time{}
	w.install()
}

// kill ends the attrd of a node only. What it had sent arrives: that is in the
// hands of the node's messaging layer, which also tells of the end afterwards.
func (w *world) kill(name string) {
	w.nodes[name].attrd = 0
	w.nodes[name].core = nil
	for _, l := range w.busy() {
		for strings.HasPrefix(l, name+">") && len(w.links[l]) > 0 {
			w.deliver(l)
		}
	}
	w.cut(name)
	w.install()
}

// crash takes a node out.
func (w *world) crash(name string) {
	w.nodes[name].up = false
	w.nodes[name].core = nil
	w.cut(name)
	w.install()
}

// cut loses what is under way to and from a node.
func (w *world) cut(name string) {
	for l := range w.links {
		if strings.HasPrefix(l, name+">") || strings.HasSuffix(l, ">"+name) {
			delete(w.links, l)
		}
	}
}

func (w *world) install() {
	w.view++
	groups := map[int][]Member{}
	ids := map[string]string{}
	for _, n := range slices.Sorted(maps.Keys(w.nodes)) {
		m := w.nodes[n]
		ids[n] = "id-" + n
		if m.up {
			groups[m.group] = append(groups[m.group], Member{Name: n, ID: "id-" + n, Born: m.born, Attrd: m.attrd, Crmd: m.crmd})
		}
	}
	for _, members := range groups {
		for _, m := range members {
			if m.Attrd != 0 {
				w.step(m.Name, ViewInstalled{Node: m.Name, Number: w.view, Members: members, Configured: ids})
			}
		}
	}
}

func (w *world) step(node string, ev Event) {
	m := w.nodes[node]
	if m.core == nil {
		return
	}
	out := m.core.Step(w.now, ev)
	for _, s := range out.Send {
		for _, to := range slices.Sorted(maps.Keys(w.nodes)) {
			if (s.To == "" || s.To == to) && w.nodes[to].core != nil && w.nodes[to].group == m.group {
				link := node + ">" + to
				w.links[link] = append(w.links[link], heard{node, s.Message})
			}
		}
	}
	for _, a := range out.Answer {
		if m.answers[a.ID] {
			w.t.Errorf("%s answered %d twice", node, a.ID)
		}
		m.answers[a.ID] = true
	}
	if out.Withdraw {
		m.write = nil
	}
	if out.Write != nil {
		if m.write != nil {
			w.t.Errorf("%s writes twice at once", node)
		}
		m.write = out.Write
	}
	m.load = m.load || out.Load
	m.wake = out.WakeAt
	for _, n := range out.Notes {
		w.log = append(w.log, node+": "+n)
	}
}

// links in order, with something on them.
func (w *world) busy() []string {
	var out []string
	for _, l := range slices.Sorted(maps.Keys(w.links)) {
		if len(w.links[l]) > 0 {
			out = append(out, l)
		}
	}
	return out
}

func (w *world) deliver(link string) {
	h := w.links[link][0]
	w.links[link] = w.links[link][1:]
	_, to, _ := strings.Cut(link, ">")
	w.step(to, Received{From: h.from, Message: h.msg})
}

// io lets one node's CIB requests come back; it reports whether there was one.
func (w *world) io(node string) bool {
	m := w.nodes[node]
	switch {
	case m.core == nil:
		return false
	case m.load:
		m.load = false
		var sets []Set
		for _, k := range slices.Sorted(maps.Keys(w.cib)) {
			id, name, _ := strings.Cut(k, "/")
			sets = append(sets, Set{Name: name, Node: strings.TrimPrefix(id, "id-"), Value: w.cib[k]})
		}
		w.step(node, Loaded{Sets: sets})
		return true
	case m.write != nil:
		wr := m.write
		m.write = nil
		if wr.User != "" && wr.User == w.denied {
			w.step(node, Wrote{ID: wr.ID, Err: "denied", Denied: true})
			return true
		}
		if w.cibErr == "" {
			w.writes++
			for _, id := range wr.Clear {
				for k := range w.cib {
					if strings.HasPrefix(k, id+"/") {
						delete(w.cib, k)
					}
				}
			}
			for _, p := range wr.Pairs {
				if p.Value == "" {
					delete(w.cib, p.NodeID+"/"+p.Name)
				} else {
					w.cib[p.NodeID+"/"+p.Name] = p.Value
				}
			}
		}
		w.step(node, Wrote{ID: wr.ID, Err: w.cibErr})
		return true
	}
	return false
}

// settle lets everything under way arrive, at this instant.
func (w *world) settle() {
	for range 10000 {
		done := true
		for _, l := range w.busy() {
			w.deliver(l)
			done = false
		}
		for _, n := range slices.Sorted(maps.Keys(w.nodes)) {
			done = !w.io(n) && done
		}
		if done {
			return
		}
	}
	w.t.Fatalf("does not settle\n%s", strings.Join(w.log, "\n"))
}

func (w *world) pass(d time.Duration) {
	w.now = w.now.Add(d)
	for _, n := range slices.Sorted(maps.Keys(w.nodes)) {
		if m := w.nodes[n]; m.core != nil && !m.wake.IsZero() && !m.wake.After(w.now) {
			w.step(n, Woken{})
		}
	}
	w.settle()
}

func (w *world) get(node, name, of string) string {
	found, _ := w.nodes[node].core.Query(name, of)
	if len(found) == 0 {
		return "-"
	}
	return found[0].Value
}

var nextID uint64

func (w *world) set(node string, s Set) uint64 {
	nextID++
	w.step(node, Asked{ID: nextID, Ops: []Op{s}})
	return nextID
}

func (w *world) agree(name, of, want string) {
	w.t.Helper()
	for _, n := range slices.Sorted(maps.Keys(w.nodes)) {
		if w.nodes[n].core == nil {
			continue
		}
		if got := w.get(n, name, of); got != want {
			w.t.Errorf("%s has %s[%s]=%q, want %q\n%s", n, name, of, got, want, strings.Join(w.log, "\n"))
		}
	}
	inCIB := w.cib["id-"+of+"/"+name]
	if want == "-" {
		want = ""
	}
	if inCIB != want {
		w.t.Errorf("the CIB has %s[%s]=%q, want %q\n%s", name, of, inCIB, want, strings.Join(w.log, "\n"))
	}
}

func TestUpdateReachesAllAndCIB(t *testing.T) {
	w := newWorld(t, "a", "b", "c")
	id := w.set("c", Set{Name: "x", Value: "1"})
	w.settle()
	w.agree("x", "c", "1")
	if !w.nodes["c"].answers[id] {
		t.Error("no answer")
	}
	w.set("b", Set{Name: "x", Node: "c"})
	w.settle()
	w.agree("x", "c", "")
	if _, known := w.nodes["a"].core.Query("x", "c"); !known {
		t.Error("a deleted attribute stays known")
	}
	if w.nodes["a"].core.Known("y") {
		t.Error("y is known")
	}
}

func TestIncrementsFromEverywhere(t *testing.T) {
	w := newWorld(t, "a", "b", "c")
	for _, n := range []string{"a", "b", "c", "b", "c"} {
		w.set(n, Set{Name: "f", Value: "value++", Node: "a"})
	}
	w.set("b", Set{Name: "f", Value: "value+=7", Node: "a"})
	w.settle()
	w.agree("f", "a", "12")
	w.set("c", Set{Name: "f", Value: "value+=INFINITY", Node: "a"})
	w.settle()
	w.agree("f", "a", "INFINITY")
	w.set("c", Set{Name: "f", Value: "value++", Node: "a"})
	w.settle()
	w.agree("f", "a", "INFINITY")
}

func TestDampening(t *testing.T) {
	w := newWorld(t, "a", "b")
	w.set("b", Set{Name: "p", Value: "1", Dampen: 5 * time.Second})
	w.settle()
	w.pass(4 * time.Second)
	w.set("b", Set{Name: "p", Value: "2"}) // restarts the timer; its own delay is ignored
	w.settle()
	w.pass(4 * time.Second)
	before := w.writes
	if v := w.cib["id-b/p"]; v != "" {
		t.Errorf("written early: %q", v)
	}
	w.pass(1100 * time.Millisecond)
	w.agree("p", "b", "2")
	if w.writes != before+1 {
		t.Errorf("%d writes, want one", w.writes-before)
	}
	w.set("b", Set{Name: "p", Value: "3"})
	w.settle()
	w.set("b", Set{Name: "p", KeepValue: true, SetDampen: true, Dampen: time.Second}) // a new delay writes at once
	w.settle()
	w.agree("p", "b", "3")
}

func TestSync(t *testing.T) {
	w := newWorld(t, "a", "b")
	nextID++
	id := nextID
	w.step("b", Asked{ID: id, Sync: true, Ops: []Op{Set{Name: "s", Value: "1", Dampen: 5 * time.Second}}})
	w.settle()
	if w.nodes["b"].answers[id] {
		t.Error("answered before it was written")
	}
	w.kill("a") // the writer; the next one writes at once
	w.settle()
	if !w.nodes["b"].answers[id] || w.cib["id-b/s"] != "1" {
		t.Errorf("not written by the new writer: %v\n%s", w.cib, strings.Join(w.log, "\n"))
	}
}

func TestPrivateIsNotWritten(t *testing.T) {
	w := newWorld(t, "a", "b")
	w.set("b", Set{Name: "#p", Value: "4", Private: true})
	w.settle()
	if w.get("a", "#p", "b") != "4" || len(w.cib) != 0 {
		t.Errorf("a has %q, the CIB %v", w.get("a", "#p", "b"), w.cib)
	}
}

func TestRestartedAttrdFetchesBack(t *testing.T) {
	for _, who := range []string{"a", "b"} { // a is the writer
		w := newWorld(t, "a", "b", "c")
		w.set(who, Set{Name: "fail-count-x#monitor_0", Value: "3"})
		w.settle()
		w.kill(who)
		w.settle()
		w.start(who)
		w.settle()
		w.agree("fail-count-x#monitor_0", who, "3")
	}
	// Alone, the values come back from the CIB.
	w := newWorld(t, "a")
	w.set("a", Set{Name: "x", Value: "1"})
	w.settle()
	w.kill("a")
	w.start("a")
	id := w.set("a", Set{Name: "x", Value: "value++"})
	w.settle()
	w.agree("x", "a", "2")
	if !w.nodes["a"].answers[id] {
		t.Error("no answer")
	}
}

func TestLostNode(t *testing.T) {
	for _, who := range []string{"a", "c"} {
		w := newWorld(t, "a", "b", "c")
		w.set(who, Set{Name: "x", Value: "1"})
		w.set("b", Set{Name: "x", Value: "2"})
		w.settle()
		w.crash(who)
		w.settle()
		w.agree("x", "b", "2")
		if got := w.get("b", "x", who); got != "-" {
			t.Errorf("b still has the value of %s: %q", who, got)
		}
		if v := w.cib["id-"+who+"/x"]; v != "" {
			t.Errorf("the CIB still has the value of %s: %q", who, v)
		}
	}
}

func TestWriterDiesBetween(t *testing.T) {
	w := newWorld(t, "a", "b", "c")
	id := w.set("c", Set{Name: "x", Value: "value++", Node: "c"})
	w.deliver("c>a")
	if len(w.links["a>b"]) != 1 || len(w.links["a>c"]) != 1 {
		t.Fatalf("links %v", w.busy())
	}
	w.deliver("a>b") // b hears of the change, c does not
	w.crash("a")
	w.settle()
	w.agree("x", "c", "1") // neither lost nor done twice
	if !w.nodes["c"].answers[id] {
		t.Error("no answer")
	}
}

func TestPartitionAndMerge(t *testing.T) {
	w := newWorld(t, "a", "b", "c")
	for _, n := range []string{"a", "b", "c"} {
		w.set(n, Set{Name: "x", Value: "old"})
	}
	w.settle()
	for l := range w.links {
		delete(w.links, l)
	}
	w.nodes["c"].group = 1
	w.install()
	w.settle()
	w.set("c", Set{Name: "x", Value: "c-own"})
	w.set("b", Set{Name: "x", Value: "b-own"})
	w.settle()
	if got := w.get("a", "x", "c"); got != "-" {
		t.Errorf("a keeps a lost node's value %q", got)
	}
	w.nodes["c"].group = 0
	w.install()
	w.settle()
	w.step("a", CIBReplaced{}) // as the CIBs merge
	w.settle()
	w.agree("x", "a", "old")
	w.agree("x", "b", "b-own")
	w.agree("x", "c", "c-own")
}

// TestStaleWriteIsWithdrawn: a node that wakes up and sees itself alone wants
// the others' attributes removed; when it is one of them again, whose CIB would
// take that, it does not want it any more.
func TestStaleWriteIsWithdrawn(t *testing.T) {
	w := newWorld(t, "a", "b", "c")
	for _, n := range []string{"a", "b", "c"} {
		w.set(n, Set{Name: "x", Value: "of-" + n})
	}
	w.settle()
	for _, lone := range []string{"a", "c"} { // a is the oldest
		w.nodes[lone].group = 1
		w.install()
		if wr := w.nodes[lone].write; wr == nil || len(wr.Clear) != 2 {
			t.Fatalf("%s, alone, writes %+v", lone, wr)
		}
		w.nodes[lone].group = 0
		w.nodes[lone].attrd, w.nodes[lone].born = w.view+1, w.view+1 // it enters anew
		w.install()
		if wr := w.nodes[lone].write; wr != nil {
			t.Errorf("%s still wants %+v", lone, wr)
		}
		w.settle()
		for _, n := range []string{"a", "b", "c"} {
			w.agree("x", n, "of-"+n)
		}
	}
}

func TestControllerComesAgain(t *testing.T) {
	w := newWorld(t, "a", "b")
	w.set("b", Set{Name: "x", Value: "1"})
	w.set("b", Set{Name: "shutdown", Value: "123"})
	w.settle()
	w.nodes["b"].crmd = 0
	w.install()
	w.settle()
	clear(w.cib) // as the DC does (crm 1.8)
	w.nodes["b"].crmd = w.view + 1
	w.install()
	w.settle()
	w.agree("x", "b", "1")
	w.agree("shutdown", "b", "")
}

func TestClearFailures(t *testing.T) {
	names := []string{"fail-count-r#monitor_10000", "fail-count-r", "last-failure-r#start_0", "fail-count-r2#monitor_10000", "fail-count-r#x", "other"}
	for _, tc := range []struct {
		name string
		op   ClearFailures
		left []string
	}{
		{"all", ClearFailures{}, []string{"other"}},
		{"resource", ClearFailures{Resource: "r"}, []string{"fail-count-r2#monitor_10000", "fail-count-r#x", "other"}},
		{
			"operation",
			ClearFailures{Resource: "r", Operation: "monitor", Interval: 10 * time.Second},
			[]string{"fail-count-r", "last-failure-r#start_0", "fail-count-r2#monitor_10000", "fail-count-r#x", "other"},
		},
		{"another node", ClearFailures{Node: "b"}, names},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, "a", "b")
			for _, n := range names {
				w.set("a", Set{Name: n, Value: "1"})
			}
			w.settle()
			nextID++
			w.step("b", Asked{ID: nextID, Ops: []Op{tc.op}})
			w.settle()
			for _, n := range names {
				want := ""
				if slices.Contains(tc.left, n) {
					want = "1"
				}
				w.agree(n, "a", want)
			}
		})
	}
}

func TestCIBTrouble(t *testing.T) {
	w := newWorld(t, "a", "b")
	w.cibErr = "no primary"
	w.set("b", Set{Name: "x", Value: "1"})
	w.settle()
	w.cibErr = ""
	w.pass(2 * time.Second)
	w.agree("x", "b", "1")
	clear(w.cib)
	for n := range w.nodes {
		w.step(n, CIBReplaced{})
	}
	w.settle()
	w.agree("x", "b", "1")
	clear(w.cib)
	nextID++
	w.step("b", Asked{ID: nextID, Ops: []Op{Refresh{}}})
	w.settle()
	w.agree("x", "b", "1")
}

func TestDeniedUserHoldsNobodyUp(t *testing.T) {
	w := newWorld(t, "a", "b")
	w.denied = "mallory"
	w.set("b", Set{Name: "a-first", Value: "1", User: "mallory"})
	w.set("b", Set{Name: "x", Value: "1"})
	w.settle()
	w.agree("x", "b", "1")
	if v := w.cib["id-b/a-first"]; v != "" {
		t.Errorf("written without the right: %q", v)
	}
}

func TestPurge(t *testing.T) {
	w := newWorld(t, "a", "b")
	w.set("a", Set{Name: "x", Value: "1", Node: "remote1", Remote: true})
	w.settle()
	if w.cib["remote1/x"] != "1" {
		t.Errorf("CIB %v", w.cib)
	}
	nextID++
	w.step("b", Asked{ID: nextID, Ops: []Op{Purge{Node: "remote1"}}})
	w.settle()
	if got := w.get("a", "x", "remote1"); got != "-" {
		t.Errorf("a has %q", got)
	}
}

func TestManyInOneWrite(t *testing.T) {
	w := newWorld(t, "a", "b")
	w.settle()
	w.set("a", Set{Name: "first", Value: "1"}) // is being written while more come
	for i := range 20 {
		w.set("a", Set{Name: fmt.Sprint("x", i), Value: "1"})
	}
	before := w.writes
	w.settle()
	if n := w.writes - before; n > 2 {
		t.Errorf("%d writes for 21 attributes", n)
	}
}

func TestIDs(t *testing.T) {
	for _, tc := range []struct {
		attr      Attribute
		set, pair string
	}{
		{Attribute{Name: "fail-count-d1#monitor_10000"}, "status-2", "status-2-fail-count-d1.monitor_10000"},
		{Attribute{Name: "x:y z#1"}, "status-2", "status-2-x.y z.1"},
		{Attribute{Name: "x", SetID: "my:set"}, "my.set", "my.set-x"},
		{Attribute{Name: "x", PairID: "pair#1"}, "status-2", "pair.1"},
	} {
		if set, pair := ids(&tc.attr, "2"); set != tc.set || pair != tc.pair {
			t.Errorf("%+v: %s, %s", tc.attr, set, pair)
		}
	}
}

// TestRandom runs random histories: increments from everywhere while attrds
// die, come again, and messages between different pairs overtake each other.
// No increment is lost or done twice as long as its asker lives, and at the
// end all agree, with the CIB too.
func TestRandom(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 7))
		w := newWorld(t, "a", "b", "c", "d")
		asked, certain := 0, 0
		open := map[string][]uint64{}
		for range 150 {
			names := slices.Sorted(maps.Keys(w.nodes))
			n := names[r.IntN(len(names))]
			m := w.nodes[n]
			switch k := r.IntN(40); {
			case k < 6 && m.core != nil:
				// The counter belongs to a, so that only a's own view of it could
				// be defended; nobody but the writer order decides otherwise.
				open[n] = append(open[n], w.set(n, Set{Name: "n", Value: "value++", Node: "a"}))
				asked++
			case k == 6 && m.core != nil:
				alive := 0
				for _, o := range w.nodes {
					if o.core != nil {
						alive++
					}
				}
				if alive > 1 {
					for _, id := range open[n] {
						if m.answers[id] {
							certain++
						}
					}
					open[n] = nil
					w.kill(n)
				}
			case k == 7 && m.core == nil:
				w.start(n)
			case k < 12:
				w.io(n)
			default:
				if links := w.busy(); len(links) > 0 {
					w.deliver(links[r.IntN(len(links))])
				}
			}
		}
		w.settle()
		for n, ids := range open {
			for _, id := range ids {
				if !w.nodes[n].answers[id] {
					t.Fatalf("seed %d: %s has no answer for %d\n%s", seed, n, id, strings.Join(w.log, "\n"))
				}
				certain++
			}
		}
		got := -1
		for n, m := range w.nodes {
			if m.core == nil {
				continue
			}
			v := int(score(w.get(n, "n", "a")))
			if got >= 0 && v != got {
				t.Fatalf("seed %d: %s has %d, others %d", seed, n, v, got)
			}
			got = v
		}
		if got < certain || got > asked {
			t.Fatalf("seed %d: the counter is %d, %d of %d increments were confirmed\n%s", seed, got, certain, asked, strings.Join(w.log, "\n"))
		}
		if c := int(score(w.cib["id-a/n"])); c != got {
			t.Fatalf("seed %d: the CIB has %d, all others %d", seed, c, got)
		}
	}
}
