// Package cliopt parses command lines as the reference tools do (clients 1.4):
// clustered short options with attached values, negative numbers as operands,
// abbreviated long options in the old family only, and the same texts and exit
// status for mistakes. A tool describes its options once, in a Spec.
package cliopt

import (
	"fmt"
	"strings"
)

// Arg says whether an option takes a value.
type Arg int

// The three kinds of options.
const (
	NoArg Arg = iota
	RequiredArg
	OptionalArg // needs `=` (long); a short one takes the next word if that is no option
)

// Option is one option of a tool.
type Option struct {
	Short rune   // 0: none
	Long  string // without dashes; "": none
	Arg   Arg
	Name  string // the value's name in the help text
	Help  string
	Group string // heading in the help text; "": the main list
}

// Spec is a tool's command line.
type Spec struct {
	Tool     string
	Synopsis string // what follows the name in the usage line
	Summary  string // one paragraph
	Old      bool   // getopt family: cibadmin, crm_shadow
	Options  []Option
}

// Given is one option as it stood on the command line.
type Given struct {
	*Option
	Value    string
	HasValue bool
}

// Parsed is a command line taken apart, in its order.
type Parsed struct {
	Given    []Given
	Operands []string
}

// UsageError is a mistake on the command line; tools print it and exit 64.
type UsageError struct{ Text string }

func (e *UsageError) Error() string { return e.Text }

// Parse takes args (without the program name) apart.
func (s *Spec) Parse(args []string) (*Parsed, error) {
	p := &Parsed{}
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case a == "--":
			p.Operands = append(p.Operands, args[i+1:]...)
			return p, nil
		case strings.HasPrefix(a, "--"):
			used, err := s.long(p, a[2:], args[i+1:])
			if err != nil {
				return nil, err
			}
			i += used
		case len(a) > 1 && a[0] == '-' && !negativeNumber(a, s):
			used, err := s.short(p, a[1:], args[i+1:])
			if err != nil {
				return nil, err
			}
			i += used
		default:
			p.Operands = append(p.Operands, a)
		}
	}
	return p, nil
}

// negativeNumber: -1..-9 followed by digits only is a value, not options,
// unless the tool has that digit as an option and the word is just it (crm_mon -1).
func negativeNumber(a string, s *Spec) bool {
	for _, r := range a[1:] {
		if r < '0' || r > '9' {
			return false
		}
	}
	return len(a) > 2 || s.byShort(rune(a[1])) == nil
}

func (s *Spec) byShort(r rune) *Option {
	for i := range s.Options {
		if s.Options[i].Short == r {
			return &s.Options[i]
		}
	}
	return nil
}

func (s *Spec) byLong(name string) *Option {
	all := s.meant(name)
	if len(all) != 1 {
		return nil
	}
	return all[0]
}

// meant are the options that a long name may stand for: the one of that name,
// or in the old family all that begin with it.
func (s *Spec) meant(name string) []*Option {
	var found []*Option
	for i := range s.Options {
		o := &s.Options[i]
		if o.Long == "" {
			continue
		}
		if o.Long == name {
			return []*Option{o}
		}
		if s.Old && strings.HasPrefix(o.Long, name) {
			found = append(found, o)
		}
	}
	return found
}

// mistake words a mistake as the tool's family does: the old one as getopt.
func (s *Spec) mistake(old, new string, args ...any) error {
	if s.Old {
		return &UsageError{fmt.Sprintf(old, args...)}
	}
	return &UsageError{fmt.Sprintf(new, args...)}
}

func (s *Spec) unknown(word string) error {
	name, _, _ := strings.Cut(word, "=")
	all := s.meant(name)
	if len(all) < 2 {
		return s.mistake("unrecognized option '--%s'", "Unknown option --%s", word)
	}
	var b strings.Builder
	for _, o := range all {
		fmt.Fprintf(&b, " '--%s'", o.Long)
	}
	return &UsageError{fmt.Sprintf("option '--%s' is ambiguous; possibilities:%s", name, b.String())}
}

