package quorum

import (
	"strings"
	"testing"
)

// nodes reads "a b:200 c".
func nodes(t *testing.T, s string) (all []Node) {
	t.Helper()
	for f := range strings.FieldsSeq(s) {
		name, weight, _ := strings.Cut(f, ":")
		n := Node{Name: name}
		for _, d := range weight {
			n.Weight = n.Weight*10 + int(d-'0')
		}
		all = append(all, n)
	}
	return all
}

func TestQuorate(t *testing.T) {
	for _, test := range []struct {
		plugins, members, configured string
		want                         bool
	}{
		{"", "a", "a", true},
		{"", "a", "a b", true}, // tie broken by twonodes
		{"", "a", "a b c", false},
		{"", "a b", "a b c", true},
		{"", "a b", "a b c d", false}, // tie, and twonodes says no
		{"", "a b c", "a b c d", true},
		{"", "a b c", "a b c d e", true},
		{"", "a b", "a b c d e", false},
		{"majority", "a", "a b", false},
		{"twonodes", "a", "a b", true},
		{"twonodes", "a b c", "a b c", false},
		{"weight", "a", "a:300 b c", true},
		{"weight", "b c", "a:300 b c", false},
		{"weight", "b c", "a:200 b c", false},                     // tie, nobody breaks it
		{"weight:majority", "b c", "a:200 b c", true},             // tie, then majority
		{"majority:weight", "a b", "a:200 b c d", true},           // tie, then weight
		{"majority:weight:twonodes", "c d", "a:200 b c d", false}, // tie, then weight says no
		{"", "a x", "a b c", false},                               // two of four
		{"", "", "", false},
	} {
		plugins, err := Parse(test.plugins)
		if err != nil {
			t.Fatal(err)
		}
		if got := Quorate(plugins, strings.Fields(test.members), nodes(t, test.configured), false); got != test.want {
			t.Errorf("%q: [%s] of [%s]: quorate %v, want %v", test.plugins, test.members, test.configured, got, test.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	if _, err := Parse("majority:coin"); err == nil || !strings.Contains(err.Error(), `"coin"`) {
		t.Errorf("error %v, want one that names coin", err)
	}
}

func TestWaitForAll(t *testing.T) {
	c := New(Options{WaitForAll: true})
	configured := nodes(t, "a b")
	for i, step := range []struct {
		members string
		want    bool
	}{
		{"a", false}, {"a b", true}, {"a", true},
	} {
		if got := c.View(strings.Fields(step.members), configured); got != step.want {
			t.Errorf("step %d [%s]: quorate %v, want %v", i, step.members, got, step.want)
		}
	}
}
