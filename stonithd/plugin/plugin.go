package plugin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"linuxha/stonithd/device"
)

// MetadataTimeout bounds the reading of an agent's metadata.
const MetadataTimeout = 30 * time.Second

// Job is one run of an agent.
type Job struct {
	Agent   string
	Action  string // the word for the agent
	Target  string // may be empty
	Input   []device.Param
	Timeout time.Duration
}

// Run runs an agent's action and returns how it ended.
func (f Finder) Run(ctx context.Context, j Job) device.Result {
	a, err := f.find(j.Agent)
	if err != nil {
		return notInstalled(err)
	}
	return a.run(ctx, j)
}

// rhcs is an RHCS-style agent.
type rhcs struct{ path, name string }

func (a rhcs) run(ctx context.Context, j Job) device.Result {
	var in bytes.Buffer
	if name, ok := strings.CutPrefix(a.name, "rhcs/"); ok {
		fmt.Fprintf(&in, "agent=%s\n", name)
	}
	for _, p := range j.Input {
		fmt.Fprintf(&in, "%s=%s\n", p.Name, strings.ReplaceAll(p.Value, "\n", " "))
	}
	return process{path: a.path, env: environment(), stdin: in.Bytes(), timeout: j.Timeout}.run(ctx)
}

func notInstalled(err error) device.Result {
	status := device.StatusError
	if errors.Is(err, ErrNotInstalled) {
		status = device.StatusNotInstalled
	}
	return device.Result{RC: 1, Status: status, Reason: err.Error()}
}

// environment is the fencer's own, told that a fencer calls, so that the
// agents' own time limits stand back (execution 31.6).
func environment() []string {
	env := slices.DeleteFunc(os.Environ(), func(kv string) bool {
		return strings.HasPrefix(kv, "NOTIFY_SOCKET=") || strings.HasPrefix(kv, "LC_ALL=") || strings.HasPrefix(kv, "PCMK_service=")
	})
	if os.Getenv("PATH") == "" {
		env = append(env, "PATH=/sbin:/bin:/usr/sbin:/usr/bin")
	}
	return append(env, "LC_ALL=C", "PCMK_service=pacemaker-fenced")
}

// Metadata returns an agent's description as XML.
func (f Finder) Metadata(ctx context.Context, agent string, timeout time.Duration) ([]byte, error) {
	a, err := f.find(agent)
	if err != nil {
		return nil, err
	}
	if timeout <= 0 {
		timeout = MetadataTimeout
	}
	return a.metadata(ctx, timeout)
}

func (a rhcs) metadata(ctx context.Context, timeout time.Duration) ([]byte, error) {
	doc, err := document(a.name, process{path: a.path, env: environment(), stdin: []byte("action=metadata\n"), timeout: timeout}.run(ctx))
	if err != nil {
		return nil, err
	}
	if doc, err = present(doc); err != nil {
		return nil, fmt.Errorf("metadata of %s: %w", a.name, err)
	}
	return doc, nil
}

// document is the metadata that a program has printed.
func document(name string, res device.Result) ([]byte, error) {
	if !res.OK() {
		return nil, fmt.Errorf("metadata of %s: %s", name, explain(res))
	}
	if strings.TrimSpace(res.Output) == "" {
		return nil, fmt.Errorf("metadata of %s: the agent printed none", name)
	}
	return []byte(res.Output), nil
}

// Info is what the fencer needs of an agent's metadata.
func (f Finder) Info(ctx context.Context, agent string, timeout time.Duration) (device.Info, error) {
	a, err := f.find(agent)
	if err != nil {
		return device.Info{}, err
	}
	if timeout <= 0 {
		timeout = MetadataTimeout
	}
	return a.info(ctx, timeout)
}

func (a rhcs) info(ctx context.Context, timeout time.Duration) (device.Info, error) {
	doc, err := a.metadata(ctx, timeout)
	if err != nil {
		return device.Info{}, err
	}
	info, err := device.ParseMetadata(doc)
	info.NoHostParam = filepath.Base(a.name) == "fence_legacy" // it wants nodename alone (execution 31.2)
	return info, err
}

func explain(r device.Result) string {
	switch {
	case r.Reason != "":
		return r.Reason
	case r.Status != device.StatusDone:
		return r.Status.Text()
	case strings.TrimSpace(r.Stderr) != "":
		return strings.TrimSpace(r.Stderr)
	}
	return fmt.Sprintf("exit code %d", r.RC)
}
