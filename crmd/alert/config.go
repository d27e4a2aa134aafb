package alert

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"linuxha/cib/cibdoc"
	"linuxha/internal/interval"
	"linuxha/pengine/rules"
)

// Defaults of the meta-attributes (execution 16.1).
const (
	defaultTimeout = 30 * time.Second
	defaultFormat  = "%H:%M:%S.%06N"
)

// Config is the alerts section, one entry per recipient. The zero value has no
// alerts.
type Config struct{ targets []target }

// target is one recipient of one alert.
type target struct {
	id, path, recipient string
	levels              []rules.Lone // attribute sets of the alert, then of the recipient, which count more
	kinds               map[Kind]bool
	attributes          []string // names wanted; empty: all
}

// settings are what holds for a target at an instant, all inheritance done.
type settings struct {
	timeout time.Duration
	format  string
	params  map[string]string
}

// Parse reads the alerts section, nil for none. Problems are settings that
// cannot be taken as they are; the rest holds nevertheless.
func Parse(section *cibdoc.Node) (c Config, problems []string) {
	if section == nil {
		return Config{}, nil
	}
	p := parser{section: section}
	for a := range section.Elements() {
		if a.Tag == "alert" {
			c.targets = append(c.targets, p.alert(a)...)
		}
	}
	return c, p.problems
}

type parser struct {
	section  *cibdoc.Node
	problems []string
}

func (p *parser) problem(owner, format string, args ...any) {
	p.problems = append(p.problems, fmt.Sprintf("alert %s: ", owner)+fmt.Sprintf(format, args...))
}

func (p *parser) alert(a *cibdoc.Node) []target {
	base := target{
		id: a.ID(), path: a.Attr("path"),
		kinds: map[Kind]bool{Node: true, Fencing: true, Resource: true},
	}
	if !strings.HasPrefix(base.path, "/") {
		p.problem(base.id, "path %q is not absolute, the alert is not sent", base.path)
		return nil
	}
	p.take(&base, a)
	var out []target
	for r := range a.Elements() {
		if r.Tag == "recipient" {
			t := base
			t.recipient, t.levels = r.Attr("value"), slices.Clone(base.levels)
			p.take(&t, r)
			out = append(out, t)
		}
	}
	if len(out) == 0 {
		return []target{base}
	}
	return out
}

// take lays what an alert or a recipient sets over what t has.
func (p *parser) take(t *target, e *cibdoc.Node) {
	if l, err := rules.Parse(p.sets(e).Bytes()); err != nil {
		p.problem(e.ID(), "the attributes cannot be read and are ignored: %v", err)
	} else {
		t.levels = append(t.levels, l)
	}
	if s := e.Child("select"); s != nil {
		t.kinds = map[Kind]bool{
			Node: s.Child("select_nodes") != nil, Fencing: s.Child("select_fencing") != nil,
			Resource: s.Child("select_resources") != nil, Attribute: s.Child("select_attributes") != nil,
		}
		t.attributes = nil
		if names := s.Child("select_attributes"); names != nil {
			for a := range names.Elements() {
				t.attributes = append(t.attributes, a.Attr("name"))
			}
		}
	}
}

// The elements with attributes.
const (
	metaSet  = "meta_attributes"
	paramSet = "instance_attributes"
)

// sets are the attribute sets of e alone. One that refers to another must find
// it among the alerts.
func (p *parser) sets(e *cibdoc.Node) *cibdoc.Node {
	out := cibdoc.E("sets")
	for s := range e.Elements() {
		if s.Tag != metaSet && s.Tag != paramSet {
			continue
		}
		if ref := s.Attr("id-ref"); ref != "" {
			if found := p.find(s.Tag, ref); found != nil {
				s = found
			} else {
				p.problem(e.ID(), "there is no %s %s among the alerts: the reference is ignored", s.Tag, ref)
				continue
			}
		}
		out.Add(s)
		for nv := range s.Elements() {
			if text := nv.Attr("value"); s.Tag == metaSet && nv.Attr("name") == "timeout" {
				if _, ok := timeout(text); !ok {
					p.problem(e.ID(), "timeout %q is not a time above 0, using %s", text, defaultTimeout)
				}
			}
		}
	}
	return out
}

func (p *parser) find(tag, id string) (found *cibdoc.Node) {
	p.section.Walk(func(_ cibdoc.Path, n *cibdoc.Node) bool {
		if found == nil && n.IsElement() && n.Tag == tag && n.ID() == id {
			found = n
		}
		return found == nil
	})
	return found
}

// settings are what holds at an instant: rules may depend on it.
func (t target) settings(now time.Time) settings {
	s := settings{timeout: defaultTimeout, format: defaultFormat, params: map[string]string{}}
	for _, l := range t.levels {
		meta := l.Values(metaSet, now)
		if text, ok := meta["timeout"]; ok {
			s.timeout, _ = timeout(text)
		}
		if f := meta["timestamp-format"]; f != "" {
			s.format = f
		}
		maps.Copy(s.params, l.Values(paramSet, now))
	}
	return s
}

// timeout reads the meta-attribute; what is no time above 0 is the default.
func timeout(text string) (time.Duration, bool) {
	if d, ok := interval.Parse(text); ok && d > 0 {
		return d, true
	}
	return defaultTimeout, false
}
