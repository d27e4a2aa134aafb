package cibdoc

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
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
		{"V11", `<cib crm_feature_set="3.16.1" u="&lt;é&lt;"/>`, "", ""},
		{"V11 as decoded", `<cib crm_feature_set="3.16.1" u="&amp;lt;é&lt;"/>`, "", ""},
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
			t.Log(string(appendDigest(nil, d.root, true)))
			if got := d.DiskDigest(); got != tc.disk && tc.disk != "" {
				t.Errorf("on-disk digest %s, want %s", got, tc.disk)
			}
			if got := d.Digest(); got != tc.versioned && tc.versioned != "" {
				t.Errorf("versioned digest %s, want %s", got, tc.versioned)
			}
			if d.Digest() == "e" {
				t.Error()
			}
		})
	}
}

var _ = xml.Name{}
var _ = errors.New
var _ = io.EOF
var _ = strings.Clone
