package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"linuxha/deploy/lab"
)

// A note is a line that the test agent wrote.
type note struct {
	at       int64
	node     string
	resource string
	what     string
}

// A stay is the time during which a resource was active on a node, as wide as
// can be: from the begin of its start to the end of its stop, or to the
// node's death.
type stay struct {
	resource, node string
	from, to       int64 // to 0: still
}

func (s stay) String() string {
	to := "now"
	if s.to != 0 {
		to = time.Unix(0, s.to).Format("15:04:05.000")
	}
	return fmt.Sprintf("%s on %s from %s to %s", s.resource, s.node, time.Unix(0, s.from).Format("15:04:05.000"), to)
}

// stays turns the agents' notes and the nodes' deaths into stays.
func stays(notes []note, deaths []note) []stay {
	all := append(slices.Clone(notes), deaths...)
	slices.SortStableFunc(all, func(a, b note) int { return int(a.at - b.at) })
	var out []stay
	open := map[[2]string]int{} // index into out
	for _, n := range all {
		key := [2]string{n.resource, n.node}
		i, isOpen := open[key]
		switch n.what {
		case "start-begin":
			if !isOpen {
				open[key] = len(out)
				out = append(out, stay{n.resource, n.node, n.at, 0})
			}
		case "stop-end", "start-failed":
			if isOpen {
				out[i].to = n.at
				delete(open, key)
			}
		case "death":
			for k, i := range open {
				if k[1] == n.node {
					out[i].to = n.at
					delete(open, k)
				}
			}
		}
	}
	return out
}

// doubled lists pairs of stays of one resource on two nodes that overlap;
// resources whose name begins with "clone" may run everywhere.
func doubled(all []stay) []string {
	var out []string
	for i, a := range all {
		for _, b := range all[i+1:] {
			if a.resource != b.resource || a.node == b.node || strings.HasPrefix(a.resource, "clone") {
				continue
			}
			if (b.to == 0 || a.from < b.to) && (a.to == 0 || b.from < a.to) {
				out = append(out, a.String()+"; "+b.String())
			}
		}
	}
	return out
}

func parseNotes(path string) ([]note, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []note
	sc := bufio.NewScanner(f)
	for sc.Scan() {
		var n note
		if _, err := fmt.Sscan(sc.Text(), &n.at, &n.node, &n.resource, &n.what); err != nil {
			return nil, fmt.Errorf("%s: %q: %w", path, sc.Text(), err)
		}
		out = append(out, n)
	}
	return out, sc.Err()
}

// history is what the agents wrote down and when nodes died.
func (c *cluster) history() (notes, deaths []note, err error) {
	if notes, err = parseNotes(filepath.Join(c.SharedDir(), "record")); err != nil {
		return nil, nil, err
	}
	f, err := os.Open(c.EventFile())
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	events, err := lab.ReadEvents(f)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range events {
		if e.Kind == "kill" || e.Kind == "fenced" {
			deaths = append(deaths, note{at: e.AtNS, node: e.Node, what: "death"})
		}
	}
	return notes, deaths, nil
}

// violations are the times at which a resource was active on two nodes.
func (c *cluster) violations() []string {
	notes, deaths, err := c.history()
	if err != nil {
		return []string{"the record cannot be read: " + err.Error()}
	}
	return doubled(stays(notes, deaths))
}

// count is how often a resource's action got to a point ("start-end") since a time.
func (c *cluster) count(resource, what string, since time.Time) int {
	c.t.Helper()
	notes, _, err := c.history()
	c.must(err)
	n := 0
	for _, e := range notes {
		if e.resource == resource && e.what == what && e.at >= since.UnixNano() {
			n++
		}
	}
	return n
}

