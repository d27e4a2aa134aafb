package isotime

import (
	"fmt"
	"strings"
	"time"
)

// Error says what is wrong with a text, in the reference's words: tools log it
// (clients 2.17).
type Error struct {
	Where string // the reference's name for the step
	Text  string
}

func (e *Error) Error() string { return e.Text }

const (
	whereDate     = "parse_date"
	whereTime     = "crm_time_parse_sec"
	whereDuration = "crm_time_parse_duration"
)

func wrong(where, kind, text, format string, args ...any) error {
	quoted := "'" + text + "'"
	if where == whereTime {
		quoted = text
	}
	e := &Error{where, fmt.Sprintf("%s is not a valid ISO 8601 %s", quoted, kind)}
	if format != "" {
		e.Text += " because " + fmt.Sprintf(format, args...)
	}
	return e
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// Parse reads a date; real is the real clock, whose date and zone fill gaps.
func Parse(s string, real time.Time) (Date, bool) {
	d, err := ParseDate(s, real)
	return d, err == nil
}

// ParseDate is Parse with the reason for a refusal, an *Error.
func ParseDate(s string, real time.Time) (Date, error) {
	switch {
	case s == "":
		return Date{}, &Error{whereDate, "No ISO 8601 date/time specification given"}
	case s[0] == 'T' || s[0] == ' ':
		return parseTime(FromTime(real), s[1:], real)
	case len(s) > 2 && s[2] == ':':
		return parseTime(FromTime(real), s, real)
	case len(s) >= 5 && strings.EqualFold(s[:5], "epoch") && (len(s) == 5 || s[5] == '/' || isSpace(s[5])):
		return Date{Year: 1970, Day: 1}, nil
	}
	d, err := parseDay(s)
	if err != nil {
		return Date{}, err
	}
	n := 0
	for n < len(s) && (s[n] >= '0' && s[n] <= '9' || s[n] == '-' || s[n] == 'W') {
		n++
	}
	if n < len(s) && (s[n] == ' ' || s[n] == 'T') {
		return parseTime(d, s[n+1:], real)
	}
	return d, nil
}

// digits reads up to max digits.
func digits(s string, max int) (n int, rest string, ok bool) {
	i := 0
	for i < len(s) && i < max && s[i] >= '0' && s[i] <= '9' {
		n = n*10 + int(s[i]-'0')
		i++
	}
	return n, s[i:], i > 0
}

// parseDay reads YYYY-MM-DD, YYYYMMDD, YYYY-DDD or YYYY-Www-D. Signs and text
// behind it are somebody else's.
func parseDay(s string) (Date, error) {
	no := func(format string, args ...any) (Date, error) {
		return Date{}, wrong(whereDate, "date/time specification", s, format, args...)
	}
	y, rest, ok := digits(s, 8)
	if !ok {
		return no("")
	}
	if !strings.HasPrefix(rest, "-") { // all in one: 4, 2 and up to 2 digits
		y, rest, _ = digits(s, 4)
		m, rest, _ := digits(rest, 2)
		d, _, ok := digits(rest, 2)
		if !ok {
			return no("")
		}
		return civil(s, y, m, d)
	}
	rest = rest[1:]
	if strings.HasPrefix(rest, "W") {
		w, r, ok := digits(rest[1:], 2)
		if !ok || !strings.HasPrefix(r, "-") {
			return no("")
		}
		day, _, ok := digits(r[1:], 1)
		switch weeks := yearWeeks(y); {
		case !ok:
			return no("")
		case w > weeks:
			return no("'%d' is not a valid week of the year (max %d)", w, weeks)
		case day < 1 || day > 7:
			return no("'%d' is not a valid day of the week", day)
		}
		jan1 := time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC)
		first := (int(jan1.Weekday())+6)%7 + 1 // weekday of January 1st
		off := (w-1)*7 + day - first
		if first > 4 {
			off += 7
		}
		return Date{Year: y, Day: 1}.AddDays(off), nil
	}
	a, r, ok := digits(rest, 3)
	if !ok {
		return no("")
	}
	if strings.HasPrefix(r, "-") {
		day, _, ok := digits(r[1:], 2)
		if !ok {
			return no("")
		}
		return civil(s, y, a, day)
	}
	switch days := yearDays(y); {
	case a < 1:
		return no("")
	case a > days:
		return no("'%d' is not a valid day of the year (max %d)", a, days)
	}
	return Date{Year: y, Day: a}, nil
}

