package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc"

	"linuxha/internal/ipc"
)

// A Node is one machine of the lab.
type Node struct {
	Name    string
	Index   int  // from 1; the last part of its addresses
	Cluster bool // runs the stack; false for clients

	lab  *Lab
	base string // its folder on the host

	power sync.Mutex // held while it is switched on or off

	mu    sync.Mutex
	body  body     // what runs it; nil: off
	stack *process // heartbeatd; nil: not started
}

// A body is a node that is switched on: a process 1 in namespaces, or, for
// loopback nodes, just the processes that carry its name.
type body interface {
	// spawn starts a program in the background with its output in log.
	spawn(argv, env []string, log string) (*process, error)
	// signal is to a process that spawn returned.
	signal(pid int, sig syscall.Signal) error
	// signalAll is to all of the node's processes at one instant.
	signalAll(sig syscall.Signal) error
	// command is one that will run on the node.
	command(ctx context.Context, argv []string) (*exec.Cmd, error)
	processes() ([]Proc, error)
	// end takes its links and then all its processes, and returns when none is left.
	end()
}

// process is a program that was started on the node.
type process struct {
	pid  int // in the node's own numbering
	done chan struct{}
	end  string // how it ended; set before done is closed
}

// install writes the node's configuration and folders, as a package would.
func (n *Node) install() error {
	for _, dir := range []string{"/etc/ha.d", "/var/lib/heartbeat", "/var/log", "/run", "/tmp"} {
		if err := os.MkdirAll(n.path(n.base, dir), 0o755); err != nil {
			return err
		}
	}
	if n.lab.opts.DiskSize > 0 && n.Cluster {
		o := order{Op: "disk", Disk: &diskSpec{Path: n.path(n.base, "/var/lib/heartbeat"), Size: n.lab.opts.DiskSize}}
		if _, err := n.lab.wires.proc.do(o); err != nil {
			return err
		}
	}
	for _, sub := range []string{"crm", "pengine", "cores"} {
		dir := filepath.Join(n.Path("/var/lib/heartbeat"), sub)
		if err := os.Mkdir(dir, 0o750); err != nil {
			return err
		}
		if n.lab.opts.Loopback {
			continue // everything runs as the one user that there is
		}
		if err := os.Chown(dir, n.lab.uid, n.lab.gid); err != nil {
			return err
		}
	}
	if !n.Cluster {
		return nil
	}
	if err := os.WriteFile(n.Path("/etc/ha.d/ha.cf"), []byte(n.lab.haCF(n)), 0o644); err != nil {
		return err
	}
	return os.WriteFile(n.Path("/etc/ha.d/authkeys"), []byte(n.lab.authkeys()), 0o600)
}

// disk is the node's folder as it is seen with its small disk mounted.
func (n *Node) disk() string {
	if n.lab.opts.DiskSize == 0 {
		return n.base
	}
	return filepath.Join(fmt.Sprintf("/proc/%d/root", n.lab.wires.pid()), n.base)
}

// program is the path of one of our programs, as the node sees it.
func (n *Node) program(name string) string {
	if n.lab.opts.Loopback {
		return filepath.Join(n.lab.Dir, "bin", name)
	}
	return "/usr/lib/heartbeat/" + name
}

// Path returns where a file of the node is found on the host, whether the
// node is on or off: below /etc/ha.d, /var/lib/heartbeat, /var/log, /run and
// /tmp.
func (n *Node) Path(path string) string { return n.path(n.disk(), path) }

func (n *Node) path(base, path string) string {
	for _, m := range []struct{ inside, sub string }{
		{"/etc/ha.d", "ha.d"},
		{"/var/lib/heartbeat", "lib"},
		{"/var/log", "log"},
		{"/var/run", "run"},
		{"/run", "run"},
		{"/tmp", "tmp"},
		{"/dev/watchdog", "watchdog"},
	} {
		rest, ok := strings.CutPrefix(path, m.inside)
		if !ok || rest != "" && rest[0] != '/' {
			continue
		}
		if n.lab.opts.Loopback { // the places are those of HA_ROOT
			if m.inside == "/run" {
				path = "/var" + path
			}
			return filepath.Join(base, path)
		}
		return filepath.Join(base, m.sub, rest)
	}
	panic("lab: " + path + " does not outlive the node: read it on the node with Run")
}

// Address is the node's address on a link.
func (n *Node) Address(link int) net.IP {
	if n.lab.opts.Loopback {
		return net.IPv4(127, 77, 0, byte(n.Index))
	}
	return Address(link, n.Index).IP
}

