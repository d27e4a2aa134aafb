package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"linuxha/cib/ops"
	cibv1 "linuxha/proto/cib/v1"
)

const heartbeatCIB = `<cib admin_epoch="0" have_quorum="true" cib_feature_revision="2.0" dc_uuid="1" epoch="8" num_updates="41">
 <configuration>
  <crm_config><cluster_property_set id="opts"><attributes><nvpair id="o1" name="no_quorum_policy" value="ignore"/></attributes></cluster_property_set></crm_config>
  <nodes><node id="1" uname="alpha" type="normal"/></nodes>
  <resources><primitive id="ip" class="ocf" provider="heartbeat" type="IPaddr"><instance_attributes id="ip-params"><attributes><nvpair id="ip-ip" name="ip" value="192.0.2.1"/></attributes></instance_attributes></primitive></resources>
  <constraints/>
 </configuration>
</cib>`

// TestHeartbeatConfiguration is the way of Heartbeat's users (cib 9.6): the
// daemon starts on their file, resources are put out of its hands, the
// configuration is upgraded, and the old file is still there.
func TestHeartbeatConfiguration(t *testing.T) {
	folder, socket := t.TempDir(), filepath.Join(shortDir(t), "cib.sock")
	if err := os.WriteFile(filepath.Join(folder, "cib.xml"), []byte(heartbeatCIB), 0o600); err != nil {
		t.Fatal(err)
	}
	c, stop := start(t, folder, socket)
	lead(t, c)
	query := func() string {
		r, err := c.Query(t.Context(), &cibv1.QueryRequest{}, waitReady)
		if err != nil || r.GetRc() != 0 {
			t.Fatalf("query: %v %v", r, err)
		}
		return string(r.GetXml())
	}
	if got := query(); !strings.Contains(got, `validate-with="pacemaker-1.0"`) || !strings.Contains(got, `name="no-quorum-policy"`) {
		t.Errorf("started with %s", got)
	}
	if r := apply(t, c, &cibv1.Change{Op: cibv1.Op(ops.Modify), Section: "crm_config", Xml: []byte(
		`<crm_config><cluster_property_set id="opts"><nvpair id="opts-is_managed_default" name="is_managed_default" value="false"/></cluster_property_set></crm_config>`)}); r.GetRc() != 0 {
		t.Fatalf("is_managed_default: %v", r)
	}
	if r := apply(t, c, &cibv1.Change{Op: cibv1.Op(ops.Upgrade)}); r.GetRc() != 0 {
		t.Fatalf("upgrade: %v", r)
	}
	got := query()
	for _, want := range []string{`validate-with="pacemaker-3.9"`, `name="is-managed" value="false"`, `<node id="1" uname="alpha" type="member"/>`} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
	stop()
	kept, err := os.ReadFile(filepath.Join(folder, "cib-0.raw"))
	if err != nil || string(kept) != heartbeatCIB {
		t.Errorf("the old file as a backup: %v %s", err, kept)
	}
}
