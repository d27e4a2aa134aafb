package plugin

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"linuxha/stonithd/device"
)

func finder(t *testing.T) (Finder, string) {
	t.Helper()
	dir, err := filepath.Abs("../testdata")
	if err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(t.TempDir(), "log")
	t.Setenv("FENCE_TEST_LOG", log)
	return Finder{Agents: []string{dir}, External: filepath.Join(dir, "external")}, log
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

func TestRHCSAgent(t *testing.T) {
	f, log := finder(t)
	ctx := context.Background()
	info, err := f.Info(ctx, "fence_test", 0)
	if err != nil || !info.Supports("reboot") || !info.Params["plug"] || info.Params["port"] {
		t.Fatalf("info %+v, %v", info, err)
	}
	res := f.Run(ctx, Job{
		Agent: "fence_test", Action: "off", Target: "n1", Timeout: 5 * time.Second,
		Input: []device.Param{{Name: "action", Value: "off"}, {Name: "plug", Value: "n1=x"}},
	})
	if !res.OK() || strings.TrimSpace(res.Output) != "Success: off" {
		t.Errorf("result %+v", res)
	}
	if got := read(t, log); got != "action=off plug=n1=x" {
		t.Errorf("agent got %q", got)
	}
	res = f.Run(ctx, Job{Agent: "fence_test", Action: "off", Input: []device.Param{{Name: "action", Value: "off"}, {Name: "mode", Value: "fail"}}})
	if res.OK() || res.RC != 1 || res.Status != device.StatusDone || strings.TrimSpace(res.Stderr) != "told to fail" {
		t.Errorf("failing agent: %+v", res)
	}
	res = f.Run(ctx, Job{Agent: "fence_nope", Action: "off"})
	if res.Status != device.StatusNotInstalled {
		t.Errorf("missing agent: %+v", res)
	}
}

func TestTimeoutKillsTheGroup(t *testing.T) {
	f, log := finder(t)
	begin := time.Now()
	res := f.Run(context.Background(), Job{
		Agent: "fence_test", Timeout: 300 * time.Millisecond,
		Input: []device.Param{{Name: "action", Value: "off"}, {Name: "mode", Value: "hang"}},
	})
	if res.Status != device.StatusTimeout || time.Since(begin) > 3*time.Second {
		t.Errorf("after %v: %+v", time.Since(begin), res)
	}
	pid, err := strconv.Atoi(read(t, log+".pid"))
	if err != nil {
		t.Fatal(err)
	}
	// The child was killed with its parent; as a zombie it may last a moment.
	for deadline := time.Now().Add(3 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") {
			break
		}
		if time.Now().After(deadline) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			t.Fatalf("child %d survived the timeout", pid)
		}
	}
}

func TestExternalPlugin(t *testing.T) {
	f, log := finder(t)
	ctx := context.Background()
	job := func(action, target string) Job {
		return Job{
			Agent: "external/test", Action: action, Target: target, Timeout: 5 * time.Second,
			Input: []device.Param{{Name: "action", Value: action}, {Name: "hostlist", Value: "n1 n2"}, {Name: "refuse", Value: "n2"}},
		}
	}
	if res := f.Run(ctx, job("reboot", "N1")); !res.OK() {
		t.Errorf("reboot: %+v", res)
	}
	if got, want := read(t, log), "getconfignames hostlist= tag=external/test\nreset n1 hostlist=n1 n2 tag=external/test"; got != want {
		t.Errorf("plugin was called\n%s\nwant\n%s", got, want)
	}
	if res := f.Run(ctx, job("off", "n2")); res.OK() {
		t.Errorf("refused off: %+v", res)
	}
	if res := f.Run(ctx, job("list", "")); res.Output != "n1\nn2" {
		t.Errorf("list: %+v", res)
	}
	doc, err := f.Metadata(ctx, "external/test", 0)
	if err != nil || !strings.Contains(string(doc), `<parameter name="hostlist"`) || !strings.Contains(string(doc), "tests &amp; nothing") {
		t.Errorf("metadata %s, %v", doc, err)
	}
}

func TestList(t *testing.T) {
	f, _ := finder(t)
	if got := strings.Join(f.List(), " "); got != "external/test fence_test" {
		t.Errorf("agents %q", got)
	}
}

func TestSecrets(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "var/lib/pacemaker/lrm/secrets/st")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	in := []device.Param{{Name: "ip", Value: "1"}, {Name: "passwd", Value: "lrm://"}}
	write("passwd", "secret \nsecond line\n")
	if _, err := Secrets(root, "st", in); err == nil {
		t.Error("a secret without signature was used")
	}
	write("passwd.sign", "5EBE2294ECD0E0F08EAB7690D2A6EE69\n")
	out, err := Secrets(root, "st", in)
	if err != nil || out[0].Value != "1" || out[1].Value != "secret" || in[1].Value != "lrm://" {
		t.Errorf("%v, %v; the input is now %v", out, err, in)
	}
	write("passwd", "changed")
	if _, err := Secrets(root, "st", in); err == nil {
		t.Error("a secret with a wrong signature was used")
	}
}
