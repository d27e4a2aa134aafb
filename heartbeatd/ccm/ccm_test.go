package ccm

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

var trace = flag.Bool("trace", false, "print every message")

// lab is a cluster of cores on a network that delivers after 1 ms, in order
// per sender. It tells each core what its link would: verdicts fall one after
// the other, a millisecond apart.
type lab struct {
	t     *testing.T
	now   time.Time
	cores map[string]*member
	names []string
	cut   map[[2]string]bool // from, to
	queue []delivery
	sent  int
	log   strings.Builder
}

type member struct {
	*Core
	generation uint64
	wake       time.Time
	down       bool
	last       *View
}

type delivery struct {
	at         time.Time
	from, to   string
	generation uint64
	event      Event
}

func newLab(t *testing.T) *lab {
	return &lab{t: t, now: time.Unix(0, 0), cores: map[string]*member{}, cut: map[[2]string]bool{}}
}

func (b *lab) boot(name string) {
	m := b.cores[name]
	if m == nil {
		m = &member{}
		b.cores[name] = m
		b.names = append(b.names, name)
		slices.Sort(b.names)
	}
	m.generation++
	m.Core, m.down, m.last, m.wake = New(Options{Node: name, ID: "id-" + name, Generation: m.generation}), false, nil, time.Time{}
	for _, other := range b.names {
		if o := b.cores[other]; other != name && !o.down {
			b.tell(other, name, NodeUp{name, "id-" + name, m.generation})
			b.tell(name, other, NodeUp{other, "id-" + other, o.generation})
		}
	}
	b.step(name, Started{})
}

// tell has to's link notice something about from.
func (b *lab) tell(to, from string, ev Event) {
	if !b.cut[[2]string{from, to}] {
		b.queue = append(b.queue, delivery{b.now.Add(time.Duration(len(b.queue)) * time.Microsecond), "", to, 0, ev})
	}
}

func (b *lab) step(name string, ev Event) {
	m := b.cores[name]
	out := m.Step(b.now, ev)
	m.wake = out.WakeAt
	for _, v := range out.Memberships {
		if m.last != nil && v.Number <= m.last.Number {
			b.t.Errorf("%s: view %d after view %d", name, v.Number, m.last.Number)
		}
		for _, other := range b.names {
			if o := b.cores[other].last; o != nil && o.ViewID == v.ViewID && show(o) != show(v.View) {
				b.t.Errorf("view %v is %s on %s and %s on %s", v.ViewID, show(o), other, show(v.View), name)
			}
		}
		m.last = v.View
		fmt.Fprintf(&b.log, "%s: %s", name, show(v.View))
		if len(v.Joined) > 0 {
			fmt.Fprintf(&b.log, " joined %v", v.Joined)
		}
		if len(v.Lost) > 0 {
			fmt.Fprintf(&b.log, " lost %v", v.Lost)
		}
		b.log.WriteByte('\n')
	}
	for _, s := range out.Send {
		b.sent++
		bytes, err := Marshal(s.Message)
		if err != nil {
			b.t.Fatal(err)
		}
		msg, err := Unmarshal(bytes)
		if err != nil {
			b.t.Fatal(err)
		}
		if *trace {
			b.t.Logf("%v %s -> %q: %T %+v", b.now.Sub(time.Unix(0, 0)), name, s.To, msg, msg)
		}
		for _, to := range b.names {
			if to != name && (s.To == "" || s.To == to) && !b.cut[[2]string{name, to}] {
				b.queue = append(b.queue, delivery{b.now.Add(time.Millisecond), name, to, m.generation, Received{name, m.generation, msg}})
			}
		}
	}
}

func show(v *View) string {
	var b strings.Builder
	fmt.Fprintf(&b, "view %d/%s [", v.Number, v.Coordinator)
	for i, m := range v.Members {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%s@%d", m.Name, m.BornOn)
		for _, p := range m.Processes {
			fmt.Fprintf(&b, "+%s@%d", p.Name, p.BornOn)
			for _, k := range slices.Sorted(maps.Keys(p.Info)) {
				b.WriteString("," + k + "=" + p.Info[k])
			}
		}
	}
	return b.String() + "]"
}