// On reports whether the node is switched on.
func (n *Node) On() bool { return n.present() != nil }

func (n *Node) present() body {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.body
}

// Running reports whether its heartbeatd runs.
func (n *Node) Running() bool {
	n.mu.Lock()
	p := n.stack
	n.mu.Unlock()
	if p == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

var errOff = errors.New("the node is off")

// Boot switches the node on. Its disk is as it was left; /run and /tmp are
// empty.
func (n *Node) Boot() error {
	n.power.Lock()
	defer n.power.Unlock()
	if n.On() {
		return nil
	}
	for _, dir := range []string{"/run", "/tmp"} {
		if err := emptyFolder(n.path(n.base, dir)); err != nil {
			return err
		}
	}
	n.mu.Lock()
	n.stack = nil
	n.mu.Unlock()
	boot := bootMachine
	if n.lab.opts.Loopback {
		boot = bootLoopback
	}
	b, err := boot(n)
	if err != nil {
		return fmt.Errorf("boot %s: %w", n.Name, err)
	}
	n.mu.Lock()
	n.body = b
	n.mu.Unlock()
	n.lab.Event("boot", n.Name, "")
	return nil
}

// Start boots the node where it is off and starts its cluster stack.
func (n *Node) Start(ctx context.Context) error {
	if err := n.Boot(); err != nil {
		return err
	}
	if !n.Cluster || n.Running() {
		return ctx.Err()
	}
	return n.StartStack()
}

// StartStack starts heartbeatd, as the init script would; the node is on.
func (n *Node) StartStack() error {
	n.power.Lock()
	defer n.power.Unlock()
	b := n.present()
	if b == nil {
		return fmt.Errorf("start heartbeatd on %s: %w", n.Name, errOff)
	}
	p, err := b.spawn([]string{n.program("heartbeatd")}, n.lab.opts.Environ, consoleLog)
	if err != nil {
		return fmt.Errorf("start heartbeatd on %s: %w", n.Name, err)
	}
	n.mu.Lock()
	n.stack = p
	n.mu.Unlock()
	n.lab.Event("start", n.Name, "heartbeatd")
	go func() {
		<-p.done
		n.lab.Event("stack-ended", n.Name, p.end)
	}()
	return nil
}

// consoleLog takes what the daemons write to stderr.
const consoleLog = "/var/log/ha-console"

// StopStack asks heartbeatd to end (SIGTERM) and waits until it has.
func (n *Node) StopStack(ctx context.Context) error {
	n.mu.Lock()
	p, b := n.stack, n.body
	n.mu.Unlock()
	if p == nil || b == nil {
		return fmt.Errorf("stop %s: its cluster stack does not run", n.Name)
	}
	n.lab.Event("stop", n.Name, "SIGTERM to heartbeatd")
	if err := b.signal(p.pid, syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop %s: %w", n.Name, err)
	}
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop %s: heartbeatd still runs: %w", n.Name, context.Cause(ctx))
	}
}

// StackEnd waits for the end of heartbeatd and says how it ended.
func (n *Node) StackEnd(ctx context.Context) (string, error) {
	n.mu.Lock()
	p := n.stack
	n.mu.Unlock()
	if p == nil {
		return "", fmt.Errorf("%s: its cluster stack was not started", n.Name)
	}
	select {
	case <-p.done:
		return p.end, nil
	case <-ctx.Done():
		return "", fmt.Errorf("%s: heartbeatd still runs: %w", n.Name, context.Cause(ctx))
	}
}

// Kill ends the node as a power cut does: its links go at once, then all its
// processes. It returns when nothing of it is left, with the time at which
// the links were taken.
func (n *Node) Kill() (time.Time, error) {
	n.power.Lock()
	defer n.power.Unlock()
	if !n.On() {
		return time.Time{}, fmt.Errorf("kill %s: %w", n.Name, errOff)
	}
	at := time.Now()
	n.cutPower()
	n.lab.Record(Event{AtNS: at.UnixNano(), Kind: "kill", Node: n.Name, Text: fmt.Sprintf("gone after %v", time.Since(at).Round(100*time.Microsecond))})
	return at, nil
}

// cutPower is Kill for callers that hold n.power.
func (n *Node) cutPower() {
	b := n.present()
	if b == nil {
		return
	}
	b.end()
	n.mu.Lock()
	n.body = nil
	n.mu.Unlock()
}

