package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"linuxha/heartbeatd/classic"
	"linuxha/heartbeatd/hacf"
	"linuxha/heartbeatd/halog"
	"linuxha/heartbeatd/haresources"
	"linuxha/heartbeatd/resman"
	"linuxha/heartbeatd/server"
	"linuxha/heartbeatd/supervise"
)

// classicMode is what the server needs where ha.cf leaves resources to
// haresources; nil where it does not.
func (n *node) classicMode(forks *supervise.Forker) (*server.Classic, error) {
	cfg := n.cfg
	if cfg.CRM.Enabled() || n.cmd.noResources {
		return nil, nil
	}
	if err := n.makeRscTmp(); err != nil {
		return nil, err
	}
	core := classic.Options{Node: cfg.Node, Failback: classic.Failback(cfg.AutoFailback), Fencing: cfg.Stonith != nil}
	for _, name := range cfg.Nodes {
		if name != cfg.Node {
			core.Peer = name
		}
	}
	for _, g := range haresources.Of(cfg.Groups, cfg.Node, true) {
		core.Keys = append(core.Keys, g.Key())
	}
	env := n.scriptEnvironment()
	manager := resman.New(resman.Options{
		Dir: n.layout.Config(), Init: n.layout.LSB(), Env: env, Start: forks.Start,
		Output: n.collect,
		Log:    n.scriptLog(),
	})
	worker := server.Worker{Node: cfg.Node, Manager: manager, Dir: n.layout.Config(), Env: env, Log: n.log, Reboot: n.reboot}
	if cfg.Stonith != nil {
		worker.Fence = func(ctx context.Context, victim string) error { return n.fence(ctx, forks, env, victim) }
	}
	return server.NewWorker(worker).Classic(core), nil
}

// makeRscTmp makes the folder anew in which scripts keep what a restart ends
// (HB 1.2).
func (n *node) makeRscTmp() error {
	dir := n.rscTmp()
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.Chmod(dir, 0o1755)
}

func (n *node) rscTmp() string { return filepath.Join(n.layout.Run(), "rsctmp") }

// fifoPath is where scripts write messages.
func (n *node) fifoPath() string { return filepath.Join(n.layout.State(), "fifo") }

// scriptEnvironment is what resource scripts and those of rc.d get (HB 19.2).
func (n *node) scriptEnvironment() []string {
	dir := n.layout.Config() + "/"
	nice := "yes"
	if n.cfg.AutoFailback == string(classic.FailbackLegacy) {
		nice = "no"
	}
	return append(supervise.Environment(n.cfg, n.layout),
		"HA_DIR="+dir, "HA_FUNCS="+dir+"shellfuncs", "HA_DATEFMT=%Y/%m/%d_%T\t", "HA_LOGD=no",
		"HA_RSCTMP="+n.rscTmp(), "HA_FIFO="+n.fifoPath(), "HA_NICEFAILBACK="+nice,
		"HA_RESOURCEDIR="+filepath.Join(n.layout.Config(), "resource.d"), "HA_RCDIR="+filepath.Join(n.layout.Config(), "rc.d"))
}

// collect takes what a script prints into the log.
func (n *node) collect(r io.ReadCloser, script string, pid int) {
	defer r.Close()
	if err := n.out.Collect(r, script, pid); err != nil {
		n.log.Warn("lost a script's messages", "script", script, "err", err)
	}
}

// scriptLog writes lines of the resource manager under its name.
func (n *node) scriptLog() func(level, text string) {
	log := n.out.Logger("ResourceManager")
	levels := map[string]slog.Level{"info": slog.LevelInfo, "WARN": slog.LevelWarn, "ERROR": slog.LevelError, "CRIT": halog.LevelCrit}
	return func(level, text string) { log.Log(context.Background(), levels[level], text) }
}

