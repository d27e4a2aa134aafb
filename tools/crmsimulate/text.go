package crmsimulate

import (
	"strconv"
	"time"
)

func timeText(unix int64) string { return time.Unix(unix, 0).Format(time.ANSIC) }

func epochText(s string) string {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return s
	}
	return timeText(n)
}
