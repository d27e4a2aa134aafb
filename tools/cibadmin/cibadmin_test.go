package cibadmin

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"

	"linuxha/cib/server"
	"linuxha/cib/store"
	"linuxha/internal/ipc"
	"linuxha/internal/paths"
	cibv1 "linuxha/proto/cib/v1"
)

const document = `<cib crm_feature_set="3.16.1" validate-with="pacemaker-3.9" epoch="5" num_updates="0" admin_epoch="0">
  <configuration>
    <crm_config/>
    <nodes>
      <node id="1" uname="a"/>
    </nodes>
    <resources>
      <primitive id="d1" class="ocf" provider="heartbeat" type="Dummy"/>
    </resources>
    <constraints/>
  </configuration>
  <status/>
</cib>
`

func run(t *testing.T, stdin string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, err strings.Builder
	status = Run(t.Context(), "cibadmin", args, strings.NewReader(stdin), &out, &err)
	return status, out.String(), err.String()
}

// TestFile is the tool on a CIB in a file: exit status, what it prints, what
// the file holds then.
func TestFile(t *testing.T) {
	for _, tc := range []struct {
		name           string
		args           []string
		stdin          string
		status         int
		stdout, stderr string // all of it; with "~" in front: a part
		file           string // a part of the file; with "!" in front: not there
	}{
		{name: "query", args: []string{"-Q"}, stdout: document},
		{name: "query local, clustered", args: []string{"-Ql", "-o", "nodes"}, stdout: "<nodes>\n  <node id=\"1\" uname=\"a\"/>\n</nodes>\n"},
		{name: "query absent section", args: []string{"-Q", "-o", "tags"}, status: 105, stderr: "Call failed: No such device or address\n"},
		{name: "query by XPath", args: []string{"--query", "--xpath", "//node"}, stdout: "<node id=\"1\" uname=\"a\"/>\n"},
		{name: "paths", args: []string{"-Q", "-e", "-A", "//node"}, stdout: "/cib/configuration/nodes/node[@id='1']\n"},
		{name: "no children", args: []string{"-Q", "-n", "-o", "configuration"}, stdout: "<configuration/>\n"},
		{name: "create", args: []string{"-C", "-o", "nodes", "-X", `<node id="2" uname="b"/>`}, file: "<node id=\"1\" uname=\"a\"/>\n      <node id=\"2\" uname=\"b\"/>\n"},
		{
			name: "create again", args: []string{"-C", "-o", "nodes", "-X", `<node id="1" uname="b"/>`}, status: 108, stderr: "Call failed: File exists\n",
			stdout: "<failed>\n  <failed_update id=\"1\" object_type=\"node\" operation=\"cib_create\" reason=\"File exists\">\n    <node id=\"1\" uname=\"b\"/>\n  </failed_update>\n</failed>\n",
		},
		{name: "dry run", args: []string{"--dry-run", "-C", "-o", "nodes", "-X", `<node id="2" uname="b"/>`}, stdout: "~<change operation=\"create\" path=\"/cib/configuration/nodes\" position=\"1\">\n    <node id=\"2\" uname=\"b\"/>\n  </change>\n</diff>\n", file: `!uname="b"`},
		{name: "dry run tells of actions", args: []string{"--dry-run", "-C", "-o", "resources", "-X", `<primitive id="d" class="ocf" provider="heartbeat" type="Dummy"/>`}, stdout: "~The cluster would", file: `!id="d"`},
		{name: "dry run of nothing", args: []string{"--dry-run", "-M", "-X", `<node id="1" uname="a"/>`}, stdout: "The change would change nothing.\n"},
		{name: "dry run refused", args: []string{"--dry-run", "-M", "-X", `<node id="9"/>`}, status: 105, stderr: "Call failed: No such device or address\n"},
		{name: "a refusal says where and what would be valid", args: []string{"-C", "-o", "resources", "-X", `<primitive id="d" class="ocf" provider="heartbeat" typo="Dummy"/>`}, status: 78, stderr: "~element primitive \"d\": attribute typo is not known here; others that may be: type, template, description\n"},
		{name: "no children of paths: ids", args: []string{"-Q", "-e", "-n", "-A", "//node"}, stdout: "1\n"},
		{name: "modify from stdin", args: []string{"-p", "-M"}, stdin: `<node id="1" uname="c"/>`, file: `uname="c"`},
		{name: "modify what is not there", args: []string{"-M", "-X", `<node id="9"/>`}, status: 105, stderr: "Call failed: No such device or address\n"},
		{name: "modify with creation", args: []string{"-M", "-c", "-o", "nodes", "-X", `<node id="9" uname="n"/>`}, file: `id="9"`},
		{name: "replace", args: []string{"-R", "-X", `<node id="1" uname="z"/>`}, file: `uname="z"`},
		{name: "replace by something older", args: []string{"-R", "-X", `<cib epoch="1" num_updates="0" admin_epoch="0"/>`}, status: 103, stderr: "Call failed: Update was older than existing configuration\n"},
		{name: "delete", args: []string{"-D", "-o", "nodes", "-X", `<node uname="a"/>`}, file: "<nodes/>"},
		{name: "delete by XPath", args: []string{"-D", "--xpath", "//primitive"}, file: "<resources/>"},
		{name: "delete what is not there", args: []string{"-D", "-X", `<node id="9"/>`}, file: `epoch="5"`},
		{name: "delete all needs force", args: []string{"-d", "-A", "//node"}, status: 107, stderr: dangerous, file: `<node id="1"`},
		{name: "delete all", args: []string{"--delete-all", "--force", "--xpath=//node"}, file: "<nodes/>"},
		{name: "erase needs force", args: []string{"-E"}, status: 107, stderr: dangerous},
		{name: "erase", args: []string{"-E", "--force"}, file: `epoch="6" num_updates="0" admin_epoch="1"`},
		{name: "bump", args: []string{"-B"}, file: `epoch="6" num_updates="1"`},
		{name: "patch", args: []string{"-P", "-X", `<diff format="2"><change operation="delete" path="/cib/configuration/nodes/node[@id='1']"/></diff>`}, file: "<nodes/>"},
		{name: "patch of something else", args: []string{"-P", "-X", `<diff format="2"><change operation="modify" path="/cib/nosuch"><change-result><a/></change-result></change></diff>`}, status: 1, stderr: "Call failed: Application of update diff failed\n"},
		{name: "upgrade is not needed", args: []string{"-u", "-f"}},
		{name: "invalid result", args: []string{"-D", "-X", "<nodes/>"}, status: 78, stderr: "~   1 <cib crm_feature_set=\"3.16.1\" validate-with=\"pacemaker-3.9\" epoch=\"6\" num_updates=\"0\" admin_epoch=\"0\">\n   2   <configuration>\n", file: `<node id="1"`},
		{name: "unclosed XML is taken as far as it goes", args: []string{"-M", "-X", `<node id="1" uname="q">`}, file: `uname="q"`},
		{name: "no XML", args: []string{"-M", "-X", "nothing"}, status: 78, stderr: "Couldn't parse input from input string.\n"},
		{name: "no such file", args: []string{"-M", "-x", "nosuch.xml"}, status: 78, stderr: "Couldn't parse input from nosuch.xml.\n"},
		{name: "no input", args: []string{"-M"}, status: 70, stderr: "~--modify needs XML"},
		{name: "no command", args: nil, status: 64, stderr: "~no command given"},
		{name: "unknown option", args: []string{"--nonsense"}, status: 64, stderr: "~unrecognized option '--nonsense'"},
		{name: "abbreviated option", args: []string{"--quer", "--scop", "constraints"}, stdout: "<constraints/>\n"},
		{name: "digest", args: []string{"-5", "-X", "<a/>"}, stdout: "36f3fe87323978c81376fbe84b315483\n", stderr: "Digest: "},
		{name: "versioned digest", args: []string{"-6", "-X", `<cib crm_feature_set="3.0.5"/>`}, stdout: "f013ff8b66ad9227117087189001c992\n", stderr: "Versioned (3.0.5) digest: "},
		{name: "empty", args: []string{"--empty"}, stdout: "~epoch=\"1\" num_updates=\"0\" admin_epoch=\"0\">\n  <configuration>\n"},
		{name: "empty of a schema", args: []string{"--empty=pacemaker-2.0"}, stdout: "~validate-with=\"pacemaker-2.0\""},
		{name: "version", args: []string{"-$"}, stdout: "~Pacemaker 2.1.5\n"},
		{name: "help", args: []string{"-?"}, stdout: "~--no-children"},
		{name: "access lists are off", args: []string{"--show-access=text", "-Q", "--user", "bob"}, status: 113, stderr: "~access control is not enabled"},
		{name: "a node is named for a change", args: []string{"-B", "-N", "a"}, status: 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "cib.xml")
			if err := os.WriteFile(file, []byte(document), 0o640); err != nil {
				t.Fatal(err)
			}
			t.Setenv("CIB_shadow", "")
			t.Setenv("CIB_user", "")
			t.Setenv("CIB_file", file)
			status, stdout, stderr := run(t, tc.stdin, tc.args...)
			if status != tc.status {
				t.Errorf("status %d, want %d", status, tc.status)
			}
			for what, s := range map[string][2]string{"stdout": {stdout, tc.stdout}, "stderr": {stderr, tc.stderr}} {
				part, partly := strings.CutPrefix(s[1], "~")
				if partly && !strings.Contains(s[0], part) || !partly && s[0] != s[1] {
					t.Errorf("%s:\n%s\nwant:\n%s", what, s[0], s[1])
				}
			}
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if part, not := strings.CutPrefix(tc.file, "!"); strings.Contains(string(b), part) == not {
				t.Errorf("the file holds:\n%s", b)
			}
			if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o640 {
				t.Errorf("%v %v", info.Mode(), err)
			}
		})
	}
}

