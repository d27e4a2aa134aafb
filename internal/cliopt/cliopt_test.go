package cliopt

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	opts := []Option{
		{Short: '1', Long: "one-shot"},
		{Short: 'r', Long: "inactive"},
		{Short: 'n', Long: "name", Arg: RequiredArg},
		{Short: 'm', Long: "fence-history", Arg: OptionalArg},
		{Short: 'N', Long: "node", Arg: RequiredArg},
		{Short: '$', Long: "version"},
	}
	for _, tc := range []struct {
		name string
		old  bool
		args string
		want string // "long=value long | operands" or the error
	}{
		{"clustered", false, "-1rn foo x", "one-shot inactive name=foo | x"},
		{"attached value", false, "-nfoo", "name=foo |"},
		{"long with equals", false, "--name=a=b --inactive", "name=a=b inactive |"},
		{"long with word", false, "--name -1", "name=-1 |"},
		{"negative number", false, "-- -1013", "| -1013"},
		{"negative number without dashes", false, "-13", "| -13"},
		{"digit option", false, "-1", "one-shot |"},
		{"optional as word", false, "-m 3", "fence-history=3 |"},
		{"optional attached is a mistake", false, "-m3", "Unknown option -3"},
		{"optional long without value", false, "--fence-history x", "fence-history | x"},
		{"no abbreviations in the new family", false, "--inact", "Unknown option --inact"},
		{"abbreviation in the old family", true, "--inact", "inactive |"},
		{"ambiguous abbreviation", true, "--n x", "option '--n' is ambiguous; possibilities: '--name' '--node'"},
		{"unknown", false, "-1x", "Unknown option -x"},
		{"missing value", false, "-n", "Missing argument for -n"},
		{"version", false, "-$", "version |"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := &Spec{Tool: "t", Old: tc.old, Options: opts}
			var got string
			if p, err := s.Parse(strings.Fields(tc.args)); err != nil {
				got = err.Error()
			} else {
				for _, g := range p.Given {
					got += g.Long
					if g.HasValue {
						got += "=" + g.Value
					}
					got += " "
				}
				got = strings.TrimSpace(got + "| " + strings.Join(p.Operands, " "))
			}
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestHelpNamesEveryOption(t *testing.T) {
	s := &Spec{Tool: "t", Synopsis: "[options]", Options: []Option{{Short: 'n', Long: "name", Arg: RequiredArg, Name: "NAME", Help: "the name"}, {Long: "all", Group: "More"}}}
	h := s.Help()
	for _, want := range []string{"-n, --name=NAME", "the name", "--all", "More:"} {
		if !strings.Contains(h, want) {
			t.Errorf("help lacks %q:\n%s", want, h)
		}
	}
}