// off is cutPower for the end of the lab.
func (n *Node) off() {
	n.power.Lock()
	defer n.power.Unlock()
	n.cutPower()
}

// Freeze stops every process of the node at one instant; its kernel goes on
// answering. Thaw continues them.
func (n *Node) Freeze() error { return n.signalAll("freeze", syscall.SIGSTOP) }

// Thaw continues what Freeze stopped.
func (n *Node) Thaw() error { return n.signalAll("thaw", syscall.SIGCONT) }

func (n *Node) signalAll(what string, sig syscall.Signal) error {
	b := n.present()
	if b == nil {
		return fmt.Errorf("%s %s: %w", what, n.Name, errOff)
	}
	n.lab.Event(what, n.Name, "")
	return b.signalAll(sig)
}

// Proc is a process of a node.
type Proc struct {
	PID  int // in the host's numbering
	Name string
	Args []string
}

// Processes lists the node's processes but the first, by PID.
func (n *Node) Processes() ([]Proc, error) {
	b := n.present()
	if b == nil {
		return nil, fmt.Errorf("processes of %s: %w", n.Name, errOff)
	}
	return b.processes()
}

// Signal sends a signal to all processes of that name on the node and returns
// how many there were; none is an error.
func (n *Node) Signal(name string, sig syscall.Signal) (int, error) {
	procs, err := n.Processes()
	if err != nil {
		return 0, err
	}
	count := 0
	for _, p := range procs {
		if p.Name != name {
			continue
		}
		if err := syscall.Kill(p.PID, sig); err == nil {
			count++
		}
	}
	n.lab.Event("signal", n.Name, fmt.Sprintf("%v to %s (%d)", sig, name, count))
	if count == 0 {
		var names []string
		for _, p := range procs {
			names = append(names, p.Name)
		}
		return 0, fmt.Errorf("no process %q on %s; there are: %s", name, n.Name, strings.Join(names, " "))
	}
	return count, nil
}

// Command returns a command that will run on the node, with its host name,
// network, processes and files.
func (n *Node) Command(ctx context.Context, argv ...string) (*exec.Cmd, error) {
	b := n.present()
	if b == nil {
		return nil, fmt.Errorf("run %s on %s: %w", argv[0], n.Name, errOff)
	}
	cmd, err := b.command(ctx, argv)
	if err != nil {
		return nil, err
	}
	cmd.WaitDelay = time.Second
	return cmd, nil
}

// Run runs a command on the node and returns what it wrote to stdout; the
// error carries its stderr.
func (n *Node) Run(ctx context.Context, argv ...string) (string, error) {
	return n.RunInput(ctx, "", argv...)
}

// RunInput is Run with a text for stdin.
func (n *Node) RunInput(ctx context.Context, stdin string, argv ...string) (string, error) {
	cmd, err := n.Command(ctx, argv...)
	if err != nil {
		return "", err
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("%w (%w)", err, context.Cause(ctx))
		}
		return stdout.String(), &RunError{Node: n.Name, Argv: argv, Err: err, Stderr: strings.TrimSpace(stderr.String())}
	}
	return stdout.String(), nil
}

// RunError is a command on a node that failed.
type RunError struct {
	Node   string
	Argv   []string
	Err    error
	Stderr string
}

func (e *RunError) Error() string {
	return fmt.Sprintf("%s: %s: %v: %s", e.Node, strings.Join(e.Argv, " "), e.Err, e.Stderr)
}

func (e *RunError) Unwrap() error { return e.Err }

// ExitCode is the command's exit status, -1 where it has none.
func (e *RunError) ExitCode() int {
	var exit *exec.ExitError
	if errors.As(e.Err, &exit) {
		return exit.ExitCode()
	}
	return -1
}

// Dial connects to the gRPC socket of a daemon on the node. It may be called
// while nobody serves there.
func (n *Node) Dial(daemon string) (*grpc.ClientConn, error) {
	return ipc.Dial(filepath.Join(n.Path("/var/run/heartbeat"), daemon+".sock"))
}

func emptyFolder(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// PID is the host's number of the node's process 1; loopback nodes have none.
func (n *Node) PID() (int, error) {
	m, ok := n.present().(*machine)
	if !ok {
		return 0, fmt.Errorf("%s: %w", n.Name, errOff)
	}
	return m.proc.cmd.Process.Pid, nil
}

// Environ is the environment that makes a process part of a loopback node;
// nil for nodes in namespaces.
func (n *Node) Environ() []string {
	if b, ok := n.present().(*loopback); ok {
		return b.environ()
	}
	return nil
}
