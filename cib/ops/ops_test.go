package ops

import (
	"errors"
	"strings"
	"testing"
	"time"

	"linuxha/cib/cibdoc"
	"linuxha/cib/patch"
)

const base = `<cib crm_feature_set="3.16.1" validate-with="pacemaker-3.9" epoch="10" num_updates="5" admin_epoch="1"><configuration>` +
	`<crm_config><cluster_property_set id="o"><nvpair id="n" name="x" value="6"/></cluster_property_set></crm_config><nodes/>` +
	`<resources><primitive id="d1" class="ocf" provider="pacemaker" type="Dummy"/><primitive id="d2" class="ocf" provider="pacemaker" type="Dummy">` +
	`<meta_attributes id="m"><nvpair id="m1" name="a" value="1"/></meta_attributes></primitive></resources><constraints/></configuration>` +
	`<status><node_state id="1" uname="n1"/></status></cib>`

func parse(t testing.TB, s string) *cibdoc.Doc {
	t.Helper()
	d, err := cibdoc.Parse([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func node(t testing.TB, s string) *cibdoc.Node {
	t.Helper()
	if s == "" {
		return nil
	}
	n, err := cibdoc.ParseNode([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func do(t testing.TB, doc *cibdoc.Doc, ch Change, xml string) (Result, error) {
	t.Helper()
	ch.XML = node(t, xml)
	before := string(doc.Bytes())
	r, err := Apply(doc, Request{Changes: []Change{ch}})
	if string(doc.Bytes()) != before {
		t.Error("the old document changed")
	}
	if err == nil && r.Doc.Sum() != doc.Sum() {
		diff := patch.Create(doc, r.Doc, patch.Options{})
		if back, perr := patch.Apply(doc, diff); perr != nil || back.Sum() != r.Doc.Sum() {
			t.Errorf("the patch of the change does not lead to its result: %v", perr)
		}
	}
	return r, err
}

// TestVersions is cib 2.3, row by row, from 1.10.5.
func TestVersions(t *testing.T) {
	replaced := strings.Replace(base, `epoch="10" num_updates="5"`, `epoch="20" num_updates="7"`, 1)
	differs := strings.Replace(replaced, `value="6"`, `value="7"`, 1)
	patchTo := func(from, to string) string {
		return `<diff format="2"><version><source admin_epoch="1" ` + from + `/><target admin_epoch="1" ` + to + `/></version>` +
			`<change operation="modify" path="/cib"><change-result><cib crm_feature_set="3.16.1" validate-with="pacemaker-3.9" ` + to + ` admin_epoch="1"/></change-result></change>` +
			`<change operation="create" path="/cib/configuration/nodes" position="0"><node id="9" uname="nine"/></change></diff>`
	}
	for _, tc := range []struct {
		name string
		ch   Change
		xml  string
		want string
	}{
		{"create in the configuration", Change{Op: Create, Section: "nodes"}, `<node id="1" uname="a"/>`, "1.11.0"},
		{"modify in the configuration", Change{Op: Modify}, `<nvpair id="n" value="7"/>`, "1.11.0"},
		{"modify that changes nothing", Change{Op: Modify}, `<nvpair id="n" value="6"/>`, "1.10.5"},
		{"replace in the configuration", Change{Op: Replace}, `<nvpair id="n" name="x" value="7"/>`, "1.11.0"},
		{"delete in the configuration", Change{Op: Delete}, `<nvpair id="n"/>`, "1.11.0"},
		{"delete of what is not there", Change{Op: Delete}, `<nvpair id="nosuch"/>`, "1.10.5"},
		{"status", Change{Op: Modify, Section: "status"}, `<node_state id="1" crmd="online"/>`, "1.10.6"},
		{"root attribute", Change{Op: Modify}, `<cib remote-tls-port="1"/>`, "1.10.6"},
		{"admin_epoch++", Change{Op: Modify}, `<cib admin_epoch="admin_epoch++"/>`, "2.10.6"},
		{"epoch set", Change{Op: Modify}, `<cib epoch="100"/>`, "1.100.6"},
		{"num_updates set", Change{Op: Modify}, `<cib num_updates="100"/>`, "1.10.101"},
		{"num_updates set lower: versions only grow", Change{Op: Modify}, `<cib num_updates="0"/>`, "1.10.6"},
		{"bump", Change{Op: Bump}, "", "1.11.6"},
		{"erase", Change{Op: Erase}, "", "2.11.0"},
		{"whole replace, configuration differs", Change{Op: Replace}, differs, "1.21.0"},
		{"whole replace, identical", Change{Op: Replace}, base, "1.10.5"},
		{"patch with versions", Change{Op: Patch}, patchTo(`epoch="10" num_updates="5"`, `epoch="11" num_updates="0"`), "1.12.0"},
		{"patch without versions", Change{Op: Patch}, `<diff format="2"><change operation="create" path="/cib/configuration/nodes" position="0"><node id="9" uname="nine"/></change></diff>`, "1.11.0"},
		{"modify with creation counts as configuration (2.6)", Change{Op: Modify, Section: "nodes", CanCreate: true}, `<node id="1" uname="a"/>`, "1.11.0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, err := do(t, parse(t, base), tc.ch, tc.xml)
			if err != nil {
				t.Fatal(err)
			}
			if got := r.Doc.Version().String(); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
			if must := !strings.HasPrefix(tc.want, "1.10."); r.Config != must {
				t.Errorf("to be stored: %v, want %v", r.Config, must)
			}
		})
	}
	old := strings.Replace(base, "pacemaker-3.9", "pacemaker-3.0", 1)
	r, err := do(t, parse(t, old), Change{Op: Upgrade}, "")
	if err != nil || r.Doc.Version().String() != "2.1.2" || r.Doc.Root().Attr("validate-with") != "pacemaker-3.9" {
		t.Errorf("upgrade: %v %v", r.Doc, err)
	}
	if _, err := do(t, parse(t, base), Change{Op: Upgrade}, ""); !errors.Is(err, cibdoc.RCSchemaLatest) {
		t.Errorf("upgrade of the latest: %v", err)
	}
}

// TestOperations is cib 3.5 to 4.8: the result's interesting part, or the error.
func TestOperations(t *testing.T) {
	for _, tc := range []struct {
		name string
		ch   Change
		xml  string
		rc   cibdoc.RC
		want string // has to be in the result; with "!" in front: must not
	}{
		{"create: section given as wrapper", Change{Op: Create, Section: "nodes"}, `<nodes><node id="1" uname="a"/><node id="2" uname="b"/></nodes>`, 0, `<nodes><node id="1" uname="a"/><node id="2" uname="b"/></nodes>`},
		{"create: a whole CIB is narrowed and merged as by modify", Change{Op: Create, Section: "nodes"}, `<cib><configuration><nodes><node id="1" uname="a"/></nodes></configuration></cib>`, 0, `<nodes><node id="1" uname="a"/></nodes>`},
		{"create: exists", Change{Op: Create, Section: "resources"}, `<primitive id="d1"/>`, cibdoc.RCExists, ""},
		{"create: one of two exists, nothing is kept", Change{Op: Create, Section: "resources"}, `<resources><primitive id="d9" type="x" class="lsb"/><primitive id="d1"/></resources>`, cibdoc.RCExists, ""},
		{"create: section absent", Change{Op: Create, Section: "tags"}, `<tag id="t"/>`, cibdoc.RCInvalid, ""},
		{"create: no section, as modify", Change{Op: Create}, `<nvpair id="n" value="8"/>`, 0, `value="8"`},
		{"create: children without id collapse", Change{Op: Create, Section: "status"}, `<node_state id="2"><a x="1"/><a y="2"/></node_state>`, 0, `<node_state id="2"><a x="1" y="2"/></node_state>`},
		{"create: arithmetic of a new attribute begins at 0", Change{Op: Create, Section: "status"}, `<node_state id="2" v="v++" w="w+=5"/>`, 0, `v="1" w="5"`},
		{"create: text is dropped", Change{Op: Create, Section: "nodes"}, `<node id="1" uname="a">text<![CDATA[more]]></node>`, 0, `<node id="1" uname="a"/>`},
		{"create: by XPath", Change{Op: Create, XPath: true, Section: "//nodes"}, `<node id="1" uname="a"/>`, 0, `<nodes><node id="1" uname="a"/></nodes>`},

		{"modify: attributes are set, others stay", Change{Op: Modify}, `<primitive id="d1" type="Other" description="d"/>`, 0, `<primitive id="d1" class="ocf" provider="pacemaker" type="Other" description="d"/>`},
		{"modify: new child", Change{Op: Modify}, `<primitive id="d1"><operations><op id="op" name="start" interval="0"/></operations></primitive>`, 0, `<operations><op id="op" name="start" interval="0"/></operations>`},
		{"modify: nothing is removed", Change{Op: Modify}, `<meta_attributes id="m"/>`, cibdoc.OK, `<nvpair id="m1" name="a" value="1"/>`},
		{"modify: not there", Change{Op: Modify}, `<primitive id="d9"/>`, cibdoc.RCNoSuch, ""},
		{"modify: created in the section", Change{Op: Modify, Section: "nodes", CanCreate: true}, `<node id="1" uname="a"/>`, 0, `<nodes><node id="1" uname="a"/></nodes>`},
		{"modify: created without a section is invalid", Change{Op: Modify, CanCreate: true}, `<node id="1" uname="a"/>`, cibdoc.RCSchema, ""},
		{"modify: absent section is made", Change{Op: Modify, Section: "tags"}, `<tags><tag id="t"><obj_ref id="d1"/></tag></tags>`, 0, `<constraints/><tags><tag id="t"><obj_ref id="d1"/></tag></tags>`},
		{"modify: +=", Change{Op: Modify}, `<nvpair id="n" value="value+=10"/>`, 0, `value="16"`},
		{"modify: ++", Change{Op: Modify}, `<nvpair id="n" value="value++"/>`, 0, `value="7"`},
		{"modify: += INFINITY", Change{Op: Modify}, `<nvpair id="n" value="value+=INFINITY"/>`, 0, `value="1000000"`},
		{"modify: ++ of another name is text", Change{Op: Modify}, `<nvpair id="n" value="name++"/>`, 0, `value="name++"`},
		{"modify: empty value", Change{Op: Modify}, `<nvpair id="n" value=""/>`, 0, `value=""`},
		{"modify: comment merged", Change{Op: Modify}, `<nodes><!--hello--></nodes>`, 0, `<nodes><!--hello--></nodes>`},
		{"modify by XPath: first match must contain the target (4.3.6)", Change{Op: Modify, XPath: true, Section: "//primitive"}, `<primitive id="d2" description="x"/>`, cibdoc.RCNoSuch, ""},
		{"modify by XPath", Change{Op: Modify, XPath: true, Section: "//primitive[@id='d2']"}, `<primitive id="d2" description="x"/>`, 0, `description="x"`},
		{"modify by XPath: no match", Change{Op: Modify, XPath: true, Section: "//nosuch"}, `<a/>`, cibdoc.RCNoSuch, ""},
		{"modify: whole CIB narrowed to the section", Change{Op: Modify, Section: "crm_config"}, `<cib><configuration><crm_config><cluster_property_set id="o"><nvpair id="n" value="9"/></cluster_property_set></crm_config></configuration></cib>`, 0, `value="9"`},

		{"replace: in place", Change{Op: Replace}, `<primitive id="d1" class="lsb" type="x"/>`, 0, `<resources><primitive id="d1" class="lsb" type="x"/><primitive id="d2"`},
		{"replace: section", Change{Op: Replace, Section: "constraints"}, `<constraints><rsc_location id="l" rsc="d1" node="n" score="1"/></constraints>`, 0, `<constraints><rsc_location id="l"`},
		{"replace: not there", Change{Op: Replace}, `<primitive id="d9"/>`, cibdoc.RCNoSuch, ""},
		{"replace by XPath: position lost", Change{Op: Replace, XPath: true, Section: "//primitive[@id='d1']"}, `<primitive id="d3" class="lsb" type="x"/>`, 0, `</primitive><primitive id="d3" class="lsb" type="x"/></resources>`},
		{"replace: older", Change{Op: Replace}, `<cib epoch="9" num_updates="0" admin_epoch="1"/>`, cibdoc.RCOldData, ""},
		{"replace: without version", Change{Op: Replace}, `<cib/>`, cibdoc.RCOldData, ""},
		{"replace: newer feature set", Change{Op: Replace}, strings.Replace(base, "3.16.1", "3.17.0", 1), cibdoc.RCProtocol, ""},
		{"replace: a status is added", Change{Op: Replace}, strings.Replace(base, `<status><node_state id="1" uname="n1"/></status>`, "", 1), 0, `<status/>`},
		{"replace: invalid", Change{Op: Replace}, strings.Replace(base, `<nodes/>`, "", 1), cibdoc.RCSchema, ""},

		{"delete: every attribute given must be equal", Change{Op: Delete}, `<primitive id="d1" type="Other"/>`, 0, `<primitive id="d1"`},
		{"delete: without case", Change{Op: Delete}, `<primitive id="d1" type="dummy"/>`, 0, `!<primitive id="d1"`},
		{"delete: without id", Change{Op: Delete, Section: "status"}, `<node_state uname="n1"/>`, 0, `<status/>`},
		{"delete: children of the section one by one", Change{Op: Delete, Section: "resources"}, `<resources><primitive id="d1"/><primitive id="d2"/></resources>`, 0, `<resources/>`},
		{"delete by XPath: first", Change{Op: Delete, XPath: true, Section: "//primitive"}, "", 0, `<resources><primitive id="d2"`},
		{"delete by XPath: all", Change{Op: Delete, XPath: true, Section: "//primitive", All: true}, "", 0, `<resources/>`},
		{"delete by XPath: inner matches are skipped", Change{Op: Delete, XPath: true, Section: "//*[@id='d2' or @id='m1']", All: true}, "", 0, `!id="d2"`},
		{"delete by XPath: the root", Change{Op: Delete, XPath: true, Section: "/cib"}, "", cibdoc.RCInvalid, ""},
		{"delete by XPath: no match", Change{Op: Delete, XPath: true, Section: "//nosuch"}, "", 0, `<primitive id="d1"`},
		{"delete of a required section", Change{Op: Delete}, `<nodes/>`, cibdoc.RCSchema, ""},

		{"erase keeps root attributes", Change{Op: Erase}, "", 0, `validate-with="pacemaker-3.9"`},
		{"without XML", Change{Op: Modify}, "", cibdoc.RCInvalid, ""},
		{"no such operation", Change{Op: 99}, "", cibdoc.RCInvalid, ""},
		{"unknown schema", Change{Op: Modify}, `<cib validate-with="pacemaker-9999.0"/>`, cibdoc.RCSchema, ""},
		{"older epoch", Change{Op: Modify}, `<cib epoch="9"/>`, cibdoc.RCOldData, ""},
		{"epoch no number", Change{Op: Modify}, `<cib epoch="x"/>`, cibdoc.RCOldData, ""},
		{"epoch at its end", Change{Op: Modify}, `<cib epoch="9223372036854775807" validate-with="none"><configuration><nodes><node id="1"/></nodes></configuration></cib>`, cibdoc.RCInvalid, ""},
		{"dangling reference", Change{Op: Create, Section: "constraints"}, `<rsc_location id="l" rsc="zz" node="n" score="1"/>`, cibdoc.RCSchema, ""},
		{"duplicate id", Change{Op: Create, Section: "nodes"}, `<node id="7" uname="a"><instance_attributes id="d1"/></node>`, cibdoc.RCSchema, ""},
		{"status is not validated", Change{Op: Modify, Section: "status", CanCreate: true}, `<node_state id="a:b/c" anything="x"><y/></node_state>`, 0, `<node_state id="a:b/c"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, err := do(t, parse(t, base), tc.ch, tc.xml)
			if got := cibdoc.RCOf(err); got != tc.rc {
				t.Fatalf("%d (%v), want %d", got, err, tc.rc)
			}
			if err != nil {
				return
			}
			text, not := strings.CutPrefix(tc.want, "!")
			if strings.Contains(string(r.Doc.Bytes()), text) == not {
				t.Errorf("%q in the result: %v\n%s", text, !not, r.Doc.Bytes())
			}
		})
	}
}

func TestSelect(t *testing.T) {
	doc := parse(t, base)
	for _, tc := range []struct {
		name string
		q    Query
		rc   cibdoc.RC
		want string
	}{
		{"section", Query{Section: "nodes"}, 0, `<nodes/>`},
		{"absent section", Query{Section: "tags"}, cibdoc.RCNoSuch, ""},
		{"unknown section is the whole", Query{Section: "nosuch", NoChildren: true}, 0, `<cib crm_feature_set="3.16.1" validate-with="pacemaker-3.9" epoch="10" num_updates="5" admin_epoch="1"/>`},
		{"one match", Query{Section: "//nvpair[@id='n']", XPath: true}, 0, `<nvpair id="n" name="x" value="6"/>`},
		{"matches in document order", Query{Section: "//nvpair[@id='m1'] | //nvpair[@id='n']", XPath: true}, 0, `<xpath-query><nvpair id="n" name="x" value="6"/><nvpair id="m1" name="a" value="1"/></xpath-query>`},
		{"an attribute yields its owner", Query{Section: "//nvpair[@id='n']/@value", XPath: true}, 0, `<nvpair id="n" name="x" value="6"/>`},
		{"paths", Query{Section: "//nvpair", XPath: true, Paths: true}, 0, `<xpath-query><xpath-query-path id="/cib/configuration/crm_config/cluster_property_set[@id=&apos;o&apos;]/nvpair[@id=&apos;n&apos;]"/><xpath-query-path id="/cib/configuration/resources/primitive[@id=&apos;d2&apos;]/meta_attributes[@id=&apos;m&apos;]/nvpair[@id=&apos;m1&apos;]"/></xpath-query>`},
		{"a number", Query{Section: "count(//nvpair)", XPath: true}, cibdoc.RCNoSuch, ""},
		{"no XPath", Query{Section: "//[", XPath: true}, cibdoc.RCNoSuch, ""},
		{"no match", Query{Section: "//nosuch", XPath: true}, cibdoc.RCNoSuch, ""},
		{"conditions", Query{Section: "//nvpair[starts-with(@name,'a') and not(@value='2')]", XPath: true, NoChildren: true}, 0, `<nvpair id="m1" name="a" value="1"/>`},
		{"ancestor", Query{Section: "//nvpair[@id='m1']/ancestor::primitive", XPath: true, NoChildren: true}, 0, `<primitive id="d2" class="ocf" provider="pacemaker" type="Dummy"/>`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n, err := Select(doc, tc.q)
			if got := cibdoc.RCOf(err); got != tc.rc {
				t.Fatalf("%v, want %v", err, tc.rc)
			}
			if err == nil && string(n.Bytes()) != tc.want {
				t.Errorf("got  %s\nwant %s", n.Bytes(), tc.want)
			}
		})
	}
}

func TestMarks(t *testing.T) {
	now := time.Date(2026, 11, 5, 3, 4, 5, 0, time.UTC)
	req := Request{
		Now: now, Origin: "node1", Client: "cibadmin", User: "root",
		Changes: []Change{{Op: Modify, XML: cibdoc.E("nvpair", "id", "n", "value", "7")}},
	}
	r, err := Apply(parse(t, base), req)
	if err != nil {
		t.Fatal(err)
	}
	if want := `admin_epoch="1" cib-last-written="Thu Nov  5 03:04:05 2026" update-origin="node1" update-client="cibadmin" update-user="root">`; !strings.Contains(string(r.Doc.Bytes()), want) {
		t.Errorf("%s", r.Doc.Bytes())
	}
	req.Changes = []Change{{Op: Modify, Section: "status", XML: cibdoc.E("node_state", "id", "1", "x", "y")}}
	if r, err = Apply(parse(t, base), req); err != nil || strings.Contains(string(r.Doc.Bytes()), "cib-last-written") {
		t.Errorf("a status change was marked: %v %s", err, r.Doc.Bytes())
	}
}

// TestAtomic: several changes are one version, and none remains if one fails.
func TestAtomic(t *testing.T) {
	doc := parse(t, base)
	good := Change{Op: Modify, XML: cibdoc.E("nvpair", "id", "n", "value", "value++")}
	r, err := Apply(doc, Request{Changes: []Change{good, good, {Op: Create, Section: "nodes", XML: cibdoc.E("node", "id", "1", "uname", "a")}}})
	if err != nil || r.Doc.Version().String() != "1.11.0" || !strings.Contains(string(r.Doc.Bytes()), `value="8"`) {
		t.Errorf("%v %v", r.Doc, err)
	}
	if _, err := Apply(doc, Request{Changes: []Change{good, {Op: Modify, XML: cibdoc.E("nosuch")}}}); !errors.Is(err, cibdoc.RCNoSuch) {
		t.Errorf("%v", err)
	}
	denied := func(_, _ *cibdoc.Doc) error { return cibdoc.RCAccess }
	if _, err := Apply(doc, Request{Changes: []Change{good}, Check: denied}); !errors.Is(err, cibdoc.RCAccess) {
		t.Errorf("%v", err)
	}
}

// TestSharing: a small change to a large document copies little of it.
func TestSharing(t *testing.T) {
	status := cibdoc.E("status")
	for i := range 1000 {
		status.Add(cibdoc.E("node_state", "id", strings.Repeat("x", i+1)))
	}
	root := parse(t, base).Root().Shallow()
	root.Children[1] = status
	doc := cibdoc.New(root)
	r, err := Apply(doc, Request{Changes: []Change{{Op: Modify, XML: cibdoc.E("nvpair", "id", "n", "value", "7")}}})
	if err != nil {
		t.Fatal(err)
	}
	if r.Doc.Section("status") != doc.Section("status") || r.Doc.Section("resources") != doc.Section("resources") {
		t.Error("untouched sections were copied")
	}
}

// FuzzApply: whatever a client sends, the answer is a result or an error, the
// old document stays, and the patch of the change leads to the result.
func FuzzApply(f *testing.F) {
	f.Add(1, "nodes", false, []byte(`<node id="1" uname="a"/>`))
	f.Add(2, "//primitive", true, []byte(`<primitive id="d1" x="x++"/>`))
	f.Add(3, "", false, []byte(base))
	f.Add(4, "//*[@id]", true, []byte(``))
	f.Add(8, "", false, []byte(`<diff format="2"><change operation="delete" path="/cib/status"/></diff>`))
	doc := parse(f, base)
	sum := doc.Sum()
	f.Fuzz(func(t *testing.T, op int, section string, isXPath bool, xml []byte) {
		ch := Change{Op: Op(op), Section: section, XPath: isXPath, CanCreate: op&16 != 0, All: op&32 != 0}
		ch.Op &= 15
		if n, err := cibdoc.ParseRecover(xml); err == nil {
			ch.XML = n
		}
		r, err := Apply(doc, Request{Changes: []Change{ch}})
		if doc.Sum() != sum {
			t.Fatal("the old document changed")
		}
		if err != nil {
			if cibdoc.RCOf(err) == cibdoc.OK {
				t.Fatal("an error without a code")
			}
			return
		}
		if !r.Changed {
			return
		}
		if again, err := cibdoc.Parse(r.Doc.Bytes()); err != nil || again.Sum() != r.Doc.Sum() {
			t.Fatalf("the result does not survive the wire: %v\n%s", err, r.Doc.Bytes())
		}
		back, err := patch.Apply(doc, patch.Create(doc, r.Doc, patch.Options{}))
		if err != nil || back.Sum() != r.Doc.Sum() {
			t.Fatalf("patch: %v", err)
		}
	})
}
