package cibdoc

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
)

// source is the document of cib 6.5, target the one that 5.3.1 leads to.
const source = `<cib crm_feature_set="3.16.1" validate-with="pacemaker-3.9" epoch="5" num_updates="7" admin_epoch="1"><configuration><crm_config><cluster_property_set id="cib-bootstrap-options"><nvpair id="cib-bootstrap-options-stonith-enabled" name="stonith-enabled" value="false"/></cluster_property_set></crm_config><nodes><node id="1" uname="node1"/><node id="2" uname="node2"/></nodes><resources><primitive id="d1" class="ocf" provider="pacemaker" type="Dummy"/><primitive id="d2" class="ocf" provider="pacemaker" type="Dummy"/><primitive id="d3" class="ocf" provider="pacemaker" type="Dummy"><meta_attributes id="d3-meta"><nvpair id="d3-meta-target-role" name="target-role" value="Started"/></meta_attributes></primitive></resources><constraints/></configuration><status/></cib>`

func TestDigests(t *testing.T) {
	for _, tc := range []struct{ name, in, disk, versioned string }{
		{"V1", `<a/>`, "36f3fe87323978c81376fbe84b315483", "36f3fe87323978c81376fbe84b315483"},
		{"V2", `<cib/>`, "9da2e159fcd5d580a06068e4ba442380", "9da2e159fcd5d580a06068e4ba442380"},
		{"V3", `<cib crm_feature_set="3.0.5"/>`, "19fdfab031a8f5e77d777d96943a692f", "f013ff8b66ad9227117087189001c992"},
		{"V4", `<cib crm_feature_set="3.0.4"/>`, "a894d55aada7a8f02ad0f5c973875cbb", "a894d55aada7a8f02ad0f5c973875cbb"},
		{"V5", `<cib crm_feature_set="3.16.1" b="2" a="1"><x id="1"/><y>text</y><!--c--></cib>`, "dc705a857dd3dbeb8a6ba7d50f4675c2", "86fe5eae4b28a903c6190c5699c216c3"},
		{"V6", `<cib crm_feature_set="3.16.1" b="2" a="1" cib-last-written="x" update-origin="o" update-client="c" update-user="u" origin="z"><x id="1"/></cib>`, "9d51d112d5e84eb46c8288e566edebd8", "d93b012012e0ebca2d465755ce1d0b5b"},
		{"V7", `<cib crm_feature_set="3.16.1" b="2" a="1"><x id="1"/></cib>`, "8fd7df7a3e025d41da4066a83256bd4c", "50df49a267b34d6706c18741ae058b84"},
		{"V8", `<cib crm_feature_set="3.16.1" v="a&lt;b&gt;&amp;&quot;&apos;c&#9;d&#10;e&#13;f" w=""/>`, "321c72d3603853804b37789a75919756", "a345185c1cd0d844a81a77fde0d1c365"},
		{"V10", `<cib crm_feature_set="3.16.1" u="café &lt;x&gt;"/>`, "de260d02a8da7cabcb58d9e22db54560", "13e8d7cf7227a0957c506a7344aa6341"},
		{"V11", `<cib crm_feature_set="3.16.1" u="&lt;é&lt;"/>`, "e3da51dbf151a074966c36df0235a778", "2a7131b7828b6ebecad942ee6d29e208"},
		{"V12", `<cib crm_feature_set="3.16.1" dc-uuid="1" have-quorum="1"><a origin="k" b="1"/></cib>`, "3d356b881a7aa4bed60089eaedbddd01", "a824664d386bc22f5d25110560ee3d0c"},
		{"V13", "<cib crm_feature_set=\"3.16.1\" t=\"x~\x7fz\"/>", "", "cdc298c043ad133e33f46b8a3ec7d75a"},
		{"V14", `<cib crm_feature_set="3.16.1" t="a &#233; b &#8364; &lt;"/>`, "", "520fb73e7d54eaef309bc7af31faac35"},
		{"V15", `<cib crm_feature_set="3.16.1"><a z="1" b="2"><!-- hi --><?pi x?><c><![CDATA[q<]]></c></a></cib>`, "", "34a5f8db5bef7f408041508fd7f10505"},
		{"V16", source, "3c2503a6de4fbc9ba28b4aaa788c3824", "8ca643db7f7028d34b5128b425116080"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d, err := Parse([]byte(tc.in))
			if err != nil {
				t.Fatal(err)
			}
			again, err := Parse(d.Bytes())
			if err != nil || again.Sum() != d.Sum() || again.Digest() != d.Digest() {
				t.Errorf("read back: %v", err)
			}
			if got := d.DiskDigest(); got != tc.disk && tc.disk != "" {
				t.Errorf("on-disk digest %s, want %s", got, tc.disk)
			}
			if got := d.Digest(); got != tc.versioned && tc.versioned != "" {
				t.Errorf("versioned digest %s, want %s", got, tc.versioned)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"nothing", ``, "line 1: there is no element"},
		{"open", "<a>\n<b>\n", "line 3: the text ends inside <b> of line 2"},
		{"crossed", `<a><b></a></b>`, `</a> where </b> is expected`},
		{"second root", `<a/><b/>`, "second root"},
		{"text beside", `<a/>x`, "outside"},
		{"no value", `<a b/>`, "has no value"},
		{"no quotes", `<a b=c/>`, "not in quotes"},
		{"twice", `<a b="1" b="2"/>`, "given twice"},
		{"unknown entity", `<a b="&x;"/>`, "write &amp;"},
		{"less in value", `<a b="<"/>`, "write &lt;"},
		{"null", `<a b="&#0;"/>`, "unknown reference"},
		{"control character", "<a b=\"\x01\"/>", "control character"},
		{"entities of its own", `<!DOCTYPE a [<!ENTITY x "y">]><a/>`, "document type"},
		{"not UTF-8", "<a b=\"\xff\"/>", "UTF-8"},
		{"too deep", strings.Repeat("<a>", 300), "more than 256 levels"},
		{"too many attributes", manyAttributes(100_000), "<a> has more than 1024 attributes"},
		{"no blank", `<a b="1"c="2"/>`, "not separated"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := Parse([]byte(tc.in)); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
}

// manyAttributes is an element with n different attributes.
func manyAttributes(n int) string {
	var b strings.Builder
	b.WriteString("<a")
	for i := range n {
		fmt.Fprintf(&b, ` a%d="x"`, i)
	}
	return b.String() + "/>"
}

func TestParseRecoverKeepsTheFirstAttributes(t *testing.T) {
	n, err := ParseRecover([]byte(manyAttributes(100_000)))
	if err != nil || len(n.Attrs) != maxAttrs {
		t.Errorf("%d attributes, %v; want the first %d", len(n.Attrs), err, maxAttrs)
	}
}

func TestParseRecover(t *testing.T) {
	for in, want := range map[string]string{
		`<group id="g">`:           `<group id="g"/>`,
		`<broken`:                  `<broken/>`,
		`<a b="1"\/> x`:            `<a b="1"/>`,
		`<a><b></a>`:               `<a><b/></a>`,
		`<a b=1 c="2"><d></x></a>`: `<a c="2"><d/></a>`,
		`<a b="x & y"/>`:           `<a b="x &amp; y"/>`,
	} {
		n, err := ParseRecover([]byte(in))
		if err != nil || string(n.Bytes()) != want {
			t.Errorf("%s: %v %s, want %s", in, err, n.Bytes(), want)
		}
	}
	if _, err := ParseRecover([]byte("no XML")); err == nil {
		t.Error("made an element out of nothing")
	}
}

func TestPrint(t *testing.T) {
	d, err := Parse([]byte("<?xml version=\"1.0\"?><cib t=\"a'b&#10;c\td\" e=\"\"><!-- c --><b>text</b><c x=\"é&lt;\"><d/></c></cib>"))
	if err != nil {
		t.Fatal(err)
	}
	const want = "<cib t=\"a&apos;b\\nc d\" e=\"\">\n  <!-- c -->\n  <b/>\n  <c x=\"é&lt;\">\n    <d/>\n  </c>\n</cib>\n"
	if got := string(d.Print()); got != want {
		t.Errorf("%s", got)
	}
	if again, err := Parse(d.File()); err != nil || again.Sum() != d.Sum() {
		t.Errorf("the stored form does not read back: %v\n%s", err, d.File())
	}
}

func TestEmpty(t *testing.T) {
	const want = `<cib crm_feature_set="3.16.1" validate-with="pacemaker-3.9" epoch="1" num_updates="0" admin_epoch="0">
  <configuration>
    <crm_config/>
    <nodes/>
    <resources/>
    <constraints/>
  </configuration>
  <status/>
</cib>
`
	if got := string(Empty(1).Print()); got != want {
		t.Errorf("%s", got)
	}
}

func TestEditLeavesTheOldOne(t *testing.T) {
	d, err := Parse([]byte(source))
	if err != nil {
		t.Fatal(err)
	}
	before := string(d.Bytes())
	e := d.Edit()
	p, ok := SectionPath(d.Root(), "nodes")
	if !ok {
		t.Fatal("no nodes")
	}
	e.Own(append(p, 0)).SetAttr("uname", "other")
	e.Own(p).RemoveAt(1)
	e.Own(p).Insert(0, E("node", "id", "0"))
	n := e.Doc()
	if string(d.Bytes()) != before {
		t.Error("the old document changed")
	}
	if got := string(n.Section("nodes").Bytes()); got != `<nodes><node id="0"/><node id="1" uname="other"/></nodes>` {
		t.Errorf("%s", got)
	}
	defer func() {
		if recover() == nil {
			t.Error("a published node was changed")
		}
	}()
	n.Root().SetAttr("x", "y")
}

func TestPositionsInXPath(t *testing.T) {
	d, err := Parse([]byte(source))
	if err != nil {
		t.Fatal(err)
	}
	for x, want := range map[string]string{
		"//primitive[2]":                     "d2",
		"//primitive[last()]":                "d3",
		"/cib/configuration/nodes/node[1]":   "1",
		"//primitive[position()=3]":          "d3",
		"//primitive[@id='d2'][1]":           "refused",
		"//primitive[last() and @id]":        "refused",
		"//*[nvpair[1]]":                     "refused",
		"//primitive[@id='[2]'] | //node[2]": "2",
	} {
		found, err := d.Select(x)
		got := "refused"
		if err == nil && len(found) == 1 {
			got = found[0].Node.ID()
		}
		if got != want {
			t.Errorf("%s: %s (%v %v), want %s", x, got, found, err, want)
		}
	}
}

func TestCompareFeatureSets(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want int
	}{{"3.16.1", "3.16.1", 0}, {"3.2.0", "3.16.1", -1}, {"3.17", "3.16.9", 1}, {"", "3.0.5", -1}, {"3.16", "3.16.0", 0}} {
		if got := CompareFeatureSets(tc.a, tc.b); (got > 0) != (tc.want > 0) || (got < 0) != (tc.want < 0) {
			t.Errorf("%s and %s: %d", tc.a, tc.b, got)
		}
	}
}

// FuzzParse holds the scanner against encoding/xml: what the scanner takes,
// that takes, too, with the same elements and attributes; and what was taken
// can be written and read again.
func FuzzParse(f *testing.F) {
	f.Add([]byte(source))
	f.Add([]byte(`<a b='x&#10;&quot;'><!--c--><![CDATA[d]]><?p i?></a>`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, err := ParseRecover(b); err == nil {
			New(n).Digest()
		}
		d, err := Parse(b)
		if err != nil {
			return
		}
		again, err := Parse(d.Bytes())
		if err != nil || again.Sum() != d.Sum() {
			t.Fatalf("written and read again: %v\n%s", err, d.Bytes())
		}
		ours, theirs := 0, 0
		d.Root().Walk(func(_ Path, n *Node) bool {
			if n.Kind == KindElement {
				ours += 1 + len(n.Attrs)
			}
			return true
		})
		dec := xml.NewDecoder(strings.NewReader(string(d.Bytes())))
		for {
			tok, err := dec.RawToken()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return // stricter about names, which need not concern us
			}
			if s, ok := tok.(xml.StartElement); ok {
				theirs += 1 + len(s.Attr)
			}
		}
		if ours != theirs {
			t.Fatalf("%d elements and attributes, encoding/xml sees %d in %s", ours, theirs, d.Bytes())
		}
	})
}

// One compiled expression serves many clients at once.
func TestExpressionsAreSharedSafely(t *testing.T) {
	doc, err := Parse([]byte(`<cib><status><node_state id="1" uname="a"/><node_state id="2" uname="b"/></status></cib>`))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				found, err := doc.Select(`//node_state[@uname='b' or contains(@uname, 'x')]`)
				if err != nil || len(found) != 1 || found[0].Node.ID() != "2" {
					t.Errorf("found %v, %v", found, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// TestQuote: a literal stands for the text that it was made of, whatever is in
// it.
func TestQuote(t *testing.T) {
	for in, want := range map[string]string{
		"": "''", "plain": "'plain'", "it's": `"it's"`, `say "x"`: `'say "x"'`, `both ' and "`: `concat('both ',"'",' and "')`,
	} {
		if got := Quote(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
		doc := New(E("cib").Add(E("a", "n", "other"), E("a", "n", in)))
		if found, err := doc.Select("//a[@n=" + Quote(in) + "]"); err != nil || len(found) != 1 || found[0].Node.Attr("n") != in {
			t.Errorf("%s finds %v, %v", Quote(in), found, err)
		}
	}
}

func TestChildren(t *testing.T) {
	n := E("x").Add(E("a", "id", "1"), E("b"), E("a", "id", "2").Add(E("a", "id", "3")))
	if got := Children(n, "a"); len(got) != 2 || got[0].ID() != "1" || got[1].ID() != "2" {
		t.Errorf("got %v", got)
	}
	if got := Children(nil, "a"); got != nil {
		t.Errorf("of nothing: %v", got)
	}
}
