package schema

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"linuxha/cib/cibdoc"
)

// verdict is a piece of configuration and the versions in which it is valid,
// from and to included; "" and "" for never.
type verdict struct {
	name, where, xml string
	from, to         string
}

const all, newest = "1.0", "next"

// verdicts are the borders between versions and the corners of the language,
// among them those at which a validator of ours once differed from the
// reference. TestVerdictsAgainstReference holds the table to the reference.
var verdicts = []verdict{
	{"template of a service", "resources", `<template id="t" class="service" type="x"/>`, "2.7", newest},
	{"template of systemd", "resources", `<template id="t" class="systemd" type="x"/>`, "2.7", newest},
	{"template of lsb", "resources", `<template id="t" class="lsb" type="x"/>`, "1.2", newest},
	{"template without class", "resources", `<template id="t" type="x"/>`, "", ""},
	{"primitive of a service", "resources", `<primitive id="t" class="service" type="x"/>`, "1.2", newest},
	{"primitive of a template", "resources", `<primitive id="t" template="d"/>`, "1.2", newest},
	{"primitive of a template and a type", "resources", `<primitive id="t" template="d" type="x"/>`, "", ""},
	{"ocf without provider", "resources", `<primitive id="t" class="ocf" type="x"/>`, "", ""},
	{"lsb with provider", "resources", `<primitive id="t" class="lsb" provider="p" type="x"/>`, "", ""},
	{"utilization", "resources", `<primitive id="t" class="lsb" type="x"><utilization id="u"/></primitive>`, "1.2", newest},
	{"operations by reference", "resources", `<primitive id="t" class="lsb" type="x"><operations id-ref="d"/></primitive>`, all, newest},
	{"on-fail restart-container", "op", `on-fail="restart-container"`, "1.2", newest},
	{"on-fail demote", "op", `on-fail="demote"`, "3.4", newest},
	{"requires", "op", `requires="fencing"`, all, "2.10"},
	{"requires unfencing", "op", `requires="unfencing"`, "1.3", "2.10"},
	{"role Promoted of an operation", "op", `role="Promoted"`, "3.7", newest},
	{"both of a delay", "op", `start-delay="1" interval-origin="2"`, "", ""},
	{"requires in meta-attributes of an operation", "in op", `<meta_attributes id="m"><nvpair id="n" name="requires" value="x"/></meta_attributes>`, all, "2.10"},
	{"timeout in parameters of an operation", "in op", `<instance_attributes id="m"><nvpair id="n" name="timeout" value="x"/></instance_attributes>`, all, newest},
	{"isolation", "in primitive", `<meta_attributes id="m"><nvpair id="n" name="isolation" value="x"/></meta_attributes>`, all, "2.10"},
	{"isolation with blanks", "in primitive", `<meta_attributes id="m"><nvpair id="n" name=" isolation" value="x"/></meta_attributes>`, all, "2.10"},
	{"nvpair by reference", "in primitive", `<meta_attributes id="m"><nvpair id-ref="d"/></meta_attributes>`, "1.3", newest},
	{"nvpair by reference with a value", "in primitive", `<meta_attributes id="m"><nvpair id-ref="d" value="1"/></meta_attributes>`, "", ""},
	{"set with two rules", "in primitive", `<meta_attributes id="m"><rule id-ref="d"/><rule id-ref="d"/></meta_attributes>`, "", ""},
	{"rule without score", "in primitive", `<meta_attributes id="m"><rule id="r"><expression id="e" attribute="a" operation="defined"/></rule></meta_attributes>`, "3.9", newest},
	{"rule with both scores", "in primitive", `<meta_attributes id="m"><rule id="r" score="1" score-attribute="x"><expression id="e" attribute="a" operation="defined"/></rule></meta_attributes>`, "", ""},
	{"empty rule", "in primitive", `<meta_attributes id="m"><rule id="r" score="1"/></meta_attributes>`, "", ""},
	{"value-source", "in primitive", rulePart(`<expression id="e" attribute="a" operation="eq" value="1" value-source="param"/>`), "2.9", newest},
	{"value-source in options", "crm_config", optionRule(`<expression id="e" attribute="a" operation="eq" value="1" value-source="param"/>`), "3.0", newest},
	{"type integer", "in primitive", rulePart(`<expression id="e" attribute="a" operation="eq" value="1" type="integer"/>`), "3.5", newest},
	{"rsc_expression", "in primitive", rulePart(`<rsc_expression id="e" class="ocf"/>`), "3.4", newest},
	{"op_expression in a constraint", "constraints", `<rsc_location id="l" rsc="d"><rule id="r" score="1"><op_expression id="e" name="monitor"/></rule></rsc_location>`, "3.5", newest},
	{"range without an end", "in primitive", rulePart(`<date_expression id="e" operation="in_range"/>`), "", ""},
	{"range with a start alone", "in primitive", rulePart(`<date_expression id="e" operation="in_range" start="2026"/>`), "3.9", newest},
	{"range with an end alone", "in primitive", rulePart(`<date_expression id="e" operation="in_range" end="2026"/>`), all, newest},
	{"range with start, end and duration", "in primitive", rulePart(`<date_expression id="e" operation="in_range" start="1" end="2"><duration id="x" hours="1"/></date_expression>`), "3.9", newest},
	{"date_spec without one", "in primitive", rulePart(`<date_expression id="e" operation="date_spec"/>`), "", ""},
	{"minutes in a date_spec", "in primitive", rulePart(`<date_expression id="e" operation="date_spec"><date_spec id="x" minutes="1"/></date_expression>`), "3.9", newest},
	{"days in a date_spec", "in primitive", rulePart(`<date_expression id="e" operation="date_spec"><date_spec id="x" days="1"/></date_expression>`), "", ""},
	{"an old option", "crm_config", option("dc_deadtime", "1"), all, "2.10"},
	{"an unknown option", "crm_config", option("nonsense", "1"), all, newest},
	{"an old infrastructure", "crm_config", option("cluster-infrastructure", "cman"), all, "2.10"},
	{"an old infrastructure with blanks", "crm_config", option("cluster-infrastructure", "classic  openais"), all, "2.10"},
	{"a present infrastructure", "crm_config", option("cluster-infrastructure", "corosync"), all, newest},
	{"infrastructure with blanks", "crm_config", option(" cluster-infrastructure", "corosync"), all, "2.10"},
	{"node type normal", "nodes", `<node id="2" uname="b" type="normal"/>`, all, "2.10"},
	{"node type remote", "nodes", `<node id="2" uname="b" type="remote"/>`, "1.3", newest},
	{"node without type", "nodes", `<node id="2" uname="b"/>`, "1.2", newest},
	{"node score", "nodes", `<node id="2" uname="b" type="member" score="5"/>`, "1.2", newest},
	{"an id of a node that is another's", "nodes", `<node id="d" uname="b" type="member"/>`, all, newest},
	{"bundle", "resources", `<bundle id="b"><docker image="i"/></bundle>`, "2.8", newest},
	{"bundle of rkt", "resources", `<bundle id="b"><rkt image="i"/></bundle>`, "2.10", newest},
	{"bundle of podman", "resources", `<bundle id="b"><podman image="i"/></bundle>`, "3.2", newest},
	{"bundle of two", "resources", `<bundle id="b"><docker image="i"/><docker image="i"/></bundle>`, "", ""},
	{"promoted-max", "resources", `<bundle id="b"><docker image="i" promoted-max="1"/></bundle>`, "3.0", newest},
	{"masters and promoted-max", "resources", `<bundle id="b"><docker image="i" masters="1" promoted-max="1"/></bundle>`, "", ""},
	{"add-host", "resources", `<bundle id="b"><docker image="i"/><network add-host="true"/></bundle>`, "3.0", newest},
	{"clone of two", "resources", `<clone id="c"><primitive id="x" class="lsb" type="t"/><primitive id="y" class="lsb" type="t"/></clone>`, "", ""},
	{"location of a pattern", "constraints", `<rsc_location id="l" rsc-pattern="d" node="a" score="1"/>`, "2.6", newest},
	{"location of a role", "constraints", `<rsc_location id="l" rsc="d" role="Started" node="a" score="1"/>`, "1.2", newest},
	{"resource-discovery", "constraints", `<rsc_location id="l" rsc="d" node="a" score="1" resource-discovery="never"/>`, "2.2", newest},
	{"location of a set", "constraints", `<rsc_location id="l" node="a" score="1"><resource_set id="s"><resource_ref id="d"/></resource_set></rsc_location>`, "1.2", newest},
	{"kind in a set", "constraints", `<rsc_order id="o"><resource_set id="s" kind="Optional"><resource_ref id="d"/></resource_set></rsc_order>`, "3.0", newest},
	{"require-all in a set", "constraints", `<rsc_order id="o"><resource_set id="s" require-all="false"><resource_ref id="d"/></resource_set></rsc_order>`, "1.2", newest},
	{"ordering in a set", "constraints", `<rsc_colocation id="o"><resource_set id="s" ordering="group"><resource_ref id="d"/></resource_set></rsc_colocation>`, "2.1", newest},
	{"require-all of an order", "constraints", `<rsc_order id="o" first="d" then="d" require-all="false"/>`, "2.3", newest},
	{"kind and score", "constraints", `<rsc_order id="o" first="d" then="d" kind="Optional" score="1"/>`, "", ""},
	{"score-attribute of a colocation", "constraints", `<rsc_colocation id="o" rsc="d" with-rsc="d" score-attribute="x"/>`, all, "2.10"},
	{"influence", "constraints", `<rsc_colocation id="o" rsc="d" with-rsc="d" influence="any"/>`, "3.6", newest},
	{"rsc-instance", "constraints", `<rsc_colocation id="o" rsc="d" with-rsc="d" rsc-instance="1"/>`, newest, newest},
	{"role Unpromoted", "constraints", `<rsc_colocation id="o" rsc="d" with-rsc="d" rsc-role="Unpromoted"/>`, "3.7", newest},
	{"ticket", "constraints", `<rsc_ticket id="t" rsc="d" ticket="x"/>`, "1.2", newest},
	{"topology", "configuration", `<fencing-topology><fencing-level id="f" target="a" index="1" devices="x"/></fencing-topology>`, "1.2", newest},
	{"topology by attribute", "configuration", `<fencing-topology><fencing-level id="f" target-attribute="a" target-value="b" index="1" devices="x"/></fencing-topology>`, "2.4", newest},
	{"topology by attribute without value", "configuration", `<fencing-topology><fencing-level id="f" target-attribute="a" index="1" devices="x"/></fencing-topology>`, "", ""},
	{"index 0", "configuration", `<fencing-topology><fencing-level id="f" target="a" index="0" devices="x"/></fencing-topology>`, "", ""},
	{"old access lists", "configuration", `<acls><acl_user id="u"><read id="r" xpath="/cib"/></acl_user></acls>`, "1.2", "1.3"},
	{"a user with roles and permissions", "configuration", `<acls><acl_role id="o"/><acl_user id="u"><role_ref id="o"/><read id="r" xpath="/cib"/></acl_user></acls>`, "", ""},
	{"access lists", "configuration", `<acls><acl_role id="o"><acl_permission id="p" kind="read" object-type="x" attribute="y"/></acl_role><acl_target id="d"><role id="o"/></acl_target></acls>`, "2.0", newest},
	{"attribute of an XPath", "configuration", `<acls><acl_role id="o"><acl_permission id="p" kind="read" xpath="x" attribute="y"/></acl_role></acls>`, "", ""},
	{"name of a target", "configuration", `<acls><acl_target id="u" name="x"/></acls>`, "3.8", newest},
	{"tags", "configuration", `<tags><tag id="t"><obj_ref id="d"/></tag></tags>`, "1.3", newest},
	{"tag of nothing that is", "configuration", `<tags><tag id="t"><obj_ref id="zz"/></tag></tags>`, "3.3", newest},
	{"empty tag", "configuration", `<tags><tag id="t"/></tags>`, "", ""},
	{"alerts", "configuration", `<alerts><alert id="x" path="/x"><recipient id="y" value="z"/></alert></alerts>`, "2.5", newest},
	{"alert with select", "configuration", `<alerts><alert id="x" path="/x"><select><select_nodes/></select></alert></alerts>`, "2.10", newest},
	{"recipient before attributes", "configuration", `<alerts><alert id="x" path="/x"><recipient id="y" value="z"/><meta_attributes id="m"/></alert></alerts>`, "2.10", newest},
	{"defaults by rule", "configuration", `<rsc_defaults><meta_attributes id="m"><rule id="r" score="1"><rsc_expression id="e" type="x"/></rule></meta_attributes></rsc_defaults>`, "3.4", newest},
	{"an id twice", "resources", `<primitive id="d" class="lsb" type="x"/>`, "", ""},
	{"an id twice but for blanks", "resources", `<primitive id=" d " class="lsb" type="x"/>`, "", ""},
	{"an id with a colon", "resources", `<primitive id="a:b" class="lsb" type="x"/>`, "", ""},
	{"25 digits", "constraints", `<rsc_order id="o" first="d" then="d" score="1234567890123456789012345"/>`, "", ""},
	{"24 digits and zeros", "constraints", `<rsc_order id="o" first="d" then="d" score="+000123456789012345678901234"/>`, all, newest},
	{"yes is no boolean", "constraints", `<rsc_order id="o" first="d" then="d" symmetrical="yes"/>`, "", ""},
	{"a blank CDATA section", "resources", `<primitive id="t" class="lsb" type="x"><![CDATA[ ]]></primitive>`, all, newest},
	{"a CDATA section", "resources", `<primitive id="t" class="lsb" type="x"><![CDATA[x]]></primitive>`, "", ""},
	{"an unused prefix", "resources", `<primitive xmlns:x="urn:x" id="t" class="lsb" type="x"/>`, all, newest},
	{"a foreign attribute", "resources", `<primitive xml:id="q" id="t" class="lsb" type="x"/>`, "", ""},
}

