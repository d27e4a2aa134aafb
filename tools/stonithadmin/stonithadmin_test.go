package stonithadmin

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	"linuxha/internal/ipc"
	"linuxha/internal/paths"
	stonithv1 "linuxha/proto/stonith/v1"
	"linuxha/stonithd/plugin"
	"linuxha/stonithd/server"
)

// node is a machine root with the test agent, and a fencer that stands alone.
func node(t *testing.T, fencer bool) {
	t.Helper()
	root, err := os.MkdirTemp("/tmp", "sa") // short: socket paths are limited
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	t.Setenv("HA_ROOT", root)
	l := paths.FromEnv()
	agent, err := os.ReadFile("../../stonithd/testdata/fence_test")
	if err != nil {
		t.Fatal(err)
	}
	dir := l.FenceAgents()[0]
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "fence_test"), agent, 0o755); err != nil {
		t.Fatal(err)
	}
	if !fencer {
		return
	}
	srv := server.New(server.Options{Paths: l, Finder: plugin.NewFinder(l), StandAlone: true, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := ipc.Serve(ctx, l.Socket("stonithd"), srv.Register, srv.Run); err != nil && ctx.Err() == nil {
			t.Errorf("fencer ended: %v", err)
		}
	}()
	t.Cleanup(func() { cancel(); <-ended })
	cc, err := ipc.Dial(l.Socket("stonithd"))
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	wait, stop := context.WithTimeout(ctx, 10*time.Second)
	defer stop()
	if _, err := stonithv1.NewStonithClient(cc).GetHistory(wait, &stonithv1.GetHistoryRequest{}, grpc.WaitForReady(true)); err != nil {
		t.Fatal(err)
	}
}

var (
	pid  = regexp.MustCompile(`stonith_admin\.\d+`)
	date = regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)`)
	last = regexp.MustCompile(`last fenced at: .*`)
)

// run is the tool's stdout, stderr and status, times and process ids left out.
func run(args ...string) (stdout, stderr string, code int) {
	var out, errs bytes.Buffer
	code = Run(context.Background(), "stonith_admin", args, nil, &out, &errs)
	text := pid.ReplaceAllString(out.String(), "stonith_admin.PID")
	text = last.ReplaceAllString(date.ReplaceAllString(text, "DATE"), "last fenced at: DATE")
	return text, errs.String(), code
}

func TestCommands(t *testing.T) {
	node(t, true)
	t.Setenv("OCF_RESKEY_mode", "fail")
	for _, tc := range []struct {
		args   string
		code   int
		stdout string
		stderr string
	}{
		{"-L", 0, "0 fence devices found\n", ""},
		{"-F n1 -t 5", 105, "", "stonith_admin: Couldn't fence n1: No such device (No device configured for target 'n1')\n"},
		{"-R st", 64, "", "stonith_admin: Please specify an agent to query using -a,--agent [value]\n"},
		{"-R st -a fence_test -o pcmk_host_list=n1,n2", 0, "", ""},
		{"-R bad -a fence_test -o pcmk_host_list=n3 -e mode -o pcmk_off_retries=1", 0, "", ""},
		{"-L", 0, "bad\nst\n2 fence devices found\n", ""},
		{"-L -V", 0, `# bad: agent fence_test, registered by a client
#   pcmk_host_list=n3
#   pcmk_off_retries=1
# st: agent fence_test, registered by a client
#   pcmk_host_list=n1,n2
bad
st
2 fence devices found
`, ""},
		{"-l n2", 0, "st\n1 fence device found\n", ""},
		{"-l n2 --output-as xml", 0, `<pacemaker-result api-version="2.25" request="stonith_admin -l n2 --output-as xml">
  <list name="registered fence devices" count="1">
    <item name="device">st</item>
  </list>
  <status code="0" message="OK"/>
