package schema

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"linuxha/cib/cibdoc"
)

func cib(schema, sections string) string {
	return `<cib validate-with="` + schema + `" epoch="1" num_updates="0" admin_epoch="0"><configuration>` + sections + `</configuration><status/></cib>`
}

// TestUpgrade is cib 9.4: sections of the configuration before and after.
func TestUpgrade(t *testing.T) {
	const empty = `<crm_config/><nodes/><resources/><constraints/>`
	options := func(nv string) string {
		return `<crm_config><cluster_property_set id="o">` + nv + `</cluster_property_set></crm_config><nodes/><resources/><constraints/>`
	}
	rsc := func(body string) string {
		return `<crm_config/><nodes/><resources><primitive id="r" class="ocf" provider="p" type="T">` + body + `</primitive></resources><constraints/>`
	}
	for _, tc := range []struct{ name, from, old, new string }{
		{"nothing deprecated", "pacemaker-2.10", empty, empty},
		{"from the lowest", "pacemaker-1.0", empty, empty},
		{
			"underscores", "pacemaker-1.2", options(`<nvpair id="a" name="stonith_enabled" value="true"/><nvpair id="b" name="transition_idle_timeout" value="5"/>`),
			options(`<nvpair id="a" name="stonith-enabled" value="true"/><nvpair id="b" name="cluster-delay" value="5"/>`),
		},
		{
			"dropped options", "pacemaker-2.0", options(`<nvpair id="a" name="expected-quorum-votes" value="2"/><nvpair id="b" name="cluster-infrastructure" value="openais"/><nvpair id="c" name="cluster-infrastructure" value="corosync"/><nvpair id="d" name="default-resource-failure-stickiness" value="-5"/>`),
			options(`<nvpair id="c" name="cluster-infrastructure" value="corosync"/>`),
		},
		{
			"moved options", "pacemaker-2.0", options(`<nvpair id="a" name="default-action-timeout" value="5"/><nvpair id="b" name="default_resource_stickiness" value="7"/><nvpair id="c" name="default-resource-failure-stickiness" value="-INFINITY"/>`),
			empty + `<op_defaults><meta_attributes id="_2TO3_-op-defaults"><nvpair id="a" name="timeout" value="5"/></meta_attributes></op_defaults>` +
				`<rsc_defaults><meta_attributes id="_2TO3_-rsc-defaults"><nvpair id="b" name="resource-stickiness" value="7"/><nvpair id="c" name="migration-threshold" value="1"/></meta_attributes></rsc_defaults>`,
		},
		{
			"moved option that is defined already", "pacemaker-2.0",
			options(`<nvpair id="a" name="is-managed-default" value="false"/>`) + `<rsc_defaults><meta_attributes id="d"><nvpair id="e" name="is-managed" value="true"/></meta_attributes></rsc_defaults>`,
			empty + `<rsc_defaults><meta_attributes id="d"><nvpair id="e" name="is-managed" value="true"/></meta_attributes></rsc_defaults>`,
		},
		{"node type", "pacemaker-2.10", `<crm_config/><nodes><node id="1" uname="a" type="normal"/></nodes><resources/><constraints/>`, `<crm_config/><nodes><node id="1" uname="a" type="member"/></nodes><resources/><constraints/>`},
		{
			"requires of a start goes to the resource", "pacemaker-2.10", rsc(`<operations><op id="s" name="start" interval="0" requires="fencing"/><op id="m" name="monitor" interval="5" requires="quorum"/></operations>`),
			rsc(`<operations><op id="s" name="start" interval="0"/><op id="m" name="monitor" interval="5"/></operations><meta_attributes id="_2TO3_r-meta"><nvpair id="_2TO3_s-meta-requires" name="requires" value="fencing"/></meta_attributes>`),
		},
		{
			"meta-attributes among an operation's parameters", "pacemaker-2.10", rsc(`<operations><op id="m" name="monitor" interval="5"><instance_attributes id="i"><nvpair id="n1" name="on-fail" value="stop"/><nvpair id="n2" name="x" value="1"/></instance_attributes></op></operations>`),
			rsc(`<operations><op id="m" name="monitor" interval="5"><instance_attributes id="i"><nvpair id="n2" name="x" value="1"/></instance_attributes><meta_attributes id="_2TO3_m-meta"><nvpair id="n1" name="on-fail" value="stop"/></meta_attributes></op></operations>`),
		},
		{
			"failure stickiness", "pacemaker-2.10", rsc(`<meta_attributes id="m"><nvpair id="a" name="resource-failure-stickiness" value="-INFINITY"/><nvpair id="b" name="isolation-host" value="x"/></meta_attributes>`),
			rsc(`<meta_attributes id="m"><nvpair id="a" name="migration-threshold" value="1"/><nvpair id="b" name="target-role" value="Stopped"/></meta_attributes>`),
		},
		{
			"fencing parameters", "pacemaker-1.2", `<crm_config/><nodes/><resources><primitive id="f" class="stonith" type="fence_x"><instance_attributes id="i"><nvpair id="a" name="pcmk_off_cmd" value="x"/><nvpair id="b" name="pcmk_arg_map" value="port:plug"/><nvpair id="c" name="pcmk_reboot_timeout" value="1"/></instance_attributes></primitive></resources><constraints/>`,
			`<crm_config/><nodes/><resources><primitive id="f" class="stonith" type="fence_x"><instance_attributes id="i"><nvpair id="a" name="pcmk_off_action" value="x"/><nvpair id="b" name="pcmk_host_argument" value="plug"/><nvpair id="c" name="pcmk_reboot_timeout" value="1"/></instance_attributes></primitive></resources><constraints/>`,
		},
		{
			"a reference to what stays", "pacemaker-2.10", rsc(`<instance_attributes id="i"><nvpair id="a" name="x" value="1"/></instance_attributes><instance_attributes id-ref="i"/>`),
			rsc(`<instance_attributes id="i"><nvpair id="a" name="x" value="1"/></instance_attributes><instance_attributes id-ref="i"/>`),
		},
		{
			"a reference to what goes", "pacemaker-2.10", rsc(`<operations><op id="m" name="monitor" interval="5"><instance_attributes id="i"><nvpair id="a" name="requires" value="1"/></instance_attributes></op></operations><!--c--><instance_attributes id-ref="i"/>`),
			rsc(`<operations><op id="m" name="monitor" interval="5"/></operations><!--c--><instance_attributes id="_cibtr-2_i"><nvpair id="__cibtr-2_i__a" name="requires" value="1"/></instance_attributes>`),
		},
		{
			"access lists", "pacemaker-1.3", empty + `<acls><acl_role id="r"><read id="p1" ref="r" attribute="y"/><write id="p2" tag="t" attribute="y"/></acl_role><acl_user id="u"><role_ref id="r"/></acl_user><acl_user id="v"><deny id="p3" xpath="/cib" attribute="z"/></acl_user></acls>`,
			empty + `<acls><acl_role id="r"><acl_permission id="p1" kind="read" reference="r"/><acl_permission id="p2" kind="write" object-type="t" attribute="y"/></acl_role><acl_target id="u"><role id="r"/></acl_target><acl_target id="v"><role id="auto-v"/></acl_target><acl_role id="auto-v"><acl_permission id="p3" kind="deny" xpath="/cib[@z]"/></acl_role></acls>`,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			doc, err := cibdoc.Parse([]byte(cib(tc.from, tc.old)))
			if err != nil {
				t.Fatal(err)
			}
			before := string(doc.Bytes())
			up, err := Upgrade(doc)
			if err != nil {
				t.Fatal(err)
			}
			if string(doc.Bytes()) != before {
				t.Error("the old document changed")
			}
			want, err := cibdoc.Parse([]byte(cib("pacemaker-3.9", tc.new)))
			if err != nil {
				t.Fatal(err)
			}
			if up.Sum() != want.Sum() {
				t.Errorf("got  %s\nwant %s", up.Bytes(), want.Bytes())
			}
			if _, err := Upgrade(up); !errors.Is(err, cibdoc.RCSchemaLatest) {
				t.Errorf("again: %v", err)
			}
		})
	}
	bad, err := cibdoc.Parse([]byte(cib("pacemaker-2.10", `<crm_config/>`)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Upgrade(bad); !errors.Is(err, cibdoc.RCSchema) || !strings.Contains(err.Error(), "it needs") {
		t.Errorf("invalid: %v", err)
	}
}

// TestManyReferences: what a small document may become is bounded.
func TestManyReferences(t *testing.T) {
	var b strings.Builder
	b.WriteString(`<crm_config/><nodes><node id="1" uname="a" type="normal"/></nodes><resources><primitive id="p" class="lsb" type="x"><instance_attributes id="s">`)
	for i := range 2000 {
		fmt.Fprintf(&b, `<nvpair id="n%d" name="x"/>`, i)
	}
	b.WriteString(`</instance_attributes>`)
	b.WriteString(strings.Repeat(`<instance_attributes id-ref="s"/>`, 2000))
	b.WriteString(`</primitive></resources><constraints/>`)
	_, err := Upgrade(parse(t, cib("pacemaker-2.10", b.String())))
	if !errors.Is(err, cibdoc.RCSchema) || !strings.Contains(err.Error(), "stand for more than") {
		t.Errorf("%v", err)
	}
}
