// Lrmd is the local resource manager: it runs resource agents for the cluster
// resource manager of the same node.
package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sync/errgroup"

	"linuxha/internal/daemon"
	"linuxha/internal/ipc"
	"linuxha/lrmd/class"
	"linuxha/lrmd/oplist"
	"linuxha/lrmd/run"
	"linuxha/lrmd/server"
)

func main() { daemon.Main("lrmd", serve) }

func serve(ctx context.Context, env daemon.Env) error {
	limit, err := maxRunning(os.Getenv("LRMD_MAX_CHILDREN"))
	if err != nil {
		return err
	}
	if err := prepare(env); err != nil {
		return err
	}
	var srv *server.Server
	runner := class.New(class.Options{
		Layout: env.Paths, Log: env.Log,
		FencerLost: func(o oplist.Outcome) { srv.Post(oplist.ClassFailed{Class: class.Stonith, Outcome: o}) },
	})
	defer runner.Close()
	srv = server.New(server.Options{Runner: runner, Alerts: runner, Log: env.Log, MaxRunning: limit})
	env.Log.Info("OCF resource agent search path", "path", runner.SearchPath(), "ocf_root", runner.OCFRoot())

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return run.ReapOrphans(ctx) })
	g.Go(func() error { return ipc.Serve(ctx, env.Socket(), srv.Register, srv.Run) })
	return g.Wait()
}

// prepare gives agents the surroundings of execution 2.2.
func prepare(env daemon.Env) error {
	if err := run.SealDescriptors(); err != nil {
		return err
	}
	// A broken pipe at stderr must not kill us; handled rather than ignored,
	// so that agents get the default.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	for dir, mode := range map[string]fs.FileMode{
		class.RSCTMP(env.Paths):                           0o755,
		filepath.Join(env.Paths.State(), "cores", "root"): 0o700,
	} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make a folder for agents: %w", err)
		}
		if err := os.Chmod(dir, mode); err != nil {
			return fmt.Errorf("make a folder for agents: %w", err)
		}
	}
	syscall.Umask(0o026)
	if err := os.Chdir(filepath.Join(env.Paths.State(), "cores", "root")); err != nil {
		return fmt.Errorf("go to the folder of core files: %w", err)
	}
	return nil
}

// maxRunning reads the legacy bound on operations at once. By default there is
// none: the controller limits what it sends (execution 9.2).
func maxRunning(text string) (int, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("LRMD_MAX_CHILDREN is %q: give a number, or 0 for no bound", text)
	}
	return n, nil
}
