// Package iso8601 is iso8601: dates and durations as the cluster reads them
// (clients 2.17).
package iso8601

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"linuxha/internal/cliopt"
	"linuxha/internal/exitcode"
	"linuxha/internal/isotime"
	"linuxha/tools/output"
)

var spec = &cliopt.Spec{
	Tool: "iso8601", Synopsis: "[OPTION...]", Summary: "Display and parse ISO 8601 dates and times",
	Options: append([]cliopt.Option{
		{Short: 'h', Long: "help", Help: "show help options"},
		{Short: 'n', Long: "now", Help: "display the current date/time", Group: "Commands"},
		{Short: 'd', Long: "date", Arg: cliopt.RequiredArg, Name: "DATE", Help: "parse an ISO 8601 date/time (for example, '2019-09-24 00:30:00 +01:00' or '2019-040')", Group: "Commands"},
		{Short: 'p', Long: "period", Arg: cliopt.RequiredArg, Name: "PERIOD", Help: "parse an ISO 8601 period (interval) with start time (for example, '2005-040/2005-043')", Group: "Commands"},
		{Short: 'D', Long: "duration", Arg: cliopt.RequiredArg, Name: "DURATION", Help: "parse an ISO 8601 duration (for example, 'P1M')", Group: "Commands"},
		{Short: 'E', Long: "expected", Arg: cliopt.RequiredArg, Name: "TIMESPEC", Help: "exit with an error status if result does not match this text (requires -n or -d)", Group: "Commands"},
		{Short: 's', Long: "seconds", Help: "show result as a seconds since 0000-001 00:00:00Z", Group: "Output modifiers"},
		{Short: 'S', Long: "epoch", Help: "show result as a seconds since EPOCH (1970-001 00:00:00Z)", Group: "Output modifiers"},
		{Short: 'L', Long: "local", Help: "show result as a 'local' date/time", Group: "Output modifiers"},
		{Short: 'O', Long: "ordinal", Help: "show result as an 'ordinal' date/time", Group: "Output modifiers"},
		{Short: 'W', Long: "week", Help: "show result as an 'calendar week' date/time", Group: "Output modifiers"},
	}, output.Common("text")...),
}

// Run is the tool's entry.
func Run(_ context.Context, name string, args []string, _ io.Reader, stdout, stderr io.Writer) int {
	p, err := spec.Parse(args)
	if err == nil {
		err = output.NoOperands(p.Operands)
	}
	if err != nil {
		return output.Usage(stderr, name, err)
	}
	switch {
	case p.Has("help"), p.Has("help-all"):
		fmt.Fprint(stdout, spec.Help())
		return 0
	case p.Has("version"):
		fmt.Fprint(stdout, output.VersionText)
		return 0
	}
	t := tool{p: p, out: stdout, now: time.Now()}
	code, err := t.run()
	if err != nil {
		if output.LogsToStderr() && t.why != "" {
			fmt.Fprintln(stderr, t.why)
		}
		fmt.Fprintf(stderr, "%s: %v\n", name, err)
	}
	return int(code)
}

type tool struct {
	p   *cliopt.Parsed
	out io.Writer
	now time.Time
	why string // a log line on what is wrong with the input
}

func (t *tool) run() (exitcode.Code, error) {
	var shown string
	var date isotime.Date
	have := false
	if t.p.Has("now") {
		date, have = isotime.FromTime(t.now), true
		shown = t.show(date)
		fmt.Fprintf(t.out, "Current date/time: %s\n", shown)
	}
	if v := t.p.Value("date"); t.p.Has("date") {
		d, ok := isotime.Parse(v, t.now)
		if !ok {
			return exitcode.InvalidParam, fmt.Errorf("Invalid date/time specified: %s", v)
		}
		date, have = d, true
		shown = t.show(date)
		fmt.Fprintf(t.out, "Date: %s\n", shown)
	}
	if v := t.p.Value("duration"); t.p.Has("duration") {
		d, ok := isotime.ParseDuration(v)
		if !ok {
			return exitcode.InvalidParam, fmt.Errorf("Invalid duration specified: %s", v)
		}
		shown = durationText(d)
		fmt.Fprintf(t.out, "Duration: %s\n", shown)
		if have {
			// The end keeps the zone in which the date was given.
			shown = t.render(date.Add(d))
			fmt.Fprintf(t.out, "Duration ends at: %s\n", shown)
			shown = t.show(date.Add(d))
		}
	}
	if v := t.p.Value("period"); t.p.Has("period") {
		start, end, err := t.period(v)
		if err != nil {
			return exitcode.InvalidParam, fmt.Errorf("Invalid interval specified: %s", v)
		}
		shown = t.show(start) + " to " + t.show(end)
		fmt.Fprintf(t.out, "Period: %s\n", shown)
	}
	switch {
	case shown == "":
		return exitcode.Usage, errors.New("choose one of --now, --date, --duration or --period (--help lists them)")
	case t.p.Has("expected") && shown != t.p.Value("expected"):
		return exitcode.Error, fmt.Errorf("got %s, expected %s", shown, t.p.Value("expected"))
	}
	return exitcode.OK, nil
}

