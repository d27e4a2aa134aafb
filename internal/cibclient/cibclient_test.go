package cibclient

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	dsbzip2 "github.com/dsnet/compress/bzip2"

	"linuxha/internal/paths"
	cibv1 "linuxha/proto/cib/v1"
)

const document = `<cib crm_feature_set="3.16.1" validate-with="pacemaker-3.9" epoch="5" num_updates="0" admin_epoch="0"><configuration><crm_config/><nodes/><resources/><constraints/></configuration></cib>`

func options(root string, env map[string]string) Options {
	return Options{Getenv: func(n string) string { return env[n] }, Layout: &paths.Layout{Root: root}}
}

// TestChoice is cib 8.1: shadow, then file, then remote, then the daemon.
func TestChoice(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"shadow.s", "f.xml"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(document), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "bad.xml"), []byte("<cib"), 0o600); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "f.xml")
	for _, tc := range []struct {
		name string
		env  map[string]string
		want string // the file, or
		err  error
	}{
		{"shadow before file", map[string]string{"CIB_shadow": "s", "CIB_shadow_dir": dir, "CIB_file": name}, filepath.Join(dir, "shadow.s"), nil},
		{"shadow is not there", map[string]string{"CIB_shadow": "t", "CIB_shadow_dir": dir}, "", syscall.ENXIO},
		{"file", map[string]string{"CIB_file": name, "CIB_port": "1"}, name, nil},
		{"file is not there", map[string]string{"CIB_file": name + "x"}, "", syscall.ENXIO},
		{"remote", map[string]string{"CIB_port": "1234"}, "", syscall.EPROTONOSUPPORT},
		{"no daemon", nil, "", syscall.ENOTCONN},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, err := OpenWith(t.Context(), options(t.TempDir(), tc.env))
			if !errors.Is(err, tc.err) {
				t.Fatalf("%v, want %v", err, tc.err)
			}
			if err == nil && c.(*file).name != tc.want {
				t.Errorf("%s, want %s", c.(*file).name, tc.want)
			}
		})
	}
	if _, err := OpenWith(t.Context(), options(dir, map[string]string{"CIB_file": filepath.Join(dir, "bad.xml")})); ExitCode(err) != 78 {
		t.Errorf("broken file: %v", err)
	}
}

func TestFileIsWrittenOnClose(t *testing.T) {
	dir := t.TempDir()
	plain, packed, link := filepath.Join(dir, "c.xml"), filepath.Join(dir, "c.xml.bz2"), filepath.Join(dir, "link")
	var z strings.Builder
	w, err := dsbzip2.NewWriter(&z, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(document)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{plain: document, packed: z.String()} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(plain, link); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{packed, link, plain} {
		o := options(dir, map[string]string{"CIB_file": name})
		c, err := OpenWith(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		before, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		req := &cibv1.ApplyRequest{DryRun: true, Changes: []*cibv1.Change{{Op: cibv1.Op_OP_BUMP}}}
		if r, err := c.Apply(t.Context(), req); err != nil || r.GetRc() != 0 {
			t.Fatal(r, err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if after, err := os.ReadFile(name); err != nil || string(after) != string(before) {
			t.Errorf("%s: a dry run was written", name)
		}
		req.DryRun = false
		if r, err := c.Apply(t.Context(), req); err != nil || r.GetRc() != 0 {
			t.Fatal(r, err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		again, err := OpenWith(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		q, err := again.Query(t.Context(), &cibv1.QueryRequest{NoChildren: true})
		if err != nil || q.GetVersion().GetEpoch() < 6 {
			t.Errorf("%s: %v %v", name, q, err)
		}
		if _, err := again.Watch(t.Context(), nil); !errors.Is(err, syscall.EPROTONOSUPPORT) {
			t.Errorf("watch: %v", err)
		}
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link was replaced: %v %v", info.Mode(), err)
	}
}

// TestOverwrite: the file stays the same file, whoever has it open reads the
// new content, and no copy is left.
func TestOverwrite(t *testing.T) {
	name := filepath.Join(t.TempDir(), "cib.xml")
	if err := os.WriteFile(name, []byte("a long content"), 0o640); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, text := range []string{"short", "much longer than what was there before", ""} {
		if err := overwrite(name, []byte(text)); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 100)
		n, err := f.ReadAt(b, 0)
		if err != io.EOF || string(b[:n]) != text {
			t.Errorf("reads %q, %v after %q", b[:n], err, text)
		}
	}
	if list, err := os.ReadDir(filepath.Dir(name)); err != nil || len(list) != 1 {
		t.Errorf("%v %v", list, err)
	}
	if err := overwrite(name+".absent", nil); err == nil {
		t.Error("made a file")
	}
}
