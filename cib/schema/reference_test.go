package schema

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"linuxha/cib/cibdoc"
)

// installed is where the reference's own grammar files lie, on a machine that
// has them.
const installed = "/usr/share/pacemaker"

// xmllint judges files by a RELAX NG schema: the files that are not valid.
func xmllint(t *testing.T, rng string, files []string) map[string]bool {
	t.Helper()
	invalid := map[string]bool{}
	for batch := range slices.Chunk(files, 500) {
		out, err := exec.Command("xmllint", append([]string{"--noout", "--relaxng", rng}, batch...)...).CombinedOutput()
		if _, ok := err.(*exec.ExitError); err != nil && !ok {
			t.Fatal(err)
		}
		judged := 0
		for line := range strings.Lines(string(out)) {
			line = strings.TrimSpace(line)
			if f, ok := strings.CutSuffix(line, " fails to validate"); ok {
				invalid[f] = true
				judged++
			} else if strings.HasSuffix(line, " validates") {
				judged++
			}
		}
		if judged != len(batch) {
			t.Fatalf("xmllint judged %d of %d files:\n%s", judged, len(batch), out[:min(len(out), 2000)])
		}
	}
	return invalid
}

// documents are random ones of a version, half of them with mutations.
func documents(v Version, r *rand.Rand, count int) []*cibdoc.Doc {
	var out []*cibdoc.Doc
	for i := range count {
		from := v
		if i%4 == 3 { // of another version
			from, _ = Lookup(Versions[r.IntN(len(Versions))])
		}
		root := generate(from, r, i%8 == 0)
		if i%2 == 1 {
			for range 1 + r.IntN(2) {
				mutate(root, r)
			}
		}
		root.SetAttr("validate-with", v.String())
		out = append(out, cibdoc.New(root))
	}
	return out
}

// compare judges random documents of all versions by RELAX NG files and by
// Check; what differs is written beside the test for a look.
func compare(t *testing.T, dir string, count int) {
	seed := uint64(20061) // the same documents each time
	if s := os.Getenv("SCHEMA_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = n
	}
	if s := os.Getenv("SCHEMA_COUNT"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		count = n
	}
	total, bad := 0, 0
	for _, name := range append(slices.Clone(Versions), "pacemaker-next") {
		v, _ := Lookup(name)
		r := rand.New(rand.NewPCG(seed, uint64(v.Major*100+v.Minor)))
		tmp := t.TempDir()
		docs := documents(v, r, count)
		files := make([]string, len(docs))
		for i, d := range docs {
			files[i] = filepath.Join(tmp, fmt.Sprintf("%s-%d.xml", name, i))
			if err := os.WriteFile(files[i], d.Root().Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		invalid := xmllint(t, filepath.Join(dir, name+".rng"), files)
		for i, d := range docs {
			problems := Check(d, name)
			total++
			if invalid[files[i]] {
				bad++
			}
			if invalid[files[i]] != (len(problems) > 0) {
				t.Errorf("%s: xmllint invalid: %v, ours: %v\n%s", filepath.Base(files[i]), invalid[files[i]], problems, d.Root().Bytes())
				if keep := os.Getenv("SCHEMA_KEEP"); keep != "" {
					if err := os.WriteFile(filepath.Join(keep, filepath.Base(files[i])), d.File(), 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	}
	t.Logf("%d documents, %d of them not valid", total, bad)
}

// TestAgainstReference compares verdicts with those of the reference's own
// grammar files, where they are installed.
func TestAgainstReference(t *testing.T) {
	if _, err := exec.LookPath("xmllint"); err != nil {
		t.Skip("xmllint is not installed (package libxml2-utils): it is what judges by RELAX NG files")
	}
	if _, err := os.Stat(filepath.Join(installed, "pacemaker-3.9.rng")); err != nil {
		t.Skip("the reference's grammar files are not installed: nothing to compare with")
	}
	compare(t, installed, 16)
}

// TestRNG: the RELAX NG files that we write say the same as Check.
func TestRNG(t *testing.T) {
	dir := t.TempDir()
	for name, content := range RNG() {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(content), "<start>") {
			t.Errorf("%s has no start", name)
		}
	}
	if _, err := exec.LookPath("xmllint"); err != nil {
		t.Skip("xmllint is not installed (package libxml2-utils): it is what judges by RELAX NG files")
	}
	compare(t, dir, 8)
}

// TestAgainstCrmVerify compares verdicts with those of the reference's
// crm_verify, named by SCHEMA_CRM_VERIFY.
func TestAgainstCrmVerify(t *testing.T) {
	program := os.Getenv("SCHEMA_CRM_VERIFY")
	if program == "" {
		t.Skip("SCHEMA_CRM_VERIFY is not set: it names the crm_verify of Pacemaker 2.1.5 to compare with")
	}
	file := filepath.Join(t.TempDir(), "cib.xml")
	total, bad := 0, 0
	for i, name := range Versions {
		v, _ := Lookup(name)
		for _, d := range documents(v, rand.New(rand.NewPCG(99, uint64(i))), 60) {
			if d.Root().Tag != "cib" {
				continue
			}
			if err := os.WriteFile(file, d.File(), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command(program, "-V", "-x", file).CombinedOutput()
			if _, ok := err.(*exec.ExitError); err != nil && !ok {
				t.Fatal(err)
			}
			invalid := strings.Contains(string(out), "CIB did not pass schema validation")
			problems := Validate(d)
			total++
			if invalid {
				bad++
			}
			if invalid != (len(problems) > 0) {
				t.Errorf("%s: invalid %v, ours %v\n%s", name, invalid, problems, d.Root().Bytes())
			}
		}
	}
	t.Logf("%d documents, %d of them not valid", total, bad)
}
