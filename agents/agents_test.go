// Package agents_test runs our resource agents as the cluster would.
package agents_test

import (
	"encoding/xml"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// shells are those in which agents and library must work.
var shells = []string{"dash", "bash"}

// agent runs one agent in a state folder of its own.
type agent struct {
	t      *testing.T
	name   string
	shell  string
	params map[string]string
	env    []string
	root   string // OCF_ROOT
	ns     string // network namespace, "": ours
}

func newAgent(t *testing.T, name, shell string) *agent {
	t.Helper()
	if _, err := exec.LookPath(shell); err != nil {
		t.Skip(err)
	}
	root, err := filepath.Abs("ocf")
	if err != nil {
		t.Fatal(err)
	}
	return &agent{t: t, name: name, shell: shell, root: root, params: map[string]string{}, env: []string{"HA_RSCTMP=" + t.TempDir()}}
}

// run executes an action and returns its exit code and both outputs.
func (a *agent) run(action string) (rc int, stdout, stderr string) {
	a.t.Helper()
	path := filepath.Join(a.root, "resource.d/heartbeat", a.name)
	args := []string{a.shell, path, action}
	if a.ns != "" {
		args = append([]string{"ip", "netns", "exec", a.ns}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...) // also in cleanups
	cmd.Env = append(os.Environ(), "OCF_ROOT="+a.root, "OCF_RA_VERSION_MAJOR=1", "OCF_RA_VERSION_MINOR=1",
		"OCF_RESOURCE_INSTANCE=test", "OCF_RESOURCE_TYPE="+a.name, "OCF_RESOURCE_PROVIDER=heartbeat")
	cmd.Env = append(cmd.Env, a.env...)
	for k, v := range a.params {
		cmd.Env = append(cmd.Env, "OCF_RESKEY_"+k+"="+v)
	}
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.WaitDelay = 100 * time.Millisecond // what the agent left running may hold the pipes
	err := cmd.Run()
	if cmd.ProcessState == nil {
		a.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

func (a *agent) want(action string, want int) (stderr string) {
	a.t.Helper()
	rc, stdout, stderr := a.run(action)
	if rc != want {
		a.t.Fatalf("%s %s: exit code %d, want %d\n%s%s", a.name, action, rc, want, stdout, stderr)
	}
	if action != "meta-data" && action != "status" && stdout != "" {
		a.t.Errorf("%s %s writes to its output: %q", a.name, action, stdout)
	}
	return stderr
}

func all(t *testing.T) []string {
	t.Helper()
	files, err := os.ReadDir("ocf/resource.d/heartbeat")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range files {
		if !strings.HasPrefix(f.Name(), ".") {
			out = append(out, f.Name())
		}
	}
	return out
}

// metadata is the part of an agent's description that every agent must have.
type metadata struct {
	Name       string `xml:"name,attr"`
	API        string `xml:"version"`
	Short      string `xml:"shortdesc"`
	Long       string `xml:"longdesc"`
	Parameters []struct {
		Name  string `xml:"name,attr"`
		Short string `xml:"shortdesc"`
		Long  string `xml:"longdesc"`
		Cont  struct {
			Type string `xml:"type,attr"`
		} `xml:"content"`
	} `xml:"parameters>parameter"`
	Actions []struct {
		Name    string `xml:"name,attr"`
		Timeout string `xml:"timeout,attr"`
	} `xml:"actions>action"`
}

func TestMetadataOfEveryAgent(t *testing.T) {
	t.Parallel()
	for _, name := range all(t) {
		for _, shell := range shells {
			t.Run(name+"/"+shell, func(t *testing.T) {
				a := newAgent(t, name, shell)
				a.env = append(a.env, "OCF_TESTER_FAIL_HAVE_BINARY=1", "OCF_RESOURCE_INSTANCE=")
				rc, out, errs := a.run("meta-data")
				if rc != 0 || errs != "" {
					t.Fatalf("exit code %d, %s", rc, errs)
				}
				var m metadata
				if err := xml.Unmarshal([]byte(out), &m); err != nil {
					t.Fatal(err)
				}
				if m.Name != name || m.API != "1.1" || m.Short == "" || m.Long == "" {
					t.Errorf("incomplete: %+v", m)
				}
				has := map[string]bool{}
				for _, act := range m.Actions {
					has[act.Name] = true
					if act.Timeout == "" {
						t.Errorf("action %s has no timeout", act.Name)
					}
				}
				for _, need := range []string{"start", "stop", "monitor", "meta-data", "validate-all"} {
					if !has[need] {
						t.Errorf("action %s is missing", need)
					}
				}
				for _, p := range m.Parameters {
					if p.Short == "" || p.Long == "" || p.Cont.Type == "" {
						t.Errorf("parameter %s lacks a description or a type", p.Name)
					}
				}
			})
		}
	}
}

func TestUnknownActionOfEveryAgent(t *testing.T) {
	for _, name := range all(t) {
		for _, shell := range shells {
			newAgent(t, name, shell).want("no-such-action", 3)
		}
	}
}

func TestDummy(t *testing.T) {
	t.Parallel()
	for _, shell := range shells {
		a := newAgent(t, "Dummy", shell)
		for _, step := range []struct {
			action string
			rc     int
		}{
			{"validate-all", 0},
			{"monitor", 7},
			{"stop", 0},
			{"start", 0},
			{"monitor", 0},
			{"start", 0},
			{"reload-agent", 0},
			{"notify", 0},
			{"migrate_to", 0},
			{"monitor", 7},
			{"migrate_from", 0},
			{"monitor", 0},
			{"stop", 0},
			{"monitor", 7},
		} {
			a.want(step.action, step.rc)
		}
		a.params["CRM_meta_interval"] = "10000"
		if errs := a.want("monitor", 7); !strings.Contains(errs, "ocf-exit-reason:No process state file found\n") {
			t.Errorf("no exit reason: %q", errs)
		}
		a.params["fail_start_on"], a.params["CRM_meta_on_node"] = "n1", "n1"
		a.want("start", 1)
		a.params["state"] = "relative"
		a.want("start", 6)
	}
}

func TestStateful(t *testing.T) {
	for _, shell := range shells {
		a := newAgent(t, "Stateful", shell)
		a.env = append(a.env, "HA_SBIN_DIR=/nonexistent")
		for _, step := range []struct {
			action string
			rc     int
		}{
			{"monitor", 7},
			{"demote", 7},
			{"start", 0},
			{"monitor", 0},
			{"demote", 0},
			{"promote", 0},
			{"monitor", 8},
			{"promote", 0},
			{"demote", 0},
			{"monitor", 0},
			{"promote", 0},
			{"stop", 0},
			{"monitor", 7},
			{"stop", 0},
		} {
			a.want(step.action, step.rc)
		}
	}
}

func TestStatefulSetsItsScore(t *testing.T) {
	dir := t.TempDir()
	script := "#!/bin/sh\necho \"$*\" >>" + dir + "/calls\n"
	if err := os.WriteFile(dir+"/crm_attribute", []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	a := newAgent(t, "Stateful", "dash")
	a.env = append(a.env, "HA_SBIN_DIR="+dir)
	a.params["crm_feature_set"] = "3.16.1"
	for _, action := range []string{"start", "promote", "demote", "stop"} {
		a.want(action, 0)
	}
	got, err := os.ReadFile(dir + "/calls")
	if want := "-p -v 5\n-p -v 10\n-p -v 5\n-p -D\n"; err != nil || string(got) != want {
		t.Errorf("crm_attribute was called with %q, want %q (%v)", got, want, err)
	}
}

func TestAnything(t *testing.T) {
	t.Parallel()
	for _, shell := range shells {
		t.Run(shell, func(t *testing.T) {
			a := newAgent(t, "anything", shell)
			dir := t.TempDir()
			a.want("monitor", 7)
			a.want("start", 6) // no binfile
			a.params["binfile"] = "/no/such/program"
			a.want("start", 5)
			a.params["binfile"] = "/bin/sh"
			a.params["cmdline_options"] = `-c "echo running in \$PWD; exec sleep 300"`
			a.params["workdir"] = dir
			a.params["logfile"] = dir + "/log"
			a.params["pidfile"] = dir + "/pid"
			a.params["monitor_hook"] = "test -s " + dir + "/log"
			a.want("start", 0)
			t.Cleanup(func() { a.run("stop") })
			a.want("start", 0)
			a.want("monitor", 0)
			if log, err := os.ReadFile(dir + "/log"); err != nil || string(log) != "running in "+dir+"\n" {
				t.Errorf("log %q, %v", log, err)
			}
			pid, err := os.ReadFile(dir + "/pid")
			if err != nil {
				t.Fatal(err)
			}
			a.want("stop", 0)
			if st, err := os.ReadFile("/proc/" + strings.TrimSpace(string(pid)) + "/status"); err == nil && !strings.Contains(string(st), "State:\tZ") {
				t.Errorf("the program still runs:\n%s", st)
			}
			a.want("monitor", 7)
			a.want("stop", 0)

			delete(a.params, "monitor_hook")
			a.params["cmdline_options"] = `-c "exit 3"`
			if errs := a.want("start", 1); !strings.Contains(errs, "ended right after its start") {
				t.Errorf("no exit reason: %q", errs)
			}
			// It does not care for TERM.
			a.params["cmdline_options"] = `-c "trap '' TERM; while :; do sleep 0.1; done"`
			a.params["stop_timeout"] = "0"
			a.want("start", 0)
			a.want("stop", 0)
			a.want("monitor", 7)
		})
	}
}

func TestAnythingAsAnotherUser(t *testing.T) {
	needRoot(t)
	a := newAgent(t, "anything", "dash")
	dir := t.TempDir()
	a.params = map[string]string{
		"binfile": "/bin/sh", "cmdline_options": `-c "id -un; exec sleep 300"`, "user": "nobody",
		"logfile": dir + "/log", "monitor_hook": "test -s " + dir + "/log",
	}
	a.want("start", 0)
	a.want("monitor", 0)
	if log, err := os.ReadFile(dir + "/log"); err != nil || string(log) != "nobody\n" {
		t.Errorf("log %q, %v", log, err)
	}
	a.want("stop", 0)
	a.params["user"] = "no-such-user"
	a.want("start", 5)
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestFilesystem(t *testing.T) {
	t.Parallel()
	needRoot(t)
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "none", dir).CombinedOutput(); err != nil {
		t.Skipf("mounting is not allowed here: %s", out)
	}
	run(t, "umount", dir)
	for _, shell := range shells {
		t.Run(shell, func(t *testing.T) {
			a := newAgent(t, "Filesystem", shell)
			point := filepath.Join(dir, "a mount point")
			a.want("monitor", 6)
			a.params = map[string]string{"device": "tmpfs", "directory": point + "/", "fstype": "tmpfs", "options": "size=1m"}
			a.want("monitor", 7)
			a.want("stop", 0)
			a.want("start", 0)
			t.Cleanup(func() { a.run("stop") })
			a.want("start", 0)
			a.want("monitor", 0)
			for _, level := range []string{"10", "20"} {
				a.params["OCF_CHECK_LEVEL"] = level
				a.want("monitor", 0)
			}
			if _, err := os.Stat(point + "/.Filesystem_status/test"); err != nil {
				t.Error(err)
			}
			user := exec.Command("sh", "-c", "cd '"+point+"' && echo in && exec sleep 300")
			pipe, err := user.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := user.Start(); err != nil {
				t.Fatal(err)
			}
			if _, err := pipe.Read(make([]byte, 3)); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- user.Wait() }()
			a.want("stop", 0)
			if err := <-ended; err == nil {
				t.Error("who used the mount point ended well, so the stop did nothing")
			}
			a.want("monitor", 7)
			a.want("stop", 0)
			a.params["fstype"], a.params["device"] = "ext4", "/dev/no-such-device"
			a.want("start", 5)
			a.params["CRM_meta_clone_max"] = "2"
			a.want("validate-all", 6)
		})
	}
}

var networks atomic.Int32

// network makes two namespaces joined by a wire: 10.99.0.1 and fd99::1 in the
// first, 10.99.0.2 in the second.
func network(t *testing.T) (here, there string) {
	t.Helper()
	needRoot(t)
	n := networks.Add(1)
	here, there = fmt.Sprintf("ha%d-%da", os.Getpid(), n), fmt.Sprintf("ha%d-%db", os.Getpid(), n)
	if out, err := exec.Command("ip", "netns", "add", here).CombinedOutput(); err != nil {
		t.Skipf("no network namespaces here: %s", out)
	}
	t.Cleanup(func() { run(t, "ip", "netns", "del", here) })
	run(t, "ip", "netns", "add", there)
	t.Cleanup(func() { run(t, "ip", "netns", "del", there) })
	run(t, "ip", "-n", here, "link", "add", "w0", "type", "veth", "peer", "name", "w0", "netns", there)
	for _, ns := range []string{here, there} {
		run(t, "ip", "-n", ns, "link", "set", "lo", "up")
		run(t, "ip", "-n", ns, "link", "set", "w0", "up")
	}
	run(t, "ip", "-n", here, "addr", "add", "10.99.0.1/24", "dev", "w0")
	run(t, "ip", "-n", here, "addr", "add", "fd99::1/64", "dev", "w0", "nodad")
	run(t, "ip", "-n", there, "addr", "add", "10.99.0.2/24", "dev", "w0")
	return here, there
}

// sendARP builds our send_arp, once, and returns its folder.
func sendARP(t *testing.T) string {
	t.Helper()
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "agents"); built.err == nil {
			built.out, built.err = exec.Command("go", "build", "-o", filepath.Join(built.dir, "send_arp"), "./cmd/send_arp").CombinedOutput()
		}
	})
	if built.err != nil {
		t.Fatalf("build send_arp: %v\n%s", built.err, built.out)
	}
	return built.dir
}

var built struct {
	once sync.Once
	dir  string
	out  []byte
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	os.RemoveAll(built.dir)
	os.Exit(code)
}

func TestIPaddr2(t *testing.T) {
	t.Parallel()
	here, there := network(t)
	bin := sendARP(t)
	for _, shell := range shells {
		t.Run(shell, func(t *testing.T) {
			a := newAgent(t, "IPaddr2", shell)
			a.ns = here
			a.env = append(a.env, "HA_BIN="+bin)
			a.want("start", 6) // no address
			a.params["ip"] = "10.99.0.300"
			a.want("start", 6)
			a.params["ip"] = "10.99.0.7"
			a.want("validate-all", 0)
			a.want("monitor", 7)
			a.want("stop", 0)
			// The neighbour believes that the address is elsewhere.
			run(t, "ip", "-n", there, "neigh", "replace", "10.99.0.7", "lladdr", "02:00:00:00:00:99", "dev", "w0", "nud", "stale")
			a.want("start", 0)
			a.want("start", 0)
			a.want("monitor", 0)
			if got := run(t, "ip", "-n", here, "-o", "addr", "show", "dev", "w0"); !strings.Contains(got, "10.99.0.7/24 brd 10.99.0.255") {
				t.Errorf("addresses:\n%s", got)
			}
			mac := strings.TrimSpace(run(t, "ip", "netns", "exec", here, "cat", "/sys/class/net/w0/address"))
			for end := time.Now().Add(3 * time.Second); ; time.Sleep(5 * time.Millisecond) {
				got := run(t, "ip", "-n", there, "neigh", "show", "10.99.0.7")
				if strings.Contains(got, mac) {
					break
				}
				if time.Now().After(end) {
					t.Errorf("the neighbour was not told: %s", got)
					break
				}
			}
			run(t, "ip", "-n", here, "link", "set", "w0", "down")
			a.params["CRM_meta_interval"] = "1000"
			a.want("monitor", 1)
			run(t, "ip", "-n", here, "link", "set", "w0", "up")
			run(t, "ip", "-n", here, "addr", "add", "fd99::1/64", "dev", "w0", "nodad") // lost with the link
			a.want("stop", 0)
			a.want("monitor", 7)
			a.want("stop", 0)
			for _, tc := range []struct {
				params map[string]string
				shown  string
			}{
				{map[string]string{"ip": "10.99.0.8", "cidr_netmask": "255.255.255.128", "nic": "w0", "iflabel": "ha"}, "10.99.0.8/25 brd 10.99.0.127 scope global secondary w0:ha"},
				{map[string]string{"ip": "10.77.0.1", "cidr_netmask": "32", "nic": "w0"}, "10.77.0.1/32 scope"},
				{map[string]string{"ip": "fd99::7"}, "fd99::7/64"},
				{map[string]string{"ip": "fd99::8", "nodad": "true"}, "fd99::8/64"},
			} {
				a.params = tc.params
				a.want("start", 0)
				a.want("monitor", 0)
				if got := run(t, "ip", "-n", here, "-o", "addr", "show", "dev", "w0"); !strings.Contains(strings.Join(strings.Fields(got), " "), tc.shown) && !strings.Contains(strings.Join(strings.Fields(got), " "), strings.ReplaceAll(tc.shown, " secondary", "")) {
					t.Errorf("addresses, want %q:\n%s", tc.shown, got)
				}
				a.want("stop", 0)
				a.want("monitor", 7)
			}
			a.params = map[string]string{"ip": "192.0.2.1"} // no such network here
			if errs := a.want("start", 1); !strings.Contains(errs, "ocf-exit-reason:") {
				t.Errorf("no exit reason: %q", errs)
			}
			a.params = map[string]string{"ip": "10.99.0.7", "nic": "nope0"}
			a.want("start", 6)
			a.want("stop", 0)
		})
	}
}

// TestDebiansIPaddr2 runs the agent of the distribution on our library and our
// send_arp.
func TestDebiansIPaddr2(t *testing.T) {
	t.Parallel()
	theirs, err := os.ReadFile("/usr/lib/ocf/resource.d/heartbeat/IPaddr2")
	if err != nil {
		t.Skip("the package resource-agents is not installed")
	}
	here, _ := network(t)
	a := newAgent(t, "IPaddr2", "bash")
	ours := a.root
	a.root = t.TempDir() // our library, their agent
	if err := os.MkdirAll(a.root+"/resource.d/heartbeat", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(ours+"/lib", a.root+"/lib"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(a.root+"/resource.d/heartbeat/IPaddr2", theirs, 0o755); err != nil {
		t.Fatal(err)
	}
	a.ns = here
	a.env = append(a.env, "HA_BIN="+sendARP(t))
	for _, ip := range []string{"10.99.0.9", "fd99::9"} {
		a.params = map[string]string{"ip": ip}
		for _, step := range []struct {
			action string
			rc     int
		}{{"validate-all", 0}, {"monitor", 7}, {"start", 0}, {"monitor", 0}, {"stop", 0}, {"monitor", 7}} {
			if rc, out, errs := a.run(step.action); rc != step.rc {
				t.Errorf("%s %s: exit code %d, want %d\n%s%s", ip, step.action, rc, step.rc, out, errs)
			}
		}
	}
}
