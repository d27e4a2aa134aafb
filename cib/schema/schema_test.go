package schema

import (
	"slices"
	"strings"
	"testing"

	"linuxha/cib/cibdoc"
)

const valid = `<cib crm_feature_set="3.16.1" validate-with="pacemaker-3.9" epoch="1" num_updates="0" admin_epoch="0">
<configuration>
<crm_config><cluster_property_set id="o"><nvpair id="o1" name="stonith-enabled" value="false"/></cluster_property_set></crm_config>
<nodes><node id="1" uname="a"/></nodes>
<resources>
<primitive id="d1" class="ocf" provider="heartbeat" type="Dummy"><operations><op id="op1" name="monitor" interval="10s"/></operations></primitive>
<group id="g"><primitive id="d2" class="lsb" type="x"/></group>
</resources>
<constraints><rsc_location id="l" rsc="d1" node="a" score="-INFINITY"/><rsc_order id="r" first="d1" then="g"/></constraints>
<tags><tag id="t"><obj_ref id="d1"/></tag></tags>
</configuration>
<status><node_state id="a:b"/><node_state id="d1"/></status></cib>`

func TestValidate(t *testing.T) {
	for _, tc := range []struct{ name, old, new, want string }{
		{"valid", "", "", ""},
		{"unknown schema", "pacemaker-3.9", "pacemaker-4.0", `validate-with="pacemaker-4.0" is no schema; known are pacemaker-1.0 to pacemaker-3.9, and none`},
		{"no schema: not judged", ` validate-with="pacemaker-3.9" epoch="1"`, "", ""},
		{"an old language", "pacemaker-3.9", "pacemaker-0.6", "is in the language of Heartbeat 2.1, which is not served as it stands; `cibadmin --upgrade --force` converts it"},
		{"none accepts anything", "pacemaker-3.9\"", "none\" nonsense=\"1\"", ""},
		{"unknown section", "<constraints>", "<nonsense/><constraints>", `line 9: element nonsense: not allowed in <configuration>; valid there: <rsc_defaults>, <op_defaults>, <constraints>,`},
		{"section of a later version", "pacemaker-3.9", "pacemaker-1.2", `element tags: not allowed in <configuration>; valid there: <rsc_defaults>`},
		{"section missing", `<nodes><node id="1" uname="a"/></nodes>`, "", "element configuration: is not complete: it needs <nodes>"},
		{"section twice", "<constraints>", "<nodes/><constraints>", `element nodes: not allowed in <configuration> at this place or once more`},
		{"element in the wrong place", `<group id="g">`, `<group id="g"><group id="h"/>`, `line 7: element group "h": not allowed in <group>; valid there: <meta_attributes>, <instance_attributes> or <primitive>`},
		{"id twice", `id="d2"`, `id="d1"`, `element primitive "d1": id "d1" is used already by <primitive> in line 6`},
		{"id no name", `id="d2"`, `id="2d"`, `id="2d" is not valid; it must be a name of its own`},
		{"id missing", `<group id="g">`, `<group>`, "attribute id is missing"},
		{"reference to nothing", `first="d1"`, `first="zz"`, `element rsc_order "r": attribute first refers to id "zz", which no element has`},
		{"required attribute", ` name="monitor"`, "", `element op "op1": attribute name is missing`},
		{"score", "-INFINITY", "-INFINITE", `score="-INFINITE" is not valid; it must be a whole number, INFINITY, +INFINITY or -INFINITY`},
		{"enumeration", `first="d1"`, `first="d1" first-action="break"`, `first-action="break" is not valid; it must be start, promote, demote or stop`},
		{"empty group", `<primitive id="d2" class="lsb" type="x"/>`, "", `element group "g": is not complete: it needs <primitive>`},
		{"version no number", `epoch="1"`, `epoch="x"`, `attribute epoch="x" is not valid; it must be a whole number from 0 on`},
		{"second configuration", "<status>", "<configuration/><status>", "element configuration: not allowed in <cib> at this place or once more; valid there: <status>"},
		{"two ways, and both at once", `rsc="d1" node`, `rsc="d1" rsc-pattern="d" node`, `its attributes do not go together; it is valid without attribute rsc or rsc-pattern`},
		{"neither of two ways", `rsc="d1" node`, `node`, `element rsc_location "l": is not complete: it needs <resource_set>; or the element is valid with attribute rsc or rsc-pattern`},
		{"a choice that is not made", ` score="-INFINITY"`, ``, `element rsc_location "l": attribute score is missing`},
		{"an attribute of another element", `uname="a"`, `uname="a" rsc="d1"`, `element node "1": attribute rsc is not known here; others that may be: type, description, score`},
		{"a name space", `<group id="g">`, `<group xmlns="urn:x" id="g">`, `not allowed in <resources>`},
		{"text", `<nodes>`, `<nodes><![CDATA[x]]>`, `element nodes: text is not allowed in it`},
		{"white space around values", `class="ocf"`, `class=" ocf&#10;"`, ""},
		{"a prefix that is declared and not used", `<group id="g">`, `<group xmlns:x="urn:x" id="g">`, ""},
		{"an id beyond ASCII", `id="d2"`, `id="é·日本"`, ""},
		{"an id with a letter that XML 1.0 does not know", `id="d2"`, `id="d𐀀"`, `is not valid; it must be a name`},
		{"not in cib", "<status>", "<other/><status>", "not allowed in <cib>"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			text := strings.Replace(valid, tc.old, tc.new, 1)
			if tc.old != "" && text == valid {
				t.Fatal("the case changes nothing")
			}
			doc, err := cibdoc.Parse([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			err = Error(Validate(doc))
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("%v, want %q", err, tc.want)
			}
			if err != nil && cibdoc.RCOf(err) != cibdoc.RCSchema {
				t.Errorf("code %v", cibdoc.RCOf(err))
			}
		})
	}
}

