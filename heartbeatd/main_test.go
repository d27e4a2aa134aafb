package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"

	"linuxha/internal/ipc"
	"linuxha/internal/paths"
	heartbeatv1 "linuxha/proto/heartbeat/v1"
)

// TestMain lets the test binary be heartbeatd.
func TestMain(m *testing.M) {
	if os.Getenv("TEST_AS_HEARTBEATD") != "" {
		os.Unsetenv("TEST_AS_HEARTBEATD")
		main()
	}
	os.Exit(m.Run())
}

func TestOptions(t *testing.T) {
	for _, tc := range []struct {
		args string
		ok   bool
		want command
	}{
		{"", true, command{}},
		{"-f", true, command{}},
		{"-dd", true, command{debug: 2}},
		{"-fdM", true, command{debug: 1, noResources: true}},
		{"-s", true, command{verb: 's'}},
		{"-DW", true, command{verb: 'D'}},
		{"--version", true, command{verb: 'V'}},
		{"-sk", false, command{}},
		{"-x", false, command{}},
		{"word", false, command{}},
		{"-R", false, command{}},
	} {
		got, ok := parse(strings.Fields(tc.args))
		if ok != tc.ok || ok && got != tc.want {
			t.Errorf("%q: %+v %v", tc.args, got, ok)
		}
	}
}

// root is a node's HA_ROOT.
type root struct {
	t *testing.T
	paths.Layout
	name string
	port int
}

