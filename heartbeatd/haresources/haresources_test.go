package haresources

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// transcript prints everything that a file means.
func transcript(groups []Group, problems []Problem) string {
	var b strings.Builder
	for _, g := range groups {
		fmt.Fprintf(&b, "line %d: %s\n", g.Line, g.Owner)
		for _, r := range g.Resources {
			fmt.Fprintf(&b, "\t%d %s: %s %q\n", r.Line, r.Text, r.Script, r.Args)
		}
	}
	for _, p := range problems {
		fmt.Fprintf(&b, "! %s\n", p)
	}
	return b.String()
}

// Each file of testdata has the input, `----` and what comes out of it.
func TestFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		input, want, _ := strings.Cut(string(text), "----\n")
		got := transcript(Parse("haresources", []byte(input)))
		if os.Getenv("REWRITE") != "" {
			if err := os.WriteFile(file, []byte(input+"----\n"+got), 0o644); err != nil {
				t.Fatal(err)
			}
		} else if got != want {
			t.Errorf("%s:\n%s\nwant\n%s", file, got, want)
		}
	}
}

func TestLineEnds(t *testing.T) {
	groups, problems := Parse("f", []byte("node1 a \\\r\n b\r\nnode2 c\\"))
	want := "line 1: node1\n\t1 a: a []\n\t2 b: b []\nline 3: node2\n\t3 c: c []\n! f:3: the last line ends in \"\\\", but nothing follows: remove the backslash\n"
	if got := transcript(groups, problems); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestOfAndFind(t *testing.T) {
	groups, _ := Parse("f", []byte("node1 a b\nNode2 c\nnode1 d\n"))
	if own := Of(groups, "NODE1", true); len(own) != 2 || own[1].Key() != "d" {
		t.Errorf("own groups: %v", own)
	}
	if other := Of(groups, "node1", false); len(other) != 1 || other[0].String() != "node2 c" {
		t.Errorf("other groups: %v", other)
	}
	if g, ok := Find(groups, "b"); !ok || g.Key() != "a" {
		t.Errorf("group with b: %v %v", g, ok)
	}
	if _, ok := Find(groups, "x"); ok {
		t.Error("found a group with x")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("node1 10.0.0.1/24/eth0 Filesystem::/dev/sdb::/srv::ext4\nnode2 a\\\n b # c\n"))
	f.Add([]byte("n ::x\nn /x\n\\\n\\"))
	f.Fuzz(func(t *testing.T, text []byte) {
		groups, problems := Parse("f", text)
		lines := strings.Count(string(text), "\n") + 1
		for _, p := range problems {
			if p.Line < 1 || p.Line > lines || p.Text == "" {
				t.Errorf("problem %v in a file of %d lines", p, lines)
			}
		}
		var b strings.Builder
		for _, g := range groups {
			if g.Owner == "" || g.Key() == "" || g.Line < 1 || g.Line > lines {
				t.Errorf("group %+v", g)
			}
			for _, r := range g.Resources {
				if r.Script == "" || r.Line < g.Line || r.Line > lines {
					t.Errorf("resource %+v of the group of line %d", r, g.Line)
				}
			}
			b.WriteString(g.String() + "\n")
		}
		if strings.Contains(b.String(), "\\\n") {
			return // would be a continuation
		}
		// What is written out means the same.
		again, _ := Parse("f", []byte(b.String()))
		if len(again) != len(groups) {
			t.Fatalf("%d groups of %d come back", len(again), len(groups))
		}
		for i := range again {
			if again[i].String() != groups[i].String() {
				t.Errorf("group %q comes back as %q", groups[i], again[i])
			}
		}
	})
}
