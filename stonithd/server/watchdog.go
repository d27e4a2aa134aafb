package server

import (
	"context"
	"slices"
	"strings"

	"linuxha/cib/cibdoc"
	"linuxha/internal/daemon"
	"linuxha/pengine/rules"
	"linuxha/stonithd/device"
	"linuxha/stonithd/request"
)

// watchdog takes fencing by watchdog out of the configuration: how long, on
// which nodes, and on these the device, whose only target is its own node
// (execution 40.1, 40.2). What is no proper configuration of it is no device.
func (c *cibReader) watchdog(conf *request.Reconfigured) {
	conf.Devices = slices.DeleteFunc(conf.Devices, func(d device.Device) bool {
		return d.ID == request.WatchdogDevice || strings.EqualFold(d.Agent, request.WatchdogAgent)
	})
	timeout := c.effective(c.property("stonith-watchdog-timeout"))
	if timeout <= 0 {
		return
	}
	conf.Watchdog.Timeout = timeout
	for _, p := range c.primitives {
		if p.prim.ID() != request.WatchdogDevice {
			continue
		}
		if p.prim.Attr("class") != "stonith" || !strings.EqualFold(p.prim.Attr("type"), request.WatchdogAgent) {
			conf.Watchdog = request.Watchdog{} // the name is taken
			return
		}
		conf.Watchdog.Hosts = c.watchdogHosts(p.prim)
	}
	if c.node == "" || !conf.Watchdog.Covers(c.node) {
		return
	}
	conf.Devices = append(conf.Devices, device.Device{
		ID: request.WatchdogDevice, Agent: request.WatchdogAgent,
		Params: map[string]string{"pcmk_host_list": c.node, "pcmk_host_check": "static-list"},
	})
}

func (c *cibReader) watchdogHosts(p *cibdoc.Node) []string {
	params := map[string]string{}
	c.attributes(p, "instance_attributes", params, rules.Place{Node: map[string]string{"#uname": c.node}})
	return device.ParseTargets(params["pcmk_host_list"])
}

// checkWatchdog ends the fencer, and with it the node's part in the cluster, if
// the others would rely on this node resetting itself and it cannot
// (execution 40.6).
// It is asked again where the node or what is configured for it has changed: to
// look for sbd may take a look at all processes.
func (s *Server) checkWatchdog(w request.Watchdog) {
	if s.node == s.checked && w.Timeout == s.watchdog.Timeout && slices.Equal(w.Hosts, s.watchdog.Hosts) {
		return
	}
	s.watchdog, s.checked = w, s.node
	if s.node == "" || s.opts.StandAlone || !w.Covers(s.node) {
		return
	}
	if err := s.opts.SBD.Check(w.Timeout); err != nil {
		s.log.Error("Shutting down: fencing by watchdog cannot work here", "err", err)
		s.exit = &daemon.ExitCode{Code: 100, Err: err}
	}
}

// runWatchdog is the watchdog's device: off and reboot kill sbd, and then
// nothing more is to come from this node.
func (s *Server) runWatchdog(ctx context.Context, r device.Run) device.Result {
	switch r.Action {
	case "off", "reboot":
		s.log.Error("This node is to reset itself by its watchdog", "op", r.Name)
		if err := s.opts.SBD.Panic(); err != nil {
			return device.Result{RC: 1, Status: device.StatusError, Reason: err.Error()}
		}
		<-ctx.Done()
		return device.Result{RC: 1, Status: device.StatusCancelled, Reason: "The fencer is being stopped"}
	case "list":
		hosts := make(chan []string, 1)
		if !s.do(ctx, func() { hosts <- s.watchdogHosts() }) {
			return device.Result{RC: 1, Status: device.StatusCancelled, Reason: "The fencer is being stopped"}
		}
		return device.Result{Output: strings.Join(<-hosts, "\n") + "\n"}
	}
	return device.Result{}
}

// watchdogHosts are the nodes that reset themselves: as configured, else all.
func (s *Server) watchdogHosts() []string {
	if len(s.watchdog.Hosts) > 0 {
		return s.watchdog.Hosts
	}
	return s.core.NodeNames()
}
