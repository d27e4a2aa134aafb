package schema

import (
	"errors"
	"strings"
	"testing"

	"linuxha/cib/cibdoc"
)

// heartbeatCIB is a configuration as Heartbeat 2.1 had it on disk.
const heartbeatCIB = `<cib admin_epoch="0" have_quorum="true" ignore_dtd="false" num_peers="2" cib_feature_revision="2.0" generated="true" ccm_transition="2" dc_uuid="0d2e" epoch="8" num_updates="41" remote_access_port="9898" cib-last-written="Tue Nov 21 2006">
 <configuration>
  <crm_config>
   <cluster_property_set id="cib-bootstrap-options">
    <attributes>
     <nvpair id="o1" name="symmetric_cluster" value="true"/>
     <nvpair id="o2" name="transition_idle_timeout" value="60s"/>
     <nvpair id="o3" name="default_resource_stickiness" value="infinity"/>
     <nvpair id="o4" name="is_managed_default" value="false"/>
     <nvpair id="o5" name="no_quorum_policy" value="ignore"/>
    </attributes>
   </cluster_property_set>
  </crm_config>
  <nodes>
   <node id="0d2e" uname="ha1" type="normal"><instance_attributes id="nodes-0d2e"><attributes><nvpair id="standby-0d2e" name="standby" value="off"/></attributes></instance_attributes></node>
   <node id="1f3a" uname="ha2" type="member"/>
  </nodes>
  <resources>
   <group id="group_1" ordered="true" is_managed="default" resource_stickiness="-infinity">
    <primitive class="ocf" id="IPaddr_10_0" provider="heartbeat" type="IPaddr" is_managed="false">
     <operations><op id="IPaddr_mon" interval="5s" name="monitor" timeout="5s" on_fail="restart" prereq="quorum" disabled="true" role="started"/><op id="IPaddr_start" name="start" start_delay="1"/></operations>
     <instance_attributes id="IPaddr_inst">
      <attributes><nvpair id="IPaddr_attr_0" name="ip" value="10.0.0.1"/><nvpair id="IPaddr_role" name="target_role" value="started"/></attributes>
     </instance_attributes>
    </primitive>
    <primitive class="lsb" id="1apache:x" provider="heartbeat" type="apache"/>
   </group>
   <master_slave id="ms" notify="true" globally_unique="false" interleave="false">
    <instance_attributes id="ms_inst"><rule id="r1" boolean_op="and"/><rule id="r2" score="1.5"><expression id="e1" attribute="#uname" operation="eq" value="ha1"/></rule><attributes><nvpair id="a1" name="clone_max" value="2"/><nvpair id="a2" name="master_max" value="1"/></attributes></instance_attributes>
    <primitive class="ocf" id="drbd" type="drbd"><instance_attributes id="ms_inst"><attributes><nvpair id="a1" name="drbd_resource" value="r0"/></attributes></instance_attributes></primitive>
   </master_slave>
  </resources>
  <constraints>
   <rsc_location id="loc" rsc="group_1"><rule id="pref" score_attribute="weight"><expression attribute="#uname" id="e1" operation="eq" value="ha1"/><date_expression id="d1" start="2006-01-01"/></rule></rsc_location>
   <rsc_location id="useless" rsc="group_1"/>
   <rsc_order id="ord1" from="group_1" to="1apache:x"/>
   <rsc_order id="ord2" from="group_1" to="ms" type="before" action="start" to_action="promote" symmetrical="false" score="10.9"/>
   <rsc_order id="ord3" from="group_1" to="ms" to_action="promote"/>
   <rsc_colocation id="col" from="group_1" to="ms" to_role="master" score="infinity" symmetrical="false"/>
  </constraints>
 </configuration>
 <status><node_state id="0d2e"><lrm id="0d2e"><lrm_resources><lrm_resource id="1apache:x"/></lrm_resources></lrm></node_state></status>
</cib>`

