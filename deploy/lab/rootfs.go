package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// bootSpec is what a node's file system is built from.
type bootSpec struct {
	Name   string `json:"name"`
	Links  int    `json:"links"`
	Base   string `json:"base"`   // the node's folder on the host: ha.d, lib, log, run, tmp
	Bin    string `json:"bin"`    // our programs
	Agents string `json:"agents"` // our OCF tree (resource.d, lib); empty: none
	Extra  string `json:"extra"`  // more of the same, for tests; empty: none
	Shared string `json:"shared"` // one folder for all nodes, at /lab/shared
	Socks  string `json:"socks"`  // the lab's own sockets, at /lab/socks
	Hosts  string `json:"hosts"`  // contents of /etc/hosts
	Passwd string `json:"passwd"`
	Group  string `json:"group"`
}

// hostTree is where the host's file system is seen on a node, read-only.
const hostTree = "/.host"

// binTree is where our programs are on a node; the places where people and
// agents look for them are links to it.
const binTree = "/.bin"

// foreign are programs of the host that a node must not find: a cluster stack
// installed there would answer for ours.
var foreign = []string{"pacemaker", "corosync", "crm_", "cib", "attrd_", "stonith_admin", "crmadmin", "iso8601", "heartbeat", "cl_status", "hb_"}

func isForeign(name string) bool {
	return slices.ContainsFunc(foreign, func(p string) bool { return strings.HasPrefix(name, p) })
}

// buildRoot makes a new root for the calling process, which must be alone in
// its mount namespace. What nodes share with the host are links below
// hostTree; what is theirs is bound from spec.Base, so that it survives the
// node's death as a disk would.
func buildRoot(spec bootSpec) error {
	r := &root{dir: filepath.Join(spec.Base, "root")}
	r.mount("tmpfs", r.dir, "tmpfs", unix.MS_NOSUID, "mode=0755")
	r.topLevel()
	r.usr(spec)
	r.etc(spec)
	r.variable(spec)
	r.devices(spec)
	r.bind(spec.Bin, binTree)
	r.bind(spec.Shared, "/lab/shared")
	r.bind(spec.Socks, "/lab/socks")
	r.dirs(0o755, "/proc", "/sys", hostTree)
	if r.err != nil {
		return r.err
	}
	if err := unix.PivotRoot(r.dir, filepath.Join(r.dir, hostTree)); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	r.dir = "/"
	r.mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	r.mount("sysfs", "/sys", "sysfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	if r.err != nil {
		return r.err
	}
	// The host's processes are no business of the node's.
	if err := unix.Unmount(hostTree+"/proc", unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("unmount the host's /proc: %w", err)
	}
	if err := unix.Mount("", hostTree, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("make the host's files read-only: %w", err)
	}
	return nil
}

// root builds below dir; the first error stops it.
type root struct {
	dir string
	err error
}

func (r *root) at(path string) string { return filepath.Join(r.dir, path) }

func (r *root) check(err error) {
	if r.err == nil && err != nil {
		r.err = err
	}
}

func (r *root) mount(source, target, fstype string, flags uintptr, data string) {
	if r.err != nil {
		return
	}
	if err := os.MkdirAll(target, 0o755); err != nil {
		r.check(err)
		return
	}
	if err := unix.Mount(source, target, fstype, flags, data); err != nil {
		r.check(fmt.Errorf("mount %s on %s: %w", fstype, target, err))
	}
}

// bind shows the host's folder or file source at path.
func (r *root) bind(source, path string) {
	if r.err != nil {
		return
	}
	info, err := os.Stat(source)
	if err != nil {
		r.check(err)
		return
	}
	target := r.at(path)
	if info.IsDir() {
		r.check(os.MkdirAll(target, 0o755))
	} else {
		r.check(os.MkdirAll(filepath.Dir(target), 0o755))
		r.check(os.WriteFile(target, nil, 0o644))
	}
	if r.err == nil {
		if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
			r.check(fmt.Errorf("bind %s to %s: %w", source, path, err))
		}
	}
}

func (r *root) dirs(mode fs.FileMode, paths ...string) {
	for _, p := range paths {
		if r.err != nil {
			return
		}
		r.check(os.MkdirAll(r.at(p), mode))
		r.check(os.Chmod(r.at(p), mode)) // whatever the umask; sticky bits too
	}
}

