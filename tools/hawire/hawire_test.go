package hawire

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"linuxha/heartbeatd/hamsg"
)

// TestTranscripts: `decode` with the packet as Go would quote it, or the name
// of one below hamsg's testdata.
func TestTranscripts(t *testing.T) {
	t.Setenv("HA_ROOT", t.TempDir())
	dir := t.TempDir()
	keys := filepath.Join(dir, "authkeys")
	if err := os.WriteFile(keys, []byte("auth 1\n1 sha1 lab-secret\n2 crc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	datadriven.RunTest(t, "testdata/decode", func(t *testing.T, d *datadriven.TestData) string {
		args := []string{"decode", "--authkeys", keys}
		if d.HasArg("nokeys") {
			args = args[:1]
		}
		var stdin bytes.Buffer
		for line := range strings.Lines(d.Input) {
			switch word := strings.TrimSpace(line); word {
			case "garbage":
				stdin.WriteString("hello")
				args = append(args, "-")
			default:
				args = append(args, filepath.Join("../../heartbeatd/hamsg/testdata/packets", word))
			}
		}
		var stdout, stderr bytes.Buffer
		code := Run(context.Background(), "ha_wire", args, &stdin, &stdout, &stderr)
		out := strings.ReplaceAll(stdout.String(), "\n\n", "\n.\n") + stderr.String()
		out = strings.ReplaceAll(out, "../../heartbeatd/hamsg/testdata/packets/", "")
		if code == 0 {
			return out + "exit 0\n"
		}
		return out + "exit not 0\n"
	})
}

func TestUsage(t *testing.T) {
	for _, tc := range []struct {
		args string
		code int
	}{{"", 64}, {"decode", 64}, {"encode x", 64}, {"decode --bogus x", 64}, {"--help", 0}, {"decode /nonexistent", 66}, {"decode --authkeys=/nonexistent x", 66}} {
		var stdout, stderr bytes.Buffer
		if code := Run(context.Background(), "ha_wire", strings.Fields(tc.args), nil, &stdout, &stderr); code != tc.code {
			t.Errorf("%q: exit %d, want %d", tc.args, code, tc.code)
		}
	}
}

func TestTooBig(t *testing.T) {
	var stdout, stderr bytes.Buffer
	code := Run(context.Background(), "ha_wire", []string{"decode", "-"}, bytes.NewReader(make([]byte, 2*hamsg.MaxWire)), &stdout, &stderr)
	if code == 0 || !strings.Contains(stdout.String(), "not a message: message too big") {
		t.Errorf("exit %d, %q", code, &stdout)
	}
}
