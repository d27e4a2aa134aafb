package supervise

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"linuxha/heartbeatd/hacf"
	"linuxha/heartbeatd/halog"
	"linuxha/internal/paths"
)

// bench is a supervisor with children that are shell scripts.
type bench struct {
	t    *testing.T
	dir  string
	log  *lines
	out  *halog.Log
	opt  Options
	sup  *Supervisor
	stop context.CancelFunc
	end  chan error
}

// lines is a log that can be waited on.
type lines struct {
	mu   sync.Mutex
	b    bytes.Buffer
	more chan struct{}
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, err := l.b.Write(p)
	select {
	case l.more <- struct{}{}:
	default:
	}
	return n, err
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newBench(t *testing.T, scripts ...string) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir(), log: &lines{more: make(chan struct{}, 1)}, end: make(chan error, 1)}
	var err error
	if b.out, err = halog.Open(halog.Options{Node: "n", Stderr: b.log, Syslog: true}); err != nil {
		t.Fatal(err)
	}
	b.opt = Options{RunDir: b.dir, Output: b.out, Log: b.out.Logger("heartbeat"), Env: []string{"PATH=" + os.Getenv("PATH"), "DIR=" + b.dir, "HA_X=y"}}
	for i, s := range scripts {
		name := fmt.Sprintf("c%d", i)
		b.opt.Children = append(b.opt.Children, Spec{Name: name, Command: []string{b.script(name, s)}, Core: true})
	}
	return b
}

func (b *bench) script(name, text string) string {
	path := filepath.Join(b.dir, name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		b.t.Fatal(err)
	}
	return path
}

func (b *bench) run() {
	b.sup = New(b.opt)
	b.sup.KillLeftovers()
	var ctx context.Context
	ctx, b.stop = context.WithCancel(context.Background())
	go func() { b.end <- b.sup.Run(ctx) }()
	b.t.Cleanup(func() {
		b.stop()
		if b.t.Failed() {
			b.t.Logf("log:\n%s", b.log)
		}
	})
}

// wait waits until text has been logged n times.
func (b *bench) wait(n int, text string) {
	b.t.Helper()
	deadline := time.After(10 * time.Second)
	for strings.Count(b.log.String(), text) < n {
		select {
		case <-b.log.more:
		case <-deadline:
			b.t.Fatalf("%q was not logged %d times:\n%s", text, n, b.log)
		}
	}
}

func (b *bench) ended() error {
	b.t.Helper()
	select {
	case err := <-b.end:
		return err
	case <-time.After(10 * time.Second):
		b.t.Fatalf("supervisor does not end:\n%s", b.log)
		return nil
	}
}

// service logs that it runs and ends at SIGTERM; without a busy loop.
const service = `trap 'echo bye; exit 0' TERM; echo "up in $HA_X"; while :; do sleep 60 & wait $!; done`

func TestStartInOrderStopInReverse(t *testing.T) {
	b := newBench(t, service, service, service)
	b.run()
	for i := range 3 {
		b.wait(1, fmt.Sprintf("c%d: [%d]: info: up in y", i, b.pid(i)))
	}
	b.stop()
	if err := b.ended(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	b.wait(1, "child stopped name=c0")
	log := b.log.String()
	last := -1
	for _, text := range []string{"c0\" (0,0)", "c1\" (0,0)", "c2\" (0,0)", "child stopped name=c2", "child stopped name=c1", "child stopped name=c0"} {
		at := strings.Index(log, text)
		if at <= last {
			t.Errorf("%q is not in its place", text)
		}
		last = at
	}
	if left, _ := filepath.Glob(filepath.Join(b.dir, "*.pid")); left != nil {
		t.Errorf("pid files left: %v", left)
	}
}

// pid waits until the child has one.
func (b *bench) pid(i int) int {
	b.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		if pid := b.sup.Status()[i].PID; pid != 0 {
			return pid
		}
		select {
		case <-b.log.more:
		case <-time.After(10 * time.Millisecond):
		}
	}
	b.t.Fatalf("child %d does not run:\n%s", i, b.log)
	return 0
}

