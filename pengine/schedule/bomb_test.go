package schedule

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"slices"
	"strings"
	"testing"
	"time"

	"linuxha/pengine/state"
)

// bomb is a document with so many nodes around options, resources, constraints
// and what else the configuration may have.
func bomb(nodes int, options, resources, constraints, rest string) string {
	var n, s strings.Builder
	for i := range nodes {
		fmt.Fprintf(&n, `<node id="%d" uname="n%d"/>`, i, i)
		fmt.Fprintf(&s, `<node_state id="%d" uname="n%d" in_ccm="true" crmd="online" join="member" expected="member"><lrm id="%d"><lrm_resources/></lrm></node_state>`, i, i, i)
	}
	return `<cib admin_epoch="0" epoch="1" num_updates="0" crm_feature_set="3.16.1" validate-with="pacemaker-3.9" have-quorum="1" dc-uuid="1"><configuration><crm_config><cluster_property_set id="o">` +
		`<nvpair id="o1" name="stonith-enabled" value="false"/>` + options + `</cluster_property_set></crm_config><nodes>` + n.String() + `</nodes><resources>` + resources +
		`</resources><constraints>` + constraints + `</constraints>` + rest + `</configuration><status>` + s.String() + `</status></cib>`
}

// many repeats a text with %i for the number and %j for the next one.
func many(n int, text string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.NewReplacer("%i", fmt.Sprint(i), "%j", fmt.Sprint(i+1)).Replace(text))
	}
	return b.String()
}

// layers joins every one of width resources with every one of the next width,
// so often: width to the power of count ways lead through.
func layers(count, width int, format string) string {
	var b strings.Builder
	for i := range count {
		for x := range width {
			for y := range width {
				fmt.Fprintf(&b, format, fmt.Sprintf("c%d.%d.%d", i, x, y), i*width+x, (i+1)*width+y)
			}
		}
	}
	return b.String()
}

const (
	dummy = `<primitive id="r%i" class="ocf" provider="pacemaker" type="Dummy"/>`
	refs  = `<resource_ref id="r%i"/>`
	pairs = `<nvpair id="%p%i" name="p%i" value="x"/>`
)

// meta is a resource's meta-attributes.
func meta(id string, nameValue ...string) string {
	s := `<meta_attributes id="` + id + `-m">`
	for i := 0; i < len(nameValue); i += 2 {
		s += `<nvpair id="` + id + `-m-` + nameValue[i] + `" name="` + nameValue[i] + `" value="` + nameValue[i+1] + `"/>`
	}
	return s + `</meta_attributes>`
}

func clone(id, max, inside string, more ...string) string {
	return `<clone id="` + id + `">` + meta(id, append(more, "clone-max", max)...) + inside + `</clone>`
}

func set(id, attrs, members string) string {
	return `<resource_set id="` + id + `" ` + attrs + `>` + members + `</resource_set>`
}