// reboot ends this machine at once: something runs on it that must not.
func (n *node) reboot(reason string) {
	n.log.Log(context.Background(), halog.LevelCrit, "this machine is reset", "reason", reason)
	_ = n.out.Close() // the last words must reach the disk
	if n.layout.Root == "/" {
		unix.Sync()
		// In a container this ends the container.
		if err := unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART); err != nil {
			fmt.Fprintln(os.Stderr, "cannot reboot:", err)
		}
	}
	os.Exit(exitError) // the watchdog, if there is one, does the rest
}

// fencePatience is how long one attempt to reset a node may take.
const fencePatience = 2 * time.Minute

// fence resets a node with the device of ha.cf.
func (n *node) fence(ctx context.Context, forks *supervise.Forker, env []string, victim string) error {
	dev := n.cfg.Stonith
	n.log.Info(fmt.Sprintf("Resetting node %s with [%s]", victim, strings.TrimSpace(dev.Type+" "+dev.File)))
	if dev.Type == "meatware" {
		return n.meatware(ctx, victim)
	}
	ctx, cancel := context.WithTimeout(ctx, fencePatience)
	defer cancel()
	cmd, err := n.fenceCommand(ctx, dev, victim)
	if err != nil {
		return err
	}
	cmd.Env = append(slices.Clone(env), cmd.Env...)
	cmd.WaitDelay = 5 * time.Second
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	err = forks.Start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %s", cmd.Path, err, strings.Join(strings.Fields(out.String()), " "))
	}
	n.log.Info(fmt.Sprintf("node %s now reset.", victim))
	return nil
}

// meatware waits until an operator has said with meatclient that the node was
// reset by hand.
func (n *node) meatware(ctx context.Context, victim string) error {
	path := n.layout.Meatware(victim)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := server.OpenFIFO(path)
	if err != nil {
		return err
	}
	defer os.Remove(path)
	stop := context.AfterFunc(ctx, func() { f.Close() })
	defer stop()
	defer f.Close()
	n.log.Log(ctx, halog.LevelCrit, "OPERATOR INTERVENTION REQUIRED to reset "+victim+".")
	n.log.Log(ctx, halog.LevelCrit, fmt.Sprintf("Run \"meatclient -c %s\" AFTER power-cycling the machine.", victim))
	answer := make([]byte, 256)
	for {
		size, err := f.Read(answer)
		if err != nil {
			return err
		}
		// Two answers may come in one piece.
		if strings.HasSuffix(strings.TrimRight(string(answer[:size]), "\n"), "meatware reply "+victim) {
			n.log.Info(fmt.Sprintf("node Meatware-reset: %s", victim))
			return nil
		}
	}
}

// fenceCommand runs a fence agent (fence_*), or cluster-glue's stonith for its
// own kinds of devices.
func (n *node) fenceCommand(ctx context.Context, dev *hacf.Stonith, victim string) (*exec.Cmd, error) {
	params := dev.Params
	if dev.File != "" {
		text, err := os.ReadFile(hacf.Below(n.layout.Root, dev.File))
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(text)) {
			line, _, _ = strings.Cut(line, "#")
			params = append(params, strings.Fields(line)...)
		}
	}
	if !strings.HasPrefix(dev.Type, "fence_") {
		args := []string{"-t", dev.Type, "-p", strings.Join(params, " "), "-T", "reset", victim}
		return exec.CommandContext(ctx, "stonith", args...), nil
	}
	for _, dir := range n.layout.FenceAgents() {
		path := filepath.Join(dir, dev.Type)
		if _, err := os.Stat(path); err != nil {
			continue
		}
		cmd := exec.CommandContext(ctx, path)
		cmd.Stdin = strings.NewReader("action=reboot\nport=" + victim + "\nnodename=" + victim + "\n" + strings.Join(params, "\n") + "\n")
		return cmd, nil
	}
	return nil, errors.New("there is no fence agent " + dev.Type + " in " + strings.Join(n.layout.FenceAgents(), " or "))
}
