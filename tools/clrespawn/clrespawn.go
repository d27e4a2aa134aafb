// Package clrespawn is cl_respawn, which keeps a program running, and
// meatclient, which tells the cluster that an operator has reset a node.
package clrespawn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"linuxha/internal/paths"
)

const usage = `Usage cl_respawn [<options>] <monitored_program> [<arg1>] [<arg2>] ...
Options are as below:
-m magic_exit_code
	When monitored_program exit as this magic_exit_code, then cl_respawn
	will not try to respawn it.
-i interval
	Set the interval(ms) of application hearbeat or plumbing its client.
-w warntime
	Set the warning time (ms) of application heartbeat.
-p pidfile
	Set the name of a pid file to use.
-r	Recover itself from crash. Only called by other monitor programs like	recovery manager.
-l	List the program monitored by cl_respawn.
	Notice: do not support yet.
-h	Display this simple help.
`

// Pauses before the program is started again.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
	livedLong  = 30 * time.Second
)

// options of one call.
type options struct {
	magic   int // exit status that ends it; -1: none
	pidFile string
	argv    []string
}

func parse(args []string) (opt options, code int, ok bool) {
	opt.magic = -1
	for len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' {
		o := args[0]
		args = args[1:]
		switch o {
		case "-h":
			return opt, 0, false
		case "-r": // the program is started anew in any case
			continue
		case "-m", "-i", "-w", "-p":
			if len(args) == 0 {
				return opt, 2, false
			}
		default:
			return opt, 2, false
		}
		v := args[0]
		args = args[1:]
		if o == "-p" {
			opt.pidFile = v
			continue
		}
		n, err := strconv.Atoi(v)
		if err != nil || n < 0 || o == "-m" && n > 255 {
			return opt, 2, false
		}
		if o == "-m" {
			opt.magic = n
		}
	}
	opt.argv = args
	return opt, 2, len(args) > 0
}

// Run is cl_respawn. It stays in the foreground and ends with its program when
// it is asked to.
func Run(ctx context.Context, name string, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	opt, code, ok := parse(args)
	if !ok {
		fmt.Fprint(stdout, usage)
		return code
	}
	if opt.pidFile != "" {
		if err := os.WriteFile(opt.pidFile, fmt.Appendf(nil, "%d\n", os.Getpid()), 0o644); err != nil {
			fmt.Fprintf(stderr, "%s: %v\n", name, err)
			return 1
		}
		defer os.Remove(opt.pidFile)
	}
	for pause := time.Duration(0); ; {
		began := time.Now()
		code, err := once(ctx, opt.argv, stdin, stdout, stderr)
		switch {
		case ctx.Err() != nil:
			return 0
		case err != nil:
			fmt.Fprintf(stderr, "%s: %v\n", name, err)
			return 1
		case code == opt.magic:
			return 0
		}
		if time.Since(began) >= livedLong {
			pause = 0
		}
		fmt.Fprintf(stderr, "%s: %s exited with status %d: starting it again\n", name, opt.argv[0], code)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return 0
		}
		pause = min(max(2*pause, firstPause), lastPause)
	}
}

// once runs the program to its end; the exit status is 128 + signal where one
// killed it.
func once(ctx context.Context, argv []string, stdin io.Reader, stdout, stderr io.Writer) (int, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	err := cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return 0, err
	}
	if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal()), nil
	}
	return exit.ExitCode(), nil
}

// Meatclient confirms that an operator has reset a node: it answers the device
// of type meatware, which waits at a FIFO.
func Meatclient(_ context.Context, name string, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	node, sure := "", false
	for i := 0; i < len(args); i++ {
		switch {
		case args[i] == "-c" && i+1 < len(args):
			node = args[i+1]
			i++
		case args[i] == "-w":
			sure = true
		default:
			node = ""
			i = len(args)
		}
	}
	if node == "" || filepath.Base(node) != node {
		fmt.Fprintf(stderr, "usage: %s -c node [-w]\n", name)
		return 3
	}
	fifo := paths.FromEnv().Meatware(node)
	f, err := os.OpenFile(fifo, os.O_WRONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		fmt.Fprintf(stderr, "Meatware_IPC failed: %s: %v: no reset of %s is waited for here\n", fifo, err, node)
		return 4
	}
	defer f.Close()
	if !sure {
		fmt.Fprintf(stdout, "\nWARNING!\n\nIf node %q has not been manually power-cycled or disconnected from all shared resources and networks, data on shared disks may become corrupted and migrated services might not work as expected.\nPlease verify that the name or address above corresponds to the node you just rebooted.\n\nPROCEED? [yN] ", node)
		var answer string
		if _, err := fmt.Fscanln(stdin, &answer); err != nil || answer != "y" && answer != "Y" {
			fmt.Fprintln(stdout, "Meatware_client: operation canceled.")
			return 1
		}
	}
	if _, err := fmt.Fprintf(f, "meatware reply %s", node); err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", name, err)
		return 4
	}
	fmt.Fprintln(stdout, "Meatware_client: reset confirmed.")
	return 0
}
