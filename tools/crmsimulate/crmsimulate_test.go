package crmsimulate

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func call(t *testing.T, stdin string, args ...string) (out, errs string, code int) {
	t.Helper()
	var o, e bytes.Buffer
	code = Run(context.Background(), "crm_simulate", args, strings.NewReader(stdin), &o, &e)
	return o.String(), e.String(), code
}

const example = "../../pengine/schedule/testdata/migrate.xml"

func TestRunShowsSummaryAndTransition(t *testing.T) {
	out, errs, code := call(t, "", "-x", example, "-S")
	if code != 0 || errs != "" {
		t.Fatalf("status %d, %s", code, errs)
	}
	for _, want := range []string{
		"Using the original execution date of: 2023-11-14 22:13:20Z\nCurrent cluster status:\n  * Node List:\n    * Online: [ n1 n2 ]\n\n  * Full List of Resources:\n",
		"\nTransition Summary:\n  * Migrate    vm      ( n1 -> n2 )\n",
		"\nExecuting Cluster Transition:\n",
		"  * Resource action: vm              migrate_to on n1\n",
		"\nRevised Cluster Status:\n",
		"    * vm\t(ocf:pacemaker:Dummy):\t Started n2\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func TestPipeAndScores(t *testing.T) {
	data, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"-x", "-"}, {"-p"}, {}} {
		out, _, code := call(t, string(data), append(args, "-sQ")...)
		if code != 0 || !strings.HasPrefix(out, "pcmk__primitive_assign: vm allocation score on n1: 0\npcmk__primitive_assign: vm allocation score on n2: 100\n") {
			t.Errorf("%v: status %d\n%s", args, code, out)
		}
	}
}

func TestFilesAreWritten(t *testing.T) {
	dir := t.TempDir()
	g, d, o := filepath.Join(dir, "g"), filepath.Join(dir, "d"), filepath.Join(dir, "o")
	if _, errs, code := call(t, "", "-x", example, "-SQ", "-G", g, "-D", d, "-O", o); code != 0 {
		t.Fatal(code, errs)
	}
	for file, want := range map[string]string{g: "<transition_graph ", d: ` digraph "g" {`, o: "<cib "} {
		if b, err := os.ReadFile(file); err != nil || !strings.HasPrefix(string(b), want) {
			t.Errorf("%s begins %.30q (%v), want %q", file, b, err, want)
		}
	}
	out, _, code := call(t, "", "-x", o, "-R")
	if code != 0 || !strings.HasSuffix(out, "Transition Summary:\n") {
		t.Errorf("after the transition there is still something to do:\n%s", out)
	}
}

func TestLiveInput(t *testing.T) {
	old := LiveCIB
	defer func() { LiveCIB = old }()
	LiveCIB = func(context.Context) ([]byte, error) { return os.ReadFile(example) }
	if out, errs, code := call(t, "", "-L", "-Q", "-s"); code != 0 || !strings.Contains(out, "vm allocation score") {
		t.Errorf("status %d: %s%s", code, out, errs)
	}
	LiveCIB = func(context.Context) ([]byte, error) { return nil, os.ErrNotExist }
	if _, _, code := call(t, "", "-L"); code != 102 {
		t.Errorf("without a cluster the status is %d, want 102", code)
	}
}

func TestMistakes(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
	}{
		{[]string{"-x", "/nowhere/cib.xml"}, 66},
		{[]string{"--frobnicate"}, 64},
		{[]string{"-x", example, "-t", "yesterday"}, 64},
		{[]string{"-P", "/nowhere"}, 66},
	} {
		if _, errs, code := call(t, "", c.args...); code != c.code || errs == "" {
			t.Errorf("%v: status %d, want %d (%s)", c.args, code, c.code, errs)
		}
	}
	if _, _, code := call(t, "no xml", "-p"); code != 65 {
		t.Errorf("unreadable input: status %d, want 65", code)
	}
}

// TestErrorsComeInOrder: with standard output and error on one stream, an
// error stands before a title under which nothing was printed yet.
func TestErrorsComeInOrder(t *testing.T) {
	const cib = `<cib validate-with="pacemaker-3.9" admin_epoch="0" epoch="1" num_updates="1" have-quorum="1"><configuration>
<crm_config><cluster_property_set id="o"><nvpair id="o-f" name="stonith-enabled" value="false"/></cluster_property_set></crm_config>
<nodes><node id="1" uname="n1"/></nodes>
<resources><group id="g"><primitive id="m" class="ocf" provider="pacemaker" type="Dummy"/></group>
<primitive id="p" class="ocf" provider="pacemaker" type="Dummy"/></resources>
<constraints><rsc_order id="o1" first="p" then="g"/><rsc_order id="o2" first="g" then="p"/></constraints></configuration>
<status><node_state id="1" uname="n1" in_ccm="true" crmd="online" join="member"><lrm id="1"><lrm_resources>
<lrm_resource id="m" class="ocf" provider="pacemaker" type="Dummy"><lrm_rsc_op id="m_last_0" operation="monitor" rc-code="7" op-status="0"/></lrm_resource>
<lrm_resource id="p" class="ocf" provider="pacemaker" type="Dummy"><lrm_rsc_op id="p_last_0" operation="monitor" rc-code="7" op-status="0"/></lrm_resource>
</lrm_resources></lrm></node_state></status></cib>`
	var both bytes.Buffer
	code := Run(context.Background(), "crm_simulate", []string{"-p", "-S"}, strings.NewReader(cib), &both, &both)
	const want = "  * Start      p       (    n1 )\nTransition failed: terminated\nAn invalid transition was produced\n\nExecuting Cluster Transition:\n\nRevised Cluster Status:\n"
	if code != 1 || !strings.Contains(both.String(), want) {
		t.Errorf("status %d, no\n%s\nin\n%s", code, want, both.String())
	}
}
