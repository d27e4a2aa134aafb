package lab

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// programs builds a folder with halab and, in heartbeatd's place, a program
// that runs until it is told to stop: the lab is tested without the stack.
func programs(t *testing.T) string {
	t.Helper()
	if err := Probe(); err != nil {
		t.Skipf("skipped: %v", err)
	}
	dir := t.TempDir()
	cmd := exec.Command("go", "build", "-o", dir+"/", "linuxha/deploy/lab/cmd/halab", "linuxha/deploy/lab/cmd/fence_lab")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the lab's programs: %v\n%s", err, out)
	}
	script := "#!/bin/sh\ntrap 'kill $!; exit 0' TERM\nsleep 1000 &\nwhile :; do wait; sleep 0.1; done\n"
	if err := os.WriteFile(filepath.Join(dir, "heartbeatd"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func open(t *testing.T, o Options) *Lab {
	t.Helper()
	o.Bin = programs(t)
	l, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if _, err := os.Stat(l.Dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s was left behind: %v", l.Dir, err)
		}
	})
	return l
}

func ping(t *testing.T, from *Node, to string) bool {
	t.Helper()
	_, err := from.Run(context.Background(), "halab", "ping", to)
	return err == nil
}

// roundTrip is the time until an echo came, and whether it came twice.
func roundTrip(t *testing.T, from *Node, to string) (took time.Duration, dup bool) {
	t.Helper()
	out, err := from.Run(context.Background(), "halab", "ping", to)
	if err != nil {
		t.Fatal(err)
	}
	var seq, ms int
	if _, err := fmt.Sscanf(out, "seq=%d ms=%d", &seq, &ms); err != nil {
		t.Fatalf("%q: %v", out, err)
	}
	return time.Duration(ms) * time.Millisecond, strings.Contains(out, "DUP")
}

// silent is the opposite, without waiting long.
func silent(t *testing.T, from *Node, to string) bool {
	t.Helper()
	_, err := from.Run(context.Background(), "halab", "ping", "--wait", "200ms", to)
	return err != nil
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited 10 s for %s", what)
		}
	}
}

