package stonithadmin

import (
	"context"
	"fmt"
	"strconv"
	"time"

	stonithv1 "linuxha/proto/stonith/v1"
	"linuxha/tools/output"
)

// stamp is a time as histories show it.
const stamp = "2006-01-02 15:04:05Z07:00"

func (t *tool) history(ctx context.Context, node string) error {
	target := node
	if node == "*" {
		target = ""
	}
	if t.p.Has("cleanup") {
		if !t.p.Has("quiet") {
			fmt.Fprintf(&t.text, "cleaning up fencing-history%s\n", forNode(node))
		}
		_, err := t.client.CleanupHistory(ctx, &stonithv1.CleanupHistoryRequest{Target: target})
		return err
	}
	if t.p.Has("broadcast") && !t.p.Has("quiet") {
		// Every fencer has the whole history: there is nothing to gather.
		fmt.Fprintln(&t.text, "gather fencing-history from all nodes")
	}
	res, err := t.client.GetHistory(ctx, &stonithv1.GetHistoryRequest{Target: target})
	if err != nil {
		return err
	}
	records := res.Records
	if t.p.Has("quiet") {
		if at := lastSuccess(records); at != 0 {
			fmt.Fprintln(&t.text, at)
		}
		return nil
	}
	verbose := t.p.Has("verbose")
	if !verbose {
		records = newest(records)
	}
	list := output.New("list", "name", "fencing history", "count", strconv.Itoa(len(records)))
	for _, r := range records {
		fmt.Fprintln(&t.text, describe(r, res.Records, verbose))
		list.Add(event(r))
	}
	t.found(len(records), "event", "events")
	t.body = append(t.body, list)
	return nil
}

func forNode(node string) string {
	if node == "" {
		return ""
	}
	return " for node " + node
}

// newest keeps the newest event of each target and action; records are sorted
// with the newest first.
func newest(records []*stonithv1.FenceRecord) []*stonithv1.FenceRecord {
	seen := map[[2]string]bool{}
	var out []*stonithv1.FenceRecord
	for _, r := range records {
		key := [2]string{r.Target, r.Action}
		if !seen[key] || pending(r) {
			out = append(out, r)
		}
		seen[key] = seen[key] || !pending(r)
	}
	return out
}

func pending(r *stonithv1.FenceRecord) bool {
	return r.State != stonithv1.FenceRecord_STATE_SUCCESS && r.State != stonithv1.FenceRecord_STATE_FAILED
}

func lastSuccess(records []*stonithv1.FenceRecord) int64 {
	var at int64
	for _, r := range records {
		if r.State == stonithv1.FenceRecord_STATE_SUCCESS {
			at = max(at, r.CompletedUnixNs/int64(time.Second))
		}
	}
	return at
}

func word(action string) string {
	switch action {
	case "off":
		return "turning off"
	case "on":
		return "unfencing"
	case "":
		return "fencing"
	}
	return action
}

// describe is a line of the history.
func describe(r *stonithv1.FenceRecord, all []*stonithv1.FenceRecord, verbose bool) string {
	who := fmt.Sprintf("client=%s, origin=%s", r.Client, r.Origin)
	if r.Executioner != "" {
		who = "delegate=" + r.Executioner + ", " + who
	}
	at := func(name string) string {
		if verbose {
			name = "completed"
		}
		return fmt.Sprintf(", %s='%s'", name, time.Unix(0, r.CompletedUnixNs).Format(stamp))
	}
	head := fmt.Sprintf("%s of %s ", word(r.Action), r.Target)
	switch r.State {
	case stonithv1.FenceRecord_STATE_SUCCESS:
		return head + "successful: " + who + at("last-successful")
	case stonithv1.FenceRecord_STATE_FAILED:
		reason := ""
		if r.Reason != "" {
			reason = " (" + r.Reason + ")"
		}
		return head + "failed" + reason + ": " + who + at("last-failed") + later(r, all)
	}
	return head + "pending: " + who
}

// later tells of a success after a failure.
func later(r *stonithv1.FenceRecord, all []*stonithv1.FenceRecord) string {
	for _, o := range all {
		if o.State == stonithv1.FenceRecord_STATE_SUCCESS && o.Target == r.Target && o.Action == r.Action &&
			o.CompletedUnixNs > r.CompletedUnixNs {
			if o.Executioner == r.Executioner {
				return " (a later attempt succeeded)"
			}
			return fmt.Sprintf(" (a later attempt from %s succeeded)", o.Origin)
		}
	}
	return ""
}

func event(r *stonithv1.FenceRecord) *output.Element {
	e := output.New("fence_event", "action", r.Action, "target", r.Target, "client", r.Client, "origin", r.Origin)
	if r.Executioner != "" {
		e.Set("delegate", r.Executioner)
	}
	switch r.State {
	case stonithv1.FenceRecord_STATE_SUCCESS:
		e.Set("status", "success")
	case stonithv1.FenceRecord_STATE_FAILED:
		e.Set("status", "failed")
		if r.Reason != "" {
			e.Set("exit-reason", r.Reason)
		}
	default:
		e.Set("status", "pending").Set("extended-status", extended(r))
		return e
	}
	return e.Set("completed", time.Unix(0, r.CompletedUnixNs).Format(stamp))
}

func extended(r *stonithv1.FenceRecord) string {
	switch {
	case r.State == stonithv1.FenceRecord_STATE_DUPLICATE:
		return "duplicate"
	case r.Executing:
		return "executing"
	}
	return "pending"
}

func (t *tool) last(ctx context.Context, node string) error {
	res, err := t.client.GetHistory(ctx, &stonithv1.GetHistoryRequest{Target: node})
	if err != nil {
		return err
	}
	at := lastSuccess(res.Records)
	e := output.New("last-fenced", "target", node)
	when := ""
	if at != 0 {
		when = time.Unix(at, 0).Format(time.ANSIC)
		fmt.Fprintf(&t.text, "Node %s last fenced at: %s\n", node, when)
	} else {
		fmt.Fprintf(&t.text, "Node %s has never been fenced\n", node)
	}
	t.body = append(t.body, e.Set("when", when))
	return nil
}
