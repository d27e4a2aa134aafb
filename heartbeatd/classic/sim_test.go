package classic

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// world is two nodes in simulated time: messages that take a while and are
// lost in partitions, jobs that take longer, deaths, stops and operators. One
// seed is one history.
type world struct {
	rng    *rand.Rand
	now    time.Time
	queue  timeline
	number int
	nodes  [2]*simNode
	cut    [2]bool // messages from that node are lost
	// calm is the earliest time at which both nodes know of each other again
	// after the last partition.
	calm    time.Time
	trouble []string
	trace   strings.Builder
	fencing bool
	fail    bool // jobs may fail
}

type simNode struct {
	w     *world
	i     int
	name  string
	core  *Core
	epoch int // of this run; events of others are dropped
	up    bool
	wake  time.Time
	mode  Failback

	// What really runs here: local groups are group i, foreign ones 1-i.
	runs    [2]bool
	job     *Job
	lastSee time.Time // of the other
	dead    bool      // the other is, for us
	seenRun int       // epoch of the other that we know; 0: none
	active  bool
	// seenActive: it has said so, in this run.
	seenActive bool
	done       bool // it has stopped in order
	sent       []underWay
}

type happening struct {
	at  time.Time
	seq int
	do  func()
}
type timeline []happening

func (t timeline) Len() int { return len(t) }
func (t timeline) Less(i, j int) bool {
	if !t[i].at.Equal(t[j].at) {
		return t[i].at.Before(t[j].at)
	}
	return t[i].seq < t[j].seq
}
func (t timeline) Swap(i, j int) { t[i], t[j] = t[j], t[i] }
func (t *timeline) Push(x any)   { *t = append(*t, x.(happening)) }
func (t *timeline) Pop() any {
	old := *t
	x := old[len(old)-1]
	*t = old[:len(old)-1]
	return x
}

const (
	simBeat  = 100 * time.Millisecond
	simDead  = 500 * time.Millisecond
	simGrace = 2 * time.Second // after a partition, to give up what both have
)

func newWorld(seed uint64, mode Failback, fencing bool) *world {
	w := &world{rng: rand.New(rand.NewPCG(seed, 1)), now: time.Unix(1_000_000, 0), fencing: fencing}
	for i, name := range []string{"a", "b"} {
		w.nodes[i] = &simNode{w: w, i: i, name: name, mode: mode}
	}
	return w
}

func (w *world) other(n *simNode) *simNode { return w.nodes[1-n.i] }

func (w *world) say(format string, args ...any) {
	fmt.Fprintf(&w.trace, "%8.3f %s\n", w.now.Sub(time.Unix(1_000_000, 0)).Seconds(), fmt.Sprintf(format, args...))
}

func (w *world) after(d time.Duration, do func()) {
	w.number++
	heap.Push(&w.queue, happening{w.now.Add(d), w.number, do})
}

func (w *world) between(low, high time.Duration) time.Duration {
	return low + time.Duration(w.rng.Int64N(int64(high-low)+1))
}

// until runs the world up to t.
func (w *world) until(t time.Time) {
	for len(w.queue) > 0 && !w.queue[0].at.After(t) {
		h := heap.Pop(&w.queue).(happening)
		w.now = h.at
		h.do()
		w.check()
	}
	w.now = t
}

// check: nothing runs twice, but in a partition and shortly after it.
func (w *world) check() {
	if w.cut[0] || w.cut[1] || w.now.Before(w.calm) {
		return
	}
	for g := range 2 {
		if w.nodes[0].runs[g] && w.nodes[1].runs[g] {
			w.trouble = append(w.trouble, fmt.Sprintf("%v: group of %s runs twice", w.now.Sub(time.Unix(1_000_000, 0)), w.nodes[g].name))
			w.say("!!! group of %s runs twice", w.nodes[g].name)
		}
	}
}

func (n *simNode) start() {
	n.epoch++
	n.up, n.active, n.dead, n.done, n.job = true, false, false, false, nil
	n.seenRun = 0
	n.lastSee = n.w.now
	n.wake = time.Time{}
	n.core = New(Options{Node: n.name, Peer: n.w.other(n).name, Failback: n.mode, Fencing: n.w.fencing, Keys: []string{n.name + "-key"}})
	n.w.say("%s starts", n.name)
	n.beat(n.epoch)
}

// kill: a power cut.
func (n *simNode) kill() {
	n.w.say("%s dies", n.name)
	n.up, n.job = false, nil
	n.runs = [2]bool{}
	n.epoch++
}

// crash: the daemon is killed and soon started again; what it ran goes on.
func (n *simNode) crash() {
	w := n.w
	w.say("%s's daemon is killed", n.name)
	n.up, n.job = false, nil
	n.epoch++
	epoch := n.epoch
	w.calm = w.now.Add(8 * time.Second)
	w.after(w.between(0, 2*time.Second), func() {
		if n.epoch == epoch {
			n.start()
		}
	})
}

