package isotime

import (
	"strconv"
	"strings"
	"time"
)

// Interval reads a time span as CIB options and tools write it: a number with
// an optional unit (`10s`, `2min`, `1h`, `500ms`; none is seconds) or an ISO
// 8601 duration (`PT5M`). false: the text is neither.
func Interval(text string) (time.Duration, bool) {
	s := strings.TrimSpace(text)
	if s == "" {
		return 0, false
	}
	if s[0] == 'P' {
		sec, ok := DurationSeconds(s)
		return time.Duration(sec) * time.Second, ok
	}
	n := 0
	if s[0] == '-' || s[0] == '+' {
		n++
	}
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	num, err := strconv.ParseInt(s[:n], 10, 64)
	if err != nil {
		return 0, false
	}
	var unit time.Duration
	switch strings.ToLower(strings.TrimSpace(s[n:])) {
	case "", "s", "sec":
		unit = time.Second
	case "ms", "msec":
		unit = time.Millisecond
	case "us", "usec":
		unit = time.Microsecond
	case "m", "min":
		unit = time.Minute
	case "h", "hr":
		unit = time.Hour
	default:
		return 0, false
	}
	const most = int64(1<<63 - 1)
	if num > most/int64(unit) || num < -most/int64(unit) {
		return 0, false
	}
	return time.Duration(num) * unit, true
}
