package hacf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// laboratory is a machine on which what the test files name exists.
func laboratory() System {
	users := map[string][2]uint32{"root": {0, 0}, "hacluster": {102, 105}}
	return System{
		Interface: func(name string) error {
			if name == "eth9" {
				return errors.New("No such device")
			}
			return nil
		},
		Resolve: func(host string) error {
			if host == "nowhere" {
				return errors.New("no such host")
			}
			return nil
		},
		User: func(name string) (uint32, uint32, error) {
			if u, ok := users[name]; ok {
				return u[0], u[1], nil
			}
			return 0, 0, errors.New("unknown user")
		},
		Group: func(name string) (uint32, error) {
			if name == "haclient" {
				return 105, nil
			}
			return 0, errors.New("unknown group")
		},
		Exec: func(path string) error {
			switch {
			case strings.HasPrefix(path, "/missing/"):
				return os.ErrNotExist
			case strings.HasPrefix(path, "/plain/"):
				return os.ErrPermission
			}
			return nil
		},
		Stat:    os.Stat,
		Service: func(string) (int, bool) { return 0, false },
	}
}

// TestFiles runs the transcripts in testdata: verbs `cf`, `keys` and
// `resources` with the file's text below, what is said and understood after it.
func TestFiles(t *testing.T) {
	datadriven.Walk(t, "testdata/transcripts", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "cf":
				opt := Options{Node: "alice", System: laboratory()}
				if d.HasArg("node") {
					d.ScanArgs(t, "node", &opt.Node)
				}
				cfg, err := Parse("/etc/ha.d//ha.cf", []byte(d.Input), opt)
				if err != nil {
					return err.Error() + "\n"
				}
				return describe(cfg, d.HasArg("quiet"))
			case "keys":
				keys, notes, err := ParseKeys("/etc/ha.d//authkeys", []byte(d.Input))
				if err != nil {
					return err.Error() + "\n"
				}
				return fmt.Sprintf("%ssend %d of %v\n", join(notes), keys.Send, keys.All)
			}
			d.Fatalf(t, "unknown verb")
			return ""
		})
	})
}

func join(notes []Note) string {
	var b strings.Builder
	for _, n := range notes {
		fmt.Fprintln(&b, n)
	}
	return b.String()
}

func describe(c *Config, quiet bool) string {
	var b strings.Builder
	if !quiet {
		b.WriteString(join(c.Notes))
	}
	fmt.Fprintf(&b, "nodes %s\n", strings.Join(c.Nodes, " "))
	fmt.Fprintf(&b, "keepalive %v warntime %v deadtime %v initdead %v deadping %v\n", c.Keepalive, c.WarnTime, c.DeadTime, c.InitDead, c.DeadPing)
	for _, m := range c.Media {
		fmt.Fprintf(&b, "%s %s", m.Kind, m.Dev)
		if m.Addr != "" {
			fmt.Fprintf(&b, " %s", m.Addr)
		}
		fmt.Fprintf(&b, " port %d", m.Port)
		if m.Kind == "mcast" {
			fmt.Fprintf(&b, " ttl %d loop %v", m.TTL, m.Loop)
		}
		b.WriteByte('\n')
	}
	for _, p := range c.PingNodes {
		fmt.Fprintf(&b, "ping %s %s\n", p.Name, strings.Join(p.Addrs, " "))
	}
	for _, r := range c.Respawn {
		fmt.Fprintf(&b, "respawn %s(%d,%d) %s failfast=%v\n", r.User, r.UID, r.GID, strings.Join(r.Command, " "), r.FailFast)
	}
	fmt.Fprintf(&b, "crm %s autojoin %s auto_failback %s compression %s > %d\n", c.CRM, c.AutoJoin, c.AutoFailback, c.Compression, c.Threshold)
	var names []string
	for name := range c.APIAuth {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if a := c.APIAuth[name]; !quiet {
			fmt.Fprintf(&b, "apiauth %s uid %v gid %v\n", name, a.UIDs, a.GIDs)
		}
	}
	return b.String()
}

func TestParseTime(t *testing.T) {
	for _, tc := range []struct {
		in   string
		want time.Duration
		ok   bool
	}{
		{"2", 2 * time.Second, true},
		{"0.5", 500 * time.Millisecond, true},
		{"500ms", 500 * time.Millisecond, true},
		{"1.5ms", 1500 * time.Microsecond, true},
		{"250us", 250 * time.Microsecond, true},
		{"250usec", 250 * time.Microsecond, true},
		{"0", 0, true},
		{"", 0, false},
		{"ms", 0, false},
		{"10s", 0, false},
		{"-1", 0, false},
		{"1e3", 0, false},
		{"0x10", 0, false},
		{"99999999999999999999", 0, false},
		{"1.2.3", 0, false},
	} {
		if got, ok := ParseTime(tc.in); got != tc.want || ok != tc.ok {
			t.Errorf("ParseTime(%q) = %v, %v; want %v, %v", tc.in, got, ok, tc.want, tc.ok)
		}
	}
}

