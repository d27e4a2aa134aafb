// Package isotime reads ISO 8601 dates and durations the way CIBs have always
// been read (state 1.6, 1.7), quirks included: the results decide when rules
// apply and how long intervals are, so they must not be "repaired".
package isotime

import (
	"strings"
	"time"
)

// Date is a calendar second: year, day of the year (1..366), second of the
// day, and the offset from UTC in seconds.
type Date struct {
	Year, Day, Sec, Offset int
}

// FromTime converts a time, keeping its zone.
func FromTime(t time.Time) Date {
	_, off := t.Zone()
	return Date{Year: t.Year(), Day: t.YearDay(), Sec: t.Hour()*3600 + t.Minute()*60 + t.Second(), Offset: off}
}

// Unix converts to seconds since the epoch.
func (d Date) Unix() int64 {
	return time.Date(d.Year, 1, 1, 0, 0, 0, 0, time.UTC).Unix() + int64(d.Day-1)*86400 + int64(d.Sec) - int64(d.Offset)
}

func leap(y int) bool { return y%4 == 0 && (y%100 != 0 || y%400 == 0) }

func yearDays(y int) int {
	if leap(y) {
		return 366
	}
	return 365
}

func monthDays(y, m int) int {
	switch m {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if leap(y) {
			return 29
		}
		return 28
	}
	return 31
}

// UTC moves the date to offset 0.
func (d Date) UTC() Date {
	d.Sec -= d.Offset
	d.Offset = 0
	return d.AddSeconds(0)
}

// Compare orders two dates by year, day and second in UTC.
func Compare(a, b Date) int {
	a, b = a.UTC(), b.UTC()
	for _, p := range [][2]int{{a.Year, b.Year}, {a.Day, b.Day}, {a.Sec, b.Sec}} {
		if p[0] < p[1] {
			return -1
		}
		if p[0] > p[1] {
			return 1
		}
	}
	return 0
}

// AddSeconds carries into days and years.
func (d Date) AddSeconds(n int) Date {
	d.Sec += n
	days := d.Sec / 86400
	if d.Sec %= 86400; d.Sec < 0 {
		d.Sec += 86400
		days--
	}
	return d.AddDays(days)
}

// AddDays carries into years.
func (d Date) AddDays(n int) Date {
	if n == 0 {
		return d
	}
	d.Day += n
	for d.Day < 1 {
		d.Year--
		d.Day += yearDays(d.Year)
	}
	for d.Day > yearDays(d.Year) {
		d.Day -= yearDays(d.Year)
		d.Year++
	}
	return d
}

// AddYears changes the year only; the day of the year stays.
func (d Date) AddYears(n int) Date { d.Year += n; return d }

// AddMonths keeps the day of the month, lowered to the target month's last.
func (d Date) AddMonths(n int) Date {
	y, m, day := d.Calendar()
	m += n
	for m > 12 {
		m -= 12
		y++
	}
	for m < 1 {
		m += 12
		y--
	}
	day = min(day, monthDays(y, m))
	d.Year, d.Day = y, ordinal(y, m, day)
	return d
}

// Calendar gives year, month and day of the month.
func (d Date) Calendar() (year, month, day int) {
	day = d.Day
	for month = 1; month < 12 && day > monthDays(d.Year, month); month++ {
		day -= monthDays(d.Year, month)
	}
	return d.Year, month, day
}

// Week gives the ISO week year, week and weekday (1 = Monday).
func (d Date) Week() (year, week, day int) {
	t := time.Date(d.Year, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, d.Day-1)
	year, week = t.ISOWeek()
	day = int(t.Weekday())
	if day == 0 {
		day = 7
	}
	return year, week, day
}

