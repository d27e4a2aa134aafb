package schema

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"linuxha/cib/cibdoc"
)

// TestUpgradeAgainstReference upgrades random documents with the reference's
// cibadmin, too, named by SCHEMA_CIBADMIN, and compares.
func TestUpgradeAgainstReference(t *testing.T) {
	cibadmin := os.Getenv("SCHEMA_CIBADMIN")
	if cibadmin == "" {
		t.Skip("SCHEMA_CIBADMIN is not set: it names the cibadmin of Pacemaker 2.1.5 to compare with")
	}
	number := func(name string, otherwise int) int {
		if s := os.Getenv(name); s != "" {
			n, err := strconv.Atoi(s)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		return otherwise
	}
	r := rand.New(rand.NewPCG(uint64(number("SCHEMA_SEED", 1)), 0))
	file := filepath.Join(t.TempDir(), "cib.xml")
	both, refused, better, lost := 0, 0, 0, 0
	for i := range number("SCHEMA_COUNT", 200) {
		v, _ := Lookup(Versions[r.IntN(Index("pacemaker-2.10")+1)])
		root := generate(v, r, r.IntN(4) == 0)
		if r.IntN(2) == 0 { // where it must change
			if nodes := root.Child("configuration").Child("nodes"); nodes != nil {
				nodes.Add(cibdoc.E("node", "id", "forced", "uname", "forced", "type", "normal"))
			}
		}
		for range r.IntN(2) {
			mutate(root, r)
			root.SetAttr("validate-with", v.String())
		}
		if root.Child("status") == nil {
			root.Add(cibdoc.E("status"))
		}
		root.SetAttr("crm_feature_set", "3.0.14")
		doc := cibdoc.New(root)
		if len(Validate(doc)) > 0 || forgotten(root) {
			continue
		}
		if err := os.WriteFile(file, doc.File(), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(cibadmin, "-u", "-f", "-V")
		cmd.Env = append(os.Environ(), "CIB_file="+file, "PCMK_stderr=1")
		var said bytes.Buffer
		cmd.Stderr = &said
		err := cmd.Run()
		if exit := (&exec.ExitError{}); err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		b, rerr := os.ReadFile(file)
		if rerr != nil {
			t.Fatal(rerr)
		}
		want, perr := cibdoc.Parse(b)
		if perr != nil {
			t.Fatal(perr)
		}
		var messages []string
		got, uerr := UpgradeWith(doc, UpgradeOptions{Report: func(m Message) {
			if m.From == "" && m.Problem == nil && !strings.Contains(m.Text, "... it depends on a rule") {
				messages = append(messages, m.Text)
			}
		}})
		if errors.Is(uerr, cibdoc.RCSchemaLatest) {
			got, uerr = doc, nil
		}
		switch {
		case strings.Contains(said.String(), "INTERNAL ERROR"): // it lost its way, at a reference to a set of another kind
			lost++
			continue
		case err != nil && uerr != nil:
			refused++
			continue
		case err != nil:
			better++
			continue
		case uerr != nil:
			t.Errorf("%d: we refuse, the reference does not: %v\n%s", i, uerr, doc.Root().Bytes())
			keep(t, i, doc, want)
			continue
		}
		if want.Root().Attr("validate-with") == "pacemaker-2.10" && got.Root().Attr("validate-with") == cibdoc.LatestSchema {
			better++
			continue
		}
		both++
		if configuration(got) != configuration(want) {
			t.Errorf("%d: %s\ngot  %s\nwant %s", i, v, configuration(got), configuration(want))
			keep(t, i, doc, want)
			continue
		}
		var theirs []string
		for line := range strings.Lines(said.String()) {
			line = strings.TrimRight(line, "\n")
			for _, p := range []string{"INFO: ", "DEBUG: ", "WARNING: ", "ACLs: "} {
				if strings.HasPrefix(line, p) {
					theirs = append(theirs, line)
				}
			}
		}
		if strings.Join(theirs, "\n") != strings.Join(messages, "\n") {
			t.Errorf("%d: said %s\nwant %s", i, strings.Join(messages, "\n     "), strings.Join(theirs, "\n     "))
			keep(t, i, doc, want)
		}
	}
	t.Logf("%d upgraded by both, %d refused by both, %d refused by the reference alone, %d where it reports an error of its own", both, refused, better, lost)
}

// forgotten reports whether the document has a meta-attribute that the
// reference's transform forgets (see metaTo3), or a default that it loses in an
// empty section.
func forgotten(root *cibdoc.Node) bool {
	found := false
	each(root, func(_, set *cibdoc.Node) {
		for i, nv := range ofTag(set, "nvpair") {
			name := nv.Attr("name")
			if _, valued := nv.Get("value"); strings.Contains(name, "isolation") || strings.Contains(name, "failure") {
				found = found || i > 0 || !valued || len(ofTag(set, "nvpair")) > 1
			}
		}
	}, "meta_attributes")
	for _, section := range []string{"op_defaults", "rsc_defaults"} {
		if defaults := root.Child("configuration").Child(section); defaults != nil && unconditional(defaults) == nil {
			found = true
		}
	}
	return found
}

func configuration(d *cibdoc.Doc) string {
	text := string(d.Configuration().Bytes())
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\\n", "&#10;"), "&#9;", "    ") // as tools print it (cib 6.3)
	return d.Root().Attr("validate-with") + " " + text
}

// keep writes a difference to the folder of SCHEMA_KEEP, if that is set.
func keep(t *testing.T, i int, doc, want *cibdoc.Doc) {
	t.Helper()
	dir := os.Getenv("SCHEMA_KEEP")
	if dir == "" {
		return
	}
	err := errors.Join(
		os.WriteFile(filepath.Join(dir, fmt.Sprintf("up-%d.xml", i)), doc.File(), 0o600),
		os.WriteFile(filepath.Join(dir, fmt.Sprintf("up-%d.want.xml", i)), want.File(), 0o600))
	if err != nil {
		t.Fatal(err)
	}
}
