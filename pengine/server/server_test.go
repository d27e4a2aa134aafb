package server

import (
	"compress/bzip2"
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
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
