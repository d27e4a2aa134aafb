package join

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

var t0 = time.Unix(1_800_000_000, 0)

type dc struct {
	t       *testing.T
	c       *Core
	now     time.Time
	did     []string
	offers  map[string]uint64
	updates []uint64
}

func newDC(t *testing.T) *dc {
	return &dc{t: t, c: New("n1", Options{Grace: 5 * time.Second, Integration: 3 * time.Minute}), now: t0, offers: map[string]uint64{}}
}

func (d *dc) step(ev Event) {
	for _, e := range d.c.Step(d.now, ev).Effects {
		switch e := e.(type) {
		case Offer:
			d.offers[e.Node] = e.JoinID
			d.did = append(d.did, "offer "+e.Node)
		case Write:
			w := "write"
			for _, n := range e.Nodes {
				w += fmt.Sprintf(" %s(in=%t crmd=%t join=%s exp=%s hist=%t attr=%t)", n.Node, n.InCCM, n.Crmd, n.Join, n.Expected, n.History, n.Attributes)
			}
			d.did = append(d.did, w)
			d.updates = append(d.updates, e.Update)
		case Accept:
			d.did = append(d.did, "accept "+e.Node)
		case Refuse:
			d.did = append(d.did, "refuse "+e.Node)
		case Joined:
			d.did = append(d.did, fmt.Sprintf("joined %s first=%t", strings.Join(e.Nodes, ","), e.First))
		case Lost:
			d.did = append(d.did, fmt.Sprintf("lost %s member=%t expected=%t", e.Node, e.Member, e.Expected))
		case Note:
			if e.Warning {
				d.did = append(d.did, "warn "+e.Text)
			}
		}
	}
}

func (d *dc) request(node string) {
	d.step(Requested{Node: node, Term: "T", JoinID: d.offers[node], FeatureSet: "3.16.1"})
}

func (d *dc) written() {
	for len(d.updates) > 0 {
		u := d.updates[0]
		d.updates = d.updates[1:]
		d.step(Written{Update: u})
	}
}

func (d *dc) want(words ...string) {
	d.t.Helper()
	if got, want := strings.Join(d.did, "; "), strings.Join(words, "; "); got != want {
		d.t.Errorf("did    %s\nwanted %s", got, want)
	}
	d.did = nil
}

func m(node string, controller uint64) Member {
	return Member{Node: node, ID: "id-" + node, Controller: controller}
}

// formed is a DC with n1 and n2 joined.
func formed(t *testing.T) *dc {
	d := newDC(t)
	d.step(Won{Term: "T", FeatureSet: "3.16.1"})
	d.step(Installed{View: 1, Members: []Member{m("n1", 1), m("n2", 1)}})
	d.step(InStep{View: 1})
	d.request("n1")
	d.request("n2")
	d.written()
	d.did = nil
	return d
}

func TestFirstFormation(t *testing.T) {
	d := newDC(t)
	d.step(Won{Term: "T", FeatureSet: "3.16.1"})
	d.step(Installed{View: 1, Members: []Member{m("n1", 1), m("n2", 1)}})
	d.want("offer n1", "offer n2")
	d.request("n1")
	d.want() // the CIBs are not in step yet
	d.step(InStep{View: 1})
	d.want("write n1(in=true crmd=true join=member exp=member hist=true attr=false)")
	d.request("n2")
	d.want("write n2(in=true crmd=true join=member exp=member hist=true attr=false)")
	d.written()
	d.want("accept n1", "accept n2", "joined n1,n2 first=true")
}

func TestNodeThatRefusesOrdersJoinsAgain(t *testing.T) {
	d := formed(t)
	d.step(OrderRefused{Node: "n2"})
	d.want("warn Node n2 does not obey us, it has to join again", "offer n2")
	d.step(OrderRefused{Node: "n2"}) // another order that was under way
	d.step(OrderRefused{Node: "n9"})
	d.want()
	d.request("n2")
	d.written()
	d.want("write n2(in=true crmd=true join=member exp=member hist=true attr=false)", "accept n2", "joined n2 first=false")
}

func TestRequestsThatArriveTogetherAreOneUpdate(t *testing.T) {
	d := newDC(t)
	d.step(Won{Term: "T", FeatureSet: "3.16.1"})
	d.step(Installed{View: 1, Members: []Member{m("n1", 1), m("n2", 1)}})
	d.request("n1")
	d.request("n2")
	d.did = nil
	d.step(InStep{View: 1})
	if len(d.did) != 1 || !strings.Contains(d.did[0], "n1(") || !strings.Contains(d.did[0], "n2(") {
		t.Errorf("%q", d.did)
	}
}

func TestLateJoinerTouchesOnlyItself(t *testing.T) {
	d := formed(t)
	d.step(Installed{View: 2, Members: []Member{m("n1", 1), m("n2", 1), m("n3", 2)}})
	d.want("offer n3")
	d.request("n3")
	d.want() // its CIB is not in step yet
	d.step(InStep{View: 2})
	d.written()
	d.want("write n3(in=true crmd=true join=member exp=member hist=true attr=false)", "accept n3", "joined n3 first=false")
}

