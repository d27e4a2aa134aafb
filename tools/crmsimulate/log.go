package crmsimulate

import (
	"fmt"

	"linuxha/pengine/explain"
	"linuxha/pengine/schedule"
	"linuxha/pengine/simulate"
	"linuxha/pengine/state"
	"linuxha/tools/output"
)

// severities are what each -V adds: errors, warnings, notices, information,
// and beyond that what each stage decided and why.
var severities = []state.Severity{state.Error, state.Warning, state.Notice, state.Info, state.Debug, state.Trace}

var severityNames = map[state.Severity]string{
	state.Error: "error", state.Warning: "warning", state.Notice: "notice", state.Info: "info", state.Debug: "debug", state.Trace: "trace",
}

// logs prints the scheduler's log as far as -V asks for it.
type logs struct {
	r       *run
	verbose int
	printed int // entries of the present ledger
	once    map[string]bool
}

func (l *logs) wants(s state.Severity) bool {
	return l.verbose > 0 && s >= severities[min(l.verbose, len(severities))-1]
}

func (l *logs) print(notes []state.Note) {
	for _, n := range notes {
		if n.Once && l.once[n.Text] || !l.wants(n.Severity) {
			continue
		}
		if n.Once {
			l.once[n.Text] = true
		}
		fmt.Fprintln(l.r.errOut, output.Logged(n.From, severityNames[n.Severity], n.Text))
	}
}

// loaded prints what reading a document has logged.
func (l *logs) loaded(c *state.Cluster) {
	l.printed = 0
	l.more(c)
}

// more prints what has been logged since.
func (l *logs) more(c *state.Cluster) {
	if l.verbose == 0 || c.Why == nil {
		return
	}
	l.print(c.Why.Logs[l.printed:])
	l.printed = len(c.Why.Logs)
}

// planned prints what planning has logged, and the stages' decisions.
func (l *logs) planned(p *schedule.Plan) {
	l.more(p.Cluster)
	if l.wants(state.Debug) {
		l.print(explain.Trace(p.Cluster, l.wants(state.Trace)))
	}
}

// executed logs the end of a simulated transition.
func (l *logs) executed(res *simulate.Result) {
	how := "Complete"
	switch {
	case res.Terminated:
		how = "Terminated"
	case res.Left > 0:
		how = "Stopped"
	}
	l.print([]state.Note{{Severity: state.Notice, From: "pcmk__execute_graph", Text: fmt.Sprintf(
		"Transition 0 (Complete=%d, Pending=0, Fired=0, Skipped=0, Incomplete=%d, Source=crm_simulate): %s", res.Done, res.Left, how)}})
}