func TestAKilledChildIsBackAtOnce(t *testing.T) {
	b := newBench(t, service)
	b.run()
	pid := b.pid(0)
	b.wait(1, "up in y")
	began := time.Now()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	b.wait(2, "up in y")
	if took := time.Since(began); took > time.Second {
		t.Errorf("back after %v", took)
	}
	b.wait(1, fmt.Sprintf("process %d killed by signal 9.", pid))
	if st := b.sup.Status()[0]; st.Restarts != 1 || st.PID == pid {
		t.Errorf("status %+v", st)
	}
	b.stop()
	b.ended()
}

func TestBackOff(t *testing.T) {
	b := newBench(t, "echo started; exit 3")
	began := time.Now()
	b.run()
	b.wait(4, "exited with return code 3.") // at once, 100 ms, 200 ms
	if took := time.Since(began); took < 300*time.Millisecond {
		t.Errorf("four starts in %v", took)
	}
	b.stop()
	b.ended()
}

func TestExitStatus100(t *testing.T) {
	b := newBench(t, service, "exit 100")
	b.run()
	if err := b.ended(); !errors.Is(err, ErrNodeMustStop) {
		t.Errorf("%v, want the node to stop", err)
	}
	b.wait(1, "child stopped name=c0")

	b = newBench(t, service, "exit 100")
	b.opt.Children[1].Core = false
	b.run()
	b.wait(1, "exited with return code 100.")
	b.stop()
	if err := b.ended(); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want the node to go on without a respawn line's program", err)
	}
	if n := strings.Count(b.log.String(), "Respawning"); n != 0 {
		t.Errorf("respawned %d times", n)
	}
}

func TestFailFast(t *testing.T) {
	b := newBench(t, "exit 1")
	b.opt.Children[0].FailFast = true
	called := make(chan string, 1)
	b.opt.FailFast = func(name string) bool { called <- name; return true }
	b.run()
	if name := <-called; name != "c0" {
		t.Error(name)
	}
	b.stop()
	b.ended()
}

func TestLeftoversAreKilled(t *testing.T) {
	b := newBench(t, service)
	old := exec.Command("/bin/sleep", "600")
	if err := old.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan error, 1)
	go func() { gone <- old.Wait() }()
	innocent := exec.Command("/bin/sleep", "600")
	if err := innocent.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = innocent.Process.Kill(); _ = innocent.Wait() }()
	b.opt.Children = append(b.opt.Children, Spec{Name: "other", Command: b.opt.Children[0].Command, Core: true})
	s := New(b.opt)
	if err := s.writePID("c0", old.Process.Pid); err != nil {
		t.Fatal(err)
	}
	// A pid file whose process has ended meanwhile, its number reused.
	if err := os.WriteFile(PIDFile(b.dir, "other"), []byte(fmt.Sprintf("%10d 1\n", innocent.Process.Pid)), 0o644); err != nil {
		t.Fatal(err)
	}
	b.run()
	b.wait(2, "up in y")
	select {
	case <-gone:
	case <-time.After(5 * time.Second):
		t.Error("leftover still runs")
	}
	if err := innocent.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("a process that is no leftover was killed: %v", err)
	}
	b.stop()
	b.ended()
}

func TestStopIsPatient(t *testing.T) {
	b := newBench(t, `trap 'sleep 0.4; echo released; exit 0' TERM; echo up; while :; do sleep 60 & wait $!; done`)
	b.run()
	b.wait(1, "up")
	b.stop()
	b.ended()
	b.wait(1, "released")
}