// link makes path a symbolic link to target, replacing a link made before.
func (r *root) link(target, path string) {
	if r.err != nil {
		return
	}
	full := r.at(path)
	r.check(os.MkdirAll(filepath.Dir(full), 0o755))
	if err := os.Remove(full); err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.check(err)
	}
	r.check(os.Symlink(target, full))
}

func (r *root) file(path, text string) {
	if r.err != nil {
		return
	}
	r.check(os.MkdirAll(filepath.Dir(r.at(path)), 0o755))
	r.check(os.WriteFile(r.at(path), []byte(text), 0o644))
}

// mirror fills a folder with links to the host's entries of it, but for those
// that skip names. A folder that the host lacks stays empty.
func (r *root) mirror(path string, skip func(name string) bool) {
	if r.err != nil {
		return
	}
	r.check(os.MkdirAll(r.at(path), 0o755))
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	r.check(err)
	for _, e := range entries {
		if r.err != nil {
			return
		}
		if skip(e.Name()) {
			continue
		}
		from := filepath.Join(path, e.Name())
		target := hostTree + from
		if e.Type()&fs.ModeSymlink != 0 {
			// The same words: what is relative stays within the node.
			if target, err = os.Readlink(from); err != nil {
				r.check(err)
				return
			}
		}
		r.link(target, from)
	}
}

func (r *root) topLevel() {
	own := []string{"usr", "etc", "var", "run", "tmp", "proc", "sys", "dev", "lab", "lost+found"}
	r.mirror("/", func(name string) bool { return slices.Contains(own, name) })
}

// usr is the host's, but for our programs and agents and without the programs
// of other cluster stacks.
func (r *root) usr(spec bootSpec) {
	r.mirror("/usr", func(name string) bool { return name == "sbin" || name == "lib" })
	hidden := []string{"ocf", "heartbeat", "pacemaker", "stonith"}
	r.mirror("/usr/lib", func(name string) bool { return slices.Contains(hidden, name) })
	r.mirror("/usr/sbin", isForeign)
	if info, err := os.Lstat("/sbin"); err == nil && info.IsDir() { // not merged into /usr
		r.check(os.Remove(r.at("/sbin")))
		r.mirror("/sbin", isForeign)
	}
	// Debian's agents bring helpers of their own.
	r.mirror("/usr/lib/heartbeat", func(name string) bool { return name == "lrmd" || name == "ha_logd" })
	programs, err := os.ReadDir(spec.Bin)
	r.check(err)
	for _, p := range programs {
		r.link(filepath.Join(binTree, p.Name()), "/usr/lib/heartbeat/"+p.Name())
		r.link(filepath.Join(binTree, p.Name()), "/usr/sbin/"+p.Name())
		if strings.HasPrefix(p.Name(), "pacemaker-") { // crmsh and pcs ask the daemons by these names
			r.link("../heartbeat/"+p.Name(), "/usr/lib/pacemaker/"+p.Name())
		}
	}

	r.mirror("/usr/lib/stonith", func(string) bool { return false })
	r.mirror("/usr/lib/ocf", func(name string) bool { return name == "resource.d" || name == "lib" })
	for _, sub := range []string{"resource.d", "lib"} {
		dir := filepath.Join("/usr/lib/ocf", sub)
		r.dirs(0o755, dir)
		providers, _ := os.ReadDir(dir) // none installed: ours alone
		for _, p := range providers {
			r.mirror(filepath.Join(dir, p.Name()), func(string) bool { return false })
		}
	}
	for _, tree := range []string{spec.Agents, spec.Extra} {
		if tree != "" {
			r.overlay(tree, "/usr/lib/ocf")
		}
	}
}

// overlay copies a tree of files over path, replacing links of the same name:
// copied, not linked, so that a test may change an agent on one node only.
func (r *root) overlay(tree, path string) {
	if r.err != nil {
		return
	}
	r.check(filepath.WalkDir(tree, func(from string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(tree, from)
		if err != nil {
			return err
		}
		to := r.at(filepath.Join(path, rel))
		if e.IsDir() {
			return os.MkdirAll(to, 0o755)
		}
		if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if e.Type()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(from)
			if err != nil {
				return err
			}
			return os.Symlink(target, to)
		}
		data, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		return os.WriteFile(to, data, info.Mode().Perm())
	}))
}

