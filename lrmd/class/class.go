// Package class runs operations as the classes of resource agents want them
// run: where an agent is found, how it gets its parameters, and what its result
// means in OCF codes (execution 1 to 5).
//
// A Runner is safe for concurrent use and keeps no state of operations: when
// one runs, how often and how long is decided by oplist.
package class

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"linuxha/internal/paths"
	"linuxha/lrmd/oplist"
	"linuxha/lrmd/run"
)

// The statuses that classes give beside those of oplist (execution 6.5).
const (
	StatusPending      oplist.Status = -1
	StatusNotSupported oplist.Status = 3
	StatusError        oplist.Status = 4
	StatusFatal        oplist.Status = 6
	StatusNotInstalled oplist.Status = 7
)

// The OCF codes (execution 5.1).
const (
	OK              = 0
	Error           = 1
	InvalidParam    = 2
	Unimplemented   = 3
	NotPrivileged   = 4
	NotInstalled    = 5
	NotRunning      = 7
	FailedPromoted  = 9
	Degraded        = 190
	DegradedPromote = 191
)

// The classes.
const (
	OCF       = "ocf"
	LSB       = "lsb"
	Service   = "service"
	Systemd   = "systemd"
	Heartbeat = "heartbeat"
	Stonith   = "stonith"
)

// Launched tells that an agent is being executed; pid 0: not as a process.
type Launched func(pid int, at time.Time)

// Options of a Runner.
type Options struct {
	Layout paths.Layout
	Log    *slog.Logger
	// FencerLost is called when the connection to the fencer ended while
	// devices were in use (execution 14.4). Nil: nobody wants to know.
	FencerLost func(oplist.Outcome)
}

// Runner runs operations.
type Runner struct {
	opts    Options
	env     []string // of every agent
	systemd *systemd
	stonith *fencer
}

// New returns a Runner for the agents below opts.Layout.
func New(opts Options) *Runner {
	r := &Runner{opts: opts, env: baseEnv(opts.Layout, os.Environ())}
	r.systemd = newSystemd(opts.Layout, opts.Log)
	r.stonith = newFencer(opts.Layout.Socket("stonithd"), opts.Log, opts.FencerLost)
	return r
}

// Close ends the connections to other services.
func (r *Runner) Close() {
	r.systemd.close()
	r.stonith.close()
}

// NeedsProvider reports whether the class's agents are found by provider.
func NeedsProvider(class string) bool { return strings.EqualFold(class, OCF) }

// Check refuses what can't be an agent (execution 1.1). A missing agent is no
// mistake here: its operations will say so.
func Check(a oplist.Agent) error {
	switch {
	case a.Class == "":
		return errors.New("agent has no class")
	case a.Type == "":
		return errors.New("agent has no type")
	case NeedsProvider(a.Class) && a.Provider == "":
		return errors.New("agent of class ocf has no provider: write it as ocf:PROVIDER:" + a.Type)
	case !isName(a.Provider) && a.Provider != "":
		return fmt.Errorf("provider %q is no file name", a.Provider)
	case !isName(a.Type) && !(strings.EqualFold(a.Class, LSB) && filepath.IsAbs(a.Type)) && !strings.EqualFold(a.Class, Stonith):
		return fmt.Errorf("type %q is no file name", a.Type)
	}
	return nil
}

// isName: one element of a path that leads nowhere else.
func isName(s string) bool {
	return s != "" && s != "." && s != ".." && !strings.ContainsAny(s, "/\x00")
}

// failed is an operation that never got to its agent.
func failed(rc int, status oplist.Status, reason string) oplist.Outcome {
	return oplist.Outcome{RC: rc, Raw: rc, Status: status, Reason: reason}
}

// Run runs one operation to its end. When ctx ends the agent is killed: its
// whole process group, or the process alone if the cause is run.ErrKillLeader.
func (r *Runner) Run(ctx context.Context, a oplist.Agent, op oplist.Op, launched Launched) oplist.Outcome {
	if op.Resource == "" || op.Action == "" || Check(a) != nil {
		return failed(Error, StatusFatal, "Required agent or action information missing")
	}
	switch strings.ToLower(a.Class) {
	case OCF:
		return r.runOCF(ctx, a, op, launched)
	case LSB:
		return r.runLSB(ctx, a, op, launched)
	case Heartbeat:
		return r.runHeartbeat(ctx, a, op, launched)
	case Service:
		a.Class = r.resolveService(a.Type)
		return r.Run(ctx, a, op, launched)
	case Systemd:
		return r.systemd.run(ctx, a.Type, op, launched)
	case Stonith:
		return r.stonith.run(ctx, a.Type, op, launched)
	}
	return failed(NotInstalled, StatusNotInstalled, a.Type+": "+run.Strerror(syscall.ENOENT))
}

