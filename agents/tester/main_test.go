package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestGoodAgents(t *testing.T) {
	root, err := filepath.Abs("../ocf")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("OCF_ROOT", root)
	t.Setenv("HA_RSCTMP", t.TempDir())
	t.Setenv("HA_SBIN_DIR", "/nonexistent")
	for _, args := range []string{
		"ocf:heartbeat:Dummy", "ocf:heartbeat:Stateful",
		"-o binfile=/bin/sleep -o cmdline_options=300 ocf:heartbeat:anything",
	} {
		a, _, err := parse(strings.Fields(args), io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		r := &report{out: &out}
		check(a, r)
		if r.failed > 0 {
			t.Errorf("%s:\n%s", args, &out)
		}
	}
}

// TestBadAgents breaks Dummy in ways that a tester must see.
func TestBadAgents(t *testing.T) {
	root, err := filepath.Abs("../ocf")
	if err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(root + "/resource.d/heartbeat/Dummy")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("OCF_ROOT", root)
	t.Setenv("HA_RSCTMP", t.TempDir())
	for name, change := range map[string][2]string{
		"nothing":                {},
		"start does nothing":     {`: >"$OCF_RESKEY_state"`, "true"},
		"stop does nothing":      {`rm -f "$OCF_RESKEY_state"`, "true"},
		"monitor has no 7":       {`return "$OCF_NOT_RUNNING"`, "return 1"},
		"unknown action is fine": {`exit "$OCF_ERR_UNIMPLEMENTED"`, "exit 0"},
		"no timeout":             {`<action name="stop" timeout="20s"/>`, `<action name="stop"/>`},
		"broken meta-data":       {"</resource-agent>", ""},
	} {
		bad := strings.Replace(string(good), change[0], change[1], 1)
		if bad == string(good) && name != "nothing" {
			t.Fatalf("%s: Dummy has no %q", name, change[0])
		}
		dir := t.TempDir()
		if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // one test is as nobody
			t.Fatal(err)
		}
		path := filepath.Join(dir, "Dummy")
		if err := os.WriteFile(path, []byte(bad), 0o755); err != nil {
			t.Fatal(err)
		}
		a, _, err := parse([]string{path}, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		r := &report{out: &out}
		check(a, r)
		if wrong := name != "nothing"; wrong != (r.failed > 0) {
			t.Errorf("%s: %d complaints\n%s", name, r.failed, &out)
		}
	}
}
