package oplist

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// script drives a List with a virtual clock and keeps a transcript.
type script struct {
	t     *testing.T
	list  *List
	now   time.Time
	epoch time.Time
	wake  time.Time
	run   map[string]RunID // "rsc_action_interval" to its newest run
	log   []string
	last  Output
}

func newScript(t *testing.T, opts Options) *script {
	epoch := time.Unix(1_000_000, 0)
	s := &script{t: t, list: New(opts), now: epoch, epoch: epoch, run: map[string]RunID{}}
	for _, id := range []string{"a", "b", "c"} {
		s.list.Step(s.now, Registered{id, Agent{"ocf", "heartbeat", "Dummy"}})
	}
	return s
}

func (s *script) step(ev Event) Output {
	s.t.Helper()
	out := s.list.Step(s.now, ev)
	s.wake, s.last = out.WakeAt, out
	if !out.WakeAt.IsZero() && !out.WakeAt.After(s.now) {
		s.t.Fatalf("WakeAt %v is not after now: the server would spin", out.WakeAt.Sub(s.epoch))
	}
	for _, r := range out.Report {
		kind := map[Kind]string{KindStarted: "started", KindDone: "done", KindRegistered: "registered", KindUnregistered: "unregistered"}[r.Kind]
		line := kind + " " + r.Op.Resource
		if r.Kind == KindDone || r.Kind == KindStarted {
			line = fmt.Sprintf("%s %s #%d", kind, r.Op.Key(), r.Op.CallID)
		}
		if r.Kind == KindDone {
			line += fmt.Sprintf(" rc=%d status=%d", r.RC, r.Status)
			if r.Reason != "" {
				line += " (" + r.Reason + ")"
			}
			if r.Removed {
				line += " removed"
			}
			if r.Quiet {
				line += " quiet"
			}
		}
		s.say("%s", line)
	}
	for _, k := range out.Kill {
		s.say("kill %d group=%v", k.Run, k.Group)
	}
	for _, st := range out.Start {
		s.run[st.Op.Key()] = st.Run
		s.say("start %s #%d run %d", st.Op.Key(), st.Op.CallID, st.Run)
	}
	for _, d := range out.Drained {
		s.say("drained %s", d)
	}
	for _, n := range out.Notes {
		s.say("note %s: %s", n.Key, n.Text)
	}
	return out
}

func (s *script) say(f string, args ...any) {
	s.log = append(s.log, fmt.Sprintf("%v ", s.now.Sub(s.epoch))+fmt.Sprintf(f, args...))
}

// pass lets time go by, waking the list exactly when it asked for it.
func (s *script) pass(d time.Duration) {
	s.t.Helper()
	end := s.now.Add(d)
	for !s.wake.IsZero() && !s.wake.After(end) {
		s.now = s.wake
		s.step(Woken{})
	}
	s.now = end
}

func (s *script) submit(rsc, action string, interval time.Duration, more ...func(*Op)) {
	s.t.Helper()
	op := Op{Resource: rsc, Action: action, Interval: interval, Timeout: 10 * time.Second}
	for _, f := range more {
		f(&op)
	}
	if out := s.step(Submitted{op}); out.Answer.Err != nil {
		s.t.Fatalf("submit %s: %v", op.Key(), out.Answer.Err)
	}
}

func (s *script) launch(key string) { s.t.Helper(); s.step(Launched{Run: s.run[key], PID: 100}) }
func (s *script) exit(key string, rc int) {
	s.t.Helper()
	s.step(Exited{s.run[key], Outcome{RC: rc, Raw: rc}})
}

// full runs an operation that has been started to its end.
func (s *script) full(key string, rc int) { s.launch(key); s.exit(key, rc) }

func (s *script) expect(want ...string) {
	s.t.Helper()
	if !slices.Equal(s.log, want) {
		s.t.Errorf("got:\n  %s\nwant:\n  %s", strings.Join(s.log, "\n  "), strings.Join(want, "\n  "))
	}
	s.log = nil
}

func delay(d time.Duration) func(*Op)   { return func(o *Op) { o.StartDelay = d } }
func timeout(d time.Duration) func(*Op) { return func(o *Op) { o.Timeout = d } }
func changes(o *Op)                     { o.OnChangeOnly = true }
func params(kv ...string) func(*Op) {
	return func(o *Op) {
		o.Params = map[string]string{}
		for i := 0; i < len(kv); i += 2 {
			o.Params[kv[i]] = kv[i+1]
		}
	}
}

const sec = time.Second

