// Package daemonnames answers to the reference's names of daemons, as far as
// clients run them for what they print: the version, and the cluster options
// with their meaning (clients 3.3, 2.20). The daemons themselves have other
// names here and are started by heartbeatd.
package daemonnames

import (
	"context"
	"fmt"
	"io"
	"slices"

	"linuxha/internal/clusteropt"
	"linuxha/internal/exitcode"
	"linuxha/tools/output"
)

// Build is what --version and its kin call the build: clients read the version.
const (
	version = "2.1.5"
	build   = "a3f44794f94"
)

// components are the daemons that describe options, by the name clients call.
var components = map[string]*clusteropt.Component{
	clusteropt.CIB.Name:        clusteropt.CIB,
	clusteropt.Controller.Name: clusteropt.Controller,
	clusteropt.Scheduler.Name:  clusteropt.Scheduler,
}

// Run is the entry for pacemaker-based, -controld and -schedulerd.
func Run(_ context.Context, name string, args []string, _ io.Reader, stdout, stderr io.Writer) int {
	text := ""
	switch {
	case slices.Equal(args, []string{"metadata"}):
		text = components[name].Metadata()
	case slices.Equal(args, []string{"version"}):
		text = fmt.Sprintf("CRM Version: %s (%s)\n", version, build)
	case slices.Equal(args, []string{"--version"}), slices.Equal(args, []string{"-$"}):
		text = output.VersionText
	default:
		fmt.Fprintf(stderr, "%s: this name only serves `%s metadata` and `%s version`; heartbeatd runs the daemon\n", name, name, name)
		return int(exitcode.Usage)
	}
	return write(stdout, text)
}

// Supervisor is the entry for pacemakerd, which agents ask for the version.
func Supervisor(_ context.Context, name string, args []string, _ io.Reader, stdout, stderr io.Writer) int {
	switch {
	case slices.Equal(args, []string{"--features"}), slices.Equal(args, []string{"-F"}):
		return write(stdout, fmt.Sprintf("Pacemaker %s (Build: %s)\n Supporting v3.16.1: heartbeat acls\n", version, build))
	case slices.Equal(args, []string{"--version"}), slices.Equal(args, []string{"-$"}):
		return write(stdout, output.VersionText)
	}
	fmt.Fprintf(stderr, "%s: heartbeatd starts and stops the stack here; only --version and --features are served under this name\n", name)
	return int(exitcode.Usage)
}

func write(w io.Writer, text string) int {
	if _, err := io.WriteString(w, text); err != nil {
		return int(exitcode.IOErr)
	}
	return 0
}
