package class

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"linuxha/lrmd/oplist"
	"linuxha/lrmd/run"
)

// Metadata returns the agent's description, from the agent itself or made up
// for classes whose agents have none (execution 7).
func (r *Runner) Metadata(ctx context.Context, a oplist.Agent) (string, error) {
	if err := Check(a); err != nil {
		return "", err
	}
	switch strings.ToLower(a.Class) {
	case OCF:
		return r.ocfMetadata(ctx, a)
	case LSB:
		b, err := os.ReadFile(r.lsbPath(a.Type))
		if err != nil {
			return "", err
		}
		return lsbMetadata(a.Type, string(b)), nil
	case Heartbeat:
		if _, err := os.Stat(r.Path(a)); err != nil {
			return "", err
		}
		return heartbeatMetadata(a.Type), nil
	case Service:
		a.Class = r.resolveService(a.Type)
		return r.Metadata(ctx, a)
	case Systemd:
		return r.systemd.metadata(ctx, a.Type)
	case Stonith:
		return r.stonith.metadata(ctx, a.Type)
	}
	return "", fmt.Errorf("class %q is unknown", a.Class)
}

func (r *Runner) ocfMetadata(ctx context.Context, a oplist.Agent) (string, error) {
	path := r.ocfPath(a)
	op := oplist.Op{Resource: a.Type, Action: "meta-data"}
	res, err := run.Run(ctx, run.Command{Path: path, Args: []string{path, op.Action}, Env: with(r.env, r.ocfEnv(a, op, nil))}, nil)
	switch {
	case err != nil:
		return "", err
	case res.Killed:
		return "", fmt.Errorf("%s meta-data: %w", path, context.Cause(ctx))
	case res.Exit != 0:
		return "", fmt.Errorf("%s meta-data: exit code %d: %s", path, res.Exit, strings.TrimSpace(res.Stderr))
	case res.Stdout == "":
		return "", errors.New(path + " meta-data: no output")
	}
	return res.Stdout, nil
}

var lsbKeys = []string{"Provides", "Required-Start", "Required-Stop", "Should-Start", "Should-Stop", "Default-Start", "Default-Stop"}

// lsbMetadata reads an init script's comment block.
func lsbMetadata(name, script string) string {
	info := lsbInfo(script)
	text := func(key string) string {
		if v := info[key]; v != "" {
			return escape(v)
		}
		return escape(name)
	}
	var special strings.Builder
	for _, key := range lsbKeys {
		fmt.Fprintf(&special, "    <%s>%s</%s>\n", key, escape(info[key]), key)
	}
	return fmt.Sprintf(`<?xml version='1.0'?>
<!DOCTYPE resource-agent SYSTEM 'ra-api-1.dtd'>
<resource-agent name='%s' version='0.1'>
  <version>1.0</version>
  <longdesc lang='en'>
    %s
  </longdesc>
  <shortdesc lang='en'>%s</shortdesc>
  <parameters>
  </parameters>
  <actions>
    <action name='meta-data'    timeout='5' />
    <action name='start'        timeout='15' />
    <action name='stop'         timeout='15' />
    <action name='status'       timeout='15' />
    <action name='restart'      timeout='15' />
    <action name='force-reload' timeout='15' />
    <action name='monitor'      timeout='15' interval='15' />
  </actions>
  <special tag='LSB'>
%s  </special>
</resource-agent>
`, escape(name), text("Description"), text("Short-Description"), special.String())
}

func lsbInfo(script string) map[string]string {
	info := map[string]string{}
	inside, last := false, ""
	for line := range strings.Lines(script) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case strings.HasPrefix(line, "### BEGIN INIT INFO"):
			inside = true
		case strings.HasPrefix(line, "### END INIT INFO"):
			return info
		case !inside:
		case last == "Description" && (strings.HasPrefix(line, "#\t") || strings.HasPrefix(line, "#  ")):
			info[last] += "\n" + strings.TrimSpace(line[1:])
		default:
			last = ""
			if key, value, ok := strings.Cut(strings.TrimPrefix(line, "# "), ":"); ok && strings.HasPrefix(line, "# ") {
				last = key
				info[key] = strings.TrimSpace(value)
			}
		}
	}
	return info
}

func heartbeatMetadata(name string) string {
	n := escape(name)
	return fmt.Sprintf(`<?xml version="1.0"?>
<!DOCTYPE resource-agent SYSTEM "ra-api-1.dtd">
<resource-agent name="%[1]s" version="0.1">
  <version>1.0</version>
  <longdesc lang="en">%[1]s</longdesc>
  <shortdesc lang="en">%[1]s</shortdesc>
  <parameters/>
  <actions>
    <action name="start" timeout="15" />
    <action name="stop" timeout="15" />
    <action name="status" timeout="15" />
    <action name="monitor" timeout="15" interval="15" />
    <action name="meta-data" timeout="5" />
  </actions>
  <special tag="heartbeat"/>
</resource-agent>
`, n)
}
