package request

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"linuxha/stonithd/device"
	"linuxha/stonithd/history"
)

// world is a cluster of cores with a perfect network of FIFO links, a clock
// that jumps, and agents that answer as scripted.
type world struct {
	t     *testing.T
	now   time.Time
	nodes map[string]*member
	view  uint64
	queue []action // sorted by time, then by order of creation
	seq   int
	// agent says how a run ends and how long it takes.
	agent func(node string, r device.Run) (device.Result, time.Duration)
	runs  []string // "node device action target"
	log   []string
	infos map[string]device.Info
}

type action struct {
	at  time.Time
	seq int
	do  func()
}

type member struct {
	core      *Core
	born      uint64
	up        bool
	answers   map[string]Answer
	published []history.Record
	wakes     time.Time
	life      int
	view      uint64
}

var fullAgent = device.Info{Actions: map[string]device.ActionInfo{
	"on": {}, "off": {}, "reboot": {}, "status": {}, "monitor": {}, "list": {},
}, Params: map[string]bool{"port": true}}

func newWorld(t *testing.T, names ...string) *world {
	w := &world{t: t, now: time.Unix(1000, 0), nodes: map[string]*member{}, infos: map[string]device.Info{}}
	w.agent = func(string, device.Run) (device.Result, time.Duration) { return device.Result{}, 10 * time.Millisecond }
	for _, n := range names {
		w.start(n)
	}
	return w
}

func (w *world) start(name string) {
	life := 0
	if old := w.nodes[name]; old != nil {
		life = old.life + 1
	}
	w.nodes[name] = &member{core: New(name, rand.New(rand.NewPCG(1, 2))), up: true, answers: map[string]Answer{}, life: life}
	w.nodes[name].born = w.view + 1
	w.install()
}

func (w *world) stop(name string) {
	w.nodes[name].up = false
	w.install()
}

func (w *world) install() {
	w.view++
	peers := map[string]uint64{}
	defer func() {
		w.log = append(w.log, fmt.Sprintf("%6.3f view %d: %v", w.now.Sub(time.Unix(1000, 0)).Seconds(), w.view, peers))
	}()
	for n, m := range w.nodes {
		if m.up {
			peers[n] = m.born
		}
	}
	for _, n := range slices.Sorted(maps.Keys(peers)) {
		w.nodes[n].view = w.view
		w.step(n, ViewInstalled{Node: n, Number: w.view, Peers: maps.Clone(peers), Generations: w.generations()})
	}
}

// generations are those of the members.
func (w *world) generations() map[string]uint64 {
	lives := map[string]uint64{}
	for n, m := range w.nodes {
		if m.up {
			lives[n] = uint64(m.life) + 1
		}
	}
	return lives
}

func (w *world) after(d time.Duration, do func()) {
	w.seq++
	w.queue = append(w.queue, action{w.now.Add(d), w.seq, do})
}

func (w *world) step(node string, ev Event) {
	m := w.nodes[node]
	if m == nil || !m.up {
		return
	}
	life := m.life
	out := m.core.Step(w.now, ev)
	view := m.view
	for _, s := range out.Send {
		for _, to := range slices.Sorted(maps.Keys(w.nodes)) {
			if s.To == "" || s.To == to {
				w.after(time.Millisecond, func() { w.step(to, Received{From: node, View: view, Message: s.Message}) })
			}
		}
	}
	for _, r := range out.Run {
		w.runs = append(w.runs, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", node, r.Device, r.Action, r.Target)))
		res, took := w.agent(node, r)
		w.after(took, func() {
			if w.nodes[node].life == life {
				w.step(node, Devices{device.Exited{Run: r.ID, Result: res}})
			}
		})
	}
	for _, a := range out.Learn {
		info, ok := w.infos[a]
		if !ok {
			info = fullAgent
		}
		w.after(time.Millisecond, func() { w.step(node, Devices{device.Learned{Agent: a, Info: info, OK: true}}) })
	}
	for _, a := range out.Answer {
		m.answers[a.ID] = a
	}
	m.published = append(m.published, out.Publish...)
	for _, n := range out.Notes {
		w.log = append(w.log, fmt.Sprintf("%6.3f %s: %s", w.now.Sub(time.Unix(1000, 0)).Seconds(), node, n.Text))
	}
	if !out.WakeAt.IsZero() && (m.wakes.IsZero() || !m.wakes.After(w.now) || out.WakeAt.Before(m.wakes)) {
		m.wakes = out.WakeAt
		w.after(max(out.WakeAt.Sub(w.now), 0), func() {
			if w.nodes[node].life == life {
				w.nodes[node].wakes = time.Time{}
				w.step(node, Woken{})
			}
		})
	}
}

// run lets d of virtual time pass.
func (w *world) run(d time.Duration) {
	end := w.now.Add(d)
	for {
		next := -1
		for i, a := range w.queue {
			if next < 0 || a.at.Before(w.queue[next].at) || a.at.Equal(w.queue[next].at) && a.seq < w.queue[next].seq {
				next = i
			}
		}
		if next < 0 || w.queue[next].at.After(end) {
			w.now = end
			return
		}
		a := w.queue[next]
		w.queue = slices.Delete(w.queue, next, next+1)
		w.now = a.at
		a.do()
	}
}

func (w *world) configure(conf Reconfigured) {
	for _, n := range slices.Sorted(maps.Keys(w.nodes)) {
		w.step(n, conf)
	}
	w.run(10 * time.Millisecond)
}

func (w *world) ask(node string, r Request) {
	if r.Timeout == 0 {
		r.Timeout = 60 * time.Second
	}
	if r.Client == "" {
		r.Client = "test." + node
	}
	w.step(node, Asked{r})
}

func (w *world) answer(node, id string) Answer {
	w.t.Helper()
	a, ok := w.nodes[node].answers[id]
	if !ok {
		w.t.Fatalf("%s has no answer for %s\n%s", node, id, strings.Join(w.log, "\n"))
	}
	return a
}

func dev(id string, hosts string, more ...string) device.Device {
	d := device.Device{ID: id, Agent: "fence_test", Params: map[string]string{"pcmk_host_list": hosts}}
	for i := 0; i+1 < len(more); i += 2 {
		d.Params[more[i]] = more[i+1]
	}
	return d
}

// failing makes the runs of some devices fail at once.
func failing(devices ...string) func(string, device.Run) (device.Result, time.Duration) {
	return func(_ string, r device.Run) (device.Result, time.Duration) {
		if slices.Contains(devices, r.Device) {
			return device.Result{RC: 1, Stderr: "no"}, 10 * time.Millisecond
		}
		return device.Result{}, 10 * time.Millisecond
	}
}
