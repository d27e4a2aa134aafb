package patch

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"linuxha/cib/cibdoc"
)

func parse(t testing.TB, s string) *cibdoc.Doc {
	t.Helper()
	d, err := cibdoc.Parse([]byte(s))
	if err != nil {
		t.Fatalf("%v in %s", err, s)
	}
	return d
}

const example = `<cib crm_feature_set="3.16.1" validate-with="pacemaker-3.9" epoch="5" num_updates="7" admin_epoch="1"><configuration><crm_config><cluster_property_set id="cib-bootstrap-options"><nvpair id="cib-bootstrap-options-stonith-enabled" name="stonith-enabled" value="false"/></cluster_property_set></crm_config><nodes><node id="1" uname="node1"/><node id="2" uname="node2"/></nodes><resources><primitive id="d1" class="ocf" provider="pacemaker" type="Dummy"/><primitive id="d2" class="ocf" provider="pacemaker" type="Dummy"/><primitive id="d3" class="ocf" provider="pacemaker" type="Dummy"><meta_attributes id="d3-meta"><nvpair id="d3-meta-target-role" name="target-role" value="Started"/></meta_attributes></primitive></resources><constraints/></configuration><status/></cib>`

const examplePatch = `<diff format="2">
  <version>
    <source admin_epoch="1" epoch="5" num_updates="7"/>
    <target admin_epoch="1" epoch="6" num_updates="0"/>
  </version>
  <change operation="delete" path="/cib/configuration/nodes/node[@id=&apos;2&apos;]"/>
  <change operation="modify" path="/cib">
    <change-list>
      <change-attr name="epoch" operation="set" value="6"/>
      <change-attr name="num_updates" operation="set" value="0"/>
    </change-list>
    <change-result>
      <cib crm_feature_set="3.16.1" validate-with="pacemaker-3.9" epoch="6" num_updates="0" admin_epoch="1"/>
    </change-result>
  </change>
  <change operation="modify" path="/cib/configuration/crm_config/cluster_property_set[@id=&apos;cib-bootstrap-options&apos;]/nvpair[@id=&apos;cib-bootstrap-options-stonith-enabled&apos;]">
    <change-list>
      <change-attr name="value" operation="set" value="true"/>
    </change-list>
    <change-result>
      <nvpair id="cib-bootstrap-options-stonith-enabled" name="stonith-enabled" value="true"/>
    </change-result>
  </change>
  <change operation="modify" path="/cib/configuration/resources/primitive[@id=&apos;d3&apos;]/meta_attributes[@id=&apos;d3-meta&apos;]/nvpair[@id=&apos;d3-meta-target-role&apos;]">
    <change-list>
      <change-attr name="value" operation="unset"/>
    </change-list>
    <change-result>
      <nvpair id="d3-meta-target-role" name="target-role"/>
    </change-result>
  </change>
  <change operation="move" path="/cib/configuration/resources/primitive[@id=&apos;d3&apos;]" position="1"/>
  <change operation="move" path="/cib/configuration/resources/primitive[@id=&apos;d2&apos;]" position="2"/>
  <change operation="create" path="/cib/configuration/constraints" position="0">
    <rsc_location id="l1" rsc="d1" node="node1" score="INFINITY"/>
  </change>
</diff>
`

// TestExample is cib 5.3.1, both ways, with the digest V17 of cib 6.4.
func TestExample(t *testing.T) {
	old := parse(t, example)
	diff, err := cibdoc.ParseNode([]byte(examplePatch))
	if err != nil {
		t.Fatal(err)
	}
	if err := Check(old, diff); err != nil {
		t.Fatal(err)
	}
	got, err := Apply(old, diff)
	if err != nil {
		t.Fatal(err)
	}
	if got.Digest() != "7029ba18ad5b0e190c7f0bd7ea343e5c" {
		t.Errorf("digest %s after applying; the document is\n%s", got.Digest(), got.Print())
	}
	if again := string(Create(old, got, Options{}).Print()); again != examplePatch {
		t.Errorf("created patch differs:\n%s", again)
	}
}

