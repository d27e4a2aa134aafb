package demo

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"linuxha/deploy/lab"
)

// timeline is one failover, as the visitor, the lab and the daemons saw it.
type timeline struct {
	victim string
	zero   time.Time // when the fault was made
	marks  []mark
	outage time.Duration

	fenced  time.Time // the lab's own knowledge: nothing of the victim was left
	started time.Time // the first agent that took over was executed
}

type mark struct {
	at   time.Time
	text string
}

// timeline gathers what happened since zero until the first good answer.
func (s *story) timeline(victim string, zero time.Time, first lab.Answer) (*timeline, error) {
	t := &timeline{victim: victim, zero: zero}
	add := func(at int64, format string, args ...any) {
		t.marks = append(t.marks, mark{time.Unix(0, at), fmt.Sprintf(format, args...)})
	}
	var last lab.Answer
	for _, a := range s.visitor.Answers() {
		if a.OK() && a.AtNS < first.AtNS {
			last = a
		}
	}
	add(last.AtNS, "last good answer, from %s", last.Node)
	add(zero.UnixNano(), "the fault: %s", victim)
	elsewhere := func(cond func(lab.Event) bool) func(lab.Event) bool {
		return func(e lab.Event) bool { return e.Node != victim && cond(e) }
	}
	find := func(what string, cond func(lab.Event) bool, format func(lab.Event) string) (lab.Event, error) {
		e, ok := s.obs.Find(zero, elsewhere(cond))
		if !ok {
			return e, fmt.Errorf("the time line lacks: %s", what)
		}
		add(e.AtNS, "%s", format(e))
		return e, nil
	}
	_, err1 := find("verdict dead", lab.Is(lab.SeenDead, "peer="+victim), func(e lab.Event) string { return fmt.Sprintf("verdict dead, by %s", e.Node) })
	without := fmt.Sprint(others(victim))
	_, err2 := find("membership", lab.Is(lab.SeenView, "members="+without), func(e lab.Event) string { return "membership: " + e.Text })
	_, err3 := find("fencing confirmed", lab.Is(lab.SeenFenced, "peer="+victim, "rc=0"), func(lab.Event) string { return "fencing confirmed to all" })
	leading := s.group[0]
	exec, err4 := find("start of "+leading, lab.Is(lab.SeenExec, "resource="+leading, "action=start"), func(e lab.Event) string { return leading + ": start executed on " + e.Node })
	_, err5 := find("start of the page done", lab.Is(lab.SeenResult, "resource=page", "action=start", "rc=0"), func(e lab.Event) string { return "page: start done on " + e.Node })
	add(first.AtNS, "first good answer, from %s", first.Node)
	t.outage = first.At().Sub(last.At())
	t.started = exec.At()
	err6 := t.labFenced(s.lab)
	if !t.fenced.IsZero() {
		add(t.fenced.UnixNano(), "power off: no process of %s is left", victim)
	}
	slices.SortStableFunc(t.marks, func(a, b mark) int { return a.at.Compare(b.at) })
	return t, errors.Join(err1, err2, err3, err4, err5, err6)
}

// labFenced finds when the lab took the victim's power on the cluster's
// request: what counts, whoever heard of it when.
func (t *timeline) labFenced(l *lab.Lab) error {
	f, err := os.Open(l.EventFile())
	if err != nil {
		return err
	}
	defer f.Close()
	events, err := lab.ReadEvents(f)
	if err != nil {
		return err
	}
	for _, e := range events {
		if e.Kind == "fenced" && e.Node == t.victim && e.At().After(t.zero) {
			t.fenced = e.At()
			return nil
		}
	}
	return fmt.Errorf("the fencing device was not asked to fence %s", t.victim)
}

func (t *timeline) print(w io.Writer) {
	for _, m := range t.marks {
		fmt.Fprintf(w, "   %+8.1f ms  %s\n", float64(m.at.Sub(t.zero).Microseconds())/1000, m.text)
	}
	fmt.Fprintf(w, "   outage as the visitor saw it: %d ms\n", t.outage.Milliseconds())
}

// check holds the promise: fenced first, started then.
func (t *timeline) check() error {
	if t.started.Before(t.fenced) {
		return fmt.Errorf("the service was started %v before %s was fenced", t.fenced.Sub(t.started), t.victim)
	}
	return nil
}
