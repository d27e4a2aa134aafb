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
	"slices"
	"strconv"
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

	mu     sync.Mutex
	proc   *child         // its process 1; nil: off
	stack  *process       // heartbeatd; nil: not started
	exits  map[int]string // programs that ended before anybody asked, by PID
	waiter map[int]chan string
}

// process is a program that the node's process 1 started.
type process struct {
	pid  int // in the node's own numbering
	done chan struct{}
	end  string // how it ended; set before done is closed
}

// install writes the node's configuration and folders, as a package would.
func (n *Node) install() error {
	for _, sub := range []string{"ha.d", "lib", "log", "run", "tmp", "root"} {
		if err := os.MkdirAll(filepath.Join(n.base, sub), 0o755); err != nil {
			return err
		}
	}
	if n.lab.opts.DiskSize > 0 && n.Cluster {
		if _, err := n.lab.wires.proc.do(order{Op: "disk", Disk: &diskSpec{Path: filepath.Join(n.base, "lib"), Size: n.lab.opts.DiskSize}}); err != nil {
			return err
		}
	}
	for _, sub := range []string{"crm", "pengine", "cores"} {
		dir := filepath.Join(n.disk(), "lib", sub)
		if err := os.Mkdir(dir, 0o750); err != nil {
			return err
		}
		if err := os.Chown(dir, n.lab.uid, n.lab.gid); err != nil {
			return err
		}
	}
	if !n.Cluster {
		return nil
	}
	if err := os.WriteFile(filepath.Join(n.base, "ha.d", "ha.cf"), []byte(n.lab.haCF(n)), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(n.base, "ha.d", "authkeys"), []byte(n.lab.authkeys()), 0o600)
}

// disk is the node's folder as it is seen with its small disk mounted.
func (n *Node) disk() string {
	return filepath.Join(fmt.Sprintf("/proc/%d/root", n.lab.wires.pid()), n.base)
}

// Path returns where a file of the node is found on the host, whether the
// node is on or off: below /etc/ha.d, /var/lib/heartbeat, /var/log, /run and
// /tmp.
func (n *Node) Path(path string) string {
	for _, m := range []struct{ inside, sub string }{
		{"/etc/ha.d", "ha.d"}, {"/var/lib/heartbeat", "lib"}, {"/var/log", "log"},
		{"/var/run", "run"}, {"/run", "run"}, {"/tmp", "tmp"}, {"/dev/watchdog", "watchdog"},
	} {
		if rest, ok := strings.CutPrefix(path, m.inside); ok && (rest == "" || rest[0] == '/') {
			return filepath.Join(n.disk(), m.sub, rest)
		}
	}
	panic("lab: " + path + " does not outlive the node: read it on the node with Run")
}

// Address is the node's address on a link.
func (n *Node) Address(link int) net.IP { return Address(link, n.Index).IP }

// On reports whether the node is switched on.
func (n *Node) On() bool { return n.process1() != nil }

func (n *Node) process1() *child {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.proc
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
	for _, sub := range []string{"run", "tmp"} {
		if err := emptyFolder(filepath.Join(n.base, sub)); err != nil {
			return err
		}
	}
	if err := n.boot(); err != nil {
		n.cutPower()
		return fmt.Errorf("boot %s: %w", n.Name, err)
	}
	n.lab.Event("boot", n.Name, "")
	return nil
}

func (n *Node) boot() error {
	nsenter, err := lookPath("nsenter")
	if err != nil {
		return err
	}
	unshare, err := lookPath("unshare")
	if err != nil {
		return err
	}
	// All three programs become one process, the node's first: into the
	// switch's mounts (the small disks), then a copy of them, then our own.
	cmd := exec.Command(nsenter, fmt.Sprintf("--mount=/proc/%d/ns/mnt", n.lab.wires.pid()), "--",
		unshare, "--mount", "--propagation", "private", "--", n.lab.halab(), "boot")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
		Setpgid:    true,
	}
	cmd.Env = append(baseEnviron(), "HALAB_NODE="+n.Name)
	logTo(cmd, n.lab.Dir)
	n.mu.Lock()
	n.exits, n.waiter, n.stack = map[int]string{}, map[int]chan string{}, nil
	n.mu.Unlock()
	proc, err := startChild(cmd, n.news)
	if err != nil {
		return err
	}
	n.mu.Lock()
	n.proc = proc
	n.mu.Unlock()
	if err := n.lab.wires.plug(n.Index, proc.cmd.Process.Pid, func(link int) *net.IPNet { return Address(link, n.Index) }); err != nil {
		return err
	}
	_, err = proc.do(order{Op: "boot", Boot: &bootSpec{
		Name: n.Name, Links: n.lab.opts.Links, Base: n.base,
		Bin: filepath.Join(n.lab.Dir, "bin"), Agents: n.lab.opts.Agents, Extra: n.lab.opts.ExtraAgents,
		Shared: n.lab.SharedDir(), Socks: filepath.Join(n.lab.Dir, "socks"),
		Hosts: n.lab.hosts(), Passwd: n.lab.passwd, Group: n.lab.group,
	}})
	return err
}

func baseEnviron() []string {
	return []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C", "HOME=/root"}
}