func (b *lab) run(d time.Duration) {
	end := b.now.Add(d)
	for {
		next, who, which := end, "", -1
		for i, q := range b.queue {
			if q.at.Before(next) {
				next, which = q.at, i
			}
		}
		for _, name := range b.names {
			if m := b.cores[name]; !m.down && !m.wake.IsZero() && m.wake.Before(next) {
				next, who, which = m.wake, name, -1
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
			b.cores[who].wake = time.Time{}
			b.step(who, Woken{})
			continue
		}
		q := b.queue[which]
		b.queue = slices.Delete(b.queue, which, which+1)
		if m := b.cores[q.to]; m.down || q.from != "" && b.cut[[2]string{q.from, q.to}] {
			continue
		}
		b.step(q.to, q.event)
	}
}

// lose: to's link declares from dead.
func (b *lab) lose(to, from string) {
	b.queue = append(b.queue, delivery{b.now.Add(time.Duration(len(b.queue)+1) * time.Millisecond), "", to, 0, NodeLost{from, b.now}})
}

func (b *lab) command(d *datadriven.TestData) string {
	b.log.Reset()
	words := func(key string) []string {
		for _, a := range d.CmdArgs {
			if a.Key == key {
				return a.Vals
			}
		}
		return nil
	}
	word := func(key string) string { return strings.Join(words(key), "") }
	switch d.Cmd {
	case "boot":
		for _, a := range d.CmdArgs {
			b.boot(a.Key)
		}
	case "crash": // the node stops; the others notice
		for _, a := range d.CmdArgs {
			b.cores[a.Key].down = true
			for _, other := range b.names {
				if !b.cores[other].down {
					b.lose(other, a.Key)
				}
			}
		}
	case "stop": // the node stops and nobody has noticed yet
		for _, a := range d.CmdArgs {
			b.cores[a.Key].down = true
		}
	case "verdict":
		b.lose(word("at"), word("dead"))
	case "cut", "heal":
		for _, from := range words("from") {
			for _, to := range words("to") {
				for _, dir := range [][2]string{{from, to}, {to, from}} {
					if d.Cmd == "cut" {
						b.cut[dir] = true
						b.lose(dir[1], dir[0])
					} else {
						delete(b.cut, dir)
						b.tell(dir[1], dir[0], NodeUp{dir[0], "id-" + dir[0], b.cores[dir[0]].generation})
					}
				}
			}
		}
	case "deaf": // one way: to does not hear from
		dir := [2]string{word("from"), word("to")}
		b.cut[dir] = true
		b.lose(dir[1], dir[0])
	case "broken":
		b.step(word("at"), StreamBroken{word("from")})
	case "attach":
		info := map[string]string{}
		for _, kv := range words("info") {
			k, v, _ := strings.Cut(kv, ":")
			info[k] = v
		}
		b.step(word("at"), Attached{word("client"), info})
	case "set": // info of a client
		info := map[string]string{}
		for _, kv := range words("info") {
			k, v, _ := strings.Cut(kv, ":")
			info[k] = v
		}
		b.step(word("at"), InfoSet{word("client"), info})
	case "detach":
		b.step(word("at"), Detached{word("client")})
	case "leave":
		b.step(word("at"), Left{})
		b.cores[word("at")].down = true
	case "run":
		span, err := time.ParseDuration(word("for"))
		if err != nil {
			d.Fatalf(b.t, "%v", err)
		}
		b.run(span)
	case "messages":
		b.sent = 0
		b.run(time.Second)
		return strconv.Itoa(b.sent) + "\n"
	default:
		d.Fatalf(b.t, "unknown command %s", d.Cmd)
	}
	if b.log.Len() == 0 {
		return "ok\n"
	}
	return b.log.String()
}

func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		b := newLab(t)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			b.t = t
			return b.command(d)
		})
	})
}