func TestCreate(t *testing.T) {
	wrap := func(s string) string {
		return `<cib crm_feature_set="3.16.1"><configuration>` + s + `</configuration></cib>`
	}
	for _, tc := range []struct{ name, old, new, want string }{
		{
			"moves, 5.3.2", `<a id="1"/><a id="2"/><a id="3"/><a id="4"/>`, `<a id="4"/><a id="n1"/><a id="1"/><a id="n2"/><a id="3"/>`,
			"delete a[2]; move a[4] 0; create 1 a n1; move a[1] 2; create 3 a n2",
		},
		{
			"comments, 5.3.3", `<!--one--><a id="x" p="1" q="2"/><!--two--><b/>`, `<a id="x" q="2" p="1"/><!--two--><b r="1"/><!--three--><c/>`,
			"delete comment 0; modify a[x] q=2 p=1; modify b r=1; create 3 three; create 4 c",
		},
		{"first of three deleted", `<a id="1"/><a id="2"/><a id="3"/>`, `<a id="2"/><a id="3"/>`, "delete a[1]"},
		{"siblings that cannot be told apart", `<a v="1"/><a v="2"/>`, `<a v="1"/><a v="3"/>`, "delete a; delete a; create 0 a; create 1 a"},
		{"attribute set and unset", `<a id="1" p="1" q="2"/>`, `<a id="1" q="3"/>`, "modify a[1] q=3 -p"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			old, new := parse(t, wrap(tc.old)), parse(t, wrap(tc.new))
			diff := Create(old, new, Options{NoVersion: true})
			if got := brief(diff); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
			back, err := Apply(old, diff)
			if err != nil || back.Sum() != new.Sum() {
				t.Errorf("applied: %v\n%s", err, back.Print())
			}
		})
	}
}

func brief(diff *cibdoc.Node) string {
	var out []string
	for ch := range diff.Elements() {
		path := strings.TrimPrefix(ch.Attr("path"), "/cib/configuration")
		path = strings.NewReplacer("/", "", "@id='", "", "'", "").Replace(path)
		s := strings.TrimSpace(ch.Attr("operation") + " " + path)
		if p, ok := ch.Get("position"); ok {
			s += " " + p
		}
		for _, c := range ch.Children {
			switch c.Tag {
			case "change-list":
				for a := range c.Elements() {
					if a.Attr("operation") == "unset" {
						s += " -" + a.Attr("name")
					} else {
						s += " " + a.Attr("name") + "=" + a.Attr("value")
					}
				}
			case "change-result":
			default:
				s += strings.TrimRight(" "+c.Tag+c.Text+" "+c.ID(), " ")
			}
		}
		out = append(out, s)
	}
	return strings.Join(out, "; ")
}