func TestNodes(t *testing.T) {
	l := open(t, Options{Nodes: []string{"node1", "node2"}, Clients: []string{"client"}, DiskSize: 4 << 20})
	ctx := context.Background()
	if err := l.Start(ctx); err != nil {
		t.Fatal(err)
	}
	n1, n2, client := l.MustNode("node1"), l.MustNode("node2"), l.MustNode("client")
	run := func(n *Node, script string) string {
		t.Helper()
		out, err := n.Run(ctx, "sh", "-c", script)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(out)
	}
	for script, want := range map[string]string{
		"hostname; cat /etc/hostname":                               "node1\nnode1",
		"id -nu hacluster; id -ng hacluster":                        "hacluster\nhaclient",
		"stat -c %U:%G /var/lib/heartbeat/crm":                      "hacluster:haclient",
		"test -x /usr/sbin/fence_lab && echo yes":                   "yes",
		"grep -c '^node ' /etc/ha.d/ha.cf":                          "2",
		"touch /usr/bin/x /.host/etc/x 2>/dev/null || echo no":      "no",
		"echo beat > /dev/watchdog && cat /dev/watchdog":            "beat",
		"ls /var/run/heartbeat/ -d && readlink /var/run":            "/var/run/heartbeat/\n/run",
		"cat /proc/1/cmdline | tr '\\0' ' ' | grep -c 'halab boot'": "1",
		"command -v crm_mon || echo none":                           "none",
	} {
		if got := run(n1, script); got != want {
			t.Errorf("%s: got %q, want %q", script, got, want)
		}
	}

	t.Run("fence", func(t *testing.T) {
		if got := run(n1, "printf 'action=list\n' | fence_lab"); got != "node1\nnode2" {
			t.Errorf("list: %q", got)
		}
		run(n2, "mkdir -p /var/lib/heartbeat/kept; echo x > /var/lib/heartbeat/kept/x; sync; echo y > /tmp/y")
		run(n1, "printf 'action=off\nport=node2\n' | fence_lab")
		if n2.On() || !silent(t, n1, "10.77.0.2") {
			t.Error("node2 is still on after off was confirmed")
		}
		if _, err := n1.Run(ctx, "sh", "-c", "printf 'action=status\nport=node2\n' | fence_lab"); err == nil || err.(*RunError).ExitCode() != 2 {
			t.Errorf("status of a node that is off: %v", err)
		}
		if _, err := os.Stat(n2.Path("/var/lib/heartbeat/kept/x")); err != nil {
			t.Errorf("the disk of a node that is off: %v", err)
		}
		l.RefuseFencing(func(FenceRequest) error { return errors.New("no power") })
		if _, err := n1.Run(ctx, "sh", "-c", "printf 'action=on\nport=node2\n' | fence_lab"); err == nil {
			t.Error("a refused request succeeded")
		}
		l.RefuseFencing(nil)
		run(n1, "printf 'action=on\nport=node2\n' | fence_lab")
		if !n2.Running() || !ping(t, n1, "10.77.0.2") {
			t.Error("node2 is not back")
		}
		if got := run(n2, "cat /var/lib/heartbeat/kept/x; ls /tmp"); got != "x" {
			t.Errorf("after a restart: %q", got)
		}
	})

	t.Run("processes", func(t *testing.T) {
		if _, err := n1.Signal("heartbeatd", syscall.SIGKILL); err == nil {
			t.Error("the script's name is sh, not heartbeatd") // documents that names are argv[0]'s
		}
		if err := n1.Freeze(); err != nil {
			t.Fatal(err)
		}
		if !ping(t, client, "10.77.0.1") {
			t.Error("a frozen node's kernel must answer")
		}
		if err := n1.Thaw(); err != nil {
			t.Fatal(err)
		}
		stop, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		if err := n1.StopStack(stop); err != nil {
			t.Fatal(err)
		}
		if end, err := n1.StackEnd(stop); err != nil || end != "exit status 0" {
			t.Errorf("end: %q, %v", end, err)
		}
		if err := n1.StartStack(); err != nil {
			t.Fatal(err)
		}
		await(t, "its sleep to run", func() bool {
			count, err := n1.Signal("sleep", syscall.SIGKILL)
			return err == nil && count == 1
		})
	})

	t.Run("disk", func(t *testing.T) {
		if err := n1.FillDisk(); err != nil {
			t.Fatal(err)
		}
		if got := run(n1, "echo x > /var/lib/heartbeat/x 2>/dev/null || echo full"); got != "full" {
			t.Errorf("full disk: %q", got)
		}
		if err := n1.FreeDisk(); err != nil {
			t.Fatal(err)
		}
		run(n1, "echo x > /var/lib/heartbeat/x")
	})

	t.Run("kill", func(t *testing.T) {
		start := time.Now()
		if _, err := n2.Kill(); err != nil {
			t.Fatal(err)
		}
		t.Logf("killed in %v", time.Since(start))
		if _, err := n2.Kill(); err == nil {
			t.Error("killed twice")
		}
		if err := n2.Start(ctx); err != nil {
			t.Fatal(err)
		}
		if !ping(t, n1, "node2") {
			t.Error("node2 is not back")
		}
	})
}