var errPeriod = errors.New("no period")

// period reads START/END, START/DURATION or DURATION/END.
func (t *tool) period(v string) (start, end isotime.Date, err error) {
	first, second, both := strings.Cut(v, "/")
	wrong := func(format string, a ...any) error {
		t.why = output.LogLine("crm_time_parse_period", "error", fmt.Sprintf(format, a...))
		return errPeriod
	}
	if v == "" {
		return start, end, wrong("No ISO 8601 time period given")
	}
	if !both {
		return start, end, wrong("'%s' is not a valid ISO 8601 time period because it has no duration or ending time", v)
	}
	if strings.HasPrefix(first, "P") && strings.HasPrefix(second, "P") {
		return start, end, wrong("'%s' is not a valid ISO 8601 time period because it has two durations", v)
	}
	at := func(text string) isotime.Date {
		d, ok := isotime.Parse(text, t.now)
		if !ok {
			err = errPeriod
		}
		return d
	}
	length := func(text string) isotime.Duration {
		d, ok := isotime.ParseDuration(text)
		if !ok {
			err = errPeriod
		}
		return d
	}
	switch {
	case strings.HasPrefix(first, "P"):
		end = at(second)
		start = end.Subtract(length(first))
	case strings.HasPrefix(second, "P"):
		start = at(first)
		end = start.Add(length(second))
	default:
		start, end = at(first), at(second)
	}
	return start, end, err
}

// show renders a date as the options ask; in UTC unless they ask for local time.
func (t *tool) show(d isotime.Date) string {
	if !t.p.Has("local") {
		d = d.UTC()
	}
	return t.render(d)
}

// secondsToEpoch are those from 0000-001 to 1970-001 as the reference counts.
const secondsToEpoch = 719528 * 86400

func (t *tool) render(d isotime.Date) string {
	clock := fmt.Sprintf("%.2d:%.2d:%.2d", d.Sec/3600, d.Sec/60%60, d.Sec%60)
	zone := "Z"
	if d.Offset != 0 {
		sign, off := "+", d.Offset
		if off < 0 {
			sign, off = "-", -off
		}
		zone = fmt.Sprintf(" %s%.2d:%.2d", sign, off/3600, off/60%60)
	}
	switch {
	case t.p.Has("seconds"):
		return fmt.Sprint(d.Unix() + secondsToEpoch)
	case t.p.Has("epoch"):
		return fmt.Sprint(d.Unix())
	case t.p.Has("ordinal"):
		return fmt.Sprintf("%d-%.3d %s%s", d.Year, d.Day, clock, zone)
	case t.p.Has("week"):
		y, w, day := d.Week()
		return fmt.Sprintf("%d-W%.2d-%d %s%s", y, w, day, clock, zone)
	}
	y, m, day := d.Calendar()
	return fmt.Sprintf("%.4d-%.2d-%.2d %s%s", y, m, day, clock, zone)
}

// durationText is a duration in words.
func durationText(d isotime.Duration) string {
	var b strings.Builder
	for _, part := range []struct {
		n, width int
		name     string
	}{{d.Years, 4, "year"}, {d.Months, 2, "month"}, {d.Days, 2, "day"}} {
		if part.n != 0 {
			fmt.Fprintf(&b, "%*d %s%s ", part.width, part.n, part.name, plural(part.n))
		}
	}
	if d.Seconds == 0 {
		return b.String()
	}
	fmt.Fprintf(&b, "%d second%s", d.Seconds, plural(d.Seconds))
	if d.Seconds > -60 && d.Seconds < 60 {
		return b.String()
	}
	s := max(d.Seconds, -d.Seconds)
	var units []string
	for _, u := range []struct {
		n    int
		name string
	}{{s / 86400, "day"}, {s / 3600 % 24, "hour"}, {s / 60 % 60, "minute"}, {s % 60, "second"}} {
		if u.n != 0 {
			units = append(units, fmt.Sprintf("%d %s%s", u.n, u.name, plural(u.n)))
		}
	}
	return b.String() + " (" + strings.Join(units, " ") + ")"
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}
