package lab

import (
	"context"
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
)

// machine is a node's process 1 in namespaces of its own.
type machine struct {
	lab   *Lab
	index int
	proc  *child

	mu     sync.Mutex
	exits  map[int]string // programs that ended before anybody asked, by PID
	waiter map[int]chan string
}

// bootMachine starts a node's process 1, connects it to the network and has
// it build its file system.
func bootMachine(n *Node) (body, error) {
	nsenter, err := lookPath("nsenter")
	if err != nil {
		return nil, err
	}
	unshare, err := lookPath("unshare")
	if err != nil {
		return nil, err
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
	m := &machine{lab: n.lab, index: n.Index, exits: map[int]string{}, waiter: map[int]chan string{}}
	if m.proc, err = startChild(cmd, m.news); err != nil {
		return nil, err
	}
	if err := m.bring(n); err != nil {
		m.end()
		return nil, err
	}
	return m, nil
}

func (m *machine) pid() int { return m.proc.cmd.Process.Pid }

func (m *machine) bring(n *Node) error {
	l := n.lab
	if err := l.wires.plug(n.Index, m.pid(), func(link int) *net.IPNet { return Address(link, n.Index) }); err != nil {
		return err
	}
	_, err := m.proc.do(order{Op: "boot", Boot: &bootSpec{
		Name: n.Name, Links: l.opts.Links, Base: n.base,
		Bin: filepath.Join(l.Dir, "bin"), Agents: l.opts.Agents, Extra: l.opts.ExtraAgents,
		Shared: l.SharedDir(), Socks: filepath.Join(l.Dir, "socks"),
		Hosts: l.hosts(), Passwd: l.passwd, Group: l.group,
	}})
	return err
}

// news notes the end of a program that process 1 started.
func (m *machine) news(msg notice) {
	if !msg.Exited {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if w := m.waiter[msg.PID]; w != nil {
		w <- msg.Status // buffered for this one value
		delete(m.waiter, msg.PID)
		return
	}
	m.exits[msg.PID] = msg.Status
}

func (m *machine) spawn(argv, env []string, log string) (*process, error) {
	ans, err := m.proc.do(order{Op: "start", Start: &startSpec{Argv: argv, Env: append(baseEnviron(), env...), Log: log}})
	if err != nil {
		return nil, err
	}
	ended := make(chan string, 1)
	m.mu.Lock()
	if how, ok := m.exits[ans.PID]; ok {
		delete(m.exits, ans.PID)
		ended <- how
	} else {
		m.waiter[ans.PID] = ended
	}
	m.mu.Unlock()
	p := &process{pid: ans.PID, done: make(chan struct{})}
	go func() {
		select {
		case p.end = <-ended:
		case <-m.proc.done:
			p.end = "the node went off"
		}
		close(p.done)
	}()
	return p, nil
}

func (m *machine) signal(pid int, sig syscall.Signal) error {
	_, err := m.proc.do(order{Op: "signal", PID: pid, Sig: int(sig)})
	return err
}

func (m *machine) signalAll(sig syscall.Signal) error {
	_, err := m.proc.do(order{Op: "signal-all", Sig: int(sig)})
	return err
}

func (m *machine) command(ctx context.Context, argv []string) (*exec.Cmd, error) {
	return Enter(ctx, m.pid(), argv...)
}

func (m *machine) processes() ([]Proc, error) {
	ns := fmt.Sprintf("/proc/%d/ns/pid", m.pid())
	return scanProcesses(func(pid int) bool {
		return pid != m.pid() && sameFile(ns, fmt.Sprintf("/proc/%d/ns/pid", pid))
	})
}

func (m *machine) end() {
	m.lab.wires.silence(m.index)
	_ = m.proc.cmd.Process.Kill() // gone already: fine
	<-m.proc.done
	m.lab.wires.unplug(m.index)
}

// scanProcesses lists this machine's processes for which ours holds, by PID.
func scanProcesses(ours func(pid int) bool) ([]Proc, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var out []Proc
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || !ours(pid) {
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

// baseEnviron is what programs on nodes start with: a clean environment, as
// an init process gives (clients 5.3).
func baseEnviron() []string {
	return []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C", "HOME=/root"}
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

// Enter is Command for a process that does not own the lab: pid is the node's
// process 1.
func Enter(ctx context.Context, pid int, argv ...string) (*exec.Cmd, error) {
	args, err := enterArgs(pid)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, args[0], append(args[1:], argv...)...)
	cmd.Env = baseEnviron()
	// nsenter waits outside for its child on the node: end both.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
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
