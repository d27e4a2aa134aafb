package crmresource

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/beevik/etree"

	"linuxha/internal/exitcode"
	"linuxha/pengine/schedule"
	cibv1 "linuxha/proto/cib/v1"
	crmv1 "linuxha/proto/crm/v1"
)

// wait returns when nothing is left to do (--wait): the scheduler would do
// nothing about the CIB as it is, and the DC has acted on all of it.
func (s *session) wait() error {
	ctx, cancel := s.deadline()
	defer cancel()
	cib, err := s.cib()
	if err != nil {
		return err
	}
	if !cib.Live() {
		if err = s.settled(ctx, nil); isPending(err) {
			return failf(exitcode.Timeout, "Pending actions, which nobody carries out in a file:\n%s", err)
		}
		return err
	}
	conn, err := dial("crmd")
	if err != nil {
		return err
	}
	defer conn.Close()
	client := crmv1.NewCrmClient(conn)
	// The streams outlive the deadline, so that its passing looks like nothing else.
	following, stop := context.WithCancel(s.ctx)
	defer stop()
	changed, err := s.changes(following, client)
	if err != nil {
		return err
	}
	// The DC may be another node, whose states are not streamed here.
	retry := time.NewTicker(500 * time.Millisecond)
	defer retry.Stop()
	for {
		err := s.settled(ctx, client)
		if err == nil || ctx.Err() == nil && !isPending(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return failf(exitcode.Timeout, "Pending actions:\n%s", err)
		case err := <-changed:
			if err != nil && ctx.Err() == nil {
				return err
			}
		case <-retry.C:
		}
	}
}

// changes signals changes of the CIB and of the controller's state, and the end
// of either stream.
func (s *session) changes(ctx context.Context, client crmv1.CrmClient) (<-chan error, error) {
	out := make(chan error, 1)
	follow := func(recv func() error) {
		for {
			err := recv()
			select {
			case out <- err:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}
	states, err := client.WatchState(ctx, &crmv1.WatchStateRequest{})
	if err != nil {
		return nil, err
	}
	docs, err := s.client.Watch(ctx, &cibv1.WatchRequest{PatchesOnly: true})
	if err != nil {
		return nil, err
	}
	go follow(func() error { _, err := states.Recv(); return err })
	go follow(func() error { _, err := docs.Recv(); return err })
	return out, nil
}

// pending is what is still to be done.
type pending struct{ text string }

func (p *pending) Error() string { return p.text }

func isPending(err error) bool { _, ok := err.(*pending); return ok }

// settled fails with *pending while there is something to do. client may be nil
// for a CIB without a cluster.
func (s *session) settled(ctx context.Context, client crmv1.CrmClient) error {
	_, raw, err := s.document()
	if err != nil {
		return err
	}
	plan, err := schedule.Schedule(schedule.Input{CIB: raw, Now: time.Now()})
	if err != nil {
		return failf(exitcode.Config, "%v", err)
	}
	if text := todo(plan.Graph.XML); text != "" {
		return &pending{text}
	}
	if client == nil {
		return nil
	}
	dc, err := client.GetDC(ctx, &crmv1.GetDCRequest{})
	if err != nil {
		return err
	}
	if dc.Dc == "" {
		return &pending{"\tno DC is elected"}
	}
	st, err := client.GetState(ctx, &crmv1.GetStateRequest{Node: dc.Dc})
	if err != nil {
		return fmt.Errorf("ask the controller on %s: %w", dc.Dc, err)
	}
	if st.State != "S_IDLE" {
		return &pending{fmt.Sprintf("\tthe controller on %s is in state %s", dc.Dc, st.State)}
	}
	return nil
}

// todo lists the actions of a graph that somebody has to carry out.
func todo(graph []byte) string {
	if !bytes.Contains(graph, []byte("<rsc_op ")) && !bytes.Contains(graph, []byte("<crm_event ")) {
		return ""
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(graph); err != nil {
		return "\t" + err.Error()
	}
	var lines []string
	for _, tag := range []string{"rsc_op", "crm_event"} {
		for _, a := range doc.FindElements("//action_set/" + tag) {
			lines = append(lines, fmt.Sprintf("\tAction %s: %s\ton %s", a.SelectAttrValue("id", ""), a.SelectAttrValue("operation_key", ""), a.SelectAttrValue("on_node", "")))
		}
	}
	return strings.Join(lines, "\n")
}
