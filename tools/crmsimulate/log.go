package crmsimulate

import (
	"fmt"

	"linuxha/pengine/explain"
	"linuxha/pengine/schedule"
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
}

func (l *logs) wants(s state.Severity) bool {
	return l.verbose > 0 && s >= severities[min(l.verbose, len(severities))-1]
}

func (l *logs) print(notes []state.Note) {
	for _, n := range notes {
		if l.wants(n.Severity) {
			fmt.Fprintln(l.r.errOut, output.Logged(n.From, severityNames[n.Severity], n.Text))
		}
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
