package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Options say what a lab is made of. The zero value of each field but Nodes
// and Bin is usable.
type Options struct {
	// Nodes are the names of the cluster's nodes; at most 99.
	Nodes []string
	// Clients are names of machines on the same network that run no cluster.
	Clients []string
	// Bin is the folder of the programs (what `make build` leaves in bin/).
	Bin string
	// Agents is the OCF tree of ours, with resource.d and lib below it.
	// Empty: agents/ocf beside Bin, where it exists.
	Agents string
	// ExtraAgents is one more OCF tree laid over the nodes' /usr/lib/ocf.
	ExtraAgents string
	// Links is the number of redundant networks, 1 or 2. Zero: 2.
	Links int
	// Medium is how heartbeatd talks: "bcast", "mcast" or "ucast". Empty:
	// bcast. Loopback nodes use ucast.
	Medium string
	// Auth is the method in authkeys. Empty: sha256.
	Auth string
	// Timing of ha.cf. Zero: 100 ms, 400 ms, 200 ms, 2 s.
	Keepalive, Deadtime, Warntime, InitDead time.Duration
	// HACF are further lines for ha.cf.
	HACF []string
	// WholeHACF and AuthKeys replace what the lab would write into the two
	// files, on all nodes. Empty: the lab's own.
	WholeHACF, AuthKeys string
	// DiskSize is the size in bytes of each node's own small file system
	// below /var/lib/heartbeat. Zero: a folder on the host's disk.
	DiskSize int64
	// RebootStarts makes a node that was fenced with "reboot" come back with
	// its cluster stack; otherwise it stays off.
	RebootStarts bool
	// Loopback makes nodes without namespaces, below HA_ROOT folders, on
	// addresses of the loopback device. It needs no root and leaves out
	// what does: cuts and other network faults, small disks, clients.
	Loopback bool
	// Environ are further NAME=VALUE for the daemons, HA_DEBUG=1 for one.
	Environ []string
	// Follow gets every event as a line for people. Nil: nobody.
	Follow io.Writer
}

// A Lab is a set of machines that belongs to this process.
type Lab struct {
	Dir string // the lab's folder on the host

	opts   Options
	nodes  []*Node
	wires  *wires
	events *eventLog
	fence  *fenceServer

	passwd, group string
	uid, gid      int
	port          int // of loopback nodes

	closeOnce sync.Once
	closeErr  error
}

// ErrNotRoot is New's answer to callers that may not make namespaces.
var ErrNotRoot = errors.New("nodes in namespaces need root: run this as root (sudo), or use loopback nodes")

// Probe says what keeps this machine from running a lab; nil: nothing.
func Probe() error {
	if os.Geteuid() != 0 {
		return ErrNotRoot
	}
	for _, p := range []string{"nft", "nsenter", "unshare"} {
		if _, err := lookPath(p); err != nil {
			pkg := map[string]string{"nft": "nftables"}[p]
			if pkg == "" {
				pkg = "util-linux"
			}
			return fmt.Errorf("the lab needs the program %s: apt-get install -y %s", p, pkg)
		}
	}
	return mayUnshare()
}

// mayUnshare tries what containers often forbid to their root.
var mayUnshare = sync.OnceValue(func() error {
	unshare, err := lookPath("unshare")
	if err != nil {
		return err
	}
	if out, err := exec.Command(unshare, "--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "true").CombinedOutput(); err != nil {
		return fmt.Errorf("this root may not make namespaces (%w: %s): %w", err, strings.TrimSpace(string(out)), ErrNotRoot)
	}
	return nil
})

// lookPath finds system programs also where PATH lacks the sbin folders.
func lookPath(name string) (string, error) {
	if p, err := exec.LookPath(name); err == nil {
		return filepath.Abs(p)
	}
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/bin", "/bin"} {
		p := filepath.Join(dir, name)
		if info, err := os.Stat(p); err == nil && !info.IsDir() {
			return p, nil
		}
	}
	return "", fmt.Errorf("%s: %w", name, exec.ErrNotFound)
}

