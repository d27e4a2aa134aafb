package crmsimulate

import (
	"context"
	"encoding/xml"
	goflag "flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var rewrite = goflag.Bool("rewrite", false, "renew the golden files")

const corpus = "../../pengine/schedule/testdata/"

// TestExplainGolden compares explanations with testdata/explain: one file for
// each case, named after the input and the resource. They are for reading: a
// change of words or of reasons shows up in their diff.
func TestExplainGolden(t *testing.T) {
	for _, c := range []struct{ input, resource, more string }{
		{"migrate", "vm", ""},
		{"threshold-reached", "db", ""},
		{"promotable", "ms", ""},
		{"promotable", "p:1", "-V"},
		{"node-lost", "web", ""},
		{"stop-failed-blocks", "db", ""},
		{"stop-failed-fences", "db", ""},
		{"no-quorum-stop", "a", ""},
		{"parameter-changed", "a", ""},
		{"parameter-reload", "a", ""},
		{"ticket-lost", "a", ""},
		{"shutdown-lock", "a", ""},
		{"standby", "a", "-V"},
		{"maintenance", "a", ""},
		{"multiply-active", "a", ""},
		{"utilization", "r3", "-V"},
		{"unmanaged-failed", "a", ""},
		{"monitor-failed", "db", ""},
		{"standby", "a", "--output-as=xml"},
		{"promotable", "ms", "--output-as=xml"},
	} {
		name := c.input + "-" + strings.ReplaceAll(c.resource, ":", "_")
		switch c.more {
		case "-V":
			name += "-all"
		case "--output-as=xml":
			name += "-xml"
		}
		t.Run(name, func(t *testing.T) {
			args := []string{"-x", corpus + c.input + ".xml", "--explain", c.resource}
			if c.more != "" {
				args = append(args, c.more)
			}
			got, _, code := call(t, "", args...)
			if code != 0 {
				t.Fatalf("status %d: %s", code, got)
			}
			file := filepath.Join("testdata", "explain", name)
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s differs (run with -rewrite and read the diff):\n%s", file, got)
			}
		})
	}
}

func TestExplainUnknown(t *testing.T) {
	out, errs, code := call(t, "", "-x", example, "--explain", "nobody")
	if code != 105 || out != "" || !strings.Contains(errs, `there is no resource "nobody"`) {
		t.Errorf("status %d, %q, %q", code, out, errs)
	}
	out, errs, code = call(t, "", "-x", example, "--explain", "nobody", "--output-as=xml")
	if code != 105 || errs != "" || !strings.Contains(out, `<status code="105" message="No such object">`) {
		t.Errorf("XML: status %d, %q, %q", code, out, errs)
	}
}

// TestExplainWithTheRest: with another action asked for, the explanation comes
// after the summary; of several resources each gets one; the cluster's own CIB
// can be asked about.
func TestExplainWithTheRest(t *testing.T) {
	out, _, code := call(t, "", "-x", example, "-R", "--explain", "vm", "--explain", "x")
	summary, vm, x := strings.Index(out, "Transition Summary:"), strings.Index(out, "\nvm (ocf:pacemaker:Dummy)"), strings.Index(out, "\nx (ocf:pacemaker:Dummy)")
	if code != 0 || summary < 0 || vm < summary || x < vm {
		t.Errorf("status %d, places %d %d %d in\n%s", code, summary, vm, x, out)
	}
	old := LiveCIB
	defer func() { LiveCIB = old }()
	LiveCIB = func(context.Context) ([]byte, error) { return os.ReadFile(example) }
	out, _, code = call(t, "", "-L", "--explain", "vm")
	if code != 0 || !strings.HasPrefix(out, "vm (ocf:pacemaker:Dummy) is Started on n1, to be Started on n2:\n") {
		t.Errorf("live: status %d\n%s", code, out)
	}
}

// TestVerboseLevels: each -V adds a severity, in the reference's form; the
// decisions of the stages come last. Nothing of it goes to standard output.
func TestVerboseLevels(t *testing.T) {
	plain, _, _ := call(t, "", "-x", corpus+"node-lost.xml", "-S")
	shorter := 0
	for _, c := range []struct{ flag, has, hasNot string }{
		{"-V", "", "warning: "},
		{"-VV", "(pe_fence_node) \twarning: Cluster node n2 will be fenced: peer is no longer part of the cluster\n", "notice: "},
		{"-VVV", "(log_list_item) \tnotice: Actions: Fence (reboot) n2 'peer is no longer part of the cluster'\n", "info: "},
		{"-VVVV", "(determine_online_status) \tinfo: n1 is online\n", "debug: "},
		{"-VVVVV", "(assign) \tdebug: fs goes to n3: the highest score: 0, then n2 with -INFINITY\n", "trace: "},
		{"-VVVVVV", "(assign) \ttrace: fs on n1: add -INFINITY, members of a group stay together: fs with ip, which goes to n3\n", "no such text"},
	} {
		out, errs, code := call(t, "", "-x", corpus+"node-lost.xml", "-S", c.flag)
		if code != 0 || out != plain {
			t.Errorf("%s: status %d, and standard output differs from that without", c.flag, code)
		}
		if !strings.Contains(errs, c.has) || strings.Contains(errs, c.hasNot) {
			t.Errorf("%s: want %q and not %q in\n%s", c.flag, c.has, c.hasNot, errs)
		}
		if len(errs) < shorter {
			t.Errorf("%s says less than a V less", c.flag)
		}
		shorter = len(errs)
	}
}