</pacemaker-result>
`, ""},
		{"-H n1", 0, "turning off of n1 failed (No device configured for target 'n1'): client=stonith_admin.PID, origin=localhost, last-failed='DATE'\n1 event found\n", ""},
		{"-F n1", 0, "", ""},
		{"-B n1 --tag test", 0, "", ""},
		{"-U n1", 0, "", ""},
		{"-F n3 -t 5", 1, "", "stonith_admin: Couldn't fence n3: No data available (Fence agent returned failure)\n"},
		{"-H n1 -V", 0, `unfencing of n1 successful: delegate=localhost, client=stonith_admin.PID, origin=localhost, completed='DATE'
reboot of n1 successful: delegate=localhost, client=stonith_admin.test, origin=localhost, completed='DATE'
turning off of n1 successful: delegate=localhost, client=stonith_admin.PID, origin=localhost, completed='DATE'
turning off of n1 failed (No device configured for target 'n1'): client=stonith_admin.PID, origin=localhost, completed='DATE' (a later attempt from localhost succeeded)
4 events found
`, ""},
		{"-h n1", 0, "Node n1 last fenced at: DATE\n", ""},
		{"-h n9", 0, "Node n9 has never been fenced\n", ""},
		{"-C gone", 0, "", ""},
		{"-H gone", 0, "turning off of gone successful: delegate=a human, client=stonith_admin.PID, origin=localhost, last-successful='DATE'\n1 event found\n", ""},
		{"-H * -c", 0, "cleaning up fencing-history for node *\n", ""},
		{"-H *", 0, "0 events found\n", ""},
		{"-Q st", 0, "", ""},
		{"-Q bad", 0, "", ""}, // only its off fails
		{"-Q none", 105, "", ""},
		{"-s st", 1, "", "stonith_admin: Couldn't list targets: No data available\n"},
		{"-r n1 -i 11 -v st", 70, "", "stonith_admin: fencing level index 11 for n1: must be 1 to 9\n"},
		{"-r @^n.* -i 1 -v st", 0, "", ""},
		{"-d @^n.* -i 1", 0, "", ""},
		{"-D st", 0, "", ""},
		{"-D st", 0, "", ""},
		{"-L", 0, "bad\n1 fence device found\n", ""},
		{"-I", 0, "fence_test\n1 fence device found\n", ""},
		{"-K -a fence_test -o mode=fail", 1, "Validation of fence_test failed\ntold to fail\n", ""},
		{"-K -a fence_test --output-as xml", 0, `<pacemaker-result api-version="2.25" request="stonith_admin -K -a fence_test --output-as xml">
  <validate agent="fence_test" valid="true">
    <command code="0">
      <output source="stdout">Success: validate-all
</output>
    </command>
  </validate>
  <status code="0" message="OK"/>
</pacemaker-result>
`, ""},
		{"-M -a fence_nope", 105, "", "*"},
		{"", 64, "", "stonith_admin: Must specify a command: try --help\n"},
		{"-L --output-as html", 64, "", "*"},
		{"-F n1 -t soon", 64, "", "*"},
		{"-F n1 --tolerance 5m -t 5", 105, "", "*"},
	} {
		stdout, stderr, code := run(strings.Fields(tc.args)...)
		if code != tc.code || stdout != tc.stdout || tc.stderr != "*" && stderr != tc.stderr {
			t.Errorf("stonith_admin %s: exit %d\n%s%s\nwant exit %d\n%s%s", tc.args, code, stdout, stderr, tc.code, tc.stdout, tc.stderr)
		}
	}
}

func TestMetadata(t *testing.T) {
	node(t, false)
	stdout, _, code := run("-M", "-a", "fence_test")
	if code != 0 || !strings.HasPrefix(stdout, "<resource-agent") || !strings.Contains(stdout, `name="plug"`) {
		t.Errorf("exit %d\n%s", code, stdout)
	}
	if _, stderr, code := run("-L"); code != 102 || stderr != "stonith_admin: Could not connect to fencer: Connection refused\n" {
		t.Errorf("without a fencer: exit %d\n%s", code, stderr)
	}
}

func TestHelpNamesWhatShellsLookFor(t *testing.T) {
	stdout, _, code := run("--help-all")
	for _, word := range []string{"--history", "--broadcast", "--cleanup"} {
		if code != 0 || !strings.Contains(stdout, word) {
			t.Errorf("exit %d, no %s in\n%s", code, word, stdout)
		}
	}
}