func TestOneAtATimePerResource(t *testing.T) {
	s := newScript(t, Options{})
	s.submit("a", "start", 0)
	s.submit("a", "monitor", 0)
	s.submit("b", "start", 0)
	s.expect("0s start a_start_0 #1 run 1", "0s start b_start_0 #3 run 2")
	s.full("a_start_0", 0)
	s.expect("0s started a_start_0 #1", "0s done a_start_0 #1 rc=0 status=0", "0s start a_monitor_0 #2 run 3")
}

func TestBoundOverAllResources(t *testing.T) {
	s := newScript(t, Options{MaxRunning: 2})
	s.submit("c", "start", 0)
	s.submit("b", "start", 0)
	s.submit("a", "start", 0)
	s.submit("b", "monitor", 0)
	s.expect("0s start c_start_0 #1 run 1", "0s start b_start_0 #2 run 2")
	s.pass(sec)
	s.exit("b_start_0", 0)
	s.expect("1s done b_start_0 #2 rc=0 status=0", "1s start a_start_0 #3 run 3")
	s.exit("c_start_0", 0)
	s.expect("1s done c_start_0 #1 rc=0 status=0", "1s start b_monitor_0 #4 run 4")
}

func TestRecurringCountsFromTheEnd(t *testing.T) {
	s := newScript(t, Options{})
	s.submit("a", "monitor", 10*sec)
	s.pass(3 * sec)
	s.full("a_monitor_10000", 0)
	s.pass(9 * sec)
	s.expect("0s start a_monitor_10000 #1 run 1", "3s started a_monitor_10000 #1", "3s done a_monitor_10000 #1 rc=0 status=0")
	s.pass(sec)
	s.expect("13s start a_monitor_10000 #1 run 2")
	s.exit("a_monitor_10000", 7) // could not be launched: goes on all the same
	s.pass(10 * sec)
	s.expect("13s done a_monitor_10000 #1 rc=7 status=0", "23s start a_monitor_10000 #1 run 3")
}

func TestRecurringWaitsForOthersOfItsResource(t *testing.T) {
	s := newScript(t, Options{})
	s.submit("a", "monitor", sec)
	s.full("a_monitor_1000", 0)
	s.submit("a", "promote", 0, timeout(0))
	s.log = nil
	s.pass(5 * sec)
	s.submit("a", "notify", 0)
	s.expect()
	s.exit("a_promote_0", 0)
	s.expect("5s done a_promote_0 #2 rc=0 status=0", "5s start a_monitor_1000 #1 run 3")
	s.exit("a_monitor_1000", 0)
	if got := s.last.Report[0].QueueTime; got != 4*sec {
		t.Errorf("queue time %v, want 4s: due since 1s", got)
	}
	s.expect("5s done a_monitor_1000 #1 rc=0 status=0", "5s start a_notify_0 #3 run 4")
}

func TestChangesOnly(t *testing.T) {
	s := newScript(t, Options{})
	s.submit("a", "monitor", sec, changes)
	for _, rc := range []int{0, 0, 7, 7, 0} {
		s.full("a_monitor_1000", rc)
		s.pass(sec)
	}
	var done []string
	for _, l := range s.log {
		if strings.Contains(l, " done ") {
			done = append(done, l)
		}
	}
	s.log = done
	s.expect("0s done a_monitor_1000 #1 rc=0 status=0",
		"1s done a_monitor_1000 #1 rc=0 status=0 quiet",
		"2s done a_monitor_1000 #1 rc=7 status=0",
		"3s done a_monitor_1000 #1 rc=7 status=0 quiet",
		"4s done a_monitor_1000 #1 rc=0 status=0")
}

func TestStartDelay(t *testing.T) {
	s := newScript(t, Options{})
	s.submit("a", "start", 0, delay(6*sec), timeout(2*sec))
	s.submit("a", "monitor", 0) // behind a delayed head
	s.pass(5 * sec)
	s.expect()
	s.pass(sec)
	s.launch("a_start_0")
	s.pass(1999 * time.Millisecond)
	s.exit("a_start_0", 0) // the delay does not count for the timeout
	if got := s.last.Report[0]; got.QueueTime != 0 || got.ExecTime != 1999*time.Millisecond {
		t.Errorf("queue %v exec %v", got.QueueTime, got.ExecTime)
	}
	s.expect("6s start a_start_0 #1 run 1", "6s started a_start_0 #1", "7.999s done a_start_0 #1 rc=0 status=0", "7.999s start a_monitor_0 #2 run 2")
}

