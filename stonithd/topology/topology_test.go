package topology

import (
	"fmt"
	"slices"
	"testing"
)

// outcomes reads "0:a off ok" like rows.
func ok(level int, dev string, p Phase) Outcome {
	return Outcome{Level: level, Device: dev, Phase: p, OK: true}
}

func bad(level int, dev string, p Phase) Outcome { return Outcome{Level: level, Device: dev, Phase: p} }

func TestNext(t *testing.T) {
	two := [][]string{{"a", "b"}, {"c"}}
	skipB := func(d string) bool { return d == "b" }
	for _, tc := range []struct {
		name    string
		levels  [][]string
		action  string
		tried   []Outcome
		skip    func(string) bool
		want    Attempt
		verdict Verdict
	}{
		{"first device of the first level", two, "off", nil, nil, Attempt{0, "a", PhaseWhole}, Open},
		{"second device of a level", two, "off", []Outcome{ok(0, "a", PhaseWhole)}, nil, Attempt{0, "b", PhaseWhole}, Open},
		{"level complete", two, "off", []Outcome{ok(0, "a", PhaseWhole), ok(0, "b", PhaseWhole)}, nil, Attempt{}, Succeeded},
		{"a failure leads to the next level at once", two, "off", []Outcome{bad(0, "a", PhaseWhole)}, nil, Attempt{1, "c", PhaseWhole}, Open},
		{"a late failure too", two, "off", []Outcome{ok(0, "a", PhaseWhole), bad(0, "b", PhaseWhole)}, nil, Attempt{1, "c", PhaseWhole}, Open},
		{"all levels failed", two, "off", []Outcome{bad(0, "a", PhaseWhole), bad(1, "c", PhaseWhole)}, nil, Attempt{}, Exhausted},
		{"no levels", nil, "off", nil, nil, Attempt{}, Exhausted},
		{"reboot by two devices begins with off", two, "reboot", nil, nil, Attempt{0, "a", PhaseOff}, Open},
		{"off for all before on for any", two, "reboot", []Outcome{ok(0, "a", PhaseOff)}, nil, Attempt{0, "b", PhaseOff}, Open},
		{"then on", two, "reboot", []Outcome{ok(0, "a", PhaseOff), ok(0, "b", PhaseOff)}, nil, Attempt{0, "a", PhaseOn}, Open},
		{"a failed on is ignored", two, "reboot", []Outcome{ok(0, "a", PhaseOff), ok(0, "b", PhaseOff), bad(0, "a", PhaseOn)}, nil, Attempt{0, "b", PhaseOn}, Open},
		{"devices without part in on", two, "reboot", []Outcome{ok(0, "a", PhaseOff), ok(0, "b", PhaseOff), ok(0, "a", PhaseOn)}, skipB, Attempt{}, Succeeded},
		{"a level of one device really reboots", two, "reboot", []Outcome{ok(0, "a", PhaseOff), bad(0, "b", PhaseOff)}, nil, Attempt{1, "c", PhaseWhole}, Open},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, verdict := Next(tc.levels, tc.action, tc.tried, tc.skip)
			if got != tc.want || verdict != tc.verdict {
				t.Errorf("got %+v, %v; want %+v, %v", got, verdict, tc.want, tc.verdict)
			}
		})
	}
}

func TestLookup(t *testing.T) {
	var table Table
	add := func(l Level) {
		t.Helper()
		if err := table.Add(l); err != nil {
			t.Fatal(err)
		}
	}
	add(Level{Index: 2, Target: "node1", Devices: []string{"second"}})
	add(Level{Index: 1, Target: "node1", Devices: []string{"first"}})
	add(Level{Index: 1, Target: "node1", Devices: []string{"also"}})
	add(Level{Index: 1, Pattern: "^rack.*", Devices: []string{"pdu"}})
	add(Level{Index: 1, Attribute: "site", Value: "b", Devices: []string{"remote"}})
	site := func(string) string { return "b" }
	for _, tc := range []struct {
		target string
		attr   func(string) string
		want   string
	}{
		{"node1", nil, "[[first also] [second]]"},
		{"NODE1", nil, "[[first also] [second]]"},
		{"rack-7", nil, "[[pdu]]"},
		{"other", nil, "[]"},
		{"other", site, "[[remote]]"},
	} {
		if got := fmt.Sprint(table.Lookup(tc.target, tc.attr)); got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.target, got, tc.want)
		}
	}
	table.Remove("node1", 1)
	if got := table.Lookup("node1", nil); !slices.EqualFunc(got, [][]string{{"second"}}, slices.Equal) {
		t.Errorf("after removing level 1: %v", got)
	}
	table.Remove("node1", 0)
	if got := table.Lookup("node1", nil); got != nil {
		t.Errorf("after removing all: %v", got)
	}
	for _, l := range []Level{{Index: 0, Target: "x"}, {Index: 10, Target: "x"}, {Index: 1}, {Index: 1, Pattern: "("}} {
		if err := table.Add(l); err == nil {
			t.Errorf("%+v was accepted", l)
		}
	}
}
