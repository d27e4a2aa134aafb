package class

import (
	"context"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestAlertAgent(t *testing.T) { // execution 2.1, 2.2, 16.3
	r, l := newRunner(t)
	out := filepath.Join(l.Root, "out")
	if err := os.Mkdir(out, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(out, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(l.Root, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, 0o755, "#!/bin/sh\n{ id -un; id -Gn; echo \"args=$*\"; env; } >"+out+"/env.new\nmv "+out+"/env.new "+out+"/env\n", l.Root, "alert")
	if os.Getuid() == 0 {
		if _, err := user.Lookup(alertUser); err != nil {
			err := r.RunAlert(t.Context(), filepath.Join(l.Root, "alert"), nil)
			if err == nil || !strings.Contains(err.Error(), alertUser) {
				t.Errorf("without a user %s: %v", alertUser, err)
			}
			return
		}
	}
	if err := r.RunAlert(t.Context(), filepath.Join(l.Root, "alert"), map[string]string{"CRM_alert_kind": "node", "own": "a b"}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(out, "env"))
	if err != nil {
		t.Fatal(err)
	}
	got := "\n" + string(b)
	for _, want := range []string{"args=", "CRM_alert_kind=node", "own=a b"} {
		if !strings.Contains(got, "\n"+want+"\n") {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if os.Getuid() == 0 && !strings.HasPrefix(got, "\nhacluster\nhaclient\n") {
		t.Errorf("ran as %q", strings.SplitN(got, "args", 2)[0])
	}
	if strings.Contains(got, "\nOCF_") {
		t.Error("an alert agent got OCF variables")
	}
}

func TestAlertAgentFails(t *testing.T) {
	if os.Getuid() == 0 {
		if _, err := user.Lookup(alertUser); err != nil {
			t.Skipf("needs the user %s: %v", alertUser, err)
		}
	}
	r, l := newRunner(t)
	if err := os.Chmod(l.Root, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, 0o755, "#!/bin/sh\necho no network >&2\nexit 3\n", l.Root, "fails")
	write(t, 0o755, "#!/bin/sh\n(trap '' TERM; sleep 60) &\nwait\n", l.Root, "hangs")
	write(t, 0o644, "#!/bin/sh\n", l.Root, "locked")
	for name, want := range map[string]string{
		"fails": "completed but exited with status 3: no network", "hangs": "Timed Out",
		"missing": "No such file", "locked": "Permission denied",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		err := r.RunAlert(ctx, filepath.Join(l.Root, name), nil)
		cancel()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}
