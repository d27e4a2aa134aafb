package main

import (
	"context"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"linuxha/deploy/lab"
)

//go:embed c
var sources embed.FS

// Programs of Debian's packages, as nodes see them: what the lab hides of the
// host's is still below hostTree.
const (
	hostTree       = "/.host"
	oldDaemon      = "/usr/libexec/heartbeat/heartbeat"
	oldStatus      = "/usr/bin/cl_status"
	corosyncDaemon = "/usr/sbin/corosync"
)

// virtual is the address that moves with the group.
const virtual = "10.77.0.100"

// settings are what a cluster is made with.
type settings struct {
	nodes     int
	keepalive time.Duration
	classic   bool // node1 owns a group of haresources
}

func (s settings) deadtime() time.Duration { return 5 * s.keepalive }

// stack is a messaging layer under test.
type stack interface {
	String() string
	// variant tells that it differs from another one only in its cryptography.
	variant() bool
	// classic tells whether it runs groups of haresources.
	classic() bool
	// options are what its lab is made with.
	options(settings) lab.Options
	// prepare writes a node's files, before it boots for the first time.
	prepare(*lab.Node, settings) error
	// start starts the daemon of a booted node.
	start(context.Context, *lab.Node, settings) error
	// client is the command that measures messages; nil: there is none.
	client(mode string, size int, length time.Duration, members int) []string
	// daemon tells whether a process of a node is part of it.
	daemon(lab.Proc) bool
}

// trial is a running cluster.
type trial struct {
	*lab.Lab
	stack stack
	settings
	keep string
}

func form(ctx context.Context, o options, st stack, s settings) (*trial, error) {
	lo := st.options(s)
	for i := range s.nodes {
		lo.Nodes = append(lo.Nodes, fmt.Sprintf("node%d", i+1))
	}
	lo.Bin, lo.Links, lo.RebootStarts, lo.Environ = o.bin, 1, true, o.environ
	l, err := lab.New(lo)
	if err != nil {
		return nil, err
	}
	c := &trial{l, st, s, o.keep}
	for _, n := range l.Nodes() {
		if err = st.prepare(n, s); err != nil {
			break
		}
		if err = n.Boot(); err != nil {
			break
		}
	}
	for _, n := range l.Nodes() {
		if err == nil {
			err = st.start(ctx, n, s)
		}
	}
	if err != nil {
		return nil, errors.Join(err, c.end())
	}
	return c, nil
}

func (c *trial) end() error {
	var err error
	if c.keep != "" {
		name := fmt.Sprintf("%s-%d-%v-%d", strings.NewReplacer(" ", "_", ",", "").Replace(c.stack.String()), c.nodes, c.keepalive, time.Now().UnixNano())
		err = c.SaveArtifacts(filepath.Join(c.keep, name))
	}
	return errors.Join(err, c.Close())
}

func haCF(s settings, extra string) string {
	var b strings.Builder
	ms := func(d time.Duration) string { return fmt.Sprintf("%dms", d.Milliseconds()) }
	fmt.Fprintf(&b, "logfile /var/log/ha-log\ndebugfile /var/log/ha-debug\nlogfacility none\nkeepalive %s\nwarntime %s\ndeadtime %s\ninitdead 3\nudpport 694\n",
		ms(s.keepalive), ms(3*s.keepalive), ms(s.deadtime()))
	if s.nodes == 2 {
		fmt.Fprintf(&b, "ucast eth0 %s\nucast eth0 %s\n", lab.Address(0, 1).IP, lab.Address(0, 2).IP)
	} else {
		b.WriteString("bcast eth0\n")
	}
	b.WriteString("auto_failback on\n" + extra)
	for i := range s.nodes {
		fmt.Fprintf(&b, "node node%d\n", i+1)
	}
	return b.String()
}

// group writes haresources with the script that records where it runs.
func group(n *lab.Node, s settings, scripts string) error {
	dir := n.Path("/etc/ha.d")
	cf, err := os.ReadFile(filepath.Join(dir, "ha.cf"))
	if err != nil {
		return err
	}
	if out, err := exec.Command("cp", "-a", scripts+"/.", dir).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	resources := ""
	if s.classic {
		resources = "node1 rec::first IPaddr2::" + virtual + "/24/eth0 rec::last\n"
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "ha.cf"), cf, 0o644), // cp may have brought one
		os.WriteFile(filepath.Join(dir, "haresources"), []byte(resources), 0o644),
		os.WriteFile(filepath.Join(dir, "resource.d", "rec"), []byte(recScript), 0o755))
}

// ours is this stack's heartbeatd.
type ours struct{ auth string }

