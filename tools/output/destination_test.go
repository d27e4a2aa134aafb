package output

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFormatted(t *testing.T) {
	tool := Formatted(func(_ context.Context, name string, args []string, _ io.Reader, stdout, _ io.Writer) int {
		fmt.Fprint(stdout, name, " ", args[0])
		return 7
	}, "text", "xml")
	file := filepath.Join(t.TempDir(), "out")
	for _, tc := range []struct {
		args                 []string
		code                 int
		stdout, stderr, file string
	}{
		{[]string{"-x"}, 7, "t -x", "", ""},
		{[]string{"-x", "--output-as=xml"}, 7, "t -x", "", ""},
		{[]string{"-x", "--output-as", "html"}, 1, "", "html", ""},
		{[]string{"-x", "--output-to", "-"}, 7, "t -x", "", ""},
		{[]string{"-x", "--output-to=" + file}, 7, "", "", "t -x"},
		{[]string{"-x", "--output-to", "/no/such/folder/x"}, 1, "", "no such file", ""},
		{[]string{"-x", "--", "--output-as=html"}, 7, "t -x", "", ""},
	} {
		var out, errs strings.Builder
		code := tool(t.Context(), "t", tc.args, nil, &out, &errs)
		text, _ := os.ReadFile(file) // absent is empty
		if code != tc.code || out.String() != tc.stdout || !strings.Contains(errs.String(), tc.stderr) || string(text) != tc.file {
			t.Errorf("%q: %d, stdout %q, stderr %q, file %q", tc.args, code, out.String(), errs.String(), text)
		}
		os.Remove(file)
	}
}
