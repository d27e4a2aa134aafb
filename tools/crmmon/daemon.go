package crmmon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"

	tea "charm.land/bubbletea/v2"

	"linuxha/internal/exitcode"
)

// inBackground marks the process that --daemonize started.
const inBackground = "CRM_MON_IN_BACKGROUND"

// daemonize starts this program again, apart from the terminal.
func daemonize(o *options, name string, args []string, stderr io.Writer) int {
	if (o.outputTo == "" || o.outputTo == "-") && o.agent == "" {
		fmt.Fprintf(stderr, "%s: --daemonize needs a file to write to or a program to run: add --output-to=FILE or --external-agent=FILE\n", name)
		return int(exitcode.Usage)
	}
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", name, err)
		return int(exitcode.OSErr)
	}
	cmd := exec.Command(self, args...)
	cmd.Args[0] = name
	cmd.Env = append(os.Environ(), inBackground+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", name, err)
		return int(exitcode.OSErr)
	}
	if o.pidFile != "" {
		if err := os.WriteFile(o.pidFile, []byte(strconv.Itoa(cmd.Process.Pid)+"\n"), 0o644); err != nil {
			fmt.Fprintf(stderr, "%s: %v\n", name, err)
			return int(exitcode.CantCreate)
		}
	}
	return 0
}

// follow keeps the output file up to date until ctx ends: at every change of the
// cluster and at every interval.
func follow(ctx context.Context, o *options, name string, args []string, stderr io.Writer) int {
	var failed error
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	told := newAgent(ctx, o, stderr)
	watch(ctx, o.every, func(m tea.Msg) {
		a, ok := m.(arrived)
		if !ok {
			return
		}
		if a.err == nil {
			told.look(a.view.doc)
		}
		if o.outputTo == "" || o.outputTo == "-" {
			return
		}
		var b bytes.Buffer
		if a.err != nil {
			report(o, a.err, name, args, &b, &b)
		} else {
			a.view.choose(o)
			a.view.write(&b, o, name, args)
		}
		if err := replace(o.outputTo, b.Bytes()); err != nil {
			failed = err
			cancel()
		}
	})
	if o.pidFile != "" {
		if err := os.Remove(o.pidFile); err != nil && !errors.Is(err, os.ErrNotExist) {
			failed = errors.Join(failed, err)
		}
	}
	if failed != nil {
		fmt.Fprintf(stderr, "%s: %v\n", name, failed)
		return int(exitcode.CantCreate)
	}
	return 0
}

// replace writes a file so that readers see the old one or the new one.
func replace(name string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name))
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
