// Package hapropagate is ha_propagate: it copies this node's ha.cf and authkeys
// to the other nodes over ssh, and enables heartbeat there (HB 18). haresources
// is not copied unless asked for.
package hapropagate

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"linuxha/heartbeatd/hacf"
	"linuxha/internal/paths"
)

const usage = `usage: ha_propagate [--dry-run] [--haresources] [--no-enable] [NODE...]

Copies ha.cf and authkeys of this node to /etc/ha.d of each NODE (default: all
other nodes of ha.cf) as root over ssh, and enables heartbeat there. What cannot
be read by heartbeat is not copied. authkeys gets mode 600 on arrival.

  --dry-run, -n   print the commands instead
  --haresources   copy haresources too
  --no-enable     do not enable heartbeat

HA_SSH and HA_SCP name other commands than ssh and scp.
`

// Run is ha_propagate. Exit status: 0 all nodes done, 1 not all, 2 wrong use,
// 6 the configuration is bad.
func Run(ctx context.Context, name string, args []string, _ io.Reader, stdout, stderr io.Writer) int {
	p := propagation{out: stdout, err: stderr, dir: paths.FromEnv().Config(), files: []string{"ha.cf", "authkeys"}, enable: true}
	var nodes []string
	for _, a := range args {
		switch {
		case a == "--dry-run" || a == "-n":
			p.dry = true
		case a == "--haresources":
			p.files = append(p.files, "haresources")
		case a == "--no-enable":
			p.enable = false
		case a == "-h" || a == "--help":
			fmt.Fprint(stdout, usage)
			return 0
		case strings.HasPrefix(a, "-"):
			fmt.Fprint(stderr, usage)
			return 2
		default:
			nodes = append(nodes, a)
		}
	}
	own := os.Getenv("HA_NODE")
	if own == "" {
		var err error
		if own, err = os.Hostname(); err != nil {
			fmt.Fprintf(stderr, "%s: %v\n", name, err)
			return 1
		}
	}
	cfg, err := hacf.Load(hacf.Options{Dir: p.dir, Node: own, NoResources: true})
	if err == nil {
		_, _, err = hacf.LoadKeys(p.dir)
	}
	if err != nil {
		fmt.Fprintf(stderr, "%s: this node's configuration is bad and is not copied:\n%v\n", name, err)
		return 6
	}
	if len(nodes) == 0 {
		nodes = slices.DeleteFunc(slices.Clone(cfg.Nodes), func(n string) bool { return n == cfg.Node })
	}
	code := 0
	for _, n := range nodes {
		if err := p.to(ctx, n); err != nil {
			fmt.Fprintf(stderr, "%s: %s: %v\n", name, n, err)
			code = 1
		}
	}
	return code
}

type propagation struct {
	out, err    io.Writer
	dir         string
	files       []string
	dry, enable bool
}

// enableCommand works with systemd and without.
const enableCommand = "if command -v systemctl >/dev/null; then systemctl enable heartbeat; elif command -v update-rc.d >/dev/null; then update-rc.d heartbeat defaults; else chkconfig heartbeat on; fi"

// to carries everything to one node.
func (p *propagation) to(ctx context.Context, node string) error {
	fmt.Fprintf(p.out, "Propagating HA configuration files to node %s.\n", node)
	scp := []string{command("HA_SCP", "scp"), "-p"}
	for _, f := range p.files {
		scp = append(scp, filepath.Join(p.dir, f))
	}
	if err := p.run(ctx, append(scp, "root@"+node+":/etc/ha.d/")); err != nil {
		return err
	}
	remote := "chmod 600 /etc/ha.d/authkeys"
	if p.enable {
		fmt.Fprintf(p.out, "Setting HA startup configuration on node %s.\n", node)
		remote += " && { " + enableCommand + "; }"
	}
	return p.run(ctx, []string{command("HA_SSH", "ssh"), "root@" + node, remote})
}

func command(variable, def string) string {
	if v := os.Getenv(variable); v != "" {
		return v
	}
	return def
}

func (p *propagation) run(ctx context.Context, argv []string) error {
	if p.dry {
		quoted := make([]string, len(argv))
		for i, a := range argv {
			quoted[i] = quote(a)
		}
		fmt.Fprintln(p.out, strings.Join(quoted, " "))
		return nil
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", argv[0], err, strings.TrimSpace(said.String()))
	}
	return nil
}

// quote makes a word that a shell reads as it is.
func quote(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./_-") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
