package class

import (
	"context"
	"path/filepath"
	"strings"

	"linuxha/lrmd/oplist"
	"linuxha/lrmd/run"
)

func (r *Runner) lsbPath(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(r.opts.Layout.LSB(), name)
}

func (r *Runner) runLSB(ctx context.Context, a oplist.Agent, op oplist.Op, launched Launched) oplist.Outcome {
	path, action := r.lsbPath(a.Type), op.Action
	if action == "monitor" {
		action = "status"
	}
	res, ended := r.execute(ctx, a, op, run.Command{Path: path, Args: []string{path, action}, Env: r.env}, launched)
	if ended != nil {
		return *ended
	}
	return oplist.Outcome{RC: lsbCode(action, res.Exit), Raw: res.Exit, Output: output(res)}
}

// lsbCode maps an init script's exit code (execution 5.3).
func lsbCode(action string, exit int) int {
	if !isProbe(action) {
		if exit >= 0 && exit <= NotRunning {
			return exit
		}
		return Error
	}
	switch exit {
	case 0:
		return OK
	case 1, 2, 3:
		return NotRunning
	case 150:
		return NotInstalled
	case 151:
		return NotPrivileged
	}
	return Error
}

// runHeartbeat runs a script of /etc/ha.d/resource.d: parameters "1", "2", ...
// are its arguments, the action comes last (execution 5.5).
func (r *Runner) runHeartbeat(ctx context.Context, a oplist.Agent, op oplist.Op, launched Launched) oplist.Outcome {
	action := op.Action
	if action == "monitor" {
		action = "status"
	}
	args := append([]string{a.Type}, positional(op.Params)...)
	cmd := run.Command{Path: filepath.Join(r.opts.Layout.HeartbeatAgents(), a.Type), Args: append(args, action), Env: r.env}
	res, ended := r.execute(ctx, a, op, cmd, launched)
	if ended != nil {
		return *ended
	}
	out := oplist.Outcome{RC: res.Exit, Raw: res.Exit, Output: output(res)}
	if isProbe(action) {
		out.RC = heartbeatStatus(res.Exit, res.Stdout)
		out.Raw = out.RC // its exit code says nothing, nor whether anything has changed
	}
	return out
}

// heartbeatStatus reads a v1 script's answer to status: its words, not its
// exit code, say how it is.
func heartbeatStatus(exit int, stdout string) int {
	if exit == NotInstalled {
		return NotInstalled
	}
	line, _, _ := strings.Cut(stdout, "\n")
	lower := strings.ToLower(line)
	_, afterNot, not := strings.Cut(lower, "not")
	switch {
	case strings.Contains(lower, "stopped"), not && strings.Contains(afterNot, "running"):
		return NotRunning
	case strings.Contains(lower, "running"), strings.Contains(line, "OK"):
		return OK
	}
	return NotRunning
}
