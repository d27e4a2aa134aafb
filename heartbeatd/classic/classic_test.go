package classic

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"linuxha/heartbeatd/hamsg"
)

// stage is one node on its own; a transcript plays the other one.
type stage struct {
	core *Core
	now  time.Time
	wake time.Time
	job  *Job
}

// TestTranscripts plays the files of testdata/transcripts: a command with what happens, and
// below ---- everything that comes of it, messages as they go out.
func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata/transcripts", func(t *testing.T, path string) {
		var s stage
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "node" {
				return s.begin(t, d)
			}
			var out strings.Builder
			for _, line := range append([]string{d.Cmd + " " + args(d)}, strings.Split(d.Input, "\n")...) {
				if line = strings.TrimSpace(line); line != "" {
					s.line(t, d, line, &out)
				}
			}
			return out.String()
		})
	})
}

func args(d *datadriven.TestData) string {
	var words []string
	for _, a := range d.CmdArgs {
		words = append(words, a.String())
	}
	return strings.Join(words, " ")
}

// begin: node auto_failback=on [fencing] [alone]
func (s *stage) begin(t *testing.T, d *datadriven.TestData) string {
	opt := Options{Node: "node1", Peer: "node2", Failback: FailbackOn, Fencing: d.HasArg("fencing")}
	if d.HasArg("auto_failback") {
		var v string
		d.ScanArgs(t, "auto_failback", &v)
		opt.Failback = Failback(v)
	}
	if opt.Failback == FailbackLegacy {
		opt.Keys = []string{"10.0.0.1", "apache"}
	}
	if d.HasArg("alone") {
		opt.Peer = ""
	}
	*s = stage{core: New(opt), now: time.Unix(1000, 0)}
	return ""
}

// line is one event: active, up, returned, peer-active, dead, stop, done,
// wait DURATION, or a message: from NODE field=value...
func (s *stage) line(t *testing.T, d *datadriven.TestData, line string, out *strings.Builder) {
	t.Helper()
	words := strings.Fields(line)
	has := func(word string) bool { return strings.Contains(" "+line+" ", " "+word+" ") }
	switch words[0] {
	case "active":
		s.step(Active{PeerAlive: has("alive")}, out)
	case "up":
		s.step(PeerUp{}, out)
	case "returned":
		s.step(PeerUp{Returned: true}, out)
	case "peer-active":
		s.step(PeerActive{}, out)
	case "dead":
		s.step(PeerDead{}, out)
	case "stop":
		s.step(Stop{}, out)
	case "done":
		if s.job == nil {
			d.Fatalf(t, "no job runs")
		}
		done := JobDone{ID: s.job.ID, Held: has("held")}
		for _, w := range words[1:] {
			if v, ok := strings.CutPrefix(w, "failed="); ok {
				done.Failed, _ = ParseHolding(v)
			}
			if v, ok := strings.CutPrefix(w, "error="); ok {
				done.Error = v
			}
		}
		s.job = nil
		s.step(done, out)
	case "wait":
		span, err := time.ParseDuration(words[1])
		if err != nil {
			d.Fatalf(t, "%v", err)
		}
		for end := s.now.Add(span); ; {
			if s.wake.IsZero() || s.wake.After(end) {
				s.now = end
				break
			}
			s.now = s.wake
			s.step(Woken{}, out)
		}
	case "from":
		m := &hamsg.Message{}
		for _, w := range words[2:] {
			name, value, _ := strings.Cut(w, "=")
			m.Add(name, value)
		}
		decoded, ok := Decode(m)
		if !ok {
			fmt.Fprintln(out, "not understood")
			return
		}
		s.step(Received{From: words[1], Message: decoded}, out)
	default:
		d.Fatalf(t, "unknown event %q", words[0])
	}
}

func (s *stage) step(ev Event, w *strings.Builder) {
	out := s.core.Step(s.now, ev)
	s.wake = out.WakeAt
	for _, l := range out.Log {
		fmt.Fprintf(w, "%s: %s\n", l.Level, l.Text)
	}
	for _, m := range out.Send {
		var fields []string
		for _, f := range m.Encode().Fields {
			fields = append(fields, f.Name+"="+string(f.Value))
		}
		fmt.Fprintf(w, "-> %s\n", strings.Join(fields, " "))
	}
	if out.Job != nil {
		s.job = out.Job
		fmt.Fprintf(w, "job: %v\n", *out.Job)
	}
	if out.Taken {
		fmt.Fprintln(w, "taken over")
	}
	if out.Stopped {
		fmt.Fprintln(w, "stopped")
	}
	fmt.Fprintf(w, "(%s)\n", s.core.State())
}

func TestHolding(t *testing.T) {
	for h, mirror := range map[Holding]Holding{None: None, Local: Foreign, Foreign: Local, All: All} {
		if h.Mirror() != mirror {
			t.Errorf("%v mirrored is %v", h, h.Mirror())
		}
		if got, ok := ParseHolding(h.String()); got != h || !ok {
			t.Errorf("%v comes back as %v", h, got)
		}
	}
	if h, ok := ParseHolding("failback"); h != Foreign || !ok {
		t.Errorf("failback: %v %v", h, ok)
	}
	if _, ok := ParseHolding("bogus"); ok {
		t.Error("bogus is accepted")
	}
}

func FuzzReceived(f *testing.F) {
	f.Add("t=resource rsc_hold=all rtype=full isstable=1|t=ask_resources rsc_hold=foreign info=me|t=shutdone")
	f.Add("t=starting|t=ip-request ipaddr=x|t=hb_takeover rsc_hold=local|t=ask_resources rsc_hold=all info=done")
	f.Fuzz(func(t *testing.T, text string) {
		core, now := New(Options{Node: "node1", Peer: "node2", Failback: FailbackOn}), time.Unix(1000, 0)
		var job *Job
		step := func(ev Event) {
			now = now.Add(time.Second)
			out := core.Step(now, ev)
			if out.Job == nil {
				return
			}
			if job != nil {
				t.Fatalf("%v begins before %v has ended", out.Job, job)
			}
			job = out.Job
		}
		step(PeerUp{})
		step(Active{PeerAlive: true})
		for i, line := range strings.Split(text, "|") {
			m := &hamsg.Message{}
			for _, w := range strings.Fields(line) {
				name, value, _ := strings.Cut(w, "=")
				m.Add(name, value)
			}
			if decoded, ok := Decode(m); ok {
				if again, ok := Decode(decoded.Encode()); !ok || again != decoded {
					t.Errorf("%+v comes back as %+v", decoded, again)
				}
				step(Received{From: []string{"node2", "node1"}[i%3/2], Message: decoded})
			}
			if job != nil && i%2 == 0 {
				done := JobDone{ID: job.ID}
				job = nil
				step(done)
			}
		}
	})
}
