// Package resman starts, stops and asks the resource groups of haresources by
// their scripts, as Heartbeat's ResourceManager does (HB 19.3). heartbeatd uses
// it in classic mode, and the tool ResourceManager on behalf of operators and
// of scripts that call it. It decides nothing about which node runs what.
package resman

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"linuxha/heartbeatd/haresources"
)

// Options say where scripts are and who hears of what they do.
type Options struct {
	Dir  string   // of haresources and resource.d: /etc/ha.d
	Init string   // of init scripts: /etc/init.d
	Env  []string // of the scripts; nil: this process's
	// Start starts a command; nil: its own Start. heartbeatd forks on a
	// thread with ordinary priority.
	Start func(*exec.Cmd) error
	// Output takes what a script prints, until its last process has closed
	// it. Nil: it is this process's standard error.
	Output func(r io.ReadCloser, script string, pid int)
	// Log gets a line with its level: info, WARN, ERROR, CRIT.
	Log func(level, text string)
	// StopRetries and StopPause are how often and when a failed stop is tried
	// again; zero: 10 times, after a second.
	StopRetries int
	StopPause   time.Duration
}

// Manager runs scripts. Its methods may be called from any goroutine, but two
// of them must not work on one group at the same time.
type Manager struct{ opt Options }

// New makes a Manager.
func New(opt Options) *Manager {
	if opt.Log == nil {
		opt.Log = func(string, string) {}
	}
	if opt.StopRetries == 0 {
		opt.StopRetries = 10
	}
	if opt.StopPause == 0 {
		opt.StopPause = time.Second
	}
	return &Manager{opt}
}

// Groups reads haresources anew: edits take effect at the next takeover.
func (m *Manager) Groups() ([]haresources.Group, []haresources.Problem, error) {
	file := filepath.Join(m.opt.Dir, "haresources")
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, err
	}
	groups, problems := haresources.Parse(file, text)
	return groups, problems, nil
}

// Errors of Take and Give.
var (
	// ErrNoScript: neither resource.d nor init.d has it.
	ErrNoScript = errors.New("no such resource script")
	// ErrStopFailed: a resource still runs although it was stopped again and
	// again. Nobody else may start it before this machine is reset.
	ErrStopFailed = errors.New("resource cannot be stopped")
)

// ScriptError is a script's refusal.
type ScriptError struct {
	Path string
	Code int
}

func (e *ScriptError) Error() string { return fmt.Sprintf("%s: exit status %d", e.Path, e.Code) }