func rulePart(part string) string {
	return `<meta_attributes id="m"><rule id="r" score="1">` + part + `</rule></meta_attributes>`
}

func optionRule(part string) string {
	return `<cluster_property_set id="m"><rule id="r" score="1">` + part + `</rule></cluster_property_set>`
}

func option(name, value string) string {
	return fmt.Sprintf(`<cluster_property_set id="m"><nvpair id="n" name="%s" value="%s"/></cluster_property_set>`, name, value)
}

// document is a whole one around the piece.
func (v verdict) document(schema string) string {
	piece := map[string]string{v.where: v.xml}
	op := ""
	if piece["op"]+piece["in op"] != "" {
		op = `<operations><op id="o" name="monitor" interval="1" ` + piece["op"] + `>` + piece["in op"] + `</op></operations>`
	}
	return `<cib validate-with="` + schema + `" admin_epoch="0" epoch="1" num_updates="0"><configuration><crm_config>` + piece["crm_config"] + `</crm_config>` +
		`<nodes><node id="1" uname="a" type="member"/>` + piece["nodes"] + `</nodes><resources><primitive id="d" class="lsb" type="x">` + op + piece["in primitive"] + `</primitive>` +
		piece["resources"] + `</resources><constraints>` + piece["constraints"] + `</constraints>` + piece["configuration"] + `</configuration><status/></cib>`
}