func yearWeeks(y int) int {
	_, w := time.Date(y, 12, 28, 0, 0, 0, 0, time.UTC).ISOWeek() // always in the last week
	return w
}

func civil(text string, y, m, d int) (Date, error) {
	no := func(format string, args ...any) (Date, error) {
		return Date{}, wrong(whereDate, "date/time specification", text, format, args...)
	}
	switch {
	case m > 12:
		return no("'%d' is not a valid month", m)
	case d < 1:
		return no("")
	case m < 1 || d > monthDays(y, m):
		return no("'%d' is not a valid day of the month", d)
	}
	return Date{Year: y, Day: ordinal(y, m, d)}, nil
}

// clock reads hh, hh:mm, hh:mm:ss and the same without colons; what is missing
// is 0.
func clock(s string) (seconds int, err error) {
	no := func(format string, args ...any) (int, error) {
		return 0, wrong(whereTime, "time specification", s, format, args...)
	}
	var part [3]int
	rest := s
	for i := range part {
		v, r, ok := digits(rest, 2)
		if !ok {
			if i == 0 && s != "" {
				return no("")
			}
			break
		}
		part[i], rest = v, strings.TrimPrefix(r, ":")
	}
	h, m, sec := part[0], part[1], part[2]
	switch {
	case h == 24 && m == 0 && sec == 0:
	case h > 23:
		return no("%d is not a valid hour", h)
	case m > 59:
		return no("%d is not a valid minute", m)
	case sec > 59:
		return no("%d is not a valid second", sec)
	}
	return h*3600 + m*60 + sec, nil
}

func parseTime(d Date, s string, real time.Time) (Date, error) {
	sec, err := clock(s)
	if err != nil {
		return d, err
	}
	d.Sec = 0
	d = d.AddSeconds(sec)
	switch i := strings.IndexByte(s, ' '); {
	case strings.IndexByte(s, 'Z') >= 0:
		d.Offset = 0
	case i >= 0:
		if d.Offset, err = parseOffset(strings.TrimLeft(s[i:], " \t\n\v\f\r")); err != nil {
			return d, err
		}
	default:
		_, d.Offset = real.Local().Zone()
	}
	return d, nil
}

// parseOffset reads [+-]hh[:mm]; what does not begin so is no offset at all.
func parseOffset(s string) (int, error) {
	sign := 1
	if s != "" && (s[0] == '+' || s[0] == '-') {
		if s[0] == '-' {
			sign = -1
		}
		s = s[1:]
	} else if _, _, ok := digits(s, 1); !ok {
		return 0, nil
	}
	sec, err := clock(s)
	return sign * sec, err
}

// ParseDuration reads a duration text, which starts with 'P'.
func ParseDuration(s string) (Duration, bool) {
	d, err := ReadDuration(s)
	return d, err == nil
}

// ReadDuration is ParseDuration with the reason for a refusal, an *Error.
func ReadDuration(text string) (Duration, error) {
	var d Duration
	no := func(format string, args ...any) (Duration, error) {
		return d, wrong(whereDuration, "time duration", text, format, args...)
	}
	switch {
	case text == "":
		return d, &Error{whereDuration, "No ISO 8601 time duration given"}
	case text[0] != 'P':
		return no("it does not start with a 'P'")
	case len(text) == 1 || isSpace(text[1]):
		return no("nothing follows 'P'")
	}
	s := text[1:]
	inTime := false
	for s != "" && s[0] != '/' && !isSpace(s[0]) {
		if s[0] == 'T' {
			inTime = true
			s = s[1:]
			continue
		}
		here := s
		neg := false
		if s[0] == '-' || s[0] == '+' || s[0] == ':' {
			neg = s[0] == '-'
			s = s[1:]
		}
		n, rest, ok := digits(s, 10)
		switch {
		case !ok:
			return no("no integer at '%s'", here)
		case rest == "":
			return no("no units after %s", s)
		}
		if neg {
			n = -n
		}
		switch unit := rest[0]; {
		case unit == 'Y':
			d.Years = n
		case unit == 'M' && !inTime:
			d.Months = n
		case unit == 'M':
			d.Seconds += n * 60
		case unit == 'W':
			d.Days += n * 7
		case unit == 'D':
			d.Days += n
		case unit == 'H':
			d.Seconds += n * 3600
		case unit == 'S':
			d.Seconds += n
		default:
			return no("'%c' is not a valid time unit", unit)
		}
		s = rest[1:]
	}
	return d, nil
}