// find returns the path of r's script.
func (m *Manager) find(r haresources.Resource) (string, error) {
	for _, dir := range []string{filepath.Join(m.opt.Dir, "resource.d"), m.opt.Init} {
		path := filepath.Join(dir, r.Script)
		st, err := os.Stat(path)
		if err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
			return path, nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	m.opt.Log("ERROR", "Cannot locate resource script "+r.Script)
	return "", fmt.Errorf("%w: %s is no executable file in %s/resource.d or %s", ErrNoScript, r.Script, m.opt.Dir, m.opt.Init)
}

var (
	saysStopped = regexp.MustCompile(`(?im)^.*not *running.*$`)
	saysRunning = regexp.MustCompile(`(?i)running|(?-i:\bOK\b)`)
)

// says judges the text that `script status` prints; its exit status does not
// count, since old scripts get it wrong (HB 19.3).
func says(text string) bool {
	return !saysStopped.MatchString(text) && saysRunning.MatchString(text)
}

// Running asks a resource's script whether it runs.
func (m *Manager) Running(ctx context.Context, r haresources.Resource) (bool, error) {
	path, err := m.find(r)
	if err != nil {
		return false, err
	}
	return m.running(ctx, path, r)
}

func (m *Manager) running(ctx context.Context, path string, r haresources.Resource) (bool, error) {
	var out strings.Builder
	cmd := m.command(ctx, path, r, "status")
	cmd.Stdout, cmd.Stderr = &out, nil
	cmd.WaitDelay = time.Second // a status script that leaves something behind
	if err := m.start(cmd); err != nil {
		return false, err
	}
	err := cmd.Wait()
	var code *exec.ExitError
	if err != nil && !errors.As(err, &code) && !errors.Is(err, exec.ErrWaitDelay) {
		return false, err
	}
	return says(out.String()), ctx.Err()
}

// Take starts a group from left to right; what runs already is left alone. If
// something does not start the whole group is stopped again and the error says
// why; the error is ErrStopFailed if that failed too.
func (m *Manager) Take(ctx context.Context, g haresources.Group) error {
	m.opt.Log("info", "Acquiring resource group: "+g.String())
	for _, r := range g.Resources {
		err := m.take(ctx, r)
		if err == nil {
			continue
		}
		m.opt.Log("CRIT", "Giving up resources due to failure of "+r.Text)
		return errors.Join(fmt.Errorf("group %s (line %d of haresources): %w", g.Key(), r.Line, err), m.Give(context.WithoutCancel(ctx), g))
	}
	return nil
}

func (m *Manager) take(ctx context.Context, r haresources.Resource) error {
	path, err := m.find(r)
	if err != nil {
		return err
	}
	up, err := m.running(ctx, path, r)
	if err != nil || up {
		return err
	}
	code, err := m.run(ctx, path, r, "start")
	if err != nil {
		return err
	}
	if code != 0 {
		m.opt.Log("ERROR", fmt.Sprintf("Return code %d from %s", code, path))
		return &ScriptError{path, code}
	}
	return nil
}

// Give stops a group from right to left, whether it runs or not.
func (m *Manager) Give(ctx context.Context, g haresources.Group) error {
	m.opt.Log("info", "Releasing resource group: "+g.String())
	var errs []error
	for i := len(g.Resources) - 1; i >= 0; i-- {
		if err := m.give(ctx, g.Resources[i]); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (m *Manager) give(ctx context.Context, r haresources.Resource) error {
	path, err := m.find(r)
	if errors.Is(err, ErrNoScript) {
		return nil // what cannot be started need not be stopped
	}
	if err != nil {
		return err
	}
	for try := 0; ; try++ {
		code, err := m.run(ctx, path, r, "stop")
		if err == nil && code == 0 {
			return nil
		}
		if err == nil {
			m.opt.Log("ERROR", fmt.Sprintf("Return code %d from %s", code, path))
		}
		if try >= m.opt.StopRetries {
			return m.stuck(ctx, path, r)
		}
		m.opt.Log("info", fmt.Sprintf("Retrying failed stop operation [%s]", r.Text))
		select {
		case <-time.After(m.opt.StopPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// stuck decides about a resource whose stop fails for good.
func (m *Manager) stuck(ctx context.Context, path string, r haresources.Resource) error {
	up, err := m.running(ctx, path, r)
	if err == nil && !up {
		m.opt.Log("ERROR", fmt.Sprintf("Resource script for %s probably not LSB-compliant.", r.Text))
		m.opt.Log("WARN", fmt.Sprintf("it (%s) MUST succeed on a stop when already stopped", r.Text))
		m.opt.Log("WARN", "Machine reboot narrowly avoided!")
		return nil
	}
	m.opt.Log("CRIT", "Resource STOP failure. Reboot required!")
	return errors.Join(fmt.Errorf("%w: %s", ErrStopFailed, r.Text), err)
}

// Extent says how much of a group runs.
type Extent string

// The answers of statgroup.
const (
	Whole   Extent = "ALL"
	Partly  Extent = "SOME"
	Nothing Extent = "NONE"
)

// Extent asks all resources of a group; the error tells which could not be
// asked, and the answer is about the others.
func (m *Manager) Extent(ctx context.Context, g haresources.Group) (Extent, error) {
	up := 0
	var errs []error
	for _, r := range g.Resources {
		is, err := m.Running(ctx, r)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", r.Text, err))
		}
		if is {
			up++
		}
	}
	switch up {
	case 0:
		return Nothing, errors.Join(errs...)
	case len(g.Resources):
		return Whole, errors.Join(errs...)
	}
	return Partly, errors.Join(errs...)
}

func (m *Manager) command(ctx context.Context, path string, r haresources.Resource, action string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, path, append(append([]string(nil), r.Args...), action)...)
	cmd.Env = m.opt.Env
	cmd.Dir = "/"
	return cmd
}

func (m *Manager) start(cmd *exec.Cmd) error {
	if m.opt.Start != nil {
		return m.opt.Start(cmd)
	}
	return cmd.Start()
}

// run carries an action out and returns the script's exit status.
func (m *Manager) run(ctx context.Context, path string, r haresources.Resource, action string) (int, error) {
	m.opt.Log("info", strings.Join(append(append([]string{"Running", path}, r.Args...), action), " "))
	return m.Exec(m.command(ctx, path, r, action), r.Script)
}

// Exec starts a command, hands its output on and waits for its end, not for
// that of what it leaves running. -1 stands for a signal.
func (m *Manager) Exec(cmd *exec.Cmd, name string) (int, error) {
	var reader *os.File
	if m.opt.Output == nil {
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	} else {
		r, w, err := os.Pipe()
		if err != nil {
			return 0, err
		}
		defer w.Close()
		cmd.Stdout, cmd.Stderr, reader = w, w, r
	}
	if err := m.start(cmd); err != nil {
		if reader != nil {
			reader.Close()
		}
		return 0, err
	}
	if reader != nil {
		go m.opt.Output(reader, name, cmd.Process.Pid)
	}
	err := cmd.Wait()
	var code *exec.ExitError
	if errors.As(err, &code) {
		return code.ExitCode(), nil
	}
	return 0, err
}