func TestChildren(t *testing.T) {
	dir := t.TempDir()
	cfg := &hacf.Config{SpawnPEngine: true, CRM: hacf.CRMYes, CRMDaemonDir: dir, Respawn: []hacf.Child{{User: "u", UID: 5, GID: 6, Command: []string{"/x/ipfail", "-d"}}}}
	acc := Accounts{Root: true, Found: true, UID: 102, GID: 105}
	if _, notes, err := Children(cfg, acc, paths.Layout{Root: "/r"}); err == nil || !slices.ContainsFunc(notes, func(n hacf.Note) bool {
		return n.Text == `Failed to add pacemaker client child "cib"`
	}) {
		t.Errorf("missing programs: %v %v", notes, err)
	}
	for _, d := range crmDaemons {
		if err := os.WriteFile(filepath.Join(dir, d.name), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	specs, _, err := Children(cfg, acc, paths.Layout{Root: "/r"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range specs {
		got = append(got, fmt.Sprintf("%s %d:%d switch=%v core=%v failfast=%v survives=%v asked=%q", s.Name, s.UID, s.GID, s.SwitchUser, s.Core, s.FailFast, s.Survives, s.Socket))
	}
	want := []string{
		`cib 102:105 switch=true core=true failfast=true survives=false asked="/r/var/run/heartbeat/cib.sock"`,
		`stonithd 0:0 switch=false core=true failfast=false survives=false asked="/r/var/run/heartbeat/stonithd.sock"`,
		`lrmd 0:0 switch=false core=true failfast=false survives=true asked="/r/var/run/heartbeat/lrmd.sock"`,
		`attrd 102:105 switch=true core=true failfast=false survives=false asked="/r/var/run/heartbeat/attrd.sock"`,
		`crmd 102:105 switch=true core=true failfast=true survives=false asked="/r/var/run/heartbeat/crmd.sock"`,
		`ipfail 5:6 switch=true core=false failfast=false survives=false asked=""`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	cfg.SpawnPEngine = false // crmd_spawns_pengine off
	if specs, _, err = Children(cfg, acc, paths.Layout{Root: "/r"}); err != nil || specs[4].Name != "pengine" || specs[5].Name != "crmd" {
		t.Errorf("%v %v", specs, err)
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("LC_ALL", "de_DE.UTF-8")
	t.Setenv("HA_STALE", "1")
	env := Environment(&hacf.Config{Node: "n1", Params: map[string]string{"keepalive": "200ms"}, Env: []string{"quorum=majority"}}, paths.Layout{Root: "/r"})
	for _, want := range []string{"LC_ALL=C", "HA_ROOT=/r", "HA_keepalive=200ms", "HA_quorum=majority", "HA_CURHOST=n1", "OCF_ROOT=/r/usr/lib/ocf"} {
		if !slices.Contains(env, want) {
			t.Errorf("lacks %s", want)
		}
	}
	if slices.Contains(env, "HA_STALE=1") || slices.Contains(env, "LC_ALL=de_DE.UTF-8") {
		t.Error("keeps what children must not see")
	}
}

// TestEnvironmentTellsOfSBD: daemons and agents of a resource manager learn
// whether sbd runs here, whatever we have inherited.
func TestEnvironmentTellsOfSBD(t *testing.T) {
	layout := paths.Layout{Root: t.TempDir()}
	t.Setenv("PCMK_watchdog", "maybe")
	told := func(crm hacf.CRMMode) []string {
		return slices.DeleteFunc(Environment(&hacf.Config{Node: "n1", CRM: crm}, layout), func(kv string) bool { return !strings.HasPrefix(kv, "PCMK_watchdog=") })
	}
	if got := told(hacf.CRMRespawn); !slices.Equal(got, []string{"PCMK_watchdog=false"}) {
		t.Errorf("without sbd: %q", got)
	}
	program, err := os.ReadFile("/bin/sleep")
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "sbd")
	if err := os.WriteFile(name, program, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(name, "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }() // they fail only where it has ended
	if err := os.MkdirAll(filepath.Join(layout.Root, "run"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(layout.Root, "run/sbd.pid"), fmt.Appendln(nil, cmd.Process.Pid), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := told(hacf.CRMRespawn); !slices.Equal(got, []string{"PCMK_watchdog=true"}) {
		t.Errorf("with sbd: %q", got)
	}
	if got := told(hacf.CRMOff); len(got) != 0 {
		t.Errorf("without a resource manager: %q", got)
	}
}

func TestWatchdog(t *testing.T) {
	b := newBench(t)
	file := filepath.Join(b.dir, "watchdog")
	w, err := OpenWatchdog(file, time.Second, b.out.Logger("x"))
	if err != nil {
		t.Fatal(err)
	}
	w.Beat()
	w.Beat()
	w.Close()
	w.Beat()
	if got, err := os.ReadFile(file); err != nil || string(got) != "\x00\x00V" {
		t.Errorf("wrote %q, %v", got, err)
	}
	if w, err = OpenWatchdog(file, time.Second, b.out.Logger("x")); err != nil {
		t.Fatal(err)
	}
	w.Starve()
	w.Beat()
	w.Close()
	if got, _ := os.ReadFile(file); string(got) != "\x00\x00V" {
		t.Errorf("a starved watchdog was written to: %q", got)
	}
	var none *Watchdog
	none.Beat()
	none.Close()
}
