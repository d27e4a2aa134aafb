package plugin

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"linuxha/stonithd/device"
)

// external is one of cluster-glue's external plugins.
type external struct{ path, name string }

// linuxHAInfo: what every Linux-HA plugin can do. Its status is about the
// device, not about a target, so it is no means to find targets (execution 50).
func linuxHAInfo() device.Info {
	return device.Info{
		NoHostParam: true,
		Params:      map[string]bool{},
		Actions:     map[string]device.ActionInfo{"on": {}, "off": {}, "reboot": {}, "list": {}, "monitor": {}},
	}
}

func (e external) info(context.Context, time.Duration) (device.Info, error) {
	return linuxHAInfo(), nil
}

// linuxHAParams are the parameters that a Linux-HA plugin gets in its
// environment, under their own names.
func linuxHAParams(input []device.Param) map[string]string {
	params := map[string]string{}
	for _, p := range input {
		if p.Name != "action" && p.Name != "nodename" {
			params[p.Name] = p.Value
		}
	}
	return params
}

// noValidation is the answer to validate-all (execution 50).
var noValidation = device.Result{
	RC: 1, Status: device.StatusNotSupported, Reason: "Cannot validate Linux-HA fence agents",
}

// run translates the fencer's actions to the plugin's commands (48.2, 50).
func (e external) run(ctx context.Context, j Job) device.Result {
	if j.Action == "validate-all" {
		return noValidation
	}
	params := linuxHAParams(j.Input)
	deadline := time.Time{}
	if j.Timeout > 0 {
		deadline = time.Now().Add(j.Timeout)
	}
	if names := e.command(ctx, nil, j.Timeout, "getconfignames"); !names.OK() {
		return names
	}
	left := time.Duration(0)
	if !deadline.IsZero() {
		left = max(time.Until(deadline), time.Millisecond)
	}
	switch j.Action {
	case "monitor", "status":
		return e.command(ctx, params, left, "status")
	case "list":
		res := e.command(ctx, params, left, "gethosts")
		if res.OK() && strings.TrimSpace(res.Output) == "" {
			res = device.Result{RC: 1, Reason: "The plugin controls no hosts: check its configuration", Stderr: res.Stderr}
		}
		res.Output = strings.Join(strings.Fields(res.Output), "\n")
		return res
	}
	host := strings.ToLower(j.Target)
	if host == "" {
		return device.Result{RC: 1, Status: device.StatusInvalid, Reason: "A target is needed for " + j.Action}
	}
	command := j.Action
	if command == "reboot" {
		command = "reset"
	}
	return e.command(ctx, params, left, command, host)
}

func (e external) command(ctx context.Context, params map[string]string, timeout time.Duration, args ...string) device.Result {
	env := slices.DeleteFunc(environment(), func(kv string) bool { return strings.HasPrefix(kv, "PATH=") })
	path := os.Getenv("PATH")
	if path == "" {
		path = "/sbin:/bin:/usr/sbin:/usr/bin"
	}
	env = append(env, "PATH=/usr/share/cluster-glue:"+path, "HA_LOGTAG=external/"+e.name)
	for k, v := range params {
		env = append(env, k+"="+v)
	}
	return process{path: e.path, args: args, env: env, timeout: timeout}.run(ctx)
}

// metadata is put together from the plugin's info commands (execution 49).
func (e external) metadata(ctx context.Context, timeout time.Duration) ([]byte, error) {
	deadline := time.Now().Add(timeout)
	ask := func(command string) (string, error) {
		res := e.command(ctx, nil, max(time.Until(deadline), time.Millisecond), command)
		if !res.OK() {
			return "", fmt.Errorf("metadata of external/%s: %s: %s", e.name, command, explain(res))
		}
		return res.Output, nil
	}
	params, err := ask("getinfo-xml")
	if err != nil {
		return nil, err
	}
	long, err := ask("getinfo-devdescr")
	if err != nil {
		return nil, err
	}
	short, err := ask("getinfo-devid")
	if err != nil {
		return nil, err
	}
	return linuxHAMetadata("external/"+e.name, escape(long), escape(short), params), nil
}

// linuxHAMetadata is the description of a Linux-HA plugin in the form in which
// the reference's tools show it. The texts are XML already.
func linuxHAMetadata(name, long, short, params string) []byte {
	return fmt.Appendf(nil, `<?xml version="1.0"?>
<!DOCTYPE resource-agent SYSTEM "ra-api-1.dtd">
<resource-agent name="%s">
  <version>1.0</version>
  <longdesc lang="en">
%s
  </longdesc>
  <shortdesc lang="en">%s</shortdesc>
%s
  <actions>
    <action name="start"   timeout="20" />
    <action name="stop"    timeout="15" />
    <action name="status"  timeout="20" />
    <action name="monitor" timeout="20" interval="3600"/>
    <action name="meta-data"  timeout="15" />
  </actions>
  <special tag="heartbeat">
    <version>2.0</version>
  </special>
</resource-agent>
`, escape(name), long, short, params)
}

// escape makes XML of a plugin's words; their line ends stay.
func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;").Replace(s)
}
