package server

import (
	"bytes"
	"compress/bzip2"
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	penginev1 "linuxha/proto/pengine/v1"
)

const cib = `<cib epoch="1" num_updates="0" admin_epoch="0" validate-with="pacemaker-3.9" have-quorum="1" dc-uuid="1">
<configuration><crm_config><cluster_property_set id="o"><nvpair id="o1" name="stonith-enabled" value="false"/>
<nvpair id="o2" name="pe-input-series-max" value="2"/></cluster_property_set></crm_config>
<nodes><node id="1" uname="a"/></nodes>
<resources><primitive id="d" class="ocf" provider="heartbeat" type="Dummy"/></resources><constraints/></configuration>
<status><node_state id="1" uname="a" in_ccm="true" crmd="online" join="member" expected="member"><lrm id="1"><lrm_resources/></lrm></node_state></status></cib>`

func TestGraphsAreNumberedAndInputsKept(t *testing.T) {
	dir := t.TempDir()
	s := New(Options{Inputs: dir, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	now := time.Unix(1795166991, 0)
	ask := func(doc string) *penginev1.ScheduleResponse {
		t.Helper()
		r, err := s.Schedule(context.Background(), &penginev1.ScheduleRequest{Cib: []byte(doc), NowUnixMs: now.UnixMilli(), Ref: "r"})
		if err != nil || r.Error != "" {
			t.Fatal(err, r.GetError())
		}
		return r
	}
	first := ask(cib)
	if !strings.Contains(string(first.Graph), ` transition_id="0"`) || !strings.Contains(string(first.Graph), `operation="monitor"`) {
		t.Errorf("graph 0 should probe d:\n%s", first.Graph)
	}
	if want := filepath.Join(dir, "pe-input-0.bz2"); first.InputFile != want {
		t.Errorf("saved in %q, want %q", first.InputFile, want)
	}
	again := ask(cib)
	if again.TransitionId != 1 || !strings.Contains(string(again.Graph), ` transition_id="1"`) || again.InputFile != first.InputFile {
		t.Errorf("same input: transition %d, file %q", again.TransitionId, again.InputFile)
	}
	for i := range 3 { // numbers 1, 0, 1: the series holds two files
		ask(strings.Replace(cib, `epoch="1"`, `epoch="`+string(rune('2'+i))+`"`, 1))
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Run(ctx); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(names) != 3 {
		t.Errorf("files: %v, want two inputs and the number", names)
	}
	f, err := os.Open(filepath.Join(dir, "pe-input-1.bz2"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(bzip2.NewReader(f))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(b), `<cib execution-date="1795166991" epoch="4"`) {
		t.Errorf("saved input begins %.60s", b)
	}
	if last, err := os.ReadFile(filepath.Join(dir, "pe-input.last")); err != nil || string(last) != "2" {
		t.Errorf("pe-input.last = %q, %v", last, err)
	}
}

func TestUnreadableInputIsAnAnswer(t *testing.T) {
	s := New(Options{Inputs: t.TempDir(), Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	r, err := s.Schedule(context.Background(), &penginev1.ScheduleRequest{Cib: []byte("<nonsense")})
	if err != nil || r.Error == "" || len(r.Graph) != 0 {
		t.Errorf("got %v, %v; want an error inside the answer", r, err)
	}
}

// TestUnchangedQuestionIsAnsweredFromMemory: the log says which answers were.
func TestUnchangedQuestionIsAnsweredFromMemory(t *testing.T) {
	// A failure that expires after 60 s: the answer holds until then.
	failed := strings.Replace(cib, "<cib ", `<cib crm_feature_set="3.16.1" `, 1)
	failed = strings.Replace(failed, `type="Dummy"/>`, `type="Dummy"><meta_attributes id="m"><nvpair id="m1" name="failure-timeout" value="60"/></meta_attributes></primitive>`, 1)
	failed = strings.Replace(failed, `<lrm_resources/>`, `<lrm_resources><lrm_resource id="d" class="ocf" provider="heartbeat" type="Dummy">`+
		`<lrm_rsc_op id="d_last_failure_0" operation="start" operation_key="d_start_0" call-id="3" rc-code="1" op-status="0" interval="0" `+
		`transition-key="1:1:0:u" transition-magic="0:1;1:1:0:u" last-rc-change="1000"/></lrm_resource></lrm_resources>`, 1)
	failed = strings.Replace(failed, `</lrm>`, `</lrm><transient_attributes id="1"><instance_attributes id="t">`+
		`<nvpair id="t1" name="fail-count-d#start_0" value="1"/><nvpair id="t2" name="last-failure-d#start_0" value="1000"/></instance_attributes></transient_attributes>`, 1)
	// A rule about the hour: nobody foresees when its result changes.
	hourly := strings.Replace(cib, `<constraints/>`, `<constraints><rsc_location id="l" rsc="d"><rule id="r" score="1">`+
		`<date_expression id="e" operation="date_spec"><date_spec id="s" hours="9-16"/></date_expression></rule></rsc_location></constraints>`, 1)
	type question struct {
		doc        string
		at         int64
		remembered bool
	}
	for name, asked := range map[string][]question{
		"nothing depends on the time": {{cib, 1000, false}, {cib, 1001, true}, {cib, 90000, true}},
		"another document":            {{cib, 1000, false}, {failed, 1000, false}, {cib, 1000, false}},
		"the clock was set back":      {{cib, 1000, false}, {cib, 999, false}, {cib, 1000, true}},
		"a failure expires":           {{failed, 1010, false}, {failed, 1059, true}, {failed, 1060, false}, {failed, 1061, false}, {failed, 2000, true}},
		"a rule about the hour":       {{hourly, 1000, false}, {hourly, 1000, true}, {hourly, 1001, false}},
	} {
		t.Run(name, func(t *testing.T) {
			var log strings.Builder
			s := New(Options{Inputs: t.TempDir(), Log: slog.New(slog.NewTextHandler(&log, nil))})
			for i, q := range asked {
				log.Reset()
				got, err := s.Schedule(context.Background(), &penginev1.ScheduleRequest{Cib: []byte(q.doc), NowUnixMs: q.at*1000 + 999})
				if err != nil || got.Error != "" {
					t.Fatal(err, got.GetError())
				}
				if remembered := strings.Contains(log.String(), "remembered=true"); remembered != q.remembered {
					t.Errorf("question %d: remembered is %v, want %v: %s", i, remembered, q.remembered, log.String())
				}
				// What is remembered must be what would be found now.
				other := New(Options{Inputs: t.TempDir(), Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
				want, err := other.Schedule(context.Background(), &penginev1.ScheduleRequest{Cib: []byte(q.doc), NowUnixMs: q.at * 1000})
				if err != nil {
					t.Fatal(err)
				}
				number := ` transition_id="` + strconv.Itoa(i) + `"`
				if graph := strings.Replace(string(got.Graph), number, ` transition_id="0"`, 1); graph != string(want.Graph) ||
					got.Summary != want.Summary || got.Severity != want.Severity || len(got.Problems) != len(want.Problems) {
					t.Errorf("question %d: the answer differs from a new one:\n%s\n%s", i, got.Graph, want.Graph)
				}
			}
		})
	}
}

// TestSavedSizes: small and large inputs, in turn, come back as they were.
func TestSavedSizes(t *testing.T) {
	s := newSaver(t.TempDir(), slog.New(slog.NewTextHandler(t.Output(), nil)))
	rnd := rand.New(rand.NewPCG(1, 2))
	for i, size := range []int{10, smallBlock - 1001, 3000, smallBlock, 20_000, 3 * smallBlock, 1} {
		text := make([]byte, size)
		for k := range text {
			text[k] = 'a' + byte(rnd.IntN(26))
		}
		doc := append([]byte("<cib x='"), append(text, "'/>"...)...)
		path := s.save(seriesInput, [3]int{100, 100, 100}, doc, time.Unix(5, 0))
		s.write(<-s.jobs)
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(bzip2.NewReader(f))
		f.Close()
		if want := dated(doc, time.Unix(5, 0)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("input %d of %d bytes: %d bytes come back, %v", i, len(want), len(got), err)
		}
	}
}