func (s *Spec) long(p *Parsed, word string, rest []string) (used int, err error) {
	name, value, has := strings.Cut(word, "=")
	o := s.byLong(name)
	if o == nil {
		return 0, s.unknown(word)
	}
	if o.Arg == NoArg && has {
		return 0, s.mistake("option '--%s' doesn't allow an argument", "Option --%s takes no value", o.Long)
	}
	if o.Arg == RequiredArg && !has {
		if len(rest) == 0 {
			return 0, s.mistake("option '--%s' requires an argument", "Missing argument for --%s", o.Long)
		}
		value, has, used = rest[0], true, 1
	}
	p.Given = append(p.Given, Given{Option: o, Value: value, HasValue: has})
	return used, nil
}

func (s *Spec) short(p *Parsed, cluster string, rest []string) (used int, err error) {
	runes := []rune(cluster)
	for i, r := range runes {
		o := s.byShort(r)
		if o == nil {
			return 0, s.mistake("invalid option -- '%c'", "Unknown option -%c", r)
		}
		tail := string(runes[i+1:])
		switch {
		case o.Arg == NoArg:
			p.Given = append(p.Given, Given{Option: o})
			continue
		case tail != "" && o.Arg == RequiredArg:
			p.Given = append(p.Given, Given{Option: o, Value: tail, HasValue: true})
			return 0, nil
		case o.Arg == RequiredArg:
			if len(rest) == 0 {
				return 0, s.mistake("option requires an argument -- '%c'", "Missing argument for -%c", r)
			}
			p.Given = append(p.Given, Given{Option: o, Value: rest[0], HasValue: true})
			return 1, nil
		case tail == "" && len(rest) > 0 && !strings.HasPrefix(rest[0], "-"):
			p.Given = append(p.Given, Given{Option: o, Value: rest[0], HasValue: true})
			return 1, nil
		default:
			p.Given = append(p.Given, Given{Option: o})
		}
	}
	return 0, nil
}

// Has reports whether the option of that long or one-letter name was given.
func (p *Parsed) Has(name string) bool { return p.last(name) != nil }

// Value returns the last value given to the option, "" if none.
func (p *Parsed) Value(name string) string {
	if g := p.last(name); g != nil {
		return g.Value
	}
	return ""
}

// Values returns all values given to the option, in order.
func (p *Parsed) Values(name string) []string {
	var out []string
	for _, g := range p.Given {
		if g.is(name) && g.HasValue {
			out = append(out, g.Value)
		}
	}
	return out
}

// Count returns how often the option was given.
func (p *Parsed) Count(name string) int {
	n := 0
	for _, g := range p.Given {
		if g.is(name) {
			n++
		}
	}
	return n
}

func (p *Parsed) last(name string) *Given {
	for i := len(p.Given) - 1; i >= 0; i-- {
		if p.Given[i].is(name) {
			return &p.Given[i]
		}
	}
	return nil
}

func (g Given) is(name string) bool {
	return name == g.Long && g.Long != "" || g.Short != 0 && name == string(g.Short)
}

// Help is the tool's help text from the same table.
func (s *Spec) Help() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage:\n  %s %s\n\n", s.Tool, s.Synopsis)
	if s.Summary != "" {
		fmt.Fprintf(&b, "%s\n\n", s.Summary)
	}
	var groups []string
	for _, o := range s.Options {
		if len(groups) == 0 || groups[len(groups)-1] != o.Group {
			groups = append(groups, o.Group)
		}
	}
	for _, g := range groups {
		title := g
		if title == "" {
			title = "Options"
		}
		fmt.Fprintf(&b, "%s:\n", title)
		for _, o := range s.Options {
			if o.Group == g {
				fmt.Fprintf(&b, "  %-30s %s\n", o.label(), o.Help)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func (o Option) label() string {
	var l string
	switch {
	case o.Short != 0 && o.Long != "":
		l = fmt.Sprintf("-%c, --%s", o.Short, o.Long)
	case o.Short != 0:
		l = fmt.Sprintf("-%c", o.Short)
	default:
		l = "    --" + o.Long
	}
	name := o.Name
	if name == "" {
		name = "VALUE"
	}
	switch o.Arg {
	case RequiredArg:
		return l + "=" + name
	case OptionalArg:
		return l + "[=" + name + "]"
	}
	return l
}
