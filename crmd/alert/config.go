package alert

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"linuxha/internal/interval"
)

// Defaults of the meta-attributes (execution 16.1).
const (
	defaultTimeout = 30 * time.Second
	defaultFormat  = "%H:%M:%S.%06N"
)

// Config is the alerts section, one entry per recipient. The zero value has no
// alerts.
type Config struct{ targets []target }

// target is one recipient of one alert, all inheritance done.
type target struct {
	id, path, recipient string
	timeout             time.Duration
	format              string
	kinds               map[Kind]bool
	attributes          []string // names wanted; empty: all
	params              map[string]string
}

type xmlNVPair struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type xmlSet struct {
	ID    string      `xml:"id,attr"`
	Score string      `xml:"score,attr"`
	Rules []struct{}  `xml:"rule"`
	Pairs []xmlNVPair `xml:"nvpair"`
}

type xmlSelect struct {
	Nodes      *struct{} `xml:"select_nodes"`
	Fencing    *struct{} `xml:"select_fencing"`
	Resources  *struct{} `xml:"select_resources"`
	Attributes *struct {
		Names []struct {
			Name string `xml:"name,attr"`
		} `xml:"attribute"`
	} `xml:"select_attributes"`
}

// xmlCommon is what alerts and recipients both may have.
type xmlCommon struct {
	ID       string     `xml:"id,attr"`
	Meta     []xmlSet   `xml:"meta_attributes"`
	Instance []xmlSet   `xml:"instance_attributes"`
	Select   *xmlSelect `xml:"select"`
}

type xmlAlerts struct {
	Alerts []struct {
		xmlCommon
		Path       string `xml:"path,attr"`
		Recipients []struct {
			xmlCommon
			Value string `xml:"value,attr"`
		} `xml:"recipient"`
	} `xml:"alert"`
}

// Parse reads the alerts section out of a CIB, its configuration section or
// the alerts section alone; a document without one has no alerts. Problems are
// settings that cannot be taken as they are; the rest holds nevertheless.
func Parse(doc []byte) (c Config, problems []string, err error) {
	section, err := find(doc)
	if err != nil {
		return Config{}, nil, fmt.Errorf("read the alerts section: %w", err)
	}
	for _, a := range section.Alerts {
		base := target{
			id: a.ID, path: a.Path, timeout: defaultTimeout, format: defaultFormat, params: map[string]string{},
			kinds: map[Kind]bool{Node: true, Fencing: true, Resource: true},
		}
		if !strings.HasPrefix(a.Path, "/") {
			problems = append(problems, fmt.Sprintf("alert %s: path %q is not absolute, the alert is not sent", a.ID, a.Path))
			continue
		}
		problems = append(problems, base.take(a.xmlCommon)...)
		if len(a.Recipients) == 0 {
			c.targets = append(c.targets, base)
		}
		for _, r := range a.Recipients {
			t := base
			t.params = maps.Clone(base.params)
			t.recipient = r.Value
			problems = append(problems, t.take(r.xmlCommon)...)
			t.id = a.ID
			c.targets = append(c.targets, t)
		}
	}
	return c, problems, nil
}

// find decodes the first element named alerts.
func find(doc []byte) (xmlAlerts, error) {
	var section xmlAlerts
	d := xml.NewDecoder(bytes.NewReader(doc))
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			return section, nil
		}
		if err != nil {
			return section, err
		}
		start, ok := tok.(xml.StartElement)
		if !ok {
			continue
		}
		switch start.Name.Local {
		case "alerts":
			return section, d.DecodeElement(&section, &start)
		case "cib", "configuration":
		default:
			if err := d.Skip(); err != nil {
				return section, err
			}
		}
	}
}

// take lays an element's own settings over what the target has.
func (t *target) take(e xmlCommon) (problems []string) {
	meta, p := values(e.ID, e.Meta)
	problems = append(problems, p...)
	if text, ok := meta["timeout"]; ok {
		t.timeout = defaultTimeout
		if d, ok := interval.Parse(text); ok && d > 0 {
			t.timeout = d
		} else {
			problems = append(problems, fmt.Sprintf("alert %s: timeout %q is not a time above 0, using %s", e.ID, text, defaultTimeout))
		}
	}
	if f := meta["timestamp-format"]; f != "" {
		t.format = f
	}
	params, p := values(e.ID, e.Instance)
	problems = append(problems, p...)
	maps.Copy(t.params, params)
	if s := e.Select; s != nil {
		t.kinds = map[Kind]bool{
			Node: s.Nodes != nil, Fencing: s.Fencing != nil, Resource: s.Resources != nil, Attribute: s.Attributes != nil,
		}
		t.attributes = nil
		if s.Attributes != nil {
			for _, a := range s.Attributes.Names {
				t.attributes = append(t.attributes, a.Name)
			}
		}
	}
	return problems
}

// values merges attribute sets: of a name that is in several the one of the
// highest score counts, of equal ones the first.
func values(owner string, sets []xmlSet) (out map[string]string, problems []string) {
	sets = slices.Clone(sets)
	slices.SortStableFunc(sets, func(a, b xmlSet) int { return score(b.Score) - score(a.Score) })
	out = map[string]string{}
	for _, s := range sets {
		if len(s.Rules) > 0 {
			problems = append(problems, fmt.Sprintf("alert %s: attribute set %s has a rule, which is not supported for alerts: the set is ignored", owner, s.ID))
			continue
		}
		for _, p := range s.Pairs {
			if _, have := out[p.Name]; !have {
				out[p.Name] = p.Value
			}
		}
	}
	return out, problems
}

func score(text string) int {
	const infinity = 1000000
	switch text {
	case "INFINITY", "+INFINITY":
		return infinity
	case "-INFINITY":
		return -infinity
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0 // absent
	}
	return max(-infinity, min(n, infinity))
}
