package halog

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"linuxha/internal/paths"
)

// root makes a node's root and writes its logd.cf.
func root(t *testing.T, config string) paths.Layout {
	t.Helper()
	dir, err := os.MkdirTemp("", "hl") // short: socket paths
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	t.Setenv("HA_ROOT", dir)
	if err := os.MkdirAll(filepath.Join(dir, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "etc/logd.cf"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	return paths.Layout{Root: dir}
}

func call(f func(context.Context, string, []string, io.Reader, io.Writer, io.Writer) int, stdin string, args ...string) (string, int) {
	var out bytes.Buffer
	code := f(context.Background(), "tool", args, strings.NewReader(stdin), &out, &out)
	return out.String(), code
}

func TestLinesThroughTheDaemon(t *testing.T) {
	l := root(t, "logfile /var/log/ha-log # the log\ndebugfile /var/log/ha-debug\nlogfacility none\n")
	if out, code := call(Daemon, "", "-s"); code != 1 || out != "logging daemon is stopped\n" {
		t.Errorf("-s: %d %q", code, out)
	}
	if out, code := call(Logger, "", "lost"); code != 1 || !strings.Contains(out, "start ha_logd -d") {
		t.Errorf("without a daemon: %d %q", code, out)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	var stderr bytes.Buffer
	go func() { ended <- Daemon(ctx, "ha_logd", nil, nil, io.Discard, &stderr) }()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) { // nothing tells
		if _, code := call(Logger, "", "-t", "harc(default)[85]", "info: Running", "a thing"); code == 0 {
			break
		} else if time.Now().After(end) {
			t.Fatal("the daemon does not take lines")
		}
	}
	if out, code := call(Logger, "one\ntwo\n", "-D", "ha-debug", "-t", "x"); code != 0 {
		t.Errorf("%d %q", code, out)
	}
	file := func(name string) string {
		text, err := os.ReadFile(filepath.Join(l.Root, "var/log", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for end := time.Now().Add(5 * time.Second); !strings.Contains(file("ha-debug"), "two"); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("ha-debug: %q", file("ha-debug"))
		}
	}
	if !regexp.MustCompile(`(?m)^\d{4}/\d\d/\d\d_\d\d:\d\d:\d\d  harc\(default\)\[85\]: info: Running a thing$`).MatchString(file("ha-log")) || strings.Contains(file("ha-log"), "two") {
		t.Errorf("ha-log: %q", file("ha-log"))
	}
	if out, code := call(Daemon, ""); code != 0 || !strings.Contains(out, "running already") {
		t.Errorf("a second one: %d %q", code, out)
	}
	stop()
	if code := <-ended; code != 0 {
		t.Errorf("exit %d: %s", code, &stderr)
	}
}

func TestMistakes(t *testing.T) {
	for config, want := range map[string]string{
		"logfile\n":            "logd.cf:1: \"logfile\": write NAME VALUE",
		"\nlogfacility west\n": "logd.cf:2:",
		"colour red\n":         "logfile, debugfile, logfacility, entity and syslogmsgfmt are known",
		"syslogmsgfmt maybe\n": "write yes or no",
	} {
		root(t, config)
		if out, code := call(Daemon, ""); code != 1 || !strings.Contains(out, want) {
			t.Errorf("%q: %d %q", config, code, out)
		}
	}
	for _, args := range []string{"-x", "-c"} {
		if _, code := call(Daemon, "", strings.Fields(args)...); code != 2 {
			t.Errorf("ha_logd %s: %d", args, code)
		}
	}
	for _, args := range []string{"-x", "-D ha-west m", "-t"} {
		if _, code := call(Logger, "", strings.Fields(args)...); code != 2 {
			t.Errorf("ha_logger %s: %d", args, code)
		}
	}
}