func ordinal(y, m, d int) int {
	for i := 1; i < m; i++ {
		d += monthDays(y, i)
	}
	return d
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// Parse reads a date; real is the real clock, whose date and zone fill gaps.
func Parse(s string, real time.Time) (Date, bool) {
	if s == "" {
		return Date{}, false
	}
	if s[0] == 'T' {
		return parseTime(FromTime(real), s[1:], real)
	}
	if len(s) > 2 && s[2] == ':' {
		return parseTime(FromTime(real), s, real)
	}
	if len(s) >= 5 && strings.EqualFold(s[:5], "epoch") && (len(s) == 5 || s[5] == '/' || isSpace(s[5])) {
		return Date{Year: 1970, Day: 1}, true
	}
	d, ok := parseDate(s)
	if !ok {
		return Date{}, false
	}
	n := 0
	for n < len(s) && (s[n] >= '0' && s[n] <= '9' || s[n] == '-' || s[n] == 'W') {
		n++
	}
	if n < len(s) && (s[n] == ' ' || s[n] == 'T') {
		return parseTime(d, s[n+1:], real)
	}
	return d, true
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

func parseDate(s string) (Date, bool) {
	y, rest, ok := digits(s, 8)
	if !ok {
		return Date{}, false
	}
	if n := len(s) - len(rest); n == 8 { // YYYYMMDD
		return civil(y/10000, y/100%100, y%100)
	}
	if rest == "" || rest[0] != '-' {
		return Date{}, false
	}
	rest = rest[1:]
	if strings.HasPrefix(rest, "W") {
		w, r, ok := digits(rest[1:], 2)
		if !ok || !strings.HasPrefix(r, "-") {
			return Date{}, false
		}
		day, _, ok := digits(r[1:], 1)
		if !ok || w < 1 || w > 53 || day < 1 || day > 7 {
			return Date{}, false
		}
		jan1 := time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC)
		first := (int(jan1.Weekday())+6)%7 + 1 // weekday of January 1st
		off := (w-1)*7 + day - first
		if first > 4 {
			off += 7
		}
		return Date{Year: y, Day: 1}.AddDays(off), true
	}
	a, r, ok := digits(rest, 3)
	if !ok {
		return Date{}, false
	}
	if strings.HasPrefix(r, "-") {
		day, _, ok := digits(r[1:], 2)
		if !ok {
			return Date{}, false
		}
		return civil(y, a, day)
	}
	if a < 1 || a > yearDays(y) {
		return Date{}, false
	}
	return Date{Year: y, Day: a}, true
}

func civil(y, m, d int) (Date, bool) {
	if m < 1 || m > 12 || d < 1 || d > monthDays(y, m) {
		return Date{}, false
	}
	return Date{Year: y, Day: ordinal(y, m, d)}, true
}

func parseTime(d Date, s string, real time.Time) (Date, bool) {
	var h, m, sec int
	v, rest, ok := digits(s, 6)
	if !ok {
		return d, false
	}
	if len(s)-len(rest) == 6 {
		h, m, sec = v/10000, v/100%100, v%100
	} else {
		h = v
		if strings.HasPrefix(rest, ":") {
			if m, rest, ok = digits(rest[1:], 2); !ok {
				return d, false
			}
			if strings.HasPrefix(rest, ":") {
				if sec, rest, ok = digits(rest[1:], 2); !ok {
					return d, false
				}
			}
		}
	}
	if h == 24 && m == 0 && sec == 0 {
		h = 0
		d = d.AddDays(1)
	}
	if h > 23 || m > 59 || sec > 59 {
		return d, false
	}
	d.Sec = h*3600 + m*60 + sec
	_ = rest
	switch i := strings.IndexByte(s, ' '); {
	case strings.IndexByte(s, 'Z') >= 0:
		d.Offset = 0
	case i >= 0:
		text := strings.TrimLeft(s[i:], " \t\n\v\f\r")
		off, ok := parseOffset(text)
		if !ok {
			return d, false
		}
		d.Offset = off
	default:
		_, d.Offset = real.Local().Zone()
	}
	return d, true
}

func parseOffset(s string) (int, bool) {
	sign := 1
	if s != "" && (s[0] == '+' || s[0] == '-') {
		if s[0] == '-' {
			sign = -1
		}
		s = s[1:]
	}
	h, rest, ok := digits(s, 2)
	if !ok {
		return 0, s == ""
	}
	m := 0
	rest = strings.TrimPrefix(rest, ":")
	if rest != "" {
		m, _, _ = digits(rest, 2)
	}
	return sign * (h*3600 + m*60), true
}

// Duration is a duration text taken apart; the parts stay apart, for months
// and years are not of one length.
type Duration struct{ Years, Months, Days, Seconds int }

// Add is d later by a duration: years first, then months, days and seconds.
func (d Date) Add(x Duration) Date {
	return d.AddYears(x.Years).AddMonths(x.Months).AddDays(x.Days).AddSeconds(x.Seconds)
}

// Subtract is d earlier by a duration.
func (d Date) Subtract(x Duration) Date {
	return d.Add(Duration{-x.Years, -x.Months, -x.Days, -x.Seconds})
}

// ParseDuration reads a duration text, which starts with 'P'.
func ParseDuration(s string) (Duration, bool) {
	var d Duration
	if s == "" || s[0] != 'P' {
		return d, false
	}
	s = s[1:]
	inTime, any := false, false
	for s != "" && s[0] != '/' && !isSpace(s[0]) {
		if s[0] == 'T' {
			inTime = true
			s = s[1:]
			continue
		}
		neg := false
		if s[0] == '-' || s[0] == '+' || s[0] == ':' {
			neg = s[0] == '-'
			s = s[1:]
		}
		var n int
		i := 0
		for i < len(s) && i < 10 && s[i] >= '0' && s[i] <= '9' {
			n = n*10 + int(s[i]-'0')
			i++
		}
		if i == 0 || i >= len(s) {
			return d, false
		}
		if neg {
			n = -n
		}
		any = true
		switch unit := s[i]; {
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
			return d, false
		}
		s = s[i+1:]
	}
	return d, any
}

// DurationSeconds converts a duration text (starting with 'P') to seconds with
// the original's arithmetic: n days count n-1, years count those before.
func DurationSeconds(s string) (int64, bool) {
	d, ok := ParseDuration(s)
	if !ok {
		return 0, false
	}
	total := int64(d.Seconds) + int64(d.Months)*30*86400
	if d.Days > 0 {
		total += int64(d.Days-1) * 86400
	}
	for y := 1; y < min(d.Years, 100000); y++ {
		total += int64(yearDays(y)) * 86400
	}
	return total, true
}