func TestNetworkFaults(t *testing.T) {
	l := open(t, Options{Nodes: []string{"a", "b", "c"}})
	if err := l.Boot(context.Background()); err != nil {
		t.Fatal(err)
	}
	a, b, c := l.MustNode("a"), l.MustNode("b"), l.MustNode("c")
	check := func(when string, from *Node, to string, want bool) {
		t.Helper()
		if want { // after a cut, neighbours are asked for again once a second
			await(t, when+": "+from.Name+" to reach "+to, func() bool { return ping(t, from, to) })
		}
		if !want && !silent(t, from, to) {
			t.Errorf("%s: %s still reaches %s", when, from.Name, to)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check("before", a, "10.77.1.2", true)
	must(l.Cut([]string{"a"}, []string{"b"}, BothWays, 0))
	check("link 0 cut", a, "10.77.0.2", false)
	check("link 0 cut", a, "10.77.1.2", true)
	check("link 0 cut", a, "10.77.0.3", true)
	must(l.Cut([]string{"a"}, []string{"b", "c"}, BothWays))
	check("a alone", b, "10.77.1.1", false)
	check("a alone", b, "10.77.0.3", true)
	must(l.Heal())
	check("healed", a, "10.77.0.2", true)

	// One way: requests arrive, answers do not.
	must(l.Cut([]string{"b"}, []string{"a"}, OneWay))
	before := received(t, b)
	check("one way", a, "10.77.0.2", false)
	if received(t, b) == before {
		t.Error("one way: nothing arrived at b")
	}
	must(l.Heal())

	must(l.Lose([]string{"a"}, []string{"b"}, BothWays, 100))
	check("all lost", a, "10.77.0.2", false)
	must(l.Lose([]string{"a"}, []string{"b"}, BothWays, 0))
	check("none lost", a, "10.77.0.2", true)

	// Far apart, so that a busy machine's pauses decide nothing.
	const delay = 300 * time.Millisecond
	must(l.Impair([]string{"a"}, []string{"b"}, OneWay, Impairment{Delay: delay, Duplicate: 100}))
	if took, dup := roundTrip(t, a, "10.77.0.2"); took < delay || !dup {
		t.Errorf("delayed and duplicated: %v, twice: %v", took, dup)
	}
	if took, dup := roundTrip(t, c, "10.77.0.2"); took >= delay || dup {
		t.Errorf("c must not be delayed: %v, twice: %v", took, dup)
	}
	tcp(t, a, b)
	must(l.Heal())
	if took, dup := roundTrip(t, a, "10.77.0.2"); took >= delay || dup {
		t.Errorf("healed: %v, twice: %v", took, dup)
	}

	must(b.LinkDown(0))
	check("cable out", a, "10.77.0.2", false)
	must(b.LinkUp(0))
	check("cable in", a, "10.77.0.2", true)

	if err := l.Cut([]string{"a"}, []string{"nobody"}, BothWays); err == nil || !strings.Contains(err.Error(), "there are a, b, c") {
		t.Errorf("unknown node: %v", err)
	}
}

// received is the number of frames that arrived on the node's first link.
func received(t *testing.T, n *Node) string {
	t.Helper()
	out, err := n.Run(context.Background(), "cat", "/sys/class/net/eth0/statistics/rx_packets")
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// tcp sends data through the forwarder: checksums and segments must be whole.
func tcp(t *testing.T, from, to *Node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	server, err := to.Command(ctx, "bash", "-c", "cd /tmp && head -c 300000 /dev/zero > f && exec /usr/sbin/halab serve-page --listen 10.77.0.2:80 --dir /tmp")
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cancel()
		_ = server.Wait() // killed
	}()
	out, err := from.Run(ctx, "/usr/sbin/halab", "get", "--retry", "--url", "http://10.77.0.2/f")
	if err != nil || len(out) != 300000 {
		t.Errorf("300000 bytes through the forwarder: %d, %v", len(out), err)
	}
}

// TestLoopback runs nodes without namespaces, as a user who is not root.
func TestLoopback(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command("go", "build", "-o", dir+"/", "linuxha/deploy/lab/cmd/halab", "linuxha/deploy/lab/cmd/fence_lab")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the lab's programs: %v\n%s", err, out)
	}
	script := "#!/bin/sh\nsetsid sleep 1000 &\nexec sleep 1000\n"
	if err := os.WriteFile(filepath.Join(dir, "heartbeatd"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := New(Options{Nodes: []string{"a", "b"}, Bin: dir, Loopback: true})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx := context.Background()
	if err := l.Start(ctx); err != nil {
		t.Fatal(err)
	}
	a, b := l.MustNode("a"), l.MustNode("b")
	await(t, "both processes of b", func() bool {
		procs, err := b.Processes()
		return err == nil && len(procs) == 2 && procs[0].Name == "sleep" && procs[1].Name == "sleep"
	})
	fence := filepath.Join(a.base, "usr/sbin/fence_lab")
	if _, err := a.RunInput(ctx, "action=off\nport=b\n", fence); err != nil {
		t.Fatal(err)
	}
	if b.On() || !a.Running() {
		t.Error("off of b: b must be off and a on")
	}
	if _, err := a.Run(ctx, fence, "--action=status", "--port=b"); err == nil || err.(*RunError).ExitCode() != 2 {
		t.Errorf("status of a node that is off: %v", err)
	}
	if err := l.Cut([]string{"a"}, []string{"b"}, BothWays); !errors.Is(err, ErrNotRoot) {
		t.Errorf("a cut without root: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if left, _ := exec.Command("pgrep", "-f", l.Dir).Output(); len(left) > 0 {
		t.Errorf("left behind: %s", left)
	}
}

// TestCommand uses the lab as people do, through halab.
func TestCommand(t *testing.T) {
	bin := programs(t)
	halab := func(args ...string) (string, error) {
		out, err := exec.Command(filepath.Join(bin, "halab"), args...).CombinedOutput()
		return string(out), err
	}
	out, err := halab("up", "-n", "2", "--bin", bin, "--disk", "4000000")
	if err != nil {
		t.Fatalf("up: %v\n%s", err, out)
	}
	dir := strings.Fields(out)[1]
	t.Cleanup(func() { exec.Command(filepath.Join(bin, "halab"), "--lab", dir, "down").Run() })
	for _, c := range []struct {
		command string
		want    string // in the output
		fails   bool
	}{
		{"status", "node2        10.77.0.2    cluster stack running", false},
		{"exec node2 -- hostname", "node2", false},
		{"exec node2 -- sh -c exit_7", "", true},
		{"kill node1 --process sh", "", false},
		{"start node1", "", false},
		{"kill node2", "", false},
		{"exec node2 -- true", "the node is off", true},
		{"start", "", false},
		{"cut node1 node2 --one-way --link 1", "", false},
		{"cut node1 nobody", "there are node1, node2, client", true},
		{"cut", "usage: halab cut NODE", true},
		{"lose node1 --percent 50", "", false},
		{"impair node1 node2 --delay 10ms", "", false},
		{"heal", "", false},
		{"freeze node1", "", false},
		{"thaw node1", "", false},
		{"fill node1", "", false},
		{"free node1", "", false},
		{"stop node1,node2", "", false},
		{"log", "cut                 node1 -> node2 on link [1]", false},
		{"down", "", false},
		{"status", "does not answer", true},
	} {
		args := append([]string{"--lab", dir}, strings.Fields(c.command)...)
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "_", " ")
		}
		out, err := halab(args...)
		if (err != nil) != c.fails || !strings.Contains(out, c.want) {
			t.Errorf("halab %s: %v, want %q in\n%s", c.command, err, c.want, out)
		}
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s was left behind", dir)
	}
}

// TestOwnerDies checks that nothing is left when the lab's owner is killed.
func TestOwnerDies(t *testing.T) {
	bin := programs(t)
	cmd := exec.Command(filepath.Join(bin, "halab"), "serve", "--bin", bin, "--nodes", "x,y", "--links", "1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var dir string
	if _, err := fmt.Fscanf(out, "ready %s\n", &dir); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	deadline := time.Now().Add(10 * time.Second)
	for {
		_, err := os.Stat(dir)
		left, _ := exec.Command("pgrep", "-f", dir).Output()
		if errors.Is(err, os.ErrNotExist) && len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("left behind: %s (%v), processes %s", dir, err, left)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestRuleset(t *testing.T) {
	got := ruleset(map[flow]bool{{2, 1, 0}: true, {1, 2, 0}: true}, map[flow]int{{1, 3, 1}: 30, {1, 4, 1}: 0})
	want := `table bridge halab
delete table bridge halab
table bridge halab {
	chain forward {
		type filter hook forward priority 0; policy accept;
		iifname { "p1l0", "t1l0" } oifname { "p2l0", "t2l0" } drop
		iifname { "p2l0", "t2l0" } oifname { "p1l0", "t1l0" } drop
		iifname { "p1l1", "t1l1" } oifname { "p3l1", "t3l1" } numgen random mod 100 < 30 drop
	}
}
`
	if got != want {
		t.Errorf("got\n%s", got)
	}
}

func TestQueue(t *testing.T) {
	start := time.Unix(1000, 0)
	for _, c := range []struct {
		name string
		im   Impairment
		want string // frames as they come out, with the millisecond
	}{
		{"nothing", Impairment{}, "a0 b0 c0"},
		{"delay", Impairment{Delay: 5 * time.Millisecond}, "a5 b5 c5"},
		{"duplicate", Impairment{Duplicate: 100}, "a0 a0 b0 b0 c0 c0"},
		{"loss", Impairment{Loss: 100}, ""},
		{"reorder", Impairment{Reorder: 50}, "a0 c0 b2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := queue{rnd: rand.New(rand.NewSource(4))}
			for _, f := range []string{"a", "b", "c"} {
				q.push(start, c.im, []byte(f))
			}
			var got []string
			for now := start; now.Before(start.Add(20 * time.Millisecond)); now = now.Add(time.Millisecond) {
				for {
					data, _ := q.pop(now)
					if data == nil {
						break
					}
					got = append(got, fmt.Sprintf("%s%d", data, now.Sub(start).Milliseconds()))
				}
			}
			if s := strings.Join(got, " "); s != c.want {
				t.Errorf("got %q, want %q", s, c.want)
			}
		})
	}
}

func TestAccount(t *testing.T) {
	for _, c := range []struct {
		name, text, want string
		id               int
	}{
		{"there", "root:x:0:\nhaclient:x:105:\n", "root:x:0:\nhaclient:x:105:\n", 105},
		{"missing", "root:x:0:\n", "root:x:0:\nhaclient:x:189:\n", 189},
		{"no newline", "root:x:0:", "root:x:0:\nhaclient:x:189:\n", 189},
		{"a longer name", "haclients:x:5:\n", "haclients:x:5:\nhaclient:x:189:\n", 189},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, id := account(c.text, "haclient", 189, "haclient:x:%d:")
			if got != c.want || id != c.id {
				t.Errorf("got %q, %d", got, id)
			}
		})
	}
}
