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
	Options: []cliopt.Option{
		{Short: 'h', Long: "help", Help: "show help options"},
		{Long: "help-all", Help: "show all help options"},
		{Short: '$', Long: "version", Help: "display software version and exit"},
		{Short: 'V', Long: "verbose", Help: "increase debug output (may be specified multiple times)"},
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
	},
}

// Run is the tool's entry. Without a command it does nothing, successfully, as
// the reference does; operands are ignored.
func Run(_ context.Context, name string, args []string, _ io.Reader, stdout, stderr io.Writer) int {
	p, status, done := output.Begin(spec, name, args, stdout, stderr)
	if done {
		return status
	}
	t := tool{p: p, out: stdout, now: time.Now()}
	code, err := t.run()
	if err != nil {
		if e, ok := errors.AsType[*isotime.Error](err); ok && output.LogsToStderr() {
			fmt.Fprintln(stderr, output.LogLine(e.Where, "error", e.Text))
		}
		fmt.Fprintf(stderr, "%s: %s\n", name, strings.SplitN(err.Error(), "\n", 2)[0])
	}
	return int(code)
}

type tool struct {
	p   *cliopt.Parsed
	out io.Writer
	now time.Time
}

func (t *tool) run() (exitcode.Code, error) {
	var shown string
	date, have := isotime.FromTime(t.now), false
	label := "Current date/time"
	// refused is what is told of a text that cannot be read; its reason is for the log.
	refused := func(what, text string, reason error) (exitcode.Code, error) {
		return exitcode.InvalidParam, errors.Join(fmt.Errorf("Invalid %s specified: %s", what, text), reason)
	}
	if v := t.p.Value("date"); t.p.Has("date") && v != "now" {
		var err error
		if date, err = isotime.ParseDate(v, t.now); err != nil {
			return refused("date/time", v, err)
		}
		label = "Date"
	}
	if t.p.Has("date") || t.p.Has("now") {
		have = true
		shown = t.show(date)
		fmt.Fprintf(t.out, "%s: %s\n", label, shown)
	}
	if v := t.p.Value("duration"); t.p.Has("duration") {
		d, err := isotime.ReadDuration(v)
		if err != nil {
			return refused("duration", v, err)
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
			return refused("interval", v, err)
		}
		shown = t.show(start) + " to " + t.show(end)
		fmt.Fprintf(t.out, "Period: %s\n", shown)
	}
	if t.p.Has("expected") && shown != t.p.Value("expected") {
		return exitcode.Error, nil
	}
	return exitcode.OK, nil
}

// period reads START/END, START/DURATION or DURATION/END.
func (t *tool) period(v string) (start, end isotime.Date, err error) {
	first, second, both := strings.Cut(v, "/")
	no := func(why string) error {
		text := "No ISO 8601 time period given"
		if v != "" {
			text = fmt.Sprintf("'%s' is not a valid ISO 8601 time period because it has %s", v, why)
		}
		return &isotime.Error{Where: "crm_time_parse_period", Text: text}
	}
	switch {
	case !both:
		return start, end, no("no duration or ending time")
	case strings.HasPrefix(first, "P") && strings.HasPrefix(second, "P"):
		return start, end, no("two durations")
	}
	// What is first is told with all that follows it.
	var length isotime.Duration
	switch {
	case strings.HasPrefix(first, "P"):
		if length, err = isotime.ReadDuration(v); err == nil {
			end, err = isotime.ParseDate(second, t.now)
		}
		return end.Subtract(length), end, err
	case strings.HasPrefix(second, "P"):
		if start, err = isotime.ParseDate(v, t.now); err == nil {
			length, err = isotime.ReadDuration(second)
		}
		return start, start.Add(length), err
	}
	if start, err = isotime.ParseDate(v, t.now); err == nil {
		end, err = isotime.ParseDate(second, t.now)
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
const secondsToEpoch = 719162 * 86400

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
	if d.Seconds == 0 && b.Len() > 0 {
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
	}{{s / 3600, "hour"}, {s / 60 % 60, "minute"}, {s % 60, "second"}} {
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