// TestStagesSpeak: what each stage decided is in the log, by its name.
func TestStagesSpeak(t *testing.T) {
	_, errs, _ := call(t, "", "-x", example, "-R", "-VVVVV")
	for _, stage := range []string{"state", "constraint", "assign", "action", "order", "graph"} {
		if !strings.Contains(errs, "("+stage+") \tdebug: ") {
			t.Errorf("stage %s says nothing", stage)
		}
	}
}

func TestSchemaIsHeldTo(t *testing.T) {
	data, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	cib := string(data)
	bad := strings.Replace(cib, "<resources>", `<resources><bogus id="x"/>`, 1)
	schema := func(text, name string) string {
		return strings.Replace(text, `validate-with="pacemaker-3.9"`, name, 1)
	}
	const off = "Schema validation of configuration is disabled (enabling is encouraged and prevents common misconfigurations)\n"
	for _, c := range []struct {
		name, cib string
		code      int
		errs      string // beginning of a line on standard error, "" for none
	}{
		{"valid", cib, 0, ""},
		{"a foreign element", bad, 78, "unknown.xml:14: element bogus: Relax-NG validity error : "},
		{"not to be validated", schema(bad, `validate-with="none"`), 0, off},
		{"no schema named", schema(cib, ""), 0, off},
		{"an older schema", schema(cib, `validate-with="pacemaker-2.5"`), 0, ""},
		{"an older schema, invalid", schema(bad, `validate-with="pacemaker-2.5"`), 78, "Cannot upgrade configuration (claiming schema pacemaker-2.5) to at least pacemaker-3.0 because it does not validate with any schema from pacemaker-2.5 to pacemaker-3.9\n"},
		{"no known schema", schema(bad, `validate-with="pacemaker-9.9"`), 78, "Cannot upgrade configuration (claiming schema pacemaker-9.9) to at least pacemaker-3.0 because it does not validate with any schema from unknown to pacemaker-3.9\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, errs, code := call(t, c.cib, "-p", "-R")
			if code != c.code || (out == "") != (code != 0) {
				t.Errorf("status %d, want %d; %s", code, c.code, out)
			}
			if c.errs == "" && errs != "" || !strings.Contains("\n"+errs, "\n"+c.errs) {
				t.Errorf("want %q in\n%s", c.errs, errs)
			}
		})
	}
	out, _, code := call(t, bad, "-p", "-R", "--output-as=xml")
	if code != 78 || !strings.HasSuffix(out, "\n  <status code=\"78\" message=\"Invalid configuration\"/>\n</pacemaker-result>\n") {
		t.Errorf("XML: status %d\n%s", code, out)
	}
}

// TestXMLGolden compares XML results with what Pacemaker 2.1.5 prints for the
// same command lines, from the second line on (the first has the command).
func TestXMLGolden(t *testing.T) {
	t.Setenv("TZ", "UTC")
	for name, args := range map[string][]string{
		"migrate":     {"-S", "-s", "-A", "-c"},
		"node-lost":   {"-S"},
		"promotable":  {"-R", "-s"},
		"bundle":      {"-R"},
		"utilization": {"-R", "-U"},
		"ticket-lost": {"-R", "-g", "T", "-d", "n2"},
	} {
		t.Run(name, func(t *testing.T) {
			out, errs, code := call(t, "", append([]string{"-x", corpus + name + ".xml", "--output-as=xml"}, args...)...)
			if code != 0 {
				t.Fatalf("status %d: %s", code, errs)
			}
			if err := xml.Unmarshal([]byte(out), new(struct{})); err != nil {
				t.Error(err)
			}
			_, got, _ := strings.Cut(out, "\n")
			want, err := os.ReadFile(filepath.Join("testdata", "xml", name+".xml"))
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("differs from the reference:\n%s", got)
			}
		})
	}
}

// TestDocumentedExample: docs/explain.md shows what the tool prints.
func TestDocumentedExample(t *testing.T) {
	doc, err := os.ReadFile("../../docs/explain.md")
	if err != nil {
		t.Fatal(err)
	}
	out, _, _ := call(t, "", "-x", corpus+"threshold-reached.xml", "--explain", "db")
	want := "    " + strings.ReplaceAll(strings.TrimSuffix(out, "\n"), "\n", "\n    ")
	if !strings.Contains(string(doc), want) {
		t.Errorf("docs/explain.md should contain\n%s", want)
	}
}
