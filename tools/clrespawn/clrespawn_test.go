package clrespawn

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"linuxha/internal/paths"
)

func TestRespawn(t *testing.T) {
	dir := t.TempDir()
	// Ends with 1, by a signal, with 0, and at last with the magic status.
	script := filepath.Join(dir, "program")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho x >>$1\ncase $(wc -l <$1) in 1) exit 1;; 2) kill -9 $$;; 3) exit 0;; esac\nexit 42\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	pid := filepath.Join(dir, "pid")
	if rc := Run(context.Background(), "cl_respawn", []string{"-m", "42", "-p", pid, script, filepath.Join(dir, "runs")}, nil, &out, &errs); rc != 0 {
		t.Errorf("exit status %d: %s", rc, errs.String())
	}
	for _, want := range []string{"status 1:", "status 137:", "status 0:"} {
		if !strings.Contains(errs.String(), want) {
			t.Errorf("no %q in %q", want, errs.String())
		}
	}
	if runs, err := os.ReadFile(filepath.Join(dir, "runs")); err != nil || string(runs) != "x\nx\nx\nx\n" {
		t.Errorf("ran %q %v", runs, err)
	}
	if _, err := os.Stat(pid); err == nil {
		t.Error("the pid file is still there")
	}
	for argv, want := range map[string]int{"": 2, "-h": 0, "-m x p": 2, "-m 256 p": 2, "-z p": 2, "-m 1": 2} {
		out.Reset()
		if rc := Run(context.Background(), "cl_respawn", strings.Fields(argv), nil, &out, &errs); rc != want || !strings.HasPrefix(out.String(), "Usage cl_respawn") {
			t.Errorf("%q: %d, want %d", argv, rc, want)
		}
	}
	if rc := Run(context.Background(), "cl_respawn", []string{"/nothing/here"}, nil, &out, &errs); rc != 1 {
		t.Errorf("a program that is not there: %d", rc)
	}
}

func TestMeatclient(t *testing.T) {
	root := t.TempDir()
	t.Setenv("HA_ROOT", root)
	fifo := paths.Layout{Root: root}.Meatware("n1")
	call := func(stdin string, args ...string) (int, string) {
		var out bytes.Buffer
		rc := Meatclient(context.Background(), "meatclient", args, strings.NewReader(stdin), &out, &out)
		return rc, out.String()
	}
	if rc, out := call(""); rc != 3 || !strings.Contains(out, "usage: meatclient -c node [-w]") {
		t.Errorf("without a node: %d %q", rc, out)
	}
	if rc, out := call("", "-c", "n1"); rc != 4 || !strings.Contains(out, "Meatware_IPC failed: ") {
		t.Errorf("nobody waits: %d %q", rc, out)
	}
	if err := os.MkdirAll(filepath.Dir(fifo), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if rc, out := call("n\n", "-c", "n1"); rc != 1 || !strings.Contains(out, "canceled") {
		t.Errorf("not confirmed: %d %q", rc, out)
	}
	if rc, out := call("y\n", "-c", "n1"); rc != 0 || !strings.Contains(out, "reset confirmed") {
		t.Errorf("confirmed: %d %q", rc, out)
	}
	got := make([]byte, 64)
	n, err := f.Read(got)
	if err != nil || string(got[:n]) != "meatware reply n1" {
		t.Errorf("the device gets %q %v", got[:n], err)
	}
}
