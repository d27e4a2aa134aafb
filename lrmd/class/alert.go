package class

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"linuxha/lrmd/run"
)

// alertUser is whom alert agents run as (execution 2.2).
const alertUser = "hacluster"

// RunAlert runs an alert agent to its end: argv is the path alone, the
// environment ours with env added and without OCF_ variables, the user
// hacluster (where we are not root: our own). An error says that it did not
// run, or not well; when ctx ends its process group is killed.
func (r *Runner) RunAlert(ctx context.Context, path string, env map[string]string) error {
	as, err := alertCredential()
	if err != nil {
		return fmt.Errorf("Could not send alert: %w", err)
	}
	base := slices.DeleteFunc(slices.Clone(r.env), func(kv string) bool { return strings.HasPrefix(kv, "OCF_") })
	res, err := run.Run(ctx, run.Command{Path: path, Args: []string{path}, Env: with(base, env), As: as}, nil)
	if err != nil {
		return fmt.Errorf("Could not send alert: %w", err)
	}
	for line := range strings.Lines(res.Stdout + res.Stderr) {
		r.opts.Log.Debug("alert output", "path", path, "pid", res.PID, "line", strings.TrimRight(line, "\n"))
	}
	switch {
	case res.Killed:
		return errors.New("Could not send alert: Timed Out (the agent was killed)")
	case res.Signal != 0:
		return fmt.Errorf("Could not send alert: Error (alert agent interrupted by %s signal)", run.SignalText(res.Signal))
	case res.Exit != 0:
		return fmt.Errorf("Alert [%d] completed but exited with status %d%s", res.PID, res.Exit, lastLine(res.Stderr))
	}
	return nil
}

func lastLine(stderr string) string {
	lines := strings.Split(strings.TrimSpace(stderr), "\n")
	if last := lines[len(lines)-1]; last != "" {
		return ": " + strings.ToValidUTF8(last, "\uFFFD")
	}
	return ""
}

// alertCredential is looked up each time: the user may be created while we run.
func alertCredential() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup(alertUser)
	if err != nil {
		return nil, fmt.Errorf("alert agents run as %s, who is unknown here: %w", alertUser, err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("uid of %s: %w", alertUser, err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("gid of %s: %w", alertUser, err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}
