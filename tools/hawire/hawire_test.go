package hawire

import (
	"bytes"
	"context"
	"errors"
	"io"
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
	}{{"", 64}, {"decode", 64}, {"encode /nonexistent", 66}, {"encode --bogus", 64}, {"encode a b", 64}, {"frob x", 64}, {"decode --bogus x", 64}, {"--help", 0}, {"decode /nonexistent", 66}, {"decode --authkeys=/nonexistent x", 66}} {
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

// TestEncodeGivesTheSameBytes: what decode printed of a packet of 3.0.6 is all
// of it.
func TestEncodeGivesTheSameBytes(t *testing.T) {
	t.Setenv("HA_ROOT", t.TempDir())
	done := 0
	for _, dir := range []string{"../../heartbeatd/hamsg/testdata/packets", "../../../shared/conformance/heartbeat-wire"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.bin"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var text, got, stderr bytes.Buffer
			Run(context.Background(), "ha_wire", []string{"decode", file}, nil, &text, &stderr)
			shown := text.String()
			if code := Run(context.Background(), "ha_wire", []string{"encode"}, strings.NewReader(shown), &got, &stderr); code != 0 || !bytes.Equal(got.Bytes(), want) {
				t.Errorf("%s: exit %d %s\n%s\ngot  %q\nwant %q", file, code, &stderr, shown, &got, want)
			}
			done++
		}
	}
	if done < 20 {
		t.Errorf("only %d packets", done)
	}
	t.Logf("%d packets", done)
}

func TestRoundTripOfOddMessages(t *testing.T) {
	keys := keyFile(t, "auth 2\n1 crc\n2 sha256 s\n3 aes256-gcm t\n")
	m := hamsg.New("odd")
	m.Add("brace", "{")
	m.Add("lines", "a\nb\\\xff\u00e9")
	m.AddBinary("empty", nil)
	m.AddList("list", []string{"", "a b", "\"", "[x]"})
	m.AddList("none", nil)
	sub := &hamsg.Message{}
	sub.Add("x", "}")
	m.AddField(hamsg.Field{Name: "s", Type: hamsg.Struct, Sub: sub})
	m.AddField(hamsg.Field{Name: "e", Type: hamsg.Expandable, Sub: &hamsg.Message{}})
	all, err := readKeys(keys)
	if err != nil {
		t.Fatal(err)
	}
	want, err := hamsg.Encode(m, all, hamsg.Options{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "in", "p.bin")
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, want, 0o644)); err != nil {
		t.Fatal(err)
	}
	var text, stdout, stderr bytes.Buffer
	if code := Run(t.Context(), "ha_wire", []string{"decode", "--authkeys", keys, file}, nil, &text, &stderr); code != 0 {
		t.Fatalf("%d %s", code, &text)
	}
	shown := text.String()
	if code := Run(t.Context(), "ha_wire", []string{"encode", "--dir", dir}, strings.NewReader(shown), &stdout, &stderr); code != 0 {
		t.Fatalf("%d %s\n%s", code, &stderr, shown)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "p.bin")); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%v\n%s\ngot  %q\nwant %q", err, shown, got, want)
	}
	// Changed, and signed anew.
	changed := strings.Replace(shown, "t=odd", "t=even", 1)
	text.Reset()
	if code := Run(t.Context(), "ha_wire", []string{"encode", "--sign", "--authkeys", keys}, strings.NewReader(changed), &text, &stderr); code != 0 {
		t.Fatalf("%d %s", code, &stderr)
	}
	if got, _, err := hamsg.Decode(text.Bytes(), all); err != nil || got.Type() != "even" {
		t.Errorf("%v %v", got, err)
	}
	for name, broken := range map[string]string{
		"no packet":        "form: netstring\n",
		"not a message":    "packet: x\nnot a message\n",
		"types missing":    "packet: x\nform: netstring\nt=a\nsignature: none\nverdict: bad\n",
		"too many types":   "packet: x\nform: netstring\nt=a\nsignature: none\nverdict: bad\ntypes: 0 0\n",
		"no end":           "packet: x\nform: netstring\nt={\n  a=b\nsignature: none\ntypes: 2 ( 0 )\n",
		"broken backslash": "packet: x\nform: netstring\nt=a\\\nsignature: none\ntypes: 0\n",
	} {
		if code := Run(t.Context(), "ha_wire", []string{"encode"}, strings.NewReader(broken), io.Discard, &stderr); code == 0 {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestSealedIsOpened with the key, and shown closed without.
func TestSealedIsOpened(t *testing.T) {
	keys := keyFile(t, "auth 3\n3 aes256-gcm t\n")
	all, err := readKeys(keys)
	if err != nil {
		t.Fatal(err)
	}
	m := hamsg.New("status")
	m.Add("st", "active")
	p, err := hamsg.Encode(m, all, hamsg.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		keys string
		code int
		want string
	}{{keys, 0, "verdict: ok\ntypes: 1\nopened:\n  t=status\n  st=active\n"}, {keyFile(t, "auth 3\n3 aes256-gcm u\n"), 1, "verdict: bad\n"}} {
		var out bytes.Buffer
		code := Run(t.Context(), "ha_wire", []string{"decode", "--authkeys", tc.keys, "-"}, bytes.NewReader(p), &out, &out)
		if code != tc.code || !strings.Contains(out.String(), tc.want) {
			t.Errorf("%d %s", code, &out)
		}
	}
}

func keyFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "authkeys")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func FuzzEncode(f *testing.F) {
	f.Add("packet: x\nform: netstring\nt=a\ns={\n  l=[a b]\n}\nsignature: 1 ab\nverdict: bad\ntypes: 0 2 ( 3 )\n")
	f.Add("packet: x\nform: classic\nt=\\x0a\nb=00ff\nsignature: none\nverdict: bad\ntypes: 0 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		blocks, err := readBlocks(strings.NewReader(text))
		if err != nil {
			return
		}
		for _, b := range blocks {
			_, _ = b.packet(nil) // must not crash
		}
	})
}