// disagreements finds views of one number and coordinator that were installed
// at the same time with different members (architecture, promise 2). A
// coordinator that starts anew may use its numbers again, later.
func disagreements(events []lab.Event) []string {
	views := map[string][]lab.Event{}
	for _, e := range events {
		if e.Kind == lab.SeenView {
			key := e.Attr["view"] + " of " + e.Attr["coordinator"]
			views[key] = append(views[key], e)
		}
	}
	var out []string
	for key, seen := range views {
		for i, a := range seen {
			for _, b := range seen[i+1:] {
				if a.Node != b.Node && a.Attr["members"] != b.Attr["members"] && b.At().Sub(a.At()).Abs() < 300*time.Millisecond {
					out = append(out, fmt.Sprintf("%s is %s on %s and %s on %s", key, a.Attr["members"], a.Node, b.Attr["members"], b.Node))
				}
			}
		}
	}
	return out
}

// forks finds copies of the CIB that have one version and differ (promise 3).
func (c *cluster) forks() []string {
	type copy struct{ node, digest string }
	copies := map[string]copy{}
	var out []string
	for _, n := range c.Nodes() {
		if !n.Running() {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		s, err := cibStatus(ctx, n)
		cancel()
		if err != nil {
			continue // it has just been killed, or starts
		}
		v := s.GetVersion()
		version := fmt.Sprintf("%d.%d.%d", v.GetAdminEpoch(), v.GetEpoch(), v.GetNumUpdates())
		if other, ok := copies[version]; ok && other.digest != s.GetDigest() && s.GetReady() {
			out = append(out, fmt.Sprintf("version %s is %s on %s and %s on %s", version, other.digest, other.node, s.GetDigest(), n.Name))
		}
		if s.GetReady() {
			copies[version] = copy{n.Name, s.GetDigest()}
		}
	}
	return out
}

// TestRecord proves that the judge finds what it must find.
func TestRecord(t *testing.T) {
	for _, c := range []struct {
		name   string
		notes  string // time node what
		deaths string // time node
		want   int
	}{
		{"moves", "1 a start-begin\n2 a start-end\n3 a stop-begin\n4 a stop-end\n5 b start-begin", "", 0},
		{"starts before the stop ended", "1 a start-begin\n3 a stop-begin\n4 b start-begin\n5 a stop-end", "", 1},
		{"starts while the other still runs", "1 a start-begin\n4 b start-begin", "", 1},
		{"starts after the node died", "1 a start-begin\n4 b start-begin", "3 a", 0},
		{"starts before the node died", "1 a start-begin\n4 b start-begin", "5 a", 1},
		{"a failed start ends", "1 a start-begin\n2 a start-failed\n4 b start-begin", "", 0},
		{"a failed stop does not end", "1 a start-begin\n2 a stop-begin\n4 b start-begin", "", 1},
		{"back again", "1 a start-begin\n4 b start-begin\n5 b stop-end\n6 a start-begin", "3 a", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var notes, deaths []note
			for l := range strings.Lines(c.notes) {
				n := note{resource: "r"}
				fmt.Sscan(l, &n.at, &n.node, &n.what)
				notes = append(notes, n)
			}
			for l := range strings.Lines(c.deaths) {
				n := note{what: "death"}
				fmt.Sscan(l, &n.at, &n.node)
				deaths = append(deaths, n)
			}
			if got := doubled(stays(notes, deaths)); len(got) != c.want {
				t.Errorf("found %v, want %d", got, c.want)
			}
		})
	}
}

// TestDisagreements does so for views.
func TestDisagreements(t *testing.T) {
	view := func(node, members string, ms int64) lab.Event {
		return lab.Event{AtNS: ms * 1e6, Kind: lab.SeenView, Node: node, Attr: map[string]string{"view": "3", "coordinator": "a", "members": members}}
	}
	for _, c := range []struct {
		name string
		b    lab.Event
		want int
	}{
		{"the same", view("b", "[a b]", 1), 0},
		{"another set of members", view("b", "[a b c]", 1), 1},
		{"a later life of the coordinator", view("b", "[a b c]", 1000), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := disagreements([]lab.Event{view("a", "[a b]", 0), c.b}); len(got) != c.want {
				t.Errorf("found %v, want %d", got, c.want)
			}
		})
	}
}