func TestLoad(t *testing.T) {
	const good = "bcast eth0\nnode alice bob\nlogfile /var/log/ha-log\nauto_failback on\n"
	for _, tc := range []struct {
		name  string
		files map[string]string
		none  bool // -M
		want  string
	}{
		{"no ha.cf", nil, false, "Cannot open config file"},
		{"no haresources", map[string]string{"ha.cf": good}, false, "Cannot open resources file"},
		{"empty haresources", map[string]string{"ha.cf": good, "haresources": "# none\n"}, false, ""},
		{"groups", map[string]string{"ha.cf": good, "haresources": "alice 10.0.0.1 \\\n apache\n"}, false, ""},
		{"three nodes", map[string]string{"ha.cf": good + "node carol\n", "haresources": "alice apache\n"}, false, "haresources clusters have two nodes"},
		{"foreign owner", map[string]string{"ha.cf": good, "haresources": "carol apache\n"}, false, "Bad nodename in"},
		{"messaging alone", map[string]string{"ha.cf": good, "haresources": "alice apache\n"}, true, ""},
		{"with the CRM", map[string]string{"ha.cf": good + "crm respawn\n", "haresources": "alice apache\n"}, false, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range tc.files {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			_, err := Load(Options{Dir: dir, Node: "Alice", NoResources: tc.none, System: laboratory()})
			switch {
			case tc.want == "" && err != nil:
				t.Error(err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("%v, want %q", err, tc.want)
			case err != nil && !strings.Contains(err.Error(), "ERROR: Configuration error, heartbeat not started."):
				t.Errorf("no summary: %v", err)
			}
		})
	}
}

func TestLoadKeysChecksTheMode(t *testing.T) {
	for _, tc := range []struct {
		mode os.FileMode
		want string
	}{
		{0o600, ""}, {0o620, ""}, {0o640, "Bad permissions on keyfile ["}, {0o604, "600 recommended."},
	} {
		dir := t.TempDir()
		file := filepath.Join(dir, "authkeys")
		if err := os.WriteFile(file, []byte("auth 1\n1 crc\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, tc.mode); err != nil {
			t.Fatal(err)
		}
		_, _, err := LoadKeys(dir)
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("mode %o: %v, want %q", tc.mode, err, tc.want)
		}
	}
	if _, _, err := LoadKeys(t.TempDir()); err == nil || !strings.Contains(err.Error(), "Cannot open keyfile [") {
		t.Errorf("no file: %v", err)
	}
}

func TestBelow(t *testing.T) {
	for _, tc := range []struct{ root, path, want string }{
		{"/", "/var/log/ha-log", "/var/log/ha-log"},
		{"/tmp/n1", "/var/log/ha-log", "/tmp/n1/var/log/ha-log"},
		{"/tmp/n1", "/tmp/n1/var/log/ha-log", "/tmp/n1/var/log/ha-log"},
		{"/tmp/n1", "/tmp/n12/log", "/tmp/n1/tmp/n12/log"},
		{"/tmp/n1", "", ""},
	} {
		if got := Below(tc.root, tc.path); got != tc.want {
			t.Errorf("Below(%q, %q) = %q, want %q", tc.root, tc.path, got, tc.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("node a b\nucast eth0 10.0.0.1\n", "auth 1\n1 crc\n")
	f.Add("mcast eth0 239.0.0.43 694 1 0 # x\nping_group a b\napiauth x uid=root", "auth 2\n2 sha1 HI!\n")
	f.Fuzz(func(t *testing.T, cf, keys string) {
		if cfg, err := Parse("ha.cf", []byte(cf), Options{Node: "a", System: laboratory()}); err == nil {
			if len(cfg.Media) == 0 || len(cfg.Nodes) == 0 || cfg.DeadTime <= 2*cfg.Keepalive || cfg.InitDead < cfg.DeadTime {
				t.Errorf("accepted although incomplete: %+v", cfg)
			}
		}
		if k, _, err := ParseKeys("authkeys", []byte(keys)); err == nil {
			if _, ok := k.All[k.Send]; !ok {
				t.Errorf("no key %d", k.Send)
			}
		}
	})
}
