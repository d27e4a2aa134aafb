package oplist

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkMonitors steps through the monitors of a thousand resources.
func BenchmarkMonitors(b *testing.B) {
	l := New(Options{})
	now := time.Unix(1_000_000, 0)
	var ready []Start
	var wake time.Time
	take := func(out Output) { ready, wake = append(ready, out.Start...), out.WakeAt }
	for i := range 1000 {
		id := fmt.Sprintf("r%d", i)
		take(l.Step(now, Registered{id, Agent{"ocf", "heartbeat", "Dummy"}}))
		take(l.Step(now, Submitted{Op{Resource: id, Action: "monitor", Interval: 10 * time.Second, Timeout: 20 * time.Second}}))
	}
	for b.Loop() {
		if len(ready) == 0 {
			now = wake
			take(l.Step(now, Woken{}))
		}
		st := ready[0]
		ready = ready[1:]
		now = now.Add(time.Millisecond)
		take(l.Step(now, Launched{Run: st.Run, PID: 1}))
		now = now.Add(time.Millisecond)
		take(l.Step(now, Exited{Run: st.Run}))
	}
}
