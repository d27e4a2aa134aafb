package oplist

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestInvariants drives a list with random requests and agents of random
// duration, and checks what must hold at every step.
func TestInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(0, 3).Draw(t, "limit")
		l := New(Options{MaxRunning: limit})
		now := time.Unix(1_000_000, 0)
		type active struct {
			op     Op
			killed bool
		}
		running := map[RunID]*active{}
		busy := map[string]RunID{}
		open := map[int64]string{} // calls without a result
		step := func(ev Event) Output {
			out := l.Step(now, ev)
			for _, m := range out.Moved {
				delete(open, m.From)
			}
			for _, r := range out.Report {
				if r.Kind == KindDone {
					delete(open, r.Op.CallID)
				}
			}
			for _, k := range out.Kill {
				if a := running[k.Run]; a == nil || a.killed {
					t.Fatalf("kill of run %d, which does not run or is killed already", k.Run)
				} else {
					a.killed = true
				}
			}
			for _, st := range out.Start {
				if other, ok := busy[st.Op.Resource]; ok {
					t.Fatalf("%s starts while run %d of its resource runs", st.Op.Key(), other)
				}
				op := st.Op
				running[st.Run], busy[op.Resource] = &active{op: op}, st.Run
			}
			if limit > 0 && len(running) > limit {
				t.Fatalf("%d run, at most %d may", len(running), limit)
			}
			if !out.WakeAt.IsZero() && !out.WakeAt.After(now) {
				t.Fatal("WakeAt is not in the future")
			}
			return out
		}
		end := func(id RunID) {
			a := running[id]
			delete(running, id)
			delete(busy, a.op.Resource)
			step(Exited{Run: id, Outcome: Outcome{RC: rapid.SampledFrom([]int{0, 7}).Draw(t, "rc")}})
		}
		first := func() (RunID, bool) {
			var best RunID
			for id := range running {
				if best == 0 || id < best {
					best = id
				}
			}
			return best, best != 0
		}
		rsc := rapid.SampledFrom([]string{"a", "b", "c"})
		action := rapid.SampledFrom([]string{"start", "stop", "monitor", "notify"})
		interval := rapid.SampledFrom([]time.Duration{0, time.Second, 2 * time.Second})
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 7).Draw(t, "what") {
			case 0:
				step(Registered{rsc.Draw(t, "rsc"), Agent{Class: rapid.SampledFrom([]string{"ocf", "lsb"}).Draw(t, "class")}})
			case 1:
				step(Unregistered{rsc.Draw(t, "rsc")})
			case 2, 3:
				op := Op{
					Resource: rsc.Draw(t, "rsc"), Action: action.Draw(t, "action"), Interval: interval.Draw(t, "interval"),
					Timeout: 5 * time.Second, StartDelay: rapid.SampledFrom([]time.Duration{0, 0, time.Second}).Draw(t, "delay"), OnChangeOnly: rapid.Bool().Draw(t, "quiet"),
				}
				if out := step(Submitted{op}); out.Answer.Err == nil {
					open[out.Answer.CallID] = op.Key()
					for _, m := range out.Moved { // may have been answered already
						delete(open, m.From)
					}
				}
			case 4:
				step(Cancelled{rsc.Draw(t, "rsc"), action.Draw(t, "action"), interval.Draw(t, "interval")})
			case 5:
				if id, ok := first(); ok {
					step(Launched{Run: id, PID: 1})
				}
			case 6:
				if id, ok := first(); ok {
					end(id)
				}
			case 7:
				now = now.Add(time.Duration(rapid.IntRange(1, 7000).Draw(t, "ms")) * time.Millisecond)
				step(Woken{})
			}
		}
		// Left alone with agents that end, every call gets its result.
		for range 400 {
			if id, ok := first(); ok {
				end(id)
				continue
			}
			if len(open) == 0 {
				break
			}
			now = now.Add(500 * time.Millisecond)
			step(Woken{})
		}
		if len(open) > 0 {
			t.Fatalf("no result for %s", fmt.Sprint(open))
		}
	})
}