// news notes the end of a program that process 1 started.
func (n *Node) news(msg notice) {
	if !msg.Exited {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if w := n.waiter[msg.PID]; w != nil {
		w <- msg.Status // buffered for this one value
		delete(n.waiter, msg.PID)
		return
	}
	n.exits[msg.PID] = msg.Status
}

// spawn starts a program under process 1, with its output in log.
func (n *Node) spawn(argv []string, env []string, log string) (*process, error) {
	proc := n.process1()
	if proc == nil {
		return nil, errOff
	}
	ans, err := proc.do(order{Op: "start", Start: &startSpec{Argv: argv, Env: env, Log: log}})
	if err != nil {
		return nil, err
	}
	ended := make(chan string, 1)
	n.mu.Lock()
	if how, ok := n.exits[ans.PID]; ok {
		delete(n.exits, ans.PID)
		ended <- how
	} else {
		n.waiter[ans.PID] = ended
	}
	n.mu.Unlock()
	p := &process{pid: ans.PID, done: make(chan struct{})}
	go func() {
		select {
		case p.end = <-ended:
		case <-proc.done:
			p.end = "the node went off"
		}
		close(p.done)
	}()
	return p, nil
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
	p, err := n.spawn([]string{"/usr/lib/heartbeat/heartbeatd"}, append(baseEnviron(), n.lab.opts.Environ...), consoleLog)
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
	p, proc := n.stack, n.proc
	n.mu.Unlock()
	if p == nil || proc == nil {
		return fmt.Errorf("stop %s: its cluster stack does not run", n.Name)
	}
	n.lab.Event("stop", n.Name, "SIGTERM to heartbeatd")
	if _, err := proc.do(order{Op: "signal", PID: p.pid, Sig: int(syscall.SIGTERM)}); err != nil {
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
	proc := n.process1()
	if proc == nil {
		return
	}
	n.lab.wires.silence(n.Index)
	_ = proc.cmd.Process.Kill() // gone already: fine
	<-proc.done
	n.lab.wires.unplug(n.Index)
	n.mu.Lock()
	n.proc = nil
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
	proc := n.process1()
	if proc == nil {
		return fmt.Errorf("%s %s: %w", what, n.Name, errOff)
	}
	n.lab.Event(what, n.Name, "")
	_, err := proc.do(order{Op: "signal-all", Sig: int(sig)})
	return err
}

// Proc is a process of a node.
type Proc struct {
	PID  int // in the host's numbering
	Name string
	Args []string
}

// Processes lists the node's processes but the first, by PID.
func (n *Node) Processes() ([]Proc, error) {
	proc := n.process1()
	if proc == nil {
		return nil, fmt.Errorf("processes of %s: %w", n.Name, errOff)
	}
	first := proc.cmd.Process.Pid
	ns := fmt.Sprintf("/proc/%d/ns/pid", first)
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var out []Proc
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == first || !sameFile(ns, filepath.Join("/proc", e.Name(), "ns/pid")) {
			continue
		}
		raw, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		args := strings.Split(strings.TrimSuffix(string(raw), "\x00"), "\x00")
		if err != nil || args[0] == "" {
			continue // gone, or a zombie
		}
		out = append(out, Proc{PID: pid, Name: filepath.Base(args[0]), Args: args})
	}
	slices.SortFunc(out, func(a, b Proc) int { return a.PID - b.PID })
	return out, nil
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
	proc := n.process1()
	if proc == nil {
		return nil, fmt.Errorf("run %s on %s: %w", argv[0], n.Name, errOff)
	}
	args, err := enterArgs(proc.cmd.Process.Pid)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, args[0], append(args[1:], argv...)...)
	cmd.Env = baseEnviron()
	cmd.WaitDelay = time.Second
	return cmd, nil
}

// enterArgs is the command line that runs the rest of it on the node whose
// process 1 is pid.
func enterArgs(pid int) ([]string, error) {
	nsenter, err := lookPath("nsenter")
	if err != nil {
		return nil, err
	}
	return []string{nsenter, "--target", strconv.Itoa(pid), "--mount", "--net", "--uts", "--ipc", "--pid", "--"}, nil
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
	return ipc.Dial(filepath.Join(n.base, "run", "heartbeat", daemon+".sock"))
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

// PID is the host's number of the node's process 1.
func (n *Node) PID() (int, error) {
	proc := n.process1()
	if proc == nil {
		return 0, fmt.Errorf("%s: %w", n.Name, errOff)
	}
	return proc.cmd.Process.Pid, nil
}

// Enter is Command for a process that does not own the lab: pid is the node's
// process 1.
func Enter(ctx context.Context, pid int, argv ...string) (*exec.Cmd, error) {
	args, err := enterArgs(pid)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, args[0], append(args[1:], argv...)...)
	cmd.Env = baseEnviron()
	return cmd, nil
}

// ExecIn turns the calling process into a command on the node whose process 1
// is pid; terminal, signals and exit status stay the caller's.
func ExecIn(pid int, argv []string) error {
	args, err := enterArgs(pid)
	if err != nil {
		return err
	}
	env := baseEnviron()
	if term := os.Getenv("TERM"); term != "" {
		env = append(env, "TERM="+term)
	}
	return syscall.Exec(args[0], append(args, argv...), env)
}