// bombs are documents that ask for far more than they are long.
var bombs = map[string]func() string{
	"rules in layers": func() string { // 2^60 ways through
		rules := `<rule id="u60" score="1" boolean-op="or"><expression id="e" attribute="a" operation="defined"/></rule>`
		for i := range 60 {
			rules = fmt.Sprintf(`<rule id="u%d" score="1" boolean-op="or"><rule id="x%d" id-ref="u%d"/><rule id="y%d" id-ref="u%d"/></rule>`, i, i, i+1, i, i+1) + rules
		}
		return bomb(3, "", many(3, dummy), `<rsc_location id="l" rsc="r0">`+rules+`</rsc_location>`, "")
	},
	"a rule in itself": func() string {
		rule := `<rule id="u" score="1" boolean-op="or"><rule id="x" id-ref="u"/><rule id="y" id-ref="u"/></rule>`
		return bomb(3, "", many(3, dummy), `<rsc_location id="l" rsc="r0">`+rule+`</rsc_location>`, "")
	},
	"a large rule for many": func() string {
		rule := `<rule id="u" score="1" boolean-op="or">` + many(5000, `<expression id="e%i" attribute="a%i" operation="defined"/>`) + `</rule>`
		return bomb(30, "", many(3000, dummy), `<rsc_location id="l" rsc="r0">`+rule+`</rsc_location>`+
			many(3000, `<rsc_location id="l%i" rsc="r%i"><rule id="x%i" id-ref="u"/></rsc_location>`), "")
	},
	"a large rule for the parameters of many": func() string {
		rule := `<rule id="u" score="1" boolean-op="or">` + many(500, `<expression id="e%i" attribute="a%i" operation="defined"/>`) + `</rule>`
		return bomb(30, "", many(3000, `<primitive id="r%i" class="ocf" provider="pacemaker" type="Dummy"><instance_attributes id="i%i"><rule id="x%i" id-ref="u"/><nvpair id="n%i" name="a" value="b"/></instance_attributes>`+
			`<operations><op id="o%i" name="monitor" interval="10"/></operations></primitive>`), `<rsc_location id="l" rsc="r0">`+rule+`</rsc_location>`, "")
	},
	"patterns for many": func() string {
		return bomb(30, "", many(3000, dummy), many(3000, `<rsc_location id="l%i" rsc-pattern="r.*" score="1" node="n1"/>`), "")
	},
	"pattern rules for many": func() string {
		return bomb(30, "", many(3000, dummy), many(3000, `<rsc_location id="l%i" rsc-pattern="r.*"><rule id="u%i" score="1"><expression id="e%i" attribute="#uname" operation="ne" value="x"/></rule></rsc_location>`), "")
	},
	"location sets of many": func() string {
		return bomb(30, "", many(3000, dummy), `<rsc_location id="l" node="n1" score="1">`+set("s", "", many(3000, refs))+`</rsc_location>`+
			many(3000, `<rsc_location id="l%i" node="n1" score="1"><resource_set id-ref="s"/></rsc_location>`), "")
	},
	"tickets for sets of many": func() string {
		return bomb(3, "", many(3000, dummy), `<rsc_ticket id="l" ticket="t">`+set("s", "", many(3000, refs))+`</rsc_ticket>`+
			many(3000, `<rsc_ticket id="l%i" ticket="t%i"><resource_set id-ref="s"/></rsc_ticket>`), "")
	},
	"health of many": func() string {
		b := bomb(20, `<nvpair id="o2" name="node-health-strategy" value="progressive"/><nvpair id="o3" name="node-health-base" value="10"/>`, many(3000, dummy), "", "")
		return b
	},
	"defaults for many": func() string {
		return bomb(3, "", many(3000, dummy), "", `<rsc_defaults><meta_attributes id="d">`+strings.ReplaceAll(many(3000, pairs), "%p", "d")+`</meta_attributes></rsc_defaults>`)
	},
	"operation defaults for many": func() string {
		return bomb(3, "", many(3000, `<primitive id="r%i" class="ocf" provider="pacemaker" type="Dummy"><operations><op id="o%i" name="monitor" interval="10"/></operations></primitive>`), "",
			`<op_defaults><meta_attributes id="d">`+strings.ReplaceAll(many(3000, pairs), "%p", "d")+`</meta_attributes></op_defaults>`)
	},
	"parameters shared by many": func() string {
		return bomb(3, "", `<primitive id="s" class="ocf" provider="pacemaker" type="Dummy"><instance_attributes id="i">`+strings.ReplaceAll(many(3000, pairs), "%p", "s")+`</instance_attributes></primitive>`+
			many(3000, `<primitive id="r%i" class="ocf" provider="pacemaker" type="Dummy"><instance_attributes id-ref="i"/></primitive>`), "", "")
	},
	"attributes of a group of many": func() string {
		return bomb(3, "", `<group id="g"><meta_attributes id="m">`+strings.ReplaceAll(many(3000, pairs), "%p", "s")+`</meta_attributes>`+many(3000, dummy)+`</group>`, "", "")
	},
	"sets of attributes by falling score": func() string {
		return bomb(3, "", `<primitive id="s" class="ocf" provider="pacemaker" type="Dummy">`+many(20000, `<instance_attributes id="i%i" score="-%i"><nvpair id="n%i" name="a%i" value="b"/></instance_attributes>`)+`</primitive>`, "", "")
	},
	"a template for many": func() string {
		t := `<template id="t" class="ocf" provider="pacemaker" type="Dummy"><instance_attributes id="ta">` + strings.ReplaceAll(many(3000, pairs), "%p", "t") + `</instance_attributes>` +
			`<operations>` + many(300, `<op id="t%i" name="monitor" interval="%j"/>`) + `</operations></template>`
		return bomb(3, "", t+many(3000, `<primitive id="r%i" template="t"/>`), "", "")
	},
	"templates among many": func() string {
		return bomb(3, "", many(5000, `<template id="t%i" class="ocf" provider="pacemaker" type="Dummy"/><primitive id="r%i" template="t%i"/>`), "", "")
	},
	"clones of many": func() string {
		return bomb(3, "", many(300, clone("k%i", "1000", dummy)), "", "")
	},
	"clones of many on many nodes": func() string {
		return bomb(100, "", many(300, clone("k%i", "1000", dummy, "globally-unique", "true", "clone-node-max", "1000")), "", "")
	},
	"promotable clones of many": func() string {
		return bomb(30, "", many(30, clone("k%i", "1000", `<primitive id="r%i" class="ocf" provider="pacemaker" type="Stateful"/>`, "promotable", "true", "promoted-max", "1000", "notify", "true", "interleave", "true")), "", "")
	},
	"interleaved clones of many": func() string {
		return bomb(30, "", many(30, clone("k%i", "1000", dummy, "interleave", "true", "globally-unique", "true", "clone-node-max", "1000")),
			many(29, `<rsc_order id="o%i" first="k%i" then="k%j"/><rsc_colocation id="c%i" rsc="k%j" with-rsc="k%i" score="INFINITY"/>`), "")
	},
	"clones of groups of many": func() string {
		return bomb(3, "", clone("k", "1000000000", `<group id="g">`+many(3000, dummy)+`</group>`, "interleave", "true", "notify", "true", "ordered", "true"), "", "")
	},
	"clones of large resources": func() string {
		return bomb(3, "", clone("k", "1000", `<primitive id="r" class="ocf" provider="pacemaker" type="Dummy"><instance_attributes id="i">`+strings.ReplaceAll(many(10000, pairs), "%p", "s")+`</instance_attributes>`+
			meta("r")+`<operations>`+many(3000, `<op id="t%i" name="monitor" interval="%j"/>`)+`</operations></primitive>`), "", "")
	},
	"operations of many": func() string {
		return bomb(3, "", `<primitive id="r" class="ocf" provider="pacemaker" type="Dummy"><operations>`+many(5000, `<op id="t%i" name="monitor" interval="%j"/>`)+`</operations></primitive>`, "", "")
	},
	"orderings of sets of many": func() string {
		return bomb(3, "", many(6000, dummy), `<rsc_order id="o">`+set("a", `sequential="false"`, many(3000, refs))+set("b", `sequential="false"`, strings.ReplaceAll(many(3000, refs), `"r`, `"r3`))+`</rsc_order>`, "")
	},
	"orderings of sets of few": func() string {
		return bomb(3, "", many(600, dummy), `<rsc_order id="o">`+set("a", `sequential="false"`, many(600, refs))+set("b", `sequential="false"`, many(600, refs))+`</rsc_order>`, "")
	},
	"orderings of sets among each other": func() string {
		return bomb(3, "", many(3000, dummy), `<rsc_order id="o">`+many(100, set("s%i", `sequential="false"`, many(300, refs)))+`</rsc_order>`, "")
	},
	"colocations of sets of many": func() string {
		return bomb(3, "", many(3000, dummy), `<rsc_colocation id="c" score="1">`+set("a", `sequential="false"`, many(3000, refs))+set("b", `sequential="false"`, many(3000, refs))+`</rsc_colocation>`, "")
	},
	"colocations of sets of few": func() string {
		return bomb(3, "", many(300, dummy), `<rsc_colocation id="c" score="1">`+set("a", `sequential="false"`, many(300, refs))+set("b", `sequential="false"`, many(300, refs))+`</rsc_colocation>`, "")
	},
	"sets of many apart": func() string {
		return bomb(3, "", many(3000, dummy), `<rsc_colocation id="c" score="-INFINITY">`+set("a", "", many(3000, refs))+`</rsc_colocation>`, "")
	},
	"serialized sets": func() string {
		return bomb(3, "", many(3000, dummy), `<rsc_order id="o" kind="Serialize">`+set("a", "", many(3000, refs))+`</rsc_order>`, "")
	},
	"sets referred to by many": func() string {
		return bomb(3, "", many(3000, dummy), `<rsc_order id="o">`+set("a", "", many(3000, refs))+`</rsc_order>`+many(3000, `<rsc_order id="o%i"><resource_set id-ref="a"/></rsc_order>`), "")
	},
	"tags of many many times": func() string {
		return bomb(3, "", many(3000, dummy), `<rsc_order id="o">`+set("s", `sequential="false"`, many(3000, `<resource_ref id="t"/>`))+`</rsc_order>`,
			`<tags><tag id="t">`+many(3000, `<obj_ref id="r%i"/>`)+`</tag></tags>`)
	},
	"tags against tags": func() string {
		return bomb(3, "", many(3000, dummy), `<rsc_order id="o" first="t" then="u"/><rsc_location id="l" rsc="t" node="n1" score="1"/>`+many(300, `<rsc_colocation id="c%i" rsc="t" with-rsc="r0" score="1"/>`),
			`<tags><tag id="t">`+many(3000, `<obj_ref id="r%i"/>`)+`</tag><tag id="u">`+many(3000, `<obj_ref id="r%i"/>`)+`</tag></tags>`)
	},
	"colocations in layers": func() string { // 2^30 ways through
		return bomb(3, "", many(62, dummy), layers(30, 2, `<rsc_colocation id="%s" rsc="r%d" with-rsc="r%d" score="10"/>`), "")
	},
	"mandatory colocations in layers": func() string {
		return bomb(30, "", many(303, dummy), layers(100, 3, `<rsc_colocation id="%s" rsc="r%d" with-rsc="r%d" score="INFINITY"/>`), "")
	},
	"mandatory colocations in layers, utilization": func() string {
		return bomb(30, `<nvpair id="o2" name="placement-strategy" value="balanced"/>`, many(303, `<primitive id="r%i" class="ocf" provider="pacemaker" type="Dummy"><utilization id="u%i"><nvpair id="w%i" name="cpu" value="1"/></utilization></primitive>`),
			layers(100, 3, `<rsc_colocation id="%s" rsc="r%d" with-rsc="r%d" score="INFINITY"/>`), "")
	},
	"colocations of clones in layers": func() string {
		return bomb(30, "", many(93, clone("r%i", "30", strings.ReplaceAll(dummy, `"r`, `"p`), "interleave", "true")), layers(30, 3, `<rsc_colocation id="%s" rsc="r%d" with-rsc="r%d" score="INFINITY"/>`), "")
	},
	"orderings of clones in layers": func() string {
		return bomb(30, "", many(93, clone("r%i", "100", strings.ReplaceAll(dummy, `"r`, `"p`), "interleave", "true", "globally-unique", "true", "clone-node-max", "30")), layers(30, 3, `<rsc_order id="%s" first="r%d" then="r%d"/>`), "")
	},
	"a long chain of colocations": func() string {
		return bomb(5, "", many(3000, dummy), many(2999, `<rsc_colocation id="c%i" rsc="r%j" with-rsc="r%i" score="INFINITY"/>`), "")
	},
	"a ring of colocations": func() string {
		return bomb(5, "", many(3000, dummy), many(2999, `<rsc_colocation id="c%i" rsc="r%i" with-rsc="r%j" score="INFINITY"/>`)+`<rsc_colocation id="cx" rsc="r2999" with-rsc="r0" score="10"/>`, "")
	},
	"a long chain of orderings": func() string {
		return bomb(3, "", many(3000, dummy), many(2999, `<rsc_order id="o%i" first="r%j" then="r%i"/>`), "")
	},
	"orderings in a ring": func() string {
		return bomb(3, "", many(3000, dummy), many(2999, `<rsc_order id="o%i" first="r%i" then="r%j"/>`)+`<rsc_order id="ox" first="r2999" then="r0"/>`, "")
	},
	"orderings in layers": func() string {
		return bomb(3, "", many(505, dummy), layers(100, 5, `<rsc_order id="%s" first="r%d" then="r%d"/>`), "")
	},
	"orderings in wide layers": func() string {
		return bomb(3, "", many(1500, dummy), layers(14, 100, `<rsc_order id="%s" first="r%d" then="r%d"/>`), "")
	},
	"migration with utilization": func() string {
		r := many(1000, `<primitive id="r%i" class="ocf" provider="pacemaker" type="Dummy">`+meta("r%i", "allow-migrate", "true")+
			`<utilization id="u%i"><nvpair id="w%i" name="cpu" value="1"/></utilization></primitive>`)
		return bomb(30, `<nvpair id="o2" name="placement-strategy" value="balanced"/>`, r, many(999, `<rsc_order id="o%i" first="r%i" then="r%j"/>`), "")
	},
	"a large group": func() string {
		return bomb(5, "", `<group id="g">`+many(4000, dummy)+`</group>`, "", "")
	},
	"groups with groups": func() string {
		return bomb(5, "", many(50, `<group id="g%i">`+strings.ReplaceAll(many(100, dummy), `"r`, `"r%i-`)+`</group>`), many(49, `<rsc_colocation id="c%i" rsc="g%i" with-rsc="g%j" score="INFINITY"/><rsc_order id="o%i" first="g%j" then="g%i"/>`), "")
	},
	"dates far away": func() string {
		rule := `<rule id="u%i" score="1"><date_expression id="d%i" operation="in_range" start="2020-01-01"><duration id="x%i" years="2000000000" months="2000000000" weeks="2000000000" hours="2000000000"/></date_expression></rule>`
		return bomb(30, "", many(300, dummy), many(300, `<rsc_location id="l%i" rsc="r%i">`+rule+`</rsc_location>`), "")
	},
	"bundles of many": func() string {
		return bomb(3, "", many(30, `<bundle id="b%i"><docker image="x" replicas="1000000" replicas-per-host="1000"/><network ip-range-start="10.0.0.1" control-port="3121"/>`+dummy+`</bundle>`), "", "")
	},
	"bundles with much": func() string {
		return bomb(3, "", `<bundle id="b"><docker image="x" replicas="1000000" replicas-per-host="1000"/><network ip-range-start="10.0.0.1" control-port="3121">`+many(3000, `<port-mapping id="p%i" port="%i"/>`)+`</network>`+
			`<storage>`+many(3000, `<storage-mapping id="s%i" source-dir-root="/x%i" target-dir="/y%i"/>`)+`</storage>`+dummy+`</bundle>`, "", "")
	},
	"many bundles": func() string {
		return bomb(3, "", many(1000, `<bundle id="b%i"><docker image="x" replicas="3"/><network ip-range-start="10.0.0.1" control-port="3121"/>`+dummy+`</bundle>`), "", "")
	},
	"guest nodes": func() string {
		return bomb(3, "", many(1000, `<primitive id="r%i" class="ocf" provider="pacemaker" type="Dummy">`+meta("r%i", "remote-node", "g%i")+`</primitive>`), "", "")
	},
	"remote nodes": func() string {
		return bomb(3, "", many(1000, `<primitive id="r%i" class="ocf" provider="pacemaker" type="remote"/>`), "", "")
	},
	"many nodes": func() string {
		return bomb(1000, "", many(100, dummy), "", "")
	},
	"fencing of many": func() string {
		s := bomb(3000, `<nvpair id="o2" name="stonith-enabled" value="true"/>`, `<primitive id="f" class="stonith" type="x"/>`+many(300, dummy), "", "")
		s = strings.Replace(s, `<nvpair id="o1" name="stonith-enabled" value="false"/>`, "", 1)
		return strings.ReplaceAll(s, `in_ccm="true" crmd="online"`, `in_ccm="false" crmd="offline"`)
	},
	"failures of many": func() string {
		s := bomb(30, "", many(1000, `<primitive id="r%i" class="ocf" provider="pacemaker" type="Dummy">`+meta("r%i", "failure-timeout", "60")+
			`<operations><op id="o%i" name="monitor" interval="10" on-fail="block"/></operations></primitive>`), "", "")
		counts := many(1000, `<nvpair id="c%i" name="fail-count-r%i#monitor_10000" value="3"/><nvpair id="l%i" name="last-failure-r%i#monitor_10000" value="1"/>`)
		return strings.ReplaceAll(s, "</lrm>", `</lrm><transient_attributes id="1"><instance_attributes id="i">`+counts+`</instance_attributes></transient_attributes>`)
	},
	"histories of orphans": func() string {
		op := `<lrm_rsc_op id="x%i" operation_key="x%i_start_0" operation="start" rc-code="0" op-status="0" call-id="%j" interval="0" transition-key="1:1:0:u" transition-magic="0:0;1:1:0:u"/>`
		hist := many(10000, `<lrm_resource id="x%i" class="ocf" provider="pacemaker" type="Dummy">`+op+`</lrm_resource>`)
		return strings.ReplaceAll(bomb(5, "", many(10, dummy), "", ""), `<lrm_resources/>`, `<lrm_resources>`+hist+`</lrm_resources>`)
	},
	"a long history": func() string {
		op := many(8000, `<lrm_rsc_op id="x%i" operation_key="r0_monitor_%i" operation="monitor" rc-code="0" op-status="0" call-id="%j" interval="%i" transition-key="1:1:0:u" transition-magic="0:0;1:1:0:u"/>`)
		return strings.ReplaceAll(bomb(5, "", many(10, dummy), "", ""), `<lrm_resources/>`, `<lrm_resources><lrm_resource id="r0" class="ocf" provider="pacemaker" type="Dummy">`+op+`</lrm_resource></lrm_resources>`)
	},
	"histories of instances": func() string {
		op := `<lrm_rsc_op id="x%i" operation_key="r:%i_start_0" operation="start" rc-code="0" op-status="0" call-id="%j" interval="0" transition-key="1:1:0:u" transition-magic="0:0;1:1:0:u"/>`
		hist := many(3000, `<lrm_resource id="r:%i" class="ocf" provider="pacemaker" type="Dummy">`+op+`</lrm_resource>`)
		return strings.ReplaceAll(bomb(5, "", clone("k", "2", `<primitive id="r" class="ocf" provider="pacemaker" type="Dummy"/>`), "", ""), `<lrm_resources/>`, `<lrm_resources>`+hist+`</lrm_resources>`)
	},
	"fencing levels": func() string {
		return bomb(30, "", many(3000, dummy), "", `<fencing-topology>`+many(3000, `<fencing-level id="f%i" index="1" target-pattern="n.*" devices="r%i"/>`)+`</fencing-topology>`)
	},
	"nested deeply": func() string {
		return bomb(3, "", strings.Repeat(`<group id="g">`, 10000)+many(1, dummy)+strings.Repeat(`</group>`, 10000), "", "")
	},
	"long names": func() string {
		long := strings.Repeat("x", 100000)
		return bomb(3, "", clone("k", "1000", `<primitive id="`+long+`" class="ocf" provider="pacemaker" type="Dummy"/>`), "", "")
	},
	"notifications": func() string {
		return bomb(100, "", clone("k", "1000", `<primitive id="r" class="ocf" provider="pacemaker" type="Stateful"/>`, "notify", "true", "promotable", "true", "globally-unique", "true", "clone-node-max", "1000"), "", "")
	},
}

