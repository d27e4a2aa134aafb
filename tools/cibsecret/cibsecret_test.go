package cibsecret

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const document = `<cib crm_feature_set="3.16.1" validate-with="pacemaker-3.9" epoch="1" num_updates="0" admin_epoch="0"><configuration><crm_config/><nodes><node id="1" uname="far"/></nodes><resources><primitive id="ipmi" class="ocf" provider="heartbeat" type="Dummy"><instance_attributes id="ipmi-a"><nvpair id="ipmi-a-login" name="login" value="admin"/></instance_attributes></primitive></resources><constraints/></configuration><status/></cib>`

// world is a node with a CIB in a file and one other node, which a shell plays.
func world(t *testing.T) (s *secrets, cib, far string, errs *strings.Builder, out *strings.Builder) {
	t.Helper()
	dir := t.TempDir()
	cib = filepath.Join(dir, "cib.xml")
	if err := os.WriteFile(cib, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CIB_file", cib)
	t.Setenv("CIB_shadow", "")
	t.Setenv("CIB_user", "")
	errs, out = &strings.Builder{}, &strings.Builder{}
	far = filepath.Join(dir, "far")
	s = &secrets{ctx: t.Context(), dir: filepath.Join(dir, "secrets"), stdout: out, stderr: errs, peers: otherNodes}
	s.remote = func(_ context.Context, node, script string, stdin []byte) error {
		if node != "far" {
			t.Errorf("talks to %q", node)
		}
		f, err := os.OpenFile(far, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = f.WriteString(script + " < " + string(stdin))
		return err
	}
	return s, cib, far, errs, out
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(b)
}

func TestLife(t *testing.T) {
	s, cib, far, _, out := world(t)
	must := func(command string, args ...string) {
		t.Helper()
		if err := s.do(command, args); err != nil {
			t.Fatalf("%s %v: %v", command, args, err)
		}
	}
	status := func(want int, command string, args ...string) {
		t.Helper()
		if err := s.do(command, args); int(codeOf(err)) != want {
			t.Errorf("%s %v: %v, exit status %d, want %d", command, args, err, codeOf(err), want)
		}
	}
	status(105, "sync")
	status(105, "get", "ipmi", "passwd")
	must("set", "ipmi", "passwd", "SecreT")
	if text := read(t, cib); !strings.Contains(text, `name="passwd" value="lrm://"`) || strings.Contains(text, "SecreT") {
		t.Errorf("the CIB is\n%s", text)
	}
	if v, sign := read(t, s.file("ipmi", "passwd")), read(t, s.file("ipmi", "passwd")+".sign"); v != "SecreT\n" || sign != hash("SecreT")+"\n" {
		t.Errorf("stored are %q and %q", v, sign)
	}
	if text := read(t, far); !strings.Contains(text, "umask 077") || !strings.Contains(text, "< SecreT\n") {
		t.Errorf("the other node got %q", text)
	}
	must("get", "ipmi", "passwd")
	if out.String() != "SecreT\n" {
		t.Errorf("get prints %q", out.String())
	}
	must("check", "ipmi", "passwd")
	if err := os.WriteFile(s.file("ipmi", "passwd"), []byte("other\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	status(104, "check", "ipmi", "passwd")
	must("set", "ipmi", "passwd", "SecreT")

	status(108, "set", "ipmi", "login", "root") // the CIB has a plain value
	must("stash", "ipmi", "login")
	status(108, "stash", "ipmi", "login")
	if text := read(t, cib); strings.Contains(text, "admin\"") || read(t, s.file("ipmi", "login")) != "admin\n" {
		t.Errorf("stashed: %s", text)
	}
	must("unstash", "ipmi", "login")
	if text := read(t, cib); !strings.Contains(text, `name="login" value="admin"`) || read(t, s.file("ipmi", "login")) != "" {
		t.Errorf("unstashed: %s", text)
	}
	must("sync")
	must("delete", "ipmi", "passwd")
	if text := read(t, cib); strings.Contains(text, "passwd") || read(t, s.file("ipmi", "passwd")) != "" || !strings.Contains(read(t, far), "rm -f") {
		t.Errorf("deleted: %s", text)
	}
	status(105, "set", "nosuch", "passwd", "x")
	status(64, "set", "../x", "passwd", "x")
	status(2, "set", "ipmi", "passwd", "two\nlines")
	status(105, "stash", "ipmi", "passwd")
}

// TestWithoutCIB: -C leaves the CIB alone.
func TestWithoutCIB(t *testing.T) {
	s, cib, _, _, _ := world(t)
	s.noCIB = true
	if err := s.do("set", []string{"ipmi", "login", "x"}); err != nil || read(t, cib) != document {
		t.Errorf("%v\n%s", err, read(t, cib))
	}
}

// TestUnreachable: a node that is down is named, and no reason to fail.
func TestUnreachable(t *testing.T) {
	s, _, _, errs, _ := world(t)
	s.remote = func(context.Context, string, string, []byte) error { return errUnreachable }
	if err := s.do("set", []string{"ipmi", "passwd", "x"}); err != nil || !strings.Contains(errs.String(), "far") || !strings.Contains(errs.String(), "cibsecret sync") {
		t.Errorf("%v, told: %s", err, errs)
	}
}

func TestCommandLine(t *testing.T) {
	for _, tc := range []struct {
		args string
		want int
	}{{"", 64}, {"--help", 0}, {"--version", 0}, {"foo", 1}, {"set a", 64}, {"get a b c", 64}, {"-C stash a b", 64}, {"--nonsense", 64}} {
		var out, errs strings.Builder
		if code := Run(t.Context(), "cibsecret", strings.Fields(tc.args), strings.NewReader(""), &out, &errs); code != tc.want || out.Len()+errs.Len() == 0 {
			t.Errorf("%q: exit status %d, want %d; %s%s", tc.args, code, tc.want, out.String(), errs.String())
		}
	}
}