// beat is a simple failure detector with link's answers.
func (n *simNode) beat(epoch int) {
	if n.epoch != epoch {
		return
	}
	w, o := n.w, n.w.other(n)
	from := o.epoch
	if o.up && !w.cut[o.i] {
		at, active := w.now, o.active
		w.after(w.between(0, 20*time.Millisecond), func() {
			if n.epoch == epoch && o.epoch == from {
				n.heard(at, from, active)
			}
		})
	}
	limit := simDead
	if !n.active {
		limit = 2 * time.Second // initdead
	}
	if !n.dead && w.now.Sub(n.lastSee) > limit {
		n.dead = true
		if n.active {
			w.say("%s: %s is dead", n.name, o.name)
			n.step(PeerDead{})
		}
	}
	if !n.active && (n.dead || n.seenRun != 0) {
		n.active = true
		n.step(Active{PeerAlive: !n.dead})
	}
	w.after(simBeat, func() { n.beat(epoch) })
}

func (n *simNode) heard(at time.Time, run int, active bool) {
	n.lastSee = at
	switch {
	case n.seenRun != run:
		n.seenRun, n.dead, n.seenActive = run, false, false
		n.step(PeerUp{})
	case n.dead:
		n.dead = false
		n.w.say("%s: %s returned", n.name, n.w.other(n).name)
		n.step(PeerUp{Returned: true})
	}
	if active && !n.seenActive {
		n.seenActive = true
		n.step(PeerActive{})
	}
}

func (n *simNode) step(ev Event) {
	w := n.w
	out := n.core.Step(w.now, ev)
	for _, l := range out.Log {
		w.say("%s: %s: %s", n.name, l.Level, l.Text)
	}
	for _, m := range out.Send {
		n.transmit(m)
	}
	if out.Job != nil {
		n.run(*out.Job)
	}
	if out.Stopped {
		n.done = true
		w.say("%s has stopped", n.name)
		epoch := n.epoch
		w.after(150*time.Millisecond, func() { // as long as heartbeatd lingers
			if n.epoch == epoch {
				n.up = false
				n.epoch++
			}
		})
	}
	if at := out.WakeAt; !at.IsZero() && !at.Equal(n.wake) {
		n.wake = at
		epoch := n.epoch
		w.after(at.Sub(w.now), func() {
			if n.epoch == epoch && n.wake.Equal(at) {
				n.wake = time.Time{}
				n.step(Woken{})
			}
		})
	}
}

// transmit delivers in order, or not at all.
func (n *simNode) transmit(m Message) {
	w, o := n.w, n.w.other(n)
	decoded, ok := Decode(m.Encode())
	if !ok {
		w.trouble = append(w.trouble, fmt.Sprintf("%+v cannot be decoded", m))
		return
	}
	w.say("%s -> %+v", n.name, decoded)
	n.sent = append(n.sent, underWay{decoded, n.epoch, o.epoch})
	// 25 ms: behind the heartbeat that made the sender known.
	w.after(25*time.Millisecond, n.deliver)
}

// deliver hands the oldest message over. In a cut it is sent again and again, as
// link does, until the other one thinks the sender dead.
func (n *simNode) deliver() {
	w, o := n.w, n.w.other(n)
	if len(n.sent) == 0 {
		return
	}
	m := n.sent[0]
	known := o.up && o.epoch == m.to && o.seenRun == m.from && !o.dead
	if known && n.epoch == m.from && w.cut[n.i] {
		w.after(20*time.Millisecond, n.deliver)
		return
	}
	n.sent = n.sent[1:]
	if known && !w.cut[n.i] {
		o.step(Received{From: n.name, Message: m.message})
	}
}

// underWay is a message from one run of a node to a run of the other.
type underWay struct {
	message  Message
	from, to int
}

// inject is a message of an operator's tool on n.
func (n *simNode) inject(m Message) {
	n.transmit(m)
	n.step(Received{From: n.name, Message: m})
}

func (n *simNode) groups(what Holding) []int {
	var out []int
	if what&Local != 0 {
		out = append(out, n.i)
	}
	if what&Foreign != 0 {
		out = append(out, 1-n.i)
	}
	return out
}

