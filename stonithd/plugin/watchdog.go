package plugin

import (
	"context"
	"time"

	"linuxha/stonithd/device"
)

// watchdogName is the agent that stands for fencing by watchdog. The fencer
// does its work itself; here it only has a description, for tools and shells
// (execution 40.2).
const watchdogName = "fence_watchdog"

type watchdog struct{}

func (watchdog) run(context.Context, Job) device.Result {
	return device.Result{RC: 1, Status: device.StatusDone, Stderr: watchdogName + " is run by the fencer itself; only its metadata can be had"}
}

func (watchdog) metadata(context.Context, time.Duration) ([]byte, error) {
	return []byte(watchdogMetadata), nil
}

func (watchdog) info(context.Context, time.Duration) (device.Info, error) {
	return device.ParseMetadata([]byte(watchdogMetadata))
}

const watchdogMetadata = `<resource-agent name="fence_watchdog" shortdesc="Fencing by watchdog">
  <longdesc>Stands for nodes that reset themselves by their watchdog, which sbd feeds. Its id must be "watchdog"; pcmk_host_list limits it to some nodes. It works only where stonith-watchdog-timeout is set.</longdesc>
  <vendor-url>https://www.linux-ha.org/</vendor-url>
  <parameters>
    <parameter name="action" required="0">
      <getopt mixed="-o, --action=[action]"/>
      <content type="string" default="metadata"/>
      <shortdesc lang="en">Fencing action</shortdesc>
    </parameter>
    <parameter name="nodename" required="0">
      <getopt mixed="-N, --nodename"/>
      <content type="string"/>
      <shortdesc lang="en">Ignored</shortdesc>
    </parameter>
    <parameter name="plug" required="0">
      <getopt mixed="-n, --plug=[id]"/>
      <content type="string"/>
      <shortdesc lang="en">Ignored</shortdesc>
    </parameter>
  </parameters>
  <actions>
    <action name="off"/>
    <action name="reboot"/>
    <action name="monitor"/>
    <action name="list"/>
    <action name="metadata"/>
    <action name="stop" timeout="20s"/>
    <action name="start" timeout="20s"/>
  </actions>
</resource-agent>
`