func TestStartDelayCancelled(t *testing.T) {
	s := newScript(t, Options{})
	s.submit("a", "start", 0, delay(5*sec))
	s.pass(sec)
	if out := s.step(Cancelled{"a", "start", 0}); !out.Answer.Found || out.Answer.Running {
		t.Errorf("answer %+v", out.Answer)
	}
	s.pass(10 * sec)
	s.expect("1s done a_start_0 #1 rc=0 status=1 removed")
}

func TestTimeout(t *testing.T) {
	for _, tc := range []struct {
		name string
		op   []func(*Op)
		kill string
	}{
		{"group", []func(*Op){timeout(sec)}, "kill 1 group=true"},
		{"blocked failure keeps its children", []func(*Op){timeout(sec), params("CRM_meta_on_fail", "block")}, "kill 1 group=false"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newScript(t, Options{})
			s.submit("a", "start", 0, tc.op...)
			s.pass(time.Minute) // not launched: no deadline
			s.launch("a_start_0")
			s.log = nil
			s.pass(sec - 1)
			s.expect()
			s.pass(1)
			s.expect("1m1s "+tc.kill, "1m1s note a_start_0: operation timed out")
			s.exit("a_start_0", 0)
			s.expect("1m1s done a_start_0 #1 rc=1 status=2 (Resource agent did not complete within 1000ms)")
		})
	}
}

func TestAgentThatDoesNotDieKeepsItsResourceBusy(t *testing.T) {
	s := newScript(t, Options{})
	s.submit("a", "start", 0, timeout(sec))
	s.launch("a_start_0")
	s.submit("a", "stop", 0)
	s.log = nil
	s.pass(time.Hour)
	s.expect("1s kill 1 group=true", "1s note a_start_0: operation timed out", "6s note a_start_0: process will not die")
	s.exit("a_start_0", 0)
	s.expect("1h0m0s done a_start_0 #1 rc=1 status=2 (Resource agent did not complete within 1000ms)", "1h0m0s start a_stop_0 #2 run 2")
}

func TestCancel(t *testing.T) {
	for _, tc := range []struct {
		name    string
		prepare func(*script)
		ev      Cancelled
		found   bool
		running bool
		want    []string
	}{
		{
			"between runs keeps the last code", func(s *script) { s.submit("a", "monitor", sec); s.full("a_monitor_1000", 7) },
			Cancelled{"a", "monitor", sec},
			true, false,
			[]string{"0s done a_monitor_1000 #1 rc=7 status=1 removed"},
		},
		{
			"running", func(s *script) { s.submit("a", "monitor", sec); s.launch("a_monitor_1000") },
			Cancelled{"a", "Monitor", sec},
			true, true,
			[]string{"0s kill 1 group=true"},
		},
		{"running twice", func(s *script) {
			s.submit("a", "monitor", sec)
			s.launch("a_monitor_1000")
			s.step(Cancelled{"a", "monitor", sec})
		}, Cancelled{"a", "monitor", sec}, false, false, nil},
		{
			"queued", func(s *script) { s.submit("a", "start", 0); s.submit("a", "monitor", sec) },
			Cancelled{"a", "monitor", sec},
			true, false,
			[]string{"0s done a_monitor_1000 #2 rc=0 status=1 removed"},
		},
		{"running one-shot", func(s *script) { s.submit("a", "start", 0) }, Cancelled{"a", "start", 0}, false, false, nil},
		{"wrong interval", func(s *script) { s.submit("a", "monitor", sec) }, Cancelled{"a", "monitor", 2 * sec}, false, false, nil},
		{"wrong action", func(s *script) { s.submit("a", "monitor", sec) }, Cancelled{"a", "status", sec}, false, false, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newScript(t, Options{})
			tc.prepare(s)
			s.log = nil
			out := s.step(tc.ev)
			if out.Answer.Found != tc.found || out.Answer.Running != tc.running {
				t.Errorf("answer %+v", out.Answer)
			}
			s.expect(tc.want...)
		})
	}
}

func TestCancelledRunEndsWithoutRepeating(t *testing.T) {
	s := newScript(t, Options{})
	s.submit("a", "monitor", sec)
	s.launch("a_monitor_1000")
	s.step(Cancelled{"a", "monitor", sec})
	s.log = nil
	s.exit("a_monitor_1000", 137)
	s.pass(time.Hour)
	s.expect("0s done a_monitor_1000 #1 rc=0 status=1 removed")
}

