package clidiff

import (
	"slices"
	"testing"
)

func TestParse(t *testing.T) {
	cases, err := Parse("cases/x.txt", []byte(`# a comment
cib: full
a {-x,--long y,} 'b {c,d}' "e'f"
meant: for a reason
B=1 c -z < in.xml
+d{1,{2,3}}

cib:
e ''
`))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range cases {
		text := c.Where + " " + c.CIB + " | " + c.String() + " | " + c.Meant
		for _, b := range c.After {
			text += " after " + b.String()
		}
		got = append(got, text)
	}
	want := []string{
		`x.txt:3 full | a -x 'b {c,d}' 'e'\''f' | `,
		`x.txt:3 full | a --long y 'b {c,d}' 'e'\''f' | `,
		`x.txt:3 full | a 'b {c,d}' 'e'\''f' | `,
		`x.txt:5 full | B=1 c -z < in.xml | for a reason`,
		`x.txt:6 full | d1 | for a reason after B=1 c -z < in.xml`,
		`x.txt:6 full | d2 | for a reason after B=1 c -z < in.xml`,
		`x.txt:6 full | d3 | for a reason after B=1 c -z < in.xml`,
		`x.txt:9  | e '' | `,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got:")
		for _, g := range got {
			t.Error(g)
		}
	}
	for _, wrong := range []string{"a 'b", "a {b", "+a", "X=1"} {
		if c, err := Parse("x", []byte(wrong)); err == nil {
			t.Errorf("%q is taken for %v", wrong, c)
		}
	}
}

func TestCasesAreWellFormed(t *testing.T) {
	cases, err := Cases()
	if err != nil || len(cases) < 1000 {
		t.Errorf("%d cases: %v", len(cases), err)
	}
}

func TestLines(t *testing.T) {
	if got := Lines("a\nb\nc\n", "a\nx\nc\nd\n"); got != "    - b\n    + x\n    + d\n" {
		t.Errorf("%q", got)
	}
}
