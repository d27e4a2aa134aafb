package history

import (
	"encoding/xml"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Metadata is what the controller reads from an agent's meta-data (execution 7.3).
type Metadata struct {
	reloadAgent bool     // it can take changed parameters without a restart
	reloadOld   bool     // the older form of that, by unique="1"
	fixed       []string // parameters not marked reloadable, in reverse order
	unique      []string
	private     []string
}

// ParseMetadata reads an agent's meta-data.
func ParseMetadata(data []byte) (*Metadata, error) {
	var doc struct {
		Version    string `xml:"version"`
		Parameters []struct {
			Name       string `xml:"name,attr"`
			Unique     string `xml:"unique,attr"`
			Reloadable string `xml:"reloadable,attr"`
			Private    string `xml:"private,attr"`
		} `xml:"parameters>parameter"`
		Actions []struct {
			Name string `xml:"name,attr"`
		} `xml:"actions>action"`
	}
	if err := xml.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("read agent meta-data: %w", err)
	}
	m := &Metadata{}
	modern := atLeast11(strings.TrimSpace(doc.Version))
	for _, a := range doc.Actions {
		m.reloadAgent = m.reloadAgent || modern && a.Name == "reload-agent"
		m.reloadOld = m.reloadOld || !modern && a.Name == "reload"
	}
	var usual []string
	for _, p := range slices.Backward(doc.Parameters) {
		if p.Reloadable != "1" {
			m.fixed = append(m.fixed, p.Name)
		}
		if p.Unique == "1" {
			m.unique = append(m.unique, p.Name)
		}
		if p.Private == "1" {
			m.private = append(m.private, p.Name)
		}
		if p.Name == "password" || p.Name == "passwd" || p.Name == "user" {
			usual = append(usual, p.Name)
		}
	}
	if len(m.private) == 0 {
		m.private = usual
	}
	return m, nil
}

func atLeast11(version string) bool {
	major, minor, _ := strings.Cut(version, ".")
	minor, _, _ = strings.Cut(minor, ".")
	a, errA := strconv.Atoi(major)
	b, errB := strconv.Atoi(minor)
	return errA == nil && (a > 1 || a == 1 && errB == nil && b >= 1)
}

// lists adds the restart and secure lists of crm 4.9 for a request.
func (m *Metadata) lists(r *Record, params map[string]string, recurring bool) {
	set := filter(params)
	if !recurring && (m.reloadAgent || m.reloadOld) {
		names := m.fixed
		if !m.reloadAgent {
			names = m.unique
		}
		r.set("op-force-restart", nameList(names))
		only := map[string]string{}
		for _, n := range names {
			if v, ok := set[n]; ok {
				only[n] = v
			}
		}
		r.set("op-restart-digest", digest(only))
	}
	if len(m.private) > 0 {
		r.set("op-secure-params", nameList(m.private))
		for _, n := range m.private {
			delete(set, n)
		}
		r.set("op-secure-digest", digest(set))
	}
}

func nameList(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return "  " + strings.Join(names, " ") + "  "
}
