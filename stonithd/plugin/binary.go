package plugin

import (
	"context"
	"strings"
	"time"

	"linuxha/stonithd/device"
)

// binary is one of cluster-glue's plugins that are shared objects. They can be
// loaded by cluster-glue's program stonith only, which is run for each action.
type binary struct{ command, name string }

func (b binary) info(context.Context, time.Duration) (device.Info, error) { return linuxHAInfo(), nil }

func (b binary) metadata(ctx context.Context, timeout time.Duration) ([]byte, error) {
	doc, err := document(b.name, b.stonith(ctx, nil, timeout, "-m"))
	if err != nil {
		return nil, err
	}
	long, okLong := between(string(doc), "<longdesc lang=\"en\">\n", "\n</longdesc>")
	short, okShort := between(string(doc), "<shortdesc lang=\"en\">", "</shortdesc>")
	params, okParams := between(string(doc), "<parameters>", "</parameters>")
	if !okLong || !okShort || !okParams {
		return doc, nil // not in the usual form: as it is
	}
	return linuxHAMetadata(b.name, long, short, "<parameters>"+params+"</parameters>"), nil
}

// between is what stands between two texts, where these first occur.
func between(s, from, to string) (string, bool) {
	_, rest, ok := strings.Cut(s, from)
	middle, _, closed := strings.Cut(rest, to)
	return middle, ok && closed
}

// run translates the fencer's actions as the bridge of execution 50 does.
func (b binary) run(ctx context.Context, j Job) device.Result {
	params := linuxHAParams(j.Input)
	var args []string
	switch j.Action {
	case "validate-all":
		return noValidation
	case "monitor", "status":
		args = []string{"-E", "-S"}
	case "list":
		args = []string{"-E", "-l"}
	default:
		if j.Target == "" {
			return device.Result{RC: 1, Status: device.StatusInvalid, Reason: "A target is needed for " + j.Action}
		}
		command := j.Action
		if command == "reboot" {
			command = "reset"
		}
		args = []string{"-E", "-T", command, j.Target}
	}
	res := b.stonith(ctx, params, j.Timeout, args...)
	if res.Status == device.StatusDone && res.RC != 0 {
		res.Reason = b.explain(res)
		res.RC = 1 // the codes of stonith mean other things than those of an agent
	}
	return res
}

func (b binary) stonith(ctx context.Context, params map[string]string, timeout time.Duration, args ...string) device.Result {
	env := environment()
	for k, v := range params {
		env = append(env, k+"="+v)
	}
	return process{path: b.command, args: append([]string{"-t", b.name}, args...), env: env, timeout: timeout}.run(ctx)
}

// stonithCodes are the exit codes of cluster-glue's stonith (execution 48.2).
var stonithCodes = map[int32]string{
	1: "bad configuration", 2: "cannot access device", 3: "unsupported request", 4: "host not known to device",
	5: "action failed", 6: "timeout", 7: "outlet is off", 8: "other failure (is there such a plugin?)",
	255: "no hosts: check the configuration",
}

// explain says why stonith failed: in its own last words, if there are any.
func (b binary) explain(res device.Result) string {
	why, known := stonithCodes[res.RC]
	if !known {
		why = "unknown exit code"
	}
	lines := strings.Split(strings.TrimSpace(res.Stderr), "\n")
	if last := strings.TrimSpace(lines[len(lines)-1]); last != "" {
		why += ": " + last
	}
	return "Plugin " + b.name + ": " + why
}