func newRoot(t *testing.T, files map[string]string) *root {
	t.Helper()
	dir, err := os.MkdirTemp("", "hb") // short: socket paths
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	r := &root{t: t, Layout: paths.Layout{Root: dir}, name: "solo", port: freePort(t)}
	if err := os.MkdirAll(r.Config(), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		mode := os.FileMode(0o600)
		if strings.HasSuffix(name, "+r") {
			name, mode = strings.TrimSuffix(name, "+r"), 0o644
		}
		text = strings.ReplaceAll(text, "PORT", fmt.Sprint(r.port))
		if err := os.WriteFile(filepath.Join(r.Config(), name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func freePort(t *testing.T) int {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return int(netip.MustParseAddrPort(c.LocalAddr().String()).Port())
}

func (r *root) command(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "TEST_AS_HEARTBEATD=1", "HA_ROOT="+r.Root, "HA_NODE="+r.name)
	return cmd
}

// call runs heartbeatd with args to its end.
func (r *root) call(args ...string) (string, int) {
	r.t.Helper()
	cmd := r.command(args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Start()
	if err != nil {
		r.t.Fatal(err)
	}
	timer := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	_ = cmd.Wait()
	return out.String(), cmd.ProcessState.ExitCode()
}

const (
	solo     = "keepalive 100ms\ndeadtime 400ms\nudpport PORT\nucast lo 127.0.0.41 127.0.0.41\nnode solo\nauto_failback on\n"
	authkeys = "auth 1\n1 sha256 secret\n"
)

func TestBadConfigurations(t *testing.T) {
	for _, tc := range []struct {
		name  string
		files map[string]string
		want  []string
	}{
		{"nothing", nil, []string{"Cannot open config file ["}},
		{"unknown directive", map[string]string{"ha.cf": solo + "keepalife 1\n", "authkeys": authkeys}, []string{
			"ERROR: Illegal directive [keepalife] in ", "did you mean \"keepalive\"?", "ERROR: Heartbeat not started: configuration error.", "ERROR: Configuration error, heartbeat not started.",
		}},
		{"other host", map[string]string{"ha.cf": strings.Replace(solo, "node solo", "node duo", 1), "authkeys": authkeys}, []string{
			"ERROR: Current node [solo] not in configuration!", "add `node solo`",
		}},
		{"keys for all", map[string]string{"ha.cf": solo + "crm yes\n", "authkeys+r": authkeys}, []string{
			"ERROR: Bad permissions on keyfile [", "600 recommended.", "ERROR: Authentication configuration error.",
		}},
		{"haresources", map[string]string{"ha.cf": solo, "authkeys": authkeys, "haresources": "duo apache\n"}, []string{"ERROR: Bad nodename in ", "haresources [duo]", "name one of: solo"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRoot(t, tc.files)
			out, code := r.call("-f")
			if code != exitBadSetup {
				t.Errorf("exit %d, want %d", code, exitBadSetup)
			}
			for _, want := range tc.want {
				if !strings.Contains(out, want) {
					t.Errorf("lacks %q:\n%s", want, out)
				}
			}
		})
	}
}

// instance is a running heartbeatd.
type instance struct {
	*root
	cmd *exec.Cmd
	end chan error
}

func (r *root) start(args ...string) *instance {
	r.t.Helper()
	d := &instance{root: r, cmd: r.command(args...), end: make(chan error, 1)}
	if err := d.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	go func() { d.end <- d.cmd.Wait() }()
	r.t.Cleanup(func() { _ = d.cmd.Process.Kill() })
	return d
}

func (d *instance) ended() error {
	d.t.Helper()
	select {
	case err := <-d.end:
		return err
	case <-time.After(20 * time.Second):
		d.t.Fatalf("heartbeatd does not end:\n%s", d.log())
		return nil
	}
}

func (r *root) log() string {
	text, err := os.ReadFile(filepath.Join(r.Log(), "ha-log"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// until follows the state until f is content.
func (r *root) until(what string, f func(*heartbeatv1.GetStatusResponse) bool) {
	r.t.Helper()
	cc, err := ipc.Dial(r.Socket("heartbeatd"))
	if err != nil {
		r.t.Fatal(err)
	}
	defer cc.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		st, err := heartbeatv1.NewControlClient(cc).GetStatus(ctx, &heartbeatv1.GetStatusRequest{}, grpc.WaitForReady(true))
		if err == nil && f(st) {
			return
		}
		select { // restarts of children are in no stream
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	r.t.Fatalf("waiting in vain for %s:\n%s", what, r.log())
}

func member(st *heartbeatv1.GetStatusResponse) bool { return len(st.Membership.GetMembers()) == 1 }

func TestLife(t *testing.T) {
	r := newRoot(t, map[string]string{"ha.cf": solo + "watchdog /watch\n", "authkeys": authkeys})
	if out, code := r.call("-s"); code != exitNoFile || out != "heartbeat is stopped. No process\n" {
		t.Errorf("-s before: %d %q", code, out)
	}
	if out, code := r.call("-k"); code != exitOK || !strings.Contains(out, "INFO: Heartbeat already stopped.") {
		t.Errorf("-k before: %d %q", code, out)
	}
	d := r.start("-M")
	r.until("membership", member)
	if out, code := r.call("-s"); code != exitOK || !strings.Contains(out, fmt.Sprintf("heartbeat OK [pid %d et al] is running on ", d.cmd.Process.Pid)) {
		t.Errorf("-s: %d %q", code, out)
	}
	if out, code := r.call("-M"); code != exitOK || !strings.Contains(out, fmt.Sprintf("already running [pid %d].", d.cmd.Process.Pid)) {
		t.Errorf("second start: %d %q", code, out)
	}
	// A killed one leaves files behind that mislead nobody.
	if err := d.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	d.ended()
	if out, code := r.call("-s"); code != exitError {
		t.Errorf("-s after SIGKILL: %d %q", code, out)
	}
	d = r.start("-M")
	r.until("membership", member)
	if out, code := r.call("-k"); code != exitOK {
		t.Errorf("-k: %d %q", code, out)
	}
	if err := d.ended(); err != nil {
		t.Errorf("exit after -k: %v", err)
	}
	if log := r.log(); !strings.Contains(log, "Configuration validated. Starting heartbeat 3.0.6") || !strings.Contains(log, "solo Heartbeat shutdown complete.") {
		t.Errorf("log:\n%s", log)
	}
	watch, err := os.ReadFile(filepath.Join(r.Root, "watch"))
	if err != nil || len(watch) < 3 || !bytes.HasSuffix(watch, []byte("\x00V")) {
		t.Errorf("watchdog got %q, %v", watch, err)
	}
}

// crm puts scripts in place of the CRM's daemons.
func (r *root) crm(script string) string {
	dir := filepath.Join(r.Root, "daemons")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		r.t.Fatal(err)
	}
	for _, name := range []string{"cib", "stonithd", "lrmd", "attrd", "crmd"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\nname="+name+"\n"+script), 0o755); err != nil {
			r.t.Fatal(err)
		}
	}
	return "crm respawn\ncrm_daemon_dir " + dir + "\n"
}

const crmDaemon = `trap 'echo "$name ends"; exit 0' TERM
echo "$name runs as $(id -un) with $HA_ROOT $LC_ALL nice $(nice) policy $(cut -d" " -f41 /proc/$$/stat)"
while :; do sleep 60 & wait $!; done
`

func running(st *heartbeatv1.GetStatusResponse) bool {
	if len(st.Children) != 5 {
		return false
	}
	for _, c := range st.Children {
		if c.Pid == 0 {
			return false
		}
	}
	return true
}

func TestTheStackAboveIt(t *testing.T) {
	r := newRoot(t, map[string]string{"authkeys": authkeys})
	cf := strings.ReplaceAll(solo, "PORT", fmt.Sprint(r.port)) + r.crm(crmDaemon)
	if err := os.WriteFile(filepath.Join(r.Config(), "ha.cf"), []byte(cf), 0o644); err != nil {
		t.Fatal(err)
	}
	d := r.start()
	var crmd int
	r.until("children", func(st *heartbeatv1.GetStatusResponse) bool {
		if running(st) {
			crmd = int(st.Children[4].Pid)
		}
		return running(st)
	})
	if err := syscall.Kill(crmd, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	r.until("another crmd", func(st *heartbeatv1.GetStatusResponse) bool {
		return running(st) && st.Children[4].Restarts == 1 && int(st.Children[4].Pid) != crmd
	})
	// heartbeatd itself dies: the next one starts the children anew.
	if err := d.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	d.ended()
	d = r.start()
	r.until("children of the second", running)
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := d.ended(); err != nil {
		t.Errorf("orderly stop: %v", err)
	}
	log := r.log()
	at := 0
	for _, name := range []string{"crmd", "attrd", "lrmd", "stonithd", "cib"} {
		i := strings.Index(log[at:], "child stopped name="+name)
		if i < 0 {
			t.Errorf("%s did not stop in its place", name)
			continue
		}
		at += i
	}
	if !strings.Contains(log, "crmd runs as ") || !strings.Contains(log, "with "+r.Root+" C nice 0 policy 0") {
		t.Error("no message of crmd")
	}
	if t.Failed() {
		t.Log(log)
	}
}

func TestADaemonThatMustNotBeRestartedStopsTheNode(t *testing.T) {
	r := newRoot(t, map[string]string{"authkeys": authkeys})
	cf := strings.ReplaceAll(solo, "PORT", fmt.Sprint(r.port)) + r.crm(`[ $name = crmd ] && exit 100
`+crmDaemon)
	if err := os.WriteFile(filepath.Join(r.Config(), "ha.cf"), []byte(cf), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := r.start().ended(); err != nil {
		t.Errorf("%v", err)
	}
	if log := r.log(); !strings.Contains(log, "stopping this node") || !strings.Contains(log, "child stopped name=cib") || !strings.Contains(log, "Heartbeat shutdown complete.") {
		t.Errorf("log:\n%s", log)
	}
}

func TestStopWhileWaitingForOthers(t *testing.T) {
	r := newRoot(t, map[string]string{"authkeys": authkeys, "ha.cf": solo + "node absent\ninitdead 60\n"})
	d := r.start("-M")
	r.until("status up", func(st *heartbeatv1.GetStatusResponse) bool {
		return st.Nodes[0].Status == "up" && st.Membership == nil
	})
	began := time.Now()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := d.ended(); err != nil || time.Since(began) > 5*time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
}

func TestReload(t *testing.T) {
	r := newRoot(t, map[string]string{"authkeys": authkeys, "ha.cf": solo, "haresources": ""})
	d := r.start()
	r.until("membership", member)
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(r.Config(), "authkeys"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("auth 3\n1 sha256 secret\n")
	if out, code := r.call("-r"); code != exitError || !strings.Contains(out, "Auth Key [3] not found") || !strings.Contains(out, "NOT restarted") {
		t.Errorf("bad keys: %d %q", code, out)
	}
	write("auth 3\n1 sha256 secret\n3 sha256 other\n")
	if out, code := r.call("-r"); code != exitOK || !strings.Contains(out, fmt.Sprintf("Signalling heartbeat pid %d to reread config files", d.cmd.Process.Pid)) {
		t.Errorf("good keys: %d %q", code, out)
	}
	r.until("the log line", func(*heartbeatv1.GetStatusResponse) bool {
		return strings.Contains(r.log(), "Rereading authentication file.")
	})
	if out, code := r.call("-k"); code != exitOK {
		t.Errorf("-k: %d %q", code, out)
	}
	d.ended()
}
