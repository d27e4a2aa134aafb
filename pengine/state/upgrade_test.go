package state

import (
	"strings"
	"testing"

	"linuxha/pengine/internal/xmldoc"
)

func TestUpgrade(t *testing.T) {
	const old = `<cib validate-with="pacemaker-2.0"><configuration>
	<crm_config><cluster_property_set id="o">
		<nvpair id="o1" name="stonith_enabled" value="false"/><nvpair id="o2" name="default-resource-stickiness" value="100"/>
		<nvpair id="o4" name="is_managed_default" value="false"/><nvpair id="o5" name="transition_idle_timeout" value="70s"/>
		<nvpair id="o6" name="default-resource-failure-stickiness" value="-INFINITY"/><nvpair id="o7" name="default_action_timeout" value="33s"/>
	</cluster_property_set></crm_config>
	<nodes><node id="1" uname="n1" type="normal"/></nodes>
	<resources><primitive id="a" class="ocf" type="Dummy">
		<meta_attributes id="am"><nvpair id="am1" name="resource-failure-stickiness" value="-INFINITY"/></meta_attributes>
		<operations><op id="m" name="monitor" interval="10s" requires="nothing"><instance_attributes id="oi">
			<nvpair id="oi1" name="on-fail" value="block"/><nvpair id="oi2" name="depth" value="10"/></instance_attributes></op>
		<op id="s" name="start" interval="0" requires="quorum"/></operations></primitive>
	<primitive id="f" class="stonith" type="x"><instance_attributes id="fi"><nvpair id="fi1" name="pcmk_off_cmd" value="o"/>
		<nvpair id="fi2" name="pcmk_arg_map" value="port:plug"/></instance_attributes></primitive></resources>
	<constraints><rsc_colocation id="c" rsc="f" with-rsc="a" score-attribute="x"/></constraints>
	<rsc_defaults><meta_attributes id="rd"><nvpair id="rd1" name="resource-stickiness" value="5"/></meta_attributes></rsc_defaults>
	</configuration></cib>`
	root, err := xmldoc.Parse([]byte(old))
	if err != nil {
		t.Fatal(err)
	}
	Upgrade(root)
	text := root.String()
	for _, want := range []string{
		`name="stonith-enabled"`, `name="cluster-delay" value="70s"`, `type="member"`,
		`id="rd1" name="resource-stickiness" value="5"`, // what was set stays
		`id="o4" name="is-managed" value="false"`, `id="o6" name="migration-threshold" value="1"`, `id="o7" name="timeout" value="33s"`,
		`id="am1" name="migration-threshold" value="1"`, `name="pcmk_off_action"`, `name="pcmk_host_argument" value="plug"`,
		`<nvpair id="_2TO3_s-meta-requires" name="requires" value="quorum"/>`,
		"<meta_attributes id=\"_2TO3_m-meta\">\n              <nvpair id=\"oi1\" name=\"on-fail\" value=\"block\"/>",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	for _, gone := range []string{"stonith_enabled", `value="100"`, "score-attribute", "requires=", "_cmd", "failure-stickiness"} {
		if strings.Contains(text, gone) {
			t.Errorf("%s is still there", gone)
		}
	}
}

func TestNewDocumentsStay(t *testing.T) {
	root, err := xmldoc.Parse([]byte(`<cib validate-with="pacemaker-3.0"><configuration><nodes><node id="1" type="normal"/></nodes></configuration></cib>`))
	if err != nil {
		t.Fatal(err)
	}
	before := root.String()
	if Upgrade(root); root.String() != before {
		t.Errorf("changed to\n%s", root)
	}
}