func (o ours) String() string {
	if o.auth == "sha256" {
		return "ours"
	}
	return "ours, " + o.auth
}
func (o ours) variant() bool { return o.auth != "sha256" }
func (ours) classic() bool   { return true }

func (o ours) options(s settings) lab.Options {
	extra := ""
	if !s.classic {
		extra = "crm manual\n" // heartbeatd alone
	}
	return lab.Options{WholeHACF: haCF(s, extra), Auth: o.auth}
}

func (ours) prepare(n *lab.Node, s settings) error {
	if !s.classic {
		return nil
	}
	return group(n, s, "agents/ha.d")
}

func (ours) start(_ context.Context, n *lab.Node, _ settings) error { return n.StartStack() }

func (ours) client(mode string, size int, length time.Duration, members int) []string {
	self, err := os.Executable()
	if err != nil {
		return nil
	}
	return []string{hostTree + self, "-worker", mode, fmt.Sprint(size), fmt.Sprint(length.Seconds()), fmt.Sprint(members)}
}

func (ours) daemon(p lab.Proc) bool { return p.Name == "heartbeatd" }

// old is Debian's Heartbeat 3.0.6.
type old struct{ program string }

func (old) String() string { return "Heartbeat 3.0.6" }
func (old) variant() bool  { return false }
func (old) classic() bool  { return true }

func (old) options(s settings) lab.Options {
	return lab.Options{WholeHACF: haCF(s, "apiauth default uid=root\n"), Auth: "sha1"}
}

func (old) prepare(n *lab.Node, s settings) error { return group(n, s, "/etc/ha.d") }

func (old) start(ctx context.Context, n *lab.Node, _ settings) error {
	_, err := n.Run(ctx, "sh", "-c", "mkdir -p /run/heartbeat/ccm /run/heartbeat/crm /run/heartbeat/dopd && chown hacluster:haclient /run/heartbeat/* && "+oldDaemon+" </dev/null >/var/log/ha-start 2>&1")
	return err
}

func (o old) client(mode string, size int, length time.Duration, members int) []string {
	if o.program == "" {
		return nil
	}
	return []string{hostTree + o.program, mode, fmt.Sprint(size), fmt.Sprint(length.Seconds()), fmt.Sprint(members)}
}

func (old) daemon(p lab.Proc) bool { return strings.HasPrefix(p.Name, "heartbeat") }

// corosync is Debian's Corosync 3.1.7 with its default transport.
type corosync struct {
	program string
	crypto  bool
}

func (c corosync) String() string {
	if c.crypto {
		return "Corosync, aes256 and sha256"
	}
	return "Corosync, no crypto"
}
func (c corosync) variant() bool { return !c.crypto }
func (corosync) classic() bool   { return false }

func (corosync) options(settings) lab.Options { return lab.Options{} }

func (corosync) prepare(*lab.Node, settings) error { return nil }

func (c corosync) start(ctx context.Context, n *lab.Node, s settings) error {
	var b strings.Builder
	cipher, hash := "none", "none"
	if c.crypto {
		cipher, hash = "aes256", "sha256"
	}
	fmt.Fprintf(&b, "totem {\n version: 2\n cluster_name: lab\n transport: knet\n crypto_cipher: %s\n crypto_hash: %s\n token: %d\n token_coefficient: 0\n}\n",
		cipher, hash, s.deadtime().Milliseconds())
	b.WriteString("logging {\n to_stderr: no\n to_syslog: no\n to_logfile: yes\n logfile: /var/log/corosync.log\n}\nnodelist {\n")
	for i := range s.nodes {
		fmt.Fprintf(&b, " node {\n  name: node%d\n  nodeid: %d\n  ring0_addr: %s\n }\n", i+1, i+1, lab.Address(0, i+1).IP)
	}
	b.WriteString("}\n")
	key := hex.EncodeToString(make([]byte, 128)) // 256 bytes, the same everywhere
	_, err := n.RunInput(ctx, b.String(), "sh", "-c", "mkdir -p /etc/corosync /var/lib/corosync && cat >/etc/corosync/corosync.conf && printf %s "+key+
		" >/etc/corosync/authkey && chmod 400 /etc/corosync/authkey && "+hostTree+corosyncDaemon+" </dev/null >/var/log/corosync-start 2>&1")
	return err
}

func (c corosync) client(mode string, size int, length time.Duration, members int) []string {
	return []string{hostTree + c.program, mode, fmt.Sprint(size), fmt.Sprint(length.Seconds()), fmt.Sprint(members)}
}

func (corosync) daemon(p lab.Proc) bool { return p.Name == "corosync" }
