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
	"linuxha/stonithd/topology"
)

// TestRandom runs random histories: requests of many clients while fencers
// die, come again and agents fail, hang or succeed. Whatever happens:
//   - nobody reports a success that no device reported (or a human confirmed);
//   - every request at a fencer that lives on is answered, once;
//   - no fencer tells twice that the same operation ended the same way;
//   - a success is told by every fencer that lives on.
func TestRandom(t *testing.T) {
	for seed := range uint64(150) {
		randomHistory(t, seed)
	}
}

func randomHistory(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 3))
	names := []string{"a", "b", "c", "d"}
	w := newWorld(t, names...)
	conf := Reconfigured{Devices: []device.Device{dev("s1", "a b c d"), dev("s2", "a b c d", "pcmk_delay_max", "3"), dev("s3", "c")}}
	if r.IntN(2) == 0 {
		for _, n := range names {
			conf.Levels = append(conf.Levels, topology.Level{Index: 1, Target: n, Devices: []string{"s1", "s2"}},
				topology.Level{Index: 2, Target: n, Devices: []string{"s2"}})
		}
	}
	w.configure(conf)
	fail := func(format string, args ...any) {
		t.Helper()
		t.Fatalf("seed %d: %s\n%s", seed, fmt.Sprintf(format, args...), strings.Join(w.log, "\n"))
	}
	achieved := map[string]bool{} // "action target" that some device reported
	w.agent = func(node string, run device.Run) (device.Result, time.Duration) {
		took := time.Duration(r.IntN(3000)) * time.Millisecond
		switch r.IntN(5) {
		case 0:
			return device.Result{RC: 1}, took
		case 1:
			return device.Result{RC: 1, Status: device.StatusTimeout}, took
		}
		w.after(took, func() { achieved[run.Action+" "+run.Target] = true })
		return device.Result{}, took
	}
	type question struct {
		node, id string
		life     int
	}
	var asked []question
	check := func() {
		for _, n := range names {
			told := map[string]history.State{}
			for _, rec := range w.nodes[n].published {
				if s, twice := told[rec.ID]; twice && (s == rec.State || s == history.Completed) {
					fail("%s told of %s twice", n, rec.ID)
				}
				told[rec.ID] = rec.State
				if rec.State != history.Completed || rec.Executioner == "a human" {
					continue
				}
				if !achieved[rec.Action+" "+rec.Target] && !achieved["off "+rec.Target] {
					fail("%s tells of a success that no device reported: %+v", n, rec)
				}
			}
		}
	}
	for i := range 60 {
		n := names[r.IntN(len(names))]
		m := w.nodes[n]
		switch k := r.IntN(10); {
		case k < 6 && m.up:
			target := names[r.IntN(len(names))]
			q := question{n, fmt.Sprintf("%s-%d", n, i), m.life}
			w.ask(n, Request{
				ID: q.id, Target: target, Action: []string{"off", "reboot", "on"}[r.IntN(3)],
				Client: fmt.Sprint("client", i), Timeout: 10 * time.Second,
			})
			asked = append(asked, q)
		case k == 6 && m.up && len(slices.Collect(maps.Keys(w.nodes))) > 0:
			alive := 0
			for _, o := range w.nodes {
				if o.up {
					alive++
				}
			}
			if alive > 1 {
				w.stop(n)
			}
		case k == 7 && !m.up:
			w.start(n)
			w.step(n, conf)
		}
		w.run(time.Duration(r.IntN(1500)) * time.Millisecond)
		check()
	}
	w.run(10 * time.Minute)
	check()
	for _, q := range asked {
		m := w.nodes[q.node]
		if !m.up || m.life != q.life {
			continue
		}
		a, ok := m.answers[q.id]
		if !ok {
			fail("%s was never answered", q.id)
		}
		if !a.Result.OK() {
			continue
		}
		for _, n := range names {
			o := w.nodes[n]
			if !o.up {
				continue
			}
			if rec, known := o.core.history.Get(a.Record.ID); !known || rec.State != history.Completed {
				fail("%s has %+v of the success %s", n, rec, q.id)
			}
		}
	}
	for _, n := range names {
		for _, rec := range w.nodes[n].core.History("") {
			if w.nodes[n].up && rec.State.Pending() {
				fail("%s holds %+v as pending for ever", n, rec)
			}
		}
	}
}
