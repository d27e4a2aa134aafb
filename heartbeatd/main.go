// Command heartbeatd is the cluster's messaging and membership on one node,
// and the parent of the daemons above it (HB 1.1, 20). It runs in the
// foreground; its options are those of heartbeat.
package main

import (
	"fmt"
	"io"
	"os"

	"linuxha/heartbeatd/hacf"
	"linuxha/internal/daemon"
	"linuxha/internal/paths"
)

// Exit statuses of HB 20.1.
const (
	exitOK       = 0
	exitError    = 1
	exitUsage    = 2
	exitNoFile   = 3 // -s: no pid file
	exitBadSetup = 6
)

const usage = `
Usage: heartbeat [-dDkMrRsvWlVf] [-C Current-resource-state]
	-C only valid with -R
	-r is mutually exclusive with -R
`

// versionText names the version whose protocol this is, as wrappers expect it.
func versionText() string { return fmt.Sprintf("3.0.6 (linux-ha %s)", daemon.Version) }

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// command is what the command line asks for.
type command struct {
	verb        byte // 0: run the daemon; else s, k, r, V, D, v
	debug       int
	noResources bool // -M
	noRealtime  bool // -l
}

func run(args []string, stdout, stderr io.Writer) int {
	cmd, ok := parse(args)
	if !ok {
		fmt.Fprint(stderr, usage)
		return exitUsage
	}
	layout := paths.FromEnv()
	switch cmd.verb {
	case 'V':
		fmt.Fprintln(stdout, versionText())
		return exitOK
	case 'D':
		fmt.Fprint(stdout, hacf.Table())
		return exitOK
	case 's':
		return showStatus(layout, stdout)
	case 'k':
		return kill(layout, stderr)
	case 'v':
		return showConfig(layout, stdout, stderr)
	case 'r':
		if pid, _ := runningPID(layout); pid != 0 {
			return reload(layout, pid, stderr)
		}
		// Not running: -r starts (HB 20.1).
	}
	return runDaemon(layout, cmd, stderr)
}

// parse reads clustered one-letter options.
func parse(args []string) (command, bool) {
	var cmd command
	verb := func(c byte) bool {
		free := cmd.verb == 0 || cmd.verb == c
		cmd.verb = c
		return free
	}
	for i := 0; i < len(args); i++ {
		a := args[i]
		if a == "--version" || a == "-version" {
			cmd.verb = 'V'
			continue
		}
		if len(a) < 2 || a[0] != '-' {
			return cmd, false
		}
		for j := 1; j < len(a); j++ {
			switch c := a[j]; c {
			case 's', 'k', 'r', 'V', 'D', 'v':
				if !verb(c) {
					return cmd, false
				}
			case 'd':
				cmd.debug++
			case 'M':
				cmd.noResources = true
			case 'l':
				cmd.noRealtime = true
			case 'f', 'W': // foreground is the rule; -DW prints the same table
			default:
				// -R and -C are for 3.0.6's way of executing itself anew.
				return cmd, false
			}
		}
	}
	return cmd, true
}

// nodeName is the own name: uname -n, or HA_NODE where several nodes live in
// one machine without namespaces.
func nodeName() (string, error) {
	if name := os.Getenv("HA_NODE"); name != "" {
		return name, nil
	}
	return os.Hostname()
}
