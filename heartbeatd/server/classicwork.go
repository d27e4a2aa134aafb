package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"linuxha/heartbeatd/classic"
	"linuxha/heartbeatd/halog"
	"linuxha/heartbeatd/haresources"
	"linuxha/heartbeatd/resman"
)

// Worker carries out what classic mode decides: it runs resource scripts,
// fencing and the scripts of rc.d. Its methods run one at a time.
type Worker struct {
	Node    string
	Manager *resman.Manager
	Dir     string   // of harc and rc.d: /etc/ha.d
	Env     []string // of harc
	Log     *slog.Logger
	// Fence resets a node; nil: no device is configured.
	Fence func(ctx context.Context, node string) error
	// Reboot resets this machine, on which a resource cannot be stopped; it
	// does not return where that works.
	Reboot func(reason string)

	groups []haresources.Group // as last read
	rc     func() map[string]bool
}

// NewWorker completes w: rc.d is read once, at first use (HB 19.1).
func NewWorker(w Worker) *Worker {
	out := &w
	out.rc = sync.OnceValue(out.readRC)
	return out
}

// Classic makes what a Server's options want.
func (w *Worker) Classic(core classic.Options) *Classic {
	return &Classic{Core: core, Run: w.run, Script: w.script, HasScript: func(name string) bool { return w.rc()[name] }}
}

// run carries a job out.
func (w *Worker) run(job classic.Job) classic.JobDone {
	ctx := context.Background()
	done := classic.JobDone{ID: job.ID}
	switch job.Kind {
	case classic.Fence:
		if err := w.fence(ctx, job.Node); err != nil {
			done.Error = err.Error()
		}
	case classic.Acquire:
		for _, g := range w.read() {
			if side := w.side(g); job.What&side != 0 && !w.take(ctx, g) {
				done.Failed |= side
			}
		}
	case classic.Release:
		for _, g := range w.read() {
			if job.What&w.side(g) != 0 {
				w.give(ctx, g)
			}
		}
	case classic.Survey:
		for _, g := range w.read() {
			if side := w.side(g); job.What&side != 0 && w.survey(ctx, g, job.Keep&side != 0) {
				done.Running |= side
			}
		}
	case classic.TakeKey:
		if g, ok := haresources.Find(w.read(), job.Key); ok && !w.take(ctx, g) {
			done.Failed = w.side(g)
		}
	case classic.GiveKey:
		done.Held = w.giveKey(ctx, job.Key)
	}
	return done
}

func (w *Worker) side(g haresources.Group) classic.Holding {
	if g.Owner == w.Node {
		return classic.Local
	}
	return classic.Foreign
}

// read reads haresources anew; where that fails the groups are those of the
// last time, so that what was started can be stopped.
func (w *Worker) read() []haresources.Group {
	groups, problems, err := w.Manager.Groups()
	if err != nil {
		w.Log.Error("cannot read haresources: going on with what was in it", "groups", len(w.groups), "err", err)
		return w.groups
	}
	for _, p := range problems {
		w.Log.Warn(p.String())
	}
	w.groups = groups
	return groups
}

func (w *Worker) take(ctx context.Context, g haresources.Group) bool {
	err := w.Manager.Take(ctx, g)
	if err != nil {
		w.Log.Error("resource group does not run", "group", g.Key(), "err", err)
		w.check(err)
	}
	return err == nil
}

func (w *Worker) give(ctx context.Context, g haresources.Group) {
	if err := w.Manager.Give(ctx, g); err != nil {
		w.Log.Error("resource group is not stopped", "group", g.Key(), "err", err)
		w.check(err)
	}
}

// survey tells whether something of a group runs here and may go on; else it
// stops it.
func (w *Worker) survey(ctx context.Context, g haresources.Group, keep bool) bool {
	extent, err := w.Manager.Extent(ctx, g)
	if err != nil {
		w.Log.Warn("cannot ask a group for its status", "group", g.Key(), "err", err)
	}
	if extent != resman.Nothing && !keep {
		w.Log.Warn("a resource group runs here although this node does not hold it: stopping it", "group", g.Key(), "runs", extent)
		w.give(ctx, g)
	}
	return extent != resman.Nothing && keep
}

// check: a resource that cannot be stopped here must not be started elsewhere,
// and only a reset makes sure that it has stopped.
func (w *Worker) check(err error) {
	if errors.Is(err, resman.ErrStopFailed) {
		w.Log.Log(context.Background(), halog.LevelCrit, "Killing heartbeat ungracefully!")
		w.Reboot(err.Error())
	}
}

func (w *Worker) giveKey(ctx context.Context, key string) bool {
	g, ok := haresources.Find(w.read(), key)
	if !ok {
		return false
	}
	up, err := w.Manager.Running(ctx, g.Resources[0])
	if err != nil {
		w.Log.Error("cannot ask a resource for its status", "resource", key, "err", err)
	}
	if !up {
		return false
	}
	if w.rc()["local_giveip"] {
		w.script("local_giveip", map[string]string{"HA_ipaddr": key})
	}
	w.give(ctx, g)
	return true
}

func (w *Worker) fence(ctx context.Context, node string) error {
	if w.Fence == nil {
		return errors.New("no STONITH device is configured")
	}
	return w.Fence(ctx, node)
}

func (w *Worker) readRC() map[string]bool {
	names := map[string]bool{}
	entries, err := os.ReadDir(filepath.Join(w.Dir, "rc.d"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		w.Log.Error("cannot read the folder of scripts", "err", err)
	}
	for _, e := range entries {
		names[e.Name()] = true
	}
	return names
}

// script runs a script of rc.d by harc, or by itself where there is no harc.
func (w *Worker) script(name string, vars map[string]string) {
	argv := []string{filepath.Join(w.Dir, "harc"), name}
	if _, err := os.Stat(argv[0]); err != nil {
		argv = []string{filepath.Join(w.Dir, "rc.d", name), name}
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = "/"
	cmd.Env = append([]string(nil), w.Env...)
	for k, v := range vars {
		if !strings.ContainsRune(v, 0) {
			cmd.Env = append(cmd.Env, k+"="+v)
		}
	}
	code, err := w.Manager.Exec(cmd, name)
	switch {
	case err != nil:
		w.Log.Error("cannot run a script", "script", argv[0], "err", err)
	case code != 0:
		w.Log.Warn(fmt.Sprintf("Exiting %s returned rc %d.", strings.Join(argv, " "), code))
	}
}
