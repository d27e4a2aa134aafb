package demo

import (
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
)

// freeAddress is an address of the loopback device with a port nobody uses.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.77.0.100:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// configuration is what the demo loads: a page behind an address, a clone, and
// a device that really takes the power from nodes.
func (s *story) configuration() string {
	address := ""
	if s.group[0] == "address" {
		address = fmt.Sprintf(`<primitive id="address" class="ocf" provider="heartbeat" type="IPaddr2">
        <instance_attributes id="address-params">
          <nvpair id="address-ip" name="ip" value="%s"/>
          <nvpair id="address-mask" name="cidr_netmask" value="24"/>
          <nvpair id="address-nic" name="nic" value="eth0"/>
        </instance_attributes>
        <operations><op id="address-monitor" name="monitor" interval="5s" timeout="20s"/></operations>
      </primitive>`, virtualIP)
	}
	server, account := "/usr/sbin/halab", "root"
	if address == "" { // no namespaces: the program is where the lab has it, and everything runs as one user
		server, account = filepath.Join(s.lab.Dir, "bin", "halab"), strconv.Itoa(os.Getuid())
		if u, err := user.Current(); err == nil {
			account = u.Username
		}
	}
	return strings.NewReplacer("ADDRESS", address, "SERVER", server, "LISTEN", s.address, "ACCOUNT", account).Replace(template)
}

const template = `<configuration>
  <crm_config>
    <cluster_property_set id="cib-bootstrap-options">
      <nvpair id="opt-stonith" name="stonith-enabled" value="true"/>
      <nvpair id="opt-quorum" name="no-quorum-policy" value="stop"/>
    </cluster_property_set>
  </crm_config>
  <resources>
    <primitive id="power" class="stonith" type="fence_lab">
      <instance_attributes id="power-params">
        <nvpair id="power-list" name="pcmk_host_list" value="node1 node2 node3"/>
      </instance_attributes>
      <operations><op id="power-monitor" name="monitor" interval="60s" timeout="20s"/></operations>
    </primitive>
    <group id="web">
      ADDRESS
      <primitive id="page" class="ocf" provider="heartbeat" type="anything">
        <instance_attributes id="page-params">
          <nvpair id="page-binfile" name="binfile" value="SERVER"/>
          <nvpair id="page-options" name="cmdline_options" value="serve-page --listen LISTEN"/>
          <nvpair id="page-user" name="user" value="ACCOUNT"/>
        </instance_attributes>
        <operations><op id="page-monitor" name="monitor" interval="5s" timeout="20s"/></operations>
      </primitive>
    </group>
    <clone id="everywhere">
      <primitive id="dummy" class="ocf" provider="heartbeat" type="Dummy">
        <operations><op id="dummy-monitor" name="monitor" interval="10s" timeout="20s"/></operations>
      </primitive>
    </clone>
  </resources>
  <rsc_defaults>
    <meta_attributes id="rsc-defaults">
      <nvpair id="rsc-stickiness" name="resource-stickiness" value="100"/>
    </meta_attributes>
  </rsc_defaults>
</configuration>
`
