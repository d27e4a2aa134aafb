package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	heartbeatv1 "linuxha/proto/heartbeat/v1"
)

// classicRoot is a node of a haresources cluster on its own, with a resource
// script that writes down what it is asked.
func classicRoot(t *testing.T) *root {
	t.Helper()
	r := newRoot(t, map[string]string{"authkeys": authkeys, "ha.cf": solo, "haresources": "solo rec::a rec::b\nsolo rec::c\n"})
	for name, text := range map[string]string{
		"resource.d/rec": `#!/bin/sh
case $2 in
start) touch "$HA_DIR/$1.up" ;;
stop) rm -f "$HA_DIR/$1.up" ;;
status) [ -e "$HA_DIR/$1.up" ] && echo running || echo stopped; exit 0 ;;
esac
echo "$1 $2" >>"$HA_DIR/done"
`,
		"rc.d/labcall": "#!/bin/sh\necho \"$1 $HA_src $HA_word $HA_CURHOST $HA_OSTATUS\" >>\"$HA_DIR/done\"\n",
	} {
		path := filepath.Join(r.Config(), name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func (r *root) done() string {
	text, err := os.ReadFile(filepath.Join(r.Config(), "done"))
	if err != nil && !os.IsNotExist(err) {
		r.t.Fatal(err)
	}
	return strings.ReplaceAll(strings.TrimSpace(string(text)), "\n", ",")
}

// TestClassicMode: groups are started at the start and stopped at the end,
// scripts of rc.d run for messages in the FIFO, and nonsense there does no harm.
func TestClassicMode(t *testing.T) {
	r := classicRoot(t)
	d := r.start()
	r.until("all resources", func(st *heartbeatv1.GetStatusResponse) bool { return st.ResourceState == "all" })
	started := "a start,b start,c start"
	if got := r.done(); got != started {
		t.Errorf("started: %s", got)
	}
	fifo, err := os.OpenFile(filepath.Join(r.State(), "fifo"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer fifo.Close()
	if st, err := fifo.Stat(); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode of the FIFO: %v %v", st.Mode(), err)
	}
	for _, text := range []string{
		"nonsense\n", ">>>\nno field\n<<<\n", ">>>\nt=status\nst=dead\n<<<\n", ">>>\n>>>\nt=labcall\nword=one\n<<<\n",
		">>>\nt=labcall\nword=two\n<<<\n",
	} {
		if _, err := fifo.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	want := started + ",labcall solo one solo active,labcall solo two solo active"
	r.until("the scripts", func(*heartbeatv1.GetStatusResponse) bool { return r.done() == want })
	// A second start of what runs already touches nothing.
	if _, err := fifo.WriteString(">>>\nt=ip-request-resp\ndest=solo\nipaddr=rec::c\nweown=yes\nok=OK\n<<<\n"); err != nil {
		t.Fatal(err)
	}
	r.until("the request's line", func(*heartbeatv1.GetStatusResponse) bool {
		return strings.Contains(r.log(), "received ip-request-resp rec::c OK yes")
	})
	if out, code := r.call("-k"); code != exitOK {
		t.Errorf("-k: %d %q", code, out)
	}
	d.ended()
	if got := r.done(); got != want+",b stop,a stop,c stop" {
		t.Errorf("in the end: %s", got)
	}
	for _, line := range []string{
		"doesn't contain '='", "a message begins within another one", "cannot be sent from outside",
		"info: Acquiring resource group: solo rec::a rec::b", "info: Giving up all HA resources.", "info: All HA resources relinquished.",
	} {
		if !strings.Contains(r.log(), line) {
			t.Errorf("the log lacks %q:\n%s", line, r.log())
		}
	}
}

// TestControlScript goes through the verbs of /etc/init.d/heartbeat (HB 20.2).
func TestControlScript(t *testing.T) {
	r := classicRoot(t)
	bin := t.TempDir()
	for name, text := range map[string]string{
		"heartbeatd": "#!/bin/sh\nTEST_AS_HEARTBEATD=1 exec " + os.Args[0] + " \"$@\"\n",
		"hatools":    "#!/bin/sh\necho \"tool $*\" >>\"$HA_DIR/done\"\n",
	} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	startstop := filepath.Join(r.Config(), "resource.d", "startstop")
	if err := os.WriteFile(startstop, []byte("#!/bin/sh\necho \"$*\" >>\"$HA_DIR/hooks\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	call := func(verb string) (string, int) {
		t.Helper()
		cmd := exec.Command("../deploy/init/heartbeat", verb)
		cmd.Env = append(os.Environ(), "HA_ROOT="+r.Root, "HA_NODE="+r.name, "HA_BIN="+bin)
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return string(out), cmd.ProcessState.ExitCode()
	}
	expect := func(verb string, code int, want string) {
		t.Helper()
		if out, got := call(verb); got != code || !strings.Contains(out, want) {
			t.Errorf("%s: %d %q, want %d %q", verb, got, out, code, want)
		}
	}
	expect("status", exitNoFile, "heartbeat is stopped. No process")
	expect("stop", 0, "Stopping High-Availability services: Done.")
	expect("standby", 1, "Heartbeat is not currently running.")
	expect("start", 0, "Starting High-Availability services: Done.")
	defer call("stop")
	expect("status", 0, "heartbeat OK [pid ")
	expect("start", 0, "Done.")
	expect("reload", 0, "Reloading High-Availability services: Done.")
	expect("standby", 0, "auto_failback: on\nAttempting to enter standby modeDone.")
	expect("bogus", 1, "Usage: ../deploy/init/heartbeat {start|stop|status|restart|reload|force-reload}")
	r.until("all resources", func(st *heartbeatv1.GetStatusResponse) bool { return st.ResourceState == "all" })
	expect("stop", 0, "Done.")
	// standby is asked for while resources are started.
	got := r.done()
	if without := strings.Replace(got, ",tool hb_standby", "", 1); without == got || !strings.HasPrefix(without, "tool ResourceManager verifyallidle,a start") || !strings.HasSuffix(without, "c stop") {
		t.Errorf("did %s", got)
	}
	hooks, err := os.ReadFile(filepath.Join(r.Config(), "hooks"))
	if err != nil || string(hooks) != "pre-stop\npost-stop 0\npre-start\npost-start 0\npre-stop\npost-stop 0\n" {
		t.Errorf("hooks %q %v", hooks, err)
	}
	cf := filepath.Join(r.Config(), "ha.cf")
	if err := os.WriteFile(cf, []byte("bogus\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	expect("start", exitBadSetup, "Starting High-Availability services:  Heartbeat failure [rc=6]. Failed.")
	expect("standby", 1, "auto_failback defaulted to legacy.  Cannot enter standby.")
	if err := os.Remove(cf); err != nil {
		t.Fatal(err)
	}
	expect("start", 0, "Heartbeat not configured: "+cf+" not found. Heartbeat failure [rc=1]. Failed.")
}

const duo = "keepalive 100ms\ndeadtime 400ms\ninitdead 600ms\nudpport PORT\nucast lo 127.0.0.41 127.0.0.41\nnode solo duo\nauto_failback on\n"

// TestMeatware: nothing is taken over from a node that was not reset, until an
// operator says that he did it by hand.
func TestMeatware(t *testing.T) {
	r := classicRoot(t)
	r.write("ha.cf", duo+"stonith_host * meatware duo\n")
	r.start()
	r.until("the call for the operator", func(*heartbeatv1.GetStatusResponse) bool {
		return strings.Contains(r.log(), `CRIT: Run "meatclient -c duo" AFTER power-cycling the machine.`)
	})
	r.until("transition", func(st *heartbeatv1.GetStatusResponse) bool { return st.ResourceState == "transition" })
	if got := r.done(); got != "" {
		t.Errorf("taken over before the reset: %s", got)
	}
	for _, answer := range []string{"meatware reply solo", "meatware reply duo"} {
		if err := os.WriteFile(r.Meatware("duo"), []byte(answer), 0); err != nil {
			t.Fatal(err)
		}
		if answer == "meatware reply solo" {
			continue // about another node
		}
		r.until("all resources", func(st *heartbeatv1.GetStatusResponse) bool { return st.ResourceState == "all" })
	}
	if _, err := os.Stat(r.Meatware("duo")); err == nil {
		t.Error("the FIFO of the device is still there")
	}
}

// TestFenceAgent: parameters of a file reach a fence agent; what it refuses is
// tried again.
func TestFenceAgent(t *testing.T) {
	r := classicRoot(t)
	agent := filepath.Join(r.Root, "usr", "sbin", "fence_fake")
	if err := os.MkdirAll(filepath.Dir(agent), 0o755); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\nsort >\"$HA_DIR/asked\"\n[ -e \"$HA_DIR/asked.before\" ] && exit 0\ntouch \"$HA_DIR/asked.before\"\necho no power here >&2\nexit 1\n"
	if err := os.WriteFile(agent, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	r.write("device", "ipaddr=10.0.0.9 login=admin # the board\nport_off=1\n")
	r.write("ha.cf", duo+"stonith fence_fake "+filepath.Join(r.Config(), "device")+"\n")
	r.start()
	r.until("all resources", func(st *heartbeatv1.GetStatusResponse) bool { return st.ResourceState == "all" })
	asked, err := os.ReadFile(filepath.Join(r.Config(), "asked"))
	if err != nil || string(asked) != "action=reboot\nipaddr=10.0.0.9\nlogin=admin\nnodename=duo\nport=duo\nport_off=1\n" {
		t.Errorf("the agent got %q %v", asked, err)
	}
	for _, want := range []string{"info: Resetting node duo with [fence_fake ", "ERROR: STONITH of duo failed.  Retrying...", "no power here", "info: node duo now reset."} {
		if !strings.Contains(r.log(), want) {
			t.Errorf("no %q in the log", want)
		}
	}
}

func (r *root) write(name, text string) {
	r.t.Helper()
	text = strings.ReplaceAll(text, "PORT", strconv.Itoa(r.port))
	if err := os.WriteFile(filepath.Join(r.Config(), name), []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}