func (r *root) etc(spec bootSpec) {
	own := []string{"hosts", "hostname", "passwd", "group", "ha.d", "init.d", "mtab", "corosync", "pacemaker"}
	r.mirror("/etc", func(name string) bool { return slices.Contains(own, name) })
	r.file("/etc/hosts", spec.Hosts)
	r.file("/etc/hostname", spec.Name+"\n")
	r.file("/etc/passwd", spec.Passwd)
	r.file("/etc/group", spec.Group)
	r.link("/proc/self/mounts", "/etc/mtab")
	r.mirror("/etc/init.d", isForeign)
	r.bind(filepath.Join(spec.Base, "ha.d"), "/etc/ha.d")
}

func (r *root) variable(spec bootSpec) {
	r.dirs(0o755, "/var/cache", "/var/spool", "/var/mail", "/var/lib/pacemaker")
	r.bind(filepath.Join(spec.Base, "lib"), "/var/lib/heartbeat")
	r.bind(filepath.Join(spec.Base, "log"), "/var/log")
	r.bind(filepath.Join(spec.Base, "run"), "/run")
	r.bind(filepath.Join(spec.Base, "tmp"), "/tmp")
	r.dirs(0o1777, "/tmp", "/var/tmp")
	r.dirs(0o755, "/run/heartbeat", "/run/resource-agents", "/run/crm")
	r.dirs(0o1777, "/run/lock")
	r.link("/run", "/var/run")
	r.link("/run/lock", "/var/lock")
	r.link("/var/lib/heartbeat/crm", "/var/lib/pacemaker/cib")
	r.link("/var/lib/heartbeat/pengine", "/var/lib/pacemaker/pengine")
}

// devices gives the node the harmless ones, and a file as watchdog.
func (r *root) devices(spec bootSpec) {
	r.mount("tmpfs", r.at("/dev"), "tmpfs", unix.MS_NOSUID, "mode=0755")
	for _, name := range []string{"null", "zero", "full", "random", "urandom", "tty", "net/tun"} {
		if _, err := os.Stat("/dev/" + name); err == nil {
			r.bind("/dev/"+name, "/dev/"+name)
		}
	}
	r.link("/proc/self/fd", "/dev/fd")
	r.link("/proc/self/fd/0", "/dev/stdin")
	r.link("/proc/self/fd/1", "/dev/stdout")
	r.link("/proc/self/fd/2", "/dev/stderr")
	r.mount("devpts", r.at("/dev/pts"), "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620")
	r.link("pts/ptmx", "/dev/ptmx")
	r.mount("tmpfs", r.at("/dev/shm"), "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=1777")
	watchdog := filepath.Join(spec.Base, "watchdog")
	f, err := os.OpenFile(watchdog, os.O_CREATE|os.O_WRONLY, 0o600)
	r.check(err)
	if err == nil {
		r.check(f.Close())
	}
	r.bind(watchdog, "/dev/watchdog")
}

// account makes sure that text, a passwd or group file, has an entry for
// name; id is used where it is missing. It returns the file and the id in it.
func account(text, name string, id int, line string) (string, int) {
	for l := range strings.Lines(text) {
		f := strings.Split(strings.TrimSpace(l), ":")
		if len(f) > 2 && f[0] == name {
			var have int
			if _, err := fmt.Sscan(f[2], &have); err == nil {
				return text, have
			}
		}
	}
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return text + fmt.Sprintf(line, id) + "\n", id
}

// accounts returns passwd and group with hacluster and haclient, and their ids.
func accounts() (passwd, group string, uid, gid int, err error) {
	p, err := os.ReadFile("/etc/passwd")
	if err != nil {
		return "", "", 0, 0, err
	}
	g, err := os.ReadFile("/etc/group")
	if err != nil {
		return "", "", 0, 0, err
	}
	group, gid = account(string(g), "haclient", 189, "haclient:x:%d:")
	passwd, uid = account(string(p), "hacluster", 189, fmt.Sprintf("hacluster:x:%%d:%d:cluster:/var/lib/heartbeat:/usr/sbin/nologin", gid))
	return passwd, group, uid, gid, nil
}

// sameFile tells whether two files are the same, for /proc/PID/ns links.
func sameFile(a, b string) bool {
	var sa, sb syscall.Stat_t
	return syscall.Stat(a, &sa) == nil && syscall.Stat(b, &sb) == nil && sa.Dev == sb.Dev && sa.Ino == sb.Ino
}
