package hapropagate

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// node makes a node's root with its configuration.
func node(t *testing.T, mode os.FileMode) string {
	t.Helper()
	root := t.TempDir()
	t.Setenv("HA_ROOT", root)
	t.Setenv("HA_NODE", "alice")
	dir := filepath.Join(root, "etc/ha.d")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"ha.cf": "ucast lo 127.0.0.1\nnode alice bob carol\ncrm yes\n", "authkeys": "auth 1\n1 sha1 x\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func call(t *testing.T, line string) (string, int) {
	var out bytes.Buffer
	code := Run(t.Context(), "ha_propagate", strings.Fields(line), nil, &out, &out)
	return out.String(), code
}

func TestDryRun(t *testing.T) {
	dir := node(t, 0o600)
	out, code := call(t, "--dry-run --haresources")
	want := ""
	for _, n := range []string{"bob", "carol"} {
		want += "Propagating HA configuration files to node " + n + ".\n" +
			"scp -p " + dir + "/ha.cf " + dir + "/authkeys " + dir + "/haresources root@" + n + ":/etc/ha.d/\n" +
			"Setting HA startup configuration on node " + n + ".\n" +
			"ssh root@" + n + " 'chmod 600 /etc/ha.d/authkeys && { " + enableCommand + "; }'\n"
	}
	if code != 0 || out != want {
		t.Errorf("%d\n%s\nwant\n%s", code, out, want)
	}
}

func TestCopies(t *testing.T) {
	node(t, 0o600)
	dir := t.TempDir()
	for _, name := range []string{"ssh", "scp"} {
		script := "#!/bin/sh\ncase \"$*\" in *carol*) echo no route >&2; exit 255;; esac\necho " + name + " \"$@\" >>" + dir + "/log\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("HA_SSH", filepath.Join(dir, "ssh"))
	t.Setenv("HA_SCP", filepath.Join(dir, "scp"))
	out, code := call(t, "--no-enable")
	if code != 1 || !strings.Contains(out, "ha_propagate: carol: ") || !strings.Contains(out, "no route") {
		t.Errorf("%d %s", code, out)
	}
	log, err := os.ReadFile(filepath.Join(dir, "log"))
	if err != nil || !strings.Contains(string(log), "authkeys root@bob:/etc/ha.d/\nssh root@bob chmod 600 /etc/ha.d/authkeys\n") {
		t.Errorf("%v\n%s", err, log)
	}
}

func TestRefuses(t *testing.T) {
	node(t, 0o644)
	if out, code := call(t, "-n"); code != 6 || !strings.Contains(out, "Bad permissions on keyfile") {
		t.Errorf("%d %s", code, out)
	}
	if out, code := call(t, "-x"); code != 2 || !strings.Contains(out, "usage:") {
		t.Errorf("%d %s", code, out)
	}
}