// TestCompile: the grammar can be read and compiled in all versions.
func TestCompile(t *testing.T) {
	for _, name := range append(slices.Clone(Versions), "pacemaker-next") {
		v, ok := Lookup(name)
		if !ok {
			t.Fatalf("%s is not known", name)
		}
		if _, err := language().compile(v); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestGrammarErrors: a mistake in a grammar is told with its line.
func TestGrammarErrors(t *testing.T) {
	for text, want := range map[string]string{
		"start = <a> { @x":                                "line 1: unexpected the end in a type",
		"start = <a> {\n@x nosuch }":                      "line 2: nosuch is no type",
		"start = <a> { nosuch }":                          "line 1: nosuch is not defined",
		"start = <a> { b(c) }\nb = c":                     "line 1: b wants 0 arguments, not 1",
		"start = <a> { @x \"y }":                          "line 1: \" without its end",
		"start = <a> { b, c & d }":                        "use parentheses",
		"start = <a> { @x /(/ }":                          "missing closing",
		"start = <a> { @x text [of 1] }":                  "of is no version",
		"start = empty":                                   "there is no start",
		"a = empty a = empty":                             "a is defined twice",
		"start = <a> { <b> { empty } | <b> { @x text } }": "<b> would be two different elements in <a>",
		"start = <a> { ! }":                               "unexpected",
	} {
		g, err := readGrammar(text)
		if err == nil {
			_, err = g.compile(Version{Major: 1})
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// TestUnnamed: each schema is asked.
func TestUnnamed(t *testing.T) {
	text := strings.Replace(valid, ` validate-with="pacemaker-3.9"`, "", 1)
	if got := Best(parse(t, text)); got != "pacemaker-3.9" {
		t.Errorf("best %q", got)
	}
	text = strings.Replace(text, `first="d1"`, `first="d1" first-action="break"`, 1)
	lines := 0
	for _, p := range Unnamed(parse(t, text)) {
		lines += strings.Count(strings.Join(p.ReferenceLines("f"), "\n"), "Invalid attribute first-action for element rsc_order")
	}
	if lines != 25 {
		t.Errorf("%d lines, want one of each schema", lines)
	}
}

func TestLookup(t *testing.T) {
	for name, want := range map[string]bool{
		"none": true, "pacemaker-next": true, "pacemaker-1.0": true, "pacemaker-2.10": true, "pacemaker-3.9": true,
		"pacemaker-1.1": false, "Pacemaker-3.9": false, "pacemaker-3.10": false, "": false,
	} {
		if _, ok := Lookup(name); ok != want {
			t.Errorf("%q known: %v", name, ok)
		}
	}
	if v, _ := Lookup("pacemaker-2.10"); !v.AtLeast(2, 9) || v.AtLeast(3, 0) {
		t.Errorf("%+v", v)
	}
}