// told is what a note, or the error, has to say about some of them.
var told = map[string]string{
	"orderings of sets of few": "ordering constraints: nothing is planned", "serialized sets": "ordering constraints: nothing is planned",
	"sets of many apart": "colocations: nothing is planned", "tags of many many times": "elements of templates and tags: nothing is planned",
	"tickets for sets of many": "members of resource sets: nothing is planned", "pattern rules for many": "nodes in location constraints: nothing is planned",
	"defaults for many": "name/value pairs: nothing is planned", "a large rule for many": "expressions of rules to test: nothing is planned",
	"clones of many": "lowered", "bundles of many": "lowered", "colocations in layers": "the others are left out",
}

// lengthy are those that take more than a second each: make bombs runs them as well.
var lengthy = []string{
	"clones of groups of many", "parameters shared by many", "a large rule for the parameters of many", "clones of many",
	"colocations in layers", "clones of many on many nodes", "a large group", "groups with groups", "orderings of clones in layers",
	"interleaved clones of many", "a ring of colocations", "a large rule for many", "pattern rules for many",
	"colocations of clones in layers", "operation defaults for many", "histories of orphans",
}

// checkTold checks that what is left out is said, and that what cannot be
// planned as a whole is not planned in part.
func checkTold(t *testing.T, want string, plan *Plan, err error) {
	if err != nil {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("refused for %q, want %q", err, want)
		}
		return
	}
	if !slices.ContainsFunc(plan.Notes, func(n state.Note) bool { return n.Severity == Error && strings.Contains(n.Text, want) }) {
		t.Errorf("nothing told about %q", want)
	}
	nothing := len(plan.Graph.Synapses) == 0 && len(plan.Summary) == 0 && len(plan.Scores) == 0
	if nothing != strings.Contains(want, "nothing is planned") {
		t.Errorf("told %q, but %d actions, %d lines and %d scores", want, len(plan.Graph.Synapses), len(plan.Summary), len(plan.Scores))
	}
}