const heartbeatAs10 = `<cib admin_epoch="0" have-quorum="true" dc-uuid="0d2e" epoch="8" num_updates="41" remote-tls-port="9898" cib-last-written="Tue Nov 21 2006" validate-with="pacemaker-1.0">
 <configuration>
  <crm_config>
   <cluster_property_set id="cib-bootstrap-options">
     <nvpair id="o1" name="symmetric-cluster" value="true"/>
     <nvpair id="o2" name="cluster-delay" value="60s"/>
     <nvpair id="o3" name="default-resource-stickiness" value="INFINITY"/>
     <nvpair id="o4" name="is-managed-default" value="false"/>
     <nvpair id="o5" name="no-quorum-policy" value="ignore"/>
     <nvpair id="cib-bootstrap-options-stonith-enabled" name="stonith-enabled" value="false"/>
   </cluster_property_set>
  </crm_config>
  <nodes>
   <node id="0d2e" uname="ha1" type="normal"><instance_attributes id="nodes-0d2e"><nvpair id="standby-0d2e" name="standby" value="off"/></instance_attributes></node>
   <node id="1f3a" uname="ha2" type="member"/>
  </nodes>
  <resources>
   <group id="group_1"><meta_attributes id="group_1-meta"><nvpair id="group_1-meta-resource-stickiness" name="resource-stickiness" value="-INFINITY"/><nvpair id="group_1-meta-ordered" name="ordered" value="true"/></meta_attributes>
    <primitive class="ocf" id="IPaddr_10_0" provider="heartbeat" type="IPaddr"><meta_attributes id="IPaddr_10_0-meta"><nvpair id="IPaddr_10_0-meta-is-managed" name="is-managed" value="false"/></meta_attributes>
     <operations><op id="IPaddr_mon" interval="5s" name="monitor" timeout="5s" on-fail="restart" requires="quorum" enabled="false" role="Started"/><op id="IPaddr_start" name="start" start-delay="1" interval="0"/></operations>
     <meta_attributes id="IPaddr_inst-meta"><nvpair id="IPaddr_role" name="target-role" value="started"/></meta_attributes>
     <instance_attributes id="IPaddr_inst"><nvpair id="IPaddr_attr_0" name="ip" value="10.0.0.1"/></instance_attributes>
    </primitive>
    <primitive class="lsb" id="_1apache_x" type="apache"/>
   </group>
   <master id="ms"><meta_attributes id="ms-meta"><nvpair id="ms-meta-notify" name="notify" value="true"/><nvpair id="ms-meta-globally-unique" name="globally-unique" value="false"/><nvpair id="ms-meta-interleave" name="interleave" value="false"/></meta_attributes>
    <meta_attributes id="ms_inst"><rule id="ms_inst-rules" boolean-op="or" score="0"><rule id="r1" boolean-op="and" score="0"><expression id="r1-expr" attribute="#uname" operation="defined"/></rule><rule id="r2" score="1"><expression id="e1" attribute="#uname" operation="eq" value="ha1"/></rule></rule><nvpair id="a1" name="clone-max" value="2"/><nvpair id="a2" name="master-max" value="1"/></meta_attributes>
    <primitive class="ocf" id="drbd" type="drbd" provider="heartbeat"><instance_attributes id="ms_inst-2"><nvpair id="a1-2" name="drbd_resource" value="r0"/></instance_attributes></primitive>
   </master>
  </resources>
  <constraints>
   <rsc_location id="loc" rsc="group_1"><rule id="pref" score-attribute="weight"><expression attribute="#uname" id="e1-2" operation="eq" value="ha1"/><date_expression id="d1" start="2006-01-01" operation="gt"/></rule></rsc_location>
   <rsc_order id="ord1" then="group_1" first="_1apache_x"/>
   <rsc_order id="ord2" first="group_1" then="ms" symmetrical="false" score="10" first-action="start" then-action="promote"/>
   <rsc_order id="ord3" then="group_1" first="ms" first-action="promote" then-action="start"/>
   <rsc_colocation id="col" rsc="group_1" with-rsc="ms" with-rsc-role="Master" score="INFINITY"/>
  </constraints>
 </configuration>
 <status><node_state id="0d2e"><lrm id="0d2e"><lrm_resources><lrm_resource id="_1apache_x"/></lrm_resources></lrm></node_state></status>
</cib>`

func parse(t *testing.T, text string) *cibdoc.Doc {
	t.Helper()
	doc, err := cibdoc.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// TestFromHeartbeat is cib 9.6.
func TestFromHeartbeat(t *testing.T) {
	doc := parse(t, heartbeatCIB)
	if !IsHeartbeat(doc) {
		t.Fatal("not taken for a document of Heartbeat")
	}
	var said []string
	got, err := FromHeartbeat(doc, func(format string, _ ...any) { said = append(said, format) })
	if err != nil {
		t.Fatal(err)
	}
	if want := parse(t, heartbeatAs10); got.Sum() != want.Sum() {
		t.Errorf("got  %s\nwant %s", got.Print(), want.Print())
	}
	if len(said) != 2 {
		t.Errorf("said %q", said)
	}
	up, err := Upgrade(doc)
	if err != nil {
		t.Fatal(err)
	}
	if problems := Validate(up); up.Root().Attr("validate-with") != cibdoc.LatestSchema || problems != nil {
		t.Errorf("upgraded to %s: %v", up.Root().Attr("validate-with"), problems)
	}
	text := string(up.Bytes())
	for _, want := range []string{
		`<rsc_defaults><meta_attributes id="_2TO3_-rsc-defaults"><nvpair id="o3" name="resource-stickiness" value="INFINITY"/><nvpair id="o4" name="is-managed" value="false"/>`,
		`<op id="IPaddr_mon" interval="5s" name="monitor" timeout="5s" on-fail="restart" enabled="false" role="Started"/>`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
}

func TestIsHeartbeat(t *testing.T) {
	for text, want := range map[string]bool{
		`<cib validate-with="pacemaker-0.6"/>`:                             true,
		`<cib validate-with="transitional-0.6"/>`:                          true,
		`<cib validate-with="pacemaker-1.0" have_quorum="true"/>`:          false,
		`<cib have_quorum="true"/>`:                                        true,
		`<cib have-quorum="true"/>`:                                        false,
		`<cib><configuration><attributes/></configuration></cib>`:          true,
		`<cib><configuration/><status><attributes/></status></cib>`:        false,
		`<cib><configuration><r><master_slave/></r></configuration></cib>`: true,
		`<other have_quorum="true"/>`:                                      false,
	} {
		if got := IsHeartbeat(parse(t, text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

// TestFromHeartbeatFails: what cannot be converted is told with its line.
func TestFromHeartbeatFails(t *testing.T) {
	text := strings.Replace(heartbeatCIB, `type="IPaddr"`, `kind="IPaddr"`, 1)
	_, err := Upgrade(parse(t, text))
	if !errors.Is(err, cibdoc.RCSchema) || !strings.Contains(err.Error(), `line 20: element primitive "IPaddr_10_0": attribute kind is not known here`) {
		t.Errorf("%v", err)
	}
}
