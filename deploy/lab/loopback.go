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
	"syscall"
	"time"
)

// loopback is a node without namespaces, for users who may not make any: its
// files are below HA_ROOT, its address is one of 127.0.0.0/8, and its
// processes are those that have its HA_ROOT in their environment. It shares
// process numbers, host name, users and cables with everybody else.
type loopback struct {
	node *Node
}

func bootLoopback(n *Node) (body, error) {
	for _, dir := range []string{"etc/init.d", "var/lib", "var/log", "var/run/heartbeat", "var/run/resource-agents", "usr/lib", "usr/sbin", "lab"} {
		if err := os.MkdirAll(filepath.Join(n.base, dir), 0o755); err != nil {
			return nil, err
		}
	}
	b := &loopback{node: n}
	fence := filepath.Join(n.base, "usr/sbin/fence_lab")
	if _, err := os.Lstat(fence); errors.Is(err, os.ErrNotExist) {
		if err := os.Symlink(n.program("fence_lab"), fence); err != nil {
			return nil, err
		}
		if err := os.Symlink(filepath.Join(n.lab.Dir, "socks"), filepath.Join(n.base, "lab/socks")); err != nil {
			return nil, err
		}
	}
	r := &root{dir: n.base}
	for _, tree := range []string{n.lab.opts.Agents, n.lab.opts.ExtraAgents} {
		if tree != "" {
			r.overlay(tree, "/usr/lib/ocf")
		}
	}
	return b, r.err
}

func (b *loopback) environ() []string {
	n := b.node
	return []string{
		"HA_ROOT=" + n.base, "HA_NODE=" + n.Name,
		"PATH=" + filepath.Join(n.lab.Dir, "bin") + ":/usr/sbin:/usr/bin:/sbin:/bin",
		"LANG=C", "HOME=" + n.base,
		"HA_RSCTMP=" + filepath.Join(n.base, "var/run/resource-agents"),
	}
}

func (b *loopback) spawn(argv, env []string, log string) (*process, error) {
	out, err := os.OpenFile(filepath.Join(b.node.base, log), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(b.environ(), env...)
	cmd.Dir = b.node.base
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{pid: cmd.Process.Pid, done: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // its status is what counts
		p.end = describe(cmd.ProcessState.Sys().(syscall.WaitStatus))
		close(p.done)
	}()
	return p, nil
}

func (b *loopback) signal(pid int, sig syscall.Signal) error { return syscall.Kill(pid, sig) }

func (b *loopback) signalAll(sig syscall.Signal) error {
	procs, err := b.processes()
	for _, p := range procs {
		_ = syscall.Kill(p.PID, sig) // gone meanwhile
	}
	return err
}

func (b *loopback) command(ctx context.Context, argv []string) (*exec.Cmd, error) {
	path := argv[0]
	if !strings.Contains(path, "/") {
		if own := b.node.program(path); isProgram(own) {
			path = own
		}
	}
	cmd := exec.CommandContext(ctx, path, argv[1:]...)
	cmd.Env = b.environ()
	cmd.Dir = b.node.base
	return cmd, nil
}

func isProgram(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode()&0o111 != 0
}

func (b *loopback) processes() ([]Proc, error) {
	mark := []byte("\x00HA_ROOT=" + b.node.base + "\x00")
	return scanProcesses(func(pid int) bool {
		env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		return err == nil && pid != os.Getpid() && bytes.Contains(append([]byte{0}, env...), mark)
	})
}

// end kills until nothing is left: a process may be forking just now.
func (b *loopback) end() {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		procs, err := b.processes()
		if err == nil && len(procs) == 0 {
			return
		}
		for _, p := range procs {
			_ = syscall.Kill(p.PID, syscall.SIGKILL) // gone meanwhile
		}
	}
}

// loopbackPort is a UDP port that nobody uses now; ha.cf needs one for all.
func loopbackPort() (int, error) {
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).Port, nil
}
