package schema

import (
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
		{"unknown schema", "pacemaker-3.9", "pacemaker-4.0", `unknown schema validate-with="pacemaker-4.0"`},
		{"no schema: one that fits is enough", ` validate-with="pacemaker-3.9"`, "", ""},
		{"no schema and none fits", ` validate-with="pacemaker-3.9" epoch="1"`, "", "attribute validate-with is missing"},
		{"none accepts anything", "pacemaker-3.9\"", "none\" nonsense=\"1\"", ""},
		{"unknown section", "<constraints>", "<nonsense/><constraints>", `line 9: element nonsense: no section of pacemaker-3.9; valid are`},
		{"section of a later version", "pacemaker-3.9", "pacemaker-1.2", `element tags: no section of pacemaker-1.2`},
		{"section missing", `<nodes><node id="1" uname="a"/></nodes>`, "", "section <nodes> is missing"},
		{"section twice", "<constraints>", "<nodes/><constraints>", "the section is there twice"},
		{"element in the wrong place", `<group id="g">`, `<group id="g"><group id="h"/>`, `line 7: element group "h": not allowed in <group>; valid are`},
		{"id twice", `id="d2"`, `id="d1"`, `element primitive "d1": id "d1" is used already by <primitive> in line 6`},
		{"id no name", `id="d2"`, `id="2d"`, `id "2d" is no valid name`},
		{"id missing", `<group id="g">`, `<group>`, "attribute id is missing"},
		{"reference to nothing", `first="d1"`, `first="zz"`, `element rsc_order "r": attribute first refers to id "zz", which does not exist`},
		{"required attribute", ` name="monitor"`, "", `element op "op1": attribute name is missing`},
		{"score", "-INFINITY", "-INFINITE", `score="-INFINITE" is no score`},
		{"enumeration", `first="d1"`, `first="d1" first-action="break"`, `first-action="break" is not one of demote, promote, start, stop`},
		{"empty group", `<primitive id="d2" class="lsb" type="x"/>`, "", `element group "g": needs at least one of primitive, has 0`},
		{"version no number", `epoch="1"`, `epoch="x"`, `attribute epoch must be a number`},
		{"second configuration", "<status>", "<configuration/><status>", "second <configuration>"},
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
