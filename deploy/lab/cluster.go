package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/beevik/etree"

	cibv1 "linuxha/proto/cib/v1"
	crmv1 "linuxha/proto/crm/v1"
)

// A View is the cluster as one node knows it.
type View struct {
	From    string
	DC      string
	State   string // of the controller that answered
	Quorate bool
	Online  []string            // nodes whose controller is a member, sorted
	Active  map[string][]string // resource (with instance) to the nodes where it runs, sorted
	Doc     *etree.Document     // the CIB
}

// View asks a node's cib and crmd.
func (n *Node) View(ctx context.Context) (*View, error) {
	v := &View{From: n.Name}
	cib, err := n.Dial("cib")
	if err != nil {
		return nil, err
	}
	defer cib.Close()
	q, err := cibv1.NewCibClient(cib).Query(ctx, &cibv1.QueryRequest{})
	if err != nil {
		return nil, fmt.Errorf("%s: query: %w", n.Name, err)
	}
	if q.GetRc() != 0 {
		return nil, fmt.Errorf("%s: query: %s", n.Name, q.GetError())
	}
	v.Doc = etree.NewDocument()
	if err := v.Doc.ReadFromBytes(q.GetXml()); err != nil {
		return nil, fmt.Errorf("%s: CIB: %w", n.Name, err)
	}
	crm, err := n.Dial("crmd")
	if err != nil {
		return nil, err
	}
	defer crm.Close()
	client := crmv1.NewCrmClient(crm)
	dc, err := client.GetDC(ctx, &crmv1.GetDCRequest{})
	if err != nil {
		return nil, fmt.Errorf("%s: ask for the DC: %w", n.Name, err)
	}
	v.DC = dc.GetDc()
	state, err := client.GetState(ctx, &crmv1.GetStateRequest{})
	if err != nil {
		return nil, fmt.Errorf("%s: ask for the state: %w", n.Name, err)
	}
	v.State = state.GetState()
	nodes, err := client.ListNodes(ctx, &crmv1.ListNodesRequest{})
	if err != nil {
		return nil, fmt.Errorf("%s: ask for the nodes: %w", n.Name, err)
	}
	v.Quorate = nodes.GetQuorate()
	v.Online, v.Active = readStatus(v.Doc)
	return v, nil
}

// readStatus reads the status section: who is a member, what runs where. It
// is a judge of its own, written from the format (crm 4.5) and independent of
// the scheduler that the tests test.
func readStatus(doc *etree.Document) (online []string, active map[string][]string) {
	active = map[string][]string{}
	for _, state := range doc.FindElements("/cib/status/node_state") {
		name := state.SelectAttrValue("uname", "")
		if !isTrue(state.SelectAttrValue("in_ccm", "")) || state.SelectAttrValue("crmd", "") != "online" || state.SelectAttrValue("join", "") != "member" {
			continue
		}
		online = append(online, name)
		for _, rsc := range state.FindElements("lrm/lrm_resources/lrm_resource") {
			if running(rsc) {
				id := rsc.SelectAttrValue("id", "")
				active[id] = append(active[id], name)
			}
		}
	}
	slices.Sort(online)
	for _, nodes := range active {
		slices.Sort(nodes)
	}
	return online, active
}

func isTrue(s string) bool {
	return slices.Contains([]string{"true", "yes", "on", "1", "y"}, strings.ToLower(s)) || len(s) > 1 && s[0] >= '1' && s[0] <= '9' // newer schemas: a time
}

// running replays a resource's history in the order of the calls.
func running(rsc *etree.Element) bool {
	type op struct {
		call   int
		action string
		rc     int
	}
	var ops []op
	for _, e := range rsc.SelectElements("lrm_rsc_op") {
		call, err1 := strconv.Atoi(e.SelectAttrValue("call-id", ""))
		rc, err2 := strconv.Atoi(e.SelectAttrValue("rc-code", ""))
		if err1 != nil || err2 != nil || e.SelectAttrValue("op-status", "") == "-1" {
			continue // pending
		}
		ops = append(ops, op{call, e.SelectAttrValue("operation", ""), rc})
	}
	slices.SortStableFunc(ops, func(a, b op) int { return cmp.Compare(a.call, b.call) })
	on := false
	for _, o := range ops {
		switch o.action {
		case "start", "promote", "demote", "migrate_from":
			on = o.rc == 0 || o.action == "demote" || on
		case "stop":
			on = o.rc != 0
		case "migrate_to":
			on = o.rc != 0
		case "monitor":
			on = o.rc == 0 || o.rc == 8 || o.rc == 9 || o.rc == 190 || o.rc == 191
		}
	}
	return on
}

// Where is the one node on which a resource runs; empty when it runs nowhere
// or on several.
func (v *View) Where(resource string) string {
	if nodes := v.Active[resource]; len(nodes) == 1 {
		return nodes[0]
	}
	return ""
}

// Settled reports whether the answering node knows a DC and, being it, has
// nothing to do.
func (v *View) Settled() bool {
	return v.DC != "" && (v.State == "S_IDLE" && v.DC == v.From || v.State == "S_NOT_DC" && v.DC != v.From)
}

// String is the view in a line, for messages.
func (v *View) String() string {
	if v == nil {
		return "no view"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s sees DC %q, %s, quorate=%v, online %v;", v.From, v.DC, v.State, v.Quorate, v.Online)
	for _, r := range slices.Sorted(maps.Keys(v.Active)) {
		fmt.Fprintf(&b, " %s on %v", r, v.Active[r])
	}
	return b.String()
}

// AwaitView asks the node until ok holds for its view.
func (n *Node) AwaitView(ctx context.Context, what string, ok func(*View) bool) (*View, error) {
	var last *View
	var lastErr error
	for {
		ask, cancel := context.WithTimeout(ctx, 2*time.Second)
		v, err := n.View(ask)
		cancel()
		if err == nil {
			if ok(v) {
				return v, nil
			}
			last, lastErr = v, nil
		} else if ctx.Err() == nil {
			lastErr = err
		}
		select {
		case <-ctx.Done():
			err := fmt.Errorf("waited on %s for %s: %w; last seen: %v", n.Name, what, context.Cause(ctx), last)
			if lastErr != nil {
				err = errors.Join(err, lastErr)
			}
			return last, err
		case <-time.After(25 * time.Millisecond):
		}
	}
}

// AwaitDC waits until all the named nodes are online and the DC is idle, as
// the DC itself sees it, and returns the DC's view.
func (l *Lab) AwaitDC(ctx context.Context, what string, ok func(*View) bool) (*View, error) {
	var last error
	for {
		for _, n := range l.Nodes() {
			if !n.Running() {
				continue
			}
			ask, cancel := context.WithTimeout(ctx, 2*time.Second)
			v, err := n.View(ask)
			cancel()
			switch {
			case err != nil:
				if ctx.Err() == nil {
					last = err
				}
			case v.DC != n.Name:
			case ok(v):
				return v, nil
			default:
				last = fmt.Errorf("last seen: %v", v)
			}
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("waited for %s: %w", what, context.Cause(ctx)), last)
		case <-time.After(25 * time.Millisecond):
		}
	}
}

// OnlineAre is a condition for AwaitView and AwaitDC: exactly these nodes are
// members, and nothing is left to do.
func OnlineAre(nodes ...string) func(*View) bool {
	want := slices.Sorted(slices.Values(nodes))
	return func(v *View) bool { return slices.Equal(v.Online, want) && v.Settled() }
}
