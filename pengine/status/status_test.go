package status_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"linuxha/pengine/state"
	"linuxha/pengine/status"
)

var update = flag.Bool("update", false, "write the golden files anew; read the difference before you commit it")

// now is ten minutes after what the histories in testdata record.
var now = time.Unix(1700000600, 0)

func load(t *testing.T, name string) *state.Cluster {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".xml"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := status.Load(b, now)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestGolden holds every list of every CIB in testdata to NAME.txt.
func TestGolden(t *testing.T) {
	for _, name := range []string{"harbour", "troubles", "empty"} {
		t.Run(name, func(t *testing.T) {
			c := load(t, name)
			var b bytes.Buffer
			list := func(title string, items []status.Item) {
				fmt.Fprintf(&b, "== %s\n", title)
				if err := status.Write(&b, 1, items); err != nil {
					t.Fatal(err)
				}
			}
			list("nodes", status.Nodes(c))
			for _, v := range []struct {
				title string
				o     status.Options
			}{
				{"active", status.Options{Pending: true}},
				{"all", status.Options{Pending: true, Inactive: true}},
				{"all, without what is under way", status.Options{Inactive: true}},
				{"all, in detail", status.Options{Pending: true, Inactive: true, Detail: true}},
				{"all, counted", status.Options{Pending: true, Inactive: true, Brief: true}},
				{"incomplete", status.Options{Pending: true, Inactive: true, Incomplete: true}},
			} {
				list(v.title, status.Resources(c, v.o))
			}
			var attrs []status.Item
			for _, n := range c.Nodes {
				for _, name := range status.Attributes(n) {
					attrs = append(attrs, status.Item{Text: n.Name + " " + status.AttributeText(c, n, name)})
				}
			}
			list("attributes", attrs)
			file := filepath.Join("testdata", name+".txt")
			if *update {
				if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got := b.String(); got != string(want) {
				t.Errorf("not as in %s:\n%s", file, got)
			}
		})
	}
}

// TestSelection: what of a list is left for which names.
func TestSelection(t *testing.T) {
	c := load(t, "harbour")
	titles := func(items []status.Item) string {
		var names []string
		for _, it := range items {
			name, _, _ := strings.Cut(strings.TrimPrefix(it.Text, "Resource Group: "), "\t")
			names = append(names, strings.Fields(strings.TrimPrefix(name, "Clone Set: "))[0])
			for _, sub := range it.Sub {
				name, _, _ := strings.Cut(sub.Text, "\t")
				names = append(names, "-"+name)
			}
		}
		return strings.Join(names, " ")
	}
	for _, tc := range []struct {
		nodes, resources []string
		want             string
	}{
		{nil, []string{"power"}, "power"},
		{nil, []string{"site"}, "site -web -ip"},
		{nil, []string{"ip"}, "site -ip"},
		{nil, []string{"worker:1"}, "workers -worker:1"},
		{nil, []string{"worker"}, "workers -worker:0 -worker:1 -worker:2"},
		{nil, []string{"ping"}, "ping-clone -Started: [ alpha beta ] -Stopped: [ gamma quay ]"},
		{nil, []string{"nothing"}, ""},
		{nil, []string{}, ""},
		{[]string{"beta"}, []string{"ping-clone", "power"}, "ping-clone -Started: [ beta ]"},
		{[]string{"gamma"}, nil, "off absent"},
		{[]string{"alpha"}, []string{"site", "mail"}, "site -web -ip"},
	} {
		got := titles(status.Resources(c, status.Options{Inactive: true, Selection: status.Selection{Nodes: tc.nodes, Resources: tc.resources}}))
		if got != tc.want {
			t.Errorf("%v %v: %q, want %q", tc.nodes, tc.resources, got, tc.want)
		}
	}
	var left []string
	for _, it := range status.NodesOf(c, status.Selection{Nodes: []string{"gamma", "quay"}}) {
		left = append(left, it.Text)
	}
	if want := []string{"OFFLINE: [ gamma ]", "RemoteOnline: [ quay ]"}; !slices.Equal(left, want) {
		t.Errorf("%q, want %q", left, want)
	}
	for id, want := range map[string]bool{"ping": true, "ping:1": true, "ping:9": false, "site": true, "alpha": false} {
		if got := status.Known(c, id); got != want {
			t.Errorf("known %s: %v", id, got)
		}
	}
}

func TestWrite(t *testing.T) {
	items := []status.Item{
		{Text: "plain"},
		{Text: "title", Sub: []status.Item{{Text: "below"}}},
		{Text: "bare", NoColon: true, Sub: []status.Item{{Text: "below"}}},
		{NoColon: true, Sub: []status.Item{{Text: "deep"}}},
	}
	var b strings.Builder
	if err := status.Write(&b, 0, items); err != nil {
		t.Fatal(err)
	}
	want := "plain\ntitle:\n  * below\nbare\n  * below\n  * deep\n"
	if b.String() != want {
		t.Errorf("%q", b.String())
	}
}

// TestNodeState goes through the conditions in their order (scheduler-3 19.1).
func TestNodeState(t *testing.T) {
	running := []*state.Resource{{}}
	for _, tc := range []struct {
		n    state.Node
		want string
	}{
		{state.Node{Unclean: true, Online: true, Pending: true}, "UNCLEAN (online)"},
		{state.Node{Unclean: true, Pending: true}, "UNCLEAN (pending)"},
		{state.Node{Unclean: true, Standby: true}, "UNCLEAN (offline)"},
		{state.Node{Pending: true, Online: true}, "pending"},
		{state.Node{StandbyOnFail: true, Online: true, Standby: true}, "standby (on-fail)"},
		{state.Node{Standby: true, Online: true, Running: running}, "standby (with active resources)"},
		{state.Node{Standby: true, Online: true}, "standby"},
		{state.Node{Standby: true}, "OFFLINE (standby)"},
		{state.Node{Maintenance: true, Online: true}, "maintenance"},
		{state.Node{Maintenance: true}, "OFFLINE (maintenance)"},
		{state.Node{Online: true}, "online"},
		{state.Node{}, "OFFLINE"},
	} {
		if got := status.NodeState(&tc.n); got != tc.want {
			t.Errorf("%q, want %q", got, tc.want)
		}
	}
}

// TestExpected: below the expected value connectivity is degraded, at 0 lost.
func TestExpected(t *testing.T) {
	c := load(t, "harbour")
	n := c.NodeByName("alpha")
	for value, want := range map[string]string{
		"200": "200       ", "150": "150       \t: Connectivity is degraded (Expected=200)",
		"0": "0         \t: Connectivity is lost", "x": "x         \t: Connectivity is lost",
	} {
		n.Attrs["pingd"] = value
		if got := status.AttributeText(c, n, "pingd"); !strings.HasSuffix(got, "\t: "+want) {
			t.Errorf("%s: %q", value, got)
		}
	}
	if _, ok := status.Expected(c, n, "rack"); ok {
		t.Error("an attribute that no ping resource sets is expected to have a value")
	}
}
