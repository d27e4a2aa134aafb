// Package plugin runs fencing agents of the three kinds there are: RHCS-style
// programs fence_NAME, which read name=value lines (execution 30, 31);
// cluster-glue's external plugins, which get a command, a host and their
// parameters in the environment (execution 48); and its binary plugins, which
// only its own program stonith can load (execution 49). It decides nothing.
package plugin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"linuxha/internal/paths"
	"linuxha/stonithd/device"
)

// ErrNotInstalled: no program of that name was found.
var ErrNotInstalled = errors.New("fence agent is not installed")

// Finder knows where agents are.
type Finder struct {
	// Agents are the folders of RHCS-style agents, searched in order.
	Agents []string
	// External is the folder of cluster-glue's external plugins.
	External string
	// Binary is the folder of its binary plugins, NAME.so.
	Binary string
	// Stonith are the places of the program that loads those, tried in order.
	Stonith []string
}

// NewFinder returns the folders of a node: the system's, then the one of our
// own programs, where our own agents are.
func NewFinder(l paths.Layout) Finder {
	f := Finder{
		Agents:   append(l.FenceAgents(), filepath.Dir(paths.Sibling("stonithd"))),
		External: filepath.Join(l.StonithPlugins(), "external"),
		Binary:   filepath.Join(l.StonithPlugins(), "stonith2"),
	}
	for _, dir := range l.FenceAgents() {
		f.Stonith = append(f.Stonith, filepath.Join(dir, "stonith"))
	}
	return f
}

// agent is a fence agent that was found.
type agent interface {
	run(ctx context.Context, j Job) device.Result
	metadata(ctx context.Context, timeout time.Duration) ([]byte, error)
	info(ctx context.Context, timeout time.Duration) (device.Info, error)
}

// find looks for an agent: RHCS style first, then Linux-HA (execution 30.1).
func (f Finder) find(name string) (agent, error) {
	if plugin, ok := isExternal(name); ok {
		path, err := f.externalPath(plugin)
		return external{path: path, name: plugin}, err
	}
	path, err := f.rhcsPath(name)
	if err == nil && (strings.HasPrefix(filepath.Base(path), "fence_") || !f.hasBinary(name)) {
		return rhcs{path: path, name: name}, nil
	}
	if filepath.Base(name) == watchdogName {
		return watchdog{}, nil // no program of that name is needed
	}
	if f.hasBinary(name) {
		command, err := f.stonith()
		return binary{command: command, name: name}, err
	}
	return nil, err
}

// isExternal tells the two kinds apart; name is without the prefix.
func isExternal(agent string) (name string, ok bool) { return strings.CutPrefix(agent, "external/") }

func (f Finder) rhcsPath(agent string) (string, error) {
	name := filepath.Base(agent)
	if rest, ok := strings.CutPrefix(agent, "rhcs/"); ok {
		name = "fence_" + rest
	}
	for _, dir := range f.Agents {
		p := filepath.Join(dir, name)
		if fi, err := os.Stat(p); err == nil && fi.Mode().IsRegular() {
			return p, nil
		}
	}
	err := fmt.Errorf("%w: %s is in none of %s", ErrNotInstalled, name, strings.Join(f.Agents, ", "))
	if !strings.HasPrefix(name, "fence_") {
		err = fmt.Errorf("%w, and there is no plugin %s; Linux-HA's own plugins come with the package cluster-glue: install it",
			err, filepath.Join(f.Binary, name+".so"))
	}
	return "", err
}

// hasBinary: there is a binary plugin of that name. Two of them only lead back
// to the other kinds.
func (f Finder) hasBinary(name string) bool {
	if f.Binary == "" || name != filepath.Base(name) || name == "external" || name == "rhcs" {
		return false
	}
	fi, err := os.Stat(filepath.Join(f.Binary, name+".so"))
	return err == nil && fi.Mode().IsRegular()
}

// stonith finds the program that loads binary plugins.
func (f Finder) stonith() (string, error) {
	for _, p := range f.Stonith {
		if fi, err := os.Stat(p); err == nil && fi.Mode().IsRegular() {
			return p, nil
		}
	}
	return "", fmt.Errorf("%w: binary plugins need the program stonith, which is none of %s: install the package cluster-glue",
		ErrNotInstalled, strings.Join(f.Stonith, ", "))
}

func (f Finder) externalPath(name string) (string, error) {
	p := filepath.Join(f.External, filepath.Base(name))
	fi, err := os.Stat(p)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("%w: %s does not exist", ErrNotInstalled, p)
	case err != nil:
		return "", err
	case !usable(fi):
		return "", fmt.Errorf("%w: %s must be an executable file that only its owner may write", ErrNotInstalled, p)
	}
	return p, nil
}

// usable: cluster-glue refuses plugins that others could change.
func usable(fi fs.FileInfo) bool {
	return fi.Mode().IsRegular() && fi.Mode().Perm()&0o111 != 0 && fi.Mode().Perm()&0o022 == 0
}

// List names all agents that can be used: Linux-HA's, then RHCS-style ones,
// each sorted, as the reference's tools show them.
func (f Finder) List() []string {
	var names, linuxHA []string
	for _, dir := range f.Agents {
		found, err := filepath.Glob(filepath.Join(dir, "fence_*"))
		if err != nil {
			continue // only for a malformed pattern
		}
		for _, p := range found {
			if fi, err := os.Stat(p); err == nil && fi.Mode().IsRegular() {
				names = append(names, filepath.Base(p))
			}
		}
	}
	entries, err := os.ReadDir(f.External)
	if err == nil {
		for _, e := range entries {
			if fi, err := os.Stat(filepath.Join(f.External, e.Name())); err == nil && usable(fi) {
				linuxHA = append(linuxHA, "external/"+e.Name())
			}
		}
	}
	linuxHA = append(linuxHA, f.binaries()...)
	slices.Sort(linuxHA)
	slices.Sort(names)
	return append(slices.Compact(linuxHA), slices.Compact(names)...)
}

func (f Finder) binaries() []string {
	entries, err := os.ReadDir(f.Binary)
	if err != nil {
		return nil // no such folder: no such plugins
	}
	if _, err := f.stonith(); err != nil {
		return nil // nothing can use them
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".so"); ok && f.hasBinary(name) {
			names = append(names, name)
		}
	}
	return names
}
