package class

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"linuxha/lrmd/oplist"
	"linuxha/lrmd/run"
)

const (
	exitReasonPrefix = "ocf-exit-reason:"
	maxExitReason    = 128
	maxVariableName  = 499
	paramPrefix      = "OCF_RESKEY_"
	checkLevel       = "OCF_CHECK_LEVEL"
)

// OCFRoot is what agents get as OCF_ROOT: the daemon's own OCF_ROOT if it is
// set, else the layout's, else (a node of a lab without agents of its own) the
// machine's.
func (r *Runner) OCFRoot() string {
	if root := os.Getenv("OCF_ROOT"); root != "" {
		return root
	}
	own := r.opts.Layout.OCFRoot()
	if _, err := os.Stat(own); err != nil {
		return "/usr/lib/ocf"
	}
	return own
}

// SearchPath are the folders in which providers are looked for, in order.
func (r *Runner) SearchPath() []string {
	if p := os.Getenv("HA_OCF_PATH"); p != "" {
		return filepath.SplitList(p)
	}
	return []string{filepath.Join(r.OCFRoot(), "resource.d")}
}

// ocfPath is the first path at which there is such a file (execution 1.2).
func (r *Runner) ocfPath(a oplist.Agent) string {
	dirs := r.SearchPath()
	for _, dir := range dirs {
		path := filepath.Join(dir, a.Provider, a.Type)
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return filepath.Join(dirs[0], a.Provider, a.Type)
}

func (r *Runner) runOCF(ctx context.Context, a oplist.Agent, op oplist.Op, launched Launched) oplist.Outcome {
	params, err := r.reveal(op)
	if err != nil && op.Action != "stop" {
		out := failed(InvalidParam, oplist.StatusComplete, "Unable to load CIB secrets")
		r.opts.Log.Warn("secrets not loaded", "resource", op.Resource, "action", op.Action, "err", err)
		return out
	}
	path := r.ocfPath(a)
	cmd := run.Command{Path: path, Args: []string{path, op.Action}, Env: with(r.env, r.ocfEnv(a, op, params))}
	res, ended := r.execute(ctx, a, op, cmd, launched)
	if ended != nil {
		return *ended
	}
	return oplist.Outcome{RC: ocfCode(res.Exit), Raw: res.Exit, Reason: exitReason(res.Stderr), Output: output(res)}
}

// ocfEnv are the variables of execution 3.1. Fixed ones win over parameters.
func (r *Runner) ocfEnv(a oplist.Agent, op oplist.Op, params map[string]string) map[string]string {
	env := make(map[string]string, len(params)+8)
	for k, v := range params {
		if k == checkLevel {
			env[checkLevel] = v
			continue
		}
		name := paramPrefix + k
		env[name[:min(len(name), maxVariableName)]] = v
	}
	env["OCF_ROOT"] = r.OCFRoot()
	env["OCF_RA_VERSION_MAJOR"] = "1"
	env["OCF_RA_VERSION_MINOR"] = "1"
	env["OCF_RESOURCE_INSTANCE"] = op.Resource
	env["OCF_RESOURCE_TYPE"] = a.Type
	env["OCF_RESOURCE_PROVIDER"] = a.Provider
	env["OCF_EXIT_REASON_PREFIX"] = exitReasonPrefix
	return env
}

// ocfCode: codes that OCF does not know are errors (execution 5.2).
func ocfCode(exit int) int {
	if exit >= OK && exit <= FailedPromoted || exit == Degraded || exit == DegradedPromote {
		return exit
	}
	return Error
}

// exitReason is the rest of the line behind the last mark (execution 6.4).
func exitReason(stderr string) string {
	i := strings.LastIndex(stderr, exitReasonPrefix)
	if i < 0 {
		return ""
	}
	reason, _, _ := strings.Cut(stderr[i+len(exitReasonPrefix):], "\n")
	return strings.ToValidUTF8(reason[:min(len(reason), maxExitReason)], "")
}

// providers lists the folders of the search path, alphabetically.
func (r *Runner) providers() []string {
	var out []string
	for _, dir := range r.SearchPath() {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue // a folder that isn't there has no providers
		}
		for _, e := range entries {
			if st, err := os.Stat(filepath.Join(dir, e.Name())); err == nil && st.IsDir() && !isHidden(e.Name()) {
				out = append(out, e.Name())
			}
		}
	}
	return sortedUnique(out)
}

func (r *Runner) ocfAgents(provider string) []string {
	var out []string
	for _, dir := range r.SearchPath() {
		out = append(out, programs(filepath.Join(dir, provider))...)
	}
	return sortedUnique(out)
}