func TestSilentNodeIsLeftOutAndReported(t *testing.T) {
	d := newDC(t)
	d.step(Won{Term: "T", FeatureSet: "3.16.1"})
	d.step(Installed{View: 1, Members: []Member{m("n1", 1), m("n2", 1)}})
	d.step(InStep{View: 1})
	d.request("n1")
	d.written()
	d.did = nil
	d.now = d.now.Add(3 * time.Minute)
	d.step(Woken{})
	d.want("warn Node n2 does not answer the join offer, going on without it", "joined n1 first=true")
	d.request("n2")
	d.written()
	d.want("write n2(in=true crmd=true join=member exp=member hist=true attr=false)", "accept n2", "joined n2 first=false")
}

func TestNodeDies(t *testing.T) {
	d := formed(t)
	d.step(Installed{View: 2, Members: []Member{m("n1", 1)}})
	d.want("lost n2 member=false expected=false", "write n2(in=false crmd=false join=down exp= hist=false attr=true)")
}

func TestNodeLeavesInOrder(t *testing.T) {
	d := formed(t)
	d.step(Leaving{Node: "n2"})
	d.step(Installed{View: 2, Members: []Member{m("n1", 1), m("n2", 0)}})
	d.want("write n2(in=true crmd=false join=down exp=down hist=false attr=true)", "lost n2 member=true expected=true")
	d.step(Installed{View: 3, Members: []Member{m("n1", 1)}})
	d.want("lost n2 member=false expected=true", "write n2(in=false crmd=false join=down exp=down hist=false attr=true)")
}

func TestRestartedControllerHasAGrace(t *testing.T) {
	d := formed(t)
	d.step(Installed{View: 2, Members: []Member{m("n1", 1), m("n2", 0)}})
	d.want()
	d.now = d.now.Add(time.Second)
	d.step(Installed{View: 3, Members: []Member{m("n1", 1), m("n2", 3)}})
	d.want("offer n2")

	d = formed(t)
	d.step(Installed{View: 2, Members: []Member{m("n1", 1), m("n2", 0)}})
	d.now = d.now.Add(5 * time.Second)
	d.step(Woken{})
	d.want("write n2(in=true crmd=false join=down exp= hist=false attr=true)", "lost n2 member=true expected=false")
}

func TestNewDCMarksTheDead(t *testing.T) {
	d := newDC(t)
	d.step(Won{Term: "T", FeatureSet: "3.16.1", Nodes: []Known{
		{Node: "n2", ID: "id-n2", InCCM: true, Crmd: true, Join: "member", Expected: "member"},
		{Node: "n3", ID: "id-n3", Join: "down", Expected: "down"}, // stopped long ago: nothing to say
	}})
	d.step(Installed{View: 7, Members: []Member{m("n1", 1)}})
	d.want("lost n2 member=false expected=false", "write n2(in=false crmd=false join=down exp= hist=false attr=true)", "offer n1")
}

func TestNewDCFencesNobodyWhoSaidGoodbye(t *testing.T) {
	d := newDC(t)
	d.step(Won{Term: "T", FeatureSet: "3.16.1", Leaving: []string{"n2"}, Nodes: []Known{
		{Node: "n2", ID: "id-n2", InCCM: true, Crmd: true, Join: "member", Expected: "member"},
	}})
	d.step(Installed{View: 7, Members: []Member{m("n1", 1)}})
	d.want("write n2(in=false crmd=false join=down exp=down hist=false attr=true)", "offer n1")
}

func TestIncompatibleFeatureSet(t *testing.T) {
	d := newDC(t)
	d.step(Won{Term: "T", FeatureSet: "3.16.1"})
	d.step(Installed{View: 1, Members: []Member{m("n1", 1), m("n2", 1)}})
	d.did = nil
	d.step(Requested{Node: "n2", Term: "T", JoinID: d.offers["n2"], FeatureSet: "3.15.0"})
	d.want("refuse n2")
}

func TestStaleRequestIsIgnored(t *testing.T) {
	d := newDC(t)
	d.step(Won{Term: "T", FeatureSet: "3.16.1"})
	d.step(Installed{View: 1, Members: []Member{m("n1", 1), m("n2", 1)}})
	d.step(InStep{View: 1})
	d.did = nil
	d.step(Requested{Node: "n2", Term: "older", JoinID: d.offers["n2"], FeatureSet: "3.16.1"})
	d.step(Requested{Node: "n2", Term: "T", JoinID: 99, FeatureSet: "3.16.1"})
	d.want()
}

func TestCompatible(t *testing.T) {
	for _, tc := range []struct {
		dc, joiner string
		want       bool
	}{
		{"3.16.1", "3.16.1", true},
		{"3.16.1", "3.16.0", true},
		{"3.9.0", "3.16.1", true},
		{"3.16.1", "3.15.9", false},
		{"3.16.1", "4.16.1", false},
		{"", "3.16.1", true},
		{"3.16.1", "", false},
	} {
		if got := Compatible(tc.dc, tc.joiner); got != tc.want {
			t.Errorf("Compatible(%q, %q) = %t", tc.dc, tc.joiner, got)
		}
	}
}
