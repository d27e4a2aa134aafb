// Package interval reads the two notations for lengths of time in the CIB and
// on command lines: "10s", "2min", "500ms" (scheduler-1 1.4) and ISO 8601
// durations, "PT5M" (scheduler-1 1.5).
package interval

import (
	"math"
	"strings"
	"time"

	"linuxha/internal/isotime"
)

// Msec reads "msec text": a number and a unit, seconds where none is given.
// The number may carry a fraction, which is ignored. Anything after a known
// unit's first letters is ignored too ("10seconds", "5min").
func Msec(s string) (ms int64, ok bool) {
	s = strings.TrimLeft(s, " \t\r\n\f")
	end := 0
	for end < len(s) && (s[end] >= '0' && s[end] <= '9' || s[end] == '.') {
		end++
	}
	if end == 0 {
		return 0, false
	}
	whole, _, _ := strings.Cut(s[:end], ".")
	unit := strings.ToLower(strings.TrimLeft(s[end:], " \t\v\f"))
	mul, div := int64(1000), int64(1)
	switch {
	case strings.HasPrefix(unit, "ms"):
		mul = 1
	case strings.HasPrefix(unit, "us"):
		mul, div = 1, 1000
	case strings.HasPrefix(unit, "s"), unit == "", unit[0] == '\n', unit[0] == '\r':
	case strings.HasPrefix(unit, "m"):
		mul = 60_000
	case strings.HasPrefix(unit, "h"):
		mul = 3_600_000
	default:
		return 0, false
	}
	if whole == "" {
		return 0, false
	}
	var n int64
	for _, c := range []byte(whole) {
		if n > (math.MaxInt64-9)/10 {
			return math.MaxInt64, true
		}
		n = n*10 + int64(c-'0')
	}
	if n > math.MaxInt64/mul {
		return math.MaxInt64, true
	}
	return n * mul / div, true
}

// Parse reads either notation; ok is false for what is neither, or negative.
func Parse(s string) (d time.Duration, ok bool) {
	if strings.HasPrefix(s, "P") {
		sec, ok := isotime.DurationSeconds(s)
		if !ok || sec < 0 || sec > math.MaxInt64/int64(time.Second) {
			return 0, false
		}
		return time.Duration(sec) * time.Second, true
	}
	ms, ok := Msec(s)
	if !ok {
		return 0, false
	}
	return time.Duration(min(ms, math.MaxInt64/int64(time.Millisecond))) * time.Millisecond, true
}