func TestDuplicatesMerge(t *testing.T) {
	const note = "note a_monitor_60000: the same recurring operation exists already: it goes on under the new call"
	t.Run("waiting runs at once", func(t *testing.T) {
		s := newScript(t, Options{})
		s.submit("a", "monitor", time.Minute, changes)
		s.full("a_monitor_60000", 0)
		s.pass(sec)
		s.log = nil
		s.submit("a", "MONITOR", time.Minute)
		if m := s.last.Moved; len(m) != 1 || m[0] != (Moved{1, 2}) {
			t.Errorf("moved %v", m)
		}
		s.full("a_monitor_60000", 0) // the same code again, but news to the new caller
		s.expect("1s start a_monitor_60000 #2 run 2", "1s "+note, "1s started a_monitor_60000 #2", "1s done a_monitor_60000 #2 rc=0 status=0")
	})
	t.Run("running takes over", func(t *testing.T) {
		s := newScript(t, Options{})
		s.submit("a", "monitor", time.Minute)
		s.launch("a_monitor_60000")
		for range 4 {
			s.submit("a", "monitor", time.Minute)
		}
		s.exit("a_monitor_60000", 0)
		s.step(Cancelled{"a", "monitor", time.Minute})
		s.log = nil
		s.pass(time.Hour)
		s.expect() // one cancel ends them all
	})
	t.Run("not into a cancelled one", func(t *testing.T) {
		s := newScript(t, Options{})
		s.submit("a", "monitor", time.Minute)
		s.launch("a_monitor_60000")
		s.step(Cancelled{"a", "monitor", time.Minute})
		s.submit("a", "monitor", time.Minute)
		s.log = nil
		s.exit("a_monitor_60000", 0)
		s.expect("0s done a_monitor_60000 #1 rc=0 status=1 removed", "0s start a_monitor_60000 #2 run 2")
	})
}

func TestStopEndsRecurring(t *testing.T) {
	s := newScript(t, Options{})
	s.submit("a", "monitor", sec)
	s.full("a_monitor_1000", 0)
	s.submit("a", "monitor", 2*sec)
	s.launch("a_monitor_2000")
	s.log = nil
	s.submit("a", "stop", 5*sec) // the interval of a stop means nothing
	s.exit("a_monitor_2000", 0)
	s.full("a_stop_0", 0)
	s.pass(time.Hour)
	s.expect("0s done a_monitor_1000 #1 rc=0 status=1 removed", "0s kill 2 group=true",
		"0s done a_monitor_2000 #2 rc=0 status=1 removed", "0s start a_stop_0 #3 run 3", "0s started a_stop_0 #3", "0s done a_stop_0 #3 rc=0 status=0")
}

func TestStopUsesTheParametersOfTheStart(t *testing.T) {
	s := newScript(t, Options{})
	s.submit("a", "start", 0, params("ip", "10.0.0.1", "CRM_meta_timeout", "1000", "CRM_meta_x", "1"))
	s.full("a_start_0", 0)
	s.submit("a", "stop", 0, params("ip", "10.0.0.2", "nic", "eth0", "CRM_meta_timeout", "2000"))
	got := s.last.Start[0].Op.Params
	want := map[string]string{"ip": "10.0.0.1", "CRM_meta_timeout": "2000"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("stop with %v, want %v", got, want)
	}
}

func TestUnregister(t *testing.T) {
	s := newScript(t, Options{})
	s.submit("a", "start", 0)
	s.submit("a", "monitor", sec)
	s.log = nil
	if out := s.step(Unregistered{"a"}); !out.Answer.Found || !out.Answer.Running {
		t.Errorf("answer %+v", out.Answer)
	}
	s.expect("0s done a_monitor_1000 #2 rc=0 status=1 removed", "0s unregistered a")
	if out := s.step(Submitted{Op{Resource: "a", Action: "monitor"}}); !errors.Is(out.Answer.Err, ErrUnknownResource) {
		t.Errorf("submit after unregister: %v", out.Answer.Err)
	}
	// Registered anew, it still runs one operation at a time.
	s.step(Registered{"a", Agent{"lsb", "", "x"}})
	s.submit("a", "monitor", 0)
	s.expect("0s registered a")
	s.exit("a_start_0", 0)
	s.expect("0s done a_start_0 #1 rc=0 status=0 removed", "0s start a_monitor_0 #3 run 2", "0s drained a")
	if a := s.last.Start[0].Agent; a.Class != "lsb" {
		t.Errorf("agent %v, want the newly registered one", a)
	}
	if out := s.step(Unregistered{"nobody"}); out.Answer.Found {
		t.Errorf("found a resource that never was: %+v", out.Answer)
	}
	s.expect("0s unregistered nobody")
}