func TestSources(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("CIB_user", "")
	t.Setenv("CIB_shadow", "")
	t.Setenv("CIB_file", filepath.Join(dir, "nosuch.xml"))
	if status, _, stderr := run(t, "", "-Q"); status != 105 || stderr != "Could not connect to the CIB: No such device or address\nInit failed, could not perform requested operations\n" {
		t.Errorf("no file: %d %s", status, stderr)
	}
	t.Setenv("CIB_file", "-")
	if status, stdout, _ := run(t, document, "-Q", "-o", "constraints"); status != 0 || stdout != "<constraints/>\n" {
		t.Errorf("stdin: %d %s", status, stdout)
	}
	if err := os.WriteFile(filepath.Join(dir, "shadow.x"), []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CIB_shadow", "x")
	t.Setenv("CIB_shadow_dir", dir)
	if status, stdout, _ := run(t, "", "-Q", "-o", "constraints"); status != 0 || stdout != "<constraints/>\n" {
		t.Errorf("shadow: %d %s", status, stdout)
	}
}

// TestLive is the tool on a daemon, and on its files while it is down.
func TestLive(t *testing.T) {
	root, err := os.MkdirTemp("", "ca")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	for _, v := range []string{"CIB_shadow", "CIB_file", "CIB_user", "CIB_port"} {
		t.Setenv(v, "")
	}
	t.Setenv("HA_ROOT", root)
	layout := paths.FromEnv()
	if status, _, stderr := run(t, "", "-Q"); status != 102 || stderr != "Could not connect to the CIB: Transport endpoint is not connected\nInit failed, could not perform requested operations\n" {
		t.Errorf("no daemon: %d %s", status, stderr)
	}
	if err := os.MkdirAll(layout.CIB(), 0o750); err != nil {
		t.Fatal(err)
	}
	srv, err := server.New(server.Options{FS: store.Dir{Path: layout.CIB(), UID: -1, GID: -1}, Node: "a", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- ipc.Serve(ctx, layout.Socket("cib"), srv.Register, srv.Run) }()
	cc, err := ipc.Dial(layout.Socket("cib"))
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	client := cibv1.NewCibClient(cc)
	if _, err := client.GetStatus(t.Context(), &cibv1.GetStatusRequest{}, grpc.WaitForReady(true)); err != nil {
		t.Fatal(err)
	}
	if status, _, stderr := run(t, "", "-B", "-t", "1"); status != 124 || !strings.HasPrefix(stderr, "Call cib_bump failed: Connection timed out\n  there is no primary CIB") {
		t.Errorf("no primary: %d %s", status, stderr)
	}
	if r, err := client.SetPrimary(t.Context(), &cibv1.SetPrimaryRequest{Primary: "a", View: 1, Members: []string{"a"}, Quorate: true}); err != nil || r.GetRc() != 0 {
		t.Fatal(r, err)
	}
	if status, stdout, stderr := run(t, "", "-C", "-o", "nodes", "-X", `<node id="1" uname="a"/>`); status != 0 || stdout+stderr != "" {
		t.Errorf("create: %d %s%s", status, stdout, stderr)
	}
	if status, stdout, _ := run(t, "", "-Q", "-A", "//node"); status != 0 || stdout != "<node id=\"1\" uname=\"a\"/>\n" {
		t.Errorf("query: %d %s", status, stdout)
	}
	if status, stdout, stderr := run(t, "", "-C", "-o", "nodes", "-X", `<node id="1" uname="a"/>`); status != 108 || !strings.HasPrefix(stderr, "Call cib_create failed: File exists\n") || !strings.Contains(stdout, "failed_update") {
		t.Errorf("create again: %d %s%s", status, stdout, stderr)
	}
	if status, stdout, stderr := run(t, "", "-D", "-X", "<nodes/>"); status != 78 || !strings.Contains(stderr, "nodes") || !strings.HasPrefix(stdout, "<cib ") {
		t.Errorf("invalid: %d %s%s", status, stdout, stderr)
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	// pcs on a stopped node (clients 2.1): the daemon's file, with backup and digest.
	t.Setenv("CIB_file", filepath.Join(layout.CIB(), "cib.xml"))
	if status, _, stderr := run(t, "", "--delete-all", "--force", "--xpath=/cib/configuration/nodes/node[@uname='a']"); status != 0 {
		t.Fatalf("stopped: %d %s", status, stderr)
	}
	_, loaded, err := store.Open(store.Dir{Path: layout.CIB(), UID: -1, GID: -1}, slog.New(slog.DiscardHandler))
	if err != nil || loaded.Source != "cib.xml" || len(loaded.Doc.Section("nodes").Children) != 0 {
		t.Errorf("what the daemon then starts with: %v %v", loaded, err)
	}
	if _, err := os.Stat(filepath.Join(layout.CIB(), "cib-1.raw")); err != nil {
		t.Error(err)
	}
}