// New makes the lab's network and folders; the machines are off.
func New(o Options) (*Lab, error) {
	if !o.Loopback {
		if err := Probe(); err != nil {
			return nil, err
		}
	} else if o.DiskSize > 0 || len(o.Clients) > 0 {
		return nil, fmt.Errorf("loopback nodes have no small disks and no clients: %w", ErrNotRoot)
	}
	if err := o.complete(); err != nil {
		return nil, err
	}
	l := &Lab{opts: o}
	if err := l.open(); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

func (o *Options) complete() error {
	if n := len(o.Nodes) + len(o.Clients); len(o.Nodes) == 0 || n > 99 {
		return fmt.Errorf("a lab has 1 to 99 machines, and one node at least: %d nodes and %d clients are not possible", len(o.Nodes), len(o.Clients))
	}
	if !slices.Contains([]string{"", "bcast", "mcast", "ucast"}, o.Medium) {
		return fmt.Errorf("unknown medium %q: choose bcast, mcast or ucast", o.Medium)
	}
	bin, err := filepath.Abs(o.Bin)
	if err != nil {
		return err
	}
	o.Bin = bin
	for _, p := range []string{"halab", "fence_lab"} {
		if _, err := os.Stat(filepath.Join(o.Bin, p)); err != nil {
			return fmt.Errorf("%s holds no %s: run `make build`, or name the folder of the programs", o.Bin, p)
		}
	}
	if o.Agents == "" {
		if beside := filepath.Join(filepath.Dir(o.Bin), "agents", "ocf"); isDir(beside) {
			o.Agents = beside
		}
	}
	for _, dir := range []*string{&o.Agents, &o.ExtraAgents} {
		if *dir == "" {
			continue
		}
		if *dir, err = filepath.Abs(*dir); err != nil {
			return err
		}
		if !isDir(*dir) {
			return fmt.Errorf("no folder of agents at %s", *dir)
		}
	}
	if o.Links == 0 {
		o.Links = 2
	}
	if o.Links < 1 || o.Links > 2 {
		return fmt.Errorf("a node has 1 or 2 links, not %d", o.Links)
	}
	setDefault(&o.Medium, "bcast")
	setDefault(&o.Auth, "sha256")
	setDefault(&o.Keepalive, 100*time.Millisecond)
	setDefault(&o.Deadtime, 400*time.Millisecond)
	setDefault(&o.Warntime, 200*time.Millisecond)
	setDefault(&o.InitDead, 2*time.Second)
	return nil
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func (l *Lab) open() (err error) {
	// Short, and always below /tmp: the path of a Unix socket has at most 107 bytes.
	if l.Dir, err = os.MkdirTemp("/tmp", dirPrefix); err != nil {
		return err
	}
	endOnSignal(l)
	if err = os.Chmod(l.Dir, 0o755); err != nil {
		return err
	}
	if err = writeOwner(l.Dir); err != nil {
		return err
	}
	for _, sub := range []string{"bin", "shared", "socks"} {
		if err = os.Mkdir(filepath.Join(l.Dir, sub), 0o755); err != nil {
			return err
		}
	}
	if err = os.Chmod(filepath.Join(l.Dir, "shared"), 0o1777); err != nil {
		return err
	}
	if err = copyPrograms(l.opts.Bin, filepath.Join(l.Dir, "bin")); err != nil {
		return err
	}
	if l.events, err = openEventLog(l.EventFile(), l.opts.Follow); err != nil {
		return err
	}
	if l.passwd, l.group, l.uid, l.gid, err = accounts(); err != nil {
		return err
	}
	if l.opts.Loopback {
		l.port, err = loopbackPort()
	} else {
		l.wires, err = openWires(l.halab(), l.Dir, l.opts.Links)
	}
	if err != nil {
		return err
	}
	for i, name := range append(append([]string{}, l.opts.Nodes...), l.opts.Clients...) {
		n := &Node{Name: name, Index: i + 1, Cluster: i < len(l.opts.Nodes), lab: l, base: filepath.Join(l.Dir, name)}
		l.nodes = append(l.nodes, n)
	}
	for _, n := range l.nodes {
		if err := n.install(); err != nil {
			return fmt.Errorf("install %s: %w", n.Name, err)
		}
	}
	if l.fence, err = serveFencing(l, filepath.Join(l.Dir, "socks", "fence")); err != nil {
		return err
	}
	l.Event("lab", "", fmt.Sprintf("%d nodes, %d clients, %s over %d links", len(l.opts.Nodes), len(l.opts.Clients), l.opts.Medium, l.opts.Links))
	return nil
}

// copyPrograms gives the lab programs of its own: a build while it runs must
// not change them.
func copyPrograms(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		src, dst := filepath.Join(from, e.Name()), filepath.Join(to, e.Name())
		if e.Type()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(src)
			if err != nil {
				return err
			}
			if err := os.Symlink(target, dst); err != nil {
				return err
			}
			continue
		}
		if !e.Type().IsRegular() || os.Link(src, dst) == nil {
			continue
		}
		data, err := os.ReadFile(src)
		if err != nil {
			return err
		}
		if err := os.WriteFile(dst, data, 0o755); err != nil {
			return err
		}
	}
	return nil
}