func (n *simNode) run(job Job) {
	w := n.w
	if n.job != nil {
		w.trouble = append(w.trouble, "two jobs at once on "+n.name)
	}
	n.job = &job
	w.say("%s begins: %v", n.name, job)
	set := func(to bool) {
		for _, g := range n.groups(job.What) {
			n.runs[g] = to
		}
		if job.Kind == TakeKey || job.Kind == GiveKey {
			g := n.i
			if !strings.HasPrefix(job.Key, n.name) {
				g = 1 - n.i
			}
			n.runs[g] = to
		}
	}
	done := JobDone{ID: job.ID}
	switch job.Kind {
	case Acquire, TakeKey:
		set(true)
		if w.fail && w.rng.IntN(4) == 0 {
			done.Failed = job.What
		}
	case GiveKey:
		done.Held = n.runs[1-n.i]
	}
	epoch := n.epoch
	w.after(w.between(10*time.Millisecond, 150*time.Millisecond), func() {
		if n.epoch != epoch {
			return
		}
		switch job.Kind {
		case Survey:
			for i, side := range []Holding{Local, Foreign} {
				switch g := [2]int{n.i, 1 - n.i}[i]; {
				case job.What&side == 0 || !n.runs[g]:
				case job.Keep&side != 0:
					done.Running |= side
				default:
					n.runs[g] = false
				}
			}
		case Release, GiveKey:
			set(false)
		case Acquire:
			if done.Failed != 0 {
				set(false)
			}
		case Fence:
			if w.fail && w.rng.IntN(3) == 0 {
				done.Error = "the device does not answer"
			} else if o := w.other(n); o.up {
				o.kill()
			}
		}
		n.job = nil
		n.step(done)
	})
}

func (w *world) setCut(a, b bool) {
	if w.cut != [2]bool{a, b} {
		w.say("cut %v %v", a, b)
	}
	w.cut = [2]bool{a, b}
	if calm := w.now.Add(simDead + simGrace); calm.After(w.calm) {
		w.calm = calm
	}
}

// fault is one thing that goes wrong, or that an operator does.
func (w *world) fault() {
	n := w.nodes[w.rng.IntN(2)]
	kind := w.rng.IntN(10)
	if n.mode == FailbackLegacy {
		kind = w.rng.IntN(5) // that protocol knows no standby, and repairs nothing after a partition
	}
	switch kind {
	case 0, 1:
		if n.up {
			n.kill()
		}
	case 2, 3:
		if !n.up {
			n.start()
		}
	case 4:
		if n.up && !n.done {
			w.say("%s is asked to stop", n.name)
			n.step(Stop{})
		}
	case 5:
		both := w.rng.IntN(2) == 0
		w.setCut(both || n.i == 0, both || n.i == 1)
	case 6:
		w.setCut(false, false)
	case 7:
		if n.up && n.active && !n.done {
			n.inject(Message{Type: TypeAsk, Hold: Holding(1 + w.rng.IntN(3)), Info: infoMe})
		}
	case 9:
		if n.up && !n.done {
			n.crash()
		}
	case 8:
		if n.up && n.active && !n.done {
			n.inject(Message{Type: TypeTakeover, Hold: Holding(1 + w.rng.IntN(3))})
		}
	}
}

// settle lets things calm down and says who runs what in the end.
func (w *world) settle() {
	w.setCut(false, false)
	w.fail = false
	w.until(w.now.Add(90 * time.Second))
	living := 0
	for _, n := range w.nodes {
		if n.up {
			living++
			if s := n.core.State(); s == "transition" {
				w.trouble = append(w.trouble, n.name+" is in transition for ever")
			}
		}
	}
	for g := range 2 {
		count := 0
		for _, n := range w.nodes {
			if n.runs[g] {
				count++
			}
		}
		if living > 0 && count != 1 {
			w.trouble = append(w.trouble, fmt.Sprintf("group of %s runs on %d nodes in the end", w.nodes[g].name, count))
		}
	}
}

func history(seed uint64, modes ...Failback) *world {
	mode := modes[seed%uint64(len(modes))]
	w := newWorld(seed, mode, seed%3 == 0)
	w.fail = seed%5 == 0
	w.nodes[0].start()
	if w.rng.IntN(2) == 0 {
		w.nodes[1].start()
	}
	for range 3 + w.rng.IntN(10) {
		w.until(w.now.Add(w.between(0, 6*time.Second)))
		w.fault()
	}
	w.settle()
	return w
}

// TestHistories: HA_SEED replays one history and prints it; HA_SEEDS="FIRST
// COUNT" runs others.
func TestHistories(t *testing.T) { histories(t, FailbackOn, FailbackOff) }

func TestLegacyHistories(t *testing.T) { histories(t, FailbackLegacy) }

func histories(t *testing.T, modes ...Failback) {
	t.Helper()
	first, count := uint64(1), uint64(2000)
	if s := os.Getenv("HA_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		first, count = seed, 1
	} else if s := os.Getenv("HA_SEEDS"); s != "" {
		if _, err := fmt.Sscan(s, &first, &count); err != nil {
			t.Fatal(err)
		}
	} else if testing.Short() {
		count = 300
	}
	bad := 0
	for seed := first; seed < first+count; seed++ {
		w := history(seed, modes...)
		if count == 1 {
			t.Log("\n" + w.trace.String())
		}
		if len(w.trouble) > 0 {
			t.Errorf("seed %d: %s", seed, strings.Join(w.trouble[:min(3, len(w.trouble))], "; "))
			if bad++; bad > 10 {
				t.Fatal("and so on")
			}
		}
	}
}