// TestBombs: whatever a document asks for, there is an end, soon, and memory
// stays in bounds.
func TestBombs(t *testing.T) {
	for name, document := range bombs {
		t.Run(name, func(t *testing.T) {
			dir := os.Getenv("PENGINE_BOMBS")
			if dir == "" && slices.Contains(lengthy, name) {
				t.Skip("skipped: takes more than a second (make bombs runs it)")
			}
			doc := []byte(document())
			if dir != "" { // to throw them at a tool
				if err := os.WriteFile(filepath.Join(dir, strings.NewReplacer(" ", "-", ",", "").Replace(name)+".xml"), doc, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			in := Input{CIB: doc, Now: time.Unix(1700000000, 0)}
			var plan *Plan
			var err error
			took, used := costs(func() { plan, err = Schedule(in) })
			if err != nil {
				t.Logf("refused: %v", err)
			} else if len(plan.Graph.XML) == 0 {
				t.Error("no graph")
			}
			if want, ok := told[name]; ok {
				checkTold(t, want, plan, err)
			}
			t.Logf("%d KiB: %v, %d MiB", len(doc)>>10, took.Round(time.Millisecond), used)
			if took > time.Minute || used > 1500 {
				t.Errorf("%v and %d MiB for a document of %d KiB", took.Round(time.Millisecond), used, len(doc)>>10)
			}
			if dir != "" && err == nil {
				explainBomb(t, in, plan)
			}
		})
	}
}

// explainBomb: reasons are bounded, too, and asking for them changes no plan.
func explainBomb(t *testing.T, in Input, without *Plan) {
	in.Explain = true
	took, used := costs(func() {
		plan, err := Schedule(in)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(plan.Graph.XML, without.Graph.XML) {
			t.Error("another plan when reasons are kept")
		}
		for i, r := range plan.Cluster.Resources {
			if i > 0 && i < len(plan.Cluster.Resources)-1 {
				continue
			}
			e, err := plan.Explain(r.ID)
			if full := plan.Cluster.Why.Full(); full != nil && (err == nil || !strings.Contains(err.Error(), full.Error())) {
				t.Errorf("explained with an incomplete ledger: %v, %v", e, err)
			} else if full == nil && err != nil {
				t.Error(err)
			}
		}
	})
	t.Logf("explained: %v, %d MiB", took.Round(time.Millisecond), used)
	if took > 2*time.Minute || used > 4000 {
		t.Errorf("explained: %v and %d MiB", took.Round(time.Millisecond), used)
	}
}

// costs is the CPU time and the most MiB of heap that something took.
func costs(do func()) (took time.Duration, used uint64) {
	runtime.GC() // what others left behind
	stop, peak := make(chan bool), make(chan uint64)
	go func() {
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		most := uint64(0)
		for {
			select {
			case <-stop:
				peak <- most
				return
			case <-time.After(5 * time.Millisecond):
				metrics.Read(sample)
				most = max(most, sample[0].Value.Uint64())
			}
		}
	}()
	start := cpuTime()
	do()
	took = cpuTime() - start
	stop <- true
	return took, <-peak >> 20
}