func (v verdict) valid(schema Version) bool {
	if v.from == "" {
		return false
	}
	from, _ := parseVersion(v.from)
	to, _ := parseVersion(v.to)
	return schema.compare(from) >= 0 && schema.compare(to) <= 0
}

// exceptions to a range: what one version alone forbade.
func (v verdict) expected(name string) bool {
	version, _ := Lookup(name)
	if v.name == "timeout in parameters of an operation" && name == "pacemaker-3.0" {
		return false
	}
	return v.valid(version)
}

func TestVerdicts(t *testing.T) {
	for _, v := range verdicts {
		for _, name := range append(slices.Clone(Versions), next.String()) {
			doc, err := cibdoc.Parse([]byte(v.document(name)))
			if err != nil {
				t.Fatalf("%s: %v", v.name, err)
			}
			problems := Validate(doc)
			if got, want := len(problems) == 0, v.expected(name); got != want {
				t.Errorf("%s in %s: valid %v, want %v: %v", v.name, name, got, want, problems)
			}
		}
	}
}

// TestVerdictsAgainstReference holds the table to the reference's files.
func TestVerdictsAgainstReference(t *testing.T) {
	if _, err := exec.LookPath("xmllint"); err != nil {
		t.Skip("xmllint is not installed (package libxml2-utils): it is what judges by RELAX NG files")
	}
	if _, err := os.Stat(filepath.Join(installed, "pacemaker-3.9.rng")); err != nil {
		t.Skip("the reference's grammar files are not installed: nothing to compare with")
	}
	dir := t.TempDir()
	for _, name := range append(slices.Clone(Versions), next.String()) {
		var files []string
		for i, v := range verdicts {
			f := filepath.Join(dir, fmt.Sprintf("%s-%d", name, i))
			if err := os.WriteFile(f, []byte(v.document(name)), 0o600); err != nil {
				t.Fatal(err)
			}
			files = append(files, f)
		}
		invalid := xmllint(t, filepath.Join(installed, name+".rng"), files)
		for i, v := range verdicts {
			if invalid[files[i]] == v.expected(name) {
				t.Errorf("%s in %s: the reference says valid %v", v.name, name, !invalid[files[i]])
			}
		}
	}
}