// Path is the program of an agent, "" if its class has none.
func (r *Runner) Path(a oplist.Agent) string {
	switch strings.ToLower(a.Class) {
	case OCF:
		return r.ocfPath(a)
	case LSB:
		return r.lsbPath(a.Type)
	case Heartbeat:
		return filepath.Join(r.opts.Layout.HeartbeatAgents(), a.Type)
	}
	return ""
}

// resolveService picks the class behind "service" for this run (execution 1.4).
func (r *Runner) resolveService(name string) string {
	if _, err := os.Stat(r.lsbPath(name)); err == nil {
		return LSB
	}
	if r.systemd.exists(name) {
		return Systemd
	}
	return LSB
}

// execute runs a program and takes care of what all classes share.
func (r *Runner) execute(ctx context.Context, a oplist.Agent, op oplist.Op, cmd run.Command, launched Launched) (run.Result, *oplist.Outcome) {
	res, err := run.Run(ctx, cmd, launched)
	if err != nil {
		out := startFailure(a, op, err)
		return res, &out
	}
	if res.Killed {
		out := failed(Error, StatusError, "")
		out.Output = output(res)
		return res, &out
	}
	r.logOutput(op, res)
	if res.Signal != 0 {
		out := failed(Error, StatusError, "Resource agent interrupted by "+run.SignalText(res.Signal)+" signal")
		out.Output = output(res)
		return res, &out
	}
	return res, nil
}

// logOutput writes what the agent said (execution 6.3).
func (r *Runner) logOutput(op oplist.Op, res run.Result) {
	for line := range strings.Lines(res.Stderr) {
		r.opts.Log.Info("agent error output", "op", op.Key(), "call_id", op.CallID, "pid", res.PID, "line", strings.TrimRight(line, "\n"))
	}
	if !r.opts.Log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	for line := range strings.Lines(res.Stdout) {
		r.opts.Log.Debug("agent output", "op", op.Key(), "call_id", op.CallID, "pid", res.PID, "line", strings.TrimRight(line, "\n"))
	}
}

// output is the field of that name in events: stderr if there is any.
func output(res run.Result) string {
	if res.Stderr != "" {
		return res.Stderr
	}
	return res.Stdout
}

// startFailure maps what kept an agent from running (execution 2.4).
func startFailure(a oplist.Agent, op oplist.Op, err error) oplist.Outcome {
	se, ok := errors.AsType[*run.StartError](err)
	if !ok {
		return failed(Error, StatusError, err.Error())
	}
	isStatus := isLSB(a.Class) && isProbe(op.Action)
	rc, status, reason := Error, StatusError, run.Strerror(se.Errno)
	switch se.Errno {
	case syscall.ENOENT, syscall.EISDIR, syscall.ENOTDIR, syscall.EINVAL, syscall.ENOEXEC:
		rc, status, reason = NotInstalled, StatusNotInstalled, a.Type+": "+reason
	case syscall.EACCES, syscall.EPERM:
		rc, reason = NotPrivileged, a.Type+": "+reason
	}
	if se.AfterStat { // the reference's child reports this by its exit code
		status, reason = oplist.StatusComplete, se.Error()
	}
	out := failed(rc, status, reason)
	if isStatus {
		out.Raw = map[int]int{NotInstalled: 150, NotPrivileged: 151, Error: 4}[rc]
	}
	return out
}

func isLSB(class string) bool    { return strings.EqualFold(class, LSB) }
func isProbe(action string) bool { return action == "monitor" || action == "status" }
func isHidden(name string) bool  { return strings.HasPrefix(name, ".") }
func sortedUnique(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}

// programs lists the executable files of a folder that are not hidden.
func programs(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // no such folder: no such agents
	}
	var out []string
	for _, e := range entries {
		if isHidden(e.Name()) {
			continue
		}
		if st, err := os.Stat(filepath.Join(dir, e.Name())); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
			out = append(out, e.Name())
		}
	}
	return out
}
