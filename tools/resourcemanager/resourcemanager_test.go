package resourcemanager

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const script = `#!/bin/sh
case $2 in
start) touch "$HA_DIR/$1.up" ;;
stop) rm -f "$HA_DIR/$1.up" ;;
status) [ -e "$HA_DIR/$1.up" ] && echo running || echo stopped ;;
esac
`

// TestOperations goes through all operations, each with its exit status and
// what it prints.
func TestOperations(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("HA_DIR", dir)
	t.Setenv("HA_CURHOST", "alice")
	t.Setenv("HA_ROOT", t.TempDir())
	if err := os.Mkdir(filepath.Join(dir, "resource.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"haresources": "alice r::a r::b\nBob r::c\nalice r::d\n", "resource.d/r": script} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		argv string
		rc   int
		out  string
		err  string
	}{
		{"listkeys alice", 0, "r::a\nr::d\n", ""},
		{"listkeys *", 0, "r::a\nr::c\nr::d\n", ""},
		{"allkeys", 0, "r::a\nr::c\nr::d\n", ""},
		{"ourkeys", 0, "r::a r::b \nr::d \n", ""},
		{"otherkeys", 0, "r::c \n", ""},
		{"status r::a", 3, "", ""},
		{"verifyallidle", 0, "", ""},
		{"takegroup r::a", 0, "", "info: Acquiring resource group: alice r::a r::b"},
		{"status r::b", 0, "", ""},
		{"statgroup r::b", 0, "ALL\n", ""},
		{"statgroup r::c", 0, "NONE\n", ""},
		{"verifyallidle", 1, "", "CRITICAL: Resource r::a is active, and should not be!"},
		{"givegroup r::b", 0, "", "info: Releasing resource group: alice r::a r::b"},
		{"status r::a", 3, "", ""},
		{"takegroup r::unknown", 0, "", ""},
		{"status nothing", 1, "", "ERROR: Cannot locate resource script nothing"},
		{"", 1, "usage: ResourceManager listkeys", ""},
		{"takegroup", 1, "usage: ", ""},
	} {
		var out, errs bytes.Buffer
		rc := Run(context.Background(), "ResourceManager", strings.Fields(tc.argv), nil, &out, &errs)
		if rc != tc.rc || !strings.HasPrefix(out.String(), tc.out) || tc.out == "" && out.Len() > 0 || !strings.Contains(errs.String(), tc.err) {
			t.Errorf("%s: %d %q %q, want %d %q %q", tc.argv, rc, out.String(), errs.String(), tc.rc, tc.out, tc.err)
		}
	}
	var out bytes.Buffer
	if rc := MachDown(context.Background(), "mach_down", []string{"alice"}, nil, &out, &out); rc != 0 || out.Len() > 0 {
		t.Errorf("mach_down of the own node: %d %q", rc, out.String())
	}
	out.Reset()
	t.Setenv("HA_NICEFAILBACK", "no")
	if rc := MachDown(context.Background(), "mach_down", []string{"bob"}, nil, &out, &out); rc != 0 || !strings.Contains(out.String(), "mach_down takeover complete for node bob.") {
		t.Errorf("mach_down: %d %q", rc, out.String())
	}
	if rc := Run(context.Background(), "ResourceManager", []string{"status", "r::c"}, nil, &out, &out); rc != 0 {
		t.Error("mach_down did not take r::c")
	}
	if rc := ReqResource(context.Background(), "req_resource", []string{"r::c"}, nil, &out, &out); rc != 0 {
		t.Error("req_resource of what runs")
	}
	out.Reset()
	if rc := ReqResource(context.Background(), "req_resource", []string{"r::d"}, nil, &out, &out); rc != 1 || !strings.Contains(out.String(), "heartbeat is not running") {
		t.Errorf("req_resource without heartbeat: %d %q", rc, out.String())
	}
}
