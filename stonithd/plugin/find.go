// Package plugin runs fencing agents of the two kinds there are: RHCS-style
// programs fence_NAME, which read name=value lines (execution 30, 31), and
// cluster-glue's external plugins, which get a command, a host and their
// parameters in the environment (execution 48). It decides nothing.
package plugin

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"linuxha/internal/paths"
)

// ErrNotInstalled: no program of that name was found.
var ErrNotInstalled = errors.New("fence agent is not installed")

// Finder knows where agents are.
type Finder struct {
	// Agents are the folders of RHCS-style agents, searched in order.
	Agents []string
	// External is the folder of cluster-glue's external plugins.
	External string
}

// NewFinder returns the folders of a node: the system's, then the one of our
// own programs, where our own agents are.
func NewFinder(l paths.Layout) Finder {
	return Finder{
		Agents:   append(l.FenceAgents(), filepath.Dir(paths.Sibling("stonithd"))),
		External: filepath.Join(l.StonithPlugins(), "external"),
	}
}

// isExternal tells the two kinds apart; name is without the prefix.
func isExternal(agent string) (name string, ok bool) { return strings.CutPrefix(agent, "external/") }

// Path finds an agent's program.
func (f Finder) Path(agent string) (string, error) {
	if name, ok := isExternal(agent); ok {
		return f.externalPath(name)
	}
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
	return "", fmt.Errorf("%w: %s is in none of %s", ErrNotInstalled, name, strings.Join(f.Agents, ", "))
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

// List names all agents, sorted.
func (f Finder) List() []string {
	var names []string
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
				names = append(names, "external/"+e.Name())
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
