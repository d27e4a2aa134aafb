package crmattribute

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const cib = `<cib crm_feature_set="3.16.1" validate-with="pacemaker-3.9" epoch="1" num_updates="0" admin_epoch="0">
  <configuration>
    <crm_config>
      <cluster_property_set id="cib-bootstrap-options">
        <nvpair id="cib-bootstrap-options-stonith-enabled" name="stonith-enabled" value="false"/>
      </cluster_property_set>
    </crm_config>
    <nodes>
      <node id="1" uname="node1"/>
      <node id="2" uname="node2"/>
    </nodes>
    <resources/>
    <constraints/>
  </configuration>
  <status>
    <node_state id="1" uname="node1"/>
  </status>
</cib>
`

// TestFile goes through the family on a file, each step on what the one
// before left.
func TestFile(t *testing.T) {
	t.Setenv("HA_ROOT", t.TempDir())
	file := filepath.Join(t.TempDir(), "cib.xml")
	if err := os.WriteFile(file, []byte(cib), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CIB_file", file)
	t.Setenv("OCF_RESOURCE_INSTANCE", "")
	for _, tc := range []struct {
		call   string
		code   int
		stdout string
		stderr string
	}{
		{"crm_attribute -n stonith-enabled", 0, "scope=crm_config  name=stonith-enabled value=false\n", ""},
		{"crm_attribute -n stonith-enabled -G -q", 0, "false\n", ""},
		{"crm_attribute --type=crm_config --name=stonith-enabled --query --quiet --default=true", 0, "false\n", ""},
		{"crm_attribute --name nope --query --quiet --default=true", 0, "true\n", ""},
		{"crm_attribute -n nope -G", 105, "", "crm_attribute: Error performing operation: No such device or address\n"},
		{"crm_attribute -n maintenance-mode -v true", 0, "", ""},
		{"crm_attribute -n maintenance-mode", 0, "scope=crm_config  name=maintenance-mode value=true\n", ""},
		{"crm_attribute -n maintenance-mode -D", 0, "Deleted crm_config option: id=cib-bootstrap-options-maintenance-mode name=maintenance-mode\n", ""},
		{"crm_attribute -n maintenance-mode -D", 0, "", ""},
		{"crm_attribute -N node1 -n foo -v 1", 0, "", ""},
		{"crm_attribute -N node1 -n foo -v value++", 0, "", ""},
		{"crm_attribute -N node1 -n foo", 0, "scope=nodes  name=foo value=2\n", ""},
		{"crm_attribute -t nodes -N node1 -n foo --output-as xml", 0, `<pacemaker-result api-version="2.25" request="crm_attribute -t nodes -N node1 -n foo --output-as xml">
  <attribute name="foo" value="2" scope="nodes"/>
  <status code="0" message="OK"/>
</pacemaker-result>
`, ""},
		{"crm_attribute -N node1 -n foo -D", 0, "Deleted nodes attribute: id=nodes-1-foo name=foo\n", ""},
		{"crm_attribute -N nodeX -n foo -v 1", 105, "", "crm_attribute: Could not map name=nodeX to a UUID\n"},
		{"crm_attribute -N node2 -z -n cpu -v 4", 0, "", ""},
		{"crm_attribute -t nodes --node node2 -z -n cpu", 0, "scope=nodes  name=cpu value=4\n", ""},
		{"crm_attribute -t rsc_defaults -n resource-stickiness -v 5", 0, "", ""},
		{"crm_attribute -t rsc_defaults -n resource-stickiness -q", 0, "5\n", ""},
		{"crm_attribute -N node1 -l reboot -n x -v 1", 0, "", ""},
		{"crm_attribute -N node1 -t status -n x", 0, "scope=status  name=x value=1\n", ""},
		{"crm_attribute -n dc -s other -v 1", 0, "", ""},
		{"crm_attribute -n dc -s cib-bootstrap-options -v 2", 0, "", ""},
		{
			"crm_attribute -n dc", 109, "Multiple attributes match name=dc\n  Value: 2 \t(id=cib-bootstrap-options-dc)\n  Value: 1 \t(id=other-dc)\n",
			"crm_attribute: Please choose from one of the matches below and supply the 'id' with --attr-id\n",
		},
		{"crm_attribute -p", 64, "", "crm_attribute: -p/--promotion must be called from an OCF resource agent or with a resource ID specified\n"},
		{"crm_attribute -N node1 -p ms -v 10", 0, "", ""},
		{"crm_attribute -N node1 -p ms -G -q", 0, "10\n", ""},
		{"crm_attribute -N node1 -l never -n x", 64, "", "crm_attribute: Invalid lifetime \"never\": use reboot or forever\n"},
		{"crm_attribute -t nodes -N node1 -P x -v 1", 64, "", "crm_attribute: Error: pattern can only be used with query, or with till-reboot update or delete\n"},
		{"crm_attribute -N node1 -l reboot -P ^x -v 7", 0, "", ""},
		{"crm_attribute -N node1 -t status -n x -q", 0, "7\n", ""},
		{"crm_standby -N node2 -G", 0, "scope=status  name=standby value=off\n", ""},
		{"crm_standby -N node2 -v on", 0, "", ""},
		{"crm_standby -N node2 -G", 0, "scope=nodes  name=standby value=on\n", ""},
		{"crm_standby -N node2 -D", 0, "Deleted nodes attribute: id=nodes-2-standby name=standby\n", ""},
		{"crm_master -N node1 -r ms -l reboot -G", 0, "scope=status  name=master-ms value=10\n", ""},
		{"crm_master -N node1 -r ms -v 3", 0, "", ""},
		{"crm_master -N node1 -r ms -Q", 0, "3\n", ""},
		{"crm_failcount -N node1 -r d1 -G", 0, "scope=status  name=fail-count-d1 value=0\n", ""},
		{"crm_attribute -N node1 -t status -n fail-count-d1#monitor_10000 -v 2", 0, "", ""},
		{"crm_attribute -N node1 -t status -n fail-count-d1#start_0 -v INFINITY", 0, "", ""},
		{"crm_attribute -N node1 -t status -n fail-count-d11#start_0 -v 1", 0, "", ""},
		{"crm_failcount -N node1 -r d1 -n monitor -I 10s -G", 0, "scope=status  name=fail-count-d1#monitor_10000 value=2\n", ""},
		{"crm_failcount -N node1 -r d1 -G -q", 0, "INFINITY\n", ""},
		{"crm_failcount -r d1 -v 5", 64, "", "crm_failcount: Fail counts can only be deleted: use --delete\n"},
		{"crm_failcount -G", 64, "", "crm_failcount: Must specify the resource: use --resource\n"},
		{"crm_attribute -x", 64, "", "crm_attribute: Unknown option -x\n"},
	} {
		args := strings.Fields(tc.call)
		var out, errs bytes.Buffer
		code := Run(context.Background(), args[0], args[1:], nil, &out, &errs)
		if code != tc.code || out.String() != tc.stdout || errs.String() != tc.stderr {
			t.Errorf("%s: exit %d\n%s%s\nwant exit %d\n%s%s", tc.call, code, &out, &errs, tc.code, tc.stdout, tc.stderr)
		}
	}
	after, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`<nvpair id="nodes-2-utilization-cpu" name="cpu" value="4"/>`, `<utilization id="nodes-2-utilization">`,
		`<meta_attributes id="rsc-options">`, `<instance_attributes id="status-1">`, `<nvpair id="status-1-x" name="x" value="7"/>`,
	} {
		if !strings.Contains(string(after), want) {
			t.Errorf("no %s in\n%s", want, after)
		}
	}
}

func TestNoDaemon(t *testing.T) {
	t.Setenv("HA_ROOT", t.TempDir())
	t.Setenv("CIB_file", "")
	t.Setenv("CIB_shadow", "")
	var out, errs bytes.Buffer
	code := Run(context.Background(), "crm_attribute", []string{"-n", "x"}, nil, &out, &errs)
	if code != 102 || errs.String() != "crm_attribute: Error connecting to the CIB manager: Transport endpoint is not connected\n" {
		t.Errorf("exit %d\n%s", code, &errs)
	}
}
