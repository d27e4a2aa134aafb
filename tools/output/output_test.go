package output

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"linuxha/internal/exitcode"
)

func TestElement(t *testing.T) {
	e := New("a", "x", "1 < 2 & \"3\"\n").Add(
		New("empty"), &Element{Name: "text", Text: "line 1\nline <2>"},
		&Element{Name: "raw", Text: "<b>]]></b>\n", CData: true}, New("deep").Add(New("deeper")))
	var b strings.Builder
	if err := e.Write(&b, 1); err != nil {
		t.Fatal(err)
	}
	want := `  <a x="1 &lt; 2 &amp; &quot;3&quot;&#10;">
    <empty/>
    <text>line 1
line &lt;2&gt;</text>
    <raw><![CDATA[<b>]]]]><![CDATA[></b>
]]></raw>
    <deep>
      <deeper/>
    </deep>
  </a>
`
	if b.String() != want {
		t.Errorf("%s", b.String())
	}
}

func TestResult(t *testing.T) {
	var b strings.Builder
	if err := Result(&b, "crm_x", []string{"-a", "b c"}, exitcode.NoSuch, []string{"gone"}, New("body")); err != nil {
		t.Fatal(err)
	}
	want := `<pacemaker-result api-version="2.25" request="crm_x -a 'b c'">
  <body/>
  <status code="105" message="No such object">
    <errors>
      <error>gone</error>
    </errors>
  </status>
</pacemaker-result>
`
	if b.String() != want {
		t.Errorf("%s", b.String())
	}
}

// TestFromRPC: what keeps a tool from an answer, as exit status and text.
func TestFromRPC(t *testing.T) {
	for _, tc := range []struct {
		err  error
		code exitcode.Code
		text string
	}{
		{nil, exitcode.OK, ""},
		{status.Error(codes.Unavailable, "dial unix"), exitcode.Disconnect, "Connection refused"},
		{fmt.Errorf("connect: %w", syscall.ENOTCONN), exitcode.Disconnect, "Connection refused"},
		{status.Error(codes.DeadlineExceeded, "late"), exitcode.Timeout, "Connection timed out"},
		{status.Error(codes.PermissionDenied, "no"), exitcode.InsufficientPriv, "Permission denied"},
		{fmt.Errorf("read: %w", syscall.EACCES), exitcode.InsufficientPriv, "Permission denied"},
		{status.Error(codes.Internal, "broken"), exitcode.Error, "broken"},
		{errors.New("something else"), exitcode.Error, "something else"},
	} {
		if code, text := FromRPC(tc.err); code != tc.code || text != tc.text {
			t.Errorf("%v: %d %q", tc.err, code, text)
		}
	}
}

func TestNoOperands(t *testing.T) {
	if err := NoOperands(nil); err != nil {
		t.Error(err)
	}
	if err := NoOperands([]string{"foo", "bar"}); err == nil || err.Error() != "non-option ARGV-elements:\n[1 of 2] foo\n[2 of 2] bar\n" {
		t.Errorf("%q", err)
	}
}

func TestLogsToStderr(t *testing.T) {
	for v, want := range map[string]bool{"": false, "0": false, "no": false, "1": true, "Yes": true, "true": true} {
		t.Setenv("PCMK_stderr", v)
		if LogsToStderr() != want {
			t.Errorf("PCMK_stderr=%s: %v", v, !want)
		}
	}
}