func TestApplyRefuses(t *testing.T) {
	old := parse(t, `<cib admin_epoch="1" epoch="5" num_updates="7"><a id="1"/></cib>`)
	version := func(s, t string) string {
		return fmt.Sprintf(`<version><source admin_epoch="1" %s/><target admin_epoch="1" %s/></version>`, s, t)
	}
	for _, tc := range []struct {
		name, diff string
		want       cibdoc.RC
	}{
		{"source newer", version(`epoch="5" num_updates="8"`, `epoch="6" num_updates="0"`), cibdoc.RCDiffResync},
		{"source older", version(`epoch="5" num_updates="6"`, `epoch="6" num_updates="0"`), cibdoc.RCOldData},
		{"no step forward", version(`epoch="5" num_updates="7"`, `epoch="5" num_updates="7"`), cibdoc.RCOldData},
		{"right source", version(`epoch="5" num_updates="7"`, `epoch="6" num_updates="0"`), cibdoc.OK},
		{"element missing", `<change operation="modify" path="/cib/b"><change-result><b/></change-result></change>`, cibdoc.RCDiffFailed},
		{"deleted already", `<change operation="delete" path="/cib/b"/>`, cibdoc.OK},
		{"unknown operation", `<change operation="paint" path="/cib/a[@id='1']"/>`, cibdoc.RCDiffFailed},
		{"no result", `<change operation="modify" path="/cib/a[@id='1']"/>`, cibdoc.RCNoMessage},
		{"move out of range", `<change operation="move" path="/cib/a[@id='1']" position="1"/>`, cibdoc.RCDiffFailed},
		{"move of the root", `<change operation="move" path="/cib" position="0"/>`, cibdoc.RCDiffFailed},
		{"delete of the root", `<change operation="delete" path="/cib"/>`, cibdoc.RCDiffFailed},
		{"bad position", `<change operation="create" path="/cib" position="x"><b/></change>`, cibdoc.RCDiffFailed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			diff, err := cibdoc.ParseNode([]byte(`<diff format="2">` + tc.diff + `</diff>`))
			if err != nil {
				t.Fatal(err)
			}
			err = Check(old, diff)
			if err == nil {
				_, err = Apply(old, diff)
			}
			if got := cibdoc.RCOf(err); got != tc.want {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
	bad, _ := cibdoc.ParseNode([]byte(`<diff format="2" digest="00"/>`))
	if _, err := Apply(old, bad); !errors.Is(err, cibdoc.RCDiffFailed) {
		t.Errorf("wrong digest: %v", err)
	}
}

func TestFormat1(t *testing.T) {
	old := parse(t, `<cib epoch="1" num_updates="2" admin_epoch="0"><configuration><nodes><node id="1" uname="a"/><node id="2" uname="b"/></nodes><crm_config/></configuration></cib>`)
	diff, err := cibdoc.ParseNode([]byte(`<diff crm_feature_set="3.0.6" format="1">
	<diff-removed admin_epoch="0" epoch="1" num_updates="2"><cib epoch="1" num_updates="2"><configuration><nodes><node id="1" uname="a"/><node id="2" __crm_diff_marker__="removed:top"/></nodes></configuration></cib></diff-removed>
	<diff-added admin_epoch="0" epoch="2" num_updates="0"><cib epoch="2" num_updates="0" admin_epoch="0"><configuration><nodes><node id="1" uname="c"/><node id="3" uname="n" __crm_diff_marker__="added:top"/></nodes></configuration></cib></diff-added></diff>`))
	if err != nil {
		t.Fatal(err)
	}
	if err := Check(old, diff); err != nil {
		t.Fatal(err)
	}
	got, err := Apply(old, diff)
	if err != nil {
		t.Fatal(err)
	}
	want := `<node id="1" uname="c"/><node id="3" uname="n"/>`
	if v := got.Version(); v != (cibdoc.Version{AdminEpoch: 0, Epoch: 2}) || !strings.Contains(string(got.Bytes()), "<nodes>"+want+"</nodes>") {
		t.Errorf("version %v, document %s", v, got.Bytes())
	}
	twice, _ := cibdoc.ParseNode([]byte(`<diff><diff-removed><a/><b/></diff-removed><diff-added/></diff>`))
	if _, err := Apply(old, twice); !errors.Is(err, cibdoc.RCNotUnique) {
		t.Errorf("two top elements: %v", err)
	}
}

// genNode makes trees with few different tags and ids, so that matches,
// moves and ambiguous siblings are frequent.
func genNode(t *rapid.T, depth int) *cibdoc.Node {
	if rapid.IntRange(0, 9).Draw(t, "kind") == 0 {
		return cibdoc.Comment(rapid.SampledFrom([]string{"x", "y", "z"}).Draw(t, "comment"))
	}
	n := cibdoc.E(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "tag"))
	for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"id", "p", "q", "r"}), 0, 4, rapid.ID[string]).Draw(t, "attrs") {
		n.SetAttr(name, rapid.SampledFrom([]string{"1", "2", "3", "a'b", "a/b", "x']", "\n<&\""}).Draw(t, "value"))
	}
	if depth > 0 {
		for range rapid.IntRange(0, 6).Draw(t, "children") {
			n.Add(genNode(t, depth-1))
		}
	}
	return n
}

func genDoc(t *rapid.T) *cibdoc.Doc {
	root := cibdoc.E("cib", "epoch", "1", "x", rapid.SampledFrom([]string{"1", "2"}).Draw(t, "x"))
	for range rapid.IntRange(0, 6).Draw(t, "children") {
		root.Add(genNode(t, 2))
	}
	return cibdoc.New(root)
}

// TestRoundTrip: what Create makes, Apply undoes, also after the patch went
// over a wire, and the documents it worked on stay as they were.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := genDoc(t), genDoc(t)
		before := string(a.Bytes())
		diff := Create(a, b, Options{Digest: true})
		if diff == nil {
			if a.Sum() != b.Sum() {
				t.Fatal("no patch between different documents")
			}
			return
		}
		sent, err := cibdoc.ParseNode(diff.Bytes())
		if err != nil {
			t.Fatalf("%v in %s", err, diff.Bytes())
		}
		got, err := Apply(a, sent)
		if err != nil {
			t.Fatalf("%v\nold  %s\nnew  %s\ndiff %s", err, a.Bytes(), b.Bytes(), diff.Print())
		}
		if got.Sum() != b.Sum() || got.Digest() != b.Digest() {
			t.Fatalf("old  %s\nnew  %s\ngot  %s\ndiff %s", a.Bytes(), b.Bytes(), got.Bytes(), diff.Print())
		}
		if string(a.Bytes()) != before {
			t.Fatal("Apply changed the old document")
		}
	})
}

