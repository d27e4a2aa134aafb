package crmsimulate

import (
	"bufio"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// conformanceDir holds Pacemaker's regression cases, which are not part of the
// project; the test is skipped where they are missing.
func conformanceDir() string {
	if d := os.Getenv("PENGINE_CONFORMANCE"); d != "" {
		return d
	}
	return "../../../shared/conformance/scheduler"
}

var noise = regexp.MustCompile(`crm_feature_set="[^"]*"|batch-limit="[0-9]*"`)

// squeeze is what the comparison leaves of a text: lines without white space.
func squeeze(text string) []string {
	var out []string
	for l := range strings.Lines(text) {
		if s := strings.Join(strings.Fields(l), ""); s != "" {
			out = append(out, s)
		}
	}
	return out
}

func sorted(lines []string) []string { slices.Sort(lines); return slices.Compact(lines) }

var renames = []struct {
	re *regexp.Regexp
	to string
}{
	{regexp.MustCompile(`ocf::`), "ocf:"},
	{regexp.MustCompile(`Masters:`), "Promoted:"},
	{regexp.MustCompile(`Slaves:`), "Unpromoted:"},
	{regexp.MustCompile(` Master( |\[|$)`), " Promoted$1"},
	{regexp.MustCompile(` Slave `), " Unpromoted "},
}

func normSummary(text string) []string {
	for _, r := range renames {
		text = r.re.ReplaceAllString(text, r.to)
	}
	return squeeze(text)
}

// TestConformanceFloor runs what the floor file lists: what passed once must
// go on passing.
func TestConformanceFloor(t *testing.T) {
	dir := conformanceDir()
	if _, err := os.Stat(filepath.Join(dir, "xml")); err != nil {
		t.Skip("no conformance cases here; set PENGINE_CONFORMANCE")
	}
	if testing.Short() {
		t.Skip("short")
	}
	args := extraArgs(t, dir)
	f, err := os.Open("../../pengine/testdata/conformance-floor.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) < 2 || words[0] == "#" {
			continue
		}
		name, kinds := words[0], words[1:]
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conform(t, dir, name, kinds, args[name])
		})
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
}

func extraArgs(t *testing.T, dir string) map[string][]string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "cases.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	args := map[string][]string{}
	for l := range strings.Lines(string(data)) {
		f := strings.Split(strings.TrimRight(l, "\n"), "\t")
		if len(f) == 3 && strings.HasPrefix(f[2], "-t ") {
			args[f[0]] = []string{"-t", strings.Trim(f[2][3:], `"'`)}
		}
	}
	return args
}

func conform(t *testing.T, dir, name string, kinds, args []string) {
	in := filepath.Join(dir, "xml", name+".xml")
	tmp := t.TempDir()
	g, d := filepath.Join(tmp, "g"), filepath.Join(tmp, "d")
	scores, _, code := call(t, "", append([]string{"-x", in, "-D", d, "-G", g, "-sSQ"}, args...)...)
	summary, errs, _ := call(t, "", "-x", in, "-S")
	read := func(path string) string {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	want := func(ext string) string { return read(filepath.Join(dir, ext, name+"."+ext)) }
	for _, kind := range kinds {
		same := false
		switch kind {
		case "graph":
			same = slices.Equal(squeeze(noise.ReplaceAllString(want("exp"), "")), squeeze(noise.ReplaceAllString(read(g), "")))
		case "dot":
			same = slices.Equal(sorted(squeeze(want("dot"))), sorted(squeeze(read(d))))
		case "scores":
			a, b := squeeze(want("scores")), squeeze(scores)
			slices.Sort(a)
			slices.Sort(b)
			same = slices.Equal(a, b)
		case "summary":
			same = slices.Equal(normSummary(want("summary")), normSummary(errs+summary))
		case "clean":
			same = code == 0
		}
		if !same {
			t.Errorf("%s differs", kind)
		}
	}
}