func (l *Lab) halab() string { return filepath.Join(l.Dir, "bin", "halab") }

// EventFile is the path of the event log.
func (l *Lab) EventFile() string { return filepath.Join(l.Dir, "events.jsonl") }

// SharedDir is the folder that all nodes see as /lab/shared.
func (l *Lab) SharedDir() string { return filepath.Join(l.Dir, "shared") }

// Event writes to the event log.
func (l *Lab) Event(kind, node, text string) {
	l.events.write(Event{AtNS: time.Now().UnixNano(), Kind: kind, Node: node, Text: text})
}

// Record writes an event observed at a time of its own.
func (l *Lab) Record(e Event) { l.events.write(e) }

// Nodes are the cluster's nodes.
func (l *Lab) Nodes() []*Node { return l.nodes[:len(l.opts.Nodes)] }

// Machines are the nodes and the clients.
func (l *Lab) Machines() []*Node { return l.nodes }

// Node returns the machine of that name.
func (l *Lab) Node(name string) (*Node, error) {
	for _, n := range l.nodes {
		if n.Name == name {
			return n, nil
		}
	}
	var names []string
	for _, n := range l.nodes {
		names = append(names, n.Name)
	}
	return nil, fmt.Errorf("no machine is called %q; there are %s", name, strings.Join(names, ", "))
}

// MustNode is Node for names that the caller gave to New.
func (l *Lab) MustNode(name string) *Node {
	n, err := l.Node(name)
	if err != nil {
		panic(err)
	}
	return n
}

// Start boots every machine and starts the cluster stack on all nodes.
func (l *Lab) Start(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, n := range l.nodes {
		g.Go(func() error { return n.Start(ctx) })
	}
	return g.Wait()
}

// Boot switches every machine on without starting the cluster stack.
func (l *Lab) Boot(ctx context.Context) error {
	var g errgroup.Group
	for _, n := range l.nodes {
		g.Go(n.Boot)
	}
	return g.Wait()
}

// Address is the machine's address on a link; number 100 and above are free
// for virtual addresses.
func Address(link, number int) *net.IPNet {
	return &net.IPNet{IP: net.IPv4(10, 77, byte(link), byte(number)).To4(), Mask: net.CIDRMask(24, 32)}
}

func (l *Lab) hosts() string {
	var b strings.Builder
	b.WriteString("127.0.0.1 localhost\n")
	for _, name := range append(append([]string{}, l.opts.Nodes...), l.opts.Clients...) {
		fmt.Fprintf(&b, "%s %s\n", Address(0, l.index(name)).IP, name)
	}
	return b.String()
}

func (l *Lab) index(name string) int {
	for i, n := range append(append([]string{}, l.opts.Nodes...), l.opts.Clients...) {
		if n == name {
			return i + 1
		}
	}
	return 0
}

// Close ends all nodes and removes everything. It may be called twice.
func (l *Lab) Close() error {
	l.closeOnce.Do(func() { l.closeErr = l.close() })
	return l.closeErr
}

func (l *Lab) close() error {
	forget(l)
	if l.fence != nil {
		l.fence.close()
	}
	var g errgroup.Group
	for _, n := range l.nodes {
		g.Go(func() error { n.off(); return nil })
	}
	_ = g.Wait() // no function fails
	if l.wires != nil {
		l.wires.close()
	}
	if l.events != nil {
		l.events.close()
	}
	if l.Dir == "" {
		return nil
	}
	return os.RemoveAll(l.Dir)
}

// SaveArtifacts copies logs, configuration, CIBs and the event log to dir.
func (l *Lab) SaveArtifacts(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	err := copyTree(l.EventFile(), filepath.Join(dir, "events.jsonl"))
	err = errors.Join(err, copyTree(l.SharedDir(), filepath.Join(dir, "shared")))
	for _, n := range l.nodes {
		for _, sub := range []string{"/etc/ha.d", "/var/lib/heartbeat", "/var/log"} {
			err = errors.Join(err, copyTree(n.Path(sub), filepath.Join(dir, n.Name, filepath.Base(sub))))
		}
	}
	return err
}

// copyTree copies regular files; what changes or goes while it is read (the
// nodes are running) is taken as found.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		if e.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		if !e.Type().IsRegular() {
			return nil
		}
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return os.WriteFile(target, data, 0o644)
	})
}

func logTo(cmd *exec.Cmd, dir string) {
	f, err := os.OpenFile(filepath.Join(dir, "lab.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return // its messages are lost, its work is not
	}
	cmd.Stdout, cmd.Stderr = f, f
}