func FuzzApply(f *testing.F) {
	f.Add([]byte(examplePatch))
	f.Add([]byte(`<diff><diff-removed/><diff-added><cib a="1"/></diff-added></diff>`))
	doc := parse(f, example)
	sum := doc.Sum()
	f.Fuzz(func(t *testing.T, b []byte) {
		diff, err := cibdoc.ParseRecover(b)
		if err != nil {
			return
		}
		got, err := Apply(doc, diff)
		if err == nil {
			if again, perr := cibdoc.Parse(got.Bytes()); perr != nil || again.Sum() != got.Sum() {
				t.Errorf("result cannot be read back: %v", perr)
			}
		}
		if doc.Sum() != sum {
			t.Error("the document changed")
		}
	})
}

func TestCreateLegacy(t *testing.T) {
	old := `<cib crm_feature_set="3.0.6" epoch="5" num_updates="7" admin_epoch="0"><configuration q="1"><a id="1" x="1"><b id="2"/></a><a id="3"/></configuration><status/></cib>`
	for _, c := range []struct{ name, new, want string }{
		{
			"configuration", `<cib crm_feature_set="3.0.6" epoch="6" num_updates="0" admin_epoch="0"><configuration q="1"><a id="1" x="2" y="3"><b id="2"/><c id="9"><d id="10"/></c></a><!--new--></configuration><status/></cib>`,
			`<diff-removed admin_epoch="0" epoch="5" num_updates="7"><cib epoch="5" num_updates="7" admin_epoch="0"><configuration><a id="1" x="1"/><a id="3" __crm_diff_marker__="removed:top"/></configuration></cib></diff-removed>` +
				`<diff-added admin_epoch="0" epoch="6" num_updates="0"><cib crm_feature_set="3.0.6" epoch="6" num_updates="0" admin_epoch="0"><configuration q="1"><a id="1" x="2" y="3"><c id="9" __crm_diff_marker__="added:top"><d id="10"/></c></a><!--new--></configuration></cib></diff-added></diff>`,
		},
		{
			"status", strings.Replace(old, "<status/>", `<status a="1"/>`, 1),
			`<diff-removed admin_epoch="0" epoch="5" num_updates="7"><cib num_updates="7"/></diff-removed>` +
				`<diff-added admin_epoch="0" epoch="5" num_updates="7"><cib crm_feature_set="3.0.6" epoch="5" num_updates="7" admin_epoch="0"><status a="1"/></cib></diff-added></diff>`,
		},
	} {
		a, b := parse(t, old), parse(t, c.new)
		if !Legacy(a) {
			t.Error("feature set 3.0.6 is not taken for an old one")
		}
		diff := CreateLegacy(a, b, Options{})
		if got := string(cibdoc.New(diff).Bytes()); got != `<diff crm_feature_set="`+cibdoc.FeatureSet+`" format="1" digest="`+b.Digest()+`">`+c.want {
			t.Errorf("%s:\n%s", c.name, got)
		}
	}
	if Legacy(parse(t, `<cib crm_feature_set="3.0.9"/>`)) || !Legacy(parse(t, `<cib/>`)) {
		t.Error("format 1 is for 3.0.8, older ones and what names none")
	}
}

// What has no comments and whose elements keep their order survives format 1.
func TestLegacyRoundTrip(t *testing.T) {
	old := parse(t, `<cib epoch="1" num_updates="2" admin_epoch="0"><configuration><a id="1" x="1" y="2"><b id="2"/></a><c/></configuration></cib>`)
	for _, text := range []string{
		`<cib epoch="1" num_updates="3" admin_epoch="0"><configuration><a id="1" x="1" y="2"><b id="2"/></a><c/></configuration></cib>`,
		`<cib epoch="2" num_updates="0" admin_epoch="0"><configuration><a id="1" y="2"><b id="2"/></a><c/></configuration></cib>`,
		`<cib epoch="2" num_updates="0" admin_epoch="0"><configuration><a id="1" y="3"><b id="2" z="1"/></a></configuration></cib>`,
		`<cib epoch="2" num_updates="0" admin_epoch="0"><configuration><c/><d id="5"><e/></d></configuration></cib>`,
	} {
		want := parse(t, text)
		got, err := Apply(old, CreateLegacy(old, want, Options{}))
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if got.Digest() != want.Digest() {
			t.Errorf("%s:\n%s", text, got.Bytes())
		}
	}
}