func TestRegisterAnotherAgentReplaces(t *testing.T) {
	s := newScript(t, Options{})
	s.submit("a", "monitor", sec)
	s.full("a_monitor_1000", 0)
	s.log = nil
	s.step(Registered{"a", Agent{"OCF", "heartbeat", "dummy"}}) // the same, but for its case
	s.expect("0s registered a")
	s.step(Registered{"a", Agent{"lsb", "", "Dummy"}})
	s.expect("0s done a_monitor_1000 #1 rc=0 status=1 removed", "0s registered a")
	if got := s.list.Entries()[0]; got.Agent.Class != "lsb" || len(got.Operations) != 0 {
		t.Errorf("entry %+v", got)
	}
}

func TestTimesOfResults(t *testing.T) {
	s := newScript(t, Options{})
	s.submit("a", "monitor", 10*sec)
	for _, rc := range []int{0, 0, 7, 7} {
		s.launch("a_monitor_10000")
		s.pass(sec)
		s.exit("a_monitor_10000", rc)
		s.pass(10 * sec)
	}
	last := s.list.Entries()[0].Operations[0].Last
	if got := last.LastRun.Sub(s.epoch); got != 33*sec {
		t.Errorf("last run at %v, want 33s", got)
	}
	if got := last.LastRCChange.Sub(s.epoch); got != 23*sec {
		t.Errorf("last change at %v, want 23s", got)
	}
	if last.ExecTime != sec {
		t.Errorf("exec time %v, want 1s also for later runs", last.ExecTime)
	}
}

// TestChangesWithinASecondAreOrdered: the failure must look later than the
// success before it in records that keep seconds.
func TestChangesWithinASecondAreOrdered(t *testing.T) {
	s := newScript(t, Options{})
	s.submit("a", "monitor", sec/10)
	var changes []int64
	for _, rc := range []int{0, 7, 7, 0, 7} {
		s.full("a_monitor_100", rc)
		changes = append(changes, s.list.Entries()[0].Operations[0].Last.LastRCChange.Unix()-s.epoch.Unix())
		s.pass(sec / 10)
	}
	if want := []int64{0, 1, 1, 2, 3}; !slices.Equal(changes, want) {
		t.Errorf("changed in seconds %v, want %v", changes, want)
	}
}

func TestClassFailed(t *testing.T) { // execution 14.4
	s := newScript(t, Options{})
	s.step(Registered{"f", Agent{"stonith", "", "fence_dummy"}})
	s.submit("f", "monitor", 600*sec)
	s.submit("a", "monitor", 600*sec)
	s.full("f_monitor_600000", 0)
	s.full("a_monitor_600000", 0)
	s.pass(sec)
	s.log = nil
	s.step(ClassFailed{"stonith", Outcome{RC: 1, Raw: 1, Status: 4, Reason: "Lost connection to fencer"}})
	s.expect("1s done f_monitor_600000 #1 rc=1 status=4 (Lost connection to fencer)")
	s.pass(600 * sec)
	s.expect("10m0s start a_monitor_600000 #2 run 3", "10m1s start f_monitor_600000 #1 run 4")
}

func TestManyIntervalsNeverOverlap(t *testing.T) { // execution 60.3 (2)
	s := newScript(t, Options{})
	for i := range 9 {
		s.submit("a", "monitor", time.Duration(1000+i)*time.Millisecond)
	}
	seen := map[int64]int{}
	for s.now.Sub(s.epoch) < 30*sec {
		r := s.list.resources["a"].running
		if r == nil {
			s.pass(time.Millisecond)
			continue
		}
		seen[r.CallID]++
		s.launch(r.Key())
		s.pass(2 * sec)
		s.exit(r.Key(), 0)
	}
	for call := int64(1); call <= 9; call++ {
		if seen[call] == 0 {
			t.Errorf("monitor #%d starved: %v", call, seen)
		}
	}
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		1000 * time.Millisecond: "1000ms", 1001 * time.Millisecond: "1.001s", time.Minute: "60s", 90 * sec: "1m30s",
		20 * sec: "20s", 250 * time.Millisecond: "250ms", time.Hour: "60m", 61 * sec: "1m1s", 2 * time.Minute: "2m",
	} {
		if got := Span(d); got != want {
			t.Errorf("Span(%v) = %q, want %q", d, got, want)
		}
	}
}
