package crmsimulate

import (
	"strconv"
	"time"

	"linuxha/pengine/state"
)

func scoreText(n int) string {
	switch {
	case n >= state.Infinity:
		return "INFINITY"
	case n <= -state.Infinity:
		return "-INFINITY"
	}
	return strconv.Itoa(n)
}

func timeText(unix int64) string { return time.Unix(unix, 0).Format(time.ANSIC) }

func epochText(s string) string {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return s
	}
	return timeText(n)
}
