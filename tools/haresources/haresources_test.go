package haresources

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"linuxha/cib/cibdoc"
	"linuxha/cib/schema"
	"linuxha/cib/store"
)

// cluster makes a root with the given ha.cf, scripts and haresources.
func cluster(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	t.Setenv("HA_ROOT", root)
	if err := os.MkdirAll(filepath.Join(root, "var/lib/heartbeat/crm"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func run(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e strings.Builder
	code = Run(t.Context(), "haresources2cib", args, strings.NewReader(""), &o, &e)
	return code, o.String(), e.String()
}

// shape is what counts of a resource: id, agent, parameters, monitor.
func shape(n *cibdoc.Node) string {
	if n.Tag == "group" {
		var members []string
		for m := range n.Elements() {
			members = append(members, shape(m))
		}
		return "(" + strings.Join(members, " ") + ")"
	}
	out := n.Attr("class") + ":" + n.Attr("type")
	var params []string
	if set := n.Child("instance_attributes"); set != nil {
		for nv := range set.Elements() {
			params = append(params, nv.Attr("name")+"="+nv.Attr("value"))
		}
	}
	if len(params) > 0 {
		out += "[" + strings.Join(params, ",") + "]"
	}
	if ops := n.Child("operations"); ops != nil {
		out += "@" + ops.Children[0].Attr("interval")
	}
	return out
}

func TestConversion(t *testing.T) {
	root := cluster(t, map[string]string{
		"etc/ha.d/ha.cf":               "node alice Bob\nauto_failback off\n",
		"etc/ha.d/resource.d/drbddisk": "#!/bin/sh\n",
		"etc/init.d/smb":               "#!/bin/sh\n",
	})
	for _, tc := range []struct{ line, want string }{
		{"alice 192.0.2.1", "ocf:IPaddr2[ip=192.0.2.1]@5s"},
		{"alice 192.0.2.1/24/eth0/192.0.2.255", "ocf:IPaddr2[ip=192.0.2.1,cidr_netmask=24,nic=eth0,broadcast=192.0.2.255]@5s"},
		{"alice IPaddr::192.0.2.1/eth0:web", "ocf:IPaddr2[ip=192.0.2.1,nic=eth0,iflabel=web]@5s"},
		{"alice IPaddr2::192.0.2.1/255.255.252.0", "ocf:IPaddr2[ip=192.0.2.1,cidr_netmask=22]@5s"},
		{"bob drbddisk::r0 Filesystem::/dev/drbd0::/mnt::ext3", "(heartbeat:drbddisk[1=r0]@120s ocf:Filesystem[device=/dev/drbd0,directory=/mnt,fstype=ext3]@120s)"},
		{"BOB smb # comment", "lsb:smb@120s"},
		{"alice 192.0.2.1 \\\n smb", "(ocf:IPaddr2[ip=192.0.2.1]@5s lsb:smb@120s)"},
	} {
		if err := os.WriteFile(filepath.Join(root, "etc/ha.d/haresources"), []byte(tc.line+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		code, out, errs := run(t, "--stdout")
		doc, err := cibdoc.Parse([]byte(out))
		if code != 0 || err != nil || strings.Contains(errs, "warning") {
			t.Errorf("%q: %d, %v\n%s", tc.line, code, err, errs)
			continue
		}
		if p := schema.Validate(doc); len(p) > 0 {
			t.Errorf("%q gives what its schema refuses: %v", tc.line, p)
		}
		if got := shape(doc.Section("resources").Children[0]); got != tc.want {
			t.Errorf("%q is %s, want %s", tc.line, got, tc.want)
		}
		owner := strings.ToLower(strings.Fields(tc.line)[0])
		loc := doc.Section("constraints").Children[0]
		if loc.Attr("node") != owner || loc.Attr("rsc") != doc.Section("resources").Children[0].ID() || loc.Attr("score") != "100" {
			t.Errorf("%q: preference %s", tc.line, loc.Bare().Print())
		}
		if !strings.Contains(errs, "haresources:1: ") {
			t.Errorf("%q: no explanation with its line:\n%s", tc.line, errs)
		}
	}
}

func TestFailback(t *testing.T) {
	for cf, want := range map[string]string{
		"auto_failback on": "0", "auto_failback off": "INFINITY", "auto_failback legacy": "0", "": "0",
		"nice_failback on": "INFINITY", "nice_failback off": "0",
	} {
		cluster(t, map[string]string{"etc/ha.d/ha.cf": "node a b\n" + cf + "\n", "etc/ha.d/haresources": "a 192.0.2.1\n"})
		code, out, errs := run(t, "--stdout")
		if code != 0 || !strings.Contains(out, `name="resource-stickiness" value="`+want+`"`) || !strings.Contains(errs, "resource-stickiness is "+want) {
			t.Errorf("%q: %d, want stickiness %s\n%s%s", cf, code, want, out, errs)
		}
	}
}

func TestMonitorChoices(t *testing.T) {
	cluster(t, map[string]string{"etc/ha.d/ha.cf": "node a b\n", "etc/ha.d/haresources": "a 192.0.2.1 Delay::1\n"})
	for args, want := range map[string][]string{
		"": {"5s", "120s"}, "--monitor-ip": {"5s"}, "--no-monitor": nil, "--monitor=ip --ip-interval=3s": {"3s"}, "--interval=1min": {"5s", "1min"},
	} {
		code, out, _ := run(t, append(strings.Fields(args), "--stdout", "-q")...)
		var got []string
		for _, m := range regexp.MustCompile(`interval="([^"]*)"`).FindAllStringSubmatch(out, -1) {
			got = append(got, m[1])
		}
		if code != 0 || !slices.Equal(got, want) {
			t.Errorf("%q: %d, monitors %v, want %v", args, code, got, want)
		}
	}
	for _, args := range []string{"--monitor=some", "--interval=x", "--score=much", "--nonsense", "a b"} {
		if code, _, errs := run(t, strings.Fields(args)...); code != 64 || errs == "" {
			t.Errorf("%q: %d %q, want 64 and a reason", args, code, errs)
		}
	}
}

// TestMistakes: each is told with its line, all in one go, and nothing is written.
func TestMistakes(t *testing.T) {
	root := cluster(t, map[string]string{
		"etc/ha.d/ha.cf":       "node a b\nauto_failback maybe\n",
		"etc/init.d/smb":       "#!/bin/sh\n",
		"etc/ha.d/haresources": "c 192.0.2.1\na 192.0.2.400\nb 192.0.2.2 smb::x\na 192.0.2.2\nb IPaddr\nb ::x\nb Delay::1::2::3::4\nb 192.0.2.9/33\n",
	})
	code, out, errs := run(t)
	if code != 65 || out != "" {
		t.Errorf("exit status %d, output %q", code, out)
	}
	for _, want := range []string{
		"ha.cf:2: auto_failback maybe", `haresources:1: "c" is no node`, "haresources:2: 192.0.2.400", "haresources:3: smb::x", "haresources:4: 192.0.2.2 is the first resource of the group in line 3",
		"haresources:5: IPaddr: the address is missing", `haresources:6: "::x"`, "haresources:7: Delay", "haresources:8: ",
	} {
		if !strings.Contains(errs, want) {
			t.Errorf("not told: %s\n%s", want, errs)
		}
	}
	if _, err := os.Stat(filepath.Join(root, "var/lib/heartbeat/crm/cib.xml")); !os.IsNotExist(err) {
		t.Errorf("a CIB was written: %v", err)
	}
}

// TestInstall: the result is the stopped cluster's CIB, and an old one stays as
// a backup.
func TestInstall(t *testing.T) {
	root := cluster(t, map[string]string{"etc/ha.d/ha.cf": "node a b\n", "etc/ha.d/haresources": "a 192.0.2.1\n"})
	dir := filepath.Join(root, "var/lib/heartbeat/crm")
	if code, _, errs := run(t); code != 0 || !strings.Contains(errs, "crm respawn") {
		t.Fatalf("%d\n%s", code, errs)
	}
	if code, _, errs := run(t); code != 73 || !strings.Contains(errs, "--force") {
		t.Errorf("a second time: %d\n%s", code, errs)
	}
	if code, _, errs := run(t, "--force", "--no-monitor"); code != 0 {
		t.Errorf("forced: %d\n%s", code, errs)
	}
	st, loaded, err := store.Open(store.Dir{Path: dir, UID: -1, GID: -1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if r := loaded.Doc.Section("resources"); len(r.Children) != 1 || r.Children[0].Child("operations") != nil {
		t.Errorf("the daemon would start with %s", r.Print())
	}
	if backups, err := filepath.Glob(filepath.Join(dir, "cib-*.raw")); err != nil || len(backups) != 1 {
		t.Errorf("backups %v, %v", backups, err)
	}
}
